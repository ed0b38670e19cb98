//! Every operation, in the order of the table of endpoints.

use axum::http::Method;
use serde_json::{Value, json};
use utoipa::openapi::{
    ArrayBuilder, ObjectBuilder, OneOfBuilder, RefOr, Required, Schema, SchemaFormat, Type,
    path::{ParameterBuilder, ParameterIn},
};

use super::{
    told::{Told, closed, example, field, flag, in_path, number, one_of, query, schema_of, text, word},
    words,
};
use crate::admin::{
    compare::Compared,
    compression::CompressionStats,
    dashboard::Dashboard,
    explain::Explanation,
    insights::Insights,
    markers::{MarkerView, Markers, NewMarker},
    mute::{MutedView, Wish},
    profile::{By, Overview, Slowest},
    query::BEFORE_MAX,
    query_stats::{Received, Record, SEVERITIES, view::Queries},
    series::Series,
    tasks::{
        MOST_OF_KEY,
        view::{Cancelled, Detail, Tasks},
    },
    view::{CacheStats, Cleared, Purged},
};
use crate::{
    profile::Window,
    task::{Kind, Status},
};

fn get(path: &'static str, id: &'static str, summary: &'static str) -> Told {
    Told::new(Method::GET, path, id, summary)
}

fn post(path: &'static str, id: &'static str, summary: &'static str) -> Told {
    Told::new(Method::POST, path, id, summary)
}

fn delete(path: &'static str, id: &'static str, summary: &'static str) -> Told {
    Told::new(Method::DELETE, path, id, summary)
}

pub(super) fn all() -> Vec<Told> {
    let mut all = health();
    all.extend(cache());
    all.extend(entries());
    all.extend(figures());
    all.extend(queries());
    all.extend(tasks());
    all.extend(overview());
    all
}

fn health() -> Vec<Told> {
    let plain = "text/plain; charset=utf-8";
    let verbose = || flag("verbose", "Whatever its value: every check has a line of its own.");
    let live = |path, id| get(path, id, "The process can answer.").takes(verbose()).text(200, "It can.", plain, "ok\n");
    let ready = |path, id| {
        let told = get(path, id, "The process wants traffic.").takes(verbose()).text(200, "It does.", plain, "ok\n");
        told.text(503, "It is stopping.", plain, "draining\n")
    };
    vec![
        live("/livez", "livez"),
        live("/healthz", "healthz"),
        live("/live", "live"),
        ready("/readyz", "readyz"),
        ready("/ready", "ready"),
        get("/metrics", "metrics", "Everything for Prometheus.").text(
            200,
            "Metrics in the text format 0.0.4.",
            "text/plain; version=0.0.4; charset=utf-8",
            "pacecar_cache_requests_total{result=\"hit\"} 2\n",
        ),
    ]
}

fn cache() -> Vec<Told> {
    let url = text().pattern(Some(format!("^{ORIGIN}(/{TARGET})?$")));
    let header = text().pattern(Some(
        "^(?!(?i:host|content-length|transfer-encoding|expect|upgrade|connection):)[A-Za-z0-9-]+: [ -~]*$",
    ));
    vec![
        get("/performance/cache/stats", "cacheStats", "What the cache did since the start, and what it holds.")
            .json::<CacheStats>(200, "The figures.", example!("cache_stats")),
        post(
            "/performance/cache/clear",
            "clearCache",
            "Purges what is named: one of urls, tags, prefix and pattern, or everything.",
        )
        .takes_json(
            "What is meant; nothing at all is everything. At most 256 KiB.",
            Required::False,
            wish(),
            example!("cache_clear.request"),
        )
        .json::<Purged>(200, "What was purged.", example!("cache_clear"))
        .problems(&[408, 413, 503]),
        get("/performance/cache/explain", "explain", "Why a request is answered as it is.")
            .takes(
                query(
                    "url",
                    "The URL of the request, or its path where a header field names the host.",
                    url,
                    "http://shop.example/p/7",
                )
                .required(Required::True),
            )
            .takes(query(
                "header",
                "A header field of the request; up to 100 of them.",
                ArrayBuilder::new().items(header).max_items(Some(100)),
                json!(["Accept-Encoding: br"]),
            ))
            .json::<Explanation>(200, "The decision, and what is stored.", example!("cache_explain")),
    ]
}

