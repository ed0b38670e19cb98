//! Holds the source to the arrows of the design: who may name whom.
//!
//! `main → app → {server, admin, explain} → state → domain → header`. Only the front door and the wiring know pingora, and the
//! domain modules do not know each other.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Decisions and figures: pure but for their counters, each testable without the others.
const DOMAIN: [&str; 10] =
    ["advice", "cache", "cache_headers", "compress", "observe", "profile", "query", "route", "task", "traffic"];

/// Words that all share: what figures are made of, what a route says is done with its requests, why a body is not coded, how durations are written;
/// and the way of figures from a thread to where they are counted.
const SHARED: [&str; 8] = [
    "traffic::Counter",
    "traffic::Gauge",
    "traffic::Entered",
    "route::Policy",
    "route::Class",
    "compress::Skip",
    "units",
    "rings",
];

/// Who may name pingora's crates: everything else could stand on another transport.
const ON_PINGORA: [&str; 3] = ["app", "main", "server"];

/// One module naming another: `path` is what stands after `crate::`, or the name of a foreign crate.
#[derive(Debug)]
struct Arrow {
    file: PathBuf,
    line: usize,
    from: String,
    path: String,
}

impl Arrow {
    /// The module, or foreign crate, that is named.
    fn to(&self) -> &str {
        self.path.split("::").next().unwrap_or_default()
    }

    /// Why it may not be, `None` if it may.
    fn fault(&self) -> Option<&'static str> {
        let (from, to) = (&*self.from, self.to());
        let is_domain = |module: &str| DOMAIN.contains(&module);
        let is_shared = SHARED.iter().any(|shared| {
            self.path.strip_prefix(shared).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
        });
        let is_settings = self.path.split("::").nth(1) == Some("Settings");
        if to.starts_with("pingora") {
            return (!ON_PINGORA.contains(&from)).then_some("only app and server name pingora");
        }
        if from == to || is_shared {
            return None;
        }
        match from {
            "main" | "lib" | "app" => None,
            "header" => Some("header names nothing of ours"),
            "units" => Some("units names nothing of ours"),
            "rings" => Some("rings names nothing of ours"),
            "demo" => Some("the demo app stands for somebody else's: it names nothing of ours"),
            "advice" if is_domain(to) || to == "header" => None,
            domain if is_domain(domain) => {
                (to != "header").then_some("a domain module names header only, and no other domain module")
            }
            "state" => (!is_domain(to) && to != "header").then_some("state names domain modules and header only"),
            "server" if to == "admin" => (!is_settings).then_some("server does not name admin"),
            "admin" if to == "server" => (!is_settings).then_some("admin does not name server"),
            "server" | "admin" | "explain" => matches!(to, "app" | "cli" | "config" | "demo")
                .then_some("server and admin are given what they need by app"),
            "job" => matches!(to, "admin" | "app" | "cli" | "config" | "demo")
                .then_some("jobs are given what they need by app"),
            // It maps the file onto the settings of every module.
            "config" => (!is_domain(to) && !matches!(to, "server" | "admin" | "explain" | "job" | "header"))
                .then_some("config names settings, and nobody that is built from them"),
            _ => None,
        }
    }
}

#[test]
fn arrows_point_one_way() {
    let broken: Vec<String> = arrows()
        .iter()
        .filter_map(|arrow| {
            let fault = arrow.fault()?;
            Some(format!("{}:{}: {} → {}: {fault}", arrow.file.display(), arrow.line, arrow.from, arrow.path))
        })
        .collect();
    assert!(broken.is_empty(), "broken arrows:\n{}", broken.join("\n"));
}

/// A reader that finds nothing would find nothing wrong.
#[test]
fn arrows_are_found() {
    let arrows = arrows();
    assert!(arrows.iter().any(|arrow| arrow.from == "state" && arrow.to() == "cache"), "{arrows:#?}");
    assert!(arrows.iter().any(|arrow| arrow.from == "cache" && arrow.path.starts_with("traffic::Counter")));
}

#[test]
fn reading_of_paths() {
    let source = r###"
// use crate::comment;
/* crate::block /* crate::nested */ crate::still */
use crate::{cache::{Cache, stats}, traffic::Counter as Count, route};
let text = "crate::string \" crate::still"; let raw = r#"crate::raw""#; let quote = '"'; let other = '\'';
fn f<'a>(x: &'a crate::profile::Sample) { pacecar::header::Fields; pingora_core::connectors::http::connect() }
use super::pingora; let my_pingora_core = 1; xcrate::no();
"###;
    let found: Vec<(usize, String)> = paths(&code(source)).collect();
    let expected = [
        (4, "cache::Cache"),
        (4, "cache::stats"),
        (4, "traffic::Counter"),
        (4, "route"),
        (6, "profile::Sample"),
        (6, "header::Fields"),
        (6, "pingora_core"),
    ];
    assert_eq!(found, expected.map(|(line, path)| (line, path.to_owned())));
}

