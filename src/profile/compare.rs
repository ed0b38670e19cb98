//! Whether one endpoint, or one time, is slower than another, and how sure that is.
//!
//! The change of a percentile has an interval that the true change is in 95 times of 100, by the bootstrap (Efron 1979):
//! what would have been measured, had other requests of the same kind come. Nothing is drawn again for that: the k-th of
//! n requests drawn with replacement is the request at the share U of the sorted ones, and U has the distribution
//! Beta(k, n − k + 1). One draw is thus a random number and a look-up, whether a thousand requests came or a billion.

use std::{f64::consts::TAU, time::Duration};

use twox_hash::XxHash3_64;

use super::{
    bins::{self, RELATIVE_ERROR, SHORTEST},
    figures::Figures,
    latency::Latency,
};

/// Draws per interval. Its ends are then those of endless draws but for a few hundredths of its length.
const DRAWS: usize = 2000;
/// Of them, those left out at each end of an interval: 2.5 %.
const LEFT_OUT: usize = DRAWS / 40;
/// A change is called one from this ratio on. Percentiles are within 1 % each, and less is noticed by nobody.
const RELEVANT: f64 = 1.05;
/// What has surely not changed by more than this ratio is called the same.
const NEGLIGIBLE: f64 = 1.10;
/// Requests that must be beyond a percentile on each side: of fewer, its interval ends at the longest one that happened
/// to come.
const BEYOND: u64 = 5;

/// What has become slower or faster, from `a` to `b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Which durations were compared.
    pub by: By,
    /// How many of them there are, of `a` and of `b`.
    pub requests: [u64; 2],
    /// The change of the median; `None` for fewer than [`Self::FEWEST`] on a side.
    pub p50: Option<Change>,
    /// The change of the 95th percentile; `None` for fewer than 100 on a side.
    pub p95: Option<Change>,
}

/// Which durations are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// How long the origin took: a slow download is not a slow app, and neither is a cache that was emptied.
    Upstream,
    /// How long clients waited, where the origin was hardly asked.
    Client,
}

/// The change of a percentile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// The percentile of `a`, at least 10 µs.
    pub a: Duration,
    /// The percentile of `b`, at least 10 µs.
    pub b: Duration,
    /// The least and the greatest ratio of `b` to `a` that there may be in truth.
    pub interval: [f64; 2],
}

/// What a change amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `b` is surely faster, and by 5 % or more as far as is known.
    Faster,
    /// `b` is surely slower, and by 5 % or more as far as is known.
    Slower,
    /// They are surely within 10 % of each other.
    Same,
    /// None of these can be said.
    Unclear,
    /// There are too few requests to say anything.
    TooFew,
}

impl Verdict {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Same => "same",
            Self::Unclear => "unclear",
            Self::TooFew => "too_few",
        }
    }
}

impl By {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Client => "client",
        }
    }
}

impl Comparison {
    /// Requests that each side needs for anything to be said.
    pub const FEWEST: u64 = 20;

    /// Compares `b` with `a`. The same figures have the same answer, whenever it is asked for.
    pub fn of(a: &Figures, b: &Figures) -> Self {
        let asked = a.upstream.count().min(b.upstream.count());
        let (by, a, b) = if asked >= Self::FEWEST {
            (By::Upstream, &a.upstream, &b.upstream)
        } else {
            (By::Client, &a.latency, &b.latency)
        };
        let mut random = fastrand::Rng::with_seed(seed(a, b));
        let uniform = &mut || random.f64();
        let (p50, p95) = (change(a, b, 50, uniform), change(a, b, 95, uniform));
        Self { by, requests: [a.count(), b.count()], p50, p95 }
    }

    /// What it amounts to, by the median: half of all requests are on either side of it.
    pub fn verdict(&self) -> Verdict {
        self.p50.map_or(Verdict::TooFew, |change| change.verdict())
    }
}

impl Change {
    /// `b` as a multiple of `a`.
    pub fn ratio(&self) -> f64 {
        self.b.as_secs_f64() / self.a.as_secs_f64()
    }

