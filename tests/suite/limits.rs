//! Limits of one session and of one room.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Client, Process, TEXT, TestApp, eventually, frame};

#[tokio::test]
async fn messages_over_the_rate_are_rate_limited_with_a_time_to_retry() {
    let app = TestApp::spawn("limits.messages_per_second = 5").await;
    let mut alice = app.client("alice").await;
    let refused = eventually("a refusal", async || {
        let reply = alice.request(json!({"type": "ping"})).await;
        (reply["type"] == "error").then_some(reply)
    })
    .await;
    assert_eq!(refused["code"], "rate_limited");
    let wait = refused["retry_after_ms"].as_u64().expect("a time to wait");
    assert!((1..=1000).contains(&wait), "{refused}");
    // After that time a message is taken again.
    tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
    alice.ask(json!({"type": "ping"}), "pong").await;
}

#[tokio::test]
async fn a_refusal_comes_also_without_an_id_and_the_message_has_no_effect() {
    const SENT: usize = 40;
    let app = TestApp::spawn("limits.messages_per_second = 20").await;
    let mut alice = app.member("alice", "lobby").await;
    for number in 0..SENT {
        let chat = json!({"type": "chat", "room": "lobby", "content": number.to_string()});
        alice.send(&chat).await;
    }
    // Each of them is either refused or comes back to its sender.
    let (mut refused, mut written) = (0, 0);
    while refused + written < SENT {
        let message = alice.next().await;
        match message["type"].as_str() {
            Some("error") => {
                assert_eq!(message["code"], "rate_limited");
                assert!(message.get("id").is_none(), "{message}");
                refused += 1;
            }
            Some("chat") => written += 1,
            _ => {}
        }
    }
    assert!(refused > 0 && written > 0, "{refused} refused, {written} written");
    let history = app.client("bob").await.history("lobby", json!({})).await;
    assert_eq!(history["messages"].as_array().map(Vec::len), Some(written));
}

#[tokio::test]
async fn a_burst_of_one_second_is_taken() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    for id in 0..50 {
        alice.send(&json!({"type": "ping", "id": id})).await;
    }
    for id in 0..50 {
        assert_eq!(alice.until(|m| m["id"] == id).await["type"], "pong");
    }
}

#[tokio::test]
async fn going_on_after_repeated_refusals_is_closed_with_rate_limited() {
    let app = TestApp::spawn("limits.messages_per_second = 5").await;
    let mut alice = app.client("alice").await;
    for _ in 0..200 {
        // The server may close before the last one is written.
        let ping = crate::harness::frame(true, crate::harness::TEXT, br#"{"type":"ping"}"#);
        if alice.wire.try_send(&ping).await.is_err() {
            break;
        }
    }
    alice.closed().await.assert(1008, "rate_limited");
}

#[tokio::test]
async fn another_session_is_not_slowed_by_a_fast_one() {
    let app = TestApp::spawn("limits.messages_per_second = 5").await;
    let mut fast = app.client("alice").await;
    let mut other = app.client("bob").await;
    for _ in 0..10 {
        fast.send(&json!({"type": "ping"})).await;
    }
    fast.expect("error").await;
    other.ask(json!({"type": "ping"}), "pong").await;
}

async fn assert_too_many(client: &mut Client, room: &str) {
    let error = client.refused(json!({"type": "join", "room": room}), "too_many_rooms").await;
    assert_eq!(error["room"], room);
}

#[tokio::test]
async fn rooms_per_session_are_limited() {
    let app = TestApp::spawn("limits.rooms_per_session = 2").await;
    let mut alice = app.client("alice").await;
    alice.join("a").await;
    alice.join("b").await;
    assert_too_many(&mut alice, "c").await;
    // A joined room is no further one, and leaving makes room.
    alice.join("b").await;
    alice.ask(json!({"type": "leave", "room": "a"}), "left").await;
    alice.join("c").await;
    assert_too_many(&mut alice, "a").await;
    app.client("alice").await.join("a").await;
}

#[tokio::test]
async fn members_of_a_room_are_limited() {
    let app = TestApp::spawn("rooms.members = 2").await;
    let mut alice = app.member("alice", "lobby").await;
    let _bob = app.member("bob", "lobby").await;
    let mut carol = app.client("carol").await;
    let error = carol.refused(json!({"type": "join", "room": "lobby"}), "room_full").await;
    assert_eq!(error["room"], "lobby");
    carol.join("elsewhere").await;
    alice.ask(json!({"type": "leave", "room": "lobby"}), "left").await;
    carol.join("lobby").await;
}

#[tokio::test]
async fn a_client_that_asks_and_does_not_read_costs_no_more_than_its_lane() {
    // Each answer is some 40 KiB, so that a few fill the socket.
    const REQUESTS: usize = 3_000;
    const BOUND: u64 = 24 * 1024 * 1024;
    let process = Process::spawn(&[("ROOKERY__LIMITS__MESSAGES_PER_SECOND", "1000000")]).await;
    let meta = json!({"meta": "m".repeat(1000)});
    let mut members = Vec::new();
    for number in 0..40 {
        let mut member = process.client_with(&format!("u{number}"), meta.clone()).await;
        member.join("lobby").await;
        members.push(member);
    }
    let mut greedy = process.connect("greedy").receive_buffer(4096).client().await;
    greedy.ask(json!({"type": "presence", "room": "lobby"}), "members").await;
    let before = process.resident_bytes();
    let request = frame(true, TEXT, br#"{"type":"presence","room":"lobby"}"#);
    for _ in 0..REQUESTS {
        // Once the server stops reading, TCP makes this client wait.
        let sent = greedy.wire.try_send(&request);
        if tokio::time::timeout(Duration::from_millis(200), sent).await.is_err() {
            break;
        }
    }
    members[0].ask(json!({"type": "ping"}), "pong").await;
    let grown = process.resident_bytes().saturating_sub(before);
    assert!(grown < BOUND, "{REQUESTS} requests without reading took {grown} bytes");
    // And it is answered all the same, once it reads.
    greedy.expect("members").await;
}
