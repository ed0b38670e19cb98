//! The app's addresses: looked up off the request path, tried in the order in which they last worked.

use std::{
    net::IpAddr,
    os::unix::net::SocketAddr as UnixAddress,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pingora_core::protocols::l4::socket::SocketAddr;
use tokio::{sync::watch, time::timeout};

use super::Upstream;

/// A name is looked up again after this long.
const LOOKED_UP_FOR: Duration = Duration::from_secs(10);
/// After a look-up that found nothing, so that an app that was just given its name is found soon.
const NOTHING_FOR: Duration = Duration::from_secs(1);
/// More addresses of one name are not tried.
const MAX_ADDRESSES: usize = 8;

/// The addresses of the app.
#[derive(Debug)]
pub(super) struct Addresses {
    known: ArcSwap<Vec<SocketAddr>>,
    /// Which of them worked last.
    preferred: AtomicUsize,
    /// `None` for addresses that never change.
    name: Option<Name>,
}

/// A name whose addresses may change.
#[derive(Debug)]
struct Name {
    host: String,
    port: u16,
    next: Mutex<Next>,
    /// Changes at the end of each look-up.
    ended: watch::Sender<()>,
    failing: AtomicBool,
}

/// When a name is looked up next.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// One is under way; there is one at a time.
    UnderWay,
    At(Instant),
}

impl Addresses {
    pub(super) fn new(upstream: &Upstream) -> Self {
        let (known, name) = match upstream {
            // The path was judged with the settings: it is short enough, and without a NUL.
            Upstream::Unix(path) => {
                (UnixAddress::from_pathname(path).map(SocketAddr::Unix).into_iter().collect(), None)
            }
            Upstream::Host { host, port, .. } => {
                let inet = |ip| SocketAddr::Inet((ip, *port).into());
                match host.parse::<IpAddr>() {
                    Ok(ip) => (vec![inet(ip)], None),
                    // What listens on "localhost" may do so on either of its two addresses, whatever the hosts file says.
                    Err(_) if host == "localhost" => {
                        (vec![inet([127, 0, 0, 1].into()), inet(std::net::Ipv6Addr::LOCALHOST.into())], None)
                    }
                    Err(_) => (vec![], Some(Name::new(host.clone(), *port))),
                }
            }
        };
        Self { known: ArcSwap::from_pointee(known), preferred: AtomicUsize::new(0), name }
    }

    /// The addresses to try, the one that worked last first. Waits for a look-up only when none is known, and then
    /// not longer than `patience`.
    pub(super) async fn candidates(self: &Arc<Self>, patience: Duration) -> Vec<SocketAddr> {
        if let Some(name) = &self.name {
            let mut ended = name.ended.subscribe();
            if name.is_due(Instant::now()) {
                tokio::spawn(self.clone().look_up());
            }
            if self.known.load().is_empty() && name.is_under_way() {
                // Whether it has ended or not, what is known then is what there is to try.
                let _ = timeout(patience, ended.changed()).await;
            }
        }
        let mut known = self.known.load().as_ref().clone();
        if !known.is_empty() {
            let first = self.preferred.load(Relaxed) % known.len();
            known.rotate_left(first);
        }
        known
    }

    async fn look_up(self: Arc<Self>) {
        let Some(name) = &self.name else { return };
        let found = tokio::net::lookup_host((name.host.as_str(), name.port)).await;
        let again = match found.map(|found| found.take(MAX_ADDRESSES).map(SocketAddr::Inet).collect::<Vec<_>>()) {
            Ok(found) if !found.is_empty() => {
                self.known.store(Arc::new(found));
                name.failing.store(false, Relaxed);
                LOOKED_UP_FOR
            }
            failed => {
                // Said once; what was known is tried for as long as nothing better is.
                if !name.failing.swap(true, Relaxed) {
                    let error = failed.err().map(|error| error.to_string());
                    tracing::warn!(host = name.host, error, "no address for the upstream's name");
                }
                NOTHING_FOR
            }
        };
        *name.next.lock() = Next::At(Instant::now() + again);
        name.ended.send_replace(());
    }

    /// Remembers an address that took a connection.
    pub(super) fn worked(&self, address: &SocketAddr) {
        if let Some(at) = self.known.load().iter().position(|known| known == address) {
            self.preferred.store(at, Relaxed);
        }
    }
}

impl Name {
    fn new(host: String, port: u16) -> Self {
        let next = Mutex::new(Next::At(Instant::now()));
        Self { host, port, next, ended: watch::Sender::new(()), failing: AtomicBool::new(false) }
    }

    /// Whether a look-up is due; says so to one caller only.
    fn is_due(&self, now: Instant) -> bool {
        let mut next = self.next.lock();
        let due = matches!(*next, Next::At(at) if now >= at);
        if due {
            *next = Next::UnderWay;
        }
        due
    }

    fn is_under_way(&self) -> bool {
        matches!(*self.next.lock(), Next::UnderWay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Protocol;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn addresses(host: &str) -> Arc<Addresses> {
        let upstream = Upstream::Host { protocol: Protocol::Http, host: host.into(), port: 3000 };
        Arc::new(Addresses::new(&upstream))
    }

    fn inet(text: &str) -> SocketAddr {
        SocketAddr::Inet(text.parse().unwrap())
    }

    #[tokio::test]
    async fn localhost_is_both_and_the_one_that_worked_comes_first() {
        let addresses = addresses("localhost");
        let [v4, v6] = ["127.0.0.1:3000", "[::1]:3000"].map(inet);
        assert_eq!(addresses.candidates(PATIENCE).await, [v4.clone(), v6.clone()]);
        addresses.worked(&v6);
        assert_eq!(addresses.candidates(PATIENCE).await, [v6, v4]);
    }

    #[tokio::test]
    async fn an_address_is_itself() {
        assert_eq!(addresses("::1").candidates(PATIENCE).await, [inet("[::1]:3000")]);
    }

    #[tokio::test]
    async fn a_socket_is_its_path() {
        let addresses = Arc::new(Addresses::new(&Upstream::Unix("/run/app.sock".into())));
        let path = UnixAddress::from_pathname("/run/app.sock").unwrap();
        assert_eq!(addresses.candidates(PATIENCE).await, [SocketAddr::Unix(path)]);
    }

    #[tokio::test]
    async fn a_name_without_address_has_no_candidates_and_is_not_looked_up_for_each_request() {
        let addresses = addresses("nowhere.invalid");
        assert_eq!(addresses.candidates(PATIENCE).await, []);
        let name = addresses.name.as_ref().unwrap();
        assert!(matches!(*name.next.lock(), Next::At(at) if at > Instant::now()));
        assert_eq!(addresses.candidates(PATIENCE).await, []);
    }

    #[tokio::test]
    async fn a_look_up_that_hangs_holds_nobody_for_longer_than_patience() {
        let addresses = addresses("nowhere.invalid");
        *addresses.name.as_ref().unwrap().next.lock() = Next::UnderWay;
        assert_eq!(addresses.candidates(Duration::from_millis(1)).await, []);
    }
}
