//! Any bytes as a body of spans: read as what they begin like, and taken by an observer, which stays within its bounds.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use pacecar::query::{
    Observer, Settings,
    otlp::{Format, MOST_BYTES, MOST_SPANS, decode, inflate},
};

fuzz_target!(|body: &[u8]| {
    let inflated;
    let body = if body.starts_with(&[0x1f, 0x8b]) {
        let Ok(whole) = inflate(body) else { return };
        assert!(whole.len() <= MOST_BYTES, "{}", whole.len());
        inflated = whole;
        &inflated
    } else {
        body
    };
    let format = if body.first() == Some(&b'{') { Format::Json } else { Format::Protobuf };
    let Ok(decoded) = decode(body, format) else { return };
    assert!(decoded.spans.len() <= MOST_SPANS, "{}", decoded.spans.len());
    let begin = Instant::now();
    let observer = Observer::new(Settings { max_fingerprints: 10, ..Settings::default() }, begin);
    observer.spans(&decoded, begin);
    // The same again is known, and told apart from what is new.
    observer.spans(&decoded, begin);
    let end = begin + Duration::from_secs(300);
    observer.turn(end);
    let snapshot = observer.snapshot(Duration::from_secs(3600), end);
    assert!(snapshot.queries.len() <= 10 && snapshot.bounds.open_traces == 0, "{:?}", snapshot.bounds);
});
