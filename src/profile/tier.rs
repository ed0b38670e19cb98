//! Figures of steps of one length, and how steps of several lengths make up a past.

use std::{collections::VecDeque, ops::Range};

use serde::{Deserialize, Serialize};

use super::figures::{Figures, PackedFigures};

/// What was counted in a step that is over. One in which nothing happened takes 8 bytes.
pub(super) type Slot = Option<Box<PackedFigures>>;

/// The last steps of one length, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tier(VecDeque<Slot>);

/// A tier, and how many of the shortest steps one of its own is.
pub(super) type Stepped<'a> = (&'a Tier, u64);

impl Tier {
    /// Takes the step after the last one, and gives up the oldest beyond `most`.
    pub(super) fn push(&mut self, slot: Slot, most: usize) {
        self.0.push_back(slot);
        if self.0.len() > most {
            self.0.pop_front();
        }
    }

    /// The last `count` steps as one.
    pub(super) fn together(&self, count: usize) -> Slot {
        let mut last = self.0.iter().rev().take(count).flatten();
        let (first, second) = (last.next()?, last.next());
        let Some(second) = second else { return Some(first.clone()) };
        let mut figures = Figures::default();
        [first, second].into_iter().chain(last).for_each(|packed| figures.merge_packed(packed));
        figures.pack()
    }

    /// Takes over what another one has; both are up to the same moment.
    pub(super) fn merge(&mut self, other: &Self, most: usize) {
        while self.0.len() < other.0.len().min(most) {
            self.0.push_front(None);
        }
        for (mine, theirs) in self.0.iter_mut().rev().zip(other.0.iter().rev()) {
            if let Some(packed) = theirs {
                let mut figures = Figures::default();
                mine.iter().for_each(|mine| figures.merge_packed(mine));
                figures.merge_packed(packed);
                *mine = figures.pack();
            }
        }
    }

    /// The step that begins at `at`, if it is kept: the last one ends at the last multiple of `step` before `now`.
    fn slot(&self, step: u64, at: u64, now: u64) -> Option<&Slot> {
        let back = usize::try_from(now / step - at / step).ok()?;
        self.0.len().checked_sub(back).filter(|_| back > 0).map(|index| &self.0[index])
    }

    /// The bytes that it takes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let slots = self.0.iter().flatten().map(|slot| slot.heap_bytes()).sum::<usize>();
        self.0.capacity() * size_of::<Slot>() + slots
    }

    /// Whether nothing happened in any of its steps.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// Shows everything that is kept of these steps, the oldest first, in steps as long as there are. `tiers` begin with the
/// longest; numbers count steps of the shortest, of which `now` is not over.
pub(super) fn each<'a>(tiers: &[Stepped<'a>], steps: Range<u64>, now: u64, mut show: impl FnMut(&'a PackedFigures)) {
    let (mut at, end) = (steps.start, steps.end.min(now));
    while at < end {
        let found = tiers.iter().find_map(|(tier, step)| {
            let whole = at.is_multiple_of(*step) && at + step <= end;
            whole.then(|| tier.slot(*step, at, now)).flatten().map(|slot| (slot, step))
        });
        // What is older than everything that is kept is passed over.
        let Some((slot, step)) = found else {
            at += 1;
            continue;
        };
        if let Some(packed) = slot {
            show(packed);
        }
        at += step;
    }
}
