//! A real app: Django as its tutorial would have it (`tests/apps/django`), behind gunicorn and, with Channels, behind
//! uvicorn.

use std::process::Command;

use serde_json::json;

use crate::{
    apps::{OUR_FIELDS, Program, UNTOUCHED, assert_websocket, installed, source},
    common::{Answer, Client, Sidecar, get, head, noise, post, request},
    later::{place, result, until},
};

/// The servers that Django is deployed with: one for WSGI, one for ASGI.
const SERVERS: [fn() -> Program; 2] = [gunicorn, uvicorn];

fn gunicorn() -> Program {
    let mut command = django("gunicorn");
    command.args(["--bind", "127.0.0.1:0", "--worker-class", "gthread", "--threads", "4"]).args([
        "--graceful-timeout",
        "1",
        "shop.wsgi",
    ]);
    Program::start(command, "Listening at: http://")
}

fn uvicorn() -> Program {
    let mut command = django("uvicorn");
    command.args(["--port", "0", "--lifespan", "off", "--timeout-graceful-shutdown", "1", "shop.asgi:application"]);
    Program::start(command, "Uvicorn running on http://")
}

fn django(server: &str) -> Command {
    let mut command = Command::new(installed("django").join("venv/bin").join(server));
    command.current_dir(source("tests/apps/django")).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

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
    for server in SERVERS {
        let django = server();
        let sidecar = Sidecar::in_front_of(&django).start().await;
        for path in ["/", "/prices.json", "/greeting/"] {
            sidecar.get(path).await.assert_status(200).assert_cache("miss").assert_cache_parameter("stored");
            sidecar.get(path).await.assert_status(200).assert_cache("hit");
        }
        // Browsers bring their analytics cookies along.
        sidecar.send(get("/").header("Cookie", "_ga=GA1.1.1; _gid=GA1.1.2")).await.assert_cache("hit");
    }
}

