//! What the JSON looks like: typed, with the unit in the name, in a stable order.

use std::{collections::BTreeMap, time::Duration};

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::openapi::words;
use crate::cache::{self, Outcome, keyed};

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

/// Milliseconds to the microsecond: what is beyond is noise.
pub(super) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Two decimals: what is beyond is noise.
pub(super) fn percent(share: f64) -> f64 {
    (share * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
