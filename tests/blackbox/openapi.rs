//! The admin port keeps to its own description: held to it by Schemathesis, and by hand with input that means harm. Its
//! stream of figures, over a real socket.

use std::{net::SocketAddr, process::Output};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpSocket, TcpStream},
    process::Command,
};

use crate::{
    apps::{installed, source},
    common::{Client, Origin, Sidecar, get, ok, status, within},
};

/// Inputs that Schemathesis makes for each operation: enough for half a minute.
const EXAMPLES: &str = "40";

/// Connects from one of the many addresses of loopback, so that its requests have a count of their own.
async fn connect_from_anywhere(address: SocketAddr) -> TcpStream {
    let [a, b, c] = std::array::from_fn(|_| fastrand::u8(1..=254));
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, a, b, c], 0))).unwrap();
    socket.connect(address).await.expect("the admin port listens")
}

/// Passes connections on to an address, each from a client of its own.
async fn relay_to(address: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = connect_from_anywhere(address).await;
                // Either side may end it when it likes.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    own
}

async fn used_sidecar() -> Sidecar {
    let origin = Origin::new()
        .route("/page", ok("hello").header("Cache-Control", "max-age=60").header("Content-Type", "text/html"))
        .route("/error", status(500))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for path in ["/page", "/page", "/error"] {
        sidecar.get(path).await;
    }
    sidecar
}

#[tokio::test]
async fn schemathesis_finds_nothing() {
    let sidecar = used_sidecar().await;
    let (relay, dir) = (relay_to(sidecar.admin_addr()).await, tempfile::tempdir().unwrap());
    let ran = Command::new(installed("openapi").join("venv/bin/st"))
        .arg("--config-file")
        .arg(source("tests/apps/openapi/schemathesis.toml"))
        .args(["run", &format!("http://{relay}/openapi.json"), "--checks", "all", "--max-examples", EXAMPLES])
        .args(["--seed", "1", "--no-color"])
        .current_dir(dir.path())
        .env("NO_PROXY", "127.0.0.1")
        .kill_on_drop(true)
        .output();
    let Output { status, stdout, .. } = ran.await.expect("make test installs it");
    let said = String::from_utf8_lossy(&stdout);
    assert!(status.success() && said.contains("API Operations:"), "{said}");
    assert_eq!(sidecar.metric("pacecar_panics_total").await, 0.0);
}

