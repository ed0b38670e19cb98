//! The cache's words for what it did and why, and how often it did so.
//!
//! The same word stands in `Cache-Status: …; detail=`, in the JSON and in the metrics.

use crate::traffic::Counter;

/// Declares an enum whose variants have a fixed word each.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every variant, in the order of their counters.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word for it on the response, in JSON and in metrics.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

words! {
    /// How a request was answered, as far as the cache is concerned. One per request, so that shares add up.
    Outcome {
        /// From the store, fresh.
        Hit = "hit",
        /// From the store, after its time, as the rules for stale answers allow.
        Stale = "stale",
        /// From the store, after the origin confirmed it.
        Revalidated = "revalidated",
        /// From the origin.
        Miss = "miss",
        /// From the origin, since the cache must not take part.
        Bypass = "bypass",
        /// From another request's fetch.
        Collapsed = "collapsed",
    }
}

words! {
    /// Why the cache did not take part in a request.
    Bypass {
        /// Not GET or HEAD.
        Method = "method",
        /// The request has a body.
        Body = "body",
        /// The request asks for another protocol.
        Upgrade = "upgrade",
        /// The route says `cache = false`, or the store is switched off.
        Disabled = "disabled",
        /// The request has a cookie that counts and what is stored is not declared public.
        Cookie = "cookie",
        /// The request has Authorization and what is stored may not be shared with it.
        Authorization = "authorization",
        /// The request says `no-store`.
        RequestNoStore = "request-no-store",
        /// A precondition that only the origin can judge.
        Conditional = "conditional",
        /// A range of what is not stored.
        Range = "range",
        /// The client wants nothing from the origin, and nothing usable is stored.
        OnlyIfCached = "only-if-cached",
        /// A field that changes the answer at some origins and is not part of the key, or one that `Connection` names.
        Unkeyed = "unkeyed-field",
        /// The last answer was not cacheable, a moment ago.
        HitForMiss = "hit-for-miss",
        /// HEAD, and no GET is stored.
        Head = "head",
    }
}

words! {
    /// Why a stored response was used although it was stale.
    Stale {
        /// It is being refreshed meanwhile (RFC 5861 §3).
        WhileRevalidate = "stale-while-revalidate",
        /// The origin failed (RFC 5861 §4).
        IfError = "stale-if-error",
        /// The client accepts it (RFC 9111 §5.2.1.2).
        Accepted = "max-stale",
    }
}

words! {
    /// Why a response was not stored.
    Skip {
        /// `no-store` in the response.
        NoStore = "no-store",
        /// `private` in the response.
        Private = "private",
        /// `no-cache` in the response, and nothing that it could be validated by at each use.
        NoCache = "no-cache",
        /// Neither the response nor the route gives a freshness lifetime.
        NoFreshness = "no-freshness",
        /// It was stale on arrival, and has nothing that it could be validated by.
        Expired = "expired",
        /// Set-Cookie in the response.
        SetCookie = "set-cookie",
        /// The request had a cookie that counts and the response is not declared public.
        Cookie = "cookie",
        /// The request had Authorization and the response does not allow sharing it.
        Authorization = "authorization",
        /// A status that is never stored, or only with explicit freshness.
        Status = "status",
        /// `Vary: *`.
        VaryStar = "vary-star",
        /// Vary names a field that this proxy writes anew for each connection, such as `X-Forwarded-For`.
        VaryUnkeyed = "vary-unkeyed",
        /// The body is larger than `max_object_bytes`.
        TooLarge = "too-large",
        /// Only the end of the connection ends the body, so that a cut cannot be told from the end (`store_unframed`).
        Unframed = "unframed",
        /// The origin broke off before the end.
        Truncated = "truncated",
        /// All the room for bodies on their way is taken.
        NoRoom = "no-room",
        /// It waited too long for another request's fetch, and fetched for itself.
        LockTimeout = "lock-timeout",
        /// It was purged while it was being fetched.
        Purged = "purged",
    }
}

words! {
    /// Why a stored response left the store.
    Evicted {
        /// Room was needed.
        Capacity = "capacity",
        /// It was no longer of use.
        Expired = "expired",
        /// It was purged.
        Purged = "purged",
    }
}

/// What the cache did since the start.
#[derive(Debug, Default)]
pub struct Stats {
    outcomes: [Counter; Outcome::ALL.len()],
    bypasses: [Counter; Bypass::ALL.len()],
    stored: Counter,
    skips: [Counter; Skip::ALL.len()],
    evictions: [Counter; Evicted::ALL.len()],
}

impl Stats {
    /// Counts how a request was answered.
    pub fn answered(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].add();
    }

    /// Counts a request that the cache did not take part in.
    pub fn bypassed(&self, why: Bypass) {
        self.bypasses[why as usize].add();
    }

    /// Counts a stored response.
    pub fn stored(&self) {
        self.stored.add();
    }

    /// Counts a response that was not stored.
    pub fn skipped(&self, why: Skip) {
        self.skips[why as usize].add();
    }

    /// Counts a stored response that left the store.
    pub fn evicted(&self, why: Evicted) {
        self.evictions[why as usize].add();
    }

    /// The counters as plain data; what the store holds is filled in by its owner.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            outcomes: Outcome::ALL.iter().map(|word| (*word, self.outcomes[*word as usize].value())).collect(),
            bypasses: Bypass::ALL.iter().map(|word| (*word, self.bypasses[*word as usize].value())).collect(),
            stored: self.stored.value(),
            skips: Skip::ALL.iter().map(|word| (*word, self.skips[*word as usize].value())).collect(),
            evictions: Evicted::ALL.iter().map(|word| (*word, self.evictions[*word as usize].value())).collect(),
            ..Snapshot::default()
        }
    }
}

/// The cache's figures at one moment, as JSON, metrics and dashboard show them.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Requests by how they were answered.
    pub outcomes: Vec<(Outcome, u64)>,
    /// Requests that the cache took no part in, by reason; their sum is the outcome `bypass`.
    pub bypasses: Vec<(Bypass, u64)>,
    /// Responses stored.
    pub stored: u64,
    /// Responses not stored, by reason.
    pub skips: Vec<(Skip, u64)>,
    /// Responses that left the store, by reason.
    pub evictions: Vec<(Evicted, u64)>,
    /// Responses held now.
    pub entries: u64,
    /// Responses that may be held.
    pub max_entries: u64,
    /// Bytes held now, bookkeeping included.
    pub bytes: u64,
    /// Bytes that may be held.
    pub max_bytes: u64,
}

impl Snapshot {
    /// Requests with this outcome.
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes.iter().find(|(word, _)| *word == outcome).map_or(0, |(_, count)| *count)
    }

    /// Share of the requests the cache looked at that were answered without a fetch of their own, 0 to 100; `None` before the first.
    pub fn hit_rate_percent(&self) -> Option<f64> {
        let answered = self.outcome(Outcome::Hit)
            + self.outcome(Outcome::Stale)
            + self.outcome(Outcome::Revalidated)
            + self.outcome(Outcome::Collapsed);
        let all = answered + self.outcome(Outcome::Miss);
        (all > 0).then(|| answered as f64 * 100.0 / all as f64)
    }
}
