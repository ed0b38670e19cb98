//! One function per endpoint: take a snapshot, show it.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{Method, StatusCode, Uri},
};
use tokio::time::Instant;

use super::{
    problem::Problem,
    profile::{Overview, Slowest},
    query::Parameters,
    view::CacheStats,
};
use crate::state;

pub(super) type Shared = State<Arc<state::State>>;

/// What the cache did since the start, and what it holds.
pub(super) async fn cache_stats(State(state): Shared, uri: Uri) -> Result<Json<CacheStats>, Problem> {
    parameters(&uri, &[])?;
    Ok(Json(CacheStats::of(&state, Instant::now().into_std())))
}

/// All endpoints together.
pub(super) async fn overview(State(state): Shared, uri: Uri) -> Result<Json<Overview>, Problem> {
    let window = parameters(&uri, &["window"])?.window().map_err(|detail| bad_request(&uri, detail))?;
    Ok(Json(apart(move || Overview::from(&state.profiler.snapshot(window, Instant::now().into_std()))).await))
}

/// The slowest endpoints, and the slowest single requests.
pub(super) async fn slowest(State(state): Shared, uri: Uri) -> Result<Json<Slowest>, Problem> {
    let parameters = parameters(&uri, &["window", "limit", "offset", "by"])?;
    let read = || Ok((parameters.window()?, parameters.page()?, parameters.by()?));
    let (window, page, by) = read().map_err(|detail| bad_request(&uri, detail))?;
    let slowest = move || {
        let now = Instant::now().into_std();
        let mut queries = state.queries.snapshot(window.length(), now);
        state.tell_queries();
        let (snapshot, courses) = state.profiler.snapshot_with_courses(window, now);
        queries.rename(|name| state.profiler.name_by_now(name));
        Slowest::new(&snapshot, &courses, &queries, page, by)
    };
    Ok(Json(apart(slowest).await))
}

/// There is no such endpoint.
pub(super) async fn not_found(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, &uri, "there is nothing at this address")
}

/// There is, but not with this method. RFC 9110 §15.5.6 asks for Allow, which the router adds.
pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    let detail = format!("{method}: expected one of the methods in Allow");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, &uri, detail)
}

/// Reckons on a thread for such work: a full table takes milliseconds, in which an event loop would answer nobody.
pub(super) async fn apart<T: Send + 'static>(reckon: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(reckon).await {
        Ok(reckoned) => reckoned,
        // Blocking work is not cancelled once begun, so that this is its panic, which the guard answers.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

pub(super) fn parameters(uri: &Uri, known: &[&str]) -> Result<Parameters, Problem> {
    Parameters::of(uri, known).map_err(|detail| bad_request(uri, detail))
}

