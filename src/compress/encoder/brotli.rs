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

/// The window of a stream, as its base-2 logarithm. It is the smallest of a whole body, too: in smaller windows this
/// encoder leaves its fast matchers for the one of quality 10, and takes thirty times as long for a small page.
const STREAM_WINDOW_LOG: u32 = 18;
/// A stream is flushed each time it has taken this many bytes. That makes it larger by a third of a percent, and halves its
/// memory, which else grows with meta-blocks of 512 KiB.
const STREAM_BLOCK_BYTES: usize = 64 << 10;
/// A stream that is known to be longer is not told so: its tables would double.
const MAX_STREAM_HINT: u64 = (1 << 20) - 1;
/// The largest window of a whole body.
const MAX_WINDOW_LOG: u32 = 22;
/// Brotli's best quality.
const BEST: u32 = 11;

/// A streamed encoder. Its back end cannot be reset, and to keep its memory gains nothing that can be measured: there is no
/// pool of them.
pub(super) struct Stream {
    machine: Machine,
    /// Bytes taken since the last flush.
    behind: usize,
}

impl Stream {
    /// `length` of the body, if it is known, chooses the tables.
    pub(super) fn new(quality: u32, length: Option<u64>) -> Result<Self, Failed> {
        let hint = length.map_or(0, |length| length.min(MAX_STREAM_HINT));
        let machine = Machine::new(quality, STREAM_WINDOW_LOG, hint)?;
        Ok(Self { machine, behind: 0 })
    }

    pub(super) fn step(&mut self, mut part: &[u8], until: Until, out: &mut Vec<u8>) -> Result<(), Failed> {
        while !part.is_empty() {
            let (now, later) = part.split_at(part.len().min(STREAM_BLOCK_BYTES - self.behind));
            self.machine.run(now, Until::Taken, out)?;
            self.behind += now.len();
            if self.behind == STREAM_BLOCK_BYTES {
                self.flush(out)?;
            }
            part = later;
        }
        match until {
            Until::Taken => Ok(()),
            Until::Flushed => self.flush(out),
            Until::Ended => self.machine.run(&[], Until::Ended, out),
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), Failed> {
        if self.behind > 0 {
            self.machine.run(&[], Until::Flushed, out)?;
            self.behind = 0;
        }
        Ok(())
    }
}

/// Codes a whole body into `out`, which is empty. At once it is done in blocks as a stream is, with a larger window: less
/// memory is to be cleared for it, which gains more time than the blocks cost in size.
pub(super) fn whole(effort: Effort, quality: u32, body: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
    let length = body.len() as u64;
    let machine = |quality| Machine::new(quality, window_log(length), length);
    match effort {
        Effort::Quick => Stream { machine: machine(quality)?, behind: 0 }.step(body, Until::Ended, out),
        Effort::Best => machine(BEST)?.run(body, Until::Ended, out),
    }
}

/// The back end. `hint` is how long the body may be, 0 if nobody knows.
struct Machine(Box<BrotliEncoderStateStruct<StandardAlloc>>);

impl Machine {
    fn new(quality: u32, window_log: u32, hint: u64) -> Result<Self, Failed> {
        let mut machine = Box::new(BrotliEncoderCreateInstance(StandardAlloc::default()));
        for (parameter, value) in [
            (BrotliEncoderParameter::BROTLI_PARAM_QUALITY, quality.min(BEST)),
            (BrotliEncoderParameter::BROTLI_PARAM_LGWIN, window_log),
            (BrotliEncoderParameter::BROTLI_PARAM_SIZE_HINT, u32::try_from(hint).unwrap_or(u32::MAX)),
        ] {
            if BrotliEncoderSetParameter(&mut machine, parameter, value) == 0 {
                return Err(Failed("brotli refused a parameter"));
            }
        }
        Ok(Self(machine))
    }

    fn run(&mut self, part: &[u8], until: Until, out: &mut Vec<u8>) -> Result<(), Failed> {
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

/// The smallest window that holds a whole body of `length` bytes. One of 2^w is 16 bytes short of that (RFC 7932 §9.1).
fn window_log(length: u64) -> u32 {
    let log = length.saturating_add(16).checked_next_power_of_two().map_or(MAX_WINDOW_LOG, u64::trailing_zeros);
    log.clamp(STREAM_WINDOW_LOG, MAX_WINDOW_LOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_the_body() {
        for (length, log) in
            [(0, 18), ((1 << 18) - 16, 18), ((1 << 18) - 15, 19), (1 << 20, 21), (1 << 30, 22), (u64::MAX, 22)]
        {
            assert_eq!(window_log(length), log, "{length}");
        }
    }
}
