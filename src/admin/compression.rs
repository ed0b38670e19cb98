//! What coding did: `GET /performance/compression/stats`.

use std::time::Duration;

use axum::{Json, extract::State, http::Uri};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::{
    api::{Shared, parameters},
    openapi::words,
    problem::Problem,
    view::{Counts, percent},
};
use crate::compress::{
    Skip,
    stats::{CodingFigures, Snapshot, Volume},
};

/// What coding did since the start, and what it cost.
pub(super) async fn stats(State(state): Shared, uri: Uri) -> Result<Json<CompressionStats>, Problem> {
    parameters(&uri, &[])?;
    Ok(Json(CompressionStats::from(&state.compression.stats.snapshot())))
}

/// The answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CompressionStats {
    /// Responses sent in a coding that was made here, for them or before.
    responses_compressed: u64,
    #[schema(schema_with = words::uncoded)]
    responses_skipped: Counts,
    /// Responses whose coding was the app's and was taken off, for clients that refuse it.
    responses_decoded: u64,
    /// Bytes of the coded responses' bodies before coding.
    input_bytes: u64,
    /// The same, as they were sent.
    output_bytes: u64,
    /// `input_bytes` less `output_bytes`; negative where coding made more of them.
    bytes_saved: i64,
    /// Output in percent of input: 25 means that a quarter is left. `null` before the first coded byte.
    #[schema(minimum = 0)]
    average_ratio_percent: Option<f64>,
    /// CPU time of all encoders, to the microsecond.
    #[schema(minimum = 0)]
    cpu_seconds: f64,
    /// What a second of an encoder saves clients from loading. Grows with each hit, which costs none. `null` before the
    /// first encoding.
    bytes_saved_per_cpu_second: Option<i64>,
    /// Bodies that went through an encoder.
    encodings: Encodings,
    /// Stored bodies that were coded anew, and came out smaller.
    recoded: Recoded,
    #[schema(schema_with = words::by_coding)]
    by_coding: Named<OfCoding>,
    #[schema(schema_with = words::by_type)]
    by_type: Named<OfType>,
}

/// Bodies that went through an encoder.
#[derive(Debug, Serialize, ToSchema)]
struct Encodings {
    /// At the level of the configuration, for a client that waits.
    quick: u64,
    /// At the best level, in the background.
    best: u64,
}

/// Stored bodies that smaller ones have taken the place of.
#[derive(Debug, Serialize, ToSchema)]
struct Recoded {
    /// How many.
    bodies: u64,
    /// Their bytes, in the coding that they were in.
    bytes_before: u64,
    /// The bytes that are there in their place.
    bytes_after: u64,
}

/// What was done with one coding.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OfCoding {
    /// Responses sent in it.
    responses: u64,
    /// Bytes of their bodies before coding.
    input_bytes: u64,
    /// The same, as they were sent.
    output_bytes: u64,
    /// Output in percent of input; `null` without input.
    #[schema(minimum = 0)]
    average_ratio_percent: Option<f64>,
    /// Bodies that its encoders coded at the level of the configuration.
    encodings_quick: u64,
    /// Bodies that its encoders coded at the best level.
    encodings_best: u64,
    /// CPU time of its encoders, to the microsecond.
    #[schema(minimum = 0)]
    cpu_seconds: f64,
}

/// Coded responses of one kind of content.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OfType {
    /// How many.
    responses: u64,
    /// Bytes of their bodies before coding.
    input_bytes: u64,
    /// The same, as they were sent.
    output_bytes: u64,
    /// Output in percent of input; `null` without input.
    #[schema(minimum = 0)]
    average_ratio_percent: Option<f64>,
}

