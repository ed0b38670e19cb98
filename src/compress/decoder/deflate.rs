//! gzip (RFC 1952) and deflate, by zlib-ng.

use flate2::{Decompress, FlushDecompress, Status};

use super::{Malformed, Step};

/// What is around deflate data (RFC 1951).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrapping {
    Gzip,
    /// The zlib format (RFC 1950), as RFC 9110 §8.4.1.2 has it, or nothing, as some old servers send it.
    ZlibOrNone,
}

/// The window of deflate, as its base-2 logarithm.
const WINDOW_LOG: u8 = 15;

pub(super) enum Stream {
    /// The first two bytes, which say how the data is wrapped, are not both there yet.
    Undecided(Option<u8>),
    /// `lead` is the first byte where it came alone, to be decoded before all others.
    Decided { machine: Decompress, lead: Option<u8>, is_gzip: bool, has_ended: bool },
}

impl Stream {
    pub(super) fn new(wrapping: Wrapping) -> Self {
        match wrapping {
            Wrapping::Gzip => Self::decided(Decompress::new_gzip(WINDOW_LOG), true, None),
            Wrapping::ZlibOrNone => Self::Undecided(None),
        }
    }

    fn decided(machine: Decompress, is_gzip: bool, lead: Option<u8>) -> Self {
        Self::Decided { machine, lead, is_gzip, has_ended: false }
    }

    pub(super) fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, Malformed> {
        match self {
            Self::Undecided(lead) => {
                let (first, second) = match (*lead, input) {
                    (Some(first), [second, ..]) => (first, *second),
                    (None, [first, second, ..]) => (*first, *second),
                    (None, [first]) => {
                        *lead = Some(*first);
                        return Ok(Step { taken: 1, made: 0, is_end: false });
                    }
                    (_, []) => return Ok(Step { taken: 0, made: 0, is_end: false }),
                };
                *self = Self::decided(Decompress::new(is_zlib(first, second)), false, *lead);
                self.step(input, room)
            }
            Self::Decided { machine, lead, is_gzip, has_ended } => {
                if *has_ended && *is_gzip {
                    // RFC 1952 §2.2: members simply follow one another.
                    machine.reset(true);
                    *has_ended = false;
                }
                if let Some(first) = lead.take() {
                    // A header's byte, or the bits before a block: nothing can come of it yet.
                    inflate(machine, &[first], room)?;
                }
                let step = inflate(machine, input, room)?;
                *has_ended = step.is_end;
                Ok(step)
            }
        }
    }
}

fn inflate(machine: &mut Decompress, input: &[u8], room: &mut [u8]) -> Result<Step, Malformed> {
    let (taken, made) = (machine.total_in(), machine.total_out());
    let status = machine.decompress(input, room, FlushDecompress::None).map_err(|_| Malformed::Invalid)?;
    Ok(Step {
        taken: usize::try_from(machine.total_in() - taken).unwrap_or(usize::MAX),
        made: usize::try_from(machine.total_out() - made).unwrap_or(usize::MAX),
        is_end: status == Status::StreamEnd,
    })
}

/// Whether these are the first bytes of the zlib format (RFC 1950 §2.2): method 8 with a window of at most 32 KiB, and a
/// check that makes both a multiple of 31. Bare deflate data never looks so: its first byte would begin a stored block with
/// padding that is not zero.
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && first >> 4 <= 7 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}
