//! Redis holds, and hands on, what no node of this version says: each such thing
//! is passed over, and nothing else suffers.

use serde_json::json;

use super::until_ready;
use crate::harness::{RedisServer, eventually, listed, node, seqs};

/// The key that may send users away.
const KEY: &str = "a-key-of-the-tests";

/// Lua, as it can write any byte.
const DAMAGE: [&str; 12] = [
    "return redis.call('XADD', 'rookery:orders:{nodes}', '*', 'a', 'b', 'c', 'd')",
    "return redis.call('XADD', 'rookery:orders:{nodes}', '*', 'o', '\\255\\254')",
    "return redis.call('XADD', 'rookery:orders:{nodes}', '*', 'o', '{\"Disconnect\":')",
    "return redis.call('ZADD', 'rookery:revoked:{nodes}', 9e15, '\\255', 9e15, '{}')",
    "return redis.call('HSET', 'rookery:lives:{nodes}', 'ghost', 'many', '\\255', 1)",
    "return redis.call('SADD', 'rookery:dying:{nodes}', '\\255')",
    "return redis.call('SET', 'rookery:report:{nodes}:ghost', '\\255')",
    "return redis.call('HSET', 'rookery:who:{lobby}', '\\255', '{}', 'n9.1\\0eve', '{}')",
    "return redis.call('HSET', 'rookery:state:{lobby}', '\\255', '1 1', 'odd', '\\255', 'bare', 'x')",
    "return redis.call('XADD', 'rookery:log:{side}', '*', 'x', 'y')",
    "for _, it in ipairs({ '', '\\255', 'm', 't {', 'p 0 0 {}' }) do \
     redis.call('PUBLISH', 'rookery:room:{lobby}', it) end return 1",
    "for _, it in ipairs({ '{', '{\"ask\":{}}', '{\"whisper\":{\"from\":\"x\",\"whisper\":[]}}', '\\255' }) do \
     redis.call('PUBLISH', 'rookery:tell:{nodes}', it) end return 1",
];

#[tokio::test]
async fn what_nobody_understands_is_passed_over_and_ends_no_connection() {
    let redis = RedisServer::start().await;
    let settings = format!("api.keys = [{KEY:?}]");
    let start = async |name| node(&redis.url(), name, &settings).await;
    let (one, two) = (start("n1").await, start("n2").await);
    let (mut alice, mut bob) = (one.member("alice", "lobby").await, two.client("bob").await);
    bob.join("lobby").await;
    alice.set("lobby", "k", json!(1)).await;
    alice.join("side").await;
    alice.chat("side", "before").await;

    for script in DAMAGE {
        redis.command(&["EVAL", script, "0"]);
    }
    // One that starts now reads all of it at once.
    let three = start("n3").await;
    for node in [&one, &two, &three] {
        until_ready(node, true).await;
    }

    let mut carol = three.client("carol").await;
    let joined = carol.join("lobby").await;
    assert_eq!(joined["state"], json!({"k": {"value": 1, "version": 1}}));
    eventually("the members who are there", async || {
        let answer = carol.members("lobby").await;
        let all = ["alice", "bob", "carol"].iter().all(|it| listed(&answer["members"], it));
        (all && answer["count"] == 3).then_some(())
    })
    .await;
    carol.chat("lobby", "after").await;
    for member in [&mut alice, &mut bob] {
        member.until(|message| message["content"] == "after").await;
    }
    // Of a log that is damaged all is shown that can be read.
    let side = json!({"type": "join", "room": "side", "history": 10});
    let side = carol.ask(side, "joined").await;
    assert_eq!(seqs(&side["messages"]), [1], "{side}");

    // A later order comes behind those that are not understood.
    let kicked = two.backend(KEY, "POST", "/api/v1/users/alice/disconnect", "").await;
    assert_eq!(kicked.status, 200, "{}", kicked.body);
    alice.closed().await.assert(1008, "kicked");
    for node in [&one, &two, &three] {
        assert_eq!(node.get("/readyz").await.status, 200);
        let shown = node.get("/metrics").await.body;
        assert!(shown.contains("rookery_broker_reconnects_total 0"), "{shown}");
    }
}
