//! The front door: one head at a time, under one deadline, checked before anything else sees it.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use pingora_core::{
    apps::{HttpServerApp, ServerApp},
    protocols::{ALPN, Stream, http::ServerSession},
    server::ShutdownWatch,
};
use pingora_proxy::HttpProxy;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout_at,
};

use crate::{
    header::{
        Fields, Framing, RequestHead,
        forwarded::Peer,
        refusal::Refusal,
        request::{Version, find_end},
    },
    traffic::Entered,
};

use super::{
    Engine, Taken,
    chunks::Chunks,
    conn::{Body, Conn, close, left},
    context::Request,
    current::Current,
    forward::{Forward, Handed},
    h2::H2Door,
    problem,
    reply::{H1Reply, Reply},
};

/// What begins an HTTP/2 connection (RFC 9113 §3.4); no method is called `PRI`.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Room for the next read.
const READ_BYTES: usize = 4 << 10;
/// Takes connections and serves their requests.
pub(super) struct FrontDoor {
    pub(super) current: Arc<Current>,
    pub(super) proxy: Arc<HttpProxy<Forward>>,
    pub(super) h2: Arc<H2Door>,
    pub(super) by_address: Arc<ByAddress>,
}

/// Connections by client address, kept only where a limit is set.
#[derive(Debug, Default)]
pub(super) struct ByAddress(Mutex<HashMap<IpAddr, usize>>);

/// A connection that was let in; lets go of its places when dropped.
struct Admitted {
    _open: Entered,
    place: Option<(Arc<ByAddress>, IpAddr)>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some((by_address, address)) = &self.place {
            let mut open = by_address.0.lock();
            if let Some(count) = open.get_mut(address) {
                *count -= 1;
                if *count == 0 {
                    open.remove(address);
                }
            }
        }
    }
}

impl FrontDoor {
    /// Lets a connection in, or not.
    fn admit(&self, engine: &Engine, address: IpAddr) -> Option<Admitted> {
        let (settings, traffic) = (&engine.settings, &engine.state.traffic);
        traffic.connections_total.add();
        let open = traffic.connections.enter();
        if traffic.connections.value() > settings.max_connections as u64 {
            traffic.connections_refused.add();
            return None;
        }
        let mut admitted = Admitted { _open: open, place: None };
        if let Some(most) = settings.max_connections_per_ip {
            let mut by_address = self.by_address.0.lock();
            let count = by_address.entry(address).or_default();
            if *count >= most {
                traffic.connections_refused.add();
                return None;
            }
            *count += 1;
            admitted.place = Some((self.by_address.clone(), address));
        }
        Some(admitted)
    }
}

/// The address of a connection's other end. A socket that was closed already has none any more.
pub(super) fn peer_address(io: &Stream) -> Option<IpAddr> {
    Some(io.get_socket_digest()?.peer_addr()?.as_inet()?.ip())
}

#[async_trait]
impl ServerApp for FrontDoor {
    async fn process_new(self: &Arc<Self>, io: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let address = peer_address(&io)?;
        let engine = self.current.engine();
        let _admitted = self.admit(&engine, address)?;
        if matches!(io.selected_alpn_proto(), Some(ALPN::H2)) {
            return ServerApp::process_new(&self.h2, io, shutdown).await;
        }
        let peer = Peer::new(address, io.get_ssl_digest().is_some(), &engine.settings.trusted_proxies);
        let shutdown = shutdown.clone();
        let connection = Connection { front: self, engine, peer, buf: BytesMut::new(), used: false, shutdown };
        connection.serve(io).await;
        None
    }
}

/// An HTTP/1 connection between two requests.
struct Connection<'a> {
    front: &'a Arc<FrontDoor>,
    /// The engine of the request that is under way or awaited.
    engine: Arc<Engine>,
    peer: Peer,
    /// What was read and not yet used.
    buf: BytesMut,
    /// A request has come: from now on this is HTTP/1.
    used: bool,
    shutdown: ShutdownWatch,
}

/// What came.
enum Next {
    Request(Box<Request>),
    /// The client speaks HTTP/2 without TLS.
    Http2,
    Refused(Refusal),
    /// Nothing more.
    Closed,
}

