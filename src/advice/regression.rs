//! Endpoints that got slower, or fail more, since a marker.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Change, Confidence, Facts, Figure, Finding, Remedy, Severity, Worth,
    facts::{endpoint_of, per_minute},
    say,
};
use crate::profile::{By, Comparison, Counts, Endpoint};

pub(super) const KIND: &str = "regression";

/// Requests on each side.
const FEWEST: u64 = 50;
/// The median must be so many times what it was, and so many seconds longer.
const SLOWER: f64 = 1.2;
const SLOWER_SECONDS: f64 = 0.010;
/// And surely so many times what it was: times of real apps vary more from one hour to the next than chance alone has
/// them do, which is all that an interval knows of.
const SURELY: f64 = 1.1;
/// Percent of the requests that must fail, and errors more than would have been expected.
const ERRORS_PERCENT: f64 = 1.0;
const ERRORS_MORE: f64 = 3.0;
/// Standard deviations that the shares must be apart, beyond what chance brings once in two thousand times.
const APART: f64 = 3.3;
/// Percent of the app's time; see `slow_endpoint`.
const MINOR_SHARE_PERCENT: f64 = 1.0;

/// What changed for the worse, each endpoint once: since the newest marker that it did.
pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    let (mut findings, mut told) = (Vec::new(), BTreeSet::new());
    for change in &facts.changes {
        let whole: f64 = change.after.iter().map(|row| row.figures.upstream.sum().as_secs_f64()).sum();
        for after in &change.after {
            let same = |row: &&Endpoint| row.endpoint == after.endpoint && row.method == after.method;
            let Some(before) = change.before.iter().find(same) else { continue };
            let share = after.figures.upstream.sum().as_secs_f64() * 100.0 / whole.max(f64::MIN_POSITIVE);
            let found = [slower(change, before, after, share), failing(change, before, after)];
            let new = found.into_iter().flatten();
            findings
                .extend(new.filter(|(what, _)| told.insert((*what, endpoint_of(after)))).map(|(_, finding)| finding));
        }
    }
    findings
}

/// Whether the app takes longer, by its own time: a slow download is not a slow app.
fn slower(change: &Change, before: &Endpoint, after: &Endpoint, share: f64) -> Option<(&'static str, Finding)> {
    let (old, new) = (&before.figures.upstream, &after.figures.upstream);
    if old.count().min(new.count()) < FEWEST {
        return None;
    }
    let is_longer = |old: f64, new: f64| new >= old * SLOWER && new - old >= SLOWER_SECONDS;
    // An interval takes a while, and most endpoints have not changed.
    let medians = (old.summary()?.p50.as_secs_f64(), new.summary()?.p50.as_secs_f64());
    if !is_longer(medians.0, medians.1) {
        return None;
    }
    let compared = Comparison::of(&before.figures, &after.figures);
    let median = compared.p50.filter(|median| compared.by == By::Upstream && median.interval[0] >= SURELY)?;
    let more = median.b.saturating_sub(median.a);
    let endpoint = endpoint_of(after);
    let [low, high] = median.interval;
    let finding = Finding {
        kind: KIND,
        severity: if share < MINOR_SHARE_PERCENT { Severity::Info } else { Severity::Warning },
        confidence: Confidence::Measured,
        subject: format!("slower since {}", change.name),
        title: format!("{endpoint} is {:.1} times as slow since {}", median.ratio(), change.name),
        because: format!(
            "The app took {} in the median of {} before, and {} in that of {} after; what it is worth in truth is {low:.2} \
             to {high:.2} times as long, 95 times of 100.",
            say::time(median.a),
            say::requests(old.count()),
            say::time(median.b),
            say::requests(new.count()),
        ),
        remedy: remedy(),
        worth: Worth {
            upstream_seconds_per_minute: per_minute(more.as_secs_f64() * new.count() as f64, change.lasts),
            milliseconds_per_request: Some(more.as_secs_f64() * 1e3),
            ..Worth::default()
        },
        evidence: BTreeMap::from([
            ("marker", Figure::Text(change.name.clone())),
            ("requests_before", Figure::Count(old.count())),
            ("requests_after", Figure::Count(new.count())),
            ("upstream_p50_before_ms", Figure::Number(median.a.as_secs_f64() * 1e3)),
            ("upstream_p50_after_ms", Figure::Number(median.b.as_secs_f64() * 1e3)),
            ("ratio", Figure::Number(median.ratio())),
            ("ratio_low", Figure::Number(low)),
            ("ratio_high", Figure::Number(high)),
        ]),
        endpoint: Some(endpoint),
    };
    Some(("slower", finding))
}

