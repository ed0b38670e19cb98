//! What is counted of an endpoint, in steps of five minutes over an hour.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{
    LIFETIMES, SPARSE_BYTES,
    answer::{Answer, Content},
    resource::{CONFIGURED, COPIES, Dependence, Micros, Would, micros},
};

/// A step, and how many of them are kept beside the one that is not over.
const STEP: Duration = Duration::from_secs(300);
const STEPS: usize = 12;
/// For so long what was seen to depend on who asks is not advised to be cached.
const VETO: Duration = Duration::from_secs(86_400);

/// What was counted of an endpoint's answers over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Whole answers of the app to GET.
    pub answers: u64,
    /// Of them, those to which a cache that is imagined was asked; all that follows is of these.
    pub watched: u64,
    /// Of them, those to somebody in particular.
    pub identified: u64,
    /// Of them, those that set a cookie.
    pub set_cookie: u64,
    /// Of them, those whose body has next to nothing in it.
    pub sparse: u64,
    /// Answers that were compared with the one before of the same resource, and those that were the same.
    pub repeats: u64,
    /// See `repeats`.
    pub same: u64,
    /// Of the same ones, those where somebody else than before asked.
    pub same_for_another: u64,
    /// Other answers than before for somebody who is not known to have had the one before; less those of which it
    /// turned out that they were changes.
    pub unexplained: i64,
    /// How long the app took for what is watched.
    pub upstream: Duration,
    /// Bytes of the bodies that are watched.
    pub bytes: u64,
    /// What a cache would have done with each of [`LIFETIMES`].
    pub lifetimes: [Hits; LIFETIMES.len()],
    /// What the cache would have done as things are configured.
    pub configured: Hits,
}

/// What a cache would have answered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hits {
    /// Requests.
    pub requests: u64,
    /// Of them, those where the app answered with something else by then.
    pub outdated: u64,
    /// Of these, those where the client itself had written something since.
    pub own_writes: u64,
    /// How long the app took for them.
    pub upstream: Duration,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// What is counted of one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    step: u64,
    current: Figures,
    past: VecDeque<Figures>,
    /// For each lifetime, when an answer came back, or two people had different ones, within it.
    pub(super) depends: [Option<Micros>; LIFETIMES.len()],
    /// Who had the same answer as another, by a hash of who they are.
    pub(super) agreed: Distinct,
    /// Why answers could not be stored, those of late counting more.
    pub(super) obstacles: BTreeMap<&'static str, u64>,
    pub(super) storable: u64,
}

impl Figures {
    fn merge(&mut self, other: &Self) {
        self.answers += other.answers;
        self.watched += other.watched;
        self.identified += other.identified;
        self.set_cookie += other.set_cookie;
        self.sparse += other.sparse;
        self.repeats += other.repeats;
        self.same += other.same;
        self.same_for_another += other.same_for_another;
        self.unexplained += other.unexplained;
        self.upstream += other.upstream;
        self.bytes += other.bytes;
        self.lifetimes.iter_mut().zip(&other.lifetimes).for_each(|(mine, theirs)| mine.merge(theirs));
        self.configured.merge(&other.configured);
    }
}

impl Hits {
    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.outdated += other.outdated;
        self.own_writes += other.own_writes;
        self.upstream += other.upstream;
        self.bytes += other.bytes;
    }

    fn count(&mut self, would: Would, upstream: Duration, bytes: u64) {
        if let Would::Hit { outdated, own_write } = would {
            self.requests += 1;
            self.outdated += u64::from(outdated);
            self.own_writes += u64::from(own_write);
            self.upstream += upstream;
            self.bytes += bytes;
        }
    }
}

impl Tally {
    pub(super) fn new(now: Micros) -> Self {
        Self {
            step: now / micros(STEP),
            current: Figures::default(),
            past: VecDeque::new(),
            depends: Default::default(),
            agreed: Distinct::default(),
            obstacles: BTreeMap::new(),
            storable: 0,
        }
    }

    /// Counts an answer that is not watched.
    pub(super) fn pass(&mut self, now: Micros) {
        self.turn(now);
        self.current.answers += 1;
    }

