//! A node that is near its limits refuses new work, and keeps what it has.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Client, Endpoint, Process, Response, TestApp, eventually};

const KEY: &str = "a-key-of-the-backend";

/// The node refuses new connections for this cause, and says so everywhere.
async fn assert_sheds(node: &Endpoint, cause: &str) {
    for connect in [node.connect("mallory"), node.events().bearer(&node.token("mallory"))] {
        assert_refused(&connect.refused().await);
    }
    let ready = node.get("/readyz").await;
    assert_eq!(ready.status, 503, "{ready:?}");
    assert_eq!(ready.json()["shedding"], json!([cause]), "{ready:?}");
    let live = node.get("/healthz").await;
    assert_eq!((live.status, &live.json()["ready"]), (200, &json!(false)));
    let metrics = node.get("/metrics").await.body;
    let shown = |line: &str| assert!(metrics.contains(line), "no {line} in {metrics}");
    shown(&format!("rookery_shedding{{cause=\"{cause}\"}} 1\n"));
    let refused = if cause == "connections" { "full" } else { cause };
    shown(&format!("rookery_upgrades_refused_total{{cause=\"{refused}\"}} "));
}

fn assert_refused(response: &Response) {
    response.assert_error(503, "unavailable");
    response.assert_retry_after();
    let seconds: u64 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((5..=10).contains(&seconds), "{response:?}");
}

/// The client is served as ever.
async fn assert_served(client: &mut Client) {
    client.chat("lobby", "still here").await;
    client.join("another").await;
    client.ask(json!({"type": "leave", "room": "another"}), "left").await;
}

/// Somebody new is let in again.
async fn until_well(node: &Endpoint) {
    eventually("somebody to be let in", async || node.connect("bob").attempt().await.ok()?.ok())
        .await;
    eventually("the node to be ready", async || {
        let ready = node.get("/readyz").await;
        (ready.status == 200 && ready.json()["shedding"] == json!([])).then_some(())
    })
    .await;
}

#[tokio::test]
async fn near_its_connections_a_node_takes_only_who_takes_over() {
    let app = TestApp::spawn("server.max_connections = 8\nshedding.connections = \"50%\"").await;
    let mut alice = app.member("alice", "lobby").await;
    let mut others = Vec::new();
    for number in 0..3 {
        others.push(app.client(&format!("user-{number}")).await);
    }
    assert_sheds(&app, "connections").await;
    assert_served(&mut alice).await;
    // Below the bound of all connections, her own place is hers.
    let session = alice.welcome["session"].as_str().unwrap().to_owned();
    let mut again = app.connect("alice").query("session", &session).client().await;
    alice.closed().await.assert(1001, "replaced");
    again.join("lobby").await;
    assert_served(&mut again).await;
    others.truncate(1);
    until_well(&app).await;
}

#[tokio::test]
async fn near_its_file_descriptors_a_node_takes_nobody_new() {
    let node = Process::spawn_after(
        "ulimit -n 80",
        &[("ROOKERY__SERVER__WORKERS", "1"), ("ROOKERY__SHEDDING__OPEN_FILES", "75%")],
    )
    .await;
    let fds = node.get("/healthz").await.json()["fds"].clone();
    assert_eq!(fds["allowed"], 80, "{fds}");
    let mut alice = node.member("alice", "lobby").await;
    let mut others = Vec::new();
    let refused = eventually("a refusal", async || {
        let number = others.len();
        match node.connect(&format!("user-{number}")).attempt().await.unwrap() {
            Ok(wire) => {
                others.push(wire);
                None
            }
            Err(response) => Some(response),
        }
    });
    assert_refused(&refused.await);
    let fds = node.get("/healthz").await.json()["fds"]["open"].as_u64().unwrap();
    assert!(fds < 80, "{fds} are open");
    eventually("the probe to say it", async || {
        (node.get("/readyz").await.json()["shedding"] == json!(["open_files"])).then_some(())
    })
    .await;
    assert_sheds(&node, "open_files").await;
    assert_served(&mut alice).await;
    others.clear();
    until_well(&node).await;
    assert_served(&mut alice).await;
}

/// Publishes what a node has to keep.
async fn publish(node: &Endpoint, room: usize) -> Response {
    let body = json!({"content": "x".repeat(60_000)}).to_string();
    node.backend(KEY, "POST", &format!("/api/v1/rooms/room-{room}/messages"), &body).await
}

#[tokio::test]
async fn near_its_memory_a_node_takes_neither_connections_nor_writes_of_backends() {
    let backend = ("ROOKERY__API__KEYS", KEY);
    let small = Process::spawn(&[backend]).await.resident_bytes();
    let limit = (small + (48 << 20)).to_string();
    let node = Process::spawn(&[backend, ("ROOKERY__SHEDDING__MEMORY", &limit)]).await;
    let mut alice = node.member("alice", "lobby").await;
    let mut written = 0;
    let refused = eventually("the memory to be too much", async || {
        for _ in 0..100 {
            let response = publish(&node, written / 50).await;
            if response.status != 200 {
                return Some(response);
            }
            written += 1;
        }
        None
    });
    assert_refused(&refused.await);
    assert!(written > 100, "refused after {written} messages");
    assert_sheds(&node, "memory").await;
    assert_served(&mut alice).await;
    // What only reads, or lets go, is done: it may be what helps.
    let backend = async |method, path| node.backend(KEY, method, path, "").await.status;
    assert_eq!(backend("GET", "/api/v1/rooms/room-0/messages").await, 200);
    assert_eq!(backend("DELETE", "/api/v1/rooms/room-0/state/key").await, 200);
    let direct = node.backend(KEY, "POST", "/api/v1/users/bob/messages", r#"{"content":"x"}"#);
    assert_refused(&direct.await);
    let batch = r#"{"commands":[{"type":"publish","room":"a","content":"x"}]}"#;
    assert_refused(&node.backend(KEY, "POST", "/api/v1/batch", batch).await);
    assert_eq!(backend("POST", "/api/v1/users/alice/disconnect").await, 200);
    alice.closed().await.assert(1008, "kicked");
}

#[tokio::test]
async fn a_node_whose_workers_were_late_takes_nobody_new_for_a_while() {
    let node = Process::spawn(&[
        ("ROOKERY__API__KEYS", KEY),
        ("ROOKERY__SHEDDING__WORKER_DELAY", "400ms"),
    ])
    .await;
    let mut alice = node.member("alice", "lobby").await;
    node.signal("STOP");
    // For so long it does nothing: no state that could be awaited.
    tokio::time::sleep(Duration::from_secs(1)).await;
    node.signal("CONT");
    let refused = eventually("a refusal", async || node.connect("bob").attempt().await.ok()?.err());
    assert_refused(&refused.await);
    // While that lasts; it may be over by now.
    let ready: Value = node.get("/readyz").await.json();
    if ready["shedding"] == json!(["worker_delay"]) {
        assert_refused_or_done(&publish(&node, 1).await);
    }
    assert_served(&mut alice).await;
    until_well(&node).await;
    assert_eq!(publish(&node, 1).await.status, 200);
    let metrics = node.get("/metrics").await.body;
    assert!(
        metrics.contains("rookery_upgrades_refused_total{cause=\"worker_delay\"}"),
        "{metrics}"
    );
    assert_served(&mut alice).await;
}

fn assert_refused_or_done(response: &Response) {
    if response.status != 200 {
        assert_refused(response);
    }
}
