//! Some time step by step, for whoever draws it.

use std::{ops::Range, time::Duration};

use super::figures::{Figures, PackedFigures};

/// Some time step by step, the oldest first and without gaps, up to now. It is in little room: the figures of a step are
/// put together when it is looked at.
#[derive(Clone, Debug)]
pub struct Course {
    /// How long a step is. The first one is shorter where nothing was counted before, and the last one is not over.
    pub step: Duration,
    axis: Axis,
    /// Of each step what it is made of.
    parts: Vec<Vec<PackedFigures>>,
}

/// What was counted in one step.
#[derive(Clone, Debug)]
pub struct Step {
    /// When it began, since 1970.
    pub begins: Duration,
    /// How long it is, or has been.
    pub lasts: Duration,
    /// What was counted.
    pub figures: Figures,
}

/// Which steps there are. Numbers count units since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// How long a unit is, in seconds.
    pub(super) unit: u64,
    /// Units of a step.
    pub(super) step: u64,
    /// The first unit that is asked for, a multiple of `step`.
    pub(super) from: u64,
    /// The unit that is not over.
    pub(super) at: u64,
    /// Since when anything is counted, since 1970.
    pub(super) since: Duration,
    /// This moment, since 1970.
    pub(super) now: Duration,
}

impl Axis {
    /// The units of each step, those to come of the last one included.
    fn steps(self) -> impl Iterator<Item = Range<u64>> {
        let first = self.from.max(self.since.as_secs() / self.unit / self.step * self.step);
        let step_by = usize::try_from(self.step).unwrap_or(usize::MAX).max(1);
        (first..=self.at).step_by(step_by).map(move |begin| begin..begin + self.step)
    }

    fn begin(self, number: u64) -> Duration {
        Duration::from_secs(number * self.unit).max(self.since)
    }
}

impl Course {
    /// Of what was counted in the units of each step.
    pub(super) fn of(axis: Axis, parts: impl FnMut(Range<u64>) -> Vec<PackedFigures>) -> Self {
        Self { step: Duration::from_secs(axis.step * axis.unit), axis, parts: axis.steps().map(parts).collect() }
    }

    /// The steps.
    pub fn steps(&self) -> impl Iterator<Item = Step> + '_ {
        self.axis.steps().zip(&self.parts).map(|(units, parts)| {
            let begins = self.axis.begin(units.start);
            let is_over = units.end <= self.axis.at;
            let ends = if is_over { self.axis.begin(units.end) } else { self.axis.now };
            let mut figures = Figures::default();
            parts.iter().for_each(|part| figures.merge_packed(part));
            Step { begins, lasts: ends.saturating_sub(begins), figures }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, UNIX_EPOCH};

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::profile::{Kept, Period, Profiler, Sample, Settings, Window};

    /// What is done with a profiler after some milliseconds.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        /// It is given a request of one of some endpoints, that took so many milliseconds and failed or not.
        Record { endpoint: usize, took: u64, fails: bool },
        /// Everything is kept and taken up by another process.
        Restart,
    }

    fn events() -> impl Strategy<Value = Vec<(u64, Event)>> {
        let gap = prop_oneof![
            60 => 0u64..15_000,
            20 => 0u64..120_000,
            4 => 0u64..3_600_000,
            1 => 0u64..100_000_000,
        ];
        let record = (0usize..3, 0u64..50_000, any::<bool>());
        let record = record.prop_map(|(endpoint, took, fails)| Event::Record { endpoint, took, fails });
        vec((gap, prop_oneof![30 => record, 1 => Just(Event::Restart)]), 1..250)
    }

    fn bins(figures: &Figures) -> Option<Vec<u64>> {
        (figures.latency.count() > 0).then(|| figures.latency.cumulative())
    }

    /// The steps follow each other from the beginning of the window, or of everything, up to now, and add up to these
    /// figures.
    fn assert_adds_up(course: &Course, from: Duration, now: Duration, expected: &Figures) {
        let (mut figures, mut at) = (Figures::default(), from);
        for (n, step) in course.steps().enumerate() {
            assert_eq!(step.begins, at, "step {n}");
            assert!(n == 0 || step.begins.as_secs().is_multiple_of(course.step.as_secs()), "step {n}");
            assert!(step.lasts <= course.step, "step {n}");
            figures.merge(&step.figures);
            at += step.lasts;
        }
        assert_eq!(at, now);
        assert_eq!((figures.counts, bins(&figures)), (expected.counts, bins(expected)));
    }

