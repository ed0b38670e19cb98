//! Which variant answers a request (RFC 9111 §4.1).

use proptest::prelude::*;

use super::{fixture::*, *};

/// Whether a response that was selected by these fields of its request answers one with those.
fn answers(vary: &str, first: &str, second: &str) -> bool {
    answers_with(Settings::default(), &format!("Vary: {vary}"), first, second)
}

fn answers_with(settings: Settings, said: &str, first: &str, second: &str) -> bool {
    let selecting = Selecting::of(&response(said), &get("/", first), &settings);
    selecting.matches(&get("/", second), &settings)
}

fn reordered(first: &str, second: &str) -> bool {
    let settings = Settings { reorder_accept_language: true, ..Settings::default() };
    answers_with(settings, "Vary: Accept-Language", first, second)
}

macro_rules! table {
    ($($name:ident: $left:expr => $right:expr;)+) => { $(#[test] fn $name() { assert_eq!($left, $right); })+ };
}

table! {
    // Values match when they are the same, or are known to mean the same.
    same: answers("X", "X: 1", "X: 1") => true;
    other: answers("X", "X: 1", "X: 2") => false;
    field_names_in_any_case: answers("x-A", "X-a: 1", "x-a: 1") => true;
    white_space_around: answers("X", "X: 1", "X:  1\t") => true;
    white_space_around_members: answers("X", "X: 1, 2", "X: 1 ,\t2") => true;
    white_space_inside: answers("X", "X: a b", "X: ab") => false;
    white_space_in_quotes: answers("X", "X: \"1, 2\"", "X: \"1,2\"") => false;
    case_of_unknown_fields: answers("X", "X: a", "X: A") => false;
    order_of_unknown_fields: answers("X", "X: 1, 2", "X: 2, 1") => false;
    several_lines_are_one: answers("X", "X: 1\nX: 2", "X: 1, 2") => true;
    order_of_lines: answers("X", "X: 1\nX: 2", "X: 2\nX: 1") => false;
    fields_that_do_not_select: answers("X", "X: 1\nY: 1", "X: 1\nY: 2") => true;
    every_field_counts: answers("X, Y", "X: 1\nY: 1", "X: 1\nY: 2") => false;
    vary_over_lines: answers_with(Settings::default(), "Vary: X\nVary: Y", "X: 1\nY: 1", "X: 1\nY: 2") => false;
    no_vary: answers("", "X: 1", "X: 2") => true;
    // "If … a header field is absent from a request, it can only match another request if it is also absent there."
    missing_and_missing: answers("X", "", "") => true;
    missing_and_there: answers("X", "", "X: 1") => false;
    there_and_missing: answers("X", "X: 1", "") => false;
    missing_is_not_empty: answers("X", "", "X:") => false;
    missing_is_not_empty_of_codings: answers("Accept-Encoding", "", "Accept-Encoding:") => false;
    empty_and_empty: answers("X", "X:", "X: ") => true;
    // Accept-Encoding: a coding is chosen by weight.
    codings_in_any_order: answers("Accept-Encoding", "Accept-Encoding: gzip, br", "Accept-Encoding: br,gzip") => true;
    codings_in_any_case: answers("Accept-Encoding", "Accept-Encoding: GZip", "Accept-Encoding: gzip") => true;
    codings_twice: answers("Accept-Encoding", "Accept-Encoding: gzip, gzip", "Accept-Encoding: gzip") => true;
    codings_over_lines: answers("Accept-Encoding", "Accept-Encoding: br\nAccept-Encoding: gzip", "Accept-Encoding: gzip, br") => true;
    weights_with_white_space: answers("Accept-Encoding", "Accept-Encoding: br ; q=0.5", "Accept-Encoding: br;q=0.5") => true;
    other_weights: answers("Accept-Encoding", "Accept-Encoding: br;q=0.5", "Accept-Encoding: br;q=0") => false;
    other_codings: answers("Accept-Encoding", "Accept-Encoding: br", "Accept-Encoding: br, gzip") => false;
    empty_members: answers("Accept-Encoding", "Accept-Encoding: br,,gzip", "Accept-Encoding: br, gzip") => true;
    // Accept-Language: many apps take the first of two languages of one weight.
    languages_in_another_order: answers("Accept-Language", "Accept-Language: de, en", "Accept-Language: en, de") => false;
    languages_in_any_case: answers("Accept-Language", "Accept-Language: de-DE", "Accept-Language: de-de") => true;
    languages_may_be_reordered: reordered("Accept-Language: de, en;q=0.5", "Accept-Language: en;q=0.5,de") => true;
    other_languages_however_ordered: reordered("Accept-Language: de, en", "Accept-Language: en, fr") => false;
    other_weights_however_ordered: reordered("Accept-Language: de, en;q=0.5", "Accept-Language: en, de;q=0.5") => false;
    // Accept (RFC 9110 §12.5.1): types in any case, what parameters are given as it stands.
    types_in_any_case: answers("Accept", "Accept: Text/HTML", "Accept: text/html") => true;
    types_in_another_order: answers("Accept", "Accept: text/html, a/b", "Accept: a/b, text/html") => false;
    values_of_parameters: answers("Accept", "Accept: a/b;version=A", "Accept: a/b;version=a") => false;
    quoted_values_of_parameters: answers("Accept", "Accept: a/b;profile=\"x y\"", "Accept: a/b;profile=\"xy\"") => false;
    charsets_in_any_case: answers("Accept-Charset", "Accept-Charset: UTF-8", "Accept-Charset: utf-8") => true;
    // Cookies that do not count are as good as none.
    cookies_that_do_not_count: answers("Cookie", "", "Cookie: _ga=1") => true;
    cookies_that_count: answers("Cookie", "", "Cookie: sessionid=1") => false;
    others_cookies: answers("Cookie", "Cookie: sessionid=1", "Cookie: sessionid=2") => false;
    // A coded response was chosen by Accept-Encoding, whether it says so or not.
    coded_is_for_who_asked_so: answers_with(Settings::default(), "Content-Encoding: gzip", "Accept-Encoding: gzip", "") => false;
    coded_for_another_who_asks_so: answers_with(Settings::default(), "Content-Encoding: gzip", "Accept-Encoding: gzip", "Accept-Encoding: gzip") => true;
    not_coded_after_all: answers_with(Settings::default(), "Content-Encoding: identity", "Accept-Encoding: gzip", "") => true;
}

const DE: &str = "Accept-Language: de";
const EN: &str = "Accept-Language: en";
const BY_LANGUAGE: &str = "Cache-Control: max-age=60\nVary: Accept-Language";

#[test]
fn each_variant_answers_its_own() {
    let fixture = Fixture::default();
    fixture.put("/", DE, BY_LANGUAGE, "ja", 0);
    fixture.put("/", EN, BY_LANGUAGE, "yes", 0);
    assert_eq!(fixture.found("/", DE, 1), "ja");
    assert_eq!(fixture.found("/", EN, 1), "yes");
    assert_eq!(fixture.found("/", "Accept-Language: fr", 1), "vary-miss");
    assert_eq!(fixture.found("/", "", 1), "vary-miss");
}

#[test]
fn a_newer_response_replaces_the_variant_and_leaves_the_others() {
    let fixture = Fixture::default();
    fixture.put("/", DE, BY_LANGUAGE, "ja", 0);
    fixture.put("/", EN, BY_LANGUAGE, "yes", 0);
    fixture.put("/", DE, BY_LANGUAGE, "doch", 2);
    assert_eq!((fixture.found("/", DE, 3), fixture.found("/", EN, 3)), ("doch".into(), "yes".into()));
    assert_eq!(fixture.cache.snapshot().entries, 2);
}

#[test]
fn the_newest_response_says_which_fields_select() {
    let fixture = Fixture::default();
    fixture.put("/", DE, BY_LANGUAGE, "ja", 0);
    fixture.put("/", "", "Cache-Control: max-age=60", "any", 1);
    assert_eq!(fixture.found("/", DE, 2), "any");
    fixture.put("/", EN, BY_LANGUAGE, "yes", 3);
    assert_eq!(fixture.found("/", DE, 4), "vary-miss");
}

#[test]
fn the_oldest_variant_goes_first() {
    let fixture = Fixture::new(Settings { max_variants: 2, ..Settings::default() });
    for (n, language) in [DE, EN, "Accept-Language: fr"].into_iter().enumerate() {
        fixture.put("/", language, BY_LANGUAGE, language, n as u64);
    }
    assert_eq!(fixture.found("/", DE, 9), "vary-miss");
    assert_eq!(fixture.found("/", EN, 9), EN);
    assert_eq!(fixture.cache.snapshot().entries, 2);
}

#[test]
fn no_variants_means_one() {
    let fixture = Fixture::new(Settings { max_variants: 0, ..Settings::default() });
    fixture.put("/", DE, BY_LANGUAGE, "ja", 0);
    fixture.put("/", EN, BY_LANGUAGE, "yes", 0);
    assert_eq!((fixture.found("/", DE, 1), fixture.found("/", EN, 1)), ("vary-miss".into(), "yes".into()));
}

proptest! {
    /// What a response was selected by answers the very request that it was selected by, and values are told apart.
    #[test]
    fn a_request_matches_itself_and_values_do_not_run_together(
        first in prop::collection::vec("[ab,\" ]{0,4}", 0..3), second in prop::collection::vec("[ab,\" ]{0,4}", 0..3),
    ) {
        let lines = |values: &[String]| values.iter().map(|value| format!("X: {value}\n")).collect::<String>();
        let (one, other) = (lines(&first), lines(&second));
        prop_assert!(answers("X", &one, &one));
        prop_assert_eq!(answers("X", &one, &other), answers("X", &other, &one));
        let letters = |values: &[String]| values.concat().replace([' ', ',', '"'], "");
        if answers("X", &one, &other) {
            prop_assert_eq!(letters(&first), letters(&second));
            prop_assert_eq!(first.is_empty(), second.is_empty());
        }
    }
}
