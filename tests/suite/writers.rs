//! `join` with `listen: false`: members that only write.

use serde_json::{Value, json};

use crate::harness::{Client, RedisServer, TestApp, came, eventually, listed, nodes, went};

async fn join_to_write(client: &mut Client, room: &str) -> Value {
    client.ask(json!({"type": "join", "room": room, "listen": false}), "joined").await
}

fn of_room<'a>(seen: &'a [Value], room: &str) -> Vec<&'a Value> {
    seen.iter().filter(|message| message["room"] == room).collect()
}

#[tokio::test]
async fn a_member_that_only_writes_is_seen_and_heard_but_told_nothing() {
    let app = TestApp::spawn("").await;
    let mut bob = app.member("bob", "fleet").await;
    bob.set("fleet", "before", json!(1)).await;
    bob.chat("fleet", "is anybody here?").await;

    let mut alice = app.client("alice").await;
    let joined = join_to_write(&mut alice, "fleet").await;
    assert_eq!(joined["seq"], 2, "{joined}");
    assert_eq!(joined["count"], 2, "{joined}");
    assert_eq!(joined["recovered"], false, "{joined}");
    for (field, empty) in [("messages", json!([])), ("members", json!([])), ("state", json!({}))] {
        assert_eq!(joined[field], empty, "{joined}");
    }
    bob.until(|message| came(message, "alice")).await;

    alice.set("fleet", "alice", json!({"status": "working"})).await;
    alice.chat("fleet", "done").await;
    alice.send(&json!({"type": "signal", "room": "fleet", "event": "beat", "data": 1})).await;
    bob.until(|message| message["key"] == "alice").await;
    bob.until(|message| message["content"] == "done").await;
    bob.until(|message| message["type"] == "signal").await;

    bob.chat("fleet", "thank you").await;
    bob.set("fleet", "bob", json!(2)).await;
    let _carol = app.member("carol", "fleet").await;
    bob.until(|message| came(message, "carol")).await;
    let seen = alice.settle().await;
    assert_eq!(of_room(&seen, "fleet"), Vec::<&Value>::new());

    assert!(listed(&alice.members("fleet").await["members"], "bob"));
    alice.ask(json!({"type": "leave", "room": "fleet"}), "left").await;
    alice.refused(json!({"type": "chat", "room": "fleet", "content": "?"}), "not_joined").await;
    bob.until(|message| went(message, "alice")).await;
}

#[tokio::test]
async fn listening_begins_and_ends_with_another_join() {
    let app = TestApp::spawn("").await;
    let mut bob = app.member("bob", "fleet").await;
    let mut alice = app.client("alice").await;
    join_to_write(&mut alice, "fleet").await;
    bob.set("fleet", "key", json!("value")).await;

    let joined = alice.join("fleet").await;
    assert_eq!(joined["state"]["key"]["value"], "value", "{joined}");
    bob.chat("fleet", "one").await;
    alice.until(|message| message["content"] == "one").await;

    join_to_write(&mut alice, "fleet").await;
    bob.chat("fleet", "two").await;
    assert_eq!(of_room(&alice.settle().await, "fleet"), Vec::<&Value>::new());
    assert_eq!(bob.members("fleet").await["count"], 2);
    alice.refused(json!({"type": "join", "room": "fleet", "listen": 1}), "bad_message").await;
}

#[tokio::test]
async fn a_room_of_writers_alone_is_known_on_every_node() {
    let redis = RedisServer::start().await;
    let [one, other] = nodes(&redis.url()).await;
    let mut alice = one.client("alice").await;
    join_to_write(&mut alice, "fleet").await;
    alice.set("fleet", "alice", json!("working")).await;

    let mut bob = other.client("bob").await;
    let joined = bob.join("fleet").await;
    assert_eq!(joined["state"]["alice"]["value"], "working", "{joined}");
    eventually("alice to be listed on the other node", async || {
        let members = bob.members("fleet").await;
        listed(&members["members"], "alice").then_some(())
    })
    .await;
    alice.set("fleet", "alice", json!("idle")).await;
    bob.until(|message| message["value"] == "idle").await;
    assert_eq!(of_room(&alice.settle().await, "fleet"), Vec::<&Value>::new());
}
