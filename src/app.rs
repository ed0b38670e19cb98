//! The wiring: builds every component once, binds the ports, serves, and ends in order.

use std::{
    fmt, fs,
    io::{self, IsTerminal, Read, Write},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::{
    join,
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, sleep_until},
};

use crate::{
    admin,
    advice::{Counted, Kind, Marker, Markers, Muted},
    cache::{Cache, keyed::KeyedCache},
    compress::Compression,
    config::{
        Config, Sources,
        reload::{Look, keep_until_restart},
    },
    explain::Explainer,
    job::Jobs,
    observe::Observer,
    profile::{Kept, Profiler},
    query,
    server::{self, Front, Inside, Running},
    state::{Draining, Reloads, State},
    task::{self, Failure, Processor, Reason, Revive},
    traffic::{Ratelimited, Traffic},
};

/// How often the files of the configuration are looked at. A change is taken up at the second look that sees it.
const FILE_LOOK: Duration = Duration::from_secs(1);
/// How often the drain looks whether anything is still open.
const DRAIN_LOOK: Duration = Duration::from_millis(10);
/// How often what waits in the profiler is taken in.
const PROFILER_SETTLE: Duration = Duration::from_secs(5);
/// How often the profiler's figures are written to their file, if they have one.
const PROFILER_KEEP: Duration = Duration::from_secs(300);
/// A file of the profiler's figures is never longer.
const LONGEST_PROFILE: u64 = 64 << 20;
/// How often the memory of expired values is given back; they are never returned anyway.
const KEYED_SWEEP: Duration = Duration::from_secs(60);
/// What is left of the tasks when the process ends is given this long.
const RUNTIME_END: Duration = Duration::from_millis(200);

/// Runs the sidecar until it is told to stop.
///
/// Exits with 0 after a drain, with 1 when it cannot start or is told twice.
/// `sources` are where the configuration came from, and comes from again when it changes.
pub fn run(config: Config, sources: Sources) -> ExitCode {
    log_to_stderr();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("cannot start: {error}")),
    };
    let code = match runtime.block_on(serve(config, sources)) {
        Ok(code) => code,
        Err(why) => refuse(&why),
    };
    runtime.shutdown_timeout(RUNTIME_END);
    code
}

/// Says a line on standard output. Where nobody reads it, such as a pipe whose other end has gone, that stops nothing.
fn announce(what: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "pacecar: {what}");
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

fn build(config: &Config, tasks: Processor) -> Arc<State> {
    let (started, wall) = (std::time::Instant::now(), SystemTime::now());
    let markers = Markers::default();
    markers.mark(Marker { at: started, kind: Kind::Reload, label: "start".into() });
    Arc::new(State {
        started,
        cache: Cache::new(config.cache.clone()),
        keyed: KeyedCache::new(config.keyed.clone(), fastrand::u64(..)),
        compression: Compression::new(config.compression.clone()),
        cache_headers: ArcSwap::from_pointee(config.cache_headers.clone()),
        routes: ArcSwap::from_pointee(config.routes.clone()),
        observer: Observer::new(fastrand::u64(..), started),
        profiler: Profiler::new(config.profile.clone(), started, wall),
        queries: query::Observer::new(config.query.clone(), started),
        tasks,
        advice: ArcSwap::from_pointee(config.advice.clone()),
        muted: Muted::default(),
        markers,
        counted: Counted::new(started),
        upstream: ArcSwap::from_pointee(config.server.upstream.to_string()),
        traffic: Traffic::default(),
        ratelimited: Ratelimited::new(admin::policies()),
        draining: Draining::default(),
        reloads: Reloads::started(wall),
    })
}

/// Makes the jobs of tasks again that a restart has found. They begin once there is somebody to ask.
fn reviver(workers: watch::Receiver<Option<(Inside, Arc<Jobs>)>>) -> Revive {
    Box::new(move |record, description| {
        let (kind, mut workers) = (record.kind, workers.clone());
        Some(Box::new(move |report| {
            Box::pin(async move {
                let workers = workers.wait_for(Option::is_some).await.ok().and_then(|workers| workers.clone());
                let job = workers.and_then(|(inside, jobs)| match kind {
                    task::Kind::HttpAsync => inside.revive(&description),
                    _ => jobs.revive(kind, &description),
                });
                match job {
                    Some(job) => job(report).await,
                    None => Err(Failure::new(Reason::Interrupted, "what was to be done cannot be read any more")),
                }
            })
        }))
    })
}

