use serde_json::{Value, json};

use crate::harness::{Response, TestApp};

const SETTINGS: &str = r#"
api.keys = ["a-key-for-everything"]
api.key = [
    { name = "writer", key = "a-key-for-writing", scopes = ["publish", "set"], rooms = ["w:*", "one"] },
    { name = "reader", key = "a-key-for-reading", scopes = ["history", "rooms", "presence"], rooms = ["w:*"] },
]
"#;

/// What a session of bob may be called.
const SESSION_OF_BOB: &str = "000102030405060708090a0b0c0d0e0f066209a1b72f656a";

/// Every call, with the scope that it needs.
fn calls() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    let message = json!({"content": "x"});
    let batch = |command: Value| json!({"commands": [command]});
    vec![
        ("POST", "/rooms/w:1/messages", message.clone(), "publish"),
        ("POST", "/broadcast", json!({"rooms": ["w:1"], "content": "x"}), "publish"),
        (
            "POST",
            "/batch",
            batch(json!({"type": "publish", "room": "w:1", "content": "x"})),
            "publish",
        ),
        ("PUT", "/rooms/w:1/state/k", json!({"value": 1}), "set"),
        ("DELETE", "/rooms/w:1/state/k", Value::Null, "set"),
        (
            "POST",
            "/batch",
            batch(json!({"type": "set", "room": "w:1", "key": "k", "value": 1})),
            "set",
        ),
        ("POST", "/users/bob/messages", message, "direct"),
        ("POST", "/batch", batch(json!({"type": "direct", "to": "bob", "content": "x"})), "direct"),
        ("GET", "/rooms/w:1/messages", Value::Null, "history"),
        ("GET", "/rooms/w:1/state", Value::Null, "history"),
        ("GET", "/rooms/w:1/presence", Value::Null, "presence"),
        ("GET", "/users/bob", Value::Null, "presence"),
        ("GET", "/rooms", Value::Null, "rooms"),
        ("GET", "/largest-rooms", Value::Null, "rooms"),
        ("GET", "/users/bob/sessions", Value::Null, "presence"),
        ("POST", "/users/bob/disconnect", Value::Null, "disconnect"),
        ("POST", "/users/bob/sessions/SESSION/disconnect", Value::Null, "disconnect"),
        ("POST", "/tokens/t/revoke", Value::Null, "disconnect"),
        ("GET", "/nodes", Value::Null, "cluster"),
        ("GET", "/stats", Value::Null, "cluster"),
    ]
}

async fn call(app: &TestApp, key: &str, method: &str, path: &str, body: &Value) -> Response {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let path = path.replace("SESSION", SESSION_OF_BOB);
    app.backend(key, method, &format!("/api/v1{path}"), &body).await
}

#[tokio::test]
async fn a_key_may_do_what_its_scopes_say() {
    let app = TestApp::spawn(SETTINGS).await;
    for (key, scopes) in [
        ("a-key-for-writing", &["publish", "set"][..]),
        ("a-key-for-reading", &["history", "rooms", "presence"]),
    ] {
        for (method, path, body, scope) in calls() {
            let answer = call(&app, key, method, path, &body).await;
            if scopes.contains(&scope) {
                assert_eq!(answer.status, 200, "{key} {method} {path}: {answer:?}");
            } else {
                answer.assert_error(403, "forbidden");
                assert!(answer.body.contains(&format!("`{scope}`")), "{path}: {answer:?}");
            }
        }
    }
    for (method, path, body, _) in calls() {
        let answer = call(&app, "a-key-for-everything", method, path, &body).await;
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        for wrong in ["", "a-key-for-writin", "a-key-for-writingg", "writer"] {
            let answer = call(&app, wrong, method, path, &body).await;
            answer.assert_error(401, "unauthorized");
        }
    }
}

