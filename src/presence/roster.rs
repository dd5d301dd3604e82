mod fold;
mod leaving;
mod others;
mod own;
mod place;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use ahash::{AHashMap, AHashSet};
use serde_json::value::RawValue;

use self::place::{Here, Occupant, Place, Word};
use crate::{
    cluster::Said,
    config,
    model::{
        Availability, LifeId, LinkId, Member, PresenceChanges, Profile, RoomName, Status,
        Timestamp, UserId, WorkerId,
    },
};

/// Something that follows from what the roster was told.
#[derive(Debug)]
pub enum Effect {
    /// The members of a room changed.
    Room(RoomName, PresenceChanges),
    /// A user came, went or changed its status.
    Online(UserId, Availability),
    /// This node's entry of a user in a room is another now.
    Own(RoomName, UserId),
    /// The first user of this node is in a room, or connected, where the room
    /// is its inbox.
    Occupied(RoomName),
    /// The last one is gone.
    Deserted(RoomName),
    /// A user came into a room, or left it; connected, or has no connection any
    /// more, where the room is its inbox. Only where there are no other nodes.
    Seat {
        /// The room.
        room: RoomName,
        /// Who.
        user: UserId,
        /// Whether it came.
        came: bool,
        /// Whether nobody else is there.
        alone: bool,
    },
}

/// The room holds as many sessions as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomFull;

/// Who is where. It knows neither actor nor clock: the time is an argument, and
/// what follows from a call waits in [`effects`](Roster::take_effects).
pub struct Roster {
    grace: Duration,
    lease: Duration,
    rooms_settings: config::Rooms,
    /// Whether there are other nodes, who have to be told.
    has_others: bool,
    links: AHashMap<LinkId, Link>,
    /// The users of this node.
    people: AHashMap<UserId, Person>,
    /// The rooms that users of this node are in.
    places: AHashMap<RoomName, Place>,
    /// What the other nodes told of users' connections.
    connected_elsewhere: AHashMap<UserId, Vec<Word>>,
    /// Who leaves when; in the order of time, because the grace is the same for all.
    departures: VecDeque<(Instant, UserId, Option<RoomName>)>,
    /// Which words hold until when; in the order of time as well.
    doubts: VecDeque<(Instant, RoomName, UserId, LifeId)>,
    effects: Vec<Effect>,
}

/// One connection.
struct Link {
    worker: WorkerId,
    user: UserId,
    rooms: AHashSet<RoomName>,
}

/// One user of this node, while it has a connection or its grace lasts.
struct Person {
    profile: Arc<Profile>,
    profiled_at: Timestamp,
    said: Option<Said>,
    links: usize,
    since: Timestamp,
    rooms: AHashSet<RoomName>,
    leaves_at: Option<Instant>,
}

impl Roster {
    /// Nobody is anywhere, and there is no other node. A user whose last session
    /// ended stays for the grace.
    pub fn new(presence: &config::Presence, rooms: &config::Rooms) -> Self {
        Self {
            grace: presence.grace,
            lease: presence.lease,
            rooms_settings: rooms.clone(),
            has_others: false,
            links: AHashMap::new(),
            people: AHashMap::new(),
            places: AHashMap::new(),
            connected_elsewhere: AHashMap::new(),
            departures: VecDeque::new(),
            doubts: VecDeque::new(),
            effects: Vec::new(),
        }
    }

    /// The same where there are other nodes: what is to be told them, and where
    /// to listen to them, is among the effects.
    #[must_use]
    pub fn with_others(self) -> Self {
        Self { has_others: true, ..self }
    }

