//! What is wrong with queries, in words and numbers.

use std::{borrow::Cow, fmt, time::Duration};

use super::{
    detect::{Chatty, Pattern},
    event::Endpoint,
    evidence::Confidence,
    explain::Proposal,
    fingerprint::Fingerprint,
    spread::Timing,
    trace::TraceId,
};

/// Something that should be done about a query, or the queries of an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// How grave it is.
    pub severity: Severity,
    /// How sure it is.
    pub confidence: Confidence,
    /// The query that it is about.
    pub query: Option<Fingerprint>,
    /// The endpoint that it is about.
    pub endpoint: Option<Endpoint>,
    /// What it is.
    pub what: What,
    /// The time that it takes of the database in an hour.
    pub impact_per_hour: Duration,
    /// How long ago it was seen first.
    pub first_seen: Duration,
    /// How long ago it was seen last.
    pub last_seen: Duration,
}

/// How grave a finding is, most grave last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something could be better.
    Info,
    /// Somebody should look.
    Warning,
    /// It takes time that it need not take.
    Medium,
    /// It takes much of it.
    High,
    /// People wait for seconds.
    Critical,
}

impl Severity {
    /// Every severity.
    pub const ALL: [Self; 5] = [Self::Info, Self::Warning, Self::Medium, Self::High, Self::Critical];

    /// Its name in figures.
    pub fn name(self) -> &'static str {
        ["info", "warning", "medium", "high", "critical"][self as usize]
    }
}

/// What was found, with the figures that it rests on.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A query took very long.
    Critical(Slow),
    /// A query takes long again and again.
    Slow(Slow),
    /// The app says of a slow query that it uses no index.
    NoIndex(Slow),
    /// The planner says that a query scans a table for what an index would find.
    Missing(Missing),
    /// A query is repeated within a request.
    Repeated(Repetition),
    /// The requests of an endpoint do little else than go to the database and back.
    Chatty(Chatty),
}

/// How slow a query is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slow {
    /// Executions.
    pub calls: u64,
    /// Of them, those that were slow.
    pub slow: u64,
    /// Of them, those that took very long.
    pub critical: u64,
    /// How long they took.
    pub timing: Timing,
}

/// An index that is missing.
#[derive(Clone, Debug, PartialEq)]
pub struct Missing {
    /// How slow the query is.
    pub slow: Slow,
    /// The index.
    pub proposal: Proposal,
}

/// How a query is repeated.
#[derive(Clone, Debug, PartialEq)]
pub struct Repetition {
    /// In which way.
    pub pattern: Pattern,
    /// Requests in which it was seen.
    pub requests: u64,
    /// The fewest executions in one of them.
    pub min: u32,
    /// Executions per request.
    pub avg: f64,
    /// The most executions in one of them.
    pub max: u32,
    /// The most different values in one of them; `None` where they cannot be seen.
    pub distinct: Option<u32>,
    /// Some ran at the same time.
    pub is_concurrent: bool,
    /// Queries that take turns with it.
    pub turns: Vec<Fingerprint>,
    /// The query before it, which may have given the rows.
    pub before: Option<Fingerprint>,
    /// The part of the requests' time that it takes, 0 to 1.
    pub share: f64,
    /// A request in which it can be looked at.
    pub example: Option<TraceId>,
}

impl What {
    /// Its name, of a fixed set.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Critical(_) => "critical_query",
            Self::Slow(_) => "slow_query",
            Self::NoIndex(_) | Self::Missing(_) => "missing_index",
            Self::Repeated(repetition) => repetition.pattern.name(),
            Self::Chatty(_) => "chatty_endpoint",
        }
    }
}

impl Finding {
    /// Its name: the same for the same thing at every look and after every restart.
    pub fn id(&self) -> String {
        let mut id = self.what.kind().to_owned();
        if let Some(endpoint) = &self.endpoint {
            id += &format!(":{endpoint}");
        }
        if let Some(query) = self.query {
            id += &format!(":{query}");
        }
        id
    }

    /// One line for people.
    pub fn title(&self) -> String {
        let millis = |time: Duration| time.as_secs_f64() * 1000.0;
        match &self.what {
            What::Critical(slow) => format!("A query took {:.0} ms", millis(slow.timing.max)),
            What::Slow(slow) => format!("{} of {} executions of a query were slow", slow.slow, slow.calls),
            What::NoIndex(slow) => format!("A query that uses no index took up to {:.0} ms", millis(slow.timing.max)),
            What::Missing(Missing { proposal, .. }) => {
                format!("{} has no index on {}", proposal.table, proposal.columns.join(", "))
            }
            What::Repeated(repetition) => {
                let (avg, what) = (repetition.avg, Words(repetition.pattern, self.confidence));
                format!("{what} {avg:.0} times per request")
            }
            What::Chatty(chatty) => {
                let each = chatty.queries as f64 / chatty.requests.max(1) as f64;
                format!("{each:.0} quick queries per request take most of its time")
            }
        }
    }

    /// What to do about it: ways that there are, of which who knows the app chooses.
    pub fn suggestion(&self) -> Cow<'static, str> {
        Cow::Borrowed(match &self.what {
            What::Missing(missing) => return Cow::Owned(missing.proposal.statement()),
            What::Critical(_) | What::Slow(_) => {
                "Look at its plan with EXPLAIN: for a missing index, for rows that are read and not needed, and for locks."
            }
            What::NoIndex(_) => {
                "Look at its plan with EXPLAIN, and consider an index on the columns that it chooses rows by."
            }
            What::Repeated(repetition) => match repetition.pattern {
                Pattern::NPlusOne => {
                    "Load the related rows in one query: with a join, with a list of ids, with the eager loading of the \
                     object mapper, or with a data loader."
                }
                Pattern::Redundant => "Ask once and keep the answer for the rest of the request.",
                Pattern::WriteLoop => "Write many rows with one statement, or send the statements as one batch.",
            },
            What::Chatty(_) => "Ask for more at once: the ways to the database and back take longer than its work.",
        })
    }
}

/// What is repeated, as surely as it is known.
struct Words(Pattern, Confidence);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.0, self.1) {
            (Pattern::NPlusOne, Confidence::Confirmed) => "N+1: the same SELECT ran",
            (Pattern::NPlusOne, _) => "Possible N+1: the same SELECT ran",
            (Pattern::Redundant, _) => "The same SELECT with the same values ran",
            (Pattern::WriteLoop, _) => "The same statement wrote single rows",
        })
    }
}
