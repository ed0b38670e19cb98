//! The way of a sample from the request's thread to the table.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use super::{
    Settings,
    sample::Sample,
    table::{Snapshot, Table},
};

/// Buffers, so that threads seldom wait for each other. More threads than this share them.
const SLOTS: usize = 16;

/// Samples in a buffer until it is folded into the table: enough to make folding rare, few enough to fold in some
/// 20 µs. All buffers together take 0.2 MiB.
const BUFFER: usize = 128;

/// Samples in a buffer while somebody copies the table, which takes up to two milliseconds when it is full. Beyond this
/// a request waits; all buffers together take 1.5 MiB then.
const BUFFER_WHILE_READ: usize = 1024;

/// Takes one [`Sample`] per request and answers with percentiles.
///
/// Folding a sample costs more than a request should pay on its way, and a table that all threads write to makes them
/// queue. So a sample is only put into its thread's buffer, under a lock that nobody else wants at that moment, and
/// every 128th request folds. Locks are those of `parking_lot`, not of tokio: nothing is awaited under them.
/// Whoever takes both locks takes the buffer's first.
#[derive(Debug)]
pub struct Profiler {
    slots: [Slot; SLOTS],
    table: Mutex<Table>,
}

/// A buffer on a cache line of its own, so that threads do not slow each other down by being neighbours.
#[derive(Debug)]
#[repr(align(64))]
struct Slot(Mutex<Vec<Sample>>);

impl Profiler {
    /// An empty profiler.
    pub fn new(settings: Settings) -> Self {
        Self {
            slots: std::array::from_fn(|_| Slot(Mutex::new(Vec::with_capacity(BUFFER)))),
            table: Mutex::new(Table::new(&settings)),
        }
    }

    /// Takes up another threshold for what is slow, for requests that end from now on.
    pub fn reload(&self, settings: &Settings) {
        self.table.lock().reload(settings);
    }

    /// Takes a sample: short, never awaits.
    pub fn record(&self, sample: Sample) {
        let mut samples = self.slots[slot_of_this_thread()].0.lock();
        samples.push(sample);
        if samples.len() < BUFFER {
            return;
        }
        let table = if samples.len() < BUFFER_WHILE_READ { self.table.try_lock() } else { Some(self.table.lock()) };
        let Some(mut table) = table else { return };
        samples.drain(..).for_each(|sample| table.add(&sample));
        // A buffer that grew gives its room back.
        samples.shrink_to(BUFFER);
    }

    /// All figures since the start.
    pub fn snapshot(&self) -> Snapshot {
        for slot in &self.slots {
            let mut samples = slot.0.lock();
            if !samples.is_empty() {
                let mut table = self.table.lock();
                samples.drain(..).for_each(|sample| table.add(&sample));
            }
        }
        let mut snapshot = self.table.lock().snapshot();
        // Sorted after the lock is released, and so are percentiles computed: requests want to fold.
        snapshot.endpoints.sort_by(|a, b| (&a.endpoint, a.method).cmp(&(&b.endpoint, b.method)));
        snapshot
    }
}

/// Numbers the threads in the order of their first sample and deals the slots out to them.
///
/// The number belongs to the thread and not to a profiler, and is all that is shared between profilers.
fn slot_of_this_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SLOT: usize = THREADS.fetch_add(1, Relaxed) % SLOTS;
    }
    SLOT.with(|slot| *slot)
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread, time::Duration};

    use super::*;

    fn profiler() -> Profiler {
        Profiler::new(Settings::default())
    }

    #[test]
    fn an_empty_profiler_has_no_endpoints() {
        let snapshot = profiler().snapshot();
        assert!(snapshot.endpoints.is_empty() && snapshot.slowest.is_empty());
        assert_eq!(snapshot.total().requests, 0);
    }

    #[test]
    fn reading_sees_samples_of_a_buffer_that_is_not_full() {
        let profiler = profiler();
        profiler.record(Sample::of("/", Duration::from_millis(1)));
        assert_eq!(profiler.snapshot().total().requests, 1);
        assert_eq!(profiler.snapshot().total().requests, 1, "a second reading counts nothing twice");
    }

    #[test]
    fn a_full_buffer_is_folded_without_a_reader() {
        let profiler = profiler();
        for _ in 0..BUFFER {
            profiler.record(Sample::of("/", Duration::from_millis(1)));
        }
        assert_eq!(profiler.table.lock().snapshot().total().requests, BUFFER as u64);
    }

    #[test]
    fn while_somebody_copies_the_table_samples_wait_in_their_buffer() {
        let profiler = profiler();
        let table = profiler.table.lock();
        for _ in 0..BUFFER_WHILE_READ - 1 {
            profiler.record(Sample::of("/", Duration::from_millis(1)));
        }
        assert_eq!(table.snapshot().total().requests, 0);
        drop(table);
        profiler.record(Sample::of("/", Duration::from_millis(1)));
        assert_eq!(profiler.table.lock().snapshot().total().requests, BUFFER_WHILE_READ as u64);
    }

    #[test]
    fn endpoints_are_in_the_order_of_their_names() {
        let profiler = profiler();
        for endpoint in ["/c", "/a", "/b"] {
            profiler.record(Sample::of(endpoint, Duration::from_millis(1)));
        }
        let names: Vec<String> = profiler.snapshot().endpoints.iter().map(|row| row.endpoint.to_string()).collect();
        assert_eq!(names, ["/a", "/b", "/c"]);
    }

    #[test]
    fn threads_lose_nothing_while_somebody_reads() {
        const THREADS: u64 = 2 * SLOTS as u64 + 1;
        const EACH: u64 = 3 * BUFFER as u64 + 7;
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
                let now = profiler.snapshot().total().requests;
                assert!(now >= before, "{now} requests after {before}");
                before = now;
            }
        });
        let total = profiler.snapshot().total();
        let all = THREADS * EACH;
        assert_eq!((total.requests, total.bytes, total.latency.count(), total.durations.count()), (all, all, all, all));
        assert_eq!(total.durations.sum(), Duration::from_micros(THREADS * (EACH - 1) * EACH / 2));
    }
}
