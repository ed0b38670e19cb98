//! The app's own results: put, got and deleted under `/performance/cache/entries/{key}`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{FromRequestParts, Path, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
        header::{AGE, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG},
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use tokio::time::Instant;

use super::{
    api::{Shared, apart, bad_request, parameters},
    body::{Failure, Intake},
    problem::Problem,
    query::KEY_BYTES_MAX,
    view::Cleared,
};
use crate::{
    cache::{
        keyed::{Deleted, Entry, Put, Value},
        status::CacheStatus,
    },
    header::validator::{Preconditions, preconditions},
};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// A key: what stands behind `entries/`, percent-decoded. It may have slashes.
pub(super) struct Key(String);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(Path(key)) = Path::<String>::from_request_parts(parts, state).await else {
            return Err(bad_request(&parts.uri, "the key is not UTF-8: expected text, percent-encoded".into()));
        };
        if key.len() > KEY_BYTES_MAX {
            let detail = format!("a key of {} bytes: expected at most {KEY_BYTES_MAX}", key.len());
            return Err(bad_request(&parts.uri, detail));
        }
        Ok(Self(key))
    }
}

/// Stores the request's content under the key: 201 where nothing was, 204 in place of something (RFC 9110 §9.3.4).
pub(super) async fn put(
    State(state): Shared,
    Extension(intake): Extension<Arc<Intake>>,
    Key(key): Key,
    request: Request,
) -> Result<Response, Problem> {
    let (Parts { uri, headers, .. }, body) = request.into_parts();
    let parameters = parameters(&uri, &["ttl", "tags"])?;
    let ttl = parameters.ttl().map_err(|detail| bad_request(&uri, detail))?;
    let tags = parameters.tags().map_err(|detail| bad_request(&uri, detail))?;
    check_content(&uri, &headers)?;
    let most = state.keyed.max_value_bytes();
    let body = intake.receive(body, most).await.map_err(|failure| {
        match failure {
            Failure::TooLarge => state.keyed.reject_too_large(),
            Failure::NoRoom => state.keyed.reject_for_room(),
            Failure::TooSlow | Failure::Broken => {}
        }
        not_received(&uri, failure, most)
    })?;
    let content_type = headers.get(CONTENT_TYPE).map(|value| Bytes::copy_from_slice(value.as_bytes()));
    let value = Value { content_type, body, tags, ttl };
    let meets = |there: Option<&Entry>| precondition(&headers, false, there) == Preconditions::Met;
    match state.keyed.put(&key, value, meets, Instant::now().into_std()) {
        // RFC 9110 §9.3.4 allows a validator, since the content is kept as it came.
        Put::Created(entry) => Ok((StatusCode::CREATED, [(ETAG, etag(&entry))]).into_response()),
        Put::Replaced(entry) => Ok((StatusCode::NO_CONTENT, [(ETAG, etag(&entry))]).into_response()),
        Put::Unmet => Err(unmet(&uri)),
        Put::TooLarge { bytes } => Err(too_large(&uri, &format!("{bytes} bytes with key, tags and bookkeeping"), most)),
    }
}

/// The value under the key. The router answers HEAD with this as well.
pub(super) async fn get(
    State(state): Shared,
    Key(key): Key,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    parameters(&uri, &[])?;
    let now = Instant::now().into_std();
    let entry = state.keyed.get(&key, now).ok_or_else(|| absent(&uri))?;
    let mut status = Vec::new();
    CacheStatus::Hit { ttl: entry.ttl(now), stale: None }.write_member(&mut status);
    let about = [
        (ETAG, etag(&entry)),
        (AGE, entry.age(now).as_secs().into()),
        (CACHE_STATUS, visible(&status)),
        // The app says what type it has, and who puts what into it is not known here: opened in a browser, a page must
        // not run scripts which could then speak for this port's own pages.
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'")),
    ];
    match precondition(&headers, true, Some(&entry)) {
        Preconditions::Failed => Err(unmet(&uri)),
        Preconditions::NotModified => Ok((StatusCode::NOT_MODIFIED, about).into_response()),
        Preconditions::Met => {
            let content_type = entry.value.content_type.as_deref().unwrap_or(b"application/octet-stream");
            Ok((about, [(CONTENT_TYPE, visible(content_type))], entry.value.body.clone()).into_response())
        }
    }
}

/// Removes the value under the key.
pub(super) async fn delete(
    State(state): Shared,
    Key(key): Key,
    uri: Uri,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    parameters(&uri, &[])?;
    let meets = |there: &Entry| precondition(&headers, false, Some(there)) == Preconditions::Met;
    match state.keyed.delete(&key, meets, Instant::now().into_std()) {
        Deleted::Gone => Ok(StatusCode::NO_CONTENT),
        Deleted::Absent => Err(absent(&uri)),
        Deleted::Unmet => Err(unmet(&uri)),
    }
}

