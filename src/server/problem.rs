//! Answers that the proxy makes itself: refusals and failures of the origin. The one place where they get their words.

use bytes::Bytes;
use serde_json::json;

use crate::{
    header::{Fields, RequestHead, ResponseHead, date, fields::trim, refusal::Refusal},
    traffic::UpstreamFailure,
};

/// The answer to a request that the front door refuses. Its head was not read, or cannot be trusted, so that nobody
/// knows what form the client would like: plain text.
pub(super) fn refused(refusal: Refusal) -> (ResponseHead, Bytes) {
    plain(refusal.status(), refusal.reason())
}

/// The answer when none could be had from the app. It names no internals.
pub(super) fn unanswered(why: UpstreamFailure, request: &RequestHead) -> (ResponseHead, Bytes) {
    of(why.status(), words(why), request)
}

/// What is said of a failure of the app.
pub(super) fn words(why: UpstreamFailure) -> &'static str {
    match why {
        UpstreamFailure::Resolve | UpstreamFailure::Connect => "the app behind this proxy cannot be reached",
        UpstreamFailure::ConnectTimeout | UpstreamFailure::Timeout => {
            "the app behind this proxy did not answer in time"
        }
        UpstreamFailure::Tls => "the app behind this proxy cannot be reached safely",
        UpstreamFailure::QueueFull | UpstreamFailure::QueueTimeout => {
            "the app behind this proxy has too many requests at once"
        }
        UpstreamFailure::Closed => "the app behind this proxy broke off before it answered",
        UpstreamFailure::Malformed => "the app behind this proxy sent what is not an HTTP response",
    }
}

/// An answer that says what is wrong, in the form that the client takes.
pub(super) fn of(status: u16, detail: &str, request: &RequestHead) -> (ResponseHead, Bytes) {
    if asks_for_json(request) { problem(status, detail) } else { plain(status, detail) }
}

/// An answer in JSON.
pub(super) fn json(status: u16, body: &serde_json::Value) -> (ResponseHead, Bytes) {
    answer(status, b"application/json", format!("{body}\n").into())
}

/// Whether a client names JSON among what it takes. One that takes anything is shown text.
fn asks_for_json(request: &RequestHead) -> bool {
    request.members("accept").any(|member| {
        let mut parts = member.split(|byte| *byte == b';').map(trim);
        let media = parts.next().unwrap_or_default();
        let named =
            media.eq_ignore_ascii_case(b"application/json") || media.eq_ignore_ascii_case(b"application/problem+json");
        named && !parts.any(|parameter| matches!(parameter, b"q=0" | b"q=0.0" | b"q=0.00" | b"q=0.000"))
    })
}

fn plain(status: u16, detail: &str) -> (ResponseHead, Bytes) {
    let body = format!("{status} {}: {detail}\n", reason(status));
    answer(status, b"text/plain; charset=utf-8", body.into())
}

/// RFC 9457 §3; with the type about:blank the title is the status's own.
fn problem(status: u16, detail: &str) -> (ResponseHead, Bytes) {
    let body = json!({ "type": "about:blank", "title": reason(status), "status": status, "detail": detail });
    answer(status, b"application/problem+json", body.to_string().into())
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error")
}

fn answer(status: u16, content_type: &[u8], body: Bytes) -> (ResponseHead, Bytes) {
    let mut head = ResponseHead::build(status, reason(status));
    if status == 503 {
        // The queue moves on with every answer: whoever asks again soon may well be let in.
        head.field(b"Retry-After", b"1");
    }
    let head = head
        .field(b"Content-Type", content_type)
        .field(b"Cache-Control", b"no-store")
        .field(b"Date", date::format(std::time::SystemTime::now()).as_bytes())
        .field(b"Content-Length", itoa::Buffer::new().format(body.len()).as_bytes())
        .finish();
    (head, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking(accept: &str) -> RequestHead {
        RequestHead::for_tests(&format!("GET / HTTP/1.1\r\nHost: a\r\n{accept}\r\n"))
    }

    #[test]
    fn every_failure_has_a_status_and_a_sentence() {
        for why in UpstreamFailure::ALL {
            let (head, body) = unanswered(why, &asking(""));
            assert_eq!(head.status(), why.status());
            assert_eq!(head.content_length(), Some(body.len() as u64));
            assert!(body.starts_with(why.status().to_string().as_bytes()) && body.ends_with(b"\n"));
            assert_eq!(head.get("cache-control"), Some(b"no-store".as_slice()));
            assert_eq!(head.get("retry-after"), why.is_refusal().then_some(b"1".as_slice()));
        }
    }

    #[test]
    fn json_is_for_those_who_name_it() {
        for (accept, expected) in [
            ("", false),
            ("Accept: */*\r\n", false),
            ("Accept: text/html, application/json;q=0\r\n", false),
            ("Accept: application/json\r\n", true),
            ("Accept: text/html;q=0.5, Application/Problem+JSON ; q=0.9\r\n", true),
        ] {
            let (head, body) = unanswered(UpstreamFailure::Connect, &asking(accept));
            assert_eq!(head.get("content-type") == Some(b"application/problem+json".as_slice()), expected, "{accept}");
            assert_eq!(
                serde_json::from_slice::<serde_json::Value>(&body).is_ok_and(|body| body["status"] == 502),
                expected
            );
        }
    }
}
