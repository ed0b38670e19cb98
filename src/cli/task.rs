//! `pacecar task`: has a running Pacecar do something in the background, follows it, and prints what came of it.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use clap::{Subcommand, ValueEnum};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Admin, WRONG_USE,
    bar::{Bar, Shown},
    port::{Port, Unanswered, plain},
    print,
};
use crate::advice::say;

const TASKS: &str = "/performance/tasks";
/// How often it is looked how far a task is: sooner in the beginning, and then less often than the admin port allows.
const LOOKS: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(500), Duration::from_secs(1)];
/// The same where the admin port says that these are too many questions.
const REST: Duration = Duration::from_secs(5);

/// What is to be done, and of which Pacecar.
#[derive(Debug, clap::Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(flatten)]
    admin: Admin,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask for pages, so that they are in the cache
    Warm {
        /// Pages: URLs of its own hosts, or paths
        #[arg(value_name = "URL", required_unless_present = "sitemap", conflicts_with = "sitemap")]
        urls: Vec<String>,
        /// All pages of a sitemap
        #[arg(long, value_name = "URL")]
        sitemap: Option<String>,
        /// Requests per second, 1 to 100
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100))]
        rate: Option<u64>,
        /// Requests at a time, 1 to 10
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10))]
        concurrency: Option<u64>,
        /// Print the id, and do not wait
        #[arg(long)]
        no_wait: bool,
    },
    /// Drop what matches a glob of paths from the cache, such as "/products/**"
    Purge {
        /// `*` stands for any characters but /, `**` for any
        pattern: String,
        /// Only of this host
        #[arg(long)]
        host: Option<String>,
        /// Declare it stale instead
        #[arg(long)]
        soft: bool,
        /// Only count it
        #[arg(long)]
        dry_run: bool,
        /// Print the id, and do not wait
        #[arg(long)]
        no_wait: bool,
    },
    /// Ask the database how it would execute a query
    Explain {
        /// Such as q_5a1f0c33d2e94b07
        query_id: String,
        /// Print the id, and do not wait
        #[arg(long)]
        no_wait: bool,
    },
    /// Measure which of two pages is faster
    Compare {
        /// URL of the one
        a: String,
        /// URL of the other
        b: String,
        /// Whom the one is asked of
        #[arg(long, value_name = "WHO", default_value = "proxy")]
        a_from: From,
        /// Whom the other is asked of
        #[arg(long, value_name = "WHO", default_value = "proxy")]
        b_from: From,
        /// Of each, 10 to 1000
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(10..=1000))]
        requests: Option<u64>,
        /// Print the id, and do not wait
        #[arg(long)]
        no_wait: bool,
    },
    /// List tasks, the newest first
    List {
        /// pending, running, completed, failed or cancelled
        #[arg(long)]
        status: Option<String>,
    },
    /// Print what is known of a task
    Show {
        /// Such as task_5a1f…
        id: String,
    },
    /// Cancel a task
    Cancel {
        /// Such as task_5a1f…
        id: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum From {
    Proxy,
    App,
}

impl From {
    fn word(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::App => "app",
        }
    }
}

