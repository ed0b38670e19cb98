//! Unpacking of bodies, up to a bound: a few bytes may stand for very many.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::{MOST_BYTES, Refusal};

/// Unpacks a body with `Content-Encoding: gzip`, up to [`MOST_BYTES`].
pub fn inflate(body: &[u8]) -> Result<Vec<u8>, Refusal> {
    inflate_up_to(body, MOST_BYTES)
}

fn inflate_up_to(body: &[u8], most: usize) -> Result<Vec<u8>, Refusal> {
    let mut unpacked = Vec::new();
    let read = MultiGzDecoder::new(body).take(most as u64 + 1).read_to_end(&mut unpacked);
    if unpacked.len() > most {
        return Err(Refusal::TooLarge);
    }
    match read {
        Ok(_) => Ok(unpacked),
        Err(_) => Err(Refusal::Malformed("the body is no gzip, or cut: expected what Content-Encoding says".into())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn bodies_are_unpacked_up_to_a_bound() {
        assert_eq!(inflate_up_to(&packed(b"spans"), 5), Ok(b"spans".to_vec()));
        assert_eq!(inflate_up_to(&packed(b"spans"), 4), Err(Refusal::TooLarge));
        let bomb = packed(&vec![0; MOST_BYTES + 1]);
        assert!(bomb.len() < 100_000);
        assert_eq!(inflate(&bomb), Err(Refusal::TooLarge));
    }

    #[test]
    fn what_is_no_gzip_is_refused() {
        let whole = packed(b"spans");
        for body in [&b"spans"[..], b"", &whole[..whole.len() - 1]] {
            assert!(matches!(inflate(body), Err(Refusal::Malformed(_))), "{body:?}");
        }
    }
}
