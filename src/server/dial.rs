//! Connections to the app: where to, with or without TLS, and what became of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use pingora_core::{
    connectors::{ConnectorOptions, TransportConnector, http::Connector},
    protocols::{Stream, http::client::HttpSession},
    tls::{RootCertStore, load_ca_file_into_store, load_platform_certs_incl_env_into_store},
    upstreams::peer::{ALPN, HttpPeer, Peer as _, PeerOptions, Scheme},
};
use pingora_error::{Error, ErrorType};

use crate::traffic::UpstreamFailure;

use super::{Protocol, Settings, Timeouts, Upstream, presence::Presence, resolve::Addresses};

/// Requests at once on one HTTP/2 connection; the app may allow less. What RFC 9113 §6.5.2 recommends as the least.
const MAX_STREAMS: usize = 100;
/// Without TLS nobody's certificate is believed, and the system's need not be read.
const NO_AUTHORITIES: &str = "/dev/null";

/// Makes connections to the app, and keeps those that are idle.
pub(super) struct Dialer {
    connector: Connector,
    transport: TransportConnector,
    addresses: Arc<Addresses>,
    presence: Presence,
    /// A peer with everything but its address.
    template: HttpPeer,
    patience: Duration,
    fresh: AtomicU64,
}

impl Dialer {
    pub(super) fn new(settings: &Settings) -> Self {
        let options = || {
            let mut options = ConnectorOptions::new(settings.upstream_connections);
            options.ca_file = authorities(settings);
            Some(options)
        };
        Self {
            connector: Connector::new(options()),
            transport: TransportConnector::new(options()),
            addresses: Arc::new(Addresses::new(&settings.upstream)),
            presence: Presence::new(settings.upstream.to_string()),
            template: template(&settings.upstream, &settings.timeouts),
            patience: settings.timeouts.connect,
            // Group keys of fresh connections; 0 is the key of the pool.
            fresh: AtomicU64::new(1),
        }
    }

    /// Whom to try, the first one first; nobody when the app's name has no address.
    pub(super) async fn peers(&self) -> impl Iterator<Item = HttpPeer> + use<'_> {
        let candidates = self.addresses.candidates(self.patience).await;
        candidates.into_iter().map(|address| HttpPeer { _address: address, ..self.template.clone() })
    }

    /// The same peer under a key that no pooled connection has, in the place of one whose pooled connection was dead.
    /// HTTP/2 connections know by themselves when they are, and are kept under their key for as long as they live: it
    /// stays the same.
    pub(super) fn fresh(&self, peer: &HttpPeer) -> HttpPeer {
        let mut fresh = peer.clone();
        if !self.speaks_h2() {
            fresh.group_key = self.fresh.fetch_add(1, Relaxed);
        }
        fresh
    }

    /// Whether the app is spoken to by HTTP/2.
    pub(super) fn speaks_h2(&self) -> bool {
        self.template.options.alpn == ALPN::H2
    }

    /// A connection, and whether it was used before.
    pub(super) async fn connect(&self) -> Result<(HttpSession, HttpPeer, bool), UpstreamFailure> {
        let mut refused = Refused::default();
        for peer in self.peers().await {
            let mut tried = self.connector.get_http_session(&peer).await;
            if tried.as_ref().is_err_and(|error| is_dead_connection(error)) {
                tried = self.connector.get_http_session(&peer).await;
            }
            match tried {
                Ok((session, reused)) => {
                    self.connected(&peer);
                    return Ok((session, peer, reused));
                }
                Err(error) => refused.or(&error),
            }
        }
        Err(self.unreachable(&refused))
    }

    /// A connection that was not used before, to the same peer.
    pub(super) async fn connect_anew(&self, peer: &HttpPeer) -> Result<HttpSession, UpstreamFailure> {
        let connected = self.connector.get_http_session(&self.fresh(peer)).await;
        connected.map(|(session, _)| session).map_err(|error| connect_failure(&error))
    }

    /// A new connection for a protocol that is not pingora's, by HTTP/1.1 until then.
    pub(super) async fn stream(&self) -> Result<Stream, UpstreamFailure> {
        let mut refused = Refused::default();
        for peer in self.peers().await {
            match self.transport.new_stream(&peer).await {
                Ok(stream) => {
                    self.connected(&peer);
                    return Ok(stream);
                }
                Err(error) => refused.or(&error),
            }
        }
        Err(self.unreachable(&refused))
    }

    /// A peer without an address, for what is not connected to.
    pub(super) fn template(&self) -> &HttpPeer {
        &self.template
    }

    /// Notes that a peer took a connection.
    pub(super) fn connected(&self, peer: &HttpPeer) {
        self.addresses.worked(peer.address());
        self.presence.here();
    }

    /// Notes that none did, and says why.
    pub(super) fn unreachable(&self, refused: &Refused) -> UpstreamFailure {
        self.presence.away(refused.why, &refused.error);
        refused.why
    }

    /// Gives a connection whose exchange has ended back to the pool; one in the middle of an exchange is closed.
    pub(super) async fn release(&self, session: HttpSession, peer: &HttpPeer) {
        self.connector.release_http_session(session, peer, peer.idle_timeout()).await;
    }

    /// Looks whether the app is there, for what the log says.
    pub(super) async fn look(&self) {
        match self.connect().await {
            // A connection that nothing was asked on is not kept: its app may count the time until it is.
            Ok((mut session @ HttpSession::H1(_), ..)) => session.shutdown().await,
            Ok((session, peer, _)) => self.release(session, &peer).await,
            Err(_) => {}
        }
    }
}