    /// What follows from the calls since this was last asked, in their order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// A connection of a user began, or has a new token: what the newest one
    /// says is shown.
    pub fn connect(
        &mut self,
        link: LinkId,
        worker: WorkerId,
        profile: Arc<Profile>,
        at: Timestamp,
    ) {
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
                self.profile(&user, profile, at);
            }
            None => {
                let before = self.availability(&user);
                let elsewhere = self.connected_elsewhere.get(&user).into_iter().flatten();
                let said = fold::newest(elsewhere.filter_map(|word| word.entry.said.as_ref()));
                let person = Person {
                    profile,
                    profiled_at: at,
                    said: said.cloned(),
                    links: 1,
                    since: at,
                    rooms: AHashSet::new(),
                    leaves_at: None,
                };
                self.people.insert(user.clone(), person);
                self.note_availability(&user, before);
                if self.has_others {
                    self.effects.push(Effect::Occupied(RoomName::inbox(&user)));
                }
                self.note_connected(&user);
            }
        }
    }

    /// A connection ended. The user leaves only when its grace is over.
    pub fn disconnect(&mut self, link: LinkId, now: Instant) {
        let Some(Link { worker, user, rooms }) = self.links.remove(&link) else { return };
        let leaves_at = now + self.grace;
        for room in rooms {
            if self.vacate(&room, &user, worker, Some(leaves_at)) {
                self.departures.push_back((leaves_at, user.clone(), Some(room)));
            }
        }
        if let Some(person) = self.people.get_mut(&user) {
            person.links -= 1;
            if person.links == 0 {
                person.leaves_at = Some(leaves_at);
                self.departures.push_back((leaves_at, user.clone(), None));
            }
            self.note_connected(&user);
        }
    }

    /// A session became a member of a room. Telling it twice is as telling it once.
    ///
    /// # Errors
    /// [`RoomFull`] where the room's namespace bounds its sessions.
    pub fn track(&mut self, link: LinkId, room: &RoomName, at: Timestamp) -> Result<(), RoomFull> {
        let Some(known) = self.links.get_mut(&link) else { return Ok(()) };
        let settings = &self.rooms_settings;
        let place = self
            .places
            .entry(room.clone())
            .or_insert_with(|| Place::new(settings.for_room(room.as_str())));
        if known.rooms.contains(room) {
            return Ok(());
        }
        if place.is_full() {
            return Err(RoomFull);
        }
        known.rooms.insert(room.clone());
        *place.workers.entry(known.worker).or_default() += 1;
        let user = known.user.clone();
        let Some(person) = self.people.get_mut(&user) else { return Ok(()) };
        person.rooms.insert(room.clone());
        if self.has_others && place.here == 0 {
            self.effects.push(Effect::Occupied(room.clone()));
        }
        self.alter(room, &user, |occupant| {
            let here =
                occupant.here.get_or_insert(Here { sessions: 0, since: at, leaves_at: None });
            here.sessions += 1;
            // Somebody who came back within the grace had never left.
            here.leaves_at = None;
        });
        self.note_own(room, &user);
        Ok(())
    }

    /// A session is no member any more, by its own will: without grace.
    pub fn untrack(&mut self, link: LinkId, room: &RoomName) {
        let Some(known) = self.links.get_mut(&link) else { return };
        if !known.rooms.remove(room) {
            return;
        }
        let (worker, user) = (known.worker, known.user.clone());
        if self.vacate(room, &user, worker, None) {
            self.leave(room, &user);
        }
    }

    /// A user says something new of itself, in all its rooms.
    pub fn set_status(
        &mut self,
        link: LinkId,
        status: Status,
        meta: Option<Arc<RawValue>>,
        at: Timestamp,
    ) {
        let Some(user) = self.links.get(&link).map(|link| link.user.clone()) else { return };
        self.revise(&user, true, |person| {
            let earlier = person.said.take();
            // A clock may be behind that of the node where the user spoke last.
            let at = earlier.as_ref().map_or(at, |earlier| at.max(earlier.at + 1));
            let meta = meta.or_else(|| earlier.and_then(|earlier| earlier.meta));
            person.said = Some(Said { status, meta, at });
        });
    }

    /// The members of a room and how many there are; the number alone where
    /// they are more than the room's namespace shows.
    pub fn members(&self, room: &RoomName) -> (Vec<Member>, usize) {
        self.places.get(room).map_or_else(Default::default, |place| place.members(&self.people))
    }

    /// Which users are in a room; the owner of an inbox, where it is connected.
    pub fn users(&self, room: &RoomName) -> Vec<UserId> {
        let owner =
            room.as_str().strip_prefix('@').and_then(|owner| self.people.get_key_value(owner));
        match self.places.get(room) {
            Some(place) => place.occupants.keys().cloned().collect(),
            None => owner.map(|(user, _)| user.clone()).into_iter().collect(),
        }
    }

    /// Which rooms a connection of this node is in, in the order of their names.
    pub fn rooms_of(&self, link: LinkId) -> Vec<RoomName> {
        let known = self.links.get(&link);
        let mut rooms: Vec<_> = known.into_iter().flat_map(|it| it.rooms.iter().cloned()).collect();
        rooms.sort_unstable();
        rooms
    }

    /// Which workers have sessions in a room.
    pub fn workers(&self, room: &RoomName) -> Vec<WorkerId> {
        self.places.get(room).map_or_else(Vec::new, |place| place.workers.keys().copied().collect())
    }

    /// Whether a room has more sessions than it may.
    pub fn is_over(&self, room: &RoomName) -> bool {
        self.places.get(room).is_some_and(Place::is_over)
    }

    /// Whether a user is there, and how.
    pub fn availability(&self, user: &UserId) -> Availability {
        let person = self.people.get(user);
        let elsewhere = self.connected_elsewhere.get(user);
        if person.is_none() && elsewhere.is_none() {
            return Availability::Offline;
        }
        let words = elsewhere.into_iter().flatten().filter_map(|word| word.entry.said.as_ref());
        let said = words.chain(person.and_then(|person| person.said.as_ref()));
        fold::newest(said).map_or(Status::Online, |said| said.status).into()
    }

    /// A user of this node shows what a token says.
    fn profile(&mut self, user: &UserId, profile: Arc<Profile>, at: Timestamp) {
        let Some(person) = self.people.get_mut(user) else { return };
        let known = &person.profile;
        let changed = known.name != profile.name
            || fold::text(known.meta.as_ref()) != fold::text(profile.meta.as_ref());
        if changed || self.has_others {
            self.revise(user, changed, |person| {
                person.profile = profile;
                person.profiled_at = at;
            });
        }
    }

    /// Changes what a user of this node shows of itself in all its rooms, and
    /// notes what others see of it: in each room, or where they see a change.
    fn revise(&mut self, user: &UserId, always: bool, act: impl FnOnce(&mut Person)) {
        let Some(person) = self.people.get(user) else { return };
        let known = |room: &RoomName| (room.clone(), self.member(room, user));
        let rooms: Vec<_> = person.rooms.iter().map(known).collect();
        let before = self.availability(user);
        if let Some(person) = self.people.get_mut(user) {
            act(person);
        }
        self.note_availability(user, before);
        for (room, before) in rooms {
            let Some(after) = self.member(&room, user) else { continue };
            if always || !before.is_some_and(|before| fold::alike(&before, &after)) {
                self.note_update(&room, user, after);
            }
            self.note_own(&room, user);
        }
        self.note_connected(user);
    }

    fn note_availability(&mut self, user: &UserId, before: Availability) {
        let now = self.availability(user);
        if now != before {
            self.effects.push(Effect::Online(user.clone(), now));
        }
        let came = now != Availability::Offline;
        if !self.has_others && came != (before != Availability::Offline) {
            let (room, user) = (RoomName::inbox(user), user.clone());
            self.effects.push(Effect::Seat { room, user, came, alone: true });
        }
    }
}
