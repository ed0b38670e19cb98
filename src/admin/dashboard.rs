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
    openapi::words,
    problem::Problem,
    profile::{Overview, seconds},
    query::LIMIT_DEFAULT,
    query_stats::{Wanted, view::Queries},
    tasks::view::Tasks,
    view::CacheStats,
};
use crate::{
    advice::{Finding, Severity},
    profile::Window,
    state,
    task::Filter,
    traffic::UpstreamFailure,
};

/// Findings that are reasons at most: the others stand in `insights`.
const MOST_FINDINGS: usize = 10;

/// How everything is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Dashboard {
    status: Health,
    /// Why the status is not `healthy`, the gravest first.
    reasons: Vec<Reason>,
    /// When that was, since 1970.
    at_seconds: f64,
    pacecar: About,
    traffic: TrafficView,
    /// What the `1m` window says, whichever is asked for.
    last_minute: Overview,
    overview: Overview,
    cache: CacheStats,
    compression: CompressionStats,
    insights: Insights,
    queries: Queries,
    /// The newest ones.
    tasks: Tasks,
    ledger: Ledger,
}

/// What is running.
#[derive(Debug, Serialize, ToSchema)]
struct About {
    version: &'static str,
    /// `on`, or `observe` where everything only passes through.
    #[schema(schema_with = words::mode_of_work)]
    mode: &'static str,
    /// How long the process has run.
    #[schema(minimum = 0)]
    uptime_seconds: f64,
}

/// What is open on both sides at this moment, and how the app did since the start.
#[derive(Debug, Serialize, ToSchema)]
struct TrafficView {
    clients: Clients,
    app: App,
}

/// The side of the clients.
#[derive(Debug, Serialize, ToSchema)]
struct Clients {
    /// Connections that are open.
    connections: u64,
    /// Requests that are being answered.
    in_flight: u64,
}

/// The side of the app.
#[derive(Debug, Serialize, ToSchema)]
struct App {
    /// Where it is, as `server.upstream` says.
    upstream: String,
    /// Requests that it works on, until the end of their answers.
    in_flight: u64,
    /// Requests that wait for a turn at it.
    queued: u64,
    /// Answers whose heads it has sent since the start.
    responses: u64,
    /// How often no answer could be had from it since the start.
    failures: u64,
    /// How often of late: since its last response.
    failures_in_a_row: u64,
}

impl TrafficView {
    fn of(state: &state::State) -> Self {
        let traffic = &state.traffic;
        Self {
            clients: Clients { connections: traffic.connections.value(), in_flight: traffic.in_flight.value() },
            app: App {
                upstream: state.upstream.load().to_string(),
                in_flight: traffic.upstream_in_flight.value(),
                queued: traffic.upstream_queued.value(),
                responses: traffic.upstream_responses.value(),
                failures: traffic.upstream_failures().map(|(_, count)| count).sum(),
                failures_in_a_row: traffic.upstream_failing().map_or(0, |(times, _)| times),
            },
        }
    }
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
    /// One line for people.
    detail: String,
    /// The id of the finding in `insights` that says more; `null` where there is none.
    finding: Option<String>,
}

/// Failures in a row from which on the app is said not to answer: fewer may be one broken connection each.
const NOT_ANSWERING: u64 = 5;

/// What the status is judged by, besides findings.
#[derive(Clone, Copy, Debug, Default)]
struct Signs {
    /// Failures of the app since its last response, and the last of them.
    failing: Option<(u64, UpstreamFailure)>,
    draining: bool,
    last_reload_refused: bool,
}

impl Dashboard {
    /// Of this moment. Takes as long as all of the endpoints together.
    pub(super) fn of(state: &state::State, window: Window) -> Self {
        let now = Instant::now().into_std();
        let (insights, findings) = Insights::of(state);
        let failing = state.traffic.upstream_failing();
        let signs =
            Signs { failing, draining: state.draining.begun(), last_reload_refused: !state.reloads.last_succeeded() };
        let reasons = reasons(&findings, signs);
        let snapshot = state.profiler.snapshot(window, now);
        let ledger = Ledger::of(&snapshot, &state.cache.snapshot(), &state.compression.stats.snapshot(), cpu_seconds());
        Self {
            status: reasons.first().map_or(Health::Healthy, |gravest| gravest.status),
            reasons,
            at_seconds: seconds(state.profiler.since_1970(now)),
            pacecar: About {
                version: env!("CARGO_PKG_VERSION"),
                mode: if state.observer.only_observes() { "observe" } else { "on" },
                uptime_seconds: seconds(now.saturating_duration_since(state.started)),
            },
            traffic: TrafficView::of(state),
            last_minute: (&state.profiler.snapshot(Window::Minute, now)).into(),
            overview: (&snapshot).into(),
            cache: CacheStats::of(state, now),
            compression: (&state.compression.stats.snapshot()).into(),
            insights,
            queries: Queries::of(state, &Wanted::default(), now),
            tasks: Tasks::of(&state.tasks, Filter::default(), None, LIMIT_DEFAULT),
            ledger,
        }
    }
}

