//! The slowest single requests: what a percentile cannot show.

use std::{sync::Arc, time::Duration};

use super::sample::{CacheUse, Sample};

/// Enough to see a pattern, few enough to read.
pub const SLOWEST_KEPT: usize = 50;

/// One request among the slowest. It has no path, since a path may name a person.
#[derive(Clone, Debug, PartialEq)]
pub struct SlowRequest {
    /// The endpoint's name, such as `/users/{id}`.
    pub endpoint: Arc<str>,
    /// The method, or `_OTHER`.
    pub method: &'static str,
    /// The status that the client was sent.
    pub status: u16,
    /// First byte of the request in to last byte of the answer out.
    pub duration: Duration,
    /// From sending the request to the origin until its response head, if the origin was asked.
    pub upstream_first_byte: Option<Duration>,
    /// How the cache took part.
    pub cache: CacheUse,
}

/// The [`SLOWEST_KEPT`] slowest complete requests, slowest first, whether or not they are slow by the settings: a fast
/// app has slowest requests too.
#[derive(Clone, Debug, Default)]
pub(super) struct Slowest(Vec<SlowRequest>);

impl Slowest {
    /// Keeps the request if it is among the slowest. Of equally slow ones the first is kept.
    pub(super) fn offer(&mut self, sample: &Sample, method: &'static str) {
        let full = self.0.len() == SLOWEST_KEPT;
        if sample.aborted || full && self.0.last().is_some_and(|last| sample.duration <= last.duration) {
            return;
        }
        self.0.truncate(SLOWEST_KEPT - 1);
        let at = self.0.partition_point(|kept| kept.duration >= sample.duration);
        self.0.insert(
            at,
            SlowRequest {
                endpoint: sample.endpoint.clone(),
                method,
                status: sample.status,
                duration: sample.duration,
                upstream_first_byte: sample.upstream_first_byte,
                cache: sample.cache,
            },
        );
    }

    /// What is kept, slowest first.
    pub(super) fn to_vec(&self) -> Vec<SlowRequest> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn an_aborted_request_is_not_kept() {
        let mut slowest = Slowest::default();
        slowest.offer(&Sample { aborted: true, ..Sample::of("/", Duration::from_secs(60)) }, "GET");
        assert_eq!(slowest.to_vec(), []);
    }

    #[test]
    fn of_equally_slow_requests_the_first_stays() {
        let mut slowest = Slowest::default();
        for status in 200..300 {
            slowest.offer(&Sample { status, ..Sample::of("/", Duration::from_secs(1)) }, "GET");
        }
        let statuses: Vec<u16> = slowest.to_vec().iter().map(|kept| kept.status).collect();
        assert_eq!(statuses, (200..200 + SLOWEST_KEPT as u16).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn the_slowest_are_kept_in_order(durations in vec(0u64..1000, 0..200)) {
            let mut slowest = Slowest::default();
            for duration in &durations {
                slowest.offer(&Sample::of("/", Duration::from_millis(*duration)), "GET");
            }
            let mut expected: Vec<Duration> = durations.into_iter().map(Duration::from_millis).collect();
            expected.sort_by(|a, b| b.cmp(a));
            expected.truncate(SLOWEST_KEPT);
            let kept: Vec<Duration> = slowest.to_vec().iter().map(|kept| kept.duration).collect();
            prop_assert_eq!(kept, expected);
        }
    }
}
