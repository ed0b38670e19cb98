//! What comes often among very many, in little room.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// How many are remembered at once.
const ROOM: usize = 128;

/// Counts that let go of what is rare (Misra and Gries, 1982): whatever is more than one in [`ROOM`] of all that came is
/// certain to be here, and a count is never more than how often it came.
#[derive(Debug, Default)]
pub(super) struct Often(HashMap<Box<str>, u32, RandomState>);

impl Often {
    /// Counts one, and says how often it is known to have come.
    pub(super) fn count(&mut self, text: &str) -> u32 {
        if let Some(count) = self.0.get_mut(text) {
            *count = count.saturating_add(1);
            return *count;
        }
        if self.0.len() < ROOM {
            self.0.insert(text.into(), 1);
            return 1;
        }
        self.0.retain(|_, count| {
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
            often.count(&n.to_string());
            if n % 50 == 0 {
                last = often.count("often");
            }
        }
        assert!((500..=2000).contains(&last), "{last}");
        assert!(often.0.len() <= ROOM);
        assert!(often.0.iter().all(|(text, count)| **text == *"often" || *count <= 1));
    }
}
