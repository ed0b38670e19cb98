//! What the figures say that should be done: `GET /performance/profile/insights`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use axum::{Json, extract::State, http::Uri};
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    api::{Shared, apart, parameters},
    openapi::words,
    problem::Problem,
    profile::seconds,
};
use crate::{
    advice::{self, Change, Endpoint, Facts, Figure, Finding, MOST_FINDINGS, QueriesPerRequest, Remedy, muting},
    profile::Window,
    query, state,
};

/// What findings about queries are told from.
const HOUR: Duration = Duration::from_secs(3600);

/// What should be done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Insights {
    /// The gravest first, and of those that are as grave, what is worth most; at most 100.
    #[schema(max_items = 100)]
    pub(super) findings: Vec<FindingView>,
    /// How many more there are that are muted, by `advice.mute` or by `POST /performance/profile/insights/mute`.
    muted: usize,
    /// Those of them, in the same order; at most 100.
    #[schema(max_items = 100)]
    muted_findings: Vec<MutedFinding>,
    looked_at: LookedAt,
}

/// Something that is left out, since somebody knows of it.
#[derive(Debug, Serialize, ToSchema)]
struct MutedFinding {
    /// As findings have it.
    id: String,
    /// One line for people.
    title: String,
    #[schema(schema_with = words::severity)]
    severity: &'static str,
    by: MutedBy,
}

/// What mutes a finding.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum MutedBy {
    /// `advice.mute`, where alone that can be changed.
    Config,
    /// `POST /performance/profile/insights/mute`, until the process ends.
    Admin,
}

/// What findings are told from.
#[derive(Debug, Serialize, ToSchema)]
struct LookedAt {
    /// Requests of the last hour.
    requests: u64,
    /// How long that hour is: it begins at full five minutes, or with the process.
    lasts_seconds: f64,
    /// How long the process has run.
    uptime_seconds: f64,
}

/// Something that should be done, or at least be known.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FindingView {
    /// The same for the same thing at every look and after every restart: what `advice.mute` takes.
    pub(super) id: String,
    #[schema(schema_with = words::finding_kind)]
    kind: &'static str,
    #[schema(schema_with = words::severity)]
    severity: &'static str,
    #[schema(schema_with = words::confidence)]
    confidence: &'static str,
    /// The endpoint that it is about; `null` where it is about all of them.
    endpoint: Option<FindingEndpoint>,
    /// One line for people.
    pub(super) title: String,
    /// The numbers it rests on, in a sentence.
    because: String,
    r#do: Do,
    worth: Worth,
    /// Every figure that was looked at, with the unit in its name.
    #[schema(schema_with = words::evidence)]
    evidence: BTreeMap<&'static str, EvidenceView>,
}

/// One endpoint.
#[derive(Debug, Serialize, ToSchema)]
struct FindingEndpoint {
    /// One of the nine standard methods, or `_OTHER`.
    method: String,
    /// The endpoint's name, such as `/users/{id}`.
    endpoint: String,
}

/// What to do about it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Do {
    /// Lines to paste into `proxy.toml`, with a comment where something has to be decided first.
    Config(String),
    /// For the app's developer, or whoever runs it.
    Sentence(String),
}

/// What following the advice is worth, at the rate of the time that was looked at; `null` where that cannot be told.
#[derive(Debug, Serialize, ToSchema)]
struct Worth {
    /// Requests that the app need not answer.
    upstream_requests_per_minute: Option<f64>,
    /// Seconds that the app need not work.
    upstream_seconds_per_minute: Option<f64>,
    /// Bytes that need not be sent to clients.
    bytes_per_minute: Option<f64>,
    /// Milliseconds that a request is answered sooner, on average.
    milliseconds_per_request: Option<f64>,
}

/// A figure.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum EvidenceView {
    Count(u64),
    Number(f64),
    Text(String),
}

impl Insights {
    /// Of this moment.
    pub(super) fn of(state: &state::State) -> (Self, Vec<Finding>) {
        let facts = facts(state);
        let configured = state.advice.load();
        let found = advice::findings(&facts, &state.muted.and(&configured.mute));
        let muted = found.muted.iter().take(MOST_FINDINGS);
        let counts = facts.hour.endpoints.iter().map(|row| row.figures.counts.requests);
        let insights = Self {
            findings: found.findings.iter().map(FindingView::from).collect(),
            muted: found.muted.len(),
            muted_findings: muted.map(|finding| MutedFinding::new(finding, &configured.mute)).collect(),
            looked_at: LookedAt {
                requests: counts.sum(),
                lasts_seconds: seconds(facts.hour.lasts),
                uptime_seconds: seconds(facts.uptime),
            },
        };
        (insights, found.findings)
    }
}

