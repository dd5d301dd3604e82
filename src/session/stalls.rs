//! Workers that stand still: the node's own view of whether it delivers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::services::Services;

/// How long a worker may stand still before the node is not ready. Far above what a busy
/// worker takes for its slowest fan-out, far below what a person waits for a message.
pub const STALL_LIMIT: Duration = Duration::from_secs(5);

/// How long a worker may stand still before the node counts as dead: somebody should
/// restart it. `deploy/systemd/rookery.service` has the same time as `WatchdogSec`.
pub const DEAD_LIMIT: Duration = Duration::from_secs(30);

/// How a worker thread is.
#[derive(Debug, Clone)]
pub struct WorkerHealth {
    /// The worker's name.
    pub name: Arc<str>,
    /// How long its event loop has been overdue to turn.
    pub event_loop_delay: Duration,
    /// How long a probe has waited in its delivery queue without being taken.
    pub delivery_delay: Duration,
}

impl WorkerHealth {
    /// What is wrong with a worker that has stood still for longer than `limit`, for
    /// operators; None if nothing is.
    pub fn problem(&self, limit: Duration) -> Option<String> {
        let Self { name, event_loop_delay, delivery_delay } = self;
        if *event_loop_delay > limit {
            let seconds = event_loop_delay.as_secs_f64();
            return Some(format!("the event loop of {name} has not turned for {seconds:.1} s"));
        }
        let seconds = delivery_delay.as_secs_f64();
        (*delivery_delay > limit)
            .then(|| format!("{name} has not taken live messages for {seconds:.1} s"))
    }
}

impl Services {
    /// How each worker that serves connections is now.
    pub fn worker_health(&self, now: Instant) -> Vec<WorkerHealth> {
        let loops = self.metrics.workers.event_loop_delays(now);
        let delay_of = |name: &Arc<str>| {
            loops.iter().find(|(of, _)| of == name).map_or(Duration::ZERO, |(_, delay)| *delay)
        };
        let health = |(name, delivery_delay)| WorkerHealth {
            event_loop_delay: delay_of(&name),
            name,
            delivery_delay,
        };
        self.queues.probe_ages(now).into_iter().map(health).collect()
    }

    /// What is wrong with the first worker that has stood still for longer than `limit`;
    /// None if all turn and deliver.
    pub fn stall(&self, limit: Duration) -> Option<String> {
        self.worker_health(Instant::now()).iter().find_map(|worker| worker.problem(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_the_worker_and_what_stands_still() {
        let worker = |event_loop, delivery| WorkerHealth {
            name: "worker-2".into(),
            event_loop_delay: Duration::from_secs(event_loop),
            delivery_delay: Duration::from_secs(delivery),
        };
        assert_eq!(worker(5, 5).problem(STALL_LIMIT), None);
        let stalled = worker(0, 6).problem(STALL_LIMIT).unwrap();
        assert_eq!(stalled, "worker-2 has not taken live messages for 6.0 s");
        let hung = worker(7, 7).problem(STALL_LIMIT).unwrap();
        assert_eq!(hung, "the event loop of worker-2 has not turned for 7.0 s");
    }
}
