//! The unit of systemd, and what the server tells it. There is no systemd here
//! that could run it.

use std::{os::unix::net::UnixDatagram, process::Command, time::Duration};

use super::{changed, read};
use crate::harness::{Directory, PATIENCE, Process, eventually};

/// `systemd-analyze` with the unit, in which the binary is the one under test.
fn analyze(arguments: &[&str]) -> String {
    let directory = Directory::new();
    let binary = env!("CARGO_BIN_EXE_rookery");
    let unit = changed(&read("systemd/rookery.service"), &[("/usr/local/bin/rookery", binary)]);
    let file = directory.write("rookery.service", &unit);
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .arg(file)
        .output()
        .expect("systemd-analyze runs");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).expect("output is UTF-8");
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

#[test]
fn systemd_finds_nothing_wrong_with_the_unit() {
    // What it does not know it only warns of.
    assert_eq!(analyze(&["verify", "--man=no"]), "");
}

#[test]
fn systemd_finds_the_sandbox_tight() {
    // In tenths: 0 for nothing exposed, 96 for a unit without any sandboxing.
    analyze(&["security", "--offline=true", "--threshold=20"]);
}

#[test]
fn the_unit_waits_longer_than_the_drain() {
    let unit = read("systemd/rookery.service");
    let value = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec="));
    let stop = humantime::parse_duration(value.expect("TimeoutStopSec is set")).unwrap();
    let defaults = rookery::config::Settings::from_toml("").unwrap();
    assert!(stop >= defaults.server.drain_timeout + Duration::from_secs(5), "{stop:?}");
}

#[tokio::test]
async fn the_supervisor_is_told_when_the_node_listens_and_when_it_stops() {
    let directory = Directory::new();
    let path = directory.path().join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut buffer = [0; 256];
        let length = supervisor.recv(&mut buffer).expect("the supervisor is told");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let mut process = Process::spawn(&[("NOTIFY_SOCKET", path.to_str().unwrap())]).await;
    assert_eq!(told(), "READY=1");
    process.signal("TERM");
    assert_eq!(told(), "STOPPING=1");
    assert!(process.exited().await.success());
}

#[tokio::test]
async fn a_supervisor_that_is_gone_stops_nobody() {
    let process = Process::spawn(&[("NOTIFY_SOCKET", "/nobody/listens/here")]).await;
    eventually("a warning", async || process.log().contains("NOTIFY_SOCKET").then_some(())).await;
    process.member("alice", "lobby").await.chat("lobby", "hello").await;
}
