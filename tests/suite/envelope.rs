//! What holds for every client message: `id`, its one reply, shapes, unknown
//! types and fields, room names.

use serde_json::{Value, json};
use std::collections::BTreeSet;

use crate::harness::{Client, TEXT, TestApp, frame};

/// So many messages in a row that the default rate would tell.
const PATIENT: &str = "limits.messages_per_second = 1000";

async fn assert_alive(client: &mut Client) {
    client.ask(json!({"type": "ping"}), "pong").await;
}

#[tokio::test]
async fn an_id_comes_back_as_it_was_sent() {
    let app = TestApp::spawn(PATIENT).await;
    let mut alice = app.client("alice").await;
    let longest = "🦀".repeat(64);
    for id in [
        json!(0),
        json!(-1),
        json!(9_007_199_254_740_992_i64),
        json!(-9_007_199_254_740_992_i64),
        json!("1"),
        json!("x"),
        json!(longest),
    ] {
        alice.send(&json!({"type": "ping", "id": id})).await;
        assert_eq!(alice.expect("pong").await["id"], id);
        alice.send(&json!({"type": "fly", "id": id})).await;
        assert_eq!(alice.expect("error").await["id"], id);
    }
}

#[tokio::test]
async fn any_other_id_is_bad_message_without_an_id_and_has_no_effect() {
    let app = TestApp::spawn(PATIENT).await;
    let mut alice = app.member("alice", "lobby").await;
    let too_long = "x".repeat(65);
    for id in [
        json!(9_007_199_254_740_993_i64),
        json!(-9_007_199_254_740_993_i64),
        json!(u64::MAX),
        json!(1.5),
        json!(true),
        json!(null),
        json!([1]),
        json!({}),
        json!(""),
        json!(too_long),
    ] {
        alice.send(&json!({"type": "chat", "room": "lobby", "content": "x", "id": id})).await;
        let error = alice.expect("error").await;
        assert_eq!(error["code"], "bad_message", "for id {id}");
        assert!(error.get("id").is_none(), "{error}");
    }
    assert_eq!(alice.chat("lobby", "the first").await["seq"], 1);
}

#[tokio::test]
async fn exactly_one_reply_carries_the_id() {
    let app = TestApp::spawn(PATIENT).await;
    let mut alice = app.client("alice").await;
    for message in [
        json!({"type": "join", "room": "lobby"}),
        json!({"type": "chat", "room": "lobby", "content": "x"}),
        json!({"type": "set", "room": "lobby", "key": "k", "value": 1}),
        json!({"type": "signal", "room": "lobby", "event": "e", "data": 1}),
        json!({"type": "typing", "room": "lobby", "active": true}),
        json!({"type": "direct", "to": "alice", "content": "x"}),
        json!({"type": "status", "status": "away"}),
        json!({"type": "presence", "room": "lobby"}),
        json!({"type": "watch", "users": ["alice"]}),
        json!({"type": "unwatch", "users": ["alice"]}),
        json!({"type": "history", "room": "lobby"}),
        json!({"type": "seen", "seq": 1}),
        json!({"type": "ping"}),
        json!({"type": "fly"}),
        json!({"type": "leave", "room": "lobby"}),
    ] {
        let reply = alice.request(message.clone()).await;
        let again = alice.settle().await;
        let twice = again.iter().find(|m| m["id"] == reply["id"]);
        assert!(twice.is_none(), "{message} was answered with {reply} and {twice:?}");
    }
}

/// Sends messages with the ids 0 to `count` in one write, and reads one reply to
/// each; gives how many of them were errors.
async fn errors_of_a_burst(client: &mut Client, count: u64, message: &Value) -> u64 {
    let mut bytes = Vec::new();
    for id in 0..count {
        let mut message = message.clone();
        message["id"] = json!(id);
        bytes.extend(frame(true, TEXT, message.to_string().as_bytes()));
    }
    client.wire.send(&bytes).await;
    let (mut answered, mut errors) = (BTreeSet::new(), 0);
    while (answered.len() as u64) < count {
        let reply = client.until(|m| m["id"].is_u64()).await;
        assert!(answered.insert(reply["id"].as_u64()), "answered twice: {reply}");
        errors += u64::from(reply["type"] == "error");
    }
    errors
}

