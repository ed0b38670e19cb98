//! A real app: Django behind gunicorn, as its tutorial would have it (`tests/apps/django`).

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
};

use crate::common::{Answer, App, Client, PATIENCE, Sidecar, Upstream, get, head, post};

/// The running app. It is told to stop when this is dropped.
struct Django {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Django {
    /// Starts it on a port that the system chooses.
    fn start() -> Self {
        let package = Path::new(env!("CARGO_MANIFEST_DIR"));
        let gunicorn: PathBuf = package.join("target/apps/django/bin/gunicorn");
        assert!(gunicorn.exists(), "{} is missing: run `make test`, which installs it", gunicorn.display());
        let mut child = Command::new(gunicorn)
            .arg("--chdir")
            .arg(package.join("tests/apps/django"))
            .args(["--bind", "127.0.0.1:0", "--worker-class", "gthread", "--threads", "4"])
            .args(["--graceful-timeout", "1", "shop.wsgi"])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("gunicorn starts");
        let log = Arc::new(Mutex::new(String::new()));
        let (found, listening) = mpsc::channel();
        let (stderr, lines) = (child.stderr.take().expect("a pipe was asked for"), log.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let address = line.split_once("Listening at: http://").and_then(|(_, rest)| rest.split(' ').next());
                if let Some(address) = address.and_then(|address| address.parse().ok()) {
                    let _ = found.send(address);
                }
                lines.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        let address = listening.recv_timeout(PATIENCE);
        let address = address.unwrap_or_else(|_| panic!("gunicorn does not listen:\n{}", log.lock().unwrap()));
        Self { child, address, log }
    }
}

impl App for Django {
    fn upstream(&self) -> Upstream {
        let log = self.log.clone();
        Upstream { address: self.address, log: Arc::new(move || log.lock().unwrap().clone()) }
    }
}

impl Drop for Django {
    fn drop(&mut self) {
        // Killed outright, it would leave its worker behind.
        let _ = Command::new("sh").args(["-c", "kill -TERM $0", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}

/// Fields that differ between a direct answer and one through the sidecar: those of the connection, those that the
/// sidecar adds, and the time.
const OUR_FIELDS: [&str; 8] =
    ["connection", "keep-alive", "date", "via", "age", "cache-status", "x-request-id", "transfer-encoding"];

fn end_to_end(answer: &Answer) -> Vec<(String, String)> {
    let fields = answer.fields.0.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    let mut fields: Vec<_> = fields.filter(|(name, _)| !OUR_FIELDS.contains(&&**name)).collect();
    fields.sort();
    fields
}

/// The cookies that an answer sets, as a browser sends them back.
fn cookies(answer: &Answer) -> String {
    let pairs: Vec<&str> = answer.fields.all("set-cookie").filter_map(|cookie| cookie.split(';').next()).collect();
    pairs.join("; ")
}

/// The hidden token of a form.
fn token(form: &Answer) -> String {
    let text = form.text();
    let token = text.split("value=\"").nth(1).and_then(|rest| rest.split('"').next());
    token.unwrap_or_else(|| panic!("no token in\n{form}")).to_owned()
}

#[tokio::test]
async fn pages_for_everybody_are_hits_the_second_time() {
    let django = Django::start();
    let sidecar = Sidecar::in_front_of(&django).start().await;
    for path in ["/", "/prices.json", "/greeting/"] {
        sidecar.get(path).await.assert_status(200).assert_cache("miss").assert_cache_parameter("stored");
        sidecar.get(path).await.assert_status(200).assert_cache("hit");
    }
    // Browsers bring their analytics cookies along.
    sidecar.send(get("/").header("Cookie", "_ga=GA1.1.1; _gid=GA1.1.2")).await.assert_cache("hit");
}

#[tokio::test]
async fn answers_equal_the_direct_ones() {
    let django = Django::start();
    let sidecar = Sidecar::in_front_of(&django).start().await;
    let mut direct = Client::connect(django.address).await;
    // The same Host in both, since Django builds it into some answers.
    let named = |request: crate::common::Request| request.header("Host", "shop.test");
    for path in ["/", "/prices.json", "/greeting/", "/missing", "/greeting", "/?q=a%20b"] {
        let expected = direct.send(named(get(path))).await;
        for _ in 0..2 {
            let answer = sidecar.send(named(get(path))).await;
            answer.assert_status(expected.status).assert_body(&expected.body);
            assert_eq!(end_to_end(&answer), end_to_end(&expected), "GET {path}");
        }
        // Django tags only what it answers to GET, so that a HEAD from a stored GET may say more.
        let answer = sidecar.send(named(head(path))).await;
        answer.assert_status(expected.status).assert_body("");
        // gunicorn sends a body with HEAD, so that nothing more can be read from that connection.
        let direct_head = Client::connect(django.address).await.send(named(head(path))).await;
        for field in end_to_end(&direct_head) {
            assert!(end_to_end(&answer).contains(&field), "HEAD {path} without {field:?}\n{answer}");
        }
        let known = expected.field("etag").unwrap_or("\"none\"");
        let conditional = named(get(path)).header("If-None-Match", known);
        let expected = direct.send(conditional.clone()).await;
        sidecar.send(conditional).await.assert_status(expected.status).assert_body(&expected.body);
    }
}

#[tokio::test]
async fn forms_with_tokens_work_through_the_sidecar() {
    let django = Django::start();
    let sidecar = Sidecar::in_front_of(&django).start().await;
    let mut client = sidecar.client().await;
    let form = client.get("/contact/").await;
    form.assert_status(200);
    let filled = format!("csrfmiddlewaretoken={}&message=a%3Cb%3E", token(&form));
    let submit = |cookie: &str| {
        post("/contact/", &filled).header("Content-Type", "application/x-www-form-urlencoded").header("Cookie", cookie)
    };
    let sent = client.send(submit(&cookies(&form))).await;
    sent.assert_status(200).assert_cache("bypass").assert_body("<p>You wrote: a&lt;b&gt;</p>");
    client.send(submit("csrftoken=somebody-elses")).await.assert_status(403);

    // A form is for one browser: the next one is given its own token.
    let other = sidecar.get("/contact/").await;
    assert_ne!(cookies(&other), cookies(&form));
}

#[tokio::test]
async fn page_of_one_person_is_never_shown_to_another() {
    let django = Django::start();
    let sidecar = Sidecar::in_front_of(&django).start().await;
    sidecar.get("/greeting/").await.assert_body("<p>Hello, stranger.</p>");

    let mut sessions = Vec::new();
    for name in ["Ann", "Bob"] {
        let form = sidecar.get("/login/").await;
        let filled = format!("csrfmiddlewaretoken={}&name={name}", token(&form));
        let submit = post("/login/", &filled)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("Cookie", &cookies(&form));
        let answer = sidecar.send(submit).await;
        answer.assert_status(302).assert_field("location", "/greeting/");
        sessions.push((name, cookies(&answer)));
    }
    for _ in 0..3 {
        for (name, cookie) in &sessions {
            let answer = sidecar.send(get("/greeting/").header("Cookie", cookie)).await;
            answer.assert_status(200).assert_body(format!("<p>Hello, {name}.</p>"));
            let status = answer.fields.joined("cache-status");
            answer.expect(!status.contains("; hit"), "an answer of the app's own".to_owned());
        }
        sidecar.get("/greeting/").await.assert_cache("hit").assert_body("<p>Hello, stranger.</p>");
    }
}
