//! Every long-lived component, built once by `app` and shared by `Arc`.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::{
    advice,
    cache::{Cache, keyed::KeyedCache},
    cache_headers,
    compress::Compression,
    observe::Observer,
    profile::Profiler,
    query,
    route::Route,
    task::Processor,
    traffic::{Counter, Ratelimited, Traffic},
};

/// What the server records into and the admin port reads from.
#[derive(Debug)]
pub struct State {
    /// When the process began.
    pub started: Instant,
    /// The shared cache.
    pub cache: Cache,
    /// The app's own results.
    pub keyed: KeyedCache,
    /// What is coded, and what came of it.
    pub compression: Compression,
    /// What clients are told about keeping an answer.
    pub cache_headers: ArcSwap<cache_headers::Settings>,
    /// The routes in force.
    pub routes: ArcSwap<Vec<Route>>,
    /// What caching would do.
    pub observer: Observer,
    /// Timings per endpoint.
    pub profiler: Profiler,
    /// What the app asks its database.
    pub queries: query::Observer,
    /// Work in the background.
    pub tasks: Processor,
    /// What is not to be advised.
    pub advice: ArcSwap<advice::Settings>,
    /// What is not to be advised until the process ends.
    pub muted: advice::Muted,
    /// Moments from which on things may be different.
    pub markers: advice::Markers,
    /// Since when the counters of cache and coding are told in advice.
    pub counted: advice::Counted,
    /// Where the app is, for people.
    pub upstream: ArcSwap<String>,
    /// Counters of the front door.
    pub traffic: Traffic,
    /// Requests to the admin port that were too many.
    pub ratelimited: Ratelimited,
    /// Set once when the process begins to stop: readiness ends, connections are closed after their answer.
    pub draining: Draining,
    /// How reading the configuration again went.
    pub reloads: Reloads,
}

impl State {
    /// Tells the profiler how many queries the requests made whose queries came to be known.
    pub fn tell_queries(&self) {
        let queries = self.queries.counted().into_iter();
        self.profiler.tell_queries(&queries.map(|(span, queries)| (span.number(), queries)).collect());
    }

    /// From now on, advice is about what is counted from now on: other settings are in force.
    pub fn count_anew(&self, now: Instant) {
        self.observer.forget(now);
        self.counted.begin_anew(now, self.cache.snapshot(), self.compression.stats.snapshot());
    }
}

/// How often the configuration was read again, and how the last time went.
#[derive(Debug)]
pub struct Reloads {
    /// Configurations that were taken up.
    pub succeeded: Counter,
    /// Configurations that were refused; the one before stayed.
    pub refused: Counter,
    last_succeeded: AtomicBool,
    last_success: AtomicU64,
}

impl Reloads {
    /// The start counts as a success.
    pub fn started(now: SystemTime) -> Self {
        let reloads = Self {
            succeeded: Counter::default(),
            refused: Counter::default(),
            last_succeeded: AtomicBool::new(true),
            last_success: AtomicU64::new(0),
        };
        reloads.stamp(now);
        reloads
    }

    fn stamp(&self, now: SystemTime) {
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.last_success.store(seconds, Relaxed);
    }

    /// Counts a configuration that was taken up.
    pub fn succeed(&self, now: SystemTime) {
        self.succeeded.add();
        self.last_succeeded.store(true, Relaxed);
        self.stamp(now);
    }

    /// Counts a configuration that was refused.
    pub fn refuse(&self) {
        self.refused.add();
        self.last_succeeded.store(false, Relaxed);
    }

    /// Whether the last one was taken up.
    pub fn last_succeeded(&self) -> bool {
        self.last_succeeded.load(Relaxed)
    }

    /// When one was last taken up, in seconds since 1970.
    pub fn last_success_seconds(&self) -> u64 {
        self.last_success.load(Relaxed)
    }
}

/// A flag that is set once.
#[derive(Debug, Default)]
pub struct Draining {
    begun: AtomicBool,
    waiting: Notify,
}

impl Draining {
    /// Begins the drain.
    pub fn begin(&self) {
        self.begun.store(true, Relaxed);
        self.waiting.notify_waiters();
    }

    /// Whether the drain has begun.
    pub fn begun(&self) -> bool {
        self.begun.load(Relaxed)
    }

    /// Waits until the drain has begun.
    pub async fn until_begun(&self) {
        let mut begins = std::pin::pin!(self.waiting.notified());
        // Waits from here on, so that a drain that begins between the look and the wait is not missed.
        begins.as_mut().enable();
        if !self.begun() {
            begins.await;
        }
    }
}
