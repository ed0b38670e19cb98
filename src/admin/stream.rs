//! The dashboard's figures once a second, as server-sent events: `GET /performance/stream`.
//!
//! The seconds are the same for every stream, and the first that asks in a second reckons for all of them. So the
//! figures cost nothing while nobody listens, and a client that is slow is given the newest when it is ready, and no
//! backlog.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::State,
    http::{StatusCode, Uri},
    response::{Sse, sse::Event},
};
use futures_util::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use tokio::{
    sync::OnceCell,
    time::{Instant, sleep_until},
};

use super::{
    api::{Shared, apart, parameters},
    dashboard::Dashboard,
    problem::Problem,
};
use crate::{state, traffic::Gauge};

/// Streams at once: some windows of some people, and few enough to leave connections for everybody else.
const MOST_STREAMS: u64 = 32;
/// From one event to the next.
const PERIOD: Duration = Duration::from_secs(1);
/// When a client that lost its stream comes back.
const RETRY: Duration = Duration::from_secs(2);
/// Seconds after which a client that found no place may do better.
const PLACE_RETRY: u32 = 10;

/// What all streams share.
#[derive(Debug)]
pub(super) struct Streams {
    open: Arc<Gauge>,
    since: Instant,
    current: Mutex<(u64, Arc<OnceCell<String>>)>,
}

impl Streams {
    pub(super) fn new() -> Self {
        Self { open: Arc::default(), since: Instant::now(), current: Mutex::default() }
    }

    /// The number of the current second, and what stands there for its figures.
    fn second(&self) -> (u64, Arc<OnceCell<String>>) {
        let number = 1 + self.since.elapsed().as_secs();
        let mut current = self.current.lock();
        if current.0 < number {
            *current = (number, Arc::default());
        }
        current.clone()
    }

    /// Waits until the second after this one.
    async fn after(&self, number: u64) {
        sleep_until(self.since + PERIOD * u32::try_from(number).unwrap_or(u32::MAX)).await;
    }

    /// The figures of the current second with its number, reckoned by whoever asks first.
    async fn figures(&self, state: &Arc<state::State>) -> (u64, String) {
        let (number, figures) = self.second();
        let reckon = || {
            let state = state.clone();
            apart(move || serde_json::to_string(&Dashboard::of(&state)).unwrap_or_default())
        };
        (number, figures.get_or_init(reckon).await.clone())
    }
}

/// Events until the sidecar drains.
pub(super) async fn stream(
    State(state): Shared,
    Extension(streams): Extension<Arc<Streams>>,
    uri: Uri,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    parameters(&uri, &[])?;
    let none = |detail| Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, &uri, detail).retry_after(PLACE_RETRY));
    if state.draining.begun() {
        return none("the sidecar is stopping");
    }
    let Some(place) = streams.open.enter_below(MOST_STREAMS) else {
        return none("as many streams as there may be are open: expected at most 32");
    };
    let draining = state.clone();
    let events = stream::unfold((0, place), move |(last, place)| {
        let (state, streams) = (state.clone(), streams.clone());
        async move {
            streams.after(last).await;
            let (number, figures) = streams.figures(&state).await;
            let event = Event::default().event("figures").id(number.to_string()).retry(RETRY).data(figures);
            Some((Ok(event), (number, place)))
        }
    });
    Ok(Sse::new(events.take_until(async move { draining.draining.until_begun().await })))
}
