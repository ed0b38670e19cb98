//! What a change of the app's state, or an operator's PURGE, does to what is stored.

use std::time::Instant;

use bytes::Bytes;

use crate::{
    cache::{
        Bypass, Key, Outcome,
        purge::{Mode, Scope, Url},
        status::CacheStatus,
    },
    header::{Fields, reference::same_origin_target, tags},
};

use super::{Engine, Served, context::Request, problem, reply::Reply};

/// The method by which operators purge, after Varnish and Squid.
pub(super) const PURGE: &str = "PURGE";

/// Methods that are registered as safe (RFC 9110 §16.1.1, IANA), besides those that [`http::Method`] knows.
const SAFE: [&str; 4] = ["PROPFIND", "QUERY", "REPORT", "SEARCH"];

impl Engine {
    /// After an answer to a method that may have changed something, unless it is an error: what is stored for the URL, for
    /// what Location and Content-Location name at the same origin, and in the groups that the answer names (RFC 9111
    /// §4.4, RFC 9875 §3). Before the client has the answer, so that it can read its own write.
    pub(super) fn invalidate_after<M: Fields>(&self, request: &Request, status: u16, response: &M) {
        let method = &request.head.method;
        if method.is_safe() || SAFE.contains(&method.as_str()) || !(200..400).contains(&status) {
            return;
        }
        let (cache, now) = (&self.state.cache, Instant::now());
        let key = Key::of(&request.head, &request.peer);
        cache.invalidate(&key, now);
        self.wrote(request, &key, now);
        let parts = key.parts();
        for reference in ["location", "content-location"].iter().filter_map(|name| response.get(name)) {
            if let Some(target) = same_origin_target(reference, parts.https, parts.host, parts.target) {
                cache.invalidate(&Key::of_target(&request.head, &request.peer, &target), now);
            }
        }
        if response.has("cache-group-invalidation") {
            let group = |name| Scope::Group { https: parts.https, host: parts.host.into(), name };
            let scopes: Vec<Scope> = tags::invalidated_groups(response).groups.into_iter().map(group).collect();
            if !scopes.is_empty() {
                // RFC 9111 §4.4: gone, or confirmed before the next use; stale-while-revalidate would hide a client's own write.
                cache.purge(scopes, Mode::Hard, now);
            }
        }
    }

    /// Answers PURGE: from those who may, it drops what is stored for its URL, or declares it stale. It is never sent on.
    pub(super) async fn purge<R: Reply>(&self, request: &Request, reply: &mut R) -> Served {
        let cache = &self.state.cache;
        let settings = cache.settings();
        let allowed = settings.purge_allow.iter().any(|net| net.contains(&request.peer.address));
        let (head, body) = match allowed {
            false => problem::of(403, "PURGE is for the addresses in cache.purge_allow", &request.head),
            true => {
                let soft = request.head.get("fastly-soft-purge") == Some(b"1");
                let mode = if soft { Mode::Soft } else { Mode::Hard };
                let key = Key::of(&request.head, &request.peer);
                let now = Instant::now();
                // Who purges by HTTP/1 on the local port means the page that others see by https as well.
                let purged: u64 = [key.by_other_scheme(), key.clone()]
                    .iter()
                    .map(|key| if soft { cache.expire(key, now) } else { cache.invalidate(key, now) })
                    .sum();
                // And what was stored for those who come by way of a proxy that says more of them. It is not counted:
                // that would take a look at everything.
                let parts = key.parts();
                let url = Url { https: None, host: Some(parts.host.into()), target: parts.target.into() };
                cache.purge(vec![Scope::Url(url)], mode, now);
                problem::json(200, &serde_json::json!({ "status": "ok", "purged": purged, "mode": mode.name() }))
            }
        };
        let status = CacheStatus::Bypassed(Bypass::Method);
        let added = self.ours(request, status);
        request.rule.counts.bypassed(Bypass::Method);
        let whole = reply.whole(&head, &added, body).await.is_ok();
        let outcome = Outcome::Bypass;
        Served { detail: status.detail(), whole, ..Served::new(head.status(), outcome) }
    }

    /// Answers a client that wants nothing from the origin (RFC 9111 §5.2.1.7).
    pub(super) async fn only_if_cached<R: Reply>(&self, request: &Request, reply: &mut R) -> Served {
        request.rule.counts.bypassed(Bypass::OnlyIfCached);
        let status = CacheStatus::Bypassed(Bypass::OnlyIfCached);
        let (head, body): (_, Bytes) =
            problem::of(504, "nothing usable is stored, and the request wants nothing else", &request.head);
        let whole = reply.whole(&head, &self.ours(request, status), body).await.is_ok();
        let outcome = Outcome::Bypass;
        Served { detail: status.detail(), whole, ..Served::new(504, outcome) }
    }
}
