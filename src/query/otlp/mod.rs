//! Spans that apps export: OTLP over HTTP, as protobuf and as JSON.
//!
//! [`decode`] reads the body of a `POST /v1/traces` into [`Span`]s that borrow from it. Only what queries and their
//! requests need is read; everything else is passed over unread, above all events and messages, which quote values. No
//! span holds the values that an instrumentation sends beside a statement: they are hashed as they are read.
//!
//! - `wire`: the encoding of protobuf; `protobuf` and `json`: the two forms of a request; `gzip`: unpacking.
//! - `attributes`: the names that instrumentations use, old and new; `span`: what is made of them.
//!
//! The messages are few and only read, so that there is no generated code for them: `opentelemetry/proto/trace/v1`,
//! version 1. In JSON, ids are hexadecimal, and whole numbers come as numbers and as strings (OTLP §JSON Protobuf
//! Encoding).

mod attributes;
mod gzip;
mod json;
mod protobuf;
mod span;
mod wire;

#[cfg(test)]
mod capture_tests;
#[cfg(test)]
mod tests;

use std::fmt;

pub use gzip::inflate;
pub use span::{Database, Span, SpanKind};

/// Bytes of a body when it is unpacked.
pub const MOST_BYTES: usize = 32 << 20;
/// Spans of a body; what is beyond is counted as rejected.
pub const MOST_SPANS: usize = 20_000;

/// The two forms of OTLP over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/x-protobuf`
    Protobuf,
    /// `application/json`
    Json,
}

impl Format {
    /// That of a Content-Type; `None` for others.
    pub fn of_content_type(field: &str) -> Option<Self> {
        let media_type = field.split(';').next().unwrap_or_default().trim();
        let is = |name: &str| media_type.eq_ignore_ascii_case(name);
        if is("application/x-protobuf") || is("application/protobuf") {
            return Some(Self::Protobuf);
        }
        is("application/json").then_some(Self::Json)
    }
}

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is more than [`MOST_BYTES`] when it is unpacked.
    TooLarge,
    /// It is not what it says: at this place, something else was expected. It quotes nothing of the body.
    Malformed(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "the body is more than {} MiB when it is unpacked", MOST_BYTES >> 20),
            Self::Malformed(why) => f.write_str(why),
        }
    }
}

/// What a body held.
#[derive(Debug, Default, PartialEq)]
pub struct Decoded<'a> {
    /// Spans that queries and requests are known by, in the order in which they came.
    pub spans: Vec<Span<'a>>,
    /// Spans without a proper id, and those beyond [`MOST_SPANS`].
    pub rejected: u64,
}

impl<'a> Decoded<'a> {
    fn push(&mut self, span: Option<Span<'a>>) {
        match span {
            Some(span) if self.spans.len() < MOST_SPANS => self.spans.push(span),
            _ => self.rejected += 1,
        }
    }

    /// Names the instrumentation of the spans from this one on (InstrumentationScope.name).
    fn name_scope(&mut self, from: usize, name: &[u8]) {
        let scope = (!name.is_empty()).then(|| attributes::digest(name));
        self.spans[from..].iter_mut().for_each(|span| span.scope = scope);
    }
}

/// The spans of a body that is unpacked.
pub fn decode(body: &[u8], format: Format) -> Result<Decoded<'_>, Refusal> {
    match format {
        Format::Protobuf => protobuf::decode(body),
        Format::Json => json::decode(body),
    }
}
