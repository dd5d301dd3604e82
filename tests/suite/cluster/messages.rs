//! Logs, shared state and what is not stored: the same on every node.

use serde_json::{Value, json};

use crate::harness::{Client, RedisServer, TestApp, nodes, seqs, since};

async fn three() -> (RedisServer, [TestApp; 3]) {
    let redis = RedisServer::start().await;
    let nodes = nodes(&redis.url()).await;
    (redis, nodes)
}

async fn two() -> (RedisServer, [TestApp; 2]) {
    let redis = RedisServer::start().await;
    let nodes = nodes(&redis.url()).await;
    (redis, nodes)
}

async fn chat_at(client: &mut Client, seq: &Value) -> Value {
    client.until(|message| message["type"] == "chat" && message["seq"] == *seq).await
}

#[tokio::test]
async fn members_of_all_nodes_read_one_log() {
    let (_redis, nodes) = three().await;
    let mut members = Vec::new();
    for (node, user) in nodes.iter().zip(["alice", "bob", "carol"]) {
        let mut client = node.client(user).await;
        let joined = client.join("lobby").await;
        members.push((client, joined["epoch"].clone()));
    }
    assert!(members.iter().all(|(_, epoch)| *epoch == members[0].1), "one epoch");
    for writer in 0..3 {
        let (client, epoch) = &mut members[writer];
        let ack = client.chat("lobby", "hello").await;
        assert_eq!((&ack["seq"], &ack["epoch"]), (&json!(writer + 1), &*epoch));
        let mut copies = Vec::new();
        for (member, _) in &mut members {
            copies.push(chat_at(member, &ack["seq"]).await);
        }
        assert!(copies.iter().all(|copy| *copy == copies[0]), "{copies:?}");
    }
    // An application's own event is in the same log.
    let event = json!({"type": "publish", "room": "lobby", "event": "e", "data": {"n": [1, null]}});
    let ack = members[0].0.write(event).await;
    let heard = members[2].0.expect("event").await;
    assert_eq!((&heard["seq"], &heard["data"]), (&ack["seq"], &json!({"n": [1, null]})));
    // And the whole log can be read anywhere, from the first entry on.
    let mut pages = Vec::new();
    for (member, epoch) in &mut members {
        let page = member.history("lobby", json!({"after": 0})).await;
        assert_eq!((seqs(&page["messages"]), &page["epoch"]), (vec![1, 2, 3, 4], &*epoch));
        pages.push(page["messages"].clone());
    }
    assert!(pages.iter().all(|page| *page == pages[0]), "{pages:?}");
}

#[tokio::test]
async fn many_members_hear_many_writers_once_and_in_one_order() {
    let (_redis, [one, two]) = two().await;
    let mut members = Vec::new();
    for number in 0..20 {
        let node = if number % 2 == 0 { &one } else { &two };
        members.push(node.member(&format!("user-{number}"), "lobby").await);
    }
    let writers = (0..4).map(|writer| {
        let node = if writer % 2 == 0 { &one } else { &two };
        async move {
            let mut client = node.member(&format!("writer-{writer}"), "lobby").await;
            for number in 0..50 {
                client.chat("lobby", &format!("{writer}:{number}")).await;
            }
        }
    });
    futures_util::future::join_all(writers).await;
    let mut logs = Vec::new();
    for member in &mut members {
        chat_at(member, &json!(200)).await;
        let mut log: Vec<Value> = Vec::new();
        // What came before it; the last one was just taken out.
        log.extend(member.settle().await.into_iter().filter(|it| it["type"] == "chat"));
        assert_eq!(seqs(&json!(log)), (1..200).collect::<Vec<_>>());
        logs.push(log);
    }
    assert!(logs.iter().all(|log| *log == logs[0]), "the same log for everyone");
    for writer in 0..4 {
        let prefix = format!("{writer}:");
        let own: Vec<&str> = logs[0]
            .iter()
            .filter_map(|message| message["content"].as_str()?.strip_prefix(&prefix))
            .collect();
        let due: Vec<String> = (0..own.len()).map(|number| number.to_string()).collect();
        assert_eq!(own, due, "what one session wrote keeps its order");
    }
}

#[tokio::test]
async fn a_nonce_is_known_on_every_node() {
    let (_redis, [one, two]) = two().await;
    let (mut here, mut there) =
        (one.member("alice", "lobby").await, two.member("alice", "lobby").await);
    let message = json!({"type": "chat", "room": "lobby", "content": "once", "nonce": "n"});
    let first = here.write(message.clone()).await;
    assert_ne!(first["duplicate"], true);
    let again = there.write(message.clone()).await;
    assert_eq!((&again["seq"], &again["duplicate"]), (&first["seq"], &json!(true)));
    assert_eq!(again["epoch"], first["epoch"]);
    // Another user's nonce is another one.
    let other = two.member("bob", "lobby").await.write(message).await;
    assert_eq!((&other["seq"], &other["duplicate"]), (&json!(2), &Value::Null));
}

