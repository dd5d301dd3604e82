//! `history`: pages of the log.

use serde_json::{Value, json};

use crate::harness::{Client, TestApp, eventually, seqs};

/// A room with messages 1 to `count`.
async fn room_of(app: &TestApp, count: u64) -> Client {
    let mut alice = app.member("alice", "lobby").await;
    for number in 1..=count {
        alice.send(&json!({"type": "chat", "room": "lobby", "content": number.to_string()})).await;
    }
    alice.until(|m| m["type"] == "chat" && m["seq"] == count).await;
    alice
}

async fn page(client: &mut Client, extra: Value) -> (Vec<u64>, bool) {
    let history = client.history("lobby", extra).await;
    (seqs(&history["messages"]), history["more"].as_bool().expect("more is a boolean"))
}

const FAST: &str = "limits.messages_per_second = 10000";

#[tokio::test]
async fn without_bounds_the_newest_50_come_rising() {
    let app = TestApp::spawn(FAST).await;
    let mut alice = room_of(&app, 60).await;
    let (page, more) = page(&mut alice, json!({})).await;
    assert_eq!(page, (11..=60).collect::<Vec<_>>());
    assert!(more, "older ones are there");
}

#[tokio::test]
async fn entries_look_as_they_do_live() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let epoch = alice.join("lobby").await["epoch"].clone();
    alice.chat("lobby", "x").await;
    let live = alice.expect("chat").await;
    let history = alice.history("lobby", json!({})).await;
    assert_eq!(history["messages"], json!([live]));
    assert_eq!((&history["room"], &history["epoch"]), (&json!("lobby"), &epoch));
}

#[tokio::test]
async fn before_and_after_exclude_their_own_position_and_more_tells_of_their_direction() {
    let app = TestApp::spawn(FAST).await;
    let mut alice = room_of(&app, 10).await;
    let cases: [(Value, Vec<u64>, bool); 9] = [
        (json!({"before": 6, "limit": 3}), vec![3, 4, 5], true),
        (json!({"before": 4, "limit": 3}), vec![1, 2, 3], false),
        (json!({"before": 1}), vec![], false),
        (json!({"before": 1000, "limit": 2}), vec![9, 10], true),
        (json!({"after": 6, "limit": 3}), vec![7, 8, 9], true),
        (json!({"after": 7, "limit": 3}), vec![8, 9, 10], false),
        (json!({"after": 10}), vec![], false),
        (json!({"after": 0, "limit": 2}), vec![1, 2], true),
        (json!({"limit": 10}), (1..=10).collect(), false),
    ];
    for (asked, expected, more) in cases {
        assert_eq!(page(&mut alice, asked.clone()).await, (expected, more), "for {asked}");
    }
}

#[tokio::test]
async fn limit_is_clamped_to_1_and_1000() {
    let app = TestApp::spawn(&format!("{FAST}\nrooms.history_size = 2000")).await;
    let mut alice = room_of(&app, 1010).await;
    assert_eq!(page(&mut alice, json!({"limit": 0})).await, (vec![1010], true));
    let (longest, more) = page(&mut alice, json!({"limit": 1_000_000})).await;
    assert_eq!(longest, (11..=1010).collect::<Vec<_>>());
    assert!(more);
}

#[tokio::test]
async fn an_unused_room_has_an_empty_page() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    assert_eq!(page(&mut alice, json!({})).await, (vec![], false));
}

#[tokio::test]
async fn the_log_keeps_history_size_messages_and_a_namespace_its_own_number() {
    let app = TestApp::spawn(
        "rooms.history_size = 5\nrooms.namespace = [{ match = \"dash:*\", history_size = 2 }]",
    )
    .await;
    let mut alice = app.client("alice").await;
    for (room, kept) in [("lobby", vec![4, 5, 6, 7, 8]), ("dash:eu", vec![7, 8])] {
        alice.join(room).await;
        for _ in 0..8 {
            alice.chat(room, "x").await;
        }
        let history = alice.history(room, json!({})).await;
        assert_eq!(seqs(&history["messages"]), kept);
        assert_eq!(history["more"], false, "{room}");
    }
}

#[tokio::test]
async fn the_log_keeps_no_more_than_history_bytes() {
    let app = TestApp::spawn("rooms.history_bytes = 5000").await;
    let mut alice = app.member("alice", "lobby").await;
    for _ in 0..10 {
        alice.chat("lobby", &"x".repeat(1000)).await;
    }
    let (kept, _) = page(&mut alice, json!({})).await;
    assert!(!kept.is_empty() && kept.len() <= 5, "{kept:?}");
    assert_eq!(kept.last(), Some(&10));
}

#[tokio::test]
async fn messages_expire_after_history_ttl() {
    let app = TestApp::spawn("rooms.history_ttl = \"300ms\"").await;
    let mut alice = app.member("alice", "lobby").await;
    alice.chat("lobby", "x").await;
    alice.ask(json!({"type": "leave", "room": "lobby"}), "left").await;
    eventually("the message to expire", async || {
        let (kept, _) = page(&mut alice, json!({})).await;
        kept.is_empty().then_some(())
    })
    .await;
}
