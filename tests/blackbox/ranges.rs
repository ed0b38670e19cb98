//! Ranges of stored responses (RFC 9110 §14), and what becomes of a range that is not stored.

use crate::common::{Answer, Cut, Origin, Received, Request, Sidecar, get, head, ok, status};

const MODIFIED: &str = "Mon, 05 Jan 2026 08:00:00 GMT";
const BODY: &str = "0123456789";

/// A sidecar that has ten digits stored, and its origin.
async fn stored() -> (Origin, Sidecar) {
    let response = ok(BODY)
        .header("Cache-Control", "max-age=60")
        .header("Content-Type", "text/digits")
        .header("ETag", "\"v1\"")
        .header("Last-Modified", MODIFIED);
    let origin = Origin::new().otherwise(response).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored").assert_body(BODY);
    (origin, sidecar)
}

fn range(ranges: &str) -> Request {
    get("/").header("Range", ranges)
}

#[tokio::test]
async fn single_range_comes_from_the_store() {
    let (origin, sidecar) = stored().await;
    for (ranges, content_range, body) in [
        ("bytes=2-4", "bytes 2-4/10", "234"),
        ("bytes=0-0", "bytes 0-0/10", "0"),
        ("bytes=7-", "bytes 7-9/10", "789"),
        ("bytes=8-99", "bytes 8-9/10", "89"),
        ("bytes=-3", "bytes 7-9/10", "789"),
        ("bytes=-99", "bytes 0-9/10", BODY),
        ("Bytes= 2-4", "bytes 2-4/10", "234"),
        // What touches is one range.
        ("bytes=2-3,4-5", "bytes 2-5/10", "2345"),
        ("bytes=2-3,20-30", "bytes 2-3/10", "23"),
    ] {
        let answers = [
            sidecar.send(range(ranges)).await,
            sidecar.h2c().await.send(range(ranges).header("Host", &sidecar.addr().to_string())).await,
        ];
        for answer in answers {
            answer.assert_status(206).assert_cache("hit").assert_body(body);
            answer.assert_field("content-range", content_range).assert_field("content-type", "text/digits");
            answer.assert_field("content-length", &body.len().to_string()).assert_field("etag", "\"v1\"");
            answer.expect(answer.number("age") <= 60, "an age".to_owned());
        }
    }
    origin.assert_requests(1);
    sidecar.get("/").await.assert_status(200).assert_cache("hit").assert_body(BODY);
}

#[track_caller]
fn assert_two_parts(answer: &Answer) {
    answer.assert_status(206).assert_cache("hit").assert_no_field("content-range");
    let boundary = answer.field("content-type").and_then(|field| field.strip_prefix("multipart/byteranges; boundary="));
    let boundary = boundary.unwrap_or_else(|| panic!("no boundary\n{answer}"));
    let part = |at: &str, digits: &str| {
        format!("--{boundary}\r\nContent-Type: text/digits\r\nContent-Range: bytes {at}/10\r\n\r\n{digits}\r\n")
    };
    answer.assert_body(format!("{}{}--{boundary}--\r\n", part("0-1", "01"), part("8-9", "89")));
    answer.assert_field("content-length", &answer.body.len().to_string());
}

#[tokio::test]
async fn several_ranges_come_as_parts() {
    let (origin, sidecar) = stored().await;
    for ranges in ["bytes=0-1,8-9", "bytes=0-1, -2", "bytes=0-1,,8-"] {
        assert_two_parts(&sidecar.send(range(ranges)).await);
        let request = range(ranges).header("Host", &sidecar.addr().to_string());
        assert_two_parts(&sidecar.h2c().await.send(request).await);
    }
    origin.assert_requests(1);
}

#[tokio::test]
async fn range_beyond_the_end_is_a_416() {
    let (origin, sidecar) = stored().await;
    for ranges in ["bytes=10-", "bytes=10-20", "bytes=-0", "bytes=10-11,20-30"] {
        let answer = sidecar.send(range(ranges)).await;
        answer.assert_status(416).assert_cache("hit").assert_field("content-range", "bytes */10");
        answer.assert_field("content-length", "0").assert_no_field("content-type").assert_body("");
    }
    origin.assert_requests(1);
}

#[tokio::test]
async fn what_is_no_range_is_answered_with_the_whole() {
    let (origin, sidecar) = stored().await;
    for ranges in ["bytes=4-2", "bytes=a-b", "bytes=", "digits=0-1", "bytes 0-1", "bytes=0-9,0-9", "bytes=1-2,x"] {
        let answer = sidecar.send(range(ranges)).await;
        answer.expect(answer.status == 200, format!("200 for {ranges}")).assert_cache("hit").assert_body(BODY);
    }
    let twice = range("bytes=0-1").header("Range", "bytes=2-3");
    sidecar.send(twice).await.assert_status(200).assert_cache("hit").assert_body(BODY);
    origin.assert_requests(1);
}

