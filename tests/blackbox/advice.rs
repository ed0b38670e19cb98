//! Advice about real traffic: what is found is what the test has made the app do.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::{
    apps::Program,
    common::{Client, Origin, Sidecar, ok, post, status, within},
};

const INSIGHTS: &str = "/performance/profile/insights";
const DASHBOARD: &str = "/performance/dashboard";

/// Waits until so many requests are in the profiler: that is when they end, which a client knows before the sidecar does.
async fn counted(sidecar: &Sidecar, requests: u64) {
    within(format!("{requests} requests in the insights"), async {
        while sidecar.admin_get(INSIGHTS).await["looked_at"]["requests"] != requests {}
    })
    .await;
}

/// The finding of this id.
#[track_caller]
fn finding<'a>(insights: &'a Value, id: &str) -> &'a Value {
    let findings = insights["findings"].as_array().expect("a list");
    findings.iter().find(|finding| finding["id"] == id).unwrap_or_else(|| panic!("no {id} in {insights:#}"))
}

/// What `pacecar advise` says, and exits with.
async fn advise(sidecar: &Sidecar, token_file: Option<&Path>) -> (String, String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pacecar"));
    command.args(["advise", "--url", &format!("http://{}/", sidecar.admin_addr())]);
    token_file.iter().for_each(|file| {
        command.arg("--token-file").arg(file);
    });
    let ran = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let Output { status, stdout, stderr } = ran.expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(stdout), text(stderr), status.code())
}

/// Has the sidecar take up its configuration with something added.
async fn reload_with(sidecar: &Sidecar, added: &str, reloads: f64) {
    fs::write(sidecar.config_path(), format!("{}\n{added}", sidecar.config())).unwrap();
    sidecar.hang_up().await;
    sidecar.until_metric("pacecar_config_reloads_total{result=\"success\"}", reloads).await;
}

#[tokio::test]
async fn slow_endpoint_is_found_told_and_muted() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_pacecar"));
    demo.args(["demo", "--listen", "127.0.0.1:0"]);
    let app = Program::start(demo, "listening on http://");
    let sidecar = Sidecar::in_front_of(&app).config("[cache]\nuncacheable_ttl = \"0s\"").start().await;
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..20 {
        let mut client = sidecar.client().await;
        clients.spawn(async move {
            client.get(&format!("/slow?ms=600&n={number}")).await.assert_status(200).assert_cache("miss");
        });
    }
    clients.join_all().await;
    counted(&sidecar, 20).await;

    let insights = sidecar.admin_get(INSIGHTS).await;
    let slow = finding(&insights, "slow_endpoint:GET /slow");
    assert_eq!(slow["endpoint"], json!({"method": "GET", "endpoint": "/slow"}));
    assert!(slow["evidence"]["upstream_avg_ms"].as_f64().unwrap() >= 600.0, "{slow:#}");
    assert_eq!(slow["evidence"]["requests"], 20, "{slow:#}");
    let dashboard = sidecar.admin_get(DASHBOARD).await;
    assert_eq!(dashboard["reasons"][0]["finding"], slow["id"], "{dashboard:#}");
    assert_eq!((&dashboard["status"], &dashboard["reasons"][0]["status"]), (&slow["severity"], &slow["severity"]));

    // No answer came twice, so that nothing is known of whether they may be kept.
    let sentence = slow["do"]["sentence"].as_str().unwrap_or_else(|| panic!("{slow:#}"));
    let (said, errors, code) = advise(&sidecar, None).await;
    assert_eq!((&*errors, code), ("", Some(0)), "{said}");
    for expected in [slow["title"].as_str().unwrap(), slow["because"].as_str().unwrap(), sentence, "by 20 requests of "]
    {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }

    reload_with(&sidecar, "[advice]\nmute = [\"slow_endpoint\"]", 1.0).await;
    let insights = sidecar.admin_get(INSIGHTS).await;
    assert_eq!((&insights["findings"], &insights["muted"]), (&json!([]), &json!(1)), "{insights:#}");
    let (said, _, _) = advise(&sidecar, None).await;
    assert!(said.starts_with("There is nothing to advise, by 20 requests of "), "{said}");
    assert!(said.ends_with("1 more left out as muted.\n"), "{said}");
}

