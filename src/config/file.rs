//! What `proxy.toml` says: every key optional, each value with its place, in the form that the key takes. What is not
//! said, and what does not go together, is decided in [`super::Config`].

use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

use http::Method;
use ipnet::IpNet;
use toml::de::{DeTable, DeValue};

use super::address;
use super::delivery::{self, CacheHeaders, Compression};
use super::problem::{Fault, Given, Place, Problem};
use super::section::{Document, Section, size};
use crate::{
    advice,
    header::{fields::is_token, refusal::MAX_HEADERS},
    profile::Template,
    query::{Fingerprint, fingerprint::Mask},
    route::Class,
    server::{
        Mode, Upstream,
        access_log::{Format, Which},
    },
    task,
};

const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;

/// Longer than a millisecond, so that nothing is over before it begins; shorter than a day, after which nobody waits.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(86_400);
/// A year was the longest lifetime that HTTP/1.1 once allowed (RFC 2616 §14.21); ten leave room.
pub(super) const LIFETIME: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3650 * 86_400);
/// What is kept of a task for no time at all could not be asked for.
const RETENTION: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3650 * 86_400);
/// For this long at most an uncacheable URL is left alone: its origin may change its mind.
const MARKER: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400);
/// None at all; or from every hit to one of so many that busy apps see only a few a day.
const SAMPLE: RangeInclusive<usize> = 0..=1_000_000_000;
/// Not so often that it is all that is done, and often enough to be noticed within a day.
const SWEEP: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
/// Sockets that one process can have; the system's own limit is lower.
const CONNECTIONS: RangeInclusive<usize> = 1..=1_000_000;
/// Idle connections to one address: there are no more ports than these.
const IDLE_CONNECTIONS: RangeInclusive<usize> = 1..=65_535;
/// As many connections to one address there can be.
const CONCURRENCY: RangeInclusive<usize> = 1..=65_535;
/// None may wait; as many as are let in at once are enough.
const QUEUE: RangeInclusive<usize> = 0..=65_535;
/// Each request is compared with every route, so that their number is a cost of each request.
const ROUTES: usize = 1000;
/// A route's name is sent in a response header and its path compared with each request's.
const NAME_LENGTH: RangeInclusive<usize> = 1..=200;
/// Syntax errors after these are most often consequences of the first.
const SYNTAX_ERRORS: usize = 5;

/// A list, and each of its items, with their places.
pub(super) type List<T> = Given<Vec<Given<T>>>;

/// The whole file.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) mode: Option<Given<Mode>>,
    pub(super) server: Server,
    pub(super) admin: Admin,
    pub(super) cache: Cache,
    pub(super) compression: Compression,
    pub(super) cache_headers: CacheHeaders,
    pub(super) routes: Vec<Route>,
    pub(super) profile: Profile,
    pub(super) query: Query,
    pub(super) advice: Advice,
    pub(super) tasks: Tasks,
}

/// `[server]`.
#[derive(Debug, Default)]
pub(super) struct Server {
    pub(super) listen: Option<List<Vec<SocketAddr>>>,
    pub(super) upstream: Option<Given<Upstream>>,
    pub(super) upstream_ca: Option<Given<PathBuf>>,
    pub(super) host: Option<Given<String>>,
    pub(super) trusted_proxies: Option<List<IpNet>>,
    pub(super) max_connections: Option<Given<usize>>,
    pub(super) max_connections_per_ip: Option<Given<usize>>,
    pub(super) upstream_connections: Option<Given<usize>>,
    pub(super) upstream_concurrency: Option<Given<usize>>,
    pub(super) upstream_queue: Option<Given<usize>>,
    pub(super) max_header_bytes: Option<Given<u64>>,
    pub(super) max_headers: Option<Given<usize>>,
    pub(super) max_target_bytes: Option<Given<u64>>,
    pub(super) max_body_bytes: Option<Given<u64>>,
    pub(super) access_log: Option<Given<Which>>,
    pub(super) access_log_format: Option<Given<Format>>,
    pub(super) access_log_path: Option<Given<PathBuf>>,
    pub(super) tls: Tls,
    pub(super) timeouts: Timeouts,
}

/// `[server.tls]`: either nothing or everything, once the file is without problems.
#[derive(Debug, Default)]
pub(super) struct Tls {
    pub(super) there: bool,
    pub(super) listen: Option<List<Vec<SocketAddr>>>,
    pub(super) cert: Option<Given<PathBuf>>,
    pub(super) key: Option<Given<PathBuf>>,
}

