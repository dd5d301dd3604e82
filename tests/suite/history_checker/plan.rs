//! What goes wrong when, out of one seed.

use std::{fmt, time::Duration};

use super::record::Room;
use crate::harness::Random;

/// What a run is made of.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Nodes over a Redis; without one, a node alone.
    pub redis: bool,
    pub nodes: usize,
    /// Of each node.
    pub workers: usize,
    /// Whether a node alone keeps its log in a directory.
    pub durable: bool,
    /// Whether faults may lose the log.
    pub losing: bool,
    pub clients: usize,
    pub users: usize,
    pub rooms: usize,
    /// Whether each room has two or three members, who write to it at the same
    /// moments; else everybody may be in every room.
    pub small_rooms: bool,
}

impl Setup {
    /// Whether a client may join a room.
    pub fn may_join(&self, client: usize, room: Room) -> bool {
        let third = if room.is_multiple_of(3) { room * 11 + 7 } else { room };
        let members = [room, room * 5 + 1, third].map(|number| number % self.clients);
        !self.small_rooms || members.contains(&client)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Redis is killed and comes back with its data.
    RedisRestart,
    /// Redis stands still.
    RedisPause,
    /// The connections that hear publications are cut.
    CutSubscriptions,
    /// All other connections to Redis are cut.
    CutCommands,
    /// Redis is killed and comes back empty.
    RedisLoss,
    /// A node is killed and comes back.
    NodeRestart,
    /// A node stands still.
    NodePause,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RedisRestart => "Redis killed",
            Self::RedisPause => "Redis stopped",
            Self::CutSubscriptions => "subscriptions cut",
            Self::CutCommands => "commands cut",
            Self::RedisLoss => "Redis killed and emptied",
            Self::NodeRestart => "node killed",
            Self::NodePause => "node stopped",
        })
    }
}

/// One fault: how long before it all is well, and how long it lasts.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub wait: Duration,
    pub fault: Fault,
    pub lasts: Duration,
}

/// What happens to one server, without end: each kind of fault comes once
/// before any comes again.
pub struct Schedule {
    random: Random,
    kinds: Vec<Fault>,
    bag: Vec<Fault>,
    /// Milliseconds between two faults, at most.
    gap: u64,
}

impl Schedule {
    /// For the Redis of a run.
    pub fn redis(setup: &Setup, seed: u64) -> Self {
        let mut kinds = vec![
            Fault::RedisRestart,
            Fault::RedisPause,
            Fault::CutSubscriptions,
            Fault::CutCommands,
        ];
        if setup.losing {
            kinds.push(Fault::RedisLoss);
        }
        Self { random: Random::new(seed), kinds, bag: Vec::new(), gap: 1500 }
    }

    /// For one node. One that has its log in memory alone is killed only where that
    /// may be lost.
    pub fn node(setup: &Setup, node: usize, seed: u64) -> Self {
        let mut kinds = vec![Fault::NodePause];
        if setup.redis || setup.durable || setup.losing {
            kinds.push(Fault::NodeRestart);
        }
        let random = Random::new(seed.wrapping_add(1 + node as u64));
        Self { random, kinds, bag: Vec::new(), gap: 2500 }
    }
}

impl Iterator for Schedule {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.bag.is_empty() {
            self.bag.clone_from(&self.kinds);
        }
        let at = self.random.within(0..self.bag.len() as u64) as usize;
        let fault = self.bag.swap_remove(at);
        let wait = self.random.within(200..self.gap);
        let lasts = match fault {
            Fault::CutSubscriptions | Fault::CutCommands => 0,
            // Long enough that a node is given up, now and then.
            _ if self.random.within(0..6) == 0 => self.random.within(2500..6000),
            _ => self.random.within(50..1500),
        };
        let (wait, lasts) = (Duration::from_millis(wait), Duration::from_millis(lasts));
        Some(Step { wait, fault, lasts })
    }
}
