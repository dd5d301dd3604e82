//! The embedded broker with a store: what is shown or acknowledged is on disk, and
//! there again after the process was killed.
//!
//! Memory is the one truth that is read. A write takes effect there under its
//! room's lock and is given, in the same step and so in the room's order, to the
//! one [writer](writer), which takes all that waits to disk in one commit. What was
//! read from a room, or written to it, is answered when all that the room was given
//! before is on disk. So nobody sees what a crash may take back.

mod change;
mod directory;
mod error;
mod renew;
mod revoked;
mod store;
mod tally;
mod writer;

use std::{
    mem,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use futures_util::future::FutureExt;
use log::info;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};

pub(super) use self::change::{Head, Kept, Mark};
pub use self::error::StoreError;
use self::{
    change::Change,
    directory::Store,
    writer::{BatchStore, CommitClock, Progress, Staged, Trouble, Writer},
};
use super::{MemoryBroker, lock, room::Room};
use crate::{
    broker::{
        Answer, Broker, Health, Inbox, Page, PageRequest, PublishError, Receipt, RevocationStore,
        Rooms, RoomsRequest, Snapshot, Start, StatePage, StateRequest, Subscriber, Unavailable,
        room_settings,
    },
    cluster::Revocation,
    model::{
        Draft, Epoch, Position, Publication, RoomName, Seq, Transient, UserId, WorkerId, wall_clock,
    },
};

/// How many writes may wait for the disk. Who comes later waits for a place.
const QUEUE: usize = 1_024;

/// How long a commit may take before the node is not ready: far above what a busy disk takes.
const SLOW_COMMIT: Duration = Duration::from_secs(5);

/// How long a request waits for the disk. After that it is answered `unavailable`, though it
/// may still be written: sending it again with its nonce is safe.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The embedded broker with a store. It keeps the [laws](crate::broker) across
/// restarts.
pub struct DurableBroker {
    rooms: Arc<MemoryBroker>,
    /// Those that were in the store, until somebody takes them.
    revocations: Mutex<Vec<Revocation>>,
    line: Mutex<Line>,
    places: Arc<Semaphore>,
    /// The number under which the last sweep gave something.
    swept: AtomicU64,
    progress: watch::Receiver<Progress>,
    clock: CommitClock,
    /// [`SLOW_COMMIT`] and [`WRITE_TIMEOUT`].
    limits: (Duration, Duration),
    writer: Option<JoinHandle<()>>,
}

/// The way to the writer. Numbers rise in the order in which it takes them.
struct Line {
    last: u64,
    /// None when the broker is about to be gone.
    writer: Option<mpsc::Sender<Staged>>,
}

impl DurableBroker {
    /// A broker with what is in the directory, which is made where it is not there.
    ///
    /// # Errors
    /// What is wrong with the directory, or with what is in it.
    pub fn open(rooms: MemoryBroker, path: &Path) -> Result<Self, StoreError> {
        let began = Instant::now();
        let store = Store::open(path)?;
        let settings = |room: &RoomName| room_settings(&rooms.rooms, &rooms.inbox, room);
        let back = store.read(|database| store::load(database, settings, wall_clock()))?;
        let revocations = store.read(revoked::load)?;
        info!(
            "broker.path: {}: {} rooms and inboxes and {} revocations are back, in {:.1} s",
            path.display(),
            back.len(),
            revocations.len(),
            began.elapsed().as_secs_f64()
        );
        for (name, room) in back {
            rooms.put_back(name, room);
        }
        Self::start(rooms, store, revocations, (SLOW_COMMIT, WRITE_TIMEOUT))
    }

