//! The listeners of the admin port and of the one for probes, with the bounds that keep one client from shutting others
//! out.

use std::{future::Future, io, net::IpAddr, sync::Arc, time::Duration};

use axum::{Extension, Router};
use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    guard::{Guard, Peer},
    patience::Patience,
    receiver, router,
};
use crate::{job::Jobs, state::State};

/// A head on the admin port is small; a larger one is answered 431.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// How long accepting rests when the system has no more descriptors; trying again at once would only burn the processor.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// How many clients there may be, and how long each may take.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Connections at once; further ones wait in the system's queue until one ends.
    connections: usize,
    /// From the end of an answer, or the beginning of a connection, to the end of the next head. It ends idle
    /// connections too, and is longer than the usual 15 seconds between two scrapes, so that scrapers keep theirs.
    head: Duration,
    /// For taking one answer.
    answer: Duration,
    /// For finishing what is under way when asked to stop.
    drain: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 256,
            head: Duration::from_secs(20),
            answer: Duration::from_secs(30),
            drain: Duration::from_secs(5),
        }
    }
}

/// Answers on `listener` until `stop` is ready; then finishes what is under way, in 5 seconds at most.
///
/// Dropping the future closes everything at once.
pub async fn serve(listener: TcpListener, state: Arc<State>, guard: Arc<Guard>, jobs: Arc<Jobs>, stop: impl Future) {
    let router = router::router(state, guard).layer(Extension(jobs));
    serve_within(Bounds::default(), listener, router, stop).await;
}

/// Answers health checks and scrapers, whoever they are, in the same way.
pub async fn serve_probes(listener: TcpListener, state: Arc<State>, stop: impl Future) {
    serve_within(Bounds::default(), listener, router::probes(&state), stop).await;
}

/// Takes the spans that the app exports, in the same way.
pub async fn serve_otlp(listener: TcpListener, state: Arc<State>, settings: receiver::Settings, stop: impl Future) {
    serve_within(Bounds::default(), listener, receiver::router(state, settings), stop).await;
}

async fn serve_within(bounds: Bounds, listener: TcpListener, router: Router, stop: impl Future) {
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            _ = &mut stop => break,
            // One that panicked was counted by the process's hook.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < bounds.connections => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(converse(bounds, stream, peer.ip(), router.clone(), stopped.clone()));
                }
                Err(error) => rest_after(error).await,
            },
        }
    }
    drop(listener);
    drop(stopping);
    let finish = async { while connections.join_next().await.is_some() {} };
    // What is not finished is aborted when the set is dropped.
    let _ = timeout(bounds.drain, finish).await;
}

/// Answers on one connection until it ends, or until the sender of `stopped` is gone and its request is answered.
async fn converse(bounds: Bounds, stream: TcpStream, peer: IpAddr, router: Router, mut stopped: watch::Receiver<()>) {
    // Only costs latency when it fails.
    let _ = stream.set_nodelay(true);
    let io = TokioIo::new(Patience::new(stream, bounds.answer));
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(io, service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // A client that leaves, is too slow or does not speak HTTP: its own affair.
        tracing::debug!(%error, "admin connection ended early");
    }
}

