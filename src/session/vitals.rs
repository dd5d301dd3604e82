//! How the node is, as the others and backends are told.

use std::time::{Instant, UNIX_EPOCH};

use super::{services::Services, stalls::STALL_LIMIT};
use crate::{cluster::NodeReport, model::wall_clock, presence::Survey};

impl Services {
    /// Counts what was appended to a log, unless it was before.
    pub fn note_published(&self, duplicate: bool) {
        if !duplicate {
            self.metrics.published.inc();
        }
    }

    /// Notes how far the counters are, for their rates. To be called every second
    /// or so.
    pub fn sample(&self, now: Instant) {
        self.metrics.published_rate.sample(self.metrics.published.get(), now);
    }

    /// Whether the node takes new clients, with a broker that works or does not.
    pub fn is_ready(&self, broker: bool) -> bool {
        let registry = &self.registry;
        let takes = !registry.is_draining() && registry.shedding().causes().next().is_none();
        broker && self.presence.connected() && takes && self.stall(STALL_LIMIT).is_none()
    }

    /// How this node is now.
    pub async fn report(&self) -> NodeReport {
        // Presence is gone only after a defect, and then there is nobody to count.
        let (users, rooms) = self.presence.send(Survey).await.unwrap_or_default();
        let began = self.metrics.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        NodeReport {
            node: self.node.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            started_at: u64::try_from(began.as_millis()).unwrap_or(u64::MAX),
            reported_at: wall_clock(),
            ready: self.is_ready(self.broker.health().ok),
            draining: self.registry.is_draining(),
            connections: self.registry.connections(),
            max_connections: self.settings.server.max_connections,
            users,
            rooms,
            messages: self.metrics.published.get(),
            issuers_ahead_ms: self.issuers_ahead_ms().await.map_or(0, |(_, ahead)| ahead),
            messages_per_second: self.metrics.published_rate.per_second(),
        }
    }
}
