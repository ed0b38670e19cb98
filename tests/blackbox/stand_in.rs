//! Stale responses that stand in for an origin that fails (RFC 5861 §4, RFC 9111 §4.2.4).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    common::{Cut, Gate, Origin, Received, Response, Sidecar, get, head, ok, raw, request, status, within},
    stale::{assert_stale, first_then, fresh, until_body},
};

/// Stored and stale as it comes, and may be served when the origin fails.
fn dependable(body: &str) -> Response {
    ok(body).header("Cache-Control", "max-age=60, stale-if-error=3600").header("Age", "60")
}

#[tokio::test]
async fn origin_that_fails_is_answered_for_by_what_is_stored() {
    let failures = [500, 502, 503, 504].map(|failure| status(failure).part("sorry"));
    let broken = [
        ok("").cut_before_head(Cut::Fin),
        ok("").cut_before_head(Cut::Reset),
        ok("").hang_before_head(),
        raw("no HTTP at all\r\n\r\n"),
    ];
    for failure in failures.into_iter().chain(broken) {
        let origin = first_then(dependable("hello"), failure).await;
        let sidecar = Sidecar::in_front_of(&origin).config("[server.timeouts]\nread = \"300ms\"").start().await;
        sidecar.get("/").await.assert_cache_parameter("stored").assert_body("hello");
        assert_stale(&sidecar.get("/").await, "stale-if-error", "hello");
        assert_stale(&sidecar.h2c().await.get("/").await, "stale-if-error", "hello");
    }
}

#[tokio::test]
async fn crowd_is_answered_for_after_one_request() {
    const CROWD: usize = 30;
    let gate = Gate::new();
    let failure = status(503).after(&gate);
    // Fresh when it came, so that many may wait for one revalidation, and declared stale afterwards.
    let origin = first_then(fresh("hello").header("ETag", "\"v1\""), failure).await;
    let sidecar = Sidecar::in_front_of(&origin).config("[cache]\npurge_allow = [\"127.0.0.1\"]").start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    sidecar.send(request("PURGE", "/").header("Fastly-Soft-Purge", "1")).await.assert_status(200);
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        let mut client = sidecar.client().await;
        crowd.spawn(async move { client.get("/").await });
    }
    sidecar.until_metric("pacecar_http_requests_in_flight", CROWD as f64).await;
    gate.open();
    for answer in crowd.join_all().await {
        answer.assert_status(200).assert_cache_parameter("detail=stale-if-error").assert_body("hello");
    }
    origin.assert_requests(2);
}

