//! `proxy.toml` read into what the program believes.
//!
//! Two forms and one door: `file` is what the file says, [`Config`] what the program believes, and [`Config::parse`]
//! the way from one to the other. All problems of a configuration are found at once, and none of them later than here:
//! `problem` is how they are printed, `contradiction` what no value alone can show.

mod address;
mod contradiction;
mod delivery;
#[cfg(test)]
mod delivery_tests;
mod file;
mod memory;
mod print;
mod problem;
pub mod reload;
mod section;
#[cfg(test)]
mod tests;

use std::{
    fs,
    io::{self, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use file::{File, List, MaxBytes};
use problem::{Fault, Place, Problem};
pub use problem::{Given, Problems};

use crate::{admin, advice, cache, cache_headers, compress, explain, job, profile, query, route, server, task};

/// A longer file is not a configuration: reading it whole would only cost memory.
const LONGEST_FILE: u64 = 1 << 20;

/// What the program believes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `[server]`.
    pub server: server::Settings,
    /// `[admin]`.
    pub admin: admin::Settings,
    /// `[cache]`.
    pub cache: cache::Settings,
    /// `[cache.keyed]`.
    pub keyed: cache::keyed::Settings,
    /// `[compression]`.
    pub compression: compress::Settings,
    /// `[cache_headers]`.
    pub cache_headers: cache_headers::Settings,
    /// `[[route]]`, in the order of the file; the first match counts.
    pub routes: Vec<route::Route>,
    /// `[profile]`.
    pub profile: profile::Settings,
    /// `profile.snapshot`: the file in which figures survive a restart. Default: none.
    pub profile_snapshot: Option<PathBuf>,
    /// `[query]`.
    pub query: query::Settings,
    /// `[query.otlp]`; `None` where the section is not there.
    pub otlp: Option<admin::OtlpSettings>,
    /// `[query.explain]`; `None` where the section is not there.
    pub explain: Option<explain::Settings>,
    /// `[advice]`.
    pub advice: advice::Settings,
    /// `[tasks]`.
    pub tasks: task::Settings,
    /// What of `[tasks]` is about jobs of the operator.
    pub jobs: job::Settings,
}

/// Where settings come from. What is given outside the file beats what the file says.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The file.
    pub file: Source,
    /// One address to listen on, in place of `server.listen`.
    pub listen: Option<Given<String>>,
    /// The app's URL, in place of `server.upstream`.
    pub upstream: Option<Given<String>>,
}

/// The file that settings come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// It has to be there.
    Named(PathBuf),
    /// Where it is not there, the defaults hold.
    IfThere(PathBuf),
}

impl Config {
    /// Reads everything that the sources say, or names everything that is wrong with it.
    ///
    /// Reads the limit of the control group as well, and the files that the configuration names.
    pub fn load(sources: Sources) -> Result<Config, Problems> {
        let (path, text) = match &sources.file {
            Source::Named(path) => (path, read(path)),
            Source::IfThere(path) => (path, read(path).or_else(nothing_if_absent)),
        };
        let name = path.display().to_string();
        let (mut file, mut problems) = match text {
            Ok(text) => File::parse(&text),
            Err(error) => (File::default(), vec![Problem::at(Place::File, Fault::Unreadable(error.to_string()))]),
        };
        override_file(&mut file, sources, &mut problems);
        Config::judge(name, &file, problems, memory::limit())
    }

    /// Reads the text of a file that problems call `name`. `memory_limit` is what the process may take, in bytes;
    /// a quarter of it is what `cache.max_bytes = "auto"` comes to.
    pub fn parse(name: &str, text: &[u8], memory_limit: Option<u64>) -> Result<Config, Problems> {
        let (file, problems) = File::parse(text);
        Config::judge(name.into(), &file, problems, memory_limit)
    }

