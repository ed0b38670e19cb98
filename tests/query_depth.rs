//! How deep statements may be, in a process of its own: a thread may be given the larger stack of one that has ended.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use pacecar::query::{
    fingerprint::{Dialect, normalise},
    tables::{MOST_PREDICATES, MOST_TABLES, subject},
};

/// On half of the stack that a thread of the program has, whatever the statement, and however little is optimised.
#[test]
fn deep_statements_are_no_danger() {
    let deep = |begin: &str, times: usize, end: &str| {
        format!("select a from t where {}b{}", begin.repeat(times), end.repeat(times))
    };
    let texts = move |times: usize| {
        [
            deep("(", times, ")"),
            deep("not ", times, ""),
            deep("", times, "+b"),
            deep("", times, " or b"),
            deep("", times, "::int"),
            deep("", times, "[1]"),
            deep("", times, " is null"),
            deep("", times, " between 1 and b"),
            deep("", times, " collate x"),
            deep("", times, " at time zone b"),
            deep("", times, " -> b"),
            deep("- ", times, ""),
            deep("f(", times, ")"),
            deep("case when ", times, " then b end"),
            deep("b in (select a from t where ", times, ")"),
            format!("select a from {}t{}", "(select a from ".repeat(times), ") x".repeat(times)),
            format!("select a from {}t{}", "(".repeat(times), ")".repeat(times)),
            format!("select a from t {}", "join t using (a) ".repeat(times)),
            format!("select a {}", "union select a ".repeat(times)),
            format!("{}select a", "with x as (".repeat(times)),
            format!("select a[{}", "[".repeat(times)),
            format!("select b{} from t", ".b".repeat(times)),
            format!("explain {}select a", "explain ".repeat(times)),
        ]
    };
    let run = move || {
        for text in [20, 45, 55, 120, 180, 240, 320, 480, 900, 2000].into_iter().flat_map(texts) {
            for dialect in [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite, Dialect::Unknown] {
                let shape = normalise(&text, dialect);
                let found = subject(&shape, dialect);
                assert!(found.tables.len() <= MOST_TABLES && found.predicates.len() <= MOST_PREDICATES);
            }
        }
    };
    let small = std::thread::Builder::new().stack_size(1 << 20);
    small.spawn(run).unwrap().join().unwrap();
}
