//! An origin that lies, hangs, or vanishes: the client always learns the truth, and quickly.

use crate::common::{Answer, Client, Cut, Gate, Origin, Received, Response, Sidecar, get, head, ok, post, raw, within};

/// After a failure the connection is either closed as announced, or good for another request.
async fn assert_usable_or_closed(client: &mut Client, failure: &Answer) {
    if failure.fields.joined("connection").eq_ignore_ascii_case("close") {
        assert!(client.closed().await.is_empty(), "more than one answer");
    } else {
        client.get("/fine").await.assert_status(200).assert_body("fine");
    }
}

#[tokio::test]
async fn origin_that_is_down_is_a_502_until_it_is_back() {
    let origin = Origin::new().otherwise(ok("fine")).start().await;
    origin.stop().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for request in [get("/"), post("/", "body")] {
        sidecar.send(request).await.assert_status(502).assert_complete();
    }
    sidecar.h2c().await.get("/").await.assert_status(502);

    origin.restart().await;
    // Another URL, since a failure may be shared for a moment.
    sidecar.get("/back").await.assert_status(200).assert_body("fine");
    sidecar.send(post("/back", "body")).await.assert_status(200).assert_body("fine");
}

#[tokio::test]
async fn stored_answers_are_served_while_the_origin_is_down() {
    let origin = Origin::new().otherwise(ok("hello").header("Cache-Control", "max-age=60")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache("miss");
    origin.stop().await;
    sidecar.get("/").await.assert_status(200).assert_cache("hit").assert_body("hello");
    sidecar.get("/other").await.assert_status(502);
}

#[tokio::test]
async fn silent_origin_is_a_504() {
    let origin = Origin::new()
        .route("/hangs", ok("").hang_before_head())
        .route("/hangs-half-way", ok("half").hang().part("half"))
        .route("/fine", ok("fine"))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).config("[server.timeouts]\nread = \"300ms\"").start().await;
    for request in [get("/hangs"), post("/hangs", "body")] {
        let mut client = sidecar.client().await;
        let failure = client.send(request).await;
        failure.assert_status(504).assert_complete();
        assert_usable_or_closed(&mut client, &failure).await;
    }
    sidecar.h2c().await.get("/hangs?h2").await.assert_status(504);
    // With half of it on its way, breaking off is the only honest end.
    sidecar.get("/hangs-half-way").await.assert_status(200).assert_cut();
    sidecar.send(post("/hangs-half-way", "body")).await.assert_status(200).assert_cut();
}

/// Answers the first request of a connection, and closes it in place of answering the second.
fn only_the_first(received: &Received) -> Response {
    if received.nth == 0 { ok("fine") } else { ok("").cut_before_head(Cut::Fin) }
}

#[tokio::test]
async fn get_on_a_dead_kept_connection_is_sent_again_on_a_fresh_one() {
    let origin = Origin::new().otherwise(only_the_first).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let sent = || origin.log().iter().map(|received| (received.target.clone(), received.nth)).collect::<Vec<_>>();
    // A connection is kept soon after its answer, and not at once: until then each request has one of its own.
    within("a kept connection to be used again", async {
        let mut number = 0;
        while sent().iter().all(|(_, nth)| *nth == 0) {
            number += 1;
            sidecar.get(&format!("/{number}")).await.assert_status(200).assert_body("fine");
        }
    })
    .await;
    let sent = sent();
    let on_the_kept = sent.iter().position(|(_, nth)| *nth == 1).expect("it was used again");
    let (target, _) = &sent[on_the_kept];
    assert_eq!(sent[on_the_kept + 1..], [(target.clone(), 0)], "once more, on a fresh one");
}

