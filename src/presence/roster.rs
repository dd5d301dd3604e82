#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use ahash::{AHashMap, AHashSet};
use serde_json::value::RawValue;

use crate::{
    config,
    model::{
        Availability, Change, LinkId, Member, PresenceChanges, Profile, RoomName, Status,
        Timestamp, UserId, WorkerId,
    },
};

/// Something the workers have to be told.
#[derive(Debug)]
pub enum Effect {
    /// The members of a room changed.
    Room(RoomName, PresenceChanges),
    /// A user came, went or changed its status.
    Online(UserId, Availability),
}

/// The room holds as many sessions as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomFull;

/// Who is where. It knows neither actor nor clock: the time is an argument, and
/// what follows from a call waits in [`effects`](Roster::take_effects).
pub struct Roster {
    grace: Duration,
    rooms_settings: config::Rooms,
    links: AHashMap<LinkId, Link>,
    people: AHashMap<UserId, Person>,
    places: AHashMap<RoomName, Place>,
    /// Who leaves when; in the order of time, because the grace is the same for all.
    departures: VecDeque<(Instant, UserId, Option<RoomName>)>,
    effects: Vec<Effect>,
}

/// One connection.
struct Link {
    worker: WorkerId,
    user: UserId,
    rooms: AHashSet<RoomName>,
}

/// One user, while it has a connection or its grace lasts.
struct Person {
    profile: Arc<Profile>,
    status: Status,
    /// Shown in place of the profile's, once the user has set it.
    meta: Option<Arc<RawValue>>,
    links: usize,
    rooms: AHashSet<RoomName>,
    leaves_at: Option<Instant>,
}

/// One room.
struct Place {
    occupants: AHashMap<UserId, Occupant>,
    /// How many sessions each worker has here.
    workers: AHashMap<WorkerId, usize>,
    presence_limit: usize,
    sessions_limit: usize,
}

/// One user in one room.
struct Occupant {
    sessions: usize,
    since: Timestamp,
    leaves_at: Option<Instant>,
}

impl Person {
    fn member(&self, occupant: &Occupant) -> Member {
        let user = &self.profile.user;
        Member {
            user: user.clone(),
            name: self.profile.name.clone().unwrap_or_else(|| user.as_str().into()),
            status: self.status,
            // In its grace a user is shown as others last saw it.
            sessions: occupant.sessions.max(1),
            since: occupant.since,
            meta: self.meta.clone().or_else(|| self.profile.meta.clone()),
        }
    }
}

impl Roster {
    /// Nobody is anywhere. A user whose last session ended stays for `grace`.
    pub fn new(grace: Duration, rooms: &config::Rooms) -> Self {
        Self {
            grace,
            rooms_settings: rooms.clone(),
            links: AHashMap::new(),
            people: AHashMap::new(),
            places: AHashMap::new(),
            departures: VecDeque::new(),
            effects: Vec::new(),
        }
    }

    /// What follows from the calls since this was last asked, in their order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// A connection of a user began, or has a new token: what the newest one
    /// says is shown.
    pub fn connect(&mut self, link: LinkId, worker: WorkerId, profile: Arc<Profile>) {
        let user = profile.user.clone();
        let mut is_new = false;
        self.links.entry(link).or_insert_with(|| {
            is_new = true;
            Link { worker, user: user.clone(), rooms: AHashSet::new() }
        });
        match self.people.get_mut(&user) {
            Some(person) => {
                person.links += usize::from(is_new);
                person.leaves_at = None;
                let shown = |profile: &Profile| {
                    (profile.name.clone(), profile.meta.as_ref().map(|meta| meta.get().to_owned()))
                };
                let changed = shown(&person.profile) != shown(&profile);
                person.profile = profile;
                if changed {
                    self.show_everywhere(&user);
                }
            }
            None => {
                let person = Person {
                    profile,
                    status: Status::Online,
                    meta: None,
                    links: 1,
                    rooms: AHashSet::new(),
                    leaves_at: None,
                };
                self.people.insert(user.clone(), person);
                self.effects.push(Effect::Online(user, Availability::Online));
            }
        }
    }

