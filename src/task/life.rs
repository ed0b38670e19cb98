//! What can happen to a task: a pure state machine, with what it remembers of its way.
//!
//! ```text
//! pending ── Start ──▶ running ── Complete ──▶ completed
//!    │  ◀── Requeue ──    │
//!    ├── Fail, Cancel     ├── Fail ──▶ failed
//!    ▼                    └── Cancel ──▶ cancelled
//! failed, cancelled
//! ```
//!
//! Nothing leaves `completed`, `failed` and `cancelled`. A task is requeued once at most, so that it takes five steps at
//! most: its history needs no other bound.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A task that is interrupted while it runs is begun so many times in all.
pub(super) const MOST_ATTEMPTS: u8 = 2;
/// Bytes of what is said about a failure; the rest is cut off.
pub(super) const MOST_DETAIL: usize = 200;

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Status {
    /// It waits for its turn.
    Pending,
    /// It has a slot.
    Running,
    /// It has a result.
    Completed,
    /// It has none, for a [`Reason`].
    Failed,
    /// Somebody did not want it any more.
    Cancelled,
}

impl Status {
    /// Every one, in the order of a task's way.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }

    /// Whether nothing changes any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// Why a task failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// It ran longer than it may.
    Timeout,
    /// It could not be done.
    Error,
    /// The app answered, with a status that says that it failed.
    UpstreamStatus,
    /// The process ended meanwhile, and it must not be begun again.
    Interrupted,
    /// It waited too long for its turn.
    Rejected,
    /// Its result is larger than what is kept.
    TooLarge,
}

impl Reason {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Timeout, Self::Error, Self::UpstreamStatus, Self::Interrupted, Self::Rejected, Self::TooLarge];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Error => "error",
            Self::UpstreamStatus => "upstream_status",
            Self::Interrupted => "interrupted",
            Self::Rejected => "rejected",
            Self::TooLarge => "too_large",
        }
    }

    /// Whether it can end a task in this state.
    fn ends(self, status: Status) -> bool {
        match self {
            Self::Interrupted => !status.is_final(),
            Self::Rejected => status == Status::Pending,
            Self::Timeout | Self::Error | Self::UpstreamStatus | Self::TooLarge => status == Status::Running,
        }
    }
}

/// Why a task failed, and what more there is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind of it.
    pub reason: Reason,
    /// For people: up to 200 bytes of it are kept.
    pub detail: String,
}

impl Failure {
    /// One with what is to be said about it.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// Who brought a change about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    /// Whoever holds the task's secret.
    Client,
    /// Whoever uses the admin port.
    Admin,
    /// Pacecar itself.
    System,
}

impl Actor {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Admin => "admin",
            Self::System => "system",
        }
    }
}

/// How far a running task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 100.
    pub percent: u8,
    /// Who says so.
    pub source: Source,
}

/// Who says how far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Guessed by what has happened so far.
    Estimated,
    /// Told by whoever does the work. Nothing is guessed from then on.
    Reported,
}

impl Source {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Estimated => "estimated",
            Self::Reported => "reported",
        }
    }
}

impl Progress {
    /// The further of the two: it never goes back, and a guess does not stand against a report.
    fn raised(self, to: Self) -> Self {
        let percent = to.percent.min(100);
        match (self.source, to.source) {
            (Source::Reported, Source::Estimated) => self,
            (_, source) if percent > self.percent => Self { percent, source },
            (Source::Estimated, Source::Reported) if percent == self.percent => {
                Self { percent, source: Source::Reported }
            }
            _ => self,
        }
    }
}

/// What happens to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It gets a slot.
    Start,
    /// It is as far as this.
    Progress(Progress),
    /// It has a result.
    Complete,
    /// It will have none.
    Fail(Failure),
    /// It is not wanted any more.
    Cancel,
    /// The process ended while it ran, and it may be begun again.
    Requeue,
}

/// When something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970, by a clock that may be set back.
    pub wall_ms: u64,
    /// How long the state that ends has lasted, by one that may not. `None` if that was in another process: the wall
    /// clock is asked then.
    pub lasted: Option<Duration>,
}

/// One step of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// Milliseconds since 1970; never before the step before, even if the clock is.
    pub at_ms: u64,
    /// `None` for the first one.
    pub from: Option<Status>,
    /// Where it stands now.
    pub to: Status,
    /// Who brought it about.
    pub by: Actor,
    /// Why it failed, if it did.
    pub reason: Option<Reason>,
    /// What more there is to say about a failure.
    pub detail: Box<str>,
}

/// The event cannot happen to a task that stands there; nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible {
    /// Where it stands.
    pub status: Status,
    /// What should have happened.
    pub event: Event,
}

