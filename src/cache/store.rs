//! The store: resources by key, bounded in bytes and in number.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter, sync};

use crate::{
    header::{ResponseHead, coding::Coding},
    traffic::Counter,
};

use super::{
    Coded, Key, NoRoom, Settings, Skip, coded,
    entry::{Entry, Resource},
    sizing,
};

/// Resources by key. Reading takes no lock but quick_cache's own, for the moment of a look-up.
#[derive(Debug)]
pub struct Store {
    resources: sync::Cache<Key, Arc<Resource>, Weight, DefaultHashBuilder, OnEviction>,
    /// One writer at a time for a key, so that two new variants do not overwrite each other.
    writers: [Mutex<()>; 64],
    weight: Weight,
    held: Arc<Held>,
    evicted_for_room: Arc<Counter>,
    max_bytes: u64,
    max_entries: u64,
    /// What all variants of one key may take.
    max_resource_bytes: u64,
}

/// What is really held: entries in the store, and those that left it and are still being sent.
#[derive(Debug, Default)]
struct Held {
    entries: AtomicU64,
    bytes: AtomicU64,
}

/// An entry's place: counted as held until it is dropped with the entry.
#[derive(Debug)]
pub struct Place {
    held: Arc<Held>,
    /// 1, or 0 for another form of an entry that has a place.
    entries: u64,
    bytes: u64,
}

impl Place {
    /// Bytes that the entry takes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.held.entries.fetch_sub(self.entries, Relaxed);
        self.held.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

/// Weighs a resource: its real bytes, but never less than the share that one entry has of the whole, so that
/// `max_entries` holds as well as `max_bytes` (quick_cache bounds weight, not number).
#[derive(Clone, Debug)]
struct Weight {
    least: u64,
}

impl Weight {
    fn of(&self, bytes: u64, variants: usize) -> u64 {
        // A resource without a response, which only says that there is none, counts as one.
        bytes.max(self.least * variants.max(1) as u64)
    }
}

impl Weighter<Key, Arc<Resource>> for Weight {
    fn weight(&self, key: &Key, resource: &Arc<Resource>) -> u64 {
        self.of(resource.weight(key), resource.variants().len())
    }
}

/// Counts what quick_cache evicts for room. Not in `on_evict`, which it calls for what is replaced as well.
#[derive(Clone, Debug)]
struct OnEviction(Arc<Counter>);

impl Lifecycle<Key, Arc<Resource>> for OnEviction {
    type RequestState = ();

    fn before_evict(&self, (): &mut (), _: &Key, resource: &mut Arc<Resource>) {
        resource.variants().iter().for_each(|_| self.0.add());
    }
}

/// Objects of the largest size that a shard has room for, so that its evictions are gentle.
const OBJECTS_PER_SHARD: u64 = 8;

impl Store {
    /// An empty store with the bounds of the settings.
    pub fn new(settings: &Settings) -> Self {
        let max_entries = settings.max_entries.max(1);
        let evicted_for_room = Arc::new(Counter::default());
        // A shard must be able to hold the largest object that may be stored, and more than one share of the whole, or
        // it would refuse them: so few objects, few shards.
        let largest = settings.max_object_bytes.max(1) * OBJECTS_PER_SHARD;
        let shards = (settings.max_bytes / largest).min(max_entries / OBJECTS_PER_SHARD).clamp(1, 64);
        let options = OptionsBuilder::new()
            .shards(shards as usize)
            .estimated_items_capacity(Self::made_for(max_entries))
            .weight_capacity(settings.max_bytes)
            .build()
            .expect("every required option is set");
        // The least of which not one more than that fits in; one of the whole would be refused.
        let weight = Weight { least: settings.max_bytes / (max_entries + 1) + 1 };
        Self {
            resources: sync::Cache::with_options(
                options,
                weight.clone(),
                DefaultHashBuilder::default(),
                OnEviction(evicted_for_room.clone()),
            ),
            writers: std::array::from_fn(|_| Mutex::new(())),
            weight,
            held: Arc::default(),
            evicted_for_room,
            max_bytes: settings.max_bytes,
            max_entries: settings.max_entries,
            // One key's variants must not push out everything else in its shard, nor outgrow it.
            max_resource_bytes: settings.max_bytes / shards / 2,
        }
    }

    /// The number of entries that the tables are made for.
    pub(super) fn made_for(max_entries: u64) -> usize {
        max_entries.min(100_000) as usize
    }

    /// What is known of a key.
    pub fn get(&self, key: &Key) -> Option<Arc<Resource>> {
        self.resources.get(key)
    }

    /// What is known of a key, for one who only looks: it does not count as a use.
    pub fn peek(&self, key: &Key) -> Option<Arc<Resource>> {
        self.resources.peek(key)
    }

    /// What a resource takes of the room.
    pub(super) fn weigh(&self, key: &Key, resource: &Resource) -> sizing::Weight {
        let bytes = resource.weight(key);
        sizing::Weight { bytes, counted: self.weight.of(bytes, resource.variants().len()) }
    }

