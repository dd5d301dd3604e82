//! How a stream of events ends.

use serde_json::json;

use crate::{
    harness::{Listener, TestApp, now_ms, now_s},
    liveness::flood_until_alice_left,
};

fn farewell(code: u64, reason: &str) -> Option<(u64, String)> {
    Some((code, reason.to_owned()))
}

#[tokio::test]
async fn a_drain_tells_streams_and_does_not_wait_for_them() {
    let app = TestApp::spawn("server.drain_timeout = \"20s\"").await;
    let mut listener = app.listener("alice", &["lobby"]).await;
    listener.expect("joined").await;
    app.stop();
    let closing = listener.expect("closing").await;
    assert_eq!(closing.data["reason"], "shutting_down");
    assert_eq!(Some(&closing.data["after_ms"]), listener.retry.map(|it| json!(it)).as_ref());
    assert_eq!(listener.closed().await, farewell(1001, "shutting_down"));
    drop(listener);
    // The test ends when the server does, which is no sooner than its last stream.
    let begun = now_ms();
    drop(app);
    assert!(now_ms() - begun < 15_000, "the drain waited for a stream that had ended");
}

#[tokio::test]
async fn the_end_of_a_token_ends_the_stream() {
    let app = TestApp::spawn("").await;
    let token = app.token_with("alice", json!({"exp": now_s() + 2}));
    let mut listener = Listener::open(app.events().bearer(&token)).await;
    listener.expect("reauthenticate").await;
    assert_eq!(listener.closed().await, farewell(1008, "token_expired"));
}

#[tokio::test]
async fn a_backend_ends_streams_as_it_does_sockets() {
    let key = "k".repeat(40);
    let app = TestApp::spawn(&format!("api.keys = [{key:?}]")).await;
    let mut listener = app.listener("alice", &[]).await;
    let kick = app.backend(&key, "POST", "/api/v1/users/alice/disconnect", "{}").await;
    assert!(kick.status < 300, "{kick:?}");
    assert_eq!(listener.closed().await, farewell(1008, "kicked"));
    app.until_connections(0).await;
}

#[tokio::test]
async fn a_newer_connection_of_either_kind_replaces_it() {
    let app = TestApp::spawn("").await;
    let mut first = app.listener("alice", &[]).await;
    let session = first.session().to_owned();
    let mut socket = app.connect("alice").query("session", &session).client().await;
    assert_eq!(first.closed().await, farewell(1001, "replaced"));
    let token = app.token("alice");
    let again = app.events().bearer(&token).query("session", &session);
    let _second = Listener::open(again).await;
    socket.closed().await.assert(1001, "replaced");
}

const BEATING: &str = "heartbeat.interval = \"300ms\"\nheartbeat.timeout = \"600ms\"\n\
                       presence.grace = \"0s\"\nlimits.messages_per_second = 100000\n";

#[tokio::test]
async fn comments_come_at_every_interval_and_silence_is_no_death() {
    let app = TestApp::spawn(BEATING).await;
    let mut listener = app.listener("alice", &[]).await;
    // Far longer than a silent socket would be left open.
    listener.until_comments(8).await;
    assert_eq!(app.connections().await, 1);
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_gone_by_its_deadline() {
    // Lanes so wide that nothing but the heartbeat, or the kernel, can end it.
    let app = TestApp::spawn(&format!(
        "{BEATING}outbound.reliable_bytes = 1000000000\noutbound.reliable_messages = 1000000"
    ))
    .await;
    let writer = app.member("writer", "lobby").await;
    let token = app.token("alice");
    let connect = app.events().bearer(&token).receive_buffer(4096).query("room", "lobby");
    let mut stalled = Listener::open(connect).await;
    stalled.expect("joined").await;
    let last_sign = now_ms();
    let _writer = flood_until_alice_left(writer).await;
    let silence = now_ms() - last_sign;
    assert!(silence >= 600, "gone after {silence} ms, before the timeout");
    // Interval, timeout, a second, and what a busy machine may add.
    assert!(silence <= 300 + 600 + 1000 + 2000, "gone after {silence} ms only");
    app.until_connections(1).await;
}

#[tokio::test]
async fn a_reader_too_slow_for_its_lane_is_told_so() {
    let app = TestApp::spawn(
        "outbound.reliable_bytes = 100000\nlimits.messages_per_second = 100000\n\
         heartbeat.interval = \"60s\"\nheartbeat.timeout = \"60s\"",
    )
    .await;
    let mut writer = app.member("writer", "lobby").await;
    let token = app.token("slow");
    let connect = app.events().bearer(&token).receive_buffer(4096).query("room", "lobby");
    let mut slow = Listener::open(connect).await;
    slow.expect("joined").await;
    let content = "x".repeat(16 * 1024);
    // More than the lane and all of the kernel's buffers hold.
    for _ in 0..400 {
        let chat = json!({"type": "chat", "room": "lobby", "content": content, "echo": false});
        writer.write(chat).await;
    }
    // Whatever reached it is whole, and in order; then it is told why no more comes.
    let mut last = 0;
    let end = loop {
        match slow.try_next().await {
            Some(told) if told.data["type"] == "chat" => {
                last += 1;
                assert_eq!(told.data["seq"], last);
            }
            Some(told) if told.name.is_some() => break Some(told),
            Some(_) => {}
            None => break None,
        }
    };
    let end = end.expect("a farewell");
    assert_eq!(end.data, json!({"code": 1013, "reason": "slow_consumer"}));
    assert!(last > 0 && last < 400, "{last}");
    assert!(slow.try_next().await.is_none());
}
