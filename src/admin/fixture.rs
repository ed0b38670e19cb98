//! What the tests of this folder share: states, and requests to the router without a socket.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode, Version, header},
};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;
use tower::ServiceExt;

use super::{
    Guard, Settings, Token,
    guard::{Peer, policies},
    router::router,
};
use crate::{
    advice::{Counted, Kind, Marker, Markers},
    cache::{
        self, Bypass, Cache, Evicted, Outcome, Skip,
        keyed::{self, KeyedCache, Value},
    },
    compress::{self, Compression},
    header::coding::Coding,
    job::Jobs,
    observe::Observer,
    profile::{self, Asked, CacheUse, Ending, Path, Profiler, Sample},
    query,
    state::{Draining, Reloads, State},
    task::{self, Processor, Status, TaskId},
    traffic::{Ratelimited, Traffic},
};

/// When the process of these states began, since 1970.
const STARTED: Duration = Duration::from_secs(1_700_000_000);

/// A hundred seconds ago, on the clock of a test whose clock is paused.
fn started() -> Instant {
    tokio::time::Instant::now().into_std() - Duration::from_secs(100)
}

/// A state in which nothing has happened.
pub(super) fn empty_state() -> Arc<State> {
    state_with(keyed::Settings::default())
}

/// The same, with other bounds of the keyed cache.
pub(super) fn state_with(keyed: keyed::Settings) -> Arc<State> {
    Arc::new(State {
        started: started(),
        cache: Cache::new(cache::Settings::default()),
        keyed: KeyedCache::new(keyed, 0xabc),
        compression: Compression::new(compress::Settings::default()),
        cache_headers: Default::default(),
        routes: Default::default(),
        observer: Observer::new(1, started()),
        profiler: Profiler::new(profile::Settings::default(), started(), SystemTime::UNIX_EPOCH + STARTED),
        queries: query::Observer::new(query::Settings::default(), started()),
        tasks: Processor::for_tests(SystemTime::UNIX_EPOCH + STARTED),
        advice: Default::default(),
        muted: Default::default(),
        markers: Markers::default(),
        counted: Counted::new(started()),
        upstream: arc_swap::ArcSwap::from_pointee("http://127.0.0.1:3000".into()),
        traffic: Traffic::default(),
        ratelimited: Ratelimited::new(policies()),
        draining: Draining::default(),
        reloads: Reloads::started(SystemTime::UNIX_EPOCH),
    })
}

/// A state in which a little has happened: two endpoints with figures that can be reckoned by hand.
pub(super) fn used_state() -> Arc<State> {
    let state = empty_state();
    state.markers.mark(Marker { at: started(), kind: Kind::Reload, label: "start".into() });
    let outcomes = [Outcome::Hit, Outcome::Hit, Outcome::Miss, Outcome::Stale, Outcome::Collapsed, Outcome::Bypass];
    let unrouted = state.cache.stats.of_route(None);
    outcomes.into_iter().for_each(|outcome| unrouted.answered(outcome));
    unrouted.bypassed(Bypass::Cookie);
    unrouted.stored();
    unrouted.skipped(Skip::Private);
    unrouted.skipped(Skip::TooLarge);
    state.cache.stats.evicted(Evicted::Purged);

    let (now, value) = (Instant::now(), || Value {
        content_type: None,
        body: "rows".into(),
        tags: Box::default(),
        ttl: Duration::from_secs(60),
    });
    state.keyed.put("query", value(), |_| true, now);
    for key in ["query", "other", "query", "query"] {
        state.keyed.get(key, now);
    }
    state.keyed.delete("query", |_| true, now);
    state.keyed.reject_too_large();

    // A page of 1000 bytes was sent in 300 and, once it had been coded anew, in 250; an answer of 4000 bytes in 950.
    let coding = &state.compression.stats;
    coding.encoded(Coding::Zstd, false, Duration::from_millis(1));
    coding.compressed(Coding::Zstd, Some(b"application/json"), 4000, 950);
    coding.encoded(Coding::Br, false, Duration::from_millis(2));
    coding.compressed(Coding::Br, Some(b"text/html"), 1000, 300);
    coding.encoded(Coding::Br, true, Duration::from_millis(6));
    coding.recoded(300, 250);
    coding.compressed(Coding::Br, Some(b"text/html"), 1000, 250);
    coding.decoded(Coding::Gzip);
    for why in [compress::Skip::TooSmall, compress::Skip::TooSmall, compress::Skip::NotAccepted] {
        coding.skipped(why);
    }

    let milli = Duration::from_millis;
    let users = |duration| Sample::of("/users/7", milli(duration));
    let asked =
        |first_byte| Asked { connect: milli(1), first_byte: milli(first_byte), in_flight: 1, ..Asked::default() };
    let order = Sample { method: "POST", status: 201, cache: CacheUse::Bypass, result: "bypass", ..users(100) };
    let trace_id = Some(*b"4bf92f3577b34da6a3ce929d0e0e4736");
    for sample in [
        Sample { upstream: Some(asked(30)), ..users(40) },
        Sample { status: 503, upstream: Some(asked(700)), trace_id, queries: Some(42), bytes: 20, ..users(800) },
        Sample { path: Path::of(b"/orders"), upstream: Some(asked(90)), ..order },
        Sample { cache: CacheUse::Hit, result: "hit", bytes: 1000, ..users(2) },
        Sample { ending: Ending::Aborted, ..users(60_000) },
    ] {
        state.profiler.record(sample);
    }
    state
}

