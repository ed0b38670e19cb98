//! Real apps and real clients, as `make test` installs them under `target/apps`.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader as AsyncBufReader, Lines},
    process::{ChildStdin, ChildStdout, Command as AsyncCommand},
};

use crate::common::{App, PATIENCE, Upstream, within};

/// Settings with which bodies and cache headers go on as the app sends them.
pub(crate) const UNTOUCHED: &str = "[compression]\ncodings = []\n[cache_headers]\nmode = \"never\"\n";

/// Fields that differ between a direct answer and one through the sidecar: those of the connection, those that the
/// sidecar adds, and the time.
pub(crate) const OUR_FIELDS: [&str; 8] =
    ["connection", "keep-alive", "date", "via", "age", "cache-status", "x-request-id", "transfer-encoding"];

/// A file of this repository.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What was installed for an app: its folder under `target/apps`.
pub(crate) fn installed(app: &str) -> PathBuf {
    let folder = source("target/apps").join(app);
    assert!(
        folder.join(".installed").exists(),
        "{} was not set up: run `make test`, which does that first",
        folder.display()
    );
    folder
}

/// Node.js with the packages of an app, which `script` finds without having them beside it.
pub(crate) fn node(app: &str, script: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("node");
    command.arg(script).env("NODE_PATH", installed(app).join("node_modules"));
    command
}

/// Python with the packages of an app.
pub(crate) fn python(app: &str, script: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(installed(app).join("venv/bin/python3"));
    command.arg(script).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// A running app. It is told to stop when this is dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Program {
    /// Starts a server, and waits for the line in which it says where it listens: what stands after `announcement`.
    pub(crate) fn start(mut command: Command, announcement: &'static str) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child =
            child.unwrap_or_else(|error| panic!("{error}: {command:?}; `make test` installs what it needs"));
        let log = Arc::new(Mutex::new(String::new()));
        let (found, listening) = mpsc::channel();
        let stdout: Box<dyn Read + Send> = Box::new(child.stdout.take().expect("a pipe was asked for"));
        let stderr: Box<dyn Read + Send> = Box::new(child.stderr.take().expect("a pipe was asked for"));
        for output in [stdout, stderr] {
            let (found, log) = (found.clone(), log.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let address = line.split_once(announcement).and_then(|(_, rest)| rest.split(' ').next());
                    if let Some(address) = address.and_then(|address| address.parse().ok()) {
                        let _ = found.send(address);
                    }
                    log.lock().unwrap().push_str(&format!("{line}\n"));
                }
            });
        }
        drop(found);
        // Owned from here on, so that it is stopped even if it never listens.
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut program = Self { child, address: unknown, log: log.clone() };
        let address = listening.recv_timeout(PATIENCE);
        program.address = address.unwrap_or_else(|_| panic!("{command:?} does not listen:\n{}", log.lock().unwrap()));
        program
    }

    /// Express with what stands in `tests/apps/express`.
    pub(crate) fn express() -> Self {
        Self::start(node("express", source("tests/apps/express/app.cjs")), "listening on ")
    }

    /// The demo app.
    pub(crate) fn demo() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pacecar"));
        command.args(["demo", "--listen", "127.0.0.1:0"]);
        Self::start(command, "listening on http://")
    }

    /// A server of the files in a folder that says nothing about keeping them: `tests/apps/vite/static.mjs`.
    pub(crate) fn files(folder: &Path, tags: &str) -> Self {
        let mut command = node("vite", source("tests/apps/vite/static.mjs"));
        command.arg(folder).arg(tags);
        Self::start(command, "listening on ")
    }
}

