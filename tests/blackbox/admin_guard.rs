//! The admin port does not answer everybody: tokens, names, limits, the port for probes, and what the log keeps of writes.

use std::{fs, path::PathBuf};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::common::{Answer, Client, Gate, Origin, Request, Sidecar, get, ok, post, request, within};

const TOKEN: &str = "correct-horse-battery";

/// The admin port of a sidecar with this token in a file.
struct Locked {
    sidecar: Sidecar,
    file: PathBuf,
    _dir: TempDir,
}

impl Locked {
    async fn start(origin: &Origin, admin: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, format!("{TOKEN}\n")).unwrap();
        let builder = Sidecar::in_front_of(origin).admin(&format!("token_file = {file:?}\n{admin}"));
        Self { sidecar: builder.start().await, file, _dir: dir }
    }

    async fn send(&self, request: Request) -> Answer {
        Client::connect(self.sidecar.admin_addr()).await.send(request).await
    }
}

fn with(token: &str, request: Request) -> Request {
    request.header("Authorization", &format!("Bearer {token}"))
}

fn clear() -> Request {
    post("/performance/cache/clear", "{}").header("Content-Type", "application/json")
}

#[tokio::test]
async fn token_is_needed_for_everything_but_health() {
    let origin = Origin::new().otherwise(ok("hello")).start().await;
    let locked = Locked::start(&origin, "").await;
    locked.send(get("/livez")).await.assert_status(200);
    locked.send(get("/readyz?verbose")).await.assert_status(200);
    for asked in [get("/metrics"), get("/performance/cache/stats"), clear(), get("/nothing")] {
        let answer = locked.send(asked).await;
        answer.assert_status(401).assert_field("content-type", "application/problem+json");
        let challenges = answer.fields.joined("www-authenticate");
        assert_eq!(challenges, "Basic realm=\"Pacecar\", charset=\"UTF-8\", Bearer", "{answer}");
    }
    locked.send(with(TOKEN, get("/metrics"))).await.assert_status(200);
    // As curl's --user any:correct-horse-battery.
    let basic = "Basic YW55OmNvcnJlY3QtaG9yc2UtYmF0dGVyeQ==";
    locked.send(clear().header("Authorization", basic)).await.assert_status(200);
    locked.send(with("wrong", get("/metrics"))).await.assert_status(401);
    locked.send(with(&"x".repeat(10_000), get("/metrics"))).await.assert_status(401);
    locked.sidecar.get("/").await.assert_status(200);
}

#[tokio::test]
async fn another_token_in_the_file_is_taken_up_and_a_bad_one_refused() {
    let origin = Origin::new().otherwise(ok("hello")).start().await;
    let locked = Locked::start(&origin, "").await;
    fs::write(&locked.file, "s3cret\n").unwrap();
    locked.sidecar.hang_up().await;
    within("the refusal in the log", async { while locked.sidecar.logged("configuration refused").is_empty() {} })
        .await;
    locked.send(with(TOKEN, get("/metrics"))).await.assert_status(200);

    let new = "staple-staple-staple";
    fs::write(&locked.file, new).unwrap();
    // Nobody says so: the file is looked at.
    within("the new token", async { while locked.send(with(new, get("/metrics"))).await.status != 200 {} }).await;
    // While the new one was waited for it was wrong, and so often that wrong tokens may be a 429 by now.
    let old = locked.send(with(TOKEN, get("/metrics"))).await;
    old.expect(matches!(old.status, 401 | 429), "401 or 429".into());
    let log = locked.sidecar.log();
    assert!(![TOKEN, new, "s3cret"].iter().any(|token| log.contains(token)), "{log}");
}

