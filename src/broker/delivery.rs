use std::{
    cell::RefCell,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use actix::prelude::*;

use crate::model::{Position, Publication, RoomName, Transient, WorkerId};

/// What a broker hands to a worker.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// An entry of a room's log.
    Published(Arc<Publication>),
    /// Something that is stored nowhere.
    Transient(RoomName, Arc<Transient>),
    /// The room's log reaches to here; who is not there missed something.
    End(RoomName, Position),
}

/// Something waits for a worker, which [takes](Subscriber::take) it.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Handed;

/// A worker as a broker sees it: a bounded queue that may refuse.
///
/// The worker is told when its queue is no longer empty, and takes all that is
/// there. What one worker's turn brings for another is told to it all together, at
/// the end of the [`Turn`]: told of the first message, the other thread would be there
/// before the second, and write to each of its members twice.
#[derive(Clone)]
pub struct Subscriber(Arc<Inbound>);

struct Inbound {
    worker: WorkerId,
    queue: Mutex<Vec<Delivery>>,
    bound: usize,
    tell: Recipient<Handed>,
    /// Whether the worker was told since it took something.
    told: AtomicBool,
    /// Set by the broker when the queue refused; cleared by the worker, which
    /// then compares its rooms with their logs.
    lagged: AtomicBool,
}

impl Subscriber {
    /// A worker with so many places in its queue, which is told by this.
    pub fn new(worker: WorkerId, bound: usize, tell: Recipient<Handed>) -> Self {
        let (queue, told, lagged) = <(Mutex<_>, AtomicBool, AtomicBool)>::default();
        Self(Arc::new(Inbound { worker, queue, bound, tell, told, lagged }))
    }

    /// Which worker this is.
    pub fn worker(&self) -> WorkerId {
        self.0.worker
    }

    /// Hands on, or notes that the worker lags.
    pub fn deliver(&self, delivery: Delivery) {
        let mut queue = self.queue();
        if queue.len() < self.0.bound {
            queue.push(delivery);
        } else {
            self.0.lagged.store(true, Ordering::Release);
        }
        drop(queue);
        if !self.0.told.swap(true, Ordering::AcqRel) && !Turn::defers(self) {
            self.tell();
        }
    }

    /// Takes all that waits, and leaves the queue this one, emptied.
    pub fn take(&self, taken: &mut Vec<Delivery>) {
        // First, so that what comes after the taking is told again.
        self.0.told.swap(false, Ordering::AcqRel);
        taken.clear();
        mem::swap(&mut *self.queue(), taken);
    }

    /// Whether something was refused since this was last asked.
    pub fn take_lagged(&self) -> bool {
        self.0.lagged.load(Ordering::Relaxed) && self.0.lagged.swap(false, Ordering::AcqRel)
    }

    /// No more than one such word waits at a time, so the mailbox needs no bound for it.
    fn tell(&self) {
        self.0.tell.do_send(Handed);
    }