#[tokio::test]
async fn answers_equal_the_direct_ones() {
    for server in SERVERS {
        let django = server();
        let sidecar = Sidecar::in_front_of(&django).config(UNTOUCHED).start().await;
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
}

#[tokio::test]
async fn forms_with_tokens_work_through_the_sidecar() {
    for server in SERVERS {
        let django = server();
        let sidecar = Sidecar::in_front_of(&django).start().await;
        let mut client = sidecar.client().await;
        let form = client.get("/contact/").await;
        form.assert_status(200);
        let filled = format!("csrfmiddlewaretoken={}&message=a%3Cb%3E", token(&form));
        let submit = |cookie: &str| {
            post("/contact/", &filled)
                .header("Content-Type", "application/x-www-form-urlencoded")
                .header("Cookie", cookie)
        };
        let sent = client.send(submit(&cookies(&form))).await;
        sent.assert_status(200).assert_cache("bypass").assert_body("<p>You wrote: a&lt;b&gt;</p>");
        client.send(submit("csrftoken=somebody-elses")).await.assert_status(403);

        // A form is for one browser: the next one is given its own token.
        let other = sidecar.get("/contact/").await;
        assert_ne!(cookies(&other), cookies(&form));
    }
}

#[tokio::test]
async fn page_of_one_person_is_never_shown_to_another() {
    for server in SERVERS {
        let django = server();
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
        // Django sent each of them there after a change of state: what was stored is no longer believed (RFC 9111 §4.4).
        sidecar.get("/greeting/").await.assert_cache("miss").assert_body("<p>Hello, stranger.</p>");
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
}

/// A form with a text and a file, as a browser sends it.
fn multipart(token: &str, file: &[u8]) -> (String, Vec<u8>) {
    let boundary = "----between-the-parts";
    let mut body = Vec::new();
    for (name, value) in [("csrfmiddlewaretoken", token), ("title", "Größe")] {
        let part = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    let disposition = "Content-Disposition: form-data; name=\"file\"; filename=\"noise.bin\"";
    body.extend_from_slice(format!("--{boundary}\r\n{disposition}\r\n\r\n").as_bytes());
    body.extend_from_slice(file);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}

#[tokio::test]
async fn uploaded_files_arrive_as_they_were_sent() {
    let file = noise(3_000_000);
    for server in SERVERS {
        let django = server();
        let sidecar = Sidecar::in_front_of(&django).tls().start().await;
        let form = sidecar.get("/upload/").await;
        let (content_type, body) = multipart(&token(&form), &file);
        let upload = |host: &str| {
            post("/upload/", &body)
                .header("Host", host)
                .header("Content-Type", &content_type)
                .header("Cookie", &cookies(&form))
        };
        // Over HTTPS, which only the sidecar can tell it, Django wants to know which page the form came from.
        let length = body.len().to_string();
        let encrypted = upload("localhost").header("Content-Length", &length).header("Referer", "https://localhost/");

        // The hash of the same file sent to the app itself is what the others have to be.
        let direct = Client::connect(django.address).await.send(upload("shop.test")).await;
        direct.assert_status(200);
        let known: serde_json::Value = serde_json::from_slice(&direct.body).expect("JSON");
        assert_eq!((&known["bytes"], &known["title"]), (&3_000_000.into(), &"Größe".into()), "{known}");
        sidecar.send(upload("shop.test")).await.assert_status(200).assert_body(&direct.body);
        let elsewhere = encrypted.clone().header("Origin", "https://evil.test");
        sidecar.tls_h2().await.send(elsewhere).await.assert_status(403);
        sidecar.tls_h2().await.send(encrypted).await.assert_status(200).assert_body(&direct.body);
    }
}

#[tokio::test]
async fn parts_of_a_stream_come_one_by_one() {
    for server in SERVERS {
        let django = server();
        let sidecar = Sidecar::in_front_of(&django).start().await;
        let mut reader = sidecar.client().await;
        let mut report = reader.begin(get("/report/")).await;
        report.so_far().assert_status(200);
        let mut expected = String::new();
        // The next part is asked for only when the last one is here, so that nothing can be held back.
        for part in ["begin", "middle", "end"] {
            if part != "begin" {
                sidecar.send(post("/report/ask/", part)).await.assert_status(202);
            }
            expected.push_str(&format!("{part}\n"));
            assert_eq!(report.at_least(expected.len()).await.text(), expected);
        }
        report.finish().await.assert_body(expected);
    }
}

#[tokio::test]
async fn websockets_of_channels_pass_both_ways() {
    let django = uvicorn();
    let sidecar = Sidecar::in_front_of(&django).start().await;
    assert_websocket(&format!("ws://{}/echo/", django.address)).await;
    assert_websocket(&format!("ws://{}/echo/", sidecar.addr())).await;
    // The sidecar goes on answering what is no WebSocket.
    sidecar.get("/").await.assert_status(200);
}

#[tokio::test]
async fn slow_report_is_fetched_later() {
    let django = gunicorn();
    let sidecar = Sidecar::in_front_of(&django).config("[[route]]\nmatch = \"/yearly/\"\nasync = true\n").start().await;
    let ask = || get("/yearly/").header("Prefer", "respond-async, wait=1");
    let (first, second, third) = tokio::join!(sidecar.send(ask()), sidecar.send(ask()), sidecar.send(ask()));
    let waited = sidecar.send(get("/yearly/"));
    let [first, second, third] = [first, second, third].map(|answer| place(&answer));
    let cancelled = async {
        sidecar.send(request("DELETE", &third)).await.assert_status(200);
        until(&sidecar, &third, "cancelled").await
    };
    let (waited, cancelled, first_task, second_task) =
        tokio::join!(waited, cancelled, until(&sidecar, &first, "completed"), until(&sidecar, &second, "completed"));
    assert!(cancelled["progress"].as_u64().unwrap() < 100, "{cancelled}");
    waited.assert_status(200).assert_field("X-Report", "yearly");
    for (place, task) in [(first, first_task), (second, second_task)] {
        assert_eq!((&task["progress"], &task["progress_source"]), (&json!(100), &json!("reported")));
        let fetched = sidecar.get(&result(&place)).await;
        fetched.assert_status(200).assert_body(&waited.body);
        let without_length = |answer: &Answer| {
            let fields = end_to_end(answer).into_iter();
            fields.filter(|(name, _)| name != "content-length").collect::<Vec<_>>()
        };
        assert_eq!(without_length(&fetched), without_length(&waited));
    }
    sidecar.get(&result(&third)).await.assert_status(410);
}
