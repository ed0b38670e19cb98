//! Which pages jobs may ask for: those of this proxy's own hosts.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use crate::header::{authority::is_authority, reference::same_origin_target};

/// Bytes of a URL. The protocol of sitemaps allows no more.
const MOST_BYTES: usize = 2048;

/// A page, as a client names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Page {
    pub(super) https: bool,
    /// In lower case, with its port if one was given.
    pub(super) host: Box<str>,
    /// Path and query.
    pub(super) target: Box<str>,
}

/// Which hosts are this proxy's own.
#[derive(Clone, Debug)]
pub(super) struct Own {
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    /// Whose page a path alone is.
    https: bool,
    host: Box<str>,
}

impl Own {
    /// `names` are what the operator allows; `listening` is where the front door listens, and whether it speaks TLS there.
    pub(super) fn new(names: &[String], listening: &[(bool, SocketAddr)]) -> Self {
        let (https, port) = listening.first().map_or((false, 80), |(https, address)| (*https, address.port()));
        let host = names.first().map_or_else(|| format!("localhost:{port}"), |name| name.to_ascii_lowercase());
        Self {
            names: names.to_vec(),
            addresses: listening.iter().map(|(_, address)| address.ip().to_canonical()).collect(),
            https,
            host: host.into(),
        }
    }

    /// Reads `https://host/path?query`, or a path of the first host. A fragment is left out, and what is not ASCII is
    /// percent-encoded (RFC 3987 §3.1).
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn page(&self, text: &str) -> Result<Page, &'static str> {
        if text.len() > MOST_BYTES {
            return Err("expected at most 2048 bytes");
        }
        let text = text.split('#').next().unwrap_or_default();
        if text.starts_with('/') && !text.starts_with("//") {
            return Ok(Page { https: self.https, host: self.host.clone(), target: target(text)? });
        }
        let (https, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            _ => return Err("expected http://, https://, or a path that begins with /"),
        };
        let (host, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if !is_authority(host.as_bytes()) {
            return Err("expected a host after the scheme");
        }
        let target = if rest.starts_with('/') { target(rest) } else { target(&format!("/{rest}")) }?;
        Ok(Page { https, host: host.to_ascii_lowercase().into(), target })
    }

    /// Whether a page is of a host of its own. Ports are not compared: whatever they are, the app is the same.
    pub(super) fn has(&self, page: &Page) -> bool {
        let host = page.name();
        match host.parse::<IpAddr>() {
            Ok(address) => {
                let address = address.to_canonical();
                let is_it = |own: &IpAddr| *own == address || own.is_unspecified() && address.is_loopback();
                self.addresses.iter().any(is_it)
            }
            Err(_) => host == "localhost" || self.names.iter().any(|name| name.eq_ignore_ascii_case(host)),
        }
    }

    /// Reads the URL of a page of its own.
    ///
    /// # Errors
    /// What was given, what was expected, and how another host is allowed.
    pub(super) fn own_page(&self, key: &str, text: &str) -> Result<Page, String> {
        let page = self.page(text).map_err(|why| format!("{key}: {:?}: {why}", clipped(text)))?;
        if self.has(&page) {
            return Ok(page);
        }
        let host = page.name();
        Err(format!(
            "{key}: {:?}: {host:?} is none of this proxy's own hosts: name it in tasks.hosts, as in hosts = [{host:?}]",
            clipped(text)
        ))
    }
}

impl Page {
    /// Its host without the port and without the brackets of an address.
    pub(super) fn name(&self) -> &str {
        match self.host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => self.host.split(':').next().unwrap_or_default(),
        }
    }

    /// Where a Location of its answer leads to (RFC 9110 §10.2.2), if that is a page.
    pub(super) fn followed(&self, location: &[u8], own: &Own) -> Option<Self> {
        if let Ok(page) = own.page(std::str::from_utf8(location).ok()?)
            && !location.starts_with(b"/")
        {
            return Some(page);
        }
        let target = same_origin_target(location, self.https, self.host.as_bytes(), self.target.as_bytes())?;
        let target = self::target(std::str::from_utf8(&target).ok()?).ok()?;
        Some(Self { target, ..self.clone() })
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.host, self.target)
    }
}

fn target(text: &str) -> Result<Box<str>, &'static str> {
    let mut target = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' => target.push(char::from(byte)),
            0x80.. => target.push_str(&format!("%{byte:02X}")),
            _ => return Err("expected percent-encoding for spaces and control characters"),
        }
    }
    Ok(target.into())
}

