//! What clients are told about keeping an answer, where the app says nothing.

use crate::common::{Origin, Request, Response, Sidecar, get, head, ok, post, status, text};

const HASHED: &str = "/assets/index-BqJ2x9kA.js";

fn script() -> Response {
    ok(text(2_000)).header("Content-Type", "text/javascript")
}

fn page() -> Response {
    ok(text(2_000)).header("Content-Type", "text/html")
}

async fn before(response: Response, config: &str) -> (Origin, Sidecar) {
    let origin = Origin::new().otherwise(response).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(config).start().await;
    (origin, sidecar)
}

/// What one client is told, each time by a sidecar of its own.
async fn told(request: Request, response: Response, config: &str) -> Option<String> {
    let (_origin, sidecar) = before(response, config).await;
    let answer = sidecar.send(request.clone()).await;
    let over_h2 = sidecar.h2c().await.send(request).await;
    assert_eq!(answer.field("cache-control"), over_h2.field("cache-control"), "{answer}");
    answer.field("cache-control").map(str::to_owned)
}

const YEAR: &str = "public, max-age=31536000, immutable";

#[tokio::test]
async fn unconfigured_only_what_cannot_hurt_is_said() {
    let cookie = |target| get(target).header("Cookie", "session=1");
    for (request, response, expected) in [
        (get(HASHED), script(), Some(YEAR)),
        (head(HASHED), script(), Some(YEAR)),
        (get("/app.js"), script(), Some("no-cache")),
        (get("/"), page(), Some("no-cache")),
        // The page that a single-page app answers everything with.
        (get(HASHED), page(), Some("no-cache")),
        (cookie(HASHED), script(), Some("private, no-cache")),
        (get(HASHED).header("Cookie", "_ga=1"), script(), Some(YEAR)),
        (get(HASHED).header("Authorization", "Basic eA=="), script(), Some("private, no-cache")),
        (get(HASHED), script().header("Set-Cookie", "a=b"), Some("private, no-cache")),
        (cookie("/"), page(), Some("private, no-cache")),
        // The app has spoken.
        (get(HASHED), script().header("Cache-Control", "max-age=5"), Some("max-age=5")),
        (get(HASHED), script().header("Expires", "0"), None),
        (get(HASHED), script().header("Pragma", "no-cache"), None),
        // Nothing about errors, redirections and answers to other methods.
        (get(HASHED), status(404).part(text(600)).header("Content-Type", "text/javascript"), None),
        (get(HASHED), status(302).header("Location", "/"), None),
        (post(HASHED, "x"), script(), None),
        // Paths as shipped and not: a route must name the class.
        (get("/health"), page(), Some("no-cache")),
    ] {
        assert_eq!(told(request.clone(), response, "").await.as_deref(), expected, "{request:?}");
    }
}

#[tokio::test]
async fn classes_are_those_of_the_routes() {
    let routes = ["static", "api", "monitoring", "health"]
        .map(|class| format!("[[route]]\nmatch = \"/{class}/**\"\nclass = \"{class}\"\n"))
        .concat();
    let cookie = |target| get(target).header("Cookie", "session=1");
    for (request, response, expected) in [
        (get("/static/a.css"), page(), "public, max-age=3600"),
        (get("/api/a"), page(), "public, max-age=300"),
        (get("/monitoring/a"), page(), "public, max-age=60"),
        (get("/health/a"), page(), "no-store"),
        (get("/health/a"), status(503).part("sick"), "no-store"),
        (cookie("/static/a"), page(), "private, no-cache"),
        (cookie("/api/a"), page(), "private, no-cache"),
        (cookie("/health/a"), page(), "no-store"),
        (get("/api/a"), page().header("Set-Cookie", "a=b"), "private, no-cache"),
        (get("/api/a"), page().header("Cache-Control", "private"), "private"),
    ] {
        assert_eq!(told(request.clone(), response, &routes).await.as_deref(), Some(expected), "{request:?}");
    }
    let loud = "[cache_headers]\nmode = \"override\"\nstatic_max_age = \"2h\"\n".to_owned() + &routes;
    for (target, said, expected) in [
        ("/static/a", "max-age=5", "public, max-age=7200"),
        ("/static/a", "private, max-age=5", "private, max-age=5"),
        ("/static/a", "no-store", "no-store"),
        ("/elsewhere", "max-age=5", "max-age=5"),
    ] {
        let found = told(get(target), page().header("Cache-Control", said), &loud).await;
        assert_eq!(found.as_deref(), Some(expected), "{target} {said}");
    }
    let quiet = "[cache_headers]\nmode = \"never\"\n".to_owned() + &routes;
    assert_eq!(told(get("/static/a"), page(), &quiet).await, None);
}

