//! Lines for `proxy.toml`, ready to be pasted.

use http::Method;

use super::finding::{Endpoint, Remedy};
use crate::route::{self, Route};

/// The path of a route is never longer.
const LONGEST_PATH: usize = 200;

/// How the answers of an endpoint are kept for `ttl`, such as `30s`: a route for it, below `comments`. Where the
/// configuration has a route for it already, which would come first, a sentence names that one.
///
/// `None` for what no route can keep: other methods than GET, and names that stand for no path.
pub fn keep_for(endpoint: &Endpoint, ttl: &str, comments: &[&str], routes: &[Route]) -> Option<Remedy> {
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
pub fn glob(name: &str) -> Option<String> {
    let segments = name.strip_prefix('/')?.split('/');
    let path: String = segments.flat_map(|segment| ["/", if segment.contains('{') { "*" } else { segment }]).collect();
    let possible = |byte: u8| byte.is_ascii_graphic() && !b"?#\"\\".contains(&byte);
    // With room for the method before it, in a name.
    (path.len() + 4 <= LONGEST_PATH && path.bytes().all(possible)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let found = |method, name, routes: &[Route]| keep_for(&endpoint(method, name), "30s", &["Why."], routes);
        assert_eq!(found("POST", "/a", &[]), None);
        assert_eq!(found("GET", "_other", &[]), None);
        let lines = "# Why.\n[[route]]\nmatch = \"/a/*\"\nmethods = [\"GET\"]\nttl = \"30s\"\n";
        assert_eq!(found("GET", "/a/{id}", &[route("b", "/b", &[])]), Some(Remedy::Config(lines.into())));
        let taken = Remedy::Sentence("Why. Its route is all: say ttl = \"30s\" there.".into());
        assert_eq!(found("GET", "/a/{id}", &[route("all", "/**", &[])]), Some(taken));
        let named = "# Why.\n[[route]]\nname = \"GET /a\"\nmatch = \"/a\"\nmethods = [\"GET\"]\nttl = \"30s\"\n";
        assert_eq!(found("GET", "/a", &[route("/a", "/a", &[Method::POST])]), Some(Remedy::Config(named.into())));
    }
}
