//! The whole way from text to [`Config`]: every problem in its exact words, and the files that we ship.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is a failure")]

use std::{collections::BTreeSet, fs, time::Duration};

use http::Method;
use proptest::prelude::*;

use super::delivery::CLASSES;
use super::problem::{Fault, Place};
use super::*;
use crate::advice;

const SHIPPED: &str = include_str!("../../proxy.toml");

fn parse(text: &str) -> Result<Config, String> {
    Config::parse("proxy.toml", text.as_bytes(), None).map_err(|problems| problems.to_string())
}

fn accepted(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("refused:\n{text}\n{problems}"))
}

fn problems(text: &str) -> String {
    parse(text).expect_err("a problem")
}

/// One value a line: what is written in the file, and what is said about it.
macro_rules! refuses {
    ($($name:ident: $text:expr => $problem:expr;)*) => {$(
        #[test]
        fn $name() {
            assert_eq!(problems($text), $problem);
        }
    )*};
}

refuses! {
    a_size_in_apples: "\n\n[cache]\nmax_bytes = \"64 apples\"" =>
        "proxy.toml:4: cache.max_bytes = \"64 apples\": expected a size such as \"64MiB\"";
    a_size_too_small: "cache.max_bytes = 1000" =>
        "proxy.toml:1: cache.max_bytes = 1000: expected a size from \"1MiB\" to \"1TiB\"";
    a_negative_size: "cache.max_object_bytes = -1" =>
        "proxy.toml:1: cache.max_object_bytes = -1: expected a size from 1 to \"1TiB\"";
    a_size_too_large: "cache.max_bytes = \"99999999999TiB\"" =>
        "proxy.toml:1: cache.max_bytes = \"99999999999TiB\": expected less: the number is too large";
    a_size_that_is_true: "cache.max_bytes = true" =>
        "proxy.toml:1: cache.max_bytes = true: expected a size such as \"64MiB\", not a boolean";
    a_keyed_cache_for_nothing: "[cache.keyed]\nmax_entries = 0\nmax_bytes = \"auto\"" =>
        "proxy.toml:2: cache.keyed.max_entries = 0: expected a whole number from 1 to 1000000\n\
         proxy.toml:3: cache.keyed.max_bytes = \"auto\": expected a size such as \"64MiB\"";
    a_body_limit_of_nothing: "server.max_body_bytes = 0" =>
        "proxy.toml:1: server.max_body_bytes = 0: expected a size from 1 to \"1TiB\"";
    a_duration_without_unit: "server.timeouts.connect = 5" =>
        "proxy.toml:1: server.timeouts.connect = 5: expected a duration with its unit, such as \"5s\"";
    a_negative_duration: "cache.default_ttl = -5" =>
        "proxy.toml:1: cache.default_ttl = -5: expected a duration such as \"250ms\", \"5s\" or \"1m30s\", not an integer";
    a_duration_in_words: "profile.slow = \"soon\"" =>
        "proxy.toml:1: profile.slow = \"soon\": expected a duration such as \"250ms\", \"5s\" or \"1m30s\"";
    a_timeout_of_nothing: "server.timeouts.read = \"0s\"" =>
        "proxy.toml:1: server.timeouts.read = \"0s\": expected a duration from \"1ms\" to \"1d\"";
    a_timeout_of_a_week: "server.timeouts.idle = \"7d\"" =>
        "proxy.toml:1: server.timeouts.idle = \"7d\": expected a duration from \"1ms\" to \"1d\"";
    a_number_in_quotes: "server.max_headers = \"200\"" =>
        "proxy.toml:1: server.max_headers = \"200\": expected a whole number from 1 to 256, not a string";
    a_number_too_large: "server.max_headers = 257" =>
        "proxy.toml:1: server.max_headers = 257: expected a whole number from 1 to 256";
    a_number_beyond_64_bits: "server.max_headers = 99999999999999999999" =>
        "proxy.toml:1: server.max_headers = 99999999999999999999: expected a whole number from 1 to 256";
    no_connections: "server.max_connections = 0" =>
        "proxy.toml:1: server.max_connections = 0: expected a whole number from 1 to 1000000";
    an_array_for_a_number: "server.max_headers = [1]" =>
        "proxy.toml:1: server.max_headers: expected a whole number from 1 to 256, not an array";
    a_fraction: "cache.max_entries = 1.5" =>
        "proxy.toml:1: cache.max_entries = 1.5: expected a whole number from 1 to 10000000, not a float";
    a_word_for_a_boolean: "[[route]]\nmatch = \"/\"\npublic = \"yes\"" =>
        "proxy.toml:3: route.public = \"yes\": expected true or false, not a string";
    a_date_for_a_string: "server.host = 1979-05-27" =>
        "proxy.toml:1: server.host = 1979-05-27: expected a string, not a date or time";
    a_table_for_a_list: "[server.listen]" =>
        "proxy.toml:1: server.listen: expected a string or an array of strings, not a table";

    an_address_without_port: "server.listen = \"127.0.0.1\"" =>
        "proxy.toml:1: server.listen = \"127.0.0.1\": \
         expected an address such as \"127.0.0.1:8080\", \"localhost:8080\" or \":8080\"";
    no_address: "server.listen = []" => "proxy.toml:1: server.listen: expected at least one address";
    an_open_admin_port: "admin.listen = \":9090\"" =>
        "proxy.toml:1: admin.listen = \":9090\": expected a loopback address such as \"127.0.0.1:9090\", \
         or a token in admin.token_file, without which anybody could read and change what is stored";
    a_token_that_is_not_there: "admin.token_file = \"absent.token\"" =>
        "proxy.toml:1: admin.token_file = \"absent.token\": cannot be read: No such file or directory (os error 2)";
    a_file_that_is_no_token: "admin.token_file = \"Cargo.toml\"\nadmin.listen = \":9090\"" =>
        "proxy.toml:1: admin.token_file = \"Cargo.toml\": \
         expected a file with one line of 16 to 1024 visible ASCII characters";
    names_that_are_none: "[admin]\nhosts = [\n\"pacecar.internal\",\n\"*\", \"pacecar:9090\"]" =>
        "proxy.toml:4: admin.hosts = \"*\": expected the name of a host without a port, such as \"pacecar.internal\"\n\
         proxy.toml:4: admin.hosts = \"pacecar:9090\": \
         expected the name of a host without a port, such as \"pacecar.internal\"";
    probes_on_the_port_of_the_admin: "admin.probe_listen = \":9090\"" =>
        "proxy.toml:1: admin.probe_listen = \":9090\": expected an address of its own: admin.listen has 127.0.0.1:9090";
    a_list_of_admin_ports: "admin.listen = [\"127.0.0.1:9090\"]" =>
        "proxy.toml:1: admin.listen: expected a string, not an array";
    an_app_of_another_kind: "server.upstream = \"fcgi://app\"" =>
        "proxy.toml:1: server.upstream = \"fcgi://app\": expected a URL such as \"http://127.0.0.1:3000\": \
         http://, https://, h2c:// and unix: are spoken, not fcgi://";
    an_app_that_no_certificate_is_for: "server.upstream = \"https://my_app\"" =>
        "proxy.toml:1: server.upstream = \"https://my_app\": \
         expected a host that a certificate can be for, such as \"https://app.example\", without \"_\"";
    an_app_on_a_socket_from_here: "server.upstream = \"unix:app.sock\"" =>
        "proxy.toml:1: server.upstream = \"unix:app.sock\": \
         expected an absolute path of at most 107 bytes, such as \"unix:/run/app.sock\"";
    an_authority_that_is_not_there: "server.upstream_ca = \"absent.pem\"" =>
        "proxy.toml:1: server.upstream_ca = \"absent.pem\": cannot be read: No such file or directory (os error 2)";
    an_authority_without_pem: "server.upstream_ca = \"Cargo.toml\"" =>
        "proxy.toml:1: server.upstream_ca = \"Cargo.toml\": expected a PEM file with a certificate";
    an_app_that_may_have_no_requests: "server.upstream_concurrency = 0" =>
        "proxy.toml:1: server.upstream_concurrency = 0: expected a whole number from 1 to 65535";
    a_queue_without_end: "server.upstream_queue = 65536" =>
        "proxy.toml:1: server.upstream_queue = 65536: expected a whole number from 0 to 65535";
    a_queue_without_patience: "server.timeouts.queue = \"0s\"" =>
        "proxy.toml:1: server.timeouts.queue = \"0s\": expected a duration from \"1ms\" to \"1d\"";
    an_app_behind_a_path: "server.upstream = \"http://app/api\"" =>
        "proxy.toml:1: server.upstream = \"http://app/api\": \
         expected a URL such as \"http://127.0.0.1:3000\", without a path";
    an_app_behind_a_password: "server.upstream = \"http://me:secret@app\"" =>
        "proxy.toml:1: server.upstream = \"http://…@app\": \
         expected a URL such as \"http://127.0.0.1:3000\", without a user or password";
    an_app_without_scheme: "server.upstream = \"app:3000\"" =>
        "proxy.toml:1: server.upstream = \"app:3000\": expected a URL such as \"http://127.0.0.1:3000\"";
    a_host_with_a_path: "server.host = \"app/x\"" =>
        "proxy.toml:1: server.host = \"app/x\": expected a host with or without a port, such as \"app.example:3000\"";
    a_network_by_name: "server.trusted_proxies = [\n  \"::1\",\n  \"lan\",\n]" =>
        "proxy.toml:3: server.trusted_proxies = \"lan\": expected an address or a network such as \"10.0.0.0/8\"";
    an_access_log: "server.access_log = \"some\"" =>
        "proxy.toml:1: server.access_log = \"some\": expected \"errors\", \"all\" or \"off\"";
    a_log_format: "server.access_log_format = \"xml\"" =>
        "proxy.toml:1: server.access_log_format = \"xml\": expected \"json\" or \"combined\"";
    a_mask_of_everything: "query.mask_identifiers = [\"tenant_*\", \"*\"]" =>
        "proxy.toml:1: query.mask_identifiers = \"*\": expected a name with \"*\" for any characters, such as \"tenant_*\"";
    every_cookie: "cache.ignore_cookies = [\"*\"]" =>
        "proxy.toml:1: cache.ignore_cookies = \"*\": \
         expected a cookie's name, with or without a \"*\" at its end, such as \"_ga*\"";
    a_result_that_outlives_its_task: "tasks.retention = \"1h\"\ntasks.result_retention = \"2h\"" =>
        "proxy.toml:2: tasks.result_retention = \"2h\": expected at most tasks.retention, which is 1h";
    no_task_at_a_time: "tasks.max_concurrent = 0" => "proxy.toml:1: tasks.max_concurrent = 0: expected a whole number from 1 to 1000";
    a_task_of_no_time: "tasks.timeout = \"999ms\"" => "proxy.toml:1: tasks.timeout = \"999ms\": expected a duration from \"1s\" to \"1h\"";
    an_empty_path: "tasks.store = \"\"" => "proxy.toml:1: tasks.store = \"\": expected a path";

    a_path_without_slash: "[[route]]\nmatch = \"api/**\"" =>
        "proxy.toml:2: route.match = \"api/**\": \
         expected a path that begins with \"/\", without a query, such as \"/users/*\" or \"/a/**\"";
    a_path_with_a_query: "[[route]]\nmatch = \"/a?b\"" =>
        "proxy.toml:2: route.match = \"/a?b\": \
         expected a path that begins with \"/\", without a query, such as \"/users/*\" or \"/a/**\"";
    a_route_without_path: "[cache]\n[[route]]\nttl = \"5s\"" =>
        "proxy.toml:2: route.match: missing; [[route]] needs match";
    a_method_in_small_letters: "[[route]]\nmatch = \"/\"\nmethods = [\"GET\", \"head\"]" =>
        "proxy.toml:3: route.methods = \"head\": expected a method in capitals such as \"GET\"";
    a_name_with_a_quote: "[[route]]\nname = \"a\\\"b\"\nmatch = \"/\"" =>
        "proxy.toml:2: route.name = \"a\\\"b\": \
         expected 1 to 200 printable ASCII characters without quotes and backslashes";
    a_name_twice: "[[route]]\nmatch = \"/a\"\n[[route]]\nname = \"/a\"\nmatch = \"/b\"" =>
        "proxy.toml:4: route.name = \"/a\": expected a name of its own: the route of line 1 has this one";
    a_route_in_single_brackets: "[route]\nmatch = \"/\"" =>
        "proxy.toml:1: route: expected a section [[route]], in double brackets, not a table";
    a_route_that_is_a_number: "route = [1]" =>
        "proxy.toml:1: route = 1: expected a section [[route]], in double brackets, not an integer";
    a_lifetime_without_cache: "[[route]]\nmatch = \"/\"\ncache = false\nttl = \"5s\"\npublic = true" =>
        "proxy.toml:4: route.ttl = \"5s\": has no effect with route.cache = false\n\
         proxy.toml:5: route.public = true: has no effect with route.cache = false";

    an_unknown_key_near_another: "[cache]\nmax_byte = 1" =>
        "proxy.toml:2: cache.max_byte: unknown key; did you mean \"max_bytes\"?";
    an_unknown_key_near_nothing: "[profile]\ncolour = \"red\"" =>
        "proxy.toml:2: profile.colour: unknown key; [profile] takes slow, max_endpoints, metrics_endpoints, endpoints, \
         keep_paths, snapshot";
    an_unknown_key_in_a_route: "[[route]]\nmatch = \"/\"\ntls = \"5s\"\nmath = \"/\"" =>
        "proxy.toml:3: route.tls: unknown key; [[route]] takes name, match, methods, ttl, stale_while_revalidate, \
         stale_if_error, cache, public, compress, class, async\n\
         proxy.toml:4: route.math: unknown key; did you mean \"match\"?";
    an_unknown_key_of_the_file: "colour = \"red\"" =>
        "proxy.toml:1: colour: unknown key; the file takes mode, server, admin, cache, compression, \
         cache_headers, route, profile, query, advice, tasks";
    another_mode: "mode = \"off\"" => "proxy.toml:1: mode = \"off\": expected \"on\" or \"observe\"";
    an_unknown_key_in_quotes: "[tasks]\n\"a\\nb\" = 1" =>
        "proxy.toml:2: tasks.\"a\\u000Ab\": unknown key; [tasks] takes max_concurrent, timeout, retention, result_retention, store, hosts";
    an_unknown_section: "[cahce]" => "proxy.toml:1: cahce: unknown section; did you mean \"cache\"?";
    an_unknown_section_far_from_all: "[[listener]]" =>
        "proxy.toml:1: listener: unknown section; the file takes mode, server, admin, cache, compression, \
         cache_headers, route, profile, query, advice, tasks";
    an_unknown_section_within: "[server.timeout]\nread = \"1s\"" =>
        "proxy.toml:1: server.timeout: unknown section; did you mean \"timeouts\"?";
    a_value_for_a_section: "cache = true" =>
        "proxy.toml:1: cache = true: expected a section [cache], not a boolean";

    a_part_larger_than_the_whole: "[cache]\nmax_object_bytes = \"128MiB\"\nmax_bytes = \"64MiB\"" =>
        "proxy.toml:2: cache.max_object_bytes = \"128MiB\": expected at most cache.max_bytes, which is \"64MiB\"";
    a_part_larger_than_auto: "[cache]\nmax_object_bytes = \"1GiB\"" =>
        "proxy.toml:2: cache.max_object_bytes = \"1GiB\": \
         expected at most cache.max_bytes, which is \"auto\" and never more than \"256MiB\"";
    a_target_larger_than_the_head: "[server]\nmax_target_bytes = \"8KiB\"\nmax_header_bytes = \"4KiB\"" =>
        "proxy.toml:2: server.max_target_bytes = \"8KiB\": expected at most server.max_header_bytes, which is \"4KiB\"";
    one_address_above_all: "server.max_connections_per_ip = 20000" =>
        "proxy.toml:1: server.max_connections_per_ip = 20000: expected at most server.max_connections, which is 10000";
    one_port_twice: "[server]\nlisten = [\n  \":8080\",\n  \"127.0.0.1:8080\",\n]" =>
        "proxy.toml:4: server.listen = \"127.0.0.1:8080\": \
         expected an address of its own: server.listen has 0.0.0.0:8080";
    the_port_of_the_admin: "server.listen = \":9090\"" =>
        "proxy.toml:1: server.listen = \":9090\": expected an address of its own: admin.listen has 127.0.0.1:9090";
    the_port_of_the_server: "admin.listen = \"127.0.0.1:8080\"" =>
        "proxy.toml:1: admin.listen = \"127.0.0.1:8080\": \
         expected an address of its own: server.listen has 127.0.0.1:8080";
    the_port_of_the_app: "server.listen = \":3000\"" =>
        "proxy.toml:1: server.listen = \":3000\": expected an address of its own: server.upstream has 127.0.0.1:3000";
    an_app_that_is_pacecar: "server.upstream = \"http://localhost:8080\"" =>
        "proxy.toml:1: server.upstream = \"http://localhost:8080\": \
         expected the app's address: this one is Pacecar's own, in server.listen";

    tls_in_part: "[server.tls]\nlisten = \":8443\"" =>
        "proxy.toml:1: server.tls.cert: missing; [server.tls] needs listen, cert, key\n\
         proxy.toml:1: server.tls.key: missing; [server.tls] needs listen, cert, key";
    tls_of_a_directory: "[server.tls]\nlisten = \":8443\"\ncert = \"src\"\nkey = \"src\"" =>
        "proxy.toml:3: server.tls.cert = \"src\": cannot be read: not a file\n\
         proxy.toml:4: server.tls.key = \"src\": cannot be read: not a file";
    tls_without_pem: "[server.tls]\nlisten = \":8443\"\ncert = \"Cargo.toml\"\nkey = \"Cargo.toml\"" =>
        "proxy.toml:3: server.tls.cert = \"Cargo.toml\": expected a PEM file with a certificate\n\
         proxy.toml:4: server.tls.key = \"Cargo.toml\": expected a PEM file with a private key";

    an_open_bracket: "[server]\n\n[cache\nmax_bytes = 1" => "proxy.toml:3: unclosed table, expected `]`";
    a_key_twice: "[cache]\nmax_entries = 1\nmax_entries = 2" => "proxy.toml:3: duplicate key";
    a_value_without_quotes: "[server]\nhost = app" =>
        "proxy.toml:2: string values must be quoted, expected literal string";

    // What is wrong with one value does not hide what is wrong with the next, nor does the order of the sections count.
    several_at_once: "[cache]\nmax_bytes = \"64 apples\"\nmax_byte = 1\n[server]\nlisten = \"here\"\n[cahce]" =>
        "proxy.toml:2: cache.max_bytes = \"64 apples\": expected a size such as \"64MiB\"\n\
         proxy.toml:3: cache.max_byte: unknown key; did you mean \"max_bytes\"?\n\
         proxy.toml:5: server.listen = \"here\": \
         expected an address such as \"127.0.0.1:8080\", \"localhost:8080\" or \":8080\"\n\
         proxy.toml:6: cahce: unknown section; did you mean \"cache\"?";
    // The default upstream is on port 3000, but a default is not what this file means.
    a_default_contradicts_nothing_in_place_of_a_bad_value: "[server]\nlisten = \":3000\"\nupstream = \"app\"" =>
        "proxy.toml:3: server.upstream = \"app\": expected a URL such as \"http://127.0.0.1:3000\"";
}

