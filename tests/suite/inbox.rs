//! `direct` and `seen`: a user's inbox.

use serde_json::{Value, json};

use crate::harness::{Client, TestApp, eventually};

async fn direct(client: &mut Client, to: &str, content: &str) -> Value {
    client.write(json!({"type": "direct", "to": to, "content": content})).await
}

async fn seen(client: &mut Client, seq: u64) {
    client.ask(json!({"type": "seen", "seq": seq}), "ack").await;
}

/// The direct messages that wait for `user`, as a new connection gets them.
async fn waiting(app: &TestApp, user: &str) -> (Client, Vec<Value>) {
    let mut client = app.client(user).await;
    let mut messages = client.settle().await;
    messages.retain(|m| m["type"] == "direct");
    (client, messages)
}

fn contents(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|m| m["content"].as_str().expect("content is text")).collect()
}

#[tokio::test]
async fn a_direct_reaches_all_sessions_of_both_users_and_nobody_else() {
    let app = TestApp::spawn("").await;
    let (mut alice, mut phone) = (app.client("alice").await, app.client("alice").await);
    let (mut bob, mut tablet) = (app.client("bob").await, app.client("bob").await);
    let mut carol = app.client("carol").await;
    let ack = direct(&mut alice, "bob", "psst").await;
    assert_eq!(ack["seq"], 1);
    for client in [&mut bob, &mut tablet] {
        let message = client.expect("direct").await;
        assert_eq!((&message["from"], &message["to"]), (&json!("alice"), &json!("bob")));
        assert_eq!((&message["content"], &message["seq"]), (&json!("psst"), &json!(1)));
        assert_eq!(message["epoch"], ack["epoch"]);
        assert!(message["timestamp"].is_u64(), "{message}");
    }
    for client in [&mut alice, &mut phone] {
        let copy = client.expect("direct").await;
        assert_eq!((&copy["from"], &copy["to"]), (&json!("alice"), &json!("bob")));
        assert_eq!(copy["content"], "psst");
        assert!(copy.get("seq").is_none(), "the sender's copy carries no seq: {copy}");
        assert!(copy.get("epoch").is_none(), "{copy}");
    }
    let heard = carol.settle().await;
    assert!(!heard.iter().any(|m| m["type"] == "direct"), "{heard:?}");
}

#[tokio::test]
async fn a_direct_may_carry_an_event_and_data() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let mut bob = app.client("bob").await;
    let message = json!({"type": "direct", "to": "bob", "event": "invite", "data": null});
    alice.write(message).await;
    let message = bob.expect("direct").await;
    assert_eq!((&message["event"], message.get("data")), (&json!("invite"), Some(&json!(null))));
    assert!(message.get("content").is_none(), "{message}");
}

#[tokio::test]
async fn unseen_messages_come_after_the_next_welcome_until_they_are_seen() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    for (content, seq) in [("one", 1), ("two", 2), ("three", 3)] {
        assert_eq!(direct(&mut alice, "bob", content).await["seq"], seq);
    }
    let (bob, messages) = waiting(&app, "bob").await;
    assert_eq!(bob.welcome["inbox"]["seq"], 0);
    assert_eq!(contents(&messages), ["one", "two", "three"]);
    assert_eq!(messages[1]["seq"], 2);
    assert_eq!(messages[1]["from"], "alice");

    // Delivered is not seen: they come again, to any connection.
    let (mut bob, messages) = waiting(&app, "bob").await;
    assert_eq!(contents(&messages), ["one", "two", "three"]);
    seen(&mut bob, 2).await;

    let (mut bob, messages) = waiting(&app, "bob").await;
    assert_eq!(bob.welcome["inbox"]["seq"], 2);
    assert_eq!(contents(&messages), ["three"]);
    seen(&mut bob, 3).await;
    let (bob, messages) = waiting(&app, "bob").await;
    assert_eq!(bob.welcome["inbox"]["seq"], 3);
    assert!(messages.is_empty(), "{messages:?}");
    // What one sent is not in one's own inbox.
    let (alice, messages) = waiting(&app, "alice").await;
    assert_eq!(alice.welcome["inbox"]["seq"], 0);
    assert!(messages.is_empty(), "{messages:?}");
}

