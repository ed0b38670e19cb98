//! What the front door listens on, where the app is, and how long anything may take.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

pub use crate::header::refusal::Limits;

use super::access_log;

/// The settings of `[server]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Addresses for HTTP/1.1 and HTTP/2 without TLS. Default 127.0.0.1:8080.
    pub listen: Vec<SocketAddr>,
    /// Addresses, certificate and key for TLS.
    pub tls: Option<Tls>,
    /// Where the app is.
    pub upstream: Upstream,
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
    /// What a request's head may measure.
    pub limits: Limits,
    /// A request body larger than this is refused with 413. Default: no limit.
    pub max_body_bytes: Option<u64>,
    /// How long anything may take.
    pub timeouts: Timeouts,
    /// Which requests leave a line, and where.
    pub access_log: access_log::Settings,
}

/// The app's address: `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port; 80 where the URL has none.
    pub port: u16,
}

impl std::fmt::Display for Upstream {
    /// The authority: `host:port`, an IPv6 address in brackets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
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
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
            tls: None,
            upstream: Upstream { host: "127.0.0.1".into(), port: 3000 },
            host: None,
            trusted_proxies: private_networks(),
            max_connections: 10_000,
            max_connections_per_ip: None,
            upstream_connections: 128,
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
