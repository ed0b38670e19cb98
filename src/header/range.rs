//! Ranges of a representation (RFC 9110 §14): what a request asks for, whether it still may have it, and the answer.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::{Fields, date, fields::trim};

/// How many ranges one request may name. More are "a broken client or a deliberate denial-of-service attack" (§14.2),
/// and the whole representation costs less than the parts' heads.
pub const MAX_RANGES: usize = 16;

/// What a GET request with a Range field is answered with. Ranges are byte offsets, the end excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ranged {
    /// 200 with the whole representation: no Range field, or one that is ignored (§14.2).
    Whole,
    /// 206 with one part (§15.3.7.1): not empty, within the representation. It may be all of it.
    Single(Range<u64>),
    /// 206 with several parts (§15.3.7.2): two to [`MAX_RANGES`], in the order of the request, none empty, none
    /// touching another, all within the representation.
    Multiple(Vec<Range<u64>>),
    /// 416 with [`unsatisfied_range`] (§15.5.17).
    Unsatisfiable,
}

/// What a GET request asks for of a representation of `length` bytes.
///
/// It must be GET: Range means nothing with another method (§14.2). Preconditions come first, [`if_range_holds`] last
/// of them.
pub fn of<M: Fields>(request: &M, length: u64) -> Ranged {
    let mut lines = request.all("range");
    let (Some(line), None) = (lines.next(), lines.next()) else { return Ranged::Whole };
    let Some(specs) = specs(line) else { return Ranged::Whole };
    if length == 0 && specs.iter().any(|spec| matches!(spec, Spec::Suffix(1..))) {
        // §14.1.2: satisfiable, but Content-Range has no way to say so. §14.2: may be ignored without content.
        return Ranged::Whole;
    }
    let ranges: Vec<Range<u64>> = specs.iter().filter_map(|spec| spec.within(length)).collect();
    // §14.2: ranges that together are larger than the representation overlap, and that is what an attack looks like.
    if ranges.iter().map(|range| u128::from(range.end - range.start)).sum::<u128>() > u128::from(length) {
        return Ranged::Whole;
    }
    let mut ranges = coalesced(ranges);
    match ranges.len() {
        0 => Ranged::Unsatisfiable,
        1 => Ranged::Single(ranges.remove(0)),
        _ => Ranged::Multiple(ranges),
    }
}

/// A member of the range set (§14.1.1).
#[derive(Clone, Copy, Debug)]
enum Spec {
    /// First and last position, both included; without a last one `u64::MAX`.
    Int(u64, u64),
    /// So many bytes at the end.
    Suffix(u64),
}

impl Spec {
    /// `first-last`, `first-` or `-suffix`; `None` for anything else, and for a last position before the first.
    fn parse(spec: &[u8]) -> Option<Self> {
        let dash = spec.iter().position(|byte| *byte == b'-')?;
        match (&spec[..dash], &spec[dash + 1..]) {
            (b"", suffix) => Some(Self::Suffix(position(suffix)?)),
            (first, b"") => Some(Self::Int(position(first)?, u64::MAX)),
            (first, last) => {
                let (first, last) = (position(first)?, position(last)?);
                (first <= last).then_some(Self::Int(first, last))
            }
        }
    }

    /// The bytes meant, `None` when it is unsatisfiable (§14.1.2).
    fn within(self, length: u64) -> Option<Range<u64>> {
        match self {
            Self::Int(first, last) => (first < length).then(|| first..last.saturating_add(1).min(length)),
            Self::Suffix(suffix) => (suffix.min(length) > 0).then(|| length.saturating_sub(suffix)..length),
        }
    }
}

/// The members of a `bytes` range set, `None` when the field is to be ignored.
fn specs(line: &[u8]) -> Option<Vec<Spec>> {
    let equals = line.iter().position(|byte| *byte == b'=')?;
    // §14.1: the names of units are case-insensitive.
    if !line[..equals].eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut specs = Vec::new();
    for spec in line[equals + 1..].split(|byte| *byte == b',').map(trim).filter(|spec| !spec.is_empty()) {
        if specs.len() == MAX_RANGES {
            return None;
        }
        // §14.1.1: one invalid member makes the whole set invalid.
        specs.push(Spec::parse(spec)?);
    }
    (!specs.is_empty()).then_some(specs)
}

