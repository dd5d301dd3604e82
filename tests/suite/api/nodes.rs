use serde_json::{Value, json};

use super::{KEY, get, post};
use crate::harness::{RedisServer, eventually, node_process};

#[tokio::test]
async fn a_node_alone_says_how_it_is() {
    let app = super::alone().await;
    let _alice = app.member("alice", "lobby").await;
    let _more = app.member("alice", "other").await;
    post(&app, "/rooms/lobby/messages", json!({"content": "x"})).await;
    let nodes = get(&app, "/nodes").await;
    let [node] = &nodes["nodes"].as_array().expect("a list")[..] else { panic!("{nodes}") };
    assert_eq!((&node["connections"], &node["users"]), (&json!(2), &json!(1)), "{node}");
    assert_eq!((&node["rooms"], &node["messages"]), (&json!(2), &json!(1)), "{node}");
    assert_eq!((&node["ready"], &node["draining"]), (&json!(true), &json!(false)), "{node}");
    let stats = get(&app, "/stats").await;
    assert_eq!(stats["node"]["node"], node["node"]);
    assert_eq!(stats["cluster"]["nodes"], 1);
    assert_eq!(stats["broker"], json!({"kind": "embedded", "ok": true}));
    // A rate needs a second sample.
    eventually("a rate", async || {
        post(&app, "/rooms/lobby/messages", json!({"content": "x"})).await;
        let stats = get(&app, "/stats").await;
        (stats["cluster"]["messages_per_second"].as_f64()? > 0.0).then_some(())
    })
    .await;
}

/// The names of the nodes that a node lists.
fn names(nodes: &Value) -> Vec<&str> {
    let nodes = nodes["nodes"].as_array().expect("a list");
    nodes.iter().map(|node| node["node"].as_str().expect("a name")).collect()
}

#[tokio::test]
async fn all_nodes_are_seen_until_they_are_gone() {
    let redis = RedisServer::start().await;
    let key = [("ROOKERY__API__KEYS", KEY)];
    let one = node_process(&redis.url(), "n1", &key).await;
    let two = node_process(&redis.url(), "n2", &key).await;
    let _alice = one.member("alice", "lobby").await;
    let _bob = two.member("bob", "lobby").await;
    post(&two, "/rooms/lobby/messages", json!({"content": "x"})).await;
    for node in [&one, &two] {
        let stats = eventually("the figures of both", async || {
            let nodes = get(node, "/nodes").await;
            assert!(names(&nodes).len() <= 2, "{nodes}");
            let stats = get(node, "/stats").await;
            let cluster = &stats["cluster"];
            let is_all = cluster["connections"] == 2 && cluster["messages"] == 1;
            (names(&nodes) == ["n1", "n2"] && is_all).then_some(stats)
        })
        .await;
        let cluster = &stats["cluster"];
        assert_eq!((&cluster["nodes"], &cluster["rooms"]), (&json!(2), &json!(2)), "{stats}");
        assert_eq!(stats["broker"], json!({"kind": "redis", "ok": true}));
    }
    drop(two);
    eventually("the dead node to be given up", async || {
        (names(&get(&one, "/nodes").await) == ["n1"]).then_some(())
    })
    .await;
}
