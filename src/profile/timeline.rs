//! All endpoints together in short steps: what a chart shows of a window.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{
    figures::{Figures, PackedFigures},
    tier::{self, Slot, Tier},
    window::Window,
};

/// Seconds of the shortest step.
pub(super) const TEN: u64 = 10;
/// Of the others, how many of the shortest they are.
const MINUTE: u64 = 6;
const FIVE: u64 = 30;
const QUARTER: u64 = 90;

/// Steps of ten seconds: `15m` begins at full five minutes, so that it has up to twenty minutes.
const TENS: usize = 120;
/// Minutes of `1h`, which begins at full five minutes.
const MINUTES: usize = 65;
/// Five minutes of `6h`, which begins at a full hour.
const FIVES: usize = 84;
/// Quarters of an hour of `24h`, which begins at a full hour.
const QUARTERS: usize = 100;

/// As many of the shortest steps are in everything that is kept.
const MOST: u64 = QUARTERS as u64 * QUARTER;

/// How many of the shortest steps make one of a window's.
pub(super) fn step(window: Window) -> u64 {
    match window {
        Window::Minute | Window::FiveMinutes | Window::QuarterHour => 1,
        Window::Hour => MINUTE,
        Window::SixHours => FIVE,
        Window::Day => QUARTER,
    }
}

/// What all endpoints together did in the last day. Numbers count steps of ten seconds since 1970.
#[derive(Debug)]
pub(super) struct Timeline {
    /// The step that is not over.
    pub(super) at: u64,
    /// What was counted in it.
    pub(super) current: Figures,
    past: Past,
}

/// What was counted in steps that are over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Past {
    tens: Tier,
    minutes: Tier,
    fives: Tier,
    quarters: Tier,
}

impl Timeline {
    pub(super) fn new(at: u64) -> Self {
        Self { at, current: Figures::default(), past: Past::default() }
    }

    /// Closes the steps that are over.
    pub(super) fn turn(&mut self, at: u64) {
        if at > self.at + MOST {
            *self = Self::new(at);
        }
        while self.at < at {
            self.past.close(self.at, self.current.pack());
            if self.current.counts.requests > 0 {
                self.current.clear();
            }
            self.at += 1;
        }
    }

    /// What was counted in these steps, in parts.
    pub(super) fn parts(&self, steps: Range<u64>) -> Vec<PackedFigures> {
        let (mut parts, has_current) = (Vec::new(), steps.contains(&self.at));
        let Past { tens, minutes, fives, quarters } = &self.past;
        let tiers = [(quarters, QUARTER), (fives, FIVE), (minutes, MINUTE), (tens, 1)];
        tier::each(&tiers, steps, self.at, |part| parts.push(part.clone()));
        parts.extend(self.current.pack().filter(|_| has_current).map(|current| *current));
        parts
    }

    /// The bytes that it takes on the heap, but for the step that is not over.
    pub(super) fn heap_bytes(&self) -> usize {
        let Past { tens, minutes, fives, quarters } = &self.past;
        [tens, minutes, fives, quarters].into_iter().map(Tier::heap_bytes).sum()
    }

    /// What is to be kept of it.
    pub(super) fn kept(&self) -> (Slot, Past) {
        (self.current.pack(), self.past.clone())
    }

    /// Takes up what was kept at the step `at`, which is not one to come.
    pub(super) fn restore(&mut self, at: u64, current: Slot, past: Past) {
        let mut before = Self { at, past, ..Self::new(at) };
        current.iter().for_each(|current| before.current.merge_packed(current));
        before.turn(self.at);
        self.current.merge(&before.current);
        self.past.merge(&before.past);
    }
}

impl Past {
    /// Takes what was counted in step `at`, which is the one after the last that was taken.
    fn close(&mut self, at: u64, figures: Slot) {
        self.tens.push(figures, TENS);
        if (at + 1).is_multiple_of(MINUTE) {
            self.minutes.push(self.tens.together(6), MINUTES);
        }
        if (at + 1).is_multiple_of(FIVE) {
            self.fives.push(self.minutes.together(5), FIVES);
        }
        if (at + 1).is_multiple_of(QUARTER) {
            self.quarters.push(self.fives.together(3), QUARTERS);
        }
    }

    /// Takes over another one; both are up to the same step.
    fn merge(&mut self, other: &Self) {
        self.tens.merge(&other.tens, TENS);
        self.minutes.merge(&other.minutes, MINUTES);
        self.fives.merge(&other.fives, FIVES);
        self.quarters.merge(&other.quarters, QUARTERS);
    }
}
