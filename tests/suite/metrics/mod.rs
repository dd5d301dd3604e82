//! `GET /metrics`: that Prometheus can read it, and that what happens shows.

pub mod exposition;
mod shown;

use serde_json::{Value, json};

use self::exposition::Exposition;
use crate::harness::{RedisServer, TEXT, TestApp, eventually, frame, nodes, since};

#[tokio::test]
async fn a_node_shows_itself_and_its_process() {
    let app = TestApp::spawn("server.node = \"n1\"\nserver.max_connections = 7").await;
    let shown = Exposition::of(&app).await;
    let version = env!("CARGO_PKG_VERSION");
    let build = format!("rookery_build_info{{version=\"{version}\",node=\"n1\"}}");
    for (sample, value) in [
        (build.as_str(), 1.0),
        ("rookery_ready", 1.0),
        ("rookery_draining", 0.0),
        ("rookery_connections", 0.0),
        ("rookery_connections_limit", 7.0),
        ("rookery_broker_up{kind=\"embedded\"}", 1.0),
    ] {
        assert_eq!(shown.find(sample), Some(value), "{sample}");
    }
    // The test is this process.
    assert!(shown.get("process_open_fds") > 2.0);
    assert!(shown.get("process_max_fds") > shown.get("process_open_fds"));
    assert!(shown.get("process_resident_memory_bytes") > 1_000_000.0);
    assert_eq!(shown.beginning("rookery_broker_"), ["rookery_broker_up{kind=\"embedded\"}"]);
}

#[tokio::test]
async fn families_are_named_and_typed_by_the_conventions() {
    let app = TestApp::spawn("").await;
    // What has labels shows from its first event on.
    app.upgrade().refused().await;
    let mut alice = app.client("alice").await;
    alice.resume("lobby", &json!({"epoch": "an-earlier-one", "seq": 3})).await;
    alice.leave().await;
    let gone = "rookery_connections_closed_total{reason=\"normal\"}";
    let shown = Exposition::until(&app, gone, 1.0).await;
    for (family, kind) in [
        ("rookery_build", "info"),
        ("rookery_connections", "gauge"),
        ("rookery_connections_opened", "counter"),
        ("rookery_connections_closed", "counter"),
        ("rookery_connection_duration_seconds", "histogram"),
        ("rookery_tokens_refused", "counter"),
        ("rookery_upgrades_refused", "counter"),
        ("rookery_messages_published", "counter"),
        ("rookery_messages_rate_limited", "counter"),
        ("rookery_joins", "counter"),
        ("rookery_resumes", "counter"),
        ("rookery_delivery_repairs", "counter"),
        ("rookery_logs_restarted", "counter"),
        ("rookery_workers_lagged", "counter"),
        ("rookery_broker_up", "gauge"),
        ("process_open_fds", "gauge"),
        ("process_resident_memory_bytes", "gauge"),
    ] {
        assert_eq!(shown.type_of(family), Some(kind), "{family}");
    }
}

