//! How stored responses are declared gone or stale, and how they leave.

use std::{sync::Arc, time::Instant};

use super::{
    Cache, Entry, Evicted, Key, entry,
    purge::{Mode, Rule, Scope},
};

/// What a purge did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Stored responses that it is about.
    pub matched: u64,
    /// Those that are gone, or stale, by it.
    pub cleared: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Cache {
    /// Invalidates one URL, all variants (RFC 9111 §4.4); what is being fetched for it is not stored. Returns how many
    /// responses are gone.
    pub fn invalidate(&self, key: &Key, now: Instant) -> u64 {
        let (gone, _) = self.store.remove(key, now, || self.purges.stamp_url(key), |_| true);
        self.simulation.gone(key, now);
        (0..gone).for_each(|_| self.stats.evicted(Evicted::Purged));
        gone
    }

    /// Drops one stored response, which the origin no longer has.
    pub fn forget(&self, key: &Key, stored: &Entry, now: Instant) {
        let (gone, _) = self.store.remove(key, now, || (), |entry| std::ptr::eq(entry, stored));
        self.simulation.gone(key, now);
        (0..gone).for_each(|_| self.stats.evicted(Evicted::Expired));
    }

    /// Declares one URL, all variants, stale. Returns how many responses are.
    pub fn expire(&self, key: &Key, now: Instant) -> u64 {
        // Under the key's lock: what is stored before that is found here, and what would be stored after it is refused.
        self.store.remove(key, now, || self.purges.stamp_url(key), |_| false);
        self.simulation.gone(key, now);
        let Some(resource) = self.store.peek(key) else { return 0 };
        let there = resource.variants().iter().filter(|entry| self.purges.spare(key, entry));
        there.inspect(|entry| entry.expire(now)).count() as u64
    }

    /// Purges everything in one of the scopes. It holds when this returns; what it hits is still held then, and
    /// [`Cache::clear`] counts and drops it.
    pub fn purge(&self, scopes: Vec<Scope>, mode: Mode, now: Instant) -> Arc<Rule> {
        if let Some(scope) = scopes.first() {
            self.stats.purged(scope.kind(), mode);
        }
        let rule = self.purges.add(scopes, mode, now);
        if self.purges.is_full() {
            self.sweep(now);
        }
        rule
    }

    /// Drops, or declares stale, what a purge hits, and counts it. Goes through the whole store: for a thread that may
    /// take its time.
    pub fn clear(&self, rule: &Rule, mode: Mode, now: Instant) -> Purged {
        self.clearing(rule, Some(mode), now).all()
    }

    /// Counts what a purge would hit.
    pub fn would_clear(&self, rule: &Rule) -> Purged {
        self.clearing(rule, None, Instant::now()).all()
    }

    /// The same in steps, for those who have others wait: without a mode, it is only counted.
    pub fn clearing<'a>(&'a self, rule: &'a Rule, mode: Option<Mode>, now: Instant) -> Clearing<'a> {
        Clearing { cache: self, rule, mode, now, rest: Box::new(self.store.iter()), seen: 0, purged: Purged::default() }
    }

    /// Drops what was purged or is of no use any more. Goes through the whole store: for a thread that may take its
    /// time.
    pub fn sweep(&self, now: Instant) {
        let newest = self.purges.newest();
        for (key, resource) in self.store.iter() {
            let is_purged = |entry: &Entry| !self.purges.spare(&key, entry);
            if resource.variants().iter().any(|entry| is_purged(entry)) {
                let (gone, _) = self.store.remove(&key, now, || (), is_purged);
                (0..gone).for_each(|_| self.stats.evicted(Evicted::Purged));
            }
            let is_useless = |entry: &Entry| entry.is_useless(now);
            if resource.is_empty(now) || resource.variants().iter().any(|entry| is_useless(entry)) {
                let (gone, _) = self.store.remove(&key, now, || (), is_useless);
                (0..gone).for_each(|_| self.stats.evicted(Evicted::Expired));
            }
        }
        if self.purges.is_full() {
            self.purges.forget_half(newest);
        }
        self.simulation.sweep(now);
    }
}

/// A walk through the store, on the way of which a purge does what it does. It holds no lock between its steps.
pub struct Clearing<'a> {
    cache: &'a Cache,
    rule: &'a Rule,
    mode: Option<Mode>,
    now: Instant,
    rest: Box<dyn Iterator<Item = (Key, Arc<entry::Resource>)> + Send + 'a>,
    seen: u64,
    purged: Purged,
}

impl Clearing<'_> {
    /// Looks at so many resources more. Whether there may be others.
    pub fn step(&mut self, resources: usize) -> bool {
        for _ in 0..resources {
            let Some((key, resource)) = self.rest.next() else { return false };
            self.seen += resource.variants().len() as u64;
            self.look(&key, &resource);
        }
        true
    }

    /// Stored responses that were looked at.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// What was done so far.
    pub fn purged(&self) -> Purged {
        self.purged
    }

    fn all(mut self) -> Purged {
        while self.step(1024) {}
        self.purged
    }

    fn look(&mut self, key: &Key, resource: &entry::Resource) {
        let Self { cache, rule, now, purged, .. } = self;
        let is_hit = |entry: &Entry| entry.born() < rule.number && rule.hits(key, entry);
        let hit = || resource.variants().iter().filter(|entry| is_hit(entry));
        let matched = hit().count() as u64;
        if matched == 0 {
            return;
        }
        purged.matched += matched;
        match self.mode {
            Some(Mode::Hard) => {
                let (cleared, bytes) = cache.store.remove(key, *now, || (), is_hit);
                (0..cleared).for_each(|_| cache.stats.evicted(Evicted::Purged));
                purged.cleared += cleared;
                purged.bytes += bytes;
            }
            Some(Mode::Soft) => {
                for entry in hit() {
                    purged.cleared += u64::from(cache.purges.spare(key, entry));
                    purged.bytes += entry.weight();
                }
            }
            None => purged.bytes += hit().map(|entry| entry.weight()).sum::<u64>(),
        }
    }
}
