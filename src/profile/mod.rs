//! Percentiles per endpoint without a second system: one [`Sample`] per request, merged on reading.

use std::{sync::Arc, time::Duration};

/// What the profiler keeps and flags.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// A request at least this long counts as slow. Default 500 ms.
    pub slow: Duration,
    /// At most this many endpoints are told apart; the rest counts as `_other`. Default 500.
    pub max_endpoints: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { slow: Duration::from_millis(500), max_endpoints: 500 }
    }
}

/// How the cache took part in a request, as far as timing is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheUse {
    /// Answered from the store.
    Hit,
    /// The cache looked and had to ask the origin.
    Miss,
    /// The request was none of the cache's business.
    Bypass,
}

/// What one finished request tells the profiler.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The endpoint's name, such as `/users/{id}`.
    pub endpoint: Arc<str>,
    /// The request's method; what is not among the nine standard ones is shown as `_OTHER`.
    pub method: http::Method,
    /// The status that the client was sent, 100 to 999.
    pub status: u16,
    /// How the cache took part.
    pub cache: CacheUse,
    /// First byte of the request in to last byte of the answer out, as the client sees it.
    pub duration: Duration,
    /// From sending the request to the origin until its response head, if the origin was asked for this request.
    pub upstream_first_byte: Option<Duration>,
    /// Body bytes sent to the client.
    pub bytes: u64,
    /// The client or the origin went away before the end: counted, but kept out of the percentiles.
    pub aborted: bool,
}

/// Takes one [`Sample`] per request and answers with percentiles.
#[derive(Debug)]
pub struct Profiler {}

impl Profiler {
    /// An empty profiler.
    pub fn new(_settings: Settings) -> Self {
        Self {}
    }

    /// Takes a sample: short, never awaits.
    pub fn record(&self, _sample: Sample) {}
}
