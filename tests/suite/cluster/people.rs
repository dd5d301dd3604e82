//! Presence and online state: users are where they are, whichever node they
//! are connected to.

use serde_json::{Value, json};

use crate::harness::{
    Client, RedisServer, TestApp, came, eventually, listed, nodes, nodes_with, went,
};

async fn two() -> (RedisServer, [TestApp; 2]) {
    let redis = RedisServer::start().await;
    let nodes = nodes(&redis.url()).await;
    (redis, nodes)
}

fn member<'a>(members: &'a Value, user: &str) -> Option<&'a Value> {
    members.as_array()?.iter().find(|member| member["user"] == user)
}

/// Waits until `user` is shown with so many sessions.
async fn until_sessions(client: &mut Client, user: &str, sessions: u64) {
    eventually(&format!("{user} with {sessions} sessions"), async || {
        let answer = client.members("lobby").await;
        (member(&answer["members"], user)?["sessions"] == sessions).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_comes_and_goes_is_told_on_every_node() {
    let (_redis, [one, two]) = two().await;
    let mut alice = one.member("alice", "lobby").await;
    let mut bob = two.client_with("bob", json!({"name": "Bob B.", "meta": {"n": 1}})).await;
    until_sessions(&mut bob, "alice", 1).await;
    let joined = bob.join("lobby").await;
    assert_eq!((listed(&joined["members"], "alice"), &joined["count"]), (true, &json!(2)));
    let diff = alice.until(|message| came(message, "bob")).await;
    assert_eq!(diff["count"], 2);
    let shown = member(&diff["joined"], "bob").expect("he came");
    assert_eq!((&shown["name"], &shown["meta"]), (&json!("Bob B."), &json!({"n": 1})));
    assert_eq!(Some(shown), member(&joined["members"], "bob"));
    bob.ask(json!({"type": "leave", "room": "lobby"}), "left").await;
    let diff = alice.until(|message| went(message, "bob")).await;
    assert_eq!(diff["count"], 1);
    bob.join("lobby").await;
    alice.until(|message| came(message, "bob")).await;
    bob.wire.cut();
    alice.until(|message| went(message, "bob")).await;
}

#[tokio::test]
async fn a_node_without_members_tells_who_is_there() {
    let (_redis, [one, two]) = two().await;
    let _alice = one.member("alice", "lobby").await;
    let mut bob = two.client("bob").await;
    eventually("the member of the other node", async || {
        let answer = bob.members("lobby").await;
        (answer["count"] == 1 && listed(&answer["members"], "alice")).then_some(())
    })
    .await;
    // As a new member's own `joined` does.
    assert!(listed(&bob.join("lobby").await["members"], "alice"));
}

#[tokio::test]
async fn sessions_on_several_nodes_are_one_member() {
    let (_redis, [one, two]) = two().await;
    let mut bob = one.member("bob", "lobby").await;
    let phone = one.member("alice", "lobby").await;
    let laptop = two.member("alice", "lobby").await;
    until_sessions(&mut bob, "alice", 2).await;
    assert_eq!(bob.members("lobby").await["count"], 2);
    phone.leave().await;
    until_sessions(&mut bob, "alice", 1).await;
    let seen = bob.settle().await;
    assert!(!seen.iter().any(|message| went(message, "alice")), "{seen:?}");
    laptop.leave().await;
    bob.until(|message| went(message, "alice")).await;
}

#[tokio::test]
async fn who_comes_back_at_another_node_within_the_grace_never_left() {
    let redis = RedisServer::start().await;
    let [one, two] = nodes_with(&redis.url(), "presence.grace = \"2s\"").await;
    let (mut here, mut there) =
        (one.member("bob", "lobby").await, two.member("carol", "lobby").await);
    let alice = one.member("alice", "lobby").await;
    there.until(|message| came(message, "alice")).await;
    alice.wire.cut();
    let again = two.member("alice", "lobby").await;
    // Once the grace has passed, the connection that broke is not counted.
    until_sessions(&mut here, "alice", 1).await;
    until_sessions(&mut there, "alice", 1).await;
    // Another grace that began later is over: so is the first one.
    two.member("dave", "lobby").await.wire.cut();
    for client in [&mut here, &mut there] {
        client.until(|message| went(message, "dave")).await;
        let seen = client.settle().await;
        assert!(!seen.iter().any(|message| went(message, "alice")), "{seen:?}");
        assert!(listed(&client.members("lobby").await["members"], "alice"));
    }
    again.leave().await;
    here.until(|message| went(message, "alice")).await;
}

#[tokio::test]
async fn a_status_is_shown_on_every_node() {
    let (_redis, [one, two]) = two().await;
    let (mut alice, mut bob) =
        (one.member("alice", "lobby").await, two.member("bob", "lobby").await);
    bob.ask(json!({"type": "status", "status": "busy", "meta": {"on": "call"}}), "ack").await;
    // With his coming, where both travel together.
    let shown = |m: &Value| {
        let bob = member(&m["updated"], "bob").or_else(|| member(&m["joined"], "bob"))?;
        (bob["status"] == "busy").then(|| bob.clone())
    };
    let diff = alice.until(|m| shown(m).is_some()).await;
    assert_eq!(shown(&diff).unwrap()["meta"], json!({"on": "call"}));
    let joined = one.client("carol").await.join("lobby").await;
    assert_eq!(member(&joined["members"], "bob").map(|it| &it["status"]), Some(&json!("busy")));
    // It holds for the user, so also for a session on another node.
    let mut phone = one.client("bob").await;
    let joined = phone.join("lobby").await;
    assert_eq!(member(&joined["members"], "bob").map(|it| &it["status"]), Some(&json!("busy")));
}

#[tokio::test]
async fn watchers_follow_users_of_other_nodes() {
    let (_redis, [one, two]) = two().await;
    let mut alice = one.client("alice").await;
    let present = two.client("carol").await;
    let watch = json!({"type": "watch", "users": ["bob", "carol"]});
    let answer = alice.ask(watch, "online").await;
    assert_eq!(answer["users"]["bob"], "offline");
    // Told now or in a moment, as the word travels.
    if answer["users"]["carol"] != "online" {
        alice.until(|message| message["users"]["carol"] == "online").await;
    }
    let mut bob = two.client("bob").await;
    alice.until(|message| message["users"]["bob"] == "online").await;
    bob.ask(json!({"type": "status", "status": "away"}), "ack").await;
    alice.until(|message| message["users"]["bob"] == "away").await;
    bob.leave().await;
    alice.until(|message| message["users"]["bob"] == "offline").await;
    present.leave().await;
    alice.until(|message| message["users"]["carol"] == "offline").await;
}

#[tokio::test]
async fn a_room_too_large_for_names_is_counted_on_every_node() {
    let redis = RedisServer::start().await;
    let [one, two] = nodes_with(&redis.url(), "rooms.presence_limit = 3").await;
    let mut alice = one.member("alice", "lobby").await;
    let _more = [two.member("bob", "lobby").await, two.member("carol", "lobby").await];
    let mut dave = two.client("dave").await;
    eventually("four members", async || (dave.join("lobby").await["count"] == 4).then_some(()))
        .await;
    eventually("the number alone", async || {
        let answer = alice.members("lobby").await;
        (answer["count"] == 4 && answer["members"].as_array().is_none_or(Vec::is_empty))
            .then_some(())
    })
    .await;
}
