//! What makes two executions the same query: the statement without its values.
//!
//! [`fingerprint`] reads a statement once and allocates nothing; [`normalise`] writes down what it looks like, which is
//! needed for a query that was not seen before. Both take the same tokens, so that they cannot differ.
//!
//! - `lexer`: where tokens, and above all literals, begin and end in each dialect.
//! - `mask`: names that are not shown either, where the settings say which.
//! - `shape`: values become `?`, lists of them one `?`, groups of them one group; `words`: what it knows of SQL.
//! - `hash` and `letters`: the number of that; `sink` and `text`: how it is written; `values`: whether values were the same; `comment`: what apps say in comments.
//!
//! No literal is ever in the shape: a string that does not end swallows the rest, and where dialects differ, an unknown
//! one is read in the way that shows less. A text that was built for a database whose settings change what a string is
//! (`standard_conforming_strings = off`, `NO_BACKSLASH_ESCAPES`, `ANSI_QUOTES`) is cut at the first string that could end
//! elsewhere, if one is found not to end.

mod comment;
mod hash;
mod letters;
mod lexer;
mod mask;
mod shape;
mod sink;
mod text;
mod values;
mod words;

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

pub use comment::Comment;
pub use mask::{Mask, shown};
pub use shape::Traits;
pub use values::{Key, Values};

/// Bytes of a statement that are looked at; what is beyond makes no difference.
pub const LONGEST_READ: usize = 16 << 10;
/// Bytes of a statement's shape that are kept.
pub const LONGEST_TEXT: usize = 4 << 10;

/// Which SQL it is, as far as it matters for where literals end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL and those that speak its language, such as CockroachDB and Redshift.
    Postgres,
    /// MySQL and MariaDB: backslashes escape, and what is in double quotes is a string.
    MySql,
    /// SQLite.
    Sqlite,
    /// Nobody said which.
    #[default]
    Unknown,
}

impl Dialect {
    /// That of a `db.system.name`, or an older `db.system` (OpenTelemetry, semantic conventions for databases).
    pub fn of_system(name: &str) -> Self {
        match name {
            "postgresql" | "cockroachdb" | "redshift" | "aws.redshift" | "greenplum" | "edb" => Self::Postgres,
            "mysql" | "mariadb" => Self::MySql,
            "sqlite" => Self::Sqlite,
            _ => Self::Unknown,
        }
    }
}

/// Which query it is: the same for the same query after a restart. Shown as `q_` and 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "q_{:016x}", self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("q_").filter(|digits| digits.len() == 16 && !digits.starts_with('+'));
        let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.map(Self).ok_or_else(|| format!("{text:?}: expected a query's id, such as \"q_5a1f0c33d2e94b07\""))
    }
}

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// It reads.
    Select,
    /// It adds rows.
    Insert,
    /// It changes rows.
    Update,
    /// It removes rows.
    Delete,
    /// It moves many rows, such as COPY.
    Copy,
    /// It defines tables and the like.
    Schema,
    /// Transactions and settings: no query that somebody would count.
    Control,
    /// Anything else.
    Other,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] =
        [Self::Select, Self::Insert, Self::Update, Self::Delete, Self::Copy, Self::Schema, Self::Control, Self::Other];

    /// Its name in figures.
    pub fn name(self) -> &'static str {
        ["select", "insert", "update", "delete", "copy", "schema", "control", "other"][self as usize]
    }

    /// Whether it changes rows.
    pub fn is_write(self) -> bool {
        matches!(self, Self::Insert | Self::Update | Self::Delete | Self::Copy)
    }
}

/// What one look at a statement tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print<'a> {
    /// Which query it is.
    pub id: Fingerprint,
    /// What it does.
    pub kind: Kind,
    /// What it has.
    pub traits: Traits,
    /// Which values it had.
    pub values: Values,
    /// Groups after VALUES; 1 where there are none.
    pub rows: u32,
    /// Values of its lists together; 1 where there are none.
    pub list: u32,
    /// Its last comment.
    pub comment: Comment<'a>,
}

impl Print<'_> {
    /// Whether it is a query that counts in "queries per request": no transaction control, no question about the
    /// database itself, and no mere sign of life such as `SELECT 1`.
    pub fn counts(&self) -> bool {
        self.kind != Kind::Control && !self.traits.catalog && (self.traits.stored || self.kind != Kind::Select)
    }
}

/// What a statement is. Allocates nothing, and takes less than a microsecond for a hundred bytes.
pub fn fingerprint<'a>(text: &'a str, dialect: Dialect, key: &Key) -> Print<'a> {
    fingerprint_masked(text, dialect, key, &[])
}

/// The same, where names that one of these patterns matches make no difference.
pub fn fingerprint_masked<'a>(text: &'a str, dialect: Dialect, key: &Key, masks: &[Mask]) -> Print<'a> {
    shape::read(text, dialect, masks, key.hasher(), &mut ())
}

/// A statement without its values, at most [`LONGEST_TEXT`] bytes of it: what its fingerprint was made of.
pub fn normalise(text: &str, dialect: Dialect) -> String {
    normalise_masked(text, dialect, &[])
}

/// The same without names that one of these patterns matches.
pub fn normalise_masked(text: &str, dialect: Dialect, masks: &[Mask]) -> String {
    let mut written = text::Text::new(LONGEST_TEXT);
    shape::read(text, dialect, masks, Key::default().hasher(), &mut written);
    written.finish()
}

/// As much of a text as so many bytes hold.
pub(super) fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}