/// The addresses that the front door listens on, and whether it speaks TLS there.
fn own_addresses(urls: &[String]) -> Vec<(bool, SocketAddr)> {
    let address = |url: &String| {
        let (scheme, address) = url.split_once("://")?;
        Some((scheme == "https", address.parse().ok()?))
    };
    urls.iter().filter_map(address).collect()
}

/// Counts panics, each of which costs one connection or one fetch and no more.
fn count_panics(state: &Arc<State>) {
    let (state, report) = (state.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        state.traffic.panics.add();
        report(panic);
    }));
}

/// Takes in what waits in the profiler and in the simulation of the cache, so that what happened in a minute is counted in
/// it, and keeps the profiler's figures in their file; notes other counters, for what is advised.
async fn settle_profiler(state: Arc<State>, snapshot: Option<PathBuf>) {
    let mut rounds = interval(PROFILER_SETTLE);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut kept = Instant::now();
    loop {
        let now = rounds.tick().await;
        state.profiler.settle(now.into_std());
        state.queries.turn(now.into_std());
        state.tell_queries();
        state.cache.simulation.settle(now.into_std());
        state.counted.note(now.into_std(), || (state.cache.snapshot(), state.compression.stats.snapshot()));
        if let Some(file) = snapshot.clone().filter(|_| now - kept >= PROFILER_KEEP) {
            kept = now;
            let state = state.clone();
            let _ = tokio::task::spawn_blocking(move || keep_profile(&state, &file)).await;
        }
    }
}

/// Writes the figures to their file, whole or not at all. A failure costs nothing but the figures of the time since.
fn keep_profile(state: &State, file: &Path) {
    let bytes = state.profiler.keep(std::time::Instant::now()).to_bytes();
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let write = || {
        // Left over from an end in the middle, or somebody's link to elsewhere: either way it goes.
        let _ = fs::remove_file(&beside);
        let mut new = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        new.write_all(&bytes)?;
        new.sync_all()?;
        fs::rename(&beside, file)
    };
    if let Err(error) = write() {
        tracing::warn!(file = %file.display(), %error, "the figures of the profiler could not be kept");
    }
}

/// Takes up the figures of the process before. Whatever is wrong with the file, it is only figures that are missing.
fn restore_profile(state: &State, file: &Path) {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        fs::File::open(file)?.take(LONGEST_PROFILE).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => match Kept::from_bytes(&bytes) {
            Ok(kept) => state.profiler.restore(kept),
            Err(why) => tracing::warn!(file = %file.display(), why, "the figures of the process before are left out"),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "the figures of the process before cannot be read");
        }
    }
}

/// Sweeps the app's own results for as long as the process runs.
async fn sweep_keyed(state: Arc<State>) {
    let mut rounds = interval(KEYED_SWEEP);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = rounds.tick().await;
        state.keyed.sweep(now.into_std());
    }
}

