//! Reading header fields as they stand on the wire, and what proxies must know about them by name.

/// A message's header fields, in the order of the wire.
pub trait Fields {
    /// Every field line: name in the sender's case, value without surrounding white space.
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])>;

    /// The values of every line with this name, in order.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields().filter(move |(field, _)| is(field, name)).map(|(_, value)| value)
    }

    /// The value of the first line with this name.
    fn get<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// Whether a line with this name is there.
    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The members of a list field over all its lines (RFC 9110 §5.6.1): trimmed, the empty ones left out.
    ///
    /// Splits at every comma, so it is for lists of tokens, not for lists with quoted strings.
    fn members<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.all(name).flat_map(|value| value.split(|byte| *byte == b',')).map(trim).filter(|member| !member.is_empty())
    }
}

/// The order between different names is lost there; nothing here depends on it.
impl Fields for http::HeaderMap {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
    }
}

/// Whether a field name is this one; names are case-insensitive (RFC 9110 §5.1).
pub fn is(field: &[u8], name: &str) -> bool {
    field.len() == name.len() && field.eq_ignore_ascii_case(name.as_bytes())
}

/// Without optional white space at both ends (RFC 9110 §5.6.3).
pub fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// Fields that belong to one connection and are never passed on (RFC 9110 §7.6.1, and what was in use before it).
///
/// `TE` and `Trailer` are here since what they announce does not survive HTTP/1.1 re-framing.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields that a message cannot do without, so that naming one in `Connection` is an attack on the next hop.
const NEVER_HOP_BY_HOP: [&str; 12] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "cache-control",
    "authorization",
    "cookie",
    "set-cookie",
    "forwarded",
    "via",
    "vary",
];

/// Whether a field belongs to one connection by its name alone.
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    HOP_BY_HOP.iter().any(|hop| is(name, hop))
}

/// Whether a field may not be named in `Connection`.
pub fn is_never_hop_by_hop(name: &[u8]) -> bool {
    NEVER_HOP_BY_HOP.iter().any(|field| is(name, field)) || starts_with(name, "x-forwarded-")
}

/// Whether a name begins with this prefix, in any case.
pub fn starts_with(name: &[u8], prefix: &str) -> bool {
    name.len() >= prefix.len() && name[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes())
}

/// The fields of a message that go on to the next hop: all but those of the connection and those that
/// `Connection` names (RFC 9110 §7.6.1).
pub fn end_to_end<M: Fields>(message: &M) -> impl Iterator<Item = (&[u8], &[u8])> {
    let named: Vec<&[u8]> = message.members("connection").filter(|name| !is_never_hop_by_hop(name)).collect();
    message
        .fields()
        .filter(move |(name, _)| !is_hop_by_hop(name) && !named.iter().any(|option| name.eq_ignore_ascii_case(option)))
}

/// Whether every byte is a token character, and there is one (RFC 9110 §5.6.2).
pub fn is_token(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lines(&'static [(&'static str, &'static str)]);

    impl Fields for Lines {
        fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
            self.0.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        }
    }

    fn names(lines: &Lines) -> Vec<&str> {
        end_to_end(lines).map(|(name, _)| std::str::from_utf8(name).unwrap()).collect()
    }

    #[test]
    fn trim_takes_spaces_and_tabs_only() {
        assert_eq!(trim(b" \t a b\t "), b"a b");
        assert_eq!(trim(b" \t "), b"");
        assert_eq!(trim(b"\x0ba"), b"\x0ba");
    }

    #[test]
    fn members_join_lines_and_skip_empty_ones() {
        let lines = Lines(&[("A", "x, ,y"), ("b", "n"), ("a", "z,")]);
        assert_eq!(lines.members("a").collect::<Vec<_>>(), [b"x", b"y", b"z"]);
    }

    #[test]
    fn connection_names_are_removed_with_the_fixed_ones() {
        let lines = Lines(&[
            ("Connection", "close, X-Secret"),
            ("x-secret", "1"),
            ("Keep-Alive", "timeout=5"),
            ("TE", "trailers"),
            ("X-Kept", "2"),
        ]);
        assert_eq!(names(&lines), ["X-Kept"]);
    }

    #[test]
    fn connection_cannot_remove_what_a_message_needs() {
        let lines = Lines(&[
            ("connection", "Cache-Control, x-forwarded-for"),
            ("cache-control", "private"),
            ("X-Forwarded-For", "a"),
        ]);
        assert_eq!(names(&lines), ["cache-control", "X-Forwarded-For"]);
    }
}
