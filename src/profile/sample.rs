//! What one finished request tells the profiler.

use std::{
    fmt,
    num::NonZeroU64,
    time::{Duration, Instant},
};

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
}

/// How a request ended, as far as its duration says something about the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client has the whole answer.
    Complete,
    /// The client or the origin went away before the end.
    Aborted,
    /// It became a tunnel, or a stream of events: it lasts as long as somebody listens.
    Open,
}

/// How long the origin took for a request, and how busy it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Waiting for a turn at the origin, where `server.upstream_concurrency` allots them.
    pub queue: Duration,
    /// Until there was a connection, be it a new one or one of the pool.
    pub connect: Duration,
    /// From sending the request until the response head.
    pub first_byte: Duration,
    /// Requests that the origin was working on, or that waited for their turn, when this one came; it is one of them.
    pub in_flight: u32,
}

/// A path has at most this many bytes here; of a longer one the beginning counts.
pub const PATH_BYTES: usize = 160;

/// The path of a request without its query, in a place of fixed size: what is recorded of a request allocates nothing.
#[derive(Clone, Copy)]
pub struct Path {
    len: u8,
    cut: bool,
    bytes: [u8; PATH_BYTES],
}

impl Path {
    /// The path, or of a long one the segments that fit.
    pub fn of(path: &[u8]) -> Self {
        let cut = path.len() > PATH_BYTES;
        let end = if cut { path[..PATH_BYTES].iter().rposition(|byte| *byte == b'/').unwrap_or(0) } else { path.len() };
        let mut bytes = [0; PATH_BYTES];
        bytes[..end].copy_from_slice(&path[..end]);
        Self { len: end as u8, cut, bytes }
    }

    /// What is kept of it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether there was more.
    pub fn is_cut(&self) -> bool {
        self.cut
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}{}", String::from_utf8_lossy(self.as_bytes()), if self.cut { "…" } else { "" })
    }
}

/// The trace id of a request: 32 hexadecimal digits (W3C Trace Context §3.2.2.3).
pub type TraceId = [u8; 32];

/// The id of the span that a request was sent to the app with (W3C Trace Context §3.2.2.4); no other request has it.
pub type SpanId = NonZeroU64;

/// What one finished request tells the profiler. It has no parts on the heap.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The path as it came, without its query.
    pub path: Path,
    /// The method's name in figures, of [`method_name`].
    pub method: &'static str,
    /// The status that the client was sent, 100 to 999.
    pub status: u16,
    /// How the cache took part.
    pub cache: CacheUse,
    /// The same in the cache's own words.
    pub result: &'static str,
    /// When its last byte was out.
    pub ended: Instant,
    /// First byte of the request in to last byte of the answer out, as the client sees it.
    pub duration: Duration,
    /// What the origin had to do with it, if it was asked for this request.
    pub upstream: Option<Asked>,
    /// Coding the body for this request.
    pub compression: Duration,
    /// Body bytes sent to the client.
    pub bytes: u64,
    /// Body bytes that it was not sent since the body was coded here; negative where coding made it longer.
    pub saved: i64,
    /// How it ended. Only complete requests are in durations.
    pub ending: Ending,
    /// The trace it belongs to, where that is known and the request may be kept.
    pub trace_id: Option<TraceId>,
    /// The span that it was sent to the app with, if it was, by which its queries will be told of.
    pub span: Option<SpanId>,
    /// Database queries that it took, where its answer says so.
    pub queries: Option<u32>,
}

/// The methods that are told apart: those of RFC 9110 §9.3 and PATCH (RFC 5789), and any other as one.
pub const METHODS: [&str; 10] =
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "_OTHER"];

/// The method's name in figures: a client may send any token, and a label needs a bounded set.
pub fn method_name(method: &Method) -> &'static str {
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
    /// A complete 200 by GET that the cache had to ask the origin for and that ended now, to be changed by the test
    /// that needs another.
    pub(crate) fn of(path: &str, duration: Duration) -> Self {
        Self {
            path: Path::of(path.as_bytes()),
            method: "GET",
            status: 200,
            cache: CacheUse::Miss,
            result: "miss",
            // That of a test whose clock is paused.
            ended: tokio::time::Instant::now().into_std(),
            duration,
            upstream: None,
            compression: Duration::ZERO,
            bytes: 0,
            saved: 0,
            ending: Ending::Complete,
            trace_id: None,
            span: None,
            queries: None,
        }
    }

    /// The same, where the origin took that long until its head.
    pub(crate) fn asked(self, first_byte: Duration) -> Self {
        Self { upstream: Some(Asked { first_byte, in_flight: 1, ..Asked::default() }), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_is_not_standard_has_the_common_name() {
        for method in &METHODS[..9] {
            assert_eq!(method_name(&method.parse().unwrap()), *method);
        }
        for method in ["PURGE", "get", "PROPFIND"] {
            assert_eq!(method_name(&method.parse().unwrap()), "_OTHER");
        }
    }

    #[test]
    fn a_long_path_is_cut_between_segments() {
        let short = "/".repeat(PATH_BYTES);
        assert_eq!(
            (Path::of(short.as_bytes()).as_bytes(), Path::of(short.as_bytes()).is_cut()),
            (short.as_bytes(), false)
        );
        let long = format!("/a/{}/c", "b".repeat(PATH_BYTES));
        assert_eq!((Path::of(long.as_bytes()).as_bytes(), Path::of(long.as_bytes()).is_cut()), (&b"/a"[..], true));
        assert_eq!(Path::of(&[b'x'; 200]).as_bytes(), b"");
    }
}
