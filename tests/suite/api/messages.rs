use serde_json::{Value, json};

use super::{call, done, get, post, with_both_brokers};
use crate::harness::{Endpoint, TestApp, seqs};

with_both_brokers!(
    what_a_backend_publishes_comes_to_members_and_is_in_the_log,
    a_nonce_is_published_once_in_each_name,
    the_log_is_read_in_pages,
    one_message_goes_to_many_rooms,
    a_direct_message_waits_in_the_inbox,
);

async fn what_a_backend_publishes_comes_to_members_and_is_in_the_log(
    asked: &Endpoint,
    clients: &Endpoint,
) {
    let mut alice = clients.member("alice", "lobby").await;
    let path = "/rooms/lobby/messages";
    let first = post(asked, path, json!({"content": "hi", "unknown": [1]})).await;
    assert_eq!((&first["room"], &first["seq"]), (&json!("lobby"), &json!(1)), "{first}");
    assert_eq!(first.get("duplicate"), None, "{first}");
    let chat = alice.expect("chat").await;
    assert_eq!((&chat["content"], &chat["user"]), (&json!("hi"), &Value::Null), "{chat}");

    let body = json!({"event": "deploy", "data": {"n": 1.50}, "user": "ci", "nonce": "d-1"});
    let second = post(asked, path, body).await;
    assert_eq!(second["seq"], 2);
    let event = alice.expect("event").await;
    assert_eq!((&event["user"], &event["data"]), (&json!("ci"), &json!({"n": 1.5})), "{event}");
    assert_eq!(event.get("nonce"), None, "it is for ci alone: {event}");
    post(asked, path, json!({"event": "null", "data": null, "user": null, "nonce": null})).await;
    assert_eq!(alice.expect("event").await["data"], Value::Null);

    let history = alice.history("lobby", json!({})).await;
    let page = get(asked, path).await;
    assert_eq!(page["messages"], history["messages"]);
    assert_eq!((&page["epoch"], &page["epoch"]), (&first["epoch"], &history["epoch"]));
    // Whoever writes it, the writer's own sessions see the nonce.
    let mut ci = clients.member("ci", "lobby").await;
    let body = json!({"content": "own", "user": "ci", "nonce": "d-2"});
    post(asked, path, body).await;
    assert_eq!(ci.expect("chat").await["nonce"], "d-2");
}

async fn a_nonce_is_published_once_in_each_name(asked: &Endpoint, other: &Endpoint) {
    let path = "/rooms/lobby/messages";
    let body = |user: Value| json!({"content": "x", "user": user, "nonce": "n"});
    for (at, user) in [Value::Null, json!("ada"), json!("bob")].into_iter().enumerate() {
        let first = post(asked, path, body(user.clone())).await;
        assert_eq!((&first["seq"], first.get("duplicate")), (&json!(at + 1), None), "{first}");
        let again = post(other, path, body(user)).await;
        assert_eq!((&again["seq"], &again["duplicate"]), (&first["seq"], &json!(true)));
        assert_eq!(again["epoch"], first["epoch"]);
    }
    // A session of the user is the same writer.
    let mut ada = other.member("ada", "lobby").await;
    let message = json!({"type": "chat", "room": "lobby", "content": "x", "nonce": "n"});
    let ack = ada.write(message).await;
    assert_eq!((&ack["seq"], &ack["duplicate"]), (&json!(2), &json!(true)));
}

