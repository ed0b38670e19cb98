//! Requests by endpoint, for Prometheus.

use crate::{
    admin::exposition::{Exposition, counter, histogram},
    profile::{self, Figures, Histogram},
};

/// The status of requests whose own is not told apart; it has the form of the method's word for the same.
const OTHER_STATUS: &str = "_OTHER";

/// The families of one snapshot.
pub(super) fn requests(exposition: &mut Exposition, snapshot: &profile::Snapshot) {
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
