//! What is counted and measured while a node runs, for Prometheus.
//!
//! Who counts holds this; `GET /metrics` shows it, beside what can be asked for
//! at that moment. Labels have few values, each written in the code: no name
//! that a client chose is among them.

mod cells;
mod pulse;
mod rate;
mod worker;

pub use pulse::BEAT;
pub use rate::Rate;
pub use worker::{LANES, WorkerMetrics, Workers};

use std::time::{Duration, SystemTime};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use crate::model::Farewell;

/// How long connections last: from one that fails to one that stays for a day.
const CONNECTION_SECONDS: [f64; 8] = [1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 21_600.0, 86_400.0];

/// How long publishing takes: from a Redis next door to one that is overloaded.
const PUBLISH_SECONDS: [f64; 12] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5];

/// Why a connection ended of which no farewell was said: it ended by itself.
pub const LOST: &str = "lost";

/// The same where the session ended by a defect.
pub const PANIC: &str = "panic";

/// The parts of a node that begin again after a panic.
const PARTS: [&str; 9] = [
    "certificate",
    "probes",
    "report",
    "rooms",
    "shedding",
    "sweep",
    "traces",
    "watchdog",
    "webhooks",
];

/// A counter for each value of one label. Clones share it.
#[derive(Debug, Clone)]
pub struct CounterBy {
    label: &'static str,
    counters: Family<[(&'static str, &'static str); 1], Counter>,
}

impl CounterBy {
    /// None with any value; what is named here shows all the same. A series that
    /// began with its first event would hide that from those who look for a rise.
    fn new(label: &'static str, shown: impl IntoIterator<Item = &'static str>) -> Self {
        let counters = Family::default();
        for value in shown {
            drop(counters.get_or_create(&[(label, value)]));
        }
        Self { label, counters }
    }

    /// Counts one more with this value of the label.
    pub fn count(&self, value: &'static str) {
        self.counters.get_or_create(&[(self.label, value)]).inc();
    }
}

/// How a worker learned that it was behind in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairCause {
    /// An entry came whose predecessor had not.
    Gap,
    /// The worker's delivery queue was full.
    Overflow,
    /// The broker told where the log ends, after it resubscribed or when a room was silent.
    Subscription,
    /// The comparison with the ends of logs found it, so something lost a delivery.
    Comparison,
    /// Deliveries waited and no wake-up had come, so something lost the wake-up.
    LostWakeUp,
}

impl RepairCause {
    /// Every cause.
    pub const ALL: [Self; 5] =
        [Self::Gap, Self::Overflow, Self::Subscription, Self::Comparison, Self::LostWakeUp];

    /// The value of the metric's label.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Overflow => "overflow",
            Self::Subscription => "subscription",
            Self::Comparison => "comparison",
            Self::LostWakeUp => "lost_wakeup",
        }
    }
}

/// What a node counts of its connections and rooms.
#[derive(Debug)]
pub struct Metrics {
    /// When the node began.
    pub began: SystemTime,
    /// Messages and writes that sessions and backends had appended to a log.
    pub published: Counter,
    /// How many of them a second; see [`Rate::sample`].
    pub published_rate: Rate,
    /// Connections that became sessions.
    pub opened: Counter,
    /// Those of them that came by `GET /events`.
    pub streams_opened: Counter,
    /// Those that ended, by reason.
    closed: CounterBy,
    lasted: Histogram,
    /// Tokens that were shown and refused, by cause.
    pub tokens_refused: CounterBy,
    /// Upgrades that were refused, by cause.
    pub upgrades_refused: CounterBy,
    /// Calls of backends that were refused, by cause.
    pub calls_refused: CounterBy,
    /// TLS handshakes that came to nothing, by cause.
    pub handshakes_failed: CounterBy,
    /// Messages answered with `rate_limited`.
    pub rate_limited: Counter,
    /// Sessions that became members of a room.
    pub joins: Counter,
    /// Those of them that named the last message they know, by whether the log
    /// reached back to it.
    resumes: CounterBy,
    /// Times that a worker was behind in a room and caught up from the room's log, by
    /// [`RepairCause`].
    delivery_repairs: CounterBy,
    /// Gaps that the log did not reach back to.
    pub logs_restarted: Counter,
    /// How often a worker's delivery queue was full.
    pub workers_lagged: Counter,
    /// Parts of the node that panicked and began again.
    pub parts_restarted: CounterBy,
    /// What each worker counts by itself.
    pub workers: Workers,
}

