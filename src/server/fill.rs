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
            Ok(exchange) => exchange,
            Err(why) => {
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
        let mut used = self.pilot.answered(Answered {
            head: exchange.head.clone(),
            decision: decision.clone(),
            selecting: selecting.clone(),
            received: exchange.received,
        });
        while used != Use::None {
            match self.next(&mut exchange).await {
                Some(Ok(Some(part))) => used = self.pass(part, &exchange).await,
                Some(Ok(None)) => {
                    self.store(decision, &exchange, selecting);
                    self.pilot.complete();
                    return self.engine.origin.release(exchange).await;
                }
                Some(Err(why)) => {
                    self.engine.state.traffic.upstream_failed(why);
                    if decision.is_ok() {
                        self.skipped(Skip::Truncated, exchange.head.status());
                    }
                    self.pilot.failed(why);
                    return exchange.abort().await;
                }
                None => break,
            }
            if used != Use::None && exchange.is_done() {
                // The end is known with the last part: the readers need not be woken twice.
                self.store(decision, &exchange, selecting);
                self.pilot.complete();
                return self.engine.origin.release(exchange).await;
            }
        }
        exchange.abort().await;
    }

    async fn fetch(&mut self, asked: &RequestHeader) -> Result<Exchange, UpstreamFailure> {
        let mut heard = self.engine.origin.fetch(asked).await?;
        loop {
            match heard {
                Heard::Final(exchange) => return Ok(exchange),
                Heard::Interim(head, awaiting) => {
                    self.pilot.interim(head);
                    heard = awaiting.next().await?;
                }
            }
        }
    }

    fn decide(&self, exchange: &Exchange) -> Result<Storable, Skip> {
        let settings = self.engine.state.cache.settings();
        let decision = policy::store(self.asker, &exchange.head, &self.policy, settings, &exchange.received)?;
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

    async fn pass(&mut self, part: Bytes, exchange: &Exchange) -> Use {
        let max = self.engine.state.cache.settings().max_object_bytes;
        let (used, outgrown) = self.pilot.chunk(part, max).await;
        if let Some(skip) = outgrown {
            self.skipped(skip, exchange.head.status());
        }
        used
    }

    /// Stores a whole response that was found storable and was kept to its end.
    fn store(&self, decision: Result<Storable, Skip>, exchange: &Exchange, selecting: Selecting) {
        if let (Ok(storable), Some(body)) = (decision, self.pilot.body()) {
            let key = &self.pilot.key().key;
            self.engine.state.cache.insert(key, &exchange.head, body, selecting, &storable, exchange.received.at);
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
