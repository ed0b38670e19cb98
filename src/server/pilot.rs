//! The task's side of a flight: publishes what comes, and ends the flight however the task ends.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::time::sleep;

use crate::{
    cache::{Entry, Skip},
    header::{ResponseHead, coding::Coding},
    traffic::UpstreamFailure,
};

use super::coding::Makings;
use super::flight::{Answered, End, Flight, FlightKey, Flights, WINDOW_BYTES};

/// The task's side of a flight. Dropping it ends the flight, whatever happened.
pub(super) struct Pilot {
    flights: Arc<Flights>,
    key: FlightKey,
    flight: Arc<Flight>,
    max_object_bytes: u64,
    listed: bool,
    /// It is among the flights that are counted.
    counted: bool,
}

/// Whether a fetch is still of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// The body is kept as a whole so far, and may be stored at its end.
    Kept,
    /// The body streams through.
    Streamed,
    /// Nobody reads it and it will not be stored.
    None,
}

impl Pilot {
    /// `listed`: whether others find the flight in the table.
    pub(super) fn new(flights: Arc<Flights>, key: FlightKey, flight: Arc<Flight>, listed: bool) -> Self {
        let max_object_bytes = flights.max_object_bytes;
        Self { flights, key, flight, max_object_bytes, listed, counted: true }
    }

    pub(super) fn key(&self) -> &FlightKey {
        &self.key
    }

    /// Whether no request asked for it.
    pub(super) fn is_refresh(&self) -> bool {
        self.flight.state.lock().background
    }

    /// Says that the app is asked from now on, no longer only waited for.
    pub(super) fn asked(&self) {
        self.flight.state.lock().asked = Some(Instant::now());
    }

    /// Waits until nobody waits for the answer any more, which of a refresh nobody did from the start. Then the flight is
    /// in the table no longer, so that nobody joins it: what is left to do is to drop it.
    pub(super) async fn abandoned(&mut self) {
        loop {
            let flight = self.flight.clone();
            let taken = flight.taken.notified();
            tokio::pin!(taken);
            taken.as_mut().enable();
            {
                // Readers join under the table's lock.
                let mut listed = self.flights.shard(&self.key).lock();
                let state = self.flight.state.lock();
                if !state.background && state.readers.iter().all(Option::is_none) {
                    if std::mem::take(&mut self.listed) {
                        listed.remove(&self.key);
                    }
                    return;
                }
            }
            taken.await;
        }
    }

    /// Publishes an interim response.
    pub(super) fn interim(&mut self, head: ResponseHead) {
        self.flight.state.lock().interim.push(head);
        self.flight.changed.notify_waiters();
    }

    /// Publishes the head. What is not shared belongs to the request that began the flight: nobody else may see it.
    pub(super) fn answered(&mut self, answered: Arc<Answered>) -> Use {
        let mut state = self.flight.state.lock();
        let (storable, shared) = (answered.decision.is_ok(), answered.is_shared());
        state.windowed = !storable;
        state.answered = Some(answered);
        let began = state.readers.first().is_some_and(Option::is_some);
        drop(state);
        self.flight.changed.notify_waiters();
        if !shared {
            self.unlist();
        }
        match (storable, began) {
            (true, _) => Use::Kept,
            (false, true) => Use::Streamed,
            (false, false) => Use::None,
        }
    }

    /// Publishes a part of the body. A body that outgrows what may be stored, or for which there is no room, is kept
    /// no longer; says why.
    pub(super) fn part(&mut self, part: Bytes) -> Option<Skip> {
        let outgrown = self.push(part);
        if outgrown.is_some() {
            self.unlist();
        }
        self.flight.changed.notify_waiters();
        outgrown
    }

    /// Publishes the last part, and with it the end.
    pub(super) fn last(&mut self, part: Bytes) {
        // Whether it was stored is decided; who asks from now on finds it, or begins anew.
        self.push(part);
        self.complete();
    }

    fn push(&self, part: Bytes) -> Option<Skip> {
        let mut state = self.flight.state.lock();
        let mut outgrown = None;
        if !state.windowed {
            if !self.fits(state.chunk_bytes + part.len()) {
                outgrown = Some(Skip::TooLarge);
            } else if !state.room.take(part.len()) {
                outgrown = Some(Skip::NoRoom);
            }
            state.windowed = outgrown.is_some();
        }
        state.chunk_bytes += part.len();
        state.chunks.push_back(part);
        state.drop_taken();
        outgrown
    }

    fn fits(&self, bytes: usize) -> bool {
        bytes as u64 <= self.max_object_bytes
    }

    /// Whether the body is kept as a whole so far.
    pub(super) fn is_kept(&self) -> bool {
        !self.flight.state.lock().windowed
    }

