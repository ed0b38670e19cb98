//! The profiler against real traffic: what it says of an app is what the test has made the app do.
//!
//! Times are compared with each other alone: a loaded machine makes all of them longer.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    apps::Program,
    common::{Client, Gate, Origin, Received, Request, Sidecar, get, head, noise, ok, post, raw, status, text, within},
};

const OVERVIEW: &str = "/performance/profile/overview";
const SLOWEST: &str = "/performance/profile/slowest?limit=100";
const PARTS: [&str; 5] = ["queue", "connect", "first_byte", "compression", "body"];

/// The sum of a family's series whose name goes on so.
async fn sum(sidecar: &Sidecar, family: &str) -> f64 {
    let text = sidecar.admin("/metrics").await.text();
    let series = text.lines().filter(|line| line.starts_with(family));
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Waits until so many requests are counted: that is when they end, which a client knows before the sidecar does.
async fn counted(sidecar: &Sidecar, requests: usize) {
    let family = "pacecar_http_requests_total{";
    within(format!("{requests} requests in the metrics"), async {
        while sum(sidecar, family).await < requests as f64 {}
    })
    .await;
    assert_eq!(sum(sidecar, family).await, requests as f64);
}

/// Far longer than anything takes here that nobody holds up: what is measured is time, so it has to pass.
async fn time_passes(sidecar: &Sidecar) {
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(300) {
        sidecar.metric("pacecar_connections").await;
    }
}

/// The row of an endpoint in a list of them.
#[track_caller]
fn row<'a>(rows: &'a Value, endpoint: &str) -> &'a Value {
    let found = rows.as_array().expect("a list").iter().find(|row| row["endpoint"] == endpoint);
    found.unwrap_or_else(|| panic!("no {endpoint} in {rows:#}"))
}

/// How many requests each endpoint has.
fn by_endpoint(slowest: &Value) -> BTreeMap<String, u64> {
    let rows = slowest["endpoints"].as_array().expect("a list").iter();
    rows.map(|row| (row["endpoint"].as_str().unwrap().to_owned(), row["requests"].as_u64().unwrap())).collect()
}

#[track_caller]
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The part of a request's time that is the greatest. All of them add up to its duration.
#[track_caller]
fn greatest(request: &Value) -> &'static str {
    let part = |name: &&str| number(&request["breakdown_ms"][*name]);
    let (together, duration) = (PARTS.iter().map(part).sum::<f64>(), number(&request["duration_ms"]));
    assert!((together - duration).abs() <= 0.01, "{together} and {duration}: {request:#}");
    PARTS.iter().max_by(|a, b| part(a).total_cmp(&part(b))).expect("there are five")
}

/// Sends a request on a connection of its own, without waiting for its answer.
async fn begin(sidecar: &Sidecar, request: Request) -> Client {
    let mut client = sidecar.client().await;
    client.send_bytes(request.to_bytes("a")).await;
    client
}

#[tokio::test]
async fn app_with_four_workers_serves_four_at_once() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pacecar"));
    command.args(["demo", "--listen", "127.0.0.1:0", "--workers", "4"]);
    let app = Program::start(command, "listening on http://");
    let sidecar = Sidecar::in_front_of(&app).start().await;
    let mut asked = 0;
    for clients in [1, 2, 3, 4, 5, 6, 8, 10, 12, 16] {
        let mut level = tokio::task::JoinSet::new();
        for _ in 0..clients {
            let mut client = sidecar.client().await;
            let paths: Vec<String> = (0..48 / clients + 1).map(|at| format!("/slow?ms=30&n={}", asked + at)).collect();
            asked += paths.len();
            level.spawn(async move {
                for path in paths {
                    client.get(&path).await.assert_status(200).assert_cache("miss");
                }
            });
        }
        level.join_all().await;
    }
    counted(&sidecar, asked).await;
    let overview = sidecar.admin_get(OVERVIEW).await;
    let saturation = &overview["saturation"];
    assert_eq!(saturation["serves_at_once"], 4, "{overview:#}");
    assert_eq!(saturation["requests"], asked, "{overview:#}");
    // A client may ask again before the sidecar has noted that its last answer is through.
    assert!((16.0..=32.0).contains(&number(&saturation["most_in_flight"])), "{overview:#}");
    assert!(number(&saturation["queueing_share_of_p95_percent"]) > 30.0, "{overview:#}");
    assert_eq!(sidecar.metric("pacecar_upstream_serves_at_once").await, 4.0);
}

