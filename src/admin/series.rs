//! Figures step by step, for charts: `GET /performance/profile/series`.

use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, Uri},
};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    api::{Shared, apart, bad_request, parameters},
    openapi::words,
    problem::Problem,
    profile::{per_second, seconds},
    query::Parameters,
    view::{millis, percent},
};
use crate::profile::{self, Course, METHODS, Step, Summary, Window};

/// Some time step by step.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Series {
    /// Its name.
    #[schema(schema_with = words::window)]
    window: &'static str,
    /// How long it is; less than its name says where nothing was counted before.
    lasts_seconds: f64,
    /// How long a step is, but for the first where nothing was counted before, and for the last, which is not over.
    step_seconds: u64,
    /// Of the endpoint that it is about; `null` for all of them.
    method: Option<&'static str>,
    endpoint: Option<String>,
    /// The oldest first, without gaps: a step in which nothing happened is there.
    #[schema(max_items = 120)]
    points: Vec<Point>,
}

/// What was counted in one step.
#[derive(Debug, Serialize, ToSchema)]
struct Point {
    /// When it began, in seconds since 1970.
    at_seconds: f64,
    /// How long it is, or has been.
    lasts_seconds: f64,
    /// Requests that ended, in whichever way.
    requests: u64,
    #[schema(minimum = 0)]
    requests_per_second: f64,
    /// Those answered with a status of 500 or above.
    errors: u64,
    /// `null` without requests, as all shares and durations are.
    #[schema(minimum = 0, maximum = 100)]
    error_rate_percent: Option<f64>,
    /// As clients see it.
    latency_ms: Option<PointLatency>,
    /// What the app took until its response head: 95 of 100 took no longer.
    upstream_p95_ms: Option<f64>,
    /// Of the requests that the cache looked at, those that it answered.
    #[schema(minimum = 0, maximum = 100)]
    cache_hit_rate_percent: Option<f64>,
    /// Bytes of bodies sent to clients.
    bytes: u64,
    /// Those of them that the app need not send, since the cache had them.
    upstream_bytes_saved: u64,
    /// Bytes of bodies that clients were not sent, since bodies were coded here; negative where coding made them longer.
    client_bytes_saved: i64,
}

/// Durations of a step.
#[derive(Debug, Serialize, ToSchema)]
struct PointLatency {
    avg: f64,
    p50: f64,
    p95: f64,
    p99: f64,
}

/// One endpoint step by step, in little room: the oldest step first, those of all endpoints at the same times.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct Trend {
    /// How long a step is. The last one is not over.
    pub(super) step_seconds: u64,
    #[schema(max_items = 25)]
    pub(super) requests: Vec<u64>,
    /// 95 of 100 requests of the step took no longer, as clients see it; `null` where there are none.
    #[schema(max_items = 25)]
    pub(super) p95_ms: Vec<Option<f64>>,
}

