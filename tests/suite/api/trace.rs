//! What happens to a user or in a room, told live.

use std::time::Duration;

use serde_json::{Value, json};

use super::{KEY, done, post};
use crate::harness::{
    Client, Connect, Endpoint, Process, RedisServer, TestApp, eventually, nodes_with,
};

const SETTINGS: &str = r#"
api.keys = ["a-key-of-the-tests"]
api.key = [
    { name = "tracer", key = "a-key-that-traces", scopes = ["trace"], rooms = ["w:*"] },
    { name = "reader", key = "a-key-that-reads", scopes = ["history"] },
]
"#;

fn upgrade(node: &Endpoint) -> Connect {
    Connect::new(*node, "/api/v1/trace")
}

async fn open(node: &Endpoint) -> Client {
    Client::new(upgrade(node).wire().await)
}

/// A trace that runs.
async fn trace(node: &Endpoint, wish: Value) -> Client {
    let mut trace = open(node).await;
    let mut first = wish.clone();
    first["key"] = KEY.into();
    trace.send(&first).await;
    let tracing = trace.next().await;
    assert_eq!(tracing["type"], "tracing", "{tracing}");
    trace
}

/// The next thing that happened, of this kind.
async fn happened(trace: &mut Client, what: &str) -> Value {
    trace.until(|it| it["type"] == "happened" && it["what"] == what).await
}

/// What a node tells in a moment, if it tells anything.
async fn told_by(trace: &mut Client, node: &str) -> Option<Value> {
    loop {
        let next = tokio::time::timeout(Duration::from_millis(300), trace.try_next()).await;
        let event = next.ok()?.expect("the trace runs");
        if event["node"] == node {
            return Some(event);
        }
    }
}

#[tokio::test]
async fn a_user_is_followed_from_its_connection_to_its_end() {
    let app = TestApp::spawn(&format!("{SETTINGS}\nlimits.messages_per_second = 20")).await;
    let mut trace = trace(&app, json!({"user": "alice"})).await;
    let mut bob = app.member("bob", "lobby").await;
    bob.chat("lobby", "not of alice").await;
    let mut alice = app.client("alice").await;
    let connected = happened(&mut trace, "connected").await;
    assert_eq!(
        (&connected["user"], &connected["transport"]),
        (&json!("alice"), &json!("websocket"))
    );
    assert_eq!(connected["session"], alice.session());
    assert!(connected["at"].is_u64() && connected["node"].is_string(), "{connected}");
    let joined = alice.join("lobby").await;
    let told = happened(&mut trace, "joined").await;
    assert_eq!((&told["room"], &told["seq"]), (&json!("lobby"), &joined["seq"]));
    let ack = alice.chat("lobby", "hello").await;
    let told = happened(&mut trace, "published").await;
    assert_eq!(
        (&told["kind"], &told["bytes"], &told["seq"]),
        (&json!("chat"), &json!(5), &ack["seq"])
    );
    assert!(told.get("content").is_none(), "it was not asked for: {told}");
    alice.set("lobby", "k", json!(1)).await;
    assert_eq!(happened(&mut trace, "published").await["name"], "k");
    let conflict = json!({"type": "set", "room": "lobby", "key": "k", "value": 2, "if_version": 0});
    alice.refused(conflict, "conflict").await;
    assert_eq!(happened(&mut trace, "refused").await["code"], "conflict");
    alice.resume("lobby", &joined).await;
    assert_eq!(happened(&mut trace, "joined").await["recovered"], true);
    alice
        .ask(json!({"type": "signal", "room": "lobby", "event": "cursor", "data": 1}), "ack")
        .await;
    assert_eq!(happened(&mut trace, "relayed").await["kind"], "signal");
    alice.ask(json!({"type": "status", "status": "away"}), "ack").await;
    assert_eq!(happened(&mut trace, "status").await["status"], "away");
    bob.ask(json!({"type": "direct", "to": "alice", "content": "psst"}), "ack").await;
    let direct = happened(&mut trace, "direct").await;
    assert_eq!((&direct["user"], &direct["to"]), (&json!("bob"), &json!("alice")));
    alice.ask(json!({"type": "leave", "room": "lobby"}), "left").await;
    happened(&mut trace, "left").await;
    happened(&mut trace, "absent").await;
    for _ in 0..30 {
        alice.send(&json!({"type": "ping"})).await;
    }
    let limited = trace.until(|it| it["what"] == "refused" && it["code"] == "rate_limited").await;
    assert_eq!(limited["user"], "alice");
    done(&app, "POST", "/users/alice/disconnect", json!({})).await;
    alice.closed().await.assert(1008, "kicked");
    assert_eq!(happened(&mut trace, "ended").await["reason"], "kicked");
    let _again = app.client("alice").await;
    happened(&mut trace, "connected").await;
    let rest = trace.take();
    assert!(rest.iter().all(|it| it["user"] == "alice" || it["to"] == "alice"), "{rest:?}");
}

