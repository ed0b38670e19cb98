use super::{Settings, eligible::*};
use crate::{
    header::{
        RequestHead, ResponseHead,
        accept_encoding::Accepted,
        coding::Coding::{self, Br, Deflate, Gzip, Zstd},
    },
    route::Policy,
};

/// A response of these lines: a status, which is 200 if there is none, and fields.
fn response(lines: &str) -> ResponseHead {
    let (status, fields) = match lines.split_once('\n').unwrap_or((lines, "")) {
        (first, rest) if first.parse::<u16>().is_ok() => (first.parse().unwrap(), rest),
        _ => (200, lines),
    };
    ResponseHead::for_tests(status, &fields.replace('\n', "\r\n"))
}

fn request(lines: &str) -> RequestHead {
    let (version, fields) = match lines.strip_prefix("HTTP/1.0\n") {
        Some(fields) => ("HTTP/1.0", fields),
        None => ("HTTP/1.1", lines),
    };
    let fields: String = fields.lines().map(|line| format!("{line}\r\n")).collect();
    RequestHead::for_tests(&format!("GET / {version}\r\nHost: a\r\n{fields}\r\n"))
}

const TO_ALL: fn(&mut Policy, &mut Settings) = |_, _| {};
const ROUTE_OFF: fn(&mut Policy, &mut Settings) = |policy, _| policy.compress = false;
const NO_CODINGS: fn(&mut Policy, &mut Settings) = |_, settings| settings.codings.clear();
const ANY_SIZE: fn(&mut Policy, &mut Settings) = |_, settings| settings.min_bytes = 0;
const SKIP_PRIVATE: fn(&mut Policy, &mut Settings) = |_, settings| settings.skip_private = true;
const STREAMS_LISTED: fn(&mut Policy, &mut Settings) =
    |_, settings| settings.types.extend(["text/event-stream".into(), "application/grpc".into(), "*+proto".into()]);
const NO_TYPES: fn(&mut Policy, &mut Settings) = |_, settings| settings.types.clear();

macro_rules! codable {
    ($($name:ident: $lines:literal, $length:expr, $with:ident => $expected:expr;)+) => {
        $(#[test] fn $name() {
            let (mut policy, mut settings) = (Policy::default(), Settings::default());
            $with(&mut policy, &mut settings);
            assert_eq!(codable(&response($lines), $length, &policy, &settings), $expected);
        })+
    };
}

/// Long enough.
const LONG: Option<u64> = Some(10_000);

