//! Warming up the cache: pages are asked for as clients ask for them, so that the next client finds them stored.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use super::{
    Asks,
    page::{Own, Page, clipped},
    sitemap::{self, Sitemap},
    suffering::{Suffers, Watch},
};
use crate::{
    server::{Got, NoAnswer},
    task::{Failure, Reason},
};

/// Sitemaps of sitemaps are followed so deep.
const MOST_DEPTH: u32 = 2;
/// Sitemaps that are read for one warm-up.
const MOST_SITEMAPS: u64 = 1000;
/// Redirects of one sitemap that are followed.
const MOST_REDIRECTS: usize = 5;
/// Sitemaps that could not be read, of which it is said why.
const MOST_PROBLEMS: usize = 10;
/// Reasons that are counted by their names; the rest counts as `other`.
const MOST_REASONS: usize = 50;

/// Fields of a request that make another variant of a page.
pub(super) type Variant = Vec<(&'static str, String)>;

/// A warm-up.
#[derive(Clone, Debug)]
pub(super) struct Warm {
    pub(super) pages: Pages,
    pub(super) pace: Pace,
    /// Pages at most.
    pub(super) most: usize,
    /// As which each page is asked for.
    pub(super) variants: Vec<Variant>,
}

/// Where the pages come from.
#[derive(Clone, Debug)]
pub(super) enum Pages {
    Listed(Vec<Page>),
    Sitemap(Page),
}

/// How fast pages are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// At a time.
    pub(super) concurrency: usize,
    /// Per second.
    pub(super) rate: u32,
}

impl Warm {
    /// Asks for every page. What came of it, as JSON.
    ///
    /// # Errors
    /// When the sitemap cannot be read, or the app suffers.
    pub(super) async fn run(self, asks: impl Asks, own: &Own, progress: impl Fn(u8)) -> Result<Value, Failure> {
        let began = Instant::now();
        let mut ticks = interval(Duration::from_secs(1) / self.pace.rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut found = Found { most: self.most, ..Found::default() };
        match self.pages {
            Pages::Listed(pages) => pages.into_iter().for_each(|page| found.take(page)),
            Pages::Sitemap(page) => found.gather(&asks, own, page, &mut ticks).await.map_err(failed)?,
        }
        let total = found.pages.len() * self.variants.len();
        let mut tally = Tally::default();
        let mut watch = Watch::default();
        let mut under_way = JoinSet::new();
        let mut take = |done: Result<Result<Got, NoAnswer>, tokio::task::JoinError>| {
            let answer = done.unwrap_or(Err(NoAnswer::Refused("it made the proxy panic")));
            let suffers = tally.take(&answer).and_then(|app| watch.take(app));
            progress((tally.asked * 100 / total.max(1) as u64) as u8);
            match suffers {
                Some(suffers) => Err(failed(tally.stopped(&suffers, total))),
                None => Ok(()),
            }
        };
        for page in &found.pages {
            for variant in &self.variants {
                if under_way.len() == self.pace.concurrency
                    && let Some(done) = under_way.join_next().await
                {
                    take(done)?;
                }
                ticks.tick().await;
                while let Some(done) = under_way.try_join_next() {
                    take(done)?;
                }
                let (asks, page, variant) = (asks.clone(), page.clone(), variant.clone());
                under_way.spawn(async move { asks.ask(&page, &variant, 0).await });
            }
        }
        while let Some(done) = under_way.join_next().await {
            take(done)?;
        }
        let mut json = tally.json();
        json["kind"] = "cache_warmup".into();
        json["pages"] = found.json();
        json["took_ms"] = (began.elapsed().as_millis() as u64).into();
        Ok(json)
    }
}

fn failed(detail: String) -> Failure {
    Failure::new(Reason::Error, detail)
}

/// The pages that are to be asked for, and what was found besides.
#[derive(Debug, Default)]
struct Found {
    most: usize,
    pages: Vec<Page>,
    seen: HashSet<Page>,
    twice: u64,
    foreign: u64,
    unreadable: u64,
    left_out: u64,
    sitemaps: u64,
    sitemaps_failed: u64,
    sitemaps_left_out: u64,
    problems: Vec<String>,
}

impl Found {
    fn take(&mut self, page: Page) {
        if self.seen.contains(&page) {
            self.twice += 1;
        } else if self.pages.len() == self.most {
            self.left_out += 1;
        } else {
            self.seen.insert(page.clone());
            self.pages.push(page);
        }
    }

