use std::{cell::Cell, rc::Rc, thread};

use super::*;
use crate::model::{Epoch, Payload};

/// A worker that counts its wake-ups.
struct CountingWorker(Rc<Cell<usize>>);

impl Actor for CountingWorker {
    type Context = Context<Self>;
}

impl Handler<DeliveriesReady> for CountingWorker {
    type Result = ();

    fn handle(&mut self, DeliveriesReady: DeliveriesReady, _: &mut Self::Context) {
        self.0.set(self.0.get() + 1);
    }
}

fn worker(capacity: usize) -> (Subscriber, Rc<Cell<usize>>) {
    let wakes = Rc::new(Cell::new(0));
    let supervisor = CountingWorker(wakes.clone()).start().recipient();
    let queue = Subscriber::new(WorkerId::next(), capacity, supervisor, Arc::default());
    (queue, wakes)
}

fn room() -> RoomName {
    RoomName::parse("room").unwrap()
}

fn end(seq: u64) -> Delivery {
    Delivery::End(room(), Position { epoch: Epoch::random(), seq })
}

fn typing(user: &str, active: bool) -> Delivery {
    let user = UserId::parse(user).unwrap();
    Delivery::Transient(room(), Arc::new(Transient::Typing { user, active }))
}

fn drained(subscriber: &Subscriber) -> Vec<Delivery> {
    let mut buffer = Vec::new();
    subscriber.drain_into(&mut buffer);
    buffer
}

fn seqs(subscriber: &Subscriber) -> Vec<u64> {
    let seq = |delivery: &Delivery| match delivery {
        Delivery::End(_, end) => end.seq,
        other => panic!("not pushed: {other:?}"),
    };
    drained(subscriber).iter().map(seq).collect()
}

/// Lets the actors of this thread run until they have nothing to do.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[actix_web::test]
async fn a_worker_is_woken_once_until_it_drains() {
    let (subscriber, wakes) = worker(10);
    subscriber.deliver(end(1));
    subscriber.deliver(end(2));
    settle().await;
    assert_eq!(wakes.get(), 1);
    assert_eq!(seqs(&subscriber), [1, 2]);
    subscriber.deliver(end(3));
    settle().await;
    assert_eq!(wakes.get(), 2);
    assert_eq!(seqs(&subscriber), [3]);
    assert!(!subscriber.take_overflowed());
}

#[actix_web::test]
async fn a_full_queue_drops_log_entries_and_reports_it_once() {
    let (subscriber, wakes) = worker(2);
    for seq in 1..=5 {
        assert!(subscriber.deliver(end(seq)), "the log has it");
    }
    settle().await;
    assert_eq!(wakes.get(), 1);
    assert_eq!(seqs(&subscriber), [1, 2]);
    assert!(subscriber.take_overflowed());
    assert!(!subscriber.take_overflowed());
}

#[actix_web::test]
async fn a_full_queue_keeps_the_last_value_of_each_user() {
    let (subscriber, _) = worker(2);
    assert!(subscriber.deliver(typing("ada", true)));
    assert!(subscriber.deliver(end(1)));
    for user in ["ada", "bob"] {
        for active in [false, true, false] {
            assert!(subscriber.deliver(typing(user, active)));
        }
    }
    assert!(!subscriber.deliver(typing("eve", true)), "two values wait beyond the queue");
    let mut last = std::collections::BTreeMap::new();
    for delivery in drained(&subscriber) {
        if let Delivery::Transient(_, transient) = delivery
            && let Transient::Typing { user, active } = &*transient
        {
            last.insert(user.to_string(), *active);
        }
    }
    assert_eq!(last, [("ada".to_owned(), false), ("bob".to_owned(), false)].into());
    assert!(!subscriber.take_overflowed(), "no log entry was dropped");
    assert!(subscriber.deliver(typing("eve", true)), "there is room again");
}

#[actix_web::test]
async fn copies_of_direct_messages_do_not_replace_each_other() {
    let (subscriber, _) = worker(2);
    let user = |name| UserId::parse(name).unwrap();
    for _ in 0..4 {
        let copy = Transient::DirectCopy {
            from: user("ada"),
            to: user("bob"),
            payload: Payload::Text("hello".into()),
            timestamp: 1,
            nonce: None,
        };
        assert!(subscriber.deliver(Delivery::Transient(room(), Arc::new(copy))));
    }
    assert_eq!(drained(&subscriber).len(), 4);
}

#[actix_web::test]
async fn other_workers_are_woken_after_all_that_is_ready_on_this_thread() {
    let ((own, own_wakes), (other, other_wakes)) = (worker(10), worker(10));
    own.batch_wake_ups();
    other.deliver(end(1));
    own.deliver(end(1));
    other.deliver(end(2));
    assert_eq!((own_wakes.get(), other_wakes.get()), (0, 0));
    settle().await;
    assert_eq!((own_wakes.get(), other_wakes.get()), (1, 1));
    assert_eq!(seqs(&other), [1, 2]);

    // Its own queue was woken and not drained: that does not keep it from waking others.
    other.deliver(end(3));
    settle().await;
    assert_eq!((own_wakes.get(), other_wakes.get()), (1, 2));
    assert_eq!(seqs(&other), [3]);

    other.deliver(end(4));
    WakeBatch::remove();
    other.deliver(end(5));
    settle().await;
    assert_eq!(other_wakes.get(), 3);
    assert_eq!(seqs(&other), [4, 5]);
    other.deliver(end(6));
    settle().await;
    assert_eq!(other_wakes.get(), 4);
}

#[actix_web::test]
async fn every_message_between_threads_is_drained_after_a_wake_up() {
    const EACH: u64 = 2_000;
    let (subscriber, wakes) = worker(usize::MAX);
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let subscriber = subscriber.clone();
            thread::spawn(move || {
                for seq in 1..=EACH {
                    subscriber.deliver(end(seq));
                }
            })
        })
        .collect();
    let mut count = 0;
    while count < 4 * EACH as usize {
        // Drained only where it was woken.
        if wakes.replace(0) > 0 {
            count += seqs(&subscriber).len();
        }
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(count, 4 * EACH as usize);
}

#[actix_web::test]
async fn a_probe_ages_until_it_is_answered() {
    let (subscriber, _) = worker(1);
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(subscriber.probe_age(at(1)), Duration::ZERO);
    subscriber.deliver(end(1));
    subscriber.probe(at(2));
    subscriber.probe(at(3));
    assert_eq!(subscriber.probe_age(at(9)), Duration::from_secs(7));
    let probes = |it: &Delivery| matches!(it, Delivery::Probe);
    assert_eq!(drained(&subscriber).iter().filter(|it| probes(it)).count(), 1, "also when full");
    subscriber.answer_probe();
    assert_eq!(subscriber.probe_age(at(9)), Duration::ZERO);
}
