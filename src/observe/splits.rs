//! Parts of requests that split a resource into many, although its answer is the same for all of them.

use std::{collections::BTreeMap, time::Duration};

use super::answer::{Dimension, Kind};
use super::resource::{Micros, micros};

/// Comparisons that wait for the other half.
const WAITING: usize = 4096;
/// Parts that are looked at, of all endpoints together.
const MOST: usize = 512;
/// Two answers are compared if they are no further apart.
const WITHIN: Duration = Duration::from_secs(60);
/// A longer name is not looked at.
const LONGEST_NAME: usize = 64;

/// What came of comparing answers to requests that differ in one part only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The endpoint's name.
    pub endpoint: String,
    /// What differs.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Pairs of answers that came within a minute to requests that differ in this only.
    pub compared: u64,
    /// Of them, those that were the same.
    pub same: u64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    rest: u64,
    value: u64,
    digest: u64,
    at: Micros,
}

/// The comparisons.
#[derive(Debug)]
pub(super) struct Splits {
    /// By a hash of everything but the part; what is newer takes the place.
    waiting: Vec<Option<Waiting>>,
    found: BTreeMap<(usize, Kind, String), (u64, u64)>,
}

impl Default for Splits {
    fn default() -> Self {
        Self { waiting: vec![None; WAITING], found: BTreeMap::new() }
    }
}

impl Splits {
    /// Compares an answer of an endpoint, by its number, with the last one to the same request but for this part.
    pub(super) fn compare(&mut self, row: usize, part: &Dimension<'_>, digest: u64, now: Micros) {
        if part.name.len() > LONGEST_NAME {
            return;
        }
        let place = &mut self.waiting[(part.rest % WAITING as u64) as usize];
        let before = place.replace(Waiting { rest: part.rest, value: part.value, digest, at: now });
        let Some(before) = before.filter(|before| before.rest == part.rest && before.value != part.value) else {
            return;
        };
        if now.saturating_sub(before.at) > micros(WITHIN) {
            return;
        }
        let key = (row, part.kind, part.name.to_owned());
        if self.found.len() < MOST || self.found.contains_key(&key) {
            let (compared, same) = self.found.entry(key).or_default();
            *compared += 1;
            *same += u64::from(before.digest == digest);
        }
    }

    /// Gives endpoints other numbers; those without are forgotten.
    pub(super) fn renumber(&mut self, number: impl Fn(usize) -> Option<usize>) {
        for ((row, kind, name), (compared, same)) in std::mem::take(&mut self.found) {
            if let Some(row) = number(row) {
                let known = self.found.entry((row, kind, name)).or_default();
                *known = (known.0 + compared, known.1 + same);
            }
        }
    }

    /// What was found.
    pub(super) fn report(&self, endpoint: impl Fn(usize) -> String) -> Vec<Split> {
        let split = |((row, kind, name), (compared, same)): (&(usize, Kind, String), &(u64, u64))| Split {
            endpoint: endpoint(*row),
            kind: *kind,
            name: name.clone(),
            compared: *compared,
            same: *same,
        };
        self.found.iter().map(split).collect()
    }
}
