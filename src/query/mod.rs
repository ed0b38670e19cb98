//! The app's database queries: which there are, how long they take, for which requests, and what is wrong with them.
//!
//! Sources hand in [`QueryEvent`]s; one bounded [`Observer`] takes them, joins them to the requests that passed here, and
//! answers with a [`Snapshot`]. No source is needed by another: spans that the app exports ([`otlp`]), what responses say
//! in `Server-Timing` ([`server_timing`]), and records that the app posts ([`mod@record`]). A tap on the wire of the
//! database would be one more.
//!
//! - [`mod@fingerprint`]: what makes two executions the same query; [`tables`]: what a new one is about.
//! - [`trace`]: ids of traces; `event`: what sources hand in.
//! - `observer`: the way in; `state`: what it knows, made of `book` (queries), `endpoints`, `asked` (requests that passed
//!   here), `traces` (spans that are awaited) and `evidence` (repetitions).
//! - [`explain`]: whether PostgreSQL misses an index for them.
//! - `unit`: the queries of one request; [`detect`]: what is wrong with them; `finding`: how that is told.
//! - `spread` and `history`: figures of durations, and of the last day; `snapshot`: what is shown.
//!
//! # What is never kept
//!
//! Values: they are in the bodies that are read, in keyed hashes whose key nobody knows, and nowhere else. Messages of
//! errors, names of users, and comments in statements are not read.
//!
//! # What it takes
//!
//! | part | at most |
//! |---|---|
//! | queries, above which those are given up that take the least time | 24 MiB |
//! | spans of traces that are not complete: 100 000 of 140 bytes | 13.4 MiB |
//! | requests that spans may come for: 32 768 of 152 bytes | 4.8 MiB |
//! | endpoints: 2000 with a past of 49 slots of 152 bytes | 14.2 MiB |
//! | repetitions: 1000 with a past of 49 slots of 48 bytes | 2.2 MiB |
//! | how many queries requests made, for a few seconds: 16 384 of 20 bytes | 0.5 MiB |
//! | spans that came, by which duplicates are known | 2.0 MiB |
//! | together | 61.1 MiB |
//!
//! Most apps come nowhere near: a query that is asked all the time takes some 15 KiB, an endpoint some 7 KiB.

mod asked;
mod book;
pub mod detect;
mod endpoints;
mod event;
mod evidence;
pub mod explain;
mod finding;
pub mod fingerprint;
mod history;
mod observer;
pub mod otlp;
pub mod record;
pub mod server_timing;
mod settings;
mod snapshot;
mod spread;
mod state;
pub mod tables;
pub mod trace;
mod traces;
mod unit;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod observer_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod shape_tests;

pub use book::Calls;
pub use event::{Endpoint, QueryEvent, Request, Source};
pub use evidence::Confidence;
pub use finding::{Finding, Missing, Repetition, Severity, Slow, What};
pub use fingerprint::Fingerprint;
pub use observer::Observer;
pub use settings::{NPlusOne, Settings};
pub use snapshot::{Analysis, Basis, Bounds, EndpointFigures, QueryFigures, Snapshot, Sources};
pub use spread::{CLASSES, Spread, Timing};
pub use state::Routed;
pub use traces::Level;
pub use unit::{Executed, Unit};
