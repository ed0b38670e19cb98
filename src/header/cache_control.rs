//! Cache-Control (RFC 9111 §5.2): its directives, read once.

use std::time::Duration;

use super::{Fields, fields::trim};

/// The directives of a request or a response.
///
/// Numbers are seconds. A directive whose argument cannot be read counts as 0 where that is the safe side
/// (RFC 9111 §4.2.1: "caches are encouraged to consider responses that have invalid freshness information to be
/// stale"). Of a directive that stands there twice, the more restrictive one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    /// Nothing may be stored (§5.2.1.5, §5.2.2.5).
    pub no_store: bool,
    /// Validation before each use (§5.2.1.4, §5.2.2.4). Also set for the form with field names, which a cache may
    /// treat like the one without.
    pub no_cache: bool,
    /// Not for shared caches (§5.2.2.7). Also set for the form with field names.
    pub private: bool,
    /// For any cache (§5.2.2.9).
    pub public: bool,
    /// No use once stale (§5.2.2.2).
    pub must_revalidate: bool,
    /// No use once stale, in shared caches (§5.2.2.8).
    pub proxy_revalidate: bool,
    /// Store only when the status is understood (§5.2.2.3).
    pub must_understand: bool,
    /// No transformation of the content (§5.2.2.6).
    pub no_transform: bool,
    /// Freshness lifetime, or the oldest age that a client takes (§5.2.1.1, §5.2.2.1).
    pub max_age: Option<Duration>,
    /// Freshness lifetime in shared caches (§5.2.2.10).
    pub s_maxage: Option<Duration>,
    /// How long after its end a stale response may be served while it is being revalidated (RFC 5861 §3).
    pub stale_while_revalidate: Option<Duration>,
    /// How long after its end a stale response may be served in place of an error (RFC 5861 §4).
    pub stale_if_error: Option<Duration>,
    /// The client takes stale responses: by how much, `Duration::MAX` without an argument (§5.2.1.2).
    pub max_stale: Option<Duration>,
    /// The client wants this much freshness left (§5.2.1.3).
    pub min_fresh: Option<Duration>,
    /// The client wants nothing from the origin (§5.2.1.7).
    pub only_if_cached: bool,
}

impl CacheControl {
    /// Reads every Cache-Control line of a message.
    pub fn of<M: Fields>(message: &M) -> Self {
        Self::of_field(message, "cache-control")
    }

    /// Reads every line of another field that has the syntax of Cache-Control.
    pub(crate) fn of_field<M: Fields>(message: &M, name: &str) -> Self {
        let mut read = Self::default();
        for line in message.all(name) {
            for (name, argument) in directives(line) {
                read.take(name, argument);
            }
        }
        read
    }

    fn take(&mut self, name: &[u8], argument: Option<&[u8]>) {
        match name.to_ascii_lowercase().as_slice() {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache = true,
            b"private" => self.private = true,
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"must-understand" => self.must_understand = true,
            b"no-transform" => self.no_transform = true,
            b"only-if-cached" => self.only_if_cached = true,
            b"max-age" => shortest(&mut self.max_age, seconds(argument)),
            b"s-maxage" => shortest(&mut self.s_maxage, seconds(argument)),
            b"stale-while-revalidate" => shortest(&mut self.stale_while_revalidate, seconds(argument)),
            b"stale-if-error" => shortest(&mut self.stale_if_error, seconds(argument)),
            b"max-stale" => shortest(&mut self.max_stale, argument.map_or(Duration::MAX, |value| seconds(Some(value)))),
            b"min-fresh" => {
                let asked = seconds(argument);
                self.min_fresh = Some(self.min_fresh.map_or(asked, |before| before.max(asked)));
            }
            _ => {}
        }
    }
}

fn shortest(slot: &mut Option<Duration>, value: Duration) {
    *slot = Some(slot.map_or(value, |before| before.min(value)));
}

/// The largest number of seconds that is told apart (RFC 9111 §1.2.2: at least 2³¹).
pub(super) const MAX_SECONDS: u64 = 1 << 31;

