//! A request's head: parsed and checked before anything else sees it.
//!
//! What passes here is unambiguous: one reading of where the message ends (RFC 9112 §6.3), one host, a target in
//! origin-form, no control bytes. What does not is a [`Refusal`], and the connection ends with it.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::Method;

use super::{
    Fields,
    authority::is_authority,
    fields::{is, is_never_hop_by_hop, trim},
    refusal::{Limits, MAX_HEADERS, Refusal},
};

/// The protocol a request came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

/// How a request's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks, or an HTTP/2 stream that goes on after its head.
    Chunked,
}

/// A request's head that passed every check.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method as sent; methods are case-sensitive.
    pub method: Method,
    /// The protocol it came by.
    pub version: Version,
    /// Path and query as sent, byte for byte; `*` for OPTIONS.
    pub target: Bytes,
    /// The authority that the request is for, as sent; empty only for HTTP/1.0 without Host.
    pub host: Bytes,
    /// How the body is delimited.
    pub framing: Framing,
    bytes: Bytes,
    lines: Vec<Line>,
}

/// Where a field stands in the head's bytes.
#[derive(Clone, Copy, Debug)]
struct Line {
    name: (u32, u32),
    value: (u32, u32),
}

/// Looks for the end of a head in what has arrived: the bytes up to and with the empty line, or `None` if it is
/// not there yet. The first `seen` bytes were looked at before.
///
/// # Errors
/// At a line that does not end with CRLF: a parser that takes such lines and one that does not see different
/// messages. When what has arrived is over a limit already.
pub fn find_end(arrived: &[u8], seen: usize, limits: &Limits) -> Result<Option<usize>, Refusal> {
    for at in memchr::memchr_iter(b'\n', &arrived[seen..]).map(|at| at + seen) {
        if at == 0 || arrived[at - 1] != b'\r' {
            return Err(Refusal::Malformed("a line does not end with CRLF"));
        }
        if at == 1 || (at >= 3 && arrived[at - 2] == b'\n') {
            return if at + 1 > limits.max_header_bytes { Err(Refusal::HeadTooLarge) } else { Ok(Some(at + 1)) };
        }
    }
    if arrived.len() > limits.max_header_bytes {
        return Err(Refusal::HeadTooLarge);
    }
    // Room for the longest method and version around the target.
    if arrived.len() > limits.max_target_bytes + 64 && memchr::memchr(b'\n', arrived).is_none() {
        return Err(Refusal::TargetTooLong);
    }
    Ok(None)
}

