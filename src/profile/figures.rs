//! What is counted for one endpoint, or for all of them together.

use std::time::Duration;

use super::{
    histogram::Histogram,
    latency::Latency,
    sample::{CacheUse, Sample},
};

/// An endpoint answers with a handful of statuses. An origin that invents them must not make a series of each.
pub const STATUSES_PER_ENDPOINT: usize = 16;

/// What is counted for one endpoint, or for all of them together.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Requests that ended, aborted ones included.
    pub requests: u64,
    /// Of them, those answered with a status of 500 or above.
    pub errors: u64,
    /// Of them, those that were cut short; they are in no duration.
    pub aborted: u64,
    /// Of them, those that took at least as long as the settings call slow.
    pub slow: u64,
    /// Requests by the status they were answered with.
    pub statuses: Statuses,
    /// How long the complete ones took, for percentiles.
    pub latency: Latency,
    /// How long the complete ones took, in fixed buckets.
    pub durations: Histogram,
    /// How long the origin took until its response head, whenever it was asked and answered.
    pub upstream: Histogram,
    /// Body bytes sent to clients.
    pub bytes: u64,
    cache: [u64; CacheUse::ALL.len()],
}

impl Figures {
    /// Counts a request, which is slow from `slow` on.
    pub fn add(&mut self, sample: &Sample, slow: Duration) {
        self.requests += 1;
        self.errors += u64::from(sample.status >= 500);
        self.statuses.add(sample.status, 1);
        self.cache[sample.cache as usize] += 1;
        self.bytes = self.bytes.saturating_add(sample.bytes);
        if let Some(first_byte) = sample.upstream_first_byte {
            self.upstream.add(first_byte);
        }
        if sample.aborted {
            self.aborted += 1;
        } else {
            self.slow += u64::from(sample.duration >= slow);
            self.latency.add(sample.duration);
            self.durations.add(sample.duration);
        }
    }

    /// Counts what the other one counted.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.aborted += other.aborted;
        self.slow += other.slow;
        self.statuses.merge(&other.statuses);
        self.latency.merge(&other.latency);
        self.durations.merge(&other.durations);
        self.upstream.merge(&other.upstream);
        self.bytes = self.bytes.saturating_add(other.bytes);
        for (mine, theirs) in self.cache.iter_mut().zip(other.cache) {
            *mine += theirs;
        }
    }

    /// Requests that the cache took part in this way.
    pub fn cache(&self, used: CacheUse) -> u64 {
        self.cache[used as usize]
    }

    /// Share of the requests the cache looked at that it answered, 0 to 100; `None` before the first.
    pub fn cache_hit_rate_percent(&self) -> Option<f64> {
        let hits = self.cache(CacheUse::Hit);
        percent(hits, hits + self.cache(CacheUse::Miss))
    }

    /// Share of all requests that were answered with an error, 0 to 100; `None` before the first.
    pub fn error_rate_percent(&self) -> Option<f64> {
        percent(self.errors, self.requests)
    }

    /// Share of all requests that were slow, 0 to 100; `None` before the first.
    pub fn slow_rate_percent(&self) -> Option<f64> {
        percent(self.slow, self.requests)
    }
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 * 100.0 / whole as f64)
}

/// Requests by status: the first [`STATUSES_PER_ENDPOINT`] that occur are told apart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statuses {
    known: Vec<(u16, u64)>,
    other: u64,
}

impl Statuses {
    fn add(&mut self, status: u16, count: u64) {
        if let Some((_, known)) = self.known.iter_mut().find(|(known, _)| *known == status) {
            *known += count;
        } else if self.known.len() < STATUSES_PER_ENDPOINT {
            self.known.push((status, count));
        } else {
            self.other += count;
        }
    }

