//! What an app says of its database in `Server-Timing` (W3C Server Timing §3).
//!
//! `db;dur=53.25;desc="12 queries", app;dur=47`: metrics with parameters. Which of them are the database's is a matter of
//! habit, and those of known frameworks are known here. It gives the time of a request and with luck the number of its
//! queries, and never which ones.

use std::time::Duration;

/// Bytes of all lines together that are looked at.
const MOST_BYTES: usize = 4 << 10;
/// The longest that a request can have spent on its database.
const LONGEST: Duration = Duration::from_secs(3600);
/// The most queries that a request can have made.
const MOST_QUERIES: u32 = 1_000_000;

/// Names of metrics that are the database's time: Rails, Django Debug Toolbar and Symfony have their own.
const TIMES: [&str; 9] =
    ["db", "sql", "database", "mysql", "postgres", "pg", "sql.active_record", "SQLPanel_sql_time", "doctrine"];
/// Names of metrics whose `dur` is a number of queries.
const COUNTS: [&str; 4] = ["db.count", "dbcount", "db-count", "queries"];

/// What a response says of the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseTime {
    /// Time that it took altogether.
    pub time: Option<Duration>,
    /// How many queries there were.
    pub queries: Option<u32>,
}

/// What the lines of the field say of the database; `None` if nothing. Parts that cannot be read are passed over.
pub fn read<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<DatabaseTime> {
    let (mut left, mut sum) = (MOST_BYTES, Sum::default());
    for line in lines {
        let line = &line[..line.len().min(left)];
        left -= line.len();
        // A byte beyond ASCII can only be in a description.
        Metrics(line).for_each(|metric| sum.take(&metric));
    }
    sum.finish()
}

/// What metrics amount to.
#[derive(Default)]
struct Sum {
    /// Of names that are a whole.
    whole: Option<Duration>,
    /// Of names such as `db-read`, which may be parts of such a whole.
    parts: Option<Duration>,
    queries: Option<u32>,
}

impl Sum {
    fn take(&mut self, metric: &Metric<'_>) {
        let is = |names: &[&str]| names.iter().any(|name| metric.name.eq_ignore_ascii_case(name.as_bytes()));
        if is(&COUNTS) {
            let count = metric.milliseconds().filter(|count| count.fract() == 0.0);
            return self.count(count.map(|count| count.min(f64::from(MOST_QUERIES)) as u32));
        }
        let is_part = metric.name.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case(b"db-"));
        let sum = match is(&TIMES) {
            true => &mut self.whole,
            false if is_part => &mut self.parts,
            false => return,
        };
        let time = metric.milliseconds().and_then(|time| Duration::try_from_secs_f64(time / 1000.0).ok());
        if let Some(time) = time {
            *sum = Some(sum.unwrap_or_default().saturating_add(time).min(LONGEST));
        }
        self.count(metric.described_queries());
    }

    fn count(&mut self, queries: Option<u32>) {
        if let Some(more) = queries {
            self.queries = Some(self.queries.unwrap_or(0).saturating_add(more).min(MOST_QUERIES));
        }
    }

    fn finish(self) -> Option<DatabaseTime> {
        let found = DatabaseTime { time: self.whole.or(self.parts), queries: self.queries };
        (found != DatabaseTime::default()).then_some(found)
    }
}

/// One metric; of a parameter that comes twice, the first counts.
struct Metric<'a> {
    name: &'a [u8],
    duration: Option<&'a [u8]>,
    description: Option<&'a [u8]>,
}

impl Metric<'_> {
    /// The value of `dur`, which is not negative.
    fn milliseconds(&self) -> Option<f64> {
        let text = std::str::from_utf8(self.duration?).ok()?.trim();
        let is_decimal =
            text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'-' | b'+'));
        text.parse().ok().filter(|number: &f64| is_decimal && number.is_finite() && *number >= 0.0)
    }

    /// A number before `queries`, `sql` or `statements` in the description.
    fn described_queries(&self) -> Option<u32> {
        let text = self.description?;
        let begins = |rest: &[u8], word: &str| {
            rest.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word.as_bytes()))
        };
        let mut at = 0;
        while let Some(found) = text[at..].iter().position(u8::is_ascii_digit) {
            let begin = at + found;
            let digits = text[begin..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            at = begin + digits;
            let rest = text[at..].trim_ascii_start();
            if ["quer", "sql", "stmt", "statement"].iter().any(|word| begins(rest, word)) {
                let number = std::str::from_utf8(&text[begin..at]).ok()?;
                return Some(number.parse().unwrap_or(MOST_QUERIES));
            }
        }
        None
    }
}

/// The metrics of a line.
struct Metrics<'a>(&'a [u8]);

impl<'a> Iterator for Metrics<'a> {
    type Item = Metric<'a>;

