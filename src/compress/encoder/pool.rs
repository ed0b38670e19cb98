//! Back ends between two bodies: making one anew costs more than coding a small body.

use parking_lot::Mutex;

/// Idle back ends of one kind, at most `most` of them, each with what it was set up for.
///
/// They are scratch memory and no state: each was reset before it came here, so no output depends on which one is taken.
/// The lock is held for a few nanoseconds.
pub(super) struct Pool<K, T> {
    idle: Mutex<Vec<(K, T)>>,
    most: usize,
}

impl<K: PartialEq, T> Pool<K, T> {
    pub(super) const fn new(most: usize) -> Self {
        Self { idle: Mutex::new(Vec::new()), most }
    }

    /// One that was set up for `key`, the most recently used one: its memory is likely to be in the processor's cache.
    pub(super) fn take(&self, key: &K) -> Option<T> {
        let mut idle = self.idle.lock();
        let at = idle.iter().rposition(|(of, _)| of == key)?;
        Some(idle.remove(at).1)
    }

    /// Keeps one. In a full pool it takes the place of the one that has been idle longest, which may be of a level that
    /// nobody asks for since the settings changed.
    pub(super) fn put(&self, key: K, back_end: T) {
        let dropped = {
            let mut idle = self.idle.lock();
            let dropped = (idle.len() >= self.most).then(|| idle.remove(0));
            idle.push((key, back_end));
            dropped
        };
        // Freed outside the lock.
        drop(dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_bounded_and_keyed() {
        let pool = Pool::new(2);
        assert_eq!(pool.take(&6), None);
        for (level, back_end) in [(1, "first"), (6, "second"), (6, "third")] {
            pool.put(level, back_end);
        }
        assert_eq!(pool.take(&1), None, "the oldest made room");
        assert_eq!(pool.take(&6), Some("third"));
        assert_eq!(pool.take(&6), Some("second"));
        assert_eq!(pool.take(&6), None);
    }
}
