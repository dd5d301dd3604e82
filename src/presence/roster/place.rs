//! One room, and who is in it.

use std::time::Instant;

use ahash::AHashMap;

use super::{Effect, Person, Roster, fold};
use crate::{
    cluster::Entry,
    config::RoomSettings,
    model::{Change, LifeId, Member, PresenceChanges, RoomName, Timestamp, UserId, WorkerId},
};

/// One room that somebody of this node is in.
pub(super) struct Place {
    pub(super) occupants: AHashMap<UserId, Occupant>,
    /// How many sessions each worker has here.
    pub(super) workers: AHashMap<WorkerId, usize>,
    /// How many of the occupants this node has a part of.
    pub(super) here: usize,
    /// How many sessions the other nodes have in the room.
    sessions_elsewhere: usize,
    presence_limit: usize,
    sessions_limit: usize,
}

/// One user in one room: of this node, of others, or both.
#[derive(Default)]
pub(super) struct Occupant {
    pub(super) here: Option<Here>,
    pub(super) elsewhere: Vec<Word>,
}

/// This node's part of an occupant.
#[derive(Clone)]
pub(super) struct Here {
    pub(super) sessions: usize,
    pub(super) since: Timestamp,
    pub(super) leaves_at: Option<Instant>,
}

/// What another node told of a user.
pub(super) struct Word {
    pub(super) life: LifeId,
    pub(super) entry: Entry,
    /// Until when it holds although it is missing in what was read last.
    pub(super) doubted_until: Option<Instant>,
}

/// Puts a node's word in the place of its earlier one.
pub(super) fn replace(words: &mut Vec<Word>, life: &LifeId, entry: Option<Entry>) {
    let known = words.iter().position(|word| word.life == *life);
    match (known, entry) {
        (Some(at), None) => {
            words.swap_remove(at);
        }
        (Some(at), Some(entry)) => {
            if let Some(word) = words.get_mut(at) {
                word.entry = entry;
                word.doubted_until = None;
            }
        }
        (None, Some(entry)) => {
            words.push(Word { life: life.clone(), entry, doubted_until: None });
        }
        (None, None) => {}
    }
}

impl Occupant {
    fn is_nowhere(&self) -> bool {
        self.here.is_none() && self.elsewhere.is_empty()
    }

    fn sessions_elsewhere(&self) -> usize {
        self.elsewhere.iter().map(|word| word.entry.sessions).sum()
    }
}

impl Place {
    pub(super) fn new(settings: RoomSettings) -> Self {
        Self {
            occupants: AHashMap::new(),
            workers: AHashMap::new(),
            here: 0,
            sessions_elsewhere: 0,
            presence_limit: settings.presence_limit,
            sessions_limit: settings.members,
        }
    }

    fn sessions(&self) -> usize {
        self.workers.values().sum::<usize>() + self.sessions_elsewhere
    }

    /// Whether it takes no more sessions.
    pub(super) fn is_full(&self) -> bool {
        self.sessions_limit != 0 && self.sessions() >= self.sessions_limit
    }

    /// Whether it has more sessions than it may: nodes let them in that did not
    /// know of one another yet.
    pub(super) fn is_over(&self) -> bool {
        self.sessions_limit != 0 && self.sessions() > self.sessions_limit
    }

    fn is_large(&self) -> bool {
        self.occupants.len() > self.presence_limit || self.presence_limit == 0
    }

    /// The members and how many there are; the number alone where they are
    /// more than the room's namespace shows.
    pub(super) fn members(&self, people: &AHashMap<UserId, Person>) -> (Vec<Member>, usize) {
        let count = self.occupants.len();
        if count > self.presence_limit {
            return (Vec::new(), count);
        }
        let member =
            |(user, occupant): (&UserId, &Occupant)| occupant.member(user, people.get(user));
        let mut members: Vec<Member> = self.occupants.iter().filter_map(member).collect();
        members.sort_by(|a, b| (a.since, &a.user).cmp(&(b.since, &b.user)));
        (members, count)
    }

    /// Does something to one occupant; answers what others see of it, if they
    /// do: by name while the room is small, else by number alone.
    fn alter(
        &mut self,
        user: &UserId,
        people: &AHashMap<UserId, Person>,
        act: impl FnOnce(&mut Occupant),
    ) -> Option<PresenceChanges> {
        let person = people.get(user);
        let was_large = self.is_large();
        let known = self.occupants.get(user);
        let was_there = known.is_some();
        let before = known.filter(|_| !was_large).and_then(|known| known.member(user, person));
        let occupant = self.occupants.entry(user.clone()).or_default();
        self.here -= usize::from(occupant.here.is_some());
        self.sessions_elsewhere -= occupant.sessions_elsewhere();
        act(occupant);
        self.here += usize::from(occupant.here.is_some());
        self.sessions_elsewhere += occupant.sessions_elsewhere();
        let is_there = !occupant.is_nowhere();
        if !is_there {
            self.occupants.remove(user);
        }
        let count = self.occupants.len();
        if self.is_large() {
            return (was_there != is_there).then(|| PresenceChanges::count_alone(count));
        }
        let change = match (was_there, is_there) {
            (false, false) => return None,
            // Small enough again: whoever knows the number alone needs all names.
            (true, false) if was_large => {
                return Some(PresenceChanges::all(self.members(people).0));
            }
            (true, false) => Change::Left,
            (_, true) => {
                let after = self.occupants.get(user)?.member(user, person)?;
                match before {
                    None => Change::Joined(after),
                    Some(before) if fold::alike(&before, &after) => return None,
                    Some(_) => Change::Updated(after),
                }
            }
        };
        Some(PresenceChanges::of(user.clone(), change, count))
    }

    /// What tells of an occupant's present state.
    fn update(&self, user: &UserId, member: Member) -> Option<PresenceChanges> {
        let update =
            || PresenceChanges::of(user.clone(), Change::Updated(member), self.occupants.len());
        (!self.is_large()).then(update)
    }
}

impl Roster {
    /// Does something to an occupant of a room, and notes what follows.
    pub(super) fn alter(
        &mut self,
        room: &RoomName,
        user: &UserId,
        act: impl FnOnce(&mut Occupant),
    ) {
        let Some(place) = self.places.get_mut(room) else { return };
        let before = place.occupants.len();
        if let Some(changes) = place.alter(user, &self.people, act) {
            self.effects.push(Effect::Room(room.clone(), changes));
        }
        let after = place.occupants.len();
        if !self.has_others && after != before {
            let (came, alone) = (after > before, after.min(before) == 0);
            let (room, user) = (room.clone(), user.clone());
            self.effects.push(Effect::Seat { room, user, came, alone });
        }
    }

    /// A user as others see it in a room.
    pub(super) fn member(&self, room: &RoomName, user: &UserId) -> Option<Member> {
        self.places.get(room)?.occupants.get(user)?.member(user, self.people.get(user))
    }

    /// Notes that a user shows something else in a room.
    pub(super) fn note_update(&mut self, room: &RoomName, user: &UserId, member: Member) {
        if let Some(changes) = self.places.get(room).and_then(|it| it.update(user, member)) {
            self.effects.push(Effect::Room(room.clone(), changes));
        }
    }
}
