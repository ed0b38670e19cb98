//! What is kept of queries, and what is flagged.

use std::time::Duration;

use super::fingerprint::{Fingerprint, Mask};

/// What is kept of queries, and what is flagged.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// A query at least this long counts as slow. Default 500 ms.
    pub slow: Duration,
    /// A query longer than this counts as critical. Default 2 s.
    pub critical: Duration,
    /// At most this many queries are told apart; the rest counts as others. Default 5000.
    pub max_fingerprints: usize,
    /// Keep what queries look like, without their values. Otherwise only their tables are shown. Default `true`.
    pub store_text: bool,
    /// Names in statements that are not shown, nor told apart. They are those of the start. Default: none.
    pub mask_identifiers: Vec<Mask>,
    /// What counts as a query for each row of another.
    pub n_plus_one: NPlusOne,
}

/// From what on a repetition is flagged.
#[derive(Clone, Debug, PartialEq)]
pub struct NPlusOne {
    /// Executions of one query in a request. Default 5.
    pub min_count: u32,
    /// Different values that it ran with, where they can be seen. Default 3.
    pub min_distinct: u32,
    /// The time that they take together; or `min_share`. Default 20 ms.
    pub min_total: Duration,
    /// Their part of the request's time, 0 to 1; or `min_total`. Default 0.2.
    pub min_share: f64,
    /// Requests of an endpoint in the last hour in which it must be seen, and at least a tenth of them, to be more than a
    /// candidate. Default 3.
    pub confirm_requests: u64,
    /// Look at what takes more than a minute and answers no request, too. Default `false`: jobs work through lists.
    pub background: bool,
    /// Queries that nothing is said of.
    pub ignore: Vec<Fingerprint>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slow: Duration::from_millis(500),
            critical: Duration::from_secs(2),
            max_fingerprints: 5000,
            store_text: true,
            mask_identifiers: Vec::new(),
            n_plus_one: NPlusOne::default(),
        }
    }
}

impl Default for NPlusOne {
    fn default() -> Self {
        Self {
            min_count: 5,
            min_distinct: 3,
            min_total: Duration::from_millis(20),
            min_share: 0.2,
            confirm_requests: 3,
            background: false,
            ignore: Vec::new(),
        }
    }
}