codable! {
    a_page: "Content-Type: text/html", LONG, TO_ALL => Ok(());
    // What the operator says.
    route_says_no: "Content-Type: text/html", LONG, ROUTE_OFF => Err(Skip::Route);
    no_coding_on_offer: "Content-Type: text/html", LONG, NO_CODINGS => Err(Skip::Off);
    no_type_listed: "Content-Type: text/html", LONG, NO_TYPES => Err(Skip::Type);
    // RFC 9110 §15: no content, or a part of one.
    status_103: "103\nContent-Type: text/html", LONG, TO_ALL => Err(Skip::Status);
    status_204: "204\nContent-Type: text/html", LONG, TO_ALL => Err(Skip::Status);
    status_205: "205\nContent-Type: text/html", LONG, TO_ALL => Err(Skip::Status);
    status_206: "206\nContent-Type: text/html\nContent-Range: bytes 0-999/10000", LONG, TO_ALL => Err(Skip::Status);
    status_304: "304\nContent-Type: text/html", LONG, TO_ALL => Err(Skip::Status);
    status_201: "201\nContent-Type: text/html", LONG, TO_ALL => Ok(());
    status_203: "203\nContent-Type: text/html", LONG, TO_ALL => Ok(());
    status_301: "301\nContent-Type: text/html", LONG, TO_ALL => Ok(());
    status_404: "404\nContent-Type: text/html", LONG, TO_ALL => Ok(());
    status_500: "500\nContent-Type: text/html", LONG, TO_ALL => Ok(());
    // RFC 9110 §8.4: not coded twice.
    coded_by_the_app: "Content-Type: text/html\nContent-Encoding: gzip", LONG, TO_ALL => Err(Skip::Coded);
    coded_in_another_way: "Content-Type: text/html\nContent-Encoding: aws-chunked", LONG, TO_ALL => Err(Skip::Coded);
    coded_after_identity: "Content-Type: text/html\nContent-Encoding: identity, br", LONG, TO_ALL => Err(Skip::Coded);
    coded_in_a_second_line: "Content-Type: text/html\nContent-Encoding: identity\nContent-Encoding: br", LONG, TO_ALL => Err(Skip::Coded);
    coded_in_nonsense: "Content-Type: text/html\nContent-Encoding: ?;", LONG, TO_ALL => Err(Skip::Coded);
    identity_is_no_coding: "Content-Type: text/html\nContent-Encoding: Identity", LONG, TO_ALL => Ok(());
    empty_is_no_coding: "Content-Type: text/html\nContent-Encoding:", LONG, TO_ALL => Ok(());
    // RFC 9110 §14.4: a part, whatever the status says.
    part_of_a_200: "Content-Type: text/html\nContent-Range: bytes 0-999/10000", LONG, TO_ALL => Err(Skip::ContentRange);
    // RFC 9111 §5.2.2.6.
    no_transform: "Content-Type: text/html\nCache-Control: no-transform", LONG, TO_ALL => Err(Skip::NoTransform);
    no_transform_in_a_list: "Content-Type: text/html\nCache-Control: max-age=60,No-Transform", LONG, TO_ALL => Err(Skip::NoTransform);
    no_transform_in_a_second_line: "Content-Type: text/html\nCache-Control: public\ncache-control: no-transform", LONG, TO_ALL => Err(Skip::NoTransform);
    no_transform_in_quotes: "Content-Type: text/html\nCache-Control: x=\"no-transform\"", LONG, TO_ALL => Ok(());
    no_transform_elsewhere: "Content-Type: text/html\nX-Cache-Control: no-transform", LONG, TO_ALL => Ok(());
    // RFC 9110 §8.3.1: types without their parameters, in any case.
    no_type: "", LONG, TO_ALL => Err(Skip::Type);
    empty_type: "Content-Type:", LONG, TO_ALL => Err(Skip::Type);
    with_parameters: "Content-Type: text/html;charset=utf-8", LONG, TO_ALL => Ok(());
    with_spaces: "Content-Type: application/json ; charset=utf-8", LONG, TO_ALL => Ok(());
    in_any_case: "Content-Type: APPLICATION/Json", LONG, TO_ALL => Ok(());
    any_text: "Content-Type: text/x-unheard-of", LONG, TO_ALL => Ok(());
    type_but_no_subtype: "Content-Type: text", LONG, TO_ALL => Err(Skip::Type);
    empty_subtype: "Content-Type: text/", LONG, TO_ALL => Err(Skip::Type);
    beginning_of_a_type: "Content-Type: textual/html", LONG, TO_ALL => Err(Skip::Type);
    end_of_a_type: "Content-Type: x-text/html", LONG, TO_ALL => Err(Skip::Type);
    beginning_of_a_subtype: "Content-Type: application/json5", LONG, TO_ALL => Err(Skip::Type);
    type_in_a_parameter: "Content-Type: image/png; a=text/html", LONG, TO_ALL => Err(Skip::Type);
    picture: "Content-Type: image/png", LONG, TO_ALL => Err(Skip::Type);
    film: "Content-Type: video/mp4", LONG, TO_ALL => Err(Skip::Type);
    archive: "Content-Type: application/zip", LONG, TO_ALL => Err(Skip::Type);
    bytes: "Content-Type: application/octet-stream", LONG, TO_ALL => Err(Skip::Type);
    compressed_font: "Content-Type: font/woff2", LONG, TO_ALL => Err(Skip::Type);
    font: "Content-Type: font/ttf", LONG, TO_ALL => Ok(());
    script: "Content-Type: application/javascript", LONG, TO_ALL => Ok(());
    wasm: "Content-Type: application/wasm", LONG, TO_ALL => Ok(());
    // RFC 6839: suffixes.
    json_by_suffix: "Content-Type: application/problem+json", LONG, TO_ALL => Ok(());
    suffix_in_any_case: "Content-Type: application/ld+JSON; a=b", LONG, TO_ALL => Ok(());
    svg: "Content-Type: image/svg+xml", LONG, TO_ALL => Ok(());
    suffix_without_plus: "Content-Type: application/notjson", LONG, TO_ALL => Err(Skip::Type);
    nothing_before_the_suffix: "Content-Type: application/+json", LONG, TO_ALL => Err(Skip::Type);
    suffix_within: "Content-Type: application/a+json+zip", LONG, TO_ALL => Err(Skip::Type);
    // Streams, also where the list has them.
    event_stream: "Content-Type: text/event-stream", LONG, TO_ALL => Err(Skip::Type);
    event_stream_listed: "Content-Type: Text/Event-Stream; charset=utf-8", None, STREAMS_LISTED => Err(Skip::Type);
    grpc_listed: "Content-Type: application/grpc", None, STREAMS_LISTED => Err(Skip::Type);
    grpc_by_suffix: "Content-Type: application/grpc+proto", None, STREAMS_LISTED => Err(Skip::Type);
    grpc_as_json: "Content-Type: application/grpc-web+json", None, TO_ALL => Err(Skip::Type);
    not_grpc: "Content-Type: application/x+proto", None, STREAMS_LISTED => Ok(());
    // Content-Type is one line (RFC 9110 §5.3); of more, each must do.
    two_types: "Content-Type: text/html\nContent-Type: application/json", LONG, TO_ALL => Ok(());
    the_last_is_not_listed: "Content-Type: text/html\nContent-Type: image/png", LONG, TO_ALL => Err(Skip::Type);
    the_first_is_not_listed: "Content-Type: image/png\nContent-Type: text/html", LONG, TO_ALL => Err(Skip::Type);
    the_last_is_a_stream: "Content-Type: text/html\nContent-Type: text/event-stream", LONG, TO_ALL => Err(Skip::Type);
    two_types_in_one_line: "Content-Type: text/html, text/event-stream", LONG, TO_ALL => Err(Skip::Type);
    // Sizes.
    one_byte_short: "Content-Type: text/html", Some(499), TO_ALL => Err(Skip::TooSmall);
    just_long_enough: "Content-Type: text/html", Some(500), TO_ALL => Ok(());
    unknown_length: "Content-Type: text/html", None, TO_ALL => Ok(());
    the_field_does_not_count: "Content-Type: text/html\nContent-Length: 3", LONG, TO_ALL => Ok(());
    empty_body: "Content-Type: text/html", Some(0), ANY_SIZE => Err(Skip::TooSmall);
    one_byte_of_any_size: "Content-Type: text/html", Some(1), ANY_SIZE => Ok(());
    // BREACH.
    sets_a_cookie: "Content-Type: text/html\nSet-Cookie: a=b", LONG, TO_ALL => Ok(());
    sets_a_cookie_and_is_skipped: "Content-Type: text/html\nSet-Cookie: a=b", LONG, SKIP_PRIVATE => Err(Skip::Private);
    private: "Content-Type: text/html\nCache-Control: private", LONG, TO_ALL => Ok(());
    private_and_skipped: "Content-Type: text/html\nCache-Control: max-age=60, Private", LONG, SKIP_PRIVATE => Err(Skip::Private);
    private_field_and_skipped: "Content-Type: text/html\nCache-Control: private=\"x\"", LONG, SKIP_PRIVATE => Err(Skip::Private);
    everybodys: "Content-Type: text/html\nCache-Control: public", LONG, SKIP_PRIVATE => Ok(());
}

