//! Clients that people use: each does the same with the app itself and with a sidecar before it, and is answered the same.

use std::{collections::HashMap, io::Write as _, path::Path, process::Command};

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::{
    apps::{OUR_FIELDS, Program, UNTOUCHED, node, python, run, source},
    common::{Sidecar, noise},
};

/// A way of asking the sidecar, and the client's nearest way of asking the app itself, which knows no TLS and no HTTP/2.
struct Protocol {
    name: &'static str,
    direct: &'static str,
    tls: bool,
    /// What the client says that it was answered with, if it can tell.
    version: Option<&'static str>,
}

const fn plain(name: &'static str, direct: &'static str, version: Option<&'static str>) -> Protocol {
    Protocol { name, direct, tls: false, version }
}

const fn encrypted(name: &'static str, direct: &'static str, version: Option<&'static str>) -> Protocol {
    Protocol { name, direct, tls: true, version }
}

/// What every client is told to do, in this order, and what the cache has to do with each repetition.
fn cases() -> Vec<Value> {
    let case = |name: &str, method: &str, path: &str, cache: &[&str], more: Value| {
        let mut case = json!({
            "name": name, "method": method, "path": path, "cache": cache, "times": cache.len(),
            "fields": { "Accept-Encoding": "identity" }, "follow": false, "form": null, "send": null,
        });
        for (key, value) in more.as_object().expect("an object") {
            case[key] = value.clone();
        }
        case
    };
    let form = json!({ "form": { "name": "Ann & Bob", "note": "100 % größer = \"ja\"" } });
    let gzip = json!({ "fields": { "Accept-Encoding": "gzip" } });
    vec![
        case("page", "GET", "/", &["miss", "hit"], json!({})),
        case("head", "HEAD", "/", &["hit"], json!({})),
        case("form", "POST", "/form", &["bypass"], form),
        case("upload", "POST", "/upload", &["bypass"], json!({ "send": "whole" })),
        case("upload in chunks", "POST", "/upload", &["bypass"], json!({ "send": "chunked" })),
        case("no content", "DELETE", "/number/1", &["bypass"], json!({})),
        case("redirect", "GET", "/old?a=b", &["miss"], json!({})),
        case("redirect followed", "GET", "/old", &["miss"], json!({ "follow": true })),
        case("missing", "GET", "/missing", &["miss"], json!({})),
        case("gzip", "GET", "/prices.json", &["miss", "hit"], gzip.clone()),
        case("plain", "GET", "/prices.json", &["miss", "hit"], json!({})),
        case("gzip again", "GET", "/prices.json", &["hit"], gzip.clone()),
        case("gzip in chunks", "GET", "/stream", &["miss"], gzip),
        case("plain in chunks", "GET", "/stream?plain", &["miss"], json!({})),
        case("many", "GET", "/number/{n}", &["miss"; 100], json!({})),
    ]
}

/// Runs a client before the app itself and, for each protocol, before sidecars of its own: one that lets everything be,
/// and one with the defaults, whose codings the client is to undo if it `decodes` at all.
async fn compare(client: impl Fn() -> Command, protocols: &[Protocol], leave_out: &[(&str, &str)], decodes: bool) {
    let express = Program::express();
    let mut upload = NamedTempFile::new().unwrap();
    upload.write_all(&noise(5_000_000)).unwrap();
    let job = |base: &str, protocol: &str, ca: Option<&Path>| {
        let left_out = |case: &Value| leave_out.iter().any(|(of, name)| *of == protocol && case["name"] == *name);
        let cases: Vec<Value> = cases().into_iter().filter(|case| !left_out(case)).collect();
        json!({ "base": base, "protocol": protocol, "ca": ca, "upload": upload.path(), "cases": cases })
    };

    let app = format!("http://{}", express.address);
    let mut direct = HashMap::new();
    for protocol in protocols {
        if !direct.contains_key(protocol.direct) {
            direct.insert(protocol.direct, run(client(), &job(&app, protocol.direct, None)).await);
        }
        let expected = &direct[protocol.direct];
        let ask = async |config: &str| {
            let sidecar = Sidecar::in_front_of(&express).config(config).tls().start().await;
            let (base, ca) = match protocol.tls {
                true => (format!("https://localhost:{}", sidecar.tls_addr().port()), Some(sidecar.certificate())),
                false => (format!("http://{}", sidecar.addr()), None),
            };
            let job = job(&base, protocol.name, ca.as_deref());
            let found = run(client(), &job).await;
            (job, found)
        };
        let (job, found) = ask(UNTOUCHED).await;
        for case in job["cases"].as_array().expect("a list") {
            assert_same(protocol, case, &expected["answers"], &found["answers"]);
        }
        if decodes {
            let (_, found) = ask("").await;
            assert_same_content(protocol, &expected["answers"], &found["answers"]);
        }
        // Zero for a client that cannot tell.
        let connections = |told: &Value| told["connections"].as_u64().unwrap_or(0);
        // A client that has not looked at the end of an answer yet when it asks again opens one more.
        assert!(
            connections(&found) <= connections(expected) + 1,
            "{}: {} connections in place of {}",
            protocol.name,
            found["connections"],
            expected["connections"]
        );
    }
}