#[test]
fn verdicts() {
    let fault = |from: &str, path: &str| {
        Arrow { file: PathBuf::new(), line: 1, from: from.into(), path: path.into() }.fault().is_some()
    };
    for (from, path) in [
        ("cache", "traffic::Counter"),
        ("cache", "route::Policy"),
        ("cache", "header::Fields"),
        ("advice", "profile::Snapshot"),
        ("state", "cache::Cache"),
        ("admin", "state::State"),
        ("admin", "profile"),
        ("admin", "server::Settings"),
        ("server", "admin::Settings"),
        ("server", "pingora_proxy"),
        ("app", "server"),
        ("config", "server::Settings"),
        ("admin", "units::duration"),
        ("config", "units"),
        ("profile", "rings::Rings"),
    ] {
        assert!(!fault(from, path), "{from} → {path} is right");
    }
    for (from, path) in [
        ("cache", "traffic::Traffic"),
        ("cache", "traffic::Counters"),
        ("cache", "route::Routes"),
        ("profile", "cache::Outcome"),
        ("header", "cache"),
        ("advice", "state"),
        ("traffic", "state"),
        ("units", "config"),
        ("rings", "profile"),
        ("state", "server"),
        ("admin", "server::Front"),
        ("server", "admin::router"),
        ("server", "config"),
        ("cache", "pingora_http"),
        ("admin", "pingora_core"),
        ("config", "app"),
        ("demo", "state"),
    ] {
        assert!(fault(from, path), "{from} → {path} is wrong");
    }
}

/// Every arrow of the source.
fn arrows() -> Vec<Arrow> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    files.sort();
    let of_file = |file: &PathBuf| {
        let path = file.strip_prefix(&root).unwrap();
        let from = path.components().next().unwrap().as_os_str().to_string_lossy().replace(".rs", "");
        let source = code(&fs::read_to_string(file).unwrap());
        let shown = Path::new("src").join(path);
        paths(&source)
            .map(|(line, path)| Arrow { file: shown.clone(), line, from: from.clone(), path })
            .collect::<Vec<_>>()
    };
    files.iter().flat_map(of_file).collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The source with comments and literals blanked, line by line as it was. Rustdoc may link where code may not point.
fn code(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| raw_string(rest)).or_else(|| string(rest)).or_else(|| character(rest));
        match skipped {
            Some(len) => {
                code.extend(rest[..len].chars().filter(|character| *character == '\n'));
                code.push(' ');
                rest = &rest[len..];
            }
            None => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    code
}

fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    // Block comments nest.
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        let (next, step) = ["/*", "*/"]
            .into_iter()
            .zip([1, -1])
            .filter_map(|(mark, step)| Some((text[at..].find(mark)?, step)))
            .min()?;
        at += next + 2;
        depth += step;
    }
    Some(at)
}

fn string(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('"')?;
    let mut escaped = false;
    for (at, character) in inner.char_indices() {
        match character {
            '"' if !escaped => return Some(at + 2),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    Some(text.len())
}

fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.strip_prefix('r')?;
    let count = hashes.len() - hashes.trim_start_matches('#').len();
    hashes[count..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(count));
    let begin = 1 + count + 1;
    Some(text[begin..].find(&end).map_or(text.len(), |at| begin + at + end.len()))
}

/// A character literal; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('\'')?;
    let mut characters = inner.char_indices();
    match characters.next()?.1 {
        '\\' => {
            characters.next()?;
            inner[2..].find('\'').map(|at| 1 + 2 + at + 1)
        }
        first => inner[first.len_utf8()..].starts_with('\'').then(|| 1 + first.len_utf8() + 1),
    }
}

/// Every path that begins at our crate's root, with braces opened, and every crate of pingora's; with its line.
fn paths(code: &str) -> impl Iterator<Item = (usize, String)> {
    let mut found = Vec::new();
    for (number, begin) in words(code) {
        let line = 1 + code[..begin].matches('\n').count();
        let rest = &code[begin..];
        match number {
            Word::Root => {
                let Some((_, rest)) = rest.split_once("::") else { continue };
                open(rest, "", &mut |path| found.push((line, path)));
            }
            Word::Pingora => found.push((line, identifier(rest).to_owned())),
        }
    }
    found.into_iter()
}

enum Word {
    Root,
    Pingora,
}

/// Where a path begins at `crate::` or `pacecar::`, or names one of pingora's crates.
fn words(code: &str) -> Vec<(Word, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let word = identifier(&code[at..]);
        if word.is_empty() {
            at += code[at..].chars().next().map_or(1, char::len_utf8);
            continue;
        }
        let follows_path = code[..at].ends_with("::");
        let is_path = code[at + word.len()..].starts_with("::");
        if matches!(word, "crate" | "pacecar") && is_path && !follows_path {
            found.push((Word::Root, at));
        } else if word.starts_with("pingora_") && is_path && !follows_path {
            found.push((Word::Pingora, at));
        }
        at += word.len();
    }
    found
}

fn identifier(text: &str) -> &str {
    let end = text.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(text.len());
    &text[..end]
}

/// Opens `a::{b, c::d}` into `a::b` and `a::c::d`; returns what stands after it.
fn open<'a>(text: &'a str, before: &str, found: &mut impl FnMut(String)) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start();
            match rest.chars().next() {
                None => return rest,
                Some('}') => return &rest[1..],
                Some(',') => rest = &rest[1..],
                Some(_) => {
                    let after = open(rest, before, found);
                    // An alias, or what is no path at all, is skipped up to the next member.
                    rest = &after[after.find([',', '}']).unwrap_or(after.len())..];
                }
            }
        }
    }
    let name = identifier(text);
    let path = format!("{before}{name}");
    let rest = &text[name.len()..];
    match rest.strip_prefix("::") {
        Some(next) if !next.trim_start().starts_with(['<', '*']) => open(next, &format!("{path}::"), found),
        _ => {
            found(path);
            rest
        }
    }
}
