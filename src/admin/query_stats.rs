//! The app's database queries: `GET /performance/query/optimization` and `POST /performance/query/record`. Nothing
//! analyses them yet: records are checked and counted, so that an app that sends them knows whether they are right.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::Request,
    http::{StatusCode, Uri},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    api::{apart, bad_request, parameters},
    body::Intake,
    openapi::words,
    problem::Problem,
    query::Parameters,
};
use crate::units;

/// How grave a recommendation can be, most grave last.
pub(super) const SEVERITIES: [&str; 5] = ["info", "warning", "medium", "high", "critical"];
/// What a window may be.
const WINDOW: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(86_400);
const WINDOW_DEFAULT: Duration = Duration::from_secs(3600);

/// Bytes of all records of one request.
const MOST_BYTES: u64 = 1 << 20;
/// Records of one request.
const MOST_RECORDS: usize = 1000;
/// Bytes of a statement.
const TEXT_BYTES: usize = 64 << 10;
/// Characters of a name.
const MOST_OF_NAME: usize = 256;
/// Characters of the name of an endpoint.
const MOST_OF_ENDPOINT: usize = 1024;
/// Beyond this, what reads JSON may read another number (RFC 8259 §6).
const MOST_ROWS: f64 = ((1_u64 << 53) - 1) as f64;

/// What the queries of a window were, and what would make them faster.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Queries {
    /// Queries are analysed.
    enabled: bool,
    /// What has to be done for that.
    how_to_enable: &'static str,
    /// What the figures are of: so long until now.
    #[schema(example = "1h")]
    window: String,
    sources: Sources,
    #[schema(schema_with = words::attribution)]
    attribution: Option<()>,
    /// Queries that were seen.
    total_queries: u64,
    /// Of them, those that differ in more than their values.
    unique_queries: u64,
    /// Of them, those that took 500 ms or longer.
    slow_queries: u64,
    /// Of them, those that took longer than 2 s.
    critical_queries: u64,
    /// Queries that were repeated for each row of another.
    n_plus_one_patterns: u64,
    #[schema(schema_with = words::timing)]
    timing_ms: Option<()>,
    histogram_ms: QueryHistogram,
    /// Whether missing indexes are looked for, and how.
    missing_index_analysis: &'static str,
    #[schema(schema_with = words::nothing_yet)]
    top_queries: [(); 0],
    #[schema(schema_with = words::nothing_yet)]
    recommendations: [(); 0],
}

/// Where queries are known from.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Sources {
    otlp: OtlpSource,
    json: JsonSource,
}

/// Spans of OpenTelemetry.
#[derive(Debug, Default, Serialize, ToSchema)]
struct OtlpSource {
    /// Spans that came.
    spans: u64,
    /// Of them, those of queries.
    db_spans: u64,
    /// Of them, those that another source had told of.
    duplicates: u64,
    /// Spans that could not be read.
    rejected: u64,
}

/// Records that were posted.
#[derive(Debug, Default, Serialize, ToSchema)]
struct JsonSource {
    /// Records that were taken.
    records: u64,
}

/// Queries by how many milliseconds they took.
#[derive(Debug, Default, Serialize, ToSchema)]
struct QueryHistogram {
    #[serde(rename = "<1")]
    below_1: u64,
    #[serde(rename = "1-5")]
    to_5: u64,
    #[serde(rename = "5-10")]
    to_10: u64,
    #[serde(rename = "10-50")]
    to_50: u64,
    #[serde(rename = "50-100")]
    to_100: u64,
    #[serde(rename = "100-500")]
    to_500: u64,
    #[serde(rename = "500-1000")]
    to_1000: u64,
    #[serde(rename = "1000-2000")]
    to_2000: u64,
    #[serde(rename = ">2000")]
    above_2000: u64,
}

impl Queries {
    fn of(window: Duration) -> Self {
        Self {
            enabled: false,
            how_to_enable: "This version does not analyse queries: there is no setting for it yet.",
            window: units::show_duration(window),
            sources: Sources::default(),
            attribution: None,
            total_queries: 0,
            unique_queries: 0,
            slow_queries: 0,
            critical_queries: 0,
            n_plus_one_patterns: 0,
            timing_ms: None,
            histogram_ms: QueryHistogram::default(),
            missing_index_analysis: "disabled",
            top_queries: [],
            recommendations: [],
        }
    }
}

impl Default for Queries {
    fn default() -> Self {
        Self::of(WINDOW_DEFAULT)
    }
}

