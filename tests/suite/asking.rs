//! A backend is asked before somebody connects, joins or writes.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::{Backend, Client, Reply, TestApp, eventually};

const KEY: &str = "a-key-of-the-backend";

async fn node(backend: &Backend, settings: &str) -> TestApp {
    let url = backend.url();
    TestApp::spawn(&format!("ask.url = {url:?}\nask.keys = [{KEY:?}]\n{settings}")).await
}

async fn answering(answer: impl FnMut(Value) -> Value + Send + 'static) -> Backend {
    let mut answer = answer;
    Backend::answering(move |call| Reply::json(&answer(call.json()))).await
}

#[tokio::test]
async fn who_connects_is_let_in_as_the_backend_says() {
    let backend = answering(|question| match question["user"].as_str() {
        Some("mallory") => json!({"allow": false, "message": "not today"}),
        Some("hasty") => json!({"allow": false, "code": "rate_limited"}),
        Some("alice") => json!({
            "allow": true, "name": "Alice A.", "meta": {"team": "blue"}, "rooms": ["home"],
            "grants": {"home": ["join", "presence"], "lobby": ["join"]},
        }),
        _ => json!({"allow": true}),
    })
    .await;
    let node = node(&backend, "ask.connect = true").await;
    let refusal = node.connect("mallory").refused().await;
    refusal.assert_error(403, "forbidden");
    assert_eq!(refusal.json()["error"]["message"], "not today");
    node.connect("hasty").refused().await.assert_error(429, "rate_limited");

    let mut alice = node.client("alice").await;
    let joined = alice.expect("joined").await;
    assert_eq!(joined["room"], "home");
    let member = &joined["members"][0];
    assert_eq!((&member["name"], &member["meta"]), (&json!("Alice A."), &json!({"team": "blue"})));
    alice.join("lobby").await;
    alice.refused(json!({"type": "join", "room": "kitchen"}), "forbidden").await;
    alice.refused(json!({"type": "chat", "room": "lobby", "content": "x"}), "forbidden").await;
    // With a new token it is asked again, and its answer holds.
    let token = node.token("alice");
    alice.ask(json!({"type": "refresh", "token": token}), "refreshed").await;
    alice.refused(json!({"type": "join", "room": "kitchen"}), "forbidden").await;

    let mut bob = node.client_with("bob", json!({"name": "Bob", "meta": 1})).await;
    bob.join("kitchen").await;
    let questions: Vec<Value> = backend.calls().iter().map(|call| call.json()).collect();
    let of_bob = questions.iter().find(|it| it["user"] == "bob").unwrap();
    assert_eq!(of_bob["ask"], "connect");
    assert_eq!((&of_bob["name"], &of_bob["meta"]), (&json!("Bob"), &json!(1)));
    assert_eq!((&of_bob["address"], &of_bob["refresh"]), (&json!("127.0.0.1"), &json!(false)));
    assert!(of_bob["grants"]["*"].is_array() && of_bob["expires_at"].is_u64(), "{of_bob}");
    assert!(questions.iter().any(|it| it["refresh"] == true && it["user"] == "alice"));
}

#[tokio::test]
async fn rooms_are_joined_as_the_backend_says() {
    let backend = answering(|question| {
        assert_eq!(question["ask"], "join");
        assert!(question["session"].is_string());
        json!({"allow": question["user"] == "alice", "code": "room_full", "message": "members only"})
    })
    .await;
    let node = node(&backend, "ask.join = [\"private:*\"]").await;
    let mut alice = node.client("alice").await;
    alice.join("private:a").await;
    alice.join("private:a").await;
    let mut bob = node.client("bob").await;
    let error = bob.refused(json!({"type": "join", "room": "private:a"}), "room_full").await;
    assert_eq!((&error["message"], &error["room"]), (&json!("members only"), &json!("private:a")));
    bob.refused(json!({"type": "chat", "room": "private:a", "content": "x"}), "not_joined").await;
    bob.join("lobby").await;
    assert_eq!(alice.members("private:a").await["count"], 1);
    assert_eq!(backend.calls().len(), 2, "not for other rooms, nor for a member");
    // In the query too.
    let mut carol = node.connect("carol").query("room", "private:a").client().await;
    assert_eq!(carol.expect("error").await["code"], "room_full");
}

#[tokio::test]
async fn what_is_written_is_what_the_backend_says() {
    let backend = answering(|question| match question["content"].as_str() {
        Some("spam") => json!({"allow": false, "code": "too_large", "message": "no spam"}),
        Some(text) => json!({"allow": true, "content": text.replace("bad", "b*d")}),
        None if question["event"] == "move" => json!({"allow": true, "data": {"x": 0}}),
        None => json!({"allow": true, "value": "capped"}),
    })
    .await;
    let node = node(&backend, "ask.publish = [\"lobby\", \"@bob\"]").await;
    let mut alice = node.member("alice", "lobby").await;
    let mut bob = node.member("bob", "lobby").await;
    alice.chat("lobby", "a bad word").await;
    assert_eq!(bob.expect("chat").await["content"], "a b*d word");
    let spam = json!({"type": "chat", "room": "lobby", "content": "spam"});
    assert_eq!(alice.refused(spam, "too_large").await["message"], "no spam");
    alice
        .write(json!({"type": "publish", "room": "lobby", "event": "move", "data": {"x": 9}}))
        .await;
    assert_eq!(bob.expect("event").await["data"], json!({"x": 0}));
    alice.set("lobby", "key", json!(1000)).await;
    assert_eq!(bob.expect("set").await["value"], "capped");
    alice.write(json!({"type": "direct", "to": "bob", "content": "bad"})).await;
    assert_eq!(bob.expect("direct").await["content"], "b*d");
    assert_eq!(alice.expect("direct").await["content"], "b*d", "its own copy is the same");
    alice.join("kitchen").await;
    let asked = backend.calls().len();
    alice.chat("kitchen", "bad").await;
    assert_eq!(backend.calls().len(), asked, "not for other rooms");
}

