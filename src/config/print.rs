//! The configuration in force, as TOML that [`Config::parse`] reads as the same configuration.

use std::{
    fmt::{self, Write},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use super::Config;
use super::delivery::CLASSES;
use super::problem::quote;
use crate::{
    admin, cache, cache_headers, compress, explain, job, profile, query, route,
    server::{
        self,
        access_log::{Format, Which},
    },
    task, units,
};

impl Config {
    /// Every key with the value in force; keys without one are comments.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        write(self, &mut text).expect("writing to a String cannot fail");
        text
    }
}

fn write(config: &Config, out: &mut String) -> fmt::Result {
    writeln!(out, "mode = {}\n", word(config.server.mode, &server::Mode::WORDS))?;
    write_server(&config.server, out)?;
    write_admin(&config.admin, out)?;
    write_cache(&config.cache, out)?;
    let cache::keyed::Settings { max_entries, max_bytes } = config.keyed;
    writeln!(out, "\n[cache.keyed]\nmax_entries = {max_entries}\nmax_bytes = {}", units::show_size(max_bytes))?;
    write_compression(&config.compression, out)?;
    write_cache_headers(&config.cache_headers, out)?;
    let profile::Settings { slow, max_endpoints, metrics_endpoints, endpoints, keep_paths } = &config.profile;
    writeln!(out, "\n[profile]\nslow = {}\nmax_endpoints = {max_endpoints}", time(*slow))?;
    writeln!(out, "metrics_endpoints = {metrics_endpoints}")?;
    writeln!(out, "endpoints = {}", list(endpoints.iter().map(|endpoint| endpoint.as_str().to_owned())))?;
    writeln!(out, "keep_paths = {keep_paths}")?;
    optional(out, "snapshot", config.profile_snapshot.as_deref().map(path))?;
    let query::Settings { slow, critical, max_fingerprints, store_text, mask_identifiers, n_plus_one } = &config.query;
    writeln!(out, "\n[query]\nslow = {}\ncritical = {}", time(*slow), time(*critical))?;
    writeln!(out, "max_fingerprints = {max_fingerprints}\nstore_text = {store_text}")?;
    writeln!(out, "n_plus_one = {}", n_plus_one.min_count)?;
    writeln!(out, "ignore = {}", list(n_plus_one.ignore.iter().map(ToString::to_string)))?;
    writeln!(out, "mask_identifiers = {}", list(mask_identifiers.iter().map(|mask| mask.as_str().to_owned())))?;
    match &config.otlp {
        None => writeln!(out, "\n# [query.otlp] is not set: no listen and forward_to")?,
        Some(admin::OtlpSettings { listen, forward_to }) => {
            writeln!(out, "\n[query.otlp]\nlisten = {}", quote(&listen.to_string()))?;
            optional(out, "forward_to", forward_to.as_deref().map(quote))?;
        }
    }
    match &config.explain {
        None => writeln!(out, "\n# [query.explain] is not set: no url_env")?,
        Some(explain::Settings { url_env }) => {
            writeln!(out, "\n[query.explain]\nurl_env = {}", quote(url_env))?;
        }
    }
    writeln!(out, "\n[advice]\nmute = {}", list(config.advice.mute.iter().cloned()))?;
    write_tasks(&config.tasks, &config.jobs, out)?;
    config.routes.iter().try_for_each(|route| write_route(route, out))
}