#[tokio::test]
async fn every_message_of_a_burst_is_answered() {
    let app = TestApp::spawn("limits.messages_per_second = 1000").await;
    let mut alice = app.member("alice", "lobby").await;
    for (message, errors) in [
        (json!({"type": "ping"}), 0),
        (json!({"type": "fly"}), 200),
        (json!({"type": "chat", "room": "lobby", "content": "x"}), 0),
        (json!({"type": "presence", "room": "lobby"}), 0),
    ] {
        assert_eq!(errors_of_a_burst(&mut alice, 200, &message).await, errors, "{message}");
    }
}

#[tokio::test]
async fn every_message_of_a_burst_over_the_rate_is_answered() {
    let app = TestApp::spawn("limits.messages_per_second = 50").await;
    let mut alice = app.client("alice").await;
    let errors = errors_of_a_burst(&mut alice, 200, &json!({"type": "ping"})).await;
    // As many as the rate allows passed, and a few while they were handled.
    assert!((100..=150).contains(&errors), "{errors} of 200 were refused");
}

#[tokio::test]
async fn a_client_that_reads_late_finds_every_reply() {
    let app =
        TestApp::spawn("limits.messages_per_second = 10000\noutbound.reliable_bytes = 20000").await;
    let mut writer = app.member("writer", "lobby").await;
    for _ in 0..50 {
        writer.chat("lobby", &"x".repeat(1000)).await;
    }
    // 20 MB of replies: the server has to stop asking before it keeps them all.
    let mut late = app.connect("late").receive_buffer(4096).client().await;
    for id in 0..400 {
        late.send(&json!({"type": "history", "room": "lobby", "id": id})).await;
    }
    writer.chat("lobby", "meanwhile the room goes on").await;
    for id in 0..400 {
        let history = late.next().await;
        assert_eq!((&history["type"], &history["id"]), (&json!("history"), &json!(id)));
    }
}

#[tokio::test]
async fn without_an_id_no_ack_is_sent_and_the_other_replies_are() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    for (message, kind) in [
        (json!({"type": "join", "room": "lobby"}), "joined"),
        (json!({"type": "presence", "room": "lobby"}), "members"),
        (json!({"type": "history", "room": "lobby"}), "history"),
        (json!({"type": "watch", "users": ["bob"]}), "online"),
        (json!({"type": "refresh", "token": app.token("alice")}), "refreshed"),
        (json!({"type": "ping"}), "pong"),
        (json!({"type": "leave", "room": "lobby"}), "left"),
        (json!({"type": "chat", "room": "lobby", "content": "x"}), "error"),
    ] {
        alice.send(&message).await;
        let reply = alice.expect(kind).await;
        assert!(reply.get("id").is_none(), "{reply}");
    }
    alice.join("lobby").await;
    for message in [
        json!({"type": "chat", "room": "lobby", "content": "x"}),
        json!({"type": "publish", "room": "lobby", "event": "e", "data": 1}),
        json!({"type": "set", "room": "lobby", "key": "k", "value": 1}),
        json!({"type": "signal", "room": "lobby", "event": "e", "data": 1}),
        json!({"type": "typing", "room": "lobby", "active": true}),
        json!({"type": "direct", "to": "bob", "content": "x"}),
        json!({"type": "seen", "seq": 0}),
        json!({"type": "status", "status": "away"}),
        json!({"type": "unwatch", "users": ["bob"]}),
    ] {
        alice.send(&message).await;
    }
    let seen = alice.settle().await;
    assert!(!seen.iter().any(|m| m["type"] == "ack" || m["type"] == "error"), "{seen:?}");
    assert!(seen.iter().any(|m| m["type"] == "chat"), "{seen:?}");
}

#[tokio::test]
async fn text_that_is_no_json_is_bad_json_and_the_connection_stays() {
    let app = TestApp::spawn(PATIENT).await;
    let mut alice = app.client("alice").await;
    let deep = "[".repeat(20_000);
    for text in
        ["", "hello", "{\"type\":\"ping\"", "{\"type\":\"ping\"} x", "{'type':'ping'}", &deep]
    {
        alice.wire.send_text(text).await;
        let error = alice.expect("error").await;
        assert_eq!(error["code"], "bad_json", "for {:?}", text.get(..20));
    }
    assert_alive(&mut alice).await;
}

