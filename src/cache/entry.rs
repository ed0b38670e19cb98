//! What is stored: responses, and the variants of one URL.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    compress::Skip as NotCoded,
    header::{
        Fields, RequestHead, ResponseHead,
        coding::Coding,
        cookie,
        fields::{is, trim},
        tags::{self, Tags},
        validator,
    },
};

use super::{
    Key, Settings, Skip, Storable,
    coded::{ClientCopy, Coded, Codings},
    freshness::{Freshness, Terms, seconds_between},
    policy::Shared,
    purge::Epoch,
    store::Place,
};

/// One stored response, complete and ready to be sent.
#[derive(Debug)]
pub struct Entry {
    /// Status line and fields as the origin sent them, Content-Length included, Age not.
    pub head: ResponseHead,
    /// The head as it goes to the clients that take the body as it is.
    pub sent: ResponseHead,
    /// Whether the body may be coded for those who take it so; if not, why.
    pub codable: Result<(), NotCoded>,
    /// The whole body.
    pub body: Bytes,
    /// The fields of the request that chose this response, as its Vary names them.
    pub selecting: Selecting,
    /// With whom it may be shared.
    pub shared: Shared,
    /// What it is good for.
    pub terms: Terms,
    /// A targeted field decided: towards clients this cache is the origin (RFC 9213 §3.1).
    pub targeted: bool,
    /// The tags and groups that it can be purged by.
    pub tags: Tags,
    received: Instant,
    /// The newest purge when its fetch began.
    born: u64,
    /// The newest purge that it was held against.
    checked: AtomicU64,
    /// The age, in milliseconds, at which it was declared stale.
    expired_ms: AtomicU64,
    codings: Codings,
    /// Of its key, by which the simulation of other sizes knows it.
    hash: u64,
    place: Place,
}

/// What an entry is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// What it is stored under.
    pub key: &'a Key,
    /// The response's head.
    pub head: &'a ResponseHead,
    /// Its whole body.
    pub body: Bytes,
    /// What it was selected by.
    pub selecting: Selecting,
    /// What it is good for.
    pub storable: &'a Storable,
    /// When it came.
    pub received: Instant,
    /// What had been purged when its fetch began.
    pub epoch: Epoch,
    /// What clients are sent of it.
    pub copy: ClientCopy,
}

impl Entry {
    /// A response that [`store`](super::policy::store) found storable, with its complete body; `hash` is that of its key.
    pub fn new(parts: Parts<'_>, hash: u64, place: impl FnOnce(u64) -> Place) -> Self {
        let Parts { key, head, body, selecting, storable, received, epoch, copy } = parts;
        let (tags, born) = (tags::of(head), epoch.rules);
        // Made anew for each answer: Age, and the Date of one whose age is hidden from clients.
        let mut kept = head.without(|name| is(name, "age") || (storable.targeted && is(name, "date")));
        if !head.has("content-length") && head.status() != 204 {
            kept.field(b"Content-Length", itoa::Buffer::new().format(body.len()).as_bytes());
        }
        let (head, sent) = copy.edits.apply_to_own(kept.finish());
        // What it points to, itself with the reference counts around it, its key and its place in the store, which keeps
        // 21 bytes for each slot and has up to three slots for an entry.
        let counts = 5 * size_of::<usize>();
        let slot = 3 * (21 + size_of::<Key>() + size_of::<Arc<Resource>>()) + size_of::<Resource>();
        // Most often both heads are the same bytes, and the one ends earlier.
        let heads = if copy.edits.only_adds() { sent.bytes().len() } else { head.bytes().len() + sent.bytes().len() };
        let pointed_to = heads + body.len() + selecting.weight() + weight_of(&tags) + key.bytes().len() + slot;
        Self {
            place: place((pointed_to + size_of::<Self>() + counts) as u64),
            head,
            sent,
            codable: copy.codable,
            body,
            selecting,
            shared: storable.shared,
            terms: storable.terms.clone(),
            targeted: storable.targeted,
            tags,
            received,
            born,
            checked: AtomicU64::new(born),
            expired_ms: AtomicU64::new(u64::MAX),
            codings: Codings::default(),
            hash,
        }
    }

