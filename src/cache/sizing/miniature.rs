//! A store of one size in miniature.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
    time::{Duration, Instant},
};

use foldhash::fast::FixedState;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter, unsync};

use super::{Entry, Store, Weight};

/// What is to be known of a key to store it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) weight: Weight,
    /// As long it is fresh from when it is fetched.
    pub(super) fresh_for: Duration,
    /// For so long after that it is used while it is being refreshed.
    pub(super) stale_for: Duration,
    /// As long the store keeps it.
    pub(super) useful_for: Duration,
    /// The newest purge when it is fetched.
    pub(super) born: u64,
    /// The newest purge that is about it.
    pub(super) purged: u64,
}

impl Told {
    pub(super) fn of(entry: &Entry, weight: Weight, born: u64, purged: u64) -> Self {
        let terms = &entry.terms;
        let lifetime = if terms.always_validate { Duration::ZERO } else { terms.lifetime };
        Self {
            weight,
            fresh_for: lifetime.saturating_sub(terms.initial_age),
            stale_for: if terms.always_validate { Duration::ZERO } else { terms.stale_while_revalidate },
            useful_for: entry.useful_lifetime().saturating_sub(terms.initial_age),
            born,
            purged,
        }
    }
}

/// A cache of a part of the keys, and of no content.
pub(super) struct Miniature {
    cache: unsync::Cache<u64, Held, Counted, FixedState, OnEviction>,
    /// The keys that were evicted last, the oldest first. The policy remembers those that were not asked for again, to
    /// know them when they come back, but does not name them. Here some may be that came back, or twice.
    remembered: VecDeque<u64>,
    /// As many the policy remembers.
    most_remembered: usize,
    /// What one insertion evicts; empty but for its room.
    leaving: Leaving,
    /// Something was evicted for room.
    pub(super) evicted: bool,
    /// What times are counted from.
    began: Instant,
}

/// What is held of a key; times in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Held {
    weight: Weight,
    fresh_until: u64,
    useful_until: u64,
    born: u64,
}

/// Weighs a key as the store does.
#[derive(Clone, Debug)]
struct Counted;

impl Weighter<u64, Held> for Counted {
    fn weight(&self, _: &u64, held: &Held) -> u64 {
        held.weight.counted
    }
}

/// Notes what is evicted.
#[derive(Clone, Debug)]
struct OnEviction;

/// The keys that are evicted to be remembered, and whether any is evicted at all.
#[derive(Debug, Default)]
struct Leaving {
    remembered: Vec<u64>,
    any: bool,
}

impl Lifecycle<u64, Held> for OnEviction {
    type RequestState = Leaving;

    fn before_evict(&self, leaving: &mut Leaving, hash: &u64, _: &mut Held) {
        leaving.remembered.push(*hash);
        leaving.any = true;
    }

    /// What has been asked for more than once is not remembered. This is called for what is replaced as well, without the
    /// one before.
    fn on_evict_hot(&self, leaving: &mut Leaving, hash: u64, _: Held) {
        leaving.remembered.pop_if(|last| *last == hash);
    }
}

impl fmt::Debug for Miniature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Miniature").field("keys", &self.cache.len()).finish_non_exhaustive()
    }
}

impl Miniature {
    pub(super) fn new(max_bytes: u64, max_entries: u64, now: Instant) -> Self {
        let made_for = Store::made_for(max_entries);
        let options = OptionsBuilder::new()
            .estimated_items_capacity(made_for)
            .weight_capacity(max_bytes)
            .build()
            .expect("every required option is set");
        let cache = unsync::Cache::with_options(options, Counted, FixedState::default(), OnEviction);
        Self {
            cache,
            remembered: VecDeque::new(),
            // As the policy has it.
            most_remembered: made_for / 2,
            leaving: Leaving::default(),
            evicted: false,
            began: now,
        }
    }

    fn millis(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_millis().try_into().unwrap_or(u64::MAX)
    }

