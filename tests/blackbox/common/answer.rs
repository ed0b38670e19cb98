//! A whole answer as a client received it, and what a test may say about it.

use std::fmt;

use super::{Fields, readable};

/// How a message ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    /// By its own framing: Content-Length, the last chunk, END_STREAM, or the connection's end where nothing is said.
    Complete,
    /// Before that, for this reason.
    Cut(String),
}

/// What a client was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The request, as a person can read it.
    pub(crate) request: String,
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
    /// Fields after the body; only HTTP/2 clients keep them.
    pub(crate) trailers: Fields,
    /// Interim responses before it: status and fields.
    pub(crate) interim: Vec<(u16, Fields)>,
}

impl Answer {
    /// A stream that was reset before its head: no status, and cut.
    pub(crate) fn reset(request: String, reason: String) -> Self {
        Self {
            request,
            version: "HTTP/2".to_owned(),
            status: 0,
            fields: Fields(Vec::new()),
            body: Vec::new(),
            end: End::Cut(reason),
            trailers: Fields::default(),
            interim: Vec::new(),
        }
    }

    /// The first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A field's value as a number; fails the test if it is none.
    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> u64 {
        let value = self.field(name).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| self.fail(&format!("a number in {name}")))
    }

    #[track_caller]
    pub(crate) fn assert_status(&self, expected: u16) -> &Self {
        self.expect(self.status == expected, format!("status {expected}"))
    }

    /// The field is there once, with this value.
    #[track_caller]
    pub(crate) fn assert_field(&self, name: &str, expected: &str) -> &Self {
        self.expect(self.fields.all(name).eq([expected]), format!("{name}: {expected}"))
    }

    #[track_caller]
    pub(crate) fn assert_no_field(&self, name: &str) -> &Self {
        self.expect(self.field(name).is_none(), format!("no field {name}"))
    }

    /// The whole body, which must have come to its end.
    #[track_caller]
    pub(crate) fn assert_body(&self, expected: impl AsRef<[u8]>) -> &Self {
        let expected = expected.as_ref();
        self.assert_complete();
        self.expect(self.body == expected, format!("{} bytes of body:\n{}", expected.len(), readable(expected)))
    }

    #[track_caller]
    pub(crate) fn assert_complete(&self) -> &Self {
        self.expect(self.end == End::Complete, "a complete message".to_owned())
    }

    /// The client could see that this is not the whole message.
    #[track_caller]
    pub(crate) fn assert_cut(&self) -> &Self {
        self.expect(self.end != End::Complete, "a message that is visibly cut".to_owned())
    }

    /// How the cache took part, by the last member of Cache-Status (RFC 9211): `hit`, `miss` or `bypass`.
    #[track_caller]
    pub(crate) fn assert_cache(&self, expected: &str) -> &Self {
        assert!(["hit", "miss", "bypass"].contains(&expected), "no such outcome: {expected}");
        let outcome = self.cache_parameters().iter().find_map(|parameter| match &**parameter {
            "hit" => Some("hit"),
            "fwd=uri-miss" | "fwd=vary-miss" | "fwd=miss" | "fwd=stale" => Some("miss"),
            "fwd=bypass" | "fwd=method" | "fwd=request" => Some("bypass"),
            _ => None,
        });
        self.expect(outcome == Some(expected), format!("Cache-Status that means {expected}"))
    }

    /// A parameter of the last member of Cache-Status, such as `stored` or `detail=no-store`.
    #[track_caller]
    pub(crate) fn assert_cache_parameter(&self, expected: &str) -> &Self {
        let found = self.cache_parameters().iter().any(|parameter| parameter == expected);
        self.expect(found, format!("Cache-Status with {expected}"))
    }

    /// Fails with the exchange unless `holds`.
    #[track_caller]
    pub(crate) fn expect(&self, holds: bool, expected: String) -> &Self {
        if !holds {
            self.fail(&expected);
        }
        self
    }

    #[track_caller]
    fn fail(&self, expected: &str) -> ! {
        panic!("expected {expected}\n{self}")
    }

    /// The parameters of the last member; a comma or semicolon inside quotes separates nothing.
    fn cache_parameters(&self) -> Vec<String> {
        let mut quoted = false;
        let mut members = vec![vec![String::new()]];
        for character in self.fields.joined("cache-status").chars() {
            quoted ^= character == '"';
            match character {
                ',' if !quoted => members.push(vec![String::new()]),
                ';' if !quoted => members.last_mut().expect("never empty").push(String::new()),
                other => members.last_mut().and_then(|member| member.last_mut()).expect("never empty").push(other),
            }
        }
        members.pop().expect("never empty").iter().skip(1).map(|parameter| parameter.trim().to_owned()).collect()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request:\n{}", self.request)?;
        for (status, fields) in &self.interim {
            write!(f, "interim response:\n    {status}\n{fields}")?;
        }
        write!(f, "response:\n    {} {}\n{}", self.version, self.status, self.fields)?;
        write!(f, "body, {} bytes, {:?}:\n{}", self.body.len(), self.end, readable(&self.body))
    }
}
