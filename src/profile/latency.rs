//! Durations of many requests in little room, for percentiles with a known error.

use std::{fmt, time::Duration};

use sketches_ddsketch::{Config, DDSketch};

/// A percentile is at most this share away from the sample it stands for.
const RELATIVE_ERROR: f64 = 0.01;

/// Durations that are not longer are not told apart. Nothing that crosses a socket is faster.
const SHORTEST: Duration = Duration::from_micros(1);

/// Durations beyond this count as this long in percentiles; the maximum, the average and the sum stay exact.
const LONGEST: Duration = Duration::from_secs(3600);

/// From [`SHORTEST`] to [`LONGEST`] are 1101 bins of 2 % each, in steps of 128. The sketch gives up its lowest bins,
/// and with them its error, when it needs more than it may have; with this bound it never does.
const MAX_BINS: u32 = 1152;

/// Durations of requests, summed up.
///
/// A percentile is that of nearest rank: the smallest sample that at least that share of the samples does not exceed.
/// Its error is at most 1 % of the value, or 1 µs where that is more. It takes at most 9 KiB, and about 3 KiB where the
/// slowest request takes a thousand times as long as the fastest.
#[derive(Clone)]
pub struct Latency {
    sketch: DDSketch,
    count: u64,
    sum: Duration,
    min: Duration,
    max: Duration,
    /// Mean and sum of squared distances from it, in seconds, carried forward (Welford): the difference of two large
    /// sums of squares would lose the small deviations.
    mean: f64,
    squares: f64,
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

impl Default for Latency {
    fn default() -> Self {
        Self {
            sketch: DDSketch::new(Config::new(RELATIVE_ERROR, MAX_BINS, SHORTEST.as_secs_f64())),
            count: 0,
            sum: Duration::ZERO,
            min: Duration::MAX,
            max: Duration::ZERO,
            mean: 0.0,
            squares: 0.0,
        }
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latency").field("count", &self.count).field("summary", &self.summary()).finish()
    }
}

impl Latency {
    /// Takes a duration.
    pub fn add(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        self.sketch.add(seconds.min(LONGEST.as_secs_f64()));
        self.count += 1;
        self.sum = self.sum.saturating_add(duration);
        self.min = self.min.min(duration);
        self.max = self.max.max(duration);
        let distance = seconds - self.mean;
        self.mean += distance / self.count as f64;
        self.squares += distance * (seconds - self.mean);
    }

    /// Takes what the other one took.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.sketch.merge(&other.sketch).expect("every sketch has the same configuration");
        let (mine, theirs) = (self.count as f64, other.count as f64);
        let all = mine + theirs;
        let distance = other.mean - self.mean;
        self.mean += distance * theirs / all;
        self.squares += other.squares + distance * distance * mine * theirs / all;
        self.count += other.count;
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// How many durations were taken.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What they amount to; `None` while there are none, since 0 would be a lie.
    pub fn summary(&self) -> Option<Summary> {
        (self.count > 0).then(|| Summary {
            min: self.min,
            avg: div(self.sum, self.count),
            p50: self.percentile(50),
            p95: self.percentile(95),
            p99: self.percentile(99),
            max: self.max,
            stdev: Duration::try_from_secs_f64((self.squares / self.count as f64).sqrt()).unwrap_or(Duration::MAX),
        })
    }

    /// Precondition: there is a sample, and `percent` is 1 to 100.
    fn percentile(&self, percent: u64) -> Duration {
        let last = self.count - 1;
        let rank = (self.count * percent).div_ceil(100) - 1;
        if rank == last {
            return self.max;
        }
        // The sketch takes the sample at floor(q · last), which is not nearest rank; half a place beyond the rank that
        // is wanted, neither its rule nor rounding can miss it.
        let seconds = self.sketch.quantile((rank as f64 + 0.5) / last as f64).ok().flatten().unwrap_or_default();
        Duration::try_from_secs_f64(seconds).unwrap_or(self.max).clamp(self.min, self.max)
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

    use super::*;

    fn latency(durations: &[Duration]) -> Latency {
        let mut latency = Latency::default();
        durations.iter().for_each(|duration| latency.add(*duration));
        latency
    }

    fn millis(range: std::ops::RangeInclusive<u64>) -> Vec<Duration> {
        range.map(Duration::from_millis).collect()
    }

    /// Within 1 %, and a nanosecond for rounding to [`Duration`]; at the shortest within 1 µs.
    fn assert_close(found: Duration, exact: Duration) {
        let bound = (exact.as_secs_f64() * RELATIVE_ERROR * (1.0 + 1e-9) + 1e-9).max(1e-6);
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
    fn the_whole_range_fits_without_giving_up_bins() {
        let mut durations = vec![Duration::from_nanos(1), SHORTEST, LONGEST, Duration::MAX];
        let mut step = SHORTEST.as_secs_f64();
        while step < LONGEST.as_secs_f64() {
            durations.push(Duration::from_secs_f64(step));
            step *= 1.01;
        }
        durations.sort();
        let latency = latency(&durations);
        assert!(latency.sketch.length() <= MAX_BINS as usize);
        // The fifth percentile lies among microseconds, which are what would be given up.
        let low = latency.percentile(5);
        assert_close(low, durations[durations.len().div_ceil(20) - 1]);
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
