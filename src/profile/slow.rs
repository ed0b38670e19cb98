//! Single requests that took long: what a percentile cannot show.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    sample::{Asked, Ending, Path, Sample, SpanId, TraceId},
    window::{Minute, Span},
};

/// Of each hour, the slowest so many.
const EACH_HOUR: usize = 20;
/// Hours with what is kept of them.
const HOURS: u64 = 25;
/// Of those that are slow by the settings, the last so many.
const RECENT: usize = 100;
/// The most that are shown at once.
pub const SLOWEST_SHOWN: usize = 100;

/// One request that took long. It has a path only where the settings say so, since a path may name a person.
#[derive(Clone, Debug, PartialEq)]
pub struct SlowRequest {
    /// The endpoint's name, such as `/users/{id}`.
    pub endpoint: Arc<str>,
    /// The method, or `_OTHER`.
    pub method: &'static str,
    /// The status that the client was sent.
    pub status: u16,
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: u64,
    /// Where its time went.
    pub breakdown: Breakdown,
    /// How the cache took part, in its own words.
    pub cache: &'static str,
    /// Body bytes sent.
    pub bytes: u64,
    /// The trace it belongs to.
    pub trace_id: Option<TraceId>,
    /// The span that it was sent to the app with.
    pub span: Option<SpanId>,
    /// Database queries that it took, where they are known.
    pub queries: Option<u32>,
    /// The path itself; of a long one the beginning, and `/…`.
    pub path: Option<Box<str>>,
}

/// Where the time of a request went. Its parts add up to its duration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breakdown {
    /// First byte of the request in to last byte of the answer out.
    pub duration: Duration,
    /// Waiting for a turn at the origin.
    pub queue: Duration,
    /// Until there was a connection to the origin.
    pub connect: Duration,
    /// From sending the request to the origin until its response head.
    pub first_byte: Duration,
    /// Coding the body.
    pub compression: Duration,
    /// All the rest: receiving the request, waiting for what another one fetched, and passing the body on, at the pace of
    /// the origin or of the client, whichever is slower.
    pub body: Duration,
    /// Requests that the origin had when this one came to it; 0 where it was not asked.
    pub in_flight: u32,
}

impl Breakdown {
    fn of(sample: &Sample) -> Self {
        let Asked { queue, connect, first_byte, in_flight } = sample.upstream.unwrap_or_default();
        let mut rest = sample.duration;
        // Clocks are read at different moments: no part may be more than what is left.
        let mut part = |part: Duration| {
            let part = part.min(rest);
            rest -= part;
            part
        };
        let (queue, connect, first_byte) = (part(queue), part(connect), part(first_byte));
        let compression = part(sample.compression);
        Self { duration: sample.duration, queue, connect, first_byte, compression, body: rest, in_flight }
    }
}

/// The slowest complete requests of each hour, whether or not they are slow by the settings: a fast app has slowest
/// requests too; and the last ones that are slow.
#[derive(Clone, Debug, Default)]
pub(super) struct SlowLog {
    /// The hour, and its slowest, slowest first.
    hours: VecDeque<(u64, Vec<SlowRequest>)>,
    recent: VecDeque<SlowRequest>,
}

impl SlowLog {
    /// How long a request must have taken to be kept, as things are in this minute.
    pub(super) fn keeps_from(&self, minute: Minute, slow: Duration) -> Duration {
        let hour = self.hours.back().filter(|(hour, slowest)| *hour == minute / 60 && slowest.len() == EACH_HOUR);
        let least = hour.and_then(|(_, slowest)| slowest.last()).map_or(Duration::ZERO, |last| last.breakdown.duration);
        least.min(slow)
    }

