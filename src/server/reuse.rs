//! Answers from the store: whole, a range of it, or the word that the client has it already.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use http::Method;

use crate::{
    cache::{Entry, Outcome, status::CacheStatus},
    compress::{Form, coded_head, decoded_head},
    header::{
        Fields, ResponseHead, date,
        fields::{is, starts_with},
        range::{self, Ranged},
    },
};

use super::{
    Engine, Served,
    body::{Begun, Decoding, Nothing, Passed},
    context::Request,
    deliver::start_and_pass,
    reply::{Reply, add},
};

impl Engine {
    /// Answers with a stored response, or with what the client asks of it.
    pub(super) async fn reuse<R: Reply>(
        &self,
        request: &Request,
        entry: &Arc<Entry>,
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
        let form = self.form(request, &entry.head, entry.codable);
        let (status, passed) = self.reply_with(request, entry, form, &added, reply).await;
        Served { detail, ..Served::new(status, outcome) }.passed(passed)
    }

    /// Sends a stored response, or a part of it, in one form.
    async fn reply_with<R: Reply>(
        &self,
        request: &Request,
        entry: &Arc<Entry>,
        form: Form,
        added: &[u8],
        reply: &mut R,
    ) -> (u16, Passed) {
        let stats = &self.state.compression.stats;
        let (is_head, input) = (request.head.method == Method::HEAD, entry.body.len() as u64);
        match (Part::of(request, entry), form) {
            (Part::None, form) => {
                let head = match form {
                    Form::Coded(coding) => not_modified(&coded_head(&entry.sent, coding, None)),
                    Form::Decoded(_) => not_modified(&decoded_head(&entry.sent, None)),
                    Form::AsIs(_) => not_modified(&entry.sent),
                };
                whole(&head, added, Bytes::new(), reply).await
            }
            // A range is one of the body as the client takes it, which is not here.
            (Part::Ranges(ranged), Form::AsIs(_) | Form::Coded(_)) => {
                let (head, body) = partial(entry, &ranged);
                whole(&head, added, body, reply).await
            }
            (_, Form::Decoded(_)) if is_head => {
                whole(&decoded_head(&entry.sent, None), added, Bytes::new(), reply).await
            }
            (_, Form::Decoded(coding)) => {
                stats.decoded(coding);
                let body = Decoding::new(Begun::new([entry.body.clone()], Nothing), coding);
                (entry.head.status(), start_and_pass(&decoded_head(&entry.sent, None), added, body, reply).await)
            }
            // Nobody codes a body for a head alone.
            (Part::Whole, Form::Coded(coding)) if is_head && entry.coded(coding).is_none() => {
                whole(&coded_head(&entry.sent, coding, None), added, Bytes::new(), reply).await
            }
            (Part::Whole, Form::Coded(coding)) => match self.coded(request, entry, coding).await {
                Ok((coding, head, body)) => {
                    let (content_type, output) = (entry.head.get("content-type"), body.len() as u64);
                    let (status, passed) = whole(&head, added, body, reply).await;
                    if passed == Passed::Whole && !is_head {
                        self.compressed(request, coding, content_type, input, output);
                    }
                    (status, passed)
                }
                Err(why) => {
                    stats.skipped(why);
                    whole(&entry.sent, added, entry.body.clone(), reply).await
                }
            },
            (Part::Whole, Form::AsIs(why)) => {
                stats.skipped(why);
                whole(&entry.sent, added, entry.body.clone(), reply).await
            }
        }
    }
}

async fn whole<R: Reply>(head: &ResponseHead, added: &[u8], body: Bytes, reply: &mut R) -> (u16, Passed) {
    let sent = reply.whole(head, added, body).await;
    (head.status(), if sent.is_ok() { Passed::Whole } else { Passed::Left })
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
    let (stored, length) = (&entry.sent, entry.body.len() as u64);
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
