//! Up to eight letters as one number, so that words are hashed and compared without looking at each letter.

/// The bytes of a word of at most eight, as a number; with the length, it is that of no other word. A word is not read
/// beyond its end, but for the shorter ones some letters are read twice.
pub(super) const fn load(bytes: &[u8]) -> u64 {
    match bytes {
        [] => 0,
        [a] => *a as u64,
        [a, b] => *a as u64 | (*b as u64) << 8,
        [a, b, c] => *a as u64 | (*b as u64) << 8 | (*c as u64) << 16,
        [a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]) as u64,
        [a, b, c, d, e, f, g, h] => u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
        _ => load_middle(bytes),
    }
}

/// Five to seven bytes: four from each end.
const fn load_middle(bytes: &[u8]) -> u64 {
    let last = bytes.len() - 4;
    let from = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let to = u32::from_le_bytes([bytes[last], bytes[last + 1], bytes[last + 2], bytes[last + 3]]);
    from as u64 | (to as u64) << 32
}

/// With small letters for large ones, eight at a time: those whose bytes are from A to Z have their sixth bit set.
pub(super) const fn lower(letters: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let seven = letters & (0x7f * EACH);
    let from_a = seven + (0x80 - b'A' as u64) * EACH;
    let beyond_z = seven + (0x80 - b'Z' as u64 - 1) * EACH;
    letters | (from_a & !beyond_z & !letters & (0x80 * EACH)) >> 2
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn letters_become_small(bytes in vec(any::<u8>(), 0..=8)) {
            prop_assert_eq!(lower(load(&bytes)), load(&bytes.to_ascii_lowercase()));
        }

        #[test]
        fn words_of_one_length_are_told_apart(a in vec(any::<u8>(), 0..=8), b in vec(any::<u8>(), 0..=8)) {
            prop_assert_eq!(load(&a) == load(&b) && a.len() == b.len(), a == b);
        }
    }
}