    /// The body in this coding, if it was made.
    pub fn coded(&self, coding: Coding) -> Option<Arc<Coded>> {
        self.codings.get(coding)
    }

    pub(super) fn codings(&self) -> &Codings {
        &self.codings
    }

    /// The current age (RFC 9111 §4.2.3).
    pub fn age(&self, now: Instant) -> Duration {
        self.terms.initial_age.saturating_add(now.saturating_duration_since(self.received))
    }

    /// How long it is fresh, counted from its age 0: as it was stored, or up to when it was declared stale.
    pub fn lifetime(&self) -> Duration {
        self.terms.lifetime.min(Duration::from_millis(self.expired_ms.load(Relaxed)))
    }

    /// Seconds of freshness left; negative when it is stale by so much.
    pub fn ttl(&self, now: Instant) -> i64 {
        seconds_between(self.age(now), self.lifetime())
    }

    /// What it may be used for (RFC 9111 §4.2).
    pub fn freshness(&self, now: Instant) -> Freshness {
        self.terms.at(self.age(now), self.lifetime())
    }

    /// Whether it has nothing to offer any more: not fresh, not even in need, and too old to be worth validating.
    pub fn is_useless(&self, now: Instant) -> bool {
        self.age(now) > self.useful_lifetime()
    }

    /// How long it has something to offer, counted from its age 0.
    pub(super) fn useful_lifetime(&self) -> Duration {
        let worth_validating = if self.has_validator() { WORTH_VALIDATING } else { Duration::ZERO };
        self.lifetime().saturating_add(self.terms.grace().max(worth_validating))
    }

    /// The hash of its key.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether the origin can confirm it (RFC 9110 §8.8).
    pub fn has_validator(&self) -> bool {
        self.head.has("etag") || self.head.has("last-modified")
    }

    /// Whether every use takes the origin's word, so that nobody can wait for the word that another was given.
    pub fn is_validated_alone(&self) -> bool {
        self.terms.always_validate || self.terms.lifetime <= self.terms.initial_age
    }

    /// Whether a client has this very response, so that 304 is the answer (RFC 9111 §4.3.2). Where it names no date of
    /// its last change, it is no younger than its Date.
    pub fn is_had_by(&self, request: &RequestHead) -> bool {
        let modified = self.head.get("last-modified").or_else(|| self.head.get("date"));
        self.head.status() == 200 && validator::not_modified(request, self.sent.get("etag"), modified)
    }

    /// Whether it would be chosen in place of another one, or cannot stand beside it.
    fn replaces(&self, old: &Self) -> bool {
        !old.selecting.names_the_same(&self.selecting) || old.selecting == self.selecting
    }

    /// Declares it stale from then on.
    pub fn expire(&self, at: Instant) {
        let age = u64::try_from(self.age(at).as_millis()).unwrap_or(u64::MAX - 1);
        self.expired_ms.fetch_min(age, Relaxed);
    }

    /// Whether it was declared stale.
    pub fn is_declared_stale(&self) -> bool {
        self.expired_ms.load(Relaxed) != u64::MAX
    }

    /// The newest purge when its fetch began.
    pub fn born(&self) -> u64 {
        self.born
    }

    /// The newest purge that it was held against.
    pub fn checked(&self) -> u64 {
        self.checked.load(Relaxed)
    }

    /// Notes that it was held against every purge up to this one.
    pub fn check(&self, purge: u64) {
        self.checked.fetch_max(purge, Relaxed);
    }

    /// Bytes it takes, with the codings made so far.
    pub fn weight(&self) -> u64 {
        self.place.bytes() + self.codings.weight()
    }
}

fn weight_of(tags: &Tags) -> usize {
    tags.tags.iter().chain(&tags.groups).map(|tag| tag.len() + size_of::<Box<str>>()).sum()
}

/// A stale response with a validator is kept for so long, since a word of the origin (304) makes it fresh again.
const WORTH_VALIDATING: Duration = Duration::from_secs(86_400);

