//! `welcome` is the first message of every connection. Whoever cannot be welcomed is
//! refused before the upgrade, and nobody who waits for an answer is left without one.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Backend, Client, Listener, RedisServer, Reply, TestApp, eventually, node};

/// Fills the embedded broker, by a client that it has taken in before.
async fn fill(client: &mut Client) {
    let content = "x".repeat(60_000);
    for room in 0.. {
        let reply = client.request(json!({"type": "join", "room": format!("r{room}")})).await;
        if reply["code"] == "unavailable" {
            return;
        }
        let chat = json!({"type": "chat", "room": format!("r{room}"), "content": content});
        if client.request(chat).await["code"] == "unavailable" {
            return;
        }
        client.forget();
    }
}

#[tokio::test]
async fn a_full_broker_refuses_new_users_before_the_upgrade() {
    let app = TestApp::spawn(
        "broker.memory = \"1 MiB\"\nrooms.history_ttl = \"4s\"\nrooms.dedup_window = \"1s\"",
    )
    .await;
    let mut alice = app.client("alice").await;
    fill(&mut alice).await;

    let refused = app.connect("bob").query("room", "late").refused().await;
    refused.assert_error(503, "unavailable");
    refused.assert_retry_after();
    let token = app.token("bob");
    let refused = Listener::attempt(app.events().bearer(&token)).await.err().expect("a refusal");
    refused.assert_error(503, "unavailable");
    refused.assert_retry_after();
    let metrics = app.get("/metrics").await.body;
    let counted = "rookery_upgrades_refused_total{cause=\"broker\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
    assert_eq!(app.connections().await, 1, "who is refused holds no connection");
    // A user whose inbox is there is let in.
    app.client("alice").await.leave().await;

    // When older messages are over their time there is room again.
    let wire = eventually("room for bob", async || {
        app.connect("bob").query("room", "late").attempt().await.ok()?.ok()
    });
    let mut bob = Client::new(wire.await);
    let welcome: Value = bob.next().await;
    assert_eq!((&welcome["type"], &welcome["user"]), (&json!("welcome"), &json!("bob")));
    assert_eq!(bob.expect("joined").await["room"], "late");
}

/// The first message of a connection, unless it was refused or did not come about.
async fn first(app: &TestApp, user: &str) -> Option<Value> {
    let wire = app.connect(user).attempt().await.ok()?.ok()?;
    Some(Client::new(wire).try_next().await.unwrap_or_else(|close| json!({"closed": close.code})))
}

fn assert_welcomed(firsts: impl IntoIterator<Item = Option<Value>>) -> usize {
    let came: Vec<Value> = firsts.into_iter().flatten().collect();
    for message in &came {
        assert_eq!(message["type"], "welcome", "{message}");
    }
    came.len()
}

#[tokio::test]
async fn a_drain_amid_connecting_clients_puts_nothing_before_welcome() {
    for round in 0..10 {
        let app = TestApp::spawn("limits.connections_per_ip = 1000").await;
        let connecting = join_all((0..60).map(|number| {
            let app = &app;
            async move {
                // So that some are before the drain, some behind it, and some amid it.
                tokio::time::sleep(Duration::from_micros(number * (100 + round * 20))).await;
                if number == 30 {
                    app.stop();
                }
                first(app, &format!("user{number}")).await
            }
        }));
        assert_welcomed(connecting.await);
    }
}

#[tokio::test]
async fn an_end_amid_connecting_clients_comes_after_welcome() {
    let settings = "api.keys = [\"backend-key\"]\nlimits.connects_per_second = 100000\n\
                    limits.connections_per_user = 1000\nlimits.connections_per_ip = 1000";
    let app = TestApp::spawn(settings).await;
    for _ in 0..30 {
        let kick = app.backend("backend-key", "POST", "/api/v1/users/bob/disconnect", "");
        let connecting = join_all((0..8).map(|_| first(&app, "bob")));
        let (kick, firsts) = tokio::join!(kick, connecting);
        assert_eq!(kick.status, 200, "{kick:?}");
        assert_eq!(assert_welcomed(firsts), 8, "who is kicked meanwhile is welcomed first");
    }
}

#[tokio::test]
async fn an_upgrade_that_waits_for_a_backend_when_the_drain_begins_is_refused() {
    let backend = Backend::answering(|_| Reply::Silence).await;
    let url = backend.url();
    let settings = format!(
        "ask.url = {url:?}\nask.keys = [\"a-key-of-the-backend\"]\nask.connect = true\n\
         ask.timeout = \"60s\""
    );
    let app = TestApp::spawn(&settings).await;
    let token = app.token("bob");
    let upgrade = app.connect("alice").refused();
    let stream = Listener::attempt(app.events().bearer(&token));
    // A call is noted before it is left without an answer.
    let drain = async {
        eventually("both questions", async || (backend.calls().len() == 2).then_some(())).await;
        app.stop();
    };
    let (refused, stream, ()) = tokio::join!(upgrade, stream, drain);
    refused.assert_error(503, "unavailable");
    refused.assert_retry_after();
    stream.err().expect("a refusal").assert_error(503, "unavailable");
}

#[tokio::test]
async fn an_upgrade_that_waits_for_redis_when_the_drain_begins_is_refused() {
    let redis = RedisServer::start().await;
    let node = node(&redis.url(), "n1", "").await;
    redis.pause();
    let upgrade = node.connect("alice").refused();
    let drain = async {
        // Long enough to wait for Redis, which takes 2 s; it is refused in any case.
        tokio::time::sleep(Duration::from_millis(200)).await;
        node.stop();
    };
    let (refused, ()) = tokio::join!(upgrade, drain);
    refused.assert_error(503, "unavailable");
    refused.assert_retry_after();
    redis.resume();
}
