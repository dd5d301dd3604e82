//! What every test is written with: a server (inside the test or a process of
//! its own), a WebSocket client that can misbehave on purpose, and HTTP.

mod app;
mod backend;
mod certificates;
mod client;
mod connect;
mod endpoint;
mod http;
mod listener;
mod nodes;
mod process;
mod proxy;
mod random;
mod redis;
mod repairs;
mod stream;
mod wire;

use std::{future::Future, time::Duration};

pub use app::TestApp;
pub use backend::{Backend, Call, Reply};
pub use certificates::{Certificates, ECDSA, RSA, way_of};
pub use client::{Client, came, listed, seqs, since, went};
pub use connect::Connect;
pub use endpoint::{Endpoint, SECRET, claims, now_ms, now_s, sign, sign_with_secret};
pub use http::Response;
pub use listener::{Listener, Told};
pub use nodes::{node, node_process, nodes, nodes_with};
pub use process::{Directory, Process, program, rookery, signal};
pub use proxy::{Proxy, program_of_servers};
pub use random::Random;
pub use redis::{RedisCluster, RedisServer, Relay, Sentinels, free_port};
pub use stream::{Stream, Way};
pub use wire::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Wire, frame, header};

/// How long a test waits for what must come. It guards against hanging and
/// measures nothing, so it is far above what any answer takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `future`, and fails with `what` in place of hanging.
pub async fn patiently<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} in vain for {what}"),
    }
}

/// Asks again and again until `probe` gives a value: for a state that nobody
/// announces.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    patiently(what, async {
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}
