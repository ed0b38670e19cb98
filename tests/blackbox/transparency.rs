//! Put before any app, nothing changes but speed: what is between client and app stays between them.

use std::time::SystemTime;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::common::{
    Answer, H2Answer, H2Origin, Held, Origin, PATIENCE, Response, Sidecar, get, ok, post, raw, request, status, within,
};

/// Reads up to the end of a head.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("a head", stream.read_u8()).await.expect("a head"));
    }
    String::from_utf8(head).unwrap()
}

/// An app that gives the go-ahead for a body before it reads it, or refuses it at once.
async fn asking_app(agrees: bool) -> Held {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = Held(listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    asked.push(stream.read_u8().await?);
                }
                if !agrees {
                    let refusal =
                        format!("HTTP/1.1 401 No\r\nDate: {THEN}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
                    return stream.write_all(refusal.as_bytes()).await;
                }
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                let mut body = [0; 4];
                stream.read_exact(&mut body).await?;
                let answer = format!("HTTP/1.1 200 OK\r\nDate: {THEN}\r\nContent-Length: 4\r\n\r\n");
                stream.write_all(answer.as_bytes()).await?;
                stream.write_all(&body).await
            });
        }
    });
    app
}

/// When the app says it made its answers.
const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

const UPLOAD: &str = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";

#[tokio::test]
async fn go_ahead_of_the_app_reaches_the_client_before_the_body_is_sent() {
    let sidecar = Sidecar::in_front_of(&asking_app(true).await).start().await;
    let mut client = TcpStream::connect(sidecar.addr()).await.unwrap();
    client.write_all(UPLOAD.as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 100 "));
    client.write_all(b"body").await.unwrap();
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && is_dated_then(&answer), "{answer}");
    let mut body = [0; 4];
    within("the body", client.read_exact(&mut body)).await.unwrap();
    assert_eq!(&body, b"body");
}

#[tokio::test]
async fn app_may_refuse_a_body_before_it_is_sent() {
    let sidecar = Sidecar::in_front_of(&asking_app(false).await).start().await;
    let mut client = TcpStream::connect(sidecar.addr()).await.unwrap();
    client.write_all(UPLOAD.as_bytes()).await.unwrap();
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && is_dated_then(&answer), "{answer}");
}

/// Whether a head has the app's date, and no other.
fn is_dated_then(head: &str) -> bool {
    let lines = head.lines().filter(|line| line.to_ascii_lowercase().starts_with("date:"));
    lines.eq([format!("Date: {THEN}")])
}

/// The answer has one date, of this moment.
#[track_caller]
fn assert_dated_now(answer: &Answer) {
    let dates: Vec<_> = answer.fields.all("date").map(httpdate::parse_http_date).collect();
    let is_now = |at: &SystemTime| at.elapsed().is_ok_and(|ago| ago <= 2 * PATIENCE);
    answer.expect(matches!(&dates[..], [Ok(at)] if is_now(at)), "one date, of this moment".to_owned());
}

