//! What is asked for: a JSON object, read key by key, so that what is wrong can be named.

use std::{ops::RangeInclusive, time::Duration};

use serde_json::{Map, Value};

use super::{
    compare::{Compare, Side},
    page::{Own, clipped},
    purge::Purge,
    warm::{Pace, Pages, Variant, Warm},
};
use crate::{cache::purge::Mode, query::fingerprint::Fingerprint, task::Kind};

/// URLs of one warm-up.
const MOST_URLS: u64 = 5000;
/// Variants of each.
const MOST_VARIANTS: usize = 8;
/// Bytes of a field of a variant.
const MOST_FIELD: usize = 200;
/// Fields that a variant may have.
const FIELDS: [&str; 2] = ["accept-encoding", "accept-language"];
/// How long a warm-up may take where nothing is said: 5000 pages at 10 per second take 500 s.
const WARM_UP: Duration = Duration::from_secs(3600);

/// A job that is wanted.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) what: What,
    /// For people.
    pub(super) name: String,
    pub(super) timeout: Option<Duration>,
    /// The object that it was read from, written in one way only.
    pub(super) canonical: Vec<u8>,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(super) enum What {
    Warm(Warm),
    Purge(Purge),
    Explain(Fingerprint),
    Compare(Compare),
}

impl What {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Warm(_) => Kind::CacheWarmup,
            Self::Purge(_) => Kind::CachePurge,
            Self::Explain(_) => Kind::QueryExplain,
            Self::Compare(_) => Kind::Compare,
        }
    }
}

impl Wanted {
    /// Reads the object.
    ///
    /// # Errors
    /// What was given, and what was expected.
    pub(super) fn read(body: &[u8], own: &Own) -> Result<Self, String> {
        let why = |error| format!("{error}: expected a JSON object with its kind: {}", kinds());
        let object: Map<String, Value> = serde_json::from_slice(body).map_err(why)?;
        let mut value = Value::Object(object.clone());
        value.sort_all_objects();
        let canonical = value.to_string().into_bytes();
        let mut keys = Keys { object, known: Vec::new() };
        let kind = keys.text("kind")?.ok_or_else(|| format!("kind is missing: expected {}", kinds()))?;
        let timeout = keys.whole("timeout_s", 1..=3600)?.map(Duration::from_secs);
        let (what, of) = match Kind::parse(&kind).filter(|kind| kind.is_operator()) {
            Some(Kind::CacheWarmup) => warm(&mut keys, own)?,
            Some(Kind::CachePurge) => purge(&mut keys)?,
            Some(Kind::QueryExplain) => {
                let id = keys.required("query_id", "a query's id, such as \"q_5a1f0c33d2e94b07\"")?;
                (What::Explain(id.parse().map_err(|why| format!("query_id = {why}"))?), id)
            }
            Some(Kind::Compare) => compare(&mut keys, own)?,
            Some(Kind::HttpAsync) | None => return Err(format!("kind = {:?}: expected {}", clipped(&kind), kinds())),
        };
        keys.finish("")?;
        let timeout = timeout.or((what.kind() == Kind::CacheWarmup).then_some(WARM_UP));
        Ok(Self { what, name: format!("{kind} of {of}"), timeout, canonical })
    }
}

fn kinds() -> String {
    let words: Vec<_> = Kind::ALL.iter().filter(|kind| kind.is_operator()).map(|kind| kind.word()).collect();
    words.join(", ")
}

fn warm(keys: &mut Keys, own: &Own) -> Result<(What, String), String> {
    let (urls, sitemap) = (keys.list("urls")?, keys.text("sitemap")?);
    let pace = Pace {
        concurrency: keys.whole("concurrency", 1..=10)?.unwrap_or(2) as usize,
        rate: keys.whole("rate", 1..=100)?.unwrap_or(10) as u32,
    };
    let most = keys.whole("max_urls", 1..=MOST_URLS)?.unwrap_or(MOST_URLS) as usize;
    let variants = variants(keys)?;
    let (pages, of) = match (urls, sitemap) {
        (Some(urls), None) => {
            if urls.is_empty() || urls.len() as u64 > MOST_URLS {
                return Err(format!("urls: {} of them: expected 1 to {MOST_URLS}", urls.len()));
            }
            let page = |url: &Value| match url {
                Value::String(url) => own.own_page("urls", url),
                other => Err(format!("urls: {}: expected a URL", shown(other))),
            };
            let pages = urls.iter().map(page).collect::<Result<Vec<_>, _>>()?;
            let of = match &pages[..] {
                [one] => one.to_string(),
                [first, rest @ ..] => format!("{first} and {} more", rest.len()),
                [] => String::new(),
            };
            (Pages::Listed(pages), of)
        }
        (None, Some(sitemap)) => (Pages::Sitemap(own.own_page("sitemap", &sitemap)?), sitemap),
        _ => return Err("expected either urls or sitemap".into()),
    };
    Ok((What::Warm(Warm { pages, pace, most, variants }), of))
}

