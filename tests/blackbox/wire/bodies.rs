//! Where a body ends: Content-Length, Transfer-Encoding, both, and chunks. Each row that is misread shows the app a
//! request for `/hidden`.

use super::{HIDDEN, POST, Row, Want::*, post_with, row, run};

/// A POST with these field lines, whose body is an end of chunks to one reader and a request to another.
fn framed(name: &'static str, fields: &str, status: u16) -> Row {
    row(name, post_with(fields, &format!("0\r\n\r\n{HIDDEN}")), Refused(status))
}

/// A POST in chunks.
fn chunks(body: &str) -> String {
    post_with("Transfer-Encoding: chunked", body)
}

/// Chunks that are no chunks; a request follows.
fn broken(name: &'static str, body: &str) -> Row {
    row(name, chunks(&format!("{body}{HIDDEN}")), BrokenOff(400))
}

#[tokio::test]
async fn lengths_and_codings() {
    run(vec![
        framed("two lengths", "Content-Length: 5\r\nContent-Length: 5", 400),
        framed("two different lengths", "Content-Length: 5\r\nContent-Length: 0", 400),
        framed("two lengths in other cases", "Content-Length: 5\r\ncontent-length: 6", 400),
        framed("list of lengths", "Content-Length: 5, 5", 400),
        framed("list of different lengths", "Content-Length: 0,5", 400),
        framed("length and comma", "Content-Length: 5,", 400),
        framed("empty length", "Content-Length:", 400),
        framed("negative length", "Content-Length: -5", 400),
        framed("signed length", "Content-Length: +5", 400),
        framed("hexadecimal length", "Content-Length: 0x5", 400),
        framed("length of letters", "Content-Length: five", 400),
        framed("length in quotes", "Content-Length: \"5\"", 400),
        framed("length with a fraction", "Content-Length: 5.0", 400),
        framed("length with an exponent", "Content-Length: 5e0", 400),
        framed("length with an underscore", "Content-Length: 1_0", 400),
        framed("length with a space", "Content-Length: 1 0", 400),
        framed("length with a parameter", "Content-Length: 5;a", 400),
        framed("length with nul", "Content-Length: 5\0", 400),
        framed("length with a vertical tab", "Content-Length: \x0b5", 400),
        framed("length in other digits", "Content-Length: ５", 400),
        framed("length beyond 64 bits", "Content-Length: 18446744073709551621", 400),
        framed("length beyond 63 bits", "Content-Length: 9223372036854775808", 400),
        framed("length of a hundred digits", &format!("Content-Length: {}", "1".repeat(100)), 400),
        framed("length with many zeros", &format!("Content-Length: {}5", "0".repeat(40)), 400),
        framed("space before the colon of a length", "Content-Length : 5", 400),
        framed("length, then coding", "Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        framed("coding, then length", "Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        framed("coding and length 0", "Transfer-Encoding: chunked\r\nContent-Length: 0", 400),
        framed("coding and bad length", "Transfer-Encoding: chunked\r\nContent-Length: x", 400),
        framed("unknown coding and length", "Transfer-Encoding: x\r\nContent-Length: 5", 400),
        framed("space before the colon of a coding", "Transfer-Encoding : chunked\r\nContent-Length: 5", 400),
        framed("tab before the colon of a coding", "Transfer-Encoding\t: chunked", 400),
        framed("vertical tab before the colon of a coding", "Transfer-Encoding\x0b: chunked", 400),
        framed("coding after a fold", "X: y\r\n Transfer-Encoding: chunked", 400),
        framed("coding after a bare lf", "X: y\nTransfer-Encoding: chunked", 400),
        framed("coding after a bare cr", "X: y\rTransfer-Encoding: chunked", 400),
        framed("two codings", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
        framed("two codings, the second unknown", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x", 400),
        framed("two codings, the first identity", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", 400),
        framed("list of codings", "Transfer-Encoding: chunked, chunked", 501),
        framed("identity in a list", "Transfer-Encoding: chunked, identity", 501),
        framed("gzip in a list", "Transfer-Encoding: gzip, chunked", 501),
        framed("comma before", "Transfer-Encoding: , chunked", 501),
        framed("comma after", "Transfer-Encoding: chunked,", 501),
        framed("identity", "Transfer-Encoding: identity", 501),
        framed("misspelt", "Transfer-Encoding: xchunked", 501),
        framed("word before", "Transfer-Encoding: x chunked", 501),
        framed("word after", "Transfer-Encoding: chunked x", 501),
        framed("parameter", "Transfer-Encoding: chunked;a=b", 501),
        framed("in double quotes", "Transfer-Encoding: \"chunked\"", 501),
        framed("in single quotes", "Transfer-Encoding: 'chunked'", 501),
        framed("cut short", "Transfer-Encoding: chunke", 501),
        framed("empty coding", "Transfer-Encoding:", 400),
        framed("vertical tab before a coding", "Transfer-Encoding: \x0bchunked", 400),
        framed("form feed after a coding", "Transfer-Encoding: chunked\x0c", 400),
        framed("nul in a coding", "Transfer-Encoding: chu\0nked", 400),
        framed("tab in a coding", "Transfer-Encoding: x\tchunked", 400),
        framed("another alphabet in a coding", "Transfer-Encoding: chunkéd", 400),
        framed("connection names the length", "Connection: Content-Length\r\nContent-Length: 5", 400),
        row(
            "coding in http/1.0",
            format!("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
            Refused(400),
        ),
        row(
            "coding in http/1.0, kept alive",
            "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            Refused(400),
        ),
        row("length of more than comes", post_with("Content-Length: 50", "hello"), Unfinished),
        row("body is missing", post_with("Content-Length: 5", ""), Unfinished),
    ])
    .await;
}

#[tokio::test]
async fn chunks_of_requests() {
    run(vec![
        broken("empty size", "\r\n\r\n"),
        broken("no size but an extension", ";a=b\r\n\r\n"),
        broken("negative size", "-5\r\nhello\r\n0\r\n\r\n"),
        broken("signed size", "+5\r\nhello\r\n0\r\n\r\n"),
        broken("size with 0x", "0x5\r\nhello\r\n0\r\n\r\n"),
        broken("size with an underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
        broken("size with h", "5h\r\nhello\r\n0\r\n\r\n"),
        broken("size in quotes", "\"5\"\r\nhello\r\n0\r\n\r\n"),
        broken("space before the size", " 5\r\nhello\r\n0\r\n\r\n"),
        broken("tab before the size", "\t5\r\nhello\r\n0\r\n\r\n"),
        broken("empty line before the size", "\r\n5\r\nhello\r\n0\r\n\r\n"),
        broken("space in the size", "0 5\r\nhello\r\n0\r\n\r\n"),
        broken("vertical tab after the size", "5\x0b\r\nhello\r\n0\r\n\r\n"),
        broken("nul after the size", "5\0\r\nhello\r\n0\r\n\r\n"),
        broken("comma after the size", "5,\r\nhello\r\n0\r\n\r\n"),
        broken("size of 64 bits", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        broken("size of 65 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        broken("size of a hundred digits", &format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(100))),
        broken("lf after the size", "5\nhello\r\n0\r\n\r\n"),
        broken("cr after the size", "5\rhello\r\n0\r\n\r\n"),
        broken("cr, cr, lf after the size", "5\r\r\nhello\r\n0\r\n\r\n"),
        broken("lf, cr after the size", "5\n\rhello\r\n0\r\n\r\n"),
        broken("lf in the extension", "5;a\nhello\r\n0\r\n\r\n"),
        broken("cr in the extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
        broken("nul in the extension", "5;a\0b\r\nhello\r\n0\r\n\r\n"),
        broken("control byte in the extension", "5;a\x01b\r\nhello\r\n0\r\n\r\n"),
        broken("long extension", &format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(20 << 10))),
        broken("chunk longer than its size", "5\r\nhello!\r\n0\r\n\r\n"),
        broken("chunk shorter than its size", "6\r\nhello\r\n0\r\n\r\n"),
        broken("no end of the chunk", "5\r\nhello0\r\n\r\n"),
        broken("lf ends the chunk", "5\r\nhello\n0\r\n\r\n"),
        broken("cr ends the chunk", "5\r\nhello\r0\r\n\r\n"),
        broken("two characters for the chunk's end", "5\r\nhelloXX0\r\n\r\n"),
        broken("lf ends the last chunk", "5\r\nhello\r\n0\n\r\n"),
        broken("lf ends the body", "5\r\nhello\r\n0\r\n\n"),
        broken("a request in place of the end", "5\r\nhello\r\n0\r\n"),
        broken("folded trailer", "0\r\nX: 1\r\n 2\r\n\r\n"),
        broken("trailer with nul", "0\r\nX: a\0b\r\n\r\n"),
        broken("trailer with a bare lf", "0\r\nX: a\nY: b\r\n\r\n"),
        broken("trailer with a bare cr", "0\r\nX: a\rY: b\r\n\r\n"),
        broken("long trailers", &format!("0\r\n{}\r\n", "X: 1\r\n".repeat(6000))),
        row("no last chunk", chunks("5\r\nhello\r\n"), Unfinished),
        row("no end after the last chunk", chunks("5\r\nhello\r\n0\r\n"), Unfinished),
        row("half an end after the last chunk", chunks("5\r\nhello\r\n0\r\n\r"), Unfinished),
        row("half a chunk", chunks("5\r\nhel"), Unfinished),
        row("no chunks at all", POST.to_owned() + "Transfer-Encoding: chunked\r\n\r\n", Unfinished),
    ])
    .await;
}
