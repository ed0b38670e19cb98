//! Advice: what should be done, what that is worth, and by which numbers.
//!
//! One rule per file, each a pure function over [`Facts`] that answers with [`Finding`]s; here they are put together, the
//! gravest first, without those that the operator has muted.
//!
//! - `facts`: what rules look at; `counted`: the part of it that is kept; `finding`: what they answer.
//! - `slow_endpoint`, `low_hit_rate`, `not_cached`, `many_queries`, `low_compression`, `errors`, `saturation`,
//!   `cacheable`, `own_write`, `split`, `switch_on`, `regression`, `sizing`, `wrong_answers`,
//!   `queries`: the rules.
//! - `mute`: what is left out, by the configuration and besides; `marker`: the moments that `regression` looks at.
//! - `say`: figures in sentences; `snippet`: lines for `proxy.toml`.

mod cacheable;
mod counted;
mod errors;
mod facts;
pub mod finding;
mod low_compression;
mod low_hit_rate;
mod many_queries;
mod marker;
mod mute;
mod not_cached;
mod own_write;
mod queries;
mod regression;
mod saturation;
pub(crate) mod say;
mod sizing;
mod slow_endpoint;
mod snippet;
mod split;
mod switch_on;
mod wrong_answers;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod truth_tests;

pub use counted::{Counted, Recently};
pub use facts::{Facts, QueriesPerRequest};
pub use finding::{Confidence, Endpoint, Figure, Finding, Remedy, Severity, Worth};
pub use marker::{Change, Kind, Marker, Markers, Step, steps};
pub use mute::{Full, Muted, mute_lines, muting};

/// Findings beyond these say nothing to anybody.
pub const MOST_FINDINGS: usize = 100;

/// Every rule of one kind: the kind of its findings, and what it finds. Those of [`queries`] come after them.
const RULES: [Rule; 14] = [
    (errors::KIND, errors::find),
    (wrong_answers::KIND, wrong_answers::find),
    (regression::KIND, regression::find),
    (slow_endpoint::KIND, slow_endpoint::find),
    (saturation::KIND, saturation::find),
    (cacheable::KIND, cacheable::find),
    (switch_on::KIND, switch_on::find),
    (own_write::KIND, own_write::find),
    (split::KIND, split::find),
    (sizing::KIND, sizing::find),
    (low_hit_rate::KIND, low_hit_rate::find),
    (not_cached::KIND, not_cached::find),
    (many_queries::KIND, many_queries::find),
    (low_compression::KIND, low_compression::find),
];

type Rule = (&'static str, fn(&Facts) -> Vec<Finding>);

/// The settings of `[advice]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What is left out: ids of findings, such as `slow_endpoint:GET /report`, and kinds, for all of a kind.
    pub mute: Vec<String>,
}

/// What the rules found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The gravest first, and of those that are as grave, what is worth most; at most [`MOST_FINDINGS`].
    pub findings: Vec<Finding>,
    /// Those that are left out since they are muted, in the same order.
    pub muted: Vec<Finding>,
}

fn rules() -> impl Iterator<Item = Rule> {
    RULES.into_iter().chain(queries::RULES)
}

/// Kinds of findings, which is what `advice.mute` may begin with.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    rules().map(|(kind, _)| kind)
}

/// The longest name of a finding that can be muted, in bytes: a method, the longest name of an endpoint, and what else
/// tells findings apart.
const LONGEST_NAME: usize = 4 * Muted::LONGEST;

/// Whether a finding could have this id, or kind.
pub fn can_mute(name: &str) -> bool {
    let (kind, rest) = name.split_once(':').map_or((name, None), |(kind, rest)| (kind, Some(rest)));
    let is_text = name.len() <= LONGEST_NAME && !name.chars().any(char::is_control);
    is_text && rest != Some("") && kinds().any(|known| known == kind)
}

/// What all rules find, but for what is muted.
pub fn findings(facts: &Facts, muted: &[String]) -> Found {
    let all = rules().flat_map(|(_, find)| find(facts));
    let mut all: Vec<Finding> = all.collect();
    // Stable: what is worth as much stays in the order of the rules, and of each rule's own.
    all.sort_by(|a, b| a.severity.cmp(&b.severity).then_with(|| b.worth.compare(&a.worth)));
    let is_muted = |finding: &Finding| muting(muted, &finding.id()).is_some();
    let (muted, mut findings): (Vec<Finding>, Vec<Finding>) = all.into_iter().partition(is_muted);
    findings.truncate(MOST_FINDINGS);
    Found { findings, muted }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{fixture::rows, *};

    fn ids(found: &Found) -> Vec<String> {
        found.findings.iter().map(Finding::id).collect()
    }

    /// Two slow endpoints, one of which fails, and what is below all thresholds.
    fn facts() -> Facts {
        let millis = Duration::from_millis;
        let hour =
            rows(&[("/slow", 40, millis(700), 0), ("/slower", 40, millis(800), 0), ("/quick", 40, millis(9), 0)]);
        Facts { hour, recent: rows(&[("/slow", 40, millis(700), 20)]), ..Facts::default() }
    }

    #[test]
    fn the_gravest_come_first_and_then_what_is_worth_most() {
        let found = findings(&facts(), &[]);
        assert_eq!(ids(&found), ["errors:GET /slow", "slow_endpoint:GET /slower", "slow_endpoint:GET /slow"]);
        assert_eq!(found.muted, []);
    }

    #[test]
    fn what_is_muted_is_left_out_and_counted() {
        let muted = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| String::from(*name)).collect();
            let found = findings(&facts(), &names);
            (ids(&found).len(), found.muted.len())
        };
        assert_eq!(muted(&["slow_endpoint:GET /slow"]), (2, 1));
        assert_eq!(muted(&["slow_endpoint"]), (1, 2));
        assert_eq!(muted(&["slow_endpoint", "slow_endpoint:GET /slow", "errors:GET /slow"]), (0, 3));
        assert_eq!(muted(&["slow_endpoint:GET /sl", "slow", "slow_endpoint:POST /slow"]), (3, 0));
    }

    #[test]
    fn nothing_is_found_in_nothing() {
        assert_eq!(findings(&Facts::default(), &[]), Found::default());
    }

    #[test]
    fn there_are_a_hundred_at_most() {
        let names: Vec<String> = (0..150).map(|n| format!("/e{n}")).collect();
        let slow: Vec<_> = names.iter().map(|name| (&**name, 20, Duration::from_millis(600), 0)).collect();
        let facts = Facts { hour: rows(&slow), ..Facts::default() };
        assert_eq!(findings(&facts, &[]).findings.len(), MOST_FINDINGS);
    }
}
