//! Direct messages between users of different nodes.

use serde_json::{Value, json};

use crate::harness::{RedisServer, nodes};

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
