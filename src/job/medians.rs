//! Whether one of two things takes longer, and by how much: medians, and the interval that their difference is in.
//!
//! The interval is a percentile bootstrap: the measurements of each side are drawn anew from themselves a thousand times,
//! and 95 % of the differences of the medians are between its ends. Always by the same numbers, so that the same
//! measurements come to the same.

use std::time::Duration;

/// Times that the measurements are drawn anew.
const DRAWS: usize = 1000;
/// Draws that are left out at each end: 2.5 % of them.
const LEFT_OUT: usize = DRAWS / 40;
const SEED: u64 = 0x9ace_ca12;

/// How long a side takes. Of no measurements, all are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Times {
    /// The median, in ms.
    pub(super) median: f64,
    /// 95 of 100 took up to this, in ms.
    pub(super) p95: f64,
    /// The fastest, in ms.
    pub(super) least: f64,
}

/// By how many ms b takes longer than a, in the median.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Difference {
    pub(super) median: f64,
    /// Where it is with 95 % confidence.
    pub(super) low: f64,
    /// See `low`.
    pub(super) high: f64,
}

impl Times {
    pub(super) fn of(measured: &[Duration]) -> Self {
        let mut millis = in_millis(measured);
        millis.sort_by(f64::total_cmp);
        let Some(last) = millis.len().checked_sub(1) else { return Self::default() };
        // The nearest rank.
        let p95 = millis[((millis.len() * 95).div_ceil(100) - 1).min(last)];
        let least = millis[0];
        Self { median: median(&mut millis), p95, least }
    }
}

impl Difference {
    /// `None` where there is nothing to compare.
    pub(super) fn of(a: &[Duration], b: &[Duration]) -> Option<Self> {
        if a.is_empty() || b.is_empty() {
            return None;
        }
        let (mut a, mut b) = (in_millis(a), in_millis(b));
        let mut random = fastrand::Rng::with_seed(SEED);
        let mut drawn = Vec::new();
        let mut draw = |from: &[f64]| {
            drawn.clear();
            drawn.extend((0..from.len()).map(|_| from[random.usize(..from.len())]));
            median(&mut drawn)
        };
        let mut differences: Vec<f64> = (0..DRAWS).map(|_| -draw(&a) + draw(&b)).collect();
        differences.sort_by(f64::total_cmp);
        Some(Self {
            median: median(&mut b) - median(&mut a),
            low: differences[LEFT_OUT],
            high: differences[DRAWS - 1 - LEFT_OUT],
        })
    }

    /// Whether it may be none at all.
    pub(super) fn holds_zero(&self) -> bool {
        self.low <= 0.0 && self.high >= 0.0
    }
}

fn in_millis(measured: &[Duration]) -> Vec<f64> {
    measured.iter().map(|took| took.as_secs_f64() * 1e3).collect()
}

/// The middle, or what is between the two middle ones. Precondition: there is at least one, and none is NaN.
fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    let is_even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    if is_even { below.iter().copied().fold(f64::MIN, f64::max).midpoint(upper) } else { upper }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(values: &[f64]) -> Vec<Duration> {
        values.iter().map(|value| Duration::from_secs_f64(value / 1e3)).collect()
    }

    #[test]
    fn times_of_few_and_many() {
        for (measured, expected) in [
            (vec![], (0.0, 0.0, 0.0)),
            (vec![7.0], (7.0, 7.0, 7.0)),
            (vec![1.0, 4.0], (2.5, 4.0, 1.0)),
            (vec![3.0, 1.0, 2.0], (2.0, 3.0, 1.0)),
            ((1..=100).map(f64::from).collect(), (50.5, 95.0, 1.0)),
        ] {
            let Times { median, p95, least } = Times::of(&millis(&measured));
            let near = |(a, b): (f64, f64)| (a - b).abs() < 1e-6;
            assert!(
                [(median, expected.0), (p95, expected.1), (least, expected.2)].into_iter().all(near),
                "{measured:?}"
            );
        }
    }

    /// Around a middle, up to 10 to either side.
    fn around(middle: f64, count: usize, random: &mut fastrand::Rng) -> Vec<Duration> {
        millis(&(0..count).map(|_| middle + 20.0 * random.f64() - 10.0).collect::<Vec<_>>())
    }

    #[test]
    fn known_distributions() {
        let mut random = fastrand::Rng::with_seed(7);
        let (a, b) = (around(100.0, 300, &mut random), around(105.0, 300, &mut random));
        let difference = Difference::of(&a, &b).unwrap();
        assert!(difference.low < 5.0 && difference.high > 5.0 && difference.low > 2.0, "{difference:?}");
        assert!(!difference.holds_zero());
        let constant = Difference::of(&millis(&[3.0; 50]), &millis(&[1.0; 50])).unwrap();
        assert!((constant.low + 2.0).abs() < 1e-6 && (constant.high + 2.0).abs() < 1e-6, "{constant:?}");
        assert_eq!(Difference::of(&[], &millis(&[1.0])), None);
    }

    /// 95 of 100 intervals have the truth in them: here, that there is no difference.
    #[test]
    fn the_interval_is_as_wide_as_it_should_be() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut none = || {
            let (a, b) = (around(50.0, 60, &mut random), around(50.0, 60, &mut random));
            Difference::of(&a, &b).unwrap().holds_zero()
        };
        let same = (0..400).filter(|_| none()).count();
        assert!((364..396).contains(&same), "{same} of 400");
    }

    proptest! {
        #[test]
        fn the_two_sides_are_alike(a in proptest::collection::vec(0u32..10_000_000, 1..50), b in proptest::collection::vec(0u32..10_000_000, 1..50)) {
            let micros = |values: &[u32]| values.iter().map(|value| Duration::from_micros(u64::from(*value))).collect::<Vec<_>>();
            let (a, b) = (micros(&a), micros(&b));
            let there = Difference::of(&a, &b).unwrap();
            prop_assert!(there.low <= there.high);
            prop_assert_eq!(Difference::of(&a, &b), Some(there));
            let back = Difference::of(&b, &a).unwrap();
            prop_assert!((there.median + back.median).abs() < 1e-6);
        }
    }
}
