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
    time::Instant,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    cache::{Entry, Key, Selecting, Skip, Storable, freshness::Received, purge::Epoch},
    header::{ResponseHead, coding::Coding},
    profile::Asked,
    traffic::UpstreamFailure,
};

use super::{coding::Making, pilot::Pilot, reader::Reader};

/// What a stream that is not kept may be ahead of its slowest reader.
pub(super) const WINDOW_BYTES: usize = 256 << 10;
/// What flights may keep together is at least one object of the default size, and at most this.
const LEAST_KEPT: u64 = 8 << 20;
const MOST_KEPT: u64 = 64 << 20;
/// More fetches at a time are not shared; each request then fetches for itself.
const MAX_FLIGHTS: u64 = 10_000;

/// What makes two requests wait for one fetch: the cache key, whether somebody in particular asks, the values of the
/// fields that are known to choose among variants, and what had been purged: who asks after a purge does not want what
/// was asked for before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FlightKey {
    pub(super) key: Key,
    pub(super) identified: bool,
    pub(super) selecting: Selecting,
    pub(super) epoch: Epoch,
}

/// All flights in the air.
#[derive(Debug)]
pub(super) struct Flights {
    shards: [Mutex<HashMap<FlightKey, Arc<Flight>>>; 64],
    hasher: std::hash::RandomState,
    pub(super) count: AtomicU64,
    /// Bytes of bodies that flights keep, and may keep.
    pub(super) kept: Arc<AtomicU64>,
    max_kept: u64,
    /// A larger body is not kept.
    pub(super) max_object_bytes: u64,
}

/// One fetch and what has come of it so far.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) state: Mutex<State>,
    /// Something came, or the end.
    pub(super) changed: Notify,
    /// A reader took something or left.
    pub(super) taken: Notify,
}

/// What one flight has of the room for bodies that all flights share. Given back as its chunks are dropped, and what
/// is left with the flight: a body that is kept no longer takes memory until its slowest reader has it.
#[derive(Debug)]
pub(super) struct Room {
    kept: Arc<AtomicU64>,
    max_kept: u64,
    held: u64,
}

/// What has come, and who has taken it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) room: Room,
    /// Interim responses, in order; the origin bounds them.
    pub(super) interim: Vec<ResponseHead>,
    /// Since when the app is asked; before, the flight waits for its turn.
    pub(super) asked: Option<Instant>,
    pub(super) answered: Option<Arc<Answered>>,
    /// The chunks not yet dropped; `dropped` came before them.
    pub(super) chunks: VecDeque<Bytes>,
    pub(super) dropped: usize,
    pub(super) chunk_bytes: usize,
    /// Chunks are dropped once every reader has them.
    pub(super) windowed: bool,
    pub(super) end: Option<End>,
    /// How many responses the app had given, to whatever requests, when this fetch failed.
    pub(super) failed_after: Option<u64>,
    /// Nobody waits for it: it refreshes what is stored.
    pub(super) background: bool,
    /// The response that it has become in the store.
    pub(super) stored: Option<Arc<Entry>>,
    /// The body in each coding that a reader wants, as far as it is made.
    pub(super) coded: [Option<InCoding>; Coding::ALL.len()],
    /// Of a body in a coding: the bytes that it was made of.
    pub(super) coded_from: Option<u64>,
    /// The next chunk of each reader; `None` for one that left. The first is the request that began the flight.
    pub(super) readers: Vec<Option<usize>>,
}

/// A flight's body in a coding.
#[derive(Debug)]
pub(super) struct InCoding {
    pub(super) flight: Arc<Flight>,
    /// Once the body is stored: the right to store this form of it.
    pub(super) making: Option<Making>,
}

/// The head of the response, and what was decided about it.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) head: ResponseHead,
    pub(super) decision: Result<Storable, Skip>,
    pub(super) selecting: Selecting,
    pub(super) received: Received,
    /// How long the app took for it, which is the time of the request that began the flight.
    pub(super) asked: Asked,
    /// What the origin confirmed with 304: it is the answer, and there is no body to read.
    pub(super) confirmed: Option<Arc<Entry>>,
}

impl Answered {
    /// Whether others may have the response too: it may be stored, and used without the origin's word for each.
    pub(super) fn is_shared(&self) -> bool {
        self.decision.as_ref().is_ok_and(Storable::is_fresh)
    }
}