/// A byte position; too large a number means the largest (§14.1.2: "prevent parsing errors due to … overflows").
fn position(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

/// Ranges that overlap or touch made one (§15.3.7.2), each at the place of the first that went into it.
fn coalesced(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut apart: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for mut range in ranges {
        let mut place = apart.len();
        while let Some(at) = apart.iter().position(|other| other.start <= range.end && range.start <= other.end) {
            let other = apart.remove(at);
            range = range.start.min(other.start)..range.end.max(other.end);
            place = place.min(at);
        }
        apart.insert(place, range);
    }
    apart
}

/// Whether the condition of If-Range is met, so that Range counts (§13.1.5); true without the field.
///
/// `etag`, `last_modified` and `date` are the fields of the stored response. An entity tag is compared strongly. A
/// date must be the one of Last-Modified, and strong (§8.8.2.2): Last-Modified at least one second before Date, since
/// otherwise the representation could have changed again within that second. What is malformed matches nothing.
pub fn if_range_holds<M: Fields>(
    request: &M,
    etag: Option<&[u8]>,
    last_modified: Option<&[u8]>,
    date: Option<&[u8]>,
) -> bool {
    let mut lines = request.all("if-range");
    let Some(validator) = lines.next() else { return true };
    if lines.next().is_some() {
        return false;
    }
    // "A valid entity-tag can be distinguished from a valid HTTP-date by examining the first three characters."
    if validator.iter().take(3).any(|byte| *byte == b'"') {
        return is_strong_tag(validator) && etag == Some(validator);
    }
    let Some(asked) = date::parse(validator) else { return false };
    let is_strong = date.and_then(date::parse).is_some_and(|date| date > asked);
    is_strong && last_modified.and_then(date::parse) == Some(asked)
}

/// Whether this is one entity tag that is not weak (§8.8.3).
fn is_strong_tag(tag: &[u8]) -> bool {
    let inner = tag.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    inner.is_some_and(|inner| inner.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)))
}

/// The Content-Range of one part (§14.4). The range must not be empty.
pub fn content_range(range: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", range.start, range.end.saturating_sub(1))
}

/// The Content-Range of a 416 (§14.4).
pub fn unsatisfied_range(length: u64) -> String {
    format!("bytes */{length}")
}

/// The content of a 206 with several parts (§15.3.7.2, §14.6): its Content-Type, and the parts as one body.
///
/// `content_type` is the one of the whole representation, as it stands in a parsed head; a range that is not within
/// `body` is left out. The boundary is `seed` in hexadecimal, counted on until it does not occur in any part; draw the
/// seed at random, so that nobody can fill a body with the boundaries to come. The result is as large as the parts
/// together, and some 100 bytes and the Content-Type for each.
pub fn multipart(body: &Bytes, ranges: &[Range<u64>], content_type: Option<&[u8]>, seed: u128) -> (String, Bytes) {
    let length = body.len() as u64;
    let within = |range: &Range<u64>| body.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?);
    let parts: Vec<(&Range<u64>, &[u8])> = ranges.iter().filter_map(|range| Some((range, within(range)?))).collect();
    let boundary = absent_boundary(&parts, seed);

    let overhead = 128 + content_type.map_or(0, <[u8]>::len);
    let size: usize = parts.iter().map(|(_, part)| part.len() + overhead).sum();
    let mut content = BytesMut::with_capacity(size + overhead);
    for (range, part) in parts {
        content.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        if let Some(content_type) = content_type {
            for piece in [b"Content-Type: ", content_type, b"\r\n"] {
                content.extend_from_slice(piece);
            }
        }
        content.extend_from_slice(format!("Content-Range: {}\r\n\r\n", content_range(range, length)).as_bytes());
        content.extend_from_slice(part);
        content.extend_from_slice(b"\r\n");
    }
    content.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    // §14.6: not quoted, since some recipients cannot read that.
    (format!("multipart/byteranges; boundary={boundary}"), content.freeze())
}

/// The first boundary from `seed` on that no part has in it. There is one: finite parts have only so many.
fn absent_boundary(parts: &[(&Range<u64>, &[u8])], seed: u128) -> String {
    let mut number = seed;
    loop {
        let boundary = format!("{number:032x}");
        let finder = memchr::memmem::Finder::new(&boundary);
        if parts.iter().all(|(_, part)| finder.find(part).is_none()) {
            return boundary;
        }
        number = number.wrapping_add(1);
    }
}
