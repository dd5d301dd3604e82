use indexmap::{IndexMap, map::Entry};

use super::{Member, PresenceDiff, UserId};

/// What happened to one user of a room.
#[derive(Debug, Clone)]
pub enum Change {
    /// It was not there before.
    Joined(Member),
    /// It is still there, with other values.
    Updated(Member),
    /// It is gone.
    Left,
}

/// Changes among the members of a room, at most one for each user. Later ones
/// merge into it, so that a reader who gets only the merged changes ends up
/// where a reader of every single one does.
#[derive(Debug, Clone, Default)]
pub struct PresenceChanges {
    by_user: IndexMap<UserId, Change, ahash::RandomState>,
    /// How many users are there after the changes.
    pub count: usize,
}

impl PresenceChanges {
    /// No change but, perhaps, in the number of users.
    pub fn counting(count: usize) -> Self {
        Self { by_user: IndexMap::default(), count }
    }

    /// Adds what happened to a user after all that is in here.
    pub fn add(&mut self, user: UserId, later: Change) {
        match self.by_user.entry(user) {
            Entry::Vacant(vacant) => {
                vacant.insert(later);
            }
            Entry::Occupied(mut occupied) => match (occupied.get(), later) {
                // Who is told of neither misses nothing.
                (Change::Joined(_), Change::Left) => {
                    occupied.swap_remove();
                }
                (Change::Joined(_), Change::Joined(member) | Change::Updated(member)) => {
                    occupied.insert(Change::Joined(member));
                }
                (_, Change::Joined(member) | Change::Updated(member)) => {
                    occupied.insert(Change::Updated(member));
                }
                (_, Change::Left) => {
                    occupied.insert(Change::Left);
                }
            },
        }
    }

    /// Adds changes that happened after all that is in here.
    pub fn merge(&mut self, later: &Self) {
        for (user, change) in &later.by_user {
            self.add(user.clone(), change.clone());
        }
        self.count = later.count;
    }

    /// Whether any user is named.
    pub fn names_users(&self) -> bool {
        !self.by_user.is_empty()
    }

    /// How many users are named.
    pub fn users(&self) -> usize {
        self.by_user.len()
    }

    /// The changes as they stand on the wire.
    pub fn to_diff(&self) -> PresenceDiff {
        let mut diff = PresenceDiff { count: self.count, ..PresenceDiff::default() };
        for (user, change) in &self.by_user {
            match change {
                Change::Joined(member) => diff.joined.push(member.clone()),
                Change::Updated(member) => diff.updated.push(member.clone()),
                Change::Left => diff.left.push(user.clone()),
            }
        }
        diff
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::model::Status;

    fn member(user: &UserId, since: u64) -> Member {
        let name = user.as_str().into();
        Member { user: user.clone(), name, status: Status::Online, sessions: 1, since, meta: None }
    }

    /// A reader's list of members: user and the moment of the entry.
    fn apply(list: &mut BTreeMap<String, u64>, diff: &PresenceDiff) {
        for member in diff.joined.iter().chain(&diff.updated) {
            list.insert(member.user.to_string(), member.since);
        }
        for user in &diff.left {
            list.remove(user.as_str());
        }
    }

    proptest! {
        /// However the steps are cut into merged diffs, readers agree at the end.
        #[test]
        fn merged_changes_lead_to_the_same_list(
            steps in prop::collection::vec((0u8..4, any::<bool>(), any::<bool>()), 0..60),
        ) {
            let mut truth: BTreeMap<String, u64> = BTreeMap::new();
            let (mut every, mut merged) = (BTreeMap::new(), BTreeMap::new());
            let mut pending = PresenceChanges::default();
            for (moment, (user, leaves, flush)) in steps.into_iter().enumerate() {
                let user = UserId::parse(&user.to_string()).unwrap();
                let known = truth.contains_key(user.as_str());
                let since = moment as u64;
                let change = match (known, leaves) {
                    (true, true) => { truth.remove(user.as_str()); Change::Left }
                    (false, true) => continue,
                    (known, false) => {
                        truth.insert(user.to_string(), since);
                        let member = member(&user, since);
                        if known { Change::Updated(member) } else { Change::Joined(member) }
                    }
                };
                let mut single = PresenceChanges::counting(truth.len());
                single.add(user, change);
                apply(&mut every, &single.to_diff());
                pending.merge(&single);
                if flush {
                    apply(&mut merged, &std::mem::take(&mut pending).to_diff());
                }
            }
            apply(&mut merged, &pending.to_diff());
            prop_assert_eq!(&every, &truth);
            prop_assert_eq!(&merged, &truth);
        }
    }
}
