//! `pacecar advise`: asks a running Pacecar what should be done, and prints it for people.

use std::{fmt::Write as _, time::Duration};

use serde::Deserialize;

use super::port::{Port, plain};
use crate::advice::say;

const PATH: &str = "/performance/profile/insights";

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

/// What is advised by the Pacecar of this admin port, as text for a terminal.
///
/// # Errors
/// One line that says what is in the way.
pub(super) fn advise(port: &Port) -> Result<String, String> {
    let insights = port.get(PATH).and_then(|body| port.read(&body)).map_err(|unanswered| unanswered.why)?;
    Ok(show(&insights))
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
}
