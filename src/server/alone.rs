//! Fetches for one request alone: what the cache takes no part in, and what could not be shared.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use crate::{
    cache::{Entry, Key, Outcome, policy as cache_policy, status::CacheStatus},
    header::ResponseHead,
    traffic::UpstreamFailure,
};

use super::{
    Engine, Served,
    body::{Cut, Passed},
    context::Request,
    deliver::{Outgoing, Source},
    origin::{Exchange, Heard, Sent},
    problem,
    reply::{Reply, add},
    slots::Waited,
    upstream::{Ask, upstream_request},
};

impl Engine {
    /// Fetches for this request alone and streams the answer, in this very task. What is stored stands in where the
    /// origin fails.
    pub(super) async fn ask<R: Reply>(&self, request: &Request, status: CacheStatus, reply: &mut R) -> Served {
        self.ask_with(request, &Bytes::new(), status, reply).await
    }

    /// The same for a request whose body is here.
    pub(super) async fn ask_with<R: Reply>(
        &self,
        request: &Request,
        body: &Bytes,
        status: CacheStatus,
        reply: &mut R,
    ) -> Served {
        let served = self.ask_alone(request, body, status, reply).await;
        // A reason for each bypass, and none for what was answered from the store after all, or not at all.
        if let (CacheStatus::Bypassed(why), Outcome::Bypass) = (status, served.outcome) {
            request.rule.counts.bypassed(why);
        }
        served
    }

    async fn ask_alone<R: Reply>(&self, request: &Request, body: &Bytes, status: CacheStatus, reply: &mut R) -> Served {
        let outcome = if matches!(status, CacheStatus::Bypassed(_)) { Outcome::Bypass } else { Outcome::Miss };
        let Ok(asked) = upstream_request(request, Ask::AsAsked, &self.sending) else {
            return self.unanswered(request, UpstreamFailure::Malformed, reply).await;
        };
        let sent = Sent { request: &asked, body, read: Some(self.settings.timeouts.read), anew: !body.is_empty() };
        match self.fetch(sent, reply).await {
            Some(Ok(exchange)) => {
                if cache_policy::is_failure(exchange.head.status())
                    && let stored = self.stored(request)
                    && let Some(served) = self.stand_in(request, stored.as_ref(), None, reply).await
                {
                    exchange.abort().await;
                    return served;
                }
                self.learn(request, &exchange);
                self.stream(request, status, outcome, exchange, reply).await
            }
            Some(Err(failure)) => {
                self.state.traffic.upstream_failed(failure);
                let stored = self.stored(request);
                match self.stand_in(request, stored.as_ref(), Some(failure), reply).await {
                    Some(served) => served,
                    None => self.unanswered(request, failure, reply).await,
                }
            }
            None => Served::nothing(outcome),
        }
    }

    /// What is stored for a request that the origin was asked for, if the cache may take part in it.
    fn stored(&self, request: &Request) -> Option<Arc<Entry>> {
        let policy = &request.rule.policy;
        cache_policy::admit(&request.head, policy).ok().filter(|()| !self.observes())?;
        let (cache, key) = (&self.state.cache, Key::of(&request.head, &request.peer));
        cache.stored(&key, &request.head, cache.asker(&request.head, policy))
    }

    /// What an answer that is not stored says about what is.
    fn learn(&self, request: &Request, exchange: &Exchange) {
        let policy = &request.rule.policy;
        self.invalidate_after(request, exchange.head.status(), &exchange.head);
        if request.head.method == Method::HEAD && !self.observes() && cache_policy::admit(&request.head, policy).is_ok()
        {
            let (cache, key) = (&self.state.cache, Key::of(&request.head, &request.peer));
            let asker = cache.asker(&request.head, policy);
            let copy =
                |head: &ResponseHead, body: &Bytes| self.copy(&request.head, &request.rule, head, Some(body), false);
            let heard = cache.heard_of(&key, &request.head, asker, &exchange.head, policy, &exchange.received, copy);
            if let Some((before, after)) = heard {
                self.carry(&key, &before, &after);
            }
        }
    }

    /// Fetches, passing interim responses on; `None` when the client left meanwhile.
    async fn fetch<R: Reply>(&self, sent: Sent<'_>, reply: &mut R) -> Option<Result<Exchange, UpstreamFailure>> {
        let slot = match self.origin.slots.enter_unless(reply.left()).await {
            Waited::Entered(slot) => slot,
            Waited::Refused(why) => return Some(Err(why)),
            Waited::Left => return None,
        };
        let mut heard = tokio::select! {
            biased;
            heard = self.origin.send(sent, slot) => heard,
            () = reply.left() => return None,
        };
        loop {
            match heard {
                Ok(Heard::Final(exchange)) => {
                    self.state.traffic.upstream_answered();
                    return Some(Ok(exchange));
                }
                Ok(Heard::Interim(head, awaiting)) => {
                    reply.interim(&head).await.ok()?;
                    heard = tokio::select! {
                        biased;
                        heard = awaiting.next() => heard,
                        () = reply.left() => return None,
                    };
                }
                Err(failure) => return Some(Err(failure)),
            }
        }
    }

    pub(super) async fn stream<R: Reply>(
        &self,
        request: &Request,
        status: CacheStatus,
        outcome: Outcome,
        mut exchange: Exchange,
        reply: &mut R,
    ) -> Served {
        let (upstream, detail) = (Some(exchange.asked), status.detail());
        let served = Served { detail, upstream, ..Served::new(exchange.head.status(), outcome) }
            .of_a_stream(&exchange.head)
            .with_database(&exchange.head);
        if self.is_watched(&request.head, &request.rule, &exchange.head) {
            exchange.watch(self.state.observer.digest());
        }
        let added = self.ours(request, status);
        let personal = self.state.cache.asker(&request.head, &request.rule.policy).is_identified();
        let head = exchange.head.clone();
        let out = Outgoing { request, head: &head, personal, added: &added, again: false };
        let (status, passed) = self.deliver(out, &mut exchange, reply).await;
        match passed {
            Passed::Whole => {
                self.watched(&request.head, &request.peer, request.began, &request.rule, &mut exchange);
                self.origin.release(exchange).await;
            }
            Passed::Left | Passed::Cut(_) => exchange.abort().await,
        }
        if let Passed::Cut(Cut::Upstream(failure)) = passed {
            self.state.traffic.upstream_failed(failure);
        }
        Served { status, ..served }.passed(passed)
    }

    /// Says that no answer could be had, and why.
    pub(super) async fn unanswered<R: Reply>(
        &self,
        request: &Request,
        failure: UpstreamFailure,
        reply: &mut R,
    ) -> Served {
        tracing::debug!(reason = failure.name(), request_id = request.id.as_str(), "no answer from the upstream");
        let (head, body) = problem::unanswered(failure, &request.head);
        let mut added = Vec::with_capacity(64);
        add(&mut added, "X-Request-Id", request.id.as_str().as_bytes());
        let whole = reply.whole(&head, &added, body).await.is_ok();
        Served { error: Some(failure.name()), whole, ..Served::new(head.status(), Outcome::Miss) }
    }
}

impl Source for Exchange {}