impl Default for Metrics {
    fn default() -> Self {
        let reasons = Farewell::ALL.map(Farewell::word).into_iter().chain([LOST, PANIC]);
        Self {
            began: SystemTime::now(),
            published: Counter::default(),
            published_rate: Rate::default(),
            opened: Counter::default(),
            streams_opened: Counter::default(),
            closed: CounterBy::new("reason", reasons),
            lasted: Histogram::new(CONNECTION_SECONDS),
            tokens_refused: CounterBy::new("cause", []),
            upgrades_refused: CounterBy::new("cause", []),
            calls_refused: CounterBy::new("cause", ["key", "scope", "room"]),
            handshakes_failed: CounterBy::new("cause", ["timeout", "plain_http", "failed"]),
            rate_limited: Counter::default(),
            joins: Counter::default(),
            resumes: CounterBy::new("recovered", ["true", "false"]),
            delivery_repairs: CounterBy::new("cause", RepairCause::ALL.map(RepairCause::word)),
            logs_restarted: Counter::default(),
            workers_lagged: Counter::default(),
            parts_restarted: CounterBy::new("part", PARTS),
            workers: Workers::default(),
        }
    }
}

impl Metrics {
    /// A connection ended for this reason after so long.
    pub fn closed(&self, reason: &'static str, lasted: Duration) {
        self.closed.count(reason);
        self.lasted.observe(lasted.as_secs_f64());
    }

    /// A worker was behind in a room, and caught up from the room's log.
    pub fn delivery_repaired(&self, cause: RepairCause) {
        self.delivery_repairs.count(cause.word());
    }

    /// A session resumed in a room; whether all it missed was there.
    pub fn resumed(&self, recovered: bool) {
        self.resumes.count(if recovered { "true" } else { "false" });
    }

    /// Puts all of it into a registry.
    pub fn register(&self, to: &mut Registry) {
        let counters = [
            ("connections_opened", "Connections that became sessions", &self.opened),
            ("event_streams_opened", "Those of them by GET /events", &self.streams_opened),
            ("messages_rate_limited", "Messages answered with rate_limited", &self.rate_limited),
            ("messages_published", "Messages and writes appended to a log", &self.published),
            ("joins", "Sessions that became members of a room", &self.joins),
            ("logs_restarted", "Gaps that a log did not reach back to", &self.logs_restarted),
            ("workers_lagged", "Times a worker's delivery queue was full", &self.workers_lagged),
        ];
        for (name, help, counter) in counters {
            to.register(name, help, counter.clone());
        }
        let families = [
            ("connections_closed", "Connections that ended", &self.closed),
            ("tokens_refused", "Tokens refused at connecting and refreshing", &self.tokens_refused),
            ("upgrades_refused", "Upgrades to a WebSocket refused", &self.upgrades_refused),
            ("api_calls_refused", "Calls of backends refused", &self.calls_refused),
            ("tls_handshakes_failed", "TLS handshakes that failed", &self.handshakes_failed),
            (
                "delivery_repairs",
                "Times a worker was behind in a room and caught up, by cause",
                &self.delivery_repairs,
            ),
            ("parts_restarted", "Parts of the node that panicked", &self.parts_restarted),
            ("resumes", "Joins that named the last message known", &self.resumes),
        ];
        for (name, help, family) in families {
            to.register(name, help, family.counters.clone());
        }
        let lasted = self.lasted.clone();
        to.register("connection_duration_seconds", "How long connections lasted", lasted);
        self.workers.register(to);
    }
}

/// How publishing through a broker goes. Clones share it.
#[derive(Debug, Clone)]
pub struct Publishing {
    took: Histogram,
    failed: CounterBy,
}

impl Default for Publishing {
    fn default() -> Self {
        Self { took: Histogram::new(PUBLISH_SECONDS), failed: CounterBy::new("cause", []) }
    }
}

impl Publishing {
    /// It was tried, took so long, and failed for this cause if it did.
    pub fn tried(&self, took: Duration, failed: Option<&'static str>) {
        self.took.observe(took.as_secs_f64());
        if let Some(cause) = failed {
            self.failed.count(cause);
        }
    }

    /// Puts it into a registry.
    pub fn register(&self, to: &mut Registry) {
        let (took, failed) = (self.took.clone(), self.failed.counters.clone());
        to.register("publish_duration_seconds", "How long publishing took, or failing", took);
        to.register("publish_errors", "Publications that failed", failed);
    }
}
