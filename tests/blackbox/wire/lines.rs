//! Request lines: methods, targets, versions, and what comes before.

use super::{HIDDEN, Want::*, row, run};

/// A GET of this target.
fn target(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// This in place of the request line.
fn line(line: &str) -> String {
    format!("{line}\r\nHost: a\r\n\r\n")
}

#[tokio::test]
async fn request_lines() {
    run(vec![
        row("space before the method", line(" GET / HTTP/1.1"), Refused(400)),
        row("tab before the method", line("\tGET / HTTP/1.1"), Refused(400)),
        row("nul before the method", line("\0GET / HTTP/1.1"), Refused(400)),
        row("two empty lines before", format!("\r\n\r\n{HIDDEN}"), Refused(400)),
        row("bare lf before", format!("\n{HIDDEN}"), Refused(400)),
        row("bare cr before", format!("\r{HIDDEN}"), Refused(400)),
        row("byte order mark before", format!("\u{feff}{HIDDEN}"), Refused(400)),
        row("no method", line("/ HTTP/1.1"), Refused(400)),
        row("empty method", line(" / HTTP/1.1"), Refused(400)),
        row("method with a colon", line("GE:T / HTTP/1.1"), Refused(400)),
        row("method with nul", line("GE\0T / HTTP/1.1"), Refused(400)),
        row("method with a bracket", line("GET{ / HTTP/1.1"), Refused(400)),
        row("method of another alphabet", line("GÉT / HTTP/1.1"), Refused(400)),
        row("two spaces before the target", line("GET  / HTTP/1.1"), Refused(400)),
        row("two spaces before the version", line("GET /  HTTP/1.1"), Refused(400)),
        row("tab before the target", line("GET\t/ HTTP/1.1"), Refused(400)),
        row("tab before the version", line("GET /\tHTTP/1.1"), Refused(400)),
        row("vertical tab before the version", line("GET /\x0bHTTP/1.1"), Refused(400)),
        row("form feed before the target", line("GET\x0c/ HTTP/1.1"), Refused(400)),
        row("bare cr before the version", line("GET /\rHTTP/1.1"), Refused(400)),
        row("space after the version", line("GET / HTTP/1.1 "), Refused(400)),
        row("word after the version", line("GET / HTTP/1.1 x"), Refused(400)),
        row("nul after the version", line("GET / HTTP/1.1\0"), Refused(400)),
        row("two cr after the version", line("GET / HTTP/1.1\r"), Refused(400)),
        row("a request line in the target", line("GET / HTTP/1.1/../ HTTP/1.1"), Refused(400)),
        row("no version", line("GET /"), Refused(400)),
        row("http/0.9", "GET /\r\n", Unfinished),
        row("http/0.9 with lf", "GET /\n", Refused(400)),
        row("lower case http", line("GET / http/1.1"), Refused(400)),
        row("no slash in the version", line("GET / HTTP1.1"), Refused(400)),
        row("no minor version", line("GET / HTTP/1"), Refused(400)),
        row("comma in the version", line("GET / HTTP/1,1"), Refused(400)),
        row("two digits in the version", line("GET / HTTP/1.10"), Refused(400)),
        row("leading zero in the version", line("GET / HTTP/01.1"), Refused(400)),
        row("space in the version", line("GET / HTTP/ 1.1"), Refused(400)),
        row("hexadecimal version", line("GET / HTTP/1.a"), Refused(400)),
        row("http/0.9 by name", line("GET / HTTP/0.9"), Refused(505)),
        row("http/1.2", line("GET / HTTP/1.2"), Refused(505)),
        row("http/1.9", line("GET / HTTP/1.9"), Refused(505)),
        row("http/2.0", line("GET / HTTP/2.0"), Refused(505)),
        row("http/3.0", line("GET / HTTP/3.0"), Refused(505)),
        row("http/9.9", line("GET / HTTP/9.9"), Refused(505)),
        row("another protocol", line("GET / RTSP/1.0"), Refused(400)),
        row("bare lf throughout", "GET / HTTP/1.1\nHost: a\n\n", Refused(400)),
        row("bare lf after the line", "GET / HTTP/1.1\nHost: a\r\n\r\n", Refused(400)),
        row("bare lf as the last line", "GET / HTTP/1.1\r\nHost: a\r\n\n", Refused(400)),
        row("bare cr throughout", "GET / HTTP/1.1\rHost: a\r\r", Unfinished),
        row("head without its end", "GET / HTTP/1.1\r\nHost: a\r\n", Unfinished),
        row("head without its last lf", "GET / HTTP/1.1\r\nHost: a\r\n\r", Unfinished),
        row("space in the target", target("/a b"), Refused(400)),
        row("nul in the target", target("/a\0b"), Refused(400)),
        row("control byte in the target", target("/a\x01b"), Refused(400)),
        row("delete in the target", target("/a\x7fb"), Refused(400)),
        row("vertical tab in the target", target("/a\x0bb"), Refused(400)),
        row("fragment", target("/a#b"), Refused(400)),
        row("fragment alone", target("#"), Refused(400)),
        row("empty target", "GET  HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
        row("relative target", target("a"), Refused(400)),
        row("query alone", target("?a"), Refused(400)),
        row("backslash first", target("\\a"), Refused(400)),
        row("* with get", target("*"), Refused(400)),
        row("* with more", "OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
        row("authority as target", target("a:80"), Refused(400)),
        row("url without a host", target("http:///x"), Refused(400)),
        row("url with userinfo", target("http://u@a/"), Refused(400)),
        row("url with a password", target("http://u:p@a/"), Refused(400)),
        row("url with a bad port", target("http://a:b/"), Refused(400)),
        row("url with two ports", target("http://a:1:2/"), Refused(400)),
        row("url with a backslash", target("http://a\\b/"), Refused(400)),
        row("url with a fragment", target("http://a/#b"), Refused(400)),
        row("url with one slash", target("http:/a/"), Refused(400)),
        row("url of another scheme", target("gopher://a/"), Refused(400)),
        row("url of a file", target("file:///etc/passwd"), Refused(400)),
        row("url and no host", "GET http://a/ HTTP/1.1\r\n\r\n", Refused(400)),
        row("url and two hosts", "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Refused(400)),
        row("connect", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Refused(501)),
        row("connect with a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(501)),
        row("pri of version 1.1", "PRI * HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
        row("half a preface", format!("PRI * HTTP/2.0\r\n\r\n{HIDDEN}"), Refused(505)),
        row("tls", "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n", Refused(400)),
        row("long target", target(&format!("/{}", "a".repeat(9 << 10))), Refused(414)),
        row("long target without an end", format!("GET /{}", "a".repeat(20 << 10)), Refused(414)),
    ])
    .await;
}
