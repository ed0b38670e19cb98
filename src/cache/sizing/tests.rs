//! The simulation held against real stores of the sizes that it simulates.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fastrand::Rng;

use super::*;
use crate::{
    cache::{
        Cache, ClientCopy, Lookup,
        entry::Parts,
        fixture::{NOBODY, get, key, response, secs},
        freshness::Received,
        policy,
        purge::{Mode, Scope, Url},
    },
    header::{RequestHead, ResponseHead},
    route::Policy,
};

const SEED: u64 = 0x9a5e;
const MIB: u64 = 1 << 20;

/// A cache with its clients and its origin, whose URLs have numbers.
struct World {
    cache: Cache,
    urls: Vec<(Key, RequestHead)>,
    bodies: Bytes,
    head: ResponseHead,
    began: Instant,
    hits: u64,
}

impl World {
    fn new(settings: Settings, urls: u32, head: &str) -> Self {
        let urls = (0..urls).map(|nth| (key(&format!("/{nth}")), get(&format!("/{nth}"), ""))).collect();
        let (bodies, head) = (vec![b'x'; 1 << 14].into(), response(head));
        Self { cache: Cache::new(settings), urls, bodies, head, began: Instant::now(), hits: 0 }
    }

    /// As large as its number has it.
    fn body(&self, url: u32) -> Bytes {
        let length = 500 + (u64::from(url).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52);
        self.bodies.slice(..length as usize)
    }

    /// Asks for a URL; what is not stored is fetched and stored.
    fn ask(&mut self, url: u32, second: u64) {
        let (key, request) = &self.urls[url as usize];
        let now = self.began + secs(second);
        match self.cache.lookup(key, request, NOBODY, now) {
            Lookup::Fresh(_) | Lookup::Stale(..) => self.hits += 1,
            _ => self.fetch(url, now),
        }
    }

    fn fetch(&self, url: u32, now: Instant) {
        let ((key, request), head) = (&self.urls[url as usize], &self.head);
        let received = Received { requested: now, at: now, wall: std::time::UNIX_EPOCH };
        let storable = policy::store(NOBODY, head, &Policy::default(), &self.cache.settings(), &received).unwrap();
        let (epoch, selecting) = (self.cache.epoch(key), self.cache.selected_by(head, request));
        let (body, received, copy) = (self.body(url), now, ClientCopy::default());
        let parts = Parts { key, head, body, selecting, storable: &storable, received, epoch, copy };
        let entry = Arc::new(self.cache.entry(parts));
        self.cache.insert(key, entry.clone(), epoch).unwrap();
        self.cache.fetched(key, &entry, now);
    }

    fn sizing(&self, second: u64) -> Option<Sizing> {
        self.cache.simulation.sizing(self.began + secs(second))
    }
}

/// URLs as they are asked for, one after the other.
struct Trace {
    name: String,
    urls: u32,
    asked: Vec<u32>,
}

/// Zipf's law by its inverse: one of so many, the first of them most often.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(urls: u32, alpha: f64) -> Self {
        let mut sum = 0.0;
        let below = (1..=urls).map(|rank| {
            sum += f64::from(rank).powf(-alpha);
            sum
        });
        Self(below.collect())
    }

    fn next(&self, random: &mut Rng) -> u32 {
        let at = random.f64() * self.0[self.0.len() - 1];
        self.0.partition_point(|below| *below < at) as u32
    }
}

fn zipf(urls: u32, alpha: f64, requests: usize) -> Trace {
    let (zipf, mut random) = (Zipf::new(urls, alpha), Rng::with_seed(SEED));
    let asked = (0..requests).map(|_| zipf.next(&mut random)).collect();
    Trace { name: format!("zipf {alpha} of {urls}"), urls, asked }
}

fn uniform(urls: u32, requests: usize) -> Trace {
    let mut random = Rng::with_seed(SEED);
    let asked = (0..requests).map(|_| random.u32(..urls)).collect();
    Trace { name: format!("uniform of {urls}"), urls, asked }
}

/// Zipf, with a crawler that asks for thousands of other URLs once each, again and again.
fn scanned(urls: u32, alpha: f64, requests: usize) -> Trace {
    const SCAN: usize = 3000;
    let mut trace = zipf(urls, alpha, requests);
    let mut asked = Vec::new();
    for part in trace.asked.chunks(requests / 10) {
        asked.extend_from_slice(part);
        asked.extend(trace.urls..trace.urls + SCAN as u32);
        trace.urls += SCAN as u32;
    }
    Trace { name: format!("scanned {}", trace.name), urls: trace.urls, asked }
}

fn settings(max_bytes: u64, max_entries: u64) -> Settings {
    // The same share of the whole as by default.
    Settings { max_bytes, max_entries, max_object_bytes: max_bytes / 32, ..Settings::default() }
}

