//! A stored response that the origin is asked to confirm before it is used (RFC 9111 §4.3).

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::task::JoinSet;

use crate::common::{Cut, Gate, Origin, Received, Response, Sidecar, get, ok, request, status};

const MODIFIED: &str = "Mon, 05 Jan 2026 08:00:00 GMT";
const IN_FLIGHT: &str = "pacecar_http_requests_in_flight";

/// Stored, and stale as it comes.
fn stale(body: &str) -> Response {
    ok(body).header("Cache-Control", "max-age=60").header("Age", "60")
}

fn tagged(body: &str) -> Response {
    stale(body).header("ETag", "\"v1\"")
}

/// The word that what is stored is still right, and fresh again.
fn confirmed() -> Response {
    status(304).header("Cache-Control", "max-age=60")
}

fn is_conditional(received: &Received) -> bool {
    received.field("if-none-match").is_some() || received.field("if-modified-since").is_some()
}

/// An origin that answers requests with a precondition differently from those without.
async fn origin(plainly: Response, conditionally: Response) -> Origin {
    let script =
        move |received: &Received| if is_conditional(received) { conditionally.clone() } else { plainly.clone() };
    Origin::new().otherwise(script).start().await
}

#[tokio::test]
async fn confirmed_response_comes_from_the_store_and_is_fresh_again() {
    let origin = origin(tagged("hello"), confirmed().header("ETag", "\"v1\"")).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("fwd=uri-miss").assert_cache_parameter("stored");
    let revalidated = sidecar.get("/").await;
    revalidated.assert_status(200).assert_body("hello");
    revalidated.assert_cache_parameter("fwd=stale").assert_cache_parameter("fwd-status=304");
    revalidated.expect(revalidated.number("age") < 60, "the age of what was just confirmed".to_owned());
    assert_eq!(origin.last().field("if-none-match"), Some("\"v1\""));
    sidecar.get("/").await.assert_status(200).assert_cache("hit").assert_body("hello");
    origin.assert_requests(2);
}

#[tokio::test]
async fn every_validator_is_sent() {
    for (etag, modified) in [(Some("\"v1\""), Some(MODIFIED)), (None, Some(MODIFIED)), (Some("W/\"v1\""), None)] {
        let fields = [("ETag", etag), ("Last-Modified", modified)];
        let response = fields.iter().fold(stale("hello"), |response, (name, value)| match value {
            Some(value) => response.header(name, value),
            None => response,
        });
        let origin = origin(response, confirmed()).await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        sidecar.get("/").await.assert_cache_parameter("stored");
        sidecar.get("/").await.assert_cache_parameter("fwd-status=304").assert_body("hello");
        let asked = origin.last();
        assert_eq!((asked.field("if-none-match"), asked.field("if-modified-since")), (etag, modified));
        sidecar.get("/").await.assert_cache("hit").assert_body("hello");
        origin.assert_requests(2);
    }
}

#[tokio::test]
async fn fields_of_the_304_replace_the_stored_ones_but_for_those_of_the_body() {
    let first = tagged("hello")
        .header("Content-Type", "text/plain")
        .header("X-Version", "1")
        .header("X-Kept", "kept")
        .header("X-Version", "1 again");
    let second = confirmed()
        .header("X-Version", "2")
        .header("X-New", "new")
        .header("Content-Type", "text/html")
        .header("Content-Encoding", "gzip")
        .header("Content-Range", "bytes 0-1/5");
    let origin = origin(first, second).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    for how in ["fwd-status=304", "hit"] {
        let answer = sidecar.get("/").await;
        answer.assert_status(200).assert_cache_parameter(how).assert_body("hello");
        answer.assert_field("x-version", "2").assert_field("x-new", "new").assert_field("x-kept", "kept");
        answer.assert_field("content-type", "text/plain").assert_field("content-length", "5");
        answer.assert_no_field("content-encoding").assert_no_field("content-range").assert_field("etag", "\"v1\"");
    }
    origin.assert_requests(2);
}

#[tokio::test]
async fn length_in_a_304_is_not_that_of_the_stored_body() {
    let origin = origin(tagged("hello"), confirmed().header("Content-Length", "999")).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    sidecar.get("/").await.assert_cache_parameter("fwd-status=304").assert_body("hello");
    sidecar.get("/").await.assert_cache("hit").assert_field("content-length", "5").assert_body("hello");
    origin.assert_requests(2);
}

#[tokio::test]
async fn new_response_replaces_the_stored_one() {
    let new = ok("new").header("Cache-Control", "max-age=60").header("ETag", "\"v2\"");
    let origin = origin(tagged("old"), new).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_body("old");
    let replaced = sidecar.get("/").await;
    replaced.assert_cache_parameter("fwd=stale").assert_cache_parameter("stored").assert_body("new");
    sidecar.get("/").await.assert_cache("hit").assert_field("etag", "\"v2\"").assert_body("new");
    origin.assert_requests(2);
}