#[tokio::test]
async fn json_that_is_no_message_is_an_error_and_the_connection_stays() {
    let app = TestApp::spawn(PATIENT).await;
    let mut alice = app.client("alice").await;
    for text in ["null", "7", "\"ping\"", "[]", "[{\"type\":\"ping\"}]", "{}", "{\"type\":7}"] {
        alice.wire.send_text(text).await;
        let error = alice.expect("error").await;
        assert_eq!(error["code"], "bad_message", "for {text}");
    }
    assert_alive(&mut alice).await;
}

#[tokio::test]
async fn an_unknown_type_is_an_error_and_unknown_fields_are_ignored() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    alice.refused(json!({"type": "fly"}), "unknown_type").await;
    alice.refused(json!({"type": "welcome"}), "unknown_type").await;
    alice.ask(json!({"type": "ping", "colour": {"deep": [1]}}), "pong").await;
    alice.ask(json!({"type": "join", "room": "lobby", "seq": 5}), "joined").await;
}

#[tokio::test]
async fn a_missing_field_or_a_wrong_type_is_bad_message_and_names_the_field() {
    let app = TestApp::spawn(PATIENT).await;
    let mut alice = app.member("alice", "r").await;
    let long_nonce = "x".repeat(65);
    let cases: Vec<(&str, Value)> = vec![
        ("room", json!({"type": "join"})),
        ("room", json!({"type": "join", "room": 7})),
        ("since", json!({"type": "join", "room": "r", "since": 5})),
        ("seq", json!({"type": "join", "room": "r", "since": {"epoch": "e"}})),
        ("epoch", json!({"type": "join", "room": "r", "since": {"seq": 1}})),
        ("seq", json!({"type": "join", "room": "r", "since": {"epoch": "e", "seq": -1}})),
        ("history", json!({"type": "join", "room": "r", "history": "all"})),
        ("room", json!({"type": "leave"})),
        ("room", json!({"type": "chat", "content": "x"})),
        ("content", json!({"type": "chat", "room": "r"})),
        ("content", json!({"type": "chat", "room": "r", "content": 5})),
        ("content", json!({"type": "chat", "room": "r", "content": null})),
        ("nonce", json!({"type": "chat", "room": "r", "content": "x", "nonce": 5})),
        ("nonce", json!({"type": "chat", "room": "r", "content": "x", "nonce": long_nonce})),
        ("echo", json!({"type": "chat", "room": "r", "content": "x", "echo": "no"})),
        ("event", json!({"type": "publish", "room": "r", "data": 1})),
        ("event", json!({"type": "publish", "room": "r", "event": 1, "data": 1})),
        ("data", json!({"type": "publish", "room": "r", "event": "e"})),
        ("key", json!({"type": "set", "room": "r", "value": 1})),
        ("key", json!({"type": "set", "room": "r", "key": 1, "value": 1})),
        ("value", json!({"type": "set", "room": "r", "key": "k"})),
        (
            "if_version",
            json!({"type": "set", "room": "r", "key": "k", "value": 1, "if_version": "1"}),
        ),
        (
            "if_version",
            json!({"type": "set", "room": "r", "key": "k", "value": 1, "if_version": -1}),
        ),
        ("event", json!({"type": "signal", "room": "r", "data": 1})),
        ("data", json!({"type": "signal", "room": "r", "event": "e"})),
        ("active", json!({"type": "typing", "room": "r"})),
        ("active", json!({"type": "typing", "room": "r", "active": "yes"})),
        ("to", json!({"type": "direct", "content": "x"})),
        ("to", json!({"type": "direct", "to": 5, "content": "x"})),
        ("to", json!({"type": "direct", "to": "", "content": "x"})),
        ("content", json!({"type": "direct", "to": "bob"})),
        ("data", json!({"type": "direct", "to": "bob", "event": "e"})),
        ("seq", json!({"type": "seen"})),
        ("seq", json!({"type": "seen", "seq": "1"})),
        ("status", json!({"type": "status"})),
        ("status", json!({"type": "status", "status": "asleep"})),
        ("room", json!({"type": "presence"})),
        ("users", json!({"type": "watch"})),
        ("users", json!({"type": "watch", "users": "bob"})),
        ("users", json!({"type": "watch", "users": [1]})),
        ("users", json!({"type": "unwatch"})),
        ("room", json!({"type": "history"})),
        ("before", json!({"type": "history", "room": "r", "before": "x"})),
        ("after", json!({"type": "history", "room": "r", "after": -1})),
        ("limit", json!({"type": "history", "room": "r", "limit": "x"})),
        ("token", json!({"type": "refresh"})),
        ("token", json!({"type": "refresh", "token": 5})),
    ];
    for (field, message) in cases {
        let error = alice.refused(message.clone(), "bad_message").await;
        let people = error["message"].as_str().unwrap();
        assert!(people.contains(field), "{message}: {people:?} does not name {field}");
    }
    assert_eq!(alice.chat("r", "the first").await["seq"], 1);
}

