//! A web app that does exactly what a test's script says, and remembers everything it was asked.

use std::{
    collections::HashMap,
    fmt::Write as _,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
};

use tokio::{
    net::TcpSocket,
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use super::{
    App, Fields, Response, Upstream,
    listen::{Accepted, Listener, Place, Socket},
    message::{Broken, Framing, Wire, parse_head},
    readable, status, within,
};

/// A request as the origin received it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// The connection's number, from 0 in the order of their acceptance.
    pub(crate) connection: usize,
    /// How many requests came on this connection before.
    pub(crate) nth: usize,
    /// The head as it came, with the empty line.
    pub(crate) head: Vec<u8>,
    pub(crate) method: String,
    /// The request target as it came.
    pub(crate) target: String,
    pub(crate) fields: Fields,
    /// The body so far, unchunked.
    pub(crate) body: Vec<u8>,
    /// The body has come to its end.
    pub(crate) complete: bool,
}

impl Received {
    /// The first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }
}

/// What answers a route: a fixed [`Response`], or a function of the request.
pub(crate) trait Script: Send + Sync + 'static {
    fn answer(&self, received: &Received) -> Response;
}

impl Script for Response {
    fn answer(&self, _: &Received) -> Response {
        self.clone()
    }
}

impl<F: Fn(&Received) -> Response + Send + Sync + 'static> Script for F {
    fn answer(&self, received: &Received) -> Response {
        self(received)
    }
}

/// An origin's script; [`Builder::start`] makes it listen.
pub(crate) struct Builder {
    routes: HashMap<String, Box<dyn Script>>,
    place: Place,
}

impl Builder {
    /// What a path is answered with; with a query, that very target.
    pub(crate) fn route(mut self, path: &str, script: impl Script) -> Self {
        self.routes.insert(path.to_owned(), Box::new(script));
        self
    }

    /// What every other target is answered with, in place of 404.
    pub(crate) fn otherwise(self, script: impl Script) -> Self {
        self.route("*", script)
    }

    /// Over TLS, with the certificate that the acceptor has.
    pub(crate) fn tls(mut self, tls: TlsAcceptor) -> Self {
        self.place = Place::Tcp(self.place.address(), Some(tls));
        self
    }

    /// On this path.
    pub(crate) fn unix(mut self, path: &Path) -> Self {
        self.place = Place::Unix(path.to_owned());
        self
    }

    /// On the IPv6 loopback address alone.
    pub(crate) fn on_ipv6(mut self) -> Self {
        self.place = Place::Tcp("[::1]:0".parse().unwrap(), self.place.tls());
        self
    }

    /// Listens, on a port that the system chooses unless it is a path.
    pub(crate) async fn start(mut self) -> Origin {
        let listener = self.place.listen().await;
        let shared = Arc::new(Shared { routes: self.routes, log: watch::Sender::new(Log::default()) });
        let running = State::Running(tokio::spawn(accept(listener, self.place.tls(), shared.clone())));
        Origin { place: self.place, shared, state: Mutex::new(running) }
    }
}

/// A running origin. It ends when it is dropped.
pub(crate) struct Origin {
    place: Place,
    shared: Arc<Shared>,
    state: Mutex<State>,
}

enum State {
    Running(JoinHandle<()>),
    /// Nothing listens, but the port is held, so that nobody else is given it meanwhile.
    Stopped(Option<TcpSocket>),
    Between,
}

struct Shared {
    routes: HashMap<String, Box<dyn Script>>,
    log: watch::Sender<Log>,
}

#[derive(Default)]
struct Log {
    connections: usize,
    requests: Vec<Received>,
    /// What came and was no HTTP.
    violations: Vec<String>,
}

impl Origin {
    /// A script without routes.
    #[expect(clippy::new_ret_no_self, reason = "an origin exists once it listens")]
    pub(crate) fn new() -> Builder {
        Builder { routes: HashMap::new(), place: Place::Tcp("127.0.0.1:0".parse().unwrap(), None) }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.place.address()
    }

    /// How many request heads it has received.
    #[track_caller]
    pub(crate) fn requests(&self) -> usize {
        self.log().len()
    }

    /// How many connections it has accepted.
    pub(crate) fn connections(&self) -> usize {
        self.shared.log.borrow().connections
    }

    /// Every request so far. The test fails if one of them was not HTTP.
    #[track_caller]
    pub(crate) fn log(&self) -> Vec<Received> {
        let log = self.shared.log.borrow();
        assert!(log.violations.is_empty(), "the origin was sent what is not HTTP: {:#?}", log.violations);
        log.requests.clone()
    }

    /// The latest request.
    #[track_caller]
    pub(crate) fn last(&self) -> Received {
        self.log().pop().expect("the origin was asked nothing")
    }

    /// Fails unless it was asked exactly this often; says what it was asked.
    #[track_caller]
    pub(crate) fn assert_requests(&self, expected: usize) {
        let log = self.log();
        assert_eq!(log.len(), expected, "requests at the origin, which were:\n{}", self.shared.transcript());
    }

