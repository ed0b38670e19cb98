//! What the rules look at: snapshots, taken at one moment.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{cacheable, finding::Endpoint, marker::Change};
use crate::{cache, compress, observe, profile, query, route::Route};

/// What the rules look at. Plain data, so that a rule is a function of it and of nothing else.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// How long the process has run.
    pub uptime: Duration,
    /// The profiler's figures of the last hour.
    pub hour: profile::Snapshot,
    /// Those of the last five minutes.
    pub recent: profile::Snapshot,
    /// What the cache did in the time of [`Self::counted_for`].
    pub cache: cache::Snapshot,
    /// What coding did in the same time.
    pub compression: compress::stats::Snapshot,
    /// How long `cache` and `compression` have been counted.
    pub counted_for: Duration,
    /// The settings in force of the cache.
    pub cache_settings: Arc<cache::Settings>,
    /// The settings in force of coding.
    pub compression_settings: Arc<compress::Settings>,
    /// The routes in force.
    pub routes: Arc<Vec<Route>>,
    /// What was watched of answers that did not come from the cache.
    pub observed: observe::Report,
    /// What the hit rate would be at other sizes of the store.
    pub sizing: Option<cache::Sizing>,
    /// The hit rate that there could be, 0 to 100, where it is known.
    pub achievable_hit_rate_percent: Option<f64>,
    /// What was before and after markers, the newest first.
    pub changes: Vec<Change>,
    /// Database queries by endpoint, where they are seen.
    pub queries: Vec<QueriesPerRequest>,
    /// What is wrong with them.
    pub query_findings: Vec<query::Finding>,
    /// What the queries of `query_findings` look like, without their values.
    pub query_texts: BTreeMap<query::Fingerprint, String>,
}

impl Facts {
    /// With the hit rate that there could be: what is, what more room would add, and what would come of caching all that
    /// should be. Unknown while nothing of that was looked at.
    pub fn with_what_could_be(self) -> Self {
        let count = |used| self.hour.endpoints.iter().map(|row| row.figures.cache(used)).sum::<u64>() as f64;
        let (hits, misses) = (count(profile::CacheUse::Hit), count(profile::CacheUse::Miss));
        let is_known = self.sizing.is_some() || !self.observed.endpoints.is_empty();
        let best = is_known.then(|| {
            let room = self.sizing.as_ref().map_or(0.0, |sizing| {
                let [_, real, _, four] = &sizing.sizes;
                (four.hit_rate_percent - real.hit_rate_percent).max(0.0)
            });
            // Of the misses, those that were not stored are among the answers that were watched.
            let (stored, skips) = (&self.cache.total.stored, &self.cache.total.skips);
            let (stored, skipped) = (*stored as f64, skips.iter().map(|(_, count)| *count).sum::<u64>() as f64);
            let misses = misses * if skipped > 0.0 { stored / (stored + skipped) } else { 1.0 };
            let watched: u64 = self.observed.endpoints.iter().map(|watched| watched.figures.answers).sum();
            let all = hits + misses + watched as f64;
            ((hits + cacheable::gained(&self)) * 100.0 / all.max(1.0) + room).min(100.0)
        });
        Self { achievable_hit_rate_percent: best, ..self }
    }
}

/// How many database queries the requests of an endpoint took, those whose queries are all known.
#[derive(Clone, Debug, PartialEq)]
pub struct QueriesPerRequest {
    /// Which one.
    pub endpoint: Endpoint,
    /// Requests whose queries are known.
    pub requests: u64,
    /// Queries per request on average.
    pub avg: f64,
    /// The most that one took.
    pub max: u64,
}

/// The endpoint of a row of the profiler.
pub(super) fn endpoint_of(row: &profile::Endpoint) -> Endpoint {
    Endpoint { method: row.method.into(), name: row.endpoint.to_string() }
}

/// So much a minute, if it was `amount` in this time; `None` in no time.
pub(super) fn per_minute(amount: f64, time: Duration) -> Option<f64> {
    (!time.is_zero()).then(|| amount * 60.0 / time.as_secs_f64())
}
