//! Work in the background: `/performance/tasks`. What is known of each task is shown here, jobs of the operator are begun,
//! and tasks of both kinds are cancelled. What a client's task came to is the client's, and is not shown.
//!
//! - `view`: what tasks look like as JSON.

pub(super) mod view;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, Request, State, rejection::PathRejection},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
        header::{CONTENT_TYPE, LOCATION},
    },
    response::{IntoResponse, Response},
};

use self::view::{Cancelled, Detail, Tasks};
use super::{
    api::{Shared, apart, bad_request, parameters},
    body::Intake,
    problem::Problem,
};
use crate::{
    job::{Jobs, NotBegun},
    state,
    task::{Accepted, Actor, Fetched, Filter, Kind, NotCancelled, Outcome, Record, Refused, Status, TaskId},
};

/// Bytes of a wish for a task.
const MOST_BYTES: u64 = 64 << 10;
/// Characters of an idempotency key.
pub(super) const MOST_OF_KEY: usize = 255;
/// By which a client tells its request when it sends it again (draft-ietf-httpapi-idempotency-key-header).
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// When it may be worth it to try again, in seconds: where others have to end first, or the next start is near.
const SOON: u32 = 5;
/// The same where somebody has to see to it.
const LATER: u32 = 60;

/// The tasks that there are.
pub(super) async fn list(State(state): Shared, uri: Uri) -> Result<Json<Tasks>, Problem> {
    let parameters = parameters(&uri, &["status", "kind", "limit", "before"])?;
    let read = || {
        let status = parameters.word("status", Status::ALL.map(Status::word), Status::parse)?;
        let kind = parameters.word("kind", Kind::ALL.map(Kind::word), Kind::parse)?;
        Ok((Filter { status, kind }, parameters.before()?, parameters.limit()?))
    };
    let (filter, before, limit) = read().map_err(|detail| bad_request(&uri, detail))?;
    Ok(Json(apart(move || Tasks::of(&state.tasks, filter, before, limit)).await))
}

type Name = Result<Path<String>, PathRejection>;

/// One task.
pub(super) async fn one(State(state): Shared, name: Name, uri: Uri) -> Result<Json<Detail>, Problem> {
    parameters(&uri, &[])?;
    Ok(Json(Detail::of(&*known(&state, name, &uri)?)))
}

/// What a job of the operator came to.
pub(super) async fn result(State(state): Shared, name: Name, uri: Uri) -> Result<Response, Problem> {
    parameters(&uri, &[])?;
    let record = known(&state, name, &uri)?;
    let problem = |status, detail: &str| Err(Problem::new(status, &uri, detail));
    if !record.kind.is_operator() {
        let detail = "the answer to a client's request is the client's: expected its address, with the secret in it";
        return problem(StatusCode::FORBIDDEN, detail);
    }
    match state.tasks.result(record.id).await {
        Fetched::Found(outcome) => Ok(told(outcome)),
        Fetched::None(record) => problem(StatusCode::CONFLICT, &no_result(&record)),
        Fetched::Gone => problem(StatusCode::GONE, "the result of the task is not kept any more"),
        Fetched::Unknown => Err(unknown(&uri)),
    }
}

/// Begins a job of the operator.
pub(super) async fn begin(
    Extension(intake): Extension<Arc<Intake>>,
    Extension(jobs): Extension<Arc<Jobs>>,
    request: Request,
) -> Result<Response, Problem> {
    let uri = request.uri().clone();
    parameters(&uri, &[])?;
    let key = idempotency_key(request.headers()).map_err(|detail| bad_request(&uri, detail))?;
    let body = intake.receive(request.into_body(), MOST_BYTES).await.map_err(|why| why.problem(&uri, "64 KiB"))?;
    match jobs.begin(&body, key.as_deref(), Actor::Admin).await {
        Ok(accepted) => Ok(begun(&accepted)),
        Err(why) => Err(not_begun(why, &uri)),
    }
}

