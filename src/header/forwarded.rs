//! Who the client is and what it asked for, when other proxies stand before this one (RFC 7239, and `X-Forwarded-*`).

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    Fields, RequestHead,
    fields::{is, starts_with, trim},
};

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address, as the socket has it.
    pub address: IpAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Whether it is one of the trusted proxies, so that what it forwards is believed.
    pub trusted: bool,
}

impl Peer {
    /// A peer by its address. An IPv4 address in IPv6 form is the IPv4 address: that is how dual-stack sockets write it.
    pub fn new(address: IpAddr, tls: bool, trusted_proxies: &[IpNet]) -> Self {
        let address = address.to_canonical();
        Self { address, tls, trusted: is_trusted(address, trusted_proxies) }
    }
}

fn is_trusted(address: IpAddr, trusted_proxies: &[IpNet]) -> bool {
    trusted_proxies.iter().any(|net| net.contains(&address))
}

/// Whether a field tells the app about the client's connection, so that only a trusted proxy may set it. An app behind
/// CGI or WSGI reads a `_` as the `-` that it stands for (RFC 3875 §4.1.18).
pub fn is_forwarding(name: &[u8]) -> bool {
    if name.contains(&b'_') {
        let dashed: Vec<u8> = name.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).collect();
        return is_forwarding(&dashed);
    }
    starts_with(name, "x-forwarded-") || is(name, "forwarded") || is(name, "x-real-ip")
}

/// Whether a field tells the app something of the client's connection, or of this one request, that is no part of the
/// cache key.
pub fn is_told_of_the_connection(name: &[u8]) -> bool {
    ["x-forwarded-for", "x-real-ip", "forwarded", "x-request-id", "via"].iter().any(|told| is(name, told))
}

/// Whether the client's own connection is encrypted: what the nearest trusted proxy says, else what this connection is.
pub fn is_https(head: &RequestHead, peer: &Peer) -> bool {
    if peer.trusted {
        if let Some(proto) = head.get("x-forwarded-proto") {
            return first_member(proto).eq_ignore_ascii_case(b"https");
        }
        if let Some(proto) = head.get("forwarded").and_then(|value| parameter(value, "proto")) {
            return proto.eq_ignore_ascii_case(b"https");
        }
    }
    peer.tls
}

/// What a trusted proxy says of the client's request that an app may build into its answer; part of the cache key,
/// so that no answer made for one such claim is given to another.
pub fn keyed<'a>(head: &'a RequestHead, peer: &Peer) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let trusted = peer.trusted;
    head.fields().filter(move |_| trusted).flat_map(|(name, value)| {
        let whole = starts_with(name, "x-forwarded-") && !is(name, "x-forwarded-for");
        // Cut at every separator, also within quotes: an app that reads them otherwise finds nothing that was left out.
        let forwarded = is(name, "forwarded").then(|| value.split(|byte| matches!(byte, b',' | b';')).map(trim));
        let claims = forwarded.into_iter().flatten().filter(|pair| !pair.is_empty() && !names_a_node(pair));
        whole.then_some((name, value)).into_iter().chain(claims.map(move |pair| (name, pair)))
    })
}

/// Whether a parameter of `Forwarded` names the client or a proxy (RFC 7239 §5.1, §5.2), rather than what was asked for.
fn names_a_node(pair: &[u8]) -> bool {
    let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
    is(name, "for") || is(name, "by")
}

/// The fields that tell the app who asks, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForUpstream {
    /// `X-Forwarded-For`: what a trusted peer sent, then the peer.
    pub x_forwarded_for: Vec<u8>,
    /// `X-Forwarded-Proto`
    pub x_forwarded_proto: Vec<u8>,
    /// `X-Forwarded-Host`
    pub x_forwarded_host: Vec<u8>,
    /// `X-Real-IP`: the nearest address in the chain that is no trusted proxy.
    pub x_real_ip: String,
    /// `Forwarded`: what a trusted peer sent, then one element for this hop.
    pub forwarded: Vec<u8>,
}

