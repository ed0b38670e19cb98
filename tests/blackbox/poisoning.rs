//! Cache poisoning: one client's request must not decide what another is answered. Every row is an attack, and every
//! answer is held against what its owner would have been told by the app itself.

mod bench;

use crate::common::{Request, get, head, post, request};

use self::bench::{Bench, Row, field, row};

/// Both kinds of answers that are stored for everybody.
const STORED: [&str; 2] = ["max-age=60", "public, max-age=60"];

/// Fields that steer apps and are no part of the URL.
fn fields_that_steer() -> Vec<Row> {
    vec![
        field("X-Forwarded-Host", "evil.test"),
        field("X-Forwarded-Proto", "https"),
        field("X-Forwarded-Scheme", "https"),
        field("X-Forwarded-Ssl", "on"),
        field("X-Forwarded-Port", "444"),
        field("X-Forwarded-Prefix", "/evil"),
        field("X-Forwarded-Server", "evil.test"),
        field("X-Forwarded-Path", "/evil"),
        row(
            "two X-Forwarded-Host",
            get("/").header("X-Forwarded-Host", "a.test").header("X-Forwarded-Host", "evil.test"),
        ),
        field("X-Host", "evil.test"),
        field("X-HTTP-Host-Override", "evil.test"),
        field("X-Original-Host", "evil.test"),
        field("X-Original-URL", "/admin"),
        field("X-Rewrite-URL", "/admin"),
        field("X-HTTP-Method-Override", "POST"),
        field("X-HTTP-Method", "DELETE"),
        field("X-Method-Override", "PUT"),
        field("Front-End-Https", "on"),
        field("X-Url-Scheme", "https"),
        // RFC 3875 §4.1.18: to an app behind CGI or WSGI the same as with dashes.
        field("X_Forwarded_Host", "evil.test"),
        field("X_Forwarded-Proto", "https"),
        field("X_Original_URL", "/admin"),
        field("Accept_Language", "xx").answer("Vary", "Accept-Language"),
        field("Forwarded", "host=evil.test"),
        field("Forwarded", "for=192.0.2.1;host=evil.test;proto=https"),
        field("Forwarded", "for=\"_a,b\";host=evil.test"),
        field("Forwarded", "for=\"_a;b\";host=evil.test"),
        row("two Forwarded", get("/").header("Forwarded", "for=a").header("Forwarded", "for=b;host=evil.test")),
    ]
}

#[tokio::test]
async fn fields_that_steer_the_app_reach_no_other_from_anybody() {
    let mut rows = fields_that_steer();
    // Of somebody who is not trusted, these are not passed on at all.
    rows.push(field("X-Forwarded-For", "192.0.2.1"));
    rows.push(field("X-Real-IP", "192.0.2.1"));
    rows.push(field("Forwarded", "for=192.0.2.1"));
    Bench::new("trusted_proxies = []").await.run(&STORED, &rows).await;
}

#[tokio::test]
async fn fields_that_steer_the_app_reach_no_other_from_a_trusted_proxy() {
    let mut rows = fields_that_steer();
    rows.push(field("Forwarded", "for=192.0.2.1, for=192.0.2.2;host=evil.test"));
    rows.push(field("X-Real-IP", "192.0.2.1"));
    // The client's address is each one's own: an app that shows it says so, or all see the first one's.
    rows.push(field("X-Forwarded-For", "192.0.2.1").shared());
    rows.push(field("Forwarded", "for=192.0.2.1").shared());
    rows.push(field("X-Forwarded-For", "192.0.2.1").answer("Vary", "X-Forwarded-For"));
    rows.push(field("Forwarded", "for=192.0.2.1").answer("Vary", "Accept, Forwarded"));
    rows.push(field("X-Real-IP", "192.0.2.1").answer("Vary", "X-Real-IP"));
    Bench::new("").await.run(&STORED, &rows).await;
}

