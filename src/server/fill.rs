//! The task of a flight: fetches, decides whether to store, hands the parts to the readers, stores the whole.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use pingora_http::RequestHeader;
use tokio::time::sleep;

use crate::{
    cache::{Asker, Selecting, Skip, Storable, policy},
    header::RequestHead,
    route::Policy,
    traffic::UpstreamFailure,
};

use super::{
    Engine,
    context::Request,
    flight::Answered,
    origin::{Exchange, Heard},
    pilot::{Pilot, Use, deserted_for},
    slots::Waited,
    upstream::{Ask, upstream_request},
};

/// A fetch for whoever asks for the same, begun by one request.
struct Fill {
    engine: Arc<Engine>,
    pilot: Pilot,
    request: RequestHead,
    policy: Policy,
    asker: Asker,
}

impl Engine {
    /// Begins the flight for a request. The task outlives the request; its end is the pilot's.
    pub(super) fn begin(self: &Arc<Self>, mut pilot: Pilot, request: &Request, policy: &Policy, asker: Asker) {
        let Ok(asked) = upstream_request(request, Ask::Whole, &self.sending) else {
            return pilot.failed(UpstreamFailure::Malformed);
        };
        let fill = Fill { engine: self.clone(), pilot, request: request.head.clone(), policy: policy.clone(), asker };
        tokio::spawn(async move { fill.run(&asked).await });
    }
}

impl Fill {
    async fn run(mut self, asked: &RequestHeader) {
        let mut exchange = match self.fetch(asked).await {
            Some(Ok(exchange)) => exchange,
            None => return,
            Some(Err(why)) => {
                self.engine.state.traffic.upstream_failed(why);
                return self.pilot.failed(why);
            }
        };
        // 5 store: the decision is made on the head, and carried out when the body has come whole.
        let decision = self.decide(&exchange);
        if let Err(skip) = decision {
            self.skipped(skip, exchange.head.status());
        }
        let ignored = &self.engine.state.cache.settings().ignore_cookies;
        let selecting = Selecting::of(&exchange.head, &self.request, ignored);
        let answered =
            Arc::new(Answered { head: exchange.head.clone(), decision, selecting, received: exchange.received });
        // A response is stored before its last byte is given out: who asks again after that finds it.
        if exchange.is_done() {
            self.store(&answered, Bytes::new());
            self.pilot.answered(answered);
            self.pilot.complete();
            return self.engine.origin.release(exchange).await;
        }
        let mut used = self.pilot.answered(answered.clone());
        while used != Use::None {
            let Some(next) = self.next(&mut exchange).await else { break };
            match next {
                Ok(Some(part)) if exchange.is_done() => {
                    self.store(&answered, part.clone());
                    self.pilot.last(part);
                    return self.engine.origin.release(exchange).await;
                }
                Ok(Some(part)) => {
                    let outgrown = self.pilot.part(part);
                    if let Some(skip) = outgrown {
                        self.skipped(skip, answered.head.status());
                    }
                    used = self.pilot.room().await;
                }
                Ok(None) => {
                    self.store(&answered, Bytes::new());
                    self.pilot.complete();
                    return self.engine.origin.release(exchange).await;
                }
                Err(why) => {
                    self.engine.state.traffic.upstream_failed(why);
                    if answered.decision.is_ok() {
                        self.skipped(Skip::Truncated, answered.head.status());
                    }
                    self.pilot.failed(why);
                    break;
                }
            }
        }
        exchange.abort().await;
    }

    /// Waits for a turn at the app and fetches; `None` when nobody waits any more before the turn has come.
    async fn fetch(&mut self, asked: &RequestHeader) -> Option<Result<Exchange, UpstreamFailure>> {
        let slot = match self.engine.origin.slots.enter_unless(self.pilot.abandoned()).await {
            Waited::Entered(slot) => slot,
            Waited::Refused(why) => return Some(Err(why)),
            Waited::Left => return None,
        };
        self.pilot.asked();
        let mut heard = self.engine.origin.fetch(asked, slot).await;
        loop {
            match heard {
                Ok(Heard::Final(exchange)) => return Some(Ok(exchange)),
                Ok(Heard::Interim(head, awaiting)) => {
                    self.pilot.interim(head);
                    heard = awaiting.next().await;
                }
                Err(why) => return Some(Err(why)),
            }
        }
    }

    fn decide(&self, exchange: &Exchange) -> Result<Storable, Skip> {
        let settings = self.engine.state.cache.settings();
        let decision = policy::store(self.asker, &exchange.head, &self.policy, &settings, &exchange.received)?;
        if exchange.framed { Ok(decision) } else { Err(Skip::Unframed) }
    }

    /// The next part, or `None` when nobody has waited for it for too long.
    async fn next(&self, exchange: &mut Exchange) -> Option<Result<Option<Bytes>, UpstreamFailure>> {
        let patience = deserted_for(self.engine.settings.timeouts.read);
        tokio::select! {
            biased;
            part = exchange.next() => Some(part),
            () = self.pilot.deserted() => None,
            () = self.deserted_for(patience) => None,
        }
    }

    /// Waits until nobody has read for so long.
    async fn deserted_for(&self, patience: Duration) {
        loop {
            sleep(patience).await;
            if !self.pilot.has_readers() {
                return;
            }
        }
    }

    /// Stores a response that was found storable and was kept whole: what came before and its last part.
    fn store(&self, answered: &Answered, last: Bytes) {
        let Ok(storable) = &answered.decision else { return };
        match self.pilot.whole_with(last) {
            Some(body) => {
                let (key, selecting, at) = (&self.pilot.key().key, answered.selecting.clone(), answered.received.at);
                self.engine.state.cache.insert(key, &answered.head, body, selecting, storable, at);
            }
            // It was counted when it outgrew its bound, unless it does so by this last part.
            None if self.pilot.is_kept() => self.skipped(Skip::TooLarge, answered.head.status()),
            None => {}
        }
    }

    /// Counts a response that is not stored, and remembers its URL for a moment where the next answer will be no
    /// different. An error of the server says nothing about the next answer.
    fn skipped(&self, skip: Skip, status: u16) {
        let cache = &self.engine.state.cache;
        cache.stats.skipped(skip);
        if status < 500 && !matches!(skip, Skip::Truncated | Skip::NoRoom) {
            cache.mark_uncacheable(&self.pilot.key().key, self.asker, Instant::now());
        }
    }
}
