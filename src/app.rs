//! Wiring.

use std::process::ExitCode;

use crate::config::Config;

/// A placeholder: runs nothing.
pub fn run(_config: Config) -> ExitCode {
    ExitCode::SUCCESS
}
