//! Whether the process lives, and whether it wants traffic. Neither says anything about the app: who restarts the sidecar
//! does not repair the app.

use axum::{
    extract::State,
    http::{StatusCode, Uri},
};

use super::api::Shared;

/// The process can answer.
pub(super) async fn livez(uri: Uri) -> &'static str {
    if is_verbose(&uri) { "[+]process ok\n" } else { "ok\n" }
}

/// The process wants traffic: the ports are open and the configuration taken up before it can be asked, and it is not
/// about to end.
pub(super) async fn readyz(State(state): Shared, uri: Uri) -> (StatusCode, &'static str) {
    match (state.draining.begun(), is_verbose(&uri)) {
        (false, false) => (StatusCode::OK, "ok\n"),
        (false, true) => (StatusCode::OK, "[+]listening ok\n[+]configuration ok\n[+]not-draining ok\n"),
        (true, false) => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        (true, true) => {
            (StatusCode::SERVICE_UNAVAILABLE, "[+]listening ok\n[+]configuration ok\n[-]not-draining failed\n")
        }
    }
}

/// Whether every check is to be named.
fn is_verbose(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some("verbose")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture::{Exchange, empty_state};

    #[tokio::test]
    async fn checks_are_named_when_asked_for() {
        let state = empty_state();
        let text = "text/plain; charset=utf-8";
        for path in ["/livez?verbose", "/healthz?x&verbose=1", "/live?verbose="] {
            Exchange::get(path).with(&state).await.assert(StatusCode::OK, text, "[+]process ok\n");
        }
        Exchange::get("/ready?verbosely").with(&state).await.assert(StatusCode::OK, text, "ok\n");
        let ready = "[+]listening ok\n[+]configuration ok\n[+]not-draining ok\n";
        Exchange::get("/readyz?verbose").with(&state).await.assert(StatusCode::OK, text, ready);
        state.draining.begin();
        let draining = ready.replace("[+]not-draining ok", "[-]not-draining failed");
        let answer = Exchange::get("/ready?verbose").with(&state).await;
        answer.assert(StatusCode::SERVICE_UNAVAILABLE, text, &draining);
    }
}
