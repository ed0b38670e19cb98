//! The names of what spans tell, as OpenTelemetry had and has them (semantic conventions for databases and HTTP).
//!
//! A newer name counts for more than an older one of the same thing, so that a span that has both counts once.

use std::borrow::Cow;

use super::{
    super::fingerprint::{Dialect, LONGEST_READ, beginning},
    span::Database,
};

/// Attributes of a span that are looked at.
pub(super) const MOST: usize = 256;
/// Bytes of a name: of a table or a method; and of a path.
const LONGEST_NAME: usize = 256;
/// Bytes of a route, which may be a regular expression.
const LONGEST_ROUTE: usize = 512;

/// What an attribute holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Whole(i64),
    /// Anything else, of which only a hash is of use.
    Other(u64),
}

/// What of the attributes is of use.
#[derive(Debug, Default)]
pub(super) struct Attributes<'a> {
    seen: usize,
    system: Ranked<System>,
    text: Ranked<Cow<'a, str>>,
    table: Ranked<Cow<'a, str>>,
    namespace: Ranked<Cow<'a, str>>,
    method: Ranked<Cow<'a, str>>,
    route: Option<Cow<'a, str>>,
    path: Ranked<Cow<'a, str>>,
    rows: Option<u64>,
    batch: Option<u64>,
    sent: Option<u64>,
    is_error: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Sql(Dialect),
    /// Its statements are no SQL, and what in them is a value nobody here knows.
    Other,
}

/// A value and the rank of the name that it came by.
#[derive(Debug)]
struct Ranked<T>(Option<(u8, T)>);

impl<T> Default for Ranked<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Ranked<T> {
    fn offer(&mut self, rank: u8, value: T) {
        if self.0.as_ref().is_none_or(|(had, _)| *had < rank) {
            self.0 = Some((rank, value));
        }
    }

    fn take(self) -> Option<T> {
        self.0.map(|(_, value)| value)
    }
}

/// Names for the current and the older conventions.
const NEW: u8 = 2;
const OLD: u8 = 1;
/// What says the same less directly.
const OLDEST: u8 = 0;

