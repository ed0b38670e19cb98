//! The bounded table of resources, and of the endpoints that they belong to.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use super::{
    LIFETIMES,
    answer::{Answer, Content},
    resource::{Given, Micros, Resource, micros},
    splits::{Split, Splits},
    tally::{Figures, Tally},
};

/// Resources that are watched at once.
const MOST_RESOURCES: usize = 8192;
/// Endpoints that are told apart.
const MOST_ENDPOINTS: usize = 256;
/// Writes, by who wrote and by what was written, that are remembered.
const MOST_WRITES: usize = 4096;
/// What was not seen for so long is forgotten: the longest lifetime that is tried is over.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(2 * 3600);
/// Figures are those of the last hour.
const HOUR: Duration = Duration::from_secs(3600);

/// What was seen of late.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Everything passes as it is: `mode = "observe"`.
    pub only_observes: bool,
    /// How long it was looked at, an hour at most.
    pub lasts: Duration,
    /// Endpoints with answers in it, in the order of their names.
    pub endpoints: Vec<Watched>,
    /// What differed in requests, and whether it made a difference.
    pub splits: Vec<Split>,
    /// Answers that were not watched since there are too many endpoints.
    pub overflowed: u64,
}

/// What was seen of one endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// The endpoint's name. The method is GET.
    pub endpoint: Arc<str>,
    /// What was counted.
    pub figures: Figures,
    /// For each of [`LIFETIMES`], whether answers were seen to depend on who asks within it.
    pub depends: [bool; LIFETIMES.len()],
    /// How many different ones had the same answer as somebody else, about.
    pub agreed: u64,
    /// Why answers could not be stored even with a lifetime from the operator, the most frequent first, each with its
    /// share of the answers in percent. What is missing to 100 could be stored.
    pub obstacles: Vec<(&'static str, f64)>,
}

#[derive(Debug)]
struct Row {
    name: Arc<str>,
    tally: Tally,
    /// Resources of it that are watched.
    resources: usize,
    /// One in 2 to the power of this is watched.
    thinned: u32,
}

#[derive(Debug)]
struct Place {
    row: usize,
    resource: Resource,
}

/// The table.
#[derive(Debug)]
pub(super) struct Watch {
    start: Instant,
    rows: Vec<Row>,
    resources: HashMap<u64, Place, RandomState>,
    splits: Splits,
    wrote: Times,
    written: Times,
    overflowed: u64,
}

impl Watch {
    pub(super) fn new(start: Instant) -> Self {
        Self {
            start,
            rows: Vec::new(),
            resources: HashMap::default(),
            splits: Splits::default(),
            wrote: Times::default(),
            written: Times::default(),
            overflowed: 0,
        }
    }

    /// Never 0, which stands for never.
    fn at(&self, at: Instant) -> Micros {
        micros(at.saturating_duration_since(self.start)) + 1
    }

    pub(super) fn wrote(&mut self, url: u64, identity: u64, at: Instant) {
        let at = self.at(at);
        self.wrote.note(identity, at);
        self.written.note(url, at);
    }

    pub(super) fn answered(&mut self, answer: &Answer<'_>, name: impl Fn(&[u8]) -> Arc<str>) {
        let (began, ended) = (self.at(answer.began), self.at(answer.ended));
        let row = match self.resources.get(&answer.key) {
            Some(place) => place.row,
            None => match self.row(&name(answer.path), ended) {
                Some(row) => row,
                None => {
                    self.overflowed += 1;
                    return;
                }
            },
        };
        if !is_watched(answer.key, self.rows[row].thinned) {
            return self.rows[row].tally.pass(ended);
        }
        let known = self.resources.get(&answer.key);
        let digest = match answer.content {
            Content::Whole(digest, _) => Some(digest),
            Content::Unchanged(etag) => etag.and_then(|etag| known?.resource.by_etag(etag)),
        };
        // What the client has is not known here: it says nothing.
        let Some(digest) = digest else { return self.rows[row].tally.pass(ended) };
        if known.is_none() {
            self.rows[row].resources += 1;
        }
        let given = Given {
            digest,
            etag: answer.etag,
            identity: answer.identity,
            identified: answer.identified,
            began,
            ended,
            configured: answer.configured,
            invalidated: self.written.of(answer.url),
            wrote: self.wrote.of(answer.identity),
        };
        let place = self.resources.entry(answer.key).or_insert_with(|| Place { row, resource: Resource::default() });
        let took = place.resource.take(&given);
        self.rows[row].tally.count(answer, took, ended);
        for part in answer.dimensions {
            self.splits.compare(row, part, digest, ended);
        }
        if self.resources.len() > MOST_RESOURCES {
            self.make_room(ended);
        }
    }