    /// Reads a sitemap and those that it names, each once.
    async fn gather(&mut self, asks: &impl Asks, own: &Own, root: Page, ticks: &mut Interval) -> Result<(), String> {
        let mut met = HashSet::from([root.clone()]);
        let mut next = VecDeque::from([(root, 0)]);
        while let Some((page, depth)) = next.pop_front() {
            if self.sitemaps + self.sitemaps_failed == MOST_SITEMAPS || self.pages.len() == self.most {
                self.sitemaps_left_out += 1 + next.len() as u64;
                break;
            }
            match read(asks, own, &page, ticks).await {
                Ok(Sitemap::Pages(urls)) => {
                    self.sitemaps += 1;
                    for url in urls {
                        match own.page(&url) {
                            Ok(page) if own.has(&page) => self.take(page),
                            Ok(_) => self.foreign += 1,
                            Err(_) => self.unreadable += 1,
                        }
                    }
                }
                Ok(Sitemap::Index(urls)) => {
                    self.sitemaps += 1;
                    for url in urls {
                        match own.page(&url) {
                            Ok(page) if !own.has(&page) => self.foreign += 1,
                            Ok(page) if met.contains(&page) => {}
                            Ok(page) if depth < MOST_DEPTH && (met.len() as u64) < MOST_SITEMAPS => {
                                met.insert(page.clone());
                                next.push_back((page, depth + 1));
                            }
                            Ok(_) => self.sitemaps_left_out += 1,
                            Err(_) => self.unreadable += 1,
                        }
                    }
                }
                Err(why) if depth == 0 => return Err(format!("{}: {why}", clipped(&page.to_string()))),
                Err(why) => {
                    self.sitemaps_failed += 1;
                    if self.problems.len() < MOST_PROBLEMS {
                        self.problems.push(format!("{page}: {why}"));
                    }
                }
            }
        }
        if self.pages.is_empty() {
            let Self { sitemaps, sitemaps_failed, foreign, unreadable, .. } = self;
            return Err(format!(
                "no page of an own host in {sitemaps} sitemaps: {foreign} URLs of other hosts (tasks.hosts allows them), \
                 {unreadable} that are none, {sitemaps_failed} sitemaps that cannot be read"
            ));
        }
        Ok(())
    }

    fn json(&self) -> Value {
        json!({
            "found": self.pages.len(),
            "named_twice": self.twice,
            "foreign": self.foreign,
            "unreadable": self.unreadable,
            "left_out": self.left_out,
            "sitemaps": {
                "read": self.sitemaps,
                "failed": self.sitemaps_failed,
                "left_out": self.sitemaps_left_out,
                "problems": self.problems,
            },
        })
    }
}

/// Fetches a sitemap, wherever it is now.
async fn read(asks: &impl Asks, own: &Own, page: &Page, ticks: &mut Interval) -> Result<Sitemap, String> {
    let mut way = vec![page.clone()];
    loop {
        ticks.tick().await;
        let page = &way[way.len() - 1];
        let got = asks.ask(page, &Variant::default(), sitemap::MOST_BYTES + 1).await;
        let got = got.map_err(|why| format!("it cannot be asked for: {}", no_answer(&why)))?;
        match (got.status, &got.location) {
            (200, _) if got.is_whole => {
                // Ten MiB take a moment, and others wait on this thread.
                let read = tokio::task::spawn_blocking(move || sitemap::read(&got.body)).await;
                return read.unwrap_or_else(|_| Err("it cannot be read".into()));
            }
            (200, _) => return Err("it was cut off".into()),
            (301 | 302 | 303 | 307 | 308, Some(location)) => {
                let shown = String::from_utf8_lossy(location).into_owned();
                let to = page.followed(location, own);
                let to = to.ok_or_else(|| format!("it redirects to {:?}: expected a page", clipped(&shown)))?;
                if !own.has(&to) {
                    return Err(format!("it redirects to {:?}, which is none of the own hosts", to.name()));
                }
                if way.contains(&to) {
                    return Err(format!("it redirects in a loop of {}", way.len()));
                }
                if way.len() > MOST_REDIRECTS {
                    return Err(format!("it redirects more than {MOST_REDIRECTS} times"));
                }
                way.push(to);
            }
            (status, _) => return Err(format!("it is answered with status {status}")),
        }
    }
}

/// In words, for counts.
pub(super) fn no_answer(why: &NoAnswer) -> String {
    match why {
        NoAnswer::Refused(why) => (*why).into(),
        NoAnswer::Upstream(failure) => failure.name().into(),
    }
}

/// What became of the pages.
#[derive(Debug, Default)]
struct Tally {
    asked: u64,
    hits: u64,
    revalidated: u64,
    collapsed: u64,
    stored: u64,
    not_stored: BTreeMap<String, u64>,
    failed: BTreeMap<String, u64>,
    bytes: u64,
}

impl Tally {
    /// Counts an answer. What the app has to do with it: nothing, or how long it took, or that it failed.
    fn take(&mut self, answer: &Result<Got, NoAnswer>) -> Option<Option<Duration>> {
        self.asked += 1;
        let got = match answer {
            Ok(got) => got,
            Err(why) => {
                count(&mut self.failed, no_answer(why));
                // What is no request never came to the app.
                return matches!(why, NoAnswer::Upstream(_)).then_some(None);
            }
        };
        self.bytes += got.body_bytes;
        if got.status >= 500 || !got.is_whole {
            count(&mut self.failed, if got.is_whole { format!("status {}", got.status) } else { "cut off".into() });
            return Some(None);
        }
        // RFC 9211 §2: parameters behind the name of the cache.
        let has = |parameter: &str| got.cache_status.split(';').any(|one| one.trim() == parameter);
        let detail = got.cache_status.split(';').find_map(|one| one.trim().strip_prefix("detail="));
        if has("hit") {
            self.hits += 1;
            return None;
        }
        if has("fwd-status=304") {
            self.revalidated += 1;
        } else if has("stored") {
            self.stored += 1;
        } else if has("collapsed") {
            self.collapsed += 1;
        } else {
            count(&mut self.not_stored, detail.unwrap_or("the cache was not asked").into());
        }
        Some(Some(got.took))
    }

    fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    fn stopped(&self, suffers: &Suffers, total: usize) -> String {
        let Self { asked, hits, stored, .. } = self;
        format!("{suffers}; {asked} of {total} asked, {stored} stored, {hits} hits, {} failed", self.failures())
    }

    fn json(&self) -> Value {
        let counted = |by: &BTreeMap<String, u64>| json!({ "total": by.values().sum::<u64>(), "by_reason": by });
        json!({
            "asked": self.asked,
            "hits": self.hits,
            "stored": self.stored,
            "revalidated": self.revalidated,
            "collapsed": self.collapsed,
            "not_stored": counted(&self.not_stored),
            "failed": counted(&self.failed),
            "bytes": self.bytes,
        })
    }
}

fn count(by: &mut BTreeMap<String, u64>, reason: String) {
    let is_full = by.len() >= MOST_REASONS && !by.contains_key(&reason);
    *by.entry(if is_full { "other".into() } else { reason }).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::SeqCst},
        },
    };

    use parking_lot::Mutex;
    use tokio::time::sleep;

    use super::*;
    use crate::traffic::UpstreamFailure;

    /// An app of a table, each answer of which takes a while.
    #[derive(Clone, Default)]
    struct App {
        answers: Arc<HashMap<String, (u16, &'static str, String)>>,
        takes: Duration,
        status: Arc<Mutex<String>>,
        asked: Arc<Mutex<Vec<(String, Instant)>>>,
        at_once: Arc<AtomicUsize>,
        most_at_once: Arc<AtomicUsize>,
    }

    impl Asks for App {
        async fn ask(&self, page: &Page, variant: &Variant, most_bytes: usize) -> Result<Got, NoAnswer> {
            self.asked.lock().push((format!("{}{variant:?}", page.target), Instant::now()));
            self.most_at_once.fetch_max(self.at_once.fetch_add(1, SeqCst) + 1, SeqCst);
            sleep(self.takes).await;
            self.at_once.fetch_sub(1, SeqCst);
            let (status, location, body) = self.answers.get(&*page.target).cloned().unwrap_or((200, "", String::new()));
            if status == 0 {
                return Err(NoAnswer::Upstream(UpstreamFailure::Closed));
            }
            let body = bytes::Bytes::from(body);
            Ok(Got {
                status,
                content_type: None,
                location: (!location.is_empty()).then(|| location.as_bytes().into()),
                cache_status: self.status.lock().clone(),
                body_bytes: body.len() as u64,
                body: body.slice(..body.len().min(most_bytes)),
                is_whole: true,
                first_byte: self.takes,
                took: self.takes,
            })
        }
    }

    fn app(answers: &[(&str, u16, &'static str, &str)]) -> App {
        let answers = answers
            .iter()
            .map(|(path, status, location, body)| ((*path).to_owned(), (*status, *location, (*body).to_owned())));
        App {
            answers: Arc::new(answers.collect()),
            takes: Duration::from_millis(1),
            status: Arc::new(Mutex::new("pacecar; fwd=uri-miss; stored; ttl=60".into())),
            ..App::default()
        }
    }

    fn own() -> Own {
        Own::new(&["a".into()], &[])
    }

    fn listed(count: usize) -> Pages {
        Pages::Listed((0..count).map(|n| own().page(&format!("/{n}")).unwrap()).collect())
    }

    fn warm(pages: Pages) -> Warm {
        Warm { pages, pace: Pace { concurrency: 2, rate: 10 }, most: 5000, variants: vec![Variant::default()] }
    }

    async fn mapped(app: &App) -> Result<Value, String> {
        let sitemap = Pages::Sitemap(own().page("/s").unwrap());
        warm(sitemap).run(app.clone(), &own(), |_| ()).await.map_err(|failure| failure.detail)
    }

    fn urls(paths: &[&str]) -> String {
        let urls: String = paths.iter().map(|path| format!("<url><loc>{path}</loc></url>")).collect();
        format!("<urlset>{urls}</urlset>")
    }

    fn index(paths: &[&str]) -> String {
        let urls: String = paths.iter().map(|path| format!("<sitemap><loc>{path}</loc></sitemap>")).collect();
        format!("<sitemapindex>{urls}</sitemapindex>")
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_rate_and_at_a_time() {
        for (takes, concurrency, rate, expected) in [
            // 50 pages at 10 per second.
            (1, 10, 10, 4900..=5100),
            // Two at a time of a second each.
            (1000, 2, 100, 25_000..=25_600),
            (1, 1, 100, 490..=600),
        ] {
            let app = App { takes: Duration::from_millis(takes), ..app(&[]) };
            let began = Instant::now();
            let warm = Warm { pace: Pace { concurrency, rate }, ..warm(listed(50)) };
            let json = warm.run(app.clone(), &own(), |_| ()).await.unwrap();
            assert_eq!((&json["asked"], &json["stored"]), (&50.into(), &50.into()));
            let took = began.elapsed().as_millis();
            assert!(expected.contains(&took), "{took}: {expected:?}");
            assert!(app.most_at_once.load(SeqCst) <= concurrency);
            let asked = app.asked.lock();
            let apart = |pair: &[(String, Instant)]| (pair[1].1 - pair[0].1).as_millis();
            let least = asked.windows(2).map(apart).min().unwrap();
            assert!(least >= u128::from(1000 / rate), "{least}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_variant_and_every_page_once() {
        let app = app(&[]);
        let variants = vec![Variant::default(), vec![("accept-encoding", "br".to_owned())]];
        let Pages::Listed(pages) = listed(3) else { unreachable!() };
        let twice = Pages::Listed(pages.iter().chain(&pages).cloned().collect());
        let percents = Mutex::new(Vec::new());
        let warm = Warm { variants, most: 2, ..warm(twice) };
        let json = warm.run(app.clone(), &own(), |percent| percents.lock().push(percent)).await.unwrap();
        assert_eq!(app.asked.lock().len(), 4);
        assert_eq!((&json["pages"]["found"], &json["pages"]["named_twice"]), (&2.into(), &2.into()));
        assert_eq!(json["pages"]["left_out"], 2);
        assert_eq!(*percents.lock(), [25, 50, 75, 100]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_became_of_pages() {
        for (status, expected) in [
            ("pacecar; hit; ttl=7", "hits"),
            ("pacecar; hit; ttl=-7; detail=stale-while-revalidate", "hits"),
            ("pacecar; fwd=stale; fwd-status=304; ttl=7", "revalidated"),
            ("pacecar; fwd=uri-miss; stored; ttl=7", "stored"),
            ("pacecar; fwd=uri-miss; collapsed", "collapsed"),
        ] {
            let app = app(&[]);
            *app.status.lock() = status.into();
            let json = warm(listed(3)).run(app, &own(), |_| ()).await.unwrap();
            assert_eq!(json[expected], 3, "{status}: {json}");
        }
        let app = app(&[("/0", 500, "", ""), ("/1", 0, "", "")]);
        *app.status.lock() = "pacecar; fwd=uri-miss; detail=private".into();
        let json = warm(listed(3)).run(app, &own(), |_| ()).await.unwrap();
        assert_eq!(json["not_stored"]["by_reason"]["private"], 1, "{json}");
        assert_eq!(json["failed"]["by_reason"]["status 500"], 1, "{json}");
        assert_eq!(json["failed"]["total"], 2, "{json}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_app_that_suffers_is_left_alone() {
        let paths: Vec<String> = (20..40).map(|n| format!("/{n}")).collect();
        let broken = app(&paths.iter().map(|path| (&**path, 503, "", "")).collect::<Vec<_>>());
        let failure = warm(listed(100)).run(broken.clone(), &own(), |_| ()).await.unwrap_err();
        assert_eq!(
            failure.detail,
            "5 of the app's last 20 answers failed (more than 20 %); 25 of 100 asked, 20 stored, 0 hits, 5 failed"
        );
        let asked = broken.asked.lock().len();
        assert!((25..=27).contains(&asked), "{asked}");
        // Hits say nothing of the app.
        *broken.status.lock() = "pacecar; hit; ttl=7".into();
        let all = warm(listed(20)).run(broken, &own(), |_| ()).await.unwrap();
        assert_eq!(all["hits"], 20);
    }

    #[tokio::test(start_paused = true)]
    async fn sitemaps_of_sitemaps() {
        let app = app(&[
            ("/s", 200, "", &index(&["/1", "http://a/2", "/s", "/1", "http://b/foreign", "/broken"])),
            ("/1", 200, "", &urls(&["/x", "http://a/y", "http://b/z", "no url"])),
            ("/2", 200, "", &index(&["/3", "/s"])),
            ("/3", 200, "", &index(&["/4"])),
            ("/broken", 404, "", ""),
        ]);
        let json = mapped(&app).await.unwrap();
        let pages = &json["pages"];
        assert_eq!(pages["sitemaps"]["read"], 4, "{json}");
        // What /3 names is too deep.
        assert_eq!((&pages["sitemaps"]["left_out"], &pages["sitemaps"]["failed"]), (&1.into(), &1.into()), "{json}");
        assert_eq!(pages["sitemaps"]["problems"][0], "http://a/broken: it is answered with status 404");
        assert_eq!((&pages["found"], &pages["foreign"], &pages["unreadable"]), (&2.into(), &2.into(), &1.into()));
        assert_eq!(json["asked"], 2);
    }

    #[tokio::test(start_paused = true)]
    async fn redirects_of_a_sitemap() {
        let hops = |count: usize| -> Vec<(String, u16, &'static str, String)> {
            const TO: [&str; 8] = ["/h1", "/h2", "/h3", "/h4", "/h5", "/h6", "/h7", "/h8"];
            let mut all = vec![("/s".to_owned(), 302, TO[0], String::new())];
            (0..count - 1).for_each(|n| all.push((TO[n].to_owned(), 302, TO[n + 1], String::new())));
            all.push((TO[count - 1].to_owned(), 200, "", urls(&["/x"])));
            all
        };
        for (answers, expected) in [
            (hops(5), Ok(1)),
            (hops(6), Err("http://a/s: it redirects more than 5 times")),
            (
                vec![("/s".to_owned(), 301, "/t", String::new()), ("/t".to_owned(), 301, "http://a/s", String::new())],
                Err("http://a/s: it redirects in a loop of 2"),
            ),
            (vec![("/s".to_owned(), 301, "/s", String::new())], Err("http://a/s: it redirects in a loop of 1")),
            (
                vec![("/s".to_owned(), 301, "http://b/s", String::new())],
                Err("http://a/s: it redirects to \"b\", which is none of the own hosts"),
            ),
            (vec![("/s".to_owned(), 503, "", String::new())], Err("http://a/s: it is answered with status 503")),
            (vec![("/s".to_owned(), 0, "", String::new())], Err("http://a/s: it cannot be asked for: closed")),
            (
                vec![("/s".to_owned(), 200, "", urls(&["http://b/"]))],
                Err(
                    "no page of an own host in 1 sitemaps: 1 URLs of other hosts (tasks.hosts allows them), 0 that are \
                     none, 0 sitemaps that cannot be read",
                ),
            ),
        ] {
            let app = app(&answers
                .iter()
                .map(|(path, status, to, body)| (&**path, *status, *to, &**body))
                .collect::<Vec<_>>());
            let came = mapped(&app).await.map(|json| json["asked"].as_u64().unwrap());
            assert_eq!(came.as_ref().map_err(|why| &**why), expected.as_ref().map_err(|why| &**why), "{answers:?}");
        }
    }
}
