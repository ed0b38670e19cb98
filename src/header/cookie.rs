//! Which cookies of a request count (RFC 6265 §4.2).

use super::{Fields, fields::trim};

/// Whether the request carries a cookie that makes it personal: any but those whose names are ignored.
///
/// A pattern in `ignored` is a name, or the beginning of names with a final `*`. What cannot be read as
/// `name=value` counts: it might mean something to the app.
pub fn counts<M: Fields>(request: &M, ignored: &[String]) -> bool {
    counting(request, ignored).next().is_some()
}

/// The cookies of a request that count, by name and value. The name of what has none is empty.
pub fn counting<'a, M: Fields>(request: &'a M, ignored: &'a [String]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    request
        .all("cookie")
        .flat_map(|line| line.split(|byte| *byte == b';'))
        .map(trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.iter().position(|byte| *byte == b'=') {
            Some(end) => (trim(&pair[..end]), trim(&pair[end + 1..])),
            None => (&b""[..], pair),
        })
        .filter(|(name, _)| !is_ignored(name, ignored))
}

fn is_ignored(name: &[u8], ignored: &[String]) -> bool {
    ignored.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => !name.is_empty() && name.starts_with(prefix.as_bytes()),
        None => name == pattern.as_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::RequestHead;

    fn counted(cookies: &str) -> bool {
        let ignored = ["_ga*".to_string(), "_gid".to_string()];
        counts(&RequestHead::for_tests(&format!("GET / HTTP/1.1\r\nHost: a\r\n{cookies}\r\n")), &ignored)
    }

    #[test]
    fn no_cookie_counts_for_nothing() {
        assert!(!counted(""));
        assert!(!counted("Cookie: \r\n"));
    }

    #[test]
    fn ignored_names_do_not_count() {
        assert!(!counted("Cookie: _ga=1; _ga_ABC=2;_gid=3\r\n"));
    }

    #[test]
    fn one_other_name_counts_in_any_line() {
        assert!(counted("Cookie: _ga=1; sessionid=2\r\n"));
        assert!(counted("Cookie: _ga=1\r\nCookie: sessionid=2\r\n"));
    }

    #[test]
    fn names_are_case_sensitive_and_whole() {
        assert!(counted("Cookie: _GA=1\r\n"));
        assert!(counted("Cookie: _gid2=1\r\n"));
    }

    #[test]
    fn what_is_no_pair_counts() {
        assert!(counted("Cookie: sessionid\r\n"));
    }
}