async fn serve(config: Config, sources: Sources) -> Result<ExitCode, String> {
    // Before anything else: until then a signal would end the process without a word.
    let looked = Look::at(&sources.file, &config);
    let mut signals = Signals::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let (hand_out, handed_out) = watch::channel(None);
    let tasks = Processor::open(config.tasks.clone(), SystemTime::now(), reviver(handed_out)).await;
    let state = build(&config, tasks);
    count_panics(&state);
    if let Some(file) = &config.profile_snapshot {
        restore_profile(&state, file);
    }
    let cannot_listen = |(address, error): (SocketAddr, io::Error)| format!("cannot listen on {address}: {error}");
    let front = Front::bind(config.server.clone()).map_err(cannot_listen)?;
    let bind = |address| {
        let listener = server::bind(address).and_then(TcpListener::from_std);
        let bound = listener.and_then(|listener| Ok((listener.local_addr()?, listener)));
        bound.map_err(|error| cannot_listen((address, error)))
    };
    let (admin_address, admin) = bind(config.admin.listen)?;
    let (probe_address, probes) = config.admin.probe_listen.map(bind).transpose()?.unzip();
    let (otlp_address, otlp) = config.otlp.as_ref().map(|otlp| bind(otlp.listen)).transpose()?.unzip();
    let urls: Vec<String> = front.urls().collect();

    tokio::spawn(sweep(state.clone()));
    let (stop_front, stop) = watch::channel(false);
    let front = front.serve(state.clone(), config.routes.clone(), stop)?;
    let guard = Arc::new(admin::Guard::new(config.admin.clone()));
    let explainer = config.explain.clone().map(|settings| Arc::new(Explainer::new(settings, state.clone())));
    let jobs = Jobs::new(state.clone(), front.inside(), &config.jobs, &own_addresses(&urls), explainer.clone());
    let jobs = Arc::new(jobs);
    // Nobody listens where no task was found: that is no error.
    let _ = hand_out.send(Some((front.inside(), jobs.clone())));
    let (stop_admin, mut admin_stopped) = watch::channel(());
    let (mut probes_stopped, mut otlp_stopped) = (admin_stopped.clone(), admin_stopped.clone());
    let mut answering = JoinSet::new();
    let stopped = async move { admin_stopped.changed().await };
    answering.spawn(admin::serve(admin, state.clone(), guard.clone(), jobs, stopped));
    if let Some(probes) = probes {
        answering.spawn(admin::serve_probes(probes, state.clone(), async move { probes_stopped.changed().await }));
    }
    if let (Some(otlp), Some(settings)) = (otlp, config.otlp.clone()) {
        let stopped = async move { otlp_stopped.changed().await };
        answering.spawn(admin::serve_otlp(otlp, state.clone(), settings, stopped));
    }
    if let Some(explainer) = explainer {
        tokio::spawn(explainer.run());
    }
    tokio::spawn(sweep_keyed(state.clone()));
    tokio::spawn(settle_profiler(state.clone(), config.profile_snapshot.clone()));
    for url in urls {
        announce(format_args!("listening on {url}"));
    }
    announce(format_args!("admin on http://{admin_address}"));
    if let Some(address) = probe_address {
        announce(format_args!("probes on http://{address}"));
    }
    if let Some(address) = otlp_address {
        announce(format_args!("spans on http://{address}"));
    }
    announce(format_args!("ready"));
    let mut reloader = Reloader { state: state.clone(), guard, front, running: config, sources };
    reloader.until_told_to_stop(looked, &mut signals).await;
    let (front, drain) = (reloader.front, reloader.running.server.timeouts.drain);

    state.draining.begin();
    // The receivers live as long as their connections: an error means that there are none.
    let _ = stop_front.send(true);
    let ended = tokio::select! {
        ((), ()) = async { join!(drained(&state, front, drain), state.tasks.stop(drain)) } => ExitCode::SUCCESS,
        () = signals.stop() => {
            tracing::warn!("told to stop twice: ending at once");
            return Ok(ExitCode::FAILURE);
        }
    };
    if let Some(file) = &reloader.running.profile_snapshot {
        keep_profile(&state, file);
    }
    drop(stop_admin);
    // The admin port answers to the last, so that whoever asks sees the drain; its own end is bounded.
    while answering.join_next().await.is_some() {}
    Ok(ended)
}

/// Takes up the configuration when it changes.
struct Reloader {
    state: Arc<State>,
    guard: Arc<admin::Guard>,
    front: Running,
    /// What is in force, and for keys that need a restart what was at the start.
    running: Config,
    sources: Sources,
}

