//! The decisions as tables: one line per rule, with the section that it stands in. Each line is a test, and
//! `DECISIONS.md` is written from them.
//!
//! What is asked, and what the origin says, are field lines. Before them may stand the method and the status, which
//! are GET and 200 otherwise; and `after 60 s`, which is how long after the response the request comes.

mod failure;
mod grace;
mod reuse;
mod share;
mod store;
mod take_part;

use std::{
    fmt::Write,
    fs,
    path::Path,
    time::{Duration, Instant, UNIX_EPOCH},
};

use super::{
    Cache, ClientCopy, Key, Lookup, Settings, Skip, Storable,
    entry::Parts,
    freshness::Received,
    policy::{Asker, admit, stands_in},
};
use crate::{
    header::{RequestHead, ResponseHead, forwarded::Peer},
    route::Policy,
};

/// The decisions of one kind.
struct Table {
    title: &'static str,
    about: &'static str,
    judge: fn(&Case) -> String,
    rows: &'static [Row],
}

/// One rule.
struct Row {
    name: &'static str,
    section: &'static str,
    asked: &'static str,
    said: &'static str,
    with: &'static [With],
    does: &'static str,
}

/// A setting of `proxy.toml`, and what it means.
struct With(&'static str, fn(&mut Policy, &mut Settings));

macro_rules! table {
    ($title:literal, $judge:path, $about:literal;
        $($name:ident: $section:literal, $asked:literal, $said:literal $(, $with:expr)* => $does:literal;)+) => {
        pub(super) const TABLE: Table = Table {
            title: $title,
            about: $about,
            judge: $judge,
            rows: &[$(Row {
                name: stringify!($name),
                section: $section,
                asked: $asked,
                said: $said,
                with: &[$($with),*],
                does: $does,
            }),+],
        };
        $(#[test] fn $name() { TABLE.holds(stringify!($name)) })+
    };
}
use table;

const TABLES: [Table; 6] = [take_part::TABLE, store::TABLE, share::TABLE, grace::TABLE, reuse::TABLE, failure::TABLE];

// What a route may say.
const ROUTE_CACHE_OFF: With = With("route: cache = false", |policy, _| policy.cache = false);
const ROUTE_PUBLIC: With = With("route: public = true", |policy, _| policy.public = true);
const ROUTE_TTL: With = With("route: ttl = \"30s\"", |policy, _| policy.ttl = Some(secs(30)));
const ROUTE_NO_TTL: With = With("route: ttl = \"0s\"", |policy, _| policy.ttl = Some(secs(0)));
const ROUTE_WHILE: With = With("route: stale_while_revalidate = \"20s\"", |policy, _| {
    policy.stale_while_revalidate = Some(secs(20));
});
const ROUTE_IF_ERROR: With = With("route: stale_if_error = \"40s\"", |policy, _| {
    policy.stale_if_error = Some(secs(40));
});
// What [cache] may say.
const DEFAULT_TTL: With = With("default_ttl = \"10s\"", |_, settings| settings.default_ttl = secs(10));
const HEURISTIC: With = With("heuristic = true", |_, settings| settings.heuristic = true);
const STORE_SET_COOKIE: With = With("store_set_cookie = true", |_, settings| settings.store_set_cookie = true);
const WHILE: With = With("stale_while_revalidate = \"15s\"", |_, settings| settings.stale_while_revalidate = secs(15));
const IF_ERROR_OFF: With = With("stale_if_error = \"0s\"", |_, settings| settings.stale_if_error = secs(0));
const NO_TARGETS: With = With("targeted = []", |_, settings| settings.targeted.clear());
const HONOUR: With =
    With("honour_client_cache_control = true", |_, settings| settings.honour_client_cache_control = true);

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A row, read.
struct Case {
    request: RequestHead,
    response: ResponseHead,
    after: Duration,
    policy: Policy,
    settings: Settings,
    received: Received,
}

/// When every response comes: Sun, 06 Nov 1994 08:49:37 GMT.
const RECEIVED: u64 = 784_111_777;

impl Case {
    fn of(row: &Row) -> Self {
        let (mut policy, mut settings) = (Policy::default(), Settings::default());
        row.with.iter().for_each(|With(_, set)| set(&mut policy, &mut settings));
        let (after, asked) = match row.asked.strip_prefix("after ").and_then(|rest| rest.split_once(" s")) {
            Some((seconds, rest)) => (seconds.parse().unwrap(), rest.trim_start_matches('\n')),
            None => (0, row.asked),
        };
        let (method, fields) = first_line(asked).unwrap_or(("GET", asked));
        let (status, said) = first_line(row.said).unwrap_or(("200", row.said));
        let crlf = |lines: &str| lines.lines().map(|line| format!("{line}\r\n")).collect::<String>();
        let now = Instant::now();
        Self {
            request: RequestHead::for_tests(&format!("{method} / HTTP/1.1\r\nHost: a\r\n{}\r\n", crlf(fields))),
            response: ResponseHead::for_tests(status.parse().unwrap(), &crlf(said)),
            after: secs(after),
            policy,
            settings,
            received: Received { requested: now, at: now, wall: UNIX_EPOCH + secs(RECEIVED) },
        }
    }

    fn asker(&self) -> Asker {
        Asker::of(&self.request, &self.policy, &self.settings)
    }

    /// The decision about the response as the answer to this request, or to one of nobody in particular.
    fn stored(&self, asker: Asker) -> Result<Storable, Skip> {
        super::policy::store(asker, &self.response, &self.policy, &self.settings, &self.received)
    }

    /// A cache that has the response, if it may be stored, as the answer to a GET of nobody in particular; and its key.
    fn cache(&self) -> (Cache, Key) {
        let plain = RequestHead::for_tests("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let key = Key::of(&plain, &Peer::new([127, 0, 0, 1].into(), false, &[]));
        let cache = Cache::new(self.settings.clone());
        if let Ok(storable) = self.stored(Asker { cookie: false, authorization: false }) {
            let selecting = cache.selected_by(&self.response, &plain);
            let epoch = cache.epoch(&key);
            let entry = cache.entry(Parts {
                key: &key,
                head: &self.response,
                body: "body".into(),
                selecting,
                storable: &storable,
                received: self.received.at,
                epoch,
                copy: ClientCopy::default(),
            });
            cache.insert(&key, entry.into(), epoch).unwrap();
        }
        (cache, key)
    }

    fn now(&self) -> Instant {
        self.received.at + self.after
    }
}

/// A first line that is no field, and the others.
fn first_line(lines: &str) -> Option<(&str, &str)> {
    let (first, rest) = lines.split_once('\n').unwrap_or((lines, ""));
    (!first.is_empty() && !first.contains(':')).then_some((first, rest))
}

// What the cache does, in words.

fn takes_part(case: &Case) -> String {
    match admit(&case.request, &case.policy) {
        Ok(()) => "takes part".into(),
        Err(why) => format!("takes no part: {}", why.name()),
    }
}

fn stores(case: &Case) -> String {
    match case.stored(case.asker()) {
        Ok(storable) if storable.terms.always_validate => "stores it; asks before each use".into(),
        Ok(storable) if storable.ttl() > 0 => format!("stores it; fresh for {} s", storable.ttl()),
        Ok(_) => "stores it; stale on arrival".into(),
        Err(why) => format!("does not store it: {}", why.name()),
    }
}

fn shares(case: &Case) -> String {
    let shared = case.stored(case.asker()).unwrap().shared;
    match (shared.with_cookies, shared.with_authorization) {
        (false, false) => "with those who have neither",
        (true, false) => "with cookies",
        (false, true) => "with Authorization",
        (true, true) => "with both",
    }
    .into()
}

fn graces(case: &Case) -> String {
    let terms = case.stored(case.asker()).unwrap().terms;
    match (terms.stale_while_revalidate.as_secs(), terms.stale_if_error.as_secs()) {
        (0, 0) if terms.never_stale => "never".into(),
        (0, 0) => "only for who accepts it".into(),
        (0, error) => format!("{error} s when the origin fails"),
        (refreshed, error) => format!("{refreshed} s while it is refreshed, {error} s when the origin fails"),
    }
}

fn uses(case: &Case) -> String {
    let (cache, key) = case.cache();
    match cache.lookup(&key, &case.request, case.asker(), case.now()) {
        Lookup::Fresh(_) => "uses it".into(),
        Lookup::Stale(_, why) => format!("uses it: {}", why.name()),
        Lookup::Miss(missed) => {
            let asks = if missed.stored.is_some() { "asks the origin to confirm it" } else { "asks the origin" };
            let alone = if missed.alone { ", for this request alone" } else { "" };
            format!("{asks}{alone}: {}", missed.why.name())
        }
        Lookup::Bypass(super::Bypass::OnlyIfCached) => "answers 504: only-if-cached".into(),
        Lookup::Bypass(why) => format!("asks the origin, and takes no part: {}", why.name()),
    }
}

fn stands(case: &Case) -> String {
    let (cache, key) = case.cache();
    let resource = cache.peek(&key).unwrap();
    match stands_in(&resource.variants()[0], case.now()) {
        true => "uses it".into(),
        false => "passes the failure on".into(),
    }
}

impl Table {
    fn holds(&self, name: &str) {
        let row = self.rows.iter().find(|row| row.name == name).unwrap();
        assert_eq!((self.judge)(&Case::of(row)), row.does, "{}", row.section);
    }

    fn write_to(&self, out: &mut String) {
        let lines = |text: &str| {
            let code = |line: &str| match line.starts_with("after ") {
                true => line.to_owned(),
                false => format!("`{}`", line.replace('|', "\\|")),
            };
            text.lines().map(code).collect::<Vec<_>>().join("<br>")
        };
        writeln!(out, "\n## {}\n\n{}\n", self.title, self.about).unwrap();
        out.push_str("| Rule | What is asked | What the origin says | Settings | What the cache does | Section |\n");
        out.push_str("| --- | --- | --- | --- | --- | --- |\n");
        for Row { name, section, asked, said, with, does } in self.rows {
            let with = with.iter().map(|With(text, _)| lines(text)).collect::<Vec<_>>().join("<br>");
            let (rule, asked, said) = (name.replace('_', " "), lines(asked), lines(said));
            writeln!(out, "| {rule} | {asked} | {said} | {with} | {does} | {section} |").unwrap();
        }
    }
}

const HEAD: &str = "\
# What the cache decides

Written from the tables of tests in `src/cache/decisions`: each line is a test. To write it anew:
`UPDATE_DOCS=1 cargo test --lib decisions`.

The origin's response comes on Sun, 06 Nov 1994 08:49:37 GMT. What is asked is a plain GET, and what the origin says
a 200, unless a method or a status stands there. Settings are those of `[cache]` in `proxy.toml`, or of a route.
";

#[test]
fn the_document_says_what_the_tables_say() {
    let mut text = HEAD.to_owned();
    TABLES.iter().for_each(|table| table.write_to(&mut text));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cache/DECISIONS.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "src/cache/DECISIONS.md is out of date: run UPDATE_DOCS=1 cargo test --lib decisions");
}
