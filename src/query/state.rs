//! What the observer knows, behind its lock.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    asked::{Asked, Lately},
    book::{Book, Known, New},
    detect::{Chatty, Slowness, chatty, repeated, slowness},
    endpoints::{Endpoints, Requests},
    event::{Endpoint, QueryEvent, Request},
    evidence::{Confidence, Evidence, Key, Proof, Seen as SeenIn},
    explain::{Explained, Question, Verdict},
    finding::{Finding, Missing, Repetition, Severity, Slow, What},
    fingerprint::{Fingerprint, Print},
    history::{History, Merge, Minute},
    otlp::{Span, SpanKind},
    settings::Settings,
    snapshot::{Analysis, Basis, Bounds, EndpointFigures, QueryFigures, Snapshot, Sources},
    spread::Timing,
    trace::{SpanId, TraceId},
    traces::{Asking, Closed, Level, Taken, Traces},
    unit::{Executed, busy},
};
use crate::rings::Sink;

/// Spans by which duplicates are known, in each of two generations.
const MOST_SEEN: usize = 1 << 16;
/// Requests whose queries are counted until somebody takes the counts: those of a few seconds.
const MOST_COUNTED: usize = 1 << 14;
/// Executions of a query per request from which on its repetition is grave.
const VERY_MANY: u32 = 50;
/// The part of the requests' time from which on it is.
const MOST_OF_IT: f64 = 0.5;
/// The part of the database's time from which on it is worth an index at once.
const MUCH: f64 = 0.01;

#[derive(Debug)]
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) sources: Sources,
    pub(super) book: Book,
    pub(super) analysis: Analysis,
    pub(super) explains: [u64; Verdict::NAMES.len()],
    pub(super) explain_failures: u64,
    started: Instant,
    lately: Lately,
    traces: Traces,
    endpoints: Endpoints,
    evidence: Evidence,
    attribution: [History<u64>; Level::ALL.len()],
    seen: Seen,
    /// How many queries requests made, by their spans, since somebody asked.
    pub(super) counted: HashMap<SpanId, u32>,
}

/// A request that passed here, whose route the app's framework knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed<'a> {
    /// The route, as the framework has it.
    pub route: &'a str,
    /// The request's path, as the app has it.
    pub path: &'a str,
    /// What the request was called here.
    pub name: Arc<str>,
}

/// Spans that came lately: exporters send again what nobody confirmed.
#[derive(Debug, Default)]
struct Seen {
    hasher: RandomState,
    now: HashSet<u64, foldhash::fast::RandomState>,
    before: HashSet<u64, foldhash::fast::RandomState>,
}

impl Seen {
    /// Whether it comes for the first time, as far as is known.
    fn is_new(&mut self, trace: TraceId, span: SpanId) -> bool {
        let hash = self.hasher.hash_one((trace, span));
        if self.before.contains(&hash) || !self.now.insert(hash) {
            return false;
        }
        if self.now.len() >= MOST_SEEN {
            self.before = std::mem::take(&mut self.now);
        }
        true
    }
}

impl Sink<(Request, Instant)> for State {
    fn take(&mut self, (request, ended): &(Request, Instant)) {
        let minute = self.minute(*ended);
        if let Some(said) = request.database {
            self.sources.server_timings += 1;
            self.endpoints.now(&request.endpoint, minute).add_said(said, request.took);
        }
        if let Some(trace) = request.trace {
            let asked = Asked { span: request.span, endpoint: request.endpoint.clone(), took: request.took };
            self.lately.add(trace, asked, *ended);
        }
    }
}

impl State {
    pub(super) fn new(settings: Settings, now: Instant) -> Self {
        Self {
            settings,
            sources: Sources::default(),
            book: Book::default(),
            analysis: Analysis::default(),
            explains: Default::default(),
            explain_failures: 0,
            started: now,
            lately: Lately::default(),
            traces: Traces::default(),
            endpoints: Endpoints::default(),
            evidence: Evidence::default(),
            attribution: Default::default(),
            seen: Seen::default(),
            counted: HashMap::new(),
        }
    }

    fn minute(&self, now: Instant) -> Minute {
        now.saturating_duration_since(self.started).as_secs() / 60
    }

    /// What a span says of the route of a request that passed here. It must be what the app did for that very request: a
    /// service behind the app has routes of its own.
    pub(super) fn routed<'a>(&self, span: &'a Span<'_>) -> Option<Routed<'a>> {
        let (Some(route), Some(path), SpanKind::Server) = (span.route.as_deref(), span.path.as_deref(), span.kind)
        else {
            return None;
        };
        let of_trace = self.lately.of(span.trace).iter();
        let asked = of_trace.filter(|asked| asked.span.is_some()).find(|asked| asked.span == span.parent)?;
        Some(Routed { route, path, name: asked.endpoint.name.clone() })
    }

