//! What `proxy.toml` says about how answers are handed to clients: `[compression]`, `[cache_headers]` and what a route
//! may say about both.

use std::time::Duration;

use super::file::{LIFETIME, List, MIB, word};
use super::problem::{Fault, Given, Problem};
use super::section::Section;
use super::{items, or};
use crate::{
    cache_headers::{self, Mode},
    compress,
    header::{coding::Coding, fields::is_token},
    route::Class,
};

/// Every class of answers, with its word.
pub(super) const CLASSES: [(&str, Class); 4] =
    [("static", Class::Static), ("api", Class::Api), ("monitoring", Class::Monitoring), ("health", Class::Health)];

/// `[compression]`.
#[derive(Debug, Default)]
pub(super) struct Compression {
    pub(super) codings: Option<List<Coding>>,
    min_bytes: Option<Given<u64>>,
    gzip_level: Option<Given<usize>>,
    brotli_level: Option<Given<usize>>,
    zstd_level: Option<Given<usize>>,
    pub(super) types: Option<List<String>>,
    skip_private: Option<Given<bool>>,
    recode_cpu_percent: Option<Given<usize>>,
}

impl Compression {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let compression = Self {
            codings: section.texts("codings", coding),
            min_bytes: section.size("min_bytes", 0..=MIB),
            gzip_level: section.whole("gzip_level", 1..=9),
            brotli_level: section.whole("brotli_level", 0..=11),
            // Beyond 19, its window is larger than the 8 MiB that clients have to take (RFC 9659 §3).
            zstd_level: section.whole("zstd_level", 1..=19),
            types: section.texts("types", media_type),
            skip_private: section.boolean("skip_private"),
            recode_cpu_percent: section.whole("recode_cpu_percent", 0..=100),
        };
        section.finish();
        compression
    }

    /// What it comes to.
    pub(super) fn settings(&self) -> compress::Settings {
        let default = compress::Settings::default();
        // None of these numbers is above 100, so that nothing is cut off here.
        let small =
            |given: &Option<Given<usize>>, default: u32| given.as_ref().map_or(default, |given| given.value as u32);
        compress::Settings {
            codings: self.codings.as_ref().map_or(default.codings, items),
            min_bytes: or(&self.min_bytes, default.min_bytes),
            gzip_level: small(&self.gzip_level, default.gzip_level),
            brotli_level: small(&self.brotli_level, default.brotli_level),
            zstd_level: self.zstd_level.as_ref().map_or(default.zstd_level, |given| given.value as i32),
            types: self.types.as_ref().map_or(default.types, items),
            skip_private: or(&self.skip_private, default.skip_private),
            recode_cpu_percent: small(&self.recode_cpu_percent, default.recode_cpu_percent),
        }
    }

    /// What is wrong between its values.
    pub(super) fn contradictions(&self) -> impl Iterator<Item = Problem> {
        let codings = self.codings.as_ref().map_or(&[][..], |list| &list.value);
        let is_repeated =
            |(at, coding): &(usize, &Given<Coding>)| codings[..*at].iter().any(|other| other.value == coding.value);
        let repeated =
            codings.iter().enumerate().filter(is_repeated).map(|(_, coding)| coding.problem(Fault::Repeated));
        let types = self.types.as_ref().map_or(&[][..], |list| &list.value);
        let never = types.iter().filter_map(|given| Some(given.problem(Fault::NeverCoded(never_coded(&given.value)?))));
        repeated.collect::<Vec<_>>().into_iter().chain(never)
    }
}

/// `[cache_headers]`.
#[derive(Debug, Default)]
pub(super) struct CacheHeaders {
    mode: Option<Given<Mode>>,
    hashed_max_age: Option<Given<Duration>>,
    static_max_age: Option<Given<Duration>>,
    api_max_age: Option<Given<Duration>>,
    monitoring_max_age: Option<Given<Duration>>,
}

impl CacheHeaders {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let cache_headers = Self {
            mode: section.text("mode", |text| word(text, &Mode::WORDS).ok_or(Fault::CacheHeaders)),
            hashed_max_age: section.duration("hashed_max_age", LIFETIME),
            static_max_age: section.duration("static_max_age", LIFETIME),
            api_max_age: section.duration("api_max_age", LIFETIME),
            monitoring_max_age: section.duration("monitoring_max_age", LIFETIME),
        };
        section.finish();
        cache_headers
    }

    /// What it comes to.
    pub(super) fn settings(&self) -> cache_headers::Settings {
        let default = cache_headers::Settings::default();
        cache_headers::Settings {
            mode: or(&self.mode, default.mode),
            hashed_max_age: or(&self.hashed_max_age, default.hashed_max_age),
            static_max_age: or(&self.static_max_age, default.static_max_age),
            api_max_age: or(&self.api_max_age, default.api_max_age),
            monitoring_max_age: or(&self.monitoring_max_age, default.monitoring_max_age),
        }
    }
}

/// `route.class`.
pub(super) fn class(text: &str) -> Result<Class, Fault> {
    word(text, &CLASSES).ok_or(Fault::Class)
}

fn coding(text: &str) -> Result<Coding, Fault> {
    Coding::ALL.into_iter().find(|coding| coding.name() == text).ok_or(Fault::Coding)
}

/// In small letters, in which types are compared. `*/*` is not among the forms: images, films and archives are
/// compressed already, and only get larger.
fn media_type(text: &str) -> Result<String, Fault> {
    let text = text.to_ascii_lowercase();
    let is_name = |name: &str| is_token(name.as_bytes()) && !name.contains('*');
    let is_valid = match (text.strip_prefix("*+"), text.split_once('/')) {
        (Some(suffix), _) => is_name(suffix),
        (None, Some((kind, subtype))) => is_name(kind) && (subtype == "*" || is_name(subtype)),
        (None, None) => false,
    };
    if is_valid { Ok(text) } else { Err(Fault::MediaType) }
}

/// What a type is that is never coded, whatever the settings say.
fn never_coded(media_type: &str) -> Option<&'static str> {
    if media_type == "text/event-stream" {
        Some("events have to arrive one by one")
    } else if media_type.starts_with("application/grpc") {
        Some("gRPC codes each of its messages itself")
    } else {
        None
    }
}
