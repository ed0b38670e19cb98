//! Requests with a body: pingora's `HttpProxy`, told what to send and what to pass on.

mod coding;
mod failure;
mod response;

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use pingora_core::{protocols::Digest, server::configuration::ServerConf, upstreams::peer::HttpPeer};
use pingora_error::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader, header_value_from_slice};
use pingora_proxy::{FailToProxy, HttpProxy, ProxyHttp, Session, http_proxy};

use crate::{
    cache::{Bypass, Outcome, policy, status::CacheStatus},
    header::{Fields, refusal::Refusal, request::Version},
    profile::Asked,
    query::server_timing::{self, DatabaseTime},
    traffic::{Entered, UpstreamFailure},
};

use super::{
    Engine, Served,
    conn::Conn,
    context::Request,
    current::Current,
    dial::{Refused, authorities, is_dead_connection},
    h2,
    origin::{Ends, ends, is_event_stream},
    slots::{Slot, Waited},
    upstream::{VIA, VIA_H2, add_ours},
};

use self::{
    coding::Recoding,
    response::{Sent, dates, frame_once, remove_hop_by_hop},
};

/// A request is tried on one address after the other, and at most once again on a dead connection.
const MAX_TRIES: usize = 10;

/// What `HttpProxy` asks at each step.
pub(super) struct Forward {
    current: Arc<Current>,
}

/// What the front hands over with a connection.
pub(super) struct Handed {
    pub(super) request: Request,
    /// How the request's waiting for its turn at the app ended.
    pub(super) waited: Waited,
}

/// One request inside `HttpProxy`.
pub(super) struct Context {
    /// The engine in force when the request came.
    engine: Arc<Engine>,
    request: Option<Request>,
    waited: Option<Waited>,
    /// The request's turn at the app. Streams of events have none: they may never end.
    slot: Option<Slot>,
    _in_flight: Entered,
    /// Connections that could not be made, so that the next address is tried, and why not.
    tried: usize,
    refused: Refused,
    /// A reused connection was dead: the next is a new one.
    dead: bool,
    /// When its turn at the app came, and when the last of it was sent there.
    entered: Option<Instant>,
    sent: Option<Instant>,
    asked: Asked,
    /// What the app says of its database.
    database: Option<DatabaseTime>,
    /// The app has answered.
    heard: bool,
    /// With a stream of events.
    open: bool,
    body_bytes: u64,
    failure: Option<UpstreamFailure>,
    refusal: Option<Refusal>,
    /// An answer of our own was sent in place of the app's.
    answered: bool,
    /// What is done to the body of the app's answer.
    recoding: Option<Recoding>,
}

impl Forward {
    pub(super) fn proxy(current: Arc<Current>) -> HttpProxy<Self> {
        let engine = current.engine();
        let conf = ServerConf {
            max_retries: MAX_TRIES,
            upstream_keepalive_pool_size: engine.settings.upstream_connections,
            ca_file: authorities(&engine.settings),
            threads: 1,
            ..ServerConf::default()
        };
        http_proxy(&Arc::new(conf), Self { current })
    }
}

impl Context {
    /// Why the cache takes no part: what comes this way has another method, a body, or asks for an upgrade.
    fn bypass(&self) -> Bypass {
        let admitted = self.request.as_ref().map(|request| policy::admit(&request.head, &Default::default()));
        admitted.and_then(std::result::Result::err).unwrap_or(Bypass::Body)
    }
}

/// The client's connection, where it has one to itself: that is over HTTP/1.
fn conn(session: &Session) -> Option<&Conn> {
    session.downstream_session.stream()?.as_any().downcast_ref()
}

/// The error that ends a request when the front's own context is missing, which no path leads to.
fn no_context<T>() -> Result<T> {
    Error::e_explain(ErrorType::InternalError, "a request without its context")
}

#[async_trait]
impl ProxyHttp for Forward {
    type CTX = Context;

    fn new_ctx(&self) -> Context {
        let engine = self.current.engine();
        Context {
            _in_flight: engine.state.traffic.in_flight.enter(),
            engine,
            request: None,
            waited: None,
            slot: None,
            tried: 0,
            refused: Refused::default(),
            dead: false,
            entered: None,
            sent: None,
            asked: Asked::default(),
            database: None,
            heard: false,
            open: false,
            body_bytes: 0,
            failure: None,
            refusal: None,
            answered: false,
            recoding: None,
        }
    }

    /// The front hands its request over with the connection.
    fn on_connection_reuse(&self, _: &mut Session, ctx: &mut Context, given: Box<dyn Any + Send + Sync>) {
        if let Ok(handed) = given.downcast::<Handed>() {
            (ctx.request, ctx.waited) = (Some(handed.request), Some(handed.waited));
        }
    }