/// How a flight ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With the whole body.
    Complete,
    /// Without.
    Failed(UpstreamFailure),
    /// The origin answered with an error, and what is stored stands in for it.
    StandIn,
}

impl End {
    /// Why it failed, if it did.
    pub(super) fn failed(self) -> Option<UpstreamFailure> {
        match self {
            Self::Failed(why) => Some(why),
            Self::Complete | Self::StandIn => None,
        }
    }
}

impl Flights {
    /// An empty table. A body may be kept up to `max_object_bytes`, all of them together up to a quarter of
    /// `max_bytes`, within reason, besides what is stored.
    pub(super) fn new(max_bytes: u64, max_object_bytes: u64) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: std::hash::RandomState::new(),
            count: AtomicU64::new(0),
            kept: Arc::default(),
            max_kept: (max_bytes / 4).clamp(max_object_bytes.min(LEAST_KEPT), MOST_KEPT),
            max_object_bytes,
        }
    }

    /// Joins the flight for a key, or begins one: then `begin` is given the task's side of it. Inserting into the
    /// table is what decides who begins. `None` when the table is full, or when the flight can be joined no more.
    /// `responses` is how many the app has given so far.
    pub(super) fn join(self: &Arc<Self>, key: &FlightKey, responses: u64, begin: impl FnOnce(Pilot)) -> Option<Reader> {
        let mut flights = self.shard(key).lock();
        if let Some(flight) = flights.get(key).filter(|flight| !flight.is_disproved(responses)) {
            return Reader::join(flight.clone());
        }
        let flight = self.flight(false)?;
        // Before anybody else can find the flight: its first reader is the request that it is made for, and may be
        // given an answer that nobody else may.
        let reader = Reader::join(flight.clone());
        flights.insert(key.clone(), flight.clone());
        drop(flights);
        begin(Pilot::new(self.clone(), key.clone(), flight, true));
        reader
    }

    /// Begins a flight that nobody else can join. `None` when there are too many.
    pub(super) fn alone(self: &Arc<Self>, key: &FlightKey, begin: impl FnOnce(Pilot)) -> Option<Reader> {
        let flight = self.flight(false)?;
        let reader = Reader::join(flight.clone());
        begin(Pilot::new(self.clone(), key.clone(), flight, false));
        reader
    }

    /// Begins a flight that nobody waits for, unless there is one for the key already. It may be joined.
    pub(super) fn refresh(self: &Arc<Self>, key: &FlightKey, responses: u64, begin: impl FnOnce(Pilot)) {
        let mut flights = self.shard(key).lock();
        if flights.get(key).is_some_and(|flight| !flight.is_disproved(responses)) {
            return;
        }
        let Some(flight) = self.flight(true) else { return };
        flights.insert(key.clone(), flight.clone());
        drop(flights);
        begin(Pilot::new(self.clone(), key.clone(), flight, true));
    }

    /// A flight that nobody can find. `None` when there are too many.
    pub(super) fn unlisted(&self) -> Option<Arc<Flight>> {
        self.flight(false)
    }

    fn flight(&self, background: bool) -> Option<Arc<Flight>> {
        if self.count.fetch_add(1, Relaxed) >= MAX_FLIGHTS {
            self.count.fetch_sub(1, Relaxed);
            return None;
        }
        let room = Room { kept: self.kept.clone(), max_kept: self.max_kept, held: 0 };
        let state = Mutex::new(State::new(room, background));
        Some(Arc::new(Flight { state, changed: Notify::new(), taken: Notify::new() }))
    }

    /// Takes a flight out of the table.
    pub(super) fn remove(&self, key: &FlightKey, flight: &Arc<Flight>) {
        let mut flights = self.shard(key).lock();
        if flights.get(key).is_some_and(|listed| Arc::ptr_eq(listed, flight)) {
            flights.remove(key);
        }
    }

    pub(super) fn shard(&self, key: &FlightKey) -> &Mutex<HashMap<FlightKey, Arc<Flight>>> {
        use std::hash::BuildHasher;
        &self.shards[self.hasher.hash_one(key) as usize % self.shards.len()]
    }
}

