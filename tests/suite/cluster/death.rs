//! A node dies without a word: what it alone knew of its users is taken back by
//! the others, and nothing else is.

use serde_json::json;

use crate::harness::{
    Client, Endpoint, Process, RedisServer, TestApp, came, eventually, listed, node, node_process,
    went,
};

/// A node to be killed and one that stays, which soon believe in a death.
async fn mortal_and_other(redis: &RedisServer, settings: &[(&str, &str)]) -> (Process, TestApp) {
    let lease = [("ROOKERY__PRESENCE__LEASE", "3s")];
    let mortal = node_process(&redis.url(), "mortal", &[&lease, settings].concat()).await;
    let own = "presence.lease = \"3s\"\nlimits.connections_per_user = 2";
    (mortal, node(&redis.url(), "other", own).await)
}

const USERS: [&str; 3] = ["alice", "carol", "dave"];

#[tokio::test]
async fn its_users_leave_and_those_who_came_back_do_not() {
    let redis = RedisServer::start().await;
    let (mortal, other) = mortal_and_other(&redis, &[]).await;
    let mut bob = other.member("bob", "lobby").await;
    let _alice = mortal.member("alice", "lobby").await;
    let _carol = mortal.member("carol", "lobby").await;
    // One who is on both nodes all the time.
    let (_dave, _daves_phone) =
        (mortal.member("dave", "lobby").await, other.member("dave", "lobby").await);
    // Told together or one by one, so the whole is asked for.
    eventually("all of them", async || {
        let watch = json!({"type": "watch", "users": USERS});
        let online = bob.ask(watch, "online").await["users"].clone();
        let members = bob.members("lobby").await["members"].clone();
        USERS.iter().all(|user| online[user] == "online" && listed(&members, user)).then_some(())
    })
    .await;
    bob.forget();
    mortal.signal("KILL");
    let _again = other.member("carol", "lobby").await;

    let diff = bob.until(|message| went(message, "alice")).await;
    assert_eq!(diff["count"], 3, "{diff}");
    bob.until(|message| message["users"]["alice"] == "offline").await;
    eventually("one session for each who stayed", async || {
        let answer = bob.members("lobby").await;
        let members = answer["members"].as_array()?;
        members.iter().all(|member| member["sessions"] == 1).then_some(())
    })
    .await;
    let members = bob.members("lobby").await["members"].clone();
    assert!(!listed(&members, "alice") && listed(&members, "carol") && listed(&members, "dave"));
    for message in bob.settle().await {
        assert!(!went(&message, "carol") && !went(&message, "dave"), "{message}");
        for user in ["carol", "dave"] {
            assert_ne!(message["users"][user], "offline", "{message}");
        }
    }
    // What was written there is not lost with it.
    assert_eq!(other.client("eve").await.join("lobby").await["count"], 4);
}

#[tokio::test]
async fn its_connections_are_not_counted_any_more() {
    let redis = RedisServer::start().await;
    let limit = [("ROOKERY__LIMITS__CONNECTIONS_PER_USER", "2")];
    let (mortal, other) = mortal_and_other(&redis, &limit).await;
    let _clients = [mortal.client("alice").await, mortal.client("alice").await];
    other.connect("alice").refused().await.assert_error(429, "rate_limited");
    mortal.signal("KILL");
    admitted_again(&other).await;
}

async fn admitted_again(node: &Endpoint) {
    eventually("a place for a connection", async || {
        node.connect("alice").attempt().await.expect("the node takes connections").ok()
    })
    .await;
}

#[tokio::test]
async fn what_it_acknowledged_is_not_lost() {
    let redis = RedisServer::start().await;
    let (mortal, other) = mortal_and_other(&redis, &[]).await;
    let mut alice = mortal.member("alice", "lobby").await;
    let mut bob = other.member("bob", "lobby").await;
    let mut last = alice.chat("lobby", "0").await;
    for number in 1..50 {
        last = alice.chat("lobby", &number.to_string()).await;
    }
    mortal.signal("KILL");
    for number in 0..50 {
        assert_eq!(bob.expect("chat").await["content"], number.to_string());
    }
    // Its client goes on at the other one, where the log does.
    let joined = other.client("alice").await.resume("lobby", &crate::harness::since(&last)).await;
    assert_eq!((&joined["recovered"], &joined["messages"]), (&json!(true), &json!([])));
    assert_eq!(bob.chat("lobby", "on").await["seq"], 51);
}

#[tokio::test]
async fn a_node_that_takes_its_name_is_another_one() {
    let redis = RedisServer::start().await;
    let (mortal, other) = mortal_and_other(&redis, &[]).await;
    let mut bob = other.member("bob", "lobby").await;
    let _alice = mortal.member("alice", "lobby").await;
    bob.until(|message| came(message, "alice")).await;
    mortal.signal("KILL");
    let lease = [("ROOKERY__PRESENCE__LEASE", "3s")];
    let heir = node_process(&redis.url(), "mortal", &lease).await;
    let _carol = heir.member("carol", "lobby").await;
    bob.until(|message| came(message, "carol")).await;
    bob.until(|message| went(message, "alice")).await;
    assert!(listed(&bob.members("lobby").await["members"], "carol"));
    assert!(bob.settle().await.iter().all(|message| !went(message, "carol")));
}

#[tokio::test]
async fn a_node_that_was_only_stopped_says_anew_who_is_there() {
    let redis = RedisServer::start().await;
    let (mortal, other) = mortal_and_other(&redis, &[]).await;
    let mut bob = other.member("bob", "lobby").await;
    let mut alice = mortal.member("alice", "lobby").await;
    bob.until(|message| came(message, "alice")).await;
    mortal.signal("STOP");
    bob.until(|message| went(message, "alice")).await;
    mortal.signal("CONT");
    bob.until(|message| came(message, "alice")).await;
    // What was written meanwhile comes, each once and in order.
    let seq = bob.chat("lobby", "hello").await["seq"].clone();
    alice.until(|message| message["type"] == "chat" && message["seq"] == seq).await;
}

#[tokio::test]
async fn what_a_stopped_node_did_before_it_knew_better_is_no_ghost() {
    let redis = RedisServer::start().await;
    let (mortal, other) = mortal_and_other(&redis, &[]).await;
    let rooms: Vec<String> = (0..20).map(|number| format!("room-{number}")).collect();
    let (mut alice, mut bob) = (mortal.client("alice").await, other.client("bob").await);
    for room in &rooms {
        alice.join(room).await;
        bob.join(room).await;
    }
    shown(&mut bob, &rooms, "alice", 1).await;
    mortal.signal("STOP");
    shown(&mut bob, &rooms, "alice", 0).await;
    // Read as soon as it goes on, when it has not heard yet that it was given up.
    for status in ["busy", "away", "online", "busy"] {
        alice.send(&json!({"type": "status", "status": status})).await;
    }
    mortal.signal("CONT");
    shown(&mut bob, &rooms, "alice", 1).await;
    alice.leave().await;
    shown(&mut bob, &rooms, "alice", 0).await;
}

/// Waits until a user is in rooms with so many sessions, as the other is shown.
async fn shown(client: &mut Client, rooms: &[String], user: &str, sessions: u64) {
    for room in rooms {
        eventually("the sessions in presence", async || {
            let members = client.members(room).await["members"].clone();
            let found = members.as_array()?.iter().find(|member| member["user"] == user);
            let count = found.map_or(0, |member| member["sessions"].as_u64().unwrap_or(0));
            (count == sessions).then_some(())
        })
        .await;
    }
}