/// A task, as far as it is printed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Task {
    id: String,
    name: String,
    status: String,
    progress: Option<u64>,
    created_at: Option<String>,
    queue_ms: Option<u64>,
    execution_ms: Option<u64>,
    error: Option<Error>,
    history: Vec<Step>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Error {
    reason: String,
    detail: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Step {
    at: String,
    to: String,
    by: String,
    reason: Option<String>,
    detail: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Tasks {
    tasks: Vec<Task>,
    total: u64,
}

/// Why nothing came of it, and what to exit with.
#[derive(Debug)]
enum Failed {
    /// What was asked for is wrong.
    Usage(String),
    /// It failed, or cannot be asked.
    Failed(String),
}

impl std::convert::From<Unanswered> for Failed {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered.status {
            Some(400) => Self::Usage(unanswered.why),
            _ => Self::Failed(unanswered.why),
        }
    }
}

/// Does it, and prints what came of it.
pub(super) fn task(args: &Args) -> ExitCode {
    let (code, why) = match done(args) {
        Ok(text) => return print(&text),
        Err(Failed::Usage(why)) => (ExitCode::from(WRONG_USE), why),
        Err(Failed::Failed(why)) => (ExitCode::FAILURE, why),
    };
    let _ = writeln!(io::stderr(), "{}", plain(&why));
    code
}

fn done(args: &Args) -> Result<String, Failed> {
    let port = args.admin.port().map_err(Failed::Usage)?;
    let shown = |body: Vec<u8>, show: &dyn Fn(&[u8]) -> Result<String, Failed>| match args.json {
        true => Ok(String::from_utf8_lossy(&body).trim_end().to_owned() + "\n"),
        false => show(&body).map(|text| plain(&text)),
    };
    match &args.command {
        Command::List { status } => {
            let query = status.as_ref().map_or_else(String::new, |status| format!("&status={}", encoded(status)));
            let body = port.get(&format!("{TASKS}?limit=100{query}"))?;
            shown(body, &|body| Ok(list(&port.read(body)?)))
        }
        Command::Show { id } => shown(port.get(&of(id))?, &|body| Ok(detail(&port.read(body)?))),
        Command::Cancel { id } => {
            shown(port.delete(&of(id))?, &|body| Ok(format!("{} is cancelled\n", port.read::<Task>(body)?.id)))
        }
        command => {
            let (wish, no_wait) = wish(command);
            let body = port.post(TASKS, &Value::from(wish).to_string())?;
            let task: Task = port.read(&body)?;
            if no_wait {
                return shown(body, &|_| Ok(format!("{}\n", task.id)));
            }
            let result = follow(&port, task)?;
            shown(result, &|body| Ok(outcome(&port.read(body)?)))
        }
    }
}

/// What is asked for, in the words of the admin port, and whether nobody waits for it.
fn wish(command: &Command) -> (Map<String, Value>, bool) {
    let (wish, no_wait) = match command {
        Command::Warm { urls, sitemap, rate, concurrency, no_wait } => {
            let mut wish = json!({ "kind": "cache_warmup", "rate": rate, "concurrency": concurrency });
            match sitemap {
                Some(sitemap) => wish["sitemap"] = sitemap.as_str().into(),
                None => wish["urls"] = urls.as_slice().into(),
            }
            (wish, no_wait)
        }
        Command::Purge { pattern, host, soft, dry_run, no_wait } => {
            let mode = if *soft { "soft" } else { "hard" };
            let wish =
                json!({ "kind": "cache_purge", "pattern": pattern, "host": host, "mode": mode, "dry_run": dry_run });
            (wish, no_wait)
        }
        Command::Explain { query_id, no_wait } => (json!({ "kind": "query_explain", "query_id": query_id }), no_wait),
        Command::Compare { a, b, a_from, b_from, requests, no_wait } => {
            let side = |url: &str, from: From| json!({ "url": url, "from": from.word() });
            let (a, b) = (side(a, *a_from), side(b, *b_from));
            (json!({ "kind": "compare", "a": a, "b": b, "requests": requests }), no_wait)
        }
        Command::List { .. } | Command::Show { .. } | Command::Cancel { .. } => (Value::Null, &false),
    };
    let given = wish.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    (given.map(|(key, value)| (key.clone(), value.clone())).collect(), *no_wait)
}

fn of(id: &str) -> String {
    format!("{TASKS}/{}", encoded(id))
}

/// Percent-encoded but for what no id or status has otherwise (RFC 3986 §2.3).
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Waits for the end of a task, and shows how far it is. Its result.
fn follow(port: &Port, mut task: Task) -> Result<Vec<u8>, Failed> {
    let interrupts = interrupts();
    let mut looks = LOOKS.into_iter().chain(std::iter::repeat(LOOKS[3]));
    let mut bar = Bar::new();
    loop {
        let Task { id, name, status, progress, error, .. } = &task;
        match status.as_str() {
            "completed" => {
                bar.end();
                return Ok(port.get(&format!("{}/result", of(id)))?);
            }
            "failed" | "cancelled" => {
                bar.end();
                let why =
                    error.as_ref().map_or_else(String::new, |error| format!(": {}: {}", error.reason, error.detail));
                return Err(Failed::Failed(format!("{name}: {status}{why}")));
            }
            _ => bar.show(Shown { name: name.clone(), status: status.clone(), percent: *progress }),
        }
        let look = match interrupts.recv_timeout(looks.next().unwrap_or(REST)) {
            // What has ended meanwhile is shown by the next look.
            Ok(()) => match port.delete(&of(id)) {
                Ok(_) | Err(Unanswered { status: Some(409), .. }) => port.get(&of(id)),
                Err(why) => Err(why),
            },
            Err(RecvTimeoutError::Timeout) => port.get(&of(id)),
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(LOOKS[3]);
                port.get(&of(id))
            }
        };
        match look {
            Ok(body) => task = port.read(&body)?,
            Err(Unanswered { status: Some(429), .. }) => thread::sleep(REST),
            Err(why) => {
                bar.end();
                return Err(why.into());
            }
        }
    }
}

