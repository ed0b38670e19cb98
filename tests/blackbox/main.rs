//! Black-box tests: the real program over real sockets, one file per behaviour.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

mod common;
mod harness;
