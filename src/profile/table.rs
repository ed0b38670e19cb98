//! The bounded table of endpoints.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{
    Settings,
    figures::Figures,
    sample::{Sample, method_name},
    slow::{SlowRequest, Slowest},
};

/// The name under which the requests of endpoints beyond the bound are counted.
pub const OTHER: &str = "_other";

/// The figures of one endpoint: a path template and a method.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The endpoint's name, such as `/users/{id}`, or `_other`.
    pub endpoint: Arc<str>,
    /// One of the nine standard methods, or `_OTHER`.
    pub method: &'static str,
    /// What was counted.
    pub figures: Figures,
}

/// The profiler's figures at one moment, as JSON and metrics show them.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// In the order of their names and methods.
    pub endpoints: Vec<Endpoint>,
    /// The slowest single requests, slowest first.
    pub slowest: Vec<SlowRequest>,
    /// Requests counted under `_other` since the table was full.
    pub overflowed: u64,
}

impl Snapshot {
    /// The figures of all endpoints together.
    pub fn total(&self) -> Figures {
        let mut total = Figures::default();
        self.endpoints.iter().for_each(|endpoint| total.merge(&endpoint.figures));
        total
    }
}

/// Endpoints by name and method, at most as many as the settings allow, and `_other` beside them, once per method.
#[derive(Debug)]
pub(super) struct Table {
    slow: Duration,
    max_endpoints: usize,
    rows: Vec<Endpoint>,
    /// Where in `rows` an endpoint's methods are. Two steps, so that looking up needs no key made of both.
    index: HashMap<Arc<str>, Vec<(&'static str, usize)>>,
    /// Rows that count towards the bound.
    named: usize,
    other: Arc<str>,
    overflowed: u64,
    slowest: Slowest,
}

impl Table {
    /// What is slow from now on; the number of rows stays.
    pub(super) fn reload(&mut self, settings: &Settings) {
        self.slow = settings.slow;
    }

    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            slow: settings.slow,
            max_endpoints: settings.max_endpoints,
            rows: Vec::new(),
            index: HashMap::new(),
            named: 0,
            other: OTHER.into(),
            overflowed: 0,
            slowest: Slowest::default(),
        }
    }

    pub(super) fn add(&mut self, sample: &Sample) {
        let method = method_name(&sample.method);
        self.slowest.offer(sample, method);
        let at = self.row(&sample.endpoint, method);
        self.rows[at].figures.add(sample, self.slow);
    }

    /// Where the endpoint's figures are kept, which is under `_other` if it is new and there is no room.
    fn row(&mut self, endpoint: &Arc<str>, method: &'static str) -> usize {
        if let Some(at) = self.find(endpoint, method) {
            return at;
        }
        if **endpoint == *OTHER {
            return self.insert(endpoint.clone(), method);
        }
        if self.named < self.max_endpoints {
            self.named += 1;
            return self.insert(endpoint.clone(), method);
        }
        self.overflowed += 1;
        self.find(OTHER, method).unwrap_or_else(|| self.insert(self.other.clone(), method))
    }

    fn find(&self, endpoint: &str, method: &'static str) -> Option<usize> {
        self.index.get(endpoint)?.iter().find(|(known, _)| *known == method).map(|(_, at)| *at)
    }

    fn insert(&mut self, endpoint: Arc<str>, method: &'static str) -> usize {
        let at = self.rows.len();
        self.index.entry(endpoint.clone()).or_default().push((method, at));
        self.rows.push(Endpoint { endpoint, method, figures: Figures::default() });
        at
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot { endpoints: self.rows.clone(), slowest: self.slowest.to_vec(), overflowed: self.overflowed }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    fn table(max_endpoints: usize) -> Table {
        Table::new(&Settings { max_endpoints, ..Settings::default() })
    }

    fn requests(table: &Table) -> Vec<(String, &'static str, u64)> {
        table.rows.iter().map(|row| (row.endpoint.to_string(), row.method, row.figures.requests)).collect()
    }

    fn get(endpoint: &str) -> Sample {
        Sample::of(endpoint, Duration::from_millis(1))
    }

    fn post(endpoint: &str) -> Sample {
        Sample { method: Method::POST, ..get(endpoint) }
    }

    #[test]
    fn an_endpoint_is_a_template_and_a_method() {
        let mut table = table(10);
        for sample in [get("/a"), post("/a"), get("/a"), get("/b")] {
            table.add(&sample);
        }
        assert_eq!(requests(&table), [("/a".into(), "GET", 2), ("/a".into(), "POST", 1), ("/b".into(), "GET", 1)]);
        assert_eq!(table.overflowed, 0);
    }

    #[test]
    fn beyond_the_bound_requests_count_as_other_by_method() {
        let mut table = table(1);
        for sample in [get("/a"), get("/b"), post("/a"), get("/c"), get("/a")] {
            table.add(&sample);
        }
        assert_eq!(requests(&table), [("/a".into(), "GET", 2), (OTHER.into(), "GET", 2), (OTHER.into(), "POST", 1)]);
        assert_eq!(table.overflowed, 3);
    }

    #[test]
    fn other_as_a_given_name_takes_no_room_and_is_no_overflow() {
        let mut table = table(1);
        for sample in [get(OTHER), get("/a")] {
            table.add(&sample);
        }
        assert_eq!(requests(&table), [(OTHER.into(), "GET", 1), ("/a".into(), "GET", 1)]);
        assert_eq!(table.overflowed, 0);
    }

    #[test]
    fn any_number_of_names_makes_a_bounded_number_of_rows() {
        let mut table = table(20);
        for n in 0..10_000 {
            table.add(&get(&format!("/scan/{n}")));
        }
        assert_eq!(table.rows.len(), 21);
        assert_eq!(table.snapshot().total().requests, 10_000);
    }
}
