//! Fresh answers that are compared with what the app answers meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use crate::common::{Gate, Origin, Received, Response, Sidecar, get, head, ok, post, status, within};

/// Every answer that can be is compared.
const EVERY: &str = "[cache]\nverify_sample = 1\n";

fn fresh(body: &str) -> Response {
    ok(body).header("Cache-Control", "public, max-age=600")
}

/// How many comparisons of a route had this result; the name of none is empty. None has a series before the first.
async fn compared(sidecar: &Sidecar, route: &str, result: &str) -> u64 {
    let series = format!("pacecar_cache_verified_total{{route=\"{route}\",result=\"{result}\"}} ");
    let text = sidecar.admin("/metrics").await.text();
    text.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |value| value.parse().unwrap())
}

/// Waits until that many had.
async fn until(sidecar: &Sidecar, route: &str, result: &str, count: u64) {
    let what = format!("{count} of {route:?} that are {result}");
    within(what, async { while compared(sidecar, route, result).await != count {} }).await;
}

/// An origin whose answers the test can change.
async fn changeable(before: Response, after: Response) -> (Origin, Arc<AtomicBool>) {
    let changed = Arc::new(AtomicBool::new(false));
    let look = changed.clone();
    let script = move |_: &Received| if look.load(SeqCst) { after.clone() } else { before.clone() };
    (Origin::new().otherwise(script).start().await, changed)
}

