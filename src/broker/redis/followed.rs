//! What is known of one room whose channel this node wants: the workers with members, the
//! end of the log, and the roll of who is there.

use std::{sync::Arc, time::Instant};

use super::entry::{RollVersion, Told};
use crate::{
    broker::Subscriber,
    model::{Position, RoomName},
};

/// At most so many changes of a roll wait until it is read; past that it is read again.
const MISSED: usize = 1024;

/// A room that somebody on this node wants to hear of, or did just now.
pub(super) struct Followed {
    pub(super) room: RoomName,
    /// The workers that have members here. Shared, as each message takes it along.
    pub(super) subscribers: Arc<Vec<Subscriber>>,
    /// The farthest place that was handed on or acknowledged here.
    pub(super) end: Option<Position>,
    pub(super) roll: Roll,
    /// Until when entries that are missing from the roll may still be told again.
    pub(super) refilled_at: Option<Instant>,
    /// When it was last heard of, or asked after.
    pub(super) heard_at: Instant,
    /// Since when nobody wants it.
    pub(super) idle_since: Option<Instant>,
}

/// What is known of who is in a room.
pub(super) enum Roll {
    /// Nobody asks.
    Unwanted,
    /// It is being read; changes wait.
    Reading {
        /// Which reading it is: one that was overtaken leaves the roll alone.
        number: u64,
        /// Those that came meanwhile.
        missed: Vec<Told>,
        /// Whether some of them were let go, or more is known to be missing.
        again: bool,
        /// What was known before.
        before: Before,
    },
    /// It is to be read.
    Stale(Before),
    /// All changes up to this one were handed on; none where there were none.
    At(Option<RollVersion>),
}

/// What was known of a roll before it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing.
    Unread,
    /// All up to this change.
    Read(Option<RollVersion>),
}

impl Followed {
    pub(super) fn new(room: RoomName, now: Instant) -> Self {
        Self {
            room,
            subscribers: Arc::default(),
            end: None,
            roll: Roll::Unwanted,
            refilled_at: None,
            heard_at: now,
            idle_since: None,
        }
    }

    fn is_wanted(&self) -> bool {
        !self.subscribers.is_empty() || !matches!(self.roll, Roll::Unwanted)
    }

    pub(super) fn let_go_if_unwanted(&mut self, now: Instant) {
        if !self.is_wanted() {
            self.idle_since.get_or_insert(now);
        }
    }

    /// A place that the log is known to have reached.
    pub(super) fn reached(&mut self, place: Position) {
        let ahead = self.end.is_none_or(|end| end.epoch != place.epoch || end.seq < place.seq);
        if ahead {
            self.end = Some(place);
        }
    }

    /// The roll is about to be read, by the reading of this number, if it is wanted and not
    /// being read.
    pub(super) fn begin_reading(&mut self, number: u64) -> bool {
        let before = match self.roll {
            Roll::Unwanted => return false,
            Roll::Reading { ref mut again, .. } => {
                *again = true;
                return false;
            }
            Roll::Stale(before) => before,
            Roll::At(version) => Before::Read(version),
        };
        self.roll = Roll::Reading { number, missed: Vec::new(), again: false, before };
        true
    }

    /// Whether the roll is being read by the reading of this number.
    pub(super) fn is_read_by(&self, reading: u64) -> bool {
        matches!(self.roll, Roll::Reading { number, .. } if number == reading)
    }

    /// A reading ended without a result: the roll is to be read again.
    pub(super) fn abandon_reading(&mut self, reading: u64) {
        if let Roll::Reading { number, before, .. } = self.roll
            && number == reading
        {
            self.roll = Roll::Stale(before);
        }
    }

    /// A change came; it is given back where it is the next one. Answers whether
    /// the roll has to be read.
    pub(super) fn told(&mut self, told: Told) -> (Option<Told>, bool) {
        match &mut self.roll {
            Roll::Unwanted | Roll::Stale(_) => (None, false),
            Roll::Reading { missed, again, .. } => {
                if missed.len() < MISSED {
                    missed.push(told);
                } else {
                    *again = true;
                }
                (None, false)
            }
            Roll::At(at) => {
                let known = at.filter(|at| at.epoch == told.version.epoch);
                // A roll without changes has no epoch yet.
                let known = if at.is_none() { 0 } else { known.map_or(u64::MAX, |at| at.version) };
                if known != u64::MAX && told.version.version <= known {
                    return (None, false);
                }
                let next = known.checked_add(1) == Some(told.version.version);
                if next {
                    *at = Some(told.version);
                }
                (next.then_some(told), !next)
            }
        }
    }

    /// The roll is at this change by Redis' word; whether it has to be read.
    pub(super) fn roll_is_behind(&self, head: Option<RollVersion>) -> bool {
        match &self.roll {
            Roll::Unwanted => false,
            Roll::Reading { .. } | Roll::Stale(_) => true,
            Roll::At(at) => match (at, head) {
                (Some(at), Some(head)) => at.epoch != head.epoch || at.version < head.version,
                (at, head) => at.is_some() || head.is_some(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Epoch, LifeId};

    fn told(epoch: Epoch, version: u64) -> Told {
        let version = RollVersion { epoch, version };
        Told { version, life: LifeId::named("a"), entries: Vec::new() }
    }

    fn followed() -> Followed {
        let mut followed = Followed::new(RoomName::named("r"), Instant::now());
        followed.roll = Roll::Stale(Before::Unread);
        followed
    }

    #[test]
    fn changes_of_a_roll_are_handed_on_in_order_and_a_missing_one_is_noticed() {
        let mut followed = followed();
        let epoch = Epoch::random();
        assert!(followed.told(told(epoch, 1)).0.is_none(), "it is read first");
        followed.roll = Roll::At(None);
        let mut tell = |epoch, version| {
            let (next, behind) = followed.told(told(epoch, version));
            (next.is_some(), behind)
        };
        assert_eq!(tell(epoch, 1), (true, false), "the first there ever was");
        assert_eq!(tell(epoch, 1), (false, false), "known");
        assert_eq!(tell(epoch, 2), (true, false));
        assert_eq!(tell(epoch, 4), (false, true), "the third is missing");
        assert_eq!(tell(Epoch::random(), 3), (false, true), "of another life");
    }

    #[test]
    fn what_comes_while_a_roll_is_read_waits_within_its_bound() {
        let mut followed = followed();
        assert!(followed.begin_reading(1));
        assert!(!followed.begin_reading(2), "it is being read");
        let epoch = Epoch::random();
        for version in 0..=MISSED as u64 {
            followed.told(told(epoch, version));
        }
        let Roll::Reading { missed, again, .. } = &followed.roll else { panic!() };
        assert_eq!((missed.len(), *again), (MISSED, true));
    }
}
