//! Two endpoints side by side, or one at two times: `POST /performance/profile/compare`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Request, State},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    api::{Shared, apart, bad_request, parameters},
    body::Intake,
    openapi::words,
    problem::Problem,
    profile::{Latency, seconds},
    query::window,
    view::{millis, percent},
};
use crate::profile::{By, Change, Comparison, Figures, METHODS, Period, Snapshot, Verdict, Window};

/// Bytes of the question: two names of endpoints, with room to spare.
const MOST_BYTES: u64 = 64 << 10;

const EXPECTED: &str = r#"expected a JSON object such as {"a": {"endpoint": "/users/{id}"}, "b": {"endpoint": "/users/{id}", "method": "GET", "window": "1h", "before": true}}"#;

/// What is to be compared, `b` with `a`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    a: Map<String, Value>,
    b: Map<String, Value>,
}

/// One side as it is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    endpoint: String,
    #[serde(default = "get")]
    method: String,
    #[serde(default = "hour")]
    window: String,
    #[serde(default)]
    before: bool,
}

fn get() -> String {
    "GET".into()
}

fn hour() -> String {
    Window::default().name().into()
}

/// One side as it is meant.
#[derive(Debug, PartialEq)]
struct Side {
    method: &'static str,
    endpoint: String,
    period: Period,
}

/// Compares what was counted.
pub(super) async fn compare(
    State(state): Shared,
    Extension(intake): Extension<Arc<Intake>>,
    request: Request,
) -> Result<Json<Compared>, Problem> {
    let uri = request.uri().clone();
    parameters(&uri, &[])?;
    let body = intake.receive(request.into_body(), MOST_BYTES).await.map_err(|why| why.problem(&uri, "64 KiB"))?;
    let [a, b] = read(&body).map_err(|detail| bad_request(&uri, detail))?;
    let compared = move || {
        let now = Instant::now().into_std();
        let first = state.profiler.snapshot(a.period, now);
        // One copy for both where that is possible: it is of all endpoints.
        let second = (a.period != b.period).then(|| state.profiler.snapshot(b.period, now));
        Compared::new((a, &first), (b, second.as_ref().unwrap_or(&first)))
    };
    Ok(Json(apart(compared).await))
}

fn read(body: &[u8]) -> Result<[Side; 2], String> {
    let object = serde_json::from_slice(body).map_err(|error| format!("{error}: {EXPECTED}"))?;
    let Question { a, b } = known(object)?;
    let side = |name, object| known(object).and_then(Side::of).map_err(|detail| format!("{name}: {detail}"));
    Ok([side("a", a)?, side("b", b)?])
}

/// Of an object and nothing else: serde takes an array for the fields in their order.
fn known<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(object.into()).map_err(|error| format!("{error}: {EXPECTED}"))
}

impl Side {
    fn of(asked: Asked) -> Result<Self, String> {
        let given = asked.method.as_str();
        let method = METHODS.into_iter().find(|method| *method == given);
        let method = method.ok_or_else(|| format!("method = {given:?}: expected one of {}", METHODS.join(", ")))?;
        let window = window(&asked.window)?;
        if asked.before && window == Window::Day {
            return Err("before = true: expected false with window = \"24h\", since no more than that is kept".into());
        }
        Ok(Self { method, endpoint: asked.endpoint, period: Period { window, before: asked.before } })
    }

    /// What was counted of it; nothing is not an error, since an endpoint is known by its requests alone.
    fn figures(&self, snapshot: &Snapshot) -> Figures {
        let mut endpoints = snapshot.endpoints.iter();
        let found = endpoints.find(|found| *found.endpoint == *self.endpoint && found.method == self.method);
        found.map(|found| found.figures.clone()).unwrap_or_default()
    }
}

/// Two sides, and what changed from `a` to `b`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Compared {
    a: SideView,
    b: SideView,
    change: Changes,
    /// `faster`, `slower`, `same`, `unclear` or `too_few`: of `b` against `a`, by the median.
    #[schema(schema_with = words::verdict)]
    verdict: &'static str,
    /// The same as a sentence.
    says: String,
}

/// What was counted of one side.
#[derive(Debug, Serialize, ToSchema)]
struct SideView {
    method: &'static str,
    /// The endpoint's name, such as `/users/{id}`.
    endpoint: String,
    /// The window's name, such as `1h`.
    window: &'static str,
    /// `false`: up to now. `true`: the same length before that.
    before: bool,
    /// How long that is in seconds: windows are longer than their names by up to a step, and shorter after the start.
    lasts_seconds: f64,
    /// Requests that ended, in whichever way.
    requests: u64,
    /// Of them, those answered with a status of 500 or above.
    errors: u64,
    /// Share of them in percent; `null` without requests.
    error_rate_percent: Option<f64>,
    /// Share of hits among hits and misses in percent; `null` where there are none.
    cache_hit_rate_percent: Option<f64>,
    /// Milliseconds from first byte in to last byte out of the complete ones; `null` where there are none.
    latency_ms: Option<Latency>,
    /// Milliseconds that the app took until its response head; `null` where it was not asked.
    upstream_latency_ms: Option<Latency>,
}

