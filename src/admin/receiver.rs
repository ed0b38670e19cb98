//! The receiver of spans that the app exports: OTLP over HTTP, on a port of its own.
//!
//! It is where an app's `OTEL_EXPORTER_OTLP_ENDPOINT` points. Traces are looked at; with `forward_to` every body goes on
//! untouched to the collector that was there before, metrics and logs as well, and its answer is the app's. Without one,
//! metrics and logs have no place here: 404, which exporters do not try again.
//!
//! Answers are those of the OTLP specification 1.x: an empty `ExportTraceServiceResponse` in the form of the request, 400
//! for what cannot be read, 413 for what is too large, 415 for other forms, and 503 with `Retry-After` where there is no
//! room, upon which an exporter comes again.

use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Request, State as Shared},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT},
    },
    response::{IntoResponse, Response},
    routing::post,
};
use tokio::sync::Semaphore;

use super::body::{Failure, Intake};
use crate::{
    profile,
    query::otlp::{self, Decoded, Format, Refusal},
    state::State,
};

/// Bytes of a body as it comes.
const MOST_BYTES: u64 = 8 << 20;
/// Bytes of all bodies that are on their way.
const INTAKE_BYTES: u64 = 32 << 20;
/// Bodies that are read at a time: each may take 32 MiB when it is unpacked.
const AT_A_TIME: usize = 2;
/// Bodies that wait for the collector at a time.
const FORWARDED_AT_A_TIME: usize = 8;
/// How long the collector may take.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of the collector's answer.
const MOST_OF_ANSWER: u64 = 64 << 10;
/// Seconds after which there may be room.
const RETRY: &str = "1";

/// The settings of `[query.otlp]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Default 127.0.0.1:4318.
    pub listen: SocketAddr,
    /// The collector that every body goes on to, such as `http://127.0.0.1:4317`; `/v1/traces` and so on are added to it.
    /// Default: none.
    pub forward_to: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 4318)), forward_to: None }
    }
}

/// What the receiver works with.
struct Receiver {
    state: Arc<State>,
    intake: Intake,
    reading: Semaphore,
    forwarding: Semaphore,
    forward_to: Option<String>,
}

/// The port for spans.
pub(super) fn router(state: Arc<State>, settings: Settings) -> Router {
    let receiver = Receiver {
        state,
        intake: Intake::new(INTAKE_BYTES),
        reading: Semaphore::new(AT_A_TIME),
        forwarding: Semaphore::new(FORWARDED_AT_A_TIME),
        forward_to: settings.forward_to,
    };
    Router::new()
        .route("/v1/traces", post(traces))
        .route("/v1/metrics", post(others))
        .route("/v1/logs", post(others))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(receiver))
}

/// Looks at spans, and passes them on.
async fn traces(Shared(receiver): Shared<Arc<Receiver>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(format) = content_type(&parts.headers).and_then(Format::of_content_type) else {
        let expected = "expected Content-Type application/x-protobuf or application/json";
        return refusal(Format::Json, StatusCode::UNSUPPORTED_MEDIA_TYPE, expected);
    };
    let is_packed = match encoding(&parts.headers) {
        Ok(is_packed) => is_packed,
        Err(expected) => return refusal(format, StatusCode::UNSUPPORTED_MEDIA_TYPE, expected),
    };
    let body = match receiver.receive(body, format).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let taken = receiver.clone().take(body.clone(), format, is_packed).await;
    match (taken, &receiver.forward_to) {
        // What cannot be read here is the collector's affair: it may know more than this does.
        (_, Some(_)) => receiver.forward(&parts.headers, parts.uri.path(), body, format).await,
        (Ok(rejected), None) => accepted(format, rejected),
        (Err((status, why)), None) => refusal(format, status, &why),
    }
}

