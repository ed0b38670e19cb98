//! Validators and the preconditions that ask for them (RFC 9110 §8.8, §13).

use super::{Fields, date, fields::trim};

/// Whether a client's precondition is met by a copy it already has, so that 304 is the answer.
///
/// `If-None-Match` counts alone when it is there (RFC 9110 §13.1.3), by weak comparison (§13.1.2).
/// `etag` and `last_modified` are the fields of the response that would be sent.
pub fn not_modified<M: Fields>(request: &M, etag: Option<&[u8]>, last_modified: Option<&[u8]>) -> bool {
    if request.has("if-none-match") {
        return request.all("if-none-match").any(|line| matches_weakly(line, etag));
    }
    let since = request.get("if-modified-since").and_then(date::parse);
    let modified = last_modified.and_then(date::parse);
    matches!((since, modified), (Some(since), Some(modified)) if modified <= since)
}

/// Whether a 304 is about this stored response, which the origin was asked to confirm (RFC 9111 §4.3.4).
///
/// A strong entity tag identifies the stored response that has the same one, strong or weak (apps that code a response
/// on the way weaken its tag, and not that of the 304), and no other; a weak one by weak comparison. Without a tag a
/// date of change must be the same. With neither, the only response that was asked for is meant.
pub fn identifies<M: Fields>(confirmed: &M, stored: &M) -> bool {
    let weak = |tag: &[u8]| tag.starts_with(b"W/");
    match (confirmed.get("etag"), stored.get("etag")) {
        (Some(said), Some(kept)) => opaque(said) == opaque(kept),
        (Some(said), None) if !weak(said) => false,
        (None, Some(_)) | (_, None) => {
            let dates = (confirmed.get("last-modified"), stored.get("last-modified"));
            !matches!(dates, (Some(said), Some(kept)) if said != kept)
        }
    }
}

/// What a request's preconditions ask of an answer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preconditions {
    /// To be as if there were none.
    Met,
    /// 304: the client has what it would be sent.
    NotModified,
    /// 412: nothing is to be done.
    Failed,
}

/// Evaluates `If-Match` and then `If-None-Match`, in the order of RFC 9110 §13.2.2, for a server of its own resources
/// that has entity tags and no dates.
///
/// `etag` is the strong tag of what is there now, `None` where nothing is.
pub fn preconditions<M: Fields>(request: &M, is_safe: bool, etag: Option<&[u8]>) -> Preconditions {
    // §13.1.1: by strong comparison, to which a weak tag is never equal; `*` is any current representation.
    let matches_strongly = |line| etag.is_some_and(|etag| trim(line) == b"*" || tags(line).any(|tag| tag == etag));
    if request.has("if-match") && !request.all("if-match").any(matches_strongly) {
        return Preconditions::Failed;
    }
    let none_match = request.all("if-none-match").any(|line| etag.is_some() && matches_weakly(line, etag));
    match (none_match, is_safe) {
        (false, _) => Preconditions::Met,
        (true, true) => Preconditions::NotModified,
        (true, false) => Preconditions::Failed,
    }
}

/// The weak form of a strong entity tag, for a representation whose bytes are made anew here (RFC 9110 §8.8.1); `None`
/// where it is weak already, or no entity tag as `If-None-Match` is read here.
pub fn weakened(etag: &[u8]) -> Option<Vec<u8>> {
    is_strong(etag).then(|| [b"W/", etag].concat())
}

/// Whether `If-None-Match` has the weak form of this strong entity tag, and the tag itself nowhere.
///
/// Such a client holds what was sent with the tag [`weakened`], and a 304 to it carries the weak form: the ETag that
/// the 200 would have had (RFC 9110 §15.4.5).
pub fn only_weakly<M: Fields>(request: &M, etag: &[u8]) -> bool {
    let asked = || request.all("if-none-match").flat_map(tags);
    is_strong(etag) && asked().any(|tag| tag.strip_prefix(b"W/") == Some(etag)) && !asked().any(|tag| tag == etag)
}

/// Whether this is one entity tag that is not weak. A space within is let pass, as some apps send it.
fn is_strong(etag: &[u8]) -> bool {
    etag.starts_with(b"\"") && tags(etag).next() == Some(etag)
}

