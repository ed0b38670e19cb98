use std::time::Duration;

use axum::body::to_bytes;
use serde_json::{Value, json};

use super::*;
use crate::{
    admin::fixture::{Answer, Exchange, TASKS, begun as submitted, empty_state, outcome, stands, wish, working_state},
    task::{Job, Wish},
};

const PATH: &str = "/performance/tasks";

fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

async fn listed(state: &Arc<state::State>, query: &str) -> Value {
    json_of(&Exchange::get(&format!("{PATH}{query}")).with(state).await)
}

fn endless() -> Job {
    Box::new(|_| Box::pin(std::future::pending()))
}

/// The id of a task by its number.
fn id(number: usize) -> String {
    format!("task_{number:032x}")
}

#[tokio::test]
async fn a_list_without_tasks_has_its_figures() {
    Exchange::get(PATH).with(&empty_state()).await.assert_json(
        r#"{"tasks":[],"total":0,"limit":10,"next":null,"stats":{
            "pending":0,"running":0,"completed":0,"failed":0,"cancelled":0,
            "max_concurrent":10,"queue_capacity":1000,"avg_queue_ms":null,"avg_execution_ms":null,
            "result_bytes":0,"results_dropped":0,"store":{"state":"memory","bytes":null,"why":null}}}"#,
    );
}

#[tokio::test(start_paused = true)]
async fn pages_go_on_where_the_one_before_ended_whatever_comes_meanwhile() {
    let state = empty_state();
    // Two jobs of the operator run at a time, and the third one waits.
    for number in 1..=3 {
        submitted(&state, wish(&id(number), Kind::CacheWarmup), endless()).await;
    }
    for number in 4..=6 {
        submitted(&state, wish(&id(number), Kind::HttpAsync), endless()).await;
    }
    stands(&state, &id(6), Status::Running).await;
    let ids = |list: &Value| -> Vec<String> {
        list["tasks"].as_array().unwrap().iter().map(|task| task["id"].as_str().unwrap().to_owned()).collect()
    };
    let of = |numbers: &[usize]| numbers.iter().map(|number| id(*number)).collect::<Vec<_>>();
    for (query, total, numbers) in [
        ("", 6, &[6, 5, 4, 3, 2, 1][..]),
        ("?status=pending", 1, &[3]),
        ("?status=running&kind=cache_warmup", 2, &[2, 1]),
        ("?kind=http_async&limit=100", 3, &[6, 5, 4]),
        ("?kind=compare", 0, &[]),
        ("?status=completed", 0, &[]),
        ("?before=0", 6, &[]),
        ("?before=9007199254740991", 6, &[6, 5, 4, 3, 2, 1]),
    ] {
        let list = listed(&state, query).await;
        assert_eq!((&list["total"], ids(&list)), (&json!(total), of(numbers)), "{query}: {list:#}");
        assert_eq!(list["next"], Value::Null, "{query}");
    }

    let first = listed(&state, "?limit=4&status=running").await;
    assert_eq!((ids(&first), &first["limit"]), (of(&[6, 5, 4, 2]), &json!(4)));
    submitted(&state, wish(&id(7), Kind::HttpAsync), endless()).await;
    let second = listed(&state, &format!("?limit=4&status=running&before={}", first["next"])).await;
    assert_eq!((ids(&second), &second["next"]), (of(&[1]), &Value::Null));
    let stats = &second["stats"];
    assert_eq!((&stats["pending"], &stats["running"]), (&json!(1), &json!(6)), "whatever is asked for: {stats:#}");
}

#[tokio::test]
async fn what_is_wrong_with_a_list_is_named() {
    let whole = "expected a whole number, as next says it";
    let kinds = "expected one of http_async, cache_warmup, cache_purge, query_explain, compare";
    for (query, detail) in [
        ("status=done", "status = \"done\": expected one of pending, running, completed, failed, cancelled".into()),
        ("kind=", format!("kind = \"\": {kinds}")),
        ("kind=HttpAsync", format!("kind = \"HttpAsync\": {kinds}")),
        ("limit=101", "limit = \"101\": expected a whole number from 1 to 100".into()),
        ("before=-1", format!("before = \"-1\": {whole}")),
        ("before=9007199254740992", format!("before = \"9007199254740992\": {whole}")),
        ("before=task_1", format!("before = \"task_1\": {whole}")),
        ("offset=1", "unknown parameter \"offset\": expected status, kind, limit, before".into()),
    ] {
        let answer = Exchange::get(&format!("{PATH}?{query}")).with(&empty_state()).await;
        answer.assert_problem(StatusCode::BAD_REQUEST, "Bad Request", &detail, PATH);
    }
}

