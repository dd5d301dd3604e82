//! What a client that listens has to say.

use serde_json::json;

use crate::harness::{TestApp, now_s};

#[tokio::test]
async fn what_is_posted_is_answered_over_the_stream() {
    let app = TestApp::spawn("").await;
    let mut bob = app.member("bob", "lobby").await;
    let mut alice = app.listener("alice", &[]).await;
    let session = alice.session().to_owned();

    let join =
        app.say("alice", &session, &json!({"type": "join", "room": "lobby", "id": "j"})).await;
    assert_eq!((join.status, join.json()), (202, json!({})));
    assert_eq!(alice.reply("j").await["type"], "joined");

    let messages = json!([
        {"type": "chat", "room": "lobby", "content": "one", "id": "1", "nonce": "n1"},
        {"type": "chat", "room": "lobby", "content": "two", "id": "2"},
        {"type": "nonsense", "id": "3"},
        "no object",
        {"type": "ping", "id": "4"},
    ]);
    assert_eq!(app.say("alice", &session, &messages).await.status, 202);
    for (id, kind) in [("1", "ack"), ("2", "ack"), ("3", "error"), ("4", "pong")] {
        assert_eq!(alice.reply(id).await["type"], kind);
    }
    alice.until(|told| told.data["code"] == "bad_message").await;
    let contents = [bob.expect("chat").await, bob.expect("chat").await];
    assert_eq!(contents.map(|it| it["content"].clone()), [json!("one"), json!("two")]);
    assert_eq!(alice.expect("chat").await.data["nonce"], "n1");
    let one = app.listener("alice", &["lobby"]).await;
    assert_ne!(one.session(), session);
}

#[tokio::test]
async fn only_its_user_may_say_something_to_a_session_and_only_by_a_stream() {
    let app = TestApp::spawn("server.allowed_origins = [\"https://good.test\"]").await;
    let alice = app.listener("alice", &[]).await;
    let socket = app.client("alice").await;
    let ping = json!({"type": "ping"});
    let path = format!("/api/v1/client/{}", alice.session());
    app.post(&path, &ping).await.assert_error(401, "unauthorized");
    let expired = app.token_with("alice", json!({"exp": now_s() - 1}));
    let head = [("authorization", format!("Bearer {expired}"))];
    app.post_with(&path, &head, &ping).await.assert_error(401, "unauthorized");
    let own = format!("Bearer {}", app.token("alice"));
    let foreign = [("authorization", own.clone()), ("origin", "https://evil.test".to_owned())];
    app.post_with(&path, &foreign, &ping).await.assert_error(403, "origin_not_allowed");
    let cookie = [("cookie", format!("rookery_token={}", app.token("alice")))];
    assert_eq!(app.post_with(&path, &cookie, &ping).await.status, 202);

    app.say("mallory", alice.session(), &ping).await.assert_error(404, "not_found");
    app.say("alice", "nonsense", &ping).await.assert_error(404, "not_found");
    app.say("alice", socket.session(), &ping).await.assert_error(404, "not_found");
    let session = alice.session().to_owned();
    drop(alice);
    app.until_connections(1).await;
    app.say("alice", &session, &ping).await.assert_error(404, "not_found");
}

#[tokio::test]
async fn what_is_too_much_is_refused_whole() {
    let app = TestApp::spawn("limits.message_bytes = 2000").await;
    let mut alice = app.listener("alice", &["lobby"]).await;
    alice.expect("joined").await;
    let session = alice.session().to_owned();
    let chat = |content: String| json!({"type": "chat", "room": "lobby", "content": content});
    let long = json!([chat("short".into()), chat("x".repeat(2000))]);
    app.say("alice", &session, &long).await.assert_error(413, "too_large");
    let many: Vec<_> = (0..33).map(|_| json!({"type": "ping"})).collect();
    app.say("alice", &session, &json!(many)).await.assert_error(413, "too_large");
    let whole: Vec<_> = (0..5).map(|_| chat("x".repeat(1900))).collect();
    app.say("alice", &session, &json!(whole)).await.assert_error(413, "too_large");
    let bearer = format!("Bearer {}", app.token("alice"));
    let torn = app.post_torn(&format!("/api/v1/client/{session}"), &bearer, "[{\"type\":").await;
    torn.assert_error(400, "bad_json");
    // None of it was taken.
    app.say("alice", &session, &json!({"type": "history", "room": "lobby", "id": "h"})).await;
    assert_eq!(alice.reply("h").await["messages"], json!([]));
}

#[tokio::test]
async fn the_rate_of_a_session_is_limited_however_it_speaks() {
    let app = TestApp::spawn("limits.messages_per_second = 5").await;
    let mut alice = app.listener("alice", &[]).await;
    let session = alice.session().to_owned();
    let pings: Vec<_> = (0..12).map(|n| json!({"type": "ping", "id": format!("{n}")})).collect();
    assert_eq!(app.say("alice", &session, &json!(pings)).await.status, 202);
    let refused = alice.reply("11").await;
    assert_eq!(refused["code"], "rate_limited");
    let pings: Vec<_> = (0..32).map(|_| json!({"type": "ping"})).collect();
    assert_eq!(app.say("alice", &session, &json!(pings)).await.status, 202);
    assert_eq!(alice.closed().await, Some((1008, "rate_limited".to_owned())));
}

#[tokio::test]
async fn a_session_that_has_enough_to_do_takes_no_more() {
    let app = TestApp::spawn(
        "outbound.reliable_bytes = 20000\nlimits.messages_per_second = 100000\n\
         heartbeat.interval = \"60s\"\nheartbeat.timeout = \"60s\"",
    )
    .await;
    let mut writer = app.member("writer", "lobby").await;
    for _ in 0..50 {
        writer.chat("lobby", &"x".repeat(1000)).await;
    }
    let connect = app.events().bearer(&app.token("alice")).receive_buffer(4096);
    let mut alice = crate::harness::Listener::open(connect).await;
    let session = alice.session().to_owned();
    // Answers that nobody reads, until the session waits for that.
    let ask = |n: usize| json!({"type": "history", "room": "lobby", "id": format!("{n}")});
    let mut taken = 0;
    let refused = loop {
        let answer = app.say("alice", &session, &ask(taken)).await;
        if answer.status != 202 {
            break answer;
        }
        taken += 1;
        assert!(taken < 10_000, "all was taken");
    };
    refused.assert_error(429, "rate_limited");
    refused.assert_retry_after();
    // It reads, and all that was taken is answered.
    for n in 0..taken {
        assert_eq!(alice.reply(&n.to_string()).await["type"], "history");
    }
    crate::harness::eventually("the session takes more", async || {
        (app.say("alice", &session, &json!({"type": "ping", "id": "p"})).await.status == 202)
            .then_some(())
    })
    .await;
    assert_eq!(alice.reply("p").await["type"], "pong");
}