    /// Keeps the request if it is slow, or among the slowest of its hour. Of equally slow ones the first is kept.
    pub(super) fn offer(
        &mut self,
        sample: &Sample,
        endpoint: &Arc<str>,
        ended_ms: u64,
        minute: Minute,
        slow: Duration,
        keep_path: bool,
    ) {
        if sample.ending != Ending::Complete || sample.duration < self.keeps_from(minute, slow) {
            return;
        }
        let request = SlowRequest {
            endpoint: endpoint.clone(),
            method: sample.method,
            status: sample.status,
            ended_ms,
            breakdown: Breakdown::of(sample),
            cache: sample.result,
            bytes: sample.bytes,
            trace_id: sample.trace_id,
            span: sample.span,
            queries: sample.queries,
            path: keep_path.then(|| shown(&sample.path)),
        };
        if sample.duration >= slow {
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(request.clone());
        }
        let hour = minute / 60;
        if self.hours.back().is_none_or(|(last, _)| *last < hour) {
            self.hours.push_back((hour, Vec::new()));
        }
        while self.hours.front().is_some_and(|(first, _)| *first + HOURS <= hour) {
            self.hours.pop_front();
        }
        let Some((_, slowest)) = self.hours.back_mut() else { return };
        let at = slowest.partition_point(|kept| kept.breakdown.duration >= sample.duration);
        if at < EACH_HOUR {
            slowest.insert(at, request);
            slowest.truncate(EACH_HOUR);
        }
    }

    /// What is kept of those that ended in this span, slowest first.
    pub(super) fn within(&self, span: Span) -> Vec<SlowRequest> {
        let ended = |request: &&SlowRequest| {
            let minute = request.ended_ms / 60_000;
            minute >= span.from && span.to.is_none_or(|to| minute < to)
        };
        let hourly = self.hours.iter().flat_map(|(_, slowest)| slowest);
        let mut found: Vec<SlowRequest> = hourly.filter(ended).cloned().collect();
        // Most of the recent ones are among the slowest of their hour.
        for request in self.recent.iter().filter(ended) {
            if !found.contains(request) {
                found.push(request.clone());
            }
        }
        found.sort_by_key(|request| std::cmp::Reverse((request.breakdown.duration, request.ended_ms)));
        found.truncate(SLOWEST_SHOWN);
        found
    }

    /// Takes how many queries requests made, by their spans: it is known some time after they ended, and better than by
    /// what their answers say.
    pub(super) fn tell_queries(&mut self, queries: &HashMap<SpanId, u32>) {
        let all = self.hours.iter_mut().flat_map(|(_, slowest)| slowest).chain(&mut self.recent);
        for request in all {
            request.queries = request.span.and_then(|span| queries.get(&span).copied()).or(request.queries);
        }
    }

    /// Gives an endpoint's requests its new name.
    pub(super) fn rename(&mut self, from: &str, to: &Arc<str>) {
        let all = self.hours.iter_mut().flat_map(|(_, slowest)| slowest).chain(&mut self.recent);
        all.filter(|request| *request.endpoint == *from).for_each(|request| request.endpoint = to.clone());
    }
}

