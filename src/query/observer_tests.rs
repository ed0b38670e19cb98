//! The observer from outside: what is handed in, and what it says then.

use std::time::{Duration, Instant};

use super::{
    fingerprint::{Dialect, Fingerprint, Key, Mask, fingerprint},
    fixture::{App, HOUR, Trace, kinds},
    otlp::{Decoded, Format, Span, SpanKind, decode, inflate},
    record,
    server_timing::DatabaseTime,
    trace::SpanId,
    *,
};

const CAPTURE: &[u8] = include_bytes!("../../tests/data/otlp/py_psycopg_proto_default.bin");
const NODE: &[u8] = include_bytes!("../../tests/data/otlp/node_pg_json_default.json");

fn level(snapshot: &Snapshot, level: Level) -> u64 {
    snapshot.attribution[level as usize]
}

fn records(body: serde_json::Value) -> Vec<record::Record> {
    record::read(body.to_string().as_bytes()).unwrap()
}

/// A captured run, by its routes alone.
#[test]
fn a_captured_run() {
    let mut app = App::new(Settings::default());
    app.observer.spans(&decode(CAPTURE, Format::Protobuf).unwrap(), app.now);
    let snapshot = app.settled();
    assert_eq!((snapshot.all.calls, snapshot.all.errors, snapshot.unique()), (25, 1, 8));
    assert_eq!((level(&snapshot, Level::Route), level(&snapshot, Level::Unattributed)), (25, 0));
    let by_id =
        snapshot.queries.iter().find(|query| &*query.text == "select name from customers where id = ?").unwrap();
    assert_eq!(
        (by_id.calls.calls, by_id.kind, &by_id.tables[..]),
        (18, fingerprint::Kind::Select, &["customers".to_owned()][..])
    );
    let endpoints: Vec<(String, u64)> =
        by_id.endpoints.iter().map(|(endpoint, calls)| (endpoint.to_string(), *calls)).collect();
    assert_eq!(endpoints, [("GET /orders".to_owned(), 12), ("GET /redundant".to_owned(), 6)]);
    let most = &snapshot.endpoints[0];
    assert_eq!((most.endpoint.to_string().as_str(), most.requests, most.queries_max), ("GET /orders", 1, 13));
    // One request is a suspicion, and no more.
    assert_eq!(kinds(&snapshot.findings), [("n_plus_one", "candidate")]);
    assert_eq!(snapshot.findings[0].title(), "Possible N+1: the same SELECT ran 12 times per request");
    let What::Repeated(repetition) = &snapshot.findings[0].what else { panic!() };
    assert_eq!((repetition.max, repetition.distinct, repetition.is_concurrent), (12, None, false));
    assert!(repetition.before.is_some() && repetition.share > 0.2);
    assert_eq!(snapshot.findings[0].id(), format!("n_plus_one:GET /orders:{}", by_id.id));
}

/// The node app tells no routes: its requests are known by their trace.
#[test]
fn a_captured_run_by_trace() {
    // The look-ups take 6 of 31 ms, which is a little less than what counts by default.
    let mut settings = Settings::default();
    settings.n_plus_one.min_share = 0.15;
    let mut app = App::new(settings);
    let decoded = decode(NODE, Format::Json).unwrap();
    let server = decoded.spans.iter().find(|span| span.trace.to_string().ends_with("c001") && span.is_entry()).unwrap();
    let endpoint = Endpoint { method: "GET", name: "/orders".into() };
    let request = Request {
        trace: Some(server.trace),
        span: server.parent,
        endpoint: endpoint.clone(),
        took: server.duration(),
        database: None,
    };
    app.observer.request(request, app.now);
    app.observer.spans(&decoded, app.now);
    let snapshot = app.settled();
    assert_eq!((level(&snapshot, Level::Request), level(&snapshot, Level::Unattributed)), (13, 3));
    assert_eq!((snapshot.endpoints.len(), &snapshot.endpoints[0].endpoint), (1, &endpoint));
    assert!(snapshot.sources.waited > Duration::from_millis(10));
    assert_eq!(kinds(&snapshot.findings), [("n_plus_one", "candidate")]);
    // Spans of Node.js begin at whole milliseconds, so that those of one query after the other overlap.
    let What::Repeated(repetition) = &snapshot.findings[0].what else { panic!() };
    assert!(!repetition.is_concurrent);
}

