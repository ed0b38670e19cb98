//! Whether the cache is too small for what it is asked, or larger than it need be.

use std::collections::BTreeMap;

use crate::{
    cache::{
        Bound, Sizing,
        sizing::{FACTORS, Size},
    },
    units,
};

use super::{Confidence, Facts, Figure, Finding, Remedy, Severity, Worth};

/// What its findings are called.
pub(super) const KIND: &str = "cache_size";
/// Which of the two it is.
const TOO_SMALL: &str = "too_small";
const LARGER_THAN_NEEDED: &str = "larger_than_needed";

/// Points of hit rate that make a larger size worth its memory.
const WORTH_IT: f64 = 3.0;
/// Points of hit rate that nobody misses.
const NOT_MISSED: f64 = 0.5;
/// A store is full that holds this share of what it may.
const FULL: f64 = 0.9;

/// What the simulation of other sizes says.
pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    facts.sizing.as_ref().and_then(sizing).into_iter().collect()
}

/// Where nothing is evicted, nothing.
fn sizing(sizing: &Sizing) -> Option<Finding> {
    let bound = sizing.bound?;
    let [half, real, double, four] = &sizing.sizes;
    let gain = |from: &Size, to: &Size| to.hit_rate_percent - from.hit_rate_percent;
    // Four times the memory has to be worth it over twice as much.
    let larger = match (gain(real, double) >= WORTH_IT, gain(double, four) >= WORTH_IT) {
        (_, true) => Some(four),
        (true, false) => Some(double),
        (false, false) => Some(four).filter(|four| gain(real, four) >= WORTH_IT),
    };
    if let Some(larger) = larger {
        return Some(too_small(sizing, bound, larger));
    }
    (is_full(real, bound) && gain(half, real) < NOT_MISSED).then(|| half_would_do(sizing, bound))
}

fn is_full(real: &Size, bound: Bound) -> bool {
    let (held, most) = match bound {
        Bound::Bytes => (real.bytes, real.max_bytes),
        Bound::Entries => (real.entries, real.max_entries),
    };
    held as f64 >= most as f64 * FULL
}

fn too_small(sizing: &Sizing, bound: Bound, larger: &Size) -> Finding {
    let (real, factor) = (sizing.real(), larger.factor);
    let gained = larger.hit_rate_percent - real.hit_rate_percent;
    let minutes = sizing.over.as_secs_f64() / 60.0;
    let per_minute = (minutes > 0.0).then(|| gained / 100.0 * sizing.requests as f64 / minutes);
    Finding {
        title: format!("A cache {factor} times as large would answer {gained:.1} % more of its requests"),
        because: format!(
            "responses leave the store for room; in a simulation of the last {minutes:.0} minutes with {:.0} % of the URLs, \
             {:.1} % of {} requests are answered from the store as it is, and {:.1} % from one {factor} times as large",
            sizing.sampling_rate_percent, real.hit_rate_percent, sizing.requests, larger.hit_rate_percent,
        ),
        remedy: Remedy::Config(snippet(sizing, bound, larger)),
        worth: Worth { upstream_requests_per_minute: per_minute, ..Worth::default() },
        ..about(TOO_SMALL, sizing, bound)
    }
}

fn half_would_do(sizing: &Sizing, bound: Bound) -> Finding {
    let [half, real, ..] = &sizing.sizes;
    let lost = real.hit_rate_percent - half.hit_rate_percent;
    Finding {
        title: "A cache half as large would answer as many requests".into(),
        because: format!(
            "the store is full; in a simulation of the last {:.0} minutes with {:.0} % of the URLs, {:.1} % of {} requests are \
             answered from it, and {lost:.1} % fewer from one half as large",
            sizing.over.as_secs_f64() / 60.0,
            sizing.sampling_rate_percent,
            real.hit_rate_percent,
            sizing.requests,
        ),
        remedy: Remedy::Config(snippet(sizing, bound, half)),
        ..about(LARGER_THAN_NEEDED, sizing, bound)
    }
}

/// The bound that evicts as it should be, and the other one where it would soon be in the way.
fn snippet(sizing: &Sizing, bound: Bound, wanted: &Size) -> String {
    let real = sizing.real();
    let max_bytes = || format!("max_bytes = {}\n", units::show_size(wanted.max_bytes));
    let max_entries = || format!("max_entries = {}\n", wanted.max_entries);
    // Both bounds were simulated as that much larger. As long as half of one is free, it changes nothing.
    let is_near = |held: u64, most: u64| held > most / 2;
    let keys = match bound {
        Bound::Bytes if is_near(wanted.entries, real.max_entries) => max_bytes() + &max_entries(),
        Bound::Bytes => max_bytes(),
        Bound::Entries if is_near(wanted.bytes, real.max_bytes) => max_entries() + &max_bytes(),
        Bound::Entries => max_entries(),
    };
    format!("[cache]\n{keys}")
}

