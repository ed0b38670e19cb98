use axum::{
    body::{Body, to_bytes},
    http::{Request, Response},
};
use futures_util::StreamExt;
use tower::ServiceExt;

use super::*;

/// What the demo app answers, with the body read to its end.
async fn send(request: Request<Body>) -> Response<String> {
    let (head, body) = router().oneshot(request).await.expect("the router never fails").into_parts();
    let body = to_bytes(body, 16 << 20).await.expect("a body from memory");
    Response::from_parts(head, String::from_utf8(body.to_vec()).expect("text"))
}

async fn get(path: &str) -> Response<String> {
    send(Request::get(path).body(Body::empty()).expect("a valid path")).await
}

fn field<'a>(response: &'a Response<String>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("an ASCII field"))
}

/// One line per case: path, status, Cache-Control.
macro_rules! answers {
    ($($name:ident, $path:literal, $status:literal, $cache_control:literal;)+) => { $(
        #[tokio::test]
        async fn $name() {
            let response = get($path).await;
            assert_eq!(response.status(), $status);
            assert_eq!(field(&response, "cache-control"), $cache_control);
        }
    )+ };
}

answers! {
    home_may_be_cached,                    "/",                        200, "public, max-age=60";
    product_list_may_be_cached,            "/products",                200, "public, max-age=60";
    product_may_be_cached,                 "/products/7",              200, "public, max-age=60";
    product_after_the_last_is_missing,     "/products/61",             404, "";
    product_without_a_number_is_missing,   "/products/seven",          404, "";
    api_may_be_cached,                     "/api/products",            200, "public, max-age=30";
    hashed_style_says_nothing,             "/static/app.304f0c8e.css", 200, "";
    hashed_script_says_nothing,            "/static/app.c9316b29.js",  200, "";
    plain_image_says_nothing,              "/static/logo.svg",         200, "";
    unknown_file_is_missing,               "/static/app.css",          404, "";
    slow_answers,                          "/slow?ms=1",               200, "";
    slow_wants_a_number,                   "/slow?ms=soon",            400, "";
    error_fails,                           "/error",                   500, "";
    unknown_page_is_missing,               "/missing",                 404, "";
    time_must_not_be_stored,               "/api/time",                200, "no-store";
    account_without_session_redirects,     "/account",                 303, "private";
    health_answers,                        "/health",                  200, "";
}

#[tokio::test(start_paused = true)]
async fn every_link_on_the_home_page_leads_somewhere() {
    let home = get("/").await.into_body();
    let links: Vec<&str> = home.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(links.len() > 15, "{links:?}");
    for link in links {
        let status = get(&link.replace("&amp;", "&")).await.status().as_u16();
        let expected: &[u16] = match link {
            "/error" => &[500],
            "/missing" => &[404],
            _ => &[200, 303],
        };
        assert!(expected.contains(&status), "{link}: {status}");
    }
}

#[tokio::test]
async fn json_comes_in_three_sizes() {
    for (path, size) in [("/api/small", 1 << 10), ("/api/medium", 10 << 10), ("/api/large", 100 << 10)] {
        let body = get(path).await.into_body();
        assert!((size..size + 300).contains(&body.len()), "{path}: {} bytes", body.len());
        serde_json::from_str::<Vec<serde_json::Value>>(&body).expect("a JSON array");
    }
}

#[tokio::test]
async fn products_are_filtered_and_paged() {
    let body = get("/api/products?category=tools&limit=2&offset=1").await.into_body();
    let listing: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(listing["total"], 12);
    assert_eq!(listing["products"][0]["id"], 6);
    assert_eq!(listing["products"].as_array().map(Vec::len), Some(2));
}

/// The script puts prices into the list of products, by what the API says of them.
#[tokio::test]
async fn script_finds_the_products() {
    let script = get(files::JS).await.into_body();
    assert!(script.contains("getElementById(\"products\")") && script.contains("/api/products?limit=60"), "{script}");
    let page = get("/products").await.into_body();
    assert!(page.contains("<ul id=\"products\">"), "{page}");
    let listing: serde_json::Value =
        serde_json::from_str(&get("/api/products?limit=60").await.into_body()).expect("JSON");
    let products = listing["products"].as_array().expect("a list");
    assert_eq!(products.len(), page.matches("<li>").count());
    for product in products {
        assert!(page.contains(&format!("<li><a href=\"/products/{}\">", product["id"])), "{product}");
    }
}

#[tokio::test]
async fn known_file_is_not_sent_again() {
    let request = Request::get(files::CSS).header("if-none-match", "\"304f0c8e\"").body(Body::empty());
    let response = send(request.expect("a valid request")).await;
    assert_eq!(response.status(), 304);
    assert_eq!(field(&response, "etag"), "\"304f0c8e\"");
    assert_eq!(field(&response, "last-modified"), "Mon, 05 Jan 2026 08:00:00 GMT");
    assert_eq!(response.body(), "");
}