async fn the_log_is_read_in_pages(asked: &Endpoint, other: &Endpoint) {
    for n in 1..=7 {
        post(other, "/rooms/r/messages", json!({"content": n.to_string()})).await;
    }
    for (query, expected, more) in [
        ("", vec![1, 2, 3, 4, 5, 6, 7], false),
        ("?limit=3", vec![5, 6, 7], true),
        ("?before=5&limit=3", vec![2, 3, 4], true),
        ("?after=2&limit=3", vec![3, 4, 5], true),
        ("?after=5", vec![6, 7], false),
        ("?after=2&before=5&limit=1000", vec![3, 4], false),
        ("?limit=0", vec![7], true),
        ("?limit=5000&unknown=x", vec![1, 2, 3, 4, 5, 6, 7], false),
        ("?after=9007199254740992", vec![], false),
    ] {
        let page = get(asked, &format!("/rooms/r/messages{query}")).await;
        assert_eq!(seqs(&page["messages"]), expected, "{query}: {page}");
        assert_eq!((&page["more"], &page["room"]), (&json!(more), &json!("r")), "{query}");
    }
    let empty = get(asked, "/rooms/nobody-was-here/messages").await;
    assert_eq!((&empty["messages"], &empty["more"]), (&json!([]), &json!(false)));
    for query in ["after=x", "before=-1", "limit=1.5", "limit=", "after=9007199254740993"] {
        let refused = call(asked, "GET", &format!("/rooms/r/messages?{query}"), Value::Null).await;
        refused.assert_error(400, "bad_message");
        let field = query.split('=').next().unwrap();
        assert!(refused.body.contains(&format!("`{field}`")), "{query}: {refused:?}");
    }
}

async fn one_message_goes_to_many_rooms(asked: &Endpoint, clients: &Endpoint) {
    let mut alice = clients.member("alice", "a").await;
    alice.join("b").await;
    post(asked, "/rooms/b/messages", json!({"content": "before"})).await;
    let body = json!({"rooms": ["b", "a"], "content": "all", "nonce": "n", "user": "ci"});
    let answer = post(asked, "/broadcast", body.clone()).await;
    let results = answer["results"].as_array().expect("a list");
    let places: Vec<_> = results.iter().map(|it| (&it["room"], &it["seq"])).collect();
    assert_eq!(places, [(&json!("b"), &json!(2)), (&json!("a"), &json!(1))], "{answer}");
    for room in ["a", "b"] {
        let chat = alice.until(|it| it["room"] == room && it["content"] == "all").await;
        assert_eq!(chat["user"], "ci");
    }
    let again = post(asked, "/broadcast", body).await;
    let places = again["results"].as_array().expect("a list").iter();
    assert!(places.clone().all(|it| it["duplicate"] == true), "{again}");
    assert!(places.zip(results).all(|(again, first)| again["seq"] == first["seq"]));

    let many: Vec<String> = (0..101).map(|n| format!("r{n}")).collect();
    for (rooms, status, code, named) in [
        (json!([]), 400, "bad_message", "`rooms`"),
        (json!(many), 400, "bad_message", "`rooms`"),
        (json!(["a", "b", "a"]), 400, "bad_message", "`rooms[2]`"),
        (json!(["a", "b c"]), 400, "bad_message", "`rooms[1]`"),
        (json!(["a", "@bob"]), 403, "forbidden", "`rooms[1]`"),
        (json!(["a", 1]), 400, "bad_message", "`rooms[1]`"),
        (json!("a"), 400, "bad_message", "`rooms`"),
    ] {
        let body = json!({"rooms": rooms, "content": "x"});
        let refused = call(asked, "POST", "/broadcast", body).await;
        refused.assert_error(status, code);
        assert!(refused.body.contains(named), "{rooms}: {refused:?}");
    }
    // Nothing of what was refused was published.
    assert_eq!(seqs(&get(asked, "/rooms/a/messages").await["messages"]), [1]);
    let most = post(asked, "/broadcast", json!({"rooms": &many[..100], "content": "x"})).await;
    assert_eq!(most["results"].as_array().map(Vec::len), Some(100));
}

async fn a_direct_message_waits_in_the_inbox(asked: &Endpoint, clients: &Endpoint) {
    let path = "/users/bob%2F1/messages";
    let body = json!({"content": "hello", "nonce": "n"});
    let first = post(asked, path, body.clone()).await;
    assert_eq!((&first["user"], &first["seq"]), (&json!("bob/1"), &json!(1)), "{first}");
    let again = post(asked, path, body).await;
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(1), &json!(true)));
    let mut ci = clients.client("ci").await;
    post(asked, path, json!({"event": "e", "data": [1], "user": "ci"})).await;
    let copy = ci.expect("direct").await;
    assert_eq!((&copy["from"], &copy["to"]), (&json!("ci"), &json!("bob/1")), "{copy}");

    let mut bob = clients.client("bob/1").await;
    let direct = bob.expect("direct").await;
    assert_eq!((&direct["from"], &direct["content"]), (&Value::Null, &json!("hello")), "{direct}");
    let direct = bob.expect("direct").await;
    assert_eq!((&direct["from"], &direct["data"]), (&json!("ci"), &json!([1])), "{direct}");
    bob.ask(json!({"type": "seen", "seq": 2}), "ack").await;
    let mut back = clients.client("bob/1").await;
    assert_eq!(back.welcome["inbox"]["seq"], 2);
    assert!(back.settle().await.iter().all(|it| it["type"] != "direct"));
}

