//! What is known of a span: enough to tell queries, the requests that they were made for, and how long they took.

use std::{borrow::Cow, time::Duration};

use super::super::{
    fingerprint::Dialect,
    trace::{SpanId, TraceId},
};

/// A span, as far as queries and requests are concerned. Texts borrow from the body that it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Span<'a> {
    /// Its trace.
    pub trace: TraceId,
    /// Its id.
    pub id: SpanId,
    /// The span that it is part of.
    pub parent: Option<SpanId>,
    /// Its part in a call.
    pub kind: SpanKind,
    /// Nanoseconds since 1970 by the app's clock.
    pub start: u64,
    /// The same for its end; not before the start.
    pub end: u64,
    /// It failed.
    pub is_error: bool,
    /// A hash of the name of the instrumentation that made it, where it has one.
    pub scope: Option<u64>,
    /// The route of a request that the app's framework knows (`http.route`).
    pub route: Option<Cow<'a, str>>,
    /// The path of that request, without its query.
    pub path: Option<Cow<'a, str>>,
    /// The method of that request.
    pub method: Option<Cow<'a, str>>,
    /// What it asked a database of SQL.
    pub database: Option<Database<'a>>,
}

/// What a span asked a database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Database<'a> {
    /// Its SQL, as far as it matters here.
    pub dialect: Dialect,
    /// The statement, with or without values, at most [`super::super::fingerprint::LONGEST_READ`] bytes of it. Spans
    /// without one connect, or wait for a connection.
    pub text: Option<Cow<'a, str>>,
    /// The table, as the instrumentation has it.
    pub table: Option<Cow<'a, str>>,
    /// The database that was asked, with its schema after a bar where the instrumentation knows it.
    pub namespace: Option<Cow<'a, str>>,
    /// Rows that it returned.
    pub rows: Option<u64>,
    /// Statements that were sent at once.
    pub batch: Option<u64>,
    /// A hash of the values that were sent beside the statement. It has no key: it is to be hashed again, and not kept.
    pub sent: Option<u64>,
}

/// The part of a span in a call (OpenTelemetry, SpanKind).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanKind {
    /// Work within the app, or of a kind that is not told.
    #[default]
    Internal,
    /// Answering a request.
    Server,
    /// Asking another.
    Client,
    /// Sending a message to be worked on later.
    Producer,
    /// Working on such a message.
    Consumer,
}

impl SpanKind {
    /// The number of the kind in OTLP.
    pub(super) fn of_number(number: u64) -> Self {
        match number {
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Internal,
        }
    }

    /// The number or, in JSON, the name.
    pub(super) fn of_name(name: &str) -> Self {
        match name.strip_prefix("SPAN_KIND_").unwrap_or(name) {
            "SERVER" => Self::Server,
            "CLIENT" => Self::Client,
            "PRODUCER" => Self::Producer,
            "CONSUMER" => Self::Consumer,
            number => number.parse().map_or(Self::Internal, Self::of_number),
        }
    }
}

impl<'a> Span<'a> {
    /// The statement, if this span is a query: it asks a database of SQL something, and says what.
    pub fn query(&self) -> Option<(&Database<'a>, &str)> {
        let asks = matches!(self.kind, SpanKind::Client | SpanKind::Internal);
        let database = self.database.as_ref().filter(|_| asks)?;
        Some((database, database.text.as_deref()?))
    }

    /// How long it lasted.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.end.saturating_sub(self.start))
    }

    /// Whether requests or jobs begin here.
    pub fn is_entry(&self) -> bool {
        matches!(self.kind, SpanKind::Server | SpanKind::Consumer)
    }
}

/// A span as it is read, part by part.
#[derive(Debug, Default)]
pub(super) struct Raw<'a> {
    pub(super) trace: Option<TraceId>,
    pub(super) id: Option<SpanId>,
    pub(super) parent: Option<SpanId>,
    pub(super) kind: SpanKind,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) is_error: bool,
    pub(super) attributes: super::attributes::Attributes<'a>,
}

impl<'a> Raw<'a> {
    /// The span, if its ids are some.
    pub(super) fn finish(mut self) -> Option<Span<'a>> {
        let path = self.attributes.take_path();
        let (is_error, method, route, database) = self.attributes.finish();
        Some(Span {
            trace: self.trace?,
            id: self.id?,
            parent: self.parent,
            kind: self.kind,
            start: self.start,
            end: self.end.max(self.start),
            is_error: self.is_error || is_error,
            scope: None,
            route,
            path,
            method,
            database,
        })
    }
}