    fn row(&mut self, name: &Arc<str>, now: Micros) -> Option<usize> {
        if let Some(at) = self.rows.iter().position(|row| row.name == *name) {
            return Some(at);
        }
        if self.rows.len() >= MOST_ENDPOINTS {
            return None;
        }
        self.rows.push(Row { name: name.clone(), tally: Tally::new(now), resources: 0, thinned: 0 });
        Some(self.rows.len() - 1)
    }

    /// Forgets what was not seen for long; if that is not enough, watches half as many of the endpoint with most.
    fn make_room(&mut self, now: Micros) {
        let (rows, resources) = (&mut self.rows, &mut self.resources);
        resources.retain(|_, place| {
            let keep = now.saturating_sub(place.resource.last_seen()) < micros(FORGOTTEN_AFTER);
            rows[place.row].resources -= usize::from(!keep);
            keep
        });
        while resources.len() > MOST_RESOURCES / 8 * 7 {
            let Some(most) = (0..rows.len()).max_by_key(|at| rows[*at].resources) else { return };
            rows[most].thinned += 1;
            let thinned = rows[most].thinned;
            resources.retain(|key, place| place.row != most || is_watched(*key, thinned));
            rows[most].resources = resources.values().filter(|place| place.row == most).count();
        }
    }

    pub(super) fn report(&mut self, now: Instant, name: impl Fn(&str) -> Arc<str>) -> Report {
        let now = self.at(now);
        self.rows.iter_mut().for_each(|row| row.tally.turn(now));
        self.rename(name);
        let mut endpoints: Vec<Watched> = self.rows.iter().map(|row| row.watched(now)).collect();
        endpoints.retain(|watched| watched.figures.answers > 0);
        endpoints.sort_by(|a, b| a.endpoint.cmp(&b.endpoint));
        Report {
            only_observes: false,
            lasts: Duration::from_micros(now).min(HOUR),
            endpoints,
            splits: self.splits.report(|row| self.rows[row].name.to_string()),
            overflowed: self.overflowed,
        }
    }

    /// Gives endpoints the names that they have by now, drops those of which nothing is left, and makes one of those
    /// that are one.
    fn rename(&mut self, name: impl Fn(&str) -> Arc<str>) {
        let mut rows: Vec<Row> = Vec::new();
        let mut numbers = Vec::new();
        for row in std::mem::take(&mut self.rows) {
            let name = name(&row.name);
            if row.resources == 0 && row.tally.figures().answers == 0 {
                numbers.push(None);
            } else if let Some(at) = rows.iter().position(|known| known.name == name) {
                let known = &mut rows[at];
                known.tally.merge(&row.tally);
                known.resources += row.resources;
                known.thinned = known.thinned.max(row.thinned);
                numbers.push(Some(at));
            } else {
                numbers.push(Some(rows.len()));
                rows.push(Row { name, ..row });
            }
        }
        self.rows = rows;
        self.splits.renumber(|row| numbers[row]);
        self.resources.retain(|_, place| numbers[place.row].map(|row| place.row = row).is_some());
    }
}

impl Row {
    fn watched(&self, now: Micros) -> Watched {
        let all = (self.tally.storable + self.tally.obstacles.values().sum::<u64>()).max(1) as f64;
        let mut obstacles: Vec<_> =
            self.tally.obstacles.iter().map(|(why, count)| (*why, *count as f64 * 100.0 / all)).collect();
        obstacles.sort_by(|a, b| b.1.total_cmp(&a.1));
        Watched {
            endpoint: self.name.clone(),
            figures: self.tally.figures(),
            depends: self.tally.depends(now),
            agreed: self.tally.agreed.count(),
            obstacles,
        }
    }
}

/// Whether a resource is among those that are watched where one in 2 to the power of `thinned` is.
fn is_watched(key: u64, thinned: u32) -> bool {
    key.leading_zeros() >= thinned
}

/// When something last happened, for so many of the last.
#[derive(Debug, Default)]
struct Times(HashMap<u64, Micros, RandomState>);

