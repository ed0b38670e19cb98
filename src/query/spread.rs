//! How long something took, many times, in little room.

use std::time::Duration;

/// Shortest duration of the bins above the first, in nanoseconds: about a microsecond.
const LOWEST: u32 = 10;
/// Bins of each factor of two.
const STEPS: u32 = 8;

/// Upper bounds of the classes that queries are shown in, in milliseconds; the last class has none. Durations of a bound
/// count above it, but for 2 s, which is not more than 2 s.
pub const CLASSES: [u64; 8] = [1, 5, 10, 50, 100, 500, 1000, 2000];

/// Durations, summed up: count, sum, least, greatest, mean and deviation exactly, percentiles with an error of at most
/// 7 %, and the number in each of [`CLASSES`] exactly. It takes about 170 bytes, and 8 for each of at most 256 bins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Spread {
    count: u64,
    sum: Duration,
    min: Duration,
    max: Duration,
    /// In seconds, and the sum of squared distances from it (Welford).
    mean: f64,
    squares: f64,
    classes: [u32; 9],
    /// Bins that are not empty, in their order.
    bins: Vec<(u8, u32)>,
}

/// What durations amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
    /// The arithmetic mean.
    pub avg: Duration,
    /// The standard deviation of all of them (divided by n: they are the whole, and no part drawn from it).
    pub stdev: Duration,
    /// The median, at most 7 % away.
    pub p50: Duration,
    /// 95 of 100 took no longer, at most 7 % away.
    pub p95: Duration,
    /// 99 of 100 took no longer, at most 7 % away.
    pub p99: Duration,
}

impl Spread {
    /// Takes a duration.
    pub fn add(&mut self, took: Duration) {
        let one = Self {
            count: 1,
            sum: took,
            min: took,
            max: took,
            mean: took.as_secs_f64(),
            squares: 0.0,
            ..Self::default()
        };
        self.merge_exact(&one);
        let class = &mut self.classes[class(took)];
        *class = class.saturating_add(1);
        self.add_to_bin(bin(took), 1);
    }

    fn add_to_bin(&mut self, bin: u8, count: u32) {
        match self.bins.binary_search_by_key(&bin, |(bin, _)| *bin) {
            Ok(at) => self.bins[at].1 = self.bins[at].1.saturating_add(count),
            Err(at) => self.bins.insert(at, (bin, count)),
        }
    }

    /// Takes what another one took.
    pub fn merge(&mut self, other: &Self) {
        self.merge_exact(other);
        self.classes.iter_mut().zip(other.classes).for_each(|(mine, theirs)| *mine = mine.saturating_add(theirs));
        other.bins.iter().for_each(|(bin, count)| self.add_to_bin(*bin, *count));
    }

