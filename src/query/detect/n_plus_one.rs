//! One query for a list, and one for each row of it.
//!
//! What is looked for is a look-up by equality that is repeated with other values: no list of values, which is the cure
//! and not the disease; no page after page; nothing that failed and was tried again. Many instrumentations show no values;
//! then it must be repeated more often, or come after another query that may have given the rows.

use super::{
    super::{Settings, Unit, fingerprint::Kind, unit::Executed},
    Pattern, Repeated,
    group::{Group, groups},
    weighs,
};

/// Executions from which on it is suspicious without any other sign.
const MANY: u32 = 10;

pub(super) fn find(unit: &Unit, settings: &Settings) -> Vec<Repeated> {
    let is_ignored = |query: &Executed| settings.n_plus_one.ignore.contains(&query.id);
    let mut groups = groups(unit, |query| is_look_up(query) && !is_ignored(query));
    groups.retain(|group| is_repeated(group, unit, settings) && !group.is_polling());
    let mut found = Vec::new();
    let mut rest = &groups[..];
    while let Some((group, after)) = rest.split_first() {
        // Those that take turns come one after the other: each for the same rows.
        let turns = after.iter().take_while(|other| take_turns(group, other)).count();
        let with: Vec<&Group<'_>> = after[..turns].iter().collect();
        found.push(group.repeated(Pattern::NPlusOne, unit, &with));
        rest = &after[turns..];
    }
    found.retain(|repeated| weighs(unit, repeated.took, repeated.share, settings));
    found
}

fn is_look_up(query: &Executed) -> bool {
    let traits = query.traits;
    let is_page = traits.offset || traits.range && traits.ordered && traits.limited;
    query.kind == Kind::Select && traits.equals && !traits.batched && !traits.sequence && !is_page
}

fn is_repeated(group: &Group<'_>, unit: &Unit, settings: &Settings) -> bool {
    let rules = &settings.n_plus_one;
    if group.count() < rules.min_count {
        return false;
    }
    match group.distinct() {
        (distinct, _) if distinct >= rules.min_distinct => true,
        (_, true) => false,
        (_, false) => group.count() >= MANY.max(rules.min_count) || group.before(unit).is_some(),
    }
}

/// Whether two queries run as often, in the same part of the request: `A B A B …`.
fn take_turns(one: &Group<'_>, other: &Group<'_>) -> bool {
    let ((from, to), (other_from, other_to)) = (one.range(), other.range());
    one.count().abs_diff(other.count()) <= 1 && other_from < to && from < other_to
}
