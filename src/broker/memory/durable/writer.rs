//! The thread that writes: what waits goes to disk together, and is handed on when
//! it is there.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use log::{error, info, warn};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{change::Change, directory::Store, error::Failure, lock};
use crate::{
    backend::What,
    broker::{Delivery, memory::MemoryBroker},
    supervision::InjectedFault,
};

/// How long it is waited, after a disk was found full, before it is tried again;
/// each time twice as long, up to the second.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_AT_MOST: Duration = Duration::from_secs(30);

/// Changes of one step, in the order in which they were made.
#[derive(Debug)]
pub(super) struct Staged {
    /// Rises by one.
    pub(super) ticket: u64,
    pub(super) changes: Vec<Change>,
    /// The writer is to panic, for a test.
    pub(super) fault: bool,
    /// A place in the queue; a sweep, of which there is one at a time, takes none.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// How far the writer is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// All up to this ticket is on disk, and handed on.
    pub(super) written: u64,
    /// Why nothing more is written.
    pub(super) trouble: Option<Trouble>,
}

/// What is wrong with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There is no room; what waits is tried again.
    Full,
    /// It failed, and nothing more is written before the process was restarted.
    Failed,
    /// The thread that writes panicked; the node ends for it.
    Ended,
}

impl Trouble {
    pub(super) fn problem(self) -> &'static str {
        match self {
            Self::Full => "the disk of broker.path is full",
            Self::Failed => "the store in broker.path failed; the log has more",
            Self::Ended => "the thread that writes broker.path ended",
        }
    }
}

/// Where batches are written.
pub(super) trait BatchStore: Send + 'static {
    /// The directory.
    fn path(&self) -> &Path;

    /// Writes all changes of the batch, or none.
    fn commit(&mut self, batch: &[Staged]) -> Result<(), Failure>;

    /// Opens the store again after a failure. It has to be what it was before.
    fn reopen(&mut self) -> Result<(), Failure>;
}

impl BatchStore for Store {
    fn path(&self) -> &Path {
        Self::path(self)
    }

    fn commit(&mut self, batch: &[Staged]) -> Result<(), Failure> {
        Self::commit(self, batch.iter().flat_map(|staged| &staged.changes))
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        Self::reopen(self)
    }
}

/// When the commit that is under way began; None between commits. Clones share it.
#[derive(Clone, Default)]
pub(super) struct CommitClock(Arc<Mutex<Option<Instant>>>);

impl CommitClock {
    /// How long the commit that is under way has taken so far.
    pub(super) fn elapsed(&self) -> Duration {
        lock(&self.0).map_or(Duration::ZERO, |began| began.elapsed())
    }

    fn set(&self, began: Option<Instant>) {
        *lock(&self.0) = began;
    }
}

pub(super) struct Writer<S> {
    pub(super) store: S,
    pub(super) clock: CommitClock,
    pub(super) queue: Receiver<Staged>,
    pub(super) progress: watch::Sender<Progress>,
    /// Whose subscribers are handed what is written.
    pub(super) rooms: Arc<MemoryBroker>,
}

/// Nobody waits for a writer that is gone.
struct Ending(watch::Sender<Progress>);

impl Drop for Ending {
    fn drop(&mut self) {
        let trouble = if std::thread::panicking() { Trouble::Ended } else { Trouble::Failed };
        self.0.send_modify(|progress| progress.trouble = Some(trouble));
    }
}

impl<S: BatchStore> Writer<S> {
    /// Writes until nobody is there to give it anything, or the store failed.
    pub(super) fn run(mut self) {
        let _ending = Ending(self.progress.clone());
        while let Ok(first) = self.queue.recv() {
            if first.fault {
                InjectedFault::raise();
            }
            let mut batch = vec![first];
            batch.extend(self.queue.try_iter());
            if !self.write(&mut batch) {
                return;
            }
            self.hand_on(batch);
        }
    }

    /// Writes the batch, and what comes while that is hindered; whether it did.
    fn write(&mut self, batch: &mut Vec<Staged>) -> bool {
        let Err(mut failure) = self.commit(batch) else { return true };
        let path = self.store.path().display().to_string();
        let mut wait = RETRY;
        while failure.is_full {
            warn!(
                "broker.path: {path}: {}; nothing is taken until there is room, tried again in {} s",
                failure.what,
                wait.as_secs()
            );
            self.trouble(Trouble::Full, batch);
            match self.queue.recv_timeout(wait) {
                Ok(more) => batch.push(more),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
            }
            wait = RETRY_AT_MOST.min(wait * 2);
            match self.store.reopen().and_then(|()| self.commit(batch)) {
                Ok(()) => {
                    info!("broker.path: {path}: there is room again");
                    self.progress.send_modify(|progress| progress.trouble = None);
                    return true;
                }
                Err(still) => failure = still,
            }
        }
        error!(
            "broker.path: {path}: {}; nothing more is taken or written. What was acknowledged \
             before this is there; look after the disk, then restart this process",
            failure.what
        );
        self.trouble(Trouble::Failed, batch);
        false
    }

    fn commit(&mut self, batch: &[Staged]) -> Result<(), Failure> {
        self.clock.set(Some(Instant::now()));
        let committed = self.store.commit(batch);
        self.clock.set(None);
        committed
    }

    /// Whoever waits is told, and nobody waits for a place in the queue.
    fn trouble(&self, trouble: Trouble, batch: &mut [Staged]) {
        self.progress.send_modify(|progress| progress.trouble = Some(trouble));
        for staged in batch {
            staged.permit = None;
        }
    }

    fn hand_on(&self, batch: Vec<Staged>) {
        let Some(last) = batch.last().map(|staged| staged.ticket) else { return };
        for change in batch.into_iter().flat_map(|staged| staged.changes) {
            let Change::Room(change) = change else { continue };
            let Some(entry) = change.entry else { continue };
            if let Some(queue) = &self.rooms.queue {
                queue.tell(&entry.room, &What::Message(entry.clone()));
            }
            self.rooms.look(&entry.room, |room| {
                // One of that name that came after it is another.
                if room.position().epoch == entry.epoch {
                    room.hand_on(&Delivery::Published(entry.clone()));
                }
            });
        }
        self.progress.send_modify(|progress| progress.written = last);
    }
}
