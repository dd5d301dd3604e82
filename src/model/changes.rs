use indexmap::{IndexMap, map::Entry};

use super::{Member, Naming, PresenceDiff, UserId};

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
    naming: Naming,
    by_user: IndexMap<UserId, Change, ahash::RandomState>,
    /// How many users are there after the changes.
    pub count: usize,
}

impl PresenceChanges {
    /// One user's change in a room that then has `count` users.
    pub fn of(user: UserId, change: Change, count: usize) -> Self {
        let mut changes = Self { count, ..Self::default() };
        changes.add(user, change);
        changes
    }

    /// A room too large to name its users.
    pub fn count_alone(count: usize) -> Self {
        Self { naming: Naming::CountAlone, count, ..Self::default() }
    }

    /// All users of a room, for readers who know the number alone.
    pub fn all(members: Vec<Member>) -> Self {
        let count = members.len();
        let joined = |member: Member| (member.user.clone(), Change::Joined(member));
        Self { naming: Naming::All, by_user: members.into_iter().map(joined).collect(), count }
    }

    /// Adds changes that happened after all that is in here.
    pub fn merge(&mut self, later: &Self) {
        if later.naming == Naming::Changes {
            for (user, change) in &later.by_user {
                self.add(user.clone(), change.clone());
            }
            self.count = later.count;
        } else {
            *self = later.clone();
        }
    }

    fn add(&mut self, user: UserId, later: Change) {
        if self.naming == Naming::All {
            // What is told is who is there, not how it came about.
            match later {
                Change::Joined(member) | Change::Updated(member) => {
                    self.by_user.insert(user, Change::Joined(member));
                }
                Change::Left => {
                    self.by_user.shift_remove(&user);
                }
            }
            return;
        }
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
        let (naming, count) = (self.naming, self.count);
        let mut diff = PresenceDiff { naming, count, ..PresenceDiff::default() };
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

    const LIMIT: usize = 3;

    fn member(user: &UserId, since: u64) -> Member {
        let name = user.as_str().into();
        Member { user: user.clone(), name, status: Status::Online, sessions: 1, since, meta: None }
    }

    /// A reader's list: user and the moment of the entry; none where the number
    /// alone is known.
    #[derive(Debug, Default, PartialEq)]
    struct Reader(Option<BTreeMap<String, u64>>);

    impl Reader {
        fn apply(&mut self, diff: &PresenceDiff) {
            let mut list = match diff.naming {
                Naming::CountAlone => return self.0 = None,
                Naming::All => BTreeMap::new(),
                Naming::Changes => self.0.take().expect("changes need a list to apply to"),
            };
            for member in diff.joined.iter().chain(&diff.updated) {
                list.insert(member.user.to_string(), member.since);
            }
            for user in &diff.left {
                list.remove(user.as_str());
            }
            self.0 = Some(list);
        }
    }

    proptest! {
        /// However the steps are cut into merged diffs, readers agree at the
        /// end, also where the room grows too large to be named and shrinks.
        #[test]
        fn merged_changes_lead_to_the_same_list(
            steps in prop::collection::vec((0u8..6, any::<bool>(), any::<bool>()), 0..80),
        ) {
            let mut truth: BTreeMap<String, u64> = BTreeMap::new();
            let mut every = Reader(Some(BTreeMap::new()));
            let mut merged = Reader(Some(BTreeMap::new()));
            let mut pending: Option<PresenceChanges> = None;
            for (moment, (user, leaves, flush)) in steps.into_iter().enumerate() {
                let user = UserId::parse(&user.to_string()).unwrap();
                let known = truth.contains_key(user.as_str());
                let since = moment as u64;
                let before = truth.len();
                let change = match (known, leaves) {
                    (true, true) => { truth.remove(user.as_str()); Change::Left }
                    (false, true) => continue,
                    (known, false) => {
                        truth.insert(user.to_string(), since);
                        let member = member(&user, since);
                        if known { Change::Updated(member) } else { Change::Joined(member) }
                    }
                };
                let count = truth.len();
                let single = if count > LIMIT {
                    PresenceChanges::count_alone(count)
                } else if before > LIMIT {
                    let all = truth.iter().map(|(user, since)| {
                        member(&UserId::parse(user).unwrap(), *since)
                    });
                    PresenceChanges::all(all.collect())
                } else {
                    PresenceChanges::of(user, change, count)
                };
                every.apply(&single.to_diff());
                match &mut pending {
                    Some(earlier) => earlier.merge(&single),
                    None => pending = Some(single),
                }
                if flush {
                    merged.apply(&pending.take().unwrap().to_diff());
                }
            }
            if let Some(last) = pending {
                prop_assert_eq!(last.count, truth.len());
                merged.apply(&last.to_diff());
            }
            let expected = Reader((truth.len() <= LIMIT).then_some(truth));
            prop_assert_eq!(&every, &expected);
            prop_assert_eq!(&merged, &expected);
        }
    }
}
