//! Any text as a statement: its shape is its own shape, it can be planned or not, and a value within it is never shown.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pacecar::query::{
    explain::{Plan, statement},
    fingerprint::{Dialect, Key, Kind, LONGEST_READ, LONGEST_TEXT, fingerprint, normalise},
    tables::subject,
};

const DIALECTS: [Dialect; 4] = [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite, Dialect::Unknown];

fuzz_target!(|text: &str| {
    let key = Key::default();
    for dialect in DIALECTS {
        let print = fingerprint(text, dialect, &key);
        let shape = normalise(text, dialect);
        assert!(shape.len() <= LONGEST_TEXT);
        // What is longer is cut, and its beginning is another statement.
        if shape.len() < LONGEST_TEXT / 2 && text.len() < LONGEST_READ {
            assert_eq!(normalise(&shape, dialect), shape, "{dialect:?}: {text:?}");
            assert_eq!(fingerprint(&shape, dialect, &key).id, print.id, "{dialect:?}: {text:?}");
        }
        subject(&shape, dialect);
        for kind in [Kind::Select, Kind::Update, Kind::Delete] {
            let _ = statement(&shape, kind);
        }
    }
    let _ = Plan::read(text);

    // As a value, in the way that its dialect writes it, it makes no difference.
    let doubled = text.replace('\'', "''");
    let escaped = doubled.replace('\\', "\\\\");
    for (dialect, value) in [(Dialect::Postgres, &doubled), (Dialect::Sqlite, &doubled), (Dialect::MySql, &escaped)] {
        // Beyond what is read of a statement, nothing is told apart.
        if value.len() < 1000 {
            let of = |value: &str| normalise(&format!("select a from t where b = '{value}' and c = 1"), dialect);
            assert_eq!(of(value), of("v"), "{dialect:?}: {text:?}");
        }
    }
});