/// Whether it fails more: by the difference of two shares, with the continuity correction of Yates (1934), without which
/// small counts seem surer than they are.
fn failing(change: &Change, before: &Endpoint, after: &Endpoint) -> Option<(&'static str, Finding)> {
    let (old, new) = (before.figures.counts, after.figures.counts);
    let (n, m) = (old.requests as f64, new.requests as f64);
    if old.requests.min(new.requests) < FEWEST {
        return None;
    }
    let [was, is] = [old, new].map(|Counts { requests, errors, .. }| errors as f64 / requests as f64);
    let together = (old.errors + new.errors) as f64 / (n + m);
    let deviation = (together * (1.0 - together) * (1.0 / n + 1.0 / m)).sqrt();
    let apart = is - was - (1.0 / n + 1.0 / m) / 2.0;
    let is_worse = is * 100.0 >= ERRORS_PERCENT && is >= was * SLOWER && (is - was) * m >= ERRORS_MORE;
    // Where all fail, before and after, there is no deviation, and nothing is worse.
    if !is_worse || apart < APART * deviation {
        return None;
    }
    let endpoint = endpoint_of(after);
    let (was, is) = (was * 100.0, is * 100.0);
    let finding = Finding {
        kind: KIND,
        severity: Severity::Warning,
        confidence: Confidence::Measured,
        subject: format!("errors since {}", change.name),
        title: format!("{} of the requests of {endpoint} fail since {}", say::percent(is), change.name),
        because: format!(
            "Of {} before, {} were answered with a status of 500 or above, which is {}; and {} of {} after.",
            say::requests(old.requests),
            old.errors,
            say::percent(was),
            new.errors,
            say::requests(new.requests),
        ),
        remedy: remedy(),
        worth: Worth::default(),
        evidence: BTreeMap::from([
            ("marker", Figure::Text(change.name.clone())),
            ("requests_before", Figure::Count(old.requests)),
            ("requests_after", Figure::Count(new.requests)),
            ("errors_before", Figure::Count(old.errors)),
            ("errors_after", Figure::Count(new.errors)),
            ("error_rate_before_percent", Figure::Number(was)),
            ("error_rate_after_percent", Figure::Number(is)),
        ]),
        endpoint: Some(endpoint),
    };
    Some(("errors", finding))
}

