//! What purges hit, since when, and what becomes of it (RFC 9111 §4.4, RFC 9875).

use super::{
    fixture::*,
    pattern::Pattern,
    purge::{Mode, Rule, Scope, Url},
    *,
};

/// Whether a purge of this scope hits a stored response with these labels.
fn hits(scope: Scope, url: &str, labels: &str) -> bool {
    let fixture = Fixture::default();
    fixture.put(url, "", &format!("Cache-Control: max-age=60\n{labels}"), "x", 0);
    fixture.cache.purge(vec![scope], Mode::Hard, fixture.at(1));
    match fixture.found(url, "", 2).as_str() {
        "uri-miss" => true,
        "x" => false,
        found => panic!("{found}"),
    }
}

fn url(text: &str) -> Scope {
    Scope::Url(Url::parse(text).unwrap())
}

fn tag(name: &str) -> Scope {
    Scope::Tag(name.into())
}

fn group(https: bool, host: &str, name: &str) -> Scope {
    Scope::Group { https, host: host.as_bytes().into(), name: name.into() }
}

fn prefix(text: &str) -> Scope {
    Scope::Prefix(text.as_bytes().into())
}

fn pattern(text: &str) -> Scope {
    Scope::Pattern(Pattern::new(text).unwrap())
}

fn within(host: &str, paths: &str) -> Scope {
    Scope::Within { host: host.as_bytes().into(), paths: Pattern::new(paths).unwrap() }
}

/// What a URL is read as: scheme, host, target.
fn read(text: &str) -> Result<String, &'static str> {
    Url::parse(text).map(|Url { https, host, target }| {
        let scheme = https.map_or("*", |https| if https { "https" } else { "http" });
        let host = host.map_or("*".into(), |host| String::from_utf8(host.to_vec()).unwrap());
        format!("{scheme} {host} {}", String::from_utf8(target.to_vec()).unwrap())
    })
}

