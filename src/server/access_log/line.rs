//! What a line of the access log says, and what it does not: secrets in query strings stay out of it.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value};

use crate::server::monitor;

/// One request, as its line tells it.
#[derive(Clone, Debug)]
pub(in crate::server) struct Line {
    pub(in crate::server) time: SystemTime,
    pub(in crate::server) client: IpAddr,
    pub(in crate::server) method: http::Method,
    /// Path and query, as sent.
    pub(in crate::server) target: Vec<u8>,
    pub(in crate::server) scheme: &'static str,
    pub(in crate::server) host: Vec<u8>,
    /// `1.0`, `1.1` or `2`.
    pub(in crate::server) version: &'static str,
    pub(in crate::server) endpoint: String,
    pub(in crate::server) status: u16,
    pub(in crate::server) duration: Duration,
    pub(in crate::server) upstream: Option<Duration>,
    pub(in crate::server) bytes: u64,
    /// The client does not have the whole answer.
    pub(in crate::server) aborted: bool,
    pub(in crate::server) cache: &'static str,
    pub(in crate::server) detail: Option<&'static str>,
    pub(in crate::server) user_agent: Option<Vec<u8>>,
    pub(in crate::server) referrer: Option<Vec<u8>>,
    pub(in crate::server) request_id: Box<str>,
    pub(in crate::server) trace_id: Option<String>,
    pub(in crate::server) error: Option<&'static str>,
}

/// One JSON object and a line feed, with the names of OpenTelemetry's attributes.
pub(super) fn json(line: &Line) -> String {
    let (path, query) = path_and_query(&line.target);
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.into(), value);
    put("timestamp", rfc3339(line.time).into());
    put("severity_text", if line.status >= 500 { "ERROR" } else { "INFO" }.into());
    put("client.address", line.client.to_string().into());
    put("http.request.method", line.method.as_str().into());
    put("url.scheme", line.scheme.into());
    put("server.address", text(&line.host).into());
    put("url.path", path.into());
    if let Some(query) = query {
        put("url.query", query.into());
    }
    put("http.route", line.endpoint.as_str().into());
    put("network.protocol.version", line.version.into());
    put("http.response.status_code", line.status.into());
    put("http.response.body.size", line.bytes.into());
    put("duration_ms", milliseconds(line.duration).into());
    if let Some(upstream) = line.upstream {
        put("upstream_ms", milliseconds(upstream).into());
    }
    put("cache.result", line.cache.into());
    let optional = [
        ("cache.detail", line.detail.map(String::from)),
        ("user_agent.original", line.user_agent.as_deref().map(text)),
        ("http.request.header.referer", line.referrer.as_deref().map(redacted_url)),
        ("error.type", line.error.map(String::from)),
        ("trace_id", line.trace_id.clone()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            put(name, value.into());
        }
    }
    if line.aborted {
        put("aborted", true.into());
    }
    put("request_id", (&*line.request_id).into());
    let mut text = Value::Object(object).to_string();
    text.push('\n');
    text
}

/// The combined format: what was sent stands in quotes, with quotes and control bytes escaped as nginx does.
pub(super) fn combined(line: &Line) -> String {
    let (path, query) = path_and_query(&line.target);
    let target = query.map_or_else(|| path.clone(), |query| format!("{path}?{query}"));
    let time = DateTime::<Utc>::from(line.time).format("%d/%b/%Y:%H:%M:%S +0000");
    let quoted = |value: Option<String>| value.map_or_else(|| "-".into(), |value| escaped(&value));
    format!(
        "{} - - [{time}] \"{} {} HTTP/{}\" {} {} \"{}\" \"{}\"\n",
        line.client,
        line.method,
        escaped(&target),
        line.version,
        line.status,
        line.bytes,
        quoted(line.referrer.as_deref().map(redacted_url)),
        quoted(line.user_agent.as_deref().map(text)),
    )
}

fn rfc3339(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Milliseconds, to the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for char in value.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            _ if char.is_control() => out.extend(char.escape_default()),
            _ => out.push(char),
        }
    }
    out
}

/// Parameters whose values are secrets, by a part of their name.
const SECRET: [&str; 14] = [
    "token",
    "password",
    "passwd",
    "pwd",
    "secret",
    "apikey",
    "api_key",
    "api-key",
    "auth",
    "session",
    "signature",
    "sig",
    "credential",
    "code",
];

/// What a secret value is written as.
const REDACTED: &str = "***";

/// A target as path and query, secret values in the query replaced.
fn path_and_query(target: &[u8]) -> (String, Option<String>) {
    let target = text(target);
    match target.split_once('?') {
        Some((path, query)) => (path.into(), Some(redacted(path, query))),
        None => (target, None),
    }
}

