//! What is known of one request besides its head.

use std::time::Instant;

use crate::header::{Fields, RequestHead, forwarded::Peer};

/// A request on its way: its head, who sent it, when it came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) head: RequestHead,
    pub(super) peer: Peer,
    /// Its first byte.
    pub(super) began: Instant,
    /// `X-Request-Id`, to the app and back to the client.
    pub(super) id: RequestId,
}

impl Request {
    pub(super) fn new(head: RequestHead, peer: Peer, began: Instant) -> Self {
        let id = RequestId::of(&head);
        Self { head, peer, began, id }
    }
}

/// The client's own `X-Request-Id` if it is safe to log and to pass on, else a new UUID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestId(Box<str>);

/// A longer one is replaced.
const MAX_ID_BYTES: usize = 128;

impl RequestId {
    fn of(head: &RequestHead) -> Self {
        let safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        let given = head
            .get("x-request-id")
            .filter(|id| !id.is_empty() && id.len() <= MAX_ID_BYTES && id.iter().all(safe))
            .and_then(|id| std::str::from_utf8(id).ok());
        Self(given.map_or_else(new_id, Box::from))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A random UUID. It only has to be unique among the log lines of a few days, so a fast generator does.
fn new_id() -> Box<str> {
    let mut bytes = [0; 16];
    fastrand::fill(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(field: &str) -> String {
        RequestId::of(&RequestHead::for_tests(&format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n"))).0.into()
    }

    #[test]
    fn a_safe_id_is_kept_and_any_other_replaced() {
        assert_eq!(id("X-Request-Id: a.B-9_~+/=\r\n"), "a.B-9_~+/=");
        for bad in ["", "X-Request-Id: \r\n", "X-Request-Id: a b\r\n", "X-Request-Id: <a>\r\n"] {
            assert_eq!(id(bad).len(), 36, "{bad}");
        }
        assert_eq!(id(&format!("X-Request-Id: {}\r\n", "a".repeat(129))).len(), 36);
        assert_ne!(id(""), id(""));
    }
}
