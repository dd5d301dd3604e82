use serde_json::{Value, json};

use super::{call, get, post, with_both_brokers};
use crate::harness::{Endpoint, eventually};

with_both_brokers!(commands_are_done_in_order_and_answered_one_by_one, a_batch_is_read_whole_first);

async fn commands_are_done_in_order_and_answered_one_by_one(asked: &Endpoint, clients: &Endpoint) {
    let mut bob = clients.member("bob", "r").await;
    let commands = json!([
        {"type": "set", "room": "r", "key": "k", "value": 1, "if_version": 0},
        {"type": "set", "room": "r", "key": "k", "value": 2, "if_version": 0},
        {"type": "publish", "room": "r", "content": "hi", "user": "ci", "nonce": "n"},
        {"type": "publish", "room": "r", "event": "e", "data": null},
        {"type": "publish", "room": "r", "content": "hi", "user": "ci", "nonce": "n"},
        {"type": "direct", "to": "bob", "content": "for you"},
        {"type": "set", "room": "r", "key": "k", "value": null, "if_version": 1},
    ]);
    let answer = post(asked, "/batch", json!({"commands": commands})).await;
    let results = answer["results"].as_array().expect("a list");
    assert_eq!(results.len(), 7, "{answer}");
    let shown = |at: usize, names: [&str; 4]| names.map(|name| results[at][name].clone());
    assert_eq!(
        shown(0, ["room", "key", "seq", "version"]),
        [json!("r"), json!("k"), json!(1), json!(1)]
    );
    assert_eq!(results[1]["error"]["code"], "conflict", "{answer}");
    assert_eq!(results[1]["error"]["current"], json!({"value": 1, "version": 1}), "{answer}");
    assert_eq!((&results[2]["room"], &results[2]["seq"]), (&json!("r"), &json!(2)), "{answer}");
    assert_eq!(results[3]["seq"], 3, "{answer}");
    assert_eq!((&results[4]["seq"], &results[4]["duplicate"]), (&json!(2), &json!(true)));
    assert_eq!((&results[5]["user"], &results[5]["seq"]), (&json!("bob"), &json!(1)), "{answer}");
    assert_eq!(
        shown(6, ["room", "key", "seq", "version"]),
        [json!("r"), json!("k"), json!(4), json!(0)]
    );
    assert_eq!(bob.expect("direct").await["content"], "for you");
    assert_eq!(bob.expect("event").await["seq"], 3);
}

async fn a_batch_is_read_whole_first(asked: &Endpoint, _: &Endpoint) {
    let good = json!({"type": "publish", "room": "r", "content": "x"});
    let many = vec![good.clone(); 101];
    for (commands, status, code, named) in [
        (json!([]), 400, "bad_message", "`commands`"),
        (json!(many), 400, "bad_message", "`commands`"),
        (json!("x"), 400, "bad_message", "`commands`"),
        (json!([good, []]), 400, "bad_message", "`commands[1]`"),
        (json!([good, {}]), 400, "bad_message", "`commands[1]`: `type`"),
        (json!([good, {"type": "join"}]), 400, "unknown_type", "`commands[1]`: `type`"),
        (json!([good, {"type": "publish", "room": "r"}]), 400, "bad_message", "`commands[1]`"),
        (json!([good, {"type": "publish", "content": "x"}]), 400, "bad_message", "`room`"),
        (
            json!([good, {"type": "publish", "room": "@b", "content": "x"}]),
            403,
            "forbidden",
            "`room`",
        ),
        (json!([good, {"type": "set", "room": "r", "key": "k"}]), 400, "bad_message", "`value`"),
        (json!([good, {"type": "set", "room": "r", "value": 1}]), 400, "bad_message", "`key`"),
        (
            json!([good, {"type": "set", "room": "r", "key": "k", "value": 1, "if_version": -1}]),
            400,
            "bad_message",
            "`commands[1].if_version`",
        ),
        (json!([good, {"type": "direct", "content": "x"}]), 400, "bad_message", "`to`"),
        (
            json!([good, {"type": "direct", "to": 7, "content": "x"}]),
            400,
            "bad_message",
            "`commands[1].to`",
        ),
    ] {
        let refused = call(asked, "POST", "/batch", json!({"commands": commands})).await;
        refused.assert_error(status, code);
        assert!(refused.body.contains(named), "{commands}: {refused:?}");
    }
    assert_eq!(get(asked, "/rooms/r/messages").await["messages"], json!([]), "nothing was done");
    let most = post(asked, "/batch", json!({"commands": &many[..100]})).await;
    assert_eq!(most["results"].as_array().map(Vec::len), Some(100));
}

#[tokio::test]
async fn a_broker_that_is_away_is_503_for_every_call() {
    let (mut redis, [one, two]) = super::two().await;
    let mut alice = two.member("alice", "r").await;
    redis.kill();
    let message = json!({"content": "x"});
    eventually("the node to notice", async || {
        let answer = call(&one, "POST", "/rooms/r/messages", message.clone()).await;
        (answer.status == 503).then_some(())
    })
    .await;
    let calls = [
        ("POST", "/rooms/r/messages", message.clone()),
        ("GET", "/rooms/r/messages", Value::Null),
        ("GET", "/rooms/r/state", Value::Null),
        ("PUT", "/rooms/r/state/k", json!({"value": 1})),
        ("DELETE", "/rooms/r/state/k", Value::Null),
        ("GET", "/rooms/r/presence", Value::Null),
        ("GET", "/rooms", Value::Null),
        ("POST", "/users/bob/messages", message.clone()),
        ("GET", "/users/alice", Value::Null),
        ("GET", "/nodes", Value::Null),
        ("GET", "/stats", Value::Null),
        ("POST", "/broadcast", json!({"rooms": ["a", "b"], "content": "x"})),
        (
            "POST",
            "/batch",
            json!({"commands": [
                {"type": "publish", "room": "r", "content": "x"},
                {"type": "direct", "to": "bob", "content": "x"},
            ]}),
        ),
    ];
    for node in [&one, &two] {
        for (method, path, body) in &calls {
            let answer = call(node, method, path, body.clone()).await;
            answer.assert_error(503, "unavailable");
            answer.assert_retry_after();
        }
    }
    redis.restart_empty().await;
    eventually("the broker to be back", async || {
        let answer = call(&one, "POST", "/rooms/r/messages", message.clone()).await;
        (answer.status == 200).then_some(())
    })
    .await;
    alice.ask(json!({"type": "ping"}), "pong").await;
}
