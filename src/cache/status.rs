//! `Cache-Status` (RFC 9211): what the cache did with this request, and why.

use super::{Bypass, Forward, Skip, Stale};

/// The member that this cache adds to a response's Cache-Status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus {
    /// Answered from the store.
    Hit {
        /// Seconds of freshness left; negative when stale.
        ttl: i64,
        /// Why it was used although it is stale.
        stale: Option<Stale>,
    },
    /// Answered from the store, after the origin confirmed it with 304.
    Revalidated {
        /// Why the origin was asked.
        why: Forward,
        /// Seconds of freshness left.
        ttl: i64,
        /// Another request asked.
        collapsed: bool,
    },
    /// Asked the origin, and what became of the answer.
    Forwarded {
        /// Why.
        why: Forward,
        /// What became of it.
        then: Then,
    },
    /// Answered by another request's fetch.
    Collapsed {
        /// Why either of them went to the origin.
        why: Forward,
    },
    /// Took no part.
    Bypassed(Bypass),
}

/// What became of an answer of the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is being stored, with so many seconds of freshness.
    Stored {
        /// Seconds.
        ttl: i64,
    },
    /// It is not stored.
    Skipped(Skip),
}

impl CacheStatus {
    /// The reason that stands behind `detail=`, if there is one.
    pub fn detail(self) -> Option<&'static str> {
        match self {
            Self::Forwarded { then: Then::Skipped(skip), .. } => Some(skip.name()),
            Self::Bypassed(why) => Some(why.name()),
            Self::Hit { stale, .. } => stale.map(Stale::name),
            Self::Revalidated { .. } | Self::Forwarded { .. } | Self::Collapsed { .. } => None,
        }
    }

    /// Writes the whole field line.
    pub fn write_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Cache-Status: ");
        self.write_member(out);
        out.extend_from_slice(b"\r\n");
    }

    /// Writes the member alone.
    pub fn write_member(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"pacecar; ");
        let mut add = |parts: &[&str]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
        match self {
            Self::Hit { ttl, stale: None } => add(&["hit; ttl=", itoa::Buffer::new().format(ttl)]),
            Self::Hit { ttl, stale: Some(why) } => {
                add(&["hit; ttl=", itoa::Buffer::new().format(ttl), "; detail=", why.name()]);
            }
            Self::Revalidated { why, ttl, collapsed } => {
                let collapsed = if collapsed { "; collapsed" } else { "" };
                add(&["fwd=", why.name(), "; fwd-status=304; ttl=", itoa::Buffer::new().format(ttl), collapsed]);
            }
            Self::Forwarded { why, then: Then::Stored { ttl } } => {
                add(&["fwd=", why.name(), "; stored; ttl=", itoa::Buffer::new().format(ttl)]);
            }
            Self::Forwarded { why, then: Then::Skipped(skip) } => add(&["fwd=", why.name(), "; detail=", skip.name()]),
            Self::Collapsed { why } => add(&["fwd=", why.name(), "; collapsed"]),
            Self::Bypassed(Bypass::Method) => add(&["fwd=method"]),
            Self::Bypassed(why @ Bypass::RequestNoStore) => add(&["fwd=request; detail=", why.name()]),
            // It went nowhere.
            Self::Bypassed(why @ Bypass::OnlyIfCached) => add(&["detail=", why.name()]),
            Self::Bypassed(why) => add(&["fwd=bypass; detail=", why.name()]),
        }
    }
}

impl Forward {
    /// The token of RFC 9211 §2.2.
    pub fn name(self) -> &'static str {
        match self {
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Stale => "stale",
            Self::Request => "request",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(status: CacheStatus) -> String {
        let mut out = Vec::new();
        status.write_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    macro_rules! table {
        ($($name:ident: $status:expr => $line:expr;)+) => {
            $(#[test] fn $name() { assert_eq!(written($status), concat!("Cache-Status: pacecar; ", $line, "\r\n")); })+
        };
    }

    table! {
        hit: CacheStatus::Hit { ttl: 376, stale: None } => "hit; ttl=376";
        stale_hit: CacheStatus::Hit { ttl: -12, stale: Some(Stale::WhileRevalidate) } => "hit; ttl=-12; detail=stale-while-revalidate";
        revalidated: CacheStatus::Revalidated { why: Forward::Stale, ttl: 60, collapsed: false } => "fwd=stale; fwd-status=304; ttl=60";
        revalidated_by_another: CacheStatus::Revalidated { why: Forward::Stale, ttl: 60, collapsed: true } => "fwd=stale; fwd-status=304; ttl=60; collapsed";
        stored: CacheStatus::Forwarded { why: Forward::UriMiss, then: Then::Stored { ttl: 60 } } => "fwd=uri-miss; stored; ttl=60";
        skipped: CacheStatus::Forwarded { why: Forward::VaryMiss, then: Then::Skipped(Skip::SetCookie) } => "fwd=vary-miss; detail=set-cookie";
        collapsed: CacheStatus::Collapsed { why: Forward::Stale } => "fwd=stale; collapsed";
        method: CacheStatus::Bypassed(Bypass::Method) => "fwd=method";
        request: CacheStatus::Bypassed(Bypass::RequestNoStore) => "fwd=request; detail=request-no-store";
        only_if_cached: CacheStatus::Bypassed(Bypass::OnlyIfCached) => "detail=only-if-cached";
        bypass: CacheStatus::Bypassed(Bypass::Cookie) => "fwd=bypass; detail=cookie";
    }
}
