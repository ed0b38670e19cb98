//! Whatever the body, however it comes, whichever way it goes: decoded by others, it is the app's.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

use crate::common::{Answer, End, Origin, Received, Request, Response, Sidecar, get, head, ok, post, status, text};

const CODINGS: [&str; 5] = ["zstd", "br", "gzip", "deflate", "identity"];
/// Each is asked for in many ways.
const BODIES: u32 = 24;

/// A body and how the app sends it.
#[derive(Clone, Debug)]
struct Sent {
    body: Vec<u8>,
    /// In parts of these lengths, over and over; in one piece and with its length where there are none.
    parts: Vec<usize>,
}

impl Sent {
    fn response(&self) -> Response {
        let answer = |response: Response| response.header("Content-Type", "application/json").header("ETag", "\"v1\"");
        if self.parts.is_empty() {
            return answer(ok(&self.body));
        }
        let (mut response, mut rest) = (answer(status(200)).chunked(), &self.body[..]);
        for part in self.parts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*part).min(rest.len()));
            (response, rest) = (response.part(now), later);
        }
        response
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let length = prop_oneof![
        3 => 0_usize..2_000,
        3 => 2_000_usize..100_000,
        2 => 100_000_usize..300_000,
        1 => 1_000_000_usize..3_000_000,
    ];
    // Some of it text, some of it noise, in any mixture.
    let body = (length, 0.0..=1.0_f64, any::<u64>()).prop_map(|(length, share, seed)| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut body = text(length);
        body[..(length as f64 * share) as usize].iter_mut().for_each(|byte| {
            if random.bool() {
                *byte = random.u8(..);
            }
        });
        body
    });
    let parts = prop_oneof![
        Just(vec![]),
        proptest::collection::vec(1_000_usize..60_000, 1..5),
        // Small ones only of small bodies, below.
        proptest::collection::vec(1_usize..300, 1..5),
    ];
    (body, parts).prop_map(|(body, parts)| {
        let few = body.len() > 50_000 && parts.iter().any(|part| *part < 1_000);
        Sent { body, parts: if few { vec![50_000] } else { parts } }
    })
}

/// Answers that are yet to be decoded by others, all of them in one go.
#[derive(Default)]
struct Check {
    answers: Vec<(Answer, Vec<u8>)>,
}

impl Check {
    fn add(&mut self, what: &str, answer: Answer, expected: &[u8]) {
        answer.expect(answer.end == End::Complete, format!("{what}: a whole message"));
        if let Some(length) = answer.field("content-length") {
            answer.expect(length == answer.body.len().to_string(), format!("{what}: the length of the body"));
        }
        self.answers.push((answer, expected.to_vec()));
    }

    /// By the codings' own tools, by Node.js, which knows no zstd before its version 22.15, and by Python, which knows
    /// neither zstd nor br. All in one go: a process for each body would take minutes.
    fn finish(self) {
        for (coding, tool) in [("br", &["brotli", "-d"][..]), ("zstd", &["zstd", "-dq"]), ("gzip", &["gzip", "-d"])] {
            let (dir, files) = self.written(coding, suffix(coding));
            run(Command::new(tool[0]).args(&tool[1..]).args(&files));
            self.assert_all_decoded(coding, dir.path());
        }
        let python = "import sys, zlib\n\
            for file in sys.argv[2:]:\n    \
                decoder = zlib.decompressobj({'gzip': 31, 'deflate': 15}[sys.argv[1]])\n    \
                body = decoder.decompress(open(file, 'rb').read())\n    \
                assert decoder.eof and not decoder.unused_data, file\n    \
                open(file.rsplit('.', 1)[0], 'wb').write(body)\n";
        let node = "const [coding, ...files] = process.argv.slice(1); const [fs, zlib] = [require('fs'), require('zlib')]; \
            const decode = { gzip: zlib.gunzipSync, deflate: zlib.inflateSync, br: zlib.brotliDecompressSync }[coding]; \
            files.forEach(file => fs.writeFileSync(file.replace(/[.][a-z]+$/, ''), decode(fs.readFileSync(file))));";
        for (program, option, script, coding) in [
            ("python3", "-c", python, "gzip"),
            ("python3", "-c", python, "deflate"),
            ("node", "-e", node, "gzip"),
            ("node", "-e", node, "deflate"),
            ("node", "-e", node, "br"),
        ] {
            let (dir, files) = self.written(coding, "coded");
            run(Command::new(program).args([option, script, coding]).args(&files));
            self.assert_all_decoded(coding, dir.path());
        }
        for (nth, (answer, _)) in self.answers.iter().enumerate().filter(|(_, (answer, _))| answer.coding().is_none()) {
            self.assert_decoded(nth, &answer.body);
        }
    }

