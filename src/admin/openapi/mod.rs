//! What the admin port takes and answers, for programs: OpenAPI 3.1 at `GET /openapi.json`.
//!
//! - `operations`: one entry per operation, beside the table of endpoints, from which limits and access come.
//! - `told`: how an entry is put together; `common`: the answers that any operation can have; `words`: schemas of words
//!   that are fixed.
//!
//! Schemas are those of the types that the answers are made of. Examples are files; a test holds each of them against
//! what the router answers.

mod common;
mod operations;
mod told;
pub(super) mod words;

use std::{collections::BTreeMap, sync::LazyLock};

use axum::{
    http::{Uri, header::CONTENT_TYPE},
    response::IntoResponse,
};
use utoipa::openapi::{
    Components, Info, OpenApi, OpenApiBuilder, PathsBuilder, RefOr, Schema, SecurityRequirement, Tag,
    security::{Http, HttpAuthScheme, SecurityScheme},
};

use self::told::{Schemas, collect};
use super::{
    api::parameters,
    compression::{OfCoding, OfType},
    problem::{self, Problem},
    router::{ENDPOINTS, Endpoint},
};

const ABOUT: &str = "The admin port of Pacecar: JSON, metrics and health of one sidecar.

Names carry their unit: `_ms` milliseconds, `_seconds` and `_s`, `_bytes` (and `bytes`) octets, `_percent` 0 to 100. Every answer \
has all of its members; what is not known is `null`. Errors are problems (RFC 9457). A parameter that is not known, or \
that is given twice, is refused with 400, since an answer that leaves it out would mislead. GET answers HEAD, too. No \
answer may be stored.

Where a token is set, it is asked for as Bearer or as the password of Basic. Limits hold for each client address.";

/// The description.
pub(super) async fn openapi(uri: Uri) -> Result<impl IntoResponse, Problem> {
    // It is the same for as long as the program is.
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_json().unwrap_or_default());
    parameters(&uri, &[])?;
    Ok(([(CONTENT_TYPE, "application/json")], DOCUMENT.as_str()))
}

fn document() -> OpenApi {
    let (mut paths, mut answers, mut requests) = (PathsBuilder::new(), Schemas::new(), Schemas::new());
    for mut told in operations::all() {
        let Some(endpoint) = told.endpoint() else { continue };
        answers.append(&mut told.answered);
        requests.append(&mut told.requested);
        paths = paths.path(told.path, told.path_item(endpoint));
    }
    let mut info = Info::new("Pacecar", env!("CARGO_PKG_VERSION"));
    info.description = Some(ABOUT.into());
    let groups = ["health", "cache", "compression", "profile", "queries", "tasks", "overview"];
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components(answers, requests)))
        .security(Some(optional_token()))
        .tags(Some(groups.map(Tag::new)))
        .build()
}

/// Of answers, of which every member is always there, and of requests, where the types say which has to be.
fn components(mut answers: Schemas, requests: Schemas) -> Components {
    // Those that objects with fixed names refer to.
    collect::<OfCoding>(&mut answers);
    collect::<OfType>(&mut answers);
    answers.iter_mut().for_each(|(_, schema)| require_all(schema));
    collect::<problem::Body>(&mut answers);
    let mut components = Components::new();
    components.schemas = answers.into_iter().chain(requests).collect();
    components.responses = common::responses();
    components.headers = common::headers();
    let scheme = |scheme, what: &str| {
        RefOr::T(SecurityScheme::Http(Http::builder().scheme(scheme).description(Some(what)).build()))
    };
    components.security_schemes = BTreeMap::from([
        ("bearer".into(), scheme(HttpAuthScheme::Bearer, "The token, for programs.")),
        ("basic".into(), scheme(HttpAuthScheme::Basic, "The token as the password of any user, for browsers.")),
    ]);
    components
}

fn require_all(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => object.required = object.properties.keys().cloned().collect(),
        RefOr::T(Schema::AllOf(all)) => all.items.iter_mut().for_each(require_all),
        _ => {}
    }
}