    /// Takes a span that is no query.
    pub(super) fn span(&mut self, span: &Span<'_>, now: Instant) {
        if !self.seen.is_new(span.trace, span.id) {
            return;
        }
        if span.database.as_ref().is_some_and(|database| database.text.is_none()) {
            self.sources.waited = self.sources.waited.saturating_add(span.duration());
        }
        self.traces.link(span, now);
    }

    /// Takes an execution of a query.
    pub(super) fn query(
        &mut self,
        event: &QueryEvent<'_>,
        print: &Print<'_>,
        executed: Executed,
        new: Option<&New>,
        now: Instant,
    ) {
        if let (Some(trace), Some(span)) = (event.trace, event.span)
            && !self.seen.is_new(trace, span)
        {
            self.sources.duplicates += 1;
            return;
        }
        let minute = self.minute(now);
        let QueryEvent { source, span, parent, scope, .. } = *event;
        let asking = Asking { executed, source, span, parent, scope };
        match event.trace.map(|trace| (trace, self.traces.query(trace, asking, event.start.is_some(), now))) {
            Some((_, Taken::Duplicate)) => {
                self.sources.duplicates += 1;
                return;
            }
            Some((_, Taken::Waits)) => {}
            Some((trace, Taken::Late)) => {
                self.sources.late += 1;
                let only = if let [only] = self.lately.of(trace) { Some(only.endpoint.clone()) } else { None };
                let level = if only.is_some() { Level::Request } else { Level::Unattributed };
                self.attribute(level, executed.id, only.as_ref(), u64::from(executed.counts), minute);
            }
            Some((_, Taken::Dropped)) | None => {
                self.attribute(Level::Unattributed, executed.id, None, u64::from(executed.counts), minute);
            }
        }
        self.sources.queries[event.source as usize] += 1;
        self.book.add(print, event, new, &self.settings, (now, minute));
    }

    fn attribute(&mut self, level: Level, id: Fingerprint, endpoint: Option<&Endpoint>, calls: u64, minute: Minute) {
        *self.attribution[level as usize].now(minute) += calls;
        if let Some(endpoint) = endpoint {
            self.book.attribute(id, endpoint, calls.max(1), minute);
        }
    }

    pub(super) fn turn(&mut self, now: Instant) {
        let minute = self.minute(now);
        let settled = self.traces.settled(now, |trace| self.lately.of(trace));
        for (trace, closed) in settled {
            closed.into_iter().for_each(|closed| self.close(trace, closed, (now, minute)));
        }
        self.lately.turn(now);
        self.book.turn(minute);
        self.endpoints.turn(minute);
        self.evidence.turn(minute);
        self.attribution.iter_mut().for_each(|history| history.turn(minute));
    }

    fn close(&mut self, trace: TraceId, closed: Closed, (now, minute): (Instant, Minute)) {
        let Closed { level, endpoint, asked, unit } = closed;
        if let Some(span) = asked.filter(|_| self.counted.len() < MOST_COUNTED) {
            self.counted.insert(span, u32::try_from(unit.counted().count()).unwrap_or(u32::MAX));
        }
        for query in &unit.queries {
            self.attribute(level, query.id, endpoint.as_ref(), u64::from(query.counts), minute);
        }
        if let Some(endpoint) = &endpoint {
            let queries = unit.counted().count() as u64;
            let requests = self.endpoints.now(endpoint, minute);
            requests.most = requests.most.max(queries);
            let one = Requests {
                seen: Chatty {
                    requests: 1,
                    queries,
                    database: busy(unit.counted()),
                    added: unit.counted().map(Executed::took).sum(),
                    whole: unit.lasted(),
                },
                ..Requests::default()
            };
            requests.merge(&one);
        }
        // Queries of several requests are no loop.
        if level == Level::Ambiguous {
            return;
        }
        for repeated in repeated(&unit, &self.settings) {
            self.evidence.add(repeated, endpoint.as_ref(), Some(trace), (now, minute));
        }
    }

    pub(super) fn question(&self, now: Instant) -> Option<Question> {
        self.book.question((now, self.minute(now)))
    }

    pub(super) fn question_about(&self, id: Fingerprint) -> Option<(Question, bool)> {
        self.book.question_about(id)
    }

    pub(super) fn explained(&mut self, id: Fingerprint, verdict: Verdict, now: Instant) {
        self.explains[verdict.place()] += 1;
        self.book.explained(id, verdict.into(), (now, self.minute(now)));
    }

