//! The keyed cache: the app's own results, such as the rows of a query, under keys of the app's choice.
//!
//! It has a budget of its own and nothing in common with the cache of HTTP responses but the words of its figures. It
//! is reached through the admin port and is not on the way of a request, so that one lock and ordered maps will do:
//! `shelf` holds everything, and this file puts the lock around it.

mod select;
mod shelf;

#[cfg(test)]
mod model;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;

pub use select::Select;

pub use super::pattern::Pattern;
use shelf::Shelf;

use super::{Evicted, Skip};

/// The longest time that a value may be kept, in place of any longer one: 30 days.
pub const MAX_TTL: Duration = Duration::from_secs(30 * 86_400);

/// A single value may take this part of the whole budget, so that one cannot push out all others.
const VALUE_SHARE: u64 = 4;

/// How much the keyed cache may hold: the settings of `[cache.keyed]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Values at most. Default 5000.
    pub max_entries: u64,
    /// Bytes that values may take, with their keys, tags and bookkeeping. Default 32 MiB.
    pub max_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_entries: 5000, max_bytes: 32 << 20 }
    }
}

/// What is put under a key.
#[derive(Clone, Debug)]
pub struct Value {
    /// The value of Content-Type that came with it.
    pub content_type: Option<Bytes>,
    /// The value itself.
    pub body: Bytes,
    /// Words that it can be found by when what it was made of changes.
    pub tags: Box<[Box<str>]>,
    /// How long it may be returned; [`MAX_TTL`] at most.
    pub ttl: Duration,
}

/// A value that is held.
#[derive(Debug)]
pub struct Entry {
    /// What was put.
    pub value: Value,
    stored: Instant,
    /// Of all values of all processes, only this one has this pair.
    process: u64,
    revision: u64,
}

impl Entry {
    /// A strong entity tag (RFC 9110 §8.8.3). It names the moment of storing and not the bytes: revision numbers are
    /// strong validators as well (§8.8.1), and cost nothing to reckon.
    pub fn etag(&self) -> String {
        format!("\"{:x}-{:x}\"", self.process, self.revision)
    }

    /// How long ago it was put.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.stored)
    }

    /// Seconds for which it may still be returned.
    pub fn ttl(&self, now: Instant) -> i64 {
        self.value.ttl.as_secs() as i64 - self.age(now).as_secs() as i64
    }

    fn expires(&self) -> Instant {
        self.stored + self.value.ttl
    }
}

/// What became of a value that was put.
#[derive(Clone, Debug)]
pub enum Put {
    /// Nothing was there under the key.
    Created(Arc<Entry>),
    /// It took the place of another.
    Replaced(Arc<Entry>),
    /// What is there did not meet the condition, and stays.
    Unmet,
    /// It takes more bytes than one value may.
    TooLarge {
        /// What it takes, key, tags and bookkeeping included.
        bytes: u64,
    },
}

/// What became of a key that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// A value was there and is no longer.
    Gone,
    /// Nothing was there.
    Absent,
    /// What is there did not meet the condition, and stays.
    Unmet,
}

/// What was cleared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Values that were meant.
    pub matched: u64,
    /// Of these, those that were removed: one that was replaced in the meantime stays.
    pub cleared: u64,
    /// Bytes that the removed ones took.
    pub bytes: u64,
}

/// The keyed cache's figures at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Look-ups that were answered with a value.
    pub hits: u64,
    /// Look-ups for which there was none.
    pub misses: u64,
    /// Values stored, replacements included.
    pub stored: u64,
    /// Values that were not stored, by reason.
    pub rejected: [(Skip, u64); 2],
    /// Values that left, by reason; replaced ones are not counted.
    pub evictions: [(Evicted, u64); 3],
    /// Values held now.
    pub entries: u64,
    /// Values that may be held.
    pub max_entries: u64,
    /// Bytes held now, bookkeeping included.
    pub bytes: u64,
    /// Bytes that may be held.
    pub max_bytes: u64,
}

impl Snapshot {
    /// Share of the look-ups that were answered with a value, 0 to 100; `None` before the first.
    pub fn hit_rate_percent(&self) -> Option<f64> {
        let all = self.hits + self.misses;
        (all > 0).then(|| self.hits as f64 * 100.0 / all as f64)
    }
}

/// The keyed cache.
#[derive(Debug)]
pub struct KeyedCache {
    /// Nothing is awaited and no foreign code runs under this lock, but the conditions that a caller gives.
    shelf: Mutex<Shelf>,
    settings: Settings,
}

