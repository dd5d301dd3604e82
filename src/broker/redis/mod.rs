//! The broker of several nodes: logs, state and dedup in Redis.
//!
//! Every write is one script, which runs in Redis as one step: dedup, `seq`,
//! append, and publish to the room's channel (`script`). A node subscribes the
//! channel of a room when somebody on it wants to hear of the room, and hands on
//! what comes over it to the workers and to presence (`table`, `node`).
//!
//! What comes over channels may get lost: with a connection, with a Redis that
//! fails over. Nothing depends on it. The `bridge` notices that it was not
//! connected, or that it does not hear its own probe, or that a room was silent
//! for long; then it asks where the logs end, and workers that are not there read
//! what they miss from the log.
//!
//! ```text
//! Session ──publish──► RedisBroker ──script──► Redis ──channel──► feed ──► RoomSupervisor
//!                          │                     ▲                   └───► PresenceSupervisor
//!                          └── RedisBridge ──────┘
//!                    (connections, beat, probe, repair)
//! ```

mod bridge;
mod cluster;
mod comparison;
mod entry;
mod events;
mod feed;
mod feeding;
mod followed;
mod hooking;
mod life;
mod listing;
mod lives;
mod logs;
mod names;
mod node;
mod orders;
mod outbox;
mod perhaps;
mod posts;
mod pulse;
mod reconciler;
mod repair;
mod reports;
mod reread;
mod script;
mod servers;
mod standing;
mod subscription_table;
mod table;
mod tasks;

use std::sync::Arc;

use actix::Addr;

use crate::{backend::Hooks, config::Settings, supervision::InjectedFault};

pub use self::{outbox::RedisOutbox, reread::reread};

use self::{bridge::RedisBridge, node::Node, servers::Servers};

/// The broker of several nodes, and the way between them. Clones share it.
#[derive(Clone)]
pub struct RedisBroker(Arc<Node>);

impl RedisBroker {
    /// Connects to the Redis of `settings`, for the node of this name, which tells
    /// `hooks` what happens. Redis may be away: then nothing can be done until it
    /// is there.
    ///
    /// # Errors
    /// Settings that cannot work, and a Redis that does not let this node in, in
    /// words for people.
    pub async fn connect(
        settings: &Settings,
        name: Arc<str>,
        hooks: Option<Arc<Hooks>>,
    ) -> Result<Self, String> {
        let url = settings.broker.url.as_ref().ok_or("broker.url: got nothing")?;
        let servers = Servers::new(url, &settings.broker)?;
        let node = Arc::new(Node::new(settings, servers, name, hooks));
        RedisBridge::begin(&node).await.map_err(|error| format!("broker.url: {url}: {error}"))?;
        Ok(Self(node))
    }

    /// Whether the actor that keeps the node connected runs. It ends by a panic alone, or
    /// when the node leaves.
    pub fn is_bridged(&self) -> bool {
        self.0.bridge.get().is_some_and(Addr::connected)
    }

    /// Has that actor panic, for tests.
    pub(crate) fn inject_fault(&self) {
        if let Some(bridge) = self.0.bridge.get() {
            bridge.do_send(InjectedFault);
        }
    }

    /// Where the events of all nodes wait for backends.
    pub fn outbox(&self) -> Option<Arc<RedisOutbox>> {
        RedisOutbox::new(&self.0).map(Arc::new)
    }
}
