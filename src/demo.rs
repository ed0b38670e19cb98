//! Demo.

use std::{net::SocketAddr, process::ExitCode};

/// A placeholder: runs nothing.
pub fn run(_listen: SocketAddr) -> ExitCode {
    ExitCode::SUCCESS
}
