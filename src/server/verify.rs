//! Whether what is served from the store is still what the app answers.
//!
//! A few of the fresh answers, of those that are the same for everybody, are asked for again in the background, without what
//! says who asked, and compared: status, Content-Type and body. Nothing of it is stored, no client waits for it, and it
//! takes a turn at the app only where one is free.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use http::Method;
use pingora_http::RequestHeader;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    cache::{Entry, Key, Verified, freshness::Freshness, purge::Epoch},
    header::{Fields, ResponseHead, cookie, fields::is},
};

use super::{
    Engine,
    context::{Request, Rule},
    origin::{Exchange, Heard},
    slots::Slot,
    upstream::{Ask, upstream_request},
};

/// Comparisons at once.
const AT_ONCE: usize = 4;

/// Says which answers are compared.
#[derive(Debug)]
pub(super) struct Verifier {
    /// The number of hits at which it is the next one's turn.
    next: AtomicU64,
    free: Arc<Semaphore>,
}

impl Default for Verifier {
    fn default() -> Self {
        Self { next: AtomicU64::new(0), free: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// An answer to be compared, and where that is counted.
struct Verification {
    entry: Arc<Entry>,
    key: Key,
    epoch: Epoch,
    rule: Arc<Rule>,
    _permit: OwnedSemaphorePermit,
}

impl Verifier {
    /// Whether it is the turn of one in so many, after so many hits. The turn stays until it is taken.
    fn is_due(&self, hits: u64, sample: u64) -> bool {
        sample > 0 && hits >= self.next.load(Relaxed)
    }

    /// Takes the turn, unless somebody else has taken it. The next comes after a time that nobody can foresee, lest always
    /// the same URL be hit, and that is on average as long as it should be.
    fn take(&self, hits: u64, sample: u64) -> bool {
        let due = self.next.load(Relaxed);
        let next = hits + gap(sample, fastrand::u64(..sample));
        // The first turn is not the very first hit, but that of any process.
        match due {
            0 if sample > 1 => {
                let _ = self.next.compare_exchange(due, next, Relaxed, Relaxed);
                false
            }
            _ => hits >= due && self.next.compare_exchange(due, next, Relaxed, Relaxed).is_ok(),
        }
    }
}

/// Hits up to the next turn; `random` is less than `sample`.
fn gap(sample: u64, random: u64) -> u64 {
    sample / 2 + 1 + random
}

impl Engine {
    /// Has a fresh answer compared if it is its turn. Decides at once, and carries it out in a task of its own.
    pub(super) fn verify(self: &Arc<Self>, request: &Request, entry: &Arc<Entry>, now: Instant) {
        let (cache, verifier) = (&self.state.cache, &self.verifier);
        let (hits, sample) = (cache.simulation.hits(), cache.verify_sample());
        if !verifier.is_due(hits, sample)
            || !is_for_everybody(request, entry, &cache.settings().ignore_cookies)
            || !verifier.take(hits, sample)
        {
            return;
        }
        let (Ok(permit), Some(slot)) = (verifier.free.clone().try_acquire_owned(), self.origin.slots.free()) else {
            return;
        };
        let key = Key::of(&request.head, &request.peer);
        let personal = |name: &[u8]| is(name, "cookie") || is(name, "authorization");
        let mut head = request.head.as_get_without(personal);
        // As the app was asked for what is stored.
        head.host = bytes::Bytes::copy_from_slice(key.parts().host);
        let request = Request::new(head, request.peer, now, request.rule.clone());
        let Ok(asked) = upstream_request(&request, Ask::Whole, &self.sending) else { return };
        let epoch = cache.epoch(&key);
        let verification = Verification { entry: entry.clone(), key, epoch, rule: request.rule, _permit: permit };
        let engine = self.clone();
        tokio::spawn(async move { verification.run(&engine, &asked, slot).await });
    }
}

/// Whether what everybody is sent can be compared: a whole answer without a cookie, to a request of nobody in particular.
fn is_for_everybody(request: &Request, entry: &Entry, ignored: &[String]) -> bool {
    let head = &request.head;
    head.method == Method::GET
        && entry.head.status() == 200
        && !entry.head.has("set-cookie")
        && !head.has("authorization")
        && !cookie::counts(head, ignored)
}

impl Verification {
    async fn run(self, engine: &Engine, asked: &RequestHeader, slot: Slot) {
        engine.state.cache.stats.background.add();
        let compared = timeout(engine.settings.timeouts.read, self.fetch(engine, asked, slot)).await;
        let result = match compared.unwrap_or(Verified::Failed) {
            Verified::Same | Verified::Wrong if self.is_out_of_date(engine) => Verified::Unclear,
            result => result,
        };
        self.rule.counts.verified(result);
    }

    async fn fetch(&self, engine: &Engine, asked: &RequestHeader, slot: Slot) -> Verified {
        let mut heard = engine.origin.fetch(asked, slot).await;
        let mut exchange = loop {
            match heard {
                Ok(Heard::Final(exchange)) => break exchange,
                Ok(Heard::Interim(_, awaiting)) => heard = awaiting.next().await,
                Err(_) => return Verified::Failed,
            }
        };
        engine.state.traffic.upstream_answered();
        let result = match of_head(&self.entry.head, &exchange.head) {
            Some(result) => result,
            None => compare(&self.entry.body, &mut exchange).await,
        };
        match exchange.is_done() {
            true => engine.origin.release(exchange).await,
            false => exchange.abort().await,
        }
        result
    }

    /// Whether nobody would be sent it any more by now, so that it need not be what the app answers.
    fn is_out_of_date(&self, engine: &Engine) -> bool {
        let (cache, entry) = (&engine.state.cache, &self.entry);
        let is_fresh = entry.freshness(Instant::now()) == Freshness::Fresh;
        // A purge that came between the look into the store and this comparison is one that it was not held against.
        let is_purged = cache.epoch(&self.key) != self.epoch || entry.checked() < self.epoch.rules;
        !is_fresh || is_purged || !cache.peek(&self.key).is_some_and(|resource| resource.holds(entry))
    }
}

/// What can be said by the heads; `None` where the bodies have to be compared.
fn of_head(stored: &ResponseHead, answered: &ResponseHead) -> Option<Verified> {
    let same = |name| stored.get(name) == answered.get(name);
    match answered.status() {
        // Nothing is said of the resource: the app is in trouble, or has enough of us.
        408 | 429 | 500.. => Some(Verified::Failed),
        // A part or a confirmation, which nobody asked for.
        206 | 304 => Some(Verified::Unclear),
        200 if !same("content-encoding") => Some(Verified::Unclear),
        200 if same("content-type") => None,
        _ => Some(Verified::Wrong),
    }
}

/// Compares a body as it comes with the one that is stored, and reads no further than to the first difference.
async fn compare(stored: &[u8], exchange: &mut Exchange) -> Verified {
    let mut rest = stored;
    loop {
        match exchange.next().await {
            Ok(Some(part)) => match rest.strip_prefix(&*part) {
                Some(after) => rest = after,
                None => return Verified::Wrong,
            },
            Ok(None) if rest.is_empty() => return Verified::Same,
            // A cut looks the same.
            Ok(None) if !exchange.framed => return Verified::Unclear,
            Ok(None) => return Verified::Wrong,
            Err(_) => return Verified::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hit_is_compared_where_that_is_wanted() {
        let verifier = Verifier::default();
        assert!((1..100).all(|hits| verifier.is_due(hits, 1) && verifier.take(hits, 1)));
    }

    #[test]
    fn none_is_compared_where_that_is_wanted() {
        let verifier = Verifier::default();
        assert!((0..5000).all(|hits| !verifier.is_due(hits, 0)));
    }

    #[test]
    fn about_one_in_so_many_is_compared_and_none_of_the_first_few() {
        for sample in [2, 10, 1000] {
            let verifier = Verifier::default();
            let taken: Vec<u64> = (1..=sample * 2000)
                .filter(|hits| verifier.is_due(*hits, sample) && verifier.take(*hits, sample))
                .collect();
            let share = taken.len() as f64 / 2000.0;
            assert!((0.7..1.1).contains(&share), "{share} of one in {sample}");
            assert!(taken[0] > sample / 2, "{} of one in {sample}", taken[0]);
        }
    }

    #[test]
    fn a_turn_that_is_not_taken_stays() {
        let verifier = Verifier::default();
        assert!(!verifier.take(1, 10));
        assert!((20..40).all(|hits| verifier.is_due(hits, 10)));
        assert!(verifier.take(40, 10) && !verifier.is_due(41, 10));
    }

    #[test]
    fn heads_decide_where_they_can() {
        let head = |status, fields: &str| ResponseHead::for_tests(status, fields);
        let stored = head(200, "Content-Type: text/html\r\n");
        for (status, fields, expected) in [
            (200, "content-type: text/html\r\nSet-Cookie: a=b\r\n", None),
            (200, "Content-Type: text/plain\r\n", Some(Verified::Wrong)),
            (200, "", Some(Verified::Wrong)),
            (200, "Content-Type: text/html\r\nContent-Encoding: gzip\r\n", Some(Verified::Unclear)),
            (404, "Content-Type: text/html\r\n", Some(Verified::Wrong)),
            (301, "Location: /\r\n", Some(Verified::Wrong)),
            (204, "", Some(Verified::Wrong)),
            (304, "", Some(Verified::Unclear)),
            (206, "Content-Type: text/html\r\n", Some(Verified::Unclear)),
            (429, "", Some(Verified::Failed)),
            (500, "Content-Type: text/html\r\n", Some(Verified::Failed)),
            (503, "", Some(Verified::Failed)),
        ] {
            assert_eq!(of_head(&stored, &head(status, fields)), expected, "{status} {fields}");
        }
    }
}
