//! Stale responses that are served at once while they are refreshed (RFC 5861 §3).

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use crate::common::{Answer, Cut, Gate, Origin, Received, Request, Response, Sidecar, get, ok, status, within};

/// Stored and stale as it comes, and may be served while it is refreshed.
fn refreshable(body: &str) -> Response {
    ok(body).header("Cache-Control", "public, max-age=60, stale-while-revalidate=3600").header("Age", "60")
}

pub(crate) fn fresh(body: &str) -> Response {
    ok(body).header("Cache-Control", "max-age=60")
}

/// An origin that answers the first request of each target so, and all others otherwise.
pub(crate) async fn first_then(first: Response, then: Response) -> Origin {
    let asked = Mutex::new(HashSet::new());
    let script = move |received: &Received| {
        if asked.lock().unwrap().insert(received.target.clone()) { first.clone() } else { then.clone() }
    };
    Origin::new().otherwise(script).start().await
}

#[track_caller]
pub(crate) fn assert_stale(answer: &Answer, why: &str, body: &str) {
    answer.assert_status(200).assert_cache("hit").assert_cache_parameter(&format!("detail={why}")).assert_body(body);
    answer.expect(answer.number("age") >= 60, "its true age".to_owned());
}

/// Asks until this is the body.
pub(crate) async fn until_body(sidecar: &Sidecar, target: &str, body: &str) -> Answer {
    within(format!("{body:?} at {target}"), async {
        loop {
            let answer = sidecar.get(target).await;
            if answer.text() == body {
                return answer;
            }
        }
    })
    .await
}

#[tokio::test]
async fn stale_response_is_served_at_once_while_one_request_refreshes_it() {
    let gate = Gate::new();
    let origin = first_then(refreshable("old"), fresh("new").after(&gate)).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored").assert_body("old");
    for _ in 0..20 {
        assert_stale(&sidecar.get("/").await, "stale-while-revalidate", "old");
    }
    gate.arrivals(1).await;
    origin.assert_requests(2);
    gate.open();
    until_body(&sidecar, "/", "new").await.assert_cache("hit");
    origin.assert_requests(2);
}

#[tokio::test]
async fn refresh_that_confirms_makes_it_fresh() {
    let confirmed = status(304).header("Cache-Control", "max-age=60").header("X-Version", "2");
    let origin = first_then(refreshable("hello").header("ETag", "\"v1\"").header("X-Version", "1"), confirmed).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    assert_stale(&sidecar.get("/").await, "stale-while-revalidate", "hello");
    let answer = within("what was confirmed", async {
        loop {
            let answer = sidecar.get("/").await;
            if answer.field("x-version") == Some("2") {
                return answer;
            }
        }
    });
    let answer = answer.await;
    answer.assert_cache("hit").assert_body("hello").expect(answer.number("age") < 60, "young again".to_owned());
    assert_eq!(origin.last().field("if-none-match"), Some("\"v1\""));
    origin.assert_requests(2);
}

/// What somebody in particular sends, who wants a part.
fn personal(request: Request) -> Request {
    request
        .header("Cookie", "session=1")
        .header("Authorization", "Basic YTpi")
        .header("If-None-Match", "\"v0\"")
        .header("Range", "bytes=0-1")
        .header("If-Range", "\"v1\"")
        .header("Accept-Language", "de")
}

#[tokio::test]
async fn refresh_goes_as_a_plain_get_of_nobody_in_particular() {
    for method in ["GET", "HEAD"] {
        for h2 in [false, true] {
            let origin = first_then(refreshable("old").header("ETag", "\"v1\""), fresh("new")).await;
            let sidecar = Sidecar::in_front_of(&origin).start().await;
            let ask = async |request: Request| {
                let request = request.header("Host", "a");
                if h2 { sidecar.h2c().await.send(request).await } else { sidecar.send(request).await }
            };
            ask(get("/")).await.assert_cache_parameter("stored");
            let answer = ask(personal(Request { method: method.to_owned(), ..get("/") })).await;
            answer.assert_cache("hit").assert_cache_parameter("detail=stale-while-revalidate");
            match method {
                "GET" => answer.assert_status(206).assert_body("ol"),
                _ => answer.assert_status(200).assert_body(""),
            };
            origin.wait_for_requests(2).await;
            let refresh = origin.last();
            assert_eq!(refresh.method, "GET");
            for name in ["cookie", "authorization", "range", "if-range", "if-modified-since"] {
                assert_eq!(refresh.field(name), None, "{name} of one client");
            }
            assert_eq!(refresh.field("if-none-match"), Some("\"v1\""), "the stored one, not the client's");
            assert_eq!(refresh.field("accept-language"), Some("de"));
            assert_eq!(refresh.field("host"), Some("a"));
            within("the refreshed one", async { while ask(get("/")).await.text() != "new" {} }).await;
            origin.assert_requests(2);
        }
    }
}

#[tokio::test]
async fn cookies_that_do_not_count_go_with_the_refresh() {
    let origin = first_then(refreshable("old"), fresh("new")).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    let answer = sidecar.send(get("/").header("Cookie", "_ga=1")).await;
    assert_stale(&answer, "stale-while-revalidate", "old");
    origin.wait_for_requests(2).await;
    assert_eq!(origin.last().field("cookie"), Some("_ga=1"), "as a request in the foreground has it");
}

#[tokio::test]
async fn refresh_that_fails_leaves_what_is_stored() {
    let failures: [fn(&Gate) -> Response; 3] = [
        |gate| ok("").after(gate).cut_before_head(Cut::Fin),
        |gate| status(503).part("sorry").after(gate),
        |gate| fresh("ha").after(gate).cut(Cut::Fin).part("lf"),
    ];
    for failure in failures {
        let (gate, broken) = (Gate::new(), Arc::new(AtomicBool::new(true)));
        let (failure, is_broken) = (failure(&gate), broken.clone());
        let asked = AtomicBool::new(false);
        let script = move |_: &Received| match (asked.swap(true, SeqCst), is_broken.load(SeqCst)) {
            (false, _) => refreshable("old"),
            (true, true) => failure.clone(),
            (true, false) => fresh("new"),
        };
        let origin = Origin::new().otherwise(script).start().await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        sidecar.get("/").await.assert_cache_parameter("stored");
        assert_stale(&sidecar.get("/").await, "stale-while-revalidate", "old");
        gate.arrivals(1).await;
        gate.open();
        // It is over once the connection to the app is.
        sidecar.until_metric("pacecar_upstream_in_flight", 0.0).await;
        assert_stale(&sidecar.get("/").await, "stale-while-revalidate", "old");
        broken.store(false, SeqCst);
        // Nobody sees anything but the old one until there is a new one.
        within("the new one", async {
            loop {
                let answer = sidecar.get("/").await;
                if answer.text() == "new" {
                    return answer.assert_cache("hit").assert_complete().clone();
                }
                assert_stale(&answer, "stale-while-revalidate", "old");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn time_for_refreshing_ends() {
    let spent = ok("old").header("Cache-Control", "max-age=60, stale-while-revalidate=60").header("Age", "120");
    let origin = first_then(spent.header("ETag", "\"v1\""), fresh("new")).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    sidecar.get("/").await.assert_cache_parameter("fwd=stale").assert_cache_parameter("stored").assert_body("new");
}
