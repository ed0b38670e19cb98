//! Cache headers for clients, where the origin sent none: edits of the client's copy, never of what is stored.
//!
//! `names` knows files whose names carry a hash of their content, `decision` which words a response is given, `etag`
//! the validator of one that has none.

mod decision;
mod etag;
mod names;
mod settings;

pub use decision::{Asked, Kind, edit};
pub use etag::{etag, wants_etag};
pub use names::{fits, has_content_hash};
pub use settings::{Mode, Settings};

#[cfg(test)]
mod decision_tests;
#[cfg(test)]
mod names_tests;