/// Exactly one of the four, or none.
fn wish() -> OneOfBuilder {
    let one = |name: &str, schema: RefOr<Schema>, what: &str| {
        let dry_run = ObjectBuilder::new().schema_type(Type::Boolean);
        let object = closed().property(name, schema).required(name);
        object.property("mode", words::mode()).property("dry_run", dry_run).description(Some(what))
    };
    let several =
        |items: ObjectBuilder| ArrayBuilder::new().items(items).min_items(Some(1)).max_items(Some(1000)).build().into();
    let url = text().pattern(Some(format!("^({ORIGIN})?/{TARGET}$|^{ORIGIN}$")));
    let prefix = text().min_length(Some(1)).build().into();
    let everything = closed().property("mode", words::mode());
    let everything = everything.property("dry_run", ObjectBuilder::new().schema_type(Type::Boolean));
    OneOfBuilder::new()
        .item(one("urls", several(url), "URLs, or paths of any host."))
        .item(one(
            "tags",
            several(text().pattern(Some(format!("[^{NEAR_SPACE}{FAR_SPACE}]")))),
            "Words that the app tagged its responses with.",
        ))
        .item(one("prefix", prefix, "The beginning of a host and path, or of a path of any host."))
        .item(one("pattern", regex().build().into(), "What a host and path has in it."))
        .item(everything.description(Some("Everything.")))
}

/// White space beyond the first 256 characters, and in them, as Unicode has it.
const FAR_SPACE: &str = r"\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";
const NEAR_SPACE: &str = r"\u0009-\u000d\u0020\u0085\u00a0";

/// A tag of the app's own values: no white space, no control characters and no comma. It is as long as ASCII may be, or
/// as long as any characters may be, since bytes cannot be counted here.
fn tag() -> String {
    let any = format!(r"[^\u0000-\u0020\u007f-\u00a0,{FAR_SPACE}]");
    format!(r"([!-+\--~]{{1,128}}|{any}{{1,32}})")
}

/// A regular expression.
fn regex() -> ObjectBuilder {
    let format = Some(SchemaFormat::Custom("regex".into()));
    let what = "A regular expression of the crate `regex`, at most 1024 bytes long, that finds something.";
    text().format(format).min_length(Some(1)).max_length(Some(1024)).description(Some(what))
}

/// Scheme and host of a URL, and what is in it from there on. Less than what is taken.
const ORIGIN: &str = "https?://[A-Za-z0-9.-]+(:[0-9]{1,4})?";
const TARGET: &str = "([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*";

fn entries() -> Vec<Told> {
    let path = "/performance/cache/entries/{key}";
    let key = || {
        in_path(
            "key",
            "At most 1024 bytes, percent-encoded; slashes may stand as they are.",
            text().min_length(Some(1)).max_length(Some(1024)),
            "user:1",
        )
    };
    let preconditions = |told: Told| {
        told.takes(field("If-Match", "Only where the value has one of these entity tags (RFC 9110 §13.1.1).", "*"))
            .takes(field(
                "If-None-Match",
                "Only where the value has none of these entity tags (RFC 9110 §13.1.2).",
                "\"x\"",
            ))
    };
    let name = || text().min_length(Some(1)).max_length(Some(1024));
    let selection = closed()
        .property("prefix", name().description(Some("The beginning of the keys.")))
        .property("pattern", regex())
        .property("tag", text().pattern(Some(format!("^{}$", tag()))).description(Some("A tag of the values.")))
        .min_properties(Some(1))
        .max_properties(Some(1));
    vec![
        delete(
            "/performance/cache/entries",
            "clearEntries",
            "Removes the app's own values with a prefix, a pattern or a tag.",
        )
        .takes(one_of("which", "Exactly one of `prefix`, `pattern` and `tag`.", selection, json!({"prefix": "user:"})))
        .json::<Cleared>(200, "What was removed.", example!("entries_clear")),
        preconditions(get(path, "getEntry", "A value of the app's own.").takes(key()))
            .shown(200, "The value, with the type that it was put with.", "*/*", "Ada")
            .with_fields(&["ETag", "Age", "Cache-Status"])
            .empty(304, "The client has it already.")
            .with_fields(&["ETag", "Age", "Cache-Status"])
            .problems(&[404, 412]),
        preconditions(Told::new(Method::PUT, path, "putEntry", "Stores a value of the app's own.").takes(key()))
            .takes(query(
                "ttl",
                "How long it may be used, from 1 s to 30 d.",
                text().pattern(Some(TTL)).default(Some("5m".into())),
                "1m",
            ))
            .takes(query(
                "tags",
                "Words that it can be removed by, with commas between them; at most 32 of at most 128 bytes.",
                text().pattern(Some(format!("^({tag}(,{tag}){{0,31}})?$", tag = tag()))),
                "users,admins",
            ))
            .takes_bytes("The value, of any type; without a content coding.", "Ada")
            .empty(201, "It is stored.")
            .with_fields(&["ETag"])
            .empty(204, "It is stored in the place of another.")
            .with_fields(&["ETag"])
            .problems(&[404, 408, 412, 413, 415, 503]),
        preconditions(delete(path, "deleteEntry", "Removes a value of the app's own.").takes(key()))
            .empty(204, "It is gone.")
            .problems(&[404, 412]),
    ]
}