/// Writes the forwarding fields of a request; nothing of what an untrusted peer sent goes into them.
pub fn for_upstream(head: &RequestHead, peer: &Peer, trusted_proxies: &[IpNet]) -> ForUpstream {
    let incoming = |name| if peer.trusted { joined(head, name) } else { Vec::new() };
    let scheme: &[u8] = if is_https(head, peer) { b"https" } else { b"http" };
    let or = |value: Vec<u8>, default: &[u8]| if value.is_empty() { default.to_vec() } else { value };
    let chain = incoming("x-forwarded-for");
    let node = match peer.address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    let mut hop = format!("for={node};proto=").into_bytes();
    hop.extend_from_slice(scheme);
    if !head.host.is_empty() {
        // A host may have a port, so it goes in quotes (RFC 7239 §4); what passed as an authority has none inside.
        hop.extend([b";host=\"", head.host.as_ref(), b"\""].concat());
    }
    ForUpstream {
        x_real_ip: client(&chain, peer, trusted_proxies).to_string(),
        x_forwarded_for: appended(chain, peer.address.to_string().as_bytes()),
        x_forwarded_proto: or(incoming("x-forwarded-proto"), scheme),
        x_forwarded_host: or(incoming("x-forwarded-host"), &head.host),
        forwarded: appended(incoming("forwarded"), &hop),
    }
}

/// The client: walking the chain from the peer backwards, the first address that is no trusted proxy; when all are,
/// the farthest. What is no address ends the walk: nobody vouches for what stands before it.
fn client(chain: &[u8], peer: &Peer, trusted_proxies: &[IpNet]) -> IpAddr {
    let mut nearest = peer.address;
    for member in chain.rsplit(|byte| *byte == b',').map(trim).filter(|member| !member.is_empty()) {
        if !is_trusted(nearest, trusted_proxies) {
            break;
        }
        let Some(address) = std::str::from_utf8(member).ok().and_then(|text| text.parse::<IpAddr>().ok()) else {
            break;
        };
        nearest = address.to_canonical();
    }
    nearest
}

/// All lines of a field as one (RFC 9110 §5.3).
pub fn joined<M: Fields>(message: &M, name: &str) -> Vec<u8> {
    message.all(name).collect::<Vec<_>>().join(b", ".as_slice())
}

fn appended(mut list: Vec<u8>, member: &[u8]) -> Vec<u8> {
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(member);
    list
}

fn first_member(value: &[u8]) -> &[u8] {
    trim(value.split(|byte| *byte == b',').next().unwrap_or_default())
}