    /// An HTTP/2 stream brings nothing with it: its head is read again, with the same checks.
    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<()> {
        if ctx.request.is_none() {
            match h2::request(&mut session.downstream_session, &ctx.engine) {
                Ok(request) => ctx.request = Some(request),
                Err(refusal) => {
                    ctx.refusal = Some(refusal);
                    return Err(Error::new_down(ErrorType::HTTPStatus(refusal.status())));
                }
            }
        }
        Ok(())
    }

    /// The request's turn at the app: the front has waited for that of an HTTP/1 request, whose client can be seen
    /// leaving only there.
    async fn request_filter(&self, session: &mut Session, ctx: &mut Context) -> Result<bool> {
        let waited = match ctx.waited.take() {
            Some(waited) => waited,
            None => {
                // The stream's end, or an error of it: either way nobody waits any more.
                let left = async { drop(session.downstream_session.read_body_or_idle(true).await) };
                ctx.engine.origin.slots.enter_unless(left).await
            }
        };
        match waited {
            Waited::Entered(slot) => {
                (ctx.asked, ctx.entered) = (slot.asked, Some(Instant::now()));
                ctx.slot = Some(slot);
                Ok(false)
            }
            Waited::Refused(why) => {
                ctx.failure = Some(why);
                Err(Error::new_up(ErrorType::HTTPStatus(why.status())))
            }
            Waited::Left => Err(Error::new_down(ErrorType::ConnectionClosed)),
        }
    }

    async fn upstream_peer(&self, _: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        let dialer = &ctx.engine.origin.dialer;
        let Some(peer) = dialer.peers().await.nth(ctx.tried) else {
            let failure = dialer.unreachable(&ctx.refused);
            ctx.failure = Some(failure);
            return Err(Error::new_up(ErrorType::HTTPStatus(failure.status())));
        };
        Ok(Box::new(if ctx.dead { dialer.fresh(&peer) } else { peer }))
    }

    /// Nothing can have reached the app: the next address may be tried.
    fn fail_to_connect(&self, _: &mut Session, _: &HttpPeer, ctx: &mut Context, mut e: Box<Error>) -> Box<Error> {
        if is_dead_connection(&e) && !ctx.dead {
            ctx.dead = true;
        } else {
            ctx.tried += 1;
            ctx.refused.or(&e);
        }
        e.as_up();
        e.set_retry(true);
        e
    }

    async fn connected_to_upstream(
        &self,
        _: &mut Session,
        _reused: bool,
        peer: &HttpPeer,
        #[cfg(unix)] _fd: std::os::unix::io::RawFd,
        _digest: Option<&Digest>,
        ctx: &mut Context,
    ) -> Result<()> {
        ctx.engine.origin.dialer.connected(peer);
        Ok(())
    }

    /// The app may have had the request. It is sent again only when its method is safe, nothing of a body came, and a
    /// reused connection was dead: an HTTP/2 stream that turned out to have none, that is.
    fn error_while_proxy(
        &self,
        _: &HttpPeer,
        session: &mut Session,
        mut e: Box<Error>,
        ctx: &mut Context,
        reused: bool,
    ) -> Box<Error> {
        e.retry.decide_reuse(reused);
        let safe = session.req_header().method.is_safe() && session.is_body_empty();
        let again = safe && !ctx.dead && reused && e.retry() && session.response_written().is_none();
        ctx.dead = again;
        e.set_retry(again);
        e
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        out: &mut RequestHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        let Some(request) = &ctx.request else { return no_context() };
        add_ours(out, request, &ctx.engine.sending)?;
        let expects = request.head.version == Version::Http11 && request.head.has("expect");
        if expects && ctx.engine.origin.dialer.speaks_h2() {
            // pingora passes no interim response of HTTP/2 on, so that the client would wait in vain for its go-ahead.
            out.remove_header("expect");
            session.downstream_session.write_continue_response().await.map_err(|error| error.into_down())?;
        }
        let sent = Instant::now();
        ctx.asked.connect = ctx.entered.map_or(Duration::ZERO, |entered| sent - entered);
        ctx.sent = Some(sent);
        Ok(())
    }