macro_rules! coding_for {
    ($($name:ident: $lines:literal, $codings:expr => $expected:expr;)+) => {
        $(#[test] fn $name() {
            let settings = Settings { codings: $codings.to_vec(), ..Settings::default() };
            let request = request($lines);
            assert_eq!(coding_for(&request, &Accepted::of(&request), &settings), $expected);
        })+
    };
}

coding_for! {
    browser: "Accept-Encoding: gzip, deflate, br, zstd", Coding::ALL => Ok(Zstd);
    by_the_order_of_the_settings: "Accept-Encoding: gzip, deflate, br, zstd", [Br, Gzip] => Ok(Br);
    by_weight: "Accept-Encoding: br;q=0.2, gzip;q=0.8", [Br, Gzip] => Ok(Gzip);
    nothing_asked_for: "", Coding::ALL => Err(Skip::NotAccepted);
    empty: "Accept-Encoding:", Coding::ALL => Err(Skip::NotAccepted);
    none_of_ours: "Accept-Encoding: gzip", [Br] => Err(Skip::NotAccepted);
    identity_wanted_more: "Accept-Encoding: identity, gzip;q=0.5", Coding::ALL => Err(Skip::NotAccepted);
    // RFC 9110 §12.5.3: identity is sent nevertheless.
    nothing_at_all: "Accept-Encoding: identity;q=0, *;q=0", Coding::ALL => Err(Skip::Unacceptable);
    none_of_ours_nor_identity: "Accept-Encoding: identity;q=0, gzip", [Br] => Err(Skip::Unacceptable);
    old_protocol: "HTTP/1.0\nAccept-Encoding: gzip", Coding::ALL => Err(Skip::Http10);
    range: "Accept-Encoding: gzip\nRange: bytes=0-9", Coding::ALL => Err(Skip::Range);
    range_in_another_unit: "Accept-Encoding: gzip\nrange: lines=1-2", Coding::ALL => Err(Skip::Range);
}

