//! The way of one task, from the queue to its end.
//!
//! Each task that has not ended has a runner of its own, which alone takes it from one state to the next: it waits for a
//! slot, runs the job, and writes each step down before it shows it. So a cancellation, a timeout and a result that come
//! at once have one winner, and nobody who asks for something has to stay for it to happen.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use futures_util::FutureExt;
use tokio::{
    sync::{oneshot, watch},
    time::{self, Instant},
};

use super::{
    Settings,
    life::{Actor, Event, Failure, Moment, Reason},
    processor::{Report, Shared, Slot, Stop},
    record::{Kept, Outcome, Record},
    store::{Off, Saved},
    wish::Job,
};

/// What takes one task to its end.
pub(super) struct Runner {
    pub(super) shared: Arc<Shared>,
    /// As it was written down last.
    pub(super) record: Record,
    pub(super) job: Job,
    /// It runs already.
    pub(super) slot: Option<Slot>,
    pub(super) cancelled: watch::Receiver<Option<Actor>>,
    pub(super) stop: watch::Receiver<Stop>,
    /// When it came to where it stands.
    pub(super) since: Instant,
}

/// How waiting for something ended.
enum Turn {
    Slot(Slot),
    End(Event, Actor),
    /// The next start goes on with it.
    Left,
}

impl Runner {
    /// Goes on once the task is on disk, whether somebody waits for the answer or not.
    pub(super) async fn accept(self: Box<Self>, saved: Saved, accepted: oneshot::Sender<Result<(), Off>>) {
        if let Err(off) = saved.await {
            self.shared.index.lock().remove(self.record.number);
            drop(accepted.send(Err(off)));
            return;
        }
        drop(accepted.send(Ok(())));
        self.live().await;
    }

    /// Takes the task to its end, or to that of the process.
    pub(super) async fn live(mut self) {
        let _slot = match self.slot.take() {
            Some(slot) => slot,
            None => match self.wait().await {
                Turn::Slot(slot) => {
                    // Before it does anything that must not be done twice. Where that fails, the next start begins it.
                    if self.begin().await.is_err() {
                        return;
                    }
                    slot
                }
                Turn::End(event, by) => return self.end(event, by, None).await,
                Turn::Left => return,
            },
        };
        let (event, by, outcome) = match self.run().await {
            (Turn::End(event, by), outcome) => (event, by, outcome),
            (Turn::Slot(_) | Turn::Left, _) => return,
        };
        self.end(event, by, outcome).await;
    }

    async fn wait(&mut self) -> Turn {
        let Settings { max_wait, .. } = self.shared.settings;
        tokio::select! {
            biased;
            by = cancellation(&mut self.cancelled) => Turn::End(Event::Cancel, by),
            () = stopped(&mut self.stop, Stop::Draining) => Turn::Left,
            slot = self.shared.slot(self.record.kind) => Turn::Slot(slot),
            () = time::sleep(max_wait.saturating_sub(self.since.elapsed())) => {
                let detail = format!("it waited {} s for its turn", max_wait.as_secs());
                Turn::End(Event::Fail(Failure::new(Reason::Rejected, detail)), Actor::System)
            }
        }
    }

    async fn begin(&mut self) -> Result<(), Off> {
        let now = self.now();
        self.record.life.apply(Event::Start, Actor::System, now).expect("what waits can start");
        self.since = Instant::now();
        self.shared.store.update(&self.record).await?;
        self.shared.index.lock().publish(self.record.clone());
        Ok(())
    }

