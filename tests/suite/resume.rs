//! `join` with `history` and `since`: what was missed, and where the log no
//! longer tells.

use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::harness::{Client, TestApp, seqs, since};

async fn write(client: &mut Client, count: usize) {
    for number in 0..count {
        client.chat("lobby", &number.to_string()).await;
    }
}

fn position(epoch: &Value, seq: u64) -> Value {
    json!({"epoch": epoch, "seq": seq})
}

#[tokio::test]
async fn joined_carries_what_the_contract_names() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let joined = alice.join("lobby").await;
    assert_eq!((&joined["room"], &joined["seq"]), (&json!("lobby"), &json!(0)));
    assert!(joined["epoch"].is_string(), "{joined}");
    assert!(joined["recovered"].is_boolean(), "{joined}");
    assert_eq!((&joined["messages"], &joined["state"]), (&json!([]), &json!({})));
    assert_eq!(joined["count"], 1);
    assert_eq!(joined["members"][0]["user"], "alice");
}

#[tokio::test]
async fn without_since_and_history_no_messages_come() {
    let app = TestApp::spawn("").await;
    write(&mut app.member("alice", "lobby").await, 3).await;
    let joined = app.client("bob").await.join("lobby").await;
    assert_eq!((&joined["messages"], &joined["seq"]), (&json!([]), &json!(3)));
}

#[tokio::test]
async fn with_history_the_newest_n_come_rising_as_they_came_live() {
    let app = TestApp::spawn("").await;
    let mut alice = app.member("alice", "lobby").await;
    write(&mut alice, 3).await;
    alice.set("lobby", "k", json!(1)).await;
    let mut live = Vec::new();
    for seq in 1..=4 {
        live.push(alice.until(|m| m["seq"] == seq && m["type"] != "ack").await);
    }
    let mut bob = app.client("bob").await;
    for n in [2, 4, 100] {
        let join = json!({"type": "join", "room": "lobby", "history": n});
        let joined = bob.ask(join, "joined").await;
        let expected = &live[4_usize.saturating_sub(n)..];
        assert_eq!(joined["messages"].as_array().unwrap(), expected, "for history {n}");
    }
}

#[tokio::test]
async fn with_since_exactly_what_was_missed_comes() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let epoch = alice.join("lobby").await["epoch"].clone();
    write(&mut alice, 5).await;
    for seq in 0..=5 {
        let mut bob = app.client("bob").await;
        let joined = bob.resume("lobby", &position(&epoch, seq)).await;
        assert_eq!(joined["recovered"], true, "since {seq}: {joined}");
        assert_eq!(seqs(&joined["messages"]), (seq + 1..=5).collect::<Vec<_>>());
        assert_eq!((&joined["seq"], &joined["epoch"]), (&json!(5), &epoch));
    }
}

#[tokio::test]
async fn a_second_join_of_a_joined_room_answers_as_a_resume_would() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let start = since(&alice.join("lobby").await);
    write(&mut alice, 2).await;
    let joined = alice.resume("lobby", &start).await;
    assert_eq!((&joined["recovered"], seqs(&joined["messages"])), (&json!(true), vec![1, 2]));
    assert_eq!(joined["count"], 1);
    assert_eq!(joined["members"][0]["sessions"], 1);
    alice.join("lobby").await;
    // Joined twice is joined once: one copy of each message, one leave.
    alice.settle().await;
    alice.chat("lobby", "x").await;
    let copies = alice.settle().await.iter().filter(|m| m["type"] == "chat").count();
    assert_eq!(copies, 1);
    alice.ask(json!({"type": "leave", "room": "lobby"}), "left").await;
    alice.refused(json!({"type": "chat", "room": "lobby", "content": "x"}), "not_joined").await;
}

#[tokio::test]
async fn a_trimmed_log_gives_recovered_false_and_the_newest_page() {
    let app = TestApp::spawn("rooms.history_size = 5").await;
    let mut alice = app.client("alice").await;
    let epoch = alice.join("lobby").await["epoch"].clone();
    write(&mut alice, 10).await;
    let mut bob = app.client("bob").await;
    for seq in 0..=10 {
        let joined = bob.resume("lobby", &position(&epoch, seq)).await;
        // 6 to 10 are there, so who has 5 misses nothing that is gone.
        let reaches = seq >= 5;
        assert_eq!(joined["recovered"], reaches, "since {seq}: {joined}");
        let first = if reaches { seq + 1 } else { 6 };
        assert_eq!(seqs(&joined["messages"]), (first..=10).collect::<Vec<_>>());
        assert_eq!(joined["seq"], 10);
    }
}