/// `[server.timeouts]`.
#[derive(Debug, Default)]
pub(super) struct Timeouts {
    pub(super) connect: Option<Given<Duration>>,
    pub(super) queue: Option<Given<Duration>>,
    pub(super) header: Option<Given<Duration>>,
    pub(super) read: Option<Given<Duration>>,
    pub(super) write: Option<Given<Duration>>,
    pub(super) idle: Option<Given<Duration>>,
    pub(super) drain: Option<Given<Duration>>,
}

/// `[admin]`.
#[derive(Debug, Default)]
pub(super) struct Admin {
    pub(super) listen: Option<Given<SocketAddr>>,
    pub(super) probe_listen: Option<Given<SocketAddr>>,
    pub(super) token_file: Option<Given<PathBuf>>,
    pub(super) hosts: Option<List<String>>,
}

/// `[cache]`.
#[derive(Debug, Default)]
pub(super) struct Cache {
    pub(super) max_bytes: Option<Given<MaxBytes>>,
    pub(super) max_entries: Option<Given<usize>>,
    pub(super) max_object_bytes: Option<Given<u64>>,
    pub(super) default_ttl: Option<Given<Duration>>,
    pub(super) max_variants: Option<Given<usize>>,
    pub(super) sweep_interval: Option<Given<Duration>>,
    pub(super) heuristic: Option<Given<bool>>,
    pub(super) stale_while_revalidate: Option<Given<Duration>>,
    pub(super) stale_if_error: Option<Given<Duration>>,
    pub(super) store_set_cookie: Option<Given<bool>>,
    pub(super) store_unframed: Option<Given<bool>>,
    pub(super) reorder_accept_language: Option<Given<bool>>,
    pub(super) honour_client_cache_control: Option<Given<bool>>,
    pub(super) targeted: Option<List<String>>,
    pub(super) purge_allow: Option<List<IpNet>>,
    pub(super) lock_timeout: Option<Given<Duration>>,
    pub(super) uncacheable_ttl: Option<Given<Duration>>,
    pub(super) verify_sample: Option<Given<usize>>,
    pub(super) ignore_cookies: Option<List<String>>,
    pub(super) keyed: Keyed,
}

/// `[cache.keyed]`.
#[derive(Debug, Default)]
pub(super) struct Keyed {
    pub(super) max_entries: Option<Given<usize>>,
    pub(super) max_bytes: Option<Given<u64>>,
}

/// `cache.max_bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MaxBytes {
    /// As much as [`super::memory::auto_bytes`] says.
    Auto,
    /// So many.
    Bytes(u64),
}

/// One `[[route]]`.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) line: usize,
    pub(super) name: Option<Given<String>>,
    pub(super) path: Given<String>,
    pub(super) methods: Option<List<Method>>,
    pub(super) ttl: Option<Given<Duration>>,
    pub(super) stale_while_revalidate: Option<Given<Duration>>,
    pub(super) stale_if_error: Option<Given<Duration>>,
    pub(super) cache: Option<Given<bool>>,
    pub(super) public: Option<Given<bool>>,
    pub(super) compress: Option<Given<bool>>,
    pub(super) class: Option<Given<Class>>,
    pub(super) is_async: Option<Given<bool>>,
}

/// `[tasks]`.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    pub(super) max_concurrent: Option<Given<usize>>,
    pub(super) timeout: Option<Given<Duration>>,
    pub(super) retention: Option<Given<Duration>>,
    pub(super) result_retention: Option<Given<Duration>>,
    pub(super) store: Option<Given<PathBuf>>,
    pub(super) hosts: Option<List<String>>,
}

/// `[profile]`.
#[derive(Debug, Default)]
pub(super) struct Profile {
    pub(super) slow: Option<Given<Duration>>,
    pub(super) max_endpoints: Option<Given<usize>>,
    pub(super) metrics_endpoints: Option<Given<usize>>,
    pub(super) endpoints: Option<List<Template>>,
    pub(super) keep_paths: Option<Given<bool>>,
    pub(super) snapshot: Option<Given<PathBuf>>,
}

/// `[query]`.
#[derive(Debug, Default)]
pub(super) struct Query {
    pub(super) slow: Option<Given<Duration>>,
    pub(super) critical: Option<Given<Duration>>,
    pub(super) max_fingerprints: Option<Given<usize>>,
    pub(super) store_text: Option<Given<bool>>,
    pub(super) n_plus_one: Option<Given<usize>>,
    pub(super) ignore: Option<List<Fingerprint>>,
    pub(super) mask_identifiers: Option<List<Mask>>,
    pub(super) otlp: Otlp,
    pub(super) explain: Explain,
}

