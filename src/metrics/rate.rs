use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Over how long the rate is taken.
const WINDOW: Duration = Duration::from_secs(10);

/// How fast a counter rises: over the last ten seconds, as far as it was sampled.
#[derive(Debug, Default)]
pub struct Rate {
    samples: Mutex<VecDeque<(Instant, u64)>>,
}

impl Rate {
    /// Notes how far the counter is. To be called every second or so.
    pub fn sample(&self, count: u64, now: Instant) {
        let mut samples = self.lock();
        // The newest of those that are too old stands at the window's begin.
        while samples.get(1).is_some_and(|(at, _)| *at + WINDOW <= now) {
            samples.pop_front();
        }
        samples.push_back((now, count));
    }

    /// By how much it rises in a second; 0 until there are two samples.
    pub fn per_second(&self) -> f64 {
        let samples = self.lock();
        let (Some((from, first)), Some((to, last))) = (samples.front(), samples.back()) else {
            return 0.0;
        };
        let seconds = to.duration_since(*from).as_secs_f64();
        if seconds > 0.0 { last.saturating_sub(*first) as f64 / seconds } else { 0.0 }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(Instant, u64)>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_ten_seconds() {
        let (rate, start) = (Rate::default(), Instant::now());
        let sample = |second, count| {
            rate.sample(count, start + Duration::from_secs(second));
            rate.per_second()
        };
        assert_eq!(sample(0, 0), 0.0);
        assert_eq!(sample(1, 50), 50.0);
        assert_eq!(sample(2, 50), 25.0);
        for second in 3..=12 {
            sample(second, 50);
        }
        assert_eq!(sample(13, 50), 0.0, "what was before the window is forgotten");
        assert!(rate.lock().len() <= 12);
    }
}
