//! What a proxy with TLS tells the nodes of it.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use super::fronts::{Front, Kind};
use crate::harness::{RedisServer, node_process};

/// One request over TLS, by a program that speaks it.
fn over_tls(port: u16, request: &str) -> String {
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &format!("127.0.0.1:{port}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl runs");
    let mut input = client.stdin.take().expect("stdin is piped");
    input.write_all(request.as_bytes()).expect("openssl reads");
    let output = client.wait_with_output().expect("openssl ends");
    drop(input);
    String::from_utf8(output.stdout).expect("an answer is text")
}

async fn the_guest_s_cookie_is_secure(kind: Kind) {
    let redis = RedisServer::start().await;
    let settings = [("ROOKERY__SERVER__TRUSTED_PROXIES", "127.0.0.1")];
    let nodes = [
        node_process(&redis.url(), "n1", &settings).await,
        node_process(&redis.url(), "n2", &settings).await,
    ];
    let front = Front::before(kind, &nodes).await;
    let body = r#"{"name":"Alice"}"#;
    let request = format!(
        "POST /auth/guest HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         x-forwarded-proto: http\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = over_tls(front.tls, &request);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("Secure"), "{answer}");
}

#[tokio::test]
async fn behind_nginx_the_guest_s_cookie_is_secure() {
    the_guest_s_cookie_is_secure(Kind::Nginx).await;
}

#[tokio::test]
async fn behind_haproxy_the_guest_s_cookie_is_secure() {
    the_guest_s_cookie_is_secure(Kind::Haproxy).await;
}