#[tokio::test]
async fn waiting_for_a_turn_is_a_part_of_its_own() {
    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    for waits in [get("/waits"), post("/waits", "body")] {
        let gate = Gate::new();
        let origin = Origin::new().route("/held", ok("held").after(&gate)).otherwise(ok("fine")).start().await;
        let sidecar = Sidecar::in_front_of(&origin).server("upstream_concurrency = 1").start().await;
        let mut held = begin(&sidecar, get("/held")).await;
        gate.arrivals(1).await;
        let method = waits.method.clone();
        let traced = waits.header("traceparent", &format!("00-{ID}-00f067aa0ba902b7-01"));
        let mut waiting = begin(&sidecar, traced).await;
        sidecar.until_metric("pacecar_upstream_queued", 1.0).await;
        time_passes(&sidecar).await;
        gate.open();
        held.answer("GET").await.assert_status(200);
        waiting.answer(&method).await.assert_status(200).assert_body("fine");
        counted(&sidecar, 2).await;

        let slowest = sidecar.admin_get(SLOWEST).await;
        let (held, waited) = (row(&slowest["requests"], "/held"), row(&slowest["requests"], "/waits"));
        assert_eq!((greatest(waited), greatest(held)), ("queue", "first_byte"), "{slowest:#}");
        assert_eq!((&held["in_flight"], &waited["in_flight"]), (&json!(1), &json!(2)), "{slowest:#}");
        assert_eq!((&held["trace_id"], &waited["trace_id"]), (&Value::Null, &json!(ID)), "{slowest:#}");
        assert_eq!(held["breakdown_ms"]["queue"], 0.0, "nobody was before it: {slowest:#}");
    }
}

#[tokio::test]
async fn pause_in_the_body_is_not_the_apps_own_time() {
    let gates = [Gate::new(), Gate::new(), Gate::new()];
    let half = |at: usize| ok("half").wait(&gates[at]).part("half");
    let origin = Origin::new()
        .route("/alone", half(0).header("Cache-Control", "no-store"))
        .route("/stored", half(1).header("Cache-Control", "max-age=60"))
        .route("/posted", half(2))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).config("[profile]\nkeep_paths = true").start().await;
    for (request, gate) in [get("/alone"), get("/stored"), post("/posted", "body")].into_iter().zip(&gates) {
        let mut client = sidecar.client().await;
        let mut answer = client.begin(request).await;
        answer.at_least(4).await;
        time_passes(&sidecar).await;
        gate.open();
        answer.finish().await.assert_status(200).assert_body("halfhalf");
    }
    counted(&sidecar, 3).await;
    sidecar.get("/stored").await.assert_cache("hit");
    counted(&sidecar, 4).await;

    let slowest = sidecar.admin_get(SLOWEST).await;
    for path in ["/alone", "/stored", "/posted"] {
        let request = row(&slowest["requests"], path);
        assert_eq!((greatest(request), &request["path"]), ("body", &json!(path)), "{slowest:#}");
        let endpoint = row(&slowest["endpoints"], path);
        let [client, upstream] = ["latency_ms", "upstream_latency_ms"].map(|of| number(&endpoint[of]["max"]));
        assert!(upstream < client / 2.0, "{endpoint:#}");
    }
    let requests = slowest["requests"].as_array().unwrap();
    let hit = requests.iter().find(|request| request["cache"] == "hit").expect("a hit");
    assert_eq!((greatest(hit), &hit["in_flight"]), ("body", &Value::Null), "{hit:#}");
    assert_eq!(row(&slowest["endpoints"], "/stored")["cache_hit_rate_percent"], 50.0, "{slowest:#}");
}

