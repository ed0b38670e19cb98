//! What the JSON looks like: typed, with the unit in the name, in a stable order.

use std::{collections::BTreeMap, time::Duration};

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::openapi::words;
use crate::{
    cache::{self, Outcome, keyed},
    profile,
};

/// Numbers by name, shown as an object in this order.
#[derive(Debug)]
pub(super) struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    /// With the word for each.
    pub(super) fn of<T: Copy>(counts: &[(T, u64)], name: fn(T) -> &'static str) -> Self {
        Self(counts.iter().map(|(word, count)| (name(*word), *count)).collect())
    }

    /// Those that are not 0.
    fn that_were(self) -> Self {
        Self(self.0.into_iter().filter(|(_, count)| *count > 0).collect())
    }
}

impl Serialize for Counts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// What the cache did since the start, and what it holds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CacheStats {
    #[serde(flatten)]
    requests: CacheRequests,
    /// Stored responses.
    entries: u64,
    /// As many there may be.
    max_entries: u64,
    /// Bytes that they take, with keys, heads, codings and bookkeeping.
    bytes: u64,
    /// As many there may be.
    max_bytes: u64,
    #[schema(schema_with = words::evictions)]
    evictions: Counts,
    stores: Stores,
    #[schema(schema_with = words::bypasses)]
    bypasses: Counts,
    #[schema(schema_with = words::purges)]
    purges: BTreeMap<&'static str, Counts>,
    /// The figures of each route of the configuration, by its name.
    routes: BTreeMap<String, CacheRoute>,
    keyed: Keyed,
}

/// Requests by how they were answered. Each counts once, so that shares add up.
#[derive(Debug, Serialize, ToSchema)]
struct CacheRequests {
    /// From the store, fresh.
    hits: u64,
    /// From the origin.
    misses: u64,
    /// From the store, after its time, as the rules for stale answers allow.
    stale: u64,
    /// From the store, after the origin confirmed it.
    revalidated: u64,
    /// From the origin, since the cache must not take part.
    bypassed: u64,
    /// From another request's fetch.
    collapsed: u64,
    /// Share of the requests that the cache took part in which it answered, to two decimals; `null` before the first.
    #[schema(minimum = 0, maximum = 100)]
    hit_rate_percent: Option<f64>,
}

/// What the cache did with the requests of one route; reasons that never were are left out.
#[derive(Debug, Serialize, ToSchema)]
struct CacheRoute {
    #[serde(flatten)]
    requests: CacheRequests,
    stores: RouteStores,
    #[schema(schema_with = words::some_bypasses)]
    bypasses: Counts,
}

impl From<&cache::Figures> for CacheRequests {
    fn from(figures: &cache::Figures) -> Self {
        Self {
            hits: figures.outcome(Outcome::Hit),
            misses: figures.outcome(Outcome::Miss),
            stale: figures.outcome(Outcome::Stale),
            revalidated: figures.outcome(Outcome::Revalidated),
            bypassed: figures.outcome(Outcome::Bypass),
            collapsed: figures.outcome(Outcome::Collapsed),
            hit_rate_percent: figures.hit_rate_percent().map(percent),
        }
    }
}

impl From<&cache::Figures> for CacheRoute {
    fn from(figures: &cache::Figures) -> Self {
        let rejected = Counts::of(&figures.skips, cache::Skip::name).that_were();
        Self {
            requests: figures.into(),
            stores: RouteStores { stored: figures.stored, rejected },
            bypasses: Counts::of(&figures.bypasses, cache::Bypass::name).that_were(),
        }
    }
}

/// Responses that were stored, and those that were not.
#[derive(Debug, Serialize, ToSchema)]
struct Stores {
    /// How many were stored.
    stored: u64,
    #[schema(schema_with = words::rejections)]
    rejected: Counts,
}

/// The same of one route; reasons that never were are left out.
#[derive(Debug, Serialize, ToSchema)]
struct RouteStores {
    /// How many were stored.
    stored: u64,
    #[schema(schema_with = words::some_rejections)]
    rejected: Counts,
}

/// The same of the app's own values.
#[derive(Debug, Serialize, ToSchema)]
struct KeyedStores {
    /// How many were stored.
    stored: u64,
    #[schema(schema_with = words::keyed_rejections)]
    rejected: Counts,
}

impl CacheStats {
    /// Of the cache of responses and the keyed cache.
    pub(super) fn new(snapshot: &cache::Snapshot, keyed: &keyed::Snapshot) -> Self {
        Self {
            requests: (&snapshot.total).into(),
            entries: snapshot.entries,
            max_entries: snapshot.max_entries,
            bytes: snapshot.bytes,
            max_bytes: snapshot.max_bytes,
            evictions: Counts::of(&snapshot.evictions, cache::Evicted::name),
            stores: Stores {
                stored: snapshot.total.stored,
                rejected: Counts::of(&snapshot.total.skips, cache::Skip::name),
            },
            bypasses: Counts::of(&snapshot.total.bypasses, cache::Bypass::name),
            purges: cache::purge::Mode::ALL
                .iter()
                .map(|mode| (mode.name(), Counts::of(&snapshot.purged(*mode), cache::purge::Kind::name)))
                .collect(),
            routes: snapshot.routes.iter().map(|(name, figures)| (name.to_string(), figures.into())).collect(),
            keyed: keyed.into(),
        }
    }
}