/// What stands in paths, queries and fields of those who try things out.
fn hostile() -> Vec<Vec<u8>> {
    let mut hostile: Vec<Vec<u8>> = [
        "%00",
        "\0",
        "\"'",
        "<script>alert(1)</script>",
        "%3Cscript%3E",
        "%E2%80%AE",
        "\u{202e}txt",
        "%",
        "%z",
        "%ff",
        "%c0%af",
        "..%2f..%2fetc%2fpasswd",
        "99999999999999999999999999",
        "-1",
        "1e999",
        "NaN",
        "null",
        "[]",
        "{}",
        " ",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    hostile.push(vec![b'x'; 8 << 10]);
    hostile.push(b"\xff\xfe".to_vec());
    hostile
}

/// Every request that is tried on an operation, as bytes.
fn attempts(method: &str, path: &str, operation: &Value) -> Vec<Vec<u8>> {
    let filled = path.replace("{key}", "a").replace("{id}", "a");
    let request = |target: &[u8], fields: &str, body: &[u8]| {
        let length = if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!(" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{length}{fields}\r\n");
        [method.as_bytes(), b" ", target, head.as_bytes(), body].concat()
    };
    let json = "Content-Type: application/json\r\n";
    let names: Vec<&str> = operation["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|parameter| parameter["in"] == "query")
        .map(|parameter| parameter["name"].as_str().unwrap())
        .chain(["nobody-knows-this"])
        .collect();
    let mut attempts = Vec::new();
    for hostile in hostile() {
        for name in &names {
            attempts.push(request(&[filled.as_bytes(), b"?", name.as_bytes(), b"=", &hostile].concat(), json, b"{}"));
        }
        attempts.push(request(&[filled.as_bytes(), b"?", &hostile, b"=1"].concat(), json, b"{}"));
        let fields = String::from_utf8_lossy(&hostile).replace('\0', "");
        attempts.push(request(
            format!("{filled}?nobody-knows-this=1").as_bytes(),
            &format!("If-Match: {fields}\r\n{json}"),
            b"{}",
        ));
        if let Some((before, _)) = path.split_once('{') {
            attempts.push(request(&[before.as_bytes(), &hostile].concat(), json, b"{}"));
        }
    }
    for name in &names {
        attempts.push(request(format!("{filled}?{name}=1&{name}=2").as_bytes(), json, b"{}"));
    }
    if operation["requestBody"].is_object() {
        for content_type in
            ["", "text/plain", "application/xml", "multipart/form-data; boundary=x", "application/json; charset=utf-16"]
        {
            let field =
                if content_type.is_empty() { String::new() } else { format!("Content-Type: {content_type}\r\n") };
            attempts.push(request(filled.as_bytes(), &field, b"{}"));
        }
        let deep = "[".repeat(100_000);
        let bodies: [&[u8]; 8] =
            [b"{", b"\0", b"null", b"\"\\ud800\"", b"{\"kind\":1e999}", b"{\"a\":1,\"a\":2}", b"\xff", deep.as_bytes()];
        attempts.extend(bodies.map(|body| request(filled.as_bytes(), json, body)));
    }
    attempts
}

#[tokio::test]
async fn whatever_is_sent_the_answer_is_one_that_is_told_of() {
    let sidecar = used_sidecar().await;
    let document = sidecar.admin_get("/openapi.json").await;
    let address = sidecar.admin_addr();
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase();
            for attempt in attempts(&method, path, operation) {
                let mut client = Client::over(connect_from_anywhere(address).await, "localhost".into());
                client.send_bytes(&attempt).await;
                let answer = client.answer(&method).await;
                let told = &operation["responses"][answer.status.to_string()];
                assert!(told.is_object() || answer.status == 404, "not told of\n{answer}");
                tried += 1;
                // Heads that are no HTTP are answered by the part that reads them, without a body.
                if answer.status < 400 || answer.body.is_empty() {
                    continue;
                }
                answer.assert_field("content-type", "application/problem+json");
                let problem: Value =
                    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}\n{answer}"));
                assert_eq!(problem["status"], answer.status, "{answer}");
                assert!(problem["title"].is_string() && problem["detail"].is_string(), "{answer}");
            }
        }
    }
    assert!(tried > 1000, "{tried}");
    assert_eq!(sidecar.metric("pacecar_panics_total").await, 0.0);
}

#[tokio::test]
async fn who_sends_a_body_that_is_too_large_is_told_so() {
    let sidecar = used_sidecar().await;
    let body = "x".repeat(4_000_000);
    let head = "POST /performance/query/record HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let request = format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for _ in 0..10 {
        let mut stream = TcpStream::connect(sidecar.admin_addr()).await.unwrap();
        // Many clients send everything before they read, and give up where they cannot.
        within("the request to be taken", stream.write_all(request.as_bytes())).await.expect("it is taken");
        let mut answer = String::new();
        within("an answer", stream.read_to_string(&mut answer)).await.expect("it is not reset");
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with('}'), "{answer}");
    }
}

#[tokio::test]
async fn figures_come_once_a_second_until_the_end() {
    let mut sidecar = used_sidecar().await;
    let mut client = Client::connect(sidecar.admin_addr()).await;
    let mut stream = client.begin(get("/performance/stream")).await;
    stream.so_far().assert_status(200).assert_field("content-type", "text/event-stream");
    let mut events: Vec<Value> = Vec::new();
    while events.len() < 2 {
        let so_far = stream.so_far().body.len();
        let text = stream.at_least(so_far + 1).await.text();
        let whole = text.split_inclusive("\n\n").filter(|event| event.ends_with("\n\n"));
        let data = whole.map(|event| event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or("no data"));
        events =
            data.map(|data| serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}\n{text}"))).collect();
    }
    assert_eq!((&events[0]["cache"]["hits"], &events[1]["status"]), (&1.into(), &"healthy".into()));
    sidecar.terminate().await;
    stream.finish().await.assert_complete();
    assert_eq!(sidecar.wait().await.code(), Some(0));
}
