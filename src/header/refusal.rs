//! What a request's head may measure, and why the front door refuses one.

/// Header fields that a head can be told to hold at most; the parser keeps room for them on the stack.
pub const MAX_HEADERS: usize = 256;

/// What a head may measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole head. Default 64 KiB; more is 431.
    pub max_header_bytes: usize,
    /// Header fields, at most [`MAX_HEADERS`]. Default 200; more is 431.
    pub max_headers: usize,
    /// Bytes of the request target. Default 8 KiB; more is 414.
    pub max_target_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_header_bytes: 64 << 10, max_headers: 200, max_target_bytes: 8 << 10 }
    }
}

/// Why the front door answers a request itself and closes the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The message is malformed or can be read in two ways; says how.
    Malformed(&'static str),
    /// The head did not arrive in time.
    Timeout,
    /// The body is larger than `max_body_bytes`.
    BodyTooLarge,
    /// The target is longer than `max_target_bytes`.
    TargetTooLong,
    /// An expectation other than 100-continue.
    Expectation,
    /// The head is longer than `max_header_bytes`.
    HeadTooLarge,
    /// More fields than `max_headers`.
    TooManyFields,
    /// A transfer coding other than chunked, or CONNECT.
    NotImplemented(&'static str),
    /// The request has been here before.
    Loop,
    /// A version of HTTP other than 1.0 and 1.1.
    Version,
}

impl Refusal {
    /// The status that says so (RFC 9110 §15.5, §15.6; RFC 6585 §5; RFC 5842 §7.2).
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Timeout => 408,
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge | Self::TooManyFields => 431,
            Self::NotImplemented(_) => 501,
            Self::Version => 505,
            Self::Loop => 508,
        }
    }

    /// What is wrong, for the client's developer.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed(how) | Self::NotImplemented(how) => how,
            Self::Timeout => "the request head did not arrive in time",
            Self::BodyTooLarge => "the request body is too large",
            Self::TargetTooLong => "the request target is too long",
            Self::Expectation => "only 100-continue can be expected",
            Self::HeadTooLarge => "the request head is too large",
            Self::TooManyFields => "the request has too many header fields",
            Self::Loop => "the request has been here before: this proxy is its own upstream",
            Self::Version => "only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here",
        }
    }
}
