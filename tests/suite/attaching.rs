//! A session whose broker cannot take it in yet: it waits, and is not closed.

use serde_json::{Value, json};

use crate::harness::{Client, PING, PONG, TestApp, frame};

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
async fn a_session_that_cannot_be_taken_in_waits_with_its_requests_until_it_can() {
    let app = TestApp::spawn(
        "broker.memory = \"1 MiB\"\nrooms.history_ttl = \"4s\"\nrooms.dedup_window = \"1s\"",
    )
    .await;
    let mut alice = app.client("alice").await;
    fill(&mut alice).await;

    let mut bob = Client::new(app.connect("bob").query("room", "late").wire().await);
    bob.send(&json!({"type": "ping", "id": "behind"})).await;
    // The connection lives meanwhile.
    bob.wire.send(&frame(true, PING, b"alive")).await;
    let pong = bob.wire.next().await.expect("an answer to a Ping frame");
    assert_eq!((pong.opcode, &*pong.payload), (PONG, b"alive".as_slice()));

    // When older messages are over their time there is room again.
    let welcome: Value = bob.next().await;
    assert_eq!((&welcome["type"], &welcome["user"]), (&json!("welcome"), &json!("bob")));
    assert_eq!(bob.expect("joined").await["room"], "late");
    assert_eq!(bob.until(|m| m["id"] == "behind").await["type"], "pong");
}

#[tokio::test]
async fn a_session_that_waits_to_be_taken_in_can_be_ended() {
    let settings = "broker.memory = \"1 MiB\"\napi.keys = [\"backend-key\"]";
    let app = TestApp::spawn(settings).await;
    let mut alice = app.client("alice").await;
    fill(&mut alice).await;
    let mut bob = Client::new(app.connect("bob").wire().await);
    let kick = app.backend("backend-key", "POST", "/api/v1/users/bob/disconnect", "").await;
    assert_eq!(kick.status, 200, "{kick:?}");
    bob.closed().await.assert(1008, "kicked");
    app.until_connections(1).await;
}
