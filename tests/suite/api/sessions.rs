use serde_json::{Value, json};

use super::{call, get, post, with_both_brokers};
use crate::harness::{Endpoint, eventually};

with_both_brokers!(
    the_sessions_of_a_user_are_seen_from_anywhere,
    one_session_is_ended_wherever_it_is,
    the_largest_rooms_come_first,
);

/// The sessions of a user, once they are as many.
async fn sessions(asked: &Endpoint, user: &str, wanted: usize) -> Vec<Value> {
    eventually(&format!("{wanted} sessions"), async || {
        let found = get(asked, &format!("/users/{user}/sessions")).await;
        let sessions = found["sessions"].as_array().expect("a list").clone();
        (sessions.len() == wanted && found["silent"] == json!([])).then_some(sessions)
    })
    .await
}

async fn the_sessions_of_a_user_are_seen_from_anywhere(asked: &Endpoint, clients: &Endpoint) {
    let nobody = get(asked, "/users/alice/sessions").await;
    assert_eq!(nobody, json!({"user": "alice", "sessions": [], "silent": []}));
    let mut there = clients.member("alice", "lobby").await;
    there.join("dash:eu").await;
    let streamed = clients.listener("alice", &["lobby"]).await;
    let here = asked.client("alice").await;
    let _bob = clients.member("bob", "lobby").await;
    let shown = sessions(asked, "alice", 3).await;
    let find = |id: &str| shown.iter().find(|it| it["session"] == id).expect("it is listed");
    let first = find(there.session());
    assert_eq!((&first["rooms"], &first["room_count"]), (&json!(["dash:eu", "lobby"]), &json!(2)));
    assert_eq!(first["transport"], "websocket");
    assert!(first["since"].as_u64().is_some_and(|since| since > 1_600_000_000_000), "{first}");
    assert_eq!(find(streamed.session())["transport"], "events");
    assert_eq!(find(here.session())["rooms"], json!([]));
    if asked.port != clients.port {
        assert_eq!((&first["node"], &find(here.session())["node"]), (&json!("n2"), &json!("n1")));
    }
    drop(streamed);
    sessions(asked, "alice", 2).await;
    call(asked, "GET", "/users/a%00b/sessions", Value::Null).await.assert_error(400, "bad_message");
}

async fn one_session_is_ended_wherever_it_is(asked: &Endpoint, clients: &Endpoint) {
    let mut first = clients.client("a/b").await;
    let mut second = clients.client("a/b").await;
    let path = format!("/users/a%2Fb/sessions/{}/disconnect", first.session());
    let answer = post(asked, &path, json!({"reason": "left open"})).await;
    assert_eq!(answer, json!({"user": "a/b", "session": first.session()}));
    first.closed().await.assert(1008, "kicked");
    second.ask(json!({"type": "ping"}), "pong").await;
    let left = sessions(asked, "a%2Fb", 1).await;
    assert_eq!(left[0]["session"], second.session());
    // That it is gone is no mistake; that it is somebody else's is.
    post(asked, &path, Value::Null).await;
    for (user, session) in [("bob", second.session()), ("a%2Fb", "x")] {
        let path = format!("/users/{user}/sessions/{session}/disconnect");
        call(asked, "POST", &path, Value::Null).await.assert_error(404, "not_found");
    }
    second.ask(json!({"type": "ping"}), "pong").await;
}

async fn the_largest_rooms_come_first(asked: &Endpoint, clients: &Endpoint) {
    let mut members = Vec::new();
    for (room, users) in [("big", 3), ("dash:mid", 2), ("small", 1)] {
        for user in 0..users {
            members.push(clients.member(&format!("u{user}"), room).await);
        }
    }
    post(asked, "/rooms/empty/messages", json!({"content": "x"})).await;
    let shown = eventually("all members", async || {
        let shown = get(asked, "/largest-rooms").await;
        (shown["rooms"][0]["members"] == 3 && shown["rooms"][1]["members"] == 2).then_some(shown)
    })
    .await;
    let rooms = shown["rooms"].as_array().expect("a list").iter().map(|it| &it["room"]);
    assert_eq!(rooms.collect::<Vec<_>>(), ["big", "dash:mid", "small", "empty"], "{shown}");
    assert_eq!((&shown["looked_at"], &shown["complete"]), (&json!(4), &json!(true)));
    let two = get(asked, "/largest-rooms?limit=2").await;
    assert_eq!((two["rooms"].as_array().map(Vec::len), &two["looked_at"]), (Some(2), &json!(4)));
    let some = get(asked, "/largest-rooms?match=dash:*").await;
    assert_eq!((&some["rooms"][0]["room"], &some["looked_at"]), (&json!("dash:mid"), &json!(1)));
    call(asked, "GET", "/largest-rooms?match=%00", Value::Null)
        .await
        .assert_error(400, "bad_message");
}