    /// What it amounts to.
    pub fn verdict(&self) -> Verdict {
        let ([low, high], ratio) = (self.interval, self.ratio());
        if low > 1.0 && ratio >= RELEVANT {
            Verdict::Slower
        } else if high < 1.0 && ratio <= 1.0 / RELEVANT {
            Verdict::Faster
        } else if low >= 1.0 / NEGLIGIBLE && high <= NEGLIGIBLE {
            Verdict::Same
        } else {
            Verdict::Unclear
        }
    }

    /// Roughly how many times as many requests it takes until an unclear change is clear, if it is what it seems to be:
    /// an interval of twice the length takes four times as many.
    pub fn times_as_many(&self) -> u64 {
        let [low, high] = self.interval.map(f64::ln);
        let change = self.ratio().ln().abs();
        // Short enough that it ends before 1, if the change is one, or that it is wholly within what is negligible.
        let within = NEGLIGIBLE.ln() - change;
        let wanted = if change >= RELEVANT.ln() { change.max(within) } else { within };
        ((high - low) / 2.0 / wanted).powi(2).ceil().max(2.0) as u64
    }
}

/// Requests that each side needs for something to be said about this percentile.
fn fewest(percent: u64) -> u64 {
    (BEYOND * 100 / (100 - percent)).max(Comparison::FEWEST)
}

/// The change of a percentile. `uniform` is evenly distributed from 0 to below 1.
fn change(a: &Latency, b: &Latency, percent: u64, uniform: &mut impl FnMut() -> f64) -> Option<Change> {
    if a.count().min(b.count()) < fewest(percent) {
        return None;
    }
    let (a, b) = (Percentile::new(a, percent), Percentile::new(b, percent));
    let mut ratios: Vec<f64> = (0..DRAWS).map(|_| b.draw(uniform) / a.draw(uniform)).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let interval = [ratios[LEFT_OUT], ratios[DRAWS - 1 - LEFT_OUT]];
    Some(Change { a: a.found, b: b.found, interval })
}

/// A percentile as it was found, and as it might have been.
#[derive(Debug)]
struct Percentile {
    found: Duration,
    rank: u64,
    count: u64,
    /// Seconds of the shortest and the longest duration.
    ends: [f64; 2],
    /// Of each bin, the durations in it and below.
    up_to: Vec<u64>,
}

impl Percentile {
    /// Precondition: there is a duration, and `percent` is 1 to 100.
    fn new(latency: &Latency, percent: u64) -> Self {
        let count = latency.count();
        let rank = Latency::rank(count, percent);
        let ends = [1, count].map(|rank| latency.at_rank(rank).max(SHORTEST).as_secs_f64());
        let found = latency.at_rank(rank).max(SHORTEST);
        Self { found, rank, count, ends, up_to: latency.cumulative() }
    }

    /// Seconds of the percentile among as many requests drawn from these, with replacement.
    fn draw(&self, uniform: &mut impl FnMut() -> f64) -> f64 {
        let share = beta(self.rank as f64, (self.count - self.rank + 1) as f64, uniform);
        let rank = (share * self.count as f64).ceil() as u64;
        let [shortest, longest] = self.ends;
        if rank <= 1 {
            return shortest;
        }
        if rank >= self.count {
            return longest;
        }
        let bin = self.up_to.partition_point(|up_to| *up_to < rank);
        // Where in its bin a duration is, is not known, so that this is drawn too: without it, the interval of what is
        // always the same would be a point, and the wrong one.
        let within = 1.0 + RELATIVE_ERROR * (2.0 * uniform() - 1.0);
        (bins::value(bin).as_secs_f64() * within).max(shortest).min(longest)
    }
}

/// A number from 0 to 1 of the distribution Beta(a, b). Precondition: both are at least 1.
fn beta(a: f64, b: f64, uniform: &mut impl FnMut() -> f64) -> f64 {
    let (a, b) = (gamma(a, uniform), gamma(b, uniform));
    a / (a + b)
}

