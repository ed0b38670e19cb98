//! The encoders: streams, whose length need not be known, and whole bodies.
//!
//! gzip and deflate are made by zlib-ng when they are streamed and by libdeflate when the body is there as a whole; Brotli
//! and Zstandard by their own. What each costs is measured by `make bench`.

mod brotli;
mod deflate;
mod pool;
mod zstd;

use std::{fmt, time::Duration};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};

use self::{deflate::Format, pool::Pool};
use super::Settings;
use crate::header::coding::Coding;

/// How hard an encoder tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// At once, while a client waits: the levels of the settings.
    Quick,
    /// In the background: Brotli 11, Zstandard 19, gzip and deflate by libdeflate 12.
    Best,
}

/// An encoder that failed, and why. What it has made so far is no whole body, and no decoder takes it for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed(&'static str);

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

impl std::error::Error for Failed {}

/// Up to where a back end goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// It has taken its input.
    Taken,
    /// All that it has taken can be decoded.
    Flushed,
    /// The stream has its proper end.
    Ended,
}

enum Stream {
    Deflate(deflate::Stream),
    Brotli(brotli::Stream),
    Zstd(zstd::Stream),
}

impl Stream {
    fn step(&mut self, part: &[u8], until: Until, out: &mut Vec<u8>) -> Result<(), Failed> {
        match self {
            Self::Deflate(stream) => stream.step(part, until, out),
            Self::Brotli(stream) => stream.step(part, until, out),
            Self::Zstd(stream) => stream.step(part, until, out),
        }
    }
}

/// Memory that a streamed encoder at the default level takes at most, in bytes. Most of it is tables of the back end, which
/// higher levels make larger: Zstandard 19 took 1.9 MB, Brotli 11 5.5 MB. Of Zstandard's, four at most hold up to 2 MiB that
/// they had for whole bodies before.
pub const fn max_encoder_bytes(coding: Coding) -> usize {
    match coding {
        Coding::Gzip | Coding::Deflate => 400 << 10,
        Coding::Zstd => 1400 << 10,
        Coding::Br => 2800 << 10,
    }
}

/// Why nothing more can be coded.
const ENDED: Failed = Failed("the stream has failed or ended before");
/// Output of up to this many bytes is collected without memory being asked for.
const BUFFER_BYTES: usize = 16 << 10;

/// Where whole bodies are coded, before they are copied to memory of their size: nobody has to hand out and clear pages for
/// the most that might come out.
static BUFFERS: Pool<(), Vec<u8>> = Pool::new(4);
/// A larger one is not kept.
const MAX_IDLE_BUFFER_BYTES: usize = 1 << 20;

/// A streamed encoder.
///
/// One that is dropped before [`Encoder::finish`] leaves a stream without an end, which every decoder refuses: a cut body
/// cannot be taken for a whole one.
pub struct Encoder {
    /// `None` once it has failed, so that nothing may follow that looks like an end, and once it has ended.
    stream: Option<Stream>,
    /// The length that was announced.
    length: Option<u64>,
    taken: u64,
    is_behind: bool,
    buffer: Vec<u8>,
    cpu: Duration,
}

impl Encoder {
    /// `length` is that of the whole body in bytes, if it is known: it makes for smaller tables, and a body of another
    /// length is an error.
    ///
    /// # Errors
    ///
    /// When the back end finds no memory or refuses its settings.
    pub fn new(coding: Coding, settings: &Settings, length: Option<u64>) -> Result<Self, Failed> {
        let (stream, cpu) = timed(|| {
            Ok(match coding {
                Coding::Gzip => Stream::Deflate(deflate::Stream::new(Format::Gzip, settings.gzip_level)),
                Coding::Deflate => Stream::Deflate(deflate::Stream::new(Format::Zlib, settings.gzip_level)),
                Coding::Br => Stream::Brotli(brotli::Stream::new(settings.brotli_level, length)?),
                Coding::Zstd => Stream::Zstd(zstd::Stream::new(settings.zstd_level, length)?),
            })
        });
        Ok(Self { stream: Some(stream?), length, taken: 0, is_behind: false, buffer: Vec::new(), cpu })
    }

