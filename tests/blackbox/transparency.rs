//! Put before any app, nothing changes but speed: what is between client and app stays between them.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::common::{Held, Origin, Sidecar, get, ok, within};

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
                    return stream
                        .write_all(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
                        .await;
                }
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                let mut body = [0; 4];
                stream.read_exact(&mut body).await?;
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n").await?;
                stream.write_all(&body).await
            });
        }
    });
    app
}

const UPLOAD: &str = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";

#[tokio::test]
async fn go_ahead_of_the_app_reaches_the_client_before_the_body_is_sent() {
    let sidecar = Sidecar::in_front_of(&asking_app(true).await).start().await;
    let mut client = TcpStream::connect(sidecar.addr()).await.unwrap();
    client.write_all(UPLOAD.as_bytes()).await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 100 "));
    client.write_all(b"body").await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
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
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
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
