//! Purges of a full store: each holds at once, whatever there is to be dropped by it later.

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::{
    Asker, Cache, ClientCopy, Key, Lookup, Selecting, Settings, Storable,
    entry::Parts,
    freshness::{Received, Terms},
    pattern::Pattern,
    policy::Shared,
    purge::{Mode, Scope},
};
use crate::header::{RequestHead, ResponseHead, forwarded::Peer};

const NOBODY: Asker = Asker { cookie: false, authorization: false };

/// A cache with so many entries, each of one kind in turn.
struct Full {
    cache: Cache,
    request: RequestHead,
    peer: Peer,
    entries: u64,
}

/// Entries come in ten kinds by turns; those without a name here are hit by the last purge alone.
const TAGGED: u64 = 0;
const UNDER_OLD: u64 = 1;
const SCRIPT: u64 = 2;
const KINDS: u64 = 10;

fn target(nth: u64) -> String {
    match nth % KINDS {
        TAGGED => format!("/tagged/{nth}"),
        UNDER_OLD => format!("/old/{nth}"),
        SCRIPT => format!("/scripts/{nth}.js?v=1"),
        _ => format!("/kept/{nth}"),
    }
}

impl Full {
    fn of(entries: u64) -> Self {
        let settings =
            Settings { max_bytes: 4 << 30, max_entries: 2 * entries, max_object_bytes: 1 << 10, ..Settings::default() };
        let cache = Cache::new(settings);
        let request = RequestHead::for_tests("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let peer = Peer::new([127, 0, 0, 1].into(), false, &[]);
        let full = Self { cache, request, peer, entries };
        let now = Instant::now();
        let received = Received { requested: now, at: now, wall: SystemTime::now() };
        let storable = Storable {
            terms: Terms { lifetime: Duration::from_secs(3600), ..Terms::default() },
            shared: Shared { with_cookies: false, with_authorization: false },
            targeted: false,
        };
        let plain = ResponseHead::for_tests(200, "Cache-Control: max-age=3600");
        let tagged = ResponseHead::for_tests(200, "Cache-Control: max-age=3600\r\nCache-Tag: red, blue");
        for nth in 0..entries {
            let (key, head) = (full.key(nth), if nth % KINDS == TAGGED { &tagged } else { &plain });
            let (body, epoch) = (Bytes::from(nth.to_string()), full.cache.epoch(&key));
            let entry = full.cache.entry(Parts {
                key: &key,
                head,
                body,
                selecting: Selecting::default(),
                storable: &storable,
                received: received.at,
                epoch,
                copy: ClientCopy::default(),
            });
            full.cache.insert(&key, entry.into(), epoch).unwrap();
        }
        let snapshot = full.cache.snapshot();
        println!("{} entries, {} MiB, in {:?}", snapshot.entries, snapshot.bytes >> 20, now.elapsed());
        assert_eq!(snapshot.entries, entries, "everything fits");
        full
    }

    fn key(&self, nth: u64) -> Key {
        Key::of_target(&self.request, &self.peer, target(nth).as_bytes())
    }

    /// How many of each kind a look-up finds, each with its own body.
    fn found(&self, now: Instant) -> [u64; KINDS as usize] {
        let mut found = [0; KINDS as usize];
        for nth in 0..self.entries {
            if let Lookup::Fresh(entry) = self.cache.lookup(&self.key(nth), &self.request, NOBODY, now) {
                assert_eq!(entry.body, nth.to_string());
                found[(nth % KINDS) as usize] += 1;
            }
        }
        found
    }

    /// Purges a scope: from then on, and before anything is dropped, look-ups find none of these kinds and all of the
    /// others. Dropping finds as many as there were.
    fn purge(&self, what: &str, scope: Scope, left: impl Fn(u64) -> bool) {
        let of_each = self.entries / KINDS;
        let expected: [u64; KINDS as usize] = std::array::from_fn(|kind| if left(kind as u64) { of_each } else { 0 });
        let before = self.cache.snapshot().entries;
        let now = Instant::now();
        let rule = self.cache.purge(vec![scope], Mode::Hard, now);
        let purging = now.elapsed();
        assert_eq!(self.cache.snapshot().entries, before, "nothing is dropped yet");
        assert_eq!(self.found(now), expected, "{what}");
        let clearing = Instant::now();
        let purged = self.cache.clear(&rule, Mode::Hard, now);
        println!("{what}: purge {purging:?}, clear {:?} of {} among {before}", clearing.elapsed(), purged.cleared);
        let after = expected.iter().sum::<u64>();
        assert_eq!((purged.matched, purged.cleared), (before - after, before - after), "{what}");
        assert_eq!(self.cache.snapshot().entries, after);
        assert_eq!(self.found(now), expected, "{what}, after what it hit was dropped");
    }
}

/// Takes some 640 MB. How long it takes is shown by `cargo test --lib -- --nocapture a_million`.
#[test]
fn purges_of_a_million_entries_hold_at_once() {
    let full = Full::of(1_000_000);
    let tag = Scope::Tag("red".into());
    full.purge("tag", tag, |kind| kind != TAGGED);
    full.purge("prefix", Scope::Prefix(b"a/old/".as_slice().into()), |kind| kind > UNDER_OLD);
    full.purge("pattern", Scope::Pattern(Pattern::new(r"\.js$").unwrap()), |kind| kind > SCRIPT);
    full.purge("all", Scope::All, |_| false);
    assert_eq!(full.cache.snapshot().bytes, 0);
}
