//! What a change of the app's state does to what is stored (RFC 9111 §4.4, RFC 9875 §3), and what PURGE does.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::common::{Answer, Gate, Origin, Received, Request, Response, Sidecar, get, head, ok, post, request, status};

const PURGE_ALLOWED: &str = "[cache]\npurge_allow = [\"127.0.0.0/8\"]";

fn fresh(body: impl AsRef<[u8]>) -> Response {
    ok(body).header("Cache-Control", "max-age=60")
}

/// An origin whose answers to GET are fresh, and which answers everything else so.
async fn origin(to_others: Response) -> Origin {
    let script = move |received: &Received| match &*received.method {
        "GET" => fresh(&received.target).header("Cache-Groups", "\"group\""),
        _ => to_others.clone(),
    };
    Origin::new().otherwise(script).start().await
}

/// Stores this for the host `a`.
async fn fill(sidecar: &Sidecar, target: &str) {
    at_a(sidecar, get(target)).await.assert_cache("miss").assert_cache_parameter("stored").assert_body(target);
    at_a(sidecar, get(target)).await.assert_cache("hit");
}

async fn at_a(sidecar: &Sidecar, request: Request) -> Answer {
    sidecar.send(request.header("Host", "a")).await
}

#[tokio::test]
async fn unsafe_methods_invalidate_with_and_without_a_body() {
    let origin = origin(status(204)).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "MKCOL", "FROBNICATE"] {
        let bodies: [fn(Request) -> Request; 3] = [
            |request| request,
            |request| Request { body: post("/", "body").body, ..request },
            |request| request.chunks(["bo", "dy"]),
        ];
        for (nth, with_body) in bodies.into_iter().enumerate() {
            for h2 in [false, true] {
                let target = format!("/{method}/{nth}/{h2}");
                fill(&sidecar, &target).await;
                let change = with_body(request(method, &target)).header("Host", "a");
                let changed = if h2 { sidecar.h2c().await.send(change).await } else { sidecar.send(change).await };
                changed.assert_status(204).assert_cache_parameter("fwd=method");
                let next = at_a(&sidecar, get(&target)).await;
                next.expect(
                    next.fields.joined("cache-status").contains("fwd=uri-miss"),
                    format!("a miss after {target}"),
                );
            }
        }
    }
}

/// The same change without a body and with one: they take different ways here.
fn changes(target: &str) -> [Request; 2] {
    [request("DELETE", target), post(target, "body")]
}

#[tokio::test]
async fn only_success_and_redirection_invalidate() {
    for (code, does) in [(200, true), (201, true), (302, true), (303, true), (400, false), (404, false), (500, false)] {
        let answer = status(code).header("Location", "/there").header("Cache-Group-Invalidation", "\"group\"");
        let origin = origin(answer).await;
        for change in changes("/") {
            let sidecar = Sidecar::in_front_of(&origin).start().await;
            for target in ["/", "/there", "/same/group"] {
                fill(&sidecar, target).await;
            }
            at_a(&sidecar, change).await.assert_status(code);
            for target in ["/", "/there", "/same/group"] {
                let next = at_a(&sidecar, get(target)).await;
                next.assert_cache(if does { "miss" } else { "hit" }).assert_body(target);
            }
        }
    }
}

#[tokio::test]
async fn location_and_content_location_are_invalidated_at_the_same_origin() {
    let made = status(201).header("Location", "http://A:80/made?x=1").header("Content-Location", "list");
    let origin = origin(made).await;
    for change in changes("/things/new") {
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        for target in ["/things/new", "/made?x=1", "/things/list", "/made?x=2", "/list"] {
            fill(&sidecar, target).await;
        }
        at_a(&sidecar, change).await.assert_status(201);
        for target in ["/things/new", "/made?x=1", "/things/list"] {
            at_a(&sidecar, get(target)).await.assert_cache_parameter("fwd=uri-miss");
        }
        for target in ["/made?x=2", "/list"] {
            at_a(&sidecar, get(target)).await.assert_cache("hit");
        }
    }
}

#[tokio::test]
async fn other_hosts_and_schemes_cannot_be_invalidated() {
    for elsewhere in ["http://other/x", "https://a/x", "http://a:8080/x", "//other/x"] {
        let origin = origin(ok("done").header("Location", elsewhere).header("Content-Location", elsewhere)).await;
        let sidecar = Sidecar::in_front_of(&origin).tls().start().await;
        let asks =
            || [get("/x").header("Host", "other"), get("/x").header("Host", "a:8080"), get("/x").header("Host", "a")];
        for ask in asks() {
            sidecar.send(ask).await.assert_cache_parameter("stored");
        }
        let mut tls = sidecar.tls().await;
        tls.send(get("/x").header("Host", "a")).await.assert_cache_parameter("stored");
        at_a(&sidecar, post("/change", "body")).await.assert_status(200);
        for ask in asks() {
            sidecar.send(ask).await.assert_cache("hit");
        }
        tls.send(get("/x").header("Host", "a")).await.assert_cache("hit");
    }
}

