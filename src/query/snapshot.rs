//! What is known of queries at one moment: plain data, for whoever shows or judges it.

use std::{sync::Arc, time::Duration};

use super::{
    book::Calls,
    event::{Endpoint, Source},
    explain::Verdict,
    finding::Finding,
    fingerprint::{Fingerprint, Kind},
    tables::Predicate,
    traces::Level,
};

/// What is known of queries in a time up to now.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// The time that figures are of. They begin at a minute, for more than 10 minutes at five, and for more than an hour
    /// at an hour, so that they may be of a little more.
    pub window: Duration,
    /// How the search for missing indexes stands.
    pub analysis: Analysis,
    /// What sources handed in since the start.
    pub sources: Sources,
    /// Queries of the time by how their request is known, in the order of [`Level::ALL`]. Those of the last seconds wait
    /// for the rest of their trace.
    pub attribution: [u64; Level::ALL.len()],
    /// All executions.
    pub all: Calls,
    /// Those of queries that there was no room for.
    pub other: Calls,
    /// Queries that were executed, the one that took most time first.
    pub queries: Vec<QueryFigures>,
    /// How endpoints use the database, the one with most queries first.
    pub endpoints: Vec<EndpointFigures>,
    /// What is wrong, the gravest first, and of those that are as grave, what takes most time.
    pub findings: Vec<Finding>,
    /// What was dropped since the start, and how full tables are.
    pub bounds: Bounds,
}

/// What sources handed in since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Spans that came.
    pub spans: u64,
    /// Spans that could not be read.
    pub rejected: u64,
    /// Queries that were counted, in the order of [`Source::ALL`].
    pub queries: [u64; Source::ALL.len()],
    /// Queries that another source, another instrumentation or the same span had told of.
    pub duplicates: u64,
    /// Queries that came when their trace had been looked at: they count for the query, and for no request.
    pub late: u64,
    /// Responses that told in `Server-Timing` of the database.
    pub server_timings: u64,
    /// The time of connecting and of waiting for a connection.
    pub waited: Duration,
}

/// How the search for missing indexes stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Analysis {
    /// Nobody says how to reach the database.
    #[default]
    Off,
    /// It was not needed yet.
    Ready,
    /// The planner was asked.
    On {
        /// Indexes can be tried without being made (hypopg).
        tries: bool,
    },
    /// The database does not answer, and why.
    Failing(String),
}

/// What was dropped since the start, and how full tables are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Spans that there was no room for: they count for their query, and for no request.
    pub spans_dropped: u64,
    /// Requests that were forgotten before their spans could come.
    pub requests_forgotten: u64,
    /// Queries that were given up for others.
    pub queries_given_up: u64,
    /// Patterns that there was no room for.
    pub patterns_dropped: u64,
    /// Traces whose spans are awaited.
    pub open_traces: usize,
    /// Spans that they have already.
    pub open_spans: usize,
    /// Queries that are known.
    pub queries: usize,
    /// Bytes that they take.
    pub bytes: usize,
}

/// What is known of one query.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryFigures {
    /// Which one.
    pub id: Fingerprint,
    /// What it looks like, without its values; empty where that is not kept.
    pub text: Arc<str>,
    /// The text is not the whole query.
    pub is_cut: bool,
    /// The app's name for it.
    pub name: Option<Arc<str>>,
    /// What it does.
    pub kind: Kind,
    /// It counts as a query of the app, and not as transaction control and the like.
    pub counts: bool,
    /// Its tables.
    pub tables: Arc<[String]>,
    /// The columns that it chooses rows by.
    pub predicates: Arc<[Predicate]>,
    /// What is known of its indexes; `None` where the planner was not asked.
    pub index: Option<Arc<Verdict>>,
    /// Its SQL.
    pub dialect: super::fingerprint::Dialect,
    /// Its executions.
    pub calls: Calls,
    /// The part of all time of the database that it takes, 0 to 1.
    pub share: f64,
    /// Executions per minute of the window, or of the time since it was seen first.
    pub per_minute: f64,
    /// Endpoints that it was executed for, as far as they are known, with the number of executions, the most first.
    pub endpoints: Vec<(Endpoint, u64)>,
    /// How long ago it was seen first.
    pub first_seen: Duration,
    /// How long ago it was seen last.
    pub last_seen: Duration,
}

