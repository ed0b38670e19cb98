//! What is wrong with a configuration, as it is printed: where, what was given, what was expected.

use std::{fmt, net::SocketAddr, ops::RangeInclusive};

use crate::{admin::Token, advice, units};

/// A given value longer than this many characters is cut when it is shown.
const SHOWN: usize = 120;

/// Every problem of a configuration: what came from outside the file first, then by line.
#[derive(Debug)]
pub struct Problems {
    file: String,
    list: Vec<Problem>,
}

impl Problems {
    pub(super) fn new(file: impl Into<String>, mut list: Vec<Problem>) -> Self {
        list.sort_by_key(Problem::line);
        Self { file: file.into(), list }
    }
}

/// One problem a line, without a final newline.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.list.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            problem.write(&self.file, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A value, where it was given and how it was written there.
#[derive(Clone, Debug)]
pub struct Given<T> {
    pub(super) value: T,
    pub(super) place: Place,
    /// As shown in a problem; arrays and tables are not shown.
    pub(super) text: Option<String>,
}

impl Given<String> {
    /// What a command-line flag such as `--upstream` says.
    pub fn flag(name: &'static str, value: String) -> Self {
        Self { text: Some(shown(&value)), place: Place::Flag(name), value }
    }

    /// What an environment variable says.
    pub fn env(name: &'static str, value: String) -> Self {
        Self { text: Some(shown(&value)), place: Place::Env(name), value }
    }

    pub(super) fn parse<T>(self, parse: impl FnOnce(&str) -> Result<T, Fault>) -> Result<Given<T>, Problem> {
        match parse(&self.value) {
            Ok(value) => Ok(Given { value, place: self.place, text: self.text }),
            Err(fault) => Err(self.problem(fault)),
        }
    }
}

impl<T> Given<T> {
    pub(super) fn problem(&self, fault: Fault) -> Problem {
        Problem { given: Given { value: (), place: self.place.clone(), text: self.text.clone() }, fault: fault.into() }
    }

    pub(super) fn with<U>(self, value: U) -> Given<U> {
        Given { value, place: self.place, text: self.text }
    }
}

/// As it was written: `cache.max_bytes = "64MiB"`, `--listen ":80"`.
impl<T> fmt::Display for Given<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, between) = match &self.place {
            Place::File => ("", ""),
            Place::Line { key, .. } => (key.as_str(), " = "),
            Place::Flag(name) => (*name, " "),
            Place::Env(name) => (*name, " = "),
        };
        f.write_str(name)?;
        self.text.iter().try_for_each(|text| write!(f, "{between}{text}"))
    }
}