    /// `problems` are those that have been found so far.
    fn judge(
        name: String,
        file: &File,
        mut problems: Vec<Problem>,
        memory_limit: Option<u64>,
    ) -> Result<Config, Problems> {
        let mut config = Config::believe(file, memory::auto_bytes(memory_limit));
        // Read once: what is judged here is what will be asked for.
        match file.admin.token_file.as_ref().map(contradiction::token).transpose() {
            Ok(token) => config.admin.token = token,
            Err(problem) => problems.push(problem),
        }
        // Where a value could not be read, its default is not what was meant, and contradicts nothing.
        let complete = problems.is_empty().then_some(&config);
        problems.extend(contradiction::all(file, complete));
        if problems.is_empty() { Ok(config) } else { Err(Problems::new(name, problems)) }
    }

    /// The door from what the file says to what the program believes. `auto` is what `max_bytes = "auto"` comes to.
    fn believe(file: &File, auto: u64) -> Config {
        let profile = profile_settings(&file.profile);
        Config {
            server: server::Settings {
                mode: or(&file.mode, server::Mode::On),
                traces: file.query.otlp.there,
                ..server_settings(&file.server, profile.slow)
            },
            admin: admin_settings(&file.admin),
            cache: cache_settings(&file.cache, auto),
            keyed: keyed_settings(&file.cache.keyed),
            compression: file.compression.settings(),
            cache_headers: file.cache_headers.settings(),
            routes: file.routes.iter().map(route_settings).collect(),
            profile,
            profile_snapshot: given(&file.profile.snapshot),
            query: query_settings(&file.query),
            otlp: file.query.otlp.there.then(|| otlp_settings(&file.query.otlp)),
            explain: file.query.explain.there.then(|| explain_settings(&file.query.explain)),
            advice: advice::Settings { mute: file.advice.mute.as_ref().map(items).unwrap_or_default() },
            tasks: task_settings(&file.tasks),
            jobs: job::Settings { hosts: file.tasks.hosts.as_ref().map(items).unwrap_or_default() },
        }
    }
}

