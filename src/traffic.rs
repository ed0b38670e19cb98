//! Counters of the front door: connections, refusals, failures of the origin; and of the admin port, the requests that
//! were too many. Plain atomics, read by the admin port.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// Adds this many.
    pub fn add_many(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// The value now.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Counts one up until the returned guard is dropped.
    pub fn enter(self: &std::sync::Arc<Self>) -> Entered {
        let before = self.0.fetch_add(1, Relaxed);
        Entered { gauge: self.clone(), before }
    }

    /// Counts one up like [`Gauge::enter`], unless the value has reached `limit`.
    pub fn enter_below(self: &std::sync::Arc<Self>, limit: u64) -> Option<Entered> {
        let entered = self.0.fetch_update(Relaxed, Relaxed, |value| (value < limit).then_some(value + 1));
        entered.ok().map(|before| Entered { gauge: self.clone(), before })
    }

    /// The value now.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Holds a [`Gauge`] one higher for as long as it lives.
#[derive(Debug)]
pub struct Entered {
    gauge: std::sync::Arc<Gauge>,
    before: u64,
}

impl Entered {
    /// The value before.
    pub fn before(&self) -> u64 {
        self.before
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.gauge.0.fetch_sub(1, Relaxed);
    }
}

/// The upper bounds of waits, inclusive, in nanoseconds: what OpenTelemetry advises for the duration of HTTP requests.
const WAITS: [u64; 14] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];

/// The upper bounds of sizes, inclusive, in bytes: powers of 4 from 256 B to 16 MiB.
const SIZES: [u64; 9] = [1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24];

/// Values counted in fixed buckets, and one above them all. To count one takes two atomic additions.
#[derive(Debug)]
struct Buckets {
    bounds: &'static [u64],
    counts: Box<[Counter]>,
    sum: Counter,
}

impl Buckets {
    fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: (0..=bounds.len()).map(|_| Counter::default()).collect(), sum: Counter::default() }
    }

    fn add(&self, value: u64) {
        self.counts[self.bounds.partition_point(|bound| *bound < value)].add();
        self.sum.add_many(value);
    }

    /// What was counted, in units of which one value has `scale`.
    fn distribution(&self, scale: f64) -> Distribution {
        let mut count = 0;
        let mut below: Vec<(f64, u64)> = Vec::with_capacity(self.counts.len());
        for (at, counted) in self.counts.iter().enumerate() {
            count += counted.value();
            if let Some(bound) = self.bounds.get(at) {
                below.push((*bound as f64 / scale, count));
            }
        }
        Distribution { below, count, sum: self.sum.value() as f64 / scale }
    }
}

/// How values were distributed. What is counted while it is taken may be in the buckets and not yet in the sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// For each bound, how many values were not larger.
    pub below: Vec<(f64, u64)>,
    /// How many there were.
    pub count: u64,
    /// All of them together.
    pub sum: f64,
}

/// How long something was waited for, from 5 ms to 10 s in 14 buckets.
#[derive(Debug)]
pub struct Waits(Buckets);

impl Default for Waits {
    fn default() -> Self {
        Self(Buckets::new(&WAITS))
    }
}

impl Waits {
    /// Counts one wait.
    pub fn add(&self, wait: Duration) {
        self.0.add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The waits so far, in seconds.
    pub fn distribution(&self) -> Distribution {
        self.0.distribution(1e9)
    }
}

/// How large things were, from 256 B to 16 MiB in 9 buckets.
#[derive(Debug)]
pub struct Sizes(Buckets);

impl Default for Sizes {
    fn default() -> Self {
        Self(Buckets::new(&SIZES))
    }
}

impl Sizes {
    /// Counts something of this many bytes.
    pub fn add(&self, bytes: u64) {
        self.0.add(bytes);
    }

