//! What is counted of an endpoint over some time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    latency::{Latency, PackedLatency},
    sample::{CacheUse, Ending, Sample},
};

/// What is counted of an endpoint, or of all of them together, over some time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// How many requests, and what became of them.
    pub counts: Counts,
    /// How long the complete ones took, as their clients see it.
    pub latency: Latency,
    /// How long the origin took until its response head for complete ones, where it was asked: a client that takes its
    /// time does not make this longer.
    pub upstream: Latency,
}

/// How many requests, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that ended, in whichever way.
    pub requests: u64,
    /// Of them, those answered with a status of 500 or above.
    pub errors: u64,
    /// Of them, those that were cut short; they are in no duration.
    pub aborted: u64,
    /// Of them, tunnels and streams of events; they are in no duration.
    pub open: u64,
    /// Of them, those that took at least as long as the settings call slow.
    pub slow: u64,
    /// Body bytes sent to clients.
    pub bytes: u64,
    /// Requests that the cache answered without one to the origin.
    pub spared: u64,
    /// Body bytes of their answers, as they were sent.
    pub spared_bytes: u64,
    /// Body bytes that clients were not sent since bodies were coded here; negative where coding made them longer.
    pub saved_bytes: i64,
    /// What requests waited for a turn at the origin, in nanoseconds.
    queue: u64,
    /// What they waited for a connection to it.
    connect: u64,
    /// What coding took for them.
    coding: u64,
    cache: [u64; CacheUse::ALL.len()],
}

/// The same in little room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PackedFigures {
    counts: Counts,
    latency: PackedLatency,
    upstream: PackedLatency,
}

impl Counts {
    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.requests, other.requests),
            (&mut self.errors, other.errors),
            (&mut self.aborted, other.aborted),
            (&mut self.open, other.open),
            (&mut self.slow, other.slow),
            (&mut self.bytes, other.bytes),
            (&mut self.spared, other.spared),
            (&mut self.spared_bytes, other.spared_bytes),
            (&mut self.queue, other.queue),
            (&mut self.connect, other.connect),
            (&mut self.coding, other.coding),
        ] {
            *mine = mine.saturating_add(theirs);
        }
        self.saved_bytes = self.saved_bytes.saturating_add(other.saved_bytes);
        for (mine, theirs) in self.cache.iter_mut().zip(other.cache) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// Counts what the request spared the origin, and what it waited for here.
    fn add_costs(&mut self, sample: &Sample) {
        match sample.upstream {
            Some(asked) => {
                self.queue = self.queue.saturating_add(nanos(asked.queue));
                self.connect = self.connect.saturating_add(nanos(asked.connect));
            }
            None if sample.cache == CacheUse::Hit => {
                self.spared += 1;
                self.spared_bytes = self.spared_bytes.saturating_add(sample.bytes);
            }
            None => {}
        }
        self.coding = self.coding.saturating_add(nanos(sample.compression));
    }

    /// What requests waited for a turn at the origin, all together.
    pub fn queue(&self) -> Duration {
        Duration::from_nanos(self.queue)
    }

    /// What they waited for a connection to it.
    pub fn connect(&self) -> Duration {
        Duration::from_nanos(self.connect)
    }

    /// What coding took for them.
    pub fn coding(&self) -> Duration {
        Duration::from_nanos(self.coding)
    }
}

fn nanos(duration: Duration) -> u64 {
    duration.as_nanos().try_into().unwrap_or(u64::MAX)
}

impl Figures {
    /// Counts a request, which is slow from `slow` on.
    pub fn add(&mut self, sample: &Sample, slow: Duration) {
        let counts = &mut self.counts;
        counts.requests += 1;
        counts.errors += u64::from(sample.status >= 500);
        counts.cache[sample.cache as usize] += 1;
        counts.bytes = counts.bytes.saturating_add(sample.bytes);
        counts.saved_bytes = counts.saved_bytes.saturating_add(sample.saved);
        counts.add_costs(sample);
        match sample.ending {
            Ending::Aborted => counts.aborted += 1,
            Ending::Open => counts.open += 1,
            Ending::Complete => {
                counts.slow += u64::from(sample.duration >= slow);
                self.latency.add(sample.duration);
                if let Some(asked) = sample.upstream {
                    self.upstream.add(asked.first_byte);
                }
            }
        }
    }