impl RequestHead {
    /// Reads an HTTP/1 head that ends with its empty line.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(bytes: Bytes, limits: &Limits) -> Result<Self, Refusal> {
        let mut slots = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let allowed = limits.max_headers.min(MAX_HEADERS);
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(&bytes, &mut slots[..allowed]) {
            Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
            Ok(_) => return Err(Refusal::Malformed("the request head is malformed")),
            Err(error) => return Err(refusal_of(error, &bytes)),
        }
        let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
            return Err(Refusal::Malformed("the request line is incomplete"));
        };
        let base = bytes.as_ptr() as usize;
        let range = |part: &[u8]| {
            // A part of `bytes`, so both ends fit: heads are at most 1 MiB.
            let start = (part.as_ptr() as usize).saturating_sub(base);
            (start as u32, (start + part.len()) as u32)
        };
        let lines = parsed
            .headers
            .iter()
            .map(|field| Line { name: range(field.name.as_bytes()), value: range(trim(field.value)) })
            .collect();
        let method =
            Method::from_bytes(method.as_bytes()).map_err(|_| Refusal::Malformed("the method is malformed"))?;
        let target = bytes.slice_ref(target.as_bytes());
        let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        Self { method, version, target, host: Bytes::new(), framing: Framing::None, bytes, lines }.checked(limits)
    }

    /// Builds the head of an HTTP/2 request: pseudo-fields and fields, and whether a body follows.
    ///
    /// # Errors
    /// The first thing that is wrong with it, as for HTTP/1.
    pub fn from_h2<'a>(
        method: Method,
        target: &[u8],
        authority: Option<&[u8]>,
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
        has_body: bool,
        limits: &Limits,
    ) -> Result<Self, Refusal> {
        let mut bytes = Vec::with_capacity(512);
        let mut lines = Vec::with_capacity(16);
        let mut push = |part: &[u8]| {
            let start = bytes.len() as u32;
            bytes.extend_from_slice(part);
            (start, bytes.len() as u32)
        };
        let target = push(target);
        // RFC 9113 §8.3.1: what is passed on as HTTP/1.1 gets its Host from :authority.
        if let Some(authority) = authority {
            lines.push(Line { name: push(b"host"), value: push(authority) });
        }
        let mut cookies: Vec<&[u8]> = Vec::new();
        for (name, value) in fields {
            if is(name, "cookie") {
                cookies.push(trim(value));
                continue;
            }
            if is(name, "host") && authority.is_some() {
                if !authority.is_some_and(|authority| authority.eq_ignore_ascii_case(value)) {
                    return Err(Refusal::Malformed("Host and :authority differ"));
                }
                continue;
            }
            lines.push(Line { name: push(name), value: push(trim(value)) });
        }
        // RFC 9113 §8.2.3: cookies may come in pieces, and are one field in every other protocol.
        if !cookies.is_empty() {
            lines.push(Line { name: push(b"cookie"), value: push(&cookies.join(b"; ".as_slice())) });
        }
        if lines.len() > limits.max_headers {
            return Err(Refusal::TooManyFields);
        }
        let bytes = Bytes::from(bytes);
        let target = bytes.slice(target.0 as usize..target.1 as usize);
        let mut head =
            Self { method, version: Version::Http2, target, host: Bytes::new(), framing: Framing::None, bytes, lines }
                .checked(limits)?;
        if has_body && head.framing == Framing::None {
            head.framing = Framing::Chunked;
        }
        Ok(head)
    }

    /// Applies the checks that both protocols share, in the order of the wire.
    fn checked(mut self, limits: &Limits) -> Result<Self, Refusal> {
        if self.method == Method::CONNECT {
            return Err(Refusal::NotImplemented("CONNECT is not offered here"));
        }
        if self.target.len() > limits.max_target_bytes {
            return Err(Refusal::TargetTooLong);
        }
        let authority = self.normalise_target()?;
        self.host = self.effective_host(authority)?;
        self.framing = self.body_framing()?;
        if self.members("connection").any(is_never_hop_by_hop) {
            return Err(Refusal::Malformed("Connection names a field that belongs to the message"));
        }
        if self.all("expect").any(|value| !value.eq_ignore_ascii_case(b"100-continue")) {
            return Err(Refusal::Expectation);
        }
        Ok(self)
    }

    /// Makes the target origin-form and returns the authority of an absolute one (RFC 9112 §3.2).
    fn normalise_target(&mut self) -> Result<Option<Bytes>, Refusal> {
        let target = self.target.clone();
        if target.iter().any(|byte| *byte <= b' ' || *byte == 0x7f || *byte == b'#') {
            return Err(Refusal::Malformed("the request target has a byte that no target can have"));
        }
        if target.first() == Some(&b'/') {
            return representable(&target).map(|()| None);
        }
        if target.as_ref() == b"*" {
            return if self.method == Method::OPTIONS {
                Ok(None)
            } else {
                Err(Refusal::Malformed("the target * is for OPTIONS only"))
            };
        }
        let scheme = [b"http://".as_slice(), b"https://"]
            .into_iter()
            .find(|scheme| target.len() > scheme.len() && target[..scheme.len()].eq_ignore_ascii_case(scheme))
            .ok_or(Refusal::Malformed("the request target must begin with / or be an http URL"))?;
        let after = target.slice(scheme.len()..);
        let end = after.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(after.len());
        let path = after.slice(end..);
        self.target = match path.first() {
            None => Bytes::from_static(b"/"),
            Some(b'?') => [b"/", path.as_ref()].concat().into(),
            Some(_) => path,
        };
        representable(&self.target)?;
        Ok(Some(after.slice(..end)))
    }

    /// The one host of the request: that of an absolute target wins over Host (RFC 9112 §3.2.2).
    fn effective_host(&self, authority: Option<Bytes>) -> Result<Bytes, Refusal> {
        let mut hosts = self.all("host");
        let field = hosts.next();
        if hosts.next().is_some() {
            return Err(Refusal::Malformed("more than one Host"));
        }
        if field.is_none() && self.version != Version::Http10 {
            return Err(Refusal::Malformed("no Host"));
        }
        if let Some(field) = field.filter(|field| !is_authority(field)) {
            return Err(Refusal::Malformed(if field.is_empty() { "an empty Host" } else { "Host is malformed" }));
        }
        match authority {
            Some(authority) if is_authority(&authority) => Ok(authority),
            Some(_) => Err(Refusal::Malformed("the authority of the request target is malformed")),
            None => Ok(field.map(|field| self.bytes.slice_ref(field)).unwrap_or_default()),
        }
    }

    /// How the body ends, or why that cannot be said for sure (RFC 9112 §6).
    fn body_framing(&self) -> Result<Framing, Refusal> {
        let length = self.content_length()?;
        let mut codings = self.all("transfer-encoding");
        let Some(coding) = codings.next() else {
            return Ok(length.filter(|length| *length > 0).map_or(Framing::None, Framing::Length));
        };
        if self.version == Version::Http2 {
            return Err(Refusal::Malformed("Transfer-Encoding in HTTP/2"));
        }
        if codings.next().is_some() {
            return Err(Refusal::Malformed("more than one Transfer-Encoding"));
        }
        if self.version == Version::Http10 {
            return Err(Refusal::Malformed("Transfer-Encoding in HTTP/1.0"));
        }
        if length.is_some() {
            return Err(Refusal::Malformed("Transfer-Encoding and Content-Length"));
        }
        if coding.eq_ignore_ascii_case(b"chunked") {
            return Ok(Framing::Chunked);
        }
        if coding.is_empty() || !coding.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
            return Err(Refusal::Malformed("Transfer-Encoding is malformed"));
        }
        Err(Refusal::NotImplemented("the only transfer coding known here is chunked"))
    }

    fn content_length(&self) -> Result<Option<u64>, Refusal> {
        let mut lengths = self.all("content-length");
        let Some(length) = lengths.next() else { return Ok(None) };
        if lengths.next().is_some() {
            return Err(Refusal::Malformed("more than one Content-Length"));
        }
        // 18 digits always fit, and no body is that long.
        if length.is_empty() || length.len() > 18 || !length.iter().all(u8::is_ascii_digit) {
            return Err(Refusal::Malformed("Content-Length is malformed"));
        }
        Ok(Some(length.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))))
    }

    /// Whether the connection may go on after the answer (RFC 9112 §9.3).
    pub fn keeps_alive(&self) -> bool {
        let mut options = self.members("connection");
        match self.version {
            Version::Http10 => options.any(|option| option.eq_ignore_ascii_case(b"keep-alive")),
            _ => !options.any(|option| option.eq_ignore_ascii_case(b"close")),
        }
    }

    /// Whether the client asks for another protocol on this connection (RFC 9110 §7.8).
    pub fn asks_for_upgrade(&self) -> bool {
        self.has("upgrade")
    }

    /// Whether that protocol is WebSocket (RFC 6455 §4.1: by a GET of HTTP/1.1), the only one that is passed on. Any
    /// other wish is left unheard, as a server may.
    pub fn asks_for_websocket(&self) -> bool {
        let named = |field, option: &str| self.members(field).any(|member| is(member, option));
        self.method == Method::GET
            && self.version == Version::Http11
            && self.framing == Framing::None
            && named("upgrade", "websocket")
            && named("connection", "upgrade")
    }

    /// The path without the query.
    pub fn path(&self) -> &[u8] {
        let end = memchr::memchr(b'?', &self.target).unwrap_or(self.target.len());
        &self.target[..end]
    }

    /// The head of a GET for the same target, without the fields that `drop` names.
    pub fn as_get_without(&self, drop: impl Fn(&[u8]) -> bool) -> Self {
        let name = |line: &&Line| &self.bytes[line.name.0 as usize..line.name.1 as usize];
        let lines = self.lines.iter().filter(|line| !drop(name(line))).copied().collect();
        Self { method: Method::GET, lines, ..self.clone() }
    }

    /// Takes every line with this name out.
    pub fn remove(&mut self, name: &str) {
        let bytes = &self.bytes;
        self.lines.retain(|line| !is(&bytes[line.name.0 as usize..line.name.1 as usize], name));
    }

    /// Writes the head as HTTP/1.1 in the one form that has a single reading: origin-form target, one Host, no wish for
    /// a protocol that is left unheard.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let version: &[u8] = if self.version == Version::Http10 { b" HTTP/1.0\r\n" } else { b" HTTP/1.1\r\n" };
        for part in [self.method.as_str().as_bytes(), b" ", &self.target, version] {
            out.extend_from_slice(part);
        }
        let host_first = (!self.host.is_empty()).then_some((b"Host".as_slice(), self.host.as_ref()));
        let upgrade = self.asks_for_websocket();
        let left_out = |name: &[u8]| is(name, "host") || (!upgrade && is(name, "upgrade"));
        for (name, value) in host_first.into_iter().chain(self.fields().filter(|(name, _)| !left_out(name))) {
            for part in [name, b": ", value, b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    /// A head from its text, for tables of tests.
    #[cfg(test)]
    pub(crate) fn for_tests(text: &str) -> Self {
        Self::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).expect("a well-formed head")
    }
}

