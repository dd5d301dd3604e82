use std::time::Duration;

use prometheus_client::{
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::ConstGauge,
    },
    registry::Registry,
};

use crate::metrics::Publishing;

/// How a broker gets on with the servers behind it, since it began.
#[derive(Debug, Clone)]
pub struct Figures {
    /// How often the connection was made again.
    pub reconnects: u64,
    /// How often all channels were subscribed again.
    pub resubscriptions: u64,
    /// How often that was because the node did not hear itself.
    pub deaf: u64,
    /// Channels subscribed again that the node took for subscribed.
    pub lost_subscriptions: u64,
    /// Channels unsubscribed that nobody wanted.
    pub unwanted_subscriptions: u64,
    /// How long the node's last word to itself took.
    pub probe_lag: Duration,
    /// How many nodes there are, this one among them.
    pub nodes: usize,
    /// How many replicas the master has.
    pub replicas: usize,
    /// How publishing goes.
    pub publishing: Publishing,
}

impl Figures {
    /// Puts them into a registry.
    pub fn register(&self, to: &mut Registry) {
        let counters = [
            ("reconnects", "Connections to Redis made again", self.reconnects),
            ("resubscriptions", "How often channels were subscribed again", self.resubscriptions),
            ("deaf", "How often the node did not hear itself", self.deaf),
        ];
        for (name, help, value) in counters {
            to.register(name, help, ConstCounter::new(value));
        }
        let repairs = Family::<[(&'static str, &'static str); 1], Counter>::default();
        let kinds = [("lost", self.lost_subscriptions), ("unwanted", self.unwanted_subscriptions)];
        for (kind, count) in kinds {
            repairs.get_or_create(&[("kind", kind)]).inc_by(count);
        }
        let help = "Channels that Redis did not have as the node wanted, put right";
        to.register("subscription_repairs", help, repairs);
        let gauges = [
            ("nodes", "Nodes that beat, this one among them", self.nodes),
            ("replicas", "Replicas of the Redis master", self.replicas),
        ];
        for (name, help, value) in gauges {
            to.register(name, help, ConstGauge::new(value));
        }
        let lag = ConstGauge::new(self.probe_lag.as_secs_f64());
        to.register("probe_lag_seconds", "How long the node's last word to itself took", lag);
        self.publishing.register(to);
    }
}
