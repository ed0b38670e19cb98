//! A validator for responses that have none, so that `no-cache` costs a client a question and not the whole body.

use http::Method;
use twox_hash::XxHash3_128;

use super::{Asked, Mode, Settings};
use crate::header::{CacheControl, Fields, ResponseHead};

/// A weak entity tag of a body: `W/"…"` around 128 bits of XXH3 as hexadecimal digits, the same in every process and
/// every version.
///
/// Weak, because the same tag goes with every coding of the body (RFC 9110 §8.8.1). The hash has no key and is not
/// cryptographic: whoever may write two bodies for one URL could give them the same tag, and would fool their own
/// readers.
pub fn etag(body: &[u8]) -> Vec<u8> {
    format!("W/\"{:032x}\"", XxHash3_128::oneshot(body)).into_bytes()
}

/// Whether a response may be given a tag: a whole 200 to GET or HEAD that may be kept and has no validator of its own
/// (RFC 9110 §8.8).
///
/// A Last-Modified is one as well. Beside it a tag of ours would be in the way: a client that has both sends both, and
/// an origin that does not know the tag must not look at the date then (RFC 9110 §13.1.3).
pub fn wants_etag(asked: &Asked<'_>, response: &ResponseHead, settings: &Settings) -> bool {
    settings.mode != Mode::Never
        && matches!(*asked.method, Method::GET | Method::HEAD)
        && response.status() == 200
        && !response.has("etag")
        && !response.has("last-modified")
        && !CacheControl::of(response).no_store
        && !super::decision::is_event_stream(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_the_hash_of_the_body() {
        // The values of the reference implementation: for nothing, and for "a" (XXH3_128bits, seed 0).
        assert_eq!(etag(b""), b"W/\"99aa06d3014798d86001c324468d497f\"");
        assert_eq!(etag(b"a"), b"W/\"a96faf705af16834e6c632b61e964e1f\"");
        assert_eq!(etag(&[0; 1 << 20]), etag(&[0; 1 << 20]));
        assert_ne!(etag(&[0; 1 << 20]), etag(&[0; (1 << 20) + 1]));
    }

    /// Method, mode, status and fields => whether a tag is wanted.
    macro_rules! wants {
        ($($name:ident: $method:ident $mode:ident $status:literal $fields:literal => $expected:literal;)+) => {$(
            #[test]
            fn $name() {
                let asked = Asked { method: &Method::$method, path: b"/", personal: false };
                let settings = Settings { mode: Mode::$mode, ..Settings::default() };
                assert_eq!(wants_etag(&asked, &ResponseHead::for_tests($status, $fields), &settings), $expected);
            }
        )+};
    }

    wants! {
        a_page: GET Missing 200 "Content-Type: text/html" => true;
        the_head_of_a_page: HEAD Missing 200 "" => true;
        in_mode_override: GET Override 200 "" => true;
        in_mode_never: GET Never 200 "" => false;
        a_post: POST Missing 200 "" => false;
        an_error: GET Missing 404 "" => false;
        a_part: GET Missing 206 "" => false;
        not_modified: GET Missing 304 "" => false;
        with_a_tag: GET Missing 200 "ETag: \"a\"" => false;
        with_an_empty_tag: GET Missing 200 "etag:" => false;
        with_a_date: GET Missing 200 "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT" => false;
        not_to_be_kept: GET Missing 200 "Cache-Control: private, no-store" => false;
        to_be_confirmed: GET Missing 200 "Cache-Control: no-cache" => true;
        for_one_person: GET Missing 200 "Cache-Control: private\r\nSet-Cookie: a=b" => true;
        events: GET Missing 200 "Content-Type: text/event-stream; charset=utf-8" => false;
    }
}
