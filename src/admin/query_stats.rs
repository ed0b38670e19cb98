//! The app's database queries: `GET /performance/query/optimization` and `POST /performance/query/record`.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::{StatusCode, Uri},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use self::view::Queries;
use super::{
    api::{Shared, apart, bad_request, parameters},
    body::Intake,
    problem::Problem,
    query::Parameters,
};
use crate::{query::record, units};

pub(super) mod view;

/// How grave a recommendation can be, most grave last.
pub(super) const SEVERITIES: [&str; 5] = ["info", "warning", "medium", "high", "critical"];
/// What a window may be.
const WINDOW: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(86_400);
pub(super) const WINDOW_DEFAULT: Duration = Duration::from_secs(3600);

/// Bytes of all records of one request.
const MOST_BYTES: u64 = 1 << 20;
/// Characters of the name of an endpoint.
const MOST_OF_ENDPOINT: usize = 1024;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) window: Duration,
    /// So many queries, endpoints and recommendations at most.
    pub(super) limit: usize,
    /// Only recommendations that are so grave.
    pub(super) severity: Option<String>,
    /// Only what is about this endpoint: its name, with or without its method.
    pub(super) endpoint: Option<String>,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { window: WINDOW_DEFAULT, limit: super::query::LIMIT_DEFAULT, severity: None, endpoint: None }
    }
}

impl Wanted {
    fn read(parameters: &Parameters) -> Result<Self, String> {
        let window = parameters.value("window").map_or(Ok(WINDOW_DEFAULT), |given| {
            units::duration_within(given, WINDOW).map_err(|fault| format!("window = {given:?}: {fault}"))
        })?;
        let limit = parameters.limit()?;
        let severity = parameters.value("severity");
        if let Some(given) = severity.filter(|given| !SEVERITIES.contains(given)) {
            return Err(format!("severity = {given:?}: expected one of {}", SEVERITIES.join(", ")));
        }
        let endpoint = parameters.value("endpoint");
        if let Some(given) = endpoint.filter(|given| !(1..=MOST_OF_ENDPOINT).contains(&given.chars().count())) {
            return Err(format!("endpoint = {given:?}: expected 1 to {MOST_OF_ENDPOINT} characters"));
        }
        Ok(Self { window, limit, severity: severity.map(Into::into), endpoint: endpoint.map(Into::into) })
    }
}

/// What the queries were, and what would make them faster.
pub(super) async fn optimization(State(state): Shared, uri: Uri) -> Result<Json<Queries>, Problem> {
    let parameters = parameters(&uri, &["window", "limit", "severity", "endpoint"])?;
    let wanted = Wanted::read(&parameters).map_err(|detail| bad_request(&uri, detail))?;
    Ok(Json(apart(move || Queries::of(&state, &wanted, Instant::now().into_std())).await))
}

/// One execution of a query, as it is described; `query::record` reads it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes what another module reads")]
pub(super) struct Record {
    /// The statement, at most 64 KiB. Its values are not kept.
    #[schema(min_length = 1, max_length = 65536)]
    query_text: String,
    /// Milliseconds from sending it to its last row.
    #[schema(minimum = 0)]
    execution_time_ms: f64,
    /// The app's name for it.
    #[schema(min_length = 1, max_length = 256)]
    query_id: Option<String>,
    /// Rows that it changed or returned.
    #[schema(value_type = Option<u64>, maximum = 9007199254740991_u64)]
    rows_affected: Option<f64>,
    /// An index was used.
    indexed: Option<bool>,
    /// The table that it reads or changes.
    #[schema(min_length = 1, max_length = 256)]
    table: Option<String>,
    /// The trace that it belongs to, as the field of this name has it (W3C Trace Context §3.2).
    #[schema(pattern = "^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")]
    traceparent: Option<String>,
}

/// What became of records.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Received {
    /// Records that came, and were taken.
    #[schema(maximum = 1000)]
    received: usize,
}

