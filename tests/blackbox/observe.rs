//! `mode = "observe"`, and what is advised by what was watched: apps of which it is known what may be cached.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use serde_json::Value;

use crate::common::{Client, Origin, Received, Request, Response, Sidecar, get, ok, post, status, text, within};

/// The text of a page, which is the same for the same `of`.
fn page(of: impl std::fmt::Display) -> Response {
    ok([format!("<p>{of}</p>").into_bytes(), text(600)].concat()).header("Content-Type", "text/html")
}

async fn insights(sidecar: &Sidecar) -> Vec<Value> {
    let insights = sidecar.admin_get("/performance/profile/insights").await;
    insights["findings"].as_array().unwrap().clone()
}

#[tokio::test]
async fn everything_passes_as_it_is() {
    let origin = Origin::new()
        .route("/page", ok(text(5000)).header("Content-Type", "text/html").header("Cache-Control", "max-age=60"))
        .route("/assets/index-BqJ2x9kA.js", ok(text(5000)).header("Content-Type", "text/javascript"))
        .otherwise(status(204))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).root("mode = \"observe\"").start().await;
    for _ in 0..3 {
        let answer = sidecar.send(get("/page").header("Accept-Encoding", "gzip")).await;
        answer.assert_status(200).assert_body(text(5000)).assert_no_field("content-encoding").assert_no_field("age");
        answer.assert_field("cache-control", "max-age=60").assert_no_field("etag").assert_no_field("vary");
        answer.assert_cache("bypass");
    }
    let answer = sidecar.get("/assets/index-BqJ2x9kA.js").await;
    answer.assert_no_field("cache-control").assert_no_field("etag");
    assert_eq!(origin.requests(), 4);
    let asked = origin.log()[0].field("accept-encoding").map(str::to_owned);
    assert_eq!(asked.as_deref(), Some("gzip"), "the app codes by itself");
}

/// What a client is, besides its number: those by the hundred have different languages, agents and addresses.
fn request(target: &str, client: u64) -> Request {
    get(target)
        .header("X-Forwarded-For", &format!("203.0.113.{}", client % 200))
        .header("User-Agent", &format!("agent-{}", client % 3))
        .header("Accept-Language", ["en", "de"][client as usize % 2])
}

fn session(target: &str, client: u64) -> Request {
    request(target, client).header("Cookie", &format!("session={client}; theme={}", client % 2))
}

/// What is to be advised for an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// To cache it, with lines to paste.
    Cache,
    /// To think about it.
    Candidate,
    Nothing,
}

/// The answer to a request, by how many came before.
type Answers = Box<dyn Fn(&Received, u64) -> Response + Send + Sync>;

struct Shape {
    target: &'static str,
    answers: Answers,
    asks: fn(&str, u64) -> Request,
    requests: u64,
    verdict: Verdict,
}

fn shape(
    target: &'static str,
    verdict: Verdict,
    asks: fn(&str, u64) -> Request,
    answers: impl Fn(&Received, u64) -> Response + Send + Sync + 'static,
) -> Shape {
    Shape { target, answers: Box::new(answers), asks, requests: 300, verdict }
}

fn field<'a>(received: &'a Received, name: &str) -> &'a str {
    received.field(name).unwrap_or("none")
}