    fn merge_exact(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let (mine, theirs) = (self.count as f64, other.count as f64);
        let distance = other.mean - self.mean;
        self.mean += distance * theirs / (mine + theirs);
        self.squares += other.squares + distance * distance * mine * theirs / (mine + theirs);
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.sum = self.sum.saturating_add(other.sum);
        self.count += other.count;
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// How many were in each of [`CLASSES`], and above.
    pub fn classes(&self) -> [u64; 9] {
        self.classes.map(u64::from)
    }

    /// What they amount to; `None` while there are none.
    pub fn timing(&self) -> Option<Timing> {
        (self.count > 0).then(|| Timing {
            min: self.min,
            max: self.max,
            avg: Duration::try_from_secs_f64(self.mean).unwrap_or_default(),
            stdev: Duration::try_from_secs_f64((self.squares.max(0.0) / self.count as f64).sqrt()).unwrap_or_default(),
            p50: self.percentile(50),
            p95: self.percentile(95),
            p99: self.percentile(99),
        })
    }

    /// Of nearest rank.
    fn percentile(&self, percent: u64) -> Duration {
        let all: u64 = self.bins.iter().map(|(_, count)| u64::from(*count)).sum();
        let rank = (all * percent).div_ceil(100);
        let mut below = 0;
        let at = self.bins.iter().find(|(_, count)| {
            below += u64::from(*count);
            below >= rank
        });
        at.map_or(self.max, |(bin, _)| middle(*bin)).clamp(self.min, self.max)
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bins.capacity() * size_of::<(u8, u32)>()
    }
}

fn class(took: Duration) -> usize {
    let millis = took.as_nanos() / 1_000_000;
    let bound = CLASSES.iter().position(|bound| millis < u128::from(*bound));
    match bound {
        Some(class) => class,
        None if took <= Duration::from_millis(CLASSES[7]) => 7,
        None => 8,
    }
}

/// Eight to each factor of two, from a microsecond to half an hour; what is beyond counts as that.
fn bin(took: Duration) -> u8 {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    if nanos < 1 << LOWEST {
        return 0;
    }
    let exponent = nanos.ilog2();
    let step = (nanos >> (exponent - STEPS.ilog2())) as u32 - STEPS;
    u8::try_from((exponent - LOWEST) * STEPS + step + 1).unwrap_or(u8::MAX)
}

/// The duration that is as far from one end of a bin as from the other, in proportion.
fn middle(bin: u8) -> Duration {
    let Some(above) = u32::from(bin).checked_sub(1) else { return Duration::from_nanos(1 << LOWEST) };
    let (exponent, step) = (LOWEST + above / STEPS, above % STEPS);
    let width = 1u64 << (exponent - STEPS.ilog2());
    let from = u64::from(STEPS + step) * width;
    Duration::from_nanos(((from as f64) * ((from + width) as f64)).sqrt() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn spread(durations: &[Duration]) -> Spread {
        let mut spread = Spread::default();
        durations.iter().for_each(|duration| spread.add(*duration));
        spread
    }

    #[test]
    fn classes_have_their_bounds() {
        let micros = Duration::from_micros;
        for (took, expected) in [
            (micros(0), 0),
            (micros(999), 0),
            (micros(1000), 1),
            (micros(4999), 1),
            (micros(499_999), 5),
            (micros(500_000), 6),
            (micros(999_999), 6),
            (micros(1_999_999), 7),
            (micros(2_000_000), 7),
            (micros(2_000_001), 8),
            (Duration::MAX, 8),
        ] {
            assert_eq!(class(took), expected, "{took:?}");
        }
    }

    #[test]
    fn nothing_amounts_to_nothing() {
        assert_eq!(Spread::default().timing(), None);
        let only = Duration::from_millis(7);
        let timing = Timing { min: only, max: only, avg: only, stdev: Duration::ZERO, p50: only, p95: only, p99: only };
        assert_eq!(spread(&[only]).timing(), Some(timing));
    }

    proptest! {
        #[test]
        fn figures_are_near_their_definitions(
            mut durations in vec((3.0f64..12.0).prop_map(|exponent| Duration::from_nanos(10f64.powf(exponent) as u64)), 1..300),
            cut in 0usize..300,
        ) {
            let cut = cut.min(durations.len());
            let mut merged = spread(&durations[..cut]);
            merged.merge(&spread(&durations[cut..]));
            let whole = spread(&durations).timing().unwrap();
            durations.sort();
            let n = durations.len() as f64;
            let mean = durations.iter().map(Duration::as_secs_f64).sum::<f64>() / n;
            let stdev = (durations.iter().map(|one| (one.as_secs_f64() - mean).powi(2)).sum::<f64>() / n).sqrt();
            let near = |found: Duration, exact: f64, share: f64| (found.as_secs_f64() - exact).abs() <= exact * share + 2e-9;
            for timing in [whole, merged.timing().unwrap()] {
                prop_assert_eq!((timing.min, timing.max), (durations[0], durations[durations.len() - 1]));
                prop_assert!(near(timing.avg, mean, 1e-6) && near(timing.stdev, stdev, 1e-6));
                for (found, percent) in [(timing.p50, 50), (timing.p95, 95), (timing.p99, 99)] {
                    let exact = durations[(durations.len() * percent).div_ceil(100) - 1].as_secs_f64();
                    prop_assert!(near(found, exact, 0.07), "{percent}: {found:?} {exact}");
                }
            }
            prop_assert_eq!(merged.classes().iter().sum::<u64>(), durations.len() as u64);
            prop_assert_eq!(merged.count(), durations.len() as u64);
        }
    }
}
