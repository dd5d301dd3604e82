//! The embedded broker: all of it in this process's memory, and in a store on disk
//! where it is to outlive the process.

mod dedup;
mod durable;
mod listing;
mod log;
mod room;
mod state;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use ahash::AHashMap;
use futures_util::future::{FutureExt, ready};

pub use self::durable::{DurableBroker, StoreError};
use self::room::Room;
use super::{
    Answer, Broker, Delivery, Health, Inbox, Page, PageRequest, PublishError, Receipt, Rooms,
    RoomsRequest, Snapshot, Start, StatePage, StateRequest, Subscriber, Unavailable, room_settings,
};
use crate::{
    backend::Queue,
    config,
    model::{Draft, Epoch, Position, RoomName, Seq, Transient, UserId, WorkerId, wall_clock},
};

/// Rooms are spread over so many locks, so that workers seldom wait for each other.
const SHARDS: usize = 64;

/// Boxed, as most of a table's places are empty.
type Shard = Mutex<AHashMap<RoomName, Box<Room>>>;

/// The embedded broker. It keeps the [laws](super) for as long as the process
/// lives; what it holds is gone when the process is.
pub struct MemoryBroker {
    shards: Box<[Shard]>,
    hasher: ahash::RandomState,
    rooms: config::Rooms,
    inbox: config::Inbox,
    /// About how many bytes all rooms may take, and take.
    memory: usize,
    held: AtomicUsize,
    /// Where backends are told of messages.
    queue: Option<Arc<Queue>>,
}

