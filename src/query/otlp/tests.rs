//! Spans in tables: what instrumentations write, in both forms.

use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

use super::{super::fingerprint::Dialect, *};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// A request with one span, in JSON.
fn body(attributes: Value, more: Value) -> String {
    let mut span = json!({
        "traceId": TRACE, "spanId": SPAN, "kind": 3, "startTimeUnixNano": "1000", "endTimeUnixNano": 3000,
        "attributes": attributes,
    });
    span.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": [span]}]}]}).to_string()
}

fn attribute(name: &str, value: Value) -> Value {
    json!({"key": name, "value": value})
}

fn text(name: &str, value: &str) -> Value {
    attribute(name, json!({"stringValue": value}))
}

fn one(body: &str) -> Span<'_> {
    decode(body.as_bytes(), Format::Json).unwrap().spans.remove(0)
}

#[test]
fn names_old_and_new() {
    let old = [text("db.system", "mysql"), text("db.statement", "select 1"), text("db.sql.table", "a")];
    let new =
        [text("db.system.name", "postgresql"), text("db.query.text", "select 2"), text("db.collection.name", "b")];
    let both = [&old[..], &new].concat();
    let turned: Vec<Value> = both.iter().rev().cloned().collect();
    for (attributes, dialect, query, table) in [
        (&old[..], Dialect::MySql, "select 1", "a"),
        (&new, Dialect::Postgres, "select 2", "b"),
        (&both, Dialect::Postgres, "select 2", "b"),
        (&turned, Dialect::Postgres, "select 2", "b"),
    ] {
        let body = body(attributes.into(), json!({}));
        let span = one(&body);
        let (database, found) = span.query().unwrap();
        assert_eq!((database.dialect, found, database.table.as_deref()), (dialect, query, Some(table)));
    }
}

#[test]
fn routes_and_paths() {
    for (attributes, path) in [
        (vec![text("url.path", "/users/7")], Some("/users/7")),
        (vec![text("http.target", "/users/7?name=ada#top")], Some("/users/7")),
        (vec![text("http.url", "http://app:3000/users/7?name=ada")], Some("/users/7")),
        (vec![text("http.url", "http://app:3000")], None),
        (vec![text("http.target", "/to?at=http://app/x"), text("http.url", "http://app/other")], Some("/to")),
        (vec![text("http.target", "/to/http://app/x")], Some("/to/http://app/x")),
        (
            vec![text("http.url", "http://app/other"), text("http.target", "/old"), text("url.path", "/new")],
            Some("/new"),
        ),
        (vec![text("url.path", "/new"), text("http.target", "/old")], Some("/new")),
        (vec![text("url.path", "users")], None),
        (vec![text("url.path", "/a\nb")], None),
        (vec![text("url.path", &format!("/{}", "a".repeat(256)))], None),
        (vec![text("url.path", ""), attribute("url.path", json!({"intValue": 7}))], None),
    ] {
        let body = body(attributes.clone().into(), json!({"kind": 2}));
        assert_eq!(one(&body).path.as_deref(), path, "{attributes:?}");
    }
    for (length, is_taken) in [(512, true), (513, false), (0, false)] {
        let route = "a".repeat(length);
        let body = body(json!([text("http.route", &route)]), json!({"kind": 2}));
        assert_eq!(one(&body).route.as_deref(), Some(&*route).filter(|_| is_taken), "{length}");
    }
}

#[test]
fn instrumentations_are_told_apart() {
    let scope = |scopes: Value| {
        let body = body(json!([]), json!({})).replacen("{\"scope\":{}", &format!("{{\"scope\":{scopes}"), 1);
        one(&body).scope
    };
    let (one, other) = (scope(json!({"name": "pg"})), scope(json!({"name": "psycopg", "version": "1"})));
    assert!(one.is_some() && other.is_some() && one != other);
    for nameless in [json!({}), Value::Null, json!({"name": ""}), json!({"name": null})] {
        assert_eq!(scope(nameless), None);
    }
    let after = body(json!([]), json!({})).replace("\"scope\":{},", "");
    let after = after.replace("}]}]}]}", "}],\"scope\":{\"name\":\"pg\"}}]}]}");
    assert_eq!(self::one(&after).scope, one, "{after}");
}

