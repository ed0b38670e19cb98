//! `ExportTraceServiceRequest` as protobuf. Numbers are those of `opentelemetry/proto/{collector/trace,trace,common}/v1`.

use std::borrow::Cow;

use super::{
    super::trace::{SpanId, TraceId},
    Decoded, Refusal,
    attributes::{self, Value},
    span::{Raw, SpanKind},
    wire::{self, fields},
};

pub(super) fn decode(body: &[u8]) -> Result<Decoded<'_>, Refusal> {
    let mut decoded = Decoded::default();
    // ExportTraceServiceRequest.resource_spans = 1, ResourceSpans.scope_spans = 2, ScopeSpans.scope = 1 and spans = 2,
    // InstrumentationScope.name = 1
    each(body, 1, |resource| {
        each(resource, 2, |scope| {
            let from = decoded.spans.len();
            each(scope, 2, |message| {
                decoded.push(span(message)?);
                Ok(())
            })?;
            each(scope, 1, |scope| {
                each(scope, 1, |name| {
                    decoded.name_scope(from, name);
                    Ok(())
                })
            })
        })
    })?;
    Ok(decoded)
}

/// Calls `take` with every message of this number.
fn each<'a>(
    message: &'a [u8],
    wanted: u64,
    mut take: impl FnMut(&'a [u8]) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    fields(message, |number, value| match value.bytes() {
        Some(inner) if number == wanted => take(inner),
        _ => Ok(()),
    })
}

fn span(message: &[u8]) -> Result<Option<super::Span<'_>>, Refusal> {
    let mut raw = Raw::default();
    fields(message, |number, value| {
        match number {
            1 => raw.trace = value.bytes().and_then(TraceId::of_bytes),
            2 => raw.id = value.bytes().and_then(SpanId::of_bytes),
            4 => raw.parent = value.bytes().and_then(SpanId::of_bytes),
            6 => raw.kind = SpanKind::of_number(value.varint().unwrap_or(0)),
            7 => raw.start = value.fixed64().unwrap_or(0),
            8 => raw.end = value.fixed64().unwrap_or(0),
            9 => {
                if let Some(pair) = value.bytes() {
                    attribute(pair, &mut raw)?;
                }
            }
            // Status.code = 3, of which 2 is an error; its message quotes values.
            15 => fields(value.bytes().unwrap_or_default(), |number, value| {
                raw.is_error |= (number, value) == (3, wire::Value::Varint(2));
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(raw.finish())
}

/// `KeyValue`: key = 1, value = 2.
fn attribute<'a>(pair: &'a [u8], raw: &mut Raw<'a>) -> Result<(), Refusal> {
    let (mut key, mut value) = (Cow::default(), None);
    fields(pair, |number, field| {
        match number {
            1 => key = String::from_utf8_lossy(field.bytes().unwrap_or_default()),
            2 => value = any(field.bytes().unwrap_or_default())?,
            _ => {}
        }
        Ok(())
    })?;
    if let Some(value) = value {
        raw.attributes.take(&key, value);
    }
    Ok(())
}

/// `AnyValue`: a string = 1, an int64 = 3; of anything else the bytes are hashed.
fn any(message: &[u8]) -> Result<Option<Value<'_>>, Refusal> {
    let mut value = None;
    fields(message, |number, field| {
        value = Some(match (number, field) {
            (1, wire::Value::Bytes(text)) => Value::Text(String::from_utf8_lossy(text)),
            (3, wire::Value::Varint(number)) => Value::Whole(number as i64),
            _ => Value::Other(attributes::digest(message)),
        });
        Ok(())
    })?;
    Ok(value)
}