/// Durations from 1 s to 30 d; not all of them.
const TTL: &str = "^([1-9]|[12][0-9]|30)d$|^[1-9][0-9]?h$|^[1-9][0-9]{0,3}[ms]$|^[1-9][0-9]{3,6}ms$";

fn figures() -> Vec<Told> {
    vec![
        get("/performance/compression/stats", "compressionStats", "What coding did since the start, and what it cost.")
            .json::<CompressionStats>(200, "The figures.", example!("compression_stats")),
        get("/performance/profile/overview", "profileOverview", "All endpoints of the app together.")
            .takes(window())
            .json::<Overview>(200, "The figures.", example!("profile_overview")),
        get(
            "/performance/profile/slowest",
            "profileSlowest",
            "The slowest endpoints, and the slowest single requests.",
        )
        .takes(window())
        .takes(query("limit", "So many of each at most.", number(1, 100, 10), 10))
        .takes(query("offset", "After so many of each.", number(0, 1_000_000, 0), 0))
        .takes(query(
            "by",
            "What endpoints are ordered by.",
            word(By::ALL.map(|(name, _)| name)).default(Some("p95".into())),
            "p95",
        ))
        .json::<Slowest>(200, "The endpoints and requests.", example!("profile_slowest")),
        get("/performance/profile/series", "profileSeries", "All endpoints together step by step, or one of them.")
            .takes(window())
            .takes(query("method", "Of the endpoint; only with `endpoint`.", words::method(), "GET"))
            .takes(query("endpoint", "Its name, such as `/users/{id}`; only with `method`.", text(), "/users/{id}"))
            .json::<Series>(200, "The steps.", example!("profile_series"))
            .problems(&[404]),
        post(
            "/performance/profile/compare",
            "compare",
            "Two endpoints side by side, or one at two times: what changed, how sure that is, and what it amounts to.",
        )
        .takes_json(
            "The two sides; at most 64 KiB.",
            Required::True,
            closed().property("a", side()).required("a").property("b", side()).required("b"),
            example!("profile_compare.request"),
        )
        .json::<Compared>(200, "Both sides, and the change.", example!("profile_compare"))
        .problems(&[408, 413, 503]),
        get("/performance/profile/insights", "insights", "What should be done, most urgent first.").json::<Insights>(
            200,
            "The findings.",
            example!("profile_insights"),
        ),
        post(
            "/performance/profile/insights/mute",
            "muteInsight",
            "Leaves a finding out of what is advised until the process ends, or takes that back.",
        )
        .takes_json("What is meant; at most 16 KiB.", Required::True, schema_of::<Wish>(), example!("mute.request"))
        .with_request::<Wish>()
        .json::<MutedView>(200, "What is muted now, and the lines that keep it so.", example!("mute"))
        .problems(&[408, 409, 413, 503]),
    ]
}

/// One side of a comparison: up to now, or as long before that, for which no more than a day is kept.
fn side() -> OneOfBuilder {
    let one = |before: bool, windows: Vec<&'static str>, what: &str| {
        let name = text().description(Some("The endpoint's name, such as `/users/{id}`."));
        let flag = ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([before]));
        let object = closed().property("endpoint", name).required("endpoint").property("method", words::method());
        object.property("window", word(windows)).property("before", flag).description(Some(what))
    };
    let all = || Window::ALL.map(|(name, _)| name).into_iter();
    let but_a_day = all().filter(|name| *name != Window::Day.name()).collect();
    OneOfBuilder::new()
        .item(one(false, all().collect(), "Up to now; by default GET in the last hour."))
        .item(one(true, but_a_day, "Not up to now, but the same length before that.").required("before"))
}

fn window() -> ParameterBuilder {
    let names = word(Window::ALL.map(|(name, _)| name)).default(Some(Window::default().name().into()));
    query("window", "How far back the figures go.", names, "1h")
}

