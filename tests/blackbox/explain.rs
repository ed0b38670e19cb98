//! The explanation of a decision: what it says would happen is what then happens.

use serde_json::Value;

use crate::common::{Origin, Received, Sidecar, get, ok, status};

/// Percent-encodes everything that has a meaning in a query.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { (byte as char).to_string() } else { format!("%{byte:02X}") }).collect()
}

async fn explained(sidecar: &Sidecar, url: &str, headers: &[(&str, &str)]) -> Value {
    let headers: String =
        headers.iter().map(|(name, value)| format!("&header={}", encoded(&format!("{name}: {value}")))).collect();
    sidecar.admin_get(&format!("/performance/cache/explain?url={}{headers}", encoded(url))).await
}

const ROUTES: &str = "[[route]]\nname = \"off\"\nmatch = \"/off\"\ncache = false\n\
    [[route]]\nname = \"products\"\nmatch = \"/products/*\"\nttl = \"1m\"\nstale_if_error = \"1h\"\n";

fn app(received: &Received) -> crate::common::Response {
    let fresh = || ok("hello").header("Cache-Control", "max-age=60");
    match received.target.as_str() {
        "/fresh" | "/off" => fresh(),
        "/stale" => fresh().header("Age", "60").header("ETag", "\"1\""),
        "/swr" => ok("hello").header("Cache-Control", "max-age=60, stale-while-revalidate=600").header("Age", "60"),
        "/no-store" => ok("hello").header("Cache-Control", "no-store"),
        "/private" => ok("hello").header("Cache-Control", "private"),
        "/set-cookie" => fresh().header("Set-Cookie", "a=b"),
        "/varies" => fresh().header("Vary", "Accept-Language, Cookie"),
        "/gone" => status(410).part("gone"),
        _ => ok("hello"),
    }
}

/// A path, request fields, and what is said to happen and why.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str, Option<&'static str>);

#[tokio::test]
async fn what_it_says_would_happen_happens() {
    let origin = Origin::new().otherwise(app).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(ROUTES).start().await;
    let cases: [Case; 13] = [
        ("/never", &[], "miss", Some("uri-miss")),
        ("/fresh", &[], "hit", None),
        ("/fresh", &[("Cookie", "session=1")], "bypass", Some("cookie")),
        ("/fresh", &[("Cookie", "_ga=1")], "hit", None),
        ("/fresh", &[("Authorization", "Basic YTpi")], "bypass", Some("authorization")),
        ("/fresh", &[("Cache-Control", "no-store")], "bypass", Some("request-no-store")),
        ("/fresh", &[("X-Original-URL", "/admin")], "bypass", Some("unkeyed-field")),
        ("/stale", &[], "revalidate", Some("stale")),
        ("/swr", &[], "stale", Some("stale-while-revalidate")),
        ("/off", &[], "bypass", Some("disabled")),
        ("/no-store", &[], "bypass", Some("hit-for-miss")),
        ("/varies", &[("Accept-Language", "fr")], "miss", Some("vary-miss")),
        ("/products/1", &[], "hit", None),
    ];
    for path in ["/fresh", "/stale", "/swr", "/off", "/no-store", "/varies", "/products/1"] {
        sidecar.send(get(path).header("Host", "shop.example")).await.assert_status(200);
    }
    for (path, headers, would, reason) in cases {
        let said = explained(&sidecar, &format!("http://shop.example{path}"), headers).await;
        let decision = &said["decision"];
        assert_eq!(decision["would"], would, "{path} {headers:?}: {said:#}");
        assert_eq!(decision["reason"].as_str(), reason, "{path} {headers:?}: {said:#}");
        assert_eq!(said["key"]["host"], "shop.example");
        assert_eq!(
            said["to_be_cached"].as_array().unwrap().is_empty(),
            matches!(would, "hit" | "stale" | "miss" | "revalidate"),
            "{said:#}"
        );

        // And the same words are on the response.
        let request = headers
            .iter()
            .fold(get(path).header("Host", "shop.example"), |request, (name, value)| request.header(name, value));
        let answer = sidecar.send(request).await;
        let status = answer.fields.joined("cache-status");
        let begins = decision["cache_status"].as_str().unwrap();
        // The seconds that are left may be one less by now.
        let begins = begins.split("ttl=").next().unwrap();
        answer.expect(status.starts_with(begins), format!("Cache-Status: {begins}…"));
        if matches!(would, "hit" | "stale" | "bypass")
            && let Some(reason) = reason
        {
            answer.expect(status.contains(&format!("detail={reason}")), format!("the reason {reason}"));
        }
    }
}

