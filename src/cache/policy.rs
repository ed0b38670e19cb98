//! The decisions: may the cache take part in a request, may a response be stored, for whom. Pure; each answers with
//! its reason.

use std::time::Duration;

use crate::{
    header::{
        CacheControl, Fields, Framing, RequestHead, ResponseHead, cookie,
        fields::{is, is_hop_by_hop},
        forwarded::is_told_of_the_connection,
    },
    route::Policy,
};

use super::{
    Bypass, Settings, Skip,
    freshness::{self, Received},
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

/// Fields that steer some origins to another method or target and are no part of the key.
const UNKEYED: [&str; 6] =
    ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url", "x-host"];

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
    if UNKEYED.iter().any(|field| request.has(field)) {
        return Err(Bypass::Unkeyed);
    }
    // RFC 9110 §7.6.1: a field that Connection names is not sent on, so the answer was not chosen by it, although Vary
    // may say so: stored, it would be given to those who do send the field on.
    let is_sent = |named: &[u8]| request.fields().any(|(name, _)| name.eq_ignore_ascii_case(named));
    if request.members("connection").any(|named| !is_hop_by_hop(named) && is_sent(named)) {
        return Err(Bypass::Unkeyed);
    }
    // RFC 9110 §13.1.1, §13.1.4: these two ask for the origin's own judgement. A range is passed through.
    if ["range", "if-match", "if-unmodified-since"].iter().any(|field| request.has(field)) {
        return Err(Bypass::Conditional);
    }
    // RFC 9111 §5.2.1.5: nothing of this exchange may be stored.
    if CacheControl::of(request).no_store {
        return Err(Bypass::RequestNoStore);
    }
    Ok(())
}

/// What a response that may be stored is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storable {
    /// How long it is fresh, counted from its age 0.
    pub lifetime: Duration,
    /// How old it was on arrival.
    pub initial_age: Duration,
    /// Who may share it.
    pub shared: Shared,
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
    let control = CacheControl::of(response);
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
        with_cookies: control.public || control.s_maxage.is_some(),
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
    // Beyond the RFC (§7.3 allows both): what sets or was asked with a cookie is somebody's own until declared public.
    if response.has("set-cookie") {
        return Err(Skip::SetCookie);
    }
    let varies_by_cookie = response.members("vary").any(|member| is(member, "cookie"));
    if asker.cookie && (!shared.with_cookies || varies_by_cookie) {
        return Err(Skip::Cookie);
    }
    // §5.2.2.4: it would have to be validated before each use.
    if control.no_cache {
        return Err(Skip::NoCache);
    }
    let lifetime = match freshness::stated_lifetime(response, &control, received) {
        Some(stated) => stated,
        None => operators_lifetime(response.status(), policy, settings)?,
    };
    let initial_age = freshness::initial_age(response, received);
    if lifetime <= initial_age {
        return Err(Skip::Expired);
    }
    if response.content_length().is_some_and(|length| length > settings.max_object_bytes) {
        return Err(Skip::TooLarge);
    }
    Ok(Storable { lifetime, initial_age, shared })
}

/// The lifetime that the route or the configuration gives where the origin states none. An error of the server
/// never gets one: it says nothing about the resource.
fn operators_lifetime(status: u16, policy: &Policy, settings: &Settings) -> Result<Duration, Skip> {
    if !is_heuristically_cacheable(status) || status >= 500 {
        return Err(Skip::Status);
    }
    Some(policy.ttl.unwrap_or(settings.default_ttl)).filter(|ttl| !ttl.is_zero()).ok_or(Skip::NoFreshness)
}

/// RFC 9110 §15.1. 206 is among them there, but never stored here.
fn is_heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// The final statuses of RFC 9110 §15 and RFC 6585, whose rules for caching are known here.
fn is_understood(status: u16) -> bool {
    matches!(status, 200..=206 | 300..=305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 428 | 429 | 431 | 500..=505 | 511)
}
