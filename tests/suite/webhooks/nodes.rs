//! Several nodes over one Redis: one event for one change, whichever nodes it
//! touched.

use serde_json::json;

use super::{telling, telling_process};
use crate::harness::{
    Backend, Process, RedisCluster, RedisServer, Reply, TestApp, eventually, node, node_process,
    nodes_with,
};

/// How long a user whose connection broke is given, and a silent node.
const TIMES: &str = "presence.grace = \"1s\"\npresence.lease = \"3s\"\n";

async fn pair(redis: &str, backend: &Backend, settings: &str) -> [TestApp; 2] {
    nodes_with(redis, &format!("{}{TIMES}{settings}", telling(backend))).await
}

async fn mortal(redis: &RedisServer, backend: &Backend) -> Process {
    let mut own = telling_process(backend);
    own.push(("ROOKERY__PRESENCE__LEASE", "3s".to_owned()));
    own.push(("ROOKERY__PRESENCE__GRACE", "1s".to_owned()));
    let own: Vec<(&str, &str)> = own.iter().map(|(key, value)| (*key, value.as_str())).collect();
    node_process(&redis.url(), "mortal", &own).await
}

#[tokio::test]
async fn a_user_of_two_nodes_comes_once_and_goes_once() {
    let redis = RedisServer::start().await;
    let backend = Backend::start().await;
    let [one, two] = pair(&redis.url(), &backend, "").await;
    let mut here = one.member("alice", "lobby").await;
    eventually("that she came", async || (backend.events().len() == 3).then_some(())).await;
    let mut there = two.member("alice", "lobby").await;
    eventually("both sessions", async || {
        let members = here.members("lobby").await;
        (members["members"][0]["sessions"] == 2).then_some(())
    })
    .await;
    here.ask(json!({"type": "leave", "room": "lobby"}), "left").await;
    here.leave().await;
    let mut bob = two.member("bob", "lobby").await;
    there.ask(json!({"type": "leave", "room": "lobby"}), "left").await;
    bob.ask(json!({"type": "leave", "room": "lobby"}), "left").await;
    eventually("an empty room", async || {
        backend.told().contains(&"room_vacated lobby".to_owned()).then_some(())
    })
    .await;
    let told = backend.told();
    for once in [
        "user_online alice",
        "room_occupied lobby",
        "member_joined lobby alice",
        "member_left lobby alice",
        "member_joined lobby bob",
        "member_left lobby bob",
        "user_online bob",
    ] {
        assert_eq!(told.iter().filter(|it| *it == once).count(), 1, "{once} in {told:?}");
    }
    assert_eq!(told.len(), 8, "{told:?}");
}

