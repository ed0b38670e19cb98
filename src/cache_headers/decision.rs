//! What a client is told about keeping a response.

use http::Method;

use super::{Mode, Settings, fits, has_content_hash};
use crate::{
    header::{
        CacheControl, Fields, ResponseHead,
        edits::Edits,
        fields::{is, trim},
    },
    route::Class,
};

/// The fields in which an origin says how long a client may keep a response; with one of them it has spoken.
///
/// A targeted field (RFC 9213 §2.2) is not among them: it is for the caches that look for it, and tells a browser
/// nothing.
const SAYS: [&str; 3] = ["Cache-Control", "Expires", "Pragma"];

/// Who and what was asked.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The method of the request.
    pub method: &'a Method,
    /// The path of the request, without its query.
    pub path: &'a [u8],
    /// Whether the request has Authorization, or a cookie that counts, and the answer is not declared public.
    pub personal: bool,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file whose name carries a hash of its content: for a year, unless the settings say otherwise.
    Hashed,
    /// Of class `static`.
    Static,
    /// Of class `api`.
    Api,
    /// Of class `monitoring`.
    Monitoring,
    /// Of class `health`: not to be kept.
    Health,
    /// To be confirmed at each use.
    Revalidate,
    /// For this client alone, and to be confirmed at each use.
    Private,
}

impl Kind {
    /// Every kind, in the order of their counters.
    pub const ALL: [Self; 7] =
        [Self::Hashed, Self::Static, Self::Api, Self::Monitoring, Self::Health, Self::Revalidate, Self::Private];

    /// The word for it in JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hashed => "hashed",
            Self::Static => "static",
            Self::Api => "api",
            Self::Monitoring => "monitoring",
            Self::Health => "health",
            Self::Revalidate => "revalidate",
            Self::Private => "private",
        }
    }

    /// For how many seconds a response may be used without a question, by any cache.
    fn max_age(self, settings: &Settings) -> u64 {
        match self {
            Self::Hashed => settings.hashed_max_age.as_secs(),
            Self::Static => settings.static_max_age.as_secs(),
            Self::Api => settings.api_max_age.as_secs(),
            Self::Monitoring => settings.monitoring_max_age.as_secs(),
            Self::Health | Self::Revalidate | Self::Private => 0,
        }
    }

    /// The value of Cache-Control.
    fn directives(self, settings: &Settings) -> String {
        match self {
            // RFC 8246 §2: not even a reload asks for it again.
            Self::Hashed => format!("public, max-age={}, immutable", self.max_age(settings)),
            Self::Static | Self::Api | Self::Monitoring => format!("public, max-age={}", self.max_age(settings)),
            Self::Health => "no-store".into(),
            Self::Revalidate => "no-cache".into(),
            Self::Private => "private, no-cache".into(),
        }
    }
}

impl From<Class> for Kind {
    fn from(class: Class) -> Self {
        match class {
            Class::Static => Self::Static,
            Class::Api => Self::Api,
            Class::Monitoring => Self::Monitoring,
            Class::Health => Self::Health,
        }
    }
}

/// The edits of the client's copy that tell it how long to keep the response; `None`, and no edit, where the origin's
/// word stands or none is due.
///
/// `response` is the final response that this client would be sent, and `class` that of its route. Its word is never
/// made looser: what is somebody's own, an error, or not to be kept or shared in the origin's words becomes neither
/// `public` nor is given a lifetime. A 304 has no Content-Type by which to judge, and a client updates what it has with
/// it (RFC 9111 §3.2): one that the origin sends stays as it is, and one that is made here should be made from an
/// edited 200, so that it says the same (RFC 9110 §15.4.5).
pub fn edit(
    edits: &mut Edits,
    asked: &Asked<'_>,
    response: &ResponseHead,
    class: Option<Class>,
    settings: &Settings,
) -> Option<Kind> {
    let kind = decide(asked, response, class, settings)?;
    let mut directives = kind.directives(settings);
    for kept in restrictions(response) {
        directives.push_str(", ");
        directives.push_str(kept);
    }
    // RFC 9111 §5.3 and §5.4: beside Cache-Control these would count for old clients only, and say something else.
    for name in SAYS.into_iter().filter(|name| response.has(name)) {
        edits.remove(name);
    }
    edits.add("Cache-Control", directives);
    Some(kind)
}

