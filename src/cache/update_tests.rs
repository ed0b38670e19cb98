//! What the origin's word does to what is stored: 304 (RFC 9111 §4.3.4) and answers to HEAD (§4.3.5).

use super::{
    entry::updated,
    fixture::*,
    purge::{Mode, Scope},
    *,
};

/// The head of a stored response after a 304, `None` when that is about another one.
fn confirmed(stored: &str, said: &str) -> Option<String> {
    let fixture = Fixture::default();
    let stored = format!("Cache-Control: max-age=60\n{stored}");
    let entry = fixture.entry(&get("/", ""), &response(&stored), "x", 0, Epoch::default());
    let head = fixture.cache.confirmed(&entry, &ResponseHead::for_tests(304, &said.replace('\n', "\r\n")))?;
    let lines = head.fields().filter(|(name, _)| !name.eq_ignore_ascii_case(b"content-length"));
    let line = |(name, value): (&[u8], &[u8])| [name, b": ", value].concat();
    let lines: Vec<_> = lines.skip(usize::from(!said.contains("Cache-Control"))).map(line).collect();
    Some(String::from_utf8(lines.join(b"\n".as_slice())).unwrap())
}

fn is_confirmed(stored: &str, said: &str) -> bool {
    confirmed(stored, said).is_some()
}

