//! Requests that are answered later (RFC 7240 §4.1): each is a task from the start, and its client waits for as long as it
//! said. So whatever moment the process ends at, the request was answered, or is known afterwards.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::{sync::oneshot, time::sleep};

use crate::{
    cache::{Bypass, Outcome as CacheOutcome, status::CacheStatus},
    header::{Fields, ResponseHead, fields::is, prefer::Preferences},
    profile::Asked,
    task::{
        Actor, AfterRestart, Digest, Failure, Idempotency, Job, Kind, Outcome, Reason, Record, Refused, Report, Secret,
        Source, TaskId, Wish, Work,
    },
    traffic::UpstreamFailure,
};

use super::{
    Engine, Found, Served,
    body::{Body, Cut},
    context::Request,
    deliver::{self, Outgoing},
    described::{after_restart, describe},
    invalidate::PURGE,
    monitor,
    origin::{Exchange, Heard, Sent},
    problem,
    reply::{Reply, add},
    upstream::{Ask, TASK, upstream_request},
};

/// A longer body is not kept: its request is answered as if there were no preference.
pub(super) const MOST_BODY: u64 = 1 << 20;
/// A client that wants to wait for longer waits for so long.
const MOST_WAIT: Duration = Duration::from_secs(60);

/// An answer that came while its client waited, as the app sent it.
struct Heeded {
    head: ResponseHead,
    body: Bytes,
    asked: Asked,
}

impl Engine {
    /// For how long a client waits for the answer before it is told where to find it; `None` if it is answered as ever.
    pub(super) fn answers_later(&self, request: &Request) -> Option<Duration> {
        let head = &request.head;
        if !request.rule.policy.is_async || self.observes() {
            return None;
        }
        let preferences = Preferences::of(head);
        let is_whole = head.method.as_str() != PURGE && !head.asks_for_websocket() && preferences.respond_async;
        is_whole.then(|| preferences.wait.unwrap_or_default().min(MOST_WAIT))
    }

    /// Answers a request whose client waits for no longer than `wait`.
    pub(super) async fn later<R: Reply>(
        self: &Arc<Self>,
        request: &Request,
        body: Bytes,
        wait: Duration,
        reply: &mut R,
    ) {
        let _in_flight = self.state.traffic.in_flight.enter();
        self.state.traffic.request_bodies.add(body.len() as u64);
        let now = Instant::now();
        // What is there is better than what will be.
        if body.is_empty()
            && let Found::Fresh(entry) = self.lookup(request, now)
        {
            let status = CacheStatus::Hit { ttl: entry.ttl(now), stale: None };
            let served = self.reuse(request, &entry, status, CacheOutcome::Hit, now, reply).await;
            return self.record(request, served, reply.sent());
        }
        let (told, answer) = oneshot::channel();
        let tasks = &self.state.tasks;
        let taken = match self.wish(request, &body) {
            Some(wish) => {
                let job = self.clone().job(request.clone(), body.clone(), Some(told));
                match tasks.reserve() {
                    Some(slot) => tasks.submit_running(wish, job, slot).await,
                    None => tasks.submit(wish, job).await,
                }
            }
            None => Err(Refused::Stopping),
        };
        match taken {
            Ok(accepted) => {
                // One that came before is not waited for: it may have been answered to somebody else already.
                let wait = if accepted.is_new { wait } else { Duration::ZERO };
                match self.heed(request, answer, wait, reply).await {
                    Some(served) => self.record(request, served, reply.sent()),
                    None => self.accepted(request, &accepted.record, accepted.secret.as_ref(), reply).await,
                }
            }
            Err(Refused::OtherRequest { .. }) => {
                let detail = "this Idempotency-Key came with another request before: expected a key of its own";
                let (head, body) = problem::of(422, detail, &request.head);
                self.own(request, &head, &[], body, reply).await;
            }
            // A preference is no reason for an error: without room, the client waits after all.
            Err(_) => {
                let status = CacheStatus::Bypassed(Bypass::Async);
                let served = self.ask_with(request, &body, status, reply).await;
                self.record(request, served, reply.sent());
            }
        }
    }

    /// The job of a request that a restart has found.
    pub(super) fn revived(self: &Arc<Self>, description: &[u8]) -> Option<Job> {
        let (request, body) = self.described(description)?;
        Some(self.clone().job(request, body, None))
    }