fn about(subject: &str, sizing: &Sizing, bound: Bound) -> Finding {
    const RATES: [&str; FACTORS.len()] = [
        "hit_rate_percent_at_half",
        "hit_rate_percent_simulated",
        "hit_rate_percent_at_twice",
        "hit_rate_percent_at_four_times",
    ];
    let real = sizing.real();
    let rates = RATES.into_iter().zip(&sizing.sizes).map(|(name, size)| (name, Figure::Number(size.hit_rate_percent)));
    let evidence = BTreeMap::from_iter(rates.chain([
        ("requests", Figure::Count(sizing.requests)),
        ("over_seconds", Figure::Number(sizing.over.as_secs_f64())),
        ("hit_rate_percent_measured", Figure::Number(sizing.measured_hit_rate_percent)),
        ("sampling_rate_percent", Figure::Number(sizing.sampling_rate_percent)),
        ("bound_that_evicts", Figure::Text(bound.name().into())),
        ("max_bytes", Figure::Count(real.max_bytes)),
        ("max_entries", Figure::Count(real.max_entries)),
        ("held_bytes", Figure::Count(real.bytes)),
        ("held_urls", Figure::Count(real.entries)),
    ]));
    Finding {
        kind: KIND,
        severity: Severity::Info,
        confidence: Confidence::Measured,
        endpoint: None,
        subject: subject.into(),
        title: String::new(),
        because: String::new(),
        remedy: Remedy::Sentence(String::new()),
        worth: Worth::default(),
        evidence,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// Six thousand requests in an hour to a full store of 100 MiB and 10 000 entries, with these hit rates.
    fn simulated(rates: [f64; 4], bound: Option<Bound>) -> Sizing {
        let mut sizes = [Size::default(); 4];
        for ((size, factor), hit_rate_percent) in sizes.iter_mut().zip(FACTORS).zip(rates) {
            let (max_bytes, max_entries) = ((100.0 * factor) as u64 * MIB, (10_000.0 * factor) as u64);
            let (bytes, entries) = match bound {
                Some(Bound::Entries) => (max_bytes / 10, max_entries),
                _ => (max_bytes, max_entries / 10),
            };
            *size = Size { factor, max_bytes, max_entries, hit_rate_percent, bytes, entries };
        }
        Sizing {
            sizes,
            requests: 6000,
            measured_hit_rate_percent: rates[1],
            sampling_rate_percent: 100.0,
            sampled_keys: 1000,
            bound,
            over: Duration::from_secs(3600),
        }
    }

    #[test]
    fn what_is_advised_for_which_rates() {
        const LESS: Option<&str> = Some(LARGER_THAN_NEEDED);
        const MORE: Option<&str> = Some(TOO_SMALL);
        for (rates, kind, factor) in [
            ([50.0, 60.0, 64.0, 66.0], MORE, "200MiB"),
            ([50.0, 60.0, 63.0, 66.0], MORE, "400MiB"),
            ([50.0, 60.0, 62.0, 66.0], MORE, "400MiB"),
            ([50.0, 60.0, 61.5, 63.0], MORE, "400MiB"),
            ([50.0, 60.0, 61.0, 62.9], None, ""),
            ([59.4, 60.0, 60.0, 60.0], None, ""),
            ([59.6, 60.0, 60.0, 60.0], LESS, "50MiB"),
            // What a larger one gains counts for more than what a smaller one loses.
            ([59.6, 60.0, 64.0, 64.0], MORE, "200MiB"),
        ] {
            let found = sizing(&simulated(rates, Some(Bound::Bytes)));
            assert_eq!(found.as_ref().map(|finding| &*finding.subject), kind, "{rates:?}");
            let Some(finding) = found else { continue };
            assert_eq!(finding.remedy, Remedy::Config(format!("[cache]\nmax_bytes = \"{factor}\"\n")), "{rates:?}");
        }
    }

    #[test]
    fn where_nothing_is_evicted_nothing_is_said() {
        for rates in [[60.0; 4], [50.0, 60.0, 70.0, 80.0]] {
            assert_eq!(sizing(&simulated(rates, None)), None);
        }
    }

    #[test]
    fn what_is_not_full_is_not_called_too_large() {
        let mut simulated = simulated([60.0; 4], Some(Bound::Bytes));
        simulated.sizes[1].bytes = 80 * MIB;
        assert_eq!(sizing(&simulated), None);
    }

    #[test]
    fn it_is_worth_the_requests_that_are_gained() {
        let finding = sizing(&simulated([50.0, 60.0, 65.0, 66.0], Some(Bound::Bytes))).unwrap();
        let worth = finding.worth.upstream_requests_per_minute.unwrap();
        assert!((worth - 5.0).abs() < 1e-9, "{worth}");
        assert_eq!(finding.id(), "cache_size:too_small");
    }

    #[test]
    fn the_bound_that_evicts_is_named_and_the_other_where_it_is_near() {
        let rates = [50.0, 60.0, 65.0, 66.0];
        let advised = |simulated: &Sizing| match sizing(simulated).unwrap().remedy {
            Remedy::Config(lines) => lines,
            Remedy::Sentence(sentence) => panic!("{sentence}"),
        };
        let mut by_entries = simulated(rates, Some(Bound::Entries));
        assert_eq!(advised(&by_entries), "[cache]\nmax_entries = 20000\n");
        by_entries.sizes[2].bytes = 51 * MIB;
        assert_eq!(advised(&by_entries), "[cache]\nmax_entries = 20000\nmax_bytes = \"200MiB\"\n");
        let mut by_bytes = simulated(rates, Some(Bound::Bytes));
        by_bytes.sizes[2].entries = 5001;
        assert_eq!(advised(&by_bytes), "[cache]\nmax_bytes = \"200MiB\"\nmax_entries = 20000\n");
    }
}
