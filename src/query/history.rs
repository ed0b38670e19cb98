//! Figures of the last 24 hours in minutes, five minutes and hours, the longer ago the coarser.

use std::collections::VecDeque;

/// A minute since the start.
pub(super) type Minute = u64;

/// The lengths of slots in minutes, and how long ago they may have ended before they are put into longer ones.
const LEVELS: [(u64, u64); 3] = [(1, 10), (5, 70), (60, 1440)];

/// What can be put together.
pub(super) trait Merge: Default {
    /// Takes what the other one has.
    fn merge(&mut self, other: &Self);

    /// Bytes on the heap.
    fn heap_bytes(&self) -> usize {
        0
    }
}

impl Merge for u64 {
    fn merge(&mut self, other: &Self) {
        *self = self.saturating_add(*other);
    }
}

/// A past in at most 10 minutes, 13 five minutes and 25 hours; those in which nothing happened take no room. Every figure
/// is in one of them.
#[derive(Clone, Debug, Default)]
pub(super) struct History<T> {
    /// By level; each has the number of the slot since the start, oldest first.
    levels: [VecDeque<(u64, T)>; 3],
}

impl<T: Merge> History<T> {
    /// The figures of this minute. Time does not go back: an earlier minute is taken for the last one.
    pub(super) fn now(&mut self, minute: Minute) -> &mut T {
        if self.levels[0].back().is_none_or(|(last, _)| *last < minute) {
            self.turn(minute);
            self.levels[0].push_back((minute, T::default()));
        }
        let last = self.levels[0].len() - 1;
        &mut self.levels[0][last].1
    }

    /// Puts what is longer ago into longer slots, and forgets what is too long ago.
    pub(super) fn turn(&mut self, minute: Minute) {
        for (level, (length, kept)) in LEVELS.into_iter().enumerate() {
            while let Some((slot, _)) = self.levels[level].front()
                && (slot + 1) * length + kept <= minute
            {
                let Some((slot, figures)) = self.levels[level].pop_front() else { break };
                let Some((longer, _)) = LEVELS.get(level + 1) else { continue };
                let slot = slot * length / longer;
                let above = &mut self.levels[level + 1];
                match above.back_mut().filter(|(last, _)| *last >= slot) {
                    Some((_, last)) => last.merge(&figures),
                    None => above.push_back((slot, figures)),
                }
            }
        }
    }

    /// The figures of so many minutes up to now, this one included. Longer slots count if any part of them does.
    pub(super) fn last(&self, minutes: u64, now: Minute) -> T {
        let from = (now + 1).saturating_sub(minutes);
        let (mut sum, mut newest) = (T::default(), now + 1);
        for ((length, kept), slots) in LEVELS.iter().zip(&self.levels) {
            let ended_after = |slot: u64| ((slot + 1) * length).min(newest) > from;
            slots.iter().filter(|(slot, _)| ended_after(*slot)).for_each(|(_, figures)| sum.merge(figures));
            // A longer slot is not full yet: what is younger than this is in shorter ones.
            newest = now.saturating_sub(*kept);
        }
        sum
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.levels.iter().all(VecDeque::is_empty)
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let slots = |level: &VecDeque<(u64, T)>| {
            level.capacity() * size_of::<(u64, T)>() + level.iter().map(|(_, slot)| slot.heap_bytes()).sum::<usize>()
        };
        self.levels.iter().map(slots).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_kept_for_a_day_and_counted_once() {
        let mut history = History::<u64>::default();
        for minute in 0..3000 {
            *history.now(minute) += 1;
            assert_eq!(history.last(1, minute), 1);
            assert_eq!(history.last(5, minute), 5.min(minute + 1));
            for (window, step) in [(15, 5), (60, 5), (360, 60), (1440, 60)] {
                let (found, asked) = (history.last(window, minute), window.min(minute + 1));
                assert!((asked..asked + step).contains(&found), "{window} at {minute}: {found}");
            }
            let slots = history.levels.each_ref().map(VecDeque::len);
            assert!(slots[0] <= 11 && slots[1] <= 13 && slots[2] <= 25, "{slots:?}");
        }
        history.turn(3000 + 1440 + 60);
        assert!(history.is_empty());
    }

    #[test]
    fn pauses_take_no_room_and_time_does_not_go_back() {
        let mut history = History::<u64>::default();
        *history.now(5) += 1;
        *history.now(700) += 1;
        *history.now(600) += 1;
        assert_eq!((history.last(60, 700), history.last(1440, 700)), (2, 3));
        assert_eq!(history.levels.iter().map(VecDeque::len).sum::<usize>(), 2);
    }
}