    /// Waits until it has been asked `count` times.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, count: usize) -> impl Future<Output = ()> {
        let mut log = self.shared.log.subscribe();
        within(format!("{count} requests at the origin"), async move {
            log.wait_for(|log| log.requests.len() >= count).await.expect("the sender lives as long as the origin");
        })
    }

    /// Ends every connection and refuses new ones.
    pub(crate) async fn stop(&self) {
        let running = std::mem::replace(&mut *self.state.lock().unwrap(), State::Between);
        let State::Running(running) = running else { panic!("the origin is not running") };
        running.abort();
        let _ = running.await;
        let held = self.place.hold().await;
        *self.state.lock().unwrap() = State::Stopped(held);
    }

    /// Listens again, on the same port and with the same script and log.
    pub(crate) async fn restart(&self) {
        let stopped = std::mem::replace(&mut *self.state.lock().unwrap(), State::Between);
        let State::Stopped(held) = stopped else { panic!("the origin is not stopped") };
        let accepting = accept(self.place.listen_again(held), self.place.tls(), self.shared.clone());
        *self.state.lock().unwrap() = State::Running(tokio::spawn(accepting));
    }
}

impl App for Origin {
    fn upstream(&self) -> Upstream {
        let shared = self.shared.clone();
        Upstream { address: self.place.address(), log: Arc::new(move || shared.transcript()) }
    }

    fn url(&self) -> String {
        self.place.url()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Ok(State::Running(running)) = self.state.get_mut() {
            running.abort();
        }
    }
}

async fn accept(listener: Listener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    while let Ok(accepted) = listener.accept().await {
        let mut number = 0;
        shared.log.send_modify(|log| {
            number = log.connections;
            log.connections += 1;
        });
        connections.spawn(serve(accepted, tls.clone(), number, shared.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(accepted: Accepted, tls: Option<TlsAcceptor>, connection: usize, shared: Arc<Shared>) {
    let Some(stream) = accepted.open(tls).await else { return };
    let mut wire = Wire::new(stream);
    for nth in 0.. {
        match shared.receive(&mut wire, connection, nth).await {
            Ok(Some(received)) => {
                let response = shared.script(&received.target);
                if !response.answer(&received).play(&mut wire.stream, &received).await.unwrap_or(false) {
                    return;
                }
            }
            Err(Broken::Malformed(what)) => return shared.log.send_modify(|log| log.violations.push(what)),
            Ok(None) | Err(Broken::Closed | Broken::Reset) => return,
        }
    }
}

impl Shared {
    /// Reads one request to its end; logged as soon as its head is there.
    async fn receive(
        &self,
        wire: &mut Wire<Box<dyn Socket>>,
        connection: usize,
        nth: usize,
    ) -> Result<Option<Received>, Broken> {
        let Some(head) = wire.head().await? else { return Ok(None) };
        let (line, fields) = parse_head(&head)?;
        let parts: Vec<&str> = line.split(' ').collect();
        let [method, target, "HTTP/1.1" | "HTTP/1.0"] = parts[..] else { return Err(Broken::Malformed(line)) };
        let mut framing = Framing::declared(&fields)?.unwrap_or(Framing::Ended);
        let received = Received {
            connection,
            nth,
            head: head.to_vec(),
            method: method.to_owned(),
            target: target.to_owned(),
            fields,
            body: Vec::new(),
            complete: false,
        };
        let mut at = 0;
        self.log.send_modify(|log| {
            at = log.requests.len();
            log.requests.push(received);
        });
        while let Some(piece) = wire.piece(&mut framing).await? {
            self.log.send_modify(|log| log.requests[at].body.extend_from_slice(&piece));
        }
        self.log.send_modify(|log| log.requests[at].complete = true);
        Ok(Some(self.log.borrow().requests[at].clone()))
    }

    fn script(&self, target: &str) -> &dyn Script {
        const MISSING: &str = "*";
        let path = target.split('?').next().unwrap_or_default();
        let script = [target, path, MISSING].into_iter().find_map(|key| self.routes.get(key));
        script.map_or(&(|_: &Received| status(404).part("no such route")) as &dyn Script, |script| &**script)
    }

    fn transcript(&self) -> String {
        let log = self.log.borrow();
        let mut text = format!("{} connections, {} requests\n", log.connections, log.requests.len());
        for (at, request) in log.requests.iter().enumerate() {
            let Received { connection, nth, body, complete, .. } = request;
            let _ = writeln!(text, "  request {at}, number {nth} on connection {connection}:");
            text.push_str(&readable(&request.head));
            let end = if *complete { "" } else { " so far" };
            let _ = writeln!(text, "    {} bytes of body{end}", body.len());
        }
        for violation in &log.violations {
            let _ = writeln!(text, "  not HTTP: {violation}");
        }
        text
    }
}
