//! The engine in force: exchanged when the configuration is read again, while requests are under way.

use std::{path::Path, sync::Arc};

use arc_swap::ArcSwap;

use crate::{route::Route, state::State};

use super::{
    Common, Engine, Settings,
    access_log::{self, AccessLog, Which},
    coding::Coders,
    flight::Flights,
    upstream::Sending,
};

/// Where the front door finds the engine for its next request.
pub(super) struct Current {
    engine: ArcSwap<Engine>,
    common: Common,
}

/// Opens the access log, unless the one that is open will do.
fn log(state: &State, open: Option<&Engine>, wanted: &access_log::Settings) -> Result<Option<Arc<AccessLog>>, String> {
    if wanted.which == Which::Off {
        return Ok(None);
    }
    let same = |engine: &&Engine| {
        let open = &engine.settings.access_log;
        (&open.path, open.format) == (&wanted.path, wanted.format)
    };
    if let Some(log) = open.filter(same).and_then(|engine| engine.log.clone()) {
        return Ok(Some(log));
    }
    let opened = AccessLog::open(wanted, state.traffic.access_log_dropped.clone());
    opened.map(|log| Some(Arc::new(log))).map_err(|error| {
        let path = wanted.path.as_deref().unwrap_or(Path::new("standard output"));
        format!("server.access_log_path: {} cannot be opened: {error}", path.display())
    })
}

impl Current {
    /// The first engine.
    ///
    /// # Errors
    /// When the access log cannot be opened.
    pub(super) fn new(state: Arc<State>, settings: Settings, routes: Vec<Route>) -> Result<Self, String> {
        let cache = state.cache.settings();
        let flights = Arc::new(Flights::new(cache.max_bytes, cache.max_object_bytes));
        let log = log(&state, None, &settings.access_log)?;
        let coders = Coders::new(&state);
        let (weakened, signature) = (Arc::default(), Sending::signature());
        let common = Common { state, flights, verifier: Arc::default(), coders, weakened, signature };
        let engine = Engine::new(&common, log, settings, routes);
        Ok(Self { engine: ArcSwap::from_pointee(engine), common })
    }

    /// The engine for a new request, which keeps it to its end.
    pub(super) fn engine(&self) -> Arc<Engine> {
        self.engine.load_full()
    }

    /// Puts an engine with other settings in force.
    ///
    /// # Errors
    /// When the access log cannot be opened; then the engine stays.
    pub(super) fn reload(&self, settings: Settings, routes: Vec<Route>) -> Result<(), String> {
        let log = log(&self.common.state, Some(&self.engine()), &settings.access_log)?;
        let engine = Engine::new(&self.common, log, settings, routes);
        self.common.state.routes.store(engine.routes.clone());
        self.engine.store(Arc::new(engine));
        Ok(())
    }

    /// Has the access log opened again by its name.
    pub(super) fn reopen_log(&self) {
        if let Some(log) = &self.engine().log {
            log.reopen();
        }
    }
}
