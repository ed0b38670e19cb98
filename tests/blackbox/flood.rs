//! Floods: what clients and the app can make the sidecar hold stays within `max_bytes` and a margin, whatever they send,
//! and each request is answered right all the same.

use std::{fs, sync::Arc, time::Instant};

use tokio::task::JoinSet;

use crate::common::{Answer, Client, Origin, Received, Request, Response, Sidecar, get, noise, ok, status};

/// The bound that every sidecar here is given.
const MAX_BYTES: u64 = 64 << 20;
/// What the process may hold besides: its code, its connections, what is on its way.
const MARGIN: u64 = 150 << 20;
/// A bound that a flood of small things reaches.
const MAX_ENTRIES: u64 = 5_000;
/// Connections that a flood comes by.
const CLIENTS: usize = 4;
const OBJECT: usize = 8 << 20;

struct Flooded {
    name: &'static str,
    sidecar: Sidecar,
    _origin: Origin,
    began: Instant,
}

impl Flooded {
    async fn new(name: &'static str, script: impl Fn(&Received) -> Response + Send + Sync + 'static) -> Self {
        let origin = Origin::new().otherwise(script).start().await;
        let config = format!("[cache]\nmax_bytes = \"64MiB\"\nmax_entries = {MAX_ENTRIES}");
        let sidecar = Sidecar::in_front_of(&origin).config(&config).start().await;
        Self { name, sidecar, _origin: origin, began: Instant::now() }
    }

    /// Sends so many requests and checks each answer.
    async fn send(
        &self,
        count: usize,
        request: impl Fn(usize) -> Request + Copy + Send + 'static,
        check: impl Fn(usize, &Answer) + Copy + Send + 'static,
    ) {
        let mut clients = JoinSet::new();
        for first in 0..CLIENTS {
            let mut client = self.sidecar.client().await;
            clients.spawn(async move {
                for nth in (first..count).step_by(CLIENTS) {
                    let answer = client.send(request(nth)).await;
                    check(nth, &answer);
                }
            });
        }
        clients.join_all().await;
    }

    /// A figure of the process's status, in bytes.
    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.sidecar.pid())).expect("the process's status");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("such a line");
        line.trim().strip_suffix(" kB").expect("a figure in kB").parse::<u64>().unwrap() << 10
    }

    async fn metric(&self, series: &str) -> u64 {
        self.sidecar.metric(&format!("pacecar_{series}")).await as u64
    }

    /// Holds the process to its bounds, and the counters to each other: what was stored is held, or was evicted.
    async fn assert_bounded(&self) {
        let (most, now) = (self.memory("VmHWM"), self.memory("VmRSS"));
        let (entries, bytes) = (self.metric("cache_entries").await, self.metric("cache_bytes").await);
        let stored = self.metric("cache_stores_total{result=\"stored\"}").await;
        let mut evicted = [0; 3];
        for (count, reason) in evicted.iter_mut().zip(["capacity", "expired", "purged"]) {
            *count = self.metric(&format!("cache_evictions_total{{reason=\"{reason}\"}}")).await;
        }
        println!(
            "{}: {} MiB at most, {} MiB now; {stored} stored, {entries} entries in {} MiB, {evicted:?} evicted for \
             room, by time, by purge; {:.1} s",
            self.name,
            most >> 20,
            now >> 20,
            bytes >> 20,
            self.began.elapsed().as_secs_f64(),
        );
        assert!(most <= MAX_BYTES + MARGIN, "{}: {most} bytes at most", self.name);
        assert!(bytes <= MAX_BYTES && entries <= MAX_ENTRIES, "{}: {bytes} bytes, {entries} entries", self.name);
        assert_eq!(stored, entries + evicted.iter().sum::<u64>(), "{}: stored is held or evicted", self.name);
    }
}

#[track_caller]
fn assert_echo(answer: &Answer, expected: impl AsRef<[u8]>) {
    answer.assert_status(200).assert_body(expected);
}