impl App for Program {
    fn upstream(&self) -> Upstream {
        let log = self.log.clone();
        Upstream { address: self.address, log: Arc::new(move || log.lock().unwrap().clone()) }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Killed outright, gunicorn would leave its worker behind.
        let _ = Command::new("sh").args(["-c", "kill -TERM $0", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// Vite's dev server, with a copy of its project that a test may edit.
pub(crate) struct Vite {
    pub(crate) program: Program,
    project: TempDir,
}

impl Vite {
    pub(crate) fn start() -> Self {
        let project = vite_project();
        let mut command = Command::new("node");
        command.arg("server.mjs").current_dir(project.path());
        Self { program: Program::start(command, "listening on "), project }
    }

    /// A file of the project.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.project.path().join(name)
    }
}

impl App for Vite {
    fn upstream(&self) -> Upstream {
        self.program.upstream()
    }
}

/// A copy of Vite's project, with the packages that it needs.
fn vite_project() -> TempDir {
    let project = tempfile::tempdir().unwrap();
    for file in ["index.html", "main.js", "greeting.js", "style.css", "server.mjs"] {
        std::fs::copy(source("tests/apps/vite").join(file), project.path().join(file)).unwrap();
    }
    let packages = installed("vite").join("node_modules");
    std::os::unix::fs::symlink(packages, project.path().join("node_modules")).unwrap();
    project
}

/// What Vite builds of its project for production: a page, and a script and a style sheet with hashes in their names.
pub(crate) struct Build(TempDir);

impl Build {
    /// A build whose page shows this greeting.
    pub(crate) fn greeting(greeting: &str) -> Self {
        let project = vite_project();
        std::fs::write(project.path().join("greeting.js"), format!("export const greeting = {greeting:?};\n")).unwrap();
        let mut command = Command::new("node");
        command.args(["node_modules/vite/bin/vite.js", "build"]).current_dir(project.path());
        let output = command.output().unwrap_or_else(|error| panic!("{error}: {command:?}"));
        assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
        Self(project)
    }

    /// The folder that is to be served.
    pub(crate) fn folder(&self) -> PathBuf {
        self.0.path().join("dist")
    }

    /// The path under which its one file with this extension is served.
    pub(crate) fn path(&self, extension: &str) -> String {
        let names = std::fs::read_dir(self.folder().join("assets")).unwrap();
        let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let name = names.find(|name| name.ends_with(extension));
        format!("/assets/{}", name.unwrap_or_else(|| panic!("no {extension} in {}", self.folder().display())))
    }
}

/// Runs a client to its end: it is given one JSON value, and gives one back.
#[track_caller]
pub(crate) fn run(command: Command, job: &Value) -> impl Future<Output = Value> {
    let (shown, job) = (format!("{command:?}"), job.to_string());
    within(shown.clone(), async move {
        let mut command = AsyncCommand::from(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{error}: {shown}; `make test` installs it"));
        let mut stdin = child.stdin.take().expect("a pipe was asked for");
        stdin.write_all(job.as_bytes()).await.expect("the client reads its job");
        drop(stdin);
        let output = child.wait_with_output().await.expect("a child of this process");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {shown}\n{said}", output.status);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {shown}\n{said}"))
    })
}

/// A program of Node.js that is talked with: one JSON value a line, either way.
pub(crate) struct Talk {
    said: ChildStdin,
    heard: Lines<AsyncBufReader<ChildStdout>>,
    _child: tokio::process::Child,
}

impl Talk {
    pub(crate) fn with(command: Command) -> Self {
        let mut command = AsyncCommand::from(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{error}: {command:?}"));
        let said = child.stdin.take().expect("a pipe was asked for");
        let heard = AsyncBufReader::new(child.stdout.take().expect("a pipe was asked for")).lines();
        Self { said, heard, _child: child }
    }

    pub(crate) async fn say(&mut self, message: Value) {
        let line = format!("{message}\n");
        within("a program to take a message", self.said.write_all(line.as_bytes())).await.expect("it still runs");
    }

    /// What it says next, however long it takes.
    pub(crate) async fn hear(&mut self) -> Value {
        let line = self.heard.next_line().await.expect("its output is text").expect("a line before its end");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

/// A WebSocket of Node's `ws`; what is said and heard is described in `tests/apps/clients/socket.cjs`.
pub(crate) struct Socket(Talk);

impl Socket {
    /// Connects; the handshake must agree on this subprotocol, which may be empty.
    pub(crate) async fn open(url: &str, protocol: &str) -> Self {
        let mut command = node("clients", source("tests/apps/clients/socket.cjs"));
        command.args([url, protocol]);
        let mut socket = Self(Talk::with(command));
        assert_eq!(socket.hear().await, json!({ "open": protocol }), "{url}");
        socket
    }

    pub(crate) async fn say(&mut self, message: Value) {
        self.0.say(message).await;
    }

    /// The next event.
    pub(crate) async fn hear(&mut self) -> Value {
        within("a WebSocket's next event", self.0.hear()).await
    }

    /// Text, bytes and pings come back as they were sent, up to 1 MB of them.
    pub(crate) async fn assert_echoes(&mut self) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let every_byte: Vec<u8> = (0..=255).collect();
        for message in [
            json!({ "text": "hello" }),
            json!({ "text": "" }),
            json!({ "text": "Größe: 2 € \u{1f40c}\r\n\0" }),
            json!({ "binary": hex(&every_byte) }),
            json!({ "binary": hex(&crate::common::noise(1_000_000)) }),
            json!({ "text": "long ".repeat(30_000) }),
        ] {
            self.say(message.clone()).await;
            let heard = self.hear().await;
            assert!(heard == message, "sent {:.200}, heard {:.200}", message.to_string(), heard.to_string());
        }
        self.say(json!({ "ping": "are you there" })).await;
        assert_eq!(self.hear().await, json!({ "pong": "are you there" }));
    }
}

/// An echoing WebSocket works, and ends as either side says; both apps answer "leave" by closing with 4001.
pub(crate) async fn assert_websocket(url: &str) {
    let mut socket = Socket::open(url, "").await;
    socket.assert_echoes().await;
    socket.say(json!({ "text": "leave" })).await;
    assert_eq!(socket.hear().await, json!({ "close": 4001, "reason": "as you say" }), "{url}");

    let mut socket = Socket::open(url, "").await;
    socket.say(json!({ "close": 4002, "reason": "had enough" })).await;
    assert_eq!(socket.hear().await["close"], json!(4002), "{url}");
}
