//! What makes two requests the same to the cache.

use std::borrow::Borrow;

use crate::header::{
    RequestHead,
    forwarded::{self, Peer},
};

/// A cache key: scheme, host, target, and what a trusted proxy claimed about the client's request.
///
/// Each part is framed by its length, so that no two different requests have one key: a plain join would take
/// `a/x` + `/c` for `a` + `/x/c`. GET and HEAD share a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(Box<[u8]>);

impl Key {
    /// The key of a request.
    pub fn of(head: &RequestHead, peer: &Peer) -> Self {
        let https = forwarded::is_https(head, peer);
        let host = without_default_port(&head.host, https);
        let mut key = Vec::with_capacity(1 + 4 + host.len() + 4 + head.target.len());
        key.push(u8::from(https));
        frame(&mut key, host);
        key[5..].make_ascii_lowercase();
        frame(&mut key, &head.target);
        for (name, value) in forwarded::keyed(head, peer) {
            frame(&mut key, &name.to_ascii_lowercase());
            frame(&mut key, value);
        }
        Self(key.into_boxed_slice())
    }

    /// The key of the same client's request for another target, at the same host.
    pub fn of_target(head: &RequestHead, peer: &Peer, target: &[u8]) -> Self {
        let mut other = head.clone();
        other.target = bytes::Bytes::copy_from_slice(target);
        Self::of(&other, peer)
    }

    /// The same request by the other scheme.
    pub fn by_other_scheme(&self) -> Self {
        let mut key = self.0.clone();
        key[0] ^= 1;
        Self(key)
    }

    /// The key's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What the key was made of.
    pub fn parts(&self) -> Parts<'_> {
        let (host, rest) = unframe(&self.0[1..]);
        let (target, claims) = unframe(rest);
        Parts { https: self.0[0] == 1, host, target, claims }
    }

    /// Which of so many places is this key's.
    pub fn slot(&self, places: usize) -> usize {
        let sum = self.0.iter().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        (sum ^ (sum >> 17)) % places
    }
}

/// What a key was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The scheme is https.
    pub https: bool,
    /// Host and port, in lower case, without the scheme's default port.
    pub host: &'a [u8],
    /// Path and query.
    pub target: &'a [u8],
    claims: &'a [u8],
}

impl<'a> Parts<'a> {
    /// The target without its query.
    pub fn path(&self) -> &'a [u8] {
        self.target.split(|byte| *byte == b'?').next().unwrap_or_default()
    }

    /// What a trusted proxy claimed of the request: names and values.
    pub fn claims(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut rest = self.claims;
        std::iter::from_fn(move || {
            let (name, value) = (!rest.is_empty()).then(|| unframe(rest))?;
            let (value, after) = unframe(value);
            rest = after;
            Some((name, value))
        })
    }
}

/// Takes the first part off; what is left follows. Of bytes that are no key's, nothing.
fn unframe(key: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = key.split_first_chunk::<4>() else { return (b"", b"") };
    rest.split_at_checked(u32::from_be_bytes(*length) as usize).unwrap_or((b"", b""))
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Appends a part with its length before it. A head is at most 1 MiB, so 32 bits hold every length.
fn frame(key: &mut Vec<u8>, part: &[u8]) {
    key.extend_from_slice(&(part.len() as u32).to_be_bytes());
    key.extend_from_slice(part);
}

/// RFC 9110 §4.2.3: a URI with the scheme's default port, or an empty one, is the same as one without.
fn without_default_port(host: &[u8], https: bool) -> &[u8] {
    let default: &[u8] = if https { b":443" } else { b":80" };
    host.strip_suffix(default).or_else(|| host.strip_suffix(b":")).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn key(target: &str, host: &str, fields: &str, tls: bool) -> Key {
        let head = RequestHead::for_tests(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"));
        Key::of(&head, &Peer::new("127.0.0.1".parse().unwrap(), tls, &["127.0.0.0/8".parse().unwrap()]))
    }

    #[test]
    fn host_case_and_default_port_do_not_count() {
        assert_eq!(key("/", "A.b", "", false), key("/", "a.B:80", "", false));
        assert_eq!(key("/", "a", "", true), key("/", "a:443", "", true));
        assert_eq!(key("/", "a:", "", true), key("/", "a", "", true));
        assert_ne!(key("/", "a:80", "", true), key("/", "a", "", true));
    }

    #[test]
    fn scheme_host_path_query_and_their_case_count() {
        let keys = [
            key("/", "a", "", false),
            key("/", "a", "", true),
            key("/", "b", "", false),
            key("/x", "a", "", false),
            key("/X", "a", "", false),
            key("/x?", "a", "", false),
            key("/x?a=1", "a", "", false),
            key("/%78", "a", "", false),
        ];
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn claims_of_a_trusted_proxy_count() {
        assert_ne!(key("/", "a", "X-Forwarded-Host: b\r\n", false), key("/", "a", "", false));
        assert_ne!(key("/", "a", "X-Forwarded-Proto: https\r\n", false), key("/", "a", "", false));
        assert_eq!(key("/", "a", "X-Forwarded-For: b\r\n", false), key("/", "a", "", false));
    }

    #[test]
    fn parts_are_what_went_in() {
        let key = key("/a?b=c", "A.b:8", "X-Forwarded-Host: x\r\nX-Forwarded-Port: 9\r\n", true);
        let parts = key.parts();
        assert_eq!((parts.https, parts.host, parts.target), (true, b"a.b:8".as_slice(), b"/a?b=c".as_slice()));
        assert_eq!(parts.path(), b"/a");
        let claims = [(b"x-forwarded-host".as_slice(), b"x".as_slice()), (b"x-forwarded-port", b"9")];
        assert_eq!(parts.claims().collect::<Vec<_>>(), claims);
        assert_eq!((key.by_other_scheme().parts().https, key.by_other_scheme().parts().target), (false, parts.target));
    }

    /// What a request means to the cache: scheme, host without its default port, target, claims in order.
    type Meaning = (bool, String, String, Vec<(String, String)>);

    proptest! {
        #[test]
        fn one_key_means_one_scheme_host_target_and_claims(
            requests in proptest::collection::vec(
                (
                    "/[a-c/?:]{0,4}", "[a-c]{1,3}(:(80|443|8))?", any::<bool>(),
                    proptest::collection::vec(("X-Forwarded-(Host|Hos|Port)", "[a-c/]{0,3}"), 0..3),
                ),
                2..40,
            ),
        ) {
            let mut seen: HashMap<Key, Meaning> = HashMap::new();
            for (target, host, tls, claims) in requests {
                let default = if tls { ":443" } else { ":80" };
                let bare = host.strip_suffix(default).unwrap_or(&host).to_string();
                let fields: String = claims.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let claims = claims.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
                let meaning: Meaning = (tls, bare, target.clone(), claims);
                let key = key(&target, &host, &fields, tls);

                let parts = key.parts();
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let claimed = parts.claims().map(|(name, value)| (text(name), text(value))).collect::<Vec<_>>();
                prop_assert_eq!(&(parts.https, text(parts.host), text(parts.target), claimed), &meaning);

                let other = key.by_other_scheme();
                let (before, after) = (parts, other.parts());
                prop_assert_eq!((after.https, after.host, after.target), (!tls, before.host, before.target));
                prop_assert_eq!(&other.by_other_scheme(), &key);
                prop_assert_ne!(&other, &key);

                let before = seen.insert(key, meaning.clone());
                prop_assert!(before.is_none_or(|before| before == meaning));
            }
        }
    }
}