/// The session's number.
fn who(received: &Received) -> u64 {
    let cookie = field(received, "cookie");
    cookie.trim_start_matches("session=").split(';').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn shapes() -> Vec<Shape> {
    use Verdict::{Cache, Candidate, Nothing};
    let few = |requests, shape| Shape { requests, ..shape };
    vec![
        shape("/same", Cache, request, |_, _| page("same")),
        shape("/json", Cache, request, |_, _| {
            ok(format!("[{}1]", "1,".repeat(400))).header("Content-Type", "application/json")
        }),
        shape("/things/{}", Cache, request, |received, _| page(&received.target)),
        shape("/search?q={}", Cache, request, |received, _| page(&received.target)),
        shape("/moved", Cache, request, |_, _| status(301).header("Location", "/same")),
        shape("/language", Cache, request, |received, _| {
            page(field(received, "accept-language")).header("Vary", "Accept-Language")
        }),
        shape("/agents", Cache, request, |_, _| page("for all").header("Vary", "User-Agent")),
        shape("/campaign?utm_source={}", Cache, request, |_, _| page("for all")),
        shape(
            "/tagged",
            Cache,
            |target, client| {
                let request = request(target, client);
                if client % 2 == 0 { request.header("If-None-Match", "\"v1\"") } else { request }
            },
            |received, _| match received.field("if-none-match") {
                Some(_) => status(304).header("ETag", "\"v1\""),
                None => page("tagged").header("ETag", "\"v1\""),
            },
        ),
        shape(
            "/visitors",
            Cache,
            |target, client| request(target, client).header("Cookie", &format!("_ga={client}")),
            |_, _| page("same"),
        ),
        // Who asks by name is asked about.
        shape("/news-for-members", Candidate, session, |_, _| page("same")),
        shape(
            "/with-credentials",
            Candidate,
            |target, client| request(target, client).header("Authorization", &format!("Bearer {client}")),
            |_, _| page("same"),
        ),
        shape(
            "/with-a-key",
            Candidate,
            |target, client| request(target, client).header("X-Api-Key", &client.to_string()),
            |_, _| page("same"),
        ),
        shape("/forbidden-to-store", Candidate, request, |_, _| page("same").header("Cache-Control", "no-store")),
        shape("/said-to-be-private", Nothing, request, |_, _| page("same").header("Cache-Control", "private")),
        // What is somebody's own, in all its forms.
        shape("/me", Nothing, session, |received, _| page(who(received))),
        shape("/greeting", Nothing, session, |received, _| page(if who(received) == 7 { "Ann" } else { "you" })),
        shape("/orders", Nothing, session, |received, _| {
            ok(if who(received) % 50 == 1 { text(700) } else { b"[]".to_vec() })
                .header("Content-Type", "application/json")
        }),
        shape("/orders-as-a-page", Nothing, session, |received, _| {
            page(if who(received) % 50 == 1 { who(received) } else { 0 })
        }),
        shape("/nobody-has-any", Nothing, session, |_, _| ok("[]").header("Content-Type", "application/json")),
        shape("/theme", Nothing, session, |received, _| page(field(received, "cookie").ends_with('1'))),
        shape(
            "/by-credentials",
            Nothing,
            |target, client| request(target, client).header("Authorization", &format!("Bearer {}", client % 9)),
            |received, _| page(field(received, "authorization")),
        ),
        shape(
            "/by-key",
            Nothing,
            |target, client| request(target, client).header("X-Api-Key", &(client % 9).to_string()),
            |received, _| page(field(received, "x-api-key")),
        ),
        shape("/by-address", Nothing, request, |received, _| page(field(received, "x-forwarded-for"))),
        shape("/by-country", Nothing, request, |received, _| page(field(received, "x-forwarded-for").contains("7,"))),
        shape("/by-agent-unsaid", Nothing, request, |received, _| page(field(received, "user-agent"))),
        shape("/by-language-unsaid", Nothing, request, |received, _| page(field(received, "accept-language"))),
        // What sets cookies, now and then too.
        shape("/login-page", Nothing, request, |_, nth| page("same").header("Set-Cookie", &format!("csrf={nth}"))),
        shape("/cookie-now-and-then", Nothing, request, |_, nth| {
            if nth % 50 == 9 { page("same").header("Set-Cookie", "a=b") } else { page("same") }
        }),
        // What is never twice the same, or not for long.
        shape("/random", Nothing, request, |_, _| page(fastrand::u64(..))),
        shape("/counter", Nothing, request, |_, nth| page(nth)),
        shape("/token-in-the-page", Nothing, request, |_, nth| page(format!("token {nth}"))),
        shape("/alternating", Nothing, request, |_, nth| page(nth % 2)),
        shape("/changing", Nothing, request, |_, nth| page(nth / 30)),
        shape("/mostly-one", Nothing, request, |_, nth| page(nth % 40 == 39)),
        // Where there is nothing to save.
        few(19, shape("/seldom", Nothing, request, |_, _| page("same"))),
        shape("/once-each/{n}", Nothing, request, |received, _| page(&received.target)),
        // What cannot be stored.
        shape("/everything-varies", Nothing, request, |_, _| page("same").header("Vary", "*")),
        shape("/failing", Nothing, request, |_, _| status(500).part(text(600))),
        shape("/missing", Nothing, request, |_, _| status(404).part(text(600))),
        shape("/events", Nothing, request, |_, _| ok("data: 1\n\n").header("Content-Type", "text/event-stream")),
        shape("/written", Nothing, |target, client| post(target, client.to_string()), |_, _| page("same")),
        shape(
            "/part",
            Nothing,
            |target, client| request(target, client).header("Range", "bytes=0-9"),
            |_, _| page("same"),
        ),
    ]
}

impl Shape {
    fn path(&self) -> &'static str {
        self.target.split(['?', '{']).next().unwrap()
    }

    fn endpoint(&self) -> String {
        let path = self.target.split('?').next().unwrap();
        format!("GET {}", path.replace("{}", "{id}").replace("{n}", "{id}"))
    }

    /// The `nth` request.
    fn request(&self, nth: u64) -> Request {
        // Clients in no order, so that none comes at a beat.
        let client = nth * 7919 % 101;
        let target = self.target.replace("{}", &(nth * 31 % 10).to_string()).replace("{n}", &nth.to_string());
        (self.asks)(&target, client)
    }
}

