//! The encoders and decoders against each other, and against the decoders of others.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::{
    io::Write,
    process::{Command, Stdio},
};

use bytes::Bytes;
use pacecar::{
    compress::{
        Settings,
        decoder::{Decoder, Malformed, PIECE_BYTES},
        encoder::{Effort, Encoder, Failed, whole},
    },
    header::coding::Coding,
};
use proptest::prelude::*;

/// The best effort takes seconds for a megabyte in a debug build.
const MAX_BEST_BYTES: usize = (64 << 10) + 1;

/// Bodies at the edges: of `min_bytes`, of buffers, of windows.
fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", Vec::new()),
        ("one byte", vec![b'x']),
        ("499 of text", text(499)),
        ("500 of text", text(500)),
        ("501 of noise", noise(501)),
        ("64 KiB - 1 of text", text((64 << 10) - 1)),
        ("64 KiB of noise", noise(64 << 10)),
        ("64 KiB + 1 of text", text((64 << 10) + 1)),
        ("1 MiB of noise", noise(1 << 20)),
        ("1 MiB of text", text(1 << 20)),
        ("1 MiB of the same", vec![b'a'; 1 << 20]),
    ]
}

/// JSON that does not repeat itself exactly.
fn text(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(len as u64);
    let mut text = String::new();
    while text.len() < len {
        let (id, price, words) = (random.u16(..), random.u8(..), ["red", "green", "blue", "a shade of grey"]);
        let word = words[random.usize(..words.len())];
        text += &format!("{{\"id\":{id},\"price\":{price}.50,\"colour\":\"{word}\"}},\n");
    }
    text.truncate(len);
    text.into()
}

fn noise(len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(len as u64);
    (0..len).map(|_| random.u8(..)).collect()
}

/// Codes in parts of this length.
fn streamed(
    coding: Coding,
    settings: &Settings,
    length: Option<u64>,
    body: &[u8],
    part: usize,
) -> Result<Vec<u8>, Failed> {
    let mut encoder = Encoder::new(coding, settings, length)?;
    let mut coded = Vec::new();
    for part in body.chunks(part) {
        coded.extend_from_slice(&encoder.push(part)?);
    }
    coded.extend_from_slice(&encoder.finish()?);
    Ok(coded)
}

/// Pulls all that is there.
fn pull(decoder: &mut Decoder, into: &mut Vec<u8>) -> Result<(), Malformed> {
    while let Some(piece) = decoder.next()? {
        assert!(!piece.is_empty() && piece.len() <= PIECE_BYTES);
        into.extend_from_slice(&piece);
    }
    Ok(())
}

/// Decodes in parts of this length.
fn decoded(coding: Coding, coded: &[u8], part: usize) -> Result<Vec<u8>, Malformed> {
    let mut decoder = Decoder::new(coding)?;
    let mut body = Vec::new();
    for part in coded.chunks(part) {
        decoder.push(Bytes::copy_from_slice(part));
        pull(&mut decoder, &mut body)?;
    }
    decoder.finish()?;
    Ok(body)
}

#[test]
fn round_trips() {
    let settings = Settings::default();
    for coding in Coding::ALL {
        for (name, body) in bodies() {
            let length = Some(body.len() as u64);
            for coded in [
                streamed(coding, &settings, None, &body, 10_000).unwrap(),
                streamed(coding, &settings, length, &body, 100_000).unwrap(),
                whole(coding, Effort::Quick, &settings, &body).unwrap().0.to_vec(),
            ] {
                assert!(decoded(coding, &coded, 10_000).as_ref() == Ok(&body), "{coding:?} {name}");
                assert!(by_tool(coding, &coded).as_ref() == Some(&body), "{coding:?} {name}");
            }
        }
    }
}

#[test]
fn round_trips_at_best() {
    let settings = Settings::default();
    for coding in Coding::ALL {
        for (name, body) in bodies().into_iter().filter(|(_, body)| body.len() <= MAX_BEST_BYTES) {
            let coded = whole(coding, Effort::Best, &settings, &body).unwrap().0;
            assert!(decoded(coding, &coded, 7).as_ref() == Ok(&body), "{coding:?} {name}");
            assert!(by_tool(coding, &coded).as_ref() == Some(&body), "{coding:?} {name}");
        }
    }
}

