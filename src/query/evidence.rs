//! What repetitions in single requests add up to: a candidate at first, more when it comes again.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use super::{
    detect::{Pattern, Repeated},
    event::Endpoint,
    fingerprint::Fingerprint,
    history::{History, Merge, Minute},
    settings::NPlusOne,
    trace::TraceId,
};

/// Patterns that are told apart; the rest is dropped, and counted.
pub(super) const MOST: usize = 1000;
/// The time in minutes in which it must have come again.
const HOUR: u64 = 60;
/// The part of an endpoint's requests in which it must be seen.
const SHARE: f64 = 0.1;
/// Executions from which on it is certain without seeing the values, if their number differs between requests.
const MANY: u32 = 10;

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Seen in few requests.
    Candidate,
    /// Seen again and again, but without the values, so that it may be something else that is repeated.
    Likely,
    /// Seen again and again, and it is what it seems to be.
    Confirmed,
}

impl Confidence {
    /// Its name in figures.
    pub fn name(self) -> &'static str {
        ["candidate", "likely", "confirmed"][self as usize]
    }
}

/// Requests in which a pattern was seen in some time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) requests: u64,
    pub(super) executions: u64,
    pub(super) took: Duration,
    /// Added up, to be divided by the requests.
    pub(super) share: f64,
}

impl Merge for Seen {
    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.executions += other.executions;
        self.took = self.took.saturating_add(other.took);
        self.share += other.share;
    }
}

/// What is known of a pattern.
#[derive(Debug)]
pub(super) struct Proof {
    pub(super) history: History<Seen>,
    /// Of the last request in which it was seen.
    pub(super) last: Repeated,
    pub(super) min: u32,
    pub(super) max: u32,
    /// The most different values in one request, where they were seen.
    pub(super) distinct: Option<u32>,
    pub(super) is_concurrent: bool,
    pub(super) example: Option<TraceId>,
    pub(super) first_seen: Instant,
    pub(super) last_seen: Instant,
}

pub(super) type Key = (Pattern, Fingerprint, Option<Endpoint>);

/// All patterns.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub(super) proofs: HashMap<Key, Proof>,
    pub(super) dropped: u64,
}

impl Evidence {
    pub(super) fn add(
        &mut self,
        repeated: Repeated,
        endpoint: Option<&Endpoint>,
        trace: Option<TraceId>,
        (now, minute): (Instant, Minute),
    ) {
        let key = (repeated.pattern, repeated.id, endpoint.cloned());
        if self.proofs.len() >= MOST && !self.proofs.contains_key(&key) {
            self.dropped += 1;
            return;
        }
        let proof = self.proofs.entry(key).or_insert_with(|| Proof {
            history: History::default(),
            last: repeated.clone(),
            min: repeated.count,
            max: repeated.count,
            distinct: None,
            is_concurrent: false,
            example: trace,
            first_seen: now,
            last_seen: now,
        });
        let seen = proof.history.now(minute);
        seen.requests += 1;
        seen.executions += u64::from(repeated.count);
        seen.took = seen.took.saturating_add(repeated.took);
        seen.share += repeated.share;
        proof.min = proof.min.min(repeated.count);
        // The worst is the best example.
        if repeated.count > proof.max {
            (proof.max, proof.example) = (repeated.count, trace.or(proof.example));
        }
        proof.distinct = proof.distinct.max(repeated.distinct);
        proof.is_concurrent |= repeated.is_concurrent;
        proof.last_seen = now;
        proof.last = repeated;
    }

    pub(super) fn turn(&mut self, minute: Minute) {
        self.proofs.retain(|_, proof| {
            proof.history.turn(minute);
            !proof.history.is_empty()
        });
    }
}

