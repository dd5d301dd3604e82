//! What a worker has, for whoever looks now and then.

use actix::prelude::*;

use super::supervisor::RoomSupervisor;
use crate::{metrics::LANES, outbound::Flow};

/// Asks a worker what it has. It looks at each of its connections.
#[derive(Debug, Message)]
#[rtype(result = "Surveyed")]
pub struct Survey;

/// What one worker has, or several together.
#[derive(Debug, Default, MessageResponse)]
pub struct Surveyed {
    /// Memberships: sessions in rooms, each room counted.
    pub memberships: usize,
    /// Connections whose socket takes no more now.
    pub blocked: usize,
    /// Messages and bytes that wait for clients, by lane.
    pub waiting: [(u64, u64); LANES.len()],
}

impl Surveyed {
    /// What both have together.
    #[must_use]
    pub fn with(mut self, other: Self) -> Self {
        self.memberships += other.memberships;
        self.blocked += other.blocked;
        self.wait(other.waiting);
        self
    }

    fn wait(&mut self, more: [(u64, u64); LANES.len()]) {
        for (sum, more) in self.waiting.iter_mut().zip(more) {
            sum.0 += more.0;
            sum.1 += more.1;
        }
    }
}

impl Handler<Survey> for RoomSupervisor {
    type Result = Surveyed;

    fn handle(&mut self, Survey: Survey, _: &mut Self::Context) -> Self::Result {
        let mut surveyed = Surveyed::default();
        for (name, room) in &self.rooms {
            if !name.is_inbox() {
                surveyed.memberships += room.seats().len();
            }
        }
        for outbound in self.links.borrow().values() {
            surveyed.blocked += usize::from(outbound.flow() == Flow::Blocked);
            if let Some(waiting) = outbound.waiting() {
                surveyed.wait(waiting);
            }
        }
        surveyed
    }
}
