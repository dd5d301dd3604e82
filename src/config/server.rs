use std::{num::NonZero, path::PathBuf, thread, time::Duration};

use ipnet::IpNet;
use serde::Deserialize;

use super::{Listen, read};

/// `[server]`: where this node listens, and how much it takes on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The addresses listened on.
    #[serde(deserialize_with = "read::addresses")]
    pub listen: Vec<Listen>,
    /// Who may connect to the Unix sockets among them: the mode of their files.
    #[serde(deserialize_with = "read::mode")]
    pub unix_mode: u32,
    /// How many worker threads; 0 stands for the number of cores, see
    /// [`Server::workers`].
    #[serde(deserialize_with = "read::threads")]
    pub workers: usize,
    /// How many connections this node holds at once.
    #[serde(deserialize_with = "read::positive")]
    pub max_connections: usize,
    /// How long a stopping node waits for its clients to leave.
    #[serde(deserialize_with = "read::duration")]
    pub drain_timeout: Duration,
    /// The origins whose pages may connect; empty for pages of the same host,
    /// `*` for any.
    #[serde(deserialize_with = "read::origins")]
    pub allowed_origins: Vec<String>,
    /// The proxies whose word about whom a request came from is taken.
    #[serde(deserialize_with = "read::networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Whether `GET /ws/echo` exists, for conformance suites.
    #[serde(deserialize_with = "read::flag")]
    pub echo: bool,
    /// Whether `GET /metrics` exists, for Prometheus.
    #[serde(deserialize_with = "read::flag")]
    pub metrics: bool,
    /// Whether the operator's page exists, at `/admin`.
    #[serde(deserialize_with = "read::flag")]
    pub admin: bool,
    /// This node's name; none lets the node choose one.
    #[serde(deserialize_with = "read::node_name")]
    pub node: Option<String>,
    /// A folder the pages are served from in place of those built in.
    #[serde(deserialize_with = "read::path")]
    pub static_dir: Option<PathBuf>,
}

impl Server {
    /// The number of worker threads, with 0 resolved to the number of cores.
    pub fn workers(&self) -> usize {
        match self.workers {
            0 => thread::available_parallelism().map_or(1, NonZero::get),
            workers => workers,
        }
    }

    /// Whether nothing but this machine can reach the addresses listened on.
    pub fn is_loopback_only(&self) -> bool {
        self.listen.iter().all(Listen::is_loopback)
    }
}