#[test]
fn what_comes_twice_counts_once() {
    let mut app = App::new(Settings::default());
    for _ in 0..3 {
        app.observer.spans(&decode(CAPTURE, Format::Protobuf).unwrap(), app.now);
    }
    app.later(61);
    app.observer.spans(&decode(CAPTURE, Format::Protobuf).unwrap(), app.now);
    let snapshot = app.settled();
    assert_eq!((snapshot.all.calls, snapshot.sources.duplicates, snapshot.sources.late), (25, 75, 0));
}

/// Two instrumentations, or two sources, that tell of the same.
#[test]
fn what_two_tell_of_counts_once() {
    let mut app = App::new(Settings::default());
    let trace = app.request("/a", |trace| {
        for row in 0..4 {
            let outer = trace.query(format!("select a from t where id = {row}"), 2.0).id;
            trace.query(format!("select a from t where id = {row}"), 1.0).parent = Some(outer);
        }
    });
    let record = serde_json::json!({
        "query_text": "select a from t where id = 1", "execution_time_ms": 2,
        "traceparent": format!("00-{trace}-b7ad6b7169203331-01"),
    });
    // Five of them: one more than the spans tell of.
    app.observer.records(&records(vec![record; 5].into()), app.now);
    let snapshot = app.settled();
    assert_eq!((snapshot.all.calls, snapshot.sources.queries, snapshot.sources.duplicates), (5, [4, 1], 8));
    assert_eq!(snapshot.endpoints[0].queries_max, 5);
}

/// Of SQLAlchemy and psycopg, the spans are siblings, and exporters put those of each together.
#[test]
fn what_two_tell_of_side_by_side_counts_once() {
    let sql = |row| format!("select a from t where id = {row}");
    for (scopes, calls) in [([Some(1), Some(2)], 100), ([Some(1), Some(1)], 200), ([None, Some(2)], 200)] {
        let mut app = App::new(Settings::default());
        app.request("/a", |trace| {
            trace.each(100, 2.0, sql);
            let inner = trace.spans.clone();
            trace.spans.iter_mut().for_each(|span| span.scope = scopes[0]);
            for mut span in inner {
                (span.id, span.scope) = (trace.next_id(), scopes[1]);
                (span.start, span.end) = (span.start + 10_000, span.end - 10_000);
                trace.spans.push(span);
            }
        });
        let snapshot = app.settled();
        assert_eq!((snapshot.all.calls, snapshot.endpoints[0].queries_max), (calls, calls), "{scopes:?}");
    }
}

#[test]
fn spans_come_in_any_order() {
    let make = |trace: &mut Trace| {
        trace.query("select a from t where b = 1", 3.0);
        trace.query("select a from u where b = 1", 3.0);
    };
    // Queries first, the request's own span seconds later, the front door's request last.
    let mut app = App::new(Settings::default());
    let mut trace = app.trace();
    let (front, server) = (trace.next_id(), trace.next_id());
    trace.parent = Some(server);
    make(&mut trace);
    app.send(std::mem::take(&mut trace.spans));
    app.later(5);
    let mut span = trace.span(SpanKind::Server, 1 << 50, None);
    (span.id, span.parent) = (server, Some(front));
    app.send(vec![span]);
    app.later(5);
    let endpoint = Endpoint { method: "GET", name: "/a".into() };
    let request =
        Request { trace: Some(trace.id), span: Some(front), endpoint, took: Duration::from_millis(9), database: None };
    app.observer.request(request, app.now);
    let snapshot = app.settled();
    assert_eq!(level(&snapshot, Level::Request), 2);
    assert_eq!((snapshot.endpoints[0].requests, snapshot.endpoints[0].queries_max), (1, 2));
}

