//! What the other nodes told, folded in.

use std::time::Instant;

use ahash::{AHashMap, AHashSet};

use super::{
    Roster,
    fold::{self, outdates},
    place::{Place, Word, replace},
};
use crate::{
    cluster::{Entry, Roll, Said},
    model::{Availability, LifeId, Member, RoomName, Status, UserId},
    presence::messages::Whereabouts,
};

/// The id of the user whose inbox a room is.
fn owner(room: &RoomName) -> Option<&str> {
    room.as_str().strip_prefix('@')
}

impl Roster {
    /// A node's entries changed.
    pub fn hear(&mut self, room: &RoomName, life: &LifeId, entries: Vec<(UserId, Option<Entry>)>) {
        for (user, entry) in entries {
            self.take_word(room, &user, life, entry);
        }
    }

    /// All entries of a room, in place of those known. Where they may not be all,
    /// those that are missing hold for one more lease.
    pub fn roll(&mut self, room: &RoomName, roll: Roll, now: Instant) {
        let Roll { entries, whole } = roll;
        let lease = (!whole).then(|| now + self.lease);
        let mut missing = self.heard_of(room);
        let mut by_user: AHashMap<UserId, Vec<(LifeId, Entry)>> = AHashMap::new();
        for (life, user, entry) in entries {
            missing.remove(&user);
            by_user.entry(user).or_default().push((life, entry));
        }
        for (user, entries) in by_user {
            self.take_words(room, &user, entries, lease);
        }
        for user in missing {
            self.take_words(room, &user, Vec::new(), lease);
        }
    }

    /// Who is in a room by the others' word just asked for, and by what this node
    /// knows of itself.
    pub fn rolled(&self, room: &RoomName, roll: Roll) -> (Vec<Member>, usize) {
        let mut place = Place::new(self.rooms_settings.for_room(room.as_str()));
        let known = self.places.get(room).into_iter().flat_map(|known| &known.occupants);
        for (user, occupant) in known.filter(|(_, occupant)| occupant.here.is_some()) {
            place.occupants.entry(user.clone()).or_default().here = occupant.here.clone();
        }
        for (life, user, entry) in roll.entries {
            let occupant = place.occupants.entry(user).or_default();
            replace(&mut occupant.elsewhere, &life, Some(entry));
        }
        place.members(&self.people)
    }

    /// Where a user is, by the others' word just asked for, and by what this node
    /// knows of itself.
    pub fn whereabouts(&self, user: &UserId, roll: Roll) -> Whereabouts {
        let own = self.entry(&RoomName::inbox(user), user);
        let words = || roll.entries.iter().map(|(_, _, entry)| entry).chain(&own);
        let said = fold::newest(words().filter_map(|entry| entry.said.as_ref()));
        let since = words().map(|entry| entry.since).min();
        let availability = match since {
            None => Availability::Offline,
            Some(_) => said.map_or(Status::Online, |said| said.status).into(),
        };
        let elsewhere =
            roll.entries.iter().map(|(life, _, entry)| (life.node().into(), entry.sessions));
        Whereabouts {
            availability,
            since,
            here: own.as_ref().map_or(0, |own| own.sessions),
            elsewhere: elsewhere.collect(),
        }
    }

    /// How many users are in a room, as far as this node knows.
    pub fn headcount(&self, room: &RoomName) -> usize {
        self.places.get(room).map_or(0, |place| place.occupants.len())
    }

    /// How many users this node has, and in how many rooms they are.
    pub fn numbers(&self) -> (usize, usize) {
        (self.people.len(), self.places.len())
    }

    /// The rooms with most users, as far as this node knows, and how many these
    /// are: at most so many rooms.
    pub fn largest(&self, most: usize) -> Vec<(RoomName, usize)> {
        let headcount = |(room, place): (_, &Place)| (place.occupants.len(), room);
        let mut rooms: Vec<(usize, &RoomName)> = self.places.iter().map(headcount).collect();
        if rooms.len() > most {
            // The name decides between rooms of one size, or they would come and go.
            rooms.select_nth_unstable_by(most, |one, other| other.cmp(one));
            rooms.truncate(most);
        }
        rooms.sort_unstable_by(|one, other| other.cmp(one));
        rooms.into_iter().map(|(users, room)| (room.clone(), users)).collect()
    }

