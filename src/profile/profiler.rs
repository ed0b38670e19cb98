//! The way of a sample from the request's thread to the table.

use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use parking_lot::MappedMutexGuard;

use super::{
    Settings,
    course::Course,
    kept::Kept,
    known::Known,
    names::Template,
    sample::{Path, Sample, SpanId},
    saturation::Saturation,
    table::{Clock, Endpoint, Snapshot, Table, Totals},
    window::{Period, Window},
};
use crate::rings::{Rings, Sink};

/// Samples that a thread may have waiting; some 160 KiB.
const RING: usize = 512;
/// After so many, a thread has them taken into the table, unless somebody else is at it.
const BATCH: usize = 128;

/// Takes one [`Sample`] per request and answers with percentiles.
///
/// A request does no more than put its sample into a ring that is its thread's own ([`Rings`]); whoever reads takes in
/// what waits first.
pub struct Profiler {
    rings: Rings<Sample, Taken>,
    clock: Clock,
    keeps_from: Arc<AtomicU64>,
    /// The same as the table's, for whoever must not wait.
    known: ArcSwap<Known>,
}

/// Where samples end up.
struct Taken {
    table: Table,
    /// From how many nanoseconds on more is kept of a request than its figures.
    keeps_from: Arc<AtomicU64>,
}

impl Sink<Sample> for Taken {
    fn take(&mut self, sample: &Sample) {
        self.table.add(sample);
    }

    fn settled(&mut self) {
        let table = &mut self.table;
        let keeps_from = table.slow.keeps_from(table.minute, table.settings.slow);
        self.keeps_from.store(u64::try_from(keeps_from.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }
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
        let (table, keeps_from) = (Table::new(settings, clock, fastrand::u64(..)), Arc::<AtomicU64>::default());
        let known = ArcSwap::new(table.known().clone());
        let taken = Taken { table, keeps_from: keeps_from.clone() };
        Self { rings: Rings::new(RING, BATCH, taken), clock, keeps_from, known }
    }

    /// Takes up another threshold for what is slow, other names and bounds, for requests that end from now on.
    pub fn reload(&self, settings: &Settings) {
        let table = &mut self.rings.sink().table;
        table.reload(settings);
        self.known.store(table.known().clone());
    }

    /// Learns the routes of the app's own (`http.route`), each with the path of a request that took it: from now on such
    /// paths are called as their route, and what was counted for them under other names is its, too. Routes that do not
    /// match their path, and those that cannot be read, are ignored; at most a thousand are learned.
    pub fn learn<'a>(&self, told: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let known = self.known.load();
        let routes = told.into_iter().filter_map(|(route, path)| {
            Template::of_route(route).filter(|template| template.matches(path.as_bytes()) && known.is_news(template))
        });
        let routes: Vec<Template> = routes.collect();
        if !routes.is_empty() {
            let table = &mut self.rings.settled().table;
            table.learn(&routes);
            self.known.store(table.known().clone());
        }
    }

    /// Takes how many queries requests made, by the spans that they were sent to the app with. Only those that are kept
    /// for their slowness have a use for it.
    pub fn tell_queries(&self, queries: &HashMap<SpanId, u32>) {
        if !queries.is_empty() {
            self.rings.settled().table.slow.tell_queries(queries);
        }
    }

    /// What the endpoint of a path is called that was answered with this status, as far as it can be told without a lock:
    /// [`Self::name_by_now`] knows what has come to be one of many.
    pub fn name(&self, path: &[u8], status: u16) -> String {
        let mut name = String::with_capacity(path.len() + 8);
        self.known.load().name(&Path::of(path), status, &mut name);
        name
    }

    /// Takes a sample: short, never awaits.
    pub fn record(&self, sample: Sample) {
        self.rings.put(sample);
    }

    /// Whether more than its figures would be kept of a request that took so long.
    pub fn keeps(&self, duration: Duration) -> bool {
        duration.as_nanos() >= u128::from(self.keeps_from.load(Relaxed))
    }

    /// Takes in what waits. To be called at least every few seconds, so that what happened in a minute is counted in it.
    pub fn settle(&self, now: Instant) {
        drop(self.settled(now));
    }

