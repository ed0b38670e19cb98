//! A small web app to put Pacecar in front of: a shop with pages worth caching, pages that must not be shared, and
//! endpoints that are slow, broken or chatty on purpose, so that every figure of the dashboard has something to show.
//!
//! Everything is computed from constants: two runs answer alike, and nothing is read from or written to disk.

mod account;
mod behaviour;
mod files;
mod shop;

use std::{io, net::SocketAddr, process::ExitCode, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{Html, IntoResponse, Response},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
};

/// Serves the demo app on `listen` until SIGTERM or SIGINT, and says on standard output where it listens. With a number
/// of workers it does at most so many requests at a time.
pub fn run(listen: SocketAddr, workers: Option<usize>) -> ExitCode {
    let served = tokio::runtime::Runtime::new().and_then(|runtime| runtime.block_on(serve(listen, workers)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pacecar demo: cannot serve on {listen}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(listen: SocketAddr, workers: Option<usize>) -> io::Result<()> {
    // The handlers come first: whoever has read the line below may send a signal at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(listen).await?;
    println!("pacecar demo: listening on http://{}", listener.local_addr()?);

    // What is in flight is dropped: nothing here is worth waiting for, and an event stream would hold the end back.
    tokio::select! {
        served = axum::serve(listener, with_workers(router(), workers)) => served,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

fn router() -> Router {
    Router::new()
        .merge(shop::router())
        .merge(files::router())
        .merge(account::router())
        .merge(behaviour::router())
        .fallback(missing)
}

/// At most so many handlers run at a time, and the other requests wait in the order they came, as with an app server of
/// so many processes. A body that streams after its handler has returned keeps nobody busy.
fn with_workers(router: Router, workers: Option<usize>) -> Router {
    match workers {
        Some(workers) => router.layer(from_fn_with_state(Arc::new(Semaphore::new(workers)), in_turn)),
        None => router,
    }
}

async fn in_turn(State(workers): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    // It is never closed, so that there is always a permit in the end.
    let _permit = workers.acquire().await;
    next.run(request).await
}

async fn missing() -> Response {
    (StatusCode::NOT_FOUND, page("Not found", "<p>There is no such page. <a href=\"/\">Home</a></p>")).into_response()
}

/// A whole page around `body`, which is HTML already.
fn page(title: &str, body: &str) -> Html<String> {
    Html(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <link rel=\"icon\" href=\"{logo}\">\n\
         <link rel=\"stylesheet\" href=\"{css}\">\n<script defer src=\"{js}\"></script>\n</head>\n<body>\n\
         <header><a href=\"/\"><img src=\"{logo}\" alt=\"\" width=\"32\" height=\"32\"> The Pit Stop</a></header>\n\
         <main>\n<h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n",
        css = files::CSS,
        js = files::JS,
        logo = files::LOGO,
    ))
}

/// `text` as HTML shows it, whatever it contains.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A `Cache-Control` field, to stand first in an axum response tuple.
fn cache_control(value: &'static str) -> [(header::HeaderName, &'static str); 1] {
    [(header::CACHE_CONTROL, value)]
}

#[cfg(test)]
mod tests;
