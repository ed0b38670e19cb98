//! An app that has more to do at once than it can.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Confidence, Facts, Figure, Finding, Remedy, Severity, Worth,
    facts::{endpoint_of, per_minute},
    say,
};

pub(super) const KIND: &str = "saturation";

/// Waiting is most of the 95th percentile from here on.
const SHARE_PERCENT: f64 = 50.0;
/// Nobody feels less than this.
const LEAST_WAIT: Duration = Duration::from_millis(50);

/// One finding, where most of the time of the slowest requests is waiting for others.
pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    Vec::from_iter(waiting(facts))
}

fn waiting(facts: &Facts) -> Option<Finding> {
    let saturation = facts.hour.saturation;
    let (at_once, share) = (saturation.serves_at_once?, saturation.queueing_share_of_p95_percent?);
    let (unqueued, p95) = (saturation.unqueued_p95?, saturation.p95?);
    let wait = p95.saturating_sub(unqueued);
    if share <= SHARE_PERCENT || wait < LEAST_WAIT {
        return None;
    }
    let requests = saturation.requests;
    Some(Finding {
        kind: KIND,
        severity: Severity::Warning,
        confidence: Confidence::Measured,
        endpoint: None,
        subject: String::new(),
        title: format!("The app serves {at_once} at once, and requests wait for each other"),
        because: format!(
            "Of the last hour or two, 95 of 100 answers took it up to {}, and {} of that is waiting: while nobody has to \
             wait, it is {}. It had up to {} at once.",
            say::time(p95),
            say::percent(share),
            say::time(unqueued),
            saturation.most_in_flight,
        ),
        remedy: remedy(at_once, facts),
        worth: Worth { milliseconds_per_request: Some(wait.as_secs_f64() * 1e3), ..Worth::default() },
        evidence: BTreeMap::from([
            ("requests", Figure::Count(requests)),
            ("serves_at_once", Figure::Count(at_once.into())),
            ("most_in_flight", Figure::Count(saturation.most_in_flight.into())),
            ("p95_ms", Figure::Number(p95.as_secs_f64() * 1e3)),
            ("unqueued_p95_ms", Figure::Number(unqueued.as_secs_f64() * 1e3)),
            ("queueing_share_of_p95_percent", Figure::Number(share)),
        ]),
    })
}

/// More workers, or less to do, beginning where most of the time goes.
fn remedy(at_once: u32, facts: &Facts) -> Remedy {
    let workers =
        format!("Give the app more workers or threads than {at_once}, if the machine has the cores and memory");
    let rows = &facts.hour.endpoints;
    let whole: f64 = rows.iter().map(|row| row.figures.upstream.sum().as_secs_f64()).sum();
    let busiest = rows.iter().filter(|row| row.method == "GET").max_by_key(|row| row.figures.upstream.sum());
    let Some(row) = busiest.filter(|row| !row.figures.upstream.sum().is_zero()) else {
        return Remedy::Sentence(format!("{workers}."));
    };
    let spent = row.figures.upstream.sum().as_secs_f64();
    let (endpoint, share) = (endpoint_of(row), say::percent(spent * 100.0 / whole));
    let each_minute = per_minute(spent, facts.hour.lasts)
        .map(|seconds| format!(" ({} of each minute)", say::time(Duration::from_secs_f64(seconds))))
        .unwrap_or_default();
    Remedy::Sentence(format!(
        "{workers}; or have it asked less: {endpoint} takes {share} of its time{each_minute}, which a route with ttl \
         spares it where its answers may be a little old."
    ))
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::rows, *};
    use crate::profile::{Saturation, Snapshot};

    fn facts(serves_at_once: Option<u32>, unqueued: u64, p95: u64) -> Facts {
        let millis = Duration::from_millis;
        let share = (p95 - unqueued) as f64 * 100.0 / p95 as f64;
        let saturation = Saturation {
            requests: 500,
            most_in_flight: 16,
            serves_at_once,
            unqueued_p95: serves_at_once.map(|_| millis(unqueued)),
            p95: Some(millis(p95)),
            queueing_share_of_p95_percent: serves_at_once.map(|_| share),
        };
        let hour = rows(&[("/a", 50, millis(100), 0), ("/b", 50, millis(300), 0)]);
        Facts { hour: Snapshot { saturation, ..hour }, ..Facts::default() }
    }

    #[test]
    fn thresholds() {
        for (serves_at_once, unqueued, p95, expected) in [
            (Some(4), 100, 201, true),
            (Some(4), 100, 200, false),
            // Four times as long, and nobody feels it.
            (Some(4), 10, 40, false),
            (Some(4), 10, 60, true),
            (None, 10, 1000, false),
        ] {
            let found = find(&facts(serves_at_once, unqueued, p95));
            assert_eq!(!found.is_empty(), expected, "{serves_at_once:?} {unqueued} {p95}");
        }
        assert_eq!(find(&Facts::default()), []);
    }

    #[test]
    fn it_says_how_many_and_where_to_begin() {
        let finding = &find(&facts(Some(4), 100, 400))[0];
        assert_eq!((finding.id(), finding.severity), ("saturation".into(), Severity::Warning));
        assert_eq!(finding.title, "The app serves 4 at once, and requests wait for each other");
        assert_eq!(
            finding.because,
            "Of the last hour or two, 95 of 100 answers took it up to 400 ms, and 75 % of that is waiting: while nobody \
             has to wait, it is 100 ms. It had up to 16 at once."
        );
        let Remedy::Sentence(sentence) = &finding.remedy else { panic!("{finding:#?}") };
        assert!(sentence.contains("GET /b takes 75 % of its time (1.5 s of each minute)"), "{sentence}");
    }
}
