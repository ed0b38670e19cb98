//! Content codings made here: which one a client gets, which responses are worth it, and the encoders and decoders.

pub mod decoder;
pub mod encoder;
mod settings;

pub use settings::Settings;
