//! The time that figures are about, and what is kept of an endpoint's past.

use std::{ops::Range, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    figures::{Figures, PackedFigures},
    tier::{self, Slot, Tier},
};

/// A minute of the wall clock, counted since 1970.
pub(super) type Minute = u64;

/// How far back figures go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Window {
    /// The last minute.
    Minute,
    /// The last 5 minutes.
    FiveMinutes,
    /// The last 15 minutes.
    QuarterHour,
    /// The last hour.
    #[default]
    Hour,
    /// The last 6 hours.
    SixHours,
    /// The last 24 hours: everything that is kept.
    Day,
}

impl Window {
    /// Every window with its name.
    pub const ALL: [(&'static str, Self); 6] = [
        ("1m", Self::Minute),
        ("5m", Self::FiveMinutes),
        ("15m", Self::QuarterHour),
        ("1h", Self::Hour),
        ("6h", Self::SixHours),
        ("24h", Self::Day),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }

    /// How long it is, as its name says.
    pub fn length(self) -> Duration {
        Duration::from_secs(60 * self.minutes())
    }

    fn minutes(self) -> u64 {
        [1, 5, 15, 60, 360, 1440][self as usize]
    }

    /// It begins at a multiple of this many minutes: the past is kept in coarser steps the longer it is ago.
    fn begins_at(self) -> u64 {
        [1, 1, 5, 5, 60, 60][self as usize]
    }

    /// The minutes of a step in which the figures of an endpoint are told.
    pub(super) fn step(self) -> u64 {
        [1, 1, 1, 5, 60, 60][self as usize]
    }
}

/// Which time figures are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    /// How long it is.
    pub window: Window,
    /// `true`: not up to now, but the same length before that.
    pub before: bool,
}

impl From<Window> for Period {
    fn from(window: Window) -> Self {
        Self { window, before: false }
    }
}

/// Minutes from the first to before the last, or up to this very moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Minute,
    pub(super) to: Option<Minute>,
}

impl Period {
    /// The minutes that it is about. A window up to now begins at the last multiple of its step that is at least its
    /// length ago, so that it is longer than its name says by at most a step: a minute up to `5m`, five up to `1h`, an
    /// hour above.
    pub(super) fn span(self, now: Minute) -> Span {
        let (length, step) = (self.window.minutes(), self.window.begins_at());
        let from = now.saturating_sub(length) / step * step;
        if self.before { Span { from: from.saturating_sub(length), to: Some(from) } } else { Span { from, to: None } }
    }
}

/// The minutes to compare of what was before and after something that happened in minute `at`: an hour on either side, or
/// up to `now`, without the step that it happened in. `None` for what is too long ago.
///
/// Steps are those in which the time around it is kept: a minute, five or an hour, the longer ago the coarser.
pub fn around(at: u64, now: u64) -> Option<[Range<u64>; 2]> {
    const HOUR: u64 = 60;
    let kept = |step: u64, slots: usize, from: u64| from + slots as u64 * step >= now / step * step;
    let (step, from) = match at / 5 * 5 {
        five if kept(1, MINUTES, five) => (1, (at.saturating_sub(HOUR)).next_multiple_of(5)),
        five if kept(5, FIVES, five.saturating_sub(HOUR)) => (5, five.saturating_sub(HOUR)),
        _ => (HOUR, (at / HOUR * HOUR).saturating_sub(HOUR)),
    };
    if !kept(HOUR, HOURS, from / HOUR * HOUR) && step == HOUR {
        return None;
    }
    let begin = at / step * step;
    let end = begin + step;
    Some([from.min(begin)..begin, end..(end + HOUR).min(now.max(end))])
}

/// Complete minutes: as many as `15m` needs, which begins at full five minutes.
const MINUTES: usize = 20;
/// Complete five minutes: two windows of an hour, and the one that the older begins in.
const FIVES: usize = 26;
/// Complete hours.
const HOURS: usize = 24;

/// The past of one endpoint, in minutes, five minutes and hours.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct History {
    minutes: Tier,
    fives: Tier,
    hours: Tier,
}

impl History {
    /// Takes what was counted in `minute`, which is the one after the last that was taken.
    pub(super) fn close(&mut self, minute: Minute, figures: Slot) {
        self.minutes.push(figures, MINUTES);
        if (minute + 1).is_multiple_of(5) {
            self.fives.push(self.minutes.together(5), FIVES);
        }
        if (minute + 1).is_multiple_of(60) {
            self.hours.push(self.fives.together(12), HOURS);
        }
    }

    /// Adds what was counted in complete minutes of the span; `now` is the one that is not.
    pub(super) fn add_to(&self, figures: &mut Figures, span: Span, now: Minute) {
        self.each(span.from..span.to.unwrap_or(now), now, |packed| figures.merge_packed(packed));
    }

    /// Shows what was counted in complete minutes of these; `now` is the one that is not.
    pub(super) fn each<'a>(&'a self, minutes: Range<Minute>, now: Minute, show: impl FnMut(&'a PackedFigures)) {
        tier::each(&[(&self.hours, 60), (&self.fives, 5), (&self.minutes, 1)], minutes, now, show);
    }

    /// Takes over the past of an endpoint that is counted here from now on; both are up to the same minute.
    pub(super) fn merge(&mut self, other: &Self) {
        self.minutes.merge(&other.minutes, MINUTES);
        self.fives.merge(&other.fives, FIVES);
        self.hours.merge(&other.hours, HOURS);
    }