    /// Takes a part of the body; returns what has become ready, which is often nothing.
    ///
    /// # Errors
    ///
    /// When the body becomes longer than was announced, or the back end fails; and ever after.
    pub fn push(&mut self, part: &[u8]) -> Result<Bytes, Failed> {
        if part.is_empty() {
            return self.stream.as_ref().map(|_| Bytes::new()).ok_or(ENDED);
        }
        self.taken = self.taken.saturating_add(part.len() as u64);
        if self.length.is_some_and(|length| self.taken > length) {
            self.stream = None;
            return Err(Failed("the body is longer than was announced"));
        }
        self.is_behind = true;
        self.step(part, Until::Taken)
    }

    /// Everything taken so far in a form that the client can decode now. It costs some bytes: nothing is returned when
    /// nothing was taken since the last flush.
    ///
    /// # Errors
    ///
    /// When the back end fails, and ever after.
    pub fn flush(&mut self) -> Result<Bytes, Failed> {
        if !self.is_behind {
            return self.push(&[]);
        }
        self.is_behind = false;
        self.step(&[], Until::Flushed)
    }

    /// Whether something was taken since the last flush.
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Ends the stream; returns the rest of it. Nothing but [`Encoder::cpu`] may follow.
    ///
    /// # Errors
    ///
    /// When the body is shorter than was announced, the back end fails, or the stream has failed or ended before.
    pub fn finish(&mut self) -> Result<Bytes, Failed> {
        if self.length.is_some_and(|length| self.taken != length) {
            self.stream = None;
            return Err(Failed("the body is shorter than was announced"));
        }
        let rest = self.step(&[], Until::Ended);
        self.is_behind = false;
        self.stream = None;
        rest
    }

    /// CPU time spent in it so far, its end included.
    pub fn cpu(&self) -> Duration {
        self.cpu
    }

    fn step(&mut self, part: &[u8], until: Until) -> Result<Bytes, Failed> {
        let mut stream = self.stream.take().ok_or(ENDED)?;
        // Until that has gone well there is none: a back end that failed must not make an end.
        let (done, cpu) = timed(|| stream.step(part, until, &mut self.buffer));
        self.cpu += cpu;
        done?;
        self.stream = Some(stream);
        if self.buffer.is_empty() {
            return Ok(Bytes::new());
        }
        // Copied, so that what waits for a slow client is no larger than its bytes.
        let ready = Bytes::copy_from_slice(&self.buffer);
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES);
        Ok(ready)
    }
}

/// Codes a whole body at once; returns it, never cut, and the CPU time that it took.
///
/// # Errors
///
/// When the back end fails.
pub fn whole(coding: Coding, effort: Effort, settings: &Settings, body: &[u8]) -> Result<(Bytes, Duration), Failed> {
    let (coded, cpu) = timed(|| {
        let mut out = BUFFERS.take(&()).unwrap_or_default();
        match coding {
            Coding::Gzip => deflate::whole(Format::Gzip, effort, settings.gzip_level, body, &mut out),
            Coding::Deflate => deflate::whole(Format::Zlib, effort, settings.gzip_level, body, &mut out),
            Coding::Br => brotli::whole(effort, settings.brotli_level, body, &mut out),
            Coding::Zstd => zstd::whole(effort, settings.zstd_level, body, &mut out),
        }?;
        let coded = Bytes::copy_from_slice(&out);
        if out.capacity() <= MAX_IDLE_BUFFER_BYTES {
            out.clear();
            BUFFERS.put((), out);
        }
        Ok(coded)
    });
    Ok((coded?, cpu))
}

/// What the work returns, and how long this thread was on a processor for it.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begin = thread_cpu();
    let result = work();
    (result, thread_cpu().saturating_sub(begin))
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
