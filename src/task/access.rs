//! Who may see a client's task, and which task a request that comes twice has made already.

use std::fmt;

use ring::{
    digest::{Context, SHA256},
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// The name of a task: `task_` and a UUID of version 4 (RFC 9562 §5.4) as 32 digits, of which 122 bits are random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId(u128);

impl TaskId {
    /// A new one. `None` if the system has no random bytes.
    pub fn random() -> Option<Self> {
        Some(Self(uuid::Builder::from_random_bytes(random()?).into_uuid().as_u128()))
    }

    /// Reads what `Display` writes, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        text.strip_prefix("task_").and_then(from_hex).map(Self)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task_{:032x}", self.0)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a client shows to get at its task: 128 random bits. It is told once, and kept nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(u128);

impl Secret {
    /// A new one. `None` if the system has no random bytes.
    pub(super) fn random() -> Option<Self> {
        random().map(u128::from_be_bytes).map(Self)
    }

    /// Whether a text reveals it, in a time that does not tell how near it comes.
    pub(super) fn is(&self, text: &str) -> bool {
        from_hex(text).is_some_and(|given| given.to_be_bytes().ct_eq(&self.0.to_be_bytes()).into())
    }

    /// As a URL carries it: 32 hexadecimal digits.
    pub fn reveal(&self) -> String {
        format!("{:032x}", self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What is kept of a [`Secret`]: a hash, together with the Authorization that the request had. Neither can be computed
/// from it, and a weak password is not found by trying, since the secret salts it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    hash: Digest,
    /// The request had an Authorization, so that whoever asks needs the same.
    is_bound: bool,
}

impl Key {
    pub(super) fn new(secret: &Secret, authorization: Option<&[u8]>) -> Self {
        Self { hash: Self::hash(secret, authorization), is_bound: authorization.is_some() }
    }

    /// Whether this opens it, in a time that does not tell how near it comes.
    pub(super) fn admits(&self, secret: &str, authorization: Option<&[u8]>) -> bool {
        let authorization = authorization.filter(|_| self.is_bound);
        let Some(secret) = from_hex(secret).map(Secret) else { return false };
        (self.is_bound == authorization.is_some())
            && bool::from(Self::hash(&secret, authorization).0.ct_eq(&self.hash.0))
    }

    fn hash(secret: &Secret, authorization: Option<&[u8]>) -> Digest {
        Digest::of(&[b"key", &secret.0.to_be_bytes(), authorization.unwrap_or_default()])
    }
}

/// SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of parts, each with its length before it, so that no two lists of parts are the same.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Self(digest)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

/// An idempotency key of a client: the same key with the same request means the same task, for 24 hours or until the
/// task is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// Of the key and of whom it belongs to: keys of two people, or for two routes, are two keys.
    pub key: Digest,
    /// Of everything of the request that makes it this one: method, target, Authorization, body.
    pub request: Digest,
}

fn random() -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok().map(|()| bytes)
}

/// Exactly 32 digits in lower case: one text for each number.
fn from_hex(text: &str) -> Option<u128> {
    let right = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    right.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_version_4_and_reads_as_written() {
        let id = TaskId::random().unwrap();
        let text = id.to_string();
        assert_eq!(TaskId::parse(&text), Some(id));
        assert_eq!((text.len(), text.as_bytes()[17]), (37, b'4'), "{text}");
        assert!(matches!(text.as_bytes()[21], b'8' | b'9' | b'a' | b'b'), "{text}");
        assert_ne!(TaskId::random().unwrap(), id);
        for wrong in
            ["", "task_", &text[5..], &text[..36], &format!("{text}0"), &text.to_uppercase(), "task_+1", "täsk_"]
        {
            assert_eq!(TaskId::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_key_opens_to_its_secret_and_authorization_alone() {
        let (secret, other) = (Secret::random().unwrap(), Secret::random().unwrap());
        let (free, bound) = (Key::new(&secret, None), Key::new(&secret, Some(b"Bearer a")));
        let cases: [(&Key, &Secret, Option<&[u8]>, bool); 7] = [
            (&free, &secret, None, true),
            (&free, &secret, Some(b"Bearer a"), true),
            (&free, &other, None, false),
            (&bound, &secret, Some(b"Bearer a"), true),
            (&bound, &secret, Some(b"Bearer b"), false),
            (&bound, &secret, None, false),
            (&bound, &other, Some(b"Bearer a"), false),
        ];
        for (number, (key, secret, authorization, expected)) in cases.into_iter().enumerate() {
            assert_eq!(key.admits(&secret.reveal(), authorization), expected, "case {number}");
        }
        for wrong in ["", "0", &secret.reveal()[1..], "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"] {
            assert!(!free.admits(wrong, None), "{wrong}");
        }
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn parts_of_a_digest_do_not_run_together() {
        assert_ne!(Digest::of(&[b"ab", b"c"]), Digest::of(&[b"a", b"bc"]));
        assert_ne!(Digest::of(&[b"a"]), Digest::of(&[b"a", b""]));
    }
}
