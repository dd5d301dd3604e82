//! Starting, configuring and stopping the server.

use serde_json::{Value, json};
use std::process::Output;

use crate::harness::{Client, Directory, Process, SECRET, TestApp, now_ms, rookery};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

// --- start ---------------------------------------------------------------

/// Or the kernel would halt a rush of connections each time that it makes room.
#[tokio::test]
async fn there_is_room_for_open_files_before_they_are_opened() {
    let process = Process::spawn(&[]).await;
    let (_, hard) = rlimit::Resource::NOFILE.get().expect("limits are known");
    let room = process.room_for_files();
    assert!(room >= hard.min(65_536), "room for {room}, {hard} allowed");
}

// --- drain ---------------------------------------------------------------

async fn assert_drained(mut client: Client) -> u64 {
    let closing = client.expect("closing").await;
    assert!(closing["reason"].is_string(), "{closing}");
    assert_eq!(closing["reconnect"], true, "{closing}");
    let after = closing["after_ms"].as_u64().expect("after_ms is a number");
    client.closed().await.assert(1001, "shutting_down");
    after
}

async fn drain_by(signal: &str) {
    let mut process = Process::spawn(&[]).await;
    let mut clients = Vec::new();
    for number in 0..20 {
        clients.push(process.client(&format!("user-{number}")).await);
    }
    process.signal(signal);
    let mut delays = Vec::new();
    for client in clients {
        delays.push(assert_drained(client).await);
    }
    let first = delays[0];
    assert!(delays.iter().any(|delay| *delay != first), "after_ms is not spread: {delays:?}");
    assert_eq!(process.exited().await.code(), Some(0));
}

#[tokio::test]
async fn sigterm_drains_with_closing_and_1001_and_exit_0() {
    drain_by("TERM").await;
}

#[tokio::test]
async fn sigint_is_as_sigterm() {
    drain_by("INT").await;
}

#[tokio::test]
async fn the_handle_drains_as_a_signal_does() {
    let app = TestApp::spawn("").await;
    let alice = app.client("alice").await;
    app.stop();
    assert_drained(alice).await;
}

#[tokio::test]
async fn from_the_signal_on_upgrades_are_refused_and_the_node_is_not_ready() {
    let mut process = Process::spawn(&[("ROOKERY__SERVER__DRAIN_TIMEOUT", "5s")]).await;
    // A session that never answers the Close keeps the drain going.
    let mut silent = process.client("silent").await;
    let mut alice = process.client("alice").await;
    process.signal("TERM");
    alice.expect("closing").await;
    match process.connect("bob").attempt().await {
        Err(_refused) => {}
        Ok(Ok(_)) => panic!("an upgrade was taken while draining"),
        Ok(Err(response)) => {
            response.assert_error(503, "unavailable");
            response.assert_retry_after();
        }
    }
    if let Ok(response) = process.try_get("/readyz").await {
        assert_eq!(response.status, 503, "{response:?}");
    }
    silent.expect("closing").await;
    assert_eq!(process.exited().await.code(), Some(0));
}

