//! One member of a busy room stops reading. It is gone by its deadline, the
//! server's memory stays within its lanes, and the others notice nothing.
//!
//! Short by default; `ROOKERY_TEST_LONG=1` runs a minute at 1,000 messages a
//! second of 1 KiB. The figures are printed, and only what the contract
//! promises is asserted.

use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

use crate::harness::{Certificates, Client, Process, Way};

const RATE: u64 = 1000;
const MESSAGE_BYTES: usize = 1024;
const READERS: usize = 5;
const INTERVAL_MS: u64 = 1000;
const TIMEOUT_MS: u64 = 1000;
/// The contract's bound, and what a busy machine may add.
const DEADLINE: Duration = Duration::from_millis(INTERVAL_MS + TIMEOUT_MS + 1000 + 2000);
const LANE_BYTES: u64 = 1024 * 1024;
/// What the allocator may hold beyond the lanes.
const SLACK_BYTES: u64 = 6 * 1024 * 1024;

/// Writes `count` messages at the rate, each with its number and the moment it
/// was due. Moments that were missed are made up for at once.
async fn write(writer: &mut Client, first: u64, count: u64, start: Instant) {
    let mut ticker = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
    ticker.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut number = first;
    while number < first + count {
        tokio::select! {
            biased;
            due = ticker.tick() => {
                let head = format!("{number} {} ", due.into_std().duration_since(start).as_micros());
                let content = format!("{head:x<MESSAGE_BYTES$}");
                let chat = json!({"type": "chat", "room": "lobby", "content": content, "echo": false});
                writer.send(&chat).await;
                number += 1;
            }
            message = writer.try_next() => {
                let message = message.expect("the writer stays connected");
                assert_ne!(message["type"], "error", "{message}");
            }
        }
    }
}

/// Reads messages `first` to `first + count` in order; gives their delays in
/// microseconds.
async fn read(reader: &mut Client, first: u64, count: u64, start: Instant) -> Vec<u64> {
    let mut delays = Vec::new();
    for number in first..first + count {
        let message = reader.expect("chat").await;
        let now = start.elapsed().as_micros() as u64;
        assert_eq!(message["seq"], number);
        let content = message["content"].as_str().expect("content is text");
        let mut words = content.split(' ').map_while(|word| word.parse::<u64>().ok());
        assert_eq!(words.next(), Some(number));
        delays.push(now.saturating_sub(words.next().expect("the moment it was due")));
    }
    delays
}

/// One stretch of traffic; gives the delays of all readers, sorted.
async fn traffic(writer: &mut Client, readers: &mut [Client], first: u64, count: u64) -> Vec<u64> {
    let start = Instant::now();
    let reading = futures_util::future::join_all(
        readers.iter_mut().map(|reader| read(reader, first, count, start)),
    );
    let (delays, ()) = tokio::join!(reading, write(writer, first, count, start));
    let mut delays: Vec<u64> = delays.into_iter().flatten().collect();
    delays.sort_unstable();
    delays
}

fn describe(delays: &[u64]) -> String {
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    format!("median {:.2} ms, p99 {:.2} ms, worst {:.2} ms", at(0.5), at(0.99), at(1.0))
}

#[tokio::test]
async fn a_stalled_reader_is_gone_by_its_deadline_and_costs_the_others_nothing() {
    run(&[], Way::Plain).await;
}

#[tokio::test]
async fn over_tls_a_stalled_reader_is_gone_by_its_deadline_too() {
    let certificates = Certificates::new();
    let settings = certificates.environment();
    let settings: Vec<_> =
        settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    run(&settings, certificates.way()).await;
}

async fn run(settings: &[(&str, &str)], way: Way) {
    let long = std::env::var("ROOKERY_TEST_LONG").is_ok_and(|value| value == "1");
    let count = RATE * if long { 60 } else { 6 };
    let (interval, timeout) = (format!("{INTERVAL_MS}ms"), format!("{TIMEOUT_MS}ms"));
    let reliable = LANE_BYTES.to_string();
    let own = [
        ("ROOKERY__HEARTBEAT__INTERVAL", interval.as_str()),
        ("ROOKERY__HEARTBEAT__TIMEOUT", &timeout),
        ("ROOKERY__PRESENCE__GRACE", "100ms"),
        ("ROOKERY__LIMITS__MESSAGES_PER_SECOND", "100000"),
        ("ROOKERY__OUTBOUND__RELIABLE_BYTES", &reliable),
    ];
    let process = Process::spawn(&[&own, settings].concat()).await.by(way);
    let mut writer = process.member("writer", "lobby").await;
    let mut readers = Vec::new();
    for number in 0..READERS {
        readers.push(process.member(&format!("reader-{number}"), "lobby").await);
    }
    let others = 1 + READERS as u64;

    // The first stretch also fills the log and the allocator, so that what the
    // second one adds is the stalled member's.
    let without = traffic(&mut writer, &mut readers, 1, count).await;
    let before = process.resident_bytes();

    let connect = process.connect("stalled").receive_buffer(4096).query("room", "lobby");
    let mut stalled = connect.client().await;
    stalled.expect("joined").await;
    let stopped_reading = Instant::now();
    let watching = async {
        let mut peak = before;
        let mut gone_after = None;
        loop {
            peak = peak.max(process.resident_bytes());
            if gone_after.is_none() && process.connections().await == others {
                gone_after = Some(stopped_reading.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            if stopped_reading.elapsed() > DEADLINE {
                return (peak, gone_after);
            }
        }
    };
    let ((peak, gone_after), with) =
        tokio::join!(watching, traffic(&mut writer, &mut readers, count + 1, count));
    let after = process.resident_bytes();

    println!("{count} messages of {MESSAGE_BYTES} bytes at {RATE}/s to {READERS} readers");
    println!("without a stalled reader: {}", describe(&without));
    println!("with one:                 {}", describe(&with));
    println!("the stalled reader was gone after {gone_after:?}");
    let kib = |bytes: u64| bytes / 1024;
    println!(
        "resident: {} KiB before, {} KiB at most, {} KiB after",
        kib(before),
        kib(peak),
        kib(after)
    );

    assert!(gone_after.is_some(), "still connected {DEADLINE:?} after it stopped reading");
    let growth = peak.max(after).saturating_sub(before);
    let bound = (others + 1) * LANE_BYTES + SLACK_BYTES;
    assert!(growth <= bound, "the process grew by {growth} bytes, its lanes allow {bound}");
    let members = readers[0].members("lobby").await;
    assert!(!crate::harness::listed(&members["members"], "stalled"), "{members}");
    assert_eq!(members["count"], others);
}
