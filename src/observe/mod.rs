//! What caching would do: answers of the app are watched, and for each lifetime that might be tried it is counted what a
//! cache would have answered, what that would have saved, and how often it would have been wrong.
//!
//! Nothing is stored but digests. [`Observer::answered`] takes what is known of an answer when its last byte has come,
//! [`Observer::wrote`] that a client changed something, and [`Observer::report`] copies the figures of the last hour.
//! Rules over them, in `advice`, say what should be cached.
//!
//! - `answer`: what is known of an answer, and the digest of its body; `resource`: one resource under a cache that is
//!   imagined, and whether its answers depend on who asks.
//! - `watch`: the bounded table of resources and endpoints; `tally`: what is counted of an endpoint.
//! - `splits`: parameters, headers and cookies that make a resource many, for nothing.
//!
//! # What it takes
//!
//! 8192 resources of some 350 bytes, 256 endpoints of 6 KiB, 4096 comparisons of 40 bytes and two lists of 4096 times:
//! less than 6 MiB. Of an endpoint with very many resources a share is watched, chosen by hash, and its figures are
//! those of that share: what is watched is watched whole.

mod answer;
mod resource;
mod splits;
mod tally;
mod watch;

use std::{
    fmt,
    hash::{BuildHasher, Hash},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use foldhash::quality::FixedState;
use parking_lot::Mutex;

pub use answer::{Answer, Content, Digest, Dimension, Kind};
pub use splits::Split;
pub use tally::{Figures, Hits};
pub use watch::{Report, Watched};

use watch::Watch;

/// The lifetimes that are tried.
pub const LIFETIMES: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
    Duration::from_secs(3600),
];
/// A body of which no more than this many bytes were sent tells little: `[]` is the same for everybody who has nothing.
pub const SPARSE_BYTES: u64 = 256;

/// Watches answers. One lock, held for a few hundred nanoseconds for an answer that the app was asked for; what is
/// answered from the cache never comes here.
pub struct Observer {
    watch: Mutex<Watch>,
    only_observes: AtomicBool,
    seed: u64,
    hasher: FixedState,
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}

impl Observer {
    /// One that has seen nothing. Digests are keyed by `seed`, which nobody else is to know: they are good for telling
    /// answers apart within this process, and for nothing else.
    pub fn new(seed: u64, now: Instant) -> Self {
        Self {
            watch: Mutex::new(Watch::new(now)),
            only_observes: AtomicBool::new(false),
            seed,
            hasher: FixedState::with_seed(seed),
        }
    }

    /// Forgets all that was seen: under another configuration it says nothing.
    pub fn forget(&self, now: Instant) {
        *self.watch.lock() = Watch::new(now);
    }

    /// Whether everything passes as it is from now on, so that nothing but this is done.
    pub fn only_observe(&self, only: bool) {
        self.only_observes.store(only, Relaxed);
    }

    /// Whether everything only passes through.
    pub fn only_observes(&self) -> bool {
        self.only_observes.load(Relaxed)
    }

    /// A hash by which this process tells things apart; nobody can choose what falls together.
    pub fn hash(&self, parts: impl Hash) -> u64 {
        self.hasher.hash_one(parts)
    }

    /// A digest to be fed with what an answer consists of.
    pub fn digest(&self) -> Digest {
        Digest::new(self.seed)
    }

    /// Takes up an answer of the app. `name` says what a path is called.
    pub fn answered(&self, answer: &Answer<'_>, name: impl Fn(&[u8]) -> Arc<str>) {
        self.watch.lock().answered(answer, name);
    }

    /// Takes up that somebody changed something at a URL, by a method that is not safe.
    pub fn wrote(&self, url: u64, identity: u64, at: Instant) {
        self.watch.lock().wrote(url, identity, at);
    }

    /// What was seen in the last hour. `name` says what is called so by now: names may have been folded since.
    pub fn report(&self, now: Instant, name: impl Fn(&str) -> Arc<str>) -> Report {
        let only_observes = self.only_observes.load(Relaxed);
        Report { only_observes, ..self.watch.lock().report(now, name) }
    }
}
