//! What holds for every request to the admin port.
//!
//! In this order: was it sent to this machine, does it have the token, does it come from here, is its body what it says,
//! and is it one too many. The port for probes asks none of these.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use arc_swap::ArcSwap;
use axum::{
    Router,
    body::HttpBody,
    extract::{self, MatchedPath, Request},
    http::{
        HeaderName, HeaderValue, Method, StatusCode, Version,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::{self, Next},
    response::{IntoResponse, Response},
};

use super::{
    Settings,
    audit::Write,
    auth::{self, Failure, Proof},
    limit::{Allowance, Limit, Limiter},
    problem::Problem,
    router::{ENDPOINTS, Endpoint},
};
use crate::state::State;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Who may ask the admin port what, and how often. All its connections share one.
#[derive(Debug)]
pub struct Guard {
    settings: ArcSwap<Settings>,
    limiter: Limiter,
}

/// The address at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Every limit there is.
fn limits() -> impl Iterator<Item = Limit> {
    ENDPOINTS.iter().filter_map(|endpoint| endpoint.limit).chain([auth::ATTEMPTS])
}

/// The names of all limits, each of them once, for what counts refusals by them.
pub fn policies() -> Vec<&'static str> {
    let mut policies: Vec<_> = limits().map(|limit| limit.policy).collect();
    policies.sort_unstable();
    policies.dedup();
    policies
}

/// Puts the guard before the endpoints.
pub(super) fn guarded(endpoints: Router, guard: Arc<Guard>, state: Arc<State>) -> Router {
    endpoints.layer(middleware::from_fn_with_state((guard, state), pass))
}

/// Lets everybody in, and gives the answers what they all have.
pub(super) fn unguarded(endpoints: Router) -> Router {
    endpoints.layer(middleware::from_fn(async |request, next| dressed(answer(request, next).await)))
}

async fn pass(
    extract::State((guard, state)): extract::State<(Arc<Guard>, Arc<State>)>,
    request: Request,
    next: Next,
) -> Response {
    let client = request.extensions().get().map_or(Ipv4Addr::UNSPECIFIED.into(), |Peer(address)| *address);
    let write = Write::of(&request, client);
    let shown = guard.identify(&request, client);
    let proof = shown.as_ref().map_or(Proof::None, |proof| *proof);
    let response = match shown.and_then(|_| guard.admit(&request, client)) {
        Ok(allowance) => {
            let mut response = answer(request, next).await;
            response.headers_mut().extend(allowance.iter().flat_map(Allowance::fields));
            response
        }
        Err(Refusal::Wrong(problem)) => problem.into_response(),
        Err(Refusal::TooMany(allowance)) => {
            state.ratelimited.add(allowance.policy());
            allowance.refusal(request.uri()).into_response()
        }
    };
    if let Some(write) = write {
        write.log(response.status(), proof);
    }
    dressed(response)
}

/// Gives an answer the fields that each one has.
fn dressed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    // Figures of this moment: a stored copy would be wrong.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Names from traffic stand in these answers; no browser may take them for something that runs.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Nor may a page of another site show them, as a script or an image, which needs no CORS.
    headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    // Nor in a frame, over which it could lay something else to be clicked.
    let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(nothing);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
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

/// Why a request is not answered.
#[derive(Debug)]
enum Refusal {
    /// Something is wrong with it.
    Wrong(Problem),
    /// Its client has sent too many.
    TooMany(Allowance),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Wrong(problem)
    }
}

