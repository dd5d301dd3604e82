//! Users on different workers who write at the same time, in both directions: what
//! was acknowledged comes to all of them over the connections that they have.
//!
//! Each test takes three seconds; `ROOKERY_TEST_SECONDS=60` makes them longer.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::{sync::Barrier, time::sleep};

use crate::harness::{Client, Directory, Random, TEXT, TestApp, frame};

const SECONDS: u64 = 3;
/// How long all write before they wait for each other.
const ROUND: Duration = Duration::from_millis(150);
/// Between the messages of one who writes 60 times a second.
const STEADY: Duration = Duration::from_micros(16_667);
/// How long live delivery may take.
const LIVE_BOUND: Duration = Duration::from_secs(5);

/// How a writer writes in one round.
#[derive(Debug, Clone, Copy)]
enum Pace {
    /// 60 times a second.
    Steady,
    /// So many at once, and again when they are acknowledged.
    Full(u64),
}

/// The highest place that was acknowledged in each room.
type Acknowledged = Arc<Mutex<BTreeMap<String, u64>>>;

struct Writer {
    client: Client,
    user: usize,
    writers: usize,
    seed: u64,
    unanswered: u64,
    /// The last place that came of each room.
    received: BTreeMap<String, u64>,
    acknowledged: Acknowledged,
}

/// The room of two writers; that of `(1, 0)` was joined in another order than that
/// of `(0, 1)`, so that its workers are told in another order.
fn room_of(one: usize, other: usize) -> String {
    format!("room-{one}-{other}")
}

impl Writer {
    /// The rooms that it writes to in a round, and how: the same for both writers of
    /// a room. Of four writers, two pairs write at once, or one does.
    fn plan(&self, round: u64) -> (Vec<String>, Pace) {
        let mut random = Random::new(self.seed.wrapping_add(round));
        let distance = random.within(1..self.writers as u64) as usize;
        let other = (self.user ^ distance) % self.writers;
        let (low, high) = (self.user.min(other), self.user.max(other));
        let pair = (low * self.writers + high) as u64;
        let mut random = Random::new(random.next().wrapping_add(pair));
        let rooms = match random.within(0..5) {
            0 => vec![room_of(low, high)],
            1 => vec![room_of(low, high), room_of(high, low)],
            // Most often each writes to a room of its own, where the broker hands the message
            // to the other's worker first, and neither waits for the other's lock.
            _ if self.user == low => vec![room_of(high, low)],
            _ => vec![room_of(low, high)],
        };
        let pace = match random.within(0..4) {
            0 => Pace::Steady,
            _ => Pace::Full(1 << random.within(0..7)),
        };
        let silent = self.writers > 2 && random.within(0..2) == 0 && low != 0;
        (if silent { Vec::new() } else { rooms }, pace)
    }

    async fn join_all(&mut self, barrier: &Barrier) {
        for one in 0..self.writers {
            for other in (0..self.writers).filter(|other| *other != one) {
                if self.user == one {
                    self.client.join(&room_of(one, other)).await;
                }
                barrier.wait().await;
                if self.user == other {
                    self.client.join(&room_of(one, other)).await;
                }
            }
        }
        barrier.wait().await;
    }

    async fn work(mut self, barrier: Arc<Barrier>, duration: Duration) -> u64 {
        self.join_all(&barrier).await;
        let began = Instant::now();
        let mut written = 0;
        for round in 0.. {
            written += self.write_round(round).await;
            let goes_on = began.elapsed() < duration;
            // All have written and were answered.
            barrier.wait().await;
            self.receive_all().await;
            if !self.agree(goes_on, &barrier).await {
                break;
            }
        }
        written
    }

    /// Whether all go on: the first one's clock decides.
    async fn agree(&mut self, goes_on: bool, barrier: &Barrier) -> bool {
        if self.user == 0 && !goes_on {
            self.lock().insert("the end".to_owned(), 1);
        }
        barrier.wait().await;
        !self.lock().contains_key("the end")
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.acknowledged.lock().expect("nobody panics with it")
    }

    /// Writes as planned, until the time is over and all is acknowledged.
    async fn write_round(&mut self, round: u64) -> u64 {
        let (rooms, pace) = self.plan(round);
        let ends = Instant::now() + ROUND;
        let mut written = 0;
        while !rooms.is_empty() && Instant::now() < ends {
            let many = if let Pace::Full(many) = pace { many } else { 1 };
            let mut frames = Vec::new();
            for number in 0..many {
                let room = &rooms[number as usize % rooms.len()];
                let id = format!("{room}/{number}");
                let message = json!({"type": "chat", "room": room, "content": "hello", "id": id});
                frames.extend(frame(true, TEXT, message.to_string().as_bytes()));
            }
            written += many;
            self.unanswered += many;
            self.client.wire.send(&frames).await;
            self.receive_until("acknowledgements", |it| it.unanswered == 0).await;
            if let Pace::Steady = pace {
                sleep(STEADY).await;
            }
        }
        written
    }

