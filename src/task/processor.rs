//! What others talk to: it takes tasks, finds them, and holds what their runners share.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch},
    time::{self, Instant},
};

use super::{
    Settings,
    access::{Key, Secret, TaskId},
    index::{Entry, Figures, Filter, Gone, Index, Page},
    life::{Actor, Event, Failure, Life, Moment, Progress, Reason, Source, Status, clip},
    record::{Kind, Record, Verdict},
    runner::{Runner, guarded},
    store::{Loaded, Off, Saved, Store},
    wish::{Accepted, Fetched, Job, MOST_NAME, NotCancelled, Refused, Revive, Unheard, Wish},
};

/// Bytes that all tasks that have not ended may be described by.
const MOST_DESCRIBED: usize = 64 << 20;
/// Bytes of results where there is no file.
const MOST_IN_MEMORY: u64 = 64 << 20;
/// How often what is kept for long enough is dropped. It is not shown in the meantime.
const SWEEP: Duration = Duration::from_secs(60);

/// How a job says how far it is.
#[derive(Clone, Debug)]
pub struct Report {
    pub(super) shared: Arc<Shared>,
    pub(super) id: TaskId,
}

impl Report {
    /// The name of the task.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// What whoever does the work elsewhere shows to say how far it is, see [`Processor::reporting`]. It opens nothing else,
    /// lasts as long as the task runs, and is kept in memory only. A second one takes the place of the first. `None`:
    /// the system has no random bytes.
    pub fn reporter(&self) -> Option<Secret> {
        let secret = Secret::random()?;
        self.shared.index.lock().get_mut(self.id)?.reporter = Some(secret.clone());
        Some(secret)
    }

    /// Says how far it is, 0 to 100. It never goes back.
    pub fn progress(&self, percent: u8, source: Source) {
        let _: Result<(), Unheard> = self.shared.progress(self.id, Progress { percent, source });
    }
}

/// A place among the tasks that run.
#[derive(Debug)]
pub struct Slot {
    _permits: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
    pub(super) since: Instant,
}

/// How the end of the process goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stop {
    /// It does not.
    No,
    /// Nothing is begun any more.
    Draining,
    /// What still runs is left to the next start.
    Halted,
}

/// The tasks. Clones are the same.
#[derive(Clone, Debug)]
pub struct Processor {
    shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) index: Mutex<Index>,
    pub(super) store: Store,
    slots: Arc<Semaphore>,
    operator_slots: Arc<Semaphore>,
    /// Every runner listens, so that it is known when none is left.
    stop: watch::Sender<Stop>,
}

/// The time of day, reckoned from the start: setting the clock does not disturb what runs.
#[derive(Debug)]
pub(super) struct Clock {
    wall_ms: u64,
    started: Instant,
}

impl Clock {
    pub(super) fn now_ms(&self) -> u64 {
        self.wall_ms.saturating_add(self.started.elapsed().as_millis() as u64)
    }
}

impl Processor {
    /// Takes up what the file of tasks has, if there is one, by the rules of [`AfterRestart`](super::AfterRestart). It must be called on a
    /// runtime, and never fails: [`Figures::store`] says how it stands.
    pub async fn open(settings: Settings, now: SystemTime, revive: Revive) -> Self {
        let (store, loaded) = match settings.store.clone() {
            Some(path) => Store::file(path).await,
            None => (Store::memory(), Loaded::default()),
        };
        Self::start(settings, now, store, loaded, &revive)
    }

    /// One in memory, for tests that have no runtime.
    #[cfg(test)]
    pub fn for_tests(now: SystemTime) -> Self {
        let (store, loaded) = (Store::memory(), Loaded::default());
        Self::built(Settings::default(), now, store, loaded, &|_, _| None)
    }

    pub(super) fn start(settings: Settings, now: SystemTime, store: Store, loaded: Loaded, revive: &Revive) -> Self {
        let processor = Self::built(settings, now, store, loaded, revive);
        tokio::spawn(processor.shared.clone().keep_house());
        processor
    }

    fn built(
        mut settings: Settings,
        now: SystemTime,
        store: Store,
        loaded: Loaded,
        revive: &dyn Fn(&Record, bytes::Bytes) -> Option<Job>,
    ) -> Self {
        if store.is_memory() {
            settings.max_bytes = settings.max_bytes.min(MOST_IN_MEMORY);
        }
        let wall_ms = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let shared = Arc::new(Shared {
            slots: Arc::new(Semaphore::new(settings.max_concurrent)),
            operator_slots: Arc::new(Semaphore::new(settings.max_operator)),
            settings,
            clock: Clock { wall_ms, started: Instant::now() },
            index: Mutex::default(),
            store,
            stop: watch::Sender::new(Stop::No),
        });
        shared.take_up(loaded, revive);
        Self { shared }
    }

