//! The calls of backends that write and read rooms, and what they see of users
//! and nodes.

mod batch;
mod document;
mod examples;
mod keys;
mod messages;
mod nodes;
mod people;
mod rooms;
mod sessions;
mod state;
mod trace;

use serde_json::Value;

use crate::harness::{Endpoint, RedisServer, Response, TestApp, nodes_with};

const KEY: &str = "a-key-of-the-tests";
const SETTINGS: &str = r#"api.keys = ["a-key-of-the-tests"]"#;

/// One call with the key that may do everything.
async fn call(node: &Endpoint, method: &str, path: &str, body: Value) -> Response {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    node.backend(KEY, method, &format!("/api/v1{path}"), &body).await
}

/// A call that has to be done.
async fn done(node: &Endpoint, method: &str, path: &str, body: Value) -> Value {
    let response = call(node, method, path, body).await;
    assert_eq!(response.status, 200, "{method} {path}: {response:?}");
    response.json()
}

async fn get(node: &Endpoint, path: &str) -> Value {
    done(node, "GET", path, Value::Null).await
}

async fn post(node: &Endpoint, path: &str, body: Value) -> Value {
    done(node, "POST", path, body).await
}

/// A node with the embedded broker.
async fn alone() -> TestApp {
    TestApp::spawn(SETTINGS).await
}

/// Two nodes over one Redis.
async fn two() -> (RedisServer, [TestApp; 2]) {
    let redis = RedisServer::start().await;
    let nodes = nodes_with(&redis.url(), SETTINGS).await;
    (redis, nodes)
}

/// Runs a test against both brokers: it is given the node to ask and the one where
/// clients are, which are two with Redis.
macro_rules! with_both_brokers {
    ($($name:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test]
            async fn $name() {
                let app = super::super::alone().await;
                super::$name(&app, &app).await;
            })*
        }
        mod redis {
            $(#[tokio::test]
            async fn $name() {
                let (_redis, [one, two]) = super::super::two().await;
                super::$name(&one, &two).await;
            })*
        }
    };
}
use with_both_brokers;
