//! A response's head, serialised once: what goes to the client and what is kept in the store are the same bytes.

use bytes::{Bytes, BytesMut};

use super::{
    Fields,
    fields::{is, trim},
};

/// A final response's status line and field lines in HTTP/1.1 form, without the empty line that ends a head.
///
/// The bytes are its own, of exactly its size: nothing else is kept alive by a stored head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    status: u16,
    bytes: Bytes,
    fields_at: usize,
}

impl ResponseHead {
    /// Begins a head. `reason` is the phrase of the status line; clients ignore it, but it is the origin's to choose.
    pub fn build(status: u16, reason: &str) -> Builder {
        let mut bytes = BytesMut::with_capacity(512);
        bytes.extend_from_slice(b"HTTP/1.1 ");
        bytes.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
        bytes.extend_from_slice(b" ");
        bytes.extend_from_slice(reason.as_bytes());
        bytes.extend_from_slice(b"\r\n");
        Builder { status, fields_at: bytes.len(), bytes }
    }

    /// The status code, 100 to 999.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Status line and field lines, each with its CRLF.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The head up to one of its lines, of which `length` bytes are whole lines; it shares its bytes.
    pub(super) fn beginning(&self, length: usize) -> Self {
        Self { bytes: self.bytes.slice(..length.clamp(self.fields_at, self.bytes.len())), ..self.clone() }
    }

    /// Begins a copy without the fields that `drop` names; the status and its phrase stay.
    pub fn without(&self, drop: impl Fn(&[u8]) -> bool) -> Builder {
        let mut bytes = BytesMut::with_capacity(self.bytes.len() + 64);
        bytes.extend_from_slice(&self.bytes[..self.fields_at]);
        let mut builder = Builder { status: self.status, fields_at: self.fields_at, bytes };
        for (name, value) in self.fields().filter(|(name, _)| !drop(name)) {
            builder.field(name, value);
        }
        builder
    }

    /// Content-Length, if it is there and a number.
    pub fn content_length(&self) -> Option<u64> {
        std::str::from_utf8(self.get("content-length")?).ok()?.parse().ok()
    }

    /// A head from field lines, for tables of tests.
    #[cfg(test)]
    pub(crate) fn for_tests(status: u16, fields: &str) -> Self {
        let mut head = Self::build(status, "X");
        for line in fields.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').expect("a field line");
            head.field(name.as_bytes(), value.trim().as_bytes());
        }
        head.finish()
    }
}

impl Fields for ResponseHead {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &self.bytes[self.fields_at..];
        std::iter::from_fn(move || {
            let end = memchr::memchr(b'\n', rest)?;
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            rest = &rest[end + 1..];
            let colon = memchr::memchr(b':', line)?;
            Some((&line[..colon], trim(&line[colon + 1..])))
        })
    }
}

/// A head being written.
#[derive(Debug)]
pub struct Builder {
    status: u16,
    bytes: BytesMut,
    fields_at: usize,
}

impl Builder {
    /// Adds a field line. A name or value that would end the line early is left out: it cannot have come
    /// through a parser.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> &mut Self {
        let breaks = |part: &[u8]| memchr::memchr3(b'\r', b'\n', 0, part).is_some();
        if !breaks(name) && !breaks(value) && !is(name, "") {
            for part in [name, b": ", value, b"\r\n"] {
                self.bytes.extend_from_slice(part);
            }
        }
        self
    }

    /// The head, copied into bytes of its own size.
    pub fn finish(&self) -> ResponseHead {
        ResponseHead { status: self.status, bytes: Bytes::copy_from_slice(&self.bytes), fields_at: self.fields_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let head = ResponseHead::build(404, "Not here").field(b"X-A", b"a: b").field(b"x-b", b"").finish();
        assert_eq!(head.bytes().as_ref(), b"HTTP/1.1 404 Not here\r\nX-A: a: b\r\nx-b: \r\n");
        assert_eq!(head.fields().collect::<Vec<_>>(), [(b"X-A".as_slice(), b"a: b".as_slice()), (b"x-b", b"")]);
        assert_eq!(head.status(), 404);
    }

    #[test]
    fn a_copy_leaves_out_what_it_is_told_to() {
        let head = ResponseHead::for_tests(200, "Age: 5\r\nETag: \"a\"\r\nage: 7\r\n");
        let copy = head.without(|name| is(name, "age")).field(b"Content-Length", b"3").finish();
        assert_eq!(copy.bytes().as_ref(), b"HTTP/1.1 200 X\r\nETag: \"a\"\r\nContent-Length: 3\r\n");
    }

    #[test]
    fn no_field_can_smuggle_a_line() {
        let head = ResponseHead::build(200, "OK").field(b"X", b"a\r\nSet-Cookie: b").field(b"Y\n", b"a").finish();
        assert_eq!(head.fields().count(), 0);
    }
}
