//! The table of endpoints.

use std::sync::Arc;

use axum::{
    Extension, Router,
    routing::{delete, get, post},
};

use super::{api, body::Intake, clear, compression, entries, explain, guard, metrics};
use crate::state::State;

/// Every endpoint of the admin port. GET answers HEAD too; what is not here is a 404, another method a 405.
pub fn router(state: Arc<State>) -> Router {
    // Bodies on their way may take as much as the values that they become.
    let intake = Arc::new(Intake::new(state.keyed.max_bytes()));
    let endpoints = Router::new()
        .route("/livez", get(api::livez))
        .route("/healthz", get(api::livez))
        .route("/readyz", get(api::readyz))
        .route("/metrics", get(metrics::metrics))
        .route("/performance/cache/stats", get(api::cache_stats))
        .route("/performance/cache/clear", post(clear::clear))
        .route("/performance/cache/explain", get(explain::explain))
        .route("/performance/cache/entries", delete(entries::clear))
        .route("/performance/cache/entries/{*key}", get(entries::get).put(entries::put).delete(entries::delete))
        .route("/performance/compression/stats", get(compression::stats))
        .route("/performance/profile/overview", get(api::overview))
        .route("/performance/profile/slowest", get(api::slowest))
        .fallback(api::not_found)
        .method_not_allowed_fallback(api::method_not_allowed)
        .layer(Extension(intake))
        .with_state(state);
    guard::guarded(endpoints)
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::super::fixture::{Exchange, empty_state};

    #[tokio::test]
    async fn livez_says_ok_even_while_draining() {
        let state = empty_state();
        state.draining.begin();
        for path in ["/livez", "/healthz"] {
            let answer = Exchange::get(path).with(&state).await;
            answer.assert(StatusCode::OK, "text/plain; charset=utf-8", "ok\n");
        }
    }

    #[tokio::test]
    async fn readyz_ends_with_the_drain() {
        let state = empty_state();
        let answer = Exchange::get("/readyz").with(&state).await;
        answer.assert(StatusCode::OK, "text/plain; charset=utf-8", "ok\n");
        state.draining.begin();
        let answer = Exchange::get("/readyz").with(&state).await;
        answer.assert(StatusCode::SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", "draining\n");
    }

    #[tokio::test]
    async fn an_unknown_path_is_a_404() {
        for path in ["/", "/livez/", "/performance/cache", "/metrics/x?y"] {
            let answer = Exchange::get(path).with(&empty_state()).await;
            let path = path.split('?').next().unwrap();
            answer.assert_problem(StatusCode::NOT_FOUND, "Not Found", "there is nothing at this address", path);
        }
    }

    #[tokio::test]
    async fn another_method_is_a_405_that_says_which_are_allowed() {
        for path in [
            "/livez",
            "/readyz",
            "/metrics",
            "/performance/cache/stats",
            "/performance/compression/stats",
            "/performance/profile/slowest",
        ] {
            let answer = Exchange::of("POST", path).with(&empty_state()).await;
            let detail = "POST: expected one of the methods in Allow";
            answer.assert_problem(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", detail, path);
            assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{answer:?}");
        }
        for (path, allowed) in
            [("/performance/cache/entries", "DELETE"), ("/performance/cache/entries/a", "GET,HEAD,PUT,DELETE")]
        {
            let answer = Exchange::of("POST", path).with(&empty_state()).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{answer:?}");
            assert_eq!(answer.header("allow"), Some(allowed), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn head_is_get_without_the_body() {
        for path in [
            "/livez",
            "/readyz",
            "/performance/cache/stats",
            "/performance/compression/stats",
            "/performance/profile/overview",
        ] {
            let get = Exchange::get(path).with(&empty_state()).await;
            let head = Exchange::of("HEAD", path).with(&empty_state()).await;
            assert_eq!((head.status, head.body.as_str()), (StatusCode::OK, ""), "{head:?}");
            assert_eq!(head.header("content-type"), get.header("content-type"));
            assert_eq!(head.header("content-length"), Some(get.body.len().to_string().as_str()), "{head:?}");
        }
    }

    #[tokio::test]
    async fn no_answer_may_be_stored_or_guessed_at() {
        let state = empty_state();
        let exchanges = [
            Exchange::get("/livez"),
            Exchange::get("/metrics"),
            Exchange::get("/performance/cache/stats"),
            Exchange::get("/performance/profile/slowest?limit=0"),
            Exchange::get("/nothing"),
            Exchange::of("DELETE", "/livez"),
            Exchange::get("/livez").host("evil.example"),
        ];
        for exchange in exchanges {
            let answer = exchange.with(&state).await;
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
        }
    }
}