    /// Counts an answer that is watched, of so many bytes.
    pub(super) fn count(
        &mut self,
        answer: &Answer<'_>,
        (would, dependence): ([Would; COPIES], Dependence),
        now: Micros,
    ) {
        self.turn(now);
        let figures = &mut self.current;
        let bytes = if let Content::Whole(_, bytes) = answer.content { bytes } else { 0 };
        figures.answers += 1;
        figures.watched += 1;
        figures.identified += u64::from(answer.identified);
        figures.set_cookie += u64::from(answer.sets_cookie);
        figures.sparse += u64::from(bytes <= SPARSE_BYTES && answer.content != Content::Unchanged(answer.etag));
        figures.upstream += answer.upstream;
        figures.bytes += bytes;
        for (hits, would) in figures.lifetimes.iter_mut().zip(would) {
            hits.count(would, answer.upstream, bytes);
        }
        figures.configured.count(would[CONFIGURED], answer.upstream, bytes);
        figures.repeats += u64::from(dependence != Dependence::Nothing);
        match dependence {
            Dependence::Nothing => {}
            Dependence::Same { another, explains } => {
                figures.same += 1;
                figures.same_for_another += u64::from(another);
                figures.unexplained -= i64::from(explains);
                if another {
                    self.agreed.add(answer.identity);
                }
            }
            Dependence::Changed { unexplained } => figures.unexplained += i64::from(unexplained),
            Dependence::Back(gap) | Dependence::Between(gap) => {
                for (at, lifetime) in LIFETIMES.iter().enumerate() {
                    if gap <= *lifetime {
                        self.depends[at] = Some(now);
                    }
                }
            }
        }
        match answer.obstacle {
            // What is confirmed was sent before.
            _ if matches!(answer.content, Content::Unchanged(_)) => {}
            Some(why) => *self.obstacles.entry(why).or_default() += 1,
            None => self.storable += 1,
        }
    }

    pub(super) fn turn(&mut self, now: Micros) {
        let step = now / micros(STEP);
        // What is longer ago than everything that is kept.
        self.step = self.step.max(step.saturating_sub(STEPS as u64 + 1));
        while self.step < step {
            self.past.push_back(std::mem::take(&mut self.current));
            if self.past.len() > STEPS {
                self.past.pop_front();
            }
            self.step += 1;
            self.obstacles.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
            self.storable /= 2;
        }
    }

    /// All that is kept.
    pub(super) fn figures(&self) -> Figures {
        let mut figures = self.current;
        self.past.iter().for_each(|past| figures.merge(past));
        figures
    }

    /// Counts what another endpoint counted that has the same name by now; both are of the same step.
    pub(super) fn merge(&mut self, other: &Self) {
        self.current.merge(&other.current);
        while self.past.len() < other.past.len() {
            self.past.push_front(Figures::default());
        }
        self.past.iter_mut().rev().zip(other.past.iter().rev()).for_each(|(mine, theirs)| mine.merge(theirs));
        for (mine, theirs) in self.depends.iter_mut().zip(other.depends) {
            *mine = (*mine).max(theirs);
        }
        self.agreed.merge(&other.agreed);
        other.obstacles.iter().for_each(|(why, count)| *self.obstacles.entry(why).or_default() += count);
        self.storable += other.storable;
    }

    /// Whether answers were seen to depend on who asks within each lifetime.
    pub(super) fn depends(&self, now: Micros) -> [bool; LIFETIMES.len()] {
        self.depends.map(|seen| seen.is_some_and(|at| now.saturating_sub(at) < micros(VETO)))
    }
}

/// How many different ones there were, about: linear counting (Whang, Vander-Zanden and Taylor, 1990), good to a few
/// percent up to ten thousand.
#[derive(Clone, Debug)]
pub(super) struct Distinct([u64; 64]);

impl Default for Distinct {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl Distinct {
    const BITS: f64 = 4096.0;

    pub(super) fn add(&mut self, hash: u64) {
        let bit = (hash ^ (hash >> 29)) as usize % 4096;
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine |= theirs);
    }

    pub(super) fn count(&self) -> u64 {
        let empty: u32 = self.0.iter().map(|word| word.count_zeros()).sum();
        (Self::BITS * (Self::BITS / f64::from(empty.max(1))).ln()).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_ones_are_counted_about_right() {
        let mut random = fastrand::Rng::with_seed(1);
        for count in [0u64, 1, 20, 100, 1000, 5000] {
            let mut distinct = Distinct::default();
            let hashes: Vec<u64> = (0..count).map(|_| random.u64(..)).collect();
            (0..3).for_each(|_| hashes.iter().for_each(|hash| distinct.add(*hash)));
            let counted = distinct.count();
            assert!(counted.abs_diff(count) <= 1 + count / 20, "{counted} for {count}");
        }
    }
}
