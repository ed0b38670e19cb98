//! Traces while their spans come in: which queries belong to which request.
//!
//! Spans come in batches, children before their parents. A trace is looked at when nothing more of it has come for a
//! while; what comes after that is counted, but belongs to no request any more.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use super::{
    asked::Asked,
    event::{Endpoint, Source},
    fingerprint::Fingerprint,
    otlp::{Span, SpanKind},
    trace::{SpanId, TraceId},
    unit::{Executed, Unit},
};

/// Traces that are open at once.
pub(super) const MOST_TRACES: usize = 20_000;
/// Spans of all of them together, queries included.
pub(super) const MOST_PARTS: usize = 100_000;
/// Queries of one trace.
pub(super) const MOST_QUERIES: usize = 5000;
/// Other spans of one trace.
pub(super) const MOST_LINKS: usize = 2000;
/// Traces that are remembered after they were looked at.
const MOST_CLOSED: usize = 50_000;

/// Nothing came for so long, and the request is known: all of its spans are here. Exporters send every 5 s by default.
const SETTLED: Duration = Duration::from_secs(10);
/// Nothing came for so long.
const IDLE: Duration = Duration::from_secs(60);
/// It has been open for so long, whatever comes.
const LONGEST: Duration = Duration::from_secs(180);
/// What comes this long after it was looked at belongs to it.
const REMEMBERED: Duration = Duration::from_secs(180);
/// A span has so many above it at most.
const DEEPEST: usize = 512;
/// Queries that began before one, and after it, which may be the same, seen by two instrumentations.
const NEAR: usize = 64;

/// How a query's request is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// By the trace of a request that passed here: exact.
    Request,
    /// By the route in the app's own span of the request: exact.
    Route,
    /// There are several requests that it may belong to.
    Ambiguous,
    /// It belongs to none, or nobody says to which.
    Unattributed,
}

impl Level {
    /// Every level.
    pub const ALL: [Self; 4] = [Self::Request, Self::Route, Self::Ambiguous, Self::Unattributed];

    /// Its name in figures.
    pub fn name(self) -> &'static str {
        ["request", "route", "ambiguous", "unattributed"][self as usize]
    }
}

/// What became of a query that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It waits for the rest of its trace.
    Waits,
    /// Another source, or another instrumentation, told of it.
    Duplicate,
    /// Its trace was looked at already.
    Late,
    /// There is no room.
    Dropped,
}

/// What a query is, as its trace needs it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    pub(super) executed: Executed,
    pub(super) source: Source,
    pub(super) span: Option<SpanId>,
    pub(super) parent: Option<SpanId>,
    /// The instrumentation that told of it.
    pub(super) scope: Option<u64>,
}

#[derive(Debug)]
struct Entry {
    id: SpanId,
    parent: Option<SpanId>,
    kind: SpanKind,
    endpoint: Option<Endpoint>,
    took: Duration,
}

#[derive(Debug)]
struct Open {
    first: Instant,
    last: Instant,
    entries: Vec<Entry>,
    /// Of other spans, what they are part of.
    links: HashMap<SpanId, Option<SpanId>, RandomState>,
    /// By their start.
    queries: Vec<Asking>,
    /// Executions of each query by source: of one that two sources tell of, only what one of them has more counts.
    told: HashMap<Fingerprint, [u32; Source::ALL.len()], RandomState>,
    /// Where queries without a time stand: one after the other.
    cursor: u64,
}

impl Open {
    fn new(now: Instant) -> Self {
        Self {
            first: now,
            last: now,
            entries: Vec::new(),
            links: HashMap::default(),
            queries: Vec::new(),
            told: HashMap::default(),
            cursor: 0,
        }
    }

    fn parts(&self) -> usize {
        self.queries.len() + self.links.len() + self.entries.len()
    }
}

/// The queries of a request that is known as well as it ever will be.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) level: Level,
    pub(super) endpoint: Option<Endpoint>,
    /// The span of a request that passed here.
    pub(super) asked: Option<SpanId>,
    pub(super) unit: Unit,
}

/// All traces that are open.
#[derive(Debug, Default)]
pub(super) struct Traces {
    open: HashMap<TraceId, Open, RandomState>,
    parts: usize,
    closed: HashSet<TraceId, RandomState>,
    closed_order: VecDeque<(Instant, TraceId)>,
    /// Spans that there was no room for.
    pub(super) dropped: u64,
}

impl Traces {
    /// The trace, if it is open or there is room for one more.
    fn open(&mut self, trace: TraceId, now: Instant) -> Option<&mut Open> {
        if self.open.len() >= MOST_TRACES && !self.open.contains_key(&trace) || self.parts >= MOST_PARTS {
            self.dropped += 1;
            return None;
        }
        let open = self.open.entry(trace).or_insert_with(|| Open::new(now));
        open.last = now;
        Some(open)
    }