    fn merge(&mut self, other: &Self) {
        for (status, count) in &other.known {
            self.add(*status, *count);
        }
        self.other += other.other;
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
    use super::*;

    const SLOW: Duration = Duration::from_millis(500);

    fn figures(samples: &[Sample]) -> Figures {
        let mut figures = Figures::default();
        samples.iter().for_each(|sample| figures.add(sample, SLOW));
        figures
    }

    fn quick() -> Sample {
        Sample::of("/", Duration::from_millis(1))
    }

    #[test]
    fn an_error_is_a_status_from_500_on() {
        let figures = figures(&[499, 500, 503, 200].map(|status| Sample { status, ..quick() }));
        assert_eq!((figures.errors, figures.error_rate_percent()), (2, Some(50.0)));
        assert_eq!(figures.statuses.known(), [(200, 1), (499, 1), (500, 1), (503, 1)]);
    }

    #[test]
    fn slow_begins_at_the_threshold() {
        let figures = figures(&[Sample::of("/", SLOW), Sample::of("/", SLOW - Duration::from_nanos(1))]);
        assert_eq!((figures.slow, figures.slow_rate_percent()), (1, Some(50.0)));
    }

    #[test]
    fn an_aborted_request_is_counted_and_in_no_duration() {
        let aborted = Sample { aborted: true, bytes: 7, ..Sample::of("/", Duration::from_secs(9)) };
        let figures = figures(&[aborted]);
        assert_eq!((figures.requests, figures.aborted, figures.bytes), (1, 1, 7));
        assert_eq!((figures.slow, figures.latency.count(), figures.durations.count()), (0, 0, 0));
    }

    #[test]
    fn the_hit_rate_leaves_out_what_the_cache_did_not_look_at() {
        use CacheUse::{Bypass, Hit, Miss};
        let of = |uses: &[CacheUse]| {
            let samples: Vec<Sample> = uses.iter().map(|cache| Sample { cache: *cache, ..quick() }).collect();
            figures(&samples).cache_hit_rate_percent()
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[Bypass]), None);
        assert_eq!(of(&[Hit, Miss, Miss, Miss, Bypass]), Some(25.0));
    }

    #[test]
    fn only_requests_that_reached_the_origin_are_in_its_histogram() {
        let asked = Sample { upstream_first_byte: Some(Duration::from_millis(20)), ..quick() };
        let figures = figures(&[asked, quick()]);
        assert_eq!((figures.upstream.count(), figures.upstream.sum()), (1, Duration::from_millis(20)));
    }

    #[test]
    fn statuses_beyond_the_bound_count_together() {
        let samples: Vec<Sample> = (200..300).map(|status| Sample { status, ..quick() }).collect();
        let statuses = figures(&samples).statuses;
        assert_eq!(statuses.known().len(), STATUSES_PER_ENDPOINT);
        assert_eq!(statuses.other(), 100 - STATUSES_PER_ENDPOINT as u64);
    }

    #[test]
    fn merged_figures_are_those_of_all_samples() {
        let samples: Vec<Sample> = (0..40u16)
            .map(|n| Sample {
                status: 200 + n * 10,
                cache: CacheUse::ALL[usize::from(n) % 3],
                duration: Duration::from_millis(u64::from(n) * 25),
                upstream_first_byte: (n % 2 == 0).then_some(Duration::from_millis(n.into())),
                bytes: n.into(),
                aborted: n % 7 == 0,
                ..quick()
            })
            .collect();
        let all = figures(&samples);
        let mut merged = figures(&samples[..15]);
        merged.merge(&figures(&samples[15..]));
        assert_eq!((merged.requests, merged.errors, merged.aborted), (all.requests, all.errors, all.aborted));
        assert_eq!((merged.slow, merged.bytes, merged.cache), (all.slow, all.bytes, all.cache));
        assert_eq!((&merged.durations, &merged.upstream), (&all.durations, &all.upstream));
        assert_eq!(merged.statuses, all.statuses);
        assert_eq!(merged.latency.summary().unwrap().p95, all.latency.summary().unwrap().p95);
    }
}
