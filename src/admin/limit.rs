//! How many requests a minute one client may send, by policy.
//!
//! Each policy is a bucket per client that holds a minute's requests and fills evenly: the generic cell rate algorithm,
//! of the crate `governor`. Answers say where a client stands in the fields of the draft ratelimit-headers.

use std::{collections::HashMap, net::IpAddr, num::NonZeroU32, time::Duration};

use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::StateInformationMiddleware,
    nanos::Nanos,
    state::{StateStore, keyed::ShrinkableKeyedStateStore},
};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::problem::{Kind, Problem};

/// Clients that each policy tells apart. Those beyond share one count: a table that grows with every address would be a
/// way to take the memory, and one that forgets would be a way around the limit.
const MOST_CLIENTS: usize = 10_000;

const WINDOW: Duration = Duration::from_secs(60);

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// How many requests a minute one client may send. Endpoints with one policy share its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// The name that answers and metrics call it by.
    pub(super) policy: &'static str,
    pub(super) per_minute: u32,
}

impl Limit {
    fn quota(&self) -> Quota {
        Quota::per_minute(NonZeroU32::new(self.per_minute).unwrap_or(NonZeroU32::MIN))
    }
}

/// Counts the requests of every client under every policy.
#[derive(Debug)]
pub(super) struct Limiter(Vec<(Limit, Buckets)>);

type Buckets = RateLimiter<Client, Clients, Ticks, StateInformationMiddleware>;

impl Limiter {
    /// Several limits with one policy are one.
    pub(super) fn new(limits: impl IntoIterator<Item = Limit>) -> Self {
        let mut buckets: Vec<(Limit, Buckets)> = vec![];
        for limit in limits {
            if buckets.iter().all(|(known, _)| known.policy != limit.policy) {
                let clients = Clients::default();
                buckets.push((limit, RateLimiter::new(limit.quota(), clients, Ticks::default())));
            }
        }
        Self(buckets)
    }

    /// Counts one request. An error is what its client has left as well, which is nothing.
    pub(super) fn take(&self, limit: Limit, client: IpAddr) -> Result<Allowance, Allowance> {
        let interval = WINDOW / limit.per_minute.max(1);
        let Some((_, buckets)) = self.0.iter().find(|(known, _)| known.policy == limit.policy) else {
            // Unknown to the one table that all limits come from; what is not counted must not be without limit.
            return Err(Allowance { limit, remaining: 0, more_in: WINDOW });
        };
        if buckets.len() >= MOST_CLIENTS {
            buckets.retain_recent();
        }
        match buckets.check_key(&Client::of(client)) {
            Ok(left) => Ok(Allowance { limit, remaining: left.remaining_burst_capacity(), more_in: interval }),
            Err(until) => {
                let more_in = until.wait_time_from(buckets.clock().now());
                Err(Allowance { limit, remaining: 0, more_in })
            }
        }
    }
}

/// What a client has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    limit: Limit,
    remaining: u32,
    /// After this there is one more, at the latest.
    more_in: Duration,
}

impl Allowance {
    pub(super) fn policy(&self) -> &'static str {
        self.limit.policy
    }

    /// Draft ratelimit-headers: the quota and its window in seconds; what remains, and the seconds until there is more.
    pub(super) fn fields(&self) -> [(HeaderName, HeaderValue); 2] {
        let Limit { policy, per_minute } = self.limit;
        let (window, remaining, seconds) = (WINDOW.as_secs(), self.remaining, self.seconds());
        let field =
            |text: String| HeaderValue::try_from(text).expect("names of policies and numbers are visible ASCII");
        [
            (RATELIMIT_POLICY, field(format!("\"{policy}\";q={per_minute};w={window}"))),
            (RATELIMIT, field(format!("\"{policy}\";r={remaining};t={seconds}"))),
        ]
    }

    /// The answer to a request too many. `Retry-After` names the moment that `t` does.
    pub(super) fn refusal(&self, uri: &Uri) -> Problem {
        let (Limit { policy, per_minute }, seconds) = (self.limit, self.seconds());
        let plural = if seconds == 1 { "" } else { "s" };
        let detail = format!("{per_minute} requests a minute: expected the next one in {seconds} second{plural}");
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, uri, detail).kind(Kind::QuotaExceeded { policy });
        self.fields()
            .into_iter()
            .fold(problem.retry_after(seconds), |problem, (name, value)| problem.field(name, value))
    }

    /// Whole ones, rounded up: a second too early would be refused again. RFC 9110 §10.2.3 has no fractions.
    fn seconds(&self) -> u32 {
        let seconds = self.more_in.as_nanos().div_ceil(1_000_000_000).max(1);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }
}

