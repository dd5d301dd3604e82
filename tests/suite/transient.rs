//! `signal`, `typing` and the latest lane: values may be skipped, never the
//! last.

use serde_json::{Value, json};

use crate::harness::{Client, TestApp};

/// So long that a burst falls into few flushes.
const SLOW_FLUSH: &str = "limits.messages_per_second = 1000\noutbound.coalesce = \"700ms\"";
const BURST: u64 = 30;

fn signal(event: &str, data: Value) -> Value {
    json!({"type": "signal", "room": "lobby", "event": event, "data": data})
}

fn typing(active: bool) -> Value {
    json!({"type": "typing", "room": "lobby", "active": active})
}

async fn pair(app: &TestApp) -> (Client, Client) {
    (app.member("alice", "lobby").await, app.member("bob", "lobby").await)
}

fn of_type<'a>(messages: &'a [Value], kind: &str) -> Vec<&'a Value> {
    messages.iter().filter(|m| m["type"] == kind).collect()
}

/// The fan-out goes by so many members at a time, and by the rest.
#[tokio::test]
async fn every_member_of_a_larger_room_is_told_each_thing_once() {
    // One worker, so that one fan-out has all the members.
    let app = TestApp::spawn("server.workers = 1").await;
    let mut members = Vec::new();
    for number in 0..37 {
        members.push(app.member(&format!("user-{number}"), "lobby").await);
    }
    for member in &mut members {
        // Whoever came after is among what it has been told by now.
        while member.members("lobby").await["count"] != 37 {}
        member.settle().await;
    }
    members[20].chat("lobby", "to all").await;
    members[21].set("lobby", "k", json!(7)).await;
    members[22].send(&signal("cursor", json!(1))).await;
    for (number, member) in members.iter_mut().enumerate() {
        let (mut told, ours) =
            (Vec::new(), [("chat", true), ("set", true), ("signal", number != 22)]);
        let awaited = ours.iter().filter(|(_, told)| *told).count();
        while told.len() < awaited {
            let message = member.next().await;
            told.extend(
                message["type"].as_str().filter(|kind| *kind != "presence").map(String::from),
            );
        }
        told.sort_unstable();
        let expected: Vec<_> =
            ours.iter().filter(|(_, told)| *told).map(|(kind, _)| *kind).collect();
        assert_eq!(told, expected, "member {number}");
        assert_eq!(member.settle().await.len(), 0, "member {number}");
    }
}

#[tokio::test]
async fn a_signal_reaches_the_other_members() {
    let app = TestApp::spawn("").await;
    let (mut alice, mut bob) = pair(&app).await;
    let ack = alice.ask(signal("cursor", json!({"x": 1})), "ack").await;
    assert!(ack.get("seq").is_none(), "a signal is not in the log: {ack}");
    let received = bob.expect("signal").await;
    assert_eq!((&received["room"], &received["user"]), (&json!("lobby"), &json!("alice")));
    assert_eq!((&received["event"], &received["data"]), (&json!("cursor"), &json!({"x": 1})));
    assert_eq!(of_type(&alice.settle().await, "signal"), [&Value::Null; 0]);
}

#[tokio::test]
async fn typing_reaches_the_other_members() {
    let app = TestApp::spawn("").await;
    let (mut alice, mut bob) = pair(&app).await;
    for active in [true, false] {
        alice.ask(typing(active), "ack").await;
        let received = bob.until(|m| m["type"] == "typing" && m["active"] == active).await;
        assert_eq!((&received["room"], &received["user"]), (&json!("lobby"), &json!("alice")));
    }
    assert_eq!(of_type(&alice.settle().await, "typing"), [&Value::Null; 0]);
}

#[tokio::test]
async fn signals_and_typing_are_not_stored() {
    let app = TestApp::spawn("").await;
    let (mut alice, _bob) = pair(&app).await;
    alice.ask(signal("cursor", json!(1)), "ack").await;
    alice.ask(typing(true), "ack").await;
    let mut carol = app.client("carol").await;
    let join = json!({"type": "join", "room": "lobby", "history": 10});
    let joined = carol.ask(join, "joined").await;
    assert_eq!((&joined["messages"], &joined["seq"]), (&json!([]), &json!(0)));
    let seen = carol.settle().await;
    assert!(!seen.iter().any(|m| m["type"] == "signal" || m["type"] == "typing"), "{seen:?}");
}

