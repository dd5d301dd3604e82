//! Delivery of a broker's messages to worker threads.
//!
//! A broker pushes each message to the [`Subscriber`] of every worker that has members of
//! the room. The worker drains its queue when it receives [`DeliveriesReady`], and fans the
//! messages out to its members' sockets. Who owes a worker its wake-up, and why none is
//! lost, is told in [`wake_queue`](super::wake_queue).

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use actix::prelude::*;

use super::wake_queue::{QueueItem, Wake, WakeBatch, WakeQueue, WhenFull};
use crate::model::{Position, Publication, RoomName, Transient, UserId, WorkerId};

/// What a broker hands to a worker.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// An entry of a room's log.
    Published(Arc<Publication>),
    /// A message that is in no log.
    Transient(RoomName, Arc<Transient>),
    /// The end of the room's log. A worker that is behind it missed entries.
    End(RoomName, Position),
    /// Asks the worker to show that it takes deliveries:
    /// [`answer_probe`](Subscriber::answer_probe).
    Probe,
}

/// Names what replaces what in a full queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum LatestDelivery {
    /// The last value of one user's signal.
    Signal(RoomName, UserId, Arc<str>),
    /// Whether a user is typing.
    Typing(RoomName, UserId),
    /// A copy of a direct message, by its address: nothing replaces it.
    DirectCopy(usize),
    /// The probe.
    Probe,
}

impl QueueItem for Delivery {
    type Key = LatestDelivery;

    fn when_full(&self) -> WhenFull<LatestDelivery> {
        match self {
            // Gap repair reads them from the log.
            Self::Published(_) | Self::End(..) => WhenFull::Drop,
            Self::Transient(room, transient) => WhenFull::KeepLatest(match &**transient {
                Transient::Signal { user, event, .. } => {
                    LatestDelivery::Signal(room.clone(), user.clone(), event.clone())
                }
                Transient::Typing { user, .. } => {
                    LatestDelivery::Typing(room.clone(), user.clone())
                }
                Transient::DirectCopy { .. } => {
                    LatestDelivery::DirectCopy(Arc::as_ptr(transient).addr())
                }
            }),
            Self::Probe => WhenFull::KeepLatest(LatestDelivery::Probe),
        }
    }
}

/// Tells a worker that its delivery queue is not empty.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct DeliveriesReady;

/// The mailbox of a worker's supervisor.
struct Mailbox {
    supervisor: Recipient<DeliveriesReady>,
    faults: Arc<DeliveryFaults>,
}

impl Wake for Mailbox {
    fn wake(&self) {
        if !self.faults.lose_wake_ups.load(Ordering::Relaxed) {
            // At most one is in the mailbox at a time, so the mailbox needs no bound for it.
            self.supervisor.do_send(DeliveriesReady);
        }
    }
}

/// Breaks delivery on purpose, for the tests that show how a node notices and heals.
#[derive(Debug, Default)]
pub struct DeliveryFaults {
    /// Wake-ups do not reach workers.
    pub lose_wake_ups: AtomicBool,
    /// Workers throw away the log entries that they are handed.
    pub lose_entries: AtomicBool,
    /// The first worker that drains its queue does nothing else for as long as this is set.
    pub hang: AtomicBool,
    hung: AtomicBool,
}

impl DeliveryFaults {
    fn hang_if_asked(&self) {
        if self.hang.load(Ordering::Relaxed) && !self.hung.swap(true, Ordering::Relaxed) {
            while self.hang.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(1));
            }
            self.hung.store(false, Ordering::Relaxed);
        }
    }
}

/// A worker as a broker sees it: a bounded queue. Clones share the queue.
#[derive(Clone)]
pub struct Subscriber(Arc<Shared>);

struct Shared {
    worker: WorkerId,
    queue: WakeQueue<Delivery>,
    reader: Arc<dyn Wake>,
    faults: Arc<DeliveryFaults>,
    probe: ProbeClock,
}

impl Subscriber {
    /// The queue of a worker, of at most `capacity` deliveries, and as many latest values
    /// beyond them. The worker drains it when `supervisor` gets [`DeliveriesReady`].
    pub fn new(
        worker: WorkerId,
        capacity: usize,
        supervisor: Recipient<DeliveriesReady>,
        faults: Arc<DeliveryFaults>,
    ) -> Self {
        let reader: Arc<dyn Wake> = Arc::new(Mailbox { supervisor, faults: faults.clone() });
        let queue = WakeQueue::new(capacity, reader.clone());
        Self(Arc::new(Shared { worker, queue, reader, faults, probe: ProbeClock::default() }))
    }

    /// The worker whose queue it is.
    pub fn worker(&self) -> WorkerId {
        self.0.worker
    }

