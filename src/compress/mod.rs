//! Content codings made here: which one a client gets, which responses are worth it, and the encoders.

mod settings;

pub use settings::Settings;
