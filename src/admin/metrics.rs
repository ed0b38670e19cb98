//! The figures for Prometheus, from the same snapshots as the JSON.
//!
//! Every set of label values that is known beforehand is there from the start, with 0, so that `rate()` sees the first
//! increase, and so that traffic adds no series but those of `requests`. Labels from traffic are bounded there: a route
//! is a name in the profiler's bounded table, a method is one of ten, and a route has at most 17 statuses.
//!
//! # How many lines there can be
//!
//! With HELP and TYPE, which are two lines per family, and UNIT in OpenMetrics alone:
//!
//! | Families | Lines at most |
//! |---|---|
//! | `connections*`, `http_*` without `requests`, `upstream_*`, `front_door_*`, `access_log_*`, `panics_total` | 100 |
//! | `cache_*` without routes | 120 |
//! | `cache_route_requests_total` | 2, and 6 per route of the configuration, of which the default has none |
//! | `cache_verified_total`, `cache_wrong_ratio`, `cache_simulated_hit_ratio` | 15, and 5 per such route |
//! | `keyed_cache_*` | 35 |
//! | `compression_*` | 85 |
//! | `query_*` | 30 |
//! | `task_*`, `tasks*` | 85 |
//! | `config_*`, `build_info` | 20 |
//! | `ratelimited_total` | 30 |
//! | `process_*` | 25 |
//! | all of these | 560 |
//! | `requests` | some 40 for each of `profile.metrics_endpoints`, and 170 for the rest of them |
//!
//! `upstream_errors_total` has connections that could not be made among its reasons (`resolve`, `connect`,
//! `connect-timeout`, `tls`): a family of their own would count them twice.

mod compression;
mod format;
mod process;
mod requests;
mod tasks;

use axum::{
    body::Bytes,
    extract::State,
    http::{
        HeaderMap, StatusCode, Uri,
        header::{CONTENT_ENCODING, CONTENT_TYPE, VARY},
    },
    response::{IntoResponse, Response},
};
use tokio::time::Instant;

use crate::{
    cache::{self, Bypass, Evicted, Outcome, Sizing, Skip, Verified, keyed, purge},
    compress::{
        self,
        encoder::{Effort, whole},
    },
    header::{accept_encoding::Accepted, coding::Coding},
    query::{self, explain::Verdict},
    state::{self, Reloads},
    traffic::{Ratelimited, Traffic},
};

pub(super) use self::process::cpu_seconds;

use self::format::Format;

use super::{
    api::{Shared, apart},
    exposition::{Exposition, counter, distribution, ratio},
    problem::Problem,
};

/// Everything for Prometheus, in the format and the coding that the client takes.
pub(super) async fn metrics(State(state): Shared, uri: Uri, fields: HeaderMap) -> Result<Response, Problem> {
    let (format, accepted) = (Format::of(&fields), Accepted::of(&fields));
    let written = apart(move || body(&state, format, accepted)).await.map_err(|error| {
        tracing::error!(%error, "metrics could not be written");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, &uri, "metrics could not be written; the log says why")
    })?;
    let (body, coding) = written;
    let coding = coding.map(|coding| [(CONTENT_ENCODING, coding.name())]);
    let fields = [(CONTENT_TYPE, format.content_type()), (VARY, "Accept, Accept-Encoding")];
    Ok(match coding {
        Some(coding) => (fields, coding, body).into_response(),
        None => (fields, body).into_response(),
    })
}

/// The body, and the coding that it is in, if any: gzip, the one that scrapers ask for.
fn body(
    state: &state::State,
    format: Format,
    accepted: Accepted,
) -> Result<(Bytes, Option<Coding>), prometheus::Error> {
    let exposition = exposition(state);
    let text = match format {
        Format::Text => exposition.text()?,
        Format::OpenMetrics => exposition.openmetrics(),
    };
    let coding = accepted.choose(&[Coding::Gzip]);
    let coded =
        coding.and_then(|coding| whole(coding, Effort::Quick, &compress::Settings::default(), text.as_bytes()).ok());
    Ok(match coded {
        Some((coded, _)) => (coded, coding),
        None => (text.into(), None),
    })
}

/// Every family.
fn exposition(state: &state::State) -> Exposition {
    let mut exposition = Exposition::default();
    let now = Instant::now().into_std();
    requests::requests(&mut exposition, &state.profiler.totals(now));
    requests::saturation(&mut exposition, &state.profiler.saturation());
    others(&mut exposition, state);
    exposition
}

/// Every family but those of requests by endpoint.
fn others(exposition: &mut Exposition, state: &state::State) {
    front_door(exposition, &state.traffic);
    cache(exposition, &state.cache.snapshot(), &state.traffic);
    sizing(exposition, state.cache.simulation.sizing(Instant::now().into_std()).as_ref());
    keyed(exposition, &state.keyed.snapshot());
    compression::families(exposition, &state.compression.stats.snapshot());
    queries(exposition, &state.queries);
    tasks::families(exposition, &state.tasks.figures());
    reloads(exposition, &state.reloads);
    ratelimited(exposition, &state.ratelimited);
    let build = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("revision", env!("PACECAR_REVISION")),
        ("rustc", env!("PACECAR_RUSTC")),
    ];
    exposition.gauge("build_info", "Always 1; the labels say what is running.", &build, 1);
    process::families(exposition);
}

