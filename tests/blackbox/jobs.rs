//! Jobs of the operator, by `pacecar task` as a person would: warm-ups, purges, questions to the database, comparisons.

use std::{
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};

use pacecar::query::fingerprint::{Dialect, Key, fingerprint};

use crate::{
    common::{Gate, Origin, Received, Sidecar, get, ok, status, within},
    indexes::{EXPLAIN, tell},
    postgres::Postgres,
};

const HOSTS: &str = "[tasks]\nhosts = [\"shop.example\"]";

/// `pacecar task` with this admin port.
fn command(sidecar: &Sidecar, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pacecar"));
    command.args(["task", "--url", &format!("http://{}", sidecar.admin_addr())]).args(args);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(sidecar: &Sidecar, args: &[&str]) -> Output {
    within(format!("pacecar task {args:?}"), command(sidecar, args).output()).await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// What a job came to.
async fn result(sidecar: &Sidecar, args: &[&str]) -> Value {
    let output = run(sidecar, &[args, &["--json"]].concat()).await;
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{args:?}: {stdout}{stderr}");
    serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
}

/// Why it came to nothing, and with which status the program ended.
async fn failure(sidecar: &Sidecar, args: &[&str]) -> (Option<i32>, String) {
    let output = run(sidecar, args).await;
    assert!(output.stdout.is_empty(), "{args:?}: {}", text(&output.stdout));
    (output.status.code(), text(&output.stderr).lines().last().unwrap_or_default().to_owned())
}

/// A page that can be stored.
fn page(received: &Received) -> crate::common::Response {
    ok(&received.target).header("Cache-Control", "max-age=600")
}

fn urls(urls: impl IntoIterator<Item = String>) -> String {
    let urls: String = urls.into_iter().map(|url| format!("<url><loc>{url}</loc></url>")).collect();
    format!("<?xml version=\"1.0\"?><urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">{urls}</urlset>")
}

fn index(urls: &[&str]) -> String {
    let urls: String = urls.iter().map(|url| format!("<sitemap><loc>{url}</loc></sitemap>")).collect();
    format!("<sitemapindex>{urls}</sitemapindex>")
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

async fn hit(sidecar: &Sidecar, host: &str, path: &str) {
    sidecar.send(get(path).header("Host", host)).await.assert_status(200).assert_cache("hit");
}

#[tokio::test]
async fn what_was_warmed_up_is_a_hit() {
    let first = urls((0..5).map(|n| format!("http://shop.example/p/{n}?a=1&amp;b=2")));
    let second = urls(["http://other.example/".into(), "http://shop.example/last".into()]);
    let origin = Origin::new()
        .route("/sitemap.xml", status(301).header("Location", "/maps/index.xml"))
        .route("/maps/index.xml", ok(index(&["/maps/1.xml.gz", "http://shop.example/maps/2.xml", "/maps/gone.xml"])))
        .route("/maps/1.xml.gz", ok(gzip(&first)))
        .route("/maps/2.xml", ok(second))
        .route("/maps/gone.xml", status(404))
        .otherwise(page)
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).config(HOSTS).start().await;
    let json = result(&sidecar, &["warm", "--sitemap", "/sitemap.xml", "--rate", "100"]).await;
    assert_eq!(
        (&json["asked"], &json["stored"], &json["failed"]["total"]),
        (&6.into(), &6.into(), &0.into()),
        "{json}"
    );
    let pages = &json["pages"];
    assert_eq!((&pages["foreign"], &pages["sitemaps"]["read"]), (&1.into(), &3.into()), "{json}");
    assert_eq!(pages["sitemaps"]["problems"][0], "http://shop.example/maps/gone.xml: it is answered with status 404");
    let asked = origin.requests();
    for n in 0..5 {
        hit(&sidecar, "shop.example", &format!("/p/{n}?a=1&b=2")).await;
    }
    hit(&sidecar, "shop.example", "/last").await;
    // By a list, and by the address that is listened on; told as text.
    let there = format!("http://{}/there", sidecar.addr());
    let output = run(&sidecar, &["warm", "/last", &there, "--rate", "100"]).await;
    assert_eq!(output.status.code(), Some(0));
    let told = text(&output.stdout);
    assert!(told.starts_with("Asked for 2 pages in "), "{told}");
    assert!(told.contains("\n       1 stored now\n") && told.contains("\n       1 stored before\n"), "{told}");
    // No terminal: a line for each change.
    assert!(text(&output.stderr).lines().all(|line| line.starts_with("cache_warmup of ")), "{output:?}");
    sidecar.get("/there").await.assert_cache("hit");
    origin.assert_requests(asked + 1);
}

#[tokio::test]
async fn only_its_own_hosts_are_asked() {
    let origin =
        Origin::new().route("/s", status(302).header("Location", "http://evil.example/")).otherwise(page).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for args in [
        &["warm", "/", "http://evil.example/"][..],
        &["warm", "--sitemap", "http://evil.example/sitemap.xml"],
        &["compare", "/", "http://evil.example/"],
    ] {
        let (code, why) = failure(&sidecar, args).await;
        assert!(code == Some(2) && why.contains("evil.example") && why.contains("tasks.hosts"), "{args:?}: {why}");
    }
    origin.assert_requests(0);
    let (code, why) = failure(&sidecar, &["warm", "--sitemap", "/s"]).await;
    assert_eq!(code, Some(1));
    assert!(why.contains("redirects to \"evil.example\", which is none of the own hosts"), "{why}");
}

#[tokio::test]
async fn loops_of_sitemaps_end() {
    let origin = Origin::new()
        .route("/round", status(302).header("Location", "/and-round"))
        .route("/and-round", status(302).header("Location", "/round"))
        .route("/index", ok(index(&["/index", "/other", "/pages"])))
        .route("/other", ok(index(&["/index", "/other"])))
        .route("/pages", ok(urls(["/a".into()])))
        .otherwise(page)
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let (code, why) = failure(&sidecar, &["warm", "--sitemap", "/round"]).await;
    assert!(code == Some(1) && why.ends_with("it redirects in a loop of 2"), "{why}");
    origin.assert_requests(2);
    let json = result(&sidecar, &["warm", "--sitemap", "/index", "--rate", "100"]).await;
    assert_eq!((&json["asked"], &json["pages"]["sitemaps"]["read"]), (&1.into(), &3.into()), "{json}");
}

#[tokio::test]
async fn an_app_that_fails_is_left_alone() {
    let map = urls((0..200).map(|n| format!("/{n}")));
    let origin = Origin::new().route("/sitemap.xml", ok(map)).otherwise(status(503)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let (code, why) = failure(&sidecar, &["warm", "--sitemap", "/sitemap.xml", "--rate", "100"]).await;
    assert_eq!(code, Some(1));
    assert!(
        why.contains("20 of the app's last 20 answers failed (more than 20 %); 20 of 200 asked, 0 stored"),
        "{why}"
    );
    assert!(origin.requests() <= 25, "{}", origin.requests());
}

/// The first press of Ctrl-C.
fn interrupt(child: &Child) {
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
}

#[tokio::test]
async fn a_warm_up_is_cancelled_in_the_middle() {
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new().otherwise(move |received: &Received| page(received).after(&held)).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let args = ["warm", "/1", "/2", "/3", "/4", "--concurrency", "2", "--rate", "100"];
    let mut follower = command(&sidecar, &args);
    let follower = follower.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    gate.arrivals(2).await;
    interrupt(&follower);
    let output = within("the follower to end", follower.wait_with_output()).await.unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.trim_end().ends_with("cancelled"), "{told}");
    gate.open();
    origin.assert_requests(2);
    let listed = result(&sidecar, &["list", "--status", "cancelled"]).await;
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 1, "{listed}");
    let id = listed["tasks"][0]["id"].as_str().unwrap();
    let shown = text(&run(&sidecar, &["show", id]).await.stdout).to_owned();
    assert!(shown.contains(id) && shown.contains("cancelled by admin"), "{shown}");
    let (code, why) = failure(&sidecar, &["cancel", id]).await;
    assert!(code == Some(1) && why.contains("409"), "{why}");
}

#[tokio::test]
async fn a_purge_by_pattern_is_exact() {
    let origin = Origin::new().otherwise(page).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let mut client = sidecar.client().await;
    for n in 0..2000 {
        client.send(get(&format!("/products/{n}?page={n}")).header("Host", "shop.example")).await.assert_status(200);
    }
    for n in 0..500 {
        client.send(get(&format!("/others/{n}")).header("Host", "shop.example")).await.assert_status(200);
        client.send(get(&format!("/products/{n}")).header("Host", "other.example")).await.assert_status(200);
    }
    let figures = |json: &Value| ["looked_at", "matched", "cleared"].map(|key| json[key].as_u64().unwrap());
    let dry = result(&sidecar, &["purge", "/products/**", "--dry-run"]).await;
    assert_eq!(figures(&dry), [3000, 2500, 0], "{dry}");
    let dry = result(&sidecar, &["purge", "/products/1*", "--dry-run"]).await;
    // 1, 10 to 19, 100 to 199 and 1000 to 1999; of the other host 111.
    assert_eq!(figures(&dry), [3000, 1111 + 111, 0], "{dry}");
    let gone = result(&sidecar, &["purge", "/products/**", "--host", "shop.example"]).await;
    assert_eq!(figures(&gone), [3000, 2000, 2000], "{gone}");
    assert!(gone["bytes"].as_u64().unwrap() > 0);
    hit(&sidecar, "shop.example", "/others/7").await;
    hit(&sidecar, "other.example", "/products/7").await;
    let again = sidecar.send(get("/products/7?page=7").header("Host", "shop.example")).await;
    again.assert_cache("miss");
    let stale = run(&sidecar, &["purge", "/others/*", "--soft"]).await;
    let told = text(&stale.stdout);
    assert!(told.starts_with("500 of 1001 stored responses match /others/* and are stale now: "), "{told}");
}

#[tokio::test]
async fn a_query_is_explained_when_somebody_asks() {
    let query = "SELECT * FROM items WHERE order_id = 77";
    let id = fingerprint(query, Dialect::Postgres, &Key::default()).id.to_string();
    let origin = Origin::new().otherwise(ok("never asked")).start().await;
    let without = Sidecar::in_front_of(&origin).start().await;
    let (code, why) = failure(&without, &["explain", &id]).await;
    assert!(code == Some(1) && why.contains("[query.explain]"), "{why}");
    let postgres = Postgres::start().await;
    postgres.execute("CREATE TABLE items (id int PRIMARY KEY, order_id int)").await;
    postgres.execute("INSERT INTO items SELECT n, n / 4 FROM generate_series(1, 100000) n").await;
    postgres.execute("ANALYZE items").await;
    let sidecar = Sidecar::in_front_of(&origin).config(EXPLAIN).env("EXPLAIN_URL", &postgres.url()).start().await;
    let (code, why) = failure(&sidecar, &["explain", &id]).await;
    assert!(code == Some(2) && why.contains("no such query is known"), "{why}");
    tell(&sidecar, &[query]).await;
    let json = result(&sidecar, &["explain", &id]).await;
    assert_eq!((&json["query_id"], &json["index"]["verdict"]), (&id.as_str().into(), &"missing".into()), "{json:#}");
    assert_eq!(json["proposal"]["statement"], "CREATE INDEX CONCURRENTLY ON public.items (order_id);");
    assert_eq!(json["plan"]["scans"][0]["table"], "public.items");
    assert!(json["plan"]["cost"].as_f64().unwrap() > 100.0, "{json:#}");
    // What is found out is known from then on.
    let top = sidecar.admin_get("/performance/query/optimization?limit=100").await;
    assert_eq!(top["top_queries"][0]["index"]["because"], json["index"]["because"], "{top:#}");
}

#[tokio::test]
async fn the_faster_of_two_pages_is_found() {
    let slow = |control: &'static str| {
        move |_: &Received| {
            // What is measured.
            std::thread::sleep(Duration::from_millis(20));
            ok("slow").header("Cache-Control", control)
        }
    };
    let origin = Origin::new()
        .route("/slow", slow("no-store"))
        .route("/stored", slow("max-age=600"))
        .otherwise(ok("fast").header("Cache-Control", "no-store"))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    let json = result(&sidecar, &["compare", "/slow", "/fast", "--requests", "20"]).await;
    assert_eq!(
        (&json["faster"], &json["a"]["answers"], &json["a"]["hits"]),
        (&"b".into(), &20.into(), &0.into()),
        "{json}"
    );
    assert!(json["difference_ms"]["high"].as_f64().unwrap() < 0.0, "{json}");
    origin.assert_requests(40);
    // The one is asked of the app each time, the other is fetched once.
    let args = ["compare", "/stored", "/stored", "--a-from", "app", "--requests", "20", "--json"];
    let json = result(&sidecar, &args[..7]).await;
    assert_eq!(
        (&json["faster"], &json["a"]["hits"], &json["b"]["hits"]),
        (&"b".into(), &0.into(), &19.into()),
        "{json}"
    );
    origin.assert_requests(40 + 20 + 1);
    let output = run(&sidecar, &args[..7]).await;
    let told = text(&output.stdout);
    assert!(
        told.starts_with("b is faster by ") && told.contains("\n  a: median ") && told.contains("of the app, 0 hits"),
        "{told}"
    );
}

#[tokio::test]
async fn a_restart_goes_on_with_a_warm_up() {
    let dir = tempfile::tempdir().unwrap();
    let config = |store: &Path| {
        format!("[server.timeouts]\ndrain = \"1s\"\n[tasks]\nstore = {store:?}\nhosts = [\"shop.example\"]")
    };
    let config = config(&dir.path().join("tasks.redb"));
    let gate = Gate::new();
    let held = gate.clone();
    let origin = Origin::new().otherwise(move |received: &Received| page(received).after(&held)).start().await;
    let mut first = Sidecar::in_front_of(&origin).config(&config).start().await;
    let paths: Vec<String> = (0..5).map(|n| format!("/{n}")).collect();
    let args: Vec<&str> = ["warm", "--no-wait"].into_iter().chain(paths.iter().map(String::as_str)).collect();
    let output = run(&first, &args).await;
    let id = text(&output.stdout).trim().to_owned();
    assert!(id.starts_with("task_"), "{output:?}");
    gate.arrivals(1).await;
    first.terminate().await;
    first.wait().await;
    gate.open();
    let second = Sidecar::in_front_of(&origin).config(&config).start().await;
    second.until_metric("pacecar_tasks_finished_total{kind=\"cache_warmup\",status=\"completed\"}", 1.0).await;
    let ended = result(&second, &["show", &id]).await;
    assert_eq!((&ended["status"], &ended["attempt"]), (&"completed".into(), &2.into()), "{ended:#}");
    for path in &paths {
        hit(&second, "shop.example", path).await;
    }
}
