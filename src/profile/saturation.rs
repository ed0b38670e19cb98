//! How many requests the app really serves at once, told from how long it takes when it has how many.
//!
//! An app with `c` workers takes its time `s` for each of up to `c` requests; with `n` more than that, a request waits
//! for those before it, and is answered after `s·n/c` where requests come at any time, or after `s·⌈n/c⌉` where they come
//! in step with each other, as clients do who are all answered at once. So the time over the number in flight is flat up
//! to a bend and grows from there, and the bend is at `c`. The bend that fits the measured times best is taken, and only
//! where both sides of it were seen.

use std::time::Duration;

use super::{
    latency::Latency,
    sample::{Asked, Ending, Sample},
};

/// Numbers in flight that are each looked at by itself.
const EXACT: u32 = 64;
/// Above them, steps per doubling.
const STEPS: u32 = 8;
/// Above this many they are all one.
const MOST: u32 = 4096;
const LEVELS: usize = EXACT as usize + (STEPS * 6) as usize;
/// Requests on each side of the bend without which nothing is said.
const ENOUGH: u64 = 30;
/// More requests at one level do not make it weigh more.
const WEIGHT: u64 = 500;
/// Shares of requests that come in step with each other, which are tried.
const IN_STEP: [f64; 3] = [0.0, 0.5, 1.0];
/// The time at the far end must be at least this many times that of an idle app.
const GROWN: f64 = 1.4;

/// What is known of how much the app can do at once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Saturation {
    /// Requests that it was asked and answered, in the last hour or two.
    pub requests: u64,
    /// The most that were seen in flight at once.
    pub most_in_flight: u32,
    /// How many it serves at once. `None` while that was not seen: it may be any number from where it was busiest on.
    pub serves_at_once: Option<u32>,
    /// How long it takes for one when it is not busy: 95 of 100 take no longer.
    pub unqueued_p95: Option<Duration>,
    /// How long it takes, waiting for a turn included: 95 of 100 take no longer.
    pub p95: Option<Duration>,
    /// Which share of that is waiting for others, 0 to 100.
    pub queueing_share_of_p95_percent: Option<f64>,
}

/// Times by how many were in flight, of this hour and the one before. At most 112 of 8 KiB each per hour.
#[derive(Clone, Debug, Default)]
pub(super) struct Levels {
    hour: u64,
    now: Vec<Latency>,
    before: Vec<Latency>,
}

impl Levels {
    pub(super) fn add(&mut self, sample: &Sample, hour: u64) {
        let Some(Asked { queue, first_byte, in_flight, .. }) = sample.upstream else { return };
        if sample.ending != Ending::Complete || in_flight == 0 {
            return;
        }
        if hour != self.hour {
            let now = std::mem::take(&mut self.now);
            self.before = if hour == self.hour + 1 { now } else { Vec::new() };
            self.hour = hour;
        }
        let at = level(in_flight);
        if self.now.len() <= at {
            self.now.resize_with(at + 1, Latency::default);
        }
        self.now[at].add(queue + first_byte);
    }

    /// What that says.
    pub(super) fn saturation(&self) -> Saturation {
        let mut levels = vec![Latency::default(); self.now.len().max(self.before.len())];
        for times in [&self.now, &self.before] {
            levels.iter_mut().zip(times).for_each(|(level, times)| level.merge(times));
        }
        let measured: Vec<Measured> = levels
            .iter()
            .enumerate()
            .filter(|(_, times)| times.count() > 0)
            .map(|(at, times)| Measured {
                in_flight: in_flight(at),
                requests: times.count(),
                mean: times.sum().as_secs_f64() / times.count() as f64,
            })
            .collect();
        let serves_at_once = bend(&measured);
        let p95 = |upto: u32| {
            let mut all = Latency::default();
            let within = levels.iter().enumerate().filter(|(at, _)| in_flight(*at) <= f64::from(upto));
            within.for_each(|(_, times)| all.merge(times));
            all.summary().map(|summary| summary.p95)
        };
        let (unqueued_p95, p95) = (serves_at_once.and_then(p95), p95(u32::MAX));
        Saturation {
            requests: levels.iter().map(Latency::count).sum(),
            most_in_flight: measured.last().map_or(0, |last| last.in_flight.round() as u32),
            serves_at_once,
            unqueued_p95,
            p95,
            queueing_share_of_p95_percent: unqueued_p95
                .zip(p95)
                .map(|(unqueued, all)| ((1.0 - unqueued.as_secs_f64() / all.as_secs_f64()) * 100.0).clamp(0.0, 100.0)),
        }
    }
}