#[tokio::test]
async fn confirmation_of_another_response_leads_to_the_whole() {
    for (stored, confirmed_tag) in [("\"v1\"", "\"v2\""), ("W/\"v1\"", "W/\"v2\""), ("\"v1\"", "W/\"v2\"")] {
        let plain = AtomicUsize::new(0);
        let stored = stored.to_owned();
        let script = move |received: &Received| {
            if is_conditional(received) {
                return confirmed().header("ETag", confirmed_tag);
            }
            match plain.fetch_add(1, SeqCst) {
                0 => stale("old").header("ETag", &stored),
                _ => ok("new").header("Cache-Control", "max-age=60").header("ETag", confirmed_tag),
            }
        };
        let origin = Origin::new().otherwise(script).start().await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        sidecar.get("/").await.assert_body("old");
        let whole = sidecar.get("/").await;
        whole.assert_cache_parameter("fwd=stale").assert_cache_parameter("stored").assert_body("new");
        assert_eq!(origin.log().iter().map(is_conditional).collect::<Vec<_>>(), [false, true, false]);
        sidecar.get("/").await.assert_cache("hit").assert_body("new");
    }
}

#[tokio::test]
async fn weak_form_of_the_same_tag_confirms() {
    for (stored, tag) in [("\"v1\"", "W/\"v1\""), ("W/\"v1\"", "W/\"v1\"")] {
        let origin = origin(stale("hello").header("ETag", stored), confirmed().header("ETag", tag)).await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        sidecar.get("/").await.assert_body("hello");
        sidecar.get("/").await.assert_cache_parameter("fwd-status=304").assert_body("hello");
        assert_eq!(origin.last().field("if-none-match"), Some(stored));
        sidecar.get("/").await.assert_cache("hit").assert_body("hello");
    }
}

#[tokio::test]
async fn confirmation_that_may_not_be_stored_is_for_this_request() {
    for (name, value) in [("Cache-Control", "no-store"), ("Cache-Control", "private"), ("Set-Cookie", "a=b")] {
        let origin = origin(tagged("hello"), status(304).header(name, value)).await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        sidecar.get("/").await.assert_cache_parameter("stored");
        let own = sidecar.get("/").await;
        own.assert_status(200).assert_cache_parameter("fwd-status=304").assert_field(name, value).assert_body("hello");
        // What was stored is gone: the app is asked for all of it, and nobody waits for another's answer.
        let next = sidecar.get("/").await;
        next.assert_cache("bypass").assert_cache_parameter("detail=hit-for-miss").assert_body("hello");
        assert_eq!(origin.last().field("if-none-match"), None, "{name}: {value}");
        origin.assert_requests(3);
    }
}