/// Why no connection could be made, of all the addresses that were tried.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    why: UpstreamFailure,
    /// For the log.
    error: String,
}

impl Default for Refused {
    fn default() -> Self {
        Self { why: UpstreamFailure::Resolve, error: "its name has no address".into() }
    }
}

impl Refused {
    /// Another address was tried. That nobody listens there says less than what somebody did elsewhere.
    pub(super) fn or(&mut self, error: &Error) {
        let why = connect_failure(error);
        if why != UpstreamFailure::Connect || matches!(self.why, UpstreamFailure::Resolve | UpstreamFailure::Connect) {
            *self = Self { why, error: words(error) };
        }
    }
}

/// The file of the authorities whose certificates are believed; `None` for the system's.
pub(super) fn authorities(settings: &Settings) -> Option<String> {
    match settings.upstream.protocol() {
        // Paths come from TOML, which is UTF-8: nothing is lost here.
        Protocol::Https => settings.upstream_ca.as_ref().map(|path| path.to_string_lossy().into_owned()),
        Protocol::Http | Protocol::H2c => Some(NO_AUTHORITIES.into()),
    }
}

/// Reads the authorities that the settings name, as pingora does, which would panic at what it cannot use.
///
/// # Errors
/// What is wrong with them, with the file's name.
pub(super) fn check_authorities(settings: &Settings) -> Result<(), String> {
    let mut store = RootCertStore::empty();
    let (loaded, whose) = match authorities(settings) {
        Some(path) => (load_ca_file_into_store(&path, &mut store), format!("server.upstream_ca: {path}")),
        None => (load_platform_certs_incl_env_into_store(&mut store), "the system's certificate authorities".into()),
    };
    loaded.map_err(|error| format!("{whose}: {}", words(&error)))?;
    if settings.upstream.protocol() == Protocol::Https && store.is_empty() {
        return Err(format!("{whose}: there is no certificate"));
    }
    Ok(())
}

fn template(upstream: &Upstream, timeouts: &Timeouts) -> HttpPeer {
    let (scheme, name) = match upstream {
        // The name is sent and the certificate verified for it; for an address, it is verified for that. Without a
        // name pingora would verify nothing.
        Upstream::Host { protocol: Protocol::Https, host, .. } => (Scheme::HTTPS, host.clone()),
        _ => (Scheme::HTTP, String::new()),
    };
    let mut options = PeerOptions::new();
    options.connection_timeout = Some(timeouts.connect);
    options.total_connection_timeout = Some(timeouts.connect);
    options.read_timeout = Some(timeouts.read);
    options.write_timeout = Some(timeouts.write);
    options.idle_timeout = Some(timeouts.idle);
    if upstream.protocol() == Protocol::H2c {
        options.alpn = ALPN::H2;
        options.max_h2_streams = MAX_STREAMS;
    }
    let nowhere = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    HttpPeer { scheme, sni: name, options, ..HttpPeer::new(nowhere, false, String::new()) }
}

/// Whether no stream could be had on a pooled HTTP/2 connection, which ended just now and is in the pool no longer.
pub(super) fn is_dead_connection(error: &Error) -> bool {
    *error.etype() == ErrorType::H2Error
}

/// What it means that a connection could not be made.
fn connect_failure(error: &Error) -> UpstreamFailure {
    match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => UpstreamFailure::ConnectTimeout,
        ErrorType::TLSHandshakeFailure | ErrorType::InvalidCert | ErrorType::TLSWantX509Lookup => UpstreamFailure::Tls,
        _ => UpstreamFailure::Connect,
    }
}

/// The words of an error for the log: the system's where they are its, else pingora's.
fn words(error: &Error) -> String {
    // The cause of what went wrong in TLS is not kept as such, only in words.
    let in_words = error.cause.is_none() || connect_failure(error) == UpstreamFailure::Tls;
    match &error.context {
        Some(context) if in_words => {
            let words = context.as_str();
            let last = words.rsplit("cause: ").next().unwrap_or(words);
            last.split(", SNI: ").next().unwrap_or(last).to_owned()
        }
        _ => error.root_cause().to_string(),
    }
}
