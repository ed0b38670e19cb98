//! What is known of each endpoint's use of the database: a bounded table.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    detect::Chatty,
    event::Endpoint,
    history::{History, Merge, Minute},
    server_timing::DatabaseTime,
};

/// Endpoints that are told apart; the rest counts as `_other`.
pub(super) const MOST: usize = 2000;

/// Requests of an endpoint in some time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Requests {
    /// Those whose queries are known.
    pub(super) seen: Chatty,
    /// The most queries that one of them made.
    pub(super) most: u64,
    /// Those that said in `Server-Timing` how many queries there were.
    pub(super) counted: u64,
    pub(super) counted_queries: u64,
    pub(super) counted_most: u64,
    /// Those that said how long the database took, that time, and theirs.
    pub(super) timed: u64,
    pub(super) timed_database: Duration,
    pub(super) timed_whole: Duration,
}

impl Merge for Requests {
    fn merge(&mut self, other: &Self) {
        self.seen.requests += other.seen.requests;
        self.seen.queries += other.seen.queries;
        self.seen.database = self.seen.database.saturating_add(other.seen.database);
        self.seen.added = self.seen.added.saturating_add(other.seen.added);
        self.seen.whole = self.seen.whole.saturating_add(other.seen.whole);
        self.most = self.most.max(other.most);
        self.counted += other.counted;
        self.counted_queries += other.counted_queries;
        self.counted_most = self.counted_most.max(other.counted_most);
        self.timed += other.timed;
        self.timed_database = self.timed_database.saturating_add(other.timed_database);
        self.timed_whole = self.timed_whole.saturating_add(other.timed_whole);
    }
}

impl Requests {
    /// Takes what one response said.
    pub(super) fn add_said(&mut self, said: DatabaseTime, took: Duration) {
        if let Some(queries) = said.queries.map(u64::from) {
            self.counted += 1;
            self.counted_queries += queries;
            self.counted_most = self.counted_most.max(queries);
        }
        if let Some(time) = said.time {
            self.timed += 1;
            self.timed_database = self.timed_database.saturating_add(time);
            self.timed_whole = self.timed_whole.saturating_add(took);
        }
    }
}

/// All endpoints.
#[derive(Debug, Default)]
pub(super) struct Endpoints(pub(super) HashMap<Endpoint, History<Requests>>);

impl Endpoints {
    pub(super) fn now(&mut self, endpoint: &Endpoint, minute: Minute) -> &mut Requests {
        let key = if self.0.len() < MOST || self.0.contains_key(endpoint) {
            endpoint.clone()
        } else {
            Endpoint { method: "_OTHER", name: Arc::from("_other") }
        };
        self.0.entry(key).or_default().now(minute)
    }

    /// Requests of an endpoint whose queries are known, in so many minutes.
    pub(super) fn requests(&self, endpoint: &Endpoint, minutes: u64, minute: Minute) -> u64 {
        self.0.get(endpoint).map_or(0, |history| history.last(minutes, minute).seen.requests)
    }

    pub(super) fn turn(&mut self, minute: Minute) {
        self.0.retain(|_, history| {
            history.turn(minute);
            !history.is_empty()
        });
    }
}
