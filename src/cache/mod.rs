//! The shared cache of RFC 9111: what may be stored, what may be reused, why not, and the store itself.

pub mod entry;
pub mod freshness;
pub mod key;
pub mod keyed;
pub mod policy;
pub mod stats;
pub mod status;
pub mod store;

#[cfg(test)]
mod policy_tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::Bytes;

use crate::{
    header::{RequestHead, ResponseHead},
    route::Policy,
};

pub use entry::{Entry, Selecting};
pub use key::Key;
pub use policy::{Asker, Storable};
pub use stats::{Bypass, Evicted, Outcome, Skip, Snapshot, Stats};

/// What the cache may do and how much it may hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Bytes that stored responses may take, their heads, keys and bookkeeping included.
    pub max_bytes: u64,
    /// Stored responses at most. Default 100 000.
    pub max_entries: u64,
    /// A larger body is passed on and not stored. Default 8 MiB.
    pub max_object_bytes: u64,
    /// Freshness of a storable answer whose origin says nothing about it. Default 0: not stored.
    pub default_ttl: Duration,
    /// A request that waited this long for another one's fetch asks the origin itself. Default 5 s.
    pub lock_timeout: Duration,
    /// For this long an uncacheable URL is not tried again, so that its requests do not wait for each other. Default 10 s.
    pub uncacheable_ttl: Duration,
    /// Cookies that do not make a request personal; a final `*` stands for any ending.
    pub ignore_cookies: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            max_entries: 100_000,
            max_object_bytes: 8 << 20,
            default_ttl: Duration::ZERO,
            lock_timeout: Duration::from_secs(5),
            uncacheable_ttl: Duration::from_secs(10),
            ignore_cookies: [
                "_ga*", "_gid", "_gat*", "_gcl_*", "_fbp", "_fbc", "_hj*", "_pk_*", "_clck", "_clsk", "__utm*",
            ]
            .map(String::from)
            .to_vec(),
        }
    }
}

/// What the cache has for a request.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// A fresh response.
    Fresh(Arc<Entry>),
    /// The origin is to be asked, and the answer shared by all who ask for the same. Says why.
    Miss(Forward),
    /// The origin is to be asked for this request alone.
    Bypass(Bypass),
}

/// Why a request goes to the origin although the cache takes part (RFC 9211 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// Nothing is stored for the URL.
    UriMiss,
    /// What is stored was chosen by other field values.
    VaryMiss,
    /// What is stored is stale.
    Stale,
}

/// The cache: its store, its rules and its counters.
#[derive(Debug)]
pub struct Cache {
    /// What it did since the start.
    pub stats: Stats,
    settings: ArcSwap<Settings>,
    store: store::Store,
}

impl Cache {
    /// An empty cache.
    pub fn new(settings: Settings) -> Self {
        Self { stats: Stats::default(), store: store::Store::new(&settings), settings: ArcSwap::from_pointee(settings) }
    }

    /// What it may do.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Takes up other rules; what is stored stays. The bounds of the store are those it was made with.
    pub fn reload(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// Who asks, as far as sharing is concerned.
    pub fn asker(&self, request: &RequestHead, policy: &Policy) -> Asker {
        Asker::of(request, policy, &self.settings.load())
    }

    /// What is there for a request that [`policy::admit`] let in.
    pub fn lookup(&self, key: &Key, request: &RequestHead, asker: Asker, now: Instant) -> Lookup {
        let Some(resource) = self.store.get(key) else { return self.absent(request, Forward::UriMiss) };
        let forward = match resource.select(request, &self.settings.load().ignore_cookies) {
            Some(entry) if entry.is_fresh(now) => {
                return match entry.shared.admits(asker) {
                    Ok(()) => Lookup::Fresh(entry.clone()),
                    Err(why) => Lookup::Bypass(why),
                };
            }
            Some(_) => Forward::Stale,
            None if resource.entries() > 0 => Forward::VaryMiss,
            None => Forward::UriMiss,
        };
        if resource.is_uncacheable(asker.is_identified(), now) {
            return Lookup::Bypass(Bypass::HitForMiss);
        }
        self.absent(request, forward)
    }

    /// HEAD is answered from a stored GET, but its own answer is not stored: it has no body to give to others.
    fn absent(&self, request: &RequestHead, forward: Forward) -> Lookup {
        if request.method == http::Method::HEAD { Lookup::Bypass(Bypass::Head) } else { Lookup::Miss(forward) }
    }

    /// The field values that would choose among the variants known of a key.
    pub fn selecting(&self, key: &Key, request: &RequestHead) -> Selecting {
        let resource = self.store.get(key);
        resource.map(|resource| resource.selecting(request, &self.settings.load().ignore_cookies)).unwrap_or_default()
    }

    /// Stores a complete response.
    pub fn insert(
        &self,
        key: &Key,
        head: &ResponseHead,
        body: Bytes,
        selecting: Selecting,
        storable: &Storable,
        at: Instant,
    ) {
        self.store.insert(key, Entry::new(head, body, selecting, storable, at, self.store.count_entry()));
        self.stats.stored();
    }

    /// Remembers for a moment that answers to requests like this one are not cacheable, so that they do not wait for
    /// each other.
    pub fn mark_uncacheable(&self, key: &Key, asker: Asker, now: Instant) {
        self.store.mark_uncacheable(key, asker.is_identified(), now + self.settings.load().uncacheable_ttl);
    }

    /// The cache's figures now.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.stats.snapshot();
        for (why, count) in &mut snapshot.evictions {
            if *why == Evicted::Capacity {
                *count += self.store.evicted_for_room();
            }
        }
        Snapshot {
            entries: self.store.entries(),
            max_entries: self.store.max_entries(),
            bytes: self.store.bytes(),
            max_bytes: self.store.max_bytes(),
            ..snapshot
        }
    }
}
