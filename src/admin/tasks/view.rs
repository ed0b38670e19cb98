//! What tasks look like as JSON.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    admin::{openapi::words, view::millis},
    task::{self, AfterRestart, Filter, Health, Processor, Record, Status, Transition},
};

/// Tasks, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Tasks {
    tasks: Vec<Task>,
    /// How many there are on all pages, of the status and kind that were asked for.
    total: usize,
    /// As many are shown at most.
    #[schema(minimum = 1, maximum = 100)]
    limit: usize,
    /// What to give as `before` for those that follow; `null` where none do.
    #[schema(minimum = 1)]
    next: Option<u64>,
    stats: Stats,
}

impl Tasks {
    /// Those that were submitted before the one with the number `before`.
    pub(in crate::admin) fn of(tasks: &Processor, filter: Filter, before: Option<u64>, limit: usize) -> Self {
        let page = tasks.list(&filter, before, limit);
        Self {
            tasks: page.tasks.iter().map(|record| Task::of(record)).collect(),
            total: page.total,
            limit,
            next: page.next,
            stats: (&tasks.figures()).into(),
        }
    }
}

/// Of all tasks that are known.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskStats)]
struct Stats {
    pending: u64,
    running: u64,
    completed: u64,
    failed: u64,
    cancelled: u64,
    /// As many run at a time.
    max_concurrent: usize,
    /// As many may wait.
    queue_capacity: usize,
    /// How long those that ended had waited on average; `null` where none has.
    avg_queue_ms: Option<f64>,
    /// How long those that ended had run on average; `null` where none has.
    avg_execution_ms: Option<f64>,
    /// Bytes of results that are kept.
    result_bytes: u64,
    /// Results that were dropped before their time, since there was no room.
    results_dropped: u64,
    store: Store,
}

impl From<&task::Figures> for Stats {
    fn from(figures: &task::Figures) -> Self {
        let [pending, running, completed, failed, cancelled] = figures.counts;
        Self {
            pending,
            running,
            completed,
            failed,
            cancelled,
            max_concurrent: figures.max_concurrent,
            queue_capacity: figures.queue_capacity,
            avg_queue_ms: figures.average_queued.map(millis),
            avg_execution_ms: figures.average_executed.map(millis),
            result_bytes: figures.result_bytes,
            results_dropped: figures.results_dropped,
            store: (&figures.store).into(),
        }
    }
}

/// Where tasks are kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskStore)]
struct Store {
    #[schema(schema_with = words::task_store)]
    state: &'static str,
    /// How large the file is; `null` where none is written to.
    bytes: Option<u64>,
    /// Why tasks are off; `null` where they are not.
    why: Option<String>,
}

impl From<&Health> for Store {
    fn from(health: &Health) -> Self {
        let (state, bytes, why) = match health {
            Health::Memory => (STORES[0], None, None),
            Health::Unmade => (STORES[1], None, None),
            Health::Open { bytes } => (STORES[2], Some(*bytes), None),
            Health::Off { why } => (STORES[3], None, Some(why.clone())),
        };
        Self { state, bytes, why }
    }
}

/// How it stands about the file, in the order of [`Health`].
pub(in crate::admin) const STORES: [&str; 4] = ["memory", "unmade", "file", "off"];

/// A task.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct Task {
    /// `task_` and 32 hexadecimal digits.
    id: String,
    #[schema(schema_with = words::task_kind)]
    kind: &'static str,
    /// For people: `POST /reports`.
    name: String,
    #[schema(schema_with = words::task_status)]
    status: &'static str,
    /// How far it is, in percent.
    #[schema(minimum = 0, maximum = 100)]
    progress: u8,
    #[schema(schema_with = words::task_progress_source)]
    progress_source: &'static str,
    /// When it was submitted (RFC 3339).
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was begun, the last time; `null` where it was not.
    #[schema(format = DateTime)]
    started_at: Option<String>,
    /// When it ended; `null` where it has not.
    #[schema(format = DateTime)]
    finished_at: Option<String>,
    /// How long it had waited when it was begun or ended, all turns together; `null` as long as it waits.
    queue_ms: Option<u64>,
    /// How long it ran, all attempts together; `null` until it ends, and where it was never begun. That of one that runs is
    /// reckoned from `started_at`.
    execution_ms: Option<u64>,
    /// It may run for so many seconds.
    #[schema(minimum = 1, maximum = 3600)]
    timeout_s: u64,
    /// How often it was begun.
    #[schema(minimum = 0, maximum = 2)]
    attempt: u8,
    /// Why it failed; `null` where it did not.
    error: Option<Failure>,
    /// What whoever submitted it wants to be told again.
    metadata: BTreeMap<String, String>,
    /// What it came to; `null` where there is none yet, or it is not kept any more.
    result: Option<Kept>,
}

