//! What the keyed cache holds: values by key, in the order of their use and in that of their expiry.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Instant,
};

use super::{Entry, MAX_TTL, Settings, Value};

/// Values within bounds, and how many came and went.
#[derive(Debug)]
pub(super) struct Shelf {
    entries: HashMap<Arc<str>, Held>,
    /// By when they were used last; the first is the next to leave for room.
    by_use: BTreeMap<u64, Arc<str>>,
    /// By when they expire; revisions tell apart those that do so at once.
    by_expiry: BTreeMap<(Instant, u64), Arc<str>>,
    bytes: u64,
    max_entries: usize,
    max_bytes: u64,
    process: u64,
    /// Grows with each use and each revision, so that none comes twice.
    ticks: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) stored: u64,
    pub(super) rejected_too_large: u64,
    pub(super) rejected_for_room: u64,
    pub(super) evicted_for_room: u64,
    pub(super) expired: u64,
    pub(super) purged: u64,
}

/// A value and when it was used last.
#[derive(Debug)]
struct Held {
    entry: Arc<Entry>,
    used: u64,
}

/// Bytes that a value under this key takes; what the process really grows by is within a tenth of it.
pub(super) fn weight(key: &str, value: &Value) -> u64 {
    /// Both counts of an `Arc`.
    const COUNTS: usize = 2 * size_of::<usize>();
    /// What an allocator adds, on average, to what it was asked for.
    const ALLOCATION: usize = 16;
    /// A slot in each of the three maps; their nodes and tables may be half empty.
    const SLOTS: usize =
        2 * (size_of::<(Arc<str>, Held)>() + size_of::<(u64, Arc<str>)>() + size_of::<((Instant, u64), Arc<str>)>());
    let tags: usize = value.tags.iter().map(|tag| tag.len() + size_of::<Box<str>>() + ALLOCATION).sum();
    let content_type = value.content_type.as_ref().map_or(0, |text| text.len() + ALLOCATION);
    let entry = size_of::<Entry>() + COUNTS + ALLOCATION;
    // `Bytes` are counted themselves once they are shared.
    let body = value.body.len() + 3 * size_of::<usize>() + 2 * ALLOCATION;
    (SLOTS + key.len() + COUNTS + ALLOCATION + tags + content_type + entry + body) as u64
}

