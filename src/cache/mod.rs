//! The shared cache of RFC 9111: what may be stored, what may be reused, why not, and the store itself.

mod stats;

use std::time::Duration;

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

/// The cache: its store and its counters.
#[derive(Debug, Default)]
pub struct Cache {
    /// What it did since the start.
    pub stats: Stats,
}

impl Cache {
    /// The cache's figures now.
    pub fn snapshot(&self) -> Snapshot {
        self.stats.snapshot()
    }
}