#[tokio::test]
async fn probes_need_no_token_and_get_nothing_else() {
    let gate = Gate::new();
    let origin = Origin::new().otherwise(ok("hello").after(&gate)).start().await;
    let mut locked = Locked::start(&origin, "probe_listen = \"127.0.0.1:0\"").await;
    let address = locked.sidecar.probe_addr();
    let probe = async |asked: Request| Client::connect(address).await.send(asked.header("Host", "pod.example")).await;
    for path in ["/livez", "/healthz", "/readyz"] {
        probe(get(path)).await.assert_status(200).assert_body("ok\n");
    }
    let metrics = probe(get("/metrics")).await;
    metrics.assert_status(200).expect(metrics.text().contains("pacecar_ratelimited_total"), "metrics".into());
    let put = request("PUT", "/performance/cache/entries/a");
    for other in [get("/performance/cache/stats"), clear(), put, get("/"), get("/openapi.json")] {
        probe(with(TOKEN, other)).await.assert_status(404);
    }

    // It answers for as long as anything drains, and not longer.
    let mut client = locked.sidecar.client().await;
    let (held, ()) = tokio::join!(client.get("/"), async {
        gate.arrivals(1).await;
        locked.sidecar.terminate().await;
        within("readiness to end", async { while probe(get("/readyz")).await.status != 503 {} }).await;
        gate.open();
    });
    held.assert_status(200);
    assert_eq!(locked.sidecar.wait().await.code(), Some(0));
    assert!(TcpStream::connect(address).await.is_err(), "the probe port is still open");
}

#[tokio::test]
async fn too_many_requests_are_refused_and_counted() {
    let origin = Origin::new().otherwise(ok("hello")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut admin = Client::connect(sidecar.admin_addr()).await;
    let first = admin.send(clear()).await;
    first.assert_status(200).assert_field("ratelimit-policy", "\"cache-clear\";q=10;w=60");
    first.assert_field("ratelimit", "\"cache-clear\";r=9;t=6").assert_no_field("retry-after");
    let series = "pacecar_ratelimited_total{policy=\"cache-clear\"}";
    assert_eq!(sidecar.metric(series).await, 0.0);
    // One more comes back every six seconds: what is asked for without a pause is too much at last.
    let mut sent = 1;
    let refused = loop {
        let answer = admin.send(clear()).await;
        sent += 1;
        if answer.status != 200 {
            break answer;
        }
    };
    assert!(sent >= 11, "{sent} requests were too many");
    refused.assert_status(429).assert_field("content-type", "application/problem+json");
    let seconds = refused.number("retry-after");
    assert!((1..=6).contains(&seconds), "{refused}");
    refused.assert_field("ratelimit", &format!("\"cache-clear\";r=0;t={seconds}"));
    refused.expect(refused.text().contains("\"violated-policies\":[\"cache-clear\"]"), "the policy".into());
    assert_eq!(sidecar.metric(series).await, 1.0);
    sidecar.admin("/performance/cache/stats").await.assert_status(200);
}

#[tokio::test]
async fn host_may_be_a_name_that_the_configuration_has() {
    let origin = Origin::new().otherwise(ok("hello")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).admin("hosts = [\"pacecar.internal\"]").start().await;
    let asked =
        async |host: &str| Client::connect(sidecar.admin_addr()).await.send(get("/metrics").header("Host", host)).await;
    asked("PaceCar.internal:9090").await.assert_status(200);
    let refused = asked("evil.example").await;
    refused.assert_status(421).expect(refused.text().contains("admin.hosts"), "what to do about it".into());
}

#[tokio::test]
async fn writes_leave_a_line_in_the_log() {
    let origin = Origin::new().otherwise(ok("hello")).start().await;
    let locked = Locked::start(&origin, "").await;
    locked.send(with(TOKEN, clear())).await.assert_status(200);
    locked.send(with(TOKEN, request("DELETE", "/performance/cache/entries/a?x=s3cret"))).await.assert_status(400);
    locked.send(with(TOKEN, get("/metrics"))).await.assert_status(200);
    let lines = locked.sidecar.logged("admin write");
    let line = "method=POST path=\"/performance/cache/clear\" status=200 client=127.0.0.1 auth=\"bearer\"";
    assert!(lines.len() == 1 && lines[0].contains(line), "{lines:#?}");
    let form = post("/performance/cache/clear", "{}").header("Content-Type", "application/x-www-form-urlencoded");
    let refused = locked.send(with(TOKEN, form)).await;
    refused.assert_status(415).expect(refused.text().contains("-H 'Content-Type: application/json'"), "a hint".into());
}
