//! The app's addresses: looked up off the request path, tried in the order in which they last worked.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::Upstream;

/// A name is looked up again after this long.
const LOOKED_UP_FOR: Duration = Duration::from_secs(10);
/// More addresses of one name are not tried.
const MAX_ADDRESSES: usize = 8;

/// The addresses of the app.
#[derive(Debug)]
pub(super) struct Addresses {
    upstream: Upstream,
    known: ArcSwap<Vec<SocketAddr>>,
    /// Which of them worked last.
    preferred: AtomicUsize,
    /// When a name is to be looked up again; `None` for an address, which never is.
    next_look: Option<Mutex<Instant>>,
}

impl Addresses {
    pub(super) fn new(upstream: Upstream) -> Self {
        let literal = match upstream.host.parse::<IpAddr>() {
            Ok(address) => Some(vec![address]),
            // What listens on "localhost" may do so on either of its two addresses, whatever the hosts file says.
            Err(_) if upstream.host == "localhost" => {
                Some(vec![[127, 0, 0, 1].into(), std::net::Ipv6Addr::LOCALHOST.into()])
            }
            Err(_) => None,
        };
        let next_look = literal.is_none().then(|| Mutex::new(Instant::now()));
        let known = literal.unwrap_or_default().into_iter().map(|ip| SocketAddr::new(ip, upstream.port)).collect();
        Self { upstream, known: ArcSwap::from_pointee(known), preferred: AtomicUsize::new(0), next_look }
    }

    /// The addresses to try, the one that worked last first. Waits for a look-up only when none is known.
    pub(super) async fn candidates(self: &Arc<Self>) -> Vec<SocketAddr> {
        if self.is_due(Instant::now()) {
            let look = tokio::spawn(self.clone().look_up());
            if self.known.load().is_empty() {
                // An error here is a look-up that panicked: then nothing is known, which is what the caller sees.
                let _ = look.await;
            }
        }
        let mut known = self.known.load().as_ref().clone();
        if !known.is_empty() {
            let first = self.preferred.load(Relaxed) % known.len();
            known.rotate_left(first);
        }
        known
    }

    /// Whether a look-up is due; says so to one caller only, so that there is one at a time.
    fn is_due(&self, now: Instant) -> bool {
        let Some(next) = &self.next_look else { return false };
        let mut next = next.lock();
        // While nothing is known every caller needs the answer.
        let due = now >= *next || self.known.load().is_empty();
        if due {
            *next = now + LOOKED_UP_FOR;
        }
        due
    }

    async fn look_up(self: Arc<Self>) {
        match tokio::net::lookup_host((self.upstream.host.as_str(), self.upstream.port)).await {
            Ok(found) => {
                let found: Vec<_> = found.take(MAX_ADDRESSES).collect();
                if !found.is_empty() {
                    self.known.store(Arc::new(found));
                }
            }
            Err(error) => tracing::warn!(upstream = %self.upstream, %error, "no address for the upstream's name"),
        }
    }

    /// Remembers an address that took a connection.
    pub(super) fn worked(&self, address: SocketAddr) {
        if let Some(at) = self.known.load().iter().position(|known| *known == address) {
            self.preferred.store(at, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(host: &str) -> Arc<Addresses> {
        Arc::new(Addresses::new(Upstream { host: host.into(), port: 3000 }))
    }

    #[tokio::test]
    async fn localhost_is_both_and_the_one_that_worked_comes_first() {
        let addresses = addresses("localhost");
        let [v4, v6] = ["127.0.0.1:3000", "[::1]:3000"].map(|text| text.parse::<SocketAddr>().unwrap());
        assert_eq!(addresses.candidates().await, [v4, v6]);
        addresses.worked(v6);
        assert_eq!(addresses.candidates().await, [v6, v4]);
    }

    #[tokio::test]
    async fn an_address_is_itself() {
        assert_eq!(addresses("::1").candidates().await, ["[::1]:3000".parse().unwrap()]);
    }

    #[tokio::test]
    async fn a_name_without_address_has_no_candidates() {
        assert_eq!(addresses("nowhere.invalid").candidates().await, []);
    }
}
