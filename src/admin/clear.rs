//! Purging the cache of responses: `POST /performance/cache/clear`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Request, State},
};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    api::{Shared, apart, bad_request, parameters},
    body::Intake,
    problem::Problem,
    view::Purged,
};
use crate::{
    advice::{Kind, Marker},
    cache::{
        pattern::Pattern,
        purge::{Mode, Rule, Scope, Url},
    },
};

/// Bytes of the whole wish.
const MOST_BYTES: u64 = 256 << 10;
/// URLs or tags that one purge names: each stored response is compared with each of them.
const MOST_NAMED: usize = 1000;
/// Bytes of a pattern.
const PATTERN_BYTES: usize = 1024;

/// What is to be purged: exactly one of the four, or, with none, everything. For its schema see `openapi::operations`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wish {
    urls: Option<Vec<String>>,
    tags: Option<Vec<String>>,
    prefix: Option<String>,
    pattern: Option<String>,
    mode: Option<String>,
    dry_run: bool,
}

/// Purges what is named, at once; then counts it, and drops it where it is to be dropped.
pub(super) async fn clear(
    State(state): Shared,
    Extension(intake): Extension<Arc<Intake>>,
    request: Request,
) -> Result<Json<Purged>, Problem> {
    let uri = request.uri().clone();
    parameters(&uri, &[])?;
    let body = intake.receive(request.into_body(), MOST_BYTES).await.map_err(|why| why.problem(&uri, "256 KiB"))?;
    let wish = read(&body).map_err(|detail| bad_request(&uri, detail))?;
    let scopes = wish.scopes().map_err(|detail| bad_request(&uri, detail))?;
    let mode = wish.mode().map_err(|detail| bad_request(&uri, detail))?;
    let (began, dry_run) = (Instant::now(), wish.dry_run);
    let is_everything = matches!(scopes[..], [Scope::All]);
    let purged = apart(move || {
        let (cache, now) = (&state.cache, began.into_std());
        if dry_run {
            return cache.would_clear(&Rule::imagined(scopes, mode, now));
        }
        let rule = cache.purge(scopes, mode, now);
        let purged = cache.clear(&rule, mode, now);
        if is_everything {
            state.markers.mark(Marker { at: now, kind: Kind::Purge, label: "everything".into() });
        }
        tracing::info!(mode = mode.name(), cleared = purged.cleared, "cache purged by the admin port");
        purged
    });
    Ok(Json(Purged::new(mode, dry_run, &purged.await, began.elapsed())))
}

/// Nothing at all is the wish for everything, as `{}` is.
fn read(body: &[u8]) -> Result<Wish, String> {
    if body.is_empty() {
        return Ok(Wish::default());
    }
    // An object and nothing else: serde takes an array for the fields in their order.
    let expected = |why: String| {
        format!(
            "{why}: expected a JSON object with urls, tags, prefix or pattern, and mode and dry_run, or {{}} for all"
        )
    };
    let object: Map<String, Value> = serde_json::from_slice(body).map_err(|error| expected(error.to_string()))?;
    // Most often something that was not set by mistake, and must not mean everything.
    if let Some((name, _)) = object.iter().find(|(_, value)| value.is_null()) {
        return Err(expected(format!("{name} is null")));
    }
    serde_json::from_value(object.into()).map_err(|error| expected(error.to_string()))
}

impl Wish {
    fn mode(&self) -> Result<Mode, String> {
        let Some(given) = &self.mode else { return Ok(Mode::Hard) };
        let named = Mode::ALL.iter().find(|mode| mode.name() == given);
        named.copied().ok_or_else(|| format!("mode = {given:?}: expected \"hard\" or \"soft\""))
    }

    fn scopes(&self) -> Result<Vec<Scope>, String> {
        match (&self.urls, &self.tags, &self.prefix, &self.pattern) {
            (None, None, None, None) => Ok(vec![Scope::All]),
            (Some(urls), None, None, None) => several("urls", urls, |url| {
                Url::parse(url).map(Scope::Url).map_err(|why| format!("urls: {url:?}: {why}"))
            }),
            (None, Some(tags), None, None) => several("tags", tags, |tag| match tag.trim() {
                "" => Err("tags: \"\": expected a tag".into()),
                tag => Ok(Scope::Tag(tag.into())),
            }),
            (None, None, Some(prefix), None) => Ok(vec![Scope::Prefix(self::prefix(prefix)?)]),
            (None, None, None, Some(given)) => Ok(vec![pattern(given)?]),
            _ => Err("expected only one of urls, tags, prefix and pattern".into()),
        }
    }
}

