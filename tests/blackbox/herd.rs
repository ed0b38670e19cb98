//! Many clients at once for one URL: one fetch where the answer can be shared, nobody in line where it cannot.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tokio::task::JoinSet;

use crate::common::{Answer, Cut, Gate, Origin, Received, Response, Sidecar, get, noise, ok, within};

const CROWD: usize = 200;

fn storable(body: impl AsRef<[u8]>) -> Response {
    ok(body).header("Cache-Control", "max-age=60")
}

/// Sends this many GETs, each on a connection of its own, all under way at once.
async fn crowd(sidecar: &Sidecar, size: usize, target: &'static str) -> JoinSet<Answer> {
    let mut crowd = JoinSet::new();
    for _ in 0..size {
        let mut client = sidecar.client().await;
        crowd.spawn(async move { client.get(target).await });
    }
    crowd
}

#[tokio::test]
async fn crowd_for_a_cold_url_is_one_fetch() {
    let body = noise(50_000);
    let gate = Gate::new();
    let origin = Origin::new().route("/", storable(&body).after(&gate)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;

    let crowd = crowd(&sidecar, CROWD, "/").await;
    gate.arrivals(1).await;
    gate.open();
    for answer in crowd.join_all().await {
        answer.assert_status(200).assert_body(&body);
    }
    origin.assert_requests(1);
    sidecar.get("/").await.assert_cache("hit");
}

#[tokio::test]
async fn first_client_that_leaves_before_the_head_harms_nobody() {
    let gate = Gate::new();
    let origin = Origin::new().route("/", storable("hello").after(&gate)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;

    let mut first = sidecar.client().await;
    first.send_bytes(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", sidecar.addr())).await;
    gate.arrivals(1).await;
    let crowd = crowd(&sidecar, CROWD, "/").await;
    drop(first);
    gate.open();
    for answer in crowd.join_all().await {
        answer.assert_status(200).assert_body("hello");
    }
    // The fetch may end with the last of its readers, which the first client was for a moment; a second one is the
    // most that this can cost.
    assert!(origin.requests() <= 2, "{} requests at the origin", origin.requests());
}

#[tokio::test]
async fn slow_reader_holds_nobody_up() {
    // More than the sockets between take, so that the reader's pace would reach the origin if it were passed on.
    let body = noise(7 << 20);
    let origin = Origin::new().route("/", storable(&body)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;

    let mut slow = sidecar.client().await;
    let mut reading = slow.begin(get("/")).await;
    reading.at_least(1).await;
    for answer in crowd(&sidecar, 10, "/").await.join_all().await {
        answer.assert_status(200).assert_body(&body);
    }
    reading.finish().await.assert_body(&body);
    origin.assert_requests(1);
}

#[tokio::test]
async fn everybody_sees_that_the_origin_broke_off() {
    for cut in [Cut::Fin, Cut::Reset] {
        for chunked in [false, true] {
            let gate = Gate::new();
            let whole = storable("half").wait(&gate).cut(cut).part("half");
            let whole = if chunked { whole.chunked() } else { whole };
            let origin = Origin::new().route("/", whole).start().await;
            let sidecar = Sidecar::in_front_of(&origin).start().await;

            let mut clients = Vec::new();
            for _ in 0..30 {
                clients.push(sidecar.client().await);
            }
            let mut reading = Vec::new();
            for client in &mut clients {
                let mut incoming = client.begin(get("/")).await;
                incoming.so_far().assert_status(200);
                incoming.at_least(4).await;
                reading.push(incoming);
            }
            origin.assert_requests(1);
            gate.open();
            for incoming in reading {
                incoming.finish().await.assert_cut();
            }

            // Nothing of it was stored. The failure may be remembered for a second, not for longer.
            origin.stop().await;
            let after = sidecar.get("/").await;
            after.expect(after.status == 502, "502 while the origin is down".to_owned());
        }
    }
}

#[tokio::test]
async fn next_request_after_a_cut_is_answered() {
    let first = AtomicBool::new(true);
    let origin = Origin::new()
        .route("/", move |_: &crate::common::Received| {
            if first.swap(false, SeqCst) { storable("hel").cut(Cut::Fin).part("lo") } else { storable("hello") }
        })
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cut();
    // A failure is shared for a moment; then the origin is asked again.
    let answer = crate::common::within("an answer after a cut", async {
        loop {
            let answer = sidecar.get("/").await;
            if answer.status == 200 {
                return answer;
            }
            answer.assert_status(502);
        }
    });
    answer.await.assert_body("hello");
    sidecar.get("/").await.assert_cache("hit").assert_body("hello");
    origin.assert_requests(2);
}

#[tokio::test]
async fn crowd_for_an_uncacheable_url_is_not_put_in_line() {
    let gate = Gate::new();
    let response = ok("one ").header("Cache-Control", "no-store").wait(&gate).part("two").chunked();
    let origin = Origin::new().route("/", response).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;

    let crowd = crowd(&sidecar, 60, "/").await;
    // All of them are at the origin while none has been answered to the end.
    gate.arrivals(60).await;
    gate.open();
    for answer in crowd.join_all().await {
        answer.assert_status(200).assert_body("one two");
    }
    origin.assert_requests(60);
}

#[tokio::test]
async fn crowd_does_not_wait_longer_than_the_lock_timeout() {
    let gate = Gate::new();
    let origin = Origin::new().route("/", storable("hello").after(&gate)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config("[cache]\nlock_timeout = \"200ms\"").start().await;

    let crowd = crowd(&sidecar, 5, "/").await;
    // Each of them asks for itself in the end, since the first fetch gives no head.
    gate.arrivals(5).await;
    gate.open();
    for answer in crowd.join_all().await {
        answer.assert_status(200).assert_body("hello");
    }
}

#[tokio::test]
async fn waiting_does_not_widen_who_may_share() {
    let gate = Gate::new();
    let held = gate.clone();
    // With must-revalidate an answer may be shared with Authorization (RFC 9111 §3.5), but not with cookies.
    let origin = Origin::new()
        .otherwise(move |received: &Received| {
            let whose = received.field("cookie").unwrap_or("nobody's").to_owned();
            ok(whose).header("Cache-Control", "max-age=60, must-revalidate").after(&held)
        })
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let (mut first, mut second) = (sidecar.client().await, sidecar.client().await);
    let by_authorization = first.send(get("/").header("Authorization", "Basic YTpi"));
    let by_cookie = async {
        gate.arrivals(1).await;
        // Its request is under way before the gate opens, wherever it has got to by then.
        let answer = second.send(get("/").header("Cookie", "session=b"));
        let open = async {
            in_flight(&sidecar, 2).await;
            gate.open();
        };
        tokio::join!(answer, open).0
    };
    let (by_authorization, by_cookie) = tokio::join!(by_authorization, by_cookie);
    by_authorization.assert_body("nobody's");
    by_cookie.assert_body("session=b").assert_cache("bypass");
    origin.assert_requests(2);
}

#[tokio::test]
async fn who_stopped_waiting_does_not_hold_up_the_first() {
    let (first, second) = (Gate::new(), Gate::new());
    let body = noise(4 << 20);
    let origin = {
        let (first, second, body, begun) = (first.clone(), second.clone(), body.clone(), AtomicBool::new(false));
        Origin::new()
            .route(
                "/",
                move |_: &Received| {
                    if begun.swap(true, SeqCst) { ok("own").after(&second) } else { ok(&body).after(&first) }
                },
            )
            .start()
            .await
    };
    let sidecar = Sidecar::in_front_of(&origin).config("[cache]\nlock_timeout = \"100ms\"").start().await;

    let (mut client, mut impatient) = (sidecar.client().await, sidecar.client().await);
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", sidecar.addr());
    client.send_bytes(&request).await;
    first.arrivals(1).await;
    impatient.send_bytes(&request).await;
    // It asks for itself now, and is not answered yet.
    second.arrivals(1).await;
    first.open();
    client.answer("GET").await.assert_status(200).assert_body(&body);
    second.open();
    impatient.answer("GET").await.assert_status(200).assert_body("own");
}

/// Waits until so many requests are being answered.
async fn in_flight(sidecar: &Sidecar, requests: usize) {
    let line = format!("pacecar_http_requests_in_flight {requests}");
    within(format!("{requests} requests in flight"), async {
        while !sidecar.admin("/metrics").await.text().lines().any(|found| found == line) {}
    })
    .await;
}