/// The head of a stored response after the origin has confirmed it with another (RFC 9111 §3.2, §4.3.4, §4.3.5): each
/// field of `confirmed` replaces those of its name, but for those that describe the body as it was stored.
pub fn updated(stored: &ResponseHead, confirmed: &ResponseHead) -> ResponseHead {
    let describes_body = |name: &[u8]| {
        ["content-length", "content-encoding", "content-type", "content-range"].iter().any(|field| is(name, field))
    };
    let is_replaced = |name: &[u8]| {
        let confirmed = confirmed.fields().any(|(other, _)| other.eq_ignore_ascii_case(name));
        (confirmed && !describes_body(name)) || is(name, "age")
    };
    let mut head = stored.without(is_replaced);
    for (name, value) in confirmed.fields().filter(|(name, _)| !describes_body(name)) {
        head.field(name, value);
    }
    head.finish()
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
    pub fn of(response: &ResponseHead, request: &RequestHead, settings: &Settings) -> Self {
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
                    let value = value(&name, request, settings);
                    (name, value)
                })
                .collect(),
        )
    }

    /// The same fields with the values of another request.
    pub fn again(&self, request: &RequestHead, settings: &Settings) -> Self {
        Self(self.0.iter().map(|(name, _)| (name.clone(), value(name, request, settings))).collect())
    }

    /// Whether a request has the same values, so that the response answers it too.
    pub fn matches(&self, request: &RequestHead, settings: &Settings) -> bool {
        self.0.iter().all(|(name, chosen)| *chosen == value(name, request, settings))
    }

    /// Whether both name the same fields.
    pub fn names_the_same(&self, other: &Self) -> bool {
        self.0.iter().map(|(name, _)| name).eq(other.0.iter().map(|(name, _)| name))
    }

    /// The fields, in small letters and in order, with their values; `None` for one that the request did not have.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.0.iter().map(|(name, value)| (&**name, value.as_deref()))
    }

    /// Whether the response is the same for every request.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn weight(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, |value| value.len()) + 32).sum()
    }
}

/// A selecting field's value: all its lines as one, so that what means the same is the same (RFC 9111 §4.1): white
/// space around members aside, and languages, codings and media types in any case. Where anything stands in quotes,
/// white space and case may mean something (RFC 9110 §5.6.4), and a comma need not be one: then it is taken as it is.
/// Cookies that do not count are as good as none. A field without a value is not the same as none.
fn value(name: &[u8], request: &RequestHead, settings: &Settings) -> Option<Value> {
    let name = std::str::from_utf8(name).ok()?;
    if name == "cookie" && !cookie::counts(request, &settings.ignore_cookies) {
        return None;
    }
    request.has(name).then(|| {
        if request.all(name).any(|line| line.contains(&b'"')) {
            return request.all(name).collect::<Vec<_>>().join(b",".as_slice()).into_boxed_slice();
        }
        let members = request.all(name).flat_map(|line| line.split(|byte| *byte == b',')).map(trim);
        let weighted = matches!(name, "accept" | "accept-encoding" | "accept-language" | "accept-charset");
        if !weighted {
            return members.collect::<Vec<_>>().join(b",".as_slice()).into_boxed_slice();
        }
        let blank = |byte: &u8| !matches!(byte, b' ' | b'\t');
        // What parameters of media types are given may depend on case.
        let bare = |member: &[u8]| {
            let (tag, parameters) =
                member.split_at(member.iter().position(|byte| *byte == b';').unwrap_or(member.len()));
            let tag = tag.to_ascii_lowercase();
            tag.iter().chain(parameters).copied().filter(blank).collect::<Vec<u8>>()
        };
        let mut members: Vec<Vec<u8>> = members.filter(|member| !member.is_empty()).map(bare).collect();
        // A coding is chosen by weight alone. Many apps take the first of two languages of one weight.
        if name == "accept-encoding" || (name == "accept-language" && settings.reorder_accept_language) {
            members.sort_unstable();
            members.dedup();
        }
        members.join(b",".as_slice()).into_boxed_slice()
    })
}

/// Everything the store knows of one key.
#[derive(Clone, Debug, Default)]
pub struct Resource {
    /// The stored responses, the newest first.
    variants: Vec<Arc<Entry>>,
    /// Until when answers to requests of nobody in particular are known to be uncacheable, and of identified ones, and
    /// why they were.
    uncacheable: [Option<(Instant, Skip)>; 2],
    /// What the responses weighed when this was made. The store weighs it again and again, and must find what it found
    /// before, whatever codings are made meanwhile.
    bytes: u64,
}