fn decide(asked: &Asked<'_>, response: &ResponseHead, class: Option<Class>, settings: &Settings) -> Option<Kind> {
    if settings.mode == Mode::Never || !matches!(*asked.method, Method::GET | Method::HEAD) {
        return None;
    }
    let has_spoken = SAYS.iter().any(|name| response.has(name));
    if has_spoken && settings.mode != Mode::Override {
        return None;
    }
    if class == Some(Class::Health) {
        // It only tightens, whatever the status: a health check that fails is the last thing to be kept.
        return (!mentions(response, is_cache_control, &[b"no-store"])).then_some(Kind::Health);
    }
    // A stream of events is never over, so that nothing is there to be kept.
    if response.status() != 200 || is_event_stream(response) || (has_spoken && forbids(response, says)) {
        return None;
    }
    let is_own = asked.personal || is_own(response);
    let kind = match class {
        // The name says more than the class: other content has another name.
        None | Some(Class::Static) if !is_own && is_hashed_file(asked.path, response) => Kind::Hashed,
        None if has_spoken => return None,
        _ if is_own => Kind::Private,
        Some(class) => class.into(),
        None => Kind::Revalidate,
    };
    let lasts = matches!(kind, Kind::Private) || kind.max_age(settings) > 0;
    Some(if lasts { kind } else { Kind::Revalidate })
}

/// Whether a response may be meant for one client only, by what it says about itself.
///
/// One that sets a cookie, that depends on more than the request (`Vary: *`, RFC 9110 §12.5.5), or that forbids other
/// caches to keep or to share it in a targeted field.
fn is_own(response: &ResponseHead) -> bool {
    response.has("set-cookie") || response.members("vary").any(|name| name == b"*") || forbids(response, is_targeted)
}

fn is_hashed_file(path: &[u8], response: &ResponseHead) -> bool {
    let mut types = response.all("content-type");
    // Of two types nobody knows which one counts.
    types.next().is_some_and(|content_type| fits(path, content_type))
        && types.next().is_none()
        && has_content_hash(path)
}

pub(super) fn is_event_stream(response: &ResponseHead) -> bool {
    response.all("content-type").any(|value| {
        let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default();
        is(trim(media_type), "text/event-stream")
    })
}

fn says(name: &[u8]) -> bool {
    SAYS.iter().any(|known| is(name, known))
}

fn is_cache_control(name: &[u8]) -> bool {
    is(name, "cache-control")
}

fn is_targeted(name: &[u8]) -> bool {
    const SUFFIX: &[u8] = b"-cache-control";
    let end = &name[name.len().saturating_sub(SUFFIX.len())..];
    end.eq_ignore_ascii_case(SUFFIX) || is(name, "surrogate-control")
}

/// Whether fields of these names forbid to keep a response, to share it, or to use it without a question.
fn forbids(response: &ResponseHead, of: fn(&[u8]) -> bool) -> bool {
    mentions(response, of, &[b"no-store", b"private", b"no-cache"])
}

/// Whether one of these words stands anywhere in fields of these names, in quotes or malformed as it may be: who wrote
/// it there meant it, and in doubt nothing is made looser.
fn mentions(response: &ResponseHead, of: fn(&[u8]) -> bool, words: &[&[u8]]) -> bool {
    let has = |value: &[u8], word: &[u8]| value.windows(word.len()).any(|at| at.eq_ignore_ascii_case(word));
    response.fields().any(|(name, value)| of(name) && words.iter().any(|word| has(value, word)))
}

/// What the origin forbids beside a lifetime; it holds in every mode.
fn restrictions(response: &ResponseHead) -> impl Iterator<Item = &'static str> {
    let control = CacheControl::of(response);
    [
        ("must-revalidate", control.must_revalidate),
        ("proxy-revalidate", control.proxy_revalidate),
        ("no-transform", control.no_transform),
    ]
    .into_iter()
    .filter_map(|(directive, is_there)| is_there.then_some(directive))
}