impl Guard {
    /// With nobody counted yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings: ArcSwap::from_pointee(settings), limiter: Limiter::new(limits()) }
    }

    /// Takes up another token and other names, for requests that come from now on. What is counted stays.
    pub fn reload(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// Whether the client may know that there is anything here, and how it has shown that.
    fn identify(&self, request: &Request, client: IpAddr) -> Result<Proof, Refusal> {
        let settings = self.settings.load();
        check_host(request, &settings.hosts)?;
        let is_open = endpoint(request).is_some_and(|endpoint| endpoint.access.is_open());
        let Some(token) = settings.token.as_ref().filter(|_| !is_open) else { return Ok(Proof::None) };
        auth::prove(token, request.headers()).map_err(|failure| match failure {
            Failure::Missing => failure.refusal(request.uri(), request.headers()).into(),
            // Only guessing is limited: who has the token gets in, whatever others at its address have tried.
            Failure::Wrong => match self.limiter.take(auth::ATTEMPTS, client) {
                Ok(left) => {
                    let refusal = failure.refusal(request.uri(), request.headers());
                    left.fields().into_iter().fold(refusal, with).into()
                }
                Err(none) => Refusal::TooMany(none),
            },
        })
    }

    /// Whether this very request may be answered, and what its client has left where there is a limit.
    fn admit(&self, request: &Request, client: IpAddr) -> Result<Option<Allowance>, Refusal> {
        check_origin(request)?;
        // A method that an endpoint does not take is answered without it. It is not counted either: pages of other
        // sites can make a browser send such requests, and would use up what its user has left.
        let taken = endpoint(request).filter(|endpoint| endpoint.takes(request.method()));
        let Some(endpoint) = taken else { return Ok(None) };
        check_type(request)?;
        endpoint.limit.map(|limit| self.limiter.take(limit, client)).transpose().map_err(Refusal::TooMany)
    }
}

fn with(problem: Problem, (name, value): (HeaderName, HeaderValue)) -> Problem {
    problem.field(name, value)
}

/// The endpoint that will answer, if its path is one.
fn endpoint(request: &Request) -> Option<&'static Endpoint> {
    let path = request.extensions().get::<MatchedPath>()?;
    let of_path = || ENDPOINTS.iter().filter(|endpoint| endpoint.path == path.as_str());
    of_path().find(|endpoint| endpoint.takes(request.method())).or_else(|| of_path().next())
}

/// Refuses a request that was sent to a name which is not this machine's own.
///
/// A page of a foreign site can make its own name resolve to this address (DNS rebinding), and its scripts then read
/// what they like, since to the browser it is the same site. The name in Host gives them away.
fn check_host(request: &Request, names: &[String]) -> Result<(), Problem> {
    let mut named = false;
    for host in hosts(request) {
        named = true;
        if !is_own_host(&host, names) {
            let detail = format!("Host {host:?}: expected an IP address, localhost or a name in admin.hosts");
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, request.uri(), detail));
        }
    }
    // RFC 9112 §3.2: HTTP/1.1 must have Host; in HTTP/1.0 it was not known, and health checks still use that.
    if !named && request.version() != Version::HTTP_10 {
        return Err(Problem::new(StatusCode::BAD_REQUEST, request.uri(), "Host is missing"));
    }
    Ok(())
}

/// Refuses a POST whose body is not called JSON, which no form of another site can send.
///
/// The values that PUT stores are the app's own, and of any type.
fn check_type(request: &Request) -> Result<(), Problem> {
    if request.method() != Method::POST || request.body().is_end_stream() {
        return Ok(());
    }
    let given = request.headers().get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let essence = given.as_deref().and_then(|given| given.split(';').next()).map(str::trim);
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    let given = given.map_or("no Content-Type".into(), |given| format!("Content-Type {given:?}"));
    let detail = format!("{given}: expected application/json, for curl with -H 'Content-Type: application/json'");
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, request.uri(), detail))
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

/// Whether this is an IP address, `localhost` or one of these names, with any port or none.
fn is_own_host(host: &str, names: &[String]) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        return address.parse::<Ipv6Addr>().is_ok() && is_port(port);
    }
    let (name, port) = host.split_at(host.find(':').unwrap_or(host.len()));
    let is_named = || names.iter().any(|own| own.eq_ignore_ascii_case(name));
    (name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok() || is_named()) && is_port(port)
}

