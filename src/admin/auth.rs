//! Who has the token of the admin port.

use std::fmt;

use axum::http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use subtle::ConstantTimeEq;

use super::{limit::Limit, problem::Problem};

/// Wrong tokens that one client may try.
pub(super) const ATTEMPTS: Limit = Limit { policy: "auth", per_minute: 10 };

/// What is asked for (RFC 7617 §2, RFC 6750 §3).
const BASIC: &str = "Basic realm=\"Pacecar\", charset=\"UTF-8\"";
const BEARER: &str = "Bearer";

/// What scripts of a page send: browsers do not, and other programs have no reason to.
const X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// What lets a client in. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<[u8]>);

impl Token {
    /// Shorter ones can be guessed; longer ones do not fit into the head of a request beside everything else.
    pub const LENGTHS: std::ops::RangeInclusive<usize> = 16..=1024;

    /// Reads the content of a file: one line of visible ASCII characters, white space around it aside.
    pub fn parse(content: &[u8]) -> Option<Self> {
        let token = content.trim_ascii();
        let right = Self::LENGTHS.contains(&token.len()) && token.iter().all(u8::is_ascii_graphic);
        right.then(|| Self(token.into()))
    }

    /// Whether they are equal, in a time that tells nothing but the length.
    fn is(&self, given: &[u8]) -> bool {
        self.0.ct_eq(given).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// How a client has shown that it has the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Not at all: none is needed.
    None,
    Bearer,
    Basic,
}

impl Proof {
    /// As the log has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Bearer => "bearer",
            Self::Basic => "basic",
        }
    }
}

/// Why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Occurs when it shows nothing, as a browser does before it has asked its user.
    Missing,
    /// Occurs when it shows something else than the token.
    Wrong,
}

impl Failure {
    /// The answer with its challenges (RFC 9110 §15.5.2), the one that browsers know first. It does not repeat what was
    /// given.
    pub(super) fn refusal(self, uri: &Uri, request: &HeaderMap) -> Problem {
        let detail = match self {
            Self::Missing => "Authorization is missing: expected the token, as Bearer or as the password of Basic",
            Self::Wrong => "Authorization: expected the token, as Bearer or as the password of Basic",
        };
        let problem = Problem::new(StatusCode::UNAUTHORIZED, uri, detail);
        // The dashboard has a form of its own, and a browser that is asked for Basic would put its window before it.
        let basic = (!request.contains_key(X_REQUESTED_WITH)).then_some(BASIC);
        basic
            .into_iter()
            .chain([BEARER])
            .fold(problem, |problem, challenge| problem.field(WWW_AUTHENTICATE, HeaderValue::from_static(challenge)))
    }
}

/// Looks for the token: with Bearer (RFC 6750 §2.1), or with Basic as the password of whomever (RFC 7617).
pub(super) fn prove(token: &Token, headers: &HeaderMap) -> Result<Proof, Failure> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let Some(credentials) = given.next() else { return Err(Failure::Missing) };
    // RFC 9110 §11.6.2: the field has one set of credentials. Of two, nobody could say which were meant.
    if given.next().is_some() {
        return Err(Failure::Wrong);
    }
    let credentials = credentials.as_bytes();
    let (scheme, rest) = credentials.split_at(credentials.iter().position(|b| *b == b' ').unwrap_or(credentials.len()));
    let rest = rest.trim_ascii();
    // RFC 9110 §11.1: schemes are compared without case.
    if scheme.eq_ignore_ascii_case(b"Bearer") {
        return if token.is(rest) { Ok(Proof::Bearer) } else { Err(Failure::Wrong) };
    }
    let password = if scheme.eq_ignore_ascii_case(b"Basic") { password(rest) } else { None };
    if password.is_some_and(|password| token.is(&password)) { Ok(Proof::Basic) } else { Err(Failure::Wrong) }
}

/// RFC 7617 §2: a user has no colon, and a password may.
fn password(encoded: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = BASE64_STANDARD.decode(encoded).ok()?;
    let colon = decoded.iter().position(|b| *b == b':')?;
    Some(decoded.split_off(colon + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "0123456789:abcdef";

    fn token() -> Token {
        Token::parse(TOKEN.as_bytes()).unwrap()
    }

    fn prove_with(fields: &[&[u8]]) -> Result<Proof, Failure> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(field).unwrap());
        }
        prove(&token(), &headers)
    }

    #[test]
    fn a_token_is_one_line_of_visible_ascii() {
        assert_eq!(Token::parse(b"  0123456789abcdef\r\n"), Some(Token(b"0123456789abcdef".as_slice().into())));
        assert!(Token::parse(&[b'a'; 1024]).is_some());
        for content in [
            &b""[..],
            b"0123456789abcde",
            b"0123456789 abcdef",
            b"0123456789abcdef\n0123456789abcdef\n",
            b"0123456789abcdef\0",
            "0123456789abcdé".as_bytes(),
            b"0123456789abcde\xff",
            &[b'a'; 1025],
        ] {
            assert_eq!(Token::parse(content), None, "{content:?}");
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        assert_eq!(format!("{:?}", token()), "Token(…)");
    }

    #[test]
    fn both_schemes_show_the_token() {
        let basic =
            |user: &str, password: &str| format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        for (field, expected) in [
            (format!("Bearer {TOKEN}"), Ok(Proof::Bearer)),
            (format!("bEARER   {TOKEN} "), Ok(Proof::Bearer)),
            (basic("", TOKEN), Ok(Proof::Basic)),
            (basic("admin", TOKEN), Ok(Proof::Basic)),
            (basic("é", TOKEN).replace("Basic", "basic"), Ok(Proof::Basic)),
            (format!("Bearer {TOKEN}x"), Err(Failure::Wrong)),
            (format!("Bearer {}", &TOKEN[1..]), Err(Failure::Wrong)),
            (format!("Bearer{TOKEN}"), Err(Failure::Wrong)),
            (TOKEN.into(), Err(Failure::Wrong)),
            (format!("Digest {TOKEN}"), Err(Failure::Wrong)),
            (basic(TOKEN, ""), Err(Failure::Wrong)),
            (basic("admin", "guess"), Err(Failure::Wrong)),
            (format!("Basic {}", BASE64_STANDARD.encode(TOKEN.replace(':', ""))), Err(Failure::Wrong)),
            (format!("Basic {TOKEN}"), Err(Failure::Wrong)),
            ("Basic".into(), Err(Failure::Wrong)),
            ("Basic ====".into(), Err(Failure::Wrong)),
            ("Bearer".into(), Err(Failure::Wrong)),
            (String::new(), Err(Failure::Wrong)),
            (format!("Bearer {}", "x".repeat(1 << 20)), Err(Failure::Wrong)),
        ] {
            assert_eq!(prove_with(&[field.as_bytes()]), expected, "{field:.100}");
        }
        assert_eq!(prove_with(&[]), Err(Failure::Missing));
        let right = format!("Bearer {TOKEN}");
        assert_eq!(prove_with(&[right.as_bytes(), b"Bearer other"]), Err(Failure::Wrong));
        assert_eq!(prove_with(&[b"Bearer \xff\xfe"]), Err(Failure::Wrong));
    }

    proptest! {
        #[test]
        fn no_credentials_panic_or_get_in(bytes in prop::collection::vec(any::<u8>(), 0..200), scheme in 0..3_usize) {
            let field = [["", "Basic ", "Bearer "][scheme].as_bytes(), &bytes].concat();
            if let Ok(value) = HeaderValue::from_bytes(&field) {
                let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
                prop_assert_eq!(prove(&token(), &headers), Err(Failure::Wrong));
            }
        }
    }
}
