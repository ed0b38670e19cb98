//! Counters of the front door: connections, refusals, failures of the origin; and of the admin port, the requests that
//! were too many. Plain atomics, read by the admin port.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
        self.0.fetch_add(1, Relaxed);
        Entered(self.clone())
    }

    /// Counts one up like [`Gauge::enter`], unless the value has reached `limit`.
    pub fn enter_below(self: &std::sync::Arc<Self>, limit: u64) -> Option<Entered> {
        let entered = self.0.fetch_update(Relaxed, Relaxed, |value| (value < limit).then_some(value + 1));
        entered.is_ok().then(|| Entered(self.clone()))
    }

    /// The value now.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Holds a [`Gauge`] one higher for as long as it lives.
#[derive(Debug)]
pub struct Entered(std::sync::Arc<Gauge>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
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

    /// Counts a failure of the origin, or that it was spared a request.
    pub fn upstream_failed(&self, failure: UpstreamFailure) {
        self.upstream_failures[failure as usize].add();
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