/// What the keyed cache did since the start, and what it holds.
#[derive(Debug, Serialize, ToSchema)]
struct Keyed {
    /// GETs that found a value.
    hits: u64,
    /// GETs that found none.
    misses: u64,
    /// Share of the GETs that found a value, to two decimals; `null` before the first.
    #[schema(minimum = 0, maximum = 100)]
    hit_rate_percent: Option<f64>,
    /// Stored values.
    entries: u64,
    /// As many there may be.
    max_entries: u64,
    /// Bytes that they take, with keys, tags and bookkeeping.
    bytes: u64,
    /// As many there may be.
    max_bytes: u64,
    #[schema(schema_with = words::evictions)]
    evictions: Counts,
    stores: KeyedStores,
}

impl From<&keyed::Snapshot> for Keyed {
    fn from(snapshot: &keyed::Snapshot) -> Self {
        Self {
            hits: snapshot.hits,
            misses: snapshot.misses,
            hit_rate_percent: snapshot.hit_rate_percent().map(percent),
            entries: snapshot.entries,
            max_entries: snapshot.max_entries,
            bytes: snapshot.bytes,
            max_bytes: snapshot.max_bytes,
            evictions: Counts::of(&snapshot.evictions, cache::Evicted::name),
            stores: KeyedStores {
                stored: snapshot.stored,
                rejected: Counts::of(&snapshot.rejected, cache::Skip::name),
            },
        }
    }
}

/// What was removed from the keyed cache.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Cleared {
    /// Values that were meant.
    matched: u64,
    /// Of them, those that were removed.
    cleared: u64,
    /// Bytes that they took.
    bytes: u64,
    /// Milliseconds that it took, to the microsecond.
    #[schema(minimum = 0)]
    took_ms: f64,
}

impl Cleared {
    pub(super) fn new(cleared: &keyed::Cleared, took: Duration) -> Self {
        let keyed::Cleared { matched, cleared, bytes } = *cleared;
        Self { matched, cleared, bytes, took_ms: millis(took) }
    }
}

/// What a purge did, or would do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Purged {
    #[schema(schema_with = words::mode)]
    mode: &'static str,
    /// Nothing was purged: the figures say what would have been.
    dry_run: bool,
    /// Stored responses that were meant.
    matched: u64,
    /// Of them, those that were dropped.
    cleared: u64,
    /// Bytes that those took.
    bytes: u64,
    /// Milliseconds that it took, to the microsecond.
    #[schema(minimum = 0)]
    took_ms: f64,
}

impl Purged {
    pub(super) fn new(mode: cache::purge::Mode, dry_run: bool, purged: &cache::Purged, took: Duration) -> Self {
        let cache::Purged { matched, cleared, bytes } = *purged;
        Self { mode: mode.name(), dry_run, matched, cleared, bytes, took_ms: millis(took) }
    }
}

/// All endpoints together, since the start.
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    requests: u64,
    errors: u64,
    error_rate_percent: Option<f64>,
    latency_ms: Option<OverviewLatency>,
    slow_requests: u64,
    slow_rate_percent: Option<f64>,
    cache_hit_rate_percent: Option<f64>,
    endpoints: usize,
}

/// Durations of all endpoints together; the minimum and the deviation say nothing there.
#[derive(Debug, Serialize)]
struct OverviewLatency {
    avg: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

impl From<&profile::Snapshot> for Overview {
    fn from(snapshot: &profile::Snapshot) -> Self {
        let total = snapshot.total();
        Self {
            requests: total.requests,
            errors: total.errors,
            error_rate_percent: total.error_rate_percent().map(percent),
            latency_ms: total.latency.summary().map(|summary| OverviewLatency {
                avg: millis(summary.avg),
                p50: millis(summary.p50),
                p95: millis(summary.p95),
                p99: millis(summary.p99),
                max: millis(summary.max),
            }),
            slow_requests: total.slow,
            slow_rate_percent: total.slow_rate_percent().map(percent),
            cache_hit_rate_percent: total.cache_hit_rate_percent().map(percent),
            endpoints: snapshot.endpoints.len(),
        }
    }
}

/// What "slowest" is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    P50,
    P95,
    P99,
    Avg,
    Max,
    Requests,
}

