//! The way of a request, from its head to its last byte.
//!
//! ```text
//! 1 front     one head, one deadline, strict checks                      front, h2 → header::request
//! 2 route     path and method → policy                                   route
//! 3 cache     fresh, miss or bypass, and why                             cache::lookup
//! 4 fetch     one flight per key, readers at their own pace              flight, origin
//! 5 store     store or skip, and why                                     cache::policy::store
//! 6 headers   edits of the client's copy only                            Engine::ours
//! 7 compress  the body goes on in the coding that the origin chose
//! 8 reply     the only writer of heads                                   reply
//! 9 profile   one sample per request                                     profile
//! ```
//!
//! Requests with a body and upgrades take pingora's `HttpProxy` instead of steps 3 to 8 (`forward`).

mod chunks;
mod conn;
mod context;
mod fill;
mod flight;
mod forward;
mod front;
mod h2;
mod listen;
mod origin;
mod pilot;
mod problem;
mod reply;
mod resolve;
mod settings;
mod tls;
mod upstream;

use std::sync::Arc;

use pingora_http::RequestHeader;

use crate::{
    cache::{
        Asker, Bypass, Entry, Forward, Key, Lookup, Outcome, Skip, policy,
        status::{CacheStatus, Then},
    },
    header::{
        Fields, ResponseHead,
        fields::{is, starts_with},
        validator,
    },
    profile::{self, Sample},
    route::{self, Policy},
    state::State,
    traffic::UpstreamFailure,
};

pub use listen::{Front, bind};
pub use settings::{Limits, Settings, Timeouts, Tls, Upstream};

use self::{
    context::Request,
    flight::{Answer, FlightKey, Flights, Reader},
    origin::{Exchange, Heard, Origin},
    reply::{Reply, add},
    upstream::{Ask, Sending},
};

/// What answers requests.
pub(crate) struct Engine {
    state: Arc<State>,
    settings: Settings,
    sending: Sending,
    origin: Origin,
    flights: Arc<Flights>,
}

/// What became of a request, for its sample.
#[derive(Clone, Copy, Debug)]
struct Served {
    status: u16,
    outcome: Outcome,
    upstream: Option<std::time::Duration>,
    /// Whether the client has the whole answer.
    whole: bool,
}

impl Served {
    /// The client left before there was anything to send: 499, as nginx counts it.
    fn nothing(outcome: Outcome) -> Self {
        Self { status: 499, outcome, upstream: None, whole: false }
    }
}

/// What the cache has for a request.
enum Found {
    Fresh(Arc<Entry>),
    Miss { key: Key, asker: Asker, why: Forward },
    Bypass(Bypass),
}

/// What waiting for a flight's head came to.
enum Waited {
    /// The head is here, and the body may be read.
    Head(Arc<flight::Answered>),
    /// The response is another request's own.
    NotShared,
    /// No answer could be had.
    Failed(UpstreamFailure),
    /// Another request's fetch took too long.
    TooLong,
    /// The client left.
    Left,
}

impl Engine {
    pub(crate) fn new(state: Arc<State>, settings: Settings) -> Self {
        let cache = state.cache.settings();
        let flights = Arc::new(Flights::new(cache.max_bytes, cache.max_object_bytes));
        let sending = Sending {
            host: settings.host.clone(),
            authority: settings.upstream.to_string(),
            trusted_proxies: settings.trusted_proxies.clone(),
        };
        Self { origin: Origin::new(&settings), flights, sending, settings, state }
    }

    /// Answers one request that passed the front door and has no body.
    async fn serve<R: Reply>(self: &Arc<Self>, request: &Request, reply: &mut R) {
        let _in_flight = self.state.traffic.in_flight.enter();
        // 2 route
        let policy = self.state.routes.policy(&request.head.method, request.head.path());
        // 3 cache
        let served = match self.lookup(request, policy) {
            Found::Fresh(entry) => self.reuse(request, &entry, reply).await,
            // 4 fetch and 5 store: shared with whoever asks for the same, or for this request alone.
            Found::Miss { key, asker, why } => self.share(request, policy, key, asker, why, reply).await,
            Found::Bypass(why) => self.ask(request, CacheStatus::Bypassed(why), reply).await,
        };
        // 9 profile
        self.record(request, served, reply.sent());
    }

    fn lookup(&self, request: &Request, policy: &Policy) -> Found {
        if let Err(why) = policy::admit(&request.head, policy) {
            return Found::Bypass(why);
        }
        let asker = self.state.cache.asker(&request.head, policy);
        let key = Key::of(&request.head, &request.peer);
        match self.state.cache.lookup(&key, &request.head, asker, request.began) {
            Lookup::Fresh(entry) => Found::Fresh(entry),
            Lookup::Miss(why) => Found::Miss { key, asker, why },
            Lookup::Bypass(why) => Found::Bypass(why),
        }
    }

