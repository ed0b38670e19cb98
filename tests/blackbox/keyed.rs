//! The app's own results: put, got and deleted on the admin port of the real program.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{Answer, Client, Origin, Request, Sidecar, head, noise, ok, post, request};

const ENTRIES: &str = "/performance/cache/entries";

/// A PUT of these bytes; `target` is what stands behind `entries/`.
fn put(target: &str, body: impl AsRef<[u8]>) -> Request {
    Request { method: "PUT".into(), ..post(&format!("{ENTRIES}/{target}"), body) }
}

fn of(method: &str, target: &str) -> Request {
    request(method, &format!("{ENTRIES}{target}"))
}

/// A sidecar before an app that is never asked, with this much of `[cache.keyed]`, and a connection to its admin port.
async fn started(keyed: &str) -> (Sidecar, Client) {
    let origin = Origin::new().otherwise(ok("")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(&format!("[cache.keyed]\n{keyed}")).start().await;
    let admin = Client::connect(sidecar.admin_addr()).await;
    (sidecar, admin)
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: not JSON\n{answer}"))
}

/// The answer is a problem with this status whose detail has these words.
#[track_caller]
fn assert_problem(answer: &Answer, status: u16, words: &str) {
    answer.assert_status(status).assert_field("content-type", "application/problem+json").assert_complete();
    let detail = json(answer)["detail"].as_str().unwrap_or_default().to_owned();
    answer.expect(detail.contains(words), format!("a detail with {words:?}"));
}

#[tokio::test]
async fn any_bytes_come_back_as_they_were_put() {
    let (_sidecar, mut admin) = started("").await;
    let bytes = noise(100_000);
    let created = admin.send(put("report/2024?ttl=1h", &bytes).header("Content-Type", "application/x-rows")).await;
    created.assert_status(201).assert_body("");
    let answer = admin.send(of("GET", "/report/2024")).await;
    answer.assert_status(200).assert_body(&bytes).assert_field("content-type", "application/x-rows");
    answer.assert_field("etag", created.field("etag").unwrap()).assert_cache("hit");
    answer.expect(answer.number("age") < 60, "an age of a moment".into());

    let described = admin.send(head("/performance/cache/entries/report/2024")).await;
    described.assert_status(200).assert_body("").assert_field("content-length", "100000");
    let unchanged = admin.send(of("GET", "/report/2024").header("If-None-Match", answer.field("etag").unwrap())).await;
    unchanged.assert_status(304).assert_body("").assert_no_field("content-length");

    // In chunks, without saying how long it is; and nothing at all.
    admin.send(of("PUT", "/report/2024").chunks(bytes.chunks(777))).await.assert_status(204).assert_body("");
    admin.send(of("GET", "/report/2024")).await.assert_body(&bytes).assert_field("content-type", OCTETS);
    admin.send(put("empty", "")).await.assert_status(201);
    admin.send(of("GET", "/empty")).await.assert_status(200).assert_body("");
}

const OCTETS: &str = "application/octet-stream";

#[tokio::test]
async fn values_are_kept_apart_replaced_and_deleted() {
    let (_sidecar, mut admin) = started("").await;
    assert_problem(&admin.send(of("GET", "/a")).await, 404, "no value under this key");
    admin.send(put("a", "1")).await.assert_status(201);
    admin.send(put("b", "2")).await.assert_status(201);
    admin.send(put("a", "3")).await.assert_status(204);
    admin.send(of("GET", "/a")).await.assert_body("3");
    admin.send(of("DELETE", "/a")).await.assert_status(204).assert_body("");
    assert_problem(&admin.send(of("GET", "/a")).await, 404, "no value under this key");
    assert_problem(&admin.send(of("DELETE", "/a")).await, 404, "no value under this key");
    admin.send(of("GET", "/b")).await.assert_body("2");
    // Only the first of those who reckon the same result stores it.
    let first = put("a", "4").header("If-None-Match", "*");
    admin.send(first.clone()).await.assert_status(201);
    assert_problem(&admin.send(first).await, 412, "If-None-Match");
}

#[tokio::test]
async fn clearing_by_prefix_pattern_and_tag() {
    let (_sidecar, mut admin) = started("").await;
    for target in ["user/1?tags=users", "user/2?tags=users,admins", "post/1", "post/2?tags=posts", "x"] {
        admin.send(put(target, "rows")).await.assert_status(201);
    }
    for (query, matched) in [("tag=admins", 1), ("tag=user", 0), ("prefix=post/", 2), ("pattern=%5Euser/%5Cd$", 1)] {
        let answer = admin.send(of("DELETE", &format!("?{query}"))).await;
        answer.assert_status(200);
        let cleared = json(&answer);
        assert_eq!((&cleared["matched"], &cleared["cleared"]), (&matched.into(), &matched.into()), "{query}");
        assert_eq!(cleared["bytes"].as_u64() > Some(0), matched > 0, "{answer}");
        assert!(cleared["took_ms"].as_f64() >= Some(0.0), "{answer}");
    }
    admin.send(of("GET", "/user/1")).await.assert_status(404);
    admin.send(of("GET", "/x")).await.assert_body("rows");
    for (query, words) in [
        ("", "exactly one of prefix, pattern, tag"),
        ("?prefix=a&tag=b", "exactly one of prefix, pattern, tag"),
        ("?prefix=", "1 to 1024 bytes"),
        ("?pattern=(", "regular expression: unclosed group"),
        ("?pattern=(%3F:a%7B1000%7D)%7B1000%7D", "regular expression: it takes more than"),
    ] {
        assert_problem(&admin.send(of("DELETE", query)).await, 400, words);
    }
    admin.send(of("GET", "/x")).await.assert_body("rows");
}

#[tokio::test]
async fn a_value_is_gone_when_its_time_is_over() {
    let (sidecar, mut admin) = started("").await;
    let began = Instant::now();
    admin.send(put("short?ttl=1s", "1")).await.assert_status(201);
    admin.send(put("long", "2")).await.assert_status(201);
    // The one thing that is tested here is time, so it has to pass.
    loop {
        let answer = admin.send(of("GET", "/short")).await;
        if answer.status == 404 {
            break;
        }
        answer.assert_body("1");
        // So that values are not asked for more often than one client may.
        sidecar.admin("/metrics").await.assert_status(200);
    }
    assert!(began.elapsed() >= Duration::from_secs(1));
    admin.send(of("GET", "/long")).await.assert_body("2").assert_cache("hit");
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_is_stored() {
    let (sidecar, mut admin) = started("").await;
    let long = "k".repeat(1025);
    for (target, words) in [
        ("a?ttl=0s", "ttl = \"0s\": expected a duration from \"1s\" to \"30d\""),
        ("a?ttl=31d", "ttl = \"31d\": expected a duration from \"1s\" to \"30d\""),
        ("a?ttl=300", "ttl = \"300\": expected a duration with its unit, such as \"300s\""),
        ("a?ttl=soon", "ttl = \"soon\": expected a duration such as"),
        ("a?tags=a,,b", "tags = \"a,,b\": expected at most 32 tags"),
        ("a?tll=5s", "unknown parameter \"tll\": expected ttl, tags"),
        ("%ff", "not UTF-8"),
        (&long, "a key of 1025 bytes: expected at most 1024"),
    ] {
        assert_problem(&admin.send(put(target, "1")).await, 400, words);
    }
    assert_problem(&admin.send(put("a", "1").header("Content-Encoding", "gzip")).await, 415, "without a coding");
    assert_eq!(sidecar.metric("pacecar_keyed_cache_entries").await, 0.0);
}

#[tokio::test]
async fn bounds_hold() {
    let (sidecar, mut admin) = started("max_entries = 3\nmax_bytes = \"1MiB\"").await;
    for n in 0..5 {
        admin.send(put(&n.to_string(), noise(1000))).await.assert_status(201);
    }
    admin.send(of("GET", "/1")).await.assert_status(404);
    admin.send(of("GET", "/2")).await.assert_status(200);
    // It was used last, so that the next one to leave is another.
    admin.send(put("5", "")).await.assert_status(201);
    admin.send(of("GET", "/2")).await.assert_status(200);
    admin.send(of("GET", "/3")).await.assert_status(404);

    // A quarter of the whole with everything that belongs to it.
    admin.send(put("largest", noise((256 << 10) - 2000))).await.assert_status(201);
    assert_problem(&admin.send(put("larger", noise(256 << 10))).await, 413, "a quarter of cache.keyed.max_bytes");
    // What says so beforehand is not even received, and what does not is cut off at the bound.
    let mut admin = Client::connect(sidecar.admin_addr()).await;
    assert_problem(&admin.send(put("a", vec![0; 2 << 20])).await, 413, "expected at most 262144");
    let mut admin = Client::connect(sidecar.admin_addr()).await;
    let endless = of("PUT", "/a").chunks(vec![vec![0; 1 << 16]; 32]);
    assert_problem(&admin.send(endless).await, 413, "expected at most 262144");
    assert_eq!(sidecar.metric("pacecar_keyed_cache_rejected_total{reason=\"too-large\"}").await, 3.0);
    let bytes = sidecar.metric("pacecar_keyed_cache_bytes").await;
    assert!(bytes < 1_048_576.0 && bytes > 250_000.0, "{bytes}");
}

#[tokio::test]
async fn pages_of_other_sites_cannot_write() {
    let (sidecar, mut admin) = started("").await;
    admin.send(put("a", "1")).await.assert_status(201);
    for (field, value) in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
    ] {
        for write in [put("a", "2"), of("DELETE", "/a"), of("DELETE", "?prefix=a"), of("POST", "/a")] {
            assert_problem(&admin.send(write.header(field, value)).await, 403, value);
        }
    }
    let preflight = of("OPTIONS", "/a").header("Origin", "https://evil.example");
    let preflight = admin.send(preflight.header("Access-Control-Request-Method", "PUT")).await;
    preflight.assert_status(405).assert_no_field("access-control-allow-origin");
    admin.send(of("GET", "/a").header("Sec-Fetch-Site", "cross-site")).await.assert_body("1");
    let own = format!("http://{}", sidecar.admin_addr());
    admin.send(put("a", "3").header("Origin", &own)).await.assert_status(204);
    admin.send(put("a", "4").header("Host", "evil.example")).await.assert_status(421);
    let answer = admin.send(of("GET", "/a")).await;
    answer.assert_body("3").assert_field("content-security-policy", "sandbox; default-src 'none'");
}

#[tokio::test]
async fn statistics_and_metrics_equal_what_was_done() {
    let (sidecar, mut admin) = started("max_entries = 2").await;
    for target in ["a", "b", "c", "b"] {
        let status = admin.send(put(target, "rows")).await.status;
        assert!([201, 204].contains(&status), "{status}");
    }
    for (target, status) in [("/b", 200), ("/b", 200), ("/c", 200), ("/a", 404)] {
        admin.send(of("GET", target)).await.assert_status(status);
    }
    admin.send(of("DELETE", "/b")).await.assert_status(204);
    admin.send(of("DELETE", "?prefix=c")).await.assert_status(200);
    admin.send(put("d?tags=t", noise(1000))).await.assert_status(201);

    let stats = sidecar.admin_get("/performance/cache/stats").await;
    let keyed = &stats["keyed"];
    for (pointer, expected, series) in [
        ("/hits", 3, "requests_total{result=\"hit\"}"),
        ("/misses", 1, "requests_total{result=\"miss\"}"),
        ("/entries", 1, "entries"),
        ("/evictions/capacity", 1, "evictions_total{reason=\"capacity\"}"),
        ("/evictions/expired", 0, "evictions_total{reason=\"expired\"}"),
        ("/evictions/purged", 2, "evictions_total{reason=\"purged\"}"),
        ("/stores/stored", 5, "stores_total{result=\"stored\"}"),
        ("/stores/rejected/too-large", 0, "rejected_total{reason=\"too-large\"}"),
        ("/stores/rejected/no-room", 0, "rejected_total{reason=\"no-room\"}"),
        ("/max_bytes", 32 << 20, "capacity_bytes"),
    ] {
        assert_eq!(keyed.pointer(pointer), Some(&expected.into()), "{pointer} in {keyed:#}");
        assert_eq!(sidecar.metric(&format!("pacecar_keyed_cache_{series}")).await, f64::from(expected), "{series}");
    }
    assert_eq!((&keyed["hit_rate_percent"], &keyed["max_entries"]), (&75.0.into(), &2.into()), "{keyed:#}");
    assert!((1000..2000).contains(&keyed["bytes"].as_u64().unwrap()), "{keyed:#}");
    // The cache of responses has no part in it.
    assert_eq!((&stats["hits"], &stats["entries"]), (&0.into(), &0.into()));
}

#[tokio::test]
async fn clients_of_the_app_do_not_reach_it() {
    let origin = Origin::new().otherwise(ok("the app's")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut admin = Client::connect(sidecar.admin_addr()).await;
    admin.send(put("a", "1")).await.assert_status(201);
    sidecar.get(&format!("{ENTRIES}/a")).await.assert_status(200).assert_body("the app's");
    sidecar.send(put("a", "2")).await.assert_status(200).assert_body("the app's");
    admin.send(of("GET", "/a")).await.assert_body("1");
}