    /// A connection ended. The user leaves only when its grace is over.
    pub fn disconnect(&mut self, link: LinkId, now: Instant) {
        let Some(Link { worker, user, rooms }) = self.links.remove(&link) else { return };
        let leaves_at = now + self.grace;
        for room in rooms {
            if self.vacate(&room, &user, worker) {
                if let Some(place) = self.places.get_mut(&room)
                    && let Some(occupant) = place.occupants.get_mut(&user)
                {
                    occupant.leaves_at = Some(leaves_at);
                }
                self.departures.push_back((leaves_at, user.clone(), Some(room)));
            }
        }
        if let Some(person) = self.people.get_mut(&user) {
            person.links -= 1;
            if person.links == 0 {
                person.leaves_at = Some(leaves_at);
                self.departures.push_back((leaves_at, user, None));
            }
        }
    }

    /// A session became a member of a room. Telling it twice is as telling it once.
    ///
    /// # Errors
    /// [`RoomFull`] where the room's namespace bounds its sessions.
    pub fn track(&mut self, link: LinkId, room: &RoomName, at: Timestamp) -> Result<(), RoomFull> {
        let Some(known) = self.links.get_mut(&link) else { return Ok(()) };
        let settings = &self.rooms_settings;
        let place = self.places.entry(room.clone()).or_insert_with(|| {
            let settings = settings.for_room(room.as_str());
            Place {
                occupants: AHashMap::new(),
                workers: AHashMap::new(),
                presence_limit: settings.presence_limit,
                sessions_limit: settings.members,
            }
        });
        if known.rooms.contains(room) {
            return Ok(());
        }
        let sessions: usize = place.workers.values().sum();
        if place.sessions_limit != 0 && sessions >= place.sessions_limit {
            return Err(RoomFull);
        }
        known.rooms.insert(room.clone());
        *place.workers.entry(known.worker).or_default() += 1;
        let user = known.user.clone();
        let Some(person) = self.people.get_mut(&user) else { return Ok(()) };
        person.rooms.insert(room.clone());
        let mut is_new = false;
        let occupant = place.occupants.entry(user.clone()).or_insert_with(|| {
            is_new = true;
            Occupant { sessions: 0, since: at, leaves_at: None }
        });
        occupant.sessions += 1;
        // Somebody who came back within the grace had never left.
        let came_back = occupant.leaves_at.take().is_some();
        if is_new {
            let member = person.member(occupant);
            self.tell(room, user, Change::Joined(member));
        } else if !came_back {
            let member = person.member(occupant);
            self.tell(room, user, Change::Updated(member));
        }
        Ok(())
    }

    /// A session is no member any more, by its own will: without grace.
    pub fn untrack(&mut self, link: LinkId, room: &RoomName) {
        let Some(known) = self.links.get_mut(&link) else { return };
        if !known.rooms.remove(room) {
            return;
        }
        let (worker, user) = (known.worker, known.user.clone());
        if self.vacate(room, &user, worker) {
            self.leave(room, &user);
        }
    }

    /// A user says something new of itself, in all its rooms.
    pub fn set_status(&mut self, link: LinkId, status: Status, meta: Option<Arc<RawValue>>) {
        let Some(user) = self.links.get(&link).map(|link| link.user.clone()) else { return };
        let Some(person) = self.people.get_mut(&user) else { return };
        if person.status != status {
            person.status = status;
            self.effects.push(Effect::Online(user.clone(), status.into()));
        }
        if meta.is_some() {
            person.meta = meta;
        }
        self.show_everywhere(&user);
    }

    /// The members of a room and how many there are; the number alone where
    /// they are more than the room's namespace shows.
    pub fn members(&self, room: &RoomName) -> (Vec<Member>, usize) {
        let Some(place) = self.places.get(room) else { return (Vec::new(), 0) };
        let count = place.occupants.len();
        if count > place.presence_limit {
            return (Vec::new(), count);
        }
        let member =
            |(user, occupant)| self.people.get(user).map(|it: &Person| it.member(occupant));
        let mut members: Vec<Member> = place.occupants.iter().filter_map(member).collect();
        members.sort_by(|a, b| (a.since, &a.user).cmp(&(b.since, &b.user)));
        (members, count)
    }

