//! The comparison of what a worker delivered with the ends of its rooms' logs.
//!
//! Gap repair needs a later message to notice that one was lost. The comparison needs
//! nothing: it goes round all rooms of the worker several times a minute, so a lost
//! delivery, or a lost wake-up, costs seconds and never a message. It is a safety net: what it
//! finds is a defect somewhere else, and is counted and logged as such.

use std::{collections::VecDeque, time::Duration};

use actix::prelude::*;
use ahash::AHashMap;
use log::warn;

use super::{
    fanout::{Accepted, Room},
    supervisor::RoomSupervisor,
};
use crate::{
    metrics::RepairCause,
    model::{Position, RoomName},
};

/// Time between two steps of the comparison.
const STEP: Duration = Duration::from_secs(1);

/// Steps in which all rooms have their turn once: four rounds a minute.
const STEPS_PER_ROUND: usize = 15;

/// Steps from reading the end of a log to comparing: with Redis, an acknowledgement may be
/// here some time before the message.
const STEPS_TO_ARRIVE: usize = 2;

/// Steps that deliveries may wait without a wake-up. One that is under way takes less than a
/// step, unless the thread that owes it gets no processor for that long.
const STEPS_TO_WAKE: usize = 3;

/// Where the comparison is.
#[derive(Default)]
pub(super) struct DeliveryComparison {
    /// Rooms that have still to come in this round.
    remaining: Vec<RoomName>,
    per_step: usize,
    /// What was read in the last steps, the oldest first.
    samples: VecDeque<Sample>,
    /// Drains of the delivery queue since the worker began.
    drains: u64,
    drains_at_last_step: u64,
    /// Consecutive steps in which deliveries waited and none was drained.
    waiting_steps: usize,
    /// Whether a finding was logged in this round: one line tells of it.
    logged: bool,
}

/// Ends of logs, read at one step.
struct Sample {
    ends: Vec<(RoomName, Position)>,
    /// The number of drains then. What had been delivered up to these ends was in the queue,
    /// so it is in the rooms after the next drain.
    drains: u64,
}

impl DeliveryComparison {
    /// To be called when the delivery queue was drained.
    pub(super) fn note_drain(&mut self) {
        self.drains += 1;
    }

    /// Returns true if deliveries have waited for too long without a wake-up.
    fn wake_up_is_lost(&mut self, queue_is_empty: bool) -> bool {
        let drained = self.drains != self.drains_at_last_step;
        self.drains_at_last_step = self.drains;
        self.waiting_steps = if drained || queue_is_empty { 0 } else { self.waiting_steps + 1 };
        self.waiting_steps >= STEPS_TO_WAKE
    }

    /// Reads the ends of the next rooms' logs, and returns those read some steps ago that
    /// the worker must have reached by now.
    fn step(
        &mut self,
        rooms: &AHashMap<RoomName, Box<Room>>,
        queue_is_empty: bool,
        end_of: impl Fn(&RoomName) -> Option<Position>,
    ) -> Vec<(RoomName, Position)> {
        if self.remaining.is_empty() {
            self.remaining = rooms.keys().cloned().collect();
            self.per_step = self.remaining.len().div_ceil(STEPS_PER_ROUND);
            self.logged = false;
        }
        let first = self.remaining.len().saturating_sub(self.per_step);
        let next = self.remaining.drain(first..);
        let ends = next.filter_map(|room| end_of(&room).map(|end| (room, end))).collect();
        self.samples.push_back(Sample { ends, drains: self.drains });
        let mut due = Vec::new();
        while self.samples.len() > STEPS_TO_ARRIVE
            && let Some(sample) =
                self.samples.pop_front_if(|sample| queue_is_empty || sample.drains < self.drains)
        {
            due.extend(sample.ends);
        }
        due
    }

    /// Returns true once a round.
    fn is_to_be_logged(&mut self) -> bool {
        !std::mem::replace(&mut self.logged, true)
    }
}

impl RoomSupervisor {
    pub(super) fn start_comparison(&self, ctx: &mut Context<Self>) {
        // Each step sets the timer of the next: after the process stood still, an interval
        // would make up for the missed steps before anything else could happen between them.
        ctx.run_later(STEP, |act, ctx| {
            act.compare_deliveries(ctx);
            act.start_comparison(ctx);
        });
    }