impl KeyedCache {
    /// An empty cache. `process` is a number that no earlier process had, so that no entity tag comes twice.
    pub fn new(settings: Settings, process: u64) -> Self {
        Self { shelf: Mutex::new(Shelf::new(&settings, process)), settings }
    }

    /// Bytes that may be held.
    pub fn max_bytes(&self) -> u64 {
        self.settings.max_bytes
    }

    /// Bytes that one value may take, key, tags and bookkeeping included: a quarter of the whole.
    pub fn max_value_bytes(&self) -> u64 {
        self.settings.max_bytes / VALUE_SHARE
    }

    /// Stores a value if what is there under the key meets a condition. What is in the way of the bounds leaves: the
    /// expired first, then what was not used for longest.
    pub fn put(&self, key: &str, value: Value, meets: impl FnOnce(Option<&Entry>) -> bool, now: Instant) -> Put {
        let bytes = shelf::weight(key, &value);
        let mut shelf = self.shelf.lock();
        if bytes > self.max_value_bytes() {
            shelf.rejected_too_large += 1;
            return Put::TooLarge { bytes };
        }
        let before = shelf.peek(key, now);
        if !meets(before.as_deref()) {
            return Put::Unmet;
        }
        let entry = shelf.insert(key, value, now);
        if before.is_some() { Put::Replaced(entry) } else { Put::Created(entry) }
    }

    /// The value under a key, unless it has expired.
    pub fn get(&self, key: &str, now: Instant) -> Option<Arc<Entry>> {
        self.shelf.lock().look_up(key, now)
    }

    /// Removes the value under a key if it meets a condition.
    pub fn delete(&self, key: &str, meets: impl FnOnce(&Entry) -> bool, now: Instant) -> Deleted {
        let mut shelf = self.shelf.lock();
        let Some(entry) = shelf.peek(key, now) else { return Deleted::Absent };
        if !meets(&entry) {
            return Deleted::Unmet;
        }
        shelf.purge(key);
        Deleted::Gone
    }

    /// Removes every value that is there now and meant.
    ///
    /// Judging keys takes its time and is done without the lock: values that are put meanwhile stay.
    pub fn clear(&self, select: &Select, now: Instant) -> Cleared {
        let all = {
            let mut shelf = self.shelf.lock();
            shelf.sweep(now);
            shelf.all()
        };
        let meant: Vec<_> = all.into_iter().filter(|(key, entry)| select.has(key, &entry.value)).collect();
        let mut cleared = Cleared { matched: meant.len() as u64, ..Cleared::default() };
        let mut shelf = self.shelf.lock();
        for (key, entry) in &meant {
            if let Some(bytes) = shelf.purge_exactly(key, entry) {
                cleared.cleared += 1;
                cleared.bytes += bytes;
            }
        }
        cleared
    }

    /// Removes what has expired. It is never returned anyway; this gives back its memory.
    pub fn sweep(&self, now: Instant) {
        self.shelf.lock().sweep(now);
    }

    /// Counts a value that was too large to be received.
    pub fn reject_too_large(&self) {
        self.shelf.lock().rejected_too_large += 1;
    }

    /// Counts a value for which there was no room while it was being received.
    pub fn reject_for_room(&self) {
        self.shelf.lock().rejected_for_room += 1;
    }

