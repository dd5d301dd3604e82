//! The settings of one node: a struct for each section of `config.toml`.

mod api;
mod ask;
mod auth;
mod broker;
mod check;
mod error;
mod heartbeat;
mod inbox;
mod layers;
mod limits;
mod listen;
mod log;
mod metrics;
mod outbound;
mod presence;
mod read;
mod rooms;
mod secret;
mod server;
mod shedding;
#[cfg(test)]
mod tests;
mod tls;
mod webhooks;

pub use api::{Api, ApiKey, Scope};
pub use ask::{Ask, Otherwise};
pub use auth::{Auth, Guest};
pub use broker::{Broker, HostPort, RedisAddress, Topology};
pub use error::ConfigError;
pub use heartbeat::Heartbeat;
pub use inbox::Inbox;
pub use layers::Layers;
pub use limits::Limits;
pub use listen::{Listen, NoAddress, Scheme};
pub use log::{Log, LogFormat};
pub use metrics::Metrics;
pub use outbound::Outbound;
pub use presence::Presence;
pub use rooms::{Namespace, RoomSettings, Rooms};
pub use secret::Secret;
pub use server::Server;
pub use shedding::{MemoryLimit, Shedding};
pub use tls::Tls;
pub use webhooks::{Endpoint, HookEvent, Webhooks};

use std::path::Path;

use serde::Deserialize;

/// Everything that can be set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where this node listens, and how much it takes on.
    pub server: Server,
    /// How it speaks TLS, where it does.
    pub tls: Tls,
    /// Which tokens are accepted, and what they allow.
    pub auth: Auth,
    /// The backend's HTTP calls.
    pub api: Api,
    /// What joins the nodes of a cluster.
    pub broker: Broker,
    /// When a silent connection counts as dead.
    pub heartbeat: Heartbeat,
    /// What one client may ask of this node.
    pub limits: Limits,
    /// How much may wait for one slow reader.
    pub outbound: Outbound,
    /// When a user counts as gone.
    pub presence: Presence,
    /// When this node refuses new work.
    pub shedding: Shedding,
    /// What is kept of a room.
    pub rooms: Rooms,
    /// What is kept of direct messages until they are seen.
    pub inbox: Inbox,
    /// Which backends are told who comes and goes.
    pub webhooks: Webhooks,
    /// What a backend is asked before it is done.
    pub ask: Ask,
    /// What `GET /metrics` shows besides.
    pub metrics: Metrics,
    /// What is written to standard error.
    pub log: Log,
}

impl Settings {
    /// The settings of `file` (without one: of `config.toml`, if the working
    /// directory has it) and the environment, over the defaults.
    ///
    /// # Errors
    /// [`ConfigError`] for the first key or value that does not fit.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Layers::read(file)?.settings()
    }

    /// The settings of `text` over the defaults, whatever the environment.
    ///
    /// # Errors
    /// [`ConfigError`] for the first key or value that does not fit.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let mut layers = Layers::embedded()?;
        layers.add_toml(text, "config.toml")?;
        layers.settings()
    }

    /// Whether anyone may have a guest's token here.
    pub fn guests_allowed(&self) -> bool {
        match self.auth.guest {
            Guest::On => true,
            Guest::Auto => self.server.is_loopback_only(),
            Guest::Off => false,
        }
    }
}

impl Default for Settings {
    /// The settings of the embedded `config.toml`.
    #[expect(clippy::expect_used, reason = "that file is part of the program, and tests read it")]
    fn default() -> Self {
        Self::from_toml("").expect("the embedded config.toml is valid")
    }
}
