//! Content codings made here: which one a client gets, which responses are worth it, and the encoders.

pub mod decoder;
pub mod eligible;
pub mod encoder;
mod form;
mod settings;
pub mod stats;

use std::sync::Arc;

use arc_swap::ArcSwap;

pub use decoder::Decoder;
pub use eligible::{Skip, coded_head, coding_edits, decoded_head};
pub use encoder::Encoder;
pub use form::Form;
pub use settings::Settings;
pub use stats::Stats;

/// What is coded, and what came of it.
#[derive(Debug)]
pub struct Compression {
    /// What it did since the start.
    pub stats: Stats,
    settings: ArcSwap<Settings>,
}

impl Compression {
    /// Nothing coded yet.
    pub fn new(settings: Settings) -> Self {
        Self { stats: Stats::default(), settings: ArcSwap::from_pointee(settings) }
    }

    /// What is coded, and how hard.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Takes up other settings, for responses that come from now on.
    pub fn reload(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }
}

#[cfg(test)]
mod eligible_tests;
