//! What should be cached, for how long, and what that would save: from answers that were watched.
//!
//! It never advises to keep what depends on who asks. An endpoint is out of the question when an answer that was given up
//! came back, when two people had different answers, when a cookie was set, or when answers changed with the client and
//! nothing shows that they would have changed anyway. What people ask for by name (with cookies that count or with
//! credentials) is only ever a candidate, and not even that where its bodies have next to nothing in them: `[]` is the
//! same for everybody who has nothing.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    observe::{Figures, Hits, LIFETIMES, Watched},
    units,
};

use super::{Confidence, Endpoint, Facts, Figure, Finding, Remedy, Severity, Worth, say, snippet};

pub(super) const KIND: &str = "cacheable";
/// Watched answers without which nothing is said, and hits.
const ENOUGH: u64 = 20;
/// Percent of the hits that may have been out of date.
const OUTDATED_PERCENT: f64 = 1.0;
/// A longer lifetime has to be worth it: the shortest with this share of the most hits that any has is advised.
const NEARLY_ALL: f64 = 0.9;
/// Percent of the answers that must be saved at least.
const WORTH_PERCENT: f64 = 5.0;
/// From this percent on, those who are somebody in particular make an endpoint's traffic.
const IDENTIFIED_PERCENT: f64 = 5.0;
/// So many people must have had the same answer as another before anything is said of what they ask for by name.
const IDENTITIES: u64 = 20;
/// So many, before there is something to paste: an answer that one of fifty has would have been seen among them with 95 %.
const IDENTITIES_TO_PASTE: u64 = 150;
/// Times that another client had the same answer, for each change that nobody saw who had the answer before.
const SAME_PER_UNEXPLAINED: u64 = 20;

/// What an endpoint's answers allow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    /// Which of [`LIFETIMES`].
    pub(super) at: usize,
    /// Most of those who ask are somebody in particular.
    pub(super) identified: bool,
}

/// What should be cached that is not.
pub(super) fn find(facts: &Facts) -> Vec<Finding> {
    let report = &facts.observed;
    let chosen = report.endpoints.iter().filter_map(|watched| Some((watched, choose(watched)?)));
    chosen.filter_map(|(watched, choice)| advise(watched, choice, facts)).collect()
}

/// How the answers of an endpoint are kept, below `comments`, if it was seen that everybody may have the same.
pub(super) fn keep(facts: &Facts, endpoint: &Endpoint, comments: &[&str]) -> Option<Remedy> {
    let is_it = |watched: &&Watched| endpoint.method == "GET" && *watched.endpoint == *endpoint.name;
    let watched = facts.observed.endpoints.iter().find(is_it)?;
    let choice = choose(watched).filter(|choice| !choice.identified && forbidden(watched).is_none())?;
    lines(watched, choice, comments, facts)
}

fn lines(watched: &Watched, Choice { at, identified }: Choice, comments: &[&str], facts: &Facts) -> Option<Remedy> {
    // All that a pattern for this one may take in as well, and that must not be kept for as long.
    let may_be_kept = |other: &&Watched| choose(other).is_some_and(|choice| choice.at >= at && !choice.identified);
    let others = facts.observed.endpoints.iter().filter(|other| !may_be_kept(other)).map(|other| &*other.endpoint);
    let keep = snippet::Keep {
        endpoint: &watched.endpoint,
        ttl: &units::show_duration(LIFETIMES[at]),
        public: identified,
        others: &others.collect::<Vec<_>>(),
    };
    snippet::keep_for(&keep, comments, &facts.routes)
}

/// What the app says against it, where it says that of most answers: a lifetime of ours is for answers of which it says
/// nothing. That there are cookies and credentials is another matter.
fn forbidden(watched: &Watched) -> Option<&'static str> {
    let share: f64 = watched.obstacles.iter().map(|(_, share)| share).sum();
    let (why, _) = watched.obstacles.first().filter(|_| share > 50.0)?;
    Some(*why).filter(|why| !matches!(*why, "cookie" | "authorization"))
}

/// The lifetime to advise for an endpoint, if any.
pub(super) fn choose(watched: &Watched) -> Option<Choice> {
    let figures = &watched.figures;
    if figures.watched < ENOUGH || figures.set_cookie > 0 {
        return None;
    }
    // Answers that changed with the client, where nothing shows that they changed by themselves.
    if figures.unexplained > 0 && figures.same_for_another < SAME_PER_UNEXPLAINED * figures.unexplained.unsigned_abs() {
        return None;
    }
    let identified = percent(figures.identified, figures.watched) > IDENTIFIED_PERCENT;
    if identified && (watched.agreed < IDENTITIES || percent(figures.sparse, figures.watched) > 50.0) {
        return None;
    }
    let allowed = |at: &usize| {
        let hits = &figures.lifetimes[*at];
        !watched.depends[*at]
            && hits.own_writes == 0
            && hits.requests >= ENOUGH
            && percent(hits.outdated, hits.requests) <= OUTDATED_PERCENT
    };
    let allowed: Vec<usize> = (0..LIFETIMES.len()).filter(allowed).collect();
    let most = allowed.iter().map(|at| figures.lifetimes[*at].requests).max()?;
    let at = *allowed.iter().find(|at| figures.lifetimes[**at].requests as f64 >= most as f64 * NEARLY_ALL)?;
    let gained = figures.lifetimes[at].requests.saturating_sub(figures.configured.requests);
    (percent(gained, figures.watched) >= WORTH_PERCENT).then_some(Choice { at, identified })
}