    /// A hit: the stored bytes, or 304 for a client that has them.
    async fn reuse<R: Reply>(&self, request: &Request, entry: &Entry, reply: &mut R) -> Served {
        let mut added = self.ours(request, CacheStatus::Hit { ttl: entry.ttl(request.began) });
        add(&mut added, "Age", itoa::Buffer::new().format(entry.age(request.began).as_secs()).as_bytes());
        let (etag, modified) = (entry.head.get("etag"), entry.head.get("last-modified"));
        let (status, sent) = if entry.head.status() == 200 && validator::not_modified(&request.head, etag, modified) {
            let head = not_modified(&entry.head);
            (304, reply.whole(&head, &added, bytes::Bytes::new()).await)
        } else {
            (entry.head.status(), reply.whole(&entry.head, &added, entry.body.clone()).await)
        };
        Served { status, outcome: Outcome::Hit, upstream: None, whole: sent.is_ok() }
    }

    /// A miss: joins the fetch of whoever asks for the same, or begins it.
    async fn share<R: Reply>(
        self: &Arc<Self>,
        request: &Request,
        policy: &Policy,
        key: Key,
        asker: Asker,
        why: Forward,
        reply: &mut R,
    ) -> Served {
        let mut selecting = self.state.cache.selecting(&key, &request.head);
        // A response may turn out to vary by fields that the flight was not chosen by: then this request looks for
        // the flight of its own values, once.
        for _ in 0..2 {
            let flight = FlightKey { key: key.clone(), identified: asker.is_identified(), selecting };
            let Some(mut reader) = self.flights.join(&flight, |pilot| self.begin(pilot, request, policy, asker)) else {
                break;
            };
            match self.answer(&mut reader, reply).await {
                Waited::Head(answered) => {
                    let ignored = &self.state.cache.settings().ignore_cookies;
                    if reader.began() {
                        return self.relay(request, why, &reader, &answered, reply).await;
                    }
                    // What another request fetched is for this one under the same rules as what is stored.
                    if let Ok(storable) = &answered.decision
                        && let Err(why) = storable.shared.admits(asker)
                    {
                        drop(reader);
                        return self.ask(request, CacheStatus::Bypassed(why), reply).await;
                    }
                    if answered.selecting.matches(&request.head, ignored) {
                        return self.relay(request, why, &reader, &answered, reply).await;
                    }
                    selecting = answered.selecting.again(&request.head, ignored);
                }
                Waited::NotShared => break,
                Waited::Failed(failure) => return self.unanswered(request, failure, reply).await,
                Waited::TooLong => {
                    // A reader that will not read would hold up those that do.
                    drop(reader);
                    self.state.cache.stats.skipped(Skip::LockTimeout);
                    let status = CacheStatus::Forwarded { why, then: Then::Skipped(Skip::LockTimeout) };
                    return self.ask(request, status, reply).await;
                }
                Waited::Left => return Served::nothing(Outcome::Miss),
            }
        }
        self.ask(request, CacheStatus::Bypassed(Bypass::HitForMiss), reply).await
    }

    /// Waits for a flight's head, as long as the client does; interim responses are passed on at once. Who waits for
    /// another's fetch does so for `lock_timeout`.
    async fn answer<R: Reply>(&self, reader: &mut Reader, reply: &mut R) -> Waited {
        let began = reader.began();
        let patience = tokio::time::sleep(self.state.cache.settings().lock_timeout);
        tokio::pin!(patience);
        loop {
            let answer = tokio::select! {
                biased;
                answer = reader.answer() => answer,
                () = reply.left() => return Waited::Left,
                () = &mut patience, if !began => return Waited::TooLong,
            };
            match answer {
                Answer::Interim(head) if reply.interim(&head).await.is_ok() => {}
                Answer::Interim(_) => return Waited::Left,
                Answer::Head(answered) => return Waited::Head(answered),
                Answer::NotShared => return Waited::NotShared,
                Answer::Failed(failure) => return Waited::Failed(failure),
            }
        }
    }

    /// Passes a flight's response on, at the pace of this client.
    async fn relay<R: Reply>(
        &self,
        request: &Request,
        why: Forward,
        reader: &Reader,
        answered: &flight::Answered,
        reply: &mut R,
    ) -> Served {
        let (status, outcome) = match &answered.decision {
            _ if !reader.began() => (CacheStatus::Collapsed { why }, Outcome::Collapsed),
            Ok(storable) => {
                let ttl = storable.lifetime.as_secs() as i64 - storable.initial_age.as_secs() as i64;
                (CacheStatus::Forwarded { why, then: Then::Stored { ttl } }, Outcome::Miss)
            }
            Err(skip) => (CacheStatus::Forwarded { why, then: Then::Skipped(*skip) }, Outcome::Miss),
        };
        let upstream = reader.began().then(|| answered.received.at - answered.received.requested);
        let served = |status, whole| Served { status, outcome, upstream, whole };
        let added = self.ours(request, status);
        let (etag, modified) = (answered.head.get("etag"), answered.head.get("last-modified"));
        if answered.head.status() == 200 && validator::not_modified(&request.head, etag, modified) {
            let sent = reply.whole(&not_modified(&answered.head), &added, bytes::Bytes::new()).await;
            return served(304, sent.is_ok());
        }
        let mut whole = reply.start(&answered.head, &added).await.is_ok();
        while whole {
            let next = tokio::select! {
                biased;
                next = reader.next() => next,
                () = reply.left() => break,
            };
            match next {
                Ok(Some(part)) => whole = reply.part(part).await.is_ok(),
                Ok(None) => return served(answered.head.status(), reply.finish().await.is_ok()),
                Err(_) => break,
            }
        }
        reply.cut().await;
        served(answered.head.status(), false)
    }