    /// The figures now.
    pub fn snapshot(&self) -> Snapshot {
        let shelf = self.shelf.lock();
        Snapshot {
            hits: shelf.hits,
            misses: shelf.misses,
            stored: shelf.stored,
            rejected: [(Skip::TooLarge, shelf.rejected_too_large), (Skip::NoRoom, shelf.rejected_for_room)],
            evictions: [
                (Evicted::Capacity, shelf.evicted_for_room),
                (Evicted::Expired, shelf.expired),
                (Evicted::Purged, shelf.purged),
            ],
            entries: shelf.len() as u64,
            max_entries: self.settings.max_entries,
            bytes: shelf.bytes(),
            max_bytes: self.settings.max_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(max_entries: u64, max_bytes: u64) -> KeyedCache {
        KeyedCache::new(Settings { max_entries, max_bytes }, 0xabc)
    }

    fn value(body: &'static str, tags: &[&str]) -> Value {
        let tags = tags.iter().map(|tag| Box::from(*tag)).collect();
        Value { content_type: None, body: body.into(), tags, ttl: Duration::from_secs(60) }
    }

    fn any(_: Option<&Entry>) -> bool {
        true
    }

    #[test]
    fn a_value_too_large_is_refused_and_takes_nobodys_place() {
        let (cache, now) = (cache(100, 10_000), Instant::now());
        cache.put("a", value("small", &[]), any, now);
        let large = Value { body: vec![0; 2500].into(), ..value("", &[]) };
        let Put::TooLarge { bytes } = cache.put("a", large, any, now) else { panic!("it was stored") };
        assert!(bytes > cache.max_value_bytes());
        assert_eq!(cache.get("a", now).unwrap().value.body, "small");
        assert_eq!(cache.snapshot().rejected, [(Skip::TooLarge, 1), (Skip::NoRoom, 0)]);
    }

    #[test]
    fn a_condition_is_judged_by_what_is_there() {
        let (cache, now) = (cache(100, 1 << 20), Instant::now());
        let absent = |entry: Option<&Entry>| entry.is_none();
        assert!(matches!(cache.put("a", value("1", &[]), absent, now), Put::Created(_)));
        assert!(matches!(cache.put("a", value("2", &[]), absent, now), Put::Unmet));
        let first = cache.get("a", now).unwrap();
        assert_eq!(first.value.body, "1");
        assert!(matches!(cache.put("a", value("3", &[]), any, now), Put::Replaced(_)));
        assert_eq!(cache.delete("a", |entry| entry.etag() == first.etag(), now), Deleted::Unmet);
        assert_eq!(cache.delete("a", |entry| entry.etag() != first.etag(), now), Deleted::Gone);
        assert_eq!(cache.delete("a", |_| true, now), Deleted::Absent);
        // What has expired is not there.
        cache.put("a", value("4", &[]), absent, now);
        let later = now + Duration::from_secs(60);
        assert_eq!(cache.delete("a", |_| true, later), Deleted::Absent);
        assert!(matches!(cache.put("a", value("5", &[]), absent, later), Put::Created(_)));
    }

    #[test]
    fn the_same_bytes_stored_again_have_another_tag() {
        let (cache, now) = (cache(100, 1 << 20), Instant::now());
        let etag = || {
            cache.put("a", value("1", &[]), any, now);
            cache.get("a", now).unwrap().etag()
        };
        let (first, second) = (etag(), etag());
        assert!(first.starts_with("\"abc-") && first.ends_with('"') && first != second, "{first} {second}");
    }

    #[test]
    fn clearing_finds_what_is_meant() {
        let pattern = |text| Select::Pattern(Pattern::new(text).unwrap());
        for (select, left) in [
            (Select::Prefix("user:".into()), vec!["post:1", "post:12"]),
            (Select::Prefix("user:12".into()), vec!["post:1", "post:12", "user:1"]),
            (Select::Prefix("x".into()), vec!["post:1", "post:12", "user:1", "user:12"]),
            (pattern(":1$"), vec!["post:12", "user:12"]),
            (pattern("^(post|user):12"), vec!["post:1", "user:1"]),
            (Select::Tag("posts".into()), vec!["user:1", "user:12"]),
            (Select::Tag("post".into()), vec!["post:1", "post:12", "user:1", "user:12"]),
        ] {
            let (cache, now) = (cache(100, 1 << 20), Instant::now());
            for (key, tags) in
                [("user:1", &["a"][..]), ("user:12", &[]), ("post:1", &["a", "posts"]), ("post:12", &["posts"])]
            {
                cache.put(key, value("", tags), any, now);
            }
            let before = cache.snapshot().bytes;
            let cleared = cache.clear(&select, now);
            let mut keys: Vec<_> = cache.shelf.lock().all().iter().map(|(key, _)| key.to_string()).collect();
            keys.sort();
            assert_eq!(keys, left, "{select:?}");
            let after = cache.snapshot();
            assert_eq!((cleared.matched, cleared.cleared), (4 - left.len() as u64, cleared.matched), "{select:?}");
            assert_eq!((cleared.bytes, after.evictions[2].1), (before - after.bytes, cleared.cleared), "{select:?}");
        }
    }

    #[test]
    fn what_has_expired_is_not_cleared_but_expired() {
        let (cache, now) = (cache(100, 1 << 20), Instant::now());
        cache.put("a", value("", &[]), any, now);
        let cleared = cache.clear(&Select::Prefix("a".into()), now + Duration::from_secs(60));
        assert_eq!(cleared, Cleared::default());
        assert_eq!(cache.snapshot().evictions[1..], [(Evicted::Expired, 1), (Evicted::Purged, 0)]);
    }

    #[test]
    fn the_hit_rate_is_of_look_ups() {
        let (cache, now) = (cache(100, 1 << 20), Instant::now());
        assert_eq!(cache.snapshot().hit_rate_percent(), None);
        cache.put("a", value("", &[]), any, now);
        for key in ["a", "a", "b", "a"] {
            cache.get(key, now);
        }
        assert_eq!(cache.snapshot().hit_rate_percent(), Some(75.0));
    }
}