impl Times {
    fn note(&mut self, what: u64, at: Micros) {
        if self.0.len() >= MOST_WRITES && !self.0.contains_key(&what) {
            let mut times: Vec<Micros> = self.0.values().copied().collect();
            let (_, middle, _) = times.select_nth_unstable(MOST_WRITES / 2);
            let middle = *middle;
            self.0.retain(|_, at| *at > middle);
            if self.0.len() >= MOST_WRITES {
                self.0.clear();
            }
        }
        self.0.insert(what, at);
    }

    fn of(&self, what: u64) -> Option<Micros> {
        self.0.get(&what).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(path: &[u8], key: u64, at: Instant) -> Answer<'_> {
        Answer {
            path,
            url: key,
            key,
            identity: key % 7,
            identified: false,
            content: Content::Whole(key, 1000),
            etag: None,
            began: at,
            ended: at,
            upstream: Duration::from_millis(1),
            sets_cookie: false,
            configured: None,
            obstacle: None,
            dimensions: &[],
        }
    }

    fn name(path: &[u8]) -> Arc<str> {
        String::from_utf8_lossy(path).into()
    }

    #[test]
    fn it_is_bounded_and_an_endpoint_with_few_resources_is_watched_whole() {
        let start = Instant::now();
        let (mut watch, mut random) = (Watch::new(start), fastrand::Rng::with_seed(1));
        for n in 0..200_000u64 {
            let at = start + Duration::from_millis(n);
            watch.answered(&answer(b"/many", random.u64(..), at), name);
            watch.wrote(random.u64(..), random.u64(..), at);
            if n % 100 == 0 {
                watch.answered(&answer(b"/few", (n / 100 % 5) << 60, at), name);
                watch.answered(&answer(format!("/e{n}").as_bytes(), random.u64(..), at), name);
            }
        }
        assert!(watch.resources.len() <= MOST_RESOURCES, "{}", watch.resources.len());
        assert!(watch.wrote.0.len() <= MOST_WRITES && watch.written.0.len() <= MOST_WRITES);
        let report = watch.report(start + Duration::from_secs(200), |name| name.into());
        assert!(report.endpoints.len() <= MOST_ENDPOINTS && report.overflowed > 0);
        let of = |name: &str| report.endpoints.iter().find(|watched| &*watched.endpoint == name).unwrap().figures;
        assert_eq!((of("/many").answers, of("/few").answers, of("/few").watched), (200_000, 2000, 2000));
        assert!(of("/many").watched < 100_000, "{}", of("/many").watched);
        assert!(of("/few").lifetimes.iter().all(|hits| hits.requests >= 1500), "{:?}", of("/few"));
    }

    #[test]
    fn endpoints_that_have_one_name_by_now_are_one() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        for n in 0..10u64 {
            for path in ["/blog/a", "/blog/b", "/about"] {
                let key = u64::from(path.as_bytes()[path.len() - 1]);
                watch.answered(&answer(path.as_bytes(), key, start + Duration::from_secs(n)), name);
            }
        }
        let by_now = |name: &str| if name.starts_with("/blog/") { "/blog/{slug}".into() } else { name.into() };
        for _ in 0..2 {
            let report = watch.report(start + Duration::from_secs(10), by_now);
            let figures: Vec<_> =
                report.endpoints.iter().map(|row| (&*row.endpoint, row.figures.answers, row.figures.same)).collect();
            assert_eq!(figures, [("/about", 10, 9), ("/blog/{slug}", 20, 18)]);
        }
        // What comes now finds its resource.
        watch.answered(&answer(b"/blog/a", u64::from(b'a'), start + Duration::from_secs(11)), name);
        assert_eq!(watch.report(start + Duration::from_secs(11), by_now).endpoints[1].figures.same, 19);
    }

    #[test]
    fn what_was_longer_than_an_hour_ago_is_over() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        for minute in 0..180u32 {
            watch.answered(&answer(b"/a", 1, start + Duration::from_secs(60) * minute), name);
        }
        let report = watch.report(start + Duration::from_secs(60) * 180, |name| name.into());
        assert_eq!(report.lasts, Duration::from_secs(3600));
        let answers = report.endpoints[0].figures.answers;
        assert!((60..=65).contains(&answers), "{answers}");
        let report = watch.report(start + Duration::from_secs(60) * 600, |name| name.into());
        assert_eq!(report.endpoints, []);
    }
}
