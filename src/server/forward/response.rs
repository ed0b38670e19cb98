//! The origin's head made fit for the client's connection.

use pingora_http::{ResponseHeader, header_value_from_slice};

use crate::{
    header::Fields,
    header::fields::{is, is_hop_by_hop, is_never_hop_by_hop, trim},
    server::reply::add,
};

/// Removes what belongs to the origin's connection.
pub(super) fn remove_hop_by_hop(response: &mut ResponseHeader) {
    let named: Vec<Vec<u8>> = response
        .headers
        .get_all(http::header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|name| trim(name).to_vec())
        .filter(|name| !is_never_hop_by_hop(name))
        .collect();
    // pingora frames the answer by Transfer-Encoding and needs to see it.
    let hop = |name: &[u8]| {
        (is_hop_by_hop(name) && !is(name, "transfer-encoding"))
            || named.iter().any(|named| named.eq_ignore_ascii_case(name))
    };
    let unwanted: Vec<_> = response.headers.keys().filter(|name| hop(name.as_str().as_bytes())).cloned().collect();
    for name in unwanted {
        response.remove_header(&name);
    }
}

/// Leaves one length of those that are repeated with one value, and no framing at all where there is no content
/// (RFC 9110 §8.6, RFC 9112 §6.1).
pub(super) fn frame_once(response: &mut ResponseHeader) {
    if response.status == http::StatusCode::NO_CONTENT {
        response.remove_header(&http::header::CONTENT_LENGTH);
        response.remove_header(&http::header::TRANSFER_ENCODING);
        return;
    }
    let length = response.headers.get(http::header::CONTENT_LENGTH).map(|length| length.as_bytes().to_vec());
    if let Some(length) = length {
        let first = trim(length.split(|byte| *byte == b',').next().unwrap_or_default());
        // It replaces every line; what was parsed as a number can be a field's value.
        let _ = response.insert_header(http::header::CONTENT_LENGTH, header_value_from_slice(first));
    }
}

/// A head of pingora's, read like any other.
pub(super) struct Sent<'a>(pub(super) &'a ResponseHeader);

impl Fields for Sent<'_> {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
    }
}

/// The origin's `Date` as field lines, each with its CRLF; empty where it sent none.
pub(super) fn dates(response: &ResponseHeader) -> Vec<u8> {
    let mut lines = Vec::new();
    for date in response.headers.get_all(http::header::DATE) {
        add(&mut lines, "Date", date.as_bytes());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, fields: &[(&'static str, &str)]) -> ResponseHeader {
        let mut response = ResponseHeader::build(status, None).unwrap();
        for (name, value) in fields {
            response.append_header(*name, *value).unwrap();
        }
        response
    }

    /// The fields in their order, as `name: value`.
    fn lines(response: &ResponseHeader) -> Vec<String> {
        let line =
            |(name, value): (&http::HeaderName, &http::HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        response.headers.iter().map(line).collect()
    }

    #[test]
    fn fields_of_the_connection_are_removed() {
        for (fields, left) in [
            // RFC 9110 §7.6.1: Connection, what it names, and what never belongs to more than one connection.
            (&[("Connection", "close, X-Named"), ("X-Named", "1"), ("X-Kept", "2")][..], &["x-kept: 2"][..]),
            (&[("Connection", "a"), ("Connection", "B"), ("A", "1"), ("b", "2")], &[]),
            (&[("Keep-Alive", "timeout=5"), ("Proxy-Authenticate", "Basic"), ("Upgrade", "h2c")], &[]),
            // Nothing that the message cannot do without may be named away.
            (&[("Connection", "content-length"), ("Content-Length", "5")], &["content-length: 5"]),
            // It is what pingora frames the answer by.
            (&[("Transfer-Encoding", "chunked")], &["transfer-encoding: chunked"]),
        ] {
            let mut response = response(200, fields);
            remove_hop_by_hop(&mut response);
            assert_eq!(lines(&response), left, "{fields:?}");
        }
    }

    #[test]
    fn an_answer_has_one_length_or_none() {
        for (status, fields, left) in [
            // RFC 9110 §8.6: one value said more than once is that value.
            (200, &[("Content-Length", "5")][..], &["content-length: 5"][..]),
            (200, &[("Content-Length", "5"), ("Content-Length", "5")], &["content-length: 5"]),
            (200, &[("Content-Length", "5, 5")], &["content-length: 5"]),
            (200, &[("Transfer-Encoding", "chunked")], &["transfer-encoding: chunked"]),
            (200, &[], &[]),
            // RFC 9110 §8.6, RFC 9112 §6.1: neither on a 204; a 304 may say what a 200 would have.
            (204, &[("Content-Length", "5")], &[]),
            (204, &[("Transfer-Encoding", "chunked")], &[]),
            (304, &[("Content-Length", "5")], &["content-length: 5"]),
        ] {
            let mut response = response(status, fields);
            frame_once(&mut response);
            assert_eq!(lines(&response), left, "{status} {fields:?}");
        }
    }
    #[test]
    fn date_is_what_the_origin_said() {
        for (fields, lines) in [
            (&[][..], ""),
            (&[("Date", "Sun, 06 Nov 1994 08:49:37 GMT")], "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
            (&[("date", "Sun Nov  6 08:49:37 1994")], "Date: Sun Nov  6 08:49:37 1994\r\n"),
            // Not ours to choose from.
            (&[("Date", "a"), ("Date", "b")], "Date: a\r\nDate: b\r\n"),
        ] {
            assert_eq!(dates(&response(200, fields)), lines.as_bytes(), "{fields:?}");
        }
    }
}
