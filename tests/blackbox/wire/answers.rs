//! Answers that no well-behaved app gives: the client is told 502, or the truth, or sees that the answer is cut.

use std::collections::HashMap;

use Want::*;

use super::Shown;
use crate::common::{Answer, Client, Origin, Received, Response, Sidecar, get, head, ok, post, raw, readable};

/// What the app sends, and what its client must see.
struct Row {
    name: &'static str,
    bytes: String,
    /// The app closes the connection afterwards, or leaves it open with whatever was too much.
    open: bool,
    want: Want,
}

#[derive(Clone, Copy)]
enum Want {
    /// 502.
    Bad,
    /// This status, and less than a whole body; or 502.
    Cut(u16),
    /// A whole answer with this status and body.
    Whole(u16, &'static str),
}

/// The app sends this and closes the connection.
fn row(name: &'static str, bytes: impl Into<String>, want: Want) -> Row {
    Row { name, bytes: bytes.into(), open: false, want }
}

/// The app sends this and leaves the connection open.
fn open(name: &'static str, bytes: impl Into<String>, want: Want) -> Row {
    Row { name, bytes: bytes.into(), open: true, want }
}

/// An answer with this status line.
fn line(line: &str) -> String {
    format!("{line}\r\nContent-Length: 5\r\n\r\nhello")
}

/// A 200 with these fields and this body, all of it storable by its fields.
fn with(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{fields}\r\n\r\n{body}")
}

/// A 200 in chunks.
fn chunks(body: &str) -> String {
    with("Transfer-Encoding: chunked", body)
}

const OTHER: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nother";

async fn run(rows: Vec<Row>) {
    let raw_of = |row: &Row| if row.open { raw(&row.bytes).hang() } else { raw(&row.bytes) };
    let scripts: HashMap<String, Response> =
        rows.iter().enumerate().map(|(nth, row)| (format!("/row/{nth}"), raw_of(row))).collect();
    let script = move |received: &Received| {
        scripts
            .get(&received.target)
            .cloned()
            .unwrap_or_else(|| ok(&received.target).header("Cache-Control", "no-store"))
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    println!("{} rows", rows.len());
    for (nth, row) in rows.iter().enumerate() {
        let _shown = Shown(row.name, row.bytes.as_bytes());
        let target = format!("/row/{nth}");
        for (turn, request) in [get(&target), get(&target), post(&target, "body")].into_iter().enumerate() {
            let mut client = sidecar.client().await;
            let answer = client.send(request).await;
            judge(row, &answer);
            next(&sidecar, &mut client, &answer, &format!("/fine/{nth}/{turn}")).await;
        }
        let posts = |received: &&Received| received.method == "POST" && received.target == target;
        assert_eq!(origin.log().iter().filter(posts).count(), 1, "POST is sent once");
        let gets = |received: &&Received| received.method == "GET" && received.target == target;
        let asked = origin.log().iter().filter(gets).count();
        assert!((1..=4).contains(&asked), "two requests and no more than one repetition of each, but {asked}");
    }
}

/// What one client was told.
fn judge(row: &Row, answer: &Answer) {
    let hit = answer.fields.joined("cache-status").contains("hit");
    match row.want {
        Bad => {
            answer.assert_status(502).assert_complete();
        }
        Cut(_) if answer.status == 502 => {}
        Cut(status) => {
            answer.assert_status(status).assert_cut().expect(!hit, "nothing from the cache".to_owned());
        }
        Whole(status, body) => {
            answer.assert_status(status).assert_body(body);
        }
    }
}

/// The client's connection, the app's connections, and new ones: each gives every request its own answer.
async fn next(sidecar: &Sidecar, client: &mut Client, before: &Answer, target: &str) {
    if before.end != crate::common::End::Complete || before.fields.joined("connection").eq_ignore_ascii_case("close") {
        let after = client.closed().await;
        assert!(after.is_empty(), "more than one answer:\n{}", readable(&after));
    } else {
        client.get(target).await.assert_status(200).assert_body(target);
    }
    for request in [get(target), post(target, "body"), head(target), get(target)] {
        let expected = if request.method == "HEAD" { "" } else { target };
        sidecar.send(request).await.assert_status(200).assert_body(expected);
    }
}

#[tokio::test]
async fn heads_of_answers() {
    run(vec![
        row("nothing", "", Bad),
        row("one byte", "H", Bad),
        row("half a status line", "HTTP/1.1 20", Bad),
        row("status line alone", "HTTP/1.1 200 OK\r\n", Bad),
        row("half a field", "HTTP/1.1 200 OK\r\nContent-Le", Bad),
        row("no end of the head", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", Bad),
        row("half an end of the head", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r", Bad),
        row("body alone", "hello", Bad),
        row("html alone", "<html>\r\n\r\n</html>", Bad),
        row("tls", "\x16\x03\x01\x02\0\x01\r\n\r\n", Bad),
        row("a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", Bad),
        row("no reason", line("HTTP/1.1 200 "), Whole(200, "hello")),
        row("no reason and no space", line("HTTP/1.1 200"), Whole(200, "hello")),
        row("odd reason", line("HTTP/1.1 200 <b> of its own"), Whole(200, "hello")),
        row("status of two digits", line("HTTP/1.1 99 OK"), Bad),
        row("status of four digits", line("HTTP/1.1 1000 OK"), Bad),
        row("status 000", line("HTTP/1.1 000 OK"), Bad),
        row("status 099", line("HTTP/1.1 099 OK"), Bad),
        row("status of letters", line("HTTP/1.1 abc OK"), Bad),
        row("signed status", line("HTTP/1.1 +20 OK"), Bad),
        row("negative status", line("HTTP/1.1 -20 OK"), Bad),
        row("no status", line("HTTP/1.1"), Bad),
        row("http/2", line("HTTP/2 200 OK"), Bad),
        row("http/2.0", line("HTTP/2.0 200 OK"), Bad),
        row("http/0.9", line("HTTP/0.9 200 OK"), Bad),
        row("http/1.10", line("HTTP/1.10 200 OK"), Bad),
        row("lower case", line("http/1.1 200 OK"), Bad),
        row("another protocol", line("ICY 200 OK"), Bad),
        row("nul in the reason", line("HTTP/1.1 200 O\0K"), Bad),
        row("cr in the reason", line("HTTP/1.1 200 O\rK"), Bad),
        row("space before the version", line(" HTTP/1.1 200 OK"), Bad),
        row("no colon", with("X", "hello"), Bad),
        row("no name", with(": 1", "hello"), Bad),
        row("space in a name", with("X Y: 1\r\nContent-Length: 5", "hello"), Bad),
        row("nul in a name", with("X\0: 1\r\nContent-Length: 5", "hello"), Bad),
        row("nul in a value", with("X: a\0b\r\nContent-Length: 5", "hello"), Bad),
        row("bare cr in a value", with("X: a\rb\r\nContent-Length: 5", "hello"), Bad),
        row("escape in a value", with("X: \x1b[2J\r\nContent-Length: 5", "hello"), Bad),
        row("large head", with(&format!("X: {}\r\nContent-Length: 5", "a".repeat(2 << 20)), "hello"), Bad),
        row("many fields", with(&"X: 1\r\n".repeat(1000), "hello"), Bad),
        row("101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", Bad),
        row("flood of 103", "HTTP/1.1 103 Early Hints\r\nX: 1\r\n\r\n".repeat(100), Bad),
        row("100 and no more", "HTTP/1.1 100 Continue\r\n\r\n", Bad),
    ])
    .await;
}

#[tokio::test]
async fn bodies_of_answers() {
    run(vec![
        row("two lengths", with("Content-Length: 5\r\nContent-Length: 4", "hello"), Bad),
        row("list of lengths", with("Content-Length: 5, 4", "hello"), Bad),
        row("empty length", with("Content-Length:", "hello"), Bad),
        row("negative length", with("Content-Length: -5", "hello"), Bad),
        row("signed length", with("Content-Length: +5", "hello"), Bad),
        row("hexadecimal length", with("Content-Length: 0x5", "hello"), Bad),
        row("length of letters", with("Content-Length: five", "hello"), Bad),
        row("length with a space", with("Content-Length: 5 5", "hello"), Bad),
        row("length beyond 64 bits", with("Content-Length: 18446744073709551621", "hello"), Bad),
        row("gzip", with("Transfer-Encoding: gzip", "hello"), Bad),
        row("gzip, then chunked", with("Transfer-Encoding: gzip, chunked", "5\r\nhello\r\n0\r\n\r\n"), Bad),
        row("chunked, then gzip", with("Transfer-Encoding: chunked, gzip", "5\r\nhello\r\n0\r\n\r\n"), Bad),
        row("chunked twice", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"), Bad),
        row(
            "coding that nobody knows is none",
            with("Transfer-Encoding: xchunked", "5\r\nhello\r\n0\r\n\r\n"),
            Whole(200, "5\r\nhello\r\n0\r\n\r\n"),
        ),
        row(
            "coding that nobody knows, with a length, which it overrides",
            with("Transfer-Encoding: x\r\nContent-Length: 3", "hello"),
            Whole(200, "hello"),
        ),
        row("quoted coding", with("Transfer-Encoding: \"chunked\"", "5\r\nhello\r\n0\r\n\r\n"), Bad),
        row("empty coding", with("Transfer-Encoding:", "hello"), Bad),
        row("nothing of the body", with("Content-Length: 5", ""), Cut(200)),
        row("half of the body", with("Content-Length: 10", "hello"), Cut(200)),
        row("all but one byte", with("Content-Length: 6", "hello"), Cut(200)),
        row("no chunk", chunks(""), Cut(200)),
        row("half a size", chunks("5"), Cut(200)),
        row("half a chunk", chunks("5\r\nhel"), Cut(200)),
        row("no last chunk", chunks("5\r\nhello\r\n"), Cut(200)),
        row("half a last chunk", chunks("5\r\nhello\r\n0"), Cut(200)),
        row("empty size", chunks("5\r\nhello\r\n\r\n"), Cut(200)),
        row("size of letters", chunks("xyz\r\nhello\r\n0\r\n\r\n"), Cut(200)),
        row("negative size", chunks("-5\r\nhello\r\n0\r\n\r\n"), Cut(200)),
        row("size with 0x", chunks("0x5\r\nhello\r\n0\r\n\r\n"), Cut(200)),
        row("size of 65 bits", chunks("10000000000000005\r\nhello\r\n0\r\n\r\n"), Cut(200)),
        row("chunk longer than its size", chunks("5\r\nhello!\r\n0\r\n\r\n"), Cut(200)),
        row("no end of the chunk", chunks("5\r\nhello0\r\n\r\n"), Cut(200)),
        row("html in place of a size", chunks("<html>\r\n"), Cut(200)),
        open("second answer", with("Content-Length: 5", "hello") + OTHER, Whole(200, "hello")),
        open("second answer after chunks", chunks("5\r\nhello\r\n0\r\n\r\n") + OTHER, Whole(200, "hello")),
        open("second answer after nothing", with("Content-Length: 0", "") + OTHER, Whole(200, "")),
        open("body longer than its length", with("Content-Length: 5", "hello world"), Whole(200, "hello")),
        open("line after the body", with("Content-Length: 5", "hello\r\n"), Whole(200, "hello")),
        open("bytes after chunks", chunks("5\r\nhello\r\n0\r\n\r\nmore"), Whole(200, "hello")),
        open(
            "body on 204",
            format!("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello{OTHER}"),
            Whole(204, ""),
        ),
        open(
            "chunks on 204",
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            Whole(204, ""),
        ),
        open("second answer after 204", format!("HTTP/1.1 204 No Content\r\n\r\n{OTHER}"), Whole(204, "")),
        open("second answer after 304", format!("HTTP/1.1 304 Not Modified\r\n\r\n{OTHER}"), Whole(304, "")),
        row("body until the end", with("X: y", "hello"), Whole(200, "hello")),
        row("length 0 and a body", with("Content-Length: 0", "hello"), Whole(200, "")),
        row("trailers", chunks("5\r\nhello\r\n0\r\nContent-Length: 33\r\n\r\n"), Whole(200, "hello")),
        row("extension", chunks("5;a=b\r\nhello\r\n0\r\n\r\n"), Whole(200, "hello")),
        row(
            "connection names the length",
            with("Connection: content-length\r\nContent-Length: 5", "hello"),
            Whole(200, "hello"),
        ),
    ])
    .await;
}

#[tokio::test]
async fn bodies_after_head() {
    for late in ["hello", OTHER, "0\r\n\r\n"] {
        // What goes first is written whatever the method.
        let sent = with("Content-Length: 5", late);
        let answer = raw("").interim(&sent).hang();
        let script = move |received: &Received| match &*received.target {
            "/row" => answer.clone(),
            target => ok(target).header("Cache-Control", "no-store"),
        };
        let origin = Origin::new().otherwise(script).start().await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        for turn in 0..3 {
            let mut client = sidecar.client().await;
            let answer = client.send(head("/row").header("X", &turn.to_string())).await;
            answer.assert_status(200).assert_body("");
            next(&sidecar, &mut client, &answer, &format!("/fine/{turn}")).await;
        }
    }
}
