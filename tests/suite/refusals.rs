//! Upgrades refused with 403, 429 and 503.

use crate::harness::{TestApp, eventually};

#[tokio::test]
async fn an_origin_of_the_same_host_is_accepted() {
    let app = TestApp::spawn("").await;
    let origin = format!("http://127.0.0.1:{}", app.port);
    app.connect("alice").header("origin", origin).client().await;
}

#[tokio::test]
async fn an_origin_of_another_host_is_403() {
    let app = TestApp::spawn("").await;
    let port = app.port;
    for origin in [
        "https://evil.example".to_owned(),
        "null".to_owned(),
        format!("http://127.0.0.1.evil.example:{port}"),
        format!("http://evil-127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}.evil.example"),
        format!("http://127.0.0.1:{port}@evil.example"),
    ] {
        let response = app.connect("alice").header("origin", origin).refused().await;
        response.assert_error(403, "origin_not_allowed");
    }
}

#[tokio::test]
async fn only_listed_origins_are_accepted_where_there_is_a_list() {
    let settings = r#"server.allowed_origins = ["https://chat.example", "https://b.example:8443"]"#;
    let app = TestApp::spawn(settings).await;
    for origin in ["https://chat.example", "https://b.example:8443"] {
        app.connect("alice").header("origin", origin).client().await;
    }
    for origin in [
        "http://chat.example",
        "https://chat.example.evil.example",
        "https://sub.chat.example",
        "https://b.example",
        "https://evil.example",
    ] {
        let response = app.connect("alice").header("origin", origin).refused().await;
        response.assert_error(403, "origin_not_allowed");
    }
}

#[tokio::test]
async fn connections_over_connections_per_user_are_429() {
    let app = TestApp::spawn("limits.connections_per_user = 2").await;
    let first = app.client("alice").await;
    let _second = app.client("alice").await;
    let response = app.connect("alice").refused().await;
    response.assert_error(429, "rate_limited");
    response.assert_retry_after();
    let _other = app.client("bob").await;

    first.leave().await;
    eventually("room for a connection", async || app.connect("alice").attempt().await.ok()?.ok())
        .await;
}

#[tokio::test]
async fn connections_over_connections_per_ip_are_429() {
    let app = TestApp::spawn("limits.connections_per_ip = 2").await;
    let first = app.client("alice").await;
    let _second = app.client("bob").await;
    let response = app.connect("carol").refused().await;
    response.assert_error(429, "rate_limited");
    response.assert_retry_after();
    // Anyone can write this header; without a proxy to trust it says nothing.
    let response = app.connect("carol").header("x-forwarded-for", "203.0.113.7").refused().await;
    response.assert_error(429, "rate_limited");

    first.leave().await;
    eventually("room for a connection", async || app.connect("carol").attempt().await.ok()?.ok())
        .await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_limit() {
    let settings = "limits.connections_per_ip = 1\nserver.trusted_proxies = [\"127.0.0.0/8\"]";
    let app = TestApp::spawn(settings).await;
    let behind = |address: &str| app.connect("alice").header("x-forwarded-for", address);
    let _first = behind("203.0.113.7").client().await;
    let _other = behind("203.0.113.8, 127.0.0.2").client().await;
    // What a client writes itself the proxy adds the truth to.
    for address in ["203.0.113.7", "198.51.100.1, 203.0.113.8"] {
        behind(address).refused().await.assert_error(429, "rate_limited");
    }
}

#[tokio::test]
async fn attempts_over_connects_per_second_are_429() {
    let app = TestApp::spawn("limits.connects_per_second = 3").await;
    // An attempt counts whether it succeeds or not, so these hold nothing open.
    let response = eventually("an attempt over the limit", async || {
        let mut attempts = Vec::new();
        for _ in 0..10 {
            attempts.push(app.connect("alice").attempt().await.expect("connections are taken"));
        }
        attempts.into_iter().find_map(Result::err)
    })
    .await;
    response.assert_error(429, "rate_limited");
    response.assert_retry_after();
    eventually("an attempt within the limit", async || {
        app.connect("alice").attempt().await.ok()?.ok()
    })
    .await;
}

#[tokio::test]
async fn attempts_of_one_user_count_together_from_whatever_address() {
    let app = TestApp::spawn("limits.connects_per_second = 3").await;
    let mut host = 1;
    let mut from_elsewhere = async |user: &str| {
        host += 1;
        app.connect(user).source([127, 0, 0, host]).attempt().await.expect("connections are taken")
    };
    let response = eventually("an attempt over the limit", async || {
        let mut attempts = Vec::new();
        for _ in 0..10 {
            attempts.push(from_elsewhere("alice").await);
        }
        attempts.into_iter().find_map(Result::err)
    })
    .await;
    response.assert_error(429, "rate_limited");
    response.assert_retry_after();
    assert!(response.body.contains("user"), "{response:?}");
    assert!(from_elsewhere("bob").await.is_ok());
}

#[tokio::test]
async fn a_full_node_is_503() {
    let app = TestApp::spawn("server.max_connections = 2").await;
    let first = app.client("alice").await;
    let _second = app.client("bob").await;
    let response = app.connect("carol").refused().await;
    response.assert_error(503, "unavailable");
    response.assert_retry_after();

    first.leave().await;
    eventually("room for a connection", async || app.connect("carol").attempt().await.ok()?.ok())
        .await;
}
