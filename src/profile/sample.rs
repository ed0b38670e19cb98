//! What one finished request tells the profiler.

use std::{sync::Arc, time::Duration};

use http::Method;

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

impl CacheUse {
    /// Every use, in the order of their counters.
    pub const ALL: [Self; 3] = [Self::Hit, Self::Miss, Self::Bypass];

    /// The word for it in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

/// What one finished request tells the profiler.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The endpoint's name, such as `/users/{id}`.
    pub endpoint: Arc<str>,
    /// The request's method; what is not among the nine standard ones is shown as `_OTHER`.
    pub method: Method,
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

/// The method's name in figures: a client may send any token, and a label needs a bounded set.
///
/// The nine are those of RFC 9110 §9.3 and PATCH (RFC 5789).
pub(super) fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::CONNECT => "CONNECT",
        Method::DELETE => "DELETE",
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}

#[cfg(test)]
impl Sample {
    /// A complete 200 by GET that the cache had to ask the origin for, to be changed by the test that needs another.
    pub(crate) fn of(endpoint: &str, duration: Duration) -> Self {
        Self {
            endpoint: endpoint.into(),
            method: Method::GET,
            status: 200,
            cache: CacheUse::Miss,
            duration,
            upstream_first_byte: None,
            bytes: 0,
            aborted: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_is_not_standard_has_the_common_name() {
        for method in ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"] {
            assert_eq!(method_name(&method.parse().unwrap()), method);
        }
        for method in ["PURGE", "get", "PROPFIND"] {
            assert_eq!(method_name(&method.parse().unwrap()), "_OTHER");
        }
    }
}
