//! WebSocket: the connection is the app's once the app says so, and not before.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::common::{Client, Held, Origin, Received, Sidecar, get, ok, raw, within};

const ASKING: &str = "Host: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

/// An app that accepts every upgrade and sends back what it is sent; what it is asked otherwise it never answers.
async fn echoing_app() -> Held {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = Held(listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo(stream));
        }
    });
    app
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if !head.starts_with(b"GET /ws ") {
        std::future::pending::<()>().await;
    }
    let accepted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    stream.write_all(accepted.as_bytes()).await?;
    let (mut read, mut write) = stream.split();
    tokio::io::copy(&mut read, &mut write).await.map(|_| ())
}

/// Sends these bytes and reads as many back.
async fn assert_echoed(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    let mut back = vec![0; bytes.len()];
    within("an echo", stream.read_exact(&mut back)).await.expect("the connection lives");
    assert_eq!(back, bytes);
}

async fn upgraded(sidecar: &Sidecar) -> TcpStream {
    let mut stream = TcpStream::connect(sidecar.addr()).await.unwrap();
    stream.write_all(format!("GET /ws HTTP/1.1\r\n{ASKING}\r\n").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("the head of a 101", stream.read_u8()).await.expect("an answer"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    stream
}

#[tokio::test]
async fn upgraded_connection_may_be_silent() {
    let app = echoing_app().await;
    let config = "[server.timeouts]\nread = \"200ms\"\nwrite = \"200ms\"";
    let sidecar = Sidecar::in_front_of(&app).config(config).start().await;
    let mut fresh = upgraded(&sidecar).await;
    let mut used = upgraded(&sidecar).await;
    assert_echoed(&mut used, b"one").await;
    // A whole timeout goes by, and another.
    for path in ["/silent", "/silent?again"] {
        sidecar.get(path).await.assert_status(504);
    }
    assert_echoed(&mut fresh, b"two").await;
    assert_echoed(&mut used, b"three").await;
}

#[tokio::test]
async fn declined_upgrade_ends_the_connection_as_announced() {
    let origin = Origin::new().otherwise(ok("no")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    client.send_bytes(format!("GET /ws HTTP/1.1\r\n{ASKING}\r\n")).await;
    client.answer("GET").await.assert_status(200).assert_field("connection", "close").assert_body("no");
    assert!(client.closed().await.is_empty());
}

/// RFC 9110 §7.8, RFC 6455 §4.1: only a GET of HTTP/1.1 without a body asks for WebSocket; the wish of any other
/// request is not passed on, and its connection stays what it is.
#[tokio::test]
async fn requests_that_cannot_be_upgraded_are_plain_requests() {
    let origin = Origin::new().otherwise(|received: &Received| ok(&received.body)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for (line, fields, body) in [
        ("GET / HTTP/1.0", "Connection: keep-alive\r\n", ""),
        ("POST / HTTP/1.1", "Content-Length: 0\r\n", ""),
        ("POST / HTTP/1.1", "Content-Length: 4\r\n", "body"),
        ("GET / HTTP/1.1", "Content-Length: 4\r\n", "body"),
    ] {
        let mut client: Client = sidecar.client().await;
        let next = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
        client.send_bytes(format!("{line}\r\n{ASKING}{fields}\r\n{body}{next}")).await;
        client.answer("GET").await.assert_status(200).assert_body(body);
        let received = origin.last();
        assert_eq!((received.field("upgrade"), received.field("connection")), (None, None), "{line}");
        client.answer("GET").await.assert_status(200).assert_body("");
        assert_eq!(origin.last().target, "/next");
    }
    sidecar.send(get("/")).await.assert_status(200);
}

#[tokio::test]
async fn every_connection_that_was_upgraded_stays() {
    let accepted = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let origin = Origin::new().otherwise(raw(accepted).part("hello").hang()).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for nth in 0..500 {
        let mut client = sidecar.client().await;
        let ask = get("/").header("Connection", "Upgrade").header("Upgrade", "websocket");
        let mut answer = client.begin(ask.header("Sec-WebSocket-Version", "13")).await;
        answer.so_far().assert_status(101);
        assert_eq!(answer.at_least(5).await.text(), "hello", "number {nth}");
    }
}

#[tokio::test]
async fn app_that_does_not_answer_an_upgrade_is_a_504_and_one_that_is_away_a_502() {
    let origin = Origin::new().otherwise(ok("").hang_before_head()).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config("[server.timeouts]\nread = \"300ms\"").start().await;
    let ask = || get("/").header("Connection", "Upgrade").header("Upgrade", "websocket");
    sidecar.send(ask()).await.assert_status(504).assert_field("connection", "close");
    origin.stop().await;
    sidecar.send(ask()).await.assert_status(502).assert_field("connection", "close");
}
