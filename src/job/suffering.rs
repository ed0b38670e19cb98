//! Whether the app suffers from what is asked of it: a warm-up that makes a site slow is worse than a cold cache.
//!
//! The rule, over what the app itself was asked for; what the cache answers says nothing about it:
//!
//! - more than 20 % of the last 20 answers failed: no answer, a cut one, or a status of 500 or above; or
//! - from the 40th answer on, the median time of the last 20 is more than three times that of the first 20, and more than
//!   50 ms: below it, a few moments of the machine make such a difference.

use std::{collections::VecDeque, fmt, time::Duration};

/// Answers that are looked at together.
const WINDOW: usize = 20;
/// Of them, so many may fail.
const MAY_FAIL: usize = WINDOW / 5;
/// By so much longer they take when the app suffers.
const SLOWER: u32 = 3;
/// An app that answers within this does not.
const QUICK: Duration = Duration::from_millis(50);

/// The first and the last answers of the app.
#[derive(Debug, Default)]
pub(super) struct Watch {
    first: Vec<Duration>,
    last: VecDeque<Option<Duration>>,
    seen: u64,
}

/// How the app suffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Suffers {
    /// So many of the last 20 answers failed.
    Fails(usize),
    /// The medians of the first and of the last 20.
    Slower(Duration, Duration),
}

impl Watch {
    /// Takes an answer of the app: how long it took, or that it failed.
    pub(super) fn take(&mut self, answer: Option<Duration>) -> Option<Suffers> {
        self.seen += 1;
        self.last.push_back(answer);
        if self.last.len() > WINDOW {
            self.last.pop_front();
        }
        self.first.extend(answer.filter(|_| self.first.len() < WINDOW));
        let failed = self.last.iter().filter(|answer| answer.is_none()).count();
        if self.last.len() == WINDOW && failed > MAY_FAIL {
            return Some(Suffers::Fails(failed));
        }
        if self.seen < 2 * WINDOW as u64 {
            return None;
        }
        let (then, now) = (median(self.first.clone())?, median(self.last.iter().copied().flatten().collect())?);
        (now > SLOWER * then && now > QUICK).then_some(Suffers::Slower(then, now))
    }
}

fn median(mut times: Vec<Duration>) -> Option<Duration> {
    let middle = times.len() / 2;
    (!times.is_empty()).then(|| *times.select_nth_unstable(middle).1)
}

/// As a sentence.
impl fmt::Display for Suffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fails(count) => write!(f, "{count} of the app's last {WINDOW} answers failed (more than 20 %)"),
            Self::Slower(then, now) => write!(
                f,
                "the median of the app's last {WINDOW} answers is {} ms, of its first {WINDOW} {} ms (more than {SLOWER} times)",
                now.as_millis(),
                then.as_millis()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After which answer it stops, and why. Times are in ms; 0 is a failure.
    fn stops(answers: impl IntoIterator<Item = u64>) -> Option<(usize, Suffers)> {
        let mut watch = Watch::default();
        let answer = |millis| (millis > 0).then(|| Duration::from_millis(millis));
        let mut answers = answers.into_iter().enumerate();
        answers.find_map(|(at, millis)| watch.take(answer(millis)).map(|why| (at + 1, why)))
    }

    fn repeat(count: usize, millis: u64) -> Vec<u64> {
        vec![millis; count]
    }

    #[test]
    fn failures() {
        for (answers, expected) in [
            (repeat(100, 10), None),
            (repeat(19, 0), None),
            (repeat(20, 0), Some((20, 20))),
            // Four of twenty are 20 %, five are more.
            ([repeat(4, 0), repeat(50, 10)].concat(), None),
            ([repeat(5, 0), repeat(15, 10)].concat(), Some((20, 5))),
            ([repeat(50, 10), repeat(4, 0), repeat(50, 10)].concat(), None),
            ([repeat(50, 10), repeat(5, 0)].concat(), Some((55, 5))),
            ([[10, 10, 10, 10, 0]; 40].concat(), None),
            ([[10, 10, 10, 0]; 40].concat(), Some((20, 5))),
        ] {
            let expected = expected.map(|(at, failed)| (at, Suffers::Fails(failed)));
            assert_eq!(stops(answers.clone()), expected, "{answers:?}");
        }
    }

    #[test]
    fn times() {
        let slower = |then, now| Suffers::Slower(Duration::from_millis(then), Duration::from_millis(now));
        for (answers, expected) in [
            ([repeat(20, 100), repeat(60, 300)].concat(), None),
            // Ten of twenty slow ones move the median, but not before there are forty answers.
            ([repeat(20, 100), repeat(60, 301)].concat(), Some((40, slower(100, 301)))),
            ([repeat(40, 100), repeat(60, 301)].concat(), Some((50, slower(100, 301)))),
            // Times are compared of what did not fail.
            ([repeat(20, 100), repeat(20, 301)].concat(), Some((40, slower(100, 301)))),
            ([repeat(20, 1), repeat(60, 50)].concat(), None),
            ([repeat(20, 1), repeat(60, 51)].concat(), Some((40, slower(1, 51)))),
            ([repeat(20, 300), repeat(60, 100)].concat(), None),
        ] {
            assert_eq!(stops(answers.clone()), expected, "{answers:?}");
        }
    }

    #[test]
    fn sentences() {
        assert_eq!(Suffers::Fails(5).to_string(), "5 of the app's last 20 answers failed (more than 20 %)");
        let slower = Suffers::Slower(Duration::from_millis(10), Duration::from_millis(60));
        assert!(slower.to_string().contains("last 20 answers is 60 ms, of its first 20 10 ms"), "{slower}");
    }
}
