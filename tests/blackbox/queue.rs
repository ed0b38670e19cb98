//! An app that is given so many requests at once and no more: the others wait for their turn, or are told to come back.

use crate::common::{Answer, Client, Gate, Origin, Request, Sidecar, get, ok, post, raw, status};

/// No place in the queue becomes free since somebody has waited for too long.
const PATIENT: &str = "[server.timeouts]\nqueue = \"1d\"";
const IN_FLIGHT: &str = "pacecar_upstream_in_flight";
const QUEUED: &str = "pacecar_upstream_queued";
const FULL: &str = "pacecar_upstream_refused_total{reason=\"queue-full\"}";
const TOO_LONG: &str = "pacecar_upstream_refused_total{reason=\"queue-timeout\"}";

/// Answers `/busy/…` when the gate opens, and all else at once.
async fn origin(gate: &Gate) -> Origin {
    let mut origin = Origin::new().otherwise(ok("fine"));
    for at in 0..4 {
        origin = origin.route(&format!("/busy/{at}"), ok("done").after(gate));
    }
    origin.start().await
}

/// Sends a request on a connection of its own, without waiting for its answer.
async fn begin(sidecar: &Sidecar, request: Request) -> Client {
    let mut client = sidecar.client().await;
    client.send_bytes(request.to_bytes("a")).await;
    client
}

/// As many requests as the app may have, on both ways to it.
async fn two_at_the_app(sidecar: &Sidecar, gate: &Gate) -> [(Client, &'static str); 2] {
    let busy = [(begin(sidecar, get("/busy/0")).await, "GET"), (begin(sidecar, post("/busy/1", "body")).await, "POST")];
    gate.arrivals(2).await;
    busy
}

fn assert_refused(answer: &Answer) {
    answer.assert_status(503).assert_field("Retry-After", "1");
    answer.assert_body("503 Service Unavailable: the app behind this proxy has too many requests at once\n");
}

#[tokio::test]
async fn third_request_waits_for_its_turn() {
    for (nth, request) in [get("/fine/0"), post("/fine/1", "body")].into_iter().enumerate() {
        let gate = Gate::new();
        let origin = origin(&gate).await;
        let sidecar = Sidecar::in_front_of(&origin).server("upstream_concurrency = 2").start().await;
        let busy = two_at_the_app(&sidecar, &gate).await;
        let method = request.method.clone();
        let mut third = begin(&sidecar, request).await;
        sidecar.until_metric(QUEUED, 1.0).await;
        assert_eq!(sidecar.metric(IN_FLIGHT).await, 2.0);
        origin.assert_requests(2);
        gate.open();
        third.answer(&method).await.assert_status(200).assert_body("fine");
        for (mut client, method) in busy {
            client.answer(method).await.assert_status(200).assert_body("done");
        }
        assert_eq!(origin.last().target, format!("/fine/{nth}"), "the last to be let in");
        sidecar.until_metric(IN_FLIGHT, 0.0).await;
        assert_eq!(sidecar.metric(QUEUED).await, 0.0);
    }
}

#[tokio::test]
async fn h2_request_waits_as_well_and_frees_its_place_when_it_is_reset() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let sidecar = Sidecar::in_front_of(&origin).server("upstream_concurrency = 2").config(PATIENT).start().await;
    let _busy = two_at_the_app(&sidecar, &gate).await;
    for request in [get("/fine"), post("/fine", "body")] {
        let client = sidecar.h2c().await;
        let waiting = tokio::spawn(async move { client.send(request).await });
        sidecar.until_metric(QUEUED, 1.0).await;
        waiting.abort();
        sidecar.until_metric(QUEUED, 0.0).await;
    }
    let client = sidecar.h2c().await;
    let waiting = tokio::spawn(async move { client.send(post("/fine", "body")).await });
    sidecar.until_metric(QUEUED, 1.0).await;
    gate.open();
    waiting.await.unwrap().assert_status(200).assert_body("fine");
    origin.assert_requests(3);
}