/// An origin that answers as all the shapes say.
async fn origin(shapes: Vec<Shape>) -> Origin {
    let shapes: Vec<(Shape, AtomicU64)> = shapes.into_iter().map(|shape| (shape, AtomicU64::new(0))).collect();
    let answer = move |received: &Received| {
        let of = |shape: &Shape| match shape.target.contains(['?', '{']) {
            true => received.target.starts_with(shape.path()),
            false => received.target == shape.target,
        };
        match shapes.iter().find(|(shape, _)| of(shape)) {
            Some((shape, asked)) => (shape.answers)(received, asked.fetch_add(1, Relaxed)),
            None => status(404),
        }
    };
    Origin::new().otherwise(answer).start().await
}

fn verdicts(findings: &[Value]) -> BTreeMap<String, Verdict> {
    let cacheable = findings.iter().filter(|finding| finding["kind"] == "cacheable");
    cacheable
        .map(|finding| {
            let endpoint = format!(
                "{} {}",
                finding["endpoint"]["method"].as_str().unwrap(),
                finding["endpoint"]["endpoint"].as_str().unwrap()
            );
            let sure = finding["confidence"] == "measured";
            assert_eq!(finding["do"].get("config").is_some(), sure, "{finding}");
            (endpoint, if sure { Verdict::Cache } else { Verdict::Candidate })
        })
        .collect()
}

#[tokio::test]
async fn each_app_gets_the_advice_that_is_right() {
    for mode in ["observe", "on"] {
        let origin = origin(shapes()).await;
        let sidecar = Sidecar::in_front_of(&origin).root(&format!("mode = {mode:?}")).start().await;
        let mut client = sidecar.client().await;
        for shape in shapes() {
            for nth in 0..shape.requests {
                let answer = client.send(shape.request(nth)).await;
                answer.assert_complete();
            }
        }
        let mut found = verdicts(&insights(&sidecar).await);
        for shape in shapes() {
            let verdict = found.remove(&shape.endpoint()).unwrap_or(Verdict::Nothing);
            assert_eq!(verdict, shape.verdict, "{} in mode {mode}", shape.target);
        }
        assert_eq!(found, BTreeMap::new());
    }
}

#[tokio::test]
async fn what_splits_the_cache_for_nothing_is_named() {
    let shapes = || {
        shapes().into_iter().filter(|shape| matches!(shape.path(), "/agents" | "/campaign" | "/search" | "/language"))
    };
    let origin = origin(shapes().collect()).await;
    let sidecar = Sidecar::in_front_of(&origin).root("mode = \"observe\"").start().await;
    let mut client = sidecar.client().await;
    for shape in shapes() {
        for nth in 0..shape.requests {
            client.send(shape.request(nth)).await;
        }
    }
    let mut named: Vec<String> = insights(&sidecar)
        .await
        .iter()
        .filter(|finding| finding["kind"] == "split")
        .map(|finding| finding["id"].as_str().unwrap().to_owned())
        .collect();
    named.sort_unstable();
    assert_eq!(named, ["split:GET /agents:header=user-agent", "split:GET /campaign:query=utm_source"]);
}

