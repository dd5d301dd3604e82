use serde_json::{Value, json};

use super::{call, get, with_both_brokers};
use crate::harness::{Endpoint, TestApp, eventually};

with_both_brokers!(who_is_in_a_room_is_seen_from_anywhere, a_user_is_found_wherever_it_is);

async fn who_is_in_a_room_is_seen_from_anywhere(asked: &Endpoint, clients: &Endpoint) {
    let path = "/rooms/lobby/presence";
    let nobody = get(asked, path).await;
    assert_eq!(nobody, json!({"room": "lobby", "members": [], "count": 0}));
    let mut alice = clients.client_with("alice", json!({"name": "Alice", "meta": {"a": 1}})).await;
    alice.join("lobby").await;
    let _more = clients.member("alice", "lobby").await;
    let _bob = asked.member("bob", "lobby").await;
    let members = alice.members("lobby").await;
    let shown = eventually("all to be seen", async || {
        let shown = get(asked, path).await;
        let members = shown["members"].as_array()?;
        let sessions: u64 = members.iter().filter_map(|it| it["sessions"].as_u64()).sum();
        (shown["count"] == 2 && sessions == 3).then_some(shown)
    })
    .await;
    let first = &shown["members"][0];
    assert_eq!((&first["user"], &first["sessions"]), (&json!("alice"), &json!(2)), "{shown}");
    assert_eq!(
        (&first["status"], &first["since"]),
        (&json!("online"), &members["members"][0]["since"])
    );
    let named = shown["members"].as_array().expect("a list").iter().map(|it| &it["user"]);
    assert_eq!(named.collect::<Vec<_>>(), [&json!("alice"), &json!("bob")]);
    alice.ask(json!({"type": "status", "status": "busy", "meta": 7}), "ack").await;
    eventually("the status to be seen", async || {
        let shown = get(asked, path).await;
        let alice = &shown["members"][0];
        (alice["status"] == "busy" && alice["meta"] == 7).then_some(())
    })
    .await;
}

async fn a_user_is_found_wherever_it_is(asked: &Endpoint, clients: &Endpoint) {
    let path = "/users/a%2Fb";
    let nobody = get(asked, path).await;
    let expected = json!({"user": "a/b", "online": false, "status": "offline", "since": null,
        "sessions": 0, "nodes": []});
    assert_eq!(nobody, expected);
    let mut there = clients.client("a/b").await;
    let _again = clients.client("a/b").await;
    let here = asked.client("a/b").await;
    there.ask(json!({"type": "status", "status": "away"}), "ack").await;
    let found = eventually("all sessions to be seen", async || {
        let found = get(asked, path).await;
        (found["sessions"] == 3 && found["status"] == "away").then_some(found)
    })
    .await;
    assert_eq!(found["online"], true);
    assert!(found["since"].as_u64().is_some_and(|since| since > 1_600_000_000_000), "{found}");
    let nodes = found["nodes"].as_array().expect("a list");
    let sessions: u64 = nodes.iter().filter_map(|it| it["sessions"].as_u64()).sum();
    assert_eq!(sessions, 3, "{found}");
    if asked.port != clients.port {
        let expected = json!([{"node": "n1", "sessions": 1}, {"node": "n2", "sessions": 2}]);
        assert_eq!(found["nodes"], expected);
        assert_eq!(get(clients, path).await["nodes"], expected);
    }
    drop((there, here, _again));
    eventually("the user to be gone", async || {
        (get(asked, path).await["status"] == "offline").then_some(())
    })
    .await;
    call(asked, "GET", "/users/a%00b", Value::Null).await.assert_error(400, "bad_message");
}

#[tokio::test]
async fn a_large_room_tells_its_number_alone() {
    let app = TestApp::spawn(&format!("{}\nrooms.presence_limit = 1", super::SETTINGS)).await;
    let _alice = app.member("alice", "lobby").await;
    let _bob = app.member("bob", "lobby").await;
    let shown = get(&app, "/rooms/lobby/presence").await;
    assert_eq!(shown, json!({"room": "lobby", "members": [], "count": 2}));
}
