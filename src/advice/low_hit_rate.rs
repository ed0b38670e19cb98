//! A cache that answers few of the requests that it looks at.

use std::{collections::BTreeMap, time::Duration};

use super::{Confidence, Facts, Figure, Finding, Remedy, Severity, Worth, facts::per_minute, say};
use crate::{
    cache::{Evicted, Skip},
    profile::CacheUse,
};

pub(super) const KIND: &str = "low_hit_rate";

const LOW_PERCENT: f64 = 50.0;
/// Requests that the cache looked at.
const FEWEST: u64 = 100;
/// Until then, what is asked for often has not all been asked for twice.
const WARM_UP: Duration = Duration::from_secs(600);
/// Percentage points that there must be to win.
const WORTH_IT_POINTS: f64 = 10.0;
/// As many reasons are named.
const REASONS: usize = 3;
/// Of the responses that were stored, as many in percent may have left for want of room.
const MUCH_EVICTED_PERCENT: f64 = 10.0;

/// One finding, where the rate is below half and could be better.
///
/// How high the rate could be depends on what is asked for: where it is not known, this is only a hint.
pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    Vec::from_iter(low(facts))
}

fn low(facts: &Facts) -> Option<Finding> {
    let uses = |used| facts.hour.endpoints.iter().map(|row| row.figures.cache(used)).sum::<u64>();
    let (hits, misses) = (uses(CacheUse::Hit), uses(CacheUse::Miss));
    let looked_at = hits + misses;
    if looked_at < FEWEST || facts.uptime < WARM_UP {
        return None;
    }
    let rate = hits as f64 * 100.0 / looked_at as f64;
    let achievable = facts.achievable_hit_rate_percent;
    if rate >= LOW_PERCENT || achievable.is_some_and(|best| best < LOW_PERCENT || best < rate + WORTH_IT_POINTS) {
        return None;
    }
    let (severity, confidence) = match achievable {
        Some(_) => (Severity::Warning, Confidence::Measured),
        None => (Severity::Info, Confidence::Candidate),
    };
    let more = achievable.map(|best| (best - rate) / 100.0 * looked_at as f64);
    let mut evidence = BTreeMap::from([
        ("requests", Figure::Count(looked_at)),
        ("hits", Figure::Count(hits)),
        ("hit_rate_percent", Figure::Number(rate)),
        ("window_seconds", Figure::Number(facts.hour.lasts.as_secs_f64())),
    ]);
    evidence.extend(achievable.map(|best| ("achievable_hit_rate_percent", Figure::Number(best))));
    Some(Finding {
        kind: KIND,
        severity,
        confidence,
        endpoint: None,
        subject: String::new(),
        title: match achievable {
            Some(best) => {
                format!("{} of requests are hits, and {} could be", say::percent(rate), say::percent(best))
            }
            None => format!("{} of requests are hits", say::percent(rate)),
        },
        because: because(facts, hits, looked_at),
        remedy: Remedy::Sentence(remedy(facts)),
        worth: Worth {
            upstream_requests_per_minute: more.and_then(|more| per_minute(more, facts.hour.lasts)),
            ..Worth::default()
        },
        evidence,
    })
}

fn because(facts: &Facts, hits: u64, looked_at: u64) -> String {
    let last = say::last(facts.hour.lasts);
    let mut said = format!("Of {looked_at} requests of {last} that the cache looked at, it answered {hits}.");
    let reasons = reasons(facts);
    if !reasons.is_empty() {
        let named: Vec<String> = reasons.iter().map(|(why, count)| format!("{} ({count})", why.name())).collect();
        said += &format!(" What came from the app was not stored most often for {}.", say::list(&named));
    }
    if crowded_out(facts) {
        said += " Stored answers leave for want of room.";
    }
    said
}

fn remedy(facts: &Facts) -> String {
    match reasons(facts).first() {
        _ if crowded_out(facts) => {
            "Give the cache more room, with a larger cache.max_bytes or cache.max_entries.".into()
        }
        Some((why, _)) => say::sentence(why.remedy()),
        None => "What is stored is seldom asked for again in its time: longer lifetimes, from the app or as ttl of a \
                 route, would help, and so would keys without what makes no difference."
            .into(),
    }
}

