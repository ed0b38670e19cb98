//! Purges by the admin port: what they name is gone, or stale, at once, and nothing else.

use serde_json::{Value, json};

use crate::common::{Answer, Client, Gate, Origin, Received, Sidecar, get, ok, post};

/// What is stored before each purge: a path and the tags of its answer.
const STORED: [(&str, &str); 5] = [
    ("/products/1", "product-1 products"),
    ("/products/2", "product-2 products"),
    ("/api/users/7", "user-7"),
    ("/api/users/7?full=1", "user-7"),
    ("/about", ""),
];

/// An app whose answers can all be stored, and a sidecar that has them.
async fn filled() -> (Origin, Sidecar) {
    let app = |received: &Received| {
        let tags = STORED.iter().find(|(path, _)| *path == received.target).map_or("", |(_, tags)| tags);
        ok(&received.target)
            .header("Cache-Control", "max-age=600, stale-while-revalidate=600")
            .header("ETag", "\"1\"")
            .header("Surrogate-Key", tags)
    };
    let origin = Origin::new().otherwise(app).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for (path, _) in STORED {
        ask(&sidecar, path).await.assert_cache("miss").assert_cache_parameter("stored");
    }
    (origin, sidecar)
}

async fn ask(sidecar: &Sidecar, path: &str) -> Answer {
    let answer = sidecar.send(get(path).header("Host", "shop.example")).await;
    answer.assert_status(200).assert_body(path);
    answer
}

async fn clear(sidecar: &Sidecar, wish: Value) -> Value {
    let request = post("/performance/cache/clear", wish.to_string()).header("Content-Type", "application/json");
    let answer = Client::connect(sidecar.admin_addr()).await.send(request).await;
    answer.assert_status(200).assert_field("content-type", "application/json");
    serde_json::from_slice(&answer.body).unwrap()
}

/// Which of the stored paths are answered without the app.
async fn hits(sidecar: &Sidecar) -> Vec<&'static str> {
    let mut hits = Vec::new();
    for (path, _) in STORED {
        let status = ask(sidecar, path).await.fields.joined("cache-status");
        if status.starts_with("pacecar; hit; ttl=") && !status.contains("detail") {
            hits.push(path);
        }
    }
    hits
}

#[tokio::test]
async fn what_is_named_is_gone_and_nothing_else() {
    let all: Vec<&str> = STORED.iter().map(|(path, _)| *path).collect();
    let but = |gone: &[&str]| all.iter().copied().filter(|path| !gone.contains(path)).collect::<Vec<_>>();
    for (wish, gone) in [
        (json!({}), all.clone()),
        (json!({ "urls": ["http://shop.example/about"] }), vec!["/about"]),
        (json!({ "urls": ["/about", "shop.example/products/1"] }), vec!["/about", "/products/1"]),
        (json!({ "urls": ["http://shop.example/api/users/7"] }), vec!["/api/users/7"]),
        (json!({ "urls": ["https://shop.example/about", "http://other.example/about"] }), vec![]),
        (json!({ "tags": ["products"] }), vec!["/products/1", "/products/2"]),
        (json!({ "tags": ["user-7", "product-2"] }), vec!["/products/2", "/api/users/7", "/api/users/7?full=1"]),
        (json!({ "tags": ["product"] }), vec![]),
        (json!({ "prefix": "shop.example/api/" }), vec!["/api/users/7", "/api/users/7?full=1"]),
        (json!({ "prefix": "/products/" }), vec!["/products/1", "/products/2"]),
        (json!({ "prefix": "other.example/" }), vec![]),
        (json!({ "pattern": "^/api/users/[0-9]+$" }), vec!["/api/users/7", "/api/users/7?full=1"]),
    ] {
        let (_origin, sidecar) = filled().await;
        let count = gone.len() as u64;

        let mut dry = wish.clone();
        dry["dry_run"] = true.into();
        let answer = clear(&sidecar, dry).await;
        let figures = |answer: &Value| (answer["matched"].as_u64().unwrap(), answer["cleared"].as_u64().unwrap());
        assert_eq!((figures(&answer), &answer["dry_run"]), ((count, 0), &true.into()), "{wish}");
        assert_eq!(hits(&sidecar).await, all, "a rehearsal of {wish}");

        let before = sidecar.metric("pacecar_cache_entries").await;
        let answer = clear(&sidecar, wish.clone()).await;
        assert_eq!((figures(&answer), &answer["dry_run"]), ((count, count), &false.into()), "{wish}");
        assert_eq!(answer["bytes"].as_u64().unwrap() > 0, count > 0, "{wish}");
        assert_eq!(sidecar.metric("pacecar_cache_entries").await, before - count as f64, "{wish}");
        let evicted = sidecar.metric("pacecar_cache_evictions_total{reason=\"purged\"}").await;
        assert_eq!(evicted, count as f64, "{wish}");
        assert_eq!(hits(&sidecar).await, but(&gone), "{wish}");
        assert_eq!(hits(&sidecar).await, all, "all are stored again after {wish}");
    }
}

