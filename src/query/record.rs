//! Queries that an app records itself: `POST /performance/query/record`.
//!
//! `{"query_text": "SELECT …", "execution_time_ms": 250}`, one or a list, with more where it is known. All of them are
//! taken, or none where one is wrong, so that nobody has to find out which.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::trace::{self, SpanId, TraceId};

/// Records of one request.
pub const MOST_RECORDS: usize = 1000;
/// Bytes of a statement.
pub const TEXT_BYTES: usize = 64 << 10;
/// Characters of a name.
pub const MOST_OF_NAME: usize = 256;
/// Beyond this, what reads JSON may read another number (RFC 8259 §6).
const MOST_ROWS: f64 = ((1_u64 << 53) - 1) as f64;
/// What takes longer counts as this long.
const LONGEST: Duration = Duration::from_secs(86_400);

/// One execution of a query, as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The statement, with or without values.
    pub text: String,
    /// From sending it to its last row.
    pub took: Duration,
    /// The app's name for it.
    pub name: Option<String>,
    /// Rows that it changed or returned.
    pub rows: Option<u64>,
    /// Whether an index was used, where the app knows.
    pub indexed: Option<bool>,
    /// The table that it reads or changes.
    pub table: Option<String>,
    /// The trace and span that it belongs to.
    pub parent: Option<(TraceId, SpanId)>,
}

/// A record as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    query_text: String,
    execution_time_ms: f64,
    query_id: Option<String>,
    rows_affected: Option<f64>,
    indexed: Option<bool>,
    table: Option<String>,
    traceparent: Option<String>,
}

/// The records of a body, or what is wrong with the first that is wrong and what was expected.
pub fn read(body: &[u8]) -> Result<Vec<Record>, String> {
    let expected = "expected a record, which is a JSON object, or a list of at most 1000 of them";
    match serde_json::from_slice(body).map_err(|error| format!("{error}: {expected}"))? {
        Value::Array(records) if records.len() > MOST_RECORDS => Err(format!("{} of them: {expected}", records.len())),
        Value::Array(records) => {
            let named = |(at, record)| one(record).map_err(|why| format!("record {at}: {why}"));
            records.into_iter().enumerate().map(named).collect()
        }
        record => one(record).map(|record| vec![record]),
    }
}

fn one(record: Value) -> Result<Record, String> {
    // An object and nothing else: serde takes a list for the members in their order.
    if !record.is_object() {
        return Err("expected a JSON object with query_text and execution_time_ms".into());
    }
    let record: Written = serde_json::from_value(record).map_err(|error| error.to_string())?;
    let bytes = record.query_text.len();
    if !(1..=TEXT_BYTES).contains(&bytes) {
        return Err(format!("query_text of {bytes} bytes: expected 1 to {TEXT_BYTES}"));
    }
    for (name, given) in [("query_id", &record.query_id), ("table", &record.table)] {
        let characters = given.as_ref().map(|given| given.chars().count());
        if let Some(count) = characters.filter(|count| !(1..=MOST_OF_NAME).contains(count)) {
            return Err(format!("{name} of {count} characters: expected 1 to {MOST_OF_NAME}"));
        }
    }
    Ok(Record {
        took: took(record.execution_time_ms)?,
        rows: record.rows_affected.map(rows).transpose()?,
        parent: record.traceparent.as_deref().map(parent).transpose()?,
        text: record.query_text,
        name: record.query_id,
        indexed: record.indexed,
        table: record.table,
    })
}

fn took(milliseconds: f64) -> Result<Duration, String> {
    if !(milliseconds.is_finite() && milliseconds >= 0.0) {
        return Err(format!("execution_time_ms = {milliseconds}: expected 0 or more"));
    }
    Ok(Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or(LONGEST).min(LONGEST))
}

/// JSON has one kind of number, and 3.0 is a whole one.
fn rows(rows: f64) -> Result<u64, String> {
    if rows.fract() != 0.0 || !(0.0..=MOST_ROWS).contains(&rows) {
        return Err(format!("rows_affected = {rows}: expected a whole number from 0 to {MOST_ROWS}"));
    }
    Ok(rows as u64)
}

fn parent(given: &str) -> Result<(TraceId, SpanId), String> {
    trace::parent(given).ok_or_else(|| {
        format!("traceparent = {given:?}: expected one such as 00-{}-{}-01", "1".repeat(32), "2".repeat(16))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_are_read() {
        let one = json!({"query_text": "select 1", "execution_time_ms": 0});
        let full = json!({
            "query_text": "x".repeat(TEXT_BYTES), "execution_time_ms": 12.5, "query_id": "é".repeat(256),
            "rows_affected": 3.0, "indexed": true, "table": "users",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        });
        let nulls = json!({"query_text": "x", "execution_time_ms": 1e300, "table": null, "traceparent": null});
        let read = |body: Value| read(body.to_string().as_bytes()).unwrap();
        let bare = Record {
            text: "select 1".into(),
            took: Duration::ZERO,
            name: None,
            rows: None,
            indexed: None,
            table: None,
            parent: None,
        };
        assert_eq!(read(one.clone()), [bare]);
        let record = read(full).remove(0);
        assert_eq!((record.took, record.rows, record.indexed), (Duration::from_micros(12_500), Some(3), Some(true)));
        assert!(record.parent.is_some() && record.table.as_deref() == Some("users"));
        assert_eq!(read(nulls)[0].took, LONGEST);
        assert_eq!(read(json!([])), []);
        assert_eq!(read(vec![one; MOST_RECORDS].into()).len(), MOST_RECORDS);
    }

    #[test]
    fn what_is_wrong_with_a_record_is_named() {
        let expected = "expected a record, which is a JSON object, or a list of at most 1000 of them";
        let with = |more: &str| format!(r#"{{"query_text":"x","execution_time_ms":1{more}}}"#);
        let right = with("");
        let long = "x".repeat(257);
        let like = format!("expected one such as 00-{}-{}-01", "1".repeat(32), "2".repeat(16));
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
            (with(&format!(r#","query_id":"{long}""#)), "query_id of 257 characters: expected 1 to 256".into()),
            (with(r#","table":"""#), "table of 0 characters: expected 1 to 256".into()),
            (
                with(r#","rows_affected":1.5"#),
                "rows_affected = 1.5: expected a whole number from 0 to 9007199254740991".into(),
            ),
            (with(r#","indexed":"yes""#), "invalid type: string \"yes\", expected a boolean".into()),
            (with(r#","traceparent":"00-1-2-01""#), format!("traceparent = \"00-1-2-01\": {like}")),
        ] {
            assert_eq!(read(body.as_bytes()), Err(detail), "{body:.100}");
        }
        let unknown = read(with(r#","took":1"#).as_bytes()).unwrap_err();
        assert!(unknown.starts_with("unknown field `took`, expected one of `query_text`, "), "{unknown}");
    }
}