/// `[query.otlp]`.
#[derive(Debug, Default)]
pub(super) struct Otlp {
    pub(super) there: bool,
    pub(super) listen: Option<Given<SocketAddr>>,
    pub(super) forward_to: Option<Given<String>>,
}

/// `[query.explain]`.
#[derive(Debug, Default)]
pub(super) struct Explain {
    pub(super) there: bool,
    pub(super) url_env: Option<Given<String>>,
}

/// `[advice]`.
#[derive(Debug, Default)]
pub(super) struct Advice {
    pub(super) mute: Option<List<String>>,
}

impl File {
    /// Reads what can be read, and names what cannot.
    pub(super) fn parse(text: &[u8]) -> (File, Vec<Problem>) {
        let text = match str::from_utf8(text) {
            Ok(text) => text,
            Err(error) => {
                let line = 1 + text[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
                return (File::default(), vec![syntax(line, "expected text in UTF-8".into())]);
            }
        };
        let document = Document::new(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            let file = File::read(document.root(table.get_ref()));
            return (file, document.into_problems());
        }
        // Where a quote or a bracket is missing, keys end up in the wrong section: nothing can be said about them.
        let mut problems: Vec<Problem> = errors
            .into_iter()
            .map(|error| syntax(document.line(error.span().map_or(0, |span| span.start)), error.message().into()))
            .collect();
        problems.sort_by_key(Problem::line);
        problems.dedup_by_key(|problem| problem.line());
        problems.truncate(SYNTAX_ERRORS);
        (File::default(), problems)
    }

    fn read(mut root: Section<'_>) -> File {
        let file = File {
            mode: root.text("mode", |text| word(text, &Mode::WORDS).ok_or(Fault::Mode)),
            server: Server::read(root.section("server")),
            admin: Admin::read(root.section("admin")),
            cache: Cache::read(root.section("cache")),
            compression: Compression::read(root.section("compression")),
            cache_headers: CacheHeaders::read(root.section("cache_headers")),
            routes: routes(&mut root),
            profile: Profile::read(root.section("profile")),
            query: Query::read(root.section("query")),
            advice: Advice::read(root.section("advice")),
            tasks: Tasks::read(root.section("tasks")),
        };
        root.finish();
        file
    }
}

impl Server {
    fn read(mut section: Section<'_>) -> Server {
        let server = Server {
            listen: section.texts("listen", address::listen),
            upstream: section.text("upstream", address::upstream),
            upstream_ca: section.text("upstream_ca", path),
            host: section.text("host", address::host),
            trusted_proxies: section.texts("trusted_proxies", address::network),
            max_connections: section.whole("max_connections", CONNECTIONS),
            max_connections_per_ip: section.whole("max_connections_per_ip", CONNECTIONS),
            upstream_connections: section.whole("upstream_connections", IDLE_CONNECTIONS),
            upstream_concurrency: section.whole("upstream_concurrency", CONCURRENCY),
            upstream_queue: section.whole("upstream_queue", QUEUE),
            max_header_bytes: section.size("max_header_bytes", KIB..=MIB),
            max_headers: section.whole("max_headers", 1..=MAX_HEADERS),
            max_target_bytes: section.size("max_target_bytes", 64..=MIB),
            max_body_bytes: section.size("max_body_bytes", 1..=TIB),
            access_log: section.text("access_log", |text| word(text, &Which::WORDS).ok_or(Fault::AccessLog)),
            access_log_format: section
                .text("access_log_format", |text| word(text, &Format::WORDS).ok_or(Fault::LogFormat)),
            access_log_path: section.text("access_log_path", path),
            tls: Tls::read(section.section("tls")),
            timeouts: Timeouts::read(section.section("timeouts")),
        };
        section.finish();
        server
    }
}

impl Tls {
    fn read(mut section: Section<'_>) -> Tls {
        section.needs(&["listen", "cert", "key"]);
        let tls = Tls {
            there: section.is_there(),
            listen: section.texts("listen", address::listen),
            cert: section.text("cert", path),
            key: section.text("key", path),
        };
        section.finish();
        tls
    }
}

impl Timeouts {
    fn read(mut section: Section<'_>) -> Timeouts {
        let timeouts = Timeouts {
            connect: section.duration("connect", TIMEOUT),
            queue: section.duration("queue", TIMEOUT),
            header: section.duration("header", TIMEOUT),
            read: section.duration("read", TIMEOUT),
            write: section.duration("write", TIMEOUT),
            idle: section.duration("idle", TIMEOUT),
            drain: section.duration("drain", TIMEOUT),
        };
        section.finish();
        timeouts
    }
}

impl Admin {
    fn read(mut section: Section<'_>) -> Admin {
        let admin = Admin {
            listen: section.text("listen", address::listen_on_one),
            probe_listen: section.text("probe_listen", address::listen_on_one),
            token_file: section.text("token_file", path),
            hosts: section.texts("hosts", address::name),
        };
        section.finish();
        admin
    }
}

impl Cache {
    fn read(mut section: Section<'_>) -> Cache {
        let cache = Cache {
            max_bytes: section.read("max_bytes", max_bytes),
            max_entries: section.whole("max_entries", 1..=10_000_000),
            max_object_bytes: section.size("max_object_bytes", 1..=TIB),
            default_ttl: section.duration("default_ttl", LIFETIME),
            max_variants: section.whole("max_variants", 1..=1000),
            sweep_interval: section.duration("sweep_interval", SWEEP),
            heuristic: section.boolean("heuristic"),
            stale_while_revalidate: section.duration("stale_while_revalidate", LIFETIME),
            stale_if_error: section.duration("stale_if_error", LIFETIME),
            store_set_cookie: section.boolean("store_set_cookie"),
            store_unframed: section.boolean("store_unframed"),
            reorder_accept_language: section.boolean("reorder_accept_language"),
            honour_client_cache_control: section.boolean("honour_client_cache_control"),
            targeted: section.texts("targeted", field_name),
            purge_allow: section.texts("purge_allow", address::network),
            lock_timeout: section.duration("lock_timeout", TIMEOUT),
            uncacheable_ttl: section.duration("uncacheable_ttl", MARKER),
            verify_sample: section.whole("verify_sample", SAMPLE),
            ignore_cookies: section.texts("ignore_cookies", cookie),
            keyed: Keyed::read(section.section("keyed")),
        };
        section.finish();
        cache
    }
}

impl Keyed {
    fn read(mut section: Section<'_>) -> Keyed {
        let keyed = Keyed {
            max_entries: section.whole("max_entries", 1..=1_000_000),
            max_bytes: section.size("max_bytes", MIB..=TIB),
        };
        section.finish();
        keyed
    }
}

impl Profile {
    fn read(mut section: Section<'_>) -> Profile {
        let profile = Profile {
            slow: section.duration("slow", TIMEOUT),
            max_endpoints: section.whole("max_endpoints", 1..=10_000),
            metrics_endpoints: section.whole("metrics_endpoints", 1..=10_000),
            endpoints: section.texts("endpoints", |text| Template::new(text).map_err(|_| Fault::Endpoint)),
            keep_paths: section.boolean("keep_paths"),
            snapshot: section.text("snapshot", path),
        };
        section.finish();
        profile
    }
}

impl Query {
    fn read(mut section: Section<'_>) -> Query {
        let query = Query {
            slow: section.duration("slow", TIMEOUT),
            critical: section.duration("critical", TIMEOUT),
            max_fingerprints: section.whole("max_fingerprints", 1..=100_000),
            store_text: section.boolean("store_text"),
            n_plus_one: section.whole("n_plus_one", 2..=10_000),
            ignore: section.texts("ignore", |text| text.parse().map_err(|_| Fault::Fingerprint)),
            mask_identifiers: section.texts("mask_identifiers", |text| Mask::new(text).map_err(|_| Fault::Mask)),
            otlp: Otlp::read(section.section("otlp")),
            explain: Explain::read(section.section("explain")),
        };
        section.finish();
        query
    }
}

impl Explain {
    fn read(mut section: Section<'_>) -> Explain {
        let explain = Explain { there: section.is_there(), url_env: section.text("url_env", variable) };
        section.finish();
        explain
    }
}

/// The name of a variable of the environment (POSIX, "Environment Variable Definition").
fn variable(text: &str) -> Result<String, Fault> {
    let is_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_name = is_word && text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if is_name { Ok(text.into()) } else { Err(Fault::Variable) }
}

impl Otlp {
    fn read(mut section: Section<'_>) -> Otlp {
        let otlp = Otlp {
            there: section.is_there(),
            listen: section.text("listen", address::listen_on_one),
            forward_to: section.text("forward_to", address::collector),
        };
        section.finish();
        otlp
    }
}

impl Advice {
    fn read(mut section: Section<'_>) -> Advice {
        let muted = |text: &str| if advice::can_mute(text) { Ok(text.to_owned()) } else { Err(Fault::Finding) };
        let advice = Advice { mute: section.texts("mute", muted) };
        section.finish();
        advice
    }
}

impl Route {
    /// Its name; where it has none, its path.
    pub(super) fn name(&self) -> &Given<String> {
        self.name.as_ref().unwrap_or(&self.path)
    }
}

fn routes(root: &mut Section<'_>) -> Vec<Route> {
    let mut sections = root.sections("route");
    if let Some(section) = sections.get(ROUTES) {
        section.report(Fault::TooMany(ROUTES));
        sections.truncate(ROUTES);
    }
    sections.into_iter().filter_map(route).collect()
}

fn route(mut section: Section<'_>) -> Option<Route> {
    section.needs(&["match"]);
    let name = section.text("name", |text| if is_name(text) { Ok(text.to_owned()) } else { Err(Fault::RouteName) });
    let path = section.text("match", glob);
    let methods = section.texts("methods", method);
    let ttl = section.duration("ttl", LIFETIME);
    let stale_while_revalidate = section.duration("stale_while_revalidate", LIFETIME);
    let stale_if_error = section.duration("stale_if_error", LIFETIME);
    let (cache, public) = (section.boolean("cache"), section.boolean("public"));
    let (compress, class) = (section.boolean("compress"), section.text("class", delivery::class));
    let is_async = section.boolean("async");
    let line = section.line();
    section.finish();
    let path = path?;
    Some(Route {
        line,
        name,
        path,
        methods,
        ttl,
        stale_while_revalidate,
        stale_if_error,
        cache,
        public,
        compress,
        class,
        is_async,
    })
}

impl Tasks {
    fn read(mut section: Section<'_>) -> Tasks {
        let tasks = Tasks {
            max_concurrent: section.whole("max_concurrent", 1..=1000),
            timeout: section.duration("timeout", task::Settings::TIMEOUTS),
            retention: section.duration("retention", RETENTION),
            result_retention: section.duration("result_retention", RETENTION),
            store: section.text("store", path),
            hosts: section.texts("hosts", address::name),
        };
        section.finish();
        tasks
    }
}

fn max_bytes(value: &DeValue<'_>) -> Result<MaxBytes, Fault> {
    match value.as_str() {
        Some("auto") => Ok(MaxBytes::Auto),
        _ => size(value, MIB..=TIB).map(MaxBytes::Bytes),
    }
}

/// The choice that has this word.
pub(super) fn word<T: Copy>(text: &str, words: &[(&str, T)]) -> Option<T> {
    words.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice)
}