/// What changed from `a` to `b`.
#[derive(Debug, Serialize, ToSchema)]
struct Changes {
    /// Which durations were compared: `upstream` for the app's own time, where both sides have 20 of it; else `client`.
    by: &'static str,
    /// Of the median; `null` for fewer than 20 durations on a side.
    p50: Option<ChangeView>,
    /// Of the 95th percentile; `null` for fewer than 100 durations on a side.
    p95: Option<ChangeView>,
    /// The error rate of `b` less that of `a`, in percentage points; `null` where a side has no requests.
    error_rate_points: Option<f64>,
}

/// The change of a percentile.
#[derive(Debug, Serialize, ToSchema)]
struct ChangeView {
    /// What this change amounts to: `faster`, `slower`, `same` or `unclear`.
    verdict: &'static str,
    /// The percentile of `b` as a multiple of that of `a`.
    ratio: f64,
    /// The true ratio is 95 times of 100 between this...
    ratio_low: f64,
    /// ...and this.
    ratio_high: f64,
    /// The percentile of `b` less that of `a`, in milliseconds.
    difference_ms: f64,
}

impl Compared {
    fn new((a, in_a): (Side, &Snapshot), (b, in_b): (Side, &Snapshot)) -> Self {
        let (figures_a, figures_b) = (a.figures(in_a), b.figures(in_b));
        let comparison = Comparison::of(&figures_a, &figures_b);
        let points = figures_a.error_rate_percent().zip(figures_b.error_rate_percent()).map(|(a, b)| percent(b - a));
        Self {
            a: SideView::new(a, &figures_a, in_a),
            b: SideView::new(b, &figures_b, in_b),
            change: Changes {
                by: comparison.by.name(),
                p50: comparison.p50.map(ChangeView::from),
                p95: comparison.p95.map(ChangeView::from),
                error_rate_points: points,
            },
            verdict: comparison.verdict().name(),
            says: says(&comparison),
        }
    }
}

impl SideView {
    fn new(side: Side, figures: &Figures, snapshot: &Snapshot) -> Self {
        Self {
            method: side.method,
            endpoint: side.endpoint,
            window: side.period.window.name(),
            before: side.period.before,
            lasts_seconds: seconds(snapshot.lasts),
            requests: figures.counts.requests,
            errors: figures.counts.errors,
            error_rate_percent: figures.error_rate_percent().map(percent),
            cache_hit_rate_percent: figures.cache_hit_rate_percent().map(percent),
            latency_ms: figures.latency.summary().map(Latency::from),
            upstream_latency_ms: figures.upstream.summary().map(Latency::from),
        }
    }
}

impl From<Change> for ChangeView {
    fn from(change: Change) -> Self {
        // Three decimals: the percentiles are within 1 %.
        let rounded = |ratio: f64| (ratio * 1e3).round() / 1e3;
        let [low, high] = change.interval.map(rounded);
        let difference = millis(change.b.abs_diff(change.a));
        Self {
            verdict: change.verdict().name(),
            ratio: rounded(change.ratio()),
            ratio_low: low,
            ratio_high: high,
            difference_ms: if change.b < change.a { -difference } else { difference },
        }
    }
}

/// What came out, as one would tell it.
fn says(comparison: &Comparison) -> String {
    let [a, b] = comparison.requests;
    let Some(median) = comparison.p50 else {
        let fewest = Comparison::FEWEST;
        return format!(
            "there are too few requests to compare: {a} of a and {b} of b have a duration, and it takes {fewest} of each"
        );
    };
    let by = match comparison.by {
        By::Upstream => "by the app's own time",
        By::Client => "by the time that clients waited",
    };
    let [low, high] = median.interval.map(than);
    let said = match median.verdict() {
        Verdict::Slower | Verdict::Faster => format!("b is {}", told(&median, " than a in the median")),
        Verdict::Same => format!("b takes as long as a in the median ({low} to {high})"),
        Verdict::Unclear | Verdict::TooFew => {
            format!("it is unclear whether b is slower or faster than a in the median ({low} to {high})")
        }
    };
    let mut said = format!("{said}, {by}, over {a} and {b} requests");
    if median.verdict() == Verdict::Unclear {
        said += &format!("; roughly {} times as many would tell", median.times_as_many());
    }
    // The slowest ones may have changed alone, or the other way.
    let tail = comparison.p95.filter(|tail| matches!(tail.verdict(), Verdict::Slower | Verdict::Faster));
    if let Some(tail) = tail.filter(|tail| tail.verdict() != median.verdict()) {
        said += &format!("; its 95th percentile is {}", told(&tail, ""));
    }
    said
}

