//! Which query the planner is asked about next.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    super::{
        book::Calls,
        fingerprint::{Dialect, Fingerprint, Kind},
    },
    verdict::Verdict,
};

/// Executions in an hour from which on a query is worth it, if none of them is slow.
const MANY: u64 = 20;
/// How long an answer counts.
const LASTS: Duration = Duration::from_secs(24 * 3600);
/// How long it counts where something is to be done, which may be done by now.
const LASTS_UNSETTLED: Duration = Duration::from_secs(3600);
/// By so much shorter or longer a query takes another way.
const CHANGED: f64 = 10.0;

/// A query that the planner is to be asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which one.
    pub id: Fingerprint,
    /// Its shape.
    pub shape: Arc<str>,
    /// What it does.
    pub kind: Kind,
    /// The database that it is asked of, as far as that is known.
    pub database: Option<Arc<str>>,
}

/// What the planner's answer was.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// What it means.
    pub verdict: Arc<Verdict>,
    /// When it was asked.
    pub at: Instant,
    /// How long the query took then, on average.
    pub took: Duration,
}

/// What is known of a query that may be asked about.
pub(in super::super) struct Stands<'a> {
    pub(in super::super) kind: Kind,
    pub(in super::super) dialect: Dialect,
    /// It is one that counts, and its whole shape is known.
    pub(in super::super) is_whole: bool,
    pub(in super::super) explained: Option<&'a Explained>,
}

impl Stands<'_> {
    /// Whether its executions could make it worth it, which takes longer to look up.
    pub(in super::super) fn may_be_due(&self) -> bool {
        let searches = matches!(self.kind, Kind::Select | Kind::Update | Kind::Delete);
        self.is_whole && searches && matches!(self.dialect, Dialect::Postgres | Dialect::Unknown)
    }
}

/// Whether the planner is to be asked about a query that was executed like this in the last hour.
pub(in super::super) fn is_due(stands: &Stands<'_>, calls: &Calls, now: Instant) -> bool {
    if !stands.may_be_due() || calls.calls < MANY && calls.slow == 0 {
        return false;
    }
    let Some(explained) = stands.explained else { return true };
    let lasts = match *explained.verdict {
        Verdict::Missing(_) | Verdict::Unanalyzed { .. } => LASTS_UNSETTLED,
        _ => LASTS,
    };
    let took = calls.spread.timing().map_or(Duration::ZERO, |timing| timing.avg).as_secs_f64();
    let then = explained.took.as_secs_f64();
    now.saturating_duration_since(explained.at) >= lasts || took > CHANGED * then || then > CHANGED * took
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(count: u64, took: Duration) -> Calls {
        let mut calls = Calls { calls: count, ..Calls::default() };
        (0..count).for_each(|_| calls.spread.add(took));
        calls
    }

    const MILLI: Duration = Duration::from_millis(1);

    fn stands(explained: Option<&Explained>) -> Stands<'_> {
        Stands { kind: Kind::Select, dialect: Dialect::Postgres, is_whole: true, explained }
    }

    #[test]
    fn what_is_asked_often_or_slow_is_worth_it() {
        let now = Instant::now();
        assert!(is_due(&stands(None), &calls(20, MILLI), now));
        assert!(!is_due(&stands(None), &calls(19, MILLI), now));
        assert!(is_due(&stands(None), &Calls { slow: 1, ..calls(1, MILLI) }, now));
        for kind in Kind::ALL {
            let searches = matches!(kind, Kind::Select | Kind::Update | Kind::Delete);
            assert_eq!(is_due(&Stands { kind, ..stands(None) }, &calls(20, MILLI), now), searches, "{kind:?}");
        }
        for (dialect, expected) in
            [(Dialect::Postgres, true), (Dialect::Unknown, true), (Dialect::MySql, false), (Dialect::Sqlite, false)]
        {
            assert_eq!(is_due(&Stands { dialect, ..stands(None) }, &calls(20, MILLI), now), expected, "{dialect:?}");
        }
        assert!(!is_due(&Stands { is_whole: false, ..stands(None) }, &calls(20, MILLI), now));
    }

    #[test]
    fn an_answer_counts_for_a_while() {
        let at = Instant::now();
        let hours = |hours: u64| at + Duration::from_secs(hours * 3600);
        for (verdict, now, took, expected) in [
            (Verdict::Fine, hours(23), MILLI, false),
            (Verdict::Fine, hours(24), MILLI, true),
            (Verdict::Fine, hours(0), 11 * MILLI, true),
            (Verdict::Fine, hours(0), 9 * MILLI, false),
            (Verdict::Fine, hours(0), MILLI / 20, true),
            (Verdict::Unanalyzed { table: "t".into() }, hours(1), MILLI, true),
            (Verdict::Unexplainable("why".into()), hours(23), MILLI, false),
            (Verdict::Unexplainable("why".into()), hours(24), MILLI, true),
        ] {
            let explained = Explained { verdict: verdict.into(), at, took: MILLI };
            assert_eq!(is_due(&stands(Some(&explained)), &calls(20, took), now), expected, "{explained:?}");
        }
    }
}
