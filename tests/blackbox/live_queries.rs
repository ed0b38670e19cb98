//! Real apps before a real PostgreSQL, traced by OpenTelemetry as it comes from its packages (`tests/apps/queries_python`,
//! `tests/apps/queries_node`): what is said of their queries is what they ask. The apps are the same shop; each endpoint
//! that asks badly has a twin that does not.

use std::{net::SocketAddr, process::Command};

use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::{
    apps::{Program, installed, node, source},
    common::{Sidecar, request},
    indexes::until_explained,
    postgres::Postgres,
    queries::known,
};

/// Requests of each endpoint.
const REQUESTS: u64 = 10;

/// A shop with many items of orders, which no index is on. Each new item is added to the sum of its order.
const SHOP: &str = "
    CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL, email text NOT NULL);
    CREATE TABLE orders (id serial PRIMARY KEY, customer_id int NOT NULL REFERENCES customers, placed date NOT NULL,
                         cents int NOT NULL DEFAULT 0);
    CREATE TABLE order_items (id serial PRIMARY KEY, order_id int NOT NULL REFERENCES orders, product text NOT NULL,
                              cents int NOT NULL);
    CREATE TABLE settings (name text PRIMARY KEY, value text NOT NULL);
    INSERT INTO customers (name, email) SELECT 'Ada Lovelace ' || n, 'ada' || n || '@example.org'
        FROM generate_series(1, 1000) n;
    INSERT INTO orders (customer_id, placed) SELECT 1 + n * 7 % 1000, date '2024-01-01' + n * 13 % 700
        FROM generate_series(1, 10000) n;
    INSERT INTO order_items (order_id, product, cents) SELECT 1 + n * 11 % 10000, 'Teapot no. ' || n % 97, 100 + n % 1900
        FROM generate_series(1, 50000) n;
    INSERT INTO settings VALUES ('theme', 'dark'), ('currency', 'EUR'), ('language', 'en'), ('logo', 'teapot.svg'),
        ('footer', 'All prices include tax.'), ('contact', 'shop@example.org');
    CREATE FUNCTION add_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE orders SET cents = (SELECT sum(cents) FROM order_items WHERE order_id = NEW.order_id)
            WHERE id = NEW.order_id;
        RETURN NEW;
    END $$;
    CREATE TRIGGER add_up AFTER INSERT ON order_items FOR EACH ROW EXECUTE FUNCTION add_up();
    ANALYZE";
/// What must be shown nowhere: values of the shop, and those in the apps' own statements.
const VALUES: [&str; 7] = ["lovelace", "example.org", "teapot", "dark", "theme", "imported", "pg_sleep(0"];

/// Nothing else is needed to trace an app but where its spans go, as the README says, and that they go soon.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ("OTEL_METRICS_EXPORTER", "none"),
    ("OTEL_LOGS_EXPORTER", "none"),
    ("OTEL_BSP_SCHEDULE_DELAY", "200"),
];

/// What is asked for, and the queries that it takes.
#[derive(Clone)]
struct Asked {
    method: &'static str,
    /// With the number of the request for what is in braces: a parameter as the app's framework calls it.
    path: &'static str,
    queries: u64,
    /// What is recommended, how sure that is, and how often the query that it is about runs in a request.
    wrong: Option<(&'static str, &'static str, u64)>,
}

const fn asked(method: &'static str, path: &'static str, queries: u64) -> Asked {
    Asked { method, path, queries, wrong: None }
}

impl Asked {
    const fn wrong(self, kind: &'static str, confidence: &'static str, per_request: u64) -> Self {
        Self { wrong: Some((kind, confidence, per_request)), ..self }
    }

    /// The name of its endpoint: the route of the app, or what can be told from paths alone.
    fn endpoint(&self, has_routes: bool) -> String {
        let path = self.path.split('?').next().expect("never empty");
        if has_routes { path.to_owned() } else { self.with("{id}").split('?').next().expect("never empty").to_owned() }
    }

    /// Its path with this as its parameter.
    fn with(&self, parameter: &str) -> String {
        let (before, after) = self.path.split_once('{').unwrap_or((self.path, "}"));
        let after = after.split_once('}').expect("a brace that closes").1;
        if before == self.path { before.to_owned() } else { format!("{before}{parameter}{after}") }
    }
}

/// What every app is asked. Of what is repeated for each order, no values are seen: they are beside the statement, so that
/// it is no more than likely an N+1.
fn every_app(queries_of_joined: u64) -> Vec<Asked> {
    vec![
        asked("GET", "/orders", 13).wrong("n_plus_one", "likely", 12),
        asked("GET", "/orders/joined", queries_of_joined),
        asked("GET", "/orders/{order}/items", 1),
        asked("GET", "/customers/{customer}", 1),
        asked("GET", "/settings", 6).wrong("redundant_query", "confirmed", 6),
        asked("GET", "/settings/once", 1),
        asked("GET", "/slow?n={n}", 1).wrong("slow_query", "confirmed", 1),
        asked("GET", "/quick", 1),
        asked("POST", "/import", 12).wrong("write_loop", "confirmed", 12),
        asked("POST", "/import/batch", 1),
    ]
}