#[tokio::test]
async fn get_is_not_sent_a_third_time() {
    let origin = Origin::new().route("/fine", ok("fine")).otherwise(ok("").cut_before_head(Cut::Fin)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/fine").await.assert_status(200);
    sidecar.get("/dies").await.assert_status(502);
    let sent = origin.log().iter().filter(|received| received.target == "/dies").count();
    assert!((1..=2).contains(&sent), "sent {sent} times");
}

#[tokio::test]
async fn post_is_never_sent_twice() {
    let origin = Origin::new().otherwise(only_the_first).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    client.send(post("/first", "body")).await.assert_status(200);
    let second = sidecar.send(post("/second", "body")).await;
    second.expect([200, 502].contains(&second.status), "an answer, or 502 where it is unknown".to_owned());
    let sent = origin.log().iter().filter(|received| received.target == "/second").count();
    assert_eq!(sent, 1, "POST /second at the origin");
}

#[tokio::test]
async fn what_is_not_http_is_a_502() {
    for garbage in [
        "\x16\x03\x01garbage\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nX\0: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX",
        "",
    ] {
        let origin = Origin::new().route("/garbage", raw(garbage)).route("/fine", ok("fine")).start().await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        for request in [get("/garbage"), post("/garbage", "body")] {
            let mut client = sidecar.client().await;
            let failure = client.send(request).await;
            failure.expect(failure.status == 502, format!("502 for {garbage:?}"));
            assert_usable_or_closed(&mut client, &failure).await;
        }
    }
}

#[tokio::test]
async fn cut_body_is_seen_as_cut_and_not_stored() {
    let storable = || ok("half").header("Cache-Control", "max-age=60");
    let origin = Origin::new()
        .route("/length-fin", storable().cut(Cut::Fin).part("half"))
        .route("/length-reset", storable().cut(Cut::Reset).part("half"))
        .route("/chunked-fin", storable().cut(Cut::Fin).chunked())
        .route("/chunked-reset", storable().cut(Cut::Reset).chunked())
        .route("/bad-chunk", raw("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nxyz\r\n"))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for path in ["/length-fin", "/length-reset", "/chunked-fin", "/chunked-reset", "/bad-chunk"] {
        let first = sidecar.get(path).await;
        assert_visibly_failed(&first);
        assert_visibly_failed(&sidecar.get(path).await);
        assert_visibly_failed(&sidecar.send(post(path, "body")).await);
        assert_visibly_failed(&sidecar.h2c().await.get(&format!("{path}?h2")).await);
    }
}

/// Either the answer is cut, or the failure was known before its head was sent.
#[track_caller]
fn assert_visibly_failed(answer: &Answer) {
    match answer.status {
        502 => {}
        0 => {
            answer.assert_cut();
        }
        _ => {
            answer.assert_status(200).assert_cut();
        }
    }
}

#[tokio::test]
async fn body_that_ends_with_the_connection_is_whole_but_not_when_reset() {
    let origin = Origin::new()
        .route("/fin", ok("hello").until_close())
        .route("/reset", ok("hello").cut(Cut::Reset).until_close())
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/fin").await.assert_status(200).assert_body("hello");
    assert_visibly_failed(&sidecar.get("/reset").await);
}

#[tokio::test]
async fn client_that_leaves_in_the_middle_of_its_upload_ends_it_at_the_origin() {
    let origin = Origin::new().otherwise(ok("fine")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    client.send_bytes("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await;
    origin.wait_for_requests(1).await;
    drop(client);
    sidecar.get("/after").await.assert_status(200).assert_body("fine");
    assert!(!origin.log()[0].complete, "half an upload was made into a whole one");
}

#[tokio::test]
async fn client_that_leaves_does_not_disturb_the_next() {
    let gate = Gate::new();
    let origin = Origin::new()
        .route("/slow", ok("slow").header("Cache-Control", "no-store").after(&gate))
        .otherwise(ok("fine"))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut leaving = sidecar.client().await;
    leaving.send_bytes("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    gate.arrivals(1).await;
    drop(leaving);
    gate.open();
    for _ in 0..5 {
        sidecar.get("/fine").await.assert_status(200).assert_body("fine");
    }
}

#[tokio::test]
async fn transfer_coding_that_is_not_known_here_is_a_502() {
    // Without the label, what is left would be stored and shown as what it is not.
    for coding in ["gzip", "gzip, chunked", "identity", "chunked, chunked"] {
        let answer = format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: {coding}\r\n\r\n");
        let origin = Origin::new().otherwise(raw(answer + "5\r\nhello\r\n0\r\n\r\n")).start().await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        for request in [get("/"), post("/", "body")] {
            let answer = sidecar.send(request).await;
            answer.expect(answer.status == 502, format!("502 for {coding}"));
        }
    }
}

#[tokio::test]
async fn another_protocol_that_nobody_asked_for_is_a_502() {
    let switching = raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    let origin = Origin::new().otherwise(switching).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for request in [get("/"), post("/", "body")] {
        sidecar.send(request).await.assert_status(502);
    }
}

#[tokio::test]
async fn odd_but_unambiguous_answers_are_put_right() {
    for (bytes, status, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", 200, "hello"),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, ""),
        ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 204, ""),
        ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            200,
            "hello",
        ),
    ] {
        let stored = bytes.replacen("\r\n", "\r\nCache-Control: max-age=60\r\n", 1);
        let origin = Origin::new().route("/stored", raw(stored)).otherwise(raw(bytes)).start().await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        for request in [get("/stored"), get("/stored"), get("/"), post("/", "body")] {
            let answer = sidecar.send(request).await;
            answer.expect(answer.version == "HTTP/1.1", format!("our own version, for {bytes:?}"));
            answer.expect(answer.fields.all("content-length").count() <= 1, format!("one length, for {bytes:?}"));
            answer.assert_status(status).assert_body(body);
        }
    }
}

#[tokio::test]
async fn what_follows_an_answer_is_nobodys_answer() {
    for more in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
    ] {
        let other = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother";
        // The connection stays open: only that there is more tells that it cannot be used again.
        let answer = raw(format!("{more}{other}")).hang();
        let origin = Origin::new().route("/more", answer).otherwise(ok("fine")).start().await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        for request in [get("/more"), get("/more"), post("/more", "body")] {
            sidecar.send(request).await.assert_complete();
            sidecar.get("/fine").await.assert_body("fine");
            sidecar.send(post("/fine", "body")).await.assert_body("fine");
        }
    }
}

#[tokio::test]
async fn stream_of_events_may_be_silent() {
    let gate = Gate::new();
    let events = ok("one").header("Content-Type", "text/event-stream; charset=utf-8").wait(&gate).part("two").chunked();
    let origin = Origin::new().route("/events", events).route("/silent", ok("").hang_before_head()).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config("[server.timeouts]\nread = \"200ms\"").start().await;
    // The first is a flight's, the second asks for itself.
    let (mut first, mut second) = (sidecar.client().await, sidecar.client().await);
    let (mut first, mut second) = (first.begin(get("/events")).await, second.begin(get("/events")).await);
    first.at_least(3).await;
    second.at_least(3).await;
    // A whole read timeout goes by, and another.
    for _ in 0..2 {
        sidecar.get("/silent").await.assert_status(504);
    }
    gate.open();
    first.finish().await.assert_body("onetwo");
    second.finish().await.assert_body("onetwo");
}

#[tokio::test]
async fn connection_that_answered_head_is_not_used_again() {
    // gunicorn sends a body with HEAD; late, it would be read as the answer to whatever is asked next.
    let origin = Origin::new().otherwise(ok("hello").header("Cache-Control", "no-store")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    let requests = [get("/1"), get("/2"), head("/3"), get("/4"), get("/5"), get("/6")];
    for request in requests {
        client.send(request).await.assert_status(200);
    }
    let connections: Vec<usize> = origin.log().iter().map(|received| received.connection).collect();
    assert!(!connections[3..].contains(&connections[2]), "{connections:?}");
}