impl Proof {
    /// How sure it is, if its endpoint had so many requests in the last hour; `None` where it is nobody's endpoint.
    pub(super) fn confidence(&self, requests: Option<u64>, rules: &NPlusOne, minute: Minute) -> Confidence {
        let seen = self.history.last(HOUR, minute).requests;
        let comes_again =
            requests.is_some_and(|requests| seen >= rules.confirm_requests && seen as f64 >= requests as f64 * SHARE);
        if !comes_again {
            return Confidence::Candidate;
        }
        let is_certain = match self.last.pattern {
            // A number of executions that follows the data can only come from a loop over them.
            Pattern::NPlusOne => {
                self.distinct.is_some_and(|distinct| distinct >= rules.min_distinct)
                    || self.max >= MANY && self.max > self.min && self.last.before.is_some()
            }
            // All that these rules look at is seen.
            Pattern::Redundant | Pattern::WriteLoop => true,
        };
        if is_certain { Confidence::Confirmed } else { Confidence::Likely }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeated(pattern: Pattern, count: u32, distinct: Option<u32>, before: Option<Fingerprint>) -> Repeated {
        let took = Duration::from_millis(30);
        let (id, turns, share, is_concurrent) = (Fingerprint(7), Vec::new(), 0.5, false);
        Repeated { pattern, id, turns, count, distinct, took, share, is_concurrent, before }
    }

    /// Of so many requests, those in which it was seen.
    fn confidence(all: &[Repeated], requests: Option<u64>) -> Confidence {
        let (mut evidence, now) = (Evidence::default(), Instant::now());
        all.iter().for_each(|repeated| evidence.add(repeated.clone(), None, None, (now, 0)));
        let proof = evidence.proofs.values().next().unwrap();
        proof.confidence(requests, &NPlusOne::default(), 0)
    }

    #[test]
    fn what_comes_again_is_more_than_a_candidate() {
        use Confidence::{Candidate, Confirmed};
        let seen = |times: usize, requests| {
            confidence(&vec![repeated(Pattern::NPlusOne, 12, Some(12), None); times], requests)
        };
        for (times, requests, expected) in [
            (3, Some(3), Confirmed),
            (2, Some(2), Candidate),
            (3, Some(30), Confirmed),
            (3, Some(31), Candidate),
            (10, Some(100), Confirmed),
            (9, Some(100), Candidate),
            (50, None, Candidate),
        ] {
            assert_eq!(seen(times, requests), expected, "{times} of {requests:?}");
        }
    }

    #[test]
    fn what_is_not_seen_is_likely_at_most() {
        use Confidence::{Confirmed, Likely};
        let before = Some(Fingerprint(8));
        let seen = |pattern, counts: [u32; 3], distinct, before| {
            confidence(&counts.map(|count| repeated(pattern, count, distinct, before)), Some(3))
        };
        for (counts, distinct, before, expected) in [
            ([12, 12, 12], Some(3), None, Confirmed),
            ([12, 12, 12], Some(2), before, Likely),
            ([12, 12, 12], None, before, Likely),
            ([12, 13, 12], None, before, Confirmed),
            ([12, 13, 12], None, None, Likely),
            ([5, 9, 7], None, before, Likely),
        ] {
            assert_eq!(seen(Pattern::NPlusOne, counts, distinct, before), expected, "{counts:?} {distinct:?}");
        }
        assert_eq!(seen(Pattern::Redundant, [6; 3], Some(1), None), Confirmed);
        assert_eq!(seen(Pattern::WriteLoop, [12; 3], None, None), Confirmed);
    }

    #[test]
    fn evidence_is_forgotten_and_bounded() {
        let (mut evidence, now) = (Evidence::default(), Instant::now());
        for n in 0..MOST as u64 + 5 {
            let one = Repeated { id: Fingerprint(n), ..repeated(Pattern::NPlusOne, 12, None, None) };
            evidence.add(one, None, None, (now, 0));
        }
        assert_eq!((evidence.proofs.len(), evidence.dropped), (MOST, 5));
        let proof = evidence.proofs.values().next().unwrap();
        assert_eq!(proof.confidence(Some(1), &NPlusOne::default(), 61), Confidence::Candidate);
        evidence.turn(1600);
        assert!(evidence.proofs.is_empty());
    }
}