impl Resource {
    fn new(variants: Vec<Arc<Entry>>, uncacheable: [Option<(Instant, Skip)>; 2]) -> Self {
        let bytes = variants.iter().map(|entry| entry.weight()).sum();
        Self { variants, uncacheable, bytes }
    }

    /// The same, weighed anew.
    pub fn weighed_again(&self) -> Self {
        Self::new(self.variants.clone(), self.uncacheable)
    }

    /// The stored response for a request: the newest whose selecting fields match (RFC 9111 §4.1).
    pub fn select(&self, request: &RequestHead, settings: &Settings) -> Option<&Arc<Entry>> {
        self.variants.iter().find(|entry| entry.selecting.matches(request, settings))
    }

    /// The fields by which the newest stored response was selected, with the values of this request.
    pub fn selecting(&self, request: &RequestHead, settings: &Settings) -> Selecting {
        self.variants.first().map(|entry| entry.selecting.again(request, settings)).unwrap_or_default()
    }

    /// Whether this very response is among them.
    pub fn holds(&self, entry: &Arc<Entry>) -> bool {
        self.variants.iter().any(|held| Arc::ptr_eq(held, entry))
    }

    /// The stored responses, the newest first.
    pub fn variants(&self) -> &[Arc<Entry>] {
        &self.variants
    }

    /// Why the last answer to a request like this was not cacheable, if that was a moment ago.
    pub fn uncacheable(&self, identified: bool, now: Instant) -> Option<Skip> {
        let known = |marker: Option<(Instant, Skip)>| marker.filter(|(until, _)| now < *until).map(|(_, why)| why);
        // What nobody in particular cannot have cached, nobody can.
        known(self.uncacheable[0]).or_else(|| known(self.uncacheable[1]).filter(|_| identified))
    }

    /// Why the last answer to a request like this was not cacheable, however long ago.
    pub fn last_skip(&self, identified: bool) -> Option<Skip> {
        self.uncacheable[usize::from(identified)].map(|(_, why)| why)
    }

    /// Whether a response that was asked for after a later purge stands where this one would.
    pub fn has_newer_than(&self, entry: &Entry) -> bool {
        self.variants.iter().any(|old| old.born() > entry.born() && entry.replaces(old))
    }

    /// This resource with one more response, which replaces those it would be chosen instead of. The oldest variants go
    /// where there would be more than the bounds allow; how many do.
    pub fn with(&self, entry: Arc<Entry>, max_variants: usize, max_bytes: u64) -> (Self, usize) {
        let mut bytes = entry.weight();
        let others = self.variants.iter().filter(|old| !entry.replaces(old));
        let kept: Vec<_> = others
            .clone()
            .take(max_variants.max(1) - 1)
            .take_while(|old| {
                bytes += old.weight();
                bytes <= max_bytes
            })
            .cloned()
            .collect();
        let gone = others.count() - kept.len();
        let variants = [entry].into_iter().chain(kept).collect();
        // What was just stored is cacheable after all.
        (Self::new(variants, [None, self.uncacheable[1]]), gone)
    }

    /// This resource without the responses that `drop` names.
    pub fn without(&self, drop: impl Fn(&Entry) -> bool) -> Self {
        let variants = self.variants.iter().filter(|entry| !drop(entry)).cloned().collect();
        Self::new(variants, self.uncacheable)
    }

    /// This resource, marked as uncacheable until then for requests of this kind.
    pub fn uncacheable_until(&self, identified: bool, until: Instant, why: Skip) -> Self {
        let mut marked = self.weighed_again();
        marked.uncacheable[usize::from(identified)] = Some((until, why));
        marked
    }

    /// Whether there is nothing to know any more.
    pub fn is_empty(&self, now: Instant) -> bool {
        self.variants.is_empty() && self.uncacheable.iter().flatten().all(|(until, _)| *until <= now)
    }

    /// Bytes that the resource takes with its key and its place in the store, which each variant counts as its own.
    pub fn weight(&self, key: &Key) -> u64 {
        let bare = (size_of::<Self>() + 2 * size_of::<usize>() + key.bytes().len()) as u64;
        self.bytes.max(bare)
    }
}
