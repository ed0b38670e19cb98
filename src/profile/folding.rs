//! Folding paths into endpoint names, so that `/users/1` and `/users/2` are one line in the statistics.

/// Requests of no route: what a scanner asks for is not an endpoint of the app.
pub const UNMATCHED: &str = "_unmatched";
/// What stands for a segment that is free text, or one of many.
pub(super) const SLUG: &str = "{slug}";
/// What stands for everything behind.
pub(super) const REST: &str = "**";

/// At most this many segments and bytes of a path are told apart.
pub(super) const MAX_SEGMENTS: usize = 12;
/// A longer segment is no word of a developer.
const MAX_SEGMENT_BYTES: usize = 40;

/// Whether an answer says that the app has no such endpoint.
pub(super) fn is_unmatched(status: u16) -> bool {
    matches!(status, 404 | 405)
}

/// Writes the endpoint name of a path (without its query) that the app knows behind what is in `name`, as far as it can be
/// told from the path alone.
///
/// Segments that look like ids, UUIDs, hashes, dates or free text become placeholders; nothing that a person typed
/// or a secret link holds is meant to stay.
pub(super) fn fold(path: &[u8], name: &mut String) {
    let Some(rest) = path.strip_prefix(b"/") else {
        // The asterisk form of OPTIONS.
        name.push_str(&String::from_utf8_lossy(path));
        return;
    };
    for (at, segment) in rest.split(|byte| *byte == b'/').enumerate() {
        name.push('/');
        if at == MAX_SEGMENTS {
            name.push_str(REST);
            break;
        }
        name.push_str(folded(segment));
    }
}

/// A segment, or the placeholder that it is folded into.
fn folded(segment: &[u8]) -> &str {
    let (mut all, mut digits) = (DIGIT | HEX | ALPHANUMERIC | PLAIN, 0);
    for byte in segment {
        let kinds = KINDS[usize::from(*byte)];
        all &= kinds;
        digits += usize::from(kinds & DIGIT);
    }
    if segment.is_empty() {
        return "";
    }
    if all & DIGIT != 0 {
        return "{id}";
    }
    // Letters and digits mixed over such a length are a token, not a word.
    let token = (all & ALPHANUMERIC != 0 && digits > 0 && segment.len() >= 16) || (digits >= 4 && segment.len() >= 20);
    match std::str::from_utf8(segment) {
        _ if is_uuid(segment) => "{uuid}",
        _ if is_date(segment) => "{date}",
        _ if all & HEX != 0 && digits > 0 && segment.len() >= 8 => "{hash}",
        _ if all & PLAIN == 0 || segment.len() > MAX_SEGMENT_BYTES || token => SLUG,
        Ok(word) => word,
        Err(_) => SLUG,
    }
}

const DIGIT: u8 = 1;
const HEX: u8 = 2;
const ALPHANUMERIC: u8 = 4;
/// What a word in a path is made of: the unreserved characters of RFC 3986 §2.3.
const PLAIN: u8 = 8;

/// What each byte is.
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        kinds[at] = (byte.is_ascii_digit() as u8 * DIGIT)
            | (byte.is_ascii_hexdigit() as u8 * HEX)
            | (byte.is_ascii_alphanumeric() as u8 * ALPHANUMERIC)
            | ((byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')) as u8 * PLAIN);
        at += 1;
    }
    kinds
};

/// `8-4-4-4-12` hexadecimal digits (RFC 9562 §4).
fn is_uuid(segment: &[u8]) -> bool {
    segment.len() == 36
        && segment.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `2026-02-05`
fn is_date(segment: &[u8]) -> bool {
    segment.len() == 10
        && segment.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(path: &[u8]) -> String {
        let mut name = String::new();
        fold(path, &mut name);
        name
    }

    #[test]
    fn table() {
        for (path, expected) in [
            ("/", "/"),
            ("/users", "/users"),
            ("/users/", "/users/"),
            ("/users/17", "/users/{id}"),
            ("/users/17/posts/4", "/users/{id}/posts/{id}"),
            ("/o/6f1c2b1a-8f0e-4b0e-9b1a-2f3c4d5e6f70", "/o/{uuid}"),
            ("/c/9fceb02d0ae598e95dc970b74767f19372d61af8", "/c/{hash}"),
            ("/day/2026-02-05", "/day/{date}"),
            ("/reset/MTIzNDU2Nzg5MGFiY2RlZmdo", "/reset/{slug}"),
            ("/p/caf%C3%A9", "/p/{slug}"),
            ("/p/jo@example.org", "/p/{slug}"),
            ("/api/v2/products", "/api/v2/products"),
            ("/facade", "/facade"),
            ("/static/app.css", "/static/app.css"),
            ("*", "*"),
            ("/a/b/c/d/e/f/g/h/i/j/k/l/m/n", "/a/b/c/d/e/f/g/h/i/j/k/l/**"),
        ] {
            assert_eq!(template(path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_folded() {
        assert_eq!(template(b"/a/\xff\"\n"), "/a/{slug}");
    }
}
