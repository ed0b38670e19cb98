//! An app that makes requests and queries, for tests.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use super::{
    Endpoint, Finding, Observer, Request, Settings, Snapshot,
    fingerprint::Dialect,
    otlp::{Database, Decoded, Span, SpanKind},
    trace::{SpanId, TraceId},
};

pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// An app behind an observer, whose time goes on as a test says.
pub(super) struct App {
    pub(super) observer: Observer,
    pub(super) now: Instant,
    ids: u64,
}

/// The spans of one trace as they are made.
pub(super) struct Trace {
    pub(super) id: TraceId,
    pub(super) spans: Vec<Span<'static>>,
    pub(super) dialect: Dialect,
    /// The span that the next ones are part of.
    pub(super) parent: Option<SpanId>,
    ids: u64,
    /// Nanoseconds by the app's clock.
    clock: u64,
}

impl App {
    pub(super) fn new(settings: Settings) -> Self {
        let now = Instant::now();
        Self { observer: Observer::new(settings, now), now, ids: 0 }
    }

    pub(super) fn trace(&mut self) -> Trace {
        self.ids += 1;
        let id = TraceId::new(u128::from(self.ids) << 64 | 1).unwrap();
        Trace { id, spans: Vec::new(), dialect: Dialect::Postgres, parent: None, ids: self.ids << 20, clock: 1 << 50 }
    }

    pub(super) fn send(&self, spans: Vec<Span<'static>>) {
        self.observer.spans(&Decoded { spans, rejected: 0 }, self.now);
    }

    /// A request that passes here, whose server span has the front door's as its parent.
    pub(super) fn request(&mut self, endpoint: &str, make: impl FnOnce(&mut Trace)) -> TraceId {
        let mut trace = self.trace();
        let front = trace.next_id();
        let server = trace.next_id();
        trace.parent = Some(server);
        let begin = trace.clock;
        trace.wait(0.3);
        make(&mut trace);
        trace.wait(0.3);
        let took = Duration::from_nanos(trace.clock - begin);
        let mut span = trace.span(SpanKind::Server, begin, None);
        (span.id, span.parent) = (server, Some(front));
        trace.spans.push(span);
        let endpoint = Endpoint { method: "GET", name: endpoint.into() };
        let request = Request { trace: Some(trace.id), span: Some(front), endpoint, took, database: None };
        self.observer.request(request, self.now);
        let id = trace.id;
        self.send(trace.spans);
        id
    }

    pub(super) fn later(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.observer.turn(self.now);
    }

    /// When all traces are looked at.
    pub(super) fn settled(&mut self) -> Snapshot {
        self.later(61);
        self.observer.snapshot(HOUR, self.now)
    }
}

impl Trace {
    pub(super) fn next_id(&mut self) -> SpanId {
        self.ids += 1;
        SpanId::new(self.ids).unwrap()
    }

    pub(super) fn wait(&mut self, millis: f64) {
        self.clock += (millis * 1e6) as u64;
    }

    /// A span from then until now.
    pub(super) fn span(&mut self, kind: SpanKind, start: u64, database: Option<Database<'static>>) -> Span<'static> {
        Span {
            trace: self.id,
            id: self.next_id(),
            parent: self.parent,
            kind,
            start,
            end: self.clock,
            is_error: false,
            scope: None,
            route: None,
            path: None,
            method: None,
            database,
        }
    }

    /// A query of so many milliseconds.
    pub(super) fn query(&mut self, text: impl Into<Cow<'static, str>>, millis: f64) -> &mut Span<'static> {
        let start = self.clock;
        self.wait(millis);
        let database = Database { dialect: self.dialect, text: Some(text.into()), ..Database::default() };
        let span = self.span(SpanKind::Client, start, Some(database));
        // From the app to the database and on.
        self.wait(0.05);
        self.spans.push(span);
        self.spans.last_mut().unwrap()
    }

    /// The same for each of so many rows.
    pub(super) fn each(&mut self, rows: u64, millis: f64, text: impl Fn(u64) -> String) {
        (0..rows).for_each(|row| {
            self.query(text(row), millis);
        });
    }

    /// Queries that begin at the same time.
    pub(super) fn at_once(&mut self, rows: u64, millis: f64, text: impl Fn(u64) -> String) {
        let start = self.clock;
        for row in 0..rows {
            self.clock = start;
            self.query(text(row), millis);
        }
    }

    /// Waiting for a connection: a span of the database without a statement.
    pub(super) fn connect(&mut self) {
        let start = self.clock;
        self.wait(0.1);
        let span = self.span(SpanKind::Client, start, Some(Database::default()));
        self.spans.push(span);
    }
}

/// As far as tests tell findings apart.
pub(super) fn kinds(findings: &[Finding]) -> Vec<(&'static str, &'static str)> {
    findings.iter().map(|finding| (finding.what.kind(), finding.confidence.name())).collect()
}
