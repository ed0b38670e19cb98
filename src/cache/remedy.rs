//! What would have to change, for each reason why something was not cached. One sentence each, for whoever asks why.

use super::{Bypass, Skip};

impl Skip {
    /// What would have to change for such a response to be stored.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::NoStore => "the app says no-store: it would have to leave that out of Cache-Control",
            Self::Private => {
                "the app says private: it would have to say public, or nothing, where the answer is the same for everyone"
            }
            Self::NoCache => {
                "the app says no-cache: with an ETag or Last-Modified it could be kept and confirmed at each use"
            }
            Self::NoFreshness => {
                "nobody says how long it is fresh: the app with Cache-Control: max-age, or a route with ttl"
            }
            Self::Expired => {
                "it is stale on arrival: the app would have to give a longer max-age, or an ETag or Last-Modified by which it can be confirmed"
            }
            Self::SetCookie => {
                "the answer sets a cookie: the app would have to leave that out of what is for everyone (or cache.store_set_cookie, if the cookie is)"
            }
            Self::Cookie => {
                "the request had a cookie: the app would have to say public or s-maxage, or a route public = true, or cache.ignore_cookies name the cookie; each only if it makes no difference to the answer"
            }
            Self::Authorization => {
                "the request had Authorization: the app would have to say public or s-maxage, or a route public = true; only if the answer is the same for everyone"
            }
            Self::Status => {
                "answers with this status are not stored without the app's own word on how long they are fresh"
            }
            Self::VaryStar => "the app says Vary: *: it would have to name the fields that make a difference",
            Self::VaryUnkeyed => {
                "Vary names a field that is written anew for each connection: the app would have to leave it out"
            }
            Self::TooLarge => "the body is larger than cache.max_object_bytes",
            Self::Unframed => {
                "only the end of the connection ends the body: the app would have to send Content-Length or chunks (or cache.store_unframed)"
            }
            Self::Truncated => "the app broke off before the end",
            Self::NoRoom => "all the room for bodies on their way was taken: larger cache.max_bytes gives more",
            Self::LockTimeout => "another request's fetch took longer than cache.lock_timeout",
            Self::Purged => "it was purged while it was being fetched: the next one will be stored",
        }
    }
}

impl Bypass {
    /// What would have to change for the cache to take part in such a request.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Method => "only answers to GET and HEAD are cached",
            Self::Body => "a GET with a body means something else to each app: it would have to come without",
            Self::Upgrade => "the request asks for another protocol",
            Self::Disabled => "the route says cache = false",
            Self::Cookie => {
                "the request has a cookie, and what is stored is not said to be for everyone: the app would have to say public or s-maxage, or a route public = true, or cache.ignore_cookies name the cookie"
            }
            Self::Authorization => {
                "the request has Authorization, and what is stored is not said to be for everyone: the app would have to say public or s-maxage, or a route public = true"
            }
            Self::RequestNoStore => "the request says no-store, which is always obeyed",
            Self::Conditional => "If-Match and If-Unmodified-Since are for the app to judge",
            Self::Range => "a part of what is not stored: once the whole is, parts are answered from it",
            Self::OnlyIfCached => "the client wants nothing from the app, and nothing usable is stored",
            Self::Unkeyed => {
                "the request has a field that changes the answer at some apps and is not part of the key, such as X-Original-URL, or one with _ in its name, which some apps take for -"
            }
            Self::Observe => "mode = \"observe\" passes everything on: mode = \"on\" lets the cache take part",
            Self::Async => {
                "the client prefers to be answered later (Prefer: respond-async), on a route with async = true"
            }
            Self::HitForMiss => "the last answer was not cacheable, less than cache.uncacheable_ttl ago",
            Self::Head => "HEAD is answered from a stored GET, and none is stored",
        }
    }
}