/// None at all is most often a list that was not filled by mistake, and must not mean everything.
fn several(
    name: &str,
    given: &[String],
    scope: impl Fn(&String) -> Result<Scope, String>,
) -> Result<Vec<Scope>, String> {
    match given.len() {
        1..=MOST_NAMED => given.iter().map(scope).collect(),
        count => Err(format!("{name}: {count} of them: expected 1 to {MOST_NAMED}")),
    }
}

/// Host and path, or a path of any host. A scheme in front says nothing here: both are meant.
fn prefix(given: &str) -> Result<Box<[u8]>, String> {
    let expected = |why: &str| format!("prefix = {given:?}: {why}, such as \"shop.example/api/\" or \"/api/\"");
    let rest = given.strip_prefix("https://").or_else(|| given.strip_prefix("http://")).unwrap_or(given);
    if rest.is_empty() {
        // It would be the prefix of everything: most often a variable that somebody forgot to set.
        return Err(expected("expected the beginning of a host and path, or of a path"));
    }
    let path = rest.find('/').unwrap_or(rest.len());
    Ok([rest[..path].to_ascii_lowercase().as_bytes(), &rest.as_bytes()[path..]].concat().into())
}

fn pattern(given: &str) -> Result<Scope, String> {
    if given.is_empty() || given.len() > PATTERN_BYTES {
        return Err(format!("pattern = {given:?}: expected 1 to {PATTERN_BYTES} bytes"));
    }
    let why = |why| format!("pattern = {given:?}: expected a regular expression: {why}");
    Pattern::new(given).map(Scope::Pattern).map_err(why)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;
    use crate::admin::fixture::{Answer, Exchange, empty_state};

    async fn posted(body: &'static str) -> Answer {
        let post = Exchange::of("POST", "/performance/cache/clear").field("content-type", "application/json");
        post.body(body).with(&empty_state()).await
    }

    #[tokio::test]
    async fn an_empty_cache_has_nothing_to_clear() {
        for (body, mode, dry_run) in [
            ("", "hard", false),
            ("{}", "hard", false),
            (r#"{"urls":["https://shop.example/p/7","/a"]}"#, "hard", false),
            (r#"{"tags":["product-7"],"mode":"soft"}"#, "soft", false),
            (r#"{"prefix":"shop.example/api/","dry_run":true}"#, "hard", true),
            (r#"{"pattern":"^/api/users/[0-9]+$","mode":"hard"}"#, "hard", false),
        ] {
            let answer = posted(body).await;
            let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            assert_eq!(
                (answer.status, &json["mode"], &json["dry_run"]),
                (StatusCode::OK, &mode.into(), &dry_run.into())
            );
            for figure in ["matched", "cleared", "bytes"] {
                assert_eq!(json[figure], 0, "{figure} of {body}");
            }
            assert!(json["took_ms"].is_number());
        }
    }

    #[tokio::test]
    async fn a_wish_that_is_not_clear_purges_nothing() {
        let only_one = "expected only one of urls, tags, prefix and pattern";
        for (body, detail) in [
            (r#"{"urls":[]}"#, "urls: 0 of them: expected 1 to 1000"),
            (r#"{"tags":[" "]}"#, "tags: \"\": expected a tag"),
            (r#"{"urls":["shop"]}"#, "urls: \"shop\": expected a URL, or a path that begins with /"),
            (r#"{"urls":["ftp://a/b"]}"#, "urls: \"ftp://a/b\": expected http:// or https://"),
            (
                r#"{"prefix":"https://"}"#,
                "prefix = \"https://\": expected the beginning of a host and path, or of a path, such as \
                 \"shop.example/api/\" or \"/api/\"",
            ),
            (r#"{"pattern":"("}"#, "pattern = \"(\": expected a regular expression: unclosed group"),
            (r#"{"pattern":""}"#, "pattern = \"\": expected 1 to 1024 bytes"),
            (r#"{"mode":"gentle"}"#, "mode = \"gentle\": expected \"hard\" or \"soft\""),
            (r#"{"prefix":"/a","tags":["b"]}"#, only_one),
        ] {
            let path = "/performance/cache/clear";
            posted(body).await.assert_problem(StatusCode::BAD_REQUEST, "Bad Request", detail, path);
        }
        for body in
            ["[]", "{", r#"{"prefix":null}"#, r#"{"tags":null,"mode":"soft"}"#, r#"{"url":"/a"}"#, r#"{"tags":"a"}"#]
        {
            let answer = posted(body).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
            assert!(answer.body.contains("or {} for all"), "{answer:?}");
        }
    }

    #[test]
    fn hosts_of_prefixes_are_in_small_letters_and_paths_as_given() {
        assert_eq!(*prefix("https://Shop.Example/Api/").unwrap(), *b"shop.example/Api/");
        assert_eq!(*prefix("/Api/").unwrap(), *b"/Api/");
        assert_eq!(*prefix("Shop").unwrap(), *b"shop");
    }
}