    async fn run(&mut self) -> (Turn, Option<Outcome>) {
        let report = Report { shared: self.shared.clone(), id: self.record.id };
        let job = std::mem::replace(&mut self.job, Box::new(|_| Box::pin(std::future::pending())));
        let mut work = Box::pin(AssertUnwindSafe(async move { job(report).await }).catch_unwind());
        let timeout = self.record.timeout;
        let end = |reason, detail| Turn::End(Event::Fail(Failure { reason, detail }), Actor::System);
        let (turn, outcome) = tokio::select! {
            biased;
            by = cancellation(&mut self.cancelled) => (Turn::End(Event::Cancel, by), None),
            done = &mut work => match done {
                Ok(Ok(outcome)) => (Turn::End(Event::Complete, Actor::System), Some(outcome)),
                // A job that runs was not rejected, whatever it says.
                Ok(Err(failure)) if failure.reason == Reason::Rejected => (end(Reason::Error, failure.detail), None),
                Ok(Err(failure)) => (end(failure.reason, failure.detail), None),
                Err(_) => (end(Reason::Error, "its job panicked".into()), None),
            },
            () = time::sleep(timeout.saturating_sub(self.since.elapsed())) => {
                (end(Reason::Timeout, format!("it ran for {} s", timeout.as_secs())), None)
            }
            () = stopped(&mut self.stop, Stop::Halted) => (Turn::Left, None),
        };
        guarded(|| drop(work));
        (turn, outcome)
    }

    /// Writes the end down, then shows it. If it cannot be written, it is shown as well: it is what has happened.
    async fn end(mut self, event: Event, by: Actor, outcome: Option<Outcome>) {
        let now = self.now();
        let (event, outcome) = self.fit(event, outcome, now.wall_ms);
        if let Some(shown) = self.shared.index.lock().record(self.record.number) {
            self.record.life.keep_progress(&shown.life);
        }
        if let Err(impossible) = self.record.life.apply(event, by, now) {
            tracing::error!(?impossible, task = %self.record.id, "a task that ends");
            return;
        }
        let number = self.record.number;
        let Shared { index, store, .. } = &*self.shared;
        let saved = store.end(&self.record, outcome).await;
        let mut index = index.lock();
        if let (Err(_), Some(finished)) = (saved, self.record.life.finished_ms()) {
            index.release(finished, number);
        }
        index.publish(self.record.clone());
        let is_kept = index.record(number).is_some_and(|record| record.result.is_some());
        if self.record.result.is_some() && !is_kept {
            // It had to go for another one while it was written.
            store.forget(&[], &[number]);
        }
    }

    /// Finds room for a result, or fails the task.
    fn fit(&mut self, event: Event, outcome: Option<Outcome>, now_ms: u64) -> (Event, Option<Outcome>) {
        let Some(outcome) = outcome else { return (event, None) };
        let too_large = |what: &str, given: usize, most: u64| {
            let detail = format!("{what} of {given} bytes: expected at most {most}");
            (Event::Fail(Failure::new(Reason::TooLarge, detail)), None)
        };
        let head = head_bytes(&outcome);
        if outcome.body.len() > Outcome::MOST_BODY {
            return too_large("a body", outcome.body.len(), Outcome::MOST_BODY as u64);
        }
        if head > Outcome::MOST_HEAD {
            return too_large("a head", head, Outcome::MOST_HEAD as u64);
        }
        let stored = head + outcome.body.len();
        let (number, most) = (self.record.number, self.shared.settings.max_bytes);
        let finished = now_ms.max(self.record.life.history().last().map_or(0, |step| step.at_ms));
        let gone = self.shared.index.lock().reserve(finished, number, stored as u64, most);
        let Some(gone) = gone else { return too_large("a result", stored, most) };
        self.shared.forget(&gone);
        self.record.result = Some(Kept {
            status: outcome.status.as_u16(),
            body_bytes: outcome.body.len() as u64,
            stored_bytes: stored as u64,
        });
        (event, Some(outcome))
    }

    fn now(&self) -> Moment {
        Moment { wall_ms: self.shared.clock.now_ms(), lasted: Some(self.since.elapsed()) }
    }
}

/// Bytes that the status and the fields take in the store, at most.
fn head_bytes(outcome: &Outcome) -> usize {
    16 + outcome.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 8).sum::<usize>()
}

async fn cancellation(cancelled: &mut watch::Receiver<Option<Actor>>) -> Actor {
    let by = cancelled.wait_for(Option::is_some).await.ok().and_then(|by| *by);
    match by {
        Some(by) => by,
        // The task is not in the index any more, so that nobody can ask.
        None => std::future::pending().await,
    }
}

async fn stopped(stop: &mut watch::Receiver<Stop>, from: Stop) {
    let is_over = stop.wait_for(|stop| *stop >= from).await.is_err();
    if is_over {
        std::future::pending().await
    }
}

/// Does what foreign code does; `None` if it panicked.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
