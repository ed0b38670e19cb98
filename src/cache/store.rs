//! The store: resources by key, bounded in bytes and in number.

use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter, sync};

use crate::traffic::{Counter, Entered, Gauge};

use super::{
    Key, Settings,
    entry::{Entry, Resource},
};

/// Resources by key. Reading takes no lock but quick_cache's own, for the moment of a look-up.
#[derive(Debug)]
pub struct Store {
    resources: sync::Cache<Key, Arc<Resource>, Weight, DefaultHashBuilder, OnEviction>,
    /// One writer at a time for a key, so that two new variants do not overwrite each other.
    writers: [Mutex<()>; 64],
    entries: Arc<Gauge>,
    evicted_for_room: Arc<Counter>,
    max_bytes: u64,
    max_entries: u64,
}

/// Weighs a resource: its real bytes, but never less than the share that one entry has of the whole, so that
/// `max_entries` holds as well as `max_bytes` (quick_cache bounds weight, not number).
#[derive(Clone, Debug)]
struct Weight {
    least: u64,
}

impl Weighter<Key, Arc<Resource>> for Weight {
    fn weight(&self, key: &Key, resource: &Arc<Resource>) -> u64 {
        resource.weight(key).max(self.least)
    }
}

/// Counts what quick_cache evicts for room.
#[derive(Clone, Debug)]
struct OnEviction(Arc<Counter>);

impl Lifecycle<Key, Arc<Resource>> for OnEviction {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: Key, resource: Arc<Resource>) {
        (0..resource.entries()).for_each(|_| self.0.add());
    }
}

impl Store {
    /// An empty store with the bounds of the settings.
    pub fn new(settings: &Settings) -> Self {
        let max_entries = settings.max_entries.max(1);
        let evicted_for_room = Arc::new(Counter::default());
        // A shard must be able to hold the largest object that may be stored, or it would refuse it: so few objects,
        // few shards. Eight objects of room for each shard keep its evictions gentle.
        let shards = (settings.max_bytes / (settings.max_object_bytes.max(1) * 8)).clamp(1, 64) as usize;
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(max_entries.min(100_000) as usize)
            .weight_capacity(settings.max_bytes)
            .build()
            .expect("every required option is set");
        Self {
            resources: sync::Cache::with_options(
                options,
                Weight { least: settings.max_bytes / max_entries },
                DefaultHashBuilder::default(),
                OnEviction(evicted_for_room.clone()),
            ),
            writers: std::array::from_fn(|_| Mutex::new(())),
            entries: Arc::default(),
            evicted_for_room,
            max_bytes: settings.max_bytes,
            max_entries: settings.max_entries,
        }
    }

    /// What is known of a key.
    pub fn get(&self, key: &Key) -> Option<Arc<Resource>> {
        self.resources.get(key)
    }

    /// Adds a response to what is known of its key.
    pub fn insert(&self, key: &Key, entry: Entry) {
        self.update(key, |resource| resource.with(entry));
    }

    /// Marks a key as uncacheable for requests of this kind until then.
    pub fn mark_uncacheable(&self, key: &Key, identified: bool, until: Instant) {
        self.update(key, |resource| resource.uncacheable_until(identified, until));
    }

    fn update(&self, key: &Key, change: impl FnOnce(&Resource) -> Resource) {
        let _writer = self.writers[shard(key, self.writers.len())].lock();
        let before = self.resources.peek(key);
        let after = change(before.as_deref().unwrap_or(&Resource::default()));
        self.resources.insert(key.clone(), Arc::new(after));
    }

    /// Counts an entry as held until the guard is dropped with it. An entry that is still being sent is held too.
    pub fn count_entry(&self) -> Entered {
        self.entries.enter()
    }

    /// Responses held now.
    pub fn entries(&self) -> u64 {
        self.entries.value()
    }

    /// Bytes held now, bookkeeping included.
    pub fn bytes(&self) -> u64 {
        self.resources.weight()
    }

    /// Responses that may be held.
    pub fn max_entries(&self) -> u64 {
        self.max_entries
    }

    /// Bytes that may be held.
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// Responses that left the store since room was needed.
    pub fn evicted_for_room(&self) -> u64 {
        self.evicted_for_room.value()
    }
}