fn asked_all(trace: &Trace, settings: Settings) -> World {
    let mut world = World::new(settings, trace.urls, "Cache-Control: max-age=3600\r\n");
    trace.asked.iter().for_each(|url| world.ask(*url, 0));
    world
}

/// Asks a real store of each size, and the one at size 1 what the others would do.
fn held_against_real_stores(trace: &Trace, max_bytes: u64, max_entries: u64) -> Sizing {
    let sizing = asked_all(trace, settings(max_bytes, max_entries)).sizing(0).unwrap();
    for size in &sizing.sizes {
        let Settings { max_object_bytes, .. } = settings(max_bytes, max_entries);
        let of_size = Settings { max_object_bytes, ..settings(size.max_bytes, size.max_entries) };
        let real = asked_all(trace, of_size);
        let rate = real.hits as f64 * 100.0 / trace.asked.len() as f64;
        let Size { factor, hit_rate_percent, .. } = size;
        let sampled = sizing.sampling_rate_percent;
        println!("{}: {factor}: {hit_rate_percent:.2} of {rate:.2} at {sampled:.1} %", trace.name);
        assert!((hit_rate_percent - rate).abs() <= 3.0, "{}: {size:?} where it is {rate}: {sizing:?}", trace.name);
    }
    sizing
}

#[test]
fn zipf_with_every_key() {
    for alpha in [0.6, 0.8, 1.0, 1.2] {
        let sizing = held_against_real_stores(&zipf(8_000, alpha, 60_000), 4 * MIB, 100_000);
        assert_eq!((sizing.sampling_rate_percent, sizing.bound), (100.0, Some(Bound::Bytes)));
        assert!((sizing.real().hit_rate_percent - sizing.measured_hit_rate_percent).abs() <= 3.0);
    }
}

#[test]
fn zipf_with_a_sample_of_the_keys() {
    for alpha in [0.6, 0.8, 1.0, 1.1] {
        let sizing = held_against_real_stores(&zipf(100_000, alpha, 200_000), 16 * MIB, 100_000);
        assert!(sizing.sampling_rate_percent < 100.0 && sizing.sampled_keys <= KEYS as u64, "{sizing:?}");
    }
}

#[test]
fn uniform_with_every_key_and_with_a_sample() {
    assert_eq!(held_against_real_stores(&uniform(4_000, 60_000), 4 * MIB, 100_000).sampling_rate_percent, 100.0);
    let sizing = held_against_real_stores(&uniform(40_000, 200_000), 16 * MIB, 100_000);
    assert!(sizing.sampling_rate_percent < 100.0, "{sizing:?}");
}

#[test]
fn scans_with_every_key_and_with_a_sample() {
    held_against_real_stores(&scanned(4_000, 0.9, 60_000), 4 * MIB, 100_000);
    let sizing = held_against_real_stores(&scanned(60_000, 0.9, 160_000), 16 * MIB, 100_000);
    assert!(sizing.sampling_rate_percent < 100.0, "{sizing:?}");
}

#[test]
fn the_number_of_entries_may_be_what_evicts() {
    let sizing = held_against_real_stores(&zipf(8_000, 0.8, 60_000), 256 * MIB, 1_000);
    assert_eq!(sizing.bound, Some(Bound::Entries));
    let real = sizing.real();
    assert!((800..=1000).contains(&real.entries) && real.bytes < real.max_bytes / 10, "{real:?}");
}

#[test]
fn where_all_fits_nothing_evicts_and_a_larger_store_gains_nothing() {
    let sizing = held_against_real_stores(&zipf(2_000, 0.8, 20_000), 64 * MIB, 100_000);
    assert_eq!(sizing.bound, None);
    assert!(sizing.sizes.iter().all(|size| size.hit_rate_percent == sizing.measured_hit_rate_percent), "{sizing:?}");
}

#[test]
fn before_there_were_enough_requests_nothing_is_said() {
    let mut world = asked_all(&uniform(10, 499), settings(MIB, 1000));
    assert_eq!(world.sizing(0), None);
    world.ask(0, 0);
    assert_eq!(world.sizing(0).unwrap().requests, 500);
}

#[test]
fn lifetimes_are_those_of_the_answers() {
    // Each second one of ten URLs; each answer is good for 25 s, so that three rounds of ten are answered by one fetch.
    let mut world = World::new(settings(MIB, 1000), 10, "Cache-Control: max-age=25\r\n");
    (0..1000).for_each(|second| world.ask(second as u32 % 10, second));
    let sizing = world.sizing(1000).unwrap();
    assert_eq!(sizing.measured_hit_rate_percent, 66.0);
    assert!(sizing.sizes.iter().all(|size| size.hit_rate_percent == 66.0), "{sizing:?}");
}

