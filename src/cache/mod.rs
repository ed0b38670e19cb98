//! The shared cache of RFC 9111: what may be stored, what may be reused, why not, and the store itself.
//!
//! - `policy` decides, purely: may the cache take part, may a response be stored, may a stored one be used.
//! - `freshness` is the arithmetic of ages and lifetimes, `key` what makes two requests the same.
//! - `entry`, `coded` and `store` hold, `purge` declares stale or gone, `stats` and `status` are the words for what was done.
//! - `sizing` says what the hit rate would be if the store were of another size.

mod coded;
pub mod entry;
pub mod freshness;
pub mod key;
pub mod keyed;
pub mod pattern;
pub mod policy;
pub mod purge;
mod remedy;
mod removal;
mod settings;
pub mod sizing;
pub mod stats;
pub mod status;
pub mod store;

#[cfg(test)]
mod coded_tests;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod flood_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod purge_tests;
#[cfg(test)]
mod update_tests;
#[cfg(test)]
mod vary_tests;

use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;

use crate::{
    header::{Fields, RequestHead, ResponseHead, coding::Coding, validator},
    route::Policy,
};

use self::{
    entry::{Parts, updated},
    freshness::Received,
    policy::{Demands, Reuse},
    purge::{Epoch, Purges},
    sizing::Simulation,
};

pub use coded::{ClientCopy, Coded, NoRoom};
pub use entry::{Entry, Selecting};
pub use key::Key;
pub use policy::{Asker, Storable};
pub use removal::Purged;
pub use settings::Settings;
pub use sizing::{Bound, Sizing};
pub use stats::{Bypass, Counts, Evicted, Figures, Outcome, Skip, Snapshot, Stale, Stats, Verified};

/// What the cache has for a request.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// A fresh response.
    Fresh(Arc<Entry>),
    /// A stale response that may be used all the same.
    Stale(Arc<Entry>, Stale),
    /// The origin is to be asked.
    Miss(Missed),
    /// The origin is to be asked for this request alone.
    Bypass(Bypass),
}

/// A request that the origin is to be asked for, and whose answer others may share.
#[derive(Clone, Debug)]
pub struct Missed {
    /// Why.
    pub why: Forward,
    /// What is stored: to be confirmed by the origin, or to stand in when it fails.
    pub stored: Option<Arc<Entry>>,
    /// Nobody else may wait for the answer, nor this request for another's: it takes the origin's own word.
    pub alone: bool,
    /// What had been purged when the request came.
    pub epoch: Epoch,
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
    /// What is stored is fresh, but the client demands more.
    Request,
}

/// The cache: its store, its rules and its counters.
#[derive(Debug)]
pub struct Cache {
    /// What it did since the start.
    pub stats: Stats,
    /// What it would do at other sizes.
    pub simulation: Simulation,
    settings: ArcSwap<Settings>,
    store: store::Store,
    purges: Purges,
}

impl Cache {
    /// An empty cache.
    pub fn new(settings: Settings) -> Self {
        Self {
            stats: Stats::default(),
            simulation: Simulation::new(&settings),
            store: store::Store::new(&settings),
            settings: ArcSwap::from_pointee(settings),
            purges: Purges::default(),
        }
    }

    /// What it may do.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// About one in so many fresh hits is to be verified; 0: none.
    pub fn verify_sample(&self) -> u64 {
        self.settings.load().verify_sample
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
        let settings = self.settings.load();
        let demands = Demands::of(request, &settings);
        match self.find(key, request, asker, &demands, &settings, now) {
            Lookup::Miss(_) | Lookup::Bypass(_) if demands.only_if_cached() => Lookup::Bypass(Bypass::OnlyIfCached),
            found => found,
        }
    }