#[tokio::test]
async fn cookie_that_comes_with_a_304_goes_to_one_client() {
    const CROWD: usize = 5;
    let (gate, count) = (Gate::new(), AtomicUsize::new(0));
    let held = gate.clone();
    let script = move |received: &Received| {
        let number = count.fetch_add(1, SeqCst);
        let own = |response: Response| response.header("Set-Cookie", &format!("session={number}"));
        match (number, is_conditional(received)) {
            (0, _) => ok("hello").header("Cache-Control", "max-age=60").header("ETag", "\"v1\""),
            (_, true) => own(confirmed()).after(&held),
            (_, false) => own(ok("hello").header("Cache-Control", "max-age=60")),
        }
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config("[cache]\npurge_allow = [\"127.0.0.1\"]").start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    soften(&sidecar).await;

    let crowd = crowd(&sidecar, CROWD).await;
    sidecar.until_metric(IN_FLIGHT, CROWD as f64).await;
    gate.arrivals(1).await;
    origin.assert_requests(2);
    gate.open();
    let answers = crowd.join_all().await;
    let cookies: HashSet<_> = answers.iter().map(|answer| answer.fields.joined("set-cookie")).collect();
    assert_eq!(cookies.len(), CROWD, "{cookies:?}");
    answers.iter().for_each(|answer| assert_eq!(answer.text(), "hello"));
}

/// Declares what is stored for `/` stale.
async fn soften(sidecar: &Sidecar) {
    let purged = sidecar.send(request("PURGE", "/").header("Fastly-Soft-Purge", "1")).await;
    purged.assert_status(200).expect(purged.text().contains("\"purged\":1"), "one that is stale now".to_owned());
}

/// So many GETs of `/`, each on a connection of its own.
async fn crowd(sidecar: &Sidecar, size: usize) -> JoinSet<crate::common::Answer> {
    let mut crowd = JoinSet::new();
    for _ in 0..size {
        let mut client = sidecar.client().await;
        crowd.spawn(async move { client.get("/").await });
    }
    crowd
}

#[tokio::test]
async fn crowd_on_a_stale_response_is_one_revalidation() {
    const CROWD: usize = 50;
    let gate = Gate::new();
    let first = ok("hello").header("Cache-Control", "max-age=60").header("ETag", "\"v1\"");
    let origin = origin(first, confirmed().after(&gate)).await;
    let sidecar = Sidecar::in_front_of(&origin).config("[cache]\npurge_allow = [\"127.0.0.1\"]").start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    soften(&sidecar).await;

    let crowd = crowd(&sidecar, CROWD).await;
    sidecar.until_metric(IN_FLIGHT, CROWD as f64).await;
    gate.open();
    let answers = crowd.join_all().await;
    for answer in &answers {
        answer.assert_status(200).assert_cache_parameter("fwd=stale").assert_cache_parameter("fwd-status=304");
        answer.assert_body("hello");
    }
    let collapsed = answers.iter().filter(|answer| answer.fields.joined("cache-status").contains("collapsed"));
    assert_eq!(collapsed.count(), CROWD - 1);
    origin.assert_requests(2);
    sidecar.get("/").await.assert_cache("hit");
}

#[tokio::test]
async fn no_cache_is_stored_and_validated_each_time() {
    let gate = Gate::new();
    let no_cache = ok("hello").header("Cache-Control", "no-cache").header("ETag", "\"v1\"");
    let origin = origin(no_cache, status(304).header("Cache-Control", "no-cache").after(&gate)).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("fwd=uri-miss").assert_cache_parameter("stored");
    // Each takes the origin's own word: both are there while neither is answered.
    let both = crowd(&sidecar, 2).await;
    gate.arrivals(2).await;
    gate.open();
    for answer in both.join_all().await {
        answer.assert_status(200).assert_cache_parameter("fwd=stale").assert_cache_parameter("fwd-status=304");
        answer.assert_body("hello");
    }
    sidecar.get("/").await.assert_cache_parameter("fwd-status=304").assert_body("hello");
    origin.assert_requests(4);
    assert!(origin.log()[1..].iter().all(is_conditional));
}

#[tokio::test]
async fn first_answer_with_no_cache_is_for_whoever_asked() {
    let gate = Gate::new();
    let no_cache = ok("hel").header("Cache-Control", "no-cache").header("ETag", "\"v1\"").wait(&gate).part("lo");
    let origin = origin(no_cache, confirmed()).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let both = crowd(&sidecar, 2).await;
    gate.arrivals(2).await;
    gate.open();
    for answer in both.join_all().await {
        answer.assert_status(200).assert_body("hello");
    }
    origin.assert_requests(2);
}

#[tokio::test]
async fn origin_that_speaks_http2_confirms_as_well() {
    let origin = origin(tagged("hello").header("X-Version", "1"), confirmed().header("X-Version", "2")).await;
    // Another sidecar takes no part and speaks HTTP/2.
    let between = Sidecar::in_front_of(&origin).config("[[route]]\nmatch = \"/**\"\ncache = false").start().await;
    let url = format!("h2c://{}", between.addr());
    let sidecar = Sidecar::in_front_of(&between).upstream(&url).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored").assert_body("hello");
    // Over HTTP/2 the end of a body may come after its last byte.
    sidecar.until_metric("pacecar_cache_stores_total{result=\"stored\"}", 1.0).await;
    let revalidated = sidecar.get("/").await;
    revalidated.assert_cache_parameter("fwd=stale").assert_cache_parameter("fwd-status=304");
    revalidated.assert_field("x-version", "2").assert_body("hello");
    assert!(origin.last().field("via").is_some_and(|via| via.contains("2 pacecar")), "it came by HTTP/2");
    assert_eq!(origin.last().field("if-none-match"), Some("\"v1\""));
    sidecar.get("/").await.assert_cache("hit").assert_body("hello");
    origin.assert_requests(2);
}

#[tokio::test]
async fn no_cache_without_a_validator_is_not_stored() {
    let origin = origin(ok("hello").header("Cache-Control", "no-cache, max-age=60"), confirmed()).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache("miss").assert_cache_parameter("detail=no-cache").assert_body("hello");
    sidecar.get("/").await.assert_cache_parameter("detail=hit-for-miss").assert_body("hello");
    assert!(!is_conditional(&origin.last()));
    origin.assert_requests(2);
}

#[tokio::test]
async fn own_precondition_of_a_client_is_answered_after_the_revalidation() {
    for (asked, expected, body) in [
        (("If-None-Match", "\"v1\""), 304, ""),
        (("If-None-Match", "W/\"v1\""), 304, ""),
        (("If-None-Match", "\"v0\""), 200, "hello"),
        (("If-Modified-Since", MODIFIED), 304, ""),
        (("If-Modified-Since", "Sun, 04 Jan 2026 08:00:00 GMT"), 200, "hello"),
    ] {
        let origin = origin(tagged("hello").header("Last-Modified", MODIFIED), confirmed()).await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        sidecar.get("/").await.assert_cache_parameter("stored");
        let answer = sidecar.send(get("/").header(asked.0, asked.1)).await;
        answer.assert_status(expected).assert_cache_parameter("fwd-status=304").assert_body(body);
        let sent = origin.last();
        assert_eq!(sent.field("if-none-match"), Some("\"v1\""), "ours, not the client's");
        assert_eq!(sent.field("if-modified-since"), Some(MODIFIED));
        // As what is stored and fresh is.
        sidecar.send(get("/").header(asked.0, asked.1)).await.assert_status(expected).assert_cache("hit");
        sidecar.get("/").await.assert_status(200).assert_cache("hit").assert_body("hello");
        origin.assert_requests(2);
    }
}

#[tokio::test]
async fn client_that_has_the_new_response_already_is_told_so() {
    let new = ok("new").header("Cache-Control", "max-age=60").header("ETag", "\"v2\"");
    let origin = origin(tagged("old"), new).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_body("old");
    let answer = sidecar.send(get("/").header("If-None-Match", "\"v2\"")).await;
    answer.assert_status(304).assert_field("etag", "\"v2\"").assert_cache_parameter("stored").assert_body("");
    assert_eq!(origin.last().field("if-none-match"), Some("\"v1\""));
    // The word went out on the head; the body that is stored came after it.
    sidecar.until_metric("pacecar_upstream_in_flight", 0.0).await;
    sidecar.get("/").await.assert_status(200).assert_cache("hit").assert_body("new");
}

#[tokio::test]
async fn date_stands_in_for_a_missing_last_modified() {
    let origin = Origin::new().otherwise(ok("hello").header("Cache-Control", "max-age=60")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let date = sidecar.get("/").await.field("date").expect("every answer has a date").to_owned();
    let since = |date: &str| sidecar.send(get("/").header("If-Modified-Since", date));
    since(&date).await.assert_status(304).assert_cache("hit").assert_body("");
    since("Sun, 06 Nov 1994 08:49:37 GMT").await.assert_status(200).assert_cache("hit").assert_body("hello");
    origin.assert_requests(1);
}

#[tokio::test]
async fn answer_that_is_not_for_keeping_drops_the_stored_one() {
    for answer in [
        ok("mine").header("Cache-Control", "private"),
        ok("mine").header("Cache-Control", "max-age=60").header("Set-Cookie", "a=b"),
        status(404).part("mine"),
        status(410).part("mine"),
        status(302).header("Location", "/elsewhere").part("mine"),
    ] {
        let origin = origin(tagged("hello"), answer).await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        sidecar.get("/").await.assert_cache_parameter("stored");
        sidecar.get("/").await.assert_cache_parameter("fwd=stale").assert_body("mine");
        sidecar.get("/").await.assert_cache("bypass").assert_body("hello");
        assert!(!is_conditional(&origin.last()), "nothing is stored that could be confirmed");
        origin.stop().await;
        sidecar.get("/").await.assert_status(502);
    }
}

#[tokio::test]
async fn answer_that_is_cut_leaves_what_is_stored() {
    let count = AtomicUsize::new(0);
    let script = move |_: &Received| match count.fetch_add(1, SeqCst) {
        0 => tagged("hello"),
        1 => ok("half").header("Cache-Control", "max-age=60").cut(Cut::Fin).part("half"),
        _ => confirmed(),
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_body("hello");
    sidecar.get("/").await.assert_cut();
    sidecar.get("/").await.assert_cache_parameter("fwd-status=304").assert_body("hello");
    assert_eq!(origin.last().field("if-none-match"), Some("\"v1\""));
}

#[tokio::test]
async fn only_the_variant_that_is_asked_for_is_validated() {
    let script = |received: &Received| {
        let language = received.field("accept-language").unwrap_or("any");
        let answer = if is_conditional(received) { confirmed() } else { stale(&format!("in {language}")) };
        answer.header("ETag", &format!("\"{language}\"")).header("Vary", "Accept-Language")
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let ask = |language: &str| sidecar.send(get("/").header("Accept-Language", language));
    for language in ["en", "de"] {
        ask(language).await.assert_cache_parameter("stored").assert_body(format!("in {language}"));
    }
    ask("en").await.assert_cache_parameter("fwd-status=304").assert_body("in en");
    assert_eq!(origin.last().field("if-none-match"), Some("\"en\""));
    ask("en").await.assert_cache("hit").assert_body("in en");
    // The other one is as stale as it was.
    ask("de").await.assert_cache_parameter("fwd-status=304").assert_body("in de");
    assert_eq!(origin.last().field("if-none-match"), Some("\"de\""));
    origin.assert_requests(4);
}
