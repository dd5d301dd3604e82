use std::time::{Duration, Instant};

/// A token bucket: so many a second in the long run, as many at once as it holds.
#[derive(Debug, Clone)]
pub struct Bucket {
    per_second: f64,
    capacity: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    /// A full bucket.
    pub fn new(per_second: u32, capacity: u32, now: Instant) -> Self {
        let capacity = f64::from(capacity.max(1));
        let per_second = f64::from(per_second.max(1));
        Self { per_second, capacity, tokens: capacity, filled: now }
    }

    /// Takes one.
    ///
    /// # Errors
    /// How long it takes until there is one.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.fill(now);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            Ok(())
        } else {
            Err(Duration::from_secs_f64((1.0 - self.tokens) / self.per_second))
        }
    }

    /// Whether the bucket is as a new one is.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.tokens >= self.capacity
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + passed * self.per_second).min(self.capacity);
    }
}

/// What a message costs its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may pass.
    Pass,
    /// It is refused; another may pass after so long.
    Refuse(Duration),
    /// The sender goes on although it was refused again and again.
    Expel,
}

/// The limit on what one session sends. Refusals have a bucket of their own,
/// four times as large: a burst is refused, a flood is expelled.
#[derive(Debug)]
pub(super) struct RateLimit {
    messages: Bucket,
    refusals: Bucket,
}

impl RateLimit {
    /// How many refusals in quick succession are borne, as a multiple of the
    /// messages allowed a second.
    const PATIENCE: u32 = 4;

    /// So many messages a second, and as many at once.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let refusals = per_second.saturating_mul(Self::PATIENCE);
        Self {
            messages: Bucket::new(per_second, per_second, now),
            refusals: Bucket::new(per_second, refusals, now),
        }
    }

    /// A message came.
    pub(super) fn judge(&mut self, now: Instant) -> Verdict {
        match (self.messages.take(now), |it: &mut Bucket| it.take(now).is_ok()) {
            (Ok(()), _) => Verdict::Pass,
            (Err(wait), refused) if refused(&mut self.refusals) => Verdict::Refuse(wait),
            (Err(_), _) => Verdict::Expel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_capacity_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 3, start);
        assert!((0..3).all(|_| bucket.take(start).is_ok()));
        assert_eq!(bucket.take(start), Err(Duration::from_millis(100)));
        assert!(bucket.take(start + Duration::from_millis(101)).is_ok());
        assert!(!bucket.is_full(start + Duration::from_millis(200)));
        assert!(bucket.is_full(start + Duration::from_secs(1)));
    }

    #[test]
    fn a_burst_is_refused_and_a_flood_expelled() {
        let start = Instant::now();
        let mut rate = RateLimit::new(10, start);
        let verdicts: Vec<Verdict> = (0..51).map(|_| rate.judge(start)).collect();
        assert!(verdicts[..10].iter().all(|it| *it == Verdict::Pass));
        assert!(verdicts[10..50].iter().all(|it| matches!(it, Verdict::Refuse(_))));
        assert_eq!(verdicts[50], Verdict::Expel);
        assert_eq!(rate.judge(start + Duration::from_secs(1)), Verdict::Pass);
    }
}
