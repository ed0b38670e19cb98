//! What is stored, what is served from the store, and to whom.

use std::time::{Duration, SystemTime};

use crate::common::{Answer, Client, Origin, Received, Sidecar, get, head, ok, post, status};

#[tokio::test]
async fn miss_then_hit() {
    let origin = Origin::new().route("/", ok("hello").header("Cache-Control", "max-age=60")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;

    let miss = sidecar.get("/").await;
    miss.assert_status(200).assert_cache("miss").assert_cache_parameter("stored").assert_body("hello");
    let hit = sidecar.get("/").await;
    hit.assert_status(200).assert_cache("hit").assert_field("cache-control", "max-age=60").assert_body("hello");
    hit.expect(hit.number("age") <= 60, "an age of at most a minute".to_owned());
    origin.assert_requests(1);
}

#[tokio::test]
async fn one_store_for_every_protocol() {
    let origin = Origin::new().route("/", ok("hello").header("Cache-Control", "max-age=60")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).tls().start().await;
    let request = || get("/").header("Host", "shop.test");

    sidecar.send(request()).await.assert_cache("miss").assert_body("hello");
    sidecar.h2c().await.send(request()).await.assert_status(200).assert_cache("hit").assert_body("hello");
    // Another scheme is another resource.
    sidecar.tls_h2().await.send(request()).await.assert_status(200).assert_cache("miss").assert_body("hello");
    sidecar.tls().await.send(request()).await.assert_cache("hit").assert_body("hello");
    sidecar.tls_h2().await.send(request()).await.assert_cache("hit").assert_body("hello");
    origin.assert_requests(2);

    // Filled over HTTP/2, served over HTTP/1.1.
    let other = || get("/?other").header("Host", "shop.test");
    sidecar.h2c().await.send(other()).await.assert_cache("miss").assert_body("hello");
    sidecar.send(other()).await.assert_cache("hit").assert_body("hello");
    origin.assert_requests(3);
}

/// Asks twice for each of these and returns the second answers. The paths name the cases.
async fn second_answers(sidecar: &Sidecar, paths: &[&str]) -> Vec<Answer> {
    let mut second = Vec::new();
    for path in paths {
        sidecar.get(path).await.assert_complete();
        second.push(sidecar.get(path).await);
    }
    second
}

fn date_in(seconds: u64) -> String {
    httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds))
}

#[tokio::test]
async fn what_is_stored() {
    let with = |name: &str, value: &str| ok("hello").header(name, value);
    let origin = Origin::new()
        .route("/max-age", with("Cache-Control", "max-age=60"))
        .route("/public", with("Cache-Control", "public, max-age=60"))
        .route("/case-and-space", with("cache-control", "  Max-Age=60  "))
        .route("/s-maxage-wins", with("Cache-Control", "max-age=0, s-maxage=60"))
        .route("/expires", with("Date", &date_in(0)).header("Expires", &date_in(60)))
        .route("/max-age-wins-over-expires", with("Cache-Control", "max-age=60").header("Expires", "0"))
        .route("/age-leaves-some", with("Cache-Control", "max-age=6000").header("Age", "50"))
        .route("/chunked", with("Cache-Control", "max-age=60").part(" world").chunked())
        .route("/empty", ok("").header("Cache-Control", "max-age=60"))
        .route("/not-found", status(404).part("no").header("Cache-Control", "max-age=60"))
        .route("/moved", status(301).header("Location", "/").header("Cache-Control", "max-age=60"))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let paths = [
        "/max-age",
        "/public",
        "/case-and-space",
        "/s-maxage-wins",
        "/expires",
        "/max-age-wins-over-expires",
        "/age-leaves-some",
        "/chunked",
        "/empty",
        "/not-found",
        "/moved",
    ];
    for answer in second_answers(&sidecar, &paths).await {
        answer.assert_cache("hit").assert_complete();
    }
    origin.assert_requests(paths.len());
    let aged = sidecar.get("/age-leaves-some").await;
    aged.expect(aged.number("age") >= 50, "an age that includes the origin's".to_owned());
    sidecar.get("/chunked").await.assert_body("hello world").assert_field("content-length", "11");
}

