//! What is passed on, what is added, what is left out, in both directions.

use crate::common::{Gate, Origin, Received, Sidecar, get, noise, ok, post, request, status};

async fn origin() -> Origin {
    Origin::new().otherwise(|received: &Received| ok(&received.body)).start().await
}

#[tokio::test]
async fn request_goes_on_as_it_came() {
    let origin = origin().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let request =
        get("/a%20b?c=d&e").header("Host", "shop.test").header("X-Odd-Case", "a:  b\"").header("accept", "*/*");
    sidecar.send(request).await.assert_status(200);
    let received = origin.last();
    assert_eq!(received.target, "/a%20b?c=d&e");
    assert_eq!(received.field("host"), Some("shop.test"));
    assert_eq!(received.field("x-odd-case"), Some("a:  b\""));
    assert_eq!(received.field("accept"), Some("*/*"));
}

#[tokio::test]
async fn fields_of_the_connection_are_not_passed_to_the_app() {
    let origin = origin().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for request in [get("/"), post("/", "body")] {
        let request = request
            .header("Connection", "keep-alive, X-Named, x-other")
            .header("X-Named", "1")
            .header("X-Other", "2")
            .header("X-Kept", "3")
            .header("Keep-Alive", "timeout=5")
            .header("Proxy-Connection", "keep-alive")
            .header("Proxy-Authorization", "Basic YTpi")
            .header("TE", "trailers")
            .header("Upgrade", "h2c");
        sidecar.send(request).await.assert_status(200);
        let received = origin.last();
        for name in ["x-named", "x-other", "keep-alive", "proxy-connection", "proxy-authorization", "te", "upgrade"] {
            assert_eq!(received.field(name), None, "{name} of {}", received.method);
        }
        assert_eq!(received.field("x-kept"), Some("3"));
    }
}

#[tokio::test]
async fn fields_of_the_connection_are_not_passed_to_the_client() {
    let response = ok("hello")
        .header("Connection", "keep-alive, X-Named")
        .header("X-Named", "1")
        .header("X-Kept", "2")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Authenticate", "Basic");
    let origin = Origin::new()
        .route("/stored", response.clone().header("Cache-Control", "max-age=60"))
        .otherwise(response)
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for request in [get("/stored"), get("/stored"), get("/"), post("/", "body")] {
        let answer = sidecar.send(request).await;
        for name in ["x-named", "keep-alive", "proxy-authenticate"] {
            answer.assert_no_field(name);
        }
        answer.assert_field("x-kept", "2").assert_body("hello");
    }
}

/// Via, and after it the comment that tells this process from others.
#[track_caller]
fn assert_signed(received: &Received, expected: &str) {
    let via = received.fields.joined("via");
    let comment = via.strip_prefix(expected).and_then(|rest| rest.strip_prefix(" (")?.strip_suffix(')'));
    assert!(comment.is_some_and(|comment| comment.len() == 8), "{via:?} is not {expected:?} with a signature");
}

#[tokio::test]
async fn request_that_comes_back_is_a_508_and_a_chain_is_fine() {
    let origin = origin().await;
    let last = Sidecar::in_front_of(&origin).start().await;
    let first = Sidecar::in_front_of(&last).start().await;
    for request in [get("/"), post("/", "body")] {
        first.send(request).await.assert_status(200);
        assert_eq!(origin.last().fields.joined("via").matches("1.1 pacecar (").count(), 2);
    }
    // What the first signed, sent to it again.
    let via = origin.last().fields.joined("via");
    for request in [get("/"), post("/", "body")] {
        first.send(request.clone().header("Via", &via)).await.assert_status(508);
        first.h2c().await.send(request.header("Via", &via)).await.assert_status(508);
    }
}