    /// What the resource of a response takes, were it not in the store any more the response alone.
    pub(super) fn weigh_with(&self, key: &Key, entry: &Arc<Entry>) -> sizing::Weight {
        match self.resources.peek(key) {
            Some(resource) => self.weigh(key, &resource),
            None => self.weigh(key, &Resource::default().with(entry.clone(), 1, u64::MAX).0),
        }
    }

    /// Adds a response to what is known of its key, unless it is `forbidden` when nothing else can change the key, or
    /// older than a purge that what stands in its place is younger than.
    pub fn insert(&self, key: &Key, entry: Arc<Entry>, max_variants: usize, forbidden: impl FnOnce() -> bool) -> bool {
        let _writer = self.writer(key);
        if forbidden() || self.resources.peek(key).is_some_and(|resource| resource.has_newer_than(&entry)) {
            return false;
        }
        let mut gone = 0;
        self.put(key, |resource| {
            let (after, without_room) = resource.with(entry, max_variants, self.max_resource_bytes);
            gone = without_room;
            after
        });
        (0..gone).for_each(|_| self.evicted_for_room.add());
        true
    }

    /// Keeps a form of an entry's body. Where the entry is in the store, it is weighed with it.
    pub fn keep_coded(
        &self,
        key: &Key,
        entry: &Arc<Entry>,
        coding: Coding,
        form: Option<(ResponseHead, Bytes)>,
        best: bool,
    ) -> Result<Arc<Coded>, NoRoom> {
        let _writer = self.writer(key);
        let resource = self.resources.peek(key).filter(|resource| resource.holds(entry));
        let more = form.as_ref().map_or(0, |(head, body)| coded::weight(head, body));
        let others = resource.as_ref().map_or_else(|| entry.weight(), |resource| resource.weight(key));
        let replaced = entry.codings().weight_of(coding);
        if others.saturating_sub(replaced) + more > self.max_resource_bytes {
            if entry.coded(coding).is_none() {
                entry.codings().keep(coding, None, true, |bytes| self.hold(0, bytes));
            }
            return Err(NoRoom);
        }
        let coded = entry.codings().keep(coding, form, best, |bytes| self.hold(0, bytes));
        if let Some(resource) = resource {
            self.resources.insert(key.clone(), Arc::new(resource.weighed_again()));
        }
        Ok(coded)
    }

    /// Marks a key as uncacheable for requests of this kind until then.
    pub fn mark_uncacheable(&self, key: &Key, identified: bool, until: Instant, why: Skip) {
        let _writer = self.writer(key);
        self.put(key, |resource| resource.uncacheable_until(identified, until, why));
    }

    /// Drops the responses of a key that `drop` names; returns how many there were, and their bytes. `first` is done
    /// before, when nothing else can change the key.
    pub fn remove(&self, key: &Key, now: Instant, first: impl FnOnce(), drop: impl Fn(&Entry) -> bool) -> (u64, u64) {
        let _writer = self.writer(key);
        first();
        let Some(resource) = self.resources.peek(key) else { return (0, 0) };
        let gone: Vec<u64> =
            resource.variants().iter().filter(|entry| drop(entry)).map(|entry| entry.weight()).collect();
        let left = resource.without(drop);
        if left.is_empty(now) {
            self.resources.remove(key);
        } else if !gone.is_empty() {
            self.resources.insert(key.clone(), Arc::new(left));
        }
        (gone.len() as u64, gone.iter().sum())
    }

    /// Everything that is known, one after the other. What comes or goes meanwhile may be missed or met.
    pub fn iter(&self) -> impl Iterator<Item = (Key, Arc<Resource>)> + '_ {
        self.resources.iter()
    }