/// Passes metrics and logs on.
async fn others(Shared(receiver): Shared<Arc<Receiver>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let format = content_type(&parts.headers).and_then(Format::of_content_type).unwrap_or(Format::Json);
    if receiver.forward_to.is_none() {
        let why =
            "metrics and logs are not looked at here: name their collector in query.otlp.forward_to, or export none";
        return refusal(format, StatusCode::NOT_FOUND, why);
    }
    match receiver.receive(body, format).await {
        Ok(body) => receiver.forward(&parts.headers, parts.uri.path(), body, format).await,
        Err(refused) => refused,
    }
}

impl Receiver {
    async fn receive(&self, body: Body, format: Format) -> Result<Bytes, Response> {
        let received = self.intake.receive(body, MOST_BYTES).await;
        received.map_err(|failure| match failure {
            Failure::TooLarge => refusal(format, StatusCode::PAYLOAD_TOO_LARGE, "expected at most 8 MiB"),
            Failure::NoRoom => busy(format),
            Failure::TooSlow => refusal(format, StatusCode::REQUEST_TIMEOUT, "the body took too long to come"),
            Failure::Broken => refusal(format, StatusCode::BAD_REQUEST, "the body did not come to its end"),
        })
    }

    /// Hands the spans of a body to the observer: how many were not taken, or what is wrong with it.
    async fn take(self: Arc<Self>, body: Bytes, format: Format, is_packed: bool) -> Result<u64, (StatusCode, String)> {
        // Never closed, so that there is always a turn.
        let _turn = self.reading.acquire().await;
        let receiver = self.clone();
        super::api::apart(move || {
            let now = tokio::time::Instant::now().into_std();
            receiver.read(&body, format, is_packed, now).map_err(|refusal| {
                let status = match refusal {
                    Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                    Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
                };
                (status, refusal.to_string())
            })
        })
        .await
    }

    fn read(&self, body: &[u8], format: Format, is_packed: bool, now: Instant) -> Result<u64, Refusal> {
        let unpacked = if is_packed { Some(otlp::inflate(body)?) } else { None };
        let decoded: Decoded<'_> = otlp::decode(unpacked.as_deref().unwrap_or(body), format)?;
        let rejected = decoded.rejected;
        let routed = self.state.queries.spans(&decoded, now);
        // Of a path that the app does not know, the route is what is left for such.
        let known = routed.iter().filter(|routed| *routed.name != *profile::UNMATCHED);
        self.state.profiler.learn(known.map(|routed| (routed.route, routed.path)));
        Ok(rejected)
    }

    /// Sends a body on as it came, and gives back what the collector says.
    async fn forward(&self, fields: &HeaderMap, path: &str, body: Bytes, format: Format) -> Response {
        let Some(collector) = &self.forward_to else { return busy(format) };
        let Ok(_turn) = self.forwarding.try_acquire() else { return busy(format) };
        let url = format!("{}{path}", collector.trim_end_matches('/'));
        let fields = fields.clone();
        match super::api::apart(move || send(&url, &fields, &body)).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, "the collector in query.otlp.forward_to was not reached");
                refusal(format, StatusCode::BAD_GATEWAY, "the collector behind Pacecar does not answer")
            }
        }
    }
}

/// Fields of the app's that the collector needs: which form the body has, and who sends it.
fn goes_on(name: &HeaderName) -> bool {
    [CONTENT_TYPE, CONTENT_ENCODING, AUTHORIZATION, USER_AGENT].contains(name) || name.as_str().starts_with("x-")
}

fn send(url: &str, fields: &HeaderMap, body: &[u8]) -> Result<Response, ureq::Error> {
    static AGENT: LazyLock<ureq::Agent> = LazyLock::new(|| {
        let config = ureq::Agent::config_builder().timeout_global(Some(FORWARD_TIMEOUT)).http_status_as_error(false);
        // Nobody but the one that is named is sent anything.
        config.max_redirects(0).proxy(None).build().into()
    });
    let request = fields
        .iter()
        .filter(|(name, _)| goes_on(name))
        .fold(AGENT.post(url), |request, (name, value)| request.header(name.as_str(), value.as_bytes()));
    let mut answer = request.send(body)?;
    let kept = [CONTENT_TYPE, RETRY_AFTER];
    let fields: HeaderMap = kept
        .into_iter()
        .filter_map(|name| {
            Some((name.clone(), HeaderValue::from_bytes(answer.headers().get(name.as_str())?.as_bytes()).ok()?))
        })
        .collect();
    let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let body = answer.body_mut().with_config().limit(MOST_OF_ANSWER).read_to_vec()?;
    Ok((status, fields, body).into_response())
}

