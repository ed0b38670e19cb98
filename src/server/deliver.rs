//! 6 to 8 for a response that is on its way: edited, coded while it comes, sent.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use crate::{
    cache::{ClientCopy, Entry},
    compress::{Form, coded_head, decoded_head},
    header::{Fields, ResponseHead, coding::Coding, fields::is, validator},
};

use super::{
    Engine,
    body::{Begun, Body, Cut, Decoding, Encoding, Gathered, Passed, gather, joined, pass},
    context::{Request, Spent},
    reader::Reader,
    reply::Reply,
    reuse::not_modified,
};

/// A response on its way to one client.
#[derive(Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub(super) request: &'a Request,
    /// As the origin sent it.
    pub(super) head: &'a ResponseHead,
    /// It is for somebody in particular.
    pub(super) personal: bool,
    /// Field lines of our own.
    pub(super) added: &'a [u8],
    /// It is sent once more: what the client's copy has other than the origin's, it has already.
    pub(super) again: bool,
}

impl Outgoing<'_> {
    /// The head of the client's copy.
    fn edited(&self, copy: &ClientCopy) -> ResponseHead {
        if self.again { self.head.clone() } else { copy.edits.apply(self.head) }
    }
}

/// Where a response's body comes from.
pub(super) trait Source: Body + Sized {
    /// The stored response that it has become, once it is whole.
    fn stored(&self) -> Option<Arc<Entry>> {
        None
    }

    /// What others read of it in this coding too, and what was gathered goes into; if nobody else may, it is given back.
    /// If that begins here, `spent` is what it has taken once it is read to its end.
    fn coded_for_all(
        self,
        engine: &Engine,
        coding: Coding,
        gathered: Vec<Bytes>,
        spent: &Arc<Spent>,
    ) -> Result<Reader, (Self, Vec<Bytes>)> {
        let _ = (engine, coding, spent);
        Err((self, gathered))
    }
}

impl<S: Source> Source for &mut S {}

impl Engine {
    /// Sends a response; returns the status that the client was sent, and how it ended.
    pub(super) async fn deliver<S: Source, R: Reply>(
        &self,
        out: Outgoing<'_>,
        body: S,
        reply: &mut R,
    ) -> (u16, Passed) {
        let Outgoing { request, head, personal, added, .. } = out;
        let copy = self.copy(&request.head, &request.rule, head, None, personal);
        let edited = out.edited(&copy);
        let form = self.form(request, head, copy.codable);
        let has_body = request.head.method != Method::HEAD;
        let passed = match form {
            Form::Coded(coding) if has_body => return self.deliver_coded(out, &edited, coding, body, reply).await,
            Form::Coded(coding) => start_and_pass(&coded_head(&edited, coding, None), added, body, reply).await,
            Form::Decoded(coding) => {
                if has_body {
                    self.state.compression.stats.decoded(coding);
                }
                let edited = decoded_head(&edited, None);
                match has_body {
                    true => start_and_pass(&edited, added, Decoding::new(body, coding), reply).await,
                    false => start_and_pass(&edited, added, body, reply).await,
                }
            }
            Form::AsIs(why) => {
                self.state.compression.stats.skipped(why);
                start_and_pass(&edited, added, body, reply).await
            }
        };
        (head.status(), passed)
    }

    /// The head of a 304 in place of a response on its way: with the tag that the client would have been sent.
    pub(super) fn not_modified(&self, request: &Request, head: &ResponseHead, personal: bool) -> ResponseHead {
        let copy = self.copy(&request.head, &request.rule, head, None, personal);
        let edited = copy.edits.apply(head);
        match self.form(request, head, copy.codable) {
            Form::Coded(coding) => not_modified(&coded_head(&edited, coding, None)),
            Form::Decoded(_) => not_modified(&decoded_head(&edited, None)),
            Form::AsIs(_) => not_modified(&edited),
        }
    }