/// Where times with so many in flight are kept.
fn level(in_flight: u32) -> usize {
    if in_flight <= EXACT {
        return in_flight.max(1) as usize - 1;
    }
    let doublings = f64::from(in_flight.min(MOST) - 1) / f64::from(EXACT);
    (EXACT as usize + (doublings.log2() * f64::from(STEPS)) as usize).min(LEVELS - 1)
}

/// The number in flight that a level stands for.
fn in_flight(level: usize) -> f64 {
    if level < EXACT as usize {
        return level as f64 + 1.0;
    }
    let doublings = (level as f64 - f64::from(EXACT) + 0.5) / f64::from(STEPS);
    f64::from(EXACT) * doublings.exp2()
}

/// How long requests took with so many in flight.
struct Measured {
    in_flight: f64,
    requests: u64,
    mean: f64,
}

/// The number of workers whose times are nearest to the measured ones.
fn bend(measured: &[Measured]) -> Option<u32> {
    let busiest = measured.last()?.in_flight;
    let flat = fit(measured, f64::INFINITY, 0.0);
    let fits = (1..=busiest as u32).flat_map(|workers| {
        IN_STEP.into_iter().map(move |in_step| (workers, fit(measured, f64::from(workers), in_step)))
    });
    let (workers, best) = fits.min_by(|(_, a), (_, b)| a.error.total_cmp(&b.error))?;
    let side = |beyond: bool| {
        let of = measured.iter().filter(|measured| (measured.in_flight > f64::from(workers)) == beyond);
        of.map(|measured| measured.requests).sum::<u64>()
    };
    let beyond = measured.iter().filter(|measured| measured.in_flight > f64::from(workers));
    let grown = beyond.map(|measured| measured.mean).fold(0.0, f64::max) / best.alone;
    // A few slow requests make no queue: the bend must explain most of what a flat line does not.
    let clear = best.error < flat.error / 4.0 && grown >= GROWN;
    (clear && side(false) >= ENOUGH && side(true) >= ENOUGH).then_some(workers)
}

struct Fit {
    /// The time of one request when the app is not busy, in seconds.
    alone: f64,
    /// Sum of squared distances, each as a share of what was measured.
    error: f64,
}

/// The best time of one request for so many workers, where this share of the requests comes in step: least squares of the
/// distances as shares.
fn fit(measured: &[Measured], workers: f64, in_step: f64) -> Fit {
    let slower = |measured: &Measured| {
        let each = measured.in_flight / workers;
        (each * (1.0 - in_step) + each.ceil() * in_step).max(1.0) / measured.mean.max(1e-9)
    };
    let weight = |measured: &Measured| measured.requests.min(WEIGHT) as f64;
    let sum =
        |of: &dyn Fn(&Measured) -> f64| measured.iter().map(|measured| weight(measured) * of(measured)).sum::<f64>();
    let alone = sum(&slower) / sum(&|measured| slower(measured).powi(2));
    Fit { alone, error: sum(&|measured| (1.0 - alone * slower(measured)).powi(2)) }
}

#[cfg(test)]
mod tests {
    use std::{cmp::Reverse, collections::BinaryHeap};

    use proptest::prelude::*;

    use super::*;

    /// An app with so many workers and one queue, and clients who each ask again as soon as they are answered: the
    /// times and numbers in flight as they would be measured, one call per phase of so many clients.
    struct App {
        /// When each worker is free, in nanoseconds.
        free: BinaryHeap<Reverse<u64>>,
        levels: Levels,
        now: u64,
    }

    impl App {
        fn new(workers: u32) -> Self {
            Self { free: (0..workers).map(|_| Reverse(0)).collect(), levels: Levels::default(), now: 0 }
        }

