//! The cache against a model of it: a list of responses, each held against every purge that came after its fetch began.

use proptest::prelude::*;

use super::{
    fixture::*,
    pattern::Pattern,
    purge::{Mode, Scope, Url},
    *,
};

const URLS: [&str; 4] = ["a/x", "a/y?q", "https://a/x", "b/x"];

/// What responses say, and what that means: lifetime, stale-while-revalidate, stale-if-error.
const TERMS: [(&str, u64, u64, u64); 5] = [
    ("Cache-Control: max-age=5, stale-if-error=0", 5, 0, 0),
    ("Cache-Control: max-age=5, stale-while-revalidate=3, stale-if-error=6", 5, 3, 6),
    ("Cache-Control: no-cache\nETag: \"a\"", 0, 0, 0),
    ("Cache-Control: s-maxage=20", 20, 0, 0),
    ("Cache-Control: public, max-age=9, stale-if-error=2", 9, 0, 2),
];
const NO_CACHE: usize = 2;
/// Those from here on may be shared with who has a cookie.
const SHARED_FROM: usize = 3;

/// The tags that responses have: none, a tag, a group.
const LABELS: [&str; 3] = ["", "Surrogate-Key: t", "Cache-Groups: \"g\""];

const SOMEBODY: Asker = Asker { cookie: true, authorization: false };

/// A response, but for when it comes.
#[derive(Clone, Debug)]
struct Said {
    terms: usize,
    label: usize,
    /// The language asked for, `None` where the response does not vary.
    language: Option<u8>,
}

#[derive(Clone, Debug)]
enum Step {
    Begin(usize),
    /// The oldest fetch under way ends.
    End(Said),
    Look {
        url: usize,
        language: u8,
        identified: bool,
    },
    Invalidate(usize),
    Expire(usize),
    Purge {
        scope: usize,
        hard: bool,
        cleared: bool,
    },
    Mark {
        url: usize,
        identified: bool,
    },
    Sweep,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (url, language) = (|| 0..URLS.len(), || 0..3_u8);
    let said = (0..TERMS.len(), 0..LABELS.len(), prop::option::weighted(0.7, language()))
        .prop_map(|(terms, label, language)| Said { terms, label, language });
    prop_oneof![
        6 => url().prop_map(Step::Begin),
        6 => said.prop_map(Step::End),
        9 => (url(), language(), any::<bool>())
            .prop_map(|(url, language, identified)| Step::Look { url, language, identified }),
        1 => url().prop_map(Step::Invalidate),
        1 => url().prop_map(Step::Expire),
        2 => (0..SCOPES, any::<bool>(), any::<bool>())
            .prop_map(|(scope, hard, cleared)| Step::Purge { scope, hard, cleared }),
        1 => (url(), any::<bool>()).prop_map(|(url, identified)| Step::Mark { url, identified }),
        1 => Just(Step::Sweep),
        3 => (0..6_u64).prop_map(Step::Wait),
    ]
}

const SCOPES: usize = 7;

/// A scope, and what it is about in the model.
fn scope(number: usize) -> (Scope, fn(usize, usize) -> bool) {
    let url = |text| Scope::Url(Url::parse(text).unwrap());
    match number {
        0 => (Scope::All, |_, _| true),
        1 => (url("/x"), |url, _| url != 1),
        2 => (url("https://a/x"), |url, _| url == 2),
        3 => (Scope::Tag("t".into()), |_, label| label == 1),
        4 => {
            let (host, name) = (b"a".as_slice().into(), "g".into());
            (Scope::Group { https: false, host, name }, |url, label| label == 2 && url < 2)
        }
        5 => (Scope::Prefix(b"a/".as_slice().into()), |url, _| url < 3),
        _ => (Scope::Pattern(Pattern::new("^/y$").unwrap()), |url, _| url == 1),
    }
}

/// A response that the model has.
struct Kept {
    url: usize,
    said: Said,
    body: String,
    received: u64,
    stale_at: u64,
    /// Purges before its fetch began.
    born: usize,
}

