//! What is known of each query: a bounded table by fingerprint.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use super::{
    event::{Endpoint, QueryEvent},
    explain::{Explained, Question, Stands, Verdict, is_due},
    fingerprint::{Dialect, Fingerprint, Kind, Mask, Print, normalise_masked, shown},
    history::{History, Merge, Minute},
    settings::Settings,
    spread::Spread,
    tables::{Predicate, Subject, subject},
};

/// A query that came within this time is not given up for another.
const IDLE: Duration = Duration::from_secs(600);
/// After all were busy, so long nobody looks again for one to give up.
const PATIENCE: Duration = Duration::from_secs(10);
/// Endpoints of a query that are told apart.
const MOST_ENDPOINTS: usize = 8;
/// Bytes of the whole table, above which queries are given up that take the least time.
const MOST_BYTES: usize = 24 << 20;

/// Executions in some time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Calls {
    /// How many.
    pub calls: u64,
    /// Of them, those that failed.
    pub errors: u64,
    /// Rows of those whose rows are known.
    pub rows: u64,
    /// How many those are.
    pub rows_known: u64,
    /// Of them, those that were slow.
    pub slow: u64,
    /// Of them, those that took very long.
    pub critical: u64,
    /// Those that were slow and of which the app said that no index was used.
    pub slow_without_index: u64,
    /// How long they took.
    pub spread: Spread,
}

impl Merge for Calls {
    fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.errors += other.errors;
        self.rows = self.rows.saturating_add(other.rows);
        self.rows_known += other.rows_known;
        self.slow += other.slow;
        self.critical += other.critical;
        self.slow_without_index += other.slow_without_index;
        self.spread.merge(&other.spread);
    }

    fn heap_bytes(&self) -> usize {
        self.spread.heap_bytes()
    }
}

impl Calls {
    pub(super) fn add(&mut self, event: &QueryEvent<'_>, settings: &Settings) {
        self.calls += 1;
        self.errors += u64::from(event.is_error);
        if let Some(rows) = event.rows {
            self.rows = self.rows.saturating_add(rows);
            self.rows_known += 1;
        }
        let is_slow = event.took >= settings.slow;
        self.slow += u64::from(is_slow);
        self.critical += u64::from(event.took > settings.critical);
        self.slow_without_index += u64::from(is_slow && event.indexed == Some(false));
        self.spread.add(event.took);
    }
}

/// What a new query is, found out before the table is locked.
#[derive(Clone, Debug)]
pub(super) struct New {
    text: String,
    subject: Subject,
}

impl New {
    pub(super) fn of(event: &QueryEvent<'_>, masks: &[Mask]) -> Self {
        let text = normalise_masked(event.text, event.dialect, masks);
        let mut subject = subject(&text, event.dialect);
        // The source's word, where nothing was found: it may name what no statement has.
        if let Some(table) = event.table.filter(|_| subject.tables.is_empty()) {
            subject.tables.push(shown(table, masks));
        }
        Self { text, subject }
    }
}

/// A query that is known.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) text: Arc<str>,
    pub(super) dialect: Dialect,
    pub(super) kind: Kind,
    pub(super) counts: bool,
    pub(super) is_cut: bool,
    pub(super) tables: Arc<[String]>,
    pub(super) predicates: Arc<[Predicate]>,
    pub(super) name: Option<Arc<str>>,
    /// The database that it was seen first with.
    pub(super) database: Option<Arc<str>>,
    pub(super) explained: Option<Explained>,
    pub(super) first: Instant,
    pub(super) last: Instant,
    pub(super) history: History<Calls>,
    pub(super) endpoints: Vec<(Endpoint, History<u64>)>,
}

impl Known {
    fn new(print: &Print<'_>, event: &QueryEvent<'_>, new: New, settings: &Settings, now: Instant) -> Self {
        let text = if settings.store_text { new.text } else { String::new() };
        Self {
            text: text.into(),
            dialect: event.dialect,
            kind: print.kind,
            counts: print.counts(),
            is_cut: print.traits.cut,
            tables: new.subject.tables.into(),
            predicates: new.subject.predicates.into(),
            name: None,
            database: event.database.map(Arc::from),
            explained: None,
            first: now,
            last: now,
            history: History::default(),
            endpoints: Vec::new(),
        }
    }

    fn heap_bytes(&self) -> usize {
        let names: usize = self.tables.iter().map(String::len).sum();
        let predicates: usize = self.predicates.iter().map(|one| size_of::<Predicate>() + one.column.len() + 32).sum();
        let endpoints: usize = self.endpoints.iter().map(|(_, calls)| 100 + calls.heap_bytes()).sum();
        // Of a verdict, its names and a statement.
        let verdict = if self.explained.is_some() { 500 } else { 0 };
        size_of::<Self>() + verdict + self.text.len() + names + predicates + endpoints + self.history.heap_bytes()
    }

    fn stands(&self) -> Stands<'_> {
        let is_whole = self.counts && !self.is_cut && !self.text.is_empty();
        Stands { kind: self.kind, dialect: self.dialect, is_whole, explained: self.explained.as_ref() }
    }

    /// The time that it took in the last day.
    fn time(&self, minute: Minute) -> Duration {
        self.history.last(1440, minute).spread.sum()
    }
}

