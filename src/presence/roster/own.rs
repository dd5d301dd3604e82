//! What this node has to tell the others.

use super::{Effect, Roster};
use crate::{
    cluster::Entry,
    model::{RoomName, Timestamp, UserId},
};

impl Roster {
    /// This node's entry of a user in a room; of its connections, where the room
    /// is its inbox. None where it has none.
    pub fn entry(&self, room: &RoomName, user: &UserId) -> Option<Entry> {
        let person = self.people.get(user)?;
        let entry = |sessions: usize, since: Timestamp| Entry {
            name: person.profile.name.clone().unwrap_or_else(|| user.as_str().into()),
            meta: person.profile.meta.clone(),
            profiled_at: person.profiled_at,
            said: person.said.clone(),
            sessions,
            since,
        };
        if room.is_inbox() {
            return Some(entry(person.links, person.since));
        }
        let here = self.places.get(room)?.occupants.get(user)?.here.as_ref()?;
        Some(entry(here.sessions, here.since))
    }

    /// In which rooms this node has entries, and of whom.
    pub fn own(&self) -> Vec<(RoomName, UserId)> {
        let mut own = Vec::new();
        for (user, person) in &self.people {
            let rooms = person.rooms.iter().cloned().chain([RoomName::inbox(user)]);
            own.extend(rooms.map(|room| (room, user.clone())));
        }
        own
    }

    /// The rooms that somebody of this node is in, the inboxes of those who are
    /// connected among them.
    pub fn occupied(&self) -> Vec<RoomName> {
        self.places.keys().cloned().chain(self.people.keys().map(RoomName::inbox)).collect()
    }

    pub(super) fn note_own(&mut self, room: &RoomName, user: &UserId) {
        if self.has_others {
            self.effects.push(Effect::Own(room.clone(), user.clone()));
        }
    }

    /// As [`note_own`](Self::note_own), in the user's inbox room.
    pub(super) fn note_connected(&mut self, user: &UserId) {
        if self.has_others {
            self.effects.push(Effect::Own(RoomName::inbox(user), user.clone()));
        }
    }
}