    pub(super) fn snapshot(&self, window: Duration, now: Instant) -> Snapshot {
        let minute = self.minute(now);
        let minutes = window.as_secs().div_ceil(60).max(1);
        let all = self.book.all.last(minutes, minute);
        let time = all.spread.sum().as_secs_f64();
        let mut queries: Vec<QueryFigures> = self
            .book
            .known
            .iter()
            .map(|(id, known)| figures(*id, known, (minutes, window), time, (now, minute)))
            .filter(|figures| figures.calls.calls > 0)
            .collect();
        queries.sort_by(|a, b| b.calls.spread.sum().cmp(&a.calls.spread.sum()).then(a.id.cmp(&b.id)));
        let endpoints: Vec<(&Endpoint, Requests)> =
            self.endpoints.0.iter().map(|(endpoint, history)| (endpoint, history.last(minutes, minute))).collect();
        let findings = self.findings(&queries, &endpoints, (minutes, window), (now, minute));
        let mut endpoints: Vec<EndpointFigures> =
            endpoints.into_iter().filter_map(|(endpoint, requests)| endpoint_figures(endpoint, &requests)).collect();
        let total = |figures: &EndpointFigures| figures.queries_avg * figures.requests as f64;
        endpoints.sort_by(|a, b| total(b).total_cmp(&total(a)).then_with(|| a.endpoint.cmp(&b.endpoint)));
        Snapshot {
            window,
            analysis: self.analysis.clone(),
            sources: self.sources,
            attribution: self.attribution.each_ref().map(|history| history.last(minutes, minute)),
            all,
            other: self.book.other.last(minutes, minute),
            queries,
            endpoints,
            findings,
            bounds: Bounds {
                spans_dropped: self.traces.dropped,
                requests_forgotten: self.lately.forgotten,
                queries_given_up: self.book.given_up,
                patterns_dropped: self.evidence.dropped,
                open_traces: self.traces.size().0,
                open_spans: self.traces.size().1,
                queries: self.book.known.len(),
                bytes: self.book.bytes(),
            },
        }
    }

    fn findings(
        &self,
        queries: &[QueryFigures],
        endpoints: &[(&Endpoint, Requests)],
        (minutes, window): (u64, Duration),
        (now, minute): (Instant, Minute),
    ) -> Vec<Finding> {
        let per_hour = |time: Duration| time.div_f64((window.as_secs_f64() / 3600.0).max(1.0 / 3600.0));
        let is_ignored = |id: &Fingerprint| self.settings.n_plus_one.ignore.contains(id);
        let slow = queries
            .iter()
            .filter(|query| !is_ignored(&query.id))
            .flat_map(|query| slow_findings(query, &self.settings));
        let mut findings: Vec<Finding> = slow.collect();
        findings.iter_mut().for_each(|finding| finding.impact_per_hour = per_hour(finding.impact_per_hour));
        for (key, proof) in self.evidence.proofs.iter().filter(|(key, _)| !is_ignored(&key.1)) {
            let seen = proof.history.last(minutes, minute);
            if seen.requests > 0 {
                let requests = key.2.as_ref().map(|endpoint| self.endpoints.requests(endpoint, 60, minute));
                let confidence = proof.confidence(requests, &self.settings.n_plus_one, minute);
                let finding = repetition(key, proof, &seen, confidence, now);
                findings.push(Finding { impact_per_hour: per_hour(seen.took), ..finding });
            }
        }
        for (endpoint, requests) in endpoints.iter().filter(|(_, requests)| chatty(&requests.seen)) {
            findings.push(Finding {
                severity: Severity::Warning,
                confidence: Confidence::Confirmed,
                query: None,
                endpoint: Some((*endpoint).clone()),
                what: What::Chatty(requests.seen),
                impact_per_hour: per_hour(requests.seen.database),
                first_seen: window,
                last_seen: Duration::ZERO,
            });
        }
        findings.sort_by(|a, b| {
            let weight = |finding: &Finding| (finding.severity, finding.impact_per_hour);
            weight(b).cmp(&weight(a)).then_with(|| a.id().cmp(&b.id()))
        });
        findings
    }
}

