//! Users across nodes: what holds for all nodes together, whichever one a client
//! or a backend speaks to.

use serde_json::json;

use crate::harness::{Client, Connect, Process, RedisServer, eventually, now_s, patiently};

const KEY: &str = "a-key-of-the-tests";

async fn node(redis: &RedisServer, settings: &[(&str, &str)]) -> Process {
    let url = redis.url();
    let joined = [("ROOKERY__BROKER__URL", url.as_str()), ("ROOKERY__API__KEYS", KEY)];
    Process::spawn(&[settings, &joined].concat()).await
}

/// A store and two nodes on it.
async fn two(settings: &[(&str, &str)]) -> (RedisServer, [Process; 2]) {
    let redis = RedisServer::start().await;
    let nodes = [node(&redis, settings).await, node(&redis, settings).await];
    (redis, nodes)
}

/// Waits until the connection is let in.
async fn let_in(what: &str, connect: impl Fn() -> Connect) -> Client {
    let wire = eventually(what, async || connect().attempt().await.ok()?.ok()).await;
    let mut client = Client::new(wire);
    client.welcome = client.next().await;
    client
}

#[tokio::test]
async fn a_session_is_taken_over_from_another_node() {
    let (_redis, [one, two]) = two(&[]).await;
    let mut old = one.client("alice").await;
    let id = old.session().to_owned();
    let mut new = two.connect("alice").query("session", &id).client().await;
    assert_eq!(new.session(), id);
    old.closed().await.assert(1001, "replaced");
    // And back again.
    let newest = one.connect("alice").query("session", &id).client().await;
    assert_eq!(newest.session(), id);
    new.closed().await.assert(1001, "replaced");
}

#[tokio::test]
async fn of_claims_on_two_nodes_at_the_same_time_one_stays() {
    let (_redis, nodes) = two(&[]).await;
    for round in 0..10 {
        let user = format!("user-{round}");
        let mut seed = nodes[0].client(&user).await;
        let id = seed.session().to_owned();
        let claim = async |at: usize| {
            Client::new(nodes[at].connect(&user).query("session", &id).wire().await)
        };
        let (mut first, mut second) = tokio::join!(claim(0), claim(1));
        seed.closed().await.assert(1001, "replaced");
        // One is told to go, whichever; the other answers after that.
        let (gone, mut stays) = patiently("one of two to be replaced", async {
            tokio::select! {
                gone = first.closed() => (gone, second),
                gone = second.closed() => (gone, first),
            }
        })
        .await;
        gone.assert(1001, "replaced");
        stays.ask(json!({"type": "ping"}), "pong").await;
        assert_eq!(stays.expect("welcome").await["session"], id);
    }
}

#[tokio::test]
async fn a_disconnect_reaches_the_sessions_of_every_node() {
    let (_redis, [one, two]) = two(&[]).await;
    let mut here = one.client("alice").await;
    let mut there = two.client("alice").await;
    let mut other = two.client("bob").await;
    one.done(KEY, "/api/v1/users/alice/disconnect", json!({"reason": "spam"})).await;
    here.closed().await.assert(1008, "kicked");
    there.closed().await.assert(1008, "kicked");
    other.ask(json!({"type": "ping"}), "pong").await;
}

#[tokio::test]
async fn revoked_tokens_are_refused_by_every_node_also_by_one_that_starts_later() {
    let (redis, [one, two]) = two(&[]).await;
    let old = one.token("alice");
    let named = one.token_with("bob", json!({"jti": "t-1", "iat": now_s()}));
    let mut alice = two.upgrade().bearer(&old).client().await;
    let mut bob = two.upgrade().bearer(&named).client().await;
    one.done(KEY, "/api/v1/tokens/t-1/revoke", json!({})).await;
    one.done(KEY, "/api/v1/users/alice/disconnect", json!({"revoke": true})).await;
    alice.closed().await.assert(1008, "token_revoked");
    bob.closed().await.assert(1008, "token_revoked");
    // The order came to that node; to the one that gave it, it comes as well.
    eventually("the order to come back", async || {
        one.upgrade().bearer(&named).attempt().await.ok()?.err()
    })
    .await;
    let late = node(&redis, &[]).await;
    for node in [&one, &two, &late] {
        node.assert_revoked(&old).await;
        node.assert_revoked(&named).await;
        let mut again = node.client("alice").await;
        again.refused(json!({"type": "refresh", "token": old}), "token_rejected").await;
        again.leave().await;
    }
}

