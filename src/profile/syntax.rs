//! Routes as web frameworks write them (`http.route`), read into templates as they are configured here.

use super::{
    folding::{MAX_SEGMENTS, REST, fold},
    names::Template,
};

/// A longer route is none that a person wrote.
const LONGEST: usize = 512;
/// Characters of the name of a parameter.
const LONGEST_NAME: usize = 40;

impl Template {
    /// The template of a framework's route: `/users/{id}` of `/users/<int:id>`, `users/<int:pk>/`, `/users/:id`,
    /// `/users/{id:[0-9]+}` or `^users/(?P<id>\d+)$`, and `/files/**` of `/files/*`, `/files/{*path}` and the like.
    ///
    /// `None` for what is not plainly a path of whole segments that are words or parameters, and for what says nothing of
    /// endpoints: a route of parameters alone, which a framework has for what no other route takes, and a path that is
    /// one of many, given as if it were a route.
    pub(super) fn of_route(route: &str) -> Option<Self> {
        // Go's patterns may begin with a method.
        let is_method = |text: &str| text.bytes().all(|byte| byte.is_ascii_uppercase());
        let route = route.split_once(' ').map_or(route, |(method, rest)| if is_method(method) { rest } else { route });
        if route.len() > LONGEST || !route.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let route = route.strip_suffix("(.:format)").unwrap_or(route);
        let route = route.strip_suffix('$').unwrap_or(route);
        let route = route.strip_prefix('^').unwrap_or(route);
        let segments = segments(route.strip_prefix('/').unwrap_or(route))?;
        let count = segments.len();
        let (mut name, mut has_word, mut has_parameter) = (String::with_capacity(route.len() + 1), false, false);
        for (at, segment) in segments.into_iter().enumerate() {
            let segment = Segment::read(segment.strip_prefix('^').unwrap_or(segment))?;
            name.push('/');
            match segment {
                Segment::Nothing if at + 1 == count => {}
                Segment::Word(word) => {
                    has_word = true;
                    name.push_str(word);
                }
                Segment::Parameter(parameter) => {
                    has_parameter = true;
                    name.extend(["{", parameter, "}"]);
                }
                Segment::Rest if at + 1 == count => {
                    has_parameter = true;
                    name.push_str(REST);
                }
                Segment::Nothing | Segment::Rest => return None,
            }
        }
        if has_parameter {
            return Self::new(&name).ok().filter(|_| has_word);
        }
        let mut folded = String::new();
        fold(name.as_bytes(), &mut folded);
        Self::new(&name).ok().filter(|_| name == folded)
    }
}

/// What stands between slashes, where slashes in parentheses are part of what they stand in; `None` for too many segments,
/// and for parentheses that do not belong together.
fn segments(route: &str) -> Option<Vec<&str>> {
    let (mut segments, mut open, mut from) = (Vec::new(), Vec::new(), 0);
    let mut bytes = route.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            // In a class of characters nothing else opens.
            b']' if open.last() == Some(&b']') => drop(open.pop()),
            _ if open.last() == Some(&b']') => {}
            b'(' => open.push(b')'),
            b'[' => open.push(b']'),
            b'{' => open.push(b'}'),
            b'<' => open.push(b'>'),
            b')' | b']' | b'}' | b'>' if open.pop() != Some(byte) => return None,
            b'/' if open.is_empty() => {
                segments.push(&route[from..at]);
                from = at + 1;
                if segments.len() > MAX_SEGMENTS {
                    return None;
                }
            }
            _ => {}
        }
    }
    segments.push(&route[from..]);
    open.is_empty().then_some(segments)
}

#[derive(Debug, PartialEq)]
enum Segment<'a> {
    Nothing,
    Word(&'a str),
    Parameter(&'a str),
    Rest,
}

impl<'a> Segment<'a> {
    fn read(text: &'a str) -> Option<Self> {
        match text {
            // Go's end of a path.
            "" | "{$}" => return Some(Self::Nothing),
            "*" | "**" | "(.*)" => return Some(Self::Rest),
            "." | ".." => return None,
            _ => {}
        }
        if let Some(name) = text.strip_prefix('*') {
            return parameter(name).map(|_| Self::Rest);
        }
        if let Some(inner) = within(text, "{", '}') {
            return Self::in_braces(inner);
        }
        if let Some(inner) = within(text, "<", '>') {
            let (converter, name) = inner.rsplit_once(':').unwrap_or(("", inner));
            return if converter == "path" { parameter(name).map(|_| Self::Rest) } else { parameter(name) };
        }
        if let Some(group) = text.strip_prefix("(?P<").or_else(|| text.strip_prefix("(?<")) {
            let (name, pattern) = group.split_once('>')?;
            return Self::with_pattern(name, within(pattern, "", ')')?);
        }
        if let Some(inner) = text.strip_prefix(':') {
            let end = inner.find(|c: char| !is_of_name(c)).unwrap_or(inner.len());
            let (name, more) = inner.split_at(end);
            return match more.strip_suffix('?').unwrap_or(more) {
                "" => parameter(name),
                "*" | "+" => parameter(name).map(|_| Self::Rest),
                more => Self::with_pattern(name, within(more, "(", ')').or_else(|| within(more, "{", '}'))?),
            };
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@,;=!%".contains(&byte);
        text.bytes().all(is_plain).then_some(Self::Word(text))
    }

    /// `{id}`, `{id:int}`, `{id?}`, `{*rest}`, `{rest...}` and `{id=1}`.
    fn in_braces(inner: &'a str) -> Option<Self> {
        if let Some(name) = inner.strip_prefix("**").or_else(|| inner.strip_prefix('*')) {
            return parameter(name.split([':', '=']).next()?).map(|_| Self::Rest);
        }
        if let Some(name) = inner.strip_suffix("...") {
            return parameter(name).map(|_| Self::Rest);
        }
        let inner = inner.split_once('=').map_or(inner, |(name, _)| name);
        let inner = inner.strip_suffix('?').unwrap_or(inner);
        let (name, pattern) = inner.split_once(':').unwrap_or((inner, ""));
        Self::with_pattern(name, pattern)
    }

    fn with_pattern(name: &'a str, pattern: &str) -> Option<Self> {
        let parameter = parameter(name);
        if matches!(pattern, "path" | ".*" | ".+" | ".*?" | ".+?") { parameter.map(|_| Self::Rest) } else { parameter }
    }
}

/// What stands between these two, if they are the two ends of it and belong together.
fn within<'a>(text: &'a str, begin: &str, end: char) -> Option<&'a str> {
    let inner = text.strip_prefix(begin)?.strip_suffix(end)?;
    // `{a}-{b}` is no parameter named `a}-{b`.
    segments(inner).map(|_| inner)
}

