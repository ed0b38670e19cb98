//! An app that is reached by TLS, by HTTP/2 without TLS, by a Unix socket, by a name with two addresses, or not at all.

use std::{fs, os::unix::fs::PermissionsExt};

use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::common::{
    Answer, Authority, Cut, H2Answer, H2Origin, Origin, Received, Response, Sidecar, get, head, noise, ok, post,
};

const STORED: (&str, &str) = ("Cache-Control", "max-age=60");

fn storable(body: &str) -> Response {
    ok(body).header(STORED.0, STORED.1)
}

/// Both ways to the app: the cache's own, and that of requests with a body.
async fn both_ways(sidecar: &Sidecar, target: &str) -> [Answer; 2] {
    [sidecar.get(target).await, sidecar.send(post(target, "body")).await]
}

async fn tls_errors(sidecar: &Sidecar) -> f64 {
    sidecar.metric("pacecar_upstream_errors_total{reason=\"tls\"}").await
}

#[tokio::test]
async fn https_carries_every_kind_of_request() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let upload = |received: &Received| ok(&received.body);
    let origin = Origin::new()
        .route("/stored", storable("hello"))
        .route("/upload", upload)
        .route("/cut", ok("half").cut(Cut::Fin).part("half"))
        .tls(authority.acceptor("localhost"))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).server(&authority.trusted(dir.path())).start().await;
    sidecar.get("/stored").await.assert_status(200).assert_cache("miss").assert_body("hello");
    sidecar.get("/stored").await.assert_cache("hit").assert_body("hello");
    origin.assert_requests(1);
    let body = noise(1 << 20);
    sidecar.send(post("/upload", &body)).await.assert_status(200).assert_body(&body).assert_field("Via", "1.1 pacecar");
    sidecar.send(post("/upload", "").chunks([&body])).await.assert_status(200).assert_body(&body);
    for answer in both_ways(&sidecar, "/cut").await {
        answer.assert_status(200).assert_cut();
    }
    // The client's Host goes to the app, whatever the certificate is for.
    sidecar.send(get("/upload").header("Host", "app.example")).await.assert_status(200);
    assert_eq!(origin.last().field("host"), Some("app.example"));
    assert_eq!(tls_errors(&sidecar).await, 0.0);
}

#[tokio::test]
async fn https_to_an_address_is_verified_for_the_address() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    for (name, status) in [("127.0.0.1", 200), ("localhost", 502)] {
        let origin = Origin::new().otherwise(ok("fine")).tls(authority.acceptor(name)).start().await;
        let url = format!("https://{}", origin.address());
        let sidecar = Sidecar::in_front_of(&origin).upstream(&url).server(&authority.trusted(dir.path())).start().await;
        for answer in both_ways(&sidecar, "/").await {
            answer.assert_status(status);
        }
    }
}

#[tokio::test]
async fn app_that_cannot_show_who_it_is_is_a_502_and_is_told_nothing() {
    let (dir, authority, stranger) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
    let trusted = authority.trusted(dir.path());
    for (acceptor, trusted, said) in [
        (authority.acceptor("other.example"), trusted.as_str(), "not valid for name"),
        (stranger.acceptor("localhost"), &trusted, "UnknownIssuer"),
        // The system's authorities know nothing of ours.
        (authority.acceptor("localhost"), "", "UnknownIssuer"),
    ] {
        let origin = Origin::new().otherwise(ok("fine")).tls(acceptor).start().await;
        let sidecar = Sidecar::in_front_of(&origin).server(trusted).start().await;
        for answer in both_ways(&sidecar, "/").await {
            answer
                .assert_status(502)
                .assert_body("502 Bad Gateway: the app behind this proxy cannot be reached safely\n");
        }
        sidecar.h2c().await.send(post("/", "body")).await.assert_status(502);
        origin.assert_requests(0);
        assert_eq!(tls_errors(&sidecar).await, 3.0);
        let lines = sidecar.logged("the app cannot be reached");
        assert!(lines.len() == 1 && lines[0].contains("tls") && lines[0].contains(said), "{lines:#?}");
    }
}

#[tokio::test]
async fn app_without_tls_behind_an_https_url_is_a_502() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let answering = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
        }
    });
    let origin = Origin::new().start().await;
    let sidecar = Sidecar::in_front_of(&origin).upstream(&url).start().await;
    for answer in both_ways(&sidecar, "/").await {
        answer.assert_status(502);
    }
    answering.abort();
    assert_eq!(tls_errors(&sidecar).await, 2.0);
}