#[tokio::test]
async fn connections_are_counted_when_they_open_and_by_reason_when_they_end() {
    let app = TestApp::spawn("limits.messages_per_second = 5").await;
    let alice = app.client("alice").await;
    let bob = app.client("bob").await;
    let mut carol = app.client("carol").await;
    let shown = Exposition::of(&app).await;
    assert_eq!(shown.get("rookery_connections"), 3.0);
    assert_eq!(shown.get("rookery_connections_opened_total"), 3.0);
    let closed = |shown: &Exposition| {
        let all = shown.beginning("rookery_connections_closed_total");
        all.iter().filter(|it| shown.get(it) > 0.0).count()
    };
    assert_eq!(closed(&shown), 0);
    assert!(shown.find("rookery_connections_closed_total{reason=\"internal\"}").is_some());

    alice.leave().await;
    let by = |reason: &str| format!("rookery_connections_closed_total{{reason=\"{reason}\"}}");
    Exposition::until(&app, &by("normal"), 1.0).await;
    // Its socket ends without a word.
    drop(bob);
    Exposition::until(&app, &by("lost"), 1.0).await;
    let ping = frame(true, TEXT, br#"{"type":"ping"}"#);
    // Until the server has closed, which it may before the last one is written.
    for _ in 0..200 {
        if carol.wire.try_send(&ping).await.is_err() {
            break;
        }
    }
    carol.closed().await.assert(1008, "rate_limited");
    let shown = Exposition::until(&app, &by("rate_limited"), 1.0).await;
    assert!(shown.get("rookery_messages_rate_limited_total") >= 5.0);
    assert_eq!(shown.get("rookery_connections_opened_total"), 3.0);
    assert_eq!(shown.get("rookery_connection_duration_seconds_count"), 3.0);
    assert_eq!(closed(&shown), 3);
    Exposition::until(&app, "rookery_connections", 0.0).await;
}

#[tokio::test]
async fn refusals_are_counted_by_cause() {
    let app = TestApp::spawn("limits.connections_per_user = 1").await;
    app.upgrade().refused().await.assert_error(401, "unauthorized");
    app.upgrade().bearer("not.a.token").refused().await.assert_error(401, "unauthorized");
    let expired = app.token_with("alice", json!({"exp": 1000}));
    app.upgrade().bearer(&expired).refused().await.assert_error(401, "unauthorized");
    let elsewhere = app.connect("alice").header("origin", "https://evil.example");
    elsewhere.refused().await.assert_error(403, "origin_not_allowed");
    let mut alice = app.client("alice").await;
    app.connect("alice").refused().await.assert_error(429, "rate_limited");
    assert_eq!(app.get(&format!("/ws?token={}", app.token("bob"))).await.status, 426);
    alice.refused(json!({"type": "refresh", "token": expired}), "token_rejected").await;

    let shown = Exposition::of(&app).await;
    let tokens =
        |cause: &str| shown.get(&format!("rookery_tokens_refused_total{{cause={cause:?}}}"));
    assert_eq!((tokens("missing"), tokens("malformed"), tokens("expired")), (1.0, 1.0, 2.0));
    let upgrades =
        |cause: &str| shown.get(&format!("rookery_upgrades_refused_total{{cause={cause:?}}}"));
    assert_eq!((upgrades("token"), upgrades("origin")), (3.0, 1.0));
    assert_eq!(upgrades("user_connections"), 1.0);
    assert_eq!(upgrades("handshake"), 1.0);
}

#[tokio::test]
async fn joins_and_resumes_are_counted() {
    let app = TestApp::spawn("").await;
    let mut alice = app.member("alice", "lobby").await;
    let known = since(&alice.chat("lobby", "one").await);
    alice.chat("lobby", "two").await;
    let mut bob = app.client("bob").await;
    assert_eq!(bob.resume("lobby", &known).await["recovered"], true);
    let lost: Value = json!({"epoch": "an-earlier-one", "seq": 3});
    assert_eq!(app.client("carol").await.resume("lobby", &lost).await["recovered"], false);
    let shown = Exposition::of(&app).await;
    assert_eq!(shown.get("rookery_joins_total"), 3.0);
    assert_eq!(shown.get("rookery_resumes_total{recovered=\"true\"}"), 1.0);
    assert_eq!(shown.get("rookery_resumes_total{recovered=\"false\"}"), 1.0);
}

#[tokio::test]
async fn a_log_that_was_lost_under_its_members_is_counted() {
    let redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let mut alice = one.member("alice", "lobby").await;
    let mut bob = two.member("bob", "lobby").await;
    alice.chat("lobby", "old").await;
    bob.until(|message| message["content"] == "old").await;
    assert_eq!(Exposition::of(&two).await.get("rookery_logs_restarted_total"), 0.0);
    redis.command(&["FLUSHALL"]);
    alice.chat("lobby", "new").await;
    bob.until(|message| message["type"] == "joined" && message["recovered"] == false).await;
    assert!(Exposition::of(&two).await.get("rookery_logs_restarted_total") >= 1.0);
}

#[tokio::test]
async fn a_gap_that_was_filled_is_counted() {
    let redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let mut alice = one.member("alice", "lobby").await;
    let mut bob = two.member("bob", "lobby").await;
    // Which of the two finds it depends on what comes first, the next message or the answer
    // of Redis.
    let repairs = |shown: &Exposition| {
        let of = |cause| shown.get(&format!("rookery_delivery_repairs_total{{cause=\"{cause}\"}}"));
        of("gap") + of("subscription")
    };
    assert_eq!(repairs(&Exposition::of(&two).await), 0.0);
    let repaired = eventually("a gap", async || {
        // Most likely nobody subscribes again between the two.
        redis.command(&["CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes"]);
        let seq = alice.chat("lobby", "missed").await["seq"].clone();
        bob.until(|message| message["type"] == "chat" && message["seq"] == seq).await;
        let shown = Exposition::of(&two).await;
        (repairs(&shown) >= 1.0).then_some(shown)
    });
    let shown = repaired.await;
    assert!(shown.get("rookery_broker_resubscriptions_total") >= 1.0);
    assert_eq!(shown.get("rookery_logs_restarted_total"), 0.0);
}

#[tokio::test]
async fn off_there_is_no_such_page() {
    let app = TestApp::spawn("server.metrics = false").await;
    app.get("/metrics").await.assert_error(404, "not_found");
}

/// What a probe shows of the broker.
async fn broker(node: &TestApp) -> Value {
    node.get("/healthz").await.json()["broker"].clone()
}

#[tokio::test]
async fn redis_shows_while_it_is_there_while_it_is_away_and_when_it_is_back() {
    const UP: &str = "rookery_broker_up{kind=\"redis\"}";
    let mut redis = RedisServer::durable().await;
    let [one, two] = nodes(&redis.url()).await;
    Exposition::until(&one, "rookery_broker_nodes", 2.0).await;
    Exposition::until(&two, UP, 1.0).await;
    let lag = |it: &Exposition| it.get("rookery_broker_probe_lag_seconds") > 0.0;
    let shown = Exposition::eventually(&one, "a probe that was heard", lag).await;
    for (sample, value) in [
        (UP, 1.0),
        ("rookery_ready", 1.0),
        ("rookery_broker_replicas", 0.0),
        ("rookery_broker_reconnects_total", 0.0),
        ("rookery_broker_resubscriptions_total", 0.0),
        ("rookery_broker_deaf_total", 0.0),
        ("rookery_broker_publish_duration_seconds_count", 0.0),
    ] {
        assert_eq!(shown.find(sample), Some(value), "{sample}");
    }
    let health = broker(&one).await;
    assert_eq!((&health["kind"], &health["problem"]), (&json!("redis"), &Value::Null));
    assert_eq!(health["nodes"], 2, "{health}");
    assert!(health["probe_lag_ms"].as_f64().is_some_and(|lag| lag > 0.0), "{health}");

    let mut alice = one.member("alice", "lobby").await;
    alice.chat("lobby", "hello").await;
    let conflict = json!({"type": "set", "room": "lobby", "key": "k", "value": 1, "if_version": 9});
    alice.refused(conflict, "conflict").await;
    let shown = Exposition::of(&one).await;
    assert_eq!(shown.get("rookery_broker_publish_duration_seconds_count"), 2.0);
    assert_eq!(shown.get("rookery_broker_publish_errors_total{cause=\"conflict\"}"), 1.0);

    redis.kill();
    let away = Exposition::until(&one, UP, 0.0).await;
    assert_eq!(away.get("rookery_ready"), 0.0);
    let health = broker(&one).await;
    assert!(health["problem"].as_str().is_some_and(|it| !it.is_empty()), "{health}");
    alice.refused(json!({"type": "chat", "room": "lobby", "content": "?"}), "unavailable").await;
    let unreachable = "rookery_broker_publish_errors_total{cause=\"unreachable\"}";
    assert_eq!(Exposition::of(&one).await.get(unreachable), 1.0);

    redis.restart().await;
    let back = Exposition::until(&one, UP, 1.0).await;
    assert!(back.get("rookery_broker_reconnects_total") >= 1.0);
    assert!(back.get("rookery_broker_resubscriptions_total") >= 1.0);
    assert_eq!(broker(&one).await["problem"], Value::Null);
}