/// Five requests of a second each, and one to another handler that takes no time, which is the last in the line.
#[tokio::test(start_paused = true)]
async fn workers_take_one_request_after_the_other() {
    for (workers, expected) in
        [(None, [1, 1, 1, 1, 1, 0]), (Some(2), [1, 1, 2, 2, 3, 2]), (Some(1), [1, 2, 3, 4, 5, 5])]
    {
        let app = with_workers(router(), workers);
        let began = tokio::time::Instant::now();
        let paths = ["/slow?ms=1000"; 5].into_iter().chain(["/health"]);
        let took = futures_util::future::join_all(paths.map(|path| {
            let request = Request::get(path).body(Body::empty()).expect("a valid path");
            let answer = app.clone().oneshot(request);
            async move {
                assert_eq!(answer.await.expect("the router never fails").status(), 200);
                began.elapsed().as_secs()
            }
        }));
        assert_eq!(took.await, expected, "{workers:?}");
    }
}

#[tokio::test]
async fn n_plus_one_shows_its_queries() {
    let response = get("/n-plus-one").await;
    let timing = field(&response, "server-timing");
    assert!(timing.starts_with("db;dur=") && timing.ends_with(";desc=\"11 queries\""), "{timing}");
}

#[tokio::test(start_paused = true)]
async fn event_stream_ends_after_a_minute() {
    let response = get("/events").await;
    assert_eq!(field(&response, "content-type"), "text/event-stream");
    assert_eq!(response.body().matches("event: lap").count(), 60);
}

#[tokio::test(start_paused = true)]
async fn first_event_comes_at_once() {
    let request = Request::get("/events").body(Body::empty()).expect("a valid request");
    let mut events = router().oneshot(request).await.expect("the router never fails").into_body().into_data_stream();
    let began = tokio::time::Instant::now();
    let first = events.next().await.expect("an event").expect("a body from memory");
    assert!(first.starts_with(b"event: lap"), "{first:?}");
    assert_eq!(began.elapsed().as_secs(), 0);
}

fn login_as(encoded_name: &str) -> Request<Body> {
    let body = Body::from(format!("name={encoded_name}"));
    let request = Request::post("/login").header("content-type", "application/x-www-form-urlencoded");
    request.body(body).expect("a valid request")
}

#[tokio::test]
async fn login_leads_to_the_account_and_the_name_is_escaped() {
    let response = send(login_as("%3Cb%3EZo%C3%AB%3B%20%26%20%22co%22")).await;
    assert_eq!(response.status(), 303);
    assert_eq!(field(&response, "location"), "/account");

    let cookie = field(&response, "set-cookie").split(';').next().expect("split has a first part").to_owned();
    let request = Request::get("/account").header("cookie", format!("theme=dark; {cookie}")).body(Body::empty());
    let account = send(request.expect("a valid request")).await;
    assert_eq!(field(&account, "cache-control"), "private");
    assert!(account.body().contains("&lt;b&gt;Zoë; &amp; &quot;co&quot;"), "{}", account.body());
}

#[tokio::test]
async fn login_wants_a_name() {
    for name in ["", "%20", &"x".repeat(65)] {
        let response = send(login_as(name)).await;
        assert_eq!(response.status(), 400);
        assert_eq!(field(&response, "set-cookie"), "");
    }
}

#[tokio::test]
async fn unreadable_session_is_none() {
    for cookie in ["session=", "session=zz", "session=abc", "session=+1", "session=ff", "other=41", "session"] {
        let request = Request::get("/account").header("cookie", cookie).body(Body::empty());
        let response = send(request.expect("a valid request")).await;
        assert_eq!(response.status(), 303, "{cookie}");
    }
}

#[tokio::test]
async fn logout_forgets_the_session() {
    let response = get("/logout").await;
    assert_eq!(field(&response, "set-cookie"), "session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
}

#[tokio::test]
async fn echo_is_exact_and_bounded() {
    let post = |body: String| Request::post("/api/echo").header("content-type", "text/x-lap").body(Body::from(body));
    let response = send(post("a\r\n\0b".into()).expect("a valid request")).await;
    assert_eq!(field(&response, "content-type"), "text/x-lap");
    assert_eq!(response.body(), "a\r\n\0b");

    let whole = send(post("x".repeat(10 << 20)).expect("a valid request")).await;
    assert_eq!(whole.body().len(), 10 << 20);
    let too_large = send(post("x".repeat((10 << 20) + 1)).expect("a valid request")).await;
    assert_eq!(too_large.status(), 413);
}