impl<'a> Attributes<'a> {
    pub(super) fn take(&mut self, name: &str, value: Value<'a>) {
        self.seen += 1;
        if self.seen > MOST {
            return;
        }
        match (name, value) {
            ("db.system.name", Value::Text(text)) => self.system.offer(NEW, system(&text)),
            ("db.system", Value::Text(text)) => self.system.offer(OLD, system(&text)),
            ("db.query.text", Value::Text(text)) => self.text.offer(NEW, cut(text)),
            ("db.statement", Value::Text(text)) => self.text.offer(OLD, cut(text)),
            ("db.collection.name", Value::Text(text)) if is_name(&text) => self.table.offer(NEW, text),
            ("db.sql.table", Value::Text(text)) if is_name(&text) => self.table.offer(OLD, text),
            ("db.namespace", Value::Text(text)) if is_name(&text) => self.namespace.offer(NEW, text),
            ("db.name", Value::Text(text)) if is_name(&text) => self.namespace.offer(OLD, text),
            ("db.response.returned_rows", value) => self.rows = whole(value).or(self.rows),
            ("db.operation.batch.size", value) => self.batch = whole(value).or(self.batch),
            ("http.request.method", Value::Text(text)) if is_name(&text) => self.method.offer(NEW, text),
            ("http.method", Value::Text(text)) if is_name(&text) => self.method.offer(OLD, text),
            ("http.route", Value::Text(text)) if is_text(&text, LONGEST_ROUTE) => self.route = Some(text),
            ("url.path", Value::Text(text)) => self.offer_path(NEW, text),
            ("http.target", Value::Text(text)) => self.offer_path(OLD, text),
            ("http.url", Value::Text(text)) => self.offer_path(OLDEST, text),
            ("error.type", Value::Text(_)) => self.is_error = true,
            (name, value) if is_sent(name) => {
                let mixed = digest(name.as_bytes()).rotate_left(7) ^ digest_of(&value);
                // In whatever order they come.
                self.sent = Some(self.sent.unwrap_or(0).wrapping_add(mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            }
            _ => {}
        }
    }

    /// Takes the path of a target or a URL (RFC 3986 §3), which is all of it that is of use: a query holds values.
    fn offer_path(&mut self, rank: u8, text: Cow<'a, str>) {
        let begin = text.find("://").and_then(|at| Some(at + 3 + text[at + 3..].find('/')?));
        let begin = begin.filter(|_| !text.starts_with('/')).unwrap_or(0);
        let end = begin + text[begin..].find(['?', '#']).unwrap_or(text.len() - begin);
        let path = match text {
            Cow::Borrowed(text) => Cow::Borrowed(&text[begin..end]),
            Cow::Owned(text) => Cow::Owned(text[begin..end].to_owned()),
        };
        if path.starts_with('/') && is_name(&path) {
            self.path.offer(rank, path);
        }
    }

    /// The path of the request, if it is one.
    pub(super) fn take_path(&mut self) -> Option<Cow<'a, str>> {
        std::mem::take(&mut self.path).take()
    }

    /// Whether it failed, the method and route of a request, and what a database was asked.
    #[expect(clippy::type_complexity, reason = "four things that part here")]
    pub(super) fn finish(self) -> (bool, Option<Cow<'a, str>>, Option<Cow<'a, str>>, Option<Database<'a>>) {
        let database = match self.system.take() {
            Some(System::Sql(dialect)) => Some(Database {
                dialect,
                text: self.text.take().filter(|text| !text.trim().is_empty()),
                table: self.table.take(),
                namespace: self.namespace.take(),
                rows: self.rows,
                batch: self.batch,
                sent: self.sent,
            }),
            Some(System::Other) | None => None,
        };
        (self.is_error, self.method.take(), self.route, database)
    }
}

/// Systems whose statements are SQL, with the names that they had before.
fn system(name: &str) -> System {
    match name {
        "postgresql"
        | "mysql"
        | "mariadb"
        | "sqlite"
        | "cockroachdb"
        | "redshift"
        | "aws.redshift"
        | "greenplum"
        | "edb"
        | "mssql"
        | "microsoft.sql_server"
        | "oracle"
        | "oracle.db"
        | "db2"
        | "ibm.db2"
        | "h2"
        | "h2database"
        | "hsqldb"
        | "derby"
        | "clickhouse"
        | "snowflake"
        | "trino"
        | "teradata"
        | "firebird"
        | "firebirdsql"
        | "duckdb"
        | "spanner"
        | "gcp.spanner"
        | "other_sql"
        | "sql" => System::Sql(Dialect::of_system(name)),
        _ => System::Other,
    }
}

/// Values that were sent beside a statement, by whatever name.
fn is_sent(name: &str) -> bool {
    [
        "db.query.parameter.",
        "db.statement.parameter",
        "db.sql.parameter",
        "db.postgresql.values",
        "db.operation.parameter.",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

fn is_name(text: &str) -> bool {
    is_text(text, LONGEST_NAME)
}

fn is_text(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A number that is not negative, also one that was written as a string.
fn whole(value: Value<'_>) -> Option<u64> {
    match value {
        Value::Whole(number) => number.try_into().ok(),
        Value::Text(text) => text.parse().ok(),
        Value::Other(_) => None,
    }
}

/// What is beyond makes no difference; so that it is not held either.
fn cut(text: Cow<'_, str>) -> Cow<'_, str> {
    // One more than is looked at, so that it is known to be cut.
    let most = LONGEST_READ + 4;
    match text {
        text if text.len() <= most => text,
        Cow::Borrowed(text) => Cow::Borrowed(beginning(text, most)),
        Cow::Owned(mut text) => {
            text.truncate(beginning(&text, most).len());
            text.shrink_to_fit();
            Cow::Owned(text)
        }
    }
}

/// FNV-1a: to be hashed again with a key before it is of use to anybody.
pub(super) fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn digest_of(value: &Value<'_>) -> u64 {
    match value {
        Value::Text(text) => digest(text.as_bytes()),
        Value::Whole(number) => digest(&number.to_le_bytes()),
        Value::Other(hash) => *hash,
    }
}