/// Tells when somebody presses Ctrl-C. The second time, the process ends at once, and the task goes on.
fn interrupts() -> Receiver<()> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async move {
            let Ok(mut pressed) = signal(SignalKind::interrupt()) else { return };
            pressed.recv().await;
            let _ = tell.send(());
            pressed.recv().await;
            std::process::exit(1);
        });
    });
    told
}

fn list(Tasks { tasks, total }: &Tasks) -> String {
    let mut text = String::new();
    for Task { id, name, status, progress, .. } in tasks {
        let percent = progress.map_or_else(|| "    -".into(), |percent| format!("{percent:3} %"));
        let _ = writeln!(text, "{id}  {status:9}  {percent}  {name}");
    }
    match (tasks.len() as u64, *total) {
        (0, _) => text.push_str("There are no tasks.\n"),
        (shown, total) if shown < total => {
            let _ = writeln!(text, "These are the newest {shown} of {total}.");
        }
        _ => {}
    }
    text
}

fn detail(task: &Task) -> String {
    let Task { id, name, status, progress, created_at, queue_ms, execution_ms, error, history } = task;
    let mut text = format!("{name}\n  {id}\n  {status}");
    let _ = progress.map(|percent| write!(text, ", {percent} %"));
    if let Some(Error { reason, detail }) = error {
        let _ = write!(text, ": {reason}: {detail}");
    }
    text.push('\n');
    let time = |millis: &Option<u64>| millis.map(|millis| say::time(Duration::from_millis(millis)));
    for (what, told) in [("begun", created_at.clone()), ("waited", time(queue_ms)), ("took", time(execution_ms))] {
        let _ = told.map(|told| writeln!(text, "  {what} {told}"));
    }
    for Step { at, to, by, reason, detail } in history {
        let said = [reason, detail].into_iter().flatten().filter(|said| !said.is_empty());
        let said: String = said.map(|said| format!(": {said}")).collect();
        let _ = writeln!(text, "  {at}  {to} by {by}{said}");
    }
    text
}

/// What a task came to, for people.
fn outcome(result: &Value) -> String {
    match result["kind"].as_str() {
        Some("cache_warmup") => warmed(result),
        Some("cache_purge") => purged(result),
        Some("query_explain") => explained(result),
        Some("compare") => compared(result),
        _ => format!("{result:#}\n"),
    }
}

fn number(of: &Value) -> u64 {
    of.as_u64().unwrap_or_default()
}

fn words(of: &Value) -> &str {
    of.as_str().unwrap_or_default()
}

fn millis(of: &Value) -> String {
    say::time(Duration::from_millis(number(of)))
}

fn warmed(result: &Value) -> String {
    let mut text = format!("Asked for {} in {}:\n", pages(number(&result["asked"])), millis(&result["took_ms"]));
    for (key, what) in [
        ("stored", "stored now"),
        ("hits", "stored before"),
        ("revalidated", "confirmed by the app"),
        ("collapsed", "fetched by somebody else meanwhile"),
    ] {
        if number(&result[key]) > 0 {
            let _ = writeln!(text, "  {:6} {what}", number(&result[key]));
        }
    }
    for (key, what) in [("not_stored", "not stored"), ("failed", "failed")] {
        for (reason, count) in result[key]["by_reason"].as_object().into_iter().flatten() {
            let _ = writeln!(text, "  {:6} {what}: {reason}", number(count));
        }
    }
    let found = &result["pages"];
    for (count, what) in [
        (&found["foreign"], "URLs of other hosts were left out (tasks.hosts allows them)"),
        (&found["left_out"], "were more than may be asked for, and were left out"),
        (&found["unreadable"], "were no URLs"),
        (&found["sitemaps"]["left_out"], "sitemaps were too many or too deep, and were left out"),
    ] {
        if number(count) > 0 {
            let _ = writeln!(text, "  {:6} {what}", number(count));
        }
    }
    for problem in found["sitemaps"]["problems"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "  {}", words(problem));
    }
    text
}