    /// Lets go of what the others told of an inbox room. What they told of other
    /// rooms goes with the last user that is here.
    pub fn forget(&mut self, room: &RoomName) {
        if let Some(owner) = owner(room) {
            self.connected_elsewhere.remove(owner);
        }
    }

    /// Takes away what was doubted for too long; answers when the next is.
    pub(super) fn expire_doubts(&mut self, now: Instant) -> Option<Instant> {
        while let Some((at, ..)) = self.doubts.front() {
            if *at > now {
                return Some(*at);
            }
            let (at, room, user, life) = self.doubts.pop_front()?;
            let word = self.words(&room, &user).and_then(|it| it.iter().find(|it| it.life == life));
            if word.is_some_and(|word| word.doubted_until == Some(at)) {
                self.take_word(&room, &user, &life, None);
            }
        }
        None
    }

    fn take_word(&mut self, room: &RoomName, user: &UserId, life: &LifeId, entry: Option<Entry>) {
        if let Some(said) = entry.as_ref().and_then(|entry| entry.said.as_ref()) {
            self.adopt(user, said);
        }
        self.alter_words(room, user, |words| replace(words, life, entry));
    }

    /// All that the others tell of a user in a room, in one step, so that who
    /// has moved from one node to another is not gone in between. What is
    /// missing holds until the end of the lease, if it has one.
    fn take_words(
        &mut self,
        room: &RoomName,
        user: &UserId,
        entries: Vec<(LifeId, Entry)>,
        lease: Option<Instant>,
    ) {
        for said in entries.iter().filter_map(|(_, entry)| entry.said.as_ref()) {
            self.adopt(user, said);
        }
        let mut doubted = Vec::new();
        self.alter_words(room, user, |words| {
            words.retain_mut(|word| {
                let is_missing = !entries.iter().any(|(life, _)| *life == word.life);
                // What was doubted before is not given more time.
                if is_missing && lease.is_some() && word.doubted_until.is_none() {
                    word.doubted_until = lease;
                    doubted.push(word.life.clone());
                }
                !is_missing || lease.is_some()
            });
            for (life, entry) in entries {
                replace(words, &life, Some(entry));
            }
        });
        if let Some(lease) = lease {
            let doubt = |life| (lease, room.clone(), user.clone(), life);
            self.doubts.extend(doubted.into_iter().map(doubt));
        }
    }

    fn alter_words(&mut self, room: &RoomName, user: &UserId, act: impl FnOnce(&mut Vec<Word>)) {
        if !room.is_inbox() {
            self.alter(room, user, |occupant| act(&mut occupant.elsewhere));
            return;
        }
        let before = self.availability(user);
        let words = self.connected_elsewhere.entry(user.clone()).or_default();
        act(words);
        if words.is_empty() {
            self.connected_elsewhere.remove(user);
        }
        self.note_availability(user, before);
    }

    /// What a user said on another node it says here too, so that it holds when
    /// the user is gone from there.
    fn adopt(&mut self, user: &UserId, said: &Said) {
        let Some(person) = self.people.get(user) else { return };
        if person.said.as_ref().is_none_or(|known| outdates(said, known)) {
            self.revise(user, false, |person| person.said = Some(said.clone()));
        }
    }

    fn words(&self, room: &RoomName, user: &UserId) -> Option<&Vec<Word>> {
        if room.is_inbox() {
            return self.connected_elsewhere.get(user);
        }
        self.places.get(room)?.occupants.get(user).map(|occupant| &occupant.elsewhere)
    }

    /// Of whom the others told something in a room.
    fn heard_of(&self, room: &RoomName) -> AHashSet<UserId> {
        if let Some(owner) = owner(room) {
            let known = self.connected_elsewhere.get_key_value(owner);
            return known.map(|(user, _)| user.clone()).into_iter().collect();
        }
        let occupants = self.places.get(room).into_iter().flat_map(|place| &place.occupants);
        let heard_of = occupants.filter(|(_, occupant)| !occupant.elsewhere.is_empty());
        heard_of.map(|(user, _)| user.clone()).collect()
    }
}
