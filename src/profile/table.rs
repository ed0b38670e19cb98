//! The bounded table of endpoints.

use std::{
    collections::{BTreeMap, HashMap},
    hash::BuildHasher,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use foldhash::{fast::RandomState, quality::FixedState};

use super::{
    OTHER, Settings, UNMATCHED,
    course::{Axis, Course},
    figures::{Figures, PackedFigures},
    folding::is_unmatched,
    known::Known,
    names::{Crowded, Names, Template},
    often::Often,
    sample::{Path, Sample},
    saturation::{Levels, Saturation},
    series::Series,
    slow::{SlowLog, SlowRequest},
    tier::Slot,
    timeline::{self, TEN, Timeline},
    window::{History, Minute, Period, Span, Window},
};

/// Bytes that the past may take, of all endpoints and of all of them together. Beyond this the least busy one is no
/// longer told apart.
pub(super) const PAST_BYTES: usize = 19 << 20;
/// A word among many keeps its name from so many requests on, and from this share of those at its place.
const OWN_TRAFFIC: u64 = 3;
const OWN_SHARE: u64 = 128;
/// While half of the series are taken, an endpoint gets one from so many requests on. It is tried at every so many only:
/// to look for a free one goes through all rows.
const WORTH_A_SERIES: u64 = 100;
/// Paths, and what they are folded into, whose rows are remembered.
const REMEMBERED: usize = 1024;
/// Of the paths whose name may change, one in so many is looked at anew.
const LOOKED_AT_ANEW: u32 = 16;

/// The figures of one endpoint: a path template and a method.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The endpoint's name, such as `/users/{id}`, or `_other`.
    pub endpoint: Arc<str>,
    /// One of the nine standard methods, or `_OTHER`.
    pub method: &'static str,
    /// What was counted.
    pub figures: Figures,
}

/// The profiler's figures of one period.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Which time they are about.
    pub period: Period,
    /// How long that is; less than the window where nothing was counted before.
    pub lasts: Duration,
    /// Endpoints with requests in it, in the order of their names and methods.
    pub endpoints: Vec<Endpoint>,
    /// Single requests in it that took long, slowest first.
    pub slowest: Vec<SlowRequest>,
    /// What is known of how much the app can do at once.
    pub saturation: Saturation,
}

impl Snapshot {
    /// The figures of all endpoints together.
    pub fn total(&self) -> Figures {
        let mut total = Figures::default();
        self.endpoints.iter().for_each(|endpoint| total.merge(&endpoint.figures));
        total
    }
}

/// What only grows, for Prometheus.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// By endpoint and method, in their order.
    pub series: Vec<(Arc<str>, &'static str, Series)>,
    /// Requests that were counted under `_other` since their endpoint has no series of its own.
    pub overflowed: u64,
    /// Endpoints that were given up in the table since others are busier.
    pub evicted: u64,
}

/// When things happen, on the wall's clock as it was at the start: it goes on evenly, whatever is done to the clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
    start_since_1970: Duration,
}

