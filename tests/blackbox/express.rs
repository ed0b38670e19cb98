//! A real app: Express with its compression middleware, an event stream and WebSockets (`tests/apps/express`).

use crate::{
    apps::{Program, UNTOUCHED, assert_websocket},
    common::{Answer, Client, Sidecar, get, post},
};

#[tokio::test]
async fn compressed_and_plain_representations_are_not_mixed_up() {
    let express = Program::express();
    let sidecar = Sidecar::in_front_of(&express).config(UNTOUCHED).start().await;
    let ask = |accepted: &str| get("/prices.json").header("Host", "shop.test").header("Accept-Encoding", accepted);
    let mut bodies = Vec::new();
    for round in ["miss", "hit"] {
        for (accepted, coding) in [("gzip", Some("gzip")), ("identity", None)] {
            let direct = Client::connect(express.address).await.send(ask(accepted)).await;
            let answer = sidecar.send(ask(accepted)).await;
            answer.assert_status(200).assert_cache(round).assert_body(&direct.body);
            answer
                .assert_field("vary", "Accept-Encoding")
                .assert_field("content-type", "application/json; charset=utf-8");
            assert_eq!(answer.field("content-encoding"), coding, "{answer}");
            bodies.push(answer.body);
        }
    }
    assert_ne!(bodies[0], bodies[1], "two representations");
}

#[tokio::test]
async fn events_arrive_one_at_a_time() {
    let express = Program::express();
    let sidecar = Sidecar::in_front_of(&express).start().await;
    let (mut first, mut second) = (sidecar.client().await, sidecar.client().await);
    let mut events = first.begin(get("/events/prices").header("Accept", "text/event-stream")).await;
    events.so_far().assert_status(200).assert_field("content-type", "text/event-stream");
    let mut expected = "data: open\n\n".to_owned();
    assert_eq!(events.at_least(expected.len()).await.text(), expected);
    // Who asks for the same stream while it runs is given one of their own, and does not wait for its end.
    let mut others = second.begin(get("/events/prices").header("Accept", "text/event-stream")).await;
    assert_eq!(others.at_least(expected.len()).await.text(), expected);
    for event in ["one", "two", "three"] {
        let tell = post("/tell/prices", event).header("Content-Type", "text/plain");
        sidecar.send(tell).await.assert_status(202);
        expected.push_str(&format!("data: {event}\n\n"));
        assert_eq!(events.at_least(expected.len()).await.text(), expected);
        assert_eq!(others.at_least(expected.len()).await.text(), expected);
    }
}

#[tokio::test]
async fn websockets_pass_both_ways() {
    let express = Program::express();
    let sidecar = Sidecar::in_front_of(&express).start().await;
    assert_websocket(&format!("ws://{}/echo", express.address)).await;
    assert_websocket(&format!("ws://{}/echo", sidecar.addr())).await;
    sidecar.get("/").await.assert_status(200);
}

/// The session cookie of somebody who has just given a name.
async fn session(sidecar: &Sidecar, name: &str) -> String {
    let form = format!("name={name}");
    let submit = post("/session", form).header("Content-Type", "application/x-www-form-urlencoded");
    let answer = sidecar.send(submit).await;
    answer.assert_status(303).assert_field("location", "/session");
    let cookie = answer.field("set-cookie").and_then(|cookie| cookie.split(';').next());
    cookie.unwrap_or_else(|| panic!("no cookie in\n{answer}")).to_owned()
}

/// The app says `max-age` and not `Vary: Cookie`, as many do: the sidecar must not believe that this is for everybody.
#[tokio::test]
async fn session_pages_are_never_shared() {
    let express = Program::express();
    let sidecar = Sidecar::in_front_of(&express).start().await;
    let own = |answer: &Answer| !answer.fields.joined("cache-status").contains("; hit");
    let (ann, bob) = (session(&sidecar, "Ann").await, session(&sidecar, "Bob").await);
    assert_ne!(ann, bob);
    for _ in 0..3 {
        for (cookie, name) in [(&ann, "Ann"), (&bob, "Bob")] {
            let answer = sidecar.send(get("/session").header("Cookie", cookie)).await;
            answer.assert_status(200).assert_body(format!("{{\"name\":\"{name}\"}}"));
            answer.expect(own(&answer), "an answer of the app's own".to_owned());
        }
        sidecar.get("/session").await.assert_status(200).assert_body("{\"name\":null}");
    }
    sidecar.get("/session").await.assert_cache("hit");
}