#[tokio::test]
async fn coding_a_body_takes_time_as_well() {
    // Far from random, and long enough for any encoder to be seen.
    let text: String = (0..200_000u32).map(|n| format!("{{\"lap\":{}}},", n.wrapping_mul(2_654_435_761))).collect();
    let large = ok(&text).header("Content-Type", "application/json");
    let origin = Origin::new()
        .route("/stored", large.clone().header("Cache-Control", "max-age=60"))
        .route("/alone", large.clone().header("Cache-Control", "no-store"))
        .otherwise(large)
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for request in [get("/stored"), get("/alone"), post("/posted", "body")] {
        let answer = sidecar.send(request.header("Accept-Encoding", "br")).await;
        answer.assert_status(200).assert_complete().assert_field("Content-Encoding", "br");
    }
    sidecar.get("/plain").await.assert_status(200);
    counted(&sidecar, 4).await;
    let slowest = sidecar.admin_get(SLOWEST).await;
    for (endpoint, coded) in [("/stored", true), ("/alone", true), ("/posted", true), ("/plain", false)] {
        let request = row(&slowest["requests"], endpoint);
        greatest(request);
        assert_eq!(number(&request["breakdown_ms"]["compression"]) > 0.0, coded, "{request:#}");
        assert_eq!(request["path"], Value::Null, "{request:#}");
    }
}