#[test]
fn what_is_a_query() {
    let system = |name: &str| text("db.system", name);
    let query = text("db.statement", "select 1");
    for (attributes, kind, is_query) in [
        (vec![system("sqlite"), query.clone()], json!(3), true),
        (vec![system("sqlite"), query.clone()], json!("SPAN_KIND_CLIENT"), true),
        (vec![system("sqlite"), query.clone()], json!(1), true),
        (vec![system("sqlite"), query.clone()], json!(2), false),
        (vec![system("sqlite")], json!(3), false),
        (vec![query.clone()], json!(3), false),
        (vec![system("redis"), text("db.statement", "GET user:alice")], json!(3), false),
        (vec![system("mongodb"), query.clone()], json!(3), false),
        (vec![system("sqlite"), text("db.statement", " ")], json!(3), false),
    ] {
        let body = body(attributes.clone().into(), json!({"kind": kind}));
        assert_eq!(one(&body).query().is_some(), is_query, "{attributes:?} {kind}");
    }
}

#[test]
fn numbers_come_as_numbers_and_as_strings() {
    for (value, rows) in [
        (json!({"intValue": 7}), Some(7)),
        (json!({"intValue": "7"}), Some(7)),
        (json!({"intValue": 7.0}), Some(7)),
        (json!({"stringValue": "7"}), Some(7)),
        (json!({"intValue": -7}), None),
        (json!({"boolValue": true}), None),
        (json!({"arrayValue": {"values": [{"intValue": 7}]}}), None),
        (json!({"laterValue": {"a": [[]]}}), None),
        (json!({}), None),
        (Value::Null, None),
    ] {
        let body = body(
            json!([text("db.system", "sqlite"), attribute("db.response.returned_rows", value.clone())]),
            json!({}),
        );
        assert_eq!(one(&body).database.unwrap().rows, rows, "{value}");
    }
}

#[test]
fn times_ids_and_errors() {
    let times = |more: Value| {
        let body = body(json!([]), more);
        let span = one(&body);
        (span.start, span.end, span.parent.map(|parent| parent.to_string()), span.is_error)
    };
    let parent = Some(SPAN.to_owned());
    for (more, expected) in [
        (json!({}), (1000, 3000, None, false)),
        (json!({"parentSpanId": SPAN}), (1000, 3000, parent.clone(), false)),
        (json!({"parentSpanId": SPAN.to_uppercase()}), (1000, 3000, parent, false)),
        (json!({"parentSpanId": ""}), (1000, 3000, None, false)),
        (json!({"endTimeUnixNano": "5"}), (1000, 1000, None, false)),
        (json!({"status": {"code": 2, "message": "x"}}), (1000, 3000, None, true)),
        (json!({"status": {"code": "STATUS_CODE_ERROR"}}), (1000, 3000, None, true)),
        (json!({"status": {"code": 1}}), (1000, 3000, None, false)),
        (json!({"status": {}}), (1000, 3000, None, false)),
        (json!({"attributes": [text("error.type", "42P01")]}), (1000, 3000, None, true)),
        (json!({"attributes": null, "status": null, "parentSpanId": null}), (1000, 3000, None, false)),
    ] {
        assert_eq!(times(more.clone()), expected, "{more}");
    }
    for wrong in [json!({"traceId": "0".repeat(32)}), json!({"traceId": "xyz"}), json!({"spanId": ""})] {
        let body = body(json!([]), wrong);
        let decoded = decode(body.as_bytes(), Format::Json).unwrap();
        assert_eq!((decoded.spans.len(), decoded.rejected), (0, 1));
    }
}

#[test]
fn sent_values_are_hashed_and_not_kept() {
    let sent = |attributes: Value| {
        let body = body(attributes, json!({}));
        let span = one(&body);
        assert!(!format!("{span:?}").contains("alice"));
        span.database.unwrap().sent
    };
    let with = |name: &str, value: Value| json!([text("db.system", "postgresql"), attribute(name, value)]);
    let alice = || json!({"stringValue": "alice"});
    assert_eq!(sent(json!([text("db.system", "postgresql"), text("db.user", "alice")])), None);
    let first = sent(with("db.query.parameter.0", alice()));
    assert!(first.is_some());
    assert_eq!(first, sent(with("db.query.parameter.0", alice())));
    assert_ne!(first, sent(with("db.query.parameter.0", json!({"stringValue": "bob"}))));
    assert_ne!(first, sent(with("db.query.parameter.1", alice())));
    let list = |value: Value| {
        sent(with("db.postgresql.values", json!({"arrayValue": {"values": [value, {"intValue": "3"}]}})))
    };
    assert!(list(alice()).is_some() && list(alice()) == list(alice()));
    assert_ne!(list(alice()), list(json!({"stringValue": "bob"})));
}

#[test]
fn forms_are_told_by_the_content_type() {
    for (field, format) in [
        ("application/x-protobuf", Some(Format::Protobuf)),
        ("Application/JSON; charset=utf-8", Some(Format::Json)),
        ("text/plain", None),
        ("", None),
    ] {
        assert_eq!(Format::of_content_type(field), format, "{field}");
    }
}

