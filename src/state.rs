//! Every long-lived component, built once by `app` and shared by `Arc`.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::{cache::Cache, profile::Profiler, route::Routes, traffic::Traffic};

/// What the server records into and the admin port reads from.
#[derive(Debug)]
pub struct State {
    /// The shared cache.
    pub cache: Cache,
    /// Timings per endpoint.
    pub profiler: Profiler,
    /// Policies and endpoint names.
    pub routes: Routes,
    /// Counters of the front door.
    pub traffic: Traffic,
    /// Set once when the process begins to stop: readiness ends, connections are closed after their answer.
    pub draining: Draining,
}

/// A flag that is set once.
#[derive(Debug, Default)]
pub struct Draining(AtomicBool);

impl Draining {
    /// Begins the drain.
    pub fn begin(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether the drain has begun.
    pub fn begun(&self) -> bool {
        self.0.load(Relaxed)
    }
}
