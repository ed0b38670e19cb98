//! Everything at once, and whether it is well: `GET /performance/dashboard`.

use axum::{Json, extract::State, http::Uri};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    api::{Shared, apart, bad_request, parameters},
    compression::CompressionStats,
    insights::Insights,
    ledger::Ledger,
    metrics::cpu_seconds,
    problem::Problem,
    profile::Overview,
    query_stats::Queries,
    tasks::Tasks,
    view::CacheStats,
};
use crate::{profile::Window, state};

/// A share of errors says something from so many requests on.
const ENOUGH_REQUESTS: u64 = 20;
/// Percent of requests that are answered with an error.
const WARNING_PERCENT: f64 = 1.0;
const CRITICAL_PERCENT: f64 = 5.0;

/// How everything is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Dashboard {
    status: Health,
    /// Why the status is not `healthy`, the gravest first.
    reasons: Vec<Reason>,
    overview: Overview,
    cache: CacheStats,
    compression: CompressionStats,
    insights: Insights,
    queries: Queries,
    tasks: Tasks,
    ledger: Ledger,
}

/// Whether somebody should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Health {
    /// All is well.
    Healthy,
    /// Somebody should look.
    Warning,
    /// Somebody should look now.
    Critical,
}

/// Something that is not well.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct Reason {
    status: Health,
    /// A sentence for people.
    detail: String,
}

/// What the status is judged by; the requests are those of the last five minutes.
#[derive(Clone, Copy, Debug, Default)]
struct Signs {
    draining: bool,
    last_reload_refused: bool,
    requests: u64,
    errors: u64,
}

impl Dashboard {
    /// Of this moment. Takes as long as all of the endpoints together.
    pub(super) fn of(state: &state::State, window: Window) -> Self {
        let now = Instant::now().into_std();
        let recent = state.profiler.snapshot(Window::FiveMinutes, now).total().counts;
        let reasons = reasons(Signs {
            draining: state.draining.begun(),
            last_reload_refused: !state.reloads.last_succeeded(),
            requests: recent.requests,
            errors: recent.errors,
        });
        let snapshot = state.profiler.snapshot(window, now);
        let ledger = Ledger::of(&snapshot, &state.cache.snapshot(), &state.compression.stats.snapshot(), cpu_seconds());
        Self {
            status: reasons.first().map_or(Health::Healthy, |gravest| gravest.status),
            reasons,
            overview: (&snapshot).into(),
            cache: CacheStats::of(state, now),
            compression: (&state.compression.stats.snapshot()).into(),
            insights: Insights::default(),
            queries: Queries::default(),
            tasks: Tasks::default(),
            ledger,
        }
    }
}

/// How everything is.
pub(super) async fn dashboard(State(state): Shared, uri: Uri) -> Result<Json<Dashboard>, Problem> {
    let window = parameters(&uri, &["window"])?.window().map_err(|detail| bad_request(&uri, detail))?;
    Ok(Json(apart(move || Dashboard::of(&state, window)).await))
}

/// What is not well, the gravest first.
fn reasons(signs: Signs) -> Vec<Reason> {
    let Signs { draining, last_reload_refused, requests, errors } = signs;
    let mut reasons = Vec::new();
    let mut add = |status, detail: String| reasons.push(Reason { status, detail });
    if requests >= ENOUGH_REQUESTS {
        let share = errors as f64 * 100.0 / requests as f64;
        let detail = || format!("{errors} of {requests} requests of the last five minutes were answered with an error");
        match share {
            CRITICAL_PERCENT.. => add(Health::Critical, detail()),
            WARNING_PERCENT.. => add(Health::Warning, detail()),
            _ => {}
        }
    }
    if last_reload_refused {
        let detail = "the last configuration was refused, and the one before is in force; the log says why";
        add(Health::Warning, detail.into());
    }
    if draining {
        add(Health::Warning, "the sidecar is stopping: it finishes what is in flight and takes no more".into());
    }
    reasons
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::admin::fixture::{Exchange, used_state};

    #[test]
    fn what_is_not_well() {
        let of = |requests, errors| Signs { requests, errors, ..Signs::default() };
        let (well, warning, critical) = (Vec::new(), vec![Health::Warning], vec![Health::Critical]);
        for (signs, expected) in [
            (Signs::default(), well.clone()),
            (of(19, 19), well.clone()),
            (of(20, 0), well.clone()),
            (of(1000, 9), well),
            (of(1000, 10), warning.clone()),
            (of(1000, 49), warning.clone()),
            (of(1000, 50), critical.clone()),
            (of(20, 1), critical),
            (Signs { draining: true, ..Signs::default() }, warning.clone()),
            (Signs { last_reload_refused: true, ..Signs::default() }, warning),
            (
                Signs { draining: true, last_reload_refused: true, ..of(20, 20) },
                vec![Health::Critical, Health::Warning, Health::Warning],
            ),
        ] {
            let found: Vec<Health> = reasons(signs).iter().map(|reason| reason.status).collect();
            assert_eq!(found, expected, "{signs:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_shows_what_the_single_endpoints_show() {
        let state = used_state();
        state.draining.begin();
        state.reloads.refuse();
        let answered = async |path: &str| {
            let answer = Exchange::get(path).with(&state).await;
            serde_json::from_str::<Value>(&answer.body).unwrap()
        };
        let dashboard = answered("/performance/dashboard").await;
        assert_eq!(dashboard["status"], "warning");
        assert_eq!(dashboard["reasons"].as_array().unwrap().len(), 2, "{dashboard:#}");
        for (member, path) in [
            ("overview", "/performance/profile/overview"),
            ("cache", "/performance/cache/stats"),
            ("compression", "/performance/compression/stats"),
            ("insights", "/performance/profile/insights"),
            ("queries", "/performance/query/optimization"),
            ("tasks", "/performance/tasks"),
        ] {
            assert_eq!(dashboard[member], answered(path).await, "{member}");
        }
    }
}
