//! Brotli (RFC 7932), without the large windows that it knows nothing of.

use brotli::{BrotliDecompressStream, BrotliResult, BrotliState, enc::StandardAlloc};

use super::{Malformed, Step};

pub(super) struct Stream(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>);

impl Stream {
    pub(super) fn new() -> Self {
        let alloc = StandardAlloc::default;
        Self(Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())))
    }

    pub(super) fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, Malformed> {
        let (mut left, mut taken) = (input.len(), 0);
        let (mut spare, mut made) = (room.len(), 0);
        let result =
            BrotliDecompressStream(&mut left, &mut taken, input, &mut spare, &mut made, room, &mut 0, &mut self.0);
        match result {
            BrotliResult::ResultFailure => Err(Malformed::Invalid),
            BrotliResult::ResultSuccess => Ok(Step { taken, made, is_end: true }),
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => Ok(Step { taken, made, is_end: false }),
        }
    }
}