#[tokio::test]
async fn bodies_of_gets_and_other_methods_reach_no_other() {
    let fat = |method| request(method, "/");
    let rows = [
        row("GET with a length", Request { body: post("/", "evil=1").body, ..get("/") }),
        row("GET with chunks", get("/").chunks(["evil", "=1"])),
        row("GET with an empty body", get("/").header("Content-Length", "0")).h1().one_way(),
        row("HEAD", head("/")),
        row("POST", post("/", "evil=1")).one_way(),
        row("PUT", fat("PUT")).one_way(),
        row("DELETE", fat("DELETE")).one_way(),
        row("OPTIONS", fat("OPTIONS")),
        row("a method of one's own", fat("EVIL")).one_way(),
        row("a method in small letters", fat("get")).one_way(),
    ];
    Bench::new("").await.run(&STORED, &rows).await;
}

#[tokio::test]
async fn hosts_are_told_apart_and_what_is_none_is_refused() {
    let host = |name, value| row(name, get("/").header("Host", value));
    let rows = [
        // RFC 9110 §4.2.3: the same URL. The app is asked in the one form that all share.
        host("in capitals", "A.TEST").one_way(),
        host("with the default port", "a.test:80").one_way(),
        host("with an empty port", "a.test:").one_way(),
        host("with another port", "a.test:81"),
        host("with the port of https", "a.test:443"),
        host("with a dot at the end", "a.test.").h1(),
        host("that goes on", "a.test.evil.test"),
        host("with a path", "a.test/x").refused(400),
        host("with a path and the target's rest", "a.test/").refused(400),
        host("with a user", "evil@a.test").refused(400),
        host("with a space", "a.test evil").refused(400),
        host("with a comma", "a.test, evil.test").refused(400),
        host("with a query", "a.test?x").refused(400),
        host("with a fragment", "a.test#x").refused(400),
        host("with a backslash", "a.test\\x").refused(400),
        host("with a quote", "a.test\"x").refused(400),
        host("with a port that is none", "a.test:80x").refused(400),
        host("with a large port", "a.test:65536").refused(400),
        host("with two ports", "a.test:80:80").refused(400),
        host("empty", "").refused(400),
        // RFC 9112 §3.2.2: the target's authority counts, and Host does not.
        row("in the target, another in Host", get("http://evil.a.test/").header("Host", "a.test")).h1(),
        row("in Host, another in the target", get("http://a.test/").header("Host", "evil.test")).h1(),
        row("in the target, by the other scheme", get("https://a.test/")).h1(),
        row("in the target, with a user", get("http://evil@a.test/")).refused(400),
        row("in the target alone, malformed", get("http://a.test:x/")).refused(400),
    ];
    Bench::new("").await.run(&STORED, &rows).await;
    Bench::new("trusted_proxies = []").await.run(&STORED, &rows).await;
}

#[tokio::test]
async fn targets_are_told_apart_byte_by_byte() {
    let rows = [
        ("//x/y", "/x/y"),
        ("/x//y", "/x/y"),
        ("/./x/y", "/x/y"),
        ("/z/../x/y", "/x/y"),
        ("/%2e%2e/x/y", "/x/y"),
        ("/z/%2e%2e/x/y", "/x/y"),
        ("/x%2Fy", "/x/y"),
        ("/x%2fy", "/x%2Fy"),
        ("/x/y;v=1", "/x/y"),
        ("/x/y?", "/x/y"),
        ("/x/y/", "/x/y"),
        ("/x?a=1&b=2", "/x?b=2&a=1"),
        ("/x?a=1&a=2", "/x?a=2"),
        ("/x?a=1;b=2", "/x?a=1"),
        ("/x?utm_source=evil", "/x"),
        ("/X/y", "/x/y"),
        ("/%41", "/A"),
        ("/x%00", "/x"),
        ("/x%20", "/x"),
        ("/x?a=%41", "/x?a=A"),
        ("/x+y", "/x%20y"),
    ];
    let rows = rows.map(|(attack, victim)| row(attack, get(attack)).victim(get(victim)));
    let bench = Bench::new("").await;
    bench.run(&STORED, &rows).await;
    let odd = [
        row("backslash", get("/x\\y")).victim(get("/x/y")).h1(),
        row("absolute-form", get("http://a.test/x")).victim(get("/x")).h1(),
        row("absolute-form without a path", get("http://a.test")).victim(get("/")).h1(),
        row("absolute-form with a query alone", get("http://a.test?x")).victim(get("/?x")).h1(),
        row("fragment", get("/x#y")).victim(get("/x")).refused(400),
        row("space", get("/x y")).victim(get("/x")).refused(400),
        row("no path", get("x")).victim(get("/x")).refused(400),
    ];
    bench.run(&STORED, &odd).await;
}

