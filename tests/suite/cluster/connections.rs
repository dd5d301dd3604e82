//! Connections of one user to several nodes: their limit, and session ids that
//! move.

use futures_util::{StreamExt, stream::FuturesUnordered};

use crate::harness::{Client, Endpoint, RedisServer, eventually, nodes, nodes_with};

/// Waits until a connection of `user` is admitted.
async fn admitted(node: &Endpoint, user: &str) -> Client {
    eventually("a place for one more connection", async || {
        let wire = node.connect(user).attempt().await.expect("the node takes connections").ok()?;
        Some(Client::new(wire))
    })
    .await
}

#[tokio::test]
async fn a_users_connections_are_counted_across_nodes() {
    let redis = RedisServer::start().await;
    let [one, two] = nodes_with(&redis.url(), "limits.connections_per_user = 2").await;
    let (here, there) = (one.client("alice").await, two.client("alice").await);
    for node in [&one, &two] {
        let refusal = node.connect("alice").refused().await;
        refusal.assert_error(429, "rate_limited");
        refusal.assert_retry_after();
    }
    // Another user has a count of its own.
    let _bob = one.client("bob").await;
    here.leave().await;
    let third = admitted(&two, "alice").await;
    two.connect("alice").refused().await.assert_error(429, "rate_limited");
    there.wire.cut();
    let _fourth = admitted(&one, "alice").await;
    drop(third);
}

#[tokio::test]
async fn a_session_id_moves_to_another_node() {
    let redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let mut old = one.client("alice").await;
    let session = old.session().to_owned();
    let mut new = two.connect("alice").query("session", &session).client().await;
    assert_eq!(new.session(), session);
    assert_eq!(new.welcome["node"], "n2");
    old.closed().await.assert(1001, "replaced");
    // And back again.
    let back = one.connect("alice").query("session", &session).client().await;
    assert_eq!(back.session(), session);
    new.closed().await.assert(1001, "replaced");
    back.leave().await;
}

#[tokio::test]
async fn a_session_id_of_another_user_is_not_taken() {
    let redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let mut alice = one.client("alice").await;
    let thief = two.connect("bob").query("session", alice.session()).client().await;
    assert_ne!(thief.session(), alice.session());
    alice.join("lobby").await;
    alice.leave().await;
}

#[tokio::test]
async fn of_many_that_take_one_id_at_once_one_stays() {
    let redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let mut first = one.client("alice").await;
    let session = first.session().to_owned();
    let takers = (0..6).map(|number| {
        let node = if number % 2 == 0 { &one } else { &two };
        node.connect("alice").query("session", &session).wire()
    });
    // Some are sent away before their `welcome`.
    let takers = futures_util::future::join_all(takers).await.into_iter().map(Client::new);
    first.closed().await.assert(1001, "replaced");
    // Whichever they are: five are sent away, by either node.
    let mut closing: FuturesUnordered<_> =
        takers.map(|mut client| async move { client.closed().await }).collect();
    for _ in 0..5 {
        let close = closing.next().await.expect("six are waited for");
        close.assert(1001, "replaced");
    }
    eventually("one connection", async || {
        (one.connections().await + two.connections().await == 1).then_some(())
    })
    .await;
    assert_eq!(closing.len(), 1);
}
