//! A node whose delivery is broken on purpose: it notices, says so, and delivers
//! everything all the same.

use std::{
    os::unix::net::UnixDatagram,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{Directory, Endpoint, Process, RedisServer, TestApp, eventually, nodes};

/// `/readyz` once it has this status.
async fn until_ready_is(node: &Endpoint, status: u16) -> Value {
    eventually(&format!("/readyz to answer {status}"), async || {
        // The request may reach a worker that stands still.
        let response = timeout(Duration::from_secs(1), node.try_get("/readyz")).await.ok()?.ok()?;
        (response.status == status).then(|| response.json())
    })
    .await
}

/// What `/readyz` says is wrong with the workers.
fn problems(health: &Value) -> Vec<&str> {
    let workers = health["workers"].as_array().expect("the workers are listed");
    workers.iter().filter_map(|worker| worker["problem"].as_str()).collect()
}

async fn repairs(node: &Endpoint, cause: &str) -> f64 {
    let shown = node.get("/metrics").await.body;
    let sample = format!("rookery_delivery_repairs_total{{cause=\"{cause}\"}} ");
    let value = shown.lines().find_map(|line| line.strip_prefix(&sample));
    value.expect("the metric is shown").parse().expect("a number")
}

fn set(fault: &AtomicBool, on: bool) {
    fault.store(on, Ordering::Relaxed);
}

/// Messages of every kind come, and the node says that it is not well.
async fn lost_wake_ups_are_noticed(settings: &str) {
    let app = TestApp::spawn(settings).await;
    let mut ada = app.member("ada", "lobby").await;
    let mut bob = app.member("bob", "lobby").await;
    set(&app.delivery_faults().lose_wake_ups, true);
    for text in ["one", "two", "three"] {
        ada.chat("lobby", text).await;
    }
    ada.send(&json!({"type": "typing", "room": "lobby", "active": true})).await;
    for client in [&mut ada, &mut bob] {
        for seq in 1..=3 {
            assert_eq!(client.expect("chat").await["seq"], seq);
        }
    }
    bob.expect("typing").await;
    assert!(repairs(&app, "lost_wakeup").await >= 1.0);
    let health = until_ready_is(&app, 503).await;
    assert!(problems(&health)[0].contains("has not taken live messages for"), "{health}");

    set(&app.delivery_faults().lose_wake_ups, false);
    let health = until_ready_is(&app, 200).await;
    assert!(problems(&health).is_empty(), "{health}");
    bob.chat("lobby", "four").await;
    assert_eq!(ada.expect("chat").await["seq"], 4);
}

#[tokio::test]
async fn lost_wake_ups_delay_messages_and_show() {
    lost_wake_ups_are_noticed("").await;
}

#[tokio::test]
async fn lost_wake_ups_delay_messages_and_show_with_a_store_on_disk() {
    let directory = Directory::new();
    lost_wake_ups_are_noticed(&format!("broker.path = {:?}\n", directory.path())).await;
}

#[tokio::test]
async fn the_comparison_finds_lost_entries() {
    let app = TestApp::spawn("").await;
    let mut ada = app.member("ada", "lobby").await;
    let mut bob = app.member("bob", "lobby").await;
    set(&app.delivery_faults().lose_entries, true);
    ada.chat("lobby", "one").await;
    ada.write(json!({"type": "direct", "to": "bob", "content": "two"})).await;
    for client in [&mut ada, &mut bob] {
        assert_eq!(client.expect("chat").await["seq"], 1);
    }
    assert_eq!(bob.expect("direct").await["seq"], 1);
    assert!(repairs(&app, "comparison").await >= 2.0);
    assert_eq!(repairs(&app, "lost_wakeup").await, 0.0);
}

#[tokio::test]
async fn the_comparison_finds_lost_entries_with_redis() {
    let redis = RedisServer::start().await;
    let [one, two] = nodes(&redis.url()).await;
    let mut ada = one.member("ada", "lobby").await;
    let mut bob = two.member("bob", "lobby").await;
    set(&two.delivery_faults().lose_entries, true);
    ada.chat("lobby", "one").await;
    assert_eq!(bob.expect("chat").await["seq"], 1);
    assert!(repairs(&two, "comparison").await >= 1.0);
    assert_eq!(repairs(&one, "comparison").await, 0.0);
}

#[tokio::test]
async fn a_worker_that_stands_still_shows_by_name() {
    let app = TestApp::spawn("").await;
    let mut ada = app.member("ada", "lobby").await;
    let _bob = app.member("bob", "lobby").await;
    set(&app.delivery_faults().hang, true);
    ada.send(&json!({"type": "chat", "room": "lobby", "content": "one"})).await;
    let health = until_ready_is(&app, 503).await;
    let problems = problems(&health);
    assert!(problems[0].starts_with("the event loop of worker-"), "{health}");
    assert_eq!(problems.len(), 1, "the other worker turns: {health}");
    set(&app.delivery_faults().hang, false);
    until_ready_is(&app, 200).await;
    assert_eq!(ada.expect("chat").await["seq"], 1);
}

#[tokio::test]
async fn systemd_hears_that_the_workers_turn() {
    let directory = Directory::new();
    let path = directory.path().join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "300000")];
    let _process = Process::spawn(&environment).await;
    let mut told = Vec::new();
    while told.iter().filter(|it| *it == "WATCHDOG=1").count() < 2 {
        let mut buffer = [0; 256];
        let length = supervisor.recv(&mut buffer).expect("the supervisor is told");
        told.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
    }
    assert!(told.contains(&"READY=1".to_owned()), "{told:?}");
}
