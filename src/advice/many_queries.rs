//! Endpoints whose requests ask the database too often.

use std::collections::BTreeMap;

use super::{Confidence, Facts, Figure, Finding, QueriesPerRequest, Remedy, Severity, Worth};

pub(super) const KIND: &str = "many_queries";

/// Requests whose queries are known.
const FEWEST: u64 = 10;
/// Queries per request on average.
const MANY: f64 = 5.0;
const VERY_MANY: f64 = 20.0;

/// Those with more than five queries per request, the one with most queries altogether first.
pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    let many = facts.queries.iter().filter(|of| of.requests >= FEWEST && of.avg > MANY);
    let mut many: Vec<&QueriesPerRequest> = many.collect();
    many.sort_by(|a, b| (b.avg * b.requests as f64).total_cmp(&(a.avg * a.requests as f64)));
    many.into_iter().map(finding).collect()
}

fn finding(QueriesPerRequest { endpoint, requests, avg, max }: &QueriesPerRequest) -> Finding {
    Finding {
        kind: KIND,
        severity: if *avg > VERY_MANY { Severity::Warning } else { Severity::Info },
        confidence: Confidence::Measured,
        endpoint: Some(endpoint.clone()),
        subject: String::new(),
        title: format!("{endpoint} takes {avg:.1} database queries per request"),
        because: format!(
            "Its {requests} requests whose queries are known took {avg:.1} on average, and {max} at most."
        ),
        remedy: Remedy::Sentence(
            "Look for a query in a loop, and ask for all rows at once, with a join or a list of ids; keep what hardly \
             ever changes in the app or in Pacecar's keyed cache."
                .into(),
        ),
        worth: Worth::default(),
        evidence: BTreeMap::from([
            ("requests", Figure::Count(*requests)),
            ("queries_per_request_avg", Figure::Number(*avg)),
            ("queries_per_request_max", Figure::Count(*max)),
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Endpoint, *};

    fn of(name: &str, requests: u64, avg: f64) -> QueriesPerRequest {
        let endpoint = Endpoint { method: "GET".into(), name: name.into() };
        QueriesPerRequest { endpoint, requests, avg, max: 80 }
    }

    #[test]
    fn thresholds() {
        for (requests, avg, expected) in [
            (10, 5.0, None),
            (10, 5.1, Some(Severity::Info)),
            (10, 20.0, Some(Severity::Info)),
            (10, 20.1, Some(Severity::Warning)),
            (9, 500.0, None),
        ] {
            let found = find(&Facts { queries: vec![of("/a", requests, avg)], ..Facts::default() });
            assert_eq!(found.first().map(|finding| finding.severity), expected, "{requests} {avg}");
        }
        assert_eq!(find(&Facts::default()), []);
    }

    #[test]
    fn the_one_with_most_queries_comes_first() {
        let found = find(&Facts { queries: vec![of("/a", 10, 60.0), of("/b", 1000, 6.0)], ..Facts::default() });
        let ids: Vec<String> = found.iter().map(Finding::id).collect();
        assert_eq!(ids, ["many_queries:GET /b", "many_queries:GET /a"]);
        assert_eq!(found[1].because, "Its 10 requests whose queries are known took 60.0 on average, and 80 at most.");
    }
}