#[tokio::test]
async fn beyond_the_queue_is_a_503_at_once() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let server = "upstream_concurrency = 2\nupstream_queue = 1";
    let sidecar = Sidecar::in_front_of(&origin).server(server).start().await;
    let _busy = two_at_the_app(&sidecar, &gate).await;
    let mut waiting = begin(&sidecar, get("/fine")).await;
    sidecar.until_metric(QUEUED, 1.0).await;
    assert_refused(&sidecar.get("/more").await);
    assert_refused(&sidecar.send(post("/more", "body")).await);
    assert_refused(&sidecar.send(get("/more?private").header("Cookie", "id=1")).await);
    assert_refused(&sidecar.h2c().await.send(post("/more", "body")).await);
    let problem = sidecar.send(post("/more", "body").header("Accept", "application/json")).await;
    problem
        .assert_status(503)
        .assert_field("Content-Type", "application/problem+json")
        .assert_field("Retry-After", "1");
    assert_eq!(sidecar.metric(FULL).await, 5.0);
    origin.assert_requests(2);
    gate.open();
    waiting.answer("GET").await.assert_status(200).assert_body("fine");
    sidecar.get("/more?again").await.assert_status(200);
}

#[tokio::test]
async fn without_a_queue_nobody_waits() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let server = "upstream_concurrency = 2\nupstream_queue = 0";
    let sidecar = Sidecar::in_front_of(&origin).server(server).start().await;
    let _busy = two_at_the_app(&sidecar, &gate).await;
    assert_refused(&sidecar.get("/more").await);
    assert_refused(&sidecar.send(post("/more", "body")).await);
}

#[tokio::test]
async fn patience_ends_with_a_503() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let builder = Sidecar::in_front_of(&origin).server("upstream_concurrency = 2");
    let sidecar = builder.config("[server.timeouts]\nqueue = \"50ms\"").start().await;
    let _busy = two_at_the_app(&sidecar, &gate).await;
    assert_refused(&sidecar.get("/more").await);
    assert_refused(&sidecar.send(post("/more", "body")).await);
    assert_eq!(sidecar.metric(TOO_LONG).await, 2.0);
    assert_eq!(sidecar.metric(QUEUED).await, 0.0);
    origin.assert_requests(2);
}

#[tokio::test]
async fn hits_never_wait() {
    let gate = Gate::new();
    let origin = Origin::new()
        .route("/stored", ok("hello").header("Cache-Control", "max-age=60"))
        .otherwise(ok("done").after(&gate))
        .start()
        .await;
    let server = "upstream_concurrency = 2\nupstream_queue = 0";
    let sidecar = Sidecar::in_front_of(&origin).server(server).start().await;
    sidecar.get("/stored").await.assert_cache("miss");
    sidecar.until_metric(IN_FLIGHT, 0.0).await;
    let _busy = two_at_the_app(&sidecar, &gate).await;
    sidecar.get("/stored").await.assert_cache("hit").assert_body("hello");
}

#[tokio::test]
async fn requests_for_the_same_take_one_place() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let builder = Sidecar::in_front_of(&origin).server("upstream_concurrency = 2");
    // Far shorter than they will wait: nobody goes to the queue alone because of it.
    let sidecar = builder.config("[cache]\nlock_timeout = \"1ms\"").start().await;
    let _busy = two_at_the_app(&sidecar, &gate).await;
    let mut same = Vec::new();
    for _ in 0..5 {
        same.push(begin(&sidecar, get("/fine")).await);
    }
    sidecar.until_metric("pacecar_http_requests_in_flight", 7.0).await;
    assert_eq!(sidecar.metric(QUEUED).await, 1.0);
    // One of them leaves, and it may be the one that the fetch was begun for: the others still want it.
    drop(same.remove(0));
    sidecar.until_metric("pacecar_http_requests_in_flight", 6.0).await;
    // Each look takes about as long as their patience.
    for _ in 0..20 {
        assert_eq!(sidecar.metric(QUEUED).await, 1.0);
    }
    gate.open();
    for mut client in same {
        client.answer("GET").await.assert_status(200).assert_body("fine");
    }
}

