//! Storms of `set` on a few keys, in front of readers that stop reading at
//! random and for a while. They may miss values, never the last one of a key,
//! and no key ever goes back.
//!
//! A run prints its seed; `ROOKERY_TEST_SEED` repeats the choices of a run.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::harness::{Certificates, Client, Endpoint, Random, RedisServer, TestApp, node};

const WRITERS: u64 = 4;
const EACH: u64 = 2000;
const KEYS: u64 = 12;
/// Written when all else is.
const END: &str = "end";
const READERS: u64 = 6;
/// Past what the kernel holds for a reader that stands still.
const VALUE_BYTES: u64 = 8 * 1024;
const SETTINGS: &str = "limits.messages_per_second = 100000\noutbound.coalesce = \"10ms\"";

/// How many writes were acknowledged, for readers that stand still until then.
#[derive(Default)]
struct Written {
    count: AtomicU64,
    more: Notify,
}

impl Written {
    fn add(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.more.notify_waiters();
    }

    async fn reaches(&self, count: u64) {
        loop {
            let more = self.more.notified();
            if self.count.load(Ordering::Relaxed) >= count {
                return;
            }
            more.await;
        }
    }
}

/// Each key with the version of its last write, and the value, null where it was
/// deleted.
type State = BTreeMap<String, (u64, Value)>;

/// Writes its share one after the other; what it wrote last of each key.
async fn write(mut client: Client, number: u64, seed: u64, written: Arc<Written>) -> State {
    let mut random = Random::new(seed.wrapping_add(number));
    let mut last = State::new();
    for count in 0..EACH {
        let key = format!("key-{}", random.within(0..KEYS));
        let value = match random.within(0..10) {
            0 => Value::Null,
            _ => format!("{number}/{count} {}", "x".repeat(random.within(0..VALUE_BYTES) as usize))
                .into(),
        };
        let set = json!({"type": "set", "room": "dash", "key": key, "value": value, "echo": false});
        let ack = client.write(set).await;
        last.insert(key, (ack["seq"].as_u64().expect("a place"), value));
        written.add();
    }
    last
}

/// Reads and stands still by turns until all is written, then reads on until it
/// knows what it is to know.
async fn read(
    mut client: Client,
    seed: u64,
    written: Arc<Written>,
    expected: tokio::sync::watch::Receiver<Option<State>>,
) -> usize {
    let mut random = Random::new(seed);
    let mut known = State::new();
    let mut told = 0;
    let mut until_stall = random.within(0..50);
    loop {
        if expected.borrow().as_ref().is_some_and(|expected| *expected == known) {
            return told;
        }
        let message = client.expect("set").await;
        told += 1;
        let key = message["key"].as_str().expect("a key").to_owned();
        if key == END {
            continue;
        }
        let version = message["version"].as_u64().expect("a version");
        let before = known.insert(key.clone(), (version, message["value"].clone()));
        let before = before.map_or(0, |(version, _)| version);
        assert!(before < version, "{key} goes back from {before} to {version}");
        if until_stall > 0 {
            until_stall -= 1;
            continue;
        }
        until_stall = random.within(0..200);
        let now = written.count.load(Ordering::Relaxed);
        written.reaches((now + random.within(0..400)).min(WRITERS * EACH)).await;
    }
}

async fn storm(doors: &[Endpoint], test: &str) {
    let seed = Random::seed("ROOKERY_TEST_SEED");
    println!("ROOKERY_TEST_SEED={seed} cargo nextest run --release -E 'test({test})'");
    let written = Arc::new(Written::default());
    let (expect, expected) = tokio::sync::watch::channel(None);
    let door = |number: u64| doors[number as usize % doors.len()];
    let mut readers = Vec::new();
    for number in 0..READERS {
        let name = format!("reader-{number}");
        let connect = door(number).connect(&name).receive_buffer(4096).query("room", "dash");
        let mut client = connect.client().await;
        client.expect("joined").await;
        let (seed, written) = (seed.wrapping_add(1000 + number), written.clone());
        readers.push(tokio::spawn(read(client, seed, written, expected.clone())));
    }
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let client = door(number).member(&format!("writer-{number}"), "dash").await;
        writers.push(tokio::spawn(write(client, number, seed, written.clone())));
    }
    let mut last = State::new();
    for writer in writers {
        for (key, (version, value)) in writer.await.expect("a writer does its work") {
            let held = last.entry(key).or_default();
            if held.0 < version {
                *held = (version, value);
            }
        }
    }
    expect.send_replace(Some(last));
    // So that nobody waits who was told all before it was known to be all.
    door(0).member("last", "dash").await.set("dash", END, json!(1)).await;
    for reader in readers {
        let told = reader.await.expect("a reader comes to know the state");
        println!("told {told} of {} values", WRITERS * EACH);
        assert!(told < (WRITERS * EACH) as usize, "a storm is thinned out");
    }
}

#[tokio::test]
async fn the_last_value_is_right_after_random_stalls() {
    let app = TestApp::spawn(SETTINGS).await;
    storm(&[*app], "the_last_value_is_right_after_random_stalls").await;
}

#[tokio::test]
async fn the_last_value_is_right_after_random_stalls_over_tls() {
    let app = TestApp::spawn_tls(&Certificates::new(), SETTINGS).await;
    storm(&[*app], "the_last_value_is_right_after_random_stalls_over_tls").await;
}

#[tokio::test]
async fn the_last_value_is_right_after_random_stalls_on_two_nodes() {
    let redis = RedisServer::start().await;
    let one = node(&redis.url(), "one", SETTINGS).await;
    let other = node(&redis.url(), "other", SETTINGS).await;
    storm(&[*one, *other], "the_last_value_is_right_after_random_stalls_on_two_nodes").await;
}
