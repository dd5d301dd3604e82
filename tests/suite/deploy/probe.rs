//! `rookery probe`, which an image without a shell is asked with.

use std::process::Output;

use crate::harness::{Directory, Process, rookery};

fn probe(listen: &str, path: &[&str]) -> Output {
    let arguments = [&["probe"], path].concat();
    rookery(&Directory::new(), &arguments, &[("ROOKERY__SERVER__LISTEN", listen)])
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("output is UTF-8")
}

#[tokio::test]
async fn it_says_how_the_server_is() {
    let mut process = Process::spawn(&[("ROOKERY__SERVER__DRAIN_TIMEOUT", "30s")]).await;
    // As where it listens at all addresses.
    let listen = format!("0.0.0.0:{},127.0.0.1:1", process.port);
    for path in [&[][..], &["/healthz"], &["/readyz"]] {
        let output = probe(&listen, path);
        assert!(output.status.success(), "{output:?}");
        assert!(text(&output.stdout).contains("\"ready\":true"), "{output:?}");
    }

    let mut silent = process.client("silent").await;
    process.signal("TERM");
    silent.expect("closing").await;
    assert!(probe(&listen, &["/healthz"]).status.success());
    let draining = probe(&listen, &["/readyz"]);
    assert_eq!(draining.status.code(), Some(1), "{draining:?}");
    assert!(text(&draining.stderr).contains("503"), "{draining:?}");

    process.signal("TERM");
    process.exited().await;
    let gone = probe(&listen, &[]);
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    let error = text(&gone.stderr);
    assert!(error.contains(&format!("127.0.0.1:{}", process.port)), "{error}");
}

#[test]
fn what_cannot_be_asked_is_said() {
    let nobody_knows = probe("127.0.0.1:0", &[]);
    assert_eq!(nobody_knows.status.code(), Some(1));
    assert!(text(&nobody_knows.stderr).contains("port 0"), "{nobody_knows:?}");
    let elsewhere = probe("127.0.0.1:8080", &["/metrics"]);
    assert_eq!(elsewhere.status.code(), Some(2));
    assert!(text(&elsewhere.stderr).contains("/readyz"), "{elsewhere:?}");
}
