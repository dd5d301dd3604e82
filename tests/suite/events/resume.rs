//! Where a stream of events goes on.

use serde_json::{Value, json};

use crate::harness::{Connect, Listener, TestApp, seqs};

async fn joined(listener: &mut Listener, room: &str) -> Value {
    listener.until(|told| told.data["type"] == "joined" && told.data["room"] == room).await.data
}

#[tokio::test]
async fn the_last_id_resumes_all_rooms() {
    let app = TestApp::spawn("").await;
    let mut bob = app.client("bob").await;
    for room in ["a", "b", "c"] {
        bob.join(room).await;
    }
    let mut alice = app.listener("alice", &["a", "b"]).await;
    joined(&mut alice, "a").await;
    joined(&mut alice, "b").await;
    // One more room than its query names.
    let session = alice.session().to_owned();
    app.say("alice", &session, &json!({"type": "join", "room": "c"})).await;
    joined(&mut alice, "c").await;
    for room in ["a", "b", "c"] {
        bob.chat(room, "heard").await;
        alice.expect("chat").await;
    }
    assert_eq!(alice.last_id.split(',').count(), 3, "{}", alice.last_id);
    assert!(alice.last_id.starts_with("c@"), "its own room stands first: {}", alice.last_id);

    let last_id = alice.last_id.clone();
    drop(alice);
    for room in ["b", "c", "b"] {
        bob.chat(room, "missed").await;
    }
    let token = app.token("alice");
    let rooms = |connect: Connect| connect.bearer(&token).query("room", "a").query("room", "b");
    let by_header = rooms(app.events())
        .header("last-event-id", last_id.as_str())
        .query("last_event_id", &last_id.replace(":1", ":0"));
    let by_query = rooms(app.events()).query("last_event_id", &last_id);
    for connect in [by_header, by_query] {
        let mut alice = Listener::open(connect).await;
        for (room, missed) in [("a", vec![]), ("b", vec![2, 3]), ("c", vec![2])] {
            let joined = joined(&mut alice, room).await;
            assert_eq!(joined["recovered"], true, "{joined}");
            assert_eq!(seqs(&joined["messages"]), missed, "{joined}");
        }
        let ids: Vec<&str> = alice.last_id.split(',').collect();
        assert_eq!(ids.len(), 3, "{ids:?}");
        assert!(ids.iter().any(|id| id.starts_with("b@") && id.ends_with(":3")), "{ids:?}");
    }
}

#[tokio::test]
async fn a_room_that_was_left_is_in_no_id() {
    let app = TestApp::spawn("").await;
    let mut alice = app.listener("alice", &["a", "b"]).await;
    joined(&mut alice, "a").await;
    joined(&mut alice, "b").await;
    let session = alice.session().to_owned();
    app.say("alice", &session, &json!({"type": "leave", "room": "b"})).await;
    let left = alice.expect("left").await;
    assert!(left.id.as_deref().is_some_and(|id| id.starts_with("a@") && !id.contains("b@")));
    app.say("alice", &session, &json!({"type": "leave", "room": "a"})).await;
    let left = alice.until(|told| told.data["type"] == "left").await;
    assert_eq!(left.id.as_deref(), Some(""));
}

#[tokio::test]
async fn an_id_that_says_nothing_any_more_is_answered_so() {
    let app = TestApp::spawn("").await;
    let mut bob = app.member("bob", "lobby").await;
    bob.chat("lobby", "hello").await;
    let connect = app.events().bearer(&app.token("alice"));
    let connect = connect.header("last-event-id", "lobby@00000000000000aa:7");
    let mut alice = Listener::open(connect).await;
    let joined = joined(&mut alice, "lobby").await;
    assert_eq!((&joined["recovered"], seqs(&joined["messages"])), (&json!(false), vec![1]));
    assert!(alice.last_id.ends_with(":1"), "{}", alice.last_id);
}

#[tokio::test]
async fn a_client_that_keeps_its_places_itself_is_sent_no_ids() {
    let app = TestApp::spawn("").await;
    let connect = app.events().bearer(&app.token("alice"));
    let mut alice = Listener::open(connect.query("room", "lobby").query("ids", "none")).await;
    assert_eq!(alice.expect("joined").await.id, None);
    app.member("bob", "lobby").await.chat("lobby", "hello").await;
    let chat = alice.expect("chat").await;
    assert_eq!((chat.id, &chat.data["content"]), (None, &json!("hello")));
}