impl Series {
    fn new(window: Window, of: Option<(&'static str, String)>, course: &Course) -> Self {
        let (mut lasts, mut points) = (Duration::ZERO, Vec::new());
        for step in course.steps() {
            lasts += step.lasts;
            points.push(Point::from(&step));
        }
        let (method, endpoint) = of.unzip();
        let step_seconds = course.step.as_secs();
        Self { window: window.name(), lasts_seconds: seconds(lasts), step_seconds, method, endpoint, points }
    }
}

impl From<&Step> for Point {
    fn from(step: &Step) -> Self {
        let Step { begins, lasts, figures } = step;
        let counts = figures.counts;
        Self {
            at_seconds: seconds(*begins),
            lasts_seconds: seconds(*lasts),
            requests: counts.requests,
            requests_per_second: per_second(counts.requests, *lasts),
            errors: counts.errors,
            error_rate_percent: figures.error_rate_percent().map(percent),
            latency_ms: figures.latency.summary().map(PointLatency::from),
            upstream_p95_ms: figures.upstream.summary().map(|summary| millis(summary.p95)),
            cache_hit_rate_percent: figures.cache_hit_rate_percent().map(percent),
            bytes: counts.bytes,
            upstream_bytes_saved: counts.spared_bytes,
            client_bytes_saved: counts.saved_bytes,
        }
    }
}

impl From<Summary> for PointLatency {
    fn from(summary: Summary) -> Self {
        let Summary { avg, p50, p95, p99, .. } = summary;
        Self { avg: millis(avg), p50: millis(p50), p95: millis(p95), p99: millis(p99) }
    }
}

impl From<&Course> for Trend {
    fn from(course: &Course) -> Self {
        let of_step = |step: Step| {
            let profile::Figures { counts, latency, .. } = step.figures;
            (counts.requests, latency.summary().map(|summary| millis(summary.p95)))
        };
        let (requests, p95_ms) = course.steps().map(of_step).unzip();
        Self { step_seconds: course.step.as_secs(), requests, p95_ms }
    }
}

/// All endpoints together step by step, or one of them.
pub(super) async fn series(State(state): Shared, uri: Uri) -> Result<Json<Series>, Problem> {
    let parameters = parameters(&uri, &["window", "method", "endpoint"])?;
    let read = || Ok((parameters.window()?, of(&parameters)?));
    let (window, of) = read().map_err(|detail| bad_request(&uri, detail))?;
    let unknown = of.as_ref().map(|(method, endpoint)| {
        format!("{method} {endpoint:?}: expected an endpoint that has had requests, as profile/slowest names it")
    });
    let series = apart(move || {
        let now = Instant::now().into_std();
        let course = match &of {
            Some((method, endpoint)) => state.profiler.course_of(endpoint, method, window, now)?,
            None => state.profiler.course(window, now),
        };
        Some(Series::new(window, of, &course))
    });
    let problem = || Problem::new(StatusCode::NOT_FOUND, &uri, unknown.unwrap_or_default());
    series.await.map(Json).ok_or_else(problem)
}

/// The method and the name of the endpoint that is asked for.
fn of(parameters: &Parameters) -> Result<Option<(&'static str, String)>, String> {
    let (given, endpoint) = match (parameters.value("method"), parameters.value("endpoint")) {
        (None, None) => return Ok(None),
        (Some(method), Some(endpoint)) => (method, endpoint),
        (Some(given), None) => return Err(format!("method = {given:?} alone: expected method and endpoint together")),
        (None, Some(given)) => {
            return Err(format!("endpoint = {given:?} alone: expected method and endpoint together"));
        }
    };
    let method = METHODS.into_iter().find(|method| *method == given);
    let method = method.ok_or_else(|| format!("method = {given:?}: expected one of {}", METHODS.join(", ")))?;
    Ok(Some((method, endpoint.into())))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        admin::fixture::{Exchange, empty_state, used_state},
        profile::Sample,
    };

    const PATH: &str = "/performance/profile/series";

