//! Workers that write to each other: every message is drained, in every schedule.
//!
//! A lost wake-up leaves a worker waiting for its mailbox, which loom reports as a deadlock.

use std::sync::Arc;

use loom::{
    model::Builder,
    sync::{Condvar, Mutex},
    thread,
};

use crate::wake_queue::{QueueItem, Wake, WakeBatch, WakeQueue, WhenFull};

/// Switches of the running thread beyond those that blocking forces. Three find every known
/// defect of this kind; each more multiplies the time by about ten.
const PREEMPTIONS: usize = 3;

#[derive(Debug, PartialEq, Eq)]
struct Message(u32);

impl QueueItem for Message {
    type Key = ();

    fn when_full(&self) -> WhenFull<()> {
        WhenFull::Drop
    }
}

/// What waits in the mailbox of a worker.
#[derive(Default)]
struct Mail {
    deliveries_ready: bool,
    flush: bool,
}

struct Mailbox {
    mail: Mutex<Mail>,
    filled: Condvar,
}

impl Mailbox {
    fn new() -> Arc<Self> {
        Arc::new(Self { mail: Mutex::new(Mail::default()), filled: Condvar::new() })
    }

    fn post(&self, put: impl FnOnce(&mut Mail)) {
        put(&mut self.mail.lock().unwrap());
        self.filled.notify_one();
    }

    fn take(&self) -> Mail {
        let mut mail = self.mail.lock().unwrap();
        while !mail.deliveries_ready && !mail.flush {
            mail = self.filled.wait(mail).unwrap();
        }
        std::mem::take(&mut *mail)
    }
}

impl Wake for Mailbox {
    fn wake(&self) {
        self.post(|mail| mail.deliveries_ready = true);
    }
}

struct Worker {
    mailbox: Arc<Mailbox>,
    queue: WakeQueue<Message>,
}

impl Worker {
    fn new(capacity: usize) -> Arc<Self> {
        let mailbox = Mailbox::new();
        Arc::new(Self { queue: WakeQueue::new(capacity, mailbox.clone()), mailbox })
    }

    /// Runs as a worker's thread does: writes to `rooms`, then handles its mail until it has
    /// drained `expected` messages.
    fn run(&self, rooms: &[&Self], expected: usize) {
        let own = self.mailbox.clone();
        WakeBatch::install(own.clone(), move || own.post(|mail| mail.flush = true));
        for (room, subscriber) in rooms.iter().enumerate() {
            subscriber.queue.push(Message(room as u32));
        }
        let (mut drained, mut buffer) = (0, Vec::new());
        let mut owes_flush = !rooms.is_empty();
        while drained < expected || owes_flush {
            let mail = self.mailbox.take();
            WakeBatch::flush();
            owes_flush = false;
            if mail.deliveries_ready {
                self.queue.drain_into(&mut buffer);
                drained += buffer.len();
            }
        }
        WakeBatch::remove();
    }
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}

#[test]
fn two_workers_that_write_to_each_other_drain_everything() {
    check(|| {
        let (one, two) = (Worker::new(8), Worker::new(8));
        let other = {
            let (one, two) = (one.clone(), two.clone());
            thread::spawn(move || two.run(&[&one], 1))
        };
        one.run(&[&two], 1);
        other.join().unwrap();
    });
}

#[test]
fn a_message_to_both_workers_reaches_both() {
    check(|| {
        let (one, two) = (Worker::new(8), Worker::new(8));
        let other = {
            let (one, two) = (one.clone(), two.clone());
            thread::spawn(move || two.run(&[&one, &two], 2))
        };
        one.run(&[&one, &two], 2);
        other.join().unwrap();
    });
}
