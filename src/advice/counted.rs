//! What the cache and coding did of late. Their counters only grow, and what was repaired yesterday must not be advised
//! today.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{cache, compress};

/// How often the counters are noted. Figures are of one to two times as long, once the process has run that long.
const NOTED_EVERY: Duration = Duration::from_secs(1800);
/// Notes that are kept: the newest, and the one before.
const NOTES: usize = 2;

/// Notes of counters at some moments, from which on figures can be told.
#[derive(Debug)]
pub struct Counted {
    notes: Mutex<VecDeque<Note>>,
}

/// The counters at one moment.
#[derive(Clone, Debug)]
struct Note {
    at: Instant,
    cache: cache::Snapshot,
    compression: compress::stats::Snapshot,
}

/// What was counted in some time.
#[derive(Clone, Debug)]
pub struct Recently {
    /// What the cache did in it, and what it holds now.
    pub cache: cache::Snapshot,
    /// What coding did in it.
    pub compression: compress::stats::Snapshot,
    /// How long it is.
    pub lasts: Duration,
}

impl Counted {
    /// Nothing was counted before `start`.
    pub fn new(start: Instant) -> Self {
        let note = Note { at: start, cache: Default::default(), compression: Default::default() };
        Self { notes: Mutex::new(VecDeque::from([note])) }
    }

    /// Notes the counters if it is time to.
    pub fn note(&self, now: Instant, counters: impl FnOnce() -> (cache::Snapshot, compress::stats::Snapshot)) {
        let is_time = |notes: &VecDeque<Note>| notes.back().is_none_or(|last| now >= last.at + NOTED_EVERY);
        if !is_time(&self.notes.lock()) {
            return;
        }
        let (cache, compression) = counters();
        let mut notes = self.notes.lock();
        notes.push_back(Note { at: now, cache, compression });
        while notes.len() > NOTES {
            notes.pop_front();
        }
    }

    /// From now on only what is counted from now on is told: other settings are in force.
    pub fn begin_anew(&self, now: Instant, cache: cache::Snapshot, compression: compress::stats::Snapshot) {
        *self.notes.lock() = VecDeque::from([Note { at: now, cache, compression }]);
    }

    /// What was counted since the oldest note; the counters are those of `now`.
    pub fn recently(&self, now: Instant, cache: cache::Snapshot, compression: compress::stats::Snapshot) -> Recently {
        match self.notes.lock().front() {
            Some(note) => Recently {
                lasts: now.saturating_duration_since(note.at),
                cache: cache.since(&note.cache),
                compression: compression.since(&note.compression),
            },
            None => Recently { cache, compression, lasts: Duration::ZERO },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::{Evicted, Outcome, Skip, Stats},
        header::coding::Coding,
    };

    const MINUTE: Duration = Duration::from_secs(60);

    /// A cache and coding, where nothing has happened yet.
    #[derive(Default)]
    struct Counters(Stats, compress::Stats);

    impl Counters {
        fn now(&self) -> (cache::Snapshot, compress::stats::Snapshot) {
            (self.0.snapshot(), self.1.snapshot())
        }

        /// As much of everything.
        fn happen(&self, times: u64) {
            for _ in 0..times {
                let route = self.0.of_route(Some("shop"));
                route.answered(Outcome::Miss);
                route.skipped(Skip::Private);
                route.stored();
                self.0.evicted(Evicted::Capacity);
                self.1.compressed(Coding::Br, Some(b"text/html"), 100, 40);
                self.1.skipped(compress::Skip::Http10);
            }
        }
    }

    /// How often it happened of late, which is as often everywhere; and in how many minutes.
    fn recently(counted: &Counted, counters: &Counters, now: Instant) -> (u64, u64) {
        let (cache, compression) = counters.now();
        let Recently { cache, compression, lasts } = counted.recently(now, cache, compression);
        let of_route = cache.routes.first().map(|(_, figures)| figures.clone()).unwrap_or_default();
        let sent = compression.sent();
        let skips = |figures: &cache::Figures| figures.skips.iter().map(|(_, count)| *count).sum::<u64>();
        let counts = [
            cache.total.outcome(Outcome::Miss),
            cache.total.stored,
            skips(&cache.total),
            of_route.outcome(Outcome::Miss),
            skips(&of_route),
            cache.evictions.iter().map(|(_, count)| *count).sum(),
            sent.bodies,
            sent.bytes_saved() as u64 / 60,
            compression.skipped(),
            compression.kinds.iter().map(|(_, volume)| volume.bodies).sum(),
        ];
        assert_eq!(counts, [counts[0]; 10]);
        (counts[0], lasts.as_secs() / 60)
    }

    #[test]
    fn figures_are_of_the_last_half_hour_to_hour() {
        let (start, counters) = (Instant::now(), Counters::default());
        let counted = Counted::new(start);
        let mut told = Vec::new();
        for minute in 1..=120 {
            counters.happen(1);
            let now = start + MINUTE * minute;
            counted.note(now, || counters.now());
            told.push(recently(&counted, &counters, now));
        }
        assert!(told.iter().all(|(count, minutes)| count == minutes), "{told:?}");
        assert_eq!((told[0].0, told[28].0, told[58].0, told[59].0, told[60].0, told[119].0), (1, 29, 59, 30, 31, 30));
    }

    #[test]
    fn other_settings_begin_anew() {
        let (start, counters) = (Instant::now(), Counters::default());
        let counted = Counted::new(start);
        counters.happen(7);
        let (cache, compression) = counters.now();
        counted.begin_anew(start + MINUTE, cache, compression);
        counters.happen(2);
        assert_eq!(recently(&counted, &counters, start + 4 * MINUTE), (2, 3));
    }
}
