//! HEAD, and what its answer says of a stored GET (RFC 9111 §4.3.5).

use crate::common::{Origin, Received, Response, Sidecar, get, head, ok, status};

const HONOUR: &str = "[cache]\nhonour_client_cache_control = true";
const MODIFIED: &str = "Mon, 05 Jan 2026 08:00:00 GMT";

/// An origin that answers HEAD so, and GET otherwise.
async fn origin(to_head: Response, to_get: Response) -> Origin {
    let script = move |received: &Received| if received.method == "HEAD" { to_head.clone() } else { to_get.clone() };
    Origin::new().otherwise(script).start().await
}

fn tagged(tag: &str, age: &str) -> Response {
    ok("hello").header("Cache-Control", "max-age=60").header("ETag", tag).header("Age", age)
}

#[track_caller]
fn assert_methods(origin: &Origin, expected: &[&str]) {
    assert_eq!(origin.log().iter().map(|received| &*received.method).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn stored_get_answers_head() {
    let origin = origin(status(500), tagged("\"v1\"", "0").header("X-App", "1")).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    let answer = sidecar.send(head("/")).await;
    answer.assert_status(200).assert_cache("hit").assert_field("x-app", "1").assert_field("etag", "\"v1\"");
    answer.assert_field("content-length", "5").assert_body("");
    sidecar.send(head("/").header("If-None-Match", "\"v1\"")).await.assert_status(304).assert_cache("hit");
    sidecar.h2c().await.send(head("/").header("Host", &sidecar.addr().to_string())).await.assert_cache("hit");
    assert_methods(&origin, &["GET"]);
}

#[tokio::test]
async fn head_on_a_stale_response_refreshes_it() {
    let fresh = ok("hello").header("Cache-Control", "max-age=600").header("ETag", "\"v1\"").header("X-Version", "2");
    let origin = origin(fresh, tagged("\"v1\"", "60").header("X-Version", "1").header("X-Kept", "kept")).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    let answer = sidecar.send(head("/")).await;
    answer.assert_status(200).assert_cache("bypass").assert_cache_parameter("detail=head").assert_body("");
    let refreshed = sidecar.get("/").await;
    refreshed.assert_status(200).assert_cache("hit").assert_field("x-version", "2").assert_field("x-kept", "kept");
    refreshed.assert_field("cache-control", "max-age=600").assert_body("hello");
    refreshed.expect(refreshed.number("age") < 60, "an age from the answer to HEAD".to_owned());
    assert_methods(&origin, &["GET", "HEAD"]);
}

#[tokio::test]
async fn head_that_tells_of_another_response_makes_the_stored_one_stale() {
    let stored = || tagged("\"v1\"", "0").header("Last-Modified", MODIFIED);
    for other in [
        tagged("\"v2\"", "0").header("Last-Modified", MODIFIED),
        tagged("\"v1\"", "0").header("Last-Modified", "Tue, 06 Jan 2026 08:00:00 GMT"),
        tagged("\"v1\"", "0").header("Last-Modified", MODIFIED).part(" and more"),
    ] {
        let origin = origin(other, stored()).await;
        let sidecar = Sidecar::in_front_of(&origin).config(HONOUR).start().await;
        sidecar.get("/").await.assert_cache_parameter("stored");
        sidecar.get("/").await.assert_cache("hit");
        sidecar.send(head("/").header("Cache-Control", "no-cache")).await.assert_cache_parameter("detail=head");
        sidecar.get("/").await.assert_cache_parameter("fwd=stale").assert_body("hello");
        assert_eq!(origin.last().field("if-none-match"), Some("\"v1\""));
        assert_methods(&origin, &["GET", "HEAD", "GET"]);
    }
}

#[tokio::test]
async fn head_that_tells_of_the_same_response_leaves_it_fresh() {
    for same in [tagged("\"v1\"", "0"), ok("hello").header("Cache-Control", "max-age=60")] {
        let origin = origin(same, tagged("\"v1\"", "0")).await;
        let sidecar = Sidecar::in_front_of(&origin).config(HONOUR).start().await;
        sidecar.get("/").await.assert_cache_parameter("stored");
        sidecar.send(head("/").header("Cache-Control", "no-cache")).await.assert_cache_parameter("detail=head");
        sidecar.get("/").await.assert_cache("hit").assert_field("etag", "\"v1\"").assert_body("hello");
    }
}

#[tokio::test]
async fn head_that_is_no_success_says_nothing() {
    for failure in [status(403), status(404), status(405)] {
        let origin = origin(failure, tagged("\"v1\"", "0")).await;
        let sidecar = Sidecar::in_front_of(&origin).config(HONOUR).start().await;
        sidecar.get("/").await.assert_cache_parameter("stored");
        sidecar.send(head("/").header("Cache-Control", "no-cache")).await.assert_cache_parameter("detail=head");
        sidecar.get("/").await.assert_cache("hit").assert_body("hello");
    }
}

#[tokio::test]
async fn head_of_somebody_in_particular_says_nothing_of_what_is_shared() {
    let origin = origin(tagged("\"mine\"", "0"), tagged("\"v1\"", "0")).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    for (name, value) in [("Cookie", "session=1"), ("Authorization", "Basic YTpi")] {
        sidecar.send(head("/").header(name, value)).await.assert_cache("bypass").assert_field("etag", "\"mine\"");
    }
    sidecar.get("/").await.assert_cache("hit").assert_field("etag", "\"v1\"").assert_body("hello");
}

#[tokio::test]
async fn head_is_never_stored() {
    let origin = origin(tagged("\"v1\"", "0"), tagged("\"v1\"", "0")).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for _ in 0..2 {
        sidecar.send(head("/")).await.assert_cache_parameter("detail=head").assert_body("");
    }
    sidecar.send(get("/")).await.assert_cache_parameter("fwd=uri-miss").assert_body("hello");
    assert_methods(&origin, &["HEAD", "HEAD", "GET"]);
}
