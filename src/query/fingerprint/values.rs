//! Whether two executions had the same values, without keeping any.

use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};

/// The key of hashes of values: random, made anew in each process, in no log and no answer. Without it nobody can look
/// for a value by its hash.
#[derive(Clone, Default)]
pub struct Key(RandomState);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// What values that are sent beside a statement hash to, in their order.
    pub fn hash<'a>(&self, values: impl IntoIterator<Item = &'a [u8]>) -> u64 {
        let mut hasher = self.0.build_hasher();
        values.into_iter().for_each(|value| {
            hasher.write(value);
            hasher.write_u8(0xff);
        });
        hasher.finish()
    }

    pub(super) fn hasher(&self) -> ValuesHasher {
        ValuesHasher { hasher: self.0.build_hasher(), is_complete: true }
    }
}

/// The values of one execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Values {
    /// A keyed hash of those that were seen.
    pub hash: u64,
    /// All of them were seen: two executions with the same hash did the same. Otherwise another hash still tells that
    /// they did not.
    pub is_complete: bool,
}

impl Values {
    /// With those that were sent beside the statement.
    pub fn with_sent(self, sent: u64) -> Self {
        Self { hash: self.hash ^ sent.rotate_left(1), is_complete: true }
    }
}

pub(super) struct ValuesHasher {
    hasher: DefaultHasher,
    is_complete: bool,
}

impl ValuesHasher {
    pub(super) fn literal(&mut self, literal: &str) {
        self.hasher.write(literal.as_bytes());
        self.hasher.write_u8(0xff);
    }

    pub(super) fn placeholder(&mut self) {
        self.is_complete = false;
    }

    pub(super) fn finish(self) -> Values {
        Values { hash: self.hasher.finish(), is_complete: self.is_complete }
    }
}