macro_rules! table {
    ($($name:ident: $left:expr => $right:expr;)+) => { $(#[test] fn $name() { assert_eq!($left, $right); })+ };
}

table! {
    // §4.3.4: which stored response the 304 is about.
    same_strong_tag: is_confirmed("ETag: \"a\"", "ETag: \"a\"") => true;
    other_strong_tag: is_confirmed("ETag: \"a\"", "ETag: \"b\"") => false;
    strong_tag_of_what_has_none: is_confirmed("Last-Modified: Sun, 06 Nov 1994 08:00:00 GMT", "ETag: \"a\"") => false;
    strong_tag_of_what_was_weakened_on_the_way: is_confirmed("ETag: W/\"a\"", "ETag: \"a\"") => true;
    same_weak_tag: is_confirmed("ETag: W/\"a\"", "ETag: W/\"a\"") => true;
    other_weak_tag: is_confirmed("ETag: W/\"a\"", "ETag: W/\"b\"") => false;
    weakened_tag: is_confirmed("ETag: \"a\"", "ETag: W/\"a\"") => true;
    tag_before_date: is_confirmed("ETag: \"a\"\nLast-Modified: Sun, 06 Nov 1994 08:00:00 GMT", "ETag: \"a\"\nLast-Modified: Sun, 06 Nov 1994 07:00:00 GMT") => true;
    same_date: is_confirmed("Last-Modified: Sun, 06 Nov 1994 08:00:00 GMT", "Last-Modified: Sun, 06 Nov 1994 08:00:00 GMT") => true;
    other_date: is_confirmed("Last-Modified: Sun, 06 Nov 1994 08:00:00 GMT", "Last-Modified: Sun, 06 Nov 1994 07:00:00 GMT") => false;
    no_validator: is_confirmed("ETag: \"a\"", "") => true;

    // §3.2: what is updated.
    fields_are_replaced: confirmed("X: 1", "X: 2").unwrap() => "X: 2";
    all_lines_of_a_field_are: confirmed("X: 1\nX: 2", "x: 3").unwrap() => "x: 3";
    by_all_lines_of_it: confirmed("X: 1", "X: 2\nX: 3").unwrap() => "X: 2\nX: 3";
    fields_are_added: confirmed("X: 1", "Y: 2").unwrap() => "X: 1\nY: 2";
    fields_stay: confirmed("X: 1", "").unwrap() => "X: 1";
    what_describes_the_body_stays: confirmed("Content-Type: a/b\nContent-Encoding: gzip", "Content-Type: c/d\nContent-Encoding: br\nContent-Length: 0\nContent-Range: bytes 0-0/1").unwrap() => "Content-Type: a/b\nContent-Encoding: gzip";
    content_location_is_updated: confirmed("Content-Location: /a", "Content-Location: /b").unwrap() => "Content-Location: /b";
}

#[test]
fn an_age_is_that_of_the_last_word() {
    let head = updated(&response("Age: 50\nX: 1"), &ResponseHead::for_tests(304, ""));
    assert!(!head.has("age"));
    assert_eq!(
        updated(&response("Age: 50"), &ResponseHead::for_tests(304, "Age: 7")).get("age"),
        Some(b"7".as_slice())
    );
}

#[test]
fn the_status_stays() {
    assert_eq!(updated(&ResponseHead::for_tests(404, ""), &ResponseHead::for_tests(304, "X: 1")).status(), 404);
}

/// §4.3.4: a confirmed response is as fresh as a new one with its fields.
#[test]
fn the_freshness_is_that_of_the_fields_as_updated() {
    let fixture = Fixture::default();
    let stored = response("Cache-Control: max-age=60\nETag: \"a\"\nDate: Sun, 06 Nov 1994 08:49:37 GMT");
    let said = ResponseHead::for_tests(304, "ETag: \"a\"\r\nDate: Sun, 06 Nov 1994 08:51:17 GMT");
    let entry = fixture.entry(&get("/", ""), &updated(&stored, &said), "x", 100, Epoch::default());
    assert_eq!(entry.ttl(fixture.at(100)), 60);
    let said = ResponseHead::for_tests(304, "Cache-Control: no-store\r\nDate: Sun, 06 Nov 1994 08:51:17 GMT");
    let (head, received) = (updated(&stored, &said), fixture.received(100));
    assert_eq!(policy::store(NOBODY, &head, &fixture.policy, &fixture.cache.settings(), &received), Err(Skip::NoStore));
}

/// What is found 61 seconds after a response with a lifetime of a minute, when a HEAD was answered after half of it.
fn after_head(stored: &str, asker: Asker, status: u16, said: &str) -> String {
    let fixture = Fixture::default();
    fixture.put("/", "", &format!("Cache-Control: max-age=60\n{stored}"), "x", 0);
    head(&fixture, asker, status, said, 30);
    fixture.found("/", "", 61)
}

fn head(fixture: &Fixture, asker: Asker, status: u16, said: &str, second: u64) {
    let said = ResponseHead::for_tests(status, &said.replace('\n', "\r\n"));
    let received = fixture.received(second);
    fixture
        .cache
        .heard_of(&key("/"), &get("/", ""), asker, &said, &fixture.policy, &received, |_, _| ClientCopy::default());
}

const SOMEBODY: Asker = Asker { cookie: true, authorization: false };

table! {
    // §4.3.5: the same response is as fresh as its HEAD.
    head_of_the_same: after_head("ETag: \"a\"", NOBODY, 200, "ETag: \"a\"\nContent-Length: 1") => "x";
    head_without_a_word: after_head("ETag: \"a\"", NOBODY, 200, "") => "x";
    head_with_another_lifetime: after_head("ETag: \"a\"", NOBODY, 200, "ETag: \"a\"\nCache-Control: max-age=10") => "stale x";
    head_of_what_is_not_to_be_stored: after_head("", NOBODY, 200, "Cache-Control: no-store") => "stale x";
    head_with_a_cookie_set: after_head("", NOBODY, 200, "Set-Cookie: a=1") => "stale x";
    head_that_failed: after_head("", NOBODY, 503, "Cache-Control: max-age=60") => "stale x";
    // Who is somebody in particular could not have had it, so the answer says nothing about it.
    head_of_somebody: after_head("", SOMEBODY, 200, "Cache-Control: public, max-age=60") => "stale x";
}

/// What is found at once after the answer to a HEAD.
fn right_after_head(stored: &str, asker: Asker, status: u16, said: &str) -> String {
    let fixture = Fixture::default();
    fixture.put("/", "", &format!("Cache-Control: max-age=60\n{stored}"), "x", 0);
    head(&fixture, asker, status, said, 30);
    fixture.found("/", "", 30)
}

table! {
    // §4.3.5: another response makes the stored one stale.
    head_of_another_tag: right_after_head("ETag: \"a\"", NOBODY, 200, "ETag: \"b\"") => "stale x";
    head_of_another_length: right_after_head("ETag: \"a\"", NOBODY, 200, "ETag: \"a\"\nContent-Length: 2") => "stale x";
    head_of_another_date: right_after_head("Last-Modified: Sun, 06 Nov 1994 08:00:00 GMT", NOBODY, 200, "Last-Modified: Sun, 06 Nov 1994 08:00:01 GMT") => "stale x";
    head_of_another_status: right_after_head("ETag: \"a\"", NOBODY, 404, "ETag: \"b\"") => "x";
    head_of_somebody_elses: right_after_head("ETag: \"a\"", SOMEBODY, 200, "ETag: \"b\"") => "x";
}

#[test]
fn head_keeps_the_body_and_takes_the_fields() {
    let fixture = Fixture::default();
    fixture.put("/", "", "Cache-Control: max-age=60\nX: 1", "x", 0);
    head(&fixture, NOBODY, 200, "X: 2", 30);
    let Lookup::Fresh(entry) = fixture.lookup("/", "", 31) else { panic!("not fresh") };
    assert_eq!(
        (entry.head.get("x"), &entry.body[..], entry.age(fixture.at(31))),
        (Some(&b"2"[..]), &b"x"[..], secs(1))
    );
}

/// The answer to a HEAD may be older than the purge that came before it.
#[test]
fn head_does_not_revive_what_was_declared_stale() {
    let fixture = Fixture::default();
    fixture.put("/", "", "Cache-Control: max-age=60\nETag: \"a\"", "x", 0);
    assert_eq!(fixture.cache.expire(&key("/"), fixture.at(10)), 1);
    head(&fixture, NOBODY, 200, "ETag: \"a\"", 11);
    assert_eq!(fixture.found("/", "", 12), "stale x");
    fixture.put("/", "", "Cache-Control: max-age=60\nETag: \"a\"", "y", 13);
    fixture.cache.purge(vec![Scope::All], Mode::Soft, fixture.at(14));
    head(&fixture, NOBODY, 200, "ETag: \"a\"", 15);
    assert_eq!(fixture.found("/", "", 16), "stale y");
}

#[test]
fn head_does_not_revive_what_was_purged() {
    let fixture = Fixture::default();
    fixture.put("/", "", "Cache-Control: max-age=60", "x", 0);
    fixture.cache.purge(vec![Scope::All], Mode::Hard, fixture.at(10));
    head(&fixture, NOBODY, 200, "", 11);
    assert_eq!(fixture.found("/", "", 12), "uri-miss");
}