fn queries() -> Vec<Told> {
    let record = schema_of::<Record>();
    let records = ArrayBuilder::new().items(record.clone()).max_items(Some(1000));
    vec![
        get(
            "/performance/query/optimization",
            "queryOptimization",
            "What the app's queries were, and what would make them faster.",
        )
        .takes(query(
            "window",
            "What the figures are of: so long until now, from 1 m to 1 d.",
            text().pattern(Some(WINDOW)).default(Some("1h".into())),
            "1h",
        ))
        .takes(query("limit", "So many queries and recommendations at most.", number(1, 100, 10), 10))
        .takes(query("severity", "Only recommendations that are so grave.", word(SEVERITIES), "high"))
        .takes(query(
            "endpoint",
            "Only queries of this endpoint.",
            text().min_length(Some(1)).max_length(Some(1024)),
            "/orders",
        ))
        .json::<Queries>(200, "The figures.", example!("query_optimization")),
        post(
            "/performance/query/record",
            "recordQueries",
            "Takes executions of queries: all of them, or none where one is wrong.",
        )
        .takes_json(
            "One execution, or a list of at most 1000; at most 1 MiB.",
            Required::True,
            OneOfBuilder::new().item(record).item(records),
            example!("query_record.request"),
        )
        .with_request::<Record>()
        .json::<Received>(202, "They are right.", example!("query_record"))
        .problems(&[408, 413, 503]),
    ]
}

/// Durations from 1 m to 1 d; not all of them.
const WINDOW: &str = "^1d$|^([1-9]|1[0-9]|2[0-4])h$|^[1-9][0-9]{0,2}m$|^[1-9][0-9]{2,3}s$";

/// The task of the examples that has completed, a job.
const COMPLETED: &str = "task_4a1e6f0c2b9d4e7f8a3c5d6e7f8091a2";
/// The one that runs, a client's request.
const RUNNING: &str = "task_0b7f3d52c1e84a9690d4e8f1a2b3c4d5";

fn tasks() -> Vec<Told> {
    let id = |example| {
        let id = text().pattern(Some("^task_[0-9a-f]{32}$"));
        in_path("id", "The id of the task.", id, example)
    };
    let before = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(BEFORE_MAX as f64));
    let one = "/performance/tasks/{id}";
    vec![
        get("/performance/tasks", "tasks", "Work in the background, the newest first.")
            .takes(query("status", "Only tasks that stand there.", word(Status::ALL.map(Status::word)), "completed"))
            .takes(query("kind", "Only tasks that do this.", word(Kind::ALL.map(Kind::word)), "cache_warmup"))
            .takes(query("limit", "So many at most.", number(1, 100, 10), 10))
            .takes(query("before", "Those after the ones whose `next` this was.", before, 100))
            .json::<Tasks>(200, "The tasks.", example!("tasks")),
        post("/performance/tasks", "beginTask", "Begins a job of the operator.")
            .takes(
                ParameterBuilder::new()
                    .name("Idempotency-Key")
                    .parameter_in(ParameterIn::Header)
                    .required(Required::False)
                    .description(Some("The same key with the same job is the same task, for 24 hours."))
                    .schema(Some(text().pattern(Some(format!("^[!-~]([ -~]{{0,{}}}[!-~])?$", MOST_OF_KEY - 2)))))
                    .example(Some("warm-up-of-today".into())),
            )
            .takes_json("The job; at most 64 KiB.", Required::True, job(), example!("tasks.request"))
            .json::<Detail>(200, "The task that this key has begun before.", example!("task"))
            .with_fields(&["Location"])
            .json::<Detail>(202, "The task.", example!("task"))
            .with_fields(&["Location"])
            .problems(&[408, 413, 422, 503]),
        get(one, "task", "One task with its way.")
            .takes(id(COMPLETED))
            .json::<Detail>(200, "The task.", example!("task"))
            .problems(&[404]),
        delete(one, "cancelTask", "Cancels a task that has not ended.")
            .takes(id(RUNNING))
            .json::<Cancelled>(200, "The task, which is cancelled.", example!("task_cancelled"))
            .problems(&[404, 409, 503]),
        get("/performance/tasks/{id}/result", "taskResult", "What a job of the operator came to.")
            .takes(id(COMPLETED))
            .content(
                200,
                "The result; its kind says what is in it.",
                "application/json",
                ObjectBuilder::new().schema_type(Type::Object),
                example!("task_result"),
            )
            .problems(&[403, 404, 409, 410]),
    ]
}

