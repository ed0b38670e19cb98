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
                "PostgreSQL reads all {} rows of {} to find about {}, in a query that was executed {} times in the last \
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::query::{
        Repetition, Slow, Timing,
        detect::{Chatty, Pattern},
    };

    const QUERY: Fingerprint = Fingerprint(0x5a1f_0c33_d2e9_4b07);

    fn slow() -> Slow {
        let ms = Duration::from_millis;
        let timing = Timing {
            min: ms(1),
            avg: ms(700),
            p50: ms(600),
            p95: ms(2000),
            p99: ms(2400),
            max: ms(2500),
            stdev: ms(9),
        };
        Slow { calls: 20, slow: 7, critical: 2, timing }
    }

    fn repeated(pattern: Pattern) -> What {
        What::Repeated(Repetition {
            pattern,
            requests: 9,
            min: 6,
            avg: 8.0,
            max: 12,
            distinct: (pattern == Pattern::NPlusOne).then_some(11),
            is_concurrent: false,
            turns: Vec::new(),
            before: None,
            share: 0.75,
            example: None,
        })
    }

    fn chatty() -> What {
        let s = Duration::from_secs;
        What::Chatty(Chatty { requests: 10, queries: 250, database: s(3), added: s(3), whole: s(4) })
    }

    /// As the observer finds it: of an endpoint, but for what is said of a query wherever it ran.
    fn found(what: What, severity: query::Severity, confidence: query::Confidence) -> query::Finding {
        let is_of_endpoint = matches!(what, What::Repeated(_) | What::Chatty(_));
        query::Finding {
            severity,
            confidence,
            query: (!matches!(what, What::Chatty(_))).then_some(QUERY),
            endpoint: is_of_endpoint.then(|| query::Endpoint { method: "GET", name: "/orders".into() }),
            what,
            impact_per_hour: Duration::from_secs(120),
            first_seen: Duration::from_secs(60),
            last_seen: Duration::ZERO,
        }
    }

    fn facts(found: query::Finding, text: &str) -> Facts {
        let query_texts = BTreeMap::from([(QUERY, text.to_owned())]);
        Facts { query_findings: vec![found], query_texts, ..Facts::default() }
    }

    /// What all rules say together.
    fn told(facts: &Facts) -> Finding {
        let mut told: Vec<Finding> = RULES.iter().flat_map(|(_, find)| find(facts)).collect();
        assert_eq!(told.len(), 1, "each is told by one rule: {told:?}");
        told.remove(0)
    }

    #[test]
    fn what_is_said_of_each_kind() {
        use query::{Confidence::Confirmed, Severity as Grave};
        let is_slow = "It was executed 20 times in the last hour; 7 of them were slow and 2 critical, the longest took \
                       2500 ms. The query: select a from t";
        let repeats = |values: &str| {
            format!(
                "It ran 6 to 12 times in each of 9 requests{values}, and took 75 % of their time. The query: select a \
                 from t"
            )
        };
        for (what, severity, id, expected, title, because) in [
            (
                What::Critical(slow()),
                Grave::Critical,
                "critical_query:q_5a1f0c33d2e94b07",
                Severity::Critical,
                "A query took 2500 ms",
                is_slow.to_owned(),
            ),
            (
                What::Slow(slow()),
                Grave::Warning,
                "slow_query:q_5a1f0c33d2e94b07",
                Severity::Warning,
                "7 of 20 executions of a query were slow",
                is_slow.to_owned(),
            ),
            (
                What::NoIndex(slow()),
                Grave::High,
                "missing_index:q_5a1f0c33d2e94b07",
                Severity::Warning,
                "A query that uses no index took up to 2500 ms",
                is_slow.to_owned(),
            ),
            (
                repeated(Pattern::NPlusOne),
                Grave::High,
                "n_plus_one:GET /orders:q_5a1f0c33d2e94b07",
                Severity::Warning,
                "N+1: the same SELECT ran 8 times per request in GET /orders",
                repeats(", with 11 different values"),
            ),
            (
                repeated(Pattern::Redundant),
                Grave::Medium,
                "redundant_query:GET /orders:q_5a1f0c33d2e94b07",
                Severity::Warning,
                "The same SELECT with the same values ran 8 times per request in GET /orders",
                repeats(""),
            ),
            (
                repeated(Pattern::WriteLoop),
                Grave::Medium,
                "write_loop:GET /orders:q_5a1f0c33d2e94b07",
                Severity::Warning,
                "The same statement wrote single rows 8 times per request in GET /orders",
                repeats(""),
            ),
            (
                chatty(),
                Grave::Info,
                "chatty_endpoint:GET /orders",
                Severity::Info,
                "25 quick queries per request take most of its time in GET /orders",
                "Its 10 requests made 250 queries, and at least one was running for 75 % of their time.".into(),
            ),
        ] {
            let found = found(what, severity, Confirmed);
            let suggestion = found.suggestion();
            let told = told(&facts(found, "select a from t"));
            assert_eq!((told.id(), told.severity, &*told.title), (id.to_owned(), expected, title));
            assert_eq!(told.because, because, "{id}");
            assert_eq!(told.remedy, Remedy::Sentence(suggestion.into()), "{id}");
            assert_eq!(told.worth.upstream_seconds_per_minute, Some(2.0), "{id}");
        }
        assert!(RULES.iter().all(|(_, find)| find(&Facts::default()).is_empty()));
    }

    #[test]
    fn what_each_kind_rests_on() {
        use Figure::{Count, Number};
        let slow_figures =
            [("avg_ms", Number(700.0)), ("calls", Count(20)), ("critical", Count(2)), ("max_ms", Number(2500.0))];
        let slow_figures = [&slow_figures[..], &[("slow", Count(7))]].concat();
        let repeated_figures = vec![
            ("per_request_avg", Number(8.0)),
            ("per_request_max", Count(12)),
            ("request_time_share_percent", Number(75.0)),
            ("requests", Count(9)),
        ];
        for (what, expected) in [
            (What::Critical(slow()), slow_figures.clone()),
            (What::Slow(slow()), slow_figures.clone()),
            (What::NoIndex(slow()), slow_figures),
            (repeated(Pattern::NPlusOne), repeated_figures.clone()),
            (repeated(Pattern::Redundant), repeated_figures.clone()),
            (repeated(Pattern::WriteLoop), repeated_figures),
            (chatty(), vec![("queries", Count(250)), ("requests", Count(10))]),
        ] {
            let kind = what.kind();
            let told = told(&facts(found(what, query::Severity::Medium, query::Confidence::Likely), ""));
            let figures: Vec<(&str, Figure)> = told.evidence.into_iter().collect();
            assert_eq!(figures, expected, "{kind}");
        }
    }

    #[test]
    fn severity_and_confidence_are_those_of_advice() {
        for (given, expected) in [
            (query::Severity::Critical, Severity::Critical),
            (query::Severity::High, Severity::Warning),
            (query::Severity::Medium, Severity::Warning),
            (query::Severity::Warning, Severity::Warning),
            (query::Severity::Info, Severity::Info),
        ] {
            let found = found(What::Slow(slow()), given, query::Confidence::Confirmed);
            assert_eq!(told(&facts(found, "")).severity, expected, "{given:?}");
        }
        for (given, expected) in [
            (query::Confidence::Confirmed, Confidence::Measured),
            (query::Confidence::Likely, Confidence::Candidate),
            (query::Confidence::Candidate, Confidence::Candidate),
        ] {
            let found = found(repeated(Pattern::NPlusOne), query::Severity::Medium, given);
            let told = told(&facts(found, ""));
            assert_eq!(told.confidence, expected, "{given:?}");
            assert_eq!(told.title.starts_with("Possible N+1"), given != query::Confidence::Confirmed, "{given:?}");
        }
    }

    #[test]
    fn a_query_is_shown_as_far_as_it_is_known_and_short() {
        let because = |text: &str| {
            let found = found(What::Slow(slow()), query::Severity::Warning, query::Confidence::Confirmed);
            told(&facts(found, text)).because
        };
        assert!(because("").ends_with("took 2500 ms."), "{}", because(""));
        let as_long = "é".repeat(SHOWN);
        assert!(because(&as_long).ends_with(&format!(" The query: {as_long}")));
        assert!(because(&format!("{as_long}x")).ends_with(&format!(" The query: {as_long}…")));
    }

    #[test]
    fn what_takes_no_time_is_worth_none() {
        let found = query::Finding {
            impact_per_hour: Duration::ZERO,
            ..found(chatty(), query::Severity::Info, query::Confidence::Confirmed)
        };
        assert_eq!(told(&facts(found, "")).worth, Worth::default());
    }
}
