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

/// Steps that deliveries may wait without a wake-up. A wake-up that is under way takes less
/// than one, because this timer and the wake-up are handled by the same actor.
const STEPS_TO_WAKE: usize = 2;

/// Where the comparison is.
#[derive(Default)]
pub(super) struct DeliveryComparison {
    /// Rooms that have still to come in this round.
    remaining: Vec<RoomName>,
    per_step: usize,
    /// Ends of logs that were read in the last steps, the oldest first.
    samples: VecDeque<Vec<(RoomName, Position)>>,
    /// Drains of the delivery queue since the worker began.
    drains: u64,
    drains_at_last_step: u64,
    /// Consecutive steps in which deliveries waited and none was drained.
    waiting_steps: usize,
    /// Whether a finding was logged in this round: one line tells of it.
    logged: bool,
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

    /// Reads the ends of the next rooms' logs, and returns those read some steps ago.
    fn step(
        &mut self,
        rooms: &AHashMap<RoomName, Box<Room>>,
        end_of: impl Fn(&RoomName) -> Option<Position>,
    ) -> Vec<(RoomName, Position)> {
        if self.remaining.is_empty() {
            self.remaining = rooms.keys().cloned().collect();
            self.per_step = self.remaining.len().div_ceil(STEPS_PER_ROUND);
            self.logged = false;
        }
        let first = self.remaining.len().saturating_sub(self.per_step);
        let next = self.remaining.drain(first..);
        let sample = next.filter_map(|room| end_of(&room).map(|end| (room, end))).collect();
        self.samples.push_back(sample);
        if self.samples.len() > STEPS_TO_ARRIVE {
            self.samples.pop_front().unwrap_or_default()
        } else {
            Vec::new()
        }
    }

    /// Returns true once a round.
    fn is_to_be_logged(&mut self) -> bool {
        !std::mem::replace(&mut self.logged, true)
    }
}

impl RoomSupervisor {
    pub(super) fn start_comparison(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(STEP, Self::compare_deliveries);
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
        let ends = self.comparison.step(&self.rooms, |room| broker.delivered_end(room));
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
        let mut step = || comparison.step(&rooms, |_| Some(end)).len();
        let counts: Vec<usize> = (0..STEPS_PER_ROUND + STEPS_TO_ARRIVE).map(|_| step()).collect();
        assert_eq!(counts[..STEPS_TO_ARRIVE], [0; STEPS_TO_ARRIVE]);
        assert_eq!(counts.iter().sum::<usize>(), 100);
        assert!(counts.iter().all(|count| *count <= 7), "{counts:?}");
    }

    #[test]
    fn a_wake_up_is_lost_when_deliveries_wait_and_none_is_drained() {
        let mut comparison = DeliveryComparison::default();
        assert!(!comparison.wake_up_is_lost(false));
        assert!(comparison.wake_up_is_lost(false));
        comparison.note_drain();
        assert!(!comparison.wake_up_is_lost(false), "it drains, and more comes");
        assert!(!comparison.wake_up_is_lost(false));
        assert!(!comparison.wake_up_is_lost(true));
        assert!(!comparison.wake_up_is_lost(false));
        assert!(comparison.wake_up_is_lost(false));
    }
}
