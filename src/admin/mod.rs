//! The admin port: JSON, metrics, health, and the app's own results. It shows everywhere the same snapshots.
//!
//! - `router`: the table of endpoints; `api`: one function for each; `query`: parameters; `view`: what the JSON looks like.
//! - `series`: figures step by step; `compare`: two endpoints or times side by side.
//! - `clear`: purges; `explain`: why a request is answered as it is; `compression`: what coding did.
//! - `entries`: the app's own results, put, got and deleted; `body`: how bodies are received.
//! - `insights`: what should be done; `mute`: what not; `markers`: moments from which on things may be different.
//! - `query_stats`: the app's database queries; `receiver`: the spans that they are known from, on a port of its own.
//! - `tasks`: work in the background, shown, begun and cancelled.
//! - `dashboard`: everything at once, with the `ledger`; `stream`: the same once a second.
//! - `openapi`: what all of this looks like, for programs; `examples`: an answer of each endpoint, held against it.
//! - `page`: the dashboard for people, which asks the endpoints above.
//! - `metrics`: the same figures for Prometheus; `exposition`: how metric families are put together.
//! - `health`: whether the process lives, and whether it wants traffic.
//! - `guard`: what holds for every request: whose Host is answered, whose writes are accepted, which headers every
//!   answer has, what a panic costs; `auth`: who has the token; `limit`: how often one client may ask; `audit`: the line
//!   that every write leaves in the log.
//! - `problem`: every error, as RFC 9457 has it.
//! - `serve`: the listeners with their bounds; `patience`: the one of them that hyper lacks.

mod api;
mod audit;
mod auth;
mod body;
mod clear;
mod compare;
mod compression;
mod dashboard;
mod entries;
mod explain;
mod exposition;
mod guard;
mod health;
mod insights;
mod ledger;
mod limit;
mod markers;
mod metrics;
mod mute;
mod openapi;
mod page;
mod patience;
mod problem;
mod profile;
mod query;
mod query_stats;
mod receiver;
mod router;
mod series;
mod serve;
mod stream;
mod tasks;
mod view;

#[cfg(test)]
mod fixture;

use std::{net::SocketAddr, path::PathBuf};

pub use auth::Token;
pub use guard::{Guard, policies};
pub use receiver::Settings as OtlpSettings;
pub use serve::{serve, serve_otlp, serve_probes};

/// The settings of `[admin]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Default 127.0.0.1:9090.
    pub listen: SocketAddr,
    /// Where health and metrics are served to anybody. Default: nowhere.
    pub probe_listen: Option<SocketAddr>,
    /// Names that this port may be asked by, beside IP addresses and localhost. Default: none.
    pub hosts: Vec<String>,
    /// The file that the token stands in. Default: none.
    pub token_file: Option<PathBuf>,
    /// What it holds.
    pub token: Option<Token>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9090)),
            probe_listen: None,
            hosts: vec![],
            token_file: None,
            token: None,
        }
    }
}