#[test]
fn bodies_that_are_no_requests() {
    for body in [
        "",
        "[]",
        "7",
        "{",
        "{\"resourceSpans\":7}",
        "{\"resourceSpans\":[7]}",
        "{} {}",
        "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[\"secret\"]}]}]}",
    ] {
        match decode(body.as_bytes(), Format::Json) {
            Err(Refusal::Malformed(why)) => {
                assert!(why.starts_with("line 1 column ") && !why.contains("secret"), "{why}")
            }
            other => panic!("{body}: {other:?}"),
        }
    }
    for body in ["{}", "{\"resourceSpans\":[]}", "{\"resourceSpans\":null}", "{\"other\":[{\"spans\":[7]}]}"] {
        assert_eq!(decode(body.as_bytes(), Format::Json), Ok(Decoded::default()), "{body}");
    }
    assert_eq!(decode(b"", Format::Protobuf), Ok(Decoded::default()));
    let deep = format!("{{\"x\":{}", "[".repeat(100_000));
    assert!(decode(deep.as_bytes(), Format::Json).is_err());
    let deep = body(json!([]), json!({})).replace(
        "\"attributes\":[]",
        &format!("\"attributes\":[{{\"key\":\"a\",\"value\":{}", "{\"arrayValue\":".repeat(100_000)),
    );
    assert!(decode(deep.as_bytes(), Format::Json).is_err());
}

/// A message's field: its number and what has a length.
fn field(number: u64, inner: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    for mut part in [number << 3 | 2, inner.len() as u64] {
        while part >= 0x80 {
            message.push(part as u8 | 0x80);
            part >>= 7;
        }
        message.push(part as u8);
    }
    message.extend(inner);
    message
}

fn protobuf(spans: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let spans: Vec<u8> = spans.into_iter().flat_map(|span| field(2, &span)).collect();
    field(1, &field(2, &spans))
}

fn span(id: u64, attributes: &[Vec<u8>]) -> Vec<u8> {
    let attributes = attributes.iter().flat_map(|pair| field(9, pair));
    let ids = [field(1, &[7; 16]), field(2, &id.to_be_bytes()), vec![6 << 3, 3]].concat();
    ids.into_iter().chain(attributes).collect()
}

#[test]
fn there_are_so_many_spans_at_most() {
    let body = protobuf((1..=MOST_SPANS as u64 + 5).map(|id| span(id, &[])));
    let decoded = decode(&body, Format::Protobuf).unwrap();
    assert_eq!((decoded.spans.len(), decoded.rejected), (MOST_SPANS, 5));
}

#[test]
fn a_span_has_so_many_attributes_and_so_long_a_statement_at_most() {
    let pair = |name: &str, value: &[u8]| [field(1, name.as_bytes()), field(2, &field(1, value))].concat();
    let long = "é".repeat(20_000);
    let mut attributes = vec![pair("db.system", b"sqlite"), pair("db.statement", long.as_bytes())];
    let body = protobuf([span(1, &attributes)]);
    let decoded = decode(&body, Format::Protobuf).unwrap();
    let length = decoded.spans[0].query().unwrap().1.len();
    assert!((16 << 10..17 << 10).contains(&length), "{length}");
    attributes.splice(0..0, (0..300).map(|n| pair(&format!("a{n}"), b"")));
    let body = protobuf([span(1, &attributes)]);
    assert_eq!(decode(&body, Format::Protobuf).unwrap().spans[0].database, None);
    // What is no UTF-8 is read as far as it is.
    let body = protobuf([span(1, &[pair("db.system", b"sqlite"), pair("db.statement", b"select \xff")])]);
    assert_eq!(decode(&body, Format::Protobuf).unwrap().spans[0].query().unwrap().1, "select \u{fffd}");
}

proptest! {
    #[test]
    fn any_bytes_are_no_danger(bytes in vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes, Format::Protobuf);
        let _ = decode(&bytes, Format::Json);
        let _ = decode(&protobuf([bytes]), Format::Protobuf);
    }

    #[test]
    fn a_body_that_was_changed_is_no_danger(at in 0usize..28_130, byte in any::<u8>()) {
        let mut json = include_bytes!("../../../tests/data/otlp/node_pg_json_default.json").to_vec();
        json[at] = byte;
        let _ = decode(&json, Format::Json);
        let mut message = include_bytes!("../../../tests/data/otlp/py_psycopg_proto_default.bin").to_vec();
        let at = at % message.len();
        message[at] = byte;
        let _ = decode(&message, Format::Protobuf);
    }
}
