//! The admin port: JSON, metrics, health.

use std::net::SocketAddr;

/// The settings of `[admin]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Default 127.0.0.1:9090.
    pub listen: SocketAddr,
}

impl Default for Settings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9090)) }
    }
}