impl Kept {
    /// For how long it has been stale; `None` while it is fresh.
    fn stale_for(&self, now: u64) -> Option<u64> {
        now.checked_sub((self.received + TERMS[self.said.terms].1).min(self.stale_at.max(self.received)))
    }
}

/// What a change does to responses whose fetch began before it.
#[derive(Clone, Copy)]
enum Change {
    /// Those of this URL that are on their way are not stored.
    Stamp(usize),
    Purge {
        hard: bool,
        hits: fn(usize, usize) -> bool,
        at: u64,
    },
}

#[derive(Default)]
struct Model {
    kept: Vec<Kept>,
    changes: Vec<Change>,
    /// Until when requests for a URL are known to be uncacheable: of nobody in particular, and of others.
    marks: [[u64; 2]; URLS.len()],
}

impl Model {
    fn put(&mut self, mut new: Kept, began: usize) {
        let (url, language) = (new.url, new.said.language);
        let changes = &self.changes[began..];
        if changes.iter().any(|change| matches!(change, Change::Stamp(stamped) if *stamped == url)) {
            return;
        }
        for change in changes {
            if let Change::Purge { hard, hits, at } = *change
                && hits(url, new.said.label)
            {
                if hard {
                    return;
                }
                new.stale_at = new.stale_at.min(at);
            }
        }
        let stays = |old: &Kept| {
            old.url != url || (old.said.language.is_some() == language.is_some() && old.said.language != language)
        };
        let is_purge = |change: &&Change| matches!(change, Change::Purge { .. });
        new.born = self.changes[..began].iter().filter(is_purge).count();
        // What was asked for after a purge does not make way for what was asked for before it.
        if self.kept.iter().any(|old| !stays(old) && old.born > new.born) {
            return;
        }
        self.marks[url][0] = 0;
        self.kept.retain(stays);
        self.kept.push(new);
    }

    fn purge(&mut self, hard: bool, hits: fn(usize, usize) -> bool, at: u64) {
        self.kept.retain(|kept| !(hard && hits(kept.url, kept.said.label)));
        for kept in self.kept.iter_mut().filter(|kept| hits(kept.url, kept.said.label)) {
            kept.stale_at = kept.stale_at.min(at);
        }
        self.changes.push(Change::Purge { hard, hits, at });
    }

    fn sweep(&mut self, now: u64) {
        self.kept.retain(|kept| {
            let (_, _, refreshed, in_need) = TERMS[kept.said.terms];
            let worth = if kept.said.terms == NO_CACHE { 86_400 } else { 0 };
            kept.stale_for(now).is_none_or(|stale| stale <= refreshed.max(in_need).max(worth))
        });
    }

    /// What a request is answered with, in the words of [`told`].
    fn told(&self, url: usize, language: u8, identified: bool, now: u64) -> String {
        let [nobody, somebody] = self.marks[url].map(|until| now < until);
        let marked = (nobody || somebody && identified).then(|| "hit-for-miss".to_owned());
        let mut there = self.kept.iter().filter(|kept| kept.url == url);
        let is_its = |kept: &&Kept| kept.said.language.is_none_or(|of| of == language);
        let Some(kept) = there.clone().find(is_its) else {
            let miss = if there.next().is_some() { "vary-miss" } else { "uri-miss" };
            return marked.unwrap_or_else(|| miss.into());
        };
        if identified && kept.said.terms < SHARED_FROM {
            return "cookie".into();
        }
        match kept.stale_for(now) {
            None if kept.said.terms != NO_CACHE => kept.body.clone(),
            Some(stale) if stale < TERMS[kept.said.terms].2 => format!("{} stale-while-revalidate", kept.body),
            _ => marked.unwrap_or_else(|| format!("stale {}", kept.body)),
        }
    }
}

fn asked(language: u8) -> String {
    format!("Accept-Language: l{language}")
}

