use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How often a worker says that it runs.
pub const BEAT: Duration = Duration::from_millis(100);

/// No beat is awaited.
const NEVER: u64 = u64::MAX;

/// How late a worker's event loop is, seen from any thread: the worker says when
/// it wants to be woken next, and how late it was. One that stands still says
/// nothing, and is as late as that is ago.
#[derive(Debug)]
pub struct Pulse {
    began: Instant,
    /// When the next beat is due, in nanoseconds since `began`.
    due: AtomicU64,
    /// The longest delay since it was last taken.
    worst: AtomicU64,
}

impl Default for Pulse {
    fn default() -> Self {
        let (due, worst) = (AtomicU64::new(NEVER), AtomicU64::new(0));
        Self { began: Instant::now(), due, worst }
    }
}

impl Pulse {
    /// The worker beats, and wants to be woken for the next beat then.
    pub fn beat(&self, late: Duration, next: Instant) {
        self.worst.fetch_max(nanos(late), Ordering::Relaxed);
        self.due.store(nanos(next.saturating_duration_since(self.began)), Ordering::Relaxed);
    }

    /// The worker's thread has ended: nothing of it is late any more.
    pub fn end(&self) {
        self.due.store(NEVER, Ordering::Relaxed);
    }

    /// How late the worker is now: zero unless its beat is overdue.
    pub fn delay(&self, now: Instant) -> Duration {
        let due = self.due.load(Ordering::Relaxed);
        let since = nanos(now.saturating_duration_since(self.began));
        Duration::from_nanos(since.saturating_sub(due))
    }

    /// The longest delay since this was last asked; one that lasts is among them.
    pub fn take_worst(&self, now: Instant) -> Duration {
        let worst = self.worst.swap(0, Ordering::Relaxed);
        self.delay(now).max(Duration::from_nanos(worst))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_beat_is_as_late_as_its_beat_is_due() {
        let pulse = Pulse::default();
        let start = pulse.began;
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(pulse.take_worst(at(5000)), Duration::ZERO, "it has not begun");
        pulse.beat(Duration::from_millis(3), at(5100));
        assert_eq!(pulse.take_worst(at(5050)), Duration::from_millis(3));
        assert_eq!(pulse.take_worst(at(5050)), Duration::ZERO, "each delay is told once");
        assert_eq!(pulse.delay(at(6100)), Duration::from_secs(1));
        assert_eq!(pulse.take_worst(at(6100)), Duration::from_secs(1), "it stands still");
        pulse.beat(Duration::from_secs(1), at(6200));
        assert_eq!(pulse.take_worst(at(6150)), Duration::from_secs(1));
        pulse.end();
        assert_eq!(pulse.take_worst(at(9000)), Duration::ZERO);
    }
}
