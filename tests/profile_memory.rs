//! What recording a request takes from the allocator: nothing, also where its figures are merged.

use std::time::{Duration, Instant, SystemTime};

use pacecar::profile::{CacheUse, Ending, Path, Profiler, Sample, Settings};

const REQUESTS: usize = 100_000;

#[test]
fn recording_a_request_allocates_nothing() {
    let profiler = Profiler::new(Settings::default(), Instant::now(), SystemTime::now());
    let ended = Instant::now();
    let titles = |n: usize| format!("/blog/{}/comments", word(n * 7919 % 100_000));
    for (name, path) in [
        ("one path", &(|_| "/api/products".to_owned()) as &dyn Fn(usize) -> String),
        ("ids", &|n| format!("/api/products/{}", n * 7919 % 100_000)),
        ("titles", &titles),
    ] {
        let paths: Vec<Path> = (0..2 * REQUESTS).map(|n| Path::of(path(n).as_bytes())).collect();
        let (first, then) = paths.split_at(REQUESTS);
        let record = |paths: &[Path]| paths.iter().for_each(|path| profiler.record(sample(*path, ended)));
        // Their endpoints come to be known.
        record(first);
        let counted = allocation_counter::measure(|| record(then));
        assert_eq!(counted.count_total, 0, "{name}: {counted:?}");
    }
}

fn sample(path: Path, ended: Instant) -> Sample {
    Sample {
        path,
        method: "GET",
        status: 200,
        cache: CacheUse::Hit,
        result: "hit",
        ended,
        duration: Duration::from_micros(500),
        upstream: None,
        compression: Duration::ZERO,
        bytes: 1000,
        saved: 0,
        ending: Ending::Complete,
        trace_id: None,
        span: None,
        queries: None,
    }
}

/// A number in letters, which no rule folds.
fn word(mut n: usize) -> String {
    let mut word = String::new();
    loop {
        word.push(char::from(b'a' + (n % 26) as u8));
        n /= 26;
        if n == 0 {
            return word;
        }
    }
}
