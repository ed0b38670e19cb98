//! What is wrong between values, each of which would do by itself, and with the files that they name.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use super::file::{self, File, List, MaxBytes};
use super::problem::{Fault, Given, Problem};
use super::{Config, address, memory};
use crate::{
    admin::Token,
    server::{self, Upstream},
    task, units,
};

/// A longer file is no certificate chain and no key.
const LONGEST_PEM: u64 = 1 << 20;

const CERTIFICATE: [&str; 1] = ["-----BEGIN CERTIFICATE-----"];

/// Private keys without a passphrase: PKCS #8, PKCS #1 and SEC 1.
const PRIVATE_KEY: [&str; 3] =
    ["-----BEGIN PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN EC PRIVATE KEY-----"];

/// Every contradiction in `file`. `config` is what it comes to with the defaults filled in, as far as that is known.
pub(super) fn all(file: &File, config: Option<&Config>) -> Vec<Problem> {
    let mut problems = vec![];
    empty_lists(&file.server, &mut problems);
    listeners(file, config, &mut problems);
    problems.extend(open_admin_port(&file.admin));
    server_limits(&file.server, config.map(|config| &config.server), &mut problems);
    problems.extend(object_limit(&file.cache, config.is_some()));
    problems.extend(file.server.upstream_ca.as_ref().and_then(|ca| pem(ca, &CERTIFICATE, "certificate")));
    problems.extend(file.server.tls.cert.as_ref().and_then(|cert| pem(cert, &CERTIFICATE, "certificate")));
    problems.extend(file.server.tls.key.as_ref().and_then(|key| pem(key, &PRIVATE_KEY, "private key")));
    problems.extend(file.compression.contradictions());
    routes(&file.routes, &mut problems);
    problems.extend(config.and_then(|config| result_retention(&file.tasks, &config.tasks)));
    problems
}

/// An address to listen on, and how it was given unless it is a default.
struct Listener {
    key: &'static str,
    address: SocketAddr,
    given: Option<Given<()>>,
}

fn empty_lists(server: &file::Server, problems: &mut Vec<Problem>) {
    let empty = |list: &&List<Vec<SocketAddr>>| list.value.is_empty();
    // Without plain HTTP there may still be TLS.
    let plain = server.listen.as_ref().filter(empty).filter(|_| !server.tls.there);
    let tls = server.tls.listen.as_ref().filter(empty);
    problems.extend(plain.into_iter().chain(tls).map(|list| list.problem(Fault::NoListener)));
}

fn listeners(file: &File, config: Option<&Config>, problems: &mut Vec<Problem>) {
    let listeners = all_listeners(file, config);
    for (i, listener) in listeners.iter().enumerate() {
        let other = listeners[..i].iter().find(|other| address::overlap(other.address, listener.address));
        problems.extend(other.and_then(|other| taken(listener, other)));
    }
    let given = file.server.upstream.as_ref();
    let Some(upstream) = given.map(|given| &given.value).or(config.map(|config| &config.server.upstream)) else {
        return;
    };
    let own = listeners.iter().find_map(|listener| Some((listener, own(listener, upstream)?)));
    problems.extend(own.and_then(|(listener, address)| match given {
        Some(given) => Some(given.problem(Fault::Loop { key: listener.key })),
        None => Some(listener.given.as_ref()?.problem(Fault::TakenAddress { address, key: "server.upstream" })),
    }));
}

fn all_listeners(file: &File, config: Option<&Config>) -> Vec<Listener> {
    let of_list = |key, list: &List<Vec<SocketAddr>>| {
        let of_item = |item: &Given<Vec<SocketAddr>>| {
            let given = Some(item.clone().with(()));
            item.value
                .iter()
                .map(|address| Listener { key, address: *address, given: given.clone() })
                .collect::<Vec<_>>()
        };
        list.value.iter().flat_map(of_item).collect::<Vec<_>>()
    };
    let default = |key, address| Listener { key, address, given: None };
    let mut listeners = match (&file.server.listen, config) {
        (Some(list), _) => of_list("server.listen", list),
        (None, Some(config)) => config.server.listen.iter().map(|address| default("server.listen", *address)).collect(),
        (None, None) => vec![],
    };
    listeners.extend(file.server.tls.listen.iter().flat_map(|list| of_list("server.tls.listen", list)));
    let one =
        |key, given: &Given<SocketAddr>| Listener { given: Some(given.clone().with(())), ..default(key, given.value) };
    listeners.extend(match (&file.admin.listen, config) {
        (Some(admin), _) => Some(one("admin.listen", admin)),
        (None, config) => config.map(|config| default("admin.listen", config.admin.listen)),
    });
    listeners.extend(file.admin.probe_listen.as_ref().map(|probes| one("admin.probe_listen", probes)));
    listeners
}

