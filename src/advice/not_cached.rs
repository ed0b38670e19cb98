//! Why answers are not cached, and what would have to change.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{Confidence, Facts, Figure, Finding, Remedy, Severity, Worth, say};
use crate::{
    cache::{self, Bypass, Outcome, Skip},
    units,
};

pub(super) const KIND: &str = "not_cached";

/// Requests, whatever the cache did with them.
const FEWEST: u64 = 100;
/// A reason is told from this share of all requests on.
const LEAST_PERCENT: f64 = 5.0;
/// The most frequent ones are told.
const MOST: usize = 3;
/// A route that has so many of the requests in percent is named.
const MOSTLY_PERCENT: f64 = 80.0;
/// How much larger bodies may become at one go, and what share of the store one of them may take.
const GROWTH: u64 = 4;
const SHARE_OF_STORE: u64 = 8;

/// A reason why the cache did not keep an answer, or took no part in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    NotStored(Skip),
    Bypassed(Bypass),
}

impl Why {
    fn name(self) -> &'static str {
        match self {
            Self::NotStored(why) => why.name(),
            Self::Bypassed(why) => why.name(),
        }
    }

    fn remedy(self) -> &'static str {
        match self {
            Self::NotStored(why) => why.remedy(),
            Self::Bypassed(why) => why.remedy(),
        }
    }

    /// Whether the app's developer or the operator could change it, and has not said that it is meant so. What belongs to
    /// the request, such as its method, and what follows from another reason, is nobody's to change.
    fn can_change(self) -> bool {
        match self {
            Self::NotStored(why) => !matches!(why, Skip::Status | Skip::Truncated | Skip::Purged),
            Self::Bypassed(why) => matches!(why, Bypass::Cookie | Bypass::Authorization | Bypass::Unkeyed),
        }
    }

    fn count(self, figures: &cache::Figures) -> u64 {
        match self {
            Self::NotStored(why) => of(&figures.skips, why),
            Self::Bypassed(why) => of(&figures.bypasses, why),
        }
    }
}

fn of<T: PartialEq>(counts: &[(T, u64)], word: T) -> u64 {
    counts.iter().find(|(known, _)| *known == word).map_or(0, |(_, count)| *count)
}

/// The most frequent reasons, one finding each. Whether an answer may be kept is for those who know the app to say.
pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    let total = &facts.cache.total;
    let requests: u64 = Outcome::ALL.iter().map(|outcome| total.outcome(*outcome)).sum();
    if requests < FEWEST {
        return Vec::new();
    }
    let skips = Skip::ALL.iter().copied().map(Why::NotStored);
    let reasons = skips.chain(Bypass::ALL.iter().copied().map(Why::Bypassed)).filter(|why| why.can_change());
    let mut reasons: Vec<(Why, u64)> = reasons.map(|why| (why, why.count(total))).collect();
    reasons.retain(|(_, count)| *count as f64 * 100.0 / requests as f64 >= LEAST_PERCENT);
    reasons.sort_by_key(|(_, count)| Reverse(*count));
    reasons.into_iter().take(MOST).map(|(why, count)| finding(facts, why, count, requests)).collect()
}

fn finding(facts: &Facts, why: Why, count: u64, requests: u64) -> Finding {
    let share = count as f64 * 100.0 / requests as f64;
    let route = mostly(facts, why, count);
    let (what, word) = match why {
        Why::NotStored(_) => ("the answers were not stored", why.name()),
        Why::Bypassed(_) => ("the cache took no part", why.name()),
    };
    let last = say::last(facts.counted_for);
    let mostly = route.map(|name| format!(", most of them of the route {name}")).unwrap_or_default();
    Finding {
        kind: KIND,
        severity: Severity::Info,
        confidence: Confidence::Candidate,
        endpoint: None,
        // Both lists have cookie and authorization.
        subject: match why {
            Why::NotStored(_) => word.into(),
            Why::Bypassed(_) => format!("bypass-{word}"),
        },
        title: format!("{} of requests are not cached: {word}", say::percent(share)),
        because: format!("For {count} of the {requests} requests of {last}, {what} for the reason {word}{mostly}."),
        remedy: remedy(facts, why),
        worth: Worth::default(),
        evidence: BTreeMap::from([
            ("requests", Figure::Count(requests)),
            ("not_cached", Figure::Count(count)),
            ("share_percent", Figure::Number(share)),
            ("reason", Figure::Text(word.into())),
            ("window_seconds", Figure::Number(facts.counted_for.as_secs_f64())),
        ]),
    }
}

/// The route that has most of them.
fn mostly(facts: &Facts, why: Why, count: u64) -> Option<&str> {
    let (name, most) =
        facts.cache.routes.iter().map(|(name, figures)| (name, why.count(figures))).max_by_key(|(_, n)| *n)?;
    (most as f64 * 100.0 / count as f64 >= MOSTLY_PERCENT).then_some(&**name)
}

/// Lines where a key helps, and the cache's own words where it takes somebody who knows the app.
fn remedy(facts: &Facts, why: Why) -> Remedy {
    let words = say::sentence(why.remedy());
    match why {
        // Which answers may be given a lifetime is for the rule that has watched them to say.
        Why::NotStored(Skip::NoFreshness) => Remedy::Sentence(format!(
            "{words} Findings of the kind {} say for which endpoints that is safe, and what it is worth.",
            super::cacheable::KIND
        )),
        Why::NotStored(Skip::TooLarge) => larger_bodies(facts).unwrap_or(Remedy::Sentence(words)),
        _ => Remedy::Sentence(words),
    }
}

