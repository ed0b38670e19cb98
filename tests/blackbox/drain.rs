//! Stopping: what is in flight is finished, nothing new is begun, and nothing holds the end up for ever.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::common::{Gate, Origin, Sidecar, get, ok, post, within};

/// Waits until nothing accepts connections there any more.
async fn refused(address: SocketAddr) {
    within(format!("{address} to refuse connections"), async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Waits until the sidecar says that it is no longer ready.
async fn unready(sidecar: &Sidecar) {
    within("readiness to end", async { while sidecar.admin("/readyz").await.status != 503 {} }).await;
}

#[tokio::test]
async fn what_is_in_flight_is_finished() {
    for request in [get("/stored"), get("/other"), post("/other", "body")] {
        let gate = Gate::new();
        let slow = ok("first ").wait(&gate).part("second").chunked();
        let origin = Origin::new()
            .route("/stored", slow.clone().header("Cache-Control", "max-age=60"))
            .otherwise(slow)
            .start()
            .await;
        let mut sidecar = Sidecar::in_front_of(&origin).start().await;
        sidecar.admin("/readyz").await.assert_status(200);
        let mut client = sidecar.client().await;
        let mut incoming = client.begin(request).await;
        incoming.at_least(6).await;

        sidecar.terminate().await;
        unready(&sidecar).await;
        sidecar.admin("/livez").await.assert_status(200);
        refused(sidecar.addr()).await;
        gate.open();
        incoming.finish().await.assert_body("first second");
        assert_eq!(sidecar.wait().await.code(), Some(0));
    }
}

#[tokio::test]
async fn answer_begun_during_the_drain_ends_its_connection() {
    let gate = Gate::new();
    let origin = Origin::new().otherwise(ok("hello").after(&gate)).start().await;
    let mut sidecar = Sidecar::in_front_of(&origin).start().await;
    let address = sidecar.addr();
    let mut client = sidecar.client().await;
    client.send_bytes(format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n")).await;
    gate.arrivals(1).await;
    sidecar.terminate().await;
    unready(&sidecar).await;
    gate.open();
    client.answer("GET").await.assert_status(200).assert_field("connection", "close").assert_body("hello");
    assert!(client.closed().await.is_empty());
    assert_eq!(sidecar.wait().await.code(), Some(0));
}

#[tokio::test]
async fn idle_connections_do_not_hold_the_end_up() {
    let origin = Origin::new().otherwise(ok("hello")).start().await;
    // Longer than any wait of a test, so that an end at this time fails it.
    let mut sidecar = Sidecar::in_front_of(&origin).config("[server.timeouts]\ndrain = \"600s\"").start().await;
    let mut fresh = sidecar.client().await;
    let mut used = sidecar.client().await;
    used.get("/").await.assert_status(200);
    let h2 = sidecar.h2c().await;
    h2.get("/").await.assert_status(200);

    sidecar.terminate().await;
    assert!(fresh.closed().await.is_empty());
    assert!(used.closed().await.is_empty());
    assert_eq!(sidecar.wait().await.code(), Some(0));
}

#[tokio::test]
async fn second_signal_ends_at_once() {
    let origin = Origin::new().otherwise(ok("first").hang().part("second")).start().await;
    let mut sidecar = Sidecar::in_front_of(&origin).config("[server.timeouts]\ndrain = \"600s\"").start().await;
    let mut client = sidecar.client().await;
    let mut incoming = client.begin(get("/")).await;
    incoming.at_least(5).await;

    sidecar.terminate().await;
    unready(&sidecar).await;
    sidecar.terminate().await;
    sidecar.wait().await;
    incoming.finish().await.assert_cut();
}

#[tokio::test]
async fn what_never_ends_is_cut_at_the_drain_time() {
    for request in [get("/stored"), get("/other"), post("/other", "body")] {
        let endless = ok("first").hang().part("second");
        let origin = Origin::new()
            .route("/stored", endless.clone().header("Cache-Control", "max-age=60"))
            .otherwise(endless)
            .start()
            .await;
        let mut sidecar = Sidecar::in_front_of(&origin).config("[server.timeouts]\ndrain = \"300ms\"").start().await;
        let mut client = sidecar.client().await;
        let mut incoming = client.begin(request).await;
        incoming.at_least(5).await;
        sidecar.terminate().await;
        sidecar.wait().await;
        incoming.finish().await.assert_cut();
    }
}

/// Sends one GET after the other on one connection until it is closed; how many answers came, all of them whole.
async fn answers_until_closed(address: SocketAddr, started: Gate) -> usize {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answers = 0;
    loop {
        let request = format!("GET /{answers} HTTP/1.1\r\nHost: {address}\r\n\r\n");
        if stream.write_all(request.as_bytes()).await.is_err() {
            return answers;
        }
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") {
            match stream.read_buf(&mut answer).await {
                Ok(1..) => {}
                // Between two answers a server may close; in the middle of one it may not.
                _ => {
                    assert!(answer.is_empty(), "cut: {:?}", String::from_utf8_lossy(&answer));
                    return answers;
                }
            }
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer));
        answers += 1;
        if answers == 5 {
            started.open();
        }
    }
}

#[tokio::test]
async fn drain_under_load_cuts_no_answer() {
    let origin = Origin::new().otherwise(ok("hello")).start().await;
    let mut sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut clients = JoinSet::new();
    let mut started = Vec::new();
    for _ in 0..50 {
        let gate = Gate::new();
        clients.spawn(answers_until_closed(sidecar.addr(), gate.clone()));
        started.push(gate);
    }
    for gate in &started {
        within("every client to be served", gate.pass()).await;
    }
    sidecar.terminate().await;
    assert_eq!(sidecar.wait().await.code(), Some(0));
    let answers: usize = clients.join_all().await.into_iter().sum();
    assert!(answers >= 250);
    // Every answer that the app gave reached its client.
    origin.assert_requests(answers);
}
