//! Zstandard (RFC 8878).

use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::{Malformed, Step};

/// RFC 9659 §3: no window is larger than 8 MiB. This is its base-2 logarithm.
const MAX_WINDOW_LOG: u32 = 23;

pub(super) struct Stream(DCtx<'static>);

impl Stream {
    pub(super) fn new() -> Result<Self, Malformed> {
        let mut context = DCtx::try_create().ok_or(Malformed::NoMemory)?;
        context.set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG)).map_err(|_| Malformed::NoMemory)?;
        Ok(Self(context))
    }

    /// After the end of a frame it begins the next one by itself.
    pub(super) fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, Malformed> {
        let mut from = InBuffer::around(input);
        let mut to = OutBuffer::around(room);
        let left = self.0.decompress_stream(&mut to, &mut from).map_err(|_| Malformed::Invalid)?;
        Ok(Step { taken: from.pos(), made: to.pos(), is_end: left == 0 })
    }
}