fn content_type(fields: &HeaderMap) -> Option<&str> {
    fields.get(CONTENT_TYPE)?.to_str().ok()
}

/// Whether the body is packed with gzip.
fn encoding(fields: &HeaderMap) -> Result<bool, &'static str> {
    match fields.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None => Ok(false),
        Some(coding) if coding.eq_ignore_ascii_case(b"gzip") => Ok(true),
        Some(coding) if coding.eq_ignore_ascii_case(b"identity") => Ok(false),
        Some(_) => Err("expected Content-Encoding gzip or none"),
    }
}

fn media_type(format: Format) -> HeaderValue {
    HeaderValue::from_static(match format {
        Format::Protobuf => "application/x-protobuf",
        Format::Json => "application/json",
    })
}

/// `ExportTraceServiceResponse`: empty, or with how many spans were not taken.
fn accepted(format: Format, rejected: u64) -> Response {
    const WHY: &str = "spans without proper ids, or more than 20000 at once";
    let body = match (format, rejected) {
        (Format::Protobuf, 0) => Vec::new(),
        (Format::Json, 0) => b"{}".to_vec(),
        (Format::Json, rejected) => {
            let partial = serde_json::json!({ "rejectedSpans": rejected.to_string(), "errorMessage": WHY });
            serde_json::json!({ "partialSuccess": partial }).to_string().into_bytes()
        }
        (Format::Protobuf, rejected) => {
            let partial = [&[0x08][..], &varint(rejected), &text(2, WHY)].concat();
            [&[0x0a][..], &varint(partial.len() as u64), &partial].concat()
        }
    };
    (StatusCode::OK, [(CONTENT_TYPE, media_type(format))], body).into_response()
}

/// `google.rpc.Status` with its message, which is what exporters show.
fn refusal(format: Format, status: StatusCode, why: &str) -> Response {
    let body = match format {
        Format::Protobuf => text(2, why),
        Format::Json => serde_json::json!({ "message": why }).to_string().into_bytes(),
    };
    (status, [(CONTENT_TYPE, media_type(format))], body).into_response()
}

fn busy(format: Format) -> Response {
    let mut response = refusal(format, StatusCode::SERVICE_UNAVAILABLE, "there is no room: expected again in a second");
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY));
    response
}