#[tokio::test]
async fn h2c_carries_every_kind_of_request() {
    let origin = H2Origin::start(|received| match received.path.as_str() {
        "/stored" => H2Answer::ok("hello").header(STORED.0, STORED.1).header("content-length", "5"),
        "/trailers" => H2Answer::ok("hello").header(STORED.0, STORED.1).trailer("x-sum", "1"),
        "/cut" => H2Answer::ok("half").header(STORED.0, STORED.1).cut(),
        _ => H2Answer::ok(&received.body),
    })
    .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let first = sidecar.send(get("/stored").header("Host", "app.example:81")).await;
    first.assert_status(200).assert_cache("miss").assert_body("hello").assert_field("Via", "2 pacecar");
    let asked = origin.last();
    assert_eq!((&*asked.method, &*asked.scheme, &*asked.authority), ("GET", "http", "app.example:81"));
    assert_eq!(asked.fields.get("host"), None, "the authority says it");
    assert_eq!(asked.fields.get("x-forwarded-host"), Some("app.example:81"));
    sidecar.send(get("/stored").header("Host", "app.example:81")).await.assert_cache("hit").assert_body("hello");
    sidecar.send(head("/other?a=1").header("Host", "app.example")).await.assert_status(200);
    assert_eq!(origin.last().path, "/other?a=1");

    // Trailers are for HTTP/2 clients; to a cache they are no part of the answer.
    sidecar.get("/trailers").await.assert_status(200).assert_body("hello");
    sidecar.get("/trailers").await.assert_cache("hit").assert_body("hello");
    for answer in both_ways(&sidecar, "/cut").await {
        answer.expect([200, 502].contains(&answer.status), "an answer that is cut, or none".into());
        answer.expect(answer.status == 502 || answer.end != crate::common::End::Complete, "a visible end".into());
    }

    let body = noise(1 << 20);
    let posted = sidecar.send(post("/upload", &body).header("Host", "app.example")).await;
    posted.assert_status(200).assert_body(&body).assert_field("Via", "2 pacecar");
    assert_eq!(origin.last().authority, "app.example");
    sidecar.send(post("/upload", "").chunks([&body])).await.assert_status(200).assert_body(&body);
    sidecar.h2c().await.send(post("/upload", &body)).await.assert_status(200).assert_body(&body);
}

#[tokio::test]
async fn h2c_names_the_app_where_the_client_names_nobody() {
    let origin = H2Origin::start(|received| H2Answer::ok(&received.body)).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    client.send_bytes("GET / HTTP/1.0\r\n\r\n").await;
    client.answer("GET").await.assert_status(200);
    let mut client = sidecar.client().await;
    client.send_bytes("POST / HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody").await;
    client.answer("POST").await.assert_status(200).assert_body("body");
    let authority = crate::common::App::url(&origin).replace("h2c://", "");
    assert!(origin.log().iter().all(|received| received.authority == authority), "{:#?}", origin.log());
}

#[tokio::test]
async fn grpc_passes_untouched() {
    let message = b"\0\0\0\0\x05hello";
    let origin = H2Origin::start(|received| {
        let answer = H2Answer::ok(&received.body).header("content-type", "application/grpc");
        match received.path.as_str() {
            "/shop.Shop/Fails" => H2Answer::ok("")
                .header("content-type", "application/grpc")
                .trailer("grpc-status", "5")
                .trailer("grpc-message", "no%20such%20item"),
            _ => answer.trailer("grpc-status", "0").trailer("x-bin-bin", "AAEC/w"),
        }
    })
    .await;
    let sidecar = Sidecar::in_front_of(&origin).tls().start().await;
    for client in [sidecar.h2c().await, sidecar.tls_h2().await] {
        let call = |path| post(path, message).header("content-type", "application/grpc").header("te", "trailers");
        let answer = client.send(call("/shop.Shop/Get").header("grpc-timeout", "1S")).await;
        answer.assert_status(200).assert_body(message).assert_field("content-type", "application/grpc");
        let trailers = [("grpc-status", "0"), ("x-bin-bin", "AAEC/w")];
        assert_eq!(answer.trailers.0, trailers.map(|(name, value)| (name.to_owned(), value.to_owned())), "{answer}");
        let asked = origin.last();
        for (name, value) in [("te", "trailers"), ("content-type", "application/grpc"), ("grpc-timeout", "1S")] {
            assert_eq!(asked.fields.get(name), Some(value), "{asked:#?}");
        }
        assert_eq!(asked.body, message);

        let answer = client.send(call("/shop.Shop/Fails")).await;
        answer.assert_status(200).assert_body("");
        assert_eq!(answer.trailers.get("grpc-status"), Some("5"), "{answer}");
        assert_eq!(answer.trailers.get("grpc-message"), Some("no%20such%20item"), "{answer}");
    }
}

