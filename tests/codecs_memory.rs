//! What running encoders hold in memory, in a process of their own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::fs;

use pacecar::{
    compress::{
        Settings,
        encoder::{Encoder, max_encoder_bytes},
    },
    header::coding::Coding,
};

/// So many of each coding run at a time, in the midst of a body each.
const ENCODERS: usize = 24;

#[test]
fn encoders_stay_within_what_they_say() {
    let settings = Settings::default();
    let mut random = fastrand::Rng::with_seed(1);
    let body: Vec<u8> = (0..600_000).map(|_| b"abcdefghijklmnop"[random.usize(..16)]).collect();
    // All of them stay, so that none is measured in memory that another has left.
    let mut running = Vec::new();
    for coding in Coding::ALL {
        let before = resident();
        for number in 0..ENCODERS {
            // Of every other one the length is announced.
            let length = (number % 2 == 0).then_some(2_000_000);
            let mut encoder = Encoder::new(coding, &settings, length).unwrap();
            for part in body.chunks(16 << 10) {
                encoder.push(part).unwrap();
            }
            running.push(encoder);
        }
        let each = resident().saturating_sub(before) / ENCODERS;
        let bound = max_encoder_bytes(coding);
        println!("{coding:?}: {each} of {bound}");
        assert!(each <= bound, "{coding:?}: {each} bytes are more than {bound}");
        assert!(each >= bound / 4, "{coding:?}: {each} bytes are much less than {bound}");
    }
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}