    /// Codes a body: as a whole if it comes without a pause and is small, while it comes if not.
    async fn deliver_coded<S: Source, R: Reply>(
        &self,
        out: Outgoing<'_>,
        edited: &ResponseHead,
        coding: Coding,
        mut body: S,
        reply: &mut R,
    ) -> (u16, Passed) {
        let (request, status, length) = (out.request, out.head.status(), out.head.content_length());
        let parts = match gather(&mut body, reply).await {
            Gathered::Whole(parts) => {
                return self.deliver_whole(out, coding, joined(parts), body.stored(), reply).await;
            }
            Gathered::Begun(parts) => parts,
            Gathered::Cut(parts, cut) => {
                let passed = start_and_pass(edited, out.added, Begun::new(parts, Broken(cut)), reply).await;
                return (status, passed);
            }
            Gathered::Left => {
                reply.cut().await;
                return (status, Passed::Left);
            }
        };
        let stats = &self.state.compression.stats;
        let coded = coded_head(edited, coding, None);
        let spent = Arc::<Spent>::default();
        let (body, parts) = match body.coded_for_all(self, coding, parts, &spent) {
            Ok(mut reader) => {
                let passed = start_and_pass(&coded, out.added, &mut reader, reply).await;
                request.spent.add(spent.so_far());
                self.count(out, coding, reader.coded_from(), reply.sent(), passed);
                return (status, passed);
            }
            Err(own) => own,
        };
        if let Some(entry) = body.stored() {
            return self.deliver_whole(out, coding, entry.body.clone(), Some(entry), reply).await;
        }
        let body = Begun::new(parts, body);
        let passed = match self.encoder(coding, length) {
            Ok((encoder, _permit)) => {
                let mut body = Encoding::new(body, coding, encoder, stats);
                let passed = start_and_pass(&coded, out.added, &mut body, reply).await;
                request.spent.add(body.spent());
                self.count(out, coding, Some(body.taken), reply.sent(), passed);
                passed
            }
            Err(why) => {
                stats.skipped(why);
                start_and_pass(edited, out.added, body, reply).await
            }
        };
        (status, passed)
    }

    /// Sends a body that is all here: now its length and its tag are known.
    async fn deliver_whole<R: Reply>(
        &self,
        out: Outgoing<'_>,
        coding: Coding,
        body: Bytes,
        stored: Option<Arc<Entry>>,
        reply: &mut R,
    ) -> (u16, Passed) {
        let Outgoing { request, head, personal, added, .. } = out;
        let copy = self.copy(&request.head, &request.rule, head, Some(&body), personal);
        let edited = out.edited(&copy);
        let coded = match (copy.codable, stored) {
            (Err(why), _) => Err(why),
            (Ok(()), Some(entry)) => self.coded(request, &entry, coding).await.map(|(coding, _, body)| (coding, body)),
            (Ok(()), None) => self.code(request, coding, &body).map(|body| (coding, body)),
        };
        let stats = &self.state.compression.stats;
        let input = body.len() as u64;
        let (head, body) = match &coded {
            Ok((coding, body)) => (coded_head(&edited, *coding, Some(body.len() as u64)), body.clone()),
            Err(_) => (with_length(&edited, input), body),
        };
        if is_had(request, &head) {
            let sent = reply.whole(&not_modified(&head), added, Bytes::new()).await;
            return (304, if sent.is_ok() { Passed::Whole } else { Passed::Left });
        }
        if let Err(why) = coded {
            stats.skipped(why);
        }
        let sent = reply.whole(&head, added, body).await;
        let passed = if sent.is_ok() { Passed::Whole } else { Passed::Left };
        if let Ok((coding, _)) = coded {
            self.count(out, coding, Some(input), reply.sent(), passed);
        }
        (head.status(), passed)
    }

    /// Counts a coded answer. One that did not get to its end says nothing about what was saved.
    fn count(&self, out: Outgoing<'_>, coding: Coding, input: Option<u64>, output: u64, passed: Passed) {
        if let (Passed::Whole, Some(input)) = (passed, input) {
            self.compressed(out.request, coding, out.head.get("content-type"), input, output);
        }
    }
}

/// A body that breaks off.
struct Broken(Cut);

impl Body for Broken {
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        Err(self.0)
    }
}

pub(super) async fn start_and_pass<B: Body, R: Reply>(
    head: &ResponseHead,
    added: &[u8],
    mut body: B,
    reply: &mut R,
) -> Passed {
    if reply.start(head, added).await.is_err() {
        return Passed::Left;
    }
    pass(&mut body, reply).await
}

/// The head with the length of its body.
fn with_length(head: &ResponseHead, length: u64) -> ResponseHead {
    if head.has("content-length") {
        return head.clone();
    }
    head.without(|name| is(name, "content-length"))
        .field(b"Content-Length", itoa::Buffer::new().format(length).as_bytes())
        .finish()
}

/// Whether the client has this very response, so that 304 is the answer to its GET (RFC 9110 §13.1.2).
fn is_had(request: &Request, head: &ResponseHead) -> bool {
    let asks = request.head.method == Method::GET && request.head.has("if-none-match");
    asks && head.status() == 200 && validator::not_modified(&request.head, head.get("etag"), None)
}