    fn find(
        &self,
        key: &Key,
        request: &RequestHead,
        asker: Asker,
        demands: &Demands,
        settings: &Settings,
        now: Instant,
    ) -> Lookup {
        let Some(resource) = self.store.get(key) else { return self.missed(key, request, Forward::UriMiss, None) };
        let stored = resource.select(request, settings).filter(|entry| self.purges.spare(key, entry));
        let Some(entry) = stored else {
            if let Some(why) = self.known_uncacheable(&resource, asker, now) {
                return why;
            }
            // What was purged and is still held is as good as not stored.
            let is_stored = resource.variants().iter().any(|entry| self.purges.spare(key, entry));
            let forward = if is_stored { Forward::VaryMiss } else { Forward::UriMiss };
            return self.missed(key, request, forward, None);
        };
        if let Err(why) = entry.shared.admits(asker) {
            return Lookup::Bypass(why);
        }
        let reuse = policy::reuse(entry, demands, now);
        if matches!(reuse, Ok(Reuse::Fresh | Reuse::Stale(Stale::WhileRevalidate))) {
            self.simulation.hit(entry, self.purges.newest(), || self.store.weigh(key, &resource), now);
        }
        match reuse {
            Ok(Reuse::Fresh) => Lookup::Fresh(entry.clone()),
            Ok(Reuse::Stale(why)) => Lookup::Stale(entry.clone(), why),
            Err(why) => {
                if let Some(why) = self.known_uncacheable(&resource, asker, now) {
                    return why;
                }
                self.missed(key, request, why, Some(entry.clone()))
            }
        }
    }

    fn known_uncacheable(&self, resource: &entry::Resource, asker: Asker, now: Instant) -> Option<Lookup> {
        resource.uncacheable(asker.is_identified(), now).map(|_| Lookup::Bypass(Bypass::HitForMiss))
    }

    /// HEAD and a range are answered from a stored GET. What the origin answers to them is no whole body for others.
    fn missed(&self, key: &Key, request: &RequestHead, why: Forward, stored: Option<Arc<Entry>>) -> Lookup {
        if request.method == http::Method::HEAD {
            return Lookup::Bypass(Bypass::Head);
        }
        if request.has("range") {
            return Lookup::Bypass(Bypass::Range);
        }
        let alone = why == Forward::Request || stored.as_ref().is_some_and(|entry| entry.is_validated_alone());
        Lookup::Miss(Missed { why, stored, alone, epoch: self.purges.epoch(key) })
    }

    /// What is stored for a request, however old, if it is for those who ask.
    pub fn stored(&self, key: &Key, request: &RequestHead, asker: Asker) -> Option<Arc<Entry>> {
        let resource = self.store.peek(key)?;
        let entry = resource.select(request, &self.settings.load())?;
        (self.purges.spare(key, entry) && entry.shared.admits(asker).is_ok()).then(|| entry.clone())
    }

    /// What has been purged up to now, as far as it concerns a key.
    pub fn epoch(&self, key: &Key) -> Epoch {
        self.purges.epoch(key)
    }

    /// The field values that would choose among the variants known of a key.
    pub fn selecting(&self, key: &Key, request: &RequestHead) -> Selecting {
        let resource = self.store.peek(key);
        resource.map(|resource| resource.selecting(request, &self.settings.load())).unwrap_or_default()
    }

    /// The field values by which a response was selected.
    pub fn selected_by(&self, response: &ResponseHead, request: &RequestHead) -> Selecting {
        Selecting::of(response, request, &self.settings.load())
    }

    /// An entry for a complete response, not yet stored.
    pub fn entry(&self, parts: Parts<'_>) -> Entry {
        let hash = self.simulation.hash(parts.key);
        Entry::new(parts, hash, |bytes| self.store.place(bytes))
    }

    /// Stores a response.
    ///
    /// # Errors
    /// When it was purged, or its URL invalidated, since its fetch began.
    pub fn insert(&self, key: &Key, entry: Arc<Entry>, epoch: Epoch) -> Result<(), Skip> {
        let max_variants = self.settings.load().max_variants;
        let invalidated = || self.purges.epoch(key).url != epoch.url;
        if !self.purges.spare(key, &entry) || !self.store.insert(key, entry, max_variants, invalidated) {
            return Err(Skip::Purged);
        }
        Ok(())
    }

    /// Takes note of a response that a request asked the origin for and that was stored, for the simulation of other
    /// sizes.
    pub fn fetched(&self, key: &Key, entry: &Arc<Entry>, now: Instant) {
        let (weight, purged) = (self.store.weigh_with(key, entry), self.purges.newest_about(key, entry));
        self.simulation.fetched(entry, weight, purged, now);
    }

