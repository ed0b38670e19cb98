//! Reads the sections of a TOML file key by key, and collects what is wrong instead of stopping at it.

use std::{cell::RefCell, ops::RangeInclusive, time::Duration};

use toml::de::{DeTable, DeValue};
use toml::{Spanned, de::DeInteger};

use super::problem::{Fault, Given, Place, Problem, shown};
use crate::units;

/// Longer lists are compared item by item with others, or at each request.
const LONGEST_LIST: usize = 1000;

/// A file that is being read: where its lines begin, and its problems so far.
pub(super) struct Document {
    lines: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl Document {
    pub(super) fn new(text: &str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Self { lines, problems: RefCell::default() }
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }

    pub(super) fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// The file itself, as the section that holds all others.
    pub(super) fn root<'d>(&'d self, table: &'d DeTable<'d>) -> Section<'d> {
        Section { document: self, kind: Kind::Root, path: String::new(), line: 1, table: Some(table), known: vec![] }
    }
}

enum Kind {
    Root,
    Table,
    Element,
}

/// One table of the file. Each read makes a key known; [`Section::finish`] reports the keys that nothing has read.
pub(super) struct Section<'d> {
    document: &'d Document,
    kind: Kind,
    path: String,
    line: usize,
    /// `None` where the file does not have this section.
    table: Option<&'d DeTable<'d>>,
    known: Vec<&'static str>,
}