    /// Takes what comes until `done`, and gives up when it takes too long.
    async fn receive_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let received = async {
            while !done(self) {
                let message = self.client.next().await;
                self.take(&message);
            }
        };
        let in_time = tokio::time::timeout(LIVE_BOUND, received).await.is_ok();
        let (received, acknowledged) = (&self.received, self.lock());
        assert!(
            in_time,
            "u{} waited {LIVE_BOUND:?} in vain for {what} (ROOKERY_TEST_SEED={}); received \
             {received:?}, acknowledged {acknowledged:?}",
            self.user, self.seed
        );
    }

    fn take(&mut self, message: &Value) {
        match message["type"].as_str() {
            Some("chat") => {
                let room = message["room"].as_str().expect("a room").to_owned();
                let last = self.received.entry(room).or_default();
                *last += 1;
                assert_eq!(message["seq"], *last, "{message}");
            }
            Some("ack") => {
                let id = message["id"].as_str().expect("an id");
                let (room, _) = id.split_once('/').expect("an id of ours");
                let seq = message["seq"].as_u64().expect("a seq");
                let mut acknowledged = self.lock();
                let last = acknowledged.entry(room.to_owned()).or_default();
                *last = seq.max(*last);
                drop(acknowledged);
                self.unanswered -= 1;
            }
            Some("presence") => {}
            _ => panic!("nobody asked for {message}"),
        }
    }

    /// Waits for all that was acknowledged to anybody in its rooms.
    async fn receive_all(&mut self) {
        let own = format!("-{}", self.user);
        let is_own = |room: &str| room.starts_with(&format!("room{own}-")) || room.ends_with(&own);
        let acknowledged = self.lock().clone();
        self.receive_until("live messages", |it| {
            let rooms = acknowledged.iter().filter(|(room, _)| is_own(room));
            rooms.into_iter().all(|(room, seq)| it.received.get(room) >= Some(seq))
        })
        .await;
    }
}

/// Lets `workers` users write for some seconds, each on a worker of its own.
async fn write_both_ways(workers: usize, durable: bool) {
    let directory = Directory::new();
    let mut settings =
        format!("server.workers = {workers}\nlimits.messages_per_second = 1000000\n");
    settings.push_str("rooms.history_size = 10\noutbound.reliable_messages = 100000\n");
    if durable {
        settings.push_str(&format!("broker.path = {:?}\n", directory.path()));
    }
    let app = TestApp::spawn(&settings).await;
    let seconds = std::env::var("ROOKERY_TEST_SECONDS").ok();
    let seconds = seconds.map_or(SECONDS, |text| text.parse().expect("a number of seconds"));
    let seed = Random::seed("ROOKERY_TEST_SEED");
    let barrier = Arc::new(Barrier::new(workers));
    let acknowledged = Acknowledged::default();
    let mut writers = Vec::new();
    for user in 0..workers {
        // Connections that follow each other go to the workers in turn.
        let client = app.client(&format!("u{user}")).await;
        let writer = Writer {
            client,
            user,
            writers: workers,
            seed,
            unanswered: 0,
            received: BTreeMap::new(),
            acknowledged: acknowledged.clone(),
        };
        let work = writer.work(barrier.clone(), Duration::from_secs(seconds));
        writers.push(Box::pin(work));
    }
    let writers = writers.into_iter().map(tokio::spawn).collect::<Vec<_>>();
    // The first that fails ends the test: the others would wait for it.
    let written: u64 = try_join_all(writers).await.expect("no writer fails").iter().sum();
    println!("{written} messages with ROOKERY_TEST_SEED={seed}");
}

#[tokio::test]
async fn on_two_workers_reach_each_other() {
    write_both_ways(2, false).await;
}

#[tokio::test]
async fn on_four_workers_reach_each_other() {
    write_both_ways(4, false).await;
}

#[tokio::test]
async fn on_two_workers_with_a_store_reach_each_other() {
    write_both_ways(2, true).await;
}

#[tokio::test]
async fn on_four_workers_with_a_store_reach_each_other() {
    write_both_ways(4, true).await;
}
