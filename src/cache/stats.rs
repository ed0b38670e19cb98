//! The cache's words for what it did and why, and how often it did so.
//!
//! The same word stands in `Cache-Status: …; detail=`, in the JSON and in the metrics.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::traffic::Counter;

use super::purge::{Kind, Mode};

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

pub(super) use words;

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
        /// A field that changes the answer at some origins and is not part of the key, one with `_` in its name, which some
        /// take for `-`, or one that `Connection` names.
        Unkeyed = "unkeyed-field",
        /// Pacecar only looks: `mode = "observe"`.
        Observe = "observe",
        /// The client wants to be answered later, or it is such an answer.
        Async = "async",
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

words! {
    /// What came of comparing a fresh answer from the store with what the origin answers meanwhile.
    Verified {
        /// The same.
        Same = "same",
        /// Another one: what the client was sent was out of date.
        Wrong = "wrong",
        /// The origin gave no complete answer, or an error of its own.
        Failed = "failed",
        /// Not to be told: it was invalidated or expired meanwhile, or came in another coding.
        Unclear = "unclear",
    }
}

/// What the cache did with the requests of one route.
#[derive(Debug, Default)]
pub struct Counts {
    outcomes: [Counter; Outcome::ALL.len()],
    bypasses: [Counter; Bypass::ALL.len()],
    stored: Counter,
    skips: [Counter; Skip::ALL.len()],
    verified: [Counter; Verified::ALL.len()],
}

impl Counts {
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

    /// Counts an answer that was compared.
    pub fn verified(&self, result: Verified) {
        self.verified[result as usize].add();
    }

    /// The counters as plain data.
    pub fn figures(&self) -> Figures {
        Figures {
            outcomes: Outcome::ALL.iter().map(|word| (*word, self.outcomes[*word as usize].value())).collect(),
            bypasses: Bypass::ALL.iter().map(|word| (*word, self.bypasses[*word as usize].value())).collect(),
            stored: self.stored.value(),
            skips: Skip::ALL.iter().map(|word| (*word, self.skips[*word as usize].value())).collect(),
            verified: Verified::ALL.iter().map(|word| (*word, self.verified[*word as usize].value())).collect(),
        }
    }
}

/// Routes that are remembered over all reloads. Those beyond are counted with the requests that have none.
const MAX_ROUTES: usize = 2000;

/// What the cache did since the start, by route.
#[derive(Debug, Default)]
pub struct Stats {
    /// Requests that no route matches.
    unrouted: Arc<Counts>,
    /// By the route's name, in the order in which the names came up. A route that the configuration no longer has keeps
    /// its figures: they are part of the whole.
    routes: Mutex<Vec<(Box<str>, Arc<Counts>)>>,
    /// Requests that the origin was asked in the background, since no client waited for them.
    pub background: Counter,
    evictions: [Counter; Evicted::ALL.len()],
    purges: [[Counter; Kind::ALL.len()]; Mode::ALL.len()],
}

impl Stats {
    /// Where a route's requests are counted; `None` stands for those that no route matches.
    pub fn of_route(&self, name: Option<&str>) -> Arc<Counts> {
        let Some(name) = name else { return self.unrouted.clone() };
        let mut routes = self.routes.lock();
        if let Some((_, counts)) = routes.iter().find(|(known, _)| **known == *name) {
            return counts.clone();
        }
        if routes.len() >= MAX_ROUTES {
            return self.unrouted.clone();
        }
        let counts = Arc::<Counts>::default();
        routes.push((name.into(), counts.clone()));
        counts
    }

    /// Counts a stored response that left the store.
    pub fn evicted(&self, why: Evicted) {
        self.evictions[why as usize].add();
    }

    /// Counts a purge.
    pub fn purged(&self, kind: Kind, mode: Mode) {
        self.purges[mode as usize][kind as usize].add();
    }

    /// The counters as plain data; what the store holds is filled in by its owner.
    pub fn snapshot(&self) -> Snapshot {
        let routes: Vec<(Box<str>, Figures)> =
            self.routes.lock().iter().map(|(name, counts)| (name.clone(), counts.figures())).collect();
        let unrouted = self.unrouted.figures();
        let mut total = unrouted.clone();
        routes.iter().for_each(|(_, figures)| total.add(figures));
        let evictions = Evicted::ALL.iter().map(|word| (*word, self.evictions[*word as usize].value())).collect();
        let purges = self.purges.iter().map(|kinds| kinds.iter().map(Counter::value).collect()).collect();
        let background = self.background.value();
        Snapshot { total, routes, unrouted, background, evictions, purges, ..Snapshot::default() }
    }
}

/// What the cache did with some requests.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Requests by how they were answered.
    pub outcomes: Vec<(Outcome, u64)>,
    /// Requests that the cache took no part in, by reason; their sum is the outcome `bypass`.
    pub bypasses: Vec<(Bypass, u64)>,
    /// Responses stored.
    pub stored: u64,
    /// Responses not stored, by reason.
    pub skips: Vec<(Skip, u64)>,
    /// Answers that were compared with what the origin answers meanwhile, by what came of it.
    pub verified: Vec<(Verified, u64)>,
}

