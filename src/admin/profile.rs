//! What the profiler's JSON looks like: all endpoints together, the slowest of them, and single requests.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    openapi::words,
    query_stats::view::PerRequest,
    series::Trend,
    view::{millis, percent},
};
use crate::{
    profile::{self, Course, Snapshot},
    query,
};

/// Which time figures are about.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WindowView {
    /// Its name.
    #[schema(schema_with = words::window)]
    window: &'static str,
    /// How long it is: windows begin at a full minute, five minutes or hour, and are longer than their names by up to that.
    lasts_seconds: f64,
}

impl WindowView {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self { window: snapshot.period.window.name(), lasts_seconds: seconds(snapshot.lasts) }
    }
}

/// All endpoints together.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Overview {
    #[serde(flatten)]
    window: WindowView,
    /// Requests that ended, in whichever way.
    requests: u64,
    #[schema(minimum = 0)]
    requests_per_second: f64,
    /// Those answered with a status of 500 or above.
    errors: u64,
    /// `null` before the first request, as all shares are.
    #[schema(minimum = 0, maximum = 100)]
    error_rate_percent: Option<f64>,
    /// Those that were cut short; they are in no duration.
    aborted: u64,
    /// Tunnels and streams of events; they are in no duration.
    streamed: u64,
    /// Bytes of bodies sent to clients.
    bytes: u64,
    /// From the first byte of the request to the last of the answer, as clients see it.
    latency_ms: Option<OverviewLatency>,
    /// Those that the app was asked for, of the ones that are in durations.
    upstream_requests: u64,
    /// From the last of the request being sent to the app until its response head.
    upstream_latency_ms: Option<OverviewLatency>,
    /// Of the time of all requests, what the app took until its response head.
    #[schema(minimum = 0, maximum = 100)]
    upstream_share_percent: Option<f64>,
    /// Those that took at least as long as `profile.slow` says.
    slow_requests: u64,
    #[schema(minimum = 0, maximum = 100)]
    slow_rate_percent: Option<f64>,
    /// Of the requests that the cache looked at, those that it answered.
    #[schema(minimum = 0, maximum = 100)]
    cache_hit_rate_percent: Option<f64>,
    /// How many endpoints there are.
    endpoints: usize,
    saturation: Saturation,
}

/// Durations of all endpoints together; the minimum and the deviation say nothing there.
#[derive(Debug, Serialize, ToSchema)]
struct OverviewLatency {
    avg: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

/// How much the app can do at once.
#[derive(Debug, Serialize, ToSchema)]
struct Saturation {
    /// Answers that this is told from, of the last one to two hours.
    requests: u64,
    /// The most that the app had at once.
    most_in_flight: u32,
    /// How many it serves at once; `null` while that was not seen.
    serves_at_once: Option<u32>,
    /// How long the app took, waiting for a turn included: 95 of 100 took no longer.
    p95_ms: Option<f64>,
    /// The same while nobody has to wait for others.
    unqueued_p95_ms: Option<f64>,
    /// Which share of the p95 is waiting for others.
    #[schema(minimum = 0, maximum = 100)]
    queueing_share_of_p95_percent: Option<f64>,
}

impl From<profile::Summary> for OverviewLatency {
    fn from(summary: profile::Summary) -> Self {
        Self {
            avg: millis(summary.avg),
            p50: millis(summary.p50),
            p95: millis(summary.p95),
            p99: millis(summary.p99),
            max: millis(summary.max),
        }
    }
}

impl From<&profile::Saturation> for Saturation {
    fn from(saturation: &profile::Saturation) -> Self {
        Self {
            requests: saturation.requests,
            most_in_flight: saturation.most_in_flight,
            serves_at_once: saturation.serves_at_once,
            p95_ms: saturation.p95.map(millis),
            unqueued_p95_ms: saturation.unqueued_p95.map(millis),
            queueing_share_of_p95_percent: saturation.queueing_share_of_p95_percent.map(percent),
        }
    }
}

impl From<&Snapshot> for Overview {
    fn from(snapshot: &Snapshot) -> Self {
        let total = snapshot.total();
        let counts = total.counts;
        Self {
            window: WindowView::of(snapshot),
            requests: counts.requests,
            requests_per_second: per_second(counts.requests, snapshot.lasts),
            errors: counts.errors,
            error_rate_percent: total.error_rate_percent().map(percent),
            aborted: counts.aborted,
            streamed: counts.open,
            bytes: counts.bytes,
            latency_ms: total.latency.summary().map(OverviewLatency::from),
            upstream_requests: total.upstream.count(),
            upstream_latency_ms: total.upstream.summary().map(OverviewLatency::from),
            upstream_share_percent: total.upstream_share_percent().map(percent),
            slow_requests: counts.slow,
            slow_rate_percent: total.slow_rate_percent().map(percent),
            cache_hit_rate_percent: total.cache_hit_rate_percent().map(percent),
            endpoints: snapshot.endpoints.len(),
            saturation: (&snapshot.saturation).into(),
        }
    }
}

/// What "slowest" is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    P50,
    P95,
    P99,
    Avg,
    Max,
    UpstreamP95,
    TotalTime,
    Requests,
}