/// Of which variants each page is asked for: of none in particular, where nothing is said.
fn variants(keys: &mut Keys) -> Result<Vec<Variant>, String> {
    let Some(given) = keys.list("variants")? else { return Ok(vec![Variant::default()]) };
    if !(1..=MOST_VARIANTS).contains(&given.len()) {
        return Err(format!("variants: {} of them: expected 1 to {MOST_VARIANTS}", given.len()));
    }
    let variant = |given: Value| {
        let Value::Object(object) = given else {
            return Err(format!("variants: {}: expected an object", shown(&given)));
        };
        let mut keys = Keys { object, known: Vec::new() };
        let mut variant = Vec::new();
        for name in FIELDS {
            let Some(value) = keys.text(name).map_err(|why| format!("variants: {why}"))? else { continue };
            if value.len() > MOST_FIELD || !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                return Err(format!(
                    "variants: {name} = {:?}: expected at most {MOST_FIELD} visible ASCII characters",
                    clipped(&value)
                ));
            }
            variant.push((name, value));
        }
        keys.finish("variants: ").map(|()| variant)
    };
    given.into_iter().map(variant).collect()
}

fn purge(keys: &mut Keys) -> Result<(What, String), String> {
    let pattern = keys.required("pattern", "a glob of paths, such as \"/products/**\"")?;
    let host = keys.text("host")?;
    let mode = keys.one_of("mode", &[("hard", Mode::Hard), ("soft", Mode::Soft)])?.unwrap_or(Mode::Hard);
    let dry_run = keys.flag("dry_run")?.unwrap_or(false);
    let of = format!("{}{pattern}", host.as_deref().unwrap_or_default());
    Ok((What::Purge(Purge::new(&pattern, host.as_deref(), mode, dry_run)?), of))
}

fn compare(keys: &mut Keys, own: &Own) -> Result<(What, String), String> {
    let mut side = |name: &str| {
        let expected = || format!("{name}: expected an object with url, and from (\"proxy\" or \"app\")");
        let Some(Value::Object(object)) = keys.take(name) else { return Err(expected()) };
        let mut keys = Keys { object, known: Vec::new() };
        let within = |why: String| format!("{name}: {why}");
        let url = keys.required("url", "a URL").map_err(within)?;
        let past_cache = keys.one_of("from", &[("proxy", false), ("app", true)]).map_err(within)?.unwrap_or(false);
        keys.finish(&format!("{name}: "))?;
        Ok(Side { page: own.own_page(&format!("{name}.url"), &url)?, past_cache })
    };
    let (a, b) = (side("a")?, side("b")?);
    let of = format!("{} and {}", a.page, b.page);
    let requests = keys.whole("requests", 10..=1000)?.unwrap_or(100) as usize;
    let concurrency = keys.whole("concurrency", 1..=10)?.unwrap_or(1) as usize;
    Ok((What::Compare(Compare { a, b, requests, concurrency }), of))
}

/// The keys of an object that were not read yet.
struct Keys {
    object: Map<String, Value>,
    known: Vec<String>,
}

impl Keys {
    fn take(&mut self, key: &str) -> Option<Value> {
        self.known.push(key.into());
        self.object.remove(key)
    }