fn advise(watched: &Watched, choice: Choice, facts: &Facts) -> Option<Finding> {
    let Choice { at, identified } = choice;
    let Watched { endpoint, figures, .. } = watched;
    let (lifetime, hits, lasts) = (LIFETIMES[at], &figures.lifetimes[at], facts.observed.lasts);
    let for_long = units::show_duration(lifetime);
    let forbidden = forbidden(watched);
    let candidate = identified || forbidden.is_some();
    let remedy = match forbidden {
        Some(why @ ("no-store" | "no-cache" | "expired")) => Remedy::Sentence(format!(
            "The app forbids it ({why}). If that is not meant, let it send `Cache-Control: public, max-age={}` with answers \
             to GET {endpoint}.",
            lifetime.as_secs()
        )),
        // By status, by Vary, by its size: a lifetime would not help. And `private` is a word about people.
        Some(_) => return None,
        None if identified && watched.agreed < IDENTITIES_TO_PASTE => Remedy::Sentence(format!(
            "If everybody may be given the same answer to GET {endpoint}, let the app send `Cache-Control: public, \
             max-age={}`. So far {} people had the same; up to {:.0} in 100 may still have another.",
            lifetime.as_secs(),
            watched.agreed,
            (300.0 / watched.agreed as f64).ceil()
        )),
        None if identified => {
            lines(watched, choice, &["Only if everybody may be given the same answer, whoever they are."], facts)?
        }
        None => lines(watched, choice, &[], facts)?,
    };
    let minutes = lasts.as_secs_f64().max(1.0) / 60.0;
    // What is watched stands for all.
    let scale = figures.answers as f64 / figures.watched as f64;
    let gained = Gained::of(hits, &figures.configured, scale);
    let outdated = percent(hits.outdated, hits.requests);
    let because = format!(
        "{} of answers to the same request were the same as the one before; caching for {for_long} would have saved {} \
         upstream requests and {} upstream seconds a minute in {}; {} of hits would have been out of date.{}",
        say::percent(percent(figures.same, figures.repeats)),
        say::grouped(gained.requests.round() as u64),
        shown(gained.seconds / minutes),
        say::last(lasts),
        say::percent(outdated),
        if identified {
            format!(
                " {} of the requests have cookies or credentials; {} different people had the same answer as somebody \
                 else, and nobody another.",
                say::percent(percent(figures.identified, figures.watched)),
                watched.agreed
            )
        } else {
            String::new()
        }
    );
    Some(Finding {
        kind: KIND,
        severity: Severity::Info,
        confidence: if candidate { Confidence::Candidate } else { Confidence::Measured },
        endpoint: Some(Endpoint { method: "GET".into(), name: endpoint.to_string() }),
        subject: String::new(),
        title: format!("GET {endpoint} {} be cached for {for_long}", if candidate { "may" } else { "can" }),
        because,
        remedy,
        worth: Worth {
            upstream_requests_per_minute: Some(gained.requests / minutes),
            upstream_seconds_per_minute: Some(gained.seconds / minutes),
            ..Worth::default()
        },
        evidence: evidence(watched, lifetime, hits, &gained),
    })
}

/// What a lifetime saves beyond what is saved as things are.
struct Gained {
    requests: f64,
    seconds: f64,
}

impl Gained {
    fn of(hits: &Hits, configured: &Hits, scale: f64) -> Self {
        Self {
            requests: hits.requests.saturating_sub(configured.requests) as f64 * scale,
            seconds: hits.upstream.saturating_sub(configured.upstream).as_secs_f64() * scale,
        }
    }
}

fn evidence(watched: &Watched, lifetime: Duration, hits: &Hits, gained: &Gained) -> BTreeMap<&'static str, Figure> {
    let Figures { answers, watched: looked_at, identified, repeats, same, .. } = watched.figures;
    BTreeMap::from([
        ("answers", Figure::Count(answers)),
        ("answers_watched", Figure::Count(looked_at)),
        ("answers_identified", Figure::Count(identified)),
        ("answers_repeated", Figure::Count(repeats)),
        ("answers_repeated_same", Figure::Count(same)),
        ("lifetime_seconds", Figure::Count(lifetime.as_secs())),
        ("hits", Figure::Count(hits.requests)),
        ("hits_outdated", Figure::Count(hits.outdated)),
        ("hits_outdated_percent", Figure::Number(percent(hits.outdated, hits.requests))),
        ("hit_rate_percent", Figure::Number(percent(hits.requests, looked_at))),
        ("upstream_requests_saved", Figure::Number(gained.requests)),
        ("upstream_seconds_saved", Figure::Number(gained.seconds)),
        ("identities_agreeing", Figure::Count(watched.agreed)),
    ])
}

pub(super) fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole.max(1) as f64
}

/// A number with a digit behind the point where that says something.
fn shown(number: f64) -> String {
    if number >= 100.0 { say::grouped(number.round() as u64) } else { format!("{number:.1}") }
}
