//! Durations of many requests in little room, for percentiles with a known error.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bins::{self, BINS, Packed};

/// Durations of requests, summed up.
///
/// A percentile is that of nearest rank: the smallest sample that at least that share of the samples does not exceed.
/// Its error is at most 1 % of the value, or 10 µs where that is more; what takes longer than an hour counts as an hour
/// there. Count, sum, least and greatest are exact. It takes 8 KiB once something was added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Latency {
    moments: Moments,
    /// As many as there are bins, or none yet.
    counts: Vec<u64>,
}

/// What is known exactly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Moments {
    count: u64,
    sum: Duration,
    min: Duration,
    max: Duration,
    /// Mean and sum of squared distances from it, in seconds, carried forward (Welford): the difference of two large
    /// sums of squares would lose the small deviations.
    mean: f64,
    squares: f64,
}

/// The same in as little room as its bins need: one to five bytes for each that is not empty, and 64 beside them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PackedLatency {
    moments: Moments,
    counts: Packed,
}

/// What the durations of an endpoint amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The shortest, exact.
    pub min: Duration,
    /// The arithmetic mean, exact.
    pub avg: Duration,
    /// The median.
    pub p50: Duration,
    /// 95 of 100 requests took no longer.
    pub p95: Duration,
    /// 99 of 100 requests took no longer.
    pub p99: Duration,
    /// The longest, exact.
    pub max: Duration,
    /// The standard deviation of all requests (divided by n: they are the whole, not a part drawn from it).
    pub stdev: Duration,
}

impl Default for Moments {
    fn default() -> Self {
        let (sum, min, max) = (Duration::ZERO, Duration::MAX, Duration::ZERO);
        Self { count: 0, sum, min, max, mean: 0.0, squares: 0.0 }
    }
}

impl Moments {
    fn add(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.count += 1;
        self.sum = self.sum.saturating_add(duration);
        self.min = self.min.min(duration);
        self.max = self.max.max(duration);
        let distance = seconds - self.mean;
        self.mean += distance / self.count as f64;
        self.squares += distance * (seconds - self.mean);
    }

    fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let (mine, theirs) = (self.count as f64, other.count as f64);
        let all = mine + theirs;
        let distance = other.mean - self.mean;
        self.mean += distance * theirs / all;
        self.squares += other.squares + distance * distance * mine * theirs / all;
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

impl Latency {
    /// Takes a duration.
    pub fn add(&mut self, duration: Duration) {
        self.bins()[bins::bin(duration)] += 1;
        self.moments.add(duration);
    }

    fn bins(&mut self) -> &mut [u64] {
        if self.counts.is_empty() {
            self.counts.resize(BINS, 0);
        }
        &mut self.counts
    }

    /// Takes what the other one took.
    pub fn merge(&mut self, other: &Self) {
        if other.count() > 0 {
            self.bins().iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
            self.moments.merge(&other.moments);
        }
    }

    /// Takes what a packed one took.
    pub(super) fn merge_packed(&mut self, other: &PackedLatency) {
        if other.moments.count > 0 {
            let bins = self.bins();
            other.counts.counts().for_each(|(bin, count)| bins[bin] = bins[bin].saturating_add(count));
            self.moments.merge(&other.moments);
        }
    }

    pub(super) fn pack(&self) -> PackedLatency {
        PackedLatency { moments: self.moments, counts: Packed::of(&self.counts) }
    }

    /// Forgets everything, and keeps the room.
    pub(super) fn clear(&mut self) {
        self.counts.fill(0);
        self.moments = Moments::default();
    }

    /// How many durations were taken.
    pub fn count(&self) -> u64 {
        self.moments.count
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        self.moments.sum
    }

    /// What they amount to; `None` while there are none, since 0 would be a lie.
    pub fn summary(&self) -> Option<Summary> {
        let Moments { count, sum, min, max, squares, .. } = self.moments;
        (count > 0).then(|| Summary {
            min,
            avg: div(sum, count),
            p50: self.percentile(50),
            p95: self.percentile(95),
            p99: self.percentile(99),
            max,
            stdev: Duration::try_from_secs_f64((squares.max(0.0) / count as f64).sqrt()).unwrap_or(Duration::MAX),
        })
    }

    /// Precondition: there is a sample, and `percent` is 1 to 100.
    fn percentile(&self, percent: u64) -> Duration {
        self.at_rank(Self::rank(self.count(), percent))
    }

    /// Which of so many samples, in their order, is the percentile.
    pub(super) fn rank(count: u64, percent: u64) -> u64 {
        (u128::from(count) * u128::from(percent)).div_ceil(100) as u64
    }

    /// Of each bin, how many samples are in it and below; nothing while there are none.
    pub(super) fn cumulative(&self) -> Vec<u64> {
        let mut below = 0u64;
        let up_to = self.counts.iter().map(|count| {
            below = below.saturating_add(*count);
            below
        });
        up_to.collect()
    }

    /// The sample of this rank, which is 1 for the shortest; where there are fewer, the longest.
    pub(super) fn at_rank(&self, rank: u64) -> Duration {
        let Moments { count, min, max, .. } = self.moments;
        match rank {
            0 | 1 => return min,
            rank if rank >= count => return max,
            _ => {}
        }
        let mut below = 0u64;
        let at = self.counts.iter().position(|count| {
            below = below.saturating_add(*count);
            below >= rank
        });
        at.map_or(max, bins::value).clamp(min, max)
    }
}

impl PackedLatency {
    /// The bytes that it takes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.counts.bytes().len()
    }
}