#[tokio::test]
async fn app_is_told_who_asks() {
    let origin = origin().await;
    let sidecar = Sidecar::in_front_of(&origin).tls().start().await;
    for request in [get("/"), post("/", "body")] {
        sidecar.send(request.clone().header("Host", "shop.test:81")).await.assert_status(200);
        let plain = origin.last();
        assert_eq!(plain.field("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(plain.field("x-forwarded-proto"), Some("http"));
        assert_eq!(plain.field("x-forwarded-host"), Some("shop.test:81"));
        assert_eq!(plain.field("forwarded"), Some("for=127.0.0.1;proto=http;host=\"shop.test:81\""));
        assert_signed(&plain, "1.1 pacecar");

        sidecar.tls().await.send(request).await.assert_status(200);
        let encrypted = origin.last();
        assert_eq!(encrypted.field("x-forwarded-proto"), Some("https"));
    }
    sidecar.h2c().await.get("/h2").await.assert_status(200);
    assert_signed(&origin.last(), "2 pacecar");
}

#[tokio::test]
async fn trusted_proxy_is_believed_and_added() {
    let origin = origin().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let request = get("/")
        .header("X-Forwarded-For", "203.0.113.9")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "shop.test")
        .header("Forwarded", "for=203.0.113.9")
        .header("Via", "1.0 edge");
    sidecar.send(request).await.assert_status(200);
    let received = origin.last();
    assert_eq!(received.field("x-forwarded-for"), Some("203.0.113.9, 127.0.0.1"));
    assert_eq!(received.field("x-forwarded-proto"), Some("https"));
    assert_eq!(received.field("x-forwarded-host"), Some("shop.test"));
    assert!(received.fields.joined("forwarded").starts_with("for=203.0.113.9, for=127.0.0.1;proto=https"));
    assert_signed(&received, "1.0 edge, 1.1 pacecar");
}

#[tokio::test]
async fn untrusted_peer_is_not_believed() {
    let origin = origin().await;
    let sidecar = Sidecar::in_front_of(&origin).server("trusted_proxies = []").start().await;
    for request in [get("/"), post("/", "body")] {
        let request = request
            .header("Host", "shop.test")
            .header("X-Forwarded-For", "203.0.113.9")
            .header("X-Forwarded-Proto", "https")
            .header("X-Forwarded-Host", "evil.test")
            .header("X-Forwarded-Prefix", "/evil")
            .header("X-Real-IP", "203.0.113.9")
            .header("Forwarded", "for=203.0.113.9");
        sidecar.send(request).await.assert_status(200);
        let received = origin.last();
        assert_eq!(received.fields.joined("x-forwarded-for"), "127.0.0.1");
        assert_eq!(received.fields.joined("x-forwarded-proto"), "http");
        assert_eq!(received.fields.joined("x-forwarded-host"), "shop.test");
        assert_eq!(received.fields.joined("x-real-ip"), "127.0.0.1");
        assert_eq!(received.fields.joined("forwarded"), "for=127.0.0.1;proto=http;host=\"shop.test\"");
        assert_eq!(received.field("x-forwarded-prefix"), None);
    }
}

#[tokio::test]
async fn configured_host_replaces_the_clients() {
    let origin = origin().await;
    let sidecar = Sidecar::in_front_of(&origin).server("host = \"app.internal\"").start().await;
    for request in [get("/"), post("/", "body")] {
        sidecar.send(request.header("Host", "shop.test")).await.assert_status(200);
        assert_eq!(origin.last().fields.joined("host"), "app.internal");
        assert_eq!(origin.last().field("x-forwarded-host"), Some("shop.test"));
    }
}

#[tokio::test]
async fn via_is_on_every_answer() {
    let origin = Origin::new()
        .route("/stored", ok("hello").header("Cache-Control", "max-age=60"))
        .route("/other", ok("hello").header("Via", "1.0 app-server"))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for _ in 0..2 {
        sidecar.get("/stored").await.assert_field("via", "1.1 pacecar");
        assert_eq!(sidecar.get("/other").await.fields.joined("via"), "1.0 app-server, 1.1 pacecar");
    }
    sidecar.send(post("/stored", "body")).await.assert_field("via", "1.1 pacecar");
}

#[tokio::test]
async fn request_id_is_kept_or_made_and_passed_both_ways() {
    let origin = Origin::new().otherwise(ok("hello").header("Cache-Control", "max-age=60")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for (path, request) in [("/get", get("/get")), ("/post", post("/post", "body"))] {
        let kept = sidecar.send(request.clone().header("X-Request-Id", "abc.DEF-1/2+3=~_")).await;
        kept.assert_field("x-request-id", "abc.DEF-1/2+3=~_");
        assert_eq!(origin.last().field("x-request-id"), Some("abc.DEF-1/2+3=~_"), "{path}");
    }
    let too_long = "a".repeat(129);
    for (nth, invalid) in [None, Some("with space"), Some("<b>"), Some(&*too_long), Some("")].iter().enumerate() {
        let request = get(&format!("/made?{nth}"));
        let request = invalid.iter().fold(request, |request, id| request.header("X-Request-Id", id));
        let answer = sidecar.send(request).await;
        let made = answer.field("x-request-id").unwrap_or_default();
        answer.expect(made.len() == 36 && Some(made) != *invalid, "a request id of our own".to_owned());
        assert_eq!(origin.last().fields.joined("x-request-id"), made);
    }
    // A stored answer does not carry somebody else's.
    let hit = sidecar.send(get("/get").header("X-Request-Id", "mine")).await;
    hit.assert_cache("hit").assert_field("x-request-id", "mine");
}

#[tokio::test]
async fn every_method_reaches_the_app() {
    let origin = Origin::new().otherwise(|received: &Received| ok(&received.method)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        client.send(request(method, "/")).await.assert_status(200).assert_body(method);
        sidecar.h2c().await.send(request(method, "/h2")).await.assert_status(200).assert_body(method);
    }
}

#[tokio::test]
async fn bodies_reach_the_app_exactly() {
    let origin = origin().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let body = noise(200_000);
    let mut client = sidecar.client().await;
    for request in [
        post("/length", &body),
        post("/chunked", "").chunks(body.chunks(7_001)),
        post("/empty", ""),
        post("/tiny", "a"),
    ] {
        let expected = if ["/length", "/chunked"].contains(&&*request.target) { &body[..] } else { &[] };
        let answer = client.send(request.clone()).await;
        let received = origin.last();
        assert!(received.complete, "{}", received.target);
        if received.target == "/tiny" {
            answer.assert_body("a");
        } else {
            answer.assert_body(expected);
            assert!(received.body == expected, "{}: {} bytes", received.target, received.body.len());
        }
    }
    sidecar.h2c().await.send(post("/h2", "").chunks(body.chunks(9_001))).await.assert_body(&body);
    sidecar.h2c().await.send(post("/h2-length", &body)).await.assert_body(&body);
}

#[tokio::test]
async fn large_bodies_pass_in_both_directions() {
    let origin = Origin::new()
        .route("/echo", |received: &Received| ok(&received.body))
        .route("/length", ok(noise(20 << 20)))
        .route("/chunked", ok(noise(20 << 20)).chunked())
        .route("/close", ok(noise(20 << 20)).until_close())
        .route("/stored", ok(noise(7 << 20)).header("Cache-Control", "max-age=60"))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let body = noise(20 << 20);
    for path in ["/length", "/chunked", "/close"] {
        sidecar.get(path).await.assert_body(&body);
    }
    sidecar.send(post("/echo", &body)).await.assert_body(&body);
    for expected in ["miss", "hit"] {
        sidecar.get("/stored").await.assert_cache(expected).assert_body(noise(7 << 20));
    }
    sidecar.h2c().await.get("/length").await.assert_body(&body);
    sidecar.h2c().await.get("/stored").await.assert_cache("hit").assert_body(noise(7 << 20));
}

#[tokio::test]
async fn what_has_come_is_not_held_back() {
    for request in [get("/stored"), get("/other"), get("/events"), post("/other", "body")] {
        let gate = Gate::new();
        let stream = ok("first").wait(&gate).part("second").chunked();
        let origin = Origin::new()
            .route("/stored", stream.clone().header("Cache-Control", "max-age=60"))
            .route("/events", stream.clone().header("Content-Type", "text/event-stream"))
            .otherwise(stream)
            .start()
            .await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        let mut client = sidecar.client().await;
        let mut incoming = client.begin(request).await;
        incoming.at_least(5).await;
        gate.arrivals(1).await;
        gate.open();
        incoming.finish().await.assert_body("firstsecond");
    }
}

#[tokio::test]
async fn interim_responses_are_passed_on() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let origin = Origin::new().otherwise(ok("hello").interim(early)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let answer = sidecar.get("/").await;
    answer.assert_status(200).assert_body("hello");
    assert_eq!(answer.interim.first().map(|(status, _)| *status), Some(103), "{answer}");
}

#[tokio::test]
async fn statuses_and_reasons_pass_unchanged() {
    let codes = [200, 201, 204, 301, 302, 400, 401, 403, 404, 410, 418, 429, 500, 503, 599];
    let origin = codes
        .iter()
        .fold(Origin::new(), |origin, code| origin.route(&format!("/{code}"), status(*code).header("X-Code", "yes")));
    let origin = origin.start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    for code in codes {
        client.get(&format!("/{code}")).await.assert_status(code).assert_field("x-code", "yes").assert_body("");
        client.send(post(&format!("/{code}"), "body")).await.assert_status(code).assert_body("");
    }
}

#[tokio::test]
async fn body_over_http2_ends_once() {
    let origin = Origin::new().otherwise(|received: &Received| ok(&received.body)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let h2 = sidecar.h2c().await;
    let body = noise(100_000);
    for _ in 0..2 {
        // Its end comes in an empty frame of its own.
        h2.send(post("/", "").chunks([&body[..], b""])).await.assert_status(200).assert_body(&body);
    }
    // A second end would stand before the next request on its connection, and reading the log fails for what is no HTTP.
    origin.assert_requests(2);
}