impl By {
    /// Every measure with its name in the query.
    pub(super) const ALL: [(&'static str, Self); 6] = [
        ("p50", Self::P50),
        ("p95", Self::P95),
        ("p99", Self::P99),
        ("avg", Self::Avg),
        ("max", Self::Max),
        ("requests", Self::Requests),
    ];

    /// What endpoints are ordered by: nanoseconds or requests. `None`, and so last, without a sample.
    fn measure(self, requests: u64, summary: Option<&profile::Summary>) -> Option<u128> {
        let summary = || summary.copied();
        let duration = match self {
            Self::P50 => summary()?.p50,
            Self::P95 => summary()?.p95,
            Self::P99 => summary()?.p99,
            Self::Avg => summary()?.avg,
            Self::Max => summary()?.max,
            Self::Requests => return Some(requests.into()),
        };
        Some(duration.as_nanos())
    }
}

/// The slowest endpoints, and the slowest single requests.
#[derive(Debug, Serialize)]
pub(super) struct Slowest {
    endpoints: Vec<Endpoint>,
    requests: Vec<SlowRequest>,
}

/// One endpoint since the start.
#[derive(Debug, Serialize)]
struct Endpoint {
    method: &'static str,
    endpoint: String,
    requests: u64,
    errors: u64,
    latency_ms: Option<Latency>,
    cache_hit_rate_percent: Option<f64>,
}

/// Durations of one endpoint.
#[derive(Debug, Serialize)]
struct Latency {
    min: f64,
    avg: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
    stdev: f64,
}

/// One request with where its time went.
#[derive(Debug, Serialize)]
struct SlowRequest {
    method: &'static str,
    endpoint: String,
    status: u16,
    duration_ms: f64,
    upstream_first_byte_ms: Option<f64>,
    cache: &'static str,
}

impl Slowest {
    /// At most `limit` of each, slowest first; endpoints that are equal stay in the order of their names.
    pub(super) fn new(snapshot: &profile::Snapshot, limit: usize, by: By) -> Self {
        let mut ranked: Vec<_> = snapshot
            .endpoints
            .iter()
            .map(|endpoint| {
                let summary = endpoint.figures.latency.summary();
                (by.measure(endpoint.figures.requests, summary.as_ref()), endpoint, summary)
            })
            .collect();
        ranked.sort_by(|(a, ..), (b, ..)| b.cmp(a));
        Self {
            endpoints: ranked
                .into_iter()
                .take(limit)
                .map(|(_, endpoint, summary)| Endpoint::new(endpoint, summary))
                .collect(),
            requests: snapshot.slowest.iter().take(limit).map(SlowRequest::from).collect(),
        }
    }
}

impl Endpoint {
    fn new(endpoint: &profile::Endpoint, summary: Option<profile::Summary>) -> Self {
        Self {
            method: endpoint.method,
            endpoint: endpoint.endpoint.to_string(),
            requests: endpoint.figures.requests,
            errors: endpoint.figures.errors,
            latency_ms: summary.map(|summary| Latency {
                min: millis(summary.min),
                avg: millis(summary.avg),
                p50: millis(summary.p50),
                p95: millis(summary.p95),
                p99: millis(summary.p99),
                max: millis(summary.max),
                stdev: millis(summary.stdev),
            }),
            cache_hit_rate_percent: endpoint.figures.cache_hit_rate_percent().map(percent),
        }
    }
}

impl From<&profile::SlowRequest> for SlowRequest {
    fn from(request: &profile::SlowRequest) -> Self {
        Self {
            method: request.method,
            endpoint: request.endpoint.to_string(),
            status: request.status,
            duration_ms: millis(request.duration),
            upstream_first_byte_ms: request.upstream_first_byte.map(millis),
            cache: request.cache.name(),
        }
    }
}

/// Milliseconds to the microsecond: what is beyond is noise.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Two decimals: what is beyond is noise.
pub(super) fn percent(share: f64) -> f64 {
    (share * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture::used_state;

    #[test]
    fn milliseconds_are_rounded_to_the_microsecond() {
        assert_eq!(millis(Duration::from_nanos(1_234_567)), 1.235);
        assert_eq!(millis(Duration::from_nanos(499)), 0.0);
        assert_eq!(millis(Duration::from_secs(2)), 2000.0);
    }

    #[test]
    fn percentages_are_rounded_to_two_decimals() {
        assert_eq!(percent(200.0 / 3.0), 66.67);
        assert_eq!(percent(100.0), 100.0);
    }

    #[test]
    fn each_measure_orders_by_itself() {
        // Of /users/{id} three were complete: 2, 40 and 800 ms. Of /orders one: 100 ms.
        let snapshot = used_state().profiler.snapshot();
        let first = |by| Slowest::new(&snapshot, 1, by).endpoints[0].endpoint.clone();
        assert_eq!(first(By::P50), "/orders");
        for by in [By::P95, By::P99, By::Avg, By::Max, By::Requests] {
            assert_eq!(first(by), "/users/{id}", "{by:?}");
        }
    }

    #[test]
    fn an_endpoint_without_durations_is_last() {
        let state = used_state();
        let aborted = profile::Sample { aborted: true, ..profile::Sample::of("/a", Duration::from_secs(9)) };
        state.profiler.record(aborted);
        let slowest = Slowest::new(&state.profiler.snapshot(), 10, By::Max);
        let last = slowest.endpoints.last().unwrap();
        assert_eq!((last.endpoint.as_str(), last.requests), ("/a", 1));
        assert!(last.latency_ms.is_none());
    }
}
