//! Heartbeats, silence, and readers that stop.

use serde_json::json;
use std::time::Duration;

use crate::harness::{Client, PING, PONG, TEXT, TestApp, Wire, came, frame, now_ms, went};

/// Interval and timeout, in ms, of the tests that wait for a deadline.
const INTERVAL: u64 = 400;
const TIMEOUT: u64 = 600;
/// The contract's bound, and what a busy machine may add.
const DEADLINE: u64 = INTERVAL + TIMEOUT + 1000 + SLACK;
const SLACK: u64 = 2000;

fn beating(more: &str) -> String {
    format!(
        "heartbeat.interval = \"{INTERVAL}ms\"\nheartbeat.timeout = \"{TIMEOUT}ms\"\n\
         limits.messages_per_second = 100000\n{more}"
    )
}

/// Reads `count` Pings of the server and answers none.
async fn unanswered_pings(wire: &mut Wire, count: usize) {
    wire.answers_pings = false;
    let mut pings = 0;
    while pings < count {
        let frame = wire.next().await.expect("the connection stays");
        pings += usize::from(frame.opcode == PING);
    }
}

#[tokio::test]
async fn the_server_pings_and_a_client_that_answers_stays() {
    let app = TestApp::spawn(&beating("")).await;
    let mut alice = app.client("alice").await;
    // Long enough that a client that did not answer would be gone.
    while alice.pings < 6 {
        tokio::select! {
            message = alice.try_next() => panic!("nothing was due, came {message:?}"),
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
    }
    alice.ask(json!({"type": "ping"}), "pong").await;
}

#[tokio::test]
async fn a_silent_session_is_closed_after_the_timeout_and_by_its_deadline() {
    let app = TestApp::spawn(&beating("")).await;
    let mut alice = app.client("alice").await;
    let last_sign = now_ms();
    alice.ask(json!({"type": "ping"}), "pong").await;
    alice.wire.answers_pings = false;
    alice.closed().await.assert(1001, "heartbeat_timeout");
    let silence = now_ms() - last_sign;
    assert!(alice.pings > 0, "it was asked for a sign of life");
    assert!(silence >= TIMEOUT, "closed after {silence} ms, before the timeout");
    assert!(silence <= DEADLINE, "closed after {silence} ms only");
}

#[tokio::test]
async fn any_inbound_frame_counts_as_life() {
    let app = TestApp::spawn(&beating("")).await;
    let signs: [(&str, Vec<u8>); 4] = [
        ("a Ping", frame(true, PING, b"")),
        ("a Pong that nobody asked for", frame(true, PONG, b"unasked")),
        ("a message", frame(true, TEXT, br#"{"type":"ping"}"#)),
        ("a message that is refused", frame(true, TEXT, b"x")),
    ];
    for (what, sign) in signs {
        let mut alice = app.client("alice").await;
        for _ in 0..6 {
            alice.wire.send(&sign).await;
            unanswered_pings(&mut alice.wire, 1).await;
        }
        alice.wire.answers_pings = true;
        let reply = alice.request(json!({"type": "ping", "after": what})).await;
        assert_eq!(reply["type"], "pong");
    }
}

#[tokio::test]
async fn a_json_ping_is_answered_with_the_time() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let pong = alice.ask(json!({"type": "ping"}), "pong").await;
    let timestamp = pong["timestamp"].as_u64().expect("integer milliseconds");
    assert!(now_ms().abs_diff(timestamp) < 60_000, "{pong}");
}

#[tokio::test]
async fn a_ping_frame_is_answered_with_its_payload() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    for payload in [&b""[..], &[0xff; 125]] {
        alice.wire.send(&frame(true, PING, payload)).await;
        let pong = alice.wire.next().await.expect("a Pong");
        assert_eq!((pong.opcode, pong.payload.as_ref()), (PONG, payload));
    }
}

/// Writes 16 KiB messages to the lobby until `alice` has left it.
pub async fn flood_until_alice_left(mut writer: Client) -> Client {
    let content = "x".repeat(16 * 1024);
    loop {
        let chat = json!({"type": "chat", "room": "lobby", "content": content, "echo": false});
        writer.write(chat).await;
        // Looks at what has come, and no longer.
        let left = writer.until(|m| went(m, "alice"));
        if tokio::time::timeout(Duration::from_millis(1), left).await.is_ok() {
            return writer;
        }
    }
}

#[tokio::test]
async fn a_stalled_reader_behind_full_buffers_is_gone_by_its_deadline() {
    // Lanes so wide that nothing but the heartbeat can end it.
    let app = TestApp::spawn(&beating(
        "presence.grace = \"0s\"\noutbound.reliable_bytes = 1000000000\n\
         outbound.reliable_messages = 1000000",
    ))
    .await;
    let mut writer = app.member("writer", "lobby").await;
    let last_sign = now_ms();
    let connect = app.connect("alice").receive_buffer(4096).query("room", "lobby");
    let _stalled = connect.client().await;
    writer.until(|m| came(m, "alice")).await;
    let _writer = flood_until_alice_left(writer).await;
    let silence = now_ms() - last_sign;
    assert!(silence >= TIMEOUT, "gone after {silence} ms, before the timeout");
    assert!(silence <= DEADLINE, "gone after {silence} ms only");
    app.until_connections(1).await;
}

#[tokio::test]
async fn a_stalled_reader_that_keeps_sending_is_ended_by_its_lane() {
    let app = TestApp::spawn(
        "presence.grace = \"0s\"\nlimits.messages_per_second = 100000\n\
         outbound.reliable_bytes = 100000",
    )
    .await;
    let mut writer = app.member("writer", "lobby").await;
    let connect = app.connect("alice").receive_buffer(4096).query("room", "lobby");
    let mut stalled = connect.client().await;
    // Else her coming and her leaving may merge into nothing.
    writer.until(|m| came(m, "alice")).await;
    let sending = async {
        // Alive by its frames until TCP itself ends.
        while stalled.wire.try_send(&frame(true, PONG, b"")).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (_, _writer) = tokio::join!(sending, flood_until_alice_left(writer));
    app.until_connections(1).await;
}

#[tokio::test]
async fn a_client_that_asked_for_much_and_reads_nothing_is_gone_by_its_deadline() {
    let app = TestApp::spawn(&beating("outbound.reliable_bytes = 20000")).await;
    let mut alice = app.connect("alice").receive_buffer(4096).client().await;
    alice.join("lobby").await;
    for _ in 0..50 {
        alice.chat("lobby", &"x".repeat(1000)).await;
    }
    // 20 MB of answers: the server stops to read her, which is no sign of life.
    for _ in 0..400 {
        alice.send(&json!({"type": "history", "room": "lobby"})).await;
    }
    let last_sign = now_ms();
    app.until_connections(0).await;
    let silence = now_ms() - last_sign;
    assert!(silence <= DEADLINE, "gone after {silence} ms only");
}

#[tokio::test]
async fn a_session_that_vanished_leaves_the_fan_out_and_presence() {
    let app = TestApp::spawn(&beating("presence.grace = \"100ms\"")).await;
    let mut bob = app.member("bob", "lobby").await;
    // It never reads nor writes again, and its socket stays open: as after the
    // network went without FIN or RST.
    let _vanished = app.member("alice", "lobby").await;
    let last_sign = now_ms();
    bob.until(|m| came(m, "alice")).await;
    bob.until(|m| went(m, "alice")).await;
    let silence = now_ms() - last_sign;
    assert!(silence <= DEADLINE + 100, "left presence after {silence} ms only");
    app.until_connections(1).await;
}