/// Removes what has a prefix, a pattern or a tag.
pub(super) async fn clear(State(state): Shared, uri: Uri) -> Result<Json<Cleared>, Problem> {
    let parameters = parameters(&uri, &["prefix", "pattern", "tag"])?;
    apart(move || {
        let select = parameters.select().map_err(|detail| bad_request(&uri, detail))?;
        let began = Instant::now();
        let cleared = state.keyed.clear(&select, began.into_std());
        Ok(Json(Cleared::new(&cleared, began.elapsed())))
    })
    .await
}

/// Refuses content that would not be given back as it is meant.
fn check_content(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    // RFC 9110 §14.5: a part in place of the whole must not be stored as if it were the whole.
    if headers.contains_key(CONTENT_RANGE) {
        return Err(bad_request(uri, "Content-Range: expected the whole value".into()));
    }
    // RFC 9110 §8.4: whoever gets the value would have to be told its coding, and to have asked for it.
    if headers.contains_key(CONTENT_ENCODING) {
        let detail = "Content-Encoding: expected a value without a coding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, uri, detail));
    }
    Ok(())
}

fn precondition(headers: &HeaderMap, is_safe: bool, there: Option<&Entry>) -> Preconditions {
    preconditions(headers, is_safe, there.map(Entry::etag).as_deref().map(str::as_bytes))
}

fn etag(entry: &Entry) -> HeaderValue {
    visible(entry.etag().as_bytes())
}

/// Bytes that were a field's value before, or that were made here; what could not be one is left out.
fn visible(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn absent(uri: &Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, uri, "there is no value under this key, or no longer")
}

fn unmet(uri: &Uri) -> Problem {
    let detail = "what is there under this key does not meet If-Match or If-None-Match";
    Problem::new(StatusCode::PRECONDITION_FAILED, uri, detail)
}