impl Clock {
    pub(super) fn new(start: Instant, wall: SystemTime) -> Self {
        Self { start, start_since_1970: wall.duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    pub(super) fn since_1970(&self, at: Instant) -> Duration {
        self.start_since_1970 + at.saturating_duration_since(self.start)
    }

    pub(super) fn minute(&self, at: Instant) -> Minute {
        self.ten(at) * TEN / 60
    }

    /// The step of ten seconds that something was in, counted since 1970.
    pub(super) fn ten(&self, at: Instant) -> u64 {
        self.since_1970(at).as_secs() / TEN
    }
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) endpoint: Arc<str>,
    pub(super) method: &'static str,
    /// Of the minute that is not over.
    pub(super) current: Figures,
    pub(super) past: History,
    /// Requests, halved every hour: who has most of late.
    pub(super) busy: u64,
    series: Option<Box<Series>>,
}

impl Row {
    /// Whether it is for what has no name of its own; it does not count towards the bound.
    fn is_common(&self) -> bool {
        matches!(&*self.endpoint, OTHER | UNMATCHED)
    }
}

/// Where the row of a path is.
#[derive(Clone, Copy, Debug)]
struct Remembered {
    hash: u64,
    row: usize,
    provisional: bool,
}

/// Where names are written, so that a request needs no place of its own for them.
#[derive(Debug, Default)]
struct Scratch {
    folded: String,
    name: String,
}

/// Endpoints by name and method, at most as many as the settings allow, and beside them `_other` and `_unmatched`, once
/// per method.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) minute: Minute,
    /// Since when requests are counted, since 1970; the start, or that of a process before.
    pub(super) since: Duration,
    /// [`PAST_BYTES`], but in tests.
    room: usize,
    pub(super) rows: Vec<Row>,
    /// All of them together, up to the same moment.
    pub(super) timeline: Timeline,
    /// Where in `rows` an endpoint's methods are. Two steps, so that looking up needs no key made of both.
    index: HashMap<Arc<str>, Vec<(&'static str, usize)>, RandomState>,
    names: Names,
    remembered: Vec<Option<Remembered>>,
    /// Nobody who chooses paths can choose which of them collide.
    hasher: FixedState,
    again: u32,
    scratch: Scratch,
    /// Endpoints for which there is no row.
    newcomers: Often,
    pub(super) slow: SlowLog,
    pub(super) levels: Levels,
    /// What has no series of its own, under `_other` and `_unmatched`, by method.
    common: BTreeMap<(&'static str, &'static str), Series>,
    overflowed: u64,
    evicted: u64,
}

impl Table {
    pub(super) fn new(settings: Settings, clock: Clock, seed: u64) -> Self {
        Self {
            names: Names::new(settings.endpoints.clone()),
            minute: clock.minute(clock.start),
            since: clock.start_since_1970,
            settings,
            clock,
            room: PAST_BYTES,
            rows: Vec::new(),
            timeline: Timeline::new(clock.ten(clock.start)),
            index: HashMap::default(),
            remembered: vec![None; REMEMBERED],
            hasher: FixedState::with_seed(seed),
            again: 0,
            scratch: Scratch::default(),
            newcomers: Often::default(),
            slow: SlowLog::default(),
            levels: Levels::default(),
            common: BTreeMap::new(),
            overflowed: 0,
            evicted: 0,
        }
    }

    /// Takes up what is slow and what is called how, from now on.
    pub(super) fn reload(&mut self, settings: &Settings) {
        self.settings = settings.clone();
        self.names.reload(settings.endpoints.clone());
        self.forget_rows();
        while self.named() > self.settings.max_endpoints && self.evict_least_busy() {}
    }

    /// Takes up routes of the app: what was counted under the folded names of their paths is theirs.
    pub(super) fn learn(&mut self, routes: &[Template]) {
        self.names.learn(routes);
        self.rename();
        // Those that were renamed begin a series of their own, as new ones do: there are few requests before a route is known.
        let most = self.settings.metrics_endpoints.div_ceil(2);
        (0..self.rows.len()).for_each(|at| self.give_series(at, most));
    }

    /// What needs no folding.
    pub(super) fn known(&self) -> &Arc<Known> {
        self.names.known()
    }

    pub(super) fn add(&mut self, sample: &Sample) {
        // What ended in a minute that is over counts in this one: no sample waits for long.
        self.turn(self.clock.ten(sample.ended));
        self.timeline.current.add(sample, self.settings.slow);
        let at = self.row_of(sample);
        let row = &mut self.rows[at];
        row.current.add(sample, self.settings.slow);
        row.busy += 1;
        if row.busy.is_multiple_of(WORTH_A_SERIES) {
            self.give_series(at, self.settings.metrics_endpoints);
        }
        let row = &mut self.rows[at];
        match &mut row.series {
            Some(series) => series.add(sample),
            None => {
                let name = if *row.endpoint == *UNMATCHED { UNMATCHED } else { OTHER };
                self.overflowed += u64::from(name == OTHER);
                self.common.entry((name, common_method(row.method))).or_default().add(sample);
            }
        }
        self.levels.add(sample, self.minute / 60);
        let Settings { slow, keep_paths, .. } = self.settings;
        if sample.duration >= self.slow.keeps_from(self.minute, slow) {
            let ended = u64::try_from(self.clock.since_1970(sample.ended).as_millis()).unwrap_or(u64::MAX);
            self.slow.offer(sample, &self.rows[at].endpoint, ended, self.minute, slow, keep_paths);
        }
    }

