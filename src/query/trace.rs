//! Names of traces and of the spans in them (W3C Trace Context).

use std::{
    fmt,
    num::{NonZeroU64, NonZeroU128},
};

/// The id of a trace, 16 bytes that are not all zero (§3.2.2.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(NonZeroU128);

/// The id of a span, 8 bytes that are not all zero (§3.2.2.4, there called parent-id).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(NonZeroU64);

impl TraceId {
    /// `None` for zero, which names none.
    pub fn new(id: u128) -> Option<Self> {
        NonZeroU128::new(id).map(Self)
    }

    /// Its 16 bytes, the most significant first.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        Self::new(u128::from_be_bytes(bytes.try_into().ok()?))
    }

    /// 32 hexadecimal digits.
    pub fn of_hex(digits: &str) -> Option<Self> {
        Self::new(hex(digits, 32)?)
    }
}

impl SpanId {
    /// `None` for zero, which names none.
    pub fn new(id: u64) -> Option<Self> {
        NonZeroU64::new(id).map(Self)
    }

    /// Its 8 bytes, the most significant first.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        Self::new(u64::from_be_bytes(bytes.try_into().ok()?))
    }

    /// 16 hexadecimal digits.
    pub fn of_hex(digits: &str) -> Option<Self> {
        Self::new(hex(digits, 16)? as u64)
    }

    /// As a number.
    pub fn number(self) -> NonZeroU64 {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// So many hexadecimal digits, large or small.
fn hex(digits: &str, length: usize) -> Option<u128> {
    let is_hex = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u128::from_str_radix(digits, 16).ok()).flatten()
}

/// The trace and parent of a `traceparent` (§3.2.2): version, trace, parent and flags in small hexadecimal digits. Version
/// ff is none, and neither is a trace or parent of zeros alone; later versions may have more after the flags.
pub fn parent(field: &str) -> Option<(TraceId, SpanId)> {
    let is_small = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = field.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if ![version, trace, parent, flags].into_iter().all(is_small) || version.len() != 2 || flags.len() != 2 {
        return None;
    }
    let may_have_more = !matches!(version, "00" | "ff");
    if version == "ff" || !may_have_more && parts.next().is_some() {
        return None;
    }
    Some((TraceId::of_hex(trace)?, SpanId::of_hex(parent)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        for (field, is_right) in [
            (format!("00-{trace}-{span}-01"), true),
            (format!("00-{trace}-{span}-00"), true),
            (format!("cc-{trace}-{span}-01"), true),
            (format!("cc-{trace}-{span}-01-more"), true),
            (format!("00-{trace}-{span}-01-more"), false),
            (format!("ff-{trace}-{span}-01"), false),
            (format!("00-{}-{span}-01", "0".repeat(32)), false),
            (format!("00-{trace}-{}-01", "0".repeat(16)), false),
            (format!("00-{}-{span}-01", trace.to_uppercase()), false),
            (format!("00-{trace}-{span}"), false),
            (format!("00-{trace}-{span}-1"), false),
            (format!("0-{trace}-{span}-01"), false),
            (format!("00-{}-{span}-01", &trace[1..]), false),
            (String::new(), false),
        ] {
            let expected = is_right.then(|| (trace.to_owned(), span.to_owned()));
            let found = parent(&field).map(|(trace, span)| (trace.to_string(), span.to_string()));
            assert_eq!(found, expected, "{field}");
        }
    }

    #[test]
    fn bytes_and_digits_name_the_same() {
        let bytes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        assert_eq!(TraceId::of_bytes(&bytes), TraceId::of_hex("000102030405060708090A0B0C0D0E0F"));
        assert_eq!(SpanId::of_bytes(&bytes[8..]), SpanId::of_hex("08090a0b0c0d0e0f"));
        assert_eq!(TraceId::of_bytes(&bytes[1..]), None);
        assert_eq!(SpanId::of_bytes(&[0; 8]), None);
    }
}
