//! The shop's catalogue: pages and JSON that are the same for everybody.

use std::fmt::Write as _;

use axum::{
    Json, Router,
    extract::{Path, Query},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};

use super::{cache_control, missing, page};

/// How many products the catalogue pages and `/api/products` know.
const CATALOGUE: u64 = 60;
/// What a request of `/api/products` gets when it does not say how many it wants, and at most.
const DEFAULT_LIMIT: u64 = 20;

const PAGE: &str = "public, max-age=60";
const API: &str = "public, max-age=30";

const CATEGORIES: [&str; 5] = ["tyres", "tools", "oils", "lights", "seats"];
const QUALITIES: [&str; 8] = ["Light", "Heavy-duty", "Winter", "Racing", "Classic", "Compact", "Touring", "Workshop"];
const THINGS: [&str; 5] = ["tyre", "torque wrench", "gear oil", "fog lamp", "bucket seat"];

#[derive(Serialize)]
struct Product {
    id: u64,
    name: String,
    category: &'static str,
    price_cents: u64,
    in_stock: u64,
    rating: f64,
    description: String,
}

impl Product {
    /// The product with this number: always the same, and no two alike.
    fn numbered(id: u64) -> Self {
        let category = (id % 5) as usize;
        let quality = QUALITIES[(id / 5 % 8) as usize];
        let thing = THINGS[category];
        Self {
            id,
            name: format!("{quality} {thing} {id:03}"),
            category: CATEGORIES[category],
            price_cents: 499 + id * 7919 % 50_000,
            in_stock: id * 31 % 97,
            rating: 2.5 + (id * 13 % 26) as f64 / 10.0,
            description: format!(
                "A {} {thing} that has been on the shelf since lap {}, with a {}-year guarantee.",
                quality.to_lowercase(),
                id * 17 % 300,
                1 + id % 5,
            ),
        }
    }
}

pub(super) fn router() -> Router {
    Router::new()
        .route("/", get(home))
        .route("/products", get(list))
        .route("/products/{id}", get(detail))
        .route("/api/products", get(api_list))
        .route("/api/small", get(async || sized(1 << 10)))
        .route("/api/medium", get(async || sized(10 << 10)))
        .route("/api/large", get(async || sized(100 << 10)))
}

/// What the app offers, with a link each.
const LINKS: [(&str, &str); 18] = [
    ("/products", "pages that may be cached for a minute"),
    ("/products/7", "one product"),
    ("/api/products?category=tools&limit=5", "JSON, cached by its whole query"),
    ("/api/small", "1 KB of JSON"),
    ("/api/medium", "10 KB of JSON"),
    ("/api/large", "100 KB of JSON"),
    (super::files::CSS, "a style sheet with a hash in its name"),
    (super::files::JS, "a script with a hash in its name"),
    (super::files::LOGO, "an image without one"),
    ("/slow?ms=700", "an endpoint that takes its time"),
    ("/n-plus-one", "one query for a list, then one for each of its items"),
    ("/error", "a failure"),
    ("/missing", "a page that is not there"),
    ("/api/time", "an answer that must not be stored"),
    ("/events", "an event stream"),
    ("/login", "a form that sets a session cookie"),
    ("/account", "a page for one person only"),
    ("/health", "a health check"),
];

async fn home() -> Response {
    let mut body = String::from("<p>A shop to put Pacecar in front of.</p>\n<ul>\n");
    for (path, what) in LINKS {
        let _ = writeln!(body, "<li><a href=\"{}\">{path}</a>: {what}</li>", path.replace('&', "&amp;"));
    }
    body.push_str("</ul>\n<p><code>POST /api/echo</code> sends back what it is sent.</p>");
    (cache_control(PAGE), page("The Pit Stop", &body)).into_response()
}

async fn list() -> Response {
    let mut body = String::from("<ul id=\"products\">\n");
    for product in (1..=CATALOGUE).map(Product::numbered) {
        let Product { id, name, category, .. } = product;
        let _ = writeln!(body, "<li><a href=\"/products/{id}\">{name}</a> ({category})</li>");
    }
    body.push_str("</ul>");
    (cache_control(PAGE), page("Products", &body)).into_response()
}

async fn detail(Path(id): Path<String>) -> Response {
    let Some(id) = id.parse().ok().filter(|id| (1..=CATALOGUE).contains(id)) else { return missing().await };
    let Product { name, category, price_cents, in_stock, rating, description, .. } = Product::numbered(id);
    let body = format!(
        "<p>{description}</p>\n<dl><dt>Category</dt><dd>{category}</dd><dt>Price</dt><dd>{}.{:02} EUR</dd>\
         <dt>In stock</dt><dd>{in_stock}</dd><dt>Rating</dt><dd>{rating:.1} of 5</dd></dl>\n\
         <p><a href=\"/products\">All products</a></p>",
        price_cents / 100,
        price_cents % 100,
    );
    (cache_control(PAGE), page(&name, &body)).into_response()
}

#[derive(Deserialize)]
struct Listing {
    category: Option<String>,
    limit: Option<u64>,
    offset: Option<u64>,
}

async fn api_list(Query(wanted): Query<Listing>) -> Response {
    let matching: Vec<Product> = (1..=CATALOGUE)
        .map(Product::numbered)
        .filter(|product| wanted.category.as_deref().is_none_or(|category| category == product.category))
        .collect();
    let total = matching.len();
    let products: Vec<Product> = matching
        .into_iter()
        .skip(wanted.offset.unwrap_or(0).min(CATALOGUE) as usize)
        .take(wanted.limit.unwrap_or(DEFAULT_LIMIT).min(CATALOGUE) as usize)
        .collect();
    (cache_control(API), Json(serde_json::json!({ "total": total, "products": products }))).into_response()
}

/// As many products as it takes to fill `bytes`; the answer is less than one product larger.
fn sized(bytes: usize) -> Response {
    let mut body = String::from("[");
    for id in 1.. {
        let product = serde_json::to_string(&Product::numbered(id)).expect("plain fields serialise");
        body.push_str(&product);
        if body.len() >= bytes {
            break;
        }
        body.push(',');
    }
    body.push(']');
    (cache_control(PAGE), [(axum::http::header::CONTENT_TYPE, "application/json")], body).into_response()
}
