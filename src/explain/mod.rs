//! Asks PostgreSQL how it would execute the app's queries, and which indexes it has: with a connection of its own, rarely,
//! and never by executing one. What the answers mean, [`query::explain`](crate::query::explain) says.
//!
//! - `session`: one connection, and what is asked on it; `tls`: how it is protected.

mod session;
mod tls;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};

use self::session::Session;
use crate::{
    query::{
        Analysis,
        explain::{Question, Verdict},
    },
    state::State,
};

/// How often it is looked whether a query is worth it.
const LOOK: Duration = Duration::from_secs(5);
/// Questions in an hour.
const PER_HOUR: usize = 20;
const HOUR: Duration = Duration::from_secs(3600);
/// How long nobody connects after it failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the database is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The variable of the environment that has the connection's URL, with its password: that stands in no file. Default
    /// `PACECAR_EXPLAIN_URL`.
    pub url_env: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { url_env: "PACECAR_EXPLAIN_URL".into() }
    }
}

/// Asks about the queries that are worth it, for as long as the process runs.
pub async fn run(settings: Settings, state: Arc<State>) {
    state.queries.analysis(Analysis::Ready);
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked: VecDeque<Instant> = VecDeque::new();
    let mut rests_until = None;
    loop {
        let now = looks.tick().await.into_std();
        while asked.front().is_some_and(|then| now.saturating_duration_since(*then) >= HOUR) {
            asked.pop_front();
        }
        if asked.len() >= PER_HOUR || rests_until.is_some_and(|until| now < until) {
            continue;
        }
        if let Err(why) = round(&settings, &state, &mut asked).await {
            tracing::warn!(why, "no query can be explained");
            state.queries.analysis(Analysis::Failing(why));
            rests_until = Some(now + PATIENCE);
        }
    }
}

/// Asks about all queries that are worth it, on one connection that is closed again.
async fn round(settings: &Settings, state: &Arc<State>, asked: &mut VecDeque<Instant>) -> Result<(), String> {
    let Some(mut question) = next(state).await else { return Ok(()) };
    let name = &settings.url_env;
    let url = std::env::var(name).map_err(|_| format!("{name} is not set in the environment"))?;
    let mut session = Session::open(&url).await.map_err(|why| format!("{name}: {why}"))?;
    state.queries.analysis(Analysis::On { tries: session.tries() });
    while asked.len() < PER_HOUR {
        asked.push_back(Instant::now());
        let answer = session.ask(&question).await;
        // A query that the server cannot bear is not asked about again and again.
        let verdict = answer.clone().unwrap_or_else(|why| unexplainable(format!("there was no answer: {why}")));
        tracing::debug!(query = %question.id, verdict = verdict.name(), "explained");
        state.queries.explained(question.id, verdict, Instant::now());
        answer.map_err(|why| format!("{name}: {why}"))?;
        match next(state).await {
            // The same one again would be asked for ever.
            Some(other) if other.id != question.id => question = other,
            _ => break,
        }
    }
    Ok(())
}

/// What is worth a question: a look at all queries, on a thread where nobody waits.
async fn next(state: &Arc<State>) -> Option<Question> {
    let state = state.clone();
    tokio::task::spawn_blocking(move || state.queries.question(Instant::now())).await.ok()?
}

/// What is said of a query that cannot be planned.
fn unexplainable(why: impl Into<String>) -> Verdict {
    Verdict::Unexplainable(why.into())
}
