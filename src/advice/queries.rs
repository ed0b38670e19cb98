//! What is wrong with the app's database queries, as `query` has found it: one kind of finding for each.

use std::collections::BTreeMap;

use crate::query::{self, Fingerprint, Missing, What, explain::Proof};

use super::{Confidence, Endpoint, Facts, Figure, Finding, Remedy, Severity, Worth};

/// Every kind, with what finds it.
pub(super) const RULES: [super::Rule; 7] = [
    ("critical_query", |facts| of(facts, "critical_query")),
    ("slow_query", |facts| of(facts, "slow_query")),
    ("missing_index", |facts| of(facts, "missing_index")),
    ("n_plus_one", |facts| of(facts, "n_plus_one")),
    ("redundant_query", |facts| of(facts, "redundant_query")),
    ("write_loop", |facts| of(facts, "write_loop")),
    ("chatty_endpoint", |facts| of(facts, "chatty_endpoint")),
];

/// Characters of a query that are shown.
const SHOWN: usize = 200;

fn of(facts: &Facts, kind: &'static str) -> Vec<Finding> {
    let found = facts.query_findings.iter().filter(|finding| finding.what.kind() == kind);
    found.map(|finding| told(finding, kind, &facts.query_texts)).collect()
}

fn told(finding: &query::Finding, kind: &'static str, texts: &BTreeMap<Fingerprint, String>) -> Finding {
    let text = finding.query.and_then(|query| texts.get(&query)).filter(|text| !text.is_empty());
    let endpoint = finding.endpoint.as_ref();
    let place = endpoint.map_or(String::new(), |endpoint| format!(" in {endpoint}"));
    let shown = text.map_or(String::new(), |text| {
        let cut: String = text.chars().take(SHOWN).collect();
        let more = if cut.len() < text.len() { "…" } else { "" };
        format!(" The query: {cut}{more}")
    });
    Finding {
        kind,
        severity: match finding.severity {
            query::Severity::Critical => Severity::Critical,
            query::Severity::High | query::Severity::Medium | query::Severity::Warning => Severity::Warning,
            query::Severity::Info => Severity::Info,
        },
        confidence: match finding.confidence {
            query::Confidence::Confirmed => Confidence::Measured,
            query::Confidence::Likely | query::Confidence::Candidate => Confidence::Candidate,
        },
        endpoint: endpoint.map(|endpoint| Endpoint { method: endpoint.method.into(), name: endpoint.name.to_string() }),
        subject: finding.query.map(|query| query.to_string()).unwrap_or_default(),
        title: format!("{}{place}", finding.title()),
        because: format!("{}{shown}", because(&finding.what)),
        remedy: Remedy::Sentence(finding.suggestion().into_owned()),
        worth: Worth {
            upstream_seconds_per_minute: Some(finding.impact_per_hour.as_secs_f64() / 60.0)
                .filter(|worth| *worth > 0.0),
            ..Worth::default()
        },
        evidence: evidence(&finding.what),
    }
}

fn because(what: &What) -> String {
    match what {
        What::Missing(Missing { slow, proposal }) => {
            let proof = proposal.proof.map_or("".into(), |Proof { before, after }| {
                format!(" The planner was shown the index: its estimate falls from {before:.0} to {after:.0}.")
            });
            format!(
                "PostgreSQL reads all {} rows of {} to find some {}, in a query that was executed {} times in the last \
                 hour and takes {:.1} ms on average.{proof}",
                proposal.rows,
                proposal.table,
                proposal.wanted,
                slow.calls,
                slow.timing.avg.as_secs_f64() * 1e3
            )
        }
        What::Critical(slow) | What::Slow(slow) | What::NoIndex(slow) => format!(
            "It was executed {} times in the last hour; {} of them were slow and {} critical, the longest took {:.0} ms.",
            slow.calls,
            slow.slow,
            slow.critical,
            slow.timing.max.as_secs_f64() * 1e3
        ),
        What::Repeated(repetition) => {
            let values =
                repetition.distinct.map_or(String::new(), |distinct| format!(", with {distinct} different values"));
            format!(
                "It ran {} to {} times in each of {} requests{values}, and took {:.0} % of their time.",
                repetition.min,
                repetition.max,
                repetition.requests,
                repetition.share * 100.0
            )
        }
        What::Chatty(chatty) => format!(
            "Its {} requests made {} queries, and at least one was running for {:.0} % of their time.",
            chatty.requests,
            chatty.queries,
            chatty.database.as_secs_f64() / chatty.whole.as_secs_f64().max(1e-9) * 100.0
        ),
    }
}

fn evidence(what: &What) -> BTreeMap<&'static str, Figure> {
    match what {
        What::Missing(Missing { slow, proposal }) => {
            let mut figures = BTreeMap::from([
                ("calls", Figure::Count(slow.calls)),
                ("avg_ms", Figure::Number(slow.timing.avg.as_secs_f64() * 1e3)),
                ("table_rows", Figure::Count(proposal.rows)),
                ("found_rows", Figure::Count(proposal.wanted)),
            ]);
            if let Some(Proof { before, after }) = proposal.proof {
                figures.extend([("cost", Figure::Number(before)), ("cost_with_index", Figure::Number(after))]);
            }
            figures
        }
        What::Critical(slow) | What::Slow(slow) | What::NoIndex(slow) => BTreeMap::from([
            ("calls", Figure::Count(slow.calls)),
            ("slow", Figure::Count(slow.slow)),
            ("critical", Figure::Count(slow.critical)),
            ("avg_ms", Figure::Number(slow.timing.avg.as_secs_f64() * 1e3)),
            ("max_ms", Figure::Number(slow.timing.max.as_secs_f64() * 1e3)),
        ]),
        What::Repeated(repetition) => BTreeMap::from([
            ("requests", Figure::Count(repetition.requests)),
            ("per_request_avg", Figure::Number(repetition.avg)),
            ("per_request_max", Figure::Count(repetition.max.into())),
            ("request_time_share_percent", Figure::Number(repetition.share * 100.0)),
        ]),
        What::Chatty(chatty) => {
            BTreeMap::from([("requests", Figure::Count(chatty.requests)), ("queries", Figure::Count(chatty.queries))])
        }
    }
}
