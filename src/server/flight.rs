//! Flights: one fetch per key, shared by all who ask for the same, each reading at its own pace.
//!
//! A flight's task is nobody's child. Its readers may leave; the fetch goes on as long as it is of use. However the
//! task ends, its guard takes the key out of the table and tells the readers, so that none waits for ever.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    cache::{Key, Selecting, Skip, Storable, freshness::Received},
    header::ResponseHead,
    traffic::UpstreamFailure,
};

/// What a stream that is not kept may be ahead of its slowest reader.
const WINDOW_BYTES: usize = 256 << 10;
/// More fetches at a time are not shared; each request then fetches for itself.
const MAX_FLIGHTS: u64 = 10_000;

/// What makes two requests wait for one fetch: the cache key, whether somebody in particular asks, and the values of
/// the fields that are known to choose among variants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlightKey {
    pub(super) key: Key,
    pub(super) identified: bool,
    pub(super) selecting: Selecting,
}

/// All flights in the air.
#[derive(Debug)]
pub(super) struct Flights {
    shards: [Mutex<HashMap<FlightKey, Arc<Flight>>>; 64],
    hasher: std::hash::RandomState,
    count: AtomicU64,
    /// Bytes of bodies that flights keep, and may keep.
    kept: Arc<AtomicU64>,
    max_kept: u64,
}

/// One fetch and what has come of it so far.
#[derive(Debug)]
pub(super) struct Flight {
    state: Mutex<State>,
    /// Something came, or the end.
    changed: Notify,
    /// A reader took something or left.
    taken: Notify,
    kept: Arc<AtomicU64>,
    max_kept: u64,
}

#[derive(Debug, Default)]
struct State {
    answered: Option<Arc<Answered>>,
    /// The chunks not yet dropped; `dropped` came before them.
    chunks: VecDeque<Bytes>,
    dropped: usize,
    chunk_bytes: usize,
    /// Chunks are dropped once every reader has them.
    windowed: bool,
    end: Option<End>,
    /// The next chunk of each reader; `None` for one that left. The first is the request that began the flight.
    readers: Vec<Option<usize>>,
}

/// The head of the response, and what was decided about it.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) head: ResponseHead,
    pub(super) decision: Result<Storable, Skip>,
    pub(super) selecting: Selecting,
    pub(super) received: Received,
}

/// How a flight ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With the whole body.
    Complete,
    /// Without.
    Failed(UpstreamFailure),
}

/// What a reader learns first.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// The head; the body may be read.
    Head(Arc<Answered>),
    /// The response is not for sharing, and another request keeps it.
    NotShared,
    /// No answer could be had.
    Failed(UpstreamFailure),
}

impl Flights {
    /// An empty table. Bodies on their way may take `max_kept` bytes together; what comes beyond is not kept.
    pub(super) fn new(max_kept: u64) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: std::hash::RandomState::new(),
            count: AtomicU64::new(0),
            kept: Arc::default(),
            max_kept,
        }
    }

    /// Joins the flight for a key, or begins one: then `begin` is given the task's side of it. Inserting into the
    /// table is what decides who begins. `None` when the table is full, or when the flight can be joined no more.
    pub(super) fn join(self: &Arc<Self>, key: &FlightKey, begin: impl FnOnce(Pilot)) -> Option<Reader> {
        let mut flights = self.shard(key).lock();
        if let Some(flight) = flights.get(key) {
            return Reader::join(flight.clone());
        }
        if self.count.fetch_add(1, Relaxed) >= MAX_FLIGHTS {
            self.count.fetch_sub(1, Relaxed);
            return None;
        }
        let flight = Arc::new(Flight {
            state: Mutex::default(),
            changed: Notify::new(),
            taken: Notify::new(),
            kept: self.kept.clone(),
            max_kept: self.max_kept,
        });
        flights.insert(key.clone(), flight.clone());
        drop(flights);
        let reader = Reader::join(flight.clone());
        begin(Pilot { flights: self.clone(), key: key.clone(), flight, listed: true });
        reader
    }

    fn shard(&self, key: &FlightKey) -> &Mutex<HashMap<FlightKey, Arc<Flight>>> {
        use std::hash::BuildHasher;
        &self.shards[self.hasher.hash_one(key) as usize % self.shards.len()]
    }
}

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
    pub(super) fn key(&self) -> &FlightKey {
        &self.key
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

impl Flight {
    /// Takes room for so many bytes from what all flights may keep together.
    fn keep(&self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let fits = self.kept.fetch_add(bytes, Relaxed) + bytes <= self.max_kept;
        if !fits {
            self.kept.fetch_sub(bytes, Relaxed);
        }
        fits
    }

    fn release(&self, bytes: usize) {
        self.kept.fetch_sub(bytes as u64, Relaxed);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if !state.windowed {
            self.kept.fetch_sub(state.chunk_bytes as u64, Relaxed);
        }
    }
}

impl State {
    /// Drops the chunks that every reader has.
    fn drop_taken(&mut self) {
        if !self.windowed {
            return;
        }
        let slowest = self.readers.iter().flatten().min().copied().unwrap_or(usize::MAX);
        while self.dropped < slowest {
            let Some(chunk) = self.chunks.pop_front() else { break };
            self.dropped += 1;
            self.chunk_bytes -= chunk.len();
        }
    }
}

/// One reader of a flight, at its own pace.
pub(super) struct Reader {
    flight: Arc<Flight>,
    /// The place in the flight's list; 0 is the request that began it.
    number: usize,
}

impl Reader {
    fn join(flight: Arc<Flight>) -> Option<Self> {
        let number = {
            let mut state = flight.state.lock();
            if state.windowed || matches!(state.end, Some(End::Failed(_))) {
                return None;
            }
            state.readers.push(Some(0));
            state.readers.len() - 1
        };
        Some(Self { flight, number })
    }

    /// Whether this request began the flight.
    pub(super) fn began(&self) -> bool {
        self.number == 0
    }

    /// Waits for the head. Safe to cancel.
    pub(super) async fn answer(&self) -> Answer {
        self.when(|state| {
            if let Some(answered) = &state.answered {
                let mine = answered.decision.is_ok() || self.began();
                return Some(if mine { Answer::Head(answered.clone()) } else { Answer::NotShared });
            }
            match state.end {
                Some(End::Failed(why)) => Some(Answer::Failed(why)),
                _ => None,
            }
        })
        .await
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
            match state.end {
                Some(End::Complete) => Some(Ok(None)),
                Some(End::Failed(why)) => Some(Err(why)),
                None => None,
            }
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

/// What flights may keep of bodies on their way, besides what is stored: a quarter of `max_bytes`, within reason.
pub(super) fn room_for_bodies(max_bytes: u64, max_object_bytes: u64) -> u64 {
    (max_bytes / 4).clamp(max_object_bytes.min(8 << 20), 64 << 20)
}

/// How long a fetch that nobody waits for may go on.
pub(super) fn deserted_for(read_timeout: Duration) -> Duration {
    read_timeout.min(Duration::from_secs(60))
}
