//! `&session=`: a connection takes over the session of an earlier one.

use serde_json::json;

use crate::harness::{TestApp, came, since, went};

#[tokio::test]
async fn a_new_connection_keeps_the_session_id_and_the_older_one_is_replaced() {
    let app = TestApp::spawn("").await;
    let mut old = app.client("alice").await;
    let id = old.session().to_owned();
    let new = app.connect("alice").query("session", &id).client().await;
    assert_eq!(new.session(), id);
    old.closed().await.assert(1001, "replaced");
}

#[tokio::test]
async fn a_session_is_taken_over_also_after_its_connection_ended() {
    let app = TestApp::spawn("").await;
    let old = app.client("alice").await;
    let id = old.session().to_owned();
    old.leave().await;
    let new = app.connect("alice").query("session", &id).client().await;
    assert_eq!(new.session(), id);
}

#[tokio::test]
async fn a_session_of_another_user_is_not_taken_over() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let mallory = app.connect("mallory").query("session", alice.session()).client().await;
    assert_ne!(mallory.session(), alice.session());
    alice.join("lobby").await;

    // Nor once its owner has gone.
    let id = alice.session().to_owned();
    alice.leave().await;
    let mallory = app.connect("mallory").query("session", &id).client().await;
    assert_ne!(mallory.session(), id);
}

#[tokio::test]
async fn a_session_id_that_nobody_was_given_is_answered_with_a_new_one() {
    let app = TestApp::spawn("").await;
    for id in ["", "never-given", &"x".repeat(1000), "\u{0}\n☃"] {
        let client = app.connect("alice").query("session", id).client().await;
        assert_ne!(client.session(), id);
    }
}

#[tokio::test]
async fn echo_false_stays_left_out_for_the_session_on_resume() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let before = since(&alice.join("lobby").await);
    alice.write(json!({"type": "chat", "room": "lobby", "content": "quiet", "echo": false})).await;
    alice.chat("lobby", "loud").await;
    let id = alice.session().to_owned();
    drop(alice);

    let mut again = app.connect("alice").query("session", &id).client().await;
    let joined = again.resume("lobby", &before).await;
    assert_eq!((&joined["recovered"], &joined["seq"]), (&json!(true), &json!(2)));
    let contents: Vec<_> =
        joined["messages"].as_array().unwrap().iter().map(|m| &m["content"]).collect();
    assert_eq!(contents, ["loud"]);

    // Another session of the same user did not write it, and gets it.
    let mut other = app.client("alice").await;
    let joined = other.resume("lobby", &before).await;
    assert_eq!(joined["messages"].as_array().map(Vec::len), Some(2), "{joined}");
}

#[tokio::test]
async fn a_take_over_is_no_leave_and_join_of_the_user() {
    let app = TestApp::spawn("presence.grace = \"20s\"").await;
    let mut bob = app.member("bob", "lobby").await;
    let mut alice = app.member("alice", "lobby").await;
    bob.until(|m| came(m, "alice")).await;

    let connect = app.connect("alice").query("session", alice.session()).query("room", "lobby");
    let mut again = connect.client().await;
    again.expect("joined").await;
    alice.closed().await.assert(1001, "replaced");
    let seen = bob.settle().await;
    assert!(!seen.iter().any(|m| came(m, "alice") || went(m, "alice")), "{seen:?}");
    assert_eq!(bob.members("lobby").await["count"], 2);
}
