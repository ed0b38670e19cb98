//! The one way to the app for everything that is not `HttpProxy`'s: connect, send, read the head, hand out the body.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use pingora_core::{
    protocols::{
        Stream,
        http::{client::HttpSession, v1},
    },
    upstreams::peer::HttpPeer,
};
use pingora_error::{Error, ErrorType, Result, RetryType};
use pingora_http::{RequestHeader, ResponseHeader};

use crate::{
    cache::freshness::Received,
    header::{
        Fields, ResponseHead, date,
        fields::{is, is_hop_by_hop, is_never_hop_by_hop, is_token, trim},
        response::Builder,
    },
    observe::Digest,
    profile::Asked,
    traffic::{Traffic, UpstreamFailure},
};

use super::{
    Settings, Timeouts,
    dial::Dialer,
    slots::{Slot, Slots},
    upstream::{VIA, VIA_H2, over_h2},
};

/// More interim responses than this are no HTTP.
const MAX_INTERIM: usize = 16;

/// The app, and the connections to it.
pub(super) struct Origin {
    pub(super) dialer: Dialer,
    pub(super) slots: Slots,
    timeouts: Timeouts,
}

/// What the origin says to a request.
pub(super) enum Heard {
    /// An interim response; more follows.
    Interim(ResponseHead, Awaiting),
    /// The final one.
    Final(Exchange),
}

/// A request that is sent.
#[derive(Clone, Copy)]
pub(super) struct Sent<'a> {
    pub(super) request: &'a RequestHeader,
    /// The whole of its body, whose length the request states.
    pub(super) body: &'a Bytes,
    /// The app may be silent for no longer. `None`: for as long as it likes.
    pub(super) read: Option<Duration>,
    /// What may not be sent twice gets a connection that cannot have been given up already.
    pub(super) anew: bool,
}

/// A request that was sent and whose final response has not come.
pub(super) struct Awaiting {
    session: HttpSession,
    peer: HttpPeer,
    head_only: bool,
    single_use: bool,
    requested: Instant,
    asked: Asked,
    interim: usize,
    slot: Option<Slot>,
}

/// A response whose head is here and whose body follows.
pub(super) struct Exchange {
    session: HttpSession,
    peer: HttpPeer,
    /// End-to-end fields of the response.
    pub(super) head: ResponseHead,
    /// Whether the message itself says where it ends, so that a cut can be told from the end.
    pub(super) framed: bool,
    /// Its connection is not used again.
    single_use: bool,
    pub(super) received: Received,
    /// How long the app took, and how busy it was.
    pub(super) asked: Asked,
    /// What its body amounts to, where that is watched.
    watched: Option<Box<Digest>>,
    /// The turn at the app, held until the end; a stream of events has none, since its end may never come.
    _slot: Option<Slot>,
}

impl Origin {
    pub(super) fn new(settings: &Settings, traffic: &Traffic) -> Self {
        Self { dialer: Dialer::new(settings), slots: Slots::new(settings, traffic), timeouts: settings.timeouts }
    }

    /// Sends a request without a body and reads the response's head, see [`Origin::send`].
    pub(super) async fn fetch(&self, request: &RequestHeader, slot: Slot) -> Result<Heard, UpstreamFailure> {
        let sent = Sent { request, body: &Bytes::new(), read: Some(self.timeouts.read), anew: false };
        self.send(sent, slot).await
    }

    /// Sends a request and reads the response's head.
    ///
    /// It is sent again at most once, and only when its method is safe and the connection was a reused one that
    /// closed before a byte of an answer: the origin had given it up (RFC 9110 §9.2.2, RFC 9112 §9.3.1). The second
    /// try gets a new connection; others in the pool may be as dead as the first.
    pub(super) async fn send(&self, sent: Sent<'_>, slot: Slot) -> Result<Heard, UpstreamFailure> {
        let (began, request) = (Instant::now(), sent.request);
        let (mut session, peer, mut reused) = self.dialer.connect().await?;
        if reused && sent.anew && !request.method.is_safe() {
            self.dialer.release(session, &peer).await;
            (session, reused) = (self.dialer.connect_anew(&peer).await?, false);
        }
        let asked = Asked { connect: began.elapsed(), ..slot.asked };
        let heard = match self.exchange(session, &peer, sent, asked).await {
            Err(failed) if reused && failed.unanswered && request.method.is_safe() => {
                let session = self.dialer.connect_anew(&peer).await?;
                let asked = Asked { connect: began.elapsed(), ..asked };
                self.exchange(session, &peer, sent, asked).await
            }
            heard => heard,
        };
        Ok(heard.map_err(|failed| failed.why)?.holding(Some(slot)))
    }

