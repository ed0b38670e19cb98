//! HTTP/1.1 messages, read as strictly as RFC 9112 allows: what a tolerant peer would forgive fails a test here.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Why a message has no proper end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Broken {
    /// The peer closed the connection in the middle.
    Closed,
    /// The peer reset the connection.
    Reset,
    /// What came is not HTTP.
    Malformed(String),
}

fn malformed<T>(why: impl Into<String>) -> Result<T, Broken> {
    Err(Broken::Malformed(why.into()))
}

/// Header fields in their order; a byte of a value is one character, whatever it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    /// The first field of this name, in any case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every field of this name, in order.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The fields of this name as one list.
    pub(crate) fn joined(&self, name: &str) -> String {
        self.all(name).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, value)| writeln!(f, "    {name}: {}", value.escape_default()))
    }
}

/// A head taken apart: its first line and its fields.
pub(crate) fn parse_head(head: &[u8]) -> Result<(String, Fields), Broken> {
    let text: String = head.iter().map(|byte| char::from(*byte)).collect();
    let Some(lines) = text.strip_suffix("\r\n\r\n") else { return malformed("head without its end") };
    let mut lines = lines.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let fields: Result<Vec<_>, Broken> = lines.map(parse_field).collect();
    if start.chars().any(|character| character.is_ascii_control()) {
        return malformed(format!("control byte in {start:?}"));
    }
    Ok((start, Fields(fields?)))
}

/// RFC 9112 §5: a token, a colon with nothing before it, optional white space, a value without control bytes.
fn parse_field(line: &str) -> Result<(String, String), Broken> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match line.split_once(':') {
        Some((name, value)) if !name.is_empty() && name.bytes().all(is_token) => {
            let value = value.trim_matches([' ', '\t']);
            if value.chars().any(|character| character.is_ascii_control() && character != '\t') {
                return malformed(format!("control byte in {line:?}"));
            }
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => malformed(format!("field line {line:?}")),
    }
}

/// How a body's end is told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Framing {
    /// This many bytes are still to come.
    Length(u64),
    /// Chunks; `left` bytes of the current one are still to come, `None` when it has ended.
    Chunked { left: Option<u64> },
    /// Everything until the connection ends.
    UntilClose,
    /// Nothing is to come.
    Ended,
}

impl Framing {
    /// What the fields say, `None` where they say nothing. RFC 9112 §6.3; both fields at once are an error here.
    pub(crate) fn declared(fields: &Fields) -> Result<Option<Self>, Broken> {
        let codings: Vec<&str> = fields.all("transfer-encoding").collect();
        let lengths: Vec<&str> = fields.all("content-length").collect();
        match (&codings[..], &lengths[..]) {
            ([], []) => Ok(None),
            ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Self::Chunked { left: None })),
            ([], [length]) if length.bytes().all(|byte| byte.is_ascii_digit()) => match length.parse() {
                Ok(0) => Ok(Some(Self::Ended)),
                Ok(length) => Ok(Some(Self::Length(length))),
                Err(_) => malformed(format!("Content-Length: {length}")),
            },
            _ => malformed(format!("Transfer-Encoding {codings:?} with Content-Length {lengths:?}")),
        }
    }
}

/// A connection's reading side, with what was read too far.
pub(crate) struct Wire<S> {
    pub(crate) stream: S,
    buffer: BytesMut,
}

impl<S: AsyncRead + Unpin> Wire<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// Reads more into the buffer; `false` at the end of the connection.
    async fn fill(&mut self) -> Result<bool, Broken> {
        // Without room of its own choosing, a buffer grows by 64 bytes at a time.
        self.buffer.reserve(16 << 10);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(count) => Ok(count > 0),
            // A TLS peer that leaves without close_notify tells the same as a reset: the end cannot be trusted.
            Err(_) => Err(Broken::Reset),
        }
    }

    /// The bytes up to and with `end`.
    async fn until(&mut self, end: &[u8]) -> Result<Bytes, Broken> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Ok(self.buffer.split_to(at + end.len()).freeze());
            }
            if !self.fill().await? {
                return Err(Broken::Closed);
            }
        }
    }

    /// A whole head; `None` when the connection ends before its first byte.
    pub(crate) async fn head(&mut self) -> Result<Option<Bytes>, Broken> {
        if self.buffer.is_empty() && !self.fill().await? {
            return Ok(None);
        }
        self.until(b"\r\n\r\n").await.map(Some)
    }

    /// Everything that still comes until the connection ends.
    pub(crate) async fn rest(&mut self) -> Result<Bytes, Broken> {
        while self.fill().await? {}
        Ok(self.buffer.split().freeze())
    }

    /// The next bytes of a body as they come; `None` at its end. Trailers are dropped, but must be well formed.
    pub(crate) async fn piece(&mut self, framing: &mut Framing) -> Result<Option<Bytes>, Broken> {
        match framing {
            Framing::Ended => Ok(None),
            Framing::UntilClose => {
                if self.buffer.is_empty() && !self.fill().await? {
                    *framing = Framing::Ended;
                    return Ok(None);
                }
                Ok(Some(self.buffer.split().freeze()))
            }
            Framing::Length(left) => {
                let piece = self.at_most(*left).await?;
                *left -= piece.len() as u64;
                if *left == 0 {
                    *framing = Framing::Ended;
                }
                Ok(Some(piece))
            }
            Framing::Chunked { left } => {
                let piece = self.chunk(left).await?;
                if piece.is_none() {
                    *framing = Framing::Ended;
                }
                Ok(piece)
            }
        }
    }

    async fn at_most(&mut self, limit: u64) -> Result<Bytes, Broken> {
        if self.buffer.is_empty() && !self.fill().await? {
            return Err(Broken::Closed);
        }
        let len = usize::try_from(limit).map_or(self.buffer.len(), |limit| limit.min(self.buffer.len()));
        Ok(self.buffer.split_to(len).freeze())
    }

    /// RFC 9112 §7.1. Chunk extensions are refused: nobody here has a reason to send one.
    async fn chunk(&mut self, left: &mut Option<u64>) -> Result<Option<Bytes>, Broken> {
        let remaining = match *left {
            Some(remaining) => remaining,
            None => {
                let line = self.until(b"\r\n").await?;
                let size = str::from_utf8(&line[..line.len() - 2]).ok();
                let size = size.filter(|size| !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit()));
                let Some(size) = size.and_then(|size| u64::from_str_radix(size, 16).ok()) else {
                    return malformed(format!("chunk size {:?}", line.escape_ascii().to_string()));
                };
                if size == 0 {
                    self.trailers().await?;
                    return Ok(None);
                }
                size
            }
        };
        let piece = self.at_most(remaining).await?;
        let remaining = remaining - piece.len() as u64;
        *left = Some(remaining).filter(|remaining| *remaining > 0);
        if remaining == 0 {
            while self.buffer.len() < 2 {
                if !self.fill().await? {
                    return Err(Broken::Closed);
                }
            }
            if !self.buffer.starts_with(b"\r\n") {
                return malformed("chunk without its end");
            }
            self.buffer.advance(2);
        }
        Ok(Some(piece))
    }

    async fn trailers(&mut self) -> Result<(), Broken> {
        loop {
            let line = self.until(b"\r\n").await?;
            match &line[..line.len() - 2] {
                [] => return Ok(()),
                field => parse_field(&field.iter().map(|byte| char::from(*byte)).collect::<String>())?,
            };
        }
    }
}