proptest! {
    /// The cache answers what its model does. Where there is too little room for all, it still answers nothing fresh
    /// that its model does not.
    #[test]
    fn it_does_what_its_model_does(
        steps in prop::collection::vec(step(), 0..80), max_entries in prop_oneof![3 => Just(1000_u64), 1 => 1..6_u64],
    ) {
        let roomy = max_entries == 1000;
        let settings = Settings { max_entries, max_bytes: 1 << 20, max_object_bytes: 1 << 10, ..Settings::default() };
        let fixture = Fixture::new(settings);
        let (mut model, mut now, mut under_way) = (Model::default(), 0, std::collections::VecDeque::new());
        let cache = &fixture.cache;
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Begin(url) => under_way.push_back((url, cache.epoch(&key(URLS[url])), model.changes.len())),
                Step::End(said) => {
                    let Some((url, epoch, began)) = under_way.pop_front() else { continue };
                    let vary = if said.language.is_some() { "Vary: Accept-Language" } else { "" };
                    let head = response(&[TERMS[said.terms].0, LABELS[said.label], vary].join("\n"));
                    let request = get("/", &said.language.map(asked).unwrap_or_default());
                    let body = format!("#{number}");
                    let entry = fixture.entry(&request, &head, &body, now, epoch);
                    let stored = cache.insert(&key(URLS[url]), Arc::new(entry), epoch);
                    prop_assert!(stored.is_ok() || stored == Err(Skip::Purged));
                    model.put(Kept { url, said, body, received: now, stale_at: u64::MAX, born: 0 }, began);
                }
                Step::Look { url, language, identified } => {
                    let asker = if identified { SOMEBODY } else { NOBODY };
                    let lookup = cache.lookup(&key(URLS[url]), &get("/", &asked(language)), asker, fixture.at(now));
                    let expected = model.told(url, language, identified, now);
                    if roomy || matches!(lookup, Lookup::Fresh(_)) {
                        prop_assert_eq!(told(&lookup), expected, "{}", URLS[url]);
                    }
                }
                Step::Invalidate(url) => {
                    cache.invalidate(&key(URLS[url]), fixture.at(now));
                    model.kept.retain(|kept| kept.url != url);
                    model.changes.push(Change::Stamp(url));
                }
                Step::Expire(url) => {
                    cache.expire(&key(URLS[url]), fixture.at(now));
                    let of_url = model.kept.iter_mut().filter(|kept| kept.url == url);
                    of_url.for_each(|kept| kept.stale_at = kept.stale_at.min(now));
                    model.changes.push(Change::Stamp(url));
                }
                Step::Purge { scope: number, hard, cleared } => {
                    let (scope, hits) = scope(number);
                    let mode = if hard { Mode::Hard } else { Mode::Soft };
                    let rule = cache.purge(vec![scope], mode, fixture.at(now));
                    if cleared {
                        let purged = cache.clear(&rule, mode, fixture.at(now));
                        prop_assert!(purged.cleared <= purged.matched);
                    }
                    model.purge(hard, hits, now);
                }
                Step::Mark { url, identified } => {
                    let asker = if identified { SOMEBODY } else { NOBODY };
                    cache.mark_uncacheable(&key(URLS[url]), asker, Skip::Private, fixture.at(now));
                    model.marks[url][usize::from(identified)] = now + 10;
                }
                Step::Sweep => {
                    cache.sweep(fixture.at(now));
                    model.sweep(now);
                }
                Step::Wait(seconds) => now += seconds,
            }
        }
        cache.sweep(fixture.at(now));
        model.sweep(now);
        let held = cache.snapshot();
        if roomy {
            prop_assert_eq!(fixture.evicted(Evicted::Capacity), 0);
            prop_assert_eq!(held.entries as usize, model.kept.len());
        }
        prop_assert!(held.entries <= max_entries);
        prop_assert_eq!(held.entries == 0, held.bytes == 0);
    }
}