    /// A key is asked for: whether it would be answered from here. If not, it is fetched, and held from now on.
    pub(super) fn asked(&mut self, hash: u64, told: &Told, now: Instant) -> bool {
        let (now, after) = (self.millis(now), |from: u64, time: Duration| {
            from.saturating_add(time.as_millis().try_into().unwrap_or(u64::MAX))
        });
        let held = self.cache.get(&hash).filter(|held| held.born >= told.purged).copied();
        let fetched = || Held {
            weight: told.weight,
            fresh_until: after(now, told.fresh_for),
            useful_until: after(now, told.useful_for),
            born: told.born,
        };
        match held {
            Some(held) if now < held.fresh_until => {
                if held.weight != told.weight {
                    self.replace(hash, Held { weight: told.weight, ..held });
                }
                true
            }
            Some(held) if now < after(held.fresh_until, told.stale_for) => {
                // It is refreshed meanwhile.
                self.insert(hash, fetched());
                true
            }
            _ => {
                self.insert(hash, fetched());
                false
            }
        }
    }

    /// A key turned out to be uncacheable. What is held of it stays.
    pub(super) fn marked(&mut self, hash: u64, told: &Told, now: Instant) {
        if self.cache.peek(&hash).is_none() {
            let now = self.millis(now);
            let useful_until = now.saturating_add(told.useful_for.as_millis().try_into().unwrap_or(u64::MAX));
            self.insert(hash, Held { weight: told.weight, fresh_until: now, useful_until, born: told.born });
        }
    }

    fn insert(&mut self, hash: u64, held: Held) {
        self.cache.insert_with_lifecycle(hash, held, &mut self.leaving);
        self.note_evicted();
    }

    fn replace(&mut self, hash: u64, held: Held) {
        // Refused where it outgrew the whole; then it is not held any more, as in the store.
        let _ = self.cache.replace_with_lifecycle(hash, held, true, &mut self.leaving);
        self.note_evicted();
    }

    fn note_evicted(&mut self) {
        self.evicted |= std::mem::take(&mut self.leaving.any);
        self.remembered.extend(self.leaving.remembered.drain(..));
        let beyond = self.remembered.len().saturating_sub(self.most_remembered);
        self.remembered.drain(..beyond);
    }

    pub(super) fn gone(&mut self, hash: u64) {
        self.cache.remove(&hash);
    }

    pub(super) fn sweep(&mut self, now: Instant) {
        let now = self.millis(now);
        self.cache.retain(|_, held| now <= held.useful_until);
    }

    /// Goes on with the keys up to a hash, half of those before, in half the room. What is known of them stays known.
    pub(super) fn halve(&mut self, threshold: u64) {
        self.cache.retain(|hash, _| *hash <= threshold);
        for hash in &self.remembered {
            // What came back is held, and stays.
            if *hash > threshold && !self.cache.contains_key(hash) {
                self.cache.remove(hash);
            }
        }
        self.remembered.retain(|hash| *hash <= threshold);
        self.cache.set_capacity(self.cache.capacity() / 2);
        self.most_remembered /= 2;
        self.note_evicted();
    }

    /// Finds out which keys are remembered: each once, and none that came back.
    pub(super) fn tidy(&mut self) {
        let mut seen = HashSet::with_capacity_and_hasher(self.remembered.len(), FixedState::default());
        // The last time counts.
        let mut remembered: VecDeque<u64> = VecDeque::with_capacity(self.remembered.len());
        for hash in self.remembered.drain(..).rev() {
            if !self.cache.contains_key(&hash) && seen.insert(hash) {
                remembered.push_front(hash);
            }
        }
        self.remembered = remembered;
    }

    /// Keys that are held, and those that are remembered.
    pub(super) fn known(&self) -> usize {
        self.cache.len() + self.remembered.len()
    }

    /// The number of keys that are held, and the bytes of their responses.
    pub(super) fn held(&self) -> (u64, u64) {
        (self.cache.len() as u64, self.cache.iter().map(|(_, held)| held.weight.bytes).sum())
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.cache.memory_used().total() + self.remembered.capacity() * size_of::<u64>()
    }
}