    fn compare_deliveries(&mut self, ctx: &mut Context<Self>) {
        if self.comparison.wake_up_is_lost(self.queue_is_empty()) {
            self.metrics.delivery_repaired(RepairCause::LostWakeUp);
            if self.comparison.is_to_be_logged() {
                warn!("deliveries waited without a wake-up (worker={})", self.counts.name);
            }
            self.drain_without_wake_up(ctx);
        }
        let broker = self.broker.clone();
        let queue_is_empty = self.queue_is_empty();
        let ends =
            self.comparison.step(&self.rooms, queue_is_empty, |room| broker.delivered_end(room));
        let mut behind = Vec::new();
        for (name, end) in ends {
            let Some(room) = self.rooms.get_mut(&name) else { continue };
            if room.reaches(end) == Accepted::Gap {
                behind.push(name);
            }
        }
        if !behind.is_empty() && self.comparison.is_to_be_logged() {
            let count = behind.len();
            warn!("rooms were behind their logs (worker={}, rooms={count})", self.counts.name);
        }
        for name in behind {
            self.subscribe_again(&name, ctx);
            self.repair(&name, RepairCause::Comparison, ctx);
        }
    }

    /// A lost delivery may have been lost because the subscription is.
    fn subscribe_again(&self, name: &RoomName, ctx: &mut Context<Self>) {
        let Some(subscriber) = self.subscriber.clone() else { return };
        let (broker, name) = (self.broker.clone(), name.clone());
        let subscribed = async move { broker.subscribe(&name, &subscriber).await.map(|_| name) };
        ctx.spawn(subscribed.into_actor(self).map(|subscribed, act, _| {
            // A failure is found again by the next round.
            if let Ok(name) = subscribed
                && !act.rooms.contains_key(&name)
            {
                act.broker.unsubscribe(&name, act.worker);
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Epoch;

    #[test]
    fn each_room_is_compared_once_a_round() {
        let mut comparison = DeliveryComparison::default();
        let counts = std::sync::Arc::new(crate::metrics::WorkerMetrics::new("worker-1".into()));
        let rooms: AHashMap<RoomName, Box<Room>> = (0..100)
            .map(|n| {
                let name = RoomName::parse(&format!("room-{n}")).unwrap();
                (name.clone(), Box::new(Room::new(name, counts.clone())))
            })
            .collect();
        let end = Position { epoch: Epoch::random(), seq: 1 };
        let mut step = || comparison.step(&rooms, true, |_| Some(end)).len();
        let counts: Vec<usize> = (0..STEPS_PER_ROUND + STEPS_TO_ARRIVE).map(|_| step()).collect();
        assert_eq!(counts[..STEPS_TO_ARRIVE], [0; STEPS_TO_ARRIVE]);
        assert_eq!(counts.iter().sum::<usize>(), 100);
        assert!(counts.iter().all(|count| *count <= 7), "{counts:?}");
    }

    #[test]
    fn a_room_is_compared_after_what_was_delivered_is_drained() {
        let mut comparison = DeliveryComparison::default();
        let name = RoomName::parse("room").unwrap();
        let room = Box::new(Room::new(name.clone(), std::sync::Arc::default()));
        let rooms = [(name, room)].into_iter().collect();
        let end = Position { epoch: Epoch::random(), seq: 1 };
        for _ in 0..5 {
            assert!(
                comparison.step(&rooms, false, |_| Some(end)).is_empty(),
                "it waits in the queue"
            );
        }
        comparison.note_drain();
        assert!(!comparison.step(&rooms, false, |_| Some(end)).is_empty());
    }

    #[test]
    fn a_wake_up_is_lost_when_deliveries_wait_and_none_is_drained() {
        let mut comparison = DeliveryComparison::default();
        let mut steps = |count: usize, queue_is_empty: bool| {
            (0..count).fold(false, |_, _| comparison.wake_up_is_lost(queue_is_empty))
        };
        assert!(!steps(STEPS_TO_WAKE - 1, false));
        assert!(steps(1, false));
        assert!(!steps(1, true));
        assert!(!steps(STEPS_TO_WAKE - 1, false));
        assert!(steps(1, false));
        comparison.note_drain();
        assert!(!comparison.wake_up_is_lost(false), "it drains, and more comes");
    }
}
