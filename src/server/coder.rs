//! A flight's body in a coding: made once, by a task of its own, for all its readers that want it so.
//!
//! It is a flight that reads a flight. What comes out of the encoder is kept, windowed and read as any other body, and
//! stored with the response that the first flight has become.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    cache::Entry,
    compress::{Skip, encoder::Encoder},
    header::coding::Coding,
    state::State,
    traffic::UpstreamFailure,
};

use super::{
    Engine,
    body::{Begun, Body, Cut, Encoding},
    coding::form,
    context::Spent,
    deliver::Source,
    flight::FlightKey,
    pilot::{Pilot, Use},
    reader::Reader,
};

/// A reader of a flight that may have its body coded for all.
pub(super) struct Joined<'a> {
    pub(super) reader: Reader,
    pub(super) key: &'a FlightKey,
}

impl Body for Joined<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        self.reader.next().await.map_err(Cut::Upstream)
    }
}

impl Source for Joined<'_> {
    fn stored(&self) -> Option<Arc<Entry>> {
        self.reader.stored()
    }

    fn coded_for_all(
        self,
        engine: &Engine,
        coding: Coding,
        gathered: Vec<Bytes>,
        spent: &Arc<Spent>,
    ) -> Result<Reader, (Self, Vec<Bytes>)> {
        let mut begun = None;
        let begin = |length| {
            let encoder = engine.encoder(coding, length).ok()?;
            let flight = engine.flights.unlisted()?;
            begun = Some((encoder, flight.clone()));
            Some(flight)
        };
        let Some(reader) = self.reader.coded(coding, begin) else { return Err((self, gathered)) };
        if let Some(((encoder, permit), flight)) = begun {
            let pilot = Pilot::new(engine.flights.clone(), self.key.clone(), flight, false);
            let (state, from) = (engine.state.clone(), self.reader);
            let coder = Coder { from, pilot, coding, state, spent: spent.clone(), _permit: permit };
            tokio::spawn(coder.run(gathered, encoder));
        }
        Ok(reader)
    }
}

/// The task that codes a flight's body.
struct Coder {
    from: Reader,
    pilot: Pilot,
    coding: Coding,
    state: Arc<State>,
    /// What it takes, for the request that it was begun for.
    spent: Arc<Spent>,
    _permit: OwnedSemaphorePermit,
}

impl Coder {
    async fn run(mut self, gathered: Vec<Bytes>, encoder: Encoder) {
        let mut body =
            Encoding::new(Begun::new(gathered, &mut self.from), self.coding, encoder, &self.state.compression.stats);
        let end = loop {
            match body.next().await {
                Ok(Some(part)) => {
                    // Whether it is kept as a whole shows at the end.
                    let _ = self.pilot.part(part);
                    let used = self.pilot.room().await;
                    let is_for_nobody = !self.pilot.has_readers() && body.body().rest().is_passing();
                    if used == Use::None || is_for_nobody {
                        return;
                    }
                }
                Ok(None) => break Ok(body.taken),
                Err(Cut::Upstream(why)) => break Err(why),
                // To those who read it, this is where the app's answer ends.
                Err(Cut::Coding) => {
                    self.state.compression.stats.skipped(Skip::Failed);
                    break Err(UpstreamFailure::Closed);
                }
            }
        };
        // Before its readers see the end, after which theirs is counted.
        self.spent.add(body.spent());
        drop(body);
        match end {
            Ok(taken) => {
                self.keep();
                self.pilot.coded_from(taken);
                self.pilot.complete();
            }
            Err(why) => self.pilot.failed(why, self.state.traffic.upstream_responses.value()),
        }
    }

    /// Stores the coded body with the response that the flight has become. Who asks for it meanwhile waits for this.
    fn keep(&self) {
        let making = self.from.making(self.coding);
        if let (Some(entry), Some(whole)) = (self.from.stored(), self.pilot.whole_with(Bytes::new())) {
            let form = form(&entry, self.coding, whole);
            let (key, best) = (&self.pilot.key().key, form.is_none());
            // Without room for it, it goes with this flight.
            let _ = self.state.cache.keep_coded(key, &entry, self.coding, form, best);
        }
        drop(making);
    }
}
