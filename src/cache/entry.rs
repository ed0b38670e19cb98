//! What is stored: responses, and the variants of one URL.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::header::{
    Fields, RequestHead, ResponseHead, cookie,
    fields::{is, trim},
};

use crate::traffic::Entered;

use super::{Key, Storable, policy::Shared};

/// One stored response, complete and ready to be sent.
#[derive(Debug)]
pub struct Entry {
    /// Status line and fields as they go to the client, Content-Length included, Age not.
    pub head: ResponseHead,
    /// The whole body.
    pub body: Bytes,
    /// The fields of the request that chose this response, as its Vary names them.
    pub selecting: Selecting,
    /// With whom it may be shared.
    pub shared: Shared,
    lifetime: Duration,
    initial_age: Duration,
    received: Instant,
    _counted: Entered,
}

/// Fields that only one connection or one moment has; they are made anew for each answer.
fn is_made_anew(name: &[u8]) -> bool {
    is(name, "age")
}

impl Entry {
    /// A response that [`store`](super::policy::store) found storable, with its complete body.
    pub fn new(
        head: &ResponseHead,
        body: Bytes,
        selecting: Selecting,
        storable: &Storable,
        received: Instant,
        counted: Entered,
    ) -> Self {
        let mut kept = head.without(is_made_anew);
        if !head.has("content-length") && head.status() != 204 {
            kept.field(b"Content-Length", itoa::Buffer::new().format(body.len()).as_bytes());
        }
        Self {
            head: kept.finish(),
            body,
            selecting,
            shared: storable.shared,
            lifetime: storable.lifetime,
            initial_age: storable.initial_age,
            received,
            _counted: counted,
        }
    }

    /// The current age (RFC 9111 §4.2.3).
    pub fn age(&self, now: Instant) -> Duration {
        self.initial_age + now.saturating_duration_since(self.received)
    }

    /// Seconds of freshness left; negative when it is stale by so much.
    pub fn ttl(&self, now: Instant) -> i64 {
        self.lifetime.as_secs() as i64 - self.age(now).as_secs() as i64
    }

    /// Whether the response is fresh (RFC 9111 §4.2: its lifetime is greater than its age).
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.lifetime > self.age(now)
    }

    /// Bytes it takes: what it points to, and itself with the reference counts around it.
    fn weight(&self) -> u64 {
        let counts = 5 * size_of::<usize>();
        (self.head.bytes().len() + self.body.len() + self.selecting.weight() + size_of::<Self>() + counts) as u64
    }
}

/// The request fields that Vary names, with the values that one request had (RFC 9111 §4.1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selecting(Box<[(Name, Option<Value>)]>);

/// A field name in lower case.
type Name = Box<[u8]>;
/// A field's value over all its lines, normalised.
type Value = Box<[u8]>;

impl Selecting {
    /// What a response's Vary selects from the request it answers. A coded response was chosen by Accept-Encoding,
    /// whether it says so or not: nobody is given a coding that they did not ask for.
    pub fn of(response: &ResponseHead, request: &RequestHead, ignored_cookies: &[String]) -> Self {
        let coded = response.members("content-encoding").any(|coding| !is(coding, "identity"));
        let unsaid = coded.then_some(b"accept-encoding".as_slice());
        let mut names: Vec<Name> =
            response.members("vary").chain(unsaid).map(|name| name.to_ascii_lowercase().into()).collect();
        names.sort_unstable();
        names.dedup();
        Self(
            names
                .into_iter()
                .map(|name| {
                    let value = value(&name, request, ignored_cookies);
                    (name, value)
                })
                .collect(),
        )
    }

    /// The same fields with the values of another request.
    pub fn again(&self, request: &RequestHead, ignored_cookies: &[String]) -> Self {
        Self(self.0.iter().map(|(name, _)| (name.clone(), value(name, request, ignored_cookies))).collect())
    }

    /// Whether a request has the same values, so that the response answers it too.
    pub fn matches(&self, request: &RequestHead, ignored_cookies: &[String]) -> bool {
        self.0.iter().all(|(name, chosen)| *chosen == value(name, request, ignored_cookies))
    }

