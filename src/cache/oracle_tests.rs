//! The decisions against those of another program, the crate `http-cache-semantics`, within what it knows.
//!
//! It differs, and on purpose is not followed, in these:
//!
//! - Cookies: it looks at none in requests. Here they make a response personal (RFC 9111 §7.3).
//! - Set-Cookie: it has such responses stale unless they are public. Here they are not stored.
//! - Heuristics: it guesses unless told not to. Here that is off (§4.2.2), and there too in these tests.
//! - What is of no use: it has what is stale on arrival, or varies by `*`, storable. Here it is not stored.
//! - Statuses: it knows a few, and stores no others. Here any final one may be stored with a lifetime (§3).
//! - Date: its age counts from Age alone. Here from Date where that is older (§4.2.3).
//! - `proxy-revalidate`: it has such responses stale at once. Here once their lifetime is over (§5.2.2.8).
//! - `max-stale`: it takes what is stale by less than that, and against `no-cache`, `s-maxage` and `proxy-revalidate`.
//!   Here what is stale by no more than that (§5.2.1.2), and not against the origin's word (§4.2.4).
//! - 304 without a validator that the stored response has too: it takes it for another's. Here the origin was asked
//!   about one response alone.
//! - A 304's fields: it takes up no new ones and keeps the old Age. Here they are added (§3.2), and Age is the 304's.
//! - Names in capitals, a directive twice, without its argument, `Pragma` in responses, `must-understand`, grace and
//!   targeted fields: it knows nothing of these, or something else; the tables have them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_cache_semantics::{AfterResponse, BeforeRequest, CacheOptions, CachePolicy};
use proptest::prelude::*;

use super::{
    fixture::*,
    freshness::Freshness,
    policy::{Demands, reuse},
    *,
};
use crate::header::date;

/// A field line, as both programs are given it.
type Line = (&'static str, String);

/// The moment so many seconds after responses come: that of [`Fixture::received`].
fn wall(seconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(784_111_777_u64.saturating_add_signed(seconds))
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|(name, value)| format!("{name}: {value}\n")).collect()
}

fn value<'a>(lines: &'a [Line], name: &str) -> Option<&'a str> {
    lines.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
}

fn has(lines: &[Line], name: &str, part: &str) -> bool {
    value(lines, name).is_some_and(|value| value.contains(part))
}

fn map(lines: &[Line]) -> http::HeaderMap {
    lines.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
}

fn request(lines: &[Line]) -> http::Request<()> {
    let mut request = http::Request::new(());
    *request.headers_mut() = map(lines);
    request
}

fn answer(status: u16, lines: &[Line]) -> http::Response<()> {
    let mut response = http::Response::new(());
    *response.status_mut() = status.try_into().unwrap();
    *response.headers_mut() = map(lines);
    response
}

fn oracle(asked: &[Line], status: u16, said: &[Line]) -> CachePolicy {
    let options = CacheOptions { shared: true, cache_heuristic: 0.0, ..CacheOptions::default() };
    CachePolicy::new_options(&request(asked), &answer(status, said), wall(0), options)
}

/// Our decision about the same, by the default settings.
fn ours(fixture: &Fixture, asked: &[Line], status: u16, said: &[Line]) -> Result<Entry, Skip> {
    let (request, settings) = (get("/", &text(asked)), fixture.cache.settings());
    let head = ResponseHead::for_tests(status, &text(said).replace('\n', "\r\n"));
    let asker = Asker::of(&request, &fixture.policy, &settings);
    let received = fixture.received(0);
    let storable = policy::store(asker, &head, &fixture.policy, &settings, &received)?;
    let selecting = fixture.cache.selected_by(&head, &request);
    Ok(fixture.bare(&head, selecting, &storable, received.at))
}

