//! The admin port: JSON, metrics, health, and the app's own results. It shows everywhere the same snapshots.
//!
//! - `router`: the table of endpoints; `api`: one function for each; `query`: parameters; `view`: what the JSON looks like.
//! - `clear`: purges; `explain`: why a request is answered as it is; `compression`: what coding did.
//! - `entries`: the app's own results, put, got and deleted; `body`: how bodies are received.
//! - `query_stats`, `insights`, `tasks`: what is empty as yet; `dashboard`: everything at once; `stream`: the same once a
//!   second.
//! - `openapi`: what all of this looks like, for programs; `examples`: an answer of each endpoint, held against it.
//! - `metrics`: the same figures for Prometheus; `exposition`: how metric families are put together.
//! - `guard`: what holds for every request: whose Host is answered, whose writes are accepted, which headers every
//!   answer has, what a panic costs.
//! - `problem`: every error, as RFC 9457 has it.
//! - `serve`: the listener with its bounds; `patience`: the one of them that hyper lacks.

mod api;
mod body;
mod clear;
mod compression;
mod dashboard;
mod entries;
mod explain;
mod exposition;
mod guard;
mod insights;
mod metrics;
mod openapi;
mod patience;
mod problem;
mod query;
mod query_stats;
mod router;
mod serve;
mod stream;
mod tasks;
mod view;

#[cfg(test)]
mod fixture;

use std::net::SocketAddr;

pub use router::router;
pub use serve::serve;

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
