//! What the JSON looks like: typed, with the unit in the name, in a stable order.

use std::{collections::BTreeMap, time::Duration};

use serde::{Serialize, Serializer};

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
#[derive(Debug, Serialize)]
pub(super) struct CacheStats {
    #[serde(flatten)]
    requests: CacheRequests,
    entries: u64,
    max_entries: u64,
    bytes: u64,
    max_bytes: u64,
    evictions: Counts,
    stores: Stores,
    bypasses: Counts,
    purges: BTreeMap<&'static str, Counts>,
    routes: BTreeMap<String, CacheRoute>,
    keyed: Keyed,
}

/// Requests by how they were answered.
#[derive(Debug, Serialize)]
struct CacheRequests {
    hits: u64,
    misses: u64,
    stale: u64,
    revalidated: u64,
    bypassed: u64,
    collapsed: u64,
    hit_rate_percent: Option<f64>,
}

/// What the cache did with the requests of one route; reasons that never were are left out.
#[derive(Debug, Serialize)]
struct CacheRoute {
    #[serde(flatten)]
    requests: CacheRequests,
    stores: Stores,
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
            stores: Stores { stored: figures.stored, rejected },
            bypasses: Counts::of(&figures.bypasses, cache::Bypass::name).that_were(),
        }
    }
}

/// Responses that were stored, and those that were not, by reason.
#[derive(Debug, Serialize)]
struct Stores {
    stored: u64,
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
#[derive(Debug, Serialize)]
struct Keyed {
    hits: u64,
    misses: u64,
    hit_rate_percent: Option<f64>,
    entries: u64,
    max_entries: u64,
    bytes: u64,
    max_bytes: u64,
    evictions: Counts,
    stores: Stores,
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
            stores: Stores { stored: snapshot.stored, rejected: Counts::of(&snapshot.rejected, cache::Skip::name) },
        }
    }
}

/// What was removed from the keyed cache.
#[derive(Debug, Serialize)]
pub(super) struct Cleared {
    matched: u64,
    cleared: u64,
    bytes: u64,
    took_ms: f64,
}

impl Cleared {
    pub(super) fn new(cleared: &keyed::Cleared, took: Duration) -> Self {
        let keyed::Cleared { matched, cleared, bytes } = *cleared;
        Self { matched, cleared, bytes, took_ms: millis(took) }
    }
}

/// What a purge did, or would do.
#[derive(Debug, Serialize)]
pub(super) struct Purged {
    mode: &'static str,
    dry_run: bool,
    matched: u64,
    cleared: u64,
    bytes: u64,
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
