//! Static files, as a framework serves them: with validators, and without a word about caching.

use axum::{
    Router,
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::missing;

/// The hash in a name is the beginning of the file's SHA-256, as build tools do it.
pub(super) const CSS: &str = "/static/app.304f0c8e.css";
pub(super) const JS: &str = "/static/app.c9316b29.js";
pub(super) const LOGO: &str = "/static/logo.svg";

/// When the files were last changed, as far as anybody is told.
const LAST_MODIFIED: &str = "Mon, 05 Jan 2026 08:00:00 GMT";

struct File {
    path: &'static str,
    content_type: &'static str,
    etag: &'static str,
    body: &'static str,
}

const FILES: [File; 3] = [
    File {
        path: CSS,
        content_type: "text/css; charset=utf-8",
        etag: "\"304f0c8e\"",
        body: include_str!("files/app.css"),
    },
    File {
        path: JS,
        content_type: "text/javascript; charset=utf-8",
        etag: "\"c9316b29\"",
        body: include_str!("files/app.js"),
    },
    File {
        path: LOGO,
        content_type: "image/svg+xml",
        etag: "\"logo-1\"",
        body: "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\">\n  \
               <circle cx=\"16\" cy=\"16\" r=\"15\" fill=\"#222\"/>\n  \
               <circle cx=\"16\" cy=\"16\" r=\"8\" fill=\"#ccc\"/>\n  \
               <circle cx=\"16\" cy=\"16\" r=\"3\" fill=\"#222\"/>\n</svg>\n",
    },
];

pub(super) fn router() -> Router {
    Router::new().route("/static/{name}", get(file))
}

async fn file(Path(name): Path<String>, request: HeaderMap) -> Response {
    let Some(file) = FILES.iter().find(|file| file.path.strip_prefix("/static/") == Some(&name)) else {
        return missing().await;
    };
    let validators = [(header::ETAG, file.etag), (header::LAST_MODIFIED, LAST_MODIFIED)];
    if request.get(header::IF_NONE_MATCH).is_some_and(|tags| tags == file.etag) {
        return (StatusCode::NOT_MODIFIED, validators).into_response();
    }
    (validators, [(header::CONTENT_TYPE, file.content_type)], file.body).into_response()
}