#[tokio::test]
async fn a_message_that_does_not_fit_is_refused_and_named() {
    let settings = format!("{}\nlimits.message_bytes = \"5000\"", super::SETTINGS);
    let app = TestApp::spawn(&settings).await;
    let long = |count: usize| "x".repeat(count);
    for (body, status, code, named) in [
        (json!({}), 400, "bad_message", "neither"),
        (json!({"content": "x", "event": "e", "data": 1}), 400, "bad_message", "both"),
        (json!({"event": "e"}), 400, "bad_message", "`data`"),
        (json!({"event": "", "data": 1}), 400, "bad_message", "`event`"),
        (json!({"event": long(129), "data": 1}), 400, "bad_message", "`event`"),
        (json!({"content": 7}), 400, "bad_message", "`content`"),
        (json!({"content": "x", "nonce": long(65)}), 400, "bad_message", "`nonce`"),
        (json!({"content": "x", "nonce": ""}), 400, "bad_message", "`nonce`"),
        (json!({"content": "x", "user": ""}), 400, "bad_message", "`user`"),
        (json!({"content": "x", "user": "a\u{0}"}), 400, "bad_message", "`user`"),
        (json!(["x"]), 400, "bad_message", "an object"),
        (json!({"content": long(5001)}), 413, "too_large", "5000"),
    ] {
        for path in ["/rooms/lobby/messages", "/users/bob/messages"] {
            let refused = call(&app, "POST", path, body.clone()).await;
            refused.assert_error(status, code);
            assert!(refused.body.contains(named), "{body}: {refused:?}");
        }
    }
    // In a call that may be larger, each message is bounded all the same.
    let commands = json!([{"type": "direct", "to": "bob", "content": long(5001)}]);
    let refused = call(&app, "POST", "/batch", json!({"commands": commands})).await;
    refused.assert_error(413, "too_large");
    assert!(refused.body.contains("`commands[0]`: `content`"), "{refused:?}");
    let body = json!({"rooms": ["a"], "content": long(5001)});
    call(&app, "POST", "/broadcast", body).await.assert_error(413, "too_large");
    for (room, status, code) in
        [("a%20b", 400, "bad_message"), ("@bob", 403, "forbidden"), ("%FF", 400, "bad_message")]
    {
        let path = format!("/rooms/{room}/messages");
        call(&app, "POST", &path, json!({"content": "x"})).await.assert_error(status, code);
        call(&app, "GET", &path, Value::Null).await.assert_error(status, code);
    }
    done(&app, "POST", "/rooms/a%2Fb/messages", json!({"content": long(4900)})).await;
    assert_eq!(get(&app, "/rooms/lobby/messages").await["messages"], json!([]));
}

#[tokio::test]
async fn a_body_that_says_it_is_something_else_is_refused() {
    let app = super::alone().await;
    let ask = async |kind: &str, body: &Value| {
        let head = [
            ("authorization", format!("Bearer {}", super::KEY)),
            ("content-type", kind.to_owned()),
        ];
        app.send("POST", "/api/v1/rooms/lobby/messages", &head, &body.to_string()).await
    };
    let body = json!({"content": "x"});
    for kind in ["application/json", "Application/JSON; charset=utf-8", "application/ld+json"] {
        assert_eq!(ask(kind, &body).await.status, 200, "{kind}");
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "json", ""] {
        let refused = ask(kind, &body).await;
        refused.assert_error(415, "bad_message");
        assert!(refused.body.contains("application/json"), "{refused:?}");
    }
}