#[tokio::test]
async fn if_range_decides_between_the_part_and_the_whole() {
    let (origin, sidecar) = stored().await;
    for (validator, expected) in [
        ("\"v1\"", 206),
        ("\"v0\"", 200),
        // A weak tag does not tell one byte from another.
        ("W/\"v1\"", 200),
        (MODIFIED, 206),
        ("Sun, 04 Jan 2026 08:00:00 GMT", 200),
        ("Tue, 06 Jan 2026 08:00:00 GMT", 200),
        ("nonsense", 200),
    ] {
        let answer = sidecar.send(range("bytes=2-4").header("If-Range", validator)).await;
        answer.expect(answer.status == expected, format!("{expected} with If-Range: {validator}"));
        answer.assert_cache("hit").assert_body(if expected == 206 { "234" } else { BODY });
    }
    origin.assert_requests(1);
}

#[tokio::test]
async fn precondition_comes_before_the_range() {
    let (origin, sidecar) = stored().await;
    for (name, value, expected) in [
        ("If-None-Match", "\"v1\"", 304),
        ("If-None-Match", "\"v0\"", 206),
        ("If-Modified-Since", MODIFIED, 304),
        ("If-Modified-Since", "Sun, 04 Jan 2026 08:00:00 GMT", 206),
    ] {
        let answer = sidecar.send(range("bytes=2-4").header(name, value)).await;
        answer.assert_status(expected).assert_cache("hit").assert_body(if expected == 206 { "234" } else { "" });
    }
    origin.assert_requests(1);
}

#[tokio::test]
async fn head_has_no_range() {
    let (origin, sidecar) = stored().await;
    let answer = sidecar.send(head("/").header("Range", "bytes=2-4")).await;
    answer.assert_status(200).assert_cache("hit").assert_field("content-length", "10").assert_body("");
    answer.assert_no_field("content-range");
    origin.assert_requests(1);
}

#[tokio::test]
async fn only_a_200_has_ranges() {
    let missing = status(404).part(BODY).header("Cache-Control", "max-age=60");
    let origin = Origin::new().otherwise(missing).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    sidecar.send(range("bytes=2-4")).await.assert_status(404).assert_cache("hit").assert_body(BODY);
    origin.assert_requests(1);
}

#[tokio::test]
async fn range_of_what_is_not_stored_is_the_origins_and_is_not_stored() {
    let script = |received: &Received| match received.field("range") {
        Some("bytes=2-4") => status(206).part("234").header("Content-Range", "bytes 2-4/10"),
        _ => ok(BODY),
    };
    let script = move |received: &Received| script(received).header("Cache-Control", "max-age=60");
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let asked = || range("bytes=2-4").header("If-Range", "\"v1\"").header("Host", "a");
    for h2 in [false, true] {
        let answer = if h2 { sidecar.h2c().await.send(asked()).await } else { sidecar.send(asked()).await };
        answer.assert_status(206).assert_cache("bypass").assert_cache_parameter("detail=range").assert_body("234");
        assert_eq!(origin.last().field("range"), Some("bytes=2-4"));
        assert_eq!(origin.last().field("if-range"), Some("\"v1\""));
    }
    // Nor is the whole, where the origin sends that: it was not asked for.
    sidecar.send(range("bytes=5-").header("Host", "a")).await.assert_status(200).assert_body(BODY);
    let whole = sidecar.send(get("/").header("Host", "a")).await;
    whole.assert_status(200).assert_cache_parameter("fwd=uri-miss").assert_cache_parameter("stored").assert_body(BODY);
    assert_eq!(origin.last().field("range"), None);
    origin.assert_requests(4);
    // Ranges of that come from the store.
    let part = sidecar.send(range("bytes=2-4").header("Host", "a")).await;
    part.assert_status(206).assert_cache("hit").assert_body("234");
    origin.assert_requests(4);
}

#[tokio::test]
async fn part_that_nobody_asked_for_is_not_stored() {
    let part = status(206).part("234").header("Content-Range", "bytes 2-4/10").header("Cache-Control", "max-age=60");
    let origin = Origin::new().otherwise(part).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_status(206).assert_cache_parameter("detail=status").assert_body("234");
    sidecar.get("/").await.assert_status(206).assert_cache_parameter("detail=hit-for-miss").assert_body("234");
    origin.assert_requests(2);
}

#[tokio::test]
async fn what_was_cut_has_no_ranges() {
    let cut = ok("01234").header("Cache-Control", "max-age=60").cut(Cut::Fin).part("56789");
    let origin = Origin::new().otherwise(cut).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_status(200).assert_cut();
    sidecar.send(range("bytes=1-2")).await.assert_cache("bypass").assert_cache_parameter("detail=range");
    origin.assert_requests(2);
}

#[tokio::test]
async fn range_of_a_stale_response_is_the_origins_unless_it_may_be_served_stale() {
    let script = |received: &Received| {
        let control =
            format!("max-age=60{}", if received.target == "/swr" { ", stale-while-revalidate=3600" } else { "" });
        let answer = match received.field("range") {
            Some(_) => status(206).part("new").header("Content-Range", "bytes 2-4/10"),
            None => ok(BODY),
        };
        answer.header("Cache-Control", &control).header("Age", "60").header("ETag", "\"v1\"")
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for target in ["/", "/swr"] {
        sidecar.get(target).await.assert_cache_parameter("stored");
    }
    let own = sidecar.send(range("bytes=2-4")).await;
    own.assert_status(206).assert_cache_parameter("detail=range").assert_body("new");
    let stale = sidecar.send(get("/swr").header("Range", "bytes=2-4")).await;
    stale.assert_status(206).assert_cache_parameter("detail=stale-while-revalidate").assert_body("234");
}
