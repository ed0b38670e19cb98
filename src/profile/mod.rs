//! Percentiles per endpoint without a second system: one [`Sample`] per request, merged on reading.
//!
//! [`Profiler::record`] puts a sample into a buffer; full buffers are folded into the table of endpoints, and
//! [`Profiler::snapshot`] folds what is left and copies the table. Whoever reads, be it JSON or metrics, computes from
//! that copy, so that all of them show the same figures. Everything is counted since the start.
//!
//! - `sample`: what a request tells; `profiler`: the buffers; `table`: the bounded table of endpoints.
//! - `figures`: what is counted for one endpoint, made of `latency` (percentiles) and `histogram` (fixed buckets).
//! - `slow`: the slowest single requests.

mod figures;
mod histogram;
mod latency;
mod profiler;
mod sample;
mod slow;
mod table;

use std::time::Duration;

pub use figures::{Figures, STATUSES_PER_ENDPOINT, Statuses};
pub use histogram::{BOUNDS, Histogram};
pub use latency::{Latency, Summary};
pub use profiler::Profiler;
pub use sample::{CacheUse, Sample};
pub use slow::{SLOWEST_KEPT, SlowRequest};
pub use table::{Endpoint, OTHER, Snapshot};

/// What the profiler keeps and flags.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// A request at least this long counts as slow. Default 500 ms.
    pub slow: Duration,
    /// At most this many endpoints, which are a path template and a method, are told apart; the rest counts as
    /// `_other`. Default 500.
    pub max_endpoints: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { slow: Duration::from_millis(500), max_endpoints: 500 }
    }
}