    /// Closes what is over in a step of ten seconds.
    pub(super) fn turn(&mut self, ten: u64) {
        if ten <= self.timeline.at {
            return;
        }
        self.timeline.turn(ten);
        let minute = ten * TEN / 60;
        // Nothing of what was before that is kept.
        if minute > self.minute + 25 * 60 {
            self.minute = minute - 25 * 60;
            self.rows.iter_mut().for_each(|row| row.current.clear());
        }
        while self.minute < minute {
            for row in &mut self.rows {
                row.past.close(self.minute, row.current.pack());
                if row.current.counts.requests > 0 {
                    row.current.clear();
                }
            }
            self.minute += 1;
            if self.minute.is_multiple_of(60) {
                self.rows.iter_mut().for_each(|row| row.busy /= 2);
                self.drop_idle();
            }
            while self.past_bytes() > self.room && self.evict_least_busy() {}
        }
    }

    /// The bytes that the past takes.
    fn past_bytes(&self) -> usize {
        self.timeline.heap_bytes() + self.rows.iter().map(|row| row.past.heap_bytes()).sum::<usize>()
    }

    /// Rows of which nothing is left but their name.
    fn drop_idle(&mut self) {
        let before = self.rows.len();
        self.rows.retain(|row| row.busy > 0 || row.series.is_some() || !row.past.is_empty());
        if self.rows.len() < before {
            self.index_anew();
        }
    }

    /// The row of a path, found by the path itself, by what it is folded into, or by going through the tree of names.
    fn row_of(&mut self, sample: &Sample) -> usize {
        let salt = method_salt(sample);
        let hash = self.hash(sample.path.as_bytes(), salt);
        if let Some(row) = self.remembered(hash) {
            return row;
        }
        let Scratch { mut folded, mut name } = std::mem::take(&mut self.scratch);
        self.names.known().name(&sample.path, sample.status, &mut folded);
        // A path may look like what another one is folded into.
        let of_folded = self.hash(folded.as_bytes(), !salt);
        let row = self.remembered(of_folded).unwrap_or_else(|| {
            let provisional = self.unfold(&folded, &mut name);
            let row = self.row(&name, sample.method);
            // Who is one of many today may be one of the busy tomorrow.
            if *self.rows[row].endpoint != *OTHER {
                self.remember(Remembered { hash: of_folded, row, provisional });
                self.remember(Remembered { hash, row, provisional });
            }
            row
        });
        self.scratch = Scratch { folded, name };
        row
    }

    fn hash(&self, text: &[u8], salt: u64) -> u64 {
        self.hasher.hash_one((salt, text))
    }

    fn remembered(&mut self, hash: u64) -> Option<usize> {
        let known = self.remembered[(hash % REMEMBERED as u64) as usize].filter(|known| known.hash == hash)?;
        if known.provisional {
            self.again = self.again.wrapping_add(1);
            if self.again.is_multiple_of(LOOKED_AT_ANEW) {
                return None;
            }
        }
        Some(known.row)
    }

    fn remember(&mut self, known: Remembered) {
        self.remembered[(known.hash % REMEMBERED as u64) as usize] = Some(known);
    }

    fn unfold(&mut self, folded: &str, name: &mut String) -> bool {
        loop {
            match self.names.unfold(folded, name) {
                Ok(provisional) => return provisional,
                Err(crowded) => self.thin(crowded),
            }
        }
    }

    /// What the endpoint of a path is called that the app knows.
    pub(super) fn name_of(&mut self, path: &[u8]) -> Arc<str> {
        let mut folded = String::new();
        self.names.known().name(&Path::of(path), 200, &mut folded);
        self.name_by_now(&folded)
    }

    /// What an endpoint of this name is called by now.
    pub(super) fn name_by_now(&mut self, folded: &str) -> Arc<str> {
        let mut name = String::new();
        self.unfold(folded, &mut name);
        match self.index.get_key_value(&*name) {
            Some((known, _)) => known.clone(),
            None => name.into(),
        }
    }