#[test]
fn text_that_is_not_utf_8_is_refused_with_its_line() {
    let problems = Config::parse("proxy.toml", b"[server]\nhost = \"\xff\"\n", None).unwrap_err();
    assert_eq!(problems.to_string(), "proxy.toml:2: expected text in UTF-8");
}

#[test]
fn a_list_beyond_its_bound_is_refused() {
    let list = |count| format!("cache.ignore_cookies = [{}]", "\"a\",".repeat(count));
    assert_eq!(accepted(&list(1000)).cache.ignore_cookies.len(), 1000);
    assert_eq!(problems(&list(1001)), "proxy.toml:1: cache.ignore_cookies: expected at most 1000 of them");
}

#[test]
fn routes_beyond_their_bound_are_refused() {
    let routes = |count| (0..count).map(|i| format!("[[route]]\nmatch = \"/{i}\"\n")).collect::<String>();
    assert_eq!(accepted(&routes(1000)).routes.len(), 1000);
    assert_eq!(problems(&routes(1001)), "proxy.toml:2001: route: expected at most 1000 of them");
}

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(accepted(""), Config::default());
}

#[test]
fn what_is_said_is_believed() {
    let config = accepted(
        "[server]\nlisten = \"localhost:80\"\nupstream = \"http://[::1]:81\"\ntrusted_proxies = \"10.0.0.1\"\n\
         max_header_bytes = \"4KiB\"\nmax_body_bytes = \"10MB\"\n\
         [cache]\nmax_bytes = \"4MiB\"\ndefault_ttl = \"1m30s\"\n\
         [cache.keyed]\nmax_entries = 7\nmax_bytes = \"1MiB\"\n\
         [[route]]\nmatch = \"/a\"\nmethods = \"GET\"\nttl = \"7d\"\npublic = true\n\
         stale_while_revalidate = \"30s\"\nstale_if_error = \"1d\"\ncompress = false\nclass = \"static\"\nasync = true\n\
         [tasks]\nstore = \"tasks\"\nretention = \"10m\"",
    );
    assert_eq!(config.server.listen, ["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()]);
    assert_eq!(
        config.server.upstream,
        server::Upstream::Host { protocol: server::Protocol::Http, host: "::1".into(), port: 81 }
    );
    assert_eq!(config.server.trusted_proxies, ["10.0.0.1/32".parse().unwrap()]);
    assert_eq!(config.server.limits.max_header_bytes, 4096);
    assert_eq!(config.server.max_body_bytes, Some(10_000_000));
    assert_eq!(config.cache.default_ttl, Duration::from_secs(90));
    assert_eq!(config.keyed, cache::keyed::Settings { max_entries: 7, max_bytes: 1 << 20 });
    let policy = route::Policy {
        ttl: Some(Duration::from_secs(604_800)),
        public: true,
        stale_while_revalidate: Some(Duration::from_secs(30)),
        stale_if_error: Some(Duration::from_secs(86_400)),
        compress: false,
        class: Some(route::Class::Static),
        is_async: true,
        ..route::Policy::default()
    };
    let route = route::Route { name: "/a".into(), path: "/a".into(), methods: vec![Method::GET], policy };
    assert_eq!(config.routes, [route]);
    assert_eq!(config.tasks.store, Some("tasks".into()));
    assert_eq!(config.tasks.result_retention, Duration::from_secs(600));
    // Two defaults follow the limits that they are part of.
    assert_eq!(config.server.limits.max_target_bytes, 4096);
    assert_eq!(config.cache.max_object_bytes, 4 << 20);
}

#[test]
fn auto_follows_the_memory_that_there_is() {
    let config = Config::parse("proxy.toml", b"cache.max_bytes = \"auto\"", Some(16 << 20)).unwrap();
    assert_eq!(config.cache.max_bytes, 4 << 20);
    assert_eq!(config.cache.max_object_bytes, 4 << 20);
}

#[test]
fn tls_alone_is_enough_to_listen() {
    let dir = tempfile::tempdir().unwrap();
    let config = accepted(&format!("server.listen = []\n{}", tls(dir.path())));
    assert!(config.server.listen.is_empty());
    assert_eq!(config.server.tls.unwrap().listen, ["0.0.0.0:8443".parse().unwrap()]);
}

/// A `[server.tls]` whose files are there.
fn tls(dir: &Path) -> String {
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&cert, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    // What proxy.toml calls the authority of the app's certificate, and the file with the token.
    fs::write(dir.join("ca.pem"), pair.cert.pem()).unwrap();
    fs::write(dir.join("admin.token"), "0123456789abcdef\n").unwrap();
    format!("[server.tls]\nlisten = \":8443\"\ncert = {cert:?}\nkey = {key:?}\n")
}

#[test]
fn the_shipped_file_says_the_defaults() {
    let routes = accepted(SHIPPED).routes;
    assert_eq!(accepted(SHIPPED), Config { routes, ..Config::default() });
}

#[test]
fn the_shipped_routes_say_a_class_or_what_may_be_answered_later_and_no_more() {
    let mut routes = accepted(SHIPPED).routes;
    let report = routes.remove(0);
    assert_eq!(report.path, "/report");
    assert_eq!(report.policy, route::Policy { is_async: true, ..route::Policy::default() });
    let paths: Vec<_> = routes.iter().map(|route| (route.path.as_str(), route.policy.class)).collect();
    let (health, monitoring) = (Some(route::Class::Health), Some(route::Class::Monitoring));
    assert_eq!(paths, [("/health", health), ("/healthz", health), ("/metrics", monitoring)]);
    for route in routes {
        assert_eq!(route.policy, route::Policy { class: route.policy.class, ..route::Policy::default() });
    }
    // The others are ready to be switched on.
    for class in CLASSES.map(|(word, _)| word) {
        assert!(shipped_with_every_key().contains(&format!("name = {class:?}\n")) || class == "monitoring", "{class}");
    }
}

/// Lines such as `#host = ...` are keys, and the rest of the comments prose.
fn shipped_with_every_key() -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
        _ => format!("{line}\n"),
    };
    SHIPPED.lines().map(line).collect()
}

