//! A reader of a flight: a request that waits for what another one's fetch, or its own, brings.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use crate::{
    cache::Entry,
    header::{ResponseHead, coding::Coding},
    traffic::UpstreamFailure,
};

use super::{
    coding::Making,
    flight::{Answered, End, Flight, InCoding, State},
};

/// What a reader learns first.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// An interim response; more follows.
    Interim(ResponseHead),
    /// The head; the body may be read.
    Head(Arc<Answered>),
    /// The response is not for sharing, and another request keeps it.
    NotShared,
    /// No answer could be had.
    Failed(UpstreamFailure),
    /// What is stored is to stand in for an error of the origin.
    StandIn,
}

/// One reader of a flight, at its own pace.
pub(super) struct Reader {
    flight: Arc<Flight>,
    /// The place in the flight's list; 0 is the request that began it.
    number: usize,
    /// Interim responses seen so far.
    interim: usize,
}

impl Reader {
    /// Joins a flight; `None` when it can be joined no more.
    pub(super) fn join(flight: Arc<Flight>) -> Option<Self> {
        let number = {
            let mut state = flight.state.lock();
            // A failure before any answer is one for whoever asks within a moment; a body that was cut is not.
            let cut = state.answered.is_some() && matches!(state.end, Some(End::Failed(_)));
            if state.windowed || cut {
                return None;
            }
            state.readers.push(Some(0));
            state.readers.len() - 1
        };
        Some(Self { flight, number, interim: 0 })
    }

    /// Whether this request began the flight.
    pub(super) fn began(&self) -> bool {
        self.number == 0
    }

    /// Since when the app is asked; before, the flight waits for its turn, as any other request would.
    pub(super) fn asked(&self) -> Option<Instant> {
        self.flight.state.lock().asked
    }

    /// Waits for the head, or for an interim response before it. Before the head nobody can tell whether the answer is
    /// for all: so an interim response is for the request that began the flight. Safe to cancel.
    pub(super) async fn answer(&mut self) -> Answer {
        let seen = self.interim;
        let answer = self.when(|state| {
            if let Some(interim) = state.interim.get(seen).filter(|_| self.began()) {
                return Some(Answer::Interim(interim.clone()));
            }
            if let Some(answered) = &state.answered {
                let mine = answered.is_shared() || self.began();
                return Some(if mine { Answer::Head(answered.clone()) } else { Answer::NotShared });
            }
            match state.end {
                Some(End::Failed(why)) => Some(Answer::Failed(why)),
                Some(End::StandIn) => Some(Answer::StandIn),
                _ => None,
            }
        });
        let answer = answer.await;
        self.interim += usize::from(matches!(answer, Answer::Interim(_)));
        answer
    }

    /// The response that the flight has become in the store, once it is whole.
    pub(super) fn stored(&self) -> Option<Arc<Entry>> {
        self.flight.state.lock().stored.clone()
    }

    /// Whether the body is no longer kept as a whole.
    pub(super) fn is_passing(&self) -> bool {
        self.flight.state.lock().windowed
    }

    /// Of a body in a coding: the bytes that it was made of, once it is whole.
    pub(super) fn coded_from(&self) -> Option<u64> {
        self.flight.state.lock().coded_from
    }

    /// The right to store the body in a coding, if it is stored.
    pub(super) fn making(&self, coding: Coding) -> Option<Making> {
        self.flight.state.lock().coded[coding as usize].as_mut()?.making.take()
    }

    /// A reader of the body in a coding, which all share who want it so. `begin` makes the flight for it, given the
    /// body's length if it is known, when there is none. `None` where nobody else may read it, or no longer.
    pub(super) fn coded(&self, coding: Coding, begin: impl FnOnce(Option<u64>) -> Option<Arc<Flight>>) -> Option<Self> {
        let mut state = self.flight.state.lock();
        let answered = state.answered.as_ref().filter(|answered| answered.decision.is_ok())?;
        let length = answered.head.content_length();
        if state.windowed || state.stored.is_some() || state.end.is_some() {
            return None;
        }
        let in_coding = &mut state.coded[coding as usize];
        if in_coding.is_none() {
            *in_coding = Some(InCoding { flight: begin(length)?, making: None });
        }
        Self::join(in_coding.as_ref()?.flight.clone())
    }

    /// Waits for the next part of the body; `None` at its end. Safe to cancel.
    pub(super) async fn next(&self) -> Result<Option<Bytes>, UpstreamFailure> {
        self.when(|state| {
            let at = state.readers[self.number].unwrap_or(usize::MAX);
            if let Some(chunk) = at.checked_sub(state.dropped).and_then(|at| state.chunks.get(at)).cloned() {
                state.readers[self.number] = Some(at + 1);
                if state.windowed {
                    state.drop_taken();
                    self.flight.taken.notify_one();
                }
                return Some(Ok(Some(chunk)));
            }
            state.end.map(|end| end.failed().map_or(Ok(None), Err))
        })
        .await
    }

    /// Waits until a look at the state finds something. The lock is never held while waiting.
    async fn when<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.flight.changed.notified();
            tokio::pin!(changed);
            // Before the look: a change after it must wake us, and `notify_waiters` leaves no permit behind.
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.flight.state.lock()) {
                return found;
            }
            changed.await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.flight.state.lock();
        state.readers[self.number] = None;
        state.drop_taken();
        drop(state);
        self.flight.taken.notify_one();
    }
}
