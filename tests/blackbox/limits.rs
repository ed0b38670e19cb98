//! Limits that protect both sides: connections, and peers that do not move.

use std::net::SocketAddr;

use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

use crate::common::{Client, Held, Origin, Sidecar, get, noise, ok, post, within};

/// Whether a new connection is closed without a word.
async fn is_turned_away(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let read = within("a new connection to be closed", stream.read(&mut [0; 1])).await;
    // Closed with nothing to read, or reset.
    read.unwrap_or(0) == 0
}

#[tokio::test]
async fn connections_over_the_limit_are_turned_away_and_counted() {
    for limit in ["max_connections = 3", "max_connections_per_ip = 3"] {
        let origin = Origin::new().otherwise(ok("hello")).start().await;
        let sidecar = Sidecar::in_front_of(&origin).server(limit).start().await;
        let mut open = Vec::new();
        for _ in 0..3 {
            let mut client = sidecar.client().await;
            client.get("/").await.assert_status(200);
            open.push(client);
        }
        assert!(is_turned_away(sidecar.addr()).await, "a fourth connection under {limit}");
        assert_eq!(sidecar.metric("pacecar_connections_refused_total").await, 1.0);
        // Those that are in are served as before, and a place that becomes free is given away.
        open[0].get("/").await.assert_status(200);
        drop(open.pop());
        sidecar.until_metric("pacecar_connections", 2.0).await;
        sidecar.get("/").await.assert_status(200);
    }
}

#[tokio::test]
async fn client_that_takes_nothing_is_cut_at_the_write_timeout() {
    let large = || ok(noise(20 << 20));
    let origin = Origin::new()
        .route("/uncacheable", large().header("Cache-Control", "no-store"))
        .route("/stored", large().header("Cache-Control", "max-age=60"))
        .start()
        .await;
    let config = "[cache]\nmax_object_bytes = \"32MiB\"\n[server.timeouts]\nwrite = \"300ms\"";
    let sidecar = Sidecar::in_front_of(&origin).config(config).start().await;
    for (path, times) in [("/uncacheable", 2), ("/stored", 2)] {
        for _ in 0..times {
            let mut client = sidecar.client().await;
            let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", sidecar.addr());
            client.send_bytes(request).await;
            sidecar.until_metric("pacecar_http_requests_in_flight", 1.0).await;
            sidecar.until_metric("pacecar_http_requests_in_flight", 0.0).await;
            client.answer("GET").await.assert_status(200).assert_cut();
        }
    }
    // Whoever takes it gets it whole.
    sidecar.get("/stored").await.assert_body(noise(20 << 20));
}

#[tokio::test]
async fn app_that_takes_no_body_is_a_504_at_the_write_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = Held(listener.local_addr().unwrap());
    tokio::spawn(async move {
        // Accepted, and never read from.
        let mut connections = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.push(stream);
        }
    });
    // An app that refuses a body may still answer, so that it is given the time for that as well.
    let config = "[server.timeouts]\nwrite = \"300ms\"\nread = \"300ms\"";
    let sidecar = Sidecar::in_front_of(&app).config(config).start().await;
    let answer = sidecar.send(post("/", noise(32 << 20))).await;
    answer.assert_status(504);
}

#[tokio::test]
async fn app_that_does_not_accept_is_a_504_at_the_connect_timeout() {
    // With its queue full, the system lets further handshakes wait.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    loop {
        let connecting = TcpStream::connect(address);
        match tokio::time::timeout(std::time::Duration::from_millis(300), connecting).await {
            Ok(stream) => waiting.push(stream.unwrap()),
            Err(_) => break,
        }
    }
    let sidecar = Sidecar::in_front_of(&Held(address)).config("[server.timeouts]\nconnect = \"300ms\"").start().await;
    for request in [get("/"), post("/", "body")] {
        sidecar.send(request).await.assert_status(504).assert_complete();
    }
    let errors = "pacecar_upstream_errors_total{reason=\"connect-timeout\"}";
    assert_eq!(sidecar.metric(errors).await, 2.0);
}

#[tokio::test]
async fn many_idle_connections_do_not_shut_others_out() {
    let origin = Origin::new().otherwise(ok("hello")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(Client::connect(sidecar.addr()).await);
    }
    // Half a head each: a slow attack on the front door.
    for client in &mut idle {
        client.send_bytes("GET / HTTP/1.1\r\nHost: a\r\nX: ").await;
    }
    sidecar.get("/").await.assert_status(200).assert_body("hello");
    origin.assert_requests(1);
}

#[tokio::test]
async fn client_that_stops_sending_its_body_is_cut_at_the_write_timeout() {
    let origin = Origin::new().otherwise(ok("hello")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config("[server.timeouts]\nwrite = \"300ms\"").start().await;
    for framing in ["Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\na\r\nhalf"] {
        let mut client = sidecar.client().await;
        client.send_bytes(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}")).await;
        client.answer("POST").await.assert_status(408).assert_field("connection", "close");
        assert!(client.closed().await.is_empty());
    }
    assert!(origin.log().iter().all(|received| !received.complete), "the app was given a whole body");
}
