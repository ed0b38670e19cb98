//! A real browser: headless Chromium opens the apps' pages through the sidecar, which notices nothing of it.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    access_log,
    apps::{Build, Program, Vite, node, run, source},
    common::Sidecar,
};

/// Visits a page with Chromium, which trusts this sidecar; `tests/apps/clients/browser.cjs` says what a visit is, and
/// what is told of it. Nothing may have failed.
async fn visit(sidecar: &Sidecar, url: &str, keep: bool, visits: Value) -> Vec<Value> {
    let chromium = Path::new("/usr/bin/chromium");
    assert!(chromium.exists(), "{} is missing: run `make test`, which installs it", chromium.display());
    let job = json!({
        "chromium": chromium, "certificate": sidecar.certificate(), "url": url, "keep": keep, "visits": visits,
    });
    let told = run(node("clients", source("tests/apps/clients/browser.cjs")), &job).await;
    let told = told.as_array().expect("a list").clone();
    for visit in &told {
        assert_eq!(visit["troubles"], json!([]), "{url}: {visit:#}");
        for response in responses(visit) {
            assert!(response["status"] == 200 || response["status"] == 202, "{url}: {visit:#}");
        }
    }
    told
}

/// Opens a page twice, each time with an empty cache, and waits until its elements say these texts. All must have come
/// by this protocol.
async fn open(sidecar: &Sidecar, url: &str, protocol: &str, texts: &Value, edit: &Value) -> [Value; 2] {
    let opened = visit(sidecar, url, false, json!([{ "texts": texts }, { "texts": texts, "edit": edit }])).await;
    for load in &opened {
        assert_eq!(load["protocol"], protocol, "{url}: {load:#}");
        for response in responses(load) {
            assert!(response["cache"].is_string(), "not through the sidecar: {url}: {load:#}");
        }
    }
    opened.try_into().expect("two visits")
}

fn responses(load: &Value) -> &[Value] {
    load["responses"].as_array().expect("a list")
}

/// The first response to this path.
#[track_caller]
fn response<'a>(load: &'a Value, path: &str) -> &'a Value {
    let found = responses(load).iter().find(|response| response["path"] == path);
    found.unwrap_or_else(|| panic!("no {path} in {load:#}"))
}