    fn next(&mut self) -> Option<Metric<'a>> {
        while !self.0.is_empty() {
            let element = self.element();
            let mut parts = Parts(element, b';');
            let name = parts.next().unwrap_or_default().trim_ascii();
            if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
                continue;
            }
            let mut metric = Metric { name, duration: None, description: None };
            for part in parts {
                let Some(equals) = part.iter().position(|byte| *byte == b'=') else { continue };
                let (name, value) = (part[..equals].trim_ascii(), unquoted(part[equals + 1..].trim_ascii()));
                let place = match name {
                    name if name.eq_ignore_ascii_case(b"dur") => &mut metric.duration,
                    name if name.eq_ignore_ascii_case(b"desc") => &mut metric.description,
                    _ => continue,
                };
                place.get_or_insert(value);
            }
            return Some(metric);
        }
        None
    }
}

impl<'a> Metrics<'a> {
    fn element(&mut self) -> &'a [u8] {
        let mut parts = Parts(self.0, b',');
        let element = parts.next().unwrap_or_default();
        self.0 = parts.0;
        element
    }
}

/// What stands between marks that are not in quotes.
struct Parts<'a>(&'a [u8], u8);

impl<'a> Iterator for Parts<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let Self(text, mark) = *self;
        if text.is_empty() {
            return None;
        }
        let (mut quoted, mut escaped) = (false, false);
        let end = text.iter().position(|byte| {
            let ends = *byte == mark && !quoted;
            match byte {
                b'"' if !escaped => quoted = !quoted,
                _ => {}
            }
            escaped = quoted && !escaped && *byte == b'\\';
            ends
        });
        let end = end.unwrap_or(text.len());
        self.0 = text.get(end + 1..).unwrap_or_default();
        Some(&text[..end])
    }
}

/// Without its quotes; escapes in it stay, which no number has.
fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").map_or(value, |inner| inner.strip_suffix(b"\"").unwrap_or(inner))
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn read_one(line: &str) -> Option<(Option<f64>, Option<u32>)> {
        let found = read([line.as_bytes()])?;
        Some((found.time.map(|time| time.as_secs_f64() * 1000.0), found.queries))
    }

    #[test]
    fn lines() {
        for (line, expected) in [
            ("db;dur=53.25;desc=\"12 queries\", app;dur=47.2, cache;desc=\"hit\", miss", Some((Some(53.25), Some(12)))),
            ("app;dur=47.2", None),
            ("", None),
            ("db", None),
            ("db;dur=0", Some((Some(0.0), None))),
            ("DB ; DUR = 5 ", Some((Some(5.0), None))),
            ("db;dur=\"5\"", Some((Some(5.0), None))),
            ("db;dur=5;dur=6", Some((Some(5.0), None))),
            ("db;dur=5, sql;dur=6", Some((Some(11.0), None))),
            ("sql.active_record;dur=3.5, process_action.action_controller;dur=10", Some((Some(3.5), None))),
            ("SQLPanel_sql_time;dur=7;desc=\"SQL 4 queries\"", Some((Some(7.0), Some(4)))),
            ("db-read;dur=3, db-write;dur=4", Some((Some(7.0), None))),
            ("db;dur=10, db-read;dur=3, db-write;dur=4", Some((Some(10.0), None))),
            ("db.count;dur=8, db;dur=2", Some((Some(2.0), Some(8)))),
            ("dbcount;dur=1.5", None),
            ("queries;dur=9", Some((None, Some(9)))),
            ("db;desc=\"3 SQL\"", Some((None, Some(3)))),
            ("db;desc=\"1 of 2, 3 statements; \\\"4\\\" queries\"", Some((None, Some(3)))),
            ("db;desc=\"a, db;dur=9\"", None),
            ("redis;dur=5, cache;dur=6, dbx;dur=7", None),
            ("db;dur=-1", None),
            ("db;dur=NaN", None),
            ("db;dur=inf", None),
            ("db;dur=1e400", None),
            ("db;dur=1e9", Some((Some(3_600_000.0), None))),
            ("db;dur=x, db;dur=4", Some((Some(4.0), None))),
            ("d b;dur=3, db;dur=4", Some((Some(4.0), None))),
            ("=;,;;, db;dur=4", Some((Some(4.0), None))),
            ("db;desc=\"open, db;dur=4", None),
            ("db;desc=\"99999999999 queries\"", Some((None, Some(1_000_000)))),
        ] {
            assert_eq!(read_one(line), expected, "{line}");
        }
    }

    #[test]
    fn lines_add_up_to_a_bound() {
        let found = read([&b"db;dur=1"[..], b"db;dur=2"]);
        assert_eq!(found, Some(DatabaseTime { time: Some(Duration::from_millis(3)), queries: None }));
        let long = format!("{}db;dur=2", "app, ".repeat(1000));
        assert_eq!(read([&b"db;dur=1"[..], long.as_bytes()]).unwrap().time, Some(Duration::from_millis(1)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_danger(lines in vec(vec(any::<u8>(), 0..100), 0..4)) {
            read(lines.iter().map(Vec::as_slice));
        }

        #[test]
        fn marks_in_any_order(line in "[db;,=\"\\\\ dursc0-9.q]{0,60}") {
            read([line.as_bytes()]);
        }
    }
}
