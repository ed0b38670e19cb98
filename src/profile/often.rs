//! What comes often among very many, in little room.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash},
};

use foldhash::fast::RandomState;

/// How many are remembered at once.
const ROOM: usize = 128;

/// Counts that let go of what is rare (Misra and Gries, 1982): whatever is more than one in [`ROOM`] of all that came is
/// certain to be here, and a count is never more than how often it came.
///
/// Things are told apart by a hash of 64 bits whose seed nobody knows, so that a new one needs no copy.
#[derive(Debug, Default)]
pub(super) struct Often {
    counts: HashMap<u64, u32, RandomState>,
    hasher: RandomState,
}

impl Often {
    /// Counts one, and says how often it is known to have come.
    pub(super) fn count(&mut self, thing: impl Hash) -> u32 {
        let hash = self.hasher.hash_one(thing);
        if let Some(count) = self.counts.get_mut(&hash) {
            *count = count.saturating_add(1);
            return *count;
        }
        if self.counts.len() < ROOM {
            self.counts.insert(hash, 1);
            return 1;
        }
        self.counts.retain(|_, count| {
            *count -= 1;
            *count > 0
        });
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_frequent_is_kept_among_the_rare() {
        let mut often = Often::default();
        let mut last = 0;
        for n in 0..100_000u32 {
            often.count(n);
            if n % 50 == 0 {
                last = often.count("often");
            }
        }
        assert!((500..=2000).contains(&last), "{last}");
        assert!(often.counts.len() <= ROOM);
        assert!(often.counts.values().filter(|count| **count > 1).count() <= 1);
    }
}
