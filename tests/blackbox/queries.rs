//! The app's database queries, as its spans, its `Server-Timing` and its records tell of them.

use std::fs;

use serde_json::{Value, json};

use crate::{
    apps::{Program, source},
    common::{Answer, Client, Origin, Received, Request, Sidecar, get, ok, post, within},
};

const OPTIMIZATION: &str = "/performance/query/optimization?limit=100";
const OTLP: &str = "[query.otlp]\nlisten = \"127.0.0.1:0\"";

/// Sends a body to the receiver.
async fn export(sidecar: &Sidecar, request: Request) -> Answer {
    Client::connect(sidecar.otlp_addr()).await.send(request).await
}

fn spans(content_type: &str, body: impl AsRef<[u8]>) -> Request {
    post("/v1/traces", body).header("Content-Type", content_type)
}

/// What the field says of the trace and the parent.
fn ids(received: &Received) -> (String, String) {
    let traceparent = received.field("traceparent").expect("each request to the app has one");
    let mut parts = traceparent.split('-').skip(1).map(str::to_owned);
    (parts.next().expect("a trace"), parts.next().expect("a parent"))
}

/// What is known once so many queries are joined to their requests.
async fn joined(sidecar: &Sidecar, queries: u64) -> Value {
    let of = |row: &Value| row["requests"].as_f64().unwrap() * row["queries_per_request"]["avg"].as_f64().unwrap();
    known(sidecar, format!("{queries} queries with their requests"), |endpoints| {
        endpoints.iter().map(of).sum::<f64>().round() >= queries as f64
    })
    .await
}

/// What is known once enough is known of the endpoints: it is looked at with each event of the dashboard, once a second.
pub(crate) async fn known(sidecar: &Sidecar, what: String, is_enough: impl Fn(&[Value]) -> bool) -> Value {
    let mut client = Client::connect(sidecar.admin_addr()).await;
    let mut stream = client.begin(get("/performance/stream")).await;
    within(what, async {
        loop {
            let so_far = stream.so_far().body.len();
            stream.at_least(so_far + 1).await;
            let known = sidecar.admin_get(OPTIMIZATION).await;
            if is_enough(known["endpoints"].as_array().unwrap()) {
                return known;
            }
        }
    })
    .await
}

