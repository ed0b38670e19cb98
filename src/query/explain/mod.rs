//! Whether PostgreSQL misses an index for a query: what is asked of its planner, and what its answer means.
//!
//! Nothing here talks to a database; who does hands in plans and what the catalog says.
//!
//! - [`statement`]: the shape of a query as the planner takes it, without its values: plans are generic, so that an index
//!   of some rows only (`WHERE active`) and values that are rarer than others are not seen.
//! - [`Plan`]: scans of whole tables that look for something; `condition`: by which columns.
//! - [`judge()`]: whether an index would find it, or exists; [`Verdict`]: what that is called.
//! - `choice`: which query is worth a look.

mod choice;
mod condition;
mod judge;
mod plan;
mod statement;
mod verdict;

pub use choice::{Explained, Question};
pub(super) use choice::{Stands, is_due};
pub use judge::{Column, Index, Table, judge};
pub use plan::{Plan, Scan};
pub use statement::statement;
pub use verdict::{Other, Proof, Proposal, Verdict};