pub(super) fn bad_request(uri: &Uri, detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, uri, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture::{Exchange, empty_state, used_state};

    #[tokio::test]
    async fn cache_stats_before_the_first_request() {
        Exchange::get("/performance/cache/stats").with(&empty_state()).await.assert_json(
            r#"{"hits":0,"misses":0,"stale":0,"revalidated":0,"bypassed":0,"collapsed":0,"hit_rate_percent":null,
            "entries":0,"max_entries":100000,"bytes":0,"max_bytes":268435456,
            "evictions":{"capacity":0,"expired":0,"purged":0},
            "stores":{"stored":0,"rejected":{"no-store":0,"private":0,"no-cache":0,"no-freshness":0,"expired":0,
            "set-cookie":0,"cookie":0,"authorization":0,"status":0,"vary-star":0,"vary-unkeyed":0,"too-large":0,"unframed":0,
            "truncated":0,"no-room":0,"lock-timeout":0,"purged":0}},
            "bypasses":{"method":0,"body":0,"upgrade":0,"disabled":0,"cookie":0,"authorization":0,"request-no-store":0,
            "conditional":0,"range":0,"only-if-cached":0,"unkeyed-field":0,"observe":0,"async":0,"hit-for-miss":0,"head":0},
            "purges":{"hard":{"all":0,"url":0,"tag":0,"group":0,"prefix":0,"pattern":0},
            "soft":{"all":0,"url":0,"tag":0,"group":0,"prefix":0,"pattern":0}},"verified":{"same":0,"wrong":0,"failed":0,"unclear":0,"wrong_percent":null},"sizing":null,"routes":{},
            "keyed":{"hits":0,"misses":0,"hit_rate_percent":null,"entries":0,"max_entries":5000,
            "bytes":0,"max_bytes":33554432,"evictions":{"capacity":0,"expired":0,"purged":0},
            "stores":{"stored":0,"rejected":{"too-large":0,"no-room":0}}}}"#,
        );
    }

    #[tokio::test]
    async fn cache_stats_of_a_used_cache() {
        Exchange::get("/performance/cache/stats").with(&used_state()).await.assert_json(
            r#"{"hits":2,"misses":1,"stale":1,"revalidated":0,"bypassed":1,"collapsed":1,"hit_rate_percent":80.0,
            "entries":0,"max_entries":100000,"bytes":0,"max_bytes":268435456,
            "evictions":{"capacity":0,"expired":0,"purged":1},
            "stores":{"stored":1,"rejected":{"no-store":0,"private":1,"no-cache":0,"no-freshness":0,"expired":0,
            "set-cookie":0,"cookie":0,"authorization":0,"status":0,"vary-star":0,"vary-unkeyed":0,"too-large":1,"unframed":0,
            "truncated":0,"no-room":0,"lock-timeout":0,"purged":0}},
            "bypasses":{"method":0,"body":0,"upgrade":0,"disabled":0,"cookie":1,"authorization":0,"request-no-store":0,
            "conditional":0,"range":0,"only-if-cached":0,"unkeyed-field":0,"observe":0,"async":0,"hit-for-miss":0,"head":0},
            "purges":{"hard":{"all":0,"url":0,"tag":0,"group":0,"prefix":0,"pattern":0},
            "soft":{"all":0,"url":0,"tag":0,"group":0,"prefix":0,"pattern":0}},"verified":{"same":0,"wrong":0,"failed":0,"unclear":0,"wrong_percent":null},"sizing":null,"routes":{},
            "keyed":{"hits":3,"misses":1,"hit_rate_percent":75.0,"entries":0,"max_entries":5000,
            "bytes":0,"max_bytes":33554432,"evictions":{"capacity":0,"expired":0,"purged":1},
            "stores":{"stored":1,"rejected":{"too-large":1,"no-room":0}}}}"#,
        );
    }

    #[tokio::test(start_paused = true)]
    async fn overview_before_the_first_request() {
        Exchange::get("/performance/profile/overview").with(&empty_state()).await.assert_json(
            r#"{"window":"1h","lasts_seconds":100.0,"requests":0,"requests_per_second":0.0,"errors":0,
            "error_rate_percent":null,"aborted":0,"streamed":0,"bytes":0,"latency_ms":null,"upstream_requests":0,"upstream_latency_ms":null,
            "upstream_share_percent":null,"slow_requests":0,"slow_rate_percent":null,"cache_hit_rate_percent":null,
            "endpoints":0,"saturation":{"requests":0,"most_in_flight":0,"serves_at_once":null,"p95_ms":null,
            "unqueued_p95_ms":null,"queueing_share_of_p95_percent":null}}"#,
        );
    }

    #[tokio::test(start_paused = true)]
    async fn overview_after_some_requests() {
        // Complete ones took 2, 40, 100 and 800 ms; the median is the second, within 1 %.
        Exchange::get("/performance/profile/overview?window=15m").with(&used_state()).await.assert_json(
            r#"{"window":"15m","lasts_seconds":100.0,"requests":5,"requests_per_second":0.05,"errors":1,
            "error_rate_percent":20.0,"aborted":1,"streamed":0,"bytes":1020,
            "latency_ms":{"avg":235.5,"p50":39.795,"p95":800.0,"p99":800.0,"max":800.0},
            "upstream_requests":3,"upstream_latency_ms":{"avg":273.333,"p50":89.608,"p95":700.0,"p99":700.0,"max":700.0},
            "upstream_share_percent":87.05,"slow_requests":1,"slow_rate_percent":20.0,"cache_hit_rate_percent":25.0,
            "endpoints":2,"saturation":{"requests":3,"most_in_flight":1,"serves_at_once":null,"p95_ms":700.0,
            "unqueued_p95_ms":null,"queueing_share_of_p95_percent":null}}"#,
        );
    }

    #[tokio::test(start_paused = true)]
    async fn slowest_before_the_first_request() {
        let answer = Exchange::get("/performance/profile/slowest").with(&empty_state()).await;
        answer.assert_json(
            r#"{"window":"1h","lasts_seconds":100.0,"endpoints_total":0,"endpoints":[],"requests_total":0,"requests":[]}"#,
        );
    }

    #[tokio::test(start_paused = true)]
    async fn slowest_after_some_requests() {
        Exchange::get("/performance/profile/slowest?limit=2").with(&used_state()).await.assert_json(
            r#"{"window":"1h","lasts_seconds":100.0,"endpoints_total":2,"endpoints":[
            {"method":"GET","endpoint":"/users/{id}","requests":4,"requests_per_second":0.04,"errors":1,"aborted":1,
            "streamed":0,"bytes":1020,"time_share_percent":89.38,
            "latency_ms":{"min":2.0,"avg":280.667,"p50":39.795,"p95":800.0,"p99":800.0,"max":800.0,"stdev":367.552},
            "upstream_latency_ms":{"min":30.0,"avg":365.0,"p50":30.0,"p95":700.0,"p99":700.0,"max":700.0,"stdev":335.0},
            "upstream_share_percent":86.7,"cache_hit_rate_percent":25.0,"queries_per_request":null,
            "trend":{"step_seconds":300,"requests":[0,4],"p95_ms":[null,800.0]}},
            {"method":"POST","endpoint":"/orders","requests":1,"requests_per_second":0.01,"errors":0,"aborted":0,
            "streamed":0,"bytes":0,"time_share_percent":10.62,
            "latency_ms":{"min":100.0,"avg":100.0,"p50":100.0,"p95":100.0,"p99":100.0,"max":100.0,"stdev":0.0},
            "upstream_latency_ms":{"min":90.0,"avg":90.0,"p50":90.0,"p95":90.0,"p99":90.0,"max":90.0,"stdev":0.0},
            "upstream_share_percent":90.0,"cache_hit_rate_percent":null,"queries_per_request":null,
            "trend":{"step_seconds":300,"requests":[0,1],"p95_ms":[null,100.0]}}],
            "requests_total":4,"requests":[
            {"method":"GET","endpoint":"/users/{id}","path":null,"status":503,"ended_seconds":1700000100.0,
            "duration_ms":800.0,
            "breakdown_ms":{"queue":0.0,"connect":1.0,"first_byte":700.0,"compression":0.0,"body":99.0},
            "in_flight":1,"cache":"miss","bytes":20,"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","queries":42},
            {"method":"POST","endpoint":"/orders","path":null,"status":201,"ended_seconds":1700000100.0,
            "duration_ms":100.0,
            "breakdown_ms":{"queue":0.0,"connect":1.0,"first_byte":90.0,"compression":0.0,"body":9.0},
            "in_flight":1,"cache":"bypass","bytes":0,"trace_id":null,"queries":null}]}"#,
        );
    }

    #[tokio::test]
    async fn slowest_keeps_to_the_limit_and_the_measure() {
        let answer = Exchange::get("/performance/profile/slowest?limit=1&by=p50").with(&used_state()).await;
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["endpoints"].as_array().unwrap().len(), 1, "{body}");
        assert_eq!(body["endpoints"][0]["endpoint"], "/orders", "{body}");
        assert_eq!(body["requests"].as_array().unwrap().len(), 1, "{body}");
    }

    #[tokio::test]
    async fn a_bad_parameter_is_a_problem_that_names_it() {
        for (path, query, detail) in [
            ("cache/stats", "x", "unknown parameter \"x\": expected none"),
            ("profile/overview", "window=2h", "window = \"2h\": expected one of 1m, 5m, 15m, 1h, 6h, 24h"),
            ("profile/slowest", "limt=5", "unknown parameter \"limt\": expected window, limit, offset, by"),
            ("profile/slowest", "limit=101", "limit = \"101\": expected a whole number from 1 to 100"),
            ("profile/slowest", "offset=-1", "offset = \"-1\": expected a whole number from 0 to 1000000"),
            (
                "profile/slowest",
                "by=p42",
                "by = \"p42\": expected one of p50, p95, p99, avg, max, upstream_p95, total_time, requests",
            ),
        ] {
            let instance = format!("/performance/{path}");
            let answer = Exchange::get(&format!("{instance}?{query}")).with(&used_state()).await;
            answer.assert_problem(StatusCode::BAD_REQUEST, "Bad Request", detail, &instance);
        }
    }
}