/// That two listeners want one port, said where one of them was given.
fn taken(listener: &Listener, other: &Listener) -> Option<Problem> {
    let (given, other) = match (&listener.given, &other.given) {
        (Some(given), _) => (given, other),
        (None, Some(given)) => (given, listener),
        (None, None) => return None,
    };
    Some(given.problem(Fault::TakenAddress { address: other.address, key: other.key }))
}

/// The app's address, if it is the listener's: Pacecar would ask itself, and itself again.
fn own(listener: &Listener, upstream: &Upstream) -> Option<SocketAddr> {
    let Upstream::Host { host, port, .. } = upstream else { return None };
    let ips = match host.as_str() {
        "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        host => host.parse::<IpAddr>().into_iter().collect(),
    };
    // An unspecified listener has every address of this machine, of which only the loopback ones are known here.
    let local = |ip: &IpAddr| *ip == listener.address.ip() || ip.is_loopback() || ip.is_unspecified();
    let addresses = ips.into_iter().filter(local).map(|ip| SocketAddr::new(ip, *port));
    addresses.into_iter().find(|address| address::overlap(*address, listener.address))
}

/// That others than this machine can reach the admin port, and need no token. By default they cannot reach it.
fn open_admin_port(admin: &file::Admin) -> Option<Problem> {
    let open = admin.listen.as_ref().filter(|listen| !listen.value.ip().is_loopback() && admin.token_file.is_none());
    open.map(|listen| listen.problem(Fault::NoToken))
}

/// The token in this file. No problem with it shows what it holds.
pub(super) fn token(path: &Given<PathBuf>) -> Result<Token, Problem> {
    let content = read(&path.value).map_err(|error| path.problem(Fault::Unreadable(error.to_string())))?;
    Token::parse(content.as_bytes()).ok_or_else(|| path.problem(Fault::Token))
}

fn server_limits(file: &file::Server, config: Option<&server::Settings>, problems: &mut Vec<Problem>) {
    let connections = file.max_connections.as_ref().map(|given| given.value);
    if let (Some(per_ip), Some(most)) =
        (&file.max_connections_per_ip, connections.or(config.map(|config| config.max_connections)))
    {
        let fault = Fault::Above { key: "server.max_connections", limit: most.to_string() };
        problems.extend((per_ip.value > most).then(|| per_ip.problem(fault)));
    }
    let head = file.max_header_bytes.as_ref().map(|given| given.value);
    if let (Some(target), Some(most)) =
        (&file.max_target_bytes, head.or(config.map(|config| config.limits.max_header_bytes as u64)))
    {
        let fault = Fault::Above { key: "server.max_header_bytes", limit: units::show_size(most) };
        problems.extend((target.value > most).then(|| target.problem(fault)));
    }
}

fn object_limit(file: &file::Cache, complete: bool) -> Option<Problem> {
    let object = file.max_object_bytes.as_ref()?;
    let (most, limit) = match file.max_bytes.as_ref().map(|given| given.value) {
        Some(MaxBytes::Bytes(bytes)) => (bytes, units::show_size(bytes)),
        // What "auto" comes to depends on the machine, and a file is right or wrong on all of them alike.
        None if !complete => return None,
        Some(MaxBytes::Auto) | None => {
            let most = memory::auto_bytes(None);
            (most, format!("\"auto\" and never more than {}", units::show_size(most)))
        }
    };
    (object.value > most).then(|| object.problem(Fault::Above { key: "cache.max_bytes", limit }))
}

/// A result goes with its task, if not before.
fn result_retention(file: &file::Tasks, tasks: &task::Settings) -> Option<Problem> {
    let result = file.result_retention.as_ref().filter(|result| result.value > tasks.retention)?;
    let limit = units::show_duration(tasks.retention);
    Some(result.problem(Fault::Above { key: "tasks.retention", limit }))
}

fn pem(path: &Given<impl AsRef<Path>>, labels: &[&str], content: &'static str) -> Option<Problem> {
    match read(path.value.as_ref()) {
        Err(error) => Some(path.problem(Fault::Unreadable(error.to_string()))),
        Ok(text) if labels.iter().any(|label| text.contains(label)) => None,
        Ok(_) => Some(path.problem(Fault::Pem(content))),
    }
}

fn read(path: &Path) -> io::Result<String> {
    // A pipe or a device could keep us waiting for ever.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut text = vec![];
    fs::File::open(path)?.take(LONGEST_PEM).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn routes(routes: &[file::Route], problems: &mut Vec<Problem>) {
    let mut names = HashMap::new();
    for route in routes {
        let name = route.name();
        match names.get(name.value.as_str()) {
            Some(line) => problems.push(name.problem(Fault::TakenName { line: *line })),
            None => drop(names.insert(name.value.as_str(), route.line)),
        }
        if route.cache.as_ref().is_some_and(|cache| !cache.value) {
            let with = "route.cache = false";
            problems.extend(route.ttl.as_ref().map(|ttl| ttl.problem(Fault::NoEffect { with })));
            let public = route.public.as_ref().filter(|public| public.value);
            problems.extend(public.map(|public| public.problem(Fault::NoEffect { with })));
        }
    }
}