impl Figures {
    /// What was counted since it was `before`.
    fn since(&mut self, before: &Self) {
        fn each<T>(now: &mut [(T, u64)], before: &[(T, u64)]) {
            now.iter_mut().zip(before).for_each(|((_, now), (_, before))| *now = now.saturating_sub(*before));
        }
        each(&mut self.outcomes, &before.outcomes);
        each(&mut self.bypasses, &before.bypasses);
        each(&mut self.skips, &before.skips);
        each(&mut self.verified, &before.verified);
        self.stored = self.stored.saturating_sub(before.stored);
    }

    fn add(&mut self, other: &Self) {
        fn each<T>(sum: &mut [(T, u64)], other: &[(T, u64)]) {
            sum.iter_mut().zip(other).for_each(|((_, sum), (_, more))| *sum += more);
        }
        each(&mut self.outcomes, &other.outcomes);
        each(&mut self.bypasses, &other.bypasses);
        each(&mut self.skips, &other.skips);
        each(&mut self.verified, &other.verified);
        self.stored += other.stored;
    }

    /// Requests with this outcome.
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes.iter().find(|(word, _)| *word == outcome).map_or(0, |(_, count)| *count)
    }

    /// Answers with this result of a comparison.
    pub fn verified(&self, result: Verified) -> u64 {
        self.verified.iter().find(|(word, _)| *word == result).map_or(0, |(_, count)| *count)
    }

    /// Share of the answers that were compared, and could be, that were wrong, 0 to 100; `None` before the first.
    pub fn wrong_percent(&self) -> Option<f64> {
        let wrong = self.verified(Verified::Wrong);
        let all = wrong + self.verified(Verified::Same);
        (all > 0).then(|| wrong as f64 * 100.0 / all as f64)
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

/// The cache's figures at one moment, as JSON, metrics and dashboard show them.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// What was done with all requests.
    pub total: Figures,
    /// What was done with those of each route, by its name.
    pub routes: Vec<(Box<str>, Figures)>,
    /// What was done with those that no route matches.
    pub unrouted: Figures,
    /// Requests that the origin was asked in the background.
    pub background: u64,
    /// Responses that left the store, by reason.
    pub evictions: Vec<(Evicted, u64)>,
    /// Purges by mode and kind, in the order of the words.
    purges: Vec<Vec<u64>>,
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
    /// What was counted since it was `before`, but for purges; and what is held now.
    pub fn since(mut self, before: &Self) -> Self {
        self.total.since(&before.total);
        self.unrouted.since(&before.unrouted);
        self.background = self.background.saturating_sub(before.background);
        // Routes are never given up, and in the order in which they came up.
        self.routes.iter_mut().zip(&before.routes).for_each(|((_, now), (_, before))| now.since(before));
        let evictions = self.evictions.iter_mut().zip(&before.evictions);
        evictions.for_each(|((_, now), (_, before))| *now = now.saturating_sub(*before));
        self
    }

    /// Purges of one mode, by kind.
    pub fn purged(&self, mode: Mode) -> Vec<(Kind, u64)> {
        Kind::ALL.iter().copied().zip(self.purges[mode as usize].iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_is_the_sum_of_the_routes_and_of_what_no_route_matches() {
        let stats = Stats::default();
        let (products, unrouted) = (stats.of_route(Some("products")), stats.of_route(None));
        products.answered(Outcome::Hit);
        products.answered(Outcome::Hit);
        products.skipped(Skip::Private);
        unrouted.answered(Outcome::Hit);
        unrouted.stored();
        unrouted.bypassed(Bypass::Cookie);
        unrouted.verified(Verified::Same);
        products.verified(Verified::Wrong);
        products.verified(Verified::Failed);
        stats.of_route(Some("products")).answered(Outcome::Miss);
        let snapshot = stats.snapshot();
        assert_eq!((snapshot.total.outcome(Outcome::Hit), snapshot.total.outcome(Outcome::Miss)), (3, 1));
        assert_eq!((snapshot.total.stored, snapshot.routes.len()), (1, 1));
        let (name, figures) = &snapshot.routes[0];
        assert_eq!((&**name, figures.outcome(Outcome::Hit), figures.stored), ("products", 2, 0));
        assert_eq!(figures.hit_rate_percent().map(f64::round), Some(67.0));
        assert_eq!((snapshot.total.wrong_percent(), figures.wrong_percent()), (Some(50.0), Some(100.0)));
        assert_eq!((snapshot.unrouted.wrong_percent(), snapshot.unrouted.stored), (Some(0.0), 1));
        assert!(snapshot.total.skips.contains(&(Skip::Private, 1)));
        assert!(snapshot.total.bypasses.contains(&(Bypass::Cookie, 1)));
    }

    #[test]
    fn routes_are_bounded_over_all_reloads() {
        let stats = Stats::default();
        (0..3000).for_each(|nth| stats.of_route(Some(&nth.to_string())).answered(Outcome::Miss));
        assert_eq!(stats.snapshot().routes.len(), MAX_ROUTES);
        assert_eq!(stats.snapshot().total.outcome(Outcome::Miss), 3000);
    }
}