#[tokio::test]
async fn shared_state_is_compared_and_set_across_nodes() {
    let (_redis, [one, two]) = two().await;
    let (mut alice, mut bob) = (one.member("alice", "dash").await, two.member("bob", "dash").await);
    let version = alice.set("dash", "k", json!({"n": 1})).await["seq"].clone();
    let heard = bob.until(|m| m["type"] == "set" && m["key"] == "k").await;
    assert_eq!((&heard["version"], &heard["value"]), (&version, &json!({"n": 1})));
    let compare = |value: u64, version: &Value| {
        json!({
            "type": "set", "room": "dash", "key": "k", "value": value, "if_version": version
        })
    };
    let refused = bob.refused(compare(2, &json!(0)), "conflict").await;
    assert_eq!(refused["current"], json!({"value": {"n": 1}, "version": version}));
    // Of two who compare with the same version on two nodes, one succeeds.
    let replies = futures_util::future::join(
        alice.request(compare(3, &version)),
        bob.request(compare(4, &version)),
    );
    let (here, there) = replies.await;
    let (won, lost, value) =
        if here["type"] == "ack" { (here, there, 3) } else { (there, here, 4) };
    assert_eq!((&won["type"], &lost["code"]), (&json!("ack"), &json!("conflict")));
    assert_eq!(lost["current"], json!({"value": value, "version": won["seq"]}));
    let joined = two.client("carol").await.join("dash").await;
    assert_eq!(joined["state"], json!({"k": {"value": value, "version": won["seq"]}}));
    bob.set("dash", "k", Value::Null).await;
    let joined = one.client("dave").await.join("dash").await;
    assert_eq!(joined["state"], json!({}));
}

#[tokio::test]
async fn signals_and_typing_reach_the_other_members() {
    let (_redis, [one, two]) = two().await;
    let (mut alice, mut bob) =
        (one.member("alice", "lobby").await, two.member("bob", "lobby").await);
    let signal = json!({"type": "signal", "room": "lobby", "event": "cursor", "data": [1, 2]});
    alice.ask(signal, "ack").await;
    let heard = bob.expect("signal").await;
    assert_eq!((&heard["user"], &heard["data"]), (&json!("alice"), &json!([1, 2])));
    bob.ask(json!({"type": "typing", "room": "lobby", "active": true}), "ack").await;
    let heard = alice.expect("typing").await;
    assert_eq!((&heard["user"], &heard["active"]), (&json!("bob"), &json!(true)));
    // Not to the one who said it, and stored nowhere.
    for client in [&mut alice, &mut bob] {
        let rest = client.settle().await;
        assert!(rest.iter().all(|m| m["type"] != "signal" && m["type"] != "typing"), "{rest:?}");
    }
    assert_eq!(alice.history("lobby", json!({})).await["messages"], json!([]));
}

#[tokio::test]
async fn a_session_goes_on_at_another_node() {
    let (_redis, [one, two]) = two().await;
    let (mut alice, mut bob) =
        (one.member("alice", "lobby").await, one.member("bob", "lobby").await);
    let place = since(&bob.chat("lobby", "heard").await);
    chat_at(&mut alice, &json!(1)).await;
    alice.wire.cut();
    for text in ["missed 1", "missed 2"] {
        bob.chat("lobby", text).await;
    }
    let mut alice = two.client("alice").await;
    let joined = alice.resume("lobby", &place).await;
    assert_eq!((&joined["recovered"], seqs(&joined["messages"])), (&json!(true), vec![2, 3]));
    let seq = bob.chat("lobby", "live").await["seq"].clone();
    assert_eq!(chat_at(&mut alice, &seq).await["content"], "live");
    let rest = alice.settle().await;
    assert!(rest.iter().all(|message| message["type"] != "chat"), "{rest:?}");
}

#[tokio::test]
async fn what_a_session_left_out_stays_out_at_another_node() {
    let (_redis, [one, two]) = two().await;
    let mut alice = one.client("alice").await;
    let place = since(&alice.join("lobby").await);
    let mut bob = two.member("bob", "lobby").await;
    let quiet = json!({"type": "chat", "room": "lobby", "content": "quiet", "echo": false});
    alice.write(quiet).await;
    alice.chat("lobby", "loud").await;
    assert_eq!(chat_at(&mut bob, &json!(1)).await["content"], "quiet");
    let session = alice.session().to_owned();
    alice.wire.cut();
    let mut again = two.connect("alice").query("session", &session).client().await;
    assert_eq!(again.session(), session);
    let joined = again.resume("lobby", &place).await;
    assert_eq!((&joined["recovered"], seqs(&joined["messages"])), (&json!(true), vec![2]));
    // Another session of the same user reads it.
    let joined = one.client("alice").await.resume("lobby", &place).await;
    assert_eq!(seqs(&joined["messages"]), [1, 2]);
}