fn pages(count: u64) -> String {
    if count == 1 { "1 page".into() } else { format!("{count} pages") }
}

fn purged(result: &Value) -> String {
    let (pattern, host) = (words(&result["pattern"]), words(&result["host"]));
    let (matched, cleared, looked_at) =
        (number(&result["matched"]), number(&result["cleared"]), number(&result["looked_at"]));
    let bytes = say::bytes(number(&result["bytes"]) as f64);
    match (result["dry_run"].as_bool(), words(&result["mode"])) {
        (Some(true), _) => format!("{matched} of {looked_at} stored responses match {host}{pattern}: {bytes}.\n"),
        (_, "soft") => {
            format!("{cleared} of {looked_at} stored responses match {host}{pattern} and are stale now: {bytes}.\n")
        }
        _ => format!("{cleared} of {looked_at} stored responses matched {host}{pattern} and are gone: {bytes}.\n"),
    }
}

fn explained(result: &Value) -> String {
    let mut text = format!("{}\n  {}\n", words(&result["query"]), words(&result["index"]["because"]));
    if let Some(cost) = result["plan"]["cost"].as_f64() {
        let _ = write!(text, "  The plan costs {cost:.1} units of the planner");
        match result["proposal"]["cost_with_index"].as_f64() {
            Some(with) => text.push_str(&format!(", and {with:.1} with the index.\n")),
            None => text.push_str(".\n"),
        }
    }
    for scan in result["plan"]["scans"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "  It scans all of {} for {}", words(&scan["table"]), words(&scan["condition"]));
    }
    text
}