/// The same with something to advise: an endpoint that is slow, and one that fails.
pub(super) fn advised_state() -> Arc<State> {
    let state = used_state();
    let milli = Duration::from_millis;
    for n in 0..40 {
        state.profiler.record(Sample::of("/reports/7", milli(720)).asked(milli(700)));
        let status = if n < 4 { 500 } else { 201 };
        state.profiler.record(Sample { method: "POST", status, ..Sample::of("/orders", milli(9)) });
    }
    state
}

/// A state with three tasks, whose ids are in [`TASKS`]: a job that has completed, a client's request that has failed, and
/// one that runs.
pub(super) async fn working_state() -> Arc<State> {
    let state = used_state();
    let [job, failed, running] = TASKS;
    let result = outcome(r#"{"urls":2,"stored":2,"failed":0}"#);
    begun(&state, task::Wish { name: "cache_warmup of 2 URLs".into(), ..wish(job, task::Kind::CacheWarmup) }, {
        Box::new(|_| Box::pin(async { Ok(result) }))
    })
    .await;
    let metadata = vec![("request_id".into(), "8f14e45f".into())];
    begun(&state, task::Wish { metadata, ..wish(failed, task::Kind::HttpAsync) }, {
        let failure = task::Failure::new(task::Reason::UpstreamStatus, "the app answered 502");
        Box::new(|_| Box::pin(async { Err(failure) }))
    })
    .await;
    begun(&state, wish(running, task::Kind::HttpAsync), {
        Box::new(|report| {
            report.progress(40, task::Source::Reported);
            Box::pin(std::future::pending())
        })
    })
    .await;
    for (id, status) in [(job, Status::Completed), (failed, Status::Failed), (running, Status::Running)] {
        stands(&state, id, status).await;
    }
    state
}

/// The ids of the tasks of [`working_state`].
pub(super) const TASKS: [&str; 3] = [
    "task_4a1e6f0c2b9d4e7f8a3c5d6e7f8091a2",
    "task_9c5d2e8b7a614f3cb0d1e2f3a4b5c6d7",
    "task_0b7f3d52c1e84a9690d4e8f1a2b3c4d5",
];

/// A wish for a task of this id.
pub(super) fn wish(id: &str, kind: task::Kind) -> task::Wish {
    task::Wish {
        id: TaskId::parse(id).unwrap(),
        kind,
        name: "POST /reports".into(),
        metadata: vec![],
        by: if kind.is_operator() { task::Actor::Admin } else { task::Actor::Client },
        timeout: None,
        after_restart: task::AfterRestart::Repeat,
        description: Bytes::new(),
        authorization: None,
        idempotency: None,
    }
}

/// What a job comes to.
pub(super) fn outcome(body: &'static str) -> task::Outcome {
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, "application/json".parse().unwrap())]);
    task::Outcome { status: StatusCode::OK, headers, body: body.into() }
}

pub(super) async fn begun(state: &State, wish: task::Wish, job: task::Job) -> task::Accepted {
    state.tasks.submit(wish, job).await.unwrap()
}

