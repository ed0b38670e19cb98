//! Endpoints that the app takes long for.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Confidence, Endpoint, Facts, Figure, Finding, Remedy, Severity, Worth, cacheable,
    facts::{endpoint_of, per_minute},
    say,
};
use crate::profile::OTHER;

pub(super) const KIND: &str = "slow_endpoint";

/// An average says something from so many requests on.
const FEWEST: u64 = 20;
/// The app's own time on average: a client with a slow connection makes no app slow.
const WARNING: Duration = Duration::from_millis(500);
const CRITICAL: Duration = Duration::from_millis(1000);
/// Percent of the app's whole time. What takes less is no trouble to anybody but those who wait for it, such as whoever
/// has a report made at night.
const MINOR_SHARE_PERCENT: f64 = 1.0;

/// Those that take more than half a second, the one that has most of the app's time first.
pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    let hour = &facts.hour;
    let whole: Duration = hour.endpoints.iter().map(|row| row.figures.upstream.sum()).sum();
    let mut slow: Vec<(Duration, Finding)> = Vec::new();
    for row in &hour.endpoints {
        let (requests, spent) = (row.figures.upstream.count(), row.figures.upstream.sum());
        let Some(took) = row.figures.upstream.summary().filter(|took| requests >= FEWEST && took.avg > WARNING) else {
            continue;
        };
        let share = spent.as_secs_f64() * 100.0 / whole.as_secs_f64();
        let severity = match took.avg {
            _ if share < MINOR_SHARE_PERCENT => Severity::Info,
            avg if avg > CRITICAL => Severity::Critical,
            _ => Severity::Warning,
        };
        let endpoint = endpoint_of(row);
        let beyond = took.avg - WARNING;
        let finding = Finding {
            kind: KIND,
            severity,
            confidence: Confidence::Measured,
            subject: String::new(),
            title: format!("{endpoint} takes the app {} on average", say::time(took.avg)),
            because: format!(
                "The app worked on {} of {} for {}, which is {} of its time for all endpoints; 95 of 100 took up to {}.",
                say::requests(requests),
                say::last(hour.lasts),
                say::time(spent),
                say::percent(share),
                say::time(took.p95),
            ),
            remedy: remedy(&endpoint, facts),
            worth: Worth {
                upstream_seconds_per_minute: per_minute(beyond.as_secs_f64() * requests as f64, hour.lasts),
                milliseconds_per_request: Some(beyond.as_secs_f64() * 1e3),
                ..Worth::default()
            },
            evidence: BTreeMap::from([
                ("requests", Figure::Count(requests)),
                ("upstream_avg_ms", Figure::Number(took.avg.as_secs_f64() * 1e3)),
                ("upstream_p95_ms", Figure::Number(took.p95.as_secs_f64() * 1e3)),
                ("upstream_seconds", Figure::Number(spent.as_secs_f64())),
                ("upstream_time_share_percent", Figure::Number(share)),
                ("window_seconds", Figure::Number(hour.lasts.as_secs_f64())),
            ]),
            endpoint: Some(endpoint),
        };
        slow.push((spent, finding));
    }
    slow.sort_by_key(|(spent, _)| std::cmp::Reverse(*spent));
    slow.into_iter().map(|(_, finding)| finding).collect()
}

fn remedy(endpoint: &Endpoint, facts: &Facts) -> Remedy {
    if endpoint.name == OTHER {
        let sentence = "These are endpoints beyond profile.max_endpoints: with a larger number there, or with names for \
                        them in profile.endpoints, it can be seen which of them are slow.";
        return Remedy::Sentence(sentence.into());
    }
    // Only what was watched, and is the same for all who ask, may be kept.
    let comment =
        "/performance/profile/slowest says where the time of its slowest requests goes. Its answers may be kept:";
    cacheable::keep(facts, endpoint, &[comment]).unwrap_or_else(|| {
        let sentence = "Look at its slowest requests in /performance/profile/slowest, and at what the app does for them: \
                        a query without an index, many queries in a loop, or a call to somebody else.";
        Remedy::Sentence(sentence.into())
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{LASTS, rows},
        *,
    };

    const MILLI: Duration = Duration::from_millis(1);

    fn found(endpoints: &[(&str, u64, Duration, u64)]) -> Vec<(String, Severity)> {
        let facts = Facts { hour: rows(endpoints), ..Facts::default() };
        find(&facts).iter().map(|finding| (finding.id(), finding.severity)).collect()
    }

    #[test]
    fn thresholds() {
        for (requests, took, expected) in [
            (20, 500 * MILLI, None),
            (20, 501 * MILLI, Some(Severity::Warning)),
            (19, 5000 * MILLI, None),
            (20, 1000 * MILLI, Some(Severity::Warning)),
            (20, 1001 * MILLI, Some(Severity::Critical)),
        ] {
            let severity = found(&[("/a", requests, took, 0)]).first().map(|(_, severity)| *severity);
            assert_eq!(severity, expected, "{requests} {took:?}");
        }
    }

    #[test]
    fn a_nightly_report_is_no_emergency() {
        let quick = ("/quick", 250_000, 10 * MILLI, 0);
        // 24 s of 2524 are less than 1 %, and 26 s of 2526 are more.
        assert_eq!(found(&[quick, ("/r", 20, 1200 * MILLI, 0)]), [("slow_endpoint:GET /r".into(), Severity::Info)]);
        assert_eq!(found(&[quick, ("/r", 20, 1300 * MILLI, 0)]), [("slow_endpoint:GET /r".into(), Severity::Critical)]);
    }

    #[test]
    fn a_slow_client_makes_no_app_slow() {
        // Clients wait for 5 s more than the app takes.
        assert_eq!(found(&[("/a", 100, 400 * MILLI, 0)]), []);
    }

    #[test]
    fn the_one_with_most_of_the_time_comes_first_with_its_figures() {
        let hour = rows(&[("/a", 30, 900 * MILLI, 0), ("/b/{id}", 300, 600 * MILLI, 0), ("/c", 93, 100 * MILLI, 0)]);
        let found = find(&Facts { hour, ..Facts::default() });
        let [first, second] = &found[..] else { panic!("{found:#?}") };
        assert_eq!([first.id(), second.id()], ["slow_endpoint:GET /b/{id}", "slow_endpoint:GET /a"]);
        assert_eq!(first.title, "GET /b/{id} takes the app 600 ms on average");
        assert_eq!(
            first.because,
            "The app worked on 300 requests of the last 10 minutes for 3 min, which is 83 % of its time for all \
             endpoints; 95 of 100 took up to 600 ms."
        );
        // 100 ms too long, 300 times in ten minutes.
        assert_eq!(first.worth.upstream_seconds_per_minute.map(|seconds| seconds.round()), Some(3.0));
        assert_eq!(first.evidence["window_seconds"], Figure::Number(LASTS.as_secs_f64()));
        assert!(matches!(&first.remedy, Remedy::Sentence(_)), "nothing is known of what it answers: {first:#?}");
    }
}
