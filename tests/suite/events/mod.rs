//! `GET /events` and what is said beside it: a session like any other.

mod cluster;
mod cuts;
mod ends;
mod posts;
mod resume;

use serde_json::json;

use crate::harness::{Listener, TestApp, came, went};

#[tokio::test]
async fn the_head_keeps_every_proxy_from_holding_events_back() {
    let app = TestApp::spawn("").await;
    let listener = app.listener("alice", &[]).await;
    let header = |name| listener.response.header(name).unwrap_or_default();
    assert_eq!(header("content-type"), "text/event-stream");
    assert_eq!(header("cache-control"), "no-store, no-transform");
    assert_eq!(header("x-accel-buffering"), "no");
    assert_eq!(header("connection"), "close");
    assert_eq!(listener.response.header("transfer-encoding"), None);
    assert_eq!(listener.response.header("content-length"), None);
    assert_eq!(listener.response.header("content-encoding"), None);
    let retry = listener.retry.expect("a time to wait");
    assert!((1000..3000).contains(&retry), "{retry}");
}

#[tokio::test]
async fn events_are_the_messages_of_a_socket() {
    let app = TestApp::spawn("presence.grace = \"0s\"").await;
    let mut bob = app.member("bob", "lobby").await;
    let mut alice = app.listener("alice", &["lobby"]).await;
    let joined = alice.expect("joined").await;
    let epoch = joined.data["epoch"].as_str().expect("an epoch").to_owned();
    assert_eq!(joined.id, Some(format!("lobby@{epoch}:0")));
    bob.until(|m| came(m, "alice")).await;

    // The same message, but for what is the session's own.
    for message in [
        json!({"type": "chat", "room": "lobby", "content": "line\nline \u{2028} é"}),
        json!({"type": "publish", "room": "lobby", "event": "e", "data": {"a": [1, null]}}),
        json!({"type": "set", "room": "lobby", "key": "k", "value": [1]}),
    ] {
        let seq = bob.write(message).await["seq"].clone();
        let here = bob.until(|m| m["seq"] == seq && m["type"] != "ack").await;
        let there = alice.until(|told| told.data["seq"] == seq && told.data["room"] == "lobby");
        let there = there.await;
        assert_eq!((there.name, &there.data), (None, &here));
        assert_eq!(there.id, Some(format!("lobby@{epoch}:{seq}")));
    }
    bob.ask(json!({"type": "typing", "room": "lobby", "active": true}), "ack").await;
    let typing = alice.expect("typing").await;
    assert_eq!((typing.id, &typing.data["user"]), (None, &json!("bob")));
    bob.ask(json!({"type": "direct", "to": "alice", "content": "psst"}), "ack").await;
    let direct = alice.expect("direct").await;
    assert_eq!((direct.id, &direct.data["content"]), (None, &json!("psst")));

    // Who listens is a member, and gone as soon as the client is: long before
    // the next heartbeat.
    drop(alice);
    bob.until(|m| went(m, "alice")).await;
    app.until_connections(1).await;
}

#[tokio::test]
async fn what_members_are_sent_depends_on_what_each_speaks() {
    let app = TestApp::spawn("").await;
    let mut socket = app.member("ada", "lobby").await;
    let mut same_user = app.listener("ada", &["lobby"]).await;
    let mut other = app.listener("bob", &["lobby"]).await;
    for listener in [&mut same_user, &mut other] {
        listener.expect("joined").await;
    }
    let chat = json!({"type": "chat", "room": "lobby", "content": "hi", "nonce": "n"});
    socket.write(chat).await;
    assert_eq!(socket.expect("chat").await["nonce"], "n");
    assert_eq!(same_user.expect("chat").await.data["nonce"], "n");
    assert_eq!(other.expect("chat").await.data.get("nonce"), None);
    socket.ask(json!({"type": "status", "status": "busy"}), "ack").await;
    for listener in [&mut same_user, &mut other] {
        let updated = |told: &crate::harness::Told| {
            told.data["updated"].as_array().is_some_and(|list| !list.is_empty())
        };
        listener.until(updated).await;
    }
}

#[tokio::test]
async fn it_is_refused_as_a_socket_is() {
    let app = TestApp::spawn(
        "limits.connections_per_user = 1\nserver.allowed_origins = [\"https://good.test\"]",
    )
    .await;
    let refused = async |connect| match Listener::attempt(connect).await {
        Ok(_) => panic!("it was not refused"),
        Err(response) => response,
    };
    refused(app.events()).await.assert_error(401, "unauthorized");
    refused(app.events().bearer("x.y.z")).await.assert_error(401, "unauthorized");
    let token = app.token("alice");
    let foreign = app.events().bearer(&token).header("origin", "https://evil.test");
    refused(foreign).await.assert_error(403, "origin_not_allowed");

    let cookie = app.events().header("cookie", format!("rookery_token={token}"));
    let one = Listener::open(cookie.header("origin", "https://good.test")).await;
    let second = refused(app.events().query("token", &token)).await;
    second.assert_error(429, "rate_limited");
    second.assert_retry_after();
    // The place of one's own session is no further one.
    let again = app.events().query("token", &token).query("session", one.session());
    let again = Listener::open(again).await;
    assert_eq!(again.session(), one.session());
    let metrics = app.get("/metrics").await.body;
    assert!(metrics.contains("rookery_event_streams_opened_total 2\n"), "{metrics}");
}

#[tokio::test]
async fn pages_of_allowed_origins_may_read_the_answers() {
    let app = TestApp::spawn("server.allowed_origins = [\"https://good.test\"]").await;
    let connect = app.events().bearer(&app.token("alice")).header("origin", "https://good.test");
    let alice = Listener::open(connect).await;
    let path = format!("/api/v1/client/{}", alice.session());
    let bearer = format!("Bearer {}", app.token("alice"));
    let head = [("authorization", bearer), ("origin", "https://good.test".to_owned())];
    let posted = app.post_with(&path, &head, &json!({"type": "ping"})).await;
    let asked = app.options(&path, "https://good.test").await;
    assert_eq!((posted.status, asked.status), (202, 204));
    assert_eq!(asked.header("access-control-allow-methods"), Some("GET, POST"));
    for answer in [&alice.response, &posted, &asked] {
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://good.test"));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("vary"), Some("origin"));
    }
    for path in [path.as_str(), "/events"] {
        app.options(path, "https://evil.test").await.assert_error(403, "origin_not_allowed");
    }
}
