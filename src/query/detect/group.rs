//! Executions of one query within a unit.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::{
    super::{
        fingerprint::Fingerprint,
        unit::{Executed, Unit, busy},
    },
    Pattern, Repeated,
};

/// Spans that overlap by this need not have been at the same time: some clocks begin them at whole milliseconds (that of
/// OpenTelemetry for Node.js).
const CLOCK: u64 = 1_000_000;
/// Executions that wait for something are spaced by at least this, and by ten times what each takes.
const POLLING: Duration = Duration::from_millis(100);

/// The executions of one query, by their start, with their places in the unit.
pub(super) struct Group<'a> {
    pub(super) id: Fingerprint,
    pub(super) runs: Vec<(usize, &'a Executed)>,
}

/// The queries of a unit that are of interest, in the order of their first execution.
pub(super) fn groups(unit: &Unit, is_of_interest: impl Fn(&Executed) -> bool) -> Vec<Group<'_>> {
    let mut places: HashMap<Fingerprint, usize> = HashMap::new();
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (at, query) in unit.queries.iter().enumerate() {
        // One that failed was tried again.
        if !query.counts || query.is_error || query.is_batch || !is_of_interest(query) {
            continue;
        }
        let place = *places.entry(query.id).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Group { id: query.id, runs: Vec::new() });
        }
        groups[place].runs.push((at, query));
    }
    groups
}

impl Group<'_> {
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.runs.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn range(&self) -> (usize, usize) {
        (self.runs.first().map_or(0, |(at, _)| *at), self.runs.last().map_or(0, |(at, _)| *at))
    }

    /// How many different values there were, as far as they are seen, and whether all of them are.
    pub(super) fn distinct(&self) -> (u32, bool) {
        let values: HashSet<u64> = self.runs.iter().map(|(_, query)| query.values.hash).collect();
        (u32::try_from(values.len()).unwrap_or(u32::MAX), self.runs.iter().all(|(_, query)| query.values.is_complete))
    }

    pub(super) fn is_concurrent(&self) -> bool {
        self.runs.windows(2).any(|pair| pair[1].1.start.saturating_add(CLOCK) < pair[0].1.end)
    }

    /// Whether it was asked now and then, as by who waits for something to happen.
    pub(super) fn is_polling(&self) -> bool {
        let (Some((_, first)), Some((_, last))) = (self.runs.first(), self.runs.last()) else { return false };
        let gaps = u64::try_from(self.runs.len() - 1).unwrap_or(0).max(1);
        let gap = Duration::from_nanos(last.start.saturating_sub(first.start) / gaps);
        let each = self.runs.iter().map(|(_, query)| query.took()).sum::<Duration>() / self.count().max(1);
        gap >= POLLING && gap >= each * 10
    }

    /// As it is found, with those that take turns with it.
    pub(super) fn repeated(&self, pattern: Pattern, unit: &Unit, turns: &[&Group<'_>]) -> Repeated {
        let mut all: Vec<(usize, &Executed)> = self.runs.clone();
        turns.iter().for_each(|group| all.extend(&group.runs));
        all.sort_by_key(|(at, _)| *at);
        let took = busy(all.iter().map(|(_, query)| *query));
        let whole = unit.lasted().max(took);
        let (distinct, is_seen) = self.distinct();
        Repeated {
            pattern,
            id: self.id,
            turns: turns.iter().map(|group| group.id).collect(),
            count: self.count(),
            distinct: (is_seen || distinct > 1).then_some(distinct),
            took,
            share: if whole.is_zero() { 0.0 } else { took.as_secs_f64() / whole.as_secs_f64() },
            is_concurrent: self.is_concurrent(),
            before: self.before(unit),
        }
    }

    /// Another query that reads, before the first of these.
    pub(super) fn before(&self, unit: &Unit) -> Option<Fingerprint> {
        let (first, _) = self.range();
        let reads = |query: &&Executed| {
            query.counts
                && !query.is_error
                && query.id != self.id
                && query.kind == super::super::fingerprint::Kind::Select
        };
        unit.queries[..first].iter().rev().find(reads).map(|query| query.id)
    }
}
