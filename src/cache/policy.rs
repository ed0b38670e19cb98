//! The decisions: may the cache take part in a request, may a response be stored, for whom. Pure; each answers with
//! its reason.

use std::time::{Duration, Instant};

use crate::{
    header::{
        CacheControl, Fields, Framing, RequestHead, ResponseHead, cookie,
        fields::{is, is_hop_by_hop},
        forwarded::is_told_of_the_connection,
        targeted,
    },
    route::Policy,
};

use super::{
    Bypass, Forward, Settings, Skip, Stale,
    entry::Entry,
    freshness::{self, Freshness, Received, Terms, seconds_between},
};

/// Who asks, as far as sharing is concerned. Taken once per request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The request has a cookie that counts.
    pub cookie: bool,
    /// The request has Authorization.
    pub authorization: bool,
}

impl Asker {
    /// Looks at a request's Cookie and Authorization. On a public route neither counts.
    pub fn of(request: &RequestHead, policy: &Policy, settings: &Settings) -> Self {
        Self {
            cookie: !policy.public && cookie::counts(request, &settings.ignore_cookies),
            authorization: !policy.public && request.has("authorization"),
        }
    }

    /// Whether this is somebody in particular.
    pub fn is_identified(self) -> bool {
        self.cookie || self.authorization
    }
}

/// Fields that steer some origins to another method, scheme, host or target and are no part of the key.
const UNKEYED: [&str; 10] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
    "x-host",
    "x-http-host-override",
    "x-original-host",
    "front-end-https",
    "x-url-scheme",
];

/// Whether the cache may take part in a request at all.
///
/// # Errors
/// The reason why it may not.
pub fn admit(request: &RequestHead, policy: &Policy) -> Result<(), Bypass> {
    if request.method != http::Method::GET && request.method != http::Method::HEAD {
        return Err(Bypass::Method);
    }
    // What a body with GET means is not defined (RFC 9110 §9.3.1), so it cannot be part of a key.
    if request.framing != Framing::None {
        return Err(Bypass::Body);
    }
    // RFC 9110 §7.8: the answer may be another protocol.
    if request.asks_for_upgrade() {
        return Err(Bypass::Upgrade);
    }
    if !policy.cache {
        return Err(Bypass::Disabled);
    }
    // RFC 3875 §4.1.18: to an app behind CGI or WSGI, a name with `_` is the field with `-`, which Vary and the key mean.
    let is_unkeyed = |name: &[u8]| name.contains(&b'_') || UNKEYED.iter().any(|field| is(name, field));
    if request.fields().any(|(name, _)| is_unkeyed(name)) {
        return Err(Bypass::Unkeyed);
    }
    // RFC 9110 §7.6.1: a field that Connection names is not sent on, so the answer was not chosen by it, although Vary
    // may say so: stored, it would be given to those who do send the field on.
    let is_sent = |named: &[u8]| request.fields().any(|(name, _)| name.eq_ignore_ascii_case(named));
    if request.members("connection").any(|named| !is_hop_by_hop(named) && is_sent(named)) {
        return Err(Bypass::Unkeyed);
    }
    // RFC 9110 §13.1.1, §13.1.4: these two ask for the origin's own judgement.
    if ["if-match", "if-unmodified-since"].iter().any(|field| request.has(field)) {
        return Err(Bypass::Conditional);
    }
    // RFC 9111 §5.2.1.5: nothing of this exchange may be stored.
    if CacheControl::of(request).no_store {
        return Err(Bypass::RequestNoStore);
    }
    Ok(())
}

/// What a client demands of a stored response (RFC 9111 §5.2.1); nothing where its word does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demands(Option<CacheControl>);

impl Demands {
    /// Reads a request's Cache-Control, or `Pragma: no-cache` where it has none (§5.4), if the operator lets it count.
    pub fn of(request: &RequestHead, settings: &Settings) -> Self {
        if !settings.honour_client_cache_control {
            return Self(None);
        }
        let mut control = CacheControl::of(request);
        control.no_cache |= !request.has("cache-control") && request.members("pragma").any(|one| is(one, "no-cache"));
        Self(Some(control))
    }

    /// The client wants nothing from the origin (§5.2.1.7).
    pub fn only_if_cached(&self) -> bool {
        self.0.as_ref().is_some_and(|control| control.only_if_cached)
    }
}

/// How a stored response may be used for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// As it is.
    Fresh,
    /// Although it is stale.
    Stale(Stale),
}

