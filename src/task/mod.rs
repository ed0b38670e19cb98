//! Work in the background: a client's slow request whose answer it fetches later, and jobs of the operator.
//!
//! A [`Processor`] is handed a [`Wish`] and the [`Job`] that fulfils it, and shows a [`Record`] of what becomes of it.
//!
//! - `life`: where a task stands and what can happen to it, as a pure state machine; `record`: what is known of a task.
//! - `access`: ids, secrets of clients, idempotency keys.
//! - `index`: every task in memory: lists, counts, what has to go; `tally`: what has ended since the start. `store`: the
//!   tasks on disk.
//! - `wish`: what is asked; `processor`: what answers it; `runner`: the way of one task, from the queue to its end.
//!
//! # What survives
//!
//! With [`Settings::store`], a task is on disk before it is confirmed, before it is begun, and before its end is shown.
//! So whatever moment the process ends at: what was confirmed is known afterwards, and what must not be done twice is
//! not begun twice. The file is made with the first task, for its owner alone (mode 0600). It holds descriptions of
//! tasks that have not ended, results, and hashes of secrets; credentials are for whoever submits to leave out
//! ([`AfterRestart::Fail`]).
//!
//! What is taken out of the file is overwritten by what comes later, and not at once; the file does not shrink.
//!
//! A file that is damaged, of another version, or held by another process stays where it is, with everything in it:
//! tasks are off ([`Health::Off`] says why), and everything else goes on. Who moves it away and starts anew begins with
//! an empty one. A write that fails, as on a full disk, turns tasks off until the next start, too: no more are taken;
//! those that run end and are shown, but their ends are not on disk, so that the next start judges them by what it
//! finds; those that wait do so until then.
//!
//! Without a file, tasks live in memory by the same rules, results up to 64 MiB together: a restart loses them.
//!
//! # What it takes
//!
//! | part | at most |
//! |---|---|
//! | records: 50 000 of up to 1.8 KiB, most of them below 0.6 KiB | 88 MiB |
//! | descriptions of tasks that have not ended: 1 MiB and 64 KiB each, together | 64 MiB |
//! | bodies of tasks that are just ending, one for each slot: 10 of 32 MiB | 320 MiB |
//! | results, without a file | 64 MiB |
//! | cache and write buffer of the file | 16 MiB, and the bodies that are just written |
//!
//! On disk: results of 1 GiB, the descriptions and the records. Jobs hold what they hold until they end.

mod access;
mod index;
mod life;
mod processor;
mod record;
mod runner;
mod store;
mod tally;
mod wish;

#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod processor_tests;
#[cfg(test)]
mod store_tests;

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

pub use access::{Digest, Idempotency, Secret, TaskId};
pub use index::{Figures, Filter, Page};
pub use life::{Actor, Event, Failure, Impossible, Life, Moment, Progress, Reason, Source, Status, Transition};
pub use processor::{Processor, Report, Slot};
pub use record::{AfterRestart, Kept, Kind, Outcome, Record};
pub use store::Health;
pub use tally::{Spread, Tally};
pub use wish::{Accepted, Fetched, Job, NotCancelled, Refused, Revive, Unheard, Wish, Work};

/// How much may be done at a time, and what is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Tasks that run at a time. Default 10.
    pub max_concurrent: usize,
    /// Tasks of the operator among them. Default 2.
    pub max_operator: usize,
    /// Tasks that wait. Default 1000.
    pub queue: usize,
    /// A task that has waited so long fails. Default 300 s.
    pub max_wait: Duration,
    /// A task may run so long, where it does not say otherwise. Default 300 s.
    pub timeout: Duration,
    /// What is known of a task is kept for so long after its end. Default 7 days.
    pub retention: Duration,
    /// Its result is kept for so long after its end. Default 1 h.
    pub result_retention: Duration,
    /// Tasks that are known; above it, those that ended first are forgotten. Default 50 000.
    pub max_tasks: usize,
    /// Bytes of results together; above it, the oldest are dropped. Default 1 GiB. Without a file, 64 MiB at most.
    pub max_bytes: u64,
    /// The file that tasks survive a restart in. Default: none.
    pub store: Option<PathBuf>,
}

impl Settings {
    /// What a timeout may be.
    pub const TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_concurrent: 10,
            max_operator: 2,
            queue: 1000,
            max_wait: Duration::from_secs(300),
            timeout: Duration::from_secs(300),
            retention: Duration::from_secs(7 * 24 * 3600),
            result_retention: Duration::from_secs(3600),
            max_tasks: 50_000,
            max_bytes: 1 << 30,
            store: None,
        }
    }
}
