//! A real browser: headless Chromium opens the apps' pages through the sidecar, which notices nothing of it.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    apps::{Program, Vite, node, run, source},
    common::Sidecar,
};

/// Opens a page twice, each time with an empty cache, and waits until its elements say these texts. Nothing may have
/// failed, and all must have come by this protocol.
async fn open(url: &str, protocol: &str, texts: &Value, edit: &Value) -> Value {
    let chromium = Path::new("/usr/bin/chromium");
    assert!(chromium.exists(), "{} is missing: run `make test`, which installs it", chromium.display());
    let job = json!({ "chromium": chromium, "url": url, "texts": texts, "edit": edit });
    let opened = run(node("clients", source("tests/apps/clients/browser.cjs")), &job).await;
    for load in ["first", "second"] {
        let load = &opened[load];
        assert_eq!(load["troubles"], json!([]), "{url}: {load:#}");
        assert_eq!(load["protocol"], protocol, "{url}: {load:#}");
        for response in responses(load) {
            assert!(response["status"] == 200 || response["status"] == 202, "{url}: {load:#}");
            assert!(response["cache"].is_string(), "not through the sidecar: {url}: {load:#}");
        }
    }
    opened
}

fn responses(load: &Value) -> &[Value] {
    load["responses"].as_array().expect("a list")
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
        let opened = open(&url, protocol, &texts, &Value::Null).await;
        assert_eq!(opened["first"]["title"], "Prices", "{opened:#}");
        // Each scheme has copies of its own: these pages are stored by their first load.
        for (load, outcome) in [("first", "; fwd=uri-miss; stored"), ("second", "; hit")] {
            for path in ["/", "/page.js", "/prices.json"] {
                let response = responses(&opened[load]).iter().find(|response| response["path"] == path);
                let cache = response.and_then(|response| response["cache"].as_str()).unwrap_or("nothing");
                assert!(cache.contains(outcome), "{cache} for {path}, {load} load of {url}: {opened:#}");
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
        let opened = open(&url, protocol, &json!({ "#greeting": said }), &edit).await;
        assert_eq!(opened["first"]["title"], "Counter", "{opened:#}");
        let since = opened["second"]["sinceEdit"].as_array().expect("a list");
        assert!(since.iter().any(|response| response["path"] == "/greeting.js"), "the module was replaced: {opened:#}");
        assert!(since.iter().all(|response| response["path"] != "/"), "the page was loaded again: {opened:#}");
        said = edited;
    }
}
