//! Which policy a request falls under.
//!
//! `route` is what the configuration names; the template that a path is folded into is an endpoint (`profile`).

pub(crate) mod glob;

use std::time::Duration;

use http::Method;

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
    /// `false`: bodies go on in the coding that the app sends them in.
    pub compress: bool,
    /// What kind of answers these are, for the cache headers that clients are sent.
    pub class: Option<Class>,
    /// A client that prefers so is answered later (RFC 7240 §4.1).
    pub is_async: bool,
}

/// Kinds of answers, by how long a client may keep them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Files.
    Static,
    /// Data that may be a little old.
    Api,
    /// Figures of the moment.
    Monitoring,
    /// Whether the app is well, which nobody may keep.
    Health,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            cache: true,
            ttl: None,
            public: false,
            stale_while_revalidate: None,
            stale_if_error: None,
            compress: true,
            class: None,
            is_async: false,
        }
    }
}

/// The route of a method and a path (without its query): the first that matches, in the order of the file. No path that
/// an app may read as another falls under a public one: `/static/..%2faccount` is everybody's own account to an app that
/// decodes before it looks.
pub fn find(routes: &[Route], method: &Method, path: &[u8]) -> Option<usize> {
    let first = routes.iter().position(|route| route.takes(method, path));
    first.filter(|at| !routes[*at].policy.public || has_one_reading(path))
}

/// Whether every app takes a path to have the same segments: no dot segments (RFC 3986 §5.2.4), also not with what some
/// servers cut off behind `;`, no backslash, and none of these or `%` itself in percent-encoding.
fn has_one_reading(path: &[u8]) -> bool {
    let is_dots = |segment: &[u8]| matches!(segment.split(|byte| *byte == b';').next(), Some(b"." | b".."));
    let is_hidden =
        |coded: &[u8]| [b"%2e", b"%2f", b"%5c", b"%25", b"%3b"].iter().any(|code| coded.eq_ignore_ascii_case(*code));
    !path.contains(&b'\\') && !path.split(|byte| *byte == b'/').any(is_dots) && !path.windows(3).any(is_hidden)
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

    #[test]
    fn a_path_with_two_readings_is_not_public() {
        let public = Policy { public: true, ..Policy::default() };
        let routes = [Route { policy: public, ..route("/static/**", &[], 1) }, route("/**", &[], 2)];
        for (path, expected) in [
            ("/static/app.css", true),
            ("/static/a%20b/..c/d..;x.css", true),
            ("/static/../x", false),
            ("/static/./x", false),
            ("/static/..;a=b/x", false),
            ("/static/%2E%2e/x", false),
            ("/static/..%2fx", false),
            ("/static/..%5Cx", false),
            ("/static/..\\x", false),
            ("/static/..%252fx", false),
            ("/static/..%3b/x", false),
        ] {
            let found = find(&routes, &Method::GET, path.as_bytes());
            assert_eq!(found.is_some_and(|at| routes[at].policy.public), expected, "{path}");
        }
    }
}