fn too_large(uri: &Uri, given: &str, most: u64) -> Problem {
    let detail = format!("{given}: expected at most {most}, a quarter of cache.keyed.max_bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, uri, detail)
}

fn not_received(uri: &Uri, failure: Failure, most: u64) -> Problem {
    match failure {
        Failure::TooLarge => too_large(uri, "more bytes than one value may take", most),
        Failure::NoRoom => {
            let detail = "the values that others are sending take all the room there is for them";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, uri, detail).retry_after(1)
        }
        Failure::TooSlow => Problem::new(StatusCode::REQUEST_TIMEOUT, uri, "the value took too long to come"),
        Failure::Broken => bad_request(uri, "the value did not come to its end".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use tokio::time::advance;

    use super::*;
    use crate::{
        admin::fixture::{Answer, Exchange, empty_state, state_with},
        cache::keyed::Settings,
        state,
    };

    const ENTRIES: &str = "/performance/cache/entries";

    fn of(method: &str, key: &str) -> Exchange {
        Exchange::of(method, &format!("{ENTRIES}/{key}"))
    }

    async fn put_text(state: &Arc<state::State>, key: &str, body: &'static str) -> Answer {
        of("PUT", key).field("content-type", "text/plain").body(body).with(state).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_given_back_as_it_was_put() {
        let state = empty_state();
        let created = put_text(&state, "user:1?ttl=60s", "Ada").await;
        assert_eq!((created.status, created.body.as_str()), (StatusCode::CREATED, ""), "{created:?}");
        let answer = of("GET", "user:1").with(&state).await;
        answer.assert(StatusCode::OK, "text/plain", "Ada");
        for (field, value) in [
            ("content-length", "3"),
            ("age", "0"),
            ("cache-status", "pacecar; hit; ttl=60"),
            ("content-security-policy", "sandbox; default-src 'none'"),
            ("cache-control", "no-store"),
            ("etag", created.header("etag").unwrap()),
        ] {
            assert_eq!(answer.header(field), Some(value), "{field} of {answer:?}");
        }
        let head = of("HEAD", "user:1").with(&state).await;
        head.assert(StatusCode::OK, "text/plain", "");
        assert_eq!(head.header("content-length"), Some("3"));

        let replaced = put_text(&state, "user:1", "Ada Lovelace").await;
        assert_eq!((replaced.status, replaced.body.as_str()), (StatusCode::NO_CONTENT, ""), "{replaced:?}");
        assert_ne!(replaced.header("etag"), created.header("etag"));
        of("GET", "user:1").with(&state).await.assert(StatusCode::OK, "text/plain", "Ada Lovelace");
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_ages_and_is_gone_when_its_time_is_over() {
        let state = empty_state();
        put_text(&state, "a", "1").await;
        advance(Duration::from_secs(299)).await;
        let answer = of("GET", "a").with(&state).await;
        let fields = (answer.header("age"), answer.header("cache-status"));
        assert_eq!(fields, (Some("299"), Some("pacecar; hit; ttl=1")), "{answer:?}");
        advance(Duration::from_secs(1)).await;
        assert_eq!(of("GET", "a").with(&state).await.status, StatusCode::NOT_FOUND);
        assert_eq!(put_text(&state, "a", "2").await.status, StatusCode::CREATED);
    }

    #[tokio::test]
    async fn without_a_type_it_is_bytes() {
        let state = empty_state();
        of("PUT", "a").body("").with(&state).await;
        of("GET", "a").with(&state).await.assert(StatusCode::OK, "application/octet-stream", "");
    }

    #[tokio::test]
    async fn what_is_not_there_is_a_404() {
        let state = empty_state();
        let path = format!("{ENTRIES}/a");
        for method in ["GET", "DELETE"] {
            // RFC 9110 §13.2.1: preconditions count only where the answer would else be good.
            let answer = of(method, "a").field("if-match", "\"b\"").with(&state).await;
            let detail = "there is no value under this key, or no longer";
            answer.assert_problem(StatusCode::NOT_FOUND, "Not Found", detail, &path);
        }
        put_text(&state, "a", "1").await;
        assert_eq!(of("DELETE", "a").with(&state).await.status, StatusCode::NO_CONTENT);
        assert_eq!(of("GET", "a").with(&state).await.status, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn keys_are_percent_decoded_and_may_have_slashes() {
        let state = empty_state();
        put_text(&state, "rows/1%2F2", "deep").await;
        put_text(&state, "caf%C3%A9%20%3F", "name").await;
        put_text(&state, "/a/", "slashes").await;
        for (key, body) in [
            ("rows/1/2", Some("deep")),
            ("%72ows%2f1%2F2", Some("deep")),
            ("rows/1", None),
            ("caf%c3%a9%20%3f", Some("name")),
            ("/a/", Some("slashes")),
            ("a", None),
        ] {
            let answer = of("GET", key).with(&state).await;
            let found = (answer.status == StatusCode::OK).then_some(answer.body.as_str());
            assert_eq!(found, body, "{key}");
        }
        // Without a key there is no such endpoint, and nothing is deleted.
        assert_eq!(Exchange::of("DELETE", &format!("{ENTRIES}/")).with(&state).await.status, StatusCode::NOT_FOUND);
        assert_eq!(state.keyed.snapshot().entries, 3);
    }

    #[tokio::test]
    async fn preconditions_are_kept() {
        let state = empty_state();
        let etag = put_text(&state, "a", "1").await.header("etag").unwrap().to_owned();
        for (method, field, value, status) in [
            ("GET", "if-none-match", etag.as_str(), StatusCode::NOT_MODIFIED),
            ("HEAD", "if-none-match", "*", StatusCode::NOT_MODIFIED),
            ("GET", "if-none-match", "\"x\"", StatusCode::OK),
            ("GET", "if-match", "\"x\"", StatusCode::PRECONDITION_FAILED),
            ("PUT", "if-none-match", "*", StatusCode::PRECONDITION_FAILED),
            ("PUT", "if-match", "\"x\"", StatusCode::PRECONDITION_FAILED),
            ("DELETE", "if-match", "\"x\"", StatusCode::PRECONDITION_FAILED),
            ("DELETE", "if-none-match", etag.as_str(), StatusCode::PRECONDITION_FAILED),
            ("PUT", "if-match", etag.as_str(), StatusCode::NO_CONTENT),
            ("PUT", "if-match", etag.as_str(), StatusCode::PRECONDITION_FAILED),
            ("DELETE", "if-match", "*", StatusCode::NO_CONTENT),
            ("PUT", "if-match", "*", StatusCode::PRECONDITION_FAILED),
            ("PUT", "if-none-match", "*", StatusCode::CREATED),
        ] {
            let answer = of(method, "a").field(field, value).body("2").with(&state).await;
            assert_eq!(answer.status, status, "{method} {field}: {value}");
            if status == StatusCode::NOT_MODIFIED {
                let fields = (answer.header("etag"), answer.header("content-type"), answer.body.as_str());
                assert_eq!(fields, (Some(etag.as_str()), None, ""));
            }
        }
        let answer = of("PUT", "a").field("if-none-match", "*").with(&state).await;
        let detail = "what is there under this key does not meet If-Match or If-None-Match";
        let path = format!("{ENTRIES}/a");
        answer.assert_problem(StatusCode::PRECONDITION_FAILED, "Precondition Failed", detail, &path);
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_request_is_named() {
        let state = empty_state();
        let long = "x".repeat(KEY_BYTES_MAX + 1);
        for (method, target, detail) in [
            ("PUT", "/a?ttl=31d", "ttl = \"31d\": expected a duration from \"1s\" to \"30d\""),
            ("PUT", "/a?ttl=5", "ttl = \"5\": expected a duration with its unit, such as \"5s\""),
            ("GET", "/a?ttl=5s", "unknown parameter \"ttl\": expected none"),
            ("DELETE", "/a?tag=b", "unknown parameter \"tag\": expected none"),
            ("DELETE", "?pattern=[", "pattern = \"[\": expected a regular expression: unclosed character class"),
            ("DELETE", "", "expected exactly one of prefix, pattern, tag"),
            ("PUT", "/%ff", "the key is not UTF-8: expected text, percent-encoded"),
            ("PUT", &format!("/{long}"), "a key of 1025 bytes: expected at most 1024"),
        ] {
            let answer = Exchange::of(method, &format!("{ENTRIES}{target}")).with(&state).await;
            let path = format!("{ENTRIES}{}", target.split('?').next().unwrap());
            answer.assert_problem(StatusCode::BAD_REQUEST, "Bad Request", detail, &path);
        }
        assert_eq!(of("PUT", &long[1..]).with(&state).await.status, StatusCode::CREATED);
    }

    #[tokio::test]
    async fn content_that_could_not_be_given_back_is_refused() {
        let state = empty_state();
        for (field, value, status) in [
            ("content-range", "bytes 0-1/2", StatusCode::BAD_REQUEST),
            ("content-encoding", "gzip", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ] {
            let answer = of("PUT", "a").field(field, value).body("12").with(&state).await;
            assert_eq!(answer.status, status, "{field}");
        }
        assert_eq!(state.keyed.snapshot().stored, 0);
    }

    #[tokio::test]
    async fn a_value_too_large_is_a_413() {
        let state = state_with(Settings { max_entries: 10, max_bytes: 8000 });
        let put = |bytes: usize| of("PUT", "a").body(vec![b'x'; bytes]).with(&state);
        let limit = "expected at most 2000, a quarter of cache.keyed.max_bytes";
        let path = format!("{ENTRIES}/a");
        let answer = put(2001).await;
        let detail = format!("more bytes than one value may take: {limit}");
        answer.assert_problem(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large", &detail, &path);
        // The body alone would do; with what belongs to it, it does not.
        let answer = put(2000).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert!(answer.body.contains(" bytes with key, tags and bookkeeping: expected at most 2000"), "{answer:?}");
        assert_eq!(put(1000).await.status, StatusCode::CREATED);
        let figures = state.keyed.snapshot();
        assert_eq!((figures.rejected[0].1, figures.stored), (2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_go_on_is_given_up_and_others_may_come_again() {
        use futures_util::{StreamExt, stream};
        let state = state_with(Settings { max_entries: 10, max_bytes: 8000 });
        let router = super::super::router::router(state.clone(), super::super::fixture::guard());
        let endless = || {
            let begun = stream::iter([Ok::<_, std::convert::Infallible>(vec![b'x'; 1900])]);
            of("PUT", "slow").body(Body::from_stream(begun.chain(stream::pending())))
        };
        let slow: Vec<_> = (0..4).map(|_| tokio::spawn(endless().through(router.clone()))).collect();
        let crowded = loop {
            let answer = of("PUT", "a").body(vec![b'x'; 500]).through(router.clone()).await;
            if answer.status != StatusCode::CREATED && answer.status != StatusCode::NO_CONTENT {
                break answer;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!((crowded.status, crowded.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
        for slow in slow {
            assert_eq!(slow.await.unwrap().status, StatusCode::REQUEST_TIMEOUT);
        }
        let answer = of("PUT", "a").body(vec![b'x'; 500]).through(router).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(state.keyed.snapshot().rejected[1].1, 1);
    }

    #[tokio::test]
    async fn clearing_says_what_it_did() {
        let state = empty_state();
        for key in ["user:1?tags=a", "user:2?tags=a,b", "post:1?tags=b", "x"] {
            put_text(&state, key, "body").await;
        }
        for (query, cleared) in [("prefix=user:1", 1), ("prefix=user:1", 0), ("tag=b", 2), ("pattern=%5Ex%24", 1)] {
            let before = state.keyed.snapshot().bytes;
            let answer = Exchange::of("DELETE", &format!("{ENTRIES}?{query}")).with(&state).await;
            let bytes = before - state.keyed.snapshot().bytes;
            let expected = format!("{{\"matched\":{cleared},\"cleared\":{cleared},\"bytes\":{bytes},\"took_ms\":");
            assert!(answer.body.starts_with(&expected), "{query}: {answer:?}");
            let json: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            assert!(json["took_ms"].as_f64() >= Some(0.0) && json.as_object().unwrap().len() == 4, "{answer:?}");
        }
        assert_eq!(state.keyed.snapshot().entries, 0);
    }
}
