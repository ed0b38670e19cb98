//! The one way to the app for everything that is not `HttpProxy`'s: connect, send, read the head, hand out the body.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use pingora_core::{
    connectors::{ConnectorOptions, TransportConnector, http::Connector},
    protocols::{
        Stream,
        http::{client::HttpSession, v1},
    },
    upstreams::peer::{HttpPeer, Peer as _},
};
use pingora_error::{Error, ErrorType, RetryType};
use pingora_http::{RequestHeader, ResponseHeader};

use crate::{
    cache::freshness::Received,
    header::{
        ResponseHead, date,
        fields::{is, is_hop_by_hop, is_never_hop_by_hop, starts_with, trim},
        response::Builder,
    },
    traffic::UpstreamFailure,
};

use super::{Settings, Timeouts, resolve::Addresses, upstream::VIA};

/// More interim responses than this are no HTTP.
const MAX_INTERIM: usize = 16;

/// The app, and the connections to it.
pub(super) struct Origin {
    connector: Connector,
    transport: TransportConnector,
    pub(super) addresses: Arc<Addresses>,
    timeouts: Timeouts,
    fresh: AtomicU64,
}

/// What the origin says to a request.
pub(super) enum Heard {
    /// An interim response; more follows.
    Interim(ResponseHead, Awaiting),
    /// The final one.
    Final(Exchange),
}

/// A request that was sent and whose final response has not come.
pub(super) struct Awaiting {
    session: HttpSession,
    peer: HttpPeer,
    head_only: bool,
    single_use: bool,
    requested: Instant,
    interim: usize,
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
}

