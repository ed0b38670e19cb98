//! Endpoints that clients read right after they have written: with a cache, they would not have seen their own write.

use std::collections::BTreeMap;

use crate::{
    observe::{LIFETIMES, Watched},
    units,
};

use super::{Confidence, Endpoint, Facts, Figure, Finding, Remedy, Severity, Worth};

pub(super) const KIND: &str = "own_write";

/// Endpoints that somebody wrote to in a way that the cache cannot know, and read again within a lifetime.
pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    facts.observed.endpoints.iter().filter_map(finding).collect()
}

fn finding(watched: &Watched) -> Option<Finding> {
    let Watched { endpoint, figures, .. } = watched;
    let (lifetime, hits) = LIFETIMES.iter().zip(&figures.lifetimes).find(|(_, hits)| hits.own_writes > 0)?;
    let times = if hits.own_writes == 1 { "once".into() } else { format!("{} times", hits.own_writes) };
    let for_long = units::show_duration(*lifetime);
    Some(Finding {
        kind: KIND,
        severity: Severity::Info,
        confidence: Confidence::Measured,
        endpoint: Some(Endpoint { method: "GET".into(), name: endpoint.to_string() }),
        subject: String::new(),
        title: format!("Clients would not see their own writes in GET {endpoint}"),
        because: format!(
            "With a lifetime of {for_long}, a client that had just written something would have been given its old copy \
             {times}, of {} hits in all. The write was to another URL, so that the cache would not have known.",
            hits.requests
        ),
        remedy: Remedy::Sentence(format!(
            "Before GET {endpoint} is cached, let the app name it in `Location` or `Content-Location` of its answer to the \
             write, put both in a group (`Cache-Groups`, `Cache-Group-Invalidation`), or purge it."
        )),
        worth: Worth::default(),
        evidence: BTreeMap::from([
            ("lifetime_seconds", Figure::Count(lifetime.as_secs())),
            ("hits", Figure::Count(hits.requests)),
            ("hits_outdated", Figure::Count(hits.outdated)),
            ("hits_before_own_write", Figure::Count(hits.own_writes)),
        ]),
    })
}
