//! What is known of an answer.

use std::{
    hash::Hasher,
    time::{Duration, Instant},
};

use twox_hash::XxHash3_64;

/// An answer of the app to GET, whole. Whatever could name a person or hold a secret is a keyed hash by now.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    /// The request's path, without its query. It is only looked at, to find the endpoint's name.
    pub path: &'a [u8],
    /// The URL: scheme, host, path and query.
    pub url: u64,
    /// The URL and the values of the fields that the answer varies by: what a cache tells answers apart by.
    pub key: u64,
    /// Who asked: credentials, cookies that count, and the client's address.
    pub identity: u64,
    /// The request had credentials, or a cookie that counts: this is somebody in particular.
    pub identified: bool,
    /// What came.
    pub content: Content,
    /// The answer's entity tag.
    pub etag: Option<u64>,
    /// When the request came, and when the last byte of its answer did.
    pub began: Instant,
    /// See `began`.
    pub ended: Instant,
    /// How long the app took until its response head.
    pub upstream: Duration,
    /// It has Set-Cookie.
    pub sets_cookie: bool,
    /// How long the cache would keep it as things are configured; `None` where it would not.
    pub configured: Option<Duration>,
    /// Why it could not be stored even if the operator gave it a lifetime.
    pub obstacle: Option<&'static str>,
    /// Parts of the request that might make no difference.
    pub dimensions: &'a [Dimension<'a>],
}

/// What an answer consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Status, type and body, as a digest; and the body's bytes.
    Whole(u64, u64),
    /// 304: what the client has by this entity tag.
    Unchanged(Option<u64>),
}

/// A part of a request that might make no difference to the answer.
#[derive(Clone, Copy, Debug)]
pub struct Dimension<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: u64,
    /// Everything else that the answer may depend on.
    pub rest: u64,
}

/// What may split a resource into many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A parameter of the query.
    Query,
    /// A header that the answer varies by.
    Header,
    /// A cookie.
    Cookie,
}

impl Kind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Header => "header",
            Self::Cookie => "cookie",
        }
    }
}

/// The digest of an answer, as its parts come (XXH3 with a seed of this process).
#[derive(Clone)]
pub struct Digest {
    hasher: XxHash3_64,
    bytes: u64,
}

impl Digest {
    pub(super) fn new(seed: u64) -> Self {
        Self { hasher: XxHash3_64::with_seed(seed), bytes: 0 }
    }

    /// What is no part of the body, framed by its length.
    pub fn field(&mut self, bytes: &[u8]) -> &mut Self {
        self.hasher.write_u64(bytes.len() as u64);
        self.hasher.write(bytes);
        self
    }

    /// A part of the body.
    pub fn body(&mut self, part: &[u8]) {
        self.hasher.write(part);
        self.bytes += part.len() as u64;
    }

    /// What everything so far comes to.
    pub fn finish(&self) -> u64 {
        self.hasher.finish()
    }

    /// What an answer with this body is.
    pub fn content(&self) -> Content {
        Content::Whole(self.finish(), self.bytes)
    }
}