impl Flight {
    /// Whether the fetch failed and the app has answered others since: then the failure says nothing about the app, and
    /// may have been provoked by the very request that met it.
    fn is_disproved(&self, responses: u64) -> bool {
        self.state.lock().failed_after.is_some_and(|then| then != responses)
    }
}

impl Room {
    /// Takes room for so many bytes, if there is any.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let bytes = bytes as u64;
        let fits = self.kept.fetch_add(bytes, Relaxed) + bytes <= self.max_kept;
        if fits {
            self.held += bytes;
        } else {
            self.kept.fetch_sub(bytes, Relaxed);
        }
        fits
    }

    /// Gives back the room of a dropped chunk; those that came after the body was kept no longer have none.
    fn give_back(&mut self, bytes: usize) {
        let bytes = self.held.min(bytes as u64);
        self.held -= bytes;
        self.kept.fetch_sub(bytes, Relaxed);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.kept.fetch_sub(self.held, Relaxed);
    }
}

impl State {
    fn new(room: Room, background: bool) -> Self {
        Self {
            room,
            background,
            failed_after: None,
            stored: None,
            coded: Default::default(),
            coded_from: None,
            interim: Vec::new(),
            asked: None,
            answered: None,
            chunks: VecDeque::new(),
            dropped: 0,
            chunk_bytes: 0,
            windowed: false,
            end: None,
            // The first place is that of the request that began the flight: of a refresh, nobody's.
            readers: if background { vec![None] } else { Vec::new() },
        }
    }

    /// Drops the chunks that every reader has.
    pub(super) fn drop_taken(&mut self) {
        if !self.windowed {
            return;
        }
        let slowest = self.readers.iter().flatten().min().copied().unwrap_or(usize::MAX);
        while self.dropped < slowest {
            let Some(chunk) = self.chunks.pop_front() else { break };
            self.dropped += 1;
            self.chunk_bytes -= chunk.len();
            self.room.give_back(chunk.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cache::{freshness::Terms, policy::Shared},
        header::{RequestHead, forwarded::Peer},
    };
    use std::time::{Duration, SystemTime};

    fn storable() -> Arc<Answered> {
        let shared = Shared { with_cookies: false, with_authorization: false };
        let terms = Terms { lifetime: Duration::from_secs(60), ..Terms::default() };
        let now = Instant::now();
        Arc::new(Answered {
            head: ResponseHead::for_tests(200, ""),
            decision: Ok(Storable { terms, shared, targeted: false }),
            selecting: Selecting::default(),
            received: Received { requested: now, at: now, wall: SystemTime::now() },
            asked: Asked::default(),
            confirmed: None,
        })
    }

    fn begun(flights: &Arc<Flights>) -> (Reader, Pilot) {
        let peer = Peer::new([127, 0, 0, 1].into(), false, &[]);
        let key = Key::of(&RequestHead::for_tests("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), &peer);
        let key = FlightKey { key, identified: false, selecting: Selecting::default(), epoch: Epoch::default() };
        let mut began = None;
        let reader = flights.join(&key, 0, |pilot| began = Some(pilot)).unwrap();
        (reader, began.unwrap())
    }

    #[tokio::test]
    async fn room_is_given_back_when_the_bytes_are_and_not_before() {
        let flights = Arc::new(Flights::new(0, 1000));
        let kept = || flights.kept.load(Relaxed);
        let (reader, mut pilot) = begun(&flights);
        pilot.answered(storable());
        assert_eq!(pilot.part(vec![0; 600].into()), None);
        assert_eq!(pilot.part(vec![0; 600].into()), Some(Skip::TooLarge));
        assert_eq!(kept(), 600, "the first part still waits for its reader");
        reader.next().await.unwrap();
        assert_eq!(kept(), 0, "and is no longer the flight's when it has it");
        assert_eq!(pilot.part(vec![0; 600].into()), None);
        reader.next().await.unwrap();
        assert_eq!(kept(), 0);
        drop((reader, pilot));
        assert_eq!(kept(), 0);

        let (reader, mut pilot) = begun(&flights);
        pilot.answered(storable());
        pilot.part(vec![0; 600].into());
        drop(pilot);
        assert_eq!(kept(), 600);
        drop(reader);
        assert_eq!(kept(), 0);
    }
}
