use std::ops::Range;

use bytes::Bytes;
use proptest::prelude::*;

use super::{RequestHead, ResponseHead, range::*};

const LAST_MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const A_SECOND_LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn request(fields: &str) -> RequestHead {
    let end = if fields.is_empty() { "" } else { "\r\n" };
    RequestHead::for_tests(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}{end}\r\n"))
}

/// What a request with these field lines is answered with.
fn asked(fields: &str, length: u64) -> Ranged {
    of(&request(fields), length)
}

fn single(range: Range<u64>) -> Ranged {
    Ranged::Single(range)
}

fn multiple<const N: usize>(ranges: [Range<u64>; N]) -> Ranged {
    Ranged::Multiple(ranges.to_vec())
}

macro_rules! ranges {
    ($($name:ident: $value:expr, $length:expr => $expected:expr;)+) => {
        $(#[test] fn $name() { assert_eq!(asked(&format!("Range: {}", $value), $length), $expected); })+
    };
}

ranges! {
    // RFC 9110 §14.1.2: the RFC's own examples.
    first_500: "bytes=0-499", 10_000 => single(0..500);
    second_500: "bytes=500-999", 10_000 => single(500..1000);
    last_500: "bytes=-500", 10_000 => single(9500..10_000);
    from_9500: "bytes=9500-", 10_000 => single(9500..10_000);
    first_and_last_byte: "bytes=0-0,-1", 10_000 => multiple([0..1, 9999..10_000]);
    first_middle_last: "bytes= 0-999, 4500-5499, -1000", 10_000 => multiple([0..1000, 4500..5500, 9000..10_000]);
    adjacent: "bytes=500-600,601-999", 10_000 => single(500..1000);
    overlapping: "bytes=500-700,601-999", 10_000 => single(500..1000);
    // RFC 9110 §14.1.2: a last position beyond the end means the end.
    last_beyond_the_end: "bytes=5-99", 10 => single(5..10);
    the_whole_as_a_part: "bytes=0-", 10 => single(0..10);
    suffix_longer_than_all: "bytes=-99", 10 => single(0..10);
    // RFC 9110 §14.1.2: satisfiable or not.
    first_at_the_end: "bytes=10-", 10 => Ranged::Unsatisfiable;
    first_beyond_the_end: "bytes=10-20", 10 => Ranged::Unsatisfiable;
    empty_suffix: "bytes=-0", 10 => Ranged::Unsatisfiable;
    all_unsatisfiable: "bytes=10-, 20-30, -0", 10 => Ranged::Unsatisfiable;
    unsatisfiable_ones_are_dropped: "bytes=20-30, 0-1, -0, 4-5", 10 => multiple([0..2, 4..6]);
    one_is_satisfiable: "bytes=20-30, 0-1", 10 => single(0..2);
    nothing_there: "bytes=0-", 0 => Ranged::Unsatisfiable;
    nothing_there_and_no_suffix: "bytes=-0", 0 => Ranged::Unsatisfiable;
    suffix_of_nothing: "bytes=-5", 0 => Ranged::Whole;
    // RFC 9110 §14.1.2: numbers may be large.
    last_overflows: "bytes=5-99999999999999999999999999", 10 => single(5..10);
    first_overflows: "bytes=99999999999999999999999999-", 10 => Ranged::Unsatisfiable;
    suffix_overflows: "bytes=-99999999999999999999999999", 10 => single(0..10);
    largest_numbers: "bytes=18446744073709551615-18446744073709551615", u64::MAX => Ranged::Unsatisfiable;
    largest_length: "bytes=1-18446744073709551615", u64::MAX => single(1..u64::MAX);
    leading_zeros: "bytes=0005-0009", 10 => single(5..10);
    // RFC 9110 §14.1, §14.2: the unit.
    unit_in_any_case: "BYTES=0-4", 10 => single(0..5);
    unknown_unit: "seconds=0-4", 10 => Ranged::Whole;
    no_unit: "0-4", 10 => Ranged::Whole;
    space_before_equals: "bytes =0-4", 10 => Ranged::Whole;
    // RFC 9110 §14.1.1: one invalid member makes the set invalid; §14.2: an invalid one is ignored.
    first_after_last: "bytes=5-4", 10 => Ranged::Whole;
    one_of_two_invalid: "bytes=0-1, 5-4", 10 => Ranged::Whole;
    invalid_beyond_the_end: "bytes=30-20", 10 => Ranged::Whole;
    no_member: "bytes=", 10 => Ranged::Whole;
    only_empty_members: "bytes= , ,", 10 => Ranged::Whole;
    a_dash: "bytes=-", 10 => Ranged::Whole;
    no_dash: "bytes=5", 10 => Ranged::Whole;
    two_dashes: "bytes=--5", 10 => Ranged::Whole;
    three_positions: "bytes=1-2-3", 10 => Ranged::Whole;
    letters: "bytes=a-b", 10 => Ranged::Whole;
    a_sign: "bytes=+1-2", 10 => Ranged::Whole;
    space_inside: "bytes=1 - 2", 10 => Ranged::Whole;
    a_fraction: "bytes=1.5-2", 10 => Ranged::Whole;
    // RFC 9110 §5.6.1.2: white space and empty members of a list.
    space_around_members: "bytes=\t0-1 ,\t4-5 ", 10 => multiple([0..2, 4..6]);
    empty_members: "bytes=,0-1,,4-5,", 10 => multiple([0..2, 4..6]);
    // RFC 9110 §15.3.7.2: the order of the request.
    order_of_the_request: "bytes=8-9, 0-1", 10 => multiple([8..10, 0..2]);
    place_of_the_first: "bytes=6-7, 0-1, 8-9", 10 => multiple([6..10, 0..2]);
    a_bridge: "bytes=6-7, 0-1, 2-5", 10 => single(0..8);
    the_same_twice: "bytes=2-3, 2-3", 10 => single(2..4);
    one_inside_another: "bytes=1-8, 2-3", 10 => single(1..9);
    // RFC 9110 §14.2, §17.15: what looks like an attack.
    more_than_is_there: "bytes=0-, 0-", 10 => Ranged::Whole;
    as_much_as_is_there: "bytes=0-4, 0-4", 10 => single(0..5);
}

#[test]
fn at_most_16_ranges() {
    let many = |count: u64| (0..count).map(|at| format!("{0}-{0},", at * 2)).collect::<String>();
    assert!(
        matches!(asked(&format!("Range: bytes={}", many(16)), 100), Ranged::Multiple(ranges) if ranges.len() == 16)
    );
    assert_eq!(asked(&format!("Range: bytes={}", many(17)), 100), Ranged::Whole);
}

#[test]
fn one_line_or_none() {
    assert_eq!(asked("", 10), Ranged::Whole);
    // RFC 9110 §5.3: Range is no list field, so that two lines are malformed.
    assert_eq!(asked("Range: bytes=0-1\r\nRange: bytes=0-1", 10), Ranged::Whole);
}

/// Whether If-Range holds for a response with these fields.
fn holds(if_range: &str, etag: Option<&str>, last_modified: Option<&str>, date: Option<&str>) -> bool {
    let [etag, last_modified, date] = [etag, last_modified, date].map(|field| field.map(str::as_bytes));
    if_range_holds(&request(if_range), etag, last_modified, date)
}

macro_rules! if_range {
    ($($name:ident: $fields:expr, $etag:expr, $modified:expr, $date:expr => $expected:expr;)+) => {
        $(#[test] fn $name() { assert_eq!(holds($fields, $etag, $modified, $date), $expected); })+
    };
}

const BY_DATE: &str = "If-Range: Sun, 06 Nov 1994 08:49:37 GMT";

if_range! {
    // RFC 9110 §13.1.5: entity tags, by strong comparison (§8.8.3.2).
    no_if_range: "", None, None, None => true;
    same_tag: "If-Range: \"a\"", Some("\"a\""), None, None => true;
    empty_tag: "If-Range: \"\"", Some("\"\""), None, None => true;
    other_tag: "If-Range: \"b\"", Some("\"a\""), None, None => false;
    no_tag_there: "If-Range: \"a\"", None, Some(LAST_MODIFIED), Some(A_SECOND_LATER) => false;
    weak_against_strong: "If-Range: W/\"a\"", Some("\"a\""), None, None => false;
    strong_against_weak: "If-Range: \"a\"", Some("W/\"a\""), None, None => false;
    weak_against_weak: "If-Range: W/\"a\"", Some("W/\"a\""), None, None => false;
    list_of_tags: "If-Range: \"a\", \"b\"", Some("\"a\", \"b\""), None, None => false;
    unclosed_tag: "If-Range: \"", Some("\""), None, None => false;
    unquoted_tag: "If-Range: a", Some("a"), None, None => false;
    two_lines: "If-Range: \"a\"\r\nIf-Range: \"a\"", Some("\"a\""), None, None => false;
    empty_if_range: "If-Range:", Some(""), None, None => false;
    star_is_no_validator: "If-Range: *", Some("\"a\""), None, None => false;
    // RFC 9110 §13.1.5: dates, by exact match, when strong (§8.8.2.2).
    strong_date: BY_DATE, None, Some(LAST_MODIFIED), Some(A_SECOND_LATER) => true;
    same_second: BY_DATE, None, Some(LAST_MODIFIED), Some(LAST_MODIFIED) => false;
    modified_after_date: BY_DATE, None, Some(LAST_MODIFIED), Some("Sun, 06 Nov 1994 08:49:36 GMT") => false;
    no_date: BY_DATE, None, Some(LAST_MODIFIED), None => false;
    bad_date: BY_DATE, None, Some(LAST_MODIFIED), Some("soon") => false;
    no_last_modified: BY_DATE, None, None, Some(A_SECOND_LATER) => false;
    bad_last_modified: BY_DATE, None, Some("soon"), Some(A_SECOND_LATER) => false;
    modified_earlier: BY_DATE, None, Some("Sun, 06 Nov 1994 08:49:36 GMT"), Some(A_SECOND_LATER) => false;
    modified_later: BY_DATE, None, Some(A_SECOND_LATER), Some("Mon, 07 Nov 1994 08:49:37 GMT") => false;
    other_form_of_the_date: "If-Range: Sun Nov  6 08:49:37 1994", None, Some(LAST_MODIFIED), Some(A_SECOND_LATER) => true;
    nonsense: "If-Range: soon", None, Some("soon"), Some(A_SECOND_LATER) => false;
}

#[test]
fn content_ranges() {
    // RFC 9110 §14.4: the RFC's own examples.
    assert_eq!(content_range(&(0..500), 1234), "bytes 0-499/1234");
    assert_eq!(content_range(&(734..1234), 1234), "bytes 734-1233/1234");
    assert_eq!(unsatisfied_range(1234), "bytes */1234");
}

#[test]
fn parts_of_a_multipart() {
    let body = Bytes::from_static(b"0123456789");
    let (content_type, content) = multipart(&body, &[8..10, 0..1], Some(b"text/plain"), 0xab);
    let boundary = "000000000000000000000000000000ab";
    assert_eq!(content_type, format!("multipart/byteranges; boundary={boundary}"));
    let expected = format!(
        "--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n\
         --{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/10\r\n\r\n0\r\n\
         --{boundary}--\r\n"
    );
    assert_eq!(content, expected);
}

#[test]
fn parts_without_a_type_have_none() {
    let (_, content) = multipart(&Bytes::from_static(b"0123456789"), &[0..1, 4..5], None, 0);
    assert!(memchr::memmem::find(&content, b"Content-Type").is_none());
}

#[test]
fn a_boundary_does_not_occur_in_a_part() {
    // One part holds the seed's boundary, the other the next one.
    let body = Bytes::from(format!("{:032x}-{:032x}", u128::MAX, 0));
    let (content_type, _) = multipart(&body, &[0..32, 33..65], None, u128::MAX);
    assert_eq!(content_type, format!("multipart/byteranges; boundary={:032x}", 1));
}

#[test]
fn a_range_that_is_not_there_is_left_out() {
    let (_, content) = multipart(&Bytes::from_static(b"0123456789"), &[0..1, 5..11, 20..u64::MAX], None, 0);
    assert_eq!(memchr::memmem::find_iter(&content, b"Content-Range").count(), 1);
}

proptest! {
    #[test]
    fn what_is_answered_lies_within_and_is_what_was_asked(
        specs in proptest::collection::vec((0u64..60, 0u64..8), 1..20), length in 1u64..60,
    ) {
        let field: Vec<String> = specs.iter().map(|(first, more)| format!("{first}-{}", first + more)).collect();
        let answered = match asked(&format!("Range: bytes={}", field.join(",")), length) {
            Ranged::Whole => return Ok(()),
            Ranged::Unsatisfiable => Vec::new(),
            Ranged::Single(range) => vec![range],
            Ranged::Multiple(ranges) => {
                prop_assert!((2..=MAX_RANGES).contains(&ranges.len()));
                ranges
            }
        };
        for at in 0..length + 10 {
            let is_asked = at < length && specs.iter().any(|(first, more)| (*first..=first + more).contains(&at));
            let times = answered.iter().filter(|range| range.contains(&at)).count();
            prop_assert_eq!(times, usize::from(is_asked), "byte {} of {:?}", at, answered);
        }
    }

    #[test]
    fn foreign_bytes_do_not_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..40), near in "bytes=[-0-9, ]{0,30}", length in any::<u64>(),
    ) {
        for value in [&bytes, near.as_bytes()] {
            // Built, not parsed: a parser lets fewer bytes through.
            let request = ResponseHead::build(200, "").field(b"Range", value).field(b"If-Range", value).finish();
            let _ = of(&request, length);
            let _ = if_range_holds(&request, Some(&bytes), Some(&bytes), Some(&bytes));
        }
    }

    #[test]
    fn foreign_bodies_and_ranges_do_not_panic(
        body in proptest::collection::vec(any::<u8>(), 0..100),
        ranges in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..4),
        seed in any::<u128>(),
    ) {
        let ranges: Vec<Range<u64>> = ranges.into_iter().map(|(start, end)| start % 128..end % 128).collect();
        let _ = multipart(&body.into(), &ranges, Some(b"a/b"), seed);
    }
}
