//! Misses that are shared: a request joins the fetch of whoever asks for the same, or begins it.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use crate::{
    cache::{
        Asker, Bypass, Entry, Forward, Key, Missed, Outcome, Skip, Stale, policy,
        status::{CacheStatus, Then},
    },
    header::{Fields, fields::is, validator},
    traffic::UpstreamFailure,
};

use super::{
    Engine, Served,
    coder::Joined,
    context::Request,
    deliver::Outgoing,
    flight::{Answered, FlightKey},
    reader::{Answer, Reader},
    reply::Reply,
};

/// What waiting for a flight's head came to.
enum Waited {
    /// The head is here, and the body may be read.
    Head(Arc<Answered>),
    /// The response is another request's own.
    NotShared,
    /// No answer could be had.
    Failed(UpstreamFailure),
    /// What is stored is to stand in for an error of the origin.
    StandIn,
    /// Another request's fetch took too long.
    TooLong,
    /// The client left.
    Left,
}

impl Engine {
    /// A miss: joins the fetch of whoever asks for the same, or begins it.
    pub(super) async fn share<R: Reply>(
        self: &Arc<Self>,
        request: &Request,
        key: Key,
        asker: Asker,
        missed: Missed,
        reply: &mut R,
    ) -> Served {
        let Missed { why, stored, alone, epoch } = missed;
        let mut selecting = self.state.cache.selecting(&key, &request.head);
        // A response may turn out to vary by fields that the flight was not chosen by: then this request looks for
        // the flight of its own values, once.
        for _ in 0..2 {
            let flight = FlightKey { key: key.clone(), identified: asker.is_identified(), selecting, epoch };
            let begin = |pilot| self.begin(pilot, request, asker, stored.clone());
            let responses = self.state.traffic.upstream_responses.value();
            let reader = match alone {
                true => self.flights.alone(&flight, begin),
                false => self.flights.join(&flight, responses, begin),
            };
            let Some(mut reader) = reader else { break };
            let (began, waiting) = (reader.began(), Instant::now());
            let waited = self.answer(&mut reader, reply).await;
            if !began {
                self.state.traffic.cache_lock_waits.add(waiting.elapsed());
            }
            match waited {
                Waited::Head(answered) => {
                    let settings = self.state.cache.settings();
                    if reader.began() {
                        return self
                            .relay(request, asker, why, Joined { reader, key: &flight }, &answered, reply)
                            .await;
                    }
                    // What another request fetched is for this one under the same rules as what is stored.
                    if let Ok(storable) = &answered.decision
                        && let Err(why) = storable.shared.admits(asker)
                    {
                        drop(reader);
                        return self.ask(request, CacheStatus::Bypassed(why), reply).await;
                    }
                    if answered.selecting.matches(&request.head, &settings) {
                        return self
                            .relay(request, asker, why, Joined { reader, key: &flight }, &answered, reply)
                            .await;
                    }
                    selecting = answered.selecting.again(&request.head, &settings);
                }
                Waited::NotShared => break,
                Waited::Failed(failure) => {
                    return match self.stand_in(request, stored.as_ref(), Some(failure), reply).await {
                        Some(served) => served,
                        None => self.unanswered(request, failure, reply).await,
                    };
                }
                Waited::StandIn => match self.stand_in(request, stored.as_ref(), None, reply).await {
                    Some(served) => return served,
                    None => break,
                },
                Waited::TooLong => {
                    // A reader that will not read would hold up those that do.
                    drop(reader);
                    request.rule.counts.skipped(Skip::LockTimeout);
                    let status = CacheStatus::Forwarded { why, then: Then::Skipped(Skip::LockTimeout) };
                    return self.ask(request, status, reply).await;
                }
                Waited::Left => return Served::nothing(Outcome::Miss),
            }
        }
        self.ask(request, CacheStatus::Bypassed(Bypass::HitForMiss), reply).await
    }

    /// Refreshes what is stored in the background, once for all who are given it meanwhile (RFC 5861 §3). The request
    /// goes on its behalf, without what says who asked.
    pub(super) fn refresh(self: &Arc<Self>, request: &Request, key: Key, asker: Asker, stored: &Arc<Entry>) {
        // A refresh that ended since this request looked has done it: its flight is no longer there to be joined.
        let now_stored = self.state.cache.stored(&key, &request.head, asker);
        if now_stored.is_some_and(|now_stored| !Arc::ptr_eq(&now_stored, stored)) {
            return;
        }
        let personal = |name: &[u8]| asker.is_identified() && (is(name, "cookie") || is(name, "authorization"));
        let head = request.head.as_get_without(personal);
        let request = Request::new(head, request.peer, Instant::now(), request.rule.clone());
        let (cache, nobody) = (&self.state.cache, Asker { cookie: false, authorization: false });
        let (selecting, epoch) = (cache.selecting(&key, &request.head), cache.epoch(&key));
        let flight = FlightKey { key, identified: false, selecting, epoch };
        // RFC 9111 §4.3.1: a request without the fields that chose what is stored cannot have it confirmed.
        let chosen = Some(stored).filter(|stored| stored.selecting.matches(&request.head, &cache.settings()));
        let responses = self.state.traffic.upstream_responses.value();
        self.flights.refresh(&flight, responses, |pilot| self.begin(pilot, &request, nobody, chosen.cloned()));
    }

