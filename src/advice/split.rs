//! Headers, cookies and parameters of the query that split the cache for nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::observe::{Kind, Split};

use super::{Confidence, Endpoint, Facts, Figure, Finding, Remedy, Severity, Worth};

pub(super) const KIND: &str = "split";
/// Pairs of answers without which nothing is said.
const ENOUGH: u64 = 30;

/// What makes no difference to any answer. A cookie is ignored everywhere or nowhere, so it must make none anywhere.
pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    let report = &facts.observed;
    let counts: BTreeSet<&str> = report
        .splits
        .iter()
        .filter(|split| split.kind == Kind::Cookie && split.same < split.compared)
        .map(|split| &*split.name)
        .collect();
    let for_nothing = report.splits.iter().filter(|split| split.compared >= ENOUGH && split.same == split.compared);
    for_nothing.filter(|split| split.kind != Kind::Cookie || !counts.contains(&*split.name)).map(finding).collect()
}

fn finding(split: &Split) -> Finding {
    let Split { endpoint, kind, name, compared, .. } = split;
    let (what, remedy) = match kind {
        Kind::Query => (
            format!("the parameter {name:?}"),
            format!("Link to GET {endpoint} without {name:?}, or let the app redirect to the URL without it."),
        ),
        Kind::Header => (
            format!("the header {name}"),
            format!("If the answer to GET {endpoint} does not depend on {name}, let the app leave it out of Vary."),
        ),
        Kind::Cookie => (
            format!("the cookie {name:?}"),
            format!(
                "If no answer of the app depends on the cookie {name:?}, add it to `cache.ignore_cookies`: requests with it \
                 then count as everybody's."
            ),
        ),
    };
    Finding {
        kind: KIND,
        severity: Severity::Info,
        confidence: Confidence::Candidate,
        endpoint: Some(Endpoint { method: "GET".into(), name: endpoint.clone() }),
        subject: format!("{}={name}", kind.name()),
        title: format!("GET {endpoint}: {what} splits the cache for nothing"),
        because: format!(
            "{compared} times, two requests within a minute differed only in {what}, and every time the answer was the same."
        ),
        remedy: Remedy::Sentence(remedy),
        worth: Worth::default(),
        evidence: BTreeMap::from([
            ("kind", Figure::Text(kind.name().into())),
            ("name", Figure::Text(name.clone())),
            ("pairs_compared", Figure::Count(*compared)),
            ("pairs_same", Figure::Count(split.same)),
        ]),
    }
}