#[tokio::test]
async fn errors_of_now_make_the_status_critical() {
    let origin = Origin::new().route("/broken", status(500)).otherwise(ok("fine")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    for _ in 0..2 {
        client.get("/broken").await.assert_status(500);
    }
    for _ in 0..18 {
        client.get("/fine").await.assert_status(200);
    }
    counted(&sidecar, 20).await;
    let dashboard = sidecar.admin_get(DASHBOARD).await;
    assert_eq!((&dashboard["status"], &dashboard["reasons"]), (&json!("healthy"), &json!([])), "{dashboard:#}");
    for _ in 0..18 {
        client.get("/broken").await.assert_status(500);
    }
    counted(&sidecar, 38).await;
    let dashboard = sidecar.admin_get(DASHBOARD).await;
    assert_eq!(dashboard["status"], "critical", "{dashboard:#}");
    assert_eq!(dashboard["reasons"][0]["finding"], "errors:GET /broken", "{dashboard:#}");
}

#[tokio::test]
async fn app_that_does_not_answer_is_the_first_reason_until_it_does() {
    let origin = Origin::new().otherwise(ok("fine")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    sidecar.get("/").await.assert_status(200);
    origin.stop().await;
    for _ in 0..5 {
        // Each of its own: a failed fetch is the answer for a second to whoever asks for the same.
        sidecar.send(post("/", "")).await.assert_status(502);
    }
    let dashboard = sidecar.admin_get(DASHBOARD).await;
    let first = &dashboard["reasons"][0];
    let said = "the app does not answer: 5 requests to it have failed in a row, the last by \"connect\"";
    assert_eq!((&dashboard["status"], &first["detail"]), (&json!("critical"), &json!(said)), "{dashboard:#}");
    origin.restart().await;
    sidecar.send(post("/", "")).await.assert_status(200);
    let dashboard = sidecar.admin_get(DASHBOARD).await;
    assert_eq!(dashboard["traffic"]["app"]["failures_in_a_row"], 0);
    assert!(dashboard["reasons"].as_array().unwrap().iter().all(|reason| reason["detail"] != said), "{dashboard:#}");
}

#[tokio::test]
async fn who_has_no_token_is_told_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let (right, wrong) = (file("right", "correct-horse-battery\n"), file("wrong", "wrong-wrong-wrong-wrong\n"));
    let origin = Origin::new().start().await;
    let sidecar = Sidecar::in_front_of(&origin).admin(&format!("token_file = {right:?}")).start().await;
    let url = format!("http://{}", sidecar.admin_addr());
    let refused = |why: &str| (String::new(), format!("{url}: {why}\n"), Some(2));
    let none = "it wants a token (401): name the file that has it with --token-file";
    assert_eq!(advise(&sidecar, None).await, refused(none));
    assert_eq!(advise(&sidecar, Some(&wrong)).await, refused("it has another token than --token-file (401)"));
    let (said, errors, code) = advise(&sidecar, Some(&right)).await;
    assert_eq!((&*errors, code), ("", Some(0)));
    assert!(said.starts_with("There is nothing to advise, by 0 requests of "), "{said}");
}

#[tokio::test]
async fn reloads_deployments_and_purges_are_marked() {
    let origin = Origin::new().start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut admin = Client::connect(sidecar.admin_addr()).await;
    let json = |target: &str, body: &str| post(target, body).header("Content-Type", "application/json");
    let answer = admin.send(json("/performance/markers", "{\"label\": \"v1.4.2\"}")).await;
    answer.assert_status(201);
    let marker: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&marker["kind"], &marker["label"]), (&json!("deploy"), &json!("v1.4.2")), "{answer}");
    admin.send(json("/performance/cache/clear", "{}")).await.assert_status(200);
    reload_with(&sidecar, "", 1.0).await;
    let listed = sidecar.admin_get("/performance/markers").await;
    let markers = listed["markers"].as_array().unwrap();
    let kinds: Vec<&str> = markers.iter().map(|marker| marker["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["reload", "purge", "deploy", "reload"], "{listed:#}");
    assert_eq!((&markers[2], &markers[3]["label"]), (&marker, &json!("start")), "{listed:#}");
    let times: Vec<f64> = markers.iter().map(|marker| marker["at_seconds"].as_f64().unwrap()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
    assert_eq!(sidecar.logged("admin write").len(), 2, "{:?}", sidecar.log());
}

#[tokio::test]
async fn what_is_muted_while_it_runs_is_not_advised_and_no_reason() {
    let origin = Origin::new().otherwise(status(500)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config("[cache]\nuncacheable_ttl = \"0s\"").start().await;
    for _ in 0..30 {
        sidecar.get("/broken").await.assert_status(500);
    }
    counted(&sidecar, 30).await;
    let mute = async |mute: bool| -> Value {
        let wish = json!({"finding": "errors:GET /broken", "mute": mute}).to_string();
        let post = post("/performance/profile/insights/mute", wish).header("Content-Type", "application/json");
        let mut admin = Client::connect(sidecar.admin_addr()).await;
        serde_json::from_str(&admin.send(post).await.assert_status(200).text()).unwrap()
    };
    assert_eq!(sidecar.admin_get(DASHBOARD).await["status"], "critical");
    let muted = mute(true).await;
    let dashboard = sidecar.admin_get(DASHBOARD).await;
    assert_eq!(dashboard["status"], "healthy", "{dashboard:#}");
    assert_eq!(dashboard["insights"]["muted_findings"][0]["by"], "admin", "{dashboard:#}");
    assert!(advise(&sidecar, None).await.0.ends_with("1 more left out as muted.\n"));
    assert_eq!(sidecar.logged("admin write").len(), 1, "{}", sidecar.log());
    assert_eq!(mute(false).await["muted"], json!([]));
    assert_eq!(sidecar.admin_get(DASHBOARD).await["status"], "critical");
    // What it said to paste is taken up, and cannot be taken back here.
    reload_with(&sidecar, muted["config"].as_str().unwrap(), 1.0).await;
    let dashboard = sidecar.admin_get(DASHBOARD).await;
    assert_eq!(dashboard["insights"]["muted_findings"][0]["by"], "config", "{dashboard:#}");
}
