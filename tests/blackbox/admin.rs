//! What the admin port says is true: its figures equal the traffic that a test sent, and JSON and metrics agree.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::common::{Origin, Sidecar, get, head, ok, post, status, within};

/// Known traffic: 10 requests, of which 4 are hits, 3 are misses and 3 are none of the cache's business.
async fn send_traffic(sidecar: &Sidecar) {
    sidecar.get("/page").await.assert_cache("miss");
    for _ in 0..3 {
        sidecar.get("/page").await.assert_cache("hit");
    }
    sidecar.send(head("/page")).await.assert_cache("hit");
    sidecar.get("/private").await.assert_cache("miss");
    sidecar.get("/private").await.assert_cache("bypass");
    for _ in 0..2 {
        sidecar.send(post("/form", "body")).await.assert_cache("bypass");
    }
    sidecar.get("/error").await.assert_status(500).assert_cache("miss");
}

async fn origin() -> Origin {
    Origin::new()
        .route("/page", ok("hello").header("Cache-Control", "max-age=60"))
        .route("/private", ok("hello").header("Cache-Control", "private"))
        .route("/form", ok("thanks"))
        .route("/error", status(500).header("Cache-Control", "no-store"))
        .start()
        .await
}

/// The overview once it counts this many requests: a request is counted when its answer has been sent, which is not
/// before its client has it. The metrics, which may be asked for without limit, say when.
async fn overview_of(sidecar: &Sidecar, requests: u64) -> Value {
    let counted = async || {
        let metrics = metrics(sidecar).await;
        let counts = metrics.iter().filter(|(series, _)| series.starts_with("pacecar_http_requests_total{"));
        counts.map(|(_, count)| count).sum::<f64>()
    };
    within(format!("{requests} requests in the metrics"), async { while counted().await < requests as f64 {} }).await;
    sidecar.admin_get("/performance/profile/overview").await
}

