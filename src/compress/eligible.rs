//! Which responses are coded, for whom, and the heads of bodies coded or decoded here (RFC 9110 §8.4, §12.5).

use crate::{
    header::{
        CacheControl, Fields, RequestHead, ResponseHead,
        accept_encoding::Accepted,
        coding::Coding,
        edits::Edits,
        fields::{is, is_token, starts_with, trim},
        request::Version,
        validator,
    },
    route::Policy,
};

use super::Settings;

/// Why a client was given a body as the app made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// No coding is on offer.
    Off,
    /// The route says `compress = false`.
    Route,
    /// A status without a body of its own: 1xx, 204, 205, 206, 304.
    Status,
    /// The app has coded it.
    Coded,
    /// `no-transform` in the response.
    NoTransform,
    /// `Content-Range` in the response: a part, whatever its status.
    ContentRange,
    /// Its media type is not listed, is not named, or is that of a stream.
    Type,
    /// The body is shorter than `min_bytes`.
    TooSmall,
    /// It sets a cookie or is `private`, and `skip_private` is on.
    Private,
    /// The client speaks HTTP/1.0, which has no chunks for a body of unknown length.
    Http10,
    /// The request has Range: offsets are those of the app's bytes.
    Range,
    /// The client takes no coding on offer, or wants none of them as much as the body as it is.
    NotAccepted,
    /// The client takes no coding on offer, and not the body as it is either, which it is sent nevertheless.
    Unacceptable,
    /// The coded body was no smaller.
    NotSmaller,
    /// There is no room to store it coded.
    NoRoom,
    /// No encoder was to spare.
    Busy,
    /// The encoder failed.
    Failed,
}

impl Skip {
    /// Every reason, in the order of their counters.
    pub const ALL: [Self; 17] = [
        Self::Off,
        Self::Route,
        Self::Status,
        Self::Coded,
        Self::NoTransform,
        Self::ContentRange,
        Self::Type,
        Self::TooSmall,
        Self::Private,
        Self::Http10,
        Self::Range,
        Self::NotAccepted,
        Self::Unacceptable,
        Self::NotSmaller,
        Self::NoRoom,
        Self::Busy,
        Self::Failed,
    ];

    /// The word for it in JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Route => "route",
            Self::Status => "status",
            Self::Coded => "coded",
            Self::NoTransform => "no-transform",
            Self::ContentRange => "content-range",
            Self::Type => "type",
            Self::TooSmall => "too-small",
            Self::Private => "private",
            Self::Http10 => "http10",
            Self::Range => "range",
            Self::NotAccepted => "not-accepted",
            Self::Unacceptable => "unacceptable",
            Self::NotSmaller => "not-smaller",
            Self::NoRoom => "no-room",
            Self::Busy => "busy",
            Self::Failed => "failed",
        }
    }
}

/// Whether some client could be given this response coded. If so, every client's copy says `Vary: Accept-Encoding`
/// (see [`vary`]), coded or not: another's would differ (RFC 9110 §12.5.5).
///
/// `length` is that of the body in bytes, if it is known; one of unknown length is taken to be long enough.
///
/// # Errors
/// The first reason why not.
pub fn codable(response: &ResponseHead, length: Option<u64>, policy: &Policy, settings: &Settings) -> Result<(), Skip> {
    if settings.codings.is_empty() {
        return Err(Skip::Off);
    }
    if !policy.compress {
        return Err(Skip::Route);
    }
    // RFC 9110 §15.2, §15.3.5 to §15.3.7, §15.4.5: no content, or a part of one.
    if matches!(response.status(), 100..=199 | 204..=206 | 304) {
        return Err(Skip::Status);
    }
    // RFC 9110 §8.4: what is coded already is not coded again. Identity is no coding, though some apps name it.
    if response.members("content-encoding").any(|coding| !is(coding, "identity")) {
        return Err(Skip::Coded);
    }
    if response.has("content-range") {
        return Err(Skip::ContentRange);
    }
    let control = CacheControl::of(response);
    // RFC 9111 §5.2.2.6; RFC 9110 §7.7: a proxy must not.
    if control.no_transform {
        return Err(Skip::NoTransform);
    }
    if !has_listed_type(response, &settings.types) {
        return Err(Skip::Type);
    }
    // An empty body does not get smaller, whatever the operator says.
    if length.is_some_and(|length| length < settings.min_bytes.max(1)) {
        return Err(Skip::TooSmall);
    }
    // BREACH: the length of a coded body tells what of the request is repeated next to a secret.
    if settings.skip_private && (control.private || response.has("set-cookie")) {
        return Err(Skip::Private);
    }
    Ok(())
}

