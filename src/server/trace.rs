//! The trace that a request to the app belongs to (W3C Trace Context).
//!
//! Where the app's spans are listened to, each request that the app is asked is given a span of its own as parent, so that
//! what the app did for it can be told from what it did for others of the same trace. A trace that the client began goes
//! on, and so does what it says of being sampled; where there is none, one is begun that is sampled.

use std::fmt::Write;

use crate::{
    header::{Fields, RequestHead},
    query::trace::{SpanId, TraceId, parent},
};

/// Sampled (§3.2.2.5): what begins here is to be seen.
const SAMPLED: &str = "01";

/// The trace of one request, and the span that it is sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) id: TraceId,
    pub(super) span: SpanId,
    flags: [u8; 2],
    /// There was none: what the client says of its vendors is about nothing (§3.3).
    pub(super) is_new: bool,
}

impl Trace {
    /// Goes on with the request's trace, or begins one.
    pub(super) fn of(head: &RequestHead) -> Self {
        let mut lines = head.all("traceparent");
        // Of two, nobody could say which is meant.
        let line = lines.next().filter(|_| lines.next().is_none()).and_then(|line| std::str::from_utf8(line).ok());
        let known = line.and_then(|line| Some((parent(line)?.0, line.get(53..55)?)));
        let (id, flags, is_new) = match known {
            Some((id, flags)) => (id, flags, false),
            None => (new(|| TraceId::new(fastrand::u128(..))), SAMPLED, true),
        };
        let flags = flags.as_bytes().try_into().unwrap_or(*b"01");
        Self { id, span: new(|| SpanId::new(fastrand::u64(..))), flags, is_new }
    }

    /// As it is sent.
    pub(super) fn field(&self) -> String {
        let mut field = String::with_capacity(55);
        let _ = write!(field, "00-{}-{}-{}", self.id, self.span, String::from_utf8_lossy(&self.flags));
        field
    }
}

/// Zero is no id, and comes once in very many.
fn new<T>(made: impl Fn() -> Option<T>) -> T {
    loop {
        if let Some(made) = made() {
            return made;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::header::refusal::Limits;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn trace(fields: &str) -> Trace {
        let head = Bytes::from(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        Trace::of(&RequestHead::parse(head, &Limits::default()).unwrap())
    }

    #[test]
    fn a_trace_goes_on_with_a_span_of_its_own() {
        for flags in ["00", "01", "03", "ff"] {
            let (first, second) = (
                trace(&format!("traceparent: 00-{ID}-00f067aa0ba902b7-{flags}\r\n")),
                trace(&format!("Traceparent: cc-{ID}-00f067aa0ba902b7-{flags}-what-comes-later\r\n")),
            );
            for trace in [first, second] {
                assert!(!trace.is_new);
                assert_eq!(trace.field(), format!("00-{ID}-{}-{flags}", trace.span));
                assert_ne!(trace.span.to_string(), "00f067aa0ba902b7");
            }
            assert_ne!(first.span, second.span);
        }
    }

    #[test]
    fn where_there_is_none_one_begins_that_is_sampled() {
        let twice = format!("traceparent: 00-{ID}-00f067aa0ba902b7-01\r\n").repeat(2);
        for fields in [
            "",
            "traceparent: \r\n",
            "traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01\r\n",
            "traceparent: 00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01\r\n",
            "traceparent: ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
            &twice,
        ] {
            let trace = trace(fields);
            assert!(trace.is_new && trace.id.to_string() != ID, "{fields}");
            assert_eq!(parent(&trace.field()), Some((trace.id, trace.span)), "{fields}");
            assert!(trace.field().ends_with("-01"), "{fields}");
        }
    }
}