#[test]
fn the_shipped_examples_are_right() {
    let text = shipped_with_every_key();
    let file = File::parse(text.as_bytes());
    assert_eq!(Problems::new("proxy.toml", file.1).to_string(), "");
    let dir = tempfile::tempdir().unwrap();
    tls(dir.path());
    accepted(&in_folder(&text, dir.path()));
}

/// The examples, with their files in this folder.
fn in_folder(text: &str, dir: &Path) -> String {
    let name = |file: &str| format!("\"{}/{file}", dir.display());
    text.replace("\"tls/", &name("")).replace("\"admin.token", &name("admin.token"))
}

#[test]
fn a_token_opens_every_address_and_is_not_printed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    fs::write(&file, " s3cret-s3cret-s3cret\r\n").unwrap();
    let admin =
        format!("[admin]\nlisten = \":9090\"\nprobe_listen = \":9091\"\ntoken_file = {file:?}\nhosts = \"a.b\"");
    let config = accepted(&admin);
    assert_eq!(config.admin.token, crate::admin::Token::parse(b"s3cret-s3cret-s3cret"));
    assert_eq!(
        (config.admin.listen.to_string(), &config.admin.hosts[..]),
        ("0.0.0.0:9090".into(), &["a.b".into()][..])
    );
    for shown in [config.to_toml(), format!("{config:?}")] {
        assert!(shown.contains(&file.display().to_string()) && !shown.contains("s3cret"), "{shown}");
    }
    fs::write(&file, "s3cret s3cret s3cret s3cret").unwrap();
    let problem = problems(&admin);
    assert!(problem.contains("one line of 16 to 1024") && !problem.contains("s3cret"), "{problem}");
    // Not to be waited for.
    let pipe = problems("admin.token_file = \"/dev/zero\"");
    assert_eq!(pipe, "proxy.toml:1: admin.token_file = \"/dev/zero\": cannot be read: not a file");
}