#[tokio::test]
async fn slow_upload_makes_no_slow_app() {
    let origin = Origin::new().otherwise(ok("thanks")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    client.send_bytes("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf").await;
    origin.wait_for_requests(1).await;
    time_passes(&sidecar).await;
    client.send_bytes("half").await;
    client.answer("POST").await.assert_status(200).assert_body("thanks");
    counted(&sidecar, 1).await;
    let slowest = sidecar.admin_get(SLOWEST).await;
    assert_eq!(greatest(row(&slowest["requests"], "/upload")), "body", "{slowest:#}");
    assert_upstream_is_not_to_blame(&slowest, "/upload");
}

#[tokio::test]
async fn slow_client_makes_no_slow_app() {
    // More than all the buffers on the way can hold.
    let large = ok(noise(32 << 20));
    let origin =
        Origin::new().route("/alone", large.clone().header("Cache-Control", "no-store")).otherwise(large).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for request in [get("/alone"), post("/posted", "body")] {
        let mut client = sidecar.client().await;
        let answer = client.begin(request).await;
        time_passes(&sidecar).await;
        answer.finish().await.assert_status(200).assert_complete();
    }
    counted(&sidecar, 2).await;
    let slowest = sidecar.admin_get(SLOWEST).await;
    for endpoint in ["/alone", "/posted"] {
        assert_eq!(greatest(row(&slowest["requests"], endpoint)), "body", "{slowest:#}");
        assert_upstream_is_not_to_blame(&slowest, endpoint);
    }
}

#[track_caller]
fn assert_upstream_is_not_to_blame(slowest: &Value, endpoint: &str) {
    let row = row(&slowest["endpoints"], endpoint);
    let [client, upstream] = ["latency_ms", "upstream_latency_ms"].map(|of| number(&row[of]["p95"]));
    assert!(upstream < client / 2.0, "{row:#}");
    assert!(number(&row["upstream_share_percent"]) < 50.0, "{row:#}");
}

#[tokio::test]
async fn what_has_no_end_of_its_own_is_in_no_latency() {
    let gate = Gate::new();
    let upgraded = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let events = || ok("data: 1\n\n").header("Content-Type", "text/event-stream").wait(&gate).chunked();
    let download = || ok(noise(1 << 16)).header("Cache-Control", "no-store").wait(&gate).part("end");
    let origin = Origin::new()
        .route("/socket", raw(upgraded).wait(&gate))
        .route("/events", events())
        .route("/posted-events", events())
        .route("/download", download())
        .route("/posted-download", download())
        .otherwise(ok("fine"))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/fine").await.assert_status(200);
    for request in [get("/download"), post("/posted-download", "body"), get("/events"), post("/posted-events", "body")]
    {
        let mut client = sidecar.client().await;
        client.begin(request).await.at_least(9).await;
    }
    let handshake = get("/socket").header("Connection", "Upgrade").header("Upgrade", "websocket");
    let handshake =
        handshake.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==");
    let mut socket = sidecar.client().await;
    socket.begin(handshake).await.so_far().assert_status(101);
    drop(socket);
    counted(&sidecar, 5).await;
    // The app's side of the tunnel is open until it says so.
    gate.open();
    counted(&sidecar, 6).await;

    let slowest = sidecar.admin_get(SLOWEST).await;
    for (endpoint, aborted, streamed) in [
        ("/fine", 0, 0),
        ("/download", 1, 0),
        ("/posted-download", 1, 0),
        ("/events", 0, 1),
        ("/posted-events", 0, 1),
        ("/socket", 0, 1),
    ] {
        let row = row(&slowest["endpoints"], endpoint);
        assert_eq!(
            (&row["requests"], &row["aborted"], &row["streamed"]),
            (&json!(1), &json!(aborted), &json!(streamed))
        );
        for latency in ["latency_ms", "upstream_latency_ms"] {
            assert_eq!(row[latency].is_object(), endpoint == "/fine", "{row:#}");
        }
    }
    assert_eq!(slowest["requests_total"], 1, "{slowest:#}");
    let overview = sidecar.admin_get(OVERVIEW).await;
    let [requests, aborted, streamed] = ["requests", "aborted", "streamed"].map(|of| number(&overview[of]));
    assert_eq!((requests, aborted, streamed), (6.0, 2.0, 3.0), "{overview:#}");
    assert_eq!(overview["latency_ms"]["max"], row(&slowest["requests"], "/fine")["duration_ms"], "{overview:#}");
    assert_eq!(sum(&sidecar, "pacecar_http_request_duration_seconds_count{").await, 1.0);
}

/// Numbers as words that no rule folds.
fn word(mut n: usize) -> String {
    let mut word = String::from("q");
    for _ in 0..5 {
        // Every number below 26⁵ has a word of its own: 7 and 26 have no divisor in common.
        word.push(char::from(b'a' + (n * 7 % 26) as u8));
        n /= 26;
    }
    word
}

#[tokio::test]
async fn scanner_hides_no_endpoint() {
    const REAL: [(&str, usize); 5] = [("/", 3), ("/products", 4), ("/api/cart", 5), ("/api/orders", 6), ("/about", 7)];
    const GUESSES: usize = 3000;
    let origin = Origin::new().otherwise(ok("fine").header("Cache-Control", "no-store")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let visit = async || {
        let mut client = sidecar.client().await;
        for (path, times) in REAL {
            for _ in 0..times {
                client.get(path).await.assert_status(200);
            }
        }
    };
    let real: usize = REAL.iter().map(|(_, times)| times).sum();
    visit().await;
    counted(&sidecar, real).await;

    let mut scanner = tokio::task::JoinSet::new();
    for part in 0..4 {
        let mut client = sidecar.client().await;
        scanner.spawn(async move {
            for n in (part..GUESSES).step_by(4) {
                let path = if n % 3 == 0 { format!("/{}/{}", word(n), word(n + 1)) } else { format!("/{}", word(n)) };
                client.get(&path).await.assert_status(200);
            }
        });
    }
    scanner.join_all().await;
    visit().await;
    // The series of a word that is folded ends, so that those of the metrics do not count all; what is in flight is not
    // counted yet.
    sidecar.until_metric("pacecar_http_requests_in_flight", 0.0).await;
    let all = 2 * real + GUESSES;

    let slowest = sidecar.admin_get(SLOWEST).await;
    let endpoints = by_endpoint(&slowest);
    for (path, times) in REAL {
        assert_eq!(endpoints.get(path), Some(&(2 * times as u64)), "{path} in {endpoints:#?}");
    }
    assert!(number(&slowest["endpoints_total"]) <= 100.0, "{endpoints:#?}");
    assert_eq!(endpoints.values().sum::<u64>(), all as u64, "{endpoints:#?}");
    assert_eq!(sidecar.admin_get(OVERVIEW).await["requests"], json!(all));
    let lines = sidecar.admin("/metrics").await.text().lines().count();
    assert!(lines <= 1500, "{lines} lines of metrics");
}

#[tokio::test]
async fn endpoints_are_called_as_configured() {
    let fine = |received: &Received| if received.target.ends_with("/no") { status(404) } else { ok("fine") };
    let origin = Origin::new().otherwise(fine).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config("[profile]\nendpoints = [\"/blog/{title}\"]").start().await;
    let mut client = sidecar.client().await;
    let paths = ["/blog/yes", "/blog/well", "/blog/no", "/shop/yes", "/shop/no", "/wp-login/no", "/users/17"];
    for path in paths {
        client.get(path).await.assert_complete();
    }
    counted(&sidecar, 7).await;
    let expected = [("/blog/{title}", 3), ("/shop/yes", 1), ("/users/{id}", 1), ("_unmatched", 2)];
    let expect = |expected: &[(&str, u64)]| expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
    assert_eq!(by_endpoint(&sidecar.admin_get(SLOWEST).await), expect(&expected));

    let config = sidecar.config().replace("/blog/{title}", "/shop/{what}");
    fs::write(sidecar.config_path(), config).unwrap();
    sidecar.hang_up().await;
    sidecar.until_metric("pacecar_config_reloads_total{result=\"success\"}", 1.0).await;
    for path in paths {
        client.get(path).await.assert_complete();
    }
    counted(&sidecar, 14).await;
    // What was counted under a name stays there.
    let expected = [
        ("/blog/well", 1),
        ("/blog/yes", 1),
        ("/blog/{title}", 3),
        ("/shop/yes", 1),
        ("/shop/{what}", 2),
        ("/users/{id}", 2),
        ("_unmatched", 4),
    ];
    assert_eq!(by_endpoint(&sidecar.admin_get(SLOWEST).await), expect(&expected));
}

#[tokio::test]
async fn every_window_has_what_happened_just_now() {
    let origin = Origin::new().otherwise(ok("fine")).start().await;
    let began = Instant::now();
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for _ in 0..3 {
        sidecar.get("/page").await.assert_status(200);
    }
    counted(&sidecar, 3).await;
    for window in ["1m", "5m", "15m", "1h", "6h", "24h"] {
        for path in [format!("{OVERVIEW}?window={window}"), format!("{SLOWEST}&window={window}")] {
            let figures = sidecar.admin_get(&path).await;
            assert_eq!(figures["window"], window, "{path}");
            let lasts = number(&figures["lasts_seconds"]);
            assert!(0.0 < lasts && lasts <= began.elapsed().as_secs_f64(), "{path}: {lasts}");
            let requests = figures.get("requests").filter(|count| count.is_u64());
            let requests = requests.unwrap_or_else(|| &row(&figures["endpoints"], "/page")["requests"]);
            assert_eq!(*requests, 3, "{path}: {figures:#}");
        }
    }
    for window in ["2m", "1d", "-1h", "1H", ""] {
        sidecar.admin(&format!("{OVERVIEW}?window={window}")).await.assert_status(400);
        sidecar.admin(&format!("{SLOWEST}&window={window}")).await.assert_status(400);
    }
}

#[tokio::test]
async fn figures_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile");
    let config = format!("[profile]\nsnapshot = {file:?}\nkeep_paths = true");
    let origin = Origin::new().route("/error", status(500)).otherwise(ok("fine")).start().await;
    for round in 1..=2 {
        let mut sidecar = Sidecar::in_front_of(&origin).config(&config).start().await;
        for path in ["/users/8675309?token=s3cret", "/users/8675310", "/error"] {
            sidecar.get(path).await.assert_complete();
        }
        counted(&sidecar, 3).await;
        let expected = [("/error".to_owned(), round), ("/users/{id}".to_owned(), 2 * round)];
        let slowest = sidecar.admin_get(SLOWEST).await;
        assert_eq!(by_endpoint(&slowest), BTreeMap::from(expected), "in round {round}");
        assert_eq!(row(&slowest["endpoints"], "/error")["errors"], round);
        sidecar.terminate().await;
        assert_eq!(sidecar.wait().await.code(), Some(0));

        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let kept = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        assert!(kept.contains("/users/{id}"), "{kept:?}");
        assert!(!kept.contains("86753") && !kept.contains("s3cret"), "{kept:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

    let whole = fs::read(&file).unwrap();
    let longer = [&whole[..], b"more"].concat();
    for damaged in [&whole[..whole.len() - 1], b"", b"something else", &longer] {
        fs::write(&file, damaged).unwrap();
        let sidecar = Sidecar::in_front_of(&origin).config(&config).start().await;
        let warnings = sidecar.logged("the figures of the process before are left out");
        assert!(warnings.len() == 1 && warnings[0].contains("WARN"), "{}", sidecar.log());
        sidecar.get("/page").await.assert_status(200);
        counted(&sidecar, 1).await;
        assert_eq!(sidecar.admin_get(OVERVIEW).await["requests"], 1);
    }
}

#[tokio::test]
async fn file_that_cannot_be_written_costs_no_more_than_the_figures() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::new().otherwise(ok("fine")).start().await;
    let file = folder.path().join("missing").join("profile");
    let config = format!("[profile]\nsnapshot = {file:?}");
    let mut sidecar = Sidecar::in_front_of(&origin).config(&config).start().await;
    sidecar.get("/page").await.assert_status(200);
    sidecar.terminate().await;
    assert_eq!(sidecar.wait().await.code(), Some(0));
    let warnings = sidecar.logged("the figures of the profiler could not be kept");
    assert!(warnings.len() == 1 && warnings[0].contains("WARN"), "{}", sidecar.log());
}

/// What browsers say.
const BROWSER: &str = "gzip, deflate, br, zstd";

#[tokio::test]
async fn bytes_that_coding_saved_are_those_of_its_counters_step_by_step() {
    let html = |bytes| ok(text(bytes)).header("Content-Type", "text/html");
    let origin = Origin::new()
        .route("/stored", html(5_000).header("Cache-Control", "max-age=60"))
        .route("/own", html(5_000).header("Cache-Control", "no-store"))
        .route("/long", html(600_000).header("Cache-Control", "max-age=60").chunked())
        .route("/posted", html(5_000))
        .route("/noise", html(0).part(noise(3_000)))
        .route("/none", ok("").header("Content-Type", "text/html"))
        .route("/packed", html(5_000).header("Content-Encoding", "x-packed"))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut asked = 0;
    for coding in ["gzip", BROWSER, "identity"] {
        for path in ["/stored", "/stored", "/own", "/long", "/long", "/noise", "/none", "/packed"] {
            sidecar.send(get(path).header("Accept-Encoding", coding)).await.assert_status(200).assert_complete();
            asked += 1;
        }
        sidecar.send(head("/stored").header("Accept-Encoding", coding)).await.assert_status(200);
        sidecar.send(post("/posted", "body").header("Accept-Encoding", coding)).await.assert_status(200);
        sidecar.h2c().await.send(get("/stored").header("Accept-Encoding", coding)).await.assert_status(200);
        asked += 3;
    }
    counted(&sidecar, asked).await;
    let compression = sidecar.admin_get("/performance/compression/stats").await;
    let saved = compression["bytes_saved"].as_i64().unwrap();
    // Of each coding, nine answers that were coded; the long ones alone come to this.
    assert!(saved > 2 * 2 * 500_000, "{compression:#}");
    for window in ["1m", "15m", "1h", "24h"] {
        let series = sidecar.admin_get(&format!("/performance/profile/series?window={window}")).await;
        let points = series["points"].as_array().unwrap();
        let sum = |member: &str| points.iter().map(|point| point[member].as_i64().unwrap()).sum::<i64>();
        assert_eq!((sum("requests"), sum("client_bytes_saved")), (asked as i64, saved), "{series:#}");
        assert!(sum("upstream_bytes_saved") > 0, "{series:#}");
    }
    let of = async |path: &str| {
        let series = sidecar.admin_get(&format!("/performance/profile/series?method=GET&endpoint={path}")).await;
        let points = series["points"].as_array().unwrap();
        points.iter().map(|point| point["client_bytes_saved"].as_i64().unwrap()).sum::<i64>()
    };
    assert!(of("/stored").await > 0 && of("/own").await > 0);
    assert_eq!([of("/none").await, of("/packed").await], [0, 0]);
}

#[tokio::test]
async fn series_go_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::new().otherwise(ok("fine")).start().await;
    let config = format!("[profile]\nsnapshot = {:?}", folder.path().join("profile"));
    for asked in [3, 6] {
        let mut sidecar = Sidecar::in_front_of(&origin).config(&config).start().await;
        for _ in 0..3 {
            sidecar.get("/page").await.assert_status(200);
        }
        counted(&sidecar, 3).await;
        for path in ["series?window=24h", "series?window=1h", "series?window=24h&method=GET&endpoint=/page"] {
            let series = sidecar.admin_get(&format!("/performance/profile/{path}")).await;
            let points = series["points"].as_array().unwrap();
            let requests: u64 = points.iter().map(|point| point["requests"].as_u64().unwrap()).sum();
            assert_eq!(requests, asked, "{series:#}");
        }
        sidecar.terminate().await;
        assert_eq!(sidecar.wait().await.code(), Some(0));
    }
}
