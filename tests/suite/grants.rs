//! Grants: who may do what in which room, and membership.

use serde_json::{Value, json};

use crate::harness::{TestApp, now_s, since};

/// Each verb of a room beside the right that it needs.
fn verbs(room: &str) -> [(&'static str, Value); 8] {
    [
        ("join", json!({"type": "join", "room": room})),
        ("publish", json!({"type": "chat", "room": room, "content": "x"})),
        ("publish", json!({"type": "publish", "room": room, "event": "e", "data": 1})),
        ("publish", json!({"type": "signal", "room": room, "event": "e", "data": 1})),
        ("publish", json!({"type": "typing", "room": room, "active": true})),
        ("set", json!({"type": "set", "room": room, "key": "k", "value": 1})),
        ("presence", json!({"type": "presence", "room": room})),
        ("history", json!({"type": "history", "room": room})),
    ]
}

#[tokio::test]
async fn each_verb_needs_its_own_right_and_no_other() {
    let app = TestApp::spawn("limits.messages_per_second = 1000").await;
    let all = ["join", "publish", "set", "presence", "history"];
    for missing in all {
        let granted: Vec<_> = all.iter().filter(|right| **right != missing).collect();
        let mut client = app.client_with(missing, json!({"grants": {"lobby": granted}})).await;
        for (right, verb) in verbs("lobby") {
            let reply = client.request(verb.clone()).await;
            if right == missing {
                assert_eq!(reply["code"], "forbidden", "{verb} without {missing}: {reply}");
                assert_eq!(reply["room"], "lobby", "{reply}");
            } else if missing == "join" && !matches!(right, "presence" | "history") {
                assert_eq!(reply["code"], "not_joined", "{verb} without {missing}: {reply}");
            } else {
                assert_ne!(reply["type"], "error", "{verb} without {missing}: {reply}");
            }
        }
    }
}

#[tokio::test]
async fn writing_needs_membership_and_reading_does_not() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    for (right, verb) in verbs("lobby") {
        match right {
            "publish" | "set" => {
                let error = alice.refused(verb, "not_joined").await;
                assert_eq!(error["room"], "lobby", "{error}");
            }
            "presence" => drop(alice.ask(verb, "members").await),
            "history" => drop(alice.ask(verb, "history").await),
            _ => {}
        }
    }
    alice.join("lobby").await;
    alice.chat("lobby", "x").await;
    alice.ask(json!({"type": "leave", "room": "lobby"}), "left").await;
    alice.refused(json!({"type": "chat", "room": "lobby", "content": "x"}), "not_joined").await;
}

#[tokio::test]
async fn a_star_stands_for_any_run_of_characters_and_nothing_else_is_special() {
    let app = TestApp::spawn("limits.messages_per_second = 1000").await;
    let cases = [
        ("*", vec!["lobby", "a/b:c"], vec![]),
        ("lobby", vec!["lobby"], vec!["lobby2", "my-lobby", "LOBBY"]),
        ("dash:*", vec!["dash:", "dash:eu", "dash:eu:1"], vec!["dash", "my-dash:eu"]),
        ("*:admin", vec![":admin", "eu:admin"], vec!["admin", "eu:admin2"]),
        ("a*b*c", vec!["abc", "axxbyyc", "abcbc"], vec!["ab", "acb", "abcd"]),
        ("a.c", vec!["a.c"], vec!["abc"]),
    ];
    for (pattern, may, may_not) in cases {
        let grants = json!({"grants": {pattern: ["join"]}});
        let mut client = app.client_with("alice", grants).await;
        for room in may {
            client.join(room).await;
        }
        for room in may_not {
            client.refused(json!({"type": "join", "room": room}), "forbidden").await;
        }
    }
}

#[tokio::test]
async fn matching_patterns_add_up() {
    let app = TestApp::spawn("").await;
    let grants = json!({"*": ["join"], "dash:*": ["publish"], "dash:eu": ["set"]});
    let mut alice = app.client_with("alice", json!({"grants": grants})).await;
    for room in ["lobby", "dash:us", "dash:eu"] {
        alice.join(room).await;
    }
    let set = |room| json!({"type": "set", "room": room, "key": "k", "value": 1});
    let chat = |room| json!({"type": "chat", "room": room, "content": "x"});
    alice.refused(chat("lobby"), "forbidden").await;
    alice.refused(set("dash:us"), "forbidden").await;
    alice.write(chat("dash:us")).await;
    alice.write(chat("dash:eu")).await;
    alice.write(set("dash:eu")).await;
}

#[tokio::test]
async fn empty_grants_grant_nothing_and_default_grants_hold_only_without_grants() {
    let app = TestApp::spawn(r#"auth.default_grants = { "lobby" = ["join"] }"#).await;
    let mut default = app.client("alice").await;
    default.join("lobby").await;
    default.refused(json!({"type": "chat", "room": "lobby", "content": "x"}), "forbidden").await;
    default.refused(json!({"type": "join", "room": "other"}), "forbidden").await;

    let mut none = app.client_with("alice", json!({"grants": {}})).await;
    none.refused(json!({"type": "join", "room": "lobby"}), "forbidden").await;

    let mut own = app.client_with("alice", json!({"grants": {"other": ["join"]}})).await;
    own.join("other").await;
    own.refused(json!({"type": "join", "room": "lobby"}), "forbidden").await;
}

#[tokio::test]
async fn a_join_without_presence_gives_no_members_and_without_history_no_messages() {
    let app = TestApp::spawn("").await;
    let mut bob = app.client("bob").await;
    let start = since(&bob.join("lobby").await);
    bob.chat("lobby", "said before").await;

    let mut blind = app.client_with("blind", json!({"grants": {"*": ["join", "history"]}})).await;
    let joined = blind.resume("lobby", &start).await;
    assert_eq!(joined["members"], json!([]));
    assert_eq!(joined["messages"][0]["content"], "said before");

    let grants = json!({"grants": {"*": ["join", "presence"]}});
    let mut forgetful = app.client_with("forgetful", grants).await;
    let joined = forgetful.resume("lobby", &start).await;
    assert_eq!((&joined["messages"], &joined["recovered"]), (&json!([]), &json!(false)));
    assert!(crate::harness::listed(&joined["members"], "bob"), "{joined}");
    let join = json!({"type": "join", "room": "lobby", "history": 10});
    assert_eq!(forgetful.ask(join, "joined").await["messages"], json!([]));
}

#[tokio::test]
async fn new_grants_of_a_refresh_hold_at_once() {
    let app = TestApp::spawn("").await;
    let chat = json!({"type": "chat", "room": "lobby", "content": "x"});
    let mut alice = app.client_with("alice", json!({"grants": {"*": ["join"]}})).await;
    alice.join("lobby").await;
    alice.refused(chat.clone(), "forbidden").await;

    let more = json!({"exp": now_s() + 7200, "grants": {"*": ["join", "publish"]}});
    let token = app.token_with("alice", more);
    alice.ask(json!({"type": "refresh", "token": token}), "refreshed").await;
    alice.write(chat.clone()).await;

    let less = app.token_with("alice", json!({"grants": {"*": ["join"]}}));
    alice.ask(json!({"type": "refresh", "token": less}), "refreshed").await;
    alice.refused(chat, "forbidden").await;
}