/// Without words from anybody to which request a query belongs, it belongs to none.
#[test]
fn nothing_is_guessed() {
    let mut app = App::new(Settings::default());
    // Two requests in one trace, and a query whose parents nobody tells of.
    let mut trace = app.trace();
    trace.parent = Some(trace.next_id());
    trace.query("select a from t where b = 1", 3.0);
    for name in ["/a", "/b"] {
        let span = Some(trace.next_id());
        let endpoint = Endpoint { method: "GET", name: name.into() };
        let request = Request { trace: Some(trace.id), span, endpoint, took: Duration::from_millis(9), database: None };
        app.observer.request(request, app.now);
    }
    app.send(trace.spans);
    // A query without a trace, and one of a trace that nobody knows.
    app.observer
        .records(&records(serde_json::json!({"query_text": "select 1 from t", "execution_time_ms": 1})), app.now);
    let mut other = app.trace();
    other.query("select a from t where b = 2", 3.0);
    app.send(other.spans);
    let snapshot = app.settled();
    assert_eq!(snapshot.attribution, [0, 0, 1, 2]);
    assert!(snapshot.endpoints.is_empty() && snapshot.queries.iter().all(|query| query.endpoints.is_empty()));
    assert_eq!(snapshot.shares().unwrap()[Level::Unattributed as usize], 2.0 / 3.0);
}

/// Two requests of one trace, at the same time on one pool, of which each asks a little: together they are no loop.
#[test]
fn queries_of_several_requests_are_no_loop() {
    let mut app = App::new(Settings::default());
    for _ in 0..20 {
        let mut trace = app.trace();
        for name in ["/a", "/b"] {
            let endpoint = Endpoint { method: "GET", name: name.into() };
            let took = Duration::from_millis(90);
            let request = Request { trace: Some(trace.id), span: None, endpoint, took, database: None };
            app.observer.request(request, app.now);
        }
        trace.each(8, 10.0, |row| format!("select a from t where id = {row}"));
        app.send(trace.spans);
    }
    let snapshot = app.settled();
    assert_eq!((level(&snapshot, Level::Ambiguous), snapshot.findings.len()), (160, 0));
}

/// Requests of one trace that the front door's spans tell apart.
#[test]
fn requests_of_one_trace_are_told_apart() {
    let mut app = App::new(Settings::default());
    let mut trace = app.trace();
    for (name, queries) in [("/a", 2), ("/b", 3)] {
        let (front, server) = (trace.next_id(), trace.next_id());
        trace.parent = Some(server);
        trace.each(queries, 2.0, |row| format!("select a from t where b = {row}"));
        let mut span = trace.span(SpanKind::Server, 1 << 50, None);
        (span.id, span.parent) = (server, Some(front));
        trace.spans.push(span);
        let endpoint = Endpoint { method: "GET", name: name.into() };
        let took = Duration::from_millis(9);
        let request = Request { trace: Some(trace.id), span: Some(front), endpoint, took, database: None };
        app.observer.request(request, app.now);
    }
    app.send(trace.spans);
    let found: Vec<(String, u64)> =
        app.settled().endpoints.iter().map(|of| (of.endpoint.to_string(), of.queries_max)).collect();
    assert_eq!(found, [("GET /b".to_owned(), 3), ("GET /a".to_owned(), 2)]);
}