impl By {
    /// Every measure with its name in the query.
    pub(super) const ALL: [(&'static str, Self); 8] = [
        ("p50", Self::P50),
        ("p95", Self::P95),
        ("p99", Self::P99),
        ("avg", Self::Avg),
        ("max", Self::Max),
        ("upstream_p95", Self::UpstreamP95),
        ("total_time", Self::TotalTime),
        ("requests", Self::Requests),
    ];

    /// What endpoints are ordered by: nanoseconds or requests. `None`, and so last, without a sample.
    fn measure(self, figures: &profile::Figures) -> Option<u128> {
        let latency = || figures.latency.summary();
        let duration = match self {
            Self::P50 => latency()?.p50,
            Self::P95 => latency()?.p95,
            Self::P99 => latency()?.p99,
            Self::Avg => latency()?.avg,
            Self::Max => latency()?.max,
            Self::UpstreamP95 => figures.upstream.summary()?.p95,
            Self::TotalTime => figures.latency.sum(),
            Self::Requests => return Some(figures.counts.requests.into()),
        };
        Some(duration.as_nanos())
    }
}

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// At most so many.
    pub(super) limit: usize,
    /// After so many.
    pub(super) offset: usize,
}

/// The slowest endpoints, and the slowest single requests.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Slowest {
    #[serde(flatten)]
    window: WindowView,
    /// How many endpoints there are on all pages.
    endpoints_total: usize,
    endpoints: Vec<Endpoint>,
    requests_total: usize,
    requests: Vec<SlowRequest>,
}

/// One endpoint.
#[derive(Debug, Serialize, ToSchema)]
struct Endpoint {
    /// One of the nine standard ones, or `_OTHER`.
    method: &'static str,
    /// The template that paths are folded into, `_unmatched` for what the app does not know, `_other` for the rest.
    endpoint: String,
    requests: u64,
    #[schema(minimum = 0)]
    requests_per_second: f64,
    /// Those answered with a status of 500 or above.
    errors: u64,
    /// Those that were cut short; they are in no duration.
    aborted: u64,
    /// Tunnels and streams of events; they are in no duration.
    streamed: u64,
    /// Bytes of bodies sent to clients.
    bytes: u64,
    /// Of the time of all endpoints together.
    #[schema(minimum = 0, maximum = 100)]
    time_share_percent: Option<f64>,
    /// As clients see it.
    latency_ms: Option<Latency>,
    /// What the app took until its response head.
    upstream_latency_ms: Option<Latency>,
    #[schema(minimum = 0, maximum = 100)]
    upstream_share_percent: Option<f64>,
    #[schema(minimum = 0, maximum = 100)]
    cache_hit_rate_percent: Option<f64>,
    /// `null` while no database queries are seen.
    queries_per_request: Option<PerRequest>,
    trend: Trend,
}

/// Durations, of an endpoint or a query, in milliseconds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Latency {
    min: f64,
    avg: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
    stdev: f64,
}

/// One request with where its time went.
#[derive(Debug, Serialize, ToSchema)]
struct SlowRequest {
    method: &'static str,
    endpoint: String,
    /// Only where `profile.keep_paths` says so.
    path: Option<String>,
    #[schema(minimum = 100, maximum = 999)]
    status: u16,
    /// When it ended, in seconds since 1970.
    ended_seconds: f64,
    duration_ms: f64,
    breakdown_ms: Breakdown,
    /// Requests that the app had when this one came to it; `null` where it was not asked.
    in_flight: Option<u32>,
    /// How it was answered.
    #[schema(schema_with = words::outcome)]
    cache: &'static str,
    /// Bytes of the body sent.
    bytes: u64,
    /// Of the request's `traceparent`.
    trace_id: Option<String>,
    /// Database queries that it took, as its answer says or, some ten seconds later, its spans; `null` where neither does.
    queries: Option<u32>,
}

