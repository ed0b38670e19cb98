//! What holds for every request to the admin port.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::{
    Router,
    extract::Request,
    http::{
        HeaderValue, StatusCode, Version,
        header::{CACHE_CONTROL, HOST, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
};

use super::problem::Problem;

/// Puts the guard before the endpoints.
pub(super) fn guarded(endpoints: Router) -> Router {
    endpoints.layer(middleware::from_fn(guard))
}

async fn guard(request: Request, next: Next) -> Response {
    let mut response = match check_host(&request) {
        Ok(()) => answer(request, next).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    // Figures of this moment: a stored copy would be wrong.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Names from traffic stand in these answers; no browser may take them for something that runs.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
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
