//! Bodies far larger than the sidecar's memory: each byte passes, few are held, and a slow peer slows the other down.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::common::{Framing, Held, Sidecar, Wire, noise, parse_head, within};

const GIB: u64 = 1 << 30;
/// What the sidecar may hold at most, beyond what it held before.
const MOST_HELD: u64 = 150 << 20;
/// What may be under way between a writer and a reader that does not read: sockets' buffers and the sidecar's own.
const MOST_UNDER_WAY: u64 = 48 << 20;
/// A prime, so that a piece that is lost or doubled shifts everything after it against the pattern.
const PATTERN: usize = 1_048_573;

/// A body's bytes without end, one pattern after the other.
struct Pattern {
    bytes: Vec<u8>,
    at: usize,
}

impl Pattern {
    fn new() -> Self {
        Self { bytes: noise(PATTERN), at: 0 }
    }

    /// The next bytes, at most so many.
    fn next(&mut self, most: u64) -> &[u8] {
        let start = self.at;
        let len = usize::try_from(most).map_or(64 << 10, |most| most.min(64 << 10)).min(PATTERN - start);
        self.at = (start + len) % PATTERN;
        &self.bytes[start..start + len]
    }

    /// Whether these are the next bytes.
    fn goes_on_with(&mut self, mut piece: &[u8]) -> bool {
        while !piece.is_empty() {
            let next = self.next(piece.len() as u64);
            if next != &piece[..next.len()] {
                return false;
            }
            piece = &piece[next.len()..];
        }
        true
    }
}

/// Writes a body of this length; `progress` counts what has been taken.
async fn write(
    out: &mut (impl AsyncWrite + Unpin),
    len: u64,
    chunked: bool,
    progress: &AtomicU64,
) -> std::io::Result<()> {
    let mut pattern = Pattern::new();
    let mut left = len;
    while left > 0 {
        let piece = pattern.next(left);
        if chunked {
            out.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
        }
        out.write_all(piece).await?;
        if chunked {
            out.write_all(b"\r\n").await?;
        }
        left -= piece.len() as u64;
        progress.fetch_add(piece.len() as u64, Relaxed);
    }
    if chunked { out.write_all(b"0\r\n\r\n").await } else { Ok(()) }
}

/// Reads a body to its end; its length, once every byte was right.
async fn read<S: AsyncRead + Unpin>(wire: &mut Wire<S>, mut framing: Framing) -> u64 {
    let (mut pattern, mut count) = (Pattern::new(), 0);
    while let Some(piece) = within("more of a body", wire.piece(&mut framing)).await.expect("a whole body") {
        assert!(pattern.goes_on_with(&piece), "another byte than was sent, after {count}");
        count += piece.len() as u64;
    }
    count
}

fn framing_of(len: u64, chunked: bool) -> String {
    if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {len}") }
}

/// An app that answers GET with a body of `len` bytes and counts the bytes of every other body.
struct Large {
    address: SocketAddr,
    /// Bytes of content it has written.
    written: Arc<AtomicU64>,
    /// Closed: it reads no body.
    reads: watch::Sender<bool>,
}

