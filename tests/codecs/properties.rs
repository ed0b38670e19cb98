//! What holds for any body, any parts and any bytes.

use bytes::Bytes;
use pacecar::{
    compress::{Settings, decoder::Decoder, encoder::Encoder},
    header::coding::Coding,
};
use proptest::prelude::*;

use crate::{decoded, pull, streamed, text};

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
