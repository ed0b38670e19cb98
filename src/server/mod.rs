//! The way of a request, from its head to its last byte.
//!
//! ```text
//! 1 front     one head, one deadline, strict checks                      front, h2 → header::request
//! 2 route     path and method → policy, and where it is counted          route::find → context::Rule
//! 3 cache     fresh, stale, miss or bypass, and why; PURGE               cache::lookup → reuse; invalidate
//! 4 fetch     one flight per key, readers at their own pace              share → flight, reader, pilot, fill; alone; origin
//! 5 store     store or skip, and why                                     fill → cache::policy::store
//! 6 headers   edits of the client's copy only                            edit; ours
//! 7 compress  negotiated; what is stored is coded once                   coding; deliver → body, coder; recode; weakened
//! 8 reply     the only writer of heads                                   reply
//! 9 profile   one sample per request                                     profile
//! ```
//!
//! Beside the way, a few of the fresh answers are compared with what the app answers meanwhile (`verify`).
//!
//! An answer to a method that may have changed something invalidates what is stored (`invalidate`), whichever way it came.
//! Requests with a body take pingora's `HttpProxy` instead of steps 3 to 8 (`forward`), upgrades to WebSocket a tunnel of
//! their own (`upgrade`).
//!
//! Two kinds of request leave the way after step 2, each with its whole body in hand (`Taken`): those whose client would
//! rather be answered later become tasks (`later`; `described`: what of them is written down), and those under
//! `/.pacecar/` are about these tasks (`monitor`). Pacecar's own requests go the same way without a connection (`inside`).

pub mod access_log;
mod alone;
mod body;
mod chunks;
mod coder;
mod coding;
mod conn;
mod context;
mod current;
mod deliver;
mod described;
mod dial;
mod edit;
mod fill;
mod flight;
mod forward;
mod front;
mod h2;
mod inside;
mod invalidate;
mod later;
mod listen;
mod monitor;
mod origin;
mod pilot;
mod presence;
mod problem;
mod reader;
mod recode;
mod reply;
mod resolve;
mod reuse;
mod settings;
mod share;
mod slots;
mod tls;
mod trace;
mod upgrade;
mod upstream;
mod verify;
mod watch;
mod weakened;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    cache::{Asker, Bypass, Entry, Key, Lookup, Missed, Outcome, Stale, policy, status::CacheStatus},
    cache_headers, compress,
    header::{Fields, Framing, RequestHead, ResponseHead, refusal::Refusal},
    profile::{self, Asked, Ending, Sample},
    query::{
        self,
        server_timing::{self, DatabaseTime},
    },
    route::{self, Policy, Route},
    state::State,
};

pub use inside::{Get, Got, Inside, NoAnswer};
pub use listen::{Front, Running, bind};
pub use settings::{Limits, Mode, Protocol, Settings, Timeouts, Tls, Upstream};

use self::{
    access_log::AccessLog,
    body::Passed,
    coding::Coders,
    context::{Request, Rule},
    flight::Flights,
    invalidate::PURGE,
    origin::{Origin, is_event_stream},
    reply::{Reply, add},
    upstream::Sending,
    verify::Verifier,
    weakened::Weakened,
};

/// What answers requests, as one configuration has it. A new configuration makes a new engine: what is under way ends
/// with the old one, and the cache, the flights and the statistics are common to both.
pub(crate) struct Engine {
    state: Arc<State>,
    settings: Settings,
    routes: Arc<Vec<Route>>,
    /// What holds for each route, and last for what no route matches.
    rules: Vec<Arc<Rule>>,
    sending: Sending,
    origin: Origin,
    flights: Arc<Flights>,
    verifier: Arc<Verifier>,
    coders: Coders,
    compression: Arc<compress::Settings>,
    cache_headers: Arc<cache_headers::Settings>,
    log: Option<Arc<AccessLog>>,
}

/// What engines have in common, whatever the configuration.
#[derive(Clone)]
struct Common {
    state: Arc<State>,
    flights: Arc<Flights>,
    verifier: Arc<Verifier>,
    coders: Coders,
    weakened: Arc<Weakened>,
    /// How this process signs requests in `Via`.
    signature: String,
}

/// What became of a request, for its sample and its line.
#[derive(Clone, Copy, Debug)]
struct Served {
    status: u16,
    outcome: Outcome,
    /// The cache's reason for it, and the app's failure.
    detail: Option<&'static str>,
    error: Option<&'static str>,
    /// How long the app took, if it was asked for this request.
    upstream: Option<Asked>,
    /// What its answer says of the database, if it does.
    database: Option<DatabaseTime>,
    /// Whether the client has the whole answer.
    whole: bool,
    /// It was a stream of events, which lasts as long as somebody listens.
    open: bool,
}

impl Served {
    /// A status, and nothing else yet.
    fn new(status: u16, outcome: Outcome) -> Self {
        Self { status, outcome, detail: None, error: None, upstream: None, database: None, whole: false, open: false }
    }

    /// With what the head says of how long it lasts.
    fn of_a_stream(self, head: &ResponseHead) -> Self {
        Self { open: head.get("content-type").is_some_and(is_event_stream), ..self }
    }

