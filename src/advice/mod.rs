//! Advice: what should be done, what that is worth, and by which numbers.
//!
//! One rule per file, each a pure function over snapshots that answers with [`Finding`]s; here they are put together, the
//! gravest first, without those that the operator has muted.

pub mod finding;
pub mod sizing;
pub mod wrong_answers;

pub use finding::{Confidence, Endpoint, Figure, Finding, Remedy, Severity, Worth};