#[tokio::test]
async fn a_soft_purge_leaves_what_can_be_confirmed() {
    let (origin, sidecar) = filled().await;
    let answer = clear(&sidecar, json!({ "tags": ["products"], "mode": "soft" })).await;
    assert_eq!((&answer["mode"], &answer["cleared"]), (&"soft".into(), &2.into()));
    assert_eq!(sidecar.metric("pacecar_cache_entries").await, STORED.len() as f64, "nothing is gone");
    assert_eq!(sidecar.metric("pacecar_cache_purges_total{kind=\"tag\",mode=\"soft\"}").await, 1.0);

    // Stale from now on: served while it is refreshed.
    let stale = ask(&sidecar, "/products/1").await;
    stale.assert_cache_parameter("detail=stale-while-revalidate");
    origin.wait_for_requests(STORED.len() + 1).await;
    assert_eq!(origin.last().field("if-none-match"), Some("\"1\""));
    ask(&sidecar, "/about").await.assert_cache("hit");

    // A hard purge after it takes the rest away; a soft one after that brings nothing back.
    assert_eq!(clear(&sidecar, json!({ "urls": ["/products/2"] })).await["cleared"], 1);
    clear(&sidecar, json!({ "mode": "soft" })).await;
    ask(&sidecar, "/products/2").await.assert_cache("miss");
}

#[tokio::test]
async fn what_was_being_fetched_during_a_purge_is_not_stored_as_fresh() {
    for wish in [json!({}), json!({ "tags": ["a"] }), json!({ "urls": ["/slow"] }), json!({ "pattern": "slow" })] {
        let gate = Gate::new();
        let slow = ok("old").header("Cache-Control", "max-age=600").header("Cache-Tag", "A, b").after(&gate);
        let origin = Origin::new().route("/slow", slow).start().await;
        let sidecar = Sidecar::in_front_of(&origin).start().await;

        let mut first = sidecar.client().await;
        let first = tokio::spawn(async move { first.get("/slow").await });
        gate.arrivals(1).await;
        clear(&sidecar, wish.clone()).await;
        // Who asks after the purge does not wait for what was asked before it.
        let mut second = sidecar.client().await;
        let second = tokio::spawn(async move { second.get("/slow").await });
        origin.wait_for_requests(2).await;
        gate.open();
        first.await.unwrap().assert_status(200).assert_body("old");
        second.await.unwrap().assert_status(200).assert_cache("miss").assert_body("old");
        origin.assert_requests(2);
        // The second was asked for after the purge, and may be kept.
        sidecar.get("/slow").await.assert_cache("hit");
    }
}

#[tokio::test]
async fn every_variant_goes() {
    let app = |received: &Received| {
        ok(received.field("accept-language").unwrap_or("none"))
            .header("Cache-Control", "max-age=600")
            .header("Vary", "Accept-Language")
    };
    let origin = Origin::new().otherwise(app).start().await;
    let sidecar = Sidecar::in_front_of(&origin).start().await;
    for turn in ["miss", "hit"] {
        for language in ["de", "en", "fr"] {
            let answer = sidecar.send(get("/").header("Accept-Language", language)).await;
            answer.assert_cache(turn).assert_body(language);
        }
    }
    assert_eq!(clear(&sidecar, json!({ "urls": ["/"] })).await["cleared"], 3);
    for language in ["de", "en", "fr"] {
        let answer = sidecar.send(get("/").header("Accept-Language", language)).await;
        answer.assert_cache("miss").assert_body(language);
    }
}