/// A service behind the app asks its own database: that is the request's time, too.
#[test]
fn routes_are_told_of_requests_that_passed_here() {
    let mut app = App::new(Settings::default());
    let front = SpanId::new(7).unwrap();
    let spans = |trace: &mut Trace, parent: Option<SpanId>, kind: SpanKind| {
        let mut span = trace.span(kind, 1 << 50, None);
        (span.parent, span.route) = (parent, Some("/users/:id".into()));
        span.path = Some("/users/7".into());
        vec![span]
    };
    let told = |app: &App, spans: Vec<Span<'static>>| {
        let decoded = Decoded { spans, rejected: 0 };
        let routed = app.observer.spans(&decoded, app.now);
        routed.iter().map(|one| (one.route.to_owned(), one.path.to_owned(), one.name.to_string())).collect::<Vec<_>>()
    };
    let mut trace = app.trace();
    let unknown = spans(&mut trace, Some(front), SpanKind::Server);
    assert_eq!(told(&app, unknown.clone()), [], "no such request passed here");
    let endpoint = Endpoint { method: "GET", name: "/users/{id}".into() };
    let request =
        Request { trace: Some(trace.id), span: Some(front), endpoint, took: Duration::from_millis(1), database: None };
    app.observer.request(request, app.now);
    let expected = [("/users/:id".to_owned(), "/users/7".to_owned(), "/users/{id}".to_owned())];
    assert_eq!(told(&app, unknown), expected, "it came before the request ended, and again");
    let twice = [spans(&mut trace, Some(front), SpanKind::Server), spans(&mut trace, Some(front), SpanKind::Server)];
    assert_eq!(told(&app, twice.concat()), expected);
    let mut without_path = spans(&mut trace, Some(front), SpanKind::Server);
    without_path[0].path = None;
    assert_eq!(told(&app, without_path), []);
    for (parent, kind) in [
        (SpanId::new(8), SpanKind::Server),
        (None, SpanKind::Server),
        (Some(front), SpanKind::Client),
        (Some(front), SpanKind::Internal),
    ] {
        let spans = spans(&mut trace, parent, kind);
        assert_eq!(told(&app, spans), [], "{parent:?} {kind:?}");
    }
    let mut other = app.trace();
    let other = spans(&mut other, Some(front), SpanKind::Server);
    assert_eq!(told(&app, other), [], "another trace");
}

#[test]
fn queries_of_requests_are_counted_by_their_spans() {
    let mut app = App::new(Settings::default());
    app.request("/a", |trace| trace.each(3, 1.0, |n| format!("select a from t where b = {n}")));
    app.request("/b", |trace| {
        trace.query("begin", 0.1);
        trace.query("select a from t", 1.0);
        trace.query("commit", 0.1);
    });
    app.request("/c", |_| {});
    assert_eq!(app.observer.counted().len(), 0, "more may come");
    app.later(61);
    let mut counted: Vec<u32> = app.observer.counted().into_values().collect();
    counted.sort_unstable();
    assert_eq!(counted, [0, 1, 3]);
    assert_eq!(app.observer.counted().len(), 0, "they were taken");
}

#[test]
fn services_behind_belong_to_the_request() {
    let mut app = App::new(Settings::default());
    app.request("/a", |trace| {
        trace.query("select a from t where b = 1", 2.0);
        let call = trace.span(SpanKind::Client, 1 << 50, None);
        let mut service = trace.span(SpanKind::Server, 1 << 50, None);
        service.parent = Some(call.id);
        service.route = Some("/inner".into());
        trace.parent = Some(service.id);
        trace.spans.extend([call, service]);
        trace.query("select a from u where b = 1", 2.0);
    });
    let snapshot = app.settled();
    assert_eq!(
        (snapshot.endpoints.len(), snapshot.endpoints[0].requests, snapshot.endpoints[0].queries_max),
        (1, 1, 2)
    );
}

/// A job that a request left behind is in its trace, and no part of it.
#[test]
fn jobs_do_not_belong_to_the_request() {
    let mut app = App::new(Settings::default());
    app.request("/a", |trace| {
        trace.query("select a from t where b = 1", 2.0);
        let mut job = trace.span(SpanKind::Consumer, 1 << 50, None);
        job.parent = trace.parent;
        trace.parent = Some(job.id);
        trace.spans.push(job);
        trace.query("select a from u where b = 1", 2.0);
    });
    let snapshot = app.settled();
    assert_eq!((level(&snapshot, Level::Request), level(&snapshot, Level::Unattributed)), (1, 1));
    assert_eq!(snapshot.endpoints[0].queries_max, 1);
}

