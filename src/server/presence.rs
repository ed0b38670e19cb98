//! Whether the app can be reached, said in the log once when that changes.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::traffic::UpstreamFailure;

/// An app that comes and goes faster than this is written of no more often.
const QUIET: Duration = Duration::from_secs(1);

/// What was last said about the app.
#[derive(Debug)]
pub(super) struct Presence {
    upstream: String,
    /// Whether it was said to be away: what each request looks at.
    away: AtomicBool,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    why: Option<UpstreamFailure>,
    at: Option<Instant>,
}

impl Presence {
    pub(super) fn new(upstream: String) -> Self {
        Self { upstream, away: AtomicBool::new(false), said: Mutex::default() }
    }

    /// No connection could be made, for this reason.
    pub(super) fn away(&self, why: UpstreamFailure, error: &str) {
        if self.is_news(why, Instant::now()) {
            let (upstream, reason, status) = (&self.upstream, why.name(), why.status());
            tracing::warn!(upstream, reason, error, "the app cannot be reached; requests get {status} until it can");
        }
    }

    /// The app has taken a connection.
    pub(super) fn here(&self) {
        if self.away.load(Relaxed) && self.is_back() {
            tracing::info!(upstream = self.upstream, "the app can be reached");
        }
    }

    /// Another reason is news as well: an app that is started with the wrong certificate is no longer just away.
    fn is_news(&self, why: UpstreamFailure, now: Instant) -> bool {
        let mut said = self.said.lock();
        let quiet = said.at.is_some_and(|at| now.saturating_duration_since(at) < QUIET);
        if quiet || said.why == Some(why) {
            return false;
        }
        *said = Said { why: Some(why), at: Some(now) };
        self.away.store(true, Relaxed);
        true
    }

    fn is_back(&self) -> bool {
        self.said.lock().why.take().is_some() && self.away.swap(false, Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use UpstreamFailure::{Connect, Tls};

    #[test]
    fn each_change_is_said_once() {
        let presence = Presence::new("http://app:80".into());
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        assert!(presence.is_news(Connect, at(0)));
        assert!(!presence.is_news(Connect, at(5)), "it is still away");
        assert!(presence.is_news(Tls, at(6)), "for another reason");
        assert!(presence.is_back());
        assert!(!presence.is_back());
        assert!(presence.is_news(Connect, at(10)));
    }

    #[test]
    fn an_app_that_comes_and_goes_fills_no_log() {
        let presence = Presence::new("http://app:80".into());
        let now = Instant::now();
        assert!(presence.is_news(Connect, now) && presence.is_back());
        assert!(!presence.is_news(Connect, now), "a moment ago it was said");
        assert!(!presence.is_back(), "what was not said is not taken back");
        assert!(presence.is_news(Connect, now + QUIET));
    }
}
