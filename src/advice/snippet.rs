//! Lines for `proxy.toml`, ready to be pasted.

use http::Method;

use super::finding::Remedy;
use crate::route::{self, Route};

/// The path of a route is never longer.
const LONGEST_PATH: usize = 200;

/// What is to be kept.
pub(super) struct Keep<'a> {
    /// The endpoint's name; its method is GET.
    pub(super) endpoint: &'a str,
    /// How long, such as `30s`.
    pub(super) ttl: &'a str,
    /// For everybody, whoever they are.
    pub(super) public: bool,
    /// Other endpoints, which are not to be kept. A route for this one may take them in.
    pub(super) others: &'a [&'a str],
}

/// How the answers of an endpoint are kept: a route for it, below `comments`, and above it routes for what it would take
/// in besides. Where the configuration has a route with this very path, a sentence names that one.
///
/// `None` for names that stand for no path.
pub(super) fn keep_for(keep: &Keep<'_>, comments: &[&str], routes: &[Route]) -> Option<Remedy> {
    let Keep { endpoint, ttl, public, others } = keep;
    let path = glob(endpoint)?;
    let first = route::find(routes, &Method::GET, endpoint.as_bytes()).map(|at| &routes[at]);
    if let Some(Route { name, .. }) = first.filter(|route| route.path == path) {
        let public = if *public { " and public = true" } else { "" };
        let sentence = format!("{} Its route is {name}: say ttl = \"{ttl}\"{public} there.", comments.join(" "));
        return Some(Remedy::Sentence(sentence.trim_start().to_owned()));
    }
    let mut lines: Vec<String> = comments.iter().map(|comment| format!("# {comment}")).collect();
    if let Some(Route { name, .. }) = first {
        lines.push(format!("# To stand above the route {name}, which matches its paths too: the first one counts."));
    }
    let name = |path: &str, lines: &mut Vec<String>| {
        lines.push("[[route]]".into());
        // A route for other methods may have the path for its name, and names are there once.
        if routes.iter().any(|route| route.name == path) {
            lines.push(format!("name = \"GET {path}\""));
        }
        lines.push(format!("match = \"{path}\""));
        lines.push("methods = [\"GET\"]".into());
    };
    let is_taken_in = |other: &&str| other != endpoint && route::matches(path.as_bytes(), other.as_bytes());
    for other in others.iter().copied().filter(is_taken_in) {
        name(&glob(other)?, &mut lines);
        lines.extend(["cache = false".into(), String::new()]);
    }
    name(&path, &mut lines);
    lines.push(format!("ttl = \"{ttl}\""));
    if *public {
        lines.push("public = true".into());
    }
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
    use super::*;
    use crate::route::Policy;

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

    fn keep(endpoint: &str, others: &[&str], routes: &[Route]) -> Option<Remedy> {
        keep_for(&Keep { endpoint, ttl: "30s", public: false, others }, &["Why."], routes)
    }

    #[test]
    fn a_route_is_offered_only_where_it_would_count() {
        let config = |lines: &str| Some(Remedy::Config(lines.into()));
        assert_eq!(keep("_other", &[], &[]), None);
        let lines = "# Why.\n[[route]]\nmatch = \"/a/*\"\nmethods = [\"GET\"]\nttl = \"30s\"\n";
        assert_eq!(keep("/a/{id}", &[], &[route("b", "/b", &[])]), config(lines));
        let taken = Remedy::Sentence("Why. Its route is a: say ttl = \"30s\" there.".into());
        assert_eq!(keep("/a/{id}", &[], &[route("a", "/a/*", &[])]), Some(taken));
        let above = "# Why.\n# To stand above the route all, which matches its paths too: the first one counts.\n\
                     [[route]]\nmatch = \"/a\"\nmethods = [\"GET\"]\nttl = \"30s\"\n";
        assert_eq!(keep("/a", &[], &[route("all", "/**", &[])]), config(above));
        let named = "# Why.\n[[route]]\nname = \"GET /a\"\nmatch = \"/a\"\nmethods = [\"GET\"]\nttl = \"30s\"\n";
        assert_eq!(keep("/a", &[], &[route("/a", "/a", &[Method::POST])]), config(named));
    }

    #[test]
    fn what_a_route_would_take_in_besides_is_kept_out() {
        let Some(Remedy::Config(lines)) = keep("/a/{id}", &["/a/me", "/a/some/more", "/b"], &[]) else { panic!() };
        let expected = "# Why.\n[[route]]\nmatch = \"/a/me\"\nmethods = [\"GET\"]\ncache = false\n\n\
                        [[route]]\nmatch = \"/a/*\"\nmethods = [\"GET\"]\nttl = \"30s\"\n";
        assert_eq!(lines, expected);
    }

    #[test]
    fn for_everybody_is_said() {
        let keep = Keep { endpoint: "/a", ttl: "5s", public: true, others: &[] };
        let Some(Remedy::Config(lines)) = keep_for(&keep, &[], &[]) else { panic!() };
        assert!(lines.ends_with("ttl = \"5s\"\npublic = true\n"), "{lines}");
    }
}
