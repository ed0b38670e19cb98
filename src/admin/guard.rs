//! What holds for every request to the admin port.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::{
    Router,
    extract::Request,
    http::{
        HeaderName, HeaderValue, StatusCode, Version,
        header::{CACHE_CONTROL, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
};

use super::problem::Problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Puts the guard before the endpoints.
pub(super) fn guarded(endpoints: Router) -> Router {
    endpoints.layer(middleware::from_fn(guard))
}

async fn guard(request: Request, next: Next) -> Response {
    let mut response = match check_host(&request).and_then(|()| check_origin(&request)) {
        Ok(()) => answer(request, next).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    // Figures of this moment: a stored copy would be wrong.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Names from traffic stand in these answers; no browser may take them for something that runs.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Nor may a page of another site show them, as a script or an image, which needs no CORS.
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// Answers in a task of its own, so that a panic costs this answer and not its connection.
async fn answer(request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = "a defect of Pacecar; its log says where";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, &uri, detail).into_response()
        }
    }
}

/// Refuses a request that was sent to a name which is not this machine's own.
///
/// A page of a foreign site can make its own name resolve to this address (DNS rebinding), and its scripts then read
/// what they like, since to the browser it is the same site. The name in Host gives them away.
fn check_host(request: &Request) -> Result<(), Problem> {
    let mut named = false;
    for host in hosts(request) {
        named = true;
        if !is_local(&host) {
            let detail = format!("Host {host:?}: expected an IP address or localhost");
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, request.uri(), detail));
        }
    }
    // RFC 9112 §3.2: HTTP/1.1 must have Host; in HTTP/1.0 it was not known, and health checks still use that.
    if !named && request.version() != Version::HTTP_10 {
        return Err(Problem::new(StatusCode::BAD_REQUEST, request.uri(), "Host is missing"));
    }
    Ok(())
}

/// Refuses a write that a page of another site makes a browser send (CSRF): the browser stands inside, where this port
/// can be reached, and the page does not.
///
/// Sec-Fetch-Site is the browser's own word, which no page can change; `none` is the person at the keyboard. Another
/// port of this machine is the same site, and still another app. Browsers that do not send it, and all of them to
/// addresses without TLS that are not loopback, send Origin with every write. What sends neither is no browser. Forms
/// can only POST; for PUT and DELETE a browser first asks with OPTIONS, which no answer here ever allows, since none has
/// a CORS field: this check does not rely on that.
fn check_origin(request: &Request) -> Result<(), Problem> {
    // RFC 9110 §9.2.1: safe methods only read, and without CORS no other site is shown what.
    if request.method().is_safe() {
        return Ok(());
    }
    let refuse = |field: &str, value: &HeaderValue| {
        let value = String::from_utf8_lossy(value.as_bytes());
        let detail =
            format!("{field} {value:?}: expected a write from outside a browser, or from a page of this address");
        Err(Problem::new(StatusCode::FORBIDDEN, request.uri(), detail))
    };
    if let Some(site) = request.headers().get(SEC_FETCH_SITE) {
        return if matches!(site.as_bytes(), b"same-origin" | b"none") {
            Ok(())
        } else {
            refuse("Sec-Fetch-Site", site)
        };
    }
    match request.headers().get_all(ORIGIN).iter().find(|origin| !is_own(origin, request)) {
        Some(foreign) => refuse("Origin", foreign),
        None => Ok(()),
    }
}

/// Whether an Origin (RFC 6454 §6.1) is a name that the request gives for the server, with its port. The scheme says
/// nothing: where somebody puts TLS before this port, it is another.
fn is_own(origin: &HeaderValue, request: &Request) -> bool {
    let origin = String::from_utf8_lossy(origin.as_bytes());
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some_and(|authority| hosts(request).any(|host| host.eq_ignore_ascii_case(authority)))
}

/// Every name the request gives for the server: where they differ, each has to be local.
fn hosts(request: &Request) -> impl Iterator<Item = String> + '_ {
    let target = request.uri().authority().map(ToString::to_string);
    let fields = request.headers().get_all(HOST).iter();
    target.into_iter().chain(fields.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()))
}

/// Whether this is an IP address or `localhost`, with any port or none.
fn is_local(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return address.parse::<Ipv6Addr>().is_ok() && is_port(port);
    }
    let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
    (name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok()) && is_port(port)
}