    /// Starts the writer.
    fn start(
        rooms: MemoryBroker,
        store: impl BatchStore,
        revocations: Vec<Revocation>,
        limits: (Duration, Duration),
    ) -> Result<Self, StoreError> {
        let rooms = Arc::new(rooms);
        let path = store.path().to_owned();
        let clock = CommitClock::default();
        let (sender, queue) = mpsc::channel();
        let (told, progress) = watch::channel(Progress::default());
        let writer =
            Writer { store, clock: clock.clone(), queue, progress: told, rooms: rooms.clone() };
        let writer = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| StoreError::Unusable { path, error })?;
        Ok(Self {
            rooms,
            revocations: Mutex::new(revocations),
            line: Mutex::new(Line { last: 0, writer: Some(sender) }),
            places: Arc::new(Semaphore::new(QUEUE)),
            swept: AtomicU64::new(0),
            progress,
            clock,
            limits,
            writer: Some(writer),
        })
    }

    /// Lets go of what is over its time, in memory and on disk. Worth calling every
    /// few seconds; reading does not depend on it.
    pub fn sweep(&self) {
        let Progress { written, trouble } = *self.progress.borrow();
        // What the last sweep gave is to be written before the next gives more.
        if trouble.is_some() || written < self.swept.load(Ordering::Relaxed) {
            return;
        }
        for shard in &self.rooms.shards {
            let mut changes = Vec::new();
            let mut touched = Vec::new();
            let mut rooms = lock(shard);
            self.rooms.sweep_shard(&mut rooms, |name, room, expired| {
                if expired {
                    changes.push(Change::Gone(room.position().epoch));
                } else if let Some(change) = room.change(name, None) {
                    changes.push(change);
                    touched.push(name.clone());
                }
            });
            if !changes.is_empty() {
                let ticket = self.give(changes, None);
                self.swept.store(ticket, Ordering::Relaxed);
                for name in touched {
                    if let Some(room) = rooms.get_mut(&name) {
                        room.kept.ticket = ticket;
                    }
                }
            }
        }
    }

    /// Whether the thread that writes has not panicked. One whose store failed has ended
    /// too, but that is told by [`health`](Broker::health), and a restart does not mend it.
    pub fn is_writing(&self) -> bool {
        self.progress.borrow().trouble != Some(Trouble::Ended)
    }

    /// Has that thread panic, for tests.
    pub(crate) fn inject_fault(&self) {
        let line = lock(&self.line);
        let staged = Staged { ticket: line.last, changes: Vec::new(), fault: true, permit: None };
        if let Some(writer) = &line.writer {
            let _ = writer.send(staged);
        }
    }

    /// Gives something to the writer. The rooms it concerns are locked meanwhile.
    fn give(&self, changes: Vec<Change>, place: Option<OwnedSemaphorePermit>) -> u64 {
        let mut line = lock(&self.line);
        line.last += 1;
        let staged = Staged { ticket: line.last, changes, fault: false, permit: place };
        if let Some(writer) = &line.writer {
            // One that is gone has said so.
            let _ = writer.send(staged);
        }
        line.last
    }

    /// A place in the writer's queue; waits for one.
    async fn place(&self) -> Result<OwnedSemaphorePermit, Unavailable> {
        let place = timeout(self.limits.1, self.places.clone().acquire_owned()).await;
        match (place, self.progress.borrow().trouble) {
            (Ok(Ok(place)), None) => Ok(place),
            _ => Err(Unavailable::Unstored),
        }
    }

    /// Does something with a room, which is made if it is not there, gives the
    /// writer what came of it, and answers when all that the room was given is on
    /// disk.
    async fn act<T>(
        &self,
        name: &RoomName,
        act: impl FnOnce(&mut Room) -> (T, Option<Arc<Publication>>),
    ) -> Result<T, Unavailable> {
        let place = self.place().await?;
        let (done, ticket) = self.rooms.with(name, |room| {
            let (done, entry) = act(room);
            if (entry.is_some() || room.kept.is_new())
                && let Some(change) = room.change(name, entry)
            {
                room.kept.ticket = self.give(vec![change], Some(place));
            }
            (done, room.kept.ticket)
        })?;
        self.written(ticket).await?;
        Ok(done)
    }

    /// Reads something of a room, if it is there, and answers when it is on disk.
    async fn read<T>(
        &self,
        name: &RoomName,
        read: impl FnOnce(&mut Room) -> T,
    ) -> Result<Option<T>, Unavailable> {
        let Some((done, ticket)) = self.rooms.look(name, |room| (read(room), room.kept.ticket))
        else {
            return Ok(None);
        };
        self.written(ticket).await?;
        Ok(Some(done))
    }

    /// Waits until the writer is there.
    async fn written(&self, ticket: u64) -> Result<(), Unavailable> {
        if self.progress.borrow().written >= ticket {
            return Ok(());
        }
        let mut progress = self.progress.clone();
        let there = |progress: &Progress| progress.written >= ticket || progress.trouble.is_some();
        match timeout(self.limits.1, progress.wait_for(there)).await {
            Ok(Ok(progress)) if progress.written >= ticket => Ok(()),
            _ => Err(Unavailable::Unstored),
        }
    }
}

impl RevocationStore for DurableBroker {
    fn load(&self) -> Vec<Revocation> {
        mem::take(&mut lock(&self.revocations))
    }