/// The coding in which a client gets a response that is [`codable`].
///
/// # Errors
/// Why it gets it as it is.
pub fn coding_for(request: &RequestHead, accepted: &Accepted, settings: &Settings) -> Result<Coding, Skip> {
    // Without chunks only the end of the connection would end the body, and a cut could not be told from it
    // (RFC 9112 §6.3).
    if request.version == Version::Http10 {
        return Err(Skip::Http10);
    }
    // RFC 9110 §14.2: what is asked for is a part of the bytes that the client has begun to load.
    if request.has("range") {
        return Err(Skip::Range);
    }
    accepted.choose(&settings.codings).ok_or_else(|| match accepted.refuses_all(&settings.codings) {
        false => Skip::NotAccepted,
        true => Skip::Unacceptable,
    })
}

/// The head of a response whose body is coded here: `length` is that of the coded body in bytes, if it is known.
///
/// It says the coding and nothing about the app's bytes: no digest and no offer of ranges, and a strong entity tag
/// becomes a weak one (RFC 9110 §8.8.3.3: two codings of one thing must not have the same). What is no entity tag goes,
/// since a client might take it for a strong one.
pub fn coded_head(head: &ResponseHead, coding: Coding, length: Option<u64>) -> ResponseHead {
    coding_edits(head, Some(coding), length).apply(head)
}

/// The head of a response whose body was coded by the app and is decoded here, changed as by [`coded_head`]: `length`
/// is that of the decoded body in bytes, if it is known.
///
/// Precondition: no `no-transform` and no `Content-Range` in the response; such a body may not be decoded either.
pub fn decoded_head(head: &ResponseHead, length: Option<u64>) -> ResponseHead {
    coding_edits(head, None, length).apply(head)
}

/// Whether `Vary: Accept-Encoding` is to be added: not where Vary says it, or `*`, which is more (RFC 9110 §12.5.5).
pub fn vary(head: &ResponseHead) -> bool {
    !head.members("vary").any(|member| member == b"*" || is(member, "accept-encoding"))
}

/// The coding that the app used, if it is a single one of ours.
pub fn coding_of(head: &ResponseHead) -> Option<Coding> {
    let mut codings = head.members("content-encoding").filter(|coding| !is(coding, "identity"));
    let coding = Coding::named(codings.next()?)?;
    codings.next().is_none().then_some(coding)
}

/// A media type without its parameters (RFC 9110 §8.3.1).
pub(super) fn essence(content_type: &[u8]) -> &[u8] {
    trim(content_type.split(|byte| *byte == b';').next().unwrap_or_default())
}

/// Fields that are true of the app's bytes only: how they are coded, where they end, that parts can be had, and their
/// sums and tags. A digest of the representation is one of its coding too (RFC 9530 §3).
const OF_THE_BYTES: [&str; 8] = [
    "content-encoding",
    "content-length",
    "accept-ranges",
    "content-md5",
    "digest",
    "content-digest",
    "repr-digest",
    "etag",
];

/// What [`coded_head`] changes, or [`decoded_head`] for `None`.
pub fn coding_edits(head: &ResponseHead, coding: Option<Coding>, length: Option<u64>) -> Edits {
    let mut edits = Edits::default();
    OF_THE_BYTES.into_iter().for_each(|field| edits.remove(field));
    if let Some(coding) = coding {
        edits.add("Content-Encoding", coding.name());
    }
    if let Some(length) = length {
        edits.add("Content-Length", itoa::Buffer::new().format(length));
    }
    if let Some(etag) = head.get("etag") {
        if etag.starts_with(b"W/") {
            edits.add("ETag", etag);
        } else if let Some(weak) = validator::weakened(etag) {
            edits.add("ETag", weak);
        }
    }
    if vary(head) {
        edits.add("Vary", "Accept-Encoding");
    }
    edits
}

/// Whether Content-Type is there and listed. It should be one line; where there are more, recipients disagree on which
/// one counts, so each must be listed.
fn has_listed_type(response: &ResponseHead, types: &[String]) -> bool {
    let is_listed = |content_type| {
        let essence = essence(content_type);
        !is_stream(essence) && types.iter().any(|pattern| matches_type(pattern, essence))
    };
    response.has("content-type") && response.all("content-type").all(is_listed)
}

/// Whether bodies of this type are read while they are being sent, so that an encoder must not hold any of it back.
fn is_stream(essence: &[u8]) -> bool {
    is(essence, "text/event-stream") || starts_with(essence, "application/grpc")
}

/// Whether a media type is the pattern's, in any case (RFC 9110 §8.3.1): `text/*` is all of a type, `*+json` all of a
/// suffix (RFC 6839).
fn matches_type(pattern: &str, essence: &[u8]) -> bool {
    let Some(slash) = memchr::memchr(b'/', essence) else { return false };
    let (kind, subtype) = (&essence[..slash], &essence[slash + 1..]);
    // Two types joined by a comma, for one, are none.
    if !is_token(kind) || !is_token(subtype) {
        return false;
    }
    if let Some(of_kind) = pattern.strip_suffix("/*") {
        return is(kind, of_kind);
    }
    match pattern.strip_prefix('*') {
        Some(suffix) => subtype.len() > suffix.len() && is(&subtype[subtype.len() - suffix.len()..], suffix),
        None => is(essence, pattern),
    }
}
