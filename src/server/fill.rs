//! The task of a flight: fetches, decides whether to store, hands the parts to the readers, stores the whole.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use pingora_http::{RequestHeader, header_value_from_slice};
use tokio::time::sleep;

use crate::{
    cache::{Asker, Entry, Selecting, Skip, Storable, entry::Parts, freshness::Received, policy},
    header::{Fields, RequestHead, ResponseHead, forwarded::Peer},
    traffic::UpstreamFailure,
};

use super::{
    Engine,
    context::{Request, Rule},
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
    peer: Peer,
    /// When the request came that began it.
    began: Instant,
    rule: Arc<Rule>,
    asker: Asker,
    /// What is stored: asked the origin to confirm, and kept should it fail.
    stored: Option<Arc<Entry>>,
}

impl Engine {
    /// Begins the flight for a request. The task outlives the request; its end is the pilot's.
    pub(super) fn begin(
        self: &Arc<Self>,
        mut pilot: Pilot,
        request: &Request,
        asker: Asker,
        stored: Option<Arc<Entry>>,
    ) {
        let mut request = request.clone();
        // Its answer is for all who write the host in another way: the app is asked in the one form that the key has.
        request.head.host = Bytes::copy_from_slice(pilot.key().key.parts().host);
        let Ok(asked) = upstream_request(&request, Ask::Whole, &self.sending) else {
            return pilot.failed(UpstreamFailure::Malformed, self.state.traffic.upstream_responses.value());
        };
        let (engine, rule) = (self.clone(), request.rule.clone());
        let Request { head, peer, began, .. } = request;
        let fill = Fill { engine, pilot, request: head, peer, began, rule, asker, stored };
        tokio::spawn(async move { fill.run(asked).await });
    }
}

/// Asks the origin for the response only if it is not the stored one (RFC 9111 §4.3.1).
fn ask_to_confirm(asked: &mut RequestHeader, stored: &Entry) {
    for (validator, condition) in [("etag", "If-None-Match"), ("last-modified", "If-Modified-Since")] {
        if let Some(value) = stored.head.get(validator) {
            // A value that came in a field can be sent in one.
            let _ = asked.insert_header(condition, header_value_from_slice(value));
        }
    }
}

/// What became of asking the origin to confirm what is stored.
enum Confirmation {
    /// It did; the answer was given.
    Given,
    /// It confirmed another response, so that it has to be asked for the whole.
    OfAnother,
}

impl Fill {
    async fn run(mut self, mut asked: Box<RequestHeader>) {
        let plainly = asked.clone();
        if let Some(stored) = &self.stored {
            ask_to_confirm(&mut asked, stored);
        }
        let Some(mut exchange) = self.exchange(&asked).await else { return };
        if exchange.head.status() == 304
            && let Some(stored) = self.stored.clone()
        {
            let confirmation = self.confirm(&exchange, &stored);
            self.engine.origin.release(exchange).await;
            match confirmation {
                Confirmation::Given => return,
                Confirmation::OfAnother => match self.exchange(&plainly).await {
                    Some(whole) => exchange = whole,
                    None => return,
                },
            }
        }
        let stands_in = |stored: &Arc<Entry>| policy::stands_in(stored, Instant::now());
        if policy::is_failure(exchange.head.status()) && self.stored.as_ref().is_some_and(stands_in) {
            // RFC 5861 §4: what is stored stays, and is the answer.
            self.pilot.stand_in();
            return exchange.abort().await;
        }
        self.take(exchange).await;
    }

    /// Asks the origin; `None` when there is no answer, which its readers have been told then.
    async fn exchange(&mut self, asked: &RequestHeader) -> Option<Exchange> {
        match self.fetch(asked).await? {
            Ok(exchange) => {
                self.engine.state.traffic.upstream_answered();
                Some(exchange)
            }
            Err(why) => {
                self.failed(why);
                None
            }
        }
    }

    fn failed(&mut self, why: UpstreamFailure) {
        let traffic = &self.engine.state.traffic;
        traffic.upstream_failed(why);
        self.pilot.failed(why, traffic.upstream_responses.value());
    }

    /// 304: what is stored is the answer, with the fields that came with it.
    fn confirm(&mut self, exchange: &Exchange, stored: &Entry) -> Confirmation {
        let cache = &self.engine.state.cache;
        let Some(head) = cache.confirmed(stored, &exchange.head) else { return Confirmation::OfAnother };
        let decision = self.decide(&head, &exchange.received);
        let selecting = cache.selected_by(&head, &self.request);
        let entry = self.entry(&head, stored.body.clone(), selecting.clone(), &decision, &exchange.received);
        // The body is the same, and so are the codings made of it.
        self.engine.carry(&self.pilot.key().key, stored, &entry);
        match &decision {
            Ok(_) => self.insert(entry.clone(), head.status()),
            Err(skip) => self.skipped(*skip, head.status()),
        }
        let (received, asked) = (exchange.received, exchange.asked);
        self.pilot.answered(Arc::new(Answered { head, decision, selecting, received, asked, confirmed: Some(entry) }));
        self.pilot.complete();
        Confirmation::Given
    }