fn front_door(exposition: &mut Exposition, traffic: &Traffic) {
    exposition.gauge("http_requests_in_flight", "Requests being answered now.", &[], traffic.in_flight.value());
    exposition.gauge("connections", "Client connections open now.", &[], traffic.connections.value());
    // Not `connections_total`: OpenMetrics would call its family as the gauge is called.
    exposition.counter(
        "connections_accepted_total",
        "Client connections accepted, those that were closed at once included.",
        traffic.connections_total.value(),
    );
    exposition.histograms(
        "http_request_body_bytes",
        "Bytes of the bodies of requests that have one, as far as they came.",
        [distribution(&[], &traffic.request_bodies.distribution())],
    );
    exposition.histograms(
        "http_response_body_bytes",
        "Bytes of the bodies of answers as they were sent, 0 for an answer without one.",
        [distribution(&[], &traffic.response_bodies.distribution())],
    );
    exposition.counter(
        "connections_refused_total",
        "Client connections closed at once since a limit was reached.",
        traffic.connections_refused.value(),
    );
    exposition.counters(
        "front_door_refused_total",
        "Requests refused by the front door itself, by the status they were answered with.",
        traffic.refused().map(|(status, count)| counter(&[("status", &status.to_string())], count)),
    );
    exposition.counter(
        "upstream_responses_total",
        "Final responses whose head the origin has sent.",
        traffic.upstream_responses.value(),
    );
    exposition.counters(
        "upstream_errors_total",
        "Requests to which the origin gave no complete answer, by reason.",
        traffic.upstream_failures().map(|(failure, count)| counter(&[("reason", failure.name())], count)),
    );
    let in_flight = traffic.upstream_in_flight.value();
    exposition.gauge("upstream_in_flight", "Requests that the origin is working on now.", &[], in_flight);
    let queued = traffic.upstream_queued.value();
    exposition.gauge("upstream_queued", "Requests that wait for their turn at the origin now.", &[], queued);
    exposition.counters(
        "upstream_refused_total",
        "Requests that the origin was spared, since it had as many as it may have, by reason.",
        traffic.upstream_refused().map(|(failure, count)| counter(&[("reason", failure.name())], count)),
    );
    exposition.counter(
        "access_log_dropped_total",
        "Lines of the access log that were dropped since too many waited, or could not be written.",
        traffic.access_log_dropped.value(),
    );
    exposition.counter(
        "panics_total",
        "Tasks that panicked; each lost one answer or connection and nothing else.",
        traffic.panics.value(),
    );
}

fn reloads(exposition: &mut Exposition, reloads: &Reloads) {
    exposition.counters(
        "config_reloads_total",
        "Times the configuration was read again, by whether it was taken up.",
        [("success", reloads.succeeded.value()), ("failure", reloads.refused.value())]
            .map(|(result, count)| counter(&[("result", result)], count)),
    );
    exposition.gauge(
        "config_last_reload_successful",
        "1 when the configuration that was read last is in force, 0 when it was refused.",
        &[],
        u64::from(reloads.last_succeeded()),
    );
    exposition.gauge(
        "config_last_reload_success_timestamp_seconds",
        "When a configuration was last taken up, in seconds since 1970.",
        &[],
        reloads.last_success_seconds(),
    );
}

fn ratelimited(exposition: &mut Exposition, ratelimited: &Ratelimited) {
    exposition.counters(
        "ratelimited_total",
        "Requests to the admin port that were refused since their client had sent too many, by policy.",
        ratelimited.values().map(|(policy, count)| counter(&[("policy", policy)], count)),
    );
}

fn queries(exposition: &mut Exposition, queries: &query::Observer) {
    let sources = queries.sources();
    exposition.counters(
        "query_calls_total",
        "Database queries that were told of, by their source.",
        query::Source::ALL
            .iter()
            .map(|source| counter(&[("source", source.name())], sources.queries[*source as usize])),
    );
    let spans = [
        ("taken", sources.spans),
        ("rejected", sources.rejected),
        ("duplicate", sources.duplicates),
        ("late", sources.late),
    ];
    exposition.counters(
        "query_spans_total",
        "Spans that came, by what became of them; duplicate and late ones are among those that were taken.",
        spans.map(|(result, count)| counter(&[("result", result)], count)),
    );
    exposition.counter(
        "query_server_timings_total",
        "Answers of the app that say in Server-Timing how long its database took.",
        sources.server_timings,
    );
    let (explains, failures) = queries.explains();
    exposition.counters(
        "query_explained_total",
        "Queries that PostgreSQL was asked to explain, by what its answer means.",
        Verdict::NAMES.iter().zip(explains).map(|(verdict, count)| counter(&[("verdict", verdict)], count)),
    );
    exposition.counter(
        "query_explain_failures_total",
        "How often the database did not answer when a query was to be explained.",
        failures,
    );
}

