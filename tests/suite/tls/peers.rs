//! Peers that do not speak as they should.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    harness::{Certificates, Endpoint, TestApp, Way, patiently, way_of},
    metrics::exposition::Exposition,
};

/// Writes bytes and reads to the end.
async fn answer(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
    stream.write_all(bytes).await.expect("the server reads");
    let mut answer = Vec::new();
    let _ = patiently("the end of the connection", stream.read_to_end(&mut answer)).await;
    answer
}

async fn failed(server: &Endpoint, cause: &str, count: f64) {
    let sample = format!("rookery_tls_handshakes_failed_total{{cause=\"{cause}\"}}");
    Exposition::until(server, &sample, count).await;
}

#[tokio::test]
async fn plain_http_is_answered_in_plain_http() {
    let app = TestApp::spawn_tls(&Certificates::new(), "").await;
    let plain = Endpoint { way: Way::Plain, ..*app };
    let response = plain.get("/healthz").await;
    assert_eq!(response.status, 400);
    assert_eq!(response.body, "This port speaks TLS: use https.\n");
    failed(&app, "plain_http", 1.0).await;
}

#[tokio::test]
async fn who_says_nothing_or_not_enough_is_let_go() {
    let settings = "tls.handshake_timeout = \"200ms\"";
    let app = TestApp::spawn_tls(&Certificates::new(), settings).await;
    let alice = app.client("alice").await;
    assert_eq!(answer(app.port, b"").await, b"");
    // The beginning of a record that never ends, and of a request.
    assert_eq!(answer(app.port, &[0x16, 3, 1, 2, 0, 1, 0, 1]).await, b"");
    failed(&app, "timeout", 2.0).await;
    drop(alice);
    app.client("alice").await;
}

#[tokio::test]
async fn older_versions_and_noise_are_refused_with_an_alert() {
    let app = TestApp::spawn_tls(&Certificates::new(), "").await;
    // A ClientHello of TLS 1.1: version, random, no session, one suite, no
    // compression, one algorithm for signatures.
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    hello.extend([0, 8, 0, 13, 0, 4, 0, 2, 4, 3]);
    let length = hello.len() as u8;
    let record = [&[0x16, 3, 1, 0, length + 4, 1, 0, 0, length][..], &hello].concat();
    let refused = answer(app.port, &record).await;
    assert!(refused.starts_with(&[0x15, 3]) && refused.ends_with(&[2, 70]), "{refused:?}");
    let noise = answer(app.port, &[0; 600]).await;
    assert!(noise.is_empty() || noise[0] == 0x15, "{noise:?}");
    failed(&app, "failed", 2.0).await;
    app.client("alice").await;
}

#[tokio::test]
async fn a_client_of_another_protocol_is_refused_in_the_handshake() {
    let certificates = Certificates::new();
    let app = TestApp::spawn_tls(&certificates, "").await;
    let mut client = certificates.client();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let other = Endpoint { way: way_of(client), ..*app };
    assert!(other.try_get("/healthz").await.is_err());
    failed(&app, "failed", 1.0).await;
}

#[tokio::test]
async fn noise_after_the_handshake_ends_that_connection_alone() {
    let certificates = Certificates::new();
    let app = TestApp::spawn_tls(&certificates, "").await;
    let mut bob = app.member("bob", "lobby").await;
    let alice = app.member("alice", "lobby").await;
    // A record that nobody encrypted, behind the back of the client's TLS.
    let socket = alice.wire.socket().try_clone().expect("a socket can be cloned");
    socket
        .send(&[0x17, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
        .expect("the socket is open");
    let mut alice = alice;
    assert_eq!(alice.closed().await.code, None);
    bob.until(|message| crate::harness::went(message, "alice")).await;
    bob.chat("lobby", "hello").await;
}