#[tokio::test]
async fn without_an_answer_the_configuration_decides() {
    let reply = Arc::new(Mutex::new(Reply::Silence));
    let replies = reply.clone();
    let backend = Backend::answering(move |_| replies.lock().unwrap().clone()).await;
    let settings = |otherwise: &str| {
        format!(
            "ask.connect = true\nask.publish = [\"*\"]\nask.timeout = \"200ms\"\nask.otherwise = {otherwise:?}"
        )
    };
    let (strict, lax) =
        (node(&backend, &settings("deny")).await, node(&backend, &settings("allow")).await);
    for answer in [
        Reply::Silence,
        Reply::status(500),
        Reply::Status(200, "{\"allow\": 1}".to_owned()),
        Reply::Status(200, format!("{{\"allow\": true, \"x\": \"{}\"}}", "x".repeat(100_000))),
    ] {
        *reply.lock().unwrap() = answer;
        let refusal = strict.connect("alice").refused().await;
        refusal.assert_error(503, "unavailable");
        refusal.assert_retry_after();
        let mut alice = lax.member("alice", "lobby").await;
        alice.chat("lobby", "hello").await;
    }
    let metrics = strict.get("/metrics").await.body;
    assert!(
        metrics.contains("rookery_questions_total{kind=\"connect\",answer=\"none\"} 4"),
        "{metrics}"
    );
}

#[tokio::test]
async fn requests_behind_a_question_keep_their_order_and_others_go_on() {
    let held = Arc::new(Mutex::new(true));
    let holding = held.clone();
    // Silence ends by the timeout, and is as good as allowing.
    let backend = Backend::answering(move |call| match call.body.contains("slow") {
        true if *holding.lock().unwrap() => Reply::Silence,
        _ => Reply::json(&json!({"allow": true})),
    })
    .await;
    let settings = "ask.publish = [\"*\"]\nask.timeout = \"1s\"\nask.otherwise = \"allow\"";
    let node = node(&backend, settings).await;
    let mut alice = node.member("alice", "lobby").await;
    let mut bob = node.member("bob", "lobby").await;
    for text in ["slow", "second", "third"] {
        alice.send(&json!({"type": "chat", "room": "lobby", "content": text})).await;
    }
    eventually("the question", async || (!backend.calls().is_empty()).then_some(())).await;
    bob.chat("lobby", "not behind it").await;
    let mut order = Vec::new();
    for _ in 0..4 {
        order.push(bob.expect("chat").await["content"].as_str().unwrap().to_owned());
    }
    assert_eq!(order, ["not behind it", "slow", "second", "third"]);
}

#[tokio::test]
async fn so_many_questions_are_open_and_no_more() {
    let backend = Backend::answering(|_| Reply::Silence).await;
    let settings =
        "ask.publish = [\"*\"]\nask.timeout = \"1s\"\nask.at_once = 2\nask.otherwise = \"deny\"";
    let node = node(&backend, settings).await;
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..5 {
        clients.push(node.member(&format!("user-{number}"), &format!("room-{number}")).await);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let room = format!("room-{number}");
        client.send(&json!({"type": "chat", "room": room, "content": "x", "id": 1})).await;
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let error = client.until(|message| message["id"] == 1).await;
        let room = json!(format!("room-{number}"));
        assert_eq!((&error["code"], &error["room"]), (&json!("unavailable"), &room));
        assert!(error["retry_after_ms"].is_u64());
    }
    // One may have had its turn in the last moment of its time.
    let calls = backend.calls().len();
    assert!((2..5).contains(&calls), "{calls}: the others waited for their turn in vain");
}

/// A node whose backend never answers what `is_slow` says, with four questions at once.
async fn slow_for(is_slow: fn(&Value) -> bool) -> (Backend, TestApp) {
    let backend = Backend::answering(move |call| match is_slow(&call.json()) {
        true => Reply::Silence,
        false => Reply::json(&json!({"allow": true})),
    })
    .await;
    let settings = "ask.publish = [\"*\"]\nask.at_once = 4\nask.timeout = \"60s\"";
    let node = node(&backend, settings).await;
    (backend, node)
}

/// Has so many of these clients write, and waits until the backend was asked by as many as
/// may at once.
async fn flood(backend: &Backend, clients: &mut [Client], room: &str, at_once: usize) {
    for client in &mut *clients {
        client.send(&json!({"type": "chat", "room": room, "content": "slow", "id": 1})).await;
    }
    eventually("the questions", async || (backend.calls().len() == at_once).then_some(())).await;
}

#[tokio::test]
async fn a_user_with_many_sessions_does_not_keep_others_from_being_asked_for() {
    let (backend, node) = slow_for(|question| question["user"] == "mallory").await;
    let mut sessions = Vec::new();
    for _ in 0..8 {
        sessions.push(node.member("mallory", "lobby").await);
    }
    flood(&backend, &mut sessions, "lobby", 1).await;
    let mut alice = node.member("alice", "lobby").await;
    alice.chat("lobby", "in time").await;
}

#[tokio::test]
async fn a_room_for_which_the_backend_is_slow_does_not_keep_others_from_being_asked_for() {
    let (backend, node) = slow_for(|question| question["room"] == "slow").await;
    let mut members = Vec::new();
    for number in 0..8 {
        members.push(node.member(&format!("user{number}"), "slow").await);
    }
    flood(&backend, &mut members, "slow", 2).await;
    let mut alice = node.member("alice", "quick").await;
    alice.chat("quick", "in time").await;
}
