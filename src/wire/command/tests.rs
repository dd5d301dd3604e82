use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{model::Code, wire::CommandKind};

fn problem(text: &str) -> Problem {
    match parse(text).command {
        Ok(command) => panic!("{text} is {command:?}"),
        Err(problem) => problem,
    }
}

#[test]
fn a_name_that_is_not_json_is_bad_json() {
    for name in ["ro\0om", r"\u0061"] {
        let text = format!("{{\"type\": \"ping\", \"{name}\u{1}\": 0}}");
        assert_eq!(problem(&text).code, Code::BadJson, "{text:?}");
    }
    assert!(parse(r#"{"typ\u0065": "ping", "\u0000": 0, "\ud800": 0}"#).command.is_ok());
}

#[test]
fn every_type_is_read() {
    let epoch = "00000000000000ff";
    let table = [
        (
            json!({"type": "join", "room": "r"}),
            r#"Join { room: "r", since: None, history: None, listen: true }"#,
        ),
        (
            json!({"type": "join", "room": "r", "since": {"epoch": epoch, "seq": 7}, "history": 5}),
            r#"Join { room: "r", since: Some(Since { epoch: Some(Epoch(255)), seq: 7 }), history: Some(5), listen: true }"#,
        ),
        (
            json!({"type": "join", "room": "r", "since": {"epoch": "", "seq": 0}, "history": 5000}),
            r#"Join { room: "r", since: Some(Since { epoch: None, seq: 0 }), history: Some(1000), listen: true }"#,
        ),
        (
            json!({"type": "join", "room": "r", "listen": false}),
            r#"Join { room: "r", since: None, history: None, listen: false }"#,
        ),
        (json!({"type": "leave", "room": "a:b/c"}), r#"Leave { room: "a:b/c" }"#),
        (
            json!({"type": "chat", "room": "r", "content": ""}),
            r#"Publish { room: "r", payload: Text(""), nonce: None, echo: true }"#,
        ),
        (
            json!({"type": "chat", "room": "r", "content": "\"é\n", "nonce": "n", "echo": false}),
            r#"Publish { room: "r", payload: Text("\"é\n"), nonce: Some("n"), echo: false }"#,
        ),
        (
            json!({"type": "publish", "room": "r", "event": "e", "data": null, "nonce": "n"}),
            r#"Publish { room: "r", payload: Event { event: "e", data: RawValue(null) }, nonce: Some("n"), echo: true }"#,
        ),
        (
            json!({"type": "set", "room": "r", "key": "k", "value": null}),
            r#"Set { room: "r", key: "k", value: None, if_version: None, nonce: None, echo: true }"#,
        ),
        (
            json!({"type": "set", "room": "r", "key": "k", "value": [null], "if_version": 0, "nonce": "n", "echo": false}),
            r#"Set { room: "r", key: "k", value: Some(RawValue([null])), if_version: Some(0), nonce: Some("n"), echo: false }"#,
        ),
        (
            json!({"type": "signal", "room": "r", "event": "e", "data": {"x": 1}}),
            r#"Signal { room: "r", event: "e", data: RawValue({"x":1}) }"#,
        ),
        (
            json!({"type": "typing", "room": "r", "active": true}),
            r#"Typing { room: "r", active: true }"#,
        ),
        (
            json!({"type": "direct", "to": "bob", "content": "hi", "data": 1}),
            r#"Direct { to: "bob", payload: Text("hi"), nonce: None }"#,
        ),
        (
            json!({"type": "direct", "to": "@bob x", "event": "e", "data": 1, "content": null, "nonce": "n"}),
            r#"Direct { to: "@bob x", payload: Event { event: "e", data: RawValue(1) }, nonce: Some("n") }"#,
        ),
        (json!({"type": "seen", "seq": 3}), "Seen { epoch: None, seq: 3 }"),
        (
            json!({"type": "seen", "seq": 3, "epoch": "00000000000000ff"}),
            "Seen { epoch: Some(Epoch(255)), seq: 3 }",
        ),
        (
            json!({"type": "status", "status": "busy", "meta": {"a": 1}}),
            r#"Status { status: Busy, meta: Some(RawValue({"a":1})) }"#,
        ),
        (
            json!({"type": "status", "status": "online", "meta": null}),
            "Status { status: Online, meta: None }",
        ),
        (json!({"type": "presence", "room": "r"}), r#"Presence { room: "r" }"#),
        (json!({"type": "watch", "users": ["a", "b"]}), r#"Watch { users: ["a", "b"] }"#),
        (json!({"type": "unwatch", "users": []}), "Unwatch { users: [] }"),
        (
            json!({"type": "history", "room": "r"}),
            r#"History { room: "r", before: None, after: None, limit: 50 }"#,
        ),
        (
            json!({"type": "history", "room": "r", "before": 9, "after": 2, "limit": 1001}),
            r#"History { room: "r", before: Some(9), after: Some(2), limit: 1000 }"#,
        ),
        (
            json!({"type": "history", "room": "r", "limit": 0}),
            r#"History { room: "r", before: None, after: None, limit: 1 }"#,
        ),
        (json!({"type": "refresh", "token": "a.b.c"}), "Refresh { token: Token(…) }"),
        (json!({"type": "ping", "room": 1, "no such field": {}}), "Ping"),
    ];
    let mut counted = vec!["invalid"];
    for (message, expected) in table {
        let incoming = parse(&message.to_string());
        assert_eq!(incoming.id, None, "{message}");
        let kind = CommandKind::NAMES[CommandKind::of(&incoming.command) as usize];
        assert_eq!(message["type"], kind, "as it is counted");
        counted.push(kind);
        let command = incoming.command.unwrap_or_else(|problem| panic!("{message}: {problem}"));
        assert_eq!(format!("{command:?}"), expected, "{message}");
    }
    assert!(CommandKind::NAMES.iter().all(|kind| counted.contains(kind)), "{counted:?}");
}

#[test]
fn null_is_no_value_for_what_may_be_left_out() {
    for (message, expected) in [
        (
            json!({"type": "join", "room": "r", "since": null, "history": null, "listen": null}),
            r#"Join { room: "r", since: None, history: None, listen: true }"#,
        ),
        (
            json!({"type": "set", "room": "r", "key": "k", "value": 1, "if_version": null, "nonce": null, "echo": null}),
            r#"Set { room: "r", key: "k", value: Some(RawValue(1)), if_version: None, nonce: None, echo: true }"#,
        ),
        (
            json!({"type": "history", "room": "r", "before": null, "after": null, "limit": null}),
            r#"History { room: "r", before: None, after: None, limit: 50 }"#,
        ),
    ] {
        assert_eq!(format!("{:?}", parse(&message.to_string()).command.unwrap()), expected);
    }
}

#[test]
fn what_is_wrong_is_named() {
    let long = "x".repeat(129);
    let table = [
        (json!({}), "`type`: expected a string, got nothing"),
        (json!({"type": 1}), "`type`: expected a string, got a number"),
        (json!({"type": "join"}), "`room`: expected a string, got nothing"),
        (json!({"type": "join", "room": 5}), "`room`: expected a string, got a number"),
        (json!({"type": "join", "room": null}), "`room`: expected a string, got null"),
        (
            json!({"type": "join", "room": "a b"}),
            "`room`: expected 1 to 128 characters of `A-Z a-z 0-9 _ - . : /`, got \"a b\"",
        ),
        (
            json!({"type": "join", "room": "r", "since": 5}),
            "`since`: expected an object with `epoch` and `seq`, got a number",
        ),
        (
            json!({"type": "join", "room": "r", "since": {"seq": 5}}),
            "`since`: `epoch`: expected a string, got nothing",
        ),
        (
            json!({"type": "join", "room": "r", "since": {"epoch": "e", "seq": 1.5}}),
            "`since`: `seq`: expected a whole number of 0 or more, got 1.5",
        ),
        (
            json!({"type": "join", "room": "r", "history": -1}),
            "`history`: expected a whole number of 0 or more, got -1",
        ),
        (
            json!({"type": "chat", "room": "r", "content": {}}),
            "`content`: expected a string, got an object",
        ),
        (
            json!({"type": "chat", "room": "r", "content": "c", "echo": "no"}),
            "`echo`: expected a boolean, got a string",
        ),
        (
            json!({"type": "chat", "room": "r", "content": "c", "nonce": ""}),
            "`nonce`: expected 1 to 64 characters, got 0",
        ),
        (
            json!({"type": "chat", "room": "r", "content": "c", "nonce": &long[..65]}),
            "`nonce`: expected 1 to 64 characters, got 65",
        ),
        (
            json!({"type": "publish", "room": "r", "event": long, "data": 1}),
            "`event`: expected 1 to 128 characters, got 129",
        ),
        (
            json!({"type": "publish", "room": "r", "event": "e"}),
            "`data`: expected any JSON, got nothing",
        ),
        (
            json!({"type": "set", "room": "r", "key": [], "value": 1}),
            "`key`: expected a string, got an array",
        ),
        (
            json!({"type": "set", "room": "r", "key": "k"}),
            "`value`: expected any JSON, got nothing",
        ),
        (
            json!({"type": "set", "room": "r", "key": "k", "value": 1, "if_version": "1"}),
            "`if_version`: expected a whole number of 0 or more, got a string",
        ),
        (
            json!({"type": "signal", "room": "r", "event": "", "data": 1}),
            "`event`: expected 1 to 128 characters, got 0",
        ),
        (
            json!({"type": "typing", "room": "r", "active": null}),
            "`active`: expected a boolean, got null",
        ),
        (
            json!({"type": "direct", "to": "", "content": "c"}),
            "`to`: expected 1 to 128 characters of any kind but control characters, got \"\"",
        ),
        (
            json!({"type": "direct", "to": "b"}),
            "expected `content`, or `event` with `data`, got neither",
        ),
        (
            json!({"type": "direct", "to": "b", "content": "c", "event": "e", "data": 1}),
            "expected `content`, or `event` with `data`, got both",
        ),
        (
            json!({"type": "direct", "to": "b", "event": "e"}),
            "`data`: expected any JSON, got nothing",
        ),
        (
            json!({"type": "seen", "seq": 1, "epoch": "ff"}),
            "`epoch`: expected an epoch that the server told, got \"ff\"",
        ),
        (json!({"type": "seen"}), "`seq`: expected a whole number of 0 or more, got nothing"),
        (
            json!({"type": "status", "status": "off"}),
            "`status`: expected `online`, `away` or `busy`, got \"off\"",
        ),
        (
            json!({"type": "watch", "users": "bob"}),
            "`users`: expected an array of strings, got a string",
        ),
        (json!({"type": "watch", "users": ["a", 5]}), "`users`: expected a string, got a number"),
        (
            json!({"type": "history", "room": "r", "limit": true}),
            "`limit`: expected a whole number of 0 or more, got a boolean",
        ),
        (
            json!({"type": "refresh", "token": ["secret"]}),
            "`token`: expected a string, got an array",
        ),
        (json!([1]), "expected an object with a `type`, got an array"),
        (json!("join"), "expected an object with a `type`, got a string"),
    ];
    for (message, expected) in table {
        let problem = problem(&message.to_string());
        assert_eq!((problem.code, &*problem.message), (Code::BadMessage, expected), "{message}");
        let room = message.get("room").and_then(Value::as_str).filter(|room| *room == "r");
        assert_eq!(problem.room.as_ref().map(RoomName::as_str), room, "{message}");
    }
}

#[test]
fn other_problems_have_their_codes() {
    for text in [
        "",
        " ",
        "{",
        "{\"type\":\"ping\"}}",
        "{'type':1}",
        "nul",
        "\u{feff}{}",
        "5 x",
        "{\"a\":\"\n\"}",
    ] {
        assert_eq!(problem(text).code, Code::BadJson, "{text:?}");
    }
    let unknown = problem(r#"{"type":"frobnicate\u0007"}"#);
    assert_eq!(unknown.code, Code::UnknownType);
    assert_eq!(
        unknown.message,
        r#"`type`: expected a type of the protocol, got "frobnicate\u{7}""#
    );
    assert!(problem(&json!({"type": "x".repeat(9999)}).to_string()).message.len() < 120);

    let inbox = |message: Value| problem(&message.to_string()).code;
    let room = "@bob";
    for kind in
        ["join", "leave", "chat", "publish", "set", "signal", "typing", "presence", "history"]
    {
        assert_eq!(inbox(json!({"type": kind, "room": room})), Code::Forbidden, "{kind}");
    }

    let meta =
        |bytes: usize| json!({"type": "status", "status": "away", "meta": "x".repeat(bytes - 2)});
    assert!(parse(&meta(1024).to_string()).command.is_ok());
    assert_eq!(problem(&meta(1025).to_string()).code, Code::TooLarge);
}

#[test]
fn ids_are_exact() {
    let long = "\u{1f426}".repeat(64);
    let good =
        ["0", "-1", "9007199254740992", "-9007199254740992", r#""a""#, &format!("\"{long}\"")];
    for id in good {
        let incoming = parse(&format!(r#"{{"id":{id},"type":"ping"}}"#));
        assert_eq!(serde_json::to_string(&incoming.id).unwrap(), id);
        assert!(incoming.command.is_ok());
        let incoming = parse(&format!(r#"{{"type":"nothing","id":{id}}}"#));
        assert!(incoming.id.is_some(), "an error carries the id");
        assert_eq!(incoming.command.unwrap_err().code, Code::UnknownType);
    }
    let bad = [
        "9007199254740993",
        "-9007199254740993",
        "99999999999999999999999",
        "1.0",
        "1.5",
        "1e3",
        "null",
        "true",
        "{}",
        "[1]",
        r#""""#,
        &format!("\"{long}x\""),
        r#""\ud800""#,
    ];
    for id in bad {
        let incoming = parse(&format!(r#"{{"id":{id},"type":"ping"}}"#));
        assert_eq!(incoming.id, None, "{id}");
        let problem = incoming.command.unwrap_err();
        assert_eq!(problem.code, Code::BadMessage, "{id}");
        assert!(problem.message.starts_with("`id`: expected "), "{problem}");
    }
}

#[test]
fn fields_are_found_as_json_parse_would() {
    let text = r#" { "type" : "leave", "room": "first", "\u0074ype":"ping", "type":"leave",
        "\ud800": {"room": "inner"}, "r\u006fom":"l\u0061st" } "#;
    let Ok(Command::Leave { room }) = parse(text).command else { panic!() };
    assert_eq!(room.as_str(), "last");
    let text = r#"{"type":"chat","room":"r","content":"\ud83d\ude00\u0000"}"#;
    let Ok(Command::Publish { payload: Payload::Text(text), .. }) = parse(text).command else {
        panic!()
    };
    assert_eq!(&*text, "\u{1f600}\0");
    assert_eq!(
        problem(r#"{"type":"chat","room":"r","content":"\ud83d"}"#).message,
        "`content`: expected text, got a string with half a surrogate pair"
    );
}

#[test]
fn numbers_beyond_what_is_exact_are_beyond_the_end() {
    for seq in ["9007199254740993", "18446744073709551615", "99999999999999999999999"] {
        let text = format!(r#"{{"type":"seen","seq":{seq}}}"#);
        let Ok(Command::Seen { seq, .. }) = parse(&text).command else { panic!() };
        assert_eq!(seq, 1 << 53);
    }
}

#[test]
fn data_stays_as_it_came_on_one_line() {
    let text = "{\"type\":\"signal\",\"room\":\"r\",\"event\":\"e\",\"data\": {\"b\":\r\n 1.50e3,\"a\":\"\\n\"} }";
    let Ok(Command::Signal { data, .. }) = parse(text).command else { panic!() };
    assert_eq!(data.get(), "{\"b\":   1.50e3,\"a\":\"\\n\"}");
}

#[test]
fn deep_nesting_is_no_danger() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let text = format!(r#"{{"type":"ping","data":{deep},"unknown":{deep}}}"#);
    assert!(parse(&text).command.is_ok());
    assert_eq!(problem(&deep).code, Code::BadMessage);
    assert_eq!(problem(&"[".repeat(100_000)).code, Code::BadJson);
}

#[test]
fn a_token_is_never_shown() {
    let incoming = parse(r#"{"type":"refresh","token":"secret","id":[]}"#);
    assert!(!format!("{incoming:?}").contains("secret"));
    let incoming = parse(r#"{"type":"refresh","token":"secret"}"#);
    assert!(!format!("{incoming:?}").contains("secret"));
    let Ok(Command::Refresh { token }) = incoming.command else { panic!() };
    assert_eq!(token.as_str(), "secret");
}

/// JSON in which known fields and types are common.
fn message() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "join|leave|chat|publish|set|signal|typing|direct|seen|status|history|refresh|ping|watch",
        "[a-z@]{0,3}",
        "\\PC{0,70}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2..60i64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let field = "type|room|since|epoch|seq|id|content|event|data|key|value|users|to|status|x";
    leaf.prop_recursive(3, 40, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(field, inner, 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_gives_a_command_or_a_problem(message in message(), pretty in any::<bool>()) {
        let text = if pretty { format!("{message:#}") } else { message.to_string() };
        let incoming = parse(&text);
        match incoming.command {
            Ok(command) => {
                let kind = message["type"].as_str().unwrap();
                let expected = if matches!(kind, "chat" | "publish") { "publish" } else { kind };
                let shown = format!("{command:?}").to_lowercase();
                prop_assert!(shown.starts_with(expected));
            }
            Err(problem) => {
                prop_assert_ne!(problem.code, Code::BadJson);
                prop_assert!(problem.message.len() < 400 && !problem.message.contains('\n'));
            }
        }
    }

    #[test]
    fn any_text_gives_a_command_or_a_problem(text in "[\\[\\]{}:,\"a-z0-9.\\\\-]{0,40}") {
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        match parse(&text).command {
            Ok(_) => prop_assert!(is_json),
            Err(problem) => prop_assert_eq!(problem.code == Code::BadJson, !is_json),
        }
    }
}
