//! The vocabulary of HTTP: heads, lists, Cache-Control, dates, validators, ranges, cache tags, forwarding fields.
//! Depends on nothing of ours.

pub mod accept_encoding;
pub mod authority;
pub mod cache_control;
pub mod coding;
pub mod cookie;
pub mod date;
pub mod edits;
pub mod fields;
pub mod forwarded;
pub mod prefer;
pub mod range;
pub mod reference;
pub mod refusal;
pub mod request;
pub mod response;
mod structured;
pub mod tags;
pub mod targeted;
pub mod validator;

pub use cache_control::CacheControl;
pub use fields::Fields;
pub use request::{Framing, RequestHead};
pub use response::ResponseHead;

#[cfg(test)]
mod accept_encoding_tests;
#[cfg(test)]
mod range_tests;
#[cfg(test)]
mod request_tests;
