//! Lines for `proxy.toml`, ready to be pasted.

use http::Method;

use super::{
    finding::{Endpoint, Remedy},
    say,
};
use crate::{
    profile,
    route::{self, Route},
};

/// Endpoints that are named at most.
const MOST_NAMED: usize = 3;
/// The path of a route is never longer.
const LONGEST_PATH: usize = 200;

/// How the answers of an endpoint are kept for `ttl`, such as `30s`: a route for it, below `comments`. Where the
/// configuration has a route for it already, which would come first, a sentence names that one.
///
/// `all` are the endpoints that there are: those that the route takes in as well are named.
///
/// `None` for what no route can keep: other methods than GET, and names that stand for no path.
pub(super) fn keep_for(
    endpoint: &Endpoint,
    ttl: &str,
    comments: &[&str],
    routes: &[Route],
    all: &[profile::Endpoint],
) -> Option<Remedy> {
    if endpoint.method != "GET" {
        return None;
    }
    let path = glob(&endpoint.name)?;
    if let Some(at) = route::find(routes, &Method::GET, endpoint.name.as_bytes()) {
        let name = &routes[at].name;
        let sentence = format!("{} Its route is {name}: say ttl = \"{ttl}\" there.", comments.join(" "));
        return Some(Remedy::Sentence(sentence.trim_start().to_owned()));
    }
    let mut lines: Vec<String> = comments.iter().map(|comment| format!("# {comment}")).collect();
    let is_taken_in = |other: &&profile::Endpoint| {
        let is_another = other.method == "GET" && *other.endpoint != *endpoint.name;
        is_another && route::matches(path.as_bytes(), other.endpoint.as_bytes())
    };
    let also: Vec<String> = all.iter().filter(is_taken_in).map(|other| other.endpoint.to_string()).collect();
    if !also.is_empty() {
        let also = say::list(&also[..also.len().min(MOST_NAMED)]);
        lines.push(format!("# It takes in {also} too: a route of its own above this one keeps that apart."));
    }
    lines.push("[[route]]".into());
    // A route for other methods may have the path for its name, and names are there once.
    if routes.iter().any(|route| route.name == path) {
        lines.push(format!("name = \"GET {path}\""));
    }
    lines.push(format!("match = \"{path}\""));
    lines.push("methods = [\"GET\"]".into());
    lines.push(format!("ttl = \"{ttl}\""));
    Some(Remedy::Config(lines.join("\n") + "\n"))
}

/// What a route matches that is for the paths of an endpoint; `None` where its name stands for no path.
pub(super) fn glob(name: &str) -> Option<String> {
    let segments = name.strip_prefix('/')?.split('/');
    let path: String = segments.flat_map(|segment| ["/", if segment.contains('{') { "*" } else { segment }]).collect();
    let possible = |byte: u8| byte.is_ascii_graphic() && !b"?#\"\\".contains(&byte);
    // With room for the method before it, in a name.
    (path.len() + 4 <= LONGEST_PATH && path.bytes().all(possible)).then_some(path)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::fixture::rows, *};
    use crate::route::Policy;

    fn endpoint(method: &str, name: &str) -> Endpoint {
        Endpoint { method: method.into(), name: name.into() }
    }

    fn route(name: &str, path: &str, methods: &[Method]) -> Route {
        Route { name: name.into(), path: path.into(), methods: methods.to_vec(), policy: Policy::default() }
    }

    #[test]
    fn names_as_globs() {
        let long = format!("/{}", "x".repeat(250));
        for (name, expected) in [
            ("/", Some("/")),
            ("/users/{id}", Some("/users/*")),
            ("/a/{id}/b/", Some("/a/*/b/")),
            ("/files/**", Some("/files/**")),
            ("_other", None),
            ("_unmatched", None),
            ("*", None),
            ("/caf\u{e9}", None),
            ("/a\"b", None),
            (&long, None),
        ] {
            assert_eq!(glob(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_route_is_offered_only_where_it_would_count() {
        let found = |method, name, routes: &[Route]| keep_for(&endpoint(method, name), "30s", &["Why."], routes, &[]);
        assert_eq!(found("POST", "/a", &[]), None);
        assert_eq!(found("GET", "_other", &[]), None);
        let lines = "# Why.\n[[route]]\nmatch = \"/a/*\"\nmethods = [\"GET\"]\nttl = \"30s\"\n";
        assert_eq!(found("GET", "/a/{id}", &[route("b", "/b", &[])]), Some(Remedy::Config(lines.into())));
        let taken = Remedy::Sentence("Why. Its route is all: say ttl = \"30s\" there.".into());
        assert_eq!(found("GET", "/a/{id}", &[route("all", "/**", &[])]), Some(taken));
        let named = "# Why.\n[[route]]\nname = \"GET /a\"\nmatch = \"/a\"\nmethods = [\"GET\"]\nttl = \"30s\"\n";
        assert_eq!(found("GET", "/a", &[route("/a", "/a", &[Method::POST])]), Some(Remedy::Config(named.into())));
    }

    #[test]
    fn what_a_route_takes_in_beside_is_named() {
        let all = rows(&["/a/{id}", "/a/all", "/a/some/more", "/b"].map(|name| (name, 1, Duration::ZERO, 0)));
        let found = keep_for(&endpoint("GET", "/a/{id}"), "30s", &[], &[], &all.endpoints);
        let Some(Remedy::Config(lines)) = found else { panic!("{found:?}") };
        assert!(lines.starts_with("# It takes in /a/all too: a route"), "{lines}");
    }
}
