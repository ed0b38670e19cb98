//! Apps of which it is known what may be cached, watched by a clock of the test's own.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use crate::observe::{Answer, Content, Dimension, Kind, LIFETIMES, Observer, Report};

use super::{Confidence, Facts, Finding, Remedy, cacheable, own_write, split};

/// Who asks for what, and when.
#[derive(Clone, Debug)]
struct Asked {
    at: Duration,
    client: u64,
    /// A session, where the client has one.
    session: Option<u64>,
    path: String,
    query: Vec<(&'static str, u64)>,
}

/// What the app answers.
struct Given {
    body: u64,
    bytes: u64,
    sets_cookie: bool,
    obstacle: Option<&'static str>,
    varies: Option<(&'static str, u64)>,
}

impl Given {
    fn of(body: impl Hash) -> Self {
        Self { body: hash(body), bytes: 5000, sets_cookie: false, obstacle: None, varies: None }
    }
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

const ASKED_FOR: Duration = Duration::from_millis(50);

/// Shows an app's traffic to an observer.
struct Stage {
    observer: Observer,
    start: Instant,
    last: Duration,
}

impl Stage {
    fn new() -> Self {
        let start = Instant::now();
        Self { observer: Observer::new(7, start), start, last: Duration::ZERO }
    }

    fn ask(&mut self, asked: &Asked, given: &Given) {
        self.last = self.last.max(asked.at);
        let url = hash((&asked.path, &asked.query));
        let dimensions: Vec<Dimension<'_>> = asked
            .query
            .iter()
            .map(|(name, value)| {
                let others: Vec<_> = asked.query.iter().filter(|(other, _)| other != name).collect();
                Dimension { kind: Kind::Query, name, value: *value, rest: hash((name, &asked.path, others)) }
            })
            .chain(given.varies.map(|(name, value)| Dimension {
                kind: Kind::Header,
                name,
                value,
                rest: hash((name, url)),
            }))
            .collect();
        let began = self.start + asked.at;
        let answer = Answer {
            path: asked.path.as_bytes(),
            url,
            key: hash((url, given.varies)),
            identity: hash((asked.client, asked.session)),
            identified: asked.session.is_some(),
            content: Content::Whole(given.body, given.bytes),
            etag: None,
            began,
            ended: began + ASKED_FOR,
            upstream: ASKED_FOR,
            sets_cookie: given.sets_cookie,
            configured: None,
            obstacle: given.obstacle.or(asked.session.map(|_| "cookie")),
            dimensions: &dimensions,
        };
        self.observer.answered(&answer, |path| String::from_utf8_lossy(path).into());
    }

    fn write(&mut self, url: &str, client: u64, at: Duration) {
        self.observer.wrote(hash((url, Vec::<(&str, u64)>::new())), hash((client, None::<u64>)), self.start + at);
    }