    /// Counts what the other one counted.
    pub fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.latency.merge(&other.latency);
        self.upstream.merge(&other.upstream);
    }

    pub(super) fn merge_packed(&mut self, other: &PackedFigures) {
        self.counts.merge(&other.counts);
        self.latency.merge_packed(&other.latency);
        self.upstream.merge_packed(&other.upstream);
    }

    /// In little room; nothing where nothing was counted.
    pub(super) fn pack(&self) -> Option<Box<PackedFigures>> {
        (self.counts.requests > 0).then(|| {
            Box::new(PackedFigures {
                counts: self.counts,
                latency: self.latency.pack(),
                upstream: self.upstream.pack(),
            })
        })
    }

    /// Forgets everything, and keeps the room.
    pub(super) fn clear(&mut self) {
        self.counts = Counts::default();
        self.latency.clear();
        self.upstream.clear();
    }

    /// Requests that the cache took part in this way.
    pub fn cache(&self, used: CacheUse) -> u64 {
        self.counts.cache[used as usize]
    }

    /// How long the origin would have taken until its response heads for the requests that it was spared, had it taken as
    /// long as for the others on average; nothing where it was asked for none.
    pub fn spared_time(&self) -> Duration {
        let Ok(asked @ 1..) = u32::try_from(self.upstream.count()) else { return Duration::ZERO };
        (self.upstream.sum() / asked).saturating_mul(self.counts.spared.try_into().unwrap_or(u32::MAX))
    }

    /// Share of the requests the cache looked at that it answered, 0 to 100; `None` before the first.
    pub fn cache_hit_rate_percent(&self) -> Option<f64> {
        let hits = self.cache(CacheUse::Hit);
        percent(hits as f64, (hits + self.cache(CacheUse::Miss)) as f64)
    }

    /// Share of all requests that were answered with an error, 0 to 100; `None` before the first.
    pub fn error_rate_percent(&self) -> Option<f64> {
        percent(self.counts.errors as f64, self.counts.requests as f64)
    }

    /// Share of all requests that were slow, 0 to 100; `None` before the first.
    pub fn slow_rate_percent(&self) -> Option<f64> {
        percent(self.counts.slow as f64, self.counts.requests as f64)
    }

    /// Share of the time of all complete requests that the origin took until its response head, 0 to 100; `None` before
    /// the first.
    pub fn upstream_share_percent(&self) -> Option<f64> {
        let share = percent(self.upstream.sum().as_secs_f64(), self.latency.sum().as_secs_f64());
        // An origin that answers before the whole head was read here is not more than everything.
        share.map(|share| share.min(100.0))
    }
}

impl PackedFigures {
    /// The bytes that it takes on the heap, itself included.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of::<Self>() + self.latency.heap_bytes() + self.upstream.heap_bytes()
    }
}

