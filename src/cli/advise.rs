//! `pacecar advise`: asks a running Pacecar what should be done, and prints it for people.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Read},
    path::Path,
    time::Duration,
};

use http::{Uri, header::AUTHORIZATION};
use serde::Deserialize;
use ureq::Agent;

use crate::{admin::Token, advice::say};

const PATH: &str = "/performance/profile/insights";
/// Longer than it takes to look at everything.
const PATIENCE: Duration = Duration::from_secs(10);
/// A hundred findings take a tenth of this.
const LONGEST_ANSWER: u64 = 4 << 20;
/// A token is never longer, whatever stands around it.
const LONGEST_TOKEN_FILE: u64 = 4096;
/// What problems are shown of what another program said.
const SHOWN: usize = 200;

/// What is answered there, as far as it is printed.
#[derive(Debug, Deserialize)]
struct Insights {
    findings: Vec<Finding>,
    muted: usize,
    looked_at: LookedAt,
}

#[derive(Debug, Deserialize)]
struct LookedAt {
    requests: u64,
    lasts_seconds: f64,
    uptime_seconds: f64,
}

#[derive(Debug, Deserialize)]
struct Finding {
    id: String,
    severity: String,
    confidence: String,
    title: String,
    because: String,
    r#do: Do,
    worth: Worth,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Do {
    Config(String),
    Sentence(String),
}

#[derive(Debug, Default, Deserialize)]
struct Worth {
    upstream_requests_per_minute: Option<f64>,
    upstream_seconds_per_minute: Option<f64>,
    bytes_per_minute: Option<f64>,
    milliseconds_per_request: Option<f64>,
}

/// An error of RFC 9457.
#[derive(Debug, Deserialize)]
struct Problem {
    detail: String,
}

/// What is advised by the Pacecar whose admin port is at `url`, as text for a terminal.
///
/// # Errors
/// One line that says what is in the way.
pub(super) fn advise(url: &str, token_file: Option<&Path>) -> Result<String, String> {
    let address = address(url)?;
    let token = token_file.map(token).transpose()?;
    let body = ask(&address, token.as_deref())?;
    let insights = serde_json::from_slice(&body).map_err(|_| is_not_pacecar(&address))?;
    Ok(show(&insights))
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

fn ask(address: &str, token: Option<&str>) -> Result<Vec<u8>, String> {
    // What is asked for is on this machine or near it, and the token is for nobody else.
    let config = Agent::config_builder().proxy(None).max_redirects(0).http_status_as_error(false);
    let agent: Agent = config.timeout_global(Some(PATIENCE)).build().into();
    let mut request = agent.get(format!("{address}{PATH}"));
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let answer = request.call().map_err(|error| match error {
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            format!("{address}: nobody listens there: expected the admin port of a running Pacecar")
        }
        ureq::Error::Timeout(_) => format!("{address}: no answer within {} s", PATIENCE.as_secs()),
        ureq::Error::Io(error) => format!("{address}: cannot be asked: {error}"),
        error @ (ureq::Error::HostNotFound | ureq::Error::ConnectionFailed) => {
            format!("{address}: cannot be asked: {error}")
        }
        // It answers, and not in HTTP.
        _ => is_not_pacecar(address),
    })?;
    let status = answer.status().as_u16();
    let body = answer.into_body().into_with_config().limit(LONGEST_ANSWER).read_to_vec();
    let body = body.map_err(|error| format!("{address}: the answer was cut: {error}"))?;
    match (status, token) {
        (200, _) => Ok(body),
        (401, None) => Err(format!("{address}: it wants a token (401): name the file that has it with --token-file")),
        (401, Some(_)) => Err(format!("{address}: it has another token than --token-file (401)")),
        _ => match serde_json::from_slice(&body) {
            Ok(Problem { detail }) => Err(format!("{address}: {status}: {}", shown(&detail))),
            Err(_) => Err(is_not_pacecar(address)),
        },
    }
}

fn is_not_pacecar(address: &str) -> String {
    format!("{address}: it answers, and not as Pacecar does: expected the address of an admin port")
}

/// On one line, and not longer than a person reads.
fn shown(text: &str) -> String {
    plain(text).replace('\n', " ").chars().take(SHOWN).collect()
}

/// Without what a terminal takes for commands: names of endpoints are made of what clients have sent.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn show(insights: &Insights) -> String {
    let mut text = String::new();
    for finding in &insights.findings {
        text.push_str(&plain(&of_finding(finding)));
        text.push('\n');
    }
    let LookedAt { requests, lasts_seconds, uptime_seconds } = insights.looked_at;
    let count = match insights.findings.len() {
        0 => "There is nothing to advise".to_owned(),
        1 => "This is all that there is to advise".to_owned(),
        many => format!("These are all {many} that there are to advise"),
    };
    let (requests, last) = (say::requests(requests), say::last(seconds(lasts_seconds)));
    let _ =
        write!(text, "{count}, by {requests} of {last}; Pacecar has run for {}", say::time(seconds(uptime_seconds)));
    match insights.muted {
        0 => text.push_str(".\n"),
        muted => text.push_str(&format!(". {muted} more left out as muted.\n")),
    }
    text
}

