//! One node, which keeps what waits in memory.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::json;

use super::telling;
use crate::harness::{Backend, Reply, TestApp, eventually};

const QUICK: &str = "presence.grace = \"50ms\"\n";

async fn node(backend: &Backend, settings: &str) -> TestApp {
    let quick = if settings.contains("presence.grace") { "" } else { QUICK };
    TestApp::spawn(&format!("{}{quick}{settings}", telling(backend))).await
}

#[tokio::test]
async fn who_comes_and_goes_is_told_once() {
    let backend = Backend::start().await;
    let node = node(&backend, "").await;
    let mut alice = node.member("alice", "lobby").await;
    let second = node.member("alice", "lobby").await;
    let bob = node.member("bob", "lobby").await;
    second.leave().await;
    alice.ask(json!({"type": "leave", "room": "lobby"}), "left").await;
    bob.leave().await;
    backend
        .until_told(&[
            "reset",
            "user_online alice",
            "room_occupied lobby",
            "member_joined lobby alice",
            "user_online bob",
            "member_joined lobby bob",
            "member_left lobby alice",
            "member_left lobby bob",
            "room_vacated lobby",
            "user_offline bob",
        ])
        .await;
    for call in backend.calls() {
        assert_eq!(call.header("content-type"), "application/json");
        assert!(call.header("user-agent").starts_with("rookery/"));
    }
    let events = backend.events();
    let times: Vec<u64> = events.iter().map(|it| it["timestamp"].as_u64().unwrap()).collect();
    assert!(times.is_sorted() && times[0] > 1_600_000_000_000, "{times:?}");
}

#[tokio::test]
async fn a_reload_is_no_event() {
    let backend = Backend::start().await;
    let node = node(&backend, "presence.grace = \"20s\"").await;
    for _ in 0..3 {
        node.member("alice", "lobby").await.leave().await;
    }
    let mut bob = node.member("bob", "lobby").await;
    assert_eq!(bob.members("lobby").await["count"], 2);
    backend
        .until_told(&[
            "reset",
            "user_online alice",
            "room_occupied lobby",
            "member_joined lobby alice",
            "user_online bob",
            "member_joined lobby bob",
        ])
        .await;
}

#[tokio::test]
async fn an_endpoint_chooses_and_one_that_is_down_holds_up_no_other() {
    let (first, other) = (Backend::answering(|_| Reply::status(500)).await, Backend::start().await);
    let more = format!(
        "webhooks.events = [\"room_occupied\"]\nwebhooks.rooms = [\"l*\"]\n\
         webhooks.endpoint = [{{ name = \"other\", url = {:?}, keys = [\"another-key\"], \
         events = [\"member_left\"], messages = [\"dash:*\", \"@bob\"] }}]\n",
        other.url()
    );
    let node = node(&first, &more).await;
    let mut alice = node.member("alice", "lobby").await;
    alice.join("kitchen").await;
    alice.join("dash:eu").await;
    alice.chat("dash:eu", "told").await;
    alice.chat("lobby", "not told").await;
    alice.write(json!({"type": "direct", "to": "bob", "content": "psst"})).await;
    alice.set("dash:eu", "key", json!([1])).await;
    alice.ask(json!({"type": "leave", "room": "kitchen"}), "left").await;
    other
        .until_told(&[
            "reset",
            "message dash:eu alice told",
            "message @bob alice psst",
            "message dash:eu alice",
            "member_left kitchen alice",
        ])
        .await;
    let set = &other.events()[3];
    assert_eq!((&set["seq"], &set["key"], &set["value"]), (&json!(2), &json!("key"), &json!([1])));
    assert!(set["epoch"].is_string());
    first.answer(|_| Reply::status(204));
    first.until_told(&["reset", "room_occupied lobby"]).await;
}

#[tokio::test]
async fn events_are_gathered_and_a_call_has_no_more_than_it_may() {
    let backend = Backend::answering(|_| Reply::status(503)).await;
    let node = node(&backend, "webhooks.batch = 7\nwebhooks.messages = [\"lobby\"]").await;
    let mut alice = node.member("alice", "lobby").await;
    for number in 0..30 {
        alice.chat("lobby", &number.to_string()).await;
    }
    backend.answer(|_| Reply::status(200));
    let told = eventually("all of them", async || {
        let told = backend.told();
        (told.len() == 34).then_some(told)
    })
    .await;
    let chats: Vec<String> =
        (0..30).map(|number| format!("message lobby alice {number}")).collect();
    assert_eq!(told[4..], chats);
    let sizes: Vec<usize> = backend.calls().iter().map(|call| call.events().len()).collect();
    assert!(sizes.iter().all(|size| *size <= 7) && sizes.contains(&7), "{sizes:?}");
}

