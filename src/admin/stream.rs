//! The dashboard's figures once a second, as server-sent events: `GET /performance/stream`.
//!
//! The seconds are the same for every stream, and the first that asks in a second for a window reckons for all of them. So
//! the figures cost nothing while nobody listens, and a client that is slow is given the newest when it is ready, and no
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
    api::{Shared, apart, bad_request, parameters},
    dashboard::Dashboard,
    problem::Problem,
};
use crate::{profile::Window, state, traffic::Gauge};

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
    current: Mutex<Second>,
}

/// The figures of one second, for each window that somebody asks for.
#[derive(Debug, Default)]
struct Second {
    number: u64,
    figures: [Arc<OnceCell<String>>; Window::ALL.len()],
}

impl Streams {
    pub(super) fn new() -> Self {
        Self { open: Arc::default(), since: Instant::now(), current: Mutex::default() }
    }

    /// The number of the current second, and what stands there for its figures in a window.
    fn second(&self, window: Window) -> (u64, Arc<OnceCell<String>>) {
        let number = 1 + self.since.elapsed().as_secs();
        let mut current = self.current.lock();
        if current.number < number {
            *current = Second { number, ..Second::default() };
        }
        (current.number, current.figures[window as usize].clone())
    }

    /// Waits until the second after this one.
    async fn after(&self, number: u64) {
        sleep_until(self.since + PERIOD * u32::try_from(number).unwrap_or(u32::MAX)).await;
    }

    /// The figures of the current second with its number, reckoned by whoever asks first.
    async fn figures(&self, state: &Arc<state::State>, window: Window) -> (u64, String) {
        let (number, figures) = self.second(window);
        let reckon = || {
            let state = state.clone();
            apart(move || serde_json::to_string(&Dashboard::of(&state, window)).unwrap_or_default())
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
    let window = parameters(&uri, &["window"])?.window().map_err(|detail| bad_request(&uri, detail))?;
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
            let (number, figures) = streams.figures(&state, window).await;
            let event = Event::default().event("figures").id(number.to_string()).retry(RETRY).data(figures);
            Some((Ok(event), (number, place)))
        }
    });
    Ok(Sse::new(events.take_until(async move { draining.draining.until_begun().await })))
}