    /// Takes a task, which waits for its turn; or returns the one that its idempotency key has made before. Once this
    /// returns, it survives a restart.
    ///
    /// # Errors
    ///
    /// Occurs when it is not taken, which [`Refused`] gives the reason for.
    pub async fn submit(&self, wish: Wish, job: Job) -> Result<Accepted, Refused> {
        self.shared.submit(wish, job, None).await
    }

    /// A slot for a client's request that is answered by its app already and may become a task: it counts as one that
    /// runs, from now on. `None`: all are taken.
    pub fn reserve(&self) -> Option<Slot> {
        let permit = self.shared.slots.clone().try_acquire_owned().ok()?;
        Some(Slot { _permits: (permit, None), since: Instant::now() })
    }

    /// Takes a task that runs already, in the slot that was reserved for it. It is on disk as running: no restart takes
    /// it for one that was not begun.
    ///
    /// # Errors
    ///
    /// Occurs when it is not taken, which [`Refused`] gives the reason for.
    pub async fn submit_running(&self, wish: Wish, job: Job, slot: Slot) -> Result<Accepted, Refused> {
        self.shared.submit(wish, job, Some(slot)).await
    }

    /// What is known of a task.
    pub fn get(&self, id: TaskId) -> Option<Arc<Record>> {
        self.shared.index.lock().get(id).map(|entry| entry.record.clone())
    }

    /// The same for a client: there is no such task for whoever does not have its secret, or comes with another
    /// Authorization.
    pub fn get_with(&self, id: TaskId, secret: &str, authorization: Option<&[u8]>) -> Option<Arc<Record>> {
        let index = self.shared.index.lock();
        let entry = index.get(id)?;
        entry.keys.iter().any(|key| key.admits(secret, authorization)).then(|| entry.record.clone())
    }

    /// What a task came to.
    pub async fn result(&self, id: TaskId) -> Fetched {
        let Some(record) = self.get(id) else { return Fetched::Unknown };
        let Some(finished) = record.life.finished_ms().filter(|_| record.life.status() == Status::Completed) else {
            return Fetched::None(record);
        };
        let age = self.shared.clock.now_ms().saturating_sub(finished);
        if record.result.is_none() || u128::from(age) >= self.shared.settings.result_retention.as_millis() {
            return Fetched::Gone;
        }
        self.shared.store.result(record.number).await.ok().flatten().map_or(Fetched::Gone, Fetched::Found)
    }

    /// Cancels a task: one that waits is not begun, and the job of one that runs is dropped.
    ///
    /// # Errors
    ///
    /// Occurs when there is none, or it had ended before, or is left to the next start.
    pub async fn cancel(&self, id: TaskId, by: Actor) -> Result<Arc<Record>, NotCancelled> {
        let cancel = {
            let index = self.shared.index.lock();
            let entry = index.get(id).ok_or(NotCancelled::Unknown)?;
            let status = entry.record.life.status();
            if status.is_final() {
                return Err(NotCancelled::Ended(status));
            }
            entry.cancel.clone()
        };
        cancel.send_if_modified(|asked| asked.is_none().then(|| *asked = Some(by)).is_some());
        // Its runner is done with it.
        cancel.closed().await;
        let record = self.get(id).ok_or(NotCancelled::Unknown)?;
        match record.life.status() {
            Status::Cancelled => Ok(record),
            status if status.is_final() => Err(NotCancelled::Ended(status)),
            _ => Err(NotCancelled::Left),
        }
    }

    /// The task for whoever does its work elsewhere, with the secret that [`Report::reporter`] gave out: there is no such
    /// task for anybody else.
    pub fn reporting(&self, id: TaskId, secret: &str) -> Option<Arc<Record>> {
        let index = self.shared.index.lock();
        let entry = index.get(id)?;
        entry.reporter.as_ref().is_some_and(|reporter| reporter.is(secret)).then(|| entry.record.clone())
    }

    /// Takes what somebody else than the job reports of a task that runs: 0 to 100.
    ///
    /// # Errors
    ///
    /// Occurs when there is no such task, or it does not run.
    pub fn report(&self, id: TaskId, percent: u8) -> Result<(), Unheard> {
        self.shared.progress(id, Progress { percent, source: Source::Reported })
    }

