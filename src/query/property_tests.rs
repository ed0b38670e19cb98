//! What must hold whatever comes in whichever order: nothing is lost, nothing counts twice, and nothing stays.

use std::{collections::HashSet, time::Duration};

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    fingerprint::{Dialect, Key, fingerprint},
    fixture::App,
    otlp::{Database, Decoded, Span, SpanKind},
    record::Record,
    trace::{SpanId, TraceId},
    *,
};

const DAY: Duration = Duration::from_secs(86_400);

/// Something that happens to an observer.
#[derive(Clone, Debug)]
enum Event {
    Span(Span<'static>),
    Record(Record),
    Request(Request),
    Wait(u64),
}

fn trace_id() -> impl Strategy<Value = TraceId> {
    (1u128..4).prop_map(|id| TraceId::new(id).unwrap())
}

/// Few, so that spans are sent twice, and are each other's parents.
fn span_id() -> impl Strategy<Value = SpanId> {
    (1u64..12).prop_map(|id| SpanId::new(id).unwrap())
}

fn text() -> impl Strategy<Value = String> {
    let texts = [
        "select a from t where b = 1",
        "select a from t where b = $1",
        "insert into t values (1)",
        "begin",
        "select 'open",
    ];
    select(texts.map(String::from).to_vec())
}

fn span() -> impl Strategy<Value = Span<'static>> {
    use SpanKind::{Client, Consumer, Internal, Server};
    let kind = select(vec![Client, Client, Client, Server, Consumer, Internal]);
    let database = proptest::option::of((proptest::option::of(text()), proptest::option::of(0u64..3)));
    let parts = (
        trace_id(),
        span_id(),
        proptest::option::of(span_id()),
        kind,
        any::<u32>(),
        any::<u32>(),
        any::<bool>(),
        database,
    );
    parts.prop_map(|(trace, id, parent, kind, start, took, is_error, database)| Span {
        trace,
        id,
        parent,
        kind,
        start: start.into(),
        end: u64::from(start) + u64::from(took),
        is_error,
        scope: None,
        route: is_error.then(|| "/route".into()),
        path: is_error.then(|| "/route".into()),
        method: None,
        database: database.map(|(text, sent)| Database {
            dialect: Dialect::Postgres,
            text: text.map(Into::into),
            sent,
            ..Database::default()
        }),
    })
}

fn event() -> impl Strategy<Value = Event> {
    let record =
        (text(), 0u64..3000, proptest::option::of((trace_id(), span_id()))).prop_map(|(text, millis, parent)| Record {
            text,
            took: Duration::from_millis(millis),
            name: None,
            rows: None,
            indexed: None,
            table: None,
            parent,
        });
    let request =
        (proptest::option::of(trace_id()), proptest::option::of(span_id()), 0u64..3).prop_map(|(trace, span, name)| {
            let endpoint = Endpoint { method: "GET", name: format!("/{name}").into() };
            Request { trace, span, endpoint, took: Duration::from_millis(9), database: None }
        });
    prop_oneof![
        8 => span().prop_map(Event::Span),
        2 => record.prop_map(Event::Record),
        2 => request.prop_map(Event::Request),
        1 => (0u64..200).prop_map(Event::Wait),
    ]
}

proptest! {
    #[test]
    fn books_balance(events in vec(event(), 0..120)) {
        let mut app = App::new(Settings { max_fingerprints: 3, ..Settings::default() });
        let (key, mut sent, mut waited) = (Key::default(), 0u64, 0);
        let mut counted: HashSet<(TraceId, SpanId)> = HashSet::new();
        let mut waiting = 0u64;
        for event in events {
            match event {
                Event::Span(span) => {
                    let is_query = span.query().is_some_and(|(_, text)| fingerprint(text, Dialect::Postgres, &key).counts());
                    sent += u64::from(span.query().is_some());
                    if counted.insert((span.trace, span.id)) && is_query {
                        waiting += 1;
                    }
                    app.observer.spans(&Decoded { spans: vec![span], rejected: 0 }, app.now);
                }
                Event::Record(record) => {
                    sent += 1;
                    waiting += u64::from(fingerprint(&record.text, Dialect::Unknown, &key).counts());
                    app.observer.records(&[record], app.now);
                }
                Event::Request(request) => app.observer.request(request, app.now),
                Event::Wait(seconds) => {
                    waited += seconds;
                    app.later(seconds);
                }
            }
        }
        app.settled();
        prop_assume!(waited < 80_000);
        let snapshot = app.observer.snapshot(DAY, app.now);
        let of_queries: u64 = snapshot.queries.iter().map(|query| query.calls.calls).sum();
        let told = of_queries + snapshot.other.calls;
        prop_assert!(told == snapshot.all.calls || told < snapshot.all.calls && snapshot.bounds.queries_given_up > 0);
        prop_assert_eq!(snapshot.sources.queries.iter().sum::<u64>(), snapshot.all.calls);
        prop_assert_eq!(snapshot.all.calls + snapshot.sources.duplicates, sent);
        // Every query that counts has a level, and only once.
        let levels: u64 = snapshot.attribution.iter().sum();
        prop_assert!(levels <= waiting && levels + snapshot.sources.duplicates >= waiting, "{levels} of {waiting}");
        // What is known of requests is not more than there was.
        let of_requests: f64 = snapshot.endpoints.iter().map(|of| of.queries_avg * of.requests as f64).sum();
        let [request, route, ..] = snapshot.attribution;
        prop_assert!(of_requests <= (request + route) as f64 + 1e-6);
        prop_assert_eq!((snapshot.bounds.open_traces, snapshot.bounds.open_spans), (0, 0));
        prop_assert!(snapshot.unique() <= 3);
        prop_assert!(snapshot.shares().is_none_or(|shares| (shares.iter().sum::<f64>() - 1.0).abs() < 1e-9));
        prop_assert!(snapshot.queries.iter().all(|query| (0.0..=1.0).contains(&query.share)));
    }
}