/// Levels out of range count as the nearest one.
#[test]
fn every_level() {
    let body = text(70_000);
    for level in 0..=20 {
        let settings =
            Settings { gzip_level: level, brotli_level: level, zstd_level: level.cast_signed(), ..Settings::default() };
        for coding in Coding::ALL {
            for coded in [
                streamed(coding, &settings, None, &body, 10_000).unwrap(),
                whole(coding, Effort::Quick, &settings, &body).unwrap().0.to_vec(),
            ] {
                assert!(coded.len() < body.len() / 3, "{coding:?} {level}: {}", coded.len());
                assert!(decoded(coding, &coded, 10_000).as_ref() == Ok(&body), "{coding:?} {level}");
            }
        }
    }
}

#[test]
fn best_is_smaller() {
    let (settings, body) = (Settings::default(), text(100_000));
    for coding in Coding::ALL {
        let [quick, best] =
            [Effort::Quick, Effort::Best].map(|effort| whole(coding, effort, &settings, &body).unwrap().0.len());
        assert!(best < quick, "{coding:?}: {best} of {quick}");
    }
}

/// RFC 9659 §3: at most 8 MiB, whatever the level and however long the body.
#[test]
fn windows_of_zstandard() {
    let mut body = text(1 << 20);
    body.resize(9 << 20, b' ');
    for level in [1, 6, 19] {
        let settings = Settings { zstd_level: level, ..Settings::default() };
        let coded = whole(Coding::Zstd, Effort::Quick, &settings, &body).unwrap().0;
        assert!(window(&coded) <= 8 << 20, "{level}: {}", window(&coded));
        let coded = streamed(Coding::Zstd, &settings, None, &body, 1 << 20).unwrap();
        assert_eq!(window(&coded), 256 << 10, "{level}");
    }
    let best = whole(Coding::Zstd, Effort::Best, &Settings::default(), &body).unwrap().0;
    assert!(window(&best) <= 8 << 20, "{}", window(&best));
    assert!(by_tool(Coding::Zstd, &best).as_ref() == Some(&body));
}

/// The window of a frame (RFC 8878 §3.1.1.1.2); none of these has a single segment.
fn window(frame: &[u8]) -> u64 {
    assert_eq!(frame[4] >> 5 & 1, 0, "a single segment");
    let base = 1 << (10 + (frame[5] >> 3));
    base + base / 8 * u64::from(frame[5] & 7)
}

#[test]
fn nothing_is_ready_before_there_is_enough() {
    for coding in Coding::ALL {
        let mut encoder = Encoder::new(coding, &Settings::default(), None).unwrap();
        assert!(!encoder.is_behind());
        assert_eq!(encoder.flush().unwrap(), Bytes::new(), "{coding:?}: nothing to flush");
        encoder.push(b"").unwrap();
        assert!(!encoder.is_behind());
        encoder.push(b"event: tick\n\n").unwrap();
        assert!(encoder.is_behind());
        assert_ne!(encoder.flush().unwrap(), Bytes::new(), "{coding:?}");
        assert!(!encoder.is_behind());
        assert_eq!(encoder.flush().unwrap(), Bytes::new(), "{coding:?}: flushed before");
        encoder.finish().unwrap();
        assert!(encoder.cpu() > std::time::Duration::ZERO);
    }
}

/// A body of another length than was announced, and whatever follows an end, makes no end.
#[test]
fn encoders_that_failed() {
    for coding in Coding::ALL {
        let mut long = Encoder::new(coding, &Settings::default(), Some(3)).unwrap();
        long.push(b"abc").unwrap();
        assert!(long.push(b"d").is_err(), "{coding:?}");
        assert!(long.finish().is_err() && long.push(b"").is_err() && long.flush().is_err(), "{coding:?}");

        let mut short = Encoder::new(coding, &Settings::default(), Some(3)).unwrap();
        short.push(b"ab").unwrap();
        assert!(short.finish().is_err(), "{coding:?}");
        assert!(short.push(b"c").is_err() && short.finish().is_err(), "{coding:?}");

        let mut ended = Encoder::new(coding, &Settings::default(), None).unwrap();
        ended.finish().unwrap();
        assert!(ended.push(b"a").is_err() && ended.finish().is_err(), "{coding:?}");
    }
}