    /// Goes on with a GET that was sent on a connection of its own, as with any other.
    pub(super) async fn resume(&self, stream: Stream, slot: Slot) -> Result<Heard, UpstreamFailure> {
        let mut session = HttpSession::H1(v1::client::HttpSession::new(stream));
        session.set_read_timeout(Some(self.timeouts.read));
        let (peer, requested, asked) = (self.dialer.template().clone(), Instant::now(), slot.asked);
        let slot = Some(slot);
        Awaiting { session, peer, head_only: false, single_use: true, requested, asked, interim: 0, slot }.next().await
    }

    async fn exchange(
        &self,
        mut session: HttpSession,
        peer: &HttpPeer,
        sent: Sent<'_>,
        asked: Asked,
    ) -> Result<Heard, Failed> {
        let Sent { request, body, read, .. } = sent;
        session.set_read_timeout(read);
        session.set_write_timeout(Some(self.timeouts.write));
        let requested = Instant::now();
        if let HttpSession::H2(stream) = &mut session {
            stream.write_request_header(over_h2(request)?, body.is_empty())?;
        } else {
            session.write_request_header(Box::new(request.clone())).await?;
        }
        if !body.is_empty() {
            session.write_request_body(body.clone(), true).await?;
        }
        if let HttpSession::H1(session) = &mut session {
            session.finish_body().await?;
        }
        let head_only = request.method == http::Method::HEAD;
        // Some servers send a body with HEAD all the same; late, it would be taken for the answer to the next request.
        let single_use = head_only;
        Awaiting { session, peer: peer.clone(), head_only, single_use, requested, asked, interim: 0, slot: None }
            .listen()
            .await
    }

    /// Gives the connection of a finished exchange back to the pool; that of an unfinished one is closed.
    pub(super) async fn release(&self, exchange: Exchange) {
        if exchange.single_use {
            return exchange.abort().await;
        }
        self.dialer.release(exchange.session, &exchange.peer).await;
    }
}

impl Heard {
    /// Keeps a turn at the app for as long as the answer takes.
    fn holding(self, slot: Option<Slot>) -> Self {
        match self {
            Self::Interim(head, awaiting) => Self::Interim(head, Awaiting { slot, ..awaiting }),
            Self::Final(exchange) => {
                let _slot = slot.filter(|_| !exchange.head.get("content-type").is_some_and(is_event_stream));
                Self::Final(Exchange { _slot, ..exchange })
            }
        }
    }
}

/// Whether this content type is that of server-sent events, which may go on for as long as somebody listens.
pub(super) fn is_event_stream(content_type: &[u8]) -> bool {
    let media = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    trim(media).eq_ignore_ascii_case(b"text/event-stream")
}

impl Awaiting {
    /// Waits for what comes after an interim response.
    pub(super) async fn next(mut self) -> Result<Heard, UpstreamFailure> {
        let slot = self.slot.take();
        Ok(self.listen().await.map_err(|failed| failed.why)?.holding(slot))
    }

    async fn listen(mut self) -> Result<Heard, Failed> {
        loop {
            let read = self.session.read_response_header().await;
            read.inspect_err(|error| give_up(&self.session, error))?;
            let Some(head) = self.session.response_header() else { return Err(MALFORMED) };
            if !head.status.is_informational() {
                if ends(head).is_none() {
                    return Err(MALFORMED);
                }
                return self.answered().map(Heard::Final);
            }
            self.interim += 1;
            // 101: nobody asked for another protocol.
            if head.status.as_u16() == 101 || self.interim > MAX_INTERIM {
                return Err(MALFORMED);
            }
            // 100: nobody here waits for a go-ahead (RFC 9110 §15.2.1).
            if head.status.as_u16() != 100 {
                return Ok(Heard::Interim(interim(head), self));
            }
        }
    }