fn remedy() -> Remedy {
    let sentence = "Look at what was changed then, and whether more was asked of the app from then on: what comes at the \
                    same time need not be the cause.";
    Remedy::Sentence(sentence.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::profile::{Figures, Sample};

    fn row(name: &str, figures: Figures) -> Endpoint {
        Endpoint { endpoint: name.into(), method: "GET", figures }
    }

    /// Requests for which the app takes these many seconds, and of which the first fail.
    fn figures(seconds: impl IntoIterator<Item = f64>, errors: u64) -> Figures {
        let mut figures = Figures::default();
        for (n, seconds) in (0..).zip(seconds) {
            let took = Duration::from_secs_f64(seconds);
            let status = if n < errors { 500 } else { 200 };
            figures.add(&Sample { status, ..Sample::of("/", took).asked(took) }, Duration::MAX);
        }
        figures
    }

    fn always(millis: f64, requests: usize) -> Figures {
        figures(vec![millis / 1e3; requests], 0)
    }

    fn change(before: Figures, after: Figures) -> Facts {
        let change = Change {
            name: "deploy v1.4.2".into(),
            before: vec![row("/a", before)],
            after: vec![row("/a", after)],
            lasts: Duration::from_secs(600),
        };
        Facts { changes: vec![change], ..Facts::default() }
    }

    #[test]
    fn thresholds_of_time() {
        for (before, requests_before, after, requests_after, expected) in [
            (100.0, 50, 125.0, 50, true),
            (100.0, 49, 125.0, 50, false),
            (100.0, 50, 125.0, 49, false),
            (100.0, 500, 118.0, 500, false),
            (125.0, 500, 100.0, 500, false),
            // Three times as long, and 8 ms.
            (4.0, 500, 12.0, 500, false),
            (4.0, 500, 16.0, 500, true),
        ] {
            let facts = change(always(before, requests_before), always(after, requests_after));
            assert_eq!(!find(&facts).is_empty(), expected, "{before} {requests_before} {after} {requests_after}");
        }
    }

    #[test]
    fn thresholds_of_errors() {
        for (before, failed_before, after, failed_after, expected) in [
            (1000, 0, 1000, 20, true),
            (1000, 0, 1000, 9, false),
            // One in ten, and it may be chance.
            (50, 0, 50, 5, false),
            (50, 0, 50, 15, true),
            (49, 0, 500, 400, false),
            (1000, 100, 1000, 110, false),
            (1000, 100, 1000, 200, true),
            (1000, 200, 1000, 100, false),
            (100, 100, 100, 100, false),
            (100_000, 1000, 100_000, 1190, false),
        ] {
            let of = |requests: usize, errors| figures(vec![0.01; requests], errors);
            let found = find(&change(of(before, failed_before), of(after, failed_after)));
            assert_eq!(!found.is_empty(), expected, "{failed_before} of {before}, {failed_after} of {after}");
        }
    }

    #[test]
    fn the_marker_is_named() {
        let found = find(&change(always(100.0, 100), figures(vec![0.15; 200], 40)));
        let ids: Vec<String> = found.iter().map(Finding::id).collect();
        let expected = ["regression:GET /a:slower since deploy v1.4.2", "regression:GET /a:errors since deploy v1.4.2"];
        assert_eq!(ids, expected);
        assert_eq!(found[0].title, "GET /a is 1.5 times as slow since deploy v1.4.2");
        assert_eq!(found[1].title, "20 % of the requests of GET /a fail since deploy v1.4.2");
        assert_eq!(
            found[1].because,
            "Of 100 requests before, 0 were answered with a status of 500 or above, which is 0 %; and 40 of 200 \
             requests after."
        );
        // 50 ms more, 200 times in ten minutes.
        assert_eq!(found[0].worth.upstream_seconds_per_minute.map(f64::round), Some(1.0));
    }

    #[test]
    fn an_endpoint_is_told_once_and_a_new_one_not_at_all() {
        let mut facts = change(always(100.0, 100), always(200.0, 100));
        let older = Change { name: "reload configuration".into(), ..facts.changes[0].clone() };
        facts.changes.push(older);
        facts.changes[0].after.push(row("/new", always(900.0, 100)));
        let found = find(&facts);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0].evidence["marker"], Figure::Text("deploy v1.4.2".into()));
    }

    #[test]
    fn what_takes_next_to_nothing_of_the_apps_time_is_no_warning() {
        let mut facts = change(always(100.0, 50), always(200.0, 50));
        assert_eq!(find(&facts)[0].severity, Severity::Warning);
        facts.changes[0].after.push(row("/busy", always(100.0, 20_000)));
        assert_eq!(find(&facts)[0].severity, Severity::Info);
    }

    /// One duration in seconds, of some distribution.
    type Draw = fn(&mut fastrand::Rng) -> f64;

    fn normal(random: &mut fastrand::Rng) -> f64 {
        (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
    }

    const DISTRIBUTIONS: [(&str, Draw); 4] = [
        ("constant", |_| 0.0123),
        ("exponential", |random| -(1.0 - random.f64()).ln() * 0.1),
        ("lognormal", |random| (normal(random) * 0.8 - 2.0).exp()),
        ("bimodal", |random| if random.f64() < 0.55 { 0.02 + 0.01 * random.f64() } else { 0.2 + 0.1 * random.f64() }),
    ];

    #[test]
    fn at_most_one_in_a_hundred_endpoints_without_a_change_is_told() {
        const ROUNDS: u64 = 400;
        for (name, draw) in DISTRIBUTIONS {
            for (requests, errors_percent) in [(50, 2.0), (150, 10.0), (1000, 1.0)] {
                let told = (0..ROUNDS).filter(|seed| {
                    let mut random = fastrand::Rng::with_seed(*seed);
                    let mut side = || {
                        let errors = (0..requests).filter(|_| random.f64() * 100.0 < errors_percent).count();
                        let seconds: Vec<f64> = (0..requests).map(|_| draw(&mut random)).collect();
                        figures(seconds, errors as u64)
                    };
                    let (before, after) = (side(), side());
                    !find(&change(before, after)).is_empty()
                });
                let told = told.count() as u64;
                assert!(told * 100 <= ROUNDS, "{told} of {ROUNDS}, {name}, {requests} requests");
            }
        }
    }

    #[test]
    fn what_takes_twice_as_long_is_told() {
        for (name, draw) in DISTRIBUTIONS {
            let told = (0..100).filter(|seed| {
                let mut random = fastrand::Rng::with_seed(*seed);
                let mut side =
                    |times: f64| figures((0..1000).map(|_| times * draw(&mut random)).collect::<Vec<_>>(), 0);
                let (before, after) = (side(1.0), side(2.0));
                !find(&change(before, after)).is_empty()
            });
            let told = told.count();
            // A median between two heaps of times is not known that well.
            assert!(told >= 90, "{told} of 100, {name}");
        }
    }
}
