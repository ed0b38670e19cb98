//! One line per rule of the decisions, with its section.

use std::time::{Duration, Instant, SystemTime};

use super::{
    Bypass, Settings, Skip,
    freshness::Received,
    policy::{Asker, Shared, Storable, admit, store},
};
use crate::{
    header::{RequestHead, ResponseHead},
    route::Policy,
};

fn request(line: &str, fields: &str) -> RequestHead {
    RequestHead::for_tests(&format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

fn admitted(line: &str, fields: &str) -> Result<(), Bypass> {
    admit(&request(line, fields), &Policy::default())
}

/// The decision for a response of this status and these fields to a GET with these fields.
fn decided(asked: &str, status: u16, fields: &str, policy: &Policy) -> Result<Storable, Skip> {
    let (settings, now) = (Settings::default(), Instant::now());
    let request = request("GET /", asked);
    let asker = Asker::of(&request, policy, &settings);
    let received = Received { requested: now, at: now, wall: SystemTime::now() };
    store(asker, &ResponseHead::for_tests(status, fields), policy, &settings, &received)
}

fn lifetime(asked: &str, status: u16, fields: &str) -> Result<u64, Skip> {
    decided(asked, status, fields, &Policy::default()).map(|storable| storable.terms.lifetime.as_secs())
}

fn on_route(policy: Policy, asked: &str, status: u16, fields: &str) -> Result<u64, Skip> {
    decided(asked, status, fields, &policy).map(|storable| storable.terms.lifetime.as_secs())
}

fn ttl(seconds: u64) -> Policy {
    Policy { ttl: Some(Duration::from_secs(seconds)), ..Policy::default() }
}

fn public() -> Policy {
    Policy { public: true, ..Policy::default() }
}

fn shared(fields: &str) -> (bool, bool) {
    let Shared { with_cookies, with_authorization } = decided("", 200, fields, &Policy::default()).unwrap().shared;
    (with_cookies, with_authorization)
}

macro_rules! table {
    ($($name:ident: $left:expr => $right:expr;)+) => { $(#[test] fn $name() { assert_eq!($left, $right); })+ };
}

const FRESH: &str = "Cache-Control: max-age=60";
const COOKIE: &str = "Cookie: sessionid=1\r\n";
const AUTH: &str = "Authorization: Basic YTpi\r\n";

table! {
    // May the cache take part? RFC 9110 §9.2.3, RFC 9111 §4.
    get_is_admitted: admitted("GET /", "") => Ok(());
    head_is_admitted: admitted("HEAD /", "") => Ok(());
    post_is_not: admitted("POST /", "") => Err(Bypass::Method);
    unknown_method_is_not: admitted("get /", "") => Err(Bypass::Method);
    get_with_a_body_is_not: admitted("GET /", "Content-Length: 1\r\n") => Err(Bypass::Body);
    get_with_an_empty_body_is: admitted("GET /", "Content-Length: 0\r\n") => Ok(());
    upgrade_is_not: admitted("GET /", "Connection: upgrade\r\nUpgrade: websocket\r\n") => Err(Bypass::Upgrade);
    request_no_store_is_not: admitted("GET /", "Cache-Control: no-store\r\n") => Err(Bypass::RequestNoStore);
    request_no_cache_is: admitted("GET /", "Cache-Control: no-cache\r\n") => Ok(());
    range_is: admitted("GET /", "Range: bytes=0-1\r\n") => Ok(());
    if_match_is_not: admitted("GET /", "If-Match: \"a\"\r\n") => Err(Bypass::Conditional);
    if_none_match_is: admitted("GET /", "If-None-Match: \"a\"\r\n") => Ok(());
    method_override_is_not: admitted("GET /", "X-HTTP-Method-Override: DELETE\r\n") => Err(Bypass::Unkeyed);
    rewritten_url_is_not: admitted("GET /", "X-Original-URL: /admin\r\n") => Err(Bypass::Unkeyed);
    switched_off_is_not: admit(&request("GET /", ""), &Policy { cache: false, ..Policy::default() }) => Err(Bypass::Disabled);

    // May it be stored? RFC 9111 §3.
    max_age: lifetime("", 200, FRESH) => Ok(60);
    s_maxage_wins: lifetime("", 200, "Cache-Control: max-age=60, s-maxage=10") => Ok(10);
    no_store: lifetime("", 200, "Cache-Control: max-age=60, no-store") => Err(Skip::NoStore);
    no_store_in_a_second_line: lifetime("", 200, "Cache-Control: max-age=60\r\nCache-Control: no-store") => Err(Skip::NoStore);
    private: lifetime("", 200, "Cache-Control: private, max-age=60") => Err(Skip::Private);
    private_with_a_field: lifetime("", 200, "Cache-Control: private=\"x\", max-age=60") => Err(Skip::Private);
    no_cache: lifetime("", 200, "Cache-Control: no-cache, max-age=60") => Err(Skip::NoCache);
    nothing_stated: lifetime("", 200, "") => Err(Skip::NoFreshness);
    last_modified_alone_is_no_freshness: lifetime("", 200, "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT") => Err(Skip::NoFreshness);
    max_age_zero: lifetime("", 200, "Cache-Control: max-age=0") => Err(Skip::Expired);
    expires_in_the_past: lifetime("", 200, "Expires: Sun, 06 Nov 1994 08:49:37 GMT") => Err(Skip::Expired);
    expires_zero: lifetime("", 200, "Expires: 0") => Err(Skip::Expired);
    older_than_its_lifetime: lifetime("", 200, "Cache-Control: max-age=60\r\nAge: 60") => Err(Skip::Expired);
    younger_than_its_lifetime: lifetime("", 200, "Cache-Control: max-age=60\r\nAge: 59") => Ok(60);
    vary_star: lifetime("", 200, "Cache-Control: max-age=60\r\nVary: *") => Err(Skip::VaryStar);
    vary_star_among_others: lifetime("", 200, "Cache-Control: max-age=60\r\nVary: a\r\nVary: b, *") => Err(Skip::VaryStar);
    vary_by_name: lifetime("", 200, "Cache-Control: max-age=60\r\nVary: Accept") => Ok(60);
    set_cookie: lifetime("", 200, "Cache-Control: public, max-age=60\r\nSet-Cookie: a=1") => Err(Skip::SetCookie);

    // Which statuses? RFC 9111 §3, §4.2.2, RFC 9110 §15.
    partial: lifetime("", 206, FRESH) => Err(Skip::Status);
    not_modified: lifetime("", 304, FRESH) => Err(Skip::Status);
    switching: lifetime("", 101, FRESH) => Err(Skip::Status);
    not_found_when_stated: lifetime("", 404, FRESH) => Ok(60);
    redirect_when_stated: lifetime("", 302, FRESH) => Ok(60);
    error_when_stated: lifetime("", 503, FRESH) => Ok(60);
    unknown_status_when_stated: lifetime("", 299, FRESH) => Ok(60);
    understood: lifetime("", 200, "Cache-Control: max-age=60, no-store, must-understand") => Ok(60);
    not_understood: lifetime("", 299, "Cache-Control: max-age=60, must-understand") => Err(Skip::Status);
    route_ttl: on_route(ttl(30), "", 200, "") => Ok(30);
    origin_wins_over_route_ttl: on_route(ttl(30), "", 200, FRESH) => Ok(60);
    origins_no_store_wins_over_route_ttl: on_route(ttl(30), "", 200, "Cache-Control: no-store") => Err(Skip::NoStore);
    route_ttl_for_not_found: on_route(ttl(30), "", 404, "") => Ok(30);
    no_route_ttl_for_found: on_route(ttl(30), "", 302, "") => Err(Skip::Status);
    no_route_ttl_for_errors: on_route(ttl(30), "", 500, "") => Err(Skip::Status);
    too_large: lifetime("", 200, "Cache-Control: max-age=60\r\nContent-Length: 8388609") => Err(Skip::TooLarge);
    largest: lifetime("", 200, "Cache-Control: max-age=60\r\nContent-Length: 8388608") => Ok(60);

    // Whose is it? RFC 9111 §3.5 and the rule for cookies.
    authorization: lifetime(AUTH, 200, FRESH) => Err(Skip::Authorization);
    authorization_and_public: lifetime(AUTH, 200, "Cache-Control: public, max-age=60") => Ok(60);
    authorization_and_s_maxage: lifetime(AUTH, 200, "Cache-Control: s-maxage=60") => Ok(60);
    authorization_and_must_revalidate: lifetime(AUTH, 200, "Cache-Control: must-revalidate, max-age=60") => Ok(60);
    cookie: lifetime(COOKIE, 200, FRESH) => Err(Skip::Cookie);
    cookie_and_public: lifetime(COOKIE, 200, "Cache-Control: public, max-age=60") => Ok(60);
    cookie_and_s_maxage: lifetime(COOKIE, 200, "Cache-Control: s-maxage=60") => Ok(60);
    cookie_and_must_revalidate: lifetime(COOKIE, 200, "Cache-Control: must-revalidate, max-age=60") => Err(Skip::Cookie);
    ignored_cookie: lifetime("Cookie: _ga=1\r\n", 200, FRESH) => Ok(60);
    cookie_on_a_public_route: on_route(public(), COOKIE, 200, FRESH) => Ok(60);
    private_on_a_public_route: on_route(public(), COOKIE, 200, "Cache-Control: private, max-age=60") => Err(Skip::Private);
    cookie_and_vary_cookie: lifetime(COOKIE, 200, "Cache-Control: public, max-age=60\r\nVary: Cookie") => Err(Skip::Cookie);
    no_cookie_and_vary_cookie: lifetime("", 200, "Cache-Control: max-age=60\r\nVary: Cookie") => Ok(60);
    shared_with_nobody_in_particular: shared(FRESH) => (false, false);
    shared_when_public: shared("Cache-Control: public, max-age=60") => (true, true);
    shared_when_s_maxage: shared("Cache-Control: s-maxage=60") => (true, true);
    shared_with_authorization_only: shared("Cache-Control: must-revalidate, max-age=60") => (false, true);
}

#[test]
fn sharing_names_the_reason_for_its_refusal() {
    let asker = |cookie, authorization| Asker { cookie, authorization };
    let nobody = Shared { with_cookies: false, with_authorization: false };
    assert_eq!(nobody.admits(asker(false, false)), Ok(()));
    assert_eq!(nobody.admits(asker(true, false)), Err(Bypass::Cookie));
    assert_eq!(nobody.admits(asker(false, true)), Err(Bypass::Authorization));
    let everybody = Shared { with_cookies: true, with_authorization: true };
    assert_eq!(everybody.admits(asker(true, true)), Ok(()));
}
