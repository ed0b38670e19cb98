//! The dashboard page: files that stand in the program, and that load nothing from elsewhere.
//!
//! They are the same for everybody and hold no figures. What they show, they ask the other endpoints for, with the
//! token that their reader has typed in: so they need none themselves.

use axum::{
    extract::{Path, rejection::PathRejection},
    http::{
        HeaderName, HeaderValue, Uri,
        header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
};

use super::{api::not_found, problem::Problem};

/// What the page may do: run and show what came with it, and ask where it came from. Whatever stands in a path or in a
/// query, nothing of it can become a script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// Every file by its name, with its type; the first is the page itself.
const FILES: &[(&str, &str, &str)] = &[
    ("index.html", HTML, include_str!("page/index.html")),
    ("style.css", STYLE, include_str!("page/style.css")),
    ("icon.svg", IMAGE, include_str!("page/icon.svg")),
    ("main.js", SCRIPT, include_str!("page/main.js")),
    ("api.js", SCRIPT, include_str!("page/api.js")),
    ("chart.js", SCRIPT, include_str!("page/chart.js")),
    ("dialog.js", SCRIPT, include_str!("page/dialog.js")),
    ("dom.js", SCRIPT, include_str!("page/dom.js")),
    ("format.js", SCRIPT, include_str!("page/format.js")),
    ("place.js", SCRIPT, include_str!("page/place.js")),
    ("overview.js", SCRIPT, include_str!("page/overview.js")),
    ("findings.js", SCRIPT, include_str!("page/findings.js")),
    ("endpoints.js", SCRIPT, include_str!("page/endpoints.js")),
    ("cache.js", SCRIPT, include_str!("page/cache.js")),
    ("compression.js", SCRIPT, include_str!("page/compression.js")),
    ("slow.js", SCRIPT, include_str!("page/slow.js")),
    ("queries.js", SCRIPT, include_str!("page/queries.js")),
    ("tasks.js", SCRIPT, include_str!("page/tasks.js")),
];

type File = ([(HeaderName, HeaderValue); 2], &'static str);

/// The page.
pub(super) async fn page() -> File {
    let (_, kind, content) = FILES[0];
    served(kind, content)
}

/// What it consists of.
pub(super) async fn file(name: Result<Path<String>, PathRejection>, uri: Uri) -> Result<File, Problem> {
    // A name that is no text is refused before it comes here, and is none of these.
    let name = name.map(|Path(name)| name).unwrap_or_default();
    match FILES.iter().find(|(known, ..)| *known == name) {
        Some((_, kind, content)) => Ok(served(kind, content)),
        None => Err(not_found(uri).await),
    }
}

fn served(kind: &'static str, content: &'static str) -> File {
    let fields = [(CONTENT_TYPE, kind), (CONTENT_SECURITY_POLICY, POLICY)];
    (fields.map(|(name, value)| (name, HeaderValue::from_static(value))), content)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use axum::http::StatusCode;

    use super::*;
    use crate::admin::{
        fixture::{Exchange, empty_state, locked},
        router::router,
    };

    /// What a browser loads in all, uncompressed.
    const MOST_BYTES: usize = 200 << 10;

    #[tokio::test]
    async fn the_page_and_its_files_are_there_for_everybody() {
        let router = router(empty_state(), locked());
        for (name, kind, content) in FILES {
            let path = if *name == "index.html" { "/?window=24h".into() } else { format!("/page/{name}") };
            let answer = Exchange::get(&path).through(router.clone()).await;
            assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, *content), "{name}");
            assert_eq!(answer.header("content-type"), Some(*kind), "{name}");
            assert_eq!(answer.header("content-security-policy"), Some(POLICY), "{name}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{name}");
        }
        for path in ["/page/main", "/page/%2e%2e%2fguard.rs", "/page/%00", "/page/%ff"] {
            let answer = Exchange::get(path).through(router.clone()).await;
            answer.assert_problem(StatusCode::NOT_FOUND, "Not Found", "there is nothing at this address", path);
        }
    }

    #[test]
    fn every_file_is_served_and_all_of_them_are_small() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/page");
        let mut found: Vec<String> =
            fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let mut served: Vec<&str> = FILES.iter().map(|(name, ..)| *name).collect();
        found.sort_unstable();
        served.sort_unstable();
        assert_eq!(served, found);
        let bytes: usize = FILES.iter().map(|(.., content)| content.len()).sum();
        assert!(bytes < MOST_BYTES, "{bytes} bytes");
    }

    /// A page whose scripts may make markup out of text is one mistake away from running what stands in a path.
    #[test]
    fn nothing_makes_markup_of_text_or_loads_from_elsewhere() {
        for (name, _, content) in FILES {
            let dangerous =
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "//cdn"];
            for word in dangerous {
                assert!(!content.contains(word), "{name} has {word}");
            }
            let namespace = "http://www.w3.org/2000/svg";
            for scheme in ["http://", "https://"] {
                let elsewhere = content.replace(namespace, "").matches(scheme).count();
                assert_eq!(elsewhere, 0, "{name} names {scheme}");
            }
        }
    }
}
