//! One line per rule of the front door.

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    Fields,
    refusal::{Limits, Refusal},
    request::{Framing, RequestHead, Version, find_end},
};

fn parse(text: &str) -> Result<RequestHead, Refusal> {
    RequestHead::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
}

/// A GET with these field lines after its Host.
fn with(fields: &str) -> Result<RequestHead, Refusal> {
    parse(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

fn to(target: &str) -> Result<RequestHead, Refusal> {
    parse(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

macro_rules! refused {
    ($($name:ident: $head:expr => $status:expr;)+) => {
        $(#[test] fn $name() {
            let refusal = $head.expect_err("must be refused");
            assert_eq!(refusal.status(), $status, "{}", refusal.reason());
        })+
    };
}

refused! {
    // RFC 9112 §3.2: exactly one Host, and a valid one.
    no_host: parse("GET / HTTP/1.1\r\n\r\n") => 400;
    two_hosts: with("Host: b\r\n") => 400;
    two_equal_hosts: with("Host: a\r\n") => 400;
    empty_host: parse("GET / HTTP/1.1\r\nHost:\r\n\r\n") => 400;
    host_with_space: parse("GET / HTTP/1.1\r\nHost: a b\r\n\r\n") => 400;
    host_with_slash: parse("GET / HTTP/1.1\r\nHost: a/x\r\n\r\n") => 400;
    host_with_quote: parse("GET / HTTP/1.1\r\nHost: a\"\r\n\r\n") => 400;
    host_with_bracket: parse("GET / HTTP/1.1\r\nHost: <a>\r\n\r\n") => 400;
    host_with_userinfo: parse("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n") => 400;
    host_with_comma: parse("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n") => 400;
    host_with_port_of_letters: parse("GET / HTTP/1.1\r\nHost: a:x\r\n\r\n") => 400;
    host_with_port_too_high: parse("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n") => 400;
    host_with_open_bracket: parse("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n") => 400;
    // RFC 9112 §6.2, §6.3: one length, and of digits only.
    two_lengths: with("Content-Length: 5\r\nContent-Length: 5\r\n") => 400;
    list_of_lengths: with("Content-Length: 5, 5\r\n") => 400;
    negative_length: with("Content-Length: -5\r\n") => 400;
    signed_length: with("Content-Length: +5\r\n") => 400;
    hex_length: with("Content-Length: 0x5\r\n") => 400;
    empty_length: with("Content-Length:\r\n") => 400;
    length_beyond_all_bounds: with("Content-Length: 99999999999999999999\r\n") => 400;
    length_with_inner_space: with("Content-Length: 5 5\r\n") => 400;
    // RFC 9112 §6.1: chunked alone, in HTTP/1.1, without a length beside it.
    length_and_coding: with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") => 400;
    coding_in_http_1_0: parse("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n") => 400;
    two_coding_lines: with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") => 400;
    empty_coding: with("Transfer-Encoding:\r\n") => 400;
    gzip_then_chunked: with("Transfer-Encoding: gzip, chunked\r\n") => 501;
    chunked_twice: with("Transfer-Encoding: chunked, chunked\r\n") => 501;
    identity_coding: with("Transfer-Encoding: identity\r\n") => 501;
    misspelt_coding: with("Transfer-Encoding: xchunked\r\n") => 501;
    tab_before_coding_inside: with("Transfer-Encoding: x\tchunked\r\n") => 400;
    // RFC 9112 §5.1, §5.2: field lines.
    space_before_colon: with("X : 1\r\n") => 400;
    no_colon: with("X\r\n") => 400;
    empty_name: with(": 1\r\n") => 400;
    folded_line: with("X: 1\r\n 2\r\n") => 400;
    folded_first_line: parse("GET / HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n") => 400;
    control_byte_in_value: with("X: a\u{1}b\r\n") => 400;
    nul_in_value: with("X: a\0b\r\n") => 400;
    delete_in_value: with("X: a\u{7f}b\r\n") => 400;
    bare_cr_in_value: with("X: a\rb\r\n") => 400;
    control_byte_in_name: with("X\u{1}: a\r\n") => 400;
    not_a_token_in_name: with("X(: a\r\n") => 400;
    // RFC 9112 §3: the request line.
    version_0_9: parse("GET /\r\n\r\n") => 400;
    version_2_0: parse("GET / HTTP/2.0\r\nHost: a\r\n\r\n") => 505;
    version_1_2: parse("GET / HTTP/1.2\r\nHost: a\r\n\r\n") => 505;
    version_misspelt: parse("GET / HTPT/1.1\r\nHost: a\r\n\r\n") => 400;
    lower_case_version: parse("GET / http/1.1\r\nHost: a\r\n\r\n") => 400;
    two_spaces: parse("GET  / HTTP/1.1\r\nHost: a\r\n\r\n") => 400;
    method_not_a_token: parse("G(T / HTTP/1.1\r\nHost: a\r\n\r\n") => 400;
    connect: parse("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n") => 501;
    fragment_in_target: to("/a#b") => 400;
    relative_target: to("a/b") => 400;
    star_for_get: to("*") => 400;
    another_scheme: to("ftp://a/") => 400;
    empty_authority: to("http:///x") => 400;
    userinfo_in_target: to("http://u:p@a/") => 400;
    control_byte_in_target: to("/a\u{1}") => 400;
    delete_in_target: to("/a\u{7f}") => 400;
    // RFC 9110 §7.6.1 and §10.1.1.
    connection_names_host: with("Connection: host\r\n") => 400;
    connection_names_cookie: with("Connection: close, Cookie\r\n") => 400;
    connection_names_forwarding: with("Connection: X-Forwarded-For\r\n") => 400;
    unknown_expectation: with("Expect: 200-ok\r\n") => 417;
    target_too_long: to(&format!("/{}", "a".repeat(8 << 10))) => 414;
    too_many_fields: with(&"X: 1\r\n".repeat(200)) => 431;
}

#[test]
fn fields_keep_case_order_and_bytes() {
    let head = with("X-One:  a \r\nx-two: \u{e9}\r\n").unwrap();
    let fields: Vec<_> = head.fields().collect();
    assert_eq!(fields, [(b"Host".as_slice(), b"a".as_slice()), (b"X-One", b"a"), (b"x-two", "\u{e9}".as_bytes())]);
}

#[test]
fn absolute_form_becomes_origin_form_and_its_authority_wins() {
    for (target, expected) in [("http://b:81/x?y", "/x?y"), ("HTTP://b:81", "/"), ("https://b:81?y=/", "/?y=/")] {
        let head = to(target).unwrap();
        assert_eq!((head.target.as_ref(), head.host.as_ref()), (expected.as_bytes(), b"b:81".as_slice()), "{target}");
    }
}

#[test]
fn targets_that_browsers_send_are_kept_byte_for_byte() {
    for target in ["/a|b\"?{c}^`d`\\[]", "/%7e/../x//y", "/\u{e9}?\u{e9}", "/?a=b?c"] {
        assert_eq!(to(target).unwrap().target.as_ref(), target.as_bytes(), "{target}");
    }
}

#[test]
fn targets_that_cannot_be_sent_on_are_refused() {
    for target in ["/<b>", "/?a=<b", "/?a=\"b\"", "/a`b", "http://b/<"] {
        assert_eq!(to(target).unwrap_err().status(), 400, "{target}");
    }
}

#[test]
fn framing_of_bodies() {
    for (fields, framing) in [
        ("", Framing::None),
        ("Content-Length: 0\r\n", Framing::None),
        ("Content-Length: 007\r\n", Framing::Length(7)),
        ("Transfer-Encoding: Chunked\r\n", Framing::Chunked),
    ] {
        assert_eq!(with(fields).unwrap().framing, framing, "{fields}");
    }
}

#[test]
fn the_connection_goes_on_by_version_and_option() {
    for (line, option, expected) in [
        ("HTTP/1.1", "", true),
        ("HTTP/1.1", "Connection: Close\r\n", false),
        ("HTTP/1.1", "Connection: x, close\r\n", false),
        ("HTTP/1.0", "", false),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", true),
    ] {
        let head = parse(&format!("GET / {line}\r\nHost: a\r\n{option}\r\n")).unwrap();
        assert_eq!(head.keeps_alive(), expected, "{line} {option}");
    }
}

#[test]
fn http_1_0_needs_no_host() {
    let head = parse("GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!((head.version, head.host.as_ref()), (Version::Http10, b"".as_slice()));
}

#[test]
fn h2_takes_host_from_authority_and_refuses_a_second_opinion() {
    let build = |authority: Option<&[u8]>, fields: &[(&'static str, &'static str)]| {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        RequestHead::from_h2(http::Method::GET, b"/x", authority, fields, false, &Limits::default())
    };
    assert_eq!(build(Some(b"a"), &[]).unwrap().host.as_ref(), b"a");
    assert_eq!(build(Some(b"a"), &[("host", "A")]).unwrap().all("host").count(), 1);
    assert_eq!(build(None, &[("host", "b")]).unwrap().host.as_ref(), b"b");
    assert_eq!(build(Some(b"a"), &[("host", "b")]).unwrap_err().status(), 400);
    assert_eq!(build(None, &[]).unwrap_err().status(), 400);
    assert_eq!(build(Some(b"a"), &[("transfer-encoding", "chunked")]).unwrap_err().status(), 400);
}

#[test]
fn the_end_of_a_head_is_found_wherever_it_is_cut() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
    let end = head.len() - 4;
    for cut in 0..head.len() {
        let found = find_end(&head[..cut], 0, &Limits::default()).unwrap();
        assert_eq!(found, (cut >= end).then_some(end), "cut at {cut}");
    }
    for seen in 0..end {
        // A caller may have looked at any part of it before.
        assert_eq!(find_end(head, seen.min(end - 1), &Limits::default()).unwrap(), Some(end), "seen {seen}");
    }
}

#[test]
fn heads_are_refused_while_they_arrive() {
    let limits = Limits { max_header_bytes: 1000, max_headers: 10, max_target_bytes: 100 };
    assert_eq!(find_end(b"GET / HTTP/1.1\nHost", 0, &limits).unwrap_err().status(), 400);
    assert_eq!(find_end(&[b'a'; 200], 0, &limits).unwrap_err().status(), 414);
    let long = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'a'; 1000]].concat();
    assert_eq!(find_end(&long, 0, &limits).unwrap_err().status(), 431);
}

proptest! {
    #[test]
    fn no_bytes_panic_and_what_passes_reads_the_same_when_written_again(
        line in "(GET|POST|OPTIONS) [ -~]{0,12} HTTP/1\\.[01]",
        fields in proptest::collection::vec("(Host|Content-Length|Transfer-Encoding|Connection|X-[a-z]{1,3}):[ -~\\t]{0,12}", 0..6),
    ) {
        let text = format!("{line}\r\n{}\r\n\r\n", fields.join("\r\n"));
        if let Ok(head) = parse(&text) {
            let mut written = Vec::new();
            head.write_to(&mut written);
            let again = RequestHead::parse(written.into(), &Limits::default()).expect("what we write, we read");
            prop_assert_eq!(&again.method, &head.method);
            prop_assert_eq!(&again.target, &head.target);
            prop_assert_eq!(&again.host, &head.host);
            prop_assert_eq!(again.framing, head.framing);
            prop_assert!(again.fields().filter(|(name, _)| !name.eq_ignore_ascii_case(b"host"))
                .eq(head.fields().filter(|(name, _)| !name.eq_ignore_ascii_case(b"host"))));
        }
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = find_end(&bytes, 0, &Limits::default());
        let _ = RequestHead::parse(bytes.into(), &Limits::default());
    }
}
