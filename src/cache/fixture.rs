//! A cache for tests, with the steps of a request at hand: no origin, no clock of its own.

use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;

use super::*;
use crate::header::forwarded::Peer;

/// A cache whose responses come at one moment of the wall clock: Sun, 06 Nov 1994 08:49:37 GMT.
pub(super) struct Fixture {
    pub(super) cache: Cache,
    pub(super) policy: Policy,
    pub(super) began: Instant,
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A GET for a URL, or a path at the host `a`, with these field lines.
pub(super) fn get(url: &str, fields: &str) -> RequestHead {
    let (host, path) = url.split_at(url.find('/').unwrap());
    let host = if host.is_empty() { "a" } else { host };
    let lines: String = fields.lines().map(|line| format!("{line}\r\n")).collect();
    RequestHead::for_tests(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n"))
}

pub(super) fn response(fields: &str) -> ResponseHead {
    ResponseHead::for_tests(200, &fields.replace('\n', "\r\n"))
}

/// The key of a URL, which begins with `https://`, with a host, or with a path at the host `a`.
pub(super) fn key(url: &str) -> Key {
    let (tls, url) = url.strip_prefix("https://").map_or((false, url), |rest| (true, rest));
    Key::of(&get(url, ""), &Peer::new([127, 0, 0, 1].into(), tls, &[]))
}

pub(super) const NOBODY: Asker = Asker { cookie: false, authorization: false };

impl Fixture {
    pub(super) fn new(settings: Settings) -> Self {
        Self { cache: Cache::new(settings), policy: Policy::default(), began: Instant::now() }
    }

    /// So many seconds after the start.
    pub(super) fn at(&self, second: u64) -> Instant {
        self.began + secs(second)
    }

    pub(super) fn received(&self, second: u64) -> Received {
        let at = self.at(second);
        Received { requested: at, at, wall: UNIX_EPOCH + secs(784_111_777 + second) }
    }

    /// An entry for a response without a body, whose fetch began before any purge.
    pub(super) fn bare(
        &self,
        head: &ResponseHead,
        selecting: Selecting,
        storable: &Storable,
        received: Instant,
    ) -> Entry {
        let (key, body, epoch) = (&key("/"), Bytes::new(), Epoch::default());
        self.cache.entry(Parts { key, head, body, selecting, storable, received, epoch, copy: ClientCopy::default() })
    }

    /// The entry for a response to a request, whose fetch began at an epoch.
    pub(super) fn entry(
        &self,
        asked: &RequestHead,
        said: &ResponseHead,
        body: &str,
        second: u64,
        epoch: Epoch,
    ) -> Entry {
        let received = self.received(second);
        let storable = policy::store(NOBODY, said, &self.policy, &self.cache.settings(), &received).unwrap();
        let selecting = self.cache.selected_by(said, asked);
        let (body, received) = (Bytes::copy_from_slice(body.as_bytes()), received.at);
        self.cache.entry(Parts {
            key: &key("/"),
            head: said,
            body,
            selecting,
            storable: &storable,
            received,
            epoch,
            copy: ClientCopy::default(),
        })
    }

    /// Fetches and stores, all within one second.
    pub(super) fn put(&self, url: &str, asked: &str, said: &str, body: &str, second: u64) {
        let key = key(url);
        let epoch = self.cache.epoch(&key);
        let bare = url.strip_prefix("https://").unwrap_or(url);
        let entry = self.entry(&get(bare, asked), &response(said), body, second, epoch);
        self.cache.insert(&key, Arc::new(entry), epoch).unwrap();
    }

    pub(super) fn lookup(&self, url: &str, asked: &str, second: u64) -> Lookup {
        let bare = url.strip_prefix("https://").unwrap_or(url);
        self.cache.lookup(&key(url), &get(bare, asked), NOBODY, self.at(second))
    }

    /// What a request is answered with: see [`told`].
    pub(super) fn found(&self, url: &str, asked: &str, second: u64) -> String {
        told(&self.lookup(url, asked, second))
    }

    /// Responses that left the store, by reason.
    pub(super) fn evicted(&self, why: Evicted) -> u64 {
        self.cache.snapshot().evictions.iter().find(|(word, _)| *word == why).unwrap().1
    }
}

/// The body and how it may be used, or why the origin is asked.
pub(super) fn told(lookup: &Lookup) -> String {
    let body = |entry: &Entry| String::from_utf8(entry.body.to_vec()).unwrap();
    match lookup {
        Lookup::Fresh(entry) => body(entry),
        Lookup::Stale(entry, why) => format!("{} {}", body(entry), why.name()),
        Lookup::Miss(Missed { why, stored: Some(entry), .. }) => format!("{} {}", why.name(), body(entry)),
        Lookup::Miss(missed) => missed.why.name().into(),
        Lookup::Bypass(why) => why.name().into(),
    }
}

impl Default for Fixture {
    fn default() -> Self {
        Self::new(Settings { max_object_bytes: 64 << 10, ..Settings::default() })
    }
}
