//! What a rule found.

use std::{cmp::Ordering, collections::BTreeMap, fmt};

/// Something that should be done, or at least be known.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What it is about, in words of a fixed set such as `slow_endpoint`.
    pub kind: &'static str,
    /// How grave it is.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
    /// The endpoint that it is about; `None` where it is about all of them.
    pub endpoint: Option<Endpoint>,
    /// What tells it from other findings of its kind for the same endpoint, such as a parameter's name; mostly empty.
    pub subject: String,
    /// One line for people.
    pub title: String,
    /// The numbers it rests on, in a sentence.
    pub because: String,
    /// What to do about it.
    pub remedy: Remedy,
    /// What that is worth.
    pub worth: Worth,
    /// Every figure that the rule looked at, with the unit in its name.
    pub evidence: BTreeMap<&'static str, Figure>,
}

/// How grave a finding is, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// People are served badly, or wrongly, now.
    Critical,
    /// Somebody should look.
    Warning,
    /// Something could be better.
    Info,
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// It was measured.
    Measured,
    /// It may be so; somebody who knows the app has to say.
    Candidate,
}

/// A path template and a method.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The method.
    pub method: String,
    /// The endpoint's name, such as `/users/{id}`.
    pub name: String,
}

/// What to do about a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Lines to paste into `proxy.toml`, with a comment where something has to be decided first.
    Config(String),
    /// A sentence for the app's developer, or whoever runs it.
    Sentence(String),
}

/// What following the advice is worth, as far as it can be told, at the rate of the time that was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Worth {
    /// Requests that the app need not answer.
    pub upstream_requests_per_minute: Option<f64>,
    /// Seconds that the app need not work.
    pub upstream_seconds_per_minute: Option<f64>,
    /// Bytes that need not be sent to clients.
    pub bytes_per_minute: Option<f64>,
    /// Milliseconds that a request is answered sooner, on average.
    pub milliseconds_per_request: Option<f64>,
}

/// One figure of the evidence.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// How many.
    Count(u64),
    /// A measure, a share or a rate.
    Number(f64),
    /// A word, such as the name of a header.
    Text(String),
}

impl Finding {
    /// Its name: the same for the same thing at every look and after every restart, to be muted by.
    pub fn id(&self) -> String {
        let mut id = self.kind.to_owned();
        if let Some(Endpoint { method, name }) = &self.endpoint {
            id.extend([":", method, " ", name]);
        }
        if !self.subject.is_empty() {
            id.extend([":", &*self.subject]);
        }
        id
    }
}

impl Worth {
    /// What is worth more is greater: the app's time counts before its requests, and those before what clients save.
    pub fn compare(&self, other: &Self) -> Ordering {
        let measures = |worth: &Self| {
            [
                worth.upstream_seconds_per_minute,
                worth.upstream_requests_per_minute,
                worth.bytes_per_minute,
                worth.milliseconds_per_request,
            ]
            .map(|measure| measure.unwrap_or(0.0))
        };
        let pairs = measures(self).into_iter().zip(measures(other));
        pairs.map(|(mine, theirs)| mine.total_cmp(&theirs)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

impl Severity {
    /// Every one, the gravest first.
    pub const ALL: [Self; 3] = [Self::Critical, Self::Warning, Self::Info];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

impl Confidence {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Measured, Self::Candidate];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Candidate => "candidate",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_named_by_what_it_is_about() {
        let finding = |endpoint: Option<&str>, subject: &str| Finding {
            kind: "slow_endpoint",
            severity: Severity::Warning,
            confidence: Confidence::Measured,
            endpoint: endpoint.map(|name| Endpoint { method: "GET".into(), name: name.into() }),
            subject: subject.into(),
            title: String::new(),
            because: String::new(),
            remedy: Remedy::Sentence(String::new()),
            worth: Worth::default(),
            evidence: BTreeMap::new(),
        };
        assert_eq!(finding(Some("/users/{id}"), "").id(), "slow_endpoint:GET /users/{id}");
        assert_eq!(finding(Some("/a"), "utm_source").id(), "slow_endpoint:GET /a:utm_source");
        assert_eq!(finding(None, "").id(), "slow_endpoint");
    }
}