/// Delta-seconds (RFC 9111 §1.2.2); too large a number means the largest, anything that is no number means 0.
fn seconds(argument: Option<&[u8]>) -> Duration {
    Duration::from_secs(argument.and_then(delta_seconds).unwrap_or(0))
}

/// A non-negative integer, capped at 2³¹; `None` when it is not one.
pub fn delta_seconds(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0u64, |sum, digit| (sum * 10 + u64::from(digit - b'0')).min(MAX_SECONDS)))
}

/// The directives of one line: name and argument, the quotes around an argument removed.
///
/// White space around `=` makes it no argument of this directive (RFC 9111 §5.2 knows none there); a comma inside
/// quotes does not end a directive.
fn directives(line: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (directive, after) = split_at_comma(rest);
            rest = after;
            let directive = trim(directive);
            if !directive.is_empty() {
                return Some(match directive.iter().position(|byte| *byte == b'=') {
                    Some(at) => (&directive[..at], Some(unquote(&directive[at + 1..]))),
                    None => (directive, None),
                });
            }
        }
        None
    })
}

fn split_at_comma(line: &[u8]) -> (&[u8], &[u8]) {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in line.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return (&line[..at], &line[at + 1..]),
            _ => {}
        }
    }
    (line, b"")
}

fn unquote(argument: &[u8]) -> &[u8] {
    argument.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(argument)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::RequestHead;

    fn read(lines: &str) -> CacheControl {
        let lines: String = lines.split('\n').map(|line| format!("Cache-Control: {line}\r\n")).collect();
        CacheControl::of(&RequestHead::for_tests(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")))
    }

    fn secs(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    macro_rules! reads {
        ($($name:ident: $line:expr => $field:ident = $value:expr;)+) => {
            $(#[test] fn $name() { assert_eq!(read($line).$field, $value); })+
        };
    }

    reads! {
        max_age: "max-age=60" => max_age = secs(60);
        names_in_any_case: "MaX-aGe=60" => max_age = secs(60);
        quoted_argument: "max-age=\"60\"" => max_age = secs(60);
        two_directives: "public, s-maxage=5" => s_maxage = secs(5);
        no_space_after_comma: "public,max-age=5" => max_age = secs(5);
        two_lines: "public\nmax-age=5" => max_age = secs(5);
        empty_members: ",, max-age=5,," => max_age = secs(5);
        the_smaller_of_two: "max-age=60, max-age=5" => max_age = secs(5);
        negative_is_zero: "max-age=-5" => max_age = secs(0);
        fraction_is_zero: "max-age=5.5" => max_age = secs(0);
        nonsense_is_zero: "max-age=soon" => max_age = secs(0);
        empty_is_zero: "max-age=" => max_age = secs(0);
        no_argument_is_zero: "max-age" => max_age = secs(0);
        space_after_equals_is_zero: "max-age= 60" => max_age = secs(0);
        space_before_equals_is_unknown: "max-age =60" => max_age = None;
        capped_at_2_31: "max-age=99999999999999999999999" => max_age = secs(1 << 31);
        comma_in_quotes: "private=\"a, max-age=5\", public" => max_age = None;
        after_a_quoted_comma: "private=\"a, b\", public" => public = true;
        escaped_quote: "x=\"a\\\", max-age=5\"" => max_age = None;
        unclosed_quote: "x=\"a, max-age=5" => max_age = None;
        field_names_make_it_private: "private=\"x\"" => private = true;
        field_names_make_it_no_cache: "no-cache=\"x\"" => no_cache = true;
        unknown_prefix: "xmax-age=5" => max_age = None;
        max_stale_without_number: "max-stale" => max_stale = Some(Duration::MAX);
        max_stale_with_number: "max-stale=5" => max_stale = secs(5);
        the_larger_min_fresh: "min-fresh=5, min-fresh=9" => min_fresh = secs(9);
        swr: "stale-while-revalidate=30" => stale_while_revalidate = secs(30);
    }
}
