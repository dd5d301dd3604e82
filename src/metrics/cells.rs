//! Numbers that one thread counts and any may read.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};

/// A counter that its worker's thread alone counts up. That makes it a load, an
/// addition and a store, with nothing that other cores have to hear of.
#[derive(Debug, Default)]
pub(super) struct Cell(AtomicU64);

impl Cell {
    /// Counts so many more.
    pub(super) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// How far it is.
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Durations in buckets, counted by one thread like a [`Cell`].
#[derive(Debug)]
pub(super) struct Durations {
    /// The upper bounds of the buckets, in seconds.
    bounds: &'static [f64],
    /// How many were in each bucket; the last is for those beyond all bounds.
    buckets: Box<[Cell]>,
    nanos: Cell,
}

impl Durations {
    /// None yet.
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| Cell::default()).collect();
        Self { bounds, buckets, nanos: Cell::default() }
    }

    /// Something took so long.
    pub(super) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = self.bounds.partition_point(|bound| *bound < seconds);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.add(1);
        }
        self.nanos.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// The histograms of several threads, summed at one moment.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    seconds: f64,
    /// Bounds and numbers, the last bound being infinite.
    buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// Sums what each thread has.
    pub(super) fn sum<'a>(all: impl Iterator<Item = &'a Durations>, bounds: &[f64]) -> Self {
        let mut buckets: Vec<_> =
            bounds.iter().chain([&f64::INFINITY]).map(|bound| (*bound, 0)).collect();
        let mut seconds = 0.0;
        for one in all {
            seconds += one.nanos.get() as f64 / 1e9;
            for ((_, sum), bucket) in buckets.iter_mut().zip(&one.buckets) {
                *sum += bucket.get();
            }
        }
        Self { seconds, buckets }
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let count = self.buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.seconds, count, &self.buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_of_threads_are_summed_by_bucket() {
        const BOUNDS: [f64; 2] = [0.001, 0.01];
        let (one, two) = (Durations::new(&BOUNDS), Durations::new(&BOUNDS));
        for micros in [1, 1000, 1001] {
            one.observe(Duration::from_micros(micros));
        }
        two.observe(Duration::from_secs(1));
        let sum = Histogram::sum([&one, &two].into_iter(), &BOUNDS);
        assert_eq!(sum.buckets, [(0.001, 2), (0.01, 1), (f64::INFINITY, 1)]);
        assert!((sum.seconds - 1.002_002).abs() < 1e-9);
    }
}
