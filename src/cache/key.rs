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

    /// The key's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
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

    proptest! {
        #[test]
        fn one_key_means_one_scheme_host_and_target(
            requests in proptest::collection::vec(("/[a-c/?:]{0,4}", "[a-c]{1,3}(:(80|443|8))?", any::<bool>()), 2..40),
        ) {
            let mut seen = HashMap::new();
            for (target, host, tls) in requests {
                let default = if tls { ":443" } else { ":80" };
                let meaning = (target.clone(), host.strip_suffix(default).unwrap_or(&host).to_string(), tls);
                let before = seen.insert(key(&target, &host, "", tls), meaning.clone());
                prop_assert!(before.is_none_or(|before| before == meaning));
            }
        }
    }
}
