//! What encoders make, and what they never make.

use bytes::Bytes;
use pacecar::{
    compress::{
        Settings,
        decoder::{Decoder, Malformed},
        encoder::{Effort, Encoder, whole},
    },
    header::coding::Coding,
};

use crate::{MAX_BEST_BYTES, bodies, by_tool, decoded, noise, streamed, text};

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

/// A task that waits for its client may go on in another thread.
#[test]
fn they_are_sent_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Encoder>();
    is_send::<Decoder>();
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