    fn queue(&self) -> MutexGuard<'_, Vec<Delivery>> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

thread_local! {
    static TURN: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

/// What a worker's thread does at one go, and whom it has to tell of it.
pub struct Turn {
    worker: Subscriber,
    waiting: Vec<Subscriber>,
}

impl Turn {
    /// From here on this thread is this worker. Told that something was handed to
    /// it or to others, the worker [ends](Self::end) its turn.
    pub fn begin(worker: &Subscriber) {
        TURN.set(Some(Self { worker: worker.clone(), waiting: Vec::new() }));
    }

    /// Tells the other workers for whom this turn brought something.
    pub fn end() {
        TURN.with_borrow_mut(|turn| {
            if let Some(turn) = turn {
                turn.waiting.drain(..).for_each(|worker| worker.tell());
            }
        });
    }

    /// The thread is a worker no more; there, too, what it brought is told.
    pub fn cease() {
        Self::end();
        TURN.set(None);
    }

    /// Whether the end of this thread's turn will tell the subscriber.
    fn defers(subscriber: &Subscriber) -> bool {
        TURN.with_borrow_mut(|turn| {
            let Some(turn) = turn else { return false };
            if subscriber.worker() == turn.worker.worker() {
                return false;
            }
            if turn.waiting.is_empty() && !turn.worker.0.told.swap(true, Ordering::AcqRel) {
                turn.worker.tell();
            }
            turn.waiting.push(subscriber.clone());
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc, thread};

    use super::*;
    use crate::model::Epoch;

    /// A worker that counts how often it is told.
    struct Told(Rc<Cell<usize>>);

    impl Actor for Told {
        type Context = Context<Self>;
    }

    impl Handler<Handed> for Told {
        type Result = ();

        fn handle(&mut self, Handed: Handed, _: &mut Self::Context) {
            self.0.set(self.0.get() + 1);
        }
    }

    fn worker(bound: usize) -> (Subscriber, Rc<Cell<usize>>) {
        let told = Rc::new(Cell::new(0));
        let tell = Told(told.clone()).start().recipient();
        (Subscriber::new(WorkerId::next(), bound, tell), told)
    }

    fn end(seq: u64) -> Delivery {
        let room = RoomName::parse("room").unwrap();
        Delivery::End(room, Position { epoch: Epoch::random(), seq })
    }

    fn taken(subscriber: &Subscriber) -> Vec<u64> {
        let mut taken = Vec::new();
        subscriber.take(&mut taken);
        let seq = |delivery: &Delivery| match delivery {
            Delivery::End(_, end) => end.seq,
            other => panic!("not handed on: {other:?}"),
        };
        taken.iter().map(seq).collect()
    }

    /// Lets the actors of this thread run until they have nothing to do.
    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[actix_web::test]
    async fn a_worker_is_told_once_until_it_takes() {
        let (subscriber, told) = worker(10);
        subscriber.deliver(end(1));
        subscriber.deliver(end(2));
        settle().await;
        assert_eq!(told.get(), 1);
        assert_eq!(taken(&subscriber), [1, 2]);
        subscriber.deliver(end(3));
        settle().await;
        assert_eq!(told.get(), 2);
        assert_eq!(taken(&subscriber), [3]);
        assert!(!subscriber.take_lagged());
    }

    #[actix_web::test]
    async fn past_its_bound_a_queue_refuses_and_says_so() {
        let (subscriber, told) = worker(2);
        for seq in 1..=5 {
            subscriber.deliver(end(seq));
        }
        settle().await;
        assert_eq!(told.get(), 1);
        assert_eq!(taken(&subscriber), [1, 2]);
        assert!(subscriber.take_lagged());
        assert!(!subscriber.take_lagged());
    }

    #[actix_web::test]
    async fn other_workers_are_told_at_the_end_of_a_turn_and_the_own_one_before() {
        let ((own, own_told), (other, other_told)) = (worker(10), worker(10));
        Turn::begin(&own);
        // Nobody of this worker is in the room: it is told all the same, to end its turn.
        other.deliver(end(1));
        other.deliver(end(2));
        settle().await;
        assert_eq!((own_told.get(), other_told.get()), (1, 0));
        Turn::end();
        other.deliver(end(3));
        settle().await;
        assert_eq!(other_told.get(), 1);
        assert_eq!(taken(&other), [1, 2, 3]);

        assert!(taken(&own).is_empty());
        other.deliver(end(4));
        Turn::cease();
        settle().await;
        assert_eq!((own_told.get(), other_told.get()), (2, 2));
        assert_eq!(taken(&other), [4]);
        other.deliver(end(5));
        settle().await;
        assert_eq!(other_told.get(), 3, "at once, as this is no worker any more");
    }

    #[actix_web::test]
    async fn nothing_is_left_untold_between_threads() {
        const EACH: u64 = 2_000;
        let (subscriber, told) = worker(usize::MAX);
        let writers: Vec<_> = (0..4)
            .map(|_| {
                let subscriber = subscriber.clone();
                thread::spawn(move || (1..=EACH).for_each(|seq| subscriber.deliver(end(seq))))
            })
            .collect();
        let mut count = 0;
        while count < 4 * EACH as usize {
            // Taken only where it was told.
            if told.replace(0) > 0 {
                count += taken(&subscriber).len();
            }
            tokio::task::yield_now().await;
        }
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(count, 4 * EACH as usize);
    }
}
