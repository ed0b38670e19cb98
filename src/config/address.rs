//! Where to listen, where the app is, and which networks are trusted.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix,
};

use ipnet::IpNet;
use rustls::pki_types::ServerName;

use super::problem::Fault;
use crate::server::{Protocol, Upstream};

const PROTOCOLS: [Protocol; 3] = [Protocol::Http, Protocol::Https, Protocol::H2c];

/// Reads an address to listen on. `localhost` is both loopback addresses, no host is every IPv4 address; other names
/// are refused, because what they stand for may change while the program runs. Port 0 lets the system choose.
pub(super) fn listen(text: &str) -> Result<Vec<SocketAddr>, Fault> {
    if let Ok(address) = text.parse() {
        return Ok(vec![address]);
    }
    let (host, port) = text.rsplit_once(':').ok_or(Fault::Address)?;
    let port = port_number(port).ok_or(Fault::Address)?;
    match host {
        "" => Ok(vec![(Ipv4Addr::UNSPECIFIED, port).into()]),
        "localhost" => Ok(vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]),
        _ => Err(Fault::Address),
    }
}

/// Reads one address to listen on; of `localhost`, the IPv4 one.
pub(super) fn listen_on_one(text: &str) -> Result<SocketAddr, Fault> {
    Ok(listen(text)?[0])
}

/// Reads the URL of a collector: `http://host[:port]`, with a path or without.
pub(super) fn collector(text: &str) -> Result<String, Fault> {
    let rest = text.strip_prefix("http://").ok_or(Fault::Collector)?;
    let (authority, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let plain =
        !authority.contains('@') && !tail.contains(['?', '#']) && text.bytes().all(|byte| byte.is_ascii_graphic());
    host_and_port(authority).filter(|_| plain).ok_or(Fault::Collector)?;
    Ok(text.to_owned())
}

/// Reads the app's URL: `http://host[:port]`, with or without a final slash, `https://` and `h2c://` likewise, or
/// `unix:/path`.
pub(super) fn upstream(text: &str) -> Result<Upstream, Fault> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket(path);
    }
    let Some((scheme, rest)) = text.split_once("://") else { return Err(Fault::Upstream) };
    let Some(protocol) = PROTOCOLS.into_iter().find(|known| scheme.eq_ignore_ascii_case(known.scheme())) else {
        // RFC 3986 §3.1: what a scheme is made of. Anything else is no URL at all.
        let named = scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) && !scheme.is_empty();
        return Err(if named { Fault::UpstreamScheme(format!("{scheme}://")) } else { Fault::Upstream });
    };
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(Fault::UpstreamPart("a user or password"));
    }
    let (host, port) = host_and_port(authority).ok_or(Fault::Upstream)?;
    if protocol == Protocol::Https && !is_certifiable(&host) {
        return Err(Fault::UpstreamName);
    }
    match tail.strip_prefix('/').unwrap_or(tail).chars().next() {
        None => Ok(Upstream::Host { protocol, host, port: port.unwrap_or(protocol.default_port()) }),
        Some('?') => Err(Fault::UpstreamPart("a query")),
        Some('#') => Err(Fault::UpstreamPart("a fragment")),
        Some(_) => Err(Fault::UpstreamPart("a path")),
    }
}

/// Reads the path of a Unix socket. `unix:///path` is what the URL of a file looks like, and means the same.
fn socket(path: &str) -> Result<Upstream, Fault> {
    let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
    let absolute = path.starts_with('/') && !path.starts_with("//") && !path.ends_with('/');
    // The system has room for so many bytes only, and a NUL would end the path.
    let possible = unix::net::SocketAddr::from_pathname(path).is_ok() && !path.chars().any(char::is_control);
    if absolute && possible { Ok(Upstream::Unix(path.into())) } else { Err(Fault::UpstreamSocket) }
}

/// Whether a certificate can be for this host. Underscores are not in the names of hosts that certificates are issued
/// for, and pingora would verify another name in their place.
fn is_certifiable(host: &str) -> bool {
    ServerName::try_from(host).is_ok() && !host.contains('_')
}

/// Reads what may be sent as Host: a host with or without a port.
pub(super) fn host(text: &str) -> Result<String, Fault> {
    host_and_port(text).map(|_| text.to_owned()).ok_or(Fault::Host)
}

/// Reads the name of a host, without a port. What stands for several names is none.
pub(super) fn name(text: &str) -> Result<String, Fault> {
    host_name(text).map(str::to_owned).ok_or(Fault::HostName)
}

