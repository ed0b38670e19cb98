//! Missing indexes, on a schema whose truth is known: what is proposed, and that a real PostgreSQL takes it up.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use pacecar::query::fingerprint::{Dialect, Key, fingerprint};

use crate::{
    common::{Authority, Client, Origin, Sidecar, ok, post, within},
    postgres::Postgres,
};

const OPTIMIZATION: &str = "/performance/query/optimization?limit=100";
pub(crate) const EXPLAIN: &str = "[query.otlp]\nlisten = \"127.0.0.1:0\"\n[query.explain]\nurl_env = \"EXPLAIN_URL\"";

/// What a shop may have: large tables with and without the indexes that they need.
const SCHEMA: &str = r#"
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, status text, created_at timestamptz, total numeric);
INSERT INTO orders SELECT n, n % 5000, (ARRAY['open', 'paid', 'sent'])[1 + n % 3], timestamptz '2026-01-01' + n * interval '1 min', n
  FROM generate_series(1, 50000) n;
CREATE TABLE order_items (id int PRIMARY KEY, order_id int, sku varchar(20), qty int);
INSERT INTO order_items SELECT n, n / 4, 'sku-' || n % 40000, n % 7 FROM generate_series(1, 200000) n;
CREATE TABLE customers (id int PRIMARY KEY, email text, name text, tags text[], country text);
INSERT INTO customers SELECT n, 'mail' || n || '@example.org', 'name ' || n, ARRAY['t' || n % 300], 'c' || n % 5
  FROM generate_series(1, 20000) n;
CREATE TABLE events (id int PRIMARY KEY, user_id int, kind text, at timestamptz);
INSERT INTO events SELECT n, n % 3000, 'k' || n % 20, timestamptz '2026-01-01' + n * interval '1 s' FROM generate_series(1, 60000) n;
CREATE INDEX events_user ON events (user_id, at);
CREATE TABLE settings (id int PRIMARY KEY, name text, value text);
INSERT INTO settings SELECT n, 'name' || n, 'value' FROM generate_series(1, 300) n;
CREATE SCHEMA "Sales";
CREATE TABLE "Sales"."Line Items" (id int PRIMARY KEY, "Order Id" int, amount int);
INSERT INTO "Sales"."Line Items" SELECT n, n / 3, n FROM generate_series(1, 40000) n;
CREATE TABLE metrics (day int, sensor int, value int) PARTITION BY RANGE (day);
CREATE TABLE metrics_1 PARTITION OF metrics FOR VALUES FROM (0) TO (10);
CREATE TABLE metrics_2 PARTITION OF metrics FOR VALUES FROM (10) TO (20);
INSERT INTO metrics SELECT n % 20, n % 9000, n FROM generate_series(1, 90000) n;
ANALYZE;
CREATE TABLE fresh (id int, a int) WITH (autovacuum_enabled = off);
INSERT INTO fresh SELECT n, n FROM generate_series(1, 50000) n;
"#;