    /// With what the app's head says of the database, if the app was asked for this request.
    fn with_database(self, head: &impl Fields) -> Self {
        let database = self.upstream.and_then(|_| server_timing::read(head.all("server-timing")));
        Self { database, ..self }
    }

    /// With how sending it ended.
    fn passed(self, passed: Passed) -> Self {
        match passed {
            Passed::Whole => Self { whole: true, ..self },
            Passed::Left => self,
            Passed::Cut(cut) => Self { error: Some(cut.name()), ..self },
        }
    }

    /// The client left before there was anything to send: 499, as nginx counts it.
    fn nothing(outcome: Outcome) -> Self {
        Self::new(499, outcome)
    }
}

/// What is taken with its whole body, and not passed on as it comes.
#[derive(Clone, Copy, Debug)]
enum Taken {
    /// It is for Pacecar itself.
    Monitor,
    /// Its client waits for so long, and is told then where the answer will be.
    Later(Duration),
}

impl Taken {
    /// How long the body is, if it is taken: it states its length, and that is not too much to be kept.
    fn length(self, framing: Framing) -> Option<u64> {
        let most = match self {
            Self::Monitor => monitor::MOST_BODY,
            Self::Later(_) => later::MOST_BODY,
        };
        match framing {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length).filter(|length| *length <= most),
            Framing::Chunked => None,
        }
    }
}

/// What the cache has for a request; the key and who asks, where the origin is to be asked on behalf of others too.
enum Found {
    Fresh(Arc<Entry>),
    Stale(Arc<Entry>, Stale, Key, Asker),
    Miss(Missed, Key, Asker),
    Bypass(Bypass),
}

impl Engine {
    fn new(common: &Common, log: Option<Arc<AccessLog>>, settings: Settings, routes: Vec<Route>) -> Self {
        let Common { state, flights, verifier, coders, weakened, signature } = common.clone();
        state.observer.only_observe(settings.mode == Mode::Observe);
        state.upstream.store(Arc::new(settings.upstream.to_string()));
        let compression = state.compression.settings();
        let cache_headers = state.cache_headers.load_full();
        coders.recoder.limit(compression.recode_cpu_percent);
        let sending = Sending {
            host: settings.host.clone(),
            authority: settings.upstream.authority(),
            trusted_proxies: settings.trusted_proxies.clone(),
            signature,
            weakened,
        };
        let named = routes.iter().map(|route| (Some(route.name.as_str()), route.policy.clone()));
        let rules = named
            .chain([(None, Policy::default())])
            .map(|(name, policy)| {
                let codes = compression.codes(&policy) && settings.mode == Mode::On;
                let traces = settings.traces;
                Arc::new(Rule { codes, traces, counts: state.cache.stats.of_route(name), policy })
            })
            .collect();
        let origin = Origin::new(&settings, &state.traffic);
        Self {
            origin,
            flights,
            verifier,
            coders,
            compression,
            cache_headers,
            log,
            sending,
            settings,
            routes: Arc::new(routes),
            rules,
            state,
        }
    }

    /// Whether a well-formed request may go on.
    ///
    /// # Errors
    /// When its body is too large, or when it has been here before.
    fn admit(&self, head: &RequestHead) -> Result<(), Refusal> {
        match (head.framing, self.settings.max_body_bytes) {
            (Framing::Length(length), Some(most)) if length > most => Err(Refusal::BodyTooLarge),
            _ if self.sending.is_loop(head) => Err(Refusal::Loop),
            (Framing::Length(_) | Framing::Chunked, _) if head.method.as_str() == PURGE => {
                Err(Refusal::Malformed("PURGE has no body"))
            }
            _ => Ok(()),
        }
    }

    /// Whether everything is passed on as it is.
    fn observes(&self) -> bool {
        self.settings.mode == Mode::Observe
    }

    /// 2 route: what holds for a request.
    fn rule(&self, head: &RequestHead) -> Arc<Rule> {
        let at = route::find(&self.routes, &head.method, head.path()).unwrap_or(self.routes.len());
        self.rules[at].clone()
    }

    /// Whether a request is taken with its whole body.
    fn takes(&self, request: &Request) -> Option<Taken> {
        match monitor::is_own(&request.head) {
            true => Some(Taken::Monitor),
            false => self
                .answers_later(request)
                .map(Taken::Later)
                .filter(|taken| taken.length(request.head.framing).is_some()),
        }
    }

    /// Answers such a request. `body` is the whole of it; `None`: it was not taken.
    async fn take<R: Reply>(self: &Arc<Self>, request: &Request, taken: Taken, body: Option<Bytes>, reply: &mut R) {
        match taken {
            Taken::Monitor => self.monitor(request, body, reply).await,
            Taken::Later(wait) => self.later(request, body.unwrap_or_default(), wait, reply).await,
        }
    }

