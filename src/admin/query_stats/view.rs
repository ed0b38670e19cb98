//! What the app's queries look like as JSON.

use std::{borrow::Cow, collections::BTreeMap, time::Instant};

use serde::Serialize;
use utoipa::ToSchema;

use super::Wanted;
use crate::{
    admin::{
        openapi::words,
        profile::{Latency, per_second, seconds},
        view::{Counts, millis, percent},
    },
    query::{self, Analysis, CLASSES, Level, Missing, Snapshot, Source, What},
    state::State,
    units,
};

/// What has to be done to see queries, in the order of what it takes.
const HOW_TO_ENABLE: &str = "Let the app export its spans: with [query.otlp] in proxy.toml and \
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:4318/v1/traces in its environment. Or let it say its database time \
    in Server-Timing, or post records to /performance/query/record.";

/// Bounds of the classes of durations, as people write them.
pub(in crate::admin) const CLASS_NAMES: [&str; 9] =
    ["<1", "1-5", "5-10", "10-50", "50-100", "100-500", "500-1000", "1000-2000", ">2000"];

/// What the queries of a window were, and what would make them faster.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Queries {
    /// Any source has told of queries.
    enabled: bool,
    /// What has to be done for that; `null` where it is done.
    how_to_enable: Option<&'static str>,
    /// What the figures are of: so long until now.
    #[schema(example = "1h")]
    window: String,
    sources: Sources,
    #[schema(schema_with = words::attribution)]
    attribution: Option<BTreeMap<&'static str, f64>>,
    /// Queries that were seen.
    total_queries: u64,
    /// Of them, those that differ in more than their values.
    unique_queries: usize,
    /// Of them, those that took as long as `query.slow` says.
    slow_queries: u64,
    /// Of them, those that took longer than `query.critical` says.
    critical_queries: u64,
    /// Queries that were repeated for each row of another.
    n_plus_one_patterns: usize,
    timing_ms: Option<Latency>,
    #[schema(schema_with = words::query_histogram)]
    histogram_ms: Counts,
    /// Whether missing indexes are looked for, and how.
    missing_index_analysis: String,
    /// Those that took most of the database's time first.
    top_queries: Vec<QueryView>,
    /// How endpoints use the database, the one with most queries first.
    endpoints: Vec<EndpointView>,
    /// The gravest first.
    recommendations: Vec<Recommendation>,
    bounds: Bounds,
}

/// Where queries are known from, since the start.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Sources {
    otlp: OtlpSource,
    json: JsonSource,
    server_timing: ServerTimingSource,
}

/// Spans of OpenTelemetry.
#[derive(Debug, Default, Serialize, ToSchema)]
struct OtlpSource {
    /// Spans that came.
    spans: u64,
    /// Of them, those of queries.
    db_spans: u64,
    /// Of them, those that had been told of.
    duplicates: u64,
    /// Of them, those that came when their request had been looked at: they count for the query, and for no request.
    late: u64,
    /// Spans that could not be read.
    rejected: u64,
}

/// Records that were posted.
#[derive(Debug, Default, Serialize, ToSchema)]
struct JsonSource {
    /// Records that were taken.
    records: u64,
}

/// What responses say of the database.
#[derive(Debug, Default, Serialize, ToSchema)]
struct ServerTimingSource {
    /// Responses that say something.
    responses: u64,
}

/// One query.
#[derive(Debug, Serialize, ToSchema)]
struct QueryView {
    /// The same for the same query after every restart.
    query_id: String,
    /// Without its values; empty where `query.store_text` is off.
    query: String,
    /// The text is not the whole query.
    truncated: bool,
    /// The app's name for it.
    name: Option<String>,
    /// What it does.
    kind: &'static str,
    tables: Vec<String>,
    calls: u64,
    per_minute: f64,
    errors: u64,
    /// Rows that it changed or returned, on average; `null` where that is not known.
    rows_avg: Option<f64>,
    slow: u64,
    critical: u64,
    timing_ms: Option<Latency>,
    #[schema(schema_with = words::query_histogram)]
    histogram_ms: Counts,
    /// Of the time of all queries.
    #[schema(minimum = 0, maximum = 100)]
    database_time_share_percent: f64,
    /// Endpoints that it was executed for, as far as they are known, the most first.
    endpoints: Vec<CalledBy>,
    /// What is known of its indexes; `null` where the planner was not asked.
    index: Option<IndexView>,
}