/// Queries as an app sends them, and the index that each needs.
const MISSING: [(&str, &str); 14] = [
    ("SELECT * FROM order_items WHERE order_id = 77", "public.order_items (order_id)"),
    (
        "SELECT sku, sum(qty) FROM order_items WHERE order_id = 77 GROUP BY 1 ORDER BY 2",
        "public.order_items (order_id)",
    ),
    ("SELECT * FROM order_items WHERE sku = 'sku-5' FOR UPDATE", "public.order_items (sku)"),
    ("DELETE FROM order_items WHERE order_id = 77 AND qty > 100", "public.order_items (order_id)"),
    ("SELECT * FROM orders WHERE customer_id = 42 AND status = 'open'", "public.orders (customer_id)"),
    (
        "SELECT * FROM orders WHERE customer_id IN (42, 43, 44) ORDER BY created_at DESC LIMIT 10",
        "public.orders (customer_id)",
    ),
    ("UPDATE orders SET status = 'paid' WHERE customer_id = 42", "public.orders (customer_id)"),
    (
        "SELECT * FROM orders WHERE created_at BETWEEN timestamptz '2026-01-02' AND timestamptz '2026-01-02 01:00'",
        "public.orders (created_at)",
    ),
    (
        "SELECT o.id, i.sku FROM orders o JOIN order_items i ON i.order_id = o.id WHERE o.id = 7",
        "public.order_items (order_id)",
    ),
    (
        "SELECT i.* FROM order_items i JOIN orders o ON i.order_id = o.id WHERE o.id IN (SELECT id FROM settings WHERE id = 7)",
        "public.order_items (order_id)",
    ),
    (
        "SELECT * FROM customers c WHERE c.id = 7 AND EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id)",
        "public.orders (customer_id)",
    ),
    ("SELECT * FROM customers WHERE email = 'mail7@example.org'", "public.customers (email)"),
    (r#"SELECT * FROM "Sales"."Line Items" WHERE "Order Id" = 77"#, r#""Sales"."Line Items" ("Order Id")"#),
    ("SELECT * FROM metrics WHERE sensor = 77", "public.metrics (sensor)"),
];

/// Queries that need no index on a column, or of which that cannot be said, with what is said.
const OTHERS: [(&str, &str, &str); 20] = [
    ("SELECT * FROM orders WHERE id = 7", "fine", "No table"),
    ("SELECT * FROM events WHERE user_id = 7", "fine", "No table"),
    ("SELECT * FROM events WHERE user_id = 7 AND kind = 'k1' ORDER BY at", "fine", "No table"),
    ("SELECT * FROM settings WHERE name = 'name7'", "fine", "No table"),
    ("SELECT * FROM orders WHERE status = 'open'", "fine", "No table"),
    ("SELECT * FROM orders WHERE created_at > timestamptz '2026-01-02'", "fine", "No table"),
    ("SELECT sum(total) FROM orders", "fine", "No table"),
    ("SELECT * FROM orders ORDER BY id LIMIT 10", "fine", "No table"),
    ("SELECT * FROM orders WHERE status = 'open' LIMIT 1", "fine", "No table"),
    ("SELECT * FROM orders o JOIN customers c ON c.id = o.customer_id", "fine", "No table"),
    ("SELECT * FROM customers WHERE country = 'c1' OR name = 'name 7'", "fine", "No table"),
    ("SELECT * FROM customers WHERE lower(email) = 'mail7@example.org'", "other_index", "lower(email)"),
    ("SELECT * FROM customers WHERE name LIKE '%7'", "other_index", "pg_trgm"),
    ("SELECT * FROM customers WHERE tags @> ARRAY['t7']", "other_index", "GIN"),
    ("SELECT * FROM fresh WHERE a = 7", "unanalyzed", "ANALYZE public.fresh;"),
    ("SELECT * FROM nowhere WHERE a = 7", "unexplainable", "relation \"nowhere\" does not exist"),
    ("UPDATE orders SET status = 'open'", "unexplainable", "without looking for some"),
    ("SELECT * FROM orders WHERE id = 7; DROP TABLE orders", "unexplainable", "more than one statement"),
    (
        "archive: SELECT total FROM orders WHERE id = 7",
        "unexplainable",
        "the database archive, and the connection is to postgres",
    ),
    ("SELECT pg_sleep(60), generate_series(1, 10) FROM orders WHERE id = 7", "unexplainable", "generate_series"),
];

async fn shop() -> Postgres {
    let postgres = Postgres::start().await;
    for statement in SCHEMA.split(";\n").filter(|statement| !statement.trim().is_empty()) {
        postgres.execute(statement).await;
    }
    postgres
}

async fn sidecar(url: &str) -> Sidecar {
    let origin = Origin::new().otherwise(ok("never asked")).start().await;
    Sidecar::in_front_of(&origin).config(EXPLAIN).env("EXPLAIN_URL", url).start().await
}

/// Tells of twenty executions of each query, which makes it worth a question, as OpenTelemetry does.
pub(crate) async fn tell(sidecar: &Sidecar, queries: &[&str]) {
    let attribute = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let span = |text: &str, nth: usize| {
        // An app of several databases says which.
        let (namespace, text) = text.split_once(": ").unwrap_or(("postgres", text));
        json!({
            "traceId": format!("{:032x}", nth + 1), "spanId": format!("{:016x}", nth + 1), "kind": 3, "name": "query",
            "startTimeUnixNano": "1000000000", "endTimeUnixNano": "1003000000",
            "attributes": [
                attribute("db.system.name", "postgresql"),
                attribute("db.namespace", namespace),
                attribute("db.query.text", text),
            ],
        })
    };
    let executed = queries.iter().flat_map(|text| [text; 20]).enumerate();
    let spans: Vec<Value> = executed.map(|(nth, text)| span(text, nth)).collect();
    let body = json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": spans }] }] });
    let post = post("/v1/traces", body.to_string()).header("Content-Type", "application/json");
    Client::connect(sidecar.otlp_addr()).await.send(post).await.assert_status(200);
}

/// Queries that PostgreSQL was asked about.
async fn explains(sidecar: &Sidecar) -> f64 {
    let text = sidecar.admin("/metrics").await.text();
    let series = text.lines().filter(|line| line.starts_with("pacecar_query_explained_total{"));
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

pub(crate) async fn until_explained(sidecar: &Sidecar, queries: usize) {
    within(format!("{queries} answers"), async { while explains(sidecar).await < queries as f64 {} }).await;
}

/// What is said of these queries, in groups of as many as may be asked in an hour.
async fn explained(url: &str, queries: &[&str]) -> Vec<Value> {
    let mut told = Vec::new();
    for queries in queries.chunks(20) {
        let sidecar = sidecar(url).await;
        tell(&sidecar, queries).await;
        until_explained(&sidecar, queries.len()).await;
        told.push(sidecar.admin_get(OPTIMIZATION).await);
    }
    told
}

/// The row of a query.
fn row<'a>(told: &'a [Value], text: &str) -> &'a Value {
    let text = text.split_once(": ").map_or(text, |(_, text)| text);
    let id = fingerprint(text, Dialect::Postgres, &Key::default()).id.to_string();
    let mut rows = told.iter().flat_map(|told| told["top_queries"].as_array().unwrap());
    rows.find(|row| row["query_id"] == id).unwrap_or_else(|| panic!("{text} is not in {told:#?}"))
}

