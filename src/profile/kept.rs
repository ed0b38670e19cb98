//! What outlives the process, if the operator wants it: figures of the past in a file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    sample::METHODS,
    table::Table,
    tier::Slot,
    timeline::{Past, TEN},
    window::History,
};

/// What such a file begins with; the number is that of its form.
const MAGIC: &[u8] = b"pacecar profile 4\n";

/// The figures of all endpoints, and of all of them together, up to a moment.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// The step of ten seconds that was not over, counted since 1970.
    ten: u64,
    /// Since when it was counted, since 1970.
    since: Duration,
    endpoints: Vec<KeptEndpoint>,
    /// What was counted of all of them in the step that was not over, and before.
    current: Slot,
    past: Past,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct KeptEndpoint {
    name: String,
    method: String,
    busy: u64,
    /// What was counted in the minute that was not over, and before.
    current: Slot,
    past: History,
}

impl Kept {
    pub(super) fn of(table: &Table) -> Self {
        let endpoints = table.rows.iter().map(|row| KeptEndpoint {
            name: row.endpoint.to_string(),
            method: row.method.into(),
            busy: row.busy,
            current: row.current.pack(),
            past: row.past.clone(),
        });
        let (current, past) = table.timeline.kept();
        Self { ten: table.timeline.at, since: table.since, endpoints: endpoints.collect(), current, past }
    }

    pub(super) fn into_table(self, table: &mut Table) {
        let minute = self.ten / (60 / TEN);
        // A clock that was set back: where it belongs is not known. One that went a little faster is followed.
        if minute > table.minute + 1 {
            return;
        }
        table.turn(self.ten);
        table.since = table.since.min(self.since);
        table.timeline.restore(self.ten, self.current, self.past);
        let mut endpoints = self.endpoints;
        endpoints.sort_by_key(|endpoint| std::cmp::Reverse(endpoint.busy));
        for KeptEndpoint { name, method, busy, mut current, mut past } in endpoints {
            let Some(method) = METHODS.into_iter().find(|known| **known == method) else { continue };
            for minute in (minute..table.minute).take(25 * 60) {
                past.close(minute, current.take());
            }
            if current.is_some() || !past.is_empty() {
                table.restore(&name, method, current, past, busy);
            }
        }
    }

    /// As the file has it.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Into memory, and of plain data: it cannot fail.
        postcard::to_extend(self, MAGIC.to_vec()).unwrap_or_default()
    }

    /// What a file says.
    ///
    /// # Errors
    /// When it is not such a file, is damaged, or is of another version's form.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, &'static str> {
        let rest = bytes.strip_prefix(MAGIC).ok_or("expected a file that this version of pacecar wrote")?;
        let (kept, rest) = postcard::take_from_bytes(rest).map_err(|_| "it is damaged")?;
        if rest.is_empty() { Ok(kept) } else { Err("it is damaged") }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, UNIX_EPOCH};

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::profile::{Profiler, Sample, Settings, Window};

    const WALL: Duration = Duration::from_secs(1_700_000_000);

    fn profiler(now: Instant, later: Duration) -> Profiler {
        Profiler::new(Settings::default(), now, UNIX_EPOCH + WALL + later)
    }

    /// What a process kept that served for an hour, one request a minute.
    fn kept(start: Instant) -> Kept {
        let profiler = profiler(start, Duration::ZERO);
        for minute in 0..60 {
            let ended = start + Duration::from_secs(60 * minute);
            profiler.record(Sample { ended, ..Sample::of("/users/7", Duration::from_millis(minute)) });
        }
        profiler.keep(start + Duration::from_secs(59 * 60))
    }

    #[test]
    fn figures_survive() {
        let start = Instant::now();
        let bytes = kept(start).to_bytes();
        for (minutes_later, window, expected) in [
            (60, Window::Hour, 60..=60),
            (60, Window::Day, 60..=60),
            (90, Window::Hour, 30..=35),
            (90, Window::Day, 60..=60),
            // Longer ago than anything is kept, and before it happened.
            (27 * 60, Window::Day, 0..=0),
            (30, Window::Day, 0..=0),
        ] {
            let later = profiler(start, Duration::from_secs(60 * minutes_later));
            later.restore(Kept::from_bytes(&bytes).unwrap());
            let snapshot = later.snapshot(window, start);
            let found = snapshot.total().counts.requests;
            assert!(expected.contains(&found), "{found} after {minutes_later} minutes in {window:?}");
            if found > 0 {
                assert_eq!((&*snapshot.endpoints[0].endpoint, snapshot.endpoints[0].method), ("/users/{id}", "GET"));
            }
        }
    }

    #[test]
    fn what_is_restored_goes_on() {
        let start = Instant::now();
        let later = profiler(start, Duration::from_secs(60 * 60));
        later.restore(kept(start));
        later.record(Sample::of("/users/8", Duration::from_secs(1)));
        let total = later.snapshot(Window::Day, start).total();
        assert_eq!((total.counts.requests, total.latency.summary().unwrap().max), (61, Duration::from_secs(1)));
    }

    proptest! {
        #[test]
        fn a_damaged_file_is_refused_or_harmless(at in 0usize..4000, byte: u8, cut in 0usize..8000) {
            let start = Instant::now();
            let mut bytes = kept(start).to_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(cut);
            if let Ok(kept) = Kept::from_bytes(&bytes) {
                let later = profiler(start, Duration::from_secs(60 * 60));
                later.restore(kept);
                later.record(Sample::of("/", Duration::from_millis(1)));
                let snapshot = later.snapshot(Window::Day, start);
                prop_assert!(snapshot.total().counts.requests > 0);
            }
        }

        #[test]
        fn foreign_bytes_are_no_danger(bytes in vec(any::<u8>(), 0..200)) {
            prop_assert!(Kept::from_bytes(&bytes).is_err());
            let _ = Kept::from_bytes(&[MAGIC, &bytes].concat());
        }
    }
}
