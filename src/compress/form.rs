//! In which form a client gets a body: coded here, as the app made it and why, or with the app's coding taken off.

use crate::header::{CacheControl, Fields, RequestHead, ResponseHead, accept_encoding::Accepted, coding::Coding};

use super::{
    Settings, Skip,
    eligible::{coding_for, coding_of},
};

/// In which form a body goes to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is, and why.
    AsIs(Skip),
    /// In this coding.
    Coded(Coding),
    /// Without this coding, which is the app's and which the client cannot take.
    Decoded(Coding),
}

impl Form {
    /// For a response of this head that is [`codable`](super::eligible::codable), or is not for a reason. `accepted` are
    /// the codings that the client takes; `None` where they are none of our business, since nothing is coded.
    pub fn of(
        request: &RequestHead,
        accepted: Option<&Accepted>,
        head: &ResponseHead,
        codable: Result<(), Skip>,
        settings: &Settings,
    ) -> Self {
        let Some(accepted) = accepted else { return Self::AsIs(codable.err().unwrap_or(Skip::Off)) };
        match codable {
            Ok(()) => match coding_for(request, accepted, settings) {
                Ok(coding) => Self::Coded(coding),
                Err(why) => Self::AsIs(why),
            },
            Err(Skip::Coded) => match coding_of(head) {
                Some(coding) if accepted.is_stated() && !accepted.takes(coding) && is_decodable(head) => {
                    Self::Decoded(coding)
                }
                _ => Self::AsIs(Skip::Coded),
            },
            Err(why) => Self::AsIs(why),
        }
    }
}

/// Whether a coding may be taken off: the body is there and whole, and nobody forbids it (RFC 9110 §7.7).
fn is_decodable(head: &ResponseHead) -> bool {
    !matches!(head.status(), 100..200 | 204 | 206 | 304)
        && !head.has("content-range")
        && !CacheControl::of(head).no_transform
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form for a client that sends these field lines, of an app's 200 with these.
    fn form(asked: &str, said: &str, codable: Result<(), Skip>) -> Form {
        form_of(asked, &ResponseHead::for_tests(200, said), codable)
    }

    fn form_of(asked: &str, head: &ResponseHead, codable: Result<(), Skip>) -> Form {
        let mut request = RequestHead::for_tests(&format!("GET / HTTP/1.1\r\nHost: a\r\n{asked}\r\n"));
        let accepted = Accepted::take(&mut request);
        Form::of(&request, Some(&accepted), head, codable, &Settings::default())
    }

    #[test]
    fn what_may_be_coded_goes_as_the_client_takes_it() {
        for (asked, expected) in [
            ("Accept-Encoding: gzip, br\r\n", Form::Coded(Coding::Br)),
            ("Accept-Encoding: gzip, br;q=0.5\r\n", Form::Coded(Coding::Gzip)),
            ("Accept-Encoding: br\r\nRange: bytes=0-1\r\n", Form::AsIs(Skip::Range)),
            ("Accept-Encoding: compress\r\n", Form::AsIs(Skip::NotAccepted)),
            ("Accept-Encoding: identity;q=0\r\n", Form::AsIs(Skip::Unacceptable)),
            ("", Form::AsIs(Skip::NotAccepted)),
        ] {
            assert_eq!(form(asked, "", Ok(())), expected, "{asked}");
        }
        assert_eq!(form("Accept-Encoding: br\r\n", "", Err(Skip::TooSmall)), Form::AsIs(Skip::TooSmall));
    }

    #[test]
    fn the_apps_coding_is_taken_off_for_who_says_not_to_take_it() {
        let coded = |asked, said| form(asked, said, Err(Skip::Coded));
        let gzip = "Content-Encoding: gzip\r\n";
        assert_eq!(coded("Accept-Encoding: br\r\n", gzip), Form::Decoded(Coding::Gzip));
        assert_eq!(coded("Accept-Encoding: identity\r\n", gzip), Form::Decoded(Coding::Gzip));
        for (asked, said) in [
            ("Accept-Encoding: gzip\r\n", gzip),
            // RFC 9110 §12.5.3: without the field any coding is acceptable.
            ("", gzip),
            ("Accept-Encoding: br\r\n", "Content-Encoding: compress\r\n"),
            ("Accept-Encoding: br\r\n", "Content-Encoding: gzip, gzip\r\n"),
            // RFC 9110 §7.7.
            ("Accept-Encoding: br\r\n", "Content-Encoding: gzip\r\nCache-Control: no-transform\r\n"),
            ("Accept-Encoding: br\r\n", "Content-Encoding: gzip\r\nContent-Range: bytes 0-1/9\r\n"),
        ] {
            assert_eq!(coded(asked, said), Form::AsIs(Skip::Coded), "{asked}{said}");
        }
        for status in [204, 206, 304] {
            let head = ResponseHead::for_tests(status, gzip);
            let form = form_of("Accept-Encoding: br\r\n", &head, Err(Skip::Coded));
            assert_eq!(form, Form::AsIs(Skip::Coded), "{status}");
        }
    }

    #[test]
    fn where_nothing_is_coded_nobody_is_asked() {
        let request = RequestHead::for_tests("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: br\r\n\r\n");
        let head = ResponseHead::for_tests(200, "");
        let form = |codable| Form::of(&request, None, &head, codable, &Settings::default());
        assert_eq!(form(Err(Skip::Route)), Form::AsIs(Skip::Route));
        // It was stored when bodies were coded.
        assert_eq!(form(Ok(())), Form::AsIs(Skip::Off));
    }
}