impl Task {
    fn of(record: &Record) -> Self {
        let life = &record.life;
        let status = life.status();
        Self {
            id: record.id.to_string(),
            kind: record.kind.word(),
            name: record.name.clone(),
            status: status.word(),
            progress: life.progress().percent,
            progress_source: life.progress().source.word(),
            created_at: moment(life.created_ms()),
            started_at: life.started_ms().map(moment),
            finished_at: life.finished_ms().map(moment),
            queue_ms: (status != Status::Pending).then(|| whole_millis(life.queued())),
            execution_ms: (status.is_final() && life.attempt() > 0).then(|| whole_millis(life.executed())),
            timeout_s: record.timeout.as_secs(),
            attempt: life.attempt(),
            error: life.failure().map(|(reason, detail)| Failure { reason: reason.word(), detail: detail.into() }),
            metadata: record.metadata.iter().cloned().collect(),
            result: record.result.map(|kept| Kept { status: kept.status, body_bytes: kept.body_bytes }),
        }
    }
}

/// Why a task failed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskError)]
struct Failure {
    #[schema(schema_with = words::task_reason)]
    reason: &'static str,
    /// What more there is to say.
    detail: String,
}

/// A result that is kept.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskResult)]
struct Kept {
    #[schema(minimum = 100, maximum = 999)]
    status: u16,
    body_bytes: u64,
}

/// A task with its way.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskDetail)]
pub(in crate::admin) struct Detail {
    #[serde(flatten)]
    task: Task,
    #[schema(schema_with = words::task_after_restart)]
    after_restart: &'static str,
    /// Every step, the first one first: five at most.
    #[schema(min_items = 1, max_items = 5)]
    history: Vec<Step>,
}

impl Detail {
    pub(super) fn of(record: &Record) -> Self {
        Self {
            task: Task::of(record),
            after_restart: after_restart(record.after_restart),
            history: record.life.history().iter().map(Step::of).collect(),
        }
    }
}

/// What a restart does with a task that has not ended.
pub(in crate::admin) fn after_restart(what: AfterRestart) -> &'static str {
    match what {
        AfterRestart::Repeat => "repeat",
        AfterRestart::Once => "once",
        AfterRestart::Fail => "fail",
    }
}

/// One step of a task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskStep)]
struct Step {
    /// When it was taken (RFC 3339).
    #[schema(format = DateTime)]
    at: String,
    /// Where the task stood before; `null` for the first one.
    #[schema(schema_with = words::task_status_or_none)]
    from: Option<&'static str>,
    #[schema(schema_with = words::task_status)]
    to: &'static str,
    #[schema(schema_with = words::task_actor)]
    by: &'static str,
    /// Why it failed; `null` where it did not.
    #[schema(schema_with = words::task_reason_or_none)]
    reason: Option<&'static str>,
    /// What more there is to say about a failure.
    detail: String,
}

impl Step {
    fn of(step: &Transition) -> Self {
        Self {
            at: moment(step.at_ms),
            from: step.from.map(Status::word),
            to: step.to.word(),
            by: step.by.word(),
            reason: step.reason.map(task::Reason::word),
            detail: step.detail.clone().into(),
        }
    }
}

/// A task that was cancelled.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskCancelled)]
pub(in crate::admin) struct Cancelled {
    #[serde(flatten)]
    task: Detail,
    /// The app was asked already, and may go on with what nobody waits for any more.
    upstream_may_continue: bool,
}

impl Cancelled {
    pub(super) fn of(record: &Record) -> Self {
        // A job of the operator asks for one page after the other; the work is in all of them together.
        let upstream_may_continue = !record.kind.is_operator() && record.life.attempt() > 0;
        Self { task: Detail::of(record), upstream_may_continue }
    }
}

/// In the form of RFC 3339, to the millisecond.
fn moment(since_1970_ms: u64) -> String {
    let time = i64::try_from(since_1970_ms).ok().and_then(DateTime::<Utc>::from_timestamp_millis);
    time.unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn whole_millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
