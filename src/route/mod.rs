//! Which policy a request falls under, and which endpoint name its figures are kept under.
//!
//! `route` is what the configuration names; `endpoint` is the template that a path is folded into.

mod endpoint;
mod glob;

use std::time::Duration;

use http::Method;

pub use endpoint::endpoint;
pub use glob::matches;

/// One `[[route]]` of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// What messages about the configuration call it.
    pub name: String,
    /// The paths it matches: `*` stands for characters of one segment, `**` for any.
    pub path: String,
    /// The methods it matches; empty stands for all. GET stands for HEAD too.
    pub methods: Vec<Method>,
    /// What is done with its requests.
    pub policy: Policy,
}

/// What the operator says about a route's requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// `false`: neither looked up in the cache nor stored.
    pub cache: bool,
    /// Freshness where the origin states none.
    pub ttl: Option<Duration>,
    /// The answer is the same for everyone: Cookie and Authorization do not count.
    pub public: bool,
    /// For so long after its lifetime an answer may be used while it is refreshed, where its origin does not say.
    pub stale_while_revalidate: Option<Duration>,
    /// For so long after its lifetime an answer may be used when the origin fails, where its origin does not say.
    pub stale_if_error: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        Self { cache: true, ttl: None, public: false, stale_while_revalidate: None, stale_if_error: None }
    }
}

/// The route of a method and a path (without its query): the first that matches, in the order of the file.
pub fn find(routes: &[Route], method: &Method, path: &[u8]) -> Option<usize> {
    routes.iter().position(|route| route.takes(method, path))
}

impl Route {
    fn takes(&self, method: &Method, path: &[u8]) -> bool {
        let listed = |method: &Method| self.methods.iter().any(|listed| listed == method);
        let method = self.methods.is_empty() || listed(method) || (method == Method::HEAD && listed(&Method::GET));
        method && matches(self.path.as_bytes(), path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, methods: &[Method], ttl: u64) -> Route {
        let policy = Policy { ttl: Some(Duration::from_secs(ttl)), ..Policy::default() };
        Route { name: path.into(), path: path.into(), methods: methods.to_vec(), policy }
    }

    #[test]
    fn the_first_match_counts() {
        let routes = [route("/api/new/*", &[], 1), route("/api/**", &[Method::GET], 2)];
        let ttl = |method: Method, path: &str| {
            find(&routes, &method, path.as_bytes()).and_then(|at| routes[at].policy.ttl).map(|ttl| ttl.as_secs())
        };
        assert_eq!(ttl(Method::GET, "/api/new/x"), Some(1));
        assert_eq!(ttl(Method::GET, "/api/old"), Some(2));
        assert_eq!(ttl(Method::HEAD, "/api/old"), Some(2));
        assert_eq!(ttl(Method::POST, "/api/old"), None);
        assert_eq!(ttl(Method::GET, "/"), None);
    }
}