/// The plain address and the encrypted one, and the protocol that Chromium speaks there.
fn addresses(sidecar: &Sidecar) -> [(String, &'static str); 2] {
    [
        (format!("http://{}/", sidecar.addr()), "http/1.1"),
        (format!("https://localhost:{}/", sidecar.tls_addr().port()), "h2"),
    ]
}

/// Its page fetches JSON, follows an event stream whose second event it asks for after the first, and talks over a
/// WebSocket.
#[tokio::test]
async fn page_of_express_works_in_chromium() {
    let express = Program::express();
    let sidecar = Sidecar::in_front_of(&express).tls().start().await;
    let texts = json!({
        "#prices": "200 prices",
        "#events": "[open][asked for]",
        "#socket": "[hello][4001 as you say]",
    });
    for (url, protocol) in addresses(&sidecar) {
        let [first, second] = open(&sidecar, &url, protocol, &texts, &Value::Null).await;
        assert_eq!(first["title"], "Prices", "{first:#}");
        // Each scheme has copies of its own: these pages are stored by their first load.
        for (load, outcome) in [(first, "; fwd=uri-miss; stored"), (second, "; hit")] {
            for path in ["/", "/page.js", "/prices.json"] {
                let cache = response(&load, path)["cache"].as_str().unwrap_or("nothing");
                assert!(cache.contains(outcome), "{cache} for {path}, load of {url}: {load:#}");
            }
        }
    }
}

/// Its page imports modules, and replaces one of them when it is edited, without being loaded again.
#[tokio::test]
async fn page_of_vite_works_in_chromium() {
    let vite = Vite::start();
    let sidecar = Sidecar::in_front_of(&vite).tls().start().await;
    let mut said = "Hello from Vite".to_owned();
    for (url, protocol) in addresses(&sidecar) {
        let edited = format!("Edited over {protocol}");
        let edit = json!({
            "file": vite.file("greeting.js"), "from": said, "to": edited, "texts": { "#greeting": edited },
        });
        let [first, second] = open(&sidecar, &url, protocol, &json!({ "#greeting": said }), &edit).await;
        assert_eq!(first["title"], "Counter", "{first:#}");
        let since = second["sinceEdit"].as_array().expect("a list");
        assert!(since.iter().any(|response| response["path"] == "/greeting.js"), "the module was replaced: {second:#}");
        assert!(since.iter().all(|response| response["path"] != "/"), "the page was loaded again: {second:#}");
        said = edited;
    }
}

/// The page of products needs its style sheet, its script and the JSON that this fetches: every one of them is decoded
/// as it was, or the page would not look the same.
#[tokio::test]
async fn page_of_the_demo_comes_coded_and_looks_the_same() {
    const SECURE: &str = "gzip, deflate, br, zstd";
    // Over what it cannot trust, Chromium offers only what every middlebox knows. Its own machine it does trust.
    const INSECURE: &str = "gzip, deflate";
    const COMPARED: [(&str, bool); 5] = [
        ("/products", true),
        ("/static/app.304f0c8e.css", true),
        ("/static/app.c9316b29.js", true),
        ("/api/products", true),
        // Too small to be worth it.
        ("/static/logo.svg", false),
    ];
    let demo = Program::demo();
    let texts = json!({ "#products li:last-child .price": "256.39 EUR" });
    for (config, secure, insecure) in
        [("", "zstd", json!("gzip")), ("[compression]\ncodings = [\"br\"]", "br", Value::Null)]
    {
        let sidecar = Sidecar::in_front_of(&demo).config(config).tls().start().await;
        let page = format!("http://{}/products", demo.address);
        let direct = visit(&sidecar, &page, false, json!([{ "texts": texts }])).await.remove(0);
        let shown = &direct["shown"];
        let text = shown["text"].as_str().expect("a text");
        assert!(text.starts_with("Products\n") && text.contains("Light torque wrench 001 (tools)"), "{text}");
        assert_eq!(shown["width"], 704, "the 44rem of the style sheet: {shown:#}");

        let [plain, encrypted] = addresses(&sidecar);
        let elsewhere = (format!("http://shop.test:{}/", sidecar.addr().port()), "http/1.1");
        for ((url, protocol), accepted, coding) in
            [(plain, SECURE, json!(secure)), (encrypted, SECURE, json!(secure)), (elsewhere, INSECURE, insecure)]
        {
            for load in open(&sidecar, &format!("{url}products"), protocol, &texts, &Value::Null).await {
                assert_eq!((&load["title"], &load["shown"]), (&direct["title"], shown), "{url}");
                for (path, is_coded) in COMPARED {
                    let (found, expected) = (response(&load, path), response(&direct, path));
                    let coding = if is_coded { &coding } else { &Value::Null };
                    assert_eq!((&found["accepted"], &found["coding"]), (&json!(accepted), coding), "{url}: {found:#}");
                    assert_eq!(
                        (&found["body"], &expected["coding"]),
                        (&expected["body"], &Value::Null),
                        "{url} {path}"
                    );
                }
            }
        }
    }
}

/// The server says nothing about keeping its files, with tags of its own and without. The browser asks for the page
/// each time, and for a file with a hash in its name once.
#[tokio::test]
async fn deploy_is_seen_at_once_by_a_browser_that_has_the_old_build() {
    const YEAR: &str = "public, max-age=31536000, immutable";
    let (old_text, new_text) = ("Hello from Vite", "Hello after the deploy");
    let (old, new) = (Build::greeting(old_text), Build::greeting(new_text));
    let (style, old_script, new_script) = (&*old.path(".css"), &*old.path(".js"), &*new.path(".js"));
    assert_eq!(new.path(".css"), style, "what did not change keeps its name");
    assert_ne!(new_script, old_script);

    for tags in ["", "tags"] {
        let dir = tempfile::tempdir().unwrap();
        let (served, log) = (dir.path().join("served"), dir.path().join("access.log"));
        let server = Program::files(&served, tags);
        let keys = access_log::keys("all", "json", &log);
        let sidecar = Sidecar::in_front_of(&server).server(&keys).tls().start().await;
        let mut logged = 0;
        for (url, protocol) in addresses(&sidecar) {
            let deploy = |build: &Build| json!({ "from": build.folder(), "to": served });
            let (old_texts, new_texts) = (json!({ "#greeting": old_text }), json!({ "#greeting": new_text }));
            let visits = json!([
                { "deploy": deploy(&old), "texts": old_texts },
                { "texts": old_texts },
                { "deploy": deploy(&new), "texts": new_texts },
                { "texts": new_texts },
            ]);
            let told = visit(&sidecar, &url, true, visits).await;
            assert_eq!(told[0]["protocol"], protocol, "{url}: {:#}", told[0]);
            let ways = [
                ("sent", old_script, "sent", "sent"),
                ("confirmed", old_script, "kept", "kept"),
                ("sent", new_script, "sent", "kept"),
                ("confirmed", new_script, "kept", "kept"),
            ];
            for (told, (page, script, script_came, style_came)) in told.iter().zip(ways) {
                let what = format!("tags {tags:?}, {url}: {told:#}");
                assert_eq!(responses(told).len(), 3, "{what}");
                assert_eq!(response(told, "/")["came"], page, "{what}");
                assert!(response(told, "/")["etag"].is_string(), "{what}");
                if page == "sent" {
                    assert_eq!(response(told, "/")["control"], "no-cache", "{what}");
                }
                for (path, came) in [(script, script_came), (style, style_came)] {
                    assert_eq!(response(told, path)["came"], came, "{what}");
                    // Of the names that Vite makes some could be words, and are not frozen. These were chosen: whoever
                    // changes what is in the files may have to change it once more.
                    assert_eq!(response(told, path)["control"], YEAR, "{what}");
                }
            }

            // The same by what the sidecar was asked: nothing for what was kept.
            let mut expected =
                [(200, "/"), (200, style), (200, old_script), (304, "/"), (200, "/"), (200, new_script), (304, "/")]
                    .map(|(status, path)| (status, path.to_owned()));
            expected.sort();
            let lines = access_log::lines(&log, logged + expected.len()).await;
            let mut asked: Vec<(u64, String)> = lines[logged..].iter().map(|line| status_and_path(line)).collect();
            asked.sort();
            assert_eq!(asked, expected, "tags {tags:?}, {url}");
            logged = lines.len();
        }

        // Gone with its build: the server has the page in its place, which must not be taken for the script for long.
        let gone = sidecar.get(old_script).await;
        gone.assert_status(200).assert_field("content-type", "text/html; charset=utf-8");
        gone.assert_field("cache-control", "no-cache");
        sidecar.get(new_script).await.assert_status(200).assert_field("cache-control", YEAR);
    }
}

fn status_and_path(line: &str) -> (u64, String) {
    let line: Value = serde_json::from_str(line).expect("JSON");
    let path = line["url.path"].as_str().expect("a path").to_owned();
    (line["http.response.status_code"].as_u64().expect("a status"), path)
}