    /// Too many words stand at one place: those with traffic of their own keep their names.
    fn thin(&mut self, Crowded(prefix): Crowded) {
        let mut traffic: HashMap<&str, u64> = HashMap::new();
        for row in &self.rows {
            let behind = row.endpoint.strip_prefix(&*prefix).and_then(|rest| rest.strip_prefix('/'));
            if let Some(word) = behind.and_then(|rest| rest.split('/').next()) {
                *traffic.entry(word).or_default() += row.busy;
            }
        }
        let all: u64 = traffic.values().sum();
        let own = |word: &str| traffic.get(word).is_some_and(|own| *own >= OWN_TRAFFIC && own * OWN_SHARE >= all);
        self.names.thin(&prefix, own);
        self.rename();
    }

    /// Gives every row the name that its name has by now, and makes one row of those with the same.
    fn rename(&mut self) {
        let (mut renamed, mut after) = (Vec::new(), String::new());
        for at in 0..self.rows.len() {
            let before = self.rows[at].endpoint.clone();
            if self.rows[at].is_common() {
                continue;
            }
            // What was behind several words is now behind one, and may be too much for one place: titles of titles.
            while let Err(Crowded(prefix)) = self.names.unfold(&before, &mut after) {
                self.names.thin(&prefix, |_| false);
            }
            if after != *before {
                let after: Arc<str> = after.as_str().into();
                self.slow.rename(&before, &after);
                renamed.push((at, after));
            }
        }
        for (at, name) in renamed {
            let row = &mut self.rows[at];
            // Its series ends here: a jump of the common one would look like a burst of requests.
            (row.endpoint, row.series) = (name, None);
        }
        let mut rows: Vec<Row> = Vec::new();
        for row in std::mem::take(&mut self.rows) {
            match rows.iter_mut().find(|known| known.endpoint == row.endpoint && known.method == row.method) {
                Some(known) => known.take_over(&row),
                None => rows.push(row),
            }
        }
        self.rows = rows;
        self.index_anew();
    }

    /// Where the endpoint's figures are kept, which is under `_other` if it is new and there is no room.
    fn row(&mut self, endpoint: &str, method: &'static str) -> usize {
        if let Some(at) = self.find(endpoint, method) {
            return at;
        }
        if !matches!(endpoint, OTHER | UNMATCHED) && self.named() >= self.settings.max_endpoints {
            let came = self.newcomers.count((method, endpoint));
            let least = self.least_busy().map_or(0, |at| self.rows[at].busy);
            if u64::from(came) <= least || !self.evict_least_busy() {
                return self.find(OTHER, method).unwrap_or_else(|| self.insert(OTHER.into(), method));
            }
        }
        self.insert(endpoint.into(), method)
    }

    fn find(&self, endpoint: &str, method: &'static str) -> Option<usize> {
        self.index.get(endpoint)?.iter().find(|(known, _)| *known == method).map(|(_, at)| *at)
    }

    fn insert(&mut self, endpoint: Arc<str>, method: &'static str) -> usize {
        let at = self.rows.len();
        self.index.entry(endpoint.clone()).or_default().push((method, at));
        let (current, past) = (Figures::default(), History::default());
        self.rows.push(Row { endpoint, method, current, past, busy: 0, series: None });
        // The first ones get a series at once, so that whoever tries it out sees their endpoint; a crawl must not take
        // them all.
        self.give_series(at, self.settings.metrics_endpoints.div_ceil(2));
        at
    }

    fn give_series(&mut self, at: usize, most: usize) {
        let row = &self.rows[at];
        if row.series.is_some() || row.is_common() {
            return;
        }
        if self.rows.iter().filter(|row| row.series.is_some()).count() < most {
            self.rows[at].series = Some(Box::default());
        }
    }

    /// Rows that count towards the bound.
    fn named(&self) -> usize {
        self.rows.iter().filter(|row| !row.is_common()).count()
    }

    fn least_busy(&self) -> Option<usize> {
        let named = self.rows.iter().enumerate().filter(|(_, row)| !row.is_common());
        named.min_by_key(|(_, row)| row.busy).map(|(at, _)| at)
    }