impl Shelf {
    pub(super) fn new(settings: &Settings, process: u64) -> Self {
        Self {
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            by_expiry: BTreeMap::new(),
            bytes: 0,
            max_entries: usize::try_from(settings.max_entries).unwrap_or(usize::MAX).max(1),
            max_bytes: settings.max_bytes,
            process,
            ticks: 0,
            hits: 0,
            misses: 0,
            stored: 0,
            rejected_too_large: 0,
            rejected_for_room: 0,
            evicted_for_room: 0,
            expired: 0,
            purged: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What is there under a key and has not expired; to look at it is no use of it.
    pub(super) fn peek(&self, key: &str, now: Instant) -> Option<Arc<Entry>> {
        let held = self.entries.get(key)?;
        (held.entry.expires() > now).then(|| held.entry.clone())
    }

    /// What is there under a key and has not expired. Counts a hit and a use, or a miss.
    pub(super) fn look_up(&mut self, key: &str, now: Instant) -> Option<Arc<Entry>> {
        let Some(entry) = self.peek(key, now) else {
            self.misses += 1;
            return None;
        };
        self.hits += 1;
        let used = self.tick();
        if let Some(held) = self.entries.get_mut(key) {
            let before = std::mem::replace(&mut held.used, used);
            if let Some(key) = self.by_use.remove(&before) {
                self.by_use.insert(used, key);
            }
        }
        Some(entry)
    }

    /// Puts a value in the place of what is there, and makes room for it.
    ///
    /// Precondition: it takes no more than `max_bytes`.
    pub(super) fn insert(&mut self, key: &str, value: Value, now: Instant) -> Arc<Entry> {
        // Before what is replaced is looked for: where that has expired, it is counted as such.
        self.sweep(now);
        self.remove(key);
        let weight = weight(key, &value);
        while self.entries.len() >= self.max_entries || self.bytes + weight > self.max_bytes {
            let Some(oldest) = self.by_use.first_key_value().map(|(_, key)| key.clone()) else { break };
            self.remove(&oldest);
            self.evicted_for_room += 1;
        }
        let tick = self.tick();
        let value = Value { ttl: value.ttl.min(MAX_TTL), ..value };
        let entry = Arc::new(Entry { value, stored: now, process: self.process, revision: tick });
        let key: Arc<str> = key.into();
        self.by_use.insert(tick, key.clone());
        self.by_expiry.insert((entry.expires(), tick), key.clone());
        self.entries.insert(key, Held { entry: entry.clone(), used: tick });
        self.bytes += weight;
        self.stored += 1;
        entry
    }

    /// Removes what is there under a key.
    pub(super) fn purge(&mut self, key: &str) {
        if self.remove(key).is_some() {
            self.purged += 1;
        }
    }

    /// Removes what is there under a key if it is this very value. Returns the bytes that it took.
    pub(super) fn purge_exactly(&mut self, key: &str, entry: &Arc<Entry>) -> Option<u64> {
        self.entries.get(key).filter(|held| Arc::ptr_eq(&held.entry, entry))?;
        let bytes = self.remove(key)?;
        self.purged += 1;
        Some(bytes)
    }

    /// Removes what has expired.
    pub(super) fn sweep(&mut self, now: Instant) {
        while let Some(first) = self.by_expiry.first_entry() {
            let (expires, _) = *first.key();
            if expires > now {
                return;
            }
            let key = first.remove();
            self.remove(&key);
            self.expired += 1;
        }
    }

    /// Everything that is held.
    pub(super) fn all(&self) -> Vec<(Arc<str>, Arc<Entry>)> {
        self.entries.iter().map(|(key, held)| (key.clone(), held.entry.clone())).collect()
    }

    /// Takes a value out of all three maps. Returns the bytes that it took.
    fn remove(&mut self, key: &str) -> Option<u64> {
        let (key, held) = self.entries.remove_entry(key)?;
        self.by_use.remove(&held.used);
        self.by_expiry.remove(&(held.entry.expires(), held.entry.revision));
        let weight = weight(&key, &held.entry.value);
        self.bytes -= weight;
        Some(weight)
    }

    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    fn shelf(max_entries: u64, max_bytes: u64) -> Shelf {
        Shelf::new(&Settings { max_entries, max_bytes }, 1)
    }

    fn value(ttl: u64, bytes: usize) -> Value {
        let body = Bytes::from(vec![b'x'; bytes]);
        Value { content_type: None, body, tags: Box::default(), ttl: Duration::from_secs(ttl) }
    }

    fn keys(shelf: &Shelf) -> Vec<Arc<str>> {
        let mut keys: Vec<_> = shelf.all().into_iter().map(|(key, _)| key).collect();
        keys.sort();
        keys
    }

    /// Each map has each value once.
    fn assert_whole(shelf: &Shelf) {
        let sum: u64 = shelf.all().iter().map(|(key, entry)| weight(key, &entry.value)).sum();
        let lengths = [shelf.entries.len(), shelf.by_use.len(), shelf.by_expiry.len()];
        assert_eq!((lengths, shelf.bytes), ([shelf.len(); 3], sum), "{shelf:?}");
    }

    #[test]
    fn what_was_not_used_for_longest_leaves_first() {
        let (mut shelf, now) = (shelf(3, 1 << 20), Instant::now());
        for key in ["a", "b", "c"] {
            shelf.insert(key, value(60, 1), now);
        }
        shelf.look_up("a", now).unwrap();
        // To look at it without using it keeps nothing.
        shelf.peek("b", now).unwrap();
        shelf.insert("d", value(60, 1), now);
        assert_eq!(keys(&shelf), ["a", "c", "d"].map(Arc::from));
        assert_eq!(shelf.evicted_for_room, 1);
        assert_whole(&shelf);
    }

    #[test]
    fn the_expired_leave_before_what_is_of_use() {
        let (mut shelf, now) = (shelf(2, 1 << 20), Instant::now());
        shelf.insert("old", value(60, 1), now);
        shelf.insert("expired", value(1, 1), now);
        shelf.insert("new", value(60, 1), now + Duration::from_secs(1));
        assert_eq!(keys(&shelf), ["new", "old"].map(Arc::from));
        assert_eq!((shelf.evicted_for_room, shelf.expired), (0, 1));
        assert_whole(&shelf);
    }

    #[test]
    fn bytes_stay_below_their_bound() {
        let (mut shelf, now) = (shelf(1000, 10_000), Instant::now());
        for n in 0..50 {
            shelf.insert(&n.to_string(), value(60, 1000), now);
            assert!(shelf.bytes() <= 10_000);
        }
        assert!((4..10).contains(&shelf.len()), "{}", shelf.len());
        assert_eq!(shelf.evicted_for_room, 50 - shelf.len() as u64);
        assert_whole(&shelf);
    }

    #[test]
    fn what_is_replaced_is_no_eviction() {
        let (mut shelf, now) = (shelf(10, 1 << 20), Instant::now());
        shelf.insert("a", value(60, 1000), now);
        shelf.insert("a", value(5, 1), now);
        assert_eq!((shelf.stored, shelf.evicted_for_room, shelf.expired, shelf.purged), (2, 0, 0, 0));
        // Nor does the time of the first count any more.
        assert!(shelf.peek("a", now + Duration::from_secs(5)).is_none());
        assert_whole(&shelf);
    }

    #[test]
    fn a_value_is_there_up_to_its_time_and_no_longer() {
        let (mut shelf, now) = (shelf(10, 1 << 20), Instant::now());
        shelf.insert("a", value(2, 1), now);
        let at = |millis| now + Duration::from_millis(millis);
        assert!(shelf.look_up("a", at(1999)).is_some() && shelf.look_up("a", at(2000)).is_none());
        assert_eq!((shelf.hits, shelf.misses, shelf.expired), (1, 1, 0));
        shelf.sweep(at(1999));
        assert_eq!(shelf.len(), 1);
        shelf.sweep(at(2000));
        assert_eq!((shelf.len(), shelf.bytes(), shelf.expired), (0, 0, 1));
        assert_whole(&shelf);
    }

    #[test]
    fn no_time_is_longer_than_the_longest() {
        let (mut shelf, now) = (shelf(10, 1 << 20), Instant::now());
        let entry = shelf.insert("a", Value { ttl: Duration::MAX, ..value(0, 1) }, now);
        assert_eq!(entry.ttl(now), 30 * 86_400);
    }

    #[test]
    fn only_the_very_value_is_purged() {
        let (mut shelf, now) = (shelf(10, 1 << 20), Instant::now());
        let first = shelf.insert("a", value(60, 1), now);
        let second = shelf.insert("a", value(60, 1), now);
        assert_eq!(shelf.purge_exactly("a", &first), None);
        assert!(shelf.peek("a", now).is_some());
        assert_eq!(shelf.purge_exactly("a", &second), Some(weight("a", &second.value)));
        assert_eq!((shelf.len(), shelf.purged), (0, 1));
        assert_whole(&shelf);
    }

    #[test]
    fn everything_that_is_kept_is_weighed() {
        let plain = weight("k", &value(1, 0));
        let tags: Box<[Box<str>]> = ["1234567890".into()].into();
        let content_type = Some(Bytes::from_static(b"text/plain"));
        assert_eq!(weight("key", &value(1, 0)), plain + 2);
        assert_eq!(weight("k", &value(1, 1000)), plain + 1000);
        assert!(weight("k", &Value { tags, ..value(1, 0) }) >= plain + 10);
        assert!(weight("k", &Value { content_type, ..value(1, 0) }) >= plain + 10);
        assert!(plain > size_of::<Entry>() as u64);
    }
}
