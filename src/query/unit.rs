//! The queries of one request, in their order: what is looked at to find patterns.

use std::time::Duration;

use super::fingerprint::{Fingerprint, Kind, Print, Traits, Values};

/// A request, or a job, and the queries that it made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unit {
    /// How long it took, where that is known.
    pub took: Option<Duration>,
    /// It answered a request of a known endpoint. Otherwise it may be a job that works through a list, which is as it
    /// should be.
    pub is_request: bool,
    /// Its queries by their start.
    pub queries: Vec<Executed>,
}

/// One execution of a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Executed {
    /// Which query.
    pub id: Fingerprint,
    /// What it does.
    pub kind: Kind,
    /// What it has.
    pub traits: Traits,
    /// Which values it had.
    pub values: Values,
    /// Groups after VALUES.
    pub rows: u32,
    /// It is one of those that count as queries of the app.
    pub counts: bool,
    /// Several statements were sent at once.
    pub is_batch: bool,
    /// It failed.
    pub is_error: bool,
    /// Nanoseconds by the app's clock.
    pub start: u64,
    /// The same for its end.
    pub end: u64,
}

impl Executed {
    /// An execution of what a statement was seen to be, without what its source tells.
    pub fn of(print: &Print<'_>) -> Self {
        Self {
            id: print.id,
            kind: print.kind,
            traits: print.traits,
            values: print.values,
            rows: print.rows,
            counts: print.counts(),
            is_batch: false,
            is_error: false,
            start: 0,
            end: 0,
        }
    }

    /// How long it took.
    pub fn took(&self) -> Duration {
        Duration::from_nanos(self.end.saturating_sub(self.start))
    }
}

impl Unit {
    /// The queries that count.
    pub fn counted(&self) -> impl Iterator<Item = &Executed> {
        self.queries.iter().filter(|query| query.counts)
    }

    /// From its first query to the end of its last, where nobody said how long it took.
    pub fn lasted(&self) -> Duration {
        let begin = self.queries.iter().map(|query| query.start).min().unwrap_or(0);
        let end = self.queries.iter().map(|query| query.end).max().unwrap_or(0);
        self.took.unwrap_or(Duration::from_nanos(end.saturating_sub(begin)))
    }
}

/// The time in which at least one of them ran. They come by their start.
pub(super) fn busy<'a>(queries: impl Iterator<Item = &'a Executed>) -> Duration {
    let (mut sum, mut until) = (0u64, 0u64);
    for query in queries {
        sum = sum.saturating_add(query.end.saturating_sub(query.start.max(until)));
        until = until.max(query.end);
    }
    Duration::from_nanos(sum)
}
