//! What clients are told about keeping a response.

use std::time::Duration;

/// When cache headers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Where the origin sent none of Cache-Control, Expires and Pragma.
    #[default]
    Missing,
    /// For hashed names and for routes with a class, also in place of what the origin sent, unless that forbids to keep
    /// the response, to share it, or to use it without a question.
    Override,
    /// Not at all.
    Never,
}

impl Mode {
    /// Every choice with its word in the configuration.
    pub const WORDS: [(&str, Self); 3] =
        [("missing", Self::Missing), ("override", Self::Override), ("never", Self::Never)];
}

/// The settings of `[cache_headers]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// When they are written.
    pub mode: Mode,
    /// How long a file with a content hash in its name may be kept. Default 365 days.
    pub hashed_max_age: Duration,
    /// How long answers of class `static` may be kept. Default 1 h.
    pub static_max_age: Duration,
    /// How long answers of class `api` may be kept. Default 5 min.
    pub api_max_age: Duration,
    /// How long answers of class `monitoring` may be kept. Default 1 min.
    pub monitoring_max_age: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Missing,
            hashed_max_age: Duration::from_secs(365 * 86_400),
            static_max_age: Duration::from_secs(3600),
            api_max_age: Duration::from_secs(300),
            monitoring_max_age: Duration::from_secs(60),
        }
    }
}