macro_rules! heads {
    ($edit:expr; $($name:ident: $before:literal => $after:literal;)+) => {
        $(#[test] fn $name() {
            let edit: fn(&ResponseHead) -> ResponseHead = $edit;
            let (edited, expected) = (edit(&response($before)), response($after));
            assert_eq!(edited.bytes(), expected.bytes());
        })+
    };
}

mod coded {
    use super::*;

    heads! {
        |head| coded_head(head, Br, Some(77));
        length_is_replaced: "Content-Length: 500\nX: 1" => "X: 1\nContent-Encoding: br\nContent-Length: 77\nVary: Accept-Encoding";
    }

    heads! {
        |head| coded_head(head, Gzip, None);
        length_is_removed: "content-length: 500" => "Content-Encoding: gzip\nVary: Accept-Encoding";
        status_stays: "404\nX: 1" => "404\nX: 1\nContent-Encoding: gzip\nVary: Accept-Encoding";
        identity_is_replaced: "Content-Encoding: identity\nContent-Encoding: identity" => "Content-Encoding: gzip\nVary: Accept-Encoding";
        // RFC 9110 §14.3: offsets would be those of other bytes.
        ranges_are_not_offered: "Accept-Ranges: bytes" => "Content-Encoding: gzip\nVary: Accept-Encoding";
        // RFC 9530 §2, §3 and appendix A; RFC 1864: sums of other bytes.
        digests_go: "Content-MD5: a\nDigest: b\nContent-Digest: c=:d:\nRepr-Digest: e=:f:" => "Content-Encoding: gzip\nVary: Accept-Encoding";
        wishes_for_digests_stay: "Want-Repr-Digest: a=1" => "Want-Repr-Digest: a=1\nContent-Encoding: gzip\nVary: Accept-Encoding";
        // RFC 9110 §8.8.3.3: not the same strong tag for two codings.
        tag_is_weakened: "ETag: \"a\"" => "Content-Encoding: gzip\nETag: W/\"a\"\nVary: Accept-Encoding";
        weak_tag_stays: "etag: W/\"a\"" => "Content-Encoding: gzip\nETag: W/\"a\"\nVary: Accept-Encoding";
        no_tag_goes: "ETag: a" => "Content-Encoding: gzip\nVary: Accept-Encoding";
        first_of_two_tags: "ETag: \"a\"\nETag: \"b\"" => "Content-Encoding: gzip\nETag: W/\"a\"\nVary: Accept-Encoding";
        last_modified_stays: "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT" => "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\nContent-Encoding: gzip\nVary: Accept-Encoding";
        // RFC 9110 §12.5.5.
        vary_of_others: "Vary: Cookie" => "Vary: Cookie\nContent-Encoding: gzip\nVary: Accept-Encoding";
        vary_is_there: "Vary: cookie, ACCEPT-encoding" => "Vary: cookie, ACCEPT-encoding\nContent-Encoding: gzip";
        vary_of_everything: "Vary: *" => "Vary: *\nContent-Encoding: gzip";
        the_rest_stays: "Content-Type: text/html\nSet-Cookie: a=b\nSet-Cookie: c=d\nCache-Control: max-age=5" => "Content-Type: text/html\nSet-Cookie: a=b\nSet-Cookie: c=d\nCache-Control: max-age=5\nContent-Encoding: gzip\nVary: Accept-Encoding";
    }
}

