//! Answers from the store: whole, a range of it, or the word that the client has it already.

use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::Method;

use crate::{
    cache::{Entry, Outcome, status::CacheStatus},
    header::{
        Fields, ResponseHead, date,
        fields::{is, starts_with},
        range::{self, Ranged},
    },
};

use super::{
    Engine, Served,
    context::Request,
    reply::{Reply, add},
};

impl Engine {
    /// Answers with a stored response, or with what the client asks of it.
    pub(super) async fn reuse<R: Reply>(
        &self,
        request: &Request,
        entry: &Entry,
        status: CacheStatus,
        outcome: Outcome,
        now: Instant,
        reply: &mut R,
    ) -> Served {
        let mut added = self.ours(request, status);
        if entry.targeted {
            // RFC 9213 §3.1: kept for longer than Cache-Control says, it would look stale to the client by its age. So
            // this cache is the origin for it, and it is made now.
            add(&mut added, "Date", date::format(SystemTime::now()).as_bytes());
        } else {
            add(&mut added, "Age", itoa::Buffer::new().format(entry.age(now).as_secs()).as_bytes());
        }
        let detail = status.detail();
        let served = |status, whole| Served { status, outcome, detail, error: None, upstream: None, whole };
        let (head, body) = match Part::of(request, entry) {
            Part::Whole => {
                return served(entry.head.status(), reply.whole(&entry.head, &added, entry.body.clone()).await.is_ok());
            }
            Part::None => (not_modified(&entry.head), Bytes::new()),
            Part::Ranges(ranged) => partial(entry, &ranged),
        };
        served(head.status(), reply.whole(&head, &added, body).await.is_ok())
    }
}

/// What a client wants of a stored response.
enum Part {
    Whole,
    /// It has it.
    None,
    Ranges(Ranged),
}

impl Part {
    /// Preconditions come first, If-Range last of them (RFC 9110 §13.2.2). Ranges are of a whole 200, and of GET (§14.2).
    fn of(request: &Request, entry: &Entry) -> Self {
        let (head, stored) = (&request.head, &entry.head);
        if entry.is_had_by(head) {
            return Self::None;
        }
        if head.method != Method::GET || stored.status() != 200 || !head.has("range") {
            return Self::Whole;
        }
        let (etag, modified, date) = (stored.get("etag"), stored.get("last-modified"), stored.get("date"));
        if !range::if_range_holds(head, etag, modified, date) {
            return Self::Whole;
        }
        match range::of(head, entry.body.len() as u64) {
            Ranged::Whole => Self::Whole,
            ranged => Self::Ranges(ranged),
        }
    }
}

/// The head of a 304: of the response, what tells a cache about its copy (RFC 9110 §15.4.5), and what is not about
/// the content at all.
pub(super) fn not_modified(head: &ResponseHead) -> ResponseHead {
    let mut out = ResponseHead::build(304, "Not Modified");
    for (name, value) in head.fields() {
        let about_content = starts_with(name, "content-") && !is(name, "content-location");
        if !about_content && !is(name, "last-modified") {
            out.field(name, value);
        }
    }
    out.finish()
}

/// A part of a stored response, or the word that there is no such part (RFC 9110 §15.3.7, §15.5.17).
fn partial(entry: &Entry, ranged: &Ranged) -> (ResponseHead, Bytes) {
    let (stored, length) = (&entry.head, entry.body.len() as u64);
    let (status, reason, content_type, content_range, body) = match ranged {
        Ranged::Single(range) => {
            let body = entry.body.slice(range.start as usize..range.end as usize);
            (206, "Partial Content", None, Some(range::content_range(range, length)), body)
        }
        Ranged::Multiple(ranges) => {
            let seed = fastrand::u128(..);
            let (content_type, body) = range::multipart(&entry.body, ranges, stored.get("content-type"), seed);
            (206, "Partial Content", Some(content_type), None, body)
        }
        Ranged::Unsatisfiable | Ranged::Whole => {
            (416, "Range Not Satisfiable", None, Some(range::unsatisfied_range(length)), Bytes::new())
        }
    };
    let mut out = ResponseHead::build(status, reason);
    for (name, value) in stored.fields() {
        let replaced = is(name, "content-length") || (content_type.is_some() && is(name, "content-type"));
        // What is no part of the content describes nothing of it.
        let of_content = status == 416 && starts_with(name, "content-");
        if !replaced && !of_content {
            out.field(name, value);
        }
    }
    if let Some(content_type) = content_type {
        out.field(b"Content-Type", content_type.as_bytes());
    }
    if let Some(content_range) = content_range {
        out.field(b"Content-Range", content_range.as_bytes());
    }
    out.field(b"Content-Length", itoa::Buffer::new().format(body.len()).as_bytes());
    (out.finish(), body)
}
