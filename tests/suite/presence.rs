//! Presence: who is in a room.

use serde_json::{Value, json};

use crate::harness::{Client, TestApp, came, eventually, listed, now_ms, went};

async fn leave(client: &mut Client) {
    client.ask(json!({"type": "leave", "room": "lobby"}), "left").await;
}

fn member<'a>(members: &'a Value, user: &str) -> &'a Value {
    let list = members.as_array().expect("members are a list");
    list.iter().find(|m| m["user"] == user).unwrap_or_else(|| panic!("no {user} in {members}"))
}

/// Waits until the members of the lobby are as `wanted`.
async fn until_members(client: &mut Client, what: &str, wanted: impl Fn(&Value) -> bool) {
    eventually(what, async || wanted(&client.members("lobby").await["members"]).then_some(()))
        .await;
}

#[tokio::test]
async fn a_member_has_the_fields_of_the_contract() {
    let app = TestApp::spawn("").await;
    let claims = json!({"name": "Alice A.", "meta": {"avatar": "a.png"}});
    let mut alice = app.client_with("alice", claims).await;
    let joined = alice.join("lobby").await;
    let own = member(&joined["members"], "alice");
    assert_eq!(own["name"], "Alice A.");
    assert_eq!(own["status"], "online");
    assert_eq!(own["sessions"], 1);
    assert_eq!(own["meta"], json!({"avatar": "a.png"}));
    assert!(now_ms().abs_diff(own["since"].as_u64().expect("integer milliseconds")) < 60_000);
    assert_eq!(joined["count"], 1);
}

#[tokio::test]
async fn members_learn_who_comes_and_who_leaves() {
    let app = TestApp::spawn("").await;
    let mut alice = app.member("alice", "lobby").await;
    let mut bob = app.client_with("bob", json!({"name": "Bob B."})).await;
    let joined = bob.join("lobby").await;
    assert!(listed(&joined["members"], "alice") && listed(&joined["members"], "bob"), "{joined}");

    let diff = alice.until(|m| came(m, "bob")).await;
    assert_eq!((&diff["room"], &diff["count"]), (&json!("lobby"), &json!(2)));
    assert_eq!(member(&diff["joined"], "bob"), member(&joined["members"], "bob"));

    leave(&mut bob).await;
    let diff = alice.until(|m| went(m, "bob")).await;
    assert_eq!((&diff["room"], &diff["count"]), (&json!("lobby"), &json!(1)));
}

#[tokio::test]
async fn presence_answers_members_also_to_one_who_is_not_there() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let empty = alice.members("lobby").await;
    assert_eq!((&empty["members"], &empty["count"]), (&json!([]), &json!(0)));
    let _bob = app.member("bob", "lobby").await;
    let members = alice.members("lobby").await;
    assert_eq!((&members["room"], &members["count"]), (&json!("lobby"), &json!(1)));
    member(&members["members"], "bob");
    alice.join("lobby").await;
    // Oneself is among them.
    assert!(listed(&alice.members("lobby").await["members"], "alice"));
}

#[tokio::test]
async fn sessions_of_a_user_fold_into_one_member() {
    let app = TestApp::spawn("presence.grace = \"50ms\"").await;
    let mut bob = app.member("bob", "lobby").await;
    let phone = app.member("alice", "lobby").await;
    bob.until(|m| came(m, "alice")).await;
    let mut laptop = app.client("alice").await;
    let joined = laptop.join("lobby").await;
    assert_eq!(joined["count"], 2);
    assert_eq!(joined["members"].as_array().map(Vec::len), Some(2), "{joined}");
    assert_eq!(member(&joined["members"], "alice")["sessions"], 2);

    phone.leave().await;
    until_members(&mut bob, "one session", |m| member(m, "alice")["sessions"] == 1).await;
    let seen = bob.settle().await;
    assert!(!seen.iter().any(|m| came(m, "alice") || went(m, "alice")), "{seen:?}");

    laptop.leave().await;
    bob.until(|m| went(m, "alice")).await;
}

#[tokio::test]
async fn leaving_with_one_of_two_sessions_keeps_the_member() {
    let app = TestApp::spawn("").await;
    let mut bob = app.member("bob", "lobby").await;
    let mut phone = app.member("alice", "lobby").await;
    let mut laptop = app.member("alice", "lobby").await;
    leave(&mut phone).await;
    let seen = bob.settle().await;
    assert!(!seen.iter().any(|m| went(m, "alice")), "{seen:?}");
    leave(&mut laptop).await;
    bob.until(|m| went(m, "alice")).await;
}