/// One that is dropped half-way leaves nothing behind for the next.
#[test]
fn back_ends_are_reset() {
    let (settings, body) = (Settings::default(), text(100_000));
    for coding in Coding::ALL {
        let fresh = streamed(coding, &settings, None, &body, 10_000).unwrap();
        for _ in 0..6 {
            let mut dropped = Encoder::new(coding, &settings, Some(1 << 20)).unwrap();
            dropped.push(&noise(300_000)).unwrap();
            drop(dropped);
            assert!(streamed(coding, &settings, None, &body, 10_000).unwrap() == fresh, "{coding:?}");
        }
    }
}

#[test]
fn cut_streams_have_no_end() {
    let settings = Settings::default();
    for coding in Coding::ALL {
        for body in [Vec::new(), b"x".to_vec(), text(3000), noise(3000), text(200_000)] {
            for coded in [
                streamed(coding, &settings, None, &body, 1000).unwrap(),
                whole(coding, Effort::Quick, &settings, &body).unwrap().0.to_vec(),
            ] {
                let step = (coded.len() / 500).max(1);
                for at in (0..coded.len()).step_by(step).chain(coded.len().saturating_sub(20)..coded.len()) {
                    let cut = decoded(coding, &coded[..at], 500);
                    assert_eq!(cut, Err(Malformed::Cut), "{coding:?}, {at} of {}", coded.len());
                }
            }
        }
    }
}

/// An encoder that is dropped before its end: its output has none, and tools of others say so.
#[test]
fn dropped_encoders_leave_no_whole_body() {
    let body = text(200_000);
    for coding in Coding::ALL {
        let mut encoder = Encoder::new(coding, &Settings::default(), None).unwrap();
        let mut coded = encoder.push(&body).unwrap().to_vec();
        coded.extend_from_slice(&encoder.flush().unwrap());
        drop(encoder);
        assert_eq!(decoded(coding, &coded, 1000), Err(Malformed::Cut), "{coding:?}");
        assert_eq!(by_tool(coding, &coded), None, "{coding:?}");
    }
}

/// What the coding's own tool makes of it, `None` if it complains.
fn by_tool(coding: Coding, coded: &[u8]) -> Option<Vec<u8>> {
    let inflate = "import sys, zlib; d = zlib.decompressobj(); o = sys.stdout.buffer; \
                   o.write(d.decompress(sys.stdin.buffer.read())); sys.exit(not d.eof or bool(d.unused_data))";
    let (program, arguments): (&str, &[&str]) = match coding {
        Coding::Zstd => ("zstd", &["-dcq"]),
        Coding::Br => ("brotli", &["-dc"]),
        Coding::Gzip => ("gzip", &["-dc"]),
        Coding::Deflate => ("python3", &["-c", inflate]),
    };
    let mut tool = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}, which `make test` installs: {error}"));
    let mut stdin = tool.stdin.take().unwrap();
    let coded = coded.to_vec();
    // It may stop reading at the first mistake.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&coded)));
    let output = tool.wait_with_output().unwrap();
    writer.join().unwrap();
    output.status.success().then_some(output.stdout)
}

