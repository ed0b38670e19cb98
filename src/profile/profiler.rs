//! The way of a sample from the request's thread to the table.

use std::{
    cell::RefCell,
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::{Mutex, MutexGuard};
use rtrb::{Consumer, Producer, PushError, RingBuffer};
use thread_local::ThreadLocal;

use super::{
    Settings,
    kept::Kept,
    sample::Sample,
    saturation::Saturation,
    table::{Clock, Endpoint, Snapshot, Table, Totals},
    window::Period,
};

/// Samples that a thread may have waiting; some 160 KiB.
const RING: usize = 512;
/// After so many, a thread has them taken into the table, unless somebody else is at it.
const BATCH: usize = 128;

/// Takes one [`Sample`] per request and answers with percentiles.
///
/// A request does no more than put its sample into a ring that is its thread's own: no lock, no allocation, nothing that
/// another thread writes to. Every 128th takes what waits into the table if the table is free, and only a thread whose
/// ring is full waits for it, since no sample is lost. Whoever reads takes in what waits first.
pub struct Profiler {
    rings: ThreadLocal<RefCell<Ring>>,
    merger: Mutex<Merger>,
    clock: Clock,
    keeps_from: AtomicU64,
}

/// Where a thread puts its samples.
struct Ring {
    producer: Producer<Sample>,
    /// Since it was last seen to that they are taken.
    recorded: usize,
}

/// Where they go.
struct Merger {
    rings: Vec<Consumer<Sample>>,
    table: Table,
}

impl fmt::Debug for Profiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profiler").finish_non_exhaustive()
    }
}

impl Profiler {
    /// An empty profiler; `now` and `wall` are the same moment.
    pub fn new(settings: Settings, now: Instant, wall: SystemTime) -> Self {
        let clock = Clock::new(now, wall);
        let table = Table::new(settings, clock, fastrand::u64(..));
        let keeps_from = AtomicU64::new(0);
        Self { rings: ThreadLocal::new(), merger: Mutex::new(Merger { rings: Vec::new(), table }), clock, keeps_from }
    }

    /// Takes up another threshold for what is slow, other names and bounds, for requests that end from now on.
    pub fn reload(&self, settings: &Settings) {
        self.merger.lock().table.reload(settings);
    }

    /// Takes a sample: short, never awaits.
    pub fn record(&self, sample: Sample) {
        let mut ring = self.rings.get_or(|| RefCell::new(self.ring())).borrow_mut();
        if let Err(PushError::Full(sample)) = ring.producer.push(sample) {
            self.merge(&mut self.merger.lock());
            // Nobody but this thread puts anything into this ring.
            let _ = ring.producer.push(sample);
        }
        ring.recorded += 1;
        if ring.recorded >= BATCH {
            ring.recorded = 0;
            if let Some(mut merger) = self.merger.try_lock() {
                self.merge(&mut merger);
            }
        }
    }

    /// Whether more than its figures would be kept of a request that took so long.
    pub fn keeps(&self, duration: Duration) -> bool {
        duration.as_nanos() >= u128::from(self.keeps_from.load(Relaxed))
    }

    fn ring(&self) -> Ring {
        let (producer, consumer) = RingBuffer::new(RING);
        self.merger.lock().rings.push(consumer);
        Ring { producer, recorded: 0 }
    }