/// What is known of the indexes of a query.
#[derive(Debug, Serialize, ToSchema)]
struct IndexView {
    #[schema(schema_with = words::index_verdict)]
    verdict: &'static str,
    /// What that means, in a sentence.
    because: String,
}

/// How often a query was executed for an endpoint.
#[derive(Debug, Serialize, ToSchema)]
struct CalledBy {
    method: &'static str,
    endpoint: String,
    calls: u64,
}

/// How an endpoint uses the database.
#[derive(Debug, Serialize, ToSchema)]
struct EndpointView {
    method: &'static str,
    endpoint: String,
    /// Requests whose queries are known.
    requests: u64,
    queries_per_request: PerRequest,
    /// Of the requests' time, what the database takes.
    #[schema(minimum = 0, maximum = 100)]
    database_time_share_percent: Option<f64>,
    /// How that is known: `queries` that were told of, or `server_timing`.
    basis: &'static str,
}

/// Queries per request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub(in crate::admin) struct PerRequest {
    avg: f64,
    max: u64,
}

/// Something that should be done.
#[derive(Debug, Serialize, ToSchema)]
struct Recommendation {
    /// The same for the same thing at every look and after every restart.
    id: String,
    /// What it is: `critical_query`, `slow_query`, `missing_index`, `n_plus_one`, `redundant_query`, `write_loop` or
    /// `chatty_endpoint`.
    r#type: &'static str,
    #[schema(schema_with = words::query_severity)]
    severity: &'static str,
    /// `candidate`, `likely` or `confirmed`.
    confidence: &'static str,
    query_id: Option<String>,
    method: Option<&'static str>,
    endpoint: Option<String>,
    title: String,
    suggestion: Cow<'static, str>,
    #[schema(schema_with = words::query_evidence)]
    evidence: serde_json::Value,
    /// Of the database's time in an hour, what it takes.
    impact_ms_per_hour: f64,
    first_seen_seconds_ago: f64,
    last_seen_seconds_ago: f64,
}

/// What was dropped since the start, and how full tables are.
#[derive(Debug, Serialize, ToSchema)]
struct Bounds {
    /// Spans that there was no room for: they count for their query, and for no request.
    spans_dropped: u64,
    /// Requests that were forgotten before their spans could come.
    requests_forgotten: u64,
    /// Queries that were given up for others.
    queries_given_up: u64,
    /// Patterns that there was no room for.
    patterns_dropped: u64,
    /// Traces whose spans are awaited.
    open_traces: usize,
    /// Queries that are known.
    queries: usize,
    /// Bytes that they take.
    bytes: usize,
}

impl Queries {
    /// Of this moment.
    pub(in crate::admin) fn of(state: &State, wanted: &Wanted, now: Instant) -> Self {
        let mut snapshot = state.queries.snapshot(wanted.window, now);
        snapshot.rename(|name| state.profiler.name_by_now(name));
        Self::shown(&snapshot, wanted)
    }