fn of_finding(finding: &Finding) -> String {
    let Finding { id, severity, confidence, title, because, r#do, worth } = finding;
    let mut text = format!("{severity}: {title}\n  {because}\n");
    match r#do {
        Do::Sentence(sentence) => text.push_str(&format!("  {sentence}\n")),
        Do::Config(lines) => {
            let if_so = if confidence == "candidate" { ", if you know that it is so" } else { "" };
            text.push_str(&format!("  In proxy.toml{if_so}:\n\n"));
            lines.lines().for_each(|line| text.push_str(&format!("    {line}\n")));
            text.push('\n');
        }
    }
    if let Some(worth) = of_worth(worth) {
        text.push_str(&format!("  Worth {worth}.\n"));
    }
    text.push_str(&format!("  [{id}]\n"));
    text
}

fn of_worth(worth: &Worth) -> Option<String> {
    let some = |figure: Option<f64>| figure.filter(|figure| *figure > 0.0);
    let parts: Vec<String> = [
        some(worth.upstream_seconds_per_minute)
            .map(|spent| format!("{} of the app's time a minute", say::time(seconds(spent)))),
        some(worth.upstream_requests_per_minute).map(|requests| format!("{requests:.1} requests to the app a minute")),
        some(worth.bytes_per_minute).map(|bytes| format!("{} to clients a minute", say::bytes(bytes))),
        some(worth.milliseconds_per_request)
            .map(|millis| format!("{} for each request", say::time(seconds(millis / 1e3)))),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!parts.is_empty()).then(|| say::list(&parts))
}

/// What is no duration is none.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is a failure")]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../admin/examples/profile_insights.json");

    #[test]
    fn the_answer_of_the_admin_port_is_shown() {
        assert_eq!(
            show(&serde_json::from_str(EXAMPLE).unwrap()),
            "critical: 9.8 % of the requests of POST /orders are answered with an error
  The requests of the last 100 seconds were 41, and 4 of them had a status of 500 or above.
  Look into the app's log of that time; each such request has a line in the access log too, with its status and why \
             Pacecar answered in the app's place, if it did.
  [errors:POST /orders]

warning: GET /reports/{id} takes the app 700 ms on average
  The app worked on 40 requests of the last 100 seconds for 28 s, which is 97 % of its time for all endpoints; 95 of \
             100 took up to 700 ms.
  Look at its slowest requests in /performance/profile/slowest, and at what the app does for them: a query without an \
             index, many queries in a loop, or a call to somebody else.
  Worth 4.8 s of the app's time a minute and 200 ms for each request.
  [slow_endpoint:GET /reports/{id}]

These are all 2 that there are to advise, by 85 requests of the last 100 seconds; Pacecar has run for 100 s.
"
        );
    }

    #[test]
    fn nothing_to_advise_says_what_was_looked_at() {
        let looked_at = LookedAt { requests: 1, lasts_seconds: 3840.0, uptime_seconds: 9000.0 };
        let insights = Insights { findings: vec![], muted: 2, looked_at };
        assert_eq!(
            show(&insights),
            "There is nothing to advise, by 1 request of the last 64 minutes; Pacecar has run for 150 min. 2 more left \
             out as muted.\n"
        );
    }

    #[test]
    fn a_terminal_is_told_nothing_by_names() {
        let finding = Finding {
            id: "errors:GET /\u{1b}[2J".into(),
            severity: "info".into(),
            confidence: "measured".into(),
            title: "\u{1b}]0;title\u{7}".into(),
            because: "\u{9b}31m".into(),
            r#do: Do::Sentence("\r".into()),
            worth: Worth::default(),
        };
        let looked_at = LookedAt { requests: 0, lasts_seconds: -1.0, uptime_seconds: f64::NAN };
        let shown = show(&Insights { findings: vec![finding], muted: 0, looked_at });
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    }

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
