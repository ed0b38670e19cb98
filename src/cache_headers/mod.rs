//! Cache headers for clients, where the origin sent none: edits of the client's copy, never of what is stored.

mod names;
mod settings;

pub use names::{fits, has_content_hash};
pub use settings::{Mode, Settings};
pub struct Asked<'a> {
    pub method: &'a http::Method,
    pub path: &'a [u8],
    pub personal: bool,
}
pub fn edit(
    _: &mut crate::header::edits::Edits,
    _: &Asked<'_>,
    _: &crate::header::ResponseHead,
    _: Option<crate::route::Class>,
    _: &Settings,
) {
}
pub fn etag(_: &[u8]) -> Vec<u8> {
    vec![]
}
pub fn wants_etag(_: &Asked<'_>, _: &crate::header::ResponseHead, _: &Settings) -> bool {
    false
}
