//! Cache headers for clients, where the origin sent none: edits of the client's copy, never of what is stored.

mod settings;

pub use settings::{Mode, Settings};