/// Which of so many locks is a key's.
fn shard(key: &Key, shards: usize) -> usize {
    key.bytes().iter().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte))) % shards
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::{Selecting, Storable, policy::Shared},
        header::{RequestHead, ResponseHead, forwarded::Peer},
    };
    use bytes::Bytes;
    use std::time::Duration;

    fn store(max_bytes: u64, max_entries: u64, max_object_bytes: u64) -> Store {
        Store::new(&Settings { max_bytes, max_entries, max_object_bytes, ..Settings::default() })
    }

    fn request(path: &str, fields: &str) -> RequestHead {
        RequestHead::for_tests(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
    }

    fn key(path: &str) -> Key {
        Key::of(&request(path, ""), &Peer::new("127.0.0.1".parse().unwrap(), false, &[]))
    }

    fn entry(store: &Store, vary: &str, asked: &str, body: Vec<u8>) -> Entry {
        let head = ResponseHead::for_tests(200, vary);
        let storable = Storable {
            lifetime: Duration::from_secs(60),
            initial_age: Duration::ZERO,
            shared: Shared { with_cookies: false, with_authorization: false },
        };
        let selecting = Selecting::of(&head, &request("/", asked), &[]);
        Entry::new(&head, Bytes::from(body), selecting, &storable, Instant::now(), store.count_entry())
    }

    fn selected(store: &Store, asked: &str) -> Option<Bytes> {
        store.get(&key("/"))?.select(&request("/", asked), &[]).map(|entry| entry.body.clone())
    }

    #[test]
    fn bytes_stay_below_the_bound_and_evictions_are_counted() {
        let store = store(1 << 20, 1_000_000, 64 << 10);
        for n in 0..200 {
            store.insert(&key(&format!("/{n}")), entry(&store, "", "", vec![0; 10 << 10]));
            assert!(store.bytes() <= store.max_bytes());
        }
        assert!(store.entries() > 50, "{} entries of 10 KiB in 1 MiB", store.entries());
        assert_eq!(store.entries() + store.evicted_for_room(), 200);
    }

    #[test]
    fn the_number_of_entries_stays_below_the_bound() {
        let store = store(64 << 20, 100, 1 << 10);
        (0..1000).for_each(|n| store.insert(&key(&format!("/{n}")), entry(&store, "", "", vec![0; 10])));
        assert!((50..=100).contains(&store.entries()), "{}", store.entries());
    }

    #[test]
    fn the_largest_object_fits_even_a_small_store() {
        let store = store(9 << 20, 1000, 8 << 20);
        store.insert(&key("/"), entry(&store, "", "", vec![0; 8 << 20]));
        assert_eq!(store.entries(), 1);
    }

    #[test]
    fn a_new_response_replaces_the_one_it_would_be_chosen_instead_of() {
        let store = store(1 << 20, 100, 1 << 10);
        store.insert(&key("/"), entry(&store, "", "", b"old".to_vec()));
        store.insert(&key("/"), entry(&store, "", "", b"new".to_vec()));
        assert_eq!((selected(&store, "").unwrap().as_ref(), store.entries()), (b"new".as_slice(), 1));
    }

    #[test]
    fn variants_are_kept_side_by_side() {
        let store = store(1 << 20, 100, 1 << 10);
        store.insert(&key("/"), entry(&store, "Vary: Accept-Language", "Accept-Language: de\r\n", b"ja".to_vec()));
        store.insert(&key("/"), entry(&store, "Vary: Accept-Language", "Accept-Language: en\r\n", b"yes".to_vec()));
        assert_eq!(selected(&store, "accept-language: de\r\n").unwrap().as_ref(), b"ja");
        assert_eq!(selected(&store, "Accept-Language:  en \r\n").unwrap().as_ref(), b"yes");
        assert_eq!(selected(&store, ""), None);
    }

    #[test]
    fn variants_of_one_key_are_bounded() {
        let store = store(8 << 20, 1000, 1 << 10);
        for n in 0..40 {
            store.insert(&key("/"), entry(&store, "Vary: X", &format!("X: {n}\r\n"), b"x".to_vec()));
        }
        assert_eq!(store.entries(), 16);
        assert!(selected(&store, "X: 39\r\n").is_some() && selected(&store, "X: 0\r\n").is_none());
    }

    #[test]
    fn uncacheable_is_remembered_for_the_kind_of_request_and_until_something_is_stored() {
        let (store, now) = (store(1 << 20, 100, 1 << 10), Instant::now());
        let marked = |identified| store.get(&key("/")).unwrap().is_uncacheable(identified, now);
        store.mark_uncacheable(&key("/"), true, now + Duration::from_secs(10));
        assert_eq!((marked(false), marked(true)), (false, true));
        store.mark_uncacheable(&key("/"), false, now + Duration::from_secs(10));
        assert_eq!((marked(false), marked(true)), (true, true));
        store.insert(&key("/"), entry(&store, "", "", b"x".to_vec()));
        assert_eq!((marked(false), marked(true)), (false, true));
        assert!(!store.get(&key("/")).unwrap().is_uncacheable(true, now + Duration::from_secs(10)));
    }
}
