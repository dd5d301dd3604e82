//! One of several nodes, and who reads its changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::{prelude::*, test_runner::TestCaseError};

use super::{
    nodes::{NODES, ROOMS, room, watched},
    *,
};
use crate::cluster::Entry;

/// What a reader sees of a member.
pub(super) type Shown = (String, String, Status, usize, Timestamp);

pub(super) fn shown(member: &Member) -> Shown {
    let Member { user, name, status, sessions, since, .. } = member;
    (user.to_string(), name.to_string(), *status, *sessions, *since)
}

/// Entries on their way from one node to another.
pub(super) struct Mail {
    pub(super) room: RoomName,
    pub(super) life: LifeId,
    pub(super) entries: Vec<(UserId, Option<Entry>)>,
}

/// Who reads the changes of one room.
#[derive(Default)]
pub(super) struct Reader {
    list: BTreeMap<UserId, Shown>,
    count: usize,
}

impl Reader {
    fn apply(&mut self, changes: &PresenceChanges) {
        let diff = changes.to_diff();
        if diff.naming != Naming::Changes {
            self.list.clear();
        }
        for member in diff.joined.iter().chain(&diff.updated) {
            self.list.insert(member.user.clone(), shown(member));
        }
        for user in &diff.left {
            assert!(self.list.remove(user).is_some(), "{user} leaves who was not there");
        }
        self.count = diff.count;
    }
}

pub(super) struct Node {
    pub(super) life: LifeId,
    pub(super) roster: Roster,
    /// The sessions, and the rooms that each is in.
    pub(super) sessions: Vec<(LinkId, UserId, BTreeSet<RoomName>)>,
    pub(super) dirty: BTreeSet<(RoomName, UserId)>,
    pub(super) follows: BTreeSet<RoomName>,
    /// Followed rooms that are still to be read.
    pub(super) unread: BTreeSet<RoomName>,
    /// By sender.
    pub(super) mail: Vec<VecDeque<Mail>>,
    pub(super) readers: BTreeMap<RoomName, Reader>,
    /// How users are by the effects alone.
    pub(super) availability: BTreeMap<UserId, Availability>,
}

impl Node {
    pub(super) fn new(limit: usize) -> Self {
        let Settings { presence, mut rooms, .. } = Settings::default();
        rooms.presence_limit = limit;
        let inbox = RoomName::inbox(&watched());
        Self {
            life: LifeId::random("node"),
            roster: Roster::new(&presence, &rooms).with_others(),
            sessions: Vec::new(),
            dirty: BTreeSet::new(),
            follows: BTreeSet::from([inbox.clone()]),
            unread: BTreeSet::from([inbox]),
            mail: (0..NODES).map(|_| VecDeque::new()).collect(),
            readers: BTreeMap::new(),
            availability: BTreeMap::new(),
        }
    }

    /// Does what the actor does with the effects.
    pub(super) fn follow_up(&mut self) {
        for effect in self.roster.take_effects() {
            match effect {
                Effect::Room(room, changes) => {
                    self.readers.entry(room).or_default().apply(&changes);
                }
                Effect::Online(user, availability) => {
                    let before = self.availability.insert(user.clone(), availability);
                    let before = before.unwrap_or(Availability::Offline);
                    assert_ne!(before, availability, "{user} is as before");
                }
                Effect::Seat { room, user, .. } => panic!("{user} in {room}: Redis tells that"),
                Effect::Own(room, user) => {
                    self.dirty.insert((room, user));
                }
                Effect::Occupied(room) => {
                    if self.follows.insert(room.clone()) {
                        self.unread.insert(room);
                    }
                }
                Effect::Deserted(room) => {
                    self.readers.remove(&room);
                    if room == RoomName::inbox(&watched()) {
                        continue;
                    }
                    if let Some(id) = room.as_str().strip_prefix('@') {
                        self.availability.remove(id);
                    }
                    self.roster.forget(&room);
                    self.follows.remove(&room);
                    self.unread.remove(&room);
                }
            }
        }
    }

    pub(super) fn check(&self) -> Result<(), TestCaseError> {
        for room in (0..ROOMS).map(room) {
            let (members, count) = self.roster.members(&room);
            let list: Vec<Shown> = members.iter().map(shown).collect();
            match self.readers.get(&room) {
                Some(reader) => {
                    let mut read: Vec<Shown> = reader.list.values().cloned().collect();
                    read.sort_by(|a, b| (a.4, &a.0).cmp(&(b.4, &b.0)));
                    prop_assert_eq!((read, reader.count), (list, count));
                }
                None => prop_assert_eq!(count, 0),
            }
        }
        for (user, availability) in &self.availability {
            prop_assert_eq!(self.roster.availability(user), *availability);
        }
        Ok(())
    }
}
