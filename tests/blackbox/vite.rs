//! A real development server: Vite, which replaces modules in the open page through a WebSocket (`tests/apps/vite`).

use serde_json::{Value, json};

use crate::{
    apps::{Socket, Vite},
    common::{Client, Sidecar, get},
};

#[tokio::test]
async fn pages_and_modules_equal_the_direct_ones() {
    let vite = Vite::start();
    let sidecar = Sidecar::in_front_of(&vite).start().await;
    let mut direct = Client::connect(vite.program.address).await;
    for (path, part) in [
        ("/", "<script type=\"module\" src=\"/main.js\">"),
        ("/main.js", "import.meta.hot?.accept"),
        ("/greeting.js", "Hello from Vite"),
        ("/greeting.js?raw", "export default"),
        ("/@vite/client", "class HMRContext"),
        ("/missing/page", "<script type=\"module\" src=\"/main.js\">"),
    ] {
        // Vite tells who wants a page from who wants a module by what is accepted.
        let accepted = if part.starts_with('<') { "text/html" } else { "*/*" };
        let ask = || get(path).header("Host", "localhost").header("Accept", accepted);
        let expected = direct.send(ask()).await;
        expected.assert_status(200).expect(expected.text().contains(part), format!("{part} in it"));
        for _ in 0..2 {
            let answer = sidecar.send(ask()).await;
            answer.assert_status(200).assert_body(&expected.body);
            for field in ["content-type", "cache-control", "etag", "vary"] {
                assert_eq!(answer.field(field), expected.field(field), "{field} of {path}");
            }
        }
        if let Some(etag) = expected.field("etag") {
            sidecar.send(ask().header("If-None-Match", etag)).await.assert_status(304).assert_body("");
        }
    }
}

#[tokio::test]
async fn edits_reach_the_page_at_once() {
    let vite = Vite::start();
    let sidecar = Sidecar::in_front_of(&vite).start().await;
    // As the page does: the modules, then the WebSocket with the token that only the page's own client is told.
    for module in ["/", "/main.js", "/greeting.js"] {
        sidecar.get(module).await.assert_status(200);
    }
    let client = sidecar.get("/@vite/client").await.text();
    let token = client.split("wsToken = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
    let mut socket = Socket::open(&format!("ws://{}/?token={token}", sidecar.addr()), "vite-hmr").await;
    assert_eq!(hear(&mut socket).await, json!({ "type": "connected" }));

    std::fs::write(vite.file("greeting.js"), "export const greeting = \"Edited\";\n").unwrap();
    let update = hear(&mut socket).await;
    assert_eq!(update["type"], "update", "{update}");
    assert_eq!(update["updates"][0]["acceptedPath"], "/greeting.js", "{update}");
    let edited = sidecar.get(&format!("/greeting.js?t={}", update["updates"][0]["timestamp"])).await;
    edited.expect(edited.text().contains("\"Edited\""), "the edited module".to_owned());
    let reloaded = sidecar.get("/greeting.js").await;
    reloaded.expect(reloaded.text().contains("\"Edited\""), "the edited module".to_owned());
}

/// Vite's next message.
async fn hear(socket: &mut Socket) -> Value {
    let heard = socket.hear().await;
    let text = heard["text"].as_str().unwrap_or_else(|| panic!("{heard} in place of a message"));
    serde_json::from_str(text).expect("Vite's messages are JSON")
}
