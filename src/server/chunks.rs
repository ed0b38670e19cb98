//! Where a chunked body ends, by a strict reading of its framing (RFC 9112 §7.1).
//!
//! pingora's own parser takes an empty size for the last chunk, and any byte in an extension. What passes here has
//! one reading.

use crate::header::fields::is_token;

/// Bytes of a chunk's extensions, or of the trailer section, at most.
const MAX_LINE_BYTES: usize = 16 << 10;

/// A body's chunks, read up to some point.
#[derive(Debug)]
pub(super) struct Chunks {
    at: At,
    /// Bytes of content so far, and at most.
    content: u64,
    max_content: u64,
    /// Bytes of extensions and trailers so far.
    extra: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In a size, after so many digits.
    Size {
        digits: u8,
        size: u64,
    },
    /// In white space between a size and its extension.
    Blank {
        size: u64,
    },
    /// In an extension of a chunk of this size.
    Extension {
        size: u64,
    },
    /// Before the LF that ends a size line.
    SizeEnd {
        size: u64,
    },
    Content {
        left: u64,
    },
    ContentCr,
    ContentLf,
    /// At the start of a trailer line, or of the empty line that ends all.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    Over,
}

/// Why a body is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not well-formed: 400.
    Malformed,
    /// It is larger than allowed: 413.
    TooLarge,
}

impl Fault {
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "the chunked body is malformed",
            Self::TooLarge => "the request body is too large",
        }
    }
}

impl Chunks {
    /// A body of which nothing has come yet.
    pub(super) fn new(max_content: Option<u64>) -> Self {
        Self { at: At::Size { digits: 0, size: 0 }, content: 0, max_content: max_content.unwrap_or(u64::MAX), extra: 0 }
    }

    pub(super) fn is_over(&self) -> bool {
        self.at == At::Over
    }

    /// How many of these bytes belong to the body; fewer than all only at its end.
    ///
    /// # Errors
    /// At the first byte that cannot stand where it stands.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        let mut taken = 0;
        while taken < bytes.len() && !self.is_over() {
            if let At::Content { left } = self.at {
                let step = left.min((bytes.len() - taken) as u64);
                taken += step as usize;
                self.at = if step == left { At::ContentCr } else { At::Content { left: left - step } };
                continue;
            }
            self.at = self.step(bytes[taken])?;
            taken += 1;
        }
        Ok(taken)
    }

    fn step(&mut self, byte: u8) -> Result<At, Fault> {
        match (self.at, byte) {
            (At::Size { digits, size }, _) if byte.is_ascii_hexdigit() => {
                // 15 digits cannot overflow, and no chunk is that long.
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                if digits == 15 {
                    Err(Fault::Malformed)
                } else {
                    Ok(At::Size { digits: digits + 1, size: size * 16 + digit })
                }
            }
            (At::Size { digits: 1.., size }, b'\r') => Ok(At::SizeEnd { size }),
            (At::Size { digits: 1.., size } | At::Blank { size }, b';') => self.extra(At::Extension { size }),
            (At::Size { digits: 1.., size } | At::Blank { size }, b' ' | b'\t') => self.extra(At::Blank { size }),
            (At::Blank { size } | At::Extension { size }, b'\r') => Ok(At::SizeEnd { size }),
            (At::Extension { .. }, _) if is_text(byte) => self.extra(self.at),
            (At::SizeEnd { size: 0 }, b'\n') => Ok(At::TrailerStart),
            (At::SizeEnd { size }, b'\n') => {
                self.content = self.content.saturating_add(size);
                if self.content > self.max_content { Err(Fault::TooLarge) } else { Ok(At::Content { left: size }) }
            }
            (At::ContentCr, b'\r') => Ok(At::ContentLf),
            (At::ContentLf, b'\n') => Ok(At::Size { digits: 0, size: 0 }),
            (At::TrailerStart, b'\r') => Ok(At::LastLf),
            (At::TrailerStart | At::TrailerName, _) if is_token(&[byte]) => self.extra(At::TrailerName),
            (At::TrailerName, b':') => self.extra(At::TrailerValue),
            (At::TrailerValue, b'\r') => Ok(At::TrailerLf),
            (At::TrailerValue, _) if is_text(byte) => self.extra(At::TrailerValue),
            (At::TrailerLf, b'\n') => Ok(At::TrailerStart),
            (At::LastLf, b'\n') => Ok(At::Over),
            _ => Err(Fault::Malformed),
        }
    }

    fn extra(&mut self, next: At) -> Result<At, Fault> {
        self.extra += 1;
        if self.extra > MAX_LINE_BYTES { Err(Fault::Malformed) } else { Ok(next) }
    }
}

/// A byte that may stand in an extension or a trailer's value.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn taken(bytes: &[u8]) -> Result<(usize, bool), Fault> {
        let mut chunks = Chunks::new(Some(100));
        chunks.take(bytes).map(|taken| (taken, chunks.is_over()))
    }

    #[test]
    fn whole_bodies_end_where_they_end() {
        for body in [
            "0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "003\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
            "3;a=b; c=\"d\"\r\nabc\r\n0;x\r\n\r\n",
            "3 \r\nabc\r\n0\r\n\r\n",
            "0\r\nX-Sum: 1\r\nY: \r\n\r\n",
        ] {
            let next = format!("{body}GET / HTTP/1.1\r\n");
            assert_eq!(taken(next.as_bytes()), Ok((body.len(), true)), "{body}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for body in [
            "\r\n",
            "\r\n\r\n",
            ";x\r\n",
            " 3\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x3\r\n",
            "g\r\n",
            "3\nabc",
            "3\r\r\n",
            "3\r\nabcd",
            "3\r\nabc\n0\r\n",
            "3\r\nabc\r0",
            "3;a\nb\r\n",
            "3;a\0b\r\n",
            "3;a\rb\r\n",
            "0\r\n X: 1\r\n",
            "0\r\nX: 1\n\r\n",
            "0\r\n\n",
            "0000000000000001\r\n",
            "ffffffffffffffffff\r\n",
        ] {
            assert_eq!(taken(body.as_bytes()), Err(Fault::Malformed), "{body:?}");
        }
    }

    #[test]
    fn too_much_is_refused_before_it_comes() {
        assert_eq!(taken(b"64\r\n").map(|(taken, _)| taken), Ok(4));
        assert_eq!(taken(b"65\r\n"), Err(Fault::TooLarge));
        assert_eq!(taken(&[b"3;".as_slice(), &[b'a'; MAX_LINE_BYTES]].concat()), Err(Fault::Malformed));
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(cuts in proptest::collection::vec(1usize..5, 0..40)) {
            let body = b"3;a=b\r\nabc\r\n5\r\n01234\r\n0\r\nX: 1\r\n\r\nnext".as_slice();
            let mut chunks = Chunks::new(None);
            let (mut at, mut taken) = (0, 0);
            for cut in cuts.into_iter().chain(std::iter::repeat(1)) {
                let end = (at + cut).min(body.len());
                taken += chunks.take(&body[at..end]).unwrap();
                at = end;
                if at == body.len() { break; }
            }
            prop_assert_eq!(taken, body.len() - 4);
            prop_assert!(chunks.is_over());
        }

        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Chunks::new(Some(10)).take(&bytes);
        }
    }
}
