//! A part of the node panics: it begins again, or the node ends to be started again.

use serde_json::json;

use crate::harness::{
    Backend, Client, Directory, Listener, RedisServer, TestApp, eventually, node, since,
};

/// A node without which part could go on, but not with its clients: they are told to come
/// back, and the node ends with an error that names the part.
async fn assert_ends(app: TestApp, part: &str) {
    let mut client = app.client("alice").await;
    app.panic(part);
    let closing = client.expect("closing").await;
    assert_eq!(
        (&closing["reason"], &closing["reconnect"]),
        (&json!("shutting_down"), &json!(true))
    );
    client.closed().await.assert(1001, "shutting_down");
    let error = app.failed().await;
    assert_eq!(error, format!("{part} ended by a panic"));
}

#[tokio::test]
async fn a_node_without_presence_ends() {
    assert_ends(TestApp::spawn("").await, "presence").await;
}

#[tokio::test]
async fn a_node_without_its_bridge_to_redis_ends() {
    let redis = RedisServer::start().await;
    assert_ends(node(&redis.url(), "n1", "").await, "bridge").await;
}

#[tokio::test]
async fn a_node_whose_store_is_not_written_any_more_ends_and_has_what_it_acknowledged() {
    let directory = Directory::new();
    let settings = format!("broker.path = {:?}", directory.path().join("store"));
    let app = TestApp::spawn(&settings).await;
    let mut bob = app.member("bob", "lobby").await;
    let seen = since(&bob.chat("lobby", "kept").await);
    assert_ends(app, "store").await;

    let app = TestApp::spawn(&settings).await;
    let mut bob = app.client("bob").await;
    let joined = bob.resume("lobby", &json!({"epoch": seen["epoch"], "seq": 0})).await;
    assert_eq!(joined["messages"][0]["content"], "kept");
}

#[tokio::test]
async fn the_rooms_of_a_worker_that_panics_begin_again_and_its_clients_resume() {
    let app = TestApp::spawn("").await;
    let mut members = Vec::new();
    for name in ["alice", "bob", "carol", "dave"] {
        members.push(app.member(name, "lobby").await);
    }
    let seen = since(&members[0].chat("lobby", "before").await);
    app.panic("rooms");
    for member in &mut members {
        member.closed().await.assert(1011, "internal");
    }
    app.until_connections(0).await;
    let mut members = Vec::new();
    for name in ["alice", "bob", "carol", "dave"] {
        let mut client = app.client(name).await;
        assert_eq!(client.resume("lobby", &seen).await["recovered"], true);
        members.push(client);
    }
    members[0].chat("lobby", "after").await;
    for member in &mut members {
        member.until(|it| it["type"] == "chat" && it["content"] == "after").await;
        assert_eq!(member.members("lobby").await["count"], 4);
    }
    assert!(restarts(&app, "rooms").await >= 1);
}

/// How often a part began again.
async fn restarts(app: &TestApp, part: &str) -> u64 {
    let metrics = app.get("/metrics").await.body;
    let series = format!("rookery_parts_restarted_total{{part=\"{part}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
    value.expect("the series is there").parse().expect("a number")
}

async fn assert_begins_again(app: &TestApp, part: &str) {
    for round in 1..=2 {
        app.panic(part);
        let again = eventually("another beginning", async || {
            (restarts(app, part).await == round).then_some(())
        });
        again.await;
    }
}

#[tokio::test]
async fn tasks_that_panic_begin_again() {
    let app = TestApp::spawn("rooms.history_ttl = \"1s\"").await;
    for part in ["sweep", "report", "shedding", "certificate"] {
        assert_begins_again(&app, part).await;
    }
    // Sweeping still does what it is there for.
    let mut alice = app.member("alice", "lobby").await;
    let before = alice.chat("lobby", "soon gone").await;
    alice.send(&json!({"type": "leave", "room": "lobby"})).await;
    eventually("the room to be let go of", async || {
        let joined = alice.join("lobby").await;
        alice.send(&json!({"type": "leave", "room": "lobby"})).await;
        (joined["epoch"] != before["epoch"] || joined["messages"] == json!([])).then_some(())
    })
    .await;
}

#[tokio::test]
async fn traces_between_nodes_begin_again() {
    let redis = RedisServer::start().await;
    let node = node(&redis.url(), "n1", "").await;
    assert_begins_again(&node, "traces").await;
}

#[tokio::test]
async fn webhooks_are_delivered_after_a_panic() {
    let backend = Backend::start().await;
    let settings = format!(
        "webhooks.url = {:?}\nwebhooks.keys = [\"a-key-of-the-backend\"]\n\
         webhooks.events = [\"room_occupied\"]",
        backend.url()
    );
    let app = TestApp::spawn(&settings).await;
    let _alice: Client = app.member("alice", "before").await;
    backend.until_told(&["reset", "room_occupied before"]).await;
    assert_begins_again(&app, "webhooks").await;
    let _bob = app.member("bob", "after").await;
    backend.until_told(&["reset", "room_occupied before", "room_occupied after"]).await;
}

#[tokio::test]
async fn a_stream_of_events_that_meets_a_panic_is_welcomed_when_it_comes_back() {
    let app = TestApp::spawn("").await;
    let mut listener = app.listener("alice", &["lobby"]).await;
    listener.expect("joined").await;
    app.panic("rooms");
    listener.closed().await;
    drop(listener);
    let token = app.token("alice");
    let mut again = Listener::open(app.events().bearer(&token).query("room", "lobby")).await;
    again.expect("joined").await;
}
