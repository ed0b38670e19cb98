//! Odd but unambiguous requests: the app is asked exactly what the row names, and nothing that hides in a body.

use super::{GET, HIDDEN, Row, Want::*, get_with, post_with, row, run};

/// What is sent reaches the app as one POST of `/` with the body `hello`.
fn hello(name: &'static str, fields: &str, body: &str) -> Row {
    row(name, post_with(fields, body), Reaches(&[("POST", "/", "hello")]))
}

/// The same in chunks.
fn chunks(name: &'static str, body: &str) -> Row {
    hello(name, "Transfer-Encoding: chunked", body)
}

/// A body that is a request: 33 bytes.
const HIDING: &[(&str, &str, &str)] = &[("POST", "/", HIDDEN)];
const PLAIN: &[(&str, &str, &str)] = &[("GET", "/", "")];

#[tokio::test]
async fn odd_requests() {
    assert_eq!(HIDDEN.len(), 0x21);
    run(vec![
        row("request in a body", post_with("Content-Length: 33", HIDDEN), Reaches(HIDING)),
        row(
            "request in a chunk",
            post_with("Transfer-Encoding: chunked", &format!("21\r\n{HIDDEN}\r\n0\r\n\r\n")),
            Reaches(HIDING),
        ),
        row(
            "request in the body of get",
            format!("{GET}Content-Length: 33\r\n\r\n{HIDDEN}"),
            Reaches(&[("GET", "/", HIDDEN)]),
        ),
        row(
            "request in the chunks of get",
            format!("{GET}Transfer-Encoding: chunked\r\n\r\n21\r\n{HIDDEN}\r\n0\r\n\r\n"),
            Reaches(&[("GET", "/", HIDDEN)]),
        ),
        row(
            "request in the body of delete",
            format!("DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 33\r\n\r\n{HIDDEN}"),
            Reaches(&[("DELETE", "/", HIDDEN)]),
        ),
        row(
            "request in the body of options",
            format!("OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 33\r\n\r\n{HIDDEN}"),
            Reaches(&[("OPTIONS", "*", HIDDEN)]),
        ),
        row("request after get", get_with("X: y") + HIDDEN, Reaches(&[("GET", "/", ""), ("GET", "/hidden", "")])),
        row(
            "request after an empty body",
            post_with("Content-Length: 0", HIDDEN),
            Reaches(&[("POST", "/", ""), ("GET", "/hidden", "")]),
        ),
        row(
            "request after a body",
            post_with("Content-Length: 5", &format!("hello{HIDDEN}")),
            Reaches(&[("POST", "/", "hello"), ("GET", "/hidden", "")]),
        ),
        row(
            "request after chunks",
            post_with("Transfer-Encoding: chunked", &format!("5\r\nhello\r\n0\r\n\r\n{HIDDEN}")),
            Reaches(&[("POST", "/", "hello"), ("GET", "/hidden", "")]),
        ),
        row(
            "empty line after a body",
            post_with("Content-Length: 5", &format!("hello\r\n{HIDDEN}")),
            Reaches(&[("POST", "/", "hello"), ("GET", "/hidden", "")]),
        ),
        row("one empty line before", format!("\r\n{HIDDEN}"), Reaches(&[("GET", "/hidden", "")])),
        row(
            "body after the last request",
            post_with("Connection: close\r\nContent-Length: 5", &format!("hello{HIDDEN}")),
            Reaches(&[("POST", "/", "hello")]),
        ),
        hello("zeros before a length", "Content-Length: 0005", "hello"),
        hello("white space around a length", "Content-Length: \t 5 \t", "hello"),
        hello("length in capitals", "CONTENT-LENGTH:5", "hello"),
        hello("coding in another case", "tRANSFER-eNCODING: cHUNKED", "5\r\nhello\r\n0\r\n\r\n"),
        hello("white space around a coding", "Transfer-Encoding:\t chunked \t", "5\r\nhello\r\n0\r\n\r\n"),
        hello("expectation", "Expect: 100-Continue\r\nContent-Length: 5", "hello"),
        hello(
            "te and trailer",
            "TE: trailers\r\nTrailer: X\r\nTransfer-Encoding: chunked",
            "5\r\nhello\r\n0\r\nX: 1\r\n\r\n",
        ),
        hello("proxy-connection", "Proxy-Connection: keep-alive\r\nKeep-Alive: max=1\r\nContent-Length: 5", "hello"),
        hello(
            "name with an underscore",
            "Content_Length: 50\r\nTransfer_Encoding: chunked\r\nContent-Length: 5",
            "hello",
        ),
        chunks("zeros before a size", "00005\r\nhello\r\n000\r\n\r\n"),
        chunks("extension", "5;a=b\r\nhello\r\n0;c\r\n\r\n"),
        chunks("quoted extension", "5;a=\"b;c 0\"\r\nhello\r\n0\r\n\r\n"),
        chunks("white space before an extension", "5 ;a\r\nhello\r\n0\t;a\r\n\r\n"),
        chunks("many chunks", "1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n"),
        chunks("trailer that is a length", "5\r\nhello\r\n0\r\nContent-Length: 33\r\n\r\n"),
        chunks("trailer that is a coding", "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        chunks("trailer that is a host", "5\r\nhello\r\n0\r\nHost: evil\r\nAuthorization: x\r\n\r\n"),
        row("url in place of a path", "GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n", Reaches(&[("GET", "/x?y", "")])),
        row("url with another host", "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", Reaches(&[("GET", "/x", "")])),
        row("url in capitals", "GET HTTP://A:80?y HTTP/1.1\r\nHost: a\r\n\r\n", Reaches(&[("GET", "/?y", "")])),
        row(
            "url with a body",
            "POST http://b/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            Reaches(&[("POST", "/", "hello")]),
        ),
        row("two slashes", "GET //b/x HTTP/1.1\r\nHost: a\r\n\r\n", Reaches(&[("GET", "//b/x", "")])),
        row(
            "dots",
            "GET /a/../../b/%2e%2e/ HTTP/1.1\r\nHost: a\r\n\r\n",
            Reaches(&[("GET", "/a/../../b/%2e%2e/", "")]),
        ),
        row(
            "coded line end",
            "GET /a%0d%0aX:%20y%00 HTTP/1.1\r\nHost: a\r\n\r\n",
            Reaches(&[("GET", "/a%0d%0aX:%20y%00", "")]),
        ),
        row("at sign in the path", "GET /@b:80/ HTTP/1.1\r\nHost: a\r\n\r\n", Reaches(&[("GET", "/@b:80/", "")])),
        row("options *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Reaches(&[("OPTIONS", "*", "")])),
        row("trace", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", Reaches(&[("TRACE", "/", "")])),
        row("method of one's own", "M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n", Reaches(&[("M-SEARCH", "/", "")])),
        row("method in lower case", "get / HTTP/1.1\r\nHost: a\r\n\r\n", Reaches(&[("get", "/", "")])),
        row(
            "h2c upgrade",
            get_with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"),
            Reaches(PLAIN),
        ),
        hello(
            "h2c upgrade with a body",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nContent-Length: 5",
            "hello",
        ),
        row("another upgrade", get_with("Connection: Upgrade\r\nUpgrade: TLS/1.0"), Reaches(PLAIN)),
        row("http/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", Reaches(PLAIN)),
        row("request after http/1.0", format!("GET / HTTP/1.0\r\nHost: a\r\n\r\n{HIDDEN}"), Reaches(PLAIN)),
        row("request after close", get_with("Connection: close") + HIDDEN, Reaches(PLAIN)),
        row("connection with odd commas", get_with("Connection: ,,keep-alive,, ,x-a\r\nX-A: b"), Reaches(PLAIN)),
        row("empty value", get_with("X:"), Reaches(PLAIN)),
        row("bytes above 127 in a value", get_with("X: ü"), Reaches(PLAIN)),
        row("tab in a value", get_with("X: a\tb"), Reaches(PLAIN)),
    ])
    .await;
}

#[tokio::test]
async fn preface_after_a_request_is_no_preface() {
    let sent = get_with("X: y") + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let origin = super::echoing().await;
    let sidecar = crate::common::Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    client.send_bytes(sent).await;
    client.answer("GET").await.assert_status(200);
    client.answer("GET").await.assert_status(505).assert_field("connection", "close");
    assert!(client.closed().await.is_empty());
    origin.assert_requests(1);
}
