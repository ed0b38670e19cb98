//! Advice: what should be done, what that is worth, and by which numbers.
//!
//! One rule per file, each a pure function over snapshots that answers with [`Finding`]s; here they are put together, the
//! gravest first, without those that the operator has muted.

pub mod cacheable;
pub mod finding;
pub mod own_writes;
pub mod splits;
pub mod switch_on;

#[cfg(test)]
mod truth_tests;

pub use finding::{Confidence, Endpoint, Figure, Finding, Remedy, Severity, Worth};
