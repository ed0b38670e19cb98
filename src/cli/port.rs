//! The admin port of a running Pacecar, asked by a command that ends.

use std::{
    fs,
    io::{self, Read},
    path::Path,
    time::Duration,
};

use http::{
    Method, Request, Response, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde::{Deserialize, de::DeserializeOwned};
use ureq::{Agent, AsSendBody, Body};

use crate::admin::Token;

/// Longer than it takes to look at everything.
const PATIENCE: Duration = Duration::from_secs(10);
/// A hundred findings take a tenth of this.
const LONGEST_ANSWER: u64 = 4 << 20;
/// A token is never longer, whatever stands around it.
const LONGEST_TOKEN_FILE: u64 = 4096;
/// What problems are shown of what another program said.
const SHOWN: usize = 200;

/// Where it is, and what it wants to see.
#[derive(Clone, Debug)]
pub(super) struct Port {
    address: String,
    token: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unanswered {
    /// The status of a problem; `None` where there was none.
    pub(super) status: Option<u16>,
    /// One line.
    pub(super) why: String,
}

/// An error of RFC 9457.
#[derive(Debug, Deserialize)]
struct Problem {
    detail: String,
}

impl Port {
    /// The one at this URL, with the token that the file has.
    ///
    /// # Errors
    /// One line about what was given.
    pub(super) fn new(url: &str, token_file: Option<&Path>) -> Result<Self, String> {
        Ok(Self { address: address(url)?, token: token_file.map(token).transpose()? })
    }

    /// Asks for what is there.
    ///
    /// # Errors
    /// When the answer is none of 200.
    pub(super) fn get(&self, path: &str) -> Result<Vec<u8>, Unanswered> {
        self.ask(Method::GET, path, ())
    }

    /// Hands JSON in.
    ///
    /// # Errors
    /// When the answer is none of 200 to 299.
    pub(super) fn post(&self, path: &str, json: &str) -> Result<Vec<u8>, Unanswered> {
        self.ask(Method::POST, path, json)
    }

    /// Has something go.
    ///
    /// # Errors
    /// When the answer is none of 200 to 299.
    pub(super) fn delete(&self, path: &str) -> Result<Vec<u8>, Unanswered> {
        self.ask(Method::DELETE, path, ())
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// When it is not what a Pacecar says.
    pub(super) fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Unanswered> {
        serde_json::from_slice(body).map_err(|_| self.is_not_pacecar())
    }

    fn ask(&self, method: Method, path: &str, body: impl AsSendBody) -> Result<Vec<u8>, Unanswered> {
        let Self { address, token } = self;
        // What is asked for is on this machine or near it, and the token is for nobody else.
        let config = Agent::config_builder().proxy(None).max_redirects(0).http_status_as_error(false);
        let agent: Agent = config.timeout_global(Some(PATIENCE)).build().into();
        let mut request = Request::builder().method(&method).uri(format!("{address}{path}"));
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let unanswered = |why| Unanswered { status: None, why };
        let request = request.body(body).map_err(|error| unanswered(format!("{address}: {error}")))?;
        let answer: Response<Body> = agent.run(request).map_err(|error| match error {
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                unanswered(format!("{address}: nobody listens there: expected the admin port of a running Pacecar"))
            }
            ureq::Error::Timeout(_) => unanswered(format!("{address}: no answer within {} s", PATIENCE.as_secs())),
            ureq::Error::Io(error) => unanswered(format!("{address}: cannot be asked: {error}")),
            error @ (ureq::Error::HostNotFound | ureq::Error::ConnectionFailed) => {
                unanswered(format!("{address}: cannot be asked: {error}"))
            }
            // It answers, and not in HTTP.
            _ => self.is_not_pacecar(),
        })?;
        let status = answer.status().as_u16();
        let body = answer.into_body().into_with_config().limit(LONGEST_ANSWER).read_to_vec();
        let body = body.map_err(|error| unanswered(format!("{address}: the answer was cut: {error}")))?;
        let why = match (status, token) {
            (200..=299, _) => return Ok(body),
            (401, None) => format!("{address}: it wants a token (401): name the file that has it with --token-file"),
            (401, Some(_)) => format!("{address}: it has another token than --token-file (401)"),
            _ => match serde_json::from_slice(&body) {
                Ok(Problem { detail }) => format!("{address}: {status}: {}", shown(&detail)),
                Err(_) => return Err(self.is_not_pacecar()),
            },
        };
        Err(Unanswered { status: Some(status), why })
    }

    fn is_not_pacecar(&self) -> Unanswered {
        let address = &self.address;
        let why = format!("{address}: it answers, and not as Pacecar does: expected the address of an admin port");
        Unanswered { status: None, why }
    }
}

/// The URL without a slash at its end.
fn address(url: &str) -> Result<String, String> {
    let expected = || format!("--url {url:?}: expected a URL such as \"http://127.0.0.1:9090\"");
    let uri: Uri = url.parse().map_err(|_| expected())?;
    let is_right = uri.scheme_str() == Some("http") && uri.host().is_some() && uri.query().is_none();
    if is_right { Ok(url.trim_end_matches('/').to_owned()) } else { Err(expected()) }
}

fn token(file: &Path) -> Result<String, String> {
    let why = |why: String| format!("--token-file {file:?}: {why}");
    let mut content = Vec::new();
    let read = fs::File::open(file).and_then(|file| file.take(LONGEST_TOKEN_FILE).read_to_end(&mut content));
    read.map_err(|error| why(format!("cannot be read: {error}")))?;
    let text = String::from_utf8_lossy(content.trim_ascii()).into_owned();
    let (least, most) = (Token::LENGTHS.start(), Token::LENGTHS.end());
    let expected = || format!("expected a file with one line of {least} to {most} visible ASCII characters");
    Token::parse(&content).map(|_| text).ok_or_else(|| why(expected()))
}

/// On one line, and not longer than a person reads.
fn shown(text: &str) -> String {
    plain(text).replace('\n', " ").chars().take(SHOWN).collect()
}

/// Without what a terminal takes for commands: names of endpoints are made of what clients have sent.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (url, expected) in [
            ("http://127.0.0.1:9090", Some("http://127.0.0.1:9090")),
            ("http://pacecar.internal:9090/", Some("http://pacecar.internal:9090")),
            ("http://[::1]:9090/sidecar", Some("http://[::1]:9090/sidecar")),
            ("127.0.0.1:9090", None),
            ("https://127.0.0.1:9090", None),
            ("http://", None),
            ("http://a/?b", None),
            ("", None),
        ] {
            assert_eq!(address(url).ok().as_deref(), expected, "{url}");
        }
    }
}
