//! `proxy.toml` read into what the program believes.

use crate::{admin, cache, profile, route, server};

/// What the program believes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `[server]`.
    pub server: server::Settings,
    /// `[admin]`.
    pub admin: admin::Settings,
    /// `[cache]`.
    pub cache: cache::Settings,
    /// `[[route]]`, in the order of the file; the first match counts.
    pub routes: Vec<route::Route>,
    /// `[profile]`.
    pub profile: profile::Settings,
}