    /// Which workers have sessions in a room.
    pub fn workers(&self, room: &RoomName) -> Vec<WorkerId> {
        self.places.get(room).map_or_else(Vec::new, |place| place.workers.keys().copied().collect())
    }

    /// Whether a user is there, and how.
    pub fn availability(&self, user: &UserId) -> Availability {
        self.people.get(user).map_or(Availability::Offline, |person| person.status.into())
    }

    /// Lets those go whose grace is over; answers when the next one's is.
    pub fn expire(&mut self, now: Instant) -> Option<Instant> {
        while let Some((at, ..)) = self.departures.front() {
            if *at > now {
                return Some(*at);
            }
            let Some((at, user, room)) = self.departures.pop_front() else { break };
            match room {
                Some(room) => {
                    let left = self.places.get(&room).and_then(|place| place.occupants.get(&user));
                    if left.is_some_and(|occupant| occupant.leaves_at == Some(at)) {
                        self.leave(&room, &user);
                    }
                }
                None => {
                    if self.people.get(&user).is_some_and(|it| it.leaves_at == Some(at)) {
                        self.people.remove(&user);
                        self.effects.push(Effect::Online(user, Availability::Offline));
                    }
                }
            }
        }
        None
    }

    /// Takes one session out of a room; whether it was the user's last there.
    fn vacate(&mut self, room: &RoomName, user: &UserId, worker: WorkerId) -> bool {
        let Some(place) = self.places.get_mut(room) else { return false };
        if let Some(sessions) = place.workers.get_mut(&worker) {
            *sessions -= 1;
            if *sessions == 0 {
                place.workers.remove(&worker);
            }
        }
        let Some(occupant) = place.occupants.get_mut(user) else { return false };
        occupant.sessions = occupant.sessions.saturating_sub(1);
        if occupant.sessions == 0 {
            return true;
        }
        if let Some(person) = self.people.get(user) {
            let member = person.member(occupant);
            self.tell(room, user.clone(), Change::Updated(member));
        }
        false
    }

    fn leave(&mut self, room: &RoomName, user: &UserId) {
        if let Some(place) = self.places.get_mut(room) {
            place.occupants.remove(user);
        }
        if let Some(person) = self.people.get_mut(user) {
            person.rooms.remove(room);
        }
        self.tell(room, user.clone(), Change::Left);
        if self.places.get(room).is_some_and(|place| place.occupants.is_empty()) {
            self.places.remove(room);
        }
    }

    fn show_everywhere(&mut self, user: &UserId) {
        let Some(person) = self.people.get(user) else { return };
        let mut shown = Vec::new();
        for room in &person.rooms {
            if let Some(occupant) = self.places.get(room).and_then(|it| it.occupants.get(user)) {
                shown.push((room.clone(), person.member(occupant)));
            }
        }
        for (room, member) in shown {
            self.tell(&room, user.clone(), Change::Updated(member));
        }
    }

    /// Notes a change for the workers of the room: by name while the room is
    /// small, else by number alone.
    fn tell(&mut self, room: &RoomName, user: UserId, change: Change) {
        let Some(place) = self.places.get(room) else { return };
        let count = place.occupants.len();
        let changes = if count > place.presence_limit || place.presence_limit == 0 {
            if matches!(change, Change::Updated(_)) {
                return;
            }
            PresenceChanges::count_alone(count)
        } else if count == place.presence_limit && matches!(change, Change::Left) {
            // Small enough again: whoever knows the number alone needs all names.
            PresenceChanges::all(self.members(room).0)
        } else {
            PresenceChanges::of(user, change, count)
        };
        self.effects.push(Effect::Room(room.clone(), changes));
    }
}
