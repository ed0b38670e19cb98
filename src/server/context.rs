//! What is known of one request besides its head.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use crate::{
    cache::Counts,
    header::{
        Fields, RequestHead,
        accept_encoding::Accepted,
        forwarded::{Peer, is_https},
        request::Version,
    },
    profile::TraceId,
    route::Policy,
};

use super::{Served, access_log::Line, trace::Trace};

/// A request on its way: its head, who sent it, when it came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) head: RequestHead,
    pub(super) peer: Peer,
    /// Its first byte.
    pub(super) began: Instant,
    /// `X-Request-Id`, to the app and back to the client.
    pub(super) id: RequestId,
    /// What the configuration says of it.
    pub(super) rule: Arc<Rule>,
    /// The codings that the client takes, where they are our business. Then the head does not name them any more: the app
    /// is asked for the body as it is, and nothing is chosen by them but the coding made here.
    pub(super) accepted: Option<Accepted>,
    /// The trace that the app is asked in, where its spans are listened to.
    pub(super) trace: Option<Trace>,
    /// Coding for this request.
    pub(super) spent: Spent,
    /// Body bytes that its client is not sent since they are coded.
    pub(super) saved: Saved,
}

/// Time that adds up where a request is only looked at. A copy of a request begins with none.
#[derive(Debug, Default)]
pub(super) struct Spent(AtomicU64);

impl Spent {
    pub(super) fn add(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn so_far(&self) -> Duration {
        Duration::from_nanos(self.0.load(Relaxed))
    }
}

impl Clone for Spent {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Bytes that add up where a request is only looked at, and may be fewer than none. A copy of a request begins with none.
#[derive(Debug, Default)]
pub(super) struct Saved(AtomicI64);

impl Saved {
    /// So many became so many.
    pub(super) fn add(&self, input: u64, output: u64) {
        self.0.fetch_add(input.wrapping_sub(output).cast_signed(), Relaxed);
    }

    pub(super) fn so_far(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

impl Clone for Saved {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// What the configuration says of a request, and where it is counted.
#[derive(Debug, Default)]
pub(super) struct Rule {
    pub(super) policy: Policy,
    pub(super) counts: Arc<Counts>,
    /// Bodies are coded here.
    pub(super) codes: bool,
    /// The app's spans are listened to.
    pub(super) traces: bool,
}

impl Request {
    pub(super) fn new(mut head: RequestHead, peer: Peer, began: Instant, rule: Arc<Rule>) -> Self {
        let id = RequestId::of(&head);
        let accepted = rule.codes.then(|| Accepted::take(&mut head));
        let trace = rule.traces.then(|| Trace::of(&head));
        Self { head, peer, began, id, rule, accepted, trace, spent: Spent::default(), saved: Saved::default() }
    }
}

impl Request {
    /// What the access log says of it.
    pub(super) fn line(&self, served: &Served, endpoint: String, duration: Duration, bytes: u64) -> Line {
        let field = |name| self.head.get(name).map(<[u8]>::to_vec);
        Line {
            time: SystemTime::now(),
            client: self.peer.address,
            method: self.head.method.clone(),
            target: self.head.target.to_vec(),
            scheme: if is_https(&self.head, &self.peer) { "https" } else { "http" },
            host: self.head.host.to_vec(),
            version: match self.head.version {
                Version::Http10 => "1.0",
                Version::Http11 => "1.1",
                Version::Http2 => "2",
            },
            endpoint,
            status: served.status,
            duration,
            upstream: served.upstream.map(|asked| asked.first_byte),
            bytes,
            aborted: !served.whole,
            cache: served.outcome.name(),
            detail: served.detail,
            user_agent: field("user-agent"),
            referrer: field("referer"),
            request_id: self.id.as_str().into(),
            trace_id: self.trace_id(served.upstream.is_some()).map(|id| String::from_utf8_lossy(&id).into_owned()),
            error: served.error,
        }
    }

    /// The trace it belongs to: one that was begun here is only known to whom it was told, which is the app.
    pub(super) fn trace_id(&self, is_asked: bool) -> Option<TraceId> {
        if let Some(trace) = self.trace.as_ref().filter(|trace| is_asked || !trace.is_new) {
            return trace.id.to_string().as_bytes().try_into().ok();
        }
        self.head.get("traceparent").and_then(trace_id)?.as_bytes().try_into().ok()
    }
}

/// The trace id of a `traceparent` (W3C Trace Context §3.2); `None` where it is not valid.
fn trace_id(traceparent: &[u8]) -> Option<&str> {
    let (fields, rest) = traceparent.split_at_checked(55)?;
    let hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    let (version, id, parent) = (&fields[..2], &fields[3..35], &fields[36..52]);
    let dashes = [2, 35, 52].iter().all(|at| fields[*at] == b'-');
    // Later versions may have more; this one ends here.
    let ends = rest.is_empty() || (version != b"00" && rest[0] == b'-');
    let valid = dashes && ends && hex(version) && version != b"ff" && hex(id) && hex(parent);
    (valid && !zero(id) && !zero(parent)).then_some(id).and_then(|id| std::str::from_utf8(id).ok())
}

/// The client's own `X-Request-Id` if it is safe to log and to pass on, else a new UUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestId(Box<str>);

/// A longer one is replaced.
const MAX_ID_BYTES: usize = 128;

impl RequestId {
    fn of(head: &RequestHead) -> Self {
        let safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        let given = head
            .get("x-request-id")
            .filter(|id| !id.is_empty() && id.len() <= MAX_ID_BYTES && id.iter().all(safe))
            .and_then(|id| std::str::from_utf8(id).ok());
        Self(given.map_or_else(new_id, Box::from))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A random UUID. It only has to be unique among the log lines of a few days, so a fast generator does.
fn new_id() -> Box<str> {
    let mut bytes = [0; 16];
    fastrand::fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(field: &str) -> String {
        RequestId::of(&RequestHead::for_tests(&format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n"))).0.into()
    }

    #[test]
    fn trace_ids_are_taken_from_what_is_valid() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = "00f067aa0ba902b7";
        for (traceparent, expected) in [
            (format!("00-{id}-{parent}-01"), true),
            (format!("cc-{id}-{parent}-01-more"), true),
            (format!("00-{id}-{parent}-01-more"), false),
            (format!("ff-{id}-{parent}-01"), false),
            (format!("00-{}-{parent}-01", "0".repeat(32)), false),
            (format!("00-{id}-{}-01", "0".repeat(16)), false),
            (format!("00-{}-{parent}-01", id.to_uppercase()), false),
            (format!("00_{id}-{parent}-01"), false),
            ("\u{e9}".repeat(30), false),
            (String::new(), false),
        ] {
            assert_eq!(trace_id(traceparent.as_bytes()), expected.then_some(id), "{traceparent}");
        }
    }

    #[test]
    fn a_safe_id_is_kept_and_any_other_replaced() {
        assert_eq!(id("X-Request-Id: a.B-9_~+/=\r\n"), "a.B-9_~+/=");
        for bad in ["", "X-Request-Id: \r\n", "X-Request-Id: a b\r\n", "X-Request-Id: <a>\r\n"] {
            assert_eq!(id(bad).len(), 36, "{bad}");
        }
        assert_eq!(id(&format!("X-Request-Id: {}\r\n", "a".repeat(129))).len(), 36);
        assert_ne!(id(""), id(""));
    }
}