    /// Takes a span that is no query.
    pub(super) fn link(&mut self, span: &Span<'_>, now: Instant) {
        if self.closed.contains(&span.trace) {
            return;
        }
        let Some(open) = self.open(span.trace, now) else { return };
        let before = open.parts();
        if open.entries.len() + open.links.len() >= MOST_LINKS {
            self.dropped += 1;
            return;
        }
        if span.is_entry() {
            let endpoint = span.route.as_deref().filter(|_| span.kind == SpanKind::Server).map(|route| Endpoint {
                method: method_name(span.method.as_deref().unwrap_or_default()),
                name: Arc::from(route),
            });
            let (id, parent, kind, took) = (span.id, span.parent, span.kind, span.duration());
            open.entries.push(Entry { id, parent, kind, endpoint, took });
        } else {
            open.links.insert(span.id, span.parent);
        }
        self.parts += open.parts() - before;
    }

    /// Takes a query.
    pub(super) fn query(&mut self, trace: TraceId, mut asking: Asking, has_start: bool, now: Instant) -> Taken {
        if self.closed.contains(&trace) {
            return Taken::Late;
        }
        let Some(open) = self.open(trace, now) else { return Taken::Dropped };
        if is_told(&open.queries, &asking) {
            return Taken::Duplicate;
        }
        let told = open.told.entry(asking.executed.id).or_default();
        told[asking.source as usize] += 1;
        let others = Source::ALL.into_iter().filter(|source| *source != asking.source);
        let is_told = others.map(|source| told[source as usize]).max().unwrap_or(0) >= told[asking.source as usize];
        if is_told {
            return Taken::Duplicate;
        }
        if open.queries.len() >= MOST_QUERIES {
            self.dropped += 1;
            return Taken::Dropped;
        }
        if !has_start {
            let took = asking.executed.end.saturating_sub(asking.executed.start);
            asking.executed.start = open.cursor;
            open.cursor = open.cursor.saturating_add(took);
            asking.executed.end = open.cursor;
        }
        open.queries.insert(place(&open.queries, &asking), asking);
        self.parts += 1;
        Taken::Waits
    }

    /// Takes out the traces that nothing more is expected of.
    pub(super) fn settled<'a>(
        &mut self,
        now: Instant,
        asked: impl Fn(TraceId) -> &'a [Asked],
    ) -> Vec<(TraceId, Vec<Closed>)> {
        let since = |then: Instant| now.saturating_duration_since(then);
        let is_settled = |trace: TraceId, open: &Open| {
            let is_known = !open.entries.is_empty() || !asked(trace).is_empty();
            since(open.last) >= if is_known { SETTLED } else { IDLE } || since(open.first) >= LONGEST
        };
        let due = self.open.iter().filter(|(trace, open)| is_settled(**trace, open));
        let due: Vec<TraceId> = due.map(|(trace, _)| *trace).collect();
        while self.closed_order.front().is_some_and(|(closed, _)| since(*closed) > REMEMBERED)
            || self.closed_order.len() + due.len() > MOST_CLOSED.max(due.len())
        {
            let Some((_, trace)) = self.closed_order.pop_front() else { break };
            self.closed.remove(&trace);
        }
        let mut closed = Vec::with_capacity(due.len());
        for trace in due {
            let Some(open) = self.open.remove(&trace) else { continue };
            self.parts = self.parts.saturating_sub(open.parts());
            if self.closed.insert(trace) {
                self.closed_order.push_back((now, trace));
            }
            closed.push((trace, Resolution::new(&open, asked(trace)).closed()));
        }
        closed
    }

    /// Traces that are open, and their parts.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.open.len(), self.parts)
    }
}

/// Where it stands among others by its start.
fn place(queries: &[Asking], asking: &Asking) -> usize {
    queries.partition_point(|other| other.executed.start <= asking.executed.start)
}

/// Whether the query is within one that says the same, or has it within: an object mapper and the driver beneath it both
/// tell of the same. They come far from each other, since exporters put the spans of each instrumentation together.
fn is_told(queries: &[Asking], asking: &Asking) -> bool {
    let place = place(queries, asking);
    queries[place.saturating_sub(NEAR)..queries.len().min(place + NEAR)].iter().any(|other| {
        let is_same = other.executed.id == asking.executed.id && other.source == asking.source;
        is_same && (is_within(asking, other) || is_within(other, asking))
    })
}