#[tokio::test]
async fn what_is_not_stored() {
    let fresh = || ok("hello").header("Cache-Control", "max-age=60");
    let origin = Origin::new()
        .route("/says-nothing", ok("hello"))
        .route("/no-store", ok("hello").header("Cache-Control", "no-store"))
        .route("/no-store-and-max-age", fresh().header("Cache-Control", "no-store"))
        .route("/private", ok("hello").header("Cache-Control", "private, max-age=60"))
        .route("/no-cache", ok("hello").header("Cache-Control", "no-cache, max-age=60"))
        .route("/max-age-zero", ok("hello").header("Cache-Control", "max-age=0"))
        .route("/s-maxage-zero-wins", ok("hello").header("Cache-Control", "max-age=60, s-maxage=0"))
        .route("/expired", ok("hello").header("Expires", "0"))
        .route("/too-old-already", fresh().header("Age", "60"))
        .route("/set-cookie", fresh().header("Set-Cookie", "session=secret"))
        .route("/vary-star", fresh().header("Vary", "*"))
        .route("/partial", status(206).part("he").header("Content-Range", "bytes 0-1/5"))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let paths = [
        "/says-nothing",
        "/no-store",
        "/no-store-and-max-age",
        "/private",
        "/no-cache",
        "/max-age-zero",
        "/s-maxage-zero-wins",
        "/expired",
        "/too-old-already",
        "/set-cookie",
        "/vary-star",
        "/partial",
    ];
    for answer in second_answers(&sidecar, &paths).await {
        assert_from_origin(&answer);
    }
    origin.assert_requests(2 * paths.len());
}

#[track_caller]
fn assert_from_origin(answer: &Answer) {
    let status = answer.fields.joined("cache-status");
    answer
        .assert_complete()
        .expect(status.contains("fwd=") && !status.contains("hit;"), "a Cache-Status with fwd".into());
}

#[tokio::test]
async fn reasons_are_on_the_response() {
    let origin = Origin::new()
        .route("/no-store", ok("hello").header("Cache-Control", "no-store"))
        .route("/private", ok("hello").header("Cache-Control", "private, max-age=60"))
        .route("/set-cookie", ok("hello").header("Cache-Control", "max-age=60").header("Set-Cookie", "a=b"))
        .route("/echo", ok("hello"))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for (path, detail) in [("/no-store", "no-store"), ("/private", "private"), ("/set-cookie", "set-cookie")] {
        sidecar.get(path).await.assert_cache("miss").assert_cache_parameter(&format!("detail={detail}"));
        sidecar.get(path).await.assert_cache("bypass").assert_cache_parameter("detail=hit-for-miss");
    }
    sidecar.send(post("/echo", "a")).await.assert_cache("bypass").assert_cache_parameter("fwd=method");
}

#[tokio::test]
async fn default_ttl_is_for_successes_and_permanent_answers_only() {
    let origin = Origin::new()
        .route("/200", ok("hello"))
        .route("/404", status(404))
        .route("/302", status(302).header("Location", "/"))
        .route("/500", status(500))
        .route("/503", status(503))
        .route("/no-store", ok("hello").header("Cache-Control", "no-store"))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).config("[cache]\ndefault_ttl = \"60s\"").start().await;
    for answer in second_answers(&sidecar, &["/200", "/404"]).await {
        answer.assert_cache("hit");
    }
    for answer in second_answers(&sidecar, &["/302", "/500", "/503", "/no-store"]).await {
        assert_from_origin(&answer);
    }
}

