//! What the JSON looks like: typed, with the unit in the name, in a stable order.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::openapi::words;
use crate::{
    cache::{self, Bound, Outcome, Sizing, Verified, keyed},
    state::State,
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
    verified: Verifications,
    /// What the hit rate would be at other sizes; `null` before there were enough requests in the last half hour to tell.
    sizing: Option<SizingView>,
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

/// Fresh answers from the store that were compared with what the app answered meanwhile.
#[derive(Debug, Serialize, ToSchema)]
struct Verifications {
    /// They were the same.
    same: u64,
    /// They were not: what the client was sent was out of date.
    wrong: u64,
    /// The app gave no complete answer, or an error of its own.
    failed: u64,
    /// Not to be told: it was invalidated or expired meanwhile, or came in another coding.
    unclear: u64,
    /// Share of `same` and `wrong` that were wrong, to two decimals; `null` before the first.
    #[schema(minimum = 0, maximum = 100)]
    wrong_percent: Option<f64>,
}

impl From<&cache::Figures> for Verifications {
    fn from(figures: &cache::Figures) -> Self {
        Self {
            same: figures.verified(Verified::Same),
            wrong: figures.verified(Verified::Wrong),
            failed: figures.verified(Verified::Failed),
            unclear: figures.verified(Verified::Unclear),
            wrong_percent: figures.wrong_percent().map(percent),
        }
    }
}

/// What the hit rate would be if the store were of another size, from a simulation with a sample of the URLs. It is about
/// requests that the store answered or whose answer was stored, in the last half to whole hour.
#[derive(Debug, Serialize, ToSchema)]
struct SizingView {
    /// The requests.
    requests: u64,
    /// Share of them that the store answered, as it was measured, to two decimals.
    #[schema(minimum = 0, maximum = 100)]
    measured_hit_rate_percent: f64,
    /// Half the size, the size as it is, twice, and four times that.
    sizes: Vec<SizeView>,
    /// The bound that responses leave the store for; `null` where none does.
    #[schema(schema_with = words::bound)]
    evicts: Option<&'static str>,
    /// Share of the URLs that take part.
    #[schema(minimum = 0, maximum = 100)]
    sampling_rate_percent: f64,
    /// URLs that take part and that the largest size would hold.
    sampled_keys: u64,
}

/// One size, and what it would come to.
#[derive(Debug, Serialize, ToSchema)]
struct SizeView {
    /// As a multiple of the real one; both bounds are meant.
    factor: f64,
    /// `cache.max_bytes` of it.
    max_bytes: u64,
    /// `cache.max_entries` of it.
    max_entries: u64,
    /// Share of the requests that the store would answer, to two decimals.
    #[schema(minimum = 0, maximum = 100)]
    hit_rate_percent: f64,
    /// Bytes that it would hold now.
    bytes: u64,
    /// URLs of which it would hold something now.
    entries: u64,
}

impl From<&Sizing> for SizingView {
    fn from(sizing: &Sizing) -> Self {
        let sizes = sizing.sizes.iter().map(|size| SizeView {
            factor: size.factor,
            max_bytes: size.max_bytes,
            max_entries: size.max_entries,
            hit_rate_percent: percent(size.hit_rate_percent),
            bytes: size.bytes,
            entries: size.entries,
        });
        Self {
            requests: sizing.requests,
            measured_hit_rate_percent: percent(sizing.measured_hit_rate_percent),
            sizes: sizes.collect(),
            evicts: sizing.bound.map(Bound::name),
            sampling_rate_percent: sizing.sampling_rate_percent,
            sampled_keys: sizing.sampled_keys,
        }
    }
}

/// What the cache did with the requests of one route; reasons that never were are left out.
#[derive(Debug, Serialize, ToSchema)]
struct CacheRoute {
    #[serde(flatten)]
    requests: CacheRequests,
    stores: RouteStores,
    #[schema(schema_with = words::some_bypasses)]
    bypasses: Counts,
    verified: Verifications,
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
            verified: figures.into(),
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
    pub(super) fn of(state: &State, now: Instant) -> Self {
        Self::new(&state.cache.snapshot(), &state.keyed.snapshot(), state.cache.simulation.sizing(now).as_ref())
    }

    fn new(snapshot: &cache::Snapshot, keyed: &keyed::Snapshot, sizing: Option<&Sizing>) -> Self {
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
            verified: (&snapshot.total).into(),
            sizing: sizing.map(Into::into),
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
    fn sizes_are_shown_in_their_order() {
        let size = |factor: f64| cache::sizing::Size {
            factor,
            max_bytes: (1000.0 * factor) as u64,
            max_entries: (10.0 * factor) as u64,
            hit_rate_percent: 40.0 + factor / 3.0,
            bytes: 900,
            entries: 9,
        };
        let sizing = Sizing {
            sizes: cache::sizing::FACTORS.map(size),
            requests: 1234,
            measured_hit_rate_percent: 200.0 / 3.0,
            sampling_rate_percent: 50.0,
            sampled_keys: 7,
            bound: Some(Bound::Entries),
            over: Duration::from_secs(60),
        };
        let shown = serde_json::to_value(SizingView::from(&sizing)).unwrap();
        let of = |factor: f64, max_bytes: u64, max_entries: u64, hit_rate_percent: f64| {
            serde_json::json!({
                "factor": factor, "max_bytes": max_bytes, "max_entries": max_entries,
                "hit_rate_percent": hit_rate_percent, "bytes": 900, "entries": 9,
            })
        };
        let expected = serde_json::json!({
            "requests": 1234, "measured_hit_rate_percent": 66.67, "evicts": "entries",
            "sizes": [of(0.5, 500, 5, 40.17), of(1.0, 1000, 10, 40.33), of(2.0, 2000, 20, 40.67), of(4.0, 4000, 40, 41.33)],
            "sampling_rate_percent": 50.0, "sampled_keys": 7,
        });
        assert_eq!(shown, expected);
    }

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