#[test]
fn what_comes_too_late_counts_for_the_query_alone() {
    let mut app = App::new(Settings::default());
    let trace = app.request("/a", |trace| {
        trace.query("select a from t where b = 1", 2.0);
    });
    app.later(15);
    let mut late = app.trace();
    late.id = trace;
    late.query("select a from t where b = 2", 2.0);
    app.send(late.spans);
    let snapshot = app.settled();
    assert_eq!((snapshot.sources.late, snapshot.queries[0].calls.calls), (1, 2));
    assert_eq!((snapshot.endpoints[0].requests, snapshot.endpoints[0].queries_max), (1, 1));
    assert_eq!(snapshot.queries[0].endpoints[0].1, 2);
}

#[test]
fn server_timing_counts_where_nothing_better_is_known() {
    let mut app = App::new(Settings::default());
    let said = |queries| Some(DatabaseTime { time: Some(Duration::from_millis(5)), queries: Some(queries) });
    for (name, queries) in [("/a", 4), ("/a", 8), ("/b", 9)] {
        let endpoint = Endpoint { method: "GET", name: name.into() };
        let took = Duration::from_millis(10);
        app.observer.request(Request { trace: None, span: None, endpoint, took, database: said(queries) }, app.now);
    }
    app.request("/b", |trace| {
        trace.query("select a from t where b = 1", 2.0);
    });
    let snapshot = app.settled();
    assert!(snapshot.has_source());
    let of = |name: &str| snapshot.endpoints.iter().find(|of| &*of.endpoint.name == name).unwrap();
    let a = of("/a");
    assert_eq!((a.basis, a.requests, a.queries_avg, a.queries_max), (Basis::ServerTiming, 2, 6.0, 8));
    assert_eq!(a.database_share, Some(0.5));
    assert_eq!((of("/b").basis, of("/b").requests, of("/b").queries_max), (Basis::Queries, 1, 1));
}

#[test]
fn endpoints_beyond_the_bound_are_others() {
    let mut app = App::new(Settings::default());
    for n in 0..10 {
        app.request(&format!("/of-one-query/{n}"), |trace| {
            trace.query("select a from t where b = 1", 2.0);
        });
    }
    let snapshot = app.settled();
    assert_eq!((snapshot.queries[0].endpoints.len(), snapshot.endpoints.len()), (8, 10));
    for n in 0..endpoints::MOST + 5 {
        let endpoint = Endpoint { method: "GET", name: format!("/{n}").into() };
        let database = Some(DatabaseTime { time: None, queries: Some(1) });
        app.observer.request(Request { trace: None, span: None, endpoint, took: HOUR, database }, app.now);
    }
    let snapshot = app.settled();
    let other = snapshot.endpoints.iter().find(|of| &*of.endpoint.name == "_other").unwrap();
    assert_eq!((snapshot.endpoints.len(), other.requests), (endpoints::MOST + 1, 15));
}

#[test]
fn slow_queries() {
    let mut app = App::new(Settings::default());
    let record = |text: &str, millis: u64| serde_json::json!({"query_text": text, "execution_time_ms": millis});
    let post = |app: &App, bodies: Vec<serde_json::Value>| app.observer.records(&records(bodies.into()), app.now);
    post(&app, vec![record("select a from very_slow", 2001), record("select a from on_the_line", 2000)]);
    post(&app, vec![record("select a from slow", 500); 3]);
    post(&app, vec![record("select a from once", 900)]);
    post(&app, vec![record("select a from quick", 499); 30]);
    let mut without = record("select a from without_index", 600);
    without["indexed"] = false.into();
    post(&app, vec![without]);
    let snapshot = app.settled();
    assert_eq!((snapshot.all.slow, snapshot.all.critical), (7, 1));
    let said: Vec<(String, &str, Severity)> = snapshot
        .findings
        .iter()
        .map(|finding| {
            let query = snapshot.queries.iter().find(|query| Some(query.id) == finding.query).unwrap();
            (query.tables[0].clone(), finding.what.kind(), finding.severity)
        })
        .collect();
    assert_eq!(
        said,
        [
            ("very_slow".to_owned(), "critical_query", Severity::Critical),
            ("without_index".to_owned(), "missing_index", Severity::High),
            ("slow".to_owned(), "slow_query", Severity::Warning),
        ]
    );
    assert_eq!(snapshot.all.spread.classes(), [0, 0, 0, 0, 0, 30, 5, 1, 1]);
    assert_eq!(snapshot.findings[0].impact_per_hour, Duration::from_millis(2001));
    assert!(snapshot.findings.iter().all(|finding| !finding.title().is_empty() && !finding.suggestion().is_empty()));
}

