//! What the sidecar saved, and what it cost: `ledger` of `GET /performance/dashboard`.
//!
//! Every figure is counted, or reckoned by the arithmetic that stands beside it; where there is none, there is no figure.
//! Since the start, that is requests and bytes; time is only reckoned for the window, since it depends on how long the app
//! takes.

use serde::Serialize;
use utoipa::ToSchema;

use super::profile::WindowView;
use crate::{
    cache::{self, Outcome},
    compress, profile,
};

/// What the sidecar saved, and what it cost.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ledger {
    since_start: SinceStart,
    window: InWindow,
}

/// Since the start of the process.
#[derive(Debug, Serialize, ToSchema)]
struct SinceStart {
    saved: Saved,
    cost: Cost,
}

/// What was saved since the start.
#[derive(Debug, Serialize, ToSchema)]
struct Saved {
    /// Requests that the app was not asked: those answered without it, less those that it was asked in the background.
    upstream_requests: i64,
    /// Requests answered without one to the app: fresh and stale from the store, and from another request's fetch. Those
    /// that were answered in place of an app that failed are among them.
    answered_without_upstream: u64,
    /// Answers from the store that the app confirmed, so that it was spared their bodies.
    confirmed_answers: u64,
    /// Body bytes that clients were not sent, since bodies were coded here; negative where coding made them longer.
    client_bytes: i64,
}

/// What that took since the start.
#[derive(Debug, Serialize, ToSchema)]
struct Cost {
    /// Requests to the app that no client waited for: to refresh what is stored, and to compare it.
    background_requests: u64,
    /// Seconds of CPU time that encoders took; a part of `cpu_seconds`.
    coding_cpu_seconds: f64,
    /// Seconds of CPU time that the process took; `null` where the kernel does not tell.
    cpu_seconds: Option<f64>,
}

/// In the window of the dashboard.
#[derive(Debug, Serialize, ToSchema)]
struct InWindow {
    #[serde(flatten)]
    window: WindowView,
    saved: SavedInWindow,
    cost: CostInWindow,
    /// Seconds of `saved` less those of `cost`: how much longer clients would have waited, all together.
    net_seconds: f64,
}

/// What was saved in the window.
#[derive(Debug, Serialize, ToSchema)]
struct SavedInWindow {
    /// Requests answered without one to the app. What it was asked in the background is not subtracted.
    upstream_requests: u64,
    /// Seconds that the app would have taken for them until its response heads: for each endpoint, these requests times what
    /// the app took on average for others of it in the window. An endpoint for which it was asked nothing counts nothing.
    upstream_seconds: f64,
    /// Body bytes of their answers as they were sent. Where they were coded here, the app was spared more.
    upstream_bytes: u64,
}

/// What requests waited for here, in the window.
#[derive(Debug, Serialize, ToSchema)]
struct CostInWindow {
    /// Seconds that requests waited for a turn at the app, where `server.upstream_concurrency` lets no more in.
    queue_seconds: f64,
    /// Seconds until there was a connection to the app.
    connect_seconds: f64,
    /// Seconds that coding took while clients waited.
    coding_seconds: f64,
}

impl Ledger {
    /// Reckoned from these. `cpu_seconds` is what the process took since the start.
    pub(super) fn of(
        profile: &profile::Snapshot,
        cache: &cache::Snapshot,
        compression: &compress::stats::Snapshot,
        cpu_seconds: Option<f64>,
    ) -> Self {
        Self { since_start: SinceStart::of(cache, compression, cpu_seconds), window: InWindow::of(profile) }
    }
}

impl SinceStart {
    fn of(cache: &cache::Snapshot, compression: &compress::stats::Snapshot, cpu_seconds: Option<f64>) -> Self {
        let without = [Outcome::Hit, Outcome::Stale, Outcome::Collapsed];
        let answered_without_upstream = without.iter().map(|outcome| cache.total.outcome(*outcome)).sum::<u64>();
        let saved = Saved {
            upstream_requests: answered_without_upstream.wrapping_sub(cache.background).cast_signed(),
            answered_without_upstream,
            confirmed_answers: cache.total.outcome(Outcome::Revalidated),
            client_bytes: compression.sent().bytes_saved(),
        };
        let cost = Cost {
            background_requests: cache.background,
            coding_cpu_seconds: to_micros(compression.cpu_seconds()),
            cpu_seconds,
        };
        Self { saved, cost }
    }
}