fn parameter(name: &str) -> Option<Segment<'_>> {
    let is_name = (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(is_of_name);
    is_name.then_some(Segment::Parameter(name))
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(route: &str) -> Option<String> {
        Template::of_route(route).map(|template| template.as_str().to_owned())
    }

    #[test]
    fn routes_of_frameworks() {
        for (route, expected) in [
            // Flask, and Django's paths.
            ("/users/<id>", "/users/{id}"),
            ("/users/<int:id>", "/users/{id}"),
            ("/users/<string(length=2):code>/x", "/users/{code}/x"),
            ("/users/<any(a, b):x>", ""),
            ("/files/<path:rest>", "/files/**"),
            ("users/<int:pk>/", "/users/{pk}/"),
            // Django's expressions.
            (r"^users/(?P<pk>\d+)/$", "/users/{pk}/"),
            (r"^api/^users/(?P<pk>[^/.]+)/$", "/api/users/{pk}/"),
            (r"api/(?P<year>\d{4})/(?P<slug>[\w-]+)$", "/api/{year}/{slug}"),
            (r"^files/(?P<path>.*)$", "/files/**"),
            (r"^$", "/"),
            // Express, Koa, Fastify, Rails, Hono.
            ("/users/:id", "/users/{id}"),
            ("/users/:user_id/posts/:post", "/users/{user_id}/posts/{post}"),
            ("/users/:id?", "/users/{id}"),
            (r"/users/:id(\d+)", "/users/{id}"),
            (r"/users/:id(\d+)?/x", "/users/{id}/x"),
            ("/users/:id{[0-9]+}", "/users/{id}"),
            ("/users/:id(.:format)", "/users/{id}"),
            ("/files/:path*", "/files/**"),
            ("/files/:path(.*)", "/files/**"),
            ("/files/*", "/files/**"),
            ("/files/*path", "/files/**"),
            ("/files/(.*)", "/files/**"),
            // FastAPI, Spring, ASP.NET, axum, Go.
            ("/users/{id}", "/users/{id}"),
            ("/users/{id:int}", "/users/{id}"),
            ("/users/{id:[0-9]+}", "/users/{id}"),
            ("/users/{id:[0-9]{4}}", "/users/{id}"),
            ("api/users/{id?}", "/api/users/{id}"),
            ("/users/{id=1}", "/users/{id}"),
            ("/files/{rest:path}", "/files/**"),
            ("/files/{*rest}", "/files/**"),
            ("/files/{**rest}", "/files/**"),
            ("/files/{rest...}", "/files/**"),
            ("GET /users/{id}", "/users/{id}"),
            ("/users/{$}", "/users/"),
            // Without parameters.
            ("/", "/"),
            ("/users", "/users"),
            ("/api/v2/users.json", "/api/v2/users.json"),
        ] {
            let expected = Some(expected.to_owned()).filter(|expected| !expected.is_empty());
            assert_eq!(read(route), expected, "{route}");
        }
    }

    #[test]
    fn what_is_no_route_or_says_nothing_is_ignored() {
        let long = format!("/a/{}", "b".repeat(LONGEST));
        let many = "/a".repeat(10_000);
        let parameter = format!("/a/:{}", "b".repeat(LONGEST_NAME + 1));
        for route in [
            "/*",
            "/**",
            "*",
            "/{path}",
            "/:a/:b",
            "/<path:path>",
            "/{*rest}",
            "^(?P<path>.*)$",
            "{controller}/{action}",
            "/a/../b",
            "/a/./b",
            "/a//b",
            "/a\n",
            "/a b",
            "/é",
            "/a/{}",
            "/a/{b",
            "/a/b}",
            "/a/{b}-{c}",
            "/a/:b-:c",
            "/a/:b.json",
            "/a/@:b",
            "/a/v{b}",
            "/a/*/b",
            "/a/**/b",
            "/a/<b",
            "/a/<b c>",
            r"^a\.b/$",
            r"^a/(\d+)/$",
            r"^a/(?P<b>\d+)-(?P<c>\d+)/$",
            r"^a/(?P<b>\d+/$",
            "/a/:",
            "/a/{é}",
            "/a?b",
            "/a#b",
            "/a|b",
            "/users/17",
            "/o/6f1c2b1a-8f0e-4b0e-9b1a-2f3c4d5e6f70",
            &long,
            &many,
            &parameter,
        ] {
            assert_eq!(read(route), None, "{route}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_too_odd(route in "[/a{}<>:*()\\[\\]\\\\^$?P.+=~ é]{0,40}|\\PC{0,600}") {
            if let Some(name) = read(&route) {
                prop_assert!(Template::new(&name).is_ok(), "{name}");
            }
        }
    }
}