#[tokio::test]
async fn a_client_that_would_not_have_seen_its_own_write_is_told_of() {
    let written = Arc::new(AtomicU64::new(0));
    let (write, read) = (written.clone(), written);
    let origin = Origin::new()
        .route("/posts", move |_: &Received| page(read.load(Relaxed)))
        .route("/posts/new", move |_: &Received| {
            write.fetch_add(1, Relaxed);
            status(303).header("Location", "/thanks")
        })
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).root("mode = \"observe\"").start().await;
    let mut client = sidecar.client().await;
    for nth in 0..400 {
        if nth % 100 == 50 {
            client.send(post("/posts/new", "title=x")).await.assert_status(303);
        }
        client.get("/posts").await;
    }
    let findings = insights(&sidecar).await;
    assert!(findings.iter().any(|finding| finding["id"] == "own_write:GET /posts"), "{findings:?}");
    assert_eq!(verdicts(&findings), BTreeMap::new());
}

/// Requests by so many clients, for things that are asked for more the lower their numbers.
async fn traffic(client: &mut Client) {
    let mut random = fastrand::Rng::with_seed(4);
    for nth in 0..2000u64 {
        let thing = (random.f64().powi(3) * 100.0) as u64;
        let target = match random.u8(..10) {
            0 => "/me".to_owned(),
            1..=6 => format!("/things/{thing}"),
            _ => format!("/pages/{}", thing / 10),
        };
        let request = if target == "/me" { session(&target, nth % 20) } else { request(&target, nth % 20) };
        client.send(request).await.assert_status(200);
    }
}

#[tokio::test]
async fn what_is_predicted_is_what_comes_of_it() {
    let things = || shape("/things/{}", Verdict::Cache, request, |received, _| page(&received.target));
    let pages = || shape("/pages/{}", Verdict::Cache, request, |received, _| page(&received.target));
    let me = || shape("/me", Verdict::Nothing, session, |received, _| page(who(received)));
    let origin = origin(vec![things(), pages(), me()]).await;
    let sidecar = Sidecar::in_front_of(&origin).root("mode = \"observe\"").start().await;
    traffic(&mut sidecar.client().await).await;
    let before = origin.requests();
    assert_eq!(before, 2000);

    let findings = insights(&sidecar).await;
    let cacheable: Vec<&Value> = findings.iter().filter(|finding| finding["kind"] == "cacheable").collect();
    assert_eq!(cacheable.len(), 2, "{findings:?}");
    let predicted: f64 =
        cacheable.iter().map(|finding| finding["evidence"]["upstream_requests_saved"].as_f64().unwrap()).sum();
    let snippets: Vec<&str> = cacheable.iter().map(|finding| finding["do"]["config"].as_str().unwrap()).collect();
    let on = sidecar.config().replace("mode = \"observe\"", "mode = \"on\"");
    std::fs::write(sidecar.config_path(), format!("{on}\n{}", snippets.concat())).unwrap();
    sidecar.hang_up().await;
    sidecar.until_metric("pacecar_config_reloads_total{result=\"success\"}", 1.0).await;

    traffic(&mut sidecar.client().await).await;
    let realised = (before * 2 - origin.requests()) as f64;
    assert!((predicted - realised).abs() <= realised * 0.1, "{predicted} were predicted, and {realised} came of it");
    let again = within("the advice to be followed", async { verdicts(&insights(&sidecar).await) }).await;
    assert_eq!(again, BTreeMap::new());
}

#[tokio::test]
async fn what_the_cache_would_do_as_configured_is_what_it_does_when_it_is_on() {
    let origin = Origin::new().otherwise(page("same").header("Cache-Control", "max-age=3600")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).root("mode = \"observe\"").start().await;
    let ask = async || {
        let mut client = sidecar.client().await;
        for nth in 0..300 {
            client.get(&format!("/things/{}", nth * 31 % 17)).await;
        }
    };
    ask().await;
    let findings = insights(&sidecar).await;
    let found = findings.iter().find(|finding| finding["id"] == "switch_on").unwrap_or_else(|| panic!("{findings:?}"));
    assert_eq!((&found["evidence"]["answers"], &found["evidence"]["hits"]), (&300.into(), &283.into()), "{found}");
    assert_eq!(found["evidence"]["hits_outdated"], 0);
    assert_eq!(verdicts(&findings), BTreeMap::new(), "what has a lifetime needs none");

    let on = sidecar.config().replace("mode = \"observe\"", "mode = \"on\"");
    std::fs::write(sidecar.config_path(), on).unwrap();
    sidecar.hang_up().await;
    sidecar.until_metric("pacecar_config_reloads_total{result=\"success\"}", 1.0).await;
    ask().await;
    assert_eq!(origin.requests(), 300 + 300 - 283);
    assert!(insights(&sidecar).await.iter().all(|finding| finding["id"] != "switch_on"));
}
