//! What is wrong with the queries of one request: pure rules over a [`Unit`], each in a file of its own.
//!
//! What they find in one request is a suspicion; it becomes a finding when it comes again and again (`evidence`).

mod chatty;
mod group;
mod n_plus_one;
mod redundant;
mod slow;
mod write_loop;

#[cfg(test)]
mod tests;
use std::time::Duration;

pub use chatty::{Chatty, chatty};
pub use slow::{Slowness, slowness};

use super::{Settings, Unit, fingerprint::Fingerprint};

/// A kind of repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// A query for each row of another.
    NPlusOne,
    /// The same query with the same values.
    Redundant,
    /// Rows that are written one by one.
    WriteLoop,
}

impl Pattern {
    /// Its name in findings.
    pub fn name(self) -> &'static str {
        match self {
            Self::NPlusOne => "n_plus_one",
            Self::Redundant => "redundant_query",
            Self::WriteLoop => "write_loop",
        }
    }
}

/// A query that was repeated in one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Repeated {
    /// How.
    pub pattern: Pattern,
    /// The query; of several that take turns, the first.
    pub id: Fingerprint,
    /// Those that take turns with it.
    pub turns: Vec<Fingerprint>,
    /// How often it ran.
    pub count: u32,
    /// How many different values it ran with; `None` where they cannot be seen.
    pub distinct: Option<u32>,
    /// The time in which it, or one that takes turns with it, ran.
    pub took: Duration,
    /// The part of the request's time that this is, 0 to 1.
    pub share: f64,
    /// Some of them ran at the same time.
    pub is_concurrent: bool,
    /// The query before the first of them, which may have given the rows that they are for.
    pub before: Option<Fingerprint>,
}

/// Everything that is repeated in a unit.
pub fn repeated(unit: &Unit, settings: &Settings) -> Vec<Repeated> {
    // A job may well take row after row.
    if !unit.is_request && !settings.n_plus_one.background && unit.lasted() > LONGEST_WITHOUT_REQUEST {
        return Vec::new();
    }
    let rules = [n_plus_one::find, redundant::find, write_loop::find];
    rules.into_iter().flat_map(|find| find(unit, settings)).collect()
}

/// What takes longer and answers no request is a job.
const LONGEST_WITHOUT_REQUEST: Duration = Duration::from_secs(60);

/// Whether a repetition takes enough time to matter.
fn weighs(unit: &Unit, took: Duration, share: f64, settings: &Settings) -> bool {
    let rules = &settings.n_plus_one;
    match unit.is_request {
        true => took >= rules.min_total || share >= rules.min_share,
        // Without a request nobody waits for it.
        false => took >= rules.min_total.max(Duration::from_millis(50)),
    }
}