/// The client's copy is edited, and nothing is decided by it.
#[tokio::test]
async fn edits_do_not_reach_the_store() {
    let (origin, sidecar) = before(script(), "").await;
    let answer = sidecar.get(HASHED).await;
    answer.assert_field("cache-control", YEAR).assert_cache_parameter("detail=no-freshness");
    origin.assert_requests(1);
    assert_eq!(sidecar.metric("pacecar_cache_entries").await, 0.0);

    // Stored by the operator's word, fetched by one person, and told to all as nobody's.
    let route = "[[route]]\nmatch = \"/**\"\nttl = \"60s\"\npublic = true";
    let (_origin, sidecar) = before(script(), route).await;
    for outcome in ["miss", "hit"] {
        let answer = sidecar.send(get(HASHED).header("Cookie", "session=1")).await;
        answer.assert_cache(outcome).assert_field("cache-control", YEAR);
    }
}

/// A body that is all here has a tag, by which it need not be sent again.
#[tokio::test]
async fn bodies_without_a_tag_are_given_one() {
    for (config, asked) in [("", 3), ("[cache]\ndefault_ttl = \"60s\"", 1)] {
        let (origin, sidecar) = before(page(), config).await;
        let first = sidecar.send(get("/").header("Accept-Encoding", "gzip")).await;
        let tag = first.field("etag").expect("a tag").to_owned();
        assert!(tag.starts_with("W/\"") && first.coding() == Some("gzip"), "{first}");
        for accepted in ["gzip", "br"] {
            let again = get("/").header("Accept-Encoding", accepted).header("If-None-Match", &tag);
            let answer = sidecar.send(again).await;
            answer.assert_status(304).assert_field("etag", &tag).assert_body("");
            answer.assert_field("cache-control", "no-cache").assert_field("vary", "Accept-Encoding");
        }
        origin.assert_requests(asked);
    }
    // Every copy of what is stored has it, and so has its head.
    let (_origin, sidecar) = before(page(), "[cache]\ndefault_ttl = \"60s\"").await;
    sidecar.get("/").await.assert_cache("miss");
    let hit = sidecar.get("/").await;
    let tag = hit.assert_cache("hit").field("etag").expect("a tag").to_owned();
    sidecar.send(head("/")).await.assert_cache("hit").assert_field("etag", &tag);
    // It is ours: the app knows nothing of it, and what confirms its own words is not asked with it.
    for mine in ["ETag: \"v1\"", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"] {
        let (name, value) = mine.split_once(": ").unwrap();
        let (_origin, sidecar) = before(page().header(name, value), "[cache]\ndefault_ttl = \"60s\"").await;
        sidecar.get("/").await.assert_cache("miss");
        let hit = sidecar.get("/").await;
        let tag = (name == "ETag").then_some(value);
        assert_eq!(hit.assert_cache("hit").field("etag"), tag);
    }
}

#[tokio::test]
async fn same_body_has_the_same_tag_in_every_process() {
    let mut tags = Vec::new();
    for _ in 0..2 {
        let (_origin, sidecar) = before(page(), "").await;
        let answer = sidecar.send(get("/").header("Accept-Encoding", "br")).await;
        tags.push(answer.field("etag").expect("a tag").to_owned());
    }
    assert_eq!(tags[0], tags[1]);
}

#[tokio::test]
async fn reload_takes_up_other_words() {
    let (_origin, sidecar) = before(page(), "").await;
    let accepted = || get("/").header("Accept-Encoding", "zstd, br");
    let first = sidecar.send(accepted()).await;
    first.assert_field("cache-control", "no-cache").expect(first.coding() == Some("zstd"), "zstd".to_owned());
    let changed =
        sidecar.config().to_owned() + "[compression]\ncodings = [\"br\"]\n[cache_headers]\nmode = \"never\"\n";
    std::fs::write(sidecar.config_path(), changed).unwrap();
    sidecar.hang_up().await;
    crate::common::within("the other settings", async {
        while sidecar.send(accepted()).await.coding() != Some("br") {}
    })
    .await;
    sidecar.send(accepted()).await.assert_no_field("cache-control");
}
