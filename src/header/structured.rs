//! Structured Fields (RFC 8941), as far as we read them. One that cannot be parsed is as good as not there (§4.2).

use sfv::{Dictionary, List, Parser};

use super::Fields;

/// The members of a Dictionary over all lines of the field, none if it is not there; `None` if it cannot be parsed.
pub(super) fn dictionary<M: Fields>(message: &M, name: &str) -> Option<Dictionary> {
    Parser::parse_dictionary(&joined(message, name)).ok()
}

/// The members of a List over all lines of the field, none if it is not there; `None` if it cannot be parsed.
pub(super) fn list<M: Fields>(message: &M, name: &str) -> Option<List> {
    Parser::parse_list(&joined(message, name)).ok()
}

/// Every line of a field as one value (§4.2). As large as the head at most, which its parser has bounded.
fn joined<M: Fields>(message: &M, name: &str) -> Vec<u8> {
    message.all(name).collect::<Vec<_>>().join(b", ".as_slice())
}