#[test]
fn windows() {
    let mut app = App::new(Settings::default());
    let post = |app: &App| {
        let body = serde_json::json!({"query_text": "select a from t", "execution_time_ms": 4, "rows_affected": 3, "query_id": "get_a"});
        app.observer.records(&records(body), app.now);
    };
    post(&app);
    app.later(7200);
    post(&app);
    post(&app);
    app.later(120);
    let calls = |minutes: u64| app.observer.snapshot(Duration::from_secs(60 * minutes), app.now).all.calls;
    assert_eq!((calls(1), calls(5), calls(60), calls(1440)), (0, 2, 2, 3));
    let snapshot = app.observer.snapshot(HOUR, app.now);
    let query = &snapshot.queries[0];
    assert_eq!((query.calls.calls, query.calls.rows, query.name.as_deref(), query.share), (2, 6, Some("get_a"), 1.0));
    assert_eq!((query.first_seen, query.last_seen), (Duration::from_secs(7320), Duration::from_secs(120)));
    app.later(2 * 86_400);
    let snapshot = app.observer.snapshot(Duration::from_secs(86_400), app.now);
    assert_eq!((snapshot.all.calls, snapshot.unique(), snapshot.bounds.queries), (0, 0, 0));
}

#[test]
fn chatty_endpoints() {
    let mut app = App::new(Settings::default());
    for _ in 0..10 {
        app.request("/a", |trace| {
            trace.each(25, 1.0, |row| format!("select a from {} where b = {row}", "t".repeat(row as usize + 1)));
        });
    }
    let snapshot = app.settled();
    assert_eq!(kinds(&snapshot.findings), [("chatty_endpoint", "confirmed")]);
    assert_eq!(snapshot.endpoints[0].queries_avg, 25.0);
    assert!(snapshot.endpoints[0].database_share.unwrap() > 0.9);
}

#[test]
fn what_is_ignored_is_not_said() {
    let id = fingerprint("select a from t where b = ?", Dialect::Postgres, &Key::default()).id;
    let said = |ignore: Vec<Fingerprint>| {
        let mut settings = Settings::default();
        settings.n_plus_one.ignore = ignore;
        let mut app = App::new(settings);
        app.request("/a", |trace| {
            trace.each(12, 3.0, |row| format!("select a from t where b = {row}"));
            trace.query("select a from t where b = 1", 2500.0);
        });
        kinds(&app.settled().findings).len()
    };
    assert_eq!((said(vec![]), said(vec![id])), (2, 0));
}

#[test]
fn settings_are_taken_up() {
    let mut app = App::new(Settings::default());
    let post = |app: &App, text: &str| {
        app.observer.records(&records(serde_json::json!({"query_text": text, "execution_time_ms": 50})), app.now);
    };
    post(&app, "select a from t");
    app.observer.set(Settings { slow: Duration::from_millis(50), store_text: false, ..Settings::default() });
    post(&app, "select a from secret_t");
    let snapshot = app.settled();
    assert_eq!(snapshot.all.slow, 1);
    let mut texts: Vec<(&str, &str)> = snapshot.queries.iter().map(|query| (&*query.text, &*query.tables[0])).collect();
    texts.sort_unstable();
    assert_eq!(texts, [("", "secret_t"), ("select a from t", "t")]);
}