fn write_server(server: &server::Settings, out: &mut String) -> fmt::Result {
    writeln!(out, "[server]\nlisten = {}", addresses(&server.listen))?;
    writeln!(out, "upstream = {}", quote(&server.upstream.to_string()))?;
    optional(out, "upstream_ca", server.upstream_ca.as_deref().map(path))?;
    optional(out, "host", server.host.as_deref().map(quote))?;
    writeln!(out, "trusted_proxies = {}", list(server.trusted_proxies.iter().map(|net| net.to_string())))?;
    writeln!(out, "max_connections = {}", server.max_connections)?;
    optional(out, "max_connections_per_ip", server.max_connections_per_ip.map(|most| most.to_string()))?;
    writeln!(out, "upstream_connections = {}", server.upstream_connections)?;
    writeln!(out, "upstream_concurrency = {}", server.upstream_concurrency)?;
    writeln!(out, "upstream_queue = {}", server.upstream_queue)?;
    writeln!(out, "max_header_bytes = {}", units::show_size(server.limits.max_header_bytes as u64))?;
    writeln!(out, "max_headers = {}", server.limits.max_headers)?;
    writeln!(out, "max_target_bytes = {}", units::show_size(server.limits.max_target_bytes as u64))?;
    optional(out, "max_body_bytes", server.max_body_bytes.map(units::show_size))?;
    let log = &server.access_log;
    writeln!(out, "access_log = {}", word(log.which, &Which::WORDS))?;
    writeln!(out, "access_log_format = {}", word(log.format, &Format::WORDS))?;
    optional(out, "access_log_path", log.path.as_deref().map(path))?;
    match &server.tls {
        None => writeln!(out, "\n# [server.tls] is not set: no listen, cert and key")?,
        Some(server::Tls { listen, cert, key }) => {
            writeln!(out, "\n[server.tls]\nlisten = {}", addresses(listen))?;
            writeln!(out, "cert = {}\nkey = {}", path(cert), path(key))?;
        }
    }
    let server::Timeouts { connect, queue, header, read, write, idle, drain } = server.timeouts;
    writeln!(out, "\n[server.timeouts]\nconnect = {}\nqueue = {}", time(connect), time(queue))?;
    writeln!(out, "header = {}\nread = {}\nwrite = {}", time(header), time(read), time(write))?;
    writeln!(out, "idle = {}\ndrain = {}", time(idle), time(drain))
}

/// The token itself is not printed.
fn write_admin(admin: &admin::Settings, out: &mut String) -> fmt::Result {
    writeln!(out, "\n[admin]\nlisten = {}", quote(&admin.listen.to_string()))?;
    optional(out, "probe_listen", admin.probe_listen.map(|address| quote(&address.to_string())))?;
    optional(out, "token_file", admin.token_file.as_deref().map(path))?;
    writeln!(out, "hosts = {}", list(admin.hosts.iter().cloned()))
}

fn write_cache(cache: &cache::Settings, out: &mut String) -> fmt::Result {
    writeln!(out, "\n[cache]\nmax_bytes = {}", units::show_size(cache.max_bytes))?;
    writeln!(out, "max_entries = {}", cache.max_entries)?;
    writeln!(out, "max_object_bytes = {}", units::show_size(cache.max_object_bytes))?;
    writeln!(out, "max_variants = {}", cache.max_variants)?;
    writeln!(out, "sweep_interval = {}", time(cache.sweep_interval))?;
    writeln!(out, "default_ttl = {}", time(cache.default_ttl))?;
    writeln!(out, "heuristic = {}", cache.heuristic)?;
    writeln!(out, "stale_while_revalidate = {}", time(cache.stale_while_revalidate))?;
    writeln!(out, "stale_if_error = {}", time(cache.stale_if_error))?;
    writeln!(out, "lock_timeout = {}", time(cache.lock_timeout))?;
    writeln!(out, "uncacheable_ttl = {}", time(cache.uncacheable_ttl))?;
    writeln!(out, "verify_sample = {}", cache.verify_sample)?;
    writeln!(out, "store_set_cookie = {}\nstore_unframed = {}", cache.store_set_cookie, cache.store_unframed)?;
    writeln!(out, "reorder_accept_language = {}", cache.reorder_accept_language)?;
    writeln!(out, "honour_client_cache_control = {}", cache.honour_client_cache_control)?;
    writeln!(out, "targeted = {}", list(cache.targeted.iter().cloned()))?;
    writeln!(out, "ignore_cookies = {}", list(cache.ignore_cookies.iter().cloned()))?;
    writeln!(out, "purge_allow = {}", list(cache.purge_allow.iter().map(|net| net.to_string())))
}