    /// Hands a response to the readers, and stores it where it may be.
    async fn take(mut self, mut exchange: Exchange) {
        // 5 store: the decision is made on the head, and carried out when the body has come whole.
        let decision = self.decide(&exchange.head, &exchange.received);
        let store_unframed = self.engine.state.cache.settings().store_unframed;
        let decision = decision.and_then(|storable| match exchange.framed || store_unframed {
            true => Ok(storable),
            false => Err(Skip::Unframed),
        });
        if let Err(skip) = decision {
            self.skipped(skip, exchange.head.status());
        }
        let selecting = self.engine.state.cache.selected_by(&exchange.head, &self.request);
        let (head, received, asked) = (exchange.head.clone(), exchange.received, exchange.asked);
        let answered = Arc::new(Answered { head, decision, selecting, received, asked, confirmed: None });
        // A response is stored before its last byte is given out: who asks again after that finds it.
        let is_watched =
            answered.decision.is_err() && self.engine.is_watched(&self.request, &self.rule, &answered.head);
        if is_watched {
            exchange.watch(self.engine.state.observer.digest());
        }
        if exchange.is_done() {
            self.store(&answered, Bytes::new());
            self.pilot.answered(answered);
            self.pilot.complete();
            self.watched(&mut exchange);
            return self.engine.origin.release(exchange).await;
        }
        let mut used = self.pilot.answered(answered.clone());
        while used != Use::None {
            let Some(next) = self.next(&mut exchange).await else { break };
            match next {
                Ok(Some(part)) if exchange.is_done() => {
                    self.store(&answered, part.clone());
                    self.pilot.last(part);
                    self.watched(&mut exchange);
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
                    self.watched(&mut exchange);
                    return self.engine.origin.release(exchange).await;
                }
                Err(why) => {
                    if answered.decision.is_ok() {
                        self.skipped(Skip::Truncated, answered.head.status());
                    }
                    self.failed(why);
                    break;
                }
            }
        }
        exchange.abort().await;
    }

    fn watched(&self, exchange: &mut Exchange) {
        self.engine.watched(&self.request, &self.peer, self.began, &self.rule, exchange);
    }

    /// Waits for a turn at the app and fetches; `None` when nobody waits any more before the turn has come.
    async fn fetch(&mut self, asked: &RequestHeader) -> Option<Result<Exchange, UpstreamFailure>> {
        let slot = match self.engine.origin.slots.enter_unless(self.pilot.abandoned()).await {
            Waited::Entered(slot) => slot,
            Waited::Refused(why) => return Some(Err(why)),
            Waited::Left => return None,
        };
        self.pilot.asked();
        if self.pilot.is_refresh() {
            self.engine.state.cache.stats.background.add();
        }
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

    fn decide(&self, head: &ResponseHead, received: &Received) -> Result<Storable, Skip> {
        policy::store(self.asker, head, &self.rule.policy, &self.engine.state.cache.settings(), received)
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
        if answered.decision.is_err() {
            return;
        }
        let Answered { head, decision, selecting, received, .. } = answered;
        match self.pilot.whole_with(last) {
            Some(body) => {
                let entry = self.entry(head, body, selecting.clone(), decision, received);
                self.pilot.stored(&entry, &self.engine.coders.makings);
                self.insert(entry, head.status());
            }
            // It was counted when it outgrew its bound, unless it does so by this last part.
            None if self.pilot.is_kept() => self.skipped(Skip::TooLarge, head.status()),
            None => {}
        }
    }

    /// An entry for a response. One that may not be stored is good for the request that asked for it.
    fn entry(
        &self,
        head: &ResponseHead,
        body: Bytes,
        selecting: Selecting,
        decision: &Result<Storable, Skip>,
        received: &Received,
    ) -> Arc<Entry> {
        let good_for_one = Storable::for_one();
        let storable = decision.as_ref().unwrap_or(&good_for_one);
        let (key, epoch, received) = (&self.pilot.key().key, self.pilot.key().epoch, received.at);
        let personal = decision.is_err() && self.asker.is_identified();
        let copy = self.engine.copy(&self.request, &self.rule, head, Some(&body), personal);
        Arc::new(self.engine.state.cache.entry(Parts { key, head, body, selecting, storable, received, epoch, copy }))
    }

    fn insert(&self, entry: Arc<Entry>, status: u16) {
        let key = self.pilot.key();
        let cache = &self.engine.state.cache;
        match cache.insert(&key.key, entry.clone(), key.epoch) {
            Ok(()) => {
                self.rule.counts.stored();
                if !self.pilot.is_refresh() {
                    cache.fetched(&key.key, &entry, Instant::now());
                }
            }
            Err(skip) => self.skipped(skip, status),
        }
    }

    /// Counts a response that is not stored, and remembers its URL for a moment where the next answer will be no
    /// different. An error of the server, or of the request itself, says nothing about the next answer.
    fn skipped(&self, skip: Skip, status: u16) {
        let (cache, key, now) = (&self.engine.state.cache, &self.pilot.key().key, Instant::now());
        self.rule.counts.skipped(skip);
        if status < 500
            && !is_about_the_request(status)
            && !matches!(skip, Skip::Truncated | Skip::NoRoom | Skip::Purged)
        {
            cache.mark_uncacheable(key, self.asker, skip, now);
            // The origin has another response now, which is not for keeping: what is stored is no longer true.
            if let Some(stored) = self.stored.as_ref().filter(|_| matches!(status, 200..400 | 404 | 410)) {
                cache.forget(key, stored, now);
            }
        }
    }
}

/// Statuses that are about the very request, its fields and its sender, rather than about its URL (RFC 9110 §15.5,
/// RFC 6585): one client's bad field must not keep the answers to all others out of the cache.
fn is_about_the_request(status: u16) -> bool {
    matches!(status, 400 | 406 | 408 | 412 | 413 | 415..=417 | 421 | 422 | 425 | 428 | 429 | 431)
}