    /// What is asked of the tasks. `None`: the system has no random bytes.
    fn wish(&self, request: &Request, body: &Bytes) -> Option<Wish> {
        let head = &request.head;
        let after_restart = after_restart(head);
        let description = match after_restart {
            AfterRestart::Fail => Bytes::new(),
            AfterRestart::Repeat | AfterRestart::Once => describe(request, body),
        };
        let trace = request.trace_id(true).map(|id| String::from_utf8_lossy(&id).into_owned());
        let trace = trace.map(|trace| ("trace_id".into(), trace));
        Some(Wish {
            id: TaskId::random()?,
            kind: Kind::HttpAsync,
            name: format!("{} {}", head.method, String::from_utf8_lossy(head.path())),
            metadata: [("request_id".into(), request.id.as_str().into())].into_iter().chain(trace).collect(),
            by: Actor::Client,
            timeout: None,
            after_restart,
            description,
            authorization: head.get("authorization").map(<[u8]>::to_vec),
            idempotency: head.get("idempotency-key").map(|key| idempotency(request, key, body)),
        })
    }

    /// Waits for the answer, and sends it if it comes in time. `None`: it did not, or there will be none.
    async fn heed<R: Reply>(
        &self,
        request: &Request,
        mut answer: oneshot::Receiver<Result<Heeded, UpstreamFailure>>,
        wait: Duration,
        reply: &mut R,
    ) -> Option<Served> {
        if wait > Duration::ZERO {
            tokio::select! {
                biased;
                told = &mut answer => return self.heeded(request, told.ok()?, reply).await,
                // Nobody is told where the answer will be, and the task goes on all the same.
                () = reply.left() => {}
                () = sleep(wait) => {}
            }
        }
        // What was told until now would be lost.
        answer.close();
        self.heeded(request, answer.try_recv().ok()?, reply).await
    }

    async fn heeded<R: Reply>(
        &self,
        request: &Request,
        told: Result<Heeded, UpstreamFailure>,
        reply: &mut R,
    ) -> Option<Served> {
        request.rule.counts.bypassed(Bypass::Async);
        let Heeded { head, body, asked } = match told {
            Ok(heeded) => heeded,
            Err(failure) => {
                let served = self.unanswered(request, failure, reply).await;
                return Some(Served { outcome: CacheOutcome::Bypass, ..served });
            }
        };
        let status = CacheStatus::Bypassed(Bypass::Async);
        let served = Served {
            detail: status.detail(),
            upstream: Some(asked),
            ..Served::new(head.status(), CacheOutcome::Bypass)
        }
        .with_database(&head);
        let mut added = self.ours(request, status);
        add(&mut added, "Vary", b"Prefer");
        let personal = self.state.cache.asker(&request.head, &request.rule.policy).is_identified();
        let out = Outgoing { request, head: &head, personal, added: &added, again: false };
        let (status, passed) = self.deliver(out, Here(Some(body)), reply).await;
        Some(Served { status, ..served }.passed(passed))
    }

    /// Says where the answer will be (RFC 9110 §15.3.3).
    async fn accepted<R: Reply>(&self, request: &Request, record: &Record, secret: Option<&Secret>, reply: &mut R) {
        let secret = secret.map(Secret::reveal).unwrap_or_default();
        // It may have come further while its client waited.
        let shown = self.state.tasks.get(record.id).map(|record| monitor::shown(&record, &secret));
        let (head, body) = problem::json(202, &shown.unwrap_or_else(|| monitor::shown(record, &secret)));
        let mut added = Vec::with_capacity(256);
        add(&mut added, "Location", monitor::address(record.id, &secret).as_bytes());
        add(&mut added, "Preference-Applied", b"respond-async");
        add(&mut added, "Retry-After", monitor::RETRY_AFTER);
        add(&mut added, "Vary", b"Prefer");
        self.own(request, &head, &added, body, reply).await;
    }

    /// The work of a request: asks the app, and takes its answer whole. Whoever still waits is told it first.
    fn job(
        self: Arc<Self>,
        request: Request,
        body: Bytes,
        told: Option<oneshot::Sender<Result<Heeded, UpstreamFailure>>>,
    ) -> Job {
        Box::new(move |report| -> Work {
            Box::pin(async move {
                let heeded = match self.take_answer(&request, body, &report).await {
                    Ok(heeded) => heeded,
                    Err(NoResult::Upstream(failure)) => {
                        self.state.traffic.upstream_failed(failure);
                        let is_told = told.is_some_and(|told| told.send(Err(failure)).is_ok());
                        if !is_told {
                            request.rule.counts.bypassed(Bypass::Async);
                            let served = Served::new(failure.status(), CacheOutcome::Bypass);
                            self.record(&request, Served { error: Some(failure.name()), ..served }, 0);
                        }
                        return Err(Failure::new(Reason::Error, problem::words(failure)));
                    }
                    Err(NoResult::TooLarge(bytes)) => {
                        let most = Outcome::MOST_BODY;
                        let detail = format!("a body of {bytes} bytes or more: expected at most {most}");
                        return Err(Failure::new(Reason::TooLarge, detail));
                    }
                };
                let outcome = self.kept(&request, &heeded);
                let Heeded { head, asked, .. } = &heeded;
                let (status, bytes, asked) = (head.status(), heeded.body.len() as u64, *asked);
                let served = Served { upstream: Some(asked), whole: true, ..Served::new(status, CacheOutcome::Bypass) };
                let served = served.with_database(head);
                let is_told = told.is_some_and(|told| told.send(Ok(heeded)).is_ok());
                if !is_told {
                    request.rule.counts.bypassed(Bypass::Async);
                    self.record(&request, served, bytes);
                }
                Ok(outcome)
            })
        })
    }