fn numbered(nth: usize) -> Request {
    get(&format!("/{nth}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unique_urls() {
    let flooded =
        Flooded::new("unique URLs", |received| ok(&received.target).header("Cache-Control", "max-age=600")).await;
    flooded.send(20_000, numbered, |nth, answer| assert_echo(answer, format!("/{nth}"))).await;
    flooded.assert_bounded().await;
    assert!(flooded.metric("cache_evictions_total{reason=\"capacity\"}").await >= 15_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unique_urls_with_large_heads() {
    let script = |received: &Received| {
        let response = ok(&received.target).header("Cache-Control", "max-age=600");
        (0..30).fold(response, |response, nth| response.header(&format!("X-Large-{nth}"), &"x".repeat(1000)))
    };
    let flooded = Flooded::new("30 KB of head each", script).await;
    flooded.send(5_000, numbered, |nth, answer| assert_echo(answer, format!("/{nth}"))).await;
    flooded.assert_bounded().await;
    assert!(flooded.metric("cache_evictions_total{reason=\"capacity\"}").await >= 2_500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unique_queries_of_what_is_not_there() {
    let script = |received: &Received| {
        status(404).part(received.target.len().to_string()).header("Cache-Control", "max-age=600")
    };
    let flooded = Flooded::new("404 with unique queries of 8 KB", script).await;
    let query = |nth: usize| get(&format!("/gone?q={nth:06}{}", "x".repeat(8_000)));
    flooded
        .send(10_000, query, |_, answer| {
            answer.assert_status(404).assert_body("8014");
        })
        .await;
    flooded.assert_bounded().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variants_of_one_url() {
    let script = |received: &Received| {
        ok(received.field("x-theme").unwrap_or_default())
            .part(noise(20_000))
            .header("Cache-Control", "max-age=600")
            .header("Vary", "X-Theme")
    };
    let flooded = Flooded::new("1000 variants", script).await;
    let themed = |nth: usize| get("/").header("X-Theme", &format!("{nth:04}"));
    flooded
        .send(1000, themed, |nth, answer| {
            assert_echo(answer, [format!("{nth:04}").as_bytes(), &noise(20_000)].concat())
        })
        .await;
    flooded.assert_bounded().await;
    assert_eq!(flooded.metric("cache_entries").await, 16, "the default of max_variants");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_objects() {
    let body = Arc::new(noise(OBJECT));
    let sent = body.clone();
    let flooded = Flooded::new("8 MiB each", move |_| ok(&*sent).header("Cache-Control", "max-age=600")).await;
    // Five times what there is room for.
    let whole = |_: usize, answer: &Answer| {
        answer.assert_status(200).assert_complete().expect(answer.body.len() == OBJECT, "8 MiB".to_owned());
    };
    flooded.send(40, numbered, whole).await;
    flooded.sidecar.get("/0").await.assert_body(&*body);
    flooded.assert_bounded().await;
    // Where two are on their way there is no room for a third, which passes and is not stored.
    assert!(flooded.metric("cache_evictions_total{reason=\"capacity\"}").await >= 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_of_what_is_not_cacheable() {
    let script = |received: &Received| ok(&received.target).header("Cache-Control", "no-store");
    let flooded = Flooded::new("unique URLs, not cacheable", script).await;
    flooded.send(20_000, numbered, |nth, answer| assert_echo(answer, format!("/{nth}"))).await;
    flooded.assert_bounded().await;
    assert_eq!(flooded.metric("cache_entries").await, 0);
}

/// Clients that take the first byte of the answer and then no more for as long as the test likes.
async fn slow_readers(name: &'static str, cache_control: &'static str) {
    let body = Arc::new(noise(OBJECT));
    let sent = body.clone();
    let flooded = Flooded::new(name, move |_| ok(&*sent).header("Cache-Control", cache_control)).await;
    let mut clients: Vec<Client> = Vec::new();
    for _ in 0..40 {
        clients.push(flooded.sidecar.client().await);
    }
    let mut reading = Vec::new();
    for client in &mut clients {
        let mut incoming = client.begin(get("/")).await;
        incoming.at_least(1).await;
        reading.push(incoming);
    }
    println!("{name}: {} MiB while they hold", flooded.memory("VmRSS") >> 20);
    for incoming in reading {
        incoming.finish().await.assert_status(200).assert_body(&*body);
    }
    flooded.assert_bounded().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_of_a_stored_object() {
    slow_readers("40 slow readers of one object", "max-age=600").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers_of_what_is_not_stored() {
    slow_readers("40 slow readers, each with a fetch of its own", "no-store").await;
}