    /// Answers with what is stored in place of an origin that failed, where that is allowed.
    pub(super) async fn stand_in<R: Reply>(
        &self,
        request: &Request,
        stored: Option<&Arc<Entry>>,
        failure: Option<UpstreamFailure>,
        reply: &mut R,
    ) -> Option<Served> {
        let now = Instant::now();
        let entry = stored.filter(|entry| policy::stands_in(entry, now))?;
        let status = CacheStatus::Hit { ttl: entry.ttl(now), stale: Some(Stale::IfError) };
        let served = self.reuse(request, entry, status, Outcome::Stale, now, reply).await;
        Some(Served { error: failure.map(UpstreamFailure::name), ..served })
    }

    /// Waits for a flight's head, as long as the client does; interim responses are passed on at once. Who waits for
    /// another's fetch does so for `lock_timeout`, counted from when the app is asked: as long as that one waits for its
    /// turn, to ask alone would only make the queue longer.
    async fn answer<R: Reply>(&self, reader: &mut Reader, reply: &mut R) -> Waited {
        let began = reader.began();
        let lock_timeout = self.state.cache.settings().lock_timeout;
        let patience = tokio::time::sleep(lock_timeout);
        tokio::pin!(patience);
        loop {
            let answer = tokio::select! {
                biased;
                answer = reader.answer() => answer,
                () = reply.left() => return Waited::Left,
                () = &mut patience, if !began => {
                    let now = Instant::now();
                    let until = reader.asked().unwrap_or(now) + lock_timeout;
                    if until <= now {
                        return Waited::TooLong;
                    }
                    patience.as_mut().reset(until.into());
                    continue;
                }
            };
            match answer {
                Answer::Interim(head) if reply.interim(&head).await.is_ok() => {}
                Answer::Interim(_) => return Waited::Left,
                Answer::Head(answered) => return Waited::Head(answered),
                Answer::NotShared => return Waited::NotShared,
                Answer::Failed(failure) => return Waited::Failed(failure),
                Answer::StandIn => return Waited::StandIn,
            }
        }
    }

    /// Passes a flight's response on, at the pace of this client.
    async fn relay<R: Reply>(
        &self,
        request: &Request,
        asker: Asker,
        why: Forward,
        body: Joined<'_>,
        answered: &Answered,
        reply: &mut R,
    ) -> Served {
        let (began, collapsed) = (body.reader.began(), !body.reader.began());
        if let Some(entry) = &answered.confirmed {
            let now = Instant::now();
            let status = CacheStatus::Revalidated { why, ttl: entry.ttl(now), collapsed };
            let upstream = (!collapsed).then_some(answered.asked);
            let served = self.reuse(request, entry, status, Outcome::Revalidated, now, reply).await;
            return Served { upstream, ..served }.with_database(&answered.head);
        }
        let (status, outcome) = match &answered.decision {
            _ if collapsed => (CacheStatus::Collapsed { why }, Outcome::Collapsed),
            Ok(storable) => (CacheStatus::Forwarded { why, then: Then::Stored { ttl: storable.ttl() } }, Outcome::Miss),
            Err(skip) => (CacheStatus::Forwarded { why, then: Then::Skipped(*skip) }, Outcome::Miss),
        };
        let (upstream, detail) = (began.then_some(answered.asked), status.detail());
        let served = |status, whole| {
            Served { detail, upstream, whole, ..Served::new(status, outcome) }
                .of_a_stream(&answered.head)
                .with_database(&answered.head)
        };
        let added = self.ours(request, status);
        let personal = answered.decision.is_err() && asker.is_identified();
        let (etag, modified) = (answered.head.get("etag"), answered.head.get("last-modified"));
        if answered.head.status() == 200 && validator::not_modified(&request.head, etag, modified) {
            let head = self.not_modified(request, &answered.head, personal);
            let sent = reply.whole(&head, &added, Bytes::new()).await;
            return served(304, sent.is_ok());
        }
        let out = Outgoing { request, head: &answered.head, personal, added: &added, again: false };
        let (status, passed) = self.deliver(out, body, reply).await;
        served(status, false).passed(passed)
    }
}
