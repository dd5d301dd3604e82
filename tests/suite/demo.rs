//! `rookery demo agents`, played against a real server.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use crate::harness::{
    Client, Directory, SECRET, TestApp, eventually, patiently, program, rookery, signal,
};

/// A fleet in a process of its own, killed when the test ends.
struct Fleet {
    child: std::process::Child,
    said: Arc<Mutex<String>>,
    _directory: Directory,
}

impl Fleet {
    fn start(app: &TestApp, arguments: &[&str]) -> Self {
        let directory = Directory::new();
        let url = format!("ws://127.0.0.1:{}", app.port);
        let arguments = [&["demo", "agents", "--url", url.as_str()], arguments].concat();
        let mut command = program(&directory, &arguments, &[]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
        let said = Arc::<Mutex<String>>::default();
        let writes = Arc::clone(&said);
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                writes.lock().expect("no reader panicked").push_str(&(line + "\n"));
            }
        });
        Self { child, said, _directory: directory }
    }

    fn interrupt(&self) {
        signal(self.child.id(), "INT");
    }

    /// How it ended, and what it said.
    async fn ended(&mut self) -> (Option<i32>, String) {
        let status = eventually("the fleet to end", async || {
            self.child.try_wait().expect("a child can be waited for")
        })
        .await;
        let said = eventually("its last line", async || {
            let said = self.said.lock().expect("no reader panicked").clone();
            said.contains("lost connections in").then_some(said)
        });
        (status.code(), said.await)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Follows the room until each of so many agents has written, and gives their
/// last values by key.
async fn values(watcher: &mut Client, agents: usize) -> Value {
    let mut values = json!({});
    while values.as_object().unwrap().len() < agents {
        let message = watcher.expect("set").await;
        assert_eq!(message["key"], message["user"], "an agent's key is its user: {message}");
        values[message["key"].as_str().unwrap()] = message["value"].clone();
    }
    values
}

#[tokio::test]
async fn a_fleet_writes_its_states_is_present_and_ends_cleanly() {
    let app = TestApp::spawn("").await;
    let mut watcher = app.member("watcher", "fleet").await;
    let mut events = app.member("events", "fleet/events").await;
    let arguments =
        ["--agents", "7", "--rate", "20", "--steady", "--room", "fleet", "--secret", SECRET];
    let mut fleet = Fleet::start(&app, &arguments);

    let states = values(&mut watcher, 7).await;
    let agent = &states["agent-003"];
    for field in ["throughput", "tokens", "cost", "tasks", "errors", "at"] {
        assert!(agent[field].is_number(), "{field} of {agent}");
    }
    for field in ["name", "role", "status"] {
        assert!(agent[field].is_string(), "{field} of {agent}");
    }
    let event = events.expect("event").await;
    assert_eq!(event["user"], event["data"]["agent"], "{event}");
    assert!(event["event"].as_str().unwrap().starts_with("task_"), "{event}");
    let users: Vec<_> = (1..=7).map(|number| format!("agent-{number:03}")).collect();
    eventually("all agents to be present", async || {
        let present = watcher.ask(json!({"type": "watch", "users": &users}), "online").await;
        present["users"].as_object()?.values().all(|status| status == "online").then_some(())
    })
    .await;

    fleet.interrupt();
    let (code, said) = fleet.ended().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("7 agents, "), "{said}");
    app.until_connections(2).await;
    // The last word of each is in the state.
    let state = app.client("late").await.join("fleet").await["state"].take();
    for user in &users {
        assert_eq!(state[user]["value"]["status"], "stopped", "{user}: {state}");
    }
}

#[tokio::test]
async fn guests_will_do_and_what_an_earlier_fleet_left_is_cleared() {
    let app = TestApp::spawn("presence.grace = \"100ms\"").await;
    let mut watcher = app.member("watcher", "agents:demo").await;
    watcher.set("agents:demo", "of-somebody-else", json!({"status": "idle"})).await;
    watcher.set("agents:demo", "long-gone", json!({"demo": true})).await;
    watcher.set("agents:demo", "watcher", json!({"demo": true})).await;

    let mut fleet = Fleet::start(&app, &["--agents", "2", "--rate", "5", "--for", "4s"]);
    let cleared = |m: &Value| m["key"] == "long-gone" && m["value"].is_null();
    patiently("the leftover to go", watcher.until(cleared)).await;
    let (code, said) = fleet.ended().await;
    assert_eq!(code, Some(0), "{said}");
    let state = app.client("late").await.join("agents:demo").await["state"].take();
    let keys: Vec<_> = state.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys.len(), 4, "{keys:?}");
    for kept in ["of-somebody-else", "watcher"] {
        assert!(keys.contains(&kept), "{kept} is not in {keys:?}");
    }
    assert!(keys.iter().any(|key| key.starts_with("avocet-1-")), "{keys:?}");
}

#[tokio::test]
async fn a_fleet_comes_back_to_a_server_that_was_away() {
    let app = TestApp::spawn("").await;
    let port = app.port;
    let arguments = ["--agents", "3", "--rate", "20", "--room", "fleet", "--secret", SECRET];
    let mut fleet = Fleet::start(&app, &arguments);
    values(&mut app.member("watcher", "fleet").await, 3).await;
    drop(app);

    let app = TestApp::spawn(&format!("server.listen = \"127.0.0.1:{port}\"")).await;
    values(&mut app.member("watcher", "fleet").await, 3).await;
    fleet.interrupt();
    let (code, said) = fleet.ended().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains(" 0 lost connections"), "{said}");
}

/// What a fleet that cannot begin says.
fn refused(arguments: &[&str]) -> String {
    let output = rookery(&Directory::new(), &[&["demo", "agents"], arguments].concat(), &[]);
    assert!(!output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).expect("an error is UTF-8");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[tokio::test]
async fn what_keeps_a_fleet_from_beginning_is_said_in_one_line() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = refused(&["--url", &format!("ws://{closed}")]);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with(&format!("rookery: no connection to ws://{closed}: ")), "{said}");

    let app = TestApp::spawn("auth.guest = \"off\"").await;
    let url = format!("ws://127.0.0.1:{}", app.port);
    let said = tokio::task::spawn_blocking(move || {
        let without = refused(&["--url", &url]);
        let wrong = refused(&["--url", &url, "--secret", "of another server, by mistake"]);
        (without, wrong)
    });
    let (without, wrong) = said.await.unwrap();
    for (said, names) in [(&without, ["404", "--secret"]), (&wrong, ["401", "token"])] {
        assert_eq!(said.lines().count(), 1, "{said}");
        for name in names {
            assert!(said.contains(name), "{said:?} does not name {name}");
        }
    }
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for (arguments, expected) in [
        (["--url", "wss://example.test"], "TLS"),
        (["--url", "8080"], "ws://HOST:PORT"),
        (["--agents", "0"], "1..=1000"),
        (["--rate", "41"], "from 0.1 to 40"),
        (["--room", "@bob"], "@"),
        (["--for", "soon"], "--for"),
    ] {
        let said = refused(&arguments);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}