    /// Counts what the least busy endpoint has under `_other`; whether there was one.
    fn evict_least_busy(&mut self) -> bool {
        let Some(at) = self.least_busy() else { return false };
        let row = self.rows.swap_remove(at);
        self.index_anew();
        let other = self.find(OTHER, row.method).unwrap_or_else(|| self.insert(OTHER.into(), row.method));
        self.rows[other].take_over(&row);
        self.evicted += 1;
        true
    }

    fn index_anew(&mut self) {
        self.index.clear();
        for (at, row) in self.rows.iter().enumerate() {
            self.index.entry(row.endpoint.clone()).or_default().push((row.method, at));
        }
        self.forget_rows();
    }

    fn forget_rows(&mut self) {
        self.remembered.fill(None);
    }

    /// The figures of a period. Precondition: the minutes that are over at `now` are closed.
    pub(super) fn snapshot(&self, period: Period, now: Instant) -> Snapshot {
        let span = period.span(self.minute);
        let now = self.clock.since_1970(now);
        let from = Duration::from_secs(span.from * 60).max(self.since);
        let to = span.to.map_or(now, |to| Duration::from_secs(to * 60));
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for row in &self.rows {
            let mut figures = if span.to.is_none() { row.current.clone() } else { Figures::default() };
            row.past.add_to(&mut figures, span, self.minute);
            if figures.counts.requests > 0 {
                endpoints.push(Endpoint { endpoint: row.endpoint.clone(), method: row.method, figures });
            }
        }
        Snapshot {
            period,
            lasts: to.saturating_sub(from),
            endpoints,
            slowest: self.slow.within(span),
            saturation: self.levels.saturation(),
        }
    }

    /// All endpoints together, in the steps of a window that ends now. Precondition: what is over at `now` is closed.
    pub(super) fn course(&self, window: Window, now: Instant) -> Course {
        let from = Period::from(window).span(self.minute).from * 60 / TEN;
        let axis = Axis {
            unit: TEN,
            step: timeline::step(window),
            from,
            at: self.timeline.at,
            since: self.since,
            now: self.clock.since_1970(now),
        };
        Course::of(axis, |steps| self.timeline.parts(steps))
    }

    /// One endpoint, in the steps that it is kept in; `None` where there is no such endpoint. The same precondition.
    pub(super) fn course_of(&self, endpoint: &str, method: &str, window: Window, now: Instant) -> Option<Course> {
        let (_, at) = self.index.get(endpoint)?.iter().find(|(known, _)| *known == method)?;
        let (row, at) = (&self.rows[*at], self.minute);
        let axis = Axis {
            unit: 60,
            step: window.step(),
            from: Period::from(window).span(at).from,
            at,
            since: self.since,
            now: self.clock.since_1970(now),
        };
        Some(Course::of(axis, |minutes| row.parts(minutes, at)))
    }

    /// The figures of some complete minutes. Precondition: the minutes that are over are closed.
    pub(super) fn between(&self, minutes: Range<Minute>) -> Vec<Endpoint> {
        let span = Span { from: minutes.start, to: Some(minutes.end) };
        let rows = self.rows.iter().map(|row| {
            let mut figures = Figures::default();
            row.past.add_to(&mut figures, span, self.minute);
            Endpoint { endpoint: row.endpoint.clone(), method: row.method, figures }
        });
        rows.filter(|row| row.figures.counts.requests > 0).collect()
    }

    pub(super) fn totals(&self) -> Totals {
        let named = self.rows.iter().filter_map(|row| {
            let series = row.series.as_deref()?;
            Some((row.endpoint.clone(), row.method, series.clone()))
        });
        let common = self.common.iter().map(|((name, method), series)| ((*name).into(), *method, series.clone()));
        let mut series: Vec<_> = named.chain(common).collect();
        series.sort_by(|(a, method_a, _), (b, method_b, _)| (a, method_a).cmp(&(b, method_b)));
        Totals { series, overflowed: self.overflowed, evicted: self.evicted }
    }

