//! What the server logs: in which form, of which connection, and what not.

use serde_json::{Value, json};

use crate::harness::{Backend, Process, RedisServer, Reply, TestApp, eventually};

/// Waits for a line that has all of this, and gives it.
async fn line(process: &Process, parts: &[&str]) -> String {
    eventually(&format!("a line with {parts:?}"), async || {
        let log = process.log();
        log.lines().find(|line| parts.iter().all(|it| line.contains(it))).map(str::to_owned)
    })
    .await
}

/// Each line, which has to be an object with what all have.
fn objects(log: &str) -> Vec<Value> {
    let object = |line: &str| {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|it| panic!("{it}: {line}"));
        let text = |name: &str| object[name].as_str().unwrap_or_else(|| panic!("{name}: {line}"));
        assert!(humantime::parse_rfc3339(text("time")).is_ok(), "{line}");
        assert!(["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&text("level")), "{line}");
        assert!(!text("target").is_empty() && !text("message").is_empty(), "{line}");
        object
    };
    log.lines().map(object).collect()
}

const JSON: (&str, &str) = ("ROOKERY__LOG__FORMAT", "json");

#[tokio::test]
async fn in_json_each_line_is_an_object_and_the_end_of_a_connection_has_its_counts() {
    let mut process = Process::spawn(&[JSON, ("ROOKERY__LOG__LEVEL", "trace")]).await;
    let wire = process.connect("alice").wire().await;
    let request = wire.upgrade.header("x-request-id").expect("every answer has one").to_owned();
    let mut alice = crate::harness::Client::new(wire);
    alice.expect("welcome").await;
    alice.join("lobby").await;
    alice.join("kitchen").await;
    alice.chat("lobby", "hello").await;
    alice.refused(json!({"type": "nonsense"}), "unknown_type").await;
    alice.leave().await;
    drop(process.client("bob").await);
    process.connect("carol").header("origin", "https://evil.example").refused().await;
    line(&process, &["rookery::connection", "\"alice\""]).await;
    line(&process, &["rookery::connection", "\"bob\""]).await;
    process.signal("TERM");
    process.exited().await;
    line(&process, &["drained"]).await;

    let lines = objects(&process.log());
    assert!(lines.iter().any(|it| it["level"] == "TRACE" || it["level"] == "DEBUG"), "{lines:?}");
    let first = lines.iter().find(|it| it["message"].as_str().unwrap().starts_with("listening"));
    assert!(first.is_some(), "{lines:?}");
    let ended = |user: &str| {
        let of_user = |it: &&Value| it["target"] == "rookery::connection" && it["user"] == user;
        let ended: Vec<&Value> = lines.iter().filter(of_user).collect();
        assert_eq!(ended.len(), 1, "{ended:?}");
        ended[0].clone()
    };
    let alice = ended("alice");
    for (name, value) in [
        ("level", json!("INFO")),
        ("request", json!(request)),
        ("code", json!(1000)),
        ("reason", json!("normal")),
        ("messages_received", json!(4)),
        ("messages_dropped", json!(0)),
        ("rooms_joined", json!(2)),
    ] {
        assert_eq!(alice[name], value, "{name} of {alice}");
    }
    for name in ["duration_ms", "bytes_received", "messages_sent", "bytes_sent"] {
        assert!(alice[name].is_u64(), "{name} of {alice}");
    }
    // `welcome`, two `joined`, an ack, an error and the message, at least.
    assert!(alice["messages_sent"].as_u64().unwrap() >= 6, "{alice}");
    assert!(alice["bytes_sent"].as_u64() > alice["bytes_received"].as_u64(), "{alice}");
    assert!(alice["session"].as_str().is_some_and(|it| it.len() > 10), "{alice}");
    let bob = ended("bob");
    assert_eq!((&bob["reason"], &bob["code"]), (&json!("lost"), &json!(1006)));
    let refused = lines.iter().find(|it| it["cause"] == "origin");
    assert!(refused.is_some_and(|it| it["level"] == "DEBUG" && it["request"].is_string()));
}

#[tokio::test]
async fn in_text_the_end_of_a_connection_is_one_line_that_can_be_left_out() {
    let process = Process::spawn(&[]).await;
    let mut alice = process.member("alice", "lobby").await;
    alice.chat("lobby", "hello").await;
    alice.leave().await;
    let line = line(&process, &["rookery::connection", " of alice ended after "]).await;
    for part in
        ["1000 normal; request ", " messages in: 2 (", " bytes), out: ", "; rooms joined: 1"]
    {
        assert!(line.contains(part), "no {part:?} in {line}");
    }

    let quiet = [("ROOKERY__LOG__LEVEL", "info,rookery::connection=warn")];
    let mut process = Process::spawn(&quiet).await;
    process.client("alice").await.leave().await;
    process.until_connections(0).await;
    process.signal("TERM");
    process.exited().await;
    assert!(!process.log().contains("ended after"), "{}", process.log());
}

#[tokio::test]
async fn a_request_id_is_taken_from_a_trusted_proxy_alone() {
    let given = "Root=1-67891233-abcdef012345678912345678";
    let app = TestApp::spawn("server.trusted_proxies = [\"127.0.0.2\"]").await;
    let id = async |source: [u8; 4], id: &str| {
        let connect = app.connect("alice").source(source).header("x-request-id", id);
        let wire = connect.wire().await;
        wire.upgrade.header("x-request-id").expect("there is one").to_owned()
    };
    let proxy = [127, 0, 0, 2];
    assert_eq!(id(proxy, given).await, given);
    for bad in ["", "two words", "a\"b", "{}", &"x".repeat(129)] {
        let own = id(proxy, bad).await;
        assert!(own.len() == 32 && own.bytes().all(|it| it.is_ascii_hexdigit()), "{bad:?}: {own}");
    }
    let own = id([127, 0, 0, 1], given).await;
    assert_ne!(own, given, "anyone could write it");
    for path in ["/", "/healthz", "/nowhere", "/api/v1/rooms"] {
        let other = app.get(path).await.header("x-request-id").expect("on every answer").to_owned();
        assert!(other != own && other.len() == 32, "{path}: {other}");
    }
    let refused = app.upgrade().refused().await;
    assert!(refused.header("x-request-id").is_some(), "{refused:?}");
}

#[tokio::test]
async fn a_backend_is_told_for_which_request_it_is_asked() {
    let backend = Backend::answering(|_| Reply::json(&json!({"allow": true}))).await;
    let settings = format!(
        "ask.url = {:?}\nask.keys = [\"a-key-of-questions\"]\nask.connect = true\n\
         ask.join = [\"*\"]\nask.publish = [\"*\"]",
        backend.url()
    );
    let app = TestApp::spawn(&settings).await;
    let wire = app.connect("alice").wire().await;
    let request = wire.upgrade.header("x-request-id").expect("there is one").to_owned();
    let mut alice = crate::harness::Client::new(wire);
    alice.expect("welcome").await;
    alice.join("lobby").await;
    alice.chat("lobby", "hello").await;
    let calls = backend.calls();
    assert_eq!(calls.len(), 3, "{calls:?}");
    for call in calls {
        assert_eq!(call.header("x-request-id"), request);
    }
}

/// Says a word in every way there is.
async fn say_everywhere(process: &Process, word: &str, key: &str) {
    let mut alice = process.member("alice", "lobby").await;
    let mut bob = process.member("bob", "lobby").await;
    let data = json!({ "said": word });
    alice.chat("lobby", word).await;
    for (message, reply) in [
        (json!({"type": "publish", "room": "lobby", "event": "e", "data": data}), "ack"),
        (json!({"type": "set", "room": "lobby", "key": "k", "value": data}), "ack"),
        (json!({"type": "signal", "room": "lobby", "event": "e", "data": data}), "ack"),
        (json!({"type": "direct", "to": "bob", "content": word}), "ack"),
        (json!({"type": "status", "status": "away", "meta": data}), "ack"),
        (json!({"type": "history", "room": "lobby"}), "history"),
    ] {
        alice.ask(message, reply).await;
    }
    alice
        .refused(json!({"type": "chat", "room": "elsewhere", "content": word}), "not_joined")
        .await;
    alice.refused(json!({"type": "chat", "room": 7, "content": word}), "bad_message").await;
    bob.until(|message| message["type"] == "direct").await;
    let listener = process.listener("carol", &["lobby"]).await;
    let session = listener.welcome["session"].as_str().unwrap().to_owned();
    let chat = json!([{"type": "chat", "room": "lobby", "content": word}]);
    assert_eq!(process.say("carol", &session, &chat).await.status, 202);
    bob.until(|message| message["user"] == "carol" && message["type"] == "chat").await;
    let body = json!({ "content": word }).to_string();
    for (method, path, body) in [
        ("POST", "/api/v1/rooms/lobby/messages", body.as_str()),
        ("POST", "/api/v1/users/bob/messages", &body),
        ("PUT", "/api/v1/rooms/lobby/state/k", &json!({ "value": data }).to_string()),
        ("GET", "/api/v1/rooms/lobby/messages", ""),
        ("GET", "/api/v1/rooms/lobby/state", ""),
    ] {
        let response = process.backend(key, method, path, body).await;
        assert_eq!(response.status, 200, "{method} {path}: {response:?}");
    }
    // What is no message at all.
    alice.wire.send(&crate::harness::frame(true, crate::harness::TEXT, word.as_bytes())).await;
    alice.expect("error").await;
    alice.leave().await;
    line(process, &["rookery::connection", "alice"]).await;
}

#[tokio::test]
async fn what_messages_say_never_reaches_the_log() {
    const WORD: &str = "xyzzy-between-us";
    const KEY: &str = "a-key-of-the-backend";
    let redis = RedisServer::start().await;
    let url = redis.url();
    let backend = Backend::answering(|_| Reply::json(&json!({"allow": true}))).await;
    let at = backend.url();
    for broker in ["", &url] {
        for format in ["text", "json"] {
            let process = Process::spawn(&[
                ("ROOKERY__LOG__LEVEL", "trace"),
                ("ROOKERY__LOG__FORMAT", format),
                ("ROOKERY__BROKER__URL", broker),
                ("ROOKERY__API__KEYS", KEY),
                ("ROOKERY__WEBHOOKS__URL", &at),
                ("ROOKERY__WEBHOOKS__KEYS", KEY),
                ("ROOKERY__WEBHOOKS__MESSAGES", "*"),
                ("ROOKERY__ASK__URL", &at),
                ("ROOKERY__ASK__KEYS", KEY),
                ("ROOKERY__ASK__PUBLISH", "*"),
            ])
            .await;
            say_everywhere(&process, WORD, KEY).await;
            let log = process.log();
            assert!(log.contains("TRACE"), "the level is as asked for: {log}");
            for secret in [WORD, KEY] {
                let at = log.find(secret);
                let before = at.map(|at| log[..at].chars().rev().take(400).collect::<String>());
                let before = before.map(|it| it.chars().rev().collect::<String>());
                assert!(before.is_none(), "{secret} is in the log, with {broker:?}: {before:?}");
            }
        }
    }
}
