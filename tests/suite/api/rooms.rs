use serde_json::{Value, json};

use super::{call, get, post, with_both_brokers};
use crate::harness::{Endpoint, RedisCluster, eventually, nodes_with};

with_both_brokers!(rooms_are_listed_with_their_members);

/// All rooms that a query finds, by name.
async fn all(node: &Endpoint, query: &str) -> Vec<Value> {
    let (mut rooms, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = get(node, &format!("/rooms?{query}{cursor}")).await;
        rooms.extend(page["rooms"].as_array().expect("a list").iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    rooms.sort_by(|a, b| a["room"].as_str().cmp(&b["room"].as_str()));
    rooms
}

async fn rooms_are_listed_with_their_members(asked: &Endpoint, clients: &Endpoint) {
    assert_eq!(get(asked, "/rooms").await, json!({"rooms": [], "next": null}));
    let mut epochs = Vec::new();
    for n in 0..25 {
        let answer =
            post(asked, &format!("/rooms/log:{n:02}/messages"), json!({"content": "x"})).await;
        epochs.push(answer["epoch"].clone());
    }
    post(asked, "/users/bob/messages", json!({"content": "x"})).await;
    let _members = [
        clients.member("alice", "log:07").await,
        clients.member("alice", "log:07").await,
        clients.member("bob", "log:07").await,
        asked.member("bob", "log:07").await,
        asked.member("cat", "silent").await,
    ];
    eventually("all members to be counted", async || {
        let found = all(asked, "match=log:07").await;
        (found[0]["members"] == 2).then_some(())
    })
    .await;
    for query in ["limit=3", "limit=1", ""] {
        let rooms = all(asked, query).await;
        assert_eq!(rooms.len(), 26, "{query}: {rooms:?}");
        for (n, room) in rooms[..25].iter().enumerate() {
            let members = if n == 7 { 2 } else { 0 };
            let expected = json!({"room": format!("log:{n:02}"), "members": members,
                "epoch": epochs[n], "seq": 1});
            assert_eq!(*room, expected, "{query}");
        }
        assert_eq!((&rooms[25]["room"], &rooms[25]["members"]), (&json!("silent"), &json!(1)));
        assert_eq!(rooms[25]["seq"], 0);
    }
    let some = all(asked, "match=log:*1&limit=2").await;
    let names: Vec<_> = some.iter().map(|it| it["room"].as_str().unwrap()).collect();
    assert_eq!(names, ["log:01", "log:11", "log:21"]);
    assert_eq!(all(asked, "match=nothing:*").await, [] as [Value; 0]);
    for (query, named) in
        [("limit=x", "`limit`"), ("cursor=x", "`cursor`"), ("match=a%20b", "`match`")]
    {
        let refused = call(asked, "GET", &format!("/rooms?{query}"), Value::Null).await;
        refused.assert_error(400, "bad_message");
        assert!(refused.body.contains(named), "{query}: {refused:?}");
    }
}

#[tokio::test]
async fn rooms_are_found_on_every_master_of_a_cluster() {
    let cluster = RedisCluster::start().await;
    let [one, two] = nodes_with(&cluster.url(), super::SETTINGS).await;
    let ready = |node| async move {
        let answer = call(node, "POST", "/rooms/first/messages", json!({"content": "x"})).await;
        (answer.status == 200).then_some(())
    };
    eventually("the cluster to work", async || ready(&one).await).await;
    for n in 0..60 {
        post(&two, &format!("/rooms/room-{n}/messages"), json!({"content": "x"})).await;
    }
    for limit in [7, 100] {
        assert_eq!(all(&one, &format!("match=room-*&limit={limit}")).await.len(), 60);
    }
}