#[tokio::test]
async fn what_fails_is_tried_again_with_the_same_ids() {
    let failures = Arc::new(AtomicUsize::new(0));
    let counted = failures.clone();
    let backend = Backend::answering(move |_| match counted.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::status(500),
        1 => Reply::Silence,
        2 => Reply::status(404),
        3 => Reply::status(302),
        _ => Reply::status(200),
    })
    .await;
    let node = node(&backend, "webhooks.timeout = \"200ms\"").await;
    let _alice = node.client("alice").await;
    backend.until_told(&["reset", "user_online alice"]).await;
    assert!(backend.calls().len() >= 5);
    assert_eq!(backend.events_by_id().len(), 2);
    let metrics = node.get("/metrics").await.body;
    for line in [
        "rookery_webhooks_delivered_total{endpoint=\"main\"} 2",
        "rookery_webhooks_retried_total{endpoint=\"main\"} 4",
        "rookery_webhooks_dropped_total{endpoint=\"main\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    eventually("nothing to wait", async || {
        let metrics = node.get("/metrics").await.body;
        metrics.contains("rookery_webhooks_waiting{endpoint=\"main\"} 0").then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_event_that_is_refused_holds_up_no_other() {
    let backend = Backend::answering(|call| {
        Reply::status(if call.body.contains("poison") { 422 } else { 200 })
    })
    .await;
    let node = node(&backend, "webhooks.messages = [\"lobby\"]").await;
    let mut alice = node.member("alice", "lobby").await;
    for text in ["before", "poison", "after"] {
        alice.chat("lobby", text).await;
    }
    backend
        .until_told(&[
            "reset",
            "user_online alice",
            "room_occupied lobby",
            "member_joined lobby alice",
            "message lobby alice before",
            "message lobby alice after",
        ])
        .await;
    let metrics = node.get("/metrics").await.body;
    assert!(metrics.contains("rookery_webhooks_refused_total{endpoint=\"main\"} 1"), "{metrics}");
}

#[tokio::test]
async fn past_the_bound_events_are_left_out_and_then_the_rooms_are_told() {
    let backend = Backend::answering(|_| Reply::status(500)).await;
    let node = node(&backend, "webhooks.queue = 4").await;
    let _alice = node.member("alice", "lobby").await;
    let bob = node.member("bob", "lobby").await;
    let _carol = node.member("carol", "lobby").await;
    bob.leave().await;
    node.until_connections(2).await;
    eventually("what is dropped", async || {
        let metrics = node.get("/metrics").await.body;
        // Bob's and Carol's coming, Bob's going.
        metrics.contains("rookery_webhooks_dropped_total{endpoint=\"main\"} 6").then_some(())
    })
    .await;
    backend.answer(|_| Reply::status(200));
    let events = eventually("the rooms", async || {
        let events = backend.events();
        (events.len() == 7).then_some(events)
    })
    .await;
    let told = backend.told();
    assert_eq!(
        told[..4],
        ["reset", "user_online alice", "room_occupied lobby", "member_joined lobby alice"]
    );
    let resync = |room: Option<&str>, user: Option<&str>| {
        let found = events.iter().find(|event| {
            event["type"] == "resync"
                && event["room"].as_str() == room
                && event["user"].as_str() == user
        });
        found.unwrap_or_else(|| panic!("no {room:?} {user:?} in {told:?}")).clone()
    };
    let lobby = resync(Some("lobby"), None);
    let mut members: Vec<&str> =
        lobby["members"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    members.sort_unstable();
    assert_eq!(
        (members, &lobby["count"], &lobby["lost"]),
        (vec!["alice", "carol"], &json!(2), &json!(3))
    );
    assert_eq!(resync(None, Some("bob"))["online"], false);
    assert_eq!(resync(None, Some("carol"))["online"], true);
    // And on from there.
    let _bob = node.member("bob", "lobby").await;
    eventually("what happens now", async || {
        backend
            .told()
            .ends_with(&["user_online bob".into(), "member_joined lobby bob".into()])
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_slow_backend_slows_nobody() {
    let backend = Backend::answering(|_| Reply::Silence).await;
    let node = node(&backend, "webhooks.messages = [\"*\"]\nwebhooks.queue = 10").await;
    let mut alice = node.member("alice", "lobby").await;
    let mut bob = node.member("bob", "lobby").await;
    for number in 0..40 {
        alice.chat("lobby", &number.to_string()).await;
        assert_eq!(bob.expect("chat").await["content"], number.to_string());
    }
    assert_eq!(backend.told(), Vec::<String>::new());
}

#[tokio::test]
async fn a_node_that_stops_delivers_before_it_ends() {
    let backend = Backend::start().await;
    let node = node(&backend, "presence.grace = \"10s\"\nserver.drain_timeout = \"5s\"").await;
    let mut alice = node.member("alice", "lobby").await;
    node.stop();
    alice.closed().await.assert(1001, "shutting_down");
    backend
        .until_told(&[
            "reset",
            "user_online alice",
            "room_occupied lobby",
            "member_joined lobby alice",
            "member_left lobby alice",
            "room_vacated lobby",
            "user_offline alice",
        ])
        .await;
}