/// A task's way so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    status: Status,
    attempt: u8,
    progress: Progress,
    queued_ms: u64,
    executed_ms: u64,
    history: Vec<Transition>,
}

impl Life {
    /// Begins as pending.
    pub fn new(by: Actor, wall_ms: u64) -> Self {
        let first =
            Transition { at_ms: wall_ms, from: None, to: Status::Pending, by, reason: None, detail: Box::default() };
        let progress = Progress { percent: 0, source: Source::Estimated };
        Self { status: Status::Pending, attempt: 0, progress, queued_ms: 0, executed_ms: 0, history: vec![first] }
    }

    /// Lets something happen.
    ///
    /// # Errors
    ///
    /// Occurs when it cannot happen to a task that stands where this one does.
    pub fn apply(&mut self, event: Event, by: Actor, now: Moment) -> Result<(), Impossible> {
        use Status::{Cancelled, Completed, Failed, Pending, Running};
        let impossible = |event| Err(Impossible { status: self.status, event });
        let (to, failure) = match (self.status, event) {
            (Running, Event::Progress(to)) => {
                self.progress = self.progress.raised(to);
                return Ok(());
            }
            (Pending, Event::Start) => (Running, None),
            (Running, Event::Complete) => (Completed, None),
            (Running, Event::Requeue) if self.attempt < MOST_ATTEMPTS => (Pending, None),
            (Pending | Running, Event::Cancel) => (Cancelled, None),
            (status @ (Pending | Running), Event::Fail(failure)) if failure.reason.ends(status) => {
                (Failed, Some(failure))
            }
            (Pending, event @ (Event::Progress(_) | Event::Complete | Event::Requeue | Event::Fail(_)))
            | (Running, event @ (Event::Start | Event::Requeue | Event::Fail(_)))
            | (Completed | Failed | Cancelled, event) => return impossible(event),
        };
        self.step(to, failure, by, now);
        Ok(())
    }

    fn step(&mut self, to: Status, failure: Option<Failure>, by: Actor, now: Moment) {
        let at_ms = now.wall_ms.max(self.changed_ms());
        let lasted = now.lasted.map_or(at_ms - self.changed_ms(), |lasted| lasted.as_millis() as u64);
        if self.status == Status::Pending {
            self.queued_ms = self.queued_ms.saturating_add(lasted);
        } else {
            self.executed_ms = self.executed_ms.saturating_add(lasted);
        }
        match to {
            Status::Running => self.attempt = self.attempt.saturating_add(1),
            Status::Completed => self.progress.percent = 100,
            Status::Pending | Status::Failed | Status::Cancelled => {}
        }
        let (reason, detail) =
            failure.map(|failure| (failure.reason, clip(&failure.detail, MOST_DETAIL).into())).unzip();
        let detail = detail.unwrap_or_default();
        self.history.push(Transition { at_ms, from: Some(self.status), to, by, reason, detail });
        self.status = to;
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.status
    }

    /// How often it was begun.
    pub fn attempt(&self) -> u8 {
        self.attempt
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// How long it has waited for its turns, those that are over.
    pub fn queued(&self) -> Duration {
        Duration::from_millis(self.queued_ms)
    }

    /// How long it ran, once it is over.
    pub fn executed(&self) -> Duration {
        Duration::from_millis(self.executed_ms)
    }

    /// Every step, the first one first: five at most.
    pub fn history(&self) -> &[Transition] {
        &self.history
    }

    /// When it was submitted, in milliseconds since 1970.
    pub fn created_ms(&self) -> u64 {
        self.history.first().map_or(0, |step| step.at_ms)
    }

    /// When it was begun the last time, in milliseconds since 1970.
    pub fn started_ms(&self) -> Option<u64> {
        self.history.iter().rev().find(|step| step.to == Status::Running).map(|step| step.at_ms)
    }

    /// When it ended, in milliseconds since 1970.
    pub fn finished_ms(&self) -> Option<u64> {
        self.status.is_final().then(|| self.changed_ms())
    }

    /// Why it failed, if it did.
    pub fn failure(&self) -> Option<(Reason, &str)> {
        self.history.last().and_then(|step| Some((step.reason?, &*step.detail)))
    }

    /// Takes over what was heard of its progress while a step was being written down.
    pub(super) fn keep_progress(&mut self, before: &Self) {
        self.progress = self.progress.raised(before.progress);
    }

    fn changed_ms(&self) -> u64 {
        self.history.last().map_or(0, |step| step.at_ms)
    }
}

/// At most so many bytes of a text, cut between characters.
pub(super) fn clip(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
}