impl MutedFinding {
    fn new(finding: &Finding, configured: &[String]) -> Self {
        let id = finding.id();
        let by = if muting(configured, &id).is_some() { MutedBy::Config } else { MutedBy::Admin };
        Self { id, title: finding.title.clone(), severity: finding.severity.name(), by }
    }
}

/// What should be done, the gravest first.
pub(super) async fn insights(State(state): Shared, uri: Uri) -> Result<Json<Insights>, Problem> {
    parameters(&uri, &[])?;
    Ok(Json(apart(move || Insights::of(&state).0).await))
}

/// What the rules look at, as it is now.
fn facts(state: &state::State) -> Facts {
    let now = Instant::now().into_std();
    let mut queries = state.queries.snapshot(HOUR, now);
    queries.rename(|name| state.profiler.name_by_now(name));
    let recently = state.counted.recently(now, state.cache.snapshot(), state.compression.stats.snapshot());
    Facts {
        uptime: now.saturating_duration_since(state.started),
        hour: state.profiler.snapshot(Window::Hour, now),
        recent: state.profiler.snapshot(Window::FiveMinutes, now),
        cache: recently.cache,
        compression: recently.compression,
        counted_for: recently.lasts,
        cache_settings: state.cache.settings(),
        compression_settings: state.compression.settings(),
        routes: state.routes.load_full(),
        observed: state.observer.report(now, |name| state.profiler.name_by_now(name)),
        sizing: state.cache.simulation.sizing(now),
        achievable_hit_rate_percent: None,
        changes: changes(state, now),
        queries: queries.endpoints.iter().map(per_request).collect(),
        query_texts: texts(&queries),
        query_findings: queries.findings,
    }
    .with_what_could_be()
}

fn per_request(figures: &query::EndpointFigures) -> QueriesPerRequest {
    let query::Endpoint { method, name } = &figures.endpoint;
    QueriesPerRequest {
        endpoint: Endpoint { method: (*method).into(), name: name.to_string() },
        requests: figures.requests,
        avg: figures.queries_avg,
        max: figures.queries_max,
    }
}

/// What the queries look like that something is wrong with.
fn texts(queries: &query::Snapshot) -> BTreeMap<query::Fingerprint, String> {
    let found: BTreeSet<query::Fingerprint> = queries.findings.iter().filter_map(|finding| finding.query).collect();
    let wrong = queries.queries.iter().filter(|query| found.contains(&query.id));
    wrong.map(|query| (query.id, query.text.to_string())).collect()
}

/// What was before and after the newest markers.
fn changes(state: &state::State, now: std::time::Instant) -> Vec<Change> {
    let profiler = &state.profiler;
    let steps = advice::steps(&state.markers.all(), |at| profiler.minute(at), profiler.minute(now));
    let change = |step: advice::Step| {
        let lasts = Duration::from_secs(60 * (step.after.end - step.after.start));
        let (before, after) = (profiler.between(step.before, now), profiler.between(step.after, now));
        Change { name: step.name, before, after, lasts }
    };
    let worth_it = |step: &advice::Step| !step.before.is_empty() && !step.after.is_empty();
    steps.into_iter().filter(worth_it).map(change).collect()
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        let Finding { kind, severity, confidence, endpoint, subject: _, title, because, remedy, worth, evidence } =
            finding;
        Self {
            id: finding.id(),
            kind,
            severity: severity.name(),
            confidence: confidence.name(),
            endpoint: endpoint
                .as_ref()
                .map(|Endpoint { method, name }| FindingEndpoint { method: method.clone(), endpoint: name.clone() }),
            title: title.clone(),
            because: because.clone(),
            r#do: match remedy {
                Remedy::Config(lines) => Do::Config(lines.clone()),
                Remedy::Sentence(sentence) => Do::Sentence(sentence.clone()),
            },
            worth: worth.into(),
            evidence: evidence.iter().map(|(name, figure)| (*name, figure.into())).collect(),
        }
    }
}