impl InWindow {
    fn of(snapshot: &profile::Snapshot) -> Self {
        let figures = || snapshot.endpoints.iter().map(|endpoint| &endpoint.figures);
        let spared: f64 = figures().map(|figures| figures.spared_time().as_secs_f64()).sum();
        let sum = |of: fn(&profile::Counts) -> std::time::Duration| -> f64 {
            figures().map(|figures| of(&figures.counts).as_secs_f64()).sum()
        };
        let (queue, connect, coding) =
            (sum(profile::Counts::queue), sum(profile::Counts::connect), sum(profile::Counts::coding));
        Self {
            window: WindowView::of(snapshot),
            saved: SavedInWindow {
                upstream_requests: figures().map(|figures| figures.counts.spared).sum(),
                upstream_seconds: to_micros(spared),
                upstream_bytes: figures().map(|figures| figures.counts.spared_bytes).sum(),
            },
            cost: CostInWindow {
                queue_seconds: to_micros(queue),
                connect_seconds: to_micros(connect),
                coding_seconds: to_micros(coding),
            },
            net_seconds: to_micros(spared - queue - connect - coding),
        }
    }
}

/// Seconds to the microsecond: what is beyond is noise.
fn to_micros(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant, SystemTime};

    use serde_json::json;

    use super::*;
    use crate::{
        admin::fixture::{empty_state, used_state},
        profile::{Asked, CacheUse, Profiler, Sample, Settings, Window},
        state::State,
    };

    fn ledger(state: &State) -> serde_json::Value {
        let now = tokio::time::Instant::now().into_std();
        let profile = state.profiler.snapshot(Window::Hour, now);
        let ledger = Ledger::of(&profile, &state.cache.snapshot(), &state.compression.stats.snapshot(), Some(1.5));
        serde_json::to_value(ledger).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_happened_nothing_was_saved() {
        let expected = json!({
            "since_start": {
                "saved": {
                    "upstream_requests": 0, "answered_without_upstream": 0, "confirmed_answers": 0, "client_bytes": 0,
                },
                "cost": { "background_requests": 0, "coding_cpu_seconds": 0.0, "cpu_seconds": 1.5 },
            },
            "window": {
                "window": "1h", "lasts_seconds": 100.0,
                "saved": { "upstream_requests": 0, "upstream_seconds": 0.0, "upstream_bytes": 0 },
                "cost": { "queue_seconds": 0.0, "connect_seconds": 0.0, "coding_seconds": 0.0 },
                "net_seconds": 0.0,
            },
        });
        assert_eq!(ledger(&empty_state()), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn what_happened_is_reckoned_as_it_says() {
        // See the fixture for what happened: the app took 30 and 700 ms for /users/{id}, and once was not asked.
        let state = used_state();
        (0..5).for_each(|_| state.cache.stats.background.add());
        let expected = json!({
            "since_start": {
                "saved": {
                    "upstream_requests": -1, "answered_without_upstream": 4, "confirmed_answers": 0,
                    "client_bytes": 4500,
                },
                "cost": { "background_requests": 5, "coding_cpu_seconds": 0.009, "cpu_seconds": 1.5 },
            },
            "window": {
                "window": "1h", "lasts_seconds": 100.0,
                "saved": { "upstream_requests": 1, "upstream_seconds": 0.365, "upstream_bytes": 1000 },
                "cost": { "queue_seconds": 0.0, "connect_seconds": 0.003, "coding_seconds": 0.0 },
                "net_seconds": 0.362,
            },
        });
        assert_eq!(ledger(&state), expected);
    }

    #[test]
    fn each_endpoint_is_reckoned_by_its_own_time() {
        let now = Instant::now();
        let profiler = Profiler::new(Settings::default(), now, SystemTime::now());
        let millis = Duration::from_millis;
        let asked = |path: &str, queue, first_byte| {
            let asked = Asked { queue: millis(queue), first_byte: millis(first_byte), ..Asked::default() };
            Sample { upstream: Some(asked), compression: millis(2), ..Sample::of(path, millis(queue + first_byte)) }
        };
        let hit = |path: &str| Sample { cache: CacheUse::Hit, bytes: 10, ..Sample::of(path, millis(1)) };
        for sample in [asked("/slow", 0, 900), asked("/quick", 1, 10), asked("/quick", 3, 30)] {
            profiler.record(sample);
        }
        // Nobody knows how long the app would take for what it was never asked for.
        ["/slow", "/quick", "/quick", "/never", "/never"].iter().for_each(|path| profiler.record(hit(path)));
        let window = InWindow::of(&profiler.snapshot(Window::Hour, now));
        let SavedInWindow { upstream_requests, upstream_seconds, upstream_bytes } = window.saved;
        assert_eq!((upstream_requests, upstream_seconds, upstream_bytes), (5, 0.94, 50));
        assert_eq!((window.cost.queue_seconds, window.cost.coding_seconds), (0.004, 0.006));
        assert_eq!(window.net_seconds, 0.93);
    }
}