/// A name of the n-th query that no value can be taken for.
fn letters(mut n: usize) -> String {
    let mut word = String::from("t");
    while n > 0 {
        word.push(char::from(b'a' + (n % 26) as u8));
        n /= 26;
    }
    word
}

#[test]
fn queries_beyond_the_bound_are_others() {
    let mut app = App::new(Settings { max_fingerprints: 100, ..Settings::default() });
    let flood = |app: &App, from: usize| {
        let all: Vec<serde_json::Value> = (from..from + 300)
            .map(|n| serde_json::json!({"query_text": format!("select a from {}", letters(n)), "execution_time_ms": 1}))
            .collect();
        app.observer.records(&records(all.into()), app.now);
    };
    flood(&app, 0);
    let snapshot = app.settled();
    assert_eq!((snapshot.unique(), snapshot.all.calls, snapshot.other.calls), (100, 300, 200));
    // Once they are idle, new ones take their place, some at a time.
    app.later(700);
    flood(&app, 1000);
    let snapshot = app.settled();
    assert!(snapshot.bounds.queries <= 100 && snapshot.bounds.queries_given_up >= 5, "{:?}", snapshot.bounds);
    assert_eq!(snapshot.all.calls, 600);
}

#[test]
fn traces_beyond_the_bound_count_for_their_queries() {
    let mut app = App::new(Settings::default());
    let mut sent = 0;
    for _ in 0..60 {
        let mut trace = app.trace();
        trace.each(2000, 0.1, |_| "select a from t where b = $1".into());
        sent += trace.spans.len() as u64;
        app.send(trace.spans);
    }
    let snapshot = app.observer.snapshot(HOUR, app.now);
    assert_eq!(snapshot.all.calls, sent);
    assert_eq!(snapshot.bounds.spans_dropped, sent - traces::MOST_PARTS as u64);
    // When they are looked at, there is room again.
    app.settled();
    app.request("/a", |trace| {
        trace.query("select a from t where b = 1", 1.0);
    });
    let snapshot = app.settled();
    assert_eq!((snapshot.endpoints.len(), snapshot.bounds.open_traces), (1, 0));
}

#[test]
fn a_trace_is_looked_at_when_it_is_settled() {
    let mut app = App::new(Settings::default());
    app.request("/a", |trace| {
        trace.query("select a from t where b = 1", 1.0);
    });
    let open = |app: &App| app.observer.snapshot(HOUR, app.now).bounds.open_traces;
    app.later(9);
    assert_eq!(open(&app), 1);
    app.later(1);
    assert_eq!(open(&app), 0);
    // Of one whose request is not known, more may come for a minute.
    let mut trace = app.trace();
    trace.query("select a from t where b = 1", 1.0);
    app.send(trace.spans);
    app.later(59);
    assert_eq!(open(&app), 1);
    app.later(1);
    assert_eq!(open(&app), 0);
}

#[test]
fn comments_name_the_trace_of_a_record() {
    let mut app = App::new(Settings::default());
    let trace = app.request("/a", |trace| {
        trace.query("select b from u where c = 1", 1.0);
    });
    let text = format!("select a from t /*traceparent='00-{trace}-b7ad6b7169203331-01'*/");
    app.observer.records(&records(serde_json::json!({"query_text": text, "execution_time_ms": 1})), app.now);
    assert_eq!(level(&app.settled(), Level::Request), 2);
}

/// No value is in anything that can be seen, whatever the dialect and the source.
#[test]
fn no_value_is_kept() {
    let mut app = App::new(Settings::default());
    let secret = "jqxzjqxz";
    app.request("/a", |trace| {
        for dialect in [Dialect::Postgres, Dialect::MySql, Dialect::Sqlite, Dialect::Unknown] {
            trace.dialect = dialect;
            for text in [
                format!("select a from t where b = '{secret}'"),
                format!("select a from t where b = '{secret}"),
                format!("insert into t values ('{secret}', '{secret}'), (1, '{secret}')"),
                format!("select a from t /* {secret} */ -- {secret}"),
                format!("select a from t where where b = '{secret}'"),
            ] {
                trace.query(text, 3000.0);
            }
        }
    });
    let body = serde_json::json!({"query_text": format!("select '{secret}'"), "execution_time_ms": 1});
    app.observer.records(&records(body), app.now);
    let snapshot = app.settled();
    assert!(snapshot.unique() > 3 && !snapshot.findings.is_empty());
    let shown = format!("{snapshot:?} {:?}", app.observer);
    assert!(!shown.contains(&secret[..4]), "{shown}");
}