impl From<&advice::Worth> for Worth {
    fn from(worth: &advice::Worth) -> Self {
        Self {
            upstream_requests_per_minute: worth.upstream_requests_per_minute.map(rounded),
            upstream_seconds_per_minute: worth.upstream_seconds_per_minute.map(rounded),
            bytes_per_minute: worth.bytes_per_minute.map(rounded),
            milliseconds_per_request: worth.milliseconds_per_request.map(rounded),
        }
    }
}

impl From<&Figure> for EvidenceView {
    fn from(figure: &Figure) -> Self {
        match figure {
            Figure::Count(count) => Self::Count(*count),
            Figure::Number(number) => Self::Number(rounded(*number)),
            Figure::Text(text) => Self::Text(text.clone()),
        }
    }
}

/// Three decimals: what is beyond is noise. What is no number would be `null`, which stands for something else.
fn rounded(number: f64) -> f64 {
    if number.is_finite() { (number * 1e3).round() / 1e3 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        admin::fixture::{Exchange, advised_state, empty_state},
        profile::Sample,
    };

    const PATH: &str = "/performance/profile/insights";

    #[tokio::test(start_paused = true)]
    async fn where_nothing_is_found_it_says_what_it_looked_at() {
        Exchange::get(PATH).with(&empty_state()).await.assert_json(
            r#"{"findings":[],"muted":0,"muted_findings":[],"looked_at":{"requests":0,"lasts_seconds":100.0,"uptime_seconds":100.0}}"#,
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_finding_has_its_numbers_and_what_to_do() {
        let answer = Exchange::get(PATH).with(&advised_state()).await;
        let json: Value = serde_json::from_str(&answer.body).unwrap();
        let findings = json["findings"].as_array().unwrap();
        let ids: Vec<&str> = findings.iter().map(|finding| finding["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["errors:POST /orders", "slow_endpoint:GET /reports/{id}"], "{json:#}");
        let slow = &findings[1];
        assert_eq!(slow["endpoint"], json!({"method": "GET", "endpoint": "/reports/{id}"}));
        assert_eq!((&slow["severity"], &slow["confidence"]), (&json!("warning"), &json!("measured")));
        assert_eq!(slow["worth"]["milliseconds_per_request"], 200.0);
        assert!(findings[0]["do"]["sentence"].is_string(), "{json:#}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_muted_is_counted() {
        let state = advised_state();
        state.advice.store(advice::Settings { mute: vec!["slow_endpoint".into()] }.into());
        let answer = Exchange::get(PATH).with(&state).await;
        let json: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((json["findings"].as_array().unwrap().len(), &json["muted"]), (1, &json!(1)), "{json:#}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_got_slower_since_a_deployment_is_told_with_its_name() {
        let state = empty_state();
        let minutes = async |minutes: u64, millis: u64| {
            for _ in 0..minutes {
                for path in ["/a", "/b"] {
                    let took = Duration::from_millis(if path == "/a" { millis } else { 70 });
                    (0..20).for_each(|_| state.profiler.record(Sample::of(path, took).asked(took)));
                }
                tokio::time::advance(Duration::from_secs(60)).await;
            }
        };
        let regressions = async || {
            let answer = Exchange::get(PATH).with(&state).await;
            let json: Value = serde_json::from_str(&answer.body).unwrap();
            let ids =
                json["findings"].as_array().unwrap().iter().map(|finding| finding["id"].as_str().unwrap().to_owned());
            ids.filter(|id| id.starts_with("regression")).collect::<Vec<String>>()
        };
        // Two full hours, which is what is left of this in the end.
        minutes(120, 50).await;
        let post = Exchange::of("POST", "/performance/markers").field("content-type", "application/json");
        post.body(r#"{"label":"v1.4.2"}"#).with(&state).await;
        // The minute of the marker itself is neither before nor after.
        minutes(3, 90).await;
        assert_eq!(regressions().await, [""; 0]);
        minutes(2, 90).await;
        assert_eq!(regressions().await, ["regression:GET /a:slower since deploy v1.4.2"]);
        // Whatever steps its time is kept in by then.
        minutes(40, 90).await;
        assert_eq!(regressions().await, ["regression:GET /a:slower since deploy v1.4.2"]);
        minutes(120, 90).await;
        assert_eq!(regressions().await, ["regression:GET /a:slower since deploy v1.4.2"]);
    }

    #[test]
    fn numbers_are_rounded_and_always_numbers() {
        assert_eq!([rounded(1.23456), rounded(f64::NAN), rounded(f64::INFINITY)], [1.235, 0.0, 0.0]);
    }
}
