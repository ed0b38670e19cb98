//! What the front door lets in, and how it refuses the rest: nothing malformed or ambiguous reaches the app.

use crate::common::{Origin, Received, Sidecar, get, noise, ok, post};

async fn echoing_origin() -> Origin {
    let script = |received: &Received| {
        ok(format!("{} {}", received.method, received.target)).header("Cache-Control", "max-age=60")
    };
    Origin::new().otherwise(script).start().await
}

/// A GET with these field lines after its Host.
fn with(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

fn with_host(host: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// A POST with these field lines, and a body that would be another request if its length were misread.
fn post_with(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[tokio::test]
async fn refusals() {
    let origin = echoing_origin().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let cases = [
        ("no host", "GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("two hosts", with("Host: b\r\n"), 400),
        ("two equal hosts", with("Host: a\r\n"), 400),
        ("empty host", with_host(""), 400),
        ("space in host", with_host("a b"), 400),
        ("slash in host", with_host("a/b"), 400),
        ("quote in host", with_host("a\"b"), 400),
        ("bracket in host", with_host("<a>"), 400),
        ("userinfo in host", with_host("user@a"), 400),
        ("port of letters", with_host("a:http"), 400),
        ("two lengths", post_with("Content-Length: 5\r\nContent-Length: 5\r\n"), 400),
        ("two different lengths", post_with("Content-Length: 5\r\nContent-Length: 6\r\n"), 400),
        ("list of lengths", post_with("Content-Length: 5, 5\r\n"), 400),
        ("negative length", post_with("Content-Length: -5\r\n"), 400),
        ("signed length", post_with("Content-Length: +5\r\n"), 400),
        ("hexadecimal length", post_with("Content-Length: 0x5\r\n"), 400),
        ("length beyond all bounds", post_with("Content-Length: 18446744073709551616\r\n"), 400),
        ("length and coding", post_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
        ("coding and length", post_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400),
        ("two codings in two lines", post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400),
        ("another coding", post_with("Transfer-Encoding: gzip, chunked\r\n"), 501),
        ("misspelt coding", post_with("Transfer-Encoding: xchunked\r\n"), 501),
        ("coding in 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), 400),
        ("folded line", with("X: 1\r\n 2\r\n"), 400),
        ("space before colon", with("X : 1\r\n"), 400),
        ("space before colon of a length", post_with("Content-Length : 5\r\n"), 400),
        ("no colon", with("X\r\n"), 400),
        ("control byte in value", with("X: a\x01b\r\n"), 400),
        ("nul in value", with("X: a\0b\r\n"), 400),
        ("bare cr in value", with("X: a\rb\r\n"), 400),
        ("nul in name", with("X\0: a\r\n"), 400),
        ("bare lf after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n".to_owned(), 400),
        ("bare lf after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n".to_owned(), 400),
        ("bare lf throughout", "GET / HTTP/1.1\nHost: a\n\n".to_owned(), 400),
        ("http/0.9", "GET /\r\n\r\n".to_owned(), 400),
        ("http/2.0 as a version", "GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), 505),
        ("http/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n".to_owned(), 505),
        ("no http", "\x16\x03\x01\x02\r\n\r\n".to_owned(), 400),
        ("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("method that is no token", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("fragment in target", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("userinfo in target", "GET http://u:p@a/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("angle brackets in target", "GET /<b> HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("angle bracket in query", "GET /?a=<b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("connect", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n".to_owned(), 501),
        ("host named in connection", with("Connection: host\r\n"), 400),
        ("length named in connection", post_with("Connection: content-length\r\nContent-Length: 5\r\n"), 400),
        ("unknown expectation", with("Expect: 200-ok\r\n"), 417),
        ("second unknown expectation", with("Expect: 100-continue\r\nExpect: 200-ok\r\n"), 417),
        ("target too long", format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9 << 10)), 414),
        ("head too large", with(&format!("X: {}\r\n", "a".repeat(70 << 10))), 431),
        ("too many fields", with(&"X: 1\r\n".repeat(201)), 431),
    ];
    for (case, bytes, status) in cases {
        let mut client = sidecar.client().await;
        client.send_bytes(&bytes).await;
        let answer = client.answer("GET").await;
        answer.expect(answer.status == status, format!("{status} for {case}"));
        answer.assert_field("connection", "close").assert_complete();
        let after = client.closed().await;
        assert!(after.is_empty(), "{case}: after the refusal came {after:?}");
        origin.assert_requests(0);
    }
    // The front door is as it was.
    sidecar.get("/").await.assert_status(200).assert_body("GET /");
}

#[tokio::test]
async fn limits_are_configurable() {
    let origin = echoing_origin().await;
    let sidecar = Sidecar::in_front_of(&origin)
        .server("max_header_bytes = \"2KiB\"\nmax_headers = 10\nmax_target_bytes = 100")
        .start()
        .await;
    let long_target = format!("/{}", "a".repeat(100));
    sidecar.get(&long_target).await.assert_status(414);
    sidecar.get(&long_target[..100]).await.assert_status(200);
    let many = (0..10).fold(get("/"), |request, _| request.header("X", "1"));
    sidecar.send(many).await.assert_status(431);
    sidecar.send(get("/").header("X", &"a".repeat(2 << 10))).await.assert_status(431);
}

#[tokio::test]
async fn odd_but_legal_requests_are_let_in() {
    let origin = Origin::new().otherwise(|_: &Received| ok("hello")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for (bytes, target, host) in [
        ("GET / HTTP/1.1\r\nHost: my_app.test\r\n\r\n", "/", "my_app.test"),
        ("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "/", "[::1]:8080"),
        ("GET http://b.test/x?y HTTP/1.1\r\nHost: a.test\r\n\r\n", "/x?y", "b.test"),
        ("GET HTTP://b.test:81 HTTP/1.1\r\nHost: a.test\r\n\r\n", "/", "b.test:81"),
        ("GET /a|b?{c}[] HTTP/1.1\r\nHost: a\r\n\r\n", "/a|b?{c}[]", "a"),
        ("GET /%2e%2e//x HTTP/1.1\r\nHOST:a\r\n\r\n", "/%2e%2e//x", "a"),
    ] {
        let mut client = sidecar.client().await;
        client.send_bytes(bytes).await;
        client.answer("GET").await.assert_status(200).assert_body("hello");
        let received = origin.last();
        assert_eq!((&*received.target, received.field("host")), (target, Some(host)), "{bytes:?}");
    }
}

#[tokio::test]
async fn malformed_chunks_never_make_a_whole_body() {
    let origin = echoing_origin().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for body in [
        "\r\n\r\n",
        "-1\r\na\r\n",
        "0x1\r\na\r\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1;\n\r\na\r\n",
        "fffffffffffffffff\r\na\r\n",
    ] {
        let mut client = sidecar.client().await;
        client.send_bytes(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")).await;
        let answer = client.answer("POST").await;
        answer.expect(answer.status == 400, format!("400 for the chunk {body:?}"));
        assert!(client.closed().await.is_empty());
        assert!(origin.log().iter().all(|received| !received.complete), "{body:?} reached the app as a whole body");
    }
}

#[tokio::test]
async fn body_over_the_limit_is_refused() {
    let origin = echoing_origin().await;
    let sidecar = Sidecar::in_front_of(&origin).server("max_body_bytes = \"1KiB\"").start().await;
    let mut client = sidecar.client().await;
    let refused = client.send(post("/length", vec![b'a'; 1025])).await;
    refused.assert_status(413).assert_field("connection", "close");
    assert!(client.closed().await.is_empty());
    origin.assert_requests(0);

    sidecar.send(post("/chunked", "").chunks([vec![b'a'; 600], vec![b'a'; 600]])).await.assert_status(413);
    assert!(origin.log().iter().all(|received| !received.complete), "the app was given a whole body");
    sidecar.send(post("/allowed", vec![b'a'; 1024])).await.assert_status(200);
}

#[tokio::test]
async fn head_that_does_not_arrive_in_time_is_refused() {
    let origin = echoing_origin().await;
    let sidecar = Sidecar::in_front_of(&origin).config("[server.timeouts]\nheader = \"300ms\"").start().await;
    for beginning in ["GET / HTTP/1.1\r\nHost: a\r\n", "G", "PRI * HTTP/2.0\r\n\r\n"] {
        let mut client = sidecar.client().await;
        client.send_bytes(beginning).await;
        let answer = client.answer("GET").await;
        answer.assert_status(408).assert_field("connection", "close");
        assert!(client.closed().await.is_empty());
    }
    origin.assert_requests(0);
}

#[tokio::test]
async fn idle_connection_is_closed_without_a_word() {
    let origin = echoing_origin().await;
    let sidecar = Sidecar::in_front_of(&origin).config("[server.timeouts]\nidle = \"300ms\"").start().await;
    let mut client = sidecar.client().await;
    client.get("/").await.assert_status(200);
    assert!(client.closed().await.is_empty());
}

#[tokio::test]
async fn connections_are_kept() {
    let origin = echoing_origin().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    for _ in 0..3 {
        client.get("/hit").await.assert_body("GET /hit");
        client.get("/miss?").await.assert_body("GET /miss?");
        client.send(post("/post", "body")).await.assert_body("POST /post");
    }
    let last = client.send(get("/hit").header("Connection", "close")).await;
    last.assert_field("connection", "close").assert_body("GET /hit");
    assert!(client.closed().await.is_empty());
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let origin = echoing_origin().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.send(get("/hit").header("Host", "a")).await.assert_cache("miss");

    let mut client = sidecar.client().await;
    client
        .send_bytes(
            "GET /hit HTTP/1.1\r\nHost: a\r\n\r\n\
             POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody\
             GET /hit HTTP/1.1\r\nHost: a\r\n\r\n\
             GET /miss HTTP/1.1\r\nHost: a\r\n\r\n\
             POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n\
             HEAD /hit HTTP/1.1\r\nHost: a\r\n\r\n\
             GET /hit HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )
        .await;
    client.answer("GET").await.assert_cache("hit").assert_body("GET /hit");
    client.answer("POST").await.assert_cache("bypass").assert_body("POST /length");
    client.answer("GET").await.assert_cache("hit").assert_body("GET /hit");
    client.answer("GET").await.assert_cache("miss").assert_body("GET /miss");
    client.answer("POST").await.assert_cache("bypass").assert_body("POST /chunked");
    client.answer("HEAD").await.assert_cache("hit").assert_body("");
    client.answer("GET").await.assert_cache("hit").assert_body("GET /hit");
    assert!(client.closed().await.is_empty());
    origin.assert_requests(4);
}

#[tokio::test]
async fn head_in_single_bytes_is_one_head() {
    let origin = echoing_origin().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    for byte in with("X: y\r\n").as_bytes() {
        client.send_bytes([*byte]).await;
    }
    client.answer("GET").await.assert_status(200).assert_body("GET /");
}

#[tokio::test]
async fn http_1_0_client_is_sent_no_chunks() {
    let origin = Origin::new().route("/", ok("hello").part(" world").chunked()).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    client.send_bytes("GET / HTTP/1.0\r\nHost: a\r\n\r\n").await;
    client.answer("GET").await.assert_no_field("transfer-encoding").assert_body("hello world");
    assert!(client.closed().await.is_empty());
}

#[tokio::test]
async fn empty_line_after_a_body_begins_no_request() {
    let origin = echoing_origin().await;
    let config = "[server.timeouts]\nheader = \"100ms\"\nidle = \"500ms\"";
    let sidecar = Sidecar::in_front_of(&origin).config(config).start().await;
    let mut client = sidecar.client().await;
    client.send_bytes("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody\r\n").await;
    client.answer("POST").await.assert_status(200);
    // The connection is idle; a 408 now would be taken for the answer to the next request.
    assert!(client.closed().await.is_empty());
}

#[tokio::test]
async fn http_1_0_client_that_posts_is_sent_no_chunks() {
    let origin = Origin::new().route("/", ok("hello").part(" world").chunked()).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    client.send_bytes("POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nbody").await;
    client.answer("POST").await.assert_no_field("transfer-encoding").assert_body("hello world");
    assert!(client.closed().await.is_empty());
}

#[tokio::test]
async fn cookies_in_pieces_are_one_line_for_the_app() {
    let origin = echoing_origin().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    // RFC 9113 §8.2.3: browsers send each cookie as a field of its own over HTTP/2.
    for request in [get("/"), post("/", "body")] {
        let request = request.header("cookie", "a=1").header("x", "y").header("cookie", "b=2; c=3");
        sidecar.h2c().await.send(request).await.assert_status(200);
        assert_eq!(origin.last().fields.all("cookie").collect::<Vec<_>>(), ["a=1; b=2; c=3"]);
    }
}

#[tokio::test]
async fn idle_http2_connection_is_closed() {
    let origin = echoing_origin().await;
    let sidecar = Sidecar::in_front_of(&origin).config("[server.timeouts]\nidle = \"300ms\"").start().await;
    let client = sidecar.h2c().await;
    client.get("/").await.assert_status(200);
    sidecar.until_metric("pacecar_connections", 0.0).await;
}

#[tokio::test]
async fn encrypted_client_that_takes_nothing_is_let_go() {
    let origin = Origin::new()
        .route("/stored", ok(noise(20 << 20)).header("Cache-Control", "max-age=60"))
        .otherwise(ok(noise(20 << 20)))
        .start()
        .await;
    let config = "[cache]\nmax_object_bytes = \"32MiB\"\n[server.timeouts]\nwrite = \"300ms\"";
    let sidecar = Sidecar::in_front_of(&origin).config(config).tls().start().await;
    for request in [get("/stored"), get("/stored"), get("/"), post("/", "body")] {
        let mut client = sidecar.tls().await;
        let incoming = client.begin(request).await;
        sidecar.until_metric("pacecar_http_requests_in_flight", 0.0).await;
        // The client is still there, and has what was on its way to read.
        sidecar.until_metric("pacecar_connections", 0.0).await;
        incoming.so_far().assert_status(200);
    }
}