#[tokio::test]
async fn the_drain_ends_by_its_deadline_though_a_client_never_answers() {
    let mut process = Process::spawn(&[("ROOKERY__SERVER__DRAIN_TIMEOUT", "500ms")]).await;
    let _silent = process.client("silent").await;
    process.signal("TERM");
    assert_eq!(process.exited().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    // The drain alone would take longer than the suite waits.
    let mut process = Process::spawn(&[("ROOKERY__SERVER__DRAIN_TIMEOUT", "10m")]).await;
    let mut silent = process.client("silent").await;
    process.signal("TERM");
    silent.expect("closing").await;
    process.signal("TERM");
    process.exited().await;
}

// --- configuration -------------------------------------------------------

fn check(directory: &Directory, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let arguments: Vec<_> = arguments.iter().chain(&["--check"]).copied().collect();
    rookery(directory, &arguments, environment)
}

fn checked(directory: &Directory, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = check(directory, arguments, environment);
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

fn assert_stopped_with_one_line(output: &Output, names: &[&str]) {
    assert!(!output.status.success(), "a bad configuration was taken: {output:?}");
    let error = text(&output.stderr);
    assert_eq!(error.trim_end().lines().count(), 1, "more or less than one line: {error}");
    for name in names {
        assert!(error.contains(name), "{error:?} does not name {name:?}");
    }
}

#[test]
fn a_bad_value_stops_the_start_with_the_key_and_the_value() {
    let directory = Directory::new();
    for (variable, key, value) in [
        ("ROOKERY__SERVER__WORKERS", "server.workers", "many"),
        ("ROOKERY__SERVER__LISTEN", "server.listen", "nowhere"),
        ("ROOKERY__SERVER__MAX_CONNECTIONS", "server.max_connections", "-5"),
        ("ROOKERY__SERVER__ECHO", "server.echo", "perhaps"),
        ("ROOKERY__HEARTBEAT__INTERVAL", "heartbeat.interval", "soon"),
        ("ROOKERY__AUTH__GUEST", "auth.guest", "maybe"),
        ("ROOKERY__AUTH__ALGORITHMS", "auth.algorithms", "ROT13"),
        ("ROOKERY__AUTH__PUBLIC_KEY_FILE", "auth.public_key_file", "/not/there.pem"),
        ("ROOKERY__OUTBOUND__RELIABLE_BYTES", "outbound.reliable_bytes", "plenty"),
        ("ROOKERY__ROOMS__HISTORY_TTL", "rooms.history_ttl", "24 moons"),
        ("ROOKERY__BROKER__URL", "broker.url", "ftp://nowhere"),
    ] {
        for arguments in [&["--check"][..], &[]] {
            let output = rookery(&directory, arguments, &[(variable, value)]);
            assert_stopped_with_one_line(&output, &[key, value]);
        }
    }
}

#[test]
fn an_unknown_key_stops_the_start() {
    let directory = Directory::new();
    let output = check(&directory, &[], &[("ROOKERY__SERVER__COLOUR", "blue")]);
    assert_stopped_with_one_line(&output, &["server.colour"]);
    let file = directory.write("own.toml", "[rooms]\nhistroy_size = 5\n");
    let output = check(&directory, &["--config", file.to_str().unwrap()], &[]);
    assert_stopped_with_one_line(&output, &["histroy_size"]);
    let file = directory.write("own.toml", "[palace]\nrooms = 5\n");
    let output = check(&directory, &["--config", file.to_str().unwrap()], &[]);
    assert_stopped_with_one_line(&output, &["palace"]);
}

#[test]
fn a_bad_file_stops_the_start() {
    let directory = Directory::new();
    let output = check(&directory, &["--config", "missing.toml"], &[]);
    assert_stopped_with_one_line(&output, &["missing.toml"]);
    directory.write("config.toml", "[rooms]\nhistory_size = \"lots\"\n");
    assert_stopped_with_one_line(&check(&directory, &[], &[]), &["rooms.history_size", "lots"]);
    directory.write("config.toml", "[rooms\n");
    assert_stopped_with_one_line(&check(&directory, &[], &[]), &["config.toml"]);
}

#[test]
fn check_prints_the_effective_configuration_environment_over_file_over_defaults() {
    let directory = Directory::new();
    assert!(checked(&directory, &[], &[]).contains("1000"), "the default history size");
    directory.write("config.toml", "[rooms]\nhistory_size = 4321\n");
    assert!(checked(&directory, &[], &[]).contains("4321"));
    let own = directory.write("own.toml", "[rooms]\nhistory_size = 5432\n");
    let own = ["--config", own.to_str().unwrap()];
    let printed = checked(&directory, &own, &[]);
    assert!(printed.contains("5432") && !printed.contains("4321"), "{printed}");
    let printed = checked(&directory, &own, &[("ROOKERY__ROOMS__HISTORY_SIZE", "6543")]);
    assert!(printed.contains("6543") && !printed.contains("5432"), "{printed}");
    let lists = [("ROOKERY__SERVER__ALLOWED_ORIGINS", "https://a.example,https://b.example")];
    let printed = checked(&directory, &[], &lists);
    for origin in ["\"https://a.example\"", "\"https://b.example\""] {
        assert!(printed.contains(origin), "{printed}");
    }
}

#[test]
fn check_hides_secrets() {
    let directory = Directory::new();
    let key = "an-api-key-that-nobody-should-see";
    let secrets = [("ROOKERY__AUTH__SECRET", SECRET), ("ROOKERY__API__KEYS", key)];
    let output = check(&directory, &[], &secrets);
    let printed = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{printed}");
    assert!(!printed.contains(SECRET) && !printed.contains(key), "{printed}");
}

#[test]
fn the_config_toml_of_the_repository_is_the_default() {
    let directory = Directory::new();
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/config.toml");
    assert_eq!(checked(&directory, &["--config", own], &[]), checked(&directory, &[], &[]));
}

// --- rookery token -------------------------------------------------------

fn mint(arguments: &[&str]) -> Output {
    let arguments: Vec<_> = ["token"].iter().chain(arguments).copied().collect();
    rookery(&Directory::new(), &arguments, &[("ROOKERY__AUTH__SECRET", SECRET)])
}

fn minted(arguments: &[&str]) -> String {
    let output = mint(arguments);
    assert!(output.status.success(), "{output:?}");
    let token = text(&output.stdout);
    assert_eq!(token.trim().split('.').count(), 3, "the token stands alone: {token:?}");
    token.trim().to_owned()
}

#[tokio::test]
async fn rookery_token_prints_a_token_that_the_server_takes() {
    let app = TestApp::spawn("").await;
    let client = app.upgrade().bearer(&minted(&["--sub", "alice"])).client().await;
    assert_eq!(client.welcome["user"], "alice");

    let grants = r#"{"lobby": ["join"]}"#;
    let token = minted(&["--sub", "bob", "--ttl", "60s", "--grants", grants]);
    let mut client = app.upgrade().bearer(&token).client().await;
    let expires_at = client.welcome["expires_at"].as_u64().expect("integer milliseconds");
    assert!(expires_at.abs_diff(now_ms() + 60_000) < 20_000, "{}", client.welcome);
    client.join("lobby").await;
    client.refused(json!({"type": "join", "room": "other"}), "forbidden").await;
}

#[test]
fn rookery_token_refuses_what_makes_no_token() {
    for arguments in [
        &[][..],
        &["--sub", ""],
        &["--sub", "alice", "--ttl", "soon"],
        &["--sub", "alice", "--grants", "{"],
        &["--sub", "alice", "--grants", r#"{"lobby": ["fly"]}"#],
    ] {
        let output = mint(arguments);
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

// --- starting ------------------------------------------------------------

#[tokio::test]
async fn rookery_alone_serves_and_tells_its_address() {
    let process = Process::spawn(&[]).await;
    assert_eq!(process.get("/healthz").await.status, 200);
    let health: Value = process.get("/readyz").await.json();
    assert_eq!(health["connections"], 0);
}

#[tokio::test]
async fn without_a_secret_tokens_of_the_suite_are_refused() {
    // An empty secret must not mean that anyone can sign.
    let process = Process::spawn_without_secret(&[]).await;
    process.connect("alice").refused().await.assert_error(401, "unauthorized");
}

#[tokio::test]
async fn a_port_in_use_ends_the_start() {
    let process = Process::spawn(&[]).await;
    let taken = format!("127.0.0.1:{}", process.port);
    let directory = Directory::new();
    let output = rookery(&directory, &[], &[("ROOKERY__SERVER__LISTEN", &taken)]);
    assert!(!output.status.success(), "{output:?}");
    assert!(text(&output.stderr).contains(&taken), "{output:?}");
}
