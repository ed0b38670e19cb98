//! What the cache may do and how much it may hold.

use std::time::Duration;

use ipnet::IpNet;

use crate::header::targeted::TARGETS;

/// The settings of `[cache]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Bytes that stored responses may take, their heads, keys and bookkeeping included.
    pub max_bytes: u64,
    /// Stored responses at most. Default 100 000.
    pub max_entries: u64,
    /// A larger body is passed on and not stored. Default 8 MiB.
    pub max_object_bytes: u64,
    /// Variants of one URL at most (RFC 9111 §4.1); the oldest goes first. Default 16.
    pub max_variants: usize,
    /// How often what is of no use any more is dropped. Default 5 min.
    pub sweep_interval: Duration,
    /// Freshness of a storable answer whose origin says nothing about it. Default 0: not stored.
    pub default_ttl: Duration,
    /// Whether freshness is guessed from Last-Modified where nobody states it (RFC 9111 §4.2.2). Default: no.
    pub heuristic: bool,
    /// For so long after its lifetime a response may be used while it is refreshed, where its origin does not say
    /// (RFC 5861 §3). Default 0.
    pub stale_while_revalidate: Duration,
    /// For so long after its lifetime a response may be used when the origin fails, where its origin does not say
    /// (RFC 5861 §4). Default 5 min.
    pub stale_if_error: Duration,
    /// A request that waited this long for another one's fetch asks the origin itself. Default 5 s.
    pub lock_timeout: Duration,
    /// For this long an uncacheable URL is not tried again, so that its requests do not wait for each other. Default 10 s.
    pub uncacheable_ttl: Duration,
    /// About one in so many fresh hits is compared with what the origin answers meanwhile; 0: none. Default 1000.
    pub verify_sample: u64,
    /// Whether a response that sets a cookie may be stored where its origin states its freshness. Default: no.
    pub store_set_cookie: bool,
    /// Whether a body that only the end of the connection ends may be stored. Default: no.
    pub store_unframed: bool,
    /// Whether Accept-Language counts as the same in another order of languages of one weight. Default: no.
    pub reorder_accept_language: bool,
    /// Whether clients may demand validation, or take stale responses (RFC 9111 §5.2.1). Default: no.
    pub honour_client_cache_control: bool,
    /// Fields that stand above Cache-Control and Expires, the first one first (RFC 9213 §2.2).
    pub targeted: Vec<String>,
    /// Cookies that do not make a request personal; a final `*` stands for any ending.
    pub ignore_cookies: Vec<String>,
    /// Who may send PURGE. Default: nobody.
    pub purge_allow: Vec<IpNet>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            max_entries: 100_000,
            max_object_bytes: 8 << 20,
            max_variants: 16,
            sweep_interval: Duration::from_secs(300),
            default_ttl: Duration::ZERO,
            heuristic: false,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::from_secs(300),
            lock_timeout: Duration::from_secs(5),
            uncacheable_ttl: Duration::from_secs(10),
            verify_sample: 1000,
            store_set_cookie: false,
            store_unframed: false,
            reorder_accept_language: false,
            honour_client_cache_control: false,
            targeted: TARGETS.map(String::from).to_vec(),
            ignore_cookies: [
                "_ga*", "_gid", "_gat*", "_gcl_*", "_fbp", "_fbc", "_hj*", "_pk_*", "_clck", "_clsk", "__utm*",
            ]
            .map(String::from)
            .to_vec(),
            purge_allow: Vec::new(),
        }
    }
}
