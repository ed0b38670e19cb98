//! The origin's `Date`, put back into a head that pingora wrote.
//!
//! A Date says when the origin made its answer (RFC 9110 §6.6.1), and who passes the answer on adds one only where there
//! is none. pingora writes the time of sending over it in every final head, after the last of its filters. Over HTTP/1 it
//! is replaced where the head passes on its way to the client; over HTTP/2 the head is compressed by then, and the
//! origin's date is lost.

use memchr::memmem;

/// The head of a final answer at the beginning of these bytes: its length, and the head with these lines in place of
/// its `Date`, each with its CRLF. `None` when they begin with an interim response (RFC 9110 §15.2), or with no whole
/// head.
pub(super) fn put_back(written: &[u8], dates: &[u8]) -> Option<(usize, Vec<u8>)> {
    let status = written.strip_prefix(b"HTTP/1.1 ")?;
    if status.starts_with(b"1") {
        return None;
    }
    let length = memmem::find(written, b"\r\n\r\n")? + 4;
    let mut head = Vec::with_capacity(length + dates.len());
    for line in written[..length].split_inclusive(|byte| *byte == b'\n') {
        let is_date = line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"date:"));
        head.extend_from_slice(if is_date { dates } else { line });
    }
    Some((length, head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LINE: &[u8] = b"Date: Sunday, 06-Nov-94 08:49:37 GMT\r\n";

    #[test]
    fn date_of_a_final_head_is_replaced() {
        for (written, body, expected) in [
            ("HTTP/1.1 200 OK\r\nDate: now\r\n\r\n", "", "HTTP/1.1 200 OK\r\n{}\r\n"),
            ("HTTP/1.1 200 OK\r\nA: 1\r\ndate: now\r\nB: 2\r\n\r\n", "", "HTTP/1.1 200 OK\r\nA: 1\r\n{}B: 2\r\n\r\n"),
            ("HTTP/1.1 404 \r\nDate:\r\n\r\n", "", "HTTP/1.1 404 \r\n{}\r\n"),
            // What only looks like it is left alone.
            (
                "HTTP/1.1 200 Date: x\r\nX: Date: y\r\nX-Date: z\r\n\r\n",
                "",
                "HTTP/1.1 200 Date: x\r\nX: Date: y\r\nX-Date: z\r\n\r\n",
            ),
            // And so is what comes after the head.
            ("HTTP/1.1 200 OK\r\nDate: now\r\n\r\n", "Date: a\r\n\r\nDate: b\r\n\r\n", "HTTP/1.1 200 OK\r\n{}\r\n"),
        ] {
            let expected = expected.replace("{}", std::str::from_utf8(LINE).unwrap());
            let all = format!("{written}{body}");
            assert_eq!(put_back(all.as_bytes(), LINE), Some((written.len(), expected.into_bytes())), "{all}");
        }
    }

    #[test]
    fn anything_else_is_left_alone() {
        for written in [
            "",
            "body",
            "HTTP/1.1 ",
            "HTTP/1.1 200 OK\r\nDate: now\r\n",
            // RFC 9110 §15.2: not the answer yet.
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\nDate: then\r\n\r\n",
            "5\r\nHTTP/1.1 200 OK\r\nDate: now\r\n\r\n",
        ] {
            assert_eq!(put_back(written.as_bytes(), LINE), None, "{written:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = put_back(&bytes, LINE);
            let _ = put_back(&[b"HTTP/1.1 ", &*bytes, b"\r\n\r\n"].concat(), LINE);
        }
    }
}
