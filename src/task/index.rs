//! Every task in memory: lists, counts, and what has to go.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::sync::watch;

use super::{
    Health, Settings,
    access::{Digest, Idempotency, Key, Secret, TaskId},
    life::{Actor, Status},
    record::{Kind, Record},
    tally::Tally,
};

/// An idempotency key is remembered for so long.
const IDEMPOTENCY: Duration = Duration::from_secs(24 * 3600);
/// Secrets that open one task; a request that is sent again gets a new one, and the oldest goes.
const MOST_KEYS: usize = 4;

/// Which tasks are listed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Those that stand here.
    pub status: Option<Status>,
    /// Those that do this.
    pub kind: Option<Kind>,
}

impl Filter {
    fn takes(&self, record: &Record) -> bool {
        self.status.is_none_or(|status| status == record.life.status())
            && self.kind.is_none_or(|kind| kind == record.kind)
    }
}

/// A part of a list, the newest task first.
#[derive(Clone, Debug)]
pub struct Page {
    /// The tasks.
    pub tasks: Vec<Arc<Record>>,
    /// What to give as `before` for those that follow, if any do.
    pub next: Option<u64>,
    /// How many there are on all pages.
    pub total: usize,
}

/// Figures of all tasks that are known.
#[derive(Clone, Debug)]
pub struct Figures {
    /// How many stand where, in the order of [`Status::ALL`].
    pub counts: [u64; 5],
    /// How long they waited on average, those that ended. `None`: none has.
    pub average_queued: Option<Duration>,
    /// How long they ran on average, those that ended after they were begun. `None`: none has.
    pub average_executed: Option<Duration>,
    /// Bytes of results that are kept.
    pub result_bytes: u64,
    /// Results that were dropped before their time, since there was no room.
    pub results_dropped: u64,
    /// What has ended since the start.
    pub ended: Tally,
    /// As many run at a time.
    pub max_concurrent: usize,
    /// As many may wait.
    pub queue_capacity: usize,
    /// How it stands about the file.
    pub store: Health,
}

/// One task in memory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: Arc<Record>,
    pub(super) keys: Vec<Key>,
    /// Asks its runner to cancel it. Closed when there is none: it has ended, or waits for the next start.
    pub(super) cancel: watch::Sender<Option<Actor>>,
    /// What opens it to reports of whoever does the work.
    pub(super) reporter: Option<Secret>,
    /// Bytes of its description, until it ends.
    pub(super) described: usize,
}

/// Numbers of tasks to be forgotten, and of those whose results are.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Gone {
    pub(super) tasks: Vec<u64>,
    pub(super) results: Vec<u64>,
}

impl Gone {
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty() && self.results.is_empty()
    }
}

/// Sums over tasks that ended.
#[derive(Debug, Default)]
struct Sum {
    tasks: u64,
    took: Duration,
}

impl Sum {
    fn average(&self) -> Option<Duration> {
        (self.tasks > 0).then(|| Duration::from_secs_f64(self.took.as_secs_f64() / self.tasks as f64))
    }
}

/// Every task.
#[derive(Debug, Default)]
pub(super) struct Index {
    tasks: BTreeMap<u64, Entry>,
    /// The largest number so far.
    last: u64,
    ids: HashMap<TaskId, u64>,
    idempotent: HashMap<Digest, u64>,
    /// When tasks ended, and which: the first to be forgotten first.
    ended: BTreeSet<(u64, u64)>,
    /// When they ended, and whose results are kept, with their bytes.
    results: BTreeMap<(u64, u64), u64>,
    result_bytes: u64,
    results_dropped: u64,
    described: usize,
    counts: [u64; 5],
    queued: Sum,
    executed: Sum,
    tally: Tally,
}