/// Why answers were not stored, the most frequent reason first.
fn reasons(facts: &Facts) -> Vec<(Skip, u64)> {
    let mut reasons: Vec<(Skip, u64)> =
        facts.cache.total.skips.iter().copied().filter(|(_, count)| *count > 0).collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    reasons.truncate(REASONS);
    reasons
}

fn crowded_out(facts: &Facts) -> bool {
    let left = facts.cache.evictions.iter().filter(|(why, _)| *why == Evicted::Capacity).map(|(_, count)| *count);
    let (left, stored) = (left.sum::<u64>(), facts.cache.total.stored);
    stored > 0 && left as f64 * 100.0 / stored as f64 >= MUCH_EVICTED_PERCENT
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::LASTS, *};
    use crate::{
        cache::{self, Stats},
        profile::{Endpoint, Figures, Sample, Snapshot},
    };

    fn facts(hits: u64, misses: u64, uptime: u64, achievable: Option<f64>) -> Facts {
        let mut figures = Figures::default();
        let uses = [(CacheUse::Hit, hits), (CacheUse::Miss, misses), (CacheUse::Bypass, 1000)];
        for (cache, count) in uses {
            (0..count).for_each(|_| figures.add(&Sample { cache, ..Sample::of("/", Duration::ZERO) }, Duration::MAX));
        }
        let endpoints = vec![Endpoint { endpoint: "/".into(), method: "GET", figures }];
        let hour = Snapshot { endpoints, lasts: LASTS, ..Snapshot::default() };
        let uptime = Duration::from_secs(uptime);
        Facts { hour, uptime, achievable_hit_rate_percent: achievable, ..Facts::default() }
    }

    #[test]
    fn thresholds() {
        for (hits, misses, uptime, achievable, expected) in [
            (49, 51, 600, None, Some(Severity::Info)),
            (50, 50, 600, None, None),
            (49, 50, 600, None, None),
            (0, 1000, 599, None, None),
            (0, 0, 600, None, None),
            (40, 60, 600, Some(90.0), Some(Severity::Warning)),
            (40, 60, 600, Some(50.0), Some(Severity::Warning)),
            // No more than what is asked for allows.
            (40, 60, 600, Some(49.9), None),
            (45, 55, 600, Some(54.0), None),
        ] {
            let found = find(&facts(hits, misses, uptime, achievable));
            let severity = found.first().map(|finding| finding.severity);
            assert_eq!(severity, expected, "{hits} {misses} {uptime} {achievable:?}");
        }
    }

    fn with_reasons(skips: &[(Skip, u64)], evicted: u64) -> Finding {
        let stats = Stats::default();
        let counts = stats.of_route(None);
        skips.iter().for_each(|(why, count)| (0..*count).for_each(|_| counts.skipped(*why)));
        (0..100).for_each(|_| counts.stored());
        (0..evicted).for_each(|_| stats.evicted(cache::Evicted::Capacity));
        let facts = Facts { cache: stats.snapshot(), ..facts(20, 80, 600, Some(80.0)) };
        find(&facts).remove(0)
    }

    #[test]
    fn the_top_reasons_are_named() {
        let skips = [(Skip::Status, 1), (Skip::Private, 5), (Skip::NoFreshness, 30), (Skip::SetCookie, 7)];
        let finding = with_reasons(&skips, 9);
        assert_eq!(finding.title, "20 % of requests are hits, and 80 % could be");
        assert_eq!(
            finding.because,
            "Of 100 requests of the last 10 minutes that the cache looked at, it answered 20. What came from the app was \
             not stored most often for no-freshness (30), set-cookie (7) and private (5)."
        );
        let expected = "Nobody says how long it is fresh: the app with Cache-Control: max-age, or a route with ttl.";
        assert_eq!(finding.remedy, Remedy::Sentence(expected.into()));
        // 60 of 100 more, in ten minutes.
        assert_eq!(finding.worth.upstream_requests_per_minute.map(f64::round), Some(6.0));
    }

    #[test]
    fn want_of_room_is_the_reason_where_answers_leave_for_it() {
        let finding = with_reasons(&[(Skip::NoFreshness, 30)], 10);
        assert!(finding.because.ends_with("Stored answers leave for want of room."), "{finding:#?}");
        assert!(matches!(&finding.remedy, Remedy::Sentence(sentence) if sentence.contains("cache.max_bytes")));
        let finding = with_reasons(&[], 0);
        assert!(matches!(&finding.remedy, Remedy::Sentence(sentence) if sentence.contains("longer lifetimes")));
    }
}
