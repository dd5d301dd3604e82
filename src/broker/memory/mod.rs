//! The embedded broker: all of it in this process's memory.

mod dedup;
mod log;
mod room;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ahash::AHashMap;
use futures_util::future::{FutureExt, ready};

use self::room::Room;
use super::{
    Answer, Broker, Delivery, Health, Inbox, Page, PageRequest, PublishError, Receipt, Snapshot,
    Start, Subscriber,
};
use crate::{
    config::{self, RoomSettings},
    model::{Draft, Position, RoomName, Seq, Transient, UserId, WorkerId, wall_clock},
};

/// Rooms are spread over so many locks, so that workers seldom wait for each other.
const SHARDS: usize = 64;

type Shard = Mutex<AHashMap<RoomName, Room>>;

/// The embedded broker. It keeps the [laws](super) for as long as the process
/// lives; what it holds is gone when the process is.
pub struct MemoryBroker {
    shards: Box<[Shard]>,
    hasher: ahash::RandomState,
    rooms: config::Rooms,
    inbox: config::Inbox,
}

impl MemoryBroker {
    /// A broker without rooms.
    pub fn new(rooms: &config::Rooms, inbox: &config::Inbox) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: ahash::RandomState::new(),
            rooms: rooms.clone(),
            inbox: inbox.clone(),
        }
    }

    /// Lets go of entries, nonces and rooms that are over their time. Worth
    /// calling every few seconds; reading does not depend on it.
    pub fn sweep(&self) {
        let now = wall_clock();
        for shard in &self.shards {
            let mut rooms = lock(shard);
            rooms.retain(|_, room| !room.expired(now));
            if rooms.is_empty() {
                rooms.shrink_to_fit();
            }
        }
    }

    /// How many rooms are held.
    pub fn rooms(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn settings(&self, room: &RoomName) -> RoomSettings {
        let settings = self.rooms.for_room(room.as_str());
        if room.is_inbox() {
            RoomSettings { history_size: self.inbox.size, history_ttl: self.inbox.ttl, ..settings }
        } else {
            settings
        }
    }

    /// Does something with a room that is there already.
    fn look<T>(&self, room: &RoomName, act: impl FnOnce(&mut Room) -> T) -> Option<T> {
        lock(self.shard(room)).get_mut(room).map(act)
    }

    /// Does something with a room, which is made if it is not there.
    fn with<T>(&self, room: &RoomName, act: impl FnOnce(&mut Room) -> T) -> T {
        let mut rooms = lock(self.shard(room));
        match rooms.get_mut(room) {
            Some(known) => act(known),
            None => {
                let made = Room::new(self.settings(room), wall_clock());
                act(rooms.entry(room.clone()).or_insert(made))
            }
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the length")]
    fn shard(&self, room: &RoomName) -> &Shard {
        let hash = usize::try_from(self.hasher.hash_one(room) % SHARDS as u64).unwrap_or(0);
        &self.shards[hash % self.shards.len()]
    }
}

/// Rooms stay usable when a thread that held the lock panicked: each step leaves
/// them whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Broker for MemoryBroker {
    fn subscribe(&self, room: &RoomName, subscriber: &Subscriber) -> Answer<'_, Position> {
        let position = self.with(room, |room| room.subscribe(subscriber));
        ready(Ok(position)).boxed()
    }

    fn unsubscribe(&self, room: &RoomName, worker: WorkerId) {
        self.look(room, |room| room.unsubscribe(worker, wall_clock()));
    }

    fn publish(&self, room: &RoomName, draft: Draft) -> Answer<'_, Receipt, PublishError> {
        let result = self.with(room, |held| held.publish(room, draft, wall_clock()));
        ready(result).boxed()
    }

    fn relay(&self, room: &RoomName, transient: Transient) -> Answer<'_, ()> {
        let delivery = Delivery::Transient(room.clone(), Arc::new(transient));
        self.look(room, |room| room.hand_on(&delivery));
        ready(Ok(())).boxed()
    }

    fn snapshot(&self, room: &RoomName, start: Start) -> Answer<'_, Snapshot> {
        let snapshot = self.with(room, |room| room.snapshot(start, wall_clock()));
        ready(Ok(snapshot)).boxed()
    }

    fn page(&self, room: &RoomName, request: PageRequest) -> Answer<'_, Page> {
        let page = self.with(room, |room| room.log.page(request));
        ready(Ok(page)).boxed()
    }

    fn inbox(&self, user: &UserId) -> Answer<'_, Inbox> {
        let inbox = self.with(&RoomName::inbox(user), |room| room.inbox(wall_clock()));
        ready(Ok(inbox)).boxed()
    }

    fn seen(&self, user: &UserId, seq: Seq) -> Answer<'_, ()> {
        self.look(&RoomName::inbox(user), |room| room.mark_seen(seq));
        ready(Ok(())).boxed()
    }

    fn health(&self) -> Health {
        Health { kind: "embedded", ok: true }
    }
}