    /// Takes up what was kept of an endpoint.
    pub(super) fn restore(&mut self, endpoint: &str, method: &'static str, current: Slot, past: History, busy: u64) {
        let at = self.row(endpoint, method);
        // Its name is known to the tree too, so that it does not come to be one of many.
        let _ = self.names.unfold(endpoint, &mut String::new());
        let row = &mut self.rows[at];
        current.iter().for_each(|current| row.current.merge_packed(current));
        row.past.merge(&past);
        row.busy += busy;
    }
}

impl Row {
    /// What was counted in these minutes, in parts; `now` is the one that is not over.
    fn parts(&self, minutes: Range<Minute>, now: Minute) -> Vec<PackedFigures> {
        let (mut parts, has_current) = (Vec::new(), minutes.contains(&now));
        self.past.each(minutes, now, |part| parts.push(part.clone()));
        parts.extend(self.current.pack().filter(|_| has_current).map(|current| *current));
        parts
    }

    /// Counts what another row counted; its series ends with it.
    fn take_over(&mut self, other: &Self) {
        self.current.merge(&other.current);
        self.past.merge(&other.past);
        self.busy += other.busy;
    }
}

/// What has no name of its own comes with every method there is, by those who try them all; these few are told apart.
fn common_method(method: &'static str) -> &'static str {
    if matches!(method, "GET" | "HEAD" | "POST") { method } else { "_OTHER" }
}

/// What a row depends on besides the path, so that paths with other methods and unknown ones have hashes of their own.
fn method_salt(sample: &Sample) -> u64 {
    let unmatched = u64::from(is_unmatched(sample.status));
    sample.method.bytes().fold(unmatched, |salt, byte| salt.wrapping_mul(257).wrapping_add(byte.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Window;

    fn table(max_endpoints: usize) -> Table {
        let clock = Clock::new(Instant::now(), UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        Table::new(Settings { max_endpoints, ..Settings::default() }, clock, 7)
    }

    fn requests(table: &Table) -> Vec<(String, &'static str, u64)> {
        let snapshot = table.snapshot(Window::Hour.into(), Instant::now());
        snapshot
            .endpoints
            .iter()
            .map(|row| (row.endpoint.to_string(), row.method, row.figures.counts.requests))
            .collect()
    }

    fn of(table: &Table, endpoint: &str) -> u64 {
        requests(table).into_iter().find(|(name, ..)| name == endpoint).map_or(0, |(.., requests)| requests)
    }

    fn get(path: &str) -> Sample {
        Sample::of(path, Duration::from_millis(1))
    }

    fn post(path: &str) -> Sample {
        Sample { method: "POST", ..get(path) }
    }

    /// Numbers in letters, which no rule folds.
    fn word(mut n: u64) -> String {
        let mut word = String::new();
        loop {
            word.push(char::from(b'a' + (n % 26) as u8));
            n /= 26;
            if n == 0 {
                return word;
            }
        }
    }

    #[test]
    fn an_endpoint_is_a_template_and_a_method() {
        let mut table = table(10);
        for sample in [get("/a"), post("/a"), get("/a"), get("/b/1"), get("/b/2")] {
            table.add(&sample);
        }
        assert_eq!(requests(&table), [("/a".into(), "GET", 2), ("/a".into(), "POST", 1), ("/b/{id}".into(), "GET", 2)]);
    }

    #[test]
    fn beyond_the_bound_requests_count_as_other_by_method() {
        let mut table = table(1);
        for sample in [get("/a"), get("/a"), get("/a"), get("/b"), post("/a"), get("/c"), get("/a")] {
            table.add(&sample);
        }
        assert_eq!(requests(&table), [("/a".into(), "GET", 4), (OTHER.into(), "GET", 2), (OTHER.into(), "POST", 1)]);
    }

    #[test]
    fn a_busier_endpoint_takes_the_place_of_the_least_busy() {
        let mut table = table(2);
        for path in ["/a", "/a", "/a", "/a", "/b", "/c", "/c"] {
            table.add(&get(path));
        }
        assert_eq!((of(&table, "/a"), of(&table, "/b"), of(&table, "/c"), of(&table, OTHER)), (4, 0, 1, 2));
        assert_eq!(table.totals().evicted, 1);
    }

    #[test]
    fn a_scanner_neither_fills_the_table_nor_pushes_an_endpoint_out() {
        let mut table = table(50);
        let real: Vec<String> = (0..30).map(|n| format!("/api/real-{}", word(n))).collect();
        // Endpoints that were asked a few times before the scanner came.
        for _ in 0..3 {
            real.iter().for_each(|path| table.add(&get(path)));
        }
        for round in 0..20_000u64 {
            // One request of each real endpoint among hundreds of the scanner's, which an app answers that takes all.
            if round % 700 == 0 {
                real.iter().for_each(|path| table.add(&get(path)));
            }
            for path in [
                format!("/{}", word(round * 7919)),
                format!("/api/{}", word(round * 104_729)),
                format!("/{}/{}/{}", word(round), word(round * 31), word(round * 77)),
            ] {
                table.add(&get(&path));
            }
            table.add(&Sample { status: 404, ..get(&format!("/wp-{}.php", word(round))) });
        }
        for path in &real {
            assert_eq!(of(&table, path), 32, "{path} {:?}", requests(&table));
        }
        assert!(table.rows.len() <= 52);
        assert_eq!(of(&table, UNMATCHED), 20_000);
        let total: u64 = requests(&table).iter().map(|(.., requests)| requests).sum();
        assert_eq!(total, 80_000 + 30 * 32, "nothing is lost");
        assert!(table.totals().series.len() <= Settings::default().metrics_endpoints + 2);
    }

    #[test]
    fn what_was_counted_under_a_title_stays_when_titles_are_folded() {
        let mut table = table(100);
        for n in 0..200 {
            table.add(&get(&format!("/blog/{}", word(n))));
            table.add(&get("/blog/archive"));
        }
        assert_eq!((of(&table, "/blog/archive"), of(&table, "/blog/{slug}")), (200, 200));
        assert_eq!(requests(&table).len(), 2);
    }

    #[test]
    fn series_grow_only() {
        let mut table = table(100);
        let mut before: HashMap<(Arc<str>, &str), u64> = HashMap::new();
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..200 {
            for _ in 0..100 {
                table.add(&get(&format!("/{}/{}", word(random.u64(..40)), word(random.u64(..3)))));
            }
            let totals = table.totals();
            assert!(totals.series.len() <= Settings::default().metrics_endpoints + 1, "{}", totals.series.len());
            for (endpoint, method, series) in totals.series {
                let now: u64 = series.statuses.known().iter().map(|(_, count)| count).sum();
                let known = before.entry((endpoint.clone(), method)).or_default();
                assert!(now >= *known, "{endpoint} from {known} to {now}");
                *known = now;
            }
        }
    }

    #[test]
    fn minutes_turn_with_the_samples() {
        let mut table = table(10);
        let start = Instant::now();
        for minute in 0..200u64 {
            table.add(&Sample { ended: start + Duration::from_secs(60 * minute), ..get("/a") });
        }
        let now = start + Duration::from_secs(60 * 199);
        let count = |window: Window, before| {
            let snapshot = table.snapshot(Period { window, before }, now);
            (snapshot.total().counts.requests, snapshot.lasts.as_secs() / 60)
        };
        // With the minute that is not over, up to a minute each: see the span's own tests for its length.
        assert_eq!(count(Window::FiveMinutes, false).0, 6);
        assert_eq!(count(Window::FiveMinutes, true), (5, 5));
        assert_eq!(count(Window::Hour, true), (60, 60));
        assert_eq!(count(Window::Day, false), (200, 199));
    }

    #[test]
    fn the_past_is_bounded() {
        let mut table = Table { room: 2 << 20, ..table(400) };
        let start = Instant::now();
        let mut random = fastrand::Rng::with_seed(1);
        // Endpoints whose times fill every bin, minute after minute.
        for minute in 0..80u64 {
            for endpoint in 0..300u64 {
                for _ in 0..40 {
                    let duration = Duration::from_nanos(10f64.powf(4.0 + 8.5 * random.f64()) as u64);
                    let ended = start + Duration::from_secs(60 * minute);
                    let path = format!("/{}/{}/x", word(endpoint % 20), word(endpoint / 20));
                    table.add(&Sample { ended, ..Sample::of(&path, duration).asked(duration) });
                }
            }
        }
        assert!(table.past_bytes() <= table.room, "{}", table.past_bytes());
        assert!(table.totals().evicted > 0, "the bound was not reached");
    }
}
