//! The decoders: streams in pieces of bounded size, for what an origin has coded and a client does not accept so.

mod brotli;
mod deflate;
mod zstd;

use std::fmt;

use bytes::{Buf, Bytes};

use self::deflate::Wrapping;
use crate::header::coding::Coding;

/// A piece of decoded bytes is at most this long.
pub const PIECE_BYTES: usize = 64 << 10;

/// So much may come out of any stream, however short it is.
const FREE_BYTES: u64 = 1 << 20;
/// And beyond that so many bytes for each byte that went in.
const MAX_RATIO: u64 = 200;

/// Why a stream cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Occurs when the bytes break the rules of the coding, a checksum does not match, or a window would be larger than the
    /// coding allows in HTTP (Zstandard: 8 MiB, RFC 9659 §3; Brotli: 16 MiB, RFC 7932 §9.1).
    Invalid,
    /// Occurs when the stream goes on after its end.
    Trailing,
    /// Occurs when more than 1 MiB and 200 times as much as went in would come out.
    Bomb,
    /// Occurs when the stream was finished before its end.
    Cut,
    /// Occurs when the back end finds no memory.
    NoMemory,
}

impl fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Invalid => "the body is not in its coding",
            Self::Trailing => "the coded body goes on after its end",
            Self::Bomb => "the coded body grows out of proportion",
            Self::Cut => "the coded body has no end",
            Self::NoMemory => "no memory for a decoder",
        })
    }
}

impl std::error::Error for Malformed {}

/// What a back end did with its input and the room it was given.
struct Step {
    taken: usize,
    made: usize,
    /// Whether a whole stream (member, frame) ended here.
    is_end: bool,
}

enum Stream {
    Deflate(deflate::Stream),
    Brotli(brotli::Stream),
    Zstd(zstd::Stream),
}

impl Stream {
    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, Malformed> {
        match self {
            Self::Deflate(stream) => stream.step(input, room),
            Self::Brotli(stream) => stream.step(input, room),
            Self::Zstd(stream) => stream.step(input, room),
        }
    }
}

/// A streamed decoder.
///
/// Bombs: however far a body unfolds, only one piece of it is in memory at a time. What the bound is for is the work and
/// the traffic that a few bytes may cause: deflate unfolds up to 1032 times, Brotli and Zstandard without limit. Pages and
/// JSON unfold some 3 to 30 times and logs up to 100, so 200 times leaves room for all of them, and bodies up to 1 MiB are
/// harmless whatever they came from.
///
/// Memory: the window, 32 KiB for gzip and deflate, at most 8 MiB for Zstandard and 16 MiB for Brotli as the stream's
/// header demands, and a piece.
pub struct Decoder {
    stream: Stream,
    /// gzip has members (RFC 1952 §2.2) and Zstandard frames (RFC 8878 §3), which may follow each other.
    may_repeat: bool,
    input: Bytes,
    pushed: u64,
    pulled: u64,
    room: Vec<u8>,
    /// Whether the last step used all its room, so that there may be more without more input.
    is_full: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the end of a stream, or of one of its members.
    Open,
    /// After the end of one.
    Ended,
    Failed(Malformed),
}

impl Decoder {
    /// A decoder at the beginning of a body.
    ///
    /// # Errors
    ///
    /// [`Malformed::NoMemory`].
    pub fn new(coding: Coding) -> Result<Self, Malformed> {
        let stream = match coding {
            Coding::Gzip => Stream::Deflate(deflate::Stream::new(Wrapping::Gzip)),
            Coding::Deflate => Stream::Deflate(deflate::Stream::new(Wrapping::ZlibOrNone)),
            Coding::Br => Stream::Brotli(brotli::Stream::new()),
            Coding::Zstd => Stream::Zstd(zstd::Stream::new()?),
        };
        Ok(Self {
            stream,
            may_repeat: matches!(coding, Coding::Gzip | Coding::Zstd),
            input: Bytes::new(),
            pushed: 0,
            pulled: 0,
            room: Vec::new(),
            is_full: false,
            state: State::Open,
        })
    }

    /// Takes a part of the coded body, to be pulled out with [`Decoder::next`] until that returns `None`. A part that was
    /// not pulled out yet stays in front of it, at the cost of a copy.
    pub fn push(&mut self, part: Bytes) {
        self.pushed = self.pushed.saturating_add(part.len() as u64);
        self.input = if self.input.is_empty() { part } else { [&self.input[..], &part[..]].concat().into() };
    }

    /// The next piece of the body, at most [`PIECE_BYTES`] and never empty; `None` when there must be more input first.
    ///
    /// # Errors
    ///
    /// When the stream is malformed, and ever after.
    #[expect(clippy::should_implement_trait, reason = "after None there may be more")]
    pub fn next(&mut self) -> Result<Option<Bytes>, Malformed> {
        if let State::Failed(malformed) = self.state {
            return Err(malformed);
        }
        self.pull().inspect_err(|malformed| {
            self.state = State::Failed(*malformed);
            self.input = Bytes::new();
        })
    }

    fn pull(&mut self) -> Result<Option<Bytes>, Malformed> {
        let mut made = 0;
        while made < PIECE_BYTES && (self.is_full || !self.input.is_empty()) {
            if self.state == State::Ended && !self.may_repeat {
                return Err(Malformed::Trailing);
            }
            self.room.resize(PIECE_BYTES, 0);
            let step = self.stream.step(&self.input, &mut self.room[made..])?;
            self.input.advance(step.taken.min(self.input.len()));
            made += step.made;
            self.is_full = made == PIECE_BYTES && !step.is_end;
            self.state = if step.is_end { State::Ended } else { State::Open };
            if step.taken == 0 && step.made == 0 && !step.is_end && !self.input.is_empty() {
                // It neither takes nor makes anything, and would not for ever.
                return Err(Malformed::Invalid);
            }
        }
        self.pulled = self.pulled.saturating_add(made as u64);
        if self.pulled > FREE_BYTES.max(self.pushed.saturating_mul(MAX_RATIO)) {
            return Err(Malformed::Bomb);
        }
        Ok((made > 0).then(|| Bytes::copy_from_slice(&self.room[..made])))
    }

    /// Says whether the body was whole. Precondition: [`Decoder::next`] has returned `None` since the last part.
    ///
    /// # Errors
    ///
    /// When the stream is malformed or has no proper end; an empty body has none.
    pub fn finish(self) -> Result<(), Malformed> {
        match self.state {
            State::Failed(malformed) => Err(malformed),
            State::Ended if self.input.is_empty() => Ok(()),
            _ => Err(Malformed::Cut),
        }
    }
}
