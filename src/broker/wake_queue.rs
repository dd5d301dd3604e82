//! A bounded queue between threads whose reader is woken once for a burst.
//!
//! Any thread pushes. One reader drains, and only when [`Wake::wake`] was called. A lost
//! wake-up would stop the reader for good, so the debt is kept as strictly as money:
//!
//! - A wake-up is owed from the push that turns `wake_pending` from false to true until
//!   somebody calls `wake`. That push is the only debtor.
//! - The debtor pays at once, or hands the debt to the [`WakeBatch`] of its thread.
//! - A batch that is handed its first debt schedules its own flush, whatever any flag says.
//!   The flush pays all of them.
//! - The reader clears `wake_pending` before it takes the items. An item that is pushed
//!   after the clearing is owed anew.
//!
//! ```text
//! pushing thread                               reader's thread
//! push ──► items ◄──────────────────────────── drain_into
//!   │                                             ▲
//!   └─ wake_pending: false → true ──► wake ───────┘
//!             └──► WakeBatch ──flush──► wake ─────┘
//! ```
//!
//! `models/` checks this file: every schedule of two threads that write to each other with
//! loom, long random schedules of several with shuttle.

use std::{cell::RefCell, collections::HashMap, hash::Hash, mem, sync::Arc};

use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering, PoisonError, thread_local};

/// Tells a reader that its queue is not empty.
pub(crate) trait Wake: Send + Sync {
    /// Has the reader drain its queue soon. Called from any thread.
    fn wake(&self);
}

/// What a full queue does with an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WhenFull<K> {
    /// Drops the item and marks the queue as overflowed. The reader finds it elsewhere.
    Drop,
    /// Keeps the item in the place of an older one with the same key.
    KeepLatest(K),
}

/// An item of a [`WakeQueue`].
pub(crate) trait QueueItem: Send {
    /// Items with the same key replace each other when the queue is full.
    type Key: Eq + Hash + Send;

    /// What a full queue does with this item.
    fn when_full(&self) -> WhenFull<Self::Key>;
}

/// A bounded queue that any thread pushes to and one reader drains.
pub(crate) struct WakeQueue<T: QueueItem> {
    items: Mutex<Items<T>>,
    capacity: usize,
    reader: Arc<dyn Wake>,
    /// True while a wake-up is owed or under way.
    wake_pending: AtomicBool,
    /// True after an item was dropped, until the reader asks.
    overflowed: AtomicBool,
}

struct Items<T: QueueItem> {
    queue: Vec<T>,
    /// What came while `queue` was full. It is newer than all of `queue`, because only a
    /// drain makes room in `queue`, and a drain empties both.
    latest: HashMap<T::Key, T>,
}

impl<T: QueueItem> WakeQueue<T> {
    /// An empty queue of at most `capacity` items, and as many latest values beyond them.
    pub(crate) fn new(capacity: usize, reader: Arc<dyn Wake>) -> Self {
        Self {
            items: Mutex::new(Items { queue: Vec::new(), latest: HashMap::new() }),
            capacity,
            reader,
            wake_pending: AtomicBool::new(false),
            overflowed: AtomicBool::new(false),
        }
    }

    /// Appends an item and has the reader woken. Returns false if the item was dropped
    /// because the queue is full.
    pub(crate) fn push(&self, item: T) -> bool {
        let kept = self.store(item);
        // After the item is stored: a drain that clears the flag between the two finds it.
        if !self.wake_pending.swap(true, Ordering::AcqRel) && !WakeBatch::defer(&self.reader) {
            self.reader.wake();
        }
        kept
    }

    fn store(&self, item: T) -> bool {
        let mut items = self.lock();
        if items.queue.len() < self.capacity {
            items.queue.push(item);
            return true;
        }
        match item.when_full() {
            WhenFull::Drop => self.overflowed.store(true, Ordering::Release),
            WhenFull::KeepLatest(key) => {
                if items.latest.len() < self.capacity || items.latest.contains_key(&key) {
                    items.latest.insert(key, item);
                    return true;
                }
            }
        }
        false
    }