/// One of the four kinds, each with what it takes.
fn job() -> OneOfBuilder {
    let of = |kind: Kind| {
        let job = closed().property("kind", word([kind.word()])).required("kind");
        // By default, that of the configuration, and longer for a warm-up.
        let timeout = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(3600));
        job.property("timeout_s", timeout.description(Some("It may run for so many seconds.")))
    };
    let strings = |most| ArrayBuilder::new().items(text()).min_items(Some(1)).max_items(Some(most));
    let value = || text().pattern(Some("^[ -~]{0,200}$"));
    let variant = || closed().property("accept-encoding", value()).property("accept-language", value());
    let warmup = || {
        of(Kind::CacheWarmup)
            .property("concurrency", number(1, 10, 2))
            .property("rate", number(1, 100, 10).description(Some("URLs a second.")))
            .property("max_urls", number(1, 5000, 5000))
            .property("variants", ArrayBuilder::new().items(variant()).min_items(Some(1)).max_items(Some(8)))
    };
    let source = || word(["proxy", "app"]).description(Some("`app` goes past the cache."));
    let side = || {
        let url = text().description(Some("A URL of a host of one's own, or a path."));
        closed().property("url", url).required("url").property("from", source())
    };
    OneOfBuilder::new()
        .item(
            warmup().property("urls", strings(5000)).required("urls").description(Some("Fetches URLs into the cache.")),
        )
        .item(
            warmup()
                .property("sitemap", text())
                .required("sitemap")
                .description(Some("Fetches what a sitemap names into the cache.")),
        )
        .item(
            of(Kind::CachePurge)
                .property("pattern", text().min_length(Some(1)))
                .required("pattern")
                .property("host", text())
                .property("mode", words::mode())
                .property("dry_run", ObjectBuilder::new().schema_type(Type::Boolean))
                .description(Some("Purges what matches a pattern, however much that is.")),
        )
        .item(
            of(Kind::QueryExplain)
                .property("query_id", text().pattern(Some("^q_[0-9a-f]{16}$")))
                .required("query_id")
                .description(Some("Asks PostgreSQL how it would execute a query.")),
        )
        .item(
            of(Kind::Compare)
                .property("a", side())
                .required("a")
                .property("b", side())
                .required("b")
                .property("requests", number(10, 1000, 100).description(Some("Of each.")))
                .property("concurrency", number(1, 10, 1))
                .description(Some("Asks for two pages in turn, and says which is faster.")),
        )
}

fn overview() -> Vec<Told> {
    let event = "event: figures\nid: 1\nretry: 2000\ndata: ";
    let figures: Value = example!("dashboard");
    vec![
        get("/performance/markers", "markers", "Moments from which on things may be different, the newest first.")
            .takes(query("limit", "So many at most.", number(1, 100, 10), 10))
            .takes(query("offset", "So many are left out before them.", number(0, 1_000_000, 0), 0))
            .json::<Markers>(200, "The markers.", example!("markers")),
        post(
            "/performance/markers",
            "addMarker",
            "Says that the app is another one from now on, so that what changes is told with its name.",
        )
        .takes_json(
            "What it is called; at most 4 KiB.",
            Required::True,
            schema_of::<NewMarker>(),
            example!("marker.request"),
        )
        .with_request::<NewMarker>()
        .json::<MarkerView>(201, "The marker.", example!("marker"))
        .problems(&[408, 413, 503]),
        get("/performance/dashboard", "dashboard", "Everything at once, and whether it is well.")
            .takes(window())
            .json::<Dashboard>(200, "The figures.", example!("dashboard")),
        get(
            "/performance/stream",
            "stream",
            "The dashboard once a second, as server-sent events. Counted when it begins.",
        )
        .takes(window())
        .shown(
            200,
            "Events, each with the dashboard as its data, until the sidecar stops.",
            "text/event-stream",
            &format!("{event}{figures}\n\n"),
        )
        .problems(&[503]),
        get("/openapi.json", "openapi", "This description.").content(
            200,
            "OpenAPI 3.1.",
            "application/json",
            ObjectBuilder::new().schema_type(Type::Object),
            json!({"openapi": "3.1.0"}),
        ),
        get("/", "page", "The dashboard for people. It asks for the token itself, where one is set.").shown(
            200,
            "A page.",
            "text/html; charset=utf-8",
            "<!doctype html>",
        ),
        get("/page/{file}", "pageFile", "What the dashboard consists of.")
            .takes(in_path("file", "Its name.", text(), "main.js"))
            .shown(
                200,
                "A script, a style or an image.",
                "text/javascript; charset=utf-8",
                "import { cache } from \"./cache.js\";",
            )
            .problems(&[404]),
    ]
}