fn compared(result: &Value) -> String {
    let mut text = format!("{}\n", words(&result["verdict"]));
    for name in ["a", "b"] {
        let side = &result[name];
        let ms = |key: &str| side[key].as_f64().unwrap_or_default();
        let _ = write!(
            text,
            "  {name}: median {:.2} ms, p95 {:.2} ms, {} answers of the {}, {} hits: {}",
            ms("median_ms"),
            ms("p95_ms"),
            number(&side["answers"]),
            words(&side["from"]),
            number(&side["hits"]),
            words(&side["url"])
        );
        for (error, count) in side["errors"].as_object().into_iter().flatten() {
            let _ = write!(text, "; {} failed: {error}", number(count));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "in a test, a panic is a failure")]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn wished(line: &[&str]) -> (Value, bool) {
        let Line { args } = Line::try_parse_from([&["task"], line].concat()).unwrap();
        let (wish, no_wait) = wish(&args.command);
        (wish.into(), no_wait)
    }

    #[test]
    fn what_is_asked_for() {
        for (line, expected) in [
            (&["warm", "/a", "/b"][..], json!({ "kind": "cache_warmup", "urls": ["/a", "/b"] })),
            (
                &["warm", "--sitemap", "/s", "--rate", "7", "--concurrency", "3"],
                json!({ "kind": "cache_warmup", "sitemap": "/s", "rate": 7, "concurrency": 3 }),
            ),
            (
                &["purge", "/p/**"],
                json!({ "kind": "cache_purge", "pattern": "/p/**", "mode": "hard", "dry_run": false }),
            ),
            (
                &["purge", "/p/**", "--soft", "--dry-run", "--host", "a"],
                json!({ "kind": "cache_purge", "pattern": "/p/**", "host": "a", "mode": "soft", "dry_run": true }),
            ),
            (&["explain", "q_1"], json!({ "kind": "query_explain", "query_id": "q_1" })),
            (
                &["compare", "/a", "/b", "--b-from", "app", "--requests", "10"],
                json!({
                    "kind": "compare", "a": { "url": "/a", "from": "proxy" }, "b": { "url": "/b", "from": "app" },
                    "requests": 10,
                }),
            ),
        ] {
            assert_eq!(wished(line), (expected.clone(), false), "{line:?}");
            assert_eq!(wished(&[line, &["--no-wait"]].concat()), (expected, true), "{line:?}");
        }
    }

    #[test]
    fn ids_are_parts_of_a_path() {
        assert_eq!(of("task_1a"), "/performance/tasks/task_1a");
        assert_eq!(of("../a?b#c d"), "/performance/tasks/..%2Fa%3Fb%23c%20d");
    }

    #[test]
    fn lists_and_details() {
        let task = json!({
            "id": "task_1", "name": "cache_purge of /a", "status": "failed", "progress": 7, "kind": "cache_purge",
            "created_at": "2026-01-01T00:00:00.000Z", "queue_ms": 3, "execution_ms": null,
            "error": { "reason": "error", "detail": "why" },
            "history": [{ "at": "2026-01-01T00:00:01.000Z", "from": "pending", "to": "failed", "by": "system", "reason": "error", "detail": null }],
        });
        assert_eq!(
            detail(&serde_json::from_value(task.clone()).unwrap()),
            "cache_purge of /a\n  task_1\n  failed, 7 %: error: why\n  begun 2026-01-01T00:00:00.000Z\n  waited 3.0 ms\n  \
             2026-01-01T00:00:01.000Z  failed by system: error\n"
        );
        let tasks = json!({ "tasks": [task], "total": 2 });
        assert_eq!(
            list(&serde_json::from_value(tasks).unwrap()),
            "task_1  failed       7 %  cache_purge of /a\nThese are the newest 1 of 2.\n"
        );
        assert_eq!(list(&Tasks { tasks: Vec::new(), total: 0 }), "There are no tasks.\n");
    }

    #[test]
    fn what_tasks_came_to() {
        let warmed = json!({
            "kind": "cache_warmup", "asked": 9, "took_ms": 900, "stored": 5, "hits": 1, "revalidated": 0, "collapsed": 0,
            "not_stored": { "total": 2, "by_reason": { "private": 2 } },
            "failed": { "total": 1, "by_reason": { "status 404": 1 } },
            "pages": { "foreign": 3, "left_out": 0, "sitemaps": { "problems": ["http://a/s: it is cut off"] } },
        });
        let purged = |mode, dry_run| {
            json!({
                "kind": "cache_purge", "pattern": "/a/**", "host": null, "mode": mode, "dry_run": dry_run, "looked_at": 9,
                "matched": 4, "cleared": 3, "bytes": 100,
            })
        };
        let explained = json!({
            "kind": "query_explain", "query": "SELECT ?", "index": { "because": "why" }, "plan": { "cost": 7.0, "scans": [] },
            "proposal": { "cost_with_index": 1.0 },
        });
        let side = json!({ "median_ms": 1.0, "p95_ms": 2.0, "answers": 10, "from": "proxy", "hits": 9, "url": "/a" });
        let compared = json!({ "kind": "compare", "verdict": "a is", "a": side, "b": side });
        let side = "median 1.00 ms, p95 2.00 ms, 10 answers of the proxy, 9 hits: /a";
        for (result, expected) in [
            (
                warmed,
                "Asked for 9 pages in 900 ms:\n       5 stored now\n       1 stored before\n       2 not stored: private\n       \
                 1 failed: status 404\n       3 URLs of other hosts were left out (tasks.hosts allows them)\n  http://a/s: it is \
                 cut off\n"
                    .to_owned(),
            ),
            (purged("hard", true), "4 of 9 stored responses match /a/**: 100 bytes.\n".into()),
            (purged("soft", false), "3 of 9 stored responses match /a/** and are stale now: 100 bytes.\n".into()),
            (purged("hard", false), "3 of 9 stored responses matched /a/** and are gone: 100 bytes.\n".into()),
            (explained, "SELECT ?\n  why\n  The plan costs 7.0 units of the planner, and 1.0 with the index.\n".into()),
            (compared, format!("a is\n  a: {side}\n  b: {side}\n")),
            (json!({}), "{}\n".into()),
        ] {
            assert_eq!(outcome(&result), expected);
        }
    }
}