    /// The final response, whose head has come.
    fn answered(mut self) -> Result<Exchange, Failed> {
        let received = Received { requested: self.requested, at: Instant::now(), wall: SystemTime::now() };
        let asked = Asked { first_byte: received.at - received.requested, ..self.asked };
        let over = is_over(&mut self.session);
        let Some(head) = self.session.response_header() else { return Err(MALFORMED) };
        let is_h2 = matches!(self.session, HttpSession::H2(_));
        let bodiless = self.head_only || matches!(head.status.as_u16(), 204 | 304);
        // RFC 9113 §8.1.1: a stream that ends before the length it names. The h2 crate sees all cases but this one.
        if is_h2 && over && !bodiless && names_a_length(head) {
            return Err(Failed { why: UpstreamFailure::Closed, unanswered: false });
        }
        // An HTTP/2 stream says by itself where its message ends.
        let framed = is_h2 || bodiless || ends(head) == Some(Ends::ByMessage);
        let head = passed_on(head, received.wall, if is_h2 { VIA_H2 } else { VIA });
        let Self { mut session, peer, single_use, .. } = self;
        if head.get("content-type").is_some_and(is_event_stream) {
            // It may be silent for as long as it likes.
            session.set_read_timeout(None);
        }
        Ok(Exchange { session, peer, head, framed, single_use, received, asked, watched: None, _slot: None })
    }
}

/// What is answered is not an answer to what was asked.
const MALFORMED: Failed = Failed { why: UpstreamFailure::Malformed, unanswered: false };

impl Exchange {
    /// The next part of the body, or `None` at the end that the message itself names.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, UpstreamFailure> {
        loop {
            match self.session.read_response_body().await {
                // An empty part says nothing, and would end a chunked answer to the client.
                Ok(Some(part)) if part.is_empty() => {}
                Ok(part) => {
                    if let (Some(digest), Some(part)) = (&mut self.watched, &part) {
                        digest.body(part);
                    }
                    return Ok(part);
                }
                Err(error) => {
                    give_up(&self.session, &error);
                    return Err(failure(&error));
                }
            }
        }
    }

    /// Has a digest made of the body as it comes.
    pub(super) fn watch(&mut self, digest: Digest) {
        self.watched = Some(Box::new(digest));
    }

    /// The digest, of what has come of the body.
    pub(super) fn watched(&mut self) -> Option<Box<Digest>> {
        self.watched.take()
    }

    /// Whether the last part of the body is known to be here.
    pub(super) fn is_done(&mut self) -> bool {
        is_over(&mut self.session)
    }

    /// Closes the connection, so that the app learns that nobody waits any more.
    pub(super) async fn abort(mut self) {
        self.session.shutdown().await;
    }
}

/// A failed exchange, and whether it failed before any byte of an answer.
struct Failed {
    why: UpstreamFailure,
    unanswered: bool,
}

impl From<Box<Error>> for Failed {
    fn from(error: Box<Error>) -> Self {
        let why = failure(&error);
        // pingora marks so what may be the end of an idle connection. Read timeouts and malformed answers are not. Of
        // HTTP/2 it says outright what the app has not looked at (RFC 9113 §8.7).
        let unanswered = error.retry == RetryType::ReusedOnly
            || *error.etype() == ErrorType::WriteError
            || (*error.etype() == ErrorType::H2Error && error.retry == RetryType::Decided(true));
        Self { why, unanswered }
    }
}

/// Whether the last part of the body is known to be here.
fn is_over(session: &mut HttpSession) -> bool {
    match session {
        // A stream that broke off looks ended as well: only an end without an error is one.
        HttpSession::H2(stream) => matches!(stream.check_response_end_or_error(), Ok(true)),
        session => session.response_done(),
    }
}

/// After silence for too long: an HTTP/2 connection on which nothing comes takes no other request.
fn give_up(session: &HttpSession, error: &Error) {
    if let (HttpSession::H2(stream), ErrorType::ReadTimedout) = (session, error.etype()) {
        stream.conn.mark_shutdown();
    }
}