    /// The bytes that it takes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        [&self.minutes, &self.fives, &self.hours].into_iter().map(Tier::heap_bytes).sum()
    }

    /// Whether nothing is left of it.
    pub(super) fn is_empty(&self) -> bool {
        [&self.minutes, &self.fives, &self.hours].into_iter().all(Tier::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use std::time::Duration;

    use super::*;
    use crate::profile::Sample;

    const START: Minute = 29_000_017;

    #[test]
    fn spans_end_now_or_where_the_other_begins() {
        // 12:34 of some day.
        let now = 29_000_160 + 34;
        assert_eq!(now % 60, 34);
        for (window, ago, before) in [
            (Window::Minute, 1, 2),
            (Window::FiveMinutes, 5, 10),
            (Window::QuarterHour, 19, 34),
            (Window::Hour, 64, 124),
            (Window::SixHours, 6 * 60 + 34, 12 * 60 + 34),
            (Window::Day, 24 * 60 + 34, 48 * 60 + 34),
        ] {
            let latest = Period::from(window).span(now);
            assert_eq!((now - latest.from, latest.to), (ago, None), "{window:?}");
            let earlier = Period { window, before: true }.span(now);
            assert_eq!((now - earlier.from, earlier.to), (before, Some(latest.from)), "{window:?}");
        }
    }

    fn figures(requests: u64) -> Figures {
        let mut figures = Figures::default();
        for n in 0..requests {
            figures.add(&Sample::of("/", Duration::from_millis(n + 1)), Duration::MAX);
        }
        figures
    }

    /// A history of these requests per minute, the last one in the minute before `START + len`.
    fn history(requests: &[u64]) -> History {
        let mut history = History::default();
        for (minute, requests) in (START..).zip(requests) {
            history.close(minute, figures(*requests).pack());
        }
        history
    }

    /// What a list of all minutes says.
    fn model(requests: &[u64], span: Span) -> u64 {
        let minutes = (START..).zip(requests);
        minutes.filter(|(at, _)| *at >= span.from && span.to.is_none_or(|to| *at < to)).map(|(_, count)| count).sum()
    }

    proptest! {
        #[test]
        fn windows_are_those_of_a_list_of_all_minutes(
            requests in vec(prop_oneof![3 => Just(0u64), 1 => 1u64..9], 0..3200),
            before: bool,
        ) {
            let (history, now) = (history(&requests), START + requests.len() as u64);
            for (name, window) in Window::ALL {
                // The day before the last one is not kept.
                if before && window == Window::Day {
                    continue;
                }
                let span = Period { window, before }.span(now);
                let mut figures = Figures::default();
                history.add_to(&mut figures, span, now);
                prop_assert_eq!(figures.counts.requests, model(&requests, span), "{}", name);
                prop_assert_eq!(figures.latency.count(), figures.counts.requests);
            }
        }

        #[test]
        fn what_is_compared_around_a_moment_is_that_of_a_list_of_all_minutes(
            requests in vec(prop_oneof![1 => Just(0u64), 1 => 1u64..9], 1..3200),
            ago in prop_oneof![0u64..200, 0u64..1700],
        ) {
            let (history, now) = (history(&requests), START + requests.len() as u64);
            let at = now - ago;
            let Some([before, after]) = around(at, now) else {
                prop_assert!(ago > 22 * 60, "{ago}");
                return Ok(());
            };
            prop_assert!(before.end <= at && at < after.start);
            prop_assert!(before.end - before.start <= 60 && after.end - after.start <= 60);
            // Nothing is lost but what is in one step with it.
            let step = if ago <= 5 { 1 } else if ago <= 60 { 5 } else { 60 };
            prop_assert!(after.start - before.end <= step, "{} {}", after.start - before.end, ago);
            prop_assert!(before.end - before.start > 60 - 5);
            for range in [before, after] {
                let span = Span { from: range.start, to: Some(range.end) };
                let mut figures = Figures::default();
                history.add_to(&mut figures, span, now);
                prop_assert_eq!(figures.counts.requests, model(&requests, span));
            }
        }

        #[test]
        fn merged_histories_are_that_of_both(
            first in vec(0u64..4, 0..700),
            second in vec(0u64..4, 0..700),
        ) {
            // Both end now; the shorter one began later.
            let now = START + first.len().max(second.len()) as u64;
            let padded = |requests: &[u64]| {
                let mut history = History::default();
                for (minute, requests) in (now - requests.len() as u64..).zip(requests) {
                    history.close(minute, figures(*requests).pack());
                }
                history
            };
            let mut merged = padded(&first);
            merged.merge(&padded(&second));
            for (_, window) in Window::ALL {
                let span = Period::from(window).span(now);
                let count = |history: &History| {
                    let mut figures = Figures::default();
                    history.add_to(&mut figures, span, now);
                    figures.counts.requests
                };
                prop_assert_eq!(count(&merged), count(&padded(&first)) + count(&padded(&second)));
            }
        }
    }

    #[test]
    fn a_quiet_day_takes_next_to_nothing() {
        let history = history(&[0; 2000]);
        assert!(history.is_empty());
        assert!(history.heap_bytes() < 1024, "{}", history.heap_bytes());
    }
}
