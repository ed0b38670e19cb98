//! What others make of the metrics: promtool, Prometheus itself, and the parser of its client library.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command as AsyncCommand};

use crate::{
    apps::{Program, installed, python, run, source},
    common::{Answer, App, Client, Gate, Origin, Sidecar, get, head, ok, post, status, within},
};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A route whose name looks like what comes after it. Quotes, backslashes and control characters cannot be in one, nor in
/// the name of an endpoint.
const ROUTE: &str = "all a's } 1 # {le=1},";

/// A sidecar that has answered a little of everything; three times `/page`.
async fn used(origin: &Origin) -> Sidecar {
    let route = format!("[[route]]\nname = \"{ROUTE}\"\nmatch = \"/a/**\"\n");
    let sidecar = Sidecar::in_front_of(origin).config(&route).start().await;
    for path in ["/page", "/page", "/page", "/a/first", "/a/second", "/missing"] {
        sidecar.get(path).await;
    }
    sidecar.send(head("/other")).await;
    sidecar.send(post("/form", "body")).await;
    // Each is counted after its answer, so that the last to be answered may not be the last to be counted.
    let counted = async |sidecar: &Sidecar| {
        let text = metrics(sidecar, TEXT).await;
        let lines = text.lines().filter(|line| line.starts_with("pacecar_http_requests_total{"));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum::<f64>()
    };
    within("8 requests to be counted", async { while counted(&sidecar).await != 8.0 {} }).await;
    sidecar
}

async fn origin() -> Origin {
    let page = ok("page ".repeat(1000)).header("Cache-Control", "max-age=60").header("Content-Type", "text/html");
    Origin::new().route("/page", page).route("/missing", status(404)).otherwise(ok("hello")).start().await
}

async fn metrics(sidecar: &Sidecar, format: &str) -> String {
    let request = get("/metrics").header("Accept", format.split(';').next().unwrap());
    let answer = Client::connect(sidecar.admin_addr()).await.send(request).await;
    answer.assert_status(200).assert_complete().assert_field("content-type", format);
    answer.text()
}

/// How many lines have a value.
fn samples(text: &str) -> usize {
    text.lines().filter(|line| !line.starts_with('#')).count()
}

/// A program of Debian's package.
fn program(name: &str) -> Command {
    Command::new(installed("prometheus").join("usr/bin").join(name))
}

#[tokio::test]
async fn promtool_finds_no_fault() {
    let origin = origin().await;
    let unused = Sidecar::in_front_of(&origin).start().await;
    for sidecar in [unused, used(&origin).await] {
        let text = metrics(&sidecar, TEXT).await;
        let mut command = program("promtool");
        command.args(["check", "metrics"]);
        let mut command = AsyncCommand::from(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{error}: {command:?}"));
        let mut stdin = child.stdin.take().expect("a pipe was asked for");
        let written = within("promtool to read", stdin.write_all(text.as_bytes())).await;
        drop(stdin);
        let output = within("promtool to end", child.wait_with_output()).await.unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && said.is_empty() && written.is_ok(), "{}: {said}\n{text}", output.status);
    }
}

#[tokio::test]
async fn parser_of_the_client_library_reads_the_same_in_both_formats() {
    let origin = origin().await;
    let sidecar = used(&origin).await;
    let (openmetrics, text) = (metrics(&sidecar, OPENMETRICS).await, metrics(&sidecar, TEXT).await);
    let client = python("clients", source("tests/apps/clients/metrics_client.py"));
    let told = run(client, &json!({ "openmetrics": openmetrics, "text": text })).await;
    // What the kernel says of the process is another thing each time.
    let of_ours = |format: &str| {
        let samples = told[format].as_array().unwrap().iter();
        samples.filter(|sample| !sample[0].as_str().unwrap().starts_with("process_")).collect::<Vec<_>>()
    };
    assert_eq!(of_ours("openmetrics"), of_ours("text"));
    for (format, exposed) in [("openmetrics", openmetrics), ("text", text)] {
        assert_eq!(told[format].as_array().unwrap().len(), samples(&exposed), "{format}");
    }
    let expected = json!(["pacecar_cache_route_requests_total", [["result", "miss"], ["route", ROUTE]], 2.0]);
    assert!(of_ours("openmetrics").contains(&&expected), "no {expected} in {:#}", told["openmetrics"]);
}

/// Prometheus, which scrapes each of these addresses every second under the name of a job.
struct Prometheus {
    program: Program,
    _dir: tempfile::TempDir,
}