    /// Answers one request that passed the front door and has no body.
    async fn serve<R: Reply>(self: &Arc<Self>, request: &Request, reply: &mut R) {
        let _in_flight = self.state.traffic.in_flight.enter();
        // 3 cache
        let now = Instant::now();
        let served = match self.lookup(request, now) {
            Found::Fresh(entry) => {
                self.verify(request, &entry, now);
                let status = CacheStatus::Hit { ttl: entry.ttl(now), stale: None };
                self.reuse(request, &entry, status, Outcome::Hit, now, reply).await
            }
            Found::Stale(entry, why, key, asker) => {
                if why == Stale::WhileRevalidate {
                    self.refresh(request, key, asker, &entry);
                }
                let status = CacheStatus::Hit { ttl: entry.ttl(now), stale: Some(why) };
                self.reuse(request, &entry, status, Outcome::Stale, now, reply).await
            }
            // 4 fetch and 5 store: shared with whoever asks for the same, or for this request alone.
            Found::Miss(missed, key, asker) => self.share(request, key, asker, missed, reply).await,
            Found::Bypass(Bypass::OnlyIfCached) => self.only_if_cached(request, reply).await,
            Found::Bypass(Bypass::Method) if request.head.method.as_str() == PURGE => self.purge(request, reply).await,
            Found::Bypass(why) => self.ask(request, CacheStatus::Bypassed(why), reply).await,
        };
        // 9 profile
        self.record(request, served, reply.sent());
    }

    fn lookup(&self, request: &Request, now: Instant) -> Found {
        let policy = &request.rule.policy;
        if let Err(why) = policy::admit(&request.head, policy) {
            return Found::Bypass(why);
        }
        if self.observes() {
            return Found::Bypass(Bypass::Observe);
        }
        let asker = self.state.cache.asker(&request.head, policy);
        let key = Key::of(&request.head, &request.peer);
        match self.state.cache.lookup(&key, &request.head, asker, now) {
            Lookup::Fresh(entry) => Found::Fresh(entry),
            Lookup::Stale(entry, why) => Found::Stale(entry, why, key, asker),
            Lookup::Miss(missed) => Found::Miss(missed, key, asker),
            Lookup::Bypass(why) => Found::Bypass(why),
        }
    }

    /// 6 headers: the field lines that this proxy adds to the client's copy. A cache before us may have said its part
    /// of Cache-Status already: lines of one list add up, so ours goes last (RFC 9211 §2).
    fn ours(&self, request: &Request, status: CacheStatus) -> Vec<u8> {
        let mut added = Vec::with_capacity(160);
        status.write_to(&mut added);
        add(&mut added, "X-Request-Id", request.id.as_str().as_bytes());
        added
    }

    /// Tells which request queries will be told of, where the app was asked and tells of any.
    fn expect_queries(&self, request: &Request, served: &Served, ended: Instant) {
        let Some(asked) = served.upstream.filter(|_| request.trace.is_some() || served.database.is_some()) else {
            return;
        };
        let endpoint = query::Endpoint {
            method: profile::method_name(&request.head.method),
            name: self.state.profiler.name(request.head.path(), served.status).into(),
        };
        self.state.queries.request(
            query::Request {
                trace: request.trace.map(|trace| trace.id),
                span: request.trace.map(|trace| trace.span),
                endpoint,
                took: asked.first_byte,
                database: served.database,
            },
            ended,
        );
    }

    /// Writes the line of a request, if it is wanted.
    fn log(&self, request: &Request, served: &Served, duration: Duration, bytes: u64) {
        if let Some(log) =
            self.log.as_ref().filter(|_| self.settings.access_log.wants(served.status, !served.whole, duration))
        {
            let endpoint = self.state.profiler.name(request.head.path(), served.status);
            log.write(request.line(served, endpoint, duration, bytes));
        }
    }

    fn record(&self, request: &Request, served: Served, bytes: u64) {
        let ended = Instant::now();
        let (path, duration) = (request.head.path(), ended - request.began);
        let is_asked = served.upstream.is_some();
        request.rule.counts.answered(served.outcome);
        if served.status != 101 {
            self.state.traffic.response_bodies.add(bytes);
        }
        self.log(request, &served, duration, bytes);
        self.expect_queries(request, &served, ended);
        self.state.profiler.record(Sample {
            path: profile::Path::of(path),
            method: profile::method_name(&request.head.method),
            status: served.status,
            cache: match served.outcome {
                Outcome::Miss => profile::CacheUse::Miss,
                Outcome::Bypass => profile::CacheUse::Bypass,
                _ => profile::CacheUse::Hit,
            },
            result: served.outcome.name(),
            ended,
            duration,
            upstream: served.upstream,
            compression: request.spent.so_far(),
            bytes,
            saved: request.saved.so_far(),
            ending: match served {
                // A tunnel lives as long as its users like: its duration says nothing about the app.
                Served { open: true, .. } | Served { status: 101, .. } => Ending::Open,
                Served { whole: true, .. } => Ending::Complete,
                _ => Ending::Aborted,
            },
            trace_id: if self.state.profiler.keeps(duration) { request.trace_id(is_asked) } else { None },
            span: request.trace.filter(|_| is_asked).map(|trace| trace.span.number()),
            queries: served.database.and_then(|database| database.queries),
        });
    }
}