#[cfg(test)]
mod tests {
    use axum::{
        Router,
        body::{Body, BodyDataStream},
        http::Request,
    };
    use hyper::server::conn::http1;
    use hyper_util::{
        rt::{TokioIo, TokioTimer},
        service::TowerToHyperService,
    };
    use serde_json::Value;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
        time::timeout,
    };
    use tower::ServiceExt;

    use super::*;
    use crate::{
        admin::{
            fixture::{Exchange, empty_state, guard},
            patience::Patience,
            router::router,
        },
        cache::Outcome,
        profile::Sample,
    };

    const PATH: &str = "/performance/stream";

    fn request() -> Request<Body> {
        asking(PATH)
    }

    fn asking(path: &str) -> Request<Body> {
        Request::get(path).header("host", "localhost").body(Body::empty()).unwrap()
    }

    /// The events of a new stream.
    async fn events(router: &Router) -> BodyDataStream {
        events_of(router, PATH).await
    }

    async fn events_of(router: &Router, path: &str) -> BodyDataStream {
        let answer = router.clone().oneshot(asking(path)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.into_body().into_data_stream()
    }

    /// The next event: its number and its figures.
    async fn next(events: &mut BodyDataStream) -> Option<(u64, Value)> {
        let event = events.next().await?.unwrap();
        let event = String::from_utf8(event.to_vec()).unwrap();
        let event = event.strip_prefix("event: figures\nid: ").unwrap_or_else(|| panic!("{event}"));
        let (number, data) = event.split_once("\nretry: 2000\ndata: ").unwrap();
        Some((number.parse().unwrap(), serde_json::from_str(data).unwrap()))
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_event_comes_at_once_and_then_one_a_second() {
        let (state, begun) = (empty_state(), Instant::now());
        let mut events = events(&router(state.clone(), guard())).await;
        for second in 0..5 {
            let (number, figures) = next(&mut events).await.unwrap();
            assert_eq!((number, &figures["cache"]["hits"]), (second + 1, &second.into()));
            assert_eq!(begun.elapsed().as_secs(), second);
            state.cache.stats.of_route(None).answered(Outcome::Hit);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn streams_share_what_is_reckoned_and_the_slow_one_gets_the_newest() {
        let state = empty_state();
        let router = router(state.clone(), guard());
        let (mut quick, mut slow) = (events(&router).await, events(&router).await);
        let first = next(&mut quick).await;
        // Were it reckoned anew, this would be in it.
        state.cache.stats.of_route(None).answered(Outcome::Hit);
        assert_eq!(next(&mut slow).await, first);
        for _ in 0..9 {
            next(&mut quick).await.unwrap();
        }
        assert_eq!(next(&mut slow).await.unwrap().0, 10, "no backlog");
    }

    #[tokio::test(start_paused = true)]
    async fn each_window_has_figures_of_its_own() {
        let state = empty_state();
        let router = router(state.clone(), guard());
        let mut streams = Vec::new();
        for query in ["", "?window=1h", "?window=24h", "?window=1m"] {
            streams.push(events_of(&router, &format!("{PATH}{query}")).await);
        }
        for second in 1..4 {
            let mut windows = Vec::new();
            for (at, events) in streams.iter_mut().enumerate() {
                let (number, figures) = next(events).await.unwrap();
                assert_eq!(number, second);
                windows.push((figures["overview"]["window"].clone(), figures["cache"]["hits"].clone()));
                // Between the first two, which share what is reckoned.
                if at == 0 {
                    state.cache.stats.of_route(None).answered(Outcome::Hit);
                }
            }
            let expected = [("1h", second - 1), ("1h", second - 1), ("24h", second), ("1m", second)];
            assert_eq!(windows, expected.map(|(window, hits)| (window.into(), hits.into())));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_that_is_none_is_a_problem() {
        for (query, detail) in [
            ("window=2h", "window = \"2h\": expected one of 1m, 5m, 15m, 1h, 6h, 24h"),
            ("limit=2", "unknown parameter \"limit\": expected window"),
        ] {
            let answer = Exchange::get(&format!("{PATH}?{query}")).with(&empty_state()).await;
            answer.assert_problem(StatusCode::BAD_REQUEST, "Bad Request", detail, PATH);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_so_many_streams_and_no_more() {
        let router = router(empty_state(), guard());
        let mut open = Vec::new();
        for client in 0..MOST_STREAMS {
            let mut request = request();
            request.extensions_mut().insert(crate::admin::guard::Peer([127, 0, 1, client as u8].into()));
            let answer = router.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            open.push(answer.into_body().into_data_stream());
        }
        let answer = router.clone().oneshot(request()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["retry-after"], "10");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        // One that ends makes room, wherever it was.
        next(&mut open[7]).await.unwrap();
        drop(open.swap_remove(7));
        let mut events = events(&router).await;
        next(&mut events).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_drain_ends_streams_at_once_and_begins_none() {
        let (state, begun) = (empty_state(), Instant::now());
        let router = router(state.clone(), guard());
        let (mut waiting, mut unread) = (events(&router).await, events(&router).await);
        next(&mut waiting).await.unwrap();
        let (ended, ()) = tokio::join!(next(&mut waiting), async { state.draining.begin() });
        assert!(ended.is_none(), "{ended:?}");
        assert!(next(&mut unread).await.is_none());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        let answer = router.oneshot(request()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    /// Asks for a stream as a client of the listener does, over a connection that holds so many bytes.
    async fn connected(bytes: usize, answer: Duration) -> (DuplexStream, tokio::task::JoinHandle<bool>) {
        let (near, mut far) = duplex(bytes);
        let state = empty_state();
        state.profiler.record(Sample::of("/", Duration::ZERO));
        let served = http1::Builder::new().timer(TokioTimer::new()).serve_connection(
            TokioIo::new(Patience::new(near, answer)),
            TowerToHyperService::new(router(state, guard())),
        );
        let served = tokio::spawn(async move { served.await.is_ok() });
        far.write_all(format!("GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).await.unwrap();
        (far, served)
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn one_that_is_read_may_take_longer_than_an_answer_may() {
        let begun = Instant::now();
        let (mut far, served) = connected(1 << 10, PATIENCE).await;
        let mut received = vec![0; 1 << 10];
        while begun.elapsed() < 5 * PATIENCE {
            assert_ne!(far.read(&mut received).await.unwrap(), 0, "cut after {:?}", begun.elapsed());
        }
        assert!(!served.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_not_read_is_cut() {
        let begun = Instant::now();
        let (far, served) = connected(1 << 10, PATIENCE).await;
        let ended_well = timeout(100 * PATIENCE, served).await.expect("it is never cut").unwrap();
        assert!(!ended_well && begun.elapsed() >= PATIENCE);
        drop(far);
    }
}