/// All queries that are known.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) known: HashMap<Fingerprint, Known, RandomState>,
    /// What all of them did, others included.
    pub(super) all: History<Calls>,
    /// What those did that no place is left for.
    pub(super) other: History<Calls>,
    /// Queries that were given up for others.
    pub(super) given_up: u64,
    refused_until: Option<Instant>,
}

impl Book {
    pub(super) fn is_known(&self, id: Fingerprint) -> bool {
        self.known.contains_key(&id)
    }

    /// Counts an execution; a query that is not known yet needs what it is.
    pub(super) fn add(
        &mut self,
        print: &Print<'_>,
        event: &QueryEvent<'_>,
        new: Option<&New>,
        settings: &Settings,
        (now, minute): (Instant, Minute),
    ) {
        self.all.now(minute).add(event, settings);
        if !self.is_known(print.id) {
            let Some(new) = new.filter(|_| self.has_room(settings, now, minute)) else {
                return self.other.now(minute).add(event, settings);
            };
            self.known.insert(print.id, Known::new(print, event, new.clone(), settings, now));
        }
        let Some(known) = self.known.get_mut(&print.id) else { return };
        known.last = now;
        if known.name.is_none() {
            known.name = event.name.map(|name| shown(name, &settings.mask_identifiers).into());
        }
        known.history.now(minute).add(event, settings);
    }

    /// Counts where an execution came from.
    pub(super) fn attribute(&mut self, id: Fingerprint, endpoint: &Endpoint, calls: u64, minute: Minute) {
        let Some(known) = self.known.get_mut(&id) else { return };
        let place = known.endpoints.iter().position(|(one, _)| one == endpoint).or_else(|| {
            known.endpoints.retain_mut(|(_, calls)| {
                calls.turn(minute);
                !calls.is_empty()
            });
            (known.endpoints.len() < MOST_ENDPOINTS).then(|| {
                known.endpoints.push((endpoint.clone(), History::default()));
                known.endpoints.len() - 1
            })
        });
        if let Some(place) = place {
            *known.endpoints[place].1.now(minute) += calls;
        }
    }

    /// The query that the planner is to be asked about next: of those that are worth it, what takes most time.
    pub(super) fn question(&self, (now, minute): (Instant, Minute)) -> Option<Question> {
        let may_be_due = self.known.iter().filter(|(_, known)| known.stands().may_be_due());
        let due = may_be_due.filter_map(|(id, known)| {
            let calls = known.history.last(60, minute);
            is_due(&known.stands(), &calls, now).then(|| (calls.spread.sum(), *id, known))
        });
        let (_, id, known) = due.max_by_key(|(took, id, _)| (*took, *id))?;
        Some(Question { id, shape: known.text.clone(), kind: known.kind, database: known.database.clone() })
    }

    /// The question about one query, and whether its whole shape is known, without which it cannot be planned.
    pub(super) fn question_about(&self, id: Fingerprint) -> Option<(Question, bool)> {
        let known = self.known.get(&id)?;
        let question = Question { id, shape: known.text.clone(), kind: known.kind, database: known.database.clone() };
        Some((question, known.stands().is_whole))
    }

    /// Takes the planner's answer.
    pub(super) fn explained(&mut self, id: Fingerprint, verdict: Arc<Verdict>, (now, minute): (Instant, Minute)) {
        let Some(known) = self.known.get_mut(&id) else { return };
        let took = known.history.last(60, minute).spread.timing().map_or(Duration::ZERO, |timing| timing.avg);
        known.explained = Some(Explained { verdict, at: now, took });
    }

    /// Whether there is room for one more, if need be by giving up some that were idle and took the least time.
    fn has_room(&mut self, settings: &Settings, now: Instant, minute: Minute) -> bool {
        if self.known.len() < settings.max_fingerprints {
            return true;
        }
        if self.refused_until.is_some_and(|until| now < until) {
            return false;
        }
        let idle = |known: &Known| now.saturating_duration_since(known.last) > IDLE;
        // A twentieth at once, so that not every new one looks at all of them.
        self.give_up(settings.max_fingerprints / 20 + 1, idle, minute);
        let has_room = self.known.len() < settings.max_fingerprints;
        self.refused_until = (!has_room).then(|| now + PATIENCE);
        has_room
    }

    fn give_up(&mut self, most: usize, may_go: impl Fn(&Known) -> bool, minute: Minute) {
        let may_go = self.known.iter().filter(|(_, known)| may_go(known));
        let mut least: Vec<(Duration, Fingerprint)> = may_go.map(|(id, known)| (known.time(minute), *id)).collect();
        least.sort_unstable();
        for (_, id) in least.into_iter().take(most) {
            self.known.remove(&id);
            self.given_up += 1;
        }
    }

    /// Forgets what is a day ago, and what is more than it may take.
    pub(super) fn turn(&mut self, minute: Minute) {
        self.known.retain(|_, known| {
            known.history.turn(minute);
            !known.history.is_empty()
        });
        self.all.turn(minute);
        self.other.turn(minute);
        let excess = self.bytes().saturating_sub(MOST_BYTES);
        if excess > 0 {
            let each = self.bytes() / self.known.len().max(1);
            self.give_up(excess / each.max(1) + 1, |_| true, minute);
        }
    }

    /// About what it takes.
    pub(super) fn bytes(&self) -> usize {
        self.known.values().map(Known::heap_bytes).sum()
    }
}
