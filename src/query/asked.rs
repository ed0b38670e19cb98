//! Requests that the app answered lately, by their trace, for spans that come seconds later.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use super::{
    event::Endpoint,
    trace::{SpanId, TraceId},
};

/// Requests that are remembered at once. Exporters send what they have every few seconds.
pub(super) const MOST: usize = 32_768;
/// Requests of one trace that are remembered.
const MOST_OF_TRACE: usize = 64;
/// So long they are remembered.
const KEPT: Duration = Duration::from_secs(120);

/// A request that the app answered.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) span: Option<SpanId>,
    pub(super) endpoint: Endpoint,
    pub(super) took: Duration,
}

/// All that are remembered.
#[derive(Debug, Default)]
pub(super) struct Lately {
    by_trace: HashMap<TraceId, Vec<Asked>, RandomState>,
    /// Oldest first.
    order: VecDeque<(Instant, TraceId)>,
    /// Those that were forgotten since there were too many.
    pub(super) forgotten: u64,
}

impl Lately {
    pub(super) fn add(&mut self, trace: TraceId, asked: Asked, now: Instant) {
        if self.order.len() >= MOST {
            self.forget_oldest();
            self.forgotten += 1;
        }
        let of_trace = self.by_trace.entry(trace).or_default();
        if of_trace.len() >= MOST_OF_TRACE {
            self.forgotten += 1;
            return;
        }
        of_trace.push(asked);
        self.order.push_back((now, trace));
    }

    /// Those of a trace, in the order in which they ended.
    pub(super) fn of(&self, trace: TraceId) -> &[Asked] {
        self.by_trace.get(&trace).map_or(&[], Vec::as_slice)
    }

    pub(super) fn turn(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(ended, _)| now.saturating_duration_since(*ended) > KEPT) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, trace)) = self.order.pop_front() else { return };
        if let Some(of_trace) = self.by_trace.get_mut(&trace) {
            of_trace.remove(0);
            if of_trace.is_empty() {
                self.by_trace.remove(&trace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str) -> Asked {
        Asked { span: None, endpoint: Endpoint { method: "GET", name: name.into() }, took: Duration::ZERO }
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let (mut lately, start) = (Lately::default(), Instant::now());
        let trace = |n: usize| TraceId::new(n as u128 + 1).unwrap();
        for n in 0..MOST + 10 {
            lately.add(trace(n), asked("/"), start);
        }
        assert_eq!((lately.forgotten, lately.by_trace.len(), lately.order.len()), (10, MOST, MOST));
        assert!(lately.of(trace(9)).is_empty() && lately.of(trace(10)).len() == 1);
        lately.turn(start + KEPT);
        assert_eq!(lately.order.len(), MOST);
        lately.turn(start + KEPT + Duration::from_secs(1));
        assert!(lately.order.is_empty() && lately.by_trace.is_empty());
    }

    #[test]
    fn a_trace_has_so_many_at_most() {
        let (mut lately, start) = (Lately::default(), Instant::now());
        let trace = TraceId::new(1).unwrap();
        (0..100).for_each(|_| lately.add(trace, asked("/"), start));
        assert_eq!((lately.of(trace).len(), lately.forgotten), (MOST_OF_TRACE, 100 - MOST_OF_TRACE as u64));
        lately.turn(start + KEPT * 2);
        assert!(lately.of(trace).is_empty());
    }
}