/// Whether this is nothing, or a colon with digits. RFC 3986 §3.2.3 allows the colon alone.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;
    use crate::admin::fixture::{Exchange, empty_state};

    #[test]
    fn local_hosts() {
        for host in [
            "localhost",
            "LocalHost:9090",
            "localhost:",
            "127.0.0.1",
            "127.0.0.1:9090",
            "10.1.2.3:80",
            "[::1]",
            "[::1]:9090",
            "[fe80::1]:1",
        ] {
            assert!(is_local(host), "{host}");
        }
    }

    #[test]
    fn foreign_hosts() {
        for host in [
            "",
            "evil.example",
            "evil.example:9090",
            "localhost.evil.example",
            "localhost.",
            "localhost:9090.evil.example",
            "localhost:9090:1",
            "127.0.0.1.evil.example",
            "127.1",
            "0x7f000001",
            "127.0.0.1@evil.example",
            "user@localhost",
            "[::1].evil.example",
            "[::1]evil",
            "[::1]9090",
            "[::1",
            "::1",
            "[127.0.0.1]",
            " localhost",
            "local\u{fffd}host",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[tokio::test]
    async fn a_foreign_host_is_refused_before_anything_else() {
        for path in ["/livez", "/metrics", "/performance/cache/stats", "/nothing"] {
            let answer = Exchange::get(path).host("evil.example").with(&empty_state()).await;
            let detail = "Host \"evil.example\": expected an IP address or localhost";
            answer.assert_problem(StatusCode::MISDIRECTED_REQUEST, "Misdirected Request", detail, path);
        }
    }

    #[tokio::test]
    async fn a_foreign_name_anywhere_is_refused() {
        let second = Exchange::get("/livez").hosts(&["localhost", "evil.example"]);
        let target = Exchange::get("http://evil.example/livez");
        for exchange in [second, target] {
            let answer = exchange.with(&empty_state()).await;
            assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn only_http_10_may_leave_host_out() {
        let answer = Exchange::get("/livez").hosts(&[]).with(&empty_state()).await;
        answer.assert_problem(StatusCode::BAD_REQUEST, "Bad Request", "Host is missing", "/livez");
        let answer = Exchange::get("/livez").hosts(&[]).http_10().with(&empty_state()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }

    #[tokio::test]
    async fn writes_of_other_sites_are_refused() {
        let own = "http://localhost:9090";
        for (fields, refused) in [
            (&[][..], None),
            (&[("sec-fetch-site", "same-origin"), ("origin", own)], None),
            (&[("sec-fetch-site", "none")], None),
            (&[("origin", own)], None),
            (&[("origin", "HTTP://LOCALHOST:9090")], None),
            // Something before this port ends TLS.
            (&[("origin", "https://localhost:9090")], None),
            (&[("sec-fetch-site", "cross-site"), ("origin", own)], Some("Sec-Fetch-Site \"cross-site\"")),
            // Another app of this machine.
            (&[("sec-fetch-site", "same-site")], Some("Sec-Fetch-Site \"same-site\"")),
            (&[("sec-fetch-site", "")], Some("Sec-Fetch-Site \"\"")),
            (&[("origin", "http://localhost:3000")], Some("Origin \"http://localhost:3000\"")),
            (&[("origin", "http://localhost")], Some("Origin \"http://localhost\"")),
            (&[("origin", "https://evil.example")], Some("Origin \"https://evil.example\"")),
            (&[("origin", own), ("origin", "https://evil.example")], Some("Origin \"https://evil.example\"")),
            // A page in a sandbox, or a file.
            (&[("origin", "null")], Some("Origin \"null\"")),
            (&[("origin", "localhost:9090")], Some("Origin \"localhost:9090\"")),
        ] {
            // Whatever the endpoint, also where there is none, and none of these for reading.
            for (method, path) in [("POST", "/nothing"), ("DELETE", "/livez"), ("PUT", "/x"), ("GET", "/livez")] {
                let mut exchange = Exchange::of(method, path);
                for (name, value) in fields {
                    exchange = exchange.field(name, value);
                }
                let answer = exchange.with(&empty_state()).await;
                match refused.filter(|_| method != "GET") {
                    Some(field) => {
                        let detail =
                            format!("{field}: expected a write from outside a browser, or from a page of this address");
                        answer.assert_problem(StatusCode::FORBIDDEN, "Forbidden", &detail, path);
                    }
                    None => assert_ne!(answer.status, StatusCode::FORBIDDEN, "{method} {fields:?} {answer:?}"),
                }
            }
        }
    }

    #[tokio::test]
    async fn no_answer_allows_another_site_anything() {
        let preflight = Exchange::of("OPTIONS", "/performance/cache/entries/a")
            .field("origin", "https://evil.example")
            .field("access-control-request-method", "PUT");
        let read = Exchange::get("/livez").field("origin", "https://evil.example");
        for exchange in [preflight, read] {
            let answer = exchange.with(&empty_state()).await;
            let cors = answer.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
            assert_eq!(cors, None, "{answer:?}");
            assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_a_500() {
        async fn defect() {
            panic!("on purpose");
        }
        let router = guarded(Router::new().route("/defect", get(defect)));
        let answer = Exchange::get("/defect").through(router).await;
        let detail = "a defect of Pacecar; its log says where";
        answer.assert_problem(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error", detail, "/defect");
    }
}
