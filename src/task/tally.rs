//! What has ended since the start of the process: counts that only grow, whatever of the tasks is forgotten.

use std::time::Duration;

use super::{
    life::{Reason, Status},
    record::{Kind, Record},
};

/// Bounds of the buckets, in milliseconds: from the patience of a client to the longest that a task may take.
const BOUNDS: [u64; 14] =
    [100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000];

/// Tasks that have ended since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    ended: [[u64; Status::ALL.len()]; Kind::ALL.len()],
    failed: [u64; Reason::ALL.len()],
    queued: Spread,
    executed: Spread,
}

impl Tally {
    /// Counts one that has just ended.
    pub(super) fn end(&mut self, record: &Record) {
        let life = &record.life;
        self.ended[record.kind as usize][life.status() as usize] += 1;
        if let Some((reason, _)) = life.failure() {
            self.failed[reason as usize] += 1;
        }
        self.queued.add(life.queued());
        if life.attempt() > 0 {
            self.executed.add(life.executed());
        }
    }

    /// How many of a kind have ended so.
    pub fn ended(&self, kind: Kind, status: Status) -> u64 {
        self.ended[kind as usize][status as usize]
    }

    /// How many have failed for this reason.
    pub fn failed(&self, reason: Reason) -> u64 {
        self.failed[reason as usize]
    }

    /// How long they waited.
    pub fn queued(&self) -> &Spread {
        &self.queued
    }

    /// How long those ran that were begun.
    pub fn executed(&self) -> &Spread {
        &self.executed
    }
}

/// Durations in 14 buckets, from 100 ms to 1 h.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// As many were within the bound and above the one before; the last one has no bound.
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl Spread {
    fn add(&mut self, took: Duration) {
        let bucket = BOUNDS.partition_point(|bound| Duration::from_millis(*bound) < took);
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(took);
    }

    /// For each bound, how many were not longer.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        let below = self.counts.iter().scan(0, |below, count| {
            *below += count;
            Some(*below)
        });
        BOUNDS.map(Duration::from_millis).into_iter().zip(below)
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together.
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against counting one by one.
        #[test]
        fn buckets_have_what_is_not_longer_than_their_bounds(millis in prop::collection::vec(0u64..8_000_000, 0..50)) {
            let mut spread = Spread::default();
            millis.iter().for_each(|millis| spread.add(Duration::from_millis(*millis)));
            for (bound, count) in spread.cumulative() {
                let expected = millis.iter().filter(|millis| Duration::from_millis(**millis) <= bound).count();
                prop_assert_eq!(count, expected as u64, "{:?}", bound);
            }
            prop_assert_eq!(spread.count(), millis.len() as u64);
            prop_assert_eq!(spread.sum(), Duration::from_millis(millis.iter().sum()));
        }
    }

    #[test]
    fn words_are_where_they_are_counted() {
        Kind::ALL.into_iter().enumerate().for_each(|(at, kind)| assert_eq!(kind as usize, at));
        Status::ALL.into_iter().enumerate().for_each(|(at, status)| assert_eq!(status as usize, at));
        Reason::ALL.into_iter().enumerate().for_each(|(at, reason)| assert_eq!(reason as usize, at));
    }
}
