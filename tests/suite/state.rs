//! `set`: shared state, last writer wins or compare-and-set.

use serde_json::{Value, json};

use crate::harness::{Client, TestApp, came, seqs};

fn set(value: Value, if_version: u64) -> Value {
    json!({"type": "set", "room": "dash", "key": "k", "value": value, "if_version": if_version})
}

async fn state(client: &mut Client) -> Value {
    client.join("dash").await["state"].take()
}

#[tokio::test]
async fn a_set_is_acknowledged_and_reaches_every_member() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let joined = alice.join("dash").await;
    assert_eq!(joined["state"], json!({}));
    let mut bob = app.member("bob", "dash").await;
    let value = json!({"cpu": [1, 2.5, null]});
    let ack = alice.set("dash", "load", value.clone()).await;
    assert_eq!((&ack["seq"], &ack["epoch"]), (&json!(1), &joined["epoch"]));
    for client in [&mut alice, &mut bob] {
        let message = client.expect("set").await;
        assert_eq!(message["room"], "dash");
        assert_eq!((&message["seq"], &message["version"]), (&json!(1), &json!(1)));
        assert_eq!((&message["user"], &message["key"]), (&json!("alice"), &json!("load")));
        assert_eq!(message["value"], value);
        assert!(message["timestamp"].is_u64(), "{message}");
    }
}

#[tokio::test]
async fn the_last_writer_wins_and_joined_carries_the_state() {
    let app = TestApp::spawn("").await;
    let mut alice = app.member("alice", "dash").await;
    let mut bob = app.member("bob", "dash").await;
    alice.set("dash", "a", json!(1)).await;
    bob.set("dash", "a", json!(2)).await;
    alice.set("dash", "b", json!("x")).await;
    let expected = json!({"a": {"value": 2, "version": 2}, "b": {"value": "x", "version": 3}});
    assert_eq!(state(&mut app.client("carol").await).await, expected);
}

#[tokio::test]
async fn null_deletes() {
    let app = TestApp::spawn("").await;
    let mut alice = app.member("alice", "dash").await;
    alice.set("dash", "k", json!(1)).await;
    alice.set("dash", "other", json!(false)).await;
    alice.set("dash", "k", json!(null)).await;
    let deleted = alice.until(|m| m["type"] == "set" && m["seq"] == 3).await;
    assert_eq!((&deleted["key"], &deleted["value"]), (&json!("k"), &json!(null)));
    let expected = json!({"other": {"value": false, "version": 2}});
    assert_eq!(state(&mut app.client("bob").await).await, expected);
}

#[tokio::test]
async fn compare_and_set_succeeds_on_the_version_and_conflicts_on_another() {
    let app = TestApp::spawn("").await;
    let mut alice = app.member("alice", "dash").await;
    assert_eq!(alice.write(set(json!("one"), 0)).await["seq"], 1);
    assert_eq!(alice.write(set(json!("two"), 1)).await["seq"], 2);
    for stale in [0, 1, 3] {
        let error = alice.refused(set(json!("lost"), stale), "conflict").await;
        assert_eq!(error["current"], json!({"value": "two", "version": 2}), "{error}");
    }
    // A conflict takes no seq.
    assert_eq!(alice.write(set(json!("three"), 2)).await["seq"], 3);
    let expected = json!({"k": {"value": "three", "version": 3}});
    assert_eq!(state(&mut app.client("bob").await).await, expected);
}

#[tokio::test]
async fn a_conflict_on_an_absent_key_shows_null_and_version_0() {
    let app = TestApp::spawn("").await;
    let mut alice = app.member("alice", "dash").await;
    let absent = json!({"value": null, "version": 0});
    let error = alice.refused(set(json!(1), 7), "conflict").await;
    assert_eq!(error["current"], absent);

    alice.write(set(json!(1), 0)).await;
    alice.set("dash", "k", json!(null)).await;
    let error = alice.refused(set(json!(1), 1), "conflict").await;
    assert_eq!(error["current"], absent);
    // After a delete, 0 matches.
    alice.write(set(json!(2), 0)).await;
}

#[tokio::test]
async fn a_retried_compare_and_set_that_had_succeeded_is_a_duplicate_and_no_conflict() {
    let app = TestApp::spawn("").await;
    let mut alice = app.member("alice", "dash").await;
    let mut message = set(json!("mine"), 0);
    message["nonce"] = json!("n");
    let first = alice.write(message.clone()).await;
    alice.set("dash", "k", json!("newer")).await;
    let mut again = app.member("alice", "dash").await;
    let retry = again.write(message).await;
    assert_eq!((&retry["duplicate"], &retry["seq"]), (&json!(true), &first["seq"]));
    let expected = json!({"k": {"value": "newer", "version": 2}});
    assert_eq!(state(&mut again).await, expected);
}

