//! How long messages took.

/// Times in nanoseconds, up to 4.29 s; longer ones count as that. All are kept:
/// a few million of them are cheaper to note than to sort into classes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies(Vec<u32>);

impl Latencies {
    pub(crate) fn note(&mut self, nanos: u64) {
        self.0.push(u32::try_from(nanos).unwrap_or(u32::MAX));
    }

    /// Takes back what was noted last.
    pub(crate) fn take_newest(&mut self) -> Option<u64> {
        self.0.pop().map(u64::from)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The time that so great a share stays within, in milliseconds.
    pub(crate) fn percentile(&mut self, share: f64) -> f64 {
        if self.0.is_empty() {
            return 0.0;
        }
        let at = ((self.0.len() as f64 * share) as usize).min(self.0.len() - 1);
        let (_, nanos, _) = self.0.select_nth_unstable(at);
        f64::from(*nanos) / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(0.5), 0.0);
        for n in (0..1000u64).rev() {
            latencies.note(n * 1_000_000);
        }
        assert_eq!(latencies.percentile(0.5), 500.0);
        assert_eq!(latencies.percentile(0.99), 990.0);
        assert_eq!(latencies.percentile(1.0), 999.0);
    }
}