    /// Every body of a coding in a file of its own.
    fn written(&self, coding: &str, suffix: &str) -> (tempfile::TempDir, Vec<PathBuf>) {
        let dir = tempfile::tempdir().unwrap();
        let write = |nth: usize| {
            let file = dir.path().join(format!("{nth}.{suffix}"));
            fs::write(&file, &self.answers[nth].0.body).unwrap();
            file
        };
        let files: Vec<_> = self.of(coding).map(write).collect();
        assert!(!files.is_empty(), "no body came in {coding}");
        (dir, files)
    }

    fn assert_all_decoded(&self, coding: &str, dir: &Path) {
        for nth in self.of(coding) {
            self.assert_decoded(nth, &fs::read(dir.join(nth.to_string())).unwrap());
        }
    }

    fn of<'a>(&'a self, coding: &'a str) -> impl Iterator<Item = usize> + 'a {
        let coded = self.answers.iter().enumerate().filter(move |(_, (answer, _))| answer.coding() == Some(coding));
        coded.map(|(nth, _)| nth)
    }

    #[track_caller]
    fn assert_decoded(&self, nth: usize, decoded: &[u8]) {
        let (answer, expected) = &self.answers[nth];
        assert!(decoded == expected, "{} bytes in place of {}: {answer}", decoded.len(), expected.len());
    }
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "a decoder finds fault: {command:?}");
}

fn suffix(coding: &str) -> &str {
    match coding {
        "br" => "br",
        "zstd" => "zst",
        _ => "gz",
    }
}

#[tokio::test]
async fn decoded_it_is_what_the_app_sent() {
    // Saved seeds: the same bodies in every run.
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let mut check = Check::default();
    for nth in 0..BODIES {
        let sent = sent().new_tree(&mut runner).unwrap().current();
        let coding = CODINGS[nth as usize % CODINGS.len()];
        all_ways(&sent, coding, &mut check).await;
    }
    check.finish();
}

/// Missed, hit, revalidated, stale, passed by, posted; over HTTP/1 and HTTP/2; HEAD and ranges.
async fn all_ways(sent: &Sent, coding: &str, check: &mut Check) {
    let (stored, asked) = (sent.clone(), AtomicUsize::new(0));
    // Fresh for a moment, confirmed once, and gone after that.
    let script = move |received: &Received| {
        let fresh = |response: Response| response.header("Cache-Control", "max-age=60, stale-if-error=600");
        match (received.target.as_str(), received.field("if-none-match")) {
            ("/confirmed", Some(_)) => fresh(status(304).header("ETag", "\"v1\"")),
            ("/confirmed", None) => fresh(stored.response()).header("Age", "60"),
            ("/stale", _) if asked.fetch_add(1, SeqCst) > 0 => status(503),
            ("/stale", _) => fresh(stored.response()).header("Age", "60"),
            ("/stored", _) => fresh(stored.response()),
            _ => stored.response().header("Cache-Control", "no-store"),
        }
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let ask = |request: Request| request.header("Accept-Encoding", coding);
    let h2 = sidecar.h2c().await;
    for (target, cache) in [
        ("/stored", Some("miss")),
        ("/stored", Some("hit")),
        ("/confirmed", Some("miss")),
        ("/confirmed", None),
        ("/confirmed", Some("hit")),
        ("/stale", Some("miss")),
        ("/stale", Some("hit")),
        ("/passed", None),
    ] {
        let answer = sidecar.send(ask(get(target))).await;
        answer.assert_status(200);
        if let Some(cache) = cache {
            answer.assert_cache(cache);
        }
        check.add(target, answer, &sent.body);
        if target != "/confirmed" || cache == Some("hit") {
            check.add(target, h2.send(ask(get(target))).await, &sent.body);
        }
    }
    check.add("posted", sidecar.send(ask(post("/posted", "x"))).await, &sent.body);
    check.add("posted over HTTP/2", h2.send(ask(post("/posted", "x"))).await, &sent.body);
    // Another coding of what is stored, and the head and a part of it.
    let other = sidecar.send(get("/stored").header("Accept-Encoding", "br;q=0.5, gzip;q=0.5")).await;
    other.assert_cache("hit");
    check.add("another coding", other, &sent.body);
    let (whole, top) = (sidecar.send(ask(get("/stored"))).await, sidecar.send(ask(head("/stored"))).await);
    assert_eq!(top.field("content-encoding"), whole.field("content-encoding"), "{top}");
    assert_eq!(top.field("content-length"), Some(&*whole.body.len().to_string()), "{top}");
    top.assert_body("");
    if sent.body.len() > 100 {
        let part = sidecar.send(ask(get("/stored").header("Range", "bytes=10-59"))).await;
        part.assert_status(206).assert_no_field("content-encoding").assert_body(&sent.body[10..60]);
    }
}
