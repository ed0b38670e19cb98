//! Work in the background: `/performance/tasks`. There is no kind of task yet: lists are empty, and none can be begun.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::Request,
    http::{StatusCode, Uri},
};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    api::{bad_request, parameters},
    body::Intake,
    openapi::words,
    problem::Problem,
    query::{LIMIT_DEFAULT, Parameters},
};

/// What a task can be.
pub(super) const STATUSES: [&str; 5] = ["pending", "running", "completed", "failed", "cancelled"];
/// Bytes of a wish for a task.
const MOST_BYTES: u64 = 64 << 10;
/// Characters of the name of a kind.
const MOST_OF_KIND: usize = 64;

/// Tasks, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tasks {
    #[schema(schema_with = words::nothing_yet)]
    tasks: [(); 0],
    /// How many there are altogether, of the status that was asked for.
    total: u64,
    /// As many are shown at most.
    #[schema(minimum = 1, maximum = 100)]
    limit: usize,
    /// As many are left out before them.
    offset: usize,
}

impl Default for Tasks {
    fn default() -> Self {
        Self { tasks: [], total: 0, limit: LIMIT_DEFAULT, offset: 0 }
    }
}

/// The tasks that there are.
pub(super) async fn list(uri: Uri) -> Result<Json<Tasks>, Problem> {
    let read = |parameters: Parameters| {
        if let Some(given) = parameters.value("status").filter(|given| !STATUSES.contains(given)) {
            return Err(format!("status = {given:?}: expected one of {}", STATUSES.join(", ")));
        }
        Ok(Tasks { limit: parameters.limit()?, offset: parameters.offset()?, ..Tasks::default() })
    };
    read(parameters(&uri, &["status", "limit", "offset"])?).map(Json).map_err(|detail| bad_request(&uri, detail))
}

/// One task, whether it is asked for or to be cancelled.
pub(super) async fn one(uri: Uri) -> Result<StatusCode, Problem> {
    parameters(&uri, &[])?;
    Err(Problem::new(StatusCode::NOT_FOUND, &uri, "there is no task with this id"))
}

/// A task that is to be begun.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it is read as a JSON object, of which the kind says what else is in it")]
pub(super) struct NewTask {
    /// What kind of task. This version has none.
    #[schema(pattern = "^[a-z_]{1,64}$")]
    kind: String,
}

/// Begins a task.
pub(super) async fn begin(Extension(intake): Extension<Arc<Intake>>, request: Request) -> Result<StatusCode, Problem> {
    let uri = request.uri().clone();
    parameters(&uri, &[])?;
    let body = intake.receive(request.into_body(), MOST_BYTES).await.map_err(|why| why.problem(&uri, "64 KiB"))?;
    let kind = kind(&body).map_err(|detail| bad_request(&uri, detail))?;
    let detail = format!("kind = {kind:?}: no kind of task is available in this version");
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, &uri, detail))
}

fn kind(body: &[u8]) -> Result<String, String> {
    let object: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| format!("{error}: expected a JSON object with kind"))?;
    match object.get("kind") {
        Some(Value::String(kind)) if is_kind(kind) => Ok(kind.clone()),
        Some(other) => Err(format!("kind = {other}: expected a word of 1 to {MOST_OF_KIND} of a to z and _")),
        None => Err("expected a JSON object with kind".into()),
    }
}

fn is_kind(text: &str) -> bool {
    (1..=MOST_OF_KIND).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture::{Answer, Exchange, empty_state};

    const PATH: &str = "/performance/tasks";

    #[tokio::test]
    async fn the_list_is_empty_and_says_what_was_asked_for() {
        for (query, limit, offset) in [("", 10, 0), ("?status=running&limit=100&offset=7", 100, 7)] {
            let answer = Exchange::get(&format!("{PATH}{query}")).with(&empty_state()).await;
            answer.assert_json(&format!(r#"{{"tasks":[],"total":0,"limit":{limit},"offset":{offset}}}"#));
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_list_is_named() {
        for (query, detail) in [
            ("status=done", "status = \"done\": expected one of pending, running, completed, failed, cancelled"),
            ("limit=101", "limit = \"101\": expected a whole number from 1 to 100"),
            ("offset=-1", "offset = \"-1\": expected a whole number from 0 to 1000000"),
            ("offset=1000001", "offset = \"1000001\": expected a whole number from 0 to 1000000"),
            ("kind=a", "unknown parameter \"kind\": expected status, limit, offset"),
        ] {
            let answer = Exchange::get(&format!("{PATH}?{query}")).with(&empty_state()).await;
            answer.assert_problem(StatusCode::BAD_REQUEST, "Bad Request", detail, PATH);
        }
    }

    #[tokio::test]
    async fn no_task_is_there_whatever_its_id() {
        for (method, id) in [("GET", "7"), ("DELETE", "7"), ("GET", "%ff%00")] {
            let path = format!("{PATH}/{id}");
            let answer = Exchange::of(method, &path).with(&empty_state()).await;
            answer.assert_problem(StatusCode::NOT_FOUND, "Not Found", "there is no task with this id", &path);
        }
    }

    async fn posted(body: String) -> Answer {
        Exchange::of("POST", PATH).field("content-type", "application/json").body(body).with(&empty_state()).await
    }

    #[tokio::test]
    async fn no_kind_of_task_is_available() {
        let long = format!(r#"{{"kind":"{}"}}"#, "x".repeat(65));
        let of_65 = format!("kind = \"{}\": expected a word of 1 to 64 of a to z and _", "x".repeat(65));
        for (body, status, detail) in [
            (
                r#"{"kind":"cache_warmup","urls":[]}"#,
                503,
                "kind = \"cache_warmup\": no kind of task is available in this version",
            ),
            ("{}", 400, "expected a JSON object with kind"),
            (r#"{"kind":7}"#, 400, "kind = 7: expected a word of 1 to 64 of a to z and _"),
            (r#"{"kind":"Warm up"}"#, 400, "kind = \"Warm up\": expected a word of 1 to 64 of a to z and _"),
            (r#"{"kind":""}"#, 400, "kind = \"\": expected a word of 1 to 64 of a to z and _"),
            (&long, 400, &of_65),
            ("", 400, "EOF while parsing a value at line 1 column 0: expected a JSON object with kind"),
        ] {
            let answer = posted(body.to_owned()).await;
            let status = StatusCode::from_u16(status).unwrap();
            answer.assert_problem(status, status.canonical_reason().unwrap(), detail, PATH);
        }
        let answer = posted(" ".repeat((64 << 10) + 1)).await;
        answer.assert_problem(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large", "expected at most 64 KiB", PATH);
    }
}
