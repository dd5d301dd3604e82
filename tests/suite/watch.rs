//! `watch`: users followed wherever they are.

use serde_json::{Value, json};

use crate::harness::{Client, TestApp};

async fn watch(client: &mut Client, users: &[&str]) -> Value {
    client.ask(json!({"type": "watch", "users": users}), "online").await["users"].take()
}

async fn until_online(client: &mut Client, user: &str, state: &str) {
    client.until(|m| m["type"] == "online" && m["users"][user] == state).await;
}

#[tokio::test]
async fn watch_is_answered_with_the_state_of_every_user_named() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let _bob = app.client("bob").await;
    let mut carol = app.client("carol").await;
    carol.ask(json!({"type": "status", "status": "busy"}), "ack").await;
    let users = watch(&mut alice, &["bob", "carol", "nobody"]).await;
    assert_eq!(users, json!({"bob": "online", "carol": "busy", "nobody": "offline"}));
}

#[tokio::test]
async fn changes_follow_without_a_room_in_common() {
    let app = TestApp::spawn("presence.grace = \"50ms\"").await;
    let mut alice = app.client("alice").await;
    assert_eq!(watch(&mut alice, &["bob"]).await, json!({"bob": "offline"}));
    let mut bob = app.client("bob").await;
    until_online(&mut alice, "bob", "online").await;
    bob.ask(json!({"type": "status", "status": "away"}), "ack").await;
    until_online(&mut alice, "bob", "away").await;
    bob.leave().await;
    until_online(&mut alice, "bob", "offline").await;
    // Whom one does not watch one does not hear of.
    let seen = alice.settle().await;
    let others = |m: &Value| {
        m["users"].as_object().is_some_and(|users| users.keys().any(|user| user != "bob"))
    };
    assert!(!seen.iter().any(others), "{seen:?}");
}

#[tokio::test]
async fn a_reconnect_within_the_grace_is_not_offline() {
    let app = TestApp::spawn("presence.grace = \"20s\"").await;
    let bob = app.client("bob").await;
    let mut alice = app.client("alice").await;
    watch(&mut alice, &["bob"]).await;
    bob.leave().await;
    let _bob = app.client("bob").await;
    let seen = alice.settle().await;
    assert!(!seen.iter().any(|m| m["users"]["bob"] == "offline"), "{seen:?}");
}

#[tokio::test]
async fn unwatch_ends_the_news() {
    let app = TestApp::spawn("presence.grace = \"0s\"").await;
    let mut alice = app.client("alice").await;
    watch(&mut alice, &["bob", "carol"]).await;
    alice.ask(json!({"type": "unwatch", "users": ["bob", "never watched"]}), "ack").await;
    let bob = app.client("bob").await;
    let _carol = app.client("carol").await;
    until_online(&mut alice, "carol", "online").await;
    bob.leave().await;
    let seen = alice.settle().await;
    assert!(!seen.iter().any(|m| m["users"].get("bob").is_some()), "{seen:?}");
}

#[tokio::test]
async fn the_latest_state_arrives_whatever_was_between() {
    let app = TestApp::spawn("outbound.coalesce = \"500ms\"").await;
    let mut alice = app.client("alice").await;
    let mut bob = app.client("bob").await;
    watch(&mut alice, &["bob"]).await;
    let states = ["away", "busy", "online", "away", "busy", "online", "away", "busy"];
    for status in states {
        bob.ask(json!({"type": "status", "status": status}), "ack").await;
    }
    let seen = alice.settle().await;
    let news: Vec<_> = seen.iter().filter(|m| m["type"] == "online").collect();
    assert_eq!(news.last().map(|m| &m["users"]["bob"]), Some(&json!("busy")), "{news:?}");
    assert!(news.len() < states.len(), "{news:?}");
}

#[tokio::test]
async fn watched_users_are_bounded() {
    let app = TestApp::spawn("limits.watched_users = 2").await;
    let mut alice = app.client("alice").await;
    watch(&mut alice, &["a", "b"]).await;
    let refused = alice.request(json!({"type": "watch", "users": ["c"]})).await;
    assert_eq!(refused["type"], "error", "{refused}");
    alice.ask(json!({"type": "unwatch", "users": ["a"]}), "ack").await;
    watch(&mut alice, &["c"]).await;
    // Whom one watches already is no new one.
    watch(&mut alice, &["b", "c"]).await;
}