#[tokio::test]
async fn what_stays_the_same_is_never_called_wrong() {
    let origin = Origin::new().otherwise(fresh("hello")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(EVERY).start().await;
    sidecar.get("/").await.assert_cache("miss");
    for nth in 1..=5 {
        sidecar.get("/").await.assert_cache("hit").assert_body("hello");
        until(&sidecar, "", "same", nth).await;
    }
    assert_eq!(compared(&sidecar, "", "wrong").await, 0);
    assert_eq!(sidecar.metric("pacecar_cache_wrong_ratio{route=\"\"}").await, 0.0);
    // Not as any client: without what says who asked, and for the whole.
    let asked = origin.last();
    assert_eq!((asked.field("cookie"), asked.field("if-none-match"), asked.field("range")), (None, None, None));
    origin.assert_requests(6);
}

#[tokio::test]
async fn what_changed_without_a_word_is_found_out() {
    for (what, after) in [
        ("another body", fresh("good-bye")),
        ("one byte in the middle", fresh("hallo")),
        ("a shorter body", fresh("hell")),
        ("a longer body", fresh("hello!")),
        ("another status", status(404).header("Cache-Control", "max-age=600")),
        ("another type", fresh("hello").header("Content-Type", "text/x-other")),
    ] {
        let (origin, changed) = changeable(fresh("hello"), after).await;
        let sidecar = Sidecar::in_front_of(&origin).config(EVERY).start().await;
        sidecar.get("/").await.assert_cache("miss");
        sidecar.get("/").await.assert_cache("hit");
        until(&sidecar, "", "same", 1).await;
        changed.store(true, SeqCst);
        sidecar.get("/").await.assert_cache("hit").assert_body("hello");
        until(&sidecar, "", "wrong", 1).await;
        assert_eq!(sidecar.metric("pacecar_cache_wrong_ratio{route=\"\"}").await, 0.5, "{what}");
        let stats = sidecar.admin("/performance/cache/stats").await.text();
        let expected = r#""verified":{"same":1,"wrong":1,"failed":0,"unclear":0,"wrong_percent":50.0}"#;
        assert!(stats.contains(expected), "{what}: {stats}");
        // Nothing of it is stored: what is stored stays what it was.
        sidecar.get("/").await.assert_cache("hit").assert_body("hello");
    }
}

#[tokio::test]
async fn it_is_counted_for_the_route() {
    let origin = Origin::new().otherwise(fresh("hello")).start().await;
    let route = "[[route]]\nname = \"shop\"\nmatch = \"/shop/**\"\n";
    let sidecar = Sidecar::in_front_of(&origin).config(EVERY).config(route).start().await;
    sidecar.get("/shop/1").await.assert_cache("miss");
    sidecar.get("/shop/1").await.assert_cache("hit");
    until(&sidecar, "shop", "same", 1).await;
}

#[tokio::test]
async fn nobody_in_particular_is_asked_for_again() {
    let origin = Origin::new()
        .route("/cookie", fresh("hello").header("Set-Cookie", "a=b"))
        .otherwise(fresh("hello"))
        .start()
        .await;
    let sidecar = Sidecar::in_front_of(&origin).config(&format!("{EVERY}store_set_cookie = true\n")).start().await;
    sidecar.get("/").await.assert_cache("miss");
    sidecar.get("/cookie").await.assert_cache("miss");
    for request in [
        get("/").header("Cookie", "session=1"),
        get("/").header("Authorization", "Bearer 1"),
        get("/cookie"),
        head("/"),
    ] {
        sidecar.send(request).await.assert_cache("hit");
    }
    // One that is compared, after all of them were served: whatever they began would have been asked for before it.
    sidecar.send(get("/").header("Cookie", "_ga=1")).await.assert_cache("hit");
    until(&sidecar, "", "same", 1).await;
    origin.assert_requests(3);
    assert_eq!(origin.last().field("cookie"), None);
}

#[tokio::test]
async fn none_is_compared_where_that_is_wanted() {
    let origin = Origin::new().otherwise(fresh("hello")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config("[cache]\nverify_sample = 0\n").start().await;
    sidecar.get("/").await.assert_cache("miss");
    for _ in 0..20 {
        sidecar.get("/").await.assert_cache("hit");
    }
    origin.assert_requests(1);
    assert!(!sidecar.admin("/metrics").await.text().contains("pacecar_cache_verified_total"));
}

#[tokio::test]
async fn a_dead_origin_changes_nothing_and_says_nothing() {
    let origin = Origin::new().otherwise(fresh("hello")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(EVERY).start().await;
    sidecar.get("/").await.assert_cache("miss");
    origin.stop().await;
    for nth in 1..=3 {
        sidecar.get("/").await.assert_cache("hit").assert_body("hello");
        until(&sidecar, "", "failed", nth).await;
    }
    assert_eq!(compared(&sidecar, "", "wrong").await, 0);
}

#[tokio::test]
async fn an_error_of_the_origin_says_nothing() {
    let (origin, changed) = changeable(fresh("hello"), status(500)).await;
    let sidecar = Sidecar::in_front_of(&origin).config(EVERY).start().await;
    sidecar.get("/").await.assert_cache("miss");
    changed.store(true, SeqCst);
    sidecar.get("/").await.assert_cache("hit");
    until(&sidecar, "", "failed", 1).await;
    assert_eq!(compared(&sidecar, "", "wrong").await, 0);
}

#[tokio::test]
async fn no_client_waits_for_it_and_at_most_four_are_under_way() {
    let (gate, asked) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
    let (held, count) = (gate.clone(), asked.clone());
    let script = move |_: &Received| match count.fetch_add(1, SeqCst) {
        0 => fresh("hello"),
        _ => fresh("hello").after(&held),
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(EVERY).start().await;
    sidecar.get("/").await.assert_cache("miss");
    for _ in 0..20 {
        // The gate is closed all the while.
        sidecar.get("/").await.assert_cache("hit").assert_body("hello");
    }
    gate.arrivals(4).await;
    assert_eq!(asked.load(SeqCst), 5);
    gate.open();
    until(&sidecar, "", "same", 4).await;
}

#[tokio::test]
async fn it_takes_no_turn_that_somebody_waits_for() {
    let gate = Gate::new();
    let origin = Origin::new().route("/slow", ok("slow").after(&gate)).otherwise(fresh("hello")).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(EVERY).server("upstream_concurrency = 1").start().await;
    sidecar.get("/").await.assert_cache("miss");
    let mut slow = sidecar.client().await;
    let waits = tokio::spawn(async move { slow.get("/slow").await });
    gate.arrivals(1).await;
    sidecar.get("/").await.assert_cache("hit");
    gate.open();
    waits.await.unwrap().assert_body("slow");
    origin.assert_requests(2);
    assert!(!sidecar.admin("/metrics").await.text().contains("pacecar_cache_verified_total"));
}

#[tokio::test]
async fn what_is_invalidated_meanwhile_is_not_called_wrong() {
    let (gate, asked) = (Gate::new(), Arc::new(AtomicUsize::new(0)));
    let (held, count) = (gate.clone(), asked.clone());
    let script = move |received: &Received| match (&*received.method, count.fetch_add(1, SeqCst)) {
        ("GET", 0) => fresh("old"),
        ("GET", _) => fresh("new").after(&held),
        _ => ok("changed"),
    };
    let origin = Origin::new().otherwise(script).start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(EVERY).start().await;
    sidecar.get("/").await.assert_cache("miss");
    sidecar.get("/").await.assert_cache("hit").assert_body("old");
    gate.arrivals(1).await;
    sidecar.send(post("/", "x")).await.assert_body("changed");
    gate.open();
    until(&sidecar, "", "unclear", 1).await;
    assert_eq!(compared(&sidecar, "", "wrong").await, 0);
}

#[tokio::test]
async fn another_coding_says_nothing() {
    let coded = |coding: &str, body: &str| fresh(body).header("Content-Encoding", coding);
    let (origin, changed) = changeable(coded("gzip", "zipped"), coded("br", "brotlied")).await;
    // The app codes for itself, and is passed what clients accept.
    let route = "[[route]]\nmatch = \"/**\"\nname = \"all\"\ncompress = false\n";
    let sidecar = Sidecar::in_front_of(&origin).config(EVERY).config(route).start().await;
    let accepts = || get("/").header("Accept-Encoding", "gzip, br");
    sidecar.send(accepts()).await.assert_cache("miss");
    changed.store(true, SeqCst);
    sidecar.send(accepts()).await.assert_cache("hit");
    until(&sidecar, "all", "unclear", 1).await;
    assert_eq!(origin.last().field("accept-encoding"), Some("gzip, br"));
}