/// How everything is.
pub(super) async fn dashboard(State(state): Shared, uri: Uri) -> Result<Json<Dashboard>, Problem> {
    let window = parameters(&uri, &["window"])?.window().map_err(|detail| bad_request(&uri, detail))?;
    Ok(Json(apart(move || Dashboard::of(&state, window)).await))
}

/// What is not well, the gravest first. Findings are that already, and whether figures are well is judged there alone.
///
/// That the app does not answer comes before everything: most of the other reasons follow from it.
fn reasons(findings: &[Finding], Signs { failing, draining, last_reload_refused }: Signs) -> Vec<Reason> {
    let of_finding = |finding: &Finding| {
        let status = match finding.severity {
            Severity::Critical => Health::Critical,
            Severity::Warning => Health::Warning,
            Severity::Info => return None,
        };
        Some(Reason { status, detail: finding.title.clone(), finding: Some(finding.id()) })
    };
    let not_answering = failing.filter(|(times, _)| *times >= NOT_ANSWERING).map(|(times, last)| Reason {
        status: Health::Critical,
        detail: format!(
            "the app does not answer: {times} requests to it have failed in a row, the last by \"{}\"",
            last.name()
        ),
        finding: None,
    });
    let found = findings.iter().filter_map(of_finding).take(MOST_FINDINGS);
    let mut reasons: Vec<Reason> = not_answering.into_iter().chain(found).collect();
    let mut warn =
        |detail: &str| reasons.push(Reason { status: Health::Warning, detail: detail.into(), finding: None });
    if last_reload_refused {
        warn("the last configuration was refused, and the one before is in force; the log says why");
    }
    if draining {
        warn("the sidecar is stopping: it finishes what is in flight and takes no more");
    }
    reasons
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;
    use crate::{
        admin::fixture::{Exchange, advised_state, used_state},
        advice::{Confidence, Remedy, Worth},
    };

    fn finding(severity: Severity) -> Finding {
        Finding {
            kind: "errors",
            severity,
            confidence: Confidence::Measured,
            endpoint: None,
            subject: String::new(),
            title: "Half of the requests fail".into(),
            because: String::new(),
            remedy: Remedy::Sentence(String::new()),
            worth: Worth::default(),
            evidence: BTreeMap::new(),
        }
    }

    #[test]
    fn what_is_not_well() {
        use Severity::{Critical, Info, Warning};
        let (draining, last_reload_refused) = (true, true);
        let well = Signs::default();
        for (severities, signs, expected) in [
            (&[][..], well, &[][..]),
            (&[Info, Info], well, &[]),
            (&[Warning, Info], well, &[Health::Warning]),
            (&[Critical, Warning], well, &[Health::Critical, Health::Warning]),
            (&[], Signs { failing: Some((4, UpstreamFailure::Connect)), ..well }, &[]),
            (
                &[Warning],
                Signs { failing: Some((5, UpstreamFailure::Connect)), ..well },
                &[Health::Critical, Health::Warning],
            ),
            (&[], Signs { draining, ..well }, &[Health::Warning]),
            (&[], Signs { last_reload_refused, ..well }, &[Health::Warning]),
            (
                &[Critical],
                Signs { draining, last_reload_refused, ..well },
                &[Health::Critical, Health::Warning, Health::Warning],
            ),
            (&[Critical; 30], well, &[Health::Critical; 10]),
        ] {
            let findings: Vec<Finding> = severities.iter().map(|severity| finding(*severity)).collect();
            let found: Vec<Health> = reasons(&findings, signs).iter().map(|reason| reason.status).collect();
            assert_eq!(found, expected, "{severities:?} {signs:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_gravest_finding_is_the_first_reason() {
        let answer = Exchange::get("/performance/dashboard").with(&advised_state()).await;
        let dashboard: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(dashboard["status"], "critical", "{dashboard:#}");
        let (reason, finding) = (&dashboard["reasons"][0], &dashboard["insights"]["findings"][0]);
        assert_eq!((&reason["finding"], &reason["detail"]), (&finding["id"], &finding["title"]), "{dashboard:#}");
        assert_eq!(finding["id"], "errors:POST /orders");
    }

    #[test]
    fn an_app_that_does_not_answer_is_the_first_reason() {
        let signs = Signs { failing: Some((7, UpstreamFailure::ConnectTimeout)), ..Signs::default() };
        let first = &reasons(&[finding(Severity::Critical)], signs)[0];
        let said = "the app does not answer: 7 requests to it have failed in a row, the last by \"connect-timeout\"";
        assert_eq!((&*first.detail, &first.finding), (said, &None));
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