    #[tokio::test(start_paused = true)]
    async fn steps_in_which_nothing_happened_are_there() {
        let state = empty_state();
        // The process began 100 seconds ago, at second 20 of a minute.
        let hit = Sample { cache: profile::CacheUse::Hit, bytes: 300, saved: 700, ..Sample::of("/", Duration::ZERO) };
        state.profiler.record(Sample { saved: -4, ..hit });
        state.profiler.record(Sample { status: 500, ..hit }.asked(Duration::from_millis(20)));
        tokio::time::advance(Duration::from_millis(21_500)).await;
        let answer = Exchange::get(&format!("{PATH}?window=1m")).with(&state).await;
        answer.assert_json(&format!(
            r#"{{"window":"1m","lasts_seconds":81.5,"step_seconds":10,"method":null,"endpoint":null,"points":[
            {}{}{}{}{}{}
            {{"at_seconds":1700000100.0,"lasts_seconds":10.0,"requests":2,"requests_per_second":0.2,"errors":1,
            "error_rate_percent":50.0,"latency_ms":{{"avg":0.0,"p50":0.0,"p95":0.0,"p99":0.0}},"upstream_p95_ms":20.0,
            "cache_hit_rate_percent":100.0,"bytes":600,"upstream_bytes_saved":300,"client_bytes_saved":696}},
            {}{}]}}"#,
            quiet(40, "10.0", ","),
            quiet(50, "10.0", ","),
            quiet(60, "10.0", ","),
            quiet(70, "10.0", ","),
            quiet(80, "10.0", ","),
            quiet(90, "10.0", ","),
            quiet(110, "10.0", ","),
            quiet(120, "1.5", ""),
        ));
    }

    fn quiet(second: u64, lasts: &str, comma: &str) -> String {
        format!(
            r#"{{"at_seconds":{}.0,"lasts_seconds":{lasts},"requests":0,"requests_per_second":0.0,"errors":0,"error_rate_percent":null,"latency_ms":null,"upstream_p95_ms":null,"cache_hit_rate_percent":null,"bytes":0,"upstream_bytes_saved":0,"client_bytes_saved":0}}{comma}"#,
            1_700_000_000 + second
        )
    }

    #[tokio::test(start_paused = true)]
    async fn each_window_has_its_steps_and_ends_now() {
        let state = used_state();
        tokio::time::advance(Duration::from_secs(26 * 3600)).await;
        for (window, all, one) in
            [("1m", 10, 60), ("5m", 10, 60), ("15m", 10, 60), ("1h", 60, 300), ("6h", 300, 3600), ("24h", 900, 3600)]
        {
            let answered = async |query: &str| -> Value {
                let answer = Exchange::get(&format!("{PATH}?window={window}{query}")).with(&state).await;
                serde_json::from_str(&answer.body).unwrap()
            };
            let series = [answered("").await, answered("&method=POST&endpoint=/orders").await];
            for (series, step) in series.iter().zip([all, one]) {
                assert_eq!(series["step_seconds"], step, "{series}");
                let last = series["points"].as_array().unwrap().last().unwrap();
                let end = last["at_seconds"].as_f64().unwrap() + last["lasts_seconds"].as_f64().unwrap();
                assert_eq!(end, 1_700_000_100.0 + 26.0 * 3600.0, "{series}");
            }
            assert_eq!(series[0]["lasts_seconds"], series[1]["lasts_seconds"]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_endpoint_is_told_by_its_name() {
        let path = format!("{PATH}?window=15m&method=GET&endpoint=/users/%7Bid%7D");
        let answer = Exchange::get(&path).with(&used_state()).await;
        let series: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((&series["method"], &series["endpoint"]), (&"GET".into(), &"/users/{id}".into()), "{series:#}");
        let points = series["points"].as_array().unwrap();
        let of = |member: &str| points.iter().map(|point| point[member].as_u64().unwrap()).sum::<u64>();
        assert_eq!([of("requests"), of("errors"), of("bytes")], [4, 1, 1020], "{series:#}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_shown_is_a_problem_that_names_it() {
        let (state, bad) = (used_state(), StatusCode::BAD_REQUEST);
        let together = "expected method and endpoint together";
        let methods = "expected one of CONNECT, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, TRACE, _OTHER";
        let unknown = "expected an endpoint that has had requests, as profile/slowest names it";
        for (query, status, title, detail) in [
            ("window=2h", bad, "Bad Request", "window = \"2h\": expected one of 1m, 5m, 15m, 1h, 6h, 24h".to_owned()),
            ("method=GET", bad, "Bad Request", format!("method = \"GET\" alone: {together}")),
            ("endpoint=/a", bad, "Bad Request", format!("endpoint = \"/a\" alone: {together}")),
            ("method=get&endpoint=/a", bad, "Bad Request", format!("method = \"get\": {methods}")),
            (
                "limit=1",
                bad,
                "Bad Request",
                "unknown parameter \"limit\": expected window, method, endpoint".to_owned(),
            ),
            ("method=PUT&endpoint=/orders", StatusCode::NOT_FOUND, "Not Found", format!("PUT \"/orders\": {unknown}")),
            (
                "method=GET&endpoint=%3Cb%3E%00",
                StatusCode::NOT_FOUND,
                "Not Found",
                format!("GET \"<b>\\0\": {unknown}"),
            ),
        ] {
            let answer = Exchange::get(&format!("{PATH}?{query}")).with(&state).await;
            answer.assert_problem(status, title, &detail, PATH);
        }
    }
}
