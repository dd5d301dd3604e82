//! Redis comes back without its data: nobody is told to have come who was there.

use serde_json::json;

use super::telling;
use crate::harness::{Backend, RedisServer, eventually, nodes_with};

#[tokio::test]
async fn rooms_are_told_anew_and_nobody_comes_twice() {
    let mut redis = RedisServer::start().await;
    let backend = Backend::start().await;
    let settings = format!("{}presence.grace = \"1s\"\npresence.lease = \"2s\"", telling(&backend));
    let [one, two] = nodes_with(&redis.url(), &settings).await;
    let (_alice, mut bob) = (one.member("alice", "lobby").await, two.member("bob", "lobby").await);
    let _carol = two.member("carol", "kitchen").await;
    eventually("who came", async || (backend.events().len() == 8).then_some(())).await;
    redis.restart_empty().await;
    let resync = async |room: &str| {
        eventually("a room's state", async || {
            let events = backend.events();
            events.into_iter().find(|it| it["type"] == "resync" && it["room"] == room)
        })
        .await
    };
    let lobby = resync("lobby").await;
    assert_eq!(lobby["count"], 2, "{lobby}");
    assert_eq!(resync("kitchen").await["members"], json!(["carol"]));
    for user in ["alice", "bob", "carol"] {
        eventually("a user's state", async || {
            let online = |it: &serde_json::Value| it["user"] == user && it["online"] == true;
            backend.events().iter().any(online).then_some(())
        })
        .await;
    }
    // Changes are told again.
    bob.ask(json!({"type": "leave", "room": "lobby"}), "left").await;
    eventually("who left", async || {
        backend.told().contains(&"member_left lobby bob".to_owned()).then_some(())
    })
    .await;
    let told = backend.told();
    for event in told.iter().filter(|it| it.contains("joined") || it.contains("online")) {
        assert_eq!(told.iter().filter(|it| *it == event).count(), 1, "{event} in {told:?}");
    }
    assert!(!told.iter().any(|it| it.contains("vacated") || it.contains("offline")), "{told:?}");
}