#[tokio::test]
async fn of_signals_the_latest_per_user_and_event_arrives() {
    let app = TestApp::spawn(SLOW_FLUSH).await;
    let (mut alice, mut bob) = pair(&app).await;
    let mut carol = app.member("carol", "lobby").await;
    bob.settle().await;
    for number in 1..=BURST {
        alice.send(&signal("cursor", json!(number))).await;
        carol.send(&signal("cursor", json!(-(number as i64)))).await;
    }
    alice.ask(signal("scroll", json!("once")), "ack").await;
    carol.ask(signal("scroll", json!("once too")), "ack").await;

    let seen = bob.settle().await;
    let signals = of_type(&seen, "signal");
    let last = |user: &str, event: &str| {
        let mut of_both = signals.iter().rev().filter(|m| m["user"] == user && m["event"] == event);
        of_both.next().map(|m| m["data"].clone())
    };
    assert_eq!(last("alice", "cursor"), Some(json!(BURST)), "{signals:?}");
    assert_eq!(last("carol", "cursor"), Some(json!(-(BURST as i64))), "{signals:?}");
    assert_eq!(last("alice", "scroll"), Some(json!("once")));
    assert_eq!(last("carol", "scroll"), Some(json!("once too")));
    assert!(signals.len() < BURST as usize, "{} signals came one by one", signals.len());
}

#[tokio::test]
async fn of_sets_the_latest_per_key_arrives() {
    let app = TestApp::spawn(SLOW_FLUSH).await;
    let (mut alice, mut bob) = pair(&app).await;
    bob.settle().await;
    for number in 1..=BURST {
        let set = |key: &str| json!({"type": "set", "room": "lobby", "key": key, "value": number});
        alice.send(&set("a")).await;
        alice.send(&set("b")).await;
    }
    alice.settle().await;
    let seen = bob.settle().await;
    let sets = of_type(&seen, "set");
    for (key, seq) in [("a", 2 * BURST - 1), ("b", 2 * BURST)] {
        let last = sets.iter().rev().find(|m| m["key"] == key).expect("a value arrives");
        assert_eq!((&last["value"], &last["seq"]), (&json!(BURST), &json!(seq)));
    }
    assert!(sets.len() < BURST as usize, "{} sets came one by one", sets.len());
    // The log has them all.
    assert_eq!(alice.history("lobby", json!({})).await["messages"].as_array().unwrap().len(), 50);
}

/// Writes 300 messages, each third a set to a key of its own, and then reads
/// them as another member: each set behind all reliable ones that are older.
async fn assert_sets_keep_behind_older(content: &str, receive_buffer: u32) {
    let app = TestApp::spawn(
        "limits.messages_per_second = 10000\noutbound.coalesce = \"1ms\"\n\
         outbound.reliable_bytes = 100000000",
    )
    .await;
    let mut alice = app.member("alice", "lobby").await;
    let mut bob = app.connect("bob").receive_buffer(receive_buffer).client().await;
    bob.join("lobby").await;
    for number in 1..=300 {
        let message = if number % 3 == 0 {
            json!({"type": "set", "room": "lobby", "key": number.to_string(), "value": 1, "id": 1})
        } else {
            json!({"type": "chat", "room": "lobby", "content": content, "echo": false, "id": 1})
        };
        alice.send(&message).await;
        alice.until(|m| m["id"] == 1).await;
    }
    let (mut reliable, mut sets) = (0, 0);
    while reliable < 200 || sets < 100 {
        let message = bob.next().await;
        let seq = message["seq"].as_u64();
        match message["type"].as_str() {
            Some("chat") => reliable += 1,
            Some("set") => {
                sets += 1;
                let older = seq.expect("a set has a seq") / 3 * 2;
                assert!(reliable >= older, "set {seq:?} came after {reliable} reliable messages");
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_set_never_comes_before_an_older_reliable_message() {
    assert_sets_keep_behind_older("x", 65_536).await;
}

#[tokio::test]
async fn a_set_never_comes_before_an_older_reliable_message_to_a_reader_that_lags() {
    // Far more than the kernel holds, so that both lanes fill.
    assert_sets_keep_behind_older(&"x".repeat(60_000), 4096).await;
}

#[tokio::test]
async fn nothing_up_to_joined_seq_comes_live_after_joined() {
    let app = TestApp::spawn(
        "limits.messages_per_second = 100000\noutbound.coalesce = \"20ms\"\nlimits.connects_per_second = 1000",
    )
    .await;
    let mut alice = app.member("alice", "lobby").await;
    for round in 0..20 {
        for number in 0..10 {
            let key = format!("k{number}");
            alice.send(&json!({"type": "set", "room": "lobby", "key": key, "value": round})).await;
        }
        let mut bob = app.client("bob").await;
        let joined = bob.join("lobby").await;
        let end = joined["seq"].as_u64().unwrap();
        // The state is at least as new as `seq`.
        for message in
            alice.history("lobby", json!({"before": end + 1})).await["messages"].as_array().unwrap()
        {
            let held = &joined["state"][message["key"].as_str().unwrap()]["version"];
            assert!(held.as_u64() >= message["seq"].as_u64(), "{message}: {joined}");
        }
        let seen = bob.settle().await;
        let old = seen.iter().find(|m| m["type"] == "set" && m["seq"].as_u64() <= Some(end));
        assert!(old.is_none(), "joined ended at {end}, and {old:?} came live");
        alice.settle().await;
    }
}