#[tokio::test]
async fn client_that_leaves_frees_its_place_in_the_queue() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let server = "upstream_concurrency = 2\nupstream_queue = 1";
    let sidecar = Sidecar::in_front_of(&origin).server(server).config(PATIENT).start().await;
    let _busy = two_at_the_app(&sidecar, &gate).await;
    let private = get("/private").header("Cookie", "id=1").header("Range", "bytes=0-1");
    for request in [get("/shared"), private, post("/posted", "body"), post("/half", "").chunks(["half"])] {
        let leaving = begin(&sidecar, request).await;
        sidecar.until_metric(QUEUED, 1.0).await;
        drop(leaving);
        sidecar.until_metric(QUEUED, 0.0).await;
    }
    let mut next = begin(&sidecar, get("/fine")).await;
    sidecar.until_metric(QUEUED, 1.0).await;
    gate.open();
    next.answer("GET").await.assert_status(200).assert_body("fine");
    origin.assert_requests(3);
    assert_eq!(sidecar.metric(FULL).await, 0.0);
}

#[tokio::test]
async fn what_may_never_end_holds_nobody_up() {
    let never = Gate::new();
    let upgraded = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let events = || ok("data: 1\n\n").header("Content-Type", "text/event-stream; charset=utf-8");
    let origin = Origin::new()
        .route("/socket", raw(upgraded).wait(&never))
        .route("/events", events().wait(&never).chunked())
        .route("/posted-events", events().wait(&never).chunked())
        .otherwise(ok("fine"))
        .start()
        .await;
    let server = "upstream_concurrency = 1\nupstream_queue = 0";
    let sidecar = Sidecar::in_front_of(&origin).server(server).start().await;

    let mut socket = sidecar.client().await;
    let handshake = get("/socket").header("Connection", "Upgrade").header("Upgrade", "websocket");
    let handshake =
        handshake.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==");
    socket.begin(handshake).await.so_far().assert_status(101);
    sidecar.until_metric(IN_FLIGHT, 0.0).await;
    sidecar.get("/beside/1").await.assert_status(200);
    sidecar.until_metric(IN_FLIGHT, 0.0).await;

    let mut client = sidecar.client().await;
    let mut events = client.begin(get("/events")).await;
    events.at_least(9).await.assert_status(200);
    sidecar.until_metric(IN_FLIGHT, 0.0).await;
    sidecar.get("/beside/2").await.assert_status(200);
    sidecar.until_metric(IN_FLIGHT, 0.0).await;
    let mut client = sidecar.client().await;
    let mut events = client.begin(post("/posted-events", "body")).await;
    events.at_least(9).await.assert_status(200);
    sidecar.until_metric(IN_FLIGHT, 0.0).await;
    sidecar.get("/beside/3").await.assert_status(200);
}

#[tokio::test]
async fn turn_lasts_until_the_end_of_the_answer_and_no_longer() {
    let gate = Gate::new();
    let half = || ok("half").wait(&gate).part("half");
    let origin = Origin::new()
        .route("/slow/get", half().header("Cache-Control", "no-store"))
        .route("/slow/post", half())
        .route("/empty", status(204))
        .otherwise(ok("fine"))
        .start()
        .await;
    let server = "upstream_concurrency = 1\nupstream_queue = 0";
    let sidecar = Sidecar::in_front_of(&origin).server(server).start().await;
    for request in [get("/slow/get"), post("/slow/post", "body")] {
        let mut client = sidecar.client().await;
        let mut slow = client.begin(request).await;
        slow.at_least(4).await;
        assert_refused(&sidecar.get("/fine").await);
        drop(slow);
        drop(client);
        // Whoever leaves in the middle gives it back as well.
        sidecar.until_metric(IN_FLIGHT, 0.0).await;
    }
    for request in [get("/empty"), get("/fine/1"), post("/fine/2", "body")] {
        sidecar.send(request).await.assert_complete();
        sidecar.until_metric(IN_FLIGHT, 0.0).await;
    }
    gate.open();
}