impl Index {
    /// The number of the next task.
    pub(super) fn next(&self) -> u64 {
        self.last + 1
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn described(&self) -> usize {
        self.described
    }

    pub(super) fn count(&self, status: Status) -> u64 {
        self.counts[status as usize]
    }

    pub(super) fn get(&self, id: TaskId) -> Option<&Entry> {
        self.tasks.get(self.ids.get(&id)?)
    }

    pub(super) fn get_mut(&mut self, id: TaskId) -> Option<&mut Entry> {
        self.tasks.get_mut(self.ids.get(&id)?)
    }

    pub(super) fn record(&self, number: u64) -> Option<&Arc<Record>> {
        self.tasks.get(&number).map(|entry| &entry.record)
    }

    /// The task that a key has made already.
    pub(super) fn made_by(&self, key: &Idempotency, now_ms: u64) -> Option<&Record> {
        let record = &self.tasks.get(self.idempotent.get(&key.key)?)?.record;
        let age = now_ms.saturating_sub(record.life.created_ms());
        (u128::from(age) < IDEMPOTENCY.as_millis()).then_some(record)
    }

    /// Adds a secret to a task: every one that opens it now.
    pub(super) fn admit(&mut self, number: u64, key: Key) -> Option<&[Key]> {
        let keys = &mut self.tasks.get_mut(&number)?.keys;
        if keys.len() == MOST_KEYS {
            keys.remove(0);
        }
        keys.push(key);
        Some(keys)
    }

    /// Takes in a task that is new, or was kept.
    pub(super) fn insert(&mut self, entry: Entry) {
        let record = entry.record.clone();
        self.last = self.last.max(record.number);
        self.ids.insert(record.id, record.number);
        if let Some(idempotency) = record.idempotency {
            self.idempotent.insert(idempotency.key, record.number);
        }
        self.described += entry.described;
        self.tasks.insert(record.number, entry);
        self.enter(&record);
        if let (Some(kept), Some(finished)) = (record.result, record.life.finished_ms()) {
            self.add_result(finished, record.number, kept.stored_bytes);
        }
    }

    /// Shows the next step of a task.
    pub(super) fn publish(&mut self, mut record: Record) {
        let Some(entry) = self.tasks.get_mut(&record.number) else { return };
        record.life.keep_progress(&entry.record.life);
        if record.life.status().is_final() {
            self.described -= std::mem::take(&mut entry.described);
        }
        let finished = record.life.finished_ms();
        record.result =
            record.result.filter(|_| finished.is_some_and(|at| self.results.contains_key(&(at, record.number))));
        let record = Arc::new(record);
        let before = std::mem::replace(&mut entry.record, record.clone());
        self.leave(&before);
        self.enter(&record);
        if record.life.status().is_final() {
            self.tally(&record);
        }
    }

    /// Counts a task that has just ended.
    pub(super) fn tally(&mut self, record: &Record) {
        self.tally.end(record);
    }

    /// Shows that a task is further on, if it is.
    pub(super) fn change(&mut self, number: u64, change: impl FnOnce(&mut Record)) {
        if let Some(entry) = self.tasks.get_mut(&number) {
            change(Arc::make_mut(&mut entry.record));
        }
    }

    /// Forgets a task.
    pub(super) fn remove(&mut self, number: u64) {
        let Some(entry) = self.tasks.remove(&number) else { return };
        let record = &entry.record;
        self.leave(record);
        self.described -= entry.described;
        self.ids.remove(&record.id);
        if let Some(idempotency) = record.idempotency
            && self.idempotent.get(&idempotency.key) == Some(&number)
        {
            self.idempotent.remove(&idempotency.key);
        }
        if let Some(finished) = record.life.finished_ms() {
            self.remove_result((finished, number));
        }
    }

    fn enter(&mut self, record: &Record) {
        self.counts[record.life.status() as usize] += 1;
        if let Some(finished) = record.life.finished_ms() {
            self.ended.insert((finished, record.number));
            self.queued.tasks += 1;
            self.queued.took = self.queued.took.saturating_add(record.life.queued());
            if record.life.attempt() > 0 {
                self.executed.tasks += 1;
                self.executed.took = self.executed.took.saturating_add(record.life.executed());
            }
        }
    }

    fn leave(&mut self, record: &Record) {
        self.counts[record.life.status() as usize] -= 1;
        if let Some(finished) = record.life.finished_ms() {
            self.ended.remove(&(finished, record.number));
            self.queued.tasks -= 1;
            self.queued.took = self.queued.took.saturating_sub(record.life.queued());
            if record.life.attempt() > 0 {
                self.executed.tasks -= 1;
                self.executed.took = self.executed.took.saturating_sub(record.life.executed());
            }
        }
    }

    /// Takes a result in, if there is room or the results of others can go: those that go for it. `None`: it is too large.
    pub(super) fn reserve(&mut self, finished: u64, number: u64, bytes: u64, max_bytes: u64) -> Option<Gone> {
        if bytes > max_bytes {
            return None;
        }
        let mut gone = Gone::default();
        while self.result_bytes + bytes > max_bytes
            && let Some((&key, _)) = self.results.first_key_value()
        {
            self.results_dropped += 1;
            self.drop_result(key, &mut gone);
        }
        self.add_result(finished, number, bytes);
        Some(gone)
    }

    /// Gives a place back that was reserved for nothing.
    pub(super) fn release(&mut self, finished: u64, number: u64) {
        self.remove_result((finished, number));
    }

    /// Drops what has been kept for long enough, and what ended first where there are more tasks than may be, or `room`
    /// is needed for more.
    pub(super) fn sweep(&mut self, now_ms: u64, room: usize, settings: &Settings) -> Gone {
        let is_due = |finished: u64, kept: Duration| u128::from(now_ms.saturating_sub(finished)) >= kept.as_millis();
        let mut gone = Gone::default();
        while let Some((&key, _)) = self.results.first_key_value()
            && is_due(key.0, settings.result_retention)
        {
            self.drop_result(key, &mut gone);
        }
        while let Some(&(finished, number)) = self.ended.first()
            && (is_due(finished, settings.retention) || self.tasks.len() + room > settings.max_tasks)
        {
            self.remove(number);
            gone.tasks.push(number);
        }
        gone
    }

    fn add_result(&mut self, finished: u64, number: u64, bytes: u64) {
        self.results.insert((finished, number), bytes);
        self.result_bytes += bytes;
    }

    fn remove_result(&mut self, key: (u64, u64)) {
        self.result_bytes -= self.results.remove(&key).unwrap_or_default();
    }

    fn drop_result(&mut self, key: (u64, u64), gone: &mut Gone) {
        self.remove_result(key);
        self.change(key.1, |record| record.result = None);
        gone.results.push(key.1);
    }

    /// Tasks that were submitted before the one with this number, the newest first.
    pub(super) fn page(&self, filter: &Filter, before: Option<u64>, limit: usize) -> Page {
        let matching = |end: u64| {
            let records = self.tasks.range(..end).rev().map(|(_, entry)| &entry.record);
            records.filter(|record| filter.takes(record))
        };
        let mut from = matching(before.unwrap_or(u64::MAX));
        let tasks: Vec<_> = from.by_ref().take(limit).cloned().collect();
        let next = from.next().and(tasks.last()).map(|record| record.number);
        Page { tasks, next, total: matching(u64::MAX).count() }
    }

    pub(super) fn figures(&self, settings: &Settings, store: Health) -> Figures {
        Figures {
            counts: self.counts,
            average_queued: self.queued.average(),
            average_executed: self.executed.average(),
            result_bytes: self.result_bytes,
            results_dropped: self.results_dropped,
            ended: self.tally.clone(),
            max_concurrent: settings.max_concurrent,
            queue_capacity: settings.queue,
            store,
        }
    }
}
