//! Workers, and threads that are none, write bursts to each other's queues, some of which
//! are too small: whatever fits is drained, what does not is reported, and the last value
//! of each key comes.

use std::{collections::HashMap, sync::Arc};

use shuttle::{rand::Rng, sync::mpsc, thread};

use crate::wake_queue::{QueueItem, Wake, WakeBatch, WakeQueue, WhenFull};

const SCHEDULES: usize = 20_000;
const WORKERS: usize = 3;
/// Threads without a reader of their own, such as the one that hears Redis.
const OUTSIDERS: usize = 1;
const WRITERS: usize = WORKERS + OUTSIDERS;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    /// The n-th log entry of a writer.
    Entry(usize, u32),
    /// The n-th value of a writer's one latest key.
    Latest(usize, u32),
}

impl QueueItem for Message {
    type Key = usize;

    fn when_full(&self) -> WhenFull<usize> {
        match self {
            Self::Entry(..) => WhenFull::Drop,
            Self::Latest(writer, _) => WhenFull::KeepLatest(*writer),
        }
    }
}

enum Mail {
    DeliveriesReady,
    Flush,
    /// Everybody has written everything.
    Over,
}

struct Mailbox(mpsc::Sender<Mail>);

impl Wake for Mailbox {
    fn wake(&self) {
        // The worker may have ended, as far as `Over` lets it.
        let _ = self.0.send(Mail::DeliveriesReady);
    }
}

type Queue = Arc<WakeQueue<Message>>;

/// What a worker has drained.
#[derive(Default)]
struct Drained {
    entries: HashMap<usize, Vec<u32>>,
    latest: HashMap<usize, u32>,
    overflowed: bool,
}

impl Drained {
    fn drain(&mut self, queue: &WakeQueue<Message>) {
        let mut buffer = Vec::new();
        queue.drain_into(&mut buffer);
        for message in buffer {
            match message {
                Message::Entry(writer, n) => self.entries.entry(writer).or_default().push(n),
                Message::Latest(writer, n) => {
                    let before = self.latest.insert(writer, n);
                    assert!(before.is_none_or(|before| before < n), "a value after a newer one");
                }
            }
        }
        self.overflowed |= queue.take_overflowed();
    }
}

/// Writes bursts to all queues, and gives other threads room between two.
fn write(writer: usize, bursts: u32, queues: &[Queue], mut between: impl FnMut()) {
    for burst in 0..bursts {
        for queue in queues {
            queue.push(Message::Entry(writer, burst));
            assert!(queue.push(Message::Latest(writer, burst)), "the last value was dropped");
        }
        between();
    }
}

fn run(capacity: usize) {
    let bursts = shuttle::rand::thread_rng().gen_range(1..4);
    let mailboxes: Vec<_> = (0..WORKERS).map(|_| mpsc::channel()).collect();
    let queue = |(mail, _): &(mpsc::Sender<Mail>, _)| {
        Arc::new(WakeQueue::new(capacity, Arc::new(Mailbox(mail.clone()))))
    };
    let queues: Vec<Queue> = mailboxes.iter().map(queue).collect();
    let senders: Vec<_> = mailboxes.iter().map(|(mail, _)| mail.clone()).collect();
    let (written, all_written) = mpsc::channel();
    let workers: Vec<_> = mailboxes
        .into_iter()
        .enumerate()
        .map(|(worker, (mail, mailbox))| {
            let (queues, queue) = (queues.clone(), queues[worker].clone());
            let written = written.clone();
            thread::spawn(move || {
                let flush = mail.clone();
                let schedule = move || drop(flush.send(Mail::Flush));
                WakeBatch::install(Arc::new(Mailbox(mail)), schedule);
                let mut drained = Drained::default();
                let handle = |drained: &mut Drained, mail| {
                    WakeBatch::flush();
                    if matches!(mail, Mail::DeliveriesReady) {
                        drained.drain(&queue);
                    }
                    matches!(mail, Mail::Over)
                };
                write(worker, bursts, &queues, || {
                    while let Ok(mail) = mailbox.try_recv() {
                        handle(&mut drained, mail);
                    }
                });
                written.send(()).unwrap();
                while !handle(&mut drained, mailbox.recv().unwrap()) {}
                WakeBatch::remove();
                (drained, mailbox)
            })
        })
        .collect();
    let outsiders: Vec<_> = (WORKERS..WRITERS)
        .map(|writer| {
            let queues = queues.clone();
            thread::spawn(move || write(writer, bursts, &queues, thread::yield_now))
        })
        .collect();
    for outsider in outsiders {
        outsider.join().unwrap();
    }
    for _ in 0..WORKERS {
        all_written.recv().unwrap();
    }
    // A worker is told that all is over only once it has drained all that was written. If
    // that never happens, shuttle reports that this wait takes too many steps.
    for (queue, mail) in queues.iter().zip(&senders) {
        while !queue.is_empty() {
            thread::yield_now();
        }
        mail.send(Mail::Over).unwrap();
    }
    for worker in workers {
        let (drained, _mailbox) = worker.join().unwrap();
        for writer in 0..WRITERS {
            let entries = drained.entries.get(&writer).map_or(&[][..], Vec::as_slice);
            assert!(entries.is_sorted(), "out of order: {entries:?}");
            let whole = entries.len() == bursts as usize;
            assert!(whole || drained.overflowed, "dropped without a word: {entries:?}");
        }
    }
}

#[test]
fn bursts_between_workers_are_drained() {
    shuttle::check_random(|| run(usize::MAX), SCHEDULES);
}

#[test]
fn a_full_queue_reports_what_it_dropped_and_keeps_last_values() {
    shuttle::check_random(|| run(WRITERS), SCHEDULES);
}
