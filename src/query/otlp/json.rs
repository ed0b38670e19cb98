//! `ExportTraceServiceRequest` as JSON: names in lowerCamelCase, ids in hexadecimal digits, enums as numbers.
//!
//! Every span is made as it is read, and the next is read after that: what a body takes is bounded by what is kept of it.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{
    super::trace::{SpanId, TraceId},
    Decoded, Refusal,
    attributes::{self, Attributes, Value},
    span::{Raw, SpanKind},
};

/// Where spans are: lists in members of these names, one in the other.
const WAY: [&[&str]; 3] =
    [&["resourceSpans", "resource_spans"], &["scopeSpans", "scope_spans", "instrumentationLibrarySpans"], &["spans"]];

pub(super) fn decode(body: &[u8]) -> Result<Decoded<'_>, Refusal> {
    let mut decoded = Decoded::default();
    let mut reader = serde_json::Deserializer::from_slice(body);
    Level { way: &WAY, decoded: &mut decoded }
        .deserialize(&mut reader)
        .and_then(|()| reader.end())
        // Its message quotes what was found there.
        .map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Refusal::Malformed(format!("line {line} column {column}: expected an ExportTraceServiceRequest in JSON"))
        })?;
    Ok(decoded)
}

/// An object on the way to the spans.
struct Level<'s, 'de> {
    way: &'static [&'static [&'static str]],
    decoded: &'s mut Decoded<'de>,
}

impl<'de> DeserializeSeed<'de> for Level<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Level<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Some((names, way)) = self.way.split_first() else { return Ok(()) };
        let (from, mut scope) = (self.decoded.spans.len(), None);
        while let Some(name) = members.next_key::<Cow<'de, str>>()? {
            if names.contains(&&*name) {
                members.next_value_seed(List { way, decoded: self.decoded })?;
            } else if way.is_empty() && matches!(&*name, "scope" | "instrumentationLibrary") {
                scope = members.next_value::<Option<Scope<'de>>>()?.and_then(|scope| scope.name);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        // It may stand after the spans.
        if let Some(name) = scope {
            self.decoded.name_scope(from, name.as_bytes());
        }
        Ok(())
    }
}

/// A list on the way to the spans, or of them.
struct List<'s, 'de> {
    way: &'static [&'static [&'static str]],
    decoded: &'s mut Decoded<'de>,
}

impl<'de> DeserializeSeed<'de> for List<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if !self.way.is_empty() {
            while items.next_element_seed(Level { way: self.way, decoded: self.decoded })?.is_some() {}
            return Ok(());
        }
        while let Some(span) = items.next_element::<JsonSpan<'de>>()? {
            self.decoded.push(span.raw().finish());
        }
        Ok(())
    }
}

/// The instrumentation that made spans.
#[derive(Deserialize)]
struct Scope<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct JsonSpan<'a> {
    #[serde(borrow)]
    trace_id: Cow<'a, str>,
    #[serde(borrow)]
    span_id: Cow<'a, str>,
    #[serde(borrow)]
    parent_span_id: Option<Cow<'a, str>>,
    kind: Kind,
    start_time_unix_nano: Number,
    end_time_unix_nano: Number,
    #[serde(borrow)]
    attributes: Listed<'a>,
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: Code,
}

impl<'a> JsonSpan<'a> {
    fn raw(self) -> Raw<'a> {
        Raw {
            trace: TraceId::of_hex(&self.trace_id),
            id: SpanId::of_hex(&self.span_id),
            parent: self.parent_span_id.as_deref().and_then(SpanId::of_hex),
            kind: self.kind.0,
            start: self.start_time_unix_nano.0.max(0) as u64,
            end: self.end_time_unix_nano.0.max(0) as u64,
            is_error: self.status.is_some_and(|status| status.code.0),
            attributes: self.attributes.0,
        }
    }
}

/// A whole number, which is a number with some, and a string with others; 0 for what is none.
#[derive(Clone, Copy, Default)]
struct Number(i64);

/// A number or the name of an enum's value.
#[derive(Default)]
struct Kind(SpanKind);

/// Whether it is that of an error.
#[derive(Default)]
struct Code(bool);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Scalar::deserialize(deserializer)? {
            Scalar::Whole(number) => Self(number),
            Scalar::Text(text) => Self(text.parse().unwrap_or(0)),
            Scalar::Other(_) => Self(0),
        })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Scalar::deserialize(deserializer)? {
            Scalar::Whole(number) => SpanKind::of_number(number.max(0) as u64),
            Scalar::Text(name) => SpanKind::of_name(&name),
            Scalar::Other(_) => SpanKind::Internal,
        }))
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Scalar::deserialize(deserializer)? {
            Scalar::Whole(number) => number == 2,
            Scalar::Text(name) => matches!(&*name, "STATUS_CODE_ERROR" | "2"),
            Scalar::Other(_) => false,
        }))
    }
}

/// Attributes, each taken as it is read.
#[derive(Default)]
struct Listed<'a>(Attributes<'a>);

#[derive(Deserialize)]
struct KeyValue<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: Option<AnyValue<'a>>,
}

/// The value of the one member that it has, if any.
#[derive(Default)]
struct AnyValue<'a>(Option<Value<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for AnyValue<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Member).map(Self)
    }
}

struct Member;

impl<'de> Visitor<'de> for Member {
    type Value = Option<Value<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the value of an attribute")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut value = None;
        while let Some(name) = members.next_key::<Cow<'de, str>>()? {
            value = Some(match &*name {
                "intValue" => Value::Whole(members.next_value::<Number>()?.0),
                "stringValue" => match members.next_value()? {
                    Scalar::Text(text) => Value::Text(text),
                    Scalar::Whole(number) => Value::Whole(number),
                    Scalar::Other(hash) => Value::Other(hash),
                },
                _ => Value::Other(members.next_value::<Digest>()?.0),
            });
        }
        Ok(value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Listed<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Attributed).map(Self)
    }
}

struct Attributed;

impl<'de> Visitor<'de> for Attributed {
    type Value = Attributes<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of attributes")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Attributes::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut attributes = Attributes::default();
        while let Some(KeyValue { key, value }) = items.next_element::<KeyValue<'de>>()? {
            if let Some(AnyValue(Some(value))) = value {
                attributes.take(&key, value);
            }
        }
        Ok(attributes)
    }
}

/// A value that is not nested, and a hash of any other.
enum Scalar<'a> {
    Whole(i64),
    Text(Cow<'a, str>),
    Other(u64),
}

/// A hash of a value, however it is nested.
struct Digest(u64);

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Scalar::deserialize(deserializer)? {
            Scalar::Whole(number) => attributes::digest(&number.to_le_bytes()),
            Scalar::Text(text) => attributes::digest(text.as_bytes()),
            Scalar::Other(hash) => hash,
        }))
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Other(1 + u64::from(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Whole(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Whole(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        // Some write whole numbers as 3.0.
        let is_whole = value.fract() == 0.0 && value.abs() < 9e15;
        Ok(if is_whole { Scalar::Whole(value as i64) } else { Scalar::Other(value.to_bits()) })
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Other(0))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut hash = 3u64;
        while let Some(Digest(item)) = items.next_element()? {
            hash = hash.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ item;
        }
        Ok(Scalar::Other(hash))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut hash = 4u64;
        while let Some((Digest(name), Digest(value))) = members.next_entry()? {
            hash = hash.wrapping_add(name.rotate_left(9) ^ value);
        }
        Ok(Scalar::Other(hash))
    }
}
