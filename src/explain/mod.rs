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

use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};

use self::session::Session;
use crate::{
    query::{
        Analysis,
        explain::{Plan, Question, Verdict},
        fingerprint::Fingerprint,
    },
    state::State,
};

/// How often it is looked whether a query is worth it.
const LOOK: Duration = Duration::from_secs(5);
/// Questions in an hour.
const PER_HOUR: usize = 20;
const HOUR: Duration = Duration::from_secs(3600);
/// How long nobody connects after it failed: at first, and when it failed time and again.
const RESTS: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(60));

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

/// Asks about queries: those that are worth it, and those that somebody wants to know about.
pub struct Explainer {
    settings: Settings,
    state: Arc<State>,
    /// When questions were asked within the last hour, whoever wanted them.
    asked: Mutex<VecDeque<Instant>>,
}

/// What was asked, and what the answer was.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The question.
    pub question: Question,
    /// What the answer means.
    pub verdict: Verdict,
    /// The plan, as far as there is one.
    pub plan: Option<Plan>,
}

impl Explainer {
    /// One that has not asked anything yet.
    pub fn new(settings: Settings, state: Arc<State>) -> Self {
        Self { settings, state, asked: Mutex::default() }
    }

    /// Asks about the queries that are worth it, for as long as the process runs.
    pub async fn run(self: Arc<Self>) {
        self.state.queries.analysis(Analysis::Ready);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut rests_until, mut rest) = (None, RESTS.0);
        loop {
            let now = looks.tick().await.into_std();
            if self.rests(now).is_some() || rests_until.is_some_and(|until| now < until) {
                continue;
            }
            match self.round().await {
                Ok(()) => rest = RESTS.0,
                Err(why) => {
                    tracing::warn!(why, "no query can be explained");
                    self.state.queries.analysis(Analysis::Failing(why));
                    rests_until = Some(Instant::now() + rest);
                    rest = (rest * 2).min(RESTS.1);
                }
            }
        }
    }

    /// Asks about one query now, on a connection that is closed again. It counts as one of the hour.
    ///
    /// # Errors
    /// When nothing is known of the query, as many were asked about as may be in an hour, or the database does not answer.
    pub async fn ask(&self, id: Fingerprint) -> Result<Answer, String> {
        let (question, is_whole) =
            self.state.queries.question_about(id).ok_or_else(|| format!("{id}: no such query is known"))?;
        if !is_whole {
            let why = "only its beginning is known, or it is none of the app's own";
            return Ok(Answer { question, verdict: unexplainable(why), plan: None });
        }
        if let Some(rest) = self.rests(Instant::now()) {
            let minutes = rest.as_secs().div_ceil(60);
            return Err(format!(
                "{PER_HOUR} queries were asked about within an hour: the next may be in {minutes} min"
            ));
        }
        let mut session = self.session().await?;
        self.asked(&mut session, question).await
    }

    /// Asks about all queries that are worth it, on one connection that is closed again.
    async fn round(&self) -> Result<(), String> {
        let Some(mut question) = next(&self.state).await else { return Ok(()) };
        let mut session = self.session().await?;
        self.state.queries.analysis(Analysis::On { tries: session.tries() });
        while self.rests(Instant::now()).is_none() {
            let id = question.id;
            self.asked(&mut session, question).await?;
            match next(&self.state).await {
                // The same one again would be asked for ever.
                Some(other) if other.id != id => question = other,
                _ => break,
            }
        }
        Ok(())
    }

    async fn session(&self) -> Result<Session, String> {
        let name = &self.settings.url_env;
        let url = std::env::var(name).map_err(|_| format!("{name} is not set in the environment"))?;
        Session::open(&url).await.map_err(|why| format!("{name}: {why}"))
    }

    /// Asks one question, and has the observer know the answer.
    async fn asked(&self, session: &mut Session, question: Question) -> Result<Answer, String> {
        self.asked.lock().push_back(Instant::now());
        let answer = session.ask(&question).await;
        // A query that the server cannot bear is not asked about again and again.
        let no_answer = |why: &String| (unexplainable(format!("there was no answer: {why}")), None);
        let (verdict, plan) = answer.as_ref().map_or_else(no_answer, Clone::clone);
        tracing::debug!(query = %question.id, verdict = verdict.name(), "explained");
        self.state.queries.explained(question.id, verdict.clone(), Instant::now());
        answer.map_err(|why| format!("{}: {why}", self.settings.url_env))?;
        Ok(Answer { question, verdict, plan })
    }

    /// How long nothing may be asked any more; `None` if something may.
    fn rests(&self, now: Instant) -> Option<Duration> {
        let mut asked = self.asked.lock();
        while asked.front().is_some_and(|then| now.saturating_duration_since(*then) >= HOUR) {
            asked.pop_front();
        }
        let first = asked.front().filter(|_| asked.len() >= PER_HOUR)?;
        Some(HOUR.saturating_sub(now.saturating_duration_since(*first)))
    }
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
