//! Snapshots that the tests of rules begin with.

use std::time::Duration;

use crate::profile::{Endpoint, Figures, Sample, Snapshot};

/// How long the figures of [`rows`] last.
pub(super) const LASTS: Duration = Duration::from_secs(600);

/// Figures of ten minutes: of each endpoint its name, its requests by GET, the time that the app takes for each, and how
/// many of them fail.
pub(super) fn rows(endpoints: &[(&str, u64, Duration, u64)]) -> Snapshot {
    let rows = endpoints.iter().map(|(name, requests, took, errors)| {
        let mut figures = Figures::default();
        for n in 0..*requests {
            let status = if n < *errors { 500 } else { 200 };
            // Clients wait longer than the app takes: rules that look at the wrong one are found out.
            let sample = Sample::of(name, *took + Duration::from_secs(5)).asked(*took);
            figures.add(&Sample { status, ..sample }, Duration::MAX);
        }
        Endpoint { endpoint: (*name).into(), method: "GET", figures }
    });
    Snapshot { lasts: LASTS, endpoints: rows.collect(), ..Snapshot::default() }
}
