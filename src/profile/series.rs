//! What is counted of an endpoint since its series began: for Prometheus, which wants numbers that only grow.

use super::{
    histogram::Histogram,
    sample::{Ending, Sample},
};

/// An endpoint answers with a handful of statuses. An origin that invents them must not make a series of each.
pub const STATUSES_PER_ENDPOINT: usize = 6;

/// What is counted of an endpoint since its series began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Requests that ended, by the status they were answered with.
    pub statuses: Statuses,
    /// How long the complete ones took, in fixed buckets.
    pub durations: Histogram,
    /// How long the origin took until its response head, whenever it was asked and answered.
    pub upstream: Histogram,
}

impl Series {
    pub(super) fn add(&mut self, sample: &Sample) {
        self.statuses.add(sample.status);
        if let Some(asked) = sample.upstream {
            self.upstream.add(asked.first_byte);
        }
        if sample.ending == Ending::Complete {
            self.durations.add(sample.duration);
        }
    }
}

/// Requests by status: the first [`STATUSES_PER_ENDPOINT`] that occur are told apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statuses {
    known: Vec<(u16, u64)>,
    other: u64,
}

impl Statuses {
    fn add(&mut self, status: u16) {
        if let Some((_, known)) = self.known.iter_mut().find(|(known, _)| *known == status) {
            *known += 1;
        } else if self.known.len() < STATUSES_PER_ENDPOINT {
            self.known.push((status, 1));
        } else {
            self.other += 1;
        }
    }

    /// Each status that is told apart, with its requests, in the order of the statuses.
    pub fn known(&self) -> Vec<(u16, u64)> {
        let mut known = self.known.clone();
        known.sort_unstable();
        known
    }

    /// Requests with any other status.
    pub fn other(&self) -> u64 {
        self.other
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn series(samples: impl IntoIterator<Item = Sample>) -> Series {
        let mut series = Series::default();
        samples.into_iter().for_each(|sample| series.add(&sample));
        series
    }

    fn quick() -> Sample {
        Sample::of("/", Duration::from_millis(1))
    }

    #[test]
    fn statuses_beyond_the_bound_count_together() {
        let statuses = series((200..300).map(|status| Sample { status, ..quick() })).statuses;
        assert_eq!(statuses.known().len(), STATUSES_PER_ENDPOINT);
        assert_eq!(statuses.other(), 100 - STATUSES_PER_ENDPOINT as u64);
    }

    #[test]
    fn only_requests_that_reached_the_origin_are_in_its_histogram() {
        let series = series([quick().asked(Duration::from_millis(20)), quick()]);
        assert_eq!((series.upstream.count(), series.upstream.sum()), (1, Duration::from_millis(20)));
        assert_eq!(series.durations.count(), 2);
    }

    #[test]
    fn what_is_not_complete_is_in_no_duration() {
        let ended = |ending| Sample { ending, ..quick() };
        let series = series([ended(Ending::Aborted), ended(Ending::Open)]);
        assert_eq!((series.durations.count(), series.statuses.known()), (0, vec![(200, 2)]));
    }
}