    fn report(&self) -> Report {
        self.observer.report(self.start + self.last, |name| name.into())
    }
}

/// Requests of so many clients for an hour, one every `every` on average, all for one path.
fn hour(clients: u64, every: Duration, sessions: bool) -> Vec<Asked> {
    let mut random = fastrand::Rng::with_seed(clients);
    let mut at = Duration::ZERO;
    let mut all = Vec::new();
    while at < Duration::from_secs(3500) {
        let client = random.u64(..clients);
        let session = sessions.then_some(client);
        all.push(Asked { at, client, session, path: "/it".into(), query: Vec::new() });
        at += every.mul_f64(-random.f64().max(1e-9).ln());
    }
    all
}

const SECOND: Duration = Duration::from_secs(1);

type App<'a> = &'a dyn Fn(&Asked, &mut fastrand::Rng) -> Given;

fn watch(traffic: &[Asked], app: App<'_>) -> Report {
    let (mut stage, mut random) = (Stage::new(), fastrand::Rng::with_seed(3));
    traffic.iter().for_each(|asked| stage.ask(asked, &app(asked, &mut random)));
    stage.report()
}

fn facts(report: &Report) -> Facts {
    Facts { observed: report.clone(), ..Facts::default() }
}

fn advised(report: &Report) -> Option<Finding> {
    let mut findings = cacheable::find(&facts(report));
    assert!(findings.len() <= 1, "{findings:?}");
    findings.pop()
}

/// The lifetime that is advised, in seconds, and whether for sure.
fn verdict(traffic: &[Asked], app: App<'_>) -> Option<(u64, Confidence, bool)> {
    let finding = advised(&watch(traffic, app))?;
    let lifetime = match finding.evidence["lifetime_seconds"] {
        super::Figure::Count(seconds) => seconds,
        _ => unreachable!(),
    };
    Some((lifetime, finding.confidence, matches!(finding.remedy, Remedy::Config(_))))
}

fn version(at: Duration, every: u64) -> u64 {
    at.as_secs() / every
}

#[test]
fn what_is_the_same_for_all_is_advised_for_as_long_as_pays() {
    let measured = |seconds| Some((seconds, Confidence::Measured, true));
    let page = &|_: &Asked, _: &mut fastrand::Rng| Given::of("page");
    // Asked for often, a short lifetime saves nearly all there is to save.
    assert_eq!(verdict(&hour(50, SECOND / 5, false), page), measured(5));
    assert_eq!(verdict(&hour(50, SECOND, false), page), measured(30));
    assert_eq!(verdict(&hour(50, 10 * SECOND, false), page), measured(300));
    assert_eq!(verdict(&hour(1, SECOND, false), page), measured(30));
}

#[test]
fn what_changes_is_advised_for_as_long_as_it_stays_right() {
    // Changing each ten minutes, with ten requests a second: 5 s keep it right 99.6 times in 100.
    let news = &|asked: &Asked, _: &mut fastrand::Rng| Given::of(version(asked.at, 600));
    assert_eq!(verdict(&hour(20, SECOND / 10, false), news), Some((5, Confidence::Measured, true)));
    // Every 30 s: no lifetime is right 99 times in 100.
    for clients in [1, 20, 500] {
        let quotes = &|asked: &Asked, _: &mut fastrand::Rng| Given::of(version(asked.at, 30));
        assert_eq!(verdict(&hour(clients, SECOND / 10, false), quotes), None, "{clients} clients");
    }
}

#[test]
fn what_depends_on_who_asks_is_never_advised() {
    let cases: [(&str, App<'_>); 9] = [
        ("each their own", &|asked, _| Given::of(asked.client)),
        ("most the same, large", &|asked, _| Given::of(asked.client.is_multiple_of(50).then_some(asked.client))),
        ("most empty", &|asked, _| {
            let own = asked.client.is_multiple_of(50).then_some(asked.client);
            Given { bytes: if own.is_some() { 800 } else { 2 }, ..Given::of(own) }
        }),
        ("all empty so far", &|_, _| Given { bytes: 2, ..Given::of("[]") }),
        ("two kinds of people", &|asked, _| Given::of(asked.client % 2)),
        ("three countries", &|asked, _| Given::of(asked.client % 3)),
        ("one who is greeted", &|asked, _| Given::of(asked.client == 7)),
        ("their own, and changing", &|asked, _| Given::of((asked.client, version(asked.at, 300)))),
        ("the cart of a moment", &|asked, _| Given::of((asked.client, asked.at))),
    ];
    for (name, app) in cases {
        for clients in [2, 25, 100, 1000] {
            for every in [SECOND / 5, SECOND, 10 * SECOND] {
                let traffic = hour(clients, every, true);
                if name != "all empty so far" && is_the_same_for_all(&traffic, app) {
                    continue;
                }
                let found = verdict(&traffic, app);
                assert_eq!(found, None, "{name}, {clients} clients with sessions, one in {every:?}");
            }
        }
    }
}

/// Where nobody with something of their own came by, there is nothing to be seen.
fn is_the_same_for_all(traffic: &[Asked], app: App<'_>) -> bool {
    let mut answers = traffic.iter().map(|asked| app(asked, &mut fastrand::Rng::with_seed(3)).body);
    let first = answers.next();
    answers.all(|body| Some(body) == first)
}

#[test]
fn what_depends_on_the_address_alone_is_never_advised() {
    let cases: [(&str, App<'_>); 6] = [
        ("each their own", &|asked, _| Given::of(asked.client)),
        ("one alone", &|asked, _| Given::of(asked.client == 7)),
        ("two countries", &|asked, _| Given::of(asked.client % 2)),
        ("five countries", &|asked, _| Given::of(asked.client % 5)),
        ("one in fifty", &|asked, _| Given::of(asked.client.is_multiple_of(50))),
        ("changing, in two languages", &|asked, _| Given::of((asked.client % 2, version(asked.at, 60)))),
    ];
    for (name, app) in cases {
        for clients in [2, 10, 100, 1000] {
            for every in [SECOND / 5, SECOND, 10 * SECOND] {
                let traffic = hour(clients, every, false);
                if is_the_same_for_all(&traffic, app) {
                    continue;
                }
                assert_eq!(verdict(&traffic, app), None, "{name}, {clients} clients, one in {every:?}");
            }
        }
    }
}

/// One client after the other, each with many requests: nothing ever comes back.
#[test]
fn clients_who_come_one_after_the_other_are_told_apart() {
    for each in [10u64, 100, 1000] {
        let mut traffic = hour(1, SECOND / 5, false);
        traffic.iter_mut().enumerate().for_each(|(n, asked)| asked.client = n as u64 / each);
        assert_eq!(verdict(&traffic, &|asked, _| Given::of(asked.client)), None, "{each} requests each");
        traffic.iter_mut().for_each(|asked| asked.session = Some(asked.client));
        assert_eq!(verdict(&traffic, &|asked, _| Given::of(asked.client)), None, "{each} requests each, with sessions");
    }
}

#[test]
fn what_is_random_sets_cookies_or_alternates_is_never_advised() {
    let cases: [(&str, App<'_>); 7] = [
        ("random", &|_, random| Given::of(random.u64(..))),
        ("one of two", &|_, random| Given::of(random.bool())),
        ("one of a hundred", &|_, random| Given::of(random.u8(..100))),
        ("mostly one", &|_, random| Given::of(random.u8(..100) == 0)),
        ("a cookie", &|_, _| Given { sets_cookie: true, ..Given::of("page") }),
        ("a cookie now and then", &|_, random| Given { sets_cookie: random.u8(..200) == 0, ..Given::of("page") }),
        ("a clock", &|asked, _| Given::of(asked.at.as_secs())),
    ];
    for (name, app) in cases {
        for clients in [1, 10, 300] {
            let found = verdict(&hour(clients, SECOND / 5, false), app);
            assert_eq!(found, None, "{name}, {clients} clients");
        }
    }
}

#[test]
fn what_people_ask_for_by_name_stays_a_candidate() {
    let page = &|_: &Asked, _: &mut fastrand::Rng| Given::of("page");
    assert_eq!(verdict(&hour(15, SECOND, true), page), None, "too few");
    assert_eq!(verdict(&hour(60, SECOND, true), page), Some((30, Confidence::Candidate, false)), "a question");
    assert_eq!(verdict(&hour(400, SECOND, true), page), Some((30, Confidence::Candidate, true)), "something to paste");
    // Two of them had another answer, within the hour.
    let differs = &|asked: &Asked, _: &mut fastrand::Rng| Given::of(asked.client < 2);
    assert_eq!(verdict(&hour(400, SECOND, true), differs), None);
}

#[test]
fn what_the_app_forbids_is_a_question_to_its_developer() {
    let forbids = |why| move |_: &Asked, _: &mut fastrand::Rng| Given { obstacle: Some(why), ..Given::of("page") };
    assert_eq!(verdict(&hour(9, SECOND, false), &forbids("no-store")), Some((30, Confidence::Candidate, false)));
    assert_eq!(verdict(&hour(9, SECOND, false), &forbids("private")), None);
    assert_eq!(verdict(&hour(9, SECOND, false), &forbids("vary-star")), None);
    assert_eq!(verdict(&hour(9, SECOND, false), &forbids("status")), None);
}

#[test]
fn too_little_is_not_enough() {
    let page = &|_: &Asked, _: &mut fastrand::Rng| Given::of("page");
    assert_eq!(verdict(&hour(5, SECOND, false)[..19], page), None);
    // Each asked for once only: there is nothing to save.
    let mut traffic = hour(5, SECOND, false);
    traffic.iter_mut().enumerate().for_each(|(n, asked)| asked.query = vec![("page", n as u64)]);
    assert_eq!(verdict(&traffic, page), None);
}

/// The figures are those of a cache: what is predicted is counted again, by a cache that is simulated otherwise.
#[test]
fn what_is_predicted_is_what_a_cache_does() {
    let mut traffic = hour(40, SECOND / 4, false);
    let mut random = fastrand::Rng::with_seed(9);
    traffic.iter_mut().for_each(|asked| asked.query = vec![("id", random.u64(..200).pow(2) / 200)]);
    let app = |asked: &Asked, _: &mut fastrand::Rng| Given::of((&asked.query, version(asked.at, 900)));
    let report = watch(&traffic, &app);
    let figures = &report.endpoints[0].figures;
    for (lifetime, hits) in LIFETIMES.iter().zip(&figures.lifetimes) {
        let mut held = std::collections::HashMap::new();
        let (mut saved, mut outdated) = (0, 0);
        for asked in &traffic {
            let body = app(asked, &mut random).body;
            match held.get(&asked.query) {
                Some((until, held)) if asked.at < *until => {
                    saved += 1;
                    outdated += u64::from(*held != body);
                }
                _ => {
                    held.insert(asked.query.clone(), (asked.at + ASKED_FOR + *lifetime, body));
                }
            }
        }
        assert_eq!((hits.requests, hits.outdated), (saved, outdated), "{lifetime:?}");
        assert_eq!(hits.upstream, ASKED_FOR * saved as u32);
    }
    assert_eq!(figures.answers, traffic.len() as u64);
}

#[test]
fn a_client_that_would_not_see_its_own_write_is_reported() {
    let mut stage = Stage::new();
    let mut version = 0;
    for n in 0..400u64 {
        let at = SECOND * n as u32;
        if n % 40 == 20 {
            // To another URL, as a form does.
            stage.write("/posts/new", n % 7, at);
            version += 1;
        }
        let asked = Asked { at: at + SECOND / 2, client: n % 7, session: None, path: "/posts".into(), query: vec![] };
        stage.ask(&asked, &Given::of(version));
    }
    let report = stage.report();
    let found = own_write::find(&facts(&report));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id(), "own_write:GET /posts");
    assert!(report.endpoints[0].figures.lifetimes[1].own_writes > 0);
    assert_eq!(cacheable::find(&facts(&report)), []);
}

#[test]
fn a_write_to_the_same_url_is_seen_by_the_cache() {
    let mut stage = Stage::new();
    let mut version = 0;
    for n in 0..400u64 {
        let at = SECOND * n as u32;
        if n % 40 == 20 {
            stage.write("/posts", n % 7, at);
            version += 1;
        }
        let asked = Asked { at: at + SECOND / 2, client: n % 7, session: None, path: "/posts".into(), query: vec![] };
        stage.ask(&asked, &Given::of(version));
    }
    assert_eq!(own_write::find(&facts(&stage.report())), []);
    assert!(stage.report().endpoints[0].figures.lifetimes.iter().all(|hits| hits.outdated == 0));
}

#[test]
fn what_splits_the_cache_for_nothing_is_named() {
    let mut random = fastrand::Rng::with_seed(2);
    let mut traffic = hour(9, SECOND, false);
    traffic.iter_mut().for_each(|asked| {
        asked.query = vec![("page", random.u64(..3)), ("utm_source", random.u64(..9)), ("sort", random.u64(..2))];
    });
    let app = |asked: &Asked, _: &mut fastrand::Rng| Given {
        varies: Some(("user-agent", asked.client)),
        ..Given::of((asked.query[0].1, asked.query[2].1, 0))
    };
    let named: Vec<String> = split::find(&facts(&watch(&traffic, &app))).iter().map(Finding::id).collect();
    assert_eq!(named, ["split:GET /it:query=utm_source", "split:GET /it:header=user-agent"]);
}

/// The route for `/users/{id}` would take in `/users/me`, which must not be kept.
#[test]
fn a_route_leaves_out_what_it_must_not_take_in() {
    let mut stage = Stage::new();
    for (n, asked) in hour(30, SECOND, false).into_iter().enumerate() {
        stage.ask(
            &Asked { path: "/users/{id}".into(), query: vec![("n", n as u64 % 10)], ..asked.clone() },
            &Given::of(n % 10),
        );
        stage.ask(
            &Asked { path: "/users/me".into(), session: Some(asked.client), ..asked.clone() },
            &Given::of(asked.client),
        );
    }
    let finding = advised(&stage.report()).unwrap();
    let Remedy::Config(snippet) = finding.remedy else { panic!("{finding:?}") };
    assert_eq!(
        snippet,
        "[[route]]\nmatch = \"/users/me\"\nmethods = [\"GET\"]\ncache = false\n\n\
         [[route]]\nmatch = \"/users/*\"\nmethods = [\"GET\"]\nttl = \"5m\"\n"
    );
}

#[test]
fn the_hit_rate_that_there_could_be_is_that_with_all_of_it_cached() {
    let page = &|_: &Asked, _: &mut fastrand::Rng| Given::of("page");
    let traffic = hour(50, SECOND, false);
    let facts = facts(&watch(&traffic, page));
    let best = facts.clone().with_what_could_be().achievable_hit_rate_percent.unwrap();
    let hits = facts.observed.endpoints[0].figures.lifetimes[1].requests;
    let answers = facts.observed.endpoints[0].figures.answers;
    assert_eq!(best, hits as f64 * 100.0 / answers as f64);
    let mut row = crate::profile::Figures::default();
    let sample = crate::profile::Sample::of("/other", SECOND);
    (0..answers).for_each(|_| row.add(&sample, SECOND * 9));
    let hour = crate::profile::Snapshot {
        endpoints: vec![crate::profile::Endpoint { endpoint: "/other".into(), method: "GET", figures: row }],
        ..Default::default()
    };
    // As many misses beside them, of what is stored and not asked for again.
    let half = Facts { hour, ..facts }.with_what_could_be().achievable_hit_rate_percent.unwrap();
    assert_eq!(half, best / 2.0);
    assert_eq!(Facts::default().with_what_could_be().achievable_hit_rate_percent, None);
}