impl Prometheus {
    async fn scraping(jobs: &[(&str, std::net::SocketAddr)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let jobs: Vec<Value> = jobs
            .iter()
            .map(|(job, address)| json!({ "job_name": job, "static_configs": [{ "targets": [address] }] }))
            .collect();
        // YAML has all of JSON in it.
        let config = json!({ "global": { "scrape_interval": "1s" }, "scrape_configs": jobs });
        std::fs::write(dir.path().join("prometheus.yml"), config.to_string()).unwrap();
        let mut command = program("prometheus");
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:0"]);
        command.current_dir(dir.path());
        let prometheus = Self { program: Program::start(command, "msg=\"Listening on\" address="), _dir: dir };
        // It listens before it has read what it stores.
        within("Prometheus to be ready", async { while prometheus.get("/-/ready").await.status != 200 {} }).await;
        prometheus
    }

    async fn get(&self, target: &str) -> Answer {
        Client::connect(self.program.address).await.get(target).await
    }

    async fn api(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let escaped = |value: &str| value.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let answer = self.get(&format!("/api/v1/{path}?{}", query.join("&"))).await;
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// The value of the one series that an expression yields, if there is one.
    async fn value(&self, expression: &str) -> Option<f64> {
        let answer = self.api("query", &[("query", expression)]).await;
        let series = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{expression}: {answer:#}"));
        assert!(series.len() <= 1, "{expression}: {answer:#}");
        series.first().map(|series| series["value"][1].as_str().unwrap().parse().unwrap())
    }

    async fn until(&self, expression: &str, expected: f64) {
        let mut last = None;
        let reached = tokio::time::timeout(crate::common::PATIENCE, async {
            while last != Some(expected) {
                last = self.value(expression).await;
            }
        });
        let reached = reached.await.is_ok();
        let log = self.program.upstream().log;
        assert!(reached, "{expression} is {last:?}, not {expected}\n{}", log());
    }
}

/// The version that Debian has asks for OpenMetrics and cannot be told to ask for text, so that it is given the text of
/// the sidecar by an origin that knows nothing else.
#[tokio::test]
async fn prometheus_takes_every_sample_in_both_formats() {
    let origin = origin().await;
    let sidecar = used(&origin).await;
    let text = metrics(&sidecar, TEXT).await;
    let replayed = Origin::new().route("/metrics", ok(&text).header("Content-Type", TEXT)).start().await;
    let prometheus = Prometheus::scraping(&[("openmetrics", sidecar.admin_addr()), ("text", replayed.address())]).await;

    for job in ["openmetrics", "text"] {
        prometheus.until(&format!("up{{job=\"{job}\"}}"), 1.0).await;
        let requests =
            format!("pacecar_http_requests_total{{job=\"{job}\",route=\"/page\",method=\"GET\",status=\"200\"}}");
        prometheus.until(&requests, 3.0).await;
        // No line was lost on the way: none was misread, none was another's double.
        for figure in ["scraped", "post_metric_relabeling"] {
            prometheus.until(&format!("scrape_samples_{figure}{{job=\"{job}\"}}"), samples(&text) as f64).await;
        }
        let stored = format!("count({{job=\"{job}\",__name__=~\"(pacecar|process)_.*\"}})");
        prometheus.until(&stored, samples(&text) as f64).await;
        let route = format!("pacecar_cache_route_requests_total{{job=\"{job}\",result=\"miss\",route=\"{ROUTE}\"}}");
        prometheus.until(&route, 2.0).await;
        // Units are told in OpenMetrics alone.
        let metric = "pacecar_http_response_body_bytes";
        let target = format!("{{job=\"{job}\"}}");
        let told = prometheus.api("targets/metadata", &[("match_target", &target), ("metric", metric)]).await;
        assert_eq!(told["data"][0]["type"], "histogram", "{told:#}");
        assert_eq!(told["data"][0]["unit"], if job == "openmetrics" { "bytes" } else { "" }, "{told:#}");
    }

    // It goes on: what is asked for now is in one of the next scrapes.
    sidecar.get("/page").await.assert_cache("hit");
    prometheus.until("pacecar_cache_requests_total{job=\"openmetrics\",result=\"hit\"}", 3.0).await;
    let log = (prometheus.program.upstream().log)();
    assert!(!log.contains("ngesting") && !log.contains("level=error"), "{log}");
}

#[tokio::test]
async fn waits_for_the_fetch_of_another_are_counted() {
    let (first, last) = (Gate::new(), Gate::new());
    let slow = ok("begin").header("Cache-Control", "max-age=60").after(&first).wait(&last).part("end");
    let origin = Origin::new().route("/slow", slow).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = sidecar.client().await;
        client.send_bytes(format!("GET /slow HTTP/1.1\r\nHost: {}\r\n\r\n", sidecar.addr())).await;
        clients.push(client);
    }
    first.arrivals(1).await;
    first.open();
    // Before its end the response is in no store: who has its head now has shared the fetch.
    let mut answers = Vec::new();
    for client in &mut clients {
        answers.push(client.incoming("GET").await);
    }
    assert_eq!(sidecar.metric("pacecar_cache_lock_wait_seconds_count").await, 2.0);
    assert!(sidecar.metric("pacecar_cache_lock_wait_seconds_sum").await > 0.0);
    last.open();
    for answer in answers {
        answer.finish().await.assert_body("beginend");
    }
    sidecar.get("/slow").await.assert_cache("hit");
    assert_eq!(sidecar.metric("pacecar_cache_lock_wait_seconds_count").await, 2.0);
}

#[tokio::test]
async fn bodies_are_counted_by_size() {
    let origin = Origin::new().route("/large", ok([b'x'; 5000])).otherwise(ok("hello")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/large").await.assert_status(200);
    sidecar.send(head("/large")).await.assert_status(200);
    sidecar.send(post("/", [b'x'; 300])).await.assert_body("hello");
    sidecar.send(post("/", "").chunks(["some ", "body"])).await.assert_body("hello");
    sidecar.until_metric("pacecar_http_response_body_bytes_count", 4.0).await;
    for (series, expected) in [
        ("http_response_body_bytes_sum", 5010.0),
        ("http_response_body_bytes_bucket{le=\"256\"}", 3.0),
        ("http_response_body_bytes_bucket{le=\"4096\"}", 3.0),
        ("http_response_body_bytes_bucket{le=\"16384\"}", 4.0),
        ("http_request_body_bytes_count", 2.0),
        ("http_request_body_bytes_sum", 309.0),
        ("http_request_body_bytes_bucket{le=\"256\"}", 1.0),
        ("http_request_body_bytes_bucket{le=\"1024\"}", 2.0),
    ] {
        assert_eq!(sidecar.metric(&format!("pacecar_{series}")).await, expected, "{series}");
    }
}