/// A URL with secret values in its query replaced, and without userinfo.
fn redacted_url(url: &[u8]) -> String {
    let url = text(url);
    let without_userinfo = match url.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let host = rest[..authority].rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &rest[host..])
        }
        None => url,
    };
    match without_userinfo.split_once('?') {
        Some((path, query)) => format!("{path}?{}", redacted(path, query)),
        None => without_userinfo,
    }
}

fn redacted(path: &str, query: &str) -> String {
    let opens_a_task = path.contains(monitor::PREFIX);
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) || (opens_a_task && name == "k") => format!("{name}={REDACTED}"),
        _ => pair.to_string(),
    };
    query.split('&').map(pair).collect::<Vec<_>>().join("&")
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET.iter().any(|secret| name.contains(secret))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    pub(in crate::server::access_log) fn line() -> Line {
        Line {
            time: UNIX_EPOCH + Duration::from_millis(784_111_777_250),
            client: "192.0.2.7".parse().unwrap(),
            method: http::Method::GET,
            target: b"/users/17?page=2&access_token=abc".to_vec(),
            scheme: "https",
            host: b"shop.example".to_vec(),
            version: "1.1",
            endpoint: "/users/{id}".into(),
            status: 200,
            duration: Duration::from_micros(12_345),
            upstream: Some(Duration::from_micros(11_000)),
            bytes: 512,
            aborted: false,
            cache: "miss",
            detail: Some("no-store"),
            user_agent: Some(b"curl/8 \"x\"\x1b".to_vec()),
            referrer: Some(b"https://u:p@a.example/x?code=1&b=2".to_vec()),
            request_id: "r-1".into(),
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            error: None,
        }
    }

    #[test]
    fn a_line_of_json() {
        let expected = concat!(
            r#"{"timestamp":"1994-11-06T08:49:37.250Z","severity_text":"INFO","client.address":"192.0.2.7","#,
            r#""http.request.method":"GET","url.scheme":"https","server.address":"shop.example","url.path":"/users/17","#,
            r#""url.query":"page=2&access_token=***","http.route":"/users/{id}","network.protocol.version":"1.1","#,
            r#""http.response.status_code":200,"http.response.body.size":512,"duration_ms":12.345,"upstream_ms":11.0,"#,
            r#""cache.result":"miss","cache.detail":"no-store","user_agent.original":"curl/8 \"x\"\u001b","#,
            r#""http.request.header.referer":"https://a.example/x?code=***&b=2","#,
            r#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","request_id":"r-1"}"#,
            "\n"
        );
        let mut written: Value = serde_json::from_str(&json(&line())).unwrap();
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(written, expected);
        written = serde_json::from_str(&json(&Line { aborted: true, error: Some("timeout"), ..line() })).unwrap();
        assert_eq!((&written["aborted"], &written["error.type"]), (&Value::Bool(true), &Value::from("timeout")));
    }

    #[test]
    fn a_line_of_the_combined_format() {
        assert_eq!(
            combined(&line()),
            "192.0.2.7 - - [06/Nov/1994:08:49:37 +0000] \"GET /users/17?page=2&access_token=*** HTTP/1.1\" 200 512 \
             \"https://a.example/x?code=***&b=2\" \"curl/8 \\\"x\\\"\\u{1b}\"\n"
        );
    }

    #[test]
    fn no_bytes_of_a_request_can_begin_a_line() {
        let hostile = Line { target: b"/a\nb\r\"?\xff".to_vec(), user_agent: Some(b"\n\"".to_vec()), ..line() };
        for text in [json(&hostile), combined(&hostile)] {
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(!text.contains('\r'), "{text}");
        }
    }

    #[test]
    fn secrets_are_told_by_the_names_of_their_parameters() {
        for (query, expected) in [
            ("a=1&k=2", "a=1&k=2"),
            ("Token=1&x=2", "Token=***&x=2"),
            ("user_password=1", "user_password=***"),
            ("X-Amz-Signature=1&X-Amz-Credential=2", "X-Amz-Signature=***&X-Amz-Credential=***"),
            ("flag&api_key=", "flag&api_key=***"),
            ("", ""),
        ] {
            assert_eq!(redacted("/a", query), expected);
        }
    }

    #[test]
    fn what_opens_a_task_is_not_written() {
        let (path, query) = path_and_query(b"/.pacecar/tasks/task_1/result?k=abc&a=1");
        assert_eq!((&*path, query.as_deref()), ("/.pacecar/tasks/task_1/result", Some("k=***&a=1")));
        assert_eq!(redacted_url(b"http://a/.pacecar/tasks/task_1?k=abc"), "http://a/.pacecar/tasks/task_1?k=***");
    }
}
