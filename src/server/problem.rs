//! Answers that the proxy makes itself: refusals and failures of the origin. The one place where they get their words.

use bytes::Bytes;

use crate::{
    header::{ResponseHead, date, refusal::Refusal},
    traffic::UpstreamFailure,
};

/// The answer to a request that the front door refuses.
pub(super) fn refused(refusal: Refusal) -> (ResponseHead, Bytes) {
    problem(refusal.status(), refusal.reason())
}

/// The answer when none could be had from the app. It names no internals.
pub(super) fn unanswered(why: UpstreamFailure) -> (ResponseHead, Bytes) {
    problem(
        why.status(),
        match why {
            UpstreamFailure::Resolve | UpstreamFailure::Connect => "the app behind this proxy cannot be reached",
            UpstreamFailure::ConnectTimeout | UpstreamFailure::Timeout => {
                "the app behind this proxy did not answer in time"
            }
            UpstreamFailure::Closed => "the app behind this proxy broke off before it answered",
            UpstreamFailure::Malformed => "the app behind this proxy sent what is not an HTTP response",
        },
    )
}

fn problem(status: u16, detail: &str) -> (ResponseHead, Bytes) {
    let reason =
        http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error");
    let body = Bytes::from(format!("{status} {reason}: {detail}\n"));
    let head = ResponseHead::build(status, reason)
        .field(b"Content-Type", b"text/plain; charset=utf-8")
        .field(b"Cache-Control", b"no-store")
        .field(b"Date", date::format(std::time::SystemTime::now()).as_bytes())
        .field(b"Content-Length", itoa::Buffer::new().format(body.len()).as_bytes())
        .finish();
    (head, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Fields;

    #[test]
    fn every_failure_has_a_status_and_a_sentence() {
        for why in UpstreamFailure::ALL {
            let (head, body) = unanswered(why);
            assert_eq!(head.status(), why.status());
            assert_eq!(head.content_length(), Some(body.len() as u64));
            assert!(body.starts_with(why.status().to_string().as_bytes()) && body.ends_with(b"\n"));
            assert_eq!(head.get("cache-control"), Some(b"no-store".as_slice()));
        }
    }
}