/// No token, where none is set, or one of the two ways to show it.
fn optional_token() -> [SecurityRequirement; 3] {
    let by = |scheme: &str| SecurityRequirement::new(scheme, [""; 0]);
    [SecurityRequirement::default(), by("bearer"), by("basic")]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::http::StatusCode;
    use serde_json::Value;

    use super::*;
    use crate::admin::fixture::{Answer, Exchange, advised_state, empty_state, used_state, working_state};

    async fn served() -> Value {
        let answer = Exchange::get("/openapi.json").with(&empty_state()).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, Some("application/json")));
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Every operation of a document: method, path and what is said of it.
    fn operations(document: &Value) -> impl Iterator<Item = (String, &str, &Value)> {
        let paths = document["paths"].as_object().unwrap().iter();
        paths.flat_map(|(path, item)| {
            let operations = item.as_object().unwrap().iter();
            operations.map(move |(method, operation)| (method.to_uppercase(), &**path, operation))
        })
    }

    #[tokio::test]
    async fn it_is_openapi_31_and_tells_of_every_operation_and_of_no_other() {
        let document = served().await;
        assert_eq!(document["openapi"], "3.1.0");
        let told: BTreeSet<(String, String)> =
            operations(&document).map(|(method, path, _)| (method, path.to_owned())).collect();
        let of_table = |endpoint: &Endpoint| {
            let path = told::path_of(endpoint);
            endpoint.methods.iter().map(move |method| (method.to_string(), path.clone())).collect::<Vec<_>>()
        };
        let table: BTreeSet<(String, String)> = ENDPOINTS.iter().flat_map(of_table).collect();
        assert_eq!(told, table);
        // Those without an endpoint are not shown.
        assert_eq!(operations::all().len(), table.len());
    }

    #[tokio::test]
    async fn every_reference_leads_somewhere() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(object) => {
                    found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    object.values().for_each(|value| references(value, found));
                }
                Value::Array(values) => values.iter().for_each(|value| references(value, found)),
                _ => {}
            }
        }
        let (document, mut found) = (served().await, Vec::new());
        references(&document, &mut found);
        assert!(found.len() > 100, "{found:?}");
        for reference in found {
            let there = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
            assert!(there.is_some(), "{reference}");
        }
    }

    /// An operation as its examples ask for it.
    fn asked(method: &str, path: &str, operation: &Value) -> Exchange {
        let encoded = |value: &Value| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>()
        };
        let (mut path, mut query) = (path.to_owned(), Vec::new());
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let (name, example) = (parameter["name"].as_str().unwrap(), &parameter["example"]);
            if name == "verbose" {
                continue;
            }
            assert!(!example.is_null(), "no example of {name} in {method} {path}");
            match (parameter["in"].as_str().unwrap(), example) {
                ("path", _) => path = path.replace(&format!("{{{name}}}"), &encoded(example)),
                ("query", Value::Object(members)) => {
                    query.extend(members.iter().map(|(name, value)| format!("{name}={}", encoded(value))));
                }
                ("query", Value::Array(values)) => {
                    query.extend(values.iter().map(|value| format!("{name}={}", encoded(value))));
                }
                ("query", _) => query.push(format!("{name}={}", encoded(example))),
                // Preconditions, which would decide the answer.
                _ => {}
            }
        }
        let mark = if query.is_empty() { "" } else { "?" };
        let exchange = Exchange::of(method, &format!("{path}{mark}{}", query.join("&")));
        let Some(content) = operation["requestBody"]["content"].as_object() else { return exchange };
        let (media_type, content) = content.iter().next().unwrap();
        let example = &content["example"];
        assert!(!example.is_null(), "no example of the body of {method} {path}");
        let body = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
        exchange.field("content-type", media_type).body(body)
    }

    /// The answer that an operation has where all is well, with its content.
    fn good(operation: &Value) -> Option<(u16, Option<(&str, &Value)>)> {
        let responses = operation["responses"].as_object().unwrap().iter();
        let mut good = responses.filter(|(status, _)| status.starts_with('2'));
        let (status, response) = good.next()?;
        let content = response["content"].as_object().and_then(|content| content.iter().next());
        Some((status.parse().unwrap(), content.map(|(media_type, content)| (&**media_type, content))))
    }

    /// The examples are what the router answers: a route without one, or with a wrong one, fails here.
    #[tokio::test(start_paused = true)]
    async fn examples_are_what_is_answered() {
        let document = served().await;
        let put = &document["paths"]["/performance/cache/entries/{key}"]["put"];
        for (method, path, operation) in operations(&document) {
            let state = match path {
                _ if path.ends_with("/insights") => advised_state(),
                _ if path.starts_with("/performance/tasks") => working_state().await,
                _ => used_state(),
            };
            // What a job is called is its own affair, and its id is a random one; tests of tasks hold this example.
            if operation["operationId"] == "beginTask" {
                continue;
            }
            let is_of_a_key = path.ends_with("/{key}") && method != "PUT";
            if is_of_a_key {
                assert_eq!(asked("PUT", path, put).with(&state).await.status, StatusCode::CREATED);
            }
            let Some((status, content)) = good(operation) else {
                let answer = asked(&method, path, operation).with(&state).await;
                assert!(answer.status.as_u16() >= 400, "an answer of {method} {path} that is not told: {answer:?}");
                continue;
            };
            let answer = asked(&method, path, operation).with(&state).await;
            assert_eq!(answer.status.as_u16(), status, "{method} {path} {answer:?}");
            let Some((media_type, content)) = content else {
                assert_eq!(answer.body, "", "{method} {path}");
                continue;
            };
            let given = answer.header("content-type").unwrap();
            assert!(media_type == "*/*" || media_type == given, "{method} {path}: {given}");
            assert_agrees(path, &content["example"], &answer);
        }
    }

    /// An answer with what no two have in common as the example has it.
    fn with_what_varies(mut body: Value, example: &Value) -> Value {
        for varies in ["/took_ms", "/ledger/since_start/cost/cpu_seconds"] {
            if let (Some(value), Some(example)) = (body.pointer_mut(varies), example.pointer(varies)) {
                assert_eq!(value.is_f64(), example.is_f64(), "{varies}: {value}");
                *value = example.clone();
            }
        }
        body
    }

    fn assert_agrees(path: &str, example: &Value, answer: &Answer) {
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        match (path, example) {
            // What is too long for an example is shown in part.
            ("/metrics" | "/" | "/page/{file}", Value::String(line)) => {
                assert!(answer.body.contains(line), "{}", answer.body);
            }
            ("/openapi.json", _) => assert_eq!(json(&answer.body)["openapi"], example["openapi"]),
            ("/performance/stream", Value::String(event)) => {
                let (fields, data) = event.split_once("data: ").unwrap();
                let figures = answer.body.strip_prefix(fields).and_then(|rest| rest.strip_prefix("data: "));
                let example = json(data);
                assert_eq!(with_what_varies(json(figures.unwrap()), &example), example);
            }
            (_, Value::String(text)) => assert_eq!(&answer.body, text, "{path}"),
            (_, example) => {
                let body = with_what_varies(json(&answer.body), example);
                assert_eq!(&body, example, "{path} answers\n{body:#}");
            }
        }
    }
}
