//! Parameters in the query of an address. What is wrong is named with what was expected.

use std::{ops::RangeInclusive, time::Duration};

use axum::{extract::Query, http::Uri};

use super::profile::{By, Page};
use crate::{
    cache::keyed::{MAX_TTL, Pattern, Select},
    profile::Window,
    units,
};

pub(super) const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: usize = 100;
const OFFSET_MAX: usize = 1_000_000;
/// The largest whole number that JSON carries everywhere (RFC 8259 §6).
pub(super) const BEFORE_MAX: u64 = (1 << 53) - 1;
const TTL_DEFAULT: Duration = Duration::from_secs(300);
const TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=MAX_TTL;
/// More tags than these, or longer ones, would say more than the value.
const TAGS_MAX: usize = 32;
const TAG_BYTES_MAX: usize = 128;
/// A key's own bound: a longer prefix has no match, and a longer pattern costs more than it says.
pub(super) const KEY_BYTES_MAX: usize = 1024;

/// The parameters of a request.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The parameters in `uri`. One that is not `known` is refused, since an answer that leaves it out would mislead:
    /// who asks for a window must not be shown everything. One that is given twice has no one meaning.
    pub(super) fn of(uri: &Uri, known: &[&str]) -> Result<Self, String> {
        Self::with_many(uri, known, "")
    }

    /// The same, where one of them may be given any number of times.
    pub(super) fn with_many(uri: &Uri, known: &[&str], many: &str) -> Result<Self, String> {
        let Query(given) = Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|error| error.body_text())?;
        for (at, (name, _)) in given.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let expected = if known.is_empty() { "none".into() } else { known.join(", ") };
                return Err(format!("unknown parameter {name:?}: expected {expected}"));
            }
            if name != many && given[..at].iter().any(|(before, _)| before == name) {
                return Err(format!("parameter {name:?} is given twice: expected once"));
            }
        }
        Ok(Self(given))
    }

    /// Which time is wanted.
    pub(super) fn window(&self) -> Result<Window, String> {
        self.value("window").map_or(Ok(Window::default()), window)
    }

    /// Which part of a list is wanted.
    pub(super) fn page(&self) -> Result<Page, String> {
        Ok(Page { limit: self.limit()?, offset: self.offset()? })
    }

    /// How many rows are wanted.
    pub(super) fn limit(&self) -> Result<usize, String> {
        let Some(given) = self.value("limit") else { return Ok(LIMIT_DEFAULT) };
        match given.parse() {
            Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            _ => Err(format!("limit = {given:?}: expected a whole number from 1 to {LIMIT_MAX}")),
        }
    }

    /// How many rows are left out before those that are wanted.
    pub(super) fn offset(&self) -> Result<usize, String> {
        let Some(given) = self.value("offset") else { return Ok(0) };
        match given.parse() {
            Ok(offset) if (0..=OFFSET_MAX).contains(&offset) => Ok(offset),
            _ => Err(format!("offset = {given:?}: expected a whole number from 0 to {OFFSET_MAX}")),
        }
    }

    /// Which row of a list comes before those that are wanted: what `next` of the rows before them was.
    pub(super) fn before(&self) -> Result<Option<u64>, String> {
        let Some(given) = self.value("before") else { return Ok(None) };
        match given.parse() {
            Ok(before) if before <= BEFORE_MAX => Ok(Some(before)),
            _ => Err(format!("before = {given:?}: expected a whole number, as next says it")),
        }
    }

    /// A parameter that is one of these words.
    pub(super) fn word<T, const N: usize>(
        &self,
        name: &str,
        words: [&str; N],
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, String> {
        let Some(given) = self.value(name) else { return Ok(None) };
        let parsed = parse(given).ok_or_else(|| format!("{name} = {given:?}: expected one of {}", words.join(", ")));
        parsed.map(Some)
    }

    /// What rows are ordered by.
    pub(super) fn by(&self) -> Result<By, String> {
        let Some(given) = self.value("by") else { return Ok(By::P95) };
        By::ALL.into_iter().find(|(name, _)| *name == given).map(|(_, by)| by).ok_or_else(|| {
            let names = By::ALL.map(|(name, _)| name).join(", ");
            format!("by = {given:?}: expected one of {names}")
        })
    }

    /// How long a value may be kept.
    pub(super) fn ttl(&self) -> Result<Duration, String> {
        let Some(given) = self.value("ttl") else { return Ok(TTL_DEFAULT) };
        units::duration_within(given, TTL).map_err(|fault| format!("ttl = {given:?}: {fault}"))
    }

    /// The words that a value can be found by; each once.
    pub(super) fn tags(&self) -> Result<Box<[Box<str>]>, String> {
        let Some(given) = self.value("tags").filter(|given| !given.is_empty()) else { return Ok(Box::default()) };
        let mut tags: Vec<Box<str>> = given.split(',').map(Box::from).collect();
        tags.sort_unstable();
        tags.dedup();
        if tags.len() <= TAGS_MAX && tags.iter().all(|tag| is_tag(tag)) {
            return Ok(tags.into());
        }
        Err(format!("tags = {given:?}: expected at most {TAGS_MAX} tags with commas between them, each {TAG_EXPECTED}"))
    }

    /// Which values are meant: by exactly one of `prefix`, `pattern` and `tag`.
    pub(super) fn select(&self) -> Result<Select, String> {
        let [(name, given)] = self.0.as_slice() else {
            return Err("expected exactly one of prefix, pattern, tag".into());
        };
        // An empty prefix or pattern has every key: most often it is a variable that somebody forgot to set.
        if given.is_empty() || given.len() > KEY_BYTES_MAX {
            return Err(format!("{name} = {given:?}: expected 1 to {KEY_BYTES_MAX} bytes"));
        }
        match name.as_str() {
            "prefix" => Ok(Select::Prefix(given.clone())),
            "pattern" => Pattern::new(given)
                .map(Select::Pattern)
                .map_err(|why| format!("pattern = {given:?}: expected a regular expression: {why}")),
            _ if is_tag(given) => Ok(Select::Tag(given.clone())),
            _ => Err(format!("tag = {given:?}: expected one tag, {TAG_EXPECTED}")),
        }
    }

    /// The value of a parameter.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// The values of a parameter that may be given any number of times.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

/// The window of this name.
pub(super) fn window(given: &str) -> Result<Window, String> {
    Window::ALL.into_iter().find(|(name, _)| *name == given).map(|(_, window)| window).ok_or_else(|| {
        let names = Window::ALL.map(|(name, _)| name).join(", ");
        format!("window = {given:?}: expected one of {names}")
    })
}

const TAG_EXPECTED: &str = "1 to 128 bytes long, without white space";

/// White space around a tag would not be seen, and the tag not be found.
fn is_tag(text: &str) -> bool {
    let seen = |c: char| !c.is_whitespace() && !c.is_control() && c != ',';
    (1..=TAG_BYTES_MAX).contains(&text.len()) && text.chars().all(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<(usize, By), String> {
        let uri = format!("/performance/profile/slowest{query}").parse().unwrap();
        let parameters = Parameters::of(&uri, &["limit", "by"])?;
        Ok((parameters.page()?.limit, parameters.by()?))
    }

    #[test]
    fn what_is_given_counts_and_the_rest_has_defaults() {
        for (query, expected) in [
            ("", (10, By::P95)),
            ("?", (10, By::P95)),
            ("?limit=1", (1, By::P95)),
            ("?limit=100&by=requests", (100, By::Requests)),
            ("?by=p50&limit=007", (7, By::P50)),
            ("?b%79=avg", (10, By::Avg)),
        ] {
            assert_eq!(of(query), Ok(expected), "{query}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_expected() {
        let number = "expected a whole number from 1 to 100";
        let measures = "expected one of p50, p95, p99, avg, max, upstream_p95, total_time, requests";
        for (query, expected) in [
            ("?limit=0", format!("limit = \"0\": {number}")),
            ("?limit=101", format!("limit = \"101\": {number}")),
            ("?limit=-1", format!("limit = \"-1\": {number}")),
            ("?limit=", format!("limit = \"\": {number}")),
            ("?limit", format!("limit = \"\": {number}")),
            ("?limit=1.5", format!("limit = \"1.5\": {number}")),
            ("?limit=99999999999999999999", format!("limit = \"99999999999999999999\": {number}")),
            ("?by=P95", format!("by = \"P95\": {measures}")),
            ("?by=%3Cb%3E%00&limit=5", format!("by = \"<b>\\0\": {measures}")),
            ("?by=%ff", format!("by = \"\u{fffd}\": {measures}")),
            ("?limt=5", "unknown parameter \"limt\": expected limit, by".into()),
            ("?limit=5&limit=6", "parameter \"limit\" is given twice: expected once".into()),
        ] {
            assert_eq!(of(query), Err(expected), "{query}");
        }
    }

    #[test]
    fn where_none_is_known_every_one_is_refused() {
        let refused = Parameters::of(&"/?window=1h".parse().unwrap(), &[]).unwrap_err();
        assert_eq!(refused, "unknown parameter \"window\": expected none");
    }

    fn put(query: &str) -> Result<(u64, Vec<String>), String> {
        let uri = format!("/performance/cache/entries/a{query}").parse().unwrap();
        let parameters = Parameters::of(&uri, &["ttl", "tags"])?;
        Ok((parameters.ttl()?.as_secs(), parameters.tags()?.iter().map(|tag| tag.to_string()).collect()))
    }

    fn clear(query: &str) -> Result<String, String> {
        let uri = format!("/performance/cache/entries{query}").parse().unwrap();
        Ok(format!("{:?}", Parameters::of(&uri, &["prefix", "pattern", "tag"])?.select()?))
    }

    #[test]
    fn lifetimes_and_tags() {
        let number = |n: usize| (0..n).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        for (query, ttl, tags) in [
            ("", 300, &[][..]),
            ("?ttl=1s", 1, &[]),
            ("?ttl=30d", 30 * 86_400, &[]),
            ("?ttl=1m30s&tags=a", 90, &["a"]),
            ("?tags=b,a,b", 300, &["a", "b"]),
            ("?tags=", 300, &[]),
            ("?tags=caf%C3%A9,user:1", 300, &["café", "user:1"]),
        ] {
            assert_eq!(put(query), Ok((ttl, tags.iter().map(|tag| String::from(*tag)).collect())), "{query}");
        }
        assert_eq!(put(&format!("?tags={}", number(32))).unwrap().1.len(), 32);
        let expected =
            "expected at most 32 tags with commas between them, each 1 to 128 bytes long, without white space";
        for (query, problem) in [
            ("?ttl=500ms", "ttl = \"500ms\": expected a duration from \"1s\" to \"30d\"".to_owned()),
            ("?ttl=31d", "ttl = \"31d\": expected a duration from \"1s\" to \"30d\"".to_owned()),
            ("?ttl=60", "ttl = \"60\": expected a duration with its unit, such as \"60s\"".to_owned()),
            ("?ttl=", "ttl = \"\": expected a duration such as \"250ms\", \"5s\" or \"1m30s\"".to_owned()),
            ("?ttl=soon", "ttl = \"soon\": expected a duration such as \"250ms\", \"5s\" or \"1m30s\"".to_owned()),
            ("?tags=a,,b", format!("tags = \"a,,b\": {expected}")),
            ("?tags=a,+b", format!("tags = \"a, b\": {expected}")),
            (&format!("?tags={}", number(33)), format!("tags = {:?}: {expected}", number(33))),
            (&format!("?tags={}", "x".repeat(129)), format!("tags = {:?}: {expected}", "x".repeat(129))),
            ("?tag=a", "unknown parameter \"tag\": expected ttl, tags".to_owned()),
        ] {
            assert_eq!(put(query), Err(problem), "{query}");
        }
    }

    #[test]
    fn what_is_to_be_cleared() {
        assert_eq!(clear("?prefix=user:").unwrap(), "Prefix(\"user:\")");
        assert_eq!(clear("?tag=a").unwrap(), "Tag(\"a\")");
        assert_eq!(clear("?pattern=%5Eu.%2B%24").unwrap(), "Pattern(Pattern(Regex(\"^u.+$\")))");
        let one = "expected exactly one of prefix, pattern, tag";
        for (query, problem) in [
            ("", one),
            ("?prefix=a&tag=b", one),
            ("?prefix=a&prefix=b", "parameter \"prefix\" is given twice: expected once"),
            ("?prefix=", "prefix = \"\": expected 1 to 1024 bytes"),
            ("?pattern=", "pattern = \"\": expected 1 to 1024 bytes"),
            ("?tag=a,b", "tag = \"a,b\": expected one tag, 1 to 128 bytes long, without white space"),
            ("?pattern=(a", "pattern = \"(a\": expected a regular expression: unclosed group"),
            ("?key=a", "unknown parameter \"key\": expected prefix, pattern, tag"),
        ] {
            assert_eq!(clear(query).unwrap_err(), problem, "{query}");
        }
    }
}