/// `sum / count` to the nanosecond: `Duration` divides by 32 bits only.
fn div(sum: Duration, count: u64) -> Duration {
    let nanos = sum.as_nanos() / u128::from(count);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::{
        super::bins::{LONGEST, RELATIVE_ERROR, SHORTEST},
        *,
    };

    fn latency(durations: &[Duration]) -> Latency {
        let mut latency = Latency::default();
        durations.iter().for_each(|duration| latency.add(*duration));
        latency
    }

    fn millis(range: std::ops::RangeInclusive<u64>) -> Vec<Duration> {
        range.map(Duration::from_millis).collect()
    }

    /// Within 1 %, and a nanosecond for rounding to [`Duration`]; at the shortest within 10 µs.
    fn assert_close(found: Duration, exact: Duration) {
        let bound = (exact.as_secs_f64() * RELATIVE_ERROR * (1.0 + 1e-6) + 1e-9).max(1e-5);
        let distance = found.abs_diff(exact).as_secs_f64();
        assert!(distance <= bound, "{found:?} is not within 1 % of {exact:?}");
    }

    #[test]
    fn without_samples_there_is_no_summary() {
        assert_eq!(Latency::default().summary(), None);
    }

    #[test]
    fn one_sample_is_every_percentile_exactly() {
        let only = Duration::from_micros(1234);
        let expected =
            Summary { min: only, avg: only, p50: only, p95: only, p99: only, max: only, stdev: Duration::ZERO };
        assert_eq!(latency(&[only]).summary(), Some(expected));
    }

    #[test]
    fn p95_of_a_hundred_is_the_ninety_fifth() {
        let summary = latency(&millis(1..=100)).summary().unwrap();
        assert_close(summary.p50, Duration::from_millis(50));
        assert_close(summary.p95, Duration::from_millis(95));
        assert_close(summary.p99, Duration::from_millis(99));
        assert_eq!(summary.avg, Duration::from_micros(50_500));
    }

    #[test]
    fn p95_of_ten_is_the_tenth() {
        let summary = latency(&millis(1..=10)).summary().unwrap();
        assert_eq!(summary.p95, Duration::from_millis(10));
        assert_close(summary.p50, Duration::from_millis(5));
    }

    #[test]
    fn stdev_is_that_of_the_whole() {
        let values = [2, 4, 4, 4, 5, 5, 7, 9].map(Duration::from_secs);
        assert_close(latency(&values).summary().unwrap().stdev, Duration::from_secs(2));
    }

    #[test]
    fn hours_and_days_count_as_one_hour_in_percentiles_and_exactly_elsewhere() {
        let day = Duration::from_secs(86_400);
        let summary = latency(&[day, day, day]).summary().unwrap();
        assert_eq!((summary.max, summary.avg), (day, day));
        let mixed = latency(&[Duration::from_secs(1), day, day]).summary().unwrap();
        assert_close(mixed.p50, LONGEST);
    }

    #[test]
    fn percentiles_hold_over_the_whole_range() {
        let mut durations = vec![Duration::from_nanos(1), SHORTEST, LONGEST, Duration::MAX];
        let mut step = SHORTEST.as_secs_f64();
        while step < LONGEST.as_secs_f64() {
            durations.push(Duration::from_secs_f64(step));
            step *= 1.01;
        }
        durations.sort();
        let latency = latency(&durations);
        for percent in [5, 50, 95] {
            let exact = durations[(durations.len() * percent).div_ceil(100) - 1];
            assert_close(latency.percentile(percent as u64), exact);
        }
    }

    /// From a nanosecond to hours, evenly over the orders of magnitude.
    fn durations() -> impl Strategy<Value = Vec<Duration>> {
        vec((0.0f64..12.5).prop_map(|exponent| Duration::from_nanos(10f64.powf(exponent) as u64)), 1..400)
    }

    proptest! {
        #[test]
        fn percentiles_are_near_those_of_the_sorted_samples(mut durations in durations(), cut in 0usize..400) {
            let cut = cut.min(durations.len());
            let mut merged = latency(&durations[..cut]);
            merged.merge(&latency(&durations[cut..]));
            let mut unpacked = Latency::default();
            unpacked.merge_packed(&latency(&durations[..cut]).pack());
            unpacked.merge_packed(&latency(&durations[cut..]).pack());
            prop_assert_eq!(&unpacked.counts, &merged.counts);
            let whole = latency(&durations);
            durations.sort();
            for percent in [1, 10, 25, 50, 75, 90, 95, 99, 100] {
                let exact = durations[(durations.len() * percent).div_ceil(100) - 1];
                assert_close(whole.percentile(percent as u64), exact);
                assert_close(merged.percentile(percent as u64), exact);
            }
            let (whole, merged) = (whole.summary().unwrap(), merged.summary().unwrap());
            prop_assert_eq!((whole.min, whole.max), (durations[0], durations[durations.len() - 1]));
            prop_assert_eq!((merged.min, merged.max, merged.avg), (whole.min, whole.max, whole.avg));
            assert_close(merged.stdev, whole.stdev);
        }

        #[test]
        fn stdev_is_near_its_definition(durations in durations()) {
            let n = durations.len() as f64;
            let mean = durations.iter().map(Duration::as_secs_f64).sum::<f64>() / n;
            let squares: f64 = durations.iter().map(|duration| (duration.as_secs_f64() - mean).powi(2)).sum();
            let found = latency(&durations).summary().unwrap().stdev;
            assert_close(found, Duration::from_secs_f64((squares / n).sqrt()));
        }
    }
}