fn figures(
    id: Fingerprint,
    known: &Known,
    (minutes, window): (u64, Duration),
    time: f64,
    (now, minute): (Instant, Minute),
) -> QueryFigures {
    let calls = known.history.last(minutes, minute);
    let since = |then: Instant| now.saturating_duration_since(then);
    let lasted = window.min(since(known.first).max(Duration::from_secs(60)));
    let mut endpoints: Vec<(Endpoint, u64)> = known
        .endpoints
        .iter()
        .map(|(endpoint, history)| (endpoint.clone(), history.last(minutes, minute)))
        .filter(|(_, calls)| *calls > 0)
        .collect();
    endpoints.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    QueryFigures {
        id,
        text: known.text.clone(),
        is_cut: known.is_cut,
        name: known.name.clone(),
        kind: known.kind,
        counts: known.counts,
        tables: known.tables.clone(),
        predicates: known.predicates.clone(),
        index: known.explained.as_ref().map(|Explained { verdict, .. }| verdict.clone()),
        dialect: known.dialect,
        share: if time > 0.0 { calls.spread.sum().as_secs_f64() / time } else { 0.0 },
        per_minute: calls.calls as f64 * 60.0 / lasted.as_secs_f64().max(1.0),
        calls,
        endpoints,
        first_seen: since(known.first),
        last_seen: since(known.last),
    }
}

fn endpoint_figures(endpoint: &Endpoint, requests: &Requests) -> Option<EndpointFigures> {
    let share = |part: Duration, whole: Duration| {
        (!whole.is_zero()).then(|| (part.as_secs_f64() / whole.as_secs_f64()).min(1.0))
    };
    let seen = &requests.seen;
    // What every query tells is better than what responses say.
    let (requests, queries, queries_max, database_share, basis) = if seen.requests > 0 {
        (seen.requests, seen.queries, requests.most, share(seen.database, seen.whole), Basis::Queries)
    } else {
        let said = share(requests.timed_database, requests.timed_whole);
        (requests.counted, requests.counted_queries, requests.counted_most, said, Basis::ServerTiming)
    };
    let queries_avg = if requests > 0 { queries as f64 / requests as f64 } else { 0.0 };
    let endpoint = endpoint.clone();
    let figures = EndpointFigures { endpoint, requests, queries_avg, queries_max, database_share, basis };
    (requests > 0 || database_share.is_some()).then_some(figures)
}

fn slow_findings(query: &QueryFigures, settings: &Settings) -> Vec<Finding> {
    let calls = &query.calls;
    let Some(timing) = calls.spread.timing() else { return Vec::new() };
    let Timing { p95, .. } = timing;
    let slow = Slow { calls: calls.calls, slow: calls.slow, critical: calls.critical, timing };
    let found = slowness(calls.calls, calls.slow, calls.critical, Some(p95), settings.slow);
    let finding = |severity, confidence, what| Finding {
        severity,
        confidence,
        query: Some(query.id),
        endpoint: None,
        what,
        impact_per_hour: calls.spread.sum(),
        first_seen: query.first_seen,
        last_seen: query.last_seen,
    };
    let mut findings = Vec::new();
    match found {
        Some(Slowness::Critical) => {
            findings.push(finding(Severity::Critical, Confidence::Confirmed, What::Critical(slow)));
        }
        Some(Slowness::Slow) => findings.push(finding(Severity::Warning, Confidence::Confirmed, What::Slow(slow))),
        None => {}
    }
    if let Some(Verdict::Missing(proposal)) = query.index.as_deref() {
        let is_grave = slow.slow > 0 || query.share >= MUCH;
        let severity = if is_grave { Severity::High } else { Severity::Medium };
        let confidence = if proposal.proof.is_some() { Confidence::Confirmed } else { Confidence::Candidate };
        findings.push(finding(severity, confidence, What::Missing(Missing { slow, proposal: proposal.clone() })));
    } else if calls.slow_without_index > 0 {
        // The app's word, which nobody here can check.
        let slow = Slow { slow: calls.slow_without_index, ..slow };
        findings.push(finding(Severity::High, Confidence::Likely, What::NoIndex(slow)));
    }
    findings
}

fn repetition(key: &Key, proof: &Proof, seen: &SeenIn, confidence: Confidence, now: Instant) -> Finding {
    let (pattern, id, endpoint) = key;
    let requests = seen.requests as f64;
    let share = seen.share / requests;
    let is_grave = proof.max >= VERY_MANY || share >= MOST_OF_IT;
    // What is only suspected is not grave.
    let severity = if is_grave && confidence > Confidence::Candidate { Severity::High } else { Severity::Medium };
    Finding {
        severity,
        confidence,
        query: Some(*id),
        endpoint: endpoint.clone(),
        what: What::Repeated(Repetition {
            pattern: *pattern,
            requests: seen.requests,
            min: proof.min,
            avg: seen.executions as f64 / requests,
            max: proof.max,
            distinct: proof.distinct,
            is_concurrent: proof.is_concurrent,
            turns: proof.last.turns.clone(),
            before: proof.last.before,
            share,
            example: proof.example,
        }),
        impact_per_hour: seen.took,
        first_seen: now.saturating_duration_since(proof.first_seen),
        last_seen: now.saturating_duration_since(proof.last_seen),
    }
}