#[tokio::test]
async fn of_rivals_for_one_version_exactly_one_wins() {
    let app = TestApp::spawn("limits.messages_per_second = 1000").await;
    const RIVALS: usize = 6;
    const ROUNDS: u64 = 20;
    let mut rivals = Vec::new();
    for number in 0..RIVALS {
        rivals.push(app.member(&format!("rival-{number}"), "dash").await);
    }
    for version in 0..ROUNDS {
        for rival in &mut rivals {
            let mut message = set(json!(rival.session()), version);
            message["id"] = json!(version);
            rival.send(&message).await;
        }
        let mut winners = 0;
        for rival in &mut rivals {
            let reply = rival.until(|m| m["id"] == version).await;
            if reply["type"] == "ack" {
                assert_eq!(reply["seq"], version + 1);
                winners += 1;
            } else {
                assert_eq!(reply["code"], "conflict", "{reply}");
                assert_eq!(reply["current"]["version"], version + 1, "{reply}");
            }
        }
        assert_eq!(winners, 1);
    }
}

#[tokio::test]
async fn sets_stand_in_the_log_as_they_came_live() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let start = crate::harness::since(&alice.join("dash").await);
    alice.set("dash", "k", json!(1)).await;
    let live = alice.expect("set").await;
    alice.set("dash", "k", json!(2)).await;
    let mut bob = app.client("bob").await;
    let joined = bob.resume("dash", &start).await;
    assert_eq!(seqs(&joined["messages"]), [1, 2]);
    assert_eq!(joined["messages"][0], live);
    assert_eq!(bob.history("dash", json!({})).await["messages"][0], live);
}

#[tokio::test]
async fn keys_and_bytes_of_a_room_s_state_are_bounded() {
    let app = TestApp::spawn("rooms.state_keys = 3\nrooms.state_bytes = 1000").await;
    let mut alice = app.member("alice", "dash").await;
    for key in ["a", "b", "c"] {
        alice.set("dash", key, json!(1)).await;
    }
    let fourth = json!({"type": "set", "room": "dash", "key": "d", "value": 1});
    alice.refused(fourth.clone(), "too_large").await;
    let big = json!({"type": "set", "room": "dash", "key": "a", "value": "x".repeat(1001)});
    alice.refused(big, "too_large").await;
    // A refusal takes no seq, and a delete makes room.
    assert_eq!(alice.set("dash", "c", json!(null)).await["seq"], 4);
    alice.write(fourth).await;
}

/// A message that carries a part of a large state, and how much of it.
fn part(message: &Value) -> (usize, &serde_json::Map<String, Value>) {
    (message.to_string().len(), message["state"].as_object().expect("state is an object"))
}

#[tokio::test]
async fn a_large_state_comes_in_pages_before_anything_else_of_the_room() {
    let app = TestApp::spawn("limits.messages_per_second = 10000").await;
    let mut alice = app.member("alice", "dash").await;
    for number in 0..20 {
        let value = number.to_string().repeat(30_000);
        alice.set("dash", &format!("key-{number}"), json!(value)).await;
    }
    let mut bob = app.connect("bob").receive_buffer(4096).client().await;
    bob.send(&json!({"type": "join", "room": "dash", "id": "j"})).await;
    // What is written while the pages are on their way comes behind them.
    alice.until(|message| came(message, "bob")).await;
    alice.set("dash", "key-0", json!("new")).await;
    alice.chat("dash", "hello").await;

    let joined = bob.expect("joined").await;
    assert_eq!((&joined["id"], &joined["state_more"]), (&json!("j"), &json!(true)));
    let mut all = serde_json::Map::new();
    let mut page = joined;
    let mut pages = 1;
    loop {
        let (size, state) = part(&page);
        assert!(size < 300 * 1024, "a page of {size} bytes");
        assert!(!state.is_empty());
        all.extend(state.clone());
        if page["type"] == "state" && page["more"] == false {
            break;
        }
        page = bob.next().await;
        assert_eq!((&page["type"], &page["room"]), (&json!("state"), &json!("dash")));
        pages += 1;
    }
    assert!(pages > 2, "{pages}");
    assert_eq!(all.len(), 20);
    for (key, held) in &all {
        let number = &key["key-".len()..];
        if held["value"] != "new" {
            assert_eq!(held["value"], number.repeat(30_000));
        }
    }
    assert_eq!(bob.expect("chat").await["content"], "hello");
}