#[tokio::test]
async fn go_ahead_for_a_body_is_given_where_the_app_cannot_give_one() {
    let origin = H2Origin::start(|received| H2Answer::ok(&received.body)).await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    client.send_bytes("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n").await;
    assert!(client.until("HTTP/1.1 100 Continue\r\n\r\n").await);
    client.send_bytes("body").await;
    client.answer("POST").await.assert_status(200).assert_body("body");
    assert_eq!(origin.last().fields.get("expect"), None);
}

#[tokio::test]
async fn unix_socket_carries_every_kind_of_request_and_its_app_may_go_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let upload = |received: &Received| ok(&received.body);
    let origin = Origin::new()
        .route("/upload", upload)
        .otherwise(storable("hello"))
        .unix(&dir.path().join("app.sock"))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/stored").await.assert_status(200).assert_cache("miss").assert_body("hello");
    sidecar.get("/stored").await.assert_cache("hit");
    sidecar.until_metric("pacecar_upstream_in_flight", 0.0).await;
    sidecar.get("/another").await.assert_status(200).assert_body("hello");
    assert_eq!(origin.last().nth, 1, "the connection was not used again");
    let body = noise(1 << 20);
    sidecar.send(post("/upload", &body)).await.assert_status(200).assert_body(&body);
    let mut client = sidecar.client().await;
    client.send_bytes("GET /nameless HTTP/1.0\r\n\r\n").await;
    client.answer("GET").await.assert_status(200);
    assert_eq!(origin.last().field("host"), Some("localhost"));

    origin.stop().await;
    for answer in both_ways(&sidecar, "/away").await {
        answer.assert_status(502).assert_complete();
    }
    let lines = sidecar.logged("the app cannot be reached");
    assert!(lines.len() == 1 && lines[0].contains("No such file or directory"), "{lines:#?}");
    origin.restart().await;
    for answer in both_ways(&sidecar, "/back").await {
        answer.assert_status(200).assert_body("hello");
    }
    assert_eq!(sidecar.logged("the app can be reached").len(), 1);
    assert_eq!(sidecar.logged("the app cannot be reached").len(), 1);
}

#[tokio::test]
async fn unix_socket_that_is_not_permitted_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.sock");
    let origin = Origin::new().otherwise(ok("hello")).unix(&path).start().await;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if tokio::net::UnixStream::connect(&path).await.is_ok() {
        // Whoever may do anything is refused nothing: there is nothing to see here.
        return;
    }
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_status(502);
    let lines = sidecar.logged("the app cannot be reached");
    assert!(lines.len() == 1 && lines[0].contains("Permission denied"), "{lines:#?}");
}

#[tokio::test]
async fn localhost_is_found_where_it_listens() {
    let origin = Origin::new().otherwise(ok("hello")).on_ipv6().start().await;
    let url = format!("http://localhost:{}", origin.address().port());
    let sidecar = Sidecar::in_front_of(&origin).upstream(&url).start().await;
    for answer in both_ways(&sidecar, "/").await {
        answer.assert_status(200).assert_body("hello");
    }
    assert!(sidecar.logged("the app cannot be reached").is_empty());
}

#[tokio::test]
async fn app_that_goes_and_comes_back_is_written_of_once_each_time() {
    let origin = Origin::new().otherwise(ok("hello")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_status(200);
    assert!(sidecar.logged("the app can").is_empty(), "nothing has changed");
    origin.stop().await;
    for at in 0..5 {
        for answer in both_ways(&sidecar, &format!("/away/{at}")).await {
            answer.assert_status(502);
        }
    }
    let lines = sidecar.logged("the app cannot be reached");
    assert!(lines.len() == 1 && lines[0].contains("Connection refused"), "{lines:#?}");
    origin.restart().await;
    for at in 0..5 {
        for answer in both_ways(&sidecar, &format!("/back/{at}")).await {
            answer.assert_status(200);
        }
    }
    assert_eq!(sidecar.logged("the app can be reached").len(), 1);
    assert_eq!(sidecar.logged("the app cannot be reached").len(), 1);
}

#[tokio::test]
async fn name_without_an_address_is_a_502() {
    let origin = Origin::new().start().await;
    let sidecar = Sidecar::in_front_of(&origin).upstream("http://nowhere.invalid:1").start().await;
    for answer in both_ways(&sidecar, "/").await {
        answer.assert_status(502);
    }
    assert_eq!(sidecar.metric("pacecar_upstream_errors_total{reason=\"resolve\"}").await, 2.0);
    assert_eq!(sidecar.logged("the app cannot be reached").len(), 1);
}