    /// Moves all waiting items into `buffer`, whose old contents are dropped.
    pub(crate) fn drain_into(&self, buffer: &mut Vec<T>) {
        // Before the items are taken: a push that comes after the taking wakes again. A
        // swap and not a store, because it has to see what the last push saw.
        self.wake_pending.swap(false, Ordering::AcqRel);
        buffer.clear();
        let mut items = self.lock();
        mem::swap(&mut items.queue, buffer);
        if !items.latest.is_empty() {
            buffer.extend(mem::take(&mut items.latest).into_values());
        }
    }

    /// Whether no item waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().queue.is_empty()
    }

    /// Whether an item was dropped since this was last asked.
    pub(crate) fn take_overflowed(&self) -> bool {
        // The load keeps the usual case from writing to a shared cache line.
        self.overflowed.load(Ordering::Relaxed) && self.overflowed.swap(false, Ordering::AcqRel)
    }

    /// A thread that panicked while it held the lock left the items whole.
    fn lock(&self) -> MutexGuard<'_, Items<T>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    #[allow(clippy::missing_const_for_thread_local, reason = "the checkers' macros take no const block")]
    static WAKE_BATCH: RefCell<Option<WakeBatch>> = RefCell::new(None);
}

/// Wake-ups of other threads' readers, collected while one thread does what is ready.
///
/// Several messages for the same reader then cost one wake-up and, above all, one `write`
/// per member instead of one per message: with 64 messages in flight, 1.5 times the
/// throughput. Without a batch the wake-ups would be earlier and more, and nothing else.
pub(crate) struct WakeBatch {
    /// The reader on this thread. It is woken at once, since it runs after the pusher.
    own: Arc<dyn Wake>,
    schedule_flush: Box<dyn Fn()>,
    readers: Vec<Arc<dyn Wake>>,
}

impl WakeBatch {
    /// Collects the wake-ups that this thread owes from now on, but for those of `own`.
    /// `schedule_flush` has to see to it that this thread calls [`flush`](Self::flush)
    /// soon; it is called each time the batch is no longer empty.
    pub(crate) fn install(own: Arc<dyn Wake>, schedule_flush: impl Fn() + 'static) {
        Self::remove();
        let batch = Self { own, schedule_flush: Box::new(schedule_flush), readers: Vec::new() };
        WAKE_BATCH.with(|slot| *slot.borrow_mut() = Some(batch));
    }

    /// Wakes every reader that the batch owes a wake-up.
    pub(crate) fn flush() {
        let readers = WAKE_BATCH
            .with(|slot| slot.borrow_mut().as_mut().map(|batch| mem::take(&mut batch.readers)));
        readers.into_iter().flatten().for_each(|reader| reader.wake());
    }

    /// Flushes, and has this thread wake readers at once from now on.
    pub(crate) fn remove() {
        // Dropped outside of the borrow; dropping flushes.
        drop(WAKE_BATCH.with(|slot| slot.borrow_mut().take()));
    }

    /// Takes over the duty to wake `reader`. Returns false if the caller has to wake it.
    fn defer(reader: &Arc<dyn Wake>) -> bool {
        let deferred = WAKE_BATCH.try_with(|slot| {
            let mut slot = slot.borrow_mut();
            // Threads that are no workers (Redis, the durable store) have no batch.
            let Some(batch) = slot.as_mut() else { return false };
            if Arc::ptr_eq(&batch.own, reader) {
                return false;
            }
            batch.readers.push(reader.clone());
            if batch.readers.len() == 1 {
                // Always, whatever anybody's `wake_pending` says: if the flush waited for
                // our own reader's wake-up, two threads that owe each other one would wait
                // for ever.
                (batch.schedule_flush)();
            }
            true
        });
        deferred.unwrap_or(false)
    }
}

/// A thread that ends pays what it owes.
impl Drop for WakeBatch {
    fn drop(&mut self) {
        self.readers.drain(..).for_each(|reader| reader.wake());
    }
}
