//! The authority that a request names: in Host, in an absolute target, in `:authority`.

/// `host[:port]` with a registered name or an address (RFC 9110 §7.2), `_` allowed since container networks use it.
/// Other bytes that a URI would allow in a name mean nothing to DNS and much to template engines.
pub fn is_authority(authority: &[u8]) -> bool {
    let (host, port) = match authority {
        [b'[', rest @ ..] => match rest.iter().position(|byte| *byte == b']') {
            Some(end) => (is_ipv6(&rest[..end]), &rest[end + 1..]),
            None => return false,
        },
        _ => {
            let end = authority.iter().position(|byte| *byte == b':').unwrap_or(authority.len());
            (is_name(&authority[..end]), &authority[end..])
        }
    };
    host && match port {
        [] => true,
        [b':', digits @ ..] => {
            digits.len() <= 5
                && digits.iter().all(u8::is_ascii_digit)
                && digits.iter().fold(0u32, |sum, digit| sum * 10 + u32::from(digit - b'0')) <= 65535
        }
        _ => false,
    }
}

fn is_ipv6(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for good in ["a", "my_app", "a.b-c:80", "a:", "127.0.0.1:1", "[::1]", "[::1]:8080", "a%20b"] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in ["", ":80", "[::1]x", "[]", "[:::1]", "a:1:2", "a:123456", "a\\b", "a?b", "a;b"] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }
}
