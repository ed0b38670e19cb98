//! Comments by which apps say what a statement is for (sqlcommenter).
//!
//! `/*route='%2Forders',traceparent='00-…-01'*/`: keys and values are URL-encoded, values stand in single quotes, and a
//! quote in a value is `\'`. Some write `key=value` or `key:value`. Nothing else of a comment is ever kept.

use super::super::trace::{SpanId, TraceId, parent};

/// Longer ones are no routes.
const LONGEST_ROUTE: usize = 200;

/// A comment, of which only these two things are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Comment<'a>(&'a str);

impl<'a> Comment<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self(text)
    }

    /// The trace and span that the statement was sent in.
    pub fn trace(&self) -> Option<(TraceId, SpanId)> {
        parent(&decode(self.value("traceparent")?)?)
    }

    /// The app's route, as its framework has it; where there is none, the controller and action.
    pub fn route(&self) -> Option<String> {
        let read = |key| decode(self.value(key)?).filter(|value| is_plain(value));
        let controller = || {
            let controller = read("controller")?;
            Some(read("action").map_or_else(|| controller.clone(), |action| format!("{controller}#{action}")))
        };
        read("route").or_else(controller).filter(|route| route.len() <= LONGEST_ROUTE)
    }

    fn value(&self, wanted: &str) -> Option<&'a str> {
        self.0.split(',').find_map(|pair| {
            let (key, value) = pair.split_once(['=', ':'])?;
            (key.trim() == wanted).then(|| value.trim().trim_matches('\''))
        })
    }
}

/// What may be shown as a name.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| !character.is_control())
}

/// What a URL-encoded text stands for; `None` if that is no UTF-8, or too long to be one of ours.
fn decode(text: &str) -> Option<String> {
    if text.len() > 3 * LONGEST_ROUTE {
        return None;
    }
    let hex = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (mut decoded, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    rest = after;
                }
                _ => decoded.push(b'%'),
            },
            (b'\\', [b'\'', ..]) => {}
            (byte, _) => decoded.push(*byte),
        }
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn routes() {
        for (comment, route) in [
            ("controller='orders',db_driver='x',framework='flask%3A3.1.3',route='/orders'", Some("/orders")),
            ("action='%2Fparam*d',controller='index',framework='spring'", Some("index#/param*d")),
            ("route='%2Fitems%2F%3Cint%3Ai%3E'", Some("/items/<int:i>")),
            ("application:shop,controller:orders,action:index", Some("orders#index")),
            ("route=/plain", Some("/plain")),
            ("route='it\\'s'", Some("it's")),
            ("route=''", None),
            ("route='%00'", None),
            ("route='%ff'", None),
            ("select route", None),
            ("", None),
        ] {
            assert_eq!(Comment::of(comment).route().as_deref(), route, "{comment}");
        }
        assert_eq!(Comment::of(&format!("route='{}'", "x".repeat(201))).route(), None);
    }

    #[test]
    fn traces() {
        let expected = parent(TRACE);
        assert!(expected.is_some());
        for comment in [
            format!("traceparent='{TRACE}'"),
            format!("a='b',traceparent='{TRACE}',z='1'"),
            format!(" traceparent={TRACE} "),
            format!("traceparent:{TRACE}"),
            format!("traceparent='{}'", TRACE.replace('-', "%2D")),
        ] {
            assert_eq!(Comment::of(&comment).trace(), expected, "{comment}");
        }
        assert_eq!(Comment::of("traceparent='00-1-2-01'").trace(), None);
    }
}