/// Cancels a task.
pub(super) async fn cancel(State(state): Shared, name: Name, uri: Uri) -> Result<Json<Cancelled>, Problem> {
    parameters(&uri, &[])?;
    let record = known(&state, name, &uri)?;
    let problem = |status, detail: &str| Problem::new(status, &uri, detail);
    match state.tasks.cancel(record.id, Actor::Admin).await {
        Ok(record) => Ok(Json(Cancelled::of(&record))),
        Err(NotCancelled::Unknown) => Err(unknown(&uri)),
        Err(NotCancelled::Ended(status)) => {
            let detail = format!("the task is {}: expected one that is pending or running", status.word());
            Err(problem(StatusCode::CONFLICT, &detail))
        }
        Err(NotCancelled::Left) => {
            let detail = "Pacecar is stopping, or tasks are off: the next start goes on with the task as it is";
            Err(problem(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(SOON))
        }
    }
}

/// The task of this name.
fn known(state: &state::State, name: Name, uri: &Uri) -> Result<Arc<Record>, Problem> {
    // A name that is no text is none of a task, either.
    let id = name.ok().and_then(|Path(name)| TaskId::parse(&name));
    id.and_then(|id| state.tasks.get(id)).ok_or_else(|| unknown(uri))
}

fn unknown(uri: &Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, uri, "there is no task with this id")
}

/// As the job made it: its status, type and body. Of its other fields none is known here.
fn told(outcome: Outcome) -> Response {
    let mut response = (outcome.status, outcome.body).into_response();
    response.headers_mut().remove(CONTENT_TYPE);
    response.headers_mut().extend(outcome.headers.get(CONTENT_TYPE).map(|value| (CONTENT_TYPE, value.clone())));
    response
}

/// Why a task has no result.
fn no_result(record: &Record) -> String {
    let status = record.life.status().word();
    match record.life.failure() {
        Some((reason, detail)) => format!("the task has failed ({}): {detail}", reason.word()),
        None => format!("the task is {status}: expected one that is completed"),
    }
}

fn begun(accepted: &Accepted) -> Response {
    let status = if accepted.is_new { StatusCode::ACCEPTED } else { StatusCode::OK };
    let location = HeaderValue::try_from(format!("/performance/tasks/{}", accepted.record.id)).ok();
    let mut response = (status, Json(Detail::of(&accepted.record))).into_response();
    response.headers_mut().extend(location.map(|location| (LOCATION, location)));
    response
}

fn not_begun(why: NotBegun, uri: &Uri) -> Problem {
    let problem = |status, detail: String| Problem::new(status, uri, detail);
    let unavailable = |detail: String| problem(StatusCode::SERVICE_UNAVAILABLE, detail);
    match why {
        NotBegun::Invalid(detail) => bad_request(uri, detail),
        NotBegun::Unavailable(detail) => unavailable(detail),
        NotBegun::Refused(Refused::Off { why }) => unavailable(format!("tasks are off: {why}")).retry_after(LATER),
        NotBegun::Refused(Refused::Stopping) => unavailable("Pacecar is stopping".into()).retry_after(SOON),
        NotBegun::Refused(Refused::Full) => {
            unavailable("as many tasks wait as may: expected some of them to end first".into()).retry_after(SOON)
        }
        NotBegun::Refused(Refused::OtherRequest { id }) => problem(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("this Idempotency-Key came with another request, which began {id}: expected a key of its own"),
        ),
        NotBegun::Refused(Refused::TooLarge { what, given, most }) => {
            problem(StatusCode::PAYLOAD_TOO_LARGE, format!("{given} {what}: expected at most {most}"))
        }
        NotBegun::Refused(Refused::Timeout { given }) => {
            bad_request(uri, format!("a timeout of {} s: expected 1 to 3600 s", given.as_secs_f64()))
        }
    }
}

/// Any text is a key; what it is made of is the client's affair.
fn idempotency_key(fields: &HeaderMap) -> Result<Option<String>, String> {
    let mut given = fields.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err("Idempotency-Key is given twice: expected once".into());
    }
    let shown = |byte: &u8| matches!(byte, b' '..=b'~');
    match key.to_str() {
        Ok(text) if (1..=MOST_OF_KEY).contains(&text.len()) && text.as_bytes().iter().all(shown) => {
            Ok(Some(text.to_owned()))
        }
        _ => Err(format!("Idempotency-Key: expected 1 to {MOST_OF_KEY} printable characters of ASCII")),
    }
}