fn path(text: &str) -> Result<PathBuf, Fault> {
    // A NUL ends a path for the system, and would make it another one than the file says.
    if text.is_empty() || text.contains('\0') { Err(Fault::FilePath) } else { Ok(text.into()) }
}

/// `*` alone would ignore every cookie, and one person's page would be shown to another. Where that is right, a
/// route says so with `public`.
fn cookie(text: &str) -> Result<String, Fault> {
    let name = text.strip_suffix('*').unwrap_or(text);
    let token = |c: char| c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?={}*".contains(c);
    if !name.is_empty() && name.chars().all(token) { Ok(text.to_owned()) } else { Err(Fault::Cookie) }
}

/// Fields are compared in small letters.
fn field_name(text: &str) -> Result<String, Fault> {
    if is_token(text.as_bytes()) { Ok(text.to_ascii_lowercase()) } else { Err(Fault::FieldName) }
}

/// A path is compared as it is sent, in which only visible ASCII occurs; with `?` or `#` it would never match.
fn glob(text: &str) -> Result<String, Fault> {
    let possible = |c: char| c.is_ascii_graphic() && !"?#\"\\".contains(c);
    let valid = text.starts_with('/') && NAME_LENGTH.contains(&text.len()) && text.chars().all(possible);
    if valid { Ok(text.to_owned()) } else { Err(Fault::Glob) }
}

/// RFC 9110 §9.1: methods are case-sensitive, so that "get" would never match.
fn method(text: &str) -> Result<Method, Fault> {
    let capital = !text.bytes().any(|b| b.is_ascii_lowercase());
    Method::from_bytes(text.as_bytes()).ok().filter(|_| capital).ok_or(Fault::Method)
}

fn is_name(text: &str) -> bool {
    let printable = |c: char| (c.is_ascii_graphic() || c == ' ') && !"\"\\".contains(c);
    NAME_LENGTH.contains(&text.len()) && text.chars().all(printable)
}

fn syntax(line: usize, message: String) -> Problem {
    Problem::at(Place::Line { line, key: String::new() }, Fault::Syntax(message))
}
