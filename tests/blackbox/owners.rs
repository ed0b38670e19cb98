//! Whose answer it is when the app's answer depends on more than the URL: errors that one client causes, refreshes,
//! confirmations and stand-ins, interim responses, and paths that an app reads otherwise than the operator's routes do.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use crate::common::{Gate, Origin, Received, Response, Sidecar, get, head, ok, request, status};

/// What tells somebody in particular.
const PERSONAL: [(&str, &str); 2] = [("Cookie", "session=ann"), ("Authorization", "Bearer ann")];

fn who(received: &Received) -> String {
    format!("for [{}] [{}]", received.fields.joined("cookie"), received.fields.joined("authorization"))
}

/// An error that the app answers to one client's own field: 400 to a field it cannot read, 431 to a long one and so on.
async fn error_for_one(code: u16, cache_control: Option<&'static str>) -> (Origin, Sidecar) {
    let script = move |received: &Received| match (received.field("x-evil"), cache_control) {
        (Some(_), Some(cache_control)) => status(code).part("no").header("Cache-Control", cache_control),
        (Some(_), None) => status(code).part("no"),
        (None, _) => ok("yes").header("Cache-Control", "max-age=60"),
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config("[cache]\ndefault_ttl = \"60s\"").start().await;
    (origin, sidecar)
}

#[tokio::test]
async fn error_that_one_client_causes_is_no_others_unless_the_app_gives_it_a_lifetime() {
    // About the request itself, not about its URL: the next one's answer is stored, as if the attack had not been.
    for code in [400, 406, 408, 412, 413, 415, 416, 417, 421, 422, 425, 428, 429, 431, 500, 502, 503, 504] {
        let (_origin, sidecar) = error_for_one(code, None).await;
        for long in ["1".to_owned(), "x".repeat(15_000)] {
            sidecar.send(get(&format!("/{}", long.len())).header("X-Evil", &long)).await.assert_status(code);
            for expected in ["miss", "hit"] {
                let victim = sidecar.get(&format!("/{}", long.len())).await;
                victim.expect(victim.status == 200, format!("200 after {code}")).assert_body("yes");
                victim.assert_cache(expected);
            }
        }
    }
    // About the URL, as far as anybody can tell: not stored, and for a moment not tried to.
    for code in [401, 403, 409] {
        let (_origin, sidecar) = error_for_one(code, None).await;
        sidecar.send(get("/").header("X-Evil", "1")).await.assert_status(code);
        sidecar.get("/").await.assert_status(200).assert_body("yes");
    }
    // RFC 9111 §3: an app that gives an error a lifetime says that it is the URL's. So it is for all, and the same holds
    // for those that a default lifetime may be given to (RFC 9110 §15.1) where the operator gives one.
    for code in [400, 404, 414, 431, 501, 503] {
        let (_origin, sidecar) = error_for_one(code, Some("max-age=60")).await;
        sidecar.send(get("/").header("X-Evil", "1")).await.assert_status(code).assert_cache("miss");
        sidecar.get("/").await.assert_status(code).assert_cache("hit");
    }
    for (code, expected) in [(404, "hit"), (405, "hit"), (410, "hit"), (414, "hit"), (501, "miss")] {
        let (_origin, sidecar) = error_for_one(code, None).await;
        sidecar.send(get("/").header("X-Evil", "1")).await.assert_status(code);
        sidecar.get("/").await.assert_status(if expected == "hit" { code } else { 200 }).assert_cache(expected);
    }
}

#[tokio::test]
async fn what_the_sidecar_itself_refuses_is_no_others() {
    let origin = Origin::new().otherwise(ok("yes").header("Cache-Control", "max-age=60")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let long = "x".repeat(200_000);
    for (attack, refused) in [
        (get("/").header("X-Evil", &long), 431),
        (get("/").header("Expect", "evil"), 417),
        (get("/").header("Connection", "host"), 400),
        (request("EVIL\0", "/"), 400),
    ] {
        sidecar.send(attack).await.assert_status(refused);
    }
    sidecar.get("/").await.assert_status(200).assert_cache("miss").assert_body("yes");
}

/// An app whose answers are stale when they come, with these directives besides: what is stored is refreshed, or stands
/// in, at once.
async fn stale(directives: &'static str, fails: Arc<AtomicBool>) -> (Origin, Sidecar) {
    let cache_control = format!("max-age=60, {directives}");
    let script = move |received: &Received| match fails.load(SeqCst) {
        true => status(503),
        false => ok(who(received)).header("Cache-Control", &cache_control).header("Age", "60"),
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    (origin, sidecar)
}

#[tokio::test]
async fn refresh_is_nobodys_and_stale_answers_keep_their_owners() {
    for (name, value) in PERSONAL {
        // Not public: stored for nobody in particular, and used for nobody else.
        let (origin, sidecar) = stale("stale-while-revalidate=600", Arc::default()).await;
        sidecar.get("/").await.assert_body("for [] []");
        let own = sidecar.send(get("/").header(name, value)).await;
        own.assert_cache("bypass").assert_body(who(&origin.last()));
        assert!(own.text().contains("ann"), "{own}");
        sidecar.get("/").await.assert_cache("hit").assert_body("for [] []");

        // Public: the first one's answer is everybody's, and so is a refresh, which goes without who asked for it.
        let (origin, sidecar) = stale("public, stale-while-revalidate=600", Arc::default()).await;
        let first = sidecar.send(get("/").header(name, value)).await;
        let bobs = sidecar.send(get("/").header(name, "session=bob")).await;
        bobs.assert_cache("hit").assert_cache_parameter("detail=stale-while-revalidate").assert_body(&first.body);
        origin.wait_for_requests(2).await;
        let refresh = origin.last();
        assert_eq!((refresh.field("cookie"), refresh.field("authorization")), (None, None));
    }
}

#[tokio::test]
async fn what_stands_in_for_an_error_keeps_its_owner() {
    for (name, value) in PERSONAL {
        let fails = Arc::new(AtomicBool::new(false));
        let (_origin, sidecar) = stale("stale-if-error=600", fails.clone()).await;
        sidecar.get("/").await.assert_body("for [] []");
        sidecar.send(get("/own").header(name, value)).await.assert_status(200);
        fails.store(true, SeqCst);
        sidecar
            .get("/")
            .await
            .assert_status(200)
            .assert_cache_parameter("detail=stale-if-error")
            .assert_body("for [] []");
        sidecar.send(get("/").header(name, value)).await.assert_status(503);
        sidecar.get("/own").await.assert_status(503);
    }
}

#[tokio::test]
async fn confirmation_of_one_variant_makes_it_no_other() {
    // A date of change is the same for all variants, and an app that is sent one without the person confirms it.
    let script = |received: &Received| {
        let unchanged = received.field("if-modified-since").is_some();
        let response = if unchanged { status(304) } else { ok(who(received)) };
        response
            .header("Cache-Control", "public, max-age=60, stale-while-revalidate=600")
            .header("Age", "60")
            .header("Vary", "Authorization")
            .header("Last-Modified", "Sun, 04 Jan 2026 08:00:00 GMT")
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let ask = |name: &str| sidecar.send(get("/").header("Authorization", name));
    ask("ann").await.assert_body("for [] [ann]");
    // Stale, and refreshed by a request that has no Authorization.
    ask("ann").await.assert_cache("hit").assert_body("for [] [ann]");
    origin.wait_for_requests(2).await;
    sidecar.until_metric("pacecar_upstream_in_flight", 0.0).await;
    for _ in 0..3 {
        sidecar.get("/").await.assert_body("for [] []");
        ask("bob").await.assert_body("for [] [bob]");
        ask("ann").await.assert_body("for [] [ann]");
    }
}

#[tokio::test]
async fn preconditions_and_ranges_never_steer_a_fetch_that_is_shared() {
    let script = |received: &Received| {
        let response = match (received.field("if-none-match"), received.field("range")) {
            (Some(_), _) => status(304),
            (None, Some(_)) => status(206).part("he").header("Content-Range", "bytes 0-1/5"),
            (None, None) => ok("hello"),
        };
        response.header("Cache-Control", "max-age=60").header("ETag", "\"v1\"")
    };
    for (fields, expected) in [
        (&[("If-None-Match", "\"v1\"")][..], 304),
        (&[("If-None-Match", "\"other\"")], 200),
        (&[("If-None-Match", "*")], 304),
        (&[("Range", "bytes=0-1")], 206),
        (&[("Range", "bytes=0-1"), ("If-Range", "\"v1\"")], 206),
        (&[("Range", "bytes=0-1"), ("If-None-Match", "\"v1\"")], 304),
    ] {
        for h2 in [false, true] {
            let origin = Origin::new().otherwise(script).start().await;
            let sidecar = Sidecar::in_front_of(&origin).start().await;
            let attack = fields.iter().fold(get("/"), |attack, (name, value)| attack.header(name, value));
            let answer = if h2 { sidecar.h2c().await.send(attack).await } else { sidecar.send(attack).await };
            answer.expect(answer.status == expected, format!("{expected} to {fields:?}"));
            sidecar.get("/").await.assert_status(200).assert_body("hello");
            sidecar.get("/").await.assert_status(200).assert_cache("hit").assert_body("hello");
            let steered = |received: &Received| received.field("if-none-match").or(received.field("range")).is_some();
            let asked = origin.log();
            // What steered was asked for one alone.
            assert!(asked.iter().filter(|received| steered(received)).count() <= 1, "{fields:?}: {asked:#?}");
        }
    }
}

#[tokio::test]
async fn interim_responses_are_for_the_one_whose_request_they_answer() {
    let gate = Gate::new();
    let held = gate.clone();
    let script = move |received: &Received| {
        let hints =
            format!("HTTP/1.1 103 Early Hints\r\nLink: </{}>; rel=preload\r\n\r\n", received.fields.joined("cookie"));
        ok("hello").header("Cache-Control", "public, max-age=60").interim(&hints).after(&held)
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let [mut ann, mut bob] = [sidecar.client().await, sidecar.client().await];
    let anns = tokio::spawn(async move { ann.send(get("/").header("Cookie", "session=ann")).await });
    gate.arrivals(1).await;
    let bobs = tokio::spawn(async move { bob.send(get("/").header("Cookie", "session=bob")).await });
    sidecar.until_metric("pacecar_http_requests_in_flight", 2.0).await;
    gate.open();
    let (anns, bobs) = (anns.await.unwrap(), bobs.await.unwrap());
    assert_eq!(anns.interim.len(), 1, "{anns}");
    bobs.assert_body("hello");
    assert_eq!(bobs.interim.len(), 0, "{bobs}");
}

#[tokio::test]
async fn head_of_one_person_says_nothing_of_what_is_stored_for_all() {
    let script =
        |received: &Received| ok(who(received)).header("Cache-Control", "max-age=60").header("X-Of", &who(received));
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache("miss");
    for (name, value) in PERSONAL {
        sidecar.send(head("/").header(name, value)).await.assert_cache("bypass");
        sidecar.get("/").await.assert_cache("hit").assert_body("for [] []").assert_field("x-of", "for [] []");
    }
    for field in ["X-Original-URL", "X-HTTP-Method-Override", "X_Forwarded_Host"] {
        sidecar.send(head("/").header(field, "/evil")).await.assert_cache("bypass");
        sidecar.get("/").await.assert_cache("hit").assert_field("x-of", "for [] []");
    }
    origin.assert_requests(6);
}

/// An app that decodes a path before it looks at it, and shows everybody their own account.
fn decoding(received: &Received) -> Response {
    let path = received.target.split('?').next().unwrap_or_default().to_ascii_lowercase();
    let path = path.replace("%2f", "/").replace("%5c", "/").replace('\\', "/").replace("%2e", ".");
    let path = path.replace("..;", "..").replace("%252f", "/");
    let account = path.contains("/../account") || path.starts_with("/account");
    if account { ok(who(received)) } else { ok("public") }
}

#[tokio::test]
async fn path_that_apps_read_otherwise_falls_under_no_public_route() {
    let origin = Origin::new().otherwise(decoding).start().await;
    let route = "[[route]]\nname = \"static\"\nmatch = \"/static/**\"\nttl = \"60s\"\npublic = true";
    let sidecar = Sidecar::in_front_of(&origin).config(route).start().await;
    let anns = |target: &str| get(target).header("Cookie", "session=ann");
    sidecar.send(anns("/static/app.css")).await.assert_cache("miss").assert_body("public");
    sidecar.get("/static/app.css").await.assert_cache("hit").assert_body("public");
    for target in [
        "/static/..%2faccount",
        "/static/..%2Faccount",
        "/static/%2e%2e%2faccount",
        "/static/%2e%2e/account",
        "/static/.%2E/account",
        "/static/../account",
        "/static/x/../../account",
        "/static/..%5caccount",
        "/static/..;/account",
        "/static/..%252faccount",
        "/static/..%2faccount?x=.css",
    ] {
        let own = sidecar.send(anns(target)).await;
        own.expect(own.text() == "for [session=ann] []", format!("{target}: ann's own account"));
        let others = sidecar.get(target).await;
        others.expect(others.text() == "for [] []", format!("{target}: nobody's account"));
    }
}

#[tokio::test]
async fn personal_page_under_the_name_of_a_file_is_not_shared() {
    let count = AtomicUsize::new(0);
    let script = move |received: &Received| {
        let nth = count.fetch_add(1, SeqCst);
        let page = ok(format!("{nth} {}", who(received)));
        if received.target.starts_with("/fresh") { page.header("Cache-Control", "max-age=60") } else { page }
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for target in
        ["/account/x.css", "/account;x.css", "/account%00x.css", "/account%0ax.css", "/account%3fx.css", "/fresh/x.js"]
    {
        let ann = sidecar.send(get(target).header("Cookie", "session=ann")).await;
        ann.expect(ann.text().ends_with("for [session=ann] []"), format!("{target}: ann's"));
        let nobody = sidecar.get(target).await;
        nobody.expect(nobody.text().ends_with("for [] []"), format!("{target}: nobody's"));
    }
}
