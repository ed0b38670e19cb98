//! Bodies that real exporters sent, of a Flask app with psycopg and a node app with pg: `tests/data/otlp`.

use super::{
    super::fingerprint::{Dialect, normalise},
    *,
};

macro_rules! body {
    ($name:literal) => {
        include_bytes!(concat!("../../../tests/data/otlp/", $name))
    };
}

const PYTHON: [(&str, &[u8], Format); 4] = [
    ("defaults", body!("py_psycopg_proto_default.bin"), Format::Protobuf),
    ("new names", body!("py_psycopg_proto_stable.bin"), Format::Protobuf),
    ("without comments", body!("py_psycopg_nocomment_proto.bin"), Format::Protobuf),
    ("JSON", body!("py_psycopg_json_stable.json"), Format::Json),
];
const NODE: [(&str, &[u8], Format); 2] = [
    ("JSON", body!("node_pg_json_default.json"), Format::Json),
    ("protobuf", body!("node_pg_proto_stable.bin"), Format::Protobuf),
];

/// The last hexadecimal digits of the trace, the route, and the shapes of its queries in their order.
fn traces(body: &[u8], format: Format) -> Vec<(String, Option<String>, Vec<String>)> {
    let decoded = decode(body, format).unwrap();
    assert_eq!(decoded.rejected, 0);
    let servers = decoded.spans.iter().filter(|span| span.kind == SpanKind::Server);
    let of = |server: &Span<'_>| {
        let within = decoded.spans.iter().filter(|span| span.parent == Some(server.id));
        let mut queries: Vec<(u64, String)> = within
            .filter_map(|span| {
                let (database, text) = span.query()?;
                assert_eq!((database.dialect, span.trace), (Dialect::Postgres, server.trace));
                assert!(span.start >= server.start && span.duration().as_millis() < 100);
                Some((span.start, normalise(text, database.dialect)))
            })
            .collect();
        queries.sort();
        let trace = server.trace.to_string()[28..].to_owned();
        (trace, server.route.as_deref().map(String::from), queries.into_iter().map(|(_, text)| text).collect())
    };
    servers.map(of).collect()
}

#[test]
fn python() {
    let name = "select name from customers where id = ?";
    let orders = "select id, customer_id, total from orders where id > ? order by id limit ?";
    let expected: Vec<(&str, &str, Vec<&str>)> = vec![
        ("a001", "/items/<int:i>", vec!["select id, name, email from customers where id = ?"]),
        ("a002", "/orders", [&[orders][..], &[name; 12]].concat()),
        ("a003", "/report", vec!["select sku, sum(qty) from order_items where order_id = ? group by sku"]),
        ("a004", "/redundant", vec![name; 6]),
        (
            "a005",
            "/tx",
            vec![
                "select id from orders where id = ? for update",
                "update orders set status = ? where id = ?",
                "insert into order_items(order_id, sku, qty) values (?)",
            ],
        ),
        ("a006", "/error", vec!["select nope from customers where email = ?"]),
    ];
    for (case, body, format) in PYTHON {
        // The first was the probe that waited for the app.
        let found = traces(body, format).split_off(1);
        let found: Vec<(&str, &str, Vec<&str>)> = found
            .iter()
            .map(|(trace, route, queries)| {
                (&**trace, route.as_deref().unwrap(), queries.iter().map(String::as_str).collect())
            })
            .collect();
        assert_eq!(found, expected, "{case}");
    }
}

#[test]
fn node() {
    let name = "select name from customers where id = ?";
    let expected: Vec<(&str, Vec<&str>)> = vec![
        ("c001", [&["select id, customer_id from orders where id > ? order by id limit ?"][..], &[name; 12]].concat()),
        ("c002", vec![name]),
        ("c003", vec!["select name from customers where email = ? and id < ?"]),
        ("c004", vec!["select nope from customers"]),
    ];
    for (case, body, format) in NODE {
        let found = traces(body, format).split_off(1);
        let found: Vec<(&str, Vec<&str>)> =
            found.iter().map(|(trace, _, queries)| (&**trace, queries.iter().map(String::as_str).collect())).collect();
        assert_eq!(found, expected, "{case}");
        // Connecting, and waiting for a connection, are spans of the database without a statement.
        let decoded = decode(body, format).unwrap();
        let waits = |span: &&Span<'_>| span.database.as_ref().is_some_and(|database| database.text.is_none());
        assert!(decoded.spans.iter().filter(waits).count() > 12, "{case}");
    }
}

#[test]
fn errors_are_known_and_their_messages_are_not_read() {
    for (case, body, format) in PYTHON.into_iter().chain(NODE) {
        let decoded = decode(body, format).unwrap();
        let failed: Vec<&Span<'_>> = decoded.spans.iter().filter(|span| span.is_error).collect();
        assert_eq!(failed.len(), 1, "{case}");
        let shown = format!("{decoded:?}");
        assert!(!shown.contains("UndefinedColumn") && !shown.contains("does not exist"), "{case}");
    }
}

/// Every cut of a body is refused or read, and never more spans than there are.
#[test]
fn cut_bodies() {
    for (case, body, format) in PYTHON.into_iter().chain(NODE) {
        let whole = decode(body, format).unwrap().spans.len();
        for end in 0..body.len() {
            if let Ok(decoded) = decode(&body[..end], format) {
                assert!(decoded.spans.len() <= whole, "{case}");
                assert!(format == Format::Protobuf, "{case}: JSON that is cut is no JSON");
            }
        }
    }
}

/// Spans are of the framework's instrumentation, or of the driver's.
#[test]
fn instrumentations_are_told_apart() {
    for (name, body, format) in [PYTHON[0], PYTHON[3], NODE[0], NODE[1]] {
        let decoded = decode(body, format).unwrap();
        let of = |is_server: bool| {
            let spans = decoded.spans.iter().filter(move |span| (span.kind == SpanKind::Server) == is_server);
            let mut scopes: Vec<u64> = spans.map(|span| span.scope.expect("it has a name")).collect();
            scopes.dedup();
            scopes
        };
        let (servers, queries) = (of(true), of(false));
        assert!(servers.len() == 1 && queries.len() == 1 && servers != queries, "{name}: {servers:?} {queries:?}");
    }
}
