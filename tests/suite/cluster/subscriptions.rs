//! The connections on which a node hears what others write are lost, or fall
//! silent without an end.

use super::{
    pair::{Pair, USERS},
    until_ready,
};
use crate::harness::{Endpoint, RedisServer, Relay, node, nodes};

async fn assert_nothing_was_lost(pair: Pair) {
    for heard in pair.end().await {
        assert_eq!(heard.new_epochs(), 0, "the log went on");
        heard.assert_nobody_left(&USERS);
    }
}

/// Has Redis close connections of this kind, some times under traffic.
async fn are_killed(kind: &str) {
    let redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let pair = Pair::start([&one, &two], "lobby").await;
    for _ in 0..5 {
        let killed = redis.command(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
        assert_ne!(killed, "0", "no connection was killed");
        pair.goes_on(10).await;
    }
    assert_nothing_was_lost(pair).await;
    until_ready(&one, true).await;
    until_ready(&two, true).await;
}

#[tokio::test]
async fn subscriptions_are_killed_under_traffic() {
    are_killed("pubsub").await;
}

#[tokio::test]
async fn all_other_connections_are_killed_under_traffic() {
    are_killed("normal").await;
}

/// One node stands behind a relay on which `fail` happens, another does not.
async fn fall_silent(fail: fn(&Relay)) {
    let redis = RedisServer::start().await;
    let relay = Relay::to(&redis).await;
    let one = node(&redis.url(), "n1", "").await;
    let two = node(&relay.url(), "n2", "").await;
    let pair = Pair::start([&one, &two], "lobby").await;
    fail(&relay);
    until_ready(&two, false).await;
    is_well(&one).await;
    relay.restore();
    until_ready(&two, true).await;
    pair.goes_on(10).await;
    assert_nothing_was_lost(pair).await;
}

async fn is_well(node: &Endpoint) {
    assert_eq!(node.get("/readyz").await.status, 200, "this node's connections work");
}

#[tokio::test]
async fn a_subscription_that_loses_its_messages_is_found_out() {
    fall_silent(Relay::lose_messages).await;
}

#[tokio::test]
async fn a_subscription_that_says_nothing_any_more_is_found_out() {
    fall_silent(Relay::silence_subscriptions).await;
}
