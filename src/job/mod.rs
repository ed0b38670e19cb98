//! Jobs of the operator: what is asked for by `POST /performance/tasks`, and done as a task.

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;

use crate::{
    explain,
    server::Inside,
    state::State,
    task::{Accepted, Actor, Job, Kind, Refused},
};

/// What jobs may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Names of hosts that may be asked for, besides `localhost` and the addresses that are listened on. Default: none.
    pub hosts: Vec<String>,
}

/// What jobs work with.
pub struct Jobs {
    state: Arc<State>,
    inside: Inside,
    settings: Settings,
    /// The addresses that are listened on.
    own: Vec<IpAddr>,
    /// How the database is asked; `None` where it is not.
    explain: Option<explain::Settings>,
}

/// Why a job was not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotBegun {
    /// What was asked for is wrong: what was given, and what was expected.
    Invalid(String),
    /// It cannot be done as things are.
    Unavailable(String),
    /// Tasks do not take it.
    Refused(Refused),
}

impl Jobs {
    /// Jobs that work on `state` and ask by way of `inside`. `own` are the addresses that are listened on.
    pub fn new(
        state: Arc<State>,
        inside: Inside,
        settings: Settings,
        own: Vec<IpAddr>,
        explain: Option<explain::Settings>,
    ) -> Self {
        Self { state, inside, settings, own, explain }
    }

    /// Those whose app is not there.
    #[cfg(test)]
    pub fn for_tests(state: &Arc<State>) -> Arc<Self> {
        let inside = Inside::for_tests(state.clone());
        Arc::new(Self::new(state.clone(), inside, Settings::default(), Vec::new(), None))
    }

    /// Reads what is asked for, and has it done as a task: a JSON object with its `kind`. The same idempotency key with
    /// the same object is the same task.
    ///
    /// # Errors
    /// When it is not begun; nothing of it is left then.
    pub async fn begin(&self, wish: &[u8], idempotency_key: Option<&str>, by: Actor) -> Result<Accepted, NotBegun> {
        let _ = (wish, idempotency_key, by, &self.state, &self.inside, &self.settings, &self.own, &self.explain);
        Err(NotBegun::Unavailable("no kind of task is available in this version".into()))
    }

    /// The job of a task that a restart has found, from what it was described by.
    pub fn revive(self: &Arc<Self>, kind: Kind, description: &Bytes) -> Option<Job> {
        let _ = (kind, description);
        None
    }
}
