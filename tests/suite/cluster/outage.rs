//! Redis is away for a while and comes back with all it acknowledged: nobody is
//! disconnected, nothing is lost, and meanwhile everyone is answered.

use serde_json::json;

use super::{
    pair::{Pair, USERS},
    traffic::assert_unavailable,
    until_ready,
};
use crate::harness::{Client, Endpoint, RedisServer, TestApp, nodes, nodes_with};

/// Asserts what the contract says of a node whose Redis is away.
async fn assert_answers_without_redis(node: &Endpoint, client: &mut Client) {
    until_ready(node, false).await;
    assert_eq!(node.get("/healthz").await.status, 200, "the process works");
    client.ask(json!({"type": "ping"}), "pong").await;
    let writes = [
        json!({"type": "chat", "room": "side", "content": "lost?"}),
        json!({"type": "publish", "room": "side", "event": "e", "data": 1}),
        json!({"type": "set", "room": "side", "key": "k", "value": 1}),
        json!({"type": "direct", "to": "bob", "content": "lost?"}),
        json!({"type": "join", "room": "another"}),
        json!({"type": "history", "room": "side"}),
    ];
    for message in writes {
        assert_unavailable(&client.request(message).await);
    }
    let pings = client.pings;
    while client.pings == pings {
        client.ask(json!({"type": "ping"}), "pong").await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn assert_survived(nodes: [&Endpoint; 2], pair: Pair, mut bystander: Client) {
    for node in nodes {
        until_ready(node, true).await;
    }
    pair.goes_on(20).await;
    for heard in pair.end().await {
        assert_eq!(heard.new_epochs(), 0, "the log went on");
        heard.assert_nobody_left(&USERS);
    }
    // The same connection as before works, in the room it had joined.
    let seq = bystander.chat("lobby", "still here").await["seq"].clone();
    bystander.until(|message| message["type"] == "chat" && message["seq"] == seq).await;
    let again = bystander.settle().await;
    assert!(again.iter().all(|message| message["type"] != "joined"), "{again:?}");
}

/// Nodes that ping often, so that a test sees it happen.
async fn two_nodes(redis: &RedisServer) -> [TestApp; 2] {
    nodes_with(&redis.url(), "heartbeat.interval = \"300ms\"\nheartbeat.timeout = \"60s\"").await
}

#[tokio::test]
async fn killed_under_traffic_and_restarted_with_its_data() {
    let mut redis = RedisServer::durable().await;
    let [one, two] = two_nodes(&redis).await;
    let pair = Pair::start([&one, &two], "lobby").await;
    let mut bystander = two.member("eve", "lobby").await;
    bystander.join("side").await;
    redis.kill();
    pair.is_refused(2).await;
    assert_answers_without_redis(&two, &mut bystander).await;
    until_ready(&one, false).await;
    redis.restart().await;
    assert_survived([&one, &two], pair, bystander).await;
}

#[tokio::test]
async fn stopped_for_longer_than_anyone_waits() {
    let redis = RedisServer::start().await;
    let [one, two] = two_nodes(&redis).await;
    let pair = Pair::start([&one, &two], "lobby").await;
    let mut bystander = two.member("eve", "lobby").await;
    bystander.join("side").await;
    redis.pause();
    // What is refused may have reached Redis, and be done once it goes on.
    pair.is_refused(2).await;
    assert_answers_without_redis(&two, &mut bystander).await;
    until_ready(&one, false).await;
    redis.resume();
    assert_survived([&one, &two], pair, bystander).await;
}

#[tokio::test]
async fn killed_again_and_again() {
    let mut redis = RedisServer::durable().await;
    let [one, two] = nodes(&redis.url()).await;
    let pair = Pair::start([&one, &two], "lobby").await;
    for _ in 0..3 {
        redis.restart().await;
        pair.goes_on(10).await;
    }
    for heard in pair.end().await {
        assert_eq!(heard.new_epochs(), 0, "the log went on");
        heard.assert_nobody_left(&USERS);
    }
}

#[tokio::test]
async fn a_client_that_comes_meanwhile_is_served_when_it_is_over() {
    let mut redis = RedisServer::durable().await;
    let [one, two] = nodes(&redis.url()).await;
    let mut alice = one.member("alice", "lobby").await;
    let since = crate::harness::since(&alice.chat("lobby", "before").await);
    redis.kill();
    until_ready(&two, false).await;
    // Refused before the upgrade or served: not left hanging.
    if let Err(refusal) = two.connect("bob").attempt().await.expect("the node takes connections") {
        refusal.assert_error(503, "unavailable");
        refusal.assert_retry_after();
    }
    redis.restart().await;
    until_ready(&one, true).await;
    until_ready(&two, true).await;
    let after = alice.chat("lobby", "after").await;
    let joined = two.client("bob").await.resume("lobby", &since).await;
    assert_eq!((&joined["recovered"], &joined["seq"]), (&json!(true), &after["seq"]));
    assert_eq!(joined["messages"][0]["content"], "after");
}

#[tokio::test]
async fn a_node_that_starts_meanwhile_waits_for_redis() {
    let mut redis = RedisServer::durable().await;
    redis.kill();
    let [one, two] = nodes(&redis.url()).await;
    until_ready(&one, false).await;
    redis.restart().await;
    until_ready(&one, true).await;
    until_ready(&two, true).await;
    let mut bob = two.member("bob", "lobby").await;
    one.member("alice", "lobby").await.chat("lobby", "hello").await;
    assert_eq!(bob.expect("chat").await["content"], "hello");
}