/// A client that left before it was accepted is no reason to wait; anything else is the system's trouble, and passes.
async fn rest_after(error: io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
        return;
    }
    tracing::warn!(%error, "admin connection not accepted");
    sleep(ACCEPT_REST).await;
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::oneshot,
        task::JoinHandle,
        time::Instant,
    };

    use super::*;
    use crate::{
        admin::{
            fixture::{empty_state, guard},
            router::router,
        },
        profile::Sample,
    };

    /// The clock of most of these tests is paused, so that waiting costs nothing; none waits that long unless it fails.
    const FOREVER: Duration = Duration::from_secs(3600);

    struct Running {
        address: SocketAddr,
        state: Arc<State>,
        stop: oneshot::Sender<()>,
        served: JoinHandle<()>,
    }

    async fn running(bounds: Bounds) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = empty_state();
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(serve_within(bounds, listener, router(state.clone(), guard()), stopped));
        Running { address, state, stop, served }
    }

    impl Running {
        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        /// Everything that comes back until the connection is closed.
        async fn exchange(&self, request: &str) -> String {
            let mut stream = self.connect().await;
            stream.write_all(request.as_bytes()).await.unwrap();
            rest(&mut stream).await
        }
    }

    async fn rest(stream: &mut TcpStream) -> String {
        let mut received = String::new();
        timeout(FOREVER, stream.read_to_string(&mut received)).await.expect("it is never closed").unwrap();
        received
    }

    const LIVEZ: &str = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn it_answers_over_a_socket_until_it_is_stopped() {
        let running = running(Bounds { head: FOREVER, drain: FOREVER, ..Bounds::default() }).await;
        let answer = running.exchange(LIVEZ).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
        // An idle connection must not hold the stop up.
        let mut idle = running.connect().await;
        idle.write_all(LIVEZ.replace("Connection: close\r\n", "").as_bytes()).await.unwrap();
        assert_ne!(idle.read(&mut [0; 1024]).await.unwrap(), 0);
        running.stop.send(()).unwrap();
        timeout(Duration::from_secs(20), running.served).await.expect("it waits for the idle connection").unwrap();
        assert_eq!(rest(&mut idle).await, "");
        assert!(TcpStream::connect(running.address).await.is_err(), "the listener is still open");
    }

    #[tokio::test]
    async fn a_health_check_in_http_10_needs_no_host() {
        let running = running(Bounds::default()).await;
        let answer = running.exchange("GET /livez HTTP/1.0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    }

    #[tokio::test]
    async fn a_head_that_is_too_large_is_a_431() {
        let running = running(Bounds::default()).await;
        let mut stream = running.connect().await;
        let request = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEAD_BYTES));
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 431");
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_never_finish_their_heads_shut_nobody_out() {
        let bounds = Bounds { connections: 2, ..Bounds::default() };
        let running = running(bounds).await;
        let begun = Instant::now();
        let mut silent = running.connect().await;
        let mut slow = running.connect().await;
        slow.write_all(b"GET /livez HTTP/1.1\r\nHost:").await.unwrap();
        let answer = running.exchange(LIVEZ).await;
        assert!(answer.ends_with("ok\n"), "{answer}");
        assert!(begun.elapsed() >= bounds.head, "a third connection was accepted beside the two");
        assert_eq!(rest(&mut silent).await, "");
        rest(&mut slow).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_in_drops_does_not_move_its_deadline() {
        let running = running(Bounds::default()).await;
        let (mut read, mut write) = running.connect().await.into_split();
        tokio::spawn(async move {
            write.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
            // One byte a second stays below the bounds on size for longer than this test waits.
            write.write_all(b"X: ").await.unwrap();
            while write.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        timeout(FOREVER, read.read_to_end(&mut Vec::new())).await.expect("it is never closed").ok();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_take_its_answer_shuts_nobody_out() {
        let running = running(Bounds { connections: 1, ..Bounds::default() }).await;
        for n in 0..400 {
            running.state.profiler.record(Sample::of(&format!("/{n}/{}", "x".repeat(200)), Duration::ZERO));
        }
        let mut greedy = running.connect().await;
        // Enough answers to fill what the system buffers on both sides.
        for _ in 0..40 {
            greedy.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        }
        let answer = running.exchange(LIVEZ).await;
        assert!(answer.ends_with("ok\n"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_waits_for_nobody_beyond_its_time() {
        let running = running(Bounds { head: FOREVER, ..Bounds::default() }).await;
        let mut slow = running.connect().await;
        slow.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        running.stop.send(()).unwrap();
        timeout(FOREVER / 2, running.served).await.expect("it waits").unwrap();
    }
}
