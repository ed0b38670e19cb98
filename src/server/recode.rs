//! Codes the bodies that have proved hot anew, as small as their codings get them, within a share of one core.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use crate::{
    cache::{Entry, Key},
    compress::{
        Settings, coded_head,
        encoder::{Effort, whole},
    },
    header::coding::Coding,
    state::State,
};

/// Bodies that wait to be coded anew; more are asked for again by later uses.
const MOST_WAITING: usize = 256;

/// A body that has proved hot in one coding.
struct Hot {
    key: Key,
    /// What has left the store meanwhile is not worth the work.
    entry: Weak<Entry>,
    coding: Coding,
    settings: Arc<Settings>,
}

/// Where hot bodies are handed in. The thread behind it ends when this is dropped.
pub(super) struct Recoder {
    waiting: SyncSender<Hot>,
    /// Of one core.
    percent: Arc<AtomicU32>,
}

impl Recoder {
    /// Starts the thread; it works for whoever holds the state, and holds it itself only while it works.
    pub(super) fn start(state: &Arc<State>) -> Self {
        let (waiting, hot) = sync_channel(MOST_WAITING);
        let (percent, state) = (Arc::new(AtomicU32::new(0)), Arc::downgrade(state));
        let share = percent.clone();
        // Without the thread bodies stay as they are: whatever is handed in is dropped.
        let _ = thread::Builder::new().name("recode".into()).spawn(move || work(&hot, &state, &share));
        Self { waiting, percent }
    }

    /// Sets the share of one core that it may take, in percent.
    pub(super) fn limit(&self, percent: u32) {
        self.percent.store(percent, Relaxed);
    }

    /// Hands in a body that has proved hot; whether it will be coded anew.
    pub(super) fn offer(&self, key: Key, entry: &Arc<Entry>, coding: Coding, settings: &Arc<Settings>) -> bool {
        let hot = Hot { key, entry: Arc::downgrade(entry), coding, settings: settings.clone() };
        self.percent.load(Relaxed) > 0 && self.waiting.try_send(hot).is_ok()
    }
}

fn work(waiting: &Receiver<Hot>, state: &Weak<State>, percent: &AtomicU32) {
    while let Ok(hot) = waiting.recv() {
        let Some(state) = state.upgrade() else { return };
        let spent = recode(&state, &hot);
        drop(state);
        thread::sleep(pause_after(spent, percent.load(Relaxed)));
    }
}

/// Codes one body anew and swaps it in where that makes it smaller; the CPU time that it took.
fn recode(state: &State, hot: &Hot) -> Duration {
    let Some(entry) = hot.entry.upgrade() else { return Duration::ZERO };
    let Some(before) = entry.coded(hot.coding).filter(|coded| !coded.best) else { return Duration::ZERO };
    let stats = &state.compression.stats;
    let Ok((body, spent)) = whole(hot.coding, Effort::Best, &hot.settings, &entry.body) else {
        stats.skipped(crate::compress::Skip::Failed);
        return Duration::ZERO;
    };
    stats.encoded(hot.coding, true, spent);
    let before = before.form.clone();
    let length = before.as_ref().map_or(entry.body.len(), |(_, body)| body.len());
    let form = if body.len() < length {
        stats.recoded(length as u64, body.len() as u64);
        Some((coded_head(&entry.sent, hot.coding, Some(body.len() as u64)), body))
    } else {
        before
    };
    // Without room for it, what is there stays.
    let _ = state.cache.keep_coded(&hot.key, &entry, hot.coding, form, true);
    spent
}

/// How long to rest after so much work, so that it takes no more than its share of one core.
fn pause_after(spent: Duration, percent: u32) -> Duration {
    match percent {
        100.. => Duration::ZERO,
        percent => spent.saturating_mul(100 - percent) / percent.max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rest_keeps_work_within_its_share() {
        let second = Duration::from_secs(1);
        for (percent, rest) in [(0, 100), (1, 99), (10, 9), (50, 1), (100, 0), (1000, 0)] {
            assert_eq!(pause_after(second, percent), second * rest, "{percent} %");
        }
    }
}
