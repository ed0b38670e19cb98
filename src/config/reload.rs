//! Reading the configuration again: whether files have changed, and what a running process cannot take up.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
};

use super::{Config, LONGEST_FILE, Source};

/// Puts back into `wanted` what only a restart can change, and names the keys where that was not what is running.
pub fn keep_until_restart(running: &Config, wanted: &mut Config) -> Vec<&'static str> {
    let mut kept = Vec::new();
    keep("server.listen", &running.server.listen, &mut wanted.server.listen, &mut kept);
    match (&running.server.tls, &mut wanted.server.tls) {
        (Some(running), Some(wanted)) => keep("server.tls.listen", &running.listen, &mut wanted.listen, &mut kept),
        (running, wanted) => keep("server.tls", running, wanted, &mut kept),
    }
    let (connections, wanted_connections) =
        (&running.server.upstream_connections, &mut wanted.server.upstream_connections);
    keep("server.upstream_connections", connections, wanted_connections, &mut kept);
    // What is believed of the app's certificate is read at the start.
    if running.server.upstream.protocol() != wanted.server.upstream.protocol() {
        keep("server.upstream", &running.server.upstream, &mut wanted.server.upstream, &mut kept);
    }
    keep("server.upstream_ca", &running.server.upstream_ca, &mut wanted.server.upstream_ca, &mut kept);
    keep("admin.listen", &running.admin.listen, &mut wanted.admin.listen, &mut kept);
    keep("admin.probe_listen", &running.admin.probe_listen, &mut wanted.admin.probe_listen, &mut kept);
    // Where another address is wanted, it may do without the token that this one still needs.
    if !wanted.admin.listen.ip().is_loopback() && wanted.admin.token.is_none() {
        keep("admin.token_file", &running.admin.token_file, &mut wanted.admin.token_file, &mut kept);
        wanted.admin.token.clone_from(&running.admin.token);
    }
    keep("cache.max_bytes", &running.cache.max_bytes, &mut wanted.cache.max_bytes, &mut kept);
    keep("cache.max_entries", &running.cache.max_entries, &mut wanted.cache.max_entries, &mut kept);
    keep("cache.max_object_bytes", &running.cache.max_object_bytes, &mut wanted.cache.max_object_bytes, &mut kept);
    keep("cache.keyed.max_entries", &running.keyed.max_entries, &mut wanted.keyed.max_entries, &mut kept);
    keep("cache.keyed.max_bytes", &running.keyed.max_bytes, &mut wanted.keyed.max_bytes, &mut kept);
    keep("profile.snapshot", &running.profile_snapshot, &mut wanted.profile_snapshot, &mut kept);
    let (masks, wanted_masks) = (&running.query.mask_identifiers, &mut wanted.query.mask_identifiers);
    keep("query.mask_identifiers", masks, wanted_masks, &mut kept);
    keep("query.otlp", &running.otlp, &mut wanted.otlp, &mut kept);
    keep("query.explain", &running.explain, &mut wanted.explain, &mut kept);
    wanted.server.traces = running.otlp.is_some();
    keep("tasks", &running.tasks, &mut wanted.tasks, &mut kept);
    keep("tasks.hosts", &running.jobs, &mut wanted.jobs, &mut kept);
    kept
}

fn keep<T: PartialEq + Clone>(key: &'static str, running: &T, wanted: &mut T, kept: &mut Vec<&'static str>) {
    if running != wanted {
        wanted.clone_from(running);
        kept.push(key);
    }
}

/// What the files of a configuration hold, as far as two looks can be told apart.
///
/// Contents are compared and not times: editors write anew, and a ConfigMap is exchanged by a symbolic link whose
/// target has the same times in every generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look(Vec<(PathBuf, Option<u64>)>);

impl Look {
    /// Looks at the file that the settings come from, and at those that they name.
    pub fn at(source: &Source, config: &Config) -> Self {
        let (Source::Named(file) | Source::IfThere(file)) = source;
        let tls = config.server.tls.iter().flat_map(|tls| [tls.cert.clone(), tls.key.clone()]);
        let token = config.admin.token_file.clone();
        Self([file.clone()].into_iter().chain(tls).chain(token).map(|path| (path.clone(), digest(&path))).collect())
    }
}

