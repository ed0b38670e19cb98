//! The engine in force: exchanged when the configuration is read again, while requests are under way.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{
    route::{Route, Routes},
    state::State,
};

use super::{Engine, Settings, flight::Flights};

/// Where the front door finds the engine for its next request.
pub(super) struct Current {
    engine: ArcSwap<Engine>,
    state: Arc<State>,
    flights: Arc<Flights>,
}

impl Current {
    pub(super) fn new(state: Arc<State>, settings: Settings, routes: Vec<Route>) -> Self {
        let cache = state.cache.settings();
        let flights = Arc::new(Flights::new(cache.max_bytes, cache.max_object_bytes));
        let engine = Engine::new(state.clone(), flights.clone(), settings, Routes::new(routes));
        Self { engine: ArcSwap::from_pointee(engine), state, flights }
    }

    /// The engine for a new request, which keeps it to its end.
    pub(super) fn engine(&self) -> Arc<Engine> {
        self.engine.load_full()
    }

    /// Puts an engine with other settings in force.
    pub(super) fn reload(&self, settings: Settings, routes: Vec<Route>) {
        let engine = Engine::new(self.state.clone(), self.flights.clone(), settings, Routes::new(routes));
        self.engine.store(Arc::new(engine));
    }
}
