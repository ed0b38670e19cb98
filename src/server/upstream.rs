//! What is sent to the app: the client's request, less what belongs to its connection, plus who asked.

use std::sync::Arc;

use bytes::Bytes;
use ipnet::IpNet;
use pingora_error::{ErrorType, OrErr, Result};
use pingora_http::{RequestHeader, header_value_from_slice};

use crate::header::{
    Fields, RequestHead,
    fields::{end_to_end, is},
    forwarded::{for_upstream, is_forwarding, joined},
    request::Version,
};

use super::{
    context::Request,
    weakened::{CONDITIONS, Weakened, asks_weakly},
};

/// The field that tells the app where it can say how far it is with a task. From clients it means nothing.
pub(super) const TASK: &str = "Pacecar-Task";

/// What is asked of the origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// What the client asked, preconditions and all.
    AsAsked,
    /// The whole response, to be shared: the client's own preconditions and ranges stay behind.
    Whole,
}

/// What the operator says about upstream requests.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    /// Sent as Host in place of the client's.
    pub(super) host: Option<String>,
    /// Sent as Host when the client named none (HTTP/1.0).
    pub(super) authority: String,
    pub(super) trusted_proxies: Vec<IpNet>,
    /// How this process signs requests in `Via`.
    pub(super) signature: String,
    /// The tags that clients know in another form than the app.
    pub(super) weakened: Arc<Weakened>,
}

/// What this proxy adds to `Via` of an answer: it came by HTTP/1.1, under our pseudonym (RFC 9110 §7.6.3).
pub(super) const VIA: &str = "1.1 pacecar";
/// The same, of an answer that came by HTTP/2.
pub(super) const VIA_H2: &str = "2 pacecar";

/// The protocol that a request came by, as `Via` names it.
fn protocol(version: Version) -> &'static str {
    match version {
        Version::Http10 => "1.0 ",
        Version::Http11 => "1.1 ",
        Version::Http2 => "2 ",
    }
}

impl Sending {
    /// How this very process signs requests in `Via`: the pseudonym, and as a comment a word that no other has.
    /// Two Pacecars, one behind the other, are so told from one that is its own upstream.
    pub(super) fn signature() -> String {
        format!("pacecar ({:08x})", fastrand::u32(..))
    }

    /// Whether a request has been here before (RFC 9110 §7.6.3).
    pub(super) fn is_loop(&self, head: &RequestHead) -> bool {
        let signed = |value: &[u8]| memchr::memmem::find(value, self.signature.as_bytes()).is_some();
        head.all("via").any(signed)
    }
}

/// Builds the head that is sent for a request without a body.
///
/// # Errors
/// When pingora cannot represent a field, which no field of a parsed head is known to cause.
pub(super) fn upstream_request(request: &Request, ask: Ask, sending: &Sending) -> Result<Box<RequestHeader>> {
    let head = &request.head;
    let mut out = RequestHeader::build(head.method.clone(), &head.target, Some(24))?;
    for (name, value) in end_to_end(head) {
        // Expect asks for a go-ahead for a body, and there is none.
        let left_behind = is(name, "expect") || (ask == Ask::Whole && is_for_one(name));
        if !is_ours(name) && !left_behind {
            out.append_header(Bytes::copy_from_slice(name), header_value_from_slice(value))?;
        }
    }
    add_ours(&mut out, request, sending)?;
    Ok(Box::new(out))
}

/// The same request as HTTP/2 has it: the authority in place of Host (RFC 9113 §8.3.1).
///
/// # Errors
/// For a target or an authority that HTTP/1 carries and a URI does not.
pub(super) fn over_h2(request: &RequestHeader) -> Result<Box<RequestHeader>> {
    let mut out = Box::new(request.clone());
    let authority = out.remove_header("host");
    let target = http::Uri::builder()
        .scheme("http")
        .authority(authority.as_ref().map_or(b"".as_slice(), |host| host.as_bytes()))
        .path_and_query(request.raw_path())
        .build();
    out.set_uri(target.or_err(ErrorType::InvalidHTTPHeader, "no URI can be made of the request")?);
    Ok(out)
}