    /// Whether both name the same fields.
    pub fn names_the_same(&self, other: &Self) -> bool {
        self.0.iter().map(|(name, _)| name).eq(other.0.iter().map(|(name, _)| name))
    }

    /// Whether the response is the same for every request.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn weight(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, |value| value.len()) + 32).sum()
    }
}

/// A selecting field's value: all its lines as one, white space around members aside. Cookies that do not count are
/// as good as none.
fn value(name: &[u8], request: &RequestHead, ignored_cookies: &[String]) -> Option<Value> {
    let name = std::str::from_utf8(name).ok()?;
    if name == "cookie" && !cookie::counts(request, ignored_cookies) {
        return None;
    }
    request.has(name).then(|| {
        let members: Vec<&[u8]> =
            request.all(name).flat_map(|line| line.split(|byte| *byte == b',')).map(trim).collect();
        members.join(b",".as_slice()).into_boxed_slice()
    })
}

/// At most this many variants of one URL are kept; the oldest goes first.
const MAX_VARIANTS: usize = 16;

/// Everything the store knows of one key.
#[derive(Clone, Debug, Default)]
pub struct Resource {
    /// The stored responses, the newest first.
    variants: Vec<Arc<Entry>>,
    /// Until when answers to requests of nobody in particular are known to be uncacheable, and of identified ones.
    uncacheable: [Option<Instant>; 2],
}

impl Resource {
    /// The stored response for a request: the newest whose selecting fields match (RFC 9111 §4.1).
    pub fn select(&self, request: &RequestHead, ignored_cookies: &[String]) -> Option<&Arc<Entry>> {
        self.variants.iter().find(|entry| entry.selecting.matches(request, ignored_cookies))
    }

    /// The fields by which the newest stored response was selected, with the values of this request.
    pub fn selecting(&self, request: &RequestHead, ignored_cookies: &[String]) -> Selecting {
        self.variants.first().map(|entry| entry.selecting.again(request, ignored_cookies)).unwrap_or_default()
    }

    /// Responses stored under the key.
    pub fn entries(&self) -> u64 {
        self.variants.len() as u64
    }

    /// Whether the last answer to a request like this was not cacheable, a moment ago.
    pub fn is_uncacheable(&self, identified: bool, now: Instant) -> bool {
        // What nobody in particular cannot have cached, nobody can.
        self.uncacheable[0].is_some_and(|until| now < until)
            || (identified && self.uncacheable[1].is_some_and(|until| now < until))
    }

    /// This resource with one more response, which replaces those it would be chosen instead of.
    pub fn with(&self, entry: Entry) -> Self {
        let mut variants = Vec::with_capacity(self.variants.len() + 1);
        let replaced =
            |old: &&Arc<Entry>| !old.selecting.names_the_same(&entry.selecting) || old.selecting == entry.selecting;
        let kept: Vec<_> = self.variants.iter().filter(|old| !replaced(old)).take(MAX_VARIANTS - 1).cloned().collect();
        variants.push(Arc::new(entry));
        variants.extend(kept);
        // What was just stored is cacheable after all.
        Self { variants, uncacheable: [None, self.uncacheable[1]] }
    }

    /// This resource, marked as uncacheable until then for requests of this kind.
    pub fn uncacheable_until(&self, identified: bool, until: Instant) -> Self {
        let mut marked = self.clone();
        marked.uncacheable[usize::from(identified)] = Some(until);
        marked
    }

    /// Bytes that the resource takes with its key and its place in the store.
    pub fn weight(&self, key: &Key) -> u64 {
        // The store keeps 21 bytes for each slot and has up to three slots for an entry.
        let slot = 3 * (21 + size_of::<Key>() + size_of::<Arc<Self>>());
        let own = size_of::<Self>() + 2 * size_of::<usize>() + self.variants.capacity() * size_of::<Arc<Entry>>();
        (slot + own + key.bytes().len()) as u64 + self.variants.iter().map(|entry| entry.weight()).sum::<u64>()
    }
}