/// A number of the gamma distribution of this shape, which is at least 1 (Marsaglia and Tsang, 2000, §4): the cube of a
/// normal one that is nearly of that distribution, and 95 times of 100 at least no second one is needed.
fn gamma(shape: f64, uniform: &mut impl FnMut() -> f64) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(uniform);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && uniform().ln() < x * x / 2.0 + d * (1.0 - v + v.ln()) {
            return d * v;
        }
    }
}

/// A number of the standard normal distribution (Box and Muller, 1958).
fn normal(uniform: &mut impl FnMut() -> f64) -> f64 {
    // 1 − u is never 0, which has no logarithm.
    (-2.0 * (1.0 - uniform()).ln()).sqrt() * (TAU * uniform()).cos()
}

/// A number that depends on nothing but the durations.
fn seed(a: &Latency, b: &Latency) -> u64 {
    let counts = [a, b].into_iter().flat_map(Latency::cumulative);
    XxHash3_64::oneshot(&counts.flat_map(u64::to_le_bytes).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::profile::{Asked, Ending, Sample};

    fn latency(seconds: impl IntoIterator<Item = f64>) -> Latency {
        let mut latency = Latency::default();
        seconds.into_iter().for_each(|seconds| latency.add(Duration::from_secs_f64(seconds)));
        latency
    }

    /// One duration in seconds, of some distribution.
    type Draw = fn(&mut fastrand::Rng) -> f64;

    const CONSTANT: Draw = |_| 0.0123;
    const EXPONENTIAL: Draw = |random| -(1.0 - random.f64()).ln() * 0.05;
    const LOGNORMAL: Draw = |random| (normal(&mut || random.f64()) * 0.8 - 3.0).exp();
    /// Seven of ten from a cache that the app has of its own.
    const BIMODAL: Draw = |random| match random.f64() < 0.7 {
        true => 0.004 + 0.002 * random.f64(),
        false => 0.080 + 0.040 * random.f64(),
    };
    const ALL: [(&str, Draw); 4] =
        [("constant", CONSTANT), ("exponential", EXPONENTIAL), ("lognormal", LOGNORMAL), ("bimodal", BIMODAL)];

    /// Compares so many requests with as many that take `times` as long, with numbers of their own for each seed.
    fn compared(draw: Draw, times: f64, requests: usize, seed: u64) -> Comparison {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut figures = |times: f64| {
            let latency = latency((0..requests).map(|_| times * draw(&mut random)));
            Figures { latency, ..Figures::default() }
        };
        let (a, b) = (figures(1.0), figures(times));
        Comparison::of(&a, &b)
    }

    #[test]
    fn the_interval_holds_the_true_change_about_95_times_of_100() {
        const ROUNDS: u64 = 200;
        for (name, draw) in ALL {
            for (requests, times) in [(150, 1.0), (400, 1.3)] {
                let mut held = [0; 2];
                for seed in 0..ROUNDS {
                    let compared = compared(draw, times, requests, seed);
                    for (held, change) in held.iter_mut().zip([compared.p50.unwrap(), compared.p95.unwrap()]) {
                        // A nanosecond for rounding to `Duration`.
                        let [low, high] = change.interval;
                        *held += u64::from(low - 1e-6 <= times && times <= high + 1e-6);
                    }
                }
                for (percentile, held) in ["p50", "p95"].into_iter().zip(held) {
                    let share = held as f64 / ROUNDS as f64;
                    // What is always the same is always held.
                    let most = if name == "constant" { 1.0 } else { 0.999 };
                    assert!((0.88..=most).contains(&share), "{share} of {name}, {percentile}, times {times}");
                }
            }
        }
    }

    #[test]
    fn a_fifth_is_found_among_500_requests() {
        for (name, draw, rounds) in [("constant", CONSTANT, 1), ("narrow", |random| 0.01 + 0.01 * random.f64(), 50)] {
            for seed in 0..rounds {
                assert_eq!(compared(draw, 1.2, 500, seed).verdict(), Verdict::Slower, "{name} {seed}");
                assert_eq!(compared(draw, 1.0 / 1.2, 500, seed).verdict(), Verdict::Faster, "{name} {seed}");
            }
        }
        // The median of times that are spread over orders of magnitude is not known that well by 500.
        let found = (0..50).filter(|seed| compared(LOGNORMAL, 1.2, 500, *seed).verdict() == Verdict::Slower).count();
        assert!(found >= 25, "{found} of 50");
    }

    #[test]
    fn nothing_is_not_taken_for_a_change() {
        for (name, draw) in ALL {
            for requests in [20, 300] {
                let verdicts = (0..200).map(|seed| compared(draw, 1.0, requests, seed).verdict());
                let wrong = verdicts.filter(|verdict| matches!(verdict, Verdict::Slower | Verdict::Faster)).count();
                assert!(wrong <= 14, "{wrong} of 200, {name}, {requests} requests");
            }
        }
    }

    #[test]
    fn enough_requests_are_the_same_as_themselves() {
        for (name, draw) in ALL {
            let mut random = fastrand::Rng::with_seed(1);
            let latency = latency((0..20_000).map(|_| draw(&mut random)));
            let figures = Figures { latency, ..Figures::default() };
            let compared = Comparison::of(&figures, &figures);
            assert_eq!(compared.verdict(), Verdict::Same, "{name} {compared:?}");
            assert_eq!((compared.p50.unwrap().ratio(), compared.p95.unwrap().ratio()), (1.0, 1.0), "{name}");
            assert_eq!(compared, Comparison::of(&figures, &figures), "the same question has the same answer");
        }
    }

    #[test]
    fn a_change_is_what_its_interval_and_its_size_say() {
        for (micros, interval, expected) in [
            (1230, [1.18, 1.28], Verdict::Slower),
            (1060, [1.01, 1.30], Verdict::Slower),
            (800, [0.70, 0.99], Verdict::Faster),
            (5000, [0.99, 9.00], Verdict::Unclear),
            (1000, [0.92, 1.08], Verdict::Same),
            // Sure, and too little to matter.
            (1030, [1.01, 1.05], Verdict::Same),
            (1030, [1.01, 1.12], Verdict::Unclear),
            (1000, [0.90, 1.08], Verdict::Unclear),
        ] {
            let change = Change { a: Duration::from_millis(1), b: Duration::from_micros(micros), interval };
            assert_eq!(change.verdict(), expected, "{change:?}");
        }
    }

    #[test]
    fn as_many_times_the_requests_as_promised_make_it_clear() {
        for (times, expected) in [(1.0, Verdict::Same), (1.15, Verdict::Slower)] {
            let as_expected = (0..20).filter(|seed| {
                let few = compared(EXPONENTIAL, times, 100, *seed).p50.unwrap();
                // What few requests show is off by chance: this is about the promise if it were what it is in truth. It
                // is to be kept mostly, and not every second time, which four times the requests do.
                let change = Change { b: few.a.mul_f64(times), ..few };
                let many = 4 * 100 * change.times_as_many() as usize;
                compared(EXPONENTIAL, times, many, *seed).verdict() == expected
            });
            let as_expected = as_expected.count();
            assert!(as_expected >= 15, "{as_expected} of 20 are {expected:?}");
        }
    }

    #[test]
    fn too_few_are_not_compared() {
        let of = |requests: usize| compared(EXPONENTIAL, 2.0, requests, 0);
        assert_eq!((of(0).verdict(), of(0).requests), (Verdict::TooFew, [0, 0]));
        assert_eq!(of(19).verdict(), Verdict::TooFew);
        assert_ne!(of(20).verdict(), Verdict::TooFew);
        assert_eq!(of(99).p95, None);
        assert!(of(100).p95.is_some());
    }

    /// Figures of so many requests, of which some came to the origin, which took a tenth of their time.
    fn asked(requests: u64, asked: u64, millis: u64) -> Figures {
        let mut figures = Figures::default();
        for n in 0..requests {
            let sample = Sample { ending: Ending::Complete, ..Sample::of("/", Duration::from_millis(millis)) };
            let first_byte = Duration::from_millis(millis / 10);
            let upstream = (n < asked).then_some(Asked { first_byte, ..Asked::default() });
            figures.add(&Sample { upstream, ..sample }, Duration::MAX);
        }
        figures
    }

    #[test]
    fn the_app_is_judged_by_its_own_time_where_it_was_asked() {
        for (a, b, by, requests) in [
            (asked(50, 20, 100), asked(50, 30, 100), By::Upstream, [20, 30]),
            (asked(50, 19, 100), asked(60, 30, 100), By::Client, [50, 60]),
            (asked(0, 0, 100), asked(60, 30, 100), By::Client, [0, 60]),
        ] {
            let compared = Comparison::of(&a, &b);
            assert_eq!((compared.by, compared.requests), (by, requests));
        }
    }

    #[test]
    fn a_draw_is_the_percentile_of_requests_drawn_again() {
        let mut random = fastrand::Rng::with_seed(5);
        let durations: Vec<f64> = (0..60).map(|_| EXPONENTIAL(&mut random)).collect();
        let latency = latency(durations.iter().copied());
        for percent in [50, 80] {
            let rank = Latency::rank(60, percent) as usize;
            let mut again: Vec<f64> = (0..20_000)
                .map(|_| {
                    let mut drawn: Vec<f64> = (0..60).map(|_| durations[random.usize(..60)]).collect();
                    *drawn.select_nth_unstable_by(rank - 1, f64::total_cmp).1
                })
                .collect();
            let percentile = Percentile::new(&latency, percent);
            let mut drawn: Vec<f64> = (0..20_000).map(|_| percentile.draw(&mut || random.f64())).collect();
            again.sort_by(f64::total_cmp);
            drawn.sort_by(f64::total_cmp);
            // The distance of Kolmogorov and Smirnov, after durations that are in one bin are made one.
            let share = |of: &[f64], at: f64| of.partition_point(|known| *known <= at * 1.02) as f64 / 20_000.0;
            let nearest = |of: &[f64], at: f64| (share(of, at) - share(of, at / 1.04)).abs();
            for at in (0..20_000).step_by(500).map(|rank| again[rank]) {
                let (exact, found) = (share(&again, at), share(&drawn, at));
                let slack = 0.015 + nearest(&again, at * 1.02);
                assert!((exact - found).abs() <= slack, "{percent}: {exact} and {found} at {at}");
            }
        }
    }

    #[test]
    fn a_comparison_of_ten_million_takes_no_more_draws_than_one_of_a_thousand() {
        let draws = |requests: u64| {
            let mut latency = latency((1..=1000).map(|millis| f64::from(millis) / 1e3));
            while latency.count() < requests {
                let other = latency.clone();
                latency.merge(&other);
            }
            let (mut random, mut draws) = (fastrand::Rng::with_seed(1), 0u64);
            let mut uniform = || {
                draws += 1;
                random.f64()
            };
            for percent in [50, 95] {
                assert!(change(&latency, &latency, percent, &mut uniform).is_some());
            }
            draws
        };
        let (few, many) = (draws(1000), draws(10_000_000));
        assert!(many.abs_diff(few) < few / 50, "{few} and {many}");
        // Per draw of a ratio: two Beta of two gamma each, of three numbers, and where in the bin.
        assert!(many < 2 * DRAWS as u64 * 15, "{many}");
    }

    proptest! {
        #[test]
        fn any_durations_have_a_change_within_its_interval(
            a in vec(0u64..u64::MAX / 1000, 100..300),
            b in vec(prop_oneof![Just(0u64), 0u64..100_000, Just(u64::MAX)], 100..300),
            percent in prop_oneof![Just(50u64), Just(95)],
        ) {
            let nanos = |nanos: &[u64]| {
                let mut latency = Latency::default();
                nanos.iter().for_each(|nanos| latency.add(Duration::from_nanos(*nanos)));
                latency
            };
            let mut random = fastrand::Rng::with_seed(1);
            let change = change(&nanos(&a), &nanos(&b), percent, &mut || random.f64()).unwrap();
            let ([low, high], ratio) = (change.interval, change.ratio());
            prop_assert!(low.is_finite() && high.is_finite() && low > 0.0, "{:?}", change);
            prop_assert!(low <= ratio * 1.000001 && ratio <= high * 1.000001, "{:?} {}", change, ratio);
            prop_assert!(change.times_as_many() >= 2);
        }
    }
}
