//! The one place where queries of all sources come together.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use super::{
    book::New,
    event::{QueryEvent, Request},
    explain::{Question, Verdict},
    fingerprint::{Fingerprint, Key, Mask, Print, fingerprint_masked},
    otlp::{Decoded, Span},
    record::Record,
    settings::Settings,
    snapshot::{Analysis, Snapshot, Sources},
    state::{Routed, State},
    trace::SpanId,
    unit::Executed,
};
use crate::rings::Rings;

/// Requests that wait in a thread's ring, and after how many of them all rings are emptied.
const RING: usize = 512;
const BATCH: usize = 64;
/// Spans that are taken at once, so that nobody waits long.
const AT_ONCE: usize = 512;
/// New queries that are looked at at once. Nobody has more, but who puts values where nobody expects them.
const MOST_NEW: usize = 256;

/// Sees what the app asks its database, from whatever source, joined to the requests that it was asked for.
///
/// [`Self::request`] is for the way of a request: it puts a few words into a ring of its thread. Everything else is for
/// those who have time, on a thread where nobody waits: a batch of spans takes some microseconds for each.
#[derive(Debug)]
pub struct Observer {
    rings: Rings<(Request, Instant), State>,
    key: Key,
    /// Those of the start: what is known already would stand beside what has other names from now on.
    masks: Vec<Mask>,
}

impl Observer {
    /// One that knows nothing yet.
    pub fn new(settings: Settings, now: Instant) -> Self {
        let masks = settings.mask_identifiers.clone();
        Self { rings: Rings::new(RING, BATCH, State::new(settings, now)), key: Key::default(), masks }
    }

    /// Takes up other settings, but for what is masked; what is known stays.
    pub fn set(&self, settings: Settings) {
        self.rings.sink().settings = Settings { mask_identifiers: self.masks.clone(), ..settings };
    }

    /// Takes a request that the app answered; what came from the cache is none. Short, never awaits.
    pub fn request(&self, request: Request, ended: Instant) {
        self.rings.put((request, ended));
    }

    /// Takes the spans of a body; what they say of the routes of requests that passed here, each route once.
    pub fn spans<'a>(&self, decoded: &'a Decoded<'_>, now: Instant) -> Vec<Routed<'a>> {
        self.rings.sink().sources.rejected += decoded.rejected;
        let mut routed: HashMap<&str, Routed<'a>, RandomState> = HashMap::default();
        for spans in decoded.spans.chunks(AT_ONCE) {
            let queries: Vec<Option<(QueryEvent<'_>, Print<'_>)>> = spans.iter().map(|span| self.print(span)).collect();
            let new = self.new_queries(queries.iter().flatten());
            let mut state = self.rings.settled();
            for (span, query) in spans.iter().zip(&queries) {
                state.sources.spans += 1;
                match query {
                    Some((event, print)) => {
                        state.query(event, print, self.executed(event, print), new.get(&print.id), now)
                    }
                    None => state.span(span, now),
                }
                if let Some(route) = span.route.as_deref().filter(|route| !routed.contains_key(route)) {
                    routed.extend(state.routed(span).map(|found| (route, found)));
                }
            }
        }
        routed.into_values().collect()
    }

    /// Takes records that the app posted.
    pub fn records(&self, records: &[Record], now: Instant) {
        for records in records.chunks(AT_ONCE) {
            let queries: Vec<(QueryEvent<'_>, Print<'_>)> = records
                .iter()
                .map(|record| {
                    let mut event = QueryEvent::of_record(record);
                    let print = fingerprint_masked(event.text, event.dialect, &self.key, &self.masks);
                    if let (None, Some((trace, span))) = (event.trace, print.comment.trace()) {
                        (event.trace, event.parent) = (Some(trace), Some(span));
                    }
                    (event, print)
                })
                .collect();
            let new = self.new_queries(queries.iter());
            let mut state = self.rings.settled();
            for (event, print) in &queries {
                state.query(event, print, self.executed(event, print), new.get(&print.id), now);
            }
        }
    }

    fn print<'a>(&self, span: &'a Span<'_>) -> Option<(QueryEvent<'a>, Print<'a>)> {
        let event = QueryEvent::of_span(span)?;
        let print = fingerprint_masked(event.text, event.dialect, &self.key, &self.masks);
        Some((event, print))
    }

    /// What queries are that are not known yet, found out while nobody waits for the tables.
    fn new_queries<'a, 'b: 'a>(
        &self,
        queries: impl Iterator<Item = &'a (QueryEvent<'b>, Print<'b>)>,
    ) -> HashMap<Fingerprint, New, RandomState> {
        let mut seen: HashSet<Fingerprint, RandomState> = HashSet::default();
        let mut new: Vec<(&QueryEvent<'_>, Fingerprint)> = Vec::new();
        {
            let state = self.rings.sink();
            for (event, print) in queries {
                if seen.insert(print.id) && !state.book.is_known(print.id) && new.len() < MOST_NEW {
                    new.push((event, print.id));
                }
            }
        }
        new.into_iter().map(|(event, id)| (id, New::of(event, &self.masks))).collect()
    }

    fn executed(&self, event: &QueryEvent<'_>, print: &Print<'_>) -> Executed {
        let start = event.start.unwrap_or(0);
        let took = u64::try_from(event.took.as_nanos()).unwrap_or(u64::MAX);
        let sent = event.sent.map(|sent| self.key.hash([&sent.to_le_bytes()[..]]));
        Executed {
            values: sent.map_or(print.values, |sent| print.values.with_sent(sent)),
            is_batch: event.is_batch,
            is_error: event.is_error,
            start,
            end: start.saturating_add(took),
            ..Executed::of(print)
        }
    }

    /// Looks at traces that nothing more is expected of, and forgets what is too long ago. To be called every few
    /// seconds.
    pub fn turn(&self, now: Instant) {
        self.rings.settled().turn(now);
    }

    /// Takes out how many queries each request made whose queries came to be known since the last time, by the span that it
    /// was sent to the app with.
    pub fn counted(&self) -> HashMap<SpanId, u32> {
        std::mem::take(&mut self.rings.sink().counted)
    }

    /// What is known of the last time of this length, a minute to 24 hours.
    pub fn snapshot(&self, window: Duration, now: Instant) -> Snapshot {
        let mut state = self.rings.settled();
        state.turn(now);
        state.snapshot(window, now)
    }

    /// The query that the planner is to be asked about next.
    pub fn question(&self, now: Instant) -> Option<Question> {
        self.rings.settled().question(now)
    }

    /// The question about one query, if that is known, and whether its whole shape is, without which it cannot be planned.
    pub fn question_about(&self, id: Fingerprint) -> Option<(Question, bool)> {
        self.rings.settled().question_about(id)
    }

    /// Takes what the planner's answer about a query means.
    pub fn explained(&self, id: Fingerprint, verdict: Verdict, now: Instant) {
        self.rings.sink().explained(id, verdict, now);
    }

    /// Takes how the search for missing indexes stands.
    pub fn analysis(&self, analysis: Analysis) {
        let mut state = self.rings.sink();
        state.explain_failures += u64::from(matches!(analysis, Analysis::Failing(_)));
        state.analysis = analysis;
    }

    /// Queries that the planner was asked about since the start, in the order of [`Verdict::NAMES`], and how often the
    /// database did not answer.
    pub fn explains(&self) -> ([u64; Verdict::NAMES.len()], u64) {
        let state = self.rings.sink();
        (state.explains, state.explain_failures)
    }

    /// What sources handed in since the start.
    pub fn sources(&self) -> Sources {
        self.rings.sink().sources
    }
}