/// How an endpoint uses the database.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointFigures {
    /// Which one.
    pub endpoint: Endpoint,
    /// Requests whose queries are known.
    pub requests: u64,
    /// Queries per request on average.
    pub queries_avg: f64,
    /// The most queries that one request made.
    pub queries_max: u64,
    /// The part of the requests' time that the database takes, 0 to 1; `None` where that is not known.
    pub database_share: Option<f64>,
    /// How that is known: by spans and records, or by what responses say.
    pub basis: Basis,
}

impl EndpointFigures {
    /// Takes those of another name for the same endpoint. What every query was told of beats what responses say.
    fn merge(&mut self, other: &Self) {
        match (self.basis, other.basis) {
            (Basis::Queries, Basis::ServerTiming) => return,
            (Basis::ServerTiming, Basis::Queries) => return self.clone_from(other),
            _ => {}
        }
        let (mine, theirs) = (self.requests as f64, other.requests as f64);
        let mean = |a: f64, b: f64| (a * mine + b * theirs) / (mine + theirs).max(1.0);
        self.queries_avg = mean(self.queries_avg, other.queries_avg);
        self.queries_max = self.queries_max.max(other.queries_max);
        self.database_share = match (self.database_share, other.database_share) {
            (Some(mine), Some(theirs)) => Some(mean(mine, theirs)),
            (mine, theirs) => mine.or(theirs),
        };
        self.requests += other.requests;
    }
}

/// What the figures of an endpoint rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Every query was told of.
    Queries,
    /// Responses say how many there were (`Server-Timing`).
    ServerTiming,
}

impl Snapshot {
    /// Queries that differ in more than their values.
    pub fn unique(&self) -> usize {
        self.queries.len()
    }

    /// Calls endpoints by what they are called by now, and makes one of those that are called alike.
    pub fn rename(&mut self, name: impl Fn(&str) -> Arc<str>) {
        let renamed = |endpoint: &Endpoint| Endpoint { method: endpoint.method, name: name(&endpoint.name) };
        for query in &mut self.queries {
            let mut merged: Vec<(Endpoint, u64)> = Vec::new();
            for (endpoint, calls) in query.endpoints.drain(..) {
                let endpoint = renamed(&endpoint);
                match merged.iter_mut().find(|(known, _)| *known == endpoint) {
                    Some((_, known)) => *known += calls,
                    None => merged.push((endpoint, calls)),
                }
            }
            merged.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            query.endpoints = merged;
        }
        let mut merged: Vec<EndpointFigures> = Vec::new();
        for figures in self.endpoints.drain(..) {
            let figures = EndpointFigures { endpoint: renamed(&figures.endpoint), ..figures };
            match merged.iter_mut().find(|known| known.endpoint == figures.endpoint) {
                Some(known) => known.merge(&figures),
                None => merged.push(figures),
            }
        }
        self.endpoints = merged;
        for finding in &mut self.findings {
            finding.endpoint = finding.endpoint.as_ref().map(renamed);
        }
    }

    /// Whether any source told of anything since the start.
    pub fn has_source(&self) -> bool {
        let Sources { spans, queries, server_timings, .. } = self.sources;
        spans > 0 || server_timings > 0 || queries.iter().any(|queries| *queries > 0)
    }

    /// The part of the queries whose request is known, 0 to 1, by level; `None` while there are none.
    pub fn shares(&self) -> Option<[f64; Level::ALL.len()]> {
        let all: u64 = self.attribution.iter().sum();
        (all > 0).then(|| self.attribution.map(|queries| queries as f64 / all as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str) -> Endpoint {
        Endpoint { method: "GET", name: name.into() }
    }

    #[test]
    fn endpoints_that_are_called_alike_become_one() {
        let figures = |name: &str, requests, queries_avg, queries_max, basis| EndpointFigures {
            endpoint: endpoint(name),
            requests,
            queries_avg,
            queries_max,
            database_share: Some(queries_avg / 8.0),
            basis,
        };
        let mut snapshot = Snapshot {
            endpoints: vec![
                figures("/a/x", 1, 2.0, 2, Basis::Queries),
                figures("/b", 5, 1.0, 1, Basis::ServerTiming),
                figures("/a/y", 3, 6.0, 9, Basis::Queries),
                figures("/a/z", 100, 9.0, 99, Basis::ServerTiming),
            ],
            ..Snapshot::default()
        };
        snapshot.rename(|name| if name.starts_with("/a/") { "/a/{slug}".into() } else { name.into() });
        let expected = [figures("/a/{slug}", 4, 5.0, 9, Basis::Queries), figures("/b", 5, 1.0, 1, Basis::ServerTiming)];
        assert_eq!(snapshot.endpoints, expected);
    }
}
