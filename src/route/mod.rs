//! Which policy a request falls under, and which endpoint name its figures are kept under.

use std::time::Duration;

/// One `[[route]]` of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The route's name, shown on the response and in the statistics.
    pub name: String,
    /// The paths it matches: `*` stands for one segment's characters, `**` for anything.
    pub path: String,
    /// The methods it matches; empty stands for all.
    pub methods: Vec<http::Method>,
    /// What is done with its requests.
    pub policy: Policy,
}

/// What is done with a request's answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// `false`: neither looked up nor stored.
    pub cache: bool,
    /// Freshness where the origin gives none.
    pub ttl: Option<Duration>,
    /// The answer is the same for everyone: Cookie and Authorization do not count.
    pub public: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { cache: true, ttl: None, public: false }
    }
}

/// Finds the policy and the endpoint name of a request.
#[derive(Debug, Default)]
pub struct Routes {}
