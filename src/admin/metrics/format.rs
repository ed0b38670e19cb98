//! Which of the two text formats a client is given, by its Accept field (RFC 9110 §12.5.1).

use crate::header::{
    Fields,
    accept_encoding::thousandths,
    fields::{is, trim},
};

/// A form in which the figures are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus' own, version 0.0.4, which everything reads.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// How well a client likes a format: the weight of the most specific range that names it, in thousandths, and how
/// specific that is, which settles a tie.
type Liking = (u16, Specific);

/// How specific a media range is (RFC 9110 §12.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Specific {
    /// `*/*`
    Anything,
    /// Such as `text/*`.
    Type,
    /// A media type.
    Subtype,
}

impl Format {
    /// OpenMetrics for who likes it better, and text for everybody else: a client that takes neither is given something
    /// that it may read all the same, which is worth more than a 406.
    pub(super) fn of<M: Fields>(request: &M) -> Self {
        if liking(Self::OpenMetrics, request) > liking(Self::Text, request) { Self::OpenMetrics } else { Self::Text }
    }

    /// The value of Content-Type.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    fn named(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("text", "plain"),
            Self::OpenMetrics => ("application", "openmetrics-text"),
        }
    }

    /// Whether a client that names this version can read ours. What speaks of 0.0.1 was written when OpenMetrics was a
    /// draft, and reads 1.0.0; the versions of text add to each other.
    fn reads(self, version: &[u8]) -> bool {
        self == Self::Text || matches!(version, b"1.0.0" | b"0.0.1")
    }
}

/// `None` where no range names the format, or it is refused.
fn liking<M: Fields>(format: Format, request: &M) -> Option<Liking> {
    let ranges = request.members("accept").filter_map(|member| range(format, member));
    let (specific, weight) = ranges.max()?;
    (weight > 0).then_some((weight, specific))
}

/// How specific a media range is that has the format in it, and its weight. A malformed one has nothing in it.
fn range(format: Format, member: &[u8]) -> Option<(Specific, u16)> {
    let mut parts = member.split(|byte| *byte == b';').map(trim);
    let media = parts.next()?;
    let slash = memchr::memchr(b'/', media)?;
    let (of_type, of_subtype) = format.named();
    let specific = match (&media[..slash], &media[slash + 1..]) {
        (b"*", b"*") => Specific::Anything,
        (kind, b"*") if is(kind, of_type) => Specific::Type,
        (kind, subtype) if is(kind, of_type) && is(subtype, of_subtype) => Specific::Subtype,
        _ => return None,
    };
    let mut weight = 1000;
    for parameter in parts {
        let Some(equals) = memchr::memchr(b'=', parameter) else { continue };
        let (name, value) = (&parameter[..equals], &parameter[equals + 1..]);
        if is(name, "q") {
            weight = thousandths(value)?;
        } else if is(name, "version") && !format.reads(unquoted(value)) {
            return None;
        }
    }
    Some((specific, weight))
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header::ACCEPT};
    use proptest::prelude::*;

    use super::*;

    fn given(accept: &[&str]) -> Format {
        let mut fields = HeaderMap::new();
        for line in accept {
            fields.append(ACCEPT, HeaderValue::from_str(line).unwrap());
        }
        Format::of(&fields)
    }

    macro_rules! given {
        ($($name:ident: $accept:expr => $format:ident;)*) => {
            $(#[test] fn $name() { assert_eq!(given(&$accept), Format::$format); })*
        };
    }

    given! {
        nothing_said: [] => Text;
        nothing_named: [""] => Text;
        curl: ["*/*"] => Text;
        a_browser: ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"] => Text;
        prometheus_2_42: ["application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
            text/plain;version=0.0.4;q=0.5,*/*;q=0.1"] => OpenMetrics;
        prometheus_3: ["application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
            application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
            text/plain;version=0.0.4;q=0.3,*/*;q=0.2"] => OpenMetrics;
        prometheus_3_told_to_take_text: ["text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,\
            */*;q=0.2"] => Text;
        the_draft_alone: ["application/openmetrics-text; version=0.0.1"] => OpenMetrics;
        without_a_version: ["application/openmetrics-text"] => OpenMetrics;
        quoted_version: ["application/openmetrics-text; version=\"1.0.0\"; charset=utf-8"] => OpenMetrics;
        in_any_case: ["Application/OpenMetrics-Text;Version=1.0.0;Q=0.9, text/plain;q=0.8"] => OpenMetrics;
        version_of_tomorrow: ["application/openmetrics-text; version=2.0.0"] => Text;
        protobuf_and_anything: ["application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
            encoding=delimited,*/*;q=0.1"] => Text;
        text_liked_better: ["application/openmetrics-text;q=0.5, text/plain"] => Text;
        both_alike: ["application/openmetrics-text, text/plain"] => Text;
        named_beats_anything: ["*/*, application/openmetrics-text"] => OpenMetrics;
        over_several_lines: ["text/plain;q=0.5", "application/openmetrics-text;q=0.6"] => OpenMetrics;
        of_the_type: ["application/*, text/*;q=0.5"] => OpenMetrics;
        refused: ["application/openmetrics-text;q=0"] => Text;
        refused_by_name_and_taken_as_anything: ["application/openmetrics-text;q=0, */*"] => Text;
        text_refused: ["text/plain;q=0, */*"] => OpenMetrics;
        all_refused: ["*/*;q=0"] => Text;
        neither: ["image/png"] => Text;
        malformed_weight: ["application/openmetrics-text;q=2, text/plain;q=0.1"] => Text;
        malformed_type: ["openmetrics-text"] => Text;
    }

    proptest! {
        #[test]
        fn any_field_is_answered(lines in proptest::collection::vec("[ -~]{0,60}|([a-z*]{0,4}/[a-z*]{0,4}[;,=q.0-9 ]{0,9}){0,9}", 0..4)) {
            given(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}