    /// The sizes so far, in bytes.
    pub fn distribution(&self) -> Distribution {
        self.0.distribution(1.0)
    }
}

/// Requests to the admin port that were refused since their client had sent too many, by the policy that says how many.
#[derive(Debug)]
pub struct Ratelimited(Vec<(&'static str, Counter)>);

impl Ratelimited {
    /// A counter for each of these names.
    pub fn new(policies: impl IntoIterator<Item = &'static str>) -> Self {
        Self(policies.into_iter().map(|policy| (policy, Counter::default())).collect())
    }

    /// Adds one.
    pub fn add(&self, policy: &str) {
        if let Some((_, counter)) = self.0.iter().find(|(known, _)| *known == policy) {
            counter.add();
        }
    }

    /// Every policy with its value now.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(policy, counter)| (*policy, counter.value()))
    }
}

/// Why a request was answered by the front door itself, by the status it was answered with.
pub const REFUSED_STATUSES: [u16; 9] = [400, 408, 413, 414, 417, 431, 501, 505, 508];

/// Why no answer could be had from the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamFailure {
    /// Its name has no address.
    Resolve,
    /// Nothing listens there, or the network says no.
    Connect,
    /// It did not accept the connection in time.
    ConnectTimeout,
    /// TLS could not be agreed on: most often, its certificate is not for its name or of an authority not trusted here.
    Tls,
    /// It was silent for longer than the read timeout, or did not take our bytes within the write timeout.
    Timeout,
    /// It closed the connection before its answer was complete.
    Closed,
    /// What it sent is not an HTTP response.
    Malformed,
    /// It was not asked: it has as many requests as it may, and so many wait that no other may.
    QueueFull,
    /// It was not asked: the request has waited for its turn for too long.
    QueueTimeout,
}

impl UpstreamFailure {
    /// Every failure, in the order of their counters.
    pub const ALL: [Self; 9] = [
        Self::Resolve,
        Self::Connect,
        Self::ConnectTimeout,
        Self::Tls,
        Self::Timeout,
        Self::Closed,
        Self::Malformed,
        Self::QueueFull,
        Self::QueueTimeout,
    ];

    /// The word for it in logs, JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect-timeout",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Malformed => "malformed",
            Self::QueueFull => "queue-full",
            Self::QueueTimeout => "queue-timeout",
        }
    }

    /// Whether the origin was not even asked, to spare it.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::QueueFull | Self::QueueTimeout)
    }

    /// The status that the client is answered with: 503 where the origin was spared, 504 for silence, 502 for the rest
    /// (RFC 9110 §15.6.3 to §15.6.5).
    pub fn status(self) -> u16 {
        match self {
            Self::QueueFull | Self::QueueTimeout => 503,
            Self::ConnectTimeout | Self::Timeout => 504,
            _ => 502,
        }
    }
}

/// What passed through the front door since the start.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Connections open now.
    pub connections: std::sync::Arc<Gauge>,
    /// Connections accepted.
    pub connections_total: Counter,
    /// Connections closed at once since a limit was reached.
    pub connections_refused: Counter,
    /// Requests being answered now.
    pub in_flight: std::sync::Arc<Gauge>,
    /// Bodies of requests that have one, as far as they came.
    pub request_bodies: Sizes,
    /// Bodies of answers, as far as they were sent; 0 for an answer without one. Tunnels have none.
    pub response_bodies: Sizes,
    /// How long requests waited for the head that another's fetch of the same brought, or did not bring.
    pub cache_lock_waits: Waits,
    /// Requests refused by the front door, in the order of [`REFUSED_STATUSES`].
    refused: [Counter; REFUSED_STATUSES.len()],
    /// Requests that the origin is working on, until the end of their answers.
    pub upstream_in_flight: std::sync::Arc<Gauge>,
    /// Requests that wait for their turn at the origin.
    pub upstream_queued: std::sync::Arc<Gauge>,
    /// Final responses whose head the origin has sent.
    pub upstream_responses: Counter,
    /// Failures of the origin, in the order of [`UpstreamFailure::ALL`].
    upstream_failures: [Counter; UpstreamFailure::ALL.len()],
    /// Failures since the last response.
    failing: AtomicU64,
    /// The last failure, by its place in [`UpstreamFailure::ALL`].
    last_failure: AtomicUsize,
    /// Lines of the access log that were dropped or could not be written.
    pub access_log_dropped: std::sync::Arc<Counter>,
    /// Tasks that panicked; each lost one connection and nothing else.
    pub panics: Counter,
}

impl Traffic {
    /// Counts a request that the front door refused with `status`.
    pub fn refuse(&self, status: u16) {
        let at = REFUSED_STATUSES.iter().position(|known| *known == status).unwrap_or(0);
        self.refused[at].add();
    }