#[tokio::test]
async fn room_names_are_1_to_128_characters_of_the_alphabet() {
    let app = TestApp::spawn(PATIENT).await;
    let mut alice = app.client("alice").await;
    let longest = "r".repeat(128);
    for room in ["a", "AZaz09_-.:/", &longest] {
        assert_eq!(alice.join(room).await["room"], room);
    }
    let too_long = "r".repeat(129);
    for room in ["", &too_long, "a b", "ü", "a#b", "a\n", "a*", "a@b", "a%20b"] {
        let error = alice.refused(json!({"type": "join", "room": room}), "bad_message").await;
        assert!(error["message"].as_str().unwrap().contains("room"), "{error}");
    }
}

#[tokio::test]
async fn user_names_are_1_to_128_characters() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    for user in [String::new(), "x".repeat(129)] {
        alice.refused(json!({"type": "direct", "to": user, "content": "x"}), "bad_message").await;
        alice.refused(json!({"type": "watch", "users": [user]}), "bad_message").await;
    }
}

#[tokio::test]
async fn no_verb_takes_a_room_name_with_an_at_sign_in_front() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    for room in ["@bob", "@alice"] {
        for message in [
            json!({"type": "join", "room": room}),
            json!({"type": "leave", "room": room}),
            json!({"type": "chat", "room": room, "content": "x"}),
            json!({"type": "publish", "room": room, "event": "e", "data": 1}),
            json!({"type": "set", "room": room, "key": "k", "value": 1}),
            json!({"type": "signal", "room": room, "event": "e", "data": 1}),
            json!({"type": "typing", "room": room, "active": true}),
            json!({"type": "presence", "room": room}),
            json!({"type": "history", "room": room}),
        ] {
            alice.refused(message, "forbidden").await;
        }
    }
}

#[tokio::test]
async fn every_request_is_answered_however_many_come_in_one_packet() {
    const REQUESTS: usize = 500;
    let app = TestApp::spawn(PATIENT).await;
    let mut alice = app.member("alice", "lobby").await;
    // Refusals, answers of the control lane and answers of the reliable lane.
    let kinds = [
        (json!({"type": "fly"}), "error"),
        (json!({"type": "ping"}), "pong"),
        (json!({"type": "chat", "room": "lobby", "content": "x", "echo": false}), "ack"),
    ];
    let mut packet = Vec::new();
    for id in 0..REQUESTS {
        let mut message = kinds[id % kinds.len()].0.clone();
        message["id"] = json!(id);
        packet.extend(frame(true, TEXT, message.to_string().as_bytes()));
    }
    alice.wire.send(&packet).await;
    let mut answered = vec![0; REQUESTS];
    for _ in 0..REQUESTS {
        let reply = alice.until(|message| message.get("id").is_some()).await;
        let id = reply["id"].as_u64().map_or(usize::MAX, |id| id as usize);
        assert_eq!(reply["type"], kinds[id % kinds.len()].1, "{reply}");
        answered[id] += 1;
    }
    assert!(answered.iter().all(|replies| *replies == 1), "{answered:?}");
}