/// Reads a network, or an address as the network of itself alone. Bits beyond the prefix do not count.
pub(super) fn network(text: &str) -> Result<IpNet, Fault> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map(|network| network.trunc()).map_err(|_| Fault::Network)
}

/// Whether both addresses cannot be listened on at once. Port 0 is a different port each time.
pub(super) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let unspecified = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || unspecified && a.is_ipv4() == b.is_ipv4())
}

/// A host without brackets, and its port if there is one.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host.parse::<Ipv6Addr>().ok()?.to_string(), port)
        }
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (host_name(host)?.to_owned(), port)
        }
    };
    match port.strip_prefix(':') {
        Some(port) => Some((host, Some(port_number(port).filter(|port| *port != 0)?))),
        None => port.is_empty().then_some((host, None)),
    }
}

/// A name of RFC 1123 §2.1, with the underscore that containers' names have; only digits and dots must be an address.
fn host_name(text: &str) -> Option<&str> {
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    let name = text.len() <= 253 && text.split('.').all(label);
    let numeric = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    (name && (!numeric || text.parse::<Ipv4Addr>().is_ok())).then_some(text)
}

/// A port in digits alone: the standard library would also take a sign.
fn port_number(text: &str) -> Option<u16> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is a failure")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn listens(text: &str) -> Result<String, Fault> {
        Ok(listen(text)?.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(" "))
    }

    fn shows(text: &str) -> Result<String, Fault> {
        Ok(upstream(text)?.to_string())
    }

    fn net(text: &str) -> Result<String, Fault> {
        Ok(network(text)?.to_string())
    }

    macro_rules! reads {
        ($($name:ident: $parse:ident($text:expr) = $expected:expr;)*) => {$(
            #[test]
            fn $name() {
                assert_eq!($parse($text), $expected.map(String::from));
            }
        )*};
    }

    fn scheme(scheme: &str) -> Result<&'static str, Fault> {
        Err(Fault::UpstreamScheme(scheme.into()))
    }

    fn part(part: &'static str) -> Result<&'static str, Fault> {
        Err(Fault::UpstreamPart(part))
    }

    reads! {
        ipv4: listens("127.0.0.1:8080") = Ok("127.0.0.1:8080");
        ipv6: listens("[::1]:8080") = Ok("[::1]:8080");
        both_loopbacks: listens("localhost:8080") = Ok("127.0.0.1:8080 [::1]:8080");
        every_ipv4_address: listens(":8080") = Ok("0.0.0.0:8080");
        any_port: listens("127.0.0.1:0") = Ok("127.0.0.1:0");
        no_port: listens("127.0.0.1") = Err::<&str, _>(Fault::Address);
        port_alone: listens("8080") = Err::<&str, _>(Fault::Address);
        ipv6_without_brackets: listens("::1") = Err::<&str, _>(Fault::Address);
        a_name_to_listen_on: listens("example.org:80") = Err::<&str, _>(Fault::Address);
        a_port_with_a_sign: listens(":+80") = Err::<&str, _>(Fault::Address);
        a_port_too_large: listens(":65536") = Err::<&str, _>(Fault::Address);
        no_address: listens("") = Err::<&str, _>(Fault::Address);

        app_by_address: shows("http://127.0.0.1:3000") = Ok("http://127.0.0.1:3000");
        app_by_name: shows("http://my_app.internal:3000") = Ok("http://my_app.internal:3000");
        app_by_ipv6: shows("http://[::1]:3000") = Ok("http://[::1]:3000");
        app_without_port: shows("http://app") = Ok("http://app:80");
        app_with_a_slash: shows("HTTP://app:1/") = Ok("http://app:1");
        https: shows("https://app") = Ok("https://app:443");
        https_by_address: shows("https://[::1]:8443/") = Ok("https://[::1]:8443");
        https_of_no_certificate: shows("https://my_app.internal") = Err::<&str, _>(Fault::UpstreamName);
        https_with_a_hyphen_first: shows("https://-app") = Err::<&str, _>(Fault::UpstreamName);
        h2c: shows("h2c://my_app") = Ok("h2c://my_app:80");
        h2: shows("h2://app") = scheme("h2://");
        unix_path: shows("unix:/run/app.sock") = Ok("unix:/run/app.sock");
        unix_url: shows("unix:///run/app.sock") = Ok("unix:/run/app.sock");
        unix_host: shows("unix://run/app.sock") = Err::<&str, _>(Fault::UpstreamSocket);
        unix_path_from_here: shows("unix:app.sock") = Err::<&str, _>(Fault::UpstreamSocket);
        unix_directory: shows("unix:/run/") = Err::<&str, _>(Fault::UpstreamSocket);
        unix_path_with_a_nul: shows("unix:/run/a\0b") = Err::<&str, _>(Fault::UpstreamSocket);
        no_unix_path: shows("unix:") = Err::<&str, _>(Fault::UpstreamSocket);
        no_scheme: shows("localhost:3000") = Err::<&str, _>(Fault::Upstream);
        empty_scheme: shows("://app") = Err::<&str, _>(Fault::Upstream);
        path: shows("http://app/x") = part("a path");
        query: shows("http://app?x") = part("a query");
        query_after_slash: shows("http://app/?x") = part("a query");
        fragment: shows("http://app#x") = part("a fragment");
        credentials: shows("http://me:secret@app") = part("a user or password");
        no_host: shows("http://:80") = Err::<&str, _>(Fault::Upstream);
        app_port_0: shows("http://app:0") = Err::<&str, _>(Fault::Upstream);
        empty_port: shows("http://app:") = Err::<&str, _>(Fault::Upstream);
        no_real_address: shows("http://127.0.0.256") = Err::<&str, _>(Fault::Upstream);
        space_in_the_host: shows("http://my app") = Err::<&str, _>(Fault::Upstream);
        text_after_the_brackets: shows("http://[::1]80") = Err::<&str, _>(Fault::Upstream);
        open_bracket: shows("http://[::1") = Err::<&str, _>(Fault::Upstream);

        host_with_port: host("app.example:81") = Ok("app.example:81");
        host_alone: host("app.example") = Ok("app.example");
        host_with_a_line_break: host("app\r\nx: y") = Err::<&str, _>(Fault::Host);

        a_name: name("Pacecar.internal") = Ok("Pacecar.internal");
        a_name_with_a_port: name("pacecar.internal:9090") = Err::<&str, _>(Fault::HostName);
        every_name: name("*") = Err::<&str, _>(Fault::HostName);
        every_name_of_a_domain: name("*.internal") = Err::<&str, _>(Fault::HostName);
        no_name: name("") = Err::<&str, _>(Fault::HostName);

        an_address_is_a_network: net("10.1.2.3") = Ok("10.1.2.3/32");
        an_ipv6_network: net("fc00::/7") = Ok("fc00::/7");
        bits_beyond_the_prefix: net("10.1.2.3/8") = Ok("10.0.0.0/8");
        a_prefix_too_long: net("10.0.0.0/33") = Err::<&str, _>(Fault::Network);
        a_name_is_no_network: net("localhost") = Err::<&str, _>(Fault::Network);
    }

    #[test]
    fn a_socket_has_room_for_107_bytes_of_path() {
        let path = |length: usize| format!("unix:/{}", "a".repeat(length - 1));
        assert!(upstream(&path(107)).is_ok());
        assert_eq!(upstream(&path(108)), Err(Fault::UpstreamSocket));
    }

    #[test]
    fn a_port_that_goes_without_saying_is_not_said() {
        let authority = |text: &str| upstream(text).unwrap().authority();
        assert_eq!(authority("http://app"), "app");
        assert_eq!(authority("https://app:443"), "app");
        assert_eq!(authority("https://app:80"), "app:80");
        assert_eq!(authority("h2c://[::1]:50051"), "[::1]:50051");
        assert_eq!(authority("unix:/run/app.sock"), "localhost");
    }

    #[test]
    fn one_of_both_loopback_addresses_is_the_ipv4_one() {
        assert_eq!(listen_on_one("localhost:9090"), Ok(SocketAddr::from(([127, 0, 0, 1], 9090))));
        assert_eq!(listen_on_one(":9090"), Ok(SocketAddr::from(([0, 0, 0, 0], 9090))));
        assert_eq!(listen_on_one("9090"), Err(Fault::Address));
    }

    #[test]
    fn one_port_of_one_address_overlaps() {
        let overlaps = |a: &str, b: &str| overlap(a.parse().unwrap(), b.parse().unwrap());
        assert!(overlaps("127.0.0.1:80", "127.0.0.1:80"));
        assert!(overlaps("0.0.0.0:80", "127.0.0.1:80"));
        assert!(overlaps("[::1]:80", "[::]:80"));
        assert!(!overlaps("127.0.0.1:80", "127.0.0.1:81"));
        assert!(!overlaps("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!overlaps("0.0.0.0:80", "[::1]:80"));
        assert!(!overlaps("127.0.0.1:0", "127.0.0.1:0"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*", rest in ".*") {
            let _ = (listen(&text), upstream(&text), upstream(&format!("http://{rest}")), host(&text), name(&text), network(&text));
        }
    }
}
