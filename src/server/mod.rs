//! The way of a request.

mod settings;
pub use settings::{Limits, Settings, Timeouts, Tls, Upstream};