#[tokio::test]
async fn a_reload_within_the_grace_is_no_leave_and_join() {
    let app = TestApp::spawn("presence.grace = \"20s\"").await;
    let mut bob = app.member("bob", "lobby").await;
    let alice = app.member("alice", "lobby").await;
    bob.until(|m| came(m, "alice")).await;
    let before = app.connections().await;
    alice.leave().await;
    app.until_connections(before - 1).await;
    let during = bob.members("lobby").await;
    assert_eq!(during["count"], 2, "in grace a user is still there: {during}");

    let alice = app.member("alice", "lobby").await;
    // A cut is as a goodbye.
    alice.wire.cut();
    app.until_connections(before - 1).await;
    let mut alice = app.member("alice", "lobby").await;
    assert_eq!(alice.members("lobby").await["count"], 2);
    let seen = bob.settle().await;
    assert!(!seen.iter().any(|m| came(m, "alice") || went(m, "alice")), "{seen:?}");
}

#[tokio::test]
async fn a_user_who_does_not_come_back_leaves_after_the_grace_and_not_before() {
    let app = TestApp::spawn("presence.grace = \"500ms\"").await;
    let mut bob = app.member("bob", "lobby").await;
    for cut in [false, true] {
        let alice = app.member("alice", "lobby").await;
        bob.until(|m| came(m, "alice")).await;
        let gone_at = now_ms();
        if cut {
            alice.wire.cut();
        } else {
            alice.leave().await;
        }
        bob.until(|m| went(m, "alice")).await;
        assert!(now_ms() - gone_at >= 500, "left before the grace had passed");
    }
}

#[tokio::test]
async fn leave_leaves_at_once_without_grace() {
    // The grace is longer than the suite waits for anything.
    let app = TestApp::spawn("presence.grace = \"10m\"").await;
    let mut bob = app.member("bob", "lobby").await;
    let mut alice = app.member("alice", "lobby").await;
    bob.until(|m| came(m, "alice")).await;
    leave(&mut alice).await;
    bob.until(|m| went(m, "alice")).await;
    assert_eq!(bob.members("lobby").await["count"], 1);
}

#[tokio::test]
async fn status_and_meta_reach_every_joined_room() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let (mut bob, mut carol) = (app.member("bob", "lobby").await, app.member("carol", "den").await);
    for (client, room) in [(&mut bob, "lobby"), (&mut carol, "den")] {
        alice.join(room).await;
        // Else her coming and her status may merge into one diff.
        client.until(|m| came(m, "alice")).await;
    }
    for (status, meta) in [("away", json!({"since": "lunch"})), ("busy", json!(["x"]))] {
        let message = json!({"type": "status", "status": status, "meta": meta});
        alice.ask(message, "ack").await;
        for (client, room) in [(&mut bob, "lobby"), (&mut carol, "den")] {
            // Where her join was not told yet, diffs merge: she joins as she is now.
            let shown = |m: &Value| {
                let list = ["updated", "joined"].into_iter().find(|it| listed(&m[*it], "alice"));
                list.map_or(Value::Null, |list| member(&m[list], "alice").clone())
            };
            let diff =
                client.until(|m| m["type"] == "presence" && shown(m)["status"] == status).await;
            assert_eq!(diff["room"], room);
            assert_eq!(shown(&diff)["meta"], meta);
            assert!(!went(&diff, "alice"), "{diff}");
            let members = client.members(room).await;
            assert_eq!(member(&members["members"], "alice")["status"], status);
        }
    }
    alice.ask(json!({"type": "status", "status": "online"}), "ack").await;
    until_members(&mut bob, "alice online", |m| member(m, "alice")["status"] == "online").await;
}

#[tokio::test]
async fn a_status_holds_for_rooms_joined_later() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    alice.ask(json!({"type": "status", "status": "busy"}), "ack").await;
    let joined = alice.join("lobby").await;
    assert_eq!(member(&joined["members"], "alice")["status"], "busy");
}

#[tokio::test]
async fn meta_over_1_kib_is_too_large_in_a_status() {
    let app = TestApp::spawn("").await;
    let mut alice = app.member("alice", "lobby").await;
    let status =
        |bytes: usize| json!({"type": "status", "status": "away", "meta": "x".repeat(bytes)});
    alice.refused(status(1023), "too_large").await;
    // With its quotes this is 1,024 bytes.
    alice.ask(status(1022), "ack").await;
}