impl<'d> Section<'d> {
    /// A section within this one; an empty one where the file does not have it.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'d> {
        let (path, line) = (self.path_of(key), self.line_of(key));
        let table = self.take(key).and_then(|value| match value.get_ref() {
            DeValue::Table(table) => Some(table),
            other => {
                self.refuse(key, value, Fault::SectionHeader(path.clone()).but_given(other));
                None
            }
        });
        Section { document: self.document, kind: Kind::Table, path, line, table, known: vec![] }
    }

    /// The sections `[[key]]`, in the order of the file.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Section<'d>> {
        let Some(value) = self.take(key) else { return vec![] };
        let path = self.path_of(key);
        let DeValue::Array(values) = value.get_ref() else {
            self.refuse(key, value, Fault::SectionHeaders(path).but_given(value.get_ref()));
            return vec![];
        };
        let mut sections = vec![];
        for value in values.iter() {
            match value.get_ref() {
                DeValue::Table(table) => sections.push(Section {
                    document: self.document,
                    kind: Kind::Element,
                    path: path.clone(),
                    line: self.document.line(value.span().start),
                    table: Some(table),
                    known: vec![],
                }),
                other => self.refuse(key, value, Fault::SectionHeaders(path.clone()).but_given(other)),
            }
        }
        sections
    }

    /// Whether the file has this section.
    pub(super) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// The line of the section's header.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// Says what is wrong with the section as a whole.
    pub(super) fn report(&self, fault: Fault) {
        let place = Place::Line { line: self.line, key: self.path.clone() };
        self.document.report(Problem::at(place, fault));
    }

    /// Where the section is in the file and lacks one of these keys, says so.
    pub(super) fn needs(&self, keys: &'static [&'static str]) {
        let Some(table) = self.table else { return };
        for key in keys.iter().filter(|key| !table.contains_key(**key)) {
            let place = Place::Line { line: self.line, key: self.path_of(key) };
            self.document.report(Problem::at(place, Fault::Missing { section: self.header(), needs: keys }));
        }
    }

    /// Reads any value.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&DeValue<'_>) -> Result<T, Fault>,
    ) -> Option<Given<T>> {
        let value = self.take(key)?;
        self.parse(key, value, parse)
    }

    /// Reads a whole number.
    pub(super) fn whole(&mut self, key: &'static str, range: RangeInclusive<usize>) -> Option<Given<usize>> {
        self.read(key, |value| {
            let DeValue::Integer(number) = value else { return Err(Fault::Whole(range).but_given(value)) };
            let number = integer(number).and_then(|number| usize::try_from(number).ok());
            number.filter(|number| range.contains(number)).ok_or(Fault::Whole(range))
        })
    }

    /// Reads a size in bytes, or with its unit.
    pub(super) fn size(&mut self, key: &'static str, range: RangeInclusive<u64>) -> Option<Given<u64>> {
        self.read(key, |value| size(value, range))
    }

    /// Reads a duration.
    pub(super) fn duration(&mut self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Given<Duration>> {
        self.read(key, |value| match value {
            DeValue::String(text) => Ok(units::duration_within(text, range)?),
            DeValue::Integer(number) if integer(number).is_some_and(|number| number >= 0) => {
                Err(units::Fault::DurationUnit(number.as_str().to_owned()).into())
            }
            other => Err(Fault::from(units::Fault::Duration).but_given(other)),
        })
    }

    /// Reads `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str) -> Option<Given<bool>> {
        self.read(key, |value| value.as_bool().ok_or_else(|| Fault::Boolean.but_given(value)))
    }

    /// Reads a string in the form that `parse` expects.
    pub(super) fn text<T>(&mut self, key: &'static str, parse: fn(&str) -> Result<T, Fault>) -> Option<Given<T>> {
        self.read(key, |value| match value {
            DeValue::String(text) => parse(text),
            other => Err(Fault::Text.but_given(other)),
        })
    }

    /// Reads an array of strings, or one string; each is judged by itself, at its own line.
    pub(super) fn texts<T>(
        &mut self,
        key: &'static str,
        parse: fn(&str) -> Result<T, Fault>,
    ) -> Option<Given<Vec<Given<T>>>> {
        let value = self.take(key)?;
        let items: Vec<_> = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        if items.len() > LONGEST_LIST {
            self.refuse(key, value, Fault::TooMany(LONGEST_LIST));
            return None;
        }
        let read = |item| {
            self.parse(key, item, |value| match value {
                DeValue::String(text) => parse(text),
                other => Err(Fault::Texts.but_given(other)),
            })
        };
        // Every item is read, so that each one's problem is named; without one of them the list is not what it says.
        let list: Vec<_> = items.into_iter().map(read).collect();
        Some(self.given(key, value).with(list.into_iter().collect::<Option<_>>()?))
    }

    /// Reports the keys that nothing has read.
    pub(super) fn finish(self) {
        for (key, value) in self.table.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let what = match value.get_ref() {
                DeValue::Table(_) => "section",
                DeValue::Array(items) if items.iter().next().is_some_and(|item| item.get_ref().is_table()) => "section",
                _ => "key",
            };
            let near = nearest(name, &self.known);
            let fault = Fault::Unknown { what, near, section: self.header(), known: self.known.clone() };
            let place = Place::Line { line: self.document.line(key.span().start), key: self.path_of(name) };
            self.document.report(Problem::at(place, fault));
        }
    }

    fn take(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.known.push(key);
        self.table?.get(key)
    }

    fn parse<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        parse: impl FnOnce(&DeValue<'_>) -> Result<T, Fault>,
    ) -> Option<Given<T>> {
        match parse(value.get_ref()) {
            Ok(parsed) => Some(self.given(key, value).with(parsed)),
            Err(fault) => {
                self.refuse(key, value, fault);
                None
            }
        }
    }

    fn refuse(&self, key: &str, value: &Spanned<DeValue<'_>>, fault: Fault) {
        self.document.report(self.given(key, value).problem(fault));
    }

    fn given(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Given<()> {
        let text = match value.get_ref() {
            DeValue::String(text) => Some(shown(text)),
            DeValue::Integer(number) => Some(number.to_string()),
            DeValue::Float(number) => Some(number.to_string()),
            DeValue::Boolean(boolean) => Some(boolean.to_string()),
            DeValue::Datetime(time) => Some(time.to_string()),
            DeValue::Array(_) | DeValue::Table(_) => None,
        };
        let place = Place::Line { line: self.document.line(value.span().start), key: self.path_of(key) };
        Given { value: (), place, text }
    }

    fn line_of(&self, key: &str) -> usize {
        let entry = self.table.and_then(|table| table.get_key_value(key));
        entry.map_or(self.line, |(key, _)| self.document.line(key.span().start))
    }

    fn path_of(&self, key: &str) -> String {
        let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        let key = if bare && key.len() <= 64 { key.to_owned() } else { shown(key) };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    fn header(&self) -> String {
        match self.kind {
            Kind::Root => "the file".into(),
            Kind::Table => format!("[{}]", self.path),
            Kind::Element => format!("[[{}]]", self.path),
        }
    }
}

impl Fault {
    /// The same expectation, before a value of another type.
    pub(super) fn but_given(self, value: &DeValue<'_>) -> Fault {
        let given = match value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        Fault::Type { expected: Box::new(self), given }
    }
}

/// A size: an integer in bytes, or a string with its unit.
pub(super) fn size(value: &DeValue<'_>, range: RangeInclusive<u64>) -> Result<u64, Fault> {
    let bytes = match value {
        DeValue::String(text) => units::size(text)?,
        DeValue::Integer(number) => {
            let bytes = integer(number).and_then(|number| u64::try_from(number).ok());
            bytes.ok_or_else(|| Fault::SizeRange(range.clone()))?
        }
        other => return Err(Fault::from(units::Fault::Size).but_given(other)),
    };
    if range.contains(&bytes) { Ok(bytes) } else { Err(Fault::SizeRange(range)) }
}

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// The known name that was probably meant: at most one edit for every three of its characters away.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    // So many edits it takes at least; a name of any length is given here, and must not be compared in full.
    let least = |known: &str| name.len().abs_diff(known.len());
    let candidates = known.iter().filter(|known| least(known) * 3 <= known.len());
    let (near, _) = candidates
        .map(|known| (*known, edits(name, known)))
        .filter(|(known, edits)| edits * 3 <= known.len())
        .min_by_key(|(_, edits)| *edits)?;
    Some(near)
}

/// How many insertions, deletions, replacements and swaps of neighbours lie between two names (optimal string
/// alignment).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("max_byte", "max_bytes"), 1);
        assert_eq!(edits("max_bytse", "max_bytes"), 1);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("same", "same"), 0);
    }

    #[test]
    fn the_nearest_name_is_named_if_it_is_near() {
        let known = ["max_bytes", "max_entries", "default_ttl", "ttl"];
        assert_eq!(nearest("max_byte", &known), Some("max_bytes"));
        assert_eq!(nearest("max-entries", &known), Some("max_entries"));
        assert_eq!(nearest("tlt", &known), Some("ttl"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest("", &known), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), &known), None);
    }

    #[test]
    fn a_line_begins_after_its_break() {
        let document = Document::new("a\nb\r\nc");
        assert_eq!([0, 1, 2, 4, 5, 6].map(|offset| document.line(offset)), [1, 1, 2, 2, 3, 3]);
    }
}