/// The parts of a request's duration, which add up to it.
#[derive(Debug, Serialize, ToSchema)]
struct Breakdown {
    /// Waiting for a turn at the app.
    queue: f64,
    /// Until there was a connection to the app.
    connect: f64,
    /// From the last of the request being sent to the app until its response head.
    first_byte: f64,
    /// Coding the body for this request.
    compression: f64,
    /// All the rest: head and body on their ways, and waiting for what another request fetches.
    body: f64,
}

impl Slowest {
    /// A page of each, slowest first; endpoints that are equal stay in the order of their names. `courses` are theirs.
    pub(super) fn new(snapshot: &Snapshot, courses: &[Course], queries: &query::Snapshot, page: Page, by: By) -> Self {
        let rows = snapshot.endpoints.iter().zip(courses);
        let mut ranked: Vec<_> = rows.map(|row| (by.measure(&row.0.figures), row)).collect();
        ranked.sort_by(|(a, _), (b, _)| b.cmp(a));
        let all = snapshot.endpoints.iter().map(|endpoint| endpoint.figures.latency.sum()).sum();
        let Page { limit, offset } = page;
        Self {
            window: WindowView::of(snapshot),
            endpoints_total: ranked.len(),
            endpoints: ranked
                .into_iter()
                .skip(offset)
                .take(limit)
                .map(|(_, (endpoint, course))| Endpoint::new(endpoint, course, all, snapshot.lasts).with(queries))
                .collect(),
            requests_total: snapshot.slowest.len(),
            requests: snapshot.slowest.iter().skip(offset).take(limit).map(SlowRequest::from).collect(),
        }
    }
}

impl Endpoint {
    /// `all` is the time of all endpoints together.
    fn new(endpoint: &profile::Endpoint, course: &Course, all: Duration, lasts: Duration) -> Self {
        let profile::Endpoint { endpoint, method, figures } = endpoint;
        let counts = figures.counts;
        let share = figures.latency.sum().as_secs_f64() * 100.0 / all.as_secs_f64();
        Self {
            method,
            endpoint: endpoint.to_string(),
            requests: counts.requests,
            requests_per_second: per_second(counts.requests, lasts),
            errors: counts.errors,
            aborted: counts.aborted,
            streamed: counts.open,
            bytes: counts.bytes,
            time_share_percent: share.is_finite().then(|| percent(share)),
            latency_ms: figures.latency.summary().map(Latency::from),
            upstream_latency_ms: figures.upstream.summary().map(Latency::from),
            upstream_share_percent: figures.upstream_share_percent().map(percent),
            cache_hit_rate_percent: figures.cache_hit_rate_percent().map(percent),
            queries_per_request: None,
            trend: course.into(),
        }
    }
}

impl Endpoint {
    /// With how many queries its requests take, as far as they are known.
    fn with(self, queries: &query::Snapshot) -> Self {
        let is_this = |figures: &&query::EndpointFigures| {
            figures.endpoint.method == self.method && *figures.endpoint.name == *self.endpoint
        };
        Self { queries_per_request: queries.endpoints.iter().find(is_this).map(PerRequest::of), ..self }
    }
}

impl From<profile::Summary> for Latency {
    fn from(summary: profile::Summary) -> Self {
        Self {
            min: millis(summary.min),
            avg: millis(summary.avg),
            p50: millis(summary.p50),
            p95: millis(summary.p95),
            p99: millis(summary.p99),
            max: millis(summary.max),
            stdev: millis(summary.stdev),
        }
    }
}

impl From<query::Timing> for Latency {
    fn from(timing: query::Timing) -> Self {
        Self {
            min: millis(timing.min),
            avg: millis(timing.avg),
            p50: millis(timing.p50),
            p95: millis(timing.p95),
            p99: millis(timing.p99),
            max: millis(timing.max),
            stdev: millis(timing.stdev),
        }
    }
}