impl Connection<'_> {
    async fn serve(mut self, mut io: Stream) {
        loop {
            let next = self.next(&mut io).await;
            // It may have been long in coming, and other settings have come into force meanwhile.
            self.engine = self.front.current.engine();
            let request = match next {
                Next::Request(request) => request,
                Next::Http2 => {
                    let io = Conn::lend(io, &[], &self.buf, Body::All);
                    ServerApp::process_new(&self.front.h2, Box::new(io), &self.shutdown).await;
                    return;
                }
                Next::Refused(refusal) => return self.refuse(io, refusal).await,
                Next::Closed => return,
            };
            if let Some(taken) = self.engine.takes(&request) {
                match self.answer(&mut io, &request, taken).await {
                    Ok(true) => {}
                    Ok(false) => return close(io).await,
                    Err(refusal) => return self.refuse(io, refusal).await,
                }
            } else if self.is_upgrade(&request) {
                return self.engine.upgrade(io, self.buf, &request, self.shutdown).await;
            } else if request.head.framing == Framing::None {
                let (stopping, timeouts) = (self.shutdown.clone(), &self.engine.settings.timeouts);
                let mut reply = H1Reply::new(&mut io, &mut self.buf, &request.head, stopping, timeouts.write);
                self.engine.serve(&request, &mut reply).await;
                if !reply.keeps_alive() {
                    return close(io).await;
                }
            } else {
                match self.forward(io, *request).await {
                    Some(back) => io = back,
                    None => return,
                }
            }
        }
    }

    /// Answers what is not passed on as it comes, with its whole body in hand. Whether the connection can take another
    /// request.
    ///
    /// # Errors
    /// When the body does not come.
    async fn answer(&mut self, io: &mut Stream, request: &Request, taken: Taken) -> Result<bool, Refusal> {
        let body = match taken.length(request.head.framing) {
            Some(length) => Some(self.body(io, request, length).await?),
            None => None,
        };
        let (stopping, timeouts) = (self.shutdown.clone(), &self.engine.settings.timeouts);
        let reply = H1Reply::new(io, &mut self.buf, &request.head, stopping, timeouts.write);
        // What was not taken of a body would be read as the next request.
        let mut reply = if body.is_some() { reply } else { reply.last() };
        self.engine.take(request, taken, body, &mut reply).await;
        Ok(reply.keeps_alive())
    }

    /// Reads a body that is no longer than what is kept in memory.
    async fn body(&mut self, io: &mut Stream, request: &Request, length: u64) -> Result<Bytes, Refusal> {
        let (length, timeout) = (length as usize, self.engine.settings.timeouts.write);
        let waits = request.head.version == Version::Http11 && request.head.has("expect") && self.buf.len() < length;
        if waits {
            let go_on = async {
                io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                io.flush().await
            };
            let written = tokio::time::timeout(timeout, go_on).await;
            written.map_err(|_| Refusal::Timeout)?.map_err(|_| Refusal::Timeout)?;
        }
        while self.buf.len() < length {
            self.buf.reserve(READ_BYTES.max(length - self.buf.len()));
            let read = tokio::time::timeout(timeout, io.read_buf(&mut self.buf)).await;
            if !matches!(read, Ok(Ok(1..))) {
                return Err(Refusal::Timeout);
            }
        }
        Ok(self.buf.split_to(length).freeze())
    }

    /// Reads the next head. Two deadlines: for the first byte of a request, after which an idle connection is closed
    /// without a word, and for the whole head, counted from its first byte and moved by nothing.
    async fn next(&mut self, io: &mut Stream) -> Next {
        let settings = &self.engine.settings;
        let mut began = (!self.buf.is_empty()).then(Instant::now);
        let idle_until = Instant::now() + settings.timeouts.idle;
        let mut seen = 0;
        let mut blank_line_skipped = false;
        loop {
            // RFC 9112 §2.2: one empty line before a request is ignored; some clients send it after a body.
            if !blank_line_skipped && self.buf.starts_with(b"\r\n") {
                self.buf.advance(2);
                (blank_line_skipped, seen) = (true, 0);
                // Nothing has begun with it: what follows may be long in coming.
                began = began.filter(|_| !self.buf.is_empty());
            }
            // RFC 9113 §3.4: the preface begins a connection. Later it may be what somebody hid in a body.
            let may_be_preface = !self.used && self.buf.len() >= 3;
            let is_preface = may_be_preface && PREFACE.starts_with(&self.buf[..self.buf.len().min(PREFACE.len())]);
            if is_preface && self.buf.len() >= PREFACE.len() {
                return Next::Http2;
            }
            match find_end(&self.buf, seen, &settings.limits) {
                Ok(Some(end)) if !is_preface => return self.request(end, began.unwrap_or_else(Instant::now)),
                Err(refusal) => return Next::Refused(refusal),
                Ok(_) => seen = self.buf.len(),
            }
            let deadline = began.map_or(idle_until, |began| began + settings.timeouts.header);
            self.buf.reserve(READ_BYTES);
            let read = tokio::select! {
                biased;
                read = timeout_at(deadline.into(), io.read_buf(&mut self.buf)) => read,
                _ = self.shutdown.changed(), if self.buf.is_empty() => return Next::Closed,
            };
            match read {
                Ok(Ok(1..)) => {
                    began.get_or_insert_with(Instant::now);
                }
                Err(_) if began.is_some() => return Next::Refused(Refusal::Timeout),
                _ => return Next::Closed,
            }
        }
    }

    /// Whether a request goes by way of a tunnel. HTTP/2 to the app has none: there the wish is left unheard.
    fn is_upgrade(&self, request: &Request) -> bool {
        request.head.asks_for_websocket() && !self.engine.origin.dialer.speaks_h2()
    }

    fn request(&mut self, end: usize, began: Instant) -> Next {
        self.used = true;
        // The head may have been long in coming, and other settings have come into force meanwhile.
        self.engine = self.front.current.engine();
        let settings = &self.engine.settings;
        let head = match RequestHead::parse(self.buf.split_to(end).freeze(), &settings.limits) {
            Ok(head) => head,
            Err(refusal) => return Next::Refused(refusal),
        };
        match self.engine.admit(&head) {
            Ok(()) => {
                let rule = self.engine.rule(&head);
                Next::Request(Box::new(Request::new(head, self.peer, began, rule)))
            }
            Err(refusal) => Next::Refused(refusal),
        }
    }

    /// Has pingora's `HttpProxy` pass a request on; the connection comes back if it can take another.
    async fn forward(&mut self, mut io: Stream, request: Request) -> Option<Stream> {
        let engine = &self.engine;
        let waited = {
            let _in_flight = engine.state.traffic.in_flight.enter();
            engine.origin.slots.enter_unless(left(&mut io, &mut self.buf)).await
        };
        let settings = &engine.settings;
        let body = match request.head.framing {
            Framing::Length(length) => Body::Length(length),
            Framing::Chunked => Body::Chunked(Chunks::new(settings.max_body_bytes)),
            // What has no body does not come this way.
            Framing::None => Body::Length(0),
        };
        let mut head = Vec::with_capacity(1 << 10);
        request.head.write_to(&mut head);
        let conn = Conn::lend(io, &head, &self.buf.split(), body);
        let mut session = ServerSession::new_http1(Box::new(conn));
        session.set_read_timeout(Some(settings.timeouts.write));
        session.set_write_timeout(Some(settings.timeouts.write));
        session.set_connection_user_context(Some(Box::new(Handed { request, waited })));
        let (stream, _) = self.front.proxy.process_new_http(session, &self.shutdown).await?.consume();
        let conn = stream.into_any().downcast::<Conn>().ok()?;
        let (io, kept) = conn.take_back()?;
        self.buf = kept;
        Some(io)
    }

    async fn refuse(mut self, mut io: Stream, refusal: Refusal) {
        let engine = &self.engine;
        engine.state.traffic.refuse(refusal.status());
        let (head, body) = problem::refused(refusal);
        let timeout = engine.settings.timeouts.write;
        let mut reply = H1Reply::refusal(&mut io, &mut self.buf, self.shutdown, timeout);
        if reply.whole(&head, &[], body).await.is_ok() {
            close(io).await;
        }
    }
}