    fn read<T>(&mut self, key: &str, expected: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>, String> {
        let Some(given) = self.take(key) else { return Ok(None) };
        read(&given).map(Some).ok_or_else(|| format!("{key} = {}: expected {expected}", shown(&given)))
    }

    fn text(&mut self, key: &str) -> Result<Option<String>, String> {
        self.read(key, "text", |given| given.as_str().map(str::to_owned))
    }

    fn required(&mut self, key: &str, expected: &str) -> Result<String, String> {
        let text = self.read(key, expected, |given| given.as_str().map(str::to_owned))?;
        text.ok_or_else(|| format!("{key} is missing: expected {expected}"))
    }

    fn whole(&mut self, key: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, String> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(key, &expected, |given| given.as_u64().filter(|given| range.contains(given)))
    }

    fn flag(&mut self, key: &str) -> Result<Option<bool>, String> {
        self.read(key, "true or false", Value::as_bool)
    }

    fn one_of<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Result<Option<T>, String> {
        let expected: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        let find = |given: &Value| words.iter().find(|(word, _)| given.as_str() == Some(word)).map(|(_, value)| *value);
        self.read(key, &expected.join(" or "), find)
    }

    fn list(&mut self, key: &str) -> Result<Option<Vec<Value>>, String> {
        self.read(key, "a list", |given| given.as_array().cloned())
    }

    /// Refuses what nobody asked for.
    fn finish(self, whose: &str) -> Result<(), String> {
        match self.object.keys().next() {
            Some(key) => {
                Err(format!("{whose}{:?} is not known here: expected {}", clipped(key), self.known.join(", ")))
            }
            None => Ok(()),
        }
    }
}

fn shown(given: &Value) -> String {
    clipped(&given.to_string()).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn own() -> Own {
        Own::new(&["shop.example".into()], &[])
    }

    fn read(body: &str) -> Result<Wanted, String> {
        Wanted::read(body.as_bytes(), &own())
    }

    #[test]
    fn names_and_timeouts() {
        for (body, name, timeout) in [
            (r#"{"kind":"cache_warmup","sitemap":"/sitemap.xml"}"#, "cache_warmup of /sitemap.xml", Some(3600)),
            (r#"{"kind":"cache_warmup","urls":["/a"]}"#, "cache_warmup of http://shop.example/a", Some(3600)),
            (
                r#"{"kind":"cache_warmup","urls":["/a","/b"],"timeout_s":7}"#,
                "cache_warmup of http://shop.example/a and 1 more",
                Some(7),
            ),
            (r#"{"kind":"cache_purge","pattern":"/p/**"}"#, "cache_purge of /p/**", None),
            (r#"{"kind":"cache_purge","pattern":"/p/**","host":"a"}"#, "cache_purge of a/p/**", None),
            (
                r#"{"kind":"query_explain","query_id":"q_5a1f0c33d2e94b07"}"#,
                "query_explain of q_5a1f0c33d2e94b07",
                None,
            ),
            (
                r#"{"kind":"compare","a":{"url":"/a"},"b":{"url":"/a","from":"app"}}"#,
                "compare of http://shop.example/a and http://shop.example/a",
                None,
            ),
        ] {
            let wanted = read(body).unwrap();
            assert_eq!((&*wanted.name, wanted.timeout), (name, timeout.map(Duration::from_secs)), "{body}");
            // What a restart reads is what was written.
            let again = Wanted::read(&wanted.canonical, &own()).unwrap();
            assert_eq!((again.name, again.canonical), (wanted.name, wanted.canonical), "{body}");
        }
    }

    #[test]
    fn defaults_of_a_warm_up() {
        let What::Warm(warm) = read(r#"{"kind":"cache_warmup","urls":["/a"]}"#).unwrap().what else { panic!() };
        let one = vec![Variant::default()];
        assert_eq!((warm.pace, warm.most, warm.variants), (Pace { concurrency: 2, rate: 10 }, MOST_URLS as usize, one));
    }

    #[test]
    fn the_order_of_keys_makes_no_difference() {
        let (one, other) = (
            r#"{"kind":"compare","a":{"url":"/a","from":"app"},"b":{"url":"/b"}}"#,
            r#"{ "b":{"url":"/b"}, "a":{"from":"app","url":"/a"}, "kind":"compare" }"#,
        );
        assert_eq!(read(one).unwrap().canonical, read(other).unwrap().canonical);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let all = "cache_warmup, cache_purge, query_explain, compare";
        for (body, expected) in [
            ("{}", format!("kind is missing: expected {all}")),
            (r#"{"kind":"http_async"}"#, format!("kind = \"http_async\": expected {all}")),
            (r#"{"kind":7}"#, "kind = 7: expected text".into()),
            (r#"{"kind":"cache_warmup"}"#, "expected either urls or sitemap".into()),
            (r#"{"kind":"cache_warmup","urls":["/a"],"sitemap":"/b"}"#, "expected either urls or sitemap".into()),
            (r#"{"kind":"cache_warmup","urls":[]}"#, "urls: 0 of them: expected 1 to 5000".into()),
            (r#"{"kind":"cache_warmup","urls":[7]}"#, "urls: 7: expected a URL".into()),
            (r#"{"kind":"cache_warmup","urls":"/a"}"#, "urls = \"/a\": expected a list".into()),
            (
                r#"{"kind":"cache_warmup","urls":["/a"],"rate":101}"#,
                "rate = 101: expected a whole number from 1 to 100".into(),
            ),
            (
                r#"{"kind":"cache_warmup","urls":["/a"],"concurrency":0}"#,
                "concurrency = 0: expected a whole number from 1 to 10".into(),
            ),
            (
                r#"{"kind":"cache_warmup","urls":["/a"],"max_urls":null}"#,
                "max_urls = null: expected a whole number from 1 to 5000".into(),
            ),
            (
                r#"{"kind":"cache_warmup","urls":["/a"],"url":"/b"}"#,
                "\"url\" is not known here: expected kind, timeout_s, urls, sitemap, concurrency, rate, max_urls, variants"
                    .into(),
            ),
            (
                r#"{"kind":"cache_warmup","urls":["/a"],"variants":[{"cookie":"a"}]}"#,
                "variants: \"cookie\" is not known here: expected accept-encoding, accept-language".into(),
            ),
            (
                r#"{"kind":"cache_warmup","urls":["/a"],"variants":[{"accept-encoding":"a\r\nb"}]}"#,
                "variants: accept-encoding = \"a\\r\\nb\": expected at most 200 visible ASCII characters".into(),
            ),
            (r#"{"kind":"cache_warmup","urls":["/a"],"variants":[]}"#, "variants: 0 of them: expected 1 to 8".into()),
            (
                r#"{"kind":"cache_purge"}"#,
                "pattern is missing: expected a glob of paths, such as \"/products/**\"".into(),
            ),
            (
                r#"{"kind":"cache_purge","pattern":"products"}"#,
                "pattern = \"products\": expected a glob of paths, such as \"/products/**\"".into(),
            ),
            (
                r#"{"kind":"cache_purge","pattern":"/","mode":"gentle"}"#,
                "mode = \"gentle\": expected \"hard\" or \"soft\"".into(),
            ),
            (r#"{"kind":"cache_purge","pattern":"/","host":"a/b"}"#, "host = \"a/b\": expected a host".into()),
            (
                r#"{"kind":"query_explain","query_id":"7"}"#,
                "query_id = \"7\": expected a query's id, such as \"q_5a1f0c33d2e94b07\"".into(),
            ),
            (
                r#"{"kind":"compare","a":{"url":"/a"}}"#,
                "b: expected an object with url, and from (\"proxy\" or \"app\")".into(),
            ),
            (
                r#"{"kind":"compare","a":{"url":"/a","from":"cache"},"b":{"url":"/a"}}"#,
                "a: from = \"cache\": expected \"proxy\" or \"app\"".into(),
            ),
            (
                r#"{"kind":"compare","a":{"url":"/a"},"b":{"url":"/a"},"requests":9}"#,
                "requests = 9: expected a whole number from 10 to 1000".into(),
            ),
            (
                r#"{"kind":"cache_purge","pattern":"/","timeout_s":3601}"#,
                "timeout_s = 3601: expected a whole number from 1 to 3600".into(),
            ),
        ] {
            assert_eq!(read(body).err(), Some(expected), "{body}");
        }
        let foreign = read(r#"{"kind":"compare","a":{"url":"/a"},"b":{"url":"http://evil.example/"}}"#).unwrap_err();
        assert!(foreign.starts_with("b.url: ") && foreign.contains("tasks.hosts"), "{foreign}");
        assert!(read("[]").unwrap_err().contains("expected a JSON object with its kind"));
    }

    proptest! {
        #[test]
        fn foreign_bytes_are_refused_or_read(body in proptest::collection::vec(any::<u8>(), 0..200), key in "[a-z_]{0,12}", value in "\\PC{0,20}") {
            let _ = Wanted::read(&body, &own());
            for kind in Kind::ALL {
                let object = serde_json::json!({ "kind": kind.word(), key.as_str(): value.as_str(), "pattern": value.as_str() });
                let _ = Wanted::read(object.to_string().as_bytes(), &own());
            }
        }
    }
}
