//! The wire, both ends scripted byte for byte: tables of what no well-behaved client or app sends.
//!
//! A request is either refused, or reaches the app as exactly the requests that its row names; an answer is whole,
//! visibly cut, or a 502. After each row the connection, and a new one, are as good as before.

mod answers;
mod bodies;
mod fields;
mod forwarded;
mod lines;

use crate::common::{Answer, Client, Origin, Received, Sidecar, ok, readable};

/// What is sent, and what must come of it.
struct Row {
    name: &'static str,
    bytes: Vec<u8>,
    want: Want,
}

#[derive(Clone, Copy)]
enum Want {
    /// Answered with this status and closed; the app hears nothing of it.
    Refused(u16),
    /// The same, but the app may have been given the beginning. It never sees the end.
    BrokenOff(u16),
    /// The client stops sending in the middle; no whole request reaches the app.
    Unfinished,
    /// These requests reach the app and no others: method, target, body. Each is answered.
    Reaches(&'static [(&'static str, &'static str, &'static str)]),
}

fn row(name: &'static str, bytes: impl AsRef<[u8]>, want: Want) -> Row {
    Row { name, bytes: bytes.as_ref().to_vec(), want }
}

/// A failing test names its row.
struct Shown<'a>(&'a str, &'a [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- row {:?}\n{}", self.0, readable(self.1));
        }
    }
}

/// The beginning of most rows; a row that has it is sent as POST as well.
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\n";
/// What is hidden where it should not be found.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

/// A GET with these field lines.
fn get_with(fields: &str) -> String {
    format!("{GET}{fields}\r\n\r\n")
}

/// A POST with these field lines and this body.
fn post_with(fields: &str, body: &str) -> String {
    format!("{POST}{fields}\r\n\r\n{body}")
}

/// The same fault in a request with a body, which goes another way through the sidecar.
fn as_post(row: &Row) -> Option<Row> {
    let rest = row.bytes.strip_prefix(GET.as_bytes())?;
    let bytes = [POST.as_bytes(), b"Content-Length: 5\r\n", rest, b"hello"].concat();
    matches!(row.want, Want::Refused(_)).then(|| Row { name: row.name, bytes, want: row.want })
}

fn echo(method: &str, target: &str, body: &str) -> String {
    format!("{method} {target} {body}")
}

async fn echoing() -> Origin {
    let script = |received: &Received| {
        let body = String::from_utf8_lossy(&received.body);
        ok(echo(&received.method, &received.target, &body)).header("Cache-Control", "no-store")
    };
    Origin::new().otherwise(script).start().await
}

/// Method, target and body of a request that reached the app whole.
type Reached = (String, String, String);

fn reached(method: &str, target: &str, body: &str) -> Reached {
    (method.to_owned(), target.to_owned(), body.to_owned())
}

/// Sends every row, and each head that is refused with a body as well.
async fn run(rows: Vec<Row>) {
    let origin = echoing().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let posts: Vec<Row> = rows.iter().filter_map(as_post).collect();
    let mut expected: Vec<Reached> = Vec::new();
    let count = (rows.len(), posts.len());
    for (nth, row) in rows.into_iter().chain(posts).enumerate() {
        let _shown = Shown(row.name, &row.bytes);
        expected.extend(send(&sidecar, &row, nth).await);
        let fresh = format!("/fresh/{nth}");
        sidecar.get(&fresh).await.assert_status(200).assert_body(echo("GET", &fresh, ""));
        expected.push(reached("GET", &fresh, ""));
        audit(&origin, &expected);
    }
    println!("{} rows, {} of them as POST too", count.0, count.1);
}

/// Sends one row and checks what its client is told; returns what the app must have been asked.
async fn send(sidecar: &Sidecar, row: &Row, nth: usize) -> Vec<Reached> {
    let mut client = sidecar.client().await;
    client.send_bytes(&row.bytes).await;
    let mut expected = Vec::new();
    match row.want {
        Want::Refused(status) | Want::BrokenOff(status) => {
            let refusal = client.answer("GET").await;
            refusal.assert_status(status).assert_field("connection", "close").assert_complete();
            let after = client.closed().await;
            assert!(after.is_empty(), "after the refusal came\n{}", readable(&after));
        }
        Want::Unfinished => {
            client.finish_sending().await;
            let told = client.closed().await;
            assert!(!told.starts_with(b"HTTP/1.1 2"), "half a request was answered\n{}", readable(&told));
        }
        Want::Reaches(requests) => {
            let mut last = None;
            for (method, target, body) in requests {
                let answer = client.answer(method).await;
                answer.assert_status(200).assert_body(echo(method, target, body));
                expected.push(reached(method, target, body));
                last = Some(answer);
            }
            let same = format!("/same/{nth}");
            if usable(&mut client, &last.expect("a row names its requests"), &same).await {
                expected.push(reached("GET", &same, ""));
            }
        }
    }
    expected
}

/// Uses the connection again, unless its last answer has announced its end.
async fn usable(client: &mut Client, last: &Answer, target: &str) -> bool {
    if last.fields.joined("connection").eq_ignore_ascii_case("close") || last.version == "HTTP/1.0" {
        let after = client.closed().await;
        assert!(after.is_empty(), "more than one answer:\n{}", readable(&after));
        return false;
    }
    client.get(target).await.assert_status(200).assert_body(echo("GET", target, ""));
    true
}

/// Everything the app was asked, from the start: nothing else, nothing twice, nothing in another form.
#[track_caller]
fn audit(origin: &Origin, expected: &[Reached]) {
    let log = origin.log();
    for received in &log {
        let origin_form = received.target.starts_with('/') || received.method == "OPTIONS";
        assert!(origin_form, "target {:?}", received.target);
        assert_eq!(received.fields.all("host").count(), 1, "{}", received.fields);
        for unheard in ["upgrade", "http2-settings", "proxy-connection", "keep-alive", "te", "trailer"] {
            assert_eq!(received.field(unheard), None, "{}", received.fields);
        }
        let framed = received.field("content-length").is_some() || received.field("transfer-encoding").is_some();
        assert!(framed || received.body.is_empty());
    }
    let whole = log.iter().filter(|received| received.complete);
    let asked: Vec<Reached> = whole
        .map(|received| reached(&received.method, &received.target, &String::from_utf8_lossy(&received.body)))
        .collect();
    let differs = (0..asked.len().max(expected.len())).find(|at| asked.get(*at) != expected.get(*at));
    if let Some(at) = differs {
        panic!("request {at} at the app is {:?}, and should be {:?}", asked.get(at), expected.get(at));
    }
}
