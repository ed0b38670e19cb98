//! The table of endpoints.

use std::sync::Arc;

use axum::{
    Extension, Router,
    http::Method,
    routing::{MethodRouter, delete, get, post},
};

use super::{
    api,
    body::Intake,
    clear, compare, compression, dashboard, entries, explain,
    guard::{self, Guard},
    health, insights,
    limit::Limit,
    markers, metrics, mute, openapi, page, query_stats, series,
    stream::{self, Streams},
    tasks,
};
use crate::state::State;

/// Every endpoint of the admin port. What is not here is a 404, another method a 405. A path has several rows where its
/// methods have limits of their own.
pub(super) const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        path: "/livez",
        methods: &[Method::GET],
        access: Access::Anyone,
        limit: None,
        handler: || get(health::livez),
    },
    Endpoint {
        path: "/healthz",
        methods: &[Method::GET],
        access: Access::Anyone,
        limit: None,
        handler: || get(health::livez),
    },
    Endpoint {
        path: "/live",
        methods: &[Method::GET],
        access: Access::Anyone,
        limit: None,
        handler: || get(health::livez),
    },
    Endpoint {
        path: "/readyz",
        methods: &[Method::GET],
        access: Access::Anyone,
        limit: None,
        handler: || get(health::readyz),
    },
    Endpoint {
        path: "/ready",
        methods: &[Method::GET],
        access: Access::Anyone,
        limit: None,
        handler: || get(health::readyz),
    },
    Endpoint {
        path: "/metrics",
        methods: &[Method::GET],
        access: Access::Prober,
        limit: None,
        handler: || get(metrics::metrics),
    },
    Endpoint {
        path: "/performance/cache/stats",
        methods: &[Method::GET],
        access: Access::Operator,
        limit: limited("cache-stats", 100),
        handler: || get(api::cache_stats),
    },
    Endpoint {
        path: "/performance/cache/clear",
        methods: &[Method::POST],
        access: Access::Operator,
        limit: limited("cache-clear", 10),
        handler: || post(clear::clear),
    },
    Endpoint {
        path: "/performance/cache/explain",
        methods: &[Method::GET],
        access: Access::Operator,
        limit: limited("cache-explain", 50),
        handler: || get(explain::explain),
    },
    Endpoint {
        path: "/performance/cache/entries",
        methods: &[Method::DELETE],
        access: Access::Operator,
        limit: limited("cache-entries", 6000),
        handler: || delete(entries::clear),
    },
    Endpoint {
        path: "/performance/cache/entries/{*key}",
        methods: &[Method::GET, Method::PUT, Method::DELETE],
        access: Access::Operator,
        limit: limited("cache-entries", 6000),
        handler: || get(entries::get).put(entries::put).delete(entries::delete),
    },
    Endpoint {
        path: "/performance/compression/stats",
        methods: &[Method::GET],
        access: Access::Operator,
        limit: limited("compression-stats", 50),
        handler: || get(compression::stats),
    },
    Endpoint {
        path: "/performance/profile/overview",
        methods: &[Method::GET],
        access: Access::Operator,
        limit: limited("profile-overview", 50),
        handler: || get(api::overview),
    },
    Endpoint {
        path: "/performance/profile/slowest",
        methods: &[Method::GET],
        access: Access::Operator,
        limit: limited("profile-slowest", 50),
        handler: || get(api::slowest),
    },
    Endpoint {
        path: "/performance/profile/series",
        methods: &[Method::GET],
        access: Access::Operator,
        limit: limited("profile-series", 60),
        handler: || get(series::series),
    },
    Endpoint {
        path: "/performance/profile/compare",
        methods: &[Method::POST],
        access: Access::Operator,
        limit: limited("profile-compare", 30),
        handler: || post(compare::compare),
    },
    Endpoint {
        path: "/performance/profile/insights",
        methods: &[Method::GET],
        access: Access::Operator,
        limit: limited("profile-insights", 30),
        handler: || get(insights::insights),
    },
    Endpoint {
        path: "/performance/profile/insights/mute",
        methods: &[Method::POST],
        access: Access::Operator,
        limit: limited("insights-mute", 20),
        handler: || post(mute::mute),
    },
    Endpoint {
        path: "/performance/query/optimization",
        methods: &[Method::GET],
        access: Access::Operator,
        limit: limited("query-optimization", 30),
        handler: || get(query_stats::optimization),
    },
    Endpoint {
        path: "/performance/query/record",
        methods: &[Method::POST],
        access: Access::Operator,
        limit: limited("query-record", 6000),
        handler: || post(query_stats::record),
    },
    Endpoint {
        path: "/performance/tasks",
        methods: &[Method::GET],
        access: Access::Operator,
        limit: limited("tasks", 50),
        handler: || get(tasks::list),
    },
    Endpoint {
        path: "/performance/tasks",
        methods: &[Method::POST],
        access: Access::Operator,
        limit: limited("tasks-begin", 20),
        handler: || post(tasks::begin),
    },
    Endpoint {
        path: "/performance/tasks/{id}",
        methods: &[Method::GET],
        access: Access::Operator,
        limit: limited("task", 100),
        handler: || get(tasks::one),
    },
    Endpoint {
        path: "/performance/tasks/{id}",
        methods: &[Method::DELETE],
        access: Access::Operator,
        limit: limited("task-cancel", 20),
        handler: || delete(tasks::cancel),
    },
    Endpoint {
        path: "/performance/tasks/{id}/result",
        methods: &[Method::GET],
        access: Access::Operator,
        limit: limited("task-result", 100),
        handler: || get(tasks::result),
    },
    Endpoint {
        path: "/performance/markers",
        methods: &[Method::GET],
        access: Access::Operator,
        limit: limited("markers", 50),
        handler: || get(markers::list),
    },
    Endpoint {
        path: "/performance/markers",
        methods: &[Method::POST],
        access: Access::Operator,
        limit: limited("markers-add", 20),
        handler: || post(markers::add),
    },
    Endpoint {
        path: "/performance/dashboard",
        methods: &[Method::GET],
        access: Access::Operator,
        limit: limited("dashboard", 30),
        handler: || get(dashboard::dashboard),
    },
    Endpoint {
        path: "/performance/stream",
        methods: &[Method::GET],
        access: Access::Operator,
        limit: limited("stream", 30),
        handler: || get(stream::stream),
    },
    Endpoint {
        path: "/openapi.json",
        methods: &[Method::GET],
        access: Access::Operator,
        limit: None,
        handler: || get(openapi::openapi),
    },
    Endpoint {
        path: "/",
        methods: &[Method::GET],
        access: Access::Visitor,
        limit: limited("page", 30),
        handler: || get(page::page),
    },
    Endpoint {
        path: "/page/{file}",
        methods: &[Method::GET],
        access: Access::Visitor,
        // Some twenty for each time that the page is opened.
        limit: limited("page-files", 600),
        handler: || get(page::file),
    },
];