#[tokio::test]
async fn every_variant_is_invalidated() {
    let script = |received: &Received| match &*received.method {
        "GET" => fresh(received.field("accept-language").unwrap_or("any")).header("Vary", "Accept-Language"),
        _ => status(204),
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let ask = |language: &str| sidecar.send(get("/").header("Accept-Language", language));
    for language in ["en", "de"] {
        ask(language).await.assert_cache_parameter("stored");
    }
    sidecar.send(post("/", "body")).await.assert_status(204);
    for language in ["en", "de"] {
        ask(language).await.assert_cache("miss").assert_body(language);
    }
    origin.assert_requests(5);
}

#[tokio::test]
async fn safe_methods_invalidate_nothing() {
    let origin = origin(ok("").header("Location", "/").header("Cache-Group-Invalidation", "\"group\"")).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    fill(&sidecar, "/").await;
    // As IANA has them registered. HEAD goes to the origin for a URL that is not stored.
    for method in ["OPTIONS", "PROPFIND", "REPORT", "SEARCH", "QUERY"] {
        at_a(&sidecar, request(method, "/")).await.assert_status(200).assert_cache_parameter("fwd=method");
        let with_body = Request { method: method.to_owned(), ..post("/", "body") };
        at_a(&sidecar, with_body).await.assert_status(200).assert_cache_parameter("fwd=method");
    }
    at_a(&sidecar, head("/other")).await.assert_status(200);
    at_a(&sidecar, get("/")).await.assert_cache("hit");
}

#[tokio::test]
async fn groups_are_invalidated_at_the_same_origin() {
    let origin = origin(ok("done").header("Cache-Group-Invalidation", "\"other\", \"group\";x=1")).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for target in ["/1", "/2"] {
        fill(&sidecar, target).await;
    }
    sidecar.send(get("/1").header("Host", "b")).await.assert_cache_parameter("stored");
    at_a(&sidecar, post("/change", "body")).await.assert_status(200);
    for target in ["/1", "/2"] {
        at_a(&sidecar, get(target)).await.assert_cache("miss").assert_body(target);
        at_a(&sidecar, get(target)).await.assert_cache("hit");
    }
    sidecar.send(get("/1").header("Host", "b")).await.assert_cache("hit");
    origin.assert_requests(6);
}

#[tokio::test]
async fn group_that_is_not_named_stays() {
    let origin = origin(ok("done").header("Cache-Group-Invalidation", "\"Group\", \"gro\"")).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    fill(&sidecar, "/").await;
    at_a(&sidecar, post("/change", "body")).await.assert_status(200);
    at_a(&sidecar, get("/")).await.assert_cache("hit");
}

#[tokio::test]
async fn who_has_written_reads_what_was_written() {
    for method in ["POST", "DELETE"] {
        let (gate, count) = (Gate::new(), AtomicUsize::new(0));
        let held = gate.clone();
        let script = move |received: &Received| match (&*received.method, count.fetch_add(1, SeqCst)) {
            ("GET", 0) => fresh("before").after(&held),
            ("GET", _) => fresh("after"),
            _ => status(204),
        };
        let origin = Origin::new().otherwise(script).start().await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        // A fetch that was begun before the change and is not over when it is done.
        let mut early = sidecar.client().await;
        early.send_bytes(get("/").to_bytes("a")).await;
        gate.arrivals(1).await;
        let change = if method == "POST" { post("/", "body") } else { request(method, "/") };
        at_a(&sidecar, change).await.assert_status(204);
        // It is not joined, and its answer is not stored.
        at_a(&sidecar, get("/")).await.assert_cache_parameter("fwd=uri-miss").assert_body("after");
        gate.open();
        early.answer("GET").await.assert_status(200).assert_body("before");
        at_a(&sidecar, get("/")).await.assert_cache("hit").assert_body("after");
        origin.assert_requests(3);
    }
}

#[tokio::test]
async fn fetch_from_before_a_change_is_not_stored_after_it() {
    let (gate, count) = (Gate::new(), AtomicUsize::new(0));
    let held = gate.clone();
    let script = move |received: &Received| match (&*received.method, count.fetch_add(1, SeqCst)) {
        ("GET", 0) => fresh("bef").wait(&held).part("ore"),
        ("GET", _) => fresh("after"),
        _ => status(204),
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    let mut early = client.begin(get("/").header("Host", "a")).await;
    early.at_least(3).await;
    at_a(&sidecar, post("/", "body")).await.assert_status(204);
    gate.open();
    early.finish().await.assert_status(200).assert_body("before");
    at_a(&sidecar, get("/")).await.assert_cache_parameter("fwd=uri-miss").assert_body("after");
    origin.assert_requests(3);
}

#[tokio::test]
async fn fetch_from_before_a_change_of_its_group_is_gone_after_it() {
    let gate = Gate::new();
    let held = gate.clone();
    let script = move |received: &Received| match &*received.target {
        "/" => fresh("hel").wait(&held).part("lo").header("Cache-Groups", "\"group\""),
        _ => ok("done").header("Cache-Group-Invalidation", "\"group\""),
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    let mut early = client.begin(get("/").header("Host", "a")).await;
    early.at_least(3).await;
    at_a(&sidecar, post("/change", "body")).await.assert_status(200);
    gate.open();
    early.finish().await.assert_body("hello");
    at_a(&sidecar, get("/")).await.assert_cache("miss").assert_body("hello");
    at_a(&sidecar, get("/")).await.assert_cache("hit");
}

fn purge(target: &str) -> Request {
    request("PURGE", target)
}

fn soft(target: &str) -> Request {
    purge(target).header("Fastly-Soft-Purge", "1")
}

#[track_caller]
fn assert_purged(answer: &Answer, count: u64, mode: &str) {
    answer.assert_status(200).assert_field("content-type", "application/json").assert_complete();
    let said: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(said, serde_json::json!({ "status": "ok", "purged": count, "mode": mode }), "{answer}");
}

#[tokio::test]
async fn purge_is_refused_unless_it_is_allowed_and_never_sent_on() {
    for config in ["", "[cache]\npurge_allow = [\"192.0.2.0/24\", \"::1\"]"] {
        let origin = origin(ok("forwarded")).await;
        let sidecar = Sidecar::in_front_of(&origin).config(config).start().await;
        fill(&sidecar, "/").await;
        at_a(&sidecar, purge("/")).await.assert_status(403).assert_complete();
        // Who it is tells the connection, not the request.
        at_a(&sidecar, purge("/").header("X-Forwarded-For", "192.0.2.1")).await.assert_status(403);
        sidecar.h2c().await.send(purge("/").header("Host", "a")).await.assert_status(403);
        at_a(&sidecar, get("/")).await.assert_cache("hit");
        origin.assert_requests(1);
    }
}

#[tokio::test]
async fn purge_drops_what_is_stored() {
    let origin = origin(ok("forwarded")).await;
    let sidecar = Sidecar::in_front_of(&origin).config(PURGE_ALLOWED).start().await;
    fill(&sidecar, "/?x=1").await;
    fill(&sidecar, "/?x=2").await;
    assert_purged(&at_a(&sidecar, purge("/?x=1")).await, 1, "hard");
    at_a(&sidecar, get("/?x=1")).await.assert_cache_parameter("fwd=uri-miss");
    at_a(&sidecar, get("/?x=2")).await.assert_cache("hit");
    assert_purged(&sidecar.h2c().await.send(purge("/?x=2").header("Host", "a")).await, 1, "hard");
    at_a(&sidecar, get("/?x=2")).await.assert_cache_parameter("fwd=uri-miss");
    origin.assert_requests(4);
}

#[tokio::test]
async fn purge_of_nothing_is_a_success() {
    let origin = origin(ok("forwarded")).await;
    let sidecar = Sidecar::in_front_of(&origin).config(PURGE_ALLOWED).start().await;
    assert_purged(&at_a(&sidecar, purge("/")).await, 0, "hard");
    assert_purged(&at_a(&sidecar, soft("/")).await, 0, "soft");
    fill(&sidecar, "/").await;
    sidecar.send(purge("/").header("Host", "b")).await.assert_status(200);
    at_a(&sidecar, get("/")).await.assert_cache("hit");
    origin.assert_requests(1);
}

#[tokio::test]
async fn purge_reaches_what_came_by_way_of_a_proxy() {
    let origin = origin(ok("forwarded")).await;
    let sidecar = Sidecar::in_front_of(&origin).config(PURGE_ALLOWED).start().await;
    let by_proxy = || get("/").header("X-Forwarded-Proto", "https").header("X-Forwarded-Port", "443");
    for (wish, mode) in [(purge("/"), "hard"), (soft("/"), "soft")] {
        at_a(&sidecar, by_proxy()).await.assert_cache_parameter("stored");
        at_a(&sidecar, by_proxy()).await.assert_cache("hit");
        assert_purged(&at_a(&sidecar, wish).await, 0, mode);
        let after = at_a(&sidecar, by_proxy()).await;
        after.assert_cache_parameter(if mode == "hard" { "fwd=uri-miss" } else { "fwd=stale" });
        at_a(&sidecar, purge("/")).await;
    }
}

#[tokio::test]
async fn soft_purge_makes_stale() {
    let script = |received: &Received| match received.field("if-none-match") {
        Some("\"v1\"") => status(304).header("Cache-Control", "max-age=60"),
        _ => fresh("hello").header("ETag", "\"v1\""),
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(PURGE_ALLOWED).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    assert_purged(&sidecar.send(soft("/")).await, 1, "soft");
    let next = sidecar.get("/").await;
    next.assert_cache_parameter("fwd=stale").assert_cache_parameter("fwd-status=304").assert_body("hello");
    sidecar.get("/").await.assert_cache("hit").assert_body("hello");
    assert_purged(&sidecar.send(soft("/")).await, 1, "soft");
    // Stale is good enough where the origin fails.
    origin.stop().await;
    let stale = sidecar.get("/").await;
    stale.assert_status(200).assert_cache_parameter("detail=stale-if-error").assert_body("hello");
}

#[tokio::test]
async fn hard_purge_leaves_nothing_to_fall_back_on() {
    let origin = origin(ok("forwarded")).await;
    let sidecar = Sidecar::in_front_of(&origin).config(PURGE_ALLOWED).start().await;
    fill(&sidecar, "/").await;
    assert_purged(&at_a(&sidecar, soft("/")).await, 1, "soft");
    assert_purged(&at_a(&sidecar, purge("/")).await, 1, "hard");
    origin.stop().await;
    at_a(&sidecar, get("/")).await.assert_status(502);
}

#[tokio::test]
async fn purge_is_for_every_variant_and_both_schemes() {
    let script = |received: &Received| {
        fresh(received.field("accept-language").unwrap_or("any")).header("Vary", "Accept-Language")
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(PURGE_ALLOWED).tls().start().await;
    for (purging, mode) in [(purge("/"), "hard"), (soft("/"), "soft")] {
        let mut tls = sidecar.tls().await;
        for language in ["en", "de"] {
            let ask = || get("/").header("Host", "a").header("Accept-Language", language);
            sidecar.send(ask()).await.assert_cache_parameter("stored");
            tls.send(ask()).await.assert_cache_parameter("stored");
        }
        assert_purged(&at_a(&sidecar, purging).await, 4, mode);
        for language in ["en", "de"] {
            let ask = || get("/").header("Host", "a").header("Accept-Language", language);
            sidecar.send(ask()).await.assert_cache("miss");
            tls.send(ask()).await.assert_cache("miss");
        }
        assert_purged(&at_a(&sidecar, purge("/")).await, 4, "hard");
    }
}

#[tokio::test]
async fn purge_with_a_body_is_malformed() {
    let origin = origin(ok("forwarded")).await;
    let sidecar = Sidecar::in_front_of(&origin).config(PURGE_ALLOWED).start().await;
    fill(&sidecar, "/").await;
    let with_body = || Request { method: "PURGE".to_owned(), ..post("/", "body").header("Host", "a") };
    sidecar.send(with_body()).await.assert_status(400);
    sidecar.send(with_body().chunks(["body"])).await.assert_status(400);
    sidecar.h2c().await.send(with_body()).await.assert_status(400);
    at_a(&sidecar, get("/")).await.assert_cache("hit");
    // Many clients say of every such method that it has none.
    assert_purged(&at_a(&sidecar, purge("/").header("Content-Length", "0")).await, 1, "hard");
    origin.assert_requests(1);
}

#[tokio::test]
async fn purge_during_a_fill_is_about_its_answer_too() {
    for purging in [purge("/"), soft("/")] {
        let (gate, count) = (Gate::new(), AtomicUsize::new(0));
        let held = gate.clone();
        let script = move |_: &Received| match count.fetch_add(1, SeqCst) {
            0 => fresh("bef").wait(&held).part("ore"),
            _ => fresh("after"),
        };
        let origin = Origin::new().otherwise(script).start().await;
        let sidecar = Sidecar::in_front_of(&origin).config(PURGE_ALLOWED).start().await;
        let mut client = sidecar.client().await;
        let mut early = client.begin(get("/").header("Host", "a")).await;
        early.at_least(3).await;
        at_a(&sidecar, purging).await.assert_status(200);
        gate.open();
        early.finish().await.assert_status(200).assert_body("before");
        at_a(&sidecar, get("/")).await.assert_cache_parameter("fwd=uri-miss").assert_body("after");
        at_a(&sidecar, get("/")).await.assert_cache("hit").assert_body("after");
        origin.assert_requests(2);
    }
}
