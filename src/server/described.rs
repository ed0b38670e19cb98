//! A client's request as it is written down, so that it can be sent after a restart. Credentials are not: a request that
//! has what may be some cannot be repeated.

use std::{net::IpAddr, time::Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    header::{
        Fields, RequestHead,
        fields::{end_to_end, is},
        forwarded::{Peer, is_forwarding},
    },
    task::AfterRestart,
};

use super::{Engine, context::Request};

/// Fields that say nothing about who asks. The method, the target, Host and the body are kept as well.
const KEPT: [&str; 22] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "baggage",
    "cache-control",
    "content-encoding",
    "content-language",
    "content-length",
    "content-type",
    "date",
    "dnt",
    "idempotency-key",
    "origin",
    "pragma",
    "range",
    "traceparent",
    "tracestate",
    "upgrade-insecure-requests",
    "user-agent",
    "via",
    "x-request-id",
];

/// Fields that an app does as well without.
const LEFT_OUT: [&str; 5] = ["expect", "host", "prefer", "priority", "referer"];

#[derive(Deserialize, Serialize)]
struct Described {
    method: String,
    target: Vec<u8>,
    host: Vec<u8>,
    /// Each without what ends its line.
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
    /// The client's address, and what its connection was.
    address: IpAddr,
    tls: bool,
    trusted: bool,
}

/// What a restart may do with a request.
pub(super) fn after_restart(head: &RequestHead) -> AfterRestart {
    let is_idempotent = head.method.is_idempotent() || head.has("idempotency-key");
    match end_to_end(head).all(|(name, _)| is_kept(name) || is_left_out(name)) {
        true if is_idempotent => AfterRestart::Repeat,
        true => AfterRestart::Once,
        false => AfterRestart::Fail,
    }
}

/// The request, without anything that may be a credential.
pub(super) fn describe(request: &Request, body: &Bytes) -> Bytes {
    let head = &request.head;
    let fields = end_to_end(head).filter(|(name, _)| is_kept(name));
    let described = Described {
        method: head.method.as_str().into(),
        target: head.target.to_vec(),
        host: head.host.to_vec(),
        fields: fields.map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
        body: body.to_vec(),
        address: request.peer.address,
        tls: request.peer.tls,
        trusted: request.peer.trusted,
    };
    // What has a length before each list can be written into memory.
    postcard::to_allocvec(&described).unwrap_or_default().into()
}

impl Engine {
    /// The request that was described, if it is one that this configuration takes.
    pub(super) fn described(&self, description: &[u8]) -> Option<(Request, Bytes)> {
        let described: Described = postcard::from_bytes(description).ok()?;
        let mut head = format!("{} ", described.method).into_bytes();
        head.extend_from_slice(&described.target);
        head.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        head.extend_from_slice(&described.host);
        head.extend_from_slice(b"\r\n");
        for (name, value) in &described.fields {
            for part in [name, b": ".as_slice(), value, b"\r\n"] {
                head.extend_from_slice(part);
            }
        }
        head.extend_from_slice(b"\r\n");
        let head = RequestHead::parse(head.into(), &self.settings.limits).ok()?;
        let rule = self.rule(&head);
        let peer = Peer { address: described.address, tls: described.tls, trusted: described.trusted };
        Some((Request::new(head, peer, Instant::now(), rule), described.body.into()))
    }
}

fn is_kept(name: &[u8]) -> bool {
    KEPT.iter().any(|kept| is(name, kept)) || is_forwarding(name) || crate::header::fields::starts_with(name, "sec-")
}

fn is_left_out(name: &[u8]) -> bool {
    LEFT_OUT.iter().any(|left_out| is(name, left_out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, fields: &str) -> RequestHead {
        RequestHead::for_tests(&format!("{method} /reports?year=1 HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n"))
    }

    #[test]
    fn what_a_restart_may_do() {
        for (method, fields, expected) in [
            ("GET", "Accept: */*\r\nUser-Agent: curl\r\nPrefer: respond-async\r\n", AfterRestart::Repeat),
            ("DELETE", "", AfterRestart::Repeat),
            ("PUT", "X-Forwarded-For: 192.0.2.1\r\nSec-Fetch-Mode: cors\r\n", AfterRestart::Repeat),
            ("POST", "Content-Type: application/json\r\n", AfterRestart::Once),
            ("PATCH", "", AfterRestart::Once),
            ("POST", "Idempotency-Key: 7\r\n", AfterRestart::Repeat),
            ("GET", "Authorization: Basic eA==\r\n", AfterRestart::Fail),
            ("GET", "Cookie: session=1\r\n", AfterRestart::Fail),
            ("GET", "X-Api-Key: 1\r\n", AfterRestart::Fail),
            ("POST", "Idempotency-Key: 7\r\nX-CSRFToken: 1\r\n", AfterRestart::Fail),
            ("GET", "Connection: X-Hop\r\nX-Hop: 1\r\n", AfterRestart::Repeat),
        ] {
            assert_eq!(after_restart(&head(method, fields)), expected, "{method} {fields}");
        }
    }

    #[test]
    fn no_credential_is_written_down() {
        let fields = "Accept: text/csv\r\nAuthorization: Bearer geheim\r\nCookie: a=geheim\r\nX-Api-Key: geheim\r\n\
                      Proxy-Authorization: geheim\r\nReferer: http://a/?token=geheim\r\nX-Token: geheim\r\n";
        let peer = Peer::new([192, 0, 2, 7].into(), true, &[]);
        let request = Request::new(head("POST", fields), peer, Instant::now(), Default::default());
        let written = describe(&request, &Bytes::from_static(b"a body"));
        let holds = |text: &[u8]| memchr::memmem::find(&written, text).is_some();
        assert!(!holds(b"geheim"));
        assert!(holds(b"text/csv") && holds(b"a body") && holds(b"/reports?year=1") && holds(b"shop.example"));
    }
}