/// Whether a list of entity tags has this one, or is `*`. A malformed list has only what stands before the fault.
fn matches_weakly(list: &[u8], etag: Option<&[u8]>) -> bool {
    if trim(list) == b"*" {
        // What is there to answer with exists: a stored response is a current representation.
        return true;
    }
    let Some(etag) = etag.map(opaque) else { return false };
    tags(list).any(|tag| opaque(tag) == etag)
}

/// An entity tag without its weakness: weak comparison looks at the rest (RFC 9110 §8.8.3.2).
fn opaque(etag: &[u8]) -> &[u8] {
    etag.strip_prefix(b"W/").unwrap_or(etag)
}

/// The tags in a list, quotes included, up to the first fault. Commas are legal inside quotes.
pub fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let tag = &rest[start..];
        let weakness = tag.len() - opaque(tag).len();
        if tag.get(weakness) != Some(&b'"') {
            return None;
        }
        let end = weakness + tag[weakness + 1..].iter().position(|byte| *byte == b'"')? + 2;
        rest = &tag[end..];
        Some(&tag[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::RequestHead;

    fn fresh_copy(fields: &str, etag: Option<&str>, last_modified: Option<&str>) -> bool {
        let request = RequestHead::for_tests(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        not_modified(&request, etag.map(str::as_bytes), last_modified.map(str::as_bytes))
    }

    const NOV_6: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const NOV_7: &str = "Mon, 07 Nov 1994 08:49:37 GMT";

    macro_rules! table {
        ($($name:ident: $fields:expr, $etag:expr, $modified:expr => $expected:expr;)+) => {
            $(#[test] fn $name() { assert_eq!(fresh_copy(&$fields, $etag, $modified), $expected); })+
        };
    }

    table! {
        no_precondition: "", Some("\"a\""), Some(NOV_6) => false;
        same_tag: "If-None-Match: \"a\"\r\n", Some("\"a\""), None => true;
        weak_against_strong: "If-None-Match: W/\"a\"\r\n", Some("\"a\""), None => true;
        strong_against_weak: "If-None-Match: \"a\"\r\n", Some("W/\"a\""), None => true;
        other_tag: "If-None-Match: \"b\"\r\n", Some("\"a\""), None => false;
        second_of_a_list: "If-None-Match: \"b\", \"a\"\r\n", Some("\"a\""), None => true;
        second_line: "If-None-Match: \"b\"\r\nIf-None-Match: \"a\"\r\n", Some("\"a\""), None => true;
        comma_inside_a_tag: "If-None-Match: \"x,\", \"a,b\"\r\n", Some("\"a,b\""), None => true;
        star: "If-None-Match: *\r\n", None, None => true;
        unquoted_matches_nothing: "If-None-Match: a\r\n", Some("\"a\""), None => false;
        unclosed_matches_nothing: "If-None-Match: \"a\r\n", Some("\"a\""), None => false;
        no_tag_to_match: "If-None-Match: \"a\"\r\n", None, None => false;
        tag_wins_over_date: format!("If-None-Match: \"b\"\r\nIf-Modified-Since: {NOV_7}\r\n"), Some("\"a\""), Some(NOV_6) => false;
        not_modified_since: format!("If-Modified-Since: {NOV_7}\r\n"), None, Some(NOV_6) => true;
        same_second: format!("If-Modified-Since: {NOV_6}\r\n"), None, Some(NOV_6) => true;
        modified_since: format!("If-Modified-Since: {NOV_6}\r\n"), None, Some(NOV_7) => false;
        nonsense_date_is_ignored: "If-Modified-Since: x\r\n", None, Some(NOV_6) => false;
        no_last_modified: format!("If-Modified-Since: {NOV_7}\r\n"), None, None => false;
    }

    macro_rules! evaluates {
        ($($name:ident: $safe:expr, $fields:expr, $etag:expr => $expected:ident;)+) => {
            $(#[test] fn $name() {
                let request = RequestHead::for_tests(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", $fields));
                let etag: Option<&str> = $etag;
                assert_eq!(preconditions(&request, $safe, etag.map(str::as_bytes)), Preconditions::$expected);
            })+
        };
    }

    const A: Option<&str> = Some("\"a\"");

    // RFC 9110 §13.1.1, §13.1.2 and §13.2.2.
    evaluates! {
        without_any: false, "", A => Met;
        what_is_expected_is_there: false, "If-Match: \"b\", \"a\"\r\n", A => Met;
        something_else_is_there: false, "If-Match: \"b\"\r\n", A => Failed;
        nothing_is_there: false, "If-Match: \"a\"\r\n", None => Failed;
        something_is_expected_and_there: false, "If-Match: *\r\n", A => Met;
        something_is_expected_and_not_there: false, "If-Match: *\r\n", None => Failed;
        a_weak_tag_is_not_strongly_equal: false, "If-Match: W/\"a\"\r\n", A => Failed;
        nothing_is_expected_and_there: false, "If-None-Match: *\r\n", None => Met;
        nothing_is_expected_but_something_there: false, "If-None-Match: *\r\n", A => Failed;
        another_than_this_is_there: false, "If-None-Match: \"b\"\r\n", A => Met;
        this_is_there: false, "If-None-Match: W/\"a\"\r\n", A => Failed;
        a_safe_request_has_this: true, "If-None-Match: \"a\"\r\n", A => NotModified;
        a_safe_request_has_another: true, "If-None-Match: \"b\"\r\n", A => Met;
        if_match_comes_first: true, "If-None-Match: \"a\"\r\nIf-Match: \"b\"\r\n", A => Failed;
        both_are_judged: true, "If-None-Match: \"a\"\r\nIf-Match: \"a\"\r\n", A => NotModified;
    }

    #[test]
    fn strong_tags_are_weakened() {
        // RFC 9110 §8.8.3: what is an entity tag, and which of them are weak.
        for (etag, expected) in [
            ("\"a\"", Some("W/\"a\"")),
            ("\"\"", Some("W/\"\"")),
            ("\"a,b\"", Some("W/\"a,b\"")),
            ("\"W/\"", Some("W/\"W/\"")),
            ("\"é\"", Some("W/\"é\"")),
            // Not by the grammar, but apps send it, and clients send it back.
            ("\"a b\"", Some("W/\"a b\"")),
            ("W/\"a\"", None),
            ("w/\"a\"", None),
            ("a", None),
            ("", None),
            ("*", None),
            ("\"", None),
            ("\"a", None),
            ("a\"", None),
            ("\"a\"b\"", None),
            ("\"a\" ", None),
            ("\"a\", \"b\"", None),
            ("'a'", None),
        ] {
            assert_eq!(weakened(etag.as_bytes()), expected.map(|weak| weak.as_bytes().to_vec()), "{etag}");
        }
    }

    macro_rules! weakly {
        ($($name:ident: $fields:expr, $etag:expr => $expected:expr;)+) => {
            $(#[test] fn $name() {
                let request = RequestHead::for_tests(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", $fields));
                assert_eq!(only_weakly(&request, $etag.as_bytes()), $expected);
            })+
        };
    }

    // RFC 9110 §8.8.3.2, §13.1.2 and §15.4.5.
    weakly! {
        asked_for_nothing: "", "\"a\"" => false;
        asked_for_the_weak_form: "If-None-Match: W/\"a\"\r\n", "\"a\"" => true;
        asked_for_the_tag: "If-None-Match: \"a\"\r\n", "\"a\"" => false;
        asked_for_both: "If-None-Match: W/\"a\", \"a\"\r\n", "\"a\"" => false;
        asked_for_both_in_two_lines: "If-None-Match: \"a\"\r\nIf-None-Match: W/\"a\"\r\n", "\"a\"" => false;
        asked_for_the_weak_form_in_a_list: "If-None-Match: \"b\", W/\"a\"\r\n", "\"a\"" => true;
        asked_for_the_weak_form_in_another_line: "If-None-Match: \"b\"\r\nIf-None-Match: W/\"a\"\r\n", "\"a\"" => true;
        asked_for_another: "If-None-Match: W/\"b\"\r\n", "\"a\"" => false;
        asked_for_any: "If-None-Match: *\r\n", "\"a\"" => false;
        asked_in_the_wrong_case: "If-None-Match: w/\"a\"\r\n", "\"a\"" => false;
        the_tag_is_weak: "If-None-Match: W/\"a\"\r\n", "W/\"a\"" => false;
        the_tag_is_none: "If-None-Match: W/a\r\n", "a" => false;
        the_weak_form_within_a_tag: "If-None-Match: \"W/\", \"b\"\r\n", "\"a\"" => false;
    }
}