/// What people see is the same, whatever coding it came in.
fn assert_same_content(protocol: &Protocol, expected: &Value, found: &Value) {
    for (name, expected) in expected.as_object().expect("an object") {
        let Some(found) = found.get(name) else { continue };
        for (expected, found) in expected.as_array().into_iter().flatten().zip(found.as_array().into_iter().flatten()) {
            for part in ["status", "path", "bytes", "sha256"] {
                assert_eq!(found[part], expected[part], "{part} of {}, {name}:\n{found:#}", protocol.name);
            }
        }
    }
}

fn assert_same(protocol: &Protocol, case: &Value, expected: &Value, found: &Value) {
    let name = case["name"].as_str().expect("a text");
    let (expected, found) = (&expected[name], &found[name]);
    let outcomes = case["cache"].as_array().expect("a list");
    let all = |answers: &Value| answers.as_array().expect("a list").len();
    assert_eq!((all(expected), all(found)), (outcomes.len(), outcomes.len()), "{name}");
    for (nth, outcome) in outcomes.iter().enumerate() {
        let (expected, found) = (&expected[nth], &found[nth]);
        let what = format!("{}, {name}, {nth}:\ndirect {expected:#}\nfound {found:#}", protocol.name);
        for part in ["status", "path", "bytes", "sha256"] {
            assert_eq!(found[part], expected[part], "{part} of {what}");
        }
        assert_eq!(end_to_end(found), end_to_end(expected), "{what}");
        assert_eq!(cache(found), outcome.as_str().expect("a text"), "{what}");
        if let Some(version) = protocol.version {
            assert_eq!(found["version"], version, "{what}");
        }
    }
}

fn fields(answer: &Value) -> impl Iterator<Item = (&str, &str)> {
    let fields = answer["fields"].as_array().expect("a list");
    fields.iter().map(|field| (field[0].as_str().expect("a name"), field[1].as_str().expect("a value")))
}

/// What the app says, less what belongs to the connection or is the sidecar's. How the length is told is the
/// connection's as well: what came in chunks has one once it is stored.
fn end_to_end(answer: &Value) -> Vec<(&str, &str)> {
    let ours = |name: &str| OUR_FIELDS.contains(&name) || name == "content-length";
    let mut fields: Vec<_> = fields(answer).filter(|(name, _)| !ours(name)).collect();
    fields.sort_unstable();
    fields
}

/// The cache's part in an answer, by its Cache-Status.
fn cache(answer: &Value) -> &'static str {
    let status = fields(answer).find(|(name, _)| *name == "cache-status").map_or("", |(_, value)| value);
    match status {
        hit if hit.contains("; hit") => "hit",
        bypass if bypass.contains("; fwd=bypass") || bypass.contains("; fwd=method") => "bypass",
        miss if miss.contains("; fwd=") => "miss",
        _ => "absent",
    }
}

fn script(name: &str) -> std::path::PathBuf {
    source("tests/apps/clients").join(name)
}

#[tokio::test]
async fn curl_is_answered_the_same() {
    let protocols = [
        plain("http/1.0", "http/1.0", Some("1.1")),
        plain("http/1.1", "http/1.1", Some("1.1")),
        plain("h2c", "http/1.1", Some("2")),
        encrypted("http/1.1", "http/1.1", Some("1.1")),
        encrypted("h2", "http/1.1", Some("2")),
    ];
    // HTTP/1.0 has no chunks, and curl 7.88 cannot use a connection with prior knowledge again, whatever the server.
    let leave_out = [("http/1.0", "upload in chunks"), ("h2c", "redirect followed")];
    compare(|| python("clients", script("curl.py")), &protocols, &leave_out, true).await;
}

#[tokio::test]
async fn requests_is_answered_the_same() {
    let protocols = [plain("http/1.1", "http/1.1", Some("1.1")), encrypted("http/1.1", "http/1.1", Some("1.1"))];
    compare(|| python("clients", script("requests_client.py")), &protocols, &[], true).await;
}

#[tokio::test]
async fn httpx_is_answered_the_same() {
    let protocols = [
        plain("http/1.1", "http/1.1", Some("1.1")),
        encrypted("http/1.1", "http/1.1", Some("1.1")),
        encrypted("h2", "http/1.1", Some("2")),
    ];
    compare(|| python("clients", script("httpx_client.py")), &protocols, &[], true).await;
}

#[tokio::test]
async fn fetch_of_undici_is_answered_the_same() {
    let protocols = [plain("fetch", "fetch", None), encrypted("fetch", "fetch", None), encrypted("h2", "fetch", None)];
    compare(|| node("clients", script("undici.cjs")), &protocols, &[], true).await;
}

#[tokio::test]
async fn pipelining_undici_is_answered_the_same() {
    // A pool follows no redirects.
    let leave_out = [("pipelining", "redirect followed")];
    compare(|| node("clients", script("undici.cjs")), &[plain("pipelining", "pipelining", None)], &leave_out, false)
        .await;
}
