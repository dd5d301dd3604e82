//! What the contract says of a history. Pure: it reads what was recorded and
//! names what cannot have happened on a server that keeps its word.

mod clock;
mod delivery;
mod directs;
mod logs;
mod membership;
mod presence;
mod signals;
mod state;
mod tests;
mod writes;

use std::{fmt, sync::Arc};

use super::record::{At, Body, Entry, History, Room, State};
use clock::Clock;
pub use clock::LIVE_BOUND;
use logs::Logs;

/// What was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// Acknowledged, and not in the log.
    Lost,
    /// One write, twice in a log.
    Doubled,
    /// An `ack` with the place of something else.
    WrongPlace,
    /// In a log, and nobody wrote it so.
    Invented,
    /// Neither acknowledged nor refused when all was well again.
    Unanswered,
    /// One session's writes in another order than they were answered.
    Overtaken,
    /// A compare-and-set that compared with something else.
    CompareAndSet,
    /// Two entries at one place.
    TwoOrders,
    /// Places that the log leaves out.
    BrokenLog,
    /// A log that began anew, or places of one that is gone.
    Epoch,
    /// Live without being a member.
    NotMember,
    /// Left out of what a member is told.
    Hole,
    /// Told again, or late.
    Repeat,
    /// One's own, with `echo: false`.
    Echo,
    /// `recovered` that is not so.
    Recovered,
    /// `joined` with other messages than asked for.
    JoinedMessages,
    /// State that is not what the log says.
    State,
    /// A user shown who is not there, or not shown who is.
    Presence,
    /// Acknowledged, and not delivered live in time to somebody who was there.
    Stalled,
    /// A direct message to somebody else, or doubled, or out of order.
    Direct,
    /// The last value of a signal or of typing did not come, or an older one after it.
    LastValue,
    /// Something the contract does not have.
    Strange,
}

/// One broken law, with what is known of where.
#[derive(Debug, Clone)]
pub struct Violation {
    pub law: Law,
    pub room: Option<Room>,
    pub client: Option<usize>,
    pub at: Option<At>,
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.law)?;
        if let Some(room) = self.room {
            write!(f, " in room {room}")?;
        }
        if let Some(client) = self.client {
            write!(f, " for c{client}")?;
        }
        if let Some(at) = self.at {
            write!(f, " at {:.3}", at.as_secs_f64())?;
        }
        write!(f, ": {}", self.text)
    }
}

/// All that is wrong with a history, the earliest first. `log_kept` is whether
/// no fault of the run may lose the log.
pub fn judge(history: &History, log_kept: bool) -> Vec<Violation> {
    let mut found = Vec::new();
    let logs = Logs::gather(history, &mut found);
    if log_kept {
        logs.check_single_epoch(history, &mut found);
    }
    writes::check(history, &logs, log_kept, &mut found);
    membership::check(history, &logs, &mut found);
    state::check_views(history, &logs, &mut found);
    presence::check(history, &mut found);
    let clock = Clock::new(history);
    delivery::check(history, &logs, &clock, &mut found);
    directs::check(history, log_kept, &clock, &mut found);
    signals::check(history, &clock, &mut found);
    found.sort_by_key(|violation| (violation.at.unwrap_or(At::MAX), violation.law));
    found
}

/// The shared state that a log makes.
pub fn state_of(log: &[(u64, Arc<Entry>)]) -> State {
    let mut state = State::new();
    for (seq, entry) in log {
        match &entry.body {
            Body::Set { key, value: Some(value) } => {
                state.insert(key.clone(), (value.clone(), *seq));
            }
            Body::Set { key, value: None } => drop(state.remove(key)),
            Body::Chat(_) | Body::Event(_) => {}
        }
    }
    state
}