#[tokio::test]
async fn spans_are_joined_to_the_requests_that_they_were_for() {
    let origin = Origin::new().otherwise(ok("rows")).start().await;
    let masks = "[query]\nmask_identifiers = [\"tenant_*\"]";
    let sidecar = Sidecar::in_front_of(&origin).config(masks).config(OTLP).start().await;
    let orders = ["ada", "grace", "edsger"];
    for order in orders {
        sidecar.get(&format!("/orders/{order}")).await.assert_status(200);
    }
    for (nth, received) in origin.log().iter().enumerate() {
        let (trace, parent) = ids(received);
        let start = 1_700_000_000_000_000_000_u64;
        let span = |id: String, parent: String, kind: u8, from: u64, to: u64, attributes: Value| {
            json!({
                "traceId": trace, "spanId": id, "parentSpanId": parent, "name": "x", "kind": kind,
                "startTimeUnixNano": (start + from).to_string(), "endTimeUnixNano": (start + to).to_string(),
                "attributes": attributes,
            })
        };
        let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
        let server = format!("{:016x}", 0xa000 + nth);
        let path = format!("/orders/{}", orders[nth]);
        let routed = json!([text("http.route", "/orders/:number"), text("url.path", &path)]);
        let mut all = vec![span(server.clone(), parent, 2, 0, 90_000_000, routed)];
        all.extend((0..8_u64).map(|item| {
            let statement = format!("SELECT * FROM tenant_{item}.items WHERE id = {item} AND owner = 'ada lovelace'");
            let attributes = json!([text("db.system", "postgresql"), text("db.statement", &statement)]);
            let at = 1_000_000 + item * 10_000_000;
            span(
                format!("{:016x}", 0xb000 + nth as u64 * 100 + item),
                server.clone(),
                3,
                at,
                at + 8_000_000,
                attributes,
            )
        }));
        let body = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": all }] }] });
        let answer = export(&sidecar, spans("application/json", body.to_string())).await;
        answer.assert_status(200).assert_body("{}");
    }
    let all = joined(&sidecar, 24).await;
    assert_eq!((&all["total_queries"], &all["unique_queries"]), (&json!(24), &json!(1)), "{all:#}");
    assert_eq!(all["attribution"]["request"], 100.0, "{all:#}");
    let found = &all["recommendations"][0];
    assert_eq!((&found["type"], &found["endpoint"]), (&json!("n_plus_one"), &json!("/orders/{number}")), "{all:#}");
    assert_eq!(found["evidence"]["per_request_max"], 8);
    assert!(!all.to_string().contains("lovelace") && !all.to_string().contains("tenant_"), "{all:#}");
    assert_eq!(all["top_queries"][0]["tables"], json!(["masked.items"]), "{all:#}");
    let insights = sidecar.admin_get("/performance/profile/insights").await;
    let told = insights["findings"].as_array().unwrap().iter().find(|finding| finding["kind"] == "n_plus_one");
    let told = told.unwrap_or_else(|| panic!("{insights:#}"));
    assert_eq!(told["endpoint"], json!({ "method": "GET", "endpoint": "/orders/{number}" }), "{told:#}");
    // What came before the route was known is counted with what comes later.
    sidecar.get("/orders/barbara").await.assert_status(200);
    let slowest = sidecar.admin_get("/performance/profile/slowest").await;
    let row = &slowest["endpoints"][0];
    assert_eq!((&row["endpoint"], &row["requests"]), (&json!("/orders/{number}"), &json!(4)), "{slowest:#}");
    assert_eq!(slowest["endpoints_total"], 1, "{slowest:#}");
    // Of the last one nothing was told.
    let mut queries: Vec<Option<u64>> =
        slowest["requests"].as_array().unwrap().iter().map(|request| request["queries"].as_u64()).collect();
    queries.sort_unstable();
    assert_eq!(queries, [None, Some(8), Some(8), Some(8)], "{slowest:#}");
    assert_eq!(slowest["endpoints"][0]["queries_per_request"], json!({ "avg": 8.0, "max": 8 }), "{slowest:#}");
}

#[tokio::test]
async fn bodies_of_real_exporters_are_taken() {
    let origin = Origin::new().start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(OTLP).start().await;
    let mut total = 0;
    for (name, content_type) in [
        ("node_pg_json_default.json", "application/json"),
        ("node_pg_proto_stable.bin", "application/x-protobuf"),
        ("py_psycopg_proto_default.bin", "application/x-protobuf; charset=binary"),
        ("py_psycopg_json_stable.json", "application/json"),
    ] {
        let body = fs::read(source("tests/data/otlp").join(name)).unwrap();
        let answer = export(&sidecar, spans(content_type, &body)).await;
        answer.assert_status(200);
        assert_eq!(answer.field("content-type"), content_type.split(';').next(), "{name}");
        let queries = sidecar.admin_get(OPTIMIZATION).await["sources"]["otlp"]["spans"].as_u64().unwrap();
        assert!(queries > total, "{name}");
        total = queries;
        // The same again is no more queries.
        let counted = async || sidecar.metric("pacecar_query_calls_total{source=\"otlp\"}").await;
        let before = counted().await;
        export(&sidecar, spans(content_type, &body)).await.assert_status(200);
        assert_eq!(counted().await, before, "{name}");
    }
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_as_exporters_know_it() {
    let origin = Origin::new().start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(OTLP).start().await;
    let bomb = {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 40 << 20), &mut gzip).unwrap();
        gzip.finish().unwrap()
    };
    for (request, status) in [
        (spans("text/plain", "{}"), 415),
        (post("/v1/traces", "{}"), 415),
        (spans("application/json", "{}").header("Content-Encoding", "br"), 415),
        (spans("application/json", "{"), 400),
        (spans("application/x-protobuf", [0xff_u8; 40]), 400),
        (spans("application/json", "no gzip").header("Content-Encoding", "gzip"), 400),
        (spans("application/x-protobuf", bomb).header("Content-Encoding", "gzip"), 413),
        (spans("application/json", vec![b' '; (8 << 20) + 1]), 413),
        (post("/v1/metrics", "{}").header("Content-Type", "application/json"), 404),
        (post("/v1/logs", "{}").header("Content-Type", "application/json"), 404),
        (get("/v1/traces"), 405),
        (get("/performance/dashboard"), 404),
    ] {
        export(&sidecar, request).await.assert_status(status);
    }
    export(&sidecar, spans("application/json", "{}")).await.assert_status(200).assert_body("{}");
    export(&sidecar, spans("application/x-protobuf", "")).await.assert_status(200).assert_body("");
}