/// Whether one is part of the other. Not every instrumentation makes its span the parent of what runs meanwhile (that of
/// SQLAlchemy does not): where two of them tell of the same parent, it is by the time.
fn is_within(one: &Asking, other: &Asking) -> bool {
    let is_child = one.parent.is_some() && one.parent == other.span;
    let are_siblings =
        one.parent == other.parent && one.scope.zip(other.scope).is_some_and(|(one, other)| one != other);
    let is_meanwhile = other.executed.start <= one.executed.start && one.executed.end <= other.executed.end;
    is_child || are_siblings && is_meanwhile
}

/// Whose a query is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Asked(usize),
    Entry(usize),
    OneOfSeveral,
    Nobodys,
}

/// A trace whose queries are given to its requests.
struct Resolution<'a> {
    open: &'a Open,
    asked: &'a [Asked],
    entries: HashMap<SpanId, usize, RandomState>,
    queries: HashMap<SpanId, Option<SpanId>, RandomState>,
}

impl<'a> Resolution<'a> {
    fn new(open: &'a Open, asked: &'a [Asked]) -> Self {
        let entries = open.entries.iter().enumerate().map(|(at, entry)| (entry.id, at)).collect();
        let queries = open.queries.iter().filter_map(|query| Some((query.span?, query.parent))).collect();
        Self { open, asked, entries, queries }
    }

    fn closed(&self) -> Vec<Closed> {
        let mut units: Vec<(Whose, Unit)> = Vec::new();
        let mut unit = |whose: Whose| -> usize {
            units.iter().position(|(one, _)| *one == whose).unwrap_or_else(|| {
                units.push((whose, Unit::default()));
                units.len() - 1
            })
        };
        // A request without any query is one, too.
        let servers = self.open.entries.iter().filter(|entry| entry.kind == SpanKind::Server);
        servers.for_each(|entry| {
            unit(self.whose(Some(entry.id)));
        });
        let places: Vec<usize> = self.open.queries.iter().map(|query| unit(self.whose(query.parent))).collect();
        for (query, place) in self.open.queries.iter().zip(places) {
            units[place].1.queries.push(query.executed);
        }
        units.into_iter().map(|(whose, unit)| self.close(whose, unit)).collect()
    }

    fn close(&self, whose: Whose, mut unit: Unit) -> Closed {
        let (level, endpoint, took) = match whose {
            Whose::Asked(at) => (Level::Request, Some(self.asked[at].endpoint.clone()), Some(self.asked[at].took)),
            Whose::Entry(at) => {
                let entry = &self.open.entries[at];
                let level = if entry.endpoint.is_some() { Level::Route } else { Level::Unattributed };
                (level, entry.endpoint.clone(), Some(entry.took))
            }
            Whose::OneOfSeveral => (Level::Ambiguous, None, None),
            Whose::Nobodys => (Level::Unattributed, None, None),
        };
        unit.queries.sort_by_key(|query| query.start);
        unit.is_request = endpoint.is_some();
        unit.took = took;
        let asked = if let Whose::Asked(at) = whose { self.asked[at].span } else { None };
        Closed { level, endpoint, asked, unit }
    }

    /// Goes up from a span to what it is part of.
    fn whose(&self, from: Option<SpanId>) -> Whose {
        let (mut at, mut nearest) = (from, None);
        for _ in 0..DEEPEST {
            let Some(id) = at else { break };
            at = if let Some(entry) = self.entries.get(&id) {
                nearest = nearest.or(Some(*entry));
                self.open.entries[*entry].parent
            } else if let Some(parent) = self.open.links.get(&id).or_else(|| self.queries.get(&id)) {
                *parent
            } else {
                // Nobody told of this one: it may be that of the front door.
                break;
            };
        }
        // A job that a request left behind is no part of it.
        if let Some(entry) = nearest.filter(|entry| self.open.entries[*entry].kind == SpanKind::Consumer) {
            return Whose::Entry(entry);
        }
        if let Some(asked) = self.asked.iter().position(|asked| asked.span.is_some() && asked.span == at) {
            return Whose::Asked(asked);
        }
        match (self.asked, nearest) {
            ([_], _) => Whose::Asked(0),
            (_, Some(entry)) if self.open.entries[entry].endpoint.is_some() => Whose::Entry(entry),
            ([_, _, ..], _) => Whose::OneOfSeveral,
            (_, Some(entry)) => Whose::Entry(entry),
            ([], None) => Whose::Nobodys,
        }
    }
}

/// One of the nine methods of RFC 9110 §9 and RFC 5789, or `_OTHER`.
fn method_name(method: &str) -> &'static str {
    const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    METHODS.into_iter().find(|name| *name == method).unwrap_or("_OTHER")
}
