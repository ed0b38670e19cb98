//! Endpoints that behave in one particular way: slow, chatty with a database, failing, streaming.

use std::{
    convert::Infallible,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Query},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
    routing::{get, post},
};
use futures_util::{Stream, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;

use super::{cache_control, page};

const DEFAULT_SLOWNESS: Duration = Duration::from_millis(700);
const MAX_SLOWNESS: Duration = Duration::from_secs(5);
/// Longer than anybody likes to wait.
const REPORT: Duration = Duration::from_secs(8);
/// One list of ten items, at one query each and one for the list: about 30 ms.
const ITEMS: u32 = 10;
const QUERY: Duration = Duration::from_micros(2_500);
/// Nobody watches longer than a minute, and a forgotten tab should not hold a connection for ever.
const EVENTS: u32 = 60;
const MAX_ECHO_BYTES: usize = 10 << 20;

pub(super) fn router() -> Router {
    Router::new()
        .route("/slow", get(slow))
        .route("/n-plus-one", get(n_plus_one))
        .route("/error", get(error))
        .route("/report", get(report).post(report))
        .route("/api/time", get(time))
        .route("/events", get(async || Sse::new(events())))
        .route("/api/echo", post(echo).layer(DefaultBodyLimit::max(MAX_ECHO_BYTES)))
        .route("/health", get(async || Json(json!({ "status": "ok" }))))
}

#[derive(Deserialize)]
struct Slowness {
    ms: Option<u64>,
}

async fn slow(Query(wanted): Query<Slowness>) -> Response {
    let duration = wanted.ms.map_or(DEFAULT_SLOWNESS, Duration::from_millis).min(MAX_SLOWNESS);
    sleep(duration).await;
    page("Slow", &format!("<p>This took {} ms.</p>", duration.as_millis())).into_response()
}

/// Sales by month, which take long to add up.
async fn report() -> Response {
    sleep(REPORT).await;
    let rows: String = (1..=12).map(|month| format!("2026-{month:02},{}.00\n", month * 7919 % 1000)).collect();
    ([(header::CONTENT_TYPE, "text/csv")], format!("month,sales\n{rows}")).into_response()
}

async fn n_plus_one() -> Response {
    let began = Instant::now();
    pretended_query().await;
    let mut orders = Vec::new();
    for id in 1..=ITEMS {
        pretended_query().await;
        orders.push(json!({ "id": id, "customer": format!("Customer {}", id * 37 % 100) }));
    }
    let timing = format!("db;dur={:.1};desc=\"{} queries\"", began.elapsed().as_secs_f64() * 1000.0, orders.len() + 1);
    ([("server-timing", timing)], Json(orders)).into_response()
}

async fn pretended_query() {
    sleep(QUERY).await;
}

async fn error() -> Response {
    let body = page("Broken", "<p>This page always fails.</p>");
    (StatusCode::INTERNAL_SERVER_ERROR, body).into_response()
}

async fn time() -> Response {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (cache_control("no-store"), Json(json!({ "unix_ms": now.as_millis() as u64 }))).into_response()
}

/// One event at once and one a second, numbered.
fn events() -> impl Stream<Item = Result<Event, Infallible>> {
    let every_second = tokio::time::interval(Duration::from_secs(1));
    stream::unfold((every_second, 0), |(mut every_second, sent)| async move {
        if sent == EVENTS {
            return None;
        }
        every_second.tick().await;
        let event = Event::default().event("lap").id(sent.to_string()).data(format!("{{\"lap\":{sent}}}"));
        Some((Ok(event), (every_second, sent + 1)))
    })
}

async fn echo(request: HeaderMap, body: Bytes) -> Response {
    let content_type = request.get(header::CONTENT_TYPE).cloned();
    let content_type = content_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}