#[tokio::test]
async fn the_form_that_it_names_is_the_one_sent() {
    let page = "All work and no play makes Jack a dull boy.\n".repeat(50);
    let html = ok(&page).header("Content-Type", "text/html").header("Cache-Control", "max-age=60");
    let origin = Origin::new().route("/page", html.header("Vary", "Accept-Encoding")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let asked = |coding| get("/page").header("Host", "shop.example").header("Accept-Encoding", coding);
    sidecar.send(asked("br")).await.assert_cache("miss");
    for (accept, coding, why) in [
        ("gzip, br;q=0.1", Some("gzip"), None),
        ("br", Some("br"), None),
        ("compress", None, Some("not-accepted")),
        ("identity, *;q=0", None, Some("not-accepted")),
    ] {
        let said = explained(&sidecar, "http://shop.example/page", &[("Accept-Encoding", accept)]).await;
        assert_eq!(said["decision"]["would"], "hit", "{accept}: {said:#}");
        let would_send = &said["stored"][0]["would_send"];
        assert_eq!((would_send["coding"].as_str(), would_send["reason"].as_str()), (coding, why), "{accept}");
        let answer = sidecar.send(asked(accept)).await;
        answer.assert_cache("hit");
        assert_eq!(answer.fields.get("content-encoding"), coding, "{accept}");
        if let Some(coding) = coding {
            let said = explained(&sidecar, "http://shop.example/page", &[]).await;
            let made = said["stored"][0]["codings"].as_array().unwrap();
            let bytes = made.iter().find(|made| made["coding"] == coding).map(|made| &made["bytes"]);
            assert_eq!(bytes, Some(&answer.body.len().into()), "{accept}: {said:#}");
        }
    }
}

#[tokio::test]
async fn facts_of_what_is_stored() {
    let origin = Origin::new().otherwise(app).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(ROUTES).start().await;
    let languages = |language| get("/varies").header("Host", "shop.example").header("Accept-Language", language);
    sidecar.send(languages("de")).await.assert_cache("miss");
    sidecar.send(languages("en")).await.assert_cache("miss");
    let said = explained(&sidecar, "http://shop.example/varies", &[("Accept-Language", "de")]).await;
    let stored = said["stored"].as_array().unwrap();
    let selected: Vec<bool> = stored.iter().map(|one| one["selected"].as_bool().unwrap()).collect();
    assert_eq!(selected, [false, true], "the newest first: {said:#}");
    assert_eq!(stored[1]["selected_by"]["accept-language"], "de");
    assert_eq!(stored[1]["selected_by"]["cookie"], Value::Null);
    assert_eq!((&stored[1]["freshness"], &stored[1]["lifetime_seconds"]), (&"fresh".into(), &60.into()));
    assert_eq!((&stored[1]["stale_if_error_seconds"], &stored[1]["body_bytes"]), (&300.into(), &5.into()));

    sidecar.send(get("/products/1").header("Host", "shop.example")).await.assert_status(200);
    let said = explained(&sidecar, "http://shop.example/products/1", &[]).await;
    assert_eq!((&said["route"], &said["policy"]["ttl_seconds"]), (&"products".into(), &60.0.into()));
    assert_eq!(said["stored"][0]["stale_if_error_seconds"], 3600);
}

#[tokio::test]
async fn what_was_not_stored_and_what_would_have_to_change() {
    let origin = Origin::new().otherwise(app).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for (path, why, remedy) in [
        ("/no-store", "no-store", "leave that out of Cache-Control"),
        ("/private", "private", "public"),
        ("/set-cookie", "set-cookie", "sets a cookie"),
        ("/gone", "no-freshness", "max-age"),
        ("/other", "no-freshness", "a route with ttl"),
    ] {
        let answer = sidecar.send(get(path).header("Host", "shop.example")).await;
        answer.assert_cache("miss").assert_cache_parameter(&format!("detail={why}"));
        let said = explained(&sidecar, &format!("http://shop.example{path}"), &[]).await;
        assert_eq!(said["last_not_stored"], why, "{said:#}");
        let remedies = said["to_be_cached"].to_string();
        assert!(remedies.contains(remedy), "{remedies}");
    }
}

#[tokio::test]
async fn a_key_that_a_proxy_before_us_adds_to_is_found() {
    let origin = Origin::new().otherwise(app).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let behind = get("/fresh").header("Host", "shop.example").header("X-Forwarded-Proto", "https");
    sidecar.send(behind).await.assert_cache("miss");
    let said = explained(&sidecar, "http://shop.example/fresh", &[]).await;
    assert_eq!(said["decision"]["would"], "miss");
    assert_eq!(said["other_keys"][0]["scheme"], "https", "{said:#}");
    assert_eq!(said["other_keys"][0]["claims"]["x-forwarded-proto"], "https");
    let said = explained(&sidecar, "http://shop.example/fresh", &[("X-Forwarded-Proto", "https")]).await;
    assert_eq!(said["decision"]["would"], "hit", "{said:#}");
}

#[tokio::test]
async fn a_question_that_is_not_clear_is_answered_with_what_was_expected() {
    let origin = Origin::new().otherwise(app).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for (query, words) in [
        ("", "expected url="),
        ("?url=shop.example", "expected a URL, or a path that begins with /"),
        ("?url=ftp://a/b", "expected http:// or https://"),
        ("?url=/a", "expected a host in it"),
        ("?url=http://a/b&header=nothing", "expected \\\"Name: value\\\""),
        ("?url=http://a/b&header=Host:%20b", "not in both"),
        ("?url=http://a/b&header=A:%20b%0d%0aC:%20d", "expected \\\"Name: value\\\""),
        ("?url=http://a/b&header=a%20b:c", "would be refused with 400"),
        ("?url=http://a/b&url=http://a/c", "given twice"),
        ("?url=http://a/b&method=GET", "unknown parameter"),
    ] {
        let answer = sidecar.admin(&format!("/performance/cache/explain{query}")).await;
        answer.assert_status(400).assert_field("content-type", "application/problem+json");
        answer.expect(answer.text().contains(words), format!("a detail with {words}"));
    }
}