/// Runs an app before a database of its own, asks it all of this, and looks at what is known then.
async fn assert_known(mut app: Command, has_routes: bool, all_asked: &[Asked]) {
    let database = Postgres::start().await;
    database.execute(SHOP).await;
    // The app is told where its spans go, and the sidecar where the app is: the port is held until both know.
    let held = TcpSocket::new_v4().unwrap();
    held.set_reuseaddr(true).unwrap();
    held.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let otlp = held.local_addr().unwrap();
    app.env("DATABASE_URL", database.url()).envs(ENVIRONMENT);
    app.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("http://{otlp}/v1/traces"));
    let app = Program::start(app, "listening on ");
    let config = format!("[query.otlp]\nlisten = \"{otlp}\"\n[query.explain]\nurl_env = \"EXPLAIN_URL\"");
    let sidecar = Sidecar::in_front_of(&app).config(&config).env("EXPLAIN_URL", &database.url()).start().await;
    drop(held);

    // What sleeps in the database does so while the others are asked for.
    let ask = async |asked: &Asked| {
        for n in 1..=REQUESTS {
            let answer = sidecar.send(request(asked.method, &asked.with(&n.to_string()))).await;
            answer.expect(matches!(answer.status, 200 | 204), "success".to_owned());
        }
    };
    let one_by_one = async |slow: bool| {
        for asked in all_asked.iter().filter(|asked| asked.path.starts_with("/slow") == slow) {
            ask(asked).await;
        }
    };
    tokio::join!(one_by_one(true), one_by_one(false));
    let requests = all_asked.len() as u64 * REQUESTS;
    let sum = |endpoints: &[Value]| endpoints.iter().map(|row| row["requests"].as_u64().unwrap()).sum::<u64>();
    let known =
        known(&sidecar, format!("the queries of {requests} requests"), |endpoints| sum(endpoints) >= requests).await;

    let queries = all_asked.iter().map(|asked| asked.queries * REQUESTS).sum::<u64>();
    assert_eq!(known["attribution"]["request"], 100.0, "{known:#}");
    let is =
        |asked: &Asked, row: &Value| row["method"] == asked.method && row["endpoint"] == asked.endpoint(has_routes);
    let calls = |query: &Value, asked: &Asked| {
        let endpoints = query["endpoints"].as_array().unwrap().iter();
        endpoints.filter(|row| is(asked, row)).map(|row| row["calls"].as_u64().unwrap()).sum::<u64>()
    };
    let rows = |member: &str| known[member].as_array().unwrap();
    let all_calls = rows("top_queries").iter().map(|query| query["calls"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(all_calls, queries, "{known:#}");
    let mut recommended = 0;
    for asked in all_asked {
        let name = asked.endpoint(has_routes);
        let row = rows("endpoints").iter().find(|row| is(asked, row));
        let row = row.unwrap_or_else(|| panic!("no {name} in {known:#}"));
        let per_request = json!({ "avg": asked.queries as f64, "max": asked.queries });
        assert_eq!(
            (&row["requests"], &row["queries_per_request"]),
            (&json!(REQUESTS), &per_request),
            "{name} {known:#}"
        );
        let its_calls = rows("top_queries").iter().map(|query| calls(query, asked)).sum::<u64>();
        assert_eq!(its_calls, asked.queries * REQUESTS, "{name} {known:#}");

        let Some((kind, confidence, most)) = asked.wrong else { continue };
        recommended += 1;
        let query = rows("top_queries").iter().find(|query| calls(query, asked) == most * REQUESTS);
        let query = query.unwrap_or_else(|| panic!("no query {} times for {name} in {known:#}", most * REQUESTS));
        let found = rows("recommendations").iter().find(|found| {
            // A slow query is slow wherever it is asked.
            let is_of_endpoint = is(asked, found) || kind == "slow_query";
            found["type"] == kind && found["query_id"] == query["query_id"] && is_of_endpoint
        });
        let found = found.unwrap_or_else(|| panic!("no {kind} for {name} in {known:#}"));
        assert_eq!(found["confidence"], confidence, "{found:#}");
        let evidence = &found["evidence"];
        if kind == "slow_query" {
            assert_eq!((&evidence["calls"], &evidence["slow"]), (&json!(REQUESTS), &json!(REQUESTS)), "{found:#}");
            assert!(evidence["avg_ms"].as_f64().unwrap() >= 700.0, "{found:#}");
        } else {
            let times = (&evidence["per_request_min"], &evidence["per_request_max"], &evidence["requests"]);
            assert_eq!(times, (&json!(most), &json!(most), &json!(REQUESTS)), "{found:#}");
            assert_eq!(evidence["concurrent"], asked.path.ends_with("/parallel"), "{found:#}");
        }
    }
    let others = rows("recommendations").iter().filter(|found| found["type"] != "missing_index");
    assert_eq!(others.count(), recommended, "nothing is wrong with the others: {known:#}");
    let shown = known.to_string().to_lowercase();
    for value in VALUES {
        assert!(!shown.contains(value), "{value}: {known:#}");
    }
    assert_index_is_missing(&sidecar, has_routes, all_asked, &ask).await;
}

/// Asks for items of orders often enough that it is looked into, and for customers: of the former an index is missing.
async fn assert_index_is_missing(sidecar: &Sidecar, has_routes: bool, all_asked: &[Asked], ask: &impl AsyncFn(&Asked)) {
    let twins = ["/orders/{order}/items", "/customers/{customer}"];
    let twins = twins.map(|path| all_asked.iter().find(|asked| asked.path == path).expect("every app is asked this"));
    for _ in 0..3 {
        ask(twins[0]).await;
        ask(twins[1]).await;
    }
    let name_of = |asked: &Asked| asked.endpoint(has_routes);
    let queries_of = |known: &Value, asked: &Asked| {
        let is_of =
            |query: &&Value| query["endpoints"].as_array().unwrap().iter().any(|row| row["endpoint"] == name_of(asked));
        known["top_queries"].as_array().unwrap().iter().filter(is_of).cloned().collect::<Vec<_>>()
    };
    // These two, and what is repeated and what is slow, in whatever order.
    let mut answers = 2;
    let known = loop {
        until_explained(sidecar, answers).await;
        let known = sidecar.admin_get("/performance/query/optimization").await;
        if twins.iter().all(|twin| queries_of(&known, twin).iter().all(|query| !query["index"].is_null())) {
            break known;
        }
        answers += 1;
    };
    let ([of_items], [of_customers]) = (&queries_of(&known, twins[0])[..], &queries_of(&known, twins[1])[..]) else {
        panic!("more or less than one query of each: {known:#}")
    };
    let missing = known["recommendations"].as_array().unwrap().iter().filter(|found| found["type"] == "missing_index");
    let missing: Vec<&Value> = missing.collect();
    let found = missing.iter().find(|found| found["query_id"] == of_items["query_id"]);
    let found = found.unwrap_or_else(|| panic!("no index is missing for {of_items:#}: {known:#}"));
    assert_eq!(found["evidence"]["calls"], of_items["calls"], "{found:#}");
    // Whatever else looks for items of orders misses the same one, and nothing misses another.
    for found in missing {
        assert_eq!(found["suggestion"], "CREATE INDEX CONCURRENTLY ON public.order_items (order_id);", "{found:#}");
    }
    assert_eq!(of_customers["index"]["verdict"], "fine", "{of_customers:#}");
}

/// An app of Python with the instrumentations of everything that it has.
fn python(app: &str) -> Command {
    let programs = installed("queries_python").join("venv/bin");
    let mut command = Command::new(programs.join("opentelemetry-instrument"));
    command.arg(programs.join("python3")).arg(source("tests/apps/queries_python").join(app));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

#[tokio::test]
async fn flask_and_psycopg() {
    assert_known(python("with_psycopg.py"), true, &every_app(1)).await;
}

/// Both SQLAlchemy and psycopg tell of each query.
#[tokio::test]
async fn flask_and_sqlalchemy() {
    assert_known(python("with_sqlalchemy.py"), true, &every_app(2)).await;
}

#[tokio::test]
async fn django_and_psycopg() {
    let mut django = python("with_django.py");
    let folder = source("tests/apps/queries_python");
    django.env("DJANGO_SETTINGS_MODULE", "shop.settings").env("PYTHONPATH", folder);
    assert_known(django, true, &every_app(2)).await;
}

/// What stands on Node's own server has no routes that a framework would know.
#[tokio::test]
async fn node_and_pg() {
    let mut node = node("queries_node", source("tests/apps/queries_node/app.cjs"));
    node.env("NODE_OPTIONS", "--require @opentelemetry/auto-instrumentations-node/register");
    // It would ask the networks of clouds where it is.
    node.env("OTEL_NODE_RESOURCE_DETECTORS", "none");
    let mut all_asked = every_app(2);
    all_asked.push(asked("GET", "/orders/parallel", 13).wrong("n_plus_one", "likely", 12));
    assert_known(node, false, &all_asked).await;
}