#[tokio::test]
async fn seen_beyond_the_end_counts_as_the_end() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    direct(&mut alice, "bob", "one").await;
    let mut bob = app.client("bob").await;
    seen(&mut bob, 1000).await;
    assert_eq!(app.client("bob").await.welcome["inbox"]["seq"], 1);
    direct(&mut alice, "bob", "two").await;
    let (_, messages) = waiting(&app, "bob").await;
    assert_eq!(contents(&messages), ["two"]);
}

#[tokio::test]
async fn a_direct_with_a_nonce_is_delivered_once() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let message = json!({"type": "direct", "to": "bob", "content": "once", "nonce": "n"});
    let first = alice.write(message.clone()).await;
    let retry = app.client("alice").await.write(message.clone()).await;
    assert_eq!((&retry["duplicate"], &retry["seq"]), (&json!(true), &first["seq"]));
    let mut mallory = app.client("mallory").await;
    assert_eq!(mallory.write(message).await["seq"], 2);
    let (_, messages) = waiting(&app, "bob").await;
    let senders: Vec<_> = messages.iter().map(|m| &m["from"]).collect();
    assert_eq!(senders, ["alice", "mallory"]);
}

#[tokio::test]
async fn an_inbox_keeps_its_newest_messages_up_to_its_size() {
    let app = TestApp::spawn("inbox.size = 3").await;
    let mut alice = app.client("alice").await;
    for content in ["one", "two", "three", "four", "five"] {
        direct(&mut alice, "bob", content).await;
    }
    let (_, messages) = waiting(&app, "bob").await;
    assert_eq!(contents(&messages), ["three", "four", "five"]);
    assert_eq!(messages[0]["seq"], 3);
}

#[tokio::test]
async fn unseen_messages_end_with_their_time_to_live() {
    let app = TestApp::spawn("inbox.ttl = \"300ms\"").await;
    let mut alice = app.client("alice").await;
    direct(&mut alice, "bob", "soon gone").await;
    eventually("the message to end", async || {
        waiting(&app, "bob").await.1.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn directs_of_one_sender_keep_their_order_among_waiting_and_live_ones() {
    let app = TestApp::spawn("limits.messages_per_second = 1000\ninbox.size = 1000").await;
    let mut alice = app.client("alice").await;
    let (mut bob, mut numbers) = (None, Vec::new());
    for number in 0..100 {
        if number == 50 {
            bob = Some(app.client("bob").await);
        }
        direct(&mut alice, "bob", &number.to_string()).await;
    }
    let mut bob = bob.expect("bob came at half time");
    while numbers.len() < 100 {
        numbers.push(bob.expect("direct").await["seq"].as_u64().unwrap());
    }
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn seen_with_a_place_of_another_log_marks_nothing() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let epoch = direct(&mut alice, "bob", "one").await["epoch"].clone();
    let (mut bob, messages) = waiting(&app, "bob").await;
    assert_eq!((&messages[0]["epoch"], &bob.welcome["inbox"]["epoch"]), (&epoch, &epoch));
    let other = json!({"type": "seen", "seq": 1, "epoch": "0123456789abcdef"});
    bob.ask(other, "ack").await;
    let (mut bob, messages) = waiting(&app, "bob").await;
    assert_eq!(contents(&messages), ["one"]);
    bob.refused(json!({"type": "seen", "seq": 1, "epoch": "x"}), "bad_message").await;
    bob.refused(json!({"type": "seen", "seq": 1, "epoch": 7}), "bad_message").await;
    bob.ask(json!({"type": "seen", "seq": 1, "epoch": epoch}), "ack").await;
    let (bob, messages) = waiting(&app, "bob").await;
    assert_eq!((&bob.welcome["inbox"]["seq"], messages.len()), (&json!(1), 0));
}