    /// Collects the wake-ups that this thread owes other workers, from now on. To be
    /// called on the worker's own thread.
    pub fn batch_wake_ups(&self) {
        WakeBatch::install(self.0.reader.clone(), || {
            // A task of this thread, so behind all that is ready now.
            actix::spawn(async { WakeBatch::flush() });
        });
    }

    /// Appends to the queue. A full queue drops log entries, which the worker repairs from
    /// the log, and keeps the last of each signal. Returns false if a message that is in no
    /// log was dropped, because as many others wait.
    pub fn deliver(&self, delivery: Delivery) -> bool {
        let is_logged = matches!(delivery, Delivery::Published(_) | Delivery::End(..));
        self.0.queue.push(delivery) || is_logged
    }

    /// Moves all waiting deliveries into `buffer`, whose old contents are dropped.
    pub fn drain_into(&self, buffer: &mut Vec<Delivery>) {
        self.0.queue.drain_into(buffer);
        self.0.faults.hang_if_asked();
        if self.0.faults.lose_entries.load(Ordering::Relaxed) {
            buffer.retain(|delivery| !matches!(delivery, Delivery::Published(_)));
        }
    }

    /// Whether nothing waits in the queue.
    pub fn is_empty(&self) -> bool {
        self.0.queue.is_empty()
    }

    /// Whether log entries were dropped since this was last asked.
    pub fn take_overflowed(&self) -> bool {
        self.0.queue.take_overflowed()
    }

    /// Pushes a probe, unless the one before is still unanswered.
    pub fn probe(&self, now: Instant) {
        if self.0.probe.send(now) {
            self.deliver(Delivery::Probe);
        }
    }

    /// Pushes a probe again that was drained without a wake-up, which answers nothing.
    pub fn probe_again(&self) {
        self.deliver(Delivery::Probe);
    }

    /// To be called by the worker when it drains a probe after a wake-up.
    pub fn answer_probe(&self) {
        self.0.probe.answer();
    }

    /// How long the probe has been unanswered; zero if it was answered.
    pub fn probe_age(&self, now: Instant) -> Duration {
        self.0.probe.age(now)
    }
}

/// When a probe was sent. Written by the prober while none is under way, by the worker
/// while one is.
struct ProbeClock {
    origin: Instant,
    /// In nanoseconds since `origin`; [`ProbeClock::NONE`] if no probe is under way.
    sent_at: AtomicU64,
}

impl Default for ProbeClock {
    fn default() -> Self {
        Self { origin: Instant::now(), sent_at: AtomicU64::new(Self::NONE) }
    }
}

impl ProbeClock {
    const NONE: u64 = u64::MAX;

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_nanos())
            .unwrap_or(Self::NONE - 1)
    }

    /// Returns false if a probe is under way already.
    fn send(&self, now: Instant) -> bool {
        let at = self.nanos(now);
        self.sent_at.compare_exchange(Self::NONE, at, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn answer(&self) {
        self.sent_at.store(Self::NONE, Ordering::Release);
    }

    fn age(&self, now: Instant) -> Duration {
        match self.sent_at.load(Ordering::Acquire) {
            Self::NONE => Duration::ZERO,
            sent_at => Duration::from_nanos(self.nanos(now).saturating_sub(sent_at)),
        }
    }
}

/// The delivery queues of a node's workers, each with the worker's name.
#[derive(Default)]
pub struct DeliveryQueues {
    queues: Mutex<Vec<(Arc<str>, Subscriber)>>,
    /// For tests: what goes wrong on purpose in the queues opened here.
    pub faults: Arc<DeliveryFaults>,
}

impl DeliveryQueues {
    /// Opens the queue of a worker that starts; see [`Subscriber::new`].
    pub fn open(
        &self,
        name: Arc<str>,
        worker: WorkerId,
        capacity: usize,
        supervisor: Recipient<DeliveriesReady>,
    ) -> Subscriber {
        let queue = Subscriber::new(worker, capacity, supervisor, self.faults.clone());
        self.lock().push((name, queue.clone()));
        queue
    }

    /// Forgets the queue of a worker that ends.
    pub fn close(&self, worker: WorkerId) {
        self.lock().retain(|(_, queue)| queue.worker() != worker);
    }

    /// Pushes a probe to each queue whose last probe was answered.
    pub fn probe(&self, now: Instant) {
        self.lock().iter().for_each(|(_, queue)| queue.probe(now));
    }

    /// How long each worker has left its probe unanswered.
    pub fn probe_ages(&self, now: Instant) -> Vec<(Arc<str>, Duration)> {
        self.lock().iter().map(|(name, queue)| (name.clone(), queue.probe_age(now))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Arc<str>, Subscriber)>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