/// `None` for what cannot be read, and for what is too long to be a configuration.
fn digest(path: &PathBuf) -> Option<u64> {
    if fs::metadata(path).ok()?.len() > LONGEST_FILE {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    fs::read(path).ok()?.hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_restart_is_named_and_kept_and_the_rest_taken_up() {
        let running = Config::default();
        let mut wanted = running.clone();
        assert_eq!(keep_until_restart(&running, &mut wanted), Vec::<&str>::new());
        wanted.server.timeouts.read *= 2;
        wanted.cache.ignore_cookies.clear();
        wanted.server.max_connections += 1;
        wanted.compression.codings.clear();
        wanted.compression.types.clear();
        wanted.compression.gzip_level += 1;
        wanted.cache_headers.mode = crate::cache_headers::Mode::Never;
        wanted.cache_headers.api_max_age *= 2;
        let allowed = wanted.clone();
        assert_eq!(keep_until_restart(&running, &mut wanted), Vec::<&str>::new());
        wanted.server.listen.clear();
        wanted.cache.max_bytes += 1;
        wanted.keyed.max_entries += 1;
        wanted.keyed.max_bytes += 1;
        let tls = |listen: &[std::net::SocketAddr], cert: &str| {
            Some(crate::server::Tls { listen: listen.to_vec(), cert: cert.into(), key: "key".into() })
        };
        wanted.server.tls = tls(&[], "cert");
        let keyed = ["cache.keyed.max_entries", "cache.keyed.max_bytes"];
        let expected = [&["server.listen", "server.tls", "cache.max_bytes"][..], &keyed].concat();
        assert_eq!(keep_until_restart(&running, &mut wanted), expected);
        assert_eq!(wanted, allowed);
        wanted.query.mask_identifiers = vec![crate::query::fingerprint::Mask::new("tenant_*").unwrap()];
        assert_eq!(keep_until_restart(&running, &mut wanted), ["query.mask_identifiers"]);
        assert_eq!(wanted, allowed);

        let app = |url: &str| {
            Config::parse("a", format!("server.upstream = {url:?}").as_bytes(), None).unwrap().server.upstream
        };
        wanted.server.upstream = app("http://127.0.0.1:4000");
        assert_eq!(keep_until_restart(&running, &mut wanted), Vec::<&str>::new(), "another address is taken up");
        wanted.server.upstream = app("https://127.0.0.1:4000");
        assert_eq!(keep_until_restart(&running, &mut wanted), ["server.upstream"], "another protocol is not");

        let running = Config { server: crate::server::Settings { tls: tls(&[], "old"), ..running.server }, ..running };
        let address = "127.0.0.1:1".parse().unwrap();
        let mut wanted = running.clone();
        wanted.server.tls = tls(&[address], "new");
        assert_eq!(keep_until_restart(&running, &mut wanted), ["server.tls.listen"]);
        assert_eq!(wanted.server.tls, tls(&[], "new"), "the certificate is taken up");
    }

    #[test]
    fn an_open_admin_port_keeps_its_token_until_it_is_closed() {
        let token = |text: &str| crate::admin::Token::parse(text.as_bytes());
        let mut running = Config::default();
        running.admin.token_file = Some("old".into());
        running.admin.token = token("old-old-old-old-old");
        let mut wanted = running.clone();
        wanted.admin.token_file = Some("new".into());
        wanted.admin.token = token("new-new-new-new-new");
        wanted.admin.hosts = vec!["pacecar.internal".into()];
        let allowed = wanted.clone();
        assert_eq!(keep_until_restart(&running, &mut wanted), Vec::<&str>::new());
        assert_eq!(wanted, allowed, "another token is taken up");
        wanted.admin.probe_listen = Some(([0, 0, 0, 0], 9091).into());
        assert_eq!(keep_until_restart(&running, &mut wanted), ["admin.probe_listen"]);

        let mut wanted = Config::default();
        assert_eq!(keep_until_restart(&running, &mut wanted), Vec::<&str>::new());
        assert_eq!(wanted.admin.token, None, "this machine alone reaches the port");
        running.admin.listen = ([0, 0, 0, 0], 9090).into();
        assert_eq!(keep_until_restart(&running, &mut wanted), ["admin.listen", "admin.token_file"]);
        assert_eq!(wanted.admin, running.admin);
    }

    #[test]
    fn a_look_sees_contents() {
        let dir = tempfile::tempdir().unwrap();
        let (source, config) = (Source::Named(dir.path().join("proxy.toml")), Config::default());
        let look = || Look::at(&source, &config);
        let absent = look();
        fs::write(dir.path().join("proxy.toml"), "a").unwrap();
        let first = look();
        assert_ne!(absent, first);
        assert_eq!(first, look());
        fs::write(dir.path().join("proxy.toml"), "b").unwrap();
        assert_ne!(first, look());

        let mut config = Config::default();
        config.admin.token_file = Some(dir.path().join("token"));
        let without = Look::at(&source, &config);
        fs::write(dir.path().join("token"), "0123456789abcdef").unwrap();
        assert_ne!(without, Look::at(&source, &config));
    }

    #[test]
    fn a_look_follows_an_exchanged_link() {
        let dir = tempfile::tempdir().unwrap();
        for (generation, text) in [("1", "a"), ("2", "b")] {
            fs::create_dir(dir.path().join(generation)).unwrap();
            fs::write(dir.path().join(generation).join("proxy.toml"), text).unwrap();
        }
        let link = |to: &str| std::os::unix::fs::symlink(to, dir.path().join("new")).unwrap();
        let exchange = || fs::rename(dir.path().join("new"), dir.path().join("data")).unwrap();
        let (source, config) = (Source::Named(dir.path().join("data/proxy.toml")), Config::default());
        link("1");
        exchange();
        let first = Look::at(&source, &config);
        link("2");
        exchange();
        assert_ne!(first, Look::at(&source, &config));
    }
}