#[tokio::test]
async fn a_room_is_followed_with_what_is_published_where_that_is_wanted() {
    let app = TestApp::spawn(SETTINGS).await;
    let mut trace = trace(&app, json!({"room": "lobby", "content": true})).await;
    let mut alice = app.member("alice", "lobby").await;
    assert_eq!(happened(&mut trace, "joined").await["user"], "alice");
    assert_eq!(happened(&mut trace, "present").await["sessions"], 1);
    let mut elsewhere = app.member("alice", "other").await;
    elsewhere.chat("other", "not here").await;
    alice.chat("lobby", "hello").await;
    assert_eq!(happened(&mut trace, "published").await["content"], "hello");
    post(&app, "/rooms/lobby/messages", json!({"event": "deploy", "data": {"n": 1}})).await;
    let told = happened(&mut trace, "published").await;
    assert_eq!((&told["name"], &told["content"]), (&json!("deploy"), &json!({"n": 1})));
    assert!(told.get("user").is_none() && told.get("session").is_none(), "{told}");
    alice.chat("lobby", "the end").await;
    trace.until(|it| it["content"] == "the end").await;
    let rest = trace.take();
    assert!(rest.iter().all(|it| it["room"] == "lobby"), "{rest:?}");
}

#[tokio::test]
async fn who_is_turned_away_is_told() {
    let app = TestApp::spawn(&format!("{SETTINGS}\nlimits.connections_per_user = 1")).await;
    let mut trace = trace(&app, json!({"user": "alice"})).await;
    let _alice = app.client("alice").await;
    app.connect("alice").refused().await.assert_error(429, "rate_limited");
    assert_eq!(happened(&mut trace, "turned_away").await["cause"], "user_connections");
}

#[tokio::test]
async fn all_nodes_tell_of_a_user() {
    let redis = RedisServer::start().await;
    let [one, two] = nodes_with::<2>(&redis.url(), SETTINGS).await;
    let mut by_user = trace(&one, json!({"user": "alice", "content": true})).await;
    // The other node hears of the wish a moment later.
    let mut there = eventually("the other node to tell", async || {
        let there = two.client("alice").await;
        told_by(&mut by_user, "n2").await.map(|_| there)
    })
    .await;
    let mut here = one.client("alice").await;
    for (client, node) in [(&mut here, "n1"), (&mut there, "n2")] {
        client.join("lobby").await;
        client.chat("lobby", node).await;
        let told = by_user.until(|it| it["what"] == "published" && it["content"] == node).await;
        assert_eq!(told["node"], node, "{told}");
    }
    drop(there);
    by_user.until(|it| it["what"] == "ended" && it["node"] == "n2").await;
    // The wish ends with the trace: the other node tells nothing to the next one that it did not
    // ask for.
    by_user.wire.send_close(1000, "").await;
    by_user.closed().await.assert(1000, "");
    let mut by_room = trace(&two, json!({"room": "lobby"})).await;
    let told = eventually("the first node to tell", async || {
        here.chat("lobby", "again").await;
        told_by(&mut by_room, "n1").await
    })
    .await;
    assert!(told.get("content").is_none(), "{told}");
}

#[tokio::test]
async fn a_trace_needs_a_key_its_scope_and_its_rooms() {
    let app = TestApp::spawn(SETTINGS).await;
    for (first, code) in [
        (json!({"user": "alice"}), "unauthorized"),
        (json!({"key": "a-key-of-the-test", "user": "alice"}), "unauthorized"),
        (json!({"key": "a-key-that-reads", "user": "alice"}), "forbidden"),
        (json!({"key": "a-key-that-traces", "room": "lobby"}), "forbidden"),
        (json!({"key": "a-key-that-traces", "room": "w:1", "content": true}), "forbidden"),
        (json!({"key": KEY}), "bad_message"),
        (json!({"key": KEY, "user": "a", "room": "b"}), "bad_message"),
        (json!({"key": KEY, "room": "@bob"}), "forbidden"),
        (json!({"key": KEY, "user": ""}), "bad_message"),
        (json!([1]), "bad_message"),
    ] {
        let mut trace = open(&app).await;
        trace.send(&first).await;
        let error = trace.next().await;
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{first}");
        assert!(!error["message"].as_str().unwrap_or_default().contains("a-key-"), "{error}");
        trace.closed().await.assert(1000, "");
    }
    // By a header, as programs may: refused before the upgrade.
    upgrade(&app).bearer("wrong-key").refused().await.assert_error(401, "unauthorized");
    upgrade(&app).bearer("a-key-that-reads").refused().await.assert_error(403, "forbidden");
    let mut limited = Client::new(upgrade(&app).bearer("a-key-that-traces").wire().await);
    limited.send(&json!({"user": "alice"})).await;
    assert_eq!(limited.next().await["type"], "tracing");
    // Of a user it hears what is not in a room, and what is in its rooms.
    let mut alice = app.member("alice", "lobby").await;
    alice.chat("lobby", "not for it").await;
    alice.join("w:1").await;
    limited.until(|it| it["what"] == "joined" && it["room"] == "w:1").await;
    alice.chat("w:1", "the end").await;
    happened(&mut limited, "published").await;
    let told = limited.take();
    assert!(told.iter().all(|it| it["room"] != "lobby"), "{told:?}");
    // One connection, one trace.
    limited.send(&json!({"key": KEY, "user": "bob"})).await;
    assert_eq!(limited.expect("error").await["code"], "bad_message");
}