impl Fields for RequestHead {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let part = |(start, end): (u32, u32)| &self.bytes[start as usize..end as usize];
        self.lines.iter().map(move |line| (part(line.name), part(line.value)))
    }
}

/// Whether a target can be passed on as it is: some bytes that no URI has are common and let in, others cannot be
/// written to the app.
fn representable(target: &[u8]) -> Result<(), Refusal> {
    let parsed = http::uri::PathAndQuery::try_from(target);
    parsed.map(|_| ()).map_err(|_| Refusal::Malformed("the request target has a byte that no target can have"))
}

/// What the parser's error means to the client.
fn refusal_of(error: httparse::Error, bytes: &[u8]) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::TooManyFields,
        httparse::Error::Version if names_another_version(bytes) => Refusal::Version,
        httparse::Error::Version => Refusal::Malformed("the request line must end with an HTTP version"),
        httparse::Error::HeaderName => Refusal::Malformed("a field name is malformed"),
        httparse::Error::HeaderValue => Refusal::Malformed("a field value has a control byte"),
        _ => Refusal::Malformed("the request line is malformed"),
    }
}

/// Whether the request line ends with a well-formed version, `HTTP/` digit `.` digit (RFC 9112 §2.3), that is not
/// spoken here. One that is has something else before it that is wrong.
fn names_another_version(bytes: &[u8]) -> bool {
    let end = memchr::memchr(b'\r', bytes).unwrap_or(bytes.len());
    matches!(&bytes[..end], [.., b' ', b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit() && !matches!((major, minor), (b'1', b'0' | b'1')))
}