/// A parameter of the first element of `Forwarded`, without its quotes.
fn parameter<'a>(forwarded: &'a [u8], name: &str) -> Option<&'a [u8]> {
    first_member(forwarded).split(|byte| *byte == b';').find_map(|pair| {
        let pair = trim(pair);
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let value = &pair[equals + 1..];
        is(&pair[..equals], name)
            .then(|| value.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted() -> Vec<IpNet> {
        vec!["10.0.0.0/8".parse().unwrap()]
    }

    fn peer(address: &str) -> Peer {
        Peer::new(address.parse().unwrap(), false, &trusted())
    }

    fn head(fields: &str) -> RequestHead {
        RequestHead::for_tests(&format!("GET / HTTP/1.1\r\nHost: a:80\r\n{fields}\r\n"))
    }

    fn sent(fields: &str, from: &str) -> ForUpstream {
        for_upstream(&head(fields), &peer(from), &trusted())
    }

    #[test]
    fn a_client_without_proxies() {
        let sent = sent("", "203.0.113.9");
        assert_eq!(sent.x_forwarded_for, b"203.0.113.9");
        assert_eq!(sent.x_forwarded_proto, b"http");
        assert_eq!(sent.x_forwarded_host, b"a:80");
        assert_eq!(sent.x_real_ip, "203.0.113.9");
        assert_eq!(sent.forwarded, b"for=203.0.113.9;proto=http;host=\"a:80\"");
    }

    #[test]
    fn an_untrusted_peer_is_not_believed() {
        let lies =
            "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nForwarded: for=1.2.3.4\r\n";
        assert_eq!(sent(lies, "203.0.113.9"), sent("", "203.0.113.9"));
        assert!(!is_https(&head(lies), &peer("203.0.113.9")));
        assert_eq!(keyed(&head(lies), &peer("203.0.113.9")).count(), 0);
    }

    #[test]
    fn a_trusted_peer_is_believed_and_added() {
        let sent = sent(
            "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nForwarded: for=x\r\n",
            "10.0.0.1",
        );
        assert_eq!(sent.x_forwarded_for, b"203.0.113.9, 10.0.0.1");
        assert_eq!(sent.x_forwarded_proto, b"https");
        assert_eq!(sent.x_forwarded_host, b"b");
        assert_eq!(sent.x_real_ip, "203.0.113.9");
        assert_eq!(sent.forwarded, b"for=x, for=10.0.0.1;proto=https;host=\"a:80\"");
    }

    #[test]
    fn the_client_is_the_nearest_untrusted_address() {
        for (chain, expected) in [
            ("6.6.6.6, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(sent(&format!("X-Forwarded-For: {chain}\r\n"), "10.0.0.1").x_real_ip, expected, "{chain}");
        }
    }

    #[test]
    fn ipv6_is_quoted_and_mapped_ipv4_is_ipv4() {
        assert_eq!(sent("", "2001:db8::1").forwarded, b"for=\"[2001:db8::1]\";proto=http;host=\"a:80\"");
        assert!(peer("::ffff:10.0.0.1").trusted);
    }

    #[test]
    fn scheme_comes_from_either_field_of_a_trusted_peer() {
        for (fields, expected) in [
            ("X-Forwarded-Proto: https, http\r\n", true),
            ("X-Forwarded-Proto: http\r\nForwarded: proto=https\r\n", false),
            ("Forwarded: for=a;Proto=\"https\";host=b, proto=http\r\n", true),
            ("", false),
        ] {
            assert_eq!(is_https(&head(fields), &peer("10.0.0.1")), expected, "{fields}");
        }
    }

    #[test]
    fn what_an_app_may_build_into_its_answer_is_keyed() {
        let head =
            head("X-Forwarded-Host: b\r\nX-Forwarded-For: c\r\nX-Forwarded-Prefix: /d\r\nForwarded: for=e;host=f\r\n");
        let keyed: Vec<_> = keyed(&head, &peer("10.0.0.1")).map(|(_, value)| value).collect();
        assert_eq!(keyed, [b"b".as_slice(), b"/d", b"host=f"]);
    }

    #[test]
    fn nothing_that_forwarded_says_of_what_was_asked_for_is_left_out_of_the_key() {
        for (forwarded, expected) in [
            ("for=a;by=b", &[][..]),
            ("for=a, For=b;host=c", &["host=c"]),
            ("for=\"a,b\";host=c", &["b\"", "host=c"]),
            ("for=\"a;b\" ; Proto=https", &["b\"", "Proto=https"]),
            ("host=c;x=y,,;", &["host=c", "x=y"]),
        ] {
            let head = head(&format!("Forwarded: {forwarded}\r\n"));
            let keyed: Vec<_> = keyed(&head, &peer("10.0.0.1")).map(|(_, pair)| pair).collect();
            assert_eq!(keyed, expected.iter().map(|pair| pair.as_bytes()).collect::<Vec<_>>(), "{forwarded}");
        }
    }

    #[test]
    fn underscores_are_dashes_to_some_apps() {
        for name in ["X-Forwarded-Host", "x_forwarded_host", "X_Forwarded-For", "X_REAL_IP", "forwarded"] {
            assert!(is_forwarding(name.as_bytes()), "{name}");
        }
        for name in ["X_Forwardedly", "x_real", "forwarded_"] {
            assert!(!is_forwarding(name.as_bytes()), "{name}");
        }
    }
}