/// Takes one record or a list of them: all of them, or none where one is wrong.
pub(super) async fn record(
    State(state): Shared,
    Extension(intake): Extension<Arc<Intake>>,
    request: Request,
) -> Result<(StatusCode, Json<Received>), Problem> {
    let uri = request.uri().clone();
    parameters(&uri, &[])?;
    let body = intake.receive(request.into_body(), MOST_BYTES).await.map_err(|why| why.problem(&uri, "1 MiB"))?;
    let now = Instant::now().into_std();
    let take = move || {
        let records = record::read(&body)?;
        state.queries.records(&records, now);
        Ok(records.len())
    };
    let received = apart(take).await.map_err(|detail| bad_request(&uri, detail))?;
    Ok((StatusCode::ACCEPTED, Json(Received { received })))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        admin::fixture::{Answer, Exchange, empty_state},
        query::{
            Endpoint, Request as Asked,
            server_timing::DatabaseTime,
            trace::{SpanId, TraceId},
        },
        state,
    };

    const RECORD: &str = "/performance/query/record";
    const OPTIMIZATION: &str = "/performance/query/optimization";
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    async fn posted(state: &Arc<state::State>, records: Value) -> Answer {
        let post = Exchange::of("POST", RECORD).field("content-type", "application/json").body(records.to_string());
        post.with(state).await
    }

    async fn optimization(state: &Arc<state::State>, query: &str) -> Value {
        let answer = Exchange::get(&format!("{OPTIMIZATION}{query}")).with(state).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Three requests of `/orders`, each of which asks for its orders and then for each of six items; with another
    /// endpoint that asks one slow question.
    async fn asked_state() -> Arc<state::State> {
        let state = empty_state();
        let now = || Instant::now().into_std();
        for request in 1..=3_u64 {
            let trace = format!("{TRACE:.31}{request}");
            let span = format!("b7ad6b716920333{request}");
            let record = |text: String, took: f64| {
                let traceparent = format!("00-{trace}-{span}-01");
                json!({ "query_text": text, "execution_time_ms": took, "traceparent": traceparent })
            };
            let mut records = vec![record("SELECT id FROM orders WHERE owner = 'ada lovelace'".into(), 3.0)];
            records.extend((0..6).map(|item| record(format!("SELECT * FROM items WHERE id = {item}"), 8.0)));
            let endpoint = Endpoint { method: "GET", name: "/orders".into() };
            let (trace, span) = (TraceId::of_hex(&trace), SpanId::of_hex(&span));
            let took = Duration::from_millis(60);
            state.queries.request(Asked { trace, span, endpoint, took, database: None }, now());
            assert_eq!(posted(&state, records.into()).await.status, StatusCode::ACCEPTED);
        }
        let report = json!({ "query_text": "SELECT sum(x) FROM facts", "execution_time_ms": 2500.0, "indexed": false });
        posted(&state, json!([report, report, report])).await;
        // What belongs together has come: nothing more is waited for.
        tokio::time::advance(Duration::from_secs(120)).await;
        state
    }

    #[tokio::test(start_paused = true)]
    async fn queries_are_joined_to_their_requests_and_what_is_wrong_is_found() {
        let state = asked_state().await;
        let all = optimization(&state, "").await;
        assert_eq!((&all["enabled"], &all["how_to_enable"]), (&true.into(), &Value::Null));
        assert_eq!((&all["total_queries"], &all["unique_queries"]), (&24.into(), &3.into()), "{all:#}");
        assert_eq!((&all["slow_queries"], &all["critical_queries"]), (&3.into(), &3.into()));
        assert_eq!(all["sources"]["json"]["records"], 24);
        assert_eq!(all["histogram_ms"]["5-10"], 18, "{all:#}");
        assert_eq!(all["attribution"]["request"], 87.5, "21 of 24: {all:#}");
        let items = all["top_queries"].as_array().unwrap().iter().find(|query| query["tables"] == json!(["items"]));
        let items = items.unwrap_or_else(|| panic!("{all:#}"));
        assert_eq!((&items["calls"], &items["kind"], &items["rows_avg"]), (&18.into(), &"select".into(), &Value::Null));
        assert_eq!(items["endpoints"], json!([{ "method": "GET", "endpoint": "/orders", "calls": 18 }]));
        assert_eq!((&items["timing_ms"]["max"], &items["histogram_ms"]["5-10"]), (&json!(8.0), &json!(18)));
        let n_plus_one = all["recommendations"].as_array().unwrap().iter().find(|found| found["type"] == "n_plus_one");
        let n_plus_one = n_plus_one.unwrap_or_else(|| panic!("{all:#}"));
        assert_eq!((&n_plus_one["endpoint"], &n_plus_one["query_id"]), (&"/orders".into(), &items["query_id"]));
        assert_eq!(n_plus_one["evidence"]["per_request_max"], 6, "{all:#}");
        assert_eq!(all["recommendations"][0]["severity"], "critical", "{all:#}");
        assert_eq!(all["endpoints"][0]["queries_per_request"], json!({ "avg": 7.0, "max": 7 }), "{all:#}");
        assert!(!all.to_string().contains("lovelace"), "{all:#}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_asked_for_is_left_out() {
        let state = asked_state().await;
        let of_orders = optimization(&state, "?endpoint=/orders&limit=1").await;
        assert_eq!(of_orders["top_queries"].as_array().unwrap().len(), 1);
        let found = of_orders["recommendations"].as_array().unwrap();
        assert!(found.iter().all(|found| found["endpoint"] == "/orders") && !found.is_empty(), "{of_orders:#}");
        for (query, expected) in [("?endpoint=GET%20/orders", 1), ("?endpoint=/other", 0)] {
            assert_eq!(optimization(&state, query).await["endpoints"].as_array().unwrap().len(), expected, "{query}");
        }
        let critical = optimization(&state, "?severity=critical").await;
        let found = critical["recommendations"].as_array().unwrap();
        assert!(found.iter().all(|found| found["severity"] == "critical") && !found.is_empty(), "{critical:#}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_responses_say_of_the_database_is_shown() {
        let state = empty_state();
        for queries in [11, 13] {
            let database = Some(DatabaseTime { time: Some(Duration::from_millis(30)), queries: Some(queries) });
            let endpoint = Endpoint { method: "GET", name: "/page".into() };
            let took = Duration::from_millis(40);
            let request = Asked { trace: None, span: None, endpoint, took, database };
            state.queries.request(request, Instant::now().into_std());
        }
        tokio::time::advance(Duration::from_secs(120)).await;
        let all = optimization(&state, "").await;
        assert_eq!(all["sources"]["server_timing"]["responses"], 2, "{all:#}");
        let page = &all["endpoints"][0];
        assert_eq!((&page["basis"], &page["requests"]), (&"server_timing".into(), &2.into()), "{all:#}");
        assert_eq!(page["queries_per_request"], json!({ "avg": 12.0, "max": 13 }));
        assert_eq!(page["database_time_share_percent"], 75.0);
    }

    #[tokio::test]
    async fn a_window_is_shown_as_it_was_asked_for() {
        for (query, window) in [("", "1h"), ("?window=24h&limit=5&severity=high&endpoint=/orders", "1d")] {
            let body = optimization(&empty_state(), query).await;
            assert_eq!((&body["window"], &body["enabled"]), (&window.into(), &false.into()), "{body}");
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_question_is_named() {
        for (query, detail) in [
            ("window=59s", "window = \"59s\": expected a duration from \"1m\" to \"1d\"".to_owned()),
            ("window=1", "window = \"1\": expected a duration with its unit, such as \"1s\"".into()),
            ("limit=0", "limit = \"0\": expected a whole number from 1 to 100".into()),
            ("severity=bad", "severity = \"bad\": expected one of info, warning, medium, high, critical".into()),
            ("endpoint=", "endpoint = \"\": expected 1 to 1024 characters".into()),
            ("by=p95", "unknown parameter \"by\": expected window, limit, severity, endpoint".into()),
        ] {
            let answer = Exchange::get(&format!("{OPTIMIZATION}?{query}")).with(&empty_state()).await;
            answer.assert_problem(StatusCode::BAD_REQUEST, "Bad Request", &detail, OPTIMIZATION);
        }
    }

    #[tokio::test]
    async fn all_records_are_taken_or_none() {
        let state = empty_state();
        let one = json!({ "query_text": "select 1", "execution_time_ms": 0 });
        for (records, received) in [(one.clone(), 1), (json!([]), 0), (vec![one.clone(); 1000].into(), 1000)] {
            let expected = format!(r#"{{"received":{received}}}"#);
            posted(&state, records).await.assert(StatusCode::ACCEPTED, "application/json", &expected);
        }
        let answer = posted(&state, json!([one, { "query_text": "x" }])).await;
        let detail = "record 1: missing field `execution_time_ms`";
        answer.assert_problem(StatusCode::BAD_REQUEST, "Bad Request", detail, RECORD);
        assert_eq!(optimization(&state, "").await["sources"]["json"]["records"], 1001);
    }
}
