use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::hook::Hooks;
use crate::model::{Timestamp, wall_clock};

/// How one endpoint gets on. What is counted is this node's; what waits is what
/// waits on all nodes together.
#[derive(Debug, Default)]
pub struct HookFigures {
    /// Events that the backend took.
    pub delivered: Counter,
    /// Calls that failed and were made again.
    pub retried: Counter,
    /// Events that the backend refused for good.
    pub refused: Counter,
    /// Events left out, for too many waited.
    pub dropped: Counter,
    waiting: AtomicU64,
    /// The time of the oldest event that waits; 0 where none does.
    oldest: AtomicU64,
}

impl HookFigures {
    /// So many events wait, the oldest one since then.
    pub fn wait(&self, waiting: usize, oldest: Option<Timestamp>) {
        self.waiting.store(u64::try_from(waiting).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.oldest.store(oldest.unwrap_or_default(), Ordering::Relaxed);
    }

    /// How long the oldest event that waits has done so.
    fn behind(&self, now: Timestamp) -> Duration {
        match self.oldest.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            oldest => Duration::from_millis(now.saturating_sub(oldest)),
        }
    }
}

/// What became of questions.
#[derive(Debug, Default)]
pub struct Figures {
    asked: Family<[(&'static str, &'static str); 2], Counter>,
}

impl Figures {
    /// A question of this kind came to this end.
    pub(super) fn asked(&self, kind: &'static str, answer: &'static str) {
        self.asked.get_or_create(&[("kind", kind), ("answer", answer)]).inc();
    }

    /// Puts them into a registry.
    pub fn register(&self, to: &mut Registry) {
        to.register("questions", "Questions to a backend, by their answers", self.asked.clone());
    }
}

impl Hooks {
    /// Puts the figures of all endpoints into a registry.
    pub fn register(&self, to: &mut Registry) {
        type Named<T> = Family<[(&'static str, String); 1], T>;
        let (counters, now) = (
            [
                ("delivered", "Events that a backend took"),
                ("retried", "Calls that failed and were made again"),
                ("refused", "Events that a backend refused for good"),
                ("dropped", "Events left out, for too many waited"),
            ],
            wall_clock(),
        );
        for (number, (name, help)) in counters.into_iter().enumerate() {
            let family = Named::<Counter>::default();
            for hook in self.all() {
                let figures = &hook.figures;
                let all =
                    [&figures.delivered, &figures.retried, &figures.refused, &figures.dropped];
                let value = all.get(number).map_or(0, |counter| counter.get());
                family.get_or_create(&[("endpoint", hook.endpoint.name.clone())]).inc_by(value);
            }
            to.register(name, help, family);
        }
        let (waiting, behind) =
            (Named::<Gauge>::default(), Named::<Gauge<f64, AtomicU64>>::default());
        for hook in self.all() {
            let label = [("endpoint", hook.endpoint.name.clone())];
            let waits = hook.figures.waiting.load(Ordering::Relaxed);
            waiting.get_or_create(&label).set(i64::try_from(waits).unwrap_or(i64::MAX));
            behind.get_or_create(&label).set(hook.figures.behind(now).as_secs_f64());
        }
        to.register("waiting", "Events that wait for a backend, on all nodes", waiting);
        to.register("behind_seconds", "How long the oldest of them has waited", behind);
    }
}
