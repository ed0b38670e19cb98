//! What reading a query that is known takes from the allocator: nothing. And what little foreign bytes can take.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use pacecar::query::{
    Endpoint, Observer, Request, Settings,
    fingerprint::{Dialect, Key, Mask, fingerprint, fingerprint_masked},
    otlp::{MOST_BYTES, Refusal, inflate},
    server_timing,
    trace::{SpanId, TraceId},
};

const DIALECTS: [Dialect; 4] = [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite, Dialect::Unknown];

#[test]
fn a_fingerprint_allocates_nothing() {
    let list: Vec<String> = (0..500).map(|n| format!("'value {n}'")).collect();
    let statements = [
        "select 1".to_owned(),
        "SELECT \"users\".* FROM \"users\" WHERE \"users\".\"id\" = $1 LIMIT $2 /*route='%2Fusers'*/".into(),
        format!("select a from t where b in ({})", list.join(", ")),
        format!("insert into t (a, b) values ({})", list.join(", 2), (")),
        "with recent as (select $$it's$$::text as a) select -1.5e3, 'open string".into(),
    ];
    let (key, masks) = (Key::default(), ["u*s", "*_id"].map(|text| Mask::new(text).unwrap()));
    for text in &statements {
        for dialect in DIALECTS {
            let counted = allocation_counter::measure(|| {
                std::hint::black_box(fingerprint(std::hint::black_box(text), dialect, &key));
            });
            assert_eq!(counted.count_total, 0, "{dialect:?}: {text:.60}: {counted:?}");
            let counted = allocation_counter::measure(|| {
                std::hint::black_box(fingerprint_masked(std::hint::black_box(text), dialect, &key, &masks));
            });
            assert_eq!(counted.count_total, 0, "masked: {dialect:?}: {text:.60}: {counted:?}");
        }
    }
}

#[test]
fn reading_server_timing_allocates_nothing() {
    let line = b"db;dur=53.2;desc=\"12 queries\", app;dur=47.2, cache;desc=\"hit\", miss".as_slice();
    let counted = allocation_counter::measure(|| {
        assert!(std::hint::black_box(server_timing::read([line])).is_some());
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

/// A request is put into a ring; only every so often somebody empties it.
#[test]
fn telling_of_a_request_allocates_nothing() {
    let (now, name) = (Instant::now(), Arc::<str>::from("/users/{id}"));
    let observer = Observer::new(Settings::default(), now);
    let request = |n: u64| Request {
        trace: TraceId::new(u128::from(n) + 1),
        span: SpanId::new(n + 1),
        endpoint: Endpoint { method: "GET", name: name.clone() },
        took: Duration::from_millis(1),
        database: None,
    };
    // The thread has its ring, which was emptied just now.
    observer.request(request(0), now);
    observer.turn(now);
    let counted = allocation_counter::measure(|| (1..60).for_each(|n| observer.request(request(n), now)));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

/// A body of a few hundred kilobytes that unpacks to very much more is given up in time.
#[test]
fn a_bomb_takes_little() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    (0..(4 * MOST_BYTES) >> 20).for_each(|_| bomb.write_all(&[0; 1 << 20]).unwrap());
    let bomb = bomb.finish().unwrap();
    let counted = allocation_counter::measure(|| assert_eq!(inflate(&bomb), Err(Refusal::TooLarge)));
    assert!(counted.bytes_max < 4 * MOST_BYTES as u64, "{counted:?}");
}