    fn shown(snapshot: &Snapshot, wanted: &Wanted) -> Self {
        let enabled = snapshot.has_source();
        let is_asked_for = |endpoint: &query::Endpoint| {
            wanted.endpoint.as_ref().is_none_or(|asked| **asked == *endpoint.name || *asked == endpoint.to_string())
        };
        let of_nobody = wanted.endpoint.is_none();
        let patterns = snapshot.findings.iter().filter(|finding| finding.what.kind() == "n_plus_one").count();
        let queries = snapshot.queries.iter().filter(|query| {
            query.counts && (of_nobody || query.endpoints.iter().any(|(endpoint, _)| is_asked_for(endpoint)))
        });
        let findings = snapshot.findings.iter().filter(|finding| {
            finding.endpoint.as_ref().map_or(of_nobody, is_asked_for)
                && wanted.severity.as_ref().is_none_or(|severity| severity == finding.severity.name())
        });
        let endpoints = snapshot.endpoints.iter().filter(|figures| is_asked_for(&figures.endpoint));
        let named = |shares: [f64; Level::ALL.len()]| {
            Level::ALL.iter().zip(shares).map(|(level, share)| (level.name(), percent(share * 100.0))).collect()
        };
        Self {
            enabled,
            how_to_enable: (!enabled).then_some(HOW_TO_ENABLE),
            window: units::show_duration(wanted.window),
            sources: Sources::of(&snapshot.sources),
            attribution: snapshot.shares().map(named),
            total_queries: snapshot.all.calls,
            unique_queries: snapshot.unique(),
            slow_queries: snapshot.all.slow,
            critical_queries: snapshot.all.critical,
            n_plus_one_patterns: patterns,
            timing_ms: snapshot.all.spread.timing().map(Latency::from),
            histogram_ms: histogram(snapshot.all.spread.classes()),
            missing_index_analysis: analysis(&snapshot.analysis),
            top_queries: queries.take(wanted.limit).map(QueryView::of).collect(),
            endpoints: endpoints.take(wanted.limit).map(EndpointView::of).collect(),
            recommendations: findings.take(wanted.limit).map(Recommendation::of).collect(),
            bounds: Bounds::of(&snapshot.bounds),
        }
    }
}

fn histogram(classes: [u64; CLASSES.len() + 1]) -> Counts {
    let counts: Vec<(usize, u64)> = classes.into_iter().enumerate().collect();
    Counts::of(&counts, |class| CLASS_NAMES[class])
}

impl Sources {
    fn of(sources: &query::Sources) -> Self {
        let query::Sources { spans, rejected, queries, duplicates, late, server_timings, waited: _ } = *sources;
        let counted = |source: Source| queries[source as usize];
        Self {
            otlp: OtlpSource { spans, db_spans: counted(Source::Otlp), duplicates, late, rejected },
            json: JsonSource { records: counted(Source::Json) },
            server_timing: ServerTimingSource { responses: server_timings },
        }
    }
}

impl QueryView {
    fn of(figures: &query::QueryFigures) -> Self {
        let calls = &figures.calls;
        let called_by = |(endpoint, calls): &(query::Endpoint, u64)| CalledBy {
            method: endpoint.method,
            endpoint: endpoint.name.to_string(),
            calls: *calls,
        };
        Self {
            query_id: figures.id.to_string(),
            query: figures.text.to_string(),
            truncated: figures.is_cut,
            name: figures.name.as_ref().map(ToString::to_string),
            kind: figures.kind.name(),
            tables: figures.tables.to_vec(),
            calls: calls.calls,
            per_minute: rounded(figures.per_minute),
            errors: calls.errors,
            rows_avg: (calls.rows_known > 0).then(|| rounded(calls.rows as f64 / calls.rows_known as f64)),
            slow: calls.slow,
            critical: calls.critical,
            timing_ms: calls.spread.timing().map(Latency::from),
            histogram_ms: histogram(calls.spread.classes()),
            database_time_share_percent: percent(figures.share * 100.0),
            endpoints: figures.endpoints.iter().map(called_by).collect(),
            index: figures
                .index
                .as_ref()
                .map(|verdict| IndexView { verdict: verdict.name(), because: verdict.to_string() }),
        }
    }
}

impl EndpointView {
    fn of(figures: &query::EndpointFigures) -> Self {
        Self {
            method: figures.endpoint.method,
            endpoint: figures.endpoint.name.to_string(),
            requests: figures.requests,
            queries_per_request: PerRequest::of(figures),
            database_time_share_percent: figures.database_share.map(|share| percent(share * 100.0)),
            basis: match figures.basis {
                query::Basis::Queries => "queries",
                query::Basis::ServerTiming => "server_timing",
            },
        }
    }
}