/// A field of protobuf with text.
fn text(field: u8, text: &str) -> Vec<u8> {
    [&[field << 3 | 2][..], &varint(text.len() as u64), text.as_bytes()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;
    use crate::admin::fixture::empty_state;

    /// A span without an id if it is bad.
    fn span(is_good: bool) -> Value {
        let id = if is_good { "b7ad6b7169203331" } else { "" };
        json!({ "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": id, "kind": 1 })
    }

    fn json_of(spans: &[Value]) -> Vec<u8> {
        json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] }).to_string().into_bytes()
    }

    /// A field of protobuf of bytes.
    fn field(number: u8, inner: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2][..], &varint(inner.len() as u64), inner].concat()
    }

    /// So many good spans, and so many without an id.
    fn protobuf_of(good: usize, bad: usize) -> Vec<u8> {
        let one = |id: &[u8]| field(2, &[field(1, &[7; 16]), field(2, id)].concat());
        let spans = [one(&[7; 8]).repeat(good), one(&[]).repeat(bad)].concat();
        field(1, &field(2, &spans))
    }

    async fn answered(format: Format, fields: &[(HeaderName, &str)], body: impl Into<Body>) -> (StatusCode, Vec<u8>) {
        let router = router(empty_state(), Settings::default());
        let request = axum::http::Request::post("/v1/traces").header(CONTENT_TYPE, media_type(format));
        let request = fields.iter().fold(request, |request, (name, value)| request.header(name, *value));
        let answer = router.oneshot(request.body(body.into()).unwrap()).await.unwrap();
        assert_eq!(answer.headers()[CONTENT_TYPE], media_type(format));
        (answer.status(), to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec())
    }

    /// OTLP §Partial Success: with 200, how many spans were not taken, and why; nothing where all of them were.
    #[tokio::test]
    async fn spans_that_are_not_taken_are_counted_in_the_answer() {
        let why = "spans without proper ids, or more than 20000 at once";
        for (good, bad) in [(1, 0), (1, 1), (0, 300)] {
            let spans: Vec<Value> = (0..good).map(|_| span(true)).chain((0..bad).map(|_| span(false))).collect();
            let (status, body) = answered(Format::Json, &[], json_of(&spans)).await;
            let body: Value = serde_json::from_slice(&body).unwrap();
            // Whole numbers of 64 bits are strings in JSON.
            let expected = json!({ "partialSuccess": { "rejectedSpans": bad.to_string(), "errorMessage": why } });
            assert_eq!((status, body), (StatusCode::OK, if bad == 0 { json!({}) } else { expected }));

            let (status, body) = answered(Format::Protobuf, &[], protobuf_of(good, bad)).await;
            // partial_success = 1 of rejected_spans = 1 and error_message = 2.
            let partial = [&[1 << 3][..], &varint(bad as u64), &field(2, why.as_bytes())].concat();
            assert_eq!((status, body), (StatusCode::OK, if bad == 0 { Vec::new() } else { field(1, &partial) }));
        }
    }

    #[tokio::test]
    async fn more_spans_than_are_taken_at_once_are_rejected() {
        for (spans, rejected) in [(otlp::MOST_SPANS, 0), (otlp::MOST_SPANS + 1, 1)] {
            let (_, body) = answered(Format::Protobuf, &[], protobuf_of(spans, 0)).await;
            // The number stands behind the marks of the two fields and the length of the outer one.
            assert_eq!(body.get(3).copied().unwrap_or(0), rejected, "{spans}");
        }
    }

    #[tokio::test]
    async fn bodies_are_taken_up_to_their_bounds() {
        let most = MOST_BYTES as usize;
        let of_length = |length: usize| [&b"{}"[..], &vec![b' '; length - 2]].concat();
        for (length, expected) in [(most, StatusCode::OK), (most + 1, StatusCode::PAYLOAD_TOO_LARGE)] {
            let (status, _) = answered(Format::Json, &[], of_length(length)).await;
            assert_eq!(status, expected, "{length}");
        }
        let packed = |length: usize| {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut gzip, &of_length(length)).unwrap();
            gzip.finish().unwrap()
        };
        for (length, expected) in
            [(otlp::MOST_BYTES, StatusCode::OK), (otlp::MOST_BYTES + 1, StatusCode::PAYLOAD_TOO_LARGE)]
        {
            let (status, _) = answered(Format::Json, &[(CONTENT_ENCODING, "gzip")], packed(length)).await;
            assert_eq!(status, expected, "{length} unpacked");
        }
    }

    #[test]
    fn refusals_say_why_in_the_form_of_the_request() {
        // google.rpc.Status: message = 2.
        assert_eq!(text(2, "no"), [2 << 3 | 2, 2, b'n', b'o']);
        for (value, bytes) in [(0, &[0][..]), (127, &[0x7f]), (128, &[0x80, 1]), (300, &[0xac, 2])] {
            assert_eq!(varint(value), bytes);
        }
        let response = busy(Format::Protobuf);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], RETRY);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/x-protobuf");
    }
}