impl Large {
    async fn start(len: u64, fields: &'static str, chunked: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (written, reads) = (Arc::new(AtomicU64::new(0)), watch::Sender::new(true));
        let app = Self { address: listener.local_addr().unwrap(), written: written.clone(), reads: reads.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (written, mut reads) = (written.clone(), reads.subscribe());
                tokio::spawn(async move {
                    let mut wire = Wire::new(stream);
                    while let Ok(Some(head)) = wire.head().await {
                        let (line, sent) = parse_head(&head).expect("a well-formed head");
                        let framing = Framing::declared(&sent).expect("one framing").unwrap_or(Framing::Ended);
                        let _ = reads.wait_for(|reads| *reads).await;
                        let count = read(&mut wire, framing).await.to_string();
                        let out = &mut wire.stream;
                        let answer = if line.starts_with("GET") {
                            format!("HTTP/1.1 200 OK\r\n{fields}\r\n{}\r\n\r\n", framing_of(len, chunked))
                        } else {
                            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{count}", count.len())
                        };
                        if out.write_all(answer.as_bytes()).await.is_err() {
                            return;
                        }
                        if line.starts_with("GET") && write(out, len, chunked, &written).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        app
    }

    async fn sidecar(&self) -> Sidecar {
        Sidecar::in_front_of(&Held(self.address)).start().await
    }
}

/// A figure of `/proc/<pid>/status`, in bytes.
fn memory(sidecar: &Sidecar, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", sidecar.pid())).expect("the process's status");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("a line of this name");
    line.trim().strip_suffix(" kB").expect("a figure in kB").parse::<u64>().unwrap() << 10
}

/// The most that the sidecar has held since its start stays near what it held `before`.
fn assert_small(what: &str, sidecar: &Sidecar, before: u64) {
    let (most, now) = (memory(sidecar, "VmHWM"), memory(sidecar, "VmRSS"));
    println!("{what}: {} MiB before, {} MiB at most, {} MiB now", before >> 20, most >> 20, now >> 20);
    assert!(most <= before + MOST_HELD, "{what}: {most} bytes at most, {before} before");
}

/// A connection on which this was sent.
async fn connect(sidecar: &Sidecar, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(sidecar.addr()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

fn upload(len: u64, chunked: bool) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", framing_of(len, chunked))
}

/// What the app has counted, as it answered.
async fn counted<S: AsyncRead + Unpin>(wire: &mut Wire<S>) -> String {
    let head = within("the answer to an upload", wire.head()).await.unwrap().expect("an answer");
    let (line, fields) = parse_head(&head).unwrap();
    assert_eq!(line, "HTTP/1.1 200 OK");
    let mut framing = Framing::declared(&fields).unwrap().expect("a length");
    let mut body = Vec::new();
    while let Some(piece) = within("a count", wire.piece(&mut framing)).await.unwrap() {
        body.extend_from_slice(&piece);
    }
    String::from_utf8(body).unwrap()
}

async fn downloaded(stream: TcpStream) -> u64 {
    let mut wire = Wire::new(stream);
    let head = within("the head of a download", wire.head()).await.unwrap().expect("an answer");
    let (line, fields) = parse_head(&head).unwrap();
    assert_eq!(line, "HTTP/1.1 200 OK");
    read(&mut wire, Framing::declared(&fields).unwrap().expect("a framing")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_up() {
    for chunked in [false, true] {
        let app = Large::start(0, "Cache-Control: no-store", false).await;
        let sidecar = app.sidecar().await;
        let before = memory(&sidecar, "VmRSS");
        let (read, mut write_half) = connect(&sidecar, &upload(GIB, chunked)).await.into_split();
        write(&mut write_half, GIB, chunked, &AtomicU64::new(0)).await.expect("the sidecar takes it all");
        assert_eq!(counted(&mut Wire::new(read)).await, GIB.to_string());
        assert_small(if chunked { "up, chunked" } else { "up" }, &sidecar, before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gibibyte_down() {
    let cases = [("no-store", false), ("max-age=60", false), ("max-age=60", true)];
    for (cache_control, chunked) in cases {
        let fields = if cache_control == "no-store" { "Cache-Control: no-store" } else { "Cache-Control: max-age=60" };
        let app = Large::start(GIB, fields, chunked).await;
        let sidecar = app.sidecar().await;
        let before = memory(&sidecar, "VmRSS");
        assert_eq!(downloaded(connect(&sidecar, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await).await, GIB);
        assert_small(&format!("down, {cache_control}, chunked: {chunked}"), &sidecar, before);
        assert_eq!(sidecar.admin_get("/performance/cache/stats").await["entries"], 0);
    }
}

/// Waits until nothing has been taken from a writer for a while; how much was until then.
async fn stops(progress: &AtomicU64) -> u64 {
    let mut last = u64::MAX;
    let mut every = tokio::time::interval(Duration::from_millis(500));
    within("a writer to stop", async {
        loop {
            every.tick().await;
            let now = progress.load(Relaxed);
            if now > 0 && now == last {
                return now;
            }
            last = now;
        }
    })
    .await
}

const QUARTER: u64 = GIB / 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_reads_slowly_slows_the_app_down() {
    for fields in ["Cache-Control: no-store", "Cache-Control: max-age=60"] {
        let app = Large::start(QUARTER, fields, false).await;
        let sidecar = app.sidecar().await;
        let client = connect(&sidecar, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let written = stops(&app.written).await;
        println!("{fields}: the app stopped after {} KiB", written >> 10);
        assert!(written < MOST_UNDER_WAY, "{fields}: {written} bytes");
        assert_eq!(downloaded(client).await, QUARTER);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn app_that_reads_slowly_slows_the_client_down() {
    for chunked in [false, true] {
        let app = Large::start(0, "Cache-Control: no-store", false).await;
        app.reads.send_replace(false);
        let sidecar = app.sidecar().await;
        let (read, mut write_half) = connect(&sidecar, &upload(QUARTER, chunked)).await.into_split();
        let progress = Arc::new(AtomicU64::new(0));
        let counting = progress.clone();
        // The half is handed back: dropped, it would tell the sidecar that the client leaves.
        let writing =
            tokio::spawn(async move { write(&mut write_half, QUARTER, chunked, &counting).await.map(|()| write_half) });
        let written = stops(&progress).await;
        println!("chunked: {chunked}: the client stopped after {} KiB", written >> 10);
        assert!(written < MOST_UNDER_WAY, "{written} bytes");
        app.reads.send_replace(true);
        assert_eq!(counted(&mut Wire::new(read)).await, QUARTER.to_string());
        writing.await.unwrap().unwrap();
    }
}
