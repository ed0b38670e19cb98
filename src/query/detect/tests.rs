//! The rules on units of one kind of query each: from what on they say something.

use std::time::Duration;

use super::{
    super::{
        fingerprint::{Dialect, Key, fingerprint},
        unit::Executed,
    },
    *,
};

/// A unit that is a request of 100 ms, and grows.
struct Make {
    unit: Unit,
    key: Key,
    clock: u64,
}

fn request() -> Make {
    let unit = Unit { took: Some(Duration::from_millis(100)), is_request: true, queries: Vec::new() };
    Make { unit, key: Key::default(), clock: 1 }
}

impl Make {
    /// A query of so many microseconds.
    fn query(mut self, text: &str, micros: u64) -> Self {
        let start = self.clock;
        self.clock += micros * 1000;
        let print = fingerprint(text, Dialect::Postgres, &self.key);
        self.unit.queries.push(Executed { start, end: self.clock, ..Executed::of(&print) });
        self
    }

    fn each(self, rows: u64, micros: u64, text: impl Fn(u64) -> String) -> Self {
        (0..rows).fold(self, |make, row| make.query(&text(row), micros))
    }

    fn took(mut self, millis: u64) -> Self {
        self.unit.took = Some(Duration::from_millis(millis));
        self
    }

    fn found(&self) -> Vec<(Pattern, u32)> {
        let found = repeated(&self.unit, &Settings::default());
        found.into_iter().map(|repeated| (repeated.pattern, repeated.count)).collect()
    }
}

fn by_id(row: u64) -> String {
    format!("select a from t where id = {row}")
}

fn hidden(_: u64) -> String {
    "select a from t where id = $1".into()
}

const LIST: &str = "select id from u";
const SLOW: u64 = 5000;

#[test]
fn n_plus_one() {
    let n_plus_one = |count| vec![(Pattern::NPlusOne, count)];
    for (case, make, expected) in [
        ("five", request().each(5, SLOW, by_id), n_plus_one(5)),
        ("four", request().each(4, SLOW, by_id), vec![]),
        ("three values", request().each(6, SLOW, |row| by_id(row % 3)), n_plus_one(6)),
        ("two values", request().each(6, SLOW, |row| by_id(row % 2)), vec![]),
        ("nine without values", request().each(9, SLOW, hidden), vec![]),
        ("ten without values", request().each(10, SLOW, hidden), n_plus_one(10)),
        ("five after another", request().query(LIST, 10).each(5, SLOW, hidden), n_plus_one(5)),
        ("five before another", request().each(5, SLOW, hidden).query(LIST, 10), vec![]),
        ("five after a write", request().query("insert into u values (1)", 10).each(5, SLOW, hidden), vec![]),
        ("20 ms", request().took(1000).each(5, 4000, by_id), n_plus_one(5)),
        ("less than 20 ms of a second", request().took(1000).each(5, 3999, by_id), vec![]),
        ("a fifth", request().took(10).each(5, 400, by_id), n_plus_one(5)),
        ("less than a fifth", request().took(10).each(5, 399, by_id), vec![]),
        ("not chosen by equality", request().each(6, SLOW, |row| format!("select a from t where f({row})")), vec![]),
    ] {
        assert_eq!(make.found(), expected, "{case}");
    }
}

