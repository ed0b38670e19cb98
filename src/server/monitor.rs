//! What clients are told of their tasks, under `/.pacecar/tasks/`. Everything else under `/.pacecar/` is not there, and
//! never asked of the app.
//!
//! | | | |
//! |---|---|---|
//! | `GET /.pacecar/tasks/{id}?k=…` | how it stands, as JSON | 200 |
//! | `GET /.pacecar/tasks/{id}/result?k=…` | the app's answer, as it was | its own, 202 before there is one |
//! | `DELETE /.pacecar/tasks/{id}?k=…` | cancels it | 200 |
//! | `POST /.pacecar/tasks/{id}?k=…` | the app says how far it is, `{"progress": 40}`, with the address that it was sent | 204 |
//!
//! Whoever does not have the secret, or comes with another Authorization than the request did, finds nothing there: 404,
//! as for a task that never was.

use std::{
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    cache::{Bypass, Outcome, status::CacheStatus},
    header::{Fields, Framing, RequestHead, ResponseHead},
    task::{self, Actor, Fetched, NotCancelled, Reason, Record, Status, TaskId, Unheard},
};

use super::{
    Engine, Served,
    context::Request,
    deliver::Outgoing,
    later::Here,
    problem,
    reply::{Reply, add},
};

/// What is under it is never the app's.
pub(super) const PREFIX: &str = "/.pacecar/";
const TASKS: &str = "/.pacecar/tasks/";
/// Seconds after which it is worth looking again.
pub(super) const RETRY_AFTER: &[u8] = b"2";
/// Bytes of what the app says about its progress.
pub(super) const MOST_BODY: u64 = 4 << 10;

/// What the app says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    progress: u8,
}

/// What is asked of which task.
struct Asked<'a> {
    id: TaskId,
    is_result: bool,
    secret: &'a str,
}

/// Whether a request is for Pacecar itself.
pub(super) fn is_own(head: &RequestHead) -> bool {
    head.path().starts_with(PREFIX.as_bytes())
}

/// Where a task is found, and by whoever knows this address only.
pub(super) fn address(id: TaskId, secret: &str) -> String {
    format!("{TASKS}{id}?k={secret}")
}

/// What a client sees of its task.
pub(super) fn shown(record: &Record, secret: &str) -> Value {
    let life = &record.life;
    let at = |ms: Option<u64>| {
        let time = ms.map(|ms| DateTime::<Utc>::from(UNIX_EPOCH + Duration::from_millis(ms)));
        time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true))
    };
    let id = record.id;
    let result = (life.status() == Status::Completed).then(|| {
        let status = record.result.as_ref().map(|kept| kept.status);
        json!({ "status": status, "href": format!("{TASKS}{id}/result?k={secret}") })
    });
    json!({
        "id": id.to_string(),
        "name": record.name,
        "status": life.status().word(),
        "progress": life.progress().percent,
        "progress_source": life.progress().source.word(),
        "created_at": at(Some(life.created_ms())),
        "started_at": at(life.started_ms()),
        "finished_at": at(life.finished_ms()),
        "timeout_s": record.timeout.as_secs(),
        "error": life.failure().map(|(reason, detail)| json!({ "reason": reason.word(), "detail": detail })),
        "result": result,
        "href": address(id, secret),
    })
}

impl<'a> Asked<'a> {
    fn of(head: &'a RequestHead) -> Option<Self> {
        let target = std::str::from_utf8(&head.target).ok()?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let rest = path.strip_prefix(TASKS)?;
        let (id, is_result) = rest.strip_suffix("/result").map_or((rest, false), |id| (id, true));
        let secret = query.split('&').find_map(|pair| pair.strip_prefix("k=")).unwrap_or_default();
        Some(Self { id: TaskId::parse(id)?, is_result, secret })
    }
}

