//! Jobs of the operator: what is asked for by `POST /performance/tasks`, and done as a task.
//!
//! - `wish`: what is asked for, read from JSON. `page`: which hosts may be asked: this proxy's own, and no others.
//! - `warm`: fills the cache; `sitemap` reads what there is to fill it with, `suffering` says when to stop.
//! - `purge`: drops what matches a glob. `explained`: asks the database about a query.
//! - `compare`: which of two pages is faster; `medians` is its arithmetic.
//!
//! Each comes to JSON with its figures. All may be repeated, so that a restart takes them up again; each begins anew then.
//! What a job holds is bounded: a warm-up 5000 pages and one sitemap of 10 MiB, a comparison 2000 times.

mod compare;
mod explained;
mod medians;
mod page;
mod purge;
mod sitemap;
mod suffering;
mod warm;
mod wish;

#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};

use self::{
    page::{Own, Page},
    warm::Variant,
    wish::{Wanted, What},
};
use crate::{
    explain::Explainer,
    server::{Get, Got, Inside, NoAnswer},
    state::State,
    task::{
        Accepted, Actor, AfterRestart, Digest, Failure, Idempotency, Job, Kind, Outcome, Reason, Refused, Report,
        Source, TaskId, Wish,
    },
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
    own: Arc<Own>,
    /// Who asks the database; `None` where nobody does.
    explainer: Option<Arc<Explainer>>,
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
    /// Jobs that work on `state` and ask by way of `inside`. `listening` are the addresses that are listened on, and
    /// whether by TLS.
    pub fn new(
        state: Arc<State>,
        inside: Inside,
        settings: &Settings,
        listening: &[(bool, SocketAddr)],
        explainer: Option<Arc<Explainer>>,
    ) -> Self {
        Self { state, inside, own: Arc::new(Own::new(&settings.hosts, listening)), explainer }
    }

    /// Those whose app is not there.
    #[cfg(test)]
    pub fn for_tests(state: &Arc<State>) -> Arc<Self> {
        let inside = Inside::for_tests(state.clone());
        Arc::new(Self::new(state.clone(), inside, &Settings::default(), &[], None))
    }

    /// Reads what is asked for, and has it done as a task: a JSON object with its `kind`. The same idempotency key with
    /// the same object is the same task.
    ///
    /// # Errors
    /// When it is not begun; nothing of it is left then.
    pub async fn begin(&self, wish: &[u8], idempotency_key: Option<&str>, by: Actor) -> Result<Accepted, NotBegun> {
        let Wanted { what, name, timeout, canonical } = Wanted::read(wish, &self.own).map_err(NotBegun::Invalid)?;
        if let What::Explain(id) = &what {
            if self.explainer.is_none() {
                let why = "the database is not asked here: [query.explain] of proxy.toml says how it is reached";
                return Err(NotBegun::Unavailable(why.into()));
            }
            if self.state.queries.question_about(*id).is_none() {
                let why = format!(
                    "query_id = \"{id}\": no such query is known: expected one of /performance/query/optimization"
                );
                return Err(NotBegun::Invalid(why));
            }
        }
        let no_random = || NotBegun::Unavailable("the system has no random bytes".into());
        let wish = Wish {
            id: TaskId::random().ok_or_else(no_random)?,
            kind: what.kind(),
            name,
            metadata: Vec::new(),
            by,
            timeout,
            after_restart: AfterRestart::Repeat,
            idempotency: idempotency_key.map(|key| Idempotency {
                key: Digest::of(&[b"operator", key.as_bytes()]),
                request: Digest::of(&[b"operator", &canonical]),
            }),
            description: canonical.into(),
            authorization: None,
        };
        self.state.tasks.submit(wish, self.job(what)).await.map_err(NotBegun::Refused)
    }

    /// The job of a task that a restart has found, from what it was described by. `None` where that is not allowed any
    /// more, such as of a host that is none of the own ones now.
    pub fn revive(self: &Arc<Self>, kind: Kind, description: &Bytes) -> Option<Job> {
        let wanted = Wanted::read(description, &self.own).ok()?;
        (wanted.what.kind() == kind).then(|| self.job(wanted.what))
    }

    fn job(&self, what: What) -> Job {
        let (state, inside, own) = (self.state.clone(), self.inside.clone(), self.own.clone());
        let explainer = self.explainer.clone();
        Box::new(move |report: Report| {
            Box::pin(async move {
                let progress = |percent| report.progress(percent, Source::Reported);
                let json = match what {
                    What::Warm(warm) => warm.run(inside, &own, progress).await?,
                    What::Purge(purge) => purge.run(&state, progress).await,
                    What::Compare(compare) => compare.run(inside, progress).await?,
                    What::Explain(id) => {
                        let no_one = || Failure::new(Reason::Error, "[query.explain] is not configured any more");
                        explained::run(&*explainer.ok_or_else(no_one)?, id).await?
                    }
                };
                Ok(Outcome {
                    status: StatusCode::OK,
                    headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]),
                    body: json.to_string().into(),
                })
            })
        })
    }
}

/// Who is asked for pages: [`Inside`], or a table of a test.
trait Asks: Clone + Send + Sync + 'static {
    /// As a client asks, of a variant. No more than so many bytes of the body are handed out.
    fn ask(
        &self,
        page: &Page,
        variant: &Variant,
        most_bytes: usize,
    ) -> impl Future<Output = Result<Got, NoAnswer>> + Send;

    /// The app itself, past the cache.
    fn ask_app(&self, page: &Page) -> impl Future<Output = Result<Got, NoAnswer>> + Send {
        self.ask(page, const { &Variant::new() }, 0)
    }
}

impl Asks for Inside {
    async fn ask(&self, page: &Page, variant: &Variant, most_bytes: usize) -> Result<Got, NoAnswer> {
        let fields: Vec<(&str, &str)> = variant.iter().map(|(name, value)| (*name, &**value)).collect();
        let Page { https, host, target } = page;
        self.get(&Get { https: *https, host, target, fields: &fields, most_bytes }).await
    }

    async fn ask_app(&self, page: &Page) -> Result<Got, NoAnswer> {
        let Page { https, host, target } = page;
        self.get_from_app(&Get { https: *https, host, target, fields: &[], most_bytes: 0 }).await
    }
}
