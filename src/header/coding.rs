//! Content codings (RFC 9110 §8.4.1).

use super::fields::is;

/// A content coding that Pacecar can make and undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Zstandard (RFC 8878), with a window of at most 8 MiB (RFC 9659).
    Zstd,
    /// Brotli (RFC 7932).
    Br,
    /// gzip (RFC 1952).
    Gzip,
    /// The zlib format (RFC 1950), in spite of its name.
    Deflate,
}

impl Coding {
    /// Every coding, in the order of their counters.
    pub const ALL: [Self; 4] = [Self::Zstd, Self::Br, Self::Gzip, Self::Deflate];

    /// The word for it in header fields, the configuration, JSON and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    /// The coding of this name, in any case; `x-gzip` is gzip (RFC 9110 §8.4.1.3).
    pub fn named(name: &[u8]) -> Option<Self> {
        if is(name, "x-gzip") {
            return Some(Self::Gzip);
        }
        Self::ALL.into_iter().find(|coding| is(name, coding.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case() {
        for coding in Coding::ALL {
            assert_eq!(Coding::named(coding.name().to_uppercase().as_bytes()), Some(coding));
        }
        assert_eq!(Coding::named(b"X-GZip"), Some(Coding::Gzip));
        for unknown in ["", "identity", "compress", "gzip;q=1", "*"] {
            assert_eq!(Coding::named(unknown.as_bytes()), None, "{unknown}");
        }
    }
}