/// What is shown of something that was given.
pub(super) fn clipped(text: &str) -> &str {
    text.char_indices().nth(100).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn own(names: &[&str], listening: &[&str]) -> Own {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let listening: Vec<_> = listening.iter().map(|address| (false, address.parse().unwrap())).collect();
        Own::new(&names, &listening)
    }

    #[test]
    fn urls_and_paths() {
        let own = own(&["Shop.example", "b"], &["0.0.0.0:8080"]);
        for (text, expected) in [
            ("/a?b#c", Ok("http://shop.example/a?b")),
            ("HTTPS://Shop.Example:8443/A", Ok("https://shop.example:8443/A")),
            ("http://a", Ok("http://a/")),
            ("http://a?x=http://b/", Ok("http://a/?x=http://b/")),
            ("http://[::1]:8080/", Ok("http://[::1]:8080/")),
            ("/caf\u{e9}", Ok("http://shop.example/caf%C3%A9")),
            ("//a/b", Err("expected http://, https://, or a path that begins with /")),
            ("ftp://a/", Err("expected http://, https://, or a path that begins with /")),
            ("", Err("expected http://, https://, or a path that begins with /")),
            ("http://", Err("expected a host after the scheme")),
            ("http://user@a/", Err("expected a host after the scheme")),
            ("http://a b/", Err("expected a host after the scheme")),
            ("/a b", Err("expected percent-encoding for spaces and control characters")),
            ("/a\r\nX: y", Err("expected percent-encoding for spaces and control characters")),
        ] {
            let page = own.page(text).map(|page| page.to_string());
            assert_eq!(page.as_deref(), expected.as_deref(), "{text}");
        }
        assert_eq!(own.page(&format!("/{}", "a".repeat(2048))), Err("expected at most 2048 bytes"));
    }

    #[test]
    fn own_hosts() {
        for (names, listening, url, expected) in [
            (&["a"][..], &["127.0.0.1:8080"][..], "http://a/", true),
            (&["a"], &[], "https://A:1/", true),
            (&["a"], &[], "http://b/", false),
            (&["a"], &[], "http://a.b/", false),
            (&["a"], &[], "http://x.a/", false),
            (&[], &[], "http://localhost:3/", true),
            (&[], &["127.0.0.1:8080"], "http://127.0.0.1/", true),
            (&[], &["127.0.0.1:8080"], "http://127.0.0.2/", false),
            (&[], &["0.0.0.0:8080"], "http://127.0.0.2/", true),
            (&[], &["0.0.0.0:8080"], "http://[::1]/", true),
            (&[], &["[::]:8080"], "http://127.0.0.1/", true),
            (&[], &["[::]:8080"], "http://192.0.2.1/", false),
            (&[], &["192.0.2.1:80"], "http://192.0.2.1:9/", true),
            (&[], &["192.0.2.1:80"], "http://[::ffff:192.0.2.1]/", true),
            (&[], &["192.0.2.1:80"], "http://127.0.0.1/", false),
        ] {
            let own = own(names, listening);
            assert_eq!(own.has(&own.page(url).unwrap()), expected, "{names:?} {listening:?} {url}");
        }
        let why = own(&[], &[]).own_page("urls", "http://evil.example/x").unwrap_err();
        assert_eq!(
            why,
            "urls: \"http://evil.example/x\": \"evil.example\" is none of this proxy's own hosts: name it in tasks.hosts, \
             as in hosts = [\"evil.example\"]"
        );
    }

    #[test]
    fn a_path_is_of_the_first_host() {
        assert_eq!(own(&[], &["127.0.0.1:8080"]).page("/").unwrap().to_string(), "http://localhost:8080/");
        let tls = Own::new(&[], &[(true, "127.0.0.1:8443".parse().unwrap())]);
        assert_eq!(tls.page("/").unwrap().to_string(), "https://localhost:8443/");
    }

    #[test]
    fn redirects() {
        let own = own(&[], &["127.0.0.1:80"]);
        let page = own.page("http://a/x/y?z").unwrap();
        for (location, expected) in [
            ("/b", Some("http://a/b")),
            ("c", Some("http://a/x/c")),
            ("?d", Some("http://a/x/y?d")),
            ("http://b/e", Some("http://b/e")),
            ("//a/f", Some("http://a/f")),
            ("mailto:a@b", None),
            ("\u{7f}", None),
        ] {
            let followed = page.followed(location.as_bytes(), &own).map(|page| page.to_string());
            assert_eq!(followed.as_deref(), expected, "{location}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_safe_to_send_and_reads_the_same_again(text in "(https?://|/)?[a-z:/?#\\[\\]@é \\x00-\\x20.]{0,40}") {
            let own = own(&[], &[]);
            if let Ok(page) = own.page(&text) {
                let again = own.page(&page.to_string());
                prop_assert!(page.target.starts_with('/') && page.target.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert_eq!(again, Ok(page));
            }
        }
    }
}
