//! What the hit rate would be if the store were of another size: half, twice and four times as large.
//!
//! The store's own policy is played in miniature, once for each size (Waldspurger et al., *Cache Modeling and
//! Optimization using Miniature Simulations*, USENIX ATC 2017). A part of the keys, chosen by their hash, goes through a
//! cache that is smaller by the same part; so each key that takes part does so with all of its requests. While keys are
//! few, all of them take part; when a miniature knows more than 24 000, half of them are left out from then on.
//!
//! Sizes stand for both bounds: twice the size is twice `max_bytes` and twice `max_entries`. Which of the two is the one
//! that evicts is said beside.
//!
//! What is simulated are requests that the store answered without waiting for the origin, and requests whose answer was
//! stored. Who waited for another's fetch is left out, since it costs no fetch at any size, and so is what cannot be
//! cached, but for the room that the word of it takes.
//!
//! # What it takes
//!
//! At most 10 MiB: four caches that know 24 000 keys each, held or evicted before, at some 80 bytes, in tables that double
//! as they grow; and 28 KiB for the ring of each thread. A hit of a key that takes part costs its request a place in the
//! ring, and that of another key an addition.

mod miniature;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use foldhash::quality::RandomState;

use crate::{
    rings::{Rings, Sink},
    traffic::Counter,
};

use super::{Entry, Key, Settings, store::Store};

use self::miniature::{Miniature, Told};

/// The sizes that are simulated, as multiples of the real one.
pub const FACTORS: [f64; 4] = [0.5, 1.0, 2.0, 4.0];
/// Where the real size stands among them.
const REAL: usize = 1;
/// A miniature knows no more keys: those that it holds, and those that it remembers as evicted.
const KEYS: usize = 24_000;
/// Where a miniature is found to know that many of them, half of the keys go: else it would be looked at again at once.
const NEARLY_ALL: usize = KEYS / 4 * 3;
/// Events that a thread may have waiting.
const RING: usize = 256;
/// After so many, a thread has them taken in.
const BATCH: usize = 128;
/// The estimate is of this time and of what has passed of the same again.
const HALF_WINDOW: Duration = Duration::from_secs(30 * 60);
/// Fewer requests say nothing.
const ENOUGH: f64 = 500.0;

/// What the hit rate was, and would have been, in the last half to whole hour.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizing {
    /// The sizes, the smallest first.
    pub sizes: [Size; FACTORS.len()],
    /// The requests that this is about.
    pub requests: u64,
    /// Share of them that the store answered, 0 to 100.
    pub measured_hit_rate_percent: f64,
    /// Share of the keys that take part, 0 to 100.
    pub sampling_rate_percent: f64,
    /// Keys that the largest miniature holds.
    pub sampled_keys: u64,
    /// What makes responses leave the store as it is for room; `None` if nothing does.
    pub bound: Option<Bound>,
    /// How long ago the first of the requests may have been.
    pub over: Duration,
}

/// A size, and what it would have come to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Size {
    /// As a multiple of the real one.
    pub factor: f64,
    /// `max_bytes` of it.
    pub max_bytes: u64,
    /// `max_entries` of it.
    pub max_entries: u64,
    /// Share of the requests that the store would have answered, 0 to 100.
    pub hit_rate_percent: f64,
    /// Bytes that it would hold now.
    pub bytes: u64,
    /// URLs of which it would hold something now.
    pub entries: u64,
}

/// One of the two bounds of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// `max_bytes`.
    Bytes,
    /// `max_entries`.
    Entries,
}

impl Bound {
    /// The word for it in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Entries => "entries",
        }
    }
}

impl Sizing {
    /// The real size.
    pub fn real(&self) -> &Size {
        &self.sizes[REAL]
    }
}

/// Takes what happens to keys, and says what would have at other sizes.
pub struct Simulation {
    /// Keyed anew in each process, so that nobody can choose the keys that take part.
    hasher: RandomState,
    requests: Arc<Requests>,
    rings: Rings<Event, Miniatures>,
}

/// All requests, of whichever key, and which keys take part.
#[derive(Debug)]
struct Requests {
    hits: Counter,
    fetched: Counter,
    /// Keys whose hash is no greater take part.
    threshold: AtomicU64,
}

/// Something that happened to a key that takes part.
#[derive(Clone, Copy, Debug)]
struct Event {
    hash: u64,
    what: What,
    at: Instant,
    told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// It was answered from the store, or is stored now since the origin was asked for it.
    Asked,
    /// It was dropped.
    Gone,
    /// It is known to be uncacheable for a moment.
    Marked,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").finish_non_exhaustive()
    }
}