fn cache(exposition: &mut Exposition, snapshot: &cache::Snapshot, traffic: &Traffic) {
    exposition.counters(
        "cache_requests_total",
        "Requests by how they were answered, one result per request.",
        snapshot.total.outcomes.iter().map(|(outcome, count)| counter(&[("result", Outcome::name(*outcome))], *count)),
    );
    exposition.counters(
        "cache_bypassed_total",
        "Requests that the cache took no part in, by reason.",
        snapshot.total.bypasses.iter().map(|(why, count)| counter(&[("reason", Bypass::name(*why))], *count)),
    );
    let rejected = snapshot.total.skips.iter().map(|(_, count)| count).sum();
    exposition.counters(
        "cache_stores_total",
        "Responses from the origin that were stored or rejected.",
        [("stored", snapshot.total.stored), ("rejected", rejected)]
            .map(|(result, n)| counter(&[("result", result)], n)),
    );
    exposition.counters(
        "cache_rejected_total",
        "Responses that were not stored, by reason.",
        snapshot.total.skips.iter().map(|(why, count)| counter(&[("reason", Skip::name(*why))], *count)),
    );
    exposition.counters(
        "cache_evictions_total",
        "Responses that left the store, by reason.",
        snapshot.evictions.iter().map(|(why, count)| counter(&[("reason", Evicted::name(*why))], *count)),
    );
    exposition.counters(
        "cache_purges_total",
        "Purges, by what they named and whether they dropped it or declared it stale.",
        purge::Mode::ALL.iter().flat_map(|mode| {
            snapshot
                .purged(*mode)
                .into_iter()
                .map(|(kind, count)| counter(&[("kind", purge::Kind::name(kind)), ("mode", mode.name())], count))
        }),
    );
    exposition.histograms(
        "cache_lock_wait_seconds",
        "Seconds that requests waited for the head of what another request was fetching already.",
        [distribution(&[], &traffic.cache_lock_waits.distribution())],
    );
    exposition.counters(
        "cache_route_requests_total",
        "Requests of each route of the configuration by how they were answered.",
        snapshot.routes.iter().flat_map(|(route, figures)| {
            let series = |(outcome, count): &(Outcome, u64)| {
                counter(&[("route", route), ("result", Outcome::name(*outcome))], *count)
            };
            figures.outcomes.iter().map(series).collect::<Vec<_>>()
        }),
    );
    verified(exposition, snapshot);
    exposition.gauge("cache_entries", "Responses held now.", &[], snapshot.entries);
    exposition.gauge("cache_bytes", "Bytes held now, bookkeeping included.", &[], snapshot.bytes);
    exposition.gauge("cache_capacity_bytes", "Bytes that may be held.", &[], snapshot.max_bytes);
}

/// Routes of which nothing was compared are left out; an empty name stands for requests that no route matches.
fn verified(exposition: &mut Exposition, snapshot: &cache::Snapshot) {
    let routes = snapshot.routes.iter().map(|(route, figures)| (&**route, figures));
    let compared: Vec<_> = [("", &snapshot.unrouted)]
        .into_iter()
        .chain(routes)
        .filter(|(_, figures)| figures.verified.iter().any(|(_, count)| *count > 0))
        .collect();
    exposition.counters(
        "cache_verified_total",
        "Fresh answers that were compared with what the origin answers meanwhile, by route of the configuration and result.",
        compared.iter().flat_map(|(route, figures)| {
            let series = |(result, count): &(Verified, u64)| {
                counter(&[("route", route), ("result", Verified::name(*result))], *count)
            };
            figures.verified.iter().map(series).collect::<Vec<_>>()
        }),
    );
    exposition.ratios(
        "cache_wrong_ratio",
        "Share of the fresh answers that were compared that were out of date, by route of the configuration.",
        compared
            .iter()
            .filter_map(|(route, figures)| Some(ratio(&[("route", route)], figures.wrong_percent()? / 100.0))),
    );
}

fn sizing(exposition: &mut Exposition, sizing: Option<&Sizing>) {
    let sizes = sizing.iter().flat_map(|sizing| &sizing.sizes);
    exposition.ratios(
        "cache_simulated_hit_ratio",
        "Share of the requests that the store would have answered in the last half to whole hour, were both of its bounds \
         so many times what they are.",
        sizes.map(|size| ratio(&[("size", &size.factor.to_string())], size.hit_rate_percent / 100.0)),
    );
}

