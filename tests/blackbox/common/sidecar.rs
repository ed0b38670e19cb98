//! The real program, started with a configuration of the test's own, in front of an app.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::{
    Answer, App, Client, H2, Request, Upstream,
    tls::{NAME, Trust},
    within,
};

/// What a sidecar is started with.
pub(crate) struct Builder {
    upstream: Upstream,
    url: String,
    root: String,
    server: String,
    admin: String,
    config: String,
    admin_listen: SocketAddr,
    tls: bool,
    environment: Vec<(String, String)>,
}

impl Builder {
    /// Another URL than the app's own.
    pub(crate) fn upstream(mut self, url: &str) -> Self {
        self.url = url.to_owned();
        self
    }

    /// More of `proxy.toml`: tables of their own, after `[server]` and `[admin]`.
    pub(crate) fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self.config.push('\n');
        self
    }

    /// Keys before all tables.
    pub(crate) fn root(mut self, toml: &str) -> Self {
        self.root.push_str(toml);
        self.root.push('\n');
        self
    }

    /// More keys of `[server]`.
    pub(crate) fn server(mut self, toml: &str) -> Self {
        self.server.push_str(toml);
        self.server.push('\n');
        self
    }

    /// More keys of `[admin]`.
    pub(crate) fn admin(mut self, toml: &str) -> Self {
        self.admin.push_str(toml);
        self.admin.push('\n');
        self
    }

    /// The admin port at this address, such as that of a sidecar that was there before.
    pub(crate) fn admin_on(mut self, address: SocketAddr) -> Self {
        self.admin_listen = address;
        self
    }

    /// A variable of its environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A TLS listener as well, with a certificate made for this test.
    pub(crate) fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Starts the program and waits until it says that it is ready.
    pub(crate) async fn start(self) -> Sidecar {
        let dir = tempfile::tempdir().unwrap();
        let (config, trust) = self.write_config(&dir);
        let log = dir.path().join("pacecar.log");
        let mut child = Command::new(env!("CARGO_BIN_EXE_pacecar"))
            .arg("--config")
            .arg(dir.path().join("proxy.toml"))
            .env_remove("PACECAR_UPSTREAM")
            .env_remove("PACECAR_LISTEN")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("a pipe was asked for");
        let mut sidecar = Sidecar { child, said: Arc::default(), config, log, trust, upstream: self.upstream, dir };

        let mut lines = BufReader::new(stdout).lines();
        within("the sidecar to be ready", async {
            while let Some(line) = lines.next_line().await.expect("the program's output is text") {
                let ready = line == "pacecar: ready";
                sidecar.said.lock().unwrap().push(line);
                if ready {
                    return;
                }
            }
            let status = sidecar.child.wait().await;
            panic!("the program ended before it was ready: {status:?}");
        })
        .await;
        let said = sidecar.said.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                said.lock().unwrap().push(line);
            }
        });
        sidecar
    }

    fn write_config(&self, dir: &TempDir) -> (String, Option<Trust>) {
        let path = |name: &str| dir.path().join(name);
        let (cert, key) = (path("cert.pem"), path("key.pem"));
        let trust = self.tls.then(|| Trust::in_new_certificate(&cert, &key));
        let tls = if self.tls {
            format!("[server.tls]\nlisten = [\"127.0.0.1:0\"]\ncert = {cert:?}\nkey = {key:?}\n\n")
        } else {
            String::new()
        };
        let config = format!(
            "{}[server]\nlisten = [\"127.0.0.1:0\"]\nupstream = {:?}\n{}\n{tls}\
             [admin]\nlisten = \"{}\"\n{}\n{}",
            self.root, self.url, self.server, self.admin_listen, self.admin, self.config,
        );
        fs::write(path("proxy.toml"), &config).unwrap();
        (config, trust)
    }
}

/// The running program. It is killed when this is dropped; in a failing test it shows its side of the story first.
pub(crate) struct Sidecar {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    config: String,
    log: PathBuf,
    trust: Option<Trust>,
    upstream: Upstream,
    dir: TempDir,
}

impl Sidecar {
    /// A sidecar for this app; ports are chosen by the system.
    pub(crate) fn in_front_of(app: &impl App) -> Builder {
        Builder {
            upstream: app.upstream(),
            url: app.url(),
            root: String::new(),
            server: String::new(),
            admin: String::new(),
            config: String::new(),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            environment: Vec::new(),
            tls: false,
        }
    }

    /// Where it listens for HTTP/1.1 and HTTP/2 without TLS.
    #[track_caller]
    pub(crate) fn addr(&self) -> SocketAddr {
        self.announced("pacecar: listening on http://")
    }

    /// Where it listens with TLS.
    #[track_caller]
    pub(crate) fn tls_addr(&self) -> SocketAddr {
        self.announced("pacecar: listening on https://")
    }