/// One endpoint: where it is, who may ask it what, and how often.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// As axum has it: `{*key}` is the rest of a path.
    pub(super) path: &'static str,
    /// Each of them but HEAD, which GET answers too.
    pub(super) methods: &'static [Method],
    pub(super) access: Access,
    /// `None` for what is asked by machines in their own rhythm.
    pub(super) limit: Option<Limit>,
    /// One function per method.
    pub(super) handler: fn() -> MethodRouter<Arc<State>>,
}

/// Who an endpoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Whoever reaches the port: a health check has nothing to hide and no token.
    Anyone,
    /// Whoever reaches the port for probes; on the admin port, whoever has the token.
    Prober,
    /// Whoever has the token, on the admin port alone.
    Operator,
    /// Whoever reaches the admin port: the dashboard page, which has nothing to hide either, asks for the token itself.
    Visitor,
}

impl Access {
    /// Whether nobody has to show a token.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Anyone | Self::Visitor)
    }
}

const fn limited(policy: &'static str, per_minute: u32) -> Option<Limit> {
    Some(Limit { policy, per_minute })
}

impl Endpoint {
    /// Whether there is a function for this method.
    pub(super) fn takes(&self, method: &Method) -> bool {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.methods.contains(method)
    }
}

/// The admin port.
pub(super) fn router(state: Arc<State>, guard: Arc<Guard>) -> Router {
    guard::guarded(endpoints(&state, |_| true), guard, state)
}

/// The port for probes and scrapers, which cannot be asked for anything else.
pub(super) fn probes(state: &Arc<State>) -> Router {
    guard::unguarded(endpoints(state, |access| matches!(access, Access::Anyone | Access::Prober)))
}

fn endpoints(state: &Arc<State>, served: impl Fn(Access) -> bool) -> Router {
    // Bodies on their way may take as much as the values that they become.
    let intake = Arc::new(Intake::new(state.keyed.max_bytes()));
    ENDPOINTS
        .iter()
        .filter(|endpoint| served(endpoint.access))
        .fold(Router::new(), |router, endpoint| router.route(endpoint.path, (endpoint.handler)()))
        .fallback(api::not_found)
        .method_not_allowed_fallback(api::method_not_allowed)
        .layer(Extension(intake))
        .layer(Extension(Arc::new(Streams::new())))
        .with_state(state.clone())
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::{
        super::fixture::{Exchange, empty_state},
        *,
    };

    /// Of the table, so that it says for each endpoint what the router does.
    #[tokio::test]
    async fn every_endpoint_takes_the_methods_that_the_table_names() {
        for endpoint in ENDPOINTS {
            let path = endpoint.path.replace("{*key}", "a/b").replace("{id}", "a").replace("{file}", "main.js");
            let answer = Exchange::of("PATCH", &path).with(&empty_state()).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path} {answer:?}");
            let of_path = ENDPOINTS.iter().filter(|other| other.path == endpoint.path);
            let with_head = of_path.flat_map(|endpoint| endpoint.methods).flat_map(|method| match *method {
                Method::GET => vec!["GET", "HEAD"],
                ref other => vec![other.as_str()],
            });
            let expected = with_head.collect::<Vec<_>>().join(",");
            assert_eq!(answer.header("allow"), Some(&*expected), "{path}");
        }
    }

    /// Endpoints with one policy share one count, which cannot have two sizes.
    #[test]
    fn a_policy_has_one_limit() {
        let limits: Vec<Limit> = ENDPOINTS.iter().filter_map(|endpoint| endpoint.limit).collect();
        for limit in &limits {
            assert!(limits.iter().all(|other| other.policy != limit.policy || other == limit), "{limit:?}");
        }
    }

    #[tokio::test]
    async fn livez_says_ok_even_while_draining() {
        let state = empty_state();
        state.draining.begin();
        for path in ["/livez", "/healthz", "/live"] {
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
        for path in ["/x", "/livez/", "/performance/cache", "/metrics/x?y"] {
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

    #[tokio::test(start_paused = true)]
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