fn maybe(name: &'static str, values: Vec<String>) -> impl Strategy<Value = Option<Line>> {
    prop::option::of(prop::sample::select(values).prop_map(move |value| (name, value)))
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn dates(seconds: &[i64]) -> Vec<String> {
    seconds.iter().map(|seconds| date::format(wall(*seconds))).collect()
}

/// Cache-Control with each of these at most once; numbers are multiples of ten.
fn control(
    numbers: &'static [&'static [&'static str]],
    flags: &'static [&'static str],
) -> impl Strategy<Value = Option<Line>> {
    let numbers: Vec<_> = numbers.iter().map(|values| prop::option::of(prop::sample::select(*values))).collect();
    (numbers, prop::sample::subsequence(flags, 0..=flags.len().min(2))).prop_map(|(numbers, flags)| {
        let all: Vec<&str> = numbers.into_iter().flatten().chain(flags).collect();
        (!all.is_empty()).then(|| ("cache-control", all.join(", ")))
    })
}

fn said() -> impl Strategy<Value = Vec<Line>> {
    const NUMBERS: &[&[&str]] =
        &[&["max-age=0", "max-age=60", "max-age=\"90\"", "max-age=soon"], &["s-maxage=0", "s-maxage=30"]];
    const FLAGS: &[&str] = &[
        "no-store",
        "no-cache",
        "private",
        "private=\"x\"",
        "public",
        "must-revalidate",
        "proxy-revalidate",
        "no-transform",
    ];
    let expires = [dates(&[-90, 0, 50, 90]), strings(&["0"])].concat();
    let fields = (
        control(NUMBERS, FLAGS),
        maybe("expires", expires),
        maybe("date", dates(&[-20, 0, 20])),
        maybe("age", strings(&["0", "10", "50", "100"])),
        maybe("etag", strings(&["\"a\"", "W/\"a\""])),
        maybe("last-modified", dates(&[-600])),
        prop::option::weighted(
            0.2,
            prop::sample::select(vec!["x-a", "*", "X-A, x-b"]).prop_map(|vary| ("vary", vary.into())),
        ),
        prop::option::weighted(0.1, Just(("set-cookie", "a=1".to_owned()))),
    );
    fields.prop_map(|(a, b, c, d, e, f, g, h)| [a, b, c, d, e, f, g, h].into_iter().flatten().collect())
}

fn asked() -> impl Strategy<Value = Vec<Line>> {
    let authorization = prop::option::weighted(0.2, Just(("authorization", "Basic YTpi".to_owned())));
    let cookie = prop::option::weighted(0.1, Just(("cookie", "s=1".to_owned())));
    let no_store = prop::option::weighted(0.1, Just(("cache-control", "no-store".to_owned())));
    (authorization, cookie, no_store).prop_map(|(a, b, c)| [a, b, c].into_iter().flatten().collect())
}

fn status() -> impl Strategy<Value = u16> {
    prop_oneof![3 => Just(200), 1 => prop::sample::select(vec![204, 301, 302, 307, 404, 410, 501, 500, 503, 418, 299])]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// RFC 9111 §3, §4.2: what may be stored, for how long it is fresh, how old it is.
    #[test]
    fn storing_and_freshness(asked in asked(), status in status(), said in said(), after in 0..120_u64) {
        let fixture = Fixture::default();
        let oracle = oracle(&asked, status, &said);
        let admitted = policy::admit(&get("/", &text(&asked)), &fixture.policy).is_ok();
        let ours = ours(&fixture, &asked, status, &said).ok().filter(|_| admitted);
        let then = wall(after as i64);
        let now = fixture.at(after);

        let knows_status = !matches!(status, 500 | 503 | 418 | 299);
        prop_assert!(ours.is_none() || oracle.is_storable() || !knows_status);
        let they = oracle.is_storable() && !oracle.is_stale(then);
        let we = ours.as_ref().is_some_and(|entry| entry.freshness(now) == Freshness::Fresh);
        let stricter = has(&asked, "cookie", "") || has(&said, "set-cookie", "") || is_older_by_date(&said);
        let laxer = !knows_status || has(&said, "cache-control", "proxy-revalidate");
        prop_assert!(they == we || they && stricter || we && laxer, "they {they}, we {we}: {said:?}");

        let Some(entry) = ours else { return Ok(()) };
        if is_older_by_date(&said) {
            return Ok(());
        }
        prop_assert_eq!(entry.age(now), oracle.age(then));
        if they && we {
            prop_assert_eq!(entry.ttl(now) as u64, oracle.time_to_live(then).as_secs());
        }
    }

    /// RFC 9111 §5.2.1, §4.1: what the client demands, and which fields selected.
    #[test]
    fn reusing(
        said in said(), first in maybe("x-a", strings(&["1", "2"])), second in maybe("x-a", strings(&["1", "2"])),
        demands in control(
            &[&["max-age=0", "max-age=40"], &["min-fresh=20"], &["max-stale", "max-stale=10", "max-stale=100"]],
            &["no-cache"],
        ),
        // Never on the point, where "less than" and "no more than" part.
        after in (0..12_u64).prop_map(|tens| tens * 10 + 5),
    ) {
        let fixture = Fixture::new(Settings { honour_client_cache_control: true, ..Settings::default() });
        let (first, second): (Vec<Line>, Vec<Line>) =
            (first.into_iter().collect(), second.into_iter().chain(demands).collect());
        let unlike = ["proxy-revalidate", "s-maxage", "no-cache"];
        let takes_stale = has(&second, "cache-control", "max-stale");
        let against = takes_stale && unlike.iter().any(|word| has(&said, "cache-control", word));
        let Ok(entry) = ours(&fixture, &first, 200, &said) else { return Ok(()) };
        if against || is_older_by_date(&said) || has(&said, "cache-control", "proxy-revalidate") {
            return Ok(());
        }
        let asked = get("/", &text(&second));
        let we = entry.selecting.matches(&asked, &fixture.cache.settings())
            && reuse(&entry, &Demands::of(&asked, &fixture.cache.settings()), fixture.at(after)).is_ok();
        let told = oracle(&first, 200, &said).before_request(&request(&second), wall(after as i64));
        prop_assert_eq!(matches!(told, BeforeRequest::Fresh(_)), we);
    }

    /// RFC 9111 §4.3.4: which 304 is about the stored response, and how fresh it is then.
    #[test]
    fn confirming(
        stored in (maybe("etag", strings(&["\"a\"", "W/\"a\""])), maybe("last-modified", dates(&[-600, -60]))),
        said in (
            maybe("etag", strings(&["\"a\"", "W/\"a\"", "\"b\"", "W/\"b\""])),
            maybe("last-modified", dates(&[-600, -60])),
            maybe("cache-control", strings(&["max-age=10", "no-store", "no-cache", "private", "max-age=90"])),
        ),
        after in 0..120_u64,
    ) {
        let fixture = Fixture::default();
        let fresh: Vec<Line> = vec![("cache-control", "max-age=60".into()), ("date", date::format(wall(0)))];
        let stored: Vec<Line> = fresh.into_iter().chain(stored.0).chain(stored.1).collect();
        let date = ("date", date::format(wall(100)));
        let said: Vec<Line> = [Some(date), said.0, said.1, said.2].into_iter().flatten().collect();
        let entry = ours(&fixture, &[], 200, &stored).unwrap();
        let head = ResponseHead::for_tests(304, &text(&said).replace('\n', "\r\n"));
        let confirmed = fixture.cache.confirmed(&entry, &head);
        let told = oracle(&[], 200, &stored).after_response(&request(&[]), &answer(304, &said), wall(100));
        let in_both = |name| value(&stored, name).is_some() && value(&said, name).is_some();
        let AfterResponse::NotModified(oracle, _) = told else {
            prop_assert!(confirmed.is_none() || !(in_both("etag") || in_both("last-modified")));
            return Ok(());
        };
        let Some(head) = confirmed else { return Err(TestCaseError::fail("they have it confirmed")) };
        let received = fixture.received(100);
        let updated = policy::store(NOBODY, &head, &fixture.policy, &fixture.cache.settings(), &received);
        let (now, then) = (fixture.at(100 + after), wall((100 + after) as i64));
        let fresh = updated.ok().is_some_and(|storable| {
            let entry = fixture.bare(&head, Selecting::default(), &storable, received.at);
            entry.freshness(now) == Freshness::Fresh
        });
        prop_assert_eq!(fresh, oracle.is_storable() && !oracle.is_stale(then));
    }
}

/// Whether the age counts from Date, which the oracle does not know.
fn is_older_by_date(said: &[Line]) -> bool {
    value(said, "date") == Some(date::format(wall(-20)).as_str())
}