/// Room for larger bodies, where the store has it.
fn larger_bodies(facts: &Facts) -> Option<Remedy> {
    let cache::Settings { max_object_bytes, max_bytes, .. } = *facts.cache_settings;
    let larger = max_object_bytes.saturating_mul(GROWTH).min(max_bytes / SHARE_OF_STORE);
    (larger > max_object_bytes).then(|| {
        let (larger, now) = (units::show_size(larger), units::show_size(max_object_bytes));
        Remedy::Config(format!(
            "# It is {now} now. A few large bodies push out many small ones.\n[cache]\nmax_object_bytes = {larger}\n"
        ))
    })
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::{super::fixture::rows, *};
    use crate::cache::Stats;

    /// A hundred requests, and what became of some of them, by route.
    fn facts(reasons: &[(Option<&str>, Why, u64)]) -> Facts {
        let stats = Stats::default();
        (0..100).for_each(|_| stats.of_route(None).answered(Outcome::Miss));
        for (route, why, count) in reasons {
            let counts = stats.of_route(*route);
            (0..*count).for_each(|_| match why {
                Why::NotStored(why) => counts.skipped(*why),
                Why::Bypassed(why) => counts.bypassed(*why),
            });
        }
        let hour = rows(&[
            ("/few", 10, Duration::ZERO, 0),
            ("/many/{id}", 60, Duration::ZERO, 0),
            ("_other", 90, Duration::ZERO, 0),
        ]);
        Facts { cache: stats.snapshot(), hour, counted_for: Duration::from_secs(600), ..Facts::default() }
    }

    fn ids(reasons: &[(Option<&str>, Why, u64)]) -> Vec<String> {
        find(&facts(reasons)).iter().map(Finding::id).collect()
    }

    const NO_FRESHNESS: Why = Why::NotStored(Skip::NoFreshness);

    #[test]
    fn thresholds() {
        assert_eq!(ids(&[(None, NO_FRESHNESS, 4)]), [""; 0]);
        assert_eq!(ids(&[(None, NO_FRESHNESS, 5)]), ["not_cached:no-freshness"]);
        let mut few = facts(&[(None, NO_FRESHNESS, 90)]);
        few.cache.total.outcomes[Outcome::Miss as usize].1 = 99;
        assert_eq!(find(&few), []);
    }

    #[test]
    fn the_three_most_frequent_are_told() {
        let reasons = [
            (None, NO_FRESHNESS, 10),
            (None, Why::NotStored(Skip::Cookie), 30),
            (None, Why::Bypassed(Bypass::Cookie), 20),
            (None, Why::NotStored(Skip::Private), 6),
        ];
        assert_eq!(ids(&reasons), ["not_cached:cookie", "not_cached:bypass-cookie", "not_cached:no-freshness"]);
    }

    #[test]
    fn what_nobody_can_change_is_not_told() {
        for why in [
            Why::Bypassed(Bypass::Method),
            Why::Bypassed(Bypass::HitForMiss),
            Why::Bypassed(Bypass::Disabled),
            Why::Bypassed(Bypass::RequestNoStore),
            Why::NotStored(Skip::Status),
            Why::NotStored(Skip::Purged),
        ] {
            assert_eq!(ids(&[(None, why, 90)]), [""; 0], "{why:?}");
        }
    }

    #[test]
    fn what_has_no_lifetime_is_for_another_rule_to_give_one() {
        let finding = find(&facts(&[(None, NO_FRESHNESS, 31)])).remove(0);
        assert_eq!(finding.title, "31 % of requests are not cached: no-freshness");
        assert_eq!(
            finding.because,
            "For 31 of the 100 requests of the last 10 minutes, the answers were not stored for the reason no-freshness."
        );
        let Remedy::Sentence(words) = finding.remedy else { panic!("{:#?}", finding.remedy) };
        assert!(
            words.ends_with(
                "Findings of the kind cacheable say for which endpoints that is safe, and what it is worth."
            ),
            "{words}"
        );
    }

    #[test]
    fn a_route_that_has_most_of_them_is_named() {
        let finding = find(&facts(&[(Some("shop"), NO_FRESHNESS, 80), (None, NO_FRESHNESS, 20)])).remove(0);
        assert!(finding.because.ends_with("no-freshness, most of them of the route shop."), "{finding:#?}");
        let finding = find(&facts(&[(Some("shop"), NO_FRESHNESS, 79), (None, NO_FRESHNESS, 21)])).remove(0);
        assert!(finding.because.ends_with("no-freshness."), "{finding:#?}");
    }

    #[test]
    fn large_bodies_are_given_room_where_there_is_some() {
        let mut facts = facts(&[(None, Why::NotStored(Skip::TooLarge), 50)]);
        for (max_bytes, max_object_bytes, expected) in
            [(256, 8, Some("\"32MiB\"")), (128, 8, Some("\"16MiB\"")), (64, 8, None), (1024, 128, None)]
        {
            let settings = Arc::make_mut(&mut facts.cache_settings);
            (settings.max_bytes, settings.max_object_bytes) = (max_bytes << 20, max_object_bytes << 20);
            let lines = match &find(&facts)[0].remedy {
                Remedy::Config(lines) => Some(lines.clone()),
                Remedy::Sentence(_) => None,
            };
            let value = lines.as_ref().and_then(|lines| lines.trim_end().rsplit(" = ").next());
            assert_eq!(value, expected, "{max_bytes} {max_object_bytes}");
        }
    }

    #[test]
    fn every_other_reason_has_the_caches_own_words() {
        let finding = find(&facts(&[(None, Why::NotStored(Skip::SetCookie), 50)])).remove(0);
        assert_eq!(finding.remedy, Remedy::Sentence(say::sentence(Skip::SetCookie.remedy())));
        assert_eq!((finding.severity, finding.confidence), (Severity::Info, Confidence::Candidate));
    }
}
