//! What the codings cost and gain on real files: CPU time, of this thread, not time on the clock.
//!
//! `cargo bench --bench compression` has Criterion measure each coding at each level on each file of the corpus, whole and
//! streamed. `… -- --figures` reads paths of files, a line each, and answers with one line of JSON: an array of the figures
//! of each coding and way at the default levels. It is for `nginx.py`, which sets them against nginx. `make bench` fetches the corpus and runs both.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on should stop where it is")]

use std::{
    env, fs,
    hint::black_box,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use criterion::{
    BenchmarkId, Criterion, Throughput,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use pacecar::{
    compress::{
        Settings,
        encoder::{Effort, Encoder, whole},
    },
    header::coding::Coding,
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// Where `make bench` puts the files.
const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench-corpus");
/// As many bytes reach a streamed encoder at a time: what a proxy reads from an origin at once.
const PART_BYTES: usize = 16 << 10;
/// A figure is the mean over as many repetitions as code this many bytes.
const BYTES_AT_A_TIME: usize = 2_000_000;
/// Slower ways are measured by Criterion on smaller files only, so that a run takes minutes.
const MAX_SLOW_BYTES: usize = 128 << 10;

/// How a body is coded.
#[derive(Clone, Copy)]
enum Way {
    Whole(Effort),
    /// Of unknown length.
    Streamed,
    /// The length is announced.
    Announced,
}

impl Way {
    const QUICK: [Self; 3] = [Self::Whole(Effort::Quick), Self::Streamed, Self::Announced];

    fn name(self) -> &'static str {
        match self {
            Self::Whole(Effort::Quick) => "whole",
            Self::Whole(Effort::Best) => "best",
            Self::Streamed => "streamed",
            Self::Announced => "announced",
        }
    }

    /// Codes a body; returns its coded length.
    fn code(self, coding: Coding, settings: &Settings, body: &[u8]) -> usize {
        let length = match self {
            Self::Whole(effort) => return whole(coding, effort, settings, body).unwrap().0.len(),
            Self::Streamed => None,
            Self::Announced => Some(body.len() as u64),
        };
        let mut encoder = Encoder::new(coding, settings, length).unwrap();
        let pushed: usize = body.chunks(PART_BYTES).map(|part| encoder.push(part).unwrap().len()).sum();
        pushed + encoder.finish().unwrap().len()
    }
}

/// CPU time of this thread, shown as Criterion shows time.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        cpu()
    }

    fn end(&self, begin: Duration) -> Duration {
        cpu() - begin
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap())
}

fn main() {
    if env::args().any(|argument| argument == "--figures") {
        io::stdin().lines().for_each(|path| println!("{}", figures(Path::new(&path.unwrap()))));
    } else {
        criterion();
    }
}

/// Criterion over everything; the ratios, which it does not know, are printed before.
fn criterion() {
    let corpus = corpus();
    let mut criterion = Criterion::default()
        .with_measurement(CpuTime)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(300))
        .configure_from_args();
    for (coding, levels) in
        [(Coding::Gzip, &[1, 4, 6, 9][..]), (Coding::Br, &[2, 4, 5, 6]), (Coding::Zstd, &[1, 3, 5, 6, 7, 9])]
    {
        for (level, settings) in levels.iter().map(|level| (level.to_string(), at_level(*level))) {
            for way in Way::QUICK {
                measure(&mut criterion, &corpus, coding, way, &level, &settings);
            }
        }
        measure(&mut criterion, &corpus, coding, Way::Whole(Effort::Best), "best", &Settings::default());
    }
    criterion.final_summary();
}

fn measure(
    criterion: &mut Criterion<CpuTime>,
    corpus: &[(String, Vec<u8>)],
    coding: Coding,
    way: Way,
    level: &str,
    settings: &Settings,
) {
    let is_best = matches!(way, Way::Whole(Effort::Best));
    let mut group = criterion.benchmark_group(format!("{} {level} {}", coding.name(), way.name()));
    for (name, body) in corpus.iter().filter(|(_, body)| !is_best || body.len() <= MAX_SLOW_BYTES) {
        let coded = way.code(coding, settings, body);
        println!("{} {level} {} {name}: unfolds {:.3}", coding.name(), way.name(), body.len() as f64 / coded as f64);
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(name), body, |bencher, body| {
            bencher.iter(|| way.code(coding, settings, black_box(body)));
        });
    }
    group.finish();
}

/// The defaults, with this level for every coding.
fn at_level(level: u8) -> Settings {
    Settings { gzip_level: level.into(), brotli_level: level.into(), zstd_level: level.into(), ..Settings::default() }
}

/// What each coding and way costs and makes of a file, at the default levels.
fn figures(file: &Path) -> Value {
    let (body, settings) = (fs::read(file).unwrap(), Settings::default());
    let times = (BYTES_AT_A_TIME / body.len()).max(1);
    let figure = |(coding, way): (Coding, Way)| {
        // The first time pays for fetching memory from the system.
        let coded = way.code(coding, &settings, &body);
        let begin = cpu();
        for _ in 0..times {
            way.code(coding, &settings, black_box(&body));
        }
        let took = (cpu() - begin) / u32::try_from(times).unwrap();
        json!({
            "coder": format!("{} {}", coding.name(), way.name()),
            "cpu_ns": took.as_nanos() as u64,
            "coded_bytes": coded,
        })
    };
    Coding::ALL.into_iter().flat_map(|coding| Way::QUICK.map(|way| (coding, way))).map(figure).collect()
}

fn corpus() -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(CORPUS).unwrap_or_else(|error| panic!("{CORPUS}: {error}; `make bench` fetches it"));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    paths
        .iter()
        .filter(|path| !named(path).starts_with('.'))
        .map(|path| (named(path), fs::read(path).unwrap()))
        .collect()
}