macro_rules! table {
    ($($name:ident: $left:expr => $right:expr;)+) => { $(#[test] fn $name() { assert_eq!($left, $right); })+ };
}

table! {
    // URLs, as they are given.
    a_path: read("/x?y") => Ok("* * /x?y".into());
    a_host_and_a_path: read("A.b/x") => Ok("* a.b /x".into());
    a_whole_url: read("https://A.b:8443/x?y#z") => Ok("https a.b:8443 /x?y".into());
    default_port: read("https://a:443/") => Ok("https a /".into());
    default_port_of_the_other_scheme: read("http://a:443/") => Ok("http a:443 /".into());
    no_path: read("http://a") => Ok("http a /".into());
    url_in_a_path: read("/x?y=http://b/") => Ok("* * /x?y=http://b/".into());
    url_in_a_url: read("a/x?y=http://b/") => Ok("* a /x?y=http://b/".into());
    url_in_a_whole_url: read("http://a/http://b/") => Ok("http a /http://b/".into());
    fragment_alone: read("/x#y") => Ok("* * /x".into());
    percent_encoding_stays: read("/%7ex") => Ok("* * /%7ex".into());
    other_scheme: read("ftp://a/") => Err("expected http:// or https://");
    no_host: read("http:///x") => Err("expected a host after the scheme");
    no_path_and_no_scheme: read("a") => Err("expected a URL, or a path that begins with /");
    nothing: read("") => Err("expected a URL, or a path that begins with /");
    no_path_before_the_query: read("http://a?x") => Err("expected a / before the query");
    space: read("/a b") => Err("expected percent-encoding for spaces and for what is not ASCII");
    not_ascii: read("/\u{e9}") => Err("expected percent-encoding for spaces and for what is not ASCII");
    not_ascii_in_the_host: read("\u{e9}/") => Err("expected percent-encoding for spaces and for what is not ASCII");

    // All and single URLs.
    all: hits(Scope::All, "a/x", "") => true;
    path_at_any_host: hits(url("/x"), "https://b/x", "") => true;
    path_is_all_of_it: hits(url("/x"), "/xy", "") => false;
    path_has_no_query: hits(url("/x"), "/x?y", "") => false;
    path_and_query: hits(url("/x?y"), "/x?y", "") => true;
    path_is_case_sensitive: hits(url("/X"), "/x", "") => false;
    host_by_any_scheme: hits(url("b/x"), "https://b/x", "") => true;
    other_host: hits(url("b/x"), "a/x", "") => false;
    other_port: hits(url("b:8080/x"), "b/x", "") => false;
    same_scheme: hits(url("https://b/x"), "https://b/x", "") => true;
    scheme_that_is_another: hits(url("http://b/x"), "https://b/x", "") => false;

    // Tags: exact, but for those of Cache-Tag, which are kept in small letters.
    surrogate_key: hits(tag("a"), "/", "Surrogate-Key: b a") => true;
    other_tag: hits(tag("a"), "/", "Surrogate-Key: ab") => false;
    no_tag: hits(tag("a"), "/", "") => false;
    no_empty_tag: hits(tag(""), "/", "Surrogate-Key:") => false;
    surrogate_key_in_capitals: hits(tag("A"), "/", "Surrogate-Key: A") => true;
    small_letters_do_not_hit_capitals: hits(tag("a"), "/", "Surrogate-Key: A") => false;
    cache_tag_in_any_case: hits(tag("HoMe"), "/", "Cache-Tag: hOmE") => true;
    // Where a tag came from is not kept, so capitals hit the small letters of every field.
    capitals_hit_small_letters: hits(tag("A"), "/", "Surrogate-Key: a") => true;
    tag_that_is_a_group: hits(tag("g"), "https://b/", "Cache-Groups: \"g\"") => true;
    tag_that_is_a_group_in_another_case: hits(tag("G"), "/", "Cache-Groups: \"g\"") => false;

    // RFC 9875 §2.1: a group means nothing outside its origin.
    group_of_the_origin: hits(group(false, "a", "g"), "a/", "Cache-Groups: \"g\"") => true;
    group_of_another_host: hits(group(false, "a", "g"), "b/", "Cache-Groups: \"g\"") => false;
    group_of_another_scheme: hits(group(false, "a", "g"), "https://a/", "Cache-Groups: \"g\"") => false;
    group_of_another_port: hits(group(false, "a", "g"), "a:8080/", "Cache-Groups: \"g\"") => false;
    // §2: "case-sensitive", "character-by-character".
    group_in_another_case: hits(group(false, "a", "G"), "a/", "Cache-Groups: \"g\"") => false;
    group_is_no_tag: hits(group(false, "a", "g"), "a/", "Surrogate-Key: g") => false;

    // Prefixes.
    prefix_of_a_path: hits(prefix("/api/"), "https://b/api/x", "") => true;
    prefix_of_another_path: hits(prefix("/api/"), "/apix", "") => false;
    prefix_with_a_query: hits(prefix("/x?y"), "/x?yz", "") => true;
    prefix_with_its_host: hits(prefix("a.b/api/"), "a.b/api/x", "") => true;
    prefix_with_another_host: hits(prefix("a.b/api/"), "c/api/x", "") => false;
    prefix_that_is_a_host: hits(prefix("a.b"), "a.b/api", "") => true;
    prefix_of_a_host: hits(prefix("shop."), "shop.example/", "") => true;
    prefix_of_a_host_is_whole_before_a_path: hits(prefix("shop./"), "shop.example/", "") => false;
    prefix_of_another_port: hits(prefix("a.b:8080/"), "a.b/", "") => false;
    prefix_of_any_port: hits(prefix("a.b"), "a.b:8080/", "") => true;

    // Patterns are of paths.
    pattern_of_a_path: hits(pattern("^/users/[0-9]+$"), "b/users/17", "") => true;
    pattern_of_another_path: hits(pattern("^/users/[0-9]+$"), "b/users/x", "") => false;
    pattern_without_the_query: hits(pattern("^/users/[0-9]+$"), "/users/17?a=b", "") => true;
    pattern_does_not_see_the_query: hits(pattern("a=b"), "/users/17?a=b", "") => false;
    pattern_does_not_see_the_host: hits(pattern("shop"), "shop/x", "") => false;
    pattern_anywhere: hits(pattern("er"), "/users", "") => true;
    pattern_within_a_host: hits(within("b", "^/x"), "b/x/y?z", "") => true;
    pattern_within_another_host: hits(within("b", "^/x"), "a/x", "") => false;
    other_pattern_within_a_host: hits(within("b", "^/x$"), "b/x/y", "") => false;
}

/// A minute fresh, and half of one used stale.
const KEPT: &str = "Cache-Control: max-age=60, stale-while-revalidate=30\nSurrogate-Key: t";

#[test]
fn hard_is_gone_and_soft_is_stale_from_then_on() {
    let fixture = Fixture::default();
    fixture.put("/", "", KEPT, "x", 0);
    fixture.cache.purge(vec![tag("t")], Mode::Soft, fixture.at(10));
    assert_eq!(fixture.found("/", "", 11), "x stale-while-revalidate");
    assert_eq!(fixture.found("/", "", 39), "x stale-while-revalidate");
    // RFC 5861 §4 and §4.3.1 still hold: it may stand in, and be confirmed.
    assert_eq!(fixture.found("/", "", 40), "stale x");
    fixture.cache.purge(vec![tag("t")], Mode::Hard, fixture.at(41));
    assert_eq!(fixture.found("/", "", 42), "uri-miss");
}

#[test]
fn the_first_of_two_soft_purges_counts() {
    let fixture = Fixture::default();
    fixture.put("/", "", KEPT, "x", 0);
    fixture.cache.purge(vec![tag("t")], Mode::Soft, fixture.at(10));
    fixture.cache.purge(vec![tag("t")], Mode::Soft, fixture.at(35));
    assert_eq!(fixture.found("/", "", 41), "stale x");
}

#[test]
fn soft_after_hard_does_not_revive() {
    for asked_between in [false, true] {
        let fixture = Fixture::default();
        fixture.put("/", "", KEPT, "x", 0);
        fixture.cache.purge(vec![tag("t")], Mode::Hard, fixture.at(10));
        if asked_between {
            assert_eq!(fixture.found("/", "", 11), "uri-miss");
        }
        fixture.cache.purge(vec![tag("t")], Mode::Soft, fixture.at(12));
        assert_eq!(fixture.found("/", "", 13), "uri-miss");
        fixture.cache.expire(&key("/"), fixture.at(14));
        assert_eq!(fixture.found("/", "", 15), "uri-miss");
    }
}

#[test]
fn what_is_stored_after_a_purge_is_not_its_business() {
    let fixture = Fixture::default();
    for mode in [Mode::Soft, Mode::Hard] {
        fixture.cache.purge(vec![Scope::All], mode, fixture.at(1));
        fixture.put("/", "", KEPT, "x", 1);
        assert_eq!(fixture.found("/", "", 2), "x");
    }
}

#[test]
fn what_was_being_fetched_is_purged_as_well() {
    for (mode, found) in [(Mode::Hard, "uri-miss"), (Mode::Soft, "x stale-while-revalidate")] {
        let fixture = Fixture::default();
        let epoch = fixture.cache.epoch(&key("/"));
        fixture.cache.purge(vec![tag("t")], mode, fixture.at(1));
        let entry = fixture.entry(&get("/", ""), &response(KEPT), "x", 2, epoch);
        let stored = if mode == Mode::Hard { Err(Skip::Purged) } else { Ok(()) };
        assert_eq!(fixture.cache.insert(&key("/"), Arc::new(entry), epoch), stored);
        assert_eq!(fixture.found("/", "", 3), found);
    }
}

/// RFC 9111 §4.4.
#[test]
fn what_was_being_fetched_of_an_invalidated_url_is_not_stored() {
    let fixture = Fixture::default();
    for expire in [false, true] {
        let epoch = fixture.cache.epoch(&key("/"));
        let gone = match expire {
            true => fixture.cache.expire(&key("/"), fixture.at(1)),
            false => fixture.cache.invalidate(&key("/"), fixture.at(1)),
        };
        assert_eq!(gone, 0);
        let entry = || Arc::new(fixture.entry(&get("/", ""), &response(KEPT), "x", 2, epoch));
        assert_eq!(fixture.cache.insert(&key("/"), entry(), epoch), Err(Skip::Purged));
        assert_eq!(fixture.found("/", "", 3), "uri-miss");
        let epoch = fixture.cache.epoch(&key("/other"));
        assert_eq!(fixture.cache.insert(&key("/other"), entry(), epoch), Ok(()));
    }
}

#[test]
fn an_invalidated_url_is_gone_with_all_its_variants() {
    let fixture = Fixture::default();
    for language in ["de", "en"] {
        fixture.put("/", &format!("L: {language}"), "Cache-Control: max-age=60\nVary: L", language, 0);
    }
    fixture.put("/other", "", KEPT, "x", 0);
    assert_eq!(fixture.cache.expire(&key("/"), fixture.at(1)), 2);
    assert_eq!(fixture.found("/", "L: de", 2), "stale de");
    assert_eq!(fixture.cache.invalidate(&key("/"), fixture.at(3)), 2);
    assert_eq!((fixture.found("/", "L: de", 4), fixture.found("/other", "", 4)), ("uri-miss".into(), "x".into()));
    assert_eq!(fixture.evicted(Evicted::Purged), 2);
}

#[test]
fn what_was_purged_is_not_expired_once_more() {
    let fixture = Fixture::default();
    fixture.put("/", "", KEPT, "x", 0);
    fixture.cache.purge(vec![Scope::All], Mode::Hard, fixture.at(1));
    assert_eq!(fixture.cache.expire(&key("/"), fixture.at(2)), 0);
}

#[test]
fn a_purge_counts_what_it_hits_and_drops_it() {
    let fixture = Fixture::default();
    ["/1", "/2"].iter().for_each(|url| fixture.put(url, "", KEPT, "x", 0));
    fixture.put("/3", "", "Cache-Control: max-age=60", "x", 0);
    let bytes = fixture.cache.snapshot().bytes;
    let imagined = fixture.cache.would_clear(&Rule::imagined(vec![tag("t"), url("/1")], Mode::Hard, fixture.at(1)));
    assert_eq!((imagined.matched, imagined.cleared), (2, 0));
    let rule = fixture.cache.purge(vec![tag("t"), url("/1")], Mode::Hard, fixture.at(1));
    fixture.put("/4", "", KEPT, "x", 2);
    let purged = fixture.cache.clear(&rule, Mode::Hard, fixture.at(3));
    assert_eq!(purged, Purged { matched: 2, cleared: 2, bytes: imagined.bytes });
    assert!(purged.bytes > 0 && purged.bytes < bytes);
    assert_eq!((fixture.cache.snapshot().entries, fixture.evicted(Evicted::Purged)), (2, 2));
}

#[test]
fn a_purge_in_steps_comes_to_the_same() {
    for mode in [Mode::Hard, Mode::Soft] {
        let fixture = Fixture::default();
        (0..100).for_each(|n| fixture.put(&format!("/{}/{n}", ["a", "b"][n % 2]), "", KEPT, "x", 0));
        let scopes = || vec![pattern("^/a/")];
        let imagined = fixture.cache.would_clear(&Rule::imagined(scopes(), mode, fixture.at(1)));
        assert_eq!((imagined.matched, imagined.cleared, fixture.cache.snapshot().entries), (50, 0, 100));
        let rule = fixture.cache.purge(scopes(), mode, fixture.at(1));
        let mut clearing = fixture.cache.clearing(&rule, Some(mode), fixture.at(1));
        let mut steps = 1;
        while clearing.step(7) {
            steps += 1;
        }
        assert_eq!((steps, clearing.seen()), (15, 100));
        assert_eq!(clearing.purged(), Purged { cleared: 50, ..imagined });
        drop(clearing);
        assert_eq!(fixture.cache.snapshot().entries, if mode == Mode::Hard { 50 } else { 100 });
    }
}

#[test]
fn a_soft_purge_counts_what_it_hits_and_keeps_it() {
    let fixture = Fixture::default();
    ["/1", "/2"].iter().for_each(|url| fixture.put(url, "", KEPT, "x", 0));
    fixture.cache.purge(vec![url("/2")], Mode::Hard, fixture.at(1));
    let rule = fixture.cache.purge(vec![tag("t")], Mode::Soft, fixture.at(1));
    let epoch = fixture.cache.epoch(&key("/1"));
    // A variant of its own, stored after the purge.
    let entry = fixture.entry(&get("/1", "L: de"), &response(&format!("{KEPT}\nVary: L")), "y", 2, epoch);
    fixture.cache.insert(&key("/3"), Arc::new(entry), epoch).unwrap();
    let purged = fixture.cache.clear(&rule, Mode::Soft, fixture.at(3));
    assert_eq!((purged.matched, purged.cleared), (2, 1), "the one that was purged before is not purged again");
    assert_eq!((fixture.cache.snapshot().entries, fixture.evicted(Evicted::Purged)), (3, 0));
}

#[test]
fn a_sweep_counts_by_reason() {
    let fixture = Fixture::default();
    fixture.put("/purged", "", KEPT, "x", 0);
    fixture.cache.purge(vec![Scope::All], Mode::Hard, fixture.at(1));
    fixture.put("/useless", "", "Cache-Control: max-age=1, stale-if-error=0", "x", 2);
    fixture.put("/fresh", "", KEPT, "x", 2);
    fixture.put("/of-use", "", "Cache-Control: max-age=1, stale-if-error=0\nETag: \"a\"", "x", 2);
    fixture.cache.mark_uncacheable(&key("/marked"), NOBODY, Skip::Private, fixture.at(2));
    fixture.cache.sweep(fixture.at(20));
    let (purged, expired) = (fixture.evicted(Evicted::Purged), fixture.evicted(Evicted::Expired));
    assert_eq!((fixture.cache.snapshot().entries, purged, expired), (2, 1, 1));
    assert!(fixture.cache.peek(&key("/marked")).is_none(), "a mark that counts no longer");
    let stored = fixture.cache.peek(&key("/fresh")).unwrap().variants()[0].clone();
    fixture.cache.forget(&key("/fresh"), &stored, fixture.at(20));
    assert_eq!(fixture.evicted(Evicted::Expired), 2);
}

/// Whether a response is of no use any more at an age.
fn is_useless(fields: &str, age: u64) -> bool {
    let fixture = Fixture::default();
    let entry = fixture.entry(&get("/", ""), &response(fields), "x", 0, Epoch::default());
    entry.is_useless(fixture.at(age))
}

table! {
    of_use_while_fresh: is_useless("Cache-Control: max-age=60, must-revalidate", 60) => false;
    of_use_no_longer: is_useless("Cache-Control: max-age=60, must-revalidate", 61) => true;
    of_use_when_the_origin_fails: is_useless("Cache-Control: max-age=60, stale-if-error=30", 90) => false;
    of_use_no_longer_even_then: is_useless("Cache-Control: max-age=60, stale-if-error=30", 91) => true;
    of_use_to_be_confirmed: is_useless("Cache-Control: max-age=60, must-revalidate\nETag: \"a\"", 60 + 86_400) => false;
    not_confirmed_for_a_day: is_useless("Cache-Control: max-age=60, must-revalidate\nETag: \"a\"", 61 + 86_400) => true;
    of_use_for_longer_than_a_day: is_useless("Cache-Control: max-age=60, stale-if-error=99999\nETag: \"a\"", 99_999) => false;
}

#[test]
fn many_rules_are_held_against_what_is_stored_and_then_forgotten() {
    let fixture = Fixture::default();
    fixture.put("/kept", "", KEPT, "x", 0);
    fixture.put("/gone", "", "Cache-Control: max-age=60\nSurrogate-Key: n7", "x", 0);
    let epoch = fixture.cache.epoch(&key("/late"));
    (0..1100).for_each(|n| drop(fixture.cache.purge(vec![tag(&format!("n{n}"))], Mode::Hard, fixture.at(1))));
    assert!(!fixture.cache.purges.is_full());
    assert_eq!((fixture.found("/kept", "", 2), fixture.found("/gone", "", 2)), ("x".into(), "uri-miss".into()));
    assert_eq!((fixture.cache.snapshot().entries, fixture.evicted(Evicted::Purged)), (1, 1));
    // Its fetch began before rules that nobody remembers: what it has may have been purged.
    let entry = Arc::new(fixture.entry(&get("/late", ""), &response(KEPT), "x", 2, epoch));
    assert_eq!(fixture.cache.insert(&key("/late"), entry, epoch), Err(Skip::Purged));
    assert_eq!(fixture.found("/late", "", 3), "uri-miss");
    fixture.put("/late", "", KEPT, "y", 3);
    assert_eq!(fixture.found("/late", "", 4), "y");
}

#[test]
fn half_of_the_rules_are_forgotten_at_a_time() {
    let fixture = Fixture::default();
    (0..1025).for_each(|_| drop(fixture.cache.purge(vec![tag("n")], Mode::Hard, fixture.at(1))));
    // Who began after the older half is still told what was purged since.
    let mut kept = 0;
    for began in 0..1025 {
        let epoch = Epoch { rules: began, url: 0 };
        let entry = fixture.entry(&get("/", ""), &response(KEPT), "x", 2, epoch);
        kept += u64::from(fixture.cache.purges.spare(&key("/"), &entry));
    }
    assert_eq!(kept, 1025 - 513);
}

#[test]
fn a_mark_counts_for_its_kind_of_request_for_a_moment() {
    let fixture = Fixture::default();
    fixture.cache.mark_uncacheable(&key("/"), NOBODY, Skip::Private, fixture.at(0));
    assert_eq!((fixture.found("/", "", 9), fixture.found("/", "", 10)), ("hit-for-miss".into(), "uri-miss".into()));
    // What is fresh is used all the same; what is not is not waited for.
    fixture.put("/", "", "Cache-Control: max-age=5", "x", 20);
    fixture.cache.mark_uncacheable(&key("/"), NOBODY, Skip::Private, fixture.at(20));
    assert_eq!((fixture.found("/", "", 21), fixture.found("/", "", 26)), ("x".into(), "hit-for-miss".into()));
    assert_eq!(fixture.found("/", "", 30), "stale x");
}