/// Whom requests are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    V4([u8; 4]),
    /// The network of 64 bits, all of whose addresses one machine may have (RFC 7421 §2).
    V6([u8; 8]),
    /// All for whom there was no room.
    Others,
}

impl Client {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [network @ .., _, _, _, _, _, _, _, _] = address.octets();
                Self::V6(network)
            }
        }
    }
}

/// When the bucket of each client will be full again, as the algorithm reckons it.
#[derive(Debug, Default)]
struct Clients(Mutex<HashMap<Client, Nanos>>);

impl StateStore for Clients {
    type Key = Client;

    fn measure_and_replace<T, F, E>(&self, client: &Client, judge: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut clients = self.0.lock();
        let room = clients.len() < MOST_CLIENTS || clients.contains_key(client);
        let client = if room { *client } else { Client::Others };
        let (judged, full) = judge(clients.get(&client).copied())?;
        clients.insert(client, full);
        Ok(judged)
    }
}

impl ShrinkableKeyedStateStore<Client> for Clients {
    /// Forgets whose bucket is full: they are like those that were never here.
    fn retain_recent(&self, drop_below: Nanos) {
        self.0.lock().retain(|_, full| *full > drop_below);
    }

    fn len(&self) -> usize {
        self.0.lock().len()
    }

    fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

/// The clock of the runtime, which a test may stop and move on.
#[derive(Debug)]
struct Ticks(Instant);

impl Default for Ticks {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use tokio::time::advance;

    use super::*;

    const LIMIT: Limit = Limit { policy: "test", per_minute: 10 };

    fn limiter() -> Limiter {
        Limiter::new([LIMIT])
    }

    fn client(n: u32) -> IpAddr {
        Ipv4Addr::from(n).into()
    }

    fn fields(allowance: Allowance) -> String {
        let [(_, policy), (_, state)] = allowance.fields();
        format!("{} {}", policy.to_str().unwrap(), state.to_str().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_minute_of_requests_at_once_and_then_one_at_a_time() {
        let limiter = limiter();
        for left in (0..10).rev() {
            let allowance = limiter.take(LIMIT, client(1)).unwrap();
            assert_eq!(fields(allowance), format!("\"test\";q=10;w=60 \"test\";r={left};t=6"));
        }
        let refused = limiter.take(LIMIT, client(1)).unwrap_err();
        assert_eq!(fields(refused), "\"test\";q=10;w=60 \"test\";r=0;t=6");
        advance(Duration::from_millis(5500)).await;
        // Half a second is left, and a field has whole ones only.
        assert_eq!(fields(limiter.take(LIMIT, client(1)).unwrap_err()), "\"test\";q=10;w=60 \"test\";r=0;t=1");
        advance(Duration::from_millis(500)).await;
        limiter.take(LIMIT, client(1)).unwrap();
        limiter.take(LIMIT, client(1)).unwrap_err();
        advance(Duration::from_secs(60)).await;
        assert_eq!(limiter.take(LIMIT, client(1)).unwrap().remaining, 9);
    }

    #[tokio::test(start_paused = true)]
    async fn clients_and_policies_do_not_count_for_each_other() {
        let other = Limit { policy: "other", per_minute: 1 };
        let limiter = Limiter::new([LIMIT, other, other]);
        limiter.take(other, client(1)).unwrap();
        limiter.take(other, client(1)).unwrap_err();
        limiter.take(other, client(2)).unwrap();
        assert_eq!(limiter.take(LIMIT, client(1)).unwrap().remaining, 9);
        limiter.take(Limit { policy: "unknown", ..other }, client(1)).expect_err("unlimited");
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network() {
        let of = |text: &str| Client::of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2:ffff::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"), "an IPv4 client of an IPv6 socket");
        assert_ne!(of("::1"), Client::of(Ipv6Addr::from(1 << 64).into()));
    }

    #[tokio::test(start_paused = true)]
    async fn newcomers_of_a_full_table_share_one_count_until_the_idle_have_left() {
        let limiter = limiter();
        let most = u32::try_from(MOST_CLIENTS).unwrap();
        for n in 0..most {
            limiter.take(LIMIT, client(n)).unwrap();
        }
        for n in 0..10 {
            limiter.take(LIMIT, client(most + n)).unwrap();
        }
        limiter.take(LIMIT, client(most + 10)).expect_err("one more client would be without limit");
        assert_eq!(limiter.take(LIMIT, client(0)).unwrap().remaining, 8, "who is known has a count of its own");
        assert_eq!(limiter.0[0].1.len(), MOST_CLIENTS + 1);
        advance(WINDOW * 2).await;
        assert_eq!(limiter.take(LIMIT, client(most + 10)).unwrap().remaining, 9);
        assert_eq!(limiter.0[0].1.len(), 1);
    }
}
