//! Requests that are answered with an error, now.

use std::collections::BTreeMap;

use super::{Confidence, Endpoint, Facts, Figure, Finding, Remedy, Severity, Worth, facts::endpoint_of, say};
use crate::profile::Counts;

pub(super) const KIND: &str = "errors";

/// A share says something from so many requests on.
const FEWEST_REQUESTS: u64 = 20;
/// One or two happen anywhere.
const FEWEST_ERRORS: u64 = 3;
/// Percent of the requests.
const WARNING_PERCENT: f64 = 1.0;
const CRITICAL_PERCENT: f64 = 5.0;

/// Endpoints that fail, the one with the most errors first; and all others together, where those fail too little or too
/// seldom each.
pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    let recent = &facts.recent;
    let mut failing: Vec<(u64, Finding)> = Vec::new();
    let (mut requests, mut errors, mut endpoints) = (0, 0, 0);
    for row in &recent.endpoints {
        let counts = row.figures.counts;
        if let Some(severity) = severity(counts.requests, counts.errors) {
            failing.push((
                counts.errors,
                finding(Some(endpoint_of(row)), severity, counts.requests, counts.errors, facts),
            ));
        } else {
            let Counts { requests: more, errors: failed, .. } = counts;
            (requests, errors, endpoints) = (requests + more, errors + failed, endpoints + u64::from(failed > 0));
        }
    }
    failing.sort_by_key(|(errors, _)| std::cmp::Reverse(*errors));
    let mut findings: Vec<Finding> = failing.into_iter().map(|(_, finding)| finding).collect();
    if let Some(severity) = severity(requests, errors) {
        let mut together = finding(None, severity, requests, errors, facts);
        together.evidence.insert("endpoints_with_errors", Figure::Count(endpoints));
        findings.push(together);
    }
    findings
}

fn severity(requests: u64, errors: u64) -> Option<Severity> {
    if requests < FEWEST_REQUESTS || errors < FEWEST_ERRORS {
        return None;
    }
    match percent(requests, errors) {
        CRITICAL_PERCENT.. => Some(Severity::Critical),
        WARNING_PERCENT.. => Some(Severity::Warning),
        _ => None,
    }
}

fn percent(requests: u64, errors: u64) -> f64 {
    errors as f64 * 100.0 / requests as f64
}

fn finding(endpoint: Option<Endpoint>, severity: Severity, requests: u64, errors: u64, facts: &Facts) -> Finding {
    let (share, last) = (percent(requests, errors), say::last(facts.recent.lasts));
    let (whose, which) = match &endpoint {
        Some(endpoint) => (format!("of {endpoint} "), "The requests"),
        None => (String::new(), "The requests of endpoints that do not fail often each"),
    };
    Finding {
        kind: KIND,
        severity,
        confidence: Confidence::Measured,
        endpoint,
        subject: String::new(),
        title: format!("{} of the requests {whose}are answered with an error", say::percent(share)),
        because: format!("{which} of {last} were {requests}, and {errors} of them had a status of 500 or above."),
        remedy: Remedy::Sentence(
            "Look into the app's log of that time; each such request has a line in the access log too, with its status \
             and why Pacecar answered in the app's place, if it did."
                .into(),
        ),
        worth: Worth::default(),
        evidence: BTreeMap::from([
            ("requests", Figure::Count(requests)),
            ("errors", Figure::Count(errors)),
            ("error_rate_percent", Figure::Number(share)),
            ("window_seconds", Figure::Number(facts.recent.lasts.as_secs_f64())),
        ]),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::fixture::rows, *};

    fn found(endpoints: &[(&str, u64, u64)]) -> Vec<(String, Severity)> {
        let endpoints: Vec<_> =
            endpoints.iter().map(|(name, requests, errors)| (*name, *requests, Duration::ZERO, *errors)).collect();
        let facts = Facts { recent: rows(&endpoints), ..Facts::default() };
        find(&facts).iter().map(|finding| (finding.id(), finding.severity)).collect()
    }

    #[test]
    fn thresholds() {
        for (requests, errors, expected) in [
            (19, 19, None),
            (20, 0, None),
            (20, 2, None),
            (20, 3, Some(Severity::Critical)),
            (60, 3, Some(Severity::Critical)),
            (61, 3, Some(Severity::Warning)),
            (300, 3, Some(Severity::Warning)),
            (301, 3, None),
        ] {
            let severity = found(&[("/a", requests, errors)]).first().map(|(_, severity)| *severity);
            assert_eq!(severity, expected, "{errors} of {requests}");
        }
    }

    #[test]
    fn an_error_here_and_there_adds_up() {
        let thin = [("/a", 10, 1), ("/b", 10, 1), ("/c", 10, 1), ("/d", 10, 0)];
        assert_eq!(found(&thin), [("errors".into(), Severity::Critical)]);
        let facts = Facts {
            recent: rows(&thin.map(|(name, n, errors)| (name, n, Duration::ZERO, errors))),
            ..Facts::default()
        };
        assert_eq!(find(&facts)[0].evidence["endpoints_with_errors"], Figure::Count(3));
    }

    #[test]
    fn whoever_is_named_is_not_counted_again() {
        let expected =
            [("errors:GET /bad".into(), Severity::Critical), ("errors:GET /worse".into(), Severity::Warning)];
        let mut found = found(&[("/good", 500, 1), ("/bad", 100, 90), ("/worse", 1000, 20)]);
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn errors_of_an_hour_ago_are_not_now() {
        let hour = rows(&[("/a", 100, Duration::ZERO, 100)]);
        assert_eq!(find(&Facts { hour, ..Facts::default() }), []);
    }

    #[test]
    fn the_numbers_stand_in_the_words() {
        let facts = Facts { recent: rows(&[("/a", 200, Duration::ZERO, 9)]), ..Facts::default() };
        let finding = &find(&facts)[0];
        assert_eq!(finding.title, "4.5 % of the requests of GET /a are answered with an error");
        assert_eq!(
            finding.because,
            "The requests of the last 10 minutes were 200, and 9 of them had a status of 500 or above."
        );
    }
}
