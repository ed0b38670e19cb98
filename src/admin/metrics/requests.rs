//! Requests by endpoint, for Prometheus.

use prometheus::proto::Metric;

use crate::{
    admin::exposition::{Exposition, counter, histogram},
    profile::{Histogram, Saturation, Series, Totals},
};

/// The status of requests whose own is not told apart; it has the form of the method's word for the same.
const OTHER_STATUS: &str = "_OTHER";

/// The families of what was counted since the start.
pub(super) fn requests(exposition: &mut Exposition, totals: &Totals) {
    exposition.counters(
        "http_requests_total",
        "Requests that ended, aborted ones included, by endpoint, method and the status sent.",
        totals.series.iter().flat_map(|(route, method, series)| {
            by_status(series)
                .into_iter()
                .map(|(status, count)| counter(&[("route", route), ("method", method), ("status", &status)], count))
        }),
    );
    exposition.histograms(
        "http_request_duration_seconds",
        "Seconds from the first byte of a request to the last byte of its answer; aborted requests, tunnels and streams \
         of events are left out.",
        totals.series.iter().map(|(route, method, series)| {
            histogram(&[("route", route), ("method", method)], &series.durations)
        }),
    );
    exposition.histograms(
        "upstream_request_duration_seconds",
        "Seconds from sending a request to the origin until its response head.",
        upstream_by_route(totals),
    );
    exposition.counter(
        "series_overflow_total",
        "Requests counted under the route _other since their endpoint has no series of its own.",
        totals.overflowed,
    );
    exposition.counter(
        "profile_endpoints_evicted_total",
        "Endpoints that are no longer told apart since others are busier.",
        totals.evicted,
    );
}

/// What is known of how much the origin can do at once.
pub(super) fn saturation(exposition: &mut Exposition, saturation: &Saturation) {
    exposition.gauge(
        "upstream_serves_at_once",
        "Requests that the origin serves at once, as its times say; 0 while that was not seen.",
        &[],
        saturation.serves_at_once.unwrap_or(0).into(),
    );
}

fn by_status(series: &Series) -> Vec<(String, u64)> {
    let other = series.statuses.other();
    let known = series.statuses.known().into_iter().map(|(status, count)| (status.to_string(), count));
    known.chain((other > 0).then(|| (OTHER_STATUS.into(), other))).collect()
}

/// The series are in the order of their names, so that the methods of a route are neighbours.
fn upstream_by_route(totals: &Totals) -> Vec<Metric> {
    let same = |a: &Entry, b: &Entry| a.0 == b.0;
    let routes = totals.series.chunk_by(same).map(|methods| {
        let mut durations = Histogram::default();
        methods.iter().for_each(|(.., series)| durations.merge(&series.upstream));
        histogram(&[("route", &methods[0].0)], &durations)
    });
    routes.collect()
}

type Entry = (std::sync::Arc<str>, &'static str, Series);
