//! Plays attacks before an app that shows everything that it is sent, and holds each answer against its owner.

use std::{
    fmt::Display,
    sync::{Arc, Mutex},
};

use crate::common::{Answer, Origin, Received, Request, Response, Sidecar, get, ok};

/// Whose answer the second of two is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Expect {
    /// The app's own to it.
    Own,
    /// The first one's: the app allows it, or RFC 9110 says that both ask for the same.
    Shared,
    /// The attack is no HTTP, or not one message: this status, and the victim's answer is its own.
    Refused(u16),
}

/// One attack. Both requests are for `a.test`, which stands for a host of the row's own.
pub(super) struct Row {
    name: &'static str,
    attack: Request,
    victim: Request,
    /// Further fields of the app's answer.
    answer: Vec<(&'static str, &'static str)>,
    expect: Expect,
    /// What HTTP/2 can say as well.
    h2: bool,
    /// The attacker's own answer is for nobody to predict by asking again: only the victim's is checked.
    one_way: bool,
}

pub(super) fn row(name: &'static str, attack: Request) -> Row {
    let (answer, expect) = (Vec::new(), Expect::Own);
    Row { name, attack, victim: get("/"), answer, expect, h2: true, one_way: false }
}

/// A GET of `/` with one field more.
pub(super) fn field(name: &'static str, value: &str) -> Row {
    row(name, get("/").header(name, value))
}

impl Row {
    pub(super) fn victim(self, victim: Request) -> Self {
        Self { victim, ..self }
    }

    pub(super) fn answer(mut self, name: &'static str, value: &'static str) -> Self {
        self.answer.push((name, value));
        self
    }

    pub(super) fn shared(self) -> Self {
        Self { expect: Expect::Shared, ..self }
    }

    pub(super) fn refused(self, status: u16) -> Self {
        Self { expect: Expect::Refused(status), h2: false, ..self }
    }

    pub(super) fn h1(self) -> Self {
        Self { h2: false, ..self }
    }

    pub(super) fn one_way(self) -> Self {
        Self { one_way: true, ..self }
    }
}

/// Who sends what by which protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    H1,
    H2,
}

/// An app that answers with everything that it was sent, and two sidecars before it: one with a cache, and one that
/// only passes on and so says what the app would have said.
pub(super) struct Bench {
    _origin: Origin,
    cached: Sidecar,
    plain: Sidecar,
    /// The fields of the answers to the row under way.
    answer: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
    runs: Mutex<usize>,
}

/// Written anew for each request or by each process, so that no two answers have the same.
const PER_REQUEST: [&str; 2] = ["via", "x-request-id"];

/// Everything that an app could build into its answer.
fn echo(received: &Received) -> String {
    let mut lines: Vec<String> = received
        .fields
        .0
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, _)| !PER_REQUEST.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect();
    lines.sort();
    let body = String::from_utf8_lossy(&received.body);
    format!("{} {}\n{}{body}", received.method, received.target, lines.concat())
}

impl Bench {
    pub(super) async fn new(server: &str) -> Self {
        let answer: Arc<Mutex<Vec<(&str, &str)>>> = Arc::default();
        let fields = answer.clone();
        let script = move |received: &Received| {
            let fields = fields.lock().unwrap();
            fields.iter().fold(ok(echo(received)), |response: Response, (name, value)| response.header(name, value))
        };
        let origin = Origin::new().otherwise(script).start().await;
        let cached = Sidecar::in_front_of(&origin).server(server).start().await;
        let uncached = "[[route]]\nname = \"all\"\nmatch = \"/**\"\ncache = false";
        let plain = Sidecar::in_front_of(&origin).server(server).config(uncached).start().await;
        Self { _origin: origin, cached, plain, answer, runs: Mutex::new(0) }
    }

    /// Runs rows with each of these values of Cache-Control, in both orders, over both protocols.
    pub(super) async fn run(&self, cache_controls: &[&'static str], rows: &[Row]) {
        use Protocol::{H1, H2};
        for row in rows {
            for cache_control in cache_controls {
                *self.answer.lock().unwrap() = row.answer.clone();
                if !cache_control.is_empty() {
                    self.answer.lock().unwrap().push(("Cache-Control", cache_control));
                }
                for protocols in [[H1, H1], [H2, H1], [H1, H2]] {
                    if !row.h2 && protocols != [H1, H1] {
                        continue;
                    }
                    let order = format!("{}, {cache_control:?}, {protocols:?}", row.name);
                    self.one(&order, row, [&row.attack, &row.victim], protocols).await;
                    if !row.one_way {
                        self.one(&format!("{order}, victim first"), row, [&row.victim, &row.attack], protocols).await;
                    }
                }
            }
        }
    }

    async fn one(&self, name: &str, row: &Row, requests: [&Request; 2], protocols: [Protocol; 2]) {
        let _named = Named(name);
        let run = {
            let mut runs = self.runs.lock().unwrap();
            *runs += 1;
            *runs
        };
        let [first, second] = requests.map(|request| at_own_host(request, run));
        let mut answers = Vec::new();
        for (request, protocol) in [(&first, protocols[0]), (&second, protocols[1]), (&first, protocols[0])] {
            answers.push((send(&self.cached, request, protocol).await, send(&self.plain, request, protocol).await));
        }
        let attack_is_first = std::ptr::eq(requests[0], &row.attack);
        for (nth, (answer, own)) in answers.iter().enumerate() {
            let of_attack = (nth != 1) == attack_is_first;
            match row.expect {
                Expect::Refused(status) if of_attack => answer.expect(answer.status == status, format!("{status}")),
                Expect::Shared if nth == 1 => answer.assert_body(&answers[0].1.body),
                _ if row.one_way && of_attack => answer.assert_complete(),
                _ => answer.assert_status(200).assert_body(&own.body),
            };
        }
    }
}

/// Says which row it was when a test fails in the middle of it.
struct Named<D: Display>(D);

impl<D: Display> Drop for Named<D> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the row {}", self.0);
        }
    }
}

/// The same request for the host of one run, so that no row knows of another.
fn at_own_host(request: &Request, run: usize) -> Request {
    let own = |text: &str| text.replace("a.test", &format!("a{run}.test")).replace("A.TEST", &format!("A{run}.TEST"));
    let mut request = request.clone();
    if !request.fields.iter().any(|(name, _)| name == "Host") {
        request = request.header("Host", "a.test");
    }
    request.target = own(&request.target);
    request.fields.iter_mut().for_each(|(_, value)| *value = own(value));
    request
}

async fn send(sidecar: &Sidecar, request: &Request, protocol: Protocol) -> Answer {
    match protocol {
        Protocol::H1 => sidecar.send(request.clone()).await,
        Protocol::H2 => sidecar.h2c().await.send(request.clone()).await,
    }
}
