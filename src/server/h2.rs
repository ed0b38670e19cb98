//! HTTP/2: pingora's sessions, the same steps.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use pingora_core::{
    apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream},
    protocols::http::ServerSession,
    server::ShutdownWatch,
};
use pingora_proxy::HttpProxy;
use tokio::time::timeout;

use crate::header::{
    Framing, RequestHead,
    forwarded::Peer,
    refusal::{Limits, Refusal},
};

use super::{
    Engine,
    context::Request,
    current::Current,
    forward::Forward,
    problem,
    reply::{H2Reply, Reply},
};

/// Serves the streams of HTTP/2 connections.
pub(super) struct H2Door {
    current: Arc<Current>,
    proxy: Arc<HttpProxy<Forward>>,
    options: HttpServerOptions,
}

impl H2Door {
    pub(super) fn new(current: Arc<Current>, proxy: Arc<HttpProxy<Forward>>) -> Self {
        let mut options = HttpServerOptions::default();
        // A connection that comes here without TLS has shown its preface: it speaks HTTP/2 for sure.
        options.h2c = true;
        // pingora asks for it once a connection and can be told once only: a reload does not change it.
        options.h2_idle_timeout = Some(current.engine().settings.timeouts.idle);
        Self { current, proxy, options }
    }
}

#[async_trait]
impl HttpServerApp for H2Door {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let engine = self.current.engine();
        let settings = &engine.settings;
        let request = match request(&mut session, &engine) {
            Ok(request) => request,
            Err(refusal) => {
                engine.state.traffic.refuse(refusal.status());
                let (head, body) = problem::refused(refusal);
                // A client that does not take its refusal has left; there is nothing more to say to it.
                let _ = H2Reply::new(session, settings.timeouts.write).whole(&head, &[], body).await;
                return None;
            }
        };
        if let Some(taken) = engine.takes(&request) {
            let body = match (request.head.framing, taken.length(request.head.framing)) {
                (Framing::None, _) => Some(Bytes::new()),
                (_, Some(length)) => Some(body(&mut session, length, settings.timeouts.write).await?),
                (_, None) => None,
            };
            engine.take(&request, taken, body, &mut H2Reply::new(session, settings.timeouts.write)).await;
            return None;
        }
        if request.head.framing == Framing::None {
            let mut reply = H2Reply::new(session, settings.timeouts.write);
            engine.serve(&request, &mut reply).await;
            return None;
        }
        session.set_write_timeout(Some(settings.timeouts.write));
        self.proxy.process_new_http(session, shutdown).await
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}

/// The request of a stream.
///
/// # Errors
/// What is wrong with it.
pub(super) fn request(session: &mut ServerSession, engine: &Engine) -> Result<Request, Refusal> {
    let settings = &engine.settings;
    let has_body = !session.is_body_empty();
    let address = session.client_addr().and_then(|address| address.as_inet()).map(|address| address.ip());
    let tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
    let peer = Peer::new(address.unwrap_or([0, 0, 0, 0].into()), tls, &settings.trusted_proxies);
    let head = head(session, has_body, &settings.limits)?;
    engine.admit(&head)?;
    let rule = engine.rule(&head);
    Ok(Request::new(head, peer, Instant::now(), rule))
}

/// The body of a stream, if it is as long as it says.
async fn body(session: &mut ServerSession, length: u64, patience: Duration) -> Option<Bytes> {
    let mut body = BytesMut::new();
    while let Some(part) = timeout(patience, session.read_request_body()).await.ok()?.ok()? {
        body.extend_from_slice(&part);
        if body.len() as u64 > length {
            return None;
        }
    }
    (body.len() as u64 == length).then(|| body.freeze())
}

fn head(session: &ServerSession, has_body: bool, limits: &Limits) -> Result<RequestHead, Refusal> {
    let sent = session.req_header();
    let authority = sent.uri.authority().map(|authority| authority.as_str().as_bytes());
    let fields = sent.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    RequestHead::from_h2(sent.method.clone(), sent.raw_path(), authority, fields, has_body, limits)
}
