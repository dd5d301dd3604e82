//! Direct messages between users of different nodes.

use serde_json::{Value, json};

use super::until_ready;
use crate::harness::{RedisServer, eventually, nodes};

fn direct(to: &str, text: &str) -> Value {
    json!({"type": "direct", "to": to, "content": text})
}

#[tokio::test]
async fn a_direct_message_reaches_all_sessions_of_both_users() {
    let redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let mut alice = one.client("alice").await;
    let mut elsewhere = two.client("alice").await;
    let (mut bob, mut bobs_phone) = (one.client("bob").await, two.client("bob").await);
    let ack = alice.write(direct("bob", "hello")).await;
    for client in [&mut bob, &mut bobs_phone] {
        let message = client.expect("direct").await;
        assert_eq!((&message["seq"], &message["from"]), (&ack["seq"], &json!("alice")));
    }
    for client in [&mut alice, &mut elsewhere] {
        let copy = client.expect("direct").await;
        assert_eq!((&copy["content"], &copy["seq"]), (&json!("hello"), &Value::Null));
    }
}

#[tokio::test]
async fn it_is_kept_until_it_is_seen_at_any_node() {
    let redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let mut alice = one.client("alice").await;
    for text in ["first", "second"] {
        alice.write(direct("bob", text)).await;
    }
    let mut bob = two.client("bob").await;
    assert_eq!(bob.welcome["inbox"]["seq"], 0);
    for seq in [1, 2] {
        assert_eq!(bob.expect("direct").await["seq"], seq);
    }
    bob.ask(json!({"type": "seen", "seq": 1}), "ack").await;
    bob.leave().await;
    let mut bob = one.client("bob").await;
    assert_eq!(bob.welcome["inbox"]["seq"], 1);
    assert_eq!(bob.expect("direct").await["content"], "second");
    bob.ask(json!({"type": "seen", "seq": 100}), "ack").await;
    let mut bob = two.client("bob").await;
    assert_eq!(bob.welcome["inbox"]["seq"], 2);
    let rest = bob.settle().await;
    assert!(rest.iter().all(|message| message["type"] != "direct"), "{rest:?}");
}

#[tokio::test]
async fn the_first_message_after_redis_lost_its_data_comes_at_once() {
    let redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let (mut alice, mut bob) = (one.client("alice").await, two.client("bob").await);
    let mut bobs_phone = one.client("bob").await;
    let before = alice.write(direct("bob", "old")).await;
    for client in [&mut bob, &mut bobs_phone] {
        let message = client.expect("direct").await;
        assert_eq!((&message["epoch"], &message["seq"]), (&before["epoch"], &json!(1)));
    }
    // The connections stay, and nobody looks at the inbox before the next write.
    redis.command(&["FLUSHALL"]);
    let after = alice.write(direct("bob", "new")).await;
    assert_ne!(after["epoch"], before["epoch"]);
    for client in [&mut bob, &mut bobs_phone] {
        let message = client.expect("direct").await;
        assert_eq!((&message["epoch"], &message["seq"]), (&after["epoch"], &json!(1)));
        assert_eq!(message["content"], "new");
    }
    // And live from then on, each once.
    alice.write(direct("bob", "next")).await;
    for client in [&mut bob, &mut bobs_phone] {
        let message = client.expect("direct").await;
        assert_eq!((&message["seq"], &message["content"]), (&json!(2), &json!("next")));
    }
    // What was seen in the old log says nothing of the new one.
    let place = |ack: &Value, seq: u64| json!({"type": "seen", "epoch": ack["epoch"], "seq": seq});
    bob.ask(place(&before, 1), "ack").await;
    let mut again = one.client("bob").await;
    assert_eq!(again.welcome["inbox"], json!({"epoch": after["epoch"], "seq": 0}));
    assert_eq!(again.expect("direct").await["content"], "new");
    bob.ask(place(&after, 2), "ack").await;
    let again = one.client("bob").await;
    assert_eq!(again.welcome["inbox"], json!({"epoch": after["epoch"], "seq": 2}));
}

#[tokio::test]
async fn messages_written_at_once_after_redis_restarted_empty_come_live() {
    let mut redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let mut alice = one.client("alice").await;
    let mut users = Vec::new();
    for n in 0..8 {
        let name = format!("user-{n}");
        let client = if n % 2 == 0 { one.client(&name).await } else { two.client(&name).await };
        alice.write(direct(&name, "old")).await;
        users.push((name, client));
    }
    redis.restart_empty().await;
    let mut acks = Vec::new();
    for (name, _) in &users {
        // As soon as a node takes it, whoever has heard of the loss by then.
        let ack = eventually("the message to be taken", async || {
            let answer = alice.request(direct(name, "new")).await;
            (answer["type"] == "ack").then_some(answer)
        })
        .await;
        acks.push(ack);
    }
    for ((_, client), ack) in users.iter_mut().zip(&acks) {
        let message = client.until(|message| message["content"] == "new").await;
        assert_eq!(message["epoch"], ack["epoch"], "{message}");
    }
    until_ready(&two, true).await;
}
