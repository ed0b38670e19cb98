//! Logarithmic bins: what makes a percentile of many durations small, mergeable, and wrong by a known share at most.
//!
//! No bin is wider than a factor of γ = (1+α)/(1−α), and it stands for the point within it whose relative distance to
//! both ends is the same: that distance is at most α (the idea of DDSketch, Masson, Rim and Lee, 2019, §2.1). Bins of one
//! scale add up exactly, so that merging loses nothing.
//!
//! Every request is put into two of them, so the logarithm is not computed: a cubic polynomial between powers of two
//! rises at least as fast, and needs 1 % more bins.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A percentile is at most this share away from the sample it stands for.
pub(super) const RELATIVE_ERROR: f64 = 0.01;
/// What is not longer is not told apart.
pub(super) const SHORTEST: Duration = Duration::from_micros(10);
/// What is longer counts as this long in percentiles.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);
/// Up to [`LONGEST`], and the one of [`SHORTEST`] itself: see `the_ends_of_the_scale`.
pub(super) const BINS: usize = 996;

/// Bins per unit of [`curve`], which rises by 10/7 per factor of e where it is flattest: 0.7 / ln γ, and ln γ is
/// 2 artanh α, which no constant expression can compute.
const PER_UNIT: f64 = 0.7 * 49.998_333_288_886_78;

/// About the logarithm to base 2 of what is in `1.0..2.0`, and equal at both ends, where its slope is the same too.
fn curve(within: f64) -> f64 {
    let s = within - 1.0;
    ((6.0 / 35.0 * s - 3.0 / 5.0) * s + 10.0 / 7.0) * s
}

/// The bin of a duration.
pub(super) fn bin(duration: Duration) -> usize {
    const MANTISSA: u64 = (1 << 52) - 1;
    // In 64 bits, which turn into a float in one instruction: 584 years of nanoseconds fit.
    let times = duration.min(LONGEST).as_nanos() as u64 as f64 / SHORTEST.as_nanos() as f64;
    if times <= 1.0 {
        return 0;
    }
    let bits = times.to_bits();
    let (exponent, within) = ((bits >> 52) - 1023, f64::from_bits(bits & MANTISSA | 1.0f64.to_bits()));
    ((exponent as f64 + curve(within)) * PER_UNIT) as usize + 1
}

/// The duration that a bin stands for.
pub(super) fn value(bin: usize) -> Duration {
    if bin == 0 {
        return SHORTEST;
    }
    let (from, to) = (begin(bin), begin(bin + 1));
    SHORTEST.mul_f64(2.0 * from * to / (from + to))
}

/// Where a bin but the first begins, in units of [`SHORTEST`].
fn begin(bin: usize) -> f64 {
    let units = (bin - 1) as f64 / PER_UNIT;
    let (mut low, mut high) = (1.0, 2.0);
    // As exact as a float is.
    for _ in 0..52 {
        let middle = (low + high) / 2.0;
        if curve(middle) > units.fract() { high = middle } else { low = middle }
    }
    low * units.floor().exp2()
}

/// Counts of the bins that are not empty: (distance to the bin before, count), both as variable-length numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Packed(Box<[u8]>);

impl Packed {
    /// At most 7 bits of a bin's distance and 63 of its count, in sevens.
    pub(super) fn of(counts: &[u64]) -> Self {
        let (mut bytes, mut before) = (Vec::new(), 0);
        for (bin, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            push(&mut bytes, (bin - before) as u64);
            push(&mut bytes, *count);
            before = bin;
        }
        Self(bytes.into())
    }

    /// Each bin that is not empty, with its count. What is not a sequence of such ends where it ceases to be.
    pub(super) fn counts(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let (mut rest, mut at) = (&*self.0, 0usize);
        std::iter::from_fn(move || {
            let (distance, count) = (pop(&mut rest)?, pop(&mut rest)?);
            at = at.checked_add(usize::try_from(distance).ok()?)?;
            (at < BINS).then_some((at, count))
        })
    }

    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn pop(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn the_ends_of_the_scale() {
        assert_eq!(bin(Duration::ZERO), 0);
        assert_eq!(bin(SHORTEST), 0);
        assert_eq!(bin(LONGEST), BINS - 1);
        assert_eq!(bin(Duration::MAX), BINS - 1);
        assert_eq!(value(0), SHORTEST);
    }

    proptest! {
        #[test]
        fn a_bin_stands_for_what_is_within_one_percent(exponent in 4.0f64..12.556) {
            let duration = Duration::from_nanos(10f64.powf(exponent) as u64);
            let distance = value(bin(duration)).abs_diff(duration).as_secs_f64();
            prop_assert!(distance <= duration.as_secs_f64() * RELATIVE_ERROR * (1.0 + 1e-6) + 1e-9);
        }

        #[test]
        fn longer_durations_are_in_no_lower_bin(a in 0u64..4_000_000_000_000, b in 0u64..4_000_000_000_000) {
            let (a, b) = (Duration::from_nanos(a.min(b)), Duration::from_nanos(a.max(b)));
            prop_assert!(bin(a) <= bin(b));
        }

        #[test]
        fn packed_counts_are_the_same(
            counts in vec(prop_oneof![4 => Just(0u64), 1 => 1u64..300, 1 => any::<u64>()], BINS)
        ) {
            let packed = Packed::of(&counts);
            let mut back = vec![0; BINS];
            packed.counts().for_each(|(bin, count)| back[bin] = count);
            prop_assert_eq!(back, counts);
        }

        #[test]
        fn foreign_bytes_are_no_danger(bytes in vec(any::<u8>(), 0..100)) {
            Packed(bytes.into()).counts().for_each(|(bin, _)| assert!(bin < BINS));
        }
    }
}