#[tokio::test]
async fn everything_goes_on_untouched_to_the_collector() {
    let collector = Origin::new()
        .otherwise(|received: &Received| ok(&received.target).header("Content-Type", "application/json"))
        .start()
        .await;
    let origin = Origin::new().start().await;
    let forward = format!("{OTLP}\nforward_to = \"http://{}/base/\"", collector.address());
    let sidecar = Sidecar::in_front_of(&origin).config(&forward).start().await;
    let body = fs::read(source("tests/data/otlp/node_pg_proto_stable.bin")).unwrap();
    for path in ["/v1/traces", "/v1/metrics", "/v1/logs"] {
        let request =
            post(path, &body).header("Content-Type", "application/x-protobuf").header("Authorization", "Bearer x");
        let answer = export(&sidecar, request).await;
        answer.assert_status(200).assert_body(format!("/base{path}"));
        let received = collector.log().pop().expect("it was sent on");
        assert_eq!(received.body, body, "{path}");
        assert_eq!(received.field("authorization"), Some("Bearer x"));
        assert_eq!(received.field("content-type"), Some("application/x-protobuf"));
    }
    assert!(sidecar.metric("pacecar_query_calls_total{source=\"otlp\"}").await > 0.0);
    collector.stop().await;
    export(&sidecar, spans("application/x-protobuf", &body)).await.assert_status(502);
}

#[tokio::test]
async fn trace_of_a_client_goes_on_and_without_listening_nothing_is_added() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traceparent = format!("00-{trace}-00f067aa0ba902b7-00");
    let asked = || get("/").header("traceparent", &traceparent).header("tracestate", "a=b");
    let origin = Origin::new().start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(OTLP).start().await;
    sidecar.send(asked()).await;
    sidecar.send(get("/").header("tracestate", "a=b")).await;
    let [with, without] = &origin.log()[..] else { panic!("two requests") };
    let (same, parent) = ids(with);
    assert_eq!((&*same, with.field("tracestate")), (trace, Some("a=b")));
    assert!(parent != "00f067aa0ba902b7" && with.field("traceparent").unwrap().ends_with("-00"));
    let (own, _) = ids(without);
    assert!(own != trace && without.field("traceparent").unwrap().ends_with("-01"));
    assert_eq!(without.field("tracestate"), None, "it is about a trace that is not there");

    let origin = Origin::new().start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.send(asked()).await;
    sidecar.get("/").await;
    let [with, without] = &origin.log()[..] else { panic!("two requests") };
    assert_eq!(with.field("traceparent"), Some(&*traceparent));
    assert_eq!(without.field("traceparent"), None);
}

#[tokio::test]
async fn server_timing_of_the_demo_is_read() {
    let demo = Program::demo();
    let sidecar = Sidecar::in_front_of(&demo).start().await;
    for _ in 0..10 {
        sidecar.get("/n-plus-one").await.assert_status(200);
    }
    let all = joined(&sidecar, 110).await;
    assert_eq!(all["sources"]["server_timing"]["responses"], 10, "{all:#}");
    let row = &all["endpoints"][0];
    assert_eq!((&row["endpoint"], &row["basis"]), (&json!("/n-plus-one"), &json!("server_timing")), "{all:#}");
    assert_eq!(row["queries_per_request"], json!({ "avg": 11.0, "max": 11 }), "{all:#}");
    let slowest = sidecar.admin_get("/performance/profile/slowest").await;
    assert_eq!(slowest["requests"][0]["queries"], 11, "{slowest:#}");
    let insights = sidecar.admin_get("/performance/profile/insights").await;
    assert!(insights["findings"].as_array().unwrap().iter().any(|found| found["id"] == "many_queries:GET /n-plus-one"));
}