#[tokio::test]
async fn date_is_the_apps_own_in_every_answer_of_a_connection() {
    // A body that looks like a head, for all who look for one.
    const BODY: &str = "HTTP/1.1 200 OK\r\nDate: of the body\r\n\r\n";
    let answers = [
        ("/length", ok(BODY)),
        ("/chunked", ok(BODY).part(BODY).chunked()),
        ("/empty", ok("")),
        ("/large-head", ok(BODY).header("X-Large", &"a".repeat(20_000))),
        ("/missing", status(404).part(BODY)),
        ("/no-content", status(204)),
        ("/early", ok(BODY).interim("HTTP/1.1 103 Early Hints\r\nDate: early\r\nLink: </a.css>\r\n\r\n")),
        // RFC 9110 §7.6.1: this one is meant for us alone.
        ("/ours", ok(BODY).header("Connection", "date")),
    ];
    // RFC 9110 §5.6.7: the form of today, the two obsolete ones; what is none is not ours to mend.
    let dates = [Some(THEN), Some("Sunday, 06-Nov-94 08:49:37 GMT"), Some("Sun Nov  6 08:49:37 1994"), Some("0"), None];
    let dated = |response: &Response, date: Option<&str>| match date {
        Some(date) => response.clone().header("daTe", date),
        None => response.clone(),
    };
    let mut origin = Origin::new();
    for (path, response) in &answers {
        for (nth, date) in dates.iter().enumerate() {
            origin = origin.route(&format!("{path}/{nth}"), dated(response, *date));
        }
    }
    let origin = origin.start().await;
    let sidecar = Sidecar::in_front_of(&origin).tls().start().await;
    for mut client in [sidecar.client().await, sidecar.tls().await] {
        for (path, _) in &answers {
            for (nth, date) in dates.iter().enumerate() {
                let target = format!("{path}/{nth}");
                let chunks = request("PUT", &target).chunks(["bo", "dy"]);
                let mut head = post(&target, "body");
                head.method = "HEAD".to_owned();
                for request in [post(&target, "body"), chunks, head] {
                    let answer = client.send(request).await;
                    answer.assert_complete();
                    match date {
                        Some(date) if *path != "/ours" => _ = answer.assert_field("Date", date),
                        _ => assert_dated_now(&answer),
                    }
                    if *path == "/early" {
                        answer.expect(answer.interim[0].1.get("date") == Some("early"), "103 as it came".to_owned());
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn date_is_the_apps_own_where_the_connection_ends_with_the_answer() {
    let origin = Origin::new()
        .route("/dated", ok("hello").header("Date", THEN).until_close())
        .route("/undated", ok("hello").until_close())
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for version in ["1.0", "1.1"] {
        for target in ["/dated", "/undated"] {
            let mut client = sidecar.client().await;
            let head = format!("POST {target} HTTP/{version}\r\nHost: a\r\nConnection: close\r\nContent-Length: 4");
            client.send_bytes(format!("{head}\r\n\r\nbody")).await;
            let answer = client.answer("POST").await;
            answer.assert_body("hello");
            if target == "/dated" { _ = answer.assert_field("Date", THEN) } else { assert_dated_now(&answer) }
        }
    }
}

#[tokio::test]
async fn date_of_an_app_that_speaks_http_2_is_its_own() {
    let origin = H2Origin::start(|received| match received.path.as_str() {
        "/dated" => H2Answer::ok("hello").header("date", THEN),
        _ => H2Answer::ok("hello"),
    })
    .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    for _ in 0..2 {
        client.send(post("/dated", "body")).await.assert_body("hello").assert_field("Date", THEN);
        assert_dated_now(&client.send(post("/undated", "body")).await);
    }
}

#[tokio::test]
async fn failures_have_a_date_of_ours() {
    let bad = format!("HTTP/1.1 200 OK\r\nDate: {THEN}\r\nTransfer-Encoding: gzip\r\n\r\nhello");
    let origin = Origin::new().otherwise(raw(bad)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let answer = sidecar.send(post("/", "body")).await;
    answer.assert_status(502);
    assert_dated_now(&answer);
}

#[tokio::test]
async fn fields_that_mean_something_to_others_are_left_alone() {
    let tags = [("Surrogate-Key", "a b"), ("Cache-Tag", "a,b"), ("xkey", "a"), ("Cache-Groups", "\"a\"")];
    let tagged = tags.iter().fold(ok("hello"), |response, (name, value)| response.header(name, value));
    let origin = Origin::new().otherwise(tagged.header("Cache-Control", "max-age=60")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let trace = [
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "a=1,b=2"),
        ("baggage", "user=7"),
    ];
    for expected in ["miss", "hit"] {
        let request = trace.iter().fold(get("/"), |request, (name, value)| request.header(name, value));
        let answer = sidecar.send(request).await;
        answer.assert_cache(expected);
        for (name, value) in tags {
            answer.assert_field(name, value);
        }
    }
    for (name, value) in trace {
        assert_eq!(origin.last().field(name), Some(value));
    }
}

#[tokio::test]
async fn override_of_the_method_reaches_the_app_and_never_the_cache() {
    let origin = Origin::new().otherwise(ok("hello").header("Cache-Control", "max-age=60")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_cache("miss");
    for _ in 0..2 {
        let answer = sidecar.send(get("/").header("X-HTTP-Method-Override", "DELETE")).await;
        answer.assert_cache("bypass");
        assert_eq!(origin.last().field("x-http-method-override"), Some("DELETE"));
    }
    sidecar.get("/").await.assert_cache("hit");
}

#[tokio::test]
async fn failures_are_problems_to_those_who_ask_for_json_and_name_no_internals() {
    let origin = Origin::new().otherwise(ok("hello")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    origin.stop().await;
    let plain = sidecar.get("/").await;
    plain.assert_status(502).assert_field("content-type", "text/plain; charset=utf-8");
    let problem = sidecar.send(get("/").header("Accept", "application/json")).await;
    problem.assert_status(502).assert_field("content-type", "application/problem+json");
    let body: serde_json::Value = serde_json::from_slice(&problem.body).unwrap();
    assert_eq!((&body["status"], &body["title"]), (&502.into(), &"Bad Gateway".into()));
    let address = origin.address();
    for answer in [plain, problem] {
        let text = answer.text();
        assert!(!text.contains(&address.port().to_string()) && !text.contains("127.0.0.1"), "{text}");
    }
}