/// The index that is proposed for each query that misses one, by the query's id.
fn proposals(told: &[Value]) -> BTreeMap<String, &Value> {
    let found = told.iter().flat_map(|told| told["recommendations"].as_array().unwrap());
    let missing = found.filter(|found| found["type"] == "missing_index");
    missing.map(|found| (found["query_id"].as_str().unwrap().to_owned(), found)).collect()
}

fn assert_proposed(told: &[Value], confidence: &str) {
    let proposals = proposals(told);
    for (text, expected) in MISSING {
        let row = row(told, text);
        assert_eq!(row["index"]["verdict"], "missing", "{text}\n{row:#}");
        let proposal = proposals[row["query_id"].as_str().unwrap()];
        let how = if expected.contains("metrics") { "" } else { "CONCURRENTLY " };
        assert_eq!(proposal["suggestion"], format!("CREATE INDEX {how}ON {expected};"), "{text}\n{proposal:#}");
        assert_eq!(proposal["confidence"], confidence, "{text}\n{proposal:#}");
        assert!(proposal["evidence"]["table_rows"].as_u64().unwrap() >= 10_000, "{text}\n{proposal:#}");
    }
    assert_eq!(proposals.len(), MISSING.len(), "{proposals:#?}");
}

#[tokio::test]
async fn what_is_missing_is_proposed_and_taken_up() {
    let postgres = shop().await;
    let missing: Vec<&str> = MISSING.iter().map(|(text, _)| *text).collect();
    let others: Vec<&str> = OTHERS.iter().map(|(text, ..)| *text).collect();

    // Without hypopg it is the planner's word for what it does now.
    let told = explained(&postgres.url(), &[missing.clone(), others].concat()).await;
    assert_proposed(&told, "candidate");
    for (text, verdict, because) in OTHERS {
        let index = &row(&told, text)["index"];
        assert_eq!(index["verdict"], verdict, "{text}\n{index:#}");
        assert!(index["because"].as_str().unwrap().contains(because), "{text}\n{index:#}");
    }
    assert!(told[0]["missing_index_analysis"].as_str().unwrap().contains("with the extension hypopg"), "{:#}", told[0]);

    // With it, each has been tried.
    postgres.execute("CREATE EXTENSION hypopg").await;
    let told = explained(&postgres.url(), &missing).await;
    assert_proposed(&told, "confirmed");
    for proposal in proposals(&told).values() {
        let cost = |name: &str| proposal["evidence"][name].as_f64().unwrap();
        assert!(cost("cost_with_index") <= 0.5 * cost("cost"), "{proposal:#}");
    }

    // Once they are made, the planner uses each for the query with its values, and nothing is missing any more.
    let statements: BTreeSet<&str> =
        proposals(&told).values().map(|proposal| proposal["suggestion"].as_str().unwrap()).collect();
    for statement in statements {
        postgres.execute(statement).await;
    }
    postgres.execute("ANALYZE").await;
    for (text, expected) in MISSING {
        let plan = postgres.execute(&format!("EXPLAIN {text}")).await.join("\n");
        let column = expected.split(['(', ')']).nth(1).unwrap().trim_matches('"');
        assert!(plan.contains(&format!("{column}_idx")), "{text}\n{plan}");
    }
    let told = explained(&postgres.url(), &missing).await;
    assert!(proposals(&told).is_empty(), "{:#?}", proposals(&told));
    for text in missing {
        assert_eq!(row(&told, text)["index"]["verdict"], "fine", "{text}");
    }
}

