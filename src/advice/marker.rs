//! Moments from which on things may be different: other settings, another version of the app, an empty cache.

use std::{
    collections::VecDeque,
    ops::Range,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::profile;

/// As many are remembered.
const MOST: usize = 50;
/// Comparisons are made of the newest ones: older ones have been told.
const MOST_CHANGES: usize = 6;

/// A moment from which on things may be different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// When it was.
    pub at: Instant,
    /// What it was.
    pub kind: Kind,
    /// What people call it: 1 to [`Marker::LONGEST_LABEL`] characters, none of them a control character.
    pub label: String,
}

/// What may make things different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Settings were taken up, be it at the start.
    Reload,
    /// Somebody says that the app is another one.
    Deploy,
    /// Everything was purged from the cache.
    Purge,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Reload, Self::Deploy, Self::Purge];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Deploy => "deploy",
            Self::Purge => "purge",
        }
    }
}

impl Marker {
    /// Characters of a label.
    pub const LONGEST_LABEL: usize = 100;

    /// Its kind and its label.
    fn name(&self) -> String {
        format!("{} {}", self.kind.name(), self.label)
    }
}

/// The last fifty markers.
#[derive(Debug, Default)]
pub struct Markers(Mutex<VecDeque<Marker>>);

impl Markers {
    /// Remembers one. Where there are too many, the oldest purge is forgotten, since a program may purge every minute; and
    /// where there is none, the oldest.
    pub fn mark(&self, marker: Marker) {
        let mut markers = self.0.lock();
        markers.push_back(marker);
        if markers.len() > MOST {
            let purge = markers.iter().position(|marker| marker.kind == Kind::Purge);
            markers.remove(purge.unwrap_or(0));
        }
    }

    /// All of them, the newest first.
    pub fn all(&self) -> Vec<Marker> {
        self.0.lock().iter().rev().cloned().collect()
    }
}

/// One marker, or several that are too near to be told apart, and the minutes before and after to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is called.
    pub name: String,
    /// Minutes before it, back to an hour or to the one before.
    pub before: Range<u64>,
    /// Minutes after it, up to an hour or to the next one.
    pub after: Range<u64>,
}

/// What was counted before and after a marker.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// What the marker is called, such as `deploy v1.4.2`.
    pub name: String,
    /// The endpoints before it.
    pub before: Vec<profile::Endpoint>,
    /// The endpoints after it.
    pub after: Vec<profile::Endpoint>,
    /// How long that is after it.
    pub lasts: Duration,
}

/// The minutes to compare for each marker, the newest first. `minute` says in which one something was; `now` is the
/// current one.
///
/// Purges are left out: that the app has more to do right after one is no wonder.
pub fn steps(markers: &[Marker], minute: impl Fn(Instant) -> u64, now: u64) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for marker in markers.iter().filter(|marker| marker.kind != Kind::Purge) {
        let Some([mut before, mut after]) = profile::around(minute(marker.at), now) else { break };
        if let Some(next) = steps.last_mut() {
            if after.start > next.before.end {
                // In one step of what is kept of the past, or in two that have nothing between them.
                next.name = format!("{} and {}", marker.name(), next.name);
                next.before = before;
                continue;
            }
            after.end = after.end.min(next.before.end);
            next.before.start = next.before.start.max(after.start);
        }
        if steps.len() == MOST_CHANGES {
            break;
        }
        before.start = before.start.min(before.end);
        steps.push(Step { name: marker.name(), before, after });
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn marker(at: Instant, kind: Kind, label: &str) -> Marker {
        Marker { at, kind, label: label.into() }
    }

    #[test]
    fn fifty_are_remembered_and_purges_are_forgotten_first() {
        let (markers, now) = (Markers::default(), Instant::now());
        markers.mark(marker(now, Kind::Deploy, "first"));
        for n in 0..60 {
            markers.mark(marker(now, Kind::Purge, &n.to_string()));
        }
        let all = markers.all();
        let labels: Vec<&str> = all.iter().map(|marker| &*marker.label).collect();
        assert_eq!((labels.len(), labels[0], labels[48], labels[49]), (50, "59", "11", "first"));
        for n in 0..60 {
            markers.mark(marker(now, Kind::Deploy, &n.to_string()));
        }
        let all = markers.all();
        assert_eq!((all.len(), &*all[49].label, all[49].kind), (50, "10", Kind::Deploy));
    }

    /// Steps of markers that were so many minutes ago, at 10:00.
    fn steps_of(ago: &[(u64, Kind)]) -> Vec<(String, Range<i64>, Range<i64>)> {
        const NOW: u64 = 29_000_160 + 10 * 60;
        let now = Instant::now();
        let markers: Vec<Marker> =
            ago.iter().map(|(ago, kind)| marker(now - MINUTE * *ago as u32, *kind, &ago.to_string())).collect();
        let minute = |at: Instant| NOW - (now - at).as_secs() / 60;
        let relative = |range: Range<u64>| range.start as i64 - NOW as i64..range.end as i64 - NOW as i64;
        let steps = steps(&markers, minute, NOW).into_iter();
        steps.map(|step| (step.name, relative(step.before), relative(step.after))).collect()
    }

    #[test]
    fn a_marker_has_an_hour_on_either_side_or_up_to_the_next() {
        use Kind::{Deploy, Purge, Reload};
        assert_eq!(steps_of(&[]), []);
        assert_eq!(steps_of(&[(3, Purge)]), []);
        assert_eq!(steps_of(&[(23, Deploy)]), [("deploy 23".into(), -85..-25, -20..0)]);
        assert_eq!(
            steps_of(&[(23, Deploy), (43, Reload)]),
            [("deploy 23".into(), -40..-25, -20..0), ("reload 43".into(), -105..-45, -40..-25)]
        );
        // A purge between them is none of theirs.
        assert_eq!(steps_of(&[(23, Deploy), (33, Purge)]), [("deploy 23".into(), -85..-25, -20..0)]);
    }

    #[test]
    fn markers_too_near_to_be_told_apart_are_one() {
        use Kind::{Deploy, Reload};
        assert_eq!(
            steps_of(&[(22, Deploy), (24, Reload), (25, Deploy)]),
            [("deploy 25 and reload 24 and deploy 22".into(), -85..-25, -20..0)]
        );
        // Neighbours in their steps, with nothing in between to compare.
        let neighbours = steps_of(&[(22, Deploy), (27, Reload)]);
        assert_eq!(neighbours.len(), 2, "{neighbours:?}");
        assert!(neighbours[0].1.is_empty(), "{neighbours:?}");
    }

    #[test]
    fn the_newest_ones_are_told() {
        let ago: Vec<(u64, Kind)> = (1..=12).map(|n| (n * 10, Kind::Deploy)).collect();
        assert_eq!(steps_of(&ago).len(), MOST_CHANGES);
        assert_eq!(steps_of(&[(26 * 60, Kind::Deploy)]), []);
    }
}
