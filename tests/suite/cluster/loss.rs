//! Redis comes back without what it had, all of it or the newest part: members
//! are told so before anything new, and go on.

use serde_json::json;

use super::{
    pair::{Pair, USERS},
    until_ready,
};
use crate::harness::{Client, RedisServer, eventually, listed, nodes, nodes_with, since};

/// Waits for the word that the log begins a new life.
async fn begun_anew(member: &mut Client, before: &serde_json::Value) -> serde_json::Value {
    // The first message of the room, whichever it is, has to be this.
    let news = member.until(|m| m["room"] == "lobby" && m["type"] != "presence").await;
    assert_eq!((&news["type"], &news["recovered"]), (&json!("joined"), &json!(false)), "{news}");
    assert!(news["id"].is_null(), "nobody asked for {news}");
    assert_ne!(news["epoch"], before["epoch"]);
    news
}

async fn until_all_are_members(client: &mut Client, users: &[&str]) {
    eventually("all members", async || {
        let members = client.members("lobby").await;
        users.iter().all(|user| listed(&members["members"], user)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn restarted_empty_under_traffic() {
    let mut redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let pair = Pair::start([&one, &two], "lobby").await;
    redis.restart_empty().await;
    pair.goes_on(20).await;
    let (mut here, mut there) = (one.client("eve").await, two.client("fay").await);
    until_all_are_members(&mut here, &USERS).await;
    until_all_are_members(&mut there, &USERS).await;
    for heard in pair.end().await {
        assert_eq!(heard.new_epochs(), 1);
        heard.assert_nobody_left(&USERS);
    }
}

#[tokio::test]
async fn restarted_empty_while_nobody_writes() {
    let mut redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let (mut alice, mut bob) = (one.member("alice", "lobby").await, two.client("bob").await);
    bob.join("lobby").await;
    let before = alice.chat("lobby", "lost").await;
    bob.until(|message| message["content"] == "lost").await;
    alice.until(|message| message["content"] == "lost").await;
    redis.restart_empty().await;
    let (here, there) =
        (begun_anew(&mut alice, &before).await, begun_anew(&mut bob, &before).await);
    assert_eq!(here["epoch"], there["epoch"]);
    assert_eq!((&here["seq"], &here["messages"]), (&json!(0), &json!([])));
    // Whoever comes back with a place in the old log learns that it is gone.
    let joined = two.client("carol").await.resume("lobby", &since(&before)).await;
    assert_eq!((&joined["recovered"], &joined["epoch"]), (&json!(false), &here["epoch"]));
    until_all_are_members(&mut alice, &["alice", "bob"]).await;
    until_all_are_members(&mut bob, &["alice", "bob"]).await;
    let ack = bob.chat("lobby", "new").await;
    assert_eq!((&ack["seq"], &ack["epoch"]), (&json!(1), &here["epoch"]));
    alice.until(|message| message["content"] == "new").await;
}

#[tokio::test]
async fn emptied_while_the_connections_stay() {
    let redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let (mut alice, mut bob) =
        (one.member("alice", "lobby").await, two.member("bob", "lobby").await);
    let before = alice.chat("lobby", "lost").await;
    bob.until(|message| message["content"] == "lost").await;
    redis.command(&["FLUSHALL"]);
    let after = alice.chat("lobby", "new").await;
    assert_ne!(after["epoch"], before["epoch"]);
    let there = begun_anew(&mut bob, &before).await;
    assert_eq!(there["epoch"], after["epoch"]);
    let position = there["seq"].as_u64().expect("a seq is a number");
    if position == 0 {
        bob.until(|message| message["content"] == "new").await;
    } else {
        assert_eq!(there["messages"][0]["content"], "new", "{there}");
    }
    until_all_are_members(&mut bob, &["alice", "bob"]).await;
}

#[tokio::test]
async fn who_joins_a_log_begun_anew_is_told_so_once() {
    let redis = RedisServer::start().await;
    // The members share a fan-out, which knows nothing of the loss when bob asks.
    let [node] = nodes_with(&redis.url(), "server.workers = 1").await;
    let mut alice = node.member("alice", "lobby").await;
    let before = alice.chat("lobby", "lost").await;
    alice.until(|message| message["content"] == "lost").await;
    alice.forget();
    redis.command(&["FLUSHALL"]);
    let mut bob = node.client("bob").await;
    let joined = bob.join("lobby").await;
    let told = begun_anew(&mut alice, &before).await;
    assert_eq!(told["epoch"], joined["epoch"]);
    let ack = alice.chat("lobby", "new").await;
    assert_eq!(ack["epoch"], joined["epoch"]);
    let news = bob.until(|m| m["room"] == "lobby" && m["type"] != "presence").await;
    assert_eq!(news["content"], "new", "{news}");
}

#[tokio::test]
async fn back_at_an_older_place_while_nobody_writes() {
    let mut redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let (mut alice, mut bob) =
        (one.member("alice", "lobby").await, two.member("bob", "lobby").await);
    for text in ["kept 1", "kept 2", "kept 3"] {
        alice.chat("lobby", text).await;
    }
    redis.command(&["SAVE"]);
    let mut last = alice.chat("lobby", "lost").await;
    for _ in 0..4 {
        last = alice.chat("lobby", "lost").await;
    }
    for member in [&mut alice, &mut bob] {
        member.until(|message| message["type"] == "chat" && message["seq"] == last["seq"]).await;
        member.forget();
    }
    redis.restart().await;
    let (here, there) = (begun_anew(&mut alice, &last).await, begun_anew(&mut bob, &last).await);
    assert_eq!(here["epoch"], there["epoch"]);
    let joined = two.client("carol").await.resume("lobby", &since(&last)).await;
    assert_eq!((&joined["recovered"], &joined["epoch"]), (&json!(false), &here["epoch"]));
    let ack = alice.chat("lobby", "new").await;
    assert_eq!(ack["epoch"], here["epoch"]);
    bob.until(|message| message["content"] == "new" && message["seq"] == ack["seq"]).await;
}

#[tokio::test]
async fn back_at_an_older_place_under_traffic() {
    let mut redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let pair = Pair::start([&one, &two], "lobby").await;
    redis.command(&["SAVE"]);
    pair.goes_on(20).await;
    redis.restart().await;
    pair.goes_on(20).await;
    for heard in pair.end().await {
        assert_eq!(heard.new_epochs(), 1);
        heard.assert_nobody_left(&USERS);
    }
    until_ready(&one, true).await;
}

#[tokio::test]
async fn an_inbox_begins_anew_too() {
    let mut redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let (mut alice, mut bob) = (one.client("alice").await, two.client("bob").await);
    let direct = |text: &str| json!({"type": "direct", "to": "bob", "content": text});
    alice.write(direct("old")).await;
    bob.until(|message| message["content"] == "old").await;
    redis.restart_empty().await;
    until_ready(&one, true).await;
    until_ready(&two, true).await;
    let ack = alice.write(direct("new")).await;
    let message = bob.until(|message| message["content"] == "new").await;
    assert_eq!((&message["seq"], &ack["seq"]), (&json!(1), &json!(1)));
    // It is kept until it is seen, as ever.
    let mut again = one.client("bob").await;
    again.until(|message| message["content"] == "new").await;
}
