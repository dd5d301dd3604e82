use serde_json::{Value, json};

use super::{KEY, call, done, get, with_both_brokers};
use crate::harness::{Endpoint, Response, TestApp};

with_both_brokers!(
    writes_are_seen_by_members_and_theirs_by_backends,
    a_version_is_compared_whoever_wrote_it,
    a_retried_write_is_no_conflict,
    state_is_read_in_pages,
);

/// A write with `If-Match`.
async fn if_match(
    node: &Endpoint,
    method: &str,
    path: &str,
    version: &str,
    body: Value,
) -> Response {
    let head = [("authorization", format!("Bearer {KEY}")), ("if-match", version.to_owned())];
    node.send(method, &format!("/api/v1{path}"), &head, &body.to_string()).await
}

async fn writes_are_seen_by_members_and_theirs_by_backends(asked: &Endpoint, clients: &Endpoint) {
    let mut alice = clients.member("alice", "dash").await;
    let path = "/rooms/dash/state/a%2Fb%20%C3%BC";
    let put = done(asked, "PUT", path, json!({"value": {"n": 1}, "user": "ci"})).await;
    assert_eq!((&put["key"], &put["room"]), (&json!("a/b ü"), &json!("dash")), "{put}");
    assert_eq!((&put["seq"], &put["version"]), (&json!(1), &json!(1)), "{put}");
    let set = alice.expect("set").await;
    assert_eq!((&set["key"], &set["user"]), (&json!("a/b ü"), &json!("ci")), "{set}");
    assert_eq!((&set["value"], &set["version"]), (&json!({"n": 1}), &json!(1)), "{set}");

    alice.set("dash", "mine", json!([2])).await;
    let state = get(asked, "/rooms/dash/state").await;
    let expected =
        json!({"a/b ü": {"value": {"n": 1}, "version": 1}, "mine": {"value": [2], "version": 2}});
    assert_eq!((&state["state"], &state["seq"]), (&expected, &json!(2)), "{state}");
    assert_eq!((&state["more"], &state["next"]), (&json!(false), &Value::Null), "{state}");
    assert_eq!((&state["room"], &state["epoch"]), (&json!("dash"), &put["epoch"]), "{state}");

    // Deleting what is not there is no mistake; null deletes too.
    let gone = done(asked, "DELETE", path, Value::Null).await;
    assert_eq!((&gone["seq"], &gone["version"]), (&json!(3), &json!(0)), "{gone}");
    let set = alice.until(|it| it["type"] == "set" && it["seq"] == 3).await;
    assert_eq!((&set["value"], &set["user"]), (&Value::Null, &Value::Null), "{set}");
    done(asked, "DELETE", path, json!({"user": "ci"})).await;
    let gone = done(asked, "PUT", "/rooms/dash/state/mine", json!({"value": null})).await;
    assert_eq!((&gone["seq"], &gone["version"]), (&json!(5), &json!(0)), "{gone}");
    assert_eq!(get(asked, "/rooms/dash/state").await["state"], json!({}));
    let empty = get(asked, "/rooms/nobody-was-here/state").await;
    assert_eq!((&empty["state"], &empty["seq"]), (&json!({}), &json!(0)));
}

async fn a_version_is_compared_whoever_wrote_it(asked: &Endpoint, clients: &Endpoint) {
    let mut alice = clients.member("alice", "r").await;
    let path = "/rooms/r/state/k";
    // Must not exist, and does not.
    let first = if_match(asked, "PUT", path, "0", json!({"value": 1})).await;
    assert_eq!((first.status, &first.json()["version"]), (200, &json!(1)), "{first:?}");
    let refused = if_match(asked, "PUT", path, "\"0\"", json!({"value": 2})).await;
    refused.assert_error(409, "conflict");
    assert_eq!(refused.json()["error"]["current"], json!({"value": 1, "version": 1}));
    assert!(refused.body.contains("If-Match"), "{refused:?}");
    // A session's write makes the backend's version old, and the other way round.
    let set = |version: u64, value: u64| json!({"type": "set", "room": "r", "key": "k", "value": value, "if_version": version});
    assert_eq!(alice.write(set(1, 2)).await["seq"], 2);
    let refused = if_match(asked, "PUT", path, "1", json!({"value": 3})).await;
    assert_eq!(refused.json()["error"]["current"], json!({"value": 2, "version": 2}));
    let put = if_match(asked, "PUT", path, "\"2\"", json!({"value": 3})).await;
    assert_eq!((put.status, &put.json()["seq"]), (200, &json!(3)), "{put:?}");
    let conflict = alice.refused(set(2, 4), "conflict").await;
    assert_eq!(conflict["current"], json!({"value": 3, "version": 3}));
    // Deleting compares too, and then the key does not exist.
    if_match(asked, "DELETE", path, "2", json!({})).await.assert_error(409, "conflict");
    assert_eq!(if_match(asked, "DELETE", path, "3", json!({})).await.status, 200);
    let refused = if_match(asked, "DELETE", path, "3", json!({})).await;
    refused.assert_error(409, "conflict");
    assert_eq!(refused.json()["error"]["current"], json!({"value": null, "version": 0}));
    assert_eq!(alice.write(set(0, 5)).await["seq"], 5);
    for bad in ["*", "", "W/\"5\"", "x", "-1", "5, 6", "9007199254740993"] {
        let refused = if_match(asked, "PUT", path, bad, json!({"value": 1})).await;
        refused.assert_error(400, "bad_message");
        assert!(refused.body.contains("If-Match"), "{bad}: {refused:?}");
    }
}

