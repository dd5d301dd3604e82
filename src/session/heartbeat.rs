use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

/// What a heartbeat has to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    /// Send a Ping, and look again then.
    Ping(Instant),
    /// Look again then.
    Wait(Instant),
    /// Nothing was heard for too long.
    Silent,
}

/// The next point of a grid that all sessions share. Sessions that wake a little
/// later than they would, but together, cost the thread one wake-up and not one
/// each; the grid is so fine that their Pings are spread all the same.
pub(super) fn on_grid(at: Instant, interval: Duration) -> Instant {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    let step = (interval / 50).min(Duration::from_millis(200)).as_micros().max(1);
    let since = at.saturating_duration_since(*START).as_micros();
    let wait = since.next_multiple_of(step) - since;
    at + Duration::from_micros(u64::try_from(wait).unwrap_or(0))
}

/// When to send a Ping to a client, and when to give it up.
///
/// A Ping goes out every `interval`. A client is silent when nothing came for
/// `timeout` after a Ping: never before `timeout` since its last frame, and
/// always by `interval + timeout`.
#[derive(Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    timeout: Duration,
    next_ping: Instant,
    /// The oldest Ping after which nothing came.
    unanswered: Option<Instant>,
}

impl Heartbeat {
    /// A heartbeat whose first Ping goes out at a share (0 to 1) of the
    /// interval, so that sessions that began together do not beat together.
    pub(super) fn new(interval: Duration, timeout: Duration, share: f64, now: Instant) -> Self {
        let next_ping = now + interval.mul_f64(share.clamp(0.0, 1.0));
        Self { interval, timeout, next_ping, unanswered: None }
    }

    /// A frame came.
    pub(super) fn heard(&mut self) {
        self.unanswered = None;
    }

    /// What to do at this time.
    pub(super) fn beat(&mut self, now: Instant) -> Beat {
        if self.unanswered.is_some_and(|ping| now >= ping + self.timeout) {
            return Beat::Silent;
        }
        let pings = now >= self.next_ping;
        if pings {
            self.unanswered.get_or_insert(now);
            self.next_ping = now + self.interval;
        }
        let deadline = self.unanswered.map(|ping| ping + self.timeout);
        let next = deadline.map_or(self.next_ping, |deadline| deadline.min(self.next_ping));
        if pings { Beat::Ping(next) } else { Beat::Wait(next) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(2500);
    const TIMEOUT: Duration = Duration::from_millis(1000);

    #[test]
    fn pings_at_every_interval_while_answered() {
        let start = Instant::now();
        let mut heart = Heartbeat::new(INTERVAL, TIMEOUT, 1.0, start);
        assert_eq!(heart.beat(start), Beat::Wait(start + INTERVAL));
        for n in 1..5 {
            let now = start + INTERVAL * n;
            assert_eq!(heart.beat(now), Beat::Ping(now + TIMEOUT));
            heart.heard();
            assert_eq!(heart.beat(now + TIMEOUT), Beat::Wait(now + INTERVAL));
        }
    }

    #[test]
    fn a_timeout_longer_than_the_interval_counts_from_the_first_ping() {
        let start = Instant::now();
        let mut heart = Heartbeat::new(TIMEOUT, INTERVAL, 1.0, start);
        let first = start + TIMEOUT;
        assert_eq!(heart.beat(first), Beat::Ping(first + TIMEOUT));
        assert_eq!(heart.beat(first + TIMEOUT), Beat::Ping(first + TIMEOUT * 2));
        assert_eq!(heart.beat(first + TIMEOUT * 2), Beat::Ping(first + INTERVAL));
        assert_eq!(heart.beat(first + INTERVAL), Beat::Silent);
    }

    #[test]
    fn the_grid_is_later_and_near() {
        let now = Instant::now();
        let points: Vec<Instant> =
            (0..1000).map(|ms| on_grid(now + Duration::from_millis(ms), INTERVAL * 10)).collect();
        for (ms, point) in (0..).zip(&points) {
            let at = now + Duration::from_millis(ms);
            assert!(*point >= at && *point <= at + Duration::from_millis(201));
        }
        let distinct: std::collections::BTreeSet<_> = points.iter().collect();
        assert!(distinct.len() <= 6, "{}", distinct.len());
    }

    proptest! {
        /// The bounds of the contract hold wherever the last frame came.
        #[test]
        fn silence_ends_within_its_bounds(
            share in 0.0f64..1.0,
            last in 0u64..20_000,
            interval in 100u64..5000,
            timeout in 100u64..5000,
        ) {
            let (interval, timeout) = (Duration::from_millis(interval), Duration::from_millis(timeout));
            let start = Instant::now();
            let last = start + Duration::from_millis(last);
            let mut heart = Heartbeat::new(interval, timeout, share, start);
            let mut now = start;
            let mut ended = None;
            for _ in 0..10_000 {
                match heart.beat(now) {
                    Beat::Silent => { ended = Some(now); break; }
                    Beat::Ping(next) | Beat::Wait(next) => {
                        // Until its last frame the client answers at once.
                        if now <= last { heart.heard(); }
                        let reaches_last = now < last && next > last;
                        now = if reaches_last { last } else { next };
                    }
                }
            }
            let silent_for = ended.unwrap().duration_since(last);
            prop_assert!(silent_for >= timeout, "{silent_for:?}");
            prop_assert!(silent_for <= interval + timeout, "{silent_for:?}");
        }
    }
}
