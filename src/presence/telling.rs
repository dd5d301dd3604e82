use std::collections::VecDeque;

use ahash::{AHashMap, AHashSet};

use crate::model::{RoomName, UserId};

/// How many rooms are told of at a time.
const AT_ONCE: usize = 64;

/// Which entries of this node the others have still to be told. For each room
/// at most one telling is on its way; what changes meanwhile is told after it.
#[derive(Default)]
pub(super) struct Telling {
    rooms: AHashMap<RoomName, Untold>,
    /// The rooms whose turn may come, in the order in which it does.
    ready: VecDeque<RoomName>,
    on_their_way: usize,
    failed: usize,
}

/// What is to be told of one room.
struct Untold {
    users: AHashSet<UserId>,
    state: State,
}

enum State {
    Ready,
    /// These users' entries were sent.
    OnItsWay(Vec<UserId>),
    /// What was sent last did not arrive; waits to be tried again.
    Failed,
}

impl Telling {
    /// A user's entry in a room is to be told.
    pub(super) fn mark(&mut self, room: RoomName, user: UserId) {
        let untold = self.rooms.entry(room).or_insert_with_key(|room| {
            self.ready.push_back(room.clone());
            Untold { users: AHashSet::new(), state: State::Ready }
        });
        untold.users.insert(user);
    }

    /// A room whose turn it is, and whose entries are to be sent now; then it is
    /// [done](Self::done).
    pub(super) fn next(&mut self) -> Option<(RoomName, Vec<UserId>)> {
        if self.on_their_way == AT_ONCE {
            return None;
        }
        let room = self.ready.pop_front()?;
        let untold = self.rooms.get_mut(&room)?;
        let users: Vec<UserId> = std::mem::take(&mut untold.users).into_iter().collect();
        untold.state = State::OnItsWay(users.clone());
        self.on_their_way += 1;
        Some((room, users))
    }

    /// What was sent of a room arrived, or did not.
    pub(super) fn done(&mut self, room: &RoomName, arrived: bool) {
        let Some(untold) = self.rooms.get_mut(room) else { return };
        let State::OnItsWay(users) = std::mem::replace(&mut untold.state, State::Failed) else {
            return;
        };
        self.on_their_way -= 1;
        if !arrived {
            untold.users.extend(users);
            self.failed += 1;
        } else if untold.users.is_empty() {
            self.rooms.remove(room);
        } else {
            untold.state = State::Ready;
            self.ready.push_back(room.clone());
        }
    }

    /// Whether something waits to be tried again.
    pub(super) fn has_failed(&self) -> bool {
        self.failed > 0
    }

    /// Tries a room again, if what was sent of it did not arrive.
    pub(super) fn retry(&mut self, room: &RoomName) {
        if let Some(untold) = self.rooms.get_mut(room)
            && matches!(untold.state, State::Failed)
        {
            untold.state = State::Ready;
            self.failed -= 1;
            self.ready.push_back(room.clone());
        }
    }

    /// Tries every room again of which what was sent did not arrive.
    pub(super) fn retry_all(&mut self) {
        for (room, untold) in &mut self.rooms {
            if matches!(untold.state, State::Failed) {
                untold.state = State::Ready;
                self.ready.push_back(room.clone());
            }
        }
        self.failed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn sorted((room, mut users): (RoomName, Vec<UserId>)) -> (RoomName, Vec<UserId>) {
        users.sort_unstable();
        (room, users)
    }

    #[test]
    fn what_changes_on_the_way_is_told_after_it() {
        let mut telling = Telling::default();
        telling.mark(room("a"), user("ada"));
        telling.mark(room("a"), user("ada"));
        assert_eq!(telling.next(), Some((room("a"), vec![user("ada")])));
        telling.mark(room("a"), user("ada"));
        telling.mark(room("a"), user("bob"));
        assert_eq!(telling.next(), None, "one at a time");
        telling.done(&room("a"), true);
        let both = (room("a"), vec![user("ada"), user("bob")]);
        assert_eq!(telling.next().map(sorted), Some(both));
        telling.done(&room("a"), true);
        assert_eq!(telling.next(), None);
        assert!(telling.rooms.is_empty());
    }

    #[test]
    fn what_did_not_arrive_waits_and_is_told_again() {
        let mut telling = Telling::default();
        telling.mark(room("a"), user("ada"));
        telling.mark(room("b"), user("ada"));
        telling.next().unwrap();
        telling.done(&room("a"), false);
        assert_eq!(telling.next(), Some((room("b"), vec![user("ada")])), "others go on");
        telling.done(&room("b"), false);
        telling.mark(room("a"), user("bob"));
        assert_eq!(telling.next(), None, "it waits");
        telling.retry(&room("a"));
        telling.retry(&room("a"));
        let both = (room("a"), vec![user("ada"), user("bob")]);
        assert_eq!(telling.next().map(sorted), Some(both));
        assert!(telling.has_failed());
        telling.retry_all();
        assert!(!telling.has_failed());
        assert_eq!(telling.next(), Some((room("b"), vec![user("ada")])));
        assert_eq!(telling.next(), None);
    }

    #[test]
    fn a_bounded_number_is_on_its_way() {
        let mut telling = Telling::default();
        for index in 0..AT_ONCE + 1 {
            telling.mark(room(&format!("r{index}")), user("ada"));
        }
        let sent: Vec<_> = std::iter::from_fn(|| telling.next()).collect();
        assert_eq!(sent.len(), AT_ONCE);
        telling.done(&sent[0].0, true);
        assert!(telling.next().is_some());
    }
}
