//! Which values of the keyed cache are meant: by prefix, by pattern, by tag.

use crate::cache::pattern::Pattern;

use super::Value;

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
            Self::Pattern(pattern) => pattern.matches(key.as_bytes()),
            Self::Tag(tag) => value.tags.iter().any(|has| **has == **tag),
        }
    }
}