/// Where something was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The file as a whole.
    File,
    /// A line of the file, and the key with its section; the key is empty where the file is not TOML.
    Line { line: usize, key: String },
    /// A command-line flag.
    Flag(&'static str),
    /// An environment variable.
    Env(&'static str),
}

/// One thing that is wrong.
#[derive(Debug)]
pub(super) struct Problem {
    given: Given<()>,
    /// In a box, because a problem is what many functions return in place of something small.
    pub(super) fault: Box<Fault>,
}

impl Problem {
    /// A problem of a place rather than of a value.
    pub(super) fn at(place: Place, fault: Fault) -> Self {
        Self { given: Given { value: (), place, text: None }, fault: fault.into() }
    }

    #[cfg(test)]
    pub(super) fn place(&self) -> &Place {
        &self.given.place
    }

    /// The line of the file; 0 for what is not in one.
    pub(super) fn line(&self) -> usize {
        match &self.given.place {
            Place::Line { line, .. } => *line,
            Place::File | Place::Flag(_) | Place::Env(_) => 0,
        }
    }

    fn write(&self, file: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { given, fault } = self;
        match &given.place {
            Place::File => write!(f, "{file}: {fault}"),
            Place::Line { line, key } if key.is_empty() => write!(f, "{file}:{line}: {fault}"),
            Place::Line { line, .. } => write!(f, "{file}:{line}: {given}: {fault}"),
            Place::Flag(_) | Place::Env(_) => write!(f, "{given}: {fault}"),
        }
    }
}

/// What is wrong with a value, a key or a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault {
    /// Occurs when a file cannot be opened or read; the system's word for it.
    Unreadable(String),
    /// Occurs when the file is not TOML; the parser's word for it.
    Syntax(String),
    /// Occurs when there is no such key or section; what was given, and what there is beside it.
    Unknown {
        what: &'static str,
        near: Option<&'static str>,
        section: String,
        known: Vec<&'static str>,
    },
    /// Occurs when a section lacks a key that it cannot do without.
    Missing {
        section: String,
        needs: &'static [&'static str],
    },
    /// Occurs when a value has another TOML type than the one that was expected.
    Type {
        expected: Box<Fault>,
        given: &'static str,
    },
    /// Occurs when a duration or a size is not as people write them.
    Unit(units::Fault),
    Boolean,
    Text,
    Texts,
    SectionHeader(String),
    SectionHeaders(String),
    Whole(RangeInclusive<usize>),
    SizeRange(RangeInclusive<u64>),
    Address,
    /// Occurs when the admin port is to be reached from elsewhere and nothing would protect it.
    NoToken,
    Upstream,
    /// Occurs when a certificate cannot be for the host of an https URL.
    UpstreamName,
    /// Occurs when the app's socket has no usable path.
    UpstreamSocket,
    /// Occurs when the app's URL has a scheme that is not spoken; the scheme as it was written.
    UpstreamScheme(String),
    /// Occurs when the app's URL has more than a host and a port; what it has.
    UpstreamPart(&'static str),
    Host,
    HostName,
    Network,
    AccessLog,
    LogFormat,
    /// A content coding that is not made here.
    Coding,
    MediaType,
    CacheHeaders,
    /// Not a mode of the whole program.
    Mode,
    Class,
    Cookie,
    /// Occurs for what is no template of paths.
    Endpoint,
    /// A name that no finding has.
    Finding,
    /// Not the id of a query.
    Fingerprint,
    /// No name of a variable of the environment.
    Variable,
    /// Occurs for a pattern that matches no name in SQL, or every one.
    Mask,
    /// Occurs for what is no plain URL of a collector.
    Collector,
    /// A name that no header field has.
    FieldName,
    Glob,
    Method,
    RouteName,
    FilePath,
    /// Occurs when a PEM file holds something else; what it should hold.
    Pem(&'static str),
    /// Occurs when the file of a token holds something else.
    Token,
    NoListener,
    /// Occurs when a list is longer than this.
    TooMany(usize),
    /// Occurs when a value must not be larger than another key's, which is this.
    Above {
        key: &'static str,
        limit: String,
    },
    /// Occurs when another setting takes away this one's meaning.
    NoEffect {
        with: &'static str,
    },
    /// Occurs when a list has something twice of which there is only one.
    Repeated,
    /// Occurs when the type of bodies that are never coded is to be coded; why they are not.
    NeverCoded(&'static str),
    /// Occurs when two routes have one name; the line of the first.
    TakenName {
        line: usize,
    },
    /// Occurs when two listeners want one port; the other's address and key.
    TakenAddress {
        address: SocketAddr,
        key: &'static str,
    },
    /// Occurs when the app's address is one that Pacecar itself listens on; the key of that listener.
    Loop {
        key: &'static str,
    },
}

impl From<units::Fault> for Fault {
    fn from(fault: units::Fault) -> Self {
        Fault::Unit(fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Fault::Syntax(why) => f.write_str(why),
            Fault::Unknown { what, near: Some(near), .. } => write!(f, "unknown {what}; did you mean {}?", quote(near)),
            Fault::Unknown { what, section, known, .. } => {
                write!(f, "unknown {what}; {section} takes {}", known.join(", "))
            }
            Fault::Missing { section, needs } => write!(f, "missing; {section} needs {}", needs.join(", ")),
            Fault::Type { expected, given } => write!(f, "{expected}, not {given}"),
            Fault::Unit(fault) => fault.fmt(f),
            Fault::Boolean => f.write_str("expected true or false"),
            Fault::Text => f.write_str("expected a string"),
            Fault::Texts => f.write_str("expected a string or an array of strings"),
            Fault::SectionHeader(header) => write!(f, "expected a section [{header}]"),
            Fault::SectionHeaders(header) => write!(f, "expected a section [[{header}]], in double brackets"),
            Fault::Whole(range) => write!(f, "expected a whole number from {} to {}", range.start(), range.end()),
            Fault::SizeRange(range) => {
                let (least, most) = (units::show_size(*range.start()), units::show_size(*range.end()));
                write!(f, "expected a size from {least} to {most}")
            }
            Fault::Address => {
                f.write_str("expected an address such as \"127.0.0.1:8080\", \"localhost:8080\" or \":8080\"")
            }
            Fault::NoToken => f.write_str(
                "expected a loopback address such as \"127.0.0.1:9090\", or a token in admin.token_file, \
                 without which anybody could read and change what is stored",
            ),
            Fault::Upstream => f.write_str("expected a URL such as \"http://127.0.0.1:3000\""),
            Fault::UpstreamScheme(scheme) => {
                write!(f, "{}: http://, https://, h2c:// and unix: are spoken, not {scheme}", Fault::Upstream)
            }
            Fault::UpstreamName => f.write_str(
                "expected a host that a certificate can be for, such as \"https://app.example\", without \"_\"",
            ),
            Fault::UpstreamSocket => {
                f.write_str("expected an absolute path of at most 107 bytes, such as \"unix:/run/app.sock\"")
            }
            Fault::UpstreamPart(part) => write!(f, "{}, without {part}", Fault::Upstream),
            Fault::Host => f.write_str("expected a host with or without a port, such as \"app.example:3000\""),
            Fault::HostName => f.write_str("expected the name of a host without a port, such as \"pacecar.internal\""),
            Fault::Network => f.write_str("expected an address or a network such as \"10.0.0.0/8\""),
            Fault::AccessLog => f.write_str("expected \"errors\", \"all\" or \"off\""),
            Fault::LogFormat => f.write_str("expected \"json\" or \"combined\""),
            Fault::Coding => f.write_str("expected \"zstd\", \"br\", \"gzip\" or \"deflate\""),
            Fault::MediaType => f.write_str(
                "expected a media type without parameters, such as \"application/json\", \"text/*\" or \"*+json\"",
            ),
            Fault::Mode => f.write_str("expected \"on\" or \"observe\""),
            Fault::CacheHeaders => f.write_str("expected \"missing\", \"override\" or \"never\""),
            Fault::Class => f.write_str("expected \"static\", \"api\", \"monitoring\" or \"health\""),
            Fault::Finding => {
                let kinds: Vec<&str> = advice::kinds().collect();
                let kinds = kinds.join(", ");
                write!(f, "expected the id of a finding, such as \"slow_endpoint:GET /report\", or a kind: {kinds}")
            }
            Fault::Fingerprint => f.write_str("expected the id of a query, such as \"q_0123456789abcdef\""),
            Fault::Variable => {
                f.write_str("expected the name of a variable of the environment, such as \"PACECAR_EXPLAIN_URL\"")
            }
            Fault::Mask => f.write_str("expected a name with \"*\" for any characters, such as \"tenant_*\""),
            Fault::Collector => f.write_str("expected the URL of a collector, such as \"http://127.0.0.1:4320\""),
            Fault::FieldName => write!(f, "expected the name of a header field, such as \"cdn-cache-control\""),
            Fault::Cookie => {
                f.write_str("expected a cookie's name, with or without a \"*\" at its end, such as \"_ga*\"")
            }
            Fault::Endpoint => {
                f.write_str("expected a path with names for what changes, such as \"/users/{id}\" or \"/files/**\"")
            }
            Fault::Glob => f.write_str(
                "expected a path that begins with \"/\", without a query, such as \"/users/*\" or \"/a/**\"",
            ),
            Fault::Method => f.write_str("expected a method in capitals such as \"GET\""),
            Fault::RouteName => {
                f.write_str("expected 1 to 200 printable ASCII characters without quotes and backslashes")
            }
            Fault::FilePath => f.write_str("expected a path"),
            Fault::Pem(content) => write!(f, "expected a PEM file with a {content}"),
            Fault::Token => {
                let (least, most) = (Token::LENGTHS.start(), Token::LENGTHS.end());
                write!(f, "expected a file with one line of {least} to {most} visible ASCII characters")
            }
            Fault::NoListener => f.write_str("expected at least one address"),
            Fault::TooMany(most) => write!(f, "expected at most {most} of them"),
            Fault::Above { key, limit } => write!(f, "expected at most {key}, which is {limit}"),
            Fault::NoEffect { with } => write!(f, "has no effect with {with}"),
            Fault::Repeated => f.write_str("expected only once in the list"),
            Fault::NeverCoded(why) => write!(f, "has no effect: it is never coded, since {why}"),
            Fault::TakenName { line } => {
                write!(f, "expected a name of its own: the route of line {line} has this one")
            }
            Fault::TakenAddress { address, key } => {
                write!(f, "expected an address of its own: {key} has {address}")
            }
            Fault::Loop { key } => write!(f, "expected the app's address: this one is Pacecar's own, in {key}"),
        }
    }
}

/// A string as a problem shows it: quoted, cut when it is long, and without the credentials of a URL.
pub(super) fn shown(text: &str) -> String {
    let secret = text.find("://").map(|i| i + 3).zip(text.rfind('@')).filter(|(start, end)| start <= end);
    let text = match secret {
        Some((start, end)) => format!("{}…{}", &text[..start], &text[end..]),
        None => text.to_owned(),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => quote(&format!("{}…", &text[..end])),
        None => quote(&text),
    }
}

/// A string as TOML writes it, on one line.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_credentials() {
        assert_eq!(shown("http://me:se@cret@app:80/x"), "\"http://…@app:80/x\"");
        assert_eq!(shown("me@http://app"), "\"me@http://app\"");
    }

    #[test]
    fn a_long_value_is_cut() {
        assert_eq!(shown(&"é".repeat(121)), format!("\"{}…\"", "é".repeat(120)));
        assert_eq!(shown(&"é".repeat(120)), format!("\"{}\"", "é".repeat(120)));
    }

    #[test]
    fn control_characters_are_escaped_as_toml_does() {
        assert_eq!(quote("a\"\\\n\u{1b}\u{85}é"), "\"a\\\"\\\\\\u000A\\u001B\\u0085é\"");
    }
}