    /// Tasks that were submitted before the one with the number `before`, the newest first.
    pub fn list(&self, filter: &Filter, before: Option<u64>, limit: usize) -> Page {
        self.shared.index.lock().page(filter, before, limit)
    }

    /// Figures of all tasks that are known.
    pub fn figures(&self) -> Figures {
        self.shared.index.lock().figures(&self.shared.settings, self.shared.store.health())
    }

    /// Begins nothing any more, waits for what runs up to `grace`, and leaves the rest to the next start: it is on disk
    /// as what it is. It returns when the file is closed.
    pub async fn stop(&self, grace: Duration) {
        let stop = &self.shared.stop;
        stop.send_replace(Stop::Draining);
        if time::timeout(grace, stop.closed()).await.is_err() {
            stop.send_replace(Stop::Halted);
            stop.closed().await;
        }
        self.shared.store.close().await;
    }
}

impl Shared {
    /// Judges what a restart found, writes that down, and has everything go on that goes on.
    fn take_up(self: &Arc<Self>, mut loaded: Loaded, revive: &dyn Fn(&Record, bytes::Bytes) -> Option<Job>) {
        let now = Moment { wall_ms: self.clock.now_ms(), lasted: None };
        let mut go_on = Vec::new();
        for mut record in std::mem::take(&mut loaded.records) {
            let number = record.number;
            record.result = record.result.filter(|_| loaded.results.remove(&number));
            let description = loaded.descriptions.remove(&number).unwrap_or_default();
            let (described, verdict) = (description.len(), record.verdict());
            let job = match verdict {
                Verdict::Keep | Verdict::Interrupt => None,
                Verdict::Wait | Verdict::Requeue => guarded(|| revive(&record, description)).flatten(),
            };
            let interrupted = || Event::Fail(Failure::new(Reason::Interrupted, "the process ended before it did"));
            let event = match (verdict, &job) {
                (Verdict::Keep, _) | (Verdict::Wait, Some(_)) => None,
                (Verdict::Requeue, Some(_)) => Some(Event::Requeue),
                (Verdict::Interrupt, _) | (_, None) => Some(interrupted()),
            };
            if let Some(event) = event {
                if let Err(impossible) = record.life.apply(event, Actor::System, now) {
                    tracing::error!(?impossible, "a task that was kept");
                }
                // Nothing that comes is written before it, and without it the next start judges the same.
                drop(if job.is_some() { self.store.update(&record) } else { self.store.end(&record, None) });
                if job.is_none() {
                    self.index.lock().tally(&record);
                }
            }
            let (cancel, cancelled) = watch::channel(None);
            let keys = loaded.keys.remove(&number).unwrap_or_default();
            let described = if job.is_some() { described } else { 0 };
            self.index.lock().insert(Entry {
                record: Arc::new(record.clone()),
                keys,
                cancel,
                reporter: None,
                described,
            });
            go_on.extend(job.map(|job| self.runner(record, job, None, cancelled)));
        }
        let orphans: Vec<_> = loaded.results.into_iter().collect();
        self.forget(&Gone { tasks: Vec::new(), results: orphans });
        self.sweep(0);
        for runner in go_on {
            tokio::spawn(runner.live());
        }
    }

    async fn submit(self: &Arc<Self>, wish: Wish, job: Job, slot: Option<Slot>) -> Result<Accepted, Refused> {
        if *self.stop.borrow() != Stop::No {
            return Err(Refused::Stopping);
        }
        wish.judge()?;
        let no_random = || Refused::Off { why: "the system has no random bytes".into() };
        let secret = (!wish.kind.is_operator()).then(|| Secret::random().ok_or_else(no_random)).transpose()?;
        let key = secret.as_ref().map(|secret| Key::new(secret, wish.authorization.as_deref()));
        // What is written is put in its order before the lock is given up: whoever finds the task has its own wait behind.
        let begun = {
            let mut index = self.index.lock();
            let now_ms = self.clock.now_ms();
            let made = wish.idempotency.and_then(|given| Some((given, index.made_by(&given, now_ms)?.clone())));
            match made {
                Some((given, record)) if record.idempotency != Some(given) => {
                    return Err(Refused::OtherRequest { id: record.id });
                }
                Some((_, record)) => {
                    let keys = key.and_then(|key| index.admit(record.number, key));
                    let saved = keys.map_or_else(|| self.store.flush(), |keys| self.store.keys(record.number, keys));
                    Begun::Before { saved, number: record.number }
                }
                None => self.begin(&mut index, wish, key, job, slot)?,
            }
        };
        let (number, is_new) = match begun {
            Begun::Now { runner, saved } => {
                let number = runner.record.number;
                let (accepted, answer) = oneshot::channel();
                // It goes on even if nobody waits for the answer.
                tokio::spawn(runner.accept(saved, accepted));
                answer.await.unwrap_or_else(|_| Err(Off("its runner is gone".into())))?;
                (number, true)
            }
            Begun::Before { saved, number } => {
                saved.await?;
                (number, false)
            }
        };
        let record = self.index.lock().record(number).cloned().ok_or(Refused::Full)?;
        Ok(Accepted { record, secret, is_new })
    }