#[tokio::test]
async fn url_that_is_known_to_be_uncacheable_for_others_is_answered_for_too() {
    let script = |received: &Received| match (received.field("accept-language"), received.field("if-none-match")) {
        (Some("de"), _) => ok("mine").header("Cache-Control", "private"),
        (_, None) => dependable("hello").header("ETag", "\"v1\"").header("Vary", "Accept-Language"),
        (_, Some(_)) => status(503),
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    let other = sidecar.send(get("/").header("Accept-Language", "de")).await;
    other.assert_cache_parameter("detail=private").assert_body("mine");
    // What follows is asked for alone for a moment.
    origin.stop().await;
    assert_stale(&sidecar.get("/").await, "stale-if-error", "hello");
    sidecar.send(get("/").header("Accept-Language", "de")).await.assert_status(502);
}

#[tokio::test]
async fn what_is_stored_does_not_stand_in_for_those_it_is_not_for() {
    let origin = first_then(dependable("hello"), status(503)).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    for (name, value) in [
        ("Cookie", "session=1"),
        ("Authorization", "Basic YTpi"),
        ("Cache-Control", "no-store"),
        ("If-Match", "\"v1\""),
        ("X-Original-URL", "/other"),
    ] {
        let answer = sidecar.send(get("/").header(name, value)).await;
        answer.expect(answer.status == 503, format!("the app's own answer with {name}"));
        let answer = sidecar.send(head("/").header(name, value)).await;
        answer.expect(answer.status == 503, format!("the app's own answer to HEAD with {name}"));
    }
    sidecar.send(request("POST", "/")).await.assert_status(503);
    assert_stale(&sidecar.get("/").await, "stale-if-error", "hello");
}

#[tokio::test]
async fn origin_that_is_down_is_answered_for_until_it_is_back() {
    let origin = first_then(dependable("old").header("ETag", "\"v1\""), fresh("new")).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored").assert_body("old");
    origin.stop().await;
    for _ in 0..3 {
        assert_stale(&sidecar.get("/").await, "stale-if-error", "old");
    }
    let known = sidecar.send(get("/").header("If-None-Match", "\"v1\"")).await;
    known.assert_status(304).assert_cache("hit").assert_cache_parameter("detail=stale-if-error");
    // What never was stored has nothing to stand in for it.
    sidecar.get("/other").await.assert_status(502);
    origin.restart().await;
    until_body(&sidecar, "/", "new").await.assert_complete();
    sidecar.get("/").await.assert_cache("hit").assert_body("new");
    origin.assert_requests(2);
}

#[tokio::test]
async fn head_and_ranges_are_answered_for_as_well() {
    let origin = first_then(dependable("hello"), status(503)).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    for down in [false, true] {
        if down {
            origin.stop().await;
        }
        let answer = sidecar.send(head("/")).await;
        answer.assert_status(200).assert_cache_parameter("detail=stale-if-error").assert_field("content-length", "5");
        let answer = sidecar.send(get("/").header("Range", "bytes=1-2")).await;
        answer.assert_status(206).assert_cache_parameter("detail=stale-if-error").assert_body("el");
    }
}

#[tokio::test]
async fn what_its_origin_wants_validated_is_never_served_stale() {
    for control in [
        "max-age=60, must-revalidate, stale-if-error=3600, stale-while-revalidate=3600",
        "max-age=60, proxy-revalidate, stale-if-error=3600, stale-while-revalidate=3600",
        "s-maxage=60, stale-if-error=3600, stale-while-revalidate=3600",
        "no-cache, stale-if-error=3600, stale-while-revalidate=3600",
    ] {
        for failure in [status(503).part("sorry"), ok("").cut_before_head(Cut::Fin)] {
            let broken = Arc::new(AtomicBool::new(true));
            let is_broken = broken.clone();
            let script = move |received: &Received| match (received.field("if-none-match"), is_broken.load(SeqCst)) {
                (None, _) => ok("hello").header("Cache-Control", control).header("Age", "60").header("ETag", "\"v1\""),
                (Some(_), true) => failure.clone(),
                (Some(_), false) => status(304),
            };
            let origin = Origin::new().otherwise(script).start().await;
            let sidecar = Sidecar::in_front_of(&origin).start().await;
            sidecar.get("/").await.assert_cache_parameter("stored");
            let answer = sidecar.get("/").await;
            answer.expect(matches!(answer.status, 502 | 503), format!("the failure, with {control}"));
            // It is kept all the same, until the origin can say whether it is still right. Where all wait for one
            // revalidation, a failure is shared for a moment.
            broken.store(false, SeqCst);
            let revalidated = within("a revalidation", async {
                loop {
                    let answer = sidecar.get("/").await;
                    if answer.status == 200 {
                        return answer;
                    }
                }
            });
            revalidated.await.assert_cache_parameter("fwd-status=304").assert_body("hello");
        }
    }
}

#[tokio::test]
async fn what_is_no_failure_of_the_origin_is_passed_on() {
    for refusal in [400, 403, 404, 410, 429, 501] {
        let origin = first_then(dependable("hello"), status(refusal).part("no")).await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        sidecar.get("/").await.assert_cache_parameter("stored");
        sidecar.get("/").await.assert_status(refusal).assert_cache_parameter("fwd=stale").assert_body("no");
        origin.assert_requests(2);
    }
}

#[tokio::test]
async fn time_for_failures_ends() {
    let response = |age: &str| {
        ok("hello")
            .header("Cache-Control", "max-age=60, stale-if-error=600")
            .header("Age", age)
            .header("ETag", "\"v1\"")
    };
    for (age, is_served) in [("300", true), ("660", false)] {
        let origin = first_then(response(age), status(503).part("sorry")).await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        sidecar.get("/").await.assert_cache_parameter("stored");
        let answer = sidecar.get("/").await;
        if is_served {
            assert_stale(&answer, "stale-if-error", "hello");
        } else {
            answer.assert_status(503).assert_cache_parameter("fwd=stale").assert_body("sorry");
        }
    }
}

#[tokio::test]
async fn what_the_origin_does_not_say_the_operator_does() {
    let config = "[[route]]\nmatch = \"/long\"\nstale_if_error = \"1h\"\n\
        [[route]]\nmatch = \"/never\"\nstale_if_error = \"0s\"\n\
        [[route]]\nmatch = \"/swr\"\nstale_while_revalidate = \"1h\"";
    let switched_off = format!("[cache]\nstale_if_error = \"0s\"\n{config}");
    // Its own word counts for more than the operator's.
    let own = "max-age=60, stale-if-error=30";
    for (config, target, control, age, expected) in [
        (config, "/", "max-age=60", "100", Some("stale-if-error")),
        (config, "/", "max-age=60", "360", None),
        (config, "/", own, "90", None),
        (config, "/long", "max-age=60", "1000", Some("stale-if-error")),
        (config, "/long", own, "90", None),
        (config, "/never", "max-age=60", "60", None),
        (config, "/never", "max-age=60, stale-if-error=3600", "60", Some("stale-if-error")),
        (config, "/swr", "max-age=60", "100", Some("stale-while-revalidate")),
        (&switched_off, "/", "max-age=60", "60", None),
        (&switched_off, "/long", "max-age=60", "60", Some("stale-if-error")),
    ] {
        let response = ok("hello").header("Cache-Control", control).header("Age", age).header("ETag", "\"v1\"");
        let origin = first_then(response, status(503)).await;
        let sidecar = Sidecar::in_front_of(&origin).config(config).start().await;
        sidecar.get(target).await.assert_cache_parameter("stored");
        let answer = sidecar.get(target).await;
        match expected {
            Some(why) => assert_stale(&answer, why, "hello"),
            None => {
                answer.expect(answer.status == 503, format!("503 at {target}, with {control} and Age {age}"));
            }
        }
    }
}

#[tokio::test]
async fn failure_with_a_lifetime_of_its_own_does_not_replace_what_is_stored() {
    let failure = status(503).part("sorry").header("Cache-Control", "max-age=60");
    let origin = first_then(dependable("hello"), failure).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    for _ in 0..3 {
        assert_stale(&sidecar.get("/").await, "stale-if-error", "hello");
    }
}

#[tokio::test]
async fn failure_is_shared_for_a_moment() {
    let origin = Origin::new().otherwise(ok("").cut_before_head(Cut::Fin)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for attempt in 0.. {
        let target = format!("/{attempt}");
        let began = Instant::now();
        sidecar.get(&target).await.assert_status(502);
        let asked = origin.requests();
        for _ in 0..5 {
            sidecar.get(&target).await.assert_status(502);
        }
        // On a machine that is too busy the moment may be over, and this shows nothing.
        if began.elapsed() < Duration::from_millis(900) {
            origin.assert_requests(asked);
            // Another URL is another question.
            sidecar.get("/other").await.assert_status(502);
            assert!(origin.requests() > asked);
            return;
        }
        assert!(attempt < 20, "six requests never took less than a second");
    }
}

#[tokio::test]
async fn failure_is_shared_no_longer_than_the_app_answers_nobody() {
    // The app breaks off where a request has what it cannot bear, and is well otherwise.
    let script = |received: &Received| match received.field("x-bitter") {
        Some(_) => ok("").cut_before_head(Cut::Fin),
        None => fresh("hello"),
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for target in ["/1", "/2", "/3"] {
        sidecar.send(get(target).header("X-Bitter", "1")).await.assert_status(502);
        // Somebody is answered: so it was not the app, and perhaps the request, that failed.
        sidecar.send(get("/well").header("Cookie", "a=1")).await.assert_status(200);
        sidecar.get(target).await.assert_status(200).assert_body("hello");
    }
}

#[tokio::test]
async fn refusal_of_the_queue_is_not_shared() {
    let gate = Gate::new();
    let origin = Origin::new().route("/busy", ok("done").after(&gate)).otherwise(fresh("hello")).start().await;
    let server = "upstream_concurrency = 1\nupstream_queue = 0";
    let sidecar = Sidecar::in_front_of(&origin).server(server).start().await;
    let mut busy = sidecar.client().await;
    busy.send_bytes(get("/busy").to_bytes("a")).await;
    gate.arrivals(1).await;
    sidecar.get("/").await.assert_status(503);
    gate.open();
    busy.answer("GET").await.assert_body("done");
    sidecar.until_metric("pacecar_upstream_in_flight", 0.0).await;
    // At once, although the last one was refused a moment ago.
    sidecar.get("/").await.assert_status(200).assert_body("hello");
    origin.assert_requests(2);
}

#[tokio::test]
async fn refusal_of_the_queue_is_answered_for_by_what_is_stored() {
    let gate = Gate::new();
    let origin = Origin::new().route("/busy", ok("done").after(&gate)).otherwise(dependable("hello")).start().await;
    let server = "upstream_concurrency = 1\nupstream_queue = 0";
    let sidecar = Sidecar::in_front_of(&origin).server(server).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    // The answer is with its client before its turn at the app is over.
    sidecar.until_metric("pacecar_upstream_in_flight", 0.0).await;
    let mut busy = sidecar.client().await;
    busy.send_bytes(get("/busy").to_bytes("a")).await;
    gate.arrivals(1).await;
    assert_stale(&sidecar.get("/").await, "stale-if-error", "hello");
    gate.open();
    busy.answer("GET").await.assert_body("done");
    origin.assert_requests(2);
}
