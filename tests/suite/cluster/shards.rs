//! Redis Cluster: rooms on three masters, slots that move, connections that
//! break.

use super::{
    pair::{Pair, USERS},
    until_ready,
};
use crate::harness::{RedisCluster, TestApp, nodes};

const ROOMS: [&str; 6] = ["lobby", "kitchen", "garden", "cellar", "attic", "garage"];

/// Traffic in rooms on all of the masters.
async fn everywhere(cluster: &RedisCluster, nodes: &[TestApp; 2]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for room in ROOMS {
        pairs.push(Pair::start([&nodes[0], &nodes[1]], room).await);
    }
    for master in 0..3 {
        assert!(!cluster.slots_in_use(master).is_empty(), "master {master} has no keys");
    }
    pairs
}

async fn go_on(pairs: &[Pair]) {
    for pair in pairs {
        pair.goes_on(5).await;
    }
}

async fn assert_nothing_was_lost(pairs: Vec<Pair>) {
    go_on(&pairs).await;
    for pair in pairs {
        for heard in pair.end().await {
            assert_eq!(heard.new_epochs(), 0, "the log went on");
            heard.assert_nobody_left(&USERS);
        }
    }
}

#[tokio::test]
async fn slots_move_under_traffic() {
    let cluster = RedisCluster::start().await;
    let nodes = nodes(&cluster.url()).await;
    let pairs = everywhere(&cluster, &nodes).await;
    for slot in cluster.slots_in_use(0) {
        cluster.migrate_slot(slot, 1).await;
        go_on(&pairs[..1]).await;
    }
    assert!(cluster.slots_in_use(0).is_empty(), "nothing is left behind");
    assert_nothing_was_lost(pairs).await;
}

#[tokio::test]
async fn connections_to_one_master_are_killed_under_traffic() {
    let cluster = RedisCluster::start().await;
    let nodes = nodes(&cluster.url()).await;
    let pairs = everywhere(&cluster, &nodes).await;
    for kind in ["normal", "pubsub", "normal", "pubsub"] {
        for master in &cluster.masters {
            master.command(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
        }
        go_on(&pairs).await;
    }
    assert_nothing_was_lost(pairs).await;
}

#[tokio::test]
async fn a_master_dies_and_comes_back_with_its_data() {
    let mut cluster = RedisCluster::durable().await;
    let nodes = nodes(&cluster.url()).await;
    let pairs = everywhere(&cluster, &nodes).await;
    cluster.masters[0].kill();
    // With one of the masters gone, the others serve nothing either.
    for pair in &pairs {
        pair.is_refused(1).await;
    }
    cluster.masters[0].restart().await;
    cluster.works().await;
    for node in &nodes {
        until_ready(node, true).await;
    }
    assert_nothing_was_lost(pairs).await;
}