/// Whether a stored response may be used for a request now, without asking the origin (RFC 9111 §4, §5.2.1).
///
/// # Errors
/// Why the origin is to be asked first.
pub fn reuse(entry: &Entry, demands: &Demands, now: Instant) -> Result<Reuse, Forward> {
    let freshness = entry.freshness(now);
    let Some(control) = &demands.0 else {
        return match freshness {
            Freshness::Fresh => Ok(Reuse::Fresh),
            Freshness::WhileRevalidate => Ok(Reuse::Stale(Stale::WhileRevalidate)),
            Freshness::IfError | Freshness::Spent => Err(Forward::Stale),
        };
    };
    let age = entry.age(now);
    let left = entry.lifetime().saturating_sub(age);
    let is_too_old = control.max_age.is_some_and(|most| age > most);
    let is_soon_stale = control.min_fresh.is_some_and(|least| left < least);
    // §5.2.1.4, §5.2.1.1, §5.2.1.3
    if control.no_cache || is_too_old || is_soon_stale {
        return Err(if freshness == Freshness::Fresh { Forward::Request } else { Forward::Stale });
    }
    match freshness {
        Freshness::Fresh => Ok(Reuse::Fresh),
        // §5.2.1.2: never against the origin's word.
        _ if !entry.terms.never_stale
            && control.max_stale.is_some_and(|most| age.saturating_sub(entry.lifetime()) <= most) =>
        {
            Ok(Reuse::Stale(Stale::Accepted))
        }
        // A client that wants freshness left does not want a stale response.
        Freshness::WhileRevalidate if control.min_fresh.is_none() && control.max_age.is_none() => {
            Ok(Reuse::Stale(Stale::WhileRevalidate))
        }
        _ => Err(Forward::Stale),
    }
}

/// Whether a stored response may stand in for an origin that failed (RFC 9111 §4.2.4, RFC 5861 §4).
pub fn stands_in(entry: &Entry, now: Instant) -> bool {
    entry.freshness(now) != Freshness::Spent
}

/// Whether an answer means that the origin failed (RFC 5861 §4).
pub fn is_failure(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

/// What a response that may be stored is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storable {
    /// How long it may be used.
    pub terms: Terms,
    /// Who may share it.
    pub shared: Shared,
    /// A targeted field decided (RFC 9213): towards clients this cache is then the origin.
    pub targeted: bool,
}

impl Storable {
    /// For a response that is not stored: it is good for the request that it answers.
    pub fn for_one() -> Self {
        let shared = Shared { with_cookies: false, with_authorization: false };
        Self { terms: Terms { always_validate: true, ..Terms::default() }, shared, targeted: false }
    }

    /// Whether others who ask at the same moment may have the response too, without the origin's word for each.
    pub fn is_fresh(&self) -> bool {
        self.terms.at(self.terms.initial_age, self.terms.lifetime) == Freshness::Fresh
    }

    /// Seconds of freshness left on arrival; negative when there were none.
    pub fn ttl(&self) -> i64 {
        seconds_between(self.terms.initial_age, self.terms.lifetime)
    }
}

/// With whom a stored response may be shared besides those who are nobody in particular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// With requests whose cookies count.
    pub with_cookies: bool,
    /// With requests that have Authorization (RFC 9111 §3.5).
    pub with_authorization: bool,
}

impl Shared {
    /// Whether a request may be answered with the response.
    ///
    /// # Errors
    /// The reason why it may not.
    pub fn admits(self, asker: Asker) -> Result<(), Bypass> {
        if asker.cookie && !self.with_cookies {
            return Err(Bypass::Cookie);
        }
        if asker.authorization && !self.with_authorization {
            return Err(Bypass::Authorization);
        }
        Ok(())
    }
}

