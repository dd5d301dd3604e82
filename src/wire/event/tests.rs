use actix_http::ws::{OpCode, Parser};
use bytes::BytesMut;
use serde_json::{Value, json};

use super::*;
use crate::{
    model::{Author, Body, Code, Current, Naming, Seq, Status},
    wire::{EventKind, Protocol},
};

/// The JSON of the one frame that the event is encoded as.
fn sent(event: &Event<'_>) -> String {
    let mut frame = BytesMut::from(&encode(Protocol::Json, event)[..]);
    let (fin, opcode, payload) = Parser::parse(&mut frame, false, 1 << 24).unwrap().unwrap();
    assert!(fin && opcode == OpCode::Text && frame.is_empty());
    let json = String::from_utf8(payload.unwrap().to_vec()).unwrap();
    assert_eq!(json, serde_json::to_string(event).unwrap());
    json
}

#[track_caller]
fn assert_sent(event: &Event<'_>, expected: &Value) {
    let json = sent(event);
    assert_eq!(&serde_json::from_str::<Value>(&json).unwrap(), expected);
    let kind = expected["type"].as_str().unwrap();
    assert!(json.starts_with(&format!(r#"{{"type":"{kind}""#)), "{json}");
    assert_eq!(EventKind::NAMES[EventKind::of(event) as usize], kind, "as it is counted");
}

fn room() -> RoomName {
    RoomName::parse("lobby").unwrap()
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn epoch() -> Epoch {
    Epoch::parse("00000000000000ff").unwrap()
}

fn raw(json: &str) -> Arc<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap().into()
}

fn publication(seq: Seq, by: Option<&str>, body: Body) -> Publication {
    Publication {
        room: room(),
        epoch: epoch(),
        seq,
        timestamp: 1234,
        author: Author { user: by.map(user), session: None, echo: true },
        body,
        nonce: Some("n".into()),
    }
}

fn chat(content: &str) -> Body {
    Body::Message(Payload::Text(content.into()))
}

fn member() -> Member {
    Member {
        user: user("ada"),
        name: "Ada".into(),
        status: Status::Away,
        sessions: 2,
        since: 5,
        meta: None,
    }
}

fn member_json() -> Value {
    json!({"user": "ada", "name": "Ada", "status": "away", "sessions": 2, "since": 5, "meta": null})
}

#[test]
fn welcome_and_what_concerns_the_connection() {
    let session = SessionId::random("ada");
    let limits = Limits { message_bytes: 65536, rooms_per_session: 100, messages_per_second: 50 };
    let welcome = |expires_at| {
        sent(&Event::Welcome {
            session: &session,
            user: &user("ada"),
            node: "n1",
            heartbeat_interval: Duration::from_secs(25),
            heartbeat_timeout: Duration::from_millis(1500),
            expires_at,
            limits,
            inbox: Position { epoch: epoch(), seq: 4 },
        })
    };
    assert_eq!(
        welcome(Some(99)),
        format!(
            r#"{{"type":"welcome","session":"{session}","user":"ada","node":"n1","protocol":1,"heartbeat":{{"interval_ms":25000,"timeout_ms":1500}},"expires_at":99,"limits":{{"message_bytes":65536,"rooms_per_session":100,"messages_per_second":50}},"inbox":{{"epoch":"00000000000000ff","seq":4}}}}"#
        )
    );
    assert!(welcome(None).contains(r#""expires_at":null"#));

    let id = RequestId::Number(-7);
    assert_sent(
        &Event::Refreshed { id: Some(&id), expires_at: Some(9) },
        &json!({"type": "refreshed", "id": -7, "expires_at": 9}),
    );
    assert_sent(
        &Event::Refreshed { id: None, expires_at: None },
        &json!({"type": "refreshed", "expires_at": null}),
    );
    assert_sent(
        &Event::Reauthenticate { expires_at: 9, in_ms: 30_000 },
        &json!({"type": "reauthenticate", "expires_at": 9, "in_ms": 30_000}),
    );
    assert_sent(
        &Event::Pong { id: Some(&id), timestamp: 8 },
        &json!({"type": "pong", "id": -7, "timestamp": 8}),
    );
    assert_sent(&Event::Pong { id: None, timestamp: 8 }, &json!({"type": "pong", "timestamp": 8}));
    assert_sent(
        &Event::Closing { farewell: Farewell::ShuttingDown, reconnect: true, after_ms: 250 },
        &json!({"type": "closing", "reason": "shutting_down", "reconnect": true, "after_ms": 250}),
    );
}

#[test]
fn an_entry_of_a_log_looks_the_same_everywhere() {
    let event = Payload::Event { event: "e\"".into(), data: raw(r#"{"b":1.50,"a":[]}"#) };
    let set = |value| Body::Set { key: "k".into(), value };
    let direct = Body::Direct { to: user("bob"), payload: event.clone() };
    let entries = [
        (
            publication(1, Some("ada"), chat("é\n")),
            r#"{"type":"chat","room":"lobby","seq":1,"user":"ada","content":"é\n","timestamp":1234}"#,
        ),
        (
            publication(2, None, Body::Message(event)),
            r#"{"type":"event","room":"lobby","seq":2,"user":null,"event":"e\"","data":{"b":1.50,"a":[]},"timestamp":1234}"#,
        ),
        (
            publication(3, Some("ada"), set(Some(raw("[1]")))),
            r#"{"type":"set","room":"lobby","seq":3,"user":"ada","key":"k","value":[1],"version":3,"timestamp":1234}"#,
        ),
        (
            publication(4, Some("eve"), set(None)),
            r#"{"type":"set","room":"lobby","seq":4,"user":"eve","key":"k","value":null,"version":4,"timestamp":1234}"#,
        ),
        (
            publication(5, Some("ada"), direct),
            r#"{"type":"direct","epoch":"00000000000000ff","seq":5,"from":"ada","to":"bob","event":"e\"","data":{"b":1.50,"a":[]},"timestamp":1234}"#,
        ),
    ];
    let with_nonce = |json: &str| match json.starts_with(r#"{"type":"set""#) {
        true => json.to_owned(),
        false => json.replace(r#"1234}"#, r#"1234,"nonce":"n"}"#),
    };
    for (publication, expected) in &entries {
        assert_eq!(sent(&Event::Published { publication, own: false }), *expected);
        assert_eq!(sent(&Event::Published { publication, own: true }), with_nonce(expected));
    }

    let messages: Vec<Arc<Publication>> =
        entries.iter().map(|(publication, _)| Arc::new(publication.clone())).collect();
    let page = entries
        .iter()
        .map(|(publication, json)| match &publication.author.user {
            Some(author) if author.as_str() == "eve" => with_nonce(json),
            _ => (*json).to_owned(),
        })
        .collect::<Vec<_>>()
        .join(",");
    let history = Event::History {
        id: Some(&RequestId::Text("a".into())),
        room: &room(),
        epoch: epoch(),
        messages: &messages,
        viewer: &user("eve"),
        more: true,
    };
    assert_eq!(
        sent(&history),
        format!(
            r#"{{"type":"history","id":"a","room":"lobby","epoch":"00000000000000ff","messages":[{page}],"more":true}}"#
        )
    );
    let joined = Event::Joined {
        id: None,
        room: &room(),
        position: Position { epoch: epoch(), seq: 5 },
        recovered: true,
        messages: &messages,
        viewer: &user("eve"),
        members: &[],
        count: 0,
        state: &[],
        state_more: false,
    };
    assert_eq!(
        sent(&joined),
        format!(
            r#"{{"type":"joined","room":"lobby","epoch":"00000000000000ff","seq":5,"recovered":true,"messages":[{page}],"members":[],"count":0,"state":{{}}}}"#
        )
    );
}

#[test]
fn joined_shows_members_and_state() {
    let key = "k \"\u{0}\n\u{2028}\\";
    let joined = Event::Joined {
        id: Some(&RequestId::Number(1)),
        room: &room(),
        position: Position { epoch: epoch(), seq: 0 },
        recovered: false,
        messages: &[],
        viewer: &user("ada"),
        members: &[member()],
        count: 1,
        state: &[StateEntry { key: key.into(), value: raw("{\"x\":null}"), version: 3 }],
        state_more: true,
    };
    assert_sent(
        &joined,
        &json!({
            "type": "joined", "id": 1, "room": "lobby", "epoch": "00000000000000ff", "seq": 0,
            "recovered": false, "messages": [], "members": [member_json()], "count": 1,
            "state": {key: {"value": {"x": null}, "version": 3}}, "state_more": true,
        }),
    );
    let rest = StateEntry { key: "z".into(), value: raw("1"), version: 2 };
    assert_sent(
        &Event::State { room: &room(), state: &[rest], more: false },
        &json!({
            "type": "state", "room": "lobby", "state": {"z": {"value": 1, "version": 2}},
            "more": false,
        }),
    );
}

#[test]
fn acks_tell_what_there_is_to_tell() {
    let id = RequestId::Text("\"é".into());
    let position = Some(Position { epoch: epoch(), seq: 3 });
    for (event, expected) in [
        (
            Event::Ack { id: &id, position: None, duplicate: false },
            json!({"type": "ack", "id": "\"é"}),
        ),
        (
            Event::Ack { id: &id, position, duplicate: false },
            json!({"type": "ack", "id": "\"é", "seq": 3, "epoch": "00000000000000ff"}),
        ),
        (
            Event::Ack { id: &id, position, duplicate: true },
            json!({"type": "ack", "id": "\"é", "seq": 3, "epoch": "00000000000000ff", "duplicate": true}),
        ),
    ] {
        assert_sent(&event, &expected);
    }
    assert_sent(
        &Event::Left { id: Some(&id), room: &room() },
        &json!({"type": "left", "id": "\"é", "room": "lobby"}),
    );
    assert_sent(
        &Event::Left { id: None, room: &room() },
        &json!({"type": "left", "room": "lobby"}),
    );
}

#[test]
fn what_passes_through_a_room() {
    let (room, ada, bob) = (room(), user("ada"), user("bob"));
    assert_sent(
        &Event::Signal { room: &room, user: &ada, event: "cursor", data: &raw("[1,2]") },
        &json!({"type": "signal", "room": "lobby", "user": "ada", "event": "cursor", "data": [1, 2]}),
    );
    assert_sent(
        &Event::Typing { room: &room, user: &ada, active: true },
        &json!({"type": "typing", "room": "lobby", "user": "ada", "active": true}),
    );
    let payload = Payload::Text("hi".into());
    let copy =
        |nonce| Event::DirectCopy { from: &ada, to: &bob, payload: &payload, timestamp: 6, nonce };
    assert_sent(
        &copy(None),
        &json!({"type": "direct", "from": "ada", "to": "bob", "content": "hi", "timestamp": 6}),
    );
    assert_sent(
        &copy(Some("n")),
        &json!({"type": "direct", "from": "ada", "to": "bob", "content": "hi", "timestamp": 6, "nonce": "n"}),
    );
}

#[test]
fn who_is_where() {
    let room = room();
    let diff = PresenceDiff {
        naming: Naming::Changes,
        joined: vec![member()],
        updated: vec![Member { meta: Some(raw("{\"c\":1}")), ..member() }],
        left: vec![user("bob")],
        count: 4,
    };
    let mut updated = member_json();
    updated["meta"] = json!({"c": 1});
    assert_sent(
        &Event::Presence { room: &room, diff: &diff },
        &json!({
            "type": "presence", "room": "lobby", "joined": [member_json()], "updated": [updated],
            "left": ["bob"], "count": 4,
        }),
    );
    let id = RequestId::Number(0);
    assert_sent(
        &Event::Members { id: Some(&id), room: &room, members: &[member()], count: 1 },
        &json!({"type": "members", "id": 0, "room": "lobby", "members": [member_json()], "count": 1}),
    );
    let users = [
        (user("ada"), Availability::Online),
        (user("b\"b"), Availability::Offline),
        (user("cyd"), Status::Busy.into()),
    ];
    assert_sent(
        &Event::Online { id: None, users: &users },
        &json!({"type": "online", "users": {"ada": "online", "b\"b": "offline", "cyd": "busy"}}),
    );
    assert_sent(
        &Event::Online { id: Some(&id), users: &[] },
        &json!({"type": "online", "id": 0, "users": {}}),
    );
}

#[test]
fn errors_carry_what_is_known() {
    let problem = Problem::new(Code::BadJson, "expected JSON");
    assert_sent(
        &Event::Error { id: None, problem: &problem },
        &json!({"type": "error", "code": "bad_json", "message": "expected JSON"}),
    );
    let problem = Problem::new(Code::Conflict, "m")
        .in_room(&room())
        .retry_after(Duration::from_micros(1001))
        .with_current(Current { value: None, version: 0 });
    assert_sent(
        &Event::Error { id: Some(&RequestId::Number(1)), problem: &problem },
        &json!({
            "type": "error", "id": 1, "code": "conflict", "message": "m", "room": "lobby",
            "retry_after_ms": 2, "current": {"value": null, "version": 0},
        }),
    );
}

#[test]
fn frames_of_every_length_are_whole() {
    let empty = sent(&Event::Published { publication: &publication(1, None, chat("")), own: true });
    for length in (0..400).chain(65_300..65_700).chain([70_000]) {
        let content = "x".repeat(length);
        let publication = publication(1, None, chat(&content));
        assert_eq!(
            sent(&Event::Published { publication: &publication, own: true }).len(),
            empty.len() + length
        );
    }
}