impl Engine {
    /// Answers a request for Pacecar itself. `body` is the whole of it; `None`: it was not taken.
    pub(super) async fn monitor<R: Reply>(self: &Arc<Self>, request: &Request, body: Option<Bytes>, reply: &mut R) {
        let head = &request.head;
        let tasks = &self.state.tasks;
        let Some(body) = body else {
            let (status, detail) = match head.framing {
                Framing::Chunked => (411, "expected a Content-Length"),
                _ => (413, "expected at most 4 KiB"),
            };
            return self.refuse(request, status, detail, reply).await;
        };
        let Some(asked) = Asked::of(head) else { return self.not_there(request, reply).await };
        let Asked { id, is_result, secret } = asked;
        if head.method == Method::POST && !is_result {
            return self.hear(request, &asked, &body, reply).await;
        }
        let Some(record) = tasks.get_with(id, secret, head.get("authorization")) else {
            return self.not_there(request, reply).await;
        };
        match (&head.method, is_result) {
            (&Method::GET | &Method::HEAD, true) => self.replay(request, &record, secret, reply).await,
            (&Method::GET | &Method::HEAD, false) => self.show(request, 200, &record, secret, reply).await,
            (&Method::DELETE, false) => match tasks.cancel(id, Actor::Client).await {
                Ok(record) => self.show(request, 200, &record, secret, reply).await,
                Err(NotCancelled::Unknown) => self.not_there(request, reply).await,
                Err(NotCancelled::Ended(status)) => {
                    self.refuse(request, 409, &format!("the task is {} already", status.word()), reply).await;
                }
                Err(NotCancelled::Left) => {
                    self.refuse(request, 503, "nothing can be cancelled at the moment", reply).await;
                }
            },
            (_, true) => self.refuse_method(request, "GET, HEAD", reply).await,
            (_, false) => self.refuse_method(request, "GET, HEAD, POST, DELETE", reply).await,
        }
    }

    /// Takes what the app says of its progress.
    async fn hear<R: Reply>(&self, request: &Request, asked: &Asked<'_>, body: &[u8], reply: &mut R) {
        let tasks = &self.state.tasks;
        if tasks.reporting(asked.id, asked.secret).is_none() {
            return self.not_there(request, reply).await;
        }
        let Some(Said { progress }) = serde_json::from_slice(body).ok().filter(|said: &Said| said.progress <= 100)
        else {
            let detail = "expected a JSON object such as {\"progress\": 40}, with a whole number from 0 to 100";
            return self.refuse(request, 400, detail, reply).await;
        };
        match tasks.report(asked.id, progress) {
            Err(Unheard::Unknown) => self.not_there(request, reply).await,
            Err(Unheard::Is(status)) => {
                self.refuse(request, 409, &format!("the task is {} already", status.word()), reply).await;
            }
            Ok(()) => {
                let head = ResponseHead::build(204, "No Content").field(b"Cache-Control", b"no-store").finish();
                self.own(request, &head, &[], Bytes::new(), reply).await;
            }
        }
    }

    async fn show<R: Reply>(&self, request: &Request, status: u16, record: &Record, secret: &str, reply: &mut R) {
        let (head, body) = problem::json(status, &shown(record, secret));
        let mut added = Vec::new();
        if !record.life.status().is_final() {
            add(&mut added, "Retry-After", RETRY_AFTER);
        }
        self.own(request, &head, &added, body, reply).await;
    }

    /// The app's answer once more, or why there is none.
    async fn replay<R: Reply>(&self, request: &Request, record: &Record, secret: &str, reply: &mut R) {
        match self.state.tasks.result(record.id).await {
            Fetched::Found(outcome) => self.resend(request, outcome, reply).await,
            Fetched::Unknown => self.not_there(request, reply).await,
            Fetched::Gone => self.refuse(request, 410, "the result is not kept any more", reply).await,
            Fetched::None(record) => match (record.life.status(), record.life.failure()) {
                (Status::Pending | Status::Running, _) => self.show(request, 202, &record, secret, reply).await,
                (_, Some((reason, detail))) => {
                    let detail = format!("the task failed ({}): {detail}", reason.word());
                    self.refuse(request, status_of(reason), &detail, reply).await;
                }
                _ => self.refuse(request, 410, "the task was cancelled", reply).await,
            },
        }
    }