    /// Keeps a form of a stored body, so that nobody makes it again; `form` is `None` where its coding does not make it
    /// smaller.
    ///
    /// # Errors
    /// When there is no room for it beside what else is stored of the URL: then nobody is to try again.
    pub fn keep_coded(
        &self,
        key: &Key,
        entry: &Arc<Entry>,
        coding: Coding,
        form: Option<(ResponseHead, Bytes)>,
        best: bool,
    ) -> Result<Arc<Coded>, NoRoom> {
        self.store.keep_coded(key, entry, coding, form, best)
    }

    /// A stored response after the origin has confirmed it with 304 (RFC 9111 §4.3.4): its head. `None` when what the
    /// origin confirmed is another one.
    pub fn confirmed(&self, stored: &Entry, confirmed: &ResponseHead) -> Option<ResponseHead> {
        validator::identifies(confirmed, &stored.head).then(|| updated(&stored.head, confirmed))
    }

    /// Takes up what the answer to HEAD says of a stored GET (RFC 9111 §4.3.5): the same response with other fields, or
    /// another response, so that what is stored is stale. `copy` says what clients are sent of the response it makes.
    /// Returns the response before and after, where it made one.
    #[expect(clippy::too_many_arguments, reason = "a request, its answer, and what holds for both")]
    pub fn heard_of(
        &self,
        key: &Key,
        request: &RequestHead,
        asker: Asker,
        response: &ResponseHead,
        policy: &Policy,
        received: &Received,
        copy: impl FnOnce(&ResponseHead, &Bytes) -> ClientCopy,
    ) -> Option<(Arc<Entry>, Arc<Entry>)> {
        let settings = self.settings.load();
        // Before the look: what is purged after it must not come back.
        let epoch = self.purges.epoch(key);
        let stored = self.stored(key, request, asker)?;
        let same = |field: &str| match response.get(field) {
            Some(said) => stored.head.get(field) == Some(said),
            None => true,
        };
        if response.status() != stored.head.status() {
            return None;
        }
        if !["etag", "last-modified", "content-length"].iter().all(|field| same(field)) {
            stored.expire(received.at);
            return None;
        }
        // This answer may be older than the word that made it stale; that to a GET of its own is not.
        if stored.is_declared_stale() {
            return None;
        }
        let head = updated(&stored.head, response);
        let storable = policy::store(asker, &head, policy, &settings, received).ok()?;
        {
            let epoch = Epoch { rules: stored.born(), ..epoch };
            let (body, selecting) = (stored.body.clone(), stored.selecting.clone());
            let (head, storable, received, copy) = (&head, &storable, received.at, copy(&head, &body));
            let entry = self.entry(Parts { key, head, body, selecting, storable, received, epoch, copy });
            entry.check(stored.checked());
            let max_variants = settings.max_variants;
            let entry = Arc::new(entry);
            let invalidated = || self.purges.epoch(key).url != epoch.url;
            self.store.insert(key, entry.clone(), max_variants, invalidated).then_some((stored, entry))
        }
    }

    /// Remembers for a moment that answers to requests like this one are not cacheable, and why, so that they do not
    /// wait for each other.
    pub fn mark_uncacheable(&self, key: &Key, asker: Asker, why: Skip, now: Instant) {
        let until = now + self.settings.load().uncacheable_ttl;
        self.store.mark_uncacheable(key, asker.is_identified(), until, why);
        if let Some(resource) = self.store.peek(key) {
            self.simulation.marked(key, self.store.weigh(key, &resource), until, now);
        }
    }

    /// The keys of everything that is stored. Goes through the whole store.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.store.iter().map(|(key, _)| key)
    }

    /// What is stored of a key, for one who only looks.
    pub fn peek(&self, key: &Key) -> Option<Arc<entry::Resource>> {
        self.store.peek(key)
    }

    /// The cache's figures now.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.stats.snapshot();
        for (why, count) in &mut snapshot.evictions {
            if *why == Evicted::Capacity {
                *count += self.store.evicted_for_room();
            }
        }
        snapshot.entries = self.store.entries();
        snapshot.max_entries = self.store.max_entries();
        snapshot.bytes = self.store.bytes();
        snapshot.max_bytes = self.store.max_bytes();
        snapshot
    }
}