#[test]
fn what_is_refreshed_meanwhile_is_answered() {
    let head = "Cache-Control: max-age=15, stale-while-revalidate=10\r\n";
    let mut world = World::new(settings(MIB, 1000), 10, head);
    (0..1000).for_each(|second| {
        let url = second as u32 % 10;
        world.ask(url, second);
        // The server refreshes what it found stale, without a word to the simulation.
        let (key, request) = &world.urls[url as usize];
        if let Lookup::Stale(..) = world.cache.lookup(key, request, NOBODY, world.began + secs(second)) {
            let stale = world.cache.stored(key, request, NOBODY).unwrap();
            assert!(stale.age(world.began + secs(second)) == secs(20));
            world.cache.simulation.hit(&stale, 0, Weight::default, world.began);
        }
    });
    let sizing = world.sizing(1000).unwrap();
    assert!(sizing.sizes.iter().all(|size| size.hit_rate_percent >= 99.0), "{sizing:?}");
}

#[test]
fn what_is_purged_is_gone_at_every_size() {
    let all = || vec![Scope::All];
    let one = || vec![Scope::Url(Url::parse("/7").unwrap())];
    let prefix = || vec![Scope::Prefix(b"/7".as_slice().into())];
    // Which of ten URLs a purge after each round makes a miss of.
    for (name, missed, scopes) in
        [("all", 10, Some(all as fn() -> _)), ("url", 1, Some(one)), ("prefix", 1, Some(prefix)), ("nothing", 0, None)]
    {
        let mut world = World::new(settings(MIB, 1000), 10, "Cache-Control: max-age=3600\r\n");
        for _ in 0..100 {
            (0..10).for_each(|url| world.ask(url, 0));
            if let Some(scopes) = scopes {
                world.cache.purge(scopes(), Mode::Hard, world.began);
            }
        }
        let sizing = world.sizing(0).unwrap();
        let expected = 100.0 - f64::from(missed) * 10.0 - if missed < 10 { f64::from(10 - missed) / 10.0 } else { 0.0 };
        assert_eq!(sizing.measured_hit_rate_percent, expected, "{name}");
        assert!(sizing.sizes.iter().all(|size| size.hit_rate_percent == expected), "{name}: {sizing:?}");
    }
}

#[test]
fn what_is_invalidated_is_gone_at_every_size() {
    let mut world = World::new(settings(MIB, 1000), 10, "Cache-Control: max-age=3600\r\n");
    for _ in 0..100 {
        (0..10).for_each(|url| world.ask(url, 0));
        world.cache.invalidate(&key("/7"), world.began);
    }
    let sizing = world.sizing(0).unwrap();
    assert!(sizing.sizes.iter().all(|size| size.hit_rate_percent == sizing.measured_hit_rate_percent), "{sizing:?}");
    assert_eq!(sizing.measured_hit_rate_percent, 89.1);
}

#[test]
fn what_is_of_no_use_gives_its_room_back_when_the_store_is_swept() {
    let mut world = World::new(settings(MIB, 1000), 100, "Cache-Control: max-age=25\r\n");
    (0..100).for_each(|url| (0..6).for_each(|_| world.ask(url, 0)));
    assert_eq!(world.sizing(0).unwrap().real().entries, 100);
    world.cache.sweep(world.began + secs(24));
    assert_eq!(world.sizing(24).unwrap().real().entries, 100);
    world.cache.sweep(world.began + secs(400));
    assert_eq!(world.sizing(400).unwrap().real().entries, 0);
}

#[test]
fn figures_are_of_the_last_hour() {
    let mut world = World::new(settings(16 * MIB, 2000), 1000, "Cache-Control: max-age=86400\r\n");
    // Only misses, then only hits.
    (0..1000).for_each(|url| world.ask(url, 0));
    assert_eq!(world.sizing(60).unwrap().real().hit_rate_percent, 0.0);
    assert_eq!(world.sizing(30 * 60).unwrap().requests, 1000);
    for (minute, expected) in [(31, Some(50.0)), (61, Some(100.0)), (91, None)] {
        if minute < 60 {
            (0..1000).for_each(|url| world.ask(url, minute * 60));
        }
        let found = world.sizing(minute * 60).map(|sizing| sizing.real().hit_rate_percent);
        assert_eq!(found, expected, "after {minute} minutes");
    }
}

#[test]
fn a_pause_leaves_nothing_recent() {
    let world = asked_all(&uniform(10, 1000), settings(MIB, 1000));
    assert!(world.sizing(0).is_some());
    assert_eq!(world.sizing(7200), None);
}

