//! The task's side of a flight: publishes what comes, and ends the flight however the task ends.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;

use crate::{cache::Skip, header::ResponseHead, traffic::UpstreamFailure};

use super::flight::{Answered, End, Flight, FlightKey, Flights, WINDOW_BYTES};

/// The task's side of a flight. Dropping it ends the flight, whatever happened.
pub(super) struct Pilot {
    flights: Arc<Flights>,
    key: FlightKey,
    flight: Arc<Flight>,
    listed: bool,
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
    pub(super) fn new(flights: Arc<Flights>, key: FlightKey, flight: Arc<Flight>) -> Self {
        Self { flights, key, flight, listed: true }
    }

    pub(super) fn key(&self) -> &FlightKey {
        &self.key
    }

    /// Publishes an interim response.
    pub(super) fn interim(&mut self, head: ResponseHead) {
        self.flight.state.lock().interim.push(head);
        self.flight.changed.notify_waiters();
    }

    /// Publishes the head. What is not storable belongs to the request that began the flight: nobody else may see it.
    pub(super) fn answered(&mut self, answered: Answered) -> Use {
        let mut state = self.flight.state.lock();
        let storable = answered.decision.is_ok();
        state.windowed = !storable;
        state.answered = Some(Arc::new(answered));
        let began = state.readers.first().is_some_and(Option::is_some);
        drop(state);
        self.flight.changed.notify_waiters();
        if storable {
            return Use::Kept;
        }
        self.unlist();
        if began { Use::Streamed } else { Use::None }
    }

    /// Publishes a part of the body, waiting for the readers of a stream that is not kept. A body that outgrows
    /// `max_bytes`, or for which there is no room, is kept no longer; says why.
    pub(super) async fn chunk(&mut self, chunk: Bytes, max_bytes: u64) -> (Use, Option<Skip>) {
        let outgrown = self.push(chunk, max_bytes);
        if outgrown.is_some() {
            self.unlist();
        }
        self.flight.changed.notify_waiters();
        (self.room().await, outgrown)
    }

    fn push(&self, chunk: Bytes, max_bytes: u64) -> Option<Skip> {
        let mut state = self.flight.state.lock();
        let mut outgrown = None;
        if !state.windowed {
            if (state.chunk_bytes + chunk.len()) as u64 > max_bytes {
                outgrown = Some(Skip::TooLarge);
            } else if !self.flight.keep(chunk.len()) {
                outgrown = Some(Skip::NoRoom);
            }
            if outgrown.is_some() {
                self.flight.release(state.chunk_bytes);
                state.windowed = true;
            }
        }
        state.chunk_bytes += chunk.len();
        state.chunks.push_back(chunk);
        state.drop_taken();
        outgrown
    }

    /// Waits until a stream that is not kept has room for more.
    async fn room(&self) -> Use {
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

    /// The whole body, if it was kept. One copy, of exactly its size; none for a body of one chunk.
    pub(super) fn body(&self) -> Option<Bytes> {
        let state = self.flight.state.lock();
        if state.windowed {
            return None;
        }
        match state.chunks.len() {
            0 => Some(Bytes::new()),
            1 => state.chunks.front().cloned(),
            _ => {
                let mut whole = Vec::with_capacity(state.chunk_bytes);
                state.chunks.iter().for_each(|chunk| whole.extend_from_slice(chunk));
                Some(whole.into())
            }
        }
    }

    /// The message came to its own end.
    pub(super) fn complete(&mut self) {
        self.end(End::Complete);
    }

    /// There is no more to come.
    pub(super) fn failed(&mut self, why: UpstreamFailure) {
        self.end(End::Failed(why));
    }

    fn end(&mut self, end: End) {
        // Out of the table first: who asks from now on begins anew, or finds what was stored.
        self.unlist();
        self.flight.state.lock().end.get_or_insert(end);
        self.flight.changed.notify_waiters();
    }

    fn unlist(&mut self) {
        if std::mem::take(&mut self.listed) {
            self.flights.shard(&self.key).lock().remove(&self.key);
        }
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        // A task that ended without saying how was cancelled or panicked.
        self.end(End::Failed(UpstreamFailure::Closed));
        self.flights.count.fetch_sub(1, Relaxed);
    }
}

/// How long a fetch that nobody waits for may go on.
pub(super) fn deserted_for(read_timeout: Duration) -> Duration {
    read_timeout.min(Duration::from_secs(60))
}
