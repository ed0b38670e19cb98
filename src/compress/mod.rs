//! Content codings made here: which one a client gets, which responses are worth it, and the encoders.

pub mod eligible;
mod settings;
pub mod stats;

pub use settings::Settings;

#[cfg(test)]
mod eligible_tests;