    /// Waits until a stream that is not kept has room for more.
    pub(super) async fn room(&self) -> Use {
        loop {
            let taken = self.flight.taken.notified();
            tokio::pin!(taken);
            taken.as_mut().enable();
            {
                let state = self.flight.state.lock();
                if !state.windowed {
                    return Use::Kept;
                }
                if state.readers.iter().all(Option::is_none) {
                    return Use::None;
                }
                if state.chunk_bytes < WINDOW_BYTES {
                    return Use::Streamed;
                }
            }
            taken.await;
        }
    }

    /// Whether anybody reads.
    pub(super) fn has_readers(&self) -> bool {
        self.flight.state.lock().readers.iter().any(Option::is_some)
    }

    /// Waits until nobody reads a stream that is not kept.
    pub(super) async fn deserted(&self) {
        loop {
            let taken = self.flight.taken.notified();
            tokio::pin!(taken);
            taken.as_mut().enable();
            {
                let state = self.flight.state.lock();
                if state.windowed && state.readers.iter().all(Option::is_none) {
                    return;
                }
            }
            taken.await;
        }
    }

    /// The whole body with its last part, if it was kept and is not too large. One copy, of exactly its size; none for
    /// a body that came in one part.
    pub(super) fn whole_with(&self, last: Bytes) -> Option<Bytes> {
        let state = self.flight.state.lock();
        let bytes = state.chunk_bytes + last.len();
        if state.windowed || !self.fits(bytes) {
            return None;
        }
        match (state.chunks.len(), last.len()) {
            (0, _) => Some(last),
            (1, 0) => state.chunks.front().cloned(),
            _ => {
                let mut whole = Vec::with_capacity(bytes);
                state.chunks.iter().chain([&last]).for_each(|part| whole.extend_from_slice(part));
                Some(whole.into())
            }
        }
    }

    /// Publishes the response that the flight has become, before anybody finds it in the store: who wants it in a coding
    /// that is being made waits for that one.
    pub(super) fn stored(&self, entry: &Arc<Entry>, makings: &Makings) {
        let mut state = self.flight.state.lock();
        state.stored = Some(entry.clone());
        for coding in Coding::ALL {
            if let Some(in_coding) = &mut state.coded[coding as usize] {
                in_coding.making = makings.begin(entry, coding).ok();
            }
        }
    }

    /// Says how many bytes this body in a coding was made of.
    pub(super) fn coded_from(&self, bytes: u64) {
        self.flight.state.lock().coded_from = Some(bytes);
    }

    /// The message came to its own end.
    pub(super) fn complete(&mut self) {
        self.end(End::Complete);
    }

    /// There is no more to come. A failure before any answer is shared for a moment, so that an app that is down is not
    /// asked again by each who comes; until it answers somebody, that is. That it was spared is none of the app's failures.
    /// `responses` is how many the app has given so far.
    pub(super) fn failed(&mut self, why: UpstreamFailure, responses: u64) {
        if !why.is_refusal() && self.flight.state.lock().answered.is_none() {
            self.flight.state.lock().failed_after = Some(responses);
            self.linger();
        }
        self.end(End::Failed(why));
    }

    /// The origin answered with an error, and what is stored is to stand in for it: so it is for a moment.
    pub(super) fn stand_in(&mut self) {
        self.linger();
        self.end(End::StandIn);
    }

    /// Leaves the flight in the table for a moment after its end.
    fn linger(&mut self) {
        if std::mem::take(&mut self.listed) {
            self.counted = false;
            let (flights, key, flight) = (self.flights.clone(), self.key.clone(), self.flight.clone());
            tokio::spawn(async move {
                sleep(FAILURE_SHARED).await;
                flights.remove(&key, &flight);
                flights.count.fetch_sub(1, Relaxed);
            });
        }
    }

    fn end(&mut self, end: End) {
        // Out of the table first: who asks from now on begins anew, or finds what was stored.
        self.unlist();
        self.flight.state.lock().end.get_or_insert(end);
        self.flight.changed.notify_waiters();
    }

    fn unlist(&mut self) {
        if std::mem::take(&mut self.listed) {
            self.flights.remove(&self.key, &self.flight);
        }
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        // A task that ended without saying how was cancelled or panicked.
        self.end(End::Failed(UpstreamFailure::Closed));
        if self.counted {
            self.flights.count.fetch_sub(1, Relaxed);
        }
    }
}

/// How long a failure is the answer to whoever asks for the same.
const FAILURE_SHARED: Duration = Duration::from_secs(1);

/// How long a fetch that nobody waits for may go on.
pub(super) fn deserted_for(read_timeout: Duration) -> Duration {
    read_timeout.min(Duration::from_secs(60))
}