#[tokio::test]
async fn nothing_is_executed_and_little_is_asked() {
    let postgres = Postgres::start().await;
    postgres.execute("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (2)").await;
    postgres.execute("CREATE ROLE reader LOGIN; GRANT SELECT ON t TO reader").await;
    // More queries than may be asked about in an hour.
    let queries: Vec<String> =
        (0..30).map(|n| format!("DELETE FROM t WHERE a = 1{}", " AND a <> 2".repeat(n))).collect();
    let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
    // One who may delete the rows, and one who may only read them: neither does, and both learn how they are found.
    for url in [postgres.url(), postgres.url().replace("postgres@", "reader@")] {
        let sidecar = sidecar(&url).await;
        tell(&sidecar, &queries).await;
        until_explained(&sidecar, 20).await;
        assert_eq!(sidecar.metric("pacecar_query_explained_total{verdict=\"fine\"}").await, 20.0);
        assert_eq!(postgres.execute("SELECT a FROM t ORDER BY a").await, ["1", "2"]);
        let told = sidecar.admin_get(OPTIMIZATION).await;
        let asked = told["top_queries"].as_array().unwrap().iter().filter(|row| !row["index"].is_null()).count();
        assert_eq!(asked, 20, "of 30: {told:#}");
    }
}

#[tokio::test]
async fn a_query_that_the_server_cannot_bear_is_asked_about_once() {
    let postgres = Postgres::start().await;
    // Whoever plans with it ends its own connection: an estimate is made of what never changes.
    let end = "CREATE FUNCTION ends() RETURNS int IMMUTABLE LANGUAGE plpgsql AS \
        'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(9); RETURN 1; END'";
    postgres.execute(end).await;
    postgres.execute("CREATE TABLE t (a int)").await;
    let sidecar = sidecar(&postgres.url()).await;
    tell(&sidecar, &["SELECT * FROM t WHERE a = ends()"]).await;
    sidecar.until_metric("pacecar_query_explain_failures_total", 1.0).await;
    assert_eq!(explains(&sidecar).await, 1.0);
    let told = sidecar.admin_get(OPTIMIZATION).await;
    let because = told["top_queries"][0]["index"]["because"].as_str().unwrap();
    assert!(because.starts_with("It cannot be planned here: there was no answer: "), "{because}");
    assert!(told["missing_index_analysis"].as_str().unwrap().starts_with("failing: "), "{told:#}");
}