    async fn resend<R: Reply>(&self, request: &Request, outcome: task::Outcome, reply: &mut R) {
        let status = outcome.status.as_u16();
        let mut head = ResponseHead::build(status, outcome.status.canonical_reason().unwrap_or_default());
        for (name, value) in &outcome.headers {
            head.field(name.as_str().as_bytes(), value.as_bytes());
        }
        if !matches!(status, 204 | 304) {
            head.field(b"Content-Length", itoa::Buffer::new().format(outcome.body.len()).as_bytes());
        }
        let head = head.finish();
        let added = self.ours(request, CacheStatus::Bypassed(Bypass::Async));
        let out = Outgoing { request, head: &head, personal: true, added: &added, again: true };
        let began = reply.sent();
        let (status, passed) = self.deliver(out, Here(Some(outcome.body)), reply).await;
        self.note(request, &Served::new(status, Outcome::Bypass).passed(passed), reply.sent() - began);
    }

    /// As for what never was.
    async fn not_there<R: Reply>(&self, request: &Request, reply: &mut R) {
        self.refuse(request, 404, "there is nothing here, or not for whoever asks", reply).await;
    }

    async fn refuse_method<R: Reply>(&self, request: &Request, allowed: &str, reply: &mut R) {
        let (head, body) = problem::of(405, &format!("expected one of {allowed}"), &request.head);
        let mut added = Vec::new();
        add(&mut added, "Allow", allowed.as_bytes());
        self.own(request, &head, &added, body, reply).await;
    }

    async fn refuse<R: Reply>(&self, request: &Request, status: u16, detail: &str, reply: &mut R) {
        let (head, body) = problem::of(status, detail, &request.head);
        self.own(request, &head, &[], body, reply).await;
    }

    /// Sends an answer of Pacecar's own.
    pub(super) async fn own<R: Reply>(
        &self,
        request: &Request,
        head: &ResponseHead,
        added: &[u8],
        body: Bytes,
        reply: &mut R,
    ) {
        let mut lines = added.to_vec();
        add(&mut lines, "X-Request-Id", request.id.as_str().as_bytes());
        let whole = reply.whole(head, &lines, body).await.is_ok();
        self.note(request, &Served { whole, ..Served::new(head.status(), Outcome::Bypass) }, reply.sent());
    }

    /// Counts the bytes of an answer that says nothing about the app, and of which the cache takes no notice.
    fn note(&self, request: &Request, served: &Served, bytes: u64) {
        let duration = Instant::now() - request.began;
        self.state.traffic.response_bodies.add(bytes);
        self.log(request, served, duration, bytes);
    }
}

/// The status of an answer in place of the app's.
fn status_of(reason: Reason) -> u16 {
    match reason {
        Reason::Timeout => 504,
        Reason::Rejected | Reason::Interrupted => 503,
        Reason::Error | Reason::UpstreamStatus | Reason::TooLarge => 502,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(target: &str) -> Option<(bool, String)> {
        let head = RequestHead::for_tests(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        Asked::of(&head).map(|asked| (asked.is_result, asked.secret.to_owned()))
    }

    #[test]
    fn what_is_asked_for() {
        let id = TaskId::random().unwrap();
        let some = |is_result, secret: &str| Some((is_result, secret.to_owned()));
        assert_eq!(asked(&address(id, "s")), some(false, "s"));
        assert_eq!(asked(&format!("/.pacecar/tasks/{id}/result?a=b&k=s&k=t")), some(true, "s"));
        assert_eq!(asked(&format!("/.pacecar/tasks/{id}")), some(false, ""));
        for wrong in ["/.pacecar/", "/.pacecar/tasks/", "/.pacecar/tasks/x", "/.pacecar/tasks/task_0/result"] {
            assert_eq!(asked(wrong), None, "{wrong}");
        }
        assert_eq!(asked(&format!("/.pacecar/tasks/{id}/other?k=s")), None);
        assert_eq!(asked(&format!("/.pacecar/tasks/{id}/?k=s")), None);
    }

    #[test]
    fn what_is_ours() {
        for (target, expected) in [
            ("/.pacecar/", true),
            ("/.pacecar/tasks/x?y", true),
            ("/.pacecar", false),
            ("/.pacecars/", false),
            ("/a/.pacecar/", false),
        ] {
            let head = RequestHead::for_tests(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(is_own(&head), expected, "{target}");
        }
    }
}
