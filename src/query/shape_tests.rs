//! Endpoints of many shapes, each with what is true of it: what is said to be certain must be so, and what is wrong must
//! be found.

use super::{
    Confidence, Settings, What,
    detect::Pattern,
    fixture::{App, Trace},
    otlp::SpanKind,
};

/// What an endpoint does in a request of this number.
type Make = fn(&mut Trace, u64);

const LIST: &str = "select id, author_id from posts order by id desc limit 20";
const SESSION: &str = "select user_id from sessions where token = $1";
const BY_ID: &str = "select name from authors where id = $1";

fn by_id(row: u64) -> String {
    format!("select name from authors where id = {row}")
}

fn hidden(text: &'static str) -> impl Fn(u64) -> String {
    move |_| text.into()
}

/// Of each shape: its name, what is true of it, and what its requests do.
const SHAPES: [(&str, Option<Pattern>, Make); 55] = [
    ("look-ups with values", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        trace.each(12, 1.0, by_id);
    }),
    ("look-ups without values", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        trace.each(12, 1.0, hidden(BY_ID));
    }),
    ("as many as there are rows", Some(Pattern::NPlusOne), |trace, n| {
        trace.query(LIST, 2.0);
        trace.each(8 + n % 12, 1.0, hidden(BY_ID));
    }),
    ("a pool that connects between", Some(Pattern::NPlusOne), |trace, _| {
        trace.connect();
        trace.query(LIST, 2.0);
        for row in 0..12 {
            trace.connect();
            trace.query(by_id(row), 1.0);
        }
    }),
    ("all at once", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        trace.at_once(12, 3.0, by_id);
    }),
    ("all at once, without values", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        trace.at_once(12, 3.0, hidden(BY_ID));
    }),
    ("two that take turns", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        for row in 0..10 {
            trace.query(by_id(row), 1.0);
            trace.query(format!("select count(*) from comments where post_id = {row}"), 1.0);
        }
    }),
    ("five, the fewest", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        trace.each(5, 1.0, by_id);
    }),
    ("Rails", Some(Pattern::NPlusOne), |trace, _| {
        trace.query("SELECT \"posts\".* FROM \"posts\" LIMIT $1", 2.0);
        trace.each(25, 0.8, hidden("SELECT \"users\".* FROM \"users\" WHERE \"users\".\"id\" = $1 LIMIT $2"));
    }),
    ("the newest of each", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        trace.each(15, 1.0, |row| format!("select body from comments where post_id = {row} order by at desc limit 1"));
    }),
    ("a number of each", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        trace.each(15, 1.0, |row| format!("select count(*) from comments where post_id = {row}"));
    }),
    ("whether there is one of each", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        trace.each(20, 1.0, |row| format!("select 1 from likes where post_id = {row} and user_id = 7 limit 1"));
    }),
    ("in a transaction", Some(Pattern::NPlusOne), |trace, _| {
        trace.query("BEGIN", 0.2);
        trace.query(LIST, 2.0);
        for row in 0..9 {
            trace.query("SAVEPOINT a", 0.2);
            trace.query(by_id(row), 1.0);
            trace.query("RELEASE SAVEPOINT a", 0.2);
        }
        trace.query("COMMIT", 0.2);
    }),
    ("values beside the statement", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        for row in 0..8 {
            trace.query(BY_ID, 1.0).database.as_mut().unwrap().sent = Some(row);
        }
    }),
    ("slow ones in a long request", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        trace.each(6, 800.0, by_id);
    }),
    ("two levels", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        trace.each(10, 1.0, by_id);
        trace.each(10, 1.0, |row| format!("select name from companies where id = {row}"));
    }),
    ("with a join", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        trace.each(10, 1.0, |row| {
            format!("select t.name from tags t join post_tags p on p.tag_id = t.id where p.post_id = {row}")
        });
    }),
    ("lists of one", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        trace.each(10, 1.0, |row| format!("select name from authors where id in ({row})"));
    }),
    ("one of them fails", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        trace.each(10, 1.0, by_id);
        trace.query(by_id(3), 1.0).is_error = true;
    }),
    ("told by the mapper and the driver", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        for row in 0..8 {
            let outer = trace.query(by_id(row), 1.0).clone();
            let inner = trace.query(by_id(row), 0.8);
            inner.parent = Some(outer.id);
        }
    }),
    ("in every third request", Some(Pattern::NPlusOne), |trace, n| {
        trace.query(LIST, 2.0);
        trace.each(if n % 3 == 0 { 12 } else { 1 }, 1.0, by_id);
    }),
    ("ids with a cast", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        trace.each(12, 1.0, hidden("select name from authors where id = $1::uuid"));
    }),
    ("values in MySQL", Some(Pattern::NPlusOne), |trace, _| {
        trace.dialect = super::fingerprint::Dialect::MySql;
        trace.query("select `id` from `posts` limit 20", 2.0);
        trace.each(12, 1.0, |row| format!("select `name` from `authors` where `id` = '{row}' limit 21"));
    }),
    ("values in SQLite", Some(Pattern::NPlusOne), |trace, _| {
        trace.dialect = super::fingerprint::Dialect::Sqlite;
        trace.query("SELECT \"posts\".\"id\" FROM \"posts\" LIMIT 20", 2.0);
        trace.each(12, 1.0, |row| format!("SELECT \"a\".\"name\" FROM \"a\" WHERE \"a\".\"id\" = {row} LIMIT 21"));
    }),
    ("through a view of the ORM", Some(Pattern::NPlusOne), |trace, _| {
        let server = trace.parent;
        let within = trace.span(SpanKind::Internal, 1, None);
        trace.parent = Some(within.id);
        trace.spans.push(within);
        trace.query(LIST, 2.0);
        trace.each(12, 1.0, by_id);
        trace.parent = server;
    }),
    ("fifty and more", Some(Pattern::NPlusOne), |trace, _| {
        trace.query(LIST, 2.0);
        trace.each(80, 0.5, by_id);
    }),
    ("rows written one by one", Some(Pattern::WriteLoop), |trace, _| {
        trace.query("begin", 0.1);
        trace.each(15, 2.0, |row| format!("insert into lines (a, b) values ({row}, 'x')"));
        trace.query("commit", 0.1);
    }),
    ("rows changed one by one", Some(Pattern::WriteLoop), |trace, _| {
        trace.each(12, 2.0, hidden("update stock set n = n - $1 where id = $2"));
    }),
    ("rows removed one by one", Some(Pattern::WriteLoop), |trace, _| {
        trace.each(12, 2.0, |row| format!("delete from lines where id = {row}"));
    }),
    ("the same with the same value", Some(Pattern::Redundant), |trace, _| {
        trace.each(8, 1.0, |_| by_id(7));
    }),
    ("the same without any value", Some(Pattern::Redundant), |trace, _| {
        trace.each(6, 1.0, hidden("select name, content from settings"));
    }),
    ("the same with the same value beside it", Some(Pattern::Redundant), |trace, _| {
        for _ in 0..6 {
            trace.query(BY_ID, 1.0).database.as_mut().unwrap().sent = Some(7);
        }
    }),
    ("lists of what belongs", None, |trace, n| {
        trace.query(LIST, 2.0);
        for table in ["authors", "tags", "comments"] {
            trace.query(format!("select * from {table} where id in ({n}, 2, 3, 4)"), 3.0);
        }
    }),
    ("lists in parts", None, |trace, _| {
        trace.query(LIST, 2.0);
        trace.each(8, 5.0, |part| format!("select * from authors where id in ({part}, 1{part}, 2{part})"));
    }),
    ("lists as arrays", None, |trace, _| {
        trace.query(LIST, 2.0);
        trace.each(12, 5.0, hidden("select * from authors where id = any($1)"));
    }),
    ("a dozen different ones", None, |trace, _| {
        for table in ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"] {
            trace.query(format!("select count(*) from {table} where day = 3"), 4.0);
        }
    }),
    ("different ones at once", None, |trace, _| {
        let tables = ["a", "b", "c", "d", "e", "f", "g", "h"];
        trace.at_once(8, 4.0, |row| format!("select count(*) from {} where day = $1", tables[row as usize]));
    }),
    ("tried again after failing", None, |trace, _| {
        for _ in 0..6 {
            trace.query("select * from stock where id = 7 for update", 4.0).is_error = true;
        }
        trace.query("select * from stock where id = 7 for update", 4.0);
    }),
    ("page after page", None, |trace, _| {
        trace.each(8, 5.0, |page| format!("select * from posts where blog = 3 order by id limit 100 offset {page}00"));
    }),
    ("page after page by key", None, |trace, _| {
        trace
            .each(8, 5.0, |page| format!("select * from posts where blog = 3 and id > {page}00 order by id limit 100"));
    }),
    ("page after page by key, without values", None, |trace, _| {
        trace.each(12, 5.0, hidden("select * from posts where blog = $1 and id > $2 order by id limit $3"));
    }),
    ("four", None, |trace, _| {
        trace.query(LIST, 2.0);
        trace.each(4, 3.0, by_id);
    }),
    ("asking now and then", None, |trace, _| {
        for _ in 0..8 {
            trace.query("select state from jobs where id = 7", 1.0);
            trace.wait(200.0);
        }
    }),
    ("asking now and then, without values", None, |trace, _| {
        trace.query(LIST, 2.0);
        for _ in 0..12 {
            trace.query("select state from jobs where id = $1", 4.0);
            trace.wait(200.0);
        }
    }),
    ("signs of life", None, |trace, _| {
        trace.each(12, 2.0, hidden("SELECT 1"));
    }),
    ("settings and transactions", None, |trace, _| {
        trace.each(12, 2.0, |row| format!("set local app.user = '{row}'"));
        trace.each(12, 2.0, hidden("commit"));
    }),
    ("what the database consists of", None, |trace, _| {
        trace.each(12, 2.0, |row| format!("select typname from pg_catalog.pg_type where oid = {row}"));
    }),
    ("numbers of a sequence", None, |trace, _| {
        trace.each(12, 2.0, hidden("select nextval('ids') from counters where name = 'x'"));
    }),
    ("statements sent at once", None, |trace, _| {
        for row in 0..12 {
            trace.query(format!("insert into lines values ({row})"), 3.0).database.as_mut().unwrap().batch = Some(100);
        }
    }),
    ("many rows at once, in parts", None, |trace, _| {
        trace.each(12, 5.0, |part| format!("insert into lines values ({part}, 1), ({part}, 2), ({part}, 3)"));
    }),
    ("too quick to matter", None, |trace, _| {
        trace.query(LIST, 2.0);
        trace.each(6, 0.1, by_id);
        trace.wait(200.0);
    }),
    ("in one odd request", None, |trace, n| {
        trace.query(LIST, 2.0);
        trace.each(if n == 7 { 30 } else { 1 }, 1.0, by_id);
    }),
    ("two values in turn", None, |trace, _| {
        trace.query(SESSION, 1.0);
        trace.each(8, 3.0, |row| by_id(row % 2));
    }),
    ("a cursor", None, |trace, _| {
        trace.query("declare c cursor for select * from posts", 1.0);
        trace.each(12, 5.0, hidden("fetch 100 from c"));
    }),
    ("lists of what is changed", None, |trace, _| {
        trace.each(12, 5.0, |part| format!("update stock set n = 0 where id in ({part}, 1{part})"));
    }),
];

