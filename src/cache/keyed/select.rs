//! Which values of the keyed cache are meant: by prefix, by pattern, by tag.

use regex::{Regex, RegexBuilder};

use super::Value;

/// Patterns whose program takes more bytes than this are refused. Matching is linear in the key's length.
const PATTERN_BYTES: usize = 1 << 20;

/// Which values are meant.
#[derive(Debug)]
pub enum Select {
    /// Those whose key begins so.
    Prefix(String),
    /// Those whose key has a match.
    Pattern(Pattern),
    /// Those with this tag.
    Tag(String),
}

impl Select {
    pub(super) fn has(&self, key: &str, value: &Value) -> bool {
        match self {
            Self::Prefix(prefix) => key.starts_with(prefix.as_str()),
            Self::Pattern(pattern) => pattern.0.is_match(key),
            Self::Tag(tag) => value.tags.iter().any(|has| **has == **tag),
        }
    }
}

/// A regular expression over keys; it matches anywhere in a key unless it is anchored.
#[derive(Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Reads it, or says in one line what is wrong with it. One that would take more than a MiB is refused.
    pub fn new(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(text).size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES).build();
        built.map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => format!("it takes more than {limit} bytes"),
            // The last line is what is wrong; those before show where.
            other => {
                let text = other.to_string();
                let last = text.lines().last().unwrap_or_default();
                last.strip_prefix("error: ").unwrap_or(last).to_owned()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_pattern_is_refused_in_one_line() {
        assert_eq!(Pattern::new("(a").unwrap_err(), "unclosed group");
        assert_eq!(
            Pattern::new("a(?=b)").unwrap_err(),
            "look-around, including look-ahead and look-behind, is not supported"
        );
        assert_eq!(Pattern::new("(?:a{1000}){1000}").unwrap_err(), "it takes more than 1048576 bytes");
    }
}
