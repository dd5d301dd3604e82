//! Redis with passwords, access lists and TLS.

use std::process::Output;

use serde_json::json;

use super::pair::Pair;
use crate::harness::{
    Certificates, Directory, Process, RedisServer, eventually, node_process, rookery,
};

async fn assert_works(nodes: [&Process; 2]) {
    let (mut alice, mut bob) =
        (nodes[0].member("alice", "lobby").await, nodes[1].member("bob", "lobby").await);
    alice.chat("lobby", "hello").await;
    assert_eq!(bob.expect("chat").await["content"], "hello");
    super::until_ready(nodes[0], true).await;
    for node in nodes {
        assert!(!node.log().contains("sesame"), "a password is in the log: {}", node.log());
    }
}

#[tokio::test]
async fn a_password_is_given() {
    let redis = RedisServer::with(&["--requirepass", "sesame"]).await;
    let url = redis.url();
    let nodes = [node_process(&url, "n1", &[]).await, node_process(&url, "n2", &[]).await];
    assert_works(nodes.each_ref()).await;
}

/// The command of docs/operations.md that makes the user of a node.
pub fn documented_user() -> Vec<&'static str> {
    let document = include_str!("../../../docs/operations.md");
    let line = document.lines().find(|line| line.starts_with("ACL SETUSER rookery "));
    let words = line.expect("the document has the command").split(' ');
    words.map(|word| if word == ">PASSWORD" { ">open@sesame" } else { word }).collect()
}

#[tokio::test]
async fn a_user_of_an_access_list_needs_no_more_than_is_documented() {
    let redis = RedisServer::start().await;
    redis.command(&documented_user());
    let url = redis.url_of("rookery", "open%40sesame");
    let nodes = [node_process(&url, "n1", &[]).await, node_process(&url, "n2", &[]).await];
    assert_works(nodes.each_ref()).await;
    let clients = redis.command(&["CLIENT", "LIST"]);
    assert!(clients.contains("user=rookery"), "{clients}");
    // Connections that come back say who they are, too.
    let pair = Pair::start([&nodes[0], &nodes[1]], "garden").await;
    redis.command(&["CLIENT", "KILL", "USER", "rookery"]);
    pair.goes_on(10).await;
    pair.end().await;
    // What else there is: state, the inbox, lists, revocations.
    let mut alice = nodes[0].member("alice", "lobby").await;
    alice.set("lobby", "color", json!("red")).await;
    alice.history("lobby", json!({})).await;
    alice.members("lobby").await;
    alice.write(json!({"type": "direct", "to": "carol", "content": "hello"})).await;
    let mut carol = nodes[1].client("carol").await;
    carol.expect("direct").await;
    carol.ask(json!({"type": "seen", "seq": 1}), "ack").await;
    assert_eq!(redis.command(&["ACL", "LOG"]), "", "something is not allowed");
}

#[tokio::test]
async fn what_an_access_list_does_not_allow_is_said_once() {
    let redis = RedisServer::start().await;
    redis.command(&documented_user());
    let url = redis.url_of("rookery", "open%40sesame");
    // The keys of another server.
    let node = node_process(&url, "n1", &[("ROOKERY__BROKER__PREFIX", "other")]).await;
    eventually("a problem that says what to do", async || {
        let health = node.get("/readyz").await.json();
        let problem = health["broker"]["problem"].as_str()?.to_owned();
        problem.contains("its log has the command").then_some(())
    })
    .await;
    redis.command(&["ACL", "SETUSER", "rookery", "~other:*", "&other:*"]);
    super::until_ready(&node, true).await;
    let log = node.log();
    assert_eq!(log.matches("Redis refused a command").count(), 1, "{log}");
}

#[tokio::test]
async fn tls_is_spoken() {
    let certificates = Certificates::new();
    let redis = RedisServer::tls(&certificates).await;
    let (url, authority) = (redis.tls_url(), certificates.authority());
    // Trusted by the settings, or by the whole system.
    let settings = [("ROOKERY__BROKER__CA_FILE", authority.as_str())];
    let system = [("SSL_CERT_FILE", authority.as_str())];
    let nodes =
        [node_process(&url, "n1", &settings).await, node_process(&url, "n2", &system).await];
    assert_works(nodes.each_ref()).await;
}

/// Starts a node that must not come up, and gives what it says.
fn refused(url: &str) -> String {
    let environment = [("ROOKERY__BROKER__URL", url), ("ROOKERY__SERVER__LISTEN", "127.0.0.1:0")];
    let Output { status, stderr, .. } = rookery(&Directory::new(), &[], &environment);
    let said = String::from_utf8(stderr).expect("output is UTF-8");
    assert!(!status.success(), "it started: {said}");
    let line = said.lines().last().unwrap_or_default();
    assert!(line.contains("broker.url"), "{said}");
    assert!(!said.contains("sesame"), "a password was shown: {said}");
    said
}

#[tokio::test]
async fn a_wrong_password_is_named_and_not_shown() {
    let redis = RedisServer::with(&["--requirepass", "other"]).await;
    refused(&redis.url_of("", "sesame"));
    refused(&redis.url_of("nobody", "sesame"));
    // None, where one is asked for.
    refused(&format!("redis://127.0.0.1:{}", redis.port()));
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_named() {
    let redis = RedisServer::tls(&Certificates::new()).await;
    let url = redis.tls_url().replace("rediss://", "rediss://:sesame@");
    // It may be trusted in a moment, so the node waits for that.
    let node = node_process(&url, "n1", &[]).await;
    super::until_ready(&node, false).await;
    let log = node.log();
    assert!(log.contains("certificate") && !log.contains("sesame"), "{log}");
}

#[tokio::test]
async fn an_address_of_no_known_kind_is_refused() {
    for url in [
        "http://:sesame@127.0.0.1:1",
        "redis+sentinel://:sesame@127.0.0.1:1",
        "redis+cluster://:sesame@",
    ] {
        refused(url);
    }
}
