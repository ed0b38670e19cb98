//! The dashboard page, in a real browser before a real run. What is done on it stands in
//! `tests/apps/clients/dashboard.cjs`; here is what was there before.

use std::{env, path::Path};

use serde_json::{Value, json};

use crate::{
    apps::{Program, Talk, node, source},
    common::{Gate, Origin, Sidecar, get, ok, post, status, within},
};

/// A scenario, on its way.
struct Browser(Talk);

impl Browser {
    /// Begins it, with what it needs besides the address of the admin port.
    async fn begin(sidecar: &Sidecar, scenario: &str, more: Value) -> Self {
        let chromium = Path::new("/usr/bin/chromium");
        assert!(chromium.exists(), "{} is missing: run `make test`, which installs it", chromium.display());
        let base = format!("http://{}", sidecar.admin_addr());
        let mut job = json!({ "chromium": chromium, "base": base, "scenario": scenario });
        for (name, value) in more.as_object().expect("an object") {
            job[name] = value.clone();
        }
        let mut browser = Self(Talk::with(node("clients", source("tests/apps/clients/dashboard.cjs"))));
        browser.0.say(job).await;
        browser
    }

    /// Waits until it wants this done.
    async fn wants(&mut self, what: &str) {
        assert_eq!(within(format!("the browser to want: {what}"), self.0.hear()).await, json!({ "please": what }));
    }

    async fn told(&mut self) {
        self.0.say(json!({})).await;
    }

    /// Waits for its end, which has to be a good one. A step has its own patience; all of them take theirs.
    async fn ends(mut self) {
        let last = self.0.hear().await;
        assert!(last["done"].is_string(), "{}", last["failed"].as_str().unwrap_or("it said nothing"));
    }
}

async fn run(sidecar: &Sidecar, scenario: &str, more: Value) {
    Browser::begin(sidecar, scenario, more).await.ends().await;
}

/// A visit to the demo shop, as some browsers make it: pages, files, errors, and what is slow.
async fn visit(sidecar: &Sidecar) {
    let mut client = sidecar.client().await;
    let mut requests = 0.0;
    for coding in ["gzip", "br", "zstd", "identity"] {
        for path in ["/", "/products", "/products/1", "/products/2", "/products/7", "/api/large", "/api/time", "/error"]
        {
            client.send(get(path).header("Accept-Encoding", coding)).await;
            client.send(get(path).header("Accept-Encoding", coding).header("Cookie", "session=1")).await;
            requests += 2.0;
        }
        client.send(post("/api/echo", "{}").header("Content-Type", "application/json")).await.assert_status(200);
        client.get("/slow?ms=60").await.assert_status(200);
        requests += 2.0;
    }
    sidecar.until_metric("pacecar_http_response_body_bytes_count", requests).await;
}

#[tokio::test]
async fn figures_are_what_the_json_says() {
    let demo = Program::demo();
    let sidecar = Sidecar::in_front_of(&demo).start().await;
    visit(&sidecar).await;
    run(&sidecar, "figures", json!({})).await;
    run(&sidecar, "charts", json!({})).await;
    run(&sidecar, "places", json!({})).await;
    run(&sidecar, "cache", json!({ "front": sidecar.addr().to_string() })).await;
}

#[tokio::test]
async fn everybody_can_use_it_on_every_width() {
    let demo = Program::demo();
    let sidecar = Sidecar::in_front_of(&demo).start().await;
    run(&sidecar, "empty", json!({})).await;
    visit(&sidecar).await;
    // Pictures to look at, where somebody asks for them.
    run(&sidecar, "widths", json!({ "pictures": env::var("PACECAR_PICTURES").ok() })).await;
}

#[tokio::test]
async fn findings_are_shown_copied_and_muted() {
    let origin = Origin::new().route("/broken", status(500)).otherwise(ok("fine")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).root("mode = \"observe\"").start().await;
    let mut client = sidecar.client().await;
    for _ in 0..40 {
        client.get("/broken").await.assert_status(500);
        client.get("/fine").await.assert_status(200);
    }
    sidecar.until_metric("pacecar_http_response_body_bytes_count", 80.0).await;
    run(&sidecar, "findings", json!({})).await;
}

#[tokio::test]
async fn it_rests_unseen_and_comes_back_with_the_sidecar() {
    let demo = Program::demo();
    let mut sidecar = Sidecar::in_front_of(&demo).start().await;
    sidecar.get("/").await.assert_status(200);
    let mut browser = Browser::begin(&sidecar, "coming_back", json!({})).await;
    browser.wants("stop").await;
    let address = sidecar.admin_addr();
    sidecar.terminate().await;
    sidecar.wait().await;
    browser.told().await;
    browser.wants("start").await;
    let _again = Sidecar::in_front_of(&demo).admin_on(address).start().await;
    browser.told().await;
    browser.ends().await;
}

#[tokio::test]
async fn what_clients_call_things_is_text() {
    let tagged = ok("fine").header("Cache-Control", "max-age=600").header("Surrogate-Key", "<svg/onload=alert(1)>");
    let origin = Origin::new().route("/tagged", tagged).otherwise(ok("fine")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config("[profile]\nkeep_paths = true").start().await;
    let mut client = sidecar.client().await;
    let long = format!("/{}", "long".repeat(1900));
    let paths = [
        "/tagged",
        "/%3Cscript%3Ealert(1)%3C/script%3E",
        "/%3Cimg/src=x/onerror=alert(1)%3E",
        "/'onmouseover='alert(1)",
        "/');alert(1);//&lt;b&gt;",
        "/%00%0a%1b[31m",
        "/%E2%80%AEgnp.exe",
        "/$(7*7)",
        "/javascript:alert(1)",
        &long,
    ];
    for path in paths {
        client.get(path).await.assert_status(200);
    }
    sidecar.until_metric("pacecar_http_response_body_bytes_count", paths.len() as f64).await;
    // Of a path that is too long to be kept, the segments that are not.
    let shown: Vec<&str> = paths.iter().map(|path| if *path == long { "/…" } else { path }).collect();
    run(&sidecar, "hostile", json!({ "paths": shown, "front": sidecar.addr().to_string() })).await;
}

/// It is begun with a request, shown while it goes on, and cancelled with the button.
#[tokio::test]
async fn a_task_is_watched_and_cancelled() {
    let gates = [Gate::new(), Gate::new()];
    let [first, second] = gates.each_ref().map(|gate| ok("late").after(gate));
    let origin = Origin::new().route("/first", first).route("/second", second).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let urls = ["/first", "/second"].map(|path| format!("http://{}{path}", sidecar.addr()));
    let mut browser =
        Browser::begin(&sidecar, "tasks", json!({ "urls": urls, "pictures": env::var("PACECAR_PICTURES").ok() })).await;
    browser.wants("let the first one through").await;
    gates[0].open();
    browser.told().await;
    browser.ends().await;
    assert_eq!(origin.requests(), 2, "the second one was asked for, and never answered");
}

#[tokio::test]
async fn token_opens_it() {
    let dir = tempfile::tempdir().unwrap();
    let (file, token) = (dir.path().join("token"), "correct-horse-battery");
    std::fs::write(&file, token).unwrap();
    let origin = Origin::new().start().await;
    let sidecar = Sidecar::in_front_of(&origin).admin(&format!("token_file = {file:?}")).start().await;
    run(&sidecar, "login", json!({ "token": token })).await;
}
