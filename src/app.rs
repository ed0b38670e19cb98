//! The wiring: builds every component once, binds the ports, serves, and ends in order.

use std::{
    io::{self, IsTerminal},
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::{oneshot, watch},
    time::{Instant, sleep, sleep_until},
};

use crate::{
    admin,
    cache::Cache,
    config::Config,
    profile::Profiler,
    route::Routes,
    server::{self, Front},
    state::{Draining, State},
    traffic::Traffic,
};

/// How often the drain looks whether anything is still open.
const DRAIN_LOOK: Duration = Duration::from_millis(10);
/// What is left of the tasks when the process ends is given this long.
const RUNTIME_END: Duration = Duration::from_millis(200);

/// Runs the sidecar until it is told to stop.
///
/// Exits with 0 after a drain, with 1 when it cannot start or is told twice.
pub fn run(config: Config) -> ExitCode {
    log_to_stderr();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("cannot start: {error}")),
    };
    let code = match runtime.block_on(serve(config)) {
        Ok(code) => code,
        Err(why) => refuse(&why),
    };
    runtime.shutdown_timeout(RUNTIME_END);
    code
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("pacecar: {why}");
    ExitCode::FAILURE
}

/// One event a line. pingora has a line for every client that leaves; what matters of that is counted here.
fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("PACECAR_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,pingora_core=off,pingora_proxy=off,pingora_pool=off"));
    // A second subscriber is refused: that happens only where tests of one process start two.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .try_init();
}

fn build(config: &Config) -> Arc<State> {
    Arc::new(State {
        cache: Cache::new(config.cache.clone()),
        profiler: Profiler::new(config.profile.clone()),
        routes: Routes::new(config.routes.clone()),
        traffic: Traffic::default(),
        draining: Draining::default(),
    })
}

/// Counts panics, each of which costs one connection or one fetch and no more.
fn count_panics(state: &Arc<State>) {
    let (state, report) = (state.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        state.traffic.panics.add();
        report(panic);
    }));
}

async fn serve(config: Config) -> Result<ExitCode, String> {
    // Before anything else: until then a signal would end the process without a word.
    let mut signals = Signals::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let state = build(&config);
    count_panics(&state);
    let cannot_listen = |(address, error): (SocketAddr, io::Error)| format!("cannot listen on {address}: {error}");
    let drain = config.server.timeouts.drain;
    let front = Front::bind(config.server).map_err(cannot_listen)?;
    let admin = server::bind(config.admin.listen)
        .and_then(TcpListener::from_std)
        .map_err(|error| cannot_listen((config.admin.listen, error)))?;
    let admin_address = admin.local_addr().map_err(|error| cannot_listen((config.admin.listen, error)))?;
    let urls: Vec<String> = front.urls().collect();

    let (stop_front, stop) = watch::channel(false);
    let accepting = front.serve(state.clone(), stop)?;
    let (stop_admin, admin_stopped) = oneshot::channel::<()>();
    let admin = tokio::spawn(admin::serve(admin, state.clone(), admin_stopped));
    for url in urls {
        println!("pacecar: listening on {url}");
    }
    println!("pacecar: admin on http://{admin_address}");
    println!("pacecar: ready");

    signals.stop().await;
    state.draining.begin();
    // The receivers live as long as their connections: an error means that there are none.
    let _ = stop_front.send(true);
    let ended = tokio::select! {
        () = drained(&state, accepting, drain) => ExitCode::SUCCESS,
        () = signals.stop() => {
            tracing::warn!("told to stop twice: ending at once");
            return Ok(ExitCode::FAILURE);
        }
    };
    drop(stop_admin);
    // The admin port answers to the last, so that whoever asks sees the drain; its own end is bounded.
    let _ = admin.await;
    Ok(ended)
}

/// Waits until the accept loops have ended and every connection is closed, but not longer than it may take.
async fn drained(state: &State, accepting: tokio::task::JoinHandle<()>, at_most: Duration) {
    let deadline = Instant::now() + at_most;
    tracing::info!(connections = state.traffic.connections.value(), "draining");
    let closed = async {
        let _ = accepting.await;
        while state.traffic.connections.value() > 0 {
            sleep(DRAIN_LOOK).await;
        }
    };
    tokio::select! {
        () = closed => tracing::info!("drained"),
        () = sleep_until(deadline) => {
            tracing::warn!(connections = state.traffic.connections.value(), "drain time is over; closing what is left");
        }
    }
}

/// The signals that mean something here.
struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT.
    async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.term.recv() => return,
                _ = self.int.recv() => return,
                _ = self.hup.recv() => tracing::warn!("SIGHUP: settings are read at the start only; restart to change them"),
            }
        }
    }
}