#[tokio::test]
async fn a_key_is_for_the_rooms_it_names() {
    let app = TestApp::spawn(SETTINGS).await;
    let (writing, reading) = ("a-key-for-writing", "a-key-for-reading");
    let message = json!({"content": "x"});
    for room in ["w:1", "w:2", "one", "two"] {
        let path = format!("/rooms/{room}/messages");
        let answer = call(&app, "a-key-for-everything", "POST", &path, &message).await;
        assert_eq!(answer.status, 200);
        let answer = call(&app, writing, "POST", &path, &message).await;
        assert_eq!(answer.status, if room == "two" { 403 } else { 200 }, "{room}: {answer:?}");
    }
    let refused = [
        ("PUT", "/rooms/two/state/k", json!({"value": 1})),
        ("POST", "/broadcast", json!({"rooms": ["one", "two"], "content": "x"})),
        (
            "POST",
            "/batch",
            json!({"commands": [
                {"type": "publish", "room": "one", "content": "x"},
                {"type": "publish", "room": "two", "content": "x"},
            ]}),
        ),
    ];
    for (method, path, body) in refused {
        let answer = call(&app, writing, method, path, &body).await;
        answer.assert_error(403, "forbidden");
        assert!(answer.body.contains("`two`"), "{answer:?}");
    }
    for path in ["/rooms/one/messages", "/rooms/one/state", "/rooms/one/presence"] {
        call(&app, reading, "GET", path, &Value::Null).await.assert_error(403, "forbidden");
    }
    let listed = call(&app, reading, "GET", "/rooms", &Value::Null).await.json();
    let mut rooms: Vec<_> =
        listed["rooms"].as_array().unwrap().iter().map(|it| it["room"].as_str().unwrap()).collect();
    rooms.sort_unstable();
    assert_eq!(rooms, ["w:1", "w:2"]);
    // Nothing of what was refused was done: two writes of each key's own.
    let log = call(&app, "a-key-for-everything", "GET", "/rooms/one/messages", &Value::Null).await;
    assert_eq!(log.json()["messages"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_method_that_is_not_answered_is_told_which_are() {
    let app = TestApp::spawn(SETTINGS).await;
    for (path, allowed) in [
        ("/rooms", "GET"),
        ("/rooms/r/messages", "GET, POST"),
        ("/rooms/r/presence", "GET"),
        ("/rooms/r/state", "GET"),
        ("/rooms/r/state/k", "PUT, DELETE"),
        ("/broadcast", "POST"),
        ("/batch", "POST"),
        ("/users/bob", "GET"),
        ("/users/bob/messages", "POST"),
        ("/largest-rooms", "GET"),
        ("/users/bob/sessions", "GET"),
        ("/users/bob/sessions/s/disconnect", "POST"),
        ("/key", "GET"),
        ("/trace", "GET"),
        ("/nodes", "GET"),
        ("/stats", "GET"),
        ("/openapi.json", "GET"),
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"] {
            if allowed.split(", ").any(|it| it == method) {
                continue;
            }
            let answer = call(&app, "a-key-for-everything", method, path, &Value::Null).await;
            assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
            assert_eq!(answer.header("allow"), Some(allowed), "{path}");
        }
    }
}

#[tokio::test]
async fn a_key_sees_what_it_may_do() {
    let app = TestApp::spawn(SETTINGS).await;
    let seen = async |key| call(&app, key, "GET", "/key", &Value::Null).await;
    let reading =
        json!({"name": "reader", "scopes": ["history", "rooms", "presence"], "rooms": ["w:*"]});
    assert_eq!(seen("a-key-for-reading").await.json(), reading);
    let all = seen("a-key-for-everything").await.json();
    assert_eq!((&all["name"], &all["rooms"]), (&Value::Null, &Value::Null), "{all}");
    let mut scopes: Vec<_> =
        calls().into_iter().map(|(.., scope)| scope).chain(["trace"]).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let mut named: Vec<_> =
        all["scopes"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(named, scopes, "every scope there is");
    seen("a-key-for-readin").await.assert_error(401, "unauthorized");
}