#[tokio::test]
async fn variants_are_chosen_by_all_that_vary_names() {
    let language = |value| field("Accept-Language", value).answer("Vary", "Accept-Language");
    let rows = [
        field("X-Theme", "evil").answer("Vary", "X-Theme"),
        field("X-Theme", "evil").answer("Vary", "x-THEME"),
        field("X-Theme", "").answer("Vary", "X-Theme"),
        field("X-Theme", "evil").answer("Vary", "Accept").answer("Vary", "X-Theme"),
        field("X-Theme", "evil").answer("Vary", "Accept, , X-Theme"),
        field("X-Theme", "evil").answer("Vary", "*"),
        field("X-Theme", "evil").answer("Vary", "Accept, *"),
        row("two lines", get("/").header("X-Theme", "a").header("X-Theme", "b"))
            .victim(get("/").header("X-Theme", "a"))
            .answer("Vary", "X-Theme"),
        row("the same in two lines", get("/").header("X-Theme", "b").header("X-Theme", "a"))
            .victim(get("/").header("X-Theme", "a").header("X-Theme", "b"))
            .answer("Vary", "X-Theme"),
        row("value in another case", get("/").header("X-Theme", "EVIL"))
            .victim(get("/").header("X-Theme", "evil"))
            .answer("Vary", "X-Theme"),
        language("xx"),
        language("xx").victim(get("/").header("Accept-Language", "xx;q=0.1")),
        language("xx, yy").victim(get("/").header("Accept-Language", "yy, xx")),
        field("Accept-Encoding", "gzip").answer("Vary", "Accept-Encoding"),
        field("Accept-Encoding", "gzip")
            .answer("Vary", "Accept-Encoding")
            .victim(get("/").header("Accept-Encoding", "gzip;q=0")),
        field("Accept-Encoding", "gzip").answer("Content-Encoding", "gzip"),
        field("User-Agent", "evil").answer("Vary", "User-Agent"),
        field("Origin", "http://evil.test").answer("Vary", "Origin"),
        field("Cookie", "session=evil").answer("Vary", "Cookie"),
        field("Authorization", "Bearer evil").answer("Vary", "Authorization"),
        field("Authorization", "Bearer evil")
            .victim(get("/").header("Authorization", "Bearer good"))
            .answer("Vary", "Authorization"),
        // RFC 9110 §7.6.1: named in Connection, it never reaches the app.
        row("Connection names it", get("/").header("Accept-Language", "de").header("Connection", "accept-language"))
            .victim(get("/").header("Accept-Language", "de"))
            .answer("Vary", "Accept-Language")
            .h1(),
        row("Connection names a cookie", get("/").header("Cookie", "s=1").header("Connection", "cookie"))
            .victim(get("/").header("Cookie", "s=1"))
            .refused(400),
        row("Connection names Authorization", get("/").header("Connection", "close, Authorization"))
            .victim(get("/").header("Authorization", "Bearer good"))
            .refused(400),
        row("Connection names X-Forwarded-Host", get("/").header("Connection", "X-Forwarded-Host")).refused(400),
        row("Connection names what is not there", get("/").header("Connection", "keep-alive, X-Theme"))
            .victim(get("/").header("X-Theme", "good"))
            .answer("Vary", "X-Theme")
            .h1(),
    ];
    let bench = Bench::new("").await;
    bench.run(&STORED, &rows).await;
    // RFC 9111 §4.1: what Vary does not name, the answer is not chosen by. An app that builds such a field into it all the
    // same tells everybody what the first one sent; no cache can know.
    let unsaid = ["Accept", "Accept-Language", "User-Agent", "Referer", "Origin", "X-Theme", "Cache-Control", "Pragma"];
    bench.run(&STORED, &unsaid.map(|name| field(name, "evil").shared())).await;
}