    fn writer(&self, key: &Key) -> impl Drop + '_ {
        self.writers[key.slot(self.writers.len())].lock()
    }

    fn put(&self, key: &Key, change: impl FnOnce(&Resource) -> Resource) {
        let before = self.resources.peek(key);
        let after = change(before.as_deref().unwrap_or(&Resource::default()));
        self.resources.insert(key.clone(), Arc::new(after));
    }

    /// Counts an entry of so many bytes as held.
    pub fn place(&self, bytes: u64) -> Place {
        self.hold(1, bytes)
    }

    fn hold(&self, entries: u64, bytes: u64) -> Place {
        self.held.entries.fetch_add(entries, Relaxed);
        self.held.bytes.fetch_add(bytes, Relaxed);
        Place { held: self.held.clone(), entries, bytes }
    }

    /// Responses held now.
    pub fn entries(&self) -> u64 {
        self.held.entries.load(Relaxed)
    }

    /// Bytes that the responses held now really take.
    pub fn bytes(&self) -> u64 {
        self.held.bytes.load(Relaxed)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::{ClientCopy, Selecting, Storable, entry::Parts, freshness::Terms, policy::Shared, purge::Epoch},
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
            terms: Terms { lifetime: Duration::from_secs(60), ..Terms::default() },
            shared: Shared { with_cookies: false, with_authorization: false },
            targeted: false,
        };
        let parts = Parts {
            key: &key("/"),
            head: &head,
            body: Bytes::from(body),
            selecting: Selecting::of(&head, &request("/", asked), &Settings::default()),
            storable: &storable,
            received: Instant::now(),
            epoch: Epoch::default(),
            copy: ClientCopy::default(),
        };
        Entry::new(parts, 0, |bytes| store.place(bytes))
    }

    fn put(store: &Store, key: &Key, entry: Entry) {
        assert!(store.insert(key, Arc::new(entry), 16, || false));
    }

    fn selected(store: &Store, asked: &str) -> Option<Bytes> {
        store.get(&key("/"))?.select(&request("/", asked), &Settings::default()).map(|entry| entry.body.clone())
    }

    #[test]
    fn bytes_stay_below_the_bound_and_evictions_are_counted() {
        let store = store(1 << 20, 1_000_000, 64 << 10);
        for n in 0..200 {
            put(&store, &key(&format!("/{n}")), entry(&store, "", "", vec![0; 10 << 10]));
            assert!(store.bytes() <= store.max_bytes());
        }
        assert!(store.entries() > 50, "{} entries of 10 KiB in 1 MiB", store.entries());
        assert_eq!(store.entries() + store.evicted_for_room(), 200);
    }

    #[test]
    fn the_number_of_entries_stays_below_the_bound() {
        let store = store(64 << 20, 100, 1 << 10);
        (0..1000).for_each(|n| put(&store, &key(&format!("/{n}")), entry(&store, "", "", vec![0; 10])));
        assert!((50..=100).contains(&store.entries()), "{}", store.entries());
    }

    #[test]
    fn a_store_for_a_few_entries_holds_some() {
        for max_entries in [1, 2, 3, 7, 8, 20, 63, 100] {
            let store = store(1 << 20, max_entries, 1 << 10);
            (0..1000).for_each(|n| put(&store, &key(&format!("/{n}")), entry(&store, "", "", vec![0; 10])));
            let least = max_entries.div_ceil(2);
            assert!((least..=max_entries).contains(&store.entries()), "{} of {max_entries}", store.entries());
        }
    }

    #[test]
    fn the_largest_object_fits_even_a_small_store() {
        let store = store(9 << 20, 1000, 8 << 20);
        put(&store, &key("/"), entry(&store, "", "", vec![0; 8 << 20]));
        assert_eq!(store.entries(), 1);
    }

    #[test]
    fn a_new_response_replaces_the_one_it_would_be_chosen_instead_of() {
        let store = store(1 << 20, 100, 1 << 10);
        put(&store, &key("/"), entry(&store, "", "", b"old".to_vec()));
        put(&store, &key("/"), entry(&store, "", "", b"new".to_vec()));
        assert_eq!((selected(&store, "").unwrap().as_ref(), store.entries()), (b"new".as_slice(), 1));
        assert_eq!(store.evicted_for_room(), 0);
    }

    #[test]
    fn variants_are_kept_side_by_side() {
        let store = store(1 << 20, 100, 1 << 10);
        put(&store, &key("/"), entry(&store, "Vary: Accept-Language", "Accept-Language: de\r\n", b"ja".to_vec()));
        put(&store, &key("/"), entry(&store, "Vary: Accept-Language", "Accept-Language: en\r\n", b"yes".to_vec()));
        assert_eq!(selected(&store, "accept-language: de\r\n").unwrap().as_ref(), b"ja");
        assert_eq!(selected(&store, "Accept-Language:  en \r\n").unwrap().as_ref(), b"yes");
        assert_eq!(selected(&store, ""), None);
    }

    #[test]
    fn variants_of_one_key_are_bounded() {
        let store = store(8 << 20, 1000, 1 << 10);
        for n in 0..40 {
            put(&store, &key("/"), entry(&store, "Vary: X", &format!("X: {n}\r\n"), b"x".to_vec()));
        }
        assert_eq!((store.entries(), store.evicted_for_room()), (16, 24));
        assert!(selected(&store, "X: 39\r\n").is_some() && selected(&store, "X: 0\r\n").is_none());
    }

    #[test]
    fn uncacheable_is_remembered_for_the_kind_of_request_and_until_something_is_stored() {
        let (store, now) = (store(1 << 20, 100, 1 << 10), Instant::now());
        let marked = |identified| store.get(&key("/")).unwrap().uncacheable(identified, now).is_some();
        store.mark_uncacheable(&key("/"), true, now + Duration::from_secs(10), Skip::Private);
        assert_eq!((marked(false), marked(true)), (false, true));
        store.mark_uncacheable(&key("/"), false, now + Duration::from_secs(10), Skip::Private);
        assert_eq!((marked(false), marked(true)), (true, true));
        put(&store, &key("/"), entry(&store, "", "", b"x".to_vec()));
        assert_eq!((marked(false), marked(true)), (false, true));
        assert!(store.get(&key("/")).unwrap().uncacheable(true, now + Duration::from_secs(10)).is_none());
    }
}