/// Requests of each shape.
const REQUESTS: u64 = 20;

/// What is said of an endpoint of this shape, the surest first.
fn said(make: Make) -> Vec<(Confidence, Pattern)> {
    let mut app = App::new(Settings::default());
    for n in 0..REQUESTS {
        app.request("/it", |trace| make(trace, n));
    }
    let mut said: Vec<(Confidence, Pattern)> = app
        .settled()
        .findings
        .iter()
        .filter_map(|finding| match &finding.what {
            What::Repeated(repetition) => Some((finding.confidence, repetition.pattern)),
            _ => None,
        })
        .collect();
    said.sort_by(|a, b| b.cmp(a));
    said
}

#[test]
fn what_is_said_is_so_and_what_is_so_is_said() {
    let (mut wrong, mut missed) = (Vec::new(), Vec::new());
    let (mut all, mut confirmed) = (0, 0);
    for (name, truth, make) in SHAPES {
        let said = said(make);
        let is_said = |least: Confidence| {
            said.iter().any(|(confidence, pattern)| *confidence >= least && Some(*pattern) == truth)
        };
        if said.iter().any(|(confidence, pattern)| *confidence > Confidence::Candidate && Some(*pattern) != truth) {
            wrong.push((name, said.clone()));
        }
        all += usize::from(truth.is_some());
        confirmed += usize::from(is_said(Confidence::Confirmed));
        if truth.is_some() && !is_said(Confidence::Likely) {
            missed.push((name, said));
        }
    }
    assert!(wrong.is_empty(), "said, and not so: {wrong:#?}");
    let recall = (all - missed.len()) as f64 / all as f64;
    assert!(recall >= 0.9, "{recall}: {missed:#?}");
    assert!(missed.is_empty(), "{missed:#?}");
    // The rest shows no values, and the same number each time.
    assert!(confirmed + 5 >= all, "{confirmed} of {all} are certain");
}