#[tokio::test]
async fn routes_give_a_ttl_switch_off_and_declare_public() {
    let origin = Origin::new()
        .route("/news/today", ok("news"))
        .route("/live/score", ok("score").header("Cache-Control", "max-age=60"))
        .route("/shared/page", ok("page").header("Cache-Control", "max-age=60"))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin)
        .config("[[route]]\nname = \"news\"\nmatch = \"/news/*\"\nttl = \"60s\"")
        .config("[[route]]\nname = \"live\"\nmatch = \"/live/**\"\ncache = false")
        .config("[[route]]\nname = \"shared\"\nmatch = \"/shared/*\"\npublic = true")
        .start()
        .await;
    for answer in second_answers(&sidecar, &["/news/today", "/shared/page"]).await {
        answer.assert_cache("hit");
    }
    for answer in second_answers(&sidecar, &["/live/score"]).await {
        answer.assert_cache("bypass").assert_cache_parameter("detail=disabled");
    }
    let personal = get("/shared/page").header("Cookie", "session=1").header("Authorization", "Basic YTpi");
    sidecar.send(personal).await.assert_cache("hit").assert_body("page");
}

/// An origin that answers everybody with what it was sent, so that a mix-up shows in the body.
async fn personal_origin(cache_control: &'static str) -> Origin {
    let script = move |received: &Received| {
        let cookie = received.fields.joined("cookie");
        let authorization = received.fields.joined("authorization");
        ok(format!("for [{cookie}] [{authorization}]")).header("Cache-Control", cache_control)
    };
    Origin::new().otherwise(script).start().await
}

#[tokio::test]
async fn requests_with_cookies_neither_use_nor_fill_the_shared_cache() {
    let origin = personal_origin("max-age=60").await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let ask = |path, name: &str| sidecar.send(get(path).header("Cookie", &format!("session={name}")));

    // Does not fill: the second person and nobody in particular have their own answers.
    ask("/", "ann").await.assert_body("for [session=ann] []");
    ask("/", "bob").await.assert_body("for [session=bob] []");
    sidecar.get("/").await.assert_body("for [] []");
    // Does not use what was stored for nobody in particular.
    sidecar.get("/stored").await.assert_cache("miss").assert_body("for [] []");
    sidecar.get("/stored").await.assert_cache("hit");
    let personal = ask("/stored", "ann").await;
    assert_from_origin(&personal);
    personal.assert_body("for [session=ann] []");
    // Nor does it replace it.
    sidecar.get("/stored").await.assert_cache("hit").assert_body("for [] []");
}

#[tokio::test]
async fn public_responses_are_shared_with_requests_that_have_cookies() {
    for cache_control in ["public, max-age=60", "s-maxage=60"] {
        let origin = personal_origin(cache_control).await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        let ask = |name: &str| sidecar.send(get("/").header("Cookie", &format!("session={name}")));
        ask("ann").await.assert_cache("miss").assert_body("for [session=ann] []");
        ask("bob").await.assert_cache("hit").assert_body("for [session=ann] []");
        sidecar.get("/").await.assert_cache("hit");
        origin.assert_requests(1);
    }
}

#[tokio::test]
async fn ignored_cookies_do_not_count() {
    let origin = personal_origin("max-age=60").await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache("miss");
    for cookies in ["_ga=1", "_ga_AB12=2; _gid=3", "_fbp=4"] {
        sidecar.send(get("/").header("Cookie", cookies)).await.assert_cache("hit");
    }
    let mixed = sidecar.send(get("/").header("Cookie", "_ga=1; session=ann")).await;
    mixed.assert_body("for [_ga=1; session=ann] []");

    let own = Sidecar::in_front_of(&origin).config("[cache]\nignore_cookies = [\"theme\"]").start().await;
    own.get("/").await.assert_cache("miss");
    own.send(get("/").header("Cookie", "theme=dark")).await.assert_cache("hit");
    assert_from_origin(&own.send(get("/").header("Cookie", "_ga=1")).await);
}

#[tokio::test]
async fn requests_with_authorization_share_only_what_says_so() {
    let shared = ["public, max-age=60", "s-maxage=60", "must-revalidate, max-age=60"];
    for (cache_control, is_shared) in shared.map(|shared| (shared, true)).into_iter().chain([("max-age=60", false)]) {
        let origin = personal_origin(cache_control).await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;
        let ask = |who: &str| sidecar.send(get("/").header("Authorization", &format!("Bearer {who}")));
        ask("ann").await.assert_body("for [] [Bearer ann]");
        if is_shared {
            ask("bob").await.assert_cache("hit").assert_body("for [] [Bearer ann]");
        } else {
            ask("bob").await.assert_body("for [] [Bearer bob]");
            sidecar.get("/").await.assert_body("for [] []");
        }
    }
}