#[tokio::test]
async fn what_is_no_id_of_a_task_is_a_404() {
    let state = working_state().await;
    let upper = TASKS[0].to_uppercase();
    for (method, rest) in [("GET", ""), ("DELETE", ""), ("GET", "/result")] {
        for id in ["7", "task_", &upper, &TASKS[0][..36], "task_00000000000040008000000000000000", "%ff%00"] {
            let path = format!("{PATH}/{id}{rest}");
            let answer = Exchange::of(method, &path).with(&state).await;
            answer.assert_problem(StatusCode::NOT_FOUND, "Not Found", "there is no task with this id", &path);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_failed_says_why() {
    let state = working_state().await;
    let task = json_of(&Exchange::get(&format!("{PATH}/{}", TASKS[1])).with(&state).await);
    let why = json!({"reason": "upstream_status", "detail": "the app answered 502"});
    assert_eq!((&task["error"], &task["result"]), (&why, &Value::Null), "{task:#}");
    assert_eq!(task["metadata"], json!({"request_id": "8f14e45f"}));
    let last = &task["history"][2];
    assert_eq!((&last["to"], &last["reason"]), (&json!("failed"), &json!("upstream_status")), "{task:#}");
    assert_eq!(last["detail"], "the app answered 502");
}

#[tokio::test(start_paused = true)]
async fn how_long_it_took_is_told_when_it_is_over() {
    let state = empty_state();
    let job: Job = Box::new(|_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            Ok(outcome("{}"))
        })
    });
    for number in 1..=2 {
        submitted(&state, wish(&id(number), Kind::CachePurge), endless()).await;
    }
    let timeout = Some(Duration::from_secs(90));
    submitted(&state, Wish { timeout, ..wish(&id(3), Kind::CachePurge) }, job).await;
    let shown = async || {
        let task = json_of(&Exchange::get(&format!("{PATH}/{}", id(3))).with(&state).await);
        ["status", "created_at", "started_at", "finished_at", "queue_ms", "execution_ms"].map(|name| task[name].clone())
    };
    let (created, begun, ended) = ("2023-11-14T22:13:20.000Z", "2023-11-14T22:13:20.250Z", "2023-11-14T22:13:21.750Z");
    let null = Value::Null;
    let pending = [json!("pending"), json!(created), null.clone(), null.clone(), null.clone(), null.clone()];
    assert_eq!(shown().await, pending);
    tokio::time::advance(Duration::from_millis(250)).await;
    state.tasks.cancel(TaskId::parse(&id(1)).unwrap(), Actor::Admin).await.unwrap();
    stands(&state, &id(3), Status::Running).await;
    assert_eq!(shown().await, [json!("running"), json!(created), json!(begun), null.clone(), json!(250), null]);
    tokio::time::advance(Duration::from_millis(1500)).await;
    stands(&state, &id(3), Status::Completed).await;
    let completed = [json!("completed"), json!(created), json!(begun), json!(ended), json!(250), json!(1500)];
    assert_eq!(shown().await, completed);
    let list = listed(&state, "").await;
    assert_eq!(list["tasks"][0]["timeout_s"], 90);
    // Of two that ended: one that ran for 250 ms, and this one.
    assert_eq!(list["stats"]["avg_execution_ms"], 875.0, "{list:#}");
}

