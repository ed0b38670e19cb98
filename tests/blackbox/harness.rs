//! The harness itself, without a sidecar between: the client and the scripted origin must agree on every byte, and
//! must tell a whole message from a cut one, or the other tests prove nothing.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{Client, Cut, End, Gate, H2, Origin, Received, get, head, noise, ok, post, raw, status};

#[tokio::test]
async fn fixed_response_and_log() {
    let origin = Origin::new().route("/", ok("hello").header("Cache-Control", "max-age=60")).start().await;
    let mut client = Client::connect(origin.address()).await;
    client.get("/").await.assert_status(200).assert_field("cache-control", "max-age=60").assert_body("hello");
    client.get("/?q=1").await.assert_body("hello");
    client.get("/other").await.assert_status(404);

    let log = origin.log();
    assert_eq!(log.iter().map(|received| &*received.target).collect::<Vec<_>>(), ["/", "/?q=1", "/other"]);
    assert_eq!(log.iter().map(|received| (received.connection, received.nth)).max(), Some((0, 2)));
    assert_eq!(log[0].head, format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", origin.address()).into_bytes());
}

#[tokio::test]
async fn response_may_depend_on_the_request() {
    let origin =
        Origin::new().otherwise(|received: &Received| ok(received.field("x-name").unwrap_or("nobody"))).start().await;
    let mut client = Client::connect(origin.address()).await;
    client.send(get("/a").header("X-Name", "Zoe")).await.assert_body("Zoe");
    client.send(get("/b")).await.assert_body("nobody");
}

#[tokio::test]
async fn bodies_arrive_exactly_in_every_framing() {
    let body = noise(300_000);
    let (first, second) = body.split_at(100_000);
    let origin = Origin::new()
        .route("/length", ok(&body))
        .route("/chunked", ok(first).part(second).chunked())
        .route("/close", ok(&body).until_close())
        .route("/echo", |received: &Received| ok(&received.body))
        .start()
        .await;
    let mut client = Client::connect(origin.address()).await;
    client.get("/length").await.assert_body(&body);
    client.get("/chunked").await.assert_body(&body);
    client.send(post("/echo", &body)).await.assert_body(&body);
    client.send(post("/echo", "").chunks([first, second])).await.assert_body(&body);
    client.get("/close").await.assert_body(&body);
    assert!(origin.log().iter().all(|received| received.complete));
}

#[tokio::test]
async fn messages_without_a_body() {
    let origin = Origin::new().route("/", ok("hello")).route("/204", status(204)).route("/304", status(304)).start();
    let origin = origin.await;
    let mut client = Client::connect(origin.address()).await;
    client.send(head("/")).await.assert_field("content-length", "5").assert_body("");
    client.get("/204").await.assert_status(204).assert_body("");
    client.get("/304").await.assert_status(304).assert_body("");
    client.get("/").await.assert_body("hello");
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn interim_responses_come_before_the_answer() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let origin = Origin::new().route("/", ok("hello").interim(early)).start().await;
    let answer = Client::connect(origin.address()).await.get("/").await;
    answer.assert_status(200).assert_body("hello");
    assert_eq!(answer.interim.len(), 1);
    assert_eq!(answer.interim[0].0, 103);
    assert_eq!(answer.interim[0].1.get("link"), Some("</a.css>"));
}

#[tokio::test]
async fn gates_hold_head_and_parts() {
    let (before_head, before_end) = (Gate::new(), Gate::new());
    let origin = Origin::new()
        .route("/", ok("first ").after(&before_head).wait(&before_end).part("second").chunked())
        .start()
        .await;
    let mut client = Client::connect(origin.address()).await;
    let asking = tokio::spawn(async move {
        let mut incoming = client.begin(get("/")).await;
        incoming.at_least(6).await;
        before_end.open();
        incoming.finish().await.assert_body("first second");
    });
    before_head.arrivals(1).await;
    assert!(!asking.is_finished());
    before_head.open();
    asking.await.unwrap();
}

#[tokio::test]
async fn cut_messages_are_seen_as_cut() {
    let origin = Origin::new()
        .route("/length", ok("half").cut(Cut::Fin).part("half"))
        .route("/chunked", ok("half").cut(Cut::Fin).chunked())
        .route("/reset", ok("half").cut(Cut::Reset).part("half"))
        .route("/close-reset", ok("half").cut(Cut::Reset).until_close())
        .route("/close", ok("half").cut(Cut::Fin).until_close())
        .start()
        .await;
    for path in ["/length", "/chunked", "/reset", "/close-reset"] {
        Client::connect(origin.address()).await.get(path).await.assert_status(200).assert_cut();
    }
    // Nothing tells this one from a whole message.
    Client::connect(origin.address()).await.get("/close").await.assert_body("half");
}

#[tokio::test]
async fn origin_that_breaks_off_before_the_head() {
    let origin = Origin::new()
        .route("/fin", ok("").cut_before_head(Cut::Fin))
        .route("/reset", ok("").cut_before_head(Cut::Reset))
        .route("/raw", raw("\x16\x03\x01garbage"))
        .start()
        .await;
    for (path, expected) in [("/fin", &b""[..]), ("/reset", b""), ("/raw", b"\x16\x03\x01garbage")] {
        let mut client = Client::connect(origin.address()).await;
        client.send_bytes(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(client.closed().await, expected, "{path}");
    }
}

#[tokio::test]
async fn silent_close_after_an_answer() {
    let origin = Origin::new().route("/", ok("hello").then_close()).start().await;
    let mut client = Client::connect(origin.address()).await;
    client.get("/").await.assert_no_field("connection").assert_body("hello");
    assert_eq!(client.closed().await, "");
}

#[tokio::test]
async fn stopped_origin_refuses_and_restarted_one_answers() {
    let origin = Origin::new().route("/", ok("hello")).start().await;
    let mut client = Client::connect(origin.address()).await;
    client.get("/").await.assert_body("hello");

    origin.stop().await;
    assert_eq!(client.closed().await, "");
    let refused = tokio::net::TcpStream::connect(origin.address()).await.expect_err("nothing listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    origin.restart().await;
    Client::connect(origin.address()).await.get("/").await.assert_body("hello");
    origin.assert_requests(2);
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn pipelined_answers_are_read_one_by_one() {
    let origin = Origin::new().otherwise(|received: &Received| ok(&received.target)).start().await;
    let mut client = Client::connect(origin.address()).await;
    client
        .send_bytes(
            "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .await;
    client.answer("GET").await.assert_body("/1");
    client.answer("HEAD").await.assert_body("");
    client.answer("GET").await.assert_body("/3");
    client.finish_sending().await;
    assert_eq!(client.closed().await, "");
}

#[tokio::test]
#[should_panic(expected = "not HTTP")]
async fn origin_does_not_overlook_what_is_not_http() {
    let origin = Origin::new().start().await;
    let mut client = Client::connect(origin.address()).await;
    client.send_bytes("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.closed().await;
    origin.requests();
}

/// One line per malformed answer: the client must not forgive any of them.
#[tokio::test]
async fn client_forgives_nothing() {
    let malformed = [
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n",
        "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    ];
    for bytes in malformed {
        let origin = Origin::new().route("/", raw(bytes)).start().await;
        let address = origin.address();
        let asking = tokio::spawn(async move { Client::connect(address).await.get("/").await });
        let answer = asking.await;
        assert!(answer.is_err(), "{bytes:?} was read as {answer:?}");
    }
}

/// A server of the h2 crate stands in for the sidecar: the client's part of HTTP/2, and its sight of a cut.
#[tokio::test]
async fn http2_client_sees_bodies_and_cuts() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut unfinished = None;
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let cut = request.uri().path() == "/cut";
            let head = http::Response::builder().header("x-method", request.method().as_str()).body(()).unwrap();
            let mut body = respond.send_response(head, false).unwrap();
            body.send_data("hello".into(), !cut).unwrap();
            if cut {
                unfinished = Some(body);
            } else if request.uri().path() == "/reset-the-other"
                && let Some(mut body) = unfinished.take()
            {
                body.send_reset(h2::Reason::INTERNAL_ERROR);
            }
        }
    });
    let client = H2::connect(address).await;
    let whole = client.send(post("/whole", "a body")).await;
    whole.assert_status(200).assert_field("x-method", "POST").assert_body("hello");
    assert_eq!(whole.version, "HTTP/2");

    // The answers come in order, so the head of the first is there when its stream is reset.
    let (cut, ()) = tokio::join!(client.get("/cut"), async {
        client.get("/whole").await.assert_body("hello");
        client.get("/reset-the-other").await.assert_body("hello");
    });
    cut.assert_status(200).assert_cut();
    drop(client);
    server.await.unwrap();
}

#[test]
fn cache_status_is_read_from_its_last_member() {
    let answer = |field: &str| crate::common::Answer {
        request: String::new(),
        version: "HTTP/1.1".to_owned(),
        status: 200,
        fields: crate::common::Fields(vec![("Cache-Status".to_owned(), field.to_owned())]),
        body: Vec::new(),
        end: End::Complete,
        trailers: crate::common::Fields::default(),
        interim: Vec::new(),
    };
    answer("pacecar; hit; ttl=376").assert_cache("hit").assert_cache_parameter("ttl=376");
    answer("origin; hit, pacecar; fwd=uri-miss; stored").assert_cache("miss").assert_cache_parameter("stored");
    answer("pacecar; fwd=stale; fwd-status=304").assert_cache("miss");
    answer("pacecar; fwd=bypass; detail=\"a, b; hit\"").assert_cache("bypass");
    answer("pacecar; fwd=method").assert_cache("bypass");
    for field in ["", "hit", "pacecar", "pacecar; fwd=unheard-of", "pacecar; hit, origin; fwd=uri-miss"] {
        let answer = answer(field);
        let outcome = std::panic::catch_unwind(|| {
            answer.assert_cache("hit");
        });
        assert!(outcome.is_err(), "{field:?} was read as a hit");
    }
}

/// The origin's side of an upload that never ends: it is logged with what has come, and not as complete.
#[tokio::test]
async fn unfinished_request_is_logged_as_such() {
    let origin = Origin::new().start().await;
    let mut stream = tokio::net::TcpStream::connect(origin.address()).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await.unwrap();
    origin.wait_for_requests(1).await;
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), 0, "the origin answered half a request");
    assert_eq!((origin.last().complete, origin.last().body), (false, b"half".to_vec()));
}
