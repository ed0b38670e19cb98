//! What sources hand in: one execution of a query, however it became known.

use std::{sync::Arc, time::Duration};

use super::{
    fingerprint::Dialect,
    otlp::Span,
    record::Record,
    server_timing::DatabaseTime,
    trace::{SpanId, TraceId},
};

/// Where queries are known from. A source is one more way to hand in [`QueryEvent`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Spans that the app exports.
    Otlp,
    /// Records that it posts.
    Json,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 2] = [Self::Otlp, Self::Json];

    /// Its name in figures.
    pub fn name(self) -> &'static str {
        ["otlp", "json"][self as usize]
    }
}

/// One execution of a query, as its source has it. Its statement and names are read and not kept.
#[derive(Clone, Debug)]
pub struct QueryEvent<'a> {
    /// Where it is known from.
    pub source: Source,
    /// The statement, with or without values.
    pub text: &'a str,
    /// Its SQL.
    pub dialect: Dialect,
    /// How long it took.
    pub took: Duration,
    /// When it began, in nanoseconds by the app's clock; `None` where only their order is known.
    pub start: Option<u64>,
    /// Rows that it changed or returned.
    pub rows: Option<u64>,
    /// Several statements were sent at once.
    pub is_batch: bool,
    /// It failed.
    pub is_error: bool,
    /// An index was used, as far as the app knows.
    pub indexed: Option<bool>,
    /// The app's name for it.
    pub name: Option<&'a str>,
    /// Its table, as the source has it.
    pub table: Option<&'a str>,
    /// The database that was asked.
    pub database: Option<&'a str>,
    /// A hash without a key of the values that were sent beside it.
    pub sent: Option<u64>,
    /// The trace that it belongs to.
    pub trace: Option<TraceId>,
    /// Its own span.
    pub span: Option<SpanId>,
    /// The span that it is part of.
    pub parent: Option<SpanId>,
    /// A hash of the name of the instrumentation that told of it.
    pub scope: Option<u64>,
}

impl<'a> QueryEvent<'a> {
    /// What a span tells, if it is a query.
    pub fn of_span(span: &'a Span<'_>) -> Option<Self> {
        let (database, text) = span.query()?;
        Some(Self {
            source: Source::Otlp,
            text,
            dialect: database.dialect,
            took: span.duration(),
            start: Some(span.start),
            rows: database.rows,
            is_batch: database.batch.is_some_and(|statements| statements > 1),
            is_error: span.is_error,
            indexed: None,
            name: None,
            table: database.table.as_deref(),
            database: database.namespace.as_deref().and_then(|namespace| namespace.split('|').next()),
            sent: database.sent,
            trace: Some(span.trace),
            span: Some(span.id),
            parent: span.parent,
            scope: span.scope,
        })
    }

    /// What a record tells.
    pub fn of_record(record: &'a Record) -> Self {
        Self {
            source: Source::Json,
            text: &record.text,
            dialect: Dialect::Unknown,
            took: record.took,
            start: None,
            rows: record.rows,
            is_batch: false,
            is_error: false,
            indexed: record.indexed,
            name: record.name.as_deref(),
            table: record.table.as_deref(),
            database: None,
            sent: None,
            trace: record.parent.map(|(trace, _)| trace),
            span: None,
            parent: record.parent.map(|(_, span)| span),
            scope: None,
        }
    }
}

/// A method and the name of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// One of the nine standard methods, or `_OTHER`.
    pub method: &'static str,
    /// A template such as `/users/{id}`.
    pub name: Arc<str>,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.name)
    }
}

/// A request that the app answered, as the front door saw it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The trace that it was sent to the app with.
    pub trace: Option<TraceId>,
    /// The span that it was sent with as the app's parent.
    pub span: Option<SpanId>,
    /// Which endpoint it was for.
    pub endpoint: Endpoint,
    /// How long the app took.
    pub took: Duration,
    /// What the response says of the database.
    pub database: Option<DatabaseTime>,
}
