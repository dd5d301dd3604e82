use std::{
    sync::Arc,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use prometheus_client::{
    metrics::{counter::ConstCounter, counter::Counter, family::Family},
    registry::Registry,
};

use super::{
    cells::{Cell, Durations, Histogram},
    pulse::Pulse,
};
use crate::wire::{CommandKind, EventKind};

/// How long a fan-out takes: from one to a few members to one to a stadium.
const FANOUT_SECONDS: [f64; 12] =
    [0.000_01, 0.000_025, 0.000_1, 0.000_25, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0];

/// How late an event loop is: from a timer's own grain to one that hangs.
const DELAY_SECONDS: [f64; 9] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];

/// The lanes of a client, in the order of their numbers.
pub const LANES: [&str; 3] = ["control", "reliable", "latest"];

/// Messages and bytes by type.
#[derive(Debug)]
struct Traffic(Box<[(Cell, Cell)]>);

impl Traffic {
    fn of(names: &[&str]) -> Self {
        Self(names.iter().map(|_| Default::default()).collect())
    }

    fn count(&self, kind: usize, messages: u64, bytes: u64) {
        if let Some((counted, weighed)) = self.0.get(kind) {
            counted.add(messages);
            weighed.add(bytes);
        }
    }
}

/// What one worker counts. Its thread alone does, so that nothing here costs the
/// fan-out more than an addition; `GET /metrics` sums the workers.
#[derive(Debug)]
pub struct WorkerMetrics {
    /// The worker's name, for operators: `worker-1` and so on.
    pub name: Arc<str>,
    received: Traffic,
    sent: Traffic,
    deliveries: Cell,
    fanned_out: Durations,
    /// By lane.
    dropped: [Cell; LANES.len()],
    delays: Durations,
    /// Whether the worker runs, and how late.
    pub pulse: Pulse,
}

impl Default for WorkerMetrics {
    fn default() -> Self {
        Self::new("worker".into())
    }
}

impl WorkerMetrics {
    /// The metrics of the worker with this name.
    pub fn new(name: Arc<str>) -> Self {
        Self {
            name,
            received: Traffic::of(CommandKind::NAMES),
            sent: Traffic::of(EventKind::NAMES),
            deliveries: Cell::default(),
            fanned_out: Durations::new(&FANOUT_SECONDS),
            dropped: Default::default(),
            delays: Durations::new(&DELAY_SECONDS),
            pulse: Pulse::default(),
        }
    }

    /// A client's message of so many bytes came.
    pub fn received(&self, kind: CommandKind, bytes: usize) {
        self.received.count(kind as usize, 1, bytes as u64);
    }

    /// So many messages of one kind, of so many bytes together, were handed to
    /// the queues of clients.
    pub fn sent(&self, kind: EventKind, messages: u64, bytes: u64) {
        self.sent.count(kind as usize, messages, bytes);
    }

    /// What waited for one room was handed to so many queues, each message
    /// counted, and that took so long.
    pub fn fanned_out(&self, deliveries: u64, took: Duration) {
        self.deliveries.add(deliveries);
        self.fanned_out.observe(took);
    }

    /// So many messages of each lane were let go of.
    pub fn dropped(&self, by_lane: [u64; LANES.len()]) {
        for (cell, dropped) in self.dropped.iter().zip(by_lane) {
            cell.add(dropped);
        }
    }

    /// The event loop came round, so late, and wants to be woken then.
    pub fn beat(&self, late: Duration, next: Instant) {
        self.delays.observe(late);
        self.pulse.beat(late, next);
    }
}

/// The metrics of all workers that there were: those of one whose thread has
/// ended still count.
#[derive(Debug, Default)]
pub struct Workers(Mutex<Vec<Arc<WorkerMetrics>>>);

impl Workers {
    /// Those of a worker that begins.
    pub fn add(&self) -> Arc<WorkerMetrics> {
        let mut workers = self.lock();
        let name = format!("worker-{}", workers.len() + 1);
        let worker = Arc::new(WorkerMetrics::new(name.into()));
        workers.push(worker.clone());
        worker
    }

    /// How late each worker's event loop is now, by the worker's name.
    pub fn event_loop_delays(&self, now: Instant) -> Vec<(Arc<str>, Duration)> {
        self.lock().iter().map(|it| (it.name.clone(), it.pulse.delay(now))).collect()
    }

    /// How late the worker was that was latest, since this was last asked.
    pub fn take_worst_delay(&self, now: Instant) -> Duration {
        let delays = self.lock().iter().map(|worker| worker.pulse.take_worst(now)).max();
        delays.unwrap_or_default()
    }

    /// Puts their sums into a registry.
    pub fn register(&self, to: &mut Registry) {
        let workers = self.lock();
        type Part = fn(&WorkerMetrics) -> &Traffic;
        let directions: [(Part, &[&'static str], [&str; 4]); 2] = [
            (
                |it| &it.received,
                CommandKind::NAMES,
                [
                    "messages_received",
                    "Messages that clients sent, by type",
                    "received_bytes",
                    "Bytes of the messages that clients sent, by type",
                ],
            ),
            (
                |it| &it.sent,
                EventKind::NAMES,
                [
                    "messages_sent",
                    "Messages handed to the queues of clients, by type",
                    "sent_bytes",
                    "Bytes of the messages handed to the queues of clients, by type",
                ],
            ),
        ];
        for (part, names, [messages, about_messages, bytes, about_bytes]) in directions {
            let cells = |at: usize| workers.iter().filter_map(move |it| part(it).0.get(at));
            let counted = by("type", names, |at| cells(at).map(|it| it.0.get()).sum());
            to.register(messages, about_messages, counted);
            let weighed = by("type", names, |at| cells(at).map(|it| it.1.get()).sum());
            to.register(bytes, about_bytes, weighed);
        }
        let dropped = by("lane", &LANES, |at| {
            workers.iter().filter_map(|it| it.dropped.get(at)).map(Cell::get).sum()
        });
        to.register("messages_dropped", "Messages that clients were not given, by lane", dropped);
        let deliveries = workers.iter().map(|it| it.deliveries.get()).sum::<u64>();
        let help = "Messages of rooms handed to members, each member counted";
        to.register("deliveries", help, ConstCounter::new(deliveries));
        let fanned_out = Histogram::sum(workers.iter().map(|it| &it.fanned_out), &FANOUT_SECONDS);
        let help = "How long a worker took to hand what waited for a room to its members";
        to.register("fanout_duration_seconds", help, fanned_out);
        let delays = Histogram::sum(workers.iter().map(|it| &it.delays), &DELAY_SECONDS);
        let help = "How late the workers' event loops were, by all workers' looks";
        to.register("event_loop_delay_seconds", help, delays);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<WorkerMetrics>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A counter for each of these values of a label.
fn by(
    label: &'static str,
    values: &[&'static str],
    value: impl Fn(usize) -> u64,
) -> Family<[(&'static str, &'static str); 1], Counter> {
    let family = Family::<[(&'static str, &'static str); 1], Counter>::default();
    for (at, name) in values.iter().enumerate() {
        family.get_or_create(&[(label, *name)]).inc_by(value(at));
    }
    family
}