#[tokio::test]
async fn connections_of_a_user_are_limited_over_all_nodes() {
    let (_redis, [one, two]) = two(&[("ROOKERY__LIMITS__CONNECTIONS_PER_USER", "2")]).await;
    let first = one.client("alice").await;
    let mut second = two.client("alice").await;
    for node in [&one, &two] {
        let response = node.connect("alice").refused().await;
        response.assert_error(429, "rate_limited");
        response.assert_retry_after();
    }
    two.client("bob").await.leave().await;
    // Who takes an earlier session's place is let in, from the other node too.
    let id = second.session().to_owned();
    let third = one.connect("alice").query("session", &id).client().await;
    second.closed().await.assert(1001, "replaced");
    first.leave().await;
    let _fourth = let_in("room for a connection", || two.connect("alice")).await;
    drop(third);
}

#[tokio::test]
async fn connections_of_a_node_that_died_count_no_more() {
    let settings =
        [("ROOKERY__LIMITS__CONNECTIONS_PER_USER", "1"), ("ROOKERY__PRESENCE__LEASE", "2s")];
    let (_redis, [one, two]) = two(&settings).await;
    let _held = one.client("alice").await;
    two.connect("alice").refused().await.assert_error(429, "rate_limited");
    drop(one);
    let_in("the dead node's count to end", || two.connect("alice")).await;
}

#[tokio::test]
async fn attempts_are_counted_over_all_nodes() {
    let (_redis, nodes) = two(&[("ROOKERY__LIMITS__CONNECTS_PER_SECOND", "6")]).await;
    // By user: each attempt from another address. Neither node has over six.
    let mut host = 1;
    let response = eventually("an attempt over the limit", async || {
        let mut refused = None;
        for at in 0..12 {
            host = host % 250 + 1;
            let connect = nodes[at % 2].connect("alice").source([127, 0, 1, host]);
            let answer = connect.attempt().await.expect("connections are taken");
            refused = refused.or(answer.err());
        }
        refused
    })
    .await;
    response.assert_error(429, "rate_limited");
    response.assert_retry_after();
    // By address: each attempt of another user.
    let mut number = 0;
    let response = eventually("an attempt over the limit", async || {
        let mut refused = None;
        for at in 0..12 {
            number += 1;
            let connect = nodes[at % 2].connect(&format!("u{number}")).source([127, 0, 2, 1]);
            let answer = connect.attempt().await.expect("connections are taken");
            refused = refused.or(answer.err());
        }
        refused
    })
    .await;
    response.assert_error(429, "rate_limited");
}

#[tokio::test]
async fn a_node_without_its_store_keeps_its_sessions_and_takes_nobody_new() {
    let (mut redis, [one, two]) = two(&[("ROOKERY__LIMITS__CONNECTIONS_PER_USER", "1")]).await;
    let mut alice = one.client("alice").await;
    redis.kill();
    let refused = eventually("new clients to be refused", async || {
        one.connect("bob").attempt().await.ok()?.err()
    })
    .await;
    refused.assert_error(503, "unavailable");
    refused.assert_retry_after();
    alice.ask(json!({"type": "ping"}), "pong").await;
    let kick = one.backend(KEY, "POST", "/api/v1/users/alice/disconnect", "").await;
    kick.assert_error(503, "unavailable");
    kick.assert_retry_after();
    alice.ask(json!({"type": "ping"}), "pong").await;

    // An emptied store is told again who is here.
    redis.restart_empty().await;
    let_in("new clients to be let in", || one.connect("bob")).await.leave().await;
    eventually("alice to be counted again", async || {
        let answer = two.connect("alice").attempt().await.ok()?;
        answer.err().filter(|refused| refused.status == 429)
    })
    .await;
    alice.ask(json!({"type": "ping"}), "pong").await;
}

#[tokio::test]
async fn an_upgrade_that_is_under_way_when_the_store_stops_is_answered() {
    let (redis, [one, _two]) = two(&[]).await;
    let mut alice = one.client("alice").await;
    redis.pause();
    let refused = one.connect("bob").refused().await;
    refused.assert_error(503, "unavailable");
    alice.ask(json!({"type": "ping"}), "pong").await;
    redis.resume();
    let_in("new clients to be let in", || one.connect("bob")).await;
}