#[tokio::test]
async fn pages_of_other_origins_may_not_trace() {
    let app = TestApp::spawn(SETTINGS).await;
    let response = upgrade(&app).header("origin", "https://evil.test").refused().await;
    response.assert_error(403, "origin_not_allowed");
    let own = format!("http://127.0.0.1:{}", app.port);
    upgrade(&app).header("origin", own).wire().await;
    app.backend(KEY, "GET", "/api/v1/trace", "").await.assert_error(426, "bad_message");
    let off = TestApp::spawn("").await;
    upgrade(&off).refused().await.assert_error(404, "not_found");
}

#[tokio::test]
async fn who_says_nothing_is_sent_away() {
    let app = TestApp::spawn(SETTINGS).await;
    let mut silent = open(&app).await;
    assert_eq!(silent.next().await["code"], "unauthorized");
    silent.closed().await.assert(1000, "");
    app.until_connections(0).await;
}

#[tokio::test]
async fn so_many_run_on_a_node_and_so_many_are_about_to() {
    let app = TestApp::spawn(SETTINGS).await;
    let mut running = Vec::new();
    for _ in 0..16 {
        running.push(trace(&app, json!({"user": "alice"})).await);
    }
    let mut one_more = open(&app).await;
    one_more.send(&json!({"key": KEY, "user": "alice"})).await;
    assert_eq!(one_more.next().await["code"], "unavailable");
    drop(running.pop());
    eventually("a place", async || {
        let mut one_more = open(&app).await;
        one_more.send(&json!({"key": KEY, "user": "alice"})).await;
        (one_more.next().await["type"] == "tracing").then_some(())
    })
    .await;
    let mut waiting = Vec::new();
    for _ in 0..32 {
        waiting.push(open(&app).await);
    }
    let refused = upgrade(&app).refused().await;
    refused.assert_error(503, "unavailable");
    refused.assert_retry_after();
}

#[tokio::test]
async fn what_a_slow_reader_misses_is_counted() {
    let settings =
        format!("{SETTINGS}\nlimits.messages_per_second = 1000000\noutbound.reliable_bytes = 4096");
    let app = TestApp::spawn(&settings).await;
    let wire = upgrade(&app).receive_buffer(4096).wire().await;
    let mut trace = Client::new(wire);
    trace.send(&json!({"key": KEY, "room": "lobby", "content": true})).await;
    trace.expect("tracing").await;
    let mut alice = app.member("alice", "lobby").await;
    let text = "x".repeat(20_000);
    const WRITTEN: usize = 300;
    for _ in 0..WRITTEN {
        alice.chat("lobby", &text).await;
    }
    // Who writes was not held up. Now the trace is read: what is missing is told.
    let (mut told, mut dropped) = (0, 0);
    while told + dropped < WRITTEN as u64 {
        let event = trace.until(|it| it["type"] == "dropped" || it["what"] == "published").await;
        match event["count"].as_u64() {
            Some(count) => dropped += count,
            None => told += 1,
        }
    }
    assert!(dropped > 0, "all {told} fit");
}

#[tokio::test]
async fn who_traces_and_disconnects_is_in_the_log_and_no_key_is() {
    let keys =
        r#"[{"name": "on call", "key": "a-key-on-call", "scopes": ["trace", "disconnect"]}]"#;
    let environment =
        [("ROOKERY__API__KEY", keys), ("ROOKERY__LOG__LEVEL", "trace"), ("RUST_LOG", "trace")];
    let process = Process::spawn(&environment).await;
    let mut alice = process.client("alice").await;
    let mut trace = open(&process).await;
    trace.send(&json!({"key": "a-key-on-call", "user": "alice"})).await;
    trace.expect("tracing").await;
    let path = format!("/api/v1/users/alice/sessions/{}/disconnect", alice.session());
    let body = r#"{"reason": "a test"}"#;
    let answer = process.backend("a-key-on-call", "POST", &path, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    alice.closed().await.assert(1008, "kicked");
    trace.leave().await;
    let mut refused = open(&process).await;
    refused.send(&json!({"key": "a-key-of-nobody", "user": "alice"})).await;
    refused.closed().await.assert(1000, "");
    let log = eventually("the end of the trace", async || {
        Some(process.log()).filter(|log| log.contains("on call traces the user alice no more"))
    })
    .await;
    assert!(log.contains("on call traces the user alice, contents: false"), "{log}");
    assert!(log.contains("on call disconnects session") && log.contains("a test"), "{log}");
    for key in ["a-key-on-call", "a-key-of-nobody"] {
        assert!(!log.contains(key), "the key {key} is in the log");
    }
}
