//! How users leave: at once by their own will, else when their grace is over.

use std::time::Instant;

use super::{Effect, Roster};
use crate::model::{LinkId, RoomName, UserId, WorkerId};

impl Roster {
    /// Lets those go whose grace is over, and what was doubted for too long;
    /// answers when the next one's time is.
    pub fn expire(&mut self, now: Instant) -> Option<Instant> {
        // What others told of a room is let go of with the last who is here, which
        // ends what is told of it: nothing may change it after that.
        let doubt = self.expire_doubts(now);
        [self.expire_graces(now), doubt].into_iter().flatten().min()
    }

    /// The node ends, and with it what it knows: all leave now.
    pub fn end(&mut self, now: Instant) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.disconnect(link, now);
        }
        self.expire_graces(now + self.grace);
    }

    fn expire_graces(&mut self, now: Instant) -> Option<Instant> {
        while let Some((at, ..)) = self.departures.front() {
            if *at > now {
                return Some(*at);
            }
            let (at, user, room) = self.departures.pop_front()?;
            match room {
                Some(room) => {
                    let occupant = self.places.get(&room).and_then(|it| it.occupants.get(&user));
                    let here = occupant.and_then(|occupant| occupant.here.as_ref());
                    if here.is_some_and(|here| here.leaves_at == Some(at)) {
                        self.alter(&room, &user, |occupant| occupant.here = None);
                        self.leave(&room, &user);
                    }
                }
                None => {
                    if self.people.get(&user).is_some_and(|it| it.leaves_at == Some(at)) {
                        self.depart(&user);
                    }
                }
            }
        }
        None
    }

    /// Takes one session out of a room; whether it was the user's last there. It
    /// stays until the grace is over, if it has one.
    pub(super) fn vacate(
        &mut self,
        room: &RoomName,
        user: &UserId,
        worker: WorkerId,
        leaves_at: Option<Instant>,
    ) -> bool {
        let Some(place) = self.places.get_mut(room) else { return false };
        if let Some(sessions) = place.workers.get_mut(&worker) {
            *sessions -= 1;
            if *sessions == 0 {
                place.workers.remove(&worker);
            }
        }
        let mut was_last = false;
        self.alter(room, user, |occupant| {
            let Some(here) = &mut occupant.here else { return };
            here.sessions = here.sessions.saturating_sub(1);
            was_last = here.sessions == 0;
            if was_last && leaves_at.is_none() {
                occupant.here = None;
            } else if was_last {
                here.leaves_at = leaves_at;
            }
        });
        self.note_own(room, user);
        was_last
    }

    /// What is to be done once this node has no part of an occupant any more.
    pub(super) fn leave(&mut self, room: &RoomName, user: &UserId) {
        if let Some(person) = self.people.get_mut(user) {
            person.rooms.remove(room);
        }
        self.note_own(room, user);
        if self.places.get(room).is_some_and(|place| place.here == 0) {
            // What the others told goes with it: nobody here is to be told.
            self.places.remove(room);
            if self.has_others {
                self.effects.push(Effect::Deserted(room.clone()));
            }
        }
    }

    /// A user has no connection with this node any more, and no grace.
    fn depart(&mut self, user: &UserId) {
        let before = self.availability(user);
        self.people.remove(user);
        self.note_availability(user, before);
        self.note_connected(user);
        if self.has_others {
            self.effects.push(Effect::Deserted(RoomName::inbox(user)));
        }
    }
}
