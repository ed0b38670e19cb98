//! Brotli (RFC 7932).

use brotli::enc::{
    StandardAlloc,
    encode::{
        BrotliEncoderCompressStream, BrotliEncoderCreateInstance, BrotliEncoderHasMoreOutput, BrotliEncoderIsFinished,
        BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderSetParameter, BrotliEncoderStateStruct,
        BrotliEncoderTakeOutput,
    },
};

use super::{Effort, Failed, Until};

/// The window of a stream, as its base-2 logarithm.
const STREAM_WINDOW_LOG: u32 = 18;
/// The smallest and the largest window of a whole body.
const WINDOW_LOGS: (u32, u32) = (10, 22);
/// Brotli's best quality.
const BEST: u32 = 11;

/// A streamed encoder. Its back end cannot be reset, so that there is no pool of them.
pub(super) struct Stream(Box<BrotliEncoderStateStruct<StandardAlloc>>);

impl Stream {
    /// `length` of the body, if it is known, chooses the tables.
    pub(super) fn new(quality: u32, length: Option<u64>) -> Result<Self, Failed> {
        let window_log = length.map_or(STREAM_WINDOW_LOG, |length| window_log(length).min(STREAM_WINDOW_LOG));
        Self::with(quality.min(BEST), window_log, length.unwrap_or(0))
    }

    fn with(quality: u32, window_log: u32, length: u64) -> Result<Self, Failed> {
        let mut machine = Box::new(BrotliEncoderCreateInstance(StandardAlloc::default()));
        for (parameter, value) in [
            (BrotliEncoderParameter::BROTLI_PARAM_QUALITY, quality),
            (BrotliEncoderParameter::BROTLI_PARAM_LGWIN, window_log),
            (BrotliEncoderParameter::BROTLI_PARAM_SIZE_HINT, u32::try_from(length).unwrap_or(u32::MAX)),
        ] {
            if BrotliEncoderSetParameter(&mut machine, parameter, value) == 0 {
                return Err(Failed("brotli refused a parameter"));
            }
        }
        Ok(Self(machine))
    }

    pub(super) fn step(&mut self, part: &[u8], until: Until, out: &mut Vec<u8>) -> Result<(), Failed> {
        let machine = &mut *self.0;
        let operation = match until {
            Until::Taken => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
            Until::Flushed => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
            // Not a flush: without the last meta-block a decoder cannot tell a whole body from a cut one (RFC 7932 §9.2).
            Until::Ended => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
        };
        let mut left = part.len();
        let mut at = 0;
        loop {
            // Without room the output stays in the encoder's own storage, from which it is taken below.
            let done = BrotliEncoderCompressStream(
                machine,
                operation,
                &mut left,
                part,
                &mut at,
                &mut 0,
                &mut [],
                &mut 0,
                &mut None,
                &mut |_, _, _, _| (),
            );
            if done == 0 {
                return Err(Failed("brotli refused its input"));
            }
            let made = BrotliEncoderHasMoreOutput(machine) != 0;
            if made {
                // What it returns goes on after the output, which is `ready` bytes long.
                let mut ready = 0;
                let output = BrotliEncoderTakeOutput(machine, &mut ready);
                out.extend_from_slice(output.get(..ready).ok_or(Failed("brotli miscounted its output"))?);
            }
            let is_done = match until {
                Until::Taken | Until::Flushed => left == 0 && !made,
                Until::Ended => BrotliEncoderIsFinished(machine) != 0,
            };
            if is_done {
                return Ok(());
            }
        }
    }
}

/// Codes a whole body.
pub(super) fn whole(effort: Effort, quality: u32, body: &[u8]) -> Result<Vec<u8>, Failed> {
    let quality = match effort {
        Effort::Quick => quality.min(BEST),
        Effort::Best => BEST,
    };
    let length = body.len() as u64;
    let mut out = Vec::new();
    Stream::with(quality, window_log(length), length)?.step(body, Until::Ended, &mut out)?;
    Ok(out)
}

/// The smallest window that holds a whole body of `length` bytes. A window of w bits is 16 bytes short of 2^w.
fn window_log(length: u64) -> u32 {
    let (smallest, largest) = WINDOW_LOGS;
    length.saturating_add(16).checked_next_power_of_two().map_or(largest, u64::trailing_zeros).clamp(smallest, largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_the_body() {
        for (length, log) in
            [(0, 10), (1008, 10), (1009, 11), ((1 << 20) - 16, 20), (1 << 20, 21), (1 << 30, 22), (u64::MAX, 22)]
        {
            assert_eq!(window_log(length), log, "{length}");
        }
    }
}