    /// Takes a new task in, if there is room.
    fn begin(
        self: &Arc<Self>,
        index: &mut Index,
        wish: Wish,
        key: Option<Key>,
        job: Job,
        slot: Option<Slot>,
    ) -> Result<Begun, Refused> {
        self.forget(&index.sweep(self.clock.now_ms(), 1, &self.settings));
        let is_crowded = slot.is_none() && index.count(Status::Pending) >= self.settings.queue as u64;
        let described = wish.description.len();
        if is_crowded || index.described() + described > MOST_DESCRIBED || index.len() >= self.settings.max_tasks {
            return Err(Refused::Full);
        }
        let now_ms = self.clock.now_ms();
        let mut record = Record {
            number: index.next(),
            id: wish.id,
            kind: wish.kind,
            name: clip(&wish.name, MOST_NAME).to_owned(),
            metadata: wish.metadata,
            timeout: wish.timeout.unwrap_or(self.settings.timeout),
            after_restart: wish.after_restart,
            life: Life::new(wish.by, now_ms),
            result: None,
            idempotency: wish.idempotency,
        };
        if slot.is_some() {
            let now = Moment { wall_ms: now_ms, lasted: Some(Duration::ZERO) };
            record.life.apply(Event::Start, Actor::System, now).expect("what has just begun can start");
        }
        let keys: Vec<_> = key.into_iter().collect();
        let saved = self.store.submit(&record, &keys, wish.description);
        let (cancel, cancelled) = watch::channel(None);
        index.insert(Entry { record: Arc::new(record.clone()), keys, cancel, reporter: None, described });
        Ok(Begun::Now { runner: Box::new(self.runner(record, job, slot, cancelled)), saved })
    }

    fn runner(
        self: &Arc<Self>,
        record: Record,
        job: Job,
        slot: Option<Slot>,
        cancelled: watch::Receiver<Option<Actor>>,
    ) -> Runner {
        let since = slot.as_ref().map_or_else(Instant::now, |slot| slot.since);
        Runner { shared: self.clone(), record, job, slot, cancelled, stop: self.stop.subscribe(), since }
    }

    fn progress(&self, id: TaskId, progress: Progress) -> Result<(), Unheard> {
        let mut index = self.index.lock();
        let record = &index.get(id).ok_or(Unheard::Unknown)?.record;
        let (number, status) = (record.number, record.life.status());
        if status != Status::Running {
            return Err(Unheard::Is(status));
        }
        let now = Moment { wall_ms: self.clock.now_ms(), lasted: None };
        index.change(number, |record| {
            record.life.apply(Event::Progress(progress), Actor::System, now).expect("what runs may be further on");
        });
        Ok(())
    }

    /// Waits for a slot.
    pub(super) async fn slot(&self, kind: Kind) -> Slot {
        // Neither is ever closed. The operator's own comes first, so that nobody waits in the line of all without it.
        let of = async |slots: &Arc<Semaphore>| slots.clone().acquire_owned().await.expect("slots are never closed");
        let operator = if kind.is_operator() { Some(of(&self.operator_slots).await) } else { None };
        Slot { _permits: (of(&self.slots).await, operator), since: Instant::now() }
    }

    async fn keep_house(self: Arc<Self>) {
        let mut stop = self.stop.subscribe();
        while time::timeout(SWEEP, stop.wait_for(|stop| *stop != Stop::No)).await.is_err() {
            self.sweep(0);
        }
    }

    fn sweep(&self, room: usize) {
        let mut index = self.index.lock();
        let gone = index.sweep(self.clock.now_ms(), room, &self.settings);
        self.forget(&gone);
    }

    pub(super) fn forget(&self, gone: &Gone) {
        if !gone.is_empty() {
            self.store.forget(&gone.tasks, &gone.results);
        }
    }
}

/// What became of a wish, before it is on disk.
enum Begun {
    Now { runner: Box<Runner>, saved: Saved },
    Before { saved: Saved, number: u64 },
}