    proptest! {
        #[test]
        fn steps_are_those_of_a_list_of_all_requests(begin in 0u64..100_000, events in events()) {
            const ENDPOINTS: [&str; 3] = ["/a", "/b", "/c"];
            let (mut start, mut wall) = (Instant::now(), Duration::from_millis(1_700_000_000_000 + begin * 997));
            let of = |start, wall| Profiler::new(Settings::default(), start, UNIX_EPOCH + wall);
            let (mut profiler, since) = (of(start, wall), wall);
            let (mut now, mut all) = (start, Vec::new());
            for (gap, event) in events {
                now += Duration::from_millis(gap);
                match event {
                    Event::Record { endpoint, took, fails } => {
                        let sample = Sample {
                            ended: now,
                            status: if fails { 500 } else { 200 },
                            ..Sample::of(ENDPOINTS[endpoint], Duration::from_millis(took))
                        };
                        profiler.record(sample);
                        // As somebody does every few seconds.
                        profiler.settle(now);
                        all.push((wall + (now - start), sample));
                    }
                    Event::Restart => {
                        let kept = profiler.keep(now).to_bytes();
                        wall += now - start;
                        start = now;
                        profiler = of(start, wall);
                        profiler.restore(Kept::from_bytes(&kept).unwrap());
                    }
                }
            }
            let end = wall + (now - start);
            for (name, window) in Window::ALL {
                let span = Period::from(window).span(end.as_secs() / 60);
                let from = Duration::from_secs(span.from * 60).max(since);
                let (snapshot, courses) = profiler.snapshot_with_courses(window, now);
                prop_assert_eq!(snapshot.lasts, end - from, "{}", name);
                let course = profiler.course(window, now);
                assert_adds_up(&course, from, end, &snapshot.total());
                for step in course.steps() {
                    let mut expected = Figures::default();
                    let is_last = step.begins + step.lasts == end;
                    let within = |at: &Duration| {
                        *at >= step.begins && (is_last || *at < step.begins + step.lasts)
                    };
                    let within = all.iter().filter(|(at, _)| within(at));
                    within.for_each(|(_, sample)| expected.add(sample, Settings::default().slow));
                    let found = (step.figures.counts, bins(&step.figures));
                    prop_assert_eq!(found, (expected.counts, bins(&expected)), "{} {:?}", name, step.begins);
                }
                prop_assert_eq!(snapshot.endpoints.len(), courses.len());
                for (row, course) in snapshot.endpoints.iter().zip(&courses) {
                    assert_adds_up(course, from, end, &row.figures);
                    prop_assert_eq!(course.steps().count(), courses[0].steps().count());
                }
            }
        }
    }

    #[test]
    fn an_endpoint_is_told_in_the_steps_that_it_is_kept_in() {
        let start = Instant::now();
        // Ten minutes before a full hour.
        let profiler = Profiler::new(Settings::default(), start, UNIX_EPOCH + Duration::from_secs(1_700_002_200));
        let later = |minutes: u64| start + Duration::from_secs(60 * minutes);
        for minute in 0..1500 {
            profiler.record(Sample { ended: later(minute), ..Sample::of("/a", Duration::from_millis(1)) });
        }
        let counts = |window| -> Vec<u64> {
            let course = profiler.course_of("/a", "GET", window, later(1499)).unwrap();
            course.steps().map(|step| step.figures.counts.requests).collect()
        };
        // It is 49 minutes past.
        assert_eq!(counts(Window::Minute), [1; 2]);
        assert_eq!(counts(Window::FiveMinutes), [1; 6]);
        assert_eq!(counts(Window::QuarterHour), [1; 20]);
        assert_eq!(counts(Window::Hour), [5; 13]);
        assert_eq!(counts(Window::SixHours), [60, 60, 60, 60, 60, 60, 50]);
        assert_eq!(counts(Window::Day)[..], [vec![60; 24], vec![50]].concat());
        for (endpoint, method) in [("/a", "POST"), ("/b", "GET"), ("", "")] {
            assert!(profiler.course_of(endpoint, method, Window::Hour, later(1499)).is_none());
        }
    }
}