#[test]
fn masked_names_are_nowhere() {
    let mask_identifiers = vec![Mask::new("tenant_*").unwrap()];
    let mut app = App::new(Settings { mask_identifiers, ..Settings::default() });
    app.request("/a", |trace| {
        for tenant in ["tenant_1", "\"tenant_2\"", "TENANT_3"] {
            trace.query(format!("select a from {tenant}.users where tenant_id = 1"), 1.0);
        }
        let span = trace.query("((", 1.0);
        span.database.as_mut().unwrap().table = Some("tenant_4.users".into());
    });
    // Another configuration does not show what was hidden.
    app.observer.set(Settings::default());
    app.observer.records(
        &records(serde_json::json!({
            "query_text": "call ((", "execution_time_ms": 1, "table": "tenant_5", "query_id": "users of tenant_6"
        })),
        app.now,
    );
    let snapshot = app.settled();
    let shown = format!("{snapshot:?}").to_lowercase();
    assert!(!(1..=6).any(|n| shown.contains(&format!("tenant_{n}"))), "{shown}");
    let users = snapshot.queries.iter().find(|query| query.calls.calls == 3).expect("three of one query");
    assert_eq!(&*users.text, "select a from masked.users where masked = ?");
    assert_eq!(*users.tables, ["masked.users"]);
    let tables: Vec<&[String]> = snapshot.queries.iter().map(|query| &*query.tables).collect();
    assert!(tables.contains(&&["masked".to_owned()][..]), "{tables:?}");
    assert!(snapshot.queries.iter().any(|query| query.name.as_deref() == Some("users of masked")));
}

#[test]
fn nothing_is_known_of_nothing() {
    let observer = Observer::new(Settings::default(), Instant::now());
    observer.spans(&Decoded::default(), Instant::now());
    let snapshot = observer.snapshot(HOUR, Instant::now());
    assert!(!snapshot.has_source() && snapshot.findings.is_empty() && snapshot.shares().is_none());
    assert!(inflate(b"").is_err());
}

/// Threads that hand in at the same time lose nothing.
#[test]
fn threads_lose_nothing() {
    let observer = Observer::new(Settings::default(), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let body = serde_json::json!({"query_text": "select a from t", "execution_time_ms": 1});
                    observer.records(&records(body), Instant::now());
                    let endpoint = Endpoint { method: "GET", name: "/a".into() };
                    let database = Some(DatabaseTime { time: None, queries: Some(1) });
                    let took = Duration::from_millis(1);
                    observer.request(Request { trace: None, span: None, endpoint, took, database }, Instant::now());
                }
            });
        }
    });
    let snapshot = observer.snapshot(HOUR, Instant::now());
    assert_eq!((snapshot.all.calls, snapshot.sources.server_timings, snapshot.endpoints[0].requests), (200, 200, 200));
}

/// The arithmetic of the module's page, in bytes.
#[test]
fn tables_take_what_is_said() {
    use std::mem::size_of;
    assert!(size_of::<traces::Asking>() <= 140, "{}", size_of::<traces::Asking>());
    assert!(size_of::<asked::Asked>() + 32 + 64 <= 152, "{}", size_of::<asked::Asked>());
    assert!(size_of::<(u64, endpoints::Requests)>() <= 152, "{}", size_of::<(u64, endpoints::Requests)>());
    assert!(size_of::<(u64, evidence::Seen)>() <= 48, "{}", size_of::<(u64, evidence::Seen)>());
}