impl PerRequest {
    pub(in crate::admin) fn of(figures: &query::EndpointFigures) -> Self {
        Self { avg: rounded(figures.queries_avg), max: figures.queries_max }
    }
}

impl Recommendation {
    fn of(finding: &query::Finding) -> Self {
        Self {
            id: finding.id(),
            r#type: finding.what.kind(),
            severity: finding.severity.name(),
            confidence: finding.confidence.name(),
            query_id: finding.query.map(|query| query.to_string()),
            method: finding.endpoint.as_ref().map(|endpoint| endpoint.method),
            endpoint: finding.endpoint.as_ref().map(|endpoint| endpoint.name.to_string()),
            title: finding.title(),
            suggestion: finding.suggestion(),
            evidence: evidence(&finding.what),
            impact_ms_per_hour: millis(finding.impact_per_hour),
            first_seen_seconds_ago: seconds(finding.first_seen),
            last_seen_seconds_ago: seconds(finding.last_seen),
        }
    }
}

/// How the search for missing indexes stands, and on what.
fn analysis(analysis: &Analysis) -> String {
    match analysis {
        Analysis::Off => "off: [query.explain] names no connection to the database".into(),
        Analysis::Ready => "on: waits for a query that is asked often, or slow".into(),
        Analysis::On { tries: true } => "on: generic plans, and proposals are tried without being made (hypopg)".into(),
        Analysis::On { tries: false } => "on: generic plans; with the extension hypopg proposals would be tried".into(),
        Analysis::Failing(why) => format!("failing: {why}"),
    }
}

fn evidence(what: &What) -> serde_json::Value {
    match what {
        What::Missing(Missing { slow, proposal }) => serde_json::json!({
            "calls": slow.calls,
            "avg_ms": millis(slow.timing.avg),
            "table": proposal.table,
            "columns": proposal.columns,
            "table_rows": proposal.rows,
            "table_bytes": proposal.bytes,
            "found_rows": proposal.wanted,
            "plan": "generic",
            "cost": proposal.proof.map(|proof| rounded(proof.before)),
            "cost_with_index": proposal.proof.map(|proof| rounded(proof.after)),
        }),
        What::Critical(slow) | What::Slow(slow) | What::NoIndex(slow) => serde_json::json!({
            "calls": slow.calls,
            "slow": slow.slow,
            "critical": slow.critical,
            "avg_ms": millis(slow.timing.avg),
            "p95_ms": millis(slow.timing.p95),
            "max_ms": millis(slow.timing.max),
        }),
        What::Repeated(repetition) => serde_json::json!({
            "requests": repetition.requests,
            "per_request_min": repetition.min,
            "per_request_avg": rounded(repetition.avg),
            "per_request_max": repetition.max,
            "distinct_values": repetition.distinct,
            "concurrent": repetition.is_concurrent,
            "takes_turns_with": repetition.turns.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "preceded_by": repetition.before.map(|query| query.to_string()),
            "request_time_share_percent": percent(repetition.share * 100.0),
            "example_trace": repetition.example.map(|trace| trace.to_string()),
        }),
        What::Chatty(chatty) => serde_json::json!({
            "requests": chatty.requests,
            "queries_per_request": per_second(chatty.queries, std::time::Duration::from_secs(chatty.requests.max(1))),
            "database_time_share_percent":
                percent(chatty.database.as_secs_f64() / chatty.whole.as_secs_f64().max(1e-9) * 100.0),
        }),
    }
}

impl Bounds {
    fn of(bounds: &query::Bounds) -> Self {
        Self {
            spans_dropped: bounds.spans_dropped,
            requests_forgotten: bounds.requests_forgotten,
            queries_given_up: bounds.queries_given_up,
            patterns_dropped: bounds.patterns_dropped,
            open_traces: bounds.open_traces,
            queries: bounds.queries,
            bytes: bounds.bytes,
        }
    }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
