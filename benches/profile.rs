//! What profiling costs: CPU time, of this thread, for recording a sample and merging it into the table, and beside it
//! the CPU time that the whole process takes for a hit and for a miss.
//!
//! `cargo bench --bench profile [-- ROUNDS]`, or `make bench-profile`. Each figure is the median of the rounds, which are
//! interleaved, so that a noisy machine disturbs all alike.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on should stop where it is")]

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use pacecar::profile::{Asked, CacheUse, Ending, Path, Profiler, Sample, Settings};
use rustix::time::{ClockId, clock_gettime};

/// Samples per round and kind of traffic.
const SAMPLES: usize = 200_000;
/// Requests per round and kind.
const REQUESTS: usize = 4_000;

/// The path of the request of this number.
type NthPath = fn(usize) -> String;

fn main() {
    let rounds: usize = env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(7);
    let mut processes = Processes::start();
    let kinds: [(&str, NthPath); 4] = [
        ("one path", |_| "/api/products".into()),
        ("300 endpoints", |n| format!("/api/{}/list", word(n % 300))),
        ("100 000 ids", |n| format!("/api/products/{}", n * 7919 % 100_000)),
        ("100 000 titles", |n| format!("/blog/{}", word(n * 7919 % 100_000))),
    ];
    let mut recorded: [Vec<f64>; 8] = Default::default();
    let (mut hits, mut misses) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        for (at, (_, path)) in kinds.iter().enumerate() {
            let paths: Vec<String> = (0..SAMPLES).map(path).collect();
            recorded[2 * at].push(record(&paths, None));
            let asked = Asked { first_byte: Duration::from_millis(3), in_flight: 4, ..Asked::default() };
            recorded[2 * at + 1].push(record(&paths, Some(asked)));
        }
        hits.push(processes.cpu_per_request("/products"));
        misses.push(processes.cpu_per_request("/account"));
    }
    let (hit, miss) = (median(&mut hits), median(&mut misses));
    println!(
        "CPU time of the process: {:.1} µs a hit, {:.1} µs a miss (demo app, one connection)",
        hit / 1e3,
        miss / 1e3
    );
    println!("{:<16} {:>12} {:>12} {:>14} {:>14}", "recorded", "hit", "miss", "of a hit", "of a miss");
    for (at, (name, _)) in kinds.iter().enumerate() {
        let (of_hit, of_miss) = (median(&mut recorded[2 * at].clone()), median(&mut recorded[2 * at + 1].clone()));
        println!(
            "{name:<16} {of_hit:>9.0} ns {of_miss:>9.0} ns {:>12.2} % {:>12.2} %",
            of_hit * 100.0 / hit,
            of_miss * 100.0 / miss
        );
    }
}

/// Nanoseconds of this thread for each of these requests, from the finished request to the table.
fn record(paths: &[String], upstream: Option<Asked>) -> f64 {
    let profiler = Profiler::new(Settings::default(), Instant::now(), SystemTime::now());
    let ended = Instant::now();
    let began = cpu();
    for (n, path) in paths.iter().enumerate() {
        profiler.record(Sample {
            path: Path::of(path.as_bytes()),
            method: "GET",
            status: 200,
            cache: if upstream.is_some() { CacheUse::Miss } else { CacheUse::Hit },
            result: "hit",
            ended,
            duration: Duration::from_nanos(20_000 + (n as u64 * 104_729) % 5_000_000),
            upstream,
            compression: Duration::ZERO,
            bytes: 1000,
            saved: 0,
            ending: Ending::Complete,
            trace_id: None,
            span: None,
            queries: None,
        });
    }
    profiler.settle(ended);
    (cpu() - began).as_nanos() as f64 / paths.len() as f64
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap())
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// A number in letters, which no rule folds.
fn word(mut n: usize) -> String {
    let mut word = String::new();
    loop {
        word.push(char::from(b'a' + (n % 26) as u8));
        n /= 26;
        if n == 0 {
            return word;
        }
    }
}

/// The demo app and Pacecar before it, as they are delivered.
struct Processes {
    demo: Child,
    pacecar: Child,
    front: TcpStream,
}

impl Processes {
    fn start() -> Self {
        let binary = env!("CARGO_BIN_EXE_pacecar");
        let piped = |command: &mut Command| command.stdout(Stdio::piped()).spawn().unwrap();
        let mut demo = piped(Command::new(binary).args(["demo", "--listen", "127.0.0.1:0"]));
        let app = address(&mut demo, "http://");
        let config = env::temp_dir().join(format!("pacecar-bench-{}.toml", std::process::id()));
        fs::write(&config, "[admin]\nlisten = \"127.0.0.1:0\"\n[server]\naccess_log = \"off\"\n").unwrap();
        let upstream = format!("http://{app}");
        let mut pacecar = piped(
            Command::new(binary).args(["--upstream", &upstream, "--listen", "127.0.0.1:0", "--config"]).arg(&config),
        );
        let front = TcpStream::connect(address(&mut pacecar, "listening on http://")).unwrap();
        front.set_nodelay(true).unwrap();
        Self { demo, pacecar, front }
    }

    /// Nanoseconds of CPU time that Pacecar takes for a request, the kernel's for it included.
    fn cpu_per_request(&mut self, path: &str) -> f64 {
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nAccept-Encoding: identity\r\n\r\n");
        self.exchange(&request);
        let began = self.cpu();
        for _ in 0..REQUESTS {
            self.exchange(&request);
        }
        (self.cpu() - began) as f64 / REQUESTS as f64
    }

    fn cpu(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pacecar.id())).unwrap();
        // Nanoseconds on the processor, which is what schedstat begins with.
        let spent = |task: fs::DirEntry| fs::read_to_string(task.path().join("schedstat")).unwrap();
        tasks.map(|task| spent(task.unwrap()).split(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    fn exchange(&mut self, request: &str) {
        self.front.write_all(request.as_bytes()).unwrap();
        let mut reader = BufReader::new(&mut self.front);
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert!(reader.read_line(&mut line).unwrap() > 0, "the connection ended");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).unwrap();
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for process in [&mut self.pacecar, &mut self.demo] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The address behind these words in what a process prints.
fn address(process: &mut Child, before: &str) -> String {
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = lines.map(Result::unwrap).find(|line| line.contains(before)).unwrap();
    line.rsplit("http://").next().unwrap().trim_end_matches('/').to_owned()
}