    async fn take_answer(&self, request: &Request, body: Bytes, report: &Report) -> Result<Heeded, NoResult> {
        let malformed = |_| NoResult::Upstream(UpstreamFailure::Malformed);
        let mut asked = upstream_request(request, Ask::AsAsked, &self.sending).map_err(malformed)?;
        asked.remove_header("prefer");
        if let Some(secret) = report.reporter() {
            asked.insert_header(TASK, monitor::address(report.id(), &secret.reveal())).map_err(malformed)?;
        }
        let slot = self.origin.slots.enter().await?;
        report.progress(5, Source::Estimated);
        // The task's own timeout is for the whole.
        let sent = Sent { request: &asked, body: &body, read: None, anew: true };
        let mut heard = self.origin.send(sent, slot).await?;
        let mut exchange = loop {
            match heard {
                Heard::Interim(_, awaiting) => heard = awaiting.next().await?,
                Heard::Final(exchange) => break exchange,
            }
        };
        report.progress(50, Source::Estimated);
        self.state.traffic.upstream_answered();
        self.invalidate_after(request, exchange.head.status(), &exchange.head);
        let body = take_body(&mut exchange, report).await?;
        let heeded = Heeded { head: exchange.head.clone(), body, asked: exchange.asked };
        self.origin.release(exchange).await;
        Ok(heeded)
    }

    /// What is kept of an answer: the fields that its client would have been sent, but no cookie, which is a credential, and no length, which the body
    /// has by itself.
    fn kept(&self, request: &Request, heeded: &Heeded) -> Outcome {
        let personal = self.state.cache.asker(&request.head, &request.rule.policy).is_identified();
        let copy = self.copy(&request.head, &request.rule, &heeded.head, None, personal);
        let head = copy.edits.apply(&heeded.head);
        let mut headers = HeaderMap::new();
        for (name, value) in head.fields() {
            if is(name, "set-cookie") || is(name, "content-length") {
                continue;
            }
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        let status = StatusCode::from_u16(head.status()).unwrap_or(StatusCode::BAD_GATEWAY);
        Outcome { status, headers, body: heeded.body.clone() }
    }
}

/// Why there is no answer.
enum NoResult {
    Upstream(UpstreamFailure),
    /// It is longer than what is kept; so much of it has come.
    TooLarge(usize),
}

impl From<UpstreamFailure> for NoResult {
    fn from(failure: UpstreamFailure) -> Self {
        Self::Upstream(failure)
    }
}

async fn take_body(exchange: &mut Exchange, report: &Report) -> Result<Bytes, NoResult> {
    let length = exchange.head.content_length().filter(|length| *length > 0);
    let mut body = BytesMut::new();
    while let Some(part) = exchange.next().await? {
        if body.len() + part.len() > Outcome::MOST_BODY {
            return Err(NoResult::TooLarge(body.len() + part.len()));
        }
        body.extend_from_slice(&part);
        if let Some(length) = length {
            let percent = 50 + (body.len() as u64 * 49 / length).min(49);
            report.progress(percent as u8, Source::Estimated);
        }
    }
    Ok(body.freeze())
}

/// Whose key it is, and with which request it came. Two people, or two addresses of one app, have nothing in common.
fn idempotency(request: &Request, key: &[u8], body: &[u8]) -> Idempotency {
    let head = &request.head;
    let joined = |name| head.all(name).collect::<Vec<_>>().join(&b'\n');
    let (authorization, cookie) = (joined("authorization"), joined("cookie"));
    let address = request.peer.address.to_string();
    // Nobody in particular is told apart by the address alone.
    let who = if authorization.is_empty() && cookie.is_empty() { address.as_bytes() } else { &[] };
    let method = head.method.as_str().as_bytes();
    Idempotency {
        key: Digest::of(&[b"client", key, &authorization, &cookie, who, &head.host, method, head.path()]),
        request: Digest::of(&[&head.target, &joined("content-type"), body]),
    }
}

/// A body that is here.
pub(super) struct Here(pub(super) Option<Bytes>);

impl Body for Here {
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        Ok(self.0.take().filter(|body| !body.is_empty()))
    }
}

impl deliver::Source for Here {}