    /// Counts what has no length of its own, and notes when all is sent: a slow upload does not make a slow app.
    async fn request_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Context,
    ) -> Result<()> {
        // The end of an HTTP/2 body may come as an empty frame, which pingora would write as one last chunk before the
        // last chunk.
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            *body = None;
        }
        if end {
            ctx.sent = Some(Instant::now());
        }
        ctx.body_bytes += body.as_ref().map_or(0, |body| body.len() as u64);
        if ctx.engine.settings.max_body_bytes.is_some_and(|most| ctx.body_bytes > most) {
            ctx.refusal = Some(Refusal::BodyTooLarge);
            return Err(Error::new_down(ErrorType::HTTPStatus(413)));
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Context,
    ) -> Result<()> {
        let Some(request) = &ctx.request else { return no_context() };
        // Nobody who comes this way asks for another protocol.
        let (Some(ends), true) = (ends(response), response.status != http::StatusCode::SWITCHING_PROTOCOLS) else {
            return Err(Error::new_up(ErrorType::InvalidHTTPHeader));
        };
        if response.status.is_informational() {
            return Ok(());
        }
        ctx.engine.state.traffic.upstream_answered();
        ctx.database = server_timing::read(Sent(response).all("server-timing"));
        (ctx.asked.first_byte, ctx.heard) = (ctx.sent.map_or(Duration::ZERO, |sent| sent.elapsed()), true);
        if ends == Ends::ByConnection {
            // What it names there is no coding. pingora has framed what names nothing in chunks already.
            response.insert_header(http::header::TRANSFER_ENCODING, "chunked")?;
        }
        remove_hop_by_hop(response);
        frame_once(response);
        ctx.recoding = ctx.engine.recode(request, response)?;
        ctx.engine.invalidate_after(request, response.status.as_u16(), &Sent(response));
        // RFC 9110 §2.5: the version is ours, not the origin's.
        response.set_version(http::Version::HTTP_11);
        if request.head.version == Version::Http10 && response.headers.contains_key(http::header::TRANSFER_ENCODING) {
            // RFC 9112 §6.1: the end of the connection ends a body whose length is not known.
            response.remove_header(&http::header::TRANSFER_ENCODING);
            session.set_keepalive(None);
        }
        if response.headers.get(http::header::CONTENT_TYPE).is_some_and(|of| is_event_stream(of.as_bytes())) {
            (ctx.slot, ctx.open) = (None, true);
        }
        let mut status = Vec::new();
        CacheStatus::Bypassed(ctx.bypass()).write_member(&mut status);
        let via = if ctx.engine.origin.dialer.speaks_h2() { VIA_H2 } else { VIA };
        response.append_header("Via", header_value_from_slice(via.as_bytes()))?;
        response.append_header("Cache-Status", header_value_from_slice(&status))?;
        response.insert_header("X-Request-Id", header_value_from_slice(request.id.as_str().as_bytes()))?;
        if let Some(conn) = conn(session) {
            conn.set_dates(dates(response));
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Context,
    ) -> Result<Option<Duration>> {
        if let (Some(request), Some(recoding)) = (&ctx.request, &mut ctx.recoding) {
            *body = ctx.engine.recode_part(request, recoding, body.take(), end).map_err(|broken| broken.error())?;
        }
        Ok(None)
    }

    /// The trailers of HTTP/2 end a body. Where it is recoded here, they would be about another one.
    async fn response_trailer_filter(
        &self,
        _: &mut Session,
        _: &mut http::HeaderMap,
        ctx: &mut Context,
    ) -> Result<Option<Bytes>> {
        match (&ctx.request, &mut ctx.recoding) {
            (Some(request), Some(recoding)) => {
                ctx.engine.recode_part(request, recoding, None, true).map_err(|broken| broken.error())
            }
            _ => Ok(None),
        }
    }

    async fn fail_to_proxy(&self, session: &mut Session, e: &Error, ctx: &mut Context) -> FailToProxy {
        FailToProxy { error_code: failure::answer(session, e, ctx).await, can_reuse_downstream: false }
    }

    /// Every failure is counted and answered; pingora's line per client that left would only be noise.
    fn suppress_error_log(&self, _: &Session, _: &Context, _: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Context,
        _: &Error,
        _: pingora_proxy::ProxyWarnLogContext,
    ) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, e: Option<&Error>, ctx: &mut Context) {
        let Some(request) = &ctx.request else { return };
        let status = session.response_written().map_or(499, |response| response.status.as_u16());
        request.rule.counts.bypassed(ctx.bypass());
        ctx.engine.state.traffic.request_bodies.add(ctx.body_bytes);
        let whole = e.is_none() || ctx.answered;
        let detail = Some(ctx.bypass().name());
        let error = ctx.failure.map(UpstreamFailure::name);
        if let Some(recoding) = &ctx.recoding {
            request.spent.add(recoding.spent());
        }
        let (upstream, open) = (ctx.heard.then_some(ctx.asked), ctx.open);
        let database = ctx.database.filter(|_| ctx.heard);
        let served = Served { detail, error, upstream, database, whole, open, ..Served::new(status, Outcome::Bypass) };
        ctx.engine.record(request, served, session.body_bytes_sent() as u64);
    }
}
