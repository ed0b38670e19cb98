//! `Prefer` (RFC 7240): what a client would like, and can do without.

use std::time::Duration;

use super::fields::{Fields, is, trim};

/// The preferences that mean something here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// It would rather fetch the answer later than wait for it (§4.1).
    pub respond_async: bool,
    /// It waits for so long, in whole seconds (§4.3).
    pub wait: Option<Duration>,
}

impl Preferences {
    /// Reads all lines. What is not understood is left out, and of one that comes twice the first counts (§2).
    pub fn of(message: &impl Fields) -> Self {
        let mut found = Self::default();
        let mut has_wait = false;
        for member in message.members("prefer") {
            // Parameters of a preference say more about it; none is known here.
            let preference = member.split(|byte| *byte == b';').next().unwrap_or_default();
            let mut parts = preference.splitn(2, |byte| *byte == b'=').map(trim);
            let (name, value) = (parts.next().unwrap_or_default(), parts.next());
            if is(name, "respond-async") {
                found.respond_async = true;
            } else if is(name, "wait") && !std::mem::replace(&mut has_wait, true) {
                found.wait = value.and_then(seconds);
            }
        }
        found
    }
}

/// Up to ten digits, bare or in quotes.
fn seconds(value: &[u8]) -> Option<Duration> {
    let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    let digits = (1..=10).contains(&bare.len()) && bare.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(bare).ok()?.parse().ok().map(Duration::from_secs)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::RequestHead;

    #[test]
    fn what_is_preferred() {
        let later = |wait: Option<u64>| Preferences { respond_async: true, wait: wait.map(Duration::from_secs) };
        let none = Preferences::default();
        for (lines, expected) in [
            (&[][..], none),
            (&["respond-async"], later(None)),
            (&["Respond-Async, wait=5"], later(Some(5))),
            (&["wait=10", "handling=lenient, respond-async"], later(Some(10))),
            (&["respond-async; foo=\"bar\" , wait = \"7\" ;x"], later(Some(7))),
            (&["wait=5, respond-async, wait=9"], later(Some(5))),
            (&["wait=x, respond-async, wait=9"], later(None)),
            (&["respond-async, wait"], later(None)),
            (&["respond-async, wait=-1"], later(None)),
            (&["respond-async, wait=12345678901"], later(None)),
            (&["respond-async, wait=9999999999"], later(Some(9_999_999_999))),
            (&["respond-asynchronously"], none),
            (&["x-respond-async, foo=respond-async"], none),
            (&["\u{e9}=, =, ;, ,"], none),
        ] {
            let fields: String = lines.iter().map(|line| format!("Prefer: {line}\r\n")).collect();
            let head = RequestHead::for_tests(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
            let found = Preferences::of(&head);
            assert_eq!(found.respond_async, expected.respond_async, "{lines:?}");
            if expected.respond_async {
                assert_eq!(found, expected, "{lines:?}");
            }
        }
    }
}
