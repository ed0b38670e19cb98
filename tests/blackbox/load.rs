//! A crowd at work while the app restarts and the configuration is read again: no wrong body, no failure without cause.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use crate::common::{
    Answer, Client, End, Origin, Received, Request, Response, Sidecar, get, noise, ok, post, status, within,
};

const CLIENTS: usize = 16;
const REQUESTS: usize = 600;
/// Different targets of each kind.
const TARGETS: usize = 5;

/// Odd while the app is down or has only just come back.
#[derive(Default)]
struct Phase(AtomicUsize);

/// A body of its path's own: its length and every byte depend on the path.
fn body_of(path: &str) -> Vec<u8> {
    let number = path.bytes().fold(7, |sum: usize, byte| (sum * 31 + usize::from(byte)) % 8191);
    let len = if path.starts_with("/large") { (200 << 10) + number } else { 100 + number };
    let mut body = noise(len + number).split_off(number);
    body.extend_from_slice(path.as_bytes());
    body
}

fn script(received: &Received) -> Response {
    let path = received.target.as_str();
    if received.method == "POST" {
        return ok([path.as_bytes(), &received.body].concat());
    }
    let etag = format!("\"{path}\"");
    if path.starts_with("/tagged") && received.field("if-none-match") == Some(&etag) {
        return status(304).header("ETag", &etag);
    }
    let answer = ok(body_of(path)).header("ETag", &etag);
    match path.split('/').nth(1) {
        Some("stored") => answer.header("Cache-Control", "max-age=60"),
        Some("large") => answer.header("Cache-Control", "max-age=60").chunked(),
        Some("short") => answer.header("Cache-Control", "max-age=0"),
        _ => answer.header("Cache-Control", "no-store"),
    }
}

/// The request that a client sends as its `nth`, and what it must be answered.
fn plan(client: usize, nth: usize) -> (Request, u16, Vec<u8>) {
    let number = (client * 7 + nth) % TARGETS;
    let kind = ["stored", "tagged", "echo", "other", "large", "short", "stored", "echo"][(client + nth) % 8];
    let path = format!("/{kind}/{number}");
    match kind {
        "echo" => {
            let body = noise(10 + nth % 3000);
            let expected = [path.as_bytes(), &body].concat();
            (post(&path, body), 200, expected)
        }
        "tagged" => (get(&path).header("If-None-Match", &format!("\"{path}\"")), 304, Vec::new()),
        _ => (get(&path), 200, body_of(&path)),
    }
}

/// What one client has seen.
#[derive(Default)]
struct Seen {
    right: usize,
    /// 502, 504 or cut, while the app was down.
    excused: usize,
}

async fn client(number: usize, address: std::net::SocketAddr, phase: Arc<Phase>, done: Arc<AtomicUsize>) -> Seen {
    let mut seen = Seen::default();
    let mut connection = Client::connect(address).await;
    for nth in 0..REQUESTS {
        let (request, status, body) = plan(number, nth);
        let before = phase.0.load(SeqCst);
        let answer = connection.send(request).await;
        let calm = before.is_multiple_of(2) && before == phase.0.load(SeqCst);
        if answer.status == status && answer.end == End::Complete {
            assert!(answer.body == body, "another body than the path's\n{answer}");
            seen.right += 1;
        } else {
            let failed = [502, 504].contains(&answer.status);
            answer.expect(failed || answer.end != End::Complete, format!("{status}, or a failure that can be seen"));
            answer.expect(!calm, format!("{status}, for the app was there"));
            assert!(body.starts_with(&answer.body) || failed, "another beginning than the path's\n{answer}");
            seen.excused += 1;
        }
        if is_last(&answer) {
            connection = Client::connect(address).await;
        }
        done.fetch_add(1, SeqCst);
    }
    seen
}

fn is_last(answer: &Answer) -> bool {
    answer.end != End::Complete || answer.fields.joined("connection").eq_ignore_ascii_case("close")
}

/// Waits until the clients have finished so many requests.
async fn reaches(done: &AtomicUsize, count: usize) {
    within(format!("{count} requests"), async {
        while done.load(SeqCst) < count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Stops the app, lets the clients run against nothing, and starts it again.
async fn interrupt(origin: &Origin, sidecar: &Sidecar, phase: &Phase, done: &AtomicUsize) {
    phase.0.fetch_add(1, SeqCst);
    origin.stop().await;
    reaches(done, done.load(SeqCst) + 200).await;
    origin.restart().await;
    // A failure is shared for a moment: it is over when every target is answered again.
    for number in 0..TARGETS {
        for kind in ["stored", "tagged", "other", "large", "short"] {
            within(format!("an answer of /{kind}/{number}"), async {
                while sidecar.get(&format!("/{kind}/{number}")).await.status != 200 {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
    }
    phase.0.fetch_add(1, SeqCst);
}

async fn reload(sidecar: &Sidecar, turn: usize) {
    const TAKEN_UP: &str = "pacecar_config_reloads_total{result=\"success\"}";
    let before = sidecar.metric(TAKEN_UP).await;
    let routes = format!("\n[[route]]\nmatch = \"/short/*\"\nttl = \"{}s\"\n", turn + 1);
    fs::write(sidecar.config_path(), format!("{}{routes}", sidecar.config())).unwrap();
    sidecar.hang_up().await;
    within("the new configuration to be taken up", async { while sidecar.metric(TAKEN_UP).await <= before {} }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crowd_with_restarts_and_reloads() {
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let (phase, done) = (Arc::new(Phase::default()), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> =
        (0..CLIENTS).map(|number| tokio::spawn(client(number, sidecar.addr(), phase.clone(), done.clone()))).collect();
    let total = CLIENTS * REQUESTS;
    for turn in 0..4 {
        reaches(&done, total * (turn + 1) / 6).await;
        reload(&sidecar, turn).await;
        if turn % 2 == 1 {
            interrupt(&origin, &sidecar, &phase, &done).await;
        }
    }
    let (mut right, mut excused) = (0, 0);
    for client in clients {
        let seen = client.await.expect("no client saw what it should not");
        right += seen.right;
        excused += seen.excused;
    }
    println!("{total} requests: {right} right, {excused} while the app was down; {} at the app", origin.requests());
    assert_eq!(right + excused, total);
    sidecar.until_metric("pacecar_http_requests_in_flight", 0.0).await;
    assert_eq!(sidecar.metric("pacecar_panics_total").await, 0.0);
    assert_eq!(sidecar.metric("pacecar_upstream_errors_total{reason=\"malformed\"}").await, 0.0);
}
