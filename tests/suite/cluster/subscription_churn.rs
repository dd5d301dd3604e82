//! Rooms and inboxes come and go while connections to Redis are killed: afterwards every room
//! can be joined, and Redis has exactly the subscriptions that are wanted.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::task::JoinHandle;

use super::{credentials::documented_user, until_ready};
use crate::{
    harness::{
        Client, Endpoint, RedisCluster, RedisServer, Relay, eventually, listed, node, nodes,
    },
    metrics::exposition::Exposition,
};

const ROOMS: usize = 200;

/// As many rooms as one session may have.
const ROOMS_PER_CLIENT: usize = 100;

fn room(number: usize) -> String {
    format!("room-{number}")
}

/// Members that join and leave rooms, and users that come and go.
struct Churn {
    stopped: Arc<AtomicBool>,
    joined: Arc<AtomicUsize>,
    visited: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Churn {
    async fn start(node: &Endpoint) -> Self {
        let stopped = Arc::<AtomicBool>::default();
        let (joined, visited) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let mut tasks = Vec::new();
        for number in 0..4 {
            let mut client = node.client(&format!("member-{number}")).await;
            let (stopped, joined) = (stopped.clone(), joined.clone());
            tasks.push(tokio::spawn(async move {
                let rooms = (number..ROOMS).step_by(4).cycle();
                for name in rooms.map(room) {
                    if stopped.load(Ordering::Relaxed) {
                        break;
                    }
                    let reply = client.request(json!({"type": "join", "room": name})).await;
                    if reply["type"] == "joined" {
                        joined.fetch_add(1, Ordering::Relaxed);
                    }
                    client.request(json!({"type": "leave", "room": name})).await;
                    client.forget();
                }
                client.leave().await;
            }));
        }
        let (endpoint, ended, seen) = (*node, stopped.clone(), visited.clone());
        tasks.push(tokio::spawn(async move {
            for number in 0.. {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                // Refused while Redis is away.
                if let Ok(Ok(_wire)) = endpoint.connect(&format!("user-{number}")).attempt().await {
                    seen.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }));
        Self { stopped, joined, visited, tasks }
    }

    /// Waits until some more joined, and some more users came.
    async fn goes_on(&self) {
        for count in [&self.joined, &self.visited] {
            let wanted = count.load(Ordering::Relaxed) + 2;
            eventually("joins to go on", async || {
                (count.load(Ordering::Relaxed) >= wanted).then_some(())
            })
            .await;
        }
    }

    async fn stop(self) {
        self.stopped.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("it did what it should");
        }
    }
}

/// The rooms whose channels are subscribed.
fn subscribed(servers: &[&RedisServer], command: &str) -> BTreeSet<String> {
    let lists = servers.iter().map(|it| it.command(&["PUBSUB", command, "rookery:room:*"]));
    let lists: Vec<String> = lists.collect();
    let name =
        |line: &str| line.split_once('{').map(|(_, name)| name.trim_end_matches('}').to_owned());
    lists.iter().flat_map(|list| list.lines()).filter_map(name).collect()
}

async fn until_subscribed(servers: &[&RedisServer], command: &str, wanted: &BTreeSet<String>) {
    eventually("the subscriptions that are wanted", async || {
        (subscribed(servers, command) == *wanted).then_some(())
    })
    .await;
}

/// Joins all rooms, and shows that this is what Redis has; then leaves them.
async fn assert_all_is_as_wanted(nodes: [&Endpoint; 2], servers: &[&RedisServer], command: &str) {
    for node in nodes {
        until_ready(node, true).await;
    }
    let mut clients = Vec::<Client>::new();
    let mut wanted = BTreeSet::new();
    for first in (0..ROOMS).step_by(ROOMS_PER_CLIENT) {
        let user = format!("late-{first}");
        let mut client = nodes[0].client(&user).await;
        for number in first..first + ROOMS_PER_CLIENT {
            // A channel that is never subscribed refuses this after a while.
            client.join(&room(number)).await;
            wanted.insert(room(number));
        }
        wanted.insert(format!("@{user}"));
        clients.push(client);
    }
    until_subscribed(servers, command, &wanted).await;
    // Presence and inboxes go the same way.
    let mut far = nodes[1].member("far", &room(0)).await;
    eventually("the members on the other node", async || {
        listed(&far.members(&room(0)).await["members"], "late-0").then_some(())
    })
    .await;
    far.write(json!({"type": "direct", "to": "late-0", "content": "hello"})).await;
    clients[0].until(|message| message["content"] == "hello").await;
    far.chat(&room(0), "there").await;
    clients[0].until(|message| message["content"] == "there").await;
    far.leave().await;
    for client in clients {
        client.leave().await;
    }
    until_subscribed(servers, command, &BTreeSet::new()).await;
    for node in nodes {
        let repairs = Exposition::of(node).await;
        for kind in ["lost", "unwanted"] {
            let sample = format!("rookery_broker_subscription_repairs_total{{kind={kind:?}}}");
            assert_eq!(repairs.find(&sample), Some(0.0), "nothing was left to be repaired: {kind}");
        }
    }
}

/// Has Redis close connections of these kinds, in turn, so often.
async fn survive(kinds: &[&str], times: usize) {
    let redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let churn = Churn::start(&one).await;
    for kind in kinds.iter().cycle().take(times) {
        churn.goes_on().await;
        redis.command(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
    }
    churn.stop().await;
    assert_all_is_as_wanted([&one, &two], &[&redis], "CHANNELS").await;
}

#[tokio::test]
async fn command_connections_are_killed_while_rooms_come_and_go() {
    survive(&["normal"], 50).await;
}

#[tokio::test]
async fn subscriptions_are_killed_while_rooms_come_and_go() {
    survive(&["pubsub"], 20).await;
}

#[tokio::test]
async fn all_connections_are_killed_while_rooms_come_and_go() {
    survive(&["normal", "pubsub"], 30).await;
}

#[tokio::test]
async fn connections_to_a_cluster_are_killed_while_rooms_come_and_go() {
    let cluster = RedisCluster::start().await;
    let [one, two] = nodes(&cluster.url()).await;
    let churn = Churn::start(&one).await;
    for kind in ["normal", "pubsub"].iter().cycle().take(10) {
        churn.goes_on().await;
        for master in &cluster.masters {
            master.command(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
        }
    }
    churn.stop().await;
    let masters: Vec<&RedisServer> = cluster.masters.iter().collect();
    assert_all_is_as_wanted([&one, &two], &masters, "SHARDCHANNELS").await;
}

#[tokio::test]
async fn subscriptions_that_redis_does_not_have_are_made_again() {
    let redis = RedisServer::start().await;
    redis.command(&documented_user());
    let relay = Relay::to(&redis).await;
    let url = |url: String| url.replace("redis://", "redis://rookery:open%40sesame@");
    let one = node(&url(redis.url()), "n1", "").await;
    let two = node(&url(relay.url()), "n2", "").await;
    // Redis subscribes another channel than it was told, and confirms the one it was told.
    relay.misdirect("{lobby}", "{l0bby}");
    let (mut alice, mut bob) =
        (one.member("alice", "lobby").await, two.member("bob", "lobby").await);
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    until_subscribed(&[&redis], "CHANNELS", &names(&["@alice", "@bob", "l0bby", "lobby"])).await;
    alice.chat("lobby", "unheard").await;
    alice.until(|message| message["content"] == "unheard").await;
    relay.misdirect("", "");
    bob.until(|message| message["content"] == "unheard").await;
    for kind in ["lost", "unwanted"] {
        let sample = format!("rookery_broker_subscription_repairs_total{{kind={kind:?}}}");
        Exposition::until(&two, &sample, 1.0).await;
        assert_eq!(Exposition::of(&one).await.get(&sample), 0.0, "{kind}");
    }
    until_subscribed(&[&redis], "CHANNELS", &names(&["@alice", "@bob", "lobby"])).await;
    assert_eq!(redis.command(&["ACL", "LOG"]), "", "something is not allowed");
}
