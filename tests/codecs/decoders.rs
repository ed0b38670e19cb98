//! What decoders take, and what they refuse.

use bytes::Bytes;
use pacecar::{
    compress::{
        Settings,
        decoder::{Decoder, Malformed},
        encoder::{Effort, whole},
    },
    header::coding::Coding,
};

use crate::{decoded, streamed, text};

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