#[tokio::test]
async fn hosts_schemes_paths_and_queries_are_told_apart() {
    let script = |received: &Received| {
        ok(format!("{} {}", received.field("host").unwrap_or_default(), received.target))
            .header("Cache-Control", "max-age=60")
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let targets = [
        ("a.test", "/x"),
        ("b.test", "/x"),
        ("a.test", "/X"),
        ("a.test", "/x?"),
        ("a.test", "/x?q=1"),
        ("a.test", "/x?q=2"),
        ("a.test", "/%78"),
        ("a.test", "/x/../x"),
        ("a.test:8080", "/x"),
    ];
    for (host, target) in targets {
        let answer = sidecar.send(get(target).header("Host", host)).await;
        answer.assert_cache("miss").assert_body(format!("{host} {target}"));
    }
    for (host, target) in targets {
        let answer = sidecar.send(get(target).header("Host", host)).await;
        answer.assert_cache("hit").assert_body(format!("{host} {target}"));
    }
    // The same host, otherwise written (RFC 9110 §4.2.3).
    for host in ["A.TEST", "a.test:80", "A.Test:"] {
        sidecar.send(get("/x").header("Host", host)).await.assert_cache("hit").assert_body("a.test /x");
    }
    origin.assert_requests(targets.len());
}

#[tokio::test]
async fn head_is_answered_from_a_stored_get() {
    let origin = Origin::new().route("/", ok("hello").header("Cache-Control", "max-age=60")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache("miss");
    let answer = sidecar.send(head("/")).await;
    answer.assert_status(200).assert_cache("hit").assert_field("content-length", "5").assert_body("");
    origin.assert_requests(1);
}

#[tokio::test]
async fn head_does_not_fill() {
    let origin = Origin::new().route("/", ok("hello").header("Cache-Control", "max-age=60")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let answer = sidecar.send(head("/")).await;
    answer.assert_status(200).assert_field("content-length", "5").assert_body("");
    sidecar.get("/").await.assert_cache("miss").assert_body("hello");
    assert_eq!(origin.log().iter().map(|received| &*received.method).collect::<Vec<_>>(), ["HEAD", "GET"]);
}

#[tokio::test]
async fn known_copies_are_confirmed_from_the_store() {
    let modified = "Mon, 05 Jan 2026 08:00:00 GMT";
    let response = ok("hello").header("Cache-Control", "max-age=60").header("ETag", "\"v1\"");
    let origin = Origin::new().route("/", response.header("Last-Modified", modified)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache("miss");

    for (name, value) in [
        ("If-None-Match", "\"v1\""),
        ("If-None-Match", "W/\"v1\""),
        ("If-None-Match", "\"v0\", \"v1\""),
        ("If-None-Match", "*"),
        ("If-Modified-Since", modified),
    ] {
        let answer = sidecar.send(get("/").header(name, value)).await;
        answer.assert_status(304).assert_cache("hit").assert_field("etag", "\"v1\"").assert_body("");
        answer.assert_field("cache-control", "max-age=60").assert_no_field("content-type");
    }
    for (name, value) in [("If-None-Match", "\"v0\""), ("If-Modified-Since", "Sun, 04 Jan 2026 08:00:00 GMT")] {
        sidecar.send(get("/").header(name, value)).await.assert_status(200).assert_cache("hit").assert_body("hello");
    }
    origin.assert_requests(1);
}

#[tokio::test]
async fn variants_are_chosen_by_the_fields_that_vary() {
    let script = |received: &Received| {
        ok(format!("in {}", received.field("accept-language").unwrap_or("any")))
            .header("Cache-Control", "max-age=60")
            .header("Vary", "Accept-Language")
    };
    let origin = Origin::new().route("/", script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let ask = |language: &str| sidecar.send(get("/").header("Accept-Language", language));
    ask("en").await.assert_cache("miss").assert_cache_parameter("fwd=uri-miss").assert_body("in en");
    ask("fr").await.assert_cache("miss").assert_cache_parameter("fwd=vary-miss").assert_body("in fr");
    ask("en").await.assert_cache("hit").assert_body("in en");
    ask("fr").await.assert_cache("hit").assert_body("in fr");
    sidecar.get("/").await.assert_cache("miss").assert_body("in any");
    origin.assert_requests(3);
}

#[tokio::test]
async fn body_over_the_limit_is_delivered_and_not_stored() {
    let large = crate::common::noise(100_000);
    let origin = Origin::new()
        .route("/length", ok(&large).header("Cache-Control", "max-age=60"))
        .route("/chunked", ok(&large).header("Cache-Control", "max-age=60").chunked())
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).config("[cache]\nmax_object_bytes = \"64KiB\"").start().await;
    for path in ["/length", "/chunked", "/length", "/chunked"] {
        let answer = sidecar.get(path).await;
        assert_from_origin(&answer);
        answer.assert_body(&large);
    }
    origin.assert_requests(4);
}

#[tokio::test]
async fn field_that_connection_names_chooses_no_variant() {
    let script = |received: &Received| {
        ok(format!("in {}", received.field("accept-language").unwrap_or("any")))
            .header("Cache-Control", "max-age=60")
            .header("Vary", "Accept-Language")
    };
    let origin = Origin::new().route("/", script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    // The app is not told the language, so what it answers is not in that language.
    let asked = get("/").header("Accept-Language", "de");
    let stripped = asked.clone().header("Connection", "keep-alive, Accept-Language");
    sidecar.send(stripped).await.assert_cache("bypass").assert_body("in any");
    sidecar.send(asked).await.assert_cache("miss").assert_body("in de");
}

#[tokio::test]
async fn answer_that_varies_by_who_asks_is_not_shared() {
    let script = |received: &Received| {
        ok(received.field("x-forwarded-for").unwrap_or_default())
            .header("Cache-Control", "max-age=60")
            .header("Vary", "Accept, X-Forwarded-For")
    };
    let origin = Origin::new().route("/", script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    // The field is not in what the clients send, and yet the app sees two values of it.
    for address in ["127.0.0.1", "127.0.0.2"] {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
        let stream = socket.connect(sidecar.addr()).await.unwrap();
        Client::over(stream, "a".to_owned()).get("/").await.assert_body(address);
    }
}

#[tokio::test]
async fn coding_goes_only_to_those_who_accept_it() {
    // An app that negotiates and forgets to say so.
    let script = |received: &Received| match received.field("accept-encoding") {
        Some("gzip") => ok("coded").header("Content-Encoding", "gzip").header("Cache-Control", "max-age=60"),
        _ => ok("plain").header("Cache-Control", "max-age=60"),
    };
    let origin = Origin::new().route("/", script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config("[compression]\ncodings = []").start().await;
    let coded = || get("/").header("Accept-Encoding", "gzip");
    sidecar.send(coded()).await.assert_cache("miss").assert_body("coded");
    sidecar.send(coded()).await.assert_cache("hit").assert_body("coded");
    sidecar.get("/").await.assert_cache("miss").assert_body("plain");
    sidecar.get("/").await.assert_cache("hit").assert_body("plain");
}

#[tokio::test]
async fn what_is_of_no_use_any_more_is_swept() {
    let short = ok("short").header("Cache-Control", "max-age=1");
    let long = ok("long").header("Cache-Control", "max-age=600");
    let origin = Origin::new().route("/short", short).route("/long", long).start().await;
    let sweeping = "[cache]\nsweep_interval = \"1s\"\nstale_if_error = \"0s\"";
    let sidecar = Sidecar::in_front_of(&origin).config(sweeping).start().await;
    for path in ["/short", "/long"] {
        sidecar.get(path).await.assert_cache_parameter("stored");
    }
    sidecar.until_metric("pacecar_cache_evictions_total{reason=\"expired\"}", 1.0).await;
    assert_eq!(sidecar.metric("pacecar_cache_entries").await, 1.0);
    sidecar.get("/long").await.assert_cache("hit");
}
