//! Tasks on the admin port of the real program: begun, followed, read and cancelled.

use std::fs;

use serde_json::{Value, json};

use crate::common::{Answer, Client, Gate, Origin, Request, Sidecar, get, ok, post, request};

const TASKS: &str = "/performance/tasks";

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: not JSON\n{answer}"))
}

/// The answer is a problem with this status whose detail has these words.
#[track_caller]
fn assert_problem(answer: &Answer, status: u16, words: &str) {
    answer.assert_status(status).assert_field("content-type", "application/problem+json");
    let detail = json_of(answer)["detail"].as_str().unwrap_or_default().to_owned();
    answer.expect(detail.contains(words), format!("a detail with {words:?}"));
}

fn begin(job: &Value) -> Request {
    post(TASKS, job.to_string()).header("Content-Type", "application/json")
}

/// A job that fetches these paths into the cache, one after the other.
fn warmup(sidecar: &Sidecar, paths: &[&str]) -> Value {
    let urls: Vec<String> = paths.iter().map(|path| format!("http://{}{path}", sidecar.addr())).collect();
    json!({ "kind": "cache_warmup", "urls": urls, "concurrency": 1, "rate": 100 })
}

/// As many tasks of warm-ups have ended so.
async fn ended(sidecar: &Sidecar, status: &str, tasks: f64) {
    let series = format!("pacecar_tasks_finished_total{{kind=\"cache_warmup\",status=\"{status}\"}}");
    sidecar.until_metric(&series, tasks).await;
}

#[tokio::test]
async fn a_job_is_begun_followed_and_its_result_read() {
    let page = ok("hello").header("Cache-Control", "max-age=600");
    let origin = Origin::new().route("/page", page).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut admin = Client::connect(sidecar.admin_addr()).await;
    let begun = admin.send(begin(&warmup(&sidecar, &["/page"]))).await;
    begun.assert_status(202);
    let (task, place) = (json_of(&begun), begun.field("location").unwrap().to_owned());
    assert_eq!(place, format!("{TASKS}/{}", task["id"].as_str().unwrap()));

    ended(&sidecar, "completed", 1.0).await;
    let task = json_of(&admin.get(&place).await);
    assert_eq!((&task["status"], &task["progress"], &task["error"]), (&json!("completed"), &json!(100), &Value::Null));
    let way: Vec<_> = task["history"].as_array().unwrap().iter().map(|step| (&step["to"], &step["by"])).collect();
    let [pending, running, completed] = ["pending", "running", "completed"].map(Value::from);
    let [admin_did, system_did] = ["admin", "system"].map(Value::from);
    assert_eq!(way, [(&pending, &admin_did), (&running, &system_did), (&completed, &system_did)], "{task:#}");

    let result = admin.get(&format!("{place}/result")).await;
    result.assert_status(200).assert_field("content-type", "application/json");
    assert_eq!(task["result"], json!({ "status": 200, "body_bytes": result.body.len() }));
    assert!(json_of(&result).is_object(), "{result}");
    sidecar.get("/page").await.assert_cache("hit").assert_body("hello");
    assert_eq!(origin.requests(), 1);

    for (query, total) in [("?status=completed&kind=cache_warmup", 1), ("?status=running", 0), ("?kind=http_async", 0)]
    {
        let list = json_of(&admin.get(&format!("{TASKS}{query}")).await);
        assert_eq!((&list["total"], &list["stats"]["completed"]), (&json!(total), &json!(1)), "{query}: {list:#}");
    }
}

#[tokio::test]
async fn one_that_runs_is_cancelled_once_and_the_log_says_by_whom() {
    let gate = Gate::new();
    let origin = Origin::new().otherwise(ok("late").after(&gate)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut admin = Client::connect(sidecar.admin_addr()).await;
    let begun = admin.send(begin(&warmup(&sidecar, &["/a", "/b"]))).await;
    let place = begun.assert_status(202).field("location").unwrap().to_owned();
    gate.arrivals(1).await;
    assert_eq!(json_of(&admin.get(&place).await)["status"], "running");
    assert_problem(&admin.get(&format!("{place}/result")).await, 409, "running");

    let cancelled = admin.send(request("DELETE", &place)).await;
    cancelled.assert_status(200);
    let task = json_of(&cancelled);
    assert_eq!((&task["status"], &task["history"][2]["by"]), (&json!("cancelled"), &json!("admin")), "{task:#}");
    assert_problem(&admin.send(request("DELETE", &place)).await, 409, "cancelled");
    assert_problem(&admin.get(&format!("{place}/result")).await, 409, "cancelled");
    ended(&sidecar, "cancelled", 1.0).await;
    gate.open();
    assert_eq!(origin.requests(), 1, "nothing is asked for a task that is cancelled");
    let writes = sidecar.logged("admin write");
    assert!(writes.iter().any(|line| line.contains("DELETE") && line.contains(&place)), "{writes:#?}");
}

#[tokio::test]
async fn the_same_key_is_the_same_task_and_no_other() {
    let gate = Gate::new();
    let origin = Origin::new().otherwise(ok("late").after(&gate)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut admin = Client::connect(sidecar.admin_addr()).await;
    let keyed = |paths: &[&str]| begin(&warmup(&sidecar, paths)).header("Idempotency-Key", "\"today\"");
    let first = admin.send(keyed(&["/a"])).await;
    let id = json_of(first.assert_status(202))["id"].clone();
    let again = admin.send(keyed(&["/a"])).await;
    assert_eq!(json_of(again.assert_status(200))["id"], id);
    assert_problem(&admin.send(keyed(&["/b"])).await, 422, id.as_str().unwrap());
    assert_eq!(json_of(&admin.get(TASKS).await)["total"], 1);
}

#[tokio::test]
async fn a_damaged_file_turns_tasks_off_and_says_so_while_all_else_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("tasks");
    fs::write(&store, "this is no database").unwrap();
    let origin = Origin::new().otherwise(ok("fine")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(&format!("[tasks]\nstore = {store:?}")).start().await;
    sidecar.get("/").await.assert_status(200).assert_body("fine");
    let list = sidecar.admin_get(TASKS).await;
    let kept = &list["stats"]["store"];
    assert_eq!(kept["state"], "off", "{list:#}");
    assert!(kept["why"].as_str().is_some_and(|why| !why.is_empty()), "{list:#}");
    assert_eq!(sidecar.metric("pacecar_tasks_store_up").await, 0.0);
    let mut admin = Client::connect(sidecar.admin_addr()).await;
    admin.send(begin(&warmup(&sidecar, &["/"]))).await.assert_status(503);
    assert_eq!(fs::read(&store).unwrap(), b"this is no database");
}

#[tokio::test]
async fn who_has_no_token_sees_and_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (file, token) = (dir.path().join("token"), "correct-horse-battery");
    fs::write(&file, token).unwrap();
    let origin = Origin::new().start().await;
    let sidecar = Sidecar::in_front_of(&origin).admin(&format!("token_file = {file:?}")).start().await;
    let mut admin = Client::connect(sidecar.admin_addr()).await;
    let one = format!("{TASKS}/task_4a1e6f0c2b9d4e7f8a3c5d6e7f8091a2");
    let result = format!("{one}/result");
    let asked = || [get(TASKS), get(&one), get(&result), begin(&json!({})), request("DELETE", &one)];
    for (request, status) in asked().into_iter().zip([200, 404, 404, 400, 404]) {
        admin.send(request.header("Authorization", &format!("Bearer {token}"))).await.assert_status(status);
    }
    for request in asked() {
        admin.send(request).await.assert_status(401);
    }
}