/// Fields that only this client can use the answer to (RFC 9110 §13.1, §14.2), and the length of a body that is not
/// there, which others do not state.
fn is_for_one(name: &[u8]) -> bool {
    ["if-none-match", "if-modified-since", "range", "if-range", "content-length"].iter().any(|field| is(name, field))
}

/// Fields that are written anew for each hop.
fn is_ours(name: &[u8]) -> bool {
    is(name, "host") || is(name, "via") || is(name, "x-request-id") || is_task(name) || is_forwarding(name)
}

/// The field [`TASK`], also as apps behind CGI or WSGI take a `_` for the `-` (RFC 3875 §4.1.18).
fn is_task(name: &[u8]) -> bool {
    is(name, TASK) || is(name, "pacecar_task")
}

/// Replaces the fields that tell the app who asks: Host, `X-Forwarded-*`, `Forwarded`, `Via`, `X-Request-Id`.
///
/// # Errors
/// As [`upstream_request`].
pub(super) fn add_ours(out: &mut RequestHeader, request: &Request, sending: &Sending) -> Result<()> {
    let head = &request.head;
    let unwanted: Vec<_> = out.headers.keys().filter(|name| is_ours(name.as_str().as_bytes())).cloned().collect();
    for name in unwanted {
        // What a trusted proxy says beyond the fields below (port, prefix) goes on as it is.
        let kept = request.peer.trusted && is_forwarding(name.as_str().as_bytes());
        if !kept {
            out.remove_header(&name);
        }
    }
    if request.peer.trusted {
        for (name, value) in head.fields().filter(|(name, _)| is_forwarding(name)) {
            if !out.headers.contains_key(std::str::from_utf8(name).unwrap_or_default()) {
                out.append_header(Bytes::copy_from_slice(name), header_value_from_slice(value))?;
            }
        }
    }
    let host = match (&sending.host, head.host.as_ref()) {
        (Some(host), _) => host.as_bytes(),
        (None, b"") => sending.authority.as_bytes(),
        (None, host) => host,
    };
    let told = for_upstream(head, &request.peer, &sending.trusted_proxies);
    let chain = joined(head, "via");
    let comma: &[u8] = if chain.is_empty() { b"" } else { b", " };
    let via = [&chain, comma, protocol(head.version).as_bytes(), sending.signature.as_bytes()].concat();
    if let (Version::Http2, Some(cookie)) = (head.version, head.get("cookie")) {
        // One line in place of the pieces that it came in.
        out.insert_header("Cookie", header_value_from_slice(cookie))?;
    }
    if request.accepted.is_some() {
        // What the client takes is between it and us.
        out.insert_header("Accept-Encoding", "identity")?;
    }
    if asks_weakly(head) {
        for name in CONDITIONS {
            // What was left behind stays so.
            let is_sent = out.remove_header(name).is_some();
            for value in head.all(name).filter(|_| is_sent) {
                out.append_header(name, header_value_from_slice(&sending.weakened.restored(head, value)))?;
            }
        }
    }
    out.insert_header("Host", header_value_from_slice(host))?;
    out.insert_header("X-Forwarded-For", header_value_from_slice(&told.x_forwarded_for))?;
    out.insert_header("X-Forwarded-Proto", header_value_from_slice(&told.x_forwarded_proto))?;
    out.insert_header("X-Forwarded-Host", header_value_from_slice(&told.x_forwarded_host))?;
    out.insert_header("X-Real-IP", header_value_from_slice(told.x_real_ip.as_bytes()))?;
    out.insert_header("Forwarded", header_value_from_slice(&told.forwarded))?;
    out.insert_header("Via", header_value_from_slice(&via))?;
    if let Some(trace) = &request.trace {
        out.insert_header("traceparent", trace.field())?;
        if trace.is_new {
            out.remove_header("tracestate");
        }
    }
    out.insert_header("X-Request-Id", header_value_from_slice(request.id.as_str().as_bytes()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::forwarded::Peer;
    use std::time::Instant;

    fn sent(fields: &str, ask: Ask, trusted: bool, host: Option<&str>) -> String {
        let trusted_proxies: Vec<IpNet> = trusted.then(|| "192.0.2.0/24".parse().unwrap()).into_iter().collect();
        let peer = Peer::new("192.0.2.1".parse().unwrap(), false, &trusted_proxies);
        let head = RequestHead::for_tests(&format!("GET /x?y HTTP/1.1\r\nHost: a\r\nX-Request-Id: 7\r\n{fields}\r\n"));
        let sending = Sending {
            host: host.map(Into::into),
            authority: "app:3000".into(),
            trusted_proxies,
            signature: "pacecar (1)".into(),
            weakened: Arc::default(),
        };
        let out =
            upstream_request(&Request::new(head, peer, Instant::now(), Default::default()), ask, &sending).unwrap();
        let mut wire = Vec::new();
        out.header_to_h1_wire(&mut wire);
        String::from_utf8(wire).unwrap()
    }

    const OURS: &str = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n\
        X-Real-IP: 192.0.2.1\r\nForwarded: for=192.0.2.1;proto=http;host=\"a\"\r\nVia: 1.1 pacecar (1)\r\nX-Request-Id: 7\r\n";

    #[test]
    fn a_plain_request_gains_what_tells_the_app_who_asks() {
        assert_eq!(sent("Accept: */*\r\n", Ask::AsAsked, false, None), format!("Accept: */*\r\nHost: a\r\n{OURS}"));
    }

    #[test]
    fn what_belongs_to_the_connection_stays_behind() {
        let fields =
            "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nExpect: 100-continue\r\n";
        assert_eq!(sent(fields, Ask::AsAsked, false, None), format!("Host: a\r\n{OURS}"));
    }

    #[test]
    fn preconditions_stay_behind_when_the_answer_is_shared() {
        let fields = "If-None-Match: \"a\"\r\nIf-Modified-Since: x\r\n";
        assert_eq!(sent(fields, Ask::Whole, false, None), format!("Host: a\r\n{OURS}"));
        assert!(sent(fields, Ask::AsAsked, false, None).contains("If-None-Match: \"a\"\r\n"));
    }

    #[test]
    fn the_host_can_be_set() {
        assert!(sent("", Ask::AsAsked, false, Some("b")).starts_with("Host: b\r\n"));
    }

    #[test]
    fn via_is_a_chain() {
        assert!(
            sent("Via: 1.0 x\r\nVia: 1.1 y\r\n", Ask::AsAsked, false, None)
                .contains("\r\nVia: 1.0 x, 1.1 y, 1.1 pacecar (1)\r\n")
        );
    }

    #[test]
    fn a_request_that_was_here_before_is_known_by_its_signature() {
        let sending = |signature: String| Sending {
            host: None,
            authority: "a".into(),
            trusted_proxies: vec![],
            signature,
            weakened: Arc::default(),
        };
        let (one, other) = (sending(Sending::signature()), sending(Sending::signature()));
        let signed = |by: &Sending| {
            RequestHead::for_tests(&format!(
                "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.0 x\r\nVia: 1.1 {}, 1.1 y\r\n\r\n",
                by.signature
            ))
        };
        assert!(one.is_loop(&signed(&one)));
        assert!(!one.is_loop(&signed(&other)));
        assert!(!one.is_loop(&RequestHead::for_tests("GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 pacecar\r\n\r\n")));
    }

    #[test]
    fn an_untrusted_peer_cannot_say_who_it_is() {
        let lies =
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Port: 1\r\nForwarded: for=1.1.1.1\r\nX-Real-IP: 1.1.1.1\r\n";
        assert_eq!(sent(lies, Ask::AsAsked, false, None), format!("Host: a\r\n{OURS}"));
    }

    #[test]
    fn a_trusted_peer_can() {
        let sent = sent(
            "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Port: 444\r\nX-Forwarded-Proto: https\r\n",
            Ask::AsAsked,
            true,
            None,
        );
        for line in [
            "X-Forwarded-For: 1.1.1.1, 192.0.2.1\r\n",
            "X-Forwarded-Port: 444\r\n",
            "X-Forwarded-Proto: https\r\n",
            "X-Real-IP: 1.1.1.1\r\n",
        ] {
            assert!(sent.contains(line), "{line} in {sent}");
        }
    }

    #[test]
    fn equal_fields_keep_their_order() {
        assert!(
            sent("Cookie: a=1\r\nX: 1\r\nCookie: b=2\r\n", Ask::AsAsked, false, None)
                .contains("Cookie: a=1\r\nCookie: b=2\r\n")
        );
    }
}
