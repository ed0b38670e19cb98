//! What the cache would do as it is configured, while it only looks.

use std::collections::BTreeMap;

use crate::observe::Report;

use super::{Confidence, Facts, Figure, Finding, Remedy, Severity, Worth, cacheable::percent, say};

pub(super) const KIND: &str = "switch_on";
/// Answers without which nothing is said.
const ENOUGH: u64 = 20;

/// While `mode` is `"observe"`: what would have been answered from the cache with the lifetimes that are stated now.
pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    facts.observed.only_observes.then(|| finding(&facts.observed)).flatten().into_iter().collect()
}

fn finding(report: &Report) -> Option<Finding> {
    let (mut answers, mut hits, mut outdated, mut seconds) = (0.0, 0.0, 0.0, 0.0);
    for watched in &report.endpoints {
        // What is watched stands for all.
        let figures = &watched.figures;
        let scale = figures.answers as f64 / figures.watched.max(1) as f64;
        answers += figures.answers as f64;
        hits += figures.configured.requests as f64 * scale;
        outdated += figures.configured.outdated as f64 * scale;
        seconds += figures.configured.upstream.as_secs_f64() * scale;
    }
    if answers < ENOUGH as f64 {
        return None;
    }
    let (answers, hits, outdated) = (answers.round() as u64, hits.round() as u64, outdated.round() as u64);
    let minutes = report.lasts.as_secs_f64().max(1.0) / 60.0;
    let span = say::last(report.lasts);
    let because = match hits {
        0 => format!(
            "None of {} answers of the app in {span} could have come from the cache: the app states no lifetimes, and \
             neither does the configuration. Other findings say which endpoints could have one.",
            say::grouped(answers)
        ),
        _ => format!(
            "Of {} answers of the app in {span}, {} ({}) would have come from the cache, with the lifetimes that the app and \
             the configuration state now; {} of them would have been out of date.",
            say::grouped(answers),
            say::grouped(hits),
            say::percent(percent(hits, answers)),
            say::percent(percent(outdated, hits))
        ),
    };
    Some(Finding {
        kind: KIND,
        severity: Severity::Info,
        confidence: Confidence::Measured,
        endpoint: None,
        subject: String::new(),
        title: format!(
            "Switched on, the cache would answer {} of what it may look at",
            say::percent(percent(hits, answers))
        ),
        because,
        remedy: Remedy::Config("mode = \"on\"  # at the head of the file, in place of \"observe\"\n".into()),
        worth: Worth {
            upstream_requests_per_minute: Some(hits as f64 / minutes),
            upstream_seconds_per_minute: Some(seconds / minutes),
            ..Worth::default()
        },
        evidence: BTreeMap::from([
            ("answers", Figure::Count(answers)),
            ("hits", Figure::Count(hits)),
            ("hits_outdated", Figure::Count(outdated)),
            ("upstream_seconds_saved", Figure::Number(seconds)),
        ]),
    })
}
