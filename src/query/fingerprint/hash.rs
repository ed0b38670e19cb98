//! The number that a query is known by.

use super::{letters, sink::Case};

/// A hash of tokens without a key: an id must be the same after a restart, and after an update.
///
/// Eight bytes at a time, each step a multiplication and a shift that brings its high bits down; at the end what is close
/// together is spread (the finaliser of SplitMix64).
#[derive(Clone, Copy, Debug)]
pub(super) struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    fn step(&mut self, part: u64) {
        let mixed = (self.0 ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    /// Takes a token with its length, so that `a b` and `ab` differ.
    pub(super) fn token(&mut self, token: &str, case: Case) {
        let bytes = token.as_bytes();
        self.step(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let part = letters::load(chunk);
            self.step(if case == Case::Lower { letters::lower(part) } else { part });
        }
    }

    pub(super) fn finish(self) -> u64 {
        let mut hash = self.0;
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ (hash >> 31)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Names that differ in little, as those of tables do: no two of a million have the same number.
    #[test]
    fn what_differs_in_little_is_told_apart() {
        let mut seen = HashSet::new();
        for a in 0..1000u32 {
            for b in 0..1000u32 {
                let mut hash = Hash::default();
                for token in ["select", &format!("t{a}"), "from", &format!("{b}")] {
                    hash.token(token, Case::Lower);
                }
                seen.insert(hash.finish());
            }
        }
        assert_eq!(seen.len(), 1_000_000);
    }

    #[test]
    fn tokens_have_ends_and_cases() {
        let hash = |tokens: &[(&str, Case)]| {
            let mut hash = Hash::default();
            tokens.iter().for_each(|(token, case)| hash.token(token, *case));
            hash.finish()
        };
        let (lower, kept) = (Case::Lower, Case::Kept);
        assert_eq!(hash(&[("Select", lower)]), hash(&[("SELECT", lower)]));
        assert_ne!(hash(&[("Select", kept)]), hash(&[("SELECT", kept)]));
        assert_ne!(hash(&[("ab", lower), ("c", lower)]), hash(&[("a", lower), ("bc", lower)]));
        assert_ne!(hash(&[("abcdefgh", lower), ("i", lower)]), hash(&[("abcdefghi", lower)]));
        assert_ne!(hash(&[("a", lower)]), hash(&[("a\0", lower)]));
        assert_ne!(hash(&[]), hash(&[("", lower)]));
    }
}