#[tokio::test]
async fn messages_are_told_in_their_order_whoever_writes() {
    let cluster = RedisCluster::start().await;
    let backend = Backend::start().await;
    let urls: Vec<String> =
        cluster.masters.iter().map(|it| format!("127.0.0.1:{}", it.port())).collect();
    let url = format!("redis+cluster://{}", urls.join(","));
    let own = "webhooks.messages = [\"*\"]\nwebhooks.events = []\nwebhooks.batch = 5";
    let [one, two] = pair(&url, &backend, own).await;
    let rooms = ["lobby", "kitchen", "garden"];
    let (mut alice, mut bob) = (one.client("alice").await, two.client("bob").await);
    for room in rooms {
        alice.join(room).await;
        bob.join(room).await;
    }
    for number in 0..10 {
        for room in rooms {
            alice.chat(room, &format!("a{number}")).await;
            bob.chat(room, &format!("b{number}")).await;
        }
    }
    let events = eventually("all messages", async || {
        let events = backend.events();
        (events.len() >= 60).then_some(events)
    })
    .await;
    for room in rooms {
        let seqs: Vec<u64> =
            super::of_room(&events, room).map(|it| it["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (1..=20).collect::<Vec<u64>>(), "{room}");
    }
}

#[tokio::test]
async fn who_was_on_a_node_that_died_leaves_and_who_moved_does_not() {
    let redis = RedisServer::start().await;
    let backend = Backend::start().await;
    let mortal = mortal(&redis, &backend).await;
    let other = node(&redis.url(), "other", &format!("{}{TIMES}", telling(&backend))).await;
    let _alice = mortal.member("alice", "lobby").await;
    let _carol = mortal.member("carol", "cellar").await;
    let _dave = mortal.member("dave", "lobby").await;
    let _phone = other.member("dave", "lobby").await;
    eventually("who came", async || (backend.events().len() == 8).then_some(())).await;
    mortal.signal("KILL");
    // Back before the node was given up.
    let _again = other.member("alice", "lobby").await;
    eventually("who left", async || {
        backend.told().contains(&"user_offline carol".to_owned()).then_some(())
    })
    .await;
    eventually("the empty room", async || {
        backend.told().contains(&"room_vacated cellar".to_owned()).then_some(())
    })
    .await;
    // Whatever follows from the death was told before this.
    let _eve = other.member("eve", "lobby").await;
    eventually("who comes later", async || {
        backend.told().contains(&"member_joined lobby eve".to_owned()).then_some(())
    })
    .await;
    let told = backend.told();
    assert!(told.contains(&"member_left cellar carol".to_owned()), "{told:?}");
    let invented = told
        .iter()
        .filter(|it| it.ends_with("alice") || it.ends_with("dave") || it.ends_with("lobby"));
    assert_eq!(invented.count(), 5, "no more than that they came: {told:?}");
}

#[tokio::test]
async fn what_a_dead_node_had_not_delivered_is_delivered_by_another() {
    let redis = RedisServer::start().await;
    let backend = Backend::answering(|_| Reply::Silence).await;
    let mortal = mortal(&redis, &backend).await;
    let _alice = mortal.member("alice", "lobby").await;
    // It delivers, and hangs in a call.
    eventually("a call", async || (!backend.calls().is_empty()).then_some(())).await;
    let _bob = mortal.member("bob", "lobby").await;
    let other = node(&redis.url(), "other", &format!("{}{TIMES}", telling(&backend))).await;
    let _carol = other.member("carol", "kitchen").await;
    mortal.signal("KILL");
    backend.answer(|_| Reply::status(200));
    let told = eventually("all of it", async || {
        let told = backend.told();
        told.contains(&"user_offline bob".to_owned()).then_some(told)
    })
    .await;
    let lobby = told.iter().filter(|it| it.contains("lobby")).cloned().collect::<Vec<_>>();
    assert_eq!(
        lobby[..3],
        ["room_occupied lobby", "member_joined lobby alice", "member_joined lobby bob"]
    );
    eventually("the empty room", async || {
        backend.told().contains(&"room_vacated lobby".to_owned()).then_some(())
    })
    .await;
    assert!(backend.told().contains(&"member_joined kitchen carol".to_owned()));
    backend.events_by_id();
}

/// One room's state is all that is told anew, which leaves place for what follows.
const PAST: &str = "webhooks.queue = 5\nwebhooks.events = [\"member_joined\", \"member_left\"]";

#[tokio::test]
async fn past_the_bound_the_rooms_are_told_when_there_is_place() {
    let redis = RedisServer::start().await;
    let backend = Backend::answering(|_| Reply::status(500)).await;
    let [one, _two] = pair(&redis.url(), &backend, PAST).await;
    let _alice = one.member("alice", "lobby").await;
    let mut users = Vec::new();
    for number in 0..10 {
        users.push(one.member(&format!("user-{number}"), "lobby").await);
    }
    let dropped = async || {
        let metrics = one.get("/metrics").await.body;
        let line = "rookery_webhooks_dropped_total{endpoint=\"main\"} ";
        let (_, count) = metrics.split_once(line)?;
        count.lines().next()?.parse::<u64>().ok().filter(|count| *count > 0)
    };
    eventually("what is dropped", dropped).await;
    backend.answer(|_| Reply::status(200));
    let state = eventually("the room's state", async || {
        backend.events().into_iter().find(|it| it["type"] == "resync" && it["room"] == "lobby")
    })
    .await;
    assert_eq!((&state["count"], state["members"].as_array().unwrap().len()), (&json!(11), 11));
    assert!(state["lost"].as_u64().unwrap() > 0);
    eventually("nothing to wait", async || {
        let metrics = one.get("/metrics").await.body;
        metrics.contains("rookery_webhooks_waiting{endpoint=\"main\"} 0").then_some(())
    })
    .await;
    users.pop().unwrap().leave().await;
    eventually("what happens then", async || {
        backend.told().contains(&"member_left lobby user-9".to_owned()).then_some(())
    })
    .await;
}
