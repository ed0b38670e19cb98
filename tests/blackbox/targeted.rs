//! Who decides besides the origin's Cache-Control: targeted fields (RFC 9213), and the client (RFC 9111 §5.2.1).

use crate::common::{Answer, Origin, Received, Request, Response, Sidecar, get, head, ok, status};

const HONOUR: &str = "[cache]\nhonour_client_cache_control = true";

fn with(fields: &[(&str, &str)]) -> Response {
    fields.iter().fold(ok("hello"), |response, (name, value)| response.header(name, value))
}

/// Asks twice an origin that answers with these fields; returns the second answer.
async fn second(fields: &[(&str, &str)], config: &str) -> Answer {
    let origin = Origin::new().otherwise(with(fields)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(config).start().await;
    sidecar.get("/").await.assert_status(200).assert_body("hello");
    let second = sidecar.get("/").await;
    second.assert_status(200).assert_body("hello");
    let hits = usize::from(second.fields.joined("cache-status").contains("hit;"));
    origin.assert_requests(2 - hits);
    second
}

#[tokio::test]
async fn targeted_field_decides_in_place_of_cache_control() {
    for (fields, expected) in [
        ([("CDN-Cache-Control", "max-age=60"), ("Cache-Control", "no-store")], "hit"),
        ([("CDN-Cache-Control", "max-age=60"), ("Cache-Control", "private, max-age=0")], "hit"),
        ([("CDN-Cache-Control", "max-age=60"), ("Expires", "0")], "hit"),
        ([("CDN-Cache-Control", "no-store"), ("Cache-Control", "max-age=60")], "bypass"),
        ([("CDN-Cache-Control", "max-age=0"), ("Cache-Control", "max-age=60")], "bypass"),
        ([("CDN-Cache-Control", "private, max-age=60"), ("Cache-Control", "max-age=60")], "bypass"),
        // Readable and of no lifetime: there is none.
        ([("CDN-Cache-Control", "none"), ("Cache-Control", "max-age=60")], "bypass"),
        ([("CDN-Cache-Control", "max-age=\"60\""), ("Cache-Control", "max-age=60")], "bypass"),
        // Not readable: as if it were not there.
        ([("CDN-Cache-Control", "max-age=0;;"), ("Cache-Control", "max-age=60")], "hit"),
        ([("CDN-Cache-Control", ""), ("Cache-Control", "max-age=60")], "hit"),
        // The first of the list.
        ([("Pacecar-Cache-Control", "max-age=60"), ("CDN-Cache-Control", "no-store")], "hit"),
        ([("Pacecar-Cache-Control", "no-store"), ("CDN-Cache-Control", "max-age=60")], "bypass"),
        ([("CDN-Cache-Control", "no-store"), ("Surrogate-Control", "max-age=60")], "bypass"),
        ([("Surrogate-Control", "max-age=60"), ("Cache-Control", "no-store")], "hit"),
    ] {
        let second = second(&fields, "").await;
        second.assert_cache(expected);
        for (name, value) in fields {
            second.assert_field(name, value);
        }
    }
}

#[tokio::test]
async fn only_the_fields_that_are_listed_decide() {
    let fields =
        [("CDN-Cache-Control", "no-store"), ("Pacecar-Cache-Control", "no-store"), ("Cache-Control", "max-age=60")];
    second(&fields, "[cache]\ntargeted = []").await.assert_cache("hit");
    second(&fields, "[cache]\ntargeted = [\"edge-control\"]").await.assert_cache("hit");
    let fields = [("Edge-Control", "no-store"), ("CDN-Cache-Control", "max-age=60")];
    second(&fields, "[cache]\ntargeted = [\"edge-control\", \"cdn-cache-control\"]").await.assert_cache("bypass");
}

#[tokio::test]
async fn age_is_hidden_and_date_renewed_where_a_targeted_field_decided() {
    // To the client it would be stale by its age: 100 s, where Cache-Control allows 60.
    let old = "Mon, 05 Jan 2026 08:00:00 GMT";
    let fields = [("CDN-Cache-Control", "max-age=2147483648"), ("Cache-Control", "max-age=60"), ("Date", old)];
    let answer = second(&fields, "").await;
    answer.assert_cache("hit").assert_no_field("age");
    let date = answer.field("date").and_then(|date| httpdate::parse_http_date(date).ok()).expect("a date");
    let since = date.duration_since(httpdate::parse_http_date(old).unwrap()).unwrap();
    assert!(since.as_secs() > 86_400, "{answer}");
    assert_eq!(answer.fields.all("date").count(), 1, "{answer}");

    // The age counts for the decision all the same.
    let fields = [("CDN-Cache-Control", "max-age=3600"), ("Age", "7200"), ("ETag", "\"v1\"")];
    second(&fields, "").await.assert_cache_parameter("fwd=stale");
    // Where Cache-Control decides, Age is shown and Date is the origin's.
    let date = httpdate::fmt_http_date(std::time::SystemTime::now() - std::time::Duration::from_secs(20));
    let plain = second(&[("Cache-Control", "max-age=60000"), ("Date", &date)], "").await;
    plain.assert_cache("hit").assert_field("date", &date).expect(plain.number("age") >= 20, "its age".to_owned());
}

#[tokio::test]
async fn stale_rules_of_a_targeted_field_are_its_own() {
    let script = |received: &Received| match received.field("if-none-match") {
        Some(_) => status(503),
        None => {
            ok("hello").header("ETag", "\"v1\"").header("Age", "60").header("Cache-Control", "must-revalidate").header(
                "CDN-Cache-Control",
                if received.target == "/lenient" {
                    "max-age=60, stale-if-error=600"
                } else {
                    "max-age=60, must-revalidate"
                },
            )
        }
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for (target, expected) in [("/lenient", 200), ("/strict", 503)] {
        sidecar.get(target).await.assert_cache_parameter("stored");
        sidecar.get(target).await.assert_status(expected);
    }
}

/// A sidecar with `/` stored at this age, of 60 s, and its origin, which confirms and has more.
async fn stored(control: &str, age: &str, config: &str) -> (Origin, Sidecar) {
    let (control, age) = (control.to_owned(), age.to_owned());
    let script = move |received: &Received| match (&*received.target, received.field("if-none-match")) {
        ("/", Some(_)) => status(304).header("Cache-Control", &control).header("Age", &age),
        ("/", None) => ok("hello").header("Cache-Control", &control).header("Age", &age).header("ETag", "\"v1\""),
        ("/private", _) => ok("private").header("Cache-Control", "private"),
        _ => ok("other").header("Cache-Control", "max-age=60"),
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(config).start().await;
    sidecar.get("/").await.assert_cache_parameter("stored");
    (origin, sidecar)
}

fn demanding(control: &str) -> Request {
    get("/").header("Cache-Control", control)
}

#[tokio::test]
async fn demands_of_clients_do_not_count_by_default() {
    let (origin, sidecar) = stored("max-age=60", "10", "").await;
    for control in ["no-cache", "max-age=0", "min-fresh=1000", "only-if-cached"] {
        sidecar.send(demanding(control)).await.assert_cache("hit").assert_body("hello");
    }
    sidecar.send(get("/").header("Pragma", "no-cache")).await.assert_cache("hit");
    origin.assert_requests(1);
    sidecar.send(get("/other").header("Cache-Control", "only-if-cached")).await.assert_status(200).assert_body("other");
    let (origin, sidecar) = stored("max-age=60", "100", "").await;
    sidecar.send(demanding("max-stale")).await.assert_cache_parameter("fwd-status=304");
    origin.assert_requests(2);
}

#[tokio::test]
async fn no_store_of_a_client_always_counts() {
    for config in ["", HONOUR] {
        let (origin, sidecar) = stored("max-age=60", "10", config).await;
        for target in ["/", "/other"] {
            let answer = sidecar.send(get(target).header("Cache-Control", "no-store")).await;
            answer.assert_status(200).assert_cache_parameter("fwd=request");
            answer.assert_cache_parameter("detail=request-no-store");
        }
        origin.assert_requests(3);
        // Nothing of it was stored, and what is stored stays.
        sidecar.get("/other").await.assert_cache_parameter("fwd=uri-miss");
        sidecar.get("/").await.assert_cache("hit");
    }
}

#[tokio::test]
async fn client_may_demand_validation() {
    for (demand, is_validated) in [
        (("Cache-Control", "no-cache"), true),
        (("Pragma", "no-cache"), true),
        (("Cache-Control", "max-age=0"), true),
        (("Cache-Control", "max-age=5"), true),
        (("Cache-Control", "max-age=1000"), false),
        (("Cache-Control", "min-fresh=1000"), true),
        (("Cache-Control", "min-fresh=5"), false),
        (("Cache-Control", "max-stale"), false),
    ] {
        let (origin, sidecar) = stored("max-age=60", "10", HONOUR).await;
        let answer = sidecar.send(get("/").header(demand.0, demand.1)).await;
        answer.assert_status(200).assert_body("hello");
        if is_validated {
            answer.assert_cache_parameter("fwd=request").assert_cache_parameter("fwd-status=304");
            assert_eq!(origin.last().field("if-none-match"), Some("\"v1\""));
        } else {
            answer.assert_cache("hit");
        }
        origin.assert_requests(1 + usize::from(is_validated));
        sidecar.get("/").await.assert_cache("hit");
    }
}

#[tokio::test]
async fn pragma_does_not_count_beside_cache_control() {
    let (origin, sidecar) = stored("max-age=60", "10", HONOUR).await;
    sidecar.send(demanding("max-age=1000").header("Pragma", "no-cache")).await.assert_cache("hit");
    origin.assert_requests(1);
}

#[tokio::test]
async fn client_may_take_what_is_stale() {
    for (stored_with, demand, is_taken) in [
        ("max-age=60", "max-stale", true),
        ("max-age=60", "max-stale=1000", true),
        ("max-age=60", "max-stale=5", false),
        ("max-age=60", "max-age=5, max-stale", false),
        ("max-age=60, must-revalidate", "max-stale", false),
        ("max-age=60, proxy-revalidate", "max-stale", false),
        ("s-maxage=60", "max-stale", false),
        ("max-age=60, no-cache", "max-stale", false),
        ("max-age=60, stale-while-revalidate=1000", "no-cache", false),
        ("max-age=60, stale-while-revalidate=1000", "min-fresh=1", false),
    ] {
        let (origin, sidecar) = stored(stored_with, "100", HONOUR).await;
        let answer = sidecar.send(demanding(demand)).await;
        answer.assert_status(200).assert_body("hello");
        if is_taken {
            answer.assert_cache("hit").assert_cache_parameter("detail=max-stale");
        } else {
            let validated = answer.fields.joined("cache-status").contains("fwd=stale; fwd-status=304");
            answer.expect(validated, format!("validation with {stored_with} and {demand}"));
        }
        origin.assert_requests(if is_taken { 1 } else { 2 });
    }
}

#[tokio::test]
async fn client_may_want_nothing_from_the_origin() {
    let only = |request: Request| request.header("Cache-Control", "only-if-cached");
    let (origin, sidecar) = stored("max-age=60", "10", HONOUR).await;
    sidecar.send(only(get("/"))).await.assert_status(200).assert_cache("hit").assert_body("hello");
    sidecar.get("/private").await.assert_cache_parameter("detail=private");
    origin.assert_requests(2);
    for refused in [
        get("/other"),
        head("/other"),
        get("/other").header("Range", "bytes=0-1"),
        // Known not to be cacheable.
        get("/private"),
        // Stored, and not for them.
        get("/").header("Cookie", "session=1"),
        get("/").header("Authorization", "Basic YTpi"),
    ] {
        let answer = sidecar.send(only(refused)).await;
        answer.assert_status(504).assert_cache_parameter("detail=only-if-cached").assert_complete();
    }
    origin.assert_requests(2);

    let (origin, sidecar) = stored("max-age=60", "100", HONOUR).await;
    sidecar.send(only(get("/"))).await.assert_status(504);
    sidecar.send(demanding("only-if-cached, max-stale")).await.assert_status(200).assert_body("hello");
    origin.assert_requests(1);
}