fn percent(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part * 100.0 / whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Asked;

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
        assert_eq!((figures.counts.errors, figures.error_rate_percent()), (2, Some(50.0)));
    }

    #[test]
    fn slow_begins_at_the_threshold() {
        let figures = figures(&[Sample::of("/", SLOW), Sample::of("/", SLOW - Duration::from_nanos(1))]);
        assert_eq!((figures.counts.slow, figures.slow_rate_percent()), (1, Some(50.0)));
    }

    #[test]
    fn what_is_not_complete_is_counted_and_in_no_duration() {
        let long = Sample { bytes: 7, ..Sample::of("/", Duration::from_secs(9)) }.asked(Duration::from_secs(8));
        let figures = figures(&[Ending::Aborted, Ending::Open].map(|ending| Sample { ending, ..long }));
        let counts = figures.counts;
        assert_eq!((counts.requests, counts.aborted, counts.open, counts.bytes), (2, 1, 1, 14));
        assert_eq!((counts.slow, figures.latency.count(), figures.upstream.count()), (0, 0, 0));
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
    fn the_share_of_the_origin_is_that_of_all_time() {
        let millis = Duration::from_millis;
        let asked = Sample::of("/", millis(30)).asked(millis(20));
        assert_eq!(figures(&[asked, Sample::of("/", millis(10))]).upstream_share_percent(), Some(50.0));
        assert_eq!(figures(&[]).upstream_share_percent(), None);
    }

    #[test]
    fn what_the_origin_was_spared_is_as_much_as_it_took_for_others() {
        use CacheUse::{Bypass, Hit, Miss};
        let millis = Duration::from_millis;
        let hit = Sample { cache: Hit, bytes: 70, ..quick() };
        // The origin confirmed what was stored, so that it was spared nothing but the body.
        let confirmed = Sample { cache: Hit, ..quick() }.asked(millis(20));
        let refused = Sample { cache: Bypass, status: 503, ..quick() };
        let asked = Sample { cache: Miss, bytes: 70, ..quick() }.asked(millis(40));
        let spared = |samples: &[Sample]| {
            let figures = figures(samples);
            (figures.counts.spared, figures.counts.spared_bytes, figures.spared_time())
        };
        assert_eq!(spared(&[hit, hit]), (2, 140, Duration::ZERO));
        assert_eq!(spared(&[asked, confirmed, refused]), (0, 0, Duration::ZERO));
        assert_eq!(spared(&[asked, confirmed, hit, hit, hit]), (3, 210, millis(90)));
        assert_eq!(spared(&[Sample { ending: Ending::Aborted, ..hit }]), (1, 70, Duration::ZERO));
    }

    #[test]
    fn what_requests_waited_for_adds_up() {
        let millis = Duration::from_millis;
        let asked = Asked { queue: millis(3), connect: millis(2), first_byte: millis(50), in_flight: 1 };
        let waited = Sample { upstream: Some(asked), compression: millis(5), ..quick() };
        let counts = figures(&[waited, Sample { ending: Ending::Aborted, ..waited }, quick()]).counts;
        assert_eq!((counts.queue(), counts.connect(), counts.coding()), (millis(6), millis(4), millis(10)));
    }

    #[test]
    fn merged_figures_are_those_of_all_samples() {
        let samples: Vec<Sample> = (0..40u16)
            .map(|n| {
                let sample = Sample {
                    status: 200 + n * 10,
                    cache: CacheUse::ALL[usize::from(n) % 3],
                    duration: Duration::from_millis(u64::from(n) * 25),
                    bytes: n.into(),
                    saved: i64::from(n) - 9,
                    ending: [Ending::Complete, Ending::Complete, Ending::Aborted, Ending::Open][usize::from(n) % 4],
                    ..quick()
                };
                if n % 2 == 0 { sample.asked(Duration::from_millis(n.into())) } else { sample }
            })
            .collect();
        let all = figures(&samples);
        let (mut merged, second) = (figures(&samples[..15]), figures(&samples[15..]));
        let mut unpacked = Figures::default();
        unpacked.merge_packed(&merged.pack().unwrap());
        unpacked.merge_packed(&second.pack().unwrap());
        merged.merge(&second);
        for figures in [merged, unpacked] {
            assert_eq!(figures.counts, all.counts);
            let p95 = |latency: &Latency| latency.summary().unwrap().p95;
            assert_eq!((p95(&figures.latency), p95(&figures.upstream)), (p95(&all.latency), p95(&all.upstream)));
        }
        assert_eq!(Figures::default().pack(), None);
    }
}