/// What may be repeated with the same value, of which nobody can tell, is not said to be certain.
#[test]
fn without_values_it_is_likely_at_most() {
    let said = said(|trace, _| {
        trace.query(SESSION, 1.0);
        trace.each(6, 4.0, hidden("select allowed from permissions where user_id = $1 and action = $2"));
    });
    assert_eq!(said, [(Confidence::Likely, Pattern::NPlusOne)]);
    let alone = self::said(|trace, _| trace.each(6, 4.0, hidden(BY_ID)));
    assert_eq!(alone, []);
}

/// Jobs work through lists: what answers no request is a candidate at most, and nothing if it takes long.
#[test]
fn jobs() {
    let said = |kind: SpanKind, rows: u64, millis: f64, background: bool| {
        let mut settings = Settings::default();
        settings.n_plus_one.background = background;
        let mut app = App::new(settings);
        for _ in 0..REQUESTS {
            let mut trace = app.trace();
            let job = trace.span(kind, 1 << 50, None);
            trace.parent = Some(job.id);
            trace.query(LIST, 2.0);
            trace.each(rows, millis, by_id);
            let end = trace.span(kind, 1 << 50, None).end;
            trace.spans.push(super::otlp::Span { end, ..job });
            app.send(trace.spans);
        }
        app.settled().findings.iter().map(|finding| finding.confidence).collect::<Vec<_>>()
    };
    assert_eq!(said(SpanKind::Consumer, 20, 10.0, false), [Confidence::Candidate]);
    assert_eq!(said(SpanKind::Internal, 20, 10.0, false), [Confidence::Candidate]);
    // Together they take less than 50 ms, for which nobody waits.
    assert_eq!(said(SpanKind::Consumer, 20, 2.0, false), []);
    // It takes more than a minute.
    assert_eq!(said(SpanKind::Consumer, 700, 100.0, false), []);
    assert_eq!(said(SpanKind::Consumer, 700, 100.0, true), [Confidence::Candidate]);
}
