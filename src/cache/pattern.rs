//! Regular expressions that come from outside: read with bounds, matched in linear time.

use regex::bytes::{Regex, RegexBuilder};

/// Patterns whose program takes more bytes than this are refused.
const PROGRAM_BYTES: usize = 1 << 20;

/// A regular expression over keys or paths; it matches anywhere in them unless it is anchored.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, in one line; one that would take more than a MiB is refused.
    pub fn new(text: &str) -> Result<Self, String> {
        let built = RegexBuilder::new(text).size_limit(PROGRAM_BYTES).dfa_size_limit(PROGRAM_BYTES).build();
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

    /// Whether it matches somewhere in this.
    pub fn matches(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
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

    #[test]
    fn a_pattern_matches_anywhere_unless_it_is_anchored() {
        assert!(Pattern::new("b").unwrap().matches(b"/abc"));
        assert!(!Pattern::new("^b").unwrap().matches(b"/abc"));
        assert!(Pattern::new("^/.bc$").unwrap().matches(b"/abc"));
        assert!(!Pattern::new("a").unwrap().matches(b"/\xff"));
    }
}