    /// Requests refused so far, by status.
    pub fn refused(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        REFUSED_STATUSES.iter().zip(&self.refused).map(|(status, count)| (*status, count.value()))
    }

    /// Counts a final response of the origin.
    pub fn upstream_answered(&self) {
        self.upstream_responses.add();
        // Most often it is that already, and what is only read stays in the caches of all cores.
        if self.failing.load(Relaxed) > 0 {
            self.failing.store(0, Relaxed);
        }
    }

    /// Counts a failure of the origin, or that it was spared a request.
    pub fn upstream_failed(&self, failure: UpstreamFailure) {
        self.upstream_failures[failure as usize].add();
        if !failure.is_refusal() {
            self.last_failure.store(failure as usize, Relaxed);
            self.failing.fetch_add(1, Relaxed);
        }
    }

    /// How often the origin has failed since its last response, and how the last time; `None` where it has not.
    pub fn upstream_failing(&self) -> Option<(u64, UpstreamFailure)> {
        let times = self.failing.load(Relaxed);
        (times > 0).then(|| (times, UpstreamFailure::ALL[self.last_failure.load(Relaxed)]))
    }

    /// Failures of the origin so far, by reason.
    pub fn upstream_failures(&self) -> impl Iterator<Item = (UpstreamFailure, u64)> + '_ {
        self.unanswered().filter(|(failure, _)| !failure.is_refusal())
    }

    /// Requests that the origin was spared so far, by reason.
    pub fn upstream_refused(&self) -> impl Iterator<Item = (UpstreamFailure, u64)> + '_ {
        self.unanswered().filter(|(failure, _)| failure.is_refusal())
    }

    fn unanswered(&self) -> impl Iterator<Item = (UpstreamFailure, u64)> + '_ {
        UpstreamFailure::ALL.into_iter().zip(self.upstream_failures.iter().map(Counter::value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_are_inclusive_and_what_is_above_them_is_in_the_count_alone() {
        let sizes = Sizes::default();
        for size in [0, 256, 257, 16 << 20, (16 << 20) + 1] {
            sizes.add(size);
        }
        let found = sizes.distribution();
        assert_eq!(found.below[..2], [(256.0, 2), (1024.0, 3)]);
        assert_eq!(found.below[8], (16_777_216.0, 4));
        assert_eq!((found.count, found.sum), (5, 33_554_946.0));
    }

    #[test]
    fn waits_are_told_in_seconds() {
        let waits = Waits::default();
        for millis in [5, 750, 11_000] {
            waits.add(Duration::from_millis(millis));
        }
        let found = waits.distribution();
        assert_eq!((found.below[0], found.below[7], found.below[8]), ((0.005, 1), (0.5, 1), (0.75, 2)));
        assert_eq!((found.below[13], found.count, found.sum), ((10.0, 2), 3, 11.755));
    }

    #[test]
    fn an_origin_fails_until_it_answers() {
        let traffic = Traffic::default();
        traffic.upstream_failed(UpstreamFailure::QueueFull);
        assert_eq!(traffic.upstream_failing(), None, "it was not asked");
        traffic.upstream_failed(UpstreamFailure::Connect);
        traffic.upstream_failed(UpstreamFailure::Closed);
        assert_eq!(traffic.upstream_failing(), Some((2, UpstreamFailure::Closed)));
        traffic.upstream_answered();
        assert_eq!((traffic.upstream_failing(), traffic.upstream_responses.value()), (None, 1));
        assert_eq!(traffic.upstream_failures().map(|(_, times)| times).sum::<u64>(), 2);
    }

    proptest! {
        #[test]
        fn every_bucket_counts_what_is_not_larger(values in proptest::collection::vec(0u64..40_000_000, 0..200)) {
            let sizes = Sizes::default();
            values.iter().for_each(|value| sizes.add(*value));
            let found = sizes.distribution();
            for (bound, count) in &found.below {
                prop_assert_eq!(*count, values.iter().filter(|value| **value as f64 <= *bound).count() as u64);
            }
            prop_assert_eq!(found.count, values.len() as u64);
            prop_assert_eq!(found.sum, values.iter().sum::<u64>() as f64);
        }
    }
}