#[test]
fn findings_are_muted_by_id_and_by_kind() {
    let config = accepted("[advice]\nmute = [\"slow_endpoint:GET /report\", \"low_hit_rate\"]");
    assert_eq!(config.advice.mute, ["slow_endpoint:GET /report", "low_hit_rate"]);
    assert_eq!(accepted(&config.to_toml()), config);
    for wrong in
        ["slow", "", "slow_endpoint:", "GET /report", "slow_endpoint:\\u0007", &format!("errors:{}", "x".repeat(1600))]
    {
        let problem = problems(&format!("[advice]\nmute = \"{wrong}\""));
        let expected = "expected the id of a finding, such as \"slow_endpoint:GET /report\", or a kind: errors, ";
        assert!(problem.starts_with("proxy.toml:2: advice.mute = ") && problem.contains(expected), "{problem}");
    }
}

proptest! {
    #[test]
    fn what_is_muted_while_it_runs_can_be_pasted(rests in proptest::collection::vec("\\PC{1,60}", 0..5)) {
        let names: Vec<String> = rests.iter().map(|rest| format!("errors:{rest}")).collect();
        prop_assume!(names.iter().all(|name| advice::can_mute(name)));
        prop_assert_eq!(accepted(&advice::mute_lines(&names)).advice.mute, names);
    }
}