mod decoded {
    use super::*;

    heads! {
        |head| decoded_head(head, None);
        all_that_was_of_the_coding: "Content-Encoding: gzip\nContent-Length: 77\nAccept-Ranges: bytes\nContent-Digest: a=:b:\nETag: \"a\"\nX: 1" => "X: 1\nETag: W/\"a\"\nVary: Accept-Encoding";
        vary_is_there: "Content-Encoding: br\nVary: Accept-Encoding" => "Vary: Accept-Encoding";
    }

    heads! {
        |head| decoded_head(head, Some(500));
        length_is_replaced: "Content-Encoding: br\nContent-Length: 77" => "Content-Length: 500\nVary: Accept-Encoding";
    }
}

/// RFC 9110 §12.5.5 and §5.6.1.
#[test]
fn vary_is_added_where_it_says_nothing_of_codings() {
    for (lines, expected) in [
        ("", true),
        ("Vary:", true),
        ("Vary: Accept", true),
        ("Vary: X-Accept-Encoding, Accept-Encoding-X", true),
        ("Vary: Accept-Encoding", false),
        ("vary: accept-ENCODING", false),
        ("Vary: Cookie , Accept-Encoding", false),
        ("Vary: Cookie\nVary: Accept-Encoding", false),
        ("Vary: *", false),
        ("Vary: Cookie, *", false),
    ] {
        assert_eq!(vary(&response(lines)), expected, "{lines}");
    }
}

/// RFC 9110 §8.4.
#[test]
fn a_single_coding_of_ours_is_known() {
    for (lines, expected) in [
        ("", None),
        ("Content-Encoding:", None),
        ("Content-Encoding: identity", None),
        ("Content-Encoding: gzip", Some(Gzip)),
        ("Content-Encoding: X-GZip", Some(Gzip)),
        ("content-encoding: BR", Some(Br)),
        ("Content-Encoding: zstd", Some(Zstd)),
        ("Content-Encoding: deflate", Some(Deflate)),
        ("Content-Encoding: identity, gzip", Some(Gzip)),
        ("Content-Encoding: compress", None),
        ("Content-Encoding: gzip;q=1", None),
        ("Content-Encoding: gzip, br", None),
        ("Content-Encoding: gzip, compress", None),
        ("Content-Encoding: gzip\nContent-Encoding: gzip", None),
    ] {
        assert_eq!(coding_of(&response(lines)), expected, "{lines}");
    }
}

/// What is said of a coded response is what its head says.
#[test]
fn a_coded_head_is_read_as_coded() {
    for coding in Coding::ALL {
        let coded = coded_head(&response("Content-Type: text/html\nETag: \"a\""), coding, None);
        assert_eq!(coding_of(&coded), Some(coding));
        assert_eq!(codable(&coded, LONG, &Policy::default(), &Settings::default()), Err(Skip::Coded));
        assert_eq!(coding_of(&decoded_head(&coded, None)), None);
        assert!(!vary(&coded));
    }
}

#[test]
fn reasons_have_a_place_and_a_word_each() {
    for (place, skip) in Skip::ALL.into_iter().enumerate() {
        assert_eq!(skip as usize, place);
        assert_eq!(Skip::ALL.iter().filter(|other| other.name() == skip.name()).count(), 1, "{}", skip.name());
    }
}