async fn a_retried_write_is_no_conflict(asked: &Endpoint, other: &Endpoint) {
    let path = "/rooms/r/state/k";
    for user in [Value::Null, json!("ci")] {
        let current = get(asked, "/rooms/r/state").await["state"]["k"]["version"].clone();
        let version = current.as_u64().unwrap_or(0).to_string();
        let body = json!({"value": "x", "nonce": "n", "user": user});
        let first = if_match(asked, "PUT", path, &version, body.clone()).await.json();
        let again = if_match(other, "PUT", path, &version, body).await;
        assert_eq!(again.status, 200, "{again:?}");
        let again = again.json();
        assert_eq!((&again["duplicate"], &again["seq"]), (&json!(true), &first["seq"]), "{again}");
    }
    let body = json!({"nonce": "d", "user": "ci"});
    let first = if_match(asked, "DELETE", path, "2", body.clone()).await.json();
    assert_eq!(first["seq"], 3, "{first}");
    let again = if_match(other, "DELETE", path, "2", body).await.json();
    assert_eq!((&again["duplicate"], &again["seq"]), (&json!(true), &json!(3)), "{again}");
}

async fn state_is_read_in_pages(asked: &Endpoint, other: &Endpoint) {
    for key in ["e", "b", "d", "a", "c"] {
        done(other, "PUT", &format!("/rooms/r/state/{key}"), json!({"value": key})).await;
    }
    let (mut keys, mut path) = (Vec::new(), "/rooms/r/state?limit=2".to_owned());
    let mut pages = 0;
    loop {
        let page = get(asked, &path).await;
        pages += 1;
        keys.extend(page["state"].as_object().expect("an object").keys().cloned());
        let Some(next) = page["next"].as_str() else {
            assert_eq!(page["more"], false);
            break;
        };
        assert_eq!(page["more"], true);
        path = format!("/rooms/r/state?limit=2&after={next}");
    }
    assert_eq!((keys.concat().as_str(), pages), ("abcde", 3));
}

#[tokio::test]
async fn a_write_that_does_not_fit_is_refused_and_named() {
    let settings =
        format!("{}\nrooms.state_keys = 1\nlimits.message_bytes = 5000", super::SETTINGS);
    let app = TestApp::spawn(&settings).await;
    for (path, body, status, code, named) in [
        ("/rooms/r/state/k", json!({}), 400, "bad_message", "`value`"),
        ("/rooms/r/state/k", Value::Null, 400, "bad_message", "`value`"),
        ("/rooms/r/state/k", json!({"value": 1, "nonce": 7}), 400, "bad_message", "`nonce`"),
        ("/rooms/r/state/k", json!({"value": "x".repeat(5000)}), 413, "too_large", "5000"),
        ("/rooms/@r/state/k", json!({"value": 1}), 403, "forbidden", "@"),
        ("/rooms/a%20b/state/k", json!({"value": 1}), 400, "bad_message", "room"),
    ] {
        let refused = call(&app, "PUT", path, body).await;
        refused.assert_error(status, code);
        assert!(refused.body.contains(named), "{path}: {refused:?}");
    }
    let long = format!("/rooms/r/state/{}", "k".repeat(129));
    call(&app, "PUT", &long, json!({"value": 1})).await.assert_error(400, "bad_message");
    call(&app, "DELETE", &long, Value::Null).await.assert_error(400, "bad_message");
    done(&app, "PUT", "/rooms/r/state/k", json!({"value": 1})).await;
    let full = call(&app, "PUT", "/rooms/r/state/l", json!({"value": 1})).await;
    full.assert_error(413, "too_large");
    call(&app, "GET", "/rooms/r/state?limit=x", Value::Null).await.assert_error(400, "bad_message");
}
