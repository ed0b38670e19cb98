//! Durations counted in fixed buckets: exact, and addable over processes, which percentiles are not.

use std::time::Duration;

/// The upper bounds of the buckets, inclusive: what OpenTelemetry advises for the duration of HTTP requests.
pub const BOUNDS: [Duration; 14] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(75),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(750),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_millis(7500),
    Duration::from_secs(10),
];

/// Durations counted in the buckets of [`BOUNDS`] and one above them all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    counts: [u64; BOUNDS.len() + 1],
    count: u64,
    sum: Duration,
}

impl Histogram {
    /// Counts a duration.
    pub fn add(&mut self, duration: Duration) {
        // No branch depends on the duration: the next one is as likely to go the other way.
        let above: usize = BOUNDS.iter().map(|bound| usize::from(*bound < duration)).sum();
        self.counts[above] += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(duration);
    }

    /// Counts what the other one counted.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// For each of [`BOUNDS`], how many durations were not longer.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        BOUNDS.into_iter().zip(self.counts.iter().scan(0, |below, count| {
            *below += count;
            Some(*below)
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn a_duration_on_a_bound_belongs_below_it() {
        let mut histogram = Histogram::default();
        histogram.add(Duration::from_millis(5));
        histogram.add(Duration::from_millis(5) + Duration::from_nanos(1));
        let counts: Vec<u64> = histogram.cumulative().map(|(_, count)| count).take(2).collect();
        assert_eq!(counts, [1, 2]);
    }

    #[test]
    fn what_is_longer_than_every_bound_is_in_the_count_alone() {
        let mut histogram = Histogram::default();
        histogram.add(Duration::from_secs(11));
        assert_eq!(histogram.cumulative().map(|(_, count)| count).max(), Some(0));
        assert_eq!((histogram.count(), histogram.sum()), (1, Duration::from_secs(11)));
    }

    proptest! {
        #[test]
        fn every_bucket_counts_what_is_not_longer(durations in vec(0u64..20_000_000, 0..200), cut in 0usize..200) {
            let durations: Vec<Duration> = durations.into_iter().map(Duration::from_micros).collect();
            let (mut left, mut right) = (Histogram::default(), Histogram::default());
            let cut = cut.min(durations.len());
            durations[..cut].iter().for_each(|duration| left.add(*duration));
            durations[cut..].iter().for_each(|duration| right.add(*duration));
            left.merge(&right);
            for (bound, count) in left.cumulative() {
                prop_assert_eq!(count, durations.iter().filter(|duration| **duration <= bound).count() as u64);
            }
            prop_assert_eq!(left.count(), durations.len() as u64);
            prop_assert_eq!(left.sum(), durations.iter().sum::<Duration>());
        }
    }
}