impl Simulation {
    /// Of a store with these bounds.
    pub(super) fn new(settings: &Settings) -> Self {
        let requests = Arc::new(Requests {
            hits: Counter::default(),
            fetched: Counter::default(),
            threshold: AtomicU64::new(u64::MAX),
        });
        let miniatures = Miniatures::new(settings, requests.clone(), Instant::now());
        Self { hasher: RandomState::default(), requests, rings: Rings::new(RING, BATCH, miniatures) }
    }

    /// What tells keys that take part from others.
    pub(super) fn hash(&self, key: &Key) -> u64 {
        self.hasher.hash_one(key.bytes())
    }

    fn put(&self, hash: u64, what: What, at: Instant, told: impl FnOnce() -> Told) {
        if hash <= self.requests.threshold.load(Relaxed) {
            self.rings.put(Event { hash, what, at, told: told() });
        }
    }

    /// A request was answered from the store. Takes no lock and allocates nothing.
    pub(super) fn hit(&self, entry: &Entry, newest_purge: u64, weight: impl FnOnce() -> Weight, now: Instant) {
        self.requests.hits.add();
        self.put(entry.hash(), What::Asked, now, || Told::of(entry, weight(), newest_purge, 0));
    }

    /// Requests that were answered from the store since the start.
    pub fn hits(&self) -> u64 {
        self.requests.hits.value()
    }

    /// The origin was asked for a request, and its answer is stored. `purged` is the newest purge that is about it.
    pub(super) fn fetched(&self, entry: &Entry, weight: Weight, purged: u64, now: Instant) {
        self.requests.fetched.add();
        self.put(entry.hash(), What::Asked, now, || Told::of(entry, weight, entry.born(), purged));
    }

    /// A key is marked as uncacheable until then, which takes room as well.
    pub(super) fn marked(&self, key: &Key, weight: Weight, until: Instant, now: Instant) {
        let useful_for = until.saturating_duration_since(now);
        self.put(self.hash(key), What::Marked, now, || Told { weight, useful_for, ..Told::default() });
    }

    /// A key was invalidated.
    pub(super) fn gone(&self, key: &Key, now: Instant) {
        self.put(self.hash(key), What::Gone, now, Told::default);
    }

    /// Drops what is of no use any more, when the store does.
    pub(super) fn sweep(&self, now: Instant) {
        self.rings.settled().sweep(now);
    }

    /// Takes in what waits. To be called every few seconds, so that the times are kept to.
    pub fn settle(&self, now: Instant) {
        self.rings.settled().turn(now);
    }

    /// What is known now; `None` before there were enough requests.
    pub fn sizing(&self, now: Instant) -> Option<Sizing> {
        let mut miniatures = self.rings.settled();
        miniatures.turn(now);
        miniatures.sizing(now)
    }
}

/// What a key takes in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    /// Bytes of its responses.
    pub(super) bytes: u64,
    /// What the store counts it as, so that both of its bounds hold.
    pub(super) counted: u64,
}

/// The miniatures, and what they have seen.
#[derive(Debug)]
struct Miniatures {
    sizes: [Miniature; FACTORS.len()],
    max_bytes: u64,
    max_entries: u64,
    all: Arc<Requests>,
    /// Since the rate was set, or a window began.
    segment: Segment,
    now: Seen,
    before: Seen,
}

/// What was seen at one rate, as it was counted.
#[derive(Clone, Copy, Debug, Default)]
struct Segment {
    /// The counters of all requests when it began.
    hits_before: u64,
    fetched_before: u64,
    /// Requests of keys that take part, and how many of them each size answered.
    sampled: u64,
    hits: [u64; FACTORS.len()],
}

/// What was seen in a half-window, in requests of all keys.
#[derive(Clone, Copy, Debug)]
struct Seen {
    since: Instant,
    requests: f64,
    measured: f64,
    hits: [f64; FACTORS.len()],
    evicted: bool,
}

impl Seen {
    fn since(since: Instant) -> Self {
        Self { since, requests: 0.0, measured: 0.0, hits: Default::default(), evicted: false }
    }

    fn plus(mut self, other: &Self) -> Self {
        self.since = self.since.min(other.since);
        self.requests += other.requests;
        self.measured += other.measured;
        self.hits.iter_mut().zip(other.hits).for_each(|(sum, more)| *sum += more);
        self.evicted |= other.evicted;
        self
    }
}

impl Sink<Event> for Miniatures {
    fn take(&mut self, event: &Event) {
        // It was put before the rate fell.
        if event.hash > self.all.threshold.load(Relaxed) {
            return;
        }
        match event.what {
            What::Asked => {
                self.segment.sampled += 1;
                for (size, hits) in self.sizes.iter_mut().zip(&mut self.segment.hits) {
                    *hits += u64::from(size.asked(event.hash, &event.told, event.at));
                }
            }
            What::Gone => self.sizes.iter_mut().for_each(|size| size.gone(event.hash)),
            What::Marked => self.sizes.iter_mut().for_each(|size| size.marked(event.hash, &event.told, event.at)),
        }
    }

