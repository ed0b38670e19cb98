//! Percentiles per endpoint without a second system: one [`Sample`] per request, merged on reading.
//!
//! [`Profiler::record`] puts a sample into a ring of its thread; rings are emptied into the table of endpoints every so
//! often, and [`Profiler::snapshot`] empties them and copies what a period of the last 24 hours is about. Whoever reads,
//! be it JSON or dashboard, computes from such a copy, so that all of them show the same figures; Prometheus is given
//! what only grows, by [`Profiler::totals`].
//!
//! - `sample`: what a request tells; `profiler`: the rings; `table`: the bounded table of endpoints.
//! - `folding`, `known` and `names`: what a path is called; `syntax`: routes as web frameworks write them; `often`: what
//!   comes often among very many.
//! - `figures`: what is counted over some time, made of `latency` (percentiles), which is made of `bins`.
//! - `compare`: whether one endpoint or time is slower than another.
//! - `window`: the past of an endpoint in minutes, five minutes and hours; `timeline`: that of all together in shorter
//!   steps; `tier`: what both are made of; `course`: either of them step by step; `kept`: as it is written to a file.
//! - `series`: what is counted since the start, with `histogram` (fixed buckets).
//! - `slow`: single requests that took long; `saturation`: how many the app serves at once.
//!
//! # What it takes
//!
//! | part | at most |
//! |---|---|
//! | the past of all endpoints and of all of them together, above which the least busy one is given up | 19 MiB |
//! | the minute that is not over: 220 rows of two sketches of 996 bins of 8 bytes | 3.4 MiB |
//! | rings: 512 samples of some 350 bytes for each of 32 threads | 5.5 MiB |
//! | times by requests in flight: two hours of 112 sketches | 1.8 MiB |
//! | names: 4096 places of 250 bytes | 1.0 MiB |
//! | routes of the app: 4096 places of 500 bytes, twice while one is learned | 4.0 MiB |
//! | slow requests: 600 of 400 bytes | 0.3 MiB |
//! | together | 35.0 MiB |
//!
//! Of the past, all endpoints together take 3.3 MiB at most: 120 steps of 10 seconds, 65 minutes, 84 five minutes and 100
//! quarters of an hour, of which each has 8 to 10 KiB where every bin of its two sketches has very many requests. Most apps
//! come nowhere near: an app that is asked once a second takes some 170 KiB for that, and an endpoint as busy some 38 KiB,
//! half a KiB for each of its twenty minutes.

mod bins;
mod compare;
mod course;
mod figures;
mod folding;
mod histogram;
mod kept;
mod known;
mod latency;
mod names;
mod often;
mod profiler;
mod sample;
mod saturation;
mod series;
mod slow;
mod syntax;
mod table;
mod tier;
mod timeline;
mod window;

use std::time::Duration;

pub use compare::{By, Change, Comparison, Verdict};
pub use course::{Course, Step};
pub use figures::{Counts, Figures};
pub use folding::UNMATCHED;
pub use histogram::{BOUNDS, Histogram};
pub use kept::Kept;
pub use latency::{Latency, Summary};
pub use names::Template;
pub use profiler::Profiler;
pub use sample::{Asked, CacheUse, Ending, METHODS, PATH_BYTES, Path, Sample, SpanId, TraceId, method_name};
pub use saturation::Saturation;
pub use series::{STATUSES_PER_ENDPOINT, Series, Statuses};
pub use slow::{Breakdown, SLOWEST_SHOWN, SlowRequest};
pub use table::{Endpoint, Snapshot, Totals};
pub use window::{Period, Window, around};

/// The name under which the requests of endpoints beyond the bound are counted.
pub const OTHER: &str = "_other";

/// What the profiler keeps and flags.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// A request at least this long counts as slow. Default 500 ms.
    pub slow: Duration,
    /// At most this many endpoints, which are a path template and a method, are told apart; the least busy of them give
    /// way, and the rest counts as `_other`. Default 200.
    pub max_endpoints: usize,
    /// At most this many of them have series of their own in the metrics. Default 20.
    pub metrics_endpoints: usize,
    /// What paths are called, before routes of the app and folding; the first that matches.
    pub endpoints: Vec<Template>,
    /// Keep the paths of slow requests. Default `false`: a path may name a person.
    pub keep_paths: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slow: Duration::from_millis(500),
            max_endpoints: 200,
            metrics_endpoints: 20,
            endpoints: Vec::new(),
            keep_paths: false,
        }
    }
}