fn write_compression(compression: &compress::Settings, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "\n[compression]\ncodings = {}",
        list(compression.codings.iter().map(|coding| coding.name().into()))
    )?;
    writeln!(out, "min_bytes = {}", units::show_size(compression.min_bytes))?;
    writeln!(out, "gzip_level = {}\nbrotli_level = {}", compression.gzip_level, compression.brotli_level)?;
    writeln!(out, "zstd_level = {}", compression.zstd_level)?;
    writeln!(out, "types = {}", list(compression.types.iter().cloned()))?;
    writeln!(out, "skip_private = {}", compression.skip_private)?;
    writeln!(out, "recode_cpu_percent = {}", compression.recode_cpu_percent)
}

fn write_cache_headers(cache_headers: &cache_headers::Settings, out: &mut String) -> fmt::Result {
    let cache_headers::Settings { mode, hashed_max_age, static_max_age, api_max_age, monitoring_max_age } =
        cache_headers;
    writeln!(out, "\n[cache_headers]\nmode = {}", word(*mode, &cache_headers::Mode::WORDS))?;
    writeln!(out, "hashed_max_age = {}\nstatic_max_age = {}", time(*hashed_max_age), time(*static_max_age))?;
    writeln!(out, "api_max_age = {}\nmonitoring_max_age = {}", time(*api_max_age), time(*monitoring_max_age))
}

fn write_tasks(tasks: &task::Settings, jobs: &job::Settings, out: &mut String) -> fmt::Result {
    writeln!(out, "\n[tasks]\nmax_concurrent = {}\ntimeout = {}", tasks.max_concurrent, time(tasks.timeout))?;
    writeln!(out, "retention = {}", time(tasks.retention))?;
    writeln!(out, "result_retention = {}", time(tasks.result_retention))?;
    optional(out, "store", tasks.store.as_deref().map(path))?;
    writeln!(out, "hosts = {}", list(jobs.hosts.iter().cloned()))
}

fn write_route(route: &route::Route, out: &mut String) -> fmt::Result {
    writeln!(out, "\n[[route]]\nname = {}\nmatch = {}", quote(&route.name), quote(&route.path))?;
    writeln!(out, "methods = {}", list(route.methods.iter().map(|method| method.to_string())))?;
    optional(out, "ttl", route.policy.ttl.map(time))?;
    optional(out, "stale_while_revalidate", route.policy.stale_while_revalidate.map(time))?;
    optional(out, "stale_if_error", route.policy.stale_if_error.map(time))?;
    writeln!(out, "cache = {}\npublic = {}", route.policy.cache, route.policy.public)?;
    writeln!(out, "compress = {}", route.policy.compress)?;
    optional(out, "class", route.policy.class.map(|class| word(class, &CLASSES)))?;
    writeln!(out, "async = {}", route.policy.is_async)
}

/// TOML has no word for "none": such a key is left to its default, and named in a comment.
fn optional(out: &mut String, key: &str, value: Option<String>) -> fmt::Result {
    match value {
        Some(value) => writeln!(out, "{key} = {value}"),
        None => writeln!(out, "# {key} is not set"),
    }
}

fn time(duration: Duration) -> String {
    quote(&units::show_duration(duration))
}

fn word<T: PartialEq>(choice: T, words: &[(&str, T)]) -> String {
    words.iter().find(|(_, known)| *known == choice).map(|(word, _)| quote(word)).unwrap_or_default()
}

/// Paths come from TOML, which is UTF-8: nothing is lost here.
fn path(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

fn addresses(addresses: &[SocketAddr]) -> String {
    list(addresses.iter().map(|address| address.to_string()))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.map(|item| quote(&item)).collect::<Vec<_>>().join(", "))
}