    /// Here nothing waits, so that the requests counted so far are those that were seen.
    fn settled(&mut self) {
        if self.sizes.iter().all(|size| size.known() <= KEYS) {
            return;
        }
        self.sizes.iter_mut().for_each(Miniature::tidy);
        while self.sizes.iter().any(|size| size.known() > NEARLY_ALL) {
            self.close_segment();
            let threshold = self.all.threshold.load(Relaxed) / 2;
            self.all.threshold.store(threshold, Relaxed);
            self.sizes.iter_mut().for_each(|size| size.halve(threshold));
        }
    }
}

impl Miniatures {
    fn new(settings: &Settings, all: Arc<Requests>, now: Instant) -> Self {
        let max_entries = settings.max_entries.max(1);
        let sizes = FACTORS.map(|factor| {
            let of = |bound: u64| (bound as f64 * factor) as u64;
            Miniature::new(of(settings.max_bytes), of(max_entries), now)
        });
        let (now, before) = (Seen::since(now), Seen::since(now));
        Self { sizes, max_bytes: settings.max_bytes, max_entries, all, segment: Segment::default(), now, before }
    }

    /// The share of the keys that take part.
    fn rate(&self) -> f64 {
        self.all.threshold.load(Relaxed) as f64 / u64::MAX as f64
    }

    /// Brings what was counted at one rate to the scale of all requests.
    fn close_segment(&mut self) {
        let (hits, fetched) = (self.all.hits.value(), self.all.fetched.value());
        let next = Segment { hits_before: hits, fetched_before: fetched, ..Segment::default() };
        let rate = self.rate();
        let Segment { hits_before, fetched_before, sampled, hits: simulated } =
            std::mem::replace(&mut self.segment, next);
        let measured = (hits - hits_before) as f64;
        let requests = measured + (fetched - fetched_before) as f64;
        // A few keys have many of the requests, and each of them takes part or does not. What the requests of those that
        // do are short of their share, or beyond it, is requests of keys that every size holds (Waldspurger et al.,
        // *Efficient MRC Construction with SHARDS*, FAST 2015, §4.2).
        let missing = requests * rate - sampled as f64;
        self.now.requests += requests;
        self.now.measured += measured;
        for (sum, hits) in self.now.hits.iter_mut().zip(simulated) {
            *sum += ((hits as f64 + missing) / rate).clamp(0.0, requests);
        }
        self.now.evicted |= std::mem::take(&mut self.sizes[REAL].evicted);
    }

    fn turn(&mut self, now: Instant) {
        if now.saturating_duration_since(self.now.since) < HALF_WINDOW {
            return;
        }
        self.close_segment();
        let begun = Seen::since(now);
        // After a pause there is nothing recent.
        let is_recent = now.saturating_duration_since(self.now.since) < 2 * HALF_WINDOW;
        let over = std::mem::replace(&mut self.now, begun);
        self.before = if is_recent { over } else { begun };
    }

    fn sweep(&mut self, now: Instant) {
        self.sizes.iter_mut().for_each(|size| size.sweep(now));
    }

    fn sizing(&mut self, now: Instant) -> Option<Sizing> {
        self.close_segment();
        let seen = self.now.plus(&self.before);
        if seen.requests < ENOUGH {
            return None;
        }
        let percent = |hits: f64| hits * 100.0 / seen.requests;
        let rate = self.rate();
        let mut sizes = [Size::default(); FACTORS.len()];
        for (nth, size) in sizes.iter_mut().enumerate() {
            let (factor, (entries, bytes)) = (FACTORS[nth], self.sizes[nth].held());
            let of = |bound: u64| (bound as f64 * factor) as u64;
            let all = |held: u64| (held as f64 / rate) as u64;
            *size = Size {
                factor,
                max_bytes: of(self.max_bytes),
                max_entries: of(self.max_entries),
                hit_rate_percent: percent(seen.hits[nth]),
                bytes: all(bytes),
                entries: all(entries),
            };
        }
        let real = &sizes[REAL];
        let share = |held: u64, bound: u64| held as f64 / bound.max(1) as f64;
        let bound = match share(real.entries, real.max_entries) > share(real.bytes, real.max_bytes) {
            true => Bound::Entries,
            false => Bound::Bytes,
        };
        Some(Sizing {
            requests: seen.requests as u64,
            measured_hit_rate_percent: percent(seen.measured),
            sampling_rate_percent: rate * 100.0,
            sampled_keys: self.sizes[FACTORS.len() - 1].held().0,
            bound: seen.evicted.then_some(bound),
            over: now.saturating_duration_since(seen.since),
            sizes,
        })
    }
}
