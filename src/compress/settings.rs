//! What is coded, and how hard.

use crate::{header::coding::Coding, route::Policy};

/// The settings of `[compression]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The codings on offer, the preferred one first; with none of them bodies go on as the app sends them.
    pub codings: Vec<Coding>,
    /// A shorter body is not coded. Default 500.
    pub min_bytes: u64,
    /// How hard gzip and deflate try at once, 1 to 9. Default 6.
    pub gzip_level: u32,
    /// How hard Brotli tries at once, 0 to 11. Default 5, the first level that makes bodies smaller than gzip 6 does.
    pub brotli_level: u32,
    /// How hard Zstandard tries at once, 1 to 19. Default 6, the first level that makes bodies smaller than gzip 6 does.
    pub zstd_level: i32,
    /// Media types whose bodies are coded, in small letters and without parameters: `text/*` is all of a type, `*+json`
    /// all of a suffix (RFC 6839).
    pub types: Vec<String>,
    /// Whether answers that set a cookie or are `private` are left uncoded, against BREACH. Default: no.
    pub skip_private: bool,
    /// Of one core, in percent: what coding stored bodies anew at the best level may take. 0: they stay as they are.
    /// Default 10.
    pub recode_cpu_percent: u32,
}

impl Settings {
    /// Whether bodies of a route's answers are coded here. Then `Accept-Encoding` is our business and not the app's.
    pub fn codes(&self, policy: &Policy) -> bool {
        policy.compress && !self.codings.is_empty()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            codings: Coding::ALL.to_vec(),
            min_bytes: 500,
            gzip_level: 6,
            brotli_level: 5,
            zstd_level: 6,
            types: [
                "text/*",
                "application/json",
                "*+json",
                "application/javascript",
                "application/x-javascript",
                "application/ecmascript",
                "application/xml",
                "*+xml",
                "application/wasm",
                "application/x-ndjson",
                "application/graphql",
                "application/vnd.ms-fontobject",
                "font/ttf",
                "font/otf",
                "image/bmp",
                "image/x-icon",
                "image/vnd.microsoft.icon",
            ]
            .map(String::from)
            .to_vec(),
            skip_private: false,
            recode_cpu_percent: 10,
        }
    }
}