        fn asked_by(&mut self, clients: u32, requests: u32, mut service: impl FnMut() -> u64) {
            let mut answers: BinaryHeap<Reverse<u64>> = (0..clients).map(|_| Reverse(self.now)).collect();
            let mut under_way: BinaryHeap<Reverse<u64>> = BinaryHeap::new();
            for _ in 0..requests {
                let Reverse(comes) = answers.pop().unwrap();
                while under_way.peek().is_some_and(|Reverse(ends)| *ends <= comes) {
                    under_way.pop();
                }
                let Reverse(free) = self.free.pop().unwrap();
                let ends = free.max(comes) + service();
                self.free.push(Reverse(ends));
                under_way.push(Reverse(ends));
                answers.push(Reverse(ends));
                self.now = self.now.max(ends);
                let asked = Asked {
                    first_byte: Duration::from_nanos(ends - comes),
                    in_flight: under_way.len() as u32,
                    ..Asked::default()
                };
                self.levels.add(&Sample { upstream: Some(asked), ..Sample::of("/", asked.first_byte) }, 0);
            }
        }
    }

    /// Exponential times around 20 ms: as uneven as requests are.
    fn uneven(seed: u64) -> impl FnMut() -> u64 {
        let mut random = fastrand::Rng::with_seed(seed);
        move || (-random.f64().max(1e-9).ln() * 2e7) as u64
    }

    #[test]
    fn an_app_with_four_workers_serves_four_at_once() {
        let mut app = App::new(4);
        for clients in 1..=12 {
            app.asked_by(clients, 200, || 20_000_000);
        }
        let saturation = app.levels.saturation();
        assert_eq!(saturation.serves_at_once, Some(4), "{saturation:?}");
        assert_eq!((saturation.requests, saturation.most_in_flight), (2400, 12));
        // Most of the slowest were among twelve: 60 ms, of which 20 are work.
        let share = saturation.queueing_share_of_p95_percent.unwrap();
        assert!((60.0..70.0).contains(&share), "{share}");
    }

    #[test]
    fn what_was_never_busy_is_not_judged() {
        let mut app = App::new(8);
        for clients in 1..=6 {
            app.asked_by(clients, 500, uneven(1));
        }
        let saturation = app.levels.saturation();
        assert_eq!((saturation.serves_at_once, saturation.queueing_share_of_p95_percent), (None, None));
        assert_eq!(Levels::default().saturation().serves_at_once, None);
    }

    #[test]
    fn what_was_always_busy_is_not_judged_either() {
        // From 12 to 16 in flight the times say how much it does, and not with how many.
        let mut levels = Levels::default();
        for in_flight in 12..=16u32 {
            for _ in 0..100 {
                let first_byte = Duration::from_millis(5) * in_flight;
                let asked = Asked { first_byte, in_flight, ..Asked::default() };
                levels.add(&Sample { upstream: Some(asked), ..Sample::of("/", first_byte) }, 0);
            }
        }
        assert_eq!(levels.saturation().serves_at_once, None);
    }

    #[test]
    fn hours_go() {
        let mut levels = Levels::default();
        let asked = Sample::of("/", Duration::from_millis(2)).asked(Duration::from_millis(1));
        for (hour, expected) in [(7, 1), (7, 2), (8, 3), (9, 2), (12, 1)] {
            levels.add(&asked, hour);
            assert_eq!(levels.saturation().requests, expected, "in hour {hour}");
        }
    }

    #[test]
    fn levels_are_in_order_and_bounded() {
        for n in 1..10_000 {
            assert!(level(n) <= level(n + 1) && level(n + 1) < LEVELS);
            if n <= MOST {
                let stands_for = in_flight(level(n)) / f64::from(n);
                assert!((0.9..1.1).contains(&stands_for), "{n} as {stands_for}");
            }
        }
        assert_eq!(level(0), 0);
        assert_eq!(level(u32::MAX), LEVELS - 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_number_of_workers_is_found(workers in 1u32..24, seed: u64) {
            let mut app = App::new(workers);
            for clients in 1..=workers * 3 + 2 {
                app.asked_by(clients, 300, uneven(seed));
            }
            let found = app.levels.saturation().serves_at_once;
            // With uneven times a busy app looks a little smaller or larger than it is.
            let slack = 1 + workers / 8;
            prop_assert!(found.is_some_and(|found| found.abs_diff(workers) <= slack), "{:?} of {}", found, workers);
        }
    }
}
