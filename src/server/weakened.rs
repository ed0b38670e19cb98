//! Entity tags that were weakened here, so that they are known when a client sends them back.
//!
//! A coded copy has the weak form of the app's strong tag (RFC 9110 §8.8.3.3). An app takes no weak tag for a match where
//! it guards against lost updates (`If-Match`, §13.1.1), and many compare tags letter by letter: so the app is sent the tag
//! that it gave out. A tag that was weak from the start goes on as it is, since some apps do compare those.

use std::{
    borrow::Cow,
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::header::{Fields, RequestHead, validator};

/// Tags that are remembered; a new one takes the place of another. Half a MiB.
const SLOTS: usize = 1 << 16;

/// The tags weakened lately, each with its URL, as hashes with a key of this process.
#[derive(Debug)]
pub(super) struct Weakened {
    slots: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Default for Weakened {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::new() }
    }
}

impl Weakened {
    /// Remembers that a client was sent the weak form of this tag, if it has one.
    pub(super) fn remember(&self, request: &RequestHead, etag: Option<&[u8]>) {
        let Some(etag) = etag.filter(|etag| etag.starts_with(b"\"")) else { return };
        let (slot, hash) = self.slot(request, etag);
        // What is there already is not written to: other threads read it.
        if slot.load(Relaxed) != hash {
            slot.store(hash, Relaxed);
        }
    }

    /// The value of If-Match or If-None-Match as the app is to see it.
    pub(super) fn restored<'v>(&self, request: &RequestHead, value: &'v [u8]) -> Cow<'v, [u8]> {
        if memchr::memmem::find(value, b"W/\"").is_none() {
            return value.into();
        }
        let mut restored = Vec::with_capacity(value.len());
        let mut rest = value;
        for tag in validator::tags(value) {
            // Tags are parts of the value, one after the other.
            let at = tag.as_ptr() as usize - rest.as_ptr() as usize;
            restored.extend_from_slice(&rest[..at]);
            let strong = tag.strip_prefix(b"W/").filter(|strong| self.knows(request, strong));
            restored.extend_from_slice(strong.unwrap_or(tag));
            rest = &rest[at + tag.len()..];
        }
        restored.extend_from_slice(rest);
        restored.into()
    }

    fn knows(&self, request: &RequestHead, etag: &[u8]) -> bool {
        let (slot, hash) = self.slot(request, etag);
        slot.load(Relaxed) == hash
    }

    fn slot(&self, request: &RequestHead, etag: &[u8]) -> (&AtomicU64, u64) {
        // 0 is an empty slot.
        let hash = self.hasher.hash_one((&*request.host, &*request.target, etag)).max(1);
        (&self.slots[hash as usize % SLOTS], hash)
    }
}

/// The fields in which a client sends tags back to the app that it had them from.
pub(super) const CONDITIONS: [&str; 2] = ["if-match", "if-none-match"];

/// Whether a request asks by a tag that may have been weakened.
pub(super) fn asks_weakly(request: &RequestHead) -> bool {
    CONDITIONS.iter().any(|name| request.all(name).any(|value| memchr::memmem::find(value, b"W/\"").is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str) -> RequestHead {
        RequestHead::for_tests(&format!("PUT {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
    }

    #[test]
    fn only_what_was_weakened_here_is_made_strong_again() {
        let weakened = Weakened::default();
        weakened.remember(&request("/x"), Some(b"\"v1\""));
        weakened.remember(&request("/x"), Some(b"W/\"weak\""));
        weakened.remember(&request("/x"), None);
        for (target, value, expected) in [
            ("/x", "W/\"v1\"", "\"v1\""),
            ("/x", "\"v1\"", "\"v1\""),
            ("/x", "W/\"weak\"", "W/\"weak\""),
            ("/x", "W/\"v2\", W/\"v1\" ,\"a,b\"", "W/\"v2\", \"v1\" ,\"a,b\""),
            ("/y", "W/\"v1\"", "W/\"v1\""),
            ("/x", "*", "*"),
            ("/x", "", ""),
            // What follows a fault stays as it is.
            ("/x", "W/\"v1\", W/v1, W/\"v1\"", "\"v1\", W/v1, W/\"v1\""),
            ("/x", "W/\"v1", "W/\"v1"),
        ] {
            let restored = weakened.restored(&request(target), value.as_bytes());
            assert_eq!(std::str::from_utf8(&restored).unwrap(), expected, "{target} {value}");
        }
    }

    #[test]
    fn memory_is_bounded_and_the_latest_are_known() {
        let weakened = Weakened::default();
        for nth in 0..3 * SLOTS {
            weakened.remember(&request("/x"), Some(format!("\"{nth}\"").as_bytes()));
        }
        assert_eq!(weakened.slots.len(), SLOTS);
        let last = format!("\"{}\"", 3 * SLOTS - 1);
        assert!(weakened.knows(&request("/x"), last.as_bytes()));
    }
}