    fn settled(&self, now: Instant) -> MappedMutexGuard<'_, Taken> {
        let mut taken = self.rings.settled();
        taken.table.turn(self.clock.ten(now));
        taken
    }

    /// What the endpoint of a path is called that the app knows.
    pub fn name_of(&self, path: &[u8]) -> Arc<str> {
        self.rings.sink().table.name_of(path)
    }

    /// What an endpoint of this name is called by now: it may have come to be one of many.
    pub fn name_by_now(&self, name: &str) -> Arc<str> {
        self.rings.sink().table.name_by_now(name)
    }

    /// The figures of a period that ends now, or before such a one.
    pub fn snapshot(&self, period: impl Into<Period>, now: Instant) -> Snapshot {
        let mut snapshot = self.settled(now).table.snapshot(period.into(), now);
        // Sorted after the lock is released, and so are percentiles computed: requests want to merge.
        snapshot.endpoints.sort_by(|a, b| (&a.endpoint, a.method).cmp(&(&b.endpoint, b.method)));
        snapshot
    }

    /// All endpoints together, in the steps of a window that ends now: ten seconds up to `15m`, a minute for `1h`, five
    /// minutes for `6h` and fifteen for `24h`.
    pub fn course(&self, window: Window, now: Instant) -> Course {
        self.settled(now).table.course(window, now)
    }

    /// One endpoint, in the steps that it is kept in: a minute up to `15m`, five for `1h`, and an hour above. `None` where
    /// there is no such endpoint.
    pub fn course_of(&self, endpoint: &str, method: &str, window: Window, now: Instant) -> Option<Course> {
        self.settled(now).table.course_of(endpoint, method, window, now)
    }

    /// The figures of a window that ends now, and of each endpoint its course, in the same order.
    pub fn snapshot_with_courses(&self, window: Window, now: Instant) -> (Snapshot, Vec<Course>) {
        let taken = self.settled(now);
        let mut snapshot = taken.table.snapshot(window.into(), now);
        let rows = std::mem::take(&mut snapshot.endpoints).into_iter();
        let with_course = |row: Endpoint| {
            let course = taken.table.course_of(&row.endpoint, row.method, window, now)?;
            Some((row, course))
        };
        let mut rows: Vec<(Endpoint, Course)> = rows.filter_map(with_course).collect();
        drop(taken);
        rows.sort_by(|(a, _), (b, _)| (&a.endpoint, a.method).cmp(&(&b.endpoint, b.method)));
        let (endpoints, courses) = rows.into_iter().unzip();
        (Snapshot { endpoints, ..snapshot }, courses)
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
        self.rings.sink().table.levels.saturation()
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
        kept.into_table(&mut self.rings.sink().table);
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
        assert_eq!(profiler.rings.sink().table.rows[0].current.counts.requests, BATCH as u64);
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
    fn routes_are_learned_with_a_path_that_took_them() {
        let profiler = profiler();
        for (path, millis) in [("/users/ada", 1), ("/users/17", 2), ("/users/me", 3), ("/files/a", 4)] {
            profiler.record(Sample::of(path, Duration::from_millis(millis)));
        }
        profiler.learn([
            ("/users/:user", "/users/ada"),
            ("/users/me", "/users/me"),
            ("/files/*", "/files/a"),
            ("/orders/:order", "/elsewhere/7"),
            ("/*", "/x"),
        ]);
        profiler.record(Sample::of("/files/b", Duration::from_millis(5)));
        let snapshot = profiler.snapshot(Window::Hour, Instant::now());
        let rows: Vec<(&str, u64)> =
            snapshot.endpoints.iter().map(|row| (&*row.endpoint, row.figures.counts.requests)).collect();
        // What takes all that is behind a word takes what comes from now on.
        assert_eq!(rows, [("/files/**", 1), ("/files/a", 1), ("/users/me", 1), ("/users/{user}", 2)]);
        assert!(snapshot.slowest.iter().any(|request| *request.endpoint == *"/users/{user}"));
        profiler.record(Sample::of("/users/18", Duration::from_millis(6)));
        let totals = profiler.totals(Instant::now());
        assert!(totals.series.iter().any(|(endpoint, ..)| **endpoint == *"/users/{user}"), "{totals:?}");
        for (path, status, expected) in [
            ("/users/grace", 200, "/users/{user}"),
            ("/users/grace", 404, "/users/{user}"),
            ("/orders/7", 200, "/orders/{id}"),
            ("/x", 200, "/x"),
            ("/x", 404, "_unmatched"),
        ] {
            assert_eq!(profiler.name(path.as_bytes(), status), expected, "{path}");
        }
        let endpoints = vec![Template::new("/users/{configured}").unwrap()];
        profiler.reload(&Settings { endpoints, ..Settings::default() });
        assert_eq!(profiler.name(b"/users/ada", 200), "/users/{configured}");
        assert_eq!(profiler.name(b"/files/c", 200), "/files/**", "what was learned stays");
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
