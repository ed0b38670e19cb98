//! Zstandard (RFC 8878).

use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, ResetDirective, zstd_sys::ZSTD_EndDirective};

use super::{Effort, Failed, Until, pool::Pool};

/// A context sets itself up anew for each frame, in the memory that it has.
static IDLE: Pool<(), CCtx<'static>> = Pool::new(4);
/// A larger context, as the high levels need for large bodies, is not kept.
const MAX_IDLE_BYTES: usize = 2 << 20;

/// The window of a stream, as its base-2 logarithm.
const STREAM_WINDOW_LOG: u32 = 18;
/// The tables of a stream and of a whole body, as base-2 logarithms of their lengths. Left to themselves the levels from 3
/// on have tables up to eight times as large, which gain 1 % in size and cost a quarter more time, since they fall out of
/// the processor's cache.
const STREAM_TABLE_LOG: u32 = 16;
const WHOLE_TABLE_LOG: u32 = 17;
/// The first level whose own tables are larger than that.
const LARGE_TABLES: i32 = 3;
/// The best level; those beyond need windows larger than the 8 MiB that a client must support (RFC 9659 §3).
const BEST: i32 = 19;
/// Room for output that is made at a time.
const ROOM: usize = 8 << 10;

/// A context out of the pool, which it goes back to when it is dropped.
struct Context(Option<CCtx<'static>>);

impl Context {
    fn new(level: i32) -> Result<Self, Failed> {
        let context = IDLE.take(&()).or_else(CCtx::try_create).ok_or(Failed("no memory for zstd"))?;
        let mut this = Self(Some(context));
        this.set(CParameter::CompressionLevel(level))?;
        Ok(this)
    }

    fn set(&mut self, parameter: CParameter) -> Result<(), Failed> {
        self.get()?.set_parameter(parameter).map(drop).map_err(named)
    }

    fn set_table_log(&mut self, log: u32) -> Result<(), Failed> {
        self.set(CParameter::HashLog(log))?;
        self.set(CParameter::ChainLog(log))
    }

    fn get(&mut self) -> Result<&mut CCtx<'static>, Failed> {
        self.0.as_mut().ok_or(Failed("a dropped encoder"))
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let Some(mut context) = self.0.take() else { return };
        if context.sizeof() <= MAX_IDLE_BYTES && context.reset(ResetDirective::SessionAndParameters).is_ok() {
            IDLE.put((), context);
        }
    }
}

/// A streamed encoder.
pub(super) struct Stream(Context);

impl Stream {
    /// `length` of the body, if it is known, chooses the tables and stands in the frame's header.
    pub(super) fn new(level: i32, length: Option<u64>) -> Result<Self, Failed> {
        let level = level.clamp(1, BEST);
        let mut context = Context::new(level)?;
        context.set(CParameter::WindowLog(STREAM_WINDOW_LOG))?;
        if level >= LARGE_TABLES {
            context.set_table_log(STREAM_TABLE_LOG)?;
        }
        context.get()?.set_pledged_src_size(length).map_err(named)?;
        Ok(Self(context))
    }

    pub(super) fn step(&mut self, part: &[u8], until: Until, out: &mut Vec<u8>) -> Result<(), Failed> {
        let context = self.0.get()?;
        let directive = match until {
            Until::Taken => ZSTD_EndDirective::ZSTD_e_continue,
            Until::Flushed => ZSTD_EndDirective::ZSTD_e_flush,
            Until::Ended => ZSTD_EndDirective::ZSTD_e_end,
        };
        let mut input = InBuffer::around(part);
        loop {
            out.reserve(ROOM);
            let made = out.len();
            let mut output = OutBuffer::around_pos(out, made);
            let left = context.compress_stream2(&mut output, &mut input, directive).map_err(named)?;
            let is_done = match until {
                Until::Taken => input.pos() == part.len() && out.len() < out.capacity(),
                Until::Flushed | Until::Ended => left == 0,
            };
            if is_done {
                return Ok(());
            }
        }
    }
}

/// Codes a whole body into `out`, which is empty, with a window as large as the body up to that of the level.
pub(super) fn whole(effort: Effort, level: i32, body: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
    let mut context = match effort {
        Effort::Quick => Context::new(level.clamp(1, BEST))?,
        Effort::Best => Context::new(BEST)?,
    };
    if effort == Effort::Quick && level >= LARGE_TABLES {
        context.set_table_log(WHOLE_TABLE_LOG)?;
    }
    out.reserve(zstd_safe::compress_bound(body.len()));
    context.get()?.compress2(out, body).map(drop).map_err(named)
}

fn named(code: usize) -> Failed {
    Failed(zstd_safe::get_error_name(code))
}