/// What the queries were, and what would make them faster.
pub(super) async fn optimization(uri: Uri) -> Result<Json<Queries>, Problem> {
    let read = |parameters: Parameters| {
        let window = parameters.value("window").map_or(Ok(WINDOW_DEFAULT), |given| {
            units::duration_within(given, WINDOW).map_err(|fault| format!("window = {given:?}: {fault}"))
        })?;
        parameters.limit()?;
        if let Some(given) = parameters.value("severity").filter(|given| !SEVERITIES.contains(given)) {
            return Err(format!("severity = {given:?}: expected one of {}", SEVERITIES.join(", ")));
        }
        let endpoint = parameters.value("endpoint");
        if let Some(given) = endpoint.filter(|given| !(1..=MOST_OF_ENDPOINT).contains(&given.chars().count())) {
            return Err(format!("endpoint = {given:?}: expected 1 to {MOST_OF_ENDPOINT} characters"));
        }
        Ok(Queries::of(window))
    };
    let parameters = parameters(&uri, &["window", "limit", "severity", "endpoint"])?;
    read(parameters).map(Json).map_err(|detail| bad_request(&uri, detail))
}

/// One execution of a query.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// The statement, at most 64 KiB.
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
    #[expect(dead_code, reason = "its type is all that is checked, and it is not kept yet")]
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
    /// Records that came, and are as they should be.
    #[schema(maximum = 1000)]
    received: usize,
    /// Of them, those that were recorded.
    #[schema(maximum = 1000)]
    recorded: usize,
    /// Queries are analysed.
    enabled: bool,
}

/// Takes one record or a list of them: all of them, or none where one is wrong.
pub(super) async fn record(
    Extension(intake): Extension<Arc<Intake>>,
    request: Request,
) -> Result<(StatusCode, Json<Received>), Problem> {
    let uri = request.uri().clone();
    parameters(&uri, &[])?;
    let body = intake.receive(request.into_body(), MOST_BYTES).await.map_err(|why| why.problem(&uri, "1 MiB"))?;
    let received = apart(move || read(&body)).await.map_err(|detail| bad_request(&uri, detail))?;
    Ok((StatusCode::ACCEPTED, Json(Received { received, recorded: 0, enabled: false })))
}

/// How many records there are.
fn read(body: &[u8]) -> Result<usize, String> {
    let expected = "expected a record, which is a JSON object, or a list of at most 1000 of them";
    match serde_json::from_slice(body).map_err(|error| format!("{error}: {expected}"))? {
        Value::Array(records) if records.len() > MOST_RECORDS => Err(format!("{} of them: {expected}", records.len())),
        Value::Array(records) => {
            let count = records.len();
            let named = |(at, record)| check(record).map_err(|why| format!("record {at}: {why}"));
            records.into_iter().enumerate().try_for_each(named).map(|()| count)
        }
        one => check(one).map(|()| 1),
    }
}

fn check(record: Value) -> Result<(), String> {
    // An object and nothing else: serde takes a list for the members in their order.
    if !record.is_object() {
        return Err("expected a JSON object with query_text and execution_time_ms".into());
    }
    let record: Record = serde_json::from_value(record).map_err(|error| error.to_string())?;
    let bytes = record.query_text.len();
    if !(1..=TEXT_BYTES).contains(&bytes) {
        return Err(format!("query_text of {bytes} bytes: expected 1 to {TEXT_BYTES}"));
    }
    let took = record.execution_time_ms;
    if !(took.is_finite() && took >= 0.0) {
        return Err(format!("execution_time_ms = {took}: expected 0 or more"));
    }
    // JSON has one kind of number, and 3.0 is a whole one.
    if let Some(rows) = record.rows_affected.filter(|rows| rows.fract() != 0.0 || !(0.0..=MOST_ROWS).contains(rows)) {
        return Err(format!("rows_affected = {rows}: expected a whole number from 0 to {MOST_ROWS}"));
    }
    for (name, given) in [("query_id", record.query_id), ("table", record.table)] {
        let characters = given.map(|given| given.chars().count());
        if let Some(count) = characters.filter(|count| !(1..=MOST_OF_NAME).contains(count)) {
            return Err(format!("{name} of {count} characters: expected 1 to {MOST_OF_NAME}"));
        }
    }
    match record.traceparent {
        Some(given) if !is_traceparent(&given) => {
            Err(format!("traceparent = {given:?}: expected one such as 00-{}-{}-01", "1".repeat(32), "2".repeat(16)))
        }
        _ => Ok(()),
    }
}