impl Origin {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            connector: Connector::new(Some(ConnectorOptions::new(settings.upstream_connections))),
            transport: TransportConnector::new(None),
            addresses: Arc::new(Addresses::new(settings.upstream.clone())),
            timeouts: settings.timeouts,
            // Group keys of fresh connections; 0 is the key of the pool.
            fresh: AtomicU64::new(1),
        }
    }

    /// A peer at this address, with the timeouts that pingora applies while connecting.
    pub(super) fn peer(&self, address: std::net::SocketAddr) -> HttpPeer {
        let mut peer = HttpPeer::new(address, false, String::new());
        peer.options.connection_timeout = Some(self.timeouts.connect);
        peer.options.total_connection_timeout = Some(self.timeouts.connect);
        peer.options.read_timeout = Some(self.timeouts.read);
        peer.options.write_timeout = Some(self.timeouts.write);
        peer.options.idle_timeout = Some(self.timeouts.idle);
        peer
    }

    /// The same peer under a key that no pooled connection has.
    pub(super) fn fresh(&self, peer: &HttpPeer) -> HttpPeer {
        let mut fresh = peer.clone();
        fresh.group_key = self.fresh.fetch_add(1, Relaxed);
        fresh
    }

    /// Sends a request without a body and reads the response's head.
    ///
    /// It is sent again at most once, and only when its method is safe and the connection was a reused one that
    /// closed before a byte of an answer: the origin had given it up (RFC 9110 §9.2.2, RFC 9112 §9.3.1). The second
    /// try gets a new connection; others in the pool may be as dead as the first.
    pub(super) async fn fetch(&self, request: &RequestHeader) -> Result<Heard, UpstreamFailure> {
        let mut last = UpstreamFailure::Resolve;
        for address in self.addresses.candidates().await {
            let peer = self.peer(address);
            match self.connect(&peer).await {
                Ok((session, reused)) => {
                    self.addresses.worked(address);
                    return match self.exchange(session, &peer, request).await {
                        Err(failed) if reused && failed.unanswered && request.method.is_safe() => {
                            let (session, _) = self.connect(&self.fresh(&peer)).await?;
                            self.exchange(session, &peer, request).await.map_err(|failed| failed.why)
                        }
                        answered => answered.map_err(|failed| failed.why),
                    };
                }
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    async fn connect(&self, peer: &HttpPeer) -> Result<(HttpSession, bool), UpstreamFailure> {
        self.connector.get_http_session(peer).await.map_err(|error| connect_failure(&error))
    }

    /// A new connection to the app, for a protocol that is not pingora's.
    pub(super) async fn stream(&self) -> Result<Stream, UpstreamFailure> {
        let mut last = UpstreamFailure::Resolve;
        for address in self.addresses.candidates().await {
            match self.transport.new_stream(&self.peer(address)).await {
                Ok(stream) => {
                    self.addresses.worked(address);
                    return Ok(stream);
                }
                Err(error) => last = connect_failure(&error),
            }
        }
        Err(last)
    }

    /// Goes on with a GET that was sent on such a connection, as with any other; the connection is used for it alone.
    pub(super) async fn resume(&self, stream: Stream) -> Result<Heard, UpstreamFailure> {
        let mut session = HttpSession::H1(v1::client::HttpSession::new(stream));
        session.set_read_timeout(Some(self.timeouts.read));
        let peer = self.peer(([0, 0, 0, 0], 0).into());
        let requested = Instant::now();
        Awaiting { session, peer, head_only: false, single_use: true, requested, interim: 0 }.next().await
    }

    async fn exchange(
        &self,
        mut session: HttpSession,
        peer: &HttpPeer,
        request: &RequestHeader,
    ) -> Result<Heard, Failed> {
        session.set_read_timeout(Some(self.timeouts.read));
        session.set_write_timeout(Some(self.timeouts.write));
        let requested = Instant::now();
        session.write_request_header(Box::new(request.clone())).await?;
        session.finish_request_body().await?;
        let head_only = request.method == http::Method::HEAD;
        // Some servers send a body with HEAD all the same; late, it would be taken for the answer to the next request.
        let single_use = head_only;
        Awaiting { session, peer: peer.clone(), head_only, single_use, requested, interim: 0 }.listen().await
    }

    /// Gives the connection of a finished exchange back to the pool; that of an unfinished one is closed.
    pub(super) async fn release(&self, exchange: Exchange) {
        if exchange.single_use {
            return exchange.abort().await;
        }
        let idle = exchange.peer.idle_timeout();
        self.connector.release_http_session(exchange.session, &exchange.peer, idle).await;
    }
}

impl Awaiting {
    /// Waits for what comes after an interim response.
    pub(super) async fn next(self) -> Result<Heard, UpstreamFailure> {
        self.listen().await.map_err(|failed| failed.why)
    }

    async fn listen(mut self) -> Result<Heard, Failed> {
        loop {
            self.session.read_response_header().await?;
            let Some(head) = self.session.response_header() else { return Err(MALFORMED) };
            if !head.status.is_informational() {
                if !is_coding_known(head) {
                    return Err(MALFORMED);
                }
                let received = Received { requested: self.requested, at: Instant::now(), wall: SystemTime::now() };
                let framed = self.head_only || is_framed(head);
                let may_be_silent = is_event_stream(head);
                let head = passed_on(head, received.wall);
                if may_be_silent {
                    self.session.set_read_timeout(None);
                }
                let Self { session, peer, single_use, .. } = self;
                return Ok(Heard::Final(Exchange { session, peer, head, framed, single_use, received }));
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
                Ok(part) => return Ok(part),
                Err(error) => return Err(failure(&error)),
            }
        }
    }

    /// Whether the last part of the body is known to be here.
    pub(super) fn is_done(&mut self) -> bool {
        self.session.response_done()
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
        // pingora marks so what may be the end of an idle connection. Read timeouts and malformed answers are not.
        let unanswered = error.retry == RetryType::ReusedOnly || *error.etype() == ErrorType::WriteError;
        Self { why, unanswered }
    }
}

/// The same, of a connection that could not be made.
fn connect_failure(error: &Error) -> UpstreamFailure {
    match failure(error) {
        UpstreamFailure::ConnectTimeout => UpstreamFailure::ConnectTimeout,
        _ => UpstreamFailure::Connect,
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
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError => UpstreamFailure::Closed,
        _ => UpstreamFailure::Malformed,
    }
}

/// Whether the response says where it ends (RFC 9112 §6.3); else the end of the connection does, and a cut looks the same.
fn is_framed(head: &ResponseHeader) -> bool {
    matches!(head.status.as_u16(), 204 | 304)
        || head.headers.contains_key(http::header::CONTENT_LENGTH)
        || head.headers.contains_key(http::header::TRANSFER_ENCODING)
}

/// Whether the body came without a transfer coding, or chunked and no more. Any other coding would stay on what is
/// passed on, and without its name.
pub(super) fn is_coding_known(head: &ResponseHeader) -> bool {
    let mut codings = head.headers.get_all(http::header::TRANSFER_ENCODING).iter();
    let coding = codings.next().map(|coding| trim(coding.as_bytes()));
    codings.next().is_none() && coding.is_none_or(|coding| coding.eq_ignore_ascii_case(b"chunked"))
}

/// Whether the body is a stream of server-sent events, which may be silent for as long as it likes.
fn is_event_stream(head: &ResponseHeader) -> bool {
    let content_type = head.headers.get(http::header::CONTENT_TYPE);
    content_type.is_some_and(|value| starts_with(value.as_bytes(), "text/event-stream"))
}

/// The response's fields that go on to the client, with Date (RFC 9110 §6.6.1) and Via added.
fn passed_on(head: &ResponseHeader, now: SystemTime) -> ResponseHead {
    let mut out = end_to_end(head);
    if !head.headers.contains_key(http::header::DATE) {
        out.field(b"Date", date::format(now).as_bytes());
    }
    out.field(b"Via", VIA.as_bytes()).finish()
}

/// An interim response as it goes on to the client.
fn interim(head: &ResponseHeader) -> ResponseHead {
    end_to_end(head).finish()
}

fn end_to_end(head: &ResponseHeader) -> Builder {
    let reason = head.get_reason_phrase().unwrap_or_default();
    let mut out = ResponseHead::build(head.status.as_u16(), reason);
    let named: Vec<&[u8]> = head
        .headers
        .get_all(http::header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(trim)
        .filter(|name| !is_never_hop_by_hop(name))
        .collect();
    let mut length_written = false;
    for (name, value) in head.case_header_iter() {
        let name = name.as_slice();
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
