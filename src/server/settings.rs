//! What the front door listens on, where the app is, and how long anything may take.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

pub use crate::header::refusal::Limits;

use super::access_log;

/// Whether Pacecar acts or only looks: `mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It caches, compresses and writes cache headers, as configured.
    #[default]
    On,
    /// It passes everything on as it is, and computes what caching would have done.
    Observe,
}

impl Mode {
    /// Every choice with its word in the configuration.
    pub const WORDS: [(&str, Self); 2] = [("on", Self::On), ("observe", Self::Observe)];
}

/// The settings of `[server]`, and `mode`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Whether Pacecar acts or only looks.
    pub mode: Mode,
    /// Addresses for HTTP/1.1 and HTTP/2 without TLS. Default 127.0.0.1:8080.
    pub listen: Vec<SocketAddr>,
    /// Addresses, certificate and key for TLS.
    pub tls: Option<Tls>,
    /// Where the app is.
    pub upstream: Upstream,
    /// The app's spans are listened to: each request to it has a trace. Default `false`.
    pub traces: bool,
    /// The only authorities, PEM, that certificates of an `https://` app are believed from. Default: the system's.
    pub upstream_ca: Option<PathBuf>,
    /// Sent to the app as Host in place of the client's.
    pub host: Option<String>,
    /// Peers whose `X-Forwarded-*` and `Forwarded` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Client connections open at once. Default 10 000.
    pub max_connections: usize,
    /// Client connections open at once from one address. Default: no limit of its own.
    pub max_connections_per_ip: Option<usize>,
    /// Idle connections to the app that are kept for reuse. Default 128.
    pub upstream_connections: usize,
    /// Requests that the app is given at once. Default 1024.
    pub upstream_concurrency: usize,
    /// Requests that may wait for their turn at the app. Default 1024; 0: none.
    pub upstream_queue: usize,
    /// What a request's head may measure.
    pub limits: Limits,
    /// A request body larger than this is refused with 413. Default: no limit.
    pub max_body_bytes: Option<u64>,
    /// How long anything may take.
    pub timeouts: Timeouts,
    /// Which requests leave a line, and where.
    pub access_log: access_log::Settings,
}

/// Where the app is, and what is spoken with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// `http://host:port`, and with other protocols.
    Host {
        /// What is spoken.
        protocol: Protocol,
        /// A name or an IP address, without brackets.
        host: String,
        /// The port; the protocol's own where the URL has none.
        port: u16,
    },
    /// `unix:/path`: HTTP/1.1 over a Unix socket.
    Unix(PathBuf),
}

/// What is spoken with an app that is reached by TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// HTTP/2 without TLS, with prior knowledge (RFC 9113 §3.3).
    H2c,
}

impl Protocol {
    /// What stands before `://`.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
        }
    }

    /// The port where none is named (RFC 9110 §4.2).
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http | Self::H2c => 80,
            Self::Https => 443,
        }
    }
}

impl Upstream {
    /// What the app is called in Host when the client named nobody; a port that goes without saying is left out.
    pub fn authority(&self) -> String {
        match self {
            Self::Host { protocol, host, port } if *port == protocol.default_port() => bracketed(host),
            Self::Host { host, port, .. } => format!("{}:{port}", bracketed(host)),
            Self::Unix(_) => "localhost".into(),
        }
    }

    /// What is spoken with the app. A Unix socket needs no TLS.
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Host { protocol, .. } => *protocol,
            Self::Unix(_) => Protocol::Http,
        }
    }
}

impl std::fmt::Display for Upstream {
    /// As it is configured, with its port.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host { protocol, host, port } => write!(f, "{}://{}:{port}", protocol.scheme(), bracketed(host)),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.into() }
}

/// The settings of `[server.tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Addresses for HTTP/1.1 and HTTP/2 over TLS.
    pub listen: Vec<SocketAddr>,
    /// The certificate chain, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// How long anything may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Connecting to the app. Default 2 s; longer is 504.
    pub connect: Duration,
    /// Waiting for a turn at the app. Default 10 s; longer is 503.
    pub queue: Duration,
    /// The client's whole request head, from its first byte. Default 10 s; longer is 408.
    pub header: Duration,
    /// Silence of the app; upgraded connections and event streams may be silent for longer. Default 300 s; longer is 504.
    pub read: Duration,
    /// Silence of a client that does not take its answer or does not go on with its body, and of the app that does not
    /// take one. Default 30 s.
    pub write: Duration,
    /// A connection without a request. Default 60 s.
    pub idle: Duration,
    /// What is in flight when the process is asked to stop. Default 20 s.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            queue: Duration::from_secs(10),
            header: Duration::from_secs(10),
            read: Duration::from_secs(300),
            write: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            drain: Duration::from_secs(20),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::On,
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
            tls: None,
            upstream: Upstream::Host { protocol: Protocol::Http, host: "127.0.0.1".into(), port: 3000 },
            traces: false,
            upstream_ca: None,
            host: None,
            trusted_proxies: private_networks(),
            max_connections: 10_000,
            max_connections_per_ip: None,
            upstream_connections: 128,
            // What Envoy allows by default, for both: far more than apps work on at once, and a bound all the same.
            upstream_concurrency: 1024,
            upstream_queue: 1024,
            limits: Limits::default(),
            max_body_bytes: None,
            timeouts: Timeouts::default(),
            access_log: access_log::Settings::default(),
        }
    }
}

/// Loopback, private and unique local addresses (RFC 1918, RFC 4193): where a load balancer before a sidecar is found.
fn private_networks() -> Vec<IpNet> {
    ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]
        .iter()
        .map(|net| net.parse().expect("a literal network"))
        .collect()
}