impl Reloader {
    /// Reads the configuration again on SIGHUP and when a file of it has changed, until SIGTERM or SIGINT.
    /// `looked` is how they looked at the start.
    async fn until_told_to_stop(&mut self, looked: Look, signals: &mut Signals) {
        let mut taken_up = Some(looked);
        let mut before = taken_up.clone();
        let mut looks = interval(FILE_LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                told = signals.next() => match told {
                    Told::Stop => return,
                    Told::Reload => {
                        self.reload().await;
                        taken_up = self.look().await;
                    }
                    Told::ReopenLog => self.front.reopen_log(),
                },
                _ = looks.tick() => {
                    let now = self.look().await;
                    // A file that is still being written looks different the next time.
                    if now != taken_up && now == before {
                        self.reload().await;
                        taken_up = self.look().await;
                    }
                    before = now;
                }
            }
        }
    }

    /// Looks at the files on a thread that may wait for a disk.
    async fn look(&self) -> Option<Look> {
        let (source, config) = (self.sources.file.clone(), self.running.clone());
        tokio::task::spawn_blocking(move || Look::at(&source, &config)).await.ok()
    }

    async fn reload(&mut self) {
        let sources = self.sources.clone();
        let read = tokio::task::spawn_blocking(move || Config::load(sources).map_err(|problems| problems.to_string()));
        let taken_up = match read.await {
            Ok(Ok(wanted)) => self.take_up(wanted),
            Ok(Err(problems)) => Err(problems),
            Err(error) => Err(error.to_string()),
        };
        match taken_up {
            Ok(()) => {
                let (at, label) = (std::time::Instant::now(), "configuration".into());
                self.state.markers.mark(Marker { at, kind: Kind::Reload, label });
                self.state.reloads.succeed(SystemTime::now());
            }
            Err(problems) => {
                self.state.reloads.refuse();
                for problem in problems.lines() {
                    tracing::error!(problem, "configuration refused; the one before stays in force");
                }
            }
        }
    }

    fn take_up(&mut self, mut wanted: Config) -> Result<(), String> {
        let kept = keep_until_restart(&self.running, &mut wanted);
        // What the counters of cache and coding say, and what was watched, holds for as long as these do.
        let counted = |config: &Config| {
            (config.server.mode, config.cache.clone(), config.compression.clone(), config.routes.clone())
        };
        let anew = counted(&self.running) != counted(&wanted);
        // Before the front: its new engine takes these up.
        self.state.compression.reload(wanted.compression.clone());
        self.state.cache_headers.store(Arc::new(wanted.cache_headers.clone()));
        self.front.reload(wanted.server.clone(), wanted.routes.clone())?;
        self.guard.reload(wanted.admin.clone());
        self.state.cache.reload(wanted.cache.clone());
        self.state.profiler.reload(&wanted.profile);
        self.state.queries.set(wanted.query.clone());
        self.state.advice.store(Arc::new(wanted.advice.clone()));
        if anew {
            self.state.count_anew(std::time::Instant::now());
        }
        self.running = wanted;
        if kept.is_empty() {
            tracing::info!("configuration taken up");
        } else {
            tracing::warn!(keys = kept.join(", "), "configuration taken up, but these keys need a restart");
        }
        Ok(())
    }
}

/// Has the cache swept from time to time, on a thread that may take its time.
async fn sweep(state: Arc<State>) {
    loop {
        sleep(state.cache.settings().sweep_interval).await;
        let state = state.clone();
        // A panic in it is counted, and the next sweep is another.
        let _ = tokio::task::spawn_blocking(move || state.cache.sweep(std::time::Instant::now())).await;
    }
}

/// Waits until the accept loops have ended and every connection is closed, but not longer than it may take.
async fn drained(state: &State, front: Running, at_most: Duration) {
    let deadline = Instant::now() + at_most;
    tracing::info!(connections = state.traffic.connections.value(), "draining");
    let closed = async {
        front.closed().await;
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
    usr1: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.term.recv() => Told::Stop,
            _ = self.int.recv() => Told::Stop,
            _ = self.hup.recv() => Told::Reload,
            _ = self.usr1.recv() => Told::ReopenLog,
        }
    }

    /// Waits to be told to stop, past anything else: what is about to end takes up no settings.
    async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }
}

/// What a signal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGHUP.
    Reload,
    /// SIGUSR1.
    ReopenLog,
}
