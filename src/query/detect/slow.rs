//! Queries that take long, and not just once.

use std::time::Duration;

/// Slow executions before anything is said: one after a deployment is none of anybody's business.
const FEW: u64 = 3;
/// Calls from which on the 95th percentile says something.
const CALLS: u64 = 20;

/// How slow a query is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slowness {
    /// It takes long again and again.
    Slow,
    /// It took very long.
    Critical,
}

/// What is to be said of a query with so many calls, of which so many were slow, and critical; `slow` is the threshold.
pub fn slowness(
    calls: u64,
    slow_calls: u64,
    critical_calls: u64,
    p95: Option<Duration>,
    slow: Duration,
) -> Option<Slowness> {
    if critical_calls > 0 {
        return Some(Slowness::Critical);
    }
    let is_slow = slow_calls >= FEW || calls >= CALLS && p95.is_some_and(|p95| p95 >= slow);
    is_slow.then_some(Slowness::Slow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds() {
        let (slow, below) = (Duration::from_millis(500), Duration::from_millis(499));
        for (calls, slow_calls, critical_calls, p95, expected) in [
            (1, 1, 1, slow, Some(Slowness::Critical)),
            (3, 3, 0, slow, Some(Slowness::Slow)),
            (2, 2, 0, slow, None),
            (20, 2, 0, slow, Some(Slowness::Slow)),
            (19, 2, 0, slow, None),
            (20, 0, 0, below, None),
            (0, 0, 0, below, None),
        ] {
            assert_eq!(slowness(calls, slow_calls, critical_calls, Some(p95), slow), expected, "{calls} {slow_calls}");
        }
        assert_eq!(slowness(100, 0, 0, None, slow), None);
    }
}