#[tokio::test]
async fn another_epoch_or_a_seq_ahead_gives_recovered_false_and_the_newest_50_or_n() {
    let app = TestApp::spawn("limits.messages_per_second = 1000").await;
    let mut alice = app.client("alice").await;
    let epoch = alice.join("lobby").await["epoch"].clone();
    write(&mut alice, 60).await;
    let mut bob = app.client("bob").await;
    let unknown = [
        position(&json!("another"), 10),
        position(&json!("another"), 60),
        position(&epoch, 61),
        position(&epoch, 9_007_199_254_740_992),
    ];
    for since in unknown {
        let joined = bob.resume("lobby", &since).await;
        assert_eq!(joined["recovered"], false, "since {since}");
        assert_eq!(seqs(&joined["messages"]), (11..=60).collect::<Vec<_>>());
        assert_eq!((&joined["epoch"], &joined["seq"]), (&epoch, &json!(60)));

        let join = json!({"type": "join", "room": "lobby", "since": since, "history": 3});
        let joined = bob.ask(join, "joined").await;
        assert_eq!(
            (&joined["recovered"], seqs(&joined["messages"])),
            (&json!(false), vec![58, 59, 60])
        );
    }
}

#[tokio::test]
async fn leave_answers_left_also_for_a_room_not_joined_and_ends_the_room_s_messages() {
    let app = TestApp::spawn("").await;
    let mut alice = app.member("alice", "lobby").await;
    let mut bob = app.member("bob", "lobby").await;
    let leave = json!({"type": "leave", "room": "lobby"});
    assert_eq!(bob.ask(leave.clone(), "left").await["room"], "lobby");
    assert_eq!(bob.ask(leave, "left").await["room"], "lobby");
    bob.settle().await;
    alice.chat("lobby", "x").await;
    alice.set("lobby", "k", json!(1)).await;
    let seen = bob.settle().await;
    assert!(seen.is_empty(), "{seen:?}");
}

/// Keeps a room busy until it is dropped.
struct Traffic(Arc<AtomicBool>, Vec<tokio::task::JoinHandle<()>>);

impl Traffic {
    async fn start(app: &TestApp, writers: usize) -> Self {
        let busy = Arc::new(AtomicBool::new(true));
        let mut tasks = Vec::new();
        for number in 0..writers {
            let mut writer = app.member(&format!("writer-{number}"), "lobby").await;
            let busy = Arc::clone(&busy);
            tasks.push(tokio::spawn(async move {
                while busy.load(Ordering::Relaxed) {
                    writer
                        .write(
                            json!({"type": "chat", "room": "lobby", "content": "x", "echo": false}),
                        )
                        .await;
                    writer.forget();
                }
            }));
        }
        Self(busy, tasks)
    }

    async fn end(self) {
        self.0.store(false, Ordering::Relaxed);
        for task in self.1 {
            task.await.expect("a writer fails");
        }
    }
}

/// Live messages of the log go on exactly behind `from`.
async fn assert_goes_on(client: &mut Client, from: u64, count: u64) -> u64 {
    for seq in from + 1..=from + count {
        assert_eq!(client.expect("chat").await["seq"], seq);
    }
    from + count
}

const BUSY: &str = "limits.messages_per_second = 100000\nlimits.connects_per_second = 10000\n\
                    rooms.history_size = 100000";

#[tokio::test]
async fn live_messages_go_on_exactly_where_joined_ends() {
    let app = TestApp::spawn(BUSY).await;
    let traffic = Traffic::start(&app, 3).await;
    for _ in 0..100 {
        let mut reader = app.client("reader").await;
        let joined = reader.join("lobby").await;
        let end = assert_goes_on(&mut reader, joined["seq"].as_u64().unwrap(), 10).await;
        // A join of a joined room comes in the midst of them.
        let joined = reader.resume("lobby", &position(&joined["epoch"], end)).await;
        assert_eq!(joined["recovered"], true);
    }
    traffic.end().await;
}

#[tokio::test]
async fn a_resume_among_concurrent_writes_leaves_no_hole_and_repeats_nothing() {
    let app = TestApp::spawn(BUSY).await;
    let traffic = Traffic::start(&app, 3).await;
    let mut reader = app.client("reader").await;
    let joined = reader.join("lobby").await;
    let epoch = joined["epoch"].clone();
    let mut seq = assert_goes_on(&mut reader, joined["seq"].as_u64().unwrap(), 5).await;
    for _ in 0..100 {
        // Half read, what follows is lost with the connection.
        reader.wire.cut();
        reader = app.client("reader").await;
        let joined = reader.resume("lobby", &position(&epoch, seq)).await;
        assert_eq!(joined["recovered"], true, "{joined}");
        let missed = seqs(&joined["messages"]);
        let end = joined["seq"].as_u64().unwrap();
        assert_eq!(missed, (seq + 1..=end).collect::<Vec<_>>());
        seq = assert_goes_on(&mut reader, end, 5).await;
    }
    traffic.end().await;
}

#[tokio::test]
async fn joined_comes_before_any_live_message_of_its_room() {
    let app = TestApp::spawn(BUSY).await;
    let traffic = Traffic::start(&app, 3).await;
    for _ in 0..100 {
        let mut reader = app.connect("reader").query("room", "lobby").client().await;
        let first = reader.until(|m| m["room"] == "lobby").await;
        assert_eq!(first["type"], "joined", "{first}");
    }
    traffic.end().await;
}