#[test]
fn the_shipped_file_has_every_key() {
    assert_eq!(keys_of(&shipped_with_every_key()), known_keys());
}

#[test]
fn the_printed_configuration_has_every_key() {
    let dir = tempfile::tempdir().unwrap();
    tls(dir.path());
    let text = in_folder(&shipped_with_every_key(), dir.path());
    assert_eq!(keys_of(&accepted(&text).to_toml()), known_keys());
}

#[test]
fn the_printed_configuration_names_the_keys_without_a_value() {
    let text = Config::default().to_toml();
    for line in ["# host is not set", "# max_body_bytes is not set", "# store is not set"] {
        assert!(text.lines().any(|printed| printed == line), "{line} is not in\n{text}");
    }
}

/// Every key that a file may have, learnt from what is said about one that it may not have.
fn known_keys() -> BTreeSet<String> {
    const SECTIONS: [&str; 14] = [
        "server",
        "server.tls",
        "server.timeouts",
        "admin",
        "cache",
        "cache.keyed",
        "compression",
        "cache_headers",
        "profile",
        "query",
        "query.otlp",
        "query.explain",
        "advice",
        "tasks",
    ];
    let sections = SECTIONS.map(|section| format!("[{section}]\nzzzzzz = 1\n")).concat();
    let (_, problems) = File::parse(format!("zzzzzz = 1\n{sections}[[route]]\nzzzzzz = 1").as_bytes());
    let mut keys = BTreeSet::new();
    for problem in problems {
        let (Place::Line { key, .. }, Fault::Unknown { known, .. }) = (problem.place(), &*problem.fault) else {
            continue;
        };
        keys.extend(known.iter().map(|known| key.replace("zzzzzz", known)));
    }
    keys
}

