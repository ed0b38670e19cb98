//! The same query with the same values, again and again within one request.

use super::{
    super::{Settings, Unit, fingerprint::Kind, unit::Executed},
    Pattern, Repeated,
    group::{Group, groups},
};

/// Executions of the same.
const MANY: usize = 5;

/// Only where all values are seen: two executions that look the same may ask for two things otherwise.
pub(super) fn find(unit: &Unit, settings: &Settings) -> Vec<Repeated> {
    let is_ignored = |query: &Executed| settings.n_plus_one.ignore.contains(&query.id);
    let reads = |query: &Executed| {
        query.kind == Kind::Select && query.values.is_complete && !query.traits.sequence && !is_ignored(query)
    };
    let same = groups(unit, reads).into_iter().filter_map(most_repeated);
    same.filter(|group| !group.is_polling()).map(|group| group.repeated(Pattern::Redundant, unit, &[])).collect()
}

/// Of the executions of a query, those with the values that it ran with most often, if that is often.
fn most_repeated(group: Group<'_>) -> Option<Group<'_>> {
    let mut hashes: Vec<u64> = group.runs.iter().map(|(_, query)| query.values.hash).collect();
    hashes.sort_unstable();
    let most = hashes.chunk_by(|a, b| a == b).max_by_key(|same| same.len())?;
    if most.len() < MANY {
        return None;
    }
    let hash = most[0];
    let runs = group.runs.into_iter().filter(|(_, query)| query.values.hash == hash).collect();
    Some(Group { id: group.id, runs })
}
