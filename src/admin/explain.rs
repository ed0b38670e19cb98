//! Why a request is answered as it is: `GET /performance/cache/explain?url=…&header=…`.
//!
//! The decision is not described but made: by the same functions as for a real request, on what is stored now.

mod form;

use std::{collections::BTreeMap, time::Instant};

use axum::{Json, extract::State, http::Uri};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use self::form::{Made, WouldSend};
use super::{
    api::{Shared, apart, bad_request},
    problem::Problem,
    query::Parameters,
};
use crate::{
    cache::{
        Entry, Key, Lookup, Missed,
        freshness::Freshness,
        key,
        policy::{self, Asker},
        purge::Url,
        status::CacheStatus,
    },
    header::{Fields, RequestHead, accept_encoding::Accepted, fields::is, forwarded::Peer, refusal::Limits},
    route::{self, Policy},
    state,
};

/// Header fields that one question has at most.
const MOST_FIELDS: usize = 100;
/// Other keys of the same URL that are shown at most.
const MOST_OTHER_KEYS: usize = 10;

/// The answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Explanation {
    key: KeyView,
    /// The route of the configuration that matches.
    route: Option<String>,
    policy: PolicyView,
    request: AskerView,
    decision: Decision,
    /// What is stored under the key, the newest first.
    stored: Vec<Stored>,
    /// Why the last answer was not stored, if it was not.
    last_not_stored: Option<&'static str>,
    /// What would have to change for it to be cached; empty when it is.
    to_be_cached: Vec<&'static str>,
    /// Other keys under which the same URL is stored: a proxy before this one says more of the client's request.
    other_keys: Vec<KeyView>,
}

/// What makes two requests the same to the cache.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct KeyView {
    /// `http` or `https`.
    scheme: &'static str,
    /// In small letters, with the port if one was given.
    host: String,
    /// Path and query, byte for byte.
    target: String,
    /// What a proxy before this one says of the client's request, by field.
    claims: BTreeMap<String, String>,
}

/// What the operator says.
#[derive(Debug, Serialize, ToSchema)]
struct PolicyView {
    /// Answers may be stored.
    cache: bool,
    /// Answers may be coded.
    compress: bool,
    /// Answers are the same for everybody, whatever their cookies.
    public: bool,
    /// The lifetime that it gives; `null` where the app's word counts.
    #[schema(minimum = 0)]
    ttl_seconds: Option<f64>,
    /// How long an answer may be used while it is refreshed; `null` where the settings of the cache count.
    #[schema(minimum = 0)]
    stale_while_revalidate_seconds: Option<f64>,
    /// How long an answer may be used while the app fails; `null` where the settings of the cache count.
    #[schema(minimum = 0)]
    stale_if_error_seconds: Option<f64>,
}

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
struct AskerView {
    /// The request has a cookie that is not ignored.
    cookie_counts: bool,
    /// The request has Authorization.
    authorization_counts: bool,
}

/// What would happen now.
#[derive(Debug, Serialize, ToSchema)]
struct Decision {
    /// `hit`, `stale`, `revalidate`, `miss` or `bypass`.
    would: &'static str,
    /// The cache's word for the reason, as on the response.
    reason: Option<&'static str>,
    /// What `Cache-Status` would begin with.
    cache_status: String,
}

/// One stored response.
#[derive(Debug, Serialize, ToSchema)]
struct Stored {
    /// It is the one that the request would be given.
    selected: bool,
    /// The request fields that chose it; the values of Cookie and Authorization are not shown.
    selected_by: BTreeMap<String, Option<String>>,
    #[schema(minimum = 100, maximum = 999)]
    status: u16,
    /// `fresh`, `stale-while-revalidate`, `stale-if-error` or `stale`.
    freshness: &'static str,
    /// Since it left the app (RFC 9111 §4.2.3).
    age_seconds: u64,
    /// What is left of its lifetime; negative when that is over.
    ttl_seconds: i64,
    /// How long it is fresh altogether (RFC 9111 §4.2.1).
    lifetime_seconds: u64,
    /// The app is asked before each use.
    always_validated: bool,
    /// How long after its lifetime it may be used while it is refreshed.
    stale_while_revalidate_seconds: u64,
    /// How long after its lifetime it may be used while the app fails.
    stale_if_error_seconds: u64,
    /// Requests with cookies are given it as well.
    for_requests_with_cookies: bool,
    /// Requests with Authorization are given it as well.
    for_requests_with_authorization: bool,
    /// A targeted field (RFC 9213) decided, and not Cache-Control.
    decided_by_targeted_field: bool,
    /// The app's ETag.
    etag: Option<String>,
    /// The app's Last-Modified.
    last_modified: Option<String>,
    /// What it can be purged by.
    tags: Vec<String>,
    /// Cache groups (RFC 9875) that it is in.
    groups: Vec<String>,
    /// Bytes of the body as the app sent it.
    body_bytes: usize,
    /// What it takes, with the codings made so far.
    bytes: u64,
    codings: Vec<Made>,
    /// In which form the client would get it; only for the one that is selected.
    would_send: Option<WouldSend>,
}