#[test]
fn what_else_is_decoded() {
    let (settings, body) = (Settings::default(), text(5000));
    let [zstd, _, gzip, zlib] = Coding::ALL.map(|coding| streamed(coding, &settings, None, &body, 1000).unwrap());
    let twice = [&body[..], &body[..]].concat();
    // A frame that decoders skip (RFC 8878 §3.1.2).
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    // Of the zlib format: two bytes before the bare data, a checksum of four behind it.
    let bare = &zlib[2..zlib.len() - 4];
    let cases: &[(&str, Coding, Vec<u8>, &[u8])] = &[
        ("RFC 1952 §2.2: members follow one another", Coding::Gzip, [&gzip[..], &gzip[..]].concat(), &twice),
        ("RFC 8878 §3: so do frames", Coding::Zstd, [&zstd[..], &zstd[..]].concat(), &twice),
        ("RFC 8878 §3.1.2: some are skipped", Coding::Zstd, [&skippable[..], &zstd[..]].concat(), &body),
        ("RFC 9110 §8.4.1.2: deflate is the zlib format", Coding::Deflate, zlib.clone(), &body),
        ("RFC 9110 §8.4.1.2, note: or bare deflate data", Coding::Deflate, bare.to_vec(), &body),
        ("RFC 1951 §3.2.4: stored", Coding::Deflate, vec![1, 2, 0, 0xfd, 0xff, b'h', b'i'], b"hi"),
        ("RFC 1951 §3.2.6: fixed codes, empty", Coding::Deflate, vec![3, 0], b""),
        ("RFC 7932 §9.1: an empty body", Coding::Br, vec![6], b""),
    ];
    for (rule, coding, coded, expected) in cases {
        for part in [1, 2, 1000, 1 << 20] {
            assert!(decoded(*coding, coded, part).as_deref() == Ok(*expected), "{rule}, by {part}");
        }
    }
}

#[test]
fn what_is_malformed() {
    let (settings, body) = (Settings::default(), text(5000));
    let [zstd, br, gzip, zlib] = Coding::ALL.map(|coding| streamed(coding, &settings, None, &body, 1000).unwrap());
    let and = |coded: &[u8], more: &[u8]| [coded, more].concat();
    let with = |coded: &[u8], at: usize, byte: u8| {
        let mut coded = coded.to_vec();
        coded[at] ^= byte;
        coded
    };
    let cases: &[(&str, Coding, Vec<u8>, Malformed)] = &[
        ("an empty body has no end", Coding::Gzip, vec![], Malformed::Cut),
        ("RFC 1952 §2.3.1: CRC32", Coding::Gzip, with(&gzip, gzip.len() - 8, 1), Malformed::Invalid),
        ("RFC 1952 §2.3.1: ISIZE", Coding::Gzip, with(&gzip, gzip.len() - 1, 1), Malformed::Invalid),
        ("RFC 1952 §2.3.1: ID1", Coding::Gzip, zlib.clone(), Malformed::Invalid),
        ("RFC 1952 §2.2: only members follow", Coding::Gzip, and(&gzip, b"\0\0"), Malformed::Invalid),
        ("RFC 1950 §2.2: Adler-32", Coding::Deflate, with(&zlib, zlib.len() - 1, 1), Malformed::Invalid),
        (
            "RFC 1950 §2.2: a dictionary that nobody has",
            Coding::Deflate,
            vec![0x78, 0xbb, 1, 2, 3, 4],
            Malformed::Invalid,
        ),
        ("nothing follows", Coding::Deflate, and(&zlib, b"x"), Malformed::Trailing),
        ("nothing follows", Coding::Br, and(&br, b"x"), Malformed::Trailing),
        ("RFC 8878 §3: only frames follow", Coding::Zstd, and(&zstd, b"xxxxx"), Malformed::Invalid),
        // 16 MiB in one byte of the header (RFC 8878 §3.1.1.1.2).
        ("RFC 9659 §3: 8 MiB", Coding::Zstd, vec![0x28, 0xb5, 0x2f, 0xfd, 0, 14 << 3, 1, 0, 0], Malformed::Invalid),
        // What the encoder of Google calls a large window, here of 2^30.
        ("RFC 7932 §9.1: no such window", Coding::Br, vec![0x11, 0x1e, 0, 0, 0, 0, 0, 0], Malformed::Invalid),
    ];
    for (rule, coding, coded, expected) in cases {
        for part in [1, 1000] {
            assert_eq!(decoded(*coding, coded, part), Err(*expected), "{rule}, by {part}");
        }
    }
}