#[tokio::test]
async fn rooms_over_the_presence_limit_send_count_alone() {
    let app = TestApp::spawn("rooms.presence_limit = 2").await;
    let mut alice = app.member("alice", "lobby").await;
    let _bob = app.member("bob", "lobby").await;
    alice.until(|m| came(m, "bob")).await;

    let mut carol = app.client("carol").await;
    let joined = carol.join("lobby").await;
    assert_eq!(joined["count"], 3);
    assert!(joined["members"].as_array().is_none_or(Vec::is_empty), "{joined}");
    let diff = alice.until(|m| m["type"] == "presence" && m["count"] == 3).await;
    for names in ["joined", "updated", "left"] {
        assert!(diff.get(names).is_none(), "{diff}");
    }
    let members = alice.members("lobby").await;
    assert_eq!(members["count"], 3);
    assert!(members["members"].as_array().is_none_or(Vec::is_empty), "{members}");

    // Few enough again: the list is told whole, in place of any older one.
    carol.ask(json!({"type": "leave", "room": "lobby"}), "left").await;
    let diff = alice.until(|m| m["type"] == "presence" && m["count"] == 2).await;
    assert_eq!(diff["reset"], true);
    assert!(listed(&diff["joined"], "alice") && listed(&diff["joined"], "bob"), "{diff}");
}

#[tokio::test]
async fn a_room_that_is_large_for_a_moment_leaves_no_ghost() {
    let app = TestApp::spawn("rooms.presence_limit = 2\noutbound.coalesce = \"500ms\"").await;
    let mut alice = app.member("alice", "lobby").await;
    let mut bob = app.member("bob", "lobby").await;
    alice.until(|m| came(m, "bob")).await;
    let (mut xavier, _yves) =
        (app.member("xavier", "lobby").await, app.member("yves", "lobby").await);
    bob.ask(json!({"type": "leave", "room": "lobby"}), "left").await;
    xavier.ask(json!({"type": "leave", "room": "lobby"}), "left").await;
    // Whatever is merged into one diff on the way: the list in the end is right.
    let mut known = std::collections::BTreeSet::from(["alice".to_owned(), "bob".to_owned()]);
    let expected = std::collections::BTreeSet::from(["alice".to_owned(), "yves".to_owned()]);
    while known != expected {
        let diff = alice.expect("presence").await;
        if diff["reset"] == true || diff.get("joined").is_none() {
            known.clear();
        }
        for list in ["joined", "updated"] {
            for member in diff[list].as_array().into_iter().flatten() {
                known.insert(member["user"].as_str().unwrap().to_owned());
            }
        }
        for user in diff["left"].as_array().into_iter().flatten() {
            known.remove(user.as_str().unwrap());
        }
    }
}

#[tokio::test]
async fn diffs_within_one_flush_merge() {
    const COMERS: usize = 10;
    let app = TestApp::spawn("outbound.coalesce = \"2s\"").await;
    let mut alice = app.member("alice", "lobby").await;
    alice.settle().await;
    let mut comers = Vec::new();
    for number in 0..COMERS {
        comers.push(app.member(&format!("comer-{number}"), "lobby").await);
    }
    let (mut diffs, mut known) = (0, 0);
    while known < COMERS {
        let diff = alice.expect("presence").await;
        known += diff["joined"].as_array().map_or(0, Vec::len);
        diffs += 1;
    }
    assert_eq!(known, COMERS);
    assert!(diffs < COMERS, "{COMERS} joins came in {diffs} diffs");
}

#[tokio::test]
async fn diffs_that_are_applied_give_what_presence_says() {
    let app = TestApp::spawn("presence.grace = \"20ms\"").await;
    let mut alice = app.client("alice").await;
    let joined = alice.join("lobby").await;
    let mut known: std::collections::BTreeMap<String, Value> = std::collections::BTreeMap::new();
    known.insert("alice".into(), joined["members"][0].clone());
    // People come and go, and some come back before their leaving was told.
    for round in 0..4 {
        let mut comers = Vec::new();
        for number in 0..5 {
            comers.push(app.member(&format!("comer-{number}"), "lobby").await);
        }
        for mut comer in comers.drain(round..) {
            leave(&mut comer).await;
        }
        comers.into_iter().for_each(|comer| comer.wire.cut());
    }
    let mut last = app.member("last", "lobby").await;
    until_members(&mut last, "only two", |m| m.as_array().map(Vec::len) == Some(2)).await;
    for diff in alice.settle().await.iter().filter(|m| m["type"] == "presence") {
        for list in ["joined", "updated"] {
            for member in diff[list].as_array().into_iter().flatten() {
                known.insert(member["user"].as_str().unwrap().to_owned(), member.clone());
            }
        }
        for user in diff["left"].as_array().into_iter().flatten() {
            known.remove(user.as_str().unwrap());
        }
    }
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    assert_eq!(names, ["alice", "last"]);
    let members = alice.members("lobby").await;
    assert_eq!(member(&members["members"], "last"), &known["last"]);
}
