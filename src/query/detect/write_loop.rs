//! Rows that are written one by one within one request.

use super::{
    super::{Settings, Unit, fingerprint::Kind, unit::Executed},
    Pattern, Repeated,
    group::groups,
    weighs,
};

/// Statements of one row each.
const MANY: u32 = 10;

pub(super) fn find(unit: &Unit, settings: &Settings) -> Vec<Repeated> {
    let is_ignored = |query: &Executed| settings.n_plus_one.ignore.contains(&query.id);
    let writes_one = |query: &Executed| {
        let writes = matches!(query.kind, Kind::Insert | Kind::Update | Kind::Delete);
        writes && query.rows == 1 && !query.traits.batched && !is_ignored(query)
    };
    let loops = groups(unit, writes_one).into_iter().filter(|group| group.count() >= MANY && !group.is_polling());
    let found = loops.map(|group| group.repeated(Pattern::WriteLoop, unit, &[]));
    found.filter(|repeated| weighs(unit, repeated.took, repeated.share, settings)).collect()
}