    fn merge(&self, Merger { rings, table }: &mut Merger) {
        for ring in rings {
            if let Ok(waiting) = ring.read_chunk(ring.slots()) {
                let (first, second) = waiting.as_slices();
                first.iter().chain(second).for_each(|sample| table.add(sample));
                waiting.commit_all();
            }
        }
        let keeps_from = table.slow.keeps_from(table.minute, table.settings.slow);
        self.keeps_from.store(u64::try_from(keeps_from.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Takes in what waits. To be called at least every few seconds, so that what happened in a minute is counted in it.
    pub fn settle(&self, now: Instant) {
        drop(self.settled(now));
    }

    fn settled(&self, now: Instant) -> MutexGuard<'_, Merger> {
        let mut merger = self.merger.lock();
        self.merge(&mut merger);
        let minute = self.clock.minute(now);
        merger.table.turn(minute);
        merger
    }

    /// What the endpoint of a path is called that the app knows.
    pub fn name_of(&self, path: &[u8]) -> Arc<str> {
        self.merger.lock().table.name_of(path)
    }

    /// What an endpoint of this name is called by now: it may have come to be one of many.
    pub fn name_by_now(&self, name: &str) -> Arc<str> {
        self.merger.lock().table.name_by_now(name)
    }

    /// The figures of a period that ends now, or before such a one.
    pub fn snapshot(&self, period: impl Into<Period>, now: Instant) -> Snapshot {
        let mut snapshot = self.settled(now).table.snapshot(period.into(), now);
        // Sorted after the lock is released, and so are percentiles computed: requests want to merge.
        snapshot.endpoints.sort_by(|a, b| (&a.endpoint, a.method).cmp(&(&b.endpoint, b.method)));
        snapshot
    }

    /// The figures of some minutes that are over, of endpoints that had requests in them; see [`super::around`].
    pub fn between(&self, minutes: Range<u64>, now: Instant) -> Vec<Endpoint> {
        let mut endpoints = self.settled(now).table.between(minutes);
        endpoints.sort_by(|a, b| (&a.endpoint, a.method).cmp(&(&b.endpoint, b.method)));
        endpoints
    }

    /// The minute that something was in, counted since 1970.
    pub fn minute(&self, at: Instant) -> u64 {
        self.clock.minute(at)
    }

    /// When something was, since 1970.
    pub fn since_1970(&self, at: Instant) -> Duration {
        self.clock.since_1970(at)
    }

    /// What is known of how much the app can do at once.
    pub fn saturation(&self) -> Saturation {
        self.merger.lock().table.levels.saturation()
    }

    /// What was counted since the start.
    pub fn totals(&self, now: Instant) -> Totals {
        self.settled(now).table.totals()
    }

    /// Everything that is known, to be taken up by another process.
    pub fn keep(&self, now: Instant) -> Kept {
        Kept::of(&self.settled(now).table)
    }

    /// Takes up what another process knew. What is older than a day, or of a time to come, is left out.
    pub fn restore(&self, kept: Kept) {
        kept.into_table(&mut self.merger.lock().table);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread, time::UNIX_EPOCH};

    use super::*;
    use crate::profile::Window;

    fn profiler() -> Profiler {
        Profiler::new(Settings::default(), Instant::now(), UNIX_EPOCH + Duration::from_secs(1_700_000_000))
    }

    fn requests(profiler: &Profiler) -> u64 {
        profiler.snapshot(Window::Day, Instant::now()).total().counts.requests
    }

    #[test]
    fn an_empty_profiler_has_no_endpoints() {
        let snapshot = profiler().snapshot(Window::Hour, Instant::now());
        assert!(snapshot.endpoints.is_empty() && snapshot.slowest.is_empty());
        assert_eq!(snapshot.total(), Default::default());
    }

    #[test]
    fn reading_sees_samples_that_wait() {
        let profiler = profiler();
        profiler.record(Sample::of("/", Duration::from_millis(1)));
        assert_eq!(requests(&profiler), 1);
        assert_eq!(requests(&profiler), 1, "a second reading counts nothing twice");
    }

    #[test]
    fn a_batch_is_taken_in_without_a_reader() {
        let profiler = profiler();
        for _ in 0..BATCH {
            profiler.record(Sample::of("/", Duration::from_millis(1)));
        }
        let merger = profiler.merger.lock();
        assert_eq!(merger.table.rows[0].current.counts.requests, BATCH as u64);
    }

    #[test]
    fn while_somebody_reads_samples_wait_in_their_ring() {
        let profiler = profiler();
        let merger = profiler.merger.lock();
        thread::scope(|scope| {
            // Not this thread's, which registers its ring first.
            let recorded = scope.spawn(|| {
                for _ in 0..RING {
                    profiler.record(Sample::of("/", Duration::from_millis(1)));
                }
            });
            drop(merger);
            recorded.join().unwrap();
        });
        let merger = profiler.merger.lock();
        drop(merger);
        assert_eq!(requests(&profiler), RING as u64);
    }

    #[test]
    fn only_what_is_slow_or_among_the_slowest_is_kept() {
        let profiler = profiler();
        assert!(profiler.keeps(Duration::ZERO));
        for n in 0..100 {
            profiler.record(Sample::of("/", Duration::from_millis(n)));
        }
        profiler.settle(Instant::now());
        assert!(!profiler.keeps(Duration::from_millis(79)) && profiler.keeps(Duration::from_millis(80)));
    }

    #[test]
    fn endpoints_are_in_the_order_of_their_names() {
        let profiler = profiler();
        for path in ["/c", "/a", "/b"] {
            profiler.record(Sample::of(path, Duration::from_millis(1)));
        }
        let snapshot = profiler.snapshot(Window::Hour, Instant::now());
        let names: Vec<String> = snapshot.endpoints.iter().map(|row| row.endpoint.to_string()).collect();
        assert_eq!(names, ["/a", "/b", "/c"]);
    }

    #[test]
    fn threads_lose_nothing_while_somebody_reads() {
        const THREADS: u64 = 33;
        const EACH: u64 = 3 * RING as u64 + 7;
        let profiler = profiler();
        let begin = Barrier::new(THREADS as usize + 1);
        thread::scope(|scope| {
            for number in 0..THREADS {
                let (profiler, begin) = (&profiler, &begin);
                scope.spawn(move || {
                    begin.wait();
                    for n in 0..EACH {
                        let sample = Sample::of(&format!("/{}", number % 3), Duration::from_micros(n));
                        profiler.record(Sample { bytes: 1, ..sample });
                    }
                });
            }
            begin.wait();
            let mut before = 0;
            for _ in 0..20 {
                let now = requests(&profiler);
                assert!(now >= before, "{now} requests after {before}");
                before = now;
            }
        });
        let (now, all) = (Instant::now(), THREADS * EACH);
        let total = profiler.snapshot(Window::Day, now).total();
        assert_eq!((total.counts.requests, total.counts.bytes, total.latency.count()), (all, all, all));
        assert_eq!(total.latency.sum(), Duration::from_micros(THREADS * (EACH - 1) * EACH / 2));
        let durations: u64 = profiler.totals(now).series.iter().map(|(.., series)| series.durations.count()).sum();
        assert_eq!(durations, all);
    }
}