/// Every section and key of a file, routes as one.
fn keys_of(text: &str) -> BTreeSet<String> {
    fn walk(path: &str, table: &toml::Table, keys: &mut BTreeSet<String>) {
        for (key, value) in table {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let tables = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            tables.iter().filter_map(toml::Value::as_table).for_each(|table| walk(&path, table, keys));
            keys.insert(path);
        }
    }
    let mut keys = BTreeSet::new();
    walk("", &text.parse().unwrap(), &mut keys);
    keys
}

/// Values in all the forms that a file can have, right and wrong.
fn value() -> impl Strategy<Value = String> {
    let right = ["\"64MiB\"", "\"5s\"", "\":8080\"", "\"http://a\"", "\"/a/**\"", "\"GET\"", "\"auto\"", "\"off\""];
    let other = ["true", "-1", "1.5", "1979-05-27", "[]", "[[], \"a\"]", "{}", "{ a = 1 }", "[1, 2]", "0x7f"];
    prop_oneof![
        prop::sample::select([&right[..], &other[..]].concat()).prop_map(String::from),
        any::<i64>().prop_map(|number| number.to_string()),
        ".{0,20}".prop_map(|text| problem::quote(&text)),
    ]
}

proptest! {
    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Config::parse("proxy.toml", &bytes, None);
    }

    #[test]
    fn a_damaged_file_does_not_panic(at in any::<prop::sample::Index>(), cut in 0..40_usize, with in ".{0,5}") {
        let mut text = shipped_with_every_key().into_bytes();
        let at = at.index(text.len());
        text.splice(at..(at + cut).min(text.len()), with.into_bytes());
        let _ = Config::parse("proxy.toml", &text, None);
    }

    #[test]
    fn any_value_of_any_key_is_read_or_refused(
        values in prop::collection::vec((any::<prop::sample::Index>(), value()), 1..6),
    ) {
        let alone = |key: &String| !key.starts_with("server.tls.") && !key.starts_with("route.");
        let keys: Vec<String> = known_keys().into_iter().filter(alone).collect();
        let lines = values.iter().map(|(index, value)| format!("{} = {value}\n", index.get(&keys)));
        let text: String = lines.collect::<BTreeSet<_>>().into_iter().collect();
        match parse(&text) {
            // What is accepted is printed as what is accepted.
            Ok(config) => prop_assert_eq!(parse(&config.to_toml()), Ok(config)),
            Err(problems) => prop_assert!(problems.starts_with("proxy.toml:"), "{}", problems),
        }
    }
}