impl From<&profile::SlowRequest> for SlowRequest {
    fn from(request: &profile::SlowRequest) -> Self {
        let parts = request.breakdown;
        Self {
            method: request.method,
            endpoint: request.endpoint.to_string(),
            path: request.path.as_deref().map(String::from),
            status: request.status,
            ended_seconds: request.ended_ms as f64 / 1e3,
            duration_ms: millis(parts.duration),
            breakdown_ms: Breakdown {
                queue: millis(parts.queue),
                connect: millis(parts.connect),
                first_byte: millis(parts.first_byte),
                compression: millis(parts.compression),
                body: millis(parts.body),
            },
            in_flight: (parts.in_flight > 0).then_some(parts.in_flight),
            cache: request.cache,
            bytes: request.bytes,
            trace_id: request.trace_id.map(|id| String::from_utf8_lossy(&id).into_owned()),
            queries: request.queries,
        }
    }
}

/// Seconds to the millisecond.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e3).round() / 1e3
}

/// A rate to the thousandth; 0 for no time at all.
pub(super) fn per_second(count: u64, lasts: Duration) -> f64 {
    let rate = count as f64 / lasts.as_secs_f64();
    if rate.is_finite() { (rate * 1e3).round() / 1e3 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{admin::fixture::used_state, profile::Window};

    const ALL: Page = Page { limit: 100, offset: 0 };

    #[test]
    fn each_measure_orders_by_itself() {
        // Of /users/{id} three were complete: 2, 40 and 800 ms. Of /orders one: 100 ms.
        let (snapshot, courses) = used_state().profiler.snapshot_with_courses(Window::Day, Instant::now());
        let first =
            |by| Slowest::new(&snapshot, &courses, &query::Snapshot::default(), ALL, by).endpoints[0].endpoint.clone();
        assert_eq!(first(By::P50), "/orders");
        for (_, by) in By::ALL.into_iter().filter(|(_, by)| *by != By::P50) {
            assert_eq!(first(by), "/users/{id}", "{by:?}");
        }
    }

    #[test]
    fn pages_are_parts_of_the_whole() {
        let (snapshot, courses) = used_state().profiler.snapshot_with_courses(Window::Day, Instant::now());
        let names = |page| {
            let slowest = Slowest::new(&snapshot, &courses, &query::Snapshot::default(), page, By::P95);
            assert_eq!((slowest.endpoints_total, slowest.requests_total), (2, 4));
            let requests: Vec<f64> = slowest.requests.iter().map(|request| request.duration_ms).collect();
            (slowest.endpoints.into_iter().map(|row| row.endpoint).collect::<Vec<_>>(), requests)
        };
        assert_eq!(names(Page { limit: 1, offset: 1 }), (vec!["/orders".into()], vec![100.0]));
        assert_eq!(names(Page { limit: 3, offset: 3 }), (vec![], vec![2.0]));
    }

    #[test]
    fn an_endpoint_without_durations_is_last() {
        let state = used_state();
        let ending = profile::Ending::Aborted;
        state.profiler.record(profile::Sample { ending, ..profile::Sample::of("/a", Duration::from_secs(9)) });
        let (snapshot, courses) = state.profiler.snapshot_with_courses(Window::Day, Instant::now());
        let slowest = Slowest::new(&snapshot, &courses, &query::Snapshot::default(), ALL, By::Max);
        let last = slowest.endpoints.last().unwrap();
        assert_eq!((last.endpoint.as_str(), last.requests), ("/a", 1));
        assert!(last.latency_ms.is_none());
    }

    #[test]
    fn a_trend_adds_up_to_its_row() {
        let state = used_state();
        let now = Instant::now() + Duration::from_secs(3 * 3600);
        state
            .profiler
            .record(profile::Sample { ended: now, ..profile::Sample::of("/users/7", Duration::from_millis(5)) });
        let (snapshot, courses) = state.profiler.snapshot_with_courses(Window::SixHours, now);
        let slowest = Slowest::new(&snapshot, &courses, &query::Snapshot::default(), ALL, By::Requests);
        let steps = slowest.endpoints[0].trend.requests.len();
        assert!(steps > 3);
        for row in slowest.endpoints {
            let (requests, p95) = (&row.trend.requests, &row.trend.p95_ms);
            assert_eq!((requests.iter().sum::<u64>(), requests.len(), p95.len()), (row.requests, steps, steps));
            assert_eq!(row.trend.step_seconds, 3600);
            let has_p95 = |at: usize| p95[at].is_some();
            assert!((0..steps).all(|at| has_p95(at) == (requests[at] > 0)), "{:?}", row.trend);
        }
    }
}