fn keyed(exposition: &mut Exposition, snapshot: &keyed::Snapshot) {
    exposition.counters(
        "keyed_cache_requests_total",
        "Look-ups of the app's own values, by whether there was one.",
        [("hit", snapshot.hits), ("miss", snapshot.misses)].map(|(result, n)| counter(&[("result", result)], n)),
    );
    let rejected = snapshot.rejected.iter().map(|(_, count)| count).sum();
    exposition.counters(
        "keyed_cache_stores_total",
        "Values of the app's own that were stored or rejected.",
        [("stored", snapshot.stored), ("rejected", rejected)].map(|(result, n)| counter(&[("result", result)], n)),
    );
    exposition.counters(
        "keyed_cache_rejected_total",
        "Values of the app's own that were not stored, by reason.",
        snapshot.rejected.iter().map(|(why, count)| counter(&[("reason", Skip::name(*why))], *count)),
    );
    exposition.counters(
        "keyed_cache_evictions_total",
        "Values of the app's own that left, by reason.",
        snapshot.evictions.iter().map(|(why, count)| counter(&[("reason", Evicted::name(*why))], *count)),
    );
    exposition.gauge("keyed_cache_entries", "Values of the app's own held now.", &[], snapshot.entries);
    let help = "Bytes that values of the app's own take now, bookkeeping included.";
    exposition.gauge("keyed_cache_bytes", help, &[], snapshot.bytes);
    let help = "Bytes that values of the app's own may take.";
    exposition.gauge("keyed_cache_capacity_bytes", help, &[], snapshot.max_bytes);
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, io::Read, time::Duration};

    use super::*;
    use crate::{
        admin::fixture::{Exchange, empty_state, used_state},
        profile::Sample,
        task,
        traffic::{REFUSED_STATUSES, UpstreamFailure},
    };

    /// Everything in the text format.
    pub(super) fn text(state: &state::State) -> Result<String, prometheus::Error> {
        exposition(state).text()
    }

    /// The name and labels of each line that has a value, in order, with the value.
    pub(super) fn series(text: &str) -> Vec<(&str, f64)> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(name, value)| (name, value.parse().unwrap())).collect()
    }

    pub(super) fn value(text: &str, name: &str) -> f64 {
        let found = series(text).into_iter().find(|(found, _)| *found == name);
        found.unwrap_or_else(|| panic!("no {name} in\n{text}")).1
    }

    #[test]
    fn what_is_known_beforehand_is_there_with_0() {
        let text = text(&empty_state()).unwrap();
        let mut expected: Vec<String> = [
            "series_overflow_total",
            "profile_endpoints_evicted_total",
            "upstream_serves_at_once",
            "http_requests_in_flight",
            "connections",
            "connections_accepted_total",
            "connections_refused_total",
            "access_log_dropped_total",
            "panics_total",
            "upstream_in_flight",
            "upstream_queued",
            "upstream_responses_total",
            "cache_entries",
            "cache_bytes",
            "config_reloads_total{result=\"success\"}",
            "config_reloads_total{result=\"failure\"}",
            "config_last_reload_success_timestamp_seconds",
            "cache_stores_total{result=\"stored\"}",
            "cache_stores_total{result=\"rejected\"}",
        ]
        .map(String::from)
        .to_vec();
        for family in ["http_request_body_bytes", "http_response_body_bytes", "cache_lock_wait_seconds"] {
            let bounds: &[&str] = match family.ends_with("_bytes") {
                true => &["256", "1024", "4096", "16384", "65536", "262144", "1048576", "4194304", "16777216"],
                false => &[
                    "0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1", "2.5", "5", "7.5",
                    "10",
                ],
            };
            expected.extend(bounds.iter().chain(&["+Inf"]).map(|bound| format!("{family}_bucket{{le=\"{bound}\"}}")));
            expected.extend(["sum", "count"].map(|suffix| format!("{family}_{suffix}")));
        }
        for status in ["400", "408", "413", "414", "417", "431", "501", "505", "508"] {
            expected.push(format!("front_door_refused_total{{status=\"{status}\"}}"));
        }
        for reason in ["resolve", "connect", "connect-timeout", "tls", "timeout", "closed", "malformed"] {
            expected.push(format!("upstream_errors_total{{reason=\"{reason}\"}}"));
        }
        for reason in ["queue-full", "queue-timeout"] {
            expected.push(format!("upstream_refused_total{{reason=\"{reason}\"}}"));
        }
        for result in ["hit", "stale", "revalidated", "miss", "bypass", "collapsed"] {
            expected.push(format!("cache_requests_total{{result=\"{result}\"}}"));
        }
        for reason in ["capacity", "expired", "purged"] {
            expected.push(format!("cache_evictions_total{{reason=\"{reason}\"}}"));
        }
        for kind in ["all", "url", "tag", "group", "prefix", "pattern"] {
            let purges = |mode| format!("cache_purges_total{{kind=\"{kind}\",mode=\"{mode}\"}}");
            expected.extend(["hard", "soft"].map(purges));
        }
        expected.extend(Skip::ALL.iter().map(|why| format!("cache_rejected_total{{reason=\"{}\"}}", why.name())));
        expected.extend(Bypass::ALL.iter().map(|why| format!("cache_bypassed_total{{reason=\"{}\"}}", why.name())));
        for result in ["requests_total{result=\"hit\"}", "requests_total{result=\"miss\"}", "entries", "bytes"] {
            expected.push(format!("keyed_cache_{result}"));
        }
        for result in ["stored", "rejected"] {
            expected.push(format!("keyed_cache_stores_total{{result=\"{result}\"}}"));
        }
        for reason in ["too-large", "no-room"] {
            expected.push(format!("keyed_cache_rejected_total{{reason=\"{reason}\"}}"));
        }
        for reason in ["capacity", "expired", "purged"] {
            expected.push(format!("keyed_cache_evictions_total{{reason=\"{reason}\"}}"));
        }
        for source in ["otlp", "json"] {
            expected.push(format!("query_calls_total{{source=\"{source}\"}}"));
        }
        for result in ["taken", "rejected", "duplicate", "late"] {
            expected.push(format!("query_spans_total{{result=\"{result}\"}}"));
        }
        expected.push("query_server_timings_total".into());
        for verdict in Verdict::NAMES {
            expected.push(format!("query_explained_total{{verdict=\"{verdict}\"}}"));
        }
        expected.push("query_explain_failures_total".into());
        expected.extend(["pending", "running"].map(|status| format!("tasks{{status=\"{status}\"}}")));
        for kind in task::Kind::ALL.map(task::Kind::word) {
            let ended = |status| format!("tasks_finished_total{{kind=\"{kind}\",status=\"{status}\"}}");
            expected.extend(["completed", "failed", "cancelled"].map(ended));
        }
        expected.extend(task::Reason::ALL.map(|why| format!("tasks_failed_total{{reason=\"{}\"}}", why.word())));
        for family in ["task_queue_seconds", "task_execution_seconds"] {
            let bounds = "0.1 0.25 0.5 1 2.5 5 10 30 60 120 300 600 1800 3600 +Inf".split(' ');
            expected.extend(bounds.map(|bound| format!("{family}_bucket{{le=\"{bound}\"}}")));
            expected.extend(["sum", "count"].map(|suffix| format!("{family}_{suffix}")));
        }
        expected.extend(["task_result_bytes", "task_results_dropped_total"].map(String::from));
        for policy in crate::admin::policies() {
            expected.push(format!("ratelimited_total{{policy=\"{policy}\"}}"));
        }
        for name in &expected {
            assert_eq!(value(&text, &format!("pacecar_{name}")), 0.0, "{name}");
        }
        assert_eq!(value(&text, "pacecar_cache_capacity_bytes"), f64::from(256 << 20));
        assert_eq!(value(&text, "pacecar_keyed_cache_capacity_bytes"), f64::from(32 << 20));
        assert_eq!(value(&text, "pacecar_config_last_reload_successful"), 1.0);
        assert_eq!(value(&text, "pacecar_tasks_store_up"), 1.0);
        let of_others = |name: &str| name.starts_with("pacecar_compression_") || name.starts_with("process_");
        let named = series(&text).into_iter().filter(|(name, _)| !of_others(name)).count();
        assert_eq!(named, expected.len() + 5, "a series that no line above names:\n{text}");
    }

    #[test]
    fn the_build_is_told() {
        let text = text(&empty_state()).unwrap();
        let line = text.lines().find(|line| line.starts_with("pacecar_build_info{")).unwrap();
        let (version, revision, rustc) = (env!("CARGO_PKG_VERSION"), env!("PACECAR_REVISION"), env!("PACECAR_RUSTC"));
        let labels = format!("version=\"{version}\",revision=\"{revision}\",rustc=\"{rustc}\"");
        assert_eq!(line, format!("pacecar_build_info{{{labels}}} 1"));
        assert!(revision == "unknown" || revision.bytes().all(|byte| byte.is_ascii_hexdigit()), "{revision}");
        assert!(rustc.split('.').count() == 3, "{rustc}");
    }

    /// The table of the module's documentation: prefixes of names, and the lines that their families may have.
    const MOST: [(&[&str], usize); 9] = [
        (&["connections", "http_", "upstream_", "front_door_", "access_log_", "panics"], 100),
        (&["cache_"], 120),
        (&["keyed_cache_"], 35),
        (&["compression_"], 85),
        (&["query_"], 30),
        (&["task_", "tasks"], 85),
        (&["config_", "build_"], 20),
        (&["ratelimited"], 30),
        (&["process_"], 25),
    ];

    #[test]
    fn no_traffic_makes_more_lines_than_the_table_says() {
        let state = used_state();
        REFUSED_STATUSES.iter().for_each(|status| state.traffic.refuse(*status));
        UpstreamFailure::ALL.iter().for_each(|failure| state.traffic.upstream_failed(*failure));
        for bytes in [0, 1 << 30] {
            state.traffic.request_bodies.add(bytes);
            state.traffic.response_bodies.add(bytes);
            state.traffic.cache_lock_waits.add(Duration::from_secs(bytes));
        }
        let lines = |state: &state::State| {
            let mut exposition = Exposition::default();
            others(&mut exposition, state);
            exposition.openmetrics()
        };
        let (before, after) = (lines(&empty_state()), lines(&state));
        assert_eq!(before.lines().count(), after.lines().count(), "traffic makes no series");
        let mut left = vec![];
        let mut counts = [0; MOST.len()];
        for line in after.lines().filter(|line| *line != "# EOF") {
            let name = line.strip_prefix("# ").and_then(|line| line.split(' ').nth(1)).unwrap_or(line);
            let name = name.strip_prefix("pacecar_").unwrap_or(name);
            match MOST.iter().position(|(prefixes, _)| prefixes.iter().any(|prefix| name.starts_with(prefix))) {
                Some(group) => counts[group] += 1,
                None => left.push(line),
            }
        }
        assert_eq!(left, [""; 0], "lines of no group");
        for ((prefixes, most), count) in MOST.iter().zip(counts) {
            assert!(count <= *most, "{count} lines of {prefixes:?}, at most {most} by the table");
        }
        assert!(MOST.iter().map(|(_, most)| most).sum::<usize>() <= 535);
    }

    /// Names as a hostile client would like endpoints to have.
    fn hostile() -> Exposition {
        let mut exposition = exposition(&used_state());
        let names = [
            "/a\\b\"c\nd",
            "/nul\0in it",
            "/\u{202e}sdrawkcab",
            "/} 1\n# EOF\npacecar_panics_total 9",
            "/\r\u{2028}\u{85}",
            "\\",
            &format!("/{}", "8k".repeat(4 << 10)),
        ];
        let series = names.map(|name| counter(&[("route", name)], 1));
        exposition.counters("hostile_total", "Names that no path is folded into, but a template may say.", series);
        exposition
    }

    /// The grammar of the text format as far as we use it, and the rules that scrapers check.
    #[test]
    fn every_line_is_as_the_text_format_has_it() {
        let text = hostile().text().unwrap();
        let mut checked = Checked::default();
        let mut lines = text.split_terminator('\n');
        while let Some(line) = lines.next() {
            let Some(help) = line.strip_prefix("# HELP ") else {
                checked.sample(line);
                continue;
            };
            let (name, help) = help.split_once(' ').unwrap();
            assert!(help.ends_with('.'), "{line}");
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} {kind}");
            checked.family(name, kind);
        }
        assert!(text.ends_with('\n'));
        assert!(text.contains(r#"route="/a\\b\"c\nd""#), "a name from traffic is escaped");
    }

    /// The same for OpenMetrics.
    #[test]
    fn every_line_is_as_openmetrics_has_it() {
        let text = hostile().openmetrics();
        let mut checked = Checked::default();
        let mut lines = text.strip_suffix("# EOF\n").expect("its end").split_terminator('\n').peekable();
        while let Some(line) = lines.next() {
            let Some(of_type) = line.strip_prefix("# TYPE ") else {
                checked.sample(line);
                continue;
            };
            let (name, kind) = of_type.split_once(' ').unwrap();
            assert!(!name.ends_with("_total"), "{line}");
            let unit = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(&format!("_{unit}")));
            if let Some(unit) = unit {
                assert_eq!(lines.next(), Some(&*format!("# UNIT {name} {unit}")), "{line}");
            }
            let help = lines.next().unwrap().strip_prefix(&format!("# HELP {name} ")).unwrap();
            assert!(help.ends_with('.') && !help.replace("\\\"", "").contains('"'), "{help}");
            checked.family(name, kind);
        }
        assert!(text.contains(r#"route="/a\\b\"c\nd""#), "a name from traffic is escaped");
    }

    /// What both formats ask for.
    #[derive(Default)]
    struct Checked {
        family: String,
        kind: String,
        families: HashSet<String>,
        series: HashSet<String>,
    }

    impl Checked {
        fn family(&mut self, name: &str, kind: &str) {
            assert!(name.starts_with("pacecar_") || name.starts_with("process_"), "{name}");
            assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_')), "{name}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{name} {kind}");
            assert!(self.families.insert(name.to_owned()), "{name} is there twice");
            (self.family, self.kind) = (name.into(), kind.into());
        }

        fn sample(&mut self, line: &str) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap();
            assert!(self.series.insert(series.to_owned()), "{series} is there twice");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let (family, suffix) = match self.kind.as_str() {
                "histogram" => name.rsplit_once('_').unwrap(),
                "counter" if !self.family.ends_with("_total") => (name.strip_suffix("_total").unwrap(), ""),
                _ => (name, ""),
            };
            assert!(family == self.family && ["", "bucket", "sum", "count"].contains(&suffix), "{line}");
            let mut rest = labels.strip_suffix('}').expect(line);
            while !rest.is_empty() {
                let (name, value) = rest.split_once("=\"").expect(line);
                assert!(name.bytes().all(|byte| byte.is_ascii_lowercase()), "{line}");
                rest = after_quote(value).unwrap_or_else(|| panic!("no end of {name} in {line}"));
                rest = rest.strip_prefix(',').unwrap_or(rest);
            }
        }
    }

    /// What stands behind a label's value. Only three characters can be escaped.
    fn after_quote(value: &str) -> Option<&str> {
        let mut chars = value.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return Some(&value[at + 1..]),
                '\\' => assert!(matches!(chars.next()?.1, '\\' | '"' | 'n'), "{value}"),
                _ => {}
            }
        }
        None
    }

    /// An answer with these fields in the request, and its body without a coding.
    async fn answer(fields: &[(&str, &str)]) -> (HeaderMap, String) {
        let request =
            fields.iter().fold(axum::http::Request::builder(), |request, (name, value)| request.header(*name, *value));
        let request = request.uri("/metrics").header("host", "localhost").body(axum::body::Body::empty()).unwrap();
        let answer = tower::ServiceExt::oneshot(
            crate::admin::router::router(used_state(), crate::admin::fixture::guard()),
            request,
        )
        .await
        .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let (head, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let mut text = String::new();
        match head.headers.contains_key(CONTENT_ENCODING) {
            true => flate2::read::GzDecoder::new(&*body).read_to_string(&mut text).unwrap(),
            false => (&*body).read_to_string(&mut text).unwrap(),
        };
        (head.headers, text)
    }

    #[tokio::test]
    async fn format_and_coding_are_what_the_client_takes() {
        let openmetrics = ("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
        let gzip = ("accept-encoding", "gzip");
        for (fields, is_openmetrics, is_coded) in [
            (&[][..], false, false),
            (&[openmetrics], true, false),
            (&[gzip], false, true),
            (&[openmetrics, gzip], true, true),
            (&[("accept", "image/png"), ("accept-encoding", "br")], false, false),
            (&[("accept-encoding", "gzip;q=0, identity;q=0")], false, false),
        ] {
            let (head, text) = answer(fields).await;
            let kind = match is_openmetrics {
                true => "application/openmetrics-text; version=1.0.0; charset=utf-8",
                false => "text/plain; version=0.0.4; charset=utf-8",
            };
            assert_eq!(head[CONTENT_TYPE], kind, "{fields:?}");
            assert_eq!(text.ends_with("# EOF\n"), is_openmetrics, "{fields:?}");
            assert_eq!(head.get(CONTENT_ENCODING).is_some_and(|coding| coding == "gzip"), is_coded, "{fields:?}");
            assert_eq!(head[VARY], "Accept, Accept-Encoding", "{fields:?}");
            assert_eq!(head["cache-control"], "no-store", "{fields:?}");
            assert!(text.contains("\npacecar_cache_requests_total{result=\"hit\"} 2\n"), "{text}");
        }
    }

    #[tokio::test]
    async fn head_has_no_body() {
        // The figures of the process change, so that the length of one answer is not that of the next.
        let head = Exchange::of("HEAD", "/metrics").with(&empty_state()).await;
        assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""), "{head:?}");
        assert!(head.header("content-length").is_some_and(|length| length.parse::<u32>().unwrap() > 1000), "{head:?}");
    }

    #[test]
    fn bodies_and_waits_are_in_their_buckets() {
        let state = empty_state();
        state.traffic.request_bodies.add(300);
        state.traffic.response_bodies.add(0);
        state.traffic.cache_lock_waits.add(Duration::from_millis(60));
        let text = text(&state).unwrap();
        for (name, expected) in [
            ("http_request_body_bytes_bucket{le=\"256\"}", 0.0),
            ("http_request_body_bytes_bucket{le=\"1024\"}", 1.0),
            ("http_request_body_bytes_sum", 300.0),
            ("http_response_body_bytes_bucket{le=\"256\"}", 1.0),
            ("cache_lock_wait_seconds_bucket{le=\"0.05\"}", 0.0),
            ("cache_lock_wait_seconds_bucket{le=\"0.075\"}", 1.0),
            ("cache_lock_wait_seconds_sum", 0.06),
            ("cache_lock_wait_seconds_count", 1.0),
        ] {
            assert_eq!(value(&text, &format!("pacecar_{name}")), expected, "{name}");
        }
    }

    #[test]
    fn requests_are_there_by_route_method_and_status() {
        let text = text(&used_state()).unwrap();
        let of = |labels: &str| value(&text, &format!("pacecar_http_requests_total{{{labels}}}"));
        assert_eq!(of(r#"route="/users/{id}",method="GET",status="200""#), 3.0);
        assert_eq!(of(r#"route="/users/{id}",method="GET",status="503""#), 1.0);
        assert_eq!(of(r#"route="/orders",method="POST",status="201""#), 1.0);
    }

    #[test]
    fn durations_are_cumulative_and_leave_aborted_requests_out() {
        let text = text(&used_state()).unwrap();
        let labels = r#"route="/users/{id}",method="GET""#;
        let at =
            |le: &str| value(&text, &format!("pacecar_http_request_duration_seconds_bucket{{{labels},le=\"{le}\"}}"));
        let counts = ["0.005", "0.01", "0.025", "0.05", "0.5", "0.75", "1", "10", "+Inf"].map(at);
        assert_eq!(counts, [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0]);
        assert_eq!(value(&text, &format!("pacecar_http_request_duration_seconds_count{{{labels}}}")), 3.0);
        assert_eq!(value(&text, &format!("pacecar_http_request_duration_seconds_sum{{{labels}}}")), 0.842);
    }

    #[test]
    fn the_origins_durations_are_by_route_alone() {
        let state = used_state();
        let post = Sample { method: "POST", ..Sample::of("/users/9", Duration::from_millis(9)) };
        state.profiler.record(post.asked(Duration::from_millis(8)));
        let text = text(&state).unwrap();
        let count = "pacecar_upstream_request_duration_seconds_count{route=\"/users/{id}\"}";
        assert_eq!(value(&text, count), 3.0);
    }

    #[test]
    fn the_front_door_is_shown_as_it_counts() {
        let state = empty_state();
        state.traffic.refuse(431);
        state.traffic.upstream_failed(UpstreamFailure::ConnectTimeout);
        state.traffic.upstream_failed(UpstreamFailure::QueueFull);
        state.traffic.panics.add();
        state.traffic.connections_total.add();
        let _open = state.traffic.connections.enter();
        let _busy = state.traffic.in_flight.enter();
        let _at_the_origin = state.traffic.upstream_in_flight.enter();
        let _waiting = state.traffic.upstream_queued.enter();
        let text = text(&state).unwrap();
        for name in [
            "front_door_refused_total{status=\"431\"}",
            "upstream_errors_total{reason=\"connect-timeout\"}",
            "upstream_refused_total{reason=\"queue-full\"}",
            "upstream_in_flight",
            "upstream_queued",
            "panics_total",
            "connections_accepted_total",
            "connections",
            "http_requests_in_flight",
        ] {
            assert_eq!(value(&text, &format!("pacecar_{name}")), 1.0, "{name}");
        }
    }

    #[test]
    fn the_results_of_the_cache_add_up() {
        let text = text(&used_state()).unwrap();
        assert_eq!(value(&text, "pacecar_cache_stores_total{result=\"rejected\"}"), 2.0);
        assert_eq!(value(&text, "pacecar_cache_rejected_total{reason=\"private\"}"), 1.0);
        let results = series(&text).into_iter().filter(|(name, _)| name.starts_with("pacecar_cache_requests_total"));
        assert_eq!(results.map(|(_, count)| count).sum::<f64>(), 6.0);
    }

    #[test]
    fn wrong_answers_are_shown_by_route_where_any_were_compared() {
        let state = empty_state();
        let (unrouted, shop) = (state.cache.stats.of_route(None), state.cache.stats.of_route(Some("shop")));
        state.cache.stats.of_route(Some("untouched"));
        (0..3).for_each(|_| unrouted.verified(Verified::Same));
        unrouted.verified(Verified::Wrong);
        shop.verified(Verified::Failed);
        let text = text(&state).unwrap();
        for (name, expected) in [
            ("cache_verified_total{route=\"\",result=\"same\"}", 3.0),
            ("cache_verified_total{route=\"\",result=\"wrong\"}", 1.0),
            ("cache_verified_total{route=\"shop\",result=\"failed\"}", 1.0),
            ("cache_wrong_ratio{route=\"\"}", 0.25),
        ] {
            assert_eq!(value(&text, &format!("pacecar_{name}")), expected, "{name}");
        }
        let ratios = series(&text).into_iter().filter(|(name, _)| name.starts_with("pacecar_cache_wrong_ratio"));
        assert_eq!(ratios.count(), 1, "{text}");
        assert!(!text.contains("route=\"untouched\",result=\"same\""), "{text}");
    }

    #[test]
    fn the_keyed_cache_is_shown_as_it_counts() {
        let text = text(&used_state()).unwrap();
        for (name, expected) in [
            ("requests_total{result=\"hit\"}", 3.0),
            ("requests_total{result=\"miss\"}", 1.0),
            ("stores_total{result=\"stored\"}", 1.0),
            ("stores_total{result=\"rejected\"}", 1.0),
            ("rejected_total{reason=\"too-large\"}", 1.0),
            ("evictions_total{reason=\"purged\"}", 1.0),
        ] {
            assert_eq!(value(&text, &format!("pacecar_keyed_cache_{name}")), expected, "{name}");
        }
    }

    #[test]
    fn names_beyond_the_bound_make_no_series() {
        let state = empty_state();
        let word = |n: u64| n.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect::<String>();
        for n in 0..20_000 {
            for method in ["GET", "POST", "PUT", "_OTHER"] {
                for path in [format!("/{}", word(n)), format!("/a/{}/{}", word(n / 9), word(n % 9))] {
                    let status = 200 + (n % 40) as u16;
                    let sample = Sample { method, status, ..Sample::of(&path, Duration::from_millis(1)) };
                    state.profiler.record(sample.asked(Duration::from_millis(1)));
                }
            }
        }
        let text = text(&state).unwrap();
        assert!(text.lines().count() <= 1500, "{}", text.lines().count());
        assert!(value(&text, "pacecar_series_overflow_total") > 0.0);
        let requests = series(&text).into_iter().filter(|(name, _)| name.starts_with("pacecar_http_requests_total"));
        assert!(requests.map(|(_, count)| count).sum::<f64>() > 0.0);
    }
}
