use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::model::Timestamp;

/// For about so long what a token showed is believed.
const PERIOD: Duration = Duration::from_secs(1800);

/// A clock that is farther ahead is no clock: its tokens say something else in `iat`.
const MOST_MS: u64 = 600_000;

/// How far the clocks of those who sign tokens are ahead, by the newest `iat` seen of late.
///
/// A token is made before it is shown. One whose `iat` is still to come was therefore made
/// by a clock that is ahead by at least as much, and so may be others of that issuer that
/// nobody has shown yet.
pub(super) struct IssuerLead(Mutex<Periods>);

struct Periods {
    began: Instant,
    present_ms: u64,
    former_ms: u64,
}

impl IssuerLead {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(Periods { began: now, present_ms: 0, former_ms: 0 }))
    }

    /// A signed token was made at `issued_at`, by its issuer, and is here at `now`.
    pub(super) fn note(&self, issued_at: Timestamp, now: Timestamp, at: Instant) {
        // Most often it is not ahead: then there is nothing to lock.
        if issued_at > now && issued_at - now <= MOST_MS {
            self.with(at, |it| it.present_ms = it.present_ms.max(issued_at - now));
        }
    }

    /// In milliseconds.
    pub(super) fn most(&self, at: Instant) -> u64 {
        self.with(at, |it| it.present_ms.max(it.former_ms))
    }

    fn with<T>(&self, at: Instant, act: impl FnOnce(&mut Periods) -> T) -> T {
        let mut periods = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let age = at.saturating_duration_since(periods.began);
        if age >= PERIOD {
            let former_ms = if age < PERIOD * 2 { periods.present_ms } else { 0 };
            *periods = Periods { began: at, present_ms: 0, former_ms };
        }
        act(&mut periods)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_tokens_tell_for_a_while_how_far_their_issuers_are_ahead() {
        let begin = Instant::now();
        let lead = IssuerLead::new(begin);
        lead.note(900, 1_000, begin);
        assert_eq!(lead.most(begin), 0);
        lead.note(4_000, 1_000, begin);
        lead.note(2_000, 1_000, begin);
        lead.note(2_000 + MOST_MS, 1_000, begin);
        assert_eq!(lead.most(begin), 3_000);
        assert_eq!(lead.most(begin + PERIOD), 3_000);
        assert_eq!(lead.most(begin + PERIOD * 2), 0);
        lead.note(1_500, 1_000, begin + PERIOD * 2);
        assert_eq!(lead.most(begin + PERIOD * 5), 0);
    }
}
