//! How members of small rooms write: all members of a room at the same moments, so
//! that writers on different workers meet, with silence in between.

use std::time::Duration;

use tokio::time::Instant;

use super::{Phase, Writer};
use crate::{harness::Random, history_checker::record::Room};

/// 60 steps a second.
const STEP: Duration = Duration::from_micros(16_667);
/// Steps for which a room keeps its pace.
const STEPS_OF_PACE: u64 = 40;
/// One step in so many is for all that a client does besides.
const OTHER_STEPS: u64 = 6;
/// The longest burst.
const BURST: u64 = 64;
/// How many writes a client makes at full speed at most, for as long as a room keeps
/// that pace and others write, too; where nobody else does, there is room for more.
const FLOOD_AMONG_OTHERS: u64 = 150;
const FLOOD: u64 = 4_000;
/// Writes that a client has on their way at most.
const PENDING: usize = 200;

/// How the members of a room write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    Quiet,
    /// One at each step.
    Steady,
    /// Up to 64 at once at some of the steps.
    Bursts,
    /// As fast as it is answered.
    Full(Flood),
}

/// Writes to one room as fast as they are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flood {
    room: Room,
    /// How many writes are still to be made.
    left: u64,
    /// How many are on their way at once.
    in_flight: u64,
}

impl Writer {
    /// When it does something of its own accord again. In small rooms these moments
    /// are the same for all.
    pub(super) fn next_step(&mut self) -> Instant {
        if !self.world.setup.small_rooms {
            return Instant::now() + Duration::from_millis(self.random.within(15..120));
        }
        let next = self.step() + 1;
        self.world.start + Duration::from_micros(next * STEP.as_micros() as u64)
    }

    fn step(&self) -> u64 {
        (self.world.start.elapsed().as_micros() / STEP.as_micros()) as u64
    }

    /// Random numbers that are the same for all members of a room.
    fn common(&self, room: Room, time: u64) -> Random {
        let mut random = Random::new(self.world.seed.wrapping_add(time << 32));
        Random::new(random.next().wrapping_add(room as u64))
    }

    fn pace(&self, room: Room, step: u64) -> Pace {
        let time = step / STEPS_OF_PACE;
        let mut of_all = self.common(usize::MAX, time);
        // Half of the time members of two rooms write and nobody else does: workers
        // that have nothing else to do, and no lock in common.
        let few = of_all.within(0..2) == 0;
        let rooms = self.rooms.len() as u64;
        let chosen = [of_all.within(0..rooms) as usize, of_all.within(0..rooms) as usize];
        let (choices, left) = if few { (5, FLOOD) } else { (15, FLOOD_AMONG_OTHERS) };
        let mut common = self.common(room, time);
        match common.within(0..choices) {
            _ if few && !chosen.contains(&room) => Pace::Quiet,
            0..=2 => Pace::Full(Flood { room, left, in_flight: 1 << common.within(0..5) }),
            3 => Pace::Bursts,
            4 => Pace::Steady,
            5 if !few => Pace::Bursts,
            6 if !few => Pace::Steady,
            _ => Pace::Quiet,
        }
    }

    /// Writes what this step is for, and answers whether the step is one for other things, too.
    pub(super) fn write_bursts(&mut self) -> bool {
        let step = self.step();
        for room in self.joined_rooms() {
            let before = step.checked_sub(1).map(|before| self.pace(room, before));
            let pace = self.pace(room, step);
            match pace {
                Pace::Quiet => {}
                Pace::Steady => self.write_many(room, 1),
                Pace::Bursts => {
                    let mut common = self.common(room, step);
                    if common.within(0..6) == 0 {
                        let many = 1 << common.within(0..BURST.ilog2() as u64 + 1);
                        self.write_many(room, common.within(1..many + 1));
                    }
                }
                Pace::Full(flood) => {
                    if before != Some(pace) {
                        self.flood = Some(flood);
                    }
                }
            }
        }
        step % OTHER_STEPS == self.number as u64 % OTHER_STEPS
    }

    fn write_many(&mut self, room: Room, count: u64) {
        for _ in 0..count {
            if self.pending.len() < PENDING {
                let choice = self.random.within(7..68);
                self.write(room, choice);
            }
        }
    }

    /// Writes to the room that takes all it can, as answers come.
    pub(super) fn flood(&mut self) {
        let Some(Flood { room, left, in_flight }) = self.flood else { return };
        let is_over = !matches!(self.pace(room, self.step()), Pace::Full(_));
        if left == 0 || is_over || self.phase() != Phase::Work || !self.rooms[room].joined {
            self.flood = None;
            return;
        }
        let more = left.min(in_flight.saturating_sub(self.pending.len() as u64));
        self.flood = Some(Flood { room, left: left - more, in_flight });
        self.write_many(room, more);
    }
}