#[test]
fn those_that_take_turns_are_one() {
    let other = |row: u64| format!("select b from w where t_id = {row}");
    let turns = |make: Make, rows: u64| {
        (0..rows).fold(make, |make, row| make.query(&by_id(row), 1500).query(&other(row), 1500))
    };
    let one = turns(request().query(LIST, 10), 8);
    let found = repeated(&one.unit, &Settings::default());
    let id = |text: &str| fingerprint(text, Dialect::Postgres, &Key::default()).id;
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].id, &found[0].turns[..], found[0].before),
        (id(&by_id(1)), &[id(&other(1))][..], Some(id(LIST)))
    );
    assert_eq!((found[0].count, found[0].distinct, found[0].took), (8, Some(8), Duration::from_millis(24)));
    assert!((found[0].share - 0.24).abs() < 1e-9 && !found[0].is_concurrent);
    // One after the other they are two.
    let two = request().each(8, 3000, by_id).each(8, 3000, other);
    assert_eq!(two.found(), [(Pattern::NPlusOne, 8), (Pattern::NPlusOne, 8)]);
    // As are those that run more often.
    let twice =
        |make: Make, row| make.query(&by_id(row), SLOW).query(&other(2 * row), SLOW).query(&other(2 * row + 1), SLOW);
    assert_eq!((0..8).fold(request(), twice).found(), [(Pattern::NPlusOne, 8), (Pattern::NPlusOne, 16)]);
}

#[test]
fn what_runs_at_once_takes_its_time_once() {
    let mut make = request().each(8, 30_000, by_id);
    for (query, start) in make.unit.queries.iter_mut().zip(0..) {
        (query.start, query.end) = (start, start + 30_000_000);
    }
    let found = repeated(&make.unit, &Settings::default());
    assert!(found[0].is_concurrent && found[0].share < 0.31, "{found:?}");
    assert_eq!(found[0].took, Duration::from_nanos(30_000_007));
}

#[test]
fn redundant() {
    let redundant = |count| vec![(Pattern::Redundant, count)];
    for (case, make, expected) in [
        ("five", request().each(5, 10, |_| by_id(1)), redundant(5)),
        ("four", request().each(4, SLOW, |_| by_id(1)), vec![]),
        ("five among others", request().each(7, 10, |row| by_id(row / 5 * row)), redundant(5)),
        ("without values", request().each(5, SLOW, hidden), vec![]),
        ("nothing that is stored", request().each(9, SLOW, |_| "select now()".into()), vec![]),
        ("writes", request().each(9, SLOW, |_| "update t set a = 1 where b = 2".into()), vec![]),
    ] {
        assert_eq!(make.found(), expected, "{case}");
    }
}

#[test]
fn write_loops() {
    let writes = |count| vec![(Pattern::WriteLoop, count)];
    let insert = |row: u64| format!("insert into t values ({row}, 1)");
    for (case, make, expected) in [
        ("ten", request().each(10, SLOW, insert), writes(10)),
        ("nine", request().each(9, SLOW, insert), vec![]),
        ("quick ones", request().each(10, 100, insert), vec![]),
        ("rows at once", request().each(10, SLOW, |row| format!("{}, (3, 4)", insert(row))), vec![]),
        ("changes", request().each(10, SLOW, |row| format!("update t set a = {row} where b = 1")), writes(10)),
        ("moves", request().each(10, SLOW, |_| "copy t from stdin".into()), vec![]),
    ] {
        assert_eq!(make.found(), expected, "{case}");
    }
}

#[test]
fn what_failed_or_was_sent_at_once_is_none() {
    for change in [
        (|query| query.is_error = true) as fn(&mut Executed),
        |query| query.is_batch = true,
        |query| query.counts = false,
    ] {
        let mut make = request().each(12, SLOW, by_id);
        assert_eq!(make.found().len(), 1);
        make.unit.queries.iter_mut().for_each(change);
        assert_eq!(make.found(), []);
    }
}

#[test]
fn without_a_request() {
    let job = |rows: u64, micros: u64| {
        let mut make = request().each(rows, micros, by_id);
        (make.unit.is_request, make.unit.took) = (false, None);
        make.found().len()
    };
    assert_eq!((job(5, 10_000), job(5, 9999)), (1, 0));
    assert_eq!((job(60, 1_000_000), job(61, 1_000_000)), (1, 0));
}

#[test]
fn an_empty_unit() {
    assert_eq!(request().found(), []);
    assert_eq!(repeated(&Unit::default(), &Settings::default()), []);
}
