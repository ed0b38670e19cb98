//! What is asked of the processor, and what it answers.

use std::{pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{
    Settings,
    access::{Idempotency, Secret, TaskId},
    life::{Actor, Failure, Status},
    processor::Report,
    record::{AfterRestart, Kind, Outcome, Record},
    store::Off,
};

/// Bytes of a name at most; the rest is cut off.
pub(super) const MOST_NAME: usize = 128;
/// What whoever submits a task may have kept with it: pairs, and bytes together.
const MOST_PAIRS: usize = 8;
const MOST_METADATA: usize = 512;
/// Bytes that a task may be described by: a body of 1 MiB, and a head.
const MOST_DESCRIPTION: usize = (1 << 20) + (64 << 10);
/// What a job comes to.
pub type Work = Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send>>;

/// What is to be done, once it is its turn. It is dropped where it stands when its task is cancelled or takes too long.
/// A panic in it fails the task.
pub type Job = Box<dyn FnOnce(Report) -> Work + Send>;

/// Makes the job of a task again after a restart, from what [`Wish::description`] was. `None`: it cannot, and the task
/// fails as interrupted.
pub type Revive = Box<dyn Fn(&Record, Bytes) -> Option<Job> + Send>;

/// A task that somebody wants.
#[derive(Debug)]
pub struct Wish {
    /// Its name, which nobody has had before.
    pub id: TaskId,
    /// What it does.
    pub kind: Kind,
    /// For people: `POST /reports`. Up to 128 bytes are kept.
    pub name: String,
    /// Up to 8 pairs, 512 bytes together.
    pub metadata: Vec<(String, String)>,
    /// Who wants it.
    pub by: Actor,
    /// For how long it may run, instead of [`Settings::timeout`]: 1 to 3600 s.
    pub timeout: Option<Duration>,
    /// What a restart may do with it.
    pub after_restart: AfterRestart,
    /// What its job is made of again after a restart: up to 1 MiB and 64 KiB. It is written to disk, so that no
    /// credentials may be in it.
    pub description: Bytes,
    /// The Authorization that a client came with, and will have to come with. A salted hash of it is kept.
    pub authorization: Option<Vec<u8>>,
    /// By which the same request is known when it comes again.
    pub idempotency: Option<Idempotency>,
}

/// A task that was taken.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The task.
    pub record: Arc<Record>,
    /// What opens it, if it is a client's. It is told nowhere else.
    pub secret: Option<Secret>,
    /// It was made by this wish, and not by one before with the same idempotency key.
    pub is_new: bool,
}

/// Why a task was not taken. Nothing of it is left, and its job was not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Tasks are off.
    Off {
        /// Why they are.
        why: String,
    },
    /// The process is about to end.
    Stopping,
    /// As many wait as may, or what they are described by takes as much as it may.
    Full,
    /// The idempotency key came with another request before.
    OtherRequest {
        /// The task that it made.
        id: TaskId,
    },
    /// The wish is larger than it may be.
    TooLarge {
        /// What of it.
        what: &'static str,
        /// How large it is, in bytes, or in pairs.
        given: usize,
        /// How large it may be.
        most: usize,
    },
    /// The timeout is none of 1 to 3600 s.
    Timeout {
        /// What was wished for.
        given: Duration,
    },
}

/// Why a task was not cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCancelled {
    /// There is none of this name.
    Unknown,
    /// It had ended before.
    Ended(Status),
    /// The process is about to end, or tasks are off: the next start finds it as it is.
    Left,
}

/// The result of a task.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// Here it is.
    Found(Outcome),
    /// It has none yet, or never will: its record says why.
    None(Arc<Record>),
    /// It had one, which is not kept any more, or cannot be read.
    Gone,
    /// There is no task of this name.
    Unknown,
}

/// What was reported of a task's progress could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// There is none of this name.
    Unknown,
    /// It does not run.
    Is(Status),
}

impl Wish {
    /// Looks whether it is within its bounds.
    pub(super) fn judge(&self) -> Result<(), Refused> {
        let metadata = self.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
        for (what, given, most) in [
            ("pairs of metadata", self.metadata.len(), MOST_PAIRS),
            ("bytes of metadata", metadata, MOST_METADATA),
            ("bytes of the request", self.description.len(), MOST_DESCRIPTION),
        ] {
            if given > most {
                return Err(Refused::TooLarge { what, given, most });
            }
        }
        match self.timeout {
            Some(given) if !Settings::TIMEOUTS.contains(&given) => Err(Refused::Timeout { given }),
            _ => Ok(()),
        }
    }
}

impl From<Off> for Refused {
    fn from(Off(why): Off) -> Self {
        Self::Off { why }
    }
}