fn shown(path: &Path) -> Box<str> {
    let rest = if path.is_cut() { "/…" } else { "" };
    (String::from_utf8_lossy(path.as_bytes()) + rest).into()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const SLOW: Duration = Duration::from_millis(500);

    fn offered(log: &mut SlowLog, sample: Sample, minute: Minute) {
        log.offer(&sample, &"/".into(), minute * 60_000, minute, SLOW, false);
    }

    fn all() -> Span {
        Span { from: 0, to: None }
    }

    fn durations(log: &SlowLog, span: Span) -> Vec<Duration> {
        log.within(span).iter().map(|request| request.breakdown.duration).collect()
    }

    #[test]
    fn what_is_not_complete_is_not_kept() {
        let mut log = SlowLog::default();
        for ending in [Ending::Aborted, Ending::Open] {
            offered(&mut log, Sample { ending, ..Sample::of("/", Duration::from_secs(60)) }, 0);
        }
        assert_eq!(log.within(all()), []);
    }

    #[test]
    fn the_parts_add_up_whatever_the_clocks_say() {
        let asked = |queue, connect, first_byte| Asked {
            queue: Duration::from_millis(queue),
            connect: Duration::from_millis(connect),
            first_byte: Duration::from_millis(first_byte),
            in_flight: 3,
        };
        for (asked, compression, expected) in [
            (asked(10, 5, 60), 5, [10, 5, 60, 5, 20]),
            (asked(0, 0, 100), 5, [0, 0, 100, 0, 0]),
            (asked(70, 70, 70), 70, [70, 30, 0, 0, 0]),
        ] {
            let sample = Sample {
                upstream: Some(asked),
                compression: Duration::from_millis(compression),
                ..Sample::of("/", Duration::from_millis(100))
            };
            let Breakdown { queue, connect, first_byte, compression, body, duration, .. } = Breakdown::of(&sample);
            let parts = [queue, connect, first_byte, compression, body];
            assert_eq!(parts, expected.map(Duration::from_millis));
            assert_eq!(parts.iter().sum::<Duration>(), duration);
        }
    }

    #[test]
    fn a_path_is_kept_only_where_it_is_asked_for() {
        let long = &*format!("/users/{}", "a".repeat(300));
        for (path, keep, expected) in [
            ("/users/ada", false, None),
            ("/users/ada", true, Some("/users/ada")),
            (long, true, Some("/users/…")),
            ("/users\u{fffd}", true, Some("/users\u{fffd}")),
        ] {
            let mut log = SlowLog::default();
            log.offer(&Sample::of(path, SLOW), &"/users/{slug}".into(), 0, 0, SLOW, keep);
            assert_eq!(log.within(all())[0].path.as_deref(), expected);
        }
    }

    #[test]
    fn hours_go_and_windows_are_kept_to() {
        let mut log = SlowLog::default();
        for hour in 0..30 {
            offered(&mut log, Sample::of("/", Duration::from_millis(hour + 1)), hour * 60);
        }
        assert_eq!(log.within(all()).len(), HOURS as usize);
        let span = Span { from: 28 * 60, to: Some(29 * 60) };
        assert_eq!(durations(&log, span), [Duration::from_millis(29)]);
    }

    #[test]
    fn queries_are_told_of_by_spans() {
        let mut log = SlowLog::default();
        let span = SpanId::new;
        for (number, queries) in [(span(1), None), (span(2), Some(7)), (span(3), None), (None, Some(5)), (None, None)] {
            offered(&mut log, Sample { span: number, queries, ..Sample::of("/", SLOW) }, 0);
        }
        let queries = |log: &SlowLog| log.within(all()).iter().map(|request| request.queries).collect::<Vec<_>>();
        assert_eq!(queries(&log), [None, Some(7), None, Some(5), None]);
        let told = [(1, 40), (2, 8), (9, 90)].map(|(number, count)| (span(number).unwrap(), count));
        log.tell_queries(&told.into());
        assert_eq!(queries(&log), [Some(40), Some(8), None, Some(5), None]);
    }

    #[test]
    fn renamed_endpoints_are_so_everywhere() {
        let mut log = SlowLog::default();
        offered(&mut log, Sample::of("/", SLOW), 0);
        log.rename("/", &"/{slug}".into());
        assert!(log.within(all()).iter().all(|request| *request.endpoint == *"/{slug}"));
        assert_eq!(log.within(all()).len(), 1);
    }

    proptest! {
        #[test]
        fn the_slowest_and_the_last_slow_ones_are_kept(durations in vec(0u64..1000, 0..400)) {
            let mut log = SlowLog::default();
            for (at, duration) in durations.iter().enumerate() {
                let sample = Sample::of("/", Duration::from_millis(*duration));
                log.offer(&sample, &"/".into(), at as u64, 0, SLOW, false);
            }
            let kept: Vec<u64> =
                log.within(all()).iter().map(|request| request.breakdown.duration.as_millis() as u64).collect();
            prop_assert!(kept.is_sorted_by(|a, b| a >= b));
            let mut slowest = durations.clone();
            slowest.sort_by(|a, b| b.cmp(a));
            slowest.truncate(EACH_HOUR);
            prop_assert_eq!(&kept[..slowest.len()], &slowest[..]);
            let slow = durations.iter().rev().filter(|duration| **duration >= 500).take(RECENT).min();
            prop_assert!(kept.len() == SLOWEST_SHOWN || slow.is_none_or(|least| kept.contains(least)));
        }
    }
}