/// Waits until a task stands there.
pub(super) async fn stands(state: &State, id: &str, status: Status) {
    let id = TaskId::parse(id).unwrap();
    while state.tasks.get(id).unwrap().life.status() != status {
        tokio::task::yield_now().await;
    }
}

/// A guard that has counted nobody and asks for no token.
pub(super) fn guard() -> Arc<Guard> {
    Arc::new(Guard::new(Settings::default()))
}

/// The token of [`locked`].
pub(super) const TOKEN: &str = "correct-horse-battery";

/// A guard that asks for [`TOKEN`].
pub(super) fn locked() -> Arc<Guard> {
    Arc::new(Guard::new(Settings { token: Token::parse(TOKEN.as_bytes()), ..Settings::default() }))
}

/// A request, by default as a browser on this machine sends it.
pub(super) struct Exchange {
    method: String,
    target: String,
    hosts: Vec<String>,
    version: Version,
    fields: Vec<(String, Vec<u8>)>,
    client: IpAddr,
    body: Body,
}

impl Exchange {
    pub(super) fn get(target: &str) -> Self {
        Self::of("GET", target)
    }

    pub(super) fn of(method: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            hosts: vec!["localhost:9090".into()],
            version: Version::HTTP_11,
            fields: vec![],
            client: Ipv4Addr::LOCALHOST.into(),
            body: Body::empty(),
        }
    }

    pub(super) fn host(self, host: &str) -> Self {
        Self { hosts: vec![host.into()], ..self }
    }

    pub(super) fn hosts(self, hosts: &[&str]) -> Self {
        Self { hosts: hosts.iter().map(|host| String::from(*host)).collect(), ..self }
    }

    pub(super) fn http_10(self) -> Self {
        Self { version: Version::HTTP_10, ..self }
    }

    pub(super) fn field(self, name: &str, value: &str) -> Self {
        self.raw_field(name, value.as_bytes())
    }

    pub(super) fn raw_field(mut self, name: &str, value: &[u8]) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// Sent by the client at this address.
    pub(super) fn from(self, client: &str) -> Self {
        Self { client: client.parse().unwrap(), ..self }
    }

    pub(super) fn token(self, token: &str) -> Self {
        self.field("authorization", &format!("Bearer {token}"))
    }

    pub(super) fn body(self, body: impl Into<Body>) -> Self {
        Self { body: body.into(), ..self }
    }

    pub(super) async fn with(self, state: &Arc<State>) -> Answer {
        let jobs = Jobs::for_tests(state);
        self.through(router(state.clone(), guard()).layer(axum::Extension(jobs))).await
    }

    pub(super) async fn through(self, router: Router) -> Answer {
        let mut request = Request::builder().method(&*self.method).uri(self.target).version(self.version);
        for host in self.hosts {
            request = request.header(header::HOST, host);
        }
        for (name, value) in self.fields {
            request = request.header(name, value);
        }
        let request = request.extension(Peer(self.client));
        let (head, body) = router.oneshot(request.body(self.body).unwrap()).await.unwrap().into_parts();
        let is_stream = head.headers.get(header::CONTENT_TYPE).is_some_and(|given| given == "text/event-stream");
        let body = match is_stream {
            // It has no end: the first event stands for all of them.
            true => body.into_data_stream().next().await.unwrap_or_else(|| Ok(Bytes::new())).unwrap(),
            false => to_bytes(body, usize::MAX).await.unwrap(),
        };
        Answer { status: head.status, headers: head.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(super) fn assert(&self, status: StatusCode, content_type: &str, body: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some(content_type), "{self:?}");
        assert_eq!(self.body, body, "{self:?}");
    }

    /// The JSON byte for byte, with its members in this order; line breaks and indentation are for the reader.
    pub(super) fn assert_json(&self, expected: &str) {
        let compact: String = expected.lines().map(str::trim).collect::<Vec<_>>().join("");
        self.assert(StatusCode::OK, "application/json", &compact);
    }

    pub(super) fn assert_problem(&self, status: StatusCode, title: &str, detail: &str, instance: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        let status = status.as_u16();
        let expected = json!({
            "type": "about:blank", "title": title, "status": status, "detail": detail, "instance": instance,
        });
        assert_eq!(body, expected, "{self:?}");
    }
}
