//! The figures for Prometheus, from the same snapshots as the JSON.
//!
//! Every set of label values that is known beforehand is there from the start, with 0, so that `rate()` sees the first
//! increase. Labels from traffic are bounded: a route is a name in the profiler's bounded table, a method is one of ten,
//! and a route has at most 17 statuses.

mod compression;

use crate::{
    cache::{self, Bypass, Evicted, Outcome, Skip, keyed, purge},
    profile::{self, Figures, Histogram},
    state::{Reloads, State},
    traffic::{Ratelimited, Traffic},
};

use super::exposition::{Exposition, counter, histogram};

/// The text format, version 0.0.4.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The status of requests whose own is not told apart; it has the form of the method's word for the same.
const OTHER_STATUS: &str = "_OTHER";

/// Everything in the text format.
pub(super) fn text(state: &State) -> Result<String, prometheus::Error> {
    let mut exposition = Exposition::default();
    requests(&mut exposition, &state.profiler.snapshot());
    front_door(&mut exposition, &state.traffic);
    cache(&mut exposition, &state.cache.snapshot());
    keyed(&mut exposition, &state.keyed.snapshot());
    compression::families(&mut exposition, &state.compression.stats.snapshot());
    reloads(&mut exposition, &state.reloads);
    ratelimited(&mut exposition, &state.ratelimited);
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    exposition.gauge("build_info", "Always 1; the labels say what is running.", &version, 1);
    exposition.text()
}

fn requests(exposition: &mut Exposition, snapshot: &profile::Snapshot) {
    exposition.counters(
        "http_requests_total",
        "Requests that ended, aborted ones included, by endpoint, method and the status sent.",
        snapshot.endpoints.iter().flat_map(|row| {
            by_status(&row.figures).into_iter().map(|(status, count)| {
                counter(&[("route", &row.endpoint), ("method", row.method), ("status", &status)], count)
            })
        }),
    );
    exposition.histograms(
        "http_request_duration_seconds",
        "Seconds from the first byte of a request to the last byte of its answer; aborted requests are left out.",
        snapshot
            .endpoints
            .iter()
            .map(|row| histogram(&[("route", &row.endpoint), ("method", row.method)], &row.figures.durations)),
    );
    exposition.histograms(
        "upstream_request_duration_seconds",
        "Seconds from sending a request to the origin until its response head.",
        upstream_by_route(snapshot).iter().map(|(route, durations)| histogram(&[("route", route)], durations)),
    );
    exposition.counter(
        "profile_endpoints_overflow_total",
        "Requests counted under the route _other since the table of endpoints was full.",
        snapshot.overflowed,
    );
}

fn by_status(figures: &Figures) -> Vec<(String, u64)> {
    let other = figures.statuses.other();
    let known = figures.statuses.known().into_iter().map(|(status, count)| (status.to_string(), count));
    known.chain((other > 0).then(|| (OTHER_STATUS.into(), other))).collect()
}

/// The rows are in the order of their names, so that the methods of a route are neighbours.
fn upstream_by_route(snapshot: &profile::Snapshot) -> Vec<(&str, Histogram)> {
    let mut routes: Vec<(&str, Histogram)> = Vec::new();
    for row in &snapshot.endpoints {
        match routes.last_mut() {
            Some((route, durations)) if **route == *row.endpoint => durations.merge(&row.figures.upstream),
            _ => routes.push((&row.endpoint, row.figures.upstream.clone())),
        }
    }
    routes
}

fn front_door(exposition: &mut Exposition, traffic: &Traffic) {
    exposition.gauge("http_requests_in_flight", "Requests being answered now.", &[], traffic.in_flight.value());
    exposition.gauge("connections", "Client connections open now.", &[], traffic.connections.value());
    exposition.counter("connections_total", "Client connections accepted.", traffic.connections_total.value());
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

fn cache(exposition: &mut Exposition, snapshot: &cache::Snapshot) {
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
    exposition.gauge("cache_entries", "Responses held now.", &[], snapshot.entries);
    exposition.gauge("cache_bytes", "Bytes held now, bookkeeping included.", &[], snapshot.bytes);
    exposition.gauge("cache_capacity_bytes", "Bytes that may be held.", &[], snapshot.max_bytes);
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
    use std::{collections::HashSet, sync::Arc, time::Duration};

    use super::*;
    use crate::{
        admin::fixture::{empty_state, used_state},
        profile::Sample,
        traffic::UpstreamFailure,
    };

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
            "profile_endpoints_overflow_total",
            "http_requests_in_flight",
            "connections",
            "connections_total",
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
        for policy in crate::admin::policies() {
            expected.push(format!("ratelimited_total{{policy=\"{policy}\"}}"));
        }
        for name in &expected {
            assert_eq!(value(&text, &format!("pacecar_{name}")), 0.0, "{name}");
        }
        assert_eq!(value(&text, "pacecar_cache_capacity_bytes"), f64::from(256 << 20));
        assert_eq!(value(&text, "pacecar_keyed_cache_capacity_bytes"), f64::from(32 << 20));
        assert_eq!(value(&text, "pacecar_config_last_reload_successful"), 1.0);
        let build = format!("pacecar_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
        assert_eq!(value(&text, &build), 1.0);
        let of_compression = |name: &str| name.starts_with("pacecar_compression_");
        let named = series(&text).into_iter().filter(|(name, _)| !of_compression(name)).count();
        assert_eq!(named, expected.len() + 4, "a series that no line above names:\n{text}");
    }

    /// The grammar of the format as far as we use it, and the rules that scrapers check.
    #[test]
    fn every_line_is_as_the_format_has_it() {
        let state = used_state();
        state.profiler.record(Sample::of("/a\\b\"c\nd", Duration::from_millis(1)));
        let text = text(&state).unwrap();
        assert!(text.ends_with('\n'));
        let (mut family, mut families, mut seen) = (String::new(), HashSet::new(), HashSet::new());
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                assert!(name.starts_with("pacecar_") && help.ends_with('.'), "{line}");
                let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{name} {kind}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "{name} {kind}");
                assert!(families.insert(name.to_owned()), "{name} is there twice");
                family = name.into();
                continue;
            }
            let (series, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap();
            assert!(seen.insert(series.to_owned()), "{series} is there twice");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            assert!(name == family || base == Some(&family), "{line} is not of {family}");
            assert!(labels.ends_with('}') && (labels == "}" || labels.ends_with("\"}")), "{line}");
        }
        assert!(text.contains(r#"route="/a\\b\"c\nd""#), "a name from traffic is escaped");
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
        let post = Sample { method: http::Method::POST, ..Sample::of("/users/{id}", Duration::from_millis(9)) };
        state.profiler.record(Sample { upstream_first_byte: Some(Duration::from_millis(8)), ..post });
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
            "connections_total",
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
        let lines = |state: &Arc<State>| text(state).unwrap().lines().count();
        for n in 0..510 {
            state.profiler.record(Sample::of(&format!("/scan/{n}"), Duration::from_millis(1)));
        }
        let before = lines(&state);
        for n in 510..5000 {
            state.profiler.record(Sample::of(&format!("/scan/{n}"), Duration::from_millis(1)));
        }
        assert_eq!(lines(&state), before);
        let text = text(&state).unwrap();
        assert_eq!(value(&text, "pacecar_profile_endpoints_overflow_total"), 4500.0);
        let other = "pacecar_http_requests_total{route=\"_other\",method=\"GET\",status=\"200\"}";
        assert_eq!(value(&text, other), 4500.0);
    }
}
