//! The encoding of protobuf: fields with a number, and what they hold. Nothing is nested here, so nothing can be nested
//! too deep: who wants the fields of a field reads them as another message.

use super::Refusal;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// What has a length: bytes, a string, a message.
    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    pub(super) fn varint(self) -> Option<u64> {
        if let Self::Varint(number) = self { Some(number) } else { None }
    }

    pub(super) fn fixed64(self) -> Option<u64> {
        if let Self::Fixed64(number) = self { Some(number) } else { None }
    }
}

/// Calls `take` with every field of a message.
pub(super) fn fields<'a>(
    message: &'a [u8],
    mut take: impl FnMut(u64, Value<'a>) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let mut rest = message;
    while !rest.is_empty() {
        let (number, value) = field(&mut rest).ok_or_else(|| {
            Refusal::Malformed("the body is no protobuf, or cut: expected a field of a message".into())
        })?;
        take(number, value)?;
    }
    Ok(())
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let tag = varint(rest)?;
    let value = match tag & 7 {
        0 => Value::Varint(varint(rest)?),
        1 => Value::Fixed64(u64::from_le_bytes(take(rest, 8)?.try_into().ok()?)),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Value::Bytes(take(rest, length)?)
        }
        5 => Value::Fixed32(u32::from_le_bytes(take(rest, 4)?.try_into().ok()?)),
        // Groups, which none of these messages ever had.
        _ => return None,
    };
    (tag >> 3 != 0).then_some((tag >> 3, value))
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

/// Seven bits a byte, the lowest first; at most ten bytes.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
        let mut found = Vec::new();
        fields(message, |number, value| {
            found.push((number, value));
            Ok(())
        })
        .ok()
        .map(|()| found)
    }

    #[test]
    fn fields_are_read() {
        for (message, expected) in [
            (&b""[..], Some(vec![])),
            (b"\x08\x96\x01", Some(vec![(1, Value::Varint(150))])),
            (b"\x12\x03abc", Some(vec![(2, Value::Bytes(b"abc"))])),
            (b"\x39\x01\0\0\0\0\0\0\0", Some(vec![(7, Value::Fixed64(1))])),
            (b"\x85\x01\x02\0\0\0", Some(vec![(16, Value::Fixed32(2))])),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Some(vec![(1, Value::Varint(u64::MAX))])),
            (b"\x12\x04abc", None),
            (b"\x08", None),
            (b"\x08\x80", None),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", None),
            (b"\x39\x01", None),
            (b"\x00\x01", None),
            (b"\x0b\x0c", None),
            (b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a", None),
        ] {
            assert_eq!(read(message), expected, "{message:?}");
        }
    }
}