/// Whether the response to a GET may be stored in a shared cache (RFC 9111 §3), and what it is good for.
///
/// `asker` is who sent the request that it answers, which passed [`admit`].
///
/// # Errors
/// The first reason why it may not, in the order of the RFC; then ours.
pub fn store(
    asker: Asker,
    response: &ResponseHead,
    policy: &Policy,
    settings: &Settings,
    received: &Received,
) -> Result<Storable, Skip> {
    let targeted = targeted::control(response, &settings.targeted);
    let is_targeted = targeted.is_some();
    let control = targeted.unwrap_or_else(|| CacheControl::of(response));
    // §3: the status is final, and neither a part (206) nor an answer to a precondition (304).
    if response.status() < 200 || matches!(response.status(), 206 | 304) {
        return Err(Skip::Status);
    }
    // §5.2.2.3: must-understand allows storing what is understood, even with no-store, and forbids the rest.
    if control.must_understand && !is_understood(response.status()) {
        return Err(Skip::Status);
    }
    // §5.2.2.5
    if control.no_store && !control.must_understand {
        return Err(Skip::NoStore);
    }
    // §5.2.2.7
    if control.private {
        return Err(Skip::Private);
    }
    let shared = Shared {
        with_cookies: control.public || control.s_maxage.is_some() || is_targeted,
        with_authorization: control.public || control.s_maxage.is_some() || control.must_revalidate,
    };
    // §3.5
    if asker.authorization && !shared.with_authorization {
        return Err(Skip::Authorization);
    }
    // §4.1: a Vary of * never matches.
    if response.members("vary").any(|member| member == b"*") {
        return Err(Skip::VaryStar);
    }
    // What we tell the app of each connection is not in the requests that Vary is matched with.
    if response.members("vary").any(is_told_of_the_connection) {
        return Err(Skip::VaryUnkeyed);
    }
    // What the origin itself says (§4.2.1); a targeted field is all it says (RFC 9213 §2.2).
    let dated = || (!is_targeted).then(|| freshness::dated_lifetime(response, received)).flatten();
    let stated = freshness::directed_lifetime(&control).or_else(dated);
    // Beyond the RFC (§7.3 allows both): what sets or was asked with a cookie is somebody's own until declared public.
    if response.has("set-cookie") && !(settings.store_set_cookie && stated.is_some()) {
        return Err(Skip::SetCookie);
    }
    let varies_by_cookie = response.members("vary").any(|member| is(member, "cookie"));
    if asker.cookie && (!shared.with_cookies || varies_by_cookie) {
        return Err(Skip::Cookie);
    }
    let lifetime = match stated {
        Some(stated) => stated,
        // §5.2.2.4: whatever its age, it is validated before each use. §3: that alone allows no status to be stored.
        None if control.no_cache && is_guessable(response.status(), &control) => Duration::ZERO,
        None => unstated_lifetime(response, &control, policy, settings, received)?,
    };
    if response.content_length().is_some_and(|length| length > settings.max_object_bytes) {
        return Err(Skip::TooLarge);
    }
    let terms = Terms {
        lifetime,
        initial_age: freshness::initial_age(response, received),
        always_validate: control.no_cache,
        ..grace(&control, policy, settings)
    };
    // What is of no use without the origin's word is kept only if the origin can give it in a word (304), or if it says
    // itself that it may be used stale.
    let has_validator = response.has("etag") || response.has("last-modified");
    let storable = Storable { terms, shared, targeted: is_targeted };
    let stale_allowed = !storable.terms.grace().is_zero()
        && (control.stale_while_revalidate.is_some() || control.stale_if_error.is_some());
    match storable.is_fresh() || has_validator || stale_allowed {
        true => Ok(storable),
        false if control.no_cache => Err(Skip::NoCache),
        false => Err(Skip::Expired),
    }
}

/// For how long the response may be used stale: as the origin says, else as the operator does, unless the origin
/// forbids it (RFC 9111 §4.2.4, RFC 5861). `s-maxage` forbids it too (§5.2.2.10).
fn grace(control: &CacheControl, policy: &Policy, settings: &Settings) -> Terms {
    if control.must_revalidate || control.proxy_revalidate || control.s_maxage.is_some() || control.no_cache {
        return Terms { never_stale: true, ..Terms::default() };
    }
    let or = |stated: Option<Duration>, route: Option<Duration>, default| stated.or(route).unwrap_or(default);
    Terms {
        stale_while_revalidate: or(
            control.stale_while_revalidate,
            policy.stale_while_revalidate,
            settings.stale_while_revalidate,
        ),
        stale_if_error: or(control.stale_if_error, policy.stale_if_error, settings.stale_if_error),
        ..Terms::default()
    }
}

/// The lifetime of a response whose origin states none: the route's or the configuration's, else a guess where guesses
/// are allowed. An error of the server gets none from us: it says nothing about the resource.
fn unstated_lifetime(
    response: &ResponseHead,
    control: &CacheControl,
    policy: &Policy,
    settings: &Settings,
    received: &Received,
) -> Result<Duration, Skip> {
    let status = response.status();
    let operators = policy.ttl.unwrap_or(settings.default_ttl);
    if is_heuristically_cacheable(status) && status < 500 && !operators.is_zero() {
        return Ok(operators);
    }
    let guess = || freshness::heuristic_lifetime(response, received);
    match (settings.heuristic && is_guessable(status, control)).then(guess).flatten() {
        Some(guess) => Ok(guess),
        None if is_heuristically_cacheable(status) && status < 500 => Err(Skip::NoFreshness),
        None => Err(Skip::Status),
    }
}

/// Whether a response may be stored although it states no lifetime (§3, §4.2.2): `public` allows it for any status.
fn is_guessable(status: u16, control: &CacheControl) -> bool {
    is_heuristically_cacheable(status) || control.public
}

/// RFC 9110 §15.1. 206 is among them there, but never stored here.
fn is_heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// The final statuses of RFC 9110 §15 and RFC 6585, whose rules for caching are known here.
fn is_understood(status: u16) -> bool {
    matches!(status, 200..=206 | 300..=305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 428 | 429 | 431 | 500..=505 | 511)
}