/// Reads one address to listen on, from outside any file; of `localhost`, the IPv4 one.
pub fn listen_address(given: Given<String>) -> Result<SocketAddr, Problems> {
    let listen = given.parse(address::listen).map_err(|problem| Problems::new("", vec![problem]))?;
    Ok(listen.value[0])
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = vec![];
    fs::File::open(path)?.take(LONGEST_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LONGEST_FILE {
        return Err(io::Error::other(format!("longer than {LONGEST_FILE} bytes")));
    }
    Ok(text)
}

fn nothing_if_absent(error: io::Error) -> io::Result<Vec<u8>> {
    if error.kind() == io::ErrorKind::NotFound { Ok(vec![]) } else { Err(error) }
}

fn override_file(file: &mut File, outside: Sources, problems: &mut Vec<Problem>) {
    if let Some(listen) = outside.listen {
        match listen.parse(address::listen) {
            Ok(listen) => file.server.listen = Some(listen.clone().with(vec![listen])),
            Err(problem) => problems.push(problem),
        }
    }
    if let Some(upstream) = outside.upstream {
        match upstream.parse(address::upstream) {
            Ok(upstream) => file.server.upstream = Some(upstream),
            Err(problem) => problems.push(problem),
        }
    }
}

/// `slow` is the profiler's word for what is worth a line in the access log.
fn server_settings(file: &file::Server, slow: Duration) -> server::Settings {
    let default = server::Settings::default();
    server::Settings {
        mode: default.mode,
        listen: file.listen.as_ref().map_or(default.listen, addresses),
        tls: tls_settings(&file.tls),
        upstream: or(&file.upstream, default.upstream),
        traces: default.traces,
        upstream_ca: given(&file.upstream_ca),
        host: given(&file.host),
        trusted_proxies: file.trusted_proxies.as_ref().map_or(default.trusted_proxies, items),
        max_connections: or(&file.max_connections, default.max_connections),
        max_connections_per_ip: given(&file.max_connections_per_ip),
        upstream_connections: or(&file.upstream_connections, default.upstream_connections),
        upstream_concurrency: or(&file.upstream_concurrency, default.upstream_concurrency),
        upstream_queue: or(&file.upstream_queue, default.upstream_queue),
        limits: limits(file, default.limits),
        max_body_bytes: given(&file.max_body_bytes),
        timeouts: timeouts(&file.timeouts, default.timeouts),
        access_log: server::access_log::Settings {
            which: or(&file.access_log, default.access_log.which),
            format: or(&file.access_log_format, default.access_log.format),
            path: given(&file.access_log_path),
            slow,
        },
    }
}

fn limits(file: &file::Server, default: server::Limits) -> server::Limits {
    // Both sizes are a MiB at most, so that nothing is cut off here.
    let max_header_bytes = given(&file.max_header_bytes).map_or(default.max_header_bytes, |bytes| bytes as usize);
    server::Limits {
        max_header_bytes,
        max_headers: or(&file.max_headers, default.max_headers),
        // A target is part of the head: where only the head's limit is lowered, the default follows it.
        max_target_bytes: given(&file.max_target_bytes)
            .map_or(default.max_target_bytes.min(max_header_bytes), |bytes| bytes as usize),
    }
}

fn timeouts(file: &file::Timeouts, default: server::Timeouts) -> server::Timeouts {
    server::Timeouts {
        connect: or(&file.connect, default.connect),
        queue: or(&file.queue, default.queue),
        header: or(&file.header, default.header),
        read: or(&file.read, default.read),
        write: or(&file.write, default.write),
        idle: or(&file.idle, default.idle),
        drain: or(&file.drain, default.drain),
    }
}

fn tls_settings(file: &file::Tls) -> Option<server::Tls> {
    let listen = addresses(file.listen.as_ref()?);
    Some(server::Tls { listen, cert: given(&file.cert)?, key: given(&file.key)? })
}

/// Without the token, which stands in a file of its own.
fn admin_settings(file: &file::Admin) -> admin::Settings {
    let default = admin::Settings::default();
    admin::Settings {
        listen: or(&file.listen, default.listen),
        probe_listen: given(&file.probe_listen),
        hosts: file.hosts.as_ref().map_or(default.hosts, items),
        token_file: given(&file.token_file),
        token: None,
    }
}

fn cache_settings(file: &file::Cache, auto: u64) -> cache::Settings {
    let default = cache::Settings::default();
    let max_bytes = match given(&file.max_bytes) {
        Some(MaxBytes::Bytes(bytes)) => bytes,
        Some(MaxBytes::Auto) | None => auto,
    };
    cache::Settings {
        max_bytes,
        max_entries: given(&file.max_entries).map_or(default.max_entries, |entries| entries as u64),
        // What cannot fit is not stored: where the store is small, by the machine or by choice, so is the largest body.
        max_object_bytes: or(&file.max_object_bytes, default.max_object_bytes).min(max_bytes),
        default_ttl: or(&file.default_ttl, default.default_ttl),
        max_variants: or(&file.max_variants, default.max_variants),
        sweep_interval: or(&file.sweep_interval, default.sweep_interval),
        heuristic: or(&file.heuristic, default.heuristic),
        stale_while_revalidate: or(&file.stale_while_revalidate, default.stale_while_revalidate),
        stale_if_error: or(&file.stale_if_error, default.stale_if_error),
        store_set_cookie: or(&file.store_set_cookie, default.store_set_cookie),
        store_unframed: or(&file.store_unframed, default.store_unframed),
        reorder_accept_language: or(&file.reorder_accept_language, default.reorder_accept_language),
        honour_client_cache_control: or(&file.honour_client_cache_control, default.honour_client_cache_control),
        targeted: file.targeted.as_ref().map_or(default.targeted, items),
        purge_allow: file.purge_allow.as_ref().map_or(default.purge_allow, items),
        lock_timeout: or(&file.lock_timeout, default.lock_timeout),
        uncacheable_ttl: or(&file.uncacheable_ttl, default.uncacheable_ttl),
        verify_sample: given(&file.verify_sample).map_or(default.verify_sample, |sample: usize| sample as u64),
        ignore_cookies: file.ignore_cookies.as_ref().map_or(default.ignore_cookies, items),
    }
}

fn keyed_settings(file: &file::Keyed) -> cache::keyed::Settings {
    let default = cache::keyed::Settings::default();
    cache::keyed::Settings {
        max_entries: given(&file.max_entries).map_or(default.max_entries, |entries| entries as u64),
        max_bytes: or(&file.max_bytes, default.max_bytes),
    }
}

fn route_settings(file: &file::Route) -> route::Route {
    let default = route::Policy::default();
    route::Route {
        name: file.name().value.clone(),
        path: file.path.value.clone(),
        methods: file.methods.as_ref().map(items).unwrap_or_default(),
        policy: route::Policy {
            cache: or(&file.cache, default.cache),
            ttl: given(&file.ttl),
            public: or(&file.public, default.public),
            stale_while_revalidate: given(&file.stale_while_revalidate),
            stale_if_error: given(&file.stale_if_error),
            compress: or(&file.compress, default.compress),
            class: given(&file.class),
            is_async: or(&file.is_async, default.is_async),
        },
    }
}

fn profile_settings(file: &file::Profile) -> profile::Settings {
    let default = profile::Settings::default();
    profile::Settings {
        slow: or(&file.slow, default.slow),
        max_endpoints: or(&file.max_endpoints, default.max_endpoints),
        metrics_endpoints: or(&file.metrics_endpoints, default.metrics_endpoints),
        endpoints: file.endpoints.as_ref().map_or(default.endpoints, items),
        keep_paths: or(&file.keep_paths, default.keep_paths),
    }
}

fn query_settings(file: &file::Query) -> query::Settings {
    let default = query::Settings::default();
    query::Settings {
        slow: or(&file.slow, default.slow),
        critical: or(&file.critical, default.critical),
        max_fingerprints: or(&file.max_fingerprints, default.max_fingerprints),
        store_text: or(&file.store_text, default.store_text),
        mask_identifiers: file.mask_identifiers.as_ref().map(items).unwrap_or_default(),
        n_plus_one: query::NPlusOne {
            min_count: given(&file.n_plus_one).map_or(default.n_plus_one.min_count, |count| count as u32),
            ignore: file.ignore.as_ref().map(items).unwrap_or_default(),
            ..default.n_plus_one
        },
    }
}

fn otlp_settings(file: &file::Otlp) -> admin::OtlpSettings {
    let default = admin::OtlpSettings::default();
    admin::OtlpSettings { listen: or(&file.listen, default.listen), forward_to: given(&file.forward_to) }
}

fn task_settings(file: &file::Tasks) -> task::Settings {
    let default = task::Settings::default();
    let retention = or(&file.retention, default.retention);
    task::Settings {
        max_concurrent: or(&file.max_concurrent, default.max_concurrent),
        timeout: or(&file.timeout, default.timeout),
        retention,
        // A result goes with its task: where only that goes sooner, the default follows it.
        result_retention: or(&file.result_retention, default.result_retention.min(retention)),
        store: given(&file.store),
        ..default
    }
}

fn explain_settings(file: &file::Explain) -> explain::Settings {
    explain::Settings { url_env: or(&file.url_env, explain::Settings::default().url_env) }
}

fn given<T: Clone>(given: &Option<Given<T>>) -> Option<T> {
    given.as_ref().map(|given| given.value.clone())
}

fn or<T: Clone>(given: &Option<Given<T>>, default: T) -> T {
    given.as_ref().map_or(default, |given| given.value.clone())
}

fn items<T: Clone>(list: &List<T>) -> Vec<T> {
    list.value.iter().map(|item| item.value.clone()).collect()
}

fn addresses(list: &List<Vec<SocketAddr>>) -> Vec<SocketAddr> {
    list.value.iter().flat_map(|item| item.value.iter().copied()).collect()
}