#[test]
fn memory_is_bounded_however_many_keys_there_are() {
    let world = World::new(settings(64 << 30, 10_000_000), 1, "");
    let told = Told { weight: Weight { bytes: 1000, counted: 7000 }, fresh_for: secs(60), ..Told::default() };
    let mut random = Rng::with_seed(SEED);
    for _ in 0..2_000_000 {
        world.cache.simulation.requests.fetched.add();
        world.cache.simulation.put(random.u64(..), What::Asked, world.began, || told);
    }
    let miniatures = world.cache.simulation.rings.settled();
    let memory: usize = miniatures.sizes.iter().map(Miniature::memory).sum();
    assert!(memory <= 10 << 20, "{memory} bytes");
    assert!(miniatures.sizes.iter().all(|size| size.known() <= KEYS));
    drop(miniatures);
    // One thread's ring.
    assert!(RING * size_of::<Event>() <= 28 << 10, "{}", RING * size_of::<Event>());
    let sizing = world.sizing(0).unwrap();
    assert!(sizing.sampling_rate_percent < 1.0, "{sizing:?}");
    let held = sizing.sizes[3].entries as f64;
    assert!((held / 2e6 - 1.0).abs() < 0.05, "{held} of two million");
}

#[test]
fn evicted_keys_are_bounded_too() {
    let world = World::new(settings(MIB, 10_000_000), 1, "");
    let told = Told { weight: Weight { bytes: 1000, counted: 1000 }, fresh_for: secs(60), ..Told::default() };
    let mut random = Rng::with_seed(SEED);
    for _ in 0..200_000 {
        world.cache.simulation.put(random.u64(..), What::Asked, world.began, || told);
    }
    let miniatures = world.cache.simulation.rings.settled();
    let memory: usize = miniatures.sizes.iter().map(Miniature::memory).sum();
    assert!(memory <= 10 << 20, "{memory} bytes");
    assert!(miniatures.sizes.iter().all(|size| size.known() <= KEYS));
    // What is remembered by the policy is what is remembered here, so that nothing grows behind our back.
    let held = miniatures.sizes[0].held().0;
    assert!((100..=600).contains(&held), "{held}");
}

#[test]
fn when_the_rate_falls_what_is_left_is_known_as_before() {
    let world = World::new(settings(1 << 30, 1_000_000), 1, "");
    let simulation = &world.cache.simulation;
    let told = Told { weight: Weight { bytes: 1000, counted: 1100 }, fresh_for: secs(60), ..Told::default() };
    let mut random = Rng::with_seed(SEED);
    let keys: Vec<u64> = (0..KEYS).map(|_| random.u64(..)).collect();
    let ask = |key: u64| {
        simulation.requests.fetched.add();
        simulation.put(key, What::Asked, world.began, || told);
    };
    keys.iter().for_each(|key| ask(*key));
    assert_eq!(world.sizing(0).unwrap().sampling_rate_percent, 100.0);
    // One key more, and half of them go.
    ask(random.u64(..));
    simulation.settle(world.began);
    let sizing = world.sizing(0).unwrap();
    assert!((sizing.sampling_rate_percent - 50.0).abs() < 1e-9, "{sizing:?}");
    assert_eq!(sizing.requests, KEYS as u64 + 1);
    // Of those that stay each is a hit, and of the others nothing is seen.
    keys.iter().for_each(|key| ask(*key));
    let miniatures = simulation.rings.settled();
    let stay = keys.iter().filter(|key| **key <= u64::MAX / 2).count() as u64;
    assert_eq!((miniatures.segment.sampled, miniatures.segment.hits), (stay, [stay; 4]));
    drop(miniatures);
    // All of the second round were hits, and none of the first: half of all requests.
    let sizing = world.sizing(0).unwrap();
    assert!((sizing.real().hit_rate_percent - 50.0).abs() < 0.1, "{sizing:?}");
}

#[test]
fn a_mark_takes_room_and_is_no_request() {
    let world = World::new(settings(MIB, 1000), 100, "");
    for url in 0..100 {
        world.cache.mark_uncacheable(&world.urls[url].0, NOBODY, crate::cache::Skip::Private, world.began);
    }
    let miniatures = world.cache.simulation.rings.settled();
    assert_eq!((miniatures.sizes[REAL].known(), miniatures.segment.sampled), (100, 0));
    drop(miniatures);
    world.cache.sweep(world.began + Duration::from_secs(11));
    assert_eq!(world.cache.simulation.rings.settled().sizes[REAL].known(), 0);
}

#[test]
fn a_hit_allocates_nothing_for_it() {
    let mut world = World::new(settings(MIB, 1000), 100, "Cache-Control: max-age=3600\r\n");
    // Until everything is stored, and rings and miniatures have their room.
    (0..2000).for_each(|nth| world.ask(nth % 100, 0));
    let allocations = allocation_counter::measure(|| (0..2000).for_each(|nth| world.ask(nth % 100, 0)));
    assert_eq!((allocations.count_total, world.hits), (0, 3900));
    assert_eq!(world.sizing(0).unwrap().requests, 4000);
}