pub(super) async fn explain(State(state): Shared, uri: Uri) -> Result<Json<Explanation>, Problem> {
    let question = Question::read(&uri).map_err(|detail| bad_request(&uri, detail))?;
    Ok(Json(apart(move || question.answer(&state, Instant::now())).await))
}

/// A request that was not sent.
struct Question {
    head: RequestHead,
    peer: Peer,
}

impl Question {
    /// Reads `url` and any number of `header`.
    fn read(uri: &Uri) -> Result<Self, String> {
        let parameters = Parameters::with_many(uri, &["url", "header"], "header")?;
        let text = parameters.value("url").ok_or("expected url=, such as url=http://shop.example/p/7")?;
        let url = Url::parse(text).map_err(|why| format!("url = {text:?}: {why}"))?;
        let fields: Vec<&str> = parameters.values("header").collect();
        if fields.len() > MOST_FIELDS {
            return Err(format!("header: {} of them: expected at most {MOST_FIELDS}", fields.len()));
        }
        let mut head = [b"GET ", &*url.target, b" HTTP/1.1\r\n"].concat();
        for field in &fields {
            let broken = !field.contains(':') || field.contains(['\r', '\n']);
            if broken {
                return Err(format!("header = {field:?}: expected \"Name: value\""));
            }
            head.extend_from_slice(field.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        let names_host = fields.iter().any(|field| is(field.split(':').next().unwrap_or_default().as_bytes(), "host"));
        match &url.host {
            Some(_) if names_host => return Err("expected the host in url or in a header, not in both".into()),
            Some(host) => head.extend_from_slice(&[b"Host: ", &**host, b"\r\n"].concat()),
            None if names_host => {}
            None => return Err(format!("url = {text:?}: expected a host in it, or header=Host: shop.example")),
        }
        head.extend_from_slice(b"\r\n");
        let head = RequestHead::parse(Bytes::from(head), &Limits::default()).map_err(|refusal| {
            format!("such a request would be refused with {}: {}", refusal.status(), refusal.reason())
        })?;
        // What is said of the client counts, as from a trusted proxy: who asks here says what they mean.
        let peer = Peer { address: [127, 0, 0, 1].into(), tls: url.https == Some(true), trusted: true };
        Ok(Self { head, peer })
    }

    fn answer(self, state: &state::State, now: Instant) -> Explanation {
        let Self { mut head, peer } = self;
        let (cache, routes) = (&state.cache, state.routes.load());
        let route = route::find(&routes, &head.method, head.path()).map(|at| &routes[at]);
        let nameless = Policy::default();
        let policy = route.map_or(&nameless, |route| &route.policy);
        let coding = state.compression.settings();
        let accepted = coding.codes(policy).then(|| Accepted::take(&mut head));
        let (key, asker) = (Key::of(&head, &peer), cache.asker(&head, policy));
        let found = match policy::admit(&head, policy) {
            Ok(()) => cache.lookup(&key, &head, asker, now),
            Err(why) => Lookup::Bypass(why),
        };
        let resource = cache.peek(&key);
        let settings = cache.settings();
        let selected = |entry: &Entry| entry.selecting.matches(&head, &settings);
        let variants = resource.as_deref().map(|resource| resource.variants()).unwrap_or_default();
        let first = variants.iter().position(|entry| selected(entry));
        let last_skip = resource.as_deref().and_then(|resource| {
            let anybodys = resource.last_skip(false);
            if asker.is_identified() { resource.last_skip(true).or(anybodys) } else { anybodys }
        });
        let mut to_be_cached = Vec::new();
        match &found {
            Lookup::Bypass(why) => to_be_cached.push(why.remedy()),
            Lookup::Miss(_) | Lookup::Fresh(_) | Lookup::Stale(..) => {}
        }
        if !matches!(found, Lookup::Fresh(_) | Lookup::Stale(..)) {
            to_be_cached.extend(last_skip.map(|why| why.remedy()));
        }
        Explanation {
            route: route.map(|route| route.name.clone()),
            policy: policy.into(),
            request: asker.into(),
            decision: Decision::of(&found, now),
            stored: variants
                .iter()
                .enumerate()
                .map(|(at, entry)| {
                    let would_send =
                        (first == Some(at)).then(|| WouldSend::of(entry, &head, accepted.as_ref(), &coding));
                    Stored::of(entry, would_send, now)
                })
                .collect(),
            last_not_stored: last_skip.map(|why| why.name()),
            to_be_cached,
            other_keys: other_keys(state, &key),
            key: key.parts().into(),
        }
    }
}

/// Other keys of the same host and target. Goes through the whole store.
fn other_keys(state: &state::State, key: &Key) -> Vec<KeyView> {
    let wanted = key.parts();
    let same = |other: &Key| {
        let parts = other.parts();
        other != key && parts.target == wanted.target && parts.host == wanted.host
    };
    state.cache.keys().filter(same).take(MOST_OTHER_KEYS).map(|key| key.parts().into()).collect()
}

impl Decision {
    fn of(found: &Lookup, now: Instant) -> Self {
        let (would, reason, status) = match found {
            Lookup::Fresh(entry) => ("hit", None, Some(CacheStatus::Hit { ttl: entry.ttl(now), stale: None })),
            Lookup::Stale(entry, why) => {
                ("stale", Some(why.name()), Some(CacheStatus::Hit { ttl: entry.ttl(now), stale: Some(*why) }))
            }
            Lookup::Miss(Missed { why, stored, .. }) => {
                let confirms = stored.as_ref().is_some_and(|entry| entry.has_validator());
                (if confirms { "revalidate" } else { "miss" }, Some(why.name()), None)
            }
            Lookup::Bypass(why) => ("bypass", Some(why.name()), Some(CacheStatus::Bypassed(*why))),
        };
        let cache_status = match status {
            Some(status) => {
                let mut text = Vec::new();
                status.write_member(&mut text);
                String::from_utf8_lossy(&text).into_owned()
            }
            None => format!("pacecar; fwd={}", reason.unwrap_or_default()),
        };
        Self { would, reason, cache_status }
    }
}

impl Stored {
    fn of(entry: &Entry, would_send: Option<WouldSend>, now: Instant) -> Self {
        let field = |name| entry.head.get(name).map(|value| String::from_utf8_lossy(value).into_owned());
        let names = |list: &[Box<str>]| list.iter().map(|name| name.to_string()).collect();
        Self {
            selected: would_send.is_some(),
            selected_by: entry
                .selecting
                .fields()
                .map(|(name, value)| {
                    let secret = is(name, "cookie") || is(name, "authorization");
                    let shown = value.map(|value| if secret { "(set)".into() } else { lossy(value) });
                    (lossy(name), shown)
                })
                .collect(),
            status: entry.head.status(),
            freshness: match entry.freshness(now) {
                Freshness::Fresh => "fresh",
                Freshness::WhileRevalidate => "stale-while-revalidate",
                Freshness::IfError => "stale-if-error",
                Freshness::Spent => "stale",
            },
            age_seconds: entry.age(now).as_secs(),
            ttl_seconds: entry.ttl(now),
            lifetime_seconds: entry.lifetime().as_secs(),
            always_validated: entry.terms.always_validate,
            stale_while_revalidate_seconds: entry.terms.stale_while_revalidate.as_secs(),
            stale_if_error_seconds: entry.terms.stale_if_error.as_secs(),
            for_requests_with_cookies: entry.shared.with_cookies,
            for_requests_with_authorization: entry.shared.with_authorization,
            decided_by_targeted_field: entry.targeted,
            etag: field("etag"),
            last_modified: field("last-modified"),
            tags: names(&entry.tags.tags),
            groups: names(&entry.tags.groups),
            body_bytes: entry.body.len(),
            bytes: entry.weight(),
            codings: Made::all_of(entry),
            would_send,
        }
    }
}

impl From<key::Parts<'_>> for KeyView {
    fn from(parts: key::Parts<'_>) -> Self {
        Self {
            scheme: if parts.https { "https" } else { "http" },
            host: lossy(parts.host),
            target: lossy(parts.target),
            claims: parts.claims().map(|(name, value)| (lossy(name), lossy(value))).collect(),
        }
    }
}

impl From<&Policy> for PolicyView {
    fn from(policy: &Policy) -> Self {
        let seconds = |duration: Option<std::time::Duration>| duration.map(|duration| duration.as_secs_f64());
        Self {
            cache: policy.cache,
            compress: policy.compress,
            public: policy.public,
            ttl_seconds: seconds(policy.ttl),
            stale_while_revalidate_seconds: seconds(policy.stale_while_revalidate),
            stale_if_error_seconds: seconds(policy.stale_if_error),
        }
    }
}

impl From<Asker> for AskerView {
    fn from(asker: Asker) -> Self {
        Self { cookie_counts: asker.cookie, authorization_counts: asker.authorization }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