#[tokio::test]
async fn without_a_database_it_is_said_why_and_requests_are_served() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("postgresql://app:secret@{}/shop", silent.local_addr().unwrap());
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let closed = format!("postgresql://app:secret@{closed}/shop");
    for (url, why) in [
        (&*closed, "error connecting to server"),
        (&*silent, "connecting took more than 10 s"),
        ("postgresql://app:secret@[", "invalid connection string"),
        (
            "postgresql://app:secret@localhost/x?sslmode=verify-ca",
            "sslmode=verify-ca: expected disable, prefer, require or verify-full",
        ),
        (
            "postgresql://app:secret@localhost/x?sslmode=verify-full&sslrootcert=/nowhere.pem",
            "sslrootcert=/nowhere.pem",
        ),
    ] {
        let origin = Origin::new().otherwise(ok("served")).start().await;
        let sidecar = Sidecar::in_front_of(&origin).config(EXPLAIN).env("EXPLAIN_URL", url).start().await;
        tell(&sidecar, &["SELECT * FROM t WHERE a = 1"]).await;
        sidecar.until_metric("pacecar_query_explain_failures_total", 1.0).await;
        let told = sidecar.admin_get(OPTIMIZATION).await;
        let analysis = told["missing_index_analysis"].as_str().unwrap();
        assert!(analysis.starts_with("failing: EXPLAIN_URL: ") && analysis.contains(why), "{url}: {analysis}");
        assert!(!told.to_string().contains("secret") && !sidecar.log().contains("secret"), "{told:#}");
        assert_eq!(told["top_queries"][0]["index"], Value::Null);
        sidecar.get("/").await.assert_status(200).assert_body("served");
    }
    let origin = Origin::new().start().await;
    let sidecar = Sidecar::in_front_of(&origin).config(EXPLAIN).start().await;
    tell(&sidecar, &["SELECT * FROM t WHERE a = 1"]).await;
    sidecar.until_metric("pacecar_query_explain_failures_total", 1.0).await;
    let told = sidecar.admin_get(OPTIMIZATION).await;
    assert_eq!(told["missing_index_analysis"], "failing: EXPLAIN_URL is not set in the environment");
}

#[tokio::test]
async fn the_connection_is_as_safe_as_its_url_says() {
    let postgres = Postgres::start().await;
    let (authority, stranger, dir) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let (cert, key) = authority.certified("127.0.0.1");
    for (file, pem) in [("server.crt", cert), ("server.key", key)] {
        let write = format!(
            "COPY (SELECT unnest(string_to_array('{}', '|'))) TO PROGRAM 'umask 077; cat > {file}'",
            pem.trim().replace('\n', "|")
        );
        postgres.execute(&write).await;
    }
    postgres.execute("ALTER SYSTEM SET ssl = on").await;
    // Before, the server has no TLS.
    let analysis = async |parameters: &str| {
        let sidecar = sidecar(&format!("{}?{parameters}", postgres.url())).await;
        tell(&sidecar, &["SELECT * FROM nowhere WHERE a = 1"]).await;
        let done = async || explains(&sidecar).await + sidecar.metric("pacecar_query_explain_failures_total").await;
        within("an answer or none", async { while done().await < 1.0 {} }).await;
        sidecar.admin_get(OPTIMIZATION).await["missing_index_analysis"].as_str().unwrap().to_owned()
    };
    assert!(analysis("sslmode=prefer").await.starts_with("on: "));
    assert!(analysis("sslmode=require").await.contains("server does not support TLS"));
    postgres.execute("SELECT pg_reload_conf()").await;
    let trusts = |authority: &Authority, name: &str| {
        let file = dir.path().join(name);
        std::fs::write(&file, authority.pem()).unwrap();
        format!("sslmode=verify-full&sslrootcert={}", file.display())
    };
    for (parameters, expected) in [
        ("sslmode=disable".to_owned(), "on: "),
        ("sslmode=require".to_owned(), "on: "),
        (trusts(&authority, "own.pem"), "on: "),
        (trusts(&stranger, "other.pem"), "invalid peer certificate"),
        ("sslmode=verify-full".to_owned(), "invalid peer certificate"),
    ] {
        let analysis = analysis(&parameters).await;
        assert!(analysis.contains(expected), "{parameters}: {analysis}");
    }
}
