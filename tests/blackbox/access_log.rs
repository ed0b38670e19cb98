//! The access log: a line for each request that is worth one, without secrets, that never holds a request up.

use std::{fs, path::Path};

use serde_json::Value;

use crate::common::{Cut, Origin, Sidecar, get, ok, post, status, within};

async fn origin() -> Origin {
    Origin::new()
        .route("/stored?page=1&api_key=s3cret", ok("hello").header("Cache-Control", "max-age=60"))
        .route("/failing", status(500).part("oh"))
        .route("/cut", ok("half").cut(Cut::Fin).part("half"))
        .otherwise(ok("hello"))
        .start()
        .await
}

/// The lines of a log, once there are so many.
pub(crate) async fn lines(path: &Path, count: usize) -> Vec<String> {
    within(format!("{count} lines in {}", path.display()), async {
        loop {
            let text = fs::read_to_string(path).unwrap_or_default();
            if text.lines().count() >= count && text.ends_with('\n') {
                return text.lines().map(String::from).collect();
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

/// Keys of `[server]`.
pub(crate) fn keys(which: &str, format: &str, path: &Path) -> String {
    format!("access_log = {which:?}\naccess_log_format = {format:?}\naccess_log_path = {path:?}\n")
}

#[tokio::test]
async fn a_trace_that_nobody_was_told_of_is_not_named() {
    let (origin, dir) = (origin().await, tempfile::tempdir().unwrap());
    let path = dir.path().join("access.log");
    let otlp = "[query.otlp]\nlisten = \"127.0.0.1:0\"";
    let sidecar = Sidecar::in_front_of(&origin).server(&keys("all", "json", &path)).config(otlp).start().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let stored = || get("/stored?page=1&api_key=s3cret");
    let asked = stored().header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    for (count, request) in (1..).zip([stored(), stored(), asked]) {
        sidecar.send(request).await;
        lines(&path, count).await;
    }
    let log: Vec<Value> = lines(&path, 3).await.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = origin.log()[0].field("traceparent").expect("the app is told of a trace").to_owned();
    let [miss, hit, hit_of_a_trace] = &log[..] else { panic!("{log:#?}") };
    assert_eq!((&miss["cache.result"], miss["trace_id"].as_str()), (&"miss".into(), told.split('-').nth(1)));
    assert_eq!((&hit["cache.result"], &hit["trace_id"]), (&"hit".into(), &Value::Null));
    assert_eq!((&hit_of_a_trace["cache.result"], &hit_of_a_trace["trace_id"]), (&"hit".into(), &trace.into()));
}

#[tokio::test]
async fn every_request_has_a_line_of_json() {
    let (origin, dir) = (origin().await, tempfile::tempdir().unwrap());
    let path = dir.path().join("access.log");
    let sidecar = Sidecar::in_front_of(&origin).server(&keys("all", "json", &path)).start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let requests = [
        get("/stored?page=1&api_key=s3cret").header("Host", "shop.test").header("X-Request-Id", "r-1"),
        get("/stored?page=1&api_key=s3cret").header("Host", "shop.test").header("traceparent", trace),
        post("/users/17", "body").header("Cookie", "session=s3cret").header("Authorization", "Basic s3cret"),
        get("/cut").header("User-Agent", "a \"b\""),
    ];
    for (count, request) in (1..).zip(requests) {
        sidecar.send(request).await;
        // A line may be written after the client has its answer.
        lines(&path, count).await;
    }
    let log = lines(&path, 4).await;
    assert!(!log.concat().contains("s3cret"), "{log:#?}");
    let log: Vec<Value> = log.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [miss, hit, posted, cut] = &log[..] else { panic!("{log:#?}") };
    assert_eq!(miss["url.path"], "/stored");
    assert_eq!(miss["url.query"], "page=1&api_key=***");
    assert_eq!((&miss["server.address"], &miss["request_id"]), (&"shop.test".into(), &"r-1".into()));
    assert_eq!((&miss["cache.result"], &hit["cache.result"]), (&"miss".into(), &"hit".into()));
    assert_eq!(hit["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((&posted["http.request.method"], &posted["http.route"]), (&"POST".into(), &"/users/{id}".into()));
    assert_eq!((&posted["cache.result"], &posted["cache.detail"]), (&"bypass".into(), &"method".into()));
    assert_eq!(posted["http.response.body.size"], 5);
    assert_eq!((&cut["aborted"], &cut["error.type"]), (&true.into(), &"closed".into()));
    assert_eq!(cut["user_agent.original"], "a \"b\"");
    for line in &log {
        assert!(line["duration_ms"].as_f64().unwrap() > 0.0 && line["client.address"] == "127.0.0.1");
    }
}

#[tokio::test]
async fn stale_answer_says_why_it_was_given() {
    let stale = ok("hello").header("Cache-Control", "max-age=60, stale-if-error=600").header("Age", "60");
    let (origin, dir) = (Origin::new().otherwise(stale).start().await, tempfile::tempdir().unwrap());
    let path = dir.path().join("access.log");
    let sidecar = Sidecar::in_front_of(&origin).server(&keys("all", "json", &path)).start().await;
    sidecar.get("/").await.assert_cache("miss");
    origin.stop().await;
    sidecar.get("/").await.assert_cache("hit");
    // Each connection writes its own, in whatever order.
    let log: Vec<Value> = lines(&path, 2).await.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = log.iter().find(|line| line["cache.result"] != "miss").unwrap();
    assert_eq!((&line["cache.result"], &line["cache.detail"]), (&"stale".into(), &"stale-if-error".into()));
    assert_eq!((&line["http.response.status_code"], &line["error.type"]), (&200.into(), &"connect".into()));
}

#[tokio::test]
async fn errors_alone_have_a_line_unless_told_otherwise() {
    let (origin, dir) = (origin().await, tempfile::tempdir().unwrap());
    let path = dir.path().join("access.log");
    let keys = format!("access_log_path = {path:?}\naccess_log_format = \"combined\"\n");
    let slow = "[profile]\nslow = \"1h\"";
    let sidecar = Sidecar::in_front_of(&origin).server(&keys).config(slow).start().await;
    sidecar.get("/fine").await.assert_status(200);
    sidecar.get("/missing").await;
    sidecar.get("/failing?a=1").await.assert_status(500);
    let log = lines(&path, 1).await;
    assert_eq!(log.len(), 1, "{log:#?}");
    assert!(log[0].contains("\"GET /failing?a=1 HTTP/1.1\" 500 2 \"-\" \"-\""), "{log:#?}");
    origin.stop().await;
    sidecar.get("/gone").await.assert_status(502);
    assert!(lines(&path, 2).await[1].contains("/gone HTTP/1.1\" 502"));
}

#[tokio::test]
async fn renamed_file_is_left_on_sigusr1() {
    let (origin, dir) = (origin().await, tempfile::tempdir().unwrap());
    let (path, moved) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
    let sidecar = Sidecar::in_front_of(&origin).server(&keys("all", "json", &path)).start().await;
    sidecar.get("/1").await.assert_status(200);
    lines(&path, 1).await;
    fs::rename(&path, &moved).unwrap();
    sidecar.signal("USR1").await;
    within("a new file", async {
        while !path.exists() {
            sidecar.get("/2").await.assert_status(200);
        }
    })
    .await;
    lines(&path, 1).await;
}

#[tokio::test]
async fn reload_switches_it_on_and_refuses_what_cannot_be_opened() {
    let (origin, dir) = (origin().await, tempfile::tempdir().unwrap());
    let path = dir.path().join("access.log");
    let sidecar = Sidecar::in_front_of(&origin).server("access_log = \"off\"").start().await;
    sidecar.get("/failing").await.assert_status(500);
    let on = sidecar.config().replace("access_log = \"off\"", &keys("all", "json", &path));
    fs::write(sidecar.config_path(), &on).unwrap();
    sidecar.hang_up().await;
    within("a line", async {
        while fs::read_to_string(&path).unwrap_or_default().is_empty() {
            sidecar.get("/").await.assert_status(200);
        }
    })
    .await;
    let nowhere = on.replace("access.log", "no/such/folder/access.log");
    fs::write(sidecar.config_path(), nowhere).unwrap();
    sidecar.hang_up().await;
    within("the refusal in the log", async { while !sidecar.log().contains("cannot be opened") {} }).await;
    sidecar.get("/").await.assert_status(200);
}
