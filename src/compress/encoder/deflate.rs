//! gzip (RFC 1952) and deflate, which is the zlib format (RFC 1950): streams by zlib-ng, whole bodies by libdeflate,
//! which is faster and has no streams.

use flate2::{Compress, Compression, FlushCompress, Status};
use libdeflater::{CompressionLvl, Compressor};

use super::{Effort, Failed, Until, pool::Pool};

/// Which wrapping the same deflate data (RFC 1951) has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Gzip,
    Zlib,
}

/// What a back end is set up for.
type Key = (Format, u32);

/// 340 KiB each.
static STREAMS: Pool<Key, Compress> = Pool::new(4);
/// Up to 330 KiB each, the nearly optimal levels left out.
static WHOLE: Pool<i32, Compressor> = Pool::new(4);

/// The window of deflate, as its base-2 logarithm: its largest.
const WINDOW_LOG: u8 = 15;
/// Room for output that is made at a time; more than the six bytes below which zlib would repeat the mark of a flush.
const ROOM: usize = 8 << 10;
/// From this level on libdeflate parses nearly optimally, with megabytes of memory.
const NEARLY_OPTIMAL: i32 = 10;
/// libdeflate's best level.
const BEST: i32 = 12;

/// A streamed encoder.
pub(super) struct Stream {
    key: Key,
    /// `None` only while it is dropped.
    machine: Option<Compress>,
}

impl Stream {
    pub(super) fn new(format: Format, level: u32) -> Self {
        let level = level.clamp(1, 9);
        let key = (format, level);
        let machine = STREAMS.take(&key).unwrap_or_else(|| match format {
            Format::Gzip => Compress::new_gzip(Compression::new(level), WINDOW_LOG),
            Format::Zlib => Compress::new_with_window_bits(Compression::new(level), true, WINDOW_LOG),
        });
        Self { key, machine: Some(machine) }
    }

    pub(super) fn step(&mut self, mut part: &[u8], until: Until, out: &mut Vec<u8>) -> Result<(), Failed> {
        let machine = self.machine.as_mut().ok_or(Failed("a dropped encoder"))?;
        let flush = match until {
            Until::Taken => FlushCompress::None,
            Until::Flushed => FlushCompress::Sync,
            Until::Ended => FlushCompress::Finish,
        };
        loop {
            out.reserve(ROOM);
            let taken = machine.total_in();
            let status = machine.compress_vec(part, out, flush).map_err(|_| Failed("zlib-ng refused its input"))?;
            let taken = usize::try_from(machine.total_in() - taken).unwrap_or(usize::MAX);
            part = part.get(taken..).ok_or(Failed("zlib-ng took more than there was"))?;
            // Room that is left says that nothing is held back but what may still be matched.
            let has_room = out.len() < out.capacity();
            match (until, status) {
                (Until::Ended, Status::StreamEnd) => return Ok(()),
                (Until::Ended, _) if has_room => return Err(Failed("zlib-ng did not end its stream")),
                (Until::Taken | Until::Flushed, _) if has_room && part.is_empty() => return Ok(()),
                (Until::Taken | Until::Flushed, _) if has_room => return Err(Failed("zlib-ng stopped")),
                _ => {}
            }
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(mut machine) = self.machine.take() {
            machine.reset();
            STREAMS.put(self.key, machine);
        }
    }
}

/// Codes a whole body into `out`, which is empty.
pub(super) fn whole(format: Format, effort: Effort, level: u32, body: &[u8], out: &mut Vec<u8>) -> Result<(), Failed> {
    let level = match effort {
        Effort::Quick => of_libdeflate(level),
        Effort::Best => BEST,
    };
    let mut compressor = match WHOLE.take(&level) {
        Some(compressor) => compressor,
        None => Compressor::new(CompressionLvl::new(level).map_err(|_| Failed("no such level of libdeflate"))?),
    };
    let bound = match format {
        Format::Gzip => compressor.gzip_compress_bound(body.len()),
        Format::Zlib => compressor.zlib_compress_bound(body.len()),
    };
    out.resize(bound, 0);
    let len = match format {
        Format::Gzip => compressor.gzip_compress(body, out),
        Format::Zlib => compressor.zlib_compress(body, out),
    };
    // It keeps nothing from one body to the next.
    if level < NEARLY_OPTIMAL {
        WHOLE.put(level, compressor);
    }
    out.truncate(len.map_err(|_| Failed("libdeflate outgrew its own bound"))?);
    Ok(())
}

/// The level of libdeflate for a level of gzip: the same number makes bodies no larger than zlib's, in half the time.
fn of_libdeflate(level: u32) -> i32 {
    i32::try_from(level.clamp(1, 9)).unwrap_or(9)
}
