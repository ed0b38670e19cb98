//! What is known of one task, and what a restart makes of it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::{
    access::{Idempotency, TaskId},
    life::{Life, MOST_ATTEMPTS, Status},
};

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A client's request whose answer is fetched later (RFC 7240 §4.1).
    HttpAsync,
    /// Fetches URLs, so that they are in the cache.
    CacheWarmup,
    /// Drops what matches a pattern from the cache.
    CachePurge,
    /// Asks the database how it would execute a query.
    QueryExplain,
    /// Compares how long two things take.
    Compare,
}

impl Kind {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::HttpAsync, Self::CacheWarmup, Self::CachePurge, Self::QueryExplain, Self::Compare];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::HttpAsync => "http_async",
            Self::CacheWarmup => "cache_warmup",
            Self::CachePurge => "cache_purge",
            Self::QueryExplain => "query_explain",
            Self::Compare => "compare",
        }
    }

    /// Reads its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Whether the operator asks for it, and no client.
    pub fn is_operator(self) -> bool {
        self != Self::HttpAsync
    }
}

/// What may be done with a task that a restart finds without an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AfterRestart {
    /// Doing it twice is as good as doing it once: its method is safe or idempotent (RFC 9110 §9.2.2), or the client gave
    /// an idempotency key that the app honours.
    Repeat,
    /// It may be done once only: begun if it was not, and failed if it was.
    Once,
    /// It needs what is not kept, such as credentials: failed, in any case.
    Fail,
}

/// What [`AfterRestart`] and where a task stands come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It waits for its turn as before.
    Wait,
    /// It was begun, and is begun once more.
    Requeue,
    /// It ends as [`Reason::Interrupted`](super::Reason::Interrupted).
    Interrupt,
    /// It has ended.
    Keep,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Which one it is of all that were submitted: the later, the larger.
    pub number: u64,
    /// Its name.
    pub id: TaskId,
    /// What it does.
    pub kind: Kind,
    /// For people: `POST /reports`, up to 128 bytes.
    pub name: String,
    /// What whoever submitted it wants to be told again: up to 8 pairs, 512 bytes together.
    pub metadata: Vec<(String, String)>,
    /// It may run for so long.
    pub timeout: Duration,
    /// What a restart may do with it.
    pub after_restart: AfterRestart,
    /// Its way so far.
    pub life: Life,
    /// What it came to, as long as that is kept.
    pub result: Option<Kept>,
    pub(super) idempotency: Option<Idempotency>,
}

/// A result that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The status of the answer.
    pub status: u16,
    /// Bytes of its body.
    pub body_bytes: u64,
    /// Bytes that it takes in the store.
    pub(super) stored_bytes: u64,
}

impl Record {
    pub(super) fn verdict(&self) -> Verdict {
        match (self.life.status(), self.after_restart) {
            (Status::Completed | Status::Failed | Status::Cancelled, _) => Verdict::Keep,
            (Status::Pending, AfterRestart::Repeat | AfterRestart::Once) => Verdict::Wait,
            (Status::Running, AfterRestart::Repeat) if self.life.attempt() < MOST_ATTEMPTS => Verdict::Requeue,
            (Status::Pending | Status::Running, _) => Verdict::Interrupt,
        }
    }
}

/// What a task comes to: an answer that is told again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, without those of one connection only (RFC 9110 §7.6.1).
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Outcome {
    /// Bytes of a body at most.
    pub const MOST_BODY: usize = 32 << 20;
    /// Bytes of a status and the fields at most.
    pub const MOST_HEAD: usize = 64 << 10;
}
