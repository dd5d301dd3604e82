//! What is said to a session by way of another node.

use serde_json::json;

use crate::harness::{RedisServer, nodes};

#[tokio::test]
async fn what_is_said_to_a_session_may_come_to_any_node() {
    let redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let mut alice = one.listener("alice", &["lobby"]).await;
    alice.expect("joined").await;
    let session = alice.session().to_owned();
    let mut bob = two.member("bob", "lobby").await;
    for number in 0..20 {
        let chat = json!([
            {"type": "chat", "room": "lobby", "content": number, "id": "wrong"},
            {"type": "chat", "room": "lobby", "content": format!("{number}"), "id": format!("{number}")},
        ]);
        let node = if number % 2 == 0 { &one } else { &two };
        let posted = node.say("alice", &session, &chat).await;
        assert_eq!((posted.status, posted.json()), (202, json!({})));
        assert_eq!(alice.reply("wrong").await["code"], "bad_message");
        assert_eq!(alice.reply(&format!("{number}")).await["type"], "ack");
        assert_eq!(bob.expect("chat").await["content"], format!("{number}"));
    }
    // A session that is nowhere, of a user who is somewhere and of one who is not.
    let ping = json!({"type": "ping"});
    two.say("alice", bob.session(), &ping).await.assert_error(404, "not_found");
    drop(alice);
    one.until_connections(0).await;
    crate::harness::eventually("the session is unknown", async || {
        (two.say("alice", &session, &ping).await.status == 404).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_node_that_gives_no_answer_is_told_as_such() {
    let redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let gone = one.listener("alice", &[]).await;
    let session = gone.session().to_owned();
    // The user is there by another session; nobody answers for this one.
    let _other = one.client("alice").await;
    drop(gone);
    one.until_connections(1).await;
    let answer = two.say("alice", &session, &json!({"type": "ping"})).await;
    answer.assert_error(503, "unavailable");
    answer.assert_retry_after();
}
