//! One resource under a cache that is imagined.
//!
//! For each lifetime there is a copy: what a cache with that lifetime would hold. A request within the copy's time would
//! have been answered with it, and where the app has answered with something else, that copy was out of date.
//!
//! Beside the copies, the last few different answers are remembered, with some of those who had them. They tell a
//! resource that changes from one that depends on who asks: a change is seen by those who had the old answer, and the
//! old one does not come back.

use std::time::Duration;

use super::LIFETIMES;

/// Microseconds since the observer began.
pub(super) type Micros = u64;

/// Copies: one for each lifetime that is tried, and one as configured.
pub(super) const COPIES: usize = LIFETIMES.len() + 1;
/// The last of them.
pub(super) const CONFIGURED: usize = LIFETIMES.len();
/// Of those who had an answer, so many are remembered.
const HOLDERS: usize = 6;
/// Answers before the current one that are remembered.
const PAST: usize = 2;

/// What is known of one resource.
#[derive(Clone, Debug, Default)]
pub(super) struct Resource {
    copies: [Option<Copy>; COPIES],
    current: Version,
    past: [Version; PAST],
    /// The current version is new, and nobody who had the one before has been seen with it.
    unexplained: bool,
}

/// What a cache would hold.
#[derive(Clone, Copy, Debug)]
struct Copy {
    digest: u64,
    stored: Micros,
    until: Micros,
}

/// One of the answers.
#[derive(Clone, Copy, Debug, Default)]
struct Version {
    digest: u64,
    etag: Option<u64>,
    /// When its first answer had come, and when its last.
    since: Micros,
    until: Micros,
    holders: Holders,
}

/// Some who had an answer; the first ones, and the last one.
#[derive(Clone, Copy, Debug, Default)]
struct Holders {
    who: [u32; HOLDERS],
    count: u8,
    identified: bool,
}

/// An answer, as far as its resource is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    pub(super) digest: u64,
    pub(super) etag: Option<u64>,
    pub(super) identity: u64,
    pub(super) identified: bool,
    pub(super) began: Micros,
    pub(super) ended: Micros,
    /// How long the cache would keep it as configured.
    pub(super) configured: Option<Duration>,
    /// When the URL was last written to, by anybody; what was held then is gone.
    pub(super) invalidated: Option<Micros>,
    /// When the one who asks last wrote anything.
    pub(super) wrote: Option<Micros>,
}

/// What a copy would have been for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Would {
    Miss,
    Hit {
        /// The app answered with something else.
        outdated: bool,
        /// And the one who asks had written since the copy was made.
        own_write: bool,
    },
}

/// What an answer says about whether answers depend on who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dependence {
    /// It is the first, or one that was on its way while the answer changed.
    Nothing,
    /// It is the same as before.
    Same {
        /// For somebody else than the last one.
        another: bool,
        /// The one who asks had the answer before it, so that it has changed, and does not depend on who asks.
        explains: bool,
    },
    /// It is another one than before: either it has changed, or it depends on who asks.
    Changed {
        /// The one who asks is not known to have had the one before.
        unexplained: bool,
    },
    /// An answer of before has come back after so long, so that it was no change.
    Back(Duration),
    /// Two who are somebody in particular had different answers within so long.
    Between(Duration),
}

impl Resource {
    /// The digest of what is current, if its entity tag is this one.
    pub(super) fn by_etag(&self, etag: u64) -> Option<u64> {
        let versions = std::iter::once(&self.current).chain(&self.past);
        versions.into_iter().find(|version| version.etag == Some(etag)).map(|version| version.digest)
    }

    /// When it was last seen.
    pub(super) fn last_seen(&self) -> Micros {
        self.current.until
    }

    /// Whether it was seen before.
    pub(super) fn is_known(&self) -> bool {
        self.current.until > 0
    }

    /// Takes up an answer.
    pub(super) fn take(&mut self, given: &Given) -> ([Would; COPIES], Dependence) {
        let would = std::array::from_fn(|at| self.ask_copy(at, given));
        (would, self.compare(given))
    }

    fn ask_copy(&mut self, at: usize, given: &Given) -> Would {
        let held = self.copies[at].filter(|copy| given.invalidated.is_none_or(|written| written < copy.stored));
        if let Some(copy) = held.filter(|copy| given.began < copy.until) {
            let outdated = copy.digest != given.digest;
            let own_write = outdated && given.wrote.is_some_and(|at| copy.stored <= at && at <= given.began);
            return Would::Hit { outdated, own_write };
        }
        let lifetime = LIFETIMES.get(at).copied().or(given.configured);
        self.copies[at] = lifetime.map(|lifetime| Copy {
            digest: given.digest,
            stored: given.ended,
            until: given.ended + micros(lifetime),
        });
        Would::Miss
    }

    fn compare(&mut self, given: &Given) -> Dependence {
        let (who, known) = (fold(given.identity), self.is_known());
        if !known {
            self.current = Version { digest: given.digest, since: given.ended, ..Version::default() };
            self.current.hold(given, who);
            return Dependence::Nothing;
        }
        if self.current.digest == given.digest {
            let another = !self.current.holders.is_last(who);
            let explains = self.unexplained && self.past[0].holders.has(who);
            self.unexplained &= !explains;
            self.current.hold(given, who);
            return Dependence::Same { another, explains };
        }
        if let Some(at) = self.past.iter().position(|past| past.until > 0 && past.digest == given.digest) {
            // Asked for before the change had been seen, it may have been on its way meanwhile.
            if given.began <= self.current.since {
                return Dependence::Nothing;
            }
            let gap = given.began.saturating_sub(self.past[at].until);
            self.past[at].hold(given, who);
            return Dependence::Back(Duration::from_micros(gap));
        }
        let before = self.current;
        let gap = Duration::from_micros(given.began.saturating_sub(before.until));
        let by_the_same = before.holders.has(who);
        self.unexplained = !by_the_same;
        self.past.rotate_right(1);
        self.past[0] = before;
        self.current = Version { digest: given.digest, since: given.ended, ..Version::default() };
        self.current.hold(given, who);
        match !by_the_same && (given.identified || before.holders.identified) {
            true => Dependence::Between(gap),
            false => Dependence::Changed { unexplained: !by_the_same },
        }
    }
}

impl Version {
    fn hold(&mut self, given: &Given, who: u32) {
        self.until = self.until.max(given.ended).max(1);
        self.etag = given.etag.or(self.etag);
        self.holders.add(who, given.identified);
    }
}

impl Holders {
    fn add(&mut self, who: u32, identified: bool) {
        self.identified |= identified;
        let count = usize::from(self.count);
        if let Some(at) = self.who[..count].iter().position(|known| *known == who) {
            // The last one is who asked last.
            self.who.swap(at, count - 1);
        } else if count < HOLDERS {
            self.who[count] = who;
            self.count += 1;
        } else {
            self.who[HOLDERS - 1] = who;
        }
    }

    fn has(&self, who: u32) -> bool {
        self.who[..usize::from(self.count)].contains(&who)
    }

    fn is_last(&self, who: u32) -> bool {
        self.count > 0 && self.who[usize::from(self.count) - 1] == who
    }
}

fn fold(identity: u64) -> u32 {
    (identity ^ (identity >> 32)) as u32
}

pub(super) fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 4)
}