/// What pingora's error means to those who wait for the answer.
pub(super) fn failure(error: &Error) -> UpstreamFailure {
    match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => UpstreamFailure::ConnectTimeout,
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => UpstreamFailure::Timeout,
        ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::ConnectProxyFailure
        | ErrorType::SocketError
        | ErrorType::BindError => UpstreamFailure::Connect,
        // What HTTP/2 knows of errors are streams and connections that the app ended.
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError | ErrorType::H2Error => {
            UpstreamFailure::Closed
        }
        _ => UpstreamFailure::Malformed,
    }
}

/// How the end of a response's body is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// By the message itself.
    ByMessage,
    /// By the end of the connection: a cut looks the same.
    ByConnection,
}

/// How the end of a response's body is known; `None` for a transfer coding other than chunked, which would stay on what
/// is passed on, and without its name. A coding that nobody has registered is none: every client reads the body as it
/// is, up to the end of the connection.
pub(super) fn ends(head: &ResponseHeader) -> Option<Ends> {
    let mut codings = head.headers.get_all(http::header::TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next().map(|coding| trim(coding.as_bytes())) else {
        return Some(if head.headers.contains_key(http::header::CONTENT_LENGTH) {
            Ends::ByMessage
        } else {
            Ends::ByConnection
        });
    };
    let registered = ["chunked", "compress", "deflate", "gzip", "identity", "trailers", "x-compress", "x-gzip"];
    match codings.next() {
        Some(_) => None,
        None if is(coding, "chunked") => Some(Ends::ByMessage),
        None if !is_token(coding) || registered.iter().any(|known| is(coding, known)) => None,
        None => Some(Ends::ByConnection),
    }
}

/// Whether a body of at least a byte is announced.
fn names_a_length(head: &ResponseHeader) -> bool {
    let length = head.headers.get(http::header::CONTENT_LENGTH);
    length.is_some_and(|length| length.as_bytes().iter().any(|byte| *byte != b'0'))
}

/// The response's fields that go on to the client, with Date (RFC 9110 §6.6.1) and Via added.
fn passed_on(head: &ResponseHeader, now: SystemTime, via: &str) -> ResponseHead {
    let mut out = end_to_end(head);
    // One that belongs to the connection, as a strange origin may say, is not passed on.
    if !head.headers.contains_key(http::header::DATE) || names_date_in_connection(head) {
        out.field(b"Date", date::format(now).as_bytes());
    }
    out.field(b"Via", via.as_bytes()).finish()
}

/// An interim response as it goes on to the client.
fn interim(head: &ResponseHeader) -> ResponseHead {
    end_to_end(head).finish()
}

/// The fields that a response's Connection names.
fn named_in_connection(head: &ResponseHeader) -> impl Iterator<Item = &[u8]> {
    let lines = head.headers.get_all(http::header::CONNECTION).iter();
    lines.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).map(trim)
}

fn names_date_in_connection(head: &ResponseHeader) -> bool {
    named_in_connection(head).any(|name| is(name, "date"))
}

fn end_to_end(head: &ResponseHeader) -> Builder {
    let reason = head.get_reason_phrase().unwrap_or_default();
    let mut out = ResponseHead::build(head.status.as_u16(), reason);
    let named: Vec<&[u8]> = named_in_connection(head).filter(|name| !is_never_hop_by_hop(name)).collect();
    let mut length_written = false;
    let as_sent = head.case_header_iter().map(|(name, value)| (name.as_slice(), value));
    // HTTP/2 knows small letters only, and pingora keeps no other form of them.
    let small = head.headers.iter().filter(|_| !head.has_case()).map(|(name, value)| (name.as_str().as_bytes(), value));
    for (name, value) in as_sent.chain(small) {
        let hop = is_hop_by_hop(name) || named.iter().any(|named| named.eq_ignore_ascii_case(name));
        if hop || is(name, "x-request-id") {
            continue;
        }
        if is(name, "content-length") {
            // pingora lets a length through that is repeated with one value; one line goes on (RFC 9110 §8.6).
            let first = trim(value.as_bytes().split(|byte| *byte == b',').next().unwrap_or_default());
            // RFC 9110 §8.6: none in a response that can have no content.
            let allowed = !head.status.is_informational() && head.status != http::StatusCode::NO_CONTENT;
            if allowed && !std::mem::replace(&mut length_written, true) {
                out.field(name, first);
            }
            continue;
        }
        out.field(name, value.as_bytes());
    }
    out
}