    fn update(&self, kept: Option<Revocation>, gone: Vec<Revocation>) -> Answer<'_, ()> {
        async move {
            let place = self.place().await?;
            let kept = kept.into_iter().map(Change::Revoked);
            let changes = kept.chain(gone.into_iter().map(Change::Forgotten)).collect();
            self.written(self.give(changes, Some(place))).await
        }
        .boxed()
    }
}

/// What waits is written, and the directory is free when the broker is gone.
impl Drop for DurableBroker {
    fn drop(&mut self) {
        drop(mem::take(&mut lock(&self.line).writer));
        if let Some(writer) = self.writer.take() {
            // A panic of its thread was logged where it happened.
            let _ = writer.join();
        }
    }
}

impl Broker for DurableBroker {
    fn subscribe(&self, room: &RoomName, subscriber: &Subscriber) -> Answer<'_, Position> {
        let (room, subscriber) = (room.clone(), subscriber.clone());
        async move { self.act(&room, |held| (held.subscribe(&subscriber), None)).await }.boxed()
    }

    fn unsubscribe(&self, room: &RoomName, worker: WorkerId) {
        self.rooms.unsubscribe(room, worker);
    }

    fn publish(&self, room: &RoomName, draft: Draft) -> Answer<'_, Receipt, PublishError> {
        let room = room.clone();
        async move {
            self.rooms.require_memory()?;
            let append = |held: &mut Room| match held.append(&room, draft, wall_clock()) {
                Ok((receipt, entry)) => (Ok(receipt), entry),
                Err(error) => (Err(error), None),
            };
            self.act(&room, append).await?
        }
        .boxed()
    }

    fn relay(&self, room: &RoomName, transient: Transient) -> Answer<'_, ()> {
        self.rooms.relay(room, transient)
    }

    fn delivered_end(&self, room: &RoomName) -> Option<Position> {
        let rooms = lock(self.rooms.shard(room));
        let held = rooms.get(room)?;
        // What is not written yet is not handed to subscribers either.
        (held.kept.ticket <= self.progress.borrow().written).then(|| held.position())
    }

    fn snapshot(&self, room: &RoomName, start: Start) -> Answer<'_, Snapshot> {
        let room = room.clone();
        async move { self.act(&room, |held| (held.snapshot(start, wall_clock()), None)).await }
            .boxed()
    }

    fn page(&self, room: &RoomName, request: PageRequest) -> Answer<'_, Page> {
        let room = room.clone();
        async move {
            let page = self.read(&room, |held| held.page(request, wall_clock())).await?;
            Ok(page.unwrap_or_else(Page::of_no_room))
        }
        .boxed()
    }

    fn state(&self, room: &RoomName, request: StateRequest) -> Answer<'_, StatePage> {
        let room = room.clone();
        async move {
            let state = self.read(&room, |held| held.state(&request)).await?;
            Ok(state.unwrap_or_else(StatePage::of_no_room))
        }
        .boxed()
    }

    fn rooms(&self, request: RoomsRequest) -> Answer<'_, Option<Rooms>> {
        async move {
            let rooms = self.rooms.list(&request);
            // Rooms of every shard: all that was given up to now has to be there.
            let last = lock(&self.line).last;
            self.written(last).await?;
            Ok(rooms)
        }
        .boxed()
    }

    fn inbox(&self, user: &UserId) -> Answer<'_, Inbox> {
        let inbox = RoomName::inbox(user);
        async move { self.act(&inbox, |held| (held.inbox(wall_clock()), None)).await }.boxed()
    }

    fn seen(&self, user: &UserId, epoch: Option<Epoch>, seq: Seq) -> Answer<'_, ()> {
        let inbox = RoomName::inbox(user);
        async move {
            let place = self.place().await?;
            let given = self.rooms.look(&inbox, |room| {
                room.mark_seen(epoch, seq);
                if let Some(change) = room.change(&inbox, None) {
                    room.kept.ticket = self.give(vec![change], Some(place));
                }
                room.kept.ticket
            });
            self.written(given.unwrap_or_default()).await
        }
        .boxed()
    }

    fn health(&self) -> Health {
        let memory = self.rooms.health();
        let trouble = self.progress.borrow().trouble.map(writer::Trouble::problem).or_else(|| {
            (self.clock.elapsed() > self.limits.0)
                .then_some("the disk of broker.path does not answer")
        });
        Health { ok: memory.ok && trouble.is_none(), problem: trouble.or(memory.problem), ..memory }
    }
}

#[cfg(test)]
mod tests;