/// A change that is one, with its interval.
fn told(change: &Change, than_what: &str) -> String {
    let mut shares = change.interval.map(|ratio| (ratio - 1.0).abs());
    shares.sort_unstable_by(f64::total_cmp);
    let [least, most] = shares.map(in_percent);
    format!("{}{than_what} ({least} to {most} %)", than(change.ratio()))
}

fn than(ratio: f64) -> String {
    let word = if ratio < 1.0 { "faster" } else { "slower" };
    format!("{} % {word}", in_percent((ratio - 1.0).abs()))
}

/// Whole percent, and tenths below 10.
fn in_percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent < 9.95 { format!("{}", (percent * 10.0).round() / 10.0) } else { format!("{percent:.0}") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::StatusCode;

    use super::*;
    use crate::{
        admin::fixture::{Answer, Exchange, empty_state, used_state},
        profile::{self, Path, Sample},
        state,
    };

    const PATH: &str = "/performance/profile/compare";

    async fn posted(body: impl Into<String>, state: &Arc<state::State>) -> Answer {
        let post = Exchange::of("POST", PATH).field("content-type", "application/json");
        post.body(body.into()).with(state).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_requests_are_shown_and_not_judged() {
        let body =
            r#"{"a": {"endpoint": "/users/{id}", "window": "15m"}, "b": {"endpoint": "/orders", "method": "POST"}}"#;
        posted(body, &used_state()).await.assert_json(
            r#"{"a":{"method":"GET","endpoint":"/users/{id}","window":"15m","before":false,"lasts_seconds":100.0,
            "requests":4,"errors":1,"error_rate_percent":25.0,"cache_hit_rate_percent":25.0,
            "latency_ms":{"min":2.0,"avg":280.667,"p50":39.795,"p95":800.0,"p99":800.0,"max":800.0,"stdev":367.552},
            "upstream_latency_ms":{"min":30.0,"avg":365.0,"p50":30.0,"p95":700.0,"p99":700.0,"max":700.0,"stdev":335.0}},
            "b":{"method":"POST","endpoint":"/orders","window":"1h","before":false,"lasts_seconds":100.0,
            "requests":1,"errors":0,"error_rate_percent":0.0,"cache_hit_rate_percent":null,
            "latency_ms":{"min":100.0,"avg":100.0,"p50":100.0,"p95":100.0,"p99":100.0,"max":100.0,"stdev":0.0},
            "upstream_latency_ms":{"min":90.0,"avg":90.0,"p50":90.0,"p95":90.0,"p99":90.0,"max":90.0,"stdev":0.0}},
            "change":{"by":"client","p50":null,"p95":null,"error_rate_points":-25.0},"verdict":"too_few",
            "says":"there are too few requests to compare: 3 of a and 1 of b have a duration, and it takes 20 of each"}"#,
        );
    }

    /// Requests that all take as long, the app's part being half of it, whose percentiles are thus exact.
    fn record(state: &state::State, path: &str, millis: u64, requests: u64) {
        let (duration, first_byte) = (Duration::from_millis(millis), Duration::from_millis(millis / 2));
        for _ in 0..requests {
            let upstream = Some(profile::Asked { first_byte, ..profile::Asked::default() });
            let path = Path::of(path.as_bytes());
            state.profiler.record(Sample { path, upstream, ..Sample::of("/", duration) });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_longer_is_slower() {
        let state = used_state();
        record(&state, "/a", 100, 200);
        record(&state, "/b", 124, 50);
        let answer = posted(r#"{"a": {"endpoint": "/a"}, "b": {"endpoint": "/b"}}"#, &state).await;
        let json: Value = serde_json::from_str(&answer.body).unwrap();
        let change = serde_json::json!({
            "by": "upstream",
            "p50": {"verdict": "slower", "ratio": 1.24, "ratio_low": 1.24, "ratio_high": 1.24, "difference_ms": 12.0},
            "p95": null,
            "error_rate_points": 0.0,
        });
        assert_eq!((&json["change"], &json["verdict"]), (&change, &"slower".into()), "{answer:?}");
        let says =
            "b is 24 % slower than a in the median (24 to 24 %), by the app's own time, over 200 and 50 requests";
        assert_eq!(json["says"], says);
        let answer = posted(r#"{"a": {"endpoint": "/b"}, "b": {"endpoint": "/a"}}"#, &state).await;
        let json: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((&json["change"]["p50"]["difference_ms"], &json["verdict"]), (&(-12.0).into(), &"faster".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_endpoint_is_compared_with_itself_before() {
        let state = empty_state();
        record(&state, "/a", 100, 30);
        let body = r#"{"a": {"endpoint": "/a", "before": true}, "b": {"endpoint": "/a"}}"#;
        let json: Value = serde_json::from_str(&posted(body, &state).await.body).unwrap();
        let requests = |side: &str| (json[side]["before"].clone(), json[side]["requests"].clone());
        assert_eq!((requests("a"), requests("b")), ((true.into(), 0.into()), (false.into(), 30.into())));
        assert_eq!(json["a"]["latency_ms"], Value::Null);
        assert_eq!(json["change"]["error_rate_points"], Value::Null);
        assert_eq!(json["verdict"], "too_few");
    }

    #[tokio::test]
    async fn an_endpoint_that_is_not_known_has_no_requests() {
        let answer = posted(r#"{"a": {"endpoint": "/users/{id}"}, "b": {"endpoint": "/nobody"}}"#, &used_state()).await;
        let json: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!((&json["b"]["requests"], &json["verdict"]), (&0.into(), &"too_few".into()), "{answer:?}");
    }

    #[tokio::test]
    async fn what_is_wrong_is_named_with_what_was_expected() {
        let methods = "expected one of CONNECT, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, TRACE, _OTHER";
        let shape = |what: &str| format!("{what}: {EXPECTED}");
        let fields = "expected one of `endpoint`, `method`, `window`, `before`";
        for (body, detail) in [
            ("", shape("EOF while parsing a value at line 1 column 0")),
            ("{", shape("EOF while parsing an object at line 1 column 1")),
            ("[]", shape("invalid type: sequence, expected a map at line 1 column 0")),
            ("{}", shape("missing field `a`")),
            (r#"{"a": {}, "b": {}, "c": {}}"#, shape("unknown field `c`, expected `a` or `b`")),
            (r#"{"a": ["/a"], "b": {}}"#, shape("invalid type: sequence, expected a map")),
            (r#"{"a": {}, "b": {}}"#, shape("a: missing field `endpoint`")),
            (
                r#"{"a": {"endpoint": "/", "windw": "1h"}, "b": {}}"#,
                shape(&format!("a: unknown field `windw`, {fields}")),
            ),
            (
                r#"{"a": {"endpoint": "/"}, "b": {"endpoint": "/", "before": "yes"}}"#,
                shape("b: invalid type: string \"yes\", expected a boolean"),
            ),
            (
                r#"{"a": {"endpoint": "/"}, "b": {"endpoint": "/", "method": "get"}}"#,
                format!("b: method = \"get\": {methods}"),
            ),
            (
                r#"{"a": {"endpoint": "/", "window": "2h"}, "b": {"endpoint": "/"}}"#,
                "a: window = \"2h\": expected one of 1m, 5m, 15m, 1h, 6h, 24h".into(),
            ),
            (
                r#"{"a": {"endpoint": "/", "window": "24h", "before": true}, "b": {"endpoint": "/"}}"#,
                "a: before = true: expected false with window = \"24h\", since no more than that is kept".into(),
            ),
        ] {
            posted(body, &empty_state()).await.assert_problem(StatusCode::BAD_REQUEST, "Bad Request", &detail, PATH);
        }
        let much = " ".repeat(MOST_BYTES as usize + 1);
        let answer = posted(much, &empty_state()).await;
        answer.assert_problem(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large", "expected at most 64 KiB", PATH);
    }

    #[test]
    fn every_verdict_is_a_sentence() {
        let change =
            |micros, interval| Some(Change { a: Duration::from_millis(1), b: Duration::from_micros(micros), interval });
        for (p50, p95, expected) in [
            (
                change(1230, [1.18, 1.28]),
                change(1300, [1.20, 1.40]),
                "b is 23 % slower than a in the median (18 to 28 %), by the app's own time, over 1200 and 900 requests",
            ),
            (
                change(900, [0.806, 0.993]),
                None,
                "b is 10 % faster than a in the median (0.7 to 19 %), by the app's own time, over 1200 and 900 requests",
            ),
            (
                change(1010, [0.96, 1.06]),
                change(1500, [1.31, 1.69]),
                "b takes as long as a in the median (4 % faster to 6 % slower), by the app's own time, over 1200 and 900 \
                 requests; its 95th percentile is 50 % slower (31 to 69 %)",
            ),
            (
                change(1000, [0.80, 1.25]),
                change(1000, [0.80, 1.25]),
                "it is unclear whether b is slower or faster than a in the median (20 % faster to 25 % slower), by the \
                 app's own time, over 1200 and 900 requests; roughly 6 times as many would tell",
            ),
        ] {
            assert_eq!(says(&Comparison { by: By::Upstream, requests: [1200, 900], p50, p95 }), expected);
        }
    }
}
