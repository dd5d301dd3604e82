//! The upgrade: subprotocols, rooms in the query, the welcome, `/ws/echo`.

use serde_json::json;

use crate::harness::{
    BINARY, Client, Connect, TEXT, TestApp, claims, frame, now_s, sign_with_secret,
};

fn negotiated(client: &Client) -> Option<&str> {
    client.wire.upgrade.header("sec-websocket-protocol")
}

#[tokio::test]
async fn without_an_offer_no_subprotocol_is_answered() {
    let app = TestApp::spawn("").await;
    assert_eq!(negotiated(&app.client("alice").await), None);
}

#[tokio::test]
async fn rookery_v1_is_answered_wherever_it_stands_in_the_offer() {
    let app = TestApp::spawn("").await;
    for offer in ["rookery.v1", "soap, rookery.v1", "soap,rookery.v1 ,mqtt"] {
        let client = app.connect("alice").protocols(offer).client().await;
        assert_eq!(negotiated(&client), Some("rookery.v1"), "offered {offer}");
    }
}

#[tokio::test]
async fn offers_may_stand_in_several_header_lines() {
    let app = TestApp::spawn("").await;
    let client = app.connect("alice").protocols("soap").protocols("rookery.v1").client().await;
    assert_eq!(negotiated(&client), Some("rookery.v1"));

    let bearer = format!("bearer.{}", app.token("alice"));
    let client = app.upgrade().protocols("rookery.v1").protocols(bearer).client().await;
    assert_eq!(negotiated(&client), Some("rookery.v1"));
    assert_eq!(client.welcome["user"], "alice");
}

#[tokio::test]
async fn where_no_offer_is_known_the_upgrade_goes_on_without_one() {
    let app = TestApp::spawn("").await;
    let mut client = app.connect("alice").protocols("soap, mqtt").client().await;
    assert_eq!(negotiated(&client), None);
    client.join("lobby").await;
}

#[tokio::test]
async fn a_request_that_is_no_upgrade_is_refused() {
    let app = TestApp::spawn("").await;
    let response = app.get(&format!("/ws?token={}", app.token("alice"))).await;
    assert!((400..500).contains(&response.status), "{response:?}");
}

#[tokio::test]
async fn an_upgrade_of_any_other_path_is_answered_as_a_request() {
    let app = TestApp::spawn("").await;
    let page = Connect::new(*app, "/").bearer(&app.token("alice")).refused().await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<html"), "{}", page.body);
    let nothing = Connect::new(*app, "/ws/nothing").bearer(&app.token("alice"));
    assert_eq!(nothing.refused().await.status, 404);
}

#[tokio::test]
async fn welcome_is_first_and_carries_what_the_contract_names() {
    let app = TestApp::spawn(
        "heartbeat.interval = \"7s\"\nheartbeat.timeout = \"3s\"\nlimits.message_bytes = 4096",
    )
    .await;
    let expiry = now_s() + 100;
    let welcome = app.client_with("alice", json!({"exp": expiry})).await.welcome;
    assert!(welcome["session"].as_str().is_some_and(|id| !id.is_empty()), "{welcome}");
    assert_eq!(welcome["user"], "alice");
    assert!(welcome["node"].as_str().is_some_and(|node| !node.is_empty()), "{welcome}");
    assert_eq!(welcome["protocol"], 1);
    assert_eq!(welcome["heartbeat"], json!({"interval_ms": 7000, "timeout_ms": 3000}));
    assert_eq!(welcome["expires_at"], expiry * 1000);
    assert_eq!(welcome["limits"]["message_bytes"], 4096);
    assert!(!welcome["inbox"]["epoch"].is_null(), "{welcome}");
    assert_eq!(welcome["inbox"]["seq"], 0);
}

#[tokio::test]
async fn rooms_of_the_query_are_joined_on_connect() {
    let app = TestApp::spawn("").await;
    let connect = app.connect("alice").query("room", "lobby").query("room", "dash:eu/x.y-1_2");
    let mut client = connect.client().await;
    for room in ["lobby", "dash:eu/x.y-1_2"] {
        let joined = client.expect("joined").await;
        assert_eq!(joined["room"], room);
        assert!(joined.get("id").is_none(), "{joined}");
        client.chat(room, "here").await;
    }
}

#[tokio::test]
async fn a_room_of_the_query_that_may_not_be_joined_is_an_error_and_the_others_are_joined() {
    let app = TestApp::spawn("").await;
    let token = app.token_with("alice", json!({"grants": {"lobby": ["join", "presence"]}}));
    let connect = app.upgrade().bearer(&token).query("room", "secret").query("room", "lobby");
    let mut client = connect.client().await;
    let error = client.expect("error").await;
    assert_eq!((&error["code"], &error["room"]), (&json!("forbidden"), &json!("secret")));
    assert_eq!(client.expect("joined").await["room"], "lobby");
}

#[tokio::test]
async fn last_event_id_resumes_rooms_of_the_query() {
    let app = TestApp::spawn("").await;
    let mut alice = app.client("alice").await;
    let mut event_ids = Vec::new();
    // A colon in the name must not be taken for the one before the seq.
    for room in ["lobby", "dash:eu"] {
        alice.join(room).await;
        let first = alice.chat(room, "seen").await;
        event_ids.push(format!("{room}@{}:{}", first["epoch"].as_str().unwrap(), first["seq"]));
        alice.chat(room, "missed").await;
    }
    let connect = app.connect("bob").query("room", "lobby").query("room", "dash:eu");
    let connect = event_ids.iter().fold(connect, |c, id| c.query("last_event_id", id));
    let mut bob = connect.client().await;
    for room in ["lobby", "dash:eu"] {
        let joined = bob.until(|m| m["type"] == "joined" && m["room"] == room).await;
        assert_eq!(joined["recovered"], true, "{joined}");
        assert_eq!(joined["messages"].as_array().map(Vec::len), Some(1), "{joined}");
        assert_eq!(joined["messages"][0]["content"], "missed");
    }
}

#[tokio::test]
async fn echo_is_off_by_default() {
    let app = TestApp::spawn("").await;
    let echo = Connect::new(*app, "/ws/echo").bearer(&app.token("alice"));
    assert_eq!(echo.refused().await.status, 404);
}

#[tokio::test]
async fn echo_returns_every_message_unchanged_and_sends_no_welcome() {
    let app = TestApp::spawn("server.echo = true\nlimits.message_bytes = 1000").await;
    let token = sign_with_secret(&claims("alice", json!({})));
    let mut wire = Connect::new(*app, "/ws/echo").bearer(&token).wire().await;
    for (opcode, payload) in [(TEXT, "not { json".as_bytes()), (BINARY, b"\x00\xff"), (TEXT, b"")] {
        wire.send(&frame(true, opcode, payload)).await;
        let answer = wire.next().await.expect("the echo");
        assert_eq!((answer.opcode, answer.payload.as_ref()), (opcode, payload));
    }
}