#[tokio::test(start_paused = true)]
async fn a_result_is_told_as_the_job_made_it_or_why_there_is_none() {
    let state = working_state().await;
    let [job, failed, running] = TASKS;
    let result_of = async |id: &str| Exchange::get(&format!("{PATH}/{id}/result")).with(&state).await;
    let told = result_of(job).await;
    told.assert(StatusCode::OK, "application/json", r#"{"urls":2,"stored":2,"failed":0}"#);

    submitted(&state, wish(&id(1), Kind::Compare), endless()).await;
    let failure = task_failure();
    submitted(&state, wish(&id(2), Kind::QueryExplain), Box::new(|_| Box::pin(async { Err(failure) }))).await;
    submitted(&state, wish(&id(3), Kind::CacheWarmup), endless()).await;
    stands(&state, &id(2), Status::Failed).await;
    stands(&state, &id(3), Status::Running).await;
    submitted(&state, wish(&id(4), Kind::CacheWarmup), endless()).await;
    state.tasks.cancel(TaskId::parse(&id(1)).unwrap(), Actor::Admin).await.unwrap();
    stands(&state, &id(4), Status::Running).await;
    submitted(&state, wish(&id(5), Kind::CacheWarmup), endless()).await;
    let theirs = "the answer to a client's request is the client's: expected its address, with the secret in it";
    for (id, status, detail) in [
        (failed, StatusCode::FORBIDDEN, theirs),
        (running, StatusCode::FORBIDDEN, theirs),
        (&id(1), StatusCode::CONFLICT, "the task is cancelled: expected one that is completed"),
        (&id(2), StatusCode::CONFLICT, "the task has failed (error): no such query"),
        (&id(4), StatusCode::CONFLICT, "the task is running: expected one that is completed"),
        (&id(5), StatusCode::CONFLICT, "the task is pending: expected one that is completed"),
    ] {
        let title = status.canonical_reason().unwrap();
        result_of(id).await.assert_problem(status, title, detail, &format!("{PATH}/{id}/result"));
    }
    tokio::time::advance(Duration::from_secs(3600)).await;
    let path = format!("{PATH}/{job}/result");
    let detail = "the result of the task is not kept any more";
    result_of(job).await.assert_problem(StatusCode::GONE, "Gone", detail, &path);
}

fn task_failure() -> crate::task::Failure {
    crate::task::Failure::new(crate::task::Reason::Error, "no such query")
}

#[tokio::test(start_paused = true)]
async fn what_waits_or_runs_is_cancelled_and_what_ended_is_not() {
    let state = working_state().await;
    let [job, failed, running] = TASKS;
    for number in 1..=3 {
        submitted(&state, wish(&id(number), Kind::CacheWarmup), endless()).await;
    }
    stands(&state, &id(2), Status::Running).await;
    let cancel = async |id: &str| Exchange::of("DELETE", &format!("{PATH}/{id}")).with(&state).await;
    for (id, attempt, upstream_may_continue) in [(running, 1, true), (&id(2), 1, false), (&id(1), 1, false)] {
        let task = json_of(&cancel(id).await);
        assert_eq!((&task["id"], &task["status"]), (&json!(id), &json!("cancelled")), "{task:#}");
        assert_eq!(task["upstream_may_continue"], upstream_may_continue, "{task:#}");
        assert_eq!((&task["attempt"], &task["history"][attempt + 1]["by"]), (&json!(attempt), &json!("admin")));
        assert_eq!(task, with_flag(&listed_one(&state, id).await, "upstream_may_continue", upstream_may_continue));
    }
    for (id, status) in [(job, "completed"), (failed, "failed"), (running, "cancelled")] {
        let detail = format!("the task is {status}: expected one that is pending or running");
        cancel(id).await.assert_problem(StatusCode::CONFLICT, "Conflict", &detail, &format!("{PATH}/{id}"));
    }
}

async fn listed_one(state: &Arc<state::State>, id: &str) -> Value {
    json_of(&Exchange::get(&format!("{PATH}/{id}")).with(state).await)
}

fn with_flag(task: &Value, name: &str, value: bool) -> Value {
    let mut task = task.clone();
    task[name] = value.into();
    task
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_was_not_begun_and_the_app_not_asked() {
    let state = empty_state();
    for number in 1..=11 {
        submitted(&state, wish(&id(number), Kind::HttpAsync), endless()).await;
    }
    let answer = Exchange::of("DELETE", &format!("{PATH}/{}", id(11))).with(&state).await;
    let task = json_of(&answer);
    assert_eq!((&task["attempt"], &task["execution_ms"]), (&json!(0), &Value::Null), "{task:#}");
    assert_eq!((&task["queue_ms"], &task["upstream_may_continue"]), (&json!(0), &json!(false)), "{task:#}");
}

#[tokio::test(start_paused = true)]
async fn what_the_next_start_goes_on_with_is_not_cancelled() {
    let state = working_state().await;
    state.tasks.stop(Duration::ZERO).await;
    let path = format!("{PATH}/{}", TASKS[2]);
    let answer = Exchange::of("DELETE", &path).with(&state).await;
    let detail = "Pacecar is stopping, or tasks are off: the next start goes on with the task as it is";
    answer.assert_problem(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", detail, &path);
    assert_eq!(answer.header("retry-after"), Some("5"));
}

#[tokio::test(start_paused = true)]
async fn one_that_was_begun_is_a_202_that_says_where_it_is_and_the_same_again_a_200() {
    let state = empty_state();
    let mut accepted = submitted(&state, wish(TASKS[0], Kind::CacheWarmup), endless()).await;
    for (is_new, status) in [(true, StatusCode::ACCEPTED), (false, StatusCode::OK)] {
        accepted.is_new = is_new;
        let answer = begun(&accepted);
        assert_eq!((answer.status(), answer.headers()[LOCATION].to_str().unwrap()), (status, &*told_at(TASKS[0])));
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        let task: Value = serde_json::from_slice(&body).unwrap();
        let example: Value = serde_json::from_str(include_str!("../examples/task.json")).unwrap();
        let names = |task: &Value| task.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&task), names(&example));
        assert_eq!(task["id"], TASKS[0]);
    }
}

fn told_at(id: &str) -> String {
    format!("{PATH}/{id}")
}

#[tokio::test]
async fn why_none_was_begun_has_a_status_of_its_own() {
    let id = TaskId::parse(TASKS[0]).unwrap();
    let other = format!("this Idempotency-Key came with another request, which began {id}: expected a key of its own");
    let (off, full) = (Refused::Off { why: "the file is damaged".into() }, Refused::Full);
    let large = Refused::TooLarge { what: "bytes of the request", given: 9, most: 7 };
    let timeout = Refused::Timeout { given: Duration::from_millis(500) };
    for (why, status, detail, retry_after) in [
        (NotBegun::Invalid("kind = 7: expected a word".into()), 400, "kind = 7: expected a word", None),
        (NotBegun::Unavailable("no database".into()), 503, "no database", None),
        (NotBegun::Refused(off), 503, "tasks are off: the file is damaged", Some("60")),
        (NotBegun::Refused(Refused::Stopping), 503, "Pacecar is stopping", Some("5")),
        (NotBegun::Refused(full), 503, "as many tasks wait as may: expected some of them to end first", Some("5")),
        (NotBegun::Refused(Refused::OtherRequest { id }), 422, &other, None),
        (NotBegun::Refused(large), 413, "9 bytes of the request: expected at most 7", None),
        (NotBegun::Refused(timeout), 400, "a timeout of 0.5 s: expected 1 to 3600 s", None),
    ] {
        let answer = not_begun(why, &Uri::from_static(PATH)).into_response();
        let given = answer.headers().get("retry-after").map(|seconds| seconds.to_str().unwrap());
        assert_eq!((answer.status().as_u16(), given), (status, retry_after), "{detail}");
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&problem["detail"], &problem["status"]), (&json!(detail), &json!(status)));
    }
}

#[tokio::test]
async fn what_is_wrong_around_a_wish_is_named_before_anything_is_begun() {
    let state = empty_state();
    let begin = || Exchange::of("POST", PATH).field("content-type", "application/json");
    let (long, expected) =
        ("x".repeat(MOST_OF_KEY + 1), "Idempotency-Key: expected 1 to 255 printable characters of ASCII");
    let twice = "Idempotency-Key is given twice: expected once";
    for (exchange, status, detail) in [
        (begin().field("idempotency-key", "a").field("idempotency-key", "a"), 400, twice),
        (begin().field("idempotency-key", ""), 400, expected),
        (begin().field("idempotency-key", &long), 400, expected),
        (begin().field("idempotency-key", "a\tb"), 400, expected),
        (begin().raw_field("idempotency-key", b"caf\xe9"), 400, expected),
        (begin().body(" ".repeat((64 << 10) + 1)), 413, "expected at most 64 KiB"),
    ] {
        let answer = exchange.with(&state).await;
        let status = StatusCode::from_u16(status).unwrap();
        answer.assert_problem(status, status.canonical_reason().unwrap(), detail, PATH);
    }
    assert_eq!(state.tasks.list(&Filter::default(), None, 10).total, 0);
}