    /// The file with the certificate that it shows on the TLS listener, for clients that are programs of their own.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// Where its admin port is.
    #[track_caller]
    pub(crate) fn admin_addr(&self) -> SocketAddr {
        self.announced("pacecar: admin on http://")
    }

    /// Where it takes the app's spans.
    #[track_caller]
    pub(crate) fn otlp_addr(&self) -> SocketAddr {
        self.announced("pacecar: spans on http://")
    }

    /// Where it serves health and metrics alone.
    #[track_caller]
    pub(crate) fn probe_addr(&self) -> SocketAddr {
        self.announced("pacecar: probes on http://")
    }

    /// The lines of its log that have this text in them.
    pub(crate) fn logged(&self, text: &str) -> Vec<String> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }

    /// The value of a series of its metrics.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.admin("/metrics").await.text();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().unwrap()
    }

    /// Waits until a series of its metrics has this value.
    pub(crate) async fn until_metric(&self, series: &str, value: f64) {
        within(format!("{series} {value}"), async { while self.metric(series).await != value {} }).await;
    }

    #[track_caller]
    fn announced(&self, what: &str) -> SocketAddr {
        let said = self.said.lock().unwrap();
        let address = said.iter().find_map(|line| line.strip_prefix(what)?.parse().ok());
        address.unwrap_or_else(|| panic!("no line {what:?} in {said:#?}"))
    }

    /// GET on a connection of its own.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.client().await.get(target).await
    }

    /// A request on a connection of its own.
    pub(crate) async fn send(&self, request: Request) -> Answer {
        self.client().await.send(request).await
    }

    /// A new HTTP/1.1 connection.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.addr()).await
    }

    /// A new HTTP/2 connection without TLS.
    pub(crate) async fn h2c(&self) -> H2 {
        H2::connect(self.addr()).await
    }

    /// A new HTTP/1.1 connection over TLS.
    pub(crate) async fn tls(&self) -> Client {
        let trust = self.trust.as_ref().expect("the sidecar was started with tls()");
        let address = self.tls_addr();
        Client::over(trust.connect(address, &["http/1.1"]).await, format!("{NAME}:{}", address.port()))
    }

    /// A new HTTP/2 connection over TLS.
    pub(crate) async fn tls_h2(&self) -> H2 {
        let trust = self.trust.as_ref().expect("the sidecar was started with tls()");
        let address = self.tls_addr();
        let stream = trust.connect(address, &["h2"]).await;
        H2::over(stream, "https", format!("{NAME}:{}", address.port())).await
    }

    /// GET on the admin port, whatever it answers.
    pub(crate) async fn admin(&self, target: &str) -> Answer {
        Client::connect(self.admin_addr()).await.get(target).await
    }

    /// The JSON that the admin port answers with 200.
    pub(crate) async fn admin_get(&self, target: &str) -> serde_json::Value {
        let answer = self.admin(target).await;
        answer.assert_status(200).assert_complete();
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: not JSON\n{answer}"))
    }

    /// The process that it runs as.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("the program runs")
    }

    /// Sends SIGTERM.
    pub(crate) async fn terminate(&self) {
        self.signal("TERM").await;
    }

    /// Sends SIGHUP.
    pub(crate) async fn hang_up(&self) {
        self.signal("HUP").await;
    }

    /// Sends the signal of this name.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.pid();
        // The shell's own kill: the program of this name is not on every machine.
        let sent = Command::new("sh").args(["-c", "kill -$0 $1", name, &id.to_string()]).status().await;
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name} could not be sent to {id}");
    }

    /// The configuration that it was started with.
    pub(crate) fn config(&self) -> &str {
        &self.config
    }

    /// The file that it was started with.
    pub(crate) fn config_path(&self) -> PathBuf {
        self.dir.path().join("proxy.toml")
    }

    /// Puts another certificate with another key in the place of the old; clients from now on trust the new one alone.
    pub(crate) fn renew_certificate(&mut self) {
        let path = |name: &str| self.dir.path().join(name);
        self.trust = Some(Trust::in_new_certificate(&path("cert.pem"), &path("key.pem")));
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// How the program ended, once it has.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        within("the sidecar to end", self.child.wait()).await.expect("a child of this process")
    }
}

/// A sidecar can stand before another.
impl App for Sidecar {
    fn upstream(&self) -> Upstream {
        let log = self.log.clone();
        Upstream { address: self.addr(), log: Arc::new(move || fs::read_to_string(&log).unwrap_or_default()) }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let said = self.said.lock().map(|said| said.join("\n")).unwrap_or_default();
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        eprintln!(
            "---- configuration\n{}\n---- sidecar\n{said}\n{log}\n---- origin\n{}",
            self.config,
            (self.upstream.log)(),
        );
    }
}