/// W3C Trace Context §3.2.2: version, trace, parent and flags in small hexadecimal; version ff is none, and neither is
/// a trace or parent of zeros alone.
fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, len| part.len() == len && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let id = |part: &str, len| hex(part, len) && part.bytes().any(|byte| byte != b'0');
    let mut parts = text.split('-');
    let mut next = || parts.next().unwrap_or_default();
    let (version, trace, parent, flags) = (next(), next(), next(), next());
    let whole = parts.next().is_none();
    whole && hex(version, 2) && version != "ff" && id(trace, 32) && id(parent, 16) && hex(flags, 2)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admin::fixture::{Exchange, empty_state};

    const RECORD: &str = "/performance/query/record";
    const OPTIMIZATION: &str = "/performance/query/optimization";

    #[tokio::test]
    async fn a_window_is_shown_as_it_was_asked_for() {
        for (query, window) in [("", "1h"), ("?window=24h&limit=5&severity=high&endpoint=/orders", "1d")] {
            let answer = Exchange::get(&format!("{OPTIMIZATION}{query}")).with(&empty_state()).await;
            let body: Value = serde_json::from_str(&answer.body).unwrap();
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
    async fn records_are_counted_and_not_kept() {
        let one = json!({"query_text": "select 1", "execution_time_ms": 0});
        let full = json!({
            "query_text": "x".repeat(TEXT_BYTES), "execution_time_ms": 12.5, "query_id": "é".repeat(256), "rows_affected": 3.0,
            "indexed": true, "table": "users", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        });
        let nulls = json!({"query_text": "x", "execution_time_ms": 1, "table": null, "traceparent": null});
        for (body, received) in
            [(one.clone(), 1), (full, 1), (nulls, 1), (json!([]), 0), (vec![one; MOST_RECORDS].into(), MOST_RECORDS)]
        {
            let post = Exchange::of("POST", RECORD).field("content-type", "application/json").body(body.to_string());
            let answer = post.with(&empty_state()).await;
            let expected = format!(r#"{{"received":{received},"recorded":0,"enabled":false}}"#);
            answer.assert(StatusCode::ACCEPTED, "application/json", &expected);
        }
    }

    #[test]
    fn what_is_wrong_with_a_record_is_named() {
        let expected = "expected a record, which is a JSON object, or a list of at most 1000 of them";
        let with = |more: &str| format!(r#"{{"query_text":"x","execution_time_ms":1{more}}}"#);
        let right = with("");
        let long = "x".repeat(257);
        for (body, detail) in [
            ("".to_owned(), format!("EOF while parsing a value at line 1 column 0: {expected}")),
            (format!("[{right}{}]", format!(",{right}").repeat(1000)), format!("1001 of them: {expected}")),
            ("7".into(), "expected a JSON object with query_text and execution_time_ms".into()),
            ("[[\"x\",1]]".into(), "record 0: expected a JSON object with query_text and execution_time_ms".into()),
            (format!("[{right},{{}}]"), "record 1: missing field `query_text`".into()),
            (r#"{"query_text":"","execution_time_ms":1}"#.into(), "query_text of 0 bytes: expected 1 to 65536".into()),
            (
                format!(r#"{{"query_text":"{}","execution_time_ms":1}}"#, "x".repeat(65537)),
                "query_text of 65537 bytes: expected 1 to 65536".into(),
            ),
            (
                r#"{"query_text":"x","execution_time_ms":-0.5}"#.into(),
                "execution_time_ms = -0.5: expected 0 or more".into(),
            ),
            (
                r#"{"query_text":"x","execution_time_ms":1e999}"#.into(),
                format!("number out of range at line 1 column 43: {expected}"),
            ),
            (with(&format!(r#","query_id":"{long}""#)), "query_id of 257 characters: expected 1 to 256".into()),
            (with(r#","table":"""#), "table of 0 characters: expected 1 to 256".into()),
            (
                with(r#","rows_affected":1.5"#),
                "rows_affected = 1.5: expected a whole number from 0 to 9007199254740991".into(),
            ),
            (
                with(r#","rows_affected":9007199254740992"#),
                "rows_affected = 9007199254740992: expected a whole number from 0 to 9007199254740991".into(),
            ),
            (with(r#","indexed":"yes""#), "invalid type: string \"yes\", expected a boolean".into()),
        ] {
            assert_eq!(read(body.as_bytes()), Err(detail), "{body:.100}");
        }
        let unknown = read(with(r#","took":1"#).as_bytes()).unwrap_err();
        assert!(unknown.starts_with("unknown field `took`, expected one of `query_text`, "), "{unknown}");
    }

    #[test]
    fn traces() {
        let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let (no_trace, no_parent) = ("0".repeat(32), "0".repeat(16));
        for (text, right) in [
            (format!("00-{trace}-{parent}-01"), true),
            (format!("cc-{trace}-{parent}-ff"), true),
            (format!("ff-{trace}-{parent}-01"), false),
            (format!("00-{no_trace}-{parent}-01"), false),
            (format!("00-{trace}-{no_parent}-01"), false),
            (format!("00-{}-{parent}-01", trace.to_uppercase()), false),
            (format!("00-{trace}-{parent}"), false),
            (format!("00-{trace}-{parent}-01-more"), false),
            (String::new(), false),
        ] {
            assert_eq!(is_traceparent(&text), right, "{text}");
        }
    }
}