impl MemoryBroker {
    /// A broker without rooms.
    pub fn new(broker: &config::Broker, rooms: &config::Rooms, inbox: &config::Inbox) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: ahash::RandomState::new(),
            rooms: rooms.clone(),
            inbox: inbox.clone(),
            memory: broker.memory,
            held: AtomicUsize::new(0),
            queue: None,
        }
    }

    /// The same, which tells backends what is written.
    #[must_use]
    pub fn telling(self, queue: Option<Arc<Queue>>) -> Self {
        Self { queue, ..self }
    }

    /// Lets go of entries, nonces and rooms that are over their time. Worth
    /// calling every few seconds; reading does not depend on it.
    pub fn sweep(&self) {
        for shard in &self.shards {
            self.sweep_shard(&mut lock(shard), |_, _, _| {});
        }
    }

    /// The same for some of the rooms; says of each whether it is let go of.
    fn sweep_shard(
        &self,
        rooms: &mut AHashMap<RoomName, Box<Room>>,
        mut swept: impl FnMut(&RoomName, &mut Room, bool),
    ) {
        let now = wall_clock();
        rooms.retain(|name, room| {
            let before = room.weight();
            let expired = room.expired(now);
            self.account(before, if expired { 0 } else { room.weight() });
            swept(name, room, expired);
            !expired
        });
        if rooms.is_empty() {
            rooms.shrink_to_fit();
        }
    }

    /// Puts in a room as it was before.
    fn put_back(&self, name: RoomName, room: Box<Room>) {
        self.account(0, room.weight());
        lock(self.shard(&name)).insert(name, room);
    }

    /// Does something with a room that is there already.
    fn look<T>(&self, room: &RoomName, act: impl FnOnce(&mut Room) -> T) -> Option<T> {
        lock(self.shard(room)).get_mut(room).map(|room| self.weighed(room, act))
    }

    /// Does something with a room, which is made if it is not there.
    fn with<T>(&self, room: &RoomName, act: impl FnOnce(&mut Room) -> T) -> Result<T, Unavailable> {
        let mut rooms = lock(self.shard(room));
        if let Some(known) = rooms.get_mut(room) {
            return Ok(self.weighed(known, act));
        }
        self.require_memory()?;
        let mut made =
            Box::new(Room::new(room_settings(&self.rooms, &self.inbox, room), wall_clock()));
        self.account(0, made.weight());
        let done = self.weighed(&mut made, act);
        rooms.insert(room.clone(), made);
        Ok(done)
    }

    fn weighed<T>(&self, room: &mut Room, act: impl FnOnce(&mut Room) -> T) -> T {
        let before = room.weight();
        let done = act(room);
        self.account(before, room.weight());
        done
    }

    fn account(&self, before: usize, after: usize) {
        // Wrapping makes a difference below zero come out right.
        self.held.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }

    fn require_memory(&self) -> Result<(), Unavailable> {
        if self.held.load(Ordering::Relaxed) < self.memory {
            Ok(())
        } else {
            Err(Unavailable::Full)
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
        ready(self.with(room, |room| room.subscribe(subscriber))).boxed()
    }

    fn unsubscribe(&self, room: &RoomName, worker: WorkerId) {
        self.look(room, |room| room.unsubscribe(worker, wall_clock()));
    }

    fn publish(&self, room: &RoomName, draft: Draft) -> Answer<'_, Receipt, PublishError> {
        let queue = self.queue.as_deref();
        let published = self
            .require_memory()
            .and_then(|()| self.with(room, |held| held.publish(room, draft, wall_clock(), queue)));
        ready(published.unwrap_or_else(|full| Err(full.into()))).boxed()
    }

    fn relay(&self, room: &RoomName, transient: Transient) -> Answer<'_, ()> {
        let delivery = Delivery::Transient(room.clone(), Arc::new(transient));
        let taken = self.look(room, |room| room.hand_on(&delivery)).unwrap_or(true);
        ready(if taken { Ok(()) } else { Err(Unavailable::Full) }).boxed()
    }

    fn delivered_end(&self, room: &RoomName) -> Option<Position> {
        lock(self.shard(room)).get(room).map(|room| room.position())
    }

    fn snapshot(&self, room: &RoomName, start: Start) -> Answer<'_, Snapshot> {
        ready(self.with(room, |room| room.snapshot(start, wall_clock()))).boxed()
    }

    fn page(&self, room: &RoomName, request: PageRequest) -> Answer<'_, Page> {
        let page = self.look(room, |room| room.page(request, wall_clock()));
        ready(Ok(page.unwrap_or_else(Page::of_no_room))).boxed()
    }

    fn state(&self, room: &RoomName, request: StateRequest) -> Answer<'_, StatePage> {
        let state = self.look(room, |room| room.state(&request));
        ready(Ok(state.unwrap_or_else(StatePage::of_no_room))).boxed()
    }

    fn rooms(&self, request: RoomsRequest) -> Answer<'_, Option<Rooms>> {
        ready(Ok(self.list(&request))).boxed()
    }

    fn inbox(&self, user: &UserId) -> Answer<'_, Inbox> {
        ready(self.with(&RoomName::inbox(user), |room| room.inbox(wall_clock()))).boxed()
    }

    fn seen(&self, user: &UserId, epoch: Option<Epoch>, seq: Seq) -> Answer<'_, ()> {
        self.look(&RoomName::inbox(user), |room| room.mark_seen(epoch, seq));
        ready(Ok(())).boxed()
    }

    fn health(&self) -> Health {
        let problem = self.require_memory().is_err().then_some("it holds as much as it may");
        Health { kind: "embedded", ok: problem.is_none(), problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Settings,
        model::{Author, Body, Payload},
    };

    fn chat(text: &str) -> Draft {
        let author = Author { user: None, session: None, echo: true };
        let body = Body::Message(Payload::Text(text.into()));
        Draft { author, body, nonce: None, if_version: None }
    }

    #[actix::test]
    async fn a_full_broker_takes_nothing_until_time_makes_room() {
        let toml = "[broker]\nmemory = \"1 MiB\"\n[rooms]\nhistory_ttl = \"50ms\"";
        let settings = Settings::from_toml(toml).unwrap();
        let broker = MemoryBroker::new(&settings.broker, &settings.rooms, &settings.inbox);
        let text = "x".repeat(60_000);
        let mut taken = 0;
        let full = loop {
            let room = RoomName::parse(&format!("room-{taken}")).unwrap();
            match broker.publish(&room, chat(&text)).await {
                Ok(_) => taken += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(full, PublishError::Unavailable(Unavailable::Full)), "{full}");
        assert!((16..=18).contains(&taken), "{taken}");
        let new = RoomName::parse("new").unwrap();
        assert!(broker.snapshot(&new, Start::End).await.is_err());
        assert!(!broker.health().ok);
        while broker.held.load(Ordering::Relaxed) > 0 {
            broker.sweep();
            // Only time makes a log old.
            actix::clock::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert!(broker.publish(&new, chat(&text)).await.is_ok());
    }
}