    /// Fetches for this request alone and streams the answer, in this very task.
    async fn ask<R: Reply>(&self, request: &Request, status: CacheStatus, reply: &mut R) -> Served {
        let outcome = match status {
            CacheStatus::Bypassed(why) => {
                self.state.cache.stats.bypassed(why);
                Outcome::Bypass
            }
            _ => Outcome::Miss,
        };
        let Ok(asked) = upstream::upstream_request(request, Ask::AsAsked, &self.sending) else {
            return self.unanswered(request, UpstreamFailure::Malformed, reply).await;
        };
        match self.fetch(&asked, reply).await {
            Some(Ok(exchange)) => self.stream(request, status, outcome, exchange, reply).await,
            Some(Err(failure)) => {
                self.state.traffic.upstream_failed(failure);
                self.unanswered(request, failure, reply).await
            }
            None => Served::nothing(outcome),
        }
    }

    /// Fetches, passing interim responses on; `None` when the client left meanwhile.
    async fn fetch<R: Reply>(&self, asked: &RequestHeader, reply: &mut R) -> Option<Result<Exchange, UpstreamFailure>> {
        let mut heard = tokio::select! {
            biased;
            heard = self.origin.fetch(asked) => heard,
            () = reply.left() => return None,
        };
        loop {
            match heard {
                Ok(Heard::Final(exchange)) => return Some(Ok(exchange)),
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

    async fn stream<R: Reply>(
        &self,
        request: &Request,
        status: CacheStatus,
        outcome: Outcome,
        mut exchange: Exchange,
        reply: &mut R,
    ) -> Served {
        let upstream = Some(exchange.received.at - exchange.received.requested);
        let served = Served { status: exchange.head.status(), outcome, upstream, whole: false };
        let added = self.ours(request, status);
        if reply.start(&exchange.head, &added).await.is_err() {
            exchange.abort().await;
            return served;
        }
        loop {
            let next = tokio::select! {
                biased;
                next = exchange.next() => next,
                () = reply.left() => break,
            };
            match next {
                Ok(Some(part)) => {
                    if reply.part(part).await.is_err() {
                        break;
                    }
                }
                Ok(None) => {
                    self.origin.release(exchange).await;
                    return Served { whole: reply.finish().await.is_ok(), ..served };
                }
                Err(failure) => {
                    self.state.traffic.upstream_failed(failure);
                    break;
                }
            }
        }
        reply.cut().await;
        exchange.abort().await;
        served
    }

    /// Says that no answer could be had, and why.
    async fn unanswered<R: Reply>(&self, request: &Request, failure: UpstreamFailure, reply: &mut R) -> Served {
        tracing::debug!(reason = failure.name(), request_id = request.id.as_str(), "no answer from the upstream");
        let (head, body) = problem::unanswered(failure, &request.head);
        let mut added = Vec::with_capacity(64);
        add(&mut added, "X-Request-Id", request.id.as_str().as_bytes());
        let whole = reply.whole(&head, &added, body).await.is_ok();
        Served { status: head.status(), outcome: Outcome::Miss, upstream: None, whole }
    }

    /// 6 headers: the field lines that this proxy adds to the client's copy. A cache before us may have said its part
    /// of Cache-Status already: lines of one list add up, so ours goes last (RFC 9211 §2).
    fn ours(&self, request: &Request, status: CacheStatus) -> Vec<u8> {
        let mut added = Vec::with_capacity(160);
        status.write_to(&mut added);
        add(&mut added, "X-Request-Id", request.id.as_str().as_bytes());
        added
    }

    fn record(&self, request: &Request, served: Served, bytes: u64) {
        self.state.cache.stats.answered(served.outcome);
        self.state.profiler.record(Sample {
            endpoint: route::endpoint(request.head.path(), served.status),
            method: request.head.method.clone(),
            status: served.status,
            cache: match served.outcome {
                Outcome::Miss => profile::CacheUse::Miss,
                Outcome::Bypass => profile::CacheUse::Bypass,
                _ => profile::CacheUse::Hit,
            },
            duration: request.began.elapsed(),
            upstream_first_byte: served.upstream,
            bytes,
            aborted: !served.whole,
        });
    }
}

/// The head of a 304: of the response, what tells a cache about its copy (RFC 9110 §15.4.5), and what is not about
/// the content at all.
fn not_modified(head: &ResponseHead) -> ResponseHead {
    let mut out = ResponseHead::build(304, "Not Modified");
    for (name, value) in head.fields() {
        let about_content = starts_with(name, "content-") && !is(name, "content-location");
        if !about_content && !is(name, "last-modified") {
            out.field(name, value);
        }
    }
    out.finish()
}