/// Every series of the metrics: name and labels, with its value.
async fn metrics(sidecar: &Sidecar) -> HashMap<String, f64> {
    let answer = sidecar.admin("/metrics").await;
    answer.assert_status(200).assert_complete();
    let text = answer.text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series = lines.map(|line| line.rsplit_once(' ').unwrap_or_else(|| panic!("no value in {line:?}")));
    series.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

#[tokio::test]
async fn cache_statistics_equal_the_traffic() {
    let origin = origin().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    send_traffic(&sidecar).await;
    overview_of(&sidecar, 10).await;

    let stats = sidecar.admin_get("/performance/cache/stats").await;
    for (name, expected) in [
        ("hits", 4),
        ("misses", 3),
        ("bypassed", 3),
        ("stale", 0),
        ("revalidated", 0),
        ("collapsed", 0),
        ("entries", 1),
    ] {
        assert_eq!(stats[name], expected, "{name} in {stats:#}");
    }
    assert_eq!(stats["hit_rate_percent"], 57.14, "{stats:#}");
    assert_eq!(stats["stores"]["stored"], 1, "{stats:#}");
    assert_eq!(stats["stores"]["rejected"]["private"], 1, "{stats:#}");
    assert_eq!(stats["stores"]["rejected"]["no-store"], 1, "{stats:#}");
    assert_eq!(stats["bypasses"]["method"], 2, "{stats:#}");
    assert_eq!(stats["bypasses"]["hit-for-miss"], 1, "{stats:#}");
    assert!(stats["bytes"].as_u64() > Some(5) && stats["bytes"].as_u64() < stats["max_bytes"].as_u64(), "{stats:#}");
}

#[tokio::test]
async fn cache_statistics_by_route_equal_the_traffic() {
    let origin = origin().await;
    let routes = "[[route]]\nname = \"pages\"\nmatch = \"/page\"\n[[route]]\nname = \"own\"\nmatch = \"/private\"\n";
    let sidecar = Sidecar::in_front_of(&origin).config(routes).start().await;
    send_traffic(&sidecar).await;
    overview_of(&sidecar, 10).await;
    let stats = sidecar.admin_get("/performance/cache/stats").await;
    let (pages, own) = (&stats["routes"]["pages"], &stats["routes"]["own"]);
    assert_eq!((&pages["hits"], &pages["misses"], &pages["bypassed"]), (&json!(4), &json!(1), &json!(0)));
    assert_eq!((&pages["hit_rate_percent"], &pages["stores"]), (&json!(80.0), &json!({"stored": 1, "rejected": {}})));
    assert_eq!((&own["misses"], &own["bypasses"]), (&json!(1), &json!({"hit-for-miss": 1})));
    assert_eq!(own["stores"], json!({"stored": 0, "rejected": {"private": 1}}));
    // The whole has what no route matches besides.
    assert_eq!((&stats["hits"], &stats["misses"], &stats["bypassed"]), (&json!(4), &json!(3), &json!(3)));
    for (series, value) in [("route=\"pages\",result=\"hit\"", 4.0), ("route=\"own\",result=\"bypass\"", 1.0)] {
        assert_eq!(sidecar.metric(&format!("pacecar_cache_route_requests_total{{{series}}}")).await, value, "{series}");
    }
}

#[tokio::test]
async fn compression_statistics_equal_the_traffic() {
    let page = "All work and no play makes Jack a dull boy.\n".repeat(50);
    let html = |body: &str| ok(body).header("Content-Type", "text/html").header("Cache-Control", "max-age=60");
    let origin = Origin::new().route("/page", html(&page)).route("/small", html("hello")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let asked = |path: &str, coding: &str| get(path).header("Accept-Encoding", coding);
    let mut sent = 0;
    for coding in ["br", "br", "gzip"] {
        let answer = sidecar.send(asked("/page", coding)).await;
        assert_eq!(answer.fields.joined("content-encoding"), coding);
        sent += answer.body.len();
    }
    sidecar.get("/page").await.assert_body(&page);
    sidecar.send(asked("/page", "br").header("Range", "bytes=0-9")).await.assert_status(206);
    sidecar.send(asked("/small", "br")).await.assert_body("hello");
    overview_of(&sidecar, 6).await;

    let stats = sidecar.admin_get("/performance/compression/stats").await;
    assert_eq!((&stats["responses_compressed"], &stats["by_type"]["html"]["responses"]), (&json!(3), &json!(3)));
    assert_eq!((&stats["input_bytes"], &stats["output_bytes"]), (&json!(3 * page.len()), &json!(sent)), "{stats:#}");
    assert_eq!(stats["bytes_saved"], 3 * page.len() - sent, "{stats:#}");
    // Both answers in br were coded once.
    assert_eq!((&stats["encodings"]["quick"], &stats["by_coding"]["br"]["encodings_quick"]), (&json!(2), &json!(1)));
    let skipped = stats["responses_skipped"].as_object().unwrap();
    let skipped: HashMap<&str, u64> =
        skipped.iter().map(|(why, count)| (why.as_str(), count.as_u64().unwrap())).filter(|(_, n)| *n > 0).collect();
    assert_eq!(skipped, HashMap::from([("not-accepted", 1), ("too-small", 1)]), "a part is no answer to code");

    let metrics = metrics(&sidecar).await;
    for (series, value) in [
        ("responses_total{coding=\"br\"}", 2),
        ("responses_total{coding=\"gzip\"}", 1),
        ("responses_total{coding=\"none\"}", 2),
        ("skipped_total{reason=\"too-small\"}", 1),
        ("input_bytes_total{coding=\"gzip\"}", page.len()),
        ("encodings_total{coding=\"br\",effort=\"quick\"}", 1),
    ] {
        assert_eq!(metrics[&format!("pacecar_compression_{series}")], value as f64, "{series}");
    }
}

#[tokio::test]
async fn profile_equals_the_traffic() {
    let origin = origin().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    send_traffic(&sidecar).await;

    let overview = overview_of(&sidecar, 10).await;
    assert_eq!(overview["requests"], 10, "{overview:#}");
    assert_eq!(overview["errors"], 1, "{overview:#}");
    assert_eq!(overview["error_rate_percent"], 10.0, "{overview:#}");
    assert_eq!(overview["endpoints"], 5, "{overview:#}");
    assert!(overview["latency_ms"]["p95"].as_f64() > Some(0.0), "{overview:#}");

    let slowest = sidecar.admin_get("/performance/profile/slowest?limit=10").await;
    let endpoints: Vec<&Value> = slowest["endpoints"].as_array().into_iter().flatten().collect();
    let mut counted: Vec<Value> =
        endpoints.iter().map(|row| json!([row["method"], row["endpoint"], row["requests"], row["errors"]])).collect();
    counted.sort_by_key(Value::to_string);
    let expected = [
        json!(["GET", "/error", 1, 1]),
        json!(["GET", "/page", 4, 0]),
        json!(["GET", "/private", 2, 0]),
        json!(["HEAD", "/page", 1, 0]),
        json!(["POST", "/form", 2, 0]),
    ];
    assert_eq!(counted, expected, "{slowest:#}");
    let page = endpoints.iter().find(|row| row["method"] == "GET" && row["endpoint"] == "/page");
    assert_eq!(page.map(|row| &row["cache_hit_rate_percent"]), Some(&json!(75.0)), "{slowest:#}");
}

#[tokio::test]
async fn slow_endpoint_is_the_slowest() {
    let gate = crate::common::Gate::new();
    let origin = Origin::new().route("/slow", ok("slow").after(&gate)).otherwise(ok("fast")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config("[profile]\nslow = \"100ms\"").start().await;
    let (slow, ()) = tokio::join!(sidecar.get("/slow"), async {
        gate.arrivals(1).await;
        // The one thing that is measured here is time, so it has to pass.
        let began = std::time::Instant::now();
        while began.elapsed().as_millis() < 150 {
            sidecar.get("/fast").await.assert_body("fast");
        }
        gate.open();
    });
    slow.assert_body("slow");
    let counted = "pacecar_http_requests_total{route=\"/slow\",method=\"GET\",status=\"200\"}";
    within("the slow request in the metrics", async { while !metrics(&sidecar).await.contains_key(counted) {} }).await;
    let slowest = sidecar.admin_get("/performance/profile/slowest?limit=1&by=max").await;
    assert_eq!(slowest["endpoints"][0]["endpoint"], "/slow", "{slowest:#}");
    assert!(slowest["endpoints"][0]["latency_ms"]["max"].as_f64() >= Some(150.0), "{slowest:#}");
    assert_eq!(slowest["requests"][0]["endpoint"], "/slow", "{slowest:#}");
    assert!(slowest["requests"][0]["upstream_first_byte_ms"].as_f64() >= Some(150.0), "{slowest:#}");
    let overview = sidecar.admin_get("/performance/profile/overview").await;
    assert!(overview["slow_requests"].as_u64() >= Some(1), "{overview:#}");
}

#[tokio::test]
async fn metrics_agree_with_the_json() {
    let origin = origin().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    send_traffic(&sidecar).await;
    overview_of(&sidecar, 10).await;
    let stats = sidecar.admin_get("/performance/cache/stats").await;
    let metrics = metrics(&sidecar).await;

    for (series, key) in [
        ("cache_requests_total{result=\"hit\"}", "/hits"),
        ("cache_requests_total{result=\"miss\"}", "/misses"),
        ("cache_requests_total{result=\"bypass\"}", "/bypassed"),
        ("cache_requests_total{result=\"stale\"}", "/stale"),
        ("cache_requests_total{result=\"revalidated\"}", "/revalidated"),
        ("cache_requests_total{result=\"collapsed\"}", "/collapsed"),
        ("cache_stores_total{result=\"stored\"}", "/stores/stored"),
        ("cache_rejected_total{reason=\"private\"}", "/stores/rejected/private"),
        ("cache_bypassed_total{reason=\"method\"}", "/bypasses/method"),
        ("cache_entries", "/entries"),
        ("cache_bytes", "/bytes"),
        ("cache_capacity_bytes", "/max_bytes"),
    ] {
        let json = stats.pointer(key).and_then(Value::as_f64);
        assert!(json.is_some(), "no {key} in {stats:#}");
        assert_eq!(metrics.get(&format!("pacecar_{series}")).copied(), json, "{series} and {key}");
    }
    for (labels, expected) in [
        ("route=\"/page\",method=\"GET\",status=\"200\"", 4.0),
        ("route=\"/page\",method=\"HEAD\",status=\"200\"", 1.0),
        ("route=\"/private\",method=\"GET\",status=\"200\"", 2.0),
        ("route=\"/form\",method=\"POST\",status=\"200\"", 2.0),
        ("route=\"/error\",method=\"GET\",status=\"500\"", 1.0),
    ] {
        let series = format!("pacecar_http_requests_total{{{labels}}}");
        assert_eq!(metrics.get(&series), Some(&expected), "{series}");
    }
    let total = metrics.iter().filter(|(series, _)| series.starts_with("pacecar_http_requests_total{"));
    assert_eq!(total.map(|(_, count)| count).sum::<f64>(), 10.0);
    // Four answers were asked of the origin by GET and two by POST; a hit asks nothing.
    let upstream =
        metrics.iter().filter(|(name, _)| name.starts_with("pacecar_upstream_request_duration_seconds_count"));
    assert_eq!(upstream.map(|(_, count)| count).sum::<f64>(), origin.requests() as f64);
}

#[tokio::test]
async fn refusals_and_failures_of_the_origin_are_counted() {
    let origin = origin().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for _ in 0..2 {
        let mut client = sidecar.client().await;
        client.send_bytes("GET / HTTP/1.1\r\n\r\n").await;
        client.answer("GET").await.assert_status(400);
    }
    origin.stop().await;
    sidecar.send(post("/form", "body")).await.assert_status(502);
    within("a refused connection in the metrics", async {
        while metrics(&sidecar).await.get("pacecar_upstream_errors_total{reason=\"connect\"}") != Some(&1.0) {}
    })
    .await;
    let metrics = metrics(&sidecar).await;
    assert_eq!(metrics["pacecar_front_door_refused_total{status=\"400\"}"], 2.0);
    assert_eq!(metrics["pacecar_panics_total"], 0.0);
}

#[tokio::test]
async fn secrets_of_the_traffic_are_not_shown() {
    let origin = Origin::new().otherwise(ok("hello")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let request = get("/users/ab12cd34-ab12-ab12-ab12-ab12cd34ef56?token=s3cret")
        .header("Cookie", "session=s3cret")
        .header("Authorization", "Bearer s3cret");
    sidecar.send(request).await.assert_status(200);
    overview_of(&sidecar, 1).await;
    for path in ["/metrics", "/performance/cache/stats", "/performance/profile/slowest"] {
        let answer = sidecar.admin(path).await;
        answer.assert_status(200);
        let text = answer.text();
        answer.expect(!text.contains("s3cret") && !text.contains("ab12cd34"), "no secret of the traffic".to_owned());
    }
}