/// Whether this is nothing, or a colon with digits. RFC 3986 §3.2.3 allows the colon alone.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::routing::get;

    use super::*;
    use crate::admin::{
        Token,
        fixture::{Answer, Exchange, TOKEN, empty_state, guard, locked},
        router::{Access, probes, router},
    };

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
            assert!(is_own_host(host, &[]), "{host}");
        }
    }

    #[test]
    fn foreign_hosts() {
        let names = ["pacecar.internal".to_owned()];
        for host in [
            "internal",
            "pacecar",
            "pacecar.internal.",
            "evil.pacecar.internal",
            "pacecar.internal:9090.evil.example",
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
            assert!(!is_own_host(host, &names), "{host}");
        }
    }

    #[test]
    fn named_hosts() {
        let names = ["Pacecar.internal".to_owned(), "other".into()];
        for host in ["pacecar.INTERNAL", "pacecar.internal:9090", "other:", "localhost", "127.0.0.1:1"] {
            assert!(is_own_host(host, &names), "{host}");
        }
    }

    #[tokio::test]
    async fn a_foreign_host_is_refused_before_anything_else() {
        let router = router(empty_state(), locked());
        for path in paths().chain(["/nothing".into()]) {
            for method in ["GET", "POST"] {
                let answer = Exchange::of(method, &path).host("evil.example").through(router.clone()).await;
                let detail = "Host \"evil.example\": expected an IP address, localhost or a name in admin.hosts";
                answer.assert_problem(StatusCode::MISDIRECTED_REQUEST, "Misdirected Request", detail, &path);
            }
        }
    }

    #[tokio::test]
    async fn names_are_taken_up_by_reloading() {
        let guard = guard();
        let router = router(empty_state(), guard.clone());
        let asked = || Exchange::get("/livez").host("pacecar.internal:9090").through(router.clone());
        assert_eq!(asked().await.status, StatusCode::MISDIRECTED_REQUEST);
        guard.reload(Settings { hosts: vec!["pacecar.internal".into()], ..Settings::default() });
        assert_eq!(asked().await.status, StatusCode::OK);
        let write = Exchange::of("DELETE", "/performance/cache/entries/a").host("pacecar.internal");
        let own = write.field("origin", "http://pacecar.internal").through(router.clone()).await;
        assert_eq!(own.status, StatusCode::NOT_FOUND, "{own:?}");
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
    async fn no_endpoint_takes_a_write_of_another_site() {
        let router = router(empty_state(), guard());
        for path in paths() {
            for method in ["POST", "PUT", "PATCH", "DELETE"] {
                let write = Exchange::of(method, &path).field("sec-fetch-site", "cross-site");
                let answer = write.through(router.clone()).await;
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path} {answer:?}");
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
        let router = guarded(Router::new().route("/defect", get(defect)), guard(), empty_state());
        let answer = Exchange::get("/defect").through(router).await;
        let detail = "a defect of Pacecar; its log says where";
        answer.assert_problem(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error", detail, "/defect");
    }

    /// A path of every endpoint.
    fn paths() -> impl Iterator<Item = String> {
        ENDPOINTS.iter().map(|endpoint| endpoint.path.replace("{*key}", "a/b").replace("{file}", "main.js"))
    }

    /// Every endpoint with each of its methods.
    fn requests() -> impl Iterator<Item = (&'static Endpoint, String, &'static str)> {
        let of_path = |(endpoint, path): (&'static Endpoint, String)| {
            endpoint.methods.iter().map(move |method| (endpoint, path.clone(), method.as_str()))
        };
        ENDPOINTS.iter().zip(paths()).flat_map(of_path)
    }

    /// Where a client stands, as the draft has it: what remains, and the seconds until there is more.
    fn remaining(answer: &Answer, policy: &str) -> (u32, u64) {
        let field = answer.header("ratelimit").unwrap_or_else(|| panic!("no RateLimit in {answer:?}"));
        let rest = field.strip_prefix(&format!("\"{policy}\";r=")).unwrap_or_else(|| panic!("{field}"));
        let (remaining, seconds) = rest.split_once(";t=").unwrap();
        (remaining.parse().unwrap(), seconds.parse().unwrap())
    }

    fn refused(state: &State, policy: &str) -> u64 {
        state.ratelimited.values().find(|(known, _)| *known == policy).unwrap().1
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_of_every_endpoint_is_reached_and_recovers() {
        for (endpoint, path, method) in requests() {
            let Some(Limit { policy, per_minute }) = endpoint.limit else { continue };
            let state = empty_state();
            let router = router(state.clone(), guard());
            let asked = || Exchange::of(method, &path).through(router.clone());
            let said = format!("\"{policy}\";q={per_minute};w=60");
            for left in (0..per_minute).rev() {
                let answer = asked().await;
                assert_ne!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{method} {path} after {left}");
                assert_eq!(answer.header("ratelimit-policy"), Some(&*said), "{answer:?}");
                assert_eq!(remaining(&answer, policy).0, left);
            }
            assert_eq!(refused(&state, policy), 0);
            let answer = asked().await;
            assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{method} {path} {answer:?}");
            assert_eq!(answer.header("ratelimit-policy"), Some(&*said), "{answer:?}");
            assert_eq!(refused(&state, policy), 1);
            let (none, seconds) = remaining(&answer, policy);
            assert_eq!((none, answer.header("retry-after")), (0, Some(&*seconds.to_string())), "one moment");
            assert!(seconds >= 1, "{answer:?}");

            let other = Exchange::of(method, &path).from("192.0.2.7").through(router.clone()).await;
            assert_eq!(remaining(&other, policy).0, per_minute - 1, "{other:?}");
            tokio::time::advance(Duration::from_secs(seconds)).await;
            let answer = asked().await;
            assert_ne!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{method} {path} {answer:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_too_many_is_a_problem_that_names_the_policy() {
        let router = router(empty_state(), guard());
        let asked = || Exchange::of("POST", "/performance/cache/clear").through(router.clone());
        let first = asked().await;
        assert_eq!(first.header("ratelimit-policy"), Some("\"cache-clear\";q=10;w=60"), "{first:?}");
        assert_eq!(first.header("ratelimit"), Some("\"cache-clear\";r=9;t=6"), "{first:?}");
        for _ in 0..9 {
            asked().await;
        }
        let answer = asked().await;
        assert_eq!(answer.header("retry-after"), Some("6"), "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let expected = serde_json::json!({
            "type": "https://iana.org/assignments/http-problem-types#quota-exceeded",
            "title": "Too Many Requests",
            "status": 429,
            "detail": "10 requests a minute: expected the next one in 6 seconds",
            "instance": "/performance/cache/clear",
            "violated-policies": ["cache-clear"],
        });
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn what_machines_ask_is_not_limited() {
        let router = router(empty_state(), guard());
        for (endpoint, path, method) in requests().filter(|(endpoint, ..)| endpoint.limit.is_none()) {
            for _ in 0..200 {
                let answer = Exchange::of(method, &path).through(router.clone()).await;
                assert_ne!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{endpoint:?}");
                assert_eq!(answer.header("ratelimit"), None, "{answer:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_let_in_counts() {
        let path = "/performance/cache/clear";
        let router = router(empty_state(), guard());
        let foreign = Exchange::of("POST", path).field("sec-fetch-site", "cross-site");
        for exchange in [foreign, Exchange::get(path), Exchange::of("OPTIONS", path), Exchange::get(path).host("a.b")] {
            assert_eq!(exchange.through(router.clone()).await.header("ratelimit"), None);
        }
        let answer = Exchange::of("POST", path).through(router.clone()).await;
        assert_eq!(remaining(&answer, "cache-clear").0, 9);
        let head = Exchange::of("HEAD", "/performance/cache/stats").through(router.clone()).await;
        let get = Exchange::get("/performance/cache/stats").through(router.clone()).await;
        assert_eq!([remaining(&head, "cache-stats").0, remaining(&get, "cache-stats").0], [99, 98], "HEAD is a GET");
    }

    #[tokio::test(start_paused = true)]
    async fn one_ipv6_network_is_one_client() {
        let router = router(empty_state(), guard());
        let asked = |client: &str| Exchange::get("/performance/cache/stats").from(client).through(router.clone());
        assert_eq!(remaining(&asked("2001:db8:1:2::3").await, "cache-stats").0, 99);
        assert_eq!(remaining(&asked("2001:db8:1:2:ffff::4").await, "cache-stats").0, 98);
        assert_eq!(remaining(&asked("2001:db8:1:3::3").await, "cache-stats").0, 99);
    }

    #[tokio::test]
    async fn every_endpoint_but_health_and_the_page_needs_the_token() {
        let router = router(empty_state(), locked());
        let requests = requests().map(|(endpoint, path, method)| (endpoint.access.is_open(), path, method));
        for (is_open, path, method) in requests.chain([(false, "/nothing".into(), "GET")]) {
            let asked = || Exchange::of(method, &path);
            let answer = asked().through(router.clone()).await;
            if is_open {
                assert_eq!(answer.status, StatusCode::OK, "{path} {answer:?}");
                continue;
            }
            let detail = "Authorization is missing: expected the token, as Bearer or as the password of Basic";
            answer.assert_problem(StatusCode::UNAUTHORIZED, "Unauthorized", detail, &path);
            let challenges: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
            assert_eq!(challenges, ["Basic realm=\"Pacecar\", charset=\"UTF-8\"", "Bearer"]);
            let script = asked().field("x-requested-with", "fetch").through(router.clone()).await;
            assert_eq!((script.status, script.header("www-authenticate")), (StatusCode::UNAUTHORIZED, Some("Bearer")));
            // "admin:" and the token, as a browser encodes them.
            let basic = "Basic YWRtaW46Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5";
            for right in [asked().token(TOKEN), asked().field("authorization", basic)] {
                let answer = right.through(router.clone()).await;
                assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path} {answer:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn guessing_is_limited_and_the_right_token_is_not() {
        let state = empty_state();
        let router = router(state.clone(), locked());
        let asked = || Exchange::get("/performance/cache/stats");
        for left in (0..10).rev() {
            let answer = asked().token("wrong").through(router.clone()).await;
            let detail = "Authorization: expected the token, as Bearer or as the password of Basic";
            answer.assert_problem(StatusCode::UNAUTHORIZED, "Unauthorized", detail, "/performance/cache/stats");
            assert_eq!(remaining(&answer, "auth"), (left, 6));
        }
        let answer = asked().token("wrong").through(router.clone()).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{answer:?}");
        assert!(answer.body.contains("\"violated-policies\":[\"auth\"]"), "{answer:?}");
        assert_eq!((answer.header("retry-after"), refused(&state, "auth")), (Some("6"), 1));
        assert_eq!(asked().token(TOKEN).through(router.clone()).await.status, StatusCode::OK);
        assert_eq!(asked().through(router.clone()).await.status, StatusCode::UNAUTHORIZED, "nothing is no guess");
        let other = asked().token("wrong").from("192.0.2.7").through(router.clone()).await;
        assert_eq!(other.status, StatusCode::UNAUTHORIZED);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(asked().token("wrong").through(router).await.status, StatusCode::UNAUTHORIZED);
    }

    #[tokio::test]
    async fn odd_credentials_are_wrong() {
        for odd in [
            &b""[..],
            b" ",
            b"Basic",
            b"Basic !!!!",
            b"Basic YWRtaW4=",
            b"Bearer \xff\xfe",
            b"\x80",
            &[b'x'; 1 << 16],
            &[b"Basic ".as_slice(), &[b'A'; 1 << 16]].concat(),
        ] {
            let exchange = Exchange::get("/metrics").raw_field("authorization", odd);
            let answer = exchange.through(router(empty_state(), locked())).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{odd:?}");
        }
    }

    #[tokio::test]
    async fn another_token_counts_at_once() {
        let guard = locked();
        let router = router(empty_state(), guard.clone());
        let asked = |token: &str| Exchange::get("/metrics").token(token).through(router.clone());
        let new = "another-token-of-its-own";
        assert_eq!(asked(new).await.status, StatusCode::UNAUTHORIZED);
        guard.reload(Settings { token: Token::parse(new.as_bytes()), ..Settings::default() });
        assert_eq!((asked(new).await.status, asked(TOKEN).await.status), (StatusCode::OK, StatusCode::UNAUTHORIZED));
    }

    #[tokio::test]
    async fn a_post_with_a_body_has_to_be_json() {
        let path = "/performance/cache/clear";
        let post = || Exchange::of("POST", path).body("{}");
        for (given, said) in [
            (None, "no Content-Type"),
            (Some("application/x-www-form-urlencoded"), "Content-Type \"application/x-www-form-urlencoded\""),
            (Some("text/plain;application/json"), "Content-Type \"text/plain;application/json\""),
            (Some(""), "Content-Type \"\""),
        ] {
            let exchange = given.into_iter().fold(post(), |exchange, given| exchange.field("content-type", given));
            let detail =
                format!("{said}: expected application/json, for curl with -H 'Content-Type: application/json'");
            let answer = exchange.with(&empty_state()).await;
            answer.assert_problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type", &detail, path);
        }
        for exchange in [
            post().field("content-type", "application/json"),
            post().field("content-type", "Application/JSON ; charset=utf-8"),
            Exchange::of("POST", path),
            Exchange::of("POST", path).field("content-type", "text/plain"),
        ] {
            let answer = exchange.with(&empty_state()).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        }
        let put = Exchange::of("PUT", "/performance/cache/entries/a").body("value").with(&empty_state()).await;
        assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
    }

    #[tokio::test]
    async fn probes_are_answered_to_anybody_and_nothing_else_is() {
        let state = empty_state();
        let router = probes(&state);
        for endpoint in ENDPOINTS {
            let path = endpoint.path.replace("{*key}", "a/b").replace("{file}", "main.js");
            let expected = match endpoint.access {
                Access::Operator | Access::Visitor => StatusCode::NOT_FOUND,
                Access::Anyone | Access::Prober => StatusCode::OK,
            };
            for exchange in [Exchange::get(&path).host("pod.example:9091"), Exchange::get(&path).hosts(&[])] {
                let answer = exchange.through(router.clone()).await;
                assert_eq!(answer.status, expected, "{path} {answer:?}");
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
            }
        }
        let write = Exchange::of("PUT", "/performance/cache/entries/a").body("x").through(router).await;
        assert_eq!((write.status, state.keyed.snapshot().entries), (StatusCode::NOT_FOUND, 0));
    }

    #[tokio::test]
    async fn a_handler_may_say_what_its_page_loads() {
        let own = || async { [(CONTENT_SECURITY_POLICY, "default-src 'self'")] };
        let router = unguarded(Router::new().route("/page", get(own)).route("/other", get(|| async {})));
        for (path, expected) in
            [("/page", "default-src 'self'"), ("/other", "default-src 'none'; frame-ancestors 'none'")]
        {
            let answer = Exchange::get(path).through(router.clone()).await;
            assert_eq!(answer.header("content-security-policy"), Some(expected), "{answer:?}");
            assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{answer:?}");
        }
    }
}