/// 64 MiB of the same: what came out before the refusal stays within the bound.
#[test]
fn bombs_are_refused() {
    for coding in Coding::ALL {
        let bomb = whole(coding, Effort::Quick, &Settings::default(), &vec![0; 64 << 20]).unwrap().0;
        for part in [bomb.len(), 100] {
            let (mut pushed, mut pulled) = (0, 0);
            let mut decoder = Decoder::new(coding).unwrap();
            let refusal = bomb.chunks(part).find_map(|part| {
                decoder.push(Bytes::copy_from_slice(part));
                pushed += part.len();
                loop {
                    match decoder.next() {
                        Ok(Some(piece)) => pulled += piece.len(),
                        Ok(None) => return None,
                        Err(malformed) => return Some(malformed),
                    }
                }
            });
            assert_eq!(refusal, Some(Malformed::Bomb), "{coding:?} by {part}");
            assert!(pulled <= (1 << 20).max(pushed * 200), "{coding:?} by {part}: {pulled} of {pushed}");
            decoder.push(Bytes::from_static(b"more"));
            assert_eq!(decoder.next(), Err(Malformed::Bomb), "and ever after");
            assert_eq!(decoder.finish(), Err(Malformed::Bomb));
        }
    }
}

fn any_coding() -> impl Strategy<Value = Coding> {
    prop::sample::select(&Coding::ALL[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After each flush the decoder has everything that was pushed, and after the end everything.
    #[test]
    fn any_parts_and_flushes(
        coding in any_coding(),
        seed in any::<u64>(),
        parts in prop::collection::vec((0..40_000_usize, any::<bool>(), any::<bool>()), 0..12),
        is_announced in any::<bool>(),
        decoded_by in 1..5000_usize,
    ) {
        let length = is_announced.then(|| parts.iter().map(|(length, _, _)| *length as u64).sum());
        let mut random = fastrand::Rng::with_seed(seed);
        let mut encoder = Encoder::new(coding, &Settings::default(), length).unwrap();
        let mut decoder = Decoder::new(coding).unwrap();
        let (mut body, mut seen) = (Vec::new(), Vec::new());
        let mut feed = |coded: &[u8], seen: &mut Vec<u8>| {
            for part in coded.chunks(decoded_by) {
                decoder.push(Bytes::copy_from_slice(part));
                pull(&mut decoder, seen).unwrap();
            }
        };
        for (length, is_text, is_flushed) in parts {
            let part = if is_text { text(length) } else { (0..length).map(|_| random.u8(..)).collect() };
            body.extend_from_slice(&part);
            feed(&encoder.push(&part).unwrap(), &mut seen);
            if is_flushed {
                feed(&encoder.flush().unwrap(), &mut seen);
                prop_assert!(seen == body, "{coding:?}: {} of {} after a flush", seen.len(), body.len());
            }
        }
        feed(&encoder.finish().unwrap(), &mut seen);
        prop_assert!(seen == body);
        prop_assert_eq!(decoder.finish(), Ok(()));
    }

    /// Foreign bytes, begun as the coding begins so that some get past the header.
    #[test]
    fn any_bytes_are_decoded_or_refused(
        coding in any_coding(),
        has_header in any::<bool>(),
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        part in 1..500_usize,
    ) {
        let header: &[u8] = match coding {
            Coding::Zstd => &[0x28, 0xb5, 0x2f, 0xfd],
            Coding::Gzip => &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3],
            Coding::Deflate => &[0x78, 0x9c],
            Coding::Br => &[0x0b],
        };
        let coded = if has_header { [header, &bytes[..]].concat() } else { bytes };
        if let Ok(body) = decoded(coding, &coded, part) {
            prop_assert!(body.len() <= (1 << 20).max(coded.len() * 200));
        }
    }

    /// A whole stream with a few bytes changed.
    #[test]
    fn damaged_streams_are_decoded_or_refused(
        coding in any_coding(),
        length in 0..100_000_usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        part in 1..20_000_usize,
    ) {
        let mut coded = streamed(coding, &Settings::default(), None, &text(length), 9000).unwrap();
        for (at, byte) in damage {
            let at = at.index(coded.len());
            coded[at] = byte;
        }
        if let Ok(body) = decoded(coding, &coded, part) {
            prop_assert!(body.len() <= (1 << 20).max(coded.len() * 200));
        }
    }
}