#[tokio::test]
async fn persons_are_told_apart_unless_the_app_says_public() {
    let cookie = |value: &str| get("/").header("Cookie", value);
    let bearer = |value: &str| get("/").header("Authorization", &format!("Bearer {value}"));
    let pairs = || {
        [
            row("a cookie, and none", cookie("session=ann")),
            row("two cookies", cookie("session=ann")).victim(cookie("session=bob")),
            row("in two lines", cookie("a=1").header("Cookie", "session=ann")).victim(cookie("a=1; session=bob")),
            row("no pair", cookie("ann")).victim(cookie("bob")),
            row("ignored and not", cookie("_ga=1; session=ann")).victim(cookie("_ga=1")),
            row("Authorization, and none", bearer("ann")),
            row("two Authorizations", bearer("ann")).victim(bearer("bob")),
            row("both, and one", bearer("ann").header("Cookie", "session=ann")).victim(bearer("ann")),
        ]
    };
    let bench = Bench::new("").await;
    bench
        .run(
            &["max-age=60", "private, max-age=60", "no-store", "no-cache", "max-age=60, proxy-revalidate", ""],
            &pairs(),
        )
        .await;
    bench.run(&["public, max-age=60", "s-maxage=60"], &pairs().map(Row::shared)).await;
    // What sets a cookie is somebody's own, whatever else it says.
    let setting = pairs().map(|row| row.answer("Set-Cookie", "session=new"));
    bench.run(&["max-age=60", "public, max-age=60", "s-maxage=60"], &setting).await;
    // RFC 9111 §3.5: must-revalidate allows sharing in spite of Authorization, not in spite of a cookie.
    let authorized = [row("must-revalidate", bearer("ann")).shared(), row("cookie", cookie("session=ann"))];
    bench.run(&["max-age=60, must-revalidate"], &authorized).await;
    // The operator says that these mean nothing: what an app makes of them all the same is everybody's.
    let ignored = [row("ignored", cookie("_ga=1")).shared(), row("ignored", cookie("_ga=1; _gid=2")).shared()];
    bench.run(&STORED, &ignored).await;
    let varied = [row("cookies vary", cookie("session=ann")).victim(cookie("session=bob")).answer("Vary", "Cookie")];
    bench.run(&STORED, &varied).await;
}

#[tokio::test]
async fn preconditions_and_ranges_of_one_reach_no_other() {
    let rows = [
        field("Range", "bytes=0-3"),
        field("Range", "bytes=0-3").victim(head("/")),
        row("Range and If-Range", get("/").header("Range", "bytes=0-3").header("If-Range", "\"evil\"")),
        field("If-Range", "\"evil\""),
        field("If-None-Match", "\"evil\""),
        field("If-None-Match", "*"),
        field("If-Modified-Since", "Sun, 04 Jan 2026 08:00:00 GMT"),
        field("If-Match", "\"evil\""),
        field("If-Unmodified-Since", "Sun, 04 Jan 2026 08:00:00 GMT"),
        field("Cache-Control", "no-store"),
        row("Expect", get("/").header("Expect", "evil")).refused(417),
    ];
    let rows = rows.map(Row::one_way);
    Bench::new("").await.run(&STORED, &rows).await;
}