/// Values by name, shown as an object in this order.
#[derive(Debug)]
struct Named<T>(Vec<(&'static str, T)>);

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl From<&Snapshot> for CompressionStats {
    fn from(snapshot: &Snapshot) -> Self {
        let sent = snapshot.sent();
        let sum = |figure: fn(&CodingFigures) -> u64| snapshot.codings.iter().map(figure).sum();
        Self {
            responses_compressed: sent.bodies,
            responses_skipped: Counts::of(&snapshot.skips, Skip::name),
            responses_decoded: sum(|of| of.decoded),
            input_bytes: sent.input_bytes,
            output_bytes: sent.output_bytes,
            bytes_saved: sent.bytes_saved(),
            average_ratio_percent: sent.average_ratio_percent().map(percent),
            cpu_seconds: seconds(snapshot.codings.iter().map(|of| of.cpu).sum()),
            bytes_saved_per_cpu_second: snapshot.bytes_saved_per_cpu_second().map(|bytes| bytes.round() as i64),
            encodings: Encodings { quick: sum(|of| of.quick_encodings), best: sum(|of| of.best_encodings) },
            recoded: Recoded {
                bodies: snapshot.recoded.bodies,
                bytes_before: snapshot.recoded.input_bytes,
                bytes_after: snapshot.recoded.output_bytes,
            },
            by_coding: Named(snapshot.codings.iter().map(|of| (of.coding.name(), of.into())).collect()),
            by_type: Named(snapshot.kinds.iter().map(|(kind, volume)| (kind.name(), volume.into())).collect()),
        }
    }
}

impl From<&CodingFigures> for OfCoding {
    fn from(figures: &CodingFigures) -> Self {
        let Volume { bodies, input_bytes, output_bytes } = figures.sent;
        Self {
            responses: bodies,
            input_bytes,
            output_bytes,
            average_ratio_percent: figures.sent.average_ratio_percent().map(percent),
            encodings_quick: figures.quick_encodings,
            encodings_best: figures.best_encodings,
            cpu_seconds: seconds(figures.cpu),
        }
    }
}

impl From<&Volume> for OfType {
    fn from(volume: &Volume) -> Self {
        let Volume { bodies, input_bytes, output_bytes } = *volume;
        let average_ratio_percent = volume.average_ratio_percent().map(percent);
        Self { responses: bodies, input_bytes, output_bytes, average_ratio_percent }
    }
}

/// Seconds to the microsecond: what is beyond is noise.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        admin::fixture::{Exchange, empty_state, used_state},
        header::coding::Coding,
    };

    #[tokio::test]
    async fn before_the_first_response() {
        Exchange::get("/performance/compression/stats").with(&empty_state()).await.assert_json(
            r#"{"responses_compressed":0,"responses_skipped":{"off":0,"route":0,"status":0,"coded":0,"no-transform":0,
            "content-range":0,"type":0,"too-small":0,"private":0,"http10":0,"range":0,"not-accepted":0,
            "unacceptable":0,"not-smaller":0,"no-room":0,"busy":0,"failed":0},"responses_decoded":0,
            "input_bytes":0,"output_bytes":0,"bytes_saved":0,"average_ratio_percent":null,
            "cpu_seconds":0.0,"bytes_saved_per_cpu_second":null,"encodings":{"quick":0,"best":0},
            "recoded":{"bodies":0,"bytes_before":0,"bytes_after":0},
            "by_coding":{
            "zstd":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null,
            "encodings_quick":0,"encodings_best":0,"cpu_seconds":0.0},
            "br":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null,
            "encodings_quick":0,"encodings_best":0,"cpu_seconds":0.0},
            "gzip":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null,
            "encodings_quick":0,"encodings_best":0,"cpu_seconds":0.0},
            "deflate":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null,
            "encodings_quick":0,"encodings_best":0,"cpu_seconds":0.0}},
            "by_type":{
            "json":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null},
            "html":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null},
            "javascript":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null},
            "css":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null},
            "xml":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null},
            "svg":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null},
            "text":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null},
            "wasm":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null},
            "font":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null},
            "other":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null}}}"#,
        );
    }

    #[tokio::test]
    async fn after_some_responses() {
        // Of 6000 bytes 1500 were sent, for 9 ms of encoders: 4500 saved, 500 000 for a second. See the fixture.
        Exchange::get("/performance/compression/stats").with(&used_state()).await.assert_json(
            r#"{"responses_compressed":3,"responses_skipped":{"off":0,"route":0,"status":0,"coded":0,"no-transform":0,
            "content-range":0,"type":0,"too-small":2,"private":0,"http10":0,"range":0,"not-accepted":1,
            "unacceptable":0,"not-smaller":0,"no-room":0,"busy":0,"failed":0},"responses_decoded":1,
            "input_bytes":6000,"output_bytes":1500,"bytes_saved":4500,"average_ratio_percent":25.0,
            "cpu_seconds":0.009,"bytes_saved_per_cpu_second":500000,"encodings":{"quick":2,"best":1},
            "recoded":{"bodies":1,"bytes_before":300,"bytes_after":250},
            "by_coding":{
            "zstd":{"responses":1,"input_bytes":4000,"output_bytes":950,"average_ratio_percent":23.75,
            "encodings_quick":1,"encodings_best":0,"cpu_seconds":0.001},
            "br":{"responses":2,"input_bytes":2000,"output_bytes":550,"average_ratio_percent":27.5,
            "encodings_quick":1,"encodings_best":1,"cpu_seconds":0.008},
            "gzip":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null,
            "encodings_quick":0,"encodings_best":0,"cpu_seconds":0.0},
            "deflate":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null,
            "encodings_quick":0,"encodings_best":0,"cpu_seconds":0.0}},
            "by_type":{
            "json":{"responses":1,"input_bytes":4000,"output_bytes":950,"average_ratio_percent":23.75},
            "html":{"responses":2,"input_bytes":2000,"output_bytes":550,"average_ratio_percent":27.5},
            "javascript":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null},
            "css":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null},
            "xml":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null},
            "svg":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null},
            "text":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null},
            "wasm":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null},
            "font":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null},
            "other":{"responses":0,"input_bytes":0,"output_bytes":0,"average_ratio_percent":null}}}"#,
        );
    }

    #[tokio::test]
    async fn figures_are_rounded_and_a_loss_is_shown_as_one() {
        let state = empty_state();
        let stats = &state.compression.stats;
        stats.compressed(Coding::Gzip, Some(b"text/css"), 3, 4);
        stats.encoded(Coding::Gzip, false, Duration::from_nanos(3_000_400));
        let answer = Exchange::get("/performance/compression/stats").with(&state).await;
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((&body["bytes_saved"], &body["average_ratio_percent"]), (&(-1).into(), &133.33.into()), "{body}");
        // −1 byte in 0.0030004 s.
        assert_eq!((&body["cpu_seconds"], &body["bytes_saved_per_cpu_second"]), (&0.003.into(), &(-333).into()));
        assert_eq!(body["by_type"]["css"]["output_bytes"], 4, "{body}");
    }

    #[tokio::test]
    async fn it_takes_no_parameters() {
        let answer = Exchange::get("/performance/compression/stats?by=type").with(&empty_state()).await;
        let detail = "unknown parameter \"by\": expected none";
        let (status, path) = (axum::http::StatusCode::BAD_REQUEST, "/performance/compression/stats");
        answer.assert_problem(status, "Bad Request", detail, path);
    }
}
